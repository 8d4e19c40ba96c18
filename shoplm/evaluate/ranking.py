"""How good ranked lists are: recall, NDCG, reciprocal rank and average precision at k, and what the lists are like.

Every shopper counts once. Whether items that a shopper has already seen may be in a list changes the figures by a fifth, so
whoever lists must say which it was (``seen``: removed or kept). Intervals are those of ``bootstrap``: shoppers drawn anew. Two
judgements of the same shoppers in the same order are paired.

Source of the formulas: Järvelin & Kekäläinen, 2002 (NDCG, gains of 0 and 1); Voorhees, 1999 (reciprocal rank).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplm.evaluate.bootstrap import Bootstrap, Estimate, Floats, interval
from shoplm.evaluate.judge import plain
from shoplm.retrieve.histories import Histories, Int32, Int64

KINDS = ("recall", "ndcg", "mrr", "map")
WHOLE = ""
"""The slice of all shoppers."""


@dataclass(frozen=True)
class RankingJudgement:
    """What was found of some lists."""

    seen: str
    """Items that a shopper has seen were ``removed`` from the lists, or ``kept``."""
    shoppers: int
    metrics: Mapping[str, Estimate]
    """``recall_at_10`` and so on; NaN without shoppers."""
    slices: Mapping[str, Mapping[str, Estimate]]
    """The same of the shoppers in a slice, and their number as ``shoppers``."""
    lists: Mapping[str, float]
    """Of the lists at the smallest k: ``coverage``, the share of all items that is in some list; ``novelty``, the mean bits -log2 of
    an item's share of acts; ``popularity``, the mean share of items that are acted on less than a listed one."""
    replicates: Mapping[str, Floats] = field(repr=False, default_factory=dict)
    """(replicates) of each metric, for differences."""

    def plain(self) -> dict[str, Any]:
        """As a report holds it."""
        return {
            "seen": self.seen, "shoppers": self.shoppers, "metrics": plain(self.metrics), "lists": dict(self.lists),
            "slices": {name: plain(found) for name, found in self.slices.items()},
        }  # fmt: skip


class RankingJudge:
    """Judges lists as they come, in memory that does not grow with the shoppers.

    Args:
        counts: (N) acts on each item among the rows that were learnt from.
        seen: ``removed`` or ``kept``.
        at: lengths of lists, k.
        slices: names of the slices that will be given.
        seed: of the bootstrap.
    """

    def __init__(self, counts: Int64, seen: str, at: Sequence[int] = (10,), slices: Sequence[str] = (), seed: int = 0) -> None:
        self.seen, self.at = seen, tuple(sorted(at))
        self.slices = (WHOLE, *slices)
        self._width = 1 + len(KINDS) * len(self.at)
        self._sums = np.zeros(self._width * len(self.slices))
        self._bootstrap = Bootstrap(len(self._sums), seed)
        self._shown = np.zeros(len(counts), bool)
        share = (counts + 1.0) / (counts.sum() + len(counts))
        self._bits = -np.log2(share)
        self._below = np.searchsorted(np.sort(counts), counts) / max(1, len(counts) - 1)
        self._listed = self._novel = self._popular = 0.0

    def add(self, ranked: Int32, wanted: Histories, slices: Mapping[str, npt.NDArray[np.bool_]] | None = None) -> None:
        """Lists of B shoppers.

        Args:
            ranked: (B, K) item codes, the best first, -1 behind the last; K at least the largest k.
            wanted: what each took then, one item or several, each once.
            slices: (B) who is in which slice.
        """
        found = np.concatenate([np.ones((len(ranked), 1)), *(measured(ranked[:, :k], wanted, k) for k in self.at)], 1)
        cells, amounts = [], []
        for place, name in enumerate(self.slices):
            within = np.ones(len(ranked), bool) if name == WHOLE else (slices or {})[name]
            cells.append(np.where(within[:, None], np.arange(self._width)[None, :] + place * self._width, -1))
            amounts.append(found)
        cell, amount = np.concatenate(cells, 1), np.concatenate(amounts, 1)
        self._sums += np.bincount(cell[cell >= 0], amount[cell >= 0], len(self._sums))
        self._bootstrap.add(cell, amount)
        listed = ranked[:, : self.at[0]]
        listed = listed[listed >= 0]
        self._shown[listed] = True
        self._listed += len(listed)
        self._novel += float(self._bits[listed].sum())
        self._popular += float(self._below[listed].sum())

    def judgement(self) -> RankingJudgement:
        """Of all lists so far."""
        names = [f"{kind}_at_{k}" for k in self.at for kind in KINDS]
        slices: dict[str, dict[str, Estimate]] = {}
        replicates: dict[str, Floats] = {}
        for place, name in enumerate(self.slices):
            start = place * self._width
            sums, drawn = self._sums[start : start + self._width], self._bootstrap.replicates(start, start + self._width)
            slices[name] = {}
            for at, metric in enumerate(names, 1):
                means = _over(drawn[:, at], drawn[:, 0])
                slices[name][metric] = interval(float(_over(sums[at], sums[0])), means)
                if name == WHOLE:
                    replicates[metric] = means
            if name != WHOLE:
                slices[name]["shoppers"] = Estimate(sums[0], sums[0], sums[0])
        lists = {
            "coverage": float(self._shown.mean()),
            "novelty": self._novel / self._listed if self._listed else float("nan"),
            "popularity": self._popular / self._listed if self._listed else float("nan"),
        }
        whole = slices.pop(WHOLE)
        return RankingJudgement(self.seen, int(self._sums[0]), whole, slices, lists, replicates)


def difference(ours: RankingJudgement, theirs: RankingJudgement) -> dict[str, Estimate]:
    """Ours minus theirs, paired: both judged the same shoppers in the same order."""
    return {
        name: interval(found.value - theirs.metrics[name].value, ours.replicates[name] - theirs.replicates[name])
        for name, found in ours.metrics.items()
        if name in theirs.metrics
    }


def measured(ranked: Int32, wanted: Histories, k: int) -> Floats:
    """(B, 4) ``KINDS`` of (B, k) lists, -1 where there is no item, for what each shopper wanted."""
    counts = wanted.lengths
    space = int(max(ranked.max(initial=0), wanted.items.max(initial=0))) + 1
    right = np.isin(ranked + np.arange(len(ranked))[:, None] * space, wanted.items + wanted.owner * space) & (ranked >= 0)
    gains = 1 / np.log2(np.arange(ranked.shape[1]) + 2.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2.0))])[np.minimum(counts, k)]
    hits = np.cumsum(right, 1)
    precision = hits / np.arange(1, ranked.shape[1] + 1)
    first = np.where(right.any(1), 1.0 / (right.argmax(1) + 1.0), 0.0)
    every = np.maximum(counts, 1)
    found: Floats = np.stack(
        [right.sum(1) / every, (right @ gains) / np.where(ideal > 0, ideal, 1.0), first, (precision * right).sum(1) / np.minimum(every, k)],
        1,
    )
    return found


def _over(above: Any, below: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above) / np.asarray(below)
