"""A contract row in the making (``Row``), how rows become a chunk, and how foreign values are read.

What a value cannot be read as is said by ``Broken``; what only the contract can judge is handed on as it is.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa

from shoplm.data import contract
from shoplm.data.convert import JSON_MARK
from shoplm.data.importers._lines import COLUMNS, Record
from shoplm.data.ingest import Chunk, Fault
from shoplm.errors import DataError

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}


class Broken(Exception):  # noqa: N818  (it is a value's state, told to the driver, never to a user)
    """This record cannot become rows: which foreign column, what was seen, why, and what to do."""

    def __init__(self, column: str, value: object, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.column, self.value, self.reason, self.fix = column, value, reason, fix


@dataclass(frozen=True)
class Row:
    """One contract row in the making.

    Attributes:
        table: the contract table.
        values: contract column -> foreign value; None is no value.
        more: foreign name -> value, all that the contract does not name; it ends in ``attributes``.
        line: where it begins, None for the line of its record.
    """

    table: str
    values: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None
    said: str | None = None
    """When it was said, for rows that are merged by key."""


def chunk(
    table: str, columns: Sequence[str], rows: Sequence[Row], lines: Sequence[int], file: str, source: str,
    *, faults: tuple[Fault, ...] = (), untyped: bool = False,
) -> Chunk:  # fmt: skip
    """Rows of one table as a chunk, its columns always in the same order.

    A foreign name that the contract uses for something else is kept as ``their.<name>``.
    """
    known = contract.table(table).by_name
    arrays, fields = [], []
    for name in columns:
        array, mark = column([row.values.get(name) for row in rows])
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=JSON_MARK if mark else None))
    names = list(dict.fromkeys(name for row in rows for name in row.more))
    if len(names) > COLUMNS:
        raise DataError(f"{file}, near line {lines[0]}: more than {COLUMNS} different keys; put changing keys inside one object")
    taken = {name.lower() for name in columns}
    for name in names:
        array, mark = column([row.more.get(name) for row in rows])
        shown = name.strip() or "unnamed"
        while (lowered := shown.lower()) in known or lowered in taken:
            shown = f"their.{shown}"
        taken.add(lowered)
        arrays.append(array)
        fields.append(pa.field(shown, array.type, metadata=JSON_MARK if mark else None))
    whole = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    return Chunk(table, whole, np.asarray(lines, np.int64), file, faults, untyped, source, sparse=True)


def column(values: list[Any]) -> tuple[pa.Array, bool]:
    """The values in their own type, or, when they are of several, each as a JSON document (then True)."""
    kinds = set(map(type, values)) - {type(None)}
    if (len(kinds) <= 1 and not kinds & {dict, list}) or kinds == {int, float}:
        try:
            return pa.array(values, pa.float64() if float in kinds else None if kinds else pa.string()), False
        except (pa.ArrowException, OverflowError):
            pass
    elif kinds == {list} and all(type(item) is str for value in values if value for item in value):
        return pa.array(values, contract.LIST), False
    return pa.array([None if value is None else document(value) for value in values], pa.string()), True


def document(value: Any) -> str:
    """A value as a JSON document."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except ValueError:  # 1e999 is infinite to Python and no number to JSON
        return json.dumps(str(value))


# what foreign values are read as


def objects(record: Record, name: str) -> Record:
    """The object under ``name``, empty if there is none."""
    value = record.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Broken(name, value, "is not an object", 'write {"name": value, …}')
    return value


def several(record: Record, name: str) -> list[Record]:
    """The list of objects under ``name``, empty if there is none."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Broken(name, value, "is not a list of objects", 'write [{"name": value, …}, …]')
    return value


def word(record: Record, name: str) -> str | None:
    """The text under ``name`` without outer spaces, None if it is blank; a number is taken as its digits."""
    value = record.get(name)
    if isinstance(value, dict | list | bool):
        raise Broken(name, value, "is not a text", "write one text")
    return None if value is None else (plain(value).strip() or None)


def plain(value: float | str) -> str:
    """A text, or a number as it would be written by hand."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def first(record: Record, *names: str) -> Any:
    """The first value among ``names`` that is one."""
    return next((record[name] for name in names if record.get(name) not in (None, "", [], {})), None)


def rest(record: Record, *used: str) -> Record:
    """What is not used yet."""
    return {name: value for name, value in record.items() if name not in used}


def at(record: Record, name: str, unit: str) -> str | None:
    """The time under ``name`` as RFC 3339, from a count of ``unit`` (s, ms, us) since 1970 or from a written time.

    A count keeps its own unit, so that no early time is mistaken for another; a written time is left to the contract.
    """
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+(\.\d*)?\s*", value):
        return value
    scale = UNITS[unit]
    try:
        if isinstance(value, dict | list | bool):
            raise ValueError
        if isinstance(value, float) or "." in str(value):
            micros = round(float(value) * (1_000_000 // scale))
        else:
            micros = int(value) * (1_000_000 // scale)
        return (_EPOCH + datetime.timedelta(microseconds=micros)).isoformat()
    except (ValueError, OverflowError):
        raise Broken(
            name, value, f"is not a time in {_SPOKEN[unit]}", f"write the {_SPOKEN[unit]} since 1970, or 2026-01-31T09:30:00Z"
        ) from None


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SPOKEN = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}


def price(value: Any) -> tuple[Any, str | None]:
    """An amount and its currency from ``15.00 USD``, ``USD 15.00`` or ``15.00``; another text is left as it is."""
    if not isinstance(value, str):
        return value, None
    match = re.fullmatch(r"\s*(?:([A-Za-z]{3})\s*)?([+-]?[0-9.]+)(?:\s*([A-Za-z]{3}))?\s*", value)
    if not match or (match[1] and match[3]):
        return value, None
    return match[2], (match[1] or match[3] or "").upper() or None


def levels(path: Sequence[str]) -> dict[str, str]:
    """``category_l1`` to ``category_l5`` from a category path, outermost first."""
    return {f"category_l{place}": name for place, name in enumerate([part.strip() for part in path if part.strip()][:5], 1)}


def path(text: str | None) -> list[str]:
    """The parts of ``A > B > C``."""
    return [part.strip() for part in (text or "").split(">") if part.strip()]


def digest(*parts: object) -> str:
    """128 bits of the parts' content, as an id for what the source does not name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:32]


def hashed(value: str | None) -> str | None:
    """SHA-256 of a lower-case address or E.164 number, as the contract's ``*_hash`` columns want it."""
    return None if not value else hashlib.sha256(value.strip().lower().encode("utf-8", "replace")).hexdigest()


class _Words(HTMLParser):
    """Collects what a browser would show as text."""

    BREAKS = frozenset({"address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol",
                        "p", "section", "table", "td", "th", "tr", "ul"})  # fmt: skip
    SILENT = frozenset({"script", "style", "head", "template"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  (its signature)
        if tag in self.SILENT:
            self.silent += 1
        elif tag in self.BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self.silent = max(0, self.silent - 1)
        elif tag in self.BREAKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(" ".join(data.replace("\xa0", " ").split("\n")))


def text_of_html(html: str | None) -> str | None:
    """The words that a browser would show, a line for each block; None if there are none."""
    if not html or ("<" not in html and "&" not in html):
        return html
    reader = _Words()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line) or None
