"""Several tasks learnt in one run, from one mixture of batches: what ``learning`` is for one task."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoplm.errors import ConfigError
from shoplm.model import adapters
from shoplm.model.backbone import Backbone
from shoplm.model.joint import SHARED, Joint, of_task
from shoplm.model.network import Network
from shoplm.pipeline import choosing, describe, resuming
from shoplm.pipeline.config import RunConfig, resolve
from shoplm.pipeline.driving import Way, drive, estimated
from shoplm.pipeline.learning import Learnt
from shoplm.pipeline.lesson import Lesson
from shoplm.pipeline.progress import Progress
from shoplm.pipeline.resuming import Course, Unfinished
from shoplm.pipeline.study import Study, fill
from shoplm.text.batch import Batch
from shoplm.train import checkpoint, loop, start
from shoplm.train.journal import Journal
from shoplm.train.mixture import Mixture, Sharing, conflicts
from shoplm.train.plan import Rows
from shoplm.train.trunk import Trunk

LOOKED_AT = 64
"""Train rows of each task, at most, whose gradient says how far tasks pull against each other."""


@dataclass(frozen=True)
class Together:
    """Several tasks, or one, at the end of one way of sharing."""

    sharing: Sharing
    backbone: Backbone
    learnt: Mapping[str, Learnt]
    folder: Path

    @property
    def value(self) -> float:
        """How good the weights that answer are by validation, each task by its own measure, on average over the tasks."""
        return float(np.mean([learnt.course.best.value for learnt in self.learnt.values()]))

    def end(self, tried: Sequence[Together]) -> None:
        """After the bundle is written: the reports, and what finished runs, these and the others tried, no longer need goes."""
        for learnt in self.learnt.values():
            learnt.end()
        for one in tried:
            for folder in (one.folder, *(learnt.study.journal.folder for learnt in one.learnt.values())):
                resuming.tidy(folder)


def ways_of(config: RunConfig) -> tuple[Sharing, ...]:
    """The ways of sharing that a run tries.

    Raises:
        ConfigError: there is but one.
    """
    said, method = config.mixture.sharing, config.adapter.method
    if said != "best":
        return (said,)
    if method == "full":
        raise ConfigError(
            "`sharing`=best with method=full: one backbone cannot be tuned for each task apart; set sharing=shared, or method=lora"
        )
    return ("own", "shared", "both") if method == "lora" and not config.adapter.use_dora else ("own", "shared")


@dataclass(frozen=True)
class Company:
    """All that a run of several tasks works with: their studies, which share a configuration, and the model that learns them."""

    studies: Mapping[str, Study]
    config: RunConfig
    joint: Joint
    journal: Journal
    progress: Progress

    @functools.cached_property
    def plan(self) -> Mixture:
        """Which task's rows at which step."""
        plans = tuple(study.plan for study in self.studies.values())
        return Mixture.of(plans, self.config.mixture.mixing_temperature, self.config.fit.seed)

    def batch(self, rows: Rows) -> tuple[Batch, Tensor | None]:
        """Rows of the mixture as the loop takes them."""
        at, own = self.plan.task(rows)
        name, study = list(self.studies.items())[at]
        batch, trunk = study.batch(own)
        return of_task(name, batch), trunk

    def conflict(self) -> dict[str, float]:
        """``a|b`` → the cosine between the gradients of two tasks on the weights they share, over the first of each one's train rows."""
        parts = {}
        for name, study in self.studies.items():
            batch, trunk = study.batch(np.arange(min(LOOKED_AT, study.lesson.train), dtype=np.int64))
            parts[name] = (of_task(name, batch), trunk)
        names, cosines = list(parts), conflicts(self.joint, parts, self.config.fit.precision or "fp32")
        return {f"{a}|{b}": float(cosines[i, j]) for i, a in enumerate(names) for j, b in enumerate(names) if i < j}


