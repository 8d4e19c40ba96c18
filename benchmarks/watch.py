"""A stopwatch on the public training pipeline, part by part, without a line of benchmark code in the pipeline.

The pipeline's own functions are wrapped while a run is watched: what is timed is what users run. The clock
of ``seconds`` starts at token ids: rehearsal of the largest batch, frozen trunk (the train rows' share),
first guess of the heads, steps. Loading, reading, tokenising, validation, checkpoints and files stand apart.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from benchmarks.side_by_side import Json, encoder_flops

if TYPE_CHECKING:
    from shoplm.model.backbone import Backbone
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.lesson import Lesson

PROFILED = range(6, 14)
"""Steps that are profiled, when a profile is asked for."""


class Enough(Exception):  # noqa: N818  (not an error: the way out of a run that has shown what was asked)
    """The run is left here."""


@dataclass
class Watch:
    """What was seen of one run."""

    rehearse: float = 0.0
    fill: float = 0.0
    """Seconds of the frozen trunk over train and validation rows."""
    start: float = 0.0
    steps: float = 0.0
    share: float = 1.0
    """The train rows' share of the trunk's tokens."""
    examples: int = 0
    count: int = 0
    tokens: int = 0
    padded: int = 0
    flops: float = 0.0
    fill_flops: float = 0.0
    curve: list[Json] = field(default_factory=list)
    study: Any = None
    profile: list[Json] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From token ids to here."""
        return self.rehearse + self.fill * self.share + self.start + self.steps

    def plain(self) -> Json:
        """As plain values, rates included."""
        steps = max(self.steps, 1e-9)
        return {
            "seconds": round(self.seconds, 3), "rehearse_seconds": round(self.rehearse, 3), "trunk_seconds": round(self.fill * self.share, 3),
            "trunk_seconds_validation_rows": round(self.fill * (1 - self.share), 3), "start_seconds": round(self.start, 3),
            "steps_seconds": round(self.steps, 3), "steps": self.count, "examples_per_second": round(self.examples / steps, 2),
            "tokens_per_second": round(self.tokens / steps, 1), "padding_share": round(1 - self.tokens / max(self.padded, 1), 4),
            "step_gflops_per_second": round(self.flops / steps / 1e9, 2),
            "trunk_gflops_per_second": round(self.fill_flops / max(self.fill, 1e-9) / 1e9, 2),
            "curve": self.curve, "profile": self.profile,
        }  # fmt: skip


