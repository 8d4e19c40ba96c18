"""System by system and person by person: what each source brought, where they disagree, who consented, how old rows are."""

from __future__ import annotations

from collections.abc import Sequence

from shoplm.data import contract
from shoplm.data.convert import name_in_sql
from shoplm.data.health.finding import Chart, Finding, ask, percent
from shoplm.data.shop import View

OLD_YEARS = 3
"""Rows older than this are seldom needed and often may not be kept."""
_OVERLAP = {"products": "id", "users": "user_id", "events": "user_id", "reviews": "item_id", "orders": "order_id", "chats": "user_id"}


def examine(view: View, tables: Sequence[str]) -> tuple[list[Finding], list[Chart]]:
    """Rows, stars and overlap of each source; consent; age."""
    findings: list[Finding] = []
    charts: list[Chart] = []
    for name in tables:
        found, chart = _sources(view, name)
        findings += found
        charts += chart
    return [*findings, *_consent(view, tables), *_age(view, tables)], charts


def _sources(view: View, name: str) -> tuple[list[Finding], list[Chart]]:
    rows = view.rows(name)
    stars = "avg(rating)" if name == "reviews" else "null::double"
    spread = "stddev_samp(rating)" if name == "reviews" else "null::double"
    rated = "count(rating)" if name == "reviews" else "0"
    seen = ask(
        view,
        f"select coalesce(source, 'not said') as source, count(*) as n, {stars} as stars, {spread} as spread, {rated} as rated from {name} group by 1 order by 2 desc, 1 limit 12",
    )
    if len(seen) < 2:
        return [], []
    findings = []
    shown = ", ".join(f"`{row['source']}` {percent(row['n'], rows)}" for row in seen[:4])
    text = f"{len(seen)} sources ({shown})"
    key = _OVERLAP.get(name)
    if key:
        both = ask(
            view,
            f"select count(*) as n, count(*) filter (k > 1) as shared from (select {key}, count(distinct source) as k from {name} where {key} is not null group by 1)",
        )[0]
        text += f"; {percent(both['shared'], both['n'])} of their {both['n']:,} different {key} stand in more than one"
    findings.append(
        Finding(
            "note",
            "source",
            name,
            "source",
            text,
            "judge with split.kind=source to see whether what one teaches holds in the other",
            0,
            rows,
        )
    )
    charts = [
        Chart(
            "bars", f"{name}: rows by source, %", [row["source"] for row in seen], {"rows": [100 * row["n"] / max(1, rows) for row in seen]}
        )
    ]
    known = [row for row in seen if row["rated"] and row["rated"] >= 30]
    if len(known) > 1:
        low, high = min(known, key=lambda row: row["stars"]), max(known, key=lambda row: row["stars"])
        noise = sum((row["spread"] or 0.0) ** 2 / row["rated"] for row in (low, high)) ** 0.5
        gap = high["stars"] - low["stars"]
        if gap > 0.3 and gap > 1.96 * noise:
            text = f"`{high['source']}` gives {high['stars']:.2f} stars on average, `{low['source']}` {low['stars']:.2f} (difference {gap:.2f} ± {1.96 * noise:.2f})"
            findings.append(
                Finding(
                    "warning", "source", name, "rating", text, "compare stars within a source only, or give the model the source", 0, rows
                )
            )
        charts.append(
            Chart("bars", "reviews: stars by source, mean", [row["source"] for row in known], {"stars": [row["stars"] for row in known]})
        )
    return findings, charts


def _consent(view: View, tables: Sequence[str]) -> list[Finding]:
    if "users" not in tables:
        return []
    said = ask(
        view,
        """select count(*) as n, count(*) filter (consent_personalization) as yes, count(*) filter (not consent_personalization) as no,
                  count(*) filter (not consent_ads) as no_ads, count(*) filter (not consent_analytics) as no_counting from users""",
    )[0]
    unsaid = said["n"] - said["yes"] - said["no"]
    text = f"{said['yes']:,} consent to personal answers, {said['no']:,} refuse, {unsaid:,} were never asked; {said['no_ads']:,} refuse ads, {said['no_counting']:,} refuse to be counted"
    return [
        Finding(
            "note",
            "consent",
            "users",
            "consent_personalization",
            text,
            "honour it in every use of the rows; ask where it is empty",
            said["no"],
            said["n"],
        )
    ]


def _age(view: View, tables: Sequence[str]) -> list[Finding]:
    found = []
    for name in tables:
        clock = contract.table(name).clock
        if clock is None or name in ("products", "articles"):
            continue
        c = name_in_sql(clock)
        old = ask(
            view,
            f"select count(*) as n, min({c}) as first from {name} where {c} < (select max({c}) from {name}) - interval {OLD_YEARS} year and {c} > timestamp '1995-01-01'",
        )[0]
        if old["n"]:
            text = f"{old['n']:,} rows are more than {OLD_YEARS} years older than the newest (the oldest is of {old['first']:%Y-%m-%d})"
            fix = "keep them only as long as your retention rule allows; old tastes mislead, too"
            found.append(Finding("note", "retention", name, clock, text, fix, old["n"], view.rows(name)))
    return found
