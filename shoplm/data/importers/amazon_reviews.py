"""Amazon Reviews 2023: review files into ``reviews``, meta files into ``products``; the record itself tells which it is.

A product is its ``parent_asin``, by which both kinds of file are joined; times are milliseconds, prices US dollars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import Record, json_batches
from shoplm.data.importers._rows import Broken, Row, at, first, levels, rest, several, word
from shoplm.data.ingest import Chunk

FILLED = {
    "reviews": ("item_id", "user_id", "rating", "title", "body", "created_at", "verified_purchase", "helpful_votes"),
    "products": ("id", "title", "description", "brand", "price", "currency", "product_type", "image_link", "additional_image_link",
                 "product_highlight", "category_l1", "category_l2", "category_l3", "category_l4", "category_l5"),
}  # fmt: skip


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Reviews and products of JSON Lines files.

    Raises:
        DataError: a file cannot be read, or ``table`` is neither ``reviews`` nor ``products``.
    """
    return chunks(files, json_batches, lambda _: _rows, FILLED, table, "amazon_reviews")


def _rows(record: Record) -> Iterator[Row]:
    if "user_id" in record or "text" in record or "asin" in record:
        yield _review(record)
    elif "parent_asin" in record:
        yield _product(record)
    else:
        raise Broken("", record, "is neither a review (user_id, text) nor a product (parent_asin)", "give the data set's own files")


def _review(record: Record) -> Row:
    values = {
        "item_id": first(record, "parent_asin", "asin"), "user_id": record.get("user_id"), "rating": record.get("rating"),
        "title": record.get("title"), "body": record.get("text"), "created_at": at(record, "timestamp", "ms"),
        "verified_purchase": record.get("verified_purchase"), "helpful_votes": record.get("helpful_vote"),
    }  # fmt: skip
    return Row(
        "reviews",
        values,
        rest(record, "parent_asin", "user_id", "rating", "title", "text", "timestamp", "verified_purchase", "helpful_vote"),
    )


def _product(record: Record) -> Row:
    categories = _texts(record, "categories") or _texts(record, "main_category")
    pictures = [link for each in several(record, "images") if (link := first(each, "hi_res", "large", "thumb"))]
    amount = record.get("price")
    if isinstance(amount, str):
        dollars = re.fullmatch(r"\s*(?:\$|from\s+\$?)?\s*([0-9][0-9,]*(?:\.[0-9]+)?)\s*", amount)
        amount = dollars[1].replace(",", "") if dollars else (None if amount.strip() in ("", "None", "—") else amount)
    values: dict[str, Any] = {
        "id": record.get("parent_asin"), "title": record.get("title"), "description": "\n".join(_texts(record, "description")) or None,
        "brand": record.get("store"), "price": amount, "currency": "USD" if amount is not None else None,
        "product_type": " > ".join(categories) or None, "image_link": word({"images": pictures[0]}, "images") if pictures else None,
        "additional_image_link": [str(link) for link in pictures[1:]] or None, "product_highlight": _texts(record, "features") or None, **levels(categories),
    }  # fmt: skip
    used = ["parent_asin", "title", "description", "store", "price", "images", "features", "categories"]
    return Row("products", values, rest(record, *used))


def _texts(record: Record, name: str) -> list[str]:
    value = record.get(name)
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise Broken(name, value, "is not a list of texts", 'write ["…", "…"]')
    return [each.strip() for each in listed if each.strip()]
