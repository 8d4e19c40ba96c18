"""The simulated shop as Arrow tables, each column named and typed as the contract has it.

Money is decimal with its currency beside it, times are UTC microseconds, what is absent is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import pyarrow as pa

from shoplm.world.catalogue import CATEGORIES, Product
from shoplm.world.chats import Turn
from shoplm.world.reviews import Review
from shoplm.world.shoppers import Event, Shopper
from shoplm.world.speech import Language

_CURRENCY: dict[Language, str] = {"en": "GBP", "zh": "CNY"}
_TIME = pa.timestamp("us", tz="UTC")
_MONEY = pa.decimal128(18, 2)


def products(rows: Sequence[Product], language: Language) -> pa.Table:
    """The catalogue; a product without description or size has null there."""
    levels = [row.path.split(" > ") for row in rows]
    return pa.table(
        {
            "id": _text(row.id for row in rows),
            "title": _text(row.title for row in rows),
            "description": _text(row.description or None for row in rows),
            "link": _text(f"https://shop.example/p/{row.id.lower()}" for row in rows),
            "availability": _text(row.availability for row in rows),
            "price": _money(row.price_cents for row in rows),
            "sale_price": _money(row.sale_cents for row in rows),
            "currency": _text(_CURRENCY[language] for _ in rows),
            "brand": _text(row.brand for row in rows),
            "condition": _text("new" for _ in rows),
            "product_type": _text(row.path for row in rows),
            "category_l1": _text(level[0] for level in levels),
            "category_l2": _text(level[1] for level in levels),
            "category_l3": _text(level[2] if len(level) > 2 else None for level in levels),
            "color": _text(row.color for row in rows),
            "size": _text("/".join(CATEGORIES[row.category].sizes) or None for row in rows),
            "material": _text(row.material for row in rows),
            "gender": _text(CATEGORIES[row.category].gender for row in rows),
            "product_highlight": pa.array([list(row.highlights) for row in rows], pa.list_(pa.string())),
            "tags": pa.array([[row.style, row.use] for row in rows], pa.list_(pa.string())),
            "created_at": _times(row.created_at_us for row in rows),
            "updated_at": _times(row.created_at_us for row in rows),
            "language": _text(language for _ in rows),
        }
    )


def users(rows: Sequence[Shopper], language: Language) -> pa.Table:
    """The shoppers as the shop knows them, without their truth."""
    return pa.table(
        {
            "user_id": _text(row.user_id for row in rows),
            "created_at": _times(row.created_at_us for row in rows),
            "country": _text(row.country for row in rows),
            "language": _text(language for _ in rows),
            "membership": _text(row.membership for row in rows),
            "segments": pa.array([list(row.segments) for row in rows], pa.list_(pa.string())),
            "consent_analytics": pa.array([row.consent_analytics for row in rows], pa.bool_()),
            "consent_ads": pa.array([row.consent_ads for row in rows], pa.bool_()),
            "consent_personalization": pa.array([row.consent_personalization for row in rows], pa.bool_()),
        }
    )


def events(rows: Sequence[Event], language: Language) -> pa.Table:
    """The acts in order; their ids are given here."""
    values = [None if row.price_cents is None or row.quantity is None else row.price_cents * row.quantity for row in rows]
    return pa.table(
        {
            "event_id": _text(f"e{number + 1:07d}" for number in range(len(rows))),
            "event_time": _times(row.event_time_us for row in rows),
            "event_seq": _whole(row.event_seq for row in rows),
            "event_name": _text(row.event_name for row in rows),
            "user_id": _text(row.user_id for row in rows),
            "session_id": _text(row.session_id for row in rows),
            "item_id": _text(row.item_id for row in rows),
            "price": _money(row.price_cents for row in rows),
            "quantity": _whole(row.quantity for row in rows),
            "currency": _text(_CURRENCY[language] if row.price_cents is not None else None for row in rows),
            "event_value": _money(values),
            "search_term": _text(row.search_term for row in rows),
            "transaction_id": _text(row.transaction_id for row in rows),
            "device": _text(row.device for row in rows),
            "channel": _text(row.channel for row in rows),
            "country": _text(row.country for row in rows),
        }
    )


def reviews(rows: Sequence[Review], language: Language) -> pa.Table:
    """The reviews in order of time."""
    return pa.table(
        {
            "review_id": _text(row.review_id for row in rows),
            "item_id": _text(row.item_id for row in rows),
            "user_id": _text(row.user_id for row in rows),
            "rating": _whole(row.rating for row in rows),
            "title": _text(row.title for row in rows),
            "body": _text(row.body for row in rows),
            "created_at": _times(row.created_at_us for row in rows),
            "verified_purchase": pa.array([row.verified_purchase for row in rows], pa.bool_()),
            "helpful_votes": _whole(row.helpful_votes for row in rows),
            "language": _text(language for _ in rows),
        }
    )


def chats(rows: Sequence[Turn], language: Language) -> pa.Table:
    """The turns in order of conversation and turn."""
    return pa.table(
        {
            "conversation_id": _text(row.conversation_id for row in rows),
            "turn": _whole(row.turn for row in rows),
            "role": _text(row.role for row in rows),
            "content": _text(row.content for row in rows),
            "created_at": _times(row.created_at_us for row in rows),
            "channel": _text(row.channel for row in rows),
            "user_id": _text(row.user_id for row in rows),
            "order_id": _text(row.order_id for row in rows),
            "item_id": _text(row.item_id for row in rows),
            "intent": _text(row.intent for row in rows),
            "resolved": pa.array([row.resolved for row in rows], pa.bool_()),
            "csat": _whole(row.csat for row in rows),
            "language": _text(language for _ in rows),
        }
    )


def _text(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _whole(values: Iterable[int | None]) -> pa.Array:
    return pa.array(list(values), pa.int64())


def _times(values_us: Iterable[int]) -> pa.Array:
    return pa.array(list(values_us), pa.int64()).cast(_TIME)


def _money(cents: Iterable[int | None]) -> pa.Array:
    return pa.array([None if value is None else Decimal(value).scaleb(-2) for value in cents], _MONEY)
