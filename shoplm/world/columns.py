"""The simulated shop as Arrow tables, each column named and typed by the contract.

Money is decimal with its currency beside it, times are UTC microseconds, what is absent is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pyarrow as pa

from shoplm.data import contract
from shoplm.world.catalogue import CATEGORIES, Product
from shoplm.world.chats import Turn
from shoplm.world.reviews import Review
from shoplm.world.shoppers import Event, Shopper
from shoplm.world.speech import Language

_CURRENCY: dict[Language, str] = {"en": "GBP", "zh": "CNY"}


def products(rows: Sequence[Product], language: Language) -> pa.Table:
    """The catalogue; a product without description or size has null there."""
    levels = [row.path.split(" > ") for row in rows]
    return _table(
        "products",
        {
            "id": [row.id for row in rows],
            "title": [row.title for row in rows],
            "description": [row.description or None for row in rows],
            "link": [f"https://shop.example/p/{row.id.lower()}" for row in rows],
            "availability": [row.availability for row in rows],
            "price": [_units(row.price_cents) for row in rows],
            "sale_price": [_units(row.sale_cents) for row in rows],
            "currency": [_CURRENCY[language] for _ in rows],
            "brand": [row.brand for row in rows],
            "condition": ["new" for _ in rows],
            "product_type": [row.path for row in rows],
            "category_l1": [level[0] for level in levels],
            "category_l2": [level[1] for level in levels],
            "category_l3": [level[2] if len(level) > 2 else None for level in levels],
            "color": [row.color for row in rows],
            "size": ["/".join(CATEGORIES[row.category].sizes) or None for row in rows],
            "material": [row.material for row in rows],
            "gender": [CATEGORIES[row.category].gender for row in rows],
            "product_highlight": [list(row.highlights) for row in rows],
            "tags": [[row.style, row.use] for row in rows],
            "created_at": [row.created_at_us for row in rows],
            "updated_at": [row.created_at_us for row in rows],
            "language": [language for _ in rows],
        },
    )


def users(rows: Sequence[Shopper], language: Language) -> pa.Table:
    """The shoppers as the shop knows them, without their truth."""
    return _table(
        "users",
        {
            "user_id": [row.user_id for row in rows],
            "created_at": [row.created_at_us for row in rows],
            "country": [row.country for row in rows],
            "language": [language for _ in rows],
            "membership": [row.membership for row in rows],
            "segments": [list(row.segments) for row in rows],
            "consent_analytics": [row.consent_analytics for row in rows],
            "consent_ads": [row.consent_ads for row in rows],
            "consent_personalization": [row.consent_personalization for row in rows],
        },
    )


def events(rows: Sequence[Event], language: Language) -> pa.Table:
    """The acts in order; their ids are given here."""
    values = [None if row.price_cents is None or row.quantity is None else row.price_cents * row.quantity for row in rows]
    return _table(
        "events",
        {
            "event_id": [f"e{number + 1:07d}" for number in range(len(rows))],
            "event_time": [row.event_time_us for row in rows],
            "event_seq": [row.event_seq for row in rows],
            "event_name": [row.event_name for row in rows],
            "user_id": [row.user_id for row in rows],
            "session_id": [row.session_id for row in rows],
            "item_id": [row.item_id for row in rows],
            "price": [_units(row.price_cents) for row in rows],
            "quantity": [row.quantity for row in rows],
            "currency": [_CURRENCY[language] if row.price_cents is not None else None for row in rows],
            "event_value": [None if value is None else value / 100 for value in values],
            "search_term": [row.search_term for row in rows],
            "transaction_id": [row.transaction_id for row in rows],
            "device": [row.device for row in rows],
            "channel": [row.channel for row in rows],
            "country": [row.country for row in rows],
        },
    )


def reviews(rows: Sequence[Review], language: Language) -> pa.Table:
    """The reviews in order of time."""
    return _table(
        "reviews",
        {
            "review_id": [row.review_id for row in rows],
            "item_id": [row.item_id for row in rows],
            "user_id": [row.user_id for row in rows],
            "rating": [row.rating for row in rows],
            "title": [row.title for row in rows],
            "body": [row.body for row in rows],
            "created_at": [row.created_at_us for row in rows],
            "verified_purchase": [row.verified_purchase for row in rows],
            "helpful_votes": [row.helpful_votes for row in rows],
            "language": [language for _ in rows],
        },
    )


def chats(rows: Sequence[Turn], language: Language) -> pa.Table:
    """The turns in order of conversation and turn."""
    return _table(
        "chats",
        {
            "conversation_id": [row.conversation_id for row in rows],
            "turn": [row.turn for row in rows],
            "role": [row.role for row in rows],
            "content": [row.content for row in rows],
            "created_at": [row.created_at_us for row in rows],
            "channel": [row.channel for row in rows],
            "user_id": [row.user_id for row in rows],
            "order_id": [row.order_id for row in rows],
            "item_id": [row.item_id for row in rows],
            "intent": [row.intent for row in rows],
            "resolved": [row.resolved for row in rows],
            "csat": [row.csat for row in rows],
            "language": [language for _ in rows],
        },
    )


def _table(name: str, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    shape = contract.table(name)
    return pa.table({column: pa.array(values, shape[column].type) for column, values in columns.items()})


def _units(cents: int | None) -> Decimal | None:
    return None if cents is None else Decimal(cents).scaleb(-2)
