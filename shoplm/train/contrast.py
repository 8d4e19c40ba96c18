"""A stage before a task's own: rows of one label are drawn together and the others apart, before any head learns.

Every text goes through the backbone once a pass and meets all others of its batch, so a pass costs what a pass of ordinary
training costs, however many pairs there are: with n rows a label, pairs grow with n², batches with n.

- ``supervised``: the supervised contrastive loss (Khosla et al., 2020, their L_out).
- ``pairs``: the cosine of every pair of a batch shall be 1 or 0, like and unlike pairs counting the same (the loss of SetFit,
  Tunstall et al., 2022, without its list of pairs).
- ``simcse``: no labels; a text shall be nearest to itself under another dropout (Gao et al., 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt
import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoplm.config import Config
from shoplm.model.network import Network
from shoplm.model.specs import MISSING
from shoplm.tally import Tally
from shoplm.text.batch import Batch
from shoplm.train.plan import Rows, Steps

Kind = Literal["supervised", "pairs", "simcse"]
NAME = "contrastive"
"""What the stage's only loss is called."""


class ContrastConfig(Config):
    """A contrastive stage before the task's own; none unless ``contrastive`` is set."""

    contrastive: Kind | None = None
    """``supervised``: rows of one label together, others apart; ``pairs``: the same by the cosine of every pair; ``simcse``: without labels."""
    contrastive_epochs: int = pydantic.Field(default=1, ge=1)
    """Passes of the stage."""
    contrastive_batch_size: int = pydantic.Field(default=64, ge=4)
    """Texts of a step; all of them meet each other."""
    contrastive_rate: float | None = pydantic.Field(default=None, gt=0)
    """Highest learning rate of the stage; None = the run's own."""
    temperature: float = pydantic.Field(default=0.1, gt=0)
    """How sharply ``supervised`` and ``simcse`` tell near from far: cosines are divided by it."""


@final
@dataclass(frozen=True)
class Alike(Steps):
    """Batches in which every label that a row has stands twice, where the label has two rows at all.

    A pure function of seed and step, as ``Plan`` is. Rows are dealt in twos of one label; an odd row gets a second partner of
    its label, so a pass has every row once and a few twice. Rows without a label are left out.
    """

    labels: npt.NDArray[np.int64]
    """(N) a number for each row's label, -1 = none."""
    seed: int

    def epoch(self, epoch: int) -> list[Rows]:
        """All batches of one pass, of ``batch_size`` rows each but the last."""
        random = np.random.default_rng([self.seed, epoch, 1])  # the 1 parts it from the task's own plan
        shuffled = random.permutation(np.flatnonzero(self.labels >= 0))
        shuffled = shuffled[np.argsort(self.labels[shuffled], kind="stable")]
        found, begins, counts = np.unique(self.labels[shuffled], return_index=True, return_counts=True)
        twos = []
        for begin, count in zip(begins, counts, strict=True) if len(found) else ():
            own = shuffled[begin : begin + count]
            if count % 2:
                own = np.append(own, own[0])  # of a label with one row: that row twice, once under another dropout
            twos.append(own.reshape(-1, 2))
        if not twos:
            return []
        dealt = np.concatenate(twos)
        dealt = dealt[random.permutation(len(dealt))].reshape(-1)
        size = self.batch_size - self.batch_size % 2
        return [dealt[begin : begin + size].astype(np.int64) for begin in range(0, len(dealt), size)]

    @property
    def largest(self) -> Rows:
        """The rows that need the most memory of all batches."""
        longest = np.argsort(-self.lengths, kind="stable")
        return longest[: self.batch_size].astype(np.int64)


class Contrast(nn.Module):
    """What the loop fits in this stage: the backbone alone, under one loss over the pooled vectors of a batch."""

    def __init__(self, network: Network, kind: Kind, target: str, temperature: float) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.kind: Kind = kind
        self.target = target
        """The head whose target says which rows are alike; not read by ``simcse``."""
        self.temperature = temperature
        self._network = (network,)  # in a tuple, so that its heads are no part of what learns here

    @property
    def weights(self) -> Mapping[str, float]:
        """One loss, which counts whole."""
        return {NAME: 1.0}

    def train(self, mode: bool = True) -> Contrast:
        """As the network does: the frozen part never drops out."""
        self.training = mode
        self._network[0].train(mode)
        return self

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows that have a like one in the batch."""
        return {NAME: anchors(likeness(batch.targets[self.target]))} if self.kind != "simcse" else {NAME: float(len(batch))}

    def losses(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tally[Tensor]]:
        """The summed loss over the batch's rows."""
        row = F.normalize(self._network[0].states(batch, trunk).pooled.float(), dim=-1)
        if self.kind == "simcse":
            return {NAME: simcse(row, self.temperature)}
        alike = torch.from_numpy(likeness(batch.targets[self.target]))
        return {NAME: supervised(row, alike, self.temperature) if self.kind == "supervised" else pairs(row, alike)}


