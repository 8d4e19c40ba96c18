"""profile in a shop: what was known at the moment, of the whole person, with consent, and in one line where nothing is left."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import shoplm
from shoplm.cli import run
from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.pipeline import persons, profiling

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {"i1": "Fashion > Shoes", "i2": "Fashion > Shoes", "i3": "Home > Mugs", "i4": "Home > Mugs"}


def act(number, user, item, day, name="purchase", price=20.0, **more):
    when = BEGIN + timedelta(days=day)
    return {
        "event_id": f"e{number}",
        "user_id": user,
        "item_id": item,
        "event_name": name,
        "event_time": when,
        "price": price,
        "search_term": None,
        **more,
    }


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path / "shop", create=True)
    made.upsert(
        "products",
        pa.Table.from_pylist(
            [
                {"id": item, "title": f"The {item} <b>", "product_type": kind, "brand": "Solano", "currency": "GBP"}
                for item, kind in KINDS.items()
            ]
        ),
    )
    acts = [act(1, "ann", "i1", 0), act(2, "ann", "i2", 1, price=30.0), act(3, "ann", "i3", 40, "view_item"), act(4, "ann-phone", "i4", 41), act(5, "eve", "i1", 2), act(6, "eve", "i2", 3),
            act(7, "bob", "i1", 4, price=10.0), act(8, "ann", None, 42, "search", None, search_term="blue mug")]  # fmt: skip
    made.upsert("events", pa.Table.from_pylist(acts))
    made.upsert("relations", pa.Table.from_pylist([{"head": "ann", "relation": "same_as", "tail": "ann-phone"}]))
    made.upsert("users", pa.table({"user_id": ["eve"], "consent_personalization": [False]}))
    reviews = [{"review_id": f"r{at}", "item_id": "i1", "user_id": "bob", "rating": 5.0 if at % 2 else 1.0, "body": "so comfortable" if at % 2 else "fell apart",
                "created_at": BEGIN + timedelta(days=at)} for at in range(12)]  # fmt: skip
    reviews.append(
        {
            "review_id": "mine",
            "item_id": "i2",
            "user_id": "ann",
            "rating": 5.0,
            "body": "comfortable shoes",
            "created_at": BEGIN + timedelta(days=30),
        }
    )
    made.upsert("reviews", pa.Table.from_pylist(reviews))
    return made


def test_a_profile_has_tastes_prices_likes_searches_and_rhythm(shop, capsys, tmp_path):
    page = tmp_path / "ann.html"
    assert run(["profile", "ann", "--shop", str(shop.path), "--json", "--out", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    kinds = {claim["value"]: claim for claim in found["tastes"] if claim["what"] == "kind"}
    assert set(kinds) == set(KINDS.values())
    assert [one["id"] for one in kinds["Home > Mugs"]["evidence"]] == ["e4", "e3"]
    assert found["ids"] == ["ann", "ann-phone"]
    assert (found["price"]["purchases"], found["price"]["currency"]) == (3, "GBP")
    assert [claim["value"] for claim in found["liked"]] == ["comfortable"]
    assert found["liked"][0]["evidence"][0]["id"] == "mine"
    assert found["searches"][0]["value"] == "blue mug"
    assert found["rhythm"]["spent"] == 70.0
    html = page.read_text("utf-8")
    assert "<svg" in html
    assert "<script" not in html
    assert "The i4 &lt;b&gt;" in html


def test_python_and_the_terminal_say_the_same(shop, capsys):
    assert run(["profile", "ann", "--shop", str(shop.path)]) == 0
    said = capsys.readouterr().out
    assert "Fashion > Shoes" in said
    assert shoplm.profile(shop, "ann") == profiling.profiled(shop, "ann-phone").plain() | {"user_id": "ann", "ids": ["ann", "ann-phone"]}


def test_at_a_moment_only_what_was_known_then_counts(shop):
    then = profiling.profiled(shop, "ann", at="2026-01-02")  # the second purchase is at that very moment
    assert then.acts == 1
    assert then.liked == ()
    again = profiling.profiled(shop, "ann", at=BEGIN + timedelta(days=35))
    assert again.acts == 2
    before = again.plain()
    shop.upsert("events", pa.Table.from_pylist([act(20, "ann", "i3", 50), act(21, "bob", "i1", 51, price=900.0)]))
    shop.upsert(
        "reviews",
        pa.Table.from_pylist(
            [
                {
                    "review_id": "new",
                    "item_id": "i1",
                    "user_id": "ann",
                    "rating": 1.0,
                    "body": "fell apart",
                    "created_at": BEGIN + timedelta(days=52),
                }
            ]
        ),
    )
    assert profiling.profiled(shop, "ann", at=BEGIN + timedelta(days=35)).plain() == before
    assert profiling.profiled(shop, "ann").acts == 6


@pytest.mark.parametrize("who", ["eve", "nobody ☂", "' or true --"])
def test_who_withheld_consent_or_is_unknown_is_one_line(shop, who, capsys):
    assert run(["profile", who, "--shop", str(shop.path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "nothing is known of" in said


def test_others_who_withheld_consent_are_in_no_comparison(shop):
    usual = profiling.profiled(shop, "bob")
    assert usual.price.place is None  # three known prices of shoes are too few, and eve's two may not help


def test_an_erased_person_is_unknown(shop):
    assert persons.erase(shop, "ann").clean
    with pytest.raises(DataError, match="unknown, erased"):
        profiling.profiled(shop, "ann")
    with pytest.raises(DataError, match="unknown, erased"):
        profiling.profiled(shop, "ann-phone")


def test_before_the_first_act_nothing_is_known(shop):
    with pytest.raises(DataError, match="before 2025-12-31T00:00:00Z"):
        profiling.profiled(shop, "ann", at="2025-12-31")
    with pytest.raises(DataError, match="--at soon"):
        profiling.profiled(shop, "ann", at="soon")


def test_a_shop_without_events_is_one_line(tmp_path):
    with pytest.raises(DataError, match="nothing is known"):
        profiling.profiled(Shop(tmp_path / "empty", create=True), "ann")


def test_a_sentiment_bundle_tells_aspects():
    class Told:
        def predict(self, texts, task):
            return [{"label": "positive", "aspects": "fit:positive|price:negative" if "fit" in text else ""} for text in texts]

    assert profiling._by_aspects(Told(), ["fits and fit", "none"]) == [[("fit", "positive"), ("price", "negative")], []]
