"""The sample shop: the same for the same seed, shaped by the contract, true to its own truth, wrong where it says so."""

import csv
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoplm.data import contract
from shoplm.errors import ConfigError, ResourceError
from shoplm.world.catalogue import CATEGORIES
from shoplm.world.chats import INTENTS, OUT_OF_SCOPE
from shoplm.world.reviews import mood_of
from shoplm.world.sample import SampleConfig, _world, planted_faults, tables, write_csv
from shoplm.world.speech import grammars

SMALL = SampleConfig(shoppers=120, products=96)


@pytest.fixture(scope="module")
def shop():
    return tables(SampleConfig())


@pytest.fixture(scope="module")
def world():
    return _world(SampleConfig())


def bytes_of(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def asked(shop):
    return [row for row in shop["chats"].to_pylist() if row["role"] == "user"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_same_settings_give_the_same_bytes(language):
    config = SampleConfig(shoppers=40, products=24, language=language, seed=3)
    first, second = tables(config), tables(config)
    assert {name: bytes_of(table) for name, table in first.items()} == {name: bytes_of(table) for name, table in second.items()}


def test_another_seed_gives_another_shop():
    first, second = tables(SMALL), tables(SMALL.model_copy(update={"seed": 1}))
    for name, column in {"products": "title", "events": "item_id", "reviews": "body", "chats": "content"}.items():
        assert first[name][column].to_pylist() != second[name][column].to_pylist()


def test_every_column_is_one_of_the_contract_and_what_it_requires_is_there(shop):
    for name, table in shop.items():
        shape = contract.table(name)
        assert {field.name: field.type for field in table.schema} == {field.name: shape[field.name].type for field in table.schema}
        for column in shape.columns:
            if column.required:
                assert table[column.name].null_count == 0
            if column.check.one_of and column.name in table.column_names:
                assert set(table[column.name].drop_null().to_pylist()) <= set(column.check.one_of)
        keys = list(zip(*(table[key].to_pylist() for key in shape.key), strict=True))
        assert len(set(keys)) == len(keys)


def test_the_default_shop_is_as_large_as_it_says(shop):
    assert (shop["products"].num_rows, shop["users"].num_rows) == (240, 400)
    assert 3000 <= shop["reviews"].num_rows <= 3050  # 400 * 7.5 and the copied ones
    assert len(asked(shop)) == 2500
    assert len(set(shop["products"]["product_type"].to_pylist())) == len(CATEGORIES) == 12
    assert len(set(shop["products"]["title"].to_pylist())) == 240
    assert {"view_item", "add_to_cart", "purchase", "search"} == set(shop["events"]["event_name"].to_pylist())


def test_time_starts_in_2026_and_acts_are_in_order(shop):
    times = shop["events"]["event_time"].to_pylist()
    assert times == sorted(times)
    assert times[0] >= datetime(2026, 1, 1, tzinfo=UTC)


def test_reviews_and_carts_speak_of_what_there_is(shop):
    items, people = set(shop["products"]["id"].to_pylist()), set(shop["users"]["user_id"].to_pylist())
    assert set(shop["reviews"]["item_id"].to_pylist()) <= items
    assert set(shop["reviews"]["user_id"].to_pylist()) <= people
    assert set(shop["events"]["item_id"].drop_null().to_pylist()) <= items


def test_a_verified_purchase_was_made_before_its_review(shop):
    bought = {}
    for row in shop["events"].to_pylist():
        if row["event_name"] == "purchase":
            bought.setdefault((row["user_id"], row["item_id"]), row["event_time"])
    for row in shop["reviews"].to_pylist():
        if row["verified_purchase"]:
            assert bought[row["user_id"], row["item_id"]] < row["created_at"]


def test_every_planted_fault_is_in_the_tables(shop):
    faults = planted_faults(SampleConfig())
    rows = {name: {row[contract.table(name).key[0]]: row for row in shop[name].to_pylist()} for name in ("products", "reviews")}
    for fault in faults:
        if fault.kind == "bot":
            views = [row["event_time"] for row in shop["events"].to_pylist() if row["user_id"] in fault.ids]
            assert len(views) >= 300
            assert (max(views) - min(views)).total_seconds() < 600
            continue
        found = [rows[fault.table][name] for name in fault.ids]
        if fault.kind == "copied_review":
            assert len({(row["title"], row["body"]) for row in found}) == 1
            assert len({row["item_id"] for row in found}) == len(found) >= 5
        else:
            wrong = {
                "empty_review": lambda row: row["title"] is None and row["body"] is None,
                "rating_out_of_range": lambda row: row["rating"] == 7,
                "no_description": lambda row: row["description"] is None,
                "zero_price": lambda row: row["price"] == 0,
            }[fault.kind]
            assert found
            assert all(wrong(row) for row in found)
    assert {fault.kind for fault in faults} == {
        "copied_review", "empty_review", "rating_out_of_range", "no_description", "zero_price", "bot",
    }  # fmt: skip


def test_nothing_else_is_wrong(shop):
    faults = planted_faults(SampleConfig())
    named = {kind: {name for fault in faults if fault.kind == kind for name in fault.ids} for kind in {fault.kind for fault in faults}}
    reviews, products = shop["reviews"].to_pylist(), shop["products"].to_pylist()
    assert {row["review_id"] for row in reviews if not 1 <= row["rating"] <= 5} == named["rating_out_of_range"]
    assert {row["review_id"] for row in reviews if row["body"] is None} == named["empty_review"]
    assert {row["id"] for row in products if row["description"] is None} == named["no_description"]
    assert {row["id"] for row in products if row["price"] == 0} == named["zero_price"]


def test_texts_seldom_repeat(shop):
    texts = [f"{row['title']} {row['body']}".lower() for row in shop["reviews"].to_pylist() if row["body"]]
    assert 1 - len(set(texts)) / len(texts) < 0.02
    questions = [row["content"].lower() for row in asked(shop)]
    assert 1 - len(set(questions)) / len(questions) < 0.05


def test_lengths_run_from_a_word_to_a_page(shop):
    words = pc.list_value_length(pc.split_pattern(shop["reviews"]["body"].drop_null(), " ")).to_numpy()
    assert words.min() <= 3
    assert 60 <= words.max() <= 140
    assert 15 <= np.median(words) <= 40


def test_all_intents_are_asked_and_six_percent_are_no_business_of_ours(shop):
    counts = Counter(row["intent"] for row in asked(shop))
    assert set(counts) == {*INTENTS, OUT_OF_SCOPE}
    assert min(counts.values()) >= 25
    assert counts[OUT_OF_SCOPE] / 2500 == pytest.approx(0.06, abs=4 * (0.06 * 0.94 / 2500) ** 0.5)  # four standard deviations
    assert all(row["intent"] is None for row in shop["chats"].to_pylist() if row["role"] == "assistant")


def test_taste_drives_what_is_viewed(world):
    place = {name: i for i, name in enumerate(CATEGORIES)}
    of = {good.id: place[good.category] for good in world.products}
    views = {person.user_id: np.zeros(len(place)) for person in world.shoppers}
    for act in world.events:
        if act.event_name == "view_item" and act.user_id in views:
            views[act.user_id][of[act.item_id]] += 1
    shares = np.array([views[person.user_id] / views[person.user_id].sum() for person in world.shoppers])
    tastes = np.array([person.taste for person in world.shoppers])
    own = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(shares, tastes, strict=True)])
    other = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(shares, np.roll(tastes, 1, axis=0), strict=True)])
    assert own > 0.8  # a handful of visits each blurs it; with no taste at all it is as `other`
    assert abs(other) < 0.1


