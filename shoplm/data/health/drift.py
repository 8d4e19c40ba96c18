"""Did the weeks change: rows a week, and the population stability index (PSI) of each column against the weeks before.

PSI sums (p - q) ln(p / q) over a column's commonest values, or ten parts of equal size of a number. Its interval is
that of chance: for samples of n and m rows from one population, PSI (1 / n + 1 / m)^-1 follows chi-squared with
one degree of freedom less than there are parts (Yurdakul, 2018). Rows of one shopper hang together, so n and m are
the shoppers where the table has any, not the rows; and a column is named only where it also moved by more than 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from shoplm.data import contract
from shoplm.data.convert import name_in_sql
from shoplm.data.health.columns import numeric
from shoplm.data.health.finding import Chart, Finding, ask
from shoplm.data.shop import View

MOVED = 0.1
"""PSI from which a column has moved; from 0.25 on much."""
WEEKS = 4
"""The newest so many weeks are compared with all before."""
VALUES = 12
"""A column's commonest values, and the rest."""
MOST = 5000
"""Different values of a column that are counted, the commonest."""
_TENTHS = [n / 10 for n in range(1, 10)]
SHOWN = 60
"""Weeks in a chart."""
_SKIP = ("event_seq", "turn", "line", "index", "helpful_votes", "frequency")
_WORDS = ("event_name", "device", "channel", "country", "currency", "policy", "item_list_name", "language", "verified_purchase", "intent", "role",
          "ship_country", "placement", "campaign_id")  # fmt: skip


def examine(view: View, tables: Sequence[str]) -> tuple[list[Finding], list[Chart]]:
    """Weeks without rows, and columns that moved."""
    findings: list[Finding] = []
    weekly: dict[str, dict[str, float]] = {}
    moved: list[tuple[str, float]] = []
    for name in tables:
        table = contract.table(name)
        if table.clock is None or name in ("products", "articles", "labels"):
            continue
        clock = name_in_sql(table.clock)
        weeks = ask(
            view,
            f"select date_trunc('week', {clock}) as week, count(*) as n from {name} where {clock} is not null and {clock} < ingested_at + interval 1 day group by 1 order by 1",
        )
        weekly[name] = {f"{row['week']:%Y-%m-%d}": float(row["n"]) for row in weeks}
        if len(weeks) >= 3:
            findings += _gaps(name, [(row["week"], row["n"]) for row in weeks])
        if len(weeks) >= 2 * WEEKS:
            for column, psi, chance in _columns(view, table, weeks[-WEEKS]["week"]):
                moved.append((f"{name}.{column}", psi))
                if psi >= MOVED and psi > chance:
                    text = f"`{column}` moved: PSI {psi:.2f} between the last {WEEKS} weeks and all before ({'much, ' if psi >= 0.25 else ''}chance alone stays below {chance:.3f} in 95 of 100 cases)"
                    fix = "train on the newest rows, or judge with split.kind=time, before you trust an older model"
                    findings.append(Finding("warning" if psi >= 0.25 else "note", "drift", name, column, text, fix, 0, view.rows(name)))
    charts = []
    labels = sorted({week for counts in weekly.values() for week in counts})[-SHOWN:]
    if len(labels) > 1:
        series = {name: [counts.get(week, math.nan) for week in labels] for name, counts in weekly.items() if len(counts) > 1}
        charts.append(Chart("lines", "rows a week", labels, series, "A hole is a week without data; the first and last may be cut."))
    if moved:
        moved.sort(key=lambda pair: -pair[1])
        note = "Population stability index; below 0.1 nothing moved, from 0.25 on much."
        charts.append(Chart("bars", f"what moved in the last {WEEKS} weeks (PSI)", [n for n, _ in moved[:12]], {"PSI": [v for _, v in moved[:12]]}, note,
                            [n for n, v in moved if v >= MOVED]))  # fmt: skip
    return findings, charts


