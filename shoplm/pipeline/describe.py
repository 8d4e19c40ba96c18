"""What a run says about itself: lines while it works, the model card, the report."""

from __future__ import annotations

import json
import resource
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.health.finding import Finding
from shoplm.evaluate.calibrate import diagram, told
from shoplm.evaluate.judge import Judgement
from shoplm.evaluate.report import Belief, Curves, Report, write_report
from shoplm.model.adapters import PEFT
from shoplm.model.backbone import Pooling
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.prepare import Prepared
from shoplm.task import Calibration, Fitted
from shoplm.train.journal import Journal, machine
from shoplm.train.plan import Steps


def rows_line(subject: str, prepared: Prepared, train: int, valid: int) -> str:
    """How many rows there are, and what to know about them."""
    test = len(prepared.at("test"))
    said = f"{subject}: {train:,} rows to learn from, {valid:,} to choose by, {test:,} kept for the end"
    if prepared.truncated:
        said += f"; {prepared.truncated:,} texts are longer than max_length and are cut"
    if prepared.crossing:
        said += f"; {prepared.crossing:,} texts stand in more than one split"
    return said


def estimate(seconds: float, plan: Steps) -> str:
    """What the rest will take, from the seconds of the largest batch."""
    largest = plan.lengths[plan.largest]
    tokens = int(plan.lengths.sum()) * plan.epochs
    total = seconds * tokens / max(1, int(largest.max()) * len(largest))
    return (
        f"about {duration(total)}: {plan.epochs} epochs of {len(plan.epoch(0)):,} steps, batches of up to "
        f"{len(largest)} rows and {int(largest.max())} tokens; memory up to {peak_memory_mb():,.0f} MB (largest batch tried)"
    )


def duration(seconds: float) -> str:
    """Seconds in words that a person plans by."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6  # macOS counts bytes, Linux KiB


def epoch_line(line: Mapping[str, Any]) -> str:
    """``Epoch 1, train loss: 0.693, valid accuracy: 0.712``."""
    said = f"Epoch {line['epoch']}, train loss: {line['train_loss']:.3f}"
    for name, value in line.items():
        if name.startswith("valid_"):
            said += f", valid {name[6:]}: {value:.3f}"
    return said


POOLED: Mapping[Pooling, str] = {
    "mean": "the mean of the last hidden states over the real tokens",
    "first": "the last hidden state of the first token",
    "last": "the last hidden state of the last real token",
}
"""What a head reads of a row."""


def card(backbone: str, pooling: Pooling, config: RunConfig, metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The model card: front matter that hubs read, then what a person wants to know."""
    lines = ["---", f"base_model: {json.dumps(backbone)}", "library_name: shoplm", "tags: [e-commerce, text-classification]", "metrics:"]
    for task, said in metrics.items():
        for name, found in said.get("metrics", {}).items():
            if found["value"] is not None:
                lines.append(f"  - name: {task}/{name}\n    split: {said['split']}\n    value: {found['value']:.4f}")
    lines += ["---", "", f"# {', '.join(metrics)}", ""]
    lines.append(f"A ShopLM bundle: `{backbone}` fine-tuned with method `{config.adapter.method}`.")
    for task, said in facts.items():
        lines += ["", f"## {task}", "", f"Trained on {said['train_rows']:,} rows (data version `{said['data_version']}`)."]
        if not said["valid_rows"]:
            lines.append("Not judged: there were no validation rows. The last weights answer.")
        else:
            chose = "the epoch and the calibration" if said["recipe"]["fit"]["keep"] == "best" else "the calibration"
            lines += [f"Judged on {said['valid_rows']:,} validation rows, which also chose {chose}:", ""]
        for name, found in metrics[task].get("metrics", {}).items():
            if found["value"] is not None:
                lines.append(f"- {name}: {found['value']:.4f} (95 % interval {found['low']:.4f} to {found['high']:.4f})")
        if said.get("calibration"):  # bundles older than this line have none
            lines += ["", "Probabilities:", "", *(f"- {line}" for line in said["calibration"])]
    lines += ["", "```", "shoplm predict BUNDLE TASK --text '…'", "shoplm evaluate BUNDLE --data FILE", "```", ""]
    if config.adapter.method in PEFT:
        lines += [
            "Each folder in `adapters/` is a plain `peft` adapter of the base model; `heads/<task>.safetensors` holds the head:",
            f"with x {POOLED[pooling]}, divided by its length, and w a row of",
            "`<head>.weight`, divided by its length, the logit is `<head>.scale` · x·w + `<head>.bias`.",
            "",
        ]
    return "\n".join(lines)


