"""What a look at a table gives back: a finding in words with its fix, or a chart's numbers; and how to ask for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from shoplm.data.shop import View

Severity = Literal["wrong", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something about a table, or about rows on their way into a model, that their owner should know.

    Attributes:
        severity: wrong = mend before training, warning = look at it, note = good to know.
        check: which question found it: missing, outlier, duplicate, bot, …
        table: the table, empty where it is about none.
        column: the column, empty where it is about rows.
        text: what was seen.
        fix: what to do, empty where it is only good to know.
        rows: rows concerned.
        of: rows looked at.
    """

    severity: Severity
    check: str
    table: str
    column: str
    text: str
    fix: str
    rows: int = 0
    of: int = 0

    def __str__(self) -> str:
        return (f"{self.table}: " if self.table else "") + self.text + (f"; {self.fix}" if self.fix else "")

    def plain(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return {
            "severity": self.severity, "check": self.check, "table": self.table, "column": self.column, "text": str(self),
            "fix": self.fix, "rows": self.rows, "of": self.of,
        }  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """Numbers that are best looked at.

    Attributes:
        kind: bars (one value a label), lines (one value a label for each series) or grid (a share for each row and column).
        title: what it shows.
        labels: what lies along it.
        series: name -> one value a label; NaN = nothing there.
        note: how to read it.
        highlight: labels that a finding speaks of.
    """

    kind: Literal["bars", "lines", "grid"]
    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]
    note: str = ""
    highlight: Sequence[str] = field(default_factory=tuple)


def ask(view: View, query: str) -> list[dict[str, Any]]:
    """The answer's rows as plain values; use it for a few rows only."""
    found: list[dict[str, Any]] = view.sql(query).to_pylist()
    return found


def number(view: View, query: str) -> int:
    """The one whole number that the query answers, 0 for null."""
    return int(view.sql(query).column(0)[0].as_py() or 0)


def percent(part: float, whole: float) -> str:
    """``3.1 %``; ``under 0.1 %`` where a zero would lie."""
    share = 100 * part / whole if whole else 0.0
    return "under 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"
