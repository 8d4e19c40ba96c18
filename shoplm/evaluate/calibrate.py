"""Calibrated answers for any task: ``choose`` calls ``calibrate``, ``answer`` reads ``log_probabilities`` or ``log_odds``.

What holds: the kind is chosen by the log loss of rows that had no part in fitting it, the simplest one unless
another is better by more than a standard error; it is stored in ``Fitted`` as plain numbers; the order of rows by an
event's probability stays, and so does the order of a row's classes unless ``platt`` has a line for each of three or more.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from shoplm.config import Config
from shoplm.evaluate.calibration import Reliability, isotonic, log_softmax, platt_of_classes, platt_rising, sigmoid, temperature
from shoplm.evaluate.judge import Judge
from shoplm.evaluate.metrics import ECE, LogLoss
from shoplm.task import Calibration, CalibrationKind, Fitted, FloatArray, IntArray, Seen

KINDS: tuple[CalibrationKind, ...] = ("temperature", "platt", "isotonic")
"""What ``auto`` chooses among, the simplest first."""
SETTING = "calibration"
"""The name of the setting, and the word of ``Fitted`` that carries it."""
FOLDS = 5
FEWEST, RAREST = 100, 10
"""With fewer rows, or an event that came true or failed in fewer of them, ``auto`` takes the temperature."""
MOST_ROWS = 30_000
"""Of more rows so many are drawn: a temperature is then known to half a percent."""
A_CLASS = 50
"""With fewer rows than so many a class ``auto`` does not try a line for each of three or more: it may be honest on rows held out, but it moves the
decisions, and what the same rows then say of their quality is flattered."""
MOST_CLASSES = 512
"""With more classes ``auto`` does not try a line for each: its curvature is a matrix of twice as many rows."""


class Calibrating(Config):
    """What the settings of every task with probabilities begin with."""

    calibration: Literal["auto", "temperature", "platt", "isotonic", "none"] = "auto"
    """How logits become probabilities that hold: one number for all (`temperature`), a line for each class (`platt`), a never falling curve (`isotonic`), as they are (`none`), or whichever loses least on validation rows (`auto`)."""


def calibrate(fitted: Fitted, head: str, logits: FloatArray, target: Any) -> Fitted:
    """``fitted`` with the calibration of one head, as the word ``calibration`` in it asks (``auto`` where it is silent).

    Args:
        fitted: of the task.
        head: its name in ``Scores``.
        logits: (M, C) of a Choice or of Labels, or (M,) of a binary Score.
        target: (M,) classes with -1 missing, (M, C) labels with NaN missing, or (M,) 0 or 1 with NaN missing.
    """
    asked = fitted.words.get(SETTING) or "auto"
    logits, target = np.asarray(logits, float), np.asarray(target)
    found: Calibration | list[Calibration]
    if logits.ndim == 2 and target.ndim == 1:
        found = _chosen(logits, target.astype(np.int64), asked)
    else:
        event = np.nan_to_num(target.astype(float), nan=-1).astype(np.int64)
        found = (
            _chosen(logits, event, asked) if logits.ndim == 1 else [_chosen(*pair, asked) for pair in zip(logits.T, event.T, strict=True)]
        )
    return fitted.model_copy(update={"calibrations": {**fitted.calibrations, head: found}})


def log_probabilities(fitted: Fitted, head: str, logits: FloatArray) -> FloatArray:
    """(M, C) logits of a Choice -> (M, C) calibrated log probabilities. Where nothing was chosen yet: ``log_softmax``."""
    found = fitted.calibrations.get(head)
    if not isinstance(found, Calibration):  # bundles older than this file hold one number
        return _of_choice(Calibration(temperature=fitted.numbers.get("temperature", 1.0)), logits)
    return _of_choice(found, logits)


def log_odds(fitted: Fitted, head: str, logits: FloatArray) -> FloatArray:
    """Logits of a binary Score (M,) or of Labels (M, C) -> calibrated log-odds; ``sigmoid`` makes them probabilities."""
    found = fitted.calibrations.get(head, Calibration())
    if isinstance(found, Calibration):
        return _of_event(found, logits)
    return np.stack([_of_event(one, logits[:, at]) for at, one in enumerate(found)], 1)


def uncalibrated(fitted: Fitted) -> Fitted | None:
    """The same without any calibration; None when there is none to leave out."""
    numbers = {name: value for name, value in fitted.numbers.items() if name != "temperature"}
    plain = fitted.model_copy(update={"calibrations": {}, "numbers": numbers})
    return None if plain == fitted else plain


def _of_choice(how: Calibration, logits: FloatArray) -> FloatArray:
    if how.kind == "platt":
        return log_softmax(np.asarray(logits, float) * np.asarray(how.slope) + np.asarray(how.offset))
    plain = log_softmax(logits / how.temperature)
    if how.kind != "isotonic":
        return plain
    each = _stepped(how, np.exp(plain))
    return np.asarray(np.log(each / each.sum(1, keepdims=True)))


def _of_event(how: Calibration, logits: FloatArray) -> FloatArray:
    logits = np.asarray(logits, float)
    if how.kind == "platt":
        return np.asarray(logits * how.slope[0] + how.offset[0])
    if how.kind != "isotonic":
        return np.asarray(logits / how.temperature)
    found = _stepped(how, sigmoid(logits / how.temperature))
    return np.asarray(np.log(found) - np.log1p(-found))


def _stepped(how: Calibration, probability: FloatArray) -> FloatArray:
    steps: FloatArray = np.interp(probability, how.said, how.happened)
    return (1 - how.mixed) * steps + how.mixed * probability


def _applied(how: Calibration, logits: FloatArray) -> FloatArray:
    return _of_choice(how, logits) if logits.ndim == 2 else _of_event(how, logits)


def _fit(kind: CalibrationKind, logits: FloatArray, target: IntArray) -> Calibration:
    """One kind, fitted on rows that all have an answer."""
    if kind == "none":
        return Calibration()
    if kind == "platt":
        if logits.ndim == 2:
            slopes, offsets = platt_of_classes(logits, target)
            return Calibration(kind=kind, slope=slopes.tolist(), offset=offsets.tolist())
        slope, offset = platt_rising(logits, target)
        return Calibration(kind=kind, slope=[slope], offset=[offset])
    columns = logits if logits.ndim == 2 else np.stack([np.zeros(len(logits)), logits], 1)
    heat = temperature(columns, target, 1 / (len(target) + 2))
    if kind == "temperature":
        return Calibration(kind=kind, temperature=heat)
    if logits.ndim == 2:  # one curve for all classes: each class of its own would have a handful of rows
        probability, event = np.exp(log_softmax(logits / heat)).ravel(), (target[:, None] == np.arange(logits.shape[1])).ravel()
    else:
        probability, event = sigmoid(logits / heat), target
    said, happened = isotonic(probability, event.astype(np.int64))
    return Calibration(kind=kind, temperature=heat, said=said.tolist(), happened=happened.tolist())


def _chosen(logits: FloatArray, target: IntArray, asked: str) -> Calibration:
    """The calibration of one question by all its rows, with what was seen of it on rows that it had not seen."""
    known = np.flatnonzero(target >= 0)
    if not len(known):
        return Calibration(note="no row with an answer to calibrate by")
    if len(known) > MOST_ROWS:
        known = np.sort(np.random.default_rng(0).permutation(known)[:MOST_ROWS])
    logits, target = logits[known], target[known]
    tried, note = _tried(logits, target, asked)
    folds = _folds(logits)
    if folds is None:
        return _fit(tried[0], logits, target).model_copy(update={"note": note, "rows": len(target)})
    held = {kind: _held_out(kind, logits, target, folds) for kind in tried}
    losses = {kind: _losses(found, target) for kind, found in held.items()}
    best = tried[0]
    for kind in tried[1:]:
        gain = losses[best] - losses[kind]
        if gain.mean() > gain.std(ddof=1) / len(gain) ** 0.5:
            best = kind
    if len(tried) > 1:
        seen = ", ".join(f"{kind} {losses[kind].mean():.4f}" for kind in tried)
        note = f"chosen by the log loss of rows held out: {seen}; the simplest unless another is better by a standard error" + note
    return _fit(best, logits, target).model_copy(
        update={"note": note, "rows": len(target), "before": _seen(logits, target), "after": _seen(held[best], target)}
    )


def _tried(logits: FloatArray, target: IntArray, asked: str) -> tuple[tuple[CalibrationKind, ...], str]:
    """The kinds to try, and what to say of those that are not."""
    for kind in ("none", *KINDS):
        if kind == asked:
            return (kind,), f"asked for by {SETTING}={kind}"
    rarest = len(target) if logits.ndim == 2 else int(min((target == 1).sum(), (target == 0).sum()))
    if len(target) < FEWEST:
        return KINDS[:1], f"{len(target):,} rows are too few to choose by, fewer than {FEWEST}"
    if rarest < RAREST:
        return KINDS[:1], f"{rarest} rows of the rarer answer are too few to choose by, fewer than {RAREST}"
    if logits.ndim == 2 and logits.shape[1] > MOST_CLASSES:
        return ("temperature", "isotonic"), f"; platt is not tried with more than {MOST_CLASSES} classes"
    if logits.ndim == 2 and logits.shape[1] > 2 and len(target) < A_CLASS * logits.shape[1]:
        return ("temperature", "isotonic"), f"; platt is not tried with fewer than {A_CLASS} rows a class"
    if _folds(logits) is None:
        return KINDS[:1], f"fewer than {2 * FOLDS} different rows are too few to choose by"
    return KINDS, ""


def _folds(logits: FloatArray) -> IntArray | None:
    """(M,) the fold of each row, whatever the order of rows and classes; equal rows, such as repeated texts, share one.

    None with fewer than ten different rows.
    """
    ordered = np.sort(logits, 1) if logits.ndim == 2 else logits[:, None]
    near = np.round(ordered, 3) + 0.0  # equal texts in other batches differ by float32 sums; + 0 makes -0 into 0
    different, place = np.unique([zlib.crc32(row.tobytes()) for row in near], return_inverse=True)
    return place % FOLDS if len(different) >= 2 * FOLDS else None


def _held_out(kind: CalibrationKind, logits: FloatArray, target: IntArray, folds: IntArray) -> FloatArray:
    """As ``logits``: each fold's calibrated ones by a fit on the others."""
    found = np.empty_like(logits)
    for fold in range(FOLDS):
        aside = folds == fold
        found[aside] = _applied(_fit(kind, logits[~aside], target[~aside]), logits[aside])
    return found


