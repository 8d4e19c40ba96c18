"""What a model sees at once: B rows of token ids with their targets, all NumPy.

Rows are padded on the right to the longest of the batch and no further. A missing target is -1
(classes, tokens) or NaN (numbers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Batch:
    """B rows of at most L tokens."""

    ids: npt.NDArray[np.int64]
    """(B, L) token ids, padded on the right."""
    mask: npt.NDArray[np.int64]
    """(B, L) 1 where there is a token, 0 where there is padding."""
    part: npt.NDArray[np.int64]
    """(B, L) 0 or 1: which side of a pair."""
    rows: npt.NDArray[np.int64]
    """(B) which rows of the data set these are."""
    targets: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """(B) for each head: int64 with -1 missing, or float32 with NaN missing; Text and Spans: (B, L) int64; Labels: (B, C) float32; Vector: (B, D) float32."""
    weight: npt.NDArray[np.float32] | None = None
    """(B) how much each row counts; None = all alike."""
    features: npt.NDArray[np.float32] | None = None
    """(B, F) numbers and categories beside the text, as ``Features`` encodes them; None = there are none."""

    def __len__(self) -> int:
        return len(self.rows)

    def halves(self, parts: int) -> list[Batch]:
        """The same rows in up to ``parts`` micro-batches, for less memory and the same sum."""
        pieces = np.array_split(np.arange(len(self)), min(parts, len(self)))
        return [self.take(piece) for piece in pieces]

    def take(self, at: npt.NDArray[np.intp]) -> Batch:
        """The rows at ``at``, padded no further than the longest of them."""
        longest = max(1, int(self.mask[at].sum(1).max(initial=1)))
        return Batch(
            self.ids[at, :longest],
            self.mask[at, :longest],
            self.part[at, :longest],
            self.rows[at],
            {
                name: column[at, :longest] if column.ndim == 2 and column.dtype.kind == "i" else column[at]
                for name, column in self.targets.items()
            },
            None if self.weight is None else self.weight[at],
            None if self.features is None else self.features[at],
        )
