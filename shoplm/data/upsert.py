"""What an import changes: which staged rows are new, which say something else than before, which were there already.

The key decides which row is meant, ``row_digest`` whether it says the same. Rows with one key inside one import
are taken one after the other, so each of them is new, updated or already there, and the last one stays.
Only digests are compared, one part of the keys at a time, so memory does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoplm.data import contract, convert, delta, partial
from shoplm.data.manifest import TableState
from shoplm.data.staging import StagedTable, Staging
from shoplm.data.waiting import DIGEST_MASK, Entries, Pile, Waiting, digests, entries, grouped

WRITERS = 2
"""Parts of the rows that are written at the same time."""
PART_ROWS = 6 * delta.GROUP_ROWS
"""With fewer rows in a part, files would become many and small."""
SHARED_MONTHS = 2
"""With more months that both parts have, too, for each of them would have files for these."""


@dataclass(frozen=True)
class Outcome:
    """What became of the staged rows of one table, and the table afterwards."""

    inserted: int
    updated: int
    duplicate: int
    state: TableState | None
    refused: partial.Flags | None = None
    """The staged rows that say too little of a key that is new; None for none."""


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
    if staged.lacking:
        _make_keys(staging, table, staged)
        staged.lacking = False
    staged.pile.only_coming()  # another writer may have been first: then this is not the first time that we judge
    names = _hold(staging, table, staged.pile, path, before)
    refused = partial.strangers(table, staged, staged.pile.parts)
    count = staged.staged if refused is None else staged.staged - int(refused.sum())

    def parts() -> Iterator[Entries]:
        for part in staged.pile.parts():
            yield part if refused is None else part[(part["file"] >= 0) | ~refused[np.where(part["file"] < 0, part["at"], 0)]]

    verdict, filled = _judged(staged, parts()), None
    if verdict.inserted + verdict.duplicate < count:  # only what is updated can leave unsaid what was known
        filled = partial.merged(staging, table, staged, [path / name for name in names], attributes, parts)
        verdict = verdict if filled is None else _judged(staged, filled.restated(parts()))
    outcome_of = (verdict.inserted, count - verdict.inserted - verdict.duplicate, verdict.duplicate)
    if not verdict.write.any():
        return Outcome(*outcome_of, before, refused)
    gone = {names[number]: np.sort(np.concatenate(places)) for number, places in verdict.gone.items()}
    ready = delta.prepare(path, before.delta if before else None, staging.folder.name)
    cuts = _cuts(table, staged) if filled is None else [0, staged.staged]  # what is filled in is read from front to back
    fresh = [_rows(table, staged, verdict.write, now_us, filled, begin, end) for begin, end in pairwise(cuts)]
    version = delta.change(table, path, ready, fresh, gone)
    rows = (before.rows if before else 0) + verdict.inserted
    content = ((before.content if before else 0) + verdict.gained - verdict.lost) % 2**64
    return Outcome(*outcome_of, TableState(version, rows, content, attributes), refused)


def _cuts(table: contract.Table, staged: StagedTable) -> list[int]:
    """The first rows of the parts that are written at the same time, and the end."""
    cuts = staged.waiting.cuts(WRITERS, PART_ROWS)
    for cut in cuts[1:-1] if table.grouped else ():
        before = [(low, high) for at, low, high in staged.months if at < cut]
        behind = [(low, high) for at, low, high in staged.months if at >= cut]
        if before and behind:
            first = max(min(low for low, _ in part) for part in (before, behind))
            last = min(max(high for _, high in part) for part in (before, behind))
            if last - first + 1 > SHARED_MONTHS:
                return [0, staged.staged]
    return cuts


@dataclass
class Verdict:
    """What has been found so far: which staged rows are to be written, and which places of which file they replace."""

    write: np.ndarray[Any, np.dtype[np.bool_]]
    inserted: int = 0
    duplicate: int = 0
    gained: int = 0
    lost: int = 0
    gone: dict[int, list[delta.Positions]] = field(default_factory=dict)


def _judged(staged: StagedTable, parts: Iterable[Entries]) -> Verdict:
    verdict = Verdict(np.zeros(staged.staged, bool))
    for part in parts:
        _judge(part, verdict)
    return verdict


def _judge(part: Entries, verdict: Verdict) -> None:
    """Judge rows among which are all that share a key with any of them."""
    shared = _shared(part)
    part, rest = (part, part[:0]) if shared is None else (part[~shared], part[shared])
    new = part if (part["file"] < 0).all() else part[part["file"] < 0]
    verdict.write[new["at"]] = True
    verdict.inserted += len(new)
    verdict.gained += int((new["digest"] & DIGEST_MASK).sum(dtype=np.uint64))
    if len(rest):
        _judge_together(rest, verdict)


def _shared(part: Entries) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """Whose ``lo`` another one has, too (rows,); None for nobody's, which is usual and takes no more than one quick sort."""
    keys = np.ascontiguousarray(part["lo"])
    ordered = np.sort(keys)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return None
    places = np.minimum(np.searchsorted(repeated, keys), len(repeated) - 1)
    found: np.ndarray[Any, np.dtype[np.bool_]] = repeated[places] == keys
    return found


