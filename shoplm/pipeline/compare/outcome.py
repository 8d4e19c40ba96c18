"""What came of a comparison: which finalist is chosen, what it gains and costs beside the others, and its recipe to be edited."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from shoplm.errors import RunError
from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.compare_page import ComparePage, Row, Tries, write_page
from shoplm.evaluate.repeated import Run, figure, gain
from shoplm.evaluate.report import method_name, metric_name
from shoplm.files import write_text
from shoplm.pipeline.compare.candidates import Candidate
from shoplm.pipeline.compare.search import Trial, best
from shoplm.pipeline.config import RunConfig, resolve
from shoplm.pipeline.lesson import Lesson
from shoplm.train.journal import machine, versions

Found = Mapping[str, Any]
"""What one repeat found, as ``repeating`` writes it."""
CHEAPER = 0.7
"""A finalist that takes at most this share of the chosen one's seconds is worth a word when it ties."""


@dataclass(frozen=True)
class Finalist:
    """A trial that is trained again."""

    name: str
    candidate: Candidate
    trial: Trial
    config: RunConfig
    """With the trial's values; not resolved."""
    depth: int
    """The layers of its backbone."""


def write(
    out: Path,
    finalists: Sequence[Finalist],
    runs: Mapping[str, Sequence[Found]],
    tried: Mapping[str, Sequence[Trial]],
    lesson: Lesson,
    source: Sequence[str],
    facts: Mapping[str, Any],
) -> tuple[ComparePage, dict[str, Any]]:
    """Write ``recipe.yaml``, ``recipes/``, ``compare.json`` and ``report.html``.

    Args:
        out: the folder.
        finalists: in any order.
        runs: finalist -> what each seed found.
        tried: candidate -> its trials.
        lesson: of any backbone: task and rows.
        source: where the rows are, as words of a command line.
        facts: what the JSON object begins with.

    Returns:
        The page, and the JSON object.

    Raises:
        RunError: no finalist came to its end.
        ResourceError: the disk is full.
    """
    metric, split = lesson.task.judge_by, "test" if len(lesson.prepared.at("test")) else "valid"
    whole = {name: [one for one in several if "failed" not in one] for name, several in runs.items()}
    higher = lesson.task.metrics_of(lesson.fitted)[metric].higher_is_better
    name = chosen(finalists, whole, higher=higher)
    rows = _rows(finalists, runs, whole, name, metric, higher)
    notes = [f"{row.name} failed: {row.failed}" for row in rows if row.failed]
    notes += [
        f"{one}: no trial came to its end ({', '.join(sorted({trial.state for trial in trials}))})"
        for one, trials in tried.items()
        if best(trials) is None
    ]
    if split == "valid":
        notes.append("There are no test rows: what chose also judges, which flatters.")
    recipes = {finalist.name: recipe(finalist, lesson, out, source, _why(finalist, tried, whole, metric)) for finalist in finalists}
    for finalist in finalists:
        write_text(
            out / "recipes" / f"{slug(finalist.name)}.yaml",
            recipes[finalist.name].replace(str(out / "recipe.yaml"), str(out / "recipes" / f"{slug(finalist.name)}.yaml")),
        )
    write_text(out / "recipe.yaml", recipes[name])
    judged = next(run["judged"]["rows"] for run in whole[name])
    here = machine()
    page = ComparePage(
        title=f"{lesson.name}: {', '.join(tried)}",
        metric=metric,
        verdict=verdict(rows, metric, split, judged, len(whole[name])),
        rows=rows,
        tries=[_tries(one, trials) for one, trials in tried.items()],
        split=split,
        judged=judged,
        seeds=len(whole[name]),
        recipe=recipes[name],
        notes=notes,
        facts={
            "data version": lesson.view.data_version,
            "rows": f"{lesson.train:,} to learn from, {len(lesson.valid_rows):,} to choose by, {judged:,} to judge by",
            "search": f"up to {facts['trials']} trials and {facts['budget_seconds']:,.0f} s of training for each",
            "machine": f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB",
            "not compared": "models behind an endpoint: they take prompts and are not tuned here",
        },
        commands=(shlex.join(["shoplm", "train", lesson.name, *source, "--recipe", str(out / "recipe.yaml"), "--out", lesson.name]),),
    )
    said = {
        **facts, "judge_by": metric, "split": split, "rows": {"train": lesson.train, "valid": len(lesson.valid_rows), "judged": judged},
        "chosen": name, "recipe": str(out / "recipe.yaml"), "report": str(out / "report.html"),
        "finalists": [_plain(row, finalists, whole, metric) for row in rows if row.name in runs],
        "baselines": {key: theirs["points"] for key, theirs in _baselines(whole).items()},
        "search": {one: [trial.plain() for trial in trials] for one, trials in tried.items()},
        "machine": here, "versions": versions(),
    }  # fmt: skip
    write_text(out / "compare.json", json.dumps(said, indent=1, ensure_ascii=False))
    write_page(page, out / "report.html")
    return page, said