@contextlib.contextmanager
def watched(*, points: int = 0, profile: bool = False, budget: float | None = None, leave: bool = False) -> Iterator[Watch]:
    """Watch the training runs of this block.

    Args:
        points: judgements an epoch (the pipeline's own, at the weights that would answer), untimed.
        profile: profile a few steps; such a run's seconds are not to be used.
        budget: seconds after which the run is left with ``Enough``.
        leave: leave with ``Enough`` after the last step, before anything is written.
    """
    from shoplm.pipeline import learning

    watch = Watch()
    work_of, fill_of, rehearse_of, start_of, fit_of = (
        learning.work, learning.fill, learning.loop.rehearse, learning.start.heads_from_features, learning.loop.fit,
    )  # fmt: skip

    def work(study: Any, *, resumed: bool) -> Any:
        watch.study = study
        return work_of(study, resumed=resumed)

    def fill(study: Any) -> None:
        begin = time.perf_counter()
        fill_of(study)
        watch.fill += time.perf_counter() - begin
        lengths = study.lesson.tokens.lengths
        watch.share = float(lengths[: study.lesson.train].sum() / max(1, lengths.sum()))
        if study.trunk is not None:
            width, inner = _shape(study.network)
            watch.fill_flops += encoder_flops(lengths, study.network.cut, width, inner)

    def rehearse(*given: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        found = rehearse_of(*given, **named)
        watch.rehearse += time.perf_counter() - begin
        return found

    def heads(*given: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        found = start_of(*given, **named)
        watch.start += time.perf_counter() - begin
        return found

    def fit(model: Any, source: Any, plan: Any, config: Any, state: Any) -> Iterator[Any]:
        places = judged_at([int(at) for at in plan.starts], points)
        inner_steps = fit_of(model, source, plan, config, state)
        shape = _shape(model)
        profiler: Any = None
        while True:
            if profile and state.step + 1 == PROFILED.start:
                profiler = _profiler()
                profiler.__enter__()
            begin = time.perf_counter()
            step = next(inner_steps, None)
            watch.steps += time.perf_counter() - begin
            if profiler is not None and (step is None or step.number + 1 == PROFILED.stop):
                profiler.__exit__(None, None, None)
                watch.profile, profiler = operators(profiler), None
            if step is None:
                return
            _count(watch, model, plan, step.number - 1, shape)
            if step.number in places:
                watch.curve.append(
                    {
                        "epoch": places[step.number],
                        "step": step.number,
                        "seconds": round(watch.seconds, 3),
                        **_judge(watch, state, step.epoch),
                    }
                )
            if budget is not None and watch.seconds > budget:
                raise Enough
            if leave and step.number == plan.steps:
                raise Enough
            yield step

    with (
        mock.patch.object(learning, "work", work),
        mock.patch.object(learning, "fill", fill),
        mock.patch.object(learning.loop, "rehearse", rehearse),
        mock.patch.object(learning.start, "heads_from_features", heads),
        mock.patch.object(learning.loop, "fit", fit),
    ):
        yield watch


def judged_at(starts: list[int], points: int) -> dict[int, float]:
    """Step -> epochs done, ``points`` times an epoch; ``starts`` are the epochs' first steps and the end."""
    found = {}
    for epoch in range(len(starts) - 1):
        for part in range(1, points + 1):
            found[max(1, round(starts[epoch] + (starts[epoch + 1] - starts[epoch]) * part / points))] = epoch + part / points
    return found


def rows_of(task: str, data: Path, where: str | None, max_length: int | None = None) -> tuple[Lesson, int]:
    """The pipeline's own rows of a run, tokenised and split, without learning, and the id that pads them."""
    import tempfile

    from shoplm.pipeline import training
    from shoplm.pipeline.config import RunConfig

    found: list[tuple[Lesson, int]] = []

    def learn(lesson: Lesson, _: RunConfig, backbone: Backbone, *__: Any) -> None:
        found.append((lesson, backbone.tokenizer.pad))
        raise Enough

    settings: dict[str, Any] = {} if max_length is None else {"max_length": max_length}
    config = RunConfig.read([task], where=where, **settings)
    with (
        tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder,
        mock.patch.object(training, "learn", learn),
        contextlib.suppress(Enough),
    ):
        training.train(config, data=data, out=Path(folder) / "bundle")
    return found[0]


def _judge(watch: Watch, state: Any, epoch: int) -> Json:
    """The pipeline's validation at this moment, remembered by nobody."""
    from shoplm.pipeline.choosing import validate
    from shoplm.pipeline.resuming import Best

    network = watch.study.network
    training_mode = network.training
    found = validate(watch.study, state, Best(), epoch)
    network.train(training_mode)
    return {name.removeprefix("valid_"): round(float(value), 6) for name, value in found.items()}


def _shape(network: Any) -> tuple[int, int]:
    config = network.backbone._config
    return network.backbone.width, int(getattr(config, "intermediate_size", 0) or 4 * network.backbone.width)


def _count(watch: Watch, network: Any, plan: Any, step: int, shape: tuple[int, int]) -> None:
    lengths = plan.lengths[plan.rows(step)]
    longest = np.full(len(lengths), lengths.max())
    watch.count += 1
    watch.examples += len(lengths)
    watch.tokens += int(lengths.sum())
    watch.padded += int(longest.sum())
    layers = network.backbone.depth - network.cut
    if any(parameter.requires_grad for parameter in network.backbone.parameters()):
        watch.flops += 3 * encoder_flops(longest, layers, *shape)
        if network.cut:  # what comes out of the frozen trunk needs no gradient: that of query, key and value is not computed
            watch.flops -= int(longest.sum()) * 6 * shape[0] ** 2


def _profiler() -> Any:
    import torch

    return torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])


def operators(profiler: Any, top: int = 12) -> list[Json]:
    """The operators with the most time of their own."""
    events = profiler.key_averages()
    whole = sum(event.self_cpu_time_total for event in events) or 1
    ordered = sorted(events, key=lambda event: -event.self_cpu_time_total)[:top]
    return [
        {"operator": e.key, "share": round(e.self_cpu_time_total / whole, 4), "milliseconds_per_step": round(e.self_cpu_time_total / 1e3 / len(PROFILED), 3), "calls": int(e.count)}
        for e in ordered
    ]  # fmt: skip
