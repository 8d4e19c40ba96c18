"""Foreign columns -> contract columns, as one SQL expression per column and one fault per broken rule.

DuckDB casts whole columns at once and gives null where a value does not fit, which Arrow's casts
cannot. Everything here only writes SQL; ``ingest`` runs it. A value is missing when it is null, blank,
or, where a number, time or truth is expected, a word such as ``nan``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from shoplm.data.contract import FLAG, LIST, MONEY, NUMBER, TEXT, TIME, WHOLE, Column, Table

JSON_MARK = {b"shoplm": b"json"}
"""Field metadata of a text column whose values are JSON documents (an importer's way to hand over mixed types)."""


def is_json(column: pa.Field) -> bool:
    """Does a column hold JSON documents?"""
    return (column.metadata or {}).get(b"shoplm") == b"json"


_SPACE = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160)"
_NOTHING = "('nan', 'null', 'none', 'na', 'n/a', 'nat', '<na>')"
_TRUE = "('true', 't', 'yes', 'y', '1', '1.0', 'on')"
_FALSE = "('false', 'f', 'no', 'n', '0', '0.0', 'off')"
_NUMBER = r"'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?'"
_DATE = r"'[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([T ].*)?'"

SQL_TYPES = {
    TEXT: "VARCHAR", WHOLE: "BIGINT", NUMBER: "DOUBLE", MONEY: "DECIMAL(18,4)", FLAG: "BOOLEAN", TIME: "TIMESTAMP", LIST: "VARCHAR[]",
}  # fmt: skip
"""DuckDB's type for each contract type; times are naive UTC inside SQL, because time zones need an extension."""

HOW = {
    WHOLE: "a whole number such as 3",
    NUMBER: "a number such as 4.5",
    MONEY: "a decimal number such as 19.99 (the currency goes into its own column)",
    FLAG: "true or false (also yes/no, y/n, 1/0)",
    TIME: "a time such as 2026-01-31T09:30:00Z, or epoch seconds, milliseconds or microseconds",
    LIST: "a list such as a|b|c",
}


@dataclass(frozen=True)
class Rule:
    """One way in which a row can break the contract: ``sql`` is true for such rows."""

    sql: str
    column: str
    reason: str
    fix: str


