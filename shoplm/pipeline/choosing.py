"""What rows that were not learnt from decide: the weights that answer, thresholds and calibration, the last word on quality.

With few rows a validation split is either too small to choose by or larger than what is learnt from. So the
last weights (their mean over the end of the run) answer, and where there are no validation rows at all the
calibration comes from a fifth of the train rows and a second, shorter run that never saw them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from shoplm.errors import DivergedError
from shoplm.evaluate.calibrate import told
from shoplm.evaluate.judge import Judgement
from shoplm.model.specs import MISSING
from shoplm.pipeline import warming
from shoplm.pipeline.bundle import run
from shoplm.pipeline.config import FEW
from shoplm.pipeline.judging import judge_of, known
from shoplm.pipeline.resuming import Best
from shoplm.pipeline.study import Study
from shoplm.task import Fitted, Scores
from shoplm.train import checkpoint, loop, start
from shoplm.train.plan import Plan


def validate(study: Study, state: loop.State, best: Best, epoch: int) -> dict[str, float]:
    """Judge the weights of this epoch (their mean, once averaging has begun) and remember those that are to answer.

    Returns:
        ``valid_<metric>`` of the rows to choose by; empty when there are none.

    Raises:
        DivergedError: the answers are no numbers any more.
    """
    with checkpoint.answering(study.network, state) as weights:
        value, found = judged(study) if len(study.lesson.valid_rows) else (float(epoch), {})
    best.consider(value, epoch, weights, study.config.fit.keep if found else "last")
    return found


def judged(study: Study) -> tuple[float, dict[str, float]]:
    """How good the weights that the network holds are on the rows to choose by: by the task's own measure, higher is better; and ``valid_<metric>``.

    Raises:
        DivergedError: the answers are no numbers any more.
    """
    lesson = study.lesson
    answer = lesson.task.answer(_scores(study, lesson.valid_rows), lesson.fitted)
    judge_by, metrics = lesson.task.judge_by, lesson.task.metrics_of(lesson.fitted)
    found = {
        f"valid_{name}": metrics[name].point(lesson.valid_targets, answer.values)
        for name in dict.fromkeys(["accuracy", judge_by])
        if name in metrics
    }
    return found[f"valid_{judge_by}"] * (1 if metrics[judge_by].higher_is_better else -1), found


def settle(study: Study, plan: Plan, begin: Mapping[str, Tensor]) -> tuple[Fitted, Judgement | None]:
    """Thresholds and calibration for the weights that answer, and what validation says of them.

    Args:
        study: its network holds the weights that answer, and does so afterwards.
        plan: of the run.
        begin: the learning weights before the first step.

    Returns:
        The judgement is None without validation rows.
    """
    lesson = study.lesson
    if len(lesson.valid_rows):
        return calibrated(study)
    kept, aside = lesson.parted()
    if lesson.train > FEW or not len(aside):
        study.progress.say("no validation rows: the last weights are kept and probabilities are not calibrated")
        return lesson.fitted, None
    answering = {name: tensor.clone() for name, tensor in checkpoint.learning(study.network).items()}
    scores = _learnt_without(study, plan, begin, kept, aside)
    checkpoint.restore(study.network, answering)
    study.progress.say(
        f"no validation rows: the last weights are kept; calibrated on {len(aside):,} train rows by a second run that learnt the other {len(kept):,}"
    )
    fitted = lesson.task.choose(scores, {name: column[aside] for name, column in lesson.targets.items()}, lesson.fitted)
    _say(study, fitted)
    return fitted, None


def calibrated(study: Study) -> tuple[Fitted, Judgement]:
    """Thresholds and calibration from the rows to choose by, and what they say of the weights that answer."""
    lesson = study.lesson
    scores = _scores(study, lesson.valid_rows)
    fitted = lesson.task.choose(scores, lesson.valid_targets, lesson.fitted)
    values = lesson.task.answer(scores, fitted).values
    judge = judge_of(lesson.task.metrics_of(fitted), values, known(lesson.valid_targets))
    judge.update(lesson.valid_targets, values)
    _say(study, fitted)
    return fitted, judge.result()


def _say(study: Study, fitted: Fitted) -> None:
    for line in told(fitted):
        study.progress.say(line)


def _learnt_without(
    study: Study, plan: Plan, begin: Mapping[str, Tensor], kept: npt.NDArray[np.int64], aside: npt.NDArray[np.int64]
) -> Scores:
    """What the same run says about some train rows when it learns only the others."""
    lesson, fit = study.lesson, study.config.fit
    checkpoint.restore(study.network, begin)
    shorter = Plan(plan.lengths[kept], plan.epochs, plan.batch_size, plan.token_budget, plan.seed)
    seen = {name: column.copy() for name, column in lesson.learnt.items()}
    for column in seen.values():
        column[aside] = np.nan if column.dtype.kind == "f" else MISSING
    warming.warm(study, kept, None)
    start.heads_from_features(study.network, lesson.tokens, seen, lesson.train, study.trunk, fit)
    if study.ancestor is not None:
        study.ancestor.give_heads(study.network)
    state = loop.start(study.network, fit, study.regularizer(shorter))
    with study.progress.bar(f"{lesson.name}: calibrating", shorter.steps) as advance:
        for _ in loop.fit(study.network, lambda rows: study.batch(kept[rows]), shorter, fit, state):
            advance(1)
    checkpoint.restore(study.network, state.mean)
    return _scores(study, aside)


def _scores(study: Study, rows: npt.NDArray[np.int64]) -> Scores:
    fit = study.config.fit
    found = run(study.network, study.lesson.tokens, fit.precision or "fp32", rows, study.trunk)
    said = [*found.values.values(), *(tagged.logits for tagged in found.tagged.values())]
    if not all(np.isfinite(values).all() for values in said):
        rate = fit.learning_rate or 0.0
        raise DivergedError(
            f"training: the answers on rows not learnt from are no numbers any more; try learning_rate={rate / 5:.2g}, now {rate:g}"
        )
    return found