def chosen(finalists: Sequence[Finalist], whole: Mapping[str, Sequence[Found]], *, higher: bool) -> str:
    """The finalist that is best on validation, by the mean over its seeds; of equals the quicker one.

    Raises:
        RunError: none came to its end.
    """
    turn = 1.0 if higher else -1.0
    means = {
        finalist.name: (turn * _valid(whole[finalist.name]), -_median(whole[finalist.name], "seconds"))
        for finalist in finalists
        if whole.get(finalist.name)
    }
    if not means:
        raise RunError("no finalist came to its end; look at the lines above, and try a smaller batch_size or max_length")
    return max(means, key=lambda name: means[name])


def _valid(several: Sequence[Found]) -> float:
    return float(np.mean([one["valid"] for one in several]))


def _rows(
    finalists: Sequence[Finalist],
    runs: Mapping[str, Sequence[Found]],
    whole: Mapping[str, Sequence[Found]],
    name: str,
    metric: str,
    higher: bool,
) -> list[Row]:
    """The chosen one first, the others by validation, the plain methods last."""
    leading = [_run(one["judged"]) for one in whole[name]]
    rows = []
    for finalist in finalists:
        several = whole.get(finalist.name, [])
        if not several:
            failed = str(runs[finalist.name][0].get("failed", ""))
            rows.append(Row(finalist.name, _NOTHING, None, candidate=finalist.candidate.name, failed=failed))
            continue
        judged = [_run(one["judged"]) for one in several]
        rows.append(
            Row(
                finalist.name,
                figure(judged, metric),
                None if finalist.name == name else gain(judged, leading, metric),
                valid=_valid(several),
                seconds=_median(several, "seconds"),
                peak_mb=_median(several, "peak_mb"),
                learning=several[0]["learning"] / max(1, several[0]["parameters"]),
                bundle_bytes=_median(several, "bundle_bytes"),
                tokens_per_second=_median(several, "tokens_per_second"),
                latency_ms=_median(several, "latency_ms"),
                candidate=finalist.candidate.name,
                chosen=finalist.name == name,
            )
        )
    turn = -1.0 if higher else 1.0
    rows.sort(key=lambda row: (not row.chosen, bool(row.failed), turn * (row.valid or 0.0)))
    for key, theirs in _baselines(whole).items():
        rows.append(Row(method_name(key), figure([_run(theirs)], metric), gain([_run(theirs)], leading, metric)))
    return rows


_NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


def _run(judged: Found) -> Run:
    return Run(
        judged["points"], judged["replicates"], judged["checksums"], judged["higher_is_better"], int(judged["rows"]), int(judged["seed"])
    )


def _baselines(whole: Mapping[str, Sequence[Found]]) -> Mapping[str, Found]:
    return next((one["baselines"] for several in whole.values() for one in several if one.get("baselines")), {})


def _median(several: Sequence[Found], key: str) -> float:
    return float(np.median([one[key] for one in several]))