def likeness(target: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(B, B) how alike the rows of a batch are, in [0, 1], 0 on the diagonal.

    Args:
        target: (B) labels, -1 = none: alike when equal; or (B, C) yes, no, unknown (1, 0, NaN): the labels that both say yes to,
            over those that one of them does and both know (Jaccard).
    """
    found: npt.NDArray[np.float32]
    if target.ndim == 1:
        found = ((target[:, None] == target[None]) & (target != MISSING)[:, None]).astype(np.float32)
    else:
        known = ~np.isnan(target)
        yes = np.nan_to_num(target) > 0.5
        both = (yes[:, None] & yes[None]).sum(-1)
        either = ((yes[:, None] | yes[None]) & known[:, None] & known[None]).sum(-1)
        found = (both / np.maximum(either, 1)).astype(np.float32)
    np.fill_diagonal(found, 0.0)
    return found


def anchors(alike: npt.NDArray[np.float32]) -> float:
    """How many rows have a like one."""
    return float((alike.sum(1) > 0).sum())


def supervised(row: Tensor, alike: Tensor, temperature: float) -> Tally[Tensor]:
    """-Σ_p w_ip log(exp(z_i·z_p/τ) / Σ_{a≠i} exp(z_i·z_a/τ)) / Σ_p w_ip, summed over the rows i that have a like one.

    Args:
        row: (B, D) of length one.
        alike: (B, B) weights w in [0, 1], 0 on the diagonal.
        temperature: τ above 0.

    Source: Khosla et al. (2020), equation 2 (L_out); weights for several labels as in Zhang et al. (2022).
    """
    near = row @ row.T / temperature
    near = near.masked_fill(torch.eye(len(row), dtype=torch.bool), float("-inf"))
    logs = near - torch.logsumexp(near, 1, keepdim=True)
    held = alike.sum(1)
    each = -(alike * logs.masked_fill(alike == 0, 0.0)).sum(1) / held.clamp(min=1e-12)
    there = held > 0
    return Tally(each[there].sum(), float(there.sum()))


def pairs(row: Tensor, alike: Tensor) -> Tally[Tensor]:
    """(cos(z_i, z_j) - w_ij)² over all pairs i < j: the mean over like pairs and the mean over unlike ones, halved and added.

    The sum is that mean times the rows that have a like one, so that it is divided by the same count as the others.

    Args:
        row: (B, D) of length one.
        alike: (B, B) in [0, 1], 0 on the diagonal.

    Source: Tunstall et al. (2022), whose sampled pairs are as often like as unlike.
    """
    upper = torch.triu(torch.ones_like(alike, dtype=torch.bool), 1)
    each = (row @ row.T - alike) ** 2
    like, unlike = each[upper & (alike > 0)], each[upper & (alike == 0)]
    parts = [part.mean() for part in (like, unlike) if len(part)]
    count = float((alike.sum(1) > 0).sum())
    mean = torch.stack(parts).mean() if parts else row.sum() * 0
    return Tally(mean * count, count)


def simcse(row: Tensor, temperature: float) -> Tally[Tensor]:
    """-log(exp(z_i·z_i'/τ) / Σ_j exp(z_i·z_j'/τ)), summed over i, in both directions and halved.

    Args:
        row: (2B, D) of length one: B texts, then the same texts under another dropout.
        temperature: τ above 0.

    Source: Gao et al. (2021), equation 4.
    """
    half = len(row) // 2
    near = row[:half] @ row[half:].T / temperature
    own = torch.arange(half)
    return Tally(F.cross_entropy(near, own, reduction="sum") + F.cross_entropy(near.T, own, reduction="sum"), float(2 * half))
