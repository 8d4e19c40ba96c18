"""Foreign rows -> contract rows, or quarantine with file, line, column, value seen, reason and fix.

``Staging`` converts and checks each chunk, first by proof over whole columns (``direct``), else with one SQL
statement, and keeps the good rows on disk until the shop takes them, so memory does not grow with the file.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, convert
from shoplm.data.convert import Rule, Source, name_in_sql, text_in_sql
from shoplm.data.direct import Flags, Proof, direct
from shoplm.data.ingest import SEEN_LENGTH, Chunk, Fault, Guard
from shoplm.data.waiting import Entries, Pile, Waiting, digests, entries
from shoplm.errors import DataError, did_you_mean

THREADS = 2
"""Chunks that are converted at the same time."""
DOUBTED = 0.25
"""With more of a chunk's rows in doubt, SQL looks at the doubtful columns as a whole."""

Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Piece:
    """Rows of one file that follow one another, and what the file names.

    Attributes:
        file: for messages.
        named: contract columns that the file has, or that were given a default; grows until the file ends.
        others: names that it has besides and that go to ``attributes``.
        made: columns that are made up because the file has none.
        lacks: required columns that it has not, so only rows that the shop holds can be meant.
        refusal: how the file is refused if the shop holds none of its rows.
        strict: one row that the shop does not hold refuses everything.
    """

    file: str
    made: frozenset[str]
    lacks: frozenset[str]
    refusal: str
    strict: bool
    named: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


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
            return chunk, Shape(table, {}, defaults, frozenset(), Piece(chunk.file, frozenset(), frozenset(), "", strict))
        found = _match(table, chunk.file, chunk.rows.schema.names, mapping)
        here = frozenset(column.name for column in table.columns if column.name not in found and column.name not in defaults)
        absent = self._absent.setdefault((table.name, chunk.file), here)  # what the file lacks is settled by its first chunk
        lacks, refusal = _missing(table, chunk.file, chunk.rows.schema.names, absent & here, table.name in self.held)
        new = Piece(chunk.file, _made(table, absent), lacks, refusal, strict)
        piece = self._pieces.setdefault((table.name, chunk.file, lacks), new)
        _name(piece, chunk, found, defaults)
        return chunk, Shape(table, found, {**_fallbacks(table, absent), **defaults}, _made(table, absent), piece)

    def _prepare(self, chunk: Chunk, shape: Shape) -> Ready:
        rows, lost = convert.plain(chunk.rows)
        if not rows.num_rows:
            return Ready(chunk, 0, None, None, list(chunk.faults), {}, {})
        con = self.con.cursor()
        try:
            proofs, doubted = _proofs(rows, shape)
            unread = _unread(chunk, shape, lost)
            faults, wrong = [*chunk.faults, *unread.values()], np.zeros(rows.num_rows, bool)
            wrong[list(unread)] = True
            proved = {name: proof.values for name, proof in proofs.items()}
            if len(doubted):  # asked by themselves
                few = rows.take(pa.array(doubted))
                sure = {name: proof.values for name, proof in proofs.items() if proof.doubt is None}
                plan = Plan.of(shape, rows.schema, sure, chunk.untyped)
                answers, bad = _asked(con, plan, few)
                faults += _faults(chunk, few, plan, bad, doubted, unread)
                wrong[doubted[bad["_i"].to_numpy()]] = True
                proved = _settled(proofs, doubted, answers)
            plan = Plan.of(shape, rows.schema, proved, chunk.untyped)
            converted, bad = _asked(con, plan, rows)
            bad = bad.filter(pa.array(~np.isin(bad["_i"].to_numpy(), doubted)))
            faults += _faults(chunk, rows, plan, bad, np.arange(rows.num_rows), unread)
            wrong[bad["_i"].to_numpy()] = True
            good = _whole(shape.table, converted, proved, wrong)
            unknown, attributes = _measured(con, plan, good)
            if self.guard is not None:
                good = _guarded(self.guard, shape.table, good)
            if not good.num_rows:
                return Ready(chunk, rows.num_rows, None, None, faults, unknown, attributes)
            filled = [column for column in shape.table.columns if good[column.name].null_count < good.num_rows]
            hi, lo = digests(good, filled, con)
            keys = None
            if not set(shape.made) & set(shape.table.key):
                keys = entries(*digests(good, [shape.table[name] for name in shape.table.key], con), lo, 0)
            good = good.select([column.name for column in filled]).append_column("_hi", pa.array(hi)).append_column("_lo", pa.array(lo))
            if shape.piece.lacks:
                good = good.append_column("_line", pa.array(chunk.lines[~wrong]))
            return Ready(chunk, rows.num_rows, good, keys, faults, unknown, attributes, shape.piece)
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


@dataclass(frozen=True)
class Shape:
    """What stands behind each contract column: a foreign column, a constant, something made up later, or nothing."""

    table: contract.Table
    found: Mapping[str, str]
    constants: Mapping[str, str]
    made: frozenset[str]
    piece: Piece


