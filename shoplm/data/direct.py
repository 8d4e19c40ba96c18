"""Columns that need no SQL: looking at a whole column at once proves that every value in it is right.

A proof costs a few nanoseconds a value, SQL with its questions about every single value a hundred. Where a proof
fails, for one value in a block of rows, the block's column goes the slow way, which alone knows how to name faults;
both ways give the same values for what both accept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from shoplm.data.contract import FLAG, MONEY, NUMBER, TEXT, TIME, WHOLE, Column

FIRST_US = -62_135_596_800_000_000
"""0001-01-01 in microseconds since 1970."""
LAST_US = 253_402_300_799_999_999
"""The last microsecond of 9999."""
_TIME_LENGTHS = (10, 16, *range(19, 27))
"""Lengths of times that Arrow and DuckDB read alike: a date, or a date with minutes, seconds or fractions of them."""


def direct(values: pa.ChunkedArray, column: Column, *, filled: bool) -> pa.Array | None:
    """The values in the contract's type if every one of them is certainly right, else None.

    Args:
        values: a plain foreign column (see ``convert.plain``) that holds no JSON documents.
        column: the contract column that they go into.
        filled: a default would be filled in where there is no value.
    """
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    found = _converted(whole, column)
    if found is None or found.type != column.type:
        return None
    if found.null_count and (column.required or filled):
        return None
    check = column.check
    if check.one_of and not pc.all(pc.is_in(pc.drop_null(found), pa.array(check.one_of)), min_count=0).as_py():
        return None
    if (check.low is not None or check.high is not None) and found.null_count < len(found):
        extremes = pc.min_max(found)
        low, high = extremes["min"].as_py(), extremes["max"].as_py()
        if (check.low is not None and low < check.low) or (check.high is not None and high > check.high):
            return None
    return found


def _converted(values: pa.Array, column: Column) -> pa.Array | None:
    kind = values.type
    if column.name == "attributes":
        return None
    if pt.is_string(kind):
        return _text(values, column) if column.type == TEXT else _parsed(values, column)
    if column.type == TIME and pt.is_timestamp(kind):
        return _calendar(values)
    if column.type == FLAG and pt.is_boolean(kind):
        return values
    if column.type == WHOLE and pt.is_integer(kind):
        return _cast(values, WHOLE)
    if column.type == NUMBER and (pt.is_integer(kind) or pt.is_floating(kind)):
        return _finite(_cast(values, NUMBER))
    if column.type == MONEY and pt.is_decimal(kind):
        return _cast(values, MONEY)
    return None


def _bytes(values: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where each text ends (rows + 1, int32, from where the first begins) and the bytes of all of them."""
    _, ends, data = values.buffers()
    if ends is None or not len(values):
        return np.zeros(len(values) + 1, np.int32), np.zeros(0, np.uint8)
    places = np.frombuffer(ends, np.int32)[values.offset : values.offset + len(values) + 1]
    letters = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return places, letters


def _holds(letters: np.ndarray[Any, Any], *codes: int) -> bool:
    return any(bool((letters == code).any()) for code in codes)


def _trimmed(values: pa.Array) -> tuple[pa.Array, int]:
    """The texts without outer spaces and with null for blank ones, and the bytes of the longest."""
    places, letters = _bytes(values)
    lengths = np.diff(places)
    longest = int(lengths.max(initial=0))
    some = np.flatnonzero(lengths)
    if len(some):
        first, last = letters[places[:-1][some]], letters[places[1:][some] - 1]
        # an ASCII letter at both ends: certainly no space; other scripts' spaces begin at 0x80
        if (np.minimum(first, last) <= 0x20).any() or (np.maximum(first, last) >= 0x7F).any():
            values = pc.utf8_trim_whitespace(values)
            lengths = np.diff(_bytes(values)[0])
    if (lengths == 0).any():
        values = pc.if_else(pc.equal(pc.binary_length(values), 0), pa.scalar(None, TEXT), values)
    return values, longest


def _text(values: pa.Array, column: Column) -> pa.Array | None:
    places, letters = _bytes(values)
    tidy, longest = _trimmed(values)
    if _holds(letters[places[0] : places[-1]], 0) or (column.check.longest is not None and longest > column.check.longest):
        return None
    if column.is_id or column.check.one_of or tidy is values:
        return tidy
    return pc.if_else(pc.is_null(tidy), pa.scalar(None, TEXT), values) if tidy.null_count > values.null_count else values


def _parsed(values: pa.Array, column: Column) -> pa.Array | None:
    """Texts as numbers or times; truths and lists are rare and many-worded, SQL reads them."""
    if column.type not in (WHOLE, NUMBER, MONEY, TIME):
        return None
    tidy, _ = _trimmed(values)
    if column.type == TIME:
        return _times(tidy)
    places, letters = _bytes(tidy)
    if _holds(letters[places[0] : places[-1]], ord("x"), ord("X")):  # Arrow reads 0x1f as 31
        return None
    found = _cast(tidy, column.type)
    return _finite(found) if column.type == NUMBER else found


def _times(values: pa.Array) -> pa.Array | None:
    if len(values) == values.null_count:
        return pa.nulls(len(values), TIME)
    if pc.all(pc.ends_with(values, "Z"), min_count=0).as_py():
        values = pc.utf8_slice_codeunits(values, 0, -1)
    if not set(pc.unique(pc.binary_length(pc.drop_null(values))).to_pylist()) <= set(_TIME_LENGTHS):
        return None
    found = _cast(values, pa.timestamp("us"))
    return None if found is None else _calendar(found)


def _calendar(values: pa.Array) -> pa.Array | None:
    micros = values.view(pa.int64())
    if values.null_count < len(values):
        extremes = pc.min_max(micros)
        if extremes["min"].as_py() < FIRST_US or extremes["max"].as_py() > LAST_US:
            return None
    return micros.view(TIME)


def _finite(values: pa.Array | None) -> pa.Array | None:
    """NaN is no value; infinity is no number."""
    if values is None:
        return None
    if pc.any(pc.is_nan(values), min_count=0).as_py():
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, NUMBER), values)
    return values if pc.all(pc.is_finite(values), min_count=0).as_py() else None


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        return None
