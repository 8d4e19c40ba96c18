"""What every product costs at every moment: regular prices that are revised, and promotions that begin and end.

Drawn apart from everything else, so the rest of a world is what it would be at constant prices. A catalogue shows one
price, that of now; what something cost before stands in the acts and orders of its time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoplm.world.catalogue import DAY_US, START_US, WEEK_US, Product
from shoplm.world.goods import Ints

REVISIONS = 1 / 26
"""Revisions of a regular price a week, about: two a year."""
PROMOTIONS = 1 / 12
"""Promotions of a product a week, about; of two weeks each on average, so one thing in six is on sale."""
MOST = 40
"""The most of either that one product sees, however long a shop is watched."""
STEPS = (0.94, 0.97, 1.03, 1.06, 1.1)
"""A revised price over the one before; the mean is 1.02: things become dearer."""
OFF = (0.75, 0.8, 0.85)
"""A promotion's price over the regular one."""


@dataclass(frozen=True)
class Prices:
    """P products, K states of each in order of time.

    Attributes:
        since_us: (P, K) int64, since when a state holds; the first always did, one that never comes holds from the largest number on.
        regular: (P, K) int64 cents.
        sale: (P, K) int64 cents, 0 where nothing is off.
    """

    since_us: Ints
    regular: Ints
    sale: Ints

    def at(self, item: Ints, at_us: Ints) -> tuple[Ints, Ints]:
        """(rows,) regular and sale price (0 = none), in cents, of each item at its moment."""
        state = (self.since_us[item] <= at_us[:, None]).sum(1) - 1
        return self.regular[item, state], self.sale[item, state]

    def paid(self, item: Ints, at_us: Ints) -> Ints:
        """(rows,) cents that each item cost at its moment."""
        regular, sale = self.at(item, at_us)
        return np.where(sale > 0, sale, regular)

    def changed(self, at_us: int) -> Ints:
        """(P,) since when the prices of ``at_us`` hold; of one that never changed the smallest number."""
        return np.asarray(np.where(self.since_us <= at_us, self.since_us, self.since_us[:, :1]).max(1), np.int64)


def prices(goods: tuple[Product, ...], weeks: int, rng: np.random.Generator) -> Prices:
    """The prices of products over so many weeks; a colour of a product costs what the product costs.

    A price of 0, planted as a fault, is no concern of this.
    """
    groups = {name: place for place, name in enumerate(dict.fromkeys(good.group for good in goods))}
    of = np.array([groups[good.group] for good in goods], np.int64)
    drawn = [_one(weeks, rng) for _ in groups]
    width = 1 + max((len(changes) for changes in drawn), default=0)
    since = np.full((len(goods), width), np.iinfo(np.int64).max)
    since[:, 0] = np.iinfo(np.int64).min
    regular, sale = (np.zeros((len(goods), width), np.int64) for _ in range(2))
    for place, good in enumerate(goods):
        factor, off = 1.0, (good.sale_cents or 0) / good.price_cents
        regular[place, 0], sale[place, 0] = good.price_cents, good.sale_cents or 0
        for step, (at_us, kind, value) in enumerate(drawn[of[place]], 1):
            factor, off = (factor * value, off) if kind == "revised" else (factor, value)
            cents = round(good.price_cents * factor / 10) * 10 if factor != 1.0 else good.price_cents
            since[place, step] = at_us
            regular[place, step], sale[place, step] = cents, int(cents * off)
        regular[place, len(drawn[of[place]]) + 1 :] = regular[place, len(drawn[of[place]])]
        sale[place, len(drawn[of[place]]) + 1 :] = sale[place, len(drawn[of[place]])]
    return Prices(since, regular, sale)


def _one(weeks: int, rng: np.random.Generator) -> list[tuple[int, str, float]]:
    """What happens to one price, in order of time: (when, whether it is revised or put on or off sale, by how much)."""
    found: list[tuple[int, str, float]] = []
    for _ in range(min(int(rng.poisson(REVISIONS * weeks)), MOST)):
        found.append((START_US + int(rng.integers(0, weeks * 7)) * DAY_US + 4 * 3_600_000_000, "revised", float(rng.choice(STEPS))))
    end = 0
    for begin in np.sort(rng.integers(0, weeks, min(int(rng.poisson(PROMOTIONS * weeks)), MOST))):
        if begin < end:
            continue  # one at a time
        end = int(begin) + int(rng.integers(1, 4))
        found.append((START_US + int(begin) * WEEK_US, "sale", float(rng.choice(OFF))))
        found.append((START_US + end * WEEK_US, "sale", 0.0))
    return sorted(found)
