"""One trial of a search: a recipe learns through the public loop, is judged on the way and may be stopped.

What counts as a trial's seconds: the frozen layers, the steps and the judging on validation rows, by the clock of this
process. Reading, tokenising, loading the backbone and attaching the adapter do not: they are the same for every trial, or
done once for all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from shoplm.errors import DivergedError, ResourceError
from shoplm.model import adapters
from shoplm.model.backbone import Backbone
from shoplm.model.network import Network
from shoplm.model.precision import Precision
from shoplm.pipeline import choosing, describe, warming
from shoplm.pipeline.bundle import run
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.lesson import Lesson
from shoplm.pipeline.progress import Silent
from shoplm.pipeline.resuming import Best
from shoplm.pipeline.study import Study, fill, set_up
from shoplm.text.tokenize import Tokens
from shoplm.train import checkpoint, loop, start
from shoplm.train.journal import Journal

RUNGS = (1, 2)
"""Quarters of a trial's steps at which it is judged against the others: after one and after two of four."""
PARTS = 4
ANSWERED = 24
"""Texts that are answered one by one to see how long one takes."""


State = Literal["done", "halved", "out of time", "diverged", "out of memory"]


@dataclass(frozen=True)
class Attempt:
    """A trial and how it ended."""

    state: State
    value: float | None
    """What validation said at the end, higher is better: the metric that the task is judged by, its sign turned where lower
    is better. None where the trial never came to that."""
    seconds: float
    latency_ms: float | None = None
    """Of one text, as a bundle answers it; None where nobody asked, or before the end."""
    kept_bytes: int | None = None
    """Of the weights that the task adds to a bundle: its adapter and heads, or the whole backbone once that has changed."""


def attempt(
    lesson: Lesson,
    config: RunConfig,
    backbone: Backbone,
    folder: Path,
    *,
    allowed: float,
    rung: Callable[[int, float], bool],
    timed: bool = False,
) -> Attempt:
    """Fine-tune ``backbone`` as ``train`` would and say what validation thinks of it.

    Args:
        lesson: has validation rows.
        config: resolved, its precision chosen.
        backbone: fresh; gets the adapter and learns.
        folder: keeps the frozen trunk for the next trial.
        allowed: seconds after which the trial is stopped.
        rung: told the quarter and the value there; answers whether to go on.
        timed: measure how long one answer takes.

    Raises:
        ConfigError: the method does not fit the backbone.
        ResourceError: the disk is full.
    """
    before = _bytes(backbone)
    study = set_up(lesson, config, backbone, Journal(folder), Silent())
    try:
        loop.rehearse(study.network, study.batch, study.plan, config.fit)
    except ResourceError:
        return Attempt("out of memory", None, 0.0)
    begin = time.perf_counter()
    fill(study)
    best = Best()
    try:
        state = _learn(study, best, rung, begin + allowed)
    except DivergedError:
        return Attempt("diverged", None, time.perf_counter() - begin)
    seconds = time.perf_counter() - begin
    if state != "done":
        return Attempt(state, best.value if best.epoch else None, seconds)
    checkpoint.restore(study.network, best.weights or {})
    adapters.fold(backbone, lesson.name, config.adapter.method)
    precision = config.fit.precision or "fp32"
    latency = latency_ms(study.network, lesson.tokens.take(lesson.valid_rows[:ANSWERED]), precision) if timed else None
    kept = _bytes(study.network) - (0 if config.adapter.method == "full" else before)
    return Attempt("done", best.value, seconds, latency, kept)


def _learn(study: Study, best: Best, rung: Callable[[int, float], bool], until: float) -> State:
    """The steps; ``best`` holds what validation chose.

    Raises:
        DivergedError: the loss exploded, or validation is no number.
    """
    lesson, plan, fit = study.lesson, study.plan, study.config.fit
    name = lesson.task.judge_by
    higher = lesson.task.metrics_of(lesson.fitted)[name].higher_is_better
    state = loop.start(study.network, fit, study.regularizer(plan))
    warming.warm(study, lesson.train_rows, None)
    start.heads_from_features(study.network, lesson.tokens, lesson.learnt, lesson.train, study.trunk, fit)
    rungs = {-(-plan.steps * part // PARTS): part for part in RUNGS}
    for step in loop.fit(study.network, study.batch, plan, fit, state):
        last = step.number == plan.steps
        if step.ends_epoch or step.number in rungs:
            judged = choosing.validate(study, state, best if step.ends_epoch else Best(), step.epoch)[f"valid_{name}"]
            if not math.isfinite(judged):
                raise DivergedError("training: validation is no number any more")
            if step.number in rungs and not last and not rung(rungs[step.number], judged if higher else -judged):
                return "halved"
        if last or (step.ends_epoch and fit.patience is not None and best.stale >= fit.patience):
            return "done"
        if time.perf_counter() > until:
            return "out of time"
    return "done"


def _bytes(module: nn.Module) -> int:
    """Of its weights."""
    return sum(p.numel() * p.element_size() for p in module.parameters())


def latency_ms(network: Network, tokens: Tokens, precision: Precision) -> float:
    """Milliseconds from the tokens of one text to its scores: the median over texts answered one at a time.

    Each text is answered twice and the quicker time counts, so that a busy neighbour does not decide.
    """
    found = []
    for row in range(len(tokens)):
        alone, best = np.array([row], np.int64), float("inf")
        for _ in range(2):
            begin = time.perf_counter()
            run(network, tokens, precision, alone)
            best = min(best, time.perf_counter() - begin)
        found.append(best)
    return 1000 * float(np.median(found)) if found else float("nan")


def expected(lesson: Lesson, config: RunConfig, backbone: Backbone, folder: Path) -> float:
    """About how many seconds a trial of ``config`` would count, from one pass over the largest batch.

    Raises:
        ConfigError: the method does not fit the backbone.
        ResourceError: the memory is not enough.
    """
    study = set_up(lesson, config, backbone, Journal(folder), Silent())
    plan, trunk = study.plan, study.trunk
    loop.rehearse(study.network, study.batch, plan, config.fit)  # the first pass pays for what later ones find ready
    step, below = loop.rehearse(study.network, study.batch, plan, config.fit), 0.0
    if trunk is not None:
        batch = lesson.tokens.batch(plan.largest, backbone.tokenizer.pad, lesson.learnt)
        begin = time.perf_counter()
        trunk.compute(batch)
        below = time.perf_counter() - begin
    lengths = lesson.tokens.lengths
    size = max(1, int(plan.lengths[plan.largest].max()) * len(plan.largest))
    train, valid = (int(part.sum()) / size for part in (lengths[: lesson.train], lengths[lesson.train :]))
    once = below if trunk is not None and (trunk.ready or trunk.bytes <= config.cache_mb << 20) else 0.0
    each = max(step - once, 1e-4)
    return once * (train + valid) + plan.epochs * each * (train + valid / 3)  # a pass without gradient is about a third of a step


def thin(folder: Path, most: int) -> None:
    """Remove the oldest kept trunks until they take at most ``most`` bytes: layers are searched, and each cut has its own."""
    kept = sorted((folder / "cache").glob("*.trunk"), key=lambda path: path.stat().st_mtime)
    sizes = [path.stat().st_size for path in kept]
    for place, path in enumerate(kept):
        if sum(sizes[place:]) > most:
            path.unlink()


def memory_mb() -> float:
    """The most memory that this process ever held, in MB (10^6 bytes).

    From the kernel's own mark where there is one: ``ru_maxrss`` of a child begins with what its parent held.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    except (OSError, StopIteration):
        return describe.peak_memory_mb()
