"""RecBole's atomic files: .inter into ``events`` (or ``reviews``), .item into ``products``, .user into ``users``, .kg into ``relations``.

The header gives every column a type, ``user_id:token``; a ``_seq`` holds several values with spaces between. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import Shape, check_table, chunks
from shoplm.data.importers._lines import Record, csv_batches, header, opened
from shoplm.data.importers._rows import Broken, Row, at, first, levels, rest
from shoplm.data.ingest import Chunk
from shoplm.errors import DataError

SOURCE = "recbole"
FILLED = {
    "events": ("event_time", "event_name", "user_id", "item_id", "session_id", "event_value"),
    "reviews": ("created_at", "user_id", "item_id", "rating", "title", "body"),
    "products": (
        "id",
        "title",
        "description",
        "brand",
        "price",
        "product_type",
        "category_l1",
        "category_l2",
        "category_l3",
        "category_l4",
        "category_l5",
    ),
    "users": ("user_id", "country", "language"),
    "relations": ("head", "relation", "tail"),
}
TABLES = {".inter": "events", ".item": "products", ".user": "users", ".kg": "relations"}
TYPES = ("token", "token_seq", "float", "float_seq")


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """The rows of atomic files; ``table="reviews"`` takes the ratings of .inter files as reviews.

    Raises:
        DataError: a file has another ending or a header without types, cannot be read, or does not fill ``table``.
    """
    check_table(table, FILLED, SOURCE)
    for file in files:
        target = TABLES.get(file.suffix.lower())
        if target is None:
            raise DataError(f"{file}: the ending `{file.suffix}` is none of {', '.join(TABLES)}; give an atomic file")
        if table == "reviews" and target == "events":
            target = "reviews"
        if table not in (None, target):
            continue  # a folder's other files, when one table is asked for
        with opened(file):
            types = _types(file)
        yield from chunks(
            [file], lambda each: csv_batches(each, "\t", quoted=False), _shape(target, types), {target: FILLED[target]}, None, SOURCE
        )


def _types(file: Path) -> dict[str, tuple[str, str]]:
    """Column of the header -> (its name, its type)."""
    found = {}
    for column in header(file, "\t", quoted=False):
        name, _, kind = column.rpartition(":")
        if not name or kind not in TYPES:
            raise DataError(f"{file}, line 1: seen the column `{column[:80]}`, expected name:type with a type of {', '.join(TYPES)}")
        found[column] = (name, kind)
    return found


def _shape(table: str, types: Mapping[str, tuple[str, str]]) -> Any:
    make = {"events": _event, "reviews": _review, "products": _product, "users": _user, "relations": _relation}[table]

    def rows(record: Record) -> list[Row]:
        return [make({types[column][0]: _value(text, *types[column]) for column, text in record.items()})]

    def of(_: Path) -> Shape:
        return rows

    return of


def _value(text: str, name: str, kind: str) -> Any:
    if kind == "token_seq":
        return text.split()
    try:
        if kind == "float":
            return float(text)
        if kind == "float_seq":
            return [float(part) for part in text.split()]
    except ValueError:
        raise Broken(name, text, f"is not a {kind}", "write a number such as 4.5, with a point") from None
    return text


def _words(value: Any) -> Any:
    """A text: the title of most data sets is a ``token_seq``."""
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _event(record: Record) -> Row:
    values = {
        "event_time": at(record, "timestamp", "s"), "event_name": record.get("event_name") or "view_item", "user_id": record.get("user_id"),
        "item_id": record.get("item_id"), "session_id": record.get("session_id"), "event_value": record.get("rating"),
    }  # fmt: skip
    return Row("events", values, rest(record, "timestamp", "event_name", "user_id", "item_id", "session_id", "rating"))


def _review(record: Record) -> Row:
    values = {
        "created_at": at(record, "timestamp", "s"), "user_id": record.get("user_id"), "item_id": record.get("item_id"), "rating": record.get("rating"),
        "title": _words(record.get("title")), "body": _words(first(record, "review", "review_text", "text")),
    }  # fmt: skip
    return Row("reviews", values, rest(record, "timestamp", "user_id", "item_id", "rating", "title", "review", "review_text", "text"))


def _product(record: Record) -> Row:
    title_of = next((name for name in ("title", "item_name", "name", "movie_title") if record.get(name)), "title")
    sort_of = next((name for name in ("categories", "category", "class", "genre") if record.get(name)), "categories")
    sorts = record.get(sort_of)
    parts = sorts if isinstance(sorts, list) else [str(sorts)] if sorts is not None else []
    values = {
        "id": record.get("item_id"), "title": _words(record.get(title_of)) or record.get("item_id"), "description": _words(record.get("description")),
        "brand": _words(record.get("brand")), "price": record.get("price"), "product_type": " > ".join(map(str, parts)) or None, **levels(list(map(str, parts))),
    }  # fmt: skip
    return Row("products", values, rest(record, "item_id", title_of, "description", "brand", "price", sort_of))


def _user(record: Record) -> Row:
    values = {"user_id": record.get("user_id"), "country": record.get("country"), "language": record.get("language")}
    return Row("users", values, rest(record, "user_id", "country", "language"))


def _relation(record: Record) -> Row:
    values = {"head": record.get("head_id"), "relation": record.get("relation_id"), "tail": record.get("tail_id")}
    return Row("relations", values, rest(record, "head_id", "relation_id", "tail_id"))
