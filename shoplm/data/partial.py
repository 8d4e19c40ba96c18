"""Files that name only some of a table's columns: what they do not name stays as it was known before.

A column that a file names overwrites, also where its cell is empty. In ``attributes`` every name is a column of its own.
Only rows whose key was known and that say something else than before are looked at: they and what was known are sorted
by key on disk, so memory does not grow with them. Where nothing was known that a file leaves unsaid, nothing is done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from shoplm.data import contract, delta
from shoplm.data.contract import Column
from shoplm.data.convert import SQL_TYPES, name_in_sql
from shoplm.data.ingest import Fault
from shoplm.data.shape import Piece
from shoplm.data.staging import StagedTable, Staging
from shoplm.data.waiting import DIGEST_MASK, Entries, digests, grouped
from shoplm.errors import DataError

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Int64 = np.ndarray[Any, np.dtype[np.int64]]
Parts = Callable[[], Iterable[Entries]]

SORTED_ROWS = 32_768
"""Rows that are taken from the sorted ones at once."""
_ATTRIBUTES = "attributes"
_HEADS = (pa.field("_g", pa.int64()), pa.field("_at", pa.int64()), pa.field("_k", pa.int32()))
"""Number of its key, place (-1: held) and kind (-1: held) of each row that is sorted."""


class Pieces:
    """Which places belong to which piece of which file."""

    def __init__(self, staged: StagedTable) -> None:
        self.all = [piece for _, piece in staged.pieces]
        self._starts = np.array([start for start, _ in staged.pieces], np.int64)

    def of(self, places: Int64) -> Int64:
        """The number of each place's piece (places,)."""
        found: Int64 = np.searchsorted(self._starts, places, "right") - 1
        return found


def strangers(table: contract.Table, staged: StagedTable, parts: Parts) -> Flags | None:
    """The rows (staged,) that lack what their table requires and whose key nobody said in full before; None if no file lacks any.

    Raises:
        DataError: a file has no other rows, or one of its rows refuses everything.
    """
    pieces = Pieces(staged)
    if not any(piece.lacks for piece in pieces.all):
        return None
    full, refused = np.array([not piece.lacks for piece in pieces.all]), np.zeros(staged.staged, bool)
    rows_of, refused_of = np.zeros(len(full), np.int64), np.zeros(len(full), np.int64)
    for part in parts():
        rows, begins = grouped(part)
        coming = rows["file"] < 0
        number = np.where(coming, pieces.of(rows["at"]), 0)
        sure = ~coming | full[number]
        first = np.flatnonzero(begins)[np.cumsum(begins) - 1] if len(rows) else np.zeros(0, np.int64)
        count = np.cumsum(sure)
        out = count - count[first] + sure[first] == 0
        refused[rows["at"][out]] = True
        rows_of += np.bincount(number[coming], minlength=len(full))
        refused_of += np.bincount(number[out], minlength=len(full))
    for piece, rows_here, refused_here in zip(pieces.all, rows_of, refused_of, strict=True):
        if refused_here and refused_here == rows_here:
            raise DataError(piece.refusal)
    for piece, faults in refusals(table, staged, refused) if any(piece.strict for piece in pieces.all) and refused.any() else ():
        if piece.strict:
            raise DataError(f"{piece.file}, {faults[0]}")
    return refused


def refusals(table: contract.Table, staged: StagedTable, refused: Flags) -> Iterator[tuple[Piece, list[Fault]]]:
    """Why the refused rows stay out, some at a time."""
    pieces, start = Pieces(staged), 0
    for rows, _ in staged.waiting.batches():
        places = start + np.flatnonzero(refused[start : start + rows.num_rows])
        here = rows.take(pa.array(places - start))
        keys = zip(*(here[name].to_pylist() if name in here.schema.names else [None] * len(places) for name in table.key), strict=True)
        start += rows.num_rows
        for number, line, key in zip(pieces.of(places), here["_line"].to_pylist() if len(places) else [], keys, strict=True):
            piece = pieces.all[number]
            column = next(column.name for column in table.columns if column.name in piece.lacks)
            seen = "/".join("" if part is None else str(part) for part in key)
            yield piece, [Fault(line, column, seen, "is missing, and the shop holds no row of this key", "import its whole row first")]


