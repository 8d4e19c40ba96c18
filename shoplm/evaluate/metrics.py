"""The metrics, each as a statistic of cells that add up over rows.

A row adds amounts to a few cells and the metric is read from the sums, so every metric streams,
merges exactly and can be re-weighted by a bootstrap. A missing target (-1 or NaN) adds nothing.
The names that results carry: accuracy macro_f1 micro_f1 log_loss ece roc_auc oos_auroc rmse mae.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shoplm.evaluate.calibration import Reliability
from shoplm.task import FloatArray, IntArray, Metric

LEAST = 1e-12
"""No probability counts as less in a log loss: one impossible row costs 27.6 nats, not infinity."""


def missing(target: Any) -> npt.NDArray[np.bool_]:
    """(M,) true where the target is -1 (int) or NaN (float)."""
    array = np.asarray(target)
    return np.isnan(array) if array.dtype.kind == "f" else array < 0


def ratio(over: FloatArray, under: FloatArray) -> FloatArray:
    """``over / under``, NaN where ``under`` is zero."""
    unknown: FloatArray = np.full(np.broadcast(over, under).shape, np.nan)
    return np.divide(over, under, out=unknown, where=under != 0)


def _hide(cells: IntArray, gone: npt.NDArray[np.bool_]) -> IntArray:
    return np.where(gone[:, None], -1, cells)


def _one(count: int, width: int) -> FloatArray:
    return np.ones((count, width))


@dataclass(frozen=True)
class Decision(Metric):
    """A metric of the decided class: the likeliest of (M, C), or the event where (M,) reaches ``threshold``."""

    threshold: float = 0.5
    """For a binary score alone."""

    def decide(self, value: FloatArray) -> IntArray:
        """(M,) the class that was chosen; among equals the first."""
        return value.argmax(1) if value.ndim == 2 else (value >= self.threshold).astype(np.int64)

    def pair(self, target: Any, value: FloatArray) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
        """(M,) true class with 0 where missing, (M,) decided class, (M,) whether the truth is missing."""
        gone = missing(target)
        return np.where(gone, 0, np.asarray(target)).astype(np.int64), self.decide(value), gone


@dataclass(frozen=True)
class Accuracy(Decision):
    """The share of rows whose decided class is the true one."""

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Wrong, right."""
        return 2

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """One cell a row: 0 wrong, 1 right."""
        true, chosen, gone = self.pair(target, value)
        return _hide((true == chosen).astype(np.int64)[:, None], gone), _one(len(true), 1)

    def read(self, statistic: FloatArray) -> FloatArray:
        """Right over all."""
        return ratio(statistic[..., 1], statistic.sum(-1))


@dataclass(frozen=True)
class MacroF1(Decision):
    """The mean of the classes' F1, over the classes that occur as truth or as decision (as scikit-learn does)."""

    def size(self, classes: int) -> int:
        """Hits, false alarms and misses of each class; a score has two."""
        return 3 * max(classes, 2)

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """Two cells a row: the hit alone, or the false alarm of one class and the miss of another."""
        true, chosen, gone = self.pair(target, value)
        count = value.shape[1] if value.ndim == 2 else 2
        right = true == chosen
        cells = np.stack([np.where(right, true, count + chosen), np.where(right, -1, 2 * count + true)], 1)
        return _hide(cells, gone), _one(len(true), 2)

    def read(self, statistic: FloatArray) -> FloatArray:
        """Mean over classes of 2 hits / (2 hits + false alarms + misses)."""
        hits, alarms, misses = np.split(statistic, 3, axis=-1)
        seen = hits + alarms + misses > 0
        f1 = np.divide(2 * hits, 2 * hits + alarms + misses, out=np.zeros(hits.shape), where=seen)
        return ratio(f1.sum(-1), seen.sum(-1).astype(float))


