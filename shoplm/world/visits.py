"""What a shopper does with what is shown: the whole behaviour of a batch of visits, without a loop over them.

N visits, K places of a list, A acts. Whether a product is clicked follows from how much it appeals to this shopper
(taste, style, brand, price, looks, season, what was looked at before) and from whether its place is looked at; what
is put in the cart and bought follows from the same appeal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm.world.catalogue import CATEGORIES, SECOND_US, START_US, WEEK_US
from shoplm.world.goods import Flags, Floats, Goods, Ints
from shoplm.world.people import People
from shoplm.world.policy import Shown, on_shelves

ACTS = ("view_item_list", "search", "view_item", "add_to_cart", "purchase", "refund")
LIST, SEARCH, VIEW, CART, BUY, REFUND = range(6)
LISTS = ("for_you", "search_results")
SEARCHES = 0.35
"""Share of visits with a search."""
CHECKOUT = 0.62
"""Share of visits with something in the cart that end in an order."""
_CLICK_AT, _CART_AT = 2.6, 5.2
_PEAKS = (22, 43, 14, 46, 48, 48, 47, 45, 32, 44, 40, 3)
"""Week of the year in which each category sells best."""


@dataclass(frozen=True)
class Visits:
    """A batch of visits that begin."""

    number: Ints
    """(N,) running number of the visit"""
    shopper: Ints
    at_us: Ints
    channel: Ints
    device: Ints
    landing: Ints
    """(N,) the product of the ad that led here, -1 where there was none"""
    recent: Ints
    """(N, R) products looked at before, the last one first, -1 where there were fewer"""


@dataclass(frozen=True)
class Acts:
    """What was done, ordered by visit and then time; A rows."""

    visit: Ints
    """(A,) running number of the visit"""
    shopper: Ints
    at_us: Ints
    seq: Ints
    name: Ints
    """(A,) place in ``ACTS``"""
    item: Ints
    """(A,) -1 where no product is acted on"""
    quantity: Ints
    """(A,) 0 where there is none"""
    index: Ints
    """(A,) place in the list, -1 where there was none"""
    list_name: Ints
    """(A,) place in ``LISTS``, -1 where there was none"""
    propensity: Floats
    """(A,) NaN where nothing chose"""
    list_row: Ints
    """(A,) row of ``lists``, -1 where no list is shown"""
    term: Ints
    """(A,) product whose words were searched for, -1"""
    device: Ints
    channel: Ints
    lists: Ints
    """(L, K) products of every list shown"""
    p_click: Floats
    """(L, K) truth: chance of a click on each"""
    p_buy: Floats
    """(L, K) truth: chance that it is bought once it was clicked"""

    def __len__(self) -> int:
        return len(self.visit)


def season(at_us: Ints, category: Ints) -> Floats:
    """How much a category is in season, about -0.6 to 0.6."""
    week = (at_us - START_US) / WEEK_US + 26.0  # the world begins in the 27th week of a year
    swing: Floats = (0.6 * np.cos(2 * np.pi * (week - np.array(_PEAKS)[category]) / 52.18)).astype(np.float32)
    return swing


@dataclass(frozen=True)
class Minds:
    """Whom the visits belong to, and what they look at: everything that appeal depends on."""

    people: People
    goods: Goods
    taste: Floats
    """(S, C) as of now"""
    herd: Floats
    """(P,) how much the crowd adds to the appeal of a product; zeros where nobody minds the crowd"""

    def appeal(self, shopper: Ints, items: Ints, at_us: Ints, last: Ints) -> Floats:
        """(N, K) truth: how much each of ``items`` (N, K) appeals to its row's shopper; ``last`` (N,) was looked at last, or -1."""
        goods, people = self.goods, self.people
        category = goods.category[items]
        who = shopper[:, None]
        liked = 1.15 * np.log(0.06 + 12 * self.taste[who, category])
        liked += (0.28 * np.einsum("nkd,nd->nk", goods.style[items], people.style[shopper])).astype(np.float32)
        liked += 0.9 * people.favours[who, goods.brand[items]] - 0.8 * people.thrift[who] * goods.price_rank[items]
        liked += 0.45 * goods.look[items] + season(at_us[:, None], category) + self.herd[items]
        known = last >= 0
        near = known[:, None] & (category == goods.category[last][:, None])
        liked += 0.5 * near - 0.9 * (items == last[:, None])
        appealing: Floats = liked.astype(np.float32)
        return appealing


def examined(places: int) -> Floats:
    """(K,) chance that each place of a list is looked at."""
    return (1 / (1 + 0.22 * np.arange(places))).astype(np.float32)


def click_chance(appeal: Floats) -> Floats:
    """Chance of a click on what is looked at."""
    return _logistic(appeal - _CLICK_AT)


def buy_chance(appeal: Floats) -> Floats:
    """Chance that what is clicked is bought."""
    return CHECKOUT * _logistic(1.1 * appeal - _CART_AT)


