"""Google Ads reports, csv or JSON Lines with the API's names, into ``spend``: summed by day, channel and campaign.

A report counts and never tells who saw an ad, so even one at the level of ads fills ``spend`` only and no row of
``ads``, which are single impressions. What all rows of a sum agree on is kept, such as the campaign's name; one file is
one report, and its sums replace those that an earlier file gave for the same days and campaigns.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import check_table
from shoplm.data.importers._lines import ROWS, Batch, Record, csv_batches, json_batches, opened, seen
from shoplm.data.importers._rows import Broken, Row, chunk, first, rest, word
from shoplm.data.ingest import Chunk, Fault

SOURCE = "google_ads"
COLUMNS = ("date", "channel", "campaign_id", "impressions", "clicks", "cost_micros", "conversions", "conversions_value", "currency")
WHOLE = ("impressions", "clicks", "cost_micros")
DECIMAL = ("conversions", "conversions_value")
DAYS = ("segments.date", "segments.week", "segments.month")
CHANNEL = "campaign.advertising_channel_type"


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Spend by day, channel and campaign; a file that ends in .csv or .tsv is read as csv, any other as JSON.

    Raises:
        DataError: a file cannot be read, or ``table`` is not ``spend``.
    """
    check_table(table, ["spend"], SOURCE)
    for file in files:
        with opened(file):
            sums: dict[tuple[str, str, str | None], _Sum] = {}  # grows with days and campaigns, not with rows
            for batch in _batches(file):
                faults = [*batch.faults, *_summed(batch, sums)]
                if faults:
                    yield chunk("spend", COLUMNS, [], [], str(file), SOURCE, faults=tuple(faults))
            found = list(sums.items())
            for begin in range(0, len(found), ROWS):
                part = found[begin : begin + ROWS]
                yield chunk(
                    "spend", COLUMNS, [_row(key, total) for key, total in part], [total.line for _, total in part], str(file), SOURCE
                )


@dataclass
class _Sum:
    """What a report says in one or more rows of one day, channel and campaign."""

    line: int
    counts: dict[str, int | Decimal]
    more: Record
    rows: int = 1


def _batches(file: Path) -> Iterator[Batch]:
    return csv_batches(file) if file.suffix.lower() in (".csv", ".tsv") else json_batches(file)


def _summed(batch: Batch, sums: dict[tuple[str, str, str | None], _Sum]) -> Iterator[Fault]:
    for record, line in zip(batch.records, batch.lines, strict=True):
        try:
            flat = _flat(record)
            key = (_day(flat), (word(flat, CHANNEL) or SOURCE).lower(), word(flat, "campaign.id"))
            counts = _counts(flat)
        except Broken as broken:
            yield Fault(line, broken.column, seen(broken.value), broken.reason, broken.fix)
            continue
        except RecursionError:
            yield Fault(line, "", "", "is nested too deeply", "write it flatter")
            continue
        more = rest(flat, *DAYS, CHANNEL, "campaign.id", *(f"metrics.{name}" for name in WHOLE + DECIMAL))
        if key not in sums:
            sums[key] = _Sum(line, counts, more)
            continue
        total = sums[key]
        total.rows += 1
        for name, count in counts.items():
            total.counts[name] = total.counts.get(name, 0) + count
        total.more = {name: value for name, value in total.more.items() if more.get(name) == value and not name.startswith("metrics.")}


def _flat(record: Record, head: str = "") -> Record:
    """``{"campaign": {"advertisingChannelType": …}}`` as ``campaign.advertising_channel_type``."""
    found: Record = {}
    for name, value in record.items():
        snake = head + re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.strip()).lower()
        if isinstance(value, dict):
            found |= _flat(value, snake + ".")
        elif value is not None:
            found[snake] = value
    return found


def _day(flat: Record) -> str:
    value = first(flat, *DAYS)
    try:
        return datetime.date.fromisoformat(str(value).strip()).isoformat()
    except ValueError:
        raise Broken(
            "segments.date", value, "is not a day" if value is not None else "is missing", "write a day such as 2026-01-31"
        ) from None


def _counts(flat: Record) -> dict[str, int | Decimal]:
    found: dict[str, int | Decimal] = {}
    if flat.get("metrics.cost_micros") is None:
        raise Broken("metrics.cost_micros", None, "is missing", "ask for it in the report")
    for name in WHOLE + DECIMAL:
        value = flat.get(f"metrics.{name}")
        if value is None:
            continue
        try:
            if isinstance(value, bool | list):
                raise ValueError
            number = float(value)
            if not math.isfinite(number) or (name in WHOLE and number != int(number)):
                raise ValueError
            found[name] = int(Decimal(str(value))) if name in WHOLE else Decimal(str(value).strip())
        except (ValueError, ArithmeticError):
            what = "a whole number" if name in WHOLE else "a number"
            raise Broken(f"metrics.{name}", value, f"is not {what}", f"write {what} without units and thousands marks") from None
        if found[name] < 0 or found[name] >= 10**14:
            raise Broken(f"metrics.{name}", value, "is out of range", "write at least 0")
    return found


def _row(key: tuple[str, str, str | None], total: _Sum) -> Row:
    counts: dict[str, Any] = {name: str(value) for name, value in total.counts.items()}
    currency = word(total.more, "customer.currency_code") if isinstance(total.more.get("customer.currency_code"), str) else None
    values = {"date": key[0], "channel": key[1], "campaign_id": key[2], **counts, "currency": currency}
    more = rest(total.more, "customer.currency_code") | ({"report_rows": total.rows} if total.rows > 1 else {})
    return Row("spend", values, more)