def _losses(logits: FloatArray, target: IntArray) -> FloatArray:
    """(M,) log loss of each row."""
    if logits.ndim == 2:
        return np.asarray(-log_softmax(logits)[np.arange(len(target)), target])
    return np.asarray(np.logaddexp(0, np.where(target == 1, -logits, logits)))


def _seen(logits: FloatArray, target: IntArray) -> Seen:
    value = np.exp(log_softmax(logits)) if logits.ndim == 2 else sigmoid(logits)
    judge = Judge({"log_loss": LogLoss("t", "v"), "ece": ECE("t", "v")}, {"v": logits.shape[1]} if logits.ndim == 2 else {})
    judge.update({"t": target}, {"v": value})
    found = judge.result()
    loss, error, table = found.metrics["log_loss"], found.metrics["ece"], found.reliability["t"]
    return Seen(
        log_loss=(loss.value, loss.low, loss.high), ece=(error.value, error.low, error.high),
        count=table.count.tolist(), said=np.nan_to_num(table.said).tolist(), happened=np.nan_to_num(table.happened).tolist(),
    )  # fmt: skip


def diagram(seen: Seen) -> Reliability:
    """The reliability diagram that ``seen`` holds."""
    count = np.asarray(seen.count, np.int64)
    said, happened = (np.where(count > 0, np.asarray(values, float), np.nan) for values in (seen.said, seen.happened))
    return Reliability(np.linspace(0, 1, len(count) + 1), count, said, happened)