_JUDGE = "run `shoplm evaluate` for the test rows"


def training_report(
    folder: Path,
    task: str,
    judgement: Judgement | None,
    fitted: Fitted,
    prepared: Prepared,
    facts: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> None:
    """``report.html`` of a run that has just ended: curves, and what validation says."""
    findings = [Finding("note", "judging", "", "", "Judged on the validation rows, which also chose", _JUDGE)]
    if judgement is None:
        findings = [Finding("warning", "judging", "", "", "No validation rows, so nothing is judged here", _JUDGE)]
    if prepared.truncated:
        text = f"{prepared.truncated:,} texts are longer than max_length and were cut"
        findings.append(Finding("note", "length", "", "", text, "", prepared.truncated))
    if prepared.crossing:
        text = f"{prepared.crossing:,} texts stand in more than one split: what is judged may have been learnt by heart"
        findings.append(Finding("warning", "split", "", "", text, "", prepared.crossing))
    if prepared.repeats:
        findings.append(Finding("warning", "repeats", "", "", str(prepared.repeats), prepared.repeats.FIX))
    place = next(parent for parent in (folder, *folder.parents) if parent.name == "run").parent
    report = Report(
        title=f"{task}: trained",
        verdict="" if judgement is None else f"On {judgement.rows:,} validation rows.",
        judgement=judgement,
        labels={name: list(labels) for name, labels in fitted.labels.items()},
        findings=tuple(findings),
        curves=curves(Journal(folder), history),
        facts=fact_lines(facts),
        commands=(shlex.join(["shoplm", "evaluate", str(place), task]), shlex.join(["shoplm", "predict", str(place), task, "--text", "…"])),
        beliefs=_beliefs(fitted),
    )
    write_report(report, folder / "report.html")


def _beliefs(fitted: Fitted) -> list[Belief]:
    """What was seen while calibrating: of rows that had no part in it, which the judgement of the same rows cannot say."""
    found, lines = [], told(fitted)
    for head, how in fitted.calibrations.items():
        if isinstance(how, Calibration) and how.before and how.after:
            found.append(Belief(head, diagram(how.after), diagram(how.before), [line for line in lines if line.startswith(f"{head}: ")]))
    return found


def curves(journal: Journal, history: Sequence[Mapping[str, Any]]) -> Curves | None:
    """The learning curves in a run's journal."""
    steps = [line for line in journal.lines() if "loss" in line]
    if not steps:
        return None
    names = [name for name in (history[0] if history else {}) if name.startswith("valid_")]
    points = {name[6:].replace("_", " "): [(float(line["epoch"]), float(line[name])) for line in history] for name in names}
    return Curves([line["step"] for line in steps], [line["loss"] for line in steps], points)


def history_of(journal: Journal) -> list[dict[str, Any]]:
    """The epochs in a run's journal."""
    return [line for line in journal.lines() if "train_loss" in line]


def fact_lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """What the figures depend on, for the foot of a report."""
    found = {"data version": str(facts.get("data_version", "")), "train rows": f"{facts.get('train_rows', 0):,}"}
    recipe = facts.get("recipe", {})
    if recipe:
        fit = recipe["fit"]
        found["method"] = recipe["adapter"]["method"]
        found["recipe"] = (
            f"{fit['epochs']} epochs, batches of {fit['batch_size']}, rate {fit['learning_rate']:g}, seed {fit['seed']}, {fit['precision']}"
        )
    here = machine()
    found["machine"] = f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB"
    return found
