"""One page about one shop: how healthy its tables are, what to mend, and how they look. Self-contained, no script.

Whatever comes from data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoplm.data.health.finding import Chart, Finding
from shoplm.evaluate import plots
from shoplm.evaluate.report import template
from shoplm.files import write_text


@dataclass(frozen=True)
class ShopPage:
    """All that the page shows; what is empty is left out."""

    title: str
    counts: Mapping[str, int]
    findings: Sequence[Finding]
    charts: Sequence[Chart] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()


def write_page(page: ShopPage, path: Path) -> None:
    """Writes the page; it is there whole, or not at all.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    write_text(path, render(page))


def render(page: ShopPage) -> str:
    """The page as HTML text."""
    from markupsafe import Markup

    groups = {severity: [one for one in page.findings if one.severity == severity] for severity in ("wrong", "warning", "note")}
    drawn: list[dict[str, Any]] = []
    for chart in page.charts:
        picture = _picture(chart)
        if picture:
            names = list(chart.series)[:6] if chart.kind == "lines" else []
            drawn.append({"title": chart.title, "picture": Markup(picture), "names": names, "note": chart.note})  # noqa: S704 (made here, escaped there)
    text: str = template("shop.html.j2").render(
        page=page,
        groups=groups,
        charts=drawn,
        verdict=_verdict(groups),
        tone="bad" if groups["wrong"] else "tie" if groups["warning"] else "good",
    )
    return text


def _verdict(groups: Mapping[str, Sequence[Finding]]) -> str:
    wrong, warnings = len(groups["wrong"]), len(groups["warning"])
    if not wrong and not warnings:
        return "Nothing stands in the way of training."
    said = [
        f"{wrong} thing{'s' if wrong > 1 else ''} to mend before training" if wrong else "",
        f"{warnings} to look at" if warnings else "",
    ]
    return ", ".join(part for part in said if part) + ". Each comes with its fix."


def _picture(chart: Chart) -> str:
    if chart.kind == "lines":
        series = list(chart.series.values())
        largest = [max((value for value in one if value == value), default=0.0) for one in series]
        wide = bool(largest) and max(largest) > 30 * max(min(largest), 1e-9)
        return plots.lines(chart.labels, series, up="rows" if wide else "share" if "%" in chart.title else "value", log=wide)
    values = next(iter(chart.series.values()), ())
    return plots.bars(chart.labels, values, hot=chart.highlight, most=100.0 if "%" in chart.title else None)
