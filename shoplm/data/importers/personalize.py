"""AWS Personalize: Interactions, Items and Users as csv, told apart by the header; times are seconds.

Items have no title of their own: it is the TITLE, PRODUCT_NAME or NAME column where there is one, or the
description's first sentence, or the id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import Shape, chunks
from shoplm.data.importers._lines import Record, csv_batches, header
from shoplm.data.importers._rows import Row, at, first, rest
from shoplm.data.ingest import Chunk
from shoplm.errors import DataError

FILLED = {
    "events": ("event_time", "event_name", "user_id", "item_id", "event_value", "impression", "recommendation_id"),
    "products": ("id", "title", "description", "price", "currency", "category_l1", "category_l2", "category_l3", "category_l4",
                 "category_l5", "created_at"),
    "users": ("user_id", "membership", "country", "language"),
}  # fmt: skip

NAMES = {
    "view": "view_item", "click": "select_item", "addtocart": "add_to_cart", "purchase": "purchase", "impression": "view_item_list",
    "watch": "view_item", "removefromcart": "remove_from_cart", "addtowishlist": "add_to_wishlist", "search": "search",
}  # fmt: skip
"""Theirs, in lower case without spaces, and GA4's word."""


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Events, products and users of csv files.

    Raises:
        DataError: a file cannot be read or has neither USER_ID nor ITEM_ID, or ``table`` is none of the three.
    """
    return chunks(files, lambda file: csv_batches(file, ","), _shape, FILLED, table, "personalize", untyped=True)


def _shape(file: Path) -> Shape:
    names = {name.upper() for name in header(file, ",")}
    if {"USER_ID", "ITEM_ID"} <= names:
        return lambda record: [_event(_upper(record))]
    if "ITEM_ID" in names:
        return lambda record: [_product(_upper(record))]
    if "USER_ID" in names:
        return lambda record: [_user(_upper(record))]
    raise DataError(f"{file}: has neither a column USER_ID nor ITEM_ID, seen {', '.join(sorted(names)[:10])}; give a Personalize data set")


def _upper(record: Record) -> Record:
    return {name.upper(): value for name, value in record.items()}


def _event(record: Record) -> Row:
    values = {
        "event_time": at(record, "TIMESTAMP", "s"), "event_name": event_name(record.get("EVENT_TYPE")), "user_id": record.get("USER_ID"),
        "item_id": record.get("ITEM_ID"), "event_value": record.get("EVENT_VALUE"),
        "impression": [item for item in record.get("IMPRESSION", "").split("|") if item.strip()] or None,
        "recommendation_id": record.get("RECOMMENDATION_ID"),
    }  # fmt: skip
    used = ["TIMESTAMP", "EVENT_TYPE", "USER_ID", "ITEM_ID", "EVENT_VALUE", "IMPRESSION", "RECOMMENDATION_ID"]
    return Row("events", values, rest(record, *used))


def event_name(theirs: str | None) -> str:
    """GA4's word; a type of the shop's own is kept in snake_case, no type is a view."""
    if not theirs:
        return "view_item"
    return NAMES.get(re.sub(r"[\s_-]", "", theirs).lower()) or re.sub(r"[\s-]+", "_", theirs.strip()).lower()


def _product(record: Record) -> Row:
    about = record.get("PRODUCT_DESCRIPTION")
    title = first(record, "TITLE", "PRODUCT_NAME", "ITEM_NAME", "NAME") or (
        re.split(r"(?<=[.!?])\s|\n", about.strip())[0][:150] if about else None
    )
    named = ["TITLE", "PRODUCT_NAME", "ITEM_NAME", "NAME"]
    used = next((name for name in named if record.get(name)), "TITLE")
    values: dict[str, Any] = {
        "id": record.get("ITEM_ID"), "title": title or record.get("ITEM_ID"), "description": about, "price": record.get("PRICE"),
        "currency": record.get("CURRENCY"), "created_at": at(record, "CREATION_TIMESTAMP", "s"),
        **{f"category_l{n}": record.get(f"CATEGORY_L{n}") for n in range(1, 6)},
    }  # fmt: skip
    taken = ["ITEM_ID", used, "PRODUCT_DESCRIPTION", "PRICE", "CURRENCY", "CREATION_TIMESTAMP", *(f"CATEGORY_L{n}" for n in range(1, 6))]
    return Row("products", values, rest(record, *taken))


def _user(record: Record) -> Row:
    values = {
        "user_id": record.get("USER_ID"), "membership": first(record, "MEMBERSHIP", "MEMBERSHIP_STATUS"), "country": record.get("COUNTRY"),
        "language": record.get("LANGUAGE"),
    }  # fmt: skip
    return Row("users", values, rest(record, "USER_ID", "MEMBERSHIP", "MEMBERSHIP_STATUS", "COUNTRY", "LANGUAGE"))
