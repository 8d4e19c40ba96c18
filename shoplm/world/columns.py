"""The simulated shop as Arrow tables, each column named and typed by the contract.

Money is decimal with its currency beside it, times are UTC microseconds, what is absent is null. What is made in
masses is taken from arrays as a whole; only texts are made one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract
from shoplm.world.advertising import CAMPAIGNS, CHANNELS, Ads, Impressions
from shoplm.world.aftermath import REASONS, STATUSES, Orders
from shoplm.world.catalogue import CATEGORIES, SECOND_US, START_US, WEEK_US, Product
from shoplm.world.chats import Turn
from shoplm.world.goods import Goods, Ints
from shoplm.world.people import TRAITS, People
from shoplm.world.prices import Prices
from shoplm.world.speech import Language
from shoplm.world.visits import ACTS, LIST, LISTS, REFUND, SEARCH, Acts

CURRENCY: Mapping[Language, str] = {"en": "GBP", "zh": "CNY"}
COUNTRIES: Mapping[Language, tuple[str, ...]] = {
    "en": ("GB", "GB", "GB", "IE", "DE", "NL", "US"),
    "zh": ("CN", "CN", "CN", "CN", "CN", "SG", "MY"),
}
_ORDERS = 89_999_999
_STRIDE = 7_000_003  # shares no divisor with _ORDERS: every order has a number of its own, and neighbours look unlike


class Names:
    """Values that many rows share, as Arrow arrays to take from."""

    def __init__(self, goods: Goods, prices: Prices, people: People, language: Language, said: Sequence[tuple[str, ...]]) -> None:
        self.language = language
        self.items = pa.array(goods.ids.tolist(), pa.string())
        self.prices = prices
        self.terms = pa.array([term for terms in said for term in terms], pa.string())
        """three search terms of every product, one product after the other"""
        self.country = people.country
        self.countries = pa.array(COUNTRIES[language], pa.string())

    def users(self, shopper: Ints) -> pa.Array:
        """Ids of shoppers."""
        return numbered("u", shopper + 1, 7)


def numbered(prefix: str, numbers: Ints, digits: int) -> pa.Array:
    """Ids such as ``u0000017``."""
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), digits, "0"), "")


def money(cents: Ints) -> pa.Array:
    """Amounts in whole units with their hundredths, null where ``cents`` is below 0."""
    kind = contract.MONEY
    scaled = np.zeros((len(cents), 2), np.int64)  # 128 bits, the lower half first
    scaled[:, 0] = np.maximum(cents, 0) * 10 ** (kind.scale - 2)
    there = pa.array(cents >= 0)
    whole = pa.Array.from_buffers(kind, len(cents), [None, pa.py_buffer(scaled)])
    return pc.if_else(there, whole, pa.scalar(None, kind))


def order_ids(order: Ints) -> pa.Array:
    """``A-`` and eight digits, none twice among the first 90 million."""
    return numbered("A-", 10_000_000 + order * _STRIDE % _ORDERS + order // _ORDERS * 100_000_000, 8)


def order_id(order: int) -> str:
    """One of ``order_ids``."""
    return f"A-{10_000_000 + order * _STRIDE % _ORDERS + order // _ORDERS * 100_000_000:08d}"


def products(rows: Sequence[Product], language: Language, prices: Prices, now_us: int) -> pa.Table:
    """The catalogue as it stands at ``now_us``; a product without description or size has null there, one whose price is 0 keeps that."""
    every = np.arange(len(rows))
    regular, sale = prices.at(every, np.full(len(rows), now_us))
    updated = np.maximum(prices.changed(now_us), [row.created_at_us for row in rows])
    free = np.array([row.price_cents == 0 for row in rows], bool)
    levels = [row.path.split(" > ") for row in rows]
    return _table(
        "products",
        {
            "id": [row.id for row in rows],
            "title": [row.title for row in rows],
            "description": [row.description or None for row in rows],
            "link": [f"https://shop.example/p/{row.id.lower()}" for row in rows],
            "availability": [row.availability for row in rows],
            "price": money(np.where(free, 0, regular)),
            "sale_price": money(np.where(free | (sale == 0), -1, sale)),
            "currency": [CURRENCY[language] for _ in rows],
            "brand": [row.brand for row in rows],
            "condition": ["new" for _ in rows],
            "product_type": [row.path for row in rows],
            "category_l1": [level[0] for level in levels],
            "category_l2": [level[1] for level in levels],
            "category_l3": [level[2] if len(level) > 2 else None for level in levels],
            "item_group_id": [row.group for row in rows],
            "color": [row.color for row in rows],
            "size": ["/".join(CATEGORIES[row.category].sizes) or None for row in rows],
            "material": [row.material for row in rows],
            "gender": [CATEGORIES[row.category].gender for row in rows],
            "product_highlight": [list(row.highlights) for row in rows],
            "tags": [[row.style, row.use] for row in rows],
            "created_at": [row.created_at_us for row in rows],
            "updated_at": updated,
            "language": [language for _ in rows],
        },
    )


def users(people: People, rows: slice, language: Language) -> pa.Table:
    """Some of the shoppers as the shop knows them, without their truth."""
    names = [*TRAITS, "newsletter", "app"]
    flags = np.concatenate([people.told[rows], people.extras[rows]], axis=1)
    shopper, which = np.nonzero(flags)
    offsets = np.searchsorted(shopper, np.arange(len(flags) + 1))
    count = len(flags)
    return _table(
        "users",
        {
            "user_id": numbered("u", np.arange(rows.start, rows.start + count) + 1, 7),
            "created_at": people.created_at_us[rows],
            "country": pa.array(COUNTRIES[language]).take(pa.array(people.country[rows])),
            "language": pa.array([language] * count),
            "membership": pa.array(["basic", "silver", "gold"]).take(pa.array(people.membership[rows])),
            "segments": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(names).take(pa.array(which))),
            "consent_analytics": people.consent[rows, 0],
            "consent_ads": people.consent[rows, 1],
            "consent_personalization": people.consent[rows, 2],
        },
    )


def events(acts: Acts, order_of: Ints, first: int, names: Names, words: tuple[Sequence[str], Sequence[str]]) -> pa.Table:
    """What was done in a block of visits.

    Args:
        acts: A rows.
        order_of: (A,) running number of the order of a purchase, -1 for other acts.
        first: running number of the first event.
        names: shared values.
        words: names of devices and of the channels that visits come from.
    """
    some, bought = acts.item >= 0, order_of >= 0
    listed = acts.list_row >= 0
    currency = pa.scalar(CURRENCY[names.language])
    items = _some(names.items, acts.item)
    cents = np.where(some, names.prices.paid(acts.item, acts.at_us), -1)
    value = np.where(acts.quantity > 0, cents * acts.quantity / 100, np.nan)
    sizes = np.where(listed, acts.lists.shape[1], 0)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    seen = names.items.take(pa.array(acts.lists[acts.list_row[listed]].ravel()))
    impression = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), seen, mask=pa.array(~listed))
    term = np.where(acts.name == SEARCH, acts.term * 3 + acts.visit % 3, -1)
    recommended = (acts.list_name == 0) & ~np.isnan(acts.propensity)
    return _table(
        "events",
        {
            "event_id": numbered("e", first + np.arange(len(acts)), 9),
            "event_time": acts.at_us,
            "event_seq": acts.seq,
            "event_name": _some(pa.array(ACTS), acts.name),
            "user_id": names.users(acts.shopper),
            "session_id": numbered("s", acts.visit, 9),
            "item_id": items,
            "price": money(cents),
            "quantity": pa.array(acts.quantity.astype(np.float64), mask=acts.quantity == 0),
            "currency": pc.if_else(pa.array(some), currency, pa.scalar(None, pa.string())),
            "event_value": pa.array(value, mask=acts.quantity == 0),
            "item_list_name": _some(pa.array(LISTS), acts.list_name),
            "index": pa.array(acts.index, mask=acts.index < 0),
            "search_term": _some(names.terms, term),
            "transaction_id": pc.if_else(pa.array(bought), order_ids(order_of), pa.scalar(None, pa.string())),
            "recommendation_id": pc.if_else(pa.array(recommended), numbered("rec", acts.visit, 9), pa.scalar(None, pa.string())),
            "impression": impression,
            "propensity": pa.array(acts.propensity.astype(np.float64), mask=np.isnan(acts.propensity)),
            "policy": pc.if_else(pa.array((acts.name == LIST) & recommended), pa.scalar("house"), pa.scalar(None, pa.string())),
            "device": _some(pa.array(words[0]), acts.device),
            "channel": _some(pa.array(words[1]), acts.channel),
            "country": names.countries.take(pa.array(names.country[acts.shopper])),
        },
    )


def refunds(back: Orders, first: int, names: Names) -> pa.Table:
    """The refunds of a week as events."""
    cents, count = names.prices.paid(back.item, back.ordered_us), len(back)  # what was paid comes back, whatever it costs by now
    return _table(
        "events",
        {
            "event_id": numbered("e", first + np.arange(count), 9),
            "event_time": back.refunded_us,
            "event_seq": np.zeros(count, dtype=np.int64),
            "event_name": pa.array([ACTS[REFUND]] * count, pa.string()),
            "user_id": names.users(back.shopper),
            "item_id": names.items.take(pa.array(back.item)),
            "price": money(cents),
            "quantity": back.quantity.astype(np.float64),
            "currency": pa.array([CURRENCY[names.language]] * count, pa.string()),
            "event_value": cents * back.quantity / 100,
            "transaction_id": order_ids(back.order),
            "country": names.countries.take(pa.array(names.country[back.shopper])),
        },
    )


def orders(rows: Orders, now_us: int, names: Names) -> pa.Table:
    """Order lines as they stand at ``now_us``; when each step happened stands in columns of the shop's own."""
    status, since = rows.status(now_us)
    reason = np.where(rows.returned_us <= now_us, rows.reason, -1)
    fixed = {
        "order_id": order_ids(rows.order),
        "line": rows.line,
        "user_id": names.users(rows.shopper),
        "item_id": names.items.take(pa.array(rows.item)),
        "quantity": rows.quantity.astype(np.float64),
        "price": money(names.prices.paid(rows.item, rows.ordered_us)),
        "currency": pa.array([CURRENCY[names.language]] * len(rows), pa.string()),
        "status": pa.array(STATUSES).take(pa.array(status)),
        "ordered_at": rows.ordered_us,
        "status_at": since,
        "ship_country": names.countries.take(pa.array(names.country[rows.shopper])),
    }
    made = _table("orders", fixed)
    for name, at_us in (("shipped_at", rows.shipped_us), ("delivered_at", rows.delivered_us), ("returned_at", rows.returned_us)):
        made = made.append_column(name, pa.array(at_us, mask=at_us > now_us).cast(contract.TIME))
    return made.append_column("return_reason", _some(pa.array(REASONS), reason))


