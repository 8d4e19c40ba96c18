"""One page about one model: how good, against what, where not, why, and what to type next.

``write_report`` makes a self-contained HTML file (no script, no network, pictures inside);
``summary`` the table for a terminal; ``verdict`` the sentence that both begin with. A part that
is absent leaves no trace on the page. Whatever comes from data is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoplm.data.health.finding import Finding
from shoplm.evaluate import plots
from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.calibration import Reliability
from shoplm.evaluate.judge import Judgement, difference
from shoplm.evaluate.words import Word
from shoplm.files import write_text
from shoplm.task import IntArray

MATRIX = 25
"""A confusion matrix of more classes is shown as a list of its commonest confusions."""
CONFUSIONS = 12
LETTERS = 700
"""An example's text is cut after so many characters."""

_METHODS = {"tfidf": "TF-IDF + linear model", "majority": "always the commonest", "lookup": "look-up of known values"}
_METRICS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "micro_f1": "Micro-F1",
    "log_loss": "Log loss",
    "ece": "Calibration error (ECE)",
    "roc_auc": "ROC AUC",
    "oos_auroc": "Out-of-scope AUROC",
    "rmse": "RMSE",
    "mae": "Mean absolute error",
}


@dataclass(frozen=True)
class Curves:
    """How the training went."""

    steps: Sequence[int]
    losses: Sequence[float]
    """Train loss of each of ``steps``, as it was; the page smooths it."""
    valid: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """metric -> (epoch, value on validation rows), in order."""


@dataclass(frozen=True)
class Example:
    """One text, the answer, and what each word did to it."""

    text: str
    answer: str
    words: Sequence[Word] = ()
    """Places in ``text``; effects on the answer's own score."""
    probability: float | None = None
    truth: str | None = None


@dataclass(frozen=True)
class Belief:
    """Whether the probabilities of one target can be believed."""

    target: str
    table: Reliability
    before: Reliability | None = None
    """The same rows before calibration."""
    said: Sequence[str] = ()
    """How it was calibrated, and with what effect."""


@dataclass(frozen=True)
class Report:
    """All that the page can show; what is empty is left out."""

    title: str
    verdict: str = ""
    judgement: Judgement | None = None
    baselines: Mapping[str, Judgement] = field(default_factory=dict)
    """By name; judged on the same rows, order and seed, else their columns carry no difference."""
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each target the names of its classes."""
    findings: Sequence[Finding] = ()
    curves: Curves | None = None
    examples: Sequence[Example] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Machine, seed, data version, seconds: shown as they are."""
    commands: Sequence[str] = ()
    """What to type next."""
    beliefs: Sequence[Belief] = ()
    """Where it is empty, the judgement's own reliability is shown."""


def verdict(judgement: Judgement, baselines: Mapping[str, Judgement], metric: str) -> str:
    """One paragraph: the model's ``metric``, the best baseline's, and whether the difference is more than chance."""
    ours = judgement.metrics[metric]
    name = metric_name(metric)
    said = f"{name} of the fine-tuned model on {judgement.rows:,} rows: {ours}."
    best = _opponent(judgement, baselines, metric)
    gain = None if best is None else _gain(judgement, baselines[best], metric)
    if best is None or gain is None:
        return said
    said += f" The best plain method ({method_name(best)}): {baselines[best].metrics[metric]}."
    span = f"{abs(gain.value):.3f} [{min(abs(gain.low), abs(gain.high)):.3f}, {max(abs(gain.low), abs(gain.high)):.3f}]"
    if gain.low > 0:
        return f"{said} Better by {span}, paired on the same rows."
    if gain.high < 0:
        return f"{said} Worse by {span}, paired on the same rows: use the plain method, or look at the findings below."
    return f"{said} A tie: the difference of {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] may be chance."


def metric_name(metric: str) -> str:
    """The metric as a heading."""
    return _METRICS.get(metric, metric.replace("_", " "))


def method_name(baseline: str) -> str:
    """The baseline as a heading."""
    return _METHODS.get(baseline, baseline)


def _gain(ours: Judgement, theirs: Judgement, metric: str) -> Estimate | None:
    """How much better ours is, positive = better; None when the two cannot be paired."""
    if not ours.pairs_with(theirs) or metric not in theirs.metrics:
        return None
    found = difference(ours, theirs)[metric]
    return found if ours.higher_is_better.get(metric, True) else Estimate(-found.value, -found.high, -found.low)


