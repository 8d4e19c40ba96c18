"""check: what is in a shop, what is wrong with it, and what to do about each thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplm.data.shop import Shop, View
from shoplm.evaluate.report import Finding

BOT_VIEWS_A_MINUTE = 30
"""More acts of one shopper within a minute than a person makes."""
COPIES = 2
"""A long review text that stands at so many products was hardly written about each of them."""
RARE_ROWS = 10
"""Fewer rows than this teach a label badly."""


@dataclass(frozen=True)
class Health:
    """What was found in a shop."""

    data_version: str
    counts: Mapping[str, int]
    findings: Sequence[Finding]

    def plain(self) -> dict[str, Any]:
        """As plain values, for ``--json``."""
        return {
            "data_version": self.data_version,
            "counts": dict(self.counts),
            "findings": [{"severity": finding.severity, "text": finding.text} for finding in self.findings],
        }

    def __str__(self) -> str:
        lines = [f"{table}: {rows:,} rows" for table, rows in self.counts.items()]
        lines += [f"[{finding.severity}] {finding.text}" for finding in self.findings] or ["nothing wrong was found"]
        return "\n".join(lines)


def check(shop: Shop) -> Health:
    """Look through every table that the shop has."""
    view = shop.view()
    findings = [*_retention(shop), *_quarantine(shop), *_products(view), *_reviews(view), *_events(view), *_chats(view)]
    order = {"wrong": 0, "warning": 1, "note": 2}
    return Health(view.data_version, shop.counts(), sorted(findings, key=lambda finding: order[finding.severity]))


def _retention(shop: Shop) -> list[Finding]:
    days = {name: limit for name, limit in shop.config.retention_days.plain().items() if limit is not None}
    said = ", ".join(f"{name} {limit:,} days" for name, limit in days.items())
    return [Finding("note", f"shop.yaml keeps rows only for a time: {said}; Shop.retain removes what is older")] if days else []


def _quarantine(shop: Shop) -> list[Finding]:
    found = []
    for folder in sorted((shop.path / "quarantine").glob("*")):
        rows = sum(_lines(file) for file in folder.rglob("*.jsonl"))
        if rows:
            found.append(
                Finding(
                    "wrong",
                    f"{folder.name}: {rows:,} rows break the contract and stand in {folder}; each line names the column and the fix",
                )
            )
    return found


def _lines(file: Path) -> int:
    with file.open(encoding="utf-8") as lines:
        return sum(1 for line in lines if line.strip())


def _count(view: View, query: str) -> int:
    return int(view.sql(query).column(0)[0].as_py() or 0)


def _products(view: View) -> list[Finding]:
    if not view.has("products"):
        return []
    bare = _count(view, "select count(*) from products where description is null or length(trim(description)) = 0")
    free = _count(view, "select count(*) from products where price = 0")
    found = []
    if bare:
        found.append(Finding("warning", f"products: {bare:,} have no description, so that only their title speaks for them; write one"))
    if free:
        found.append(Finding("wrong", f"products: {free:,} cost 0; correct the price or set availability to out_of_stock"))
    return found


def _reviews(view: View) -> list[Finding]:
    if not view.has("reviews"):
        return []
    found = []
    mute = _count(view, "select count(*) from reviews where length(trim(concat_ws(' ', title, body))) = 0")
    if mute:
        found.append(Finding("note", f"reviews: {mute:,} hold no words; they count as stars and teach no text model"))
    copied = _count(
        view,
        f"""select coalesce(sum(n), 0) from (select count(*) as n, count(distinct item_id) as items from reviews
            where length(body) >= 40 group by lower(trim(body))) where items >= {COPIES}""",
    )
    if copied:
        found.append(
            Finding(
                "wrong",
                f"reviews: {copied:,} have the very words of a review of another product: likely copied or fake; look before you trust them",
            )
        )
    low = view.sql("select round(rating) as stars, count(*) as n from reviews where rating is not null group by 1 order by 2")
    if len(low):
        stars, rows, whole = low["stars"].to_pylist(), low["n"].to_pylist(), sum(low["n"].to_pylist())
        if rows[-1] > 0.5 * whole:
            share = 100 * rows[-1] / whole
            found.append(Finding("note", f"reviews: {share:.0f} % give {stars[-1]:.0f} stars, so accuracy alone flatters: read macro-F1"))
    return found


def _events(view: View) -> list[Finding]:
    if not view.has("events"):
        return []
    bots = view.sql(
        f"""select coalesce(user_id, user_pseudo_id) as who, max(n) as most from
              (select user_id, user_pseudo_id, date_trunc('minute', event_time) as minute, count(*) as n from events group by all)
            group by 1 having max(n) > {BOT_VIEWS_A_MINUTE}"""
    )
    if not len(bots):
        return []
    most = max(bots["most"].to_pylist())
    return [
        Finding(
            "warning",
            f"events: {len(bots):,} visitor(s) act like a machine, up to {most:,} acts in a minute; leave them out before you count tastes",
        )
    ]


def _chats(view: View) -> list[Finding]:
    if not view.has("chats"):
        return []
    found = []
    rows = view.sql("select intent, count(*) as n from chats where role = 'user' and intent is not null group by 1 order by 2, 1")
    rare = [(intent, n) for intent, n in zip(rows["intent"].to_pylist(), rows["n"].to_pylist(), strict=True) if n < RARE_ROWS]
    if rare:
        found.append(
            Finding(
                "warning",
                f"chats: {len(rare)} intents have fewer than {RARE_ROWS} turns (`{rare[0][0]}` has {rare[0][1]}); collect more or merge them",
            )
        )
    unlabelled = _count(view, "select count(*) from chats where role = 'user' and intent is null")
    if unlabelled:
        found.append(Finding("note", f"chats: {unlabelled:,} user turns carry no intent and teach none"))
    return found
