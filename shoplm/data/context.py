"""What was known at each moment: the one place where time is cut, for learning and for answering alike.

Columnar: a context is a row number and a (start, stop) range of shared, sorted acts; Python objects are made
only when one is looked at. Nothing at or after the moment ever appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract

Int64 = np.ndarray[Any, np.dtype[np.int64]]


class Row:
    """One row of a table, read like an object: ``row.title`` is a Python value, None for null.

    A contract column that the table happens to lack is None too; any other unknown name is an AttributeError.
    """

    __slots__ = ("_at", "_declared", "_table")

    def __init__(self, table: pa.Table, at: int, declared: contract.Table) -> None:
        self._table, self._at, self._declared = table, at, declared

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        place = self._table.schema.get_field_index(name)
        if place < 0:
            if name in self._declared.by_name:
                return None
            raise AttributeError(f"no column `{name}` in {self._declared.name}")
        return self._table.column(place)[self._at].as_py()

    def __repr__(self) -> str:
        return f"Row({self.plain()!r})"

    def plain(self) -> dict[str, Any]:
        """As a dict of the values that are not null."""
        return {name: value for name in self._table.schema.names if (value := self[name]) is not None}


@dataclass(frozen=True)
class Context:
    """What was known about one subject at one moment."""

    subject: Row
    acts: pa.Table
    start: int
    stop: int

    @property
    def history(self) -> list[Row]:
        """The subject's shopper's last acts strictly before the moment, oldest first."""
        return [Row(self.acts, at, contract.EVENTS) for at in range(self.start, self.stop)]


@dataclass(frozen=True)
class Contexts:
    """Many contexts at once.

    Attributes:
        subject: one row per context, without what was not yet known.
        acts: every shopper's acts, sorted by (user_id, event_time, event_seq, event_id).
        start, stop: (rows,) int64, each context's range in ``acts``.
        declared: the contract table of ``subject``.
    """

    subject: pa.Table
    acts: pa.Table
    start: Int64
    stop: Int64
    declared: contract.Table

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, i: int) -> Context:
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        at = i % len(self)
        return Context(Row(self.subject, at, self.declared), self.acts, int(self.start[at]), int(self.stop[at]))

    def __iter__(self) -> Iterator[Context]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: Int64) -> Contexts:
        """The contexts at ``rows`` (int64), in that order, over the same acts."""
        subject = self.subject.take(pa.array(rows, pa.int64())).combine_chunks()
        return Contexts(subject, self.acts, self.start[rows], self.stop[rows], self.declared)


def as_of(subject: pa.Table, row: Int64, at_us: Int64, table: contract.Table, events: pa.Table | None = None, last: int = 50) -> Contexts:
    """What was known at each moment.

    Args:
        subject: rows of ``table``, with attribute columns if there are any.
        row: (moments,) int64, the subject's row number of each moment.
        at_us: (moments,) int64, each moment in UTC microseconds.
        table: the contract table that ``subject`` holds.
        events: acts of any shoppers, in any order; None for no history.
        last: the most acts of a history.

    Returns:
        One context per moment. A column known only ``later`` is null; so is every column that is not always known
        where the row's own clock is after the moment; a row without a clock value counts as known.
        Columns that the contract does not name follow ``attributes``.
        The history is the last ``last`` acts strictly before the moment of the subject's ``user_id``.

    Raises:
        ValueError: ``row`` and ``at_us`` differ in length, a row number is out of range, or ``last`` is negative.
    """
    row, at_us = np.asarray(row, np.int64), np.asarray(at_us, np.int64)
    if row.shape != at_us.shape or row.ndim != 1:
        raise ValueError(f"row has shape {row.shape}, at_us {at_us.shape}; both must be (moments,)")
    if len(row) and (row.min() < 0 or row.max() >= subject.num_rows):
        raise ValueError(f"row numbers {row.min()} to {row.max()} do not fit {subject.num_rows} rows")
    if last < 0:
        raise ValueError(f"last is {last}, expected 0 or more")
    known = _known(subject.take(pa.array(row)).combine_chunks(), at_us, table)
    if events is None or "user_id" not in known.schema.names or not events.num_rows:
        acts = contract.EVENTS.schema.empty_table() if events is None else events.slice(0, 0)
        nothing = np.zeros(len(row), np.int64)
        return Contexts(known, acts, nothing, nothing.copy(), table)
    acts, users, first, times_us = _sorted(events)
    start, stop = _ranges(known["user_id"], at_us, users, first, times_us, last)
    return Contexts(known, acts, start, stop, table)


def _micros(times: pa.ChunkedArray) -> pa.ChunkedArray:
    return times.cast(contract.TIME).cast(pa.int64()) if pa.types.is_timestamp(times.type) else times.cast(pa.int64())


def _known(rows: pa.Table, at_us: Int64, table: contract.Table) -> pa.Table:
    late = _after(rows, table.clock, at_us)
    changed = _after(rows, table.updated, at_us) if table.updated else late
    for place, field in enumerate(rows.schema):
        column = table.by_name.get(field.name)
        when = column.known if column else "always" if field.name.startswith("_") else table["attributes"].known
        if field.name in table.key or when == "always":
            continue
        if when == "later":
            rows = rows.set_column(place, field, pa.nulls(rows.num_rows, field.type))
        elif (hidden := changed if when == "updated_at" else late) is not None:
            rows = rows.set_column(place, field, pc.if_else(hidden, pa.scalar(None, field.type), rows.column(place)))
    return rows.combine_chunks()


def _after(rows: pa.Table, clock: str | None, at_us: Int64) -> pa.Array | None:
    """(rows,) true where the row's own time is after its moment; None where there is no such time."""
    if clock is None or clock not in rows.schema.names:
        return None
    late = pc.fill_null(pc.greater(_micros(rows[clock]), pa.array(at_us)), False)
    return late.combine_chunks() if isinstance(late, pa.ChunkedArray) else late


