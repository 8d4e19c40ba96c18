"""Gorse: items into ``products``, users into ``users``, feedback into ``events``, from JSON, JSON Lines or csv.

The kind of a record shows in its keys (``ItemId``, ``item_id`` and ``itemid`` are the same key to Gorse's versions).
Gorse has no titles: an item is called by its ``Comment``, or by its id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import Batch, Record, csv_batches, json_batches
from shoplm.data.importers._rows import Broken, Row, at, first, levels, rest, word
from shoplm.data.ingest import Chunk

FILLED = {
    "events": ("event_time", "event_name", "user_id", "item_id", "event_value"),
    "products": (
        "id",
        "title",
        "availability",
        "category_l1",
        "category_l2",
        "category_l3",
        "category_l4",
        "category_l5",
        "tags",
        "created_at",
    ),
    "users": ("user_id", "segments"),
}
NAMES = {
    "read": "view_item", "view": "view_item", "click": "select_item", "cart": "add_to_cart", "add_to_cart": "add_to_cart", "like": "add_to_wishlist",
    "star": "add_to_wishlist", "buy": "purchase", "purchase": "purchase",
}  # fmt: skip


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Products, users and events; a file that ends in .csv is read as csv, any other as JSON.

    Raises:
        DataError: a file cannot be read, or ``table`` is none of the three.
    """
    return chunks(files, _batches, lambda _: _rows, FILLED, table, "gorse")


def _batches(file: Path) -> Iterator[Batch]:
    return csv_batches(file) if file.suffix.lower() in (".csv", ".tsv") else json_batches(file)


KEYS = {
    "itemid": "ItemId", "ishidden": "IsHidden", "categories": "Categories", "timestamp": "Timestamp", "labels": "Labels", "comment": "Comment",
    "description": "Comment", "userid": "UserId", "feedbacktype": "FeedbackType", "value": "Value",
}  # fmt: skip


def _rows(theirs: Record) -> Iterator[Row]:
    record: Record = {}
    for name, value in theirs.items():
        key = KEYS.get(name.strip().lower().replace("_", ""), name)
        if key in record:
            raise Broken(name, value, f"says `{key}` a second time", "say it once")
        record[key] = value
    if "FeedbackType" in record:
        yield _event(record)
    elif "ItemId" in record:
        yield _product(record)
    elif "UserId" in record:
        yield _user(record)
    else:
        raise Broken("", theirs, "is no item, user or feedback (none of ItemId, UserId, FeedbackType)", "name its id")


def _time(record: Record) -> str | None:
    """RFC 3339, or Go's own way to write a time: ``2026-01-31 09:30:00 +0000 UTC``."""
    when = at(record, "Timestamp", "s")
    return when.removesuffix(" UTC") if when is not None and " +" in when else when


def _event(record: Record) -> Row:
    kind = word(record, "FeedbackType") or ""
    values = {
        "event_time": _time(record), "event_name": NAMES.get(kind.lower(), kind.lower()), "user_id": word(record, "UserId"),
        "item_id": word(record, "ItemId"), "event_value": record.get("Value"),
    }  # fmt: skip
    return Row("events", values, rest(record, "Timestamp", "FeedbackType", "UserId", "ItemId", "Value"))


def _product(record: Record) -> Row:
    hidden, labels = record.get("IsHidden"), _labels(record)
    values: dict[str, Any] = {
        "id": word(record, "ItemId"), "title": first(record, "Comment", "ItemId"), "tags": labels if isinstance(labels, list) else None,
        "availability": "out_of_stock" if str(hidden).strip().lower() in ("true", "1") else None, **levels(_categories(record)),
        "created_at": _time(record),
    }  # fmt: skip
    others = rest(record, "ItemId", "Comment", "Categories", "Timestamp", *(["Labels"] if isinstance(labels, list) else []))
    return Row("products", values, others)


def _user(record: Record) -> Row:
    labels = _labels(record)
    listed = isinstance(labels, list)
    return Row(
        "users",
        {"user_id": word(record, "UserId"), "segments": labels if listed else None},
        rest(record, "UserId", *(["Labels"] if listed else [])),
    )


def _labels(record: Record) -> Any:
    """A list of words (they are tags or segments), or whatever else the labels are, which is kept as it is."""
    labels = record.get("Labels")
    if isinstance(labels, str):
        if labels.lstrip().startswith("["):
            labels = _listed("Labels", labels)
        elif not labels.lstrip().startswith(("{", '"')):
            labels = labels.split("|")
    return labels if not isinstance(labels, list) or all(isinstance(each, str) for each in labels) else {"labels": labels}


def _categories(record: Record) -> list[str]:
    found = record.get("Categories")
    if isinstance(found, str):
        found = _listed("Categories", found) if found.lstrip().startswith("[") else found.split("|")
    if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise Broken("Categories", found, "is not a list of texts", 'write ["…", "…"]')
    return found or []


def _listed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Broken(name, text, "is not a JSON list", 'write ["…", "…"]') from None