def impressions(seen: Impressions, ads: Ads, converted: Ints, people: People, names: Names, texts: Sequence[str]) -> pa.Table:
    """The ads of a week; the shopper's id is there only where ads were consented to."""
    channels = list(CHANNELS.values())
    channel, count = ads.channel[seen.ad], len(seen.ad)
    places = pa.array([place for one in channels for place in one.placements])
    consents = people.consent[seen.shopper, 1]
    sold = converted >= 0
    return _table(
        "ads",
        {
            "ad_event_id": numbered("i", seen.number, 9),
            "event_time": seen.at_us,
            "channel": pa.array(list(CHANNELS)).take(pa.array(channel)),
            "campaign_id": _campaigns().take(pa.array(channel * len(CAMPAIGNS) + ads.campaign[seen.ad])),
            "ad_group_id": numbered("group-", ads.category[seen.ad], 2),
            "ad_id": numbered("ad-", seen.ad, 4),
            "creative_text": pa.array(texts, pa.string()).take(pa.array(seen.ad)),
            "item_id": names.items.take(pa.array(ads.item[seen.ad])),
            "user_id": pc.if_else(pa.array(consents), names.users(seen.shopper), pa.scalar(None, pa.string())),
            "placement": places.take(pa.array(channel * 4 + seen.position)),
            "position": seen.position,
            "frequency": seen.frequency,
            "cost_micros": np.array([one.cost_micros for one in channels])[channel],
            "currency": pa.array([CURRENCY[names.language]] * count, pa.string()),
            "propensity": seen.propensity.astype(np.float64),
            "clicked": seen.clicked,
            "converted": sold,
            "conversion_value": money(converted),
        },
    )


