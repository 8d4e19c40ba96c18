"""Column by column: what is missing, what lies far out, which times, currencies and languages cannot be right."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shoplm.data import contract
from shoplm.data.convert import name_in_sql
from shoplm.data.health.finding import Chart, Finding, ask, number, percent
from shoplm.data.shop import View

_CODES = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD
XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217 codes in use."""
EXPECTED: dict[str, tuple[str, ...]] = {
    "products": ("description", "price", "availability", "brand", "product_type", "updated_at"),
    "users": ("created_at",),
    "events": ("item_id", "session_id"),
    "reviews": ("rating", "body", "created_at", "user_id"),
    "chats": ("created_at",),
    "orders": ("user_id", "quantity", "price", "status"),
    "ads": ("campaign_id", "propensity", "clicked"),
    "spend": ("conversions",),
}
"""Columns whose absence costs something."""
NEEDED_BY = {
    "description": "without it only the title speaks for the product; write one",
    "price": "fill it, or filters and bids by price leave the row out",
    "availability": "fill it, or out-of-stock products are recommended",
    "brand": "fill it, or taste for brands cannot be learnt",
    "product_type": "fill it (`A > B > C`), or products have no category",
    "updated_at": "fill it, or price and availability count as unknown at every past moment",
    "created_at": "fill it, or the row has no place in time and cannot be split by it",
    "rating": "fill it where you have stars; without them the row teaches only by its words",
    "body": "such rows count as stars and teach no text model",
    "user_id": "fill it, or the act belongs to no shopper",
    "item_id": "fill it for acts on items, or they say nothing about tastes",
    "session_id": "fill it, or visits cannot be told apart",
    "propensity": "log it from now on: without it no other policy can be judged from these rows",
    "clicked": "fill it: an impression without an outcome teaches nothing",
}
NO_ITEM = (
    "search",
    "session_start",
    "page_view",
    "first_visit",
    "login",
    "sign_up",
    "view_item_list",
    "view_search_results",
    "user_engagement",
    "scroll",
)
"""Acts that need no item."""
NUMBERS = {
    "products": ("price",),
    "events": ("price", "quantity"),
    "orders": ("price", "quantity"),
    "ads": ("cost_micros",),
    "spend": ("cost_micros",),
}
FAR = 6.0
"""So many interquartile ranges (of logarithms) from the middle half lies far out."""


def examine(view: View, tables: Sequence[str]) -> tuple[list[Finding], list[Chart]]:
    """Missing values, outliers, times, currencies, languages of ``tables``."""
    findings: list[Finding] = []
    charts: list[Chart] = []
    for name in tables:
        findings += _missing(view, name)
        findings += _far_out(view, name)
        findings += _times(view, name)
        findings += _currencies(view, name)
        mixed, chart = _languages(view, name)
        findings += mixed
        charts += chart
    return findings, [*_filled(view, tables), *charts]


def _missing(view: View, name: str) -> list[Finding]:
    wanted = [column for column in EXPECTED.get(name, ()) if column in contract.table(name).by_name]
    if not wanted:
        return []
    listed = ", ".join(f"'{word}'" for word in NO_ITEM)
    conditions = {column: _absent(name, column) for column in wanted}
    if name == "events":
        conditions["item_id"] += f" and event_name not in ({listed})"
    counts = ask(view, f"select {', '.join(f'count(*) filter ({where}) as {column}' for column, where in conditions.items())} from {name}")[
        0
    ]
    rows = view.rows(name)
    found = []
    for column, missing in counts.items():
        if missing:
            wrong = missing > 0.5 * rows
            fix = NEEDED_BY.get(column, "fill it where you can")
            text = f"{missing:,} rows ({percent(missing, rows)}) have no {column}"
            found.append(
                Finding(
                    "warning" if wrong or column in ("description", "price") else "note", "missing", name, column, text, fix, missing, rows
                )
            )
    if name == "reviews":
        mute = number(view, "select count(*) from reviews where length(trim(concat_ws(' ', title, body))) = 0")
        found = [finding for finding in found if finding.column != "body"]
        if mute:
            found.append(Finding("note", "missing", name, "body", f"{mute:,} hold no words", NEEDED_BY["body"], mute, rows))
    return found


