"""The way of every run from step to step: journal, epoch's end, checkpoint, patience. What a step learns and how an epoch is judged is the run's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from shoplm.pipeline import describe, resuming
from shoplm.pipeline.progress import Progress
from shoplm.pipeline.resuming import Course
from shoplm.tally import Tally
from shoplm.train import loop
from shoplm.train.journal import Journal
from shoplm.train.plan import Steps
from shoplm.train.track import follow


@dataclass(frozen=True)
class Way:
    """Where a run's steps are said and saved, and what is the run's own about them."""

    title: str
    """Of the progress bar."""
    journal: Journal
    progress: Progress
    fit: loop.FitConfig
    track: tuple[str, ...]
    checkpoint_seconds: float
    line: Callable[[loop.Step], Mapping[str, Any]]
    """Losses of a step, as its line of the journal holds them."""
    judge: Callable[[loop.Step, Course], Mapping[str, Any]]
    """What an epoch's end says: ``train_loss`` and ``valid_…``; it also remembers the best weights in the course."""
    words: Callable[[Mapping[str, Any]], str]
    """The line of the history that people read."""
    worse: str
    """What has not come for ``patience`` epochs when a run stops early."""

    def stops(self, course: Course) -> bool:
        """Whether patience is at its end."""
        return self.fit.patience is not None and course.best.stale >= self.fit.patience


def estimated(network: nn.Module, source: loop.Source, plan: Steps, fit: loop.FitConfig) -> str:
    """What a run will take, in words; its largest batch is tried for it.

    Raises:
        ResourceError: the memory was not enough.
    """
    loop.rehearse(network, source, plan, fit)  # the first pass pays for what later ones find ready: the second is timed
    return describe.estimate(loop.rehearse(network, source, plan, fit), plan)


def drive(way: Way, network: nn.Module, source: loop.Source, plan: Steps, state: loop.State, course: Course) -> None:
    """Learn to the end of the plan or of patience; every epoch is judged, said and saved.

    Raises:
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    journal, progress = way.journal, way.progress
    if course.history and way.stops(course):
        return
    saved = time.monotonic()
    with follow(journal, way.track) as tracker, progress.bar(way.title, plan.steps) as advance:
        advance(state.step)
        for step in loop.fit(network, source, plan, way.fit, state):
            advance(1)
            for head, tally in step.losses.items():
                course.losses[head] = course.losses.get(head, Tally(0.0, 0.0)) + tally
            line = {"step": step.number, "epoch": step.epoch, "learning_rate": step.learning_rate, **way.line(step)}
            journal.add(**line, gradient_norm=step.gradient_norm, tokens=step.tokens, seconds=round(step.seconds, 5))
            if step.ends_epoch:
                course.history.append({"epoch": step.epoch, "step": step.number, **way.judge(step, course)})
                progress.say(way.words(course.history[-1]))
                journal.add(**course.history[-1])
                course.losses.clear()
            if step.ends_epoch or time.monotonic() - saved >= way.checkpoint_seconds:
                journal.flush()
                resuming.save(journal.folder, network, state, course)
                tracker()
                saved = time.monotonic()
            if step.ends_epoch and way.stops(course):
                progress.say(f"stopped after epoch {step.epoch}: no better {way.worse} for {way.fit.patience} epochs")
                return