def _gaps(name: str, weeks: list[tuple[Any, int]]) -> list[Finding]:
    span = round((weeks[-1][0] - weeks[0][0]).days / 7) + 1
    holes = span - len(weeks)
    counts = sorted(n for _, n in weeks[1:-1]) or [0]
    usual = counts[len(counts) // 2]
    thin = [week for week, n in weeks[1:-1] if n < 0.2 * usual]
    found = []
    if holes and usual >= 20:
        found.append(
            Finding(
                "warning",
                "drift",
                name,
                "",
                f"{holes} of {span} weeks have no row at all",
                "import what is missing: a hole looks like shoppers who stayed away",
                0,
                0,
            )
        )
    if thin and usual >= 100:  # acts come in visits: a week of twenty rows may be two of them
        text = f"{len(thin)} week(s) have less than a fifth of the usual {usual:,} rows, the first that of {thin[0]:%Y-%m-%d}"
        found.append(Finding("warning", "drift", name, "", text, "check whether the source was cut off then", 0, 0))
    return found


def _columns(view: View, table: contract.Table, since: Any) -> list[tuple[str, float, float]]:
    """(column, PSI, what chance reaches) of every column with few values or numbers."""
    from scipy.stats import chi2

    chosen = [
        c
        for c in table.columns
        if c.name not in _SKIP and c.known not in ("later", "updated_at") and (c.name in _WORDS or (numeric(c) and c.name not in table.key))
    ]
    clock, edge = name_in_sql(str(table.clock)), f"timestamp '{since:%Y-%m-%d}'"
    who = "coalesce(user_id, user_pseudo_id)" if "user_pseudo_id" in table.by_name else "user_id" if "user_id" in table.by_name else None
    asked = [
        f"approx_count_distinct({who}) filter ({clock} {side} {edge}) as {name}" for side, name in (("<", "early"), (">=", "late")) if who
    ]
    for place, column in enumerate(chosen):
        if numeric(column):
            asked.append(f"approx_quantile(cast({name_in_sql(column.name)} as double), {_TENTHS}) filter ({clock} < {edge}) as q{place}")
    cuts = ask(view, f"select {', '.join(asked)} from {table.name}")[0] if asked else {}
    parts: dict[int, str] = {}
    for place, column in enumerate(chosen):
        name = name_in_sql(column.name)
        if not numeric(column):
            parts[place] = f"cast({name} as varchar)"
        elif cuts[f"q{place}"]:
            above = [f"cast(cast({name} as double) > {float(cut)!r} as utinyint)" for cut in sorted(set(cuts[f"q{place}"]))]
            parts[place] = f"cast({' + '.join(above)} as varchar)"
    if not parts:
        return []
    # one pass over the table for all columns: each grouping set counts one of them
    listed = ", ".join(f"p{place}" for place in parts)
    seen = ask(
        view,
        f"""select grouping({listed}) as which, coalesce({listed}) as part, count(*) filter (is_early) as early, count(*) filter (not is_early) as late from (
              select {", ".join(f"{part} as p{place}" for place, part in parts.items())}, {clock} < {edge} as is_early from {table.name} where {clock} is not null)
            group by grouping sets ({", ".join(f"(p{place})" for place in parts)}) having coalesce({listed}) is not null
            qualify row_number() over (partition by which order by count(*) desc, part) <= {MOST} order by which, early + late desc, part""",
    )
    found = []
    for order, place in enumerate(parts):
        mine = (1 << len(parts)) - 1 - (1 << (len(parts) - 1 - order))  # a bit is 0 where the set groups by that column
        rows = [row for row in seen if row["which"] == mine]
        before, after = sum(row["early"] for row in rows), sum(row["late"] for row in rows)
        if before < 50 or after < 50:
            continue
        heads, rest = rows[:VALUES], rows[VALUES:]
        cells = [(row["early"], row["late"]) for row in heads] + (
            [(sum(r["early"] for r in rest), sum(r["late"] for r in rest))] if rest else []
        )
        if len(cells) < 2:
            continue
        shares = [((a + 0.5) / (before + 0.5 * len(cells)), (b + 0.5) / (after + 0.5 * len(cells))) for a, b in cells]
        psi = sum((q - p) * math.log(q / p) for p, q in shares)
        n, m = (cuts["early"], cuts["late"]) if cuts.get("early") and cuts.get("late") else (before, after)
        found.append((chosen[place].name, psi, float(chi2.ppf(0.95, len(cells) - 1)) * (1 / n + 1 / m)))
    return found