def name_in_sql(name: str) -> str:
    """A column's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def text_in_sql(text: str) -> str:
    """A text, quoted."""
    return "'" + text.replace("'", "''") + "'"


def plain(rows: pa.Table) -> tuple[pa.Table, dict[str, list[int]]]:
    """The same rows with only the Arrow types that SQL is written for, and by column the rows whose value has no such form.

    Those values are null afterwards: bytes that are no UTF-8, times that fit no clock, types that mean no value of a shop.
    """
    columns, fields, lost = [], [], {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        wrong: list[int] = []
        try:
            parts = list(_parts(column, 0, wrong))
            column = pa.chunked_array([chunk for part in parts for chunk in part.chunks], type=parts[0].type if parts else pa.string())
        except pa.ArrowException:  # no value has a plain form, so the column has no plain type
            column, wrong = pa.chunked_array([pa.nulls(rows.num_rows, pa.string())]), _filled(column)
        columns.append(column)
        fields.append(pa.field(field.name, column.type, metadata=field.metadata))
        if wrong:
            lost[field.name] = wrong
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)), lost


def _filled(column: pa.ChunkedArray) -> list[int]:
    found: list[int] = np.flatnonzero(pc.is_valid(column).to_numpy()).tolist()
    return found


def _parts(column: pa.ChunkedArray, start: int, wrong: list[int]) -> Iterator[pa.ChunkedArray]:
    """The plain form, in parts; halves again and again where something cannot be read, until only that is left out."""
    try:
        found = _plain(column)
        found.validate(full=True)
    except (pa.ArrowException, ValueError):
        if len(column) == 1:
            wrong.append(start)
            yield pa.chunked_array([pa.nulls(1, _plain(column.slice(0, 0)).type)])
        elif not len(column):
            raise
        else:
            _plain(column.slice(0, 0))  # a type without plain form is not looked at value by value
            half = len(column) // 2
            yield from _parts(column.slice(0, half), start, wrong)
            yield from _parts(column.slice(half), start + half, wrong)
        return
    yield found


def trimmed(rows: pa.Table, places: Collection[int]) -> pa.Table:
    """Plain rows under names that are safe in SQL: ``c0``, ``c1``, … and ``tc0``, … for texts without outer spaces, and ``_i``.

    Args:
        rows: plain rows.
        places: which columns are wanted, from 0.
    """
    arrays, names = [pa.array(np.arange(rows.num_rows))], ["_i"]
    for place in sorted(places):
        arrays.append(rows.column(place))
        names.append(f"c{place}")
        if pt.is_string(rows.column(place).type):  # Arrow trims far faster than SQL
            arrays.append(pc.utf8_trim_whitespace(rows.column(place)))
            names.append(f"tc{place}")
    return pa.table(arrays, names=names)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=kind.storage_type)
        kind = column.type
    if pt.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pt.is_null(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return column.cast(pa.string())
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind):
        return column.cast(pa.binary()).cast(pa.string())
    if pt.is_float16(kind):
        return column.cast(pa.float32())
    if pt.is_timestamp(kind):
        # nanoseconds may be cut off, but a time that does not fit must not turn into another
        micros = pc.CastOptions(pa.timestamp("us", tz="UTC" if kind.tz else None), allow_time_truncate=True)
        return pc.cast(column, options=micros).cast(pa.timestamp("us"))
    if pt.is_date(kind):
        return column.cast(pa.date32())
    if pt.is_time(kind) or pt.is_duration(kind) or pt.is_decimal256(kind):
        return column.cast(pa.string())
    if pt.is_large_list(kind) or pt.is_fixed_size_list(kind) or pt.is_list_view(kind) or pt.is_large_list_view(kind):
        return _plain(column.cast(pa.list_(kind.value_type)))
    if pt.is_interval(kind) or pt.is_union(kind):
        raise pa.ArrowInvalid(f"{kind} has no plain form")
    if pt.is_list(kind) and not pt.is_string(kind.value_type) and not pt.is_nested(kind.value_type):
        return column.cast(LIST)
    return column


@dataclass(frozen=True)
class Source:
    """One foreign column (or a constant) in SQL: its plain type, whether it holds JSON, and a text's form without outer spaces."""

    sql: str
    type: pa.DataType
    json: bool = False
    tidy: str = ""

    @property
    def text(self) -> str:
        """The value as a trimmed text; a text column's stands ready (see ``trimmed``)."""
        if self.json:
            return f"trim(json_extract_string({self.sql}, '$'), {_SPACE})"
        return self.tidy or f"CAST({self.sql} AS VARCHAR)"

    @property
    def words(self) -> bool:
        """Is the value read from text?"""
        return self.json or pt.is_string(self.type)

    def given(self, target: pa.DataType) -> str:
        """SQL: is there a value?"""
        if self.words:
            blank = f"{self.text} = ''"
            if target not in (TEXT, LIST):
                blank += f" OR lower({self.text}) IN {_NOTHING}"
            return f"({self.sql} IS NOT NULL AND {self.text} IS NOT NULL AND NOT ({blank}))"
        if pt.is_floating(self.type):
            return f"({self.sql} IS NOT NULL AND NOT isnan({self.sql}))"
        return f"({self.sql} IS NOT NULL)"

    def cast(self, column: Column) -> str:
        """SQL: the value in the contract's type, null where it does not fit."""
        if column.name == "attributes":
            return self._object()
        return {TEXT: self._text, WHOLE: self._whole, NUMBER: self._number, MONEY: self._money, FLAG: self._flag,
                TIME: self._time, LIST: self._list}[column.type](column)  # fmt: skip

    def _text(self, column: Column) -> str:
        if pt.is_floating(self.type):
            whole = f"isfinite({self.sql}) AND {self.sql} = trunc({self.sql}) AND abs({self.sql}) < 1e15"
            return f"CASE WHEN {whole} THEN CAST(CAST({self.sql} AS BIGINT) AS VARCHAR) ELSE CAST({self.sql} AS VARCHAR) END"
        if pt.is_nested(self.type):
            return f"CAST(to_json({self.sql}) AS VARCHAR)"
        if column.check.one_of:
            return f"replace(replace(lower({self.text}), ' ', '_'), '-', '_')"
        if column.is_id or not self.words:
            return self.text
        return f"json_extract_string({self.sql}, '$')" if self.json else self.sql

    def _whole(self, _: Column) -> str:
        if self.words:
            return f"CASE WHEN regexp_full_match({self.text}, '[+-]?[0-9]+(\\.0*)?') THEN TRY_CAST({self.text} AS BIGINT) END"
        if pt.is_floating(self.type) or pt.is_decimal(self.type):
            return f"CASE WHEN {self.sql} = trunc({self.sql}) THEN TRY_CAST({self.sql} AS BIGINT) END"
        return self._simple("BIGINT")

    def _number(self, _: Column) -> str:
        if self.words:
            number = f"TRY_CAST({self.text} AS DOUBLE)"
            return f"CASE WHEN regexp_full_match({self.text}, {_NUMBER}) AND isfinite({number}) THEN {number} END"
        if pt.is_floating(self.type):
            return f"CASE WHEN isfinite({self.sql}) THEN CAST({self.sql} AS DOUBLE) END"
        return self._simple("DOUBLE")

    def _money(self, _: Column) -> str:
        if self.words:
            return f"CASE WHEN regexp_full_match({self.text}, {_NUMBER}) THEN TRY_CAST({self.text} AS DECIMAL(18,4)) END"
        return self._simple("DECIMAL(18,4)")

    def _simple(self, target: str) -> str:
        if pt.is_integer(self.type) or pt.is_floating(self.type) or pt.is_decimal(self.type) or pt.is_boolean(self.type):
            return f"TRY_CAST({self.sql} AS {target})"
        return f"CAST(NULL AS {target})"

    def _flag(self, _: Column) -> str:
        if pt.is_boolean(self.type):
            return self.sql
        if pt.is_nested(self.type):
            return "CAST(NULL AS BOOLEAN)"
        word = f"lower({self.text})"
        return f"CASE WHEN {word} IN {_TRUE} THEN true WHEN {word} IN {_FALSE} THEN false END"

    def _time(self, _: Column) -> str:
        if pt.is_timestamp(self.type):
            return _within(self.sql)
        if pt.is_date(self.type):
            return _within(f"TRY_CAST({self.sql} AS TIMESTAMP)")
        if pt.is_integer(self.type):
            return _within(_epoch(f"TRY_CAST({self.sql} AS BIGINT)"))
        if pt.is_floating(self.type) or pt.is_decimal(self.type):
            return _within(_fraction(f"CAST({self.sql} AS DOUBLE)"))
        if not self.words:
            return "CAST(NULL AS TIMESTAMP)"
        # A cast straight to TIMESTAMP drops the offset in silence; TIMESTAMPTZ obeys it.
        tidy = f"regexp_replace(upper({self.text}), ' ([+-])', '\\1')"
        written = f"TRY_CAST(TRY_CAST({tidy} AS TIMESTAMPTZ) AS TIMESTAMP)"
        return (
            f"CASE WHEN regexp_full_match({self.text}, '-?[0-9]{{1,19}}') THEN {_within(_epoch(f'TRY_CAST({self.text} AS BIGINT)'))} "
            f"WHEN regexp_full_match({self.text}, {_NUMBER}) THEN {_within(_fraction(f'TRY_CAST({self.text} AS DOUBLE)'))} "
            f"WHEN regexp_full_match(upper({self.text}), {_DATE}) THEN {_within(written)} END"
        )

    def _list(self, column: Column) -> str:
        if pt.is_list(self.type):
            return _listed(f"TRY_CAST({self.sql} AS VARCHAR[])")
        if not self.words:
            return f"[CAST({self.sql} AS VARCHAR)]"
        # highlights are sentences and may hold commas
        split = f"string_split({self.text}, '|')"
        if column.name != "product_highlight":
            split = f"CASE WHEN contains({self.text}, '|') THEN {split} ELSE string_split({self.text}, ',') END"
        return (
            f"CASE WHEN starts_with({self.text}, '[') AND json_valid({self.text}) "
            f"THEN {_listed(f'TRY_CAST(CAST({self.text} AS JSON) AS VARCHAR[])')} ELSE {_listed(split)} END"
        )

    def _object(self) -> str:
        if self.words:
            whole = self.sql if self.json else self.text
            right = f"json_valid({whole}) AND json_type({whole}) = 'OBJECT'"
            return f"CASE WHEN {right} THEN CAST(json_merge_patch('{{}}', CAST({whole} AS JSON)) AS VARCHAR) END"
        if pt.is_struct(self.type) or pt.is_map(self.type):
            return f"CAST(json_merge_patch('{{}}', to_json({self.sql})) AS VARCHAR)"
        return "CAST(NULL AS VARCHAR)"

    def as_json(self, untyped: bool) -> str:
        """SQL: the value as a JSON literal, null where there is none; ``untyped`` text (csv) shows its type by its form."""
        if self.json:
            return f"nullif(CAST({self.sql} AS VARCHAR), 'null')"
        if self.words and untyped:
            return (
                f"CASE WHEN {self.text} = '' THEN NULL "
                f"WHEN regexp_full_match({self.sql}, '-?(0|[1-9][0-9]{{0,17}})(\\.[0-9]+)?') THEN {self.sql} "
                f"WHEN lower({self.sql}) IN ('true', 'false') THEN lower({self.sql}) ELSE CAST(to_json({self.sql}) AS VARCHAR) END"
            )
        literal = f"CAST(to_json({self.sql}) AS VARCHAR)"
        if pt.is_floating(self.type):
            return f"CASE WHEN isfinite({self.sql}) THEN {literal} END"
        return f"CASE WHEN {self.sql} IS NOT NULL THEN {literal} END"

    def json_type(self, literal: str, untyped: bool) -> str:
        """SQL: the DuckDB type of a value whose JSON literal is ``literal``."""
        if pt.is_boolean(self.type):
            return "'BOOLEAN'"
        if pt.is_integer(self.type):
            return "'BIGINT'"
        if pt.is_floating(self.type) or pt.is_decimal(self.type):
            return "'DOUBLE'"
        if not self.json and not (self.words and untyped):
            return "'VARCHAR'"
        return (
            f"CASE WHEN left({literal}, 1) IN ('\"', '{{', '[') THEN 'VARCHAR' ELSE CASE json_type({literal}) WHEN 'BOOLEAN' THEN 'BOOLEAN' "
            f"WHEN 'BIGINT' THEN 'BIGINT' WHEN 'UBIGINT' THEN 'BIGINT' WHEN 'DOUBLE' THEN 'DOUBLE' END END"
        )


