"""What a shopper's acts say of tastes, facet by facet: the kinds of things, the brands, the price bands that come more often than in
everybody's acts.

An item is as good as its facets are over-represented: the product over facets of p(value | shopper) / p(value), each to a power
that is learnt, times how often the item is acted on, and how often it is clicked where it is looked at. With facets independent given the shopper, and all powers 1, these are the
odds of the item (naive Bayes). It needs no act on the item itself, nor on one that others took with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
from scipy import sparse

from shoplm.config import Config
from shoplm.retrieve.exposures import Exposures, learn_shown
from shoplm.retrieve.histories import Float32, Histories, Int32
from shoplm.retrieve.neighbours import MemoryConfig, query

BLOCK = 20_000_000
"""Pairs of a shopper and an item that are scored at once."""
BANDS = 5
"""Price bands, with as many items in each."""


class TasteConfig(Config):
    """How acts become tastes."""

    smoothing: float = pydantic.Field(default=2.0, gt=0)
    """Acts of everybody that a shopper's own are mixed with."""
    common: float = pydantic.Field(default=0.5, ge=0)
    """The power of how often an item is acted on."""
    liking: float = pydantic.Field(default=1.0, ge=0)
    """The power of how often an item is clicked when it is looked at, where that is known."""
    powers: Mapping[str, float] = pydantic.Field(default_factory=dict)
    """Of each facet; 1 where nothing is said."""
    most: int = pydantic.Field(default=400, ge=1)
    """Items that are named for a shopper."""


@dataclass(frozen=True)
class Tastes:
    """A source: N items with facets."""

    facets: Mapping[str, Int32]
    """(N) of each the code of its value, from 0; -1 = none."""
    counts: Float32
    """(N) acts on each item."""
    liked: Float32 | None = None
    """(N) above 0: clicks for a look, as ``exposures.rates`` finds them; None = no lists are logged."""
    config: TasteConfig = field(default_factory=TasteConfig)
    memory: MemoryConfig = field(default_factory=lambda: MemoryConfig(recency=0.97))

    def scores(self, asked: Histories) -> sparse.csr_array:
        """(B, N) the odds of the likeliest items of B shoppers, the best 1; nothing for one without acts."""
        items = len(self.counts)
        did = query(asked, items, self.memory)
        rows, columns, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        most, step = min(self.config.most, items), max(1, BLOCK // max(items, 1))
        for begin in range(0, len(asked), step):
            part = sparse.csr_array(did[begin : begin + step])
            there = np.flatnonzero(np.diff(part.indptr))
            worth = np.tile(self._everybody() @ [self.config.common, self.config.liking], (len(there), 1))
            for name, lifts in self._lifts(sparse.csr_array(part[there])).items():
                worth += self.config.powers.get(name, 1.0) * np.append(lifts, np.zeros((len(lifts), 1)), 1)[:, self.facets[name]]
            best = np.argpartition(-worth, most - 1, axis=1)[:, :most]
            found = np.take_along_axis(worth, best, axis=1)
            rows.append(np.repeat(there + begin, most))
            columns.append(best.ravel())
            values.append(np.exp(found - found.max(1, keepdims=True, initial=-np.inf)).ravel())
        where = (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array((np.concatenate(values).astype(np.float32), where), shape=(len(asked), items))

    def because(self, history: Histories, item: int) -> Float32:
        """(L) how much each act of ONE shopper shares with an item, in the order of the acts: the powers of the facets alike."""
        age = np.arange(len(history.items))[::-1]
        counted = np.where(age < self.memory.last, self.memory.recency**age, 0.0)
        counted = counted if history.weight is None else counted * history.weight
        alike = sum(
            self.config.powers.get(name, 1.0) * ((codes[history.items] == codes[item]) & (codes[item] >= 0))
            for name, codes in self.facets.items()
        )
        found: Float32 = (counted * alike).astype(np.float32)
        return found

    def taught(self, shown: Exposures, before: Histories) -> Tastes:
        """The same with the powers under which the clicks in L lists are likeliest.

        Args:
            shown: the lists.
            before: what their L shoppers had done before.
        """
        lifts = self._lifts(query(before, len(self.counts), self.memory))
        owner, names = shown.list_of, list(lifts)
        says = [np.append(lifts[name], np.zeros((len(before), 1)), 1)[owner, self.facets[name][shown.items]] for name in names]
        everybody = self._everybody()[shown.items]
        *powers, common, liking = learn_shown(np.concatenate([np.stack(says, 1), everybody], 1), shown, 0.0).tolist()
        powers_of = dict(zip(names, powers, strict=True))
        return replace(self, config=self.config.model_copy(update={"powers": powers_of, "common": common, "liking": liking}))

    def _everybody(self) -> npt.NDArray[np.float64]:
        """(N, 2) what is the same for all shoppers: the log of acts on each item, and of its clicks for a look."""
        liked = np.zeros(len(self.counts)) if self.liked is None else np.log(self.liked)
        return np.stack([np.log(self.counts + 1.0), liked], 1)

    def _lifts(self, did: sparse.csr_array) -> dict[str, npt.NDArray[np.float64]]:
        """(B, V) of each facet the log of how much more often each of its values comes than in everybody's acts."""
        found = {}
        for name, codes in self.facets.items():
            known = codes >= 0
            values = int(codes.max(initial=-1)) + 1
            every = np.bincount(codes[known], self.counts[known] + 1.0, values)
            base = every / max(float(every.sum()), 1.0)
            one_hot = (np.ones(int(known.sum()), np.float32), (np.flatnonzero(known), codes[known]))
            own = (did @ sparse.csr_array(one_hot, shape=(len(codes), values))).toarray().astype(np.float64)
            total = own.sum(1, keepdims=True) + self.config.smoothing
            found[name] = np.log((own + self.config.smoothing * base) / (total * base))
        return found


def coded(values: npt.NDArray[Any]) -> Int32:
    """(N) codes of words, -1 where there is none; a word of one item alone says nothing and gets none."""
    words, code, count = np.unique(np.array([value or "" for value in values], dtype=np.str_), return_inverse=True, return_counts=True)
    kept = (count > 1) & (words != "")
    fresh = np.where(kept, np.cumsum(kept) - 1, -1)
    found: Int32 = fresh[code].astype(np.int32)
    return found


def banded(prices: npt.NDArray[np.float64]) -> Int32:
    """(N) price bands from the cheapest, -1 where the price is not known (NaN)."""
    known = ~np.isnan(prices)
    found = np.full(len(prices), -1, np.int32)
    if known.any():
        edges = np.quantile(prices[known], np.linspace(0, 1, BANDS + 1)[1:-1])
        found[known] = np.searchsorted(edges, prices[known], side="right")
    return found
