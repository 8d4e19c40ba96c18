"""Lists that were shown and what was clicked in them: what a log says of items once what its own policy made of them is taken out.

Acts alone speak of what was shown most and furthest up. A click needs a place that is looked at and an item that is liked (the
examination hypothesis: Richardson et al., 2007), so rates are those of items looked at, and weights are learnt by telling
clicked items from others of the same lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

from shoplm.retrieve.blend import LEAST, RIDGE, Candidates
from shoplm.retrieve.histories import Float32, Histories, Int32, Int64

ROUNDS = 30
"""Of telling places and items apart."""
PRIOR = 20.0
"""Looks of the mean rate that each item's own are mixed with."""
LEARNT = 20_000
"""Lists that weights are learnt from, at most: the last ones."""


@dataclass(frozen=True)
class Exposures:
    """L lists with E places in all, in order of time."""

    owner: Int64
    """(L) the shopper that saw it, a row of the histories"""
    at_us: Int64
    """(L)"""
    items: Int32
    """(E) the item in each place, the lists end to end"""
    start: Int64
    """(L + 1)"""
    clicked: npt.NDArray[np.bool_]
    """(E)"""
    until_us: Int64
    """(L) when the last click in it was; ``at_us`` where there was none"""

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def list_of(self) -> Int64:
        """(E) whose place it is."""
        found: Int64 = np.repeat(np.arange(len(self)), np.diff(self.start))
        return found

    @property
    def place(self) -> Int64:
        """(E) from 0, the uppermost."""
        found: Int64 = np.arange(len(self.items)) - np.repeat(self.start[:-1], np.diff(self.start))
        return found

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> Exposures:
        """Some of the lists."""
        lengths = np.diff(self.start)[rows]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(start[-1]) - np.repeat(start[:-1] - self.start[rows], lengths)
        return Exposures(self.owner[rows], self.at_us[rows], self.items[at], start, self.clicked[at], self.until_us[rows])

    def before(self, histories: Histories, act_us: Int64, last: int) -> Histories:
        """What the shopper of each list had done before it was shown: the ``last`` acts.

        Args:
            histories: of all shoppers.
            act_us: (A) when each act was, ascending for a shopper.
            last: acts of a shopper that are read.
        """
        acts, lists = len(act_us), len(self)
        who = np.concatenate([histories.owner, self.owner])
        when = np.concatenate([act_us, self.at_us])
        shown = np.arange(acts + lists) >= acts
        order = np.lexsort((~shown, when, who))  # of the same moment the list first: what follows it does not count
        done = np.cumsum(~shown[order])
        stop = np.empty(lists, np.int64)
        stop[order[shown[order]] - acts] = done[shown[order]]
        begin = np.maximum(histories.start[self.owner], stop - last)
        start = np.concatenate([[0], np.cumsum(stop - begin)]).astype(np.int64)
        at = np.arange(start[-1]) - np.repeat(start[:-1] - begin, stop - begin)
        return Histories(histories.items[at], start, None if histories.weight is None else histories.weight[at])


def drawn(wanted: Int32, counts: npt.NDArray[np.integer[Any]], places: int = 20, seed: int = 0) -> Exposures:
    """Stand-ins where no lists are logged: what each of L shoppers took, in any place among others drawn from all that is acted on.

    Args:
        wanted: (L) the item that each took.
        counts: (N) acts on each item.
        places: K.
        seed: of the draws.
    """
    rng, acted_on, lists = np.random.default_rng(seed), np.flatnonzero(counts), len(wanted)
    items = acted_on[rng.integers(0, len(acted_on), (lists, places))].astype(np.int32)
    items[np.arange(lists), rng.integers(0, places, lists)] = wanted
    rows, nothing = np.arange(lists), np.zeros(lists, np.int64)
    return Exposures(rows, nothing, items.ravel(), np.arange(lists + 1) * places, (items == wanted[:, None]).ravel(), nothing)


@dataclass(frozen=True)
class Rates:
    """How often what is looked at is clicked."""

    places: npt.NDArray[np.float64]
    """(K) how much more or less a place is looked at than the uppermost, which is 1"""
    items: npt.NDArray[np.float64]
    """(N) clicks for a look in the uppermost place; of an item never shown the mean"""


def rates(shown: Exposures, items: int) -> Rates:
    """Clicks told apart into looks at places and liking of items: the maximum of the Poisson likelihood of their products.

    Args:
        shown: lists.
        items: N.
    """
    place, clicks = shown.place, shown.clicked.astype(float)
    count = int(place.max(initial=0)) + 1
    looks, liked = np.ones(count), np.full(items, max(clicks.mean() if len(clicks) else 0.0, 1e-6))
    at_place, of_item = np.bincount(place, clicks, count), np.bincount(shown.items, clicks, items)
    for _ in range(ROUNDS):
        looks = (at_place + 1e-9) / (np.bincount(place, liked[shown.items], count) + 1e-9)
        looks /= max(looks[0], 1e-9)
        seen = np.bincount(shown.items, looks[place], items)
        mean = max(of_item.sum(), 1e-6) / max(seen.sum(), 1e-6)
        liked = (of_item + PRIOR * mean) / (seen + PRIOR)
    return Rates(looks, liked)


def said(found: Candidates, shown: Exposures, items: int) -> Float32:
    """(E, F) what the sources say of each shown item; 0 of one that no source names.

    Args:
        found: candidates of L askers, those that saw the lists.
        shown: the lists.
        items: N.
    """
    key, wanted = found.owner * items + found.items, shown.list_of * items + shown.items
    says = np.zeros((len(wanted), found.says.shape[1]), np.float32)
    if len(key):
        place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        there = key[place] == wanted
        says[there] = found.says[place[there]]
    return says


def learn_shown(says: npt.NDArray[np.floating[Any]], shown: Exposures, least: float = LEAST) -> Float32:
    """(F) the weights under which the clicks are likeliest, by logistic regression with a constant for each place.

    Args:
        says: (E, F) of each shown item.
        shown: the lists.
        least: the smallest weight.
    """
    features, place = np.asarray(says, np.float64), shown.place
    places, width = int(place.max(initial=0)) + 1, says.shape[1]
    clicked = shown.clicked.astype(float)

    def lost(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        odds = features @ weights[:width] + weights[width:][place]
        wrong = 1 / (1 + np.exp(-np.clip(odds, -60, 60))) - clicked
        loss = (np.logaddexp(0, odds) - clicked * odds).mean() + RIDGE / 10 * (weights[:width] ** 2).sum()
        slope = np.concatenate([features.T @ wrong, np.bincount(place, wrong, places)]) / len(clicked)
        slope[:width] += 2 * RIDGE / 10 * weights[:width]
        return float(loss), slope

    rate = np.log(max(clicked.mean(), 1e-6))
    begin = np.concatenate([np.full(width, max(least, 0.1)), np.full(places, rate)])
    solved = scipy.optimize.minimize(lost, begin, jac=True, method="L-BFGS-B", bounds=[(least, None)] * width + [(None, None)] * places)
    return np.asarray(solved.x[:width], np.float32)