def one_type(types: Iterable[str]) -> str:
    """The type that holds all of ``types``: whole and decimal numbers meet in DOUBLE, other conflicts in VARCHAR."""
    kinds = set(types)
    if len(kinds) == 1:
        return kinds.pop()
    return "DOUBLE" if kinds == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _within(time: str) -> str:
    return f"CASE WHEN {time} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999' THEN {time} END"


def _epoch(number: str) -> str:
    # 8 digits such as 20260131 are a date; as seconds they would be days in August 1970
    return (
        f"CASE WHEN {number} BETWEEN 19000101 AND 22001231 AND try_strptime(CAST({number} AS VARCHAR), '%Y%m%d') IS NOT NULL "
        f"THEN try_strptime(CAST({number} AS VARCHAR), '%Y%m%d') "
        f"WHEN {number} BETWEEN -99999999999 AND 99999999999 THEN make_timestamp({number} * 1000000) "
        f"WHEN {number} BETWEEN -99999999999999 AND 99999999999999 THEN make_timestamp({number} * 1000) "
        f"WHEN {number} BETWEEN -99999999999999999 AND 99999999999999999 THEN make_timestamp({number}) "
        f"ELSE make_timestamp({number} // 1000) END"
    )


def _fraction(number: str) -> str:
    micros = f"CASE WHEN abs({number}) < 1e11 THEN {number} * 1e6 WHEN abs({number}) < 1e14 THEN {number} * 1e3 ELSE {number} END"
    return f"make_timestamp(TRY_CAST(round({micros}) AS BIGINT))"