def spend(week: int, seen: Impressions, ads: Ads, converted: Ints, names: Names) -> pa.Table:
    """What each campaign cost and brought in a week."""
    cells = len(CHANNELS) * len(CAMPAIGNS)
    of = ads.channel[seen.ad] * len(CAMPAIGNS) + ads.campaign[seen.ad]
    shown, clicks, sales = (np.bincount(of[rows], minlength=cells) for rows in (np.ones(len(of), dtype=bool), seen.clicked, converted >= 0))
    worth = np.bincount(of, np.maximum(converted, 0), minlength=cells).astype(np.int64)
    cost = np.repeat([one.cost_micros for one in CHANNELS.values()], len(CAMPAIGNS)) * shown
    return _table(
        "spend",
        {
            "date": np.full(cells, START_US + week * WEEK_US),
            "channel": pa.array([name for name in CHANNELS for _ in CAMPAIGNS]),
            "campaign_id": _campaigns(),
            "impressions": shown,
            "clicks": clicks,
            "cost_micros": cost,
            "conversions": sales.astype(np.float64),
            "conversions_value": [_units(int(cents)) for cents in worth],
            "currency": pa.array([CURRENCY[names.language]] * cells),
        },
    )


def reviews(rows: Sequence[Mapping[str, object]], language: Language) -> pa.Table:
    """Reviews by the contract's names, in order of time."""
    wanted = ("review_id", "item_id", "user_id", "rating", "title", "body", "created_at", "verified_purchase", "helpful_votes")
    return _table("reviews", {**{name: [row[name] for row in rows] for name in wanted}, "language": [language for _ in rows]})


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
            "action": [row.action for row in rows],
            "resolved": [row.resolved for row in rows],
            "csat": [row.csat for row in rows],
            "language": [language for _ in rows],
        },
    )


