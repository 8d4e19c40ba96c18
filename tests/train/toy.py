"""A tiny learner of two heads without any backbone, for tests of the loop alone."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from shoplm.tally import Tally
from shoplm.text.batch import Batch
from shoplm.train.loop import FitConfig
from shoplm.train.plan import Plan

ROWS, WORDS = 24, 50


class Toy(nn.Module):
    """Mean of word vectors -> a layer (with dropout) -> a class and a number."""

    weights = {"label": 1.0, "stars": 0.5}  # noqa: RUF012  (read only)

    def __init__(self, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.words = nn.Embedding(WORDS, 8)
        self.layer = nn.Linear(8, 8)
        self.drop = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({"label": nn.Linear(8, 3), "stars": nn.Linear(8, 1)})

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"label": float((batch.targets["label"] >= 0).sum()), "stars": float((~np.isnan(batch.targets["stars"])).sum())}

    def losses(self, batch, trunk=None):
        mask = torch.from_numpy(batch.mask)[..., None]
        pooled = (self.words(torch.from_numpy(batch.ids)) * mask).sum(1) / mask.sum(1)
        hidden = self.drop(torch.tanh(self.layer(pooled)))
        label, stars = torch.from_numpy(batch.targets["label"]), torch.from_numpy(batch.targets["stars"])
        known = ~torch.isnan(stars)
        error = ((self.heads["stars"](hidden)[:, 0] - torch.nan_to_num(stars)) ** 2 * known).sum()
        named = F.cross_entropy(self.heads["label"](hidden), label, ignore_index=-1, reduction="sum")
        counts = self.counts(batch)
        return {"label": Tally(named, counts["label"]), "stars": Tally(error, counts["stars"])}


def source(spoilt_at: int | None = None):
    """Rows -> batch; some targets are missing, so that micro-batches weigh differently. ``spoilt_at``: that call gives NaN stars' inputs."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, ROWS)
    ids = random.integers(1, WORDS, (ROWS, 9))
    label = random.integers(0, 3, ROWS)
    label[::3] = -1
    stars = random.normal(size=ROWS).astype(np.float32)
    stars[[1, 2, 3, 4, 5, 9]] = np.nan
    calls = 0

    def batch(rows):
        nonlocal calls
        calls += 1
        longest = lengths[rows].max()
        mask = (np.arange(longest) < lengths[rows][:, None]).astype(np.int64)
        said = stars[rows].copy()
        if calls == spoilt_at:
            said[:] = np.inf
        return Batch(ids[rows, :longest] * mask, mask, mask * 0, rows, {"label": label[rows], "stars": said}), None

    batch.lengths = lengths
    return batch


def plan(epochs: int = 3, batch_size: int = 6, seed: int = 0, token_budget: int | None = None) -> Plan:
    return Plan(source().lengths.astype(np.int64), epochs, batch_size, token_budget, seed)


def config(**options) -> FitConfig:
    plain = {"epochs": 3, "batch_size": 6, "learning_rate": 0.05, "head_rate": 0.02, "precision": "fp32", "average": 0.0, "clip": 1e9}
    return FitConfig(**{**plain, **options})


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
