"""A sum and how many things were summed: the only way this project averages.

Means cannot be averaged without their counts, so losses and metrics both travel as a ``Tally`` and
are divided once, at the end. ``total`` may be a float, a NumPy array or a tensor; this module knows
none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Tally(Generic[T]):
    """A sum ``total`` over ``count`` things (a count may be fractional when things are weighted)."""

    total: T
    count: float

    def __add__(self, other: Tally[T]) -> Tally[T]:
        """The tally of both, exactly as if all things had been summed together."""
        total: Any = self.total
        return Tally(total + other.total, self.count + other.count)

    @property
    def mean(self) -> T:
        """``total / count``; NaN-valued (``total * nan``) when nothing was counted."""
        total: Any = self.total
        mean: T = total / self.count if self.count else total * float("nan")
        return mean