def articles(rows: Sequence[tuple[str, str, str, Sequence[str]]], language: Language) -> pa.Table:
    """Help articles from (id, title, body, intents)."""
    return _table(
        "articles",
        {
            "article_id": [row[0] for row in rows],
            "title": [row[1] for row in rows],
            "body": [row[2] for row in rows],
            "tags": [["help"] for _ in rows],
            "intents": [list(row[3]) for row in rows],
            "url": [f"https://shop.example/help/{row[0]}" for row in rows],
            "updated_at": [START_US - 30 * 86_400 * SECOND_US for _ in rows],
            "language": [language for _ in rows],
        },
    )


def relations(heads: Sequence[str], names: Sequence[str], tails: Sequence[str], weights: Sequence[float | None]) -> pa.Table:
    """What belongs to what."""
    return _table("relations", {"head": heads, "relation": names, "tail": tails, "weight": weights})


def _campaigns() -> pa.Array:
    return pa.array([f"{name}-{campaign}" for name in CHANNELS for campaign in CAMPAIGNS])


def _some(values: pa.Array, places: Ints) -> pa.Array:
    """The values at these places, null where a place is below 0."""
    return values.take(pa.array(places, mask=places < 0))


def _table(name: str, columns: Mapping[str, Any]) -> pa.Table:
    shape = contract.table(name)
    return pa.table({column: _typed(values, shape[column].type) for column, values in columns.items()})


def _typed(values: Any, wanted: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values if values.type == wanted else values.cast(wanted)
    if isinstance(values, np.ndarray) and pa.types.is_timestamp(wanted):
        return pa.array(values).cast(wanted)
    return pa.array(values, wanted)


def _units(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
