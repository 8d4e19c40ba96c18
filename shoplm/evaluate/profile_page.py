"""One page about one shopper: tastes, prices, reviews, searches and rhythm, each claim with the acts it rests on. Self-contained, no script.

Whatever comes from data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoplm.evaluate import plots
from shoplm.evaluate.report import template
from shoplm.files import write_text


@dataclass(frozen=True)
class Told:
    """One claim."""

    text: str
    share: str
    """Beside it, such as ``34%, usually 12%``; may be empty."""
    acts: Sequence[str]
    """What it rests on, one line each."""


@dataclass(frozen=True)
class ProfilePage:
    """All that the page shows; what is empty is left out."""

    title: str
    verdict: str
    numbers: Mapping[str, str]
    sections: Mapping[str, Sequence[Told]]
    months: Sequence[str] = ()
    over_time: Mapping[str, Sequence[float]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_page(page: ProfilePage, path: Path) -> None:
    """Writes the page; it is there whole, or not at all.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    write_text(path, render(page))


def render(page: ProfilePage) -> str:
    """The page as HTML text."""
    from markupsafe import Markup

    picture = plots.lines(page.months, list(page.over_time.values()), up="share of acts") if page.over_time else ""
    text: str = template("profile.html.j2").render(page=page, picture=Markup(picture), names=list(page.over_time))  # noqa: S704 (made here, escaped there)
    return text