def _proofs(rows: pa.Table, shape: Shape) -> tuple[dict[str, Proof], Places]:
    """What is known of the contract's columns without SQL, and the rows that it must be asked about by themselves."""
    proofs: dict[str, Proof] = {}
    for ours, theirs in shape.found.items():
        if (rows.schema.field(theirs).metadata or {}).get(b"shoplm") == b"json":
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


def _asked(con: duckdb.DuckDBPyConnection, plan: Plan, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows as SQL converts them, and number and fault of those that break a rule."""
    con.register("_chunk", convert.trimmed(rows, plan.places))
    converted = con.sql(plan.convert).to_arrow_table()
    return converted, converted.filter(pc.is_valid(converted["_fault"])).select(["_i", "_fault"])


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


def _guarded(guard: Guard, table: contract.Table, rows: pa.Table) -> pa.Table:
    hidden = guard.rows(table, rows)
    assert (hidden.num_rows, hidden.schema) == (rows.num_rows, rows.schema), "a guard keeps columns, types and rows"
    return hidden


def _measured(con: duckdb.DuckDBPyConnection, plan: Plan, good: pa.Table) -> tuple[dict[str, int], dict[str, set[str]]]:
    """How many values each unknown column holds, and the types of all names in ``attributes``."""
    unknown: dict[str, int] = {}
    attributes: dict[str, set[str]] = {}
    values = con.sql(plan.measure).fetchall()[0] if plan.measure else ()
    for name, count, types in zip(plan.unknown, values[::2], values[1::2], strict=True):
        unknown[name] = count
        if count:
            attributes.setdefault(name, set()).update(kind for kind in types if kind)
    if plan.nested:
        con.register("_good", good.select(["attributes"]))
        pointer = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
        keys = "SELECT attributes a, unnest(json_keys(attributes)) k FROM _good"
        query = f"SELECT DISTINCT k, {convert.json_type('v')} FROM (SELECT k, json_extract(a, {pointer}) v FROM ({keys}))"
        for name, kind in con.sql(query).fetchall():
            attributes.setdefault(name, set()).add(kind or "VARCHAR")
    return unknown, attributes


@dataclass(frozen=True)
class Plan:
    """The SQL that turns chunks of one shape into contract rows, as far as they are not proved to be right already."""

    convert: str
    rules: tuple[Rule, ...]
    behind: Mapping[str, str]
    unknown: tuple[str, ...]
    measure: str
    nested: bool
    places: frozenset[int]
    """Foreign columns that SQL must see."""

    @staticmethod
    def of(shape: Shape, schema: pa.Schema, proved: Mapping[str, pa.Array], untyped: bool) -> Plan:
        """The plan for rows of ``schema`` of which the columns ``proved`` need nothing more."""
        table, found, constants = shape.table, shape.found, shape.constants
        foreign = {name: _source(place, schema.field(place)) for place, name in enumerate(schema.names)}
        sources = {ours: foreign[theirs] for ours, theirs in found.items() if ours not in proved}
        used = set(found.values())
        unknown = {_kept_as(name): foreign[name] for name in schema.names if name not in used}
        selected, kept = ["_i"], ["_i"]
        for column in table.columns:
            if column.name in proved:
                continue
            name, source, kind = column.name, sources.get(column.name), convert.SQL_TYPES[column.type]
            value, given = f"CAST(NULL AS {kind})", "false"
            if source:
                value, given = source.cast(column), source.given(column.type)
                value = f"CASE WHEN {given} THEN {value} END"
            if name in constants:
                constant = Source(text_in_sql(constants[name]), pa.string(), tidy=text_in_sql(constants[name].strip()))
                value = f"CASE WHEN {given} THEN {value} ELSE {constant.cast(column)} END" if source else constant.cast(column)
                given = "true"
                sources[name] = constant
            if name == "attributes" and unknown:
                heads = {theirs: text_in_sql(json.dumps(theirs, ensure_ascii=False) + ":") for theirs in sorted(unknown)}
                literals = ", ".join(f"{head} || {unknown[theirs].as_json(untyped)}" for theirs, head in heads.items())
                whole = f"nullif('{{' || concat_ws(',', {literals}) || '}}', '{{}}')"
                value = f"CAST(json_merge_patch(coalesce({value}, '{{}}'), coalesce({whole}, '{{}}')) AS VARCHAR)" if source else whole
            selected.append(f"{value} AS {name_in_sql(name)}")
            selected.append(f"{given} AS {name_in_sql('_given_' + name)}")
            if name in sources or (name == "attributes" and unknown):
                kept.append(name_in_sql(name))
        whole_rows = {name: not values.null_count for name, values in proved.items()}
        rules = tuple(convert.rules(table, sources, shape.made | shape.piece.lacks, whole_rows))
        cases = " ".join(f"WHEN {rule.sql} THEN {number}" for number, rule in enumerate(rules))
        fault = f"CASE {cases} END" if cases else "CAST(NULL AS INTEGER)"
        measures = ", ".join(f"count({s.counted(untyped)}), {s.json_types(untyped)}" for s in unknown.values())
        proved_places = {schema.get_field_index(found[name]) for name in proved}
        places = {schema.get_field_index(theirs) for ours, theirs in found.items() if ours not in proved}
        return Plan(
            f"SELECT {', '.join(kept)}, {fault} AS _fault FROM (SELECT {', '.join(selected)} FROM _chunk)",
            rules,
            dict(found),
            tuple(unknown),
            f"SELECT {measures} FROM _chunk" if unknown else "",
            "attributes" in found,
            frozenset(range(len(schema))) - frozenset(proved_places - places),
        )


def _source(place: int, column: pa.Field) -> Source:
    marked = (column.metadata or {}).get(b"shoplm") == b"json"
    return Source(f"c{place}", column.type, marked, f"tc{place}" if pa.types.is_string(column.type) else "")


def _match(table: contract.Table, file: str, names: list[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """The foreign column behind each contract column."""
    seen: dict[str, str] = {}
    for name in names:
        key = name.strip().lower()
        if key in seen:
            raise DataError(f"{file}: columns `{seen[key]}` and `{name}` have the same name; rename one")
        seen[key] = name
    found = {key: name for key, name in seen.items() if key in table.by_name}
    for ours, theirs in mapping.items():
        table[ours]
        if theirs.strip().lower() not in seen:
            raise DataError(f"{file}: the map {ours}={theirs} names a column that is not there; {did_you_mean(theirs, names)}")
        found[ours] = seen[theirs.strip().lower()]
    return found


def _name(piece: Piece, chunk: Chunk, found: Mapping[str, str], defaults: Iterable[str]) -> None:
    """Note what a chunk names."""
    names = chunk.rows.schema.names
    empty = {name for name in names if chunk.sparse and chunk.rows[name].null_count == chunk.rows.num_rows}
    piece.named.update(defaults, (ours for ours, theirs in found.items() if theirs not in empty))
    piece.others.update(_kept_as(name) for name in set(names) - set(found.values()))


def _kept_as(name: str) -> str:
    """The name under which ``attributes`` keeps a foreign column."""
    return name.strip().lower() or "unnamed"


def _missing(table: contract.Table, file: str, names: list[str], absent: frozenset[str], held: bool) -> tuple[frozenset[str], str]:
    """What a row must have and the file has not, and how that is refused; nothing and "" if it has everything.

    Raises:
        DataError: something is missing, and no row of the shop can be meant: the table is not ``held``, or the key is not whole.
    """
    made = _made(table, absent) | set(_fallbacks(table, absent))
    lacks: list[str] = []
    refusal = ""
    for column in table.columns:
        if column.required and column.name in absent and column.name not in made:
            hint = f"{did_you_mean(column.name, names)} Map it with {column.name}=THEIRS or give a default"
            refusal = refusal or f"{file}: table {table.name} needs a column `{column.name}` ({column.description}); {hint}"
            lacks.append(column.name)
    for group in table.any_of:
        if all(name in absent for name in group):
            seen = f"seen {', '.join(names[:20])}"
            one = f"{file}: table {table.name} needs at least one of {', '.join(group)}; {seen}; map one with {group[0]}=THEIRS"
            refusal = refusal or one
            lacks += group
    if refusal and (not held or made.union(lacks) & set(table.key)):
        raise DataError(refusal)
    return frozenset(lacks), refusal


def _made(table: contract.Table, absent: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in table.derived if name in absent)


def _fallbacks(table: contract.Table, absent: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in table.fallback if name in absent}


def _unread(chunk: Chunk, shape: Shape, lost: Mapping[str, list[int]]) -> dict[int, Fault]:
    """By row, what could not be read at all; in a column that the contract does not name it is only left out."""
    unread: dict[int, Fault] = {}
    for name in shape.found.values():
        for i in lost.get(name, ()):
            kind = chunk.rows.schema.field(name).type
            fix = "write it as text in UTF-8, a number or a time"
            unread.setdefault(i, Fault(int(chunk.lines[i]), name, _seen(chunk.rows[name][i]), f"({kind}) cannot be read", fix))
    return unread


def _faults(chunk: Chunk, rows: pa.Table, plan: Plan, bad: pa.Table, places: Places, unread: Collection[int]) -> Iterator[Fault]:
    for i, number in zip(bad["_i"].to_pylist(), bad["_fault"].to_pylist(), strict=True):
        if places[i] in unread:
            continue
        rule = plan.rules[number]
        behind = plan.behind.get(rule.column)
        seen = _seen(rows[behind][i]) if behind else ""  # uncut: a guard must see whole words
        yield Fault(int(chunk.lines[places[i]]), behind or rule.column, seen, rule.reason, rule.fix)


def _seen(value: pa.Scalar) -> str:
    try:
        plain = value.as_py()
    except (OverflowError, ValueError):  # a time outside the years 1 to 9999
        return str(getattr(value, "value", "out of range"))
    return "" if plain is None else (plain if isinstance(plain, str) else str(plain))


def _line(fault: Fault) -> int:
    return fault.line
