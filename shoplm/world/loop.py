"""The closed loop: a week of the shop at a time, in which what is shown changes what happens.

``World`` is the one thing here that changes: every ``step`` moves it a week on. Shoppers who are shown what they like,
and who get what is good and fits, come back more often; what is looked at and bought becomes popular; what was
seen often is clicked less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm.errors import DataError
from shoplm.world.advertising import CHANNELS, Crowd, Impressions, tide
from shoplm.world.aftermath import NEVER, Orders, orders, pleased
from shoplm.world.catalogue import SECOND_US, START_US, WEEK_US, Product, products
from shoplm.world.goods import Floats, Goods, Ints, columns_of
from shoplm.world.people import People, people
from shoplm.world.policy import Arrivals, HousePolicy, Policy, Shelf
from shoplm.world.prices import Prices, prices
from shoplm.world.settings import WorldConfig
from shoplm.world.speech import grammars
from shoplm.world.visits import BUY, VIEW, Acts, Minds, Visits, visit

ORGANIC = ("direct", "search", "email", "social")
VISIT_CHANNELS = (*ORGANIC, *(f"ad_{name}" for name in CHANNELS))
DEVICES = ("mobile", "mobile", "desktop", "tablet")
RECENT = 10
"""Products looked at that a shop remembers of a shopper."""
USUAL_CLICKS = 1.4
"""Clicks that a first page may expect where nobody is pleased or displeased with it."""
BLOCK = 20_000
"""Visits that are played at once: this and not the number of visits sets the memory."""
_HOURS = np.array([1, 0.5, 0.3, 0.2, 0.2, 0.4, 1, 2, 3, 3.5, 4, 4, 4.5, 4, 4, 4, 4.5, 5, 6, 7, 7.5, 7, 5, 2.5])
_DAYS = np.array([1.0, 0.95, 0.95, 1.0, 1.0, 1.15, 1.3])


@dataclass(frozen=True)
class Week:
    """What happened in one week."""

    week: int
    acts: tuple[Acts, ...]
    """In order of the beginning of the visits, block after block."""
    impressions: Impressions
    converted: Ints
    """(M,) what was paid in the visit that the impression led to, in cents; -1 where it led to none or nothing was bought"""
    orders: Orders
    refunds: Orders
    """Order lines of any week that are refunded in this one."""
    visits: int
    shoppers: int
    """How many different ones came."""
    clicks: int
    """On the lists of the policy."""
    revenue_cents: int
    satisfaction: float
    """Truth: mean over all shoppers, 0 at rest."""

    @property
    def conversion(self) -> float:
        """Orders a visit."""
        return len(np.unique(self.orders.order)) / max(self.visits, 1)


class World:
    """A shop whose truth is known, in the week ``week``.

    Args:
        config: which one.
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.said = grammars(config.language)
        self.products: tuple[Product, ...] = tuple(products(config.products, self._rng(0), self.said, config.language))
        self.goods: Goods = columns_of(self.products, self._rng(1))
        self.people: People = people(config, self.goods, self._rng(2))
        self.crowd = Crowd(config, self.goods, self._rng(3))
        self.tide = tide(config)
        self.prices: Prices = prices(self.products, config.weeks, self._rng(4))
        self.week = 0
        count = config.shoppers
        self._viewed, self._bought = (np.zeros(config.products, dtype=np.float32) for _ in range(2))
        self._recent = np.full((count, RECENT), -1, dtype=np.int32)
        self._pointer = np.zeros(count, dtype=np.int64)
        self._visits = np.zeros(count, dtype=np.int32)
        self._satisfaction = np.zeros(count, dtype=np.float32)
        self._number = self._orders = 0
        self._returning: list[Orders] = []

    @property
    def end_us(self) -> int:
        """The moment at which the last week ends."""
        return START_US + self.config.weeks * WEEK_US

    def house(self) -> HousePolicy:
        """The policy of the shop itself, by the world's variant."""
        return HousePolicy(sharp=1.3, even=0.02) if self.config.variant == "popularity" else HousePolicy()

    def taste(self) -> Floats:
        """(S, C) truth: the tastes of this week."""
        shift = self.config.shift_week
        return self.people.taste if shift is None or self.week < shift else self.people.later_taste

    def minds(self) -> Minds:
        """Truth: what this week's appeal depends on."""
        herd = np.zeros(len(self.goods.ids), dtype=np.float32)
        if self.config.variant == "popularity" and self._viewed.sum() > 0:
            herd = (0.5 * np.log1p(self._viewed / self._viewed.mean())).astype(np.float32)
        return Minds(self.people, self.goods, self.taste(), herd)

    def shelf(self) -> Shelf:
        """What the shop knows of its products by now."""
        goods = self.goods
        every = np.arange(len(goods.ids))
        cents = self.prices.paid(every, np.full(len(every), START_US + self.week * WEEK_US))
        return Shelf(goods.ids, goods.category, goods.brand, cents, goods.shelves, self._viewed.copy(), self._bought.copy())

    def step(self, policy: Policy | None = None) -> Week:
        """One week under a policy; None is the shop's own.

        Raises:
            DataError: the policy answers unlawfully (the world is then to be thrown away), or the last week is over.
        """
        if self.week >= self.config.weeks:
            raise DataError(f"world: all {self.config.weeks} weeks are over; set weeks higher")
        chosen = policy or self.house()
        rng = self._rng(10 + self.week)
        minds = self.minds()
        last = self._last(np.arange(len(self.people)))
        impressions = self.crowd.week(self.week, self.people, minds.taste, self.goods, last, rng)
        visits, led = self._arriving(impressions, rng)
        played = [self._play(visits, start, chosen, minds, rng) for start in range(0, len(visits.shopper), BLOCK)]
        blocks, clicks = tuple(acts for acts, _ in played), sum(count for _, count in played)
        placed = self._placed(blocks, rng)
        self._feel(placed)
        found = Week(
            week=self.week, acts=blocks, impressions=impressions, converted=self._converted(placed, visits, led, len(impressions.at_us)),
            orders=placed, refunds=self._due(placed), visits=len(visits.shopper), shoppers=len(np.unique(visits.shopper)), clicks=clicks,
            revenue_cents=int((self.prices.paid(placed.item, placed.ordered_us) * placed.quantity).sum()), satisfaction=float(self._satisfaction.mean()),
        )  # fmt: skip
        self._viewed *= 0.97
        self._bought *= 0.97
        self.week += 1
        return found

    def run(self, policy: Policy | None = None, weeks: int | None = None) -> Iterator[Week]:
        """The next weeks, to the end by default."""
        for _ in range(self.config.weeks - self.week if weeks is None else weeks):
            yield self.step(policy)

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, part])

    def _last(self, shopper: Ints) -> Ints:
        return self._recent[shopper, (self._pointer[shopper] - 1) % RECENT].astype(np.int64)

    def _arriving(self, impressions: Impressions, rng: np.random.Generator) -> tuple[Visits, Ints]:
        """This week's visits in order of time, and for each the impression that led to it, or -1."""
        people, count = self.people, len(self.people)
        ads = np.nonzero(impressions.clicked)[0]
        rate = people.rate * np.exp(0.55 * self._satisfaction)
        wanted = float(rate.sum()) * self.tide[self.week] * (1 + float(self.crowd.answers[self.week].sum()))
        expected_ads = float(impressions.p_click.sum())
        scale = max(wanted - expected_ads, 0.1 * wanted) / max(float(rate.sum()), 1e-9)
        own = np.repeat(np.arange(count), rng.poisson(rate * scale))
        when = rng.choice(7 * 24, len(own), p=np.outer(_DAYS, _HOURS).ravel() / np.outer(_DAYS, _HOURS).sum()) * 3600 + rng.integers(
            0, 3600, len(own)
        )
        at_us = np.concatenate([START_US + self.week * WEEK_US + when * SECOND_US, impressions.at_us[ads] + SECOND_US])
        order = np.argsort(at_us, kind="stable")
        channel = np.concatenate(
            [np.array([0, 1, 2, 3, 0])[rng.integers(0, 5, len(own))], len(ORGANIC) + self.crowd.ads.channel[impressions.ad[ads]]]
        )
        landing = np.concatenate([np.full(len(own), -1), self.crowd.ads.item[impressions.ad[ads]]])
        led = np.concatenate([np.full(len(own), -1), ads])
        number = self._number + np.arange(len(order))
        self._number += len(order)
        visits = Visits(
            number, np.concatenate([own, impressions.shopper[ads]])[order], at_us[order], channel[order],
            rng.integers(0, len(DEVICES), len(order)), landing[order], np.zeros((0, RECENT), dtype=np.int64),
        )  # fmt: skip
        return visits, led[order]

    def _play(self, whole: Visits, start: int, policy: Policy, minds: Minds, rng: np.random.Generator) -> tuple[Acts, int]:
        rows = slice(start, start + BLOCK)
        shopper = whole.shopper[rows]
        back = (self._pointer[shopper][:, None] - 1 - np.arange(RECENT)) % RECENT
        recent = self._recent[shopper[:, None], back].astype(np.int64)
        visits = Visits(
            whole.number[rows], shopper, whole.at_us[rows], whole.channel[rows], whole.device[rows], whole.landing[rows], recent
        )
        arrivals = Arrivals(
            shopper, visits.at_us, recent, self._visits[shopper].astype(np.int64), visits.channel, self.shelf(),
            (self.config.seed, 1, self.week, start),
        )  # fmt: skip
        shown = policy.rank(arrivals).checked(len(shopper), len(self.goods.ids))
        weight = (self._viewed + 5 * self._bought + 1.0).astype(np.float64) ** 0.5
        within = weight / np.bincount(self.goods.category, weight, minlength=len(self.goods.shelves))[self.goods.category]
        acts = visit(visits, shown, minds, within, rng)
        return acts, self._remember(acts, shopper)

    def _remember(self, acts: Acts, shopper: Ints) -> int:
        """Take over what was done; how often the policy's lists were clicked."""
        views, bought = acts.name == VIEW, acts.name == BUY
        np.add.at(self._viewed, acts.item[views], 1)
        np.add.at(self._bought, acts.item[bought], 1)
        who, item = acts.shopper[views], acts.item[views]
        order = np.lexsort((acts.at_us[views], who))
        who, item = who[order], item[order]
        place = np.arange(len(who)) - np.searchsorted(who, who)
        self._recent[who, (self._pointer[who] + place) % RECENT] = item
        np.add.at(self._pointer, who, 1)
        np.add.at(self._visits, shopper, 1)
        good = np.clip((acts.p_click[: len(shopper)].sum(axis=1) - USUAL_CLICKS) / 0.7, -1.5, 1.5)
        count = np.bincount(shopper, minlength=len(self.people))
        mean = np.bincount(shopper, good, minlength=len(self.people)) / np.maximum(count, 1)
        keep = 0.85**count
        self._satisfaction = (keep * self._satisfaction + (1 - keep) * mean).astype(np.float32)
        return int((views & (acts.list_name == 0)).sum())

    def _placed(self, blocks: tuple[Acts, ...], rng: np.random.Generator) -> Orders:
        def column(name: str) -> Any:
            parts = [getattr(acts, name)[acts.name == BUY] for acts in blocks]
            return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

        at_us = column("at_us")
        order = np.argsort(at_us, kind="stable")
        visits, shopper, item, quantity = (column(name)[order] for name in ("visit", "shopper", "item", "quantity"))
        placed = orders(visits, shopper, item, quantity, at_us[order], self._orders, self.people, self.goods, rng)
        self._orders += len(np.unique(placed.order))
        return placed

    def _feel(self, placed: Orders) -> None:
        mean = np.bincount(placed.shopper, pleased(placed, self.goods), minlength=len(self.people))
        self._satisfaction = np.clip(self._satisfaction + 0.15 * mean, -2, 2).astype(np.float32)

    def _due(self, placed: Orders) -> Orders:
        """The order lines that are refunded before this week ends; they are forgotten then."""
        waiting = joined([*self._returning, part(placed, placed.refunded_us < NEVER)])
        now = waiting.refunded_us < START_US + (self.week + 1) * WEEK_US
        self._returning = [part(waiting, ~now)]
        return part(waiting, now)

    def _converted(self, placed: Orders, visits: Visits, led: Ints, impressions: int) -> Ints:
        paid = np.full(impressions, -1, dtype=np.int64)
        if len(placed):
            row = placed.visit - visits.number[0]
            spent = np.bincount(row, self.prices.paid(placed.item, placed.ordered_us) * placed.quantity, minlength=len(led)).astype(
                np.int64
            )
            came = (led >= 0) & (spent > 0)
            paid[led[came]] = spent[came]
        return paid


def part(whole: Orders, rows: Any) -> Orders:
    """Some of the order lines."""
    return Orders(*(getattr(whole, name)[rows] for name in Orders.__dataclass_fields__))


def joined(parts: list[Orders]) -> Orders:
    """Order lines one after the other."""
    return Orders(*(np.concatenate([getattr(part, name) for part in parts]) for name in Orders.__dataclass_fields__))
