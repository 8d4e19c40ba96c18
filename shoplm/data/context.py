"""What was known at each moment: the one place where time is cut, for learning and for answering alike.

Columnar: a context is a row number, a few places and (start, stop) ranges in shared, sorted rows; Python objects
are made only when one is looked at. Nothing known after the moment ever appears, and nothing that happened at it:
lists hold what lies strictly before the moment, values that change (price, status) hold from their own time on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract
from shoplm.data.order import Ordered, before, micros, ordered, places

Int64 = np.ndarray[Any, np.dtype[np.int64]]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
LINKS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "products": (("item_id", "id"), ("id", "id")),
    "users": (("user_id", "user_id"),),
    "orders": (("user_id", "user_id"),),
    "ads": (("user_id", "user_id"),),
    "reviews": (("item_id", "item_id"), ("id", "item_id")),
    "chats": (("conversation_id", "conversation_id"), ("user_id", "user_id")),
    "labels": (("_id", "subject"),),
    "relations": (("item_id", "head"), ("id", "head"), ("user_id", "head")),
}
"""For each table of facts, which column of a subject meets which of its own; the first that the subject has."""
HELD = 64
"""Columns of histories that are kept for the next context."""
SINGLE = ("products", "users")
"""Facts of which a subject has one row; of the others it has a list."""


class Row:
    """One row of a table, read like an object: ``row.title`` is a Python value, None for null or not yet known.

    A contract column that the table happens to lack is None too; any other unknown name is an AttributeError.
    """

    __slots__ = ("_at", "_declared", "_instead", "_now_us", "_table")

    def __init__(
        self, table: pa.Table, at: int, declared: contract.Table, now_us: int | None = None, instead: Mapping[str, Any] = _NOTHING
    ) -> None:
        self._table, self._at, self._declared = table, at, declared
        self._now_us, self._instead = now_us, instead

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if name in self._instead:
            return self._instead[name]
        place = self._table.schema.get_field_index(name)
        if place < 0:
            if name in self._declared.by_name:
                return None
            raise AttributeError(f"no column `{name}` in {self._declared.name}")
        if self._now_us is not None and known(self._declared, name) == "updated_at" and not self._current(self._now_us):
            return None
        return self._table.column(place)[self._at].as_py()

    def _current(self, now_us: int) -> bool:
        """Do the values that change hold at the moment? Without a time of their own nobody knows."""
        place = self._table.schema.get_field_index(CHANGED)
        since = self._table.column(place)[self._at].as_py() if place >= 0 else None
        return since is not None and since <= now_us

    def get(self, name: str) -> Any:
        """As ``row.name``, but None too where the table has no such column."""
        return self[name] if name in self._table.schema.names else None

    def __repr__(self) -> str:
        return f"Row({self.plain()!r})"

    def plain(self) -> dict[str, Any]:
        """As a dict of the values that are not null."""
        names = (name for name in self._table.schema.names if name != CHANGED)
        return {name: value for name in names if (value := self[name]) is not None}


CHANGED = "_since_us"
"""Inside facts: since when the columns known at ``updated_at`` hold, int64 UTC microseconds."""


@dataclass(frozen=True)
class Facts:
    """Rows of one table beside the subjects: shared rows, and which of them each moment may see.

    Attributes:
        rows: the shared rows, sorted.
        start, stop: (moments,) int64; a moment sees ``rows[start:stop]``.
    """

    rows: pa.Table
    start: Int64
    stop: Int64

    def take(self, at: Int64) -> Facts:
        """The same for the moments ``at``."""
        return Facts(self.rows, self.start[at], self.stop[at])


@dataclass(frozen=True)
class Context:
    """What was known about one subject at one moment."""

    subject: Row
    acts: pa.Table
    start: int
    stop: int
    now_us: int = 0
    facts: Mapping[str, tuple[pa.Table, int, int]] = field(default_factory=dict)
    price: tuple[pa.Table, int] | None = None
    held: dict[tuple[str, int, int], list[Any]] = field(default_factory=dict, repr=False, compare=False)
    """Histories read lately, shared by neighbours: an item beside another in a list has the same."""

    @property
    def history(self) -> list[Row]:
        """The subject's shopper's last acts strictly before the moment, oldest first."""
        return [Row(self.acts, at, contract.EVENTS) for at in range(self.start, self.stop)]

    def acted(self, column: str) -> Sequence[Any]:
        """One column of the history, oldest first; faster than going through its rows. Empty where the acts lack the column."""
        key = (column, self.start, self.stop)
        if key not in self.held:
            place = self.acts.schema.get_field_index(column)
            if len(self.held) >= HELD:
                self.held.clear()
            self.held[key] = self.acts.column(place).slice(self.start, self.stop - self.start).to_pylist() if place >= 0 else []
        return self.held[key]

    def known(self, table: str) -> list[Row]:
        """The rows of ``table`` that belong to the subject and were known, oldest first; of products and users at most one."""
        if table not in self.facts:
            return []
        rows, start, stop = self.facts[table]
        return [Row(rows, at, contract.TABLES[table], self.now_us) for at in range(start, stop)]

    @property
    def item(self) -> Row | None:
        """The subject's item: its words always, price and availability as last seen at the moment, else null.

        A price in an act that is newer than the catalogue's takes its place, and then ``sale_price`` is null: what an
        act shows is what was to be paid.
        """
        found = self.known("products")
        if not found or self.price is None:
            return found[0] if found else None
        acts, at = self.price
        if found[0].price is not None and found[0][CHANGED] > acts["_time_us"][at].as_py():
            return found[0]
        rows, start, _ = self.facts["products"]
        seen = {"price": acts["price"][at].as_py(), "sale_price": None}
        if "currency" in acts.schema.names and (currency := acts["currency"][at].as_py()) is not None:
            seen["currency"] = currency
        return Row(rows, start, contract.PRODUCTS, self.now_us, seen)

    @property
    def shopper(self) -> Row | None:
        """The subject's shopper, as the users table has it."""
        found = self.known("users")
        return found[0] if found else None

    @property
    def labels(self) -> list[Row]:
        """What had been judged about the subject before the moment, oldest first."""
        return self.known("labels")


