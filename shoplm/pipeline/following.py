"""The sequence model learns: what shoppers did, in its order -> ``retrieve.following.Following``.

How many passes it takes is judged on what each shopper did next, which is not learnt from. Once that is known the same weights
learn on, from all acts, for a quarter of those passes at falling rate: what was held out is known then, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from shoplm.apps.fitting import ndcg
from shoplm.apps.recommend import RecommendConfig
from shoplm.model.behaviour import NEXT, Behaviour, BehaviourConfig
from shoplm.pipeline.progress import Progress, Silent
from shoplm.retrieve.following import Following
from shoplm.retrieve.histories import Float32, Histories, Int32
from shoplm.text.batch import Batch
from shoplm.train import checkpoint, loop
from shoplm.train.plan import Plan, Rows

JUDGED = 4_000
"""Shoppers that a pass is judged on, at most."""
PATIENCE = 3
"""Passes without a better one after which learning ends."""
NEGATIVES = 512
"""Items that each step's wanted ones are told from; all of them took three times as long for the same lists."""
ROWS = 256
"""Shoppers of a step, at most."""
TOKENS = 2_048
"""Acts of a step, padding included, at most."""


@dataclass(frozen=True)
class Next:
    """What is learnt from: of each shopper with two acts or more the last ones, and of each act the one after it."""

    histories: Histories
    last: int

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(S) acts that are read of each shopper: the last one has nothing after it."""
        found: npt.NDArray[np.int64] = np.minimum(self.histories.lengths - 1, self.last)
        return found

    def __call__(self, rows: Rows) -> tuple[Batch, None]:
        """The batch of some shoppers, padded on the right."""
        sizes, known = self.lengths[rows], self.histories
        place = np.arange(int(sizes.max(initial=1)))[None, :]
        there = place < sizes[:, None]
        at = np.where(there, known.start[rows + 1, None] - 1 - sizes[:, None] + place, 0)
        ids = np.where(there, known.items[at], 0).astype(np.int64)
        after = np.where(there, known.items[np.where(there, at + 1, 0)], -1).astype(np.int64)
        return Batch(ids, there.astype(np.int64), np.zeros_like(ids), np.asarray(rows, np.int64), {NEXT: after}), None


def learn(
    histories: Histories, wanted: Int32, items: int, texts: Float32 | None, config: RecommendConfig, progress: Progress | None = None
) -> Following:
    """From nothing.

    Args:
        histories: what S shoppers did, oldest first.
        wanted: (S) the item that each took next: it judges the passes and is not learnt from.
        items: N.
        texts: (N, T) vectors of the items' texts; None = nothing is known in words.
        config: settings.
        progress: who waits.

    Returns:
        What the best pass knew.

    Raises:
        DivergedError: the loss exploded.
    """
    waits, source = progress or Silent(), _next(histories, config)
    torch.manual_seed(config.seed)
    network = Behaviour(items, _shape(config), source.histories.counts(items), texts)
    fit = _fit(config, config.passes, config.sequence_rate)
    rows = np.linspace(0, len(histories) - 1, min(len(histories), JUDGED)).astype(int)
    asked, taken = histories.take(rows), wanted[rows]
    best, found = -1.0, answering(network, config, 0)
    plan = Plan(source.lengths, config.passes, ROWS, TOKENS, config.seed)
    with waits.bar("sequence model", plan.steps) as moved:
        for step in loop.fit(network, source, plan, fit, loop.start(network, fit)):
            moved(1)
            if step.ends_epoch:
                now = answering(network, config, step.epoch)
                quality = ndcg(now, asked, taken, config)
                waits.say(f"sequence model, pass {step.epoch}: loss {step.loss:.3f}, NDCG at 10 {quality:.4f}")
                if quality > best:
                    best, found = quality, now
                elif step.epoch - found.passes >= PATIENCE:
                    break
    return found


def further(
    known: Following, histories: Histories, texts: Float32 | None, config: RecommendConfig, progress: Progress | None = None
) -> Following:
    """From what was learnt before, with more acts on the same items."""
    waits, source = progress or Silent(), _next(histories, config)
    items = len(known.vectors)
    network = Behaviour(items, _shape(config), source.histories.counts(items), texts)
    checkpoint.restore(network, {name: torch.from_numpy(value) for name, value in known.weights.items()})
    passes = max(1, math.ceil(known.passes * config.further))
    fit = _fit(config, passes, config.sequence_rate / 2).model_copy(update={"schedule": "linear", "warmup": 0.0})
    plan = Plan(source.lengths, passes, ROWS, TOKENS, config.seed + 1)
    with waits.bar("sequence model, all acts", plan.steps) as moved:
        for _ in loop.fit(network, source, plan, fit, loop.start(network, fit)):
            moved(1)
    return answering(network, config, known.passes)


def answering(network: Behaviour, config: RecommendConfig, passes: int) -> Following:
    """What a network knows, as a source."""
    with torch.no_grad():
        vectors = network.vectors().float().numpy().copy()
        weights = {name: value.float().numpy().copy() for name, value in network.named_parameters()}
    return Following(vectors, weights, network.config.depth, network.config.heads, network.config.last, passes, max(400, config.most))


def _next(histories: Histories, config: RecommendConfig) -> Next:
    return Next(histories.take(np.flatnonzero(histories.lengths > 1)), config.last)


def _shape(config: RecommendConfig) -> BehaviourConfig:
    return BehaviourConfig(width=config.width, depth=config.depth, heads=2, last=config.last, dropout=config.dropout, negatives=NEGATIVES)


def _fit(config: RecommendConfig, passes: int, rate: float) -> loop.FitConfig:
    return loop.FitConfig(
        epochs=passes, batch_size=ROWS, token_budget=TOKENS, learning_rate=rate, schedule="cosine", average=0.0, accumulate=1,
        seed=config.seed, precision="fp32",
    )  # fmt: skip
