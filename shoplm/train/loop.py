"""The only training loop: a generator of steps. The caller logs, judges, saves and stops.

What always holds: the gradient of a step is that of the mean loss over all its targets, however
many micro-batches it took; the random numbers of a step depend on the seed and the step alone, so
that a resumed run is the same run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from shoplm.config import Config
from shoplm.errors import ConfigError, DivergedError, ResourceError
from shoplm.model.precision import Precision, autocast
from shoplm.tally import Tally
from shoplm.text.batch import Batch
from shoplm.train.memory import trim
from shoplm.train.plan import Rows, Steps


class FitConfig(Config):
    """How long and how fast to learn. None = chosen from the method and the number of rows, and written down."""

    epochs: int | None = pydantic.Field(default=None, ge=1)
    """Passes over the train rows, at least 1."""
    batch_size: int | None = pydantic.Field(default=None, ge=1)
    """Rows of one optimizer step, at most."""
    token_budget: int | None = pydantic.Field(default=None, ge=1)
    """Tokens of one optimizer step, padding included, at most; None = as many as ``batch_size`` rows have."""
    learning_rate: float | None = pydantic.Field(default=None, gt=0)
    """Highest rate of the backbone's weights."""
    head_rate: float | None = pydantic.Field(default=None, gt=0)
    """Highest rate of the heads; None = 2.5 times ``learning_rate`` for ``full``, the same otherwise."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = pydantic.Field(default=0.01, ge=0)
    """Decoupled decay of the backbone's matrices; biases, norms and heads never decay."""
    warmup: float = pydantic.Field(default=0.06, ge=0, lt=1)
    """Share of all steps over which the rate rises, [0, 1)."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls to zero after the warm-up."""
    clip: float = pydantic.Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    accumulate: int | None = pydantic.Field(default=None, ge=1)
    """Micro-batches of one optimizer step: it changes the memory, never the sum that is learnt from. None = as many as keep each to 8,192 tokens."""
    average: float = pydantic.Field(default=0.3, ge=0, lt=1)
    """Share of all steps, [0, 1), over whose end the weights are averaged: that mean answers. 0 = the last weights do."""
    seed: int = pydantic.Field(default=0, ge=0, lt=2**63)
    keep: Literal["best", "last"] | None = None
    """Which epoch's weights answer: the ``best`` on validation, or the ``last``; None = the last when rows are few
    and no patience is set, for then a validation split that can choose would be larger than what is learnt from."""
    patience: int | None = pydantic.Field(default=None, ge=1)
    """Stop after so many epochs without a better validation; None = run all epochs."""
    precision: Precision | None = None
    """fp32 or bf16 (autocast); None = the faster one, measured at the start."""


MICRO_TOKENS = 8192
"""Padded tokens of one micro-batch where the settings name no number of them: 64 rows of 128. What a step must remember grows with the
square of a row's length, so a batch of the longest rows alone would need several times the memory of all others."""


HEADS = ("heads.", "networks.")
"""How the names of head weights begin: in one task's model, and in one of several tasks, whose backbone is named apart from their networks."""


class Learner(Protocol):
    """What can be fitted."""

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each head's mean loss counts."""
        ...

    def counts(self, batch: Batch) -> dict[str, float]:
        """What each head's loss will be summed over."""
        ...

    def losses(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tally[Tensor]]:
        """Summed loss of each head."""
        ...


class Regularizer(Protocol):
    """What a method adds to every step beside the heads' losses (AdaLoRA does)."""

    def penalty(self) -> Tensor:
        """A scalar that is descended together with the loss."""
        ...

    def after(self, step: int) -> None:
        """Called after the optimizer moved in step ``step``, counted from 0, while the gradients still stand."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs of it."""
        ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        ...


@dataclass(frozen=True)
class Step:
    """One optimizer step, done."""

    number: int
    """Counted from 1."""
    epoch: int
    """Counted from 1."""
    losses: Mapping[str, Tally[float]]
    """For each head its summed loss and the targets that it was summed over."""
    loss: float
    """The mean losses of the heads, weighted and added: what the step descended."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""
    tokens: int
    seconds: float
    ends_epoch: bool


@dataclass
class State:
    """Where a run stands; with the model's weights, all that a resumed run needs."""

    optimizer: torch.optim.Optimizer
    step: int = 0
    mean: dict[str, Tensor] = field(default_factory=dict)
    """The mean of the learning weights over the steps averaged so far."""
    averaged: int = 0
    regularizer: Regularizer | None = None


Source = Callable[[Rows], tuple[Batch, Tensor | None]]
"""The batch of some rows, and what the frozen trunk computed of it, if that is kept."""


