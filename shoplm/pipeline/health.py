"""check: what is in a shop, what is wrong with it, and what to do about each thing, in words and on one page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoplm import task as tasks
from shoplm.data import contract, fakes, leaks
from shoplm.data.fakes import Marks
from shoplm.data.health import behaviour, columns, drift, sources
from shoplm.data.health.finding import Chart, Finding, Severity, percent
from shoplm.data.shop import Shop, View
from shoplm.data.split import SplitConfig
from shoplm.errors import DataError
from shoplm.evaluate.shop_page import ShopPage, write_page
from shoplm.pipeline.dividing import LOOKED_AT, reads_texts, repeats

_TARGETS: Mapping[str, tuple[str, ...]] = {
    "reviews": ("rating",), "chats": ("intent", "csat"), "ads": ("clicked", "converted"), "orders": ("status",),
}  # fmt: skip
_OWN: Mapping[str, tuple[str, ...]] = {
    "chats": ("is_oos", "turn", "role"),
    "orders": ("status_at",),
}
"""Columns that belong to a target by the meaning of the table."""


@dataclass(frozen=True)
class Health:
    """What was found in a shop."""

    data_version: str
    counts: Mapping[str, int]
    findings: Sequence[Finding]
    charts: Sequence[Chart] = ()
    marks: Marks = field(default_factory=lambda: Marks({}))
    seconds: float = 0.0
    page: Path | None = None
    """Where the page was written."""
    written: int | None = None
    """How many new marks were written; None = none were asked for."""

    def plain(self) -> dict[str, Any]:
        """As plain values, for ``--json``."""
        return {
            "data_version": self.data_version,
            "counts": dict(self.counts),
            "findings": [finding.plain() for finding in self.findings],
            "fake_reviews": {"likely": len(self.marks), "rules": self.marks.by_rule(), "newly_marked": self.written},
            "page": None if self.page is None else str(self.page),
            "seconds": round(self.seconds, 2),
        }

    def __str__(self) -> str:
        lines = [f"{table}: {rows:,} rows" for table, rows in self.counts.items()]
        lines += [f"[{finding.severity}] {finding}" for finding in self.findings] or ["nothing wrong was found"]
        lines += [] if self.written is None else [f"marked: {self.written:,} likely fake reviews, now in labels (task {fakes.TASK})"]
        lines += [] if self.page is None else [f"page: {self.page}"]
        return "\n".join(lines)


def check(shop: Shop) -> Health:
    """Look through every table that the shop has; nothing is changed."""
    begin = time.perf_counter()
    view = shop.view()
    tables = [name for name in contract.TABLES if view.has(name)]
    findings, charts = [*_retention(shop), *_quarantine(shop)], []
    for look in (columns.examine, behaviour.examine, drift.examine, sources.examine):
        found, drawn = look(view, tables)
        findings += found
        charts += drawn
    for name in tables:
        findings += _leaks(view, name)
    findings += _repeats(view, tables)
    marks = fakes.find(view) if "reviews" in tables else Marks({})
    findings += _fakes(view, marks)
    order = {"wrong": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda finding: (order[finding.severity], finding.check != "quarantine", finding.table, -finding.rows))
    return Health(view.data_version, shop.counts(), findings, charts, marks, time.perf_counter() - begin)


def look(shop: Shop, *, out: Path | None = None, mark_fakes: bool = False) -> Health:
    """Check a shop, and write the page or the marks if asked for.

    Raises:
        DataError: ``out`` is a folder.
        ResourceError: a place cannot be written.
    """
    if out is not None and out.is_dir():
        raise DataError(f"--out {out}: is a folder; give a file, such as {out / 'check.html'}")
    found = check(shop)
    if mark_fakes:
        found = replace(found, written=mark(shop, found.marks, time.time_ns() // 1000))
    if out is not None:
        facts = {"shop": str(shop.path), "data version": found.data_version, "looked at in": f"{found.seconds:.1f} s"}
        commands = [f"shoplm check --shop {shop.path} --mark"] if len(found.marks) else []
        commands.append(f"shoplm train sentiment --shop {shop.path} --out sentiment")
        write_page(ShopPage(f"The health of {shop.path.name}", found.counts, found.findings, found.charts, facts, commands), out)
        found = replace(found, page=out)
    return found


def mark(shop: Shop, marks: Marks, now_us: int) -> int:
    """Write the marks that are not there yet as rows of ``labels``; how many those were.

    Raises:
        ResourceError: the shop cannot be written; it is as it was.
    """
    rows = marks.rows(now_us)
    there = shop.view().sql(f"select subject from labels where task = '{fakes.TASK}' and \"by\" = 'rule'")["subject"]
    rows = rows.filter(pc.invert(pc.is_in(rows["subject"], value_set=pa.array(there.to_pylist(), pa.string()))))
    if rows.num_rows:
        shop.upsert("labels", rows, strict=True)
    return int(rows.num_rows)


def _retention(shop: Shop) -> list[Finding]:
    days = {name: limit for name, limit in shop.config.retention_days.plain().items() if limit is not None}
    said = ", ".join(f"{name} {limit:,} days" for name, limit in days.items())
    text = f"shop.yaml keeps rows only for a time: {said}"
    return [Finding("note", "retention", "shop", "", text, "Shop.retain removes what is older", 0, 0)] if days else []


def _quarantine(shop: Shop) -> list[Finding]:
    found = []
    for folder in sorted((shop.path / "quarantine").glob("*")):
        rows = sum(_lines(file) for file in folder.rglob("*.jsonl"))
        if rows:
            text = f"{rows:,} rows break the contract and stand in {folder}"
            found.append(Finding("wrong", "quarantine", folder.name, "", text, "each line names the column and the fix", rows, 0))
    return found


def _lines(file: Path) -> int:
    with file.open(encoding="utf-8") as lines:
        return sum(1 for line in lines if line.strip())


def _leaks(view: View, name: str) -> list[Finding]:
    targets = [target for target in _TARGETS.get(name, ()) if target in contract.table(name).by_name]
    found: dict[str, Finding] = {}
    for part in view.parts(name, rows=LOOKED_AT) if targets else ():
        for target in targets:
            for leak in leaks.suspects(part.table, part.table[target], target, contract.table(name), _OWN.get(name, ())):
                fix = "rename or drop it before import, or never let a model read it"
                found.setdefault(
                    leak.column, Finding("warning", "leak", name, leak.column, str(leak), fix, round(leak.share * leak.rows), leak.rows)
                )
        break
    return list(found.values())


def _repeats(view: View, tables: Sequence[str]) -> list[Finding]:
    """Texts that would stand in two splits if a task were trained now, with no setting of its own; one task speaks for a table."""
    reading = {one.subject: one for one in map(tasks.get, reversed(tasks.names())) if reads_texts(one, view)}
    found = []
    for name in tables:
        task = reading.get(name)
        seen = repeats(view, task, task.Settings(), SplitConfig(), None) if task else None
        if seen:
            severity: Severity = "warning" if seen.many else "note"
            found.append(
                Finding(severity, "repeat", name, "split", str(seen), f"when you train, {seen.FIX}", seen.found.judged, seen.found.of)
            )
    return found


def _fakes(view: View, marks: Marks) -> list[Finding]:
    if not len(marks):
        return []
    rows, there = view.rows("reviews"), fakes.marked(view)
    rules = ", ".join(f"{count:,} {rule}" for rule, count in sorted(marks.by_rule().items()))
    text = f"{len(marks):,} ({percent(len(marks), rows)}) are likely copied or fake ({rules}); {there:,} of them are marked"
    fix = "look before you trust them: shoplm check --mark writes them to labels, none is dropped"
    return [Finding("warning", "fake_review", "reviews", "body", text, fix, len(marks), rows)]
