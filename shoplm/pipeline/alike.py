"""Vectors of items' texts learn which items go together, and become a source: each item's nearest by text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from shoplm.apps.recommend import RecommendConfig
from shoplm.model.itemvec import ItemVectorConfig, ItemVectors
from shoplm.pipeline.progress import Progress, Silent
from shoplm.retrieve.histories import Float32, Histories
from shoplm.text.batch import Batch
from shoplm.train import loop
from shoplm.train.plan import Plan, Rows

WINDOW = 5
"""Acts that two acts of a pair may be apart."""
PAIRS = 512
"""Of a step: each item of a pair is told from as many others."""
STEPS = 600
"""About as many, however many pairs there are: of more pairs than these steps take, some are drawn."""
RATE = 4e-3


@dataclass(frozen=True)
class Together:
    """(P, 2) codes of two items that one shopper acted on."""

    codes: npt.NDArray[np.int64]

    def __call__(self, rows: Rows) -> tuple[Batch, None]:
        """The batch of some pairs."""
        ids = self.codes[rows]
        ones = np.ones_like(ids)
        return Batch(ids, ones, ones * 0, np.asarray(rows, np.int64)), None


def pairs(histories: Histories, window: int = WINDOW) -> npt.NDArray[np.int64]:
    """(P, 2) every two acts of one shopper on two items, at most ``window`` apart, the earlier first."""
    owner, items = histories.owner, histories.items
    found = [np.zeros((0, 2), np.int64)]
    for apart in range(1, window + 1):
        same = np.flatnonzero((owner[apart:] == owner[:-apart]) & (items[apart:] != items[:-apart]))
        found.append(np.stack([items[same], items[same + apart]], 1).astype(np.int64))
    return np.concatenate(found)


def learn(histories: Histories, texts: Float32, config: RecommendConfig, progress: Progress | None = None) -> Float32:
    """(N, D) vectors of all items, of length one: near where texts go together.

    Args:
        histories: what shoppers did.
        texts: (N, T) vectors of the items' texts.
        config: settings.
        progress: who waits.

    Raises:
        DivergedError: the loss exploded.
    """
    waits, known = progress or Silent(), pairs(histories)
    if len(known) > STEPS * PAIRS:
        known = known[np.random.default_rng(config.seed).choice(len(known), STEPS * PAIRS, replace=False)]
    torch.manual_seed(config.seed)
    network = ItemVectors(texts, np.bincount(known.ravel(), minlength=len(texts)), ItemVectorConfig())
    if len(known) > 1:
        passes = max(1, min(20, round(STEPS * PAIRS / len(known))))
        plan = Plan(np.full(len(known), 2), passes, PAIRS, None, config.seed)
        fit = loop.FitConfig(
            epochs=passes, batch_size=PAIRS, learning_rate=RATE, schedule="linear", average=0.0, accumulate=1, seed=config.seed,
            precision="fp32", warmup=0.02,
        )  # fmt: skip
        source: Any = Together(known)
        with waits.bar("item vectors", plan.steps) as moved:
            for _ in loop.fit(network, source, plan, fit, loop.start(network, fit)):
                moved(1)
    return network.vectors()
