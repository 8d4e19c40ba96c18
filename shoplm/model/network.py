"""Backbone, adapter and heads put together: Batch -> logits -> loss. NumPy comes in here, tensors stay inside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from shoplm.model.backbone import Backbone
from shoplm.model.heads import Head, States, asked, build
from shoplm.model.specs import MISSING, HeadSpec, Text, Vector
from shoplm.tally import Tally
from shoplm.text.batch import Batch


class Heads(nn.ModuleDict):
    """Heads by name, also by one that modules use themselves, such as ``children`` or ``type``: a shop's columns are called so.

    A dot is no part of a name.
    """

    def __setitem__(self, key: str, module: nn.Module) -> None:
        """``add_module`` without its check: no head is ever asked for as an attribute."""
        if not key or "." in key:
            raise ValueError(f"a head's name is not empty and has no dot, seen {key!r}")
        self._modules[key] = module


class Network(nn.Module):
    """One task's model. The backbone may be shared with other networks; the heads are its own.

    ``cut`` is the first layer that learns: all below is frozen, and what it computes may be kept.
    """

    def __init__(self, backbone: Backbone, specs: Mapping[str, HeadSpec], cut: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.specs = dict(specs)
        self.cut = cut
        words = backbone.vocabulary.shape[0]
        self.heads = Heads({name: build(spec, backbone.width, words) for name, spec in specs.items()})

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each head's mean loss counts."""
        return {name: spec.weight for name, spec in self.specs.items()}

    @property
    def pools_only(self) -> bool:
        """Whether every head reads nothing but the pooled vector."""
        return all(head.pools for head in self.heads.values() if isinstance(head, Head))

    def train(self, mode: bool = True) -> Network:
        """Training mode for what learns; the frozen part below the cut never drops out."""
        super().train(mode)
        if self.cut:
            self.backbone.eval()
            for layer in self.backbone.layers[self.cut :]:
                layer.train(mode)
        return self

    @torch.no_grad()
    def trunk(self, batch: Batch) -> Tensor:
        """(B, L, D) as they enter layer ``cut``; (B, 1, D) already pooled when nothing above the heads learns."""
        learning = self.training
        self.backbone.eval()
        ids, mask, part = _tensors(batch)
        hidden = self.backbone.lower(ids, mask, part, self.cut)
        self.train(learning)  # whoever asks for the trunk in the middle of a step still drops out above it
        if self.cut >= self.backbone.depth and self.pools_only:
            return pool(hidden, mask, self.backbone.pooling)[:, None]
        return hidden

    def states(self, batch: Batch, trunk: Tensor | None = None) -> States:
        """What the heads read, from the ids or from what ``trunk`` computed of them."""
        ids, mask, part = _tensors(batch)
        hidden = self.backbone(ids, mask, part) if trunk is None else self.backbone.upper(trunk, ids, mask, part, self.cut)
        if trunk is not None and trunk.shape[1] == 1 and self.cut >= self.backbone.depth:
            pooled = hidden[:, 0]  # already pooled: one vector stands for the row
        else:
            pooled = pool(hidden, mask, self.backbone.pooling)
        features = None if batch.features is None else torch.from_numpy(batch.features)
        return States(hidden, pooled, self.backbone.vocabulary, features)

    def forward(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tensor]:
        """The logits of every head."""
        states = self.states(batch, trunk)
        return {name: head(states) for name, head in self.heads.items()}

    def losses(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tally[Tensor]]:
        """The summed loss of every head over the targets that the batch has."""
        states = self.states(batch, trunk)
        weight = torch.ones(len(batch)) if batch.weight is None else torch.from_numpy(batch.weight)
        found: dict[str, Tally[Tensor]] = {}
        for name, head in self.heads.items():
            if isinstance(head, Head) and name in batch.targets:
                target = torch.from_numpy(np.ascontiguousarray(batch.targets[name]))
                seen, wanted, counted = asked(self.specs[name], states, target, weight)
                found[name] = head.loss(head(seen), wanted, counted)
        return found

    def counts(self, batch: Batch) -> dict[str, float]:
        """For each head the weight that its loss will count, known before any forward pass."""
        found = {}
        for name, spec in self.specs.items():
            if name in batch.targets:
                target = batch.targets[name]
                if isinstance(spec, Text) and spec.kind == "causal":
                    target = target[:, 1:]  # nothing stands before the first token to say it
                there = ~np.isnan(target) if target.dtype.kind == "f" else target != MISSING
                if isinstance(spec, Vector):
                    there = there.all(1)  # one loss a row
                weight = np.ones(len(batch), np.float32) if batch.weight is None else batch.weight
                found[name] = float((there * (weight[:, None] if there.ndim == 2 else weight)).sum())
        return found


def pool(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """(B, L, D) -> (B, D): the mean over real tokens, the first, or the last real one."""
    if how == "first":
        return hidden[:, 0]
    if how == "last":
        last = mask.sum(1) - 1  # not -1: rows are padded on the right
        return hidden[torch.arange(len(last)), last]
    kept = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * kept).sum(1) / kept.sum(1).clamp(min=1.0)


def _tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    return torch.from_numpy(batch.ids), torch.from_numpy(batch.mask), torch.from_numpy(batch.part)
