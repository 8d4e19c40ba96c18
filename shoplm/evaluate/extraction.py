"""Metrics of what is found in texts: at most one span a kind, right where it is one that the row is known to have.

Every pair of a row and a kind that is known counts, as in ExtractGPT's scoring: a kind that is known to be nowhere in the text and
for which something is found is a false claim. A pair that nobody told is neither right nor wrong. Several true spans of a kind
(several values, or one that occurs twice) are each right.
Source: Brinkmann, Shraga & Bizer (2024), NN, NV, VN, VC and VW.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from shoplm.evaluate.metrics import ratio
from shoplm.task import FloatArray, IntArray, Metric


@dataclass(frozen=True)
class Extraction(Metric):
    """Precision, recall or F1 over all pairs of a row and a kind, or the mean of the kinds' F1."""

    kinds: int = 1
    """K"""
    of: Literal["f1", "precision", "recall", "macro_f1"] = "f1"

    def size(self, classes: int) -> int:  # noqa: ARG002
        """Right, claimed and true for each kind."""
        return 3 * self.kinds

    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """Three cells for every kind that a row is known to have or not, and that is claimed or true.

        Args:
            target: (M, S, 3) start, stop and kind, as ``text.spans.encoded`` gives them.
            value: (M, P, 3) the same of what was found; of each kind the first counts.
        """
        true, said = np.asarray(target, np.int64), np.asarray(value, np.int64)
        rows = np.arange(len(true))
        told = np.zeros((len(true), self.kinds + 1), bool)  # the last stands for no kind
        there, claimed, right = told.copy(), told.copy(), told.copy()
        for start, stop, kind in np.moveaxis(true, 0, -1):
            told[rows, kind] = True
            there[rows, kind] |= stop > start
        for start, stop, kind in np.moveaxis(said, 0, -1):
            hit = ((true == np.stack([start, stop, kind], 1)[:, None]).all(2) & (stop > start)[:, None]).any(1)
            right[rows, kind] |= hit & ~claimed[rows, kind]
            claimed[rows, kind] = True
        amounts = np.stack([right, claimed, there], 2)[:, :-1] & told[:, :-1, None]
        cells = np.where(amounts, np.arange(3 * self.kinds).reshape(1, self.kinds, 3), -1)
        return cells.reshape(len(true), -1), amounts.reshape(len(true), -1).astype(float)

    def read(self, statistic: FloatArray) -> FloatArray:
        """Right over claimed (precision), over true (recall), or twice right over both together (F1); NaN where there is neither."""
        each = statistic.reshape(*statistic.shape[:-1], self.kinds, 3)
        right, claimed, true = np.moveaxis(each if self.of == "macro_f1" else each.sum(-2, keepdims=True), -1, 0)
        under = {"precision": claimed, "recall": true}.get(self.of, (claimed + true) / 2)
        found = ratio(right, under)
        known = ~np.isnan(found)
        return ratio(np.where(known, found, 0.0).sum(-1), known.sum(-1).astype(float))


def extraction(target: str, kinds: int) -> dict[str, Metric]:
    """The metrics of spans of K kinds, target and value called alike, by the names that results carry."""
    return {
        "micro_f1": Extraction(target, target, kinds, "f1"),
        "precision": Extraction(target, target, kinds, "precision"),
        "recall": Extraction(target, target, kinds, "recall"),
        "macro_f1": Extraction(target, target, kinds, "macro_f1"),
    }