def _sorted(events: pa.Table) -> tuple[pa.Table, pa.Array, Int64, Int64]:
    """Acts of known shoppers in total order; the shoppers; where each one's acts begin (and the end); the times."""
    acts = events.filter(pc.and_(pc.is_valid(events["user_id"]), pc.is_valid(events["event_time"])))
    later = [name for name in acts.schema.names if name in contract.EVENTS.by_name and contract.EVENTS[name].known == "later"]
    acts = acts.drop_columns(later)
    order = acts.select([name for name in ("user_id", "event_time") if name in acts.schema.names])
    if "event_seq" in acts.schema.names:
        order = order.append_column("event_seq", pc.fill_null(acts["event_seq"], 0))
    if "event_id" in acts.schema.names:
        order = order.append_column("event_id", acts["event_id"])
    acts = acts.take(pc.sort_indices(order, sort_keys=[(name, "ascending") for name in order.schema.names])).combine_chunks()
    runs = pc.run_end_encode(acts["user_id"].combine_chunks() if acts.num_rows else pa.array([], pa.string()))
    first = np.concatenate([np.zeros(1, np.int64), np.asarray(runs.run_ends, np.int64)])
    return acts, runs.values, first, np.asarray(_micros(acts["event_time"]), np.int64)


def _ranges(shoppers: pa.ChunkedArray, at_us: Int64, users: pa.Array, first: Int64, times_us: Int64, last: int) -> tuple[Int64, Int64]:
    who = np.asarray(pc.fill_null(pc.index_in(shoppers, value_set=users), -1), np.int64)
    # One search for all: an act's place in (shopper, time) order is one number when times are replaced by their ranks.
    moments = np.unique(times_us)
    span = len(moments) + 1
    owner = np.repeat(np.arange(len(users)), np.diff(first))
    acts = owner * span + np.searchsorted(moments, times_us)
    wanted = who * span + np.searchsorted(moments, at_us, side="left")
    stop = np.searchsorted(acts, wanted, side="left").astype(np.int64)
    begin = first[np.maximum(who, 0)] if len(users) else np.zeros(len(who), np.int64)
    start = np.maximum(begin, stop - last)
    nobody = who < 0
    start[nobody] = stop[nobody] = 0
    return start, stop