def start(model: nn.Module, config: FitConfig, regularizer: Regularizer | None = None) -> State:
    """A fresh optimizer over what learns, and what the method adds to its steps.

    Raises:
        ConfigError: nothing learns.
    """
    assert config.learning_rate is not None
    head_rate = config.head_rate if config.head_rate is not None else config.learning_rate
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(HEADS), parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise ConfigError("nothing learns with these settings; choose another `method`")
    listed: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": head_rate if in_head else config.learning_rate,
            "peak": head_rate if in_head else config.learning_rate,
            "weight_decay": config.weight_decay if decays and not in_head else 0.0,
        }
        for (in_head, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    if config.optimizer == "adamw":
        return State(torch.optim.AdamW(listed, fused=True), regularizer=regularizer)
    return State(torch.optim.SGD(listed, momentum=0.9), regularizer=regularizer)


def fit(model: nn.Module, source: Source, plan: Steps, config: FitConfig, state: State) -> Iterator[Step]:
    """Learn step by step from ``state.step`` to the end of the plan.

    Args:
        model: a ``Learner``; its parameters change.
        source: rows -> batch.
        plan: which rows at which step.
        config: resolved (no None but ``patience`` and ``token_budget``).
        state: changed with every step.

    Raises:
        DivergedError: the loss is NaN, infinite or exploded; the weights are those before that step.
    """
    learner: Any = model
    precision: Precision = config.precision or "fp32"
    first: float | None = None
    while state.step < plan.steps:
        begin = time.perf_counter()
        if not model.training:  # walking all modules at every step would cost a twentieth of it
            model.train()
        rate = _rate(state.step, plan.steps, config)
        for group in state.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        torch.manual_seed(_mixed(config.seed, state.step))
        batch, trunk = source(plan.rows(state.step))
        losses = gradient(learner, batch, trunk, config.accumulate, precision)
        if state.regularizer is not None:
            state.regularizer.penalty().backward()  # type: ignore[no-untyped-call]
        mean = weighted(losses, learner.weights)
        first = mean if first is None else first
        if not math.isfinite(mean) or mean > 100 * max(first, 1.0):
            raise DivergedError(_diverged(mean, first, state.step + 1, config))
        norm = float(torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], config.clip))
        if not math.isfinite(norm):
            raise DivergedError(_diverged(norm, first, state.step + 1, config))
        state.optimizer.step()
        if state.regularizer is not None:
            state.regularizer.after(state.step)
        state.optimizer.zero_grad(set_to_none=True)
        epoch, _ = plan.place(state.step)
        state.step += 1
        if state.step > plan.steps * (1 - config.average):
            _average(model, state)
        trim(state.step)
        ends = state.step == int(plan.starts[epoch + 1])
        assert config.learning_rate is not None
        yield Step(
            state.step, epoch + 1, losses, mean, config.learning_rate * rate, norm, int(batch.mask.sum()), time.perf_counter() - begin, ends
        )


def _average(model: nn.Module, state: State) -> None:
    """Take the weights of this step into their running mean (Izmailov et al., 2018)."""
    state.averaged += 1
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                if name in state.mean:
                    state.mean[name].lerp_(parameter, 1 / state.averaged)
                else:
                    state.mean[name] = parameter.detach().clone()


def rehearse(model: nn.Module, source: Source, plan: Steps, config: FitConfig) -> float:
    """The largest batch forwards and backwards once, without learning: memory runs out here or never.

    Returns:
        Seconds it took.

    Raises:
        ResourceError: the memory was not enough.
    """
    begin = time.perf_counter()
    rows = plan.largest
    try:
        model.train()
        torch.manual_seed(_mixed(config.seed, -1))
        batch, trunk = source(rows)
        gradient(model, batch, trunk, config.accumulate, config.precision or "fp32")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        longest = int(plan.lengths[rows].max())
        raise ResourceError(
            f"memory: a batch of {len(rows)} rows of up to {longest} tokens does not fit; set accumulate=4, or a smaller batch_size or max_length"
        ) from None
    finally:
        model.zero_grad(set_to_none=True)
    return time.perf_counter() - begin


def weighted(losses: Mapping[str, Tally[float]], weights: Mapping[str, float]) -> float:
    """The heads' mean losses, weighted and added; a head without targets adds nothing."""
    return sum(weights[name] * tally.mean for name, tally in losses.items() if tally.count)


def gradient(model: Any, batch: Batch, trunk: Tensor | None, accumulate: int | None, precision: Precision) -> dict[str, Tally[float]]:
    """Leave in ``.grad`` the gradient of the step's loss; returns the losses.

    The loss is the weighted sum over heads of each head's mean over the whole step: each micro-batch
    is divided by the whole step's count, so that halves of unequal weight still add up to the whole.
    """
    whole: dict[str, float] = model.counts(batch)
    pieces = np.array_split(np.arange(len(batch)), min(accumulate or -(-batch.ids.size // MICRO_TOKENS) or 1, len(batch)))
    found = dict.fromkeys(whole, Tally(0.0, 0.0))
    for piece in pieces:
        part = batch if len(pieces) == 1 else batch.take(piece)
        kept = trunk if trunk is None or len(pieces) == 1 else trunk[torch.from_numpy(piece), : part.ids.shape[1]]
        with autocast(precision):
            losses: dict[str, Tally[Tensor]] = model.losses(part, kept)
        terms = [model.weights[name] * tally.total / whole[name] for name, tally in losses.items() if tally.count]
        if terms:
            torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        for name, tally in losses.items():
            found[name] += Tally(float(tally.total.detach()), tally.count)
    return found


def _rate(step: int, steps: int, config: FitConfig) -> float:
    """The share of the highest rate at a step, in (0, 1]."""
    warm = math.ceil(config.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    left = (steps - step) / max(1, steps - warm)
    if config.schedule == "linear":
        return left
    if config.schedule == "cosine":
        return 0.5 * (1 - math.cos(math.pi * left))
    return 1.0


def _mixed(seed: int, step: int) -> int:
    """A seed for one step that shares nothing with its neighbours'."""
    return int(np.random.SeedSequence([seed, step + 1]).generate_state(1, np.uint64)[0] >> 1)


def _diverged(seen: float, first: float, step: int, config: FitConfig) -> str:
    assert config.learning_rate is not None
    return (
        f"training: the loss became {seen:.4g} at step {step} (it began at {first:.4g}); "
        f"try learning_rate={config.learning_rate / 4:.1g}, now {config.learning_rate:.1g}"
    )
