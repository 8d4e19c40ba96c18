"""Foreign rows -> contract rows, or quarantine with file, line, column, value seen, reason and fix.

An importer yields ``Chunk``s; ``Staging`` converts and checks each with one SQL statement and keeps the good
rows on disk until the shop takes them, so memory does not grow with the file. Always:
rows read = inserted + updated + duplicate + quarantined.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa

from shoplm.data import contract, convert
from shoplm.data.convert import Rule, Source, name_in_sql, text_in_sql
from shoplm.errors import DataError, did_you_mean

SEEN_LENGTH = 200


@dataclass(frozen=True)
class Fault:
    """Why one foreign row stays out."""

    line: int
    column: str
    seen: str
    reason: str
    fix: str

    def __str__(self) -> str:
        seen = f", seen {self.seen!r}" if self.seen else ""
        where = f"column `{self.column}` " if self.column else ""
        return f"line {self.line}: {where}{self.reason}{seen}; {self.fix}"


@dataclass(frozen=True)
class Chunk:
    """Some rows of one file as an importer read them.

    Attributes:
        table: the contract table that they go into.
        rows: foreign columns; names are matched to the contract's without regard to case or outer spaces.
        lines: (rows,) int64, the line on which each row begins (its row number, from 1, where a format has no lines).
        file: where they come from, for messages and the ``source`` column.
        faults: rows that could not even be read; they count as read and quarantined.
        untyped: every value is text and shows its type by its form only (csv).
        source: the foreign system that the ``source`` column names, such as "ga4"; empty stands for ``file``.
    """

    table: str
    rows: pa.Table
    lines: np.ndarray[Any, np.dtype[np.int64]]
    file: str
    faults: tuple[Fault, ...] = ()
    untyped: bool = False
    source: str = ""


class Guard(Protocol):
    """What hides people on the way in. Both parts see every value before anything is stored or said."""

    def rows(self, table: contract.Table, rows: pa.Table) -> pa.Table:
        """Rows that kept the contract, as they may be stored.

        Called after conversion and checks, before made-up keys and digests: what it hides leaves no trace in either.

        Args:
            table: the contract table that they go into.
            rows: all of the contract's columns in the contract's types; made-up keys are still null.

        Returns:
            The same columns in the same types, as many rows, in the same order.
        """
        ...

    def words(self, text: str) -> str:
        """Raw text of a faulty row, as it may stand in quarantine and reports."""
        ...


@dataclass(frozen=True)
class TableReport:
    """What became of the rows for one table."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    duplicate: int = 0
    quarantined: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Columns that the contract does not name, with the number of values now in ``attributes``."""
    quarantine: tuple[str, ...] = ()
    """The files that list the quarantined rows."""
    first_fault: str = ""


@dataclass(frozen=True)
class ImportReport:
    """What became of every row of an import: ``read == inserted + updated + duplicate + quarantined``, always."""

    data_version: str
    tables: Mapping[str, TableReport]

    def _sum(self, name: str) -> int:
        return sum(int(getattr(report, name)) for report in self.tables.values())

    @property
    def read(self) -> int:
        """Rows that the files hold."""
        return self._sum("read")

    @property
    def inserted(self) -> int:
        """Rows whose key is new."""
        return self._sum("inserted")

    @property
    def updated(self) -> int:
        """Rows that say something else than before."""
        return self._sum("updated")

    @property
    def duplicate(self) -> int:
        """Rows that were there already."""
        return self._sum("duplicate")

    @property
    def quarantined(self) -> int:
        """Rows that stay out."""
        return self._sum("quarantined")

    @property
    def unknown(self) -> dict[str, int]:
        """Values in columns that the contract does not name, by ``table.column``."""
        return {f"{name}.{column}": n for name, report in self.tables.items() for column, n in report.unknown.items()}

    def plain(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        counts = ("read", "inserted", "updated", "duplicate", "quarantined")
        tables = {
            name: {count: getattr(report, count) for count in counts}
            | {"unknown": dict(report.unknown), "quarantine": list(report.quarantine)}
            for name, report in self.tables.items()
        }
        return {"data_version": self.data_version, **{count: self._sum(count) for count in counts}, "tables": tables}

    def __str__(self) -> str:
        lines = []
        for name, report in self.tables.items():
            lines.append(
                f"{name}: {report.read} rows read = {report.inserted} new + {report.updated} updated + "
                f"{report.duplicate} already there + {report.quarantined} quarantined"
            )
            if report.unknown:
                lines.append("  kept as attributes: " + ", ".join(f"{column} ({n})" for column, n in report.unknown.items()))
            if report.quarantined:
                lines.append(f"  first fault: {report.first_fault}")
                lines.append("  all faults:  " + ", ".join(report.quarantine))
        return "\n".join([*lines, f"data version: {self.data_version}"])


@dataclass
class StagedTable:
    """What has been staged for one table so far."""

    read: int = 0
    staged: int = 0
    quarantined: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, set[str]] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)
    """File and source of the rows whose ``_file`` is the place in this list."""
    first_fault: str = ""
    quarantine: dict[str, IO[str]] = field(default_factory=dict)


class Staging:
    """Contract rows on their way in: converted, checked, and kept on disk until the shop takes them."""

    def __init__(self, folder: Path, guard: Guard | None = None) -> None:
        self.folder, self.guard = folder, guard
        self.con = duckdb.connect(
            str(folder / "stage.duckdb"),
            config={"temp_directory": str(folder / "spill"), "memory_limit": "1GB", "preserve_insertion_order": "true",
                    "autoload_known_extensions": "false", "autoinstall_known_extensions": "false"},
        )  # fmt: skip
        self.con.execute("SET python_enable_replacements=false")
        self.tables: dict[str, StagedTable] = {}
        self._absent: dict[tuple[str, str], frozenset[str]] = {}

    def close(self) -> None:
        """Let go of every open file; the folder may then be removed."""
        for staged in self.tables.values():
            for file in staged.quarantine.values():
                file.close()
        self.con.close()

    def add(self, chunk: Chunk, mapping: Mapping[str, str], defaults: Mapping[str, str], *, strict: bool) -> None:
        """Convert, check and keep one chunk.

        Raises:
            DataError: a required column is missing, a mapping or default names no column, or, if ``strict``, any row
                is faulty: then the message is the first fault.
        """
        table = contract.table(chunk.table)
        staged = self.tables.get(table.name) or self._open(table)
        rows = _plain(chunk)
        plan = self._plan(table, chunk, rows, mapping, defaults)
        origin = (chunk.file, chunk.source or chunk.file)
        if origin not in staged.files:
            staged.files.append(origin)
        faults = list(chunk.faults)
        if rows.num_rows:
            self.con.register("_chunk", convert.trimmed(rows))
            try:
                self.con.execute(plan.convert)
            except (duckdb.DataError, duckdb.InvalidInputException) as error:
                why = self._words(" ".join(str(error).split()))[:SEEN_LENGTH]
                raise DataError(f"{chunk.file}, near line {chunk.lines[0]}: cannot be converted ({why})") from error
            bad = self.con.sql("SELECT _i, _fault FROM _converted WHERE _fault IS NOT NULL ORDER BY _i").to_arrow_table()
            if bad.num_rows:
                faults += _faults(chunk, rows, plan, bad)
            self._refuse(chunk.file, faults, strict)
            self._keep(table, plan, staged.files.index(origin), staged.read)
            self._measure(staged, plan)
            self.con.unregister("_chunk")
            staged.staged += rows.num_rows - bad.num_rows
        else:
            self._refuse(chunk.file, faults, strict)
        staged.read += rows.num_rows + len(chunk.faults)
        if faults:
            self._quarantine(table.name, staged, chunk.file, [self._shown(fault) for fault in sorted(faults, key=_line)])

    def _refuse(self, file: str, faults: list[Fault], strict: bool) -> None:
        if faults and strict:
            raise DataError(f"{file}, {self._shown(min(faults, key=_line))}")

    def _shown(self, fault: Fault) -> Fault:
        return replace(fault, seen=self._words(fault.seen)[:SEEN_LENGTH])

    def _words(self, text: str) -> str:
        return self.guard.words(text) if self.guard is not None and text else text

    def _keep(self, table: contract.Table, plan: Plan, file: int, start: int) -> None:
        if self.guard is None:
            self.con.execute(plan.insert(file, start))
            return
        names = ", ".join(name_in_sql(name) for name in plan.columns)
        good = self.con.sql(f"SELECT {names}, _i FROM _converted WHERE _fault IS NULL ORDER BY _i").to_arrow_table()
        schema = pa.schema([pa.field(column.name, column.type) for column in table.columns])
        hidden = self.guard.rows(table, good.drop_columns(["_i"]).cast(schema))
        assert hidden.num_rows == good.num_rows and hidden.schema.equals(schema), "a guard keeps columns, types and rows"
        naive = [pa.field(f.name, pa.timestamp("us")) if f.type == contract.TIME else f for f in schema]
        self.con.register("_hidden", hidden.cast(pa.schema(naive)).append_column("_i", good["_i"]))
        self.con.execute(plan.insert(file, start, "_hidden"))
        self.con.unregister("_hidden")

    def _open(self, table: contract.Table) -> StagedTable:
        columns = ", ".join(f"{name_in_sql(column.name)} {convert.SQL_TYPES[column.type]}" for column in table.columns)
        self.con.execute(f"CREATE TEMP TABLE {table.name} ({columns}, _content UHUGEINT, _file INTEGER, _ord BIGINT)")
        self.tables[table.name] = StagedTable()
        return self.tables[table.name]

    def _plan(self, table: contract.Table, chunk: Chunk, rows: pa.Table, mapping: Mapping[str, str], defaults: Mapping[str, str]) -> Plan:
        found = _match(table, chunk.file, rows.schema.names, mapping)
        for name in defaults:
            table[name]
        absent = self._absent.get((table.name, chunk.file))
        if absent is None:  # what the file lacks is settled by its first chunk
            absent = frozenset(column.name for column in table.columns if column.name not in found and column.name not in defaults)
            _refuse_missing(table, chunk.file, rows.schema.names, absent)
            self._absent[table.name, chunk.file] = absent
        return Plan.of(table, rows.schema, found, {**_fallbacks(table, absent), **defaults}, _made(table, absent), chunk.untyped)

    def _measure(self, staged: StagedTable, plan: Plan) -> None:
        values = self.con.sql(plan.measure).fetchall()[0] if plan.measure else ()
        for name, count, types in zip(plan.unknown, values[::2], values[1::2], strict=True):
            staged.unknown[name] = staged.unknown.get(name, 0) + count
            if count:
                staged.attributes.setdefault(name, set()).update(kind for kind in types if kind)
        if plan.nested:
            pointer = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
            keys = "SELECT attributes a, unnest(json_keys(attributes)) k FROM _converted WHERE _fault IS NULL"
            query = f"SELECT DISTINCT k, {convert.json_type('v')} FROM (SELECT k, json_extract(a, {pointer}) v FROM ({keys}))"
            for name, kind in self.con.sql(query).fetchall():
                staged.attributes.setdefault(name, set()).add(kind or "VARCHAR")

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
class Plan:
    """The SQL that turns chunks of one shape into contract rows."""

    convert: str
    columns: tuple[str, ...]
    content: str
    rules: tuple[Rule, ...]
    behind: Mapping[str, str]
    unknown: tuple[str, ...]
    measure: str
    nested: bool
    table: str

    @staticmethod
    def of(
        table: contract.Table,
        schema: pa.Schema,
        found: Mapping[str, str],
        constants: Mapping[str, str],
        made: frozenset[str],
        untyped: bool,
    ) -> Plan:
        """The plan for rows of ``schema``, where ``found`` gives the foreign column behind each contract column."""
        foreign = {name: _source(place, schema.field(place)) for place, name in enumerate(schema.names)}
        sources = {ours: foreign[theirs] for ours, theirs in found.items()}
        used = set(found.values())
        unknown = {name.strip().lower() or "unnamed": foreign[name] for name in schema.names if name not in used}
        selected = ["_i"]
        for column in table.columns:
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
        rules = tuple(convert.rules(table, sources, made))
        cases = " ".join(f"WHEN {rule.sql} THEN {number}" for number, rule in enumerate(rules))
        fault = f"CASE {cases} END" if cases else "CAST(NULL AS INTEGER)"
        filled = [column for column in table.columns if column.name in sources or (column.name == "attributes" and unknown)]
        return Plan(
            f"CREATE OR REPLACE TEMP TABLE _converted AS SELECT *, {fault} AS _fault FROM (SELECT {', '.join(selected)} FROM _chunk)",
            tuple(column.name for column in table.columns),
            convert.canonical(filled),
            rules,
            dict(found),
            tuple(unknown),
            "SELECT " + ", ".join(f"count({s.as_json(untyped)}), {s.json_types(untyped)}" for s in unknown.values()) + " FROM _chunk"
            if unknown
            else "",
            "attributes" in found,
            table.name,
        )

    def insert(self, file: int, start: int, rows: str = "_converted WHERE _fault IS NULL") -> str:
        """SQL that keeps the good rows."""
        names = ", ".join(name_in_sql(name) for name in self.columns)
        return f"INSERT INTO {self.table} SELECT {names}, md5_number({self.content}), {file}, {start} + _i FROM {rows}"


def _plain(chunk: Chunk) -> pa.Table:
    try:
        return convert.plain(chunk.rows)
    except DataError as error:
        line = int(chunk.lines[0]) if len(chunk.lines) else 1
        raise DataError(f"{chunk.file}, near line {line}: {error}") from None


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


def _refuse_missing(table: contract.Table, file: str, names: list[str], absent: frozenset[str]) -> None:
    made = _made(table, absent) | set(_fallbacks(table, absent))
    for column in table.columns:
        if column.required and column.name in absent and column.name not in made:
            hint = f"{did_you_mean(column.name, names)} Map it with {column.name}=THEIRS or give a default"
            raise DataError(f"{file}: table {table.name} needs a column `{column.name}` ({column.description}); {hint}")
    for group in table.any_of:
        if all(name in absent for name in group):
            seen = f"seen {', '.join(names[:20])}"
            raise DataError(f"{file}: table {table.name} needs at least one of {', '.join(group)}; {seen}; map one with {group[0]}=THEIRS")


def _made(table: contract.Table, absent: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in table.derived if name in absent)


def _fallbacks(table: contract.Table, absent: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in table.fallback if name in absent}


def _faults(chunk: Chunk, rows: pa.Table, plan: Plan, bad: pa.Table) -> Iterator[Fault]:
    for i, number in zip(bad["_i"].to_pylist(), bad["_fault"].to_pylist(), strict=True):
        rule = plan.rules[number]
        behind = plan.behind.get(rule.column)
        seen = _seen(rows[behind][i]) if behind else ""  # uncut: a guard must see whole words
        yield Fault(int(chunk.lines[i]), behind or rule.column, seen, rule.reason, rule.fix)


def _seen(value: pa.Scalar) -> str:
    try:
        plain = value.as_py()
    except (OverflowError, ValueError):  # a time outside the years 1 to 9999
        return str(getattr(value, "value", "out of range"))
    return "" if plain is None else (plain if isinstance(plain, str) else str(plain))


def _line(fault: Fault) -> int:
    return fault.line


def in_chunks(table: str, rows: Iterable[pa.RecordBatch | pa.Table], file: str) -> Iterator[Chunk]:
    """Arrow rows from Python as chunks, numbered from 1."""
    start = 1
    for part in rows:
        whole = part if isinstance(part, pa.Table) else pa.Table.from_batches([part])
        for offset in range(0, max(whole.num_rows, 1), 50_000):
            piece = whole.slice(offset, 50_000)
            yield Chunk(table, piece, np.arange(start, start + piece.num_rows), file)
            start += piece.num_rows
