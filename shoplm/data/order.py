"""Rows in the order of their owner and time, and how many of them lie before a moment: one search for all.

The order is total: rows that agree in owner, time and every tie-breaker are told apart by their content, so the
order in which they came never shows. A row without a time comes first and lies before no moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract

Int64 = np.ndarray[Any, np.dtype[np.int64]]

ROOM = 2**62
"""Owner and time share one int64 while their product stays below."""


@dataclass(frozen=True)
class Ordered:
    """Rows of many owners, one owner after the other, each one's by time.

    Attributes:
        rows: the rows.
        owners: their different owners, in the order of ``rows``.
        first: (owners + 1,) int64, where each one's rows begin, and the end.
        timed: (owners,) int64, each one's first row that has a time.
        times_us: (rows,) int64, UTC microseconds; of a row without a time the earliest of all.
    """

    rows: pa.Table
    owners: pa.Array
    first: Int64
    timed: Int64
    times_us: Int64

    def with_times(self) -> pa.Table:
        """The rows with ``_time_us``."""
        return self.rows.append_column("_time_us", pa.array(self.times_us))


def numbers(values: pa.Array | pa.ChunkedArray, missing: int = 0) -> Int64:
    """Integers or flags as int64 in NumPy, ``missing`` in place of null; it may be read only.

    Neither ``numpy.asarray`` nor ``fill_null``: both make pyarrow load pandas, which takes longer than a small question.
    """
    whole = (values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values).cast(pa.int64())
    if not whole.null_count:
        return np.asarray(np.from_dlpack(whole), np.int64)
    found = np.frombuffer(whole.buffers()[1], np.int64)[whole.offset : whole.offset + len(whole)]
    return np.where(np.from_dlpack(pc.is_valid(whole).cast(pa.uint8())), found, missing)


def micros(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as int64 UTC microseconds."""
    return times.cast(contract.TIME).cast(pa.int64()) if pa.types.is_timestamp(times.type) else times.cast(pa.int64())


def ordered(rows: pa.Table, owner: str, times: pa.ChunkedArray | None, ties: Sequence[str]) -> Ordered:
    """Sort rows by owner, time, and ``ties`` (a null counts as 0 or as an empty text).

    Args:
        rows: any order; ``owner`` is not null.
        owner: the column of the owner.
        times: (rows,) int64 microseconds, null = no time; None = what has no clock was always there.
        ties: columns that tell rows of equal times apart.
    """
    order = {"owner": rows[owner]}
    count = rows.num_rows
    if times is not None:
        earliest = pc.min(times).as_py() or 0
        order |= {"timed": pc.is_valid(times), "time": pc.fill_null(times, earliest)}
    for name in ties:
        empty: Any = 0 if pa.types.is_integer(rows[name].type) else ""
        order[name] = pc.fill_null(rows[name], pa.scalar(empty, rows[name].type))
    keys = pa.table(order)
    order_of = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.schema.names])
    keys = keys.take(order_of).combine_chunks()
    rows = rows.take(pa.array(_told_apart(rows, keys, numbers(order_of).copy()))).combine_chunks()
    owners = keys["owner"].combine_chunks() if rows.num_rows else pa.array([], rows[owner].type)
    found, first = runs(owners)
    untimed = np.zeros(count, np.int64)
    micro = np.full(count, np.iinfo(np.int64).min)
    if times is not None:
        untimed, micro = 1 - numbers(keys["timed"]), numbers(keys["time"])
    gone = np.concatenate([np.zeros(1, np.int64), np.cumsum(untimed)])
    return Ordered(rows, found, first, first[:-1] + gone[first[1:]] - gone[first[:-1]], micro)


def runs(owners: pa.Array) -> tuple[pa.Array, Int64]:
    """The owners of rows that lie together, and where each one's begin (and the end)."""
    encoded = pc.run_end_encode(owners)
    return encoded.values, np.concatenate([np.zeros(1, np.int64), numbers(encoded.run_ends)])


def _told_apart(rows: pa.Table, keys: pa.Table, order_of: Int64) -> Int64:
    """``order_of`` with rows that agree in every key in the order of their content."""
    if len(order_of) < 2:
        return order_of
    same = np.ones(len(order_of) - 1, bool)
    for column in keys.columns:
        one, other = column.slice(0, len(order_of) - 1), column.slice(1)
        same &= numbers(pc.equal(one, other)).astype(bool)
    if not same.any():
        return order_of
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2] + 1, strict=True):
        alike = order_of[start:stop]
        words = [repr(row) for row in rows.take(pa.array(alike)).to_pylist()]
        order_of[start:stop] = alike[np.argsort(np.asarray(words), kind="stable")]
    return order_of


def before(rows: Ordered, wanted: pa.Array | pa.ChunkedArray, at_us: Int64, *, inclusive: bool = False) -> tuple[Int64, Int64]:
    """(start, stop): (moments,) int64 each, the owner's rows that have a time before the moment.

    Args:
        rows: as ``ordered`` gave them.
        wanted: (moments,) the owner of each moment; null = nobody.
        at_us: (moments,) int64, UTC microseconds.
        inclusive: rows at the very moment count too.
    """
    who = places(rows, wanted)
    if not len(rows.owners):
        return np.zeros(len(who), np.int64), np.zeros(len(who), np.int64)
    owner = np.repeat(np.arange(len(rows.owners)), np.diff(rows.first))
    start = rows.timed[np.maximum(who, 0)]
    stop = np.maximum(count_before(owner, rows.times_us, who, at_us, inclusive=inclusive), start)
    start[who < 0] = stop[who < 0] = 0
    return start, stop


def places(rows: Ordered, wanted: pa.Array | pa.ChunkedArray) -> Int64:
    """(moments,) int64, the place of each wanted owner among ``rows.owners``, -1 for one that is not there."""
    return numbers(pc.index_in(wanted, value_set=rows.owners, skip_nulls=True), -1)


def count_before(owner: Int64, times_us: Int64, who: Int64, at_us: Int64, *, inclusive: bool = False) -> Int64:
    """(moments,) how many of all rows come before each moment in the order of owner and time.

    Owner and time become one number, so that one search answers for all: by the time itself where it fits, else by
    its rank.

    Args:
        owner: (rows,) int64 from 0, ascending.
        times_us: (rows,) int64, ascending within an owner.
        who: (moments,) int64, an owner, or -1.
        at_us: (moments,) int64.
        inclusive: rows at the very moment count too.
    """
    if not len(owner):
        return np.zeros(len(who), np.int64)
    low, high, owners = int(times_us.min()), int(times_us.max()), int(owner[-1]) + 1
    span = high - low + 2
    side: Any = "right" if inclusive else "left"
    if span * owners < ROOM:
        least, most = max(low - 1, np.iinfo(np.int64).min), min(high + 1, np.iinfo(np.int64).max)
        keys, wanted = owner * span + (times_us - low), who * span + (np.clip(at_us, least, most) - low)
        return np.searchsorted(keys, wanted, side=side).astype(np.int64)
    moments = np.unique(times_us)
    keys = owner * (len(moments) + 1) + np.searchsorted(moments, times_us)
    wanted = who * (len(moments) + 1) + np.searchsorted(moments, at_us, side=side)
    return np.searchsorted(keys, wanted, side="left").astype(np.int64)