def summary(judgement: Judgement, baselines: Mapping[str, Judgement] | None = None) -> str:
    """A plain-text table: each metric with its interval, the baselines beside it, and the paired gain over the best.

    The gain is positive when the model is better, whichever way the metric points.
    """
    others = dict(baselines or {})
    best, gains = _gains(judgement, others)
    versus = f"better than {method_name(best)} by" if best else "better by"
    head = ["", "model [95 %]", *(method_name(name) for name in others), *([versus] if others else [])]
    table = [head]
    for metric, estimate in judgement.metrics.items():
        row = [metric, _text(estimate)]
        row += [_text(other.metrics[metric], short=True) if metric in other.metrics else "–" for other in others.values()]
        if others:
            gain = gains.get(metric)
            row.append("–" if gain is None else f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]{_star(gain)}")
        table.append(row)
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    tie = ["(tie) = the interval holds 0"] if any("(tie)" in line for line in lines) else []
    return "\n".join([f"{judgement.rows:,} rows", *lines, *tie])


def _opponent(judgement: Judgement, baselines: Mapping[str, Judgement], metric: str) -> str | None:
    """The baseline that leaves the least gain in ``metric``: the one to be compared with throughout."""
    gains = {name: _gain(judgement, other, metric) for name, other in baselines.items()}
    known = {name: gain.value for name, gain in gains.items() if gain is not None and math.isfinite(gain.value)}
    return min(known, key=lambda name: known[name], default=None)


def _gains(judgement: Judgement, baselines: Mapping[str, Judgement]) -> tuple[str, dict[str, Estimate]]:
    """The baseline that is best by the first metric it can be compared in, and the gain over it in every metric."""
    best = next((found for metric in judgement.metrics if (found := _opponent(judgement, baselines, metric))), None)
    if best is None:
        return "", {}
    gains = {metric: _gain(judgement, baselines[best], metric) for metric in judgement.metrics}
    return best, {
        metric: gain
        for metric, gain in gains.items()
        if gain is not None
        and math.isfinite(gain.value)
        and not (best == "majority" and metric == "ece")  # who always says the same is calibrated
    }


def _star(gain: Estimate) -> str:
    return "" if gain.low > 0 or gain.high < 0 else " (tie)"


def _text(estimate: Estimate, *, short: bool = False) -> str:
    if math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.3f}" if short or math.isnan(estimate.low) else str(estimate)


def write_report(report: Report, path: Path) -> None:
    """Writes the page; it is there whole, or not at all.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    write_text(path, render(report))


def template(name: str) -> Any:
    """One of the page templates beside this file, a ``jinja2.Template``; a value that is missing is an error, text is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent, encoding="utf-8"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(name)


def render(report: Report) -> str:
    """The page as HTML text."""
    from markupsafe import Markup

    judgement = report.judgement
    page: str = template("report.html.j2").render(
        report=report,
        tone=_tone(report),
        metrics=_metric_rows(report, Markup),
        opponent="" if judgement is None else method_name(_gains(judgement, report.baselines)[0]),
        methods=[method_name(name) for name in report.baselines],
        curves=[] if report.curves is None else [Markup(picture) for picture in _curves(report.curves)],  # noqa: S704 (made here, escaped there)
        confusions=[]
        if judgement is None
        else [_confusion(target, counts, report.labels, Markup) for target, counts in judgement.confusion.items()],
        beliefs=[(belief, Markup(plots.reliability(belief.table, belief.before))) for belief in _beliefs(report)],  # noqa: S704
        slices=[] if judgement is None else [_slice(name, judgement, Markup) for name in judgement.slices],
        examples=[(example, _marked(example)) for example in report.examples],
    )
    return page


def _beliefs(report: Report) -> Sequence[Belief]:
    if report.beliefs or report.judgement is None:
        return report.beliefs
    return [Belief(target, table) for target, table in report.judgement.reliability.items()]


def _tone(report: Report) -> str:
    """good, tie or bad: by the first metric, against the best baseline."""
    if report.judgement is None or not report.judgement.metrics:
        return "plain"
    gain = _gains(report.judgement, report.baselines)[1].get(next(iter(report.judgement.metrics)))
    if gain is None:
        return "plain"
    return "good" if gain.low > 0 else "bad" if gain.high < 0 else "tie"