def visit(visits: Visits, shown: Shown, minds: Minds, within: np.ndarray[Any, Any], rng: np.random.Generator) -> Acts:
    """Everything that these visitors do.

    Args:
        visits: N of them.
        shown: what the policy put on the first page.
        minds: whom they belong to.
        within: (P,) shares by which the search lists are filled, summing to 1 in each category.
        rng: where every choice comes from.
    """
    goods, count = minds.goods, len(visits.shopper)
    last = visits.recent[:, 0]
    wanted = _drawn_rows(minds.taste[visits.shopper] * np.exp(season(visits.at_us[:, None], np.arange(len(CATEGORIES))[None, :])), rng)
    seeks = np.nonzero((rng.random(count) < SEARCHES) & (np.array([len(shelf) for shelf in goods.shelves])[wanted] > 0))[0]
    places = shown.items.shape[1]
    hits = on_shelves(goods.shelves, within, wanted[seeks], rng.random((len(seeks), places)))
    rows = np.concatenate([np.arange(count), seeks])
    lists = np.concatenate([shown.items, hits])
    appeal = minds.appeal(visits.shopper[rows], lists, visits.at_us[rows], last[rows])
    appeal[count:] += 0.8  # who searches has made up their mind
    p_look = click_chance(appeal)
    clicked = rng.random(lists.shape, dtype=np.float32) < p_look * examined(places)
    clicked[count:] &= ~_again(hits)  # a search may list a product twice; it is looked at once
    row, place = np.nonzero(clicked)
    landed = np.nonzero(visits.landing >= 0)[0]
    landing = minds.appeal(visits.shopper[landed], visits.landing[landed][:, None], visits.at_us[landed], last[landed])[:, 0] + 0.6
    # Views: those of lists, then those of ads.
    of = np.concatenate([rows[row], landed])
    item = np.concatenate([lists[row, place], visits.landing[landed]])
    liked = np.concatenate([appeal[row, place], landing])
    index = np.concatenate([place, np.full(len(landed), -1)])
    which = np.concatenate([(row >= count).astype(np.int64), np.full(len(landed), -1)])
    chosen_by = np.concatenate(
        [np.where(row < count, shown.propensity[np.minimum(row, count - 1), place], np.nan), np.full(len(landed), np.nan)]
    )
    carted = rng.random(len(of)) < _logistic(1.1 * liked - _CART_AT)
    orders = rng.random(count) < CHECKOUT
    bought = np.nonzero(carted & orders[of])[0]
    bought = bought[_first_of_pair(of[bought], item[bought])]
    carts = np.nonzero(carted)[0]
    quantity = 1 + (rng.random(len(of)) < 0.06).astype(np.int64)
    nothing, none = np.full(count, -1), np.full(len(seeks), -1)
    # One row an act, in the order of the stages: landing, first list, its views, search, its list, its views, order.
    stage = np.where(which < 0, 0, np.where(which == 0, 2000, 5000)) + 10 * index
    parts: list[tuple[Any, ...]] = [
        # visit, name, item, quantity, index, list, propensity, list row, term, stage
        (np.arange(count), LIST, nothing, 0, -1, 0, shown.propensity[:, 0], np.arange(count), -1, 1000),
        (seeks, SEARCH, none, 0, -1, -1, np.nan, -1, _first(hits), 3000),
        (seeks, LIST, none, 0, -1, 1, np.nan, count + np.arange(len(seeks)), -1, 4000),
        (of, VIEW, item, 0, index, which, chosen_by, -1, -1, stage),
        (of[carts], CART, item[carts], quantity[carts], -1, -1, np.nan, -1, -1, stage[carts] + 5),
        (of[bought], BUY, item[bought], quantity[bought], -1, -1, np.nan, -1, -1, 9000 + np.arange(len(bought)) % 500),
    ]
    sizes = [len(part[0]) for part in parts]
    flat = [np.concatenate([np.broadcast_to(part[i], size) for part, size in zip(parts, sizes, strict=True)]) for i in range(10)]
    order = np.lexsort((flat[9], flat[0]))
    of, name, item, quantity, index, which, chosen_by, list_row, term, _ = (values[order] for values in flat)
    start = np.searchsorted(of, np.arange(count))
    gaps = np.where(name == BUY, 0, rng.integers(6, 95, len(of)))  # the lines of an order share a moment
    gaps[(name == BUY) & np.concatenate([[False], name[1:] != name[:-1]])] = 40
    passed = np.cumsum(gaps)
    at_us = visits.at_us[of] + (passed - passed[start[of]]) * SECOND_US
    return Acts(
        visits.number[of], visits.shopper[of], at_us, np.arange(len(of)) - start[of], name, item, quantity, index, which,
        chosen_by.astype(np.float32), list_row, term, visits.device[of], visits.channel[of],
        lists, p_look * examined(places), buy_chance(appeal),
    )  # fmt: skip


def _logistic(values: np.ndarray[Any, Any]) -> Floats:
    chance: Floats = (1 / (1 + np.exp(-values))).astype(np.float32)
    return chance


def _drawn_rows(weights: Floats, rng: np.random.Generator) -> Ints:
    ends = np.cumsum(weights, axis=1)
    drawn: Ints = np.minimum((ends < (rng.random(len(weights)) * ends[:, -1])[:, None]).sum(axis=1), weights.shape[1] - 1)
    return drawn


def _first(lists: Ints) -> Ints:
    return lists[:, 0] if len(lists) else np.zeros(0, dtype=np.int64)


def _again(lists: Ints) -> Flags:
    """(L, K) which entries stand earlier in their row too."""
    order = np.argsort(lists, axis=1, kind="stable")
    ordered = np.take_along_axis(lists, order, axis=1)
    same = np.zeros(lists.shape, dtype=np.bool_)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    again = np.empty_like(same)
    np.put_along_axis(again, order, same, axis=1)
    return again


def _first_of_pair(visit_of: Ints, item: Ints) -> Ints:
    """Places of the first row of every pair."""
    if not len(item):
        return np.zeros(0, dtype=np.int64)
    _, first = np.unique(visit_of * (item.max() + 1) + item, return_index=True)
    return np.sort(first)
