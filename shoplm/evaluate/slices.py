"""The same metrics on named parts of the rows: where a model is good and where it is not.

Sums are kept sparse, for each slice value in 20 groups of rows; leaving one group out at a time
(the delete-a-group jackknife) says how sure each slice is without a bootstrap of its own. Memory
grows with the different slice values and cells that occur, not with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.metrics import Mean
from shoplm.task import FloatArray, IntArray, Metric

SHOWN = 20
"""Slice values that a result shows by name; the rest are "other"."""
TRACKED = 1000
"""Different values of one slice that are told apart at all; later ones go straight to "other"."""
GROUPS = 20
"""Groups of rows; a slice whose rows fill fewer than half of them has values and no intervals."""
_T = 2.093
"""Student's t, 97.5 %, 19 degrees of freedom: 20 groups."""


@dataclass(frozen=True)
class Slice:
    """What was found in the rows that share one slice value."""

    rows: int
    metrics: Mapping[str, Estimate]


class _SparseSums:
    """Amounts added up by integer key."""

    def __init__(self) -> None:
        self._keys: IntArray = np.empty(0, np.int64)
        self._sums: FloatArray = np.empty(0)
        self._waiting: list[tuple[IntArray, FloatArray]] = []
        self._count = 0

    def add(self, keys: IntArray, amounts: FloatArray) -> None:
        self._waiting.append((keys, amounts))
        self._count += len(keys)
        if self._count > max(1 << 18, len(self._keys)):
            self.read()

    def read(self) -> tuple[IntArray, FloatArray]:
        """The different keys, ascending, and their sums."""
        if self._waiting:
            keys = np.concatenate([self._keys, *(part[0] for part in self._waiting)])
            amounts = np.concatenate([self._sums, *(part[1] for part in self._waiting)])
            self._keys, place = np.unique(keys, return_inverse=True)
            self._sums = np.bincount(place, weights=amounts, minlength=len(self._keys)).astype(float)
            self._waiting, self._count = [], 0
        return self._keys, self._sums


class SliceSums:
    """The sums of every slice value seen, for one long statistic of ``size`` cells."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[str, dict[str, int]] = {}
        self._rows: dict[str, Any] = {}  # whole numbers
        self._sums: dict[str, _SparseSums] = {}

    def add(self, first_row: int, cells: IntArray, amounts: FloatArray, slices: Mapping[str, Any]) -> None:
        """M rows from ``first_row`` on: their (M, K) cells and amounts, and (M,) strings for each slice name."""
        rows = np.arange(first_row, first_row + len(cells), dtype=np.uint64)
        scattered = (rows * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)  # so that no period of the data matters
        group = scattered.astype(np.int64) % GROUPS
        row, column = np.nonzero(cells >= 0)
        for name, values in slices.items():
            code = self._codes(name, values)
            if len(code) != len(cells):
                raise ValueError(f"slice `{name}`: expected {len(cells)} values, seen {len(code)}")
            counts = np.bincount(code, minlength=TRACKED + 1)
            self._rows[name] = self._rows.get(name, np.zeros(TRACKED + 1, np.int64)) + counts
            key = ((code * GROUPS + group)[row]) * self._size + cells[row, column]
            self._sums.setdefault(name, _SparseSums()).add(key, amounts[row, column])

    def _codes(self, name: str, values: Any) -> IntArray:
        """(M,) the number of each row's value; the one past the last tracked is "other"."""
        import pyarrow as pa

        column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if not isinstance(column, pa.Array):
            column = pa.array([None if value is None or value != value else str(value) for value in column], pa.string())
        encoded = column.cast(pa.string()).fill_null("missing").dictionary_encode()
        known = self._values.setdefault(name, {})
        for word in encoded.dictionary.to_pylist():
            if word not in known and len(known) < TRACKED:
                known[word] = len(known)
        numbers = np.array([known.get(word, TRACKED) for word in encoded.dictionary.to_pylist()], np.int64)
        return numbers[encoded.indices.to_numpy()] if len(numbers) else np.empty(0, np.int64)

    def result(self, metrics: Mapping[str, Metric], spans: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, Slice]]:
        """For each slice name its ``SHOWN`` values of most rows, then "other", each with every metric."""
        return {name: self._one(name, metrics, spans) for name in self._values}

    def _one(self, name: str, metrics: Mapping[str, Metric], spans: Mapping[str, tuple[int, int]]) -> dict[str, Slice]:
        rows = self._rows[name]
        words = [word for word in self._values[name] if word != "other"]
        words = sorted(words, key=lambda word: (-rows[self._values[name][word]], word))[:SHOWN]
        parts = {word: np.array([self._values[name][word]]) for word in words}
        rest = np.setdiff1d(np.nonzero(rows)[0], [self._values[name][word] for word in words])
        if len(rest):
            parts["other"] = rest
        keys, sums = self._sums[name].read()
        width = GROUPS * self._size
        found = {}
        for word, codes in parts.items():
            ends = np.searchsorted(keys, np.stack([codes, codes + 1]) * width)
            picked = np.concatenate([np.arange(start, stop) for start, stop in ends.T])
            group, cell = np.divmod(keys[picked] % width, self._size)
            estimates = {
                metric_name: _jackknifed(metric, spans[metric_name], group, cell, sums[picked]) for metric_name, metric in metrics.items()
            }
            found[word] = Slice(int(rows[codes].sum()), estimates)
        return found


def _jackknifed(metric: Metric, span: tuple[int, int], group: IntArray, cell: IntArray, sums: FloatArray) -> Estimate:
    start, stop = span
    here = (cell >= start) & (cell < stop)
    width = stop - start
    grouped = np.bincount(group[here] * width + cell[here] - start, sums[here], GROUPS * width).reshape(GROUPS, width)
    whole = grouped.sum(0)
    value, without = float(metric.read(whole)), metric.read(whole - grouped)
    without = without[~np.isnan(without)]
    if np.isnan(value) or len(without) < 2 or len(np.unique(group[here])) < GROUPS // 2:
        return Estimate(value, float("nan"), float("nan"))
    error = float(np.sqrt((len(without) - 1) / len(without) * np.square(without - without.mean()).sum()))
    most = np.inf if isinstance(metric, Mean) else 1.0  # losses and errors have no upper end, shares and areas have
    return Estimate(value, max(0.0, value - _T * error), float(min(most, value + _T * error)))
