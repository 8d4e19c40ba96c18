"""The sample shop: the same for the same seed, shaped by the contract, true to its own truth, wrong where it says so."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoplm.data import contract
from shoplm.errors import ConfigError, ResourceError
from shoplm.world.catalogue import CATEGORIES
from shoplm.world.chats import INTENTS, OUT_OF_SCOPE, RULES
from shoplm.world.reviews import mood_of, read
from shoplm.world.sample import _read, planted_faults, tables, write_csv
from shoplm.world.settings import WorldConfig

SMALL = WorldConfig(shoppers=40, products=60, weeks=20)
OWN = {"shipped_at", "delivered_at", "returned_at", "return_reason"}


@pytest.fixture(scope="module")
def made():
    return _read(WorldConfig(shoppers=160, products=240, weeks=52))


@pytest.fixture(scope="module")
def shop(made):
    return made[0]


@pytest.fixture(scope="module")
def truth(made):
    return made[1]


@pytest.fixture(scope="module")
def faults(made):
    return made[2].faults


def bytes_of(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def asked(shop):
    return [row for row in shop["chats"].to_pylist() if row["role"] == "user"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_same_settings_give_the_same_bytes(language):
    config = SMALL.model_copy(update={"language": language, "seed": 3})
    first, second = tables(config), tables(config)
    assert {name: bytes_of(table) for name, table in first.items()} == {name: bytes_of(table) for name, table in second.items()}


def test_another_seed_gives_another_shop():
    first, second = tables(SMALL), tables(SMALL.model_copy(update={"seed": 1}))
    for name, column in {"products": "title", "events": "item_id", "reviews": "body", "chats": "content"}.items():
        assert first[name][column].to_pylist() != second[name][column].to_pylist()


def test_all_tables_are_there_and_every_column_is_one_of_the_contract(shop):
    assert set(shop) == {"products", "users", "events", "reviews", "chats", "ads", "spend", "orders", "articles", "relations"}
    for name, table in shop.items():
        shape = contract.table(name)
        named = [field for field in table.schema if field.name not in (OWN if name == "orders" else ())]
        assert {field.name: field.type for field in named} == {field.name: shape[field.name].type for field in named}
        for column in shape.columns:
            if column.required:
                assert table[column.name].null_count == 0
            if column.check.one_of and column.name in table.column_names:
                assert set(table[column.name].drop_null().to_pylist()) <= set(column.check.one_of)
        keys = list(zip(*(table[key].to_pylist() for key in shape.key), strict=True))
        assert len(set(keys)) == len(keys)


def test_the_shop_is_about_as_large_as_its_settings_say(shop):
    assert (shop["products"].num_rows, shop["users"].num_rows) == (240, 160)
    assert shop["reviews"].num_rows == pytest.approx(160 * 7.5, rel=0.25)
    assert len(asked(shop)) == pytest.approx(160 * 6.25, rel=0.25)
    assert len(set(shop["products"]["product_type"].to_pylist())) == len(CATEGORIES) == 12
    assert len(set(shop["products"]["title"].to_pylist())) == 240
    names = {"view_item_list", "view_item", "add_to_cart", "purchase", "search", "refund"}
    assert set(shop["events"]["event_name"].to_pylist()) == names


def test_time_starts_in_july_2024_and_acts_are_in_order(shop):
    times = shop["events"]["event_time"].to_pylist()
    assert times == sorted(times)
    assert times[0] >= datetime(2024, 7, 1, tzinfo=UTC)
    assert times[-1] < datetime(2024, 7, 1, tzinfo=UTC) + timedelta(weeks=52, days=1)


def test_every_row_speaks_of_what_there_is(shop):
    items, people = set(shop["products"]["id"].to_pylist()), set(shop["users"]["user_id"].to_pylist())
    for name in ("reviews", "events", "orders", "ads", "chats"):
        assert set(shop[name]["item_id"].drop_null().to_pylist()) <= items
        assert set(shop[name]["user_id"].drop_null().to_pylist()) <= people | {"u-bot-1"}
    bought = {row["transaction_id"] for row in shop["events"].to_pylist() if row["event_name"] == "purchase"}
    assert bought == set(shop["orders"]["order_id"].to_pylist())
    assert set(shop["chats"]["order_id"].drop_null().to_pylist()) <= bought


def test_a_verified_purchase_was_delivered_before_its_review(shop):
    came = {}
    for row in shop["orders"].to_pylist():
        if row["delivered_at"]:
            pair = row["user_id"], row["item_id"]
            came[pair] = min(came.get(pair, row["delivered_at"]), row["delivered_at"])
    checked = [came[row["user_id"], row["item_id"]] < row["created_at"] for row in shop["reviews"].to_pylist() if row["verified_purchase"]]
    assert len(checked) > 300
    assert all(checked)


def test_every_planted_fault_is_in_the_tables(shop, faults):
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
                "fake_review": lambda row: row["rating"] == 5 and not row["verified_purchase"],
                "empty_review": lambda row: row["title"] is None and row["body"] is None,
                "rating_out_of_range": lambda row: row["rating"] == 7,
                "no_description": lambda row: row["description"] is None,
                "zero_price": lambda row: row["price"] == 0,
            }[fault.kind]
            assert found
            assert all(wrong(row) for row in found)
    assert {fault.kind for fault in faults} == {
        "copied_review", "fake_review", "empty_review", "rating_out_of_range", "no_description", "zero_price", "bot",
    }  # fmt: skip


def test_nothing_else_is_wrong(shop, faults):
    named = {kind: {name for fault in faults if fault.kind == kind for name in fault.ids} for kind in {fault.kind for fault in faults}}
    reviews, products = shop["reviews"].to_pylist(), shop["products"].to_pylist()
    assert {row["review_id"] for row in reviews if not 1 <= row["rating"] <= 5} == named["rating_out_of_range"]
    assert {row["review_id"] for row in reviews if row["body"] is None} == named["empty_review"]
    assert {row["id"] for row in products if row["description"] is None} == named["no_description"]
    assert {row["id"] for row in products if row["price"] == 0} == named["zero_price"]


def test_truth_marks_the_same_fakes_as_the_list_of_faults(truth, faults):
    marked = {row["review_id"] for row in truth["reviews"].to_pylist() if row["fake"]}
    assert marked == {name for fault in faults if fault.kind in ("copied_review", "fake_review") for name in fault.ids}
    assert planted_faults(SMALL) == planted_faults(SMALL)


def test_nothing_of_the_truth_is_in_the_shop(shop, truth):
    names = {name for table in truth.values() for name in table.column_names}
    hidden = names - {"id", "category", "event_id", "ad_event_id", "review_id", "user_id", "conversation_id", "turn"}
    assert not hidden & {name for table in shop.values() for name in table.column_names}


def test_texts_seldom_repeat(shop, faults):
    copied = {name for fault in faults if fault.kind in ("copied_review", "fake_review") for name in fault.ids}
    texts = [
        f"{row['title']} {row['body']}".lower() for row in shop["reviews"].to_pylist() if row["body"] and row["review_id"] not in copied
    ]
    assert 1 - len(set(texts)) / len(texts) < 0.02
    questions = [row["content"].lower() for row in asked(shop)]
    assert 1 - len(set(questions)) / len(questions) < 0.05


def test_lengths_run_from_a_word_to_a_page(shop):
    words = pc.list_value_length(pc.split_pattern(shop["reviews"]["body"].drop_null(), " ")).to_numpy()
    assert words.min() <= 3
    assert words.max() >= 60
    assert 12 <= np.median(words) <= 45


def test_all_intents_are_asked_and_six_percent_are_no_business_of_ours(shop):
    counts = Counter(row["intent"] for row in asked(shop))
    total = sum(counts.values())
    assert set(counts) == {*INTENTS, OUT_OF_SCOPE}
    assert counts[OUT_OF_SCOPE] / total == pytest.approx(0.06, abs=4 * (0.06 * 0.94 / total) ** 0.5)  # four standard deviations
    assert all(row["intent"] is None for row in shop["chats"].to_pylist() if row["role"] == "assistant")


def test_the_help_desk_obeys_the_policies_that_the_articles_state(shop):
    orders = {}
    for row in shop["orders"].to_pylist():
        orders[row["order_id"]] = row
    before = None
    seen = Counter()
    for row in shop["chats"].to_pylist():
        if row["role"] == "assistant" and row["order_id"] and before["role"] == "user":
            order, when = orders[row["order_id"]], before["created_at"]
            if row["action"] == "cancelled":
                assert not order["shipped_at"] or when < order["shipped_at"]
            if row["action"] == "declined_shipped":
                assert order["shipped_at"] <= when
            if row["action"] == "label_sent" and order["delivered_at"]:
                assert when <= order["delivered_at"] + timedelta(days=RULES["return_days"])
            seen[row["action"]] += 1
        before = row
    assert {"cancelled", "declined_shipped", "label_sent", "tracked"} <= set(seen)
    bodies = " ".join(shop["articles"]["body"].to_pylist())
    assert f"{RULES['return_days']} days" in bodies
    assert {intent for intents in shop["articles"]["intents"].to_pylist() for intent in intents} <= set(INTENTS)


def test_a_matter_that_is_settled_pleases(shop):
    rated = [row for row in shop["chats"].to_pylist() if row["csat"] is not None]
    mean = {settled: np.mean([row["csat"] for row in rated if row["resolved"] is settled]) for settled in (True, False)}
    assert mean[True] > mean[False] + 1


def test_stars_follow_quality(shop, truth):
    quality = dict(zip(truth["products"]["id"].to_pylist(), truth["products"]["quality"].to_pylist(), strict=True))
    honest = {row["review_id"] for row in truth["reviews"].to_pylist() if row["fault"] is None}
    rows = [row for row in shop["reviews"].to_pylist() if row["review_id"] in honest]
    assert np.corrcoef([row["rating"] for row in rows], [quality[row["item_id"]] for row in rows])[0, 1] > 0.5


def test_what_is_poor_or_does_not_fit_is_sent_back(shop, truth):
    products = {row["id"]: row for row in truth["products"].to_pylist()}
    came = [row for row in shop["orders"].to_pylist() if row["delivered_at"]]
    back = [row for row in came if row["returned_at"]]
    assert 0.02 < len(back) / len(came) < 0.3
    assert (
        np.mean([products[row["item_id"]]["quality"] for row in back])
        < np.mean([products[row["item_id"]]["quality"] for row in came]) - 0.2
    )
    unfit = [abs(products[row["item_id"]]["runs"]) for row in back if row["return_reason"] == "does not fit"]
    assert np.mean(unfit) > np.mean([abs(row["runs"]) for row in products.values() if row["runs"]])


def test_an_attentive_reader_finds_the_mood_again(shop, truth):
    meant = [row for row in truth["reviews"].to_pylist() if row["plan"]]
    assert all(read(row["plan"]) == mood_of(row["stars_meant"]) for row in meant)
    stars = dict(zip(shop["reviews"]["review_id"].to_pylist(), shop["reviews"]["rating"].to_pylist(), strict=True))
    right = [read(row["plan"]) == mood_of(stars[row["review_id"]]) for row in meant if stars[row["review_id"]] <= 5]
    assert 0.95 < np.mean(right) < 0.995  # the rest are slips of the stars


def test_shown_lists_carry_their_chances(shop, truth):
    lists = [row for row in shop["events"].to_pylist() if row["event_name"] == "view_item_list"]
    assert all(len(row["impression"]) == 10 for row in lists)
    first = [row for row in lists if row["item_list_name"] == "for_you"]
    assert all(0 < row["propensity"] <= 1 and row["policy"] == "house" for row in first)
    assert set(truth["exposures"]["event_id"].to_pylist()) == {row["event_id"] for row in lists}
    ads = shop["ads"].to_pandas()
    assert ads["propensity"].between(0, 1, inclusive="right").all()
    assert not (ads["converted"] & ~ads["clicked"]).any()


def test_true_chances_of_a_click_are_those_that_come_to_pass(shop, truth):
    ads, known = shop["ads"].to_pandas(), truth["ads"].to_pandas()
    clicked, expected = int(ads["clicked"].sum()), float(known["p_click"].sum())
    assert clicked == pytest.approx(expected, abs=4 * expected**0.5)  # four standard deviations
    lists = {
        row["event_id"]: row
        for row in shop["events"].to_pylist()
        if row["item_list_name"] == "for_you" and row["event_name"] == "view_item_list"
    }
    views = sum(row["event_name"] == "view_item" and row["item_list_name"] == "for_you" for row in shop["events"].to_pylist())
    hoped = sum(sum(row["p_click"]) for row in truth["exposures"].to_pylist() if row["event_id"] in lists)
    assert views == pytest.approx(hoped, abs=4 * hoped**0.5)


def test_no_ad_names_a_shopper_who_did_not_consent(shop):
    consents = dict(zip(shop["users"]["user_id"].to_pylist(), shop["users"]["consent_ads"].to_pylist(), strict=True))
    named = set(shop["ads"]["user_id"].drop_null().to_pylist())
    assert named
    assert all(consents[name] for name in named)


def test_spend_adds_up_to_its_ads(shop):
    ads, spend = shop["ads"].to_pandas(), shop["spend"].to_pandas()
    assert len(spend) == 52 * 10
    assert ads["cost_micros"].sum() == spend["cost_micros"].sum()
    assert ads["clicked"].sum() == spend["clicks"].sum()
    assert ads["converted"].sum() == spend["conversions"].sum()


def test_chinese_shops_speak_chinese():
    shop = tables(SMALL.model_copy(update={"language": "zh"}))
    for table, column in (("products", "title"), ("reviews", "body"), ("chats", "content"), ("articles", "body"), ("ads", "creative_text")):
        texts = shop[table][column].drop_null().to_pylist()
        assert np.mean([any("一" <= sign <= "鿿" for sign in text) for text in texts]) > 0.99
        assert not any("{" in text or "[" in text for text in texts)


def test_no_text_keeps_a_mark_of_the_grammar(shop):
    for name in ("products.title", "products.description", "reviews.title", "reviews.body", "chats.content", "ads.creative_text"):
        table, column = name.split(".")
        assert not [text for text in shop[table][column].drop_null().to_pylist() if set(text) & set("{}[]|")]


def test_csv_files_hold_the_tables(tmp_path):
    files = write_csv(SMALL, tmp_path / "export")
    whole = tables(SMALL)
    assert [file.name for file in files] == [f"{name}.csv" for name in whole]
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == sorted(file.name for file in files)
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
        WorldConfig.of({"shopers": 3})
