"""One page about a comparison: which recipe, how good, at what cost, and how the search came to it. Self-contained, no script.

``summary`` is the same table for a terminal. Whatever comes from data is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoplm.evaluate import plots
from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.plots import Mark
from shoplm.evaluate.report import metric_name, template
from shoplm.files import write_text


@dataclass(frozen=True)
class Row:
    """One finalist, or one plain method that stands beside."""

    name: str
    quality: Estimate
    behind: Estimate | None
    """What it gains on the chosen one, paired; None for the chosen one itself and where nothing can be paired."""
    valid: float | None = None
    """What chose: the mean over seeds on validation rows."""
    seconds: float | None = None
    """Of one whole training, from rows to bundle: the median over seeds."""
    peak_mb: float | None = None
    learning: float | None = None
    """Share of the parameters that learn, [0, 1]."""
    bundle_bytes: float | None = None
    tokens_per_second: float | None = None
    latency_ms: float | None = None
    candidate: str = ""
    """Whose search it comes from; empty for a plain method."""
    chosen: bool = False
    failed: str = ""


@dataclass(frozen=True)
class Tries:
    """How one candidate's search went."""

    name: str
    points: Sequence[tuple[float, float, bool]]
    """(seconds used when it ended, what validation said, whether it came to its end) of each trial."""
    best: str
    """The values of the best one."""
    done: int
    halved: int
    seconds: float
    other: str = ""
    """Trials that ended otherwise."""


@dataclass(frozen=True)
class ComparePage:
    """All that the page shows."""

    title: str
    metric: str
    verdict: str
    rows: Sequence[Row]
    tries: Sequence[Tries]
    split: str
    judged: int
    """Rows that judged."""
    seeds: int
    recipe: str
    """The chosen recipe, as YAML."""
    notes: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()


def write_page(page: ComparePage, path: Path) -> None:
    """Writes the page; it is there whole, or not at all.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    write_text(path, render(page))


def render(page: ComparePage) -> str:
    """The page as HTML text."""
    from markupsafe import Markup

    ranges = [value for row in page.rows for value in (row.quality.low, row.quality.high) if math.isfinite(value)]
    least, most = (min(ranges), max(ranges)) if ranges else (0.0, 1.0)
    shown = [
        {
            "row": row,
            "cells": _cells(row),
            "word": _word(row),
            "picture": Markup(plots.whisker(row.quality.value, row.quality.low, row.quality.high, least, most)),  # noqa: S704 (made here, escaped there)
        }
        for row in page.rows
    ]
    text: str = template("compare.html.j2").render(
        page=page,
        metric=metric_name(page.metric),
        tone=_tone(page.rows),
        shown=shown,
        pictures=[(title, Markup(picture)) for title, picture in _pictures(page) if picture],  # noqa: S704
    )
    return text


def _pictures(page: ComparePage) -> list[tuple[str, str]]:
    name, order = metric_name(page.metric), [tries.name for tries in page.tries]
    up = f"{name} on {page.split} rows"
    costs: list[tuple[str, str, str]] = [
        ("Quality against training time", "seconds of one training", "seconds"),
        ("Quality against memory", "peak memory of the training in MB", "peak_mb"),
    ]
    found = []
    for title, across, cost in costs:
        marks = [
            Mark(getattr(row, cost), row.quality.value, row.name, order.index(row.candidate), row.quality.low, row.quality.high)
            for row in page.rows
            if getattr(row, cost) is not None and math.isfinite(row.quality.value)
        ]
        floor = [(row.name, row.quality.value) for row in page.rows if not row.candidate and math.isfinite(row.quality.value)]
        found.append((title, plots.scatter(marks, across=across, up=up, floors=floor)))
    tried = [
        Mark(seconds, value, tries.name if place == 0 else "", number, hollow=not done)
        for number, tries in enumerate(page.tries)
        for place, (seconds, value, done) in enumerate(tries.points)
    ]
    found.append(("The trials of the search", plots.scatter(tried, across="seconds of training used", up=f"{name} on validation rows")))
    return found


def summary(page: ComparePage) -> str:
    """A plain-text table, the chosen recipe marked with a star."""
    better = "minus chosen"
    timed = any(row.latency_ms is not None for row in page.rows)
    head = [
        "",
        f"{page.metric} ({page.split}) [95 %]",
        better,
        "valid",
        "seconds",
        "peak MB",
        "learns",
        "file",
        "tokens/s",
        *(["ms/text"] if timed else []),
    ]
    table = [head]
    for row in page.rows:
        cells = _cells(row)
        names = ["quality", "behind", "valid", "seconds", "peak", "learning", "file", "tokens", *(["latency"] if timed else [])]
        table.append([f"{'*' if row.chosen else ' '} {row.name}", *(cells[name] for name in names)])
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join(lines)


def _cells(row: Row) -> dict[str, str]:
    """The figures of a row as words; a dash where there is none."""

    def said(value: float | None, form: str) -> str:
        return "–" if value is None or not math.isfinite(value) else form.format(value)

    gap = "–" if row.behind is None else f"{row.behind.value:+.3f} [{row.behind.low:+.3f}, {row.behind.high:+.3f}]"
    quality = f"failed: {row.failed}" if row.failed else "–" if math.isnan(row.quality.value) else str(row.quality)
    return {
        "quality": quality, "behind": gap, "valid": said(row.valid, "{:.3f}"), "seconds": said(row.seconds, "{:,.1f}"),
        "peak": said(row.peak_mb, "{:,.0f}"), "learning": said(None if row.learning is None else 100 * row.learning, "{:.2f} %"),
        "file": "–" if row.bundle_bytes is None else f"{row.bundle_bytes / 1e6:,.2f} MB", "tokens": said(row.tokens_per_second, "{:,.0f}"),
        "latency": said(row.latency_ms, "{:.1f}"),
    }  # fmt: skip


def _tone(rows: Sequence[Row]) -> str:
    """Bad where a plain method beats the chosen one, tie where it may."""
    plain = [row.behind for row in rows if not row.candidate and row.behind is not None]
    return "bad" if any(gap.low > 0 for gap in plain) else "tie" if any(gap.high >= 0 for gap in plain) else "good"


def _word(row: Row) -> str:
    if row.chosen:
        return "chosen"
    if row.behind is None:
        return ""
    return "better" if row.behind.low > 0 else "worse" if row.behind.high < 0 else "tie"