def _listed(values: str) -> str:
    return f"list_filter(list_transform({values}, lambda v: trim(v, {_SPACE})), lambda v: v IS NOT NULL AND v <> '')"


def rules(table: Table, sources: Mapping[str, Source], made: Iterable[str], proved: Mapping[str, bool]) -> list[Rule]:
    """Every way in which a row can break the contract, most basic first.

    Args:
        table: the contract table that the rows go into.
        sources: the foreign column behind each contract column; the converted value is called by the contract's name
            and ``_given_<name>`` tells whether the source had a value.
        made: columns that are made up later, or stay as the shop has them.
        proved: columns whose values are known to be right, and whether every row has one.
    """
    found: list[Rule] = []
    later = set(made)
    for column in table.columns:
        if column.name in proved:
            continue
        name, given = name_in_sql(column.name), name_in_sql("_given_" + column.name)
        if column.name not in sources:
            if column.required and column.name not in later:
                found.append(Rule("true", column.name, "is missing", f"give {_an(column)}"))
            continue
        if column.required:
            found.append(Rule(f"NOT {given}", column.name, "is missing", f"give {_an(column)}"))
        if column.name == "attributes":
            found.append(Rule(f"{given} AND {name} IS NULL", column.name, "is not a JSON object", 'write {"name": value}'))
        elif column.type != TEXT:
            found.append(Rule(f"{given} AND {name} IS NULL", column.name, f"is not {_an(column)}", f"write {HOW[column.type]}"))
        found += _checks(column, name)
    for group in table.any_of:
        if later.issuperset(group):
            continue
        if any(proved.get(name) for name in group) or (
            any(name in proved for name in group) and not any(name in sources for name in group)
        ):
            continue  # where all of them are proved, rows without any are in doubt, and asked by themselves
        filled = " AND ".join(f"{name_in_sql(name)} IS NULL" for name in group)
        words = ", ".join(group)
        found.append(Rule(filled, group[0], f"is missing, and so is every other of {words}", f"fill at least one of {words}"))
    return found


def _checks(column: Column, name: str) -> list[Rule]:
    check, found = column.check, []
    if column.type == TEXT:
        found.append(Rule(f"contains({name}, chr(0))", column.name, "holds a NUL byte", "remove it"))
    if check.one_of:
        listed = ", ".join(text_in_sql(word) for word in check.one_of)
        found.append(Rule(f"{name} NOT IN ({listed})", column.name, "is not an allowed word", f"write {check}"))
    if check.longest is not None:
        fix = f"shorten it to {check.longest} characters"
        found.append(Rule(f"length({name}) > {check.longest}", column.name, "is too long", fix))
    bounds = [f"{name} < {check.low!r}"] if check.low is not None else []
    bounds += [f"{name} > {check.high!r}"] if check.high is not None else []
    if bounds:
        found.append(Rule(" OR ".join(bounds), column.name, "is out of range", f"write {check}"))
    return found


def _an(column: Column) -> str:
    return ("an " if column.kind[0] in "aeiou" else "a ") + column.kind if column.type != FLAG else "true or false"
