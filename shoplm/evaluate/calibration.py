"""Honest probabilities: temperature, Platt's line, the reliability table, and thresholds.

Pure functions of NumPy arrays, to be given validation rows. Rows whose target is missing
(-1) are left out everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

COLDEST, HOTTEST = 0.01, 100.0


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram of N bins: what was said beside what happened."""

    edges: Floats
    """(N + 1) from 0 to 1."""
    count: Ints
    """(N) rows in each bin."""
    said: Floats
    """(N) mean probability, NaN in an empty bin."""
    happened: Floats
    """(N) the share that came true, NaN in an empty bin."""


def reliability(probability: Floats, event: Ints, bins: int = 15) -> Reliability:
    """What happened at each level of said probability, in bins of equal width.

    Args:
        probability: (M,) in [0, 1], of the event or of the label chosen.
        event: (M,) 1 where it came true, 0 where not, -1 where nobody knows.
        bins: how many.
    """
    known = event >= 0
    said, true = np.asarray(probability, float)[known], np.asarray(event)[known]
    place = np.clip((said * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, amount, bins) / count for amount in (said, true)]
    return Reliability(np.linspace(0, 1, bins + 1), count, means[0], means[1])


def log_softmax(logits: Floats) -> Floats:
    """(M, C) -> (M, C) log probabilities in float64."""
    shifted = np.asarray(logits, float) - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def temperature(logits: Floats, target: Ints) -> float:
    """The T in [0.01, 100] that makes ``softmax(logits / T)`` lose least.

    Args:
        logits: (M, C).
        target: (M,) the true class, -1 = missing.

    Returns:
        1.0 when no target is known. The loss is convex in 1/T, so the minimum is the only one.

    Source: Guo et al. (2017).
    """
    from scipy.optimize import minimize_scalar

    known = np.asarray(target) >= 0
    if not known.any():
        return 1.0
    kept, true = np.asarray(logits, float)[known], np.asarray(target)[known]
    rows = np.arange(len(true))

    def loss(log_beta: float) -> float:
        return float(-log_softmax(kept * np.exp(log_beta))[rows, true].mean())

    found = minimize_scalar(loss, bounds=(-np.log(HOTTEST), -np.log(COLDEST)), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(-found.x))


def platt(score: Floats, event: Ints) -> tuple[float, float]:
    """The (a, b) for which ``1 / (1 + exp(-(a * score + b)))`` fits the events best.

    Args:
        score: (M,) any scale; it is standardised inside, so large scores are no trouble.
        event: (M,) 0 or 1, -1 = missing.

    Returns:
        Finite even for perfectly parted scores: events aim at (n+ + 1) / (n+ + 2), non-events at
        1 / (n- + 2). (0, 0) when no event is known.

    Source: Platt (1999); Newton's method with halving as in Lin, Lin & Weng (2007).
    """
    known = np.asarray(event) >= 0
    x, y = np.asarray(score, float)[known], np.asarray(event)[known] == 1
    if not len(x):
        return 0.0, 0.0
    middle, spread = float(x.mean()), float(x.std()) or 1.0
    columns = np.stack([(x - middle) / spread, np.ones(len(x))], 1)
    aim = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))

    def loss(w: Floats) -> float:
        z = columns @ w
        return float((np.logaddexp(0, z) - aim * z).sum())

    w = np.array([0.0, np.log((y.sum() + 1) / ((~y).sum() + 1))])
    for _ in range(100):
        p = 1 / (1 + np.exp(-(columns @ w)))
        gradient = columns.T @ (p - aim)
        if np.abs(gradient).max() < 1e-8 * len(x):
            break
        curve = (columns * (p * (1 - p))[:, None]).T @ columns + 1e-12 * np.eye(2)
        step, size = np.linalg.solve(curve, gradient), 1.0
        while loss(w - size * step) > loss(w) - 1e-4 * size * float(gradient @ step) and size > 1e-10:
            size /= 2
        w = w - size * step
    return float(w[0] / spread), float(w[1] - w[0] * middle / spread)


def threshold_for_recall(score: Floats, event: Ints, recall: float) -> float:
    """The highest threshold t at which ``score >= t`` still finds ``recall`` of the events.

    Args:
        score: (M,) higher means more likely an event.
        event: (M,) 0 or 1, -1 = missing.
        recall: in (0, 1].

    Raises:
        ValueError: there is no event, or ``recall`` is outside (0, 1].
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall is a share in (0, 1], seen {recall}")
    found = np.sort(np.asarray(score, float)[np.asarray(event) == 1])[::-1]
    if not len(found):
        raise ValueError("no event among the rows, so no threshold finds any")
    return float(found[int(np.ceil(recall * len(found) - 1e-9)) - 1])


def threshold_best_f1(score: Floats, event: Ints) -> float:
    """The threshold t at which ``score >= t`` has the highest F1 of the event.

    Returns:
        Half way between two neighbouring scores, so that rows like those seen fall on the same
        side; of equally good ones the highest. The lowest score itself when all should be taken.

    Raises:
        ValueError: there is no event.
    """
    known = np.asarray(event) >= 0
    x, y = np.asarray(score, float)[known], (np.asarray(event)[known] == 1).astype(float)
    if not y.any():
        raise ValueError("no event among the rows, so F1 is zero everywhere")
    order = np.argsort(-x, kind="stable")
    x, hits = x[order], np.cumsum(y[order])
    last = np.append(x[:-1] != x[1:], True)  # a threshold cannot part equal scores
    f1 = np.where(last, 2 * hits / (np.arange(1, len(x) + 1) + hits[-1]), -1)
    best = int(f1.argmax())
    return float(x[best] if best + 1 == len(x) else (x[best] + x[best + 1]) / 2)
