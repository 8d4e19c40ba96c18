"""Who decides what a shopper is shown: the form of a policy, what it may know, and four of them.

A policy sees ``Arrivals``, which hold only what a shop would know, and answers ``Shown``. N visits arrive, a list
has K places, P products are sold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from shoplm.errors import DataError
from shoplm.world.goods import Floats, Ints

PLACES = 10
"""Places of the list on the first page."""


@dataclass(frozen=True)
class Shelf:
    """What a shop knows of its products: P rows."""

    ids: np.ndarray[Any, np.dtype[np.str_]]
    category: Ints
    brand: Ints
    cents: Ints
    shelves: tuple[Ints, ...]
    """products of each category"""
    viewed: Floats
    """(P,) views so far, older ones counting less"""
    bought: Floats
    """(P,) purchases so far, older ones counting less"""


@dataclass(frozen=True)
class Arrivals:
    """Visits that begin, in order of time, with what the shop knows of each: N rows."""

    shopper: Ints
    """(N,) a number that stands for the shopper"""
    at_us: Ints
    recent: Ints
    """(N, R) products looked at, the last one first; -1 where there were fewer"""
    visits: Ints
    """(N,) visits before"""
    channel: Ints
    """(N,) where they come from"""
    shelf: Shelf
    seed: tuple[int, ...]
    """For a policy that draws lots: the same for the same visits."""

    def __len__(self) -> int:
        return len(self.shopper)


@dataclass(frozen=True)
class Shown:
    """The lists that a policy chose.

    Attributes:
        items: (N, K) places in ``Shelf.ids``, best first, none twice in a row.
        propensity: (N, K) the chance, above 0 and at most 1, that this policy puts this product there after those before it.
    """

    items: Ints
    propensity: Floats

    @classmethod
    def of_ids(cls, ids: np.ndarray[Any, Any], propensity: Floats, shelf: Shelf) -> Shown:
        """The same from product ids, (N, K).

        Raises:
            DataError: an id is not in the catalogue.
        """
        order = np.argsort(shelf.ids)
        names = np.asarray(ids, dtype=np.str_)
        place = np.minimum(np.searchsorted(shelf.ids, names, sorter=order), len(order) - 1)
        items = order[place]
        strange = shelf.ids[items] != names
        if strange.any():
            raise DataError(
                f"policy: shows the product {names[strange][0]!r}, which the catalogue does not have; give ids of the catalogue"
            )
        return cls(items, propensity)

    def checked(self, visits: int, products: int) -> Shown:
        """This, if it is a lawful answer for ``visits`` visits.

        Raises:
            DataError: the shape is wrong, a product is unknown or comes twice in a list, or a propensity is not in (0, 1].
        """
        items, chance = np.asarray(self.items), np.asarray(self.propensity)
        if items.ndim != 2 or len(items) != visits or items.shape[1] < 1 or not np.issubdtype(items.dtype, np.integer):
            raise DataError(f"policy: answered {items.dtype} {items.shape} for {visits} visits, expected whole numbers ({visits}, places)")
        if items.size and (items.min() < 0 or items.max() >= products):
            raise DataError(f"policy: shows product {items.min()} to {items.max()}, expected places 0 to {products - 1}")
        ordered = np.sort(items, axis=1)
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            raise DataError("policy: shows a product twice in one list; show each once")
        if chance.shape != items.shape or not ((chance > 0) & (chance <= 1)).all():
            raise DataError(f"policy: propensities {chance.shape} must be {items.shape}, each above 0 and at most 1")
        return Shown(items.astype(np.int64), chance.astype(np.float32))


class Policy(Protocol):
    """Anything with a name that ranks."""

    name: str

    def rank(self, arrivals: Arrivals) -> Shown:
        """A list for every visit."""
        ...


class RandomPolicy:
    """Shows anything, each product as likely."""

    name = "random"

    def rank(self, arrivals: Arrivals) -> Shown:
        """K different products a visit."""
        products = len(arrivals.shelf.ids)
        even = np.full(products, 1 / products)
        rng = np.random.default_rng([*arrivals.seed, 1])
        return _drawn(lambda size: rng.integers(0, products, size), lambda items: even[items], len(arrivals), products)


class PopularityPolicy:
    """Shows everybody what is bought most, then what is looked at most."""

    name = "popularity"

    def rank(self, arrivals: Arrivals) -> Shown:
        """The same K products for every visit."""
        liked = arrivals.shelf.bought + 0.01 * arrivals.shelf.viewed
        best = np.argsort(-liked, kind="stable")[:PLACES]
        items = np.broadcast_to(best, (len(arrivals), len(best))).copy()
        return Shown(items, np.ones(items.shape, np.float32))


class HousePolicy:
    """The shop's own: half what is popular, half what is popular in the category last looked at, drawn by lot.

    Args:
        sharp: the power to which popularity counts; above 1 the popular takes all.
        even: share that is drawn from the whole catalogue whatever its popularity.
    """

    name = "house"

    def __init__(self, sharp: float = 0.5, even: float = 0.2) -> None:
        self._sharp, self._even = sharp, even

    def rank(self, arrivals: Arrivals) -> Shown:
        """K different products a visit, with the chance of each."""
        shelf, products = arrivals.shelf, len(arrivals.shelf.ids)
        weight = (shelf.bought * 5 + shelf.viewed + 1.0).astype(np.float64) ** self._sharp
        everywhere = (1 - self._even) * weight / weight.sum() + self._even / products
        within = weight / np.bincount(shelf.category, weight, minlength=len(shelf.shelves))[shelf.category]
        of = np.where(arrivals.recent[:, 0] >= 0, shelf.category[arrivals.recent[:, 0]], -1)
        return self._lists(arrivals, everywhere, within, of)

    @staticmethod
    def _lists(arrivals: Arrivals, everywhere: np.ndarray[Any, Any], within: np.ndarray[Any, Any], of: Ints) -> Shown:
        shelf, rng = arrivals.shelf, np.random.default_rng([*arrivals.seed, 2])
        known = np.array([len(items) >= PLACES for items in shelf.shelves])[of] & (of >= 0)

        def draw(size: tuple[int, int]) -> Ints:
            anything = searched(np.cumsum(everywhere), rng.random(size))
            return np.where(known[:, None] & (rng.random(size) < 0.5), on_shelves(shelf.shelves, within, of, rng.random(size)), anything)

        def chance(items: Ints) -> np.ndarray[Any, Any]:
            own = np.where(shelf.category[items] == of[:, None], within[items], 0.0)
            return np.where(known[:, None], 0.5 * everywhere[items] + 0.5 * own, everywhere[items])

        return _drawn(draw, chance, len(arrivals), len(shelf.ids))


def searched(cumulated: np.ndarray[Any, Any], draws: np.ndarray[Any, Any]) -> Ints:
    """Places drawn by inverting a cumulated distribution."""
    places: Ints = np.minimum(np.searchsorted(cumulated / cumulated[-1], draws, side="right"), len(cumulated) - 1)
    return places


def on_shelves(shelves: tuple[Ints, ...], within: np.ndarray[Any, Any], of: Ints, draws: np.ndarray[Any, Any]) -> Ints:
    """(N, K) products, each of its row's category ``of`` (N,), drawn by the shares ``within`` (P,) that sum to 1 on each shelf."""
    items = np.concatenate(shelves)
    ends = np.cumsum(within[items])  # shelf after shelf, each of length 1
    sizes = np.array([len(shelf) for shelf in shelves])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    start = np.where(first > 0, ends[first - 1], 0.0)
    row = np.maximum(of, 0)[:, None]
    place = np.searchsorted(ends, start[row] + draws, side="right")
    drawn: Ints = items[np.clip(place, first[row], np.maximum(first + sizes - 1, 0)[row])]
    return drawn


