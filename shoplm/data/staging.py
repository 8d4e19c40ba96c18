"""Foreign rows -> contract rows, or quarantine with file, line, column, value seen, reason and fix.

``Staging`` converts and checks each chunk, first by proof over whole columns (``direct``), else with one SQL
statement, and keeps the good rows on disk until the shop takes them, so memory does not grow with the file.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, convert
from shoplm.data import plan as plans
from shoplm.data import shape as shapes
from shoplm.data.attributes import Attributes, attributes, names_in
from shoplm.data.convert import is_json
from shoplm.data.direct import Flags, Proof, direct
from shoplm.data.ingest import SEEN_LENGTH, Chunk, Fault, Guard
from shoplm.data.keys import Keys
from shoplm.data.plan import Places, Plan
from shoplm.data.shape import Piece, Shape
from shoplm.data.waiting import Entries, Pile, Waiting, digests, entries
from shoplm.errors import DataError

THREADS = 2
"""Chunks that are converted at the same time."""
DOUBTED = 0.25
"""With more of a chunk's rows in doubt, SQL looks at the doubtful columns as a whole."""


@dataclass
class StagedTable:
    """What has been staged for one table so far."""

    waiting: Waiting
    pile: Pile
    """The keys of all rows, unless some are still to be made up."""
    read: int = 0
    staged: int = 0
    quarantined: int = 0
    lacking: bool = False
    """Do some rows lack a part of their key that is made up later?"""
    unknown: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, set[str]] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)
    """File and source, by the number that ``waiting`` gives back."""
    pieces: list[tuple[int, Piece]] = field(default_factory=list)
    """With the place of the first row of each."""
    months: list[tuple[int, int, int]] = field(default_factory=list)
    """The place of the first row of each chunk, and its first and last month of the clock, in months since 1970."""
    first_fault: str = ""
    quarantine: dict[str, IO[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """One chunk after conversion: the good rows' columns that hold any value, then ``_hi`` and ``_lo``, their digest.

    Where the file lacks required columns, ``_line`` follows.
    """

    chunk: Chunk
    read: int
    rows: pa.Table | None
    keys: Entries | None
    faults: list[Fault]
    unknown: Mapping[str, int]
    attributes: Mapping[str, set[str]]
    piece: Piece | None = None
    months: tuple[int, int] | None = None
    """The first and the last month of the clock, where the table is laid into files by months."""


class Staging:
    """Contract rows on their way in: converted, checked, and kept on disk until the shop takes them.

    Args:
        folder: where they are kept; it exists.
        guard: what hides people.
        held: the tables that have rows, to which a file may say only some of the required columns.
    """

    def __init__(self, folder: Path, guard: Guard | None = None, held: Collection[str] = ()) -> None:
        self.folder, self.guard, self.held = folder, guard, held
        self.con = duckdb.connect(
            ":memory:",
            config={"temp_directory": str(folder / "spill"), "memory_limit": "1GB", "preserve_insertion_order": "true", "threads": 1,
                    "autoload_known_extensions": "false", "autoinstall_known_extensions": "false"},
        )  # fmt: skip
        self.con.execute("SET python_enable_replacements=false")
        self.keys = Keys()
        self.tables: dict[str, StagedTable] = {}
        self._absent: dict[tuple[str, str], frozenset[str]] = {}
        self._pieces: dict[tuple[str, str, frozenset[str]], Piece] = {}

    def close(self) -> None:
        """Let go of every open file; the folder may then be removed."""
        for staged in self.tables.values():
            staged.waiting.close()
            for file in staged.quarantine.values():
                file.close()
        self.con.close()

    def take(self, chunks: Iterable[Chunk], mapping: Mapping[str, str], defaults: Mapping[str, str], *, strict: bool) -> None:
        """Convert, check and keep chunks, in order.

        Raises:
            DataError: a required column is missing, a mapping or default names no column, or, if ``strict``, any row
                is faulty: then the message is the first fault.
        """
        self._absent, self._pieces = {}, {}
        if self.guard is not None:  # a guard need not bear two threads
            for chunk in chunks:
                self._put(self._prepare(*self._planned(chunk, mapping, defaults, strict)), strict)
            return
        waiting: deque[Future[Ready]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            for chunk in chunks:
                waiting.append(pool.submit(self._prepare, *self._planned(chunk, mapping, defaults, strict)))
                if len(waiting) > THREADS:
                    self._put(waiting.popleft().result(), strict)
            while waiting:
                self._put(waiting.popleft().result(), strict)

    def _planned(self, chunk: Chunk, mapping: Mapping[str, str], defaults: Mapping[str, str], strict: bool = False) -> tuple[Chunk, Shape]:
        table = contract.table(chunk.table)
        if table.name not in self.tables:
            self.tables[table.name] = StagedTable(Waiting(self.folder / table.name), Pile(self.folder / f"{table.name}-keys"))
        for name in defaults:
            table[name]
        if not chunk.rows.num_columns and chunk.faults:  # not one line could be read, so nothing tells which columns the file has
            return chunk, Shape(table, {}, {}, defaults, frozenset(), Piece(chunk.file, frozenset(), frozenset(), "", strict))
        names = chunk.rows.schema.names
        found = shapes.match(table, chunk.file, names, mapping)
        here = frozenset(column.name for column in table.columns if column.name not in found and column.name not in defaults)
        absent = self._absent.setdefault((table.name, chunk.file), here)  # what the file lacks is settled by its first chunk
        lacks, refusal = shapes.missing(table, chunk.file, names, absent & here, table.name in self.held)
        made = shapes.made_up(table, absent)
        piece = self._pieces.setdefault((table.name, chunk.file, lacks), Piece(chunk.file, made, lacks, refusal, strict))
        shapes.note(piece, chunk, found, defaults)
        unknown = {shapes.kept_as(name): name for name in names if name not in set(found.values())}
        return chunk, Shape(table, found, unknown, {**shapes.fallbacks(table, absent), **defaults}, made, piece)

    def _prepare(self, chunk: Chunk, shape: Shape) -> Ready:
        rows, lost = convert.plain(chunk.rows)
        if not rows.num_rows:
            return Ready(chunk, 0, None, None, list(chunk.faults), {}, {})
        con = self.con.cursor()
        try:
            proofs, doubted = _proofs(rows, shape)
            unread = plans.unread(chunk, shape, lost)
            faults, wrong = [*chunk.faults, *unread.values()], np.zeros(rows.num_rows, bool)
            wrong[list(unread)] = True
            more = attributes(con, rows, shape.unknown, chunk.untyped) if shape.unknown else Attributes()
            known: dict[str, pa.Array | pa.ChunkedArray] = {}
            merged = more.values if "attributes" in shape.found else None
            if more.values is not None and merged is None:
                known["attributes"] = more.values
            proved = {**known, **{name: proof.values for name, proof in proofs.items()}}
            if len(doubted):  # asked by themselves
                few = pa.array(doubted)
                sure = {**known, **{name: proof.values for name, proof in proofs.items() if proof.doubt is None}}
                plan = Plan.of(shape, rows.schema, sure)
                answers, bad = plans.asked(con, plan, rows.take(few), None if merged is None else merged.take(few))
                faults += plans.faults(chunk, rows.take(few), plan, bad, doubted, unread)
                wrong[doubted[bad["_i"].to_numpy()]] = True
                proved = {**known, **_settled(proofs, doubted, answers)}
            plan = Plan.of(shape, rows.schema, proved)
            converted, bad = plans.asked(con, plan, rows, merged)
            bad = bad.filter(pa.array(~np.isin(bad["_i"].to_numpy(), doubted)))
            faults += plans.faults(chunk, rows, plan, bad, np.arange(rows.num_rows), unread)
            wrong[bad["_i"].to_numpy()] = True
            good = _whole(shape.table, converted, proved, wrong)
            kinds = {name: set(found) for name, found in more.kinds.items()}
            if "attributes" in shape.found:
                for name, found in names_in(con, good["attributes"]).items():
                    kinds.setdefault(name, set()).update(found)
            if self.guard is not None:
                good = _guarded(self.guard, shape.table, good)
            if not good.num_rows:
                return Ready(chunk, rows.num_rows, None, None, faults, more.counts, kinds)
            filled = [column for column in shape.table.columns if good[column.name].null_count < good.num_rows]
            hi, lo = digests(good, filled, con)
            keys = None
            if not set(shape.made) & set(shape.table.key):
                keys = entries(*self.keys.of(shape.table, good, con), lo, 0)
            good = good.select([column.name for column in filled]).append_column("_hi", pa.array(hi)).append_column("_lo", pa.array(lo))
            if shape.piece.lacks:
                good = good.append_column("_line", pa.array(chunk.lines[~wrong]))
            return Ready(chunk, rows.num_rows, good, keys, faults, more.counts, kinds, shape.piece, _months(shape.table, good))
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            why = self._words(" ".join(str(error).split()))[:SEEN_LENGTH]
            raise DataError(f"{chunk.file}, near line {chunk.lines[0]}: cannot be converted ({why})") from error
        finally:
            con.close()

    def _put(self, ready: Ready, strict: bool) -> None:
        chunk, staged = ready.chunk, self.tables[contract.table(ready.chunk.table).name]
        faults = [self._shown(fault) for fault in sorted(ready.faults, key=_line)]
        if faults and strict:
            raise DataError(f"{chunk.file}, {faults[0]}")
        origin = (chunk.file, chunk.source or chunk.file)
        if origin not in staged.files:
            staged.files.append(origin)
        if ready.rows is not None and ready.rows.num_rows:
            assert ready.piece is not None
            if not staged.pieces or staged.pieces[-1][1] is not ready.piece:
                staged.pieces.append((staged.staged, ready.piece))
            staged.waiting.add(ready.rows, staged.files.index(origin))
            if ready.months is not None:
                staged.months.append((staged.staged, *ready.months))
            if ready.keys is None:
                staged.lacking = True
            else:
                ready.keys["at"] += staged.staged
                staged.pile.add(ready.keys)
            staged.staged += ready.rows.num_rows
        for name, count in ready.unknown.items():
            staged.unknown[name] = staged.unknown.get(name, 0) + count
        for name, kinds in ready.attributes.items():
            staged.attributes.setdefault(name, set()).update(kinds)
        staged.read += ready.read + len(chunk.faults)
        if faults:
            self._quarantine(chunk.table, staged, chunk.file, faults)

    def refuse(self, name: str, file: str, faults: list[Fault]) -> None:
        """Put rows that were staged for a table into quarantine after all."""
        self._quarantine(name, self.tables[name], file, [self._shown(fault) for fault in faults])

    def _shown(self, fault: Fault) -> Fault:
        seen = self._words(fault.seen)[:SEEN_LENGTH]
        return fault if seen == fault.seen else replace(fault, seen=seen)

    def _words(self, text: str) -> str:
        return self.guard.words(text) if self.guard is not None and text else text

    def _quarantine(self, name: str, staged: StagedTable, file: str, faults: list[Fault]) -> None:
        if file not in staged.quarantine:
            staged.quarantine[file] = (self.folder / f"{name}-{len(staged.quarantine)}.jsonl").open("w", encoding="utf-8")
        staged.first_fault = staged.first_fault or f"{file}, {faults[0]}"
        staged.quarantined += len(faults)
        staged.quarantine[file].writelines(
            json.dumps({"file": file, "line": fault.line, "column": fault.column, "seen": fault.seen, "reason": fault.reason,
                        "fix": fault.fix}) + "\n" for fault in faults
        )  # fmt: skip


def _proofs(rows: pa.Table, shape: Shape) -> tuple[dict[str, Proof], Places]:
    """What is known of the contract's columns without SQL, and the rows that it must be asked about by themselves."""
    proofs: dict[str, Proof] = {}
    for ours, theirs in shape.found.items():
        if is_json(rows.schema.field(theirs)):
            continue
        proof = direct(rows[theirs], shape.table[ours], filled=ours in shape.constants)
        if proof is not None:
            proofs[ours] = proof
    groups = [[name for name in group if name in shape.found or name in shape.constants] for group in shape.table.any_of]
    for group in groups:  # a row needs one of these, so a doubt about one of them is a doubt about all
        known = [proofs[name] for name in group if name in proofs]
        doubts = [proof.doubt for proof in known if proof.doubt is not None]
        if known and len(known) == len(group):
            gap = np.logical_and.reduce([pc.is_null(proof.values).to_numpy(zero_copy_only=False) for proof in known])
            doubts += [gap] if gap.any() else []
        if doubts:
            proofs |= {name: Proof(proofs[name].values, np.logical_or.reduce(doubts)) for name in group if name in proofs}
    doubted = np.flatnonzero(
        np.logical_or.reduce([np.zeros(rows.num_rows, bool), *(p.doubt for p in proofs.values() if p.doubt is not None)])
    )
    if len(doubted) > rows.num_rows * DOUBTED:
        proofs, doubted = {name: proof for name, proof in proofs.items() if proof.doubt is None}, doubted[:0]
    for group in groups:  # SQL can only tell that all are missing if it sees all of them
        known = [proofs[name] for name in group if name in proofs]
        if len(known) < len(group) and not any(proof.doubt is None and not proof.values.null_count for proof in known):
            for name in group:
                proofs.pop(name, None)
    return proofs, doubted


def _settled(proofs: Mapping[str, Proof], doubted: Places, answers: pa.Table) -> dict[str, pa.Array]:
    """The values of all proofs, where they were in doubt as SQL answered."""
    found = {name: proof.values for name, proof in proofs.items()}
    for name, proof in proofs.items():
        if proof.doubt is not None:
            mask = np.zeros(len(proof.values), bool)
            mask[doubted] = True
            found[name] = pc.replace_with_mask(proof.values, pa.array(mask), answers[name].combine_chunks().cast(proof.values.type))
    return found


def _whole(table: contract.Table, converted: pa.Table, proved: Mapping[str, pa.Array], wrong: Flags) -> pa.Table:
    """All contract columns in the contract's types, without the rows that are wrong."""
    keep, rows, arrays = pa.array(~wrong) if wrong.any() else None, len(wrong) - int(wrong.sum()), []
    for column in table.columns:
        values = proved.get(column.name)
        if values is None and column.name in converted.schema.names:
            values = converted[column.name].cast(column.type)
        if values is None:
            values = pa.nulls(rows, column.type)
        elif keep is not None:
            values = values.filter(keep)
        arrays.append(values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values]))
    return pa.Table.from_arrays(arrays, schema=pa.schema([pa.field(column.name, column.type) for column in table.columns]))


def _months(table: contract.Table, good: pa.Table) -> tuple[int, int] | None:
    if not table.grouped or table.clock not in good.schema.names or good[table.clock].null_count == good.num_rows:
        return None
    found = pc.min_max(good[table.clock].cast(pa.int64()))
    low, high = (
        np.array([found["min"].as_py(), found["max"].as_py()]).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64).tolist()
    )
    return low, high


def _guarded(guard: Guard, table: contract.Table, rows: pa.Table) -> pa.Table:
    hidden = guard.rows(table, rows)
    assert (hidden.num_rows, hidden.schema) == (rows.num_rows, rows.schema), "a guard keeps columns, types and rows"
    return hidden


def _line(fault: Fault) -> int:
    return fault.line
