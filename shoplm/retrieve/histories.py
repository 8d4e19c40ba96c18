"""What shoppers did, columnar: item codes end to end, one shopper after the other, the oldest act first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Histories:
    """S shoppers with A acts in all: shopper ``s`` did ``items[start[s]:start[s + 1]]``."""

    items: Int32
    """(A) the code of the item of each act, in [0, N)."""
    start: Int64
    """(S + 1)"""
    weight: Float32 | None = None
    """(A) how much each act says of what its shopper wants; None = all alike."""

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def lengths(self) -> Int64:
        """(S) acts of each shopper."""
        found: Int64 = np.diff(self.start)
        return found

    @property
    def owner(self) -> Int64:
        """(A) whose act it is."""
        found: Int64 = np.repeat(np.arange(len(self)), self.lengths)
        return found

    @staticmethod
    def of(histories: Sequence[Sequence[int]]) -> Histories:
        """From a list of item codes for each shopper."""
        items = np.array([item for history in histories for item in history], np.int32)
        return Histories(items, np.cumsum([0, *map(len, histories)]).astype(np.int64))

    @staticmethod
    def grouped(shoppers: npt.NDArray[Any], items: Int32, weight: Float32 | None = None) -> Histories:
        """From acts in order of time: (A) whose, in any order of shoppers, and (A) on what. Shoppers come in the order of their names."""
        order = np.argsort(shoppers, kind="stable")
        _, first = np.unique(shoppers[order], return_index=True)
        start = np.append(first, len(items)).astype(np.int64)
        return Histories(items[order].astype(np.int32), start, None if weight is None else weight[order].astype(np.float32))

    def take(self, rows: npt.NDArray[np.integer[Any]] | slice) -> Histories:
        """The histories of some shoppers, in that order."""
        rows = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.repeat(self.start[rows] - start[:-1], lengths) + np.arange(start[-1])
        return Histories(self.items[at], start, None if self.weight is None else self.weight[at])

    def without_last(self) -> tuple[Histories, Int32, Int64]:
        """What was known before each shopper's last act, for the shoppers with two acts or more.

        Returns:
            The shorter histories, the last act's item of each, and which shoppers these are.
        """
        rows = np.flatnonzero(self.lengths > 1)
        whole = self.take(rows)
        last = whole.start[1:] - 1
        before = np.ones(len(whole.items), bool)
        before[last] = False
        return whole.only(before), whole.items[last], rows

    def only(self, kept: npt.NDArray[np.bool_]) -> Histories:
        """The same shoppers with some of their acts alone: (A)."""
        start = np.concatenate([[0], np.cumsum(kept)])[self.start].astype(np.int64)
        return Histories(self.items[kept], start, None if self.weight is None else self.weight[kept])

    def counts(self, items: int) -> Int64:
        """(N) acts on each item."""
        found: Int64 = np.bincount(self.items, minlength=items).astype(np.int64)
        return found
