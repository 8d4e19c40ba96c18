"""One task's run, from its rows to the weights that answer: set up, rehearse, step by step, choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplm.evaluate.calibrate import told
from shoplm.evaluate.judge import Judgement
from shoplm.model import adapters
from shoplm.model.backbone import Backbone
from shoplm.model.bundle import TaskPart
from shoplm.model.specs import Choice, Labels
from shoplm.pipeline import choosing, describe, resuming, warming
from shoplm.pipeline.config import RunConfig, resolve
from shoplm.pipeline.driving import Way, drive, estimated
from shoplm.pipeline.lesson import Lesson
from shoplm.pipeline.progress import Progress
from shoplm.pipeline.resuming import Course, Unfinished
from shoplm.pipeline.study import Study, fill, set_up
from shoplm.pipeline.transfer import Ancestor
from shoplm.task import Fitted
from shoplm.train import checkpoint, loop, start
from shoplm.train.journal import Journal


@dataclass(frozen=True)
class Learnt:
    """A run that has come to its end; its network holds the weights that answer."""

    study: Study
    fitted: Fitted
    judgement: Judgement | None
    course: Course
    adapter: str
    """Under which name the backbone holds what it learnt."""

    @property
    def part(self) -> TaskPart:
        """What goes into the bundle."""
        self.study.network.eval()
        return TaskPart(self.study.network, self.study.config.adapter.method, self.fitted.saved(), self.adapter)

    @property
    def metrics(self) -> dict[str, Any]:
        """What validation says, as plain values."""
        said = {} if self.judgement is None else self.judgement.plain()
        return {"split": "valid", "best_epoch": self.course.best.epoch, **said}

    @property
    def facts(self) -> dict[str, Any]:
        """What the bundle remembers of its making."""
        lesson = self.study.lesson
        return {
            "data_version": lesson.view.data_version, "rows_digest": lesson.prepared.digest, "train_rows": lesson.train,
            "valid_rows": len(lesson.valid_rows), "recipe": self.study.config.plain(), "calibration": told(self.fitted),
        }  # fmt: skip

    def end(self) -> None:
        """After the bundle is written: the report."""
        folder, lesson = self.study.journal.folder, self.study.lesson
        describe.training_report(folder, lesson.name, self.judgement, self.fitted, lesson.prepared, self.facts, self.course.history)


def learn(
    lesson: Lesson,
    config: RunConfig,
    backbone: Backbone,
    folder: Path,
    unfinished: Unfinished,
    progress: Progress,
    ancestor: Ancestor | None = None,
) -> Learnt:
    """Fine-tune ``backbone`` on a lesson.

    Args:
        lesson: what there is to learn.
        config: the run's settings; what they leave open is chosen here.
        backbone: gets the adapter and learns.
        folder: the run's journal.
        unfinished: whether to go on with the run that stands in ``folder``.
        progress: who waits.
        ancestor: the task of another bundle that the run starts from.

    Raises:
        ConfigError: a setting does not fit the backbone, or is not that of the run to go on with.
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    settled = any(isinstance(spec, Choice | Labels) and spec.settled for spec in lesson.specs.values())
    resolved = resolve(config, lesson.train, backbone.depth, lesson.name, settled=settled)
    resolved, resumed = resuming.entered(folder, lesson.prepared.digest, resolved, unfinished, progress)
    return work(set_up(lesson, resolved, backbone, Journal(folder), progress, ancestor), resumed=resumed)


def work(study: Study, *, resumed: bool) -> Learnt:
    """The run itself; a resumed one goes on from its checkpoint and ends with the very weights of one never stopped."""
    lesson, fit, progress = study.lesson, study.config.fit, study.progress
    plan = study.plan
    learning = list(adapters.trainable(study.network).values())
    progress.say(describe.rows_line(lesson.task.subject, lesson.prepared, lesson.train, len(lesson.valid_rows)))
    progress.say(adapters.described(study.config.adapter, learning, sum(p.numel() for p in study.network.parameters())))
    progress.say(estimated(study.network, study.batch, plan, fit))
    fill(study)
    begin = {name: tensor.clone() for name, tensor in checkpoint.learning(study.network).items()}
    state = loop.start(study.network, fit, study.regularizer(plan))
    course, facts, folder = Course(), _facts(study, sum(p.numel() for p in learning)), study.journal.folder
    after = resumed and resuming.saved(folder)
    if after:
        course = resuming.restored(folder, study.network, state, plan.steps, progress)
    resuming.opened(study.journal, study.config, facts, state.step)
    with resuming.left_behind(study.journal):
        if not after:
            warming.warm(study, lesson.train_rows, folder / "checkpoints" / warming.FOLDER)
            start.heads_from_features(study.network, lesson.tokens, lesson.learnt, lesson.train, study.trunk, fit)
            if study.ancestor is not None:
                taken = study.ancestor.give_heads(study.network)
                progress.say(f"starting from {study.ancestor.words}; heads taken over: {', '.join(taken) or 'none, no label is the same'}")
        drive(_way(study, state), study.network, study.batch, plan, state, course)
    if course.best.weights:
        checkpoint.restore(study.network, course.best.weights)
    fitted, judgement = choosing.settle(study, plan, begin)
    adapters.fold(study.network.backbone, lesson.name, study.config.adapter.method)
    return Learnt(study, fitted, judgement, course, lesson.name)


def _facts(study: Study, learning: int) -> dict[str, Any]:
    """The run's manifest, beside machine and versions."""
    lesson, backbone = study.lesson, study.network.backbone
    return {
        "data_version": lesson.view.data_version, "rows_digest": lesson.prepared.digest, "precision": study.config.fit.precision,
        "config": study.config.plain(), "task": lesson.name, "backbone": {"name": backbone.name, "digest": backbone.digest},
        "started_from": None if study.ancestor is None else study.ancestor.words, "seed": study.config.fit.seed, "train_rows": lesson.train, "valid_rows": len(lesson.valid_rows), "learning_parameters": learning,
    }  # fmt: skip


def _way(study: Study, state: loop.State) -> Way:
    """How the steps of a task are said, judged and saved."""
    config, name = study.config, study.lesson.name

    def judge(step: loop.Step, course: Course) -> dict[str, Any]:
        mean = loop.weighted(course.losses, study.network.weights)
        return {"train_loss": mean, **choosing.validate(study, state, course.best, step.epoch)}

    return Way(
        f"{name}: learning", study.journal, study.progress, config.fit, config.track, config.checkpoint_seconds,
        line=lambda step: {"loss": step.loss}, judge=judge, words=describe.epoch_line, worse="validation",
    )  # fmt: skip