def told(fitted: Fitted) -> list[str]:
    """One line for each head: how it was calibrated, with log loss and calibration error before and after."""
    lines = []
    for head, found in fitted.calibrations.items():
        if isinstance(found, Calibration):
            lines.append(f"{head}: {_line(found)}")
            continue
        kinds = Counter(one.kind for one in found)
        names = fitted.labels.get(head) or [str(at) for at in range(len(found))]
        lines.append(f"{head}: {len(found)} labels, " + ", ".join(f"{count} by {kind}" for kind, count in kinds.most_common()))
        lines += [f"{head}, {name}: {_line(one)}" for name, one in zip(names, found, strict=True)]
    return lines


def _line(how: Calibration) -> str:
    said = "not calibrated" if how.kind == "none" else f"calibrated by {how.kind}"
    if how.kind == "temperature":
        said += f" {how.temperature:.3g}"
    if how.before and how.after and how.kind != "none":
        said += f"; log loss {_change(how.before.log_loss, how.after.log_loss)}, ECE {_change(how.before.ece, how.after.ece)}"
        said += f" on {how.rows:,} rows, each calibrated by the others"
    return said + (f" ({how.note})" if how.note else "")


def _change(before: Sequence[float], after: Sequence[float]) -> str:
    return " → ".join(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in (before, after))