@dataclass(frozen=True)
class Contexts:
    """Many contexts at once.

    Attributes:
        subject: one row per context, without what was not yet known.
        acts: every shopper's acts, sorted by (user_id, event_time, event_seq, event_id).
        start, stop: (rows,) int64, each context's range in ``acts``.
        declared: the contract table of ``subject``.
        at_us: (rows,) int64, the moments.
        facts: by table, what else was known.
        prices: acts that show a price, and before which of them each moment lies (the last at ``stop - 1``).
    """

    subject: pa.Table
    acts: pa.Table
    start: Int64
    stop: Int64
    declared: contract.Table
    at_us: Int64
    facts: Mapping[str, Facts] = field(default_factory=dict)
    prices: Facts | None = None
    held: dict[tuple[str, int, int], list[Any]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, i: int) -> Context:
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        at = i % len(self)
        facts = {name: (one.rows, int(one.start[at]), int(one.stop[at])) for name, one in self.facts.items()}
        seen = self.prices
        price = (seen.rows, int(seen.stop[at]) - 1) if seen is not None and seen.stop[at] > seen.start[at] else None
        subject = Row(self.subject, at, self.declared)
        return Context(subject, self.acts, int(self.start[at]), int(self.stop[at]), int(self.at_us[at]), facts, price, self.held)

    def __iter__(self) -> Iterator[Context]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: Int64) -> Contexts:
        """The contexts at ``rows`` (int64), in that order, over the same acts and facts."""
        subject = self.subject.take(pa.array(rows, pa.int64())).combine_chunks()
        facts = {name: one.take(rows) for name, one in self.facts.items()}
        prices = None if self.prices is None else self.prices.take(rows)
        return Contexts(subject, self.acts, self.start[rows], self.stop[rows], self.declared, self.at_us[rows], facts, prices)


def as_of(
    subject: pa.Table,
    row: Int64,
    at_us: Int64,
    table: contract.Table,
    events: pa.Table | None = None,
    last: int = 50,
    facts: Mapping[str, pa.Table] = _NOTHING,
) -> Contexts:
    """What was known at each moment.

    Args:
        subject: rows of ``table``, with attribute columns if there are any.
        row: (moments,) int64, the subject's row number of each moment.
        at_us: (moments,) int64, each moment in UTC microseconds.
        table: the contract table that ``subject`` holds.
        events: acts of any shoppers, in any order; None for no history.
        last: the most acts of a history.
        facts: rows of other tables by their name (a key of ``LINKS``), in any order, such as the products.

    Returns:
        One context per moment. In its subject a column known only ``later`` is null; so is every column that is not
        always known where the row's own clock is after the moment; a row without a clock value counts as known.
        Columns that the contract does not name follow ``attributes``.
        The history is the last ``last`` acts strictly before the moment of the subject's ``user_id``.
        Of facts a subject sees the rows that ``LINKS`` gives it: of products and users one (of several rows of one
        product the newest that was known), of other tables those whose clock is strictly before the moment. A fact
        without a time of its own counts from ``ingested_at``, and without that it is not known, but for what is
        always known. The order of rows never matters.

    Raises:
        ValueError: ``row`` and ``at_us`` differ in length, a row number is out of range, ``last`` is negative, or no
            column leads from the subject to a table of ``facts``.
    """
    row, at_us = np.asarray(row, np.int64), np.asarray(at_us, np.int64)
    if row.shape != at_us.shape or row.ndim != 1:
        raise ValueError(f"row has shape {row.shape}, at_us {at_us.shape}; both must be (moments,)")
    if len(row) and (row.min() < 0 or row.max() >= subject.num_rows):
        raise ValueError(f"row numbers {row.min()} to {row.max()} do not fit {subject.num_rows} rows")
    if last < 0:
        raise ValueError(f"last is {last}, expected 0 or more")
    asked = subject.take(pa.array(row, pa.int64())).combine_chunks()
    cut = _known(asked, at_us, table)
    beside = {name: _facts(name, rows, met(name, asked, table), at_us) for name, rows in facts.items()}
    prices = None
    if "products" in facts and events is not None and {"item_id", "price"} <= set(events.schema.names):
        item, _ = met("products", asked, table)
        shown = _acts(events.filter(pc.and_(pc.is_valid(events["price"]), pc.is_valid(events["item_id"]))), "item_id")
        prices = Facts(shown.with_times(), *before(shown, item, at_us))
    nothing = np.zeros(len(row), np.int64)
    if events is None or "user_id" not in cut.schema.names or not events.num_rows:
        acts = contract.EVENTS.schema.empty_table() if events is None else events.slice(0, 0)
        return Contexts(cut, acts, nothing, nothing.copy(), table, at_us, beside, prices)
    sorted_acts = _acts(events, "user_id")
    start, stop = before(sorted_acts, cut["user_id"], at_us)
    return Contexts(cut, sorted_acts.rows, np.maximum(start, stop - last), stop, table, at_us, beside, prices)