@dataclass(frozen=True)
class Merged:
    """Rows with what they leave unsaid filled in.

    Attributes:
        group: (staged,) not 0 where a row is one of them.
        digest: (staged,) what such a row says now.
        columns: those in which any row may have a value.
    """

    group: Int64
    digest: np.ndarray[Any, np.dtype[np.uint64]]
    columns: tuple[Column, ...]
    _con: duckdb.DuckDBPyConnection

    def restated(self, parts: Iterable[Entries]) -> Iterator[Entries]:
        """The entries with what their rows say now."""
        for part in parts:
            mine = np.flatnonzero(part["file"] < 0)
            mine = mine[self.group[part["at"][mine]] != 0]
            part["digest"][mine] = self.digest[part["at"][mine]]
            yield part

    def rows(self) -> Iterator[pa.Table]:
        """The rows in order of arrival: ``_at``, the columns, ``_lo``."""
        for batch in self._con.cursor().sql("SELECT * FROM _merged ORDER BY _at").to_arrow_reader(SORTED_ROWS):
            yield pa.Table.from_batches([batch])


class Overlay:
    """Lays merged rows over the staged ones that they take the place of, while these pass in order of arrival."""

    def __init__(self, merged: Merged) -> None:
        self._columns, self._batches = merged.columns, merged.rows()
        self._held: pa.Table | None = next(self._batches, None)

    def laid_over(self, rows: pa.Table, start: int) -> pa.Table:
        """Stored rows, the first of them at place ``start``, with what is merged in place of what was staged."""
        found: list[pa.Table] = []
        while self._held is not None:
            count = int(np.searchsorted(self._held["_at"].to_numpy(), start + rows.num_rows))
            found.append(self._held.slice(0, count))
            if count < self._held.num_rows:
                self._held = self._held.slice(count)
                break
            self._held = next(self._batches, None)
        here = pa.concat_tables(found) if found else None
        if here is None or not here.num_rows:
            return rows
        places = here["_at"].to_numpy() - start
        over = rows.take(pa.array(places))
        for column in self._columns:
            over = over.set_column(
                over.schema.get_field_index(column.name), over.schema.field(column.name), here[column.name].cast(column.type)
            )
        says = pa.array((here["_lo"].to_numpy() & DIGEST_MASK).astype(np.int64))
        over = over.set_column(over.schema.get_field_index("row_digest"), over.schema.field("row_digest"), says)
        order = np.arange(rows.num_rows)
        order[places] = rows.num_rows + np.arange(len(places))
        return pa.concat_tables([rows, over]).take(pa.array(order))


def merged(
    staging: Staging, table: contract.Table, staged: StagedTable, held: list[Path], attributes: Collection[str], parts: Parts
) -> Merged | None:
    """The staged rows with what they leave unsaid filled in, None if they leave out nothing that is known.

    Args:
        staging: the rows on their way in.
        table: the contract table.
        staged: its rows.
        held: the data files of what was known before.
        attributes: every name that was ever found in ``attributes``.
        parts: the entries of both.
    """
    kinds = _Kinds.of(table, Pieces(staged), attributes)
    filled = _filled(table, held, kinds.unsaid())
    kinds = kinds.limited(filled)
    if not kinds.unsaid():
        return None
    group = _mapped(staging.folder / f"{table.name}-group", staged.staged, np.int64)
    digest = _mapped(staging.folder / f"{table.name}-digest", staged.staged, np.uint64)
    places = _groups(parts(), group)
    con = staging.con
    used = {*table.key, *(name for name, _ in table.fallback), *kinds.said, *filled}
    columns = tuple(column for column in table.columns if column.name in used)
    schema = pa.schema([*_HEADS, *(pa.field(column.name, column.type) for column in columns)])
    empty = ", ".join(f"NULL::{SQL_TYPES[column.type]} AS {name_in_sql(column.name)}" for column in columns)
    con.execute(f"CREATE OR REPLACE TABLE _given AS SELECT 0::BIGINT AS _g, 0::BIGINT AS _at, 0::INTEGER AS _k, {empty} LIMIT 0")
    con.execute(f"CREATE OR REPLACE TABLE _merged AS SELECT 0::BIGINT AS _at, {empty}, 0::UBIGINT AS _lo LIMIT 0")
    for number, found in places.items():
        _give_held(con, table, schema, held[number], *map(np.concatenate, zip(*found, strict=True)))
    _give_coming(con, schema, staged, kinds, group)
    carried: pa.Table | None = None
    for batch in con.cursor().sql("SELECT * FROM _given ORDER BY _g, _at").to_arrow_reader(SORTED_ROWS):
        rows = pa.Table.from_batches([batch]).cast(schema)
        whole = _laid(kinds, rows if carried is None else pa.concat_tables([carried, rows]))
        last = whole.slice(whole.num_rows - 1)
        carried = last.set_column(1, "_at", pa.array([-1], pa.int64())).set_column(2, "_k", pa.array([-1], pa.int32()))
        coming = whole.filter(pa.array(whole["_at"].to_numpy() >= 0))
        lo = _digests(columns, kinds, coming, con)
        digest[coming["_at"].to_numpy()] = lo
        _insert(con, "_merged", coming.drop_columns(["_g", "_k"]).append_column("_lo", pa.array(lo)))
    con.execute("DROP TABLE _given")
    return Merged(group, digest, columns, con)


