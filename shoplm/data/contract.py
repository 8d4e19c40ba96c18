"""The contract: every table of a shop, its columns, their types and units, and when each becomes known.

This is the only place where a table or a column is declared. The Arrow schema, the checks at the door,
the words of every refusal, and what ``contract_page`` writes are derived from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import pyarrow as pa

from shoplm.errors import DataError, did_you_mean

VERSION = 1

TEXT = pa.string()
WHOLE = pa.int64()
NUMBER = pa.float64()
MONEY = pa.decimal128(18, 4)
FLAG = pa.bool_()
TIME = pa.timestamp("us", tz="UTC")
LIST = pa.list_(pa.string())

ID_LENGTH = 256
Known = Literal["always", "event_time", "updated_at", "later"]


@dataclass(frozen=True)
class Check:
    """What a value of the right type must still obey; both bounds are allowed values."""

    one_of: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    longest: int | None = None

    def __str__(self) -> str:
        if self.one_of:
            return "one of " + ", ".join(self.one_of)
        if self.low is not None or self.high is not None:
            if self.high is None:
                return f"at least {self.low:g}"
            return f"{self.low:g} to {self.high:g}" if self.low is not None else f"at most {self.high:g}"
        return f"at most {self.longest} characters" if self.longest else ""


IDS = Check(longest=ID_LENGTH)
LONG = Check(longest=1_000_000)


@dataclass(frozen=True)
class Column:
    """One column: what it holds, what it may hold, and when it becomes known."""

    name: str
    type: pa.DataType = field(default=TEXT)
    required: bool = False
    known: Known = "always"
    description: str = ""
    unit: str = ""
    check: Check = Check()

    @property
    def is_id(self) -> bool:
        """Ids are trimmed and at most 256 characters long."""
        return self.check is IDS

    @property
    def kind(self) -> str:
        """The type in words, as messages and the docs page say it."""
        if self.name == "attributes":
            return "JSON object"
        return "id" if self.is_id else _KINDS[self.type]


_KINDS: dict[pa.DataType, str] = {
    TEXT: "text", WHOLE: "whole number", NUMBER: "number", MONEY: "decimal number", FLAG: "true or false",
    TIME: "time", LIST: "list of texts",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One table: its columns, its key, and the column that says when a row happened or was last true.

    Attributes:
        key: the columns that name a row; re-importing a row with the same key updates it.
        clock: the time column that ``event_time`` and ``updated_at`` refer to, or None.
        any_of: groups of columns of which every row fills at least one.
        derived: columns that a source may lack altogether: an id becomes a 128-bit hash of the row's
            content and its ordinal among identical rows, ``turn`` a running number.
        fallback: values for columns that a source lacks altogether.
        updated: the time column since when the columns known at ``updated_at`` hold, where that is not ``clock``.
        grouped: the table grows with time, so an import lays its rows into files by month of ``clock``.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    clock: str | None
    description: str
    any_of: tuple[tuple[str, ...], ...] = ()
    derived: tuple[str, ...] = ()
    fallback: tuple[tuple[str, str], ...] = ()
    updated: str | None = None
    grouped: bool = False

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """The columns by name, in the contract's order."""
        return {column.name: column for column in self.columns}

    def __getitem__(self, name: str) -> Column:
        """The column called ``name``.

        Raises:
            DataError: there is none; the message names the closest.
        """
        if name not in self.by_name:
            raise DataError(f"table {self.name}: no column `{name}` in the contract; {did_you_mean(name, self.by_name)}")
        return self.by_name[name]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of a stored row: the contract's columns, then ``source``, ``ingested_at``, ``row_digest``."""
        fields = [pa.field(column.name, column.type) for column in self.columns]
        return pa.schema([*fields, *STAMPS])


STAMPS = (pa.field("source", TEXT), pa.field("ingested_at", TIME), pa.field("row_digest", pa.int64()))
"""What every stored row carries besides the contract's columns: where from, when, and 63 bits of its content's MD5."""


def _id(name: str, description: str, *, required: bool = False, known: Known = "always") -> Column:
    return Column(name, TEXT, required, known, description, check=IDS)


def _text(name: str, description: str, *, required: bool = False, known: Known = "always", one_of: tuple[str, ...] = ()) -> Column:
    return Column(name, TEXT, required, known, description, check=Check(one_of=one_of) if one_of else LONG)


def _attributes(known: Known) -> Column:
    return Column("attributes", TEXT, False, known, "columns that the contract does not name, native JSON types kept")


def _money(name: str, description: str, known: Known) -> Column:
    return Column(name, MONEY, False, known, description, "currency", Check(low=0))


