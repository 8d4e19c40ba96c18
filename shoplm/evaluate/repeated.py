"""One recipe trained with several seeds as one figure, and two recipes held against each other on the same rows.

An interval answers for both sources of chance: the rows that happened to be judged (each seed's replicates are of the same
resampled rows) and the seeds that happened to be drawn (each replicate takes the mean over seeds drawn with replacement).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoplm.evaluate.bootstrap import Estimate, interval

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One seed's judgement, as much of it as pairing needs."""

    points: Mapping[str, float | None]
    """metric -> value."""
    replicates: Mapping[str, Sequence[float | None]]
    """metric -> (R,) what it would have been on resampled rows."""
    checksums: Mapping[str, int]
    """target -> checksum of its values in order: equal only when the same rows were judged."""
    higher_is_better: Mapping[str, bool]
    rows: int
    seed: int
    """Of the resampling."""


def figure(runs: Sequence[Run], metric: str) -> Estimate:
    """The mean over the runs of one recipe with its 95 % interval; NaN when a run lacks the metric."""
    return interval(_mean(runs, metric), _replicates(runs, metric, 0))


def gain(ours: Sequence[Run], theirs: Sequence[Run], metric: str) -> Estimate | None:
    """How much better ours is, positive = better whichever way the metric points, paired on the same rows.

    Returns:
        None when the two were not judged on the same rows, or one of them has no such metric.
    """
    if not ours or not theirs or not _pairs(ours[0], theirs[0]):
        return None
    value = _mean(ours, metric) - _mean(theirs, metric)
    if np.isnan(value):
        return None
    turn = 1.0 if ours[0].higher_is_better.get(metric, True) else -1.0
    return interval(turn * value, turn * (_replicates(ours, metric, 0) - _replicates(theirs, metric, 1)))


def _pairs(one: Run, other: Run) -> bool:
    shared = one.checksums.keys() & other.checksums.keys()
    same = all(one.checksums[target] == other.checksums[target] for target in shared)
    return bool(shared) and same and (one.rows, one.seed) == (other.rows, other.seed)


def _mean(runs: Sequence[Run], metric: str) -> float:
    values = [run.points.get(metric) for run in runs]
    return float(np.mean([np.nan if value is None else value for value in values])) if values else float("nan")


def _replicates(runs: Sequence[Run], metric: str, side: int) -> Floats:
    """(R,) of the mean over seeds."""
    if any(metric not in run.replicates for run in runs):
        return np.full(1, np.nan)
    table = np.array([[np.nan if value is None else value for value in run.replicates[metric]] for run in runs], np.float64)  # (S, R)
    drawn = np.random.default_rng([side, len(runs)]).integers(0, len(runs), table.shape)
    found: Floats = np.take_along_axis(table, drawn, axis=0).mean(0)
    return found
