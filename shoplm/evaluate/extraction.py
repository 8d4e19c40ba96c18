"""Metrics of what is found in texts: at most one span a kind, right where it is one that the row is known to have.

Every pair of a row and a kind that is known counts, as in ExtractGPT's scoring: a kind that is known to be nowhere in the text and
for which something is found is a false claim. A pair that nobody told is neither right nor wrong. Several true spans of a kind
(several values, or one that occurs twice) are each right.
Source: Brinkmann, Shraga & Bizer (2024), NN, NV, VN, VC and VW.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Lookup:
    """The plain method: of each kind the longest value that train texts had of it and that stands in a text as whole words."""

    known: Mapping[str, frozenset[int]]
    """Value, in small letters -> the kinds that had it."""
    words: int
    """Words of the longest value."""

    @staticmethod
    def fit(texts: Sequence[str], spans: Any) -> Lookup:
        """What train texts tell.

        Args:
            texts: M of them.
            spans: (M, S, 3) as ``text.spans.encoded`` gives them.
        """
        known: dict[str, set[int]] = {}
        for text, row in zip(texts, np.asarray(spans).tolist(), strict=True):
            for start, stop, kind in row:
                if stop > start and kind >= 0:
                    known.setdefault(text[start:stop].lower(), set()).add(kind)
        return Lookup({value: frozenset(kinds) for value, kinds in known.items()}, max((len(_words(value)) for value in known), default=0))

    def find(self, texts: Sequence[str]) -> FloatArray:
        """(M, S, 3) float32 start, stop and kind, at most one of a kind, of equals the first; -1 = no more."""
        rows = [self._of(text) for text in texts]
        found = np.full((len(rows), max((len(row) for row in rows), default=0) or 1, 3), -1.0, np.float32)
        for at, row in enumerate(rows):
            for place, (kind, (start, stop)) in enumerate(sorted(row.items())):
                found[at, place] = start, stop, kind
        return found

    def _of(self, text: str) -> dict[int, tuple[int, int]]:
        words, found = _words(text), dict[int, tuple[int, int]]()
        for at, (start, _) in enumerate(words):
            for _, stop in words[at : at + self.words]:
                for kind in self.known.get(text[start:stop].lower(), ()):
                    best = found.get(kind)
                    if best is None or stop - start > best[1] - best[0]:
                        found[kind] = start, stop
        return found


def _words(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand; a sign, and a letter of writing without spaces, is one of its own."""
    return [match.span() for match in _WORD.finditer(text)]


_WORD = re.compile(r"[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+|\S")


def extraction(target: str, kinds: int) -> dict[str, Metric]:
    """The metrics of spans of K kinds, target and value called alike, by the names that results carry."""
    return {
        "micro_f1": Extraction(target, target, kinds, "f1"),
        "precision": Extraction(target, target, kinds, "precision"),
        "recall": Extraction(target, target, kinds, "recall"),
        "macro_f1": Extraction(target, target, kinds, "macro_f1"),
    }
