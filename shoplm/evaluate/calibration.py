"""Honest probabilities: temperature, Platt's line, isotonic steps, the reliability table, and thresholds.

Pure functions of NumPy arrays, to be given validation rows. Rows whose target is missing
(-1) are left out everywhere. Which of them a task uses is chosen in ``calibrate.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

COLDEST, HOTTEST = 0.01, 100.0
"""The lowest and the highest temperature; no line is flatter than the highest."""
SLOPE_PRIOR, OFFSET_PRIOR = 0.25, 1.0
"""How far, in standard deviations, ``platt_of_classes`` expects a class's slope to be from the common one and its offset from 0."""
Z95 = 1.959964


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

    @property
    def error(self) -> float:
        """The calibration error in [0, 1]: |said - happened|, each bin weighed by its rows; NaN without rows."""
        used = self.count > 0
        gaps = np.abs(self.said - self.happened)[used] * self.count[used]
        return float(gaps.sum() / self.count.sum()) if used.any() else float("nan")

    def interval(self) -> tuple[Floats, Floats]:
        """(N) low and (N) high: the 95 % interval of each bin's ``happened``, NaN in an empty bin.

        Source: Wilson (1927). It stays within [0, 1] and has a width where all or none came true.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            share = Z95**2 / self.count
            middle = (self.happened + share / 2) / (1 + share)
            half = Z95 * np.sqrt(self.happened * (1 - self.happened) / self.count + share / (4 * self.count)) / (1 + share)
        return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def reliability(probability: Floats, event: Ints, bins: int = 15, edges: Floats | None = None) -> Reliability:
    """What happened at each level of said probability.

    Args:
        probability: (M,) in [0, 1], of the event or of the label chosen.
        event: (M,) 1 where it came true, 0 where not, -1 where nobody knows.
        bins: how many of equal width, without
        edges: (N + 1) from 0 to 1, such as ``equal_mass`` gives. A bin holds its lower edge, the last one both.
    """
    known = event >= 0
    said, true = np.asarray(probability, float)[known], np.asarray(event)[known]
    if edges is None:
        edges, place = np.linspace(0, 1, bins + 1), np.clip((said * bins).astype(np.int64), 0, bins - 1)
    else:
        bins, place = len(edges) - 1, np.searchsorted(edges[1:-1], said, side="right")
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, amount, bins) / count for amount in (said, true)]
    return Reliability(edges, count, means[0], means[1])


def equal_mass(probability: Floats, bins: int = 15) -> Floats:
    """(N + 1) edges from 0 to 1 of bins that hold equally many of (M,) probabilities; fewer than ``bins`` where many are equal.

    A sure model puts nearly all its rows into the last of the bins of equal width; these part them.
    Source: Nguyen & O'Connor (2015).
    """
    inner = np.quantile(np.asarray(probability, float), np.arange(1, bins) / bins)
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def log_softmax(logits: Floats) -> Floats:
    """(M, C) -> (M, C) log probabilities in float64."""
    shifted = np.asarray(logits, float) - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def sigmoid(logit: Floats) -> Floats:
    """1 / (1 + exp(-logit)) in float64, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -np.asarray(logit, float))))


def temperature(logits: Floats, target: Ints, doubt: float = 0.0) -> float:
    """The T in [0.01, 100] that makes ``softmax(logits / T)`` lose least.

    Args:
        logits: (M, C).
        target: (M,) the true class, -1 = missing.
        doubt: the share of every target that is spread over the other classes. With 1 / (M + 2), as Platt aims at
            events, a handful of rows that are all right does not make the model certain of everything.

    Returns:
        1.0 when no target is known or all logits are equal. The loss is convex in 1/T, so its derivative has one root:
        where the mean logit that the model expects is that of the targets.

    Source: Guo et al. (2017).
    """
    from scipy.optimize import brentq

    known = np.asarray(target) >= 0
    if not known.any():
        return 1.0
    kept, true = np.asarray(logits, float)[known], np.asarray(target)[known]
    right = kept[np.arange(len(true)), true]
    aim = ((1 - doubt) * right + doubt * (kept.sum(1) - right) / max(kept.shape[1] - 1, 1)).mean()

    def derivative(log_beta: float) -> float:
        return float((np.exp(log_softmax(kept * np.exp(log_beta))) * kept).sum(1).mean() - aim)

    low, high = -np.log(HOTTEST), -np.log(COLDEST)
    falls, rises = derivative(low) < 0, derivative(high) > 0
    if falls and rises:
        return float(np.exp(-brentq(derivative, low, high, xtol=1e-10)))
    return COLDEST if falls else HOTTEST if rises else 1.0


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
    aim = _aims(y)

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


def _aims(event: npt.NDArray[np.bool_]) -> Floats:
    """(M,) what events and non-events aim at in place of 1 and 0: what one more row of each would leave. Source: Platt (1999)."""
    return np.asarray(np.where(event, (event.sum() + 1) / (event.sum() + 2), 1 / ((~event).sum() + 2)))


