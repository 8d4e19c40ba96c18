"""A shop as it was at one data version: SQL over its tables, and a table cut into parts that fit in memory.

SQL runs in DuckDB, shut off from files, network and settings. Times are naive UTC inside SQL and come out as
``timestamp[us, UTC]``. Names found in ``attributes`` are columns of their table; a contract column wins.
"""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import duckdb
import numpy as np
import pyarrow as pa

from shoplm.data import contract, migrate
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.delta import Positions
from shoplm.data.manifest import Manifest
from shoplm.data.sight import Sight
from shoplm.errors import DataError, did_you_mean

MEMORY = "2GB"
"""What one view's questions may hold before they use the disk."""

_UTC = pa.timestamp("us", tz="UTC")


class View:
    """An immutable sight of a shop; safe to share between threads. Make one with ``Shop.view``."""

    def __init__(
        self,
        sights: Mapping[str, Sight],
        manifest: Manifest,
        where: str | None,
        con: duckdb.DuckDBPyConnection,
        part: tuple[str, pa.Table] | None,
        whole: View | None = None,
    ) -> None:
        self._sights, self._manifest, self._where = sights, manifest, where
        self._con, self._part, self._whole = con, part, whole
        self._lock = threading.Lock()
        self._ready: set[str] = set()
        self._barred: dict[tuple[str, str], str] = {}

    def without(self, barred: Mapping[tuple[str, str], pa.Array]) -> View:
        """The same sight without some rows, in every query and every part; ``rows`` and ``has`` go on counting all.

        Args:
            barred: by table and column, the values that bar a row; a null bars nothing.
        """
        other = View(self._sights, self._manifest, self._where, self._con.cursor(), None)
        for (table, column), values in barred.items():
            name = f"_barred_{uuid.uuid4().hex}"
            other._con.register("_values", pa.table({"value": values}))
            other._con.execute(f"CREATE TABLE main.{name} AS SELECT value FROM _values WHERE value IS NOT NULL")
            other._con.unregister("_values")
            other._barred[contract.table(table).name, contract.table(table)[column].name] = name
        return other

    @staticmethod
    def of(folder: Path, manifest: Manifest, where: str | None) -> View:
        """The view of ``manifest`` over the Delta tables in ``folder``, its files held open from now on.

        Raises:
            FileNotFoundError: a file is gone: the version was forgotten, or its files merged, a moment ago.
            DataError: ``where`` is not one SQL expression.
        """
        if where is not None:
            _expression(where)
        sights = {name: Sight.of(contract.table(name), folder / name, state.delta) for name, state in manifest.tables.items()}
        return View(sights, manifest, where, _connected(), None)

    @property
    def data_version(self) -> str:
        """Such as ``v3-1f0c22ab``."""
        return self._manifest.data_version

    @property
    def whole(self) -> View:
        """The view that this is a part of, else this one."""
        return self if self._whole is None else self._whole

    @property
    def table(self) -> pa.Table:
        """The rows of this part, with ``_row`` and ``_id``.

        Raises:
            DataError: this view is the whole shop, not a part.
        """
        if self._part is None:
            raise DataError("this view is the whole shop; take a table's rows from view.parts(table)")
        return self._part[1]

    def rows(self, table: str) -> int:
        """How many rows ``table`` has, 0 if the shop has none.

        Raises:
            DataError: the contract has no such table.
        """
        if self._part is not None and self._part[0] == table:
            return int(self._part[1].num_rows)
        state = self._manifest.tables.get(contract.table(table).name)
        return state.rows if state else 0

    def has(self, table: str) -> bool:
        """Has ``table`` any rows?"""
        return self.rows(table) > 0

    def columns(self, table: str) -> list[str]:
        """The contract's columns of ``table``, then the attribute names; in a part also ``_row`` and ``_id``."""
        names = [column.name for column in contract.table(table).columns] + list(self._attributes(table))
        return [*names, "_row", "_id"] if self._part is not None and self._part[0] == table else names

    def sql(self, query: str, given: Mapping[str, pa.Table] = MappingProxyType({})) -> pa.Table:
        """The answer to one SELECT over the contract's tables; times are ``timestamp[us, UTC]``.

        Args:
            query: the SELECT.
            given: tables of the caller's own that it may name, times in them as int64.

        Raises:
            DataError: the query is not one SELECT, or DuckDB refuses it; one line with the closest column names.
        """
        try:
            statements = duckdb.extract_statements(query)
        except duckdb.Error as error:
            raise DataError(f"query: {_said(error)}") from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(f"query: expected one SELECT, seen {query.strip()[:100]!r}")
        with self._lock:
            for name in contract.TABLES:
                if name not in self._ready and name in query.lower():
                    self._open(name)
            for name, rows in given.items():
                self._con.register(name, rows)
            try:
                answer = self._con.sql(query).to_arrow_table()
            except duckdb.Error as error:
                raise DataError(f"query: {self._explained(error)}") from None
            finally:
                for name in given:
                    self._con.unregister(name)
        return _utc(answer)

    def parts(self, table: str, rows: int = 50_000, where: str | None = None) -> Iterator[View]:
        """This view with ``table`` cut into consecutive parts held in memory; other tables stay whole.

        Args:
            table: the table to cut.
            rows: the most rows of a part; only the last may have fewer.
            where: an SQL condition on ``table``'s rows, beside the view's own.

        Yields:
            Views in which ``table`` also has ``_row`` (0-based place in this part, int64) and ``_id`` (the key, its
            parts joined by ``/``). Nothing if no row is left. Memory does not grow with the table.

        Raises:
            DataError: the condition is not one SQL expression, or DuckDB refuses it.
        """
        declared = contract.table(table)
        conditions = [condition for condition in (self._where, where) if condition is not None]
        for condition in conditions:
            _expression(condition)
        held: list[pa.Table] = []
        count = 0
        for chunk in self._filtered(declared, conditions):
            while chunk.num_rows:
                piece = chunk.slice(0, rows - count)
                chunk = chunk.slice(piece.num_rows)
                held.append(piece)
                count += piece.num_rows
                if count == rows:
                    yield self._as_part(table, held)
                    held, count = [], 0
        if held:
            yield self._as_part(table, held)

    def _as_part(self, table: str, pieces: list[pa.Table]) -> View:
        whole = pa.concat_tables(pieces).combine_chunks()
        numbers = pa.array(range(whole.num_rows), pa.int64())
        position = whole.schema.get_field_index("_id")
        whole = whole.add_column(position, "_row", numbers)
        other = View(self._sights, self._manifest, None, self._con.cursor(), (table, whole), self.whole)
        other._barred = self._barred
        return other

    def _filtered(self, table: contract.Table, conditions: list[str]) -> Iterator[pa.Table]:
        """The rows of a table with attributes as columns and ``_id``, a few at a time, those that obey the conditions."""
        key = "concat_ws('/', " + ", ".join(f"CAST({name_in_sql(name)} AS VARCHAR)" for name in table.key) + ")"
        for _, answer in self._asked(table, conditions, f"SELECT *, {key} AS _id", self._stored(table)):
            yield answer

    def _asked(
        self, table: contract.Table, conditions: list[str], select: str, stored: Iterable[tuple[str, pa.Table]]
    ) -> Iterator[tuple[str, pa.Table]]:
        """What ``select`` says of the rows that obey the conditions, a few rows at a time, with the file that held them."""
        other = View(self._sights, self._manifest, None, self._con.cursor(), self._part)
        other._barred = self._barred
        everything = " AND ".join(f"(\n{condition}\n)" for condition in conditions) or "true"
        for name in contract.TABLES:  # a condition may look at other tables
            if any(name in condition.lower() for condition in conditions):
                other._open(name)
        for file, rows in stored:
            with other._lock:
                other._con.register("_chunk", rows)
                source = self._projection(table, "_chunk", rows.schema)
                query = f"{select} FROM ({source}) AS {table.name} WHERE {everything}"
                try:
                    answer = other._con.sql(query).to_arrow_table()
                except duckdb.Error as error:
                    said = self._explained(error, table.name)
                    raise DataError(f"condition {' AND '.join(conditions)!r} on {table.name}: {said}") from None
                finally:
                    other._con.unregister("_chunk")
            yield file, _utc(answer)

    def _stored(self, table: contract.Table) -> Iterator[tuple[str, pa.Table]]:
        if self._part is not None and self._part[0] == table.name:
            yield "", self._part[1].drop_columns(["_row", "_id"])
        elif table.name in self._sights:
            for file, rows in self._sights[table.name].batches():
                yield file.name, rows

    def stored(self, table: str) -> Iterator[pa.Table]:
        """The rows of a table as this contract stores them, in order, a few at a time."""
        declared = contract.table(table)
        names = ", ".join(name_in_sql(name) for name in declared.schema.names)
        for _, rows in self._asked(declared, [], f"SELECT {names}", self._stored(declared)):
            yield rows.cast(declared.schema)

    def places(self, table: str, condition: str) -> dict[str, tuple[Positions, int]]:
        """Where the rows that obey a condition stand: by file, their positions (int64, ascending) and the sum of their digests.

        Raises:
            DataError: the condition is not one SQL expression, or DuckDB refuses it.
        """
        _expression(condition)
        declared = contract.table(table)
        seen: dict[str, int] = {}

        def numbered() -> Iterator[tuple[str, pa.Table]]:
            for file, rows in self._stored(declared):
                start = seen.get(file, 0)
                seen[file] = start + rows.num_rows
                yield file, rows.append_column("_position", pa.array(np.arange(start, start + rows.num_rows)))

        found: dict[str, tuple[Positions, int]] = {}
        for file, rows in self._asked(declared, [condition], "SELECT _position, row_digest", numbered()):
            if rows.num_rows:
                before = found.get(file, (np.empty(0, np.int64), 0))
                digests = sum(int(digest) for digest in rows["row_digest"].to_pylist())
                found[file] = (np.concatenate([before[0], np.sort(rows["_position"].to_numpy())]), before[1] + digests)
        return found

    def _attributes(self, table: str) -> dict[str, str]:
        """Attribute names that become columns, with their types."""
        state = self._manifest.tables.get(table)
        taken = {*contract.table(table).schema.names, "_row", "_id"}
        found: dict[str, str] = {}
        for name, kind in sorted(state.attributes.items()) if state else ():
            if name and name.isprintable() and name.lower() not in taken:
                found[name] = kind
                taken.add(name.lower())
        return found

    def _projection(self, table: contract.Table, source: str, stored: pa.Schema) -> str:
        """SQL for the rows of ``source`` as the contract declares them, attributes as columns."""
        own = self._part is not None and self._part[0] == table.name
        since = contract.VERSION if own else self._manifest.contract
        names = []
        for name, sql in migrate.columns(table, stored.names, since).items():
            is_time = table.schema.field(name).type == _UTC
            names.append(f"{f'CAST({sql} AS TIMESTAMP)' if is_time else sql} AS {name_in_sql(name)}")
        if "_position" in stored.names:
            names.append("_position")
        kept = " AND ".join(
            f"({name_in_sql(column)} IS NULL OR {name_in_sql(column)} NOT IN (SELECT value FROM main.{values}))"
            for (barred, column), values in self._barred.items()
            if barred == table.name
        )
        rows = (
            f"SELECT * FROM (SELECT {', '.join(names)} FROM {source}) WHERE {kept}" if kept else f"SELECT {', '.join(names)} FROM {source}"
        )
        attributes = self._attributes(table.name)
        if not attributes:
            return rows
        pointers = [text_in_sql("/" + name.replace("~", "~0").replace("/", "~1")) for name in attributes]
        columns = [
            f"TRY_CAST(_found[{place}] AS {kind}) AS {name_in_sql(name)}" for place, (name, kind) in enumerate(attributes.items(), 1)
        ]
        found = f"SELECT *, json_extract_string(attributes, [{', '.join(pointers)}]) AS _found FROM ({rows})"
        return f"SELECT * EXCLUDE (_found), {', '.join(columns)} FROM ({found})"

    def _open(self, name: str) -> None:
        """Make ``name`` a table that SQL can see."""
        table = contract.table(name)
        if self._part is not None and self._part[0] == name:
            self._con.register("_stored_" + name, self._part[1])
            names = [
                f"CAST({name_in_sql(f.name)} AS TIMESTAMP) AS {name_in_sql(f.name)}" if f.type == _UTC else name_in_sql(f.name)
                for f in self._part[1].schema
            ]
            select = f"SELECT {', '.join(names)} FROM _stored_{name}"
        elif name not in self._sights:
            self._con.register("_stored_" + name, table.schema.empty_table())
            select = self._projection(table, "_stored_" + name, table.schema)
        else:
            self._con.register("_stored_" + name, self._sights[name].dataset())
            select = self._projection(table, "_stored_" + name, self._sights[name].schema)
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW {name_in_sql(name)} AS {select}")
        self._ready.add(name)

    def _explained(self, error: duckdb.Error, table: str | None = None) -> str:
        said = _said(error)
        if isinstance(error, duckdb.BinderException) and 'column "' in said:
            word = said.split('column "')[1].split('"')[0]
            tables = [table] if table else sorted(self._ready)
            return f"{said}; {did_you_mean(word, {name for each in tables for name in self.columns(each)})}"
        if isinstance(error, duckdb.CatalogException) and "Table with name" in said:
            word = said.split("Table with name ")[1].split(" ")[0]
            return f"no table `{word}`; {did_you_mean(word, contract.TABLES)}"
        return said


def _expression(where: str) -> None:
    try:
        duckdb.SQLExpression(where)
    except duckdb.Error as error:
        raise DataError(f"condition {where!r}: is not one SQL expression ({_said(error)}); write one such as rating >= 4") from None


def _said(error: duckdb.Error) -> str:
    """DuckDB's message in one line, without its drawing of the query."""
    text = str(error).split("LINE 1:")[0].split("\n\n")[0].split("\nCandidate bindings")[0].split("\nDid you mean")[0]
    return " ".join(text.split())[:300]


def _utc(answer: pa.Table) -> pa.Table:
    fields = [pa.field(f.name, _UTC) if pa.types.is_timestamp(f.type) else f for f in answer.schema]
    return answer.cast(pa.schema(fields))


def _connected() -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own, shut off from files, network and settings."""
    con = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": tempfile.gettempdir(),
            "memory_limit": MEMORY,
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
        },
    )
    con.execute("SET python_enable_replacements=false; SET enable_external_access=false; SET lock_configuration=true")
    return con