def known(table: contract.Table, column: str) -> contract.Known:
    """When a column of ``table`` becomes known; one that the contract does not name follows ``attributes``."""
    if column in table.by_name:
        return table[column].known
    stamp = column.startswith("_") or column in ("source", "ingested_at", "row_digest")
    return "always" if stamp or "attributes" not in table.by_name else table["attributes"].known


def _known(rows: pa.Table, at_us: Int64, table: contract.Table) -> pa.Table:
    late = _after(rows, table.clock, at_us)
    changed = _after(rows, table.updated, at_us) if table.updated else late
    for place, column in enumerate(rows.schema):
        when = known(table, column.name)
        if column.name in table.key or when == "always":
            continue
        if when == "later":
            rows = rows.set_column(place, column, pa.nulls(rows.num_rows, column.type))
        elif (hidden := changed if when == "updated_at" else late) is not None:
            rows = rows.set_column(place, column, pc.if_else(hidden, pa.scalar(None, column.type), rows.column(place)))
    return rows.combine_chunks()


def _after(rows: pa.Table, clock: str | None, at_us: Int64) -> pa.Array | None:
    """(rows,) true where the row's own time is after its moment; None where there is no such time."""
    if clock is None or clock not in rows.schema.names:
        return None
    late = pc.fill_null(pc.greater(micros(rows[clock]), pa.array(at_us)), False)
    return late.combine_chunks() if isinstance(late, pa.ChunkedArray) else late


def met(name: str, asked: pa.Table, table: contract.Table) -> tuple[pa.ChunkedArray, str]:
    """Which key of the facts each subject asks for, and the facts' own column of it.

    Raises:
        ValueError: no column leads from the subject to the table ``name``.
    """
    if name not in LINKS:
        raise ValueError(f"facts: no subject leads to `{name}`; there is {', '.join(LINKS)}")
    for ours, theirs in LINKS[name]:
        if ours in asked.schema.names and (ours != "id" or table.name == "products"):
            return asked[ours], theirs
        if ours == "_id" and set(table.key) <= set(asked.schema.names):
            return pc.binary_join_element_wise(*(asked[key].cast(pa.string()) for key in table.key), "/"), theirs
    raise ValueError(f"facts: nothing leads from {table.name} to `{name}`; expected {' or '.join(ours for ours, _ in LINKS[name])}")


def _facts(name: str, rows: pa.Table, met: tuple[pa.ChunkedArray, str], at_us: Int64) -> Facts:
    wanted, key = met
    table = contract.TABLES[name]
    rows = rows.filter(pc.is_valid(rows[key]))
    rows = rows.drop_columns([column for column in rows.schema.names if known(table, column) == "later"])
    rows = rows.append_column(CHANGED, _since(rows, table.updated or table.clock))
    clock = None if table.clock is None else _since(rows, table.clock)
    ties = [column for column in ("turn", *table.key) if column in rows.schema.names and column != key]
    whole = ordered(rows, key, clock, ties)
    if name not in SINGLE:
        return Facts(whole.rows, *before(whole, wanted, at_us))
    # of several rows of one product the newest that was known; when all came later, what is always known of the first
    _, stop = before(whole, wanted, at_us, inclusive=True)
    who = places(whole, wanted)
    place = np.maximum(whole.first[np.maximum(who, 0)], stop - 1)
    return Facts(whole.rows, place, place + (who >= 0))


def _since(rows: pa.Table, clock: str | None) -> pa.ChunkedArray:
    """(rows,) the row's own time in microseconds, else when it came into the shop, else null."""
    found = pa.chunked_array([pa.nulls(rows.num_rows, pa.int64())])
    for name in (clock, "ingested_at"):
        if name is not None and name in rows.schema.names:
            found = pc.coalesce(found, micros(rows[name]))
    return found


def _acts(events: pa.Table, by: str) -> Ordered:
    """Acts by ``by``, each one's in the total order of the contract, without what is known later."""
    later = [name for name in events.schema.names if known(contract.EVENTS, name) == "later"]
    acts = events.drop_columns(later).filter(pc.and_(pc.is_valid(events[by]), pc.is_valid(events["event_time"])))
    return ordered(acts, by, micros(acts["event_time"]), [name for name in ("event_seq", "event_id") if name in acts.schema.names])
