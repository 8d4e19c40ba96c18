"""The Poisson bootstrap of a stream: how sure a number is, in one pass and flat memory.

A row's weights are a pure function of (seed, row index). So chunks do not matter, and two models
judged on the same rows in the same order share their weights: the replicates of the one minus
those of the other are the paired bootstrap of the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

REPLICATES = 300
BLOCK = 2048
"""Rows that are weighted at once: their weights (2.4 MB) stay in the cache."""

# One random byte is one Poisson(1) weight. Shares of 1/256 chosen so that mean and variance are
# exactly 1 (third factorial moment 252/256): Poisson's own, rounded, have mean 257/256.
_SHARES = (94, 95, 46, 16, 4, 1)
_WEIGHT_OF_BYTE = np.repeat(np.arange(len(_SHARES)), _SHARES).astype(np.float32)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval; NaN where nothing was counted."""

    value: float
    low: float
    high: float

    def plain(self) -> dict[str, float | None]:
        """As JSON holds it, which has no word for NaN."""
        named = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(number) else number for name, number in named.items()}

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def weights(seed: int, block: int, replicates: int = REPLICATES) -> Floats:
    """(BLOCK, replicates) float32 weights of rows ``block * BLOCK`` and on: 0, 1, 2 … with mean 1.

    Counter-based (Philox), raw bytes read in little-endian order: the same on every machine.
    """
    width = -(-replicates // 8)
    raw = np.random.Philox(key=seed, counter=[0, 0, block, 0]).random_raw(BLOCK * width)
    return _WEIGHT_OF_BYTE[raw.astype("<u8", copy=False).view(np.uint8).reshape(BLOCK, width * 8)[:, :replicates]]


class Bootstrap:
    """The replicates of one long statistic of ``size`` cells."""

    def __init__(self, size: int, seed: int, replicates: int = REPLICATES) -> None:
        self._seed, self._replicates, self._row = seed, replicates, 0
        self._sums = np.zeros((size, replicates), np.float32)  # whole numbers are exact up to 16 million a cell

    def add(self, cells: Ints, amounts: Floats) -> None:
        """The next M rows: (M, K) cells, -1 for none, and the (M, K) amounts added to them."""
        from scipy.sparse import csr_matrix

        done = 0
        while done < len(cells):
            block, start = divmod(self._row, BLOCK)
            take = min(BLOCK - start, len(cells) - done)
            here = cells[done : done + take]
            row, column = np.nonzero(here >= 0)
            touched, place = np.unique(here[row, column], return_inverse=True)
            given = amounts[done : done + take][row, column].astype(np.float32)
            matrix = csr_matrix((given, (place, row)), shape=(len(touched), take))
            self._sums[touched] += matrix @ weights(self._seed, block, self._replicates)[start : start + take]
            self._row, done = self._row + take, done + take

    def replicates(self, start: int, stop: int) -> Floats:
        """(replicates, stop - start) float64 statistics of the cells from ``start`` to ``stop``."""
        return self._sums[start:stop].T.astype(float)


def interval(value: float, replicates: Floats) -> Estimate:
    """``value`` between the 2.5th and the 97.5th percentile of its replicates (those that are NaN left out).

    Stretched to hold the value itself: a calibration error is larger in resampled rows than in the
    real ones, and would fall outside.
    """
    known = replicates[~np.isnan(replicates)]
    if np.isnan(value) or not len(known):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(value, min(float(low), value), max(float(high), value))
