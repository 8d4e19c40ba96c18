"""Segment's calls as JSON Lines: track, page and screen into ``events``, identify into ``users``, alias and login into ``relations``.

One row for each product of an order or list; the call's own worth stands on the first of them only, so that sums are
right. Consent (``context.consent``) and traits of one shopper are merged in time order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import Record, json_batches
from shoplm.data.importers._rows import Broken, Row, at, digest, first, hashed, objects, price, rest, several, word
from shoplm.data.ingest import Chunk

FILLED = {
    "events": ("event_id", "event_time", "event_seq", "event_name", "user_id", "user_pseudo_id", "session_id", "item_id", "price", "quantity",
               "currency", "event_value", "item_list_name", "index", "search_term", "transaction_id", "promotion_id", "device", "channel", "country"),
    "users": ("user_id", "created_at", "country", "language", "membership", "segments", "email_hash", "phone_hash", "consent_analytics",
              "consent_ads", "consent_personalization"),
    "relations": ("head", "relation", "tail", "reason"),
}  # fmt: skip

NAMES = {
    "Product List Viewed": "view_item_list", "Product List Filtered": "view_item_list", "Product Clicked": "select_item", "Product Viewed": "view_item",
    "Product Added": "add_to_cart", "Product Removed": "remove_from_cart", "Product Added to Wishlist": "add_to_wishlist", "Cart Viewed": "view_cart",
    "Checkout Started": "begin_checkout", "Payment Info Entered": "add_payment_info", "Order Completed": "purchase", "Order Refunded": "refund",
    "Products Searched": "search", "Promotion Viewed": "view_promotion", "Promotion Clicked": "select_promotion",
}  # fmt: skip
CONSENT = {
    "consent_ads": ("advertising", "ads", "marketing", "targeting"), "consent_analytics": ("analytics", "performance", "statistics"),
    "consent_personalization": ("personalization", "personalisation", "functional", "preferences"),
}  # fmt: skip


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Events, users and relations of files of calls.

    Raises:
        DataError: a file cannot be read, or ``table`` is none of the three.
    """
    return chunks(files, json_batches, lambda _: _rows, FILLED, table, "segment", merged={"users": "user_id"})


def _rows(call: Record) -> Iterator[Row]:
    kind = call.get("type") or ("track" if "event" in call else "identify" if "traits" in call else None)
    consent = _consent(objects(objects(call, "context"), "consent"))
    user, device = word(call, "userId"), word(call, "anonymousId")
    if kind in ("track", "page", "screen"):
        yield from _events(call, kind)
        if consent:
            yield Row("users", {"user_id": user or device, **consent}, said=_when(call))
    elif kind == "identify":
        yield _user(call, consent)
        if user and device:
            yield Row("relations", {"head": user, "relation": "same_as", "tail": device, "reason": "login"})
    elif kind == "alias":
        yield Row("relations", {"head": user, "relation": "same_as", "tail": word(call, "previousId"), "reason": "alias"})
    else:
        raise Broken(
            "type",
            call.get("type"),
            "is a call that says nothing of a shop's tables",
            "leave out all but track, page, screen, identify, alias",
        )


def _when(call: Record) -> str | None:
    return at(call, "timestamp", "ms") or at(call, "originalTimestamp", "ms") or at(call, "receivedAt", "ms")


def _events(call: Record, kind: str) -> Iterator[Row]:
    about, context = objects(call, "properties"), objects(call, "context")
    theirs = word(call, "event") if kind == "track" else None
    name = (
        {"page": "page_view", "screen": "screen_view"}.get(kind)
        or NAMES.get(theirs or "")
        or (theirs or "").lower().replace(" ", "_")
        or None
    )
    own, campaign = word(call, "messageId") or digest(call), objects(context, "campaign")
    shared = {
        "event_time": _when(call), "event_name": name, "user_id": word(call, "userId"), "user_pseudo_id": word(call, "anonymousId"),
        "session_id": first(about, "session_id", "sessionId") or first(context, "sessionId"), "currency": about.get("currency"),
        "item_list_name": first(about, "list_name", "list_id", "list"), "search_term": about.get("query"), "transaction_id": about.get("order_id"),
        "promotion_id": about.get("promotion_id"), "device": objects(context, "device").get("type"),
        "channel": first(campaign, "source", "medium"), "country": objects(context, "location").get("country"),
    }  # fmt: skip
    worth = next((price(about[each])[0] for each in ("total", "revenue", "value") if about.get(each) is not None), None)
    used = [
        "session_id",
        "sessionId",
        "currency",
        "list_name",
        "list_id",
        "list",
        "query",
        "order_id",
        "promotion_id",
        "products",
        "total",
        "revenue",
        "value",
    ]
    more = rest(about, *used, *_ITEM) | {name: call[name] for name in ("name", "integrations") if call.get(name) and kind != "track"}
    more |= {f"context.{key}": value for key, value in context.items() if key in ("page", "app", "userAgent", "ip", "locale")}
    products = several(about, "products") or [{key: about[key] for key in _ITEM if key in about}]
    for place, product in enumerate(products):
        amount, currency = price(product.get("price"))
        yield Row("events", {
            **shared, "event_id": own if not place else f"{own}/{place}", "event_seq": place, "item_id": first(product, "product_id", "productId", "sku"),
            "price": amount, "quantity": product.get("quantity"), "currency": shared["currency"] or currency, "index": product.get("position"),
            "event_value": worth if not place else None,
        }, (more if not place else {}) | rest(product, "product_id", "productId", "price", "quantity", "position"))  # fmt: skip


_ITEM = ("product_id", "productId", "sku", "price", "quantity", "position")


def _user(call: Record, consent: Mapping[str, bool]) -> Row:
    traits = objects(call, "traits")
    where = traits.get("address")
    values: dict[str, Any] = {
        "user_id": word(call, "userId") or word(call, "anonymousId"), "created_at": first(traits, "createdAt", "created_at"),
        "country": (where.get("country") if isinstance(where, dict) else None) or traits.get("country"), "language": first(traits, "language", "locale"),
        "membership": first(traits, "membership", "plan"), "segments": traits.get("segments"), "email_hash": hashed(word(traits, "email")),
        "phone_hash": hashed("".join(sign for sign in word(traits, "phone") or "" if sign.isdigit() or sign == "+")), **consent,
    }  # fmt: skip
    used = ("createdAt", "created_at", "country", "language", "locale", "membership", "plan", "segments", "email", "phone")
    return Row("users", values, rest(traits, *used), said=_when(call))


def _consent(consent: Record) -> dict[str, bool]:
    """``context.consent`` by the contract's columns; of several categories that mean one column, all must agree."""
    found: dict[str, bool] = {}
    choices = {name.strip().lower(): value for name, value in objects(consent, "categoryPreferences").items()}
    for ours, theirs in CONSENT.items():
        given = [choices[name] for name in theirs if name in choices]
        if any(type(choice) is not bool for choice in given):
            raise Broken("context.consent", choices, "has a category that is neither true nor false", "write true or false")
        if given:
            found[ours] = all(given)
    return found
