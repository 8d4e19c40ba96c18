"""The last acts before each of many moments, shopper after shopper, in memory that does not grow with them.

For tables that are too large to be sorted in memory: acts and moments come in pieces, both sorted by shopper and
time (``ORDER BY user_id, event_time, event_seq, event_id`` in SQL does that out of core). Only the shoppers in hand
are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data.order import Int64, count_before, micros, numbers, runs

TOGETHER = 8_192
"""Moments whose last acts are put side by side at once: what is put aside for it stays in the processor's caches."""


@dataclass(frozen=True)
class Histories:
    """Some moments and the acts before them: moment ``i`` sees ``acts[start[i]:stop[i]]``, oldest first.

    ``acts`` are shared and hold later acts too: read them through the ranges only.
    """

    moments: pa.Table
    acts: pa.Table
    start: Int64
    stop: Int64

    def codes(self, column: str, last: int) -> tuple[np.ndarray[Any, np.dtype[np.int32]], pa.Array]:
        """(moments, last) int32, ``column`` of the last acts as codes, -1 where there are fewer (in front); and the words."""
        count = len(self.stop)
        if not self.acts.num_rows:
            return np.full((count, last), -1, np.int32), pa.array([], pa.string())
        encoded = self.acts[column].combine_chunks().dictionary_encode()
        values = numbers(encoded.indices, -1).astype(np.int32)
        padded = np.concatenate([values, np.full(1, -1, np.int32)])
        back, found = np.arange(last, 0, -1), np.empty((count, last), np.int32)
        for begin in range(0, count, TOGETHER):
            some = slice(begin, begin + TOGETHER)
            at = self.stop[some, None] - back
            np.copyto(at, len(values), where=at < self.start[some, None])
            padded.take(at, out=found[some], mode="clip")  # "raise" would copy `out`
        return found, encoded.dictionary


def histories(acts: Iterable[pa.Table], moments: Iterable[pa.Table], last: int, rows: int = 500_000) -> Iterator[Histories]:
    """The last acts strictly before each moment.

    Args:
        acts: pieces with ``user_id`` (not null) and ``event_time``, sorted by both over all pieces, in the contract's
            order within equal times.
        moments: pieces with ``user_id`` and ``at_us`` (int64), sorted by ``user_id`` over all pieces; in what order
            within one shopper is free, but ascending is fastest.
        last: the most acts of a history.
        rows: about so many moments are held at once, and the acts of their shoppers.

    Yields:
        The moments in their order, with their acts; a shopper without acts has empty histories.

    Raises:
        ValueError: ``last`` is negative, or pieces are not sorted by shopper.
    """
    if last < 0:
        raise ValueError(f"last is {last}, expected 0 or more")
    source = iter(acts)
    held: pa.Table | None = None
    for asked in _pieces(moments, rows):
        users, first = _sorted_runs(asked["user_id"], "moments")
        newest = users[-1].as_py()
        parts = [] if held is None else [held]
        while not parts or not parts[-1].num_rows or parts[-1]["user_id"][-1].as_py() <= newest:
            piece = next(source, None)
            if piece is None:
                break
            parts.append(piece)
        if not parts:
            nothing = np.zeros(asked.num_rows, np.int64)
            yield Histories(asked, pa.table({"user_id": pa.array([], pa.string())}), nothing, nothing)
            continue
        known = pa.concat_tables(parts).combine_chunks()
        owners, begin = _sorted_runs(known["user_id"], "acts")
        who_of = numbers(pc.index_in(users, value_set=owners), -1)
        who = np.repeat(who_of, np.diff(first))
        times_us = numbers(micros(known["event_time"]))
        stop = count_before(np.repeat(np.arange(len(owners)), np.diff(begin)), times_us, who, numbers(asked["at_us"]))
        start = np.maximum(begin[np.maximum(who, 0)] if len(owners) else np.zeros(len(who), np.int64), stop - last)
        start[who < 0] = stop[who < 0] = 0
        yield Histories(asked, known, start, stop)
        # the last shopper may go on in the next piece of moments; all before are done with
        held = known.filter(pc.greater_equal(known["user_id"], users[-1]))  # a copy: a slice would keep the whole piece in memory


def _pieces(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows, about ``rows`` at a time."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows)
            held.append(part)
            count += part.num_rows
            if count >= rows:
                yield pa.concat_tables(held).combine_chunks()
                held, count = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _sorted_runs(column: pa.ChunkedArray, what: str) -> tuple[pa.Array, Int64]:
    owners, first = runs(column.combine_chunks() if column.length() else pa.array([], pa.string()))
    if len(owners) > 1 and not pc.all(pc.less(owners.slice(0, len(owners) - 1), owners.slice(1))).as_py():
        raise ValueError(f"{what} are not sorted by user_id; sort them in SQL first")
    return owners, first
