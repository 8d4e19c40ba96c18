"""Values that need no SQL: looking at a whole column at once proves which of its values are right.

A proof costs a few nanoseconds a value, SQL with its questions about every single value a hundred. Rows in which a
proof leaves a value in doubt, and columns that no proof can be given for, go the slow way, which alone knows how to
name faults; both ways give the same values for what both accept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from shoplm.data.contract import FLAG, MONEY, NUMBER, TEXT, TIME, WHOLE, Column

Flags = np.ndarray[Any, np.dtype[np.bool_]]

FIRST_US = -62_135_596_800_000_000
"""0001-01-01 in microseconds since 1970."""
LAST_US = 253_402_300_799_999_999
"""The last microsecond of 9999."""
_TIME_LENGTHS = (10, 16, *range(19, 27))
"""Lengths of times that Arrow and DuckDB read alike: a date, or a date with minutes, seconds or fractions of them."""


@dataclass(frozen=True)
class Proof:
    """A column in the contract's type.

    Attributes:
        values: right in every row that is not in doubt.
        doubt: (rows,) where only SQL can tell what a value is or what is wrong with it; None for nowhere.
    """

    values: pa.Array
    doubt: Flags | None = None


def direct(values: pa.ChunkedArray, column: Column, *, filled: bool) -> Proof | None:
    """The values in the contract's type where they are certainly right; None if the column as a whole cannot be looked at.

    Args:
        values: a plain foreign column (see ``convert.plain``) that holds no JSON documents.
        column: the contract column that they go into.
        filled: a default would be filled in where there is no value.
    """
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    proof = _converted(whole, column)
    if proof is None or proof.values.type != column.type:
        return None
    found, check = proof.values, column.check
    wrong = [pc.is_null(found)] if found.null_count and (column.required or filled) else []
    if check.one_of:
        wrong.append(pc.and_(pc.is_valid(found), pc.invert(pc.is_in(found, pa.array(check.one_of)))))
    if check.low is not None:
        wrong.append(pc.less(found, pa.scalar(float(check.low)).cast(found.type)))
    if check.high is not None:
        wrong.append(pc.greater(found, pa.scalar(float(check.high)).cast(found.type)))
    doubts = [_flags(pc.fill_null(each, False)) for each in wrong if pc.any(each, min_count=0).as_py()]
    if proof.doubt is not None:
        doubts.append(proof.doubt)
    return Proof(found, np.logical_or.reduce(doubts) if doubts else None)


def _flags(values: pa.Array) -> Flags:
    found: Flags = values.to_numpy(zero_copy_only=False)
    return found


def _converted(values: pa.Array, column: Column) -> Proof | None:
    kind = values.type
    if column.name == "attributes":
        return None
    if pt.is_string(kind):
        return _text(values, column) if column.type == TEXT else _parsed(values, column)
    if column.type == TIME and pt.is_timestamp(kind):
        return _sure(_calendar(values))
    if column.type == FLAG and pt.is_boolean(kind):
        return Proof(values)
    if column.type == WHOLE and pt.is_integer(kind):
        return _sure(_cast(values, WHOLE))
    if column.type == NUMBER and (pt.is_integer(kind) or pt.is_floating(kind)):
        return _finite(_cast(values, NUMBER))
    if column.type == MONEY and pt.is_decimal(kind):
        return _sure(_cast(values, MONEY))
    if column.type == MONEY and pt.is_float64(kind):
        return _amounts(values)
    return None


def _sure(values: pa.Array | None) -> Proof | None:
    return None if values is None else Proof(values)


def _amounts(values: pa.Array) -> Proof:
    """Money from floats: certain where a float is the nearest to an amount of at most four decimals."""
    floats = pc.fill_null(values, np.nan).to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        parts = np.rint(floats * 10_000)
        sure = (parts / 10_000 == floats) & (np.abs(parts) < 2**53)
    none = np.isnan(floats)
    pairs = np.empty((len(floats), 2), "<i8")
    pairs[:, 0] = np.where(sure, parts, 0)
    pairs[:, 1] = pairs[:, 0] >> 63
    mask = None if not none.any() else pa.array(~none).buffers()[1]
    found = pa.Array.from_buffers(MONEY, len(floats), [mask, pa.py_buffer(pairs)])
    return Proof(found, None if (sure | none).all() else ~(sure | none))


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


def _text(values: pa.Array, column: Column) -> Proof | None:
    places, letters = _bytes(values)
    tidy, longest = _trimmed(values)
    if _holds(letters[places[0] : places[-1]], 0):
        return None
    limit = column.check.longest
    doubt = None if limit is None or longest <= limit else np.diff(places) > limit  # bytes: no text has more characters
    if column.is_id or column.check.one_of or tidy is values:
        return Proof(tidy, doubt)
    blank = tidy.null_count > values.null_count
    return Proof(pc.if_else(pc.is_null(tidy), pa.scalar(None, TEXT), values) if blank else values, doubt)


def _parsed(values: pa.Array, column: Column) -> Proof | None:
    """Texts as numbers or times; truths and lists are rare and many-worded, SQL reads them."""
    if column.type not in (WHOLE, NUMBER, MONEY, TIME):
        return None
    tidy, _ = _trimmed(values)
    if column.type == TIME:
        return _sure(_times(tidy))
    places, letters = _bytes(tidy)
    if _holds(letters[places[0] : places[-1]], ord("x"), ord("X")):  # Arrow reads 0x1f as 31
        return None
    found = _cast(tidy, column.type)
    return _finite(found) if column.type == NUMBER else _sure(found)


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


def _finite(values: pa.Array | None) -> Proof | None:
    """NaN is no value; infinity is no number."""
    if values is None:
        return None
    if pc.any(pc.is_nan(values), min_count=0).as_py():
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, NUMBER), values)
    infinite = pc.is_inf(values)
    return Proof(values, _flags(pc.fill_null(infinite, False)) if pc.any(infinite, min_count=0).as_py() else None)


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        return None
