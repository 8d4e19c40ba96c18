"""The contrastive stage of a run: before the heads begin, the backbone learns which rows belong together."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from shoplm.errors import ConfigError
from shoplm.model import adapters
from shoplm.model.specs import Choice, Labels
from shoplm.pipeline import describe
from shoplm.pipeline.study import Study
from shoplm.tally import Tally
from shoplm.text.batch import Batch
from shoplm.train import checkpoint, loop
from shoplm.train.contrast import NAME, Alike, Contrast, Kind
from shoplm.train.plan import Plan, Steps

FOLDER = "contrastive"
"""Beside the run's own checkpoint: that of this stage."""


def warm(study: Study, rows: npt.NDArray[np.int64], folder: Path | None) -> None:
    """Run the stage, where the settings ask for one: the network's backbone changes, its heads do not.

    Args:
        study: its trunk is filled.
        rows: the rows of the lesson that may be learnt from.
        folder: where the stage is saved and, if it was broken off, goes on from; None = it is not saved.

    Raises:
        ConfigError: the stage has nothing to learn, or nothing to learn from.
        DivergedError: the loss exploded.
        ResourceError: the disk is full.
    """
    said, lesson = study.config.contrast, study.lesson
    if said.contrastive is None:
        return
    fit = _fit_of(study)
    target = _target(study, said.contrastive)
    learner = Contrast(study.network, said.contrastive, target, said.temperature)
    if not adapters.trainable(learner):
        raise ConfigError(
            f"`contrastive`={said.contrastive} draws texts together in the backbone, of which method={study.config.adapter.method} "
            f"learns nothing; choose another method"
        )
    lengths = lesson.tokens.lengths[rows]
    plan: Steps
    if said.contrastive == "simcse":
        plan = Plan(lengths, said.contrastive_epochs, said.contrastive_batch_size // 2, None, fit.seed)
    else:
        plan = Alike(lengths, said.contrastive_epochs, said.contrastive_batch_size, _groups(lesson.targets[target][rows]), fit.seed)
    source = _source(study, rows, twice=said.contrastive == "simcse")
    if not plan.steps:
        raise ConfigError(f"`contrastive`={said.contrastive}: no row has a label; give labels, or use contrastive=simcse dropout=0.1")
    if folder is not None:  # else it is a repetition, of a size that is known
        study.progress.say(f"contrastive stage, {said.contrastive}: {describe.estimate(loop.rehearse(learner, source, plan, fit), plan)}")
    state = loop.start(learner, fit)
    if folder is not None and (folder / checkpoint.FILE).is_file():
        checkpoint.load(folder, learner, state)
        study.progress.say(f"contrastive stage resumed after step {state.step} of {plan.steps}")
    _steps(study, learner, plan, fit, state, source, folder)
    if state.mean:
        checkpoint.restore(learner, state.mean)


def _steps(
    study: Study,
    learner: Contrast,
    plan: Steps,
    fit: loop.FitConfig,
    state: loop.State,
    source: Callable[[npt.NDArray[np.int64]], tuple[Batch, Tensor | None]],
    folder: Path | None,
) -> None:
    total, saved = Tally(0.0, 0.0), time.monotonic()
    with study.progress.bar(f"{study.lesson.name}: contrastive stage", plan.steps) as advance:
        advance(state.step)
        for step in loop.fit(learner, source, plan, fit, state):
            advance(1)
            total += step.losses[NAME]
            last = step.number == plan.steps
            if step.ends_epoch and total.count:
                study.progress.say(f"contrastive pass {step.epoch}, {learner.kind} loss: {total.mean:.3f}")
                total = Tally(0.0, 0.0)
            if folder is not None and (last or time.monotonic() - saved >= study.config.checkpoint_seconds):
                checkpoint.save(folder, learner, state, {}, {})
                saved = time.monotonic()


def _fit_of(study: Study) -> loop.FitConfig:
    """The run's own settings, with the stage's rate; in one piece, since every row of a batch meets all others."""
    fit, rate = study.config.fit, study.config.contrast.contrastive_rate
    return fit.model_copy(update={"accumulate": 1, "learning_rate": rate or fit.learning_rate})


def _source(study: Study, rows: npt.NDArray[np.int64], *, twice: bool) -> Callable[[npt.NDArray[np.int64]], tuple[Batch, Tensor | None]]:
    return lambda chosen: study.batch(rows[np.concatenate([chosen, chosen]) if twice else chosen])


def _target(study: Study, kind: Kind) -> str:
    """The head whose labels say which rows belong together.

    Raises:
        ConfigError: no head has labels, or no dropout makes two of one text.
    """
    named = [name for name, spec in study.lesson.specs.items() if isinstance(spec, Choice | Labels)]
    if kind == "simcse":
        if study.config.adapter.dropout == 0:
            raise ConfigError("`contrastive`=simcse tells a text from others by two dropouts of it, and dropout is 0; set dropout=0.1")
        return ""
    if not named:
        raise ConfigError(
            f"`contrastive`={kind} needs labels, and {study.lesson.name} learns numbers alone; use contrastive=simcse dropout=0.1"
        )
    return named[0]


def _groups(target: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """(N) by which rows are dealt in twos: the label, or of several labels the rarest; -1 = none."""
    if target.ndim == 1:
        return target.astype(np.int64)
    yes = np.nan_to_num(target.astype(np.float32)) > 0.5
    rarity = np.where(yes, yes.sum(0)[None].astype(np.float64), np.inf)
    return np.where(yes.any(1), rarity.argmin(1), -1).astype(np.int64)