def _absent(name: str, column: str) -> str:
    quoted = name_in_sql(column)
    return (
        f"({quoted} is null or length(trim({quoted})) = 0)" if contract.table(name)[column].type == contract.TEXT else f"{quoted} is null"
    )


def _filled(view: View, tables: Sequence[str]) -> list[Chart]:
    """How full each column is, for each table; columns that no row fills are left out."""
    charts = []
    for name in tables:
        columns = [column.name for column in contract.table(name).columns if column.name != "attributes"]
        counts = ask(view, f"select {', '.join(f'count({name_in_sql(c)}) as {name_in_sql(c)}' for c in columns)} from {name}")[0]
        rows = max(1, view.rows(name))
        shown = [column for column in columns if counts[column]]
        series = {"filled": [100 * counts[column] / rows for column in shown]}
        empty = [column for column in columns if not counts[column]]
        note = f"Never filled: {', '.join(empty)}." if empty else ""
        charts.append(
            Chart(
                "bars",
                f"{name}: how full each column is, %",
                shown,
                series,
                note,
                [c for c in EXPECTED.get(name, ()) if counts.get(c, rows) < rows],
            )
        )
    return charts


def _far_out(view: View, name: str) -> list[Finding]:
    found = []
    rows = view.rows(name)
    for column in NUMBERS.get(name, ()):
        value = f"cast({column} as double)"
        some = "event_name = 'purchase' and " if name == "events" and column == "quantity" else ""
        middle = ask(
            view,
            f"select approx_quantile(ln({value}), 0.25) as low, approx_quantile(ln({value}), 0.75) as high, count(*) as n from {name} where {some}{value} > 0",
        )[0]
        if middle["n"] >= 50:
            width = max(middle["high"] - middle["low"], 0.25)
            low, high = middle["low"] - FAR * width, middle["high"] + FAR * width
            out = ask(
                view,
                f"select count(*) as n, min({value}) as least, max({value}) as most from {name} where {some}{value} > 0 and (ln({value}) < {low} or ln({value}) > {high})",
            )[0]
            if out["n"]:
                text = f"{out['n']:,} rows have a {column} far from all others ({out['least']:,.4g} to {out['most']:,.4g}, the middle half is {2.718281828459045 ** middle['low']:,.4g} to {2.718281828459045 ** middle['high']:,.4g})"
                found.append(
                    Finding("warning", "outlier", name, column, text, "look for a lost decimal point or another currency", out["n"], rows)
                )
        if column == "price" and (free := number(view, f"select count(*) from {name} where price = 0")):
            fix = (
                "correct the price or set availability to out_of_stock"
                if name == "products"
                else "correct the price, or leave it empty where it is not known"
            )
            found.append(
                Finding("wrong" if name == "products" else "warning", "outlier", name, column, f"{free:,} cost 0", fix, free, rows)
            )
    if name == "products" and (dear := number(view, "select count(*) from products where sale_price > price")):
        found.append(
            Finding(
                "wrong",
                "outlier",
                name,
                "sale_price",
                f"{dear:,} cost more on sale than before",
                "swap or correct the two prices",
                dear,
                rows,
            )
        )
    if name == "reviews":
        stars = ask(
            view, "select round(rating) as stars, count(*) as n from reviews where rating is not null group by 1 order by 2 desc, 1"
        )
        whole = sum(row["n"] for row in stars)
        if stars and stars[0]["n"] > 0.5 * whole:
            text = f"{percent(stars[0]['n'], whole)} give {stars[0]['stars']:.0f} stars"
            found.append(
                Finding("note", "outlier", name, "rating", text, "accuracy alone flatters then: read macro-F1", stars[0]["n"], whole)
            )
    return found


