"""The sequence encoder over a shopper's acts: what was done so far -> which item comes next.

A causal transformer whose vocabulary are the shop's items. An item is what its text says plus a learnt vector of its own, which
counts the more the more acts taught it: a cold item lives by its text, a warm one by both. Nothing belongs to a shopper, so new
shoppers and new acts need no retraining.

Sources: SASRec (Kang & McAuley, 2018); blocks with gated residuals and SwiGLU as in LiGR (Borisyuk et al., 2025) and eSASRec
(Tikhonovich et al., 2025); sampled softmax corrected by how likely a negative was (Jean et al., 2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoplm.config import Config
from shoplm.model.specs import MISSING
from shoplm.tally import Tally
from shoplm.text.batch import Batch

NEXT = "next"
"""The target: at each place the code of the item that comes after it, -1 = not asked."""
FULL = 20_000
"""With so many items at most every one of them is a negative; with more, some are drawn."""


class BehaviourConfig(Config):
    """The encoder's shape."""

    width: int = pydantic.Field(default=128, ge=8, multiple_of=2)
    """D"""
    depth: int = pydantic.Field(default=2, ge=1)
    heads: int = pydantic.Field(default=2, ge=1)
    last: int = pydantic.Field(default=50, ge=1)
    """Acts that are read, L at most."""
    dropout: float = pydantic.Field(default=0.3, ge=0, lt=1)
    warm: float = pydantic.Field(default=5.0, ge=0)
    """Acts after which an item's own vector counts half."""
    negatives: int | None = pydantic.Field(default=None, ge=1)
    """Items drawn as negatives in each step, the same for all places; None = all items where they are 20,000 at most, else 4,096."""
    scale: float = pydantic.Field(default=12.0, gt=0)
    """By which cosines are multiplied to become logits, in the beginning."""

    @pydantic.model_validator(mode="after")
    def _divides(self) -> BehaviourConfig:
        if self.width % self.heads:
            raise ValueError(f"width={self.width} is no multiple of heads={self.heads}")
        return self