def platt_rising(score: Floats, event: Ints) -> tuple[float, float]:
    """As ``platt``, with a slope of at least 1 / HOTTEST: a higher score never means a lower probability.

    Where the rows say otherwise the flattest line is taken, with the offset that fits it best: the loss is
    convex, so that is the best of the lines that are allowed.
    """
    slope, offset = platt(score, event)
    known = np.asarray(event) >= 0
    if slope >= 1 / HOTTEST or not known.any():
        return slope, offset
    from scipy.optimize import brentq

    slope = 1 / HOTTEST
    x, aim = slope * np.asarray(score, float)[known], _aims(np.asarray(event)[known] == 1)
    odds = np.log(aim / (1 - aim))
    low, high = odds.min() - x.max() - 1, odds.max() - x.min() + 1
    return slope, float(brentq(lambda shift: float((sigmoid(x + shift) - aim).sum()), low, high, xtol=1e-12))


def platt_of_classes(logits: Floats, target: Ints) -> tuple[Floats, Floats]:
    """The (C) slopes a and (C) offsets b for which ``softmax(a * logits + b)`` fits best: Platt's line for each class.

    Of two classes it is Platt's own line through the difference of their logits, so the order of the rows stays. Of
    more it is the most likely one when slopes are normal around the best common slope (``SLOPE_PRIOR`` of it)
    and offsets around 0 (``OFFSET_PRIOR``), none flatter than 1 / HOTTEST. With few rows it is close to a temperature.

    Args:
        logits: (M, C).
        target: (M,) the true class, -1 = missing; at least one is known.

    Returns:
        The only minimum: the loss is strictly convex. Projected Newton, to a gradient of 1e-9 a row.

    Sources: Guo et al. (2017), who call it vector scaling; Bertsekas (1982) for the method.
    """
    known = np.asarray(target) >= 0
    z, true = np.asarray(logits, float)[known], np.asarray(target)[known]
    count, classes = z.shape
    if classes == 2:
        slope, offset = platt_rising(z[:, 1] - z[:, 0], true)
        return np.full(2, slope), np.array([-offset / 2, offset / 2])
    common = 1 / temperature(z, true, 1 / (count + 2))
    z, rows = z * common, np.arange(count)
    centre = np.repeat([1.0, 0.0], classes)
    tight = np.repeat([SLOPE_PRIOR**-2, OFFSET_PRIOR**-2], classes)
    floor = np.repeat([1 / (HOTTEST * common), -np.inf], classes)

    def loss(w: Floats) -> float:
        return float(-log_softmax(z * w[:classes] + w[classes:])[rows, true].sum() + (tight * (w - centre) ** 2).sum() / 2)

    w = np.maximum(centre, floor)
    for _ in range(100):
        p = np.exp(log_softmax(z * w[:classes] + w[classes:]))
        pz = p * z
        error = p.copy()
        error[rows, true] -= 1
        gradient = np.concatenate([(error * z).sum(0), error.sum(0)]) + tight * (w - centre)
        free = (w > floor) | (gradient < 0)
        if np.abs(gradient[free]).max(initial=0) < 1e-9 * count:
            break
        mixed = np.diag(pz.sum(0)) - pz.T @ p
        curve = np.block([[np.diag((pz * z).sum(0)) - pz.T @ pz, mixed], [mixed.T, np.diag(p.sum(0)) - p.T @ p]]) + np.diag(tight)
        step, size = np.zeros(2 * classes), 1.0
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], gradient[free])
        before = loss(w)
        rounding = 1e-12 * abs(before)  # near the minimum the gain of a good step is less than what float64 rounds away
        while loss(new := np.maximum(w - size * step, floor)) > before + rounding - 1e-4 * float(gradient @ (w - new)) and size > 1e-10:
            size /= 2
        w = new
    return w[:classes] * common, w[classes:]


def isotonic(score: Floats, event: Ints) -> tuple[Floats, Floats]:
    """The knots of the never falling curve that fits the events best; ``np.interp(score, x, y)`` reads it.

    Args:
        score: (M,) any scale.
        event: (M,) 0 or 1, -1 = missing.

    Returns:
        (K) rising scores x and (K) never falling y. Equal scores are one place, with their mean; between two steps
        runs a straight line; beyond the ends the last value holds. No y is 0 or 1, for events aim as in ``platt``.
        Both are empty when no event is known.

    Sources: Ayer et al. (1955), pool adjacent violators; Zadrozny & Elkan (2002).
    """
    from scipy.optimize import isotonic_regression

    known = np.asarray(event) >= 0
    x, y = np.asarray(score, float)[known], np.asarray(event)[known] == 1
    if not len(x):
        return np.empty(0), np.empty(0)
    at, place, weight = np.unique(x, return_inverse=True, return_counts=True)
    steps = np.asarray(isotonic_regression(np.bincount(place, _aims(y)) / weight, weights=weight).x)
    kept = np.ones(len(at), bool)
    kept[1:-1] = (steps[1:-1] != steps[:-2]) | (steps[1:-1] != steps[2:])  # a step is its two ends
    return at[kept], steps[kept]


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
