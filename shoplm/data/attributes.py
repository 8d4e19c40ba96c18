"""What the contract does not name, as one JSON object a row: every name with its value as JSON writes it.

A value that many rows share is written down once; Arrow lays the members side by side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from shoplm.data.convert import Source, is_json

_LOOKED_AT = 1_000
"""So many values tell whether a column repeats itself."""
_AT_ONCE = 2**29
"""Bytes of rows whose objects are put together at once; Arrow's texts end at 2**31."""


@dataclass(frozen=True)
class Attributes:
    """The objects of some rows.

    Attributes:
        values: (rows,) texts, null where a row has no member; None where nothing is unknown.
        counts: by name, how many rows have it.
        kinds: by name that any row has, the DuckDB types of its values.
    """

    values: pa.ChunkedArray | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Column:
    """One unknown column: its different values, and which of them each row has (None: each row its own)."""

    values: pa.Array
    places: pa.Array | None

    @staticmethod
    def of(column: pa.ChunkedArray) -> _Column:
        whole = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        few = whole.slice(0, _LOOKED_AT)
        if pt.is_nested(whole.type) or (len(whole) > _LOOKED_AT and len(few.unique()) > _LOOKED_AT // 2):
            return _Column(whole, None)
        coded = whole.dictionary_encode()
        return _Column(coded.dictionary, coded.indices)

    def spread(self, found: pa.Array) -> pa.Array:
        """What was found of the values, for each row."""
        return found if self.places is None else found.take(self.places)


def attributes(con: duckdb.DuckDBPyConnection, rows: pa.Table, names: Mapping[str, str], untyped: bool) -> Attributes:
    """The objects that some columns make.

    Args:
        con: it serves no other thread meanwhile.
        rows: plain rows (see ``convert.plain``), at least one.
        names: by the name that the object says, the column of ``rows``.
        untyped: text shows its type by its form only (csv).
    """
    if rows.num_rows > 1 and rows.select(list(names.values())).nbytes > _AT_ONCE:
        half = rows.num_rows // 2
        parts = [attributes(con, part, names, untyped) for part in (rows.slice(0, half), rows.slice(half))]
        kinds = {name: set().union(*(part.kinds.get(name, set()) for part in parts)) for part in parts for name in part.kinds}
        counts = {name: sum(part.counts[name] for part in parts) for name in names}
        return Attributes(
            pa.chunked_array([chunk for part in parts if part.values is not None for chunk in part.values.chunks]), counts, kinds
        )
    columns = {name: _Column.of(rows[column]) for name, column in names.items()}
    written = _written(con, columns, {name: rows.schema.field(column) for name, column in names.items()}, untyped)
    members, counts, found = [], {}, {}
    for name in sorted(names):
        literals, kinds_of = written[name]
        head = pa.scalar(json.dumps(name, ensure_ascii=False) + ":")
        member = columns[name].spread(pc.binary_join_element_wise(head, literals, ""))
        counts[name] = len(member) - member.null_count
        if counts[name]:
            found[name] = {kind for kind in pc.unique(kinds_of.filter(pc.is_valid(literals))).to_pylist() if kind}
            members.append(member)
    if not members:
        return Attributes(pa.chunked_array([pa.nulls(rows.num_rows, pa.string())]), counts, found)
    # the brace comes first, because Arrow loses rows in which nothing is left to be joined; the comma after it goes again
    inner = pc.binary_join_element_wise("{", *members, ",", null_handling="skip")
    whole = pc.binary_join_element_wise(pc.binary_replace_slice(inner, 0, 2, "{"), "}", "")
    if pc.any(empty := pc.equal(inner, "{"), min_count=0).as_py():
        whole = pc.if_else(empty, pa.scalar(None, pa.string()), whole)
    return Attributes(pa.chunked_array([whole]), {name: counts[name] for name in names}, found)


def _written(
    con: duckdb.DuckDBPyConnection, columns: Mapping[str, _Column], fields: Mapping[str, pa.Field], untyped: bool
) -> dict[str, tuple[pa.Array, pa.Array]]:
    """By name the JSON literals of a column's values, null where there is none, and their DuckDB types; asked once for all columns of a type."""
    alike: dict[tuple[pa.DataType, bool], list[str]] = {}
    for name, of in fields.items():
        alike.setdefault((of.type, is_json(of)), []).append(name)
    found: dict[str, tuple[pa.Array, pa.Array]] = {}
    for (kind, marked), names in alike.items():
        values = pa.chunked_array([columns[name].values for name in names], kind)
        source = Source("v", kind, marked, "t" if pt.is_string(kind) else "")
        con.register("_values", pa.table({"v": values, **({"t": pc.utf8_trim_whitespace(values)} if pt.is_string(kind) else {})}))
        query = f"SELECT j, {source.json_type('j', untyped)} AS k FROM (SELECT {source.as_json(untyped)} AS j FROM _values)"
        answer = con.sql(query).to_arrow_table().combine_chunks()
        con.unregister("_values")
        start = 0
        for name in names:
            count = len(columns[name].values)
            found[name] = (_whole(answer["j"].slice(start, count)), _whole(answer["k"].slice(start, count)))
            start += count
    return found


def _whole(values: pa.ChunkedArray) -> Any:
    return (
        values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    )


def names_in(con: duckdb.DuckDBPyConnection, objects: pa.ChunkedArray) -> dict[str, set[str]]:
    """All names in JSON objects, with the DuckDB types of their values."""
    found: dict[str, set[str]] = {}
    con.register("_good", pa.table({"attributes": objects}))
    pointer = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
    keys = "SELECT attributes a, unnest(json_keys(attributes)) k FROM _good"
    source = Source("v", pa.string(), json=True)
    query = f"SELECT DISTINCT k, {source.json_type('v', False)} FROM (SELECT k, json_extract(a, {pointer}) v FROM ({keys}))"
    for name, kind in con.sql(query).fetchall():
        found.setdefault(name, set()).add(kind or "VARCHAR")
    con.unregister("_good")
    return found
