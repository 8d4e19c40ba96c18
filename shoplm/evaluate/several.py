"""Metrics of several questions at once: average precision of a yes, the mean over questions, F1 over all of them.

Like every metric they are statistics of cells that add up: a joint one lays the cells of its parts end to end. A part
that counted nothing (no known answer, no yes) is left out of a mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm.evaluate.metrics import Accuracy, MicroF1, missing, ratio
from shoplm.task import FloatArray, IntArray, Metric

BINS = 65_536
"""Bins of the average precisions of all labels together: they cost memory in the bootstrap."""
_ODDS = 18.0
"""Log-odds beyond which average precision tells no two probabilities apart; float32 ends a little below."""


@dataclass(frozen=True)
class AveragePrecision(Metric):
    """The precision at each yes, the surest first, averaged over them; (M,) probabilities.

    Scores of one bin are ties, as scikit-learn treats them. The bins are of equal width in log-odds: with 4,096 they are .009 wide.
    """

    bins: int = 4096

    def size(self, classes: int) -> int:  # noqa: ARG002
        """No and yes for each bin."""
        return 2 * self.bins

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """One cell a row."""
        with np.errstate(divide="ignore"):
            odds = np.clip(np.log(value.astype(float)) - np.log1p(-value.astype(float)), -_ODDS, _ODDS)
        place = ((odds + _ODDS) / (2 * _ODDS) * (self.bins - 1)).astype(np.int64)
        cell = place + (np.asarray(target) == 1) * self.bins
        return np.where(missing(target), -1, cell)[:, None], np.ones((len(value), 1))

    def read(self, statistic: FloatArray) -> FloatArray:
        """Sum over bins of their share of the yes times the precision from there upward; NaN without a yes."""
        no, yes = (half[..., ::-1] for half in np.split(statistic, 2, axis=-1))
        hits = np.cumsum(yes, -1)
        precision = ratio(hits, hits + np.cumsum(no, -1))
        return ratio(np.where(yes > 0, yes * np.nan_to_num(precision), 0.0).sum(-1), yes.sum(-1))


@dataclass(frozen=True)
class _Joint(Metric):
    """A metric of several parts, each of which reads a target and a value of its own."""

    parts: tuple[Metric, ...] = ()

    @property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """Those of all parts."""
        return tuple(pair for part in self.parts for pair in part.reads)

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """Those of the parts that read its own ``target``."""
        return self.counted({self.target: target}, {self.value: value})


@dataclass(frozen=True)
class MeanOf(_Joint):
    """The mean of several metrics that point the same way; make one with ``mean_of``."""

    sizes: tuple[int, ...] = ()

    def size(self, classes: int) -> int:  # noqa: ARG002
        """The cells of all parts."""
        return sum(self.sizes)

    def counted(self, targets: Mapping[str, Any], values: Mapping[str, FloatArray]) -> tuple[IntArray, FloatArray]:
        """Those of all parts whose target and value are there."""
        return _laid(self.parts, self.sizes, targets, values)

    def read(self, statistic: FloatArray) -> FloatArray:
        """The mean over the parts that counted something."""
        found = np.stack([part.read(cells) for part, cells in zip(self.parts, _cut(statistic, self.sizes), strict=True)], -1)
        known = ~np.isnan(found)
        return ratio(np.where(known, found, 0.0).sum(-1), known.sum(-1).astype(float))


@dataclass(frozen=True)
class PooledF1(_Joint):
    """F1 over the hits, false alarms and misses of several decisions together; make one with ``pooled``."""

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Hits, false alarms, misses."""
        return 3

    def counted(self, targets: Mapping[str, Any], values: Mapping[str, FloatArray]) -> tuple[IntArray, FloatArray]:
        """Those of all parts, in the same three cells."""
        return _laid(self.parts, [0] * len(self.parts), targets, values)

    def read(self, statistic: FloatArray) -> FloatArray:
        """As each part reads its own."""
        return self.parts[0].read(statistic)


@dataclass(frozen=True)
class AllRight(_Joint):
    """The share of rows on which every one of several decisions is right: subset accuracy. Rows with an unknown answer are left out."""

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Wrong, right."""
        return 2

    def counted(self, targets: Mapping[str, Any], values: Mapping[str, FloatArray]) -> tuple[IntArray, FloatArray]:
        """One cell a row: 0 something wrong, 1 all right."""
        each = [part.counted(targets, values)[0] for part in self.parts if part.readable(targets, values)]
        found = np.concatenate(each, 1).min(1, keepdims=True)  # -1 where one is unknown, else 0 where one is wrong
        return found, np.ones(found.shape)

    def read(self, statistic: FloatArray) -> FloatArray:
        """As each part reads its own."""
        return self.parts[0].read(statistic)


def average_precisions(names: Sequence[str]) -> list[AveragePrecision]:
    """One for each of some yes or no, target and value called as it is; of many, each has fewer bins."""
    bins = max(128, min(4096, BINS // max(1, len(names))))
    return [AveragePrecision(name, name, bins) for name in names]


def all_right(parts: Sequence[Accuracy]) -> AllRight:
    """Whether several decisions are right together."""
    return AllRight(parts[0].target, parts[0].value, tuple(parts))


def mean_of(parts: Sequence[tuple[Metric, int]]) -> MeanOf:
    """The mean of metrics, each given with the number of classes of its value (1 for a score)."""
    first = parts[0][0]
    return MeanOf(first.target, first.value, tuple(part for part, _ in parts), tuple(part.size(classes) for part, classes in parts))


def pooled(parts: Sequence[MicroF1]) -> PooledF1:
    """F1 of several decisions together."""
    return PooledF1(parts[0].target, parts[0].value, tuple(parts))


def _laid(
    parts: Sequence[Metric], sizes: Sequence[int], targets: Mapping[str, Any], values: Mapping[str, FloatArray]
) -> tuple[IntArray, FloatArray]:
    """The cells of the parts that can be counted, each part's moved behind those of the parts before it."""
    cells, amounts, start = [], [], 0
    for part, size in zip(parts, sizes, strict=True):
        if part.readable(targets, values):
            cell, amount = part.counted(targets, values)
            cells.append(np.where(cell >= 0, cell + start, -1))
            amounts.append(amount)
        start += size
    return np.concatenate(cells, 1), np.concatenate(amounts, 1)


def _cut(statistic: FloatArray, sizes: Sequence[int]) -> list[FloatArray]:
    return np.split(statistic, np.cumsum(sizes)[:-1], axis=-1)
