"""evaluate: a bundle on rows with known answers, beside honest baselines, with intervals. Memory does not grow with the rows."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoplm.data.health.finding import Finding
from shoplm.data.shop import Shop, View
from shoplm.errors import DataError
from shoplm.evaluate.baselines import Baseline, fit_baselines
from shoplm.evaluate.baselines import Head as BaselineHead
from shoplm.evaluate.calibrate import uncalibrated
from shoplm.evaluate.extraction import Lookup
from shoplm.evaluate.judge import Estimate, Judge, Judgement, difference
from shoplm.evaluate.metrics import ECE, LogLoss
from shoplm.evaluate.report import Belief, Example, Report, metric_name, summary, verdict, write_report
from shoplm.evaluate.words import moved
from shoplm.model.precision import Precision
from shoplm.model.specs import Choice, HeadSpec, Labels, Score, Spans
from shoplm.pipeline import describe
from shoplm.pipeline.bundle import Bundle, beside
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.prepare import TEXTS_KEPT, Piece, encode, moments_of, origin, pieces
from shoplm.pipeline.progress import Progress, Silent
from shoplm.task import Fitted, Metric, Scores, Task, walked
from shoplm.train.journal import Journal, machine

SLAB_ROWS = 1024
"""Rows whose every token is spoken of at once."""
SPLITS = ("train", "valid", "test", "all")


@dataclass(frozen=True)
class Evaluation:
    """What was found about a bundle on one split."""

    task: str
    split: str
    data_version: str
    judgement: Judgement
    baselines: Mapping[str, Judgement]
    judge_by: str
    seconds: float
    notes: Sequence[str] = ()
    examples: Sequence[Example] = field(default=(), repr=False)
    uncalibrated: Judgement | None = field(default=None, repr=False)
    """Log loss and calibration error of the same rows without calibration; None when there was none to leave out."""

    targets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The target of each metric (of a joint one the first)."""

    def beliefs(self) -> list[Belief]:
        """Reliability before and after calibration, with what it changed on these rows (paired)."""
        before, found = self.uncalibrated, []
        changed = {} if before is None else difference(self.judgement, before)
        for target, table in self.judgement.reliability.items():
            names = [name for name in changed if before is not None and self.targets.get(name) == target]
            said = [
                f"{metric_name(name)}: {before.metrics[name]} before calibration, {self.judgement.metrics[name]} after; "
                f"changed by {changed[name].value:+.4f} [{changed[name].low:+.4f}, {changed[name].high:+.4f}]"
                for name in names
                if before is not None
            ]
            found.append(Belief(target, table, None if before is None else before.reliability.get(target), said))
        return found

    def differences(self) -> dict[str, dict[str, Estimate]]:
        """For each baseline how much better this model is, metric by metric, on the same resampled rows."""
        return {name: difference(self.judgement, theirs) for name, theirs in self.baselines.items()}

    def plain(self) -> dict[str, Any]:
        """The object that ``evaluate --json`` prints."""
        said = self.judgement.plain()
        return {
            "task": self.task,
            "split": self.split,
            "rows": said["rows"],
            "data_version": self.data_version,
            "metrics": said["metrics"],
            "baselines": {name: theirs.points() for name, theirs in self.baselines.items()},
            "uncalibrated": {} if self.uncalibrated is None else self.uncalibrated.plain()["metrics"],
            "slices": said["slices"],
            "seconds": round(self.seconds, 3),
            "machine": machine(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [summary(self.judgement, self.baselines), "", verdict(self.judgement, self.baselines, self.judge_by), *self.notes]
        return "\n".join([*lines, *(line for belief in self.beliefs() for line in belief.said)])


def evaluate(
    bundle: Bundle,
    task: str | None = None,
    *,
    shop: Path | Shop | None = None,
    data: Path | None = None,
    mapping: Mapping[str, str] | None = None,
    split: str = "test",
    where: str | None = None,
    baselines: bool = True,
    examples: int = 0,
    precision: Precision = "fp32",
    progress: Progress | None = None,
) -> Evaluation:
    """Judge one task of a bundle.

    Args:
        bundle: the model.
        task: which task; None when it has one.
        shop: a shop, or
        data: a plain file, with
        mapping: ours -> theirs.
        split: train, valid, test, or all rows.
        where: a SQL condition on the rows; None = the one that it was trained with.
        baselines: fit the majority and a TF-IDF model on the train rows, to stand beside.
        examples: how many rows to show with the words that mattered.
        precision: of the forward pass.
        progress: who waits.

    Raises:
        InputError: the data does not fit, or the split has no rows with an answer.
    """
    waiting = progress or Silent()
    if split not in SPLITS:
        raise DataError(f"split `{split}`: expected one of {', '.join(SPLITS)}")
    name, task_, part, fitted = bundle.part(task)
    recipe = RunConfig.of(bundle.contents.facts[name]["recipe"], "bundle")
    if where is not None:
        recipe = recipe.model_copy(update={"where": where})
    bundle.precision = precision
    with origin(task_, shop, data, mapping, waiting) as source:
        begin = time.perf_counter()
        rows = _Rows(source.view, task_, bundle, recipe, split, fitted)
        specs, metrics = part.network.specs, task_.metrics_of(fitted)
        notes = list(source.notes)
        known = rows.known(specs, notes)
        fitted_baselines = _baselines(rows, specs, notes, waiting) if baselines else {}
        ours: Judge | None = None
        tells = any(isinstance(metric, ECE | LogLoss) for metric in metrics.values())
        plain, before = uncalibrated(fitted) if tells else None, None
        theirs: dict[str, Judge] = {}
        shown: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        with waiting.bar(f"{name}: judging", source.view.rows(walked(task_, rows.settings))) as advance:
            for piece, at in _slabs(rows.judged(), specs):
                advance(piece.rows)
                if not len(at):
                    continue
                tokens = piece.tokens.take(at)
                scores = bundle.read(name, tokens)
                answer = task_.answer(scores, fitted)
                targets = {key: column[at] for key, column in encode(piece.moments.targets, specs).items()}
                cuts = {
                    **{key: column.take(pa.array(at)) for key, column in piece.moments.slices.items()},
                    **{key: rows.warmth(key, column.take(pa.array(at))) for key, column in piece.moments.seen.items()},
                    "length": _lengths(tokens.lengths),
                }
                ours = ours or judge_of(metrics, answer.values, known)
                ours.update(targets, answer.values, cuts)
                if plain is not None:
                    values = task_.answer(scores, plain).values
                    before = before or judge_of(metrics, values, known, (ECE, LogLoss))
                    before.update(targets, values)
                texts = [piece.texts[i] for i in at]
                for key, baseline in fitted_baselines.items():
                    values = _baseline_values(task_, fitted, specs, baseline.values(texts))
                    theirs.setdefault(key, judge_of(metrics, values, known)).update(targets, values)
                if examples and len(shown) < 2000:
                    shown += _rows_of(texts, answer.rows(), targets)
        if ours is None:
            raise DataError(
                f"{task_.subject}: no {split} rows with an answer; choose another --split, or check the `split` column or --where"
            )
        return Evaluation(
            name, split, source.view.data_version, ours.result(), {key: judge.result() for key, judge in theirs.items()},
            task_.judge_by, time.perf_counter() - begin, notes, _examples(bundle, name, shown, examples),
            None if before is None else before.result(), {name: metric.target for name, metric in metrics.items()},
        )  # fmt: skip


class _Rows:
    """The rows of a view, once to fit baselines and once to be judged."""

    def __init__(self, view: View, task: Task, bundle: Bundle, recipe: RunConfig, split: str, fitted: Fitted) -> None:
        self.features, self._taught = fitted.features, dict[str, set[int]]()
        self.view, self.task, self.bundle, self.recipe, self.split = view, task, bundle, recipe, split
        self.settings = task.Settings.of({key: value for key, value in recipe.task.items() if key in task.Settings.model_fields}, "bundle")

    def pieces(self) -> Iterator[Piece]:
        tokenizer, split, where = self.bundle.contents.backbone.tokenizer, self.recipe.split, self.recipe.where
        for piece in pieces(self.view, self.task, self.settings, tokenizer, split, where, names=self.features.names):
            yield replace(piece, tokens=beside(piece.tokens, self.features, piece.features))

    def judged(self) -> Iterator[tuple[Piece, npt.NDArray[np.int64]]]:
        for piece in self.pieces():
            chosen = np.ones(len(piece.ids), bool) if self.split == "all" else piece.split == self.split
            yield piece, np.flatnonzero(chosen).astype(np.int64)

    def warmth(self, name: str, keys: pa.Array) -> list[str]:
        """(M,) whether a train row had the key; ``known`` must have gone through the rows."""
        taught = self._taught.get(name, set())
        return ["nobody" if key is None else "warm" if hash(key) in taught else "cold" for key in keys.to_pylist()]

    def known(self, specs: Mapping[str, HeadSpec], notes: list[str]) -> set[str]:
        """The targets of which some row of the split has a value; what the bundle cannot know is noted.

        Raises:
            DataError: there is no row with an answer, or none with one that the bundle knows.
        """
        found: set[str] = set()
        foreign: dict[str, int] = {}
        labels: list[str] = []
        for _, moments, side in moments_of(self.view, self.task, self.settings, self.recipe.split, self.recipe.where):
            for name, keys in moments.seen.items():
                self._taught.setdefault(name, set()).update(map(hash, keys.filter(pa.array(side == "train")).drop_null().to_pylist()))
            at = pa.array(np.ones(len(side), bool) if self.split == "all" else side == self.split)
            for name, column in moments.targets.items():
                given = column.filter(at)
                spec = specs.get(name)
                if isinstance(spec, Choice):
                    labels = list(spec.labels)
                    for label, count in Counter(given.drop_null().to_pylist()).items():
                        if label not in spec.labels:
                            foreign[label] = foreign.get(label, 0) + count
                found |= known(encode({name: given}, specs))
        shown = ", ".join(f"`{label}` ({count:,})" for label, count in sorted(foreign.items())[:3]) + (
            " and others" if len(foreign) > 3 else ""
        )
        if not any(name in specs for name in found):
            seen = f"; seen {shown}, but the bundle knows {', '.join(labels[:6])}" if foreign else ""
            raise DataError(
                f"{self.task.subject}: no {self.split} rows with an answer{seen}; check --split, --where, --map or the `split` column"
            )
        if foreign:
            notes.append(f"left out of the class metrics, since the bundle does not know their labels: {shown}")
        return found

    def learnt(self) -> tuple[list[str], dict[str, list[pa.Array]]]:
        """The train rows' texts and raw targets, up to the cap."""
        texts: list[str] = []
        targets: dict[str, list[pa.Array]] = {}
        for piece in self.pieces():
            at = np.flatnonzero(piece.split == "train")[: TEXTS_KEPT - len(texts)]
            texts += [piece.texts[i] for i in at]
            for key, column in piece.moments.targets.items():
                targets.setdefault(key, []).append(column.take(pa.array(at)))
            if len(texts) >= TEXTS_KEPT:
                break
        return texts, targets


def judge_of(
    metrics: Mapping[str, Metric],
    values: Mapping[str, npt.NDArray[Any]],
    known: Collection[str],
    kinds: tuple[type[Metric], ...] = (Metric,),
) -> Judge:
    """A judge with those metrics for which there are both values and known targets, if need be of some kinds only."""
    metrics = {name: metric for name, metric in metrics.items() if metric.readable(known, values) and isinstance(metric, kinds)}
    return Judge(metrics, {name: value.shape[1] for name, value in values.items() if value.ndim == 2})


def known(targets: Mapping[str, npt.NDArray[Any]]) -> set[str]:
    """The targets of which some row has a value."""
    return {name for name, target in targets.items() if _known(target)}


def _known(target: npt.NDArray[Any]) -> bool:
    return bool((~np.isnan(target)).any()) if target.dtype.kind == "f" else bool((target >= 0).any())


def _baselines(rows: _Rows, specs: Mapping[str, HeadSpec], notes: list[str], progress: Progress) -> Mapping[str, Any]:
    texts, raw = rows.learnt()
    if not texts:
        notes.append("no train rows in this data, so no baselines beside")
        return {}
    spans = {name: encode({name: pa.concat_arrays(raw[name])}, specs)[name] for name, spec in specs.items() if isinstance(spec, Spans)}
    if spans:
        progress.say("baseline: look-up of values that train texts have")
        return {"lookup": Baseline("lookup", "", {name: Lookup.fit(texts, told).find for name, told in spans.items()}, list)}
    kinds: dict[str, BaselineHead] = {}
    for name, spec in specs.items():
        if isinstance(spec, Choice):
            kinds[name] = ("choice", len(spec.labels))
        elif isinstance(spec, Score):
            kinds[name] = ("binary",) if spec.kind == "binary" else ("regression",)
        elif isinstance(spec, Labels):
            kinds |= dict.fromkeys(spec.labels, ("binary",))
    kinds = {name: kind for name, kind in kinds.items() if name in raw}
    if not kinds:
        return {}
    targets = {name: np.concatenate([encode({name: column}, specs)[name] for column in raw[name]]) for name in kinds}
    kinds = {name: kind for name, kind in kinds.items() if _known(targets[name])}
    with progress.bar("baselines: majority, TF-IDF + linear", None):
        found = fit_baselines(texts, {name: targets[name] for name in kinds}, kinds)
    notes += [f"baseline {name}: {baseline.note}" for name, baseline in found.items() if baseline.note]
    return found


def _baseline_values(
    task: Task, fitted: Fitted, specs: Mapping[str, HeadSpec], values: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """A baseline's probabilities as the task itself would derive values from them, its own calibration left as it is."""
    if any(isinstance(spec, Spans) for spec in specs.values()):  # found in the text: there are no tokens to decide about
        return dict(values)
    scores: dict[str, npt.NDArray[Any]] = {}
    for name, spec in specs.items():
        if isinstance(spec, Labels):
            each = [np.clip(values[label], 1e-12, 1 - 1e-12) for label in spec.labels if label in values]
            if len(each) == len(spec.labels):
                scores[name] = (np.log(each) - np.log1p(np.negative(each))).T.astype(np.float32)
        elif name in values:
            scores[name] = np.log(np.clip(values[name], 1e-12, 1)).astype(np.float32) if isinstance(spec, Choice) else values[name]
    numbers = {key: value for key, value in fitted.numbers.items() if key in ("low", "high")}
    plain = fitted.model_copy(update={"numbers": numbers, "calibrations": {}})
    derived = task.answer(Scores(scores), plain).values
    return {name: value for name, value in derived.items() if name in values or name.rpartition(" ")[2] in ("event", "choice")}


def _slabs(
    judged: Iterator[tuple[Piece, npt.NDArray[np.int64]]], specs: Mapping[str, HeadSpec]
) -> Iterator[tuple[Piece, npt.NDArray[np.int64]]]:
    """The same rows; where a head speaks of every token only so many at once that its logits stay small."""
    tagging = any(isinstance(spec, Spans) for spec in specs.values())
    for piece, at in judged:
        yield piece, at[:SLAB_ROWS] if tagging else at
        for begin in range(SLAB_ROWS, len(at) if tagging else 0, SLAB_ROWS):
            yield replace(piece, rows=0), at[begin : begin + SLAB_ROWS]


def _lengths(tokens: npt.NDArray[np.int64]) -> list[str]:
    """A slice by length that every task has."""
    names = ["up to 16 tokens", "17 to 64 tokens", "over 64 tokens"]
    return [names[at] for at in np.digitize(tokens, [17, 65])]


def _rows_of(
    texts: Sequence[str], answers: Sequence[dict[str, Any]], targets: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [
        (text, answer, {name: column[at] for name, column in targets.items()})
        for at, (text, answer) in enumerate(zip(texts, answers, strict=True))
    ]


def _examples(bundle: Bundle, name: str, shown: Sequence[tuple[str, dict[str, Any], dict[str, Any]]], count: int) -> list[Example]:
    """Rows worth looking at, with the words that mattered: sure and right, sure and wrong, unsure."""
    _, task, part, _ = bundle.part(name)
    classes = next(((head, spec) for head, spec in part.network.specs.items() if isinstance(spec, Choice)), None)
    if not count or not shown or classes is None or task.keys:  # what hangs on a shop's tables too is not moved by its words alone
        return []
    head, spec = classes
    known = [row for row in shown if row[2][head] >= 0]
    sure = sorted(known, key=lambda row: -float(row[1]["probability"]))
    right = [row for row in sure if row[1][head] == spec.labels[int(row[2][head])] and 40 <= len(row[0]) <= 400]
    wrong = [row for row in sure if row[1][head] != spec.labels[int(row[2][head])]]
    chosen = [*right[:1], *wrong[:1], *sure[::-1][:1], *right[1:], *sure]
    found: list[Example] = []
    for text, answer, truth in chosen:
        if len(found) == count or any(example.text == text for example in found):
            continue
        label = spec.labels.index(answer[head])

        def probability(texts: list[str], label: int = label) -> npt.NDArray[np.float64]:
            return bundle.predict_proba(texts, name)[:, label].astype(float)

        words = moved(probability, text)
        found.append(Example(text, answer[head], words, float(answer["probability"]), spec.labels[int(truth[head])]))
    return found


def report(found: Evaluation, bundle: Bundle, findings: Sequence[Finding] = (), commands: Sequence[str] = ()) -> Path | None:
    """Write the evaluation as ``run/report.html`` of its bundle; None when the bundle has no place or cannot be written there.

    The learning curves of its training come along.
    """
    if bundle.place is None:
        return None
    _, _, _, fitted = bundle.part(found.task)
    several = len(bundle.tasks) > 1
    folder = bundle.place / "run" / found.task if several else bundle.place / "run"
    journal = Journal(folder)
    page = Report(
        title=f"{found.task} on {found.split} rows",
        verdict=verdict(found.judgement, found.baselines, found.judge_by),
        judgement=found.judgement,
        baselines=found.baselines,
        labels={name: list(labels) for name, labels in fitted.labels.items()},
        findings=tuple(findings),
        curves=describe.curves(journal, describe.history_of(journal)),
        examples=tuple(found.examples),
        facts=describe.fact_lines(bundle.contents.facts[found.task]),
        beliefs=found.beliefs(),
        commands=tuple(commands)
        or (
            shlex.join(["shoplm", "predict", str(bundle.place), found.task, "--text", "…"]),
            shlex.join(["shoplm", "verify", str(bundle.place)]),
        ),
    )
    write_report(page, folder / "report.html")
    return folder / "report.html"