@dataclass(frozen=True)
class MicroF1(Decision):
    """F1 over all decisions together; without ``ignore`` it equals the accuracy of one label a row."""

    ignore: int | None = None
    """A class that stands for "none": deciding it is no claim, missing it no miss."""

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Hits, false alarms, misses."""
        return 3

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """Two cells a row at most."""
        true, chosen, gone = self.pair(target, value)
        right, none = true == chosen, -1 if self.ignore is None else self.ignore
        alarm = np.where(right, np.where(true == none, -1, 0), np.where(chosen == none, -1, 1))
        return _hide(np.stack([alarm, np.where(right | (true == none), -1, 2)], 1), gone), _one(len(true), 2)

    def read(self, statistic: FloatArray) -> FloatArray:
        """2 hits / (2 hits + false alarms + misses)."""
        hits = 2 * statistic[..., 0]
        return ratio(hits, hits + statistic[..., 1] + statistic[..., 2])


@dataclass(frozen=True)
class Mean(Metric):
    """The mean of an amount for each row."""

    higher_is_better: ClassVar[bool] = False

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Sum, count."""
        return 2

    @abstractmethod
    def amount(self, target: FloatArray, value: FloatArray) -> FloatArray:
        """(M,) what each row adds; the targets here are all known."""

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """Two cells a row: the amount, and one."""
        gone = missing(target)
        amounts = _one(len(gone), 2)
        amounts[~gone, 0] = self.amount(np.asarray(target)[~gone], value[~gone])
        return _hide(np.broadcast_to(np.arange(2), amounts.shape), gone), amounts

    def read(self, statistic: FloatArray) -> FloatArray:
        """Sum over count."""
        return ratio(statistic[..., 0], statistic[..., 1])


@dataclass(frozen=True)
class LogLoss(Mean):
    """The mean of minus the log of the true class's probability, in nats."""

    def amount(self, target: FloatArray, value: FloatArray) -> FloatArray:
        """-log p of the truth; p is held above ``LEAST``."""
        true = target.astype(np.int64)
        p = value[np.arange(len(true)), true] if value.ndim == 2 else np.where(true == 1, value, 1 - value)
        return -np.log(np.maximum(p, LEAST))


@dataclass(frozen=True)
class RMSE(Mean):
    """The root of the mean squared error, in the target's own unit."""

    def amount(self, target: FloatArray, value: FloatArray) -> FloatArray:
        """The squared error."""
        return np.square(target - value)

    def read(self, statistic: FloatArray) -> FloatArray:
        """Root of sum over count."""
        return np.sqrt(super().read(statistic))


@dataclass(frozen=True)
class MAE(Mean):
    """The mean absolute error, in the target's own unit."""

    def amount(self, target: FloatArray, value: FloatArray) -> FloatArray:
        """The absolute error."""
        return np.abs(target - value)