_CURRENCY = Column("currency", TEXT, False, "always", "currency of every amount in the row", "ISO 4217", Check(longest=3))

PRODUCTS = Table(
    "products",
    ("id",),
    (
        _id("id", "the item's id; `item_id` in every other table", required=True),
        _text("title", "the name that shoppers see", required=True),
        _text("description", "plain text or HTML"),
        _text("link", "URL of the product page"),
        _text("image_link", "URL of the main picture"),
        Column("additional_image_link", LIST, description="URLs of more pictures"),
        _text("availability", "can it be bought", known="updated_at", one_of=("in_stock", "out_of_stock", "preorder", "backorder")),
        _money("price", "regular price", "updated_at"),
        _money("sale_price", "price while on sale", "updated_at"),
        _CURRENCY,
        _text("brand", "who makes it"),
        _text("gtin", "global trade item number"),
        _text("mpn", "manufacturer's part number"),
        _text("condition", "new, refurbished or used", one_of=("new", "refurbished", "used")),
        _text("product_type", "the shop's own category path, `A > B > C`"),
        _text("google_product_category", "Google's category path or number"),
        *(_text(f"category_l{n}", f"level {n} of the category path") for n in range(1, 6)),
        _id("item_group_id", "shared by variants of one product"),
        _text("color", "colour"),
        _text("size", "size"),
        _text("material", "material"),
        _text("pattern", "pattern"),
        _text("gender", "male, female or unisex"),
        _text("age_group", "newborn, infant, toddler, kids or adult"),
        Column("product_highlight", LIST, description="short selling points"),
        Column("tags", LIST, description="free words on the product"),
        Column("created_at", TIME, description="when the item entered the shop", unit="UTC"),
        Column("updated_at", TIME, description="when price and availability were last true", unit="UTC"),
        _text("language", "language of the texts, BCP 47"),
        _attributes("always"),
    ),
    "updated_at",
    "What the shop sells, in Google Merchant's names; one row per item.",
)

USERS = Table(
    "users",
    ("user_id",),
    (
        _id("user_id", "the shopper's id", required=True),
        Column("created_at", TIME, description="when the shopper was first known", unit="UTC"),
        _text("country", "ISO 3166 code or name"),
        _text("language", "BCP 47"),
        _text("membership", "loyalty level"),
        Column("segments", LIST, description="groups that the shop sorted the shopper into"),
        _text("email_hash", "SHA-256 of the lower-case address"),
        _text("phone_hash", "SHA-256 of the E.164 number"),
        Column("consent_analytics", FLAG, description="may be counted and learnt from"),
        Column("consent_ads", FLAG, description="may be used for advertising"),
        Column("consent_personalization", FLAG, description="may be used for personal answers"),
        _attributes("always"),
    ),
    None,
    "Who buys; one row per shopper.",
)


EVENTS = Table(
    "events",
    ("event_id",),
    (
        _id("event_id", "the act's id", required=True),
        Column("event_time", TIME, True, "event_time", "when it happened", "UTC"),
        Column("event_seq", WHOLE, False, "event_time", "order within equal times"),
        _text("event_name", "GA4's word: view_item, add_to_cart, purchase, …", required=True, known="event_time"),
        _id("user_id", "the shopper; this or `user_pseudo_id`", known="event_time"),
        _id("user_pseudo_id", "the device or cookie", known="event_time"),
        _id("session_id", "the visit", known="event_time"),
        _id("item_id", "the item acted on", known="event_time"),
        _money("price", "price of one piece at that moment", "event_time"),
        Column("quantity", NUMBER, False, "event_time", "how many pieces", "pieces"),
        Column("currency", TEXT, False, "event_time", "currency of every amount in the row", "ISO 4217", Check(longest=3)),
        Column("event_value", NUMBER, False, "event_time", "worth of the act, such as stars or money"),
        _text("item_list_name", "the list in which it was shown", known="event_time"),
        Column("index", WHOLE, False, "event_time", "0-based position in the list", "place", Check(low=0)),
        _text("search_term", "words searched for", known="event_time"),
        _id("transaction_id", "the order", known="event_time"),
        _id("recommendation_id", "the answer that led here", known="event_time"),
        Column("impression", LIST, False, "event_time", "ids of the items shown"),
        Column("propensity", NUMBER, False, "event_time", "chance that the policy showed this", "0 to 1", Check(low=0, high=1)),
        _text("policy", "what chose it", known="event_time"),
        _id("promotion_id", "the promotion", known="event_time"),
        _text("device", "desktop, mobile, tablet, …", known="event_time"),
        _text("channel", "where the shopper came from", known="event_time"),
        _text("country", "ISO 3166 code or name", known="event_time"),
        _attributes("event_time"),
    ),
    "event_time",
    "What shoppers do, in GA4's words; one row per shopper, item and act.",
    any_of=(("user_id", "user_pseudo_id"),),
    derived=("event_id",),
    grouped=True,
)

