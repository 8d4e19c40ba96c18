"""What an import changes: which staged rows are new, which say something else than before, which were there already.

The key decides which row is meant, ``row_digest`` whether it says the same. Rows with one key inside one import
are taken one after the other, so each of them is new, updated or already there, and the last one stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from shoplm.data import contract, convert, delta
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.ingest import Staging
from shoplm.data.manifest import TableState

_DIGEST = "CAST(_content & 9223372036854775807::UHUGEINT AS BIGINT)"


@dataclass(frozen=True)
class Outcome:
    """What became of the staged rows of one table, and the table afterwards."""

    inserted: int
    updated: int
    duplicate: int
    state: TableState | None


def upsert(staging: Staging, table: contract.Table, path: Path, before: TableState | None, now_us: int) -> Outcome:
    """Bring the staged rows of one table into its Delta table at ``path``.

    Args:
        staging: the rows on their way in.
        table: the contract table.
        path: its folder.
        before: the table as it stands, None if there is none yet.
        now_us: what ``ingested_at`` will say.

    Returns:
        Counts, and the table's new state (``before`` itself if nothing changed).
    """
    staged = staging.tables[table.name]
    attributes = dict(before.attributes) if before else {}
    for name, kinds in sorted(staged.attributes.items()):
        attributes[name] = convert.one_type(kinds | ({attributes[name]} if name in attributes else set()))
    if not staged.staged:
        return Outcome(0, 0, 0, before)
    _make_keys(staging, table)
    names = _hold(staging, table, path, before)
    _judge(staging, table)
    con = staging.con
    inserted, duplicate, gained, lost, to_write = con.sql(
        "SELECT count(*) FILTER (is_first AND held IS NULL), "
        "count(*) FILTER ((is_first AND held = digest) OR (NOT is_first AND previous = digest)), "
        "coalesce(sum(digest) FILTER (to_write), 0), coalesce(sum(held) FILTER (to_write), 0), count(*) FILTER (to_write) FROM _verdict"
    ).fetchall()[0]
    outcome_of = (inserted, staged.staged - inserted - duplicate, duplicate)
    if not to_write:
        return Outcome(*outcome_of, before)
    gone: dict[str, delta.Positions] = {}
    for number, name in enumerate(names):
        query = f"SELECT position FROM _verdict WHERE to_write AND file = {number} ORDER BY position"
        positions = con.sql(query).to_arrow_table()["position"].to_numpy().astype(np.int64)
        if len(positions):
            gone[name] = positions
    everything = to_write == staged.staged
    ready = delta.prepare(path, before.delta if before else None, staging.folder.name)
    version = delta.change(table, path, ready, _rows(staging, table, now_us, everything), gone)
    rows = (before.rows if before else 0) + inserted
    content = ((before.content if before else 0) + int(gained) - int(lost)) % 2**64
    return Outcome(*outcome_of, TableState(version, rows, content, attributes))


def _make_keys(staging: Staging, table: contract.Table) -> None:
    for name in table.derived:
        column = name_in_sql(name)
        if table[name].is_id:
            same, made = "_content, _file", "md5(CAST(_content AS VARCHAR) || '#' || CAST(n AS VARCHAR))"
        else:
            same, made = f"{name_in_sql(table.key[0])}, _file", "n"
        lacking = f"FROM {table.name} WHERE {column} IS NULL"
        numbered = f"SELECT _ord AS o, row_number() OVER (PARTITION BY {same} ORDER BY _ord) - 1 AS n {lacking}"
        missing = staging.con.sql(f"SELECT 1 {lacking} LIMIT 1").fetchall()
        if missing:
            staging.con.execute(f"UPDATE {table.name} SET {column} = {made} FROM ({numbered}) AS made WHERE made.o = {table.name}._ord")


def _hold(staging: Staging, table: contract.Table, path: Path, before: TableState | None) -> list[str]:
    """Keys and digests of the rows that are there, with their places; the names of the files that hold them."""
    con = staging.con
    con.execute("CREATE OR REPLACE TEMP TABLE _held (key UHUGEINT, digest BIGINT, file INTEGER, position BIGINT)")
    if before is None:
        return []
    files = delta.files(path, before.delta)
    key = convert.canonical([table[name] for name in table.key])
    for number, file in enumerate(files):
        start = 0
        for rows in delta.batches(file, [*table.key, "row_digest"], table.schema):
            con.register("_there", rows.append_column("_position", pa.array(np.arange(start, start + rows.num_rows))))
            con.execute(f"INSERT INTO _held SELECT md5_number({key}), row_digest, {number}, _position FROM _there")
            con.unregister("_there")
            start += rows.num_rows
    return [file.name for file in files]


def _judge(staging: Staging, table: contract.Table) -> None:
    key = convert.canonical([table[name] for name in table.key])
    staging.con.execute(
        "CREATE OR REPLACE TEMP TABLE _verdict AS SELECT o, digest, held, file, position, is_first, previous, "
        "is_last AND (held IS NULL OR held <> digest) AS to_write FROM ("
        "SELECT s.o, s.digest, h.digest AS held, h.file, h.position, lag(s.digest) OVER same AS previous, "
        "row_number() OVER same = 1 AS is_first, lead(s.o) OVER same IS NULL AS is_last "
        f"FROM (SELECT _ord AS o, md5_number({key}) AS key, {_DIGEST} AS digest FROM {table.name}) s LEFT JOIN _held h ON s.key = h.key "
        "WINDOW same AS (PARTITION BY s.key ORDER BY s.o))"
    )


def _rows(staging: Staging, table: contract.Table, now_us: int, everything: bool) -> Iterator[pa.Table]:
    columns = ", ".join(name_in_sql(column.name) for column in table.columns)
    sources = "[" + ", ".join(text_in_sql(source) for _, source in staging.tables[table.name].files) + "]"
    where = "" if everything else " WHERE _ord IN (SELECT o FROM _verdict WHERE to_write)"
    query = (
        f"SELECT {columns}, list_extract({sources}, _file + 1) AS source, make_timestamp({now_us}) AS ingested_at, "
        f"{_DIGEST} AS row_digest FROM {table.name}{where}"
    )
    for batch in staging.con.sql(query).to_arrow_reader(delta.GROUP_ROWS):
        yield pa.Table.from_batches([batch]).cast(table.schema)