def learn_together(
    lessons: Sequence[Lesson],
    config: RunConfig,
    backbone: Backbone,
    folder: Path,
    unfinished: Unfinished,
    progress: Progress,
    sharing: Sharing,
) -> Together:
    """Fine-tune ``backbone`` on several lessons at once.

    Args:
        lessons: one a task.
        config: the run's settings; what they leave open is chosen here.
        backbone: gets the adapters and learns.
        folder: the run's journal; each task's report stands in a folder of its name inside.
        unfinished: whether to go on with the run that stands in ``folder``.
        progress: who waits.
        sharing: ``shared`` or ``both``.

    Raises:
        ConfigError: a setting does not fit the backbone, or is not that of the run to go on with.
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    if config.contrast.contrastive is not None:
        raise ConfigError(f"`contrastive`={config.contrast.contrastive} is a stage of one task; leave it out, or set sharing=own")
    resolved = resolve(config, sum(lesson.train for lesson in lessons), backbone.depth)
    digest = hashlib.sha256("".join(lesson.prepared.digest for lesson in lessons).encode()).hexdigest()
    resolved, resumed = resuming.entered(folder, digest, resolved, unfinished, progress)
    learnt = _work(_set_up(lessons, resolved, backbone, folder, progress, sharing), digest, resumed=resumed)
    return Together(sharing, backbone, learnt, folder)


def _set_up(
    lessons: Sequence[Lesson], config: RunConfig, backbone: Backbone, folder: Path, progress: Progress, sharing: Sharing
) -> Company:
    torch.manual_seed(config.fit.seed)
    own = {lesson.name: f"{lesson.name}-own" for lesson in lessons} if sharing == "both" else {}
    cut = (
        adapters.attach_pairs(backbone, config.adapter, SHARED, list(own.values()))
        if own
        else adapters.attach(backbone, config.adapter, SHARED)
    )
    studies = {}
    for lesson in lessons:
        network = Network(backbone, lesson.specs, cut)
        trunk = Trunk(network, lesson.tokens, config.fit.precision or "fp32", folder / "cache") if cut else None
        studies[lesson.name] = Study(lesson, config, network, trunk, Journal(folder / lesson.name), progress)
    return Company(studies, config, Joint({name: study.network for name, study in studies.items()}, own), Journal(folder), progress)


def _work(company: Company, digest: str, *, resumed: bool) -> dict[str, Learnt]:
    config, joint, progress, plan = company.config, company.joint, company.progress, company.plan
    learning = list(adapters.trainable(joint).values())
    for study in company.studies.values():
        lesson = study.lesson
        progress.say(describe.rows_line(lesson.task.subject, lesson.prepared, lesson.train, len(lesson.valid_rows)))
    progress.say(adapters.described(config.adapter, learning, sum(p.numel() for p in joint.parameters())))
    turns = ", ".join(f"{name} {count:,}" for name, count in zip(company.studies, plan.turns, strict=True))
    progress.say(f"steps an epoch: {turns} (mixing_temperature={config.mixture.mixing_temperature:g})")
    progress.say(estimated(joint, company.batch, plan, config.fit))
    for study in company.studies.values():
        fill(study)
    shares = {name: study.lesson.train for name, study in company.studies.items()}
    facts = {
        "rows_digest": digest, "precision": config.fit.precision, "config": config.plain(), "tasks": shares, "seed": config.fit.seed,
        "backbone": {"name": joint.backbone.name, "digest": joint.backbone.digest}, "learning_parameters": sum(p.numel() for p in learning),
    }  # fmt: skip
    state = loop.start(joint, config.fit, adapters.regularizer(joint.backbone, config.adapter.method, plan.steps, config.fit.average))
    course, folder = Course(), company.journal.folder
    after = resumed and resuming.saved(folder)
    if after:
        course = resuming.restored(folder, joint, state, plan.steps, progress)
    resuming.opened(company.journal, config, facts, state.step)
    with resuming.left_behind(company.journal):
        if not after:
            for name, study in company.studies.items():
                joint.choose(name)
                lesson = study.lesson
                start.heads_from_features(study.network, lesson.tokens, lesson.learnt, lesson.train, study.trunk, config.fit)
        drive(_way(company, state), joint, company.batch, plan, state, course)
    if course.best.weights:
        checkpoint.restore(joint, course.best.weights)
    return _ended(company, course)


def _way(company: Company, state: loop.State) -> Way:
    """How the steps of several tasks are said, judged and saved."""
    config, names = company.config, " + ".join(company.studies)

    def judge(step: loop.Step, course: Course) -> dict[str, Any]:
        found: dict[str, Any] = {"train_loss": loop.weighted(course.losses, company.joint.weights)}
        values = []
        with checkpoint.answering(company.joint, state) as weights:
            for name, study in company.studies.items():
                company.joint.choose(name)
                if len(study.lesson.valid_rows):
                    value, said = choosing.judged(study)
                    values.append(value)
                    found |= {f"valid_{name}/{metric[6:]}": number for metric, number in said.items()}
            apart = company.conflict()
        course.best.consider(
            float(np.mean(values)) if values else float(step.epoch), step.epoch, weights, config.fit.keep if values else "last"
        )
        company.progress.say("gradients' cosines on what is shared: " + ", ".join(f"{pair} {value:+.2f}" for pair, value in apart.items()))
        return {**found, "conflict": apart}

    def line(step: loop.Step) -> dict[str, Any]:
        return {"task": next(iter(step.losses)).partition("/")[0], "loss": step.loss}

    return Way(
        f"{names}: learning", company.journal, company.progress, config.fit, config.track, config.checkpoint_seconds,
        line=line, judge=judge, words=describe.epoch_line, worse="validation",
    )  # fmt: skip


def _ended(company: Company, course: Course) -> dict[str, Learnt]:
    """Each task's calibration and last word, its history and steps in its own folder; then the adapters as a bundle keeps them."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, study in company.studies.items():
        company.joint.choose(name)
        if len(study.lesson.valid_rows):
            found[name] = choosing.calibrated(study)
        else:
            company.progress.say(f"{name}: no validation rows, so its probabilities are not calibrated")
            found[name] = study.lesson.fitted, None
    backbone, method, own = company.joint.backbone, company.config.adapter.method, company.joint.own
    if own:
        adapters.fold_pairs(backbone, SHARED, own)
    else:
        adapters.fold(backbone, SHARED, method)
    learnt = {}
    for name, study in company.studies.items():
        history = [_of_task(name, line) for line in course.history]
        study.journal.follow(company.journal, name, history)
        learnt[name] = Learnt(study, *found[name], Course(course.best, history), adapter=name if own else SHARED)
    return learnt


def _of_task(name: str, line: Mapping[str, Any]) -> dict[str, Any]:
    """One epoch of the run as the task sees it: its own validation."""
    begin = f"valid_{name}/"
    own = {f"valid_{key[len(begin) :]}": value for key, value in line.items() if key.startswith(begin)}
    return {"epoch": line["epoch"], "step": line["step"], "train_loss": line["train_loss"], **own}