def _drawn(draw: Any, chance: Any, visits: int, products: int) -> Shown:
    """Lists drawn one place after the other without putting anything back: equal to drawing again until it is new."""
    places = min(PLACES, products)
    tried: Ints = draw((visits, 2 * places))
    kept, full = first_distinct(tried, places)
    for _ in range(20):
        if full.all():
            break
        more, enough = first_distinct(np.concatenate([kept, draw((visits, 2 * places))], axis=1), places)
        kept, full = np.where(full[:, None], kept, more), full | enough
    if not full.all():  # a shelf too steep to draw from: fill up with what is left
        rest = np.broadcast_to(np.arange(products), (visits, products))
        kept = np.where(full[:, None], kept, first_distinct(np.concatenate([kept, rest], axis=1), places)[0])
    share = np.asarray(chance(kept), dtype=np.float64)
    before = np.concatenate([np.zeros((visits, 1)), np.cumsum(share, axis=1)[:, :-1]], axis=1)
    return Shown(kept, np.clip(share / np.maximum(1 - before, 1e-9), 1e-9, 1.0).astype(np.float32))


def first_distinct(drawn: Ints, places: int) -> tuple[Ints, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The first ``places`` different values of every row, and which rows have that many (the others repeat themselves).

    A value below 0 counts as nothing.
    """
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    fresh = np.ones(drawn.shape, dtype=np.bool_)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    new = np.empty_like(fresh)
    np.put_along_axis(new, order, fresh & (ordered >= 0), axis=1)
    front = np.argsort(~new, axis=1, kind="stable")[:, :places]
    return np.take_along_axis(drawn, front, axis=1), new.sum(axis=1) >= places
