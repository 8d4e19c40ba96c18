"""One run, set up: what is to be learnt, the network that learns it, the frozen trunk below it, and where its journal stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shoplm.model import adapters
from shoplm.model.backbone import Backbone
from shoplm.model.network import Network
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.lesson import Lesson
from shoplm.pipeline.progress import Progress
from shoplm.pipeline.transfer import Ancestor
from shoplm.text.batch import Batch
from shoplm.train.journal import Journal
from shoplm.train.loop import Regularizer
from shoplm.train.plan import Plan
from shoplm.train.trunk import Trunk


@dataclass(frozen=True)
class Study:
    """All that a run works with and none of what it has reached."""

    lesson: Lesson
    config: RunConfig
    """As resolved: no None that a run would have to fill in."""
    network: Network
    trunk: Trunk | None
    """None when every layer learns."""
    journal: Journal
    progress: Progress
    ancestor: Ancestor | None = None
    """The task of another bundle that the run starts from."""

    @property
    def plan(self) -> Plan:
        """Which rows at which step."""
        fit = self.config.fit
        assert fit.epochs is not None
        assert fit.batch_size is not None
        return Plan(self.lesson.tokens.lengths[: self.lesson.train], fit.epochs, fit.batch_size, fit.token_budget, fit.seed)

    def regularizer(self, plan: Plan) -> Regularizer | None:
        """What the method adds to the steps of a plan."""
        return adapters.regularizer(self.network.backbone, self.config.adapter.method, plan.steps, self.config.fit.average)

    def batch(self, rows: npt.NDArray[np.int64]) -> tuple[Batch, Tensor | None]:
        """Some rows of the lesson as the loop takes them."""
        batch = self.lesson.tokens.batch(rows, self.network.backbone.tokenizer.pad, self.lesson.learnt)
        return batch, None if self.trunk is None else self.trunk.hidden(batch)


def set_up(
    lesson: Lesson, config: RunConfig, backbone: Backbone, journal: Journal, progress: Progress, ancestor: Ancestor | None = None
) -> Study:
    """A study of ``lesson``.

    Args:
        lesson: what there is to learn.
        config: resolved, its precision chosen.
        backbone: gets the adapter; what does not learn is frozen.
        journal: of the run.
        progress: who waits.
        ancestor: the task of another bundle that the run starts from; ``backbone`` is the one that it gave.

    Raises:
        ConfigError: the method does not fit the backbone, or the ancestor's adapter not the new one.
    """
    torch.manual_seed(config.fit.seed)
    cut = adapters.attach(backbone, config.adapter, lesson.name)
    network = Network(backbone, lesson.specs, cut)
    if ancestor is not None:
        ancestor.give_adapter(network, lesson.name)
    trunk = Trunk(network, lesson.tokens, config.fit.precision or "fp32", journal.folder / "cache") if cut else None
    return Study(lesson, config, network, trunk, journal, progress, ancestor)


def fill(study: Study) -> None:
    """Compute the frozen trunk once for all epochs, where there is one and the disk may hold it.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    trunk = study.trunk
    if trunk is None or trunk.ready:
        return
    if trunk.bytes > study.config.cache_mb << 20:
        study.progress.say(
            f"the frozen trunk's activations would take {trunk.bytes >> 20:,} MiB, more than cache_mb={study.config.cache_mb}: "
            f"computing them in every epoch"
        )
        return
    with study.progress.bar("frozen layers, once for all epochs", len(study.lesson.tokens)) as advance:
        done = 0
        for now in trunk.fill():
            advance(now - done)
            done = now
