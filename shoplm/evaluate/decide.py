"""From probabilities to decisions, as validation rows choose them: how far rare classes are favoured, from when on a yes is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from shoplm.evaluate.calibration import log_softmax, sigmoid
from shoplm.evaluate.metrics import missing
from shoplm.task import FloatArray

FAVOURS = tuple(step / 20 for step in range(21))
"""How far a decision may favour rare classes: 0 not at all, 1 as if all classes were equally common."""
WEIGHTY = 1000
"""With so many rows, what they say of a question's favour counts as much as what those of all questions say."""
TRUSTED = 10
"""With so many true yes, what they say of a threshold counts as much as what the probabilities themselves say of it."""


def favoured(logs: FloatArray, shares: FloatArray, favour: float) -> FloatArray:
    """(M, C) probabilities whose largest is the decision: softmax of log p(class) - favour · log share(class).

    Source: Menon et al. (2021), logit adjustment.
    """
    return np.asarray(np.exp(log_softmax(logs - favour * np.log(shares))), np.float32)


def best_favour(value_of: Callable[[float], float]) -> float:
    """The favour whose value is highest, the least of equals; 0 where nothing can be counted."""
    found = np.array([value_of(favour) for favour in FAVOURS])
    return 0.0 if np.isnan(found).all() else FAVOURS[int(np.nanargmax(found))]


def best_favours(values_of: Mapping[str, Callable[[float], float]], rows: Mapping[str, int]) -> dict[str, float]:
    """The favour of each of several questions: what its own rows say of it counts as much as what those of all say once there are ``WEIGHTY``.

    A hundred rows choose among the favours by chance, and sometimes none at all for the rare; what is best for questions of one kind is
    much alike.

    Args:
        values_of: for each question what a favour is worth; NaN counts nothing.
        rows: for each question how many rows that comes from.
    """
    curves = {name: np.array([value_of(favour) for favour in FAVOURS]) for name, value_of in values_of.items()}
    known = [curve for curve in curves.values() if not np.isnan(curve).any()]
    common = np.mean(known, axis=0) if known else np.zeros(len(FAVOURS))
    found = {}
    for name, curve in curves.items():
        own = rows[name] / (rows[name] + WEIGHTY)
        found[name] = FAVOURS[int(np.argmax(own * np.nan_to_num(curve) + (1 - own) * common))]
    return found


def best_threshold(probability: FloatArray, target: Any) -> float:
    """The probability from which on saying yes gives the highest F1 of the yes.

    The places of a few true yes would decide by chance, so a row counts as a yes in part by what is known of it and in
    part by its probability: the fewer yes there are, the more by its probability. With those alone F1 is what is expected
    if they hold (Lipton, Elkan & Naryanaswamy, 2014).

    Args:
        probability: (M,) calibrated.
        target: (M,) 0 or 1, NaN unknown.
    """
    known = ~missing(target)
    said = np.asarray(probability, float)[known]
    if not len(said):
        return 0.5
    event = np.asarray(target, float)[known] == 1
    order = np.argsort(-said, kind="stable")
    trust = event.sum() / (event.sum() + TRUSTED)
    said, hits = said[order], (trust * event + (1 - trust) * said)[order]
    count = np.arange(1, len(said) + 1)
    f1 = 2 * np.cumsum(hits) / (count + hits.sum())
    f1[:-1][said[:-1] == said[1:]] = -1.0  # equals are decided alike
    last = int(f1.argmax())
    below = said[last + 1] if last + 1 < len(said) else 0.0
    return float(np.clip((said[last] + below) / 2, 1e-4, 1 - 1e-4))


def thresholds(labels: Sequence[str], probability: FloatArray, target: Any) -> dict[str, float]:
    """``best_threshold`` of each of some labels that are yes or no, (M, C), as ``Fitted.numbers`` keeps it."""
    return {_kept(label): best_threshold(probability[:, at], np.asarray(target)[:, at]) for at, label in enumerate(labels)}


def passed(labels: Sequence[str], odds: FloatArray, numbers: Mapping[str, float]) -> FloatArray:
    """(M, C) log-odds moved so that a label's threshold lies at one half, as probabilities: from there on it holds."""
    limit = np.array([numbers.get(_kept(label), 0.5) for label in labels])
    return np.asarray(sigmoid(odds - np.log(limit) + np.log1p(-limit)), np.float32)


def _kept(label: str) -> str:
    return f"threshold:{label}"