REVIEWS = Table(
    "reviews",
    ("review_id",),
    (
        _id("review_id", "the review's id", required=True),
        _id("item_id", "the item reviewed", required=True),
        _id("user_id", "who wrote it"),
        Column("rating", NUMBER, False, "event_time", "stars given", "stars", Check(low=1, high=5)),
        _text("title", "headline", known="event_time"),
        _text("body", "the review's own words", known="event_time"),
        Column("created_at", TIME, False, "event_time", "when it was written", "UTC"),
        Column("verified_purchase", FLAG, False, "event_time", "did the writer buy the item here"),
        Column("helpful_votes", WHOLE, False, "later", "votes collected since", "votes", Check(low=0)),
        _text("language", "BCP 47", known="event_time"),
        _attributes("event_time"),
    ),
    "created_at",
    "What shoppers wrote about items; at least one of rating, title and body.",
    any_of=(("rating", "title", "body"),),
    derived=("review_id",),
)

CHATS = Table(
    "chats",
    ("conversation_id", "turn"),
    (
        _id("conversation_id", "the conversation", required=True),
        Column("turn", WHOLE, True, "event_time", "place in the conversation, from 0", "place", Check(low=0)),
        _text("role", "who speaks", required=True, known="event_time", one_of=("system", "user", "assistant", "tool")),
        _text("content", "what was said", required=True, known="event_time"),
        Column("created_at", TIME, False, "event_time", "when it was said", "UTC"),
        _text("channel", "where it was said", known="event_time", one_of=("web", "email", "social", "phone", "api")),
        _id("user_id", "the shopper"),
        _id("order_id", "the order talked about", known="event_time"),
        _id("item_id", "the item talked about", known="event_time"),
        _text("intent", "what the shopper wants, as labelled afterwards", known="later"),
        _text("action", "what was done about it", known="later"),
        Column("resolved", FLAG, False, "later", "was the matter settled"),
        Column("csat", NUMBER, False, "later", "satisfaction given at the end", "1 to 5", Check(low=1, high=5)),
        _text("language", "BCP 47", known="event_time"),
        _attributes("event_time"),
    ),
    "created_at",
    "Support conversations in OpenAI's message words; one row per turn.",
    derived=("conversation_id", "turn"),
    fallback=(("role", "user"),),
)

LABELS = Table(
    "labels",
    ("task", "subject", "name", "by"),
    (
        _id("task", "the task that the label is for", required=True),
        _id("subject", "key of the row it speaks of; parts joined by `/`", required=True),
        _id("name", "what was judged", required=True),
        _text("value", "the judgement", required=True, known="event_time"),
        _text("by", "who judged", required=True, one_of=("person", "model", "rule")),
        Column("at", TIME, True, "event_time", "when it was judged", "UTC"),
        _text("split", "train, valid or test"),
        Column("weight", NUMBER, False, "event_time", "how much it counts", "", Check(low=0)),
        _attributes("event_time"),
    ),
    "at",
    "Every label that is not itself behaviour: review decisions, relevance pairs, profile labels, ad checks.",
)

ADS = Table(
    "ads",
    ("ad_event_id",),
    (
        _id("ad_event_id", "the impression's id", required=True),
        Column("event_time", TIME, True, "event_time", "when it was shown", "UTC"),
        _text("channel", "where it was shown: search, social, email, display, video, …", required=True, known="event_time"),
        _id("campaign_id", "the campaign", known="event_time"),
        _id("ad_group_id", "the ad group", known="event_time"),
        _id("ad_id", "the ad", known="event_time"),
        _text("creative_text", "the words of the ad", known="event_time"),
        _id("item_id", "the item advertised", known="event_time"),
        _id("user_id", "the shopper who saw it", known="event_time"),
        _text("placement", "the place on the page or the page itself", known="event_time"),
        Column("position", WHOLE, False, "event_time", "0-based position among the ads shown", "place", Check(low=0)),
        Column("frequency", WHOLE, False, "event_time", "times this shopper saw it before", "times", Check(low=0)),
        Column("cost_micros", WHOLE, False, "later", "what it cost, settled after the auction", "millionths of the currency", Check(low=0)),
        Column("currency", TEXT, False, "event_time", "currency of every amount in the row", "ISO 4217", Check(longest=3)),
        Column("propensity", NUMBER, False, "event_time", "chance that the policy showed this", "0 to 1", Check(low=0, high=1)),
        Column("clicked", FLAG, False, "later", "was it clicked"),
        Column("converted", FLAG, False, "later", "did a purchase follow"),
        _money("conversion_value", "worth of that purchase", "later"),
        _attributes("event_time"),
    ),
    "event_time",
    "Which ads were shown to whom, in Google Ads' words; one row per impression.",
    derived=("ad_event_id",),
    grouped=True,
)

