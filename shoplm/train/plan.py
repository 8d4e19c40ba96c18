"""Which rows at which step: a pure function of the lengths, the seed and the step.

Because nothing is drawn from a running generator, a run resumed at step n sees exactly the rows it
would have seen. Rows of similar length share a batch, so that little is padded.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

WINDOW = 32
"""Batches' worth of shuffled rows that are sorted by length together: larger pads less and shuffles less."""


@dataclass(frozen=True)
class Steps(ABC):
    """Batches over N rows, epoch by epoch; which rows an epoch has in which batch is what a kind of plan says."""

    lengths: npt.NDArray[np.int64]
    """(N) tokens of each row."""
    epochs: int
    batch_size: int
    """Rows of a batch, at most."""

    @abstractmethod
    def epoch(self, epoch: int) -> list[Rows]:
        """All batches of one epoch."""

    @property
    @abstractmethod
    def largest(self) -> Rows:
        """The rows that need the most memory of all batches."""

    @functools.cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """(epochs + 1) the first step of each epoch, and the end."""
        sizes = [len(self.epoch(epoch)) for epoch in range(self.epochs)]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @functools.cached_property
    def _kept(self) -> dict[int, list[Rows]]:
        return {}

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return int(self.starts[-1])

    def place(self, step: int) -> tuple[int, int]:
        """The epoch of a step and its place in it."""
        epoch = int(np.searchsorted(self.starts, step, side="right")) - 1
        return epoch, step - int(self.starts[epoch])

    def rows(self, step: int) -> Rows:
        """The rows of one optimizer step."""
        epoch, place = self.place(step)
        if epoch not in self._kept:  # only the epoch that is running is kept
            self._kept.clear()
            self._kept[epoch] = self.epoch(epoch)
        return self._kept[epoch][place]


@final
@dataclass(frozen=True)
class Plan(Steps):
    """Every row once an epoch, rows of similar length together."""

    token_budget: int | None
    """Tokens of a padded batch, at most (a single longer row is a batch of its own); None = no cap."""
    seed: int

    def epoch(self, epoch: int) -> list[Rows]:
        """All batches of one epoch: every row exactly once."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.lengths))
        batches: list[Rows] = []
        span = self.batch_size * WINDOW
        for begin in range(0, len(order), span):
            window = order[begin : begin + span]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches += cut(window, self.lengths, self.batch_size, self.token_budget)
        return [batches[at] for at in random.permutation(len(batches))]

    @property
    def largest(self) -> Rows:
        """The rows that need the most memory of all batches: as many of the longest as one batch may hold."""
        longest = np.argsort(-self.lengths, kind="stable")
        return cut(longest, self.lengths, self.batch_size, self.token_budget)[0]


def cut(order: Rows, lengths: npt.NDArray[np.int64], batch_size: int, token_budget: int | None) -> list[Rows]:
    """``order`` in consecutive batches that keep both caps (tokens counted with padding)."""
    if token_budget is None:
        return [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    batches, begin, longest = [], 0, 0
    for at in range(len(order)):
        longest = max(longest, int(lengths[order[at]]))
        size = at - begin + 1
        if size > 1 and (size > batch_size or size * longest > token_budget):
            batches.append(order[begin:at])
            begin, longest = at, int(lengths[order[at]])
    return [*batches, order[begin:]] if begin < len(order) else batches