def _metric_rows(report: Report, markup: Any) -> list[dict[str, Any]]:
    if report.judgement is None:
        return []
    gains = _gains(report.judgement, report.baselines)[1]
    rows = []
    for metric, estimate in report.judgement.metrics.items():
        others = [judged.metrics.get(metric) for judged in report.baselines.values()]
        gain = gains.get(metric)
        known = [e for e in (estimate, *others) if e is not None and math.isfinite(e.value) and math.isfinite(e.low)]
        least, most = min((e.low for e in known), default=0.0), max((e.high for e in known), default=1.0)
        rows.append(
            {
                "name": metric_name(metric),
                "arrow": "↑" if report.judgement.higher_is_better.get(metric, True) else "↓",
                "ours": estimate,
                "value": _text(estimate, short=True),
                "picture": markup(plots.whisker(estimate.value, estimate.low, estimate.high, least, most)),
                "others": ["–" if other is None else _text(other, short=True) for other in others],
                "gain": gain,
                "word": "" if gain is None else "better" if gain.low > 0 else "worse" if gain.high < 0 else "tie",
            }
        )
    return rows


def _curves(curves: Curves) -> list[str]:
    steps, losses = np.asarray(curves.steps, float), np.asarray(curves.losses, float)
    pictures = []
    if len(steps):
        kept = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), plots.POINTS)).round().astype(int))
        smooth = plots.smoothed(losses, max(1, len(steps) // 30))
        pictures.append(plots.line(steps[kept].tolist(), smooth[kept].tolist(), across="step", up="train loss", raw=losses[kept].tolist()))
    for metric, points in curves.valid.items():
        epochs, values = [point[0] for point in points], [point[1] for point in points]
        if epochs:
            pictures.append(plots.line(epochs, values, across="epoch", up=f"validation {metric_name(metric)}", marks=True))
    return [picture for picture in pictures if picture]


def _confusion(target: str, counts: IntArray, labels: Mapping[str, Sequence[str]], markup: Any) -> dict[str, Any]:
    names = list(labels.get(target, [])) or (["no", "yes"] if len(counts) == 2 else [f"class {place}" for place in range(len(counts))])
    slips = counts.copy()
    np.fill_diagonal(slips, 0)
    order = np.argsort(-slips, axis=None, kind="stable")[:CONFUSIONS]
    rows, columns = np.unravel_index(order, slips.shape)
    total = counts.sum(1)
    top = [
        {"truth": names[row], "decided": names[column], "count": int(slips[row, column]), "share": slips[row, column] / total[row]}
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if slips[row, column]
    ]
    return {"target": target, "picture": markup(plots.confusion(counts, names)) if len(counts) <= MATRIX else "", "top": top}


def _slice(name: str, judgement: Judgement, markup: Any) -> dict[str, Any]:
    parts = judgement.slices[name]
    shown = list(judgement.metrics)[:3]
    first = shown[0] if shown else ""
    known = [part.metrics[first] for part in parts.values() if first and math.isfinite(part.metrics[first].low)]
    least, most = min((e.low for e in known), default=0.0), max((e.high for e in known), default=1.0)
    rows = []
    for value, part in parts.items():
        found = [part.metrics[metric] for metric in shown]
        picture = markup(plots.whisker(found[0].value, found[0].low, found[0].high, least, most)) if found else ""
        rows.append(
            {"value": value, "rows": part.rows, "metrics": [_text(e, short=place > 0) for place, e in enumerate(found)], "picture": picture}
        )
    return {"name": name, "metrics": [metric_name(metric) for metric in shown], "rows": rows}


def _marked(example: Example) -> list[tuple[str, str, str]]:
    """The text as (piece, CSS background, hint); pieces without a word carry neither."""
    strongest = max((abs(word.effect) for word in example.words), default=0.0)
    pieces, at = [], 0
    for word in sorted(example.words, key=lambda word: word.start):
        if word.start < at or word.stop > LETTERS:
            continue
        pieces.append((example.text[at : word.start], "", ""))
        share = abs(word.effect) / strongest if strongest else 0.0
        colour = f"rgba({'22,145,82' if word.effect > 0 else '208,52,58'},{share * 0.6:.2f})" if share >= 0.12 else ""
        pieces.append((example.text[word.start : word.stop], colour, f"{word.effect:+.3f}"))
        at = word.stop
    rest = example.text[at:LETTERS] + ("…" if len(example.text) > LETTERS else "")
    return [piece for piece in [*pieces, (rest, "", "")] if piece[0]]
