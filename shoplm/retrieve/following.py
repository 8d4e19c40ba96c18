"""The sequence model as a source: where the next act of a shopper lies, from the acts in their order.

What ``model.behaviour`` learnt, answered in NumPy: a list needs no torch, and its weights are plain arrays. What a shopper did is
read when a list is asked for, so new shoppers and new acts need no training. The arithmetic is that of ``Behaviour``; a test holds
the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoplm.retrieve.histories import Float32, Histories

ROWS = 256
"""Shoppers whose scores of all items are held at once."""
EPSILON = 1e-5
"""Of layer norms, torch's own."""


@dataclass(frozen=True)
class Following:
    """A source: N items, each a vector, and a causal transformer over them."""

    vectors: Float32
    """(N, D) of the items, as they are read."""
    weights: Mapping[str, Float32]
    """Of the network by the names of ``Behaviour``: what answers needs, and what further learning begins with."""
    depth: int
    heads: int
    last: int
    """Acts that are read."""
    passes: int
    """Over all acts, that it took to learn this."""
    most: int = 400
    """Items that it names for a shopper."""

    @staticmethod
    def of(vectors: Float32, weights: Mapping[str, Float32], plain: Mapping[str, int]) -> Following:
        """From arrays and what ``plain`` gave."""
        return Following(vectors, weights, plain["depth"], plain["heads"], plain["last"], plain["passes"], plain["most"])

    def plain(self) -> dict[str, int]:
        """All but the arrays, as plain values."""
        return {name: getattr(self, name) for name in ("depth", "heads", "last", "passes", "most")}

    def without(self, history: Histories) -> Float32:
        """(L, D) where the next item of ONE shopper would lie without each of the L acts that are read (``reads``)."""
        history = Histories(history.items[self.reads(history)], np.array([0, len(self.reads(history))]))
        count = len(history.items)
        others = np.array([[at for at in range(count) if at != left] for left in range(count)], np.int64).reshape(count, max(0, count - 1))
        return self.state(Histories(history.items[others.ravel()], np.arange(count + 1) * others.shape[1]))

    def reads(self, history: Histories) -> npt.NDArray[np.int64]:
        """(L) places of the acts of ONE shopper that are read: the last ones that say something."""
        said = np.arange(len(history.items)) if history.weight is None else np.flatnonzero(history.weight > 0)
        return said[-self.last :]

    def scores(self, asked: Histories) -> sparse.csr_array:
        """(B, N) for B shoppers: the chance of each of the likeliest items over that of the very likeliest, in (0, 1].

        Absent = not among the ``most`` likeliest, or a shopper without acts.
        """
        asked = asked if asked.weight is None else asked.only(asked.weight > 0)
        towards = self.state(asked) * np.exp(self.weights["sharpness"])
        against, items = _unit(self.vectors).T, len(self.vectors)
        most = min(self.most, items)
        there, data, indices = asked.lengths > 0, [], []
        for begin in range(0, len(asked), ROWS):
            logits = towards[begin : begin + ROWS][there[begin : begin + ROWS]] @ against
            top = np.argpartition(-logits, most - 1, axis=1)[:, :most]
            worth = np.take_along_axis(logits, top, 1)
            indices.append(top.ravel())
            data.append(np.exp(np.maximum(worth - worth.max(1, keepdims=True), -80)).ravel())
        start = np.concatenate([[0], np.cumsum(there * most)])
        none = np.zeros(0, np.float32)
        found = (np.concatenate([none, *data]).astype(np.float32), np.concatenate([none, *indices]).astype(np.int32), start)
        return sparse.csr_array(found, shape=(len(asked), items))

    def state(self, asked: Histories) -> Float32:
        """(B, D) direction of length one in which the next item of each shopper lies; zeros for one without acts."""
        found = np.zeros((len(asked), self.vectors.shape[1]), np.float32)
        lengths = np.minimum(asked.lengths, self.last)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        for begin in range(0, len(order), ROWS):
            rows = order[begin : begin + ROWS]  # of similar length, so that little is padded
            place, size = np.arange(lengths[rows[-1]]), lengths[rows]
            at = np.where(place < size[:, None], (asked.start[rows + 1] - size)[:, None] + place, asked.start[rows, None])
            hidden = self._read(asked.items[at])
            found[rows] = hidden[np.arange(len(rows)), size - 1]
        return found

    def _read(self, ids: npt.NDArray[np.int32]) -> Any:
        """(B, L) item codes -> (B, L, D): ``Behaviour.forward``."""
        hidden = self.vectors[ids] * np.float32(self.vectors.shape[1] ** 0.5)
        for block in range(self.depth):
            hidden = self._block(f"blocks.{block}", hidden)
        return _unit(self._norm("norm", hidden))

    def _block(self, name: str, hidden: Any) -> Any:
        """(B, L, D) -> (B, L, D): ``Block.forward``."""
        rows, length, width = hidden.shape
        turned = self._linear(f"{name}.turn", self._norm(f"{name}.norm", hidden)).reshape(rows, length, 3, self.heads, -1)
        query, key, value = turned.transpose(2, 0, 3, 1, 4)  # (B, heads, L, D / heads) each
        apart = np.arange(length)[:, None] - np.arange(length)[None, :]
        bias = np.where(apart < 0, np.float32(-np.inf), self.weights[f"{name}.distance"][:, np.maximum(apart, 0)])
        logits = query @ key.swapaxes(-1, -2) * np.float32((width // self.heads) ** -0.5) + bias
        seen = np.exp(logits - logits.max(-1, keepdims=True))
        seen = (seen / seen.sum(-1, keepdims=True)) @ value
        seen = self._linear(f"{name}.out", seen.transpose(0, 2, 1, 3).reshape(rows, length, width))
        hidden = hidden + _sigmoid(self._linear(f"{name}.gate", hidden)) * seen
        opened, gate = np.split(self._linear(f"{name}.wide", self._norm(f"{name}.wide_norm", hidden)), 2, axis=-1)
        narrow = self._linear(f"{name}.narrow", opened * gate * _sigmoid(gate))
        return hidden + _sigmoid(self._linear(f"{name}.wide_gate", hidden)) * narrow

    def _linear(self, name: str, hidden: Any) -> Any:
        return hidden @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, hidden: Any) -> Any:
        centred = hidden - hidden.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(EPSILON))
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-np.maximum(value, -80)))  # the exponential of more does not fit into float32


def _unit(vectors: Any) -> Any:
    """Each of length one, as ``torch.nn.functional.normalize`` has it."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
