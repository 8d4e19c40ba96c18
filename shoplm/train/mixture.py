"""Several tasks in one run: which task's rows at which step, and how far their gradients pull against each other.

A batch holds rows of one task, and tasks take turns (as in MT-DNN, Liu et al., 2019), so that each keeps its own
batch size, features and adapter. How often a task has its turn follows from its rows and a temperature.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt
import pydantic
import torch
from torch import Tensor, nn

from shoplm.config import Config
from shoplm.model.precision import Precision
from shoplm.text.batch import Batch
from shoplm.train.loop import gradient
from shoplm.train.plan import Plan, Rows, Steps

Sharing = Literal["own", "shared", "both", "best"]


class MixtureConfig(Config):
    """How several tasks of one run share what learns."""

    sharing: Sharing = "own"
    """``own``: each task its own adapter, one after another; ``shared``: one adapter (or, with ``full``, one backbone) for all,
    learnt together; ``both``: a shared one and an own one, added (``lora``); ``best``: each of them, and validation chooses."""
    mixing_temperature: float = pydantic.Field(default=1.0, ge=1)
    """A task's share of the steps is proportional to rows^(1/temperature): 1 = as its rows, large = all tasks alike."""


@final
@dataclass(frozen=True)
class Mixture(Steps):
    """Batches of several plans in one stream. Rows are counted through: those of the first plan, then those of the second, …"""

    plans: tuple[Plan, ...]
    """One a task; each shuffles its rows anew whenever it has gone through them."""
    temperature: float
    seed: int

    @classmethod
    def of(cls, plans: tuple[Plan, ...], temperature: float, seed: int) -> Mixture:
        """The mixture of some plans that agree on epochs and batch size."""
        lengths = np.concatenate([plan.lengths for plan in plans])
        return cls(lengths, plans[0].epochs, plans[0].batch_size, plans, temperature, seed)

    @functools.cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(T + 1) where the rows of each plan begin, and the end."""
        return np.concatenate([[0], np.cumsum([len(plan.lengths) for plan in self.plans])]).astype(np.int64)

    @functools.cached_property
    def turns(self) -> npt.NDArray[np.int64]:
        """(T) batches of each plan in one epoch, at least one; together as many as the plans have alone, but for rounding."""
        alone = np.array([len(plan.epoch(0)) for plan in self.plans])
        rows = np.array([len(plan.lengths) for plan in self.plans], float)
        # the share is of rows, a turn is a batch: plans with smaller batches need more turns for the same rows
        share = rows ** (1 / self.temperature) * (alone / rows)
        turns: npt.NDArray[np.int64] = np.maximum(1, np.round(alone.sum() * share / share.sum())).astype(np.int64)
        return turns

    def task(self, rows: Rows) -> tuple[int, Rows]:
        """Which plan's rows these are, and what that plan calls them."""
        at = int(np.searchsorted(self.offsets, rows[0], side="right")) - 1
        return at, rows - self.offsets[at]

    def epoch(self, epoch: int) -> list[Rows]:
        """All batches of one epoch, the tasks' turns shuffled."""
        turns = self.turns
        streams = [_stream(plan, epoch * int(count), int(count)) for plan, count in zip(self.plans, turns, strict=True)]
        order = np.random.default_rng([self.seed, epoch, len(self.plans)]).permutation(np.repeat(np.arange(len(self.plans)), turns))
        offsets = self.offsets
        return [next(streams[at]) + offsets[at] for at in order]

    @property
    def largest(self) -> Rows:
        """The rows that need the most memory of all batches."""
        found = [(plan.largest, offset) for plan, offset in zip(self.plans, self.offsets[:-1], strict=True)]
        costs = [len(rows) * int(plan.lengths[rows].max()) for (rows, _), plan in zip(found, self.plans, strict=True)]
        rows, offset = found[int(np.argmax(costs))]
        widest: Rows = rows + offset
        return widest


def _stream(plan: Plan, begin: int, count: int) -> Iterator[Rows]:
    """``count`` batches from the ``begin``-th on, of a plan that begins anew as often as needed."""
    done, epoch = 0, 0
    while done < begin + count:
        batches = plan.epoch(epoch)
        yield from batches[max(0, begin - done) : begin + count - done]
        done, epoch = done + len(batches), epoch + 1


def conflicts(learner: Any, parts: Mapping[str, tuple[Batch, Tensor | None]], precision: Precision) -> npt.NDArray[np.float64]:
    """(T, T) cosines between the gradients of the tasks' losses, over the weights that all of them share.

    Below 0 a step that helps one task hurts the other (Yu et al., 2020). Gradients are left empty.

    Args:
        learner: a ``Learner`` whose ``shared`` are the weights that all tasks move.
        parts: for each task a batch of its rows, and what the frozen trunk computed of it.
        precision: of the passes.
    """
    model: nn.Module = learner
    was = model.training
    model.eval()  # two gradients of one batch are the same gradient
    found = []
    for batch, trunk in parts.values():
        model.zero_grad(set_to_none=True)
        gradient(learner, batch, trunk, None, precision)
        found.append(torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten().double() for p in learner.shared]))
    model.zero_grad(set_to_none=True)
    model.train(was)
    stacked = torch.nn.functional.normalize(torch.stack(found), dim=1)
    cosines: npt.NDArray[np.float64] = (stacked @ stacked.T).numpy()
    return cosines
