"""The SQL that turns chunks of one shape into contract rows, as far as they are not proved to be right already, and what it finds wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import convert
from shoplm.data.convert import Rule, Source, is_json, name_in_sql, text_in_sql
from shoplm.data.ingest import Chunk, Fault
from shoplm.data.shape import Shape

Places = np.ndarray[Any, np.dtype[np.int64]]


MORE = "_more"
"""The column of what the contract does not name, as JSON objects, where the file has ``attributes`` besides."""


@dataclass(frozen=True)
class Plan:
    """What SQL is asked about the rows of a chunk."""

    convert: str
    rules: tuple[Rule, ...]
    behind: Mapping[str, str]
    places: frozenset[int]
    """Foreign columns that SQL must see."""
    asks: bool
    """Is there anything to ask at all?"""

    @staticmethod
    def of(shape: Shape, schema: pa.Schema, proved: Mapping[str, pa.Array | pa.ChunkedArray]) -> Plan:
        """The plan for rows of ``schema`` of which the columns ``proved`` need nothing more."""
        table, found, constants = shape.table, shape.found, shape.constants
        sources = {
            ours: _source(schema.get_field_index(theirs), schema.field(theirs)) for ours, theirs in found.items() if ours not in proved
        }
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
            if name == "attributes" and shape.unknown:
                value = f"CAST(json_merge_patch(coalesce({value}, '{{}}'), coalesce({MORE}, '{{}}')) AS VARCHAR)"
            selected.append(f"{value} AS {name_in_sql(name)}")
            selected.append(f"{given} AS {name_in_sql('_given_' + name)}")
            if name in sources:
                kept.append(name_in_sql(name))
        whole_rows = {name: not values.null_count for name, values in proved.items()}
        rules = tuple(convert.rules(table, sources, shape.made | shape.piece.lacks, whole_rows))
        cases = " ".join(f"WHEN {rule.sql} THEN {number}" for number, rule in enumerate(rules))
        fault = f"CASE {cases} END" if cases else "CAST(NULL AS INTEGER)"
        places = {schema.get_field_index(theirs) for ours, theirs in found.items() if ours not in proved}
        query = f"SELECT {', '.join(kept)}, {fault} AS _fault FROM (SELECT {', '.join(selected)} FROM _chunk)"
        return Plan(query, rules, dict(found), frozenset(places), bool(rules) or len(kept) > 1)


def asked(con: duckdb.DuckDBPyConnection, plan: Plan, rows: pa.Table, more: pa.ChunkedArray | None) -> tuple[pa.Table, pa.Table]:
    """The rows as SQL converts them, and number and fault of those that break a rule; ``more`` is what ``MORE`` says."""
    if not plan.asks:
        nothing = pa.table({"_i": pa.array([], pa.int64()), "_fault": pa.array([], pa.int32())})
        return nothing, nothing
    chunk = convert.trimmed(rows, plan.places)
    con.register("_chunk", chunk if more is None else chunk.append_column(MORE, more))
    converted = con.sql(plan.convert).to_arrow_table()
    return converted, converted.filter(pc.is_valid(converted["_fault"])).select(["_i", "_fault"])


def _source(place: int, column: pa.Field) -> Source:
    return Source(f"c{place}", column.type, is_json(column), f"tc{place}" if pa.types.is_string(column.type) else "")


def unread(chunk: Chunk, shape: Shape, lost: Mapping[str, list[int]]) -> dict[int, Fault]:
    """By row, what could not be read at all; in a column that the contract does not name it is only left out."""
    found: dict[int, Fault] = {}
    for name in shape.found.values():
        for i in lost.get(name, ()):
            kind = chunk.rows.schema.field(name).type
            fix = "write it as text in UTF-8, a number or a time"
            found.setdefault(i, Fault(int(chunk.lines[i]), name, _seen(chunk.rows[name][i]), f"({kind}) cannot be read", fix))
    return found


def faults(chunk: Chunk, rows: pa.Table, plan: Plan, bad: pa.Table, places: Places, unread: Collection[int]) -> Iterator[Fault]:
    """The faults of some rows.

    Args:
        chunk: as it was read.
        rows: those that were asked about.
        plan: what was asked.
        bad: number and fault, as ``asked`` gave them.
        places: (rows,) the place of each in the chunk.
        unread: places in the chunk that have a fault already.
    """
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