@dataclass(frozen=True)
class _Kinds:
    """The different ways in which files of one import name a table's columns.

    Attributes:
        of_piece: each piece's kind.
        lacks: by kind, the columns whose earlier values it keeps.
        others: by kind, the names in ``attributes`` that it overwrites.
        made: by kind, the columns that were made up.
    """

    of_piece: Int64
    lacks: tuple[frozenset[str], ...]
    others: tuple[frozenset[str], ...]
    made: tuple[frozenset[str], ...]
    pieces: Pieces = field(repr=False)
    said: frozenset[str] = frozenset()
    """Columns that some kind names."""

    @staticmethod
    def of(table: contract.Table, pieces: Pieces, attributes: Collection[str]) -> _Kinds:
        """Each piece's kind, as if every column had been known before."""
        found: dict[tuple[frozenset[str], frozenset[str], frozenset[str]], int] = {}
        numbers = [found.setdefault((frozenset(p.named), frozenset(p.others), p.made), len(found)) for p in pieces.all]
        able = frozenset(column.name for column in table.columns) - frozenset(table.key)
        lacks = []
        for named, others, _ in found:
            whole = _ATTRIBUTES in named or others.issuperset(attributes)
            lacks.append(able - named - ({_ATTRIBUTES} if whole else set()))
        said = frozenset().union(*(named | ({_ATTRIBUTES} if others else set()) for named, others, _ in found))
        return _Kinds(
            np.array(numbers, np.int64),
            tuple(lacks),
            tuple(others for _, others, _ in found),
            tuple(made for *_, made in found),
            pieces,
            said,
        )

    def unsaid(self) -> frozenset[str]:
        """The columns that any kind leaves as they were."""
        return frozenset().union(*self.lacks)

    def limited(self, filled: Collection[str]) -> _Kinds:
        """The same where only these columns, and those that another kind names, have any earlier value."""
        known = frozenset(filled) | (self.said if len(self.lacks) > 1 else frozenset())
        return _Kinds(self.of_piece, tuple(lacks & known for lacks in self.lacks), self.others, self.made, self.pieces, self.said)


def _filled(table: contract.Table, held: Iterable[Path], columns: Collection[str]) -> set[str]:
    """The columns in which any of the files has a value; one that has is not read on."""
    empty, found = set(columns), set[str]()
    for file in held:
        wanted = sorted(empty)
        for rows in delta.batches(file, wanted, table.schema) if wanted else ():
            found.update(name for name in wanted if rows[name].null_count < rows.num_rows)
            if found.issuperset(wanted):
                break
        empty -= found
    return found


def _groups(parts: Iterable[Entries], group: Int64) -> dict[int, list[tuple[Int64, Int64]]]:
    """Number the keys of which a row says something else than the one before it, from 1.

    Args:
        parts: the entries.
        group: (staged,) gets the number of each row on its way in.

    Returns:
        By data file, the places of the rows of such keys that are held, and their numbers.
    """
    places: dict[int, list[tuple[Int64, Int64]]] = {}
    count = 0
    for part in parts:
        rows, begins = grouped(part)
        differs = ~begins
        differs[1:] &= (rows["digest"][1:] & DIGEST_MASK) != (rows["digest"][:-1] & DIGEST_MASK)
        number = np.cumsum(begins) - 1
        changed = np.zeros(int(begins.sum()), bool)
        changed[number[differs]] = True
        mine = changed[number]
        names = count + np.cumsum(changed)[number[mine]]
        count += int(changed.sum())
        rows = rows[mine]
        coming = rows["file"] < 0
        group[rows["at"][coming]] = names[coming]
        for file in np.unique(rows["file"][~coming]).tolist():
            places.setdefault(file, []).append((rows["at"][rows["file"] == file], names[rows["file"] == file]))
    return places


def _give_held(con: duckdb.DuckDBPyConnection, table: contract.Table, schema: pa.Schema, file: Path, at: Int64, names: Int64) -> None:
    order = np.argsort(at)
    at, names = at[order], names[order]
    start = 0
    for rows in delta.batches(file, schema.names[len(_HEADS) :], table.schema):
        low, high = np.searchsorted(at, [start, start + rows.num_rows])
        if low < high:
            found = rows.take(pa.array(at[low:high] - start))
            _insert(con, "_given", _placed(found, names[low:high], np.full(high - low, -1), np.full(high - low, -1)))
        start += rows.num_rows


