"""All sources asked at once: the candidates that any of them names, what each says of them, and weights that make one score.

A source's scores are compared within one shopper only: each is divided by the largest that the source gives this shopper. The
weights are those of a conditional logit model (McFadden, 1974): the probability that of all candidates the next act is on this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.optimize
from scipy import sparse

from shoplm.retrieve.histories import Float32, Histories, Int32, Int64
from shoplm.retrieve.neighbours import largest

LEARNT_ROWS = 5_000
"""Shoppers that weights are learnt from, at most."""
LEAST = 1e-3
"""The smallest weight: no source counts against what it names, and where only one speaks its own order holds."""
RIDGE = 1e-3
"""Penalty on the squares of the weights, beside the mean log-likelihood of a shopper."""


class Source(Protocol):
    """What knows items that could follow."""

    def scores(self, asked: Histories) -> sparse.csr_array:
        """(B, N) for B shoppers; absent = nothing is known, else above 0."""
        ...


@dataclass(frozen=True)
class Popularity:
    """A source: what everybody acts on, the same for all."""

    counts: Float32
    """(N) how often, or how often lately."""
    most: int = 400
    """Items that it names."""

    def scores(self, asked: Histories) -> sparse.csr_array:
        """(B, N) the same row for each."""
        top = np.sort(np.argsort(-self.counts, kind="stable")[: self.most])
        top = top[self.counts[top] > 0]
        rows = len(asked)
        start = np.arange(rows + 1) * len(top)
        return sparse.csr_array((np.tile(self.counts[top], rows), np.tile(top, rows), start), shape=(rows, len(self.counts)))


@dataclass(frozen=True)
class Candidates:
    """K candidates of B shoppers: those of shopper ``b`` are ``start[b]:start[b + 1]``, in the order of their codes."""

    start: Int64
    items: Int32
    """(K)"""
    says: Float32
    """(K, F) what the sources say of each, in [0, 1]."""

    @property
    def owner(self) -> Int64:
        """(K) whose candidate it is."""
        found: Int64 = np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))
        return found


def names(sources: Sequence[str]) -> list[str]:
    """(F) what the columns of ``Candidates.says`` are: of each source its score, and how high it ranks the item."""
    return [f"{source} {kind}" for source in sources for kind in ("score", "rank")]


def gather(
    sources: Mapping[str, Source],
    asked: Histories,
    most: int = 200,
    removed: Histories | None = None,
    barred: npt.NDArray[np.bool_] | None = None,
) -> Candidates:
    """Ask every source.

    Args:
        sources: by name.
        asked: what B shoppers did.
        most: candidates that a source may name for a shopper.
        removed: items that are no candidates of each shopper, such as what it has; None = none are removed.
        barred: (N) items that are no candidates of anybody.
    """
    said = [source.scores(asked) for source in sources.values()]
    items = said[0].shape[1]
    gone = np.zeros(0, np.int64) if removed is None else np.unique(removed.owner * items + removed.items)
    keys, values = [], []
    for scores in said:
        flat = sparse.coo_array(scores)
        key = flat.coords[0].astype(np.int64) * items + flat.coords[1]
        kept = flat.data > 0
        if barred is not None:
            kept &= ~barred[flat.coords[1]]
        if len(gone):
            kept &= gone[np.minimum(np.searchsorted(gone, key), len(gone) - 1)] != key
        top = largest(sparse.csr_array((flat.data[kept], (flat.coords[0][kept], flat.coords[1][kept])), shape=scores.shape), most)
        keys.append(np.repeat(np.arange(len(asked)), np.diff(top.indptr)).astype(np.int64) * items + top.indices)
        values.append(top)
    every = np.unique(np.concatenate(keys))
    says = np.zeros((len(every), 2 * len(said)), np.float32)
    for at, (key, top) in enumerate(zip(keys, values, strict=True)):
        place = np.searchsorted(every, key)
        says[place, 2 * at] = _shares(top)
        says[place, 2 * at + 1] = 1 / np.log2(_ranks(top) + 2.0)
    owner = every // items
    start = np.searchsorted(owner, np.arange(len(asked) + 1)).astype(np.int64)
    return Candidates(start, (every % items).astype(np.int32), says)


def learn(found: Candidates, wanted: Int32) -> Float32:
    """(F) the weights under which the wanted items are likeliest.

    Args:
        found: candidates of B shoppers.
        wanted: (B) the item that each took next; where it is no candidate nothing is learnt.

    Returns:
        At least ``LEAST`` each; all alike where no candidate was wanted.
    """
    hit = found.items == np.asarray(wanted)[found.owner]
    has = np.zeros(len(found.start) - 1, bool)
    has[found.owner[hit]] = True
    rows = np.flatnonzero(has)
    if not len(rows):
        return np.ones(found.says.shape[1], np.float32)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LEARNT_ROWS)).astype(int)]
    within = np.zeros(len(has), bool)
    within[rows] = True
    kept = within[found.owner]
    says, right = found.says[kept].astype(np.float64), hit[kept]
    begin = np.concatenate([[0], np.cumsum(np.diff(found.start)[rows])[:-1]])
    lengths = np.diff(found.start)[rows]

    def lost(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        worth = says @ weights
        worth -= np.repeat(np.maximum.reduceat(worth, begin), lengths)
        odds = np.exp(worth)
        total = np.add.reduceat(odds, begin)
        chance = odds / np.repeat(total, lengths)
        loss = (np.log(total) - worth[right]).mean() + RIDGE * (weights**2).sum()
        return float(loss), (says.T @ (chance - right)) / len(rows) + 2 * RIDGE * weights

    bounds = [(LEAST, None)] * says.shape[1]
    solved = scipy.optimize.minimize(lost, np.ones(says.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(solved.x, np.float32)


def ranked(found: Candidates, weights: Float32, most: int) -> tuple[Int32, Float32]:
    """The best candidates of each shopper, of those for which something speaks: whose score is above 0.

    Returns:
        (B, most) item codes, -1 behind the last, and their scores; of equal ones the smaller code first.
    """
    worth = found.says @ weights
    owner = found.owner
    order = np.lexsort((found.items, -worth, owner))
    place = np.arange(len(order)) - np.repeat(found.start[:-1], np.diff(found.start))
    kept = (place < most) & (worth[order] > 0)
    items = np.full((len(found.start) - 1, most), -1, np.int32)
    scores = np.full(items.shape, -np.inf, np.float32)
    items[owner[kept], place[kept]] = found.items[order][kept]
    scores[owner[kept], place[kept]] = worth[order][kept]
    return items, scores


def _shares(top: sparse.csr_array) -> Any:
    """(entries) each divided by the largest of its row."""
    lengths = np.diff(top.indptr)
    filled = np.flatnonzero(lengths)
    if not len(filled):
        return top.data
    return top.data / np.repeat(np.maximum.reduceat(top.data, top.indptr[filled]), lengths[filled])


def _ranks(top: sparse.csr_array) -> Any:
    """(entries) the place of each in its row, from 0, the largest first."""
    row = np.repeat(np.arange(top.shape[0]), np.diff(top.indptr))
    order = np.lexsort((top.indices, -top.data, row))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(top.indptr[:-1], np.diff(top.indptr))
    return ranks
