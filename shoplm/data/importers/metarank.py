"""Metarank's event log as JSON Lines: item into ``products``, user into ``users``, ranking and interaction into ``events``.

A ranking makes one row for each item it showed and, when it answered a query, one ``search`` before them; an
interaction names the ranking that led to it. Items and users are merged from their updates in time order; times are
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import Record, json_batches
from shoplm.data.importers._rows import Broken, Row, at, digest, first, levels, path, price, rest, several, word
from shoplm.data.ingest import Chunk

FILLED = {
    "events": ("event_id", "event_time", "event_seq", "event_name", "user_id", "session_id", "item_id", "price", "quantity", "currency", "event_value",
               "index", "search_term", "recommendation_id", "impression"),
    "products": ("id", "title", "description", "link", "image_link", "availability", "price", "currency", "brand", "product_type", "category_l1",
                 "category_l2", "category_l3", "category_l4", "category_l5", "color", "size", "material", "tags", "updated_at"),
    "users": ("user_id", "country", "language", "membership", "segments"),
}  # fmt: skip
NAMES = {
    "click": "select_item",
    "view": "view_item",
    "cart": "add_to_cart",
    "like": "add_to_wishlist",
    "wishlist": "add_to_wishlist",
    "buy": "purchase",
}


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Events, products and users of event logs.

    Raises:
        DataError: a file cannot be read, or ``table`` is none of the three.
    """
    return chunks(files, json_batches, lambda _: _rows, FILLED, table, "metarank", merged={"products": "id", "users": "user_id"})


def _rows(event: Record) -> Iterator[Row]:
    kind = event.get("event")
    if kind == "item":
        yield _product(event)
    elif kind == "user":
        yield _user(event)
    elif kind == "ranking":
        yield from _ranking(event)
    elif kind == "interaction":
        yield _interaction(event)
    else:
        raise Broken("event", kind, "is none of item, user, ranking, interaction", "write one of them")


def _fields(event: Record) -> Record:
    return {str(each.get("name")): each.get("value") for each in several(event, "fields") if each.get("value") is not None}


def _product(event: Record) -> Row:
    fields, when = _fields(event), at(event, "timestamp", "ms")
    sort = first(fields, "product_type", "category", "categories")
    parts = [str(each) for each in sort] if isinstance(sort, list) else path(str(sort)) if sort is not None else []
    amount, currency = price(fields.get("price"))
    values: dict[str, Any] = {
        "id": word(event, "item"), "title": first(fields, "title", "name"), "product_type": " > ".join(parts) or None, **levels(parts), "price": amount,
        "currency": fields.get("currency") or currency, "updated_at": when,
        **{name: fields.get(name) for name in ("description", "link", "image_link", "availability", "brand", "color", "size", "material", "tags")},
    }  # fmt: skip
    return Row("products", values, rest(fields, *values, "title", "name", "product_type", "category", "categories"), said=when)


def _user(event: Record) -> Row:
    fields = _fields(event)
    values = {"user_id": word(event, "user"), **{name: fields.get(name) for name in ("country", "language", "membership", "segments")}}
    return Row("users", values, rest(fields, *values), said=at(event, "timestamp", "ms"))


def _ranking(event: Record) -> Iterator[Row]:
    own, fields = word(event, "id") or digest(event), _fields(event)
    items = several(event, "items")
    query = fields.get("query")
    shared = {
        "event_time": at(event, "timestamp", "ms"), "user_id": word(event, "user"), "session_id": word(event, "session"), "search_term": query,
        "recommendation_id": own,
    }  # fmt: skip
    more = rest(fields, "query") | rest(event, "event", "id", "timestamp", "user", "session", "fields", "items", "tenant")
    shown = [word(item, "id") for item in items]
    if query is not None:
        yield Row(
            "events",
            {**shared, "event_id": f"{own}/search", "event_seq": 0, "event_name": "search", "impression": [each for each in shown if each]},
            more,
        )
    elif not items:
        raise Broken("items", event.get("items"), "shows nothing and answers no query", 'write [{"id": …}, …]')
    for place, (item, id_) in enumerate(zip(items, shown, strict=True)):
        values = {
            **shared,
            "event_id": f"{own}/{place}",
            "event_seq": place + 1,
            "event_name": "view_item_list",
            "item_id": id_,
            "index": place,
        }
        yield Row("events", values, (more if query is None and not place else {}) | _fields(item) | rest(item, "id", "fields"))


def _interaction(event: Record) -> Row:
    fields, kind = _fields(event), word(event, "type") or ""
    values = {
        "event_id": word(event, "id") or digest(event), "event_time": at(event, "timestamp", "ms"), "event_name": NAMES.get(kind.lower(), kind.lower()),
        "user_id": word(event, "user"), "session_id": word(event, "session"), "item_id": word(event, "item"),
        "recommendation_id": word(event, "ranking"), "price": fields.get("price"), "quantity": fields.get("quantity"),
        "currency": fields.get("currency"), "event_value": fields.get("value"),
    }  # fmt: skip
    used = ("event", "id", "timestamp", "user", "session", "item", "ranking", "type", "fields", "tenant")
    return Row("events", values, rest(fields, "price", "quantity", "currency", "value") | rest(event, *used))