def _give_coming(con: duckdb.DuckDBPyConnection, schema: pa.Schema, staged: StagedTable, kinds: _Kinds, group: Int64) -> None:
    start = 0
    for rows, _ in staged.waiting.batches():
        places = start + np.flatnonzero(group[start : start + rows.num_rows])
        if len(places):
            found = rows.take(pa.array(places - start))
            fields = list(schema)[len(_HEADS) :]
            arrays = [found[field.name] if field.name in found.schema.names else pa.nulls(len(places), field.type) for field in fields]
            whole = pa.table(arrays, names=[field.name for field in fields])
            _insert(con, "_given", _placed(whole, group[places], places, kinds.of_piece[kinds.pieces.of(places)]))
        start += rows.num_rows


def _placed(rows: pa.Table, names: Int64, at: Int64, kinds: Int64) -> pa.Table:
    heads = [pa.array(names, pa.int64()), pa.array(at, pa.int64()), pa.array(kinds.astype(np.int32))]
    return pa.table([*heads, *rows.columns], names=["_g", "_at", "_k", *rows.schema.names])


def _insert(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    naive = [field.with_type(pa.timestamp("us")) if field.type == contract.TIME else field for field in rows.schema]
    con.register("_more", rows.cast(pa.schema(naive)))
    con.execute(f"INSERT INTO {name} SELECT * FROM _more")
    con.unregister("_more")


def _laid(kinds: _Kinds, rows: pa.Table) -> pa.Table:
    """Rows in order of key and arrival, each with what it leaves unsaid taken from the row before it."""
    number, kind, index = rows["_g"].to_numpy(), rows["_k"].to_numpy(), np.arange(rows.num_rows)
    whole = np.ones(rows.num_rows, bool)
    whole[1:] = number[1:] != number[:-1]  # what is held comes first of its key, so it is among these
    for column in sorted(kinds.unsaid() - {_ATTRIBUTES}):
        says = whole | np.array([column not in lacks for lacks in kinds.lacks])[kind]
        source = np.maximum.accumulate(np.where(says, index, 0))
        place = rows.schema.get_field_index(column)
        rows = rows.set_column(place, rows.schema.field(place), rows[column].take(pa.array(source)))
    if _ATTRIBUTES in kinds.unsaid():
        says = whole | np.array([_ATTRIBUTES not in lacks for lacks in kinds.lacks])[kind]
        texts: list[str | None] = rows[_ATTRIBUTES].to_pylist()
        for i in np.flatnonzero(~says).tolist():
            texts[i] = _together(texts[i - 1], texts[i], kinds.others[kind[i]])
        place = rows.schema.get_field_index(_ATTRIBUTES)
        rows = rows.set_column(place, rows.schema.field(place), pa.array(texts, pa.string()))
    return rows


def _together(before: str | None, now: str | None, named: Collection[str]) -> str | None:
    """The attributes known before, with those that are ``named`` as they are now."""
    kept = {name: value for name, value in _members(before).items() if name not in named}
    if not kept:
        return now
    kept |= _members(now)
    return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{kept[name]}" for name in sorted(kept)) + "}"


_DECODER = json.JSONDecoder()


def _members(text: str | None) -> dict[str, str]:
    """The members of a JSON object, each value as it is written."""
    found: dict[str, str] = {}
    place = 1
    while text is not None and (place := _after(text, place, ", \t\r\n")) < len(text) and text[place] != "}":
        name, place = _DECODER.raw_decode(text, place)
        place = _after(text, place, ": \t\r\n")
        _, end = _DECODER.raw_decode(text, place)
        found[name], place = text[place:end], end
    return found


def _after(text: str, place: int, letters: str) -> int:
    while place < len(text) and text[place] in letters:
        place += 1
    return place


def _digests(
    columns: tuple[Column, ...], kinds: _Kinds, rows: pa.Table, con: duckdb.DuckDBPyConnection
) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """What each row says (rows,), as if its file had said all of it."""
    found, kind = np.zeros(rows.num_rows, np.uint64), rows["_k"].to_numpy()
    for made in set(kinds.made):
        mine = np.flatnonzero(np.array([each == made for each in kinds.made])[kind])
        some = rows.take(pa.array(mine))
        said = [c for c in columns if c.name not in made and some[c.name].null_count < some.num_rows]
        found[mine] = digests(some, said, con)[1]
    return found


def _mapped(file: Path, rows: int, kind: Any) -> Any:
    """Zeros (rows,) on the disk; a page of them takes place only where something is written."""
    return np.memmap(file, kind, "w+", shape=(rows,))