def test_thrift_drives_what_is_paid(world):
    rank = {good.id: good.price_rank for good in world.products}
    paid = {person.user_id: [] for person in world.shoppers}
    for act in world.events:
        if act.event_name == "purchase":
            paid[act.user_id].append(rank[act.item_id])
    buyers = [person for person in world.shoppers if len(paid[person.user_id]) >= 3]
    thrift, mean = [person.thrift for person in buyers], [np.mean(paid[person.user_id]) for person in buyers]
    assert np.corrcoef(thrift, mean)[0, 1] < -0.5


def test_favoured_brands_are_bought_more(world):
    brand, liked = {good.id: good.brand for good in world.products}, {person.user_id: person.brands for person in world.shoppers}
    bought = [brand[act.item_id] in liked[act.user_id] for act in world.events if act.event_name == "purchase"]
    assert np.mean(bought) > 2 * 4 / 20  # four of twenty brands are favoured: chance is a fifth


def test_stars_follow_quality_and_fit(world):
    goods = {good.id: good for good in world.products}
    honest = [review for review in world.reviews if review.rating <= 5 and review.helpful_votes + bool(review.body) > 0]
    stars = np.array([review.rating for review in honest])
    assert np.corrcoef(stars, [goods[review.item_id].quality for review in honest])[0, 1] > 0.5
    bodies = {person.user_id: person.body for person in world.shoppers}
    sized = [review for review in honest if CATEGORIES[goods[review.item_id].category].sizes]
    gap = [abs(goods[review.item_id].runs + 0.5 * bodies[review.user_id]) for review in sized]
    assert np.corrcoef([review.rating for review in sized], gap)[0, 1] < -0.15


