"""Item vectors: which texts go together, learnt from items that the same shoppers act on.

A frozen backbone's vector of an item's text is turned into a shorter one by a learnt map, so that the vectors of items acted on
together point the same way. The map alone is learnt and no item has weights of its own: an item that nobody has acted on yet has
a vector as good as its text.

Sources: in-batch softmax corrected by how often an item stands in a batch (Yi et al., 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoplm.config import Config
from shoplm.tally import Tally
from shoplm.text.batch import Batch

PAIR = "pair"
"""The loss."""


class ItemVectorConfig(Config):
    """The map's shape."""

    width: int = pydantic.Field(default=128, ge=8)
    """D"""
    inner: int = pydantic.Field(default=256, ge=0)
    """Width of the part that is not linear; 0 = there is none."""
    dropout: float = pydantic.Field(default=0.2, ge=0, lt=1)
    temperature: float = pydantic.Field(default=0.07, gt=0)
    """By which cosines are divided to become logits."""


class ItemVectors(nn.Module):
    """What can be fitted by ``train.loop``: a batch's ids are (B, 2) codes of two items that go together.

    Args:
        texts: (N, T) a vector of each item's text.
        counts: (N) how often each item stands in a pair.
        config: the shape.
    """

    def __init__(self, texts: npt.NDArray[np.float32], counts: npt.NDArray[np.integer[Any]], config: ItemVectorConfig) -> None:
        super().__init__()
        self.config = config
        centred = torch.from_numpy(texts - texts.mean(0))  # what all texts of a shop share tells none from another
        width = texts.shape[1]
        self.register_buffer("texts", F.normalize(centred, dim=-1) * (width**0.5 / 2), persistent=False)
        self.register_buffer("often", torch.from_numpy(counts + 1.0).float().log(), persistent=False)
        self.straight = nn.Linear(width, config.width, bias=False)
        self.bent: nn.Sequential | None = None
        if config.inner:
            last = nn.Linear(config.inner, config.width, bias=False)
            nn.init.zeros_(last.weight)  # it begins as the linear map
            self.bent = nn.Sequential(nn.Linear(width, config.inner), nn.GELU(), nn.Dropout(config.dropout), last)
        self.drop = nn.Dropout(config.dropout)

    @property
    def weights(self) -> Mapping[str, float]:
        """One loss."""
        return {PAIR: 1.0}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Each of a pair is asked for the other."""
        return {PAIR: 2.0 * len(batch)}

    def forward(self, texts: Tensor) -> Tensor:
        """(M, T) -> (M, D) of length one."""
        dropped = self.drop(texts)
        found = self.straight(dropped)
        if self.bent is not None:
            found = found + self.bent(dropped)
        return F.normalize(found.float(), dim=-1)

    def losses(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tally[Tensor]]:  # noqa: ARG002  (nothing is frozen)
        """Cross-entropy of the other item among all that stand on its side of the batch."""
        texts: Any = self.texts
        left, right = torch.from_numpy(batch.ids).T
        logits = self(texts[left]) @ self(texts[right]).T / self.config.temperature
        loss = self._asked(logits, right) + self._asked(logits.T, left)
        return {PAIR: Tally(loss, 2.0 * len(batch))}

    def _asked(self, logits: Tensor, items: Tensor) -> Tensor:
        """Of each row the summed loss of the diagonal; an item that stands in a batch twice is no wrong answer to itself."""
        often: Any = self.often
        again = (items[None, :] == items[:, None]) & ~torch.eye(len(items), dtype=torch.bool)
        corrected = (logits - often[items][None, :]).masked_fill(again, float("-inf"))
        return F.cross_entropy(corrected, torch.arange(len(items)), reduction="sum")

    @torch.no_grad()
    def vectors(self) -> npt.NDArray[np.float32]:
        """(N, D) of all items, of length one."""
        self.eval()
        texts: Any = self.texts
        found: npt.NDArray[np.float32] = self(texts).numpy()
        return found