def _times(view: View, name: str) -> list[Finding]:
    table = contract.table(name)
    found = []
    rows = view.rows(name)
    columns = [column.name for column in table.columns if column.type == contract.TIME]
    if not columns:
        return []
    asked = ", ".join(
        f"count(*) filter ({name_in_sql(c)} > ingested_at + interval 1 day) as {c}_late, "
        f"count(*) filter ({name_in_sql(c)} < timestamp '1995-01-01') as {c}_early, max({name_in_sql(c)}) as {c}_most"
        for c in columns
    )
    answer = ask(view, f"select {asked} from {name}")[0]
    for column in columns:
        late, early = answer[f"{column}_late"], answer[f"{column}_early"]
        if late:
            text = f"{late:,} rows have a {column} later than the day they were imported (up to {answer[f'{column}_most']:%Y-%m-%d})"
            fix = "check the time zone and the unit: until then they count as the future and teach nothing"
            found.append(Finding("wrong", "future", name, column, text, fix, late, rows))
        if early:
            text = f"{early:,} rows have a {column} before 1995"
            found.append(
                Finding("warning", "past", name, column, text, "check the unit (seconds or milliseconds) and default dates", early, rows)
            )
    return found


def _currencies(view: View, name: str) -> list[Finding]:
    if "currency" not in contract.table(name).by_name:
        return []
    seen = ask(view, f"select currency, count(*) as n from {name} where currency is not null group by 1 order by 2 desc, 1")
    rows = view.rows(name)
    unknown = [row for row in seen if row["currency"].upper() not in CURRENCIES]
    found = []
    if unknown:
        many, shown = sum(row["n"] for row in unknown), ", ".join(f"`{row['currency']}`" for row in unknown[:3])
        text = f"{many:,} rows have a currency that ISO 4217 does not know: {shown}"
        found.append(Finding("wrong", "currency", name, "currency", text, "write the three-letter code, such as EUR", many, rows))
    known = [row for row in seen if row["currency"].upper() in CURRENCIES]
    if len(known) > 1:
        shown = ", ".join(f"{row['currency']} {percent(row['n'], rows)}" for row in known[:4])
        text = f"amounts in {len(known)} currencies ({shown})"
        found.append(
            Finding(
                "warning",
                "currency",
                name,
                "currency",
                text,
                "convert them to one, or never compare or sum them",
                rows - known[0]["n"],
                rows,
            )
        )
    return found


def _languages(view: View, name: str) -> tuple[list[Finding], list[Chart]]:
    if "language" not in contract.table(name).by_name:
        return [], []
    words = {
        "products": "concat_ws(' ', title, description)",
        "reviews": "concat_ws(' ', title, body)",
        "chats": "content",
        "articles": "body",
    }.get(name)
    seen = ask(
        view,
        f"select coalesce(lower(split_part(language, '-', 1)), 'not said') as word, count(*) as n from {name} group by 1 order by 2 desc, 1 limit 12",
    )
    rows = view.rows(name)
    found = []
    if words:
        script = f"length(regexp_replace({words}, '[^\\x{{4e00}}-\\x{{9fff}}\\x{{3040}}-\\x{{30ff}}\\x{{ac00}}-\\x{{d7af}}]', '', 'g')) > 0.2 * length({words})"
        wrong = number(
            view,
            f"select count(*) from {name} where language is not null and length({words}) > 10 and (lower(split_part(language, '-', 1)) in ('zh', 'ja', 'ko')) <> ({script})",
        )
        if wrong:
            text = f"{wrong:,} rows are written in another script than their language says"
            found.append(
                Finding("warning", "language", name, "language", text, "correct `language`: texts are judged and shown by it", wrong, rows)
            )
    if len(seen) < 2:
        return found, []
    said = ", ".join(f"{row['word']} {percent(row['n'], rows)}" for row in seen[:4])
    fix = "read the report by language: a rare one is learnt worse"
    found.append(Finding("note", "language", name, "language", f"more than one language ({said})", fix, rows - seen[0]["n"], rows))
    return found, [
        Chart(
            "bars",
            f"{name}: languages, % of rows",
            [row["word"] for row in seen],
            {"rows": [100 * row["n"] / max(1, rows) for row in seen]},
        )
    ]


def numeric(column: contract.Column) -> bool:
    """Does the column hold amounts or counts?"""
    return bool(pa.types.is_decimal(column.type) or column.type in (contract.NUMBER, contract.WHOLE))