class Block(nn.Module):
    """(B, L, D) -> (B, L, D): causal attention and a gated feed-forward part, each added as far as a gate lets it."""

    def __init__(self, config: BehaviourConfig) -> None:
        super().__init__()
        width, inner = config.width, 2 * config.width
        self.heads = config.heads
        self.norm, self.turn, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(config.heads, config.last))
        self.wide_norm, self.wide, self.narrow = nn.LayerNorm(width), nn.Linear(width, 2 * inner), nn.Linear(inner, width)
        self.gate, self.wide_gate = nn.Linear(width, width), nn.Linear(width, width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """Rows are padded on the right: a real place never looks at padding, for it only looks back."""
        rows, length, width = hidden.shape
        query, key, value = (
            part.view(rows, length, self.heads, -1).transpose(1, 2) for part in self.turn(self.norm(hidden)).chunk(3, dim=-1)
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=self._looks_back(length).to(query.dtype))
        seen = self.out(seen.transpose(1, 2).reshape(rows, length, width))
        hidden = hidden + torch.sigmoid(self.gate(hidden)) * self.drop(seen)
        opened, gate = self.wide(self.wide_norm(hidden)).chunk(2, dim=-1)
        found: Tensor = hidden + torch.sigmoid(self.wide_gate(hidden)) * self.drop(self.narrow(opened * F.silu(gate)))
        return found

    def _looks_back(self, length: int) -> Tensor:
        """(heads, L, L) what is added to the attention's logits: by distance, and minus infinity ahead."""
        place = torch.arange(length)
        apart = place[:, None] - place[None, :]
        bias = self.distance[:, apart.clamp(0, self.distance.shape[1] - 1)]
        return bias.masked_fill(apart < 0, float("-inf"))


class Behaviour(nn.Module):
    """What can be fitted by ``train.loop``: a batch's ids are item codes, its target ``next`` the codes that follow.

    Args:
        items: N.
        config: the shape.
        counts: (N) acts on each item among the rows that teach.
        texts: (N, T) a vector of each item's text, of any length; None = items have no texts.
    """

    def __init__(
        self, items: int, config: BehaviourConfig, counts: npt.NDArray[np.integer[Any]], texts: npt.NDArray[np.floating[Any]] | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.own = nn.Embedding(items, config.width)
        nn.init.normal_(self.own.weight, std=config.width**-0.5)
        self.register_buffer("fade", torch.from_numpy(counts / (counts + config.warm + 1e-9)).float()[:, None])
        self.said: nn.Linear | None = None
        if texts is not None:
            self.register_buffer("texts", F.normalize(torch.from_numpy(np.asarray(texts, np.float32)), dim=-1))
            self.said = nn.Linear(texts.shape[1], config.width, bias=False)
            nn.init.normal_(self.said.weight, std=config.width**-0.5)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        self.sharpness = nn.Parameter(torch.tensor(math.log(config.scale)))

    @property
    def scale(self) -> Tensor:
        """By which cosines are multiplied. Its logarithm is learnt: a rate that suits the weights would hardly move the number itself."""
        return self.sharpness.exp()

    @property
    def weights(self) -> Mapping[str, float]:
        """One loss."""
        return {NEXT: 1.0}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Places with a known next item."""
        return {NEXT: float((batch.targets[NEXT] != MISSING).sum())}

    def vectors(self, codes: Tensor | None = None) -> Tensor:
        """(M, D) of the items with these codes, or of all N."""
        own = self.own.weight if codes is None else self.own(codes)
        fade: Any = self.fade
        found: Tensor = own * (fade if codes is None else fade[codes])
        if self.said is not None:
            texts: Any = self.texts
            found = found + self.said(texts if codes is None else texts[codes])
        return found

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) item codes -> (B, L, D) directions of length one in which the next item lies."""
        hidden = self.drop(self.vectors(ids.flatten()).view(*ids.shape, -1) * self.config.width**0.5)
        for block in self.blocks:
            hidden = block(hidden)
        found: Tensor = F.normalize(self.norm(hidden).float(), dim=-1)
        return found

    def losses(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tally[Tensor]]:  # noqa: ARG002  (nothing is frozen)
        """Cross-entropy of the next item at every place that has one, against all items or a draw of them."""
        target = torch.from_numpy(np.ascontiguousarray(batch.targets[NEXT]))
        there = target != MISSING
        towards, wanted = self(torch.from_numpy(batch.ids))[there], target[there]
        items, drawn = self.own.num_embeddings, self._drawn()
        if drawn is None:
            logits = self.scale * towards @ F.normalize(self.vectors().float(), dim=-1).T
            loss = F.cross_entropy(logits, wanted, reduction="sum")
            return {NEXT: Tally(loss, float(len(wanted)))}
        near = self.scale * (towards * F.normalize(self.vectors(wanted).float(), dim=-1)).sum(-1, keepdim=True)
        far = self.scale * towards @ F.normalize(self.vectors(drawn).float(), dim=-1).T
        # each negative stands for items / drawn of them; one that happens to be wanted is none
        far = far + np.log(items / len(drawn))
        far = far.masked_fill(drawn[None, :] == wanted[:, None], float("-inf"))
        logits = torch.cat([near, far], 1)
        loss = F.cross_entropy(logits, torch.zeros(len(wanted), dtype=torch.long), reduction="sum")
        return {NEXT: Tally(loss, float(len(wanted)))}

    def _drawn(self) -> Tensor | None:
        """(K) codes of the step's negatives, from torch's own seed, which the loop sets for every step; None = all items."""
        items, asked = self.own.num_embeddings, self.config.negatives
        count = asked if asked is not None else items if items <= FULL else 4096
        return None if count >= items else torch.randint(items, (count,))

    @torch.no_grad()
    def state(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Tensor:
        """(B, D) where the next item of B shoppers lies: at the last act of each.

        Args:
            ids: (B, L) item codes, padded on the right.
            lengths: (B) acts of each, at least 1.
        """
        self.eval()
        found: Tensor = self(torch.from_numpy(ids))[torch.arange(len(ids)), torch.from_numpy(lengths) - 1]
        return found