def _judge_together(rows: Entries, verdict: Verdict) -> None:
    rows, begins = grouped(rows)
    digest = rows["digest"] & DIGEST_MASK
    ends = np.append(begins[1:], True)
    coming = rows["file"] < 0
    said_before = np.append(False, digest[1:] == digest[:-1]) & ~begins
    verdict.inserted += int((coming & begins).sum())
    verdict.duplicate += int((coming & said_before).sum())
    first = np.flatnonzero(begins)[np.cumsum(begins) - 1]  # of each row's group
    was_held = rows["file"][first] >= 0
    write = coming & ends & ~(was_held & (digest[first] == digest))
    verdict.write[rows["at"][write]] = True
    verdict.gained += int(digest[write].sum(dtype=np.uint64))
    replaced = first[write & was_held]
    verdict.lost += int(digest[replaced].sum(dtype=np.uint64))
    files = rows["file"][replaced]
    for number in np.unique(files).tolist():
        verdict.gone.setdefault(number, []).append(rows["at"][replaced][files == number])


def _hold(staging: Staging, table: contract.Table, pile: Pile, path: Path, before: TableState | None) -> list[str]:
    """Add to the pile the rows that are there; the names of the files that hold them."""
    if before is None:
        return []
    wanted = None if pile.spilled else pile.keys()
    files = delta.files(path, before.delta)
    for number, file in enumerate(files):
        start = 0
        for rows in delta.batches(file, [*table.key, "row_digest"], table.schema):
            hi, lo = staging.keys.of(table, rows, staging.con)
            held = entries(hi, lo, rows["row_digest"].to_numpy().astype(np.uint64), start, number)
            start += len(held)
            if wanted is not None:  # most rows of a big table are none of those that come in
                held = held[wanted[np.minimum(np.searchsorted(wanted, lo), len(wanted) - 1)] == lo]
            pile.add(held)
    return [file.name for file in files]


def _make_keys(staging: Staging, table: contract.Table, staged: StagedTable) -> None:
    """Fill in the parts of keys that sources lack, then pile up the keys. Takes 4 bytes of memory a row."""
    for name in table.derived:
        column = table[name]
        lacks = Pile(staging.folder / f"{table.name}-{name}-same")
        start = 0
        for rows, file in staged.waiting.batches():
            if name not in rows.schema.names:
                hi, lo = rows["_hi"].to_numpy(), rows["_lo"].to_numpy()
                if not column.is_id:
                    hi, lo = digests(rows, [table[table.key[0]]], staging.con)
                lacks.add(entries(hi, lo, np.full(len(hi), file, np.uint64), start))
            start += rows.num_rows
        numbers = np.zeros(staged.staged, np.int32)
        for part in lacks.parts():
            _number(part, numbers)
        filled = Waiting(staging.folder / f"{table.name}-{name}")
        start = 0
        for rows, file in staged.waiting.batches():
            if name not in rows.schema.names:
                made = numbers[start : start + rows.num_rows]
                values = _ids(staging, rows, made) if column.is_id else pa.chunked_array([pa.array(made, pa.int64())])
                rows = rows.append_column(pa.field(name, column.type), values)
            start += rows.num_rows
            filled.add(rows, file)
        staged.waiting.remove()
        staged.waiting = filled
    staged.pile = Pile(staging.folder / f"{table.name}-made-keys")
    start = 0
    for rows, _ in staged.waiting.batches():
        hi, lo = staging.keys.of(table, rows, staging.con)
        staged.pile.add(entries(hi, lo, rows["_lo"].to_numpy(), start))
        start += rows.num_rows


def _number(part: Entries, numbers: np.ndarray[Any, np.dtype[np.int32]]) -> None:
    """Number the rows that say the same in one file (``digest``) from 0, by arrival; ``numbers`` holds zeros before."""
    shared = _shared(part)
    if shared is None:
        return
    part = part[shared]
    rows = part[np.lexsort((part["at"], part["digest"], part["hi"], part["lo"]))]
    begins = np.ones(len(rows), bool)
    begins[1:] = np.logical_or.reduce([rows[name][1:] != rows[name][:-1] for name in ("lo", "hi", "digest")])
    first = np.flatnonzero(begins)[np.cumsum(begins) - 1] if len(rows) else np.zeros(0, np.int64)
    numbers[rows["at"]] = np.arange(len(rows)) - first


def _ids(staging: Staging, rows: pa.Table, numbers: np.ndarray[Any, np.dtype[np.int32]]) -> pa.ChunkedArray:
    staging.con.register("_said", pa.table({"hi": rows["_hi"], "lo": rows["_lo"], "n": pa.array(numbers)}))
    found = staging.con.sql("SELECT md5(concat(hi, '#', lo, '#', n)) AS id FROM _said").to_arrow_table()["id"]
    staging.con.unregister("_said")
    return found


def _rows(
    table: contract.Table,
    staged: StagedTable,
    write: np.ndarray[Any, np.dtype[np.bool_]],
    now_us: int,
    filled: partial.Merged | None,
    begin: int,
    end: int,
) -> Iterator[pa.Table]:
    everything, start = bool(write.all()), begin
    instead = None if filled is None else partial.Overlay(filled)
    for rows, file in staged.waiting.batches(begin, end):
        stamps = {
            "source": pa.array([staged.files[file][1]]).dictionary_encode().take(pa.array(np.zeros(rows.num_rows, np.int32))),
            "ingested_at": pa.array(np.full(rows.num_rows, now_us)).cast(contract.TIME),
            "row_digest": pa.array((rows["_lo"].to_numpy() & DIGEST_MASK).astype(np.int64)),
        }
        arrays = [
            rows[f.name]
            if f.name in rows.schema.names
            else stamps[f.name].cast(f.type)
            if f.name in stamps
            else pa.nulls(rows.num_rows, f.type)
            for f in table.schema
        ]
        whole = pa.Table.from_arrays(arrays, schema=table.schema)
        if instead is not None:
            whole = instead.laid_over(whole, start)
        keep = write[start : start + rows.num_rows]
        start += rows.num_rows
        if everything or keep.any():
            yield whole if everything else whole.filter(pa.array(keep))