def test_words_follow_stars_but_do_not_give_them_away(shop):
    rows = [row for row in shop["reviews"].to_pylist() if row["body"] and row["rating"] <= 5]
    moods = {mood: [row["body"].lower() for row in rows if mood_of(int(row["rating"])) == mood] for mood in ("pos", "neg")}
    harsh = set(grammars("en").reviews.options("bad"))
    share = {mood: np.mean([bool(harsh & set(body.replace(".", "").split())) for body in texts]) for mood, texts in moods.items()}
    assert share["neg"] > share["pos"] + 0.05
    assert share["pos"] > 0.1  # "not awful at all" is praise


def test_chinese_shops_speak_chinese():
    shop = tables(SampleConfig(shoppers=40, products=24, language="zh"))
    for table, column in (("products", "title"), ("reviews", "body"), ("chats", "content")):
        texts = shop[table][column].drop_null().to_pylist()
        assert np.mean([any("一" <= sign <= "鿿" for sign in text) for text in texts]) > 0.99
        assert not any("{" in text or "[" in text for text in texts)


def test_no_text_keeps_a_mark_of_the_grammar(shop):
    for name in ("products.title", "products.description", "reviews.title", "reviews.body", "chats.content"):
        table, column = name.split(".")
        assert not [text for text in shop[table][column].drop_null().to_pylist() if set(text) & set("{}[]|")]


def test_csv_files_hold_the_tables(tmp_path):
    files = write_csv(SMALL, tmp_path / "export")
    assert [file.name for file in files] == ["products.csv", "users.csv", "events.csv", "reviews.csv", "chats.csv"]
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == sorted(file.name for file in files)
    whole = tables(SMALL)
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert len(rows) == whole[file.stem].num_rows
        assert list(rows[0]) == whole[file.stem].column_names
    with files[0].open(encoding="utf-8", newline="") as lines:
        first = next(csv.DictReader(lines))
    assert first["product_highlight"].split("|") == whole["products"]["product_highlight"][0].as_py()
    assert datetime.fromisoformat(first["created_at"]) == whole["products"]["created_at"][0].as_py()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        write_csv(SMALL, tmp_path / "file")


def test_a_wrong_setting_is_said_with_its_name():
    with pytest.raises(ConfigError, match="did you mean `shoppers`"):
        SampleConfig.of({"shopers": 3})