@dataclass(frozen=True)
class ECE(Metric):
    """Expected calibration error: how far said probabilities are from what then happened, in [0, 1].

    Of the likeliest label for (M, C), of the event for (M,). Bins of equal width, [low, high), the
    last closed. It is biased upward on few rows.
    """

    bins: int = 15
    higher_is_better: ClassVar[bool] = False

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Rows, said probability and what happened, for each bin."""
        return 3 * self.bins

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """Three cells a row, all of one bin."""
        gone = missing(target)
        true = np.where(gone, 0, np.asarray(target)).astype(np.int64)
        said = (value.max(1) if value.ndim == 2 else value).astype(float)
        happened = value.argmax(1) == true if value.ndim == 2 else true == 1
        place = np.clip((said * self.bins).astype(np.int64), 0, self.bins - 1)
        cells = place[:, None] + self.bins * np.arange(3)
        return _hide(cells, gone), np.stack([np.ones(len(said)), said, happened.astype(float)], 1)

    def read(self, statistic: FloatArray) -> FloatArray:
        """Sum over bins of |said - happened|, over rows."""
        rows, said, happened = np.split(statistic, 3, axis=-1)
        return ratio(np.abs(said - happened).sum(-1), rows.sum(-1))

    def table(self, statistic: FloatArray) -> Reliability:
        """The reliability diagram of one statistic."""
        rows, said, happened = np.split(statistic, 3)
        edges = np.linspace(0, 1, self.bins + 1)
        return Reliability(edges, rows.astype(np.int64), ratio(said, rows), ratio(happened, rows))


@dataclass(frozen=True)
class AUROC(Metric):
    """The chance that an event scores above a non-event, ties counting half.

    The cells are fixed bins, fine in log-odds inside [0, 1] and in ratio outside: off by less than
    1e-4 unless nearly all scores share a few bins. The judge reads the value itself from ``Ranks``,
    exact at float32 up to 262,144 different scores, and takes only the interval from the bins.
    """

    inside: int = 4096
    """Bins over [0, 1], .018 of log-odds each; as many below 0 (from -1e6 to -1e-6) and above 1 (to 1e6)."""

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Non-events and events for each bin."""
        return 6 * self.inside

    def score(self, value: FloatArray) -> FloatArray:
        """(M,) the event's score: the value itself, or the second column of two."""
        return np.asarray(value[:, 1] if value.ndim == 2 else value)

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """One cell a row."""
        gone, score, bins = missing(target), self.score(value).astype(float), self.inside
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = np.clip(np.log(score) - np.log1p(-score), -36, 36)  # as far as float64 goes below 1
            out = np.log(np.abs(score)) / np.log(1e6)
        middle = bins + (odds + 36) / 72 * (bins - 1)
        below = (1 - np.clip((out + 1) / 2, 0, 1)) * (bins - 1)
        above = 2 * bins + np.clip(out, 0, 1) * (bins - 1)
        place = np.where(score < 0, below, np.where(score > 1, above, middle)).astype(np.int64)
        event = np.asarray(target) == 1
        return _hide((place + event * 3 * bins)[:, None], gone), _one(len(score), 1)

    def read(self, statistic: FloatArray) -> FloatArray:
        """Over pairs of an event and a non-event; NaN unless there are both."""
        return _pairs(*np.split(statistic, 2, axis=-1))


def _pairs(without: FloatArray, events: FloatArray) -> FloatArray:
    """The share of pairs in which the event stands in a later place, (…, N) counts in rank order -> (…)."""
    won = (events * (np.cumsum(without, -1) - without / 2)).sum(-1)
    return ratio(won, without.sum(-1) * events.sum(-1))


class Ranks:
    """The exact AUROC of a stream in bounded memory.

    It counts events and non-events for each different float32 score. Past ``limit`` different
    scores the lowest bits are dropped, one at a time, until they fit: how many depends only on
    the set of scores, not on their order or on how they were cut into chunks.
    """

    def __init__(self, limit: int = 1 << 18) -> None:
        self._limit, self._dropped = limit, 0
        self._keys: IntArray = np.empty(0, np.int64)
        self._counts: FloatArray = np.empty((0, 2))

    def add(self, event: IntArray, score: FloatArray) -> None:
        """Counts M scores; ``event`` is 0 or 1, -1 is skipped."""
        known = event >= 0
        bits = (score[known].astype(np.float32) + np.float32(0)).view(np.int32).astype(np.int64)  # + 0 makes -0.0 into 0.0
        key = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) >> self._dropped
        amount = np.stack([event[known] == 0, event[known] == 1], 1).astype(float)
        self._merge(np.concatenate([self._keys, key]), np.concatenate([self._counts, amount]))
        while len(self._keys) > self._limit:
            self._dropped += 1
            self._merge(self._keys >> 1, self._counts)

    def _merge(self, keys: IntArray, counts: FloatArray) -> None:
        self._keys, place = np.unique(keys, return_inverse=True)
        self._counts = np.stack([np.bincount(place, counts[:, side], len(self._keys)) for side in (0, 1)], 1)

    def auroc(self) -> float:
        """In [0, 1]; NaN unless both events and non-events were seen."""
        return float(_pairs(self._counts[:, 0], self._counts[:, 1]))
