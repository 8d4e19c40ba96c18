"""What becomes of an order: paid, shipped, delivered, sent back; and who writes about it.

A thing is sent back because it does not fit or is not good; a review is written after it came. O order lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoplm.world.catalogue import DAY_US, SECOND_US
from shoplm.world.goods import Flags, Floats, Goods, Ints
from shoplm.world.people import People

STATUSES = ("placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded")
PLACED, PAID, SHIPPED, DELIVERED, CANCELLED, RETURNED, REFUNDED = range(7)
NEVER = np.iinfo(np.int64).max
REASONS = ("does not fit", "not as good as it looks", "changed my mind")
RETURN_DAYS = 30
"""The shop's own rule; most returns begin within it."""


@dataclass(frozen=True)
class Orders:
    """Order lines in order of time: O rows."""

    order: Ints
    """(O,) running number of the order, from 0"""
    line: Ints
    visit: Ints
    shopper: Ints
    item: Ints
    quantity: Ints
    ordered_us: Ints
    paid_us: Ints
    shipped_us: Ints
    delivered_us: Ints
    cancelled_us: Ints
    """(O,) ``NEVER`` where it does not happen, as in all of these"""
    returned_us: Ints
    refunded_us: Ints
    reason: Ints
    """(O,) place in ``REASONS``, -1 where nothing is sent back"""
    gap: Floats
    """(O,) truth: how far from fitting, in sizes"""
    p_return: Floats
    """(O,) truth"""

    def __len__(self) -> int:
        return len(self.order)

    def status(self, now_us: int) -> tuple[Ints, Ints]:
        """(O,) place in ``STATUSES`` and since when, as of ``now_us``."""
        steps = np.stack(
            [self.ordered_us, self.paid_us, self.shipped_us, self.delivered_us, self.cancelled_us, self.returned_us, self.refunded_us]
        )
        # 0 at least: a visit that begins in the last minutes may order a little after the end.
        status = np.where(steps <= now_us, np.arange(len(STATUSES))[:, None], 0).max(axis=0)
        return status, np.take_along_axis(steps, status[None, :], axis=0)[0]


def gap(shopper: Ints, item: Ints, people: People, goods: Goods) -> Floats:
    """Truth: how far a product is from fitting, in sizes; 0 where nothing has to fit."""
    off: Floats = np.where(goods.sized[item], np.abs(goods.runs[item] + 0.5 * people.body[shopper]), 0.0).astype(np.float32)
    return off


def orders(
    visit: Ints, shopper: Ints, item: Ints, quantity: Ints, at_us: Ints, first: int, people: People, goods: Goods, rng: np.random.Generator
) -> Orders:
    """Purchases, ordered by time, as orders numbered from ``first``; the lines of one visit are one order."""
    count = len(visit)
    names, start, number = np.unique(visit, return_index=True, return_inverse=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(start, kind="stable")] = np.arange(len(names))
    order = rank[number]
    by_order = np.argsort(order, kind="stable")
    line = np.empty(count, dtype=np.int64)
    line[by_order] = np.arange(count) - np.searchsorted(order[by_order], order[by_order])

    def each(low: float, high: float) -> Ints:
        """Microseconds, the same for all lines of an order."""
        drawn: Ints = (rng.uniform(low, high, len(names)) * DAY_US).astype(np.int64)[order] // SECOND_US * SECOND_US
        return drawn

    paid = at_us + each(0.0005, 0.02)
    shipped, ways = paid + each(0.4, 3), each(1, 6)
    cancelled = (rng.random(len(names)) < 0.04)[order]
    delivered = np.where(cancelled, NEVER, shipped + ways)
    off = gap(shopper, item, people, goods)
    unfit, poor = 1.7 * np.maximum(off - 0.5, 0), -0.9 * goods.quality[item]
    p_return = (1 / (1 + np.exp(-(-2.9 + unfit + poor)))).astype(np.float32)
    back = (rng.random(count) < p_return) & ~cancelled
    days = (np.minimum(rng.gamma(2.2, 4.5, count) + 1, 44) * DAY_US).astype(np.int64) // SECOND_US * SECOND_US
    reason = np.where(rng.random(count) < 0.12, 2, np.where(unfit > np.maximum(poor, 0) + 0.2, 0, 1))
    returned = np.where(back, np.where(cancelled, 0, shipped + ways) + days, NEVER)
    refunded = np.where(back, returned + (rng.uniform(2, 6, count) * DAY_US).astype(np.int64) // SECOND_US * SECOND_US, NEVER)
    late = np.where(cancelled, NEVER, shipped)
    return Orders(
        first + order, line, visit, shopper, item, quantity, at_us, paid, late, delivered,
        np.where(cancelled, paid + each(0.02, 0.4), NEVER), returned, refunded, np.where(back, reason, -1), off, p_return,
    )  # fmt: skip


def pleased(placed: Orders, goods: Goods) -> Floats:
    """(O,) truth: how each line changes the shopper's mind about the shop, about -2 to 2."""
    kept: Flags = placed.delivered_us < NEVER
    return np.where(kept, 0.7 * goods.quality[placed.item] - 0.8 * np.maximum(placed.gap - 0.5, 0), -0.5).astype(np.float32)