SPEND = Table(
    "spend",
    ("date", "channel", "campaign_id"),
    (
        Column("date", TIME, True, "event_time", "the day, or the first day of the week", "UTC midnight"),
        _text("channel", "where the money went", required=True),
        _id("campaign_id", "the campaign; empty where a channel is not divided"),
        Column("impressions", WHOLE, False, "later", "times shown", "times", Check(low=0)),
        Column("clicks", WHOLE, False, "later", "clicks", "clicks", Check(low=0)),
        Column("cost_micros", WHOLE, True, "event_time", "what it cost", "millionths of the currency", Check(low=0)),
        Column("conversions", NUMBER, False, "later", "purchases that followed", "purchases", Check(low=0)),
        _money("conversions_value", "worth of those purchases", "later"),
        Column("currency", TEXT, False, "event_time", "currency of every amount in the row", "ISO 4217", Check(longest=3)),
        _attributes("later"),
    ),
    "date",
    "What advertising cost and brought, by day or week, channel and campaign.",
)

ORDERS = Table(
    "orders",
    ("order_id", "line"),
    (
        _id("order_id", "the order", required=True),
        Column("line", WHOLE, True, "event_time", "place in the order, from 0", "place", Check(low=0)),
        _id("user_id", "who ordered", known="event_time"),
        _id("item_id", "the item ordered", required=True, known="event_time"),
        Column("quantity", NUMBER, False, "event_time", "how many pieces", "pieces", Check(low=0)),
        _money("price", "price of one piece as paid", "event_time"),
        Column("currency", TEXT, False, "event_time", "currency of every amount in the row", "ISO 4217", Check(longest=3)),
        _text("status", "how far it has come", known="updated_at",
              one_of=("placed", "paid", "shipped", "delivered", "cancelled", "returned", "refunded")),
        Column("ordered_at", TIME, True, "event_time", "when it was ordered", "UTC"),
        Column("status_at", TIME, False, "updated_at", "since when the status holds", "UTC"),
        _text("ship_country", "ISO 3166 code or name", known="event_time"),
        _attributes("later"),
    ),
    "ordered_at",
    "What was ordered and what became of it; one row per line of an order.",
    derived=("line",),
    updated="status_at",
    grouped=True,
)  # fmt: skip

ARTICLES = Table(
    "articles",
    ("article_id",),
    (
        _id("article_id", "the article's id", required=True),
        _text("title", "its headline", required=True, known="updated_at"),
        _text("body", "its text", required=True, known="updated_at"),
        Column("tags", LIST, False, "updated_at", "free words on the article"),
        Column("intents", LIST, False, "updated_at", "what shoppers want when they need it"),
        _text("url", "where shoppers read it"),
        Column("updated_at", TIME, description="since when it reads so", unit="UTC"),
        _text("language", "BCP 47"),
        _attributes("updated_at"),
    ),
    "updated_at",
    "What the shop tells its shoppers: help pages, policies, answers; one row per article.",
)

RELATIONS = Table(
    "relations",
    ("head", "relation", "tail"),
    (
        _id("head", "the id that the relation starts from", required=True),
        _text("relation", "is_a, brand_of, bought_with, fits, substitutes, same_as, …", required=True),
        _id("tail", "the id that it leads to", required=True),
        Column("weight", NUMBER, description="how sure or how strong"),
        _text("reason", "why it is held true: login, email_hash, phone_hash, order_id, …"),
        Column("undone", FLAG, description="was it found to be wrong; it no longer counts"),
        _attributes("always"),
    ),
    None,
    "What belongs to what: kinds, brands, fits, and which ids are one shopper (`same_as`).",
)

TABLES: dict[str, Table] = {
    table.name: table for table in (PRODUCTS, USERS, EVENTS, REVIEWS, ADS, SPEND, CHATS, ORDERS, LABELS, ARTICLES, RELATIONS)
}


def table(name: str) -> Table:
    """The contract's table called ``name``.

    Raises:
        DataError: there is none; the message names the closest.
    """
    if name not in TABLES:
        raise DataError(f"no table `{name}` in the contract; {did_you_mean(name, TABLES)}")
    return TABLES[name]