def verdict(rows: Sequence[Row], metric: str, split: str, judged: int, seeds: int) -> str:
    """Which one, how good, and who does as well for less."""
    leading = next(row for row in rows if row.chosen)
    said = (
        f"{leading.name} is best on validation ({leading.valid:.3f}{f', the mean over {seeds} seeds' if seeds > 1 else ''}). "
        f"On {judged:,} {split} rows its {metric_name(metric)} is {leading.quality}."
    )
    others = [row for row in rows if not row.chosen and row.behind is not None and row.seconds is not None]
    cheap = [
        row for row in others if row.behind is not None and row.behind.high >= 0 and (row.seconds or 0) <= CHEAPER * (leading.seconds or 0)
    ]
    if cheap:
        least = min(cheap, key=lambda row: row.seconds or 0)
        said += f" {least.name} ties with it there in {100 * (least.seconds or 0) / (leading.seconds or 1):.0f} % of the time."
    better = [row.name for row in others if row.behind is not None and row.behind.low > 0]
    if better:
        said += f" {' and '.join(better)} did better on the {split} rows; validation did not see it, and choosing by {split} rows would flatter."
    floor = [row for row in rows if not row.candidate and row.behind is not None and row.behind.high >= 0]
    if floor:
        plain = max(floor, key=lambda row: row.quality.value)
        clear = plain.behind is not None and plain.behind.low > 0
        said += f" {plain.name} {'is better' if clear else 'does as well'}: the plain method is enough here, or more labels are needed."
    return said


def _values(trial: Trial) -> str:
    words = [f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.params.items()]
    return " ".join(words) or "nothing to search"


def _tries(name: str, trials: Sequence[Trial]) -> Tries:
    used, points = 0.0, []
    for trial in trials:
        used += trial.seconds
        if trial.value is not None:
            points.append((used, abs(trial.value), trial.state == "done"))
    leading, states = best(trials), [trial.state for trial in trials]
    other = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states) - {"done", "halved"}))
    return Tries(name, points, "" if leading is None else _values(leading), states.count("done"), states.count("halved"), used, other)


def _plain(row: Row, finalists: Sequence[Finalist], whole: Mapping[str, Sequence[Found]], metric: str) -> dict[str, Any]:
    finalist, several = next(one for one in finalists if one.name == row.name), whole.get(row.name, [])
    names = list(several[0]["judged"]["points"]) if several else []
    judged = [_run(one["judged"]) for one in several]
    return {
        "name": row.name, "method": finalist.candidate.method, "backbone": finalist.candidate.config.backbone, "chosen": row.chosen,
        "failed": row.failed or None, "trial": finalist.trial.number, "params": dict(finalist.trial.params), "valid": row.valid,
        "metrics": {name: _estimate(figure(judged, name)) for name in names},
        "minus_chosen": None if row.behind is None else {metric: _estimate(row.behind)},
        "seeds": [{key: value for key, value in one.items() if key not in ("judged", "baselines")} | {"points": one["judged"]["points"]} for one in several],
        "seconds": row.seconds, "peak_mb": row.peak_mb, "learning_share": row.learning, "bundle_bytes": row.bundle_bytes,
        "tokens_per_second": row.tokens_per_second, "latency_ms": row.latency_ms,
    }  # fmt: skip


def _estimate(found: Estimate) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else round(float(value), 6) for key, value in found.__dict__.items()}


def _why(finalist: Finalist, tried: Mapping[str, Sequence[Trial]], whole: Mapping[str, Sequence[Found]], metric: str) -> str:
    several = whole.get(finalist.name, [])
    said = f"trial {finalist.trial.number + 1} of {len(tried[finalist.candidate.name])} of {finalist.candidate.name}"
    over = f", the mean over {len(several)} seeds" if len(several) > 1 else ""
    return said + (f"; validation {metric} {_valid(several):.4f}{over}" if several else "")


def recipe(finalist: Finalist, lesson: Lesson, out: Path, source: Sequence[str], why: str) -> str:
    """A finalist's settings as a recipe: what was set or searched, and what a run would otherwise choose by itself."""
    config: RunConfig = finalist.config
    resolved = resolve(config, lesson.train, finalist.depth)
    plain: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    plain["tasks"] = list(config.tasks)
    chosen_here = {name: getattr(resolved.fit, name) for name in ("epochs", "batch_size", "learning_rate")}
    plain["fit"] = {**chosen_here, **plain.get("fit", {})}
    ordered: dict[str, Any] = {name: plain[name] for name in ("tasks", "backbone", "adapter", "fit") if name in plain}
    body = yaml.safe_dump({**ordered, **plain}, sort_keys=False, allow_unicode=True)
    command = shlex.join(["shoplm", "train", lesson.name, *source, "--recipe", str(out / "recipe.yaml"), "--out", lesson.name])
    return f"# {command}\n#\n# Chosen by `shoplm compare`: {why}.\n# Every value may be edited; docs/settings.md says what each one does.\n{body}"


def slug(name: str) -> str:
    """A candidate's name as a file's."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "candidate"
