"""Real rows through the importers: as many come out as went in, with the same sums, and nothing is set aside without a reason.

Each case takes a few thousand rows of a real data set and, where the format is another than the file's, writes them the way that
the format's own tools do: every title, stray quote and odd letter is somebody's.
"""

import csv
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shoplm.data.shop import Shop

ROOT = Path(os.environ.get("SHOPLM_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")
ROWS = 3000


def jsonl(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return [path]


def table(path, records, delimiter=","):
    """A csv as Python's own writer makes it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return [path]


def atomic(path, types, records):
    """RecBole's file: typed header, tabs, no quotes."""
    lines = ["\t".join(f"{name}:{kind}" for name, kind in types.items()), *("\t".join(str(row[name]) for name in types) for row in records)]
    path.write_text("\n".join([*lines, ""]), "utf-8")
    return path


def as_they_are(rows, folder):
    pq.write_table(rows, folder / "rows.parquet")
    return [folder / "rows.parquet"]


def as_csv(rows, folder):
    return table(folder / "rows.csv", rows.to_pylist())


def movielens(rows, folder):
    base = ROOT / "ml100k_user_profiles"
    items = pq.read_table(base / "items.parquet").to_pylist()
    users = pq.read_table(base / "users.parquet").to_pylist()
    return [
        atomic(folder / "ml.inter", {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}, rows.to_pylist()),
        atomic(folder / "ml.item", {"item_id": "token", "movie_title": "token_seq", "release_year": "token", "class": "token_seq"}, items),
        atomic(folder / "ml.user", {"user_id": "token", "age": "token", "gender": "token", "occupation": "token", "zip_code": "token"}, users),
    ]  # fmt: skip


def seconds(moment):
    """A time of the shop's own clock, taken as UTC."""
    return int(moment.replace(tzinfo=UTC).timestamp())


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def personalize(rows, folder):
    acts = [{"USER_ID": row["household_id"], "ITEM_ID": row["product_id"], "TIMESTAMP": seconds(row["transaction_timestamp"]), "EVENT_TYPE": "Purchase",
             "EVENT_VALUE": row["sales_value"]} for row in rows.to_pylist()]  # fmt: skip
    products = [{"ITEM_ID": row["product_id"], "CATEGORY_L1": row["department"], "CATEGORY_L2": row["product_category"], "CATEGORY_L3": row["product_type"],
                 "BRAND": row["brand"], "PACKAGE": row["package_size"]} for row in pq.read_table(ROOT / "complete_journey_profiles" / "products.parquet").slice(0, ROWS).to_pylist()]  # fmt: skip
    users = [
        {"USER_ID": row.pop("household_id"), **row}
        for row in pq.read_table(ROOT / "complete_journey_profiles" / "households.parquet").to_pylist()
    ]
    return [*table(folder / "interactions.csv", acts), *table(folder / "items.csv", products), *table(folder / "users.csv", users)]


def gorse(rows, folder):
    return jsonl(folder / "feedback.jsonl", [{"FeedbackType": "buy", "UserId": row["household_id"], "ItemId": row["product_id"], "Timestamp": stamp(row["transaction_timestamp"])} for row in rows.to_pylist()])  # fmt: skip


def segment(rows, folder):
    """One `Order Completed` a basket."""
    baskets = groupby(sorted(rows.to_pylist(), key=lambda row: row["basket_id"]), key=lambda row: row["basket_id"])
    events = []
    for basket, lines in baskets:
        bought = list(lines)
        events.append({"event": "Order Completed", "type": "track", "messageId": basket, "userId": bought[0]["household_id"], "timestamp": stamp(bought[0]["transaction_timestamp"]),
                       "properties": {"order_id": basket, "products": [{"product_id": row["product_id"], "quantity": row["quantity"]} for row in bought]}})  # fmt: skip
    return jsonl(folder / "events.jsonl", events)


def metarank(rows, folder):
    return jsonl(folder / "events.jsonl", [{"event": "interaction", "id": f"{n}", "timestamp": str(1000 * seconds(row["transaction_timestamp"])), "user": row["household_id"], "session": row["basket_id"],
                                            "type": "purchase", "item": row["product_id"], "fields": [{"name": "quantity", "value": row["quantity"]}]} for n, row in enumerate(rows.to_pylist())])  # fmt: skip


def amazon_reviews(rows, folder):
    found = [{"rating": row["rating"], "title": row["title"], "text": row["text"], "asin": str(row["product_id"]), "parent_asin": str(row["product_id"]),
              "user_id": f"A{row['review_id']}", "timestamp": 1_588_687_728_923 + row["review_id"], "helpful_vote": row["positive_feedback"], "verified_purchase": True,
              "images": []} for row in rows.to_pylist()]  # fmt: skip
    return jsonl(folder / "reviews.jsonl", found)


def amazon_meta(rows, folder):
    return jsonl(folder / "meta.jsonl", [{"main_category": "Industrial & Scientific", "title": row["text"], "parent_asin": row["asin"], "price": None, "features": [], "description": [],
                                          "images": [], "categories": [], "details": {}, "store": None} for row in rows.to_pylist()])  # fmt: skip


def merchant(rows, folder):
    feed = [
        {"id": row["offer_id"], "title": row["title"], "product type": row["category"], "item group id": row["cluster_id"]}
        for row in rows.to_pylist()
    ]
    return table(folder / "feed.txt", feed, "\t")


def merchant_prices(rows, folder):
    feed = [{"id": n, "title": row["left_title"], "brand": row["left_brand"], "mpn": row["left_modelno"], "product_type": row["left_category"].replace(" - ", " > "),
             "price": f"{row['left_price']} USD" if row["left_price"] else ""} for n, row in enumerate(rows.to_pylist())]  # fmt: skip
    return table(folder / "feed.tsv", feed, "\t")


def google_ads(rows, folder):
    weeks = [{"segments.week": str(row["week"])[:10], "campaign.advertising_channel_type": channel.upper(), "campaign.id": channel, "metrics.cost_micros": round(row[f"{channel}_spend"] * 1e6),
              "metrics.clicks": int(row["search_clicks"]) if channel == "search" else ""} for row in rows.to_pylist() for channel in ("tv", "ooh", "print", "facebook", "search")]  # fmt: skip
    return table(folder / "report.csv", weeks)


def openai_chat(rows, folder):
    found = groupby(sorted(rows.to_pylist(), key=lambda row: (row["conversation_id"], row["turn"])), key=lambda row: row["conversation_id"])
    return jsonl(folder / "chats.jsonl", [{"conversation_id": own, "messages": [{"role": "user", "content": row["utterance"], "intents": row["intents"]} for row in turns]} for own, turns in found])  # fmt: skip


def sharegpt(rows, folder):
    return jsonl(folder / "chats.jsonl", [{"intent": row["intent"], "conversations": [{"from": "human", "value": row["instruction"]}, {"from": "gpt", "value": row["response"]}]} for row in rows.to_pylist()])  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Rows of one file in one format."""

    file: str
    write: Callable[[pa.Table, Path], list[Path]]
    rows: Mapping[str, int]
    """Rows read by table."""
    format: str = "table"
    table: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    sums: Mapping[str, Callable[[pa.Table], float]] = field(default_factory=dict)
    """SQL over the shop -> the same number from the source."""


CLOTHES = "womens_clothing_reviews/reviews.parquet"
JOURNEY = "complete_journey_profiles/transactions.parquet"


def total(column):
    return lambda rows: float(pc.sum(pc.cast(rows[column], pa.float64())).as_py())


def letters(*columns):
    return lambda rows: float(sum(len((value or "").strip()) for column in columns for value in rows[column].to_pylist()))


CASES = {
    "clothing reviews, columns mapped": Case(
        CLOTHES, as_they_are, {"reviews": ROWS}, table="reviews", mapping={"item_id": "product_id", "body": "text", "helpful_votes": "positive_feedback"},
        sums={"select sum(rating) from reviews": total("rating"), "select sum(helpful_votes) from reviews": total("positive_feedback"), "select sum(length(trim(body))) from reviews": letters("text")},
    ),
    "clothing reviews as csv": Case(
        CLOTHES, as_csv, {"reviews": ROWS}, table="reviews", mapping={"item_id": "product_id", "body": "text"},
        sums={"select sum(rating) from reviews": total("rating"), "select sum(length(trim(body))) from reviews": letters("text"), "select sum(length(trim(title))) from reviews": letters("title")},
    ),
    "Chinese reviews": Case(
        "online_shopping_10_cats/reviews.parquet", as_they_are, {"reviews": ROWS}, table="reviews", mapping={"item_id": "category", "body": "text"},
        sums={"select count(distinct item_id) from reviews": lambda rows: len(pc.unique(rows["category"])), "select sum(cast(label as int)) from reviews": total("label")},
    ),
    "amazon_reviews": Case(
        CLOTHES, amazon_reviews, {"reviews": ROWS}, format="amazon_reviews",
        sums={"select sum(rating) from reviews": total("rating"), "select sum(length(trim(body))) from reviews": letters("text")},
    ),
    "amazon_reviews, meta": Case(
        "amazon_scientific/items.parquet", amazon_meta, {"products": ROWS}, format="amazon_reviews", sums={"select sum(length(trim(title))) from products": letters("text")},
    ),
    "recbole": Case(
        "ml100k_user_profiles/ratings.parquet", movielens, {"events": ROWS, "products": 1682, "users": 943}, format="recbole",
        sums={"select sum(event_value) from events": total("rating"), "select count(distinct user_id) from events": lambda rows: len(pc.unique(rows["user_id"]))},
    ),
    "personalize": Case(
        JOURNEY, personalize, {"events": ROWS, "products": ROWS, "users": 801}, format="personalize",
        sums={"select sum(event_value) from events": total("sales_value"), "select count(*) from events where event_name = 'purchase'": len},
    ),
    "gorse": Case(JOURNEY, gorse, {"events": ROWS}, format="gorse", sums={"select count(*) from events where event_name = 'purchase'": len}),
    "segment": Case(JOURNEY, segment, {"events": ROWS}, format="segment", sums={"select sum(quantity) from events": total("quantity")}),
    "metarank": Case(JOURNEY, metarank, {"events": ROWS}, format="metarank", sums={"select sum(quantity) from events": total("quantity")}),
    "events of a table": Case(
        JOURNEY, as_csv, {"events": ROWS}, table="events", mapping={"user_id": "household_id", "item_id": "product_id", "event_time": "transaction_timestamp", "transaction_id": "basket_id", "price": "sales_value"},
        defaults={"event_name": "purchase"}, sums={"select sum(price) from events": total("sales_value"), "select sum(quantity) from events": total("quantity")},
    ),
    "merchant": Case(
        "pricerunner_offers/offers.parquet", merchant, {"products": ROWS}, format="merchant",
        sums={"select sum(length(trim(title))) from products": letters("title"), "select count(distinct category_l1) from products": lambda rows: len(pc.unique(rows["category"]))},
    ),
    "merchant, prices": Case(
        "product_matching/walmart_amazon.parquet", merchant_prices, {"products": ROWS}, format="merchant",
        sums={"select sum(price) from products": lambda rows: float(sum(Decimal(str(price)) for price in rows["left_price"].to_pylist() if price))},
    ),
    "google_ads": Case(
        "robyn_weekly_spend/weekly.parquet", google_ads, {"spend": 5 * 208}, format="google_ads",
        sums={"select sum(cost_micros) / 1e6 from spend": lambda rows: float(sum(total(f"{name}_spend")(rows) for name in ("tv", "ooh", "print", "facebook", "search")))},
    ),
    "openai_chat": Case("multidogo_intents_slots/turns.parquet", openai_chat, {"chats": ROWS}, format="openai_chat", sums={"select sum(length(trim(content))) from chats": letters("utterance")}),
    "sharegpt": Case("bitext_support_replies/pairs.parquet", sharegpt, {"chats": 2 * 2688}, format="sharegpt", sums={"select sum(length(trim(content))) from chats": letters("instruction", "response")}),
    "questions of a table": Case(
        "clinc150_oos/queries.parquet", as_they_are, {"chats": ROWS}, table="chats", mapping={"conversation_id": "id", "content": "text"}, defaults={"role": "user", "turn": "0"},
        sums={"select count(distinct intent) from chats": lambda rows: len(pc.unique(rows["intent"].drop_null()))},
    ),
    "impressions of a table": Case(
        "open_bandit/impressions_men.parquet", as_they_are, {"ads": ROWS}, table="ads", mapping={"event_time": "timestamp", "clicked": "click", "propensity": "propensity_score"}, defaults={"channel": "strip"},
        sums={"select count(*) filter (clicked) from ads": total("click"), "select sum(propensity) from ads": total("propensity_score"), "select sum(position) from ads": total("position")},
    ),
}  # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize("what", CASES)
def test_real_rows_add_up_and_none_is_set_aside_without_a_reason(what, tmp_path):
    case = CASES[what]
    file = ROOT / case.file
    if not file.is_file():
        pytest.skip(f"no real data at {file}; set SHOPLM_DATA")
    rows = pq.read_table(file).slice(0, ROWS)
    shop = Shop(tmp_path / "shop", create=True)
    files = case.write(rows, tmp_path)
    report = shop.import_files(*files, format=case.format, table=case.table, mapping=case.mapping or None, defaults=case.defaults or None)
    faults = {name: each.first_fault for name, each in report.tables.items() if each.quarantined}
    assert {name: each.read for name, each in report.tables.items()} == dict(case.rows)
    assert report.read == report.inserted + report.updated + report.duplicate + report.quarantined
    assert report.quarantined == 0, faults
    assert (report.updated, report.duplicate) == (0, 0), str(report)
    assert sum(shop.counts().values()) == report.inserted
    for query, wanted in case.sums.items():
        seen = shop.view().sql(query).column(0)[0].as_py()
        assert float(seen) == pytest.approx(wanted(rows), rel=1e-9), query  # sums of floats in another order
    again = shop.import_files(*files, format=case.format, table=case.table, mapping=case.mapping or None, defaults=case.defaults or None)
    assert (again.inserted, again.updated, again.data_version) == (0, 0, report.data_version)
