"""Whose rows may be learnt from."""

import pyarrow as pa
import pytest

from shoplm.data.consent import learnable
from shoplm.data.privacy import PrivacyConfig, settle
from shoplm.data.shop import Shop


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    with shop.transaction() as put:
        put.upsert(
            "users",
            [pa.table({"user_id": ["yes", "no", "nop", "mute"], "consent_analytics": [True, False, True, None],
                       "consent_personalization": [True, True, False, None], "consent_ads": [False, None, None, None]})],
        )  # fmt: skip
        who = ["yes", "no", "nop", "mute", "stranger", None]
        put.upsert(
            "reviews", [pa.table({"review_id": [f"r{i}" for i in range(6)], "item_id": ["i"] * 6, "user_id": who, "rating": [3] * 6})]
        )
        put.upsert("events", [pa.table({"event_time": ["2024-01-01"] * 4, "event_name": ["view_item"] * 4, "user_id": ["yes", "no", None, None],
                                        "user_pseudo_id": ["d1", "d2", "d3", "d4"]})])  # fmt: skip
        put.upsert(
            "ads",
            [pa.table({"ad_event_id": ["a", "b"], "event_time": ["2024-01-01"] * 2, "channel": ["search"] * 2, "user_id": ["yes", None]})],
        )
        put.upsert("chats", [pa.table({"conversation_id": ["c1", "c1", "c2"], "turn": [0, 1, 0], "role": ["user", "assistant", "user"],
                                       "content": ["a", "b", "c"], "user_id": ["no", None, "yes"]})])  # fmt: skip
        put.upsert(
            "relations", [pa.table({"head": ["no", "yes"], "relation": ["same_as"] * 2, "tail": ["d3", "no"], "undone": [False, True]})]
        )
    return shop


def column(view, table, name):
    return sorted(part for part in view.sql(f"select coalesce({name}, '-') as v from {table}")["v"].to_pylist())


def test_who_refuses_is_in_no_table_and_no_part_and_takes_devices_and_conversations_along(shop):
    view = learnable(shop)
    assert column(view, "reviews", "user_id") == ["-", "mute", "stranger", "yes"]
    assert [row for part in view.parts("reviews") for row in part.table["review_id"].to_pylist()] == ["r0", "r3", "r4", "r5"]
    (part,) = view.parts("reviews", where="user_id in (select user_id from events)")
    assert part.sql("select user_id from reviews")["user_id"].to_pylist() == ["yes"]
    assert part.sql("select count(*) n from events")["n"].to_pylist() == [2]
    assert column(view, "events", "user_pseudo_id") == ["d1", "d4"]
    assert column(view, "chats", "conversation_id") == ["c2"]
    assert column(view, "users", "user_id") == ["mute", "yes"]
    assert column(shop.view(), "reviews", "user_id") == ["-", "mute", "no", "nop", "stranger", "yes"]


def test_ads_ask_for_consent_to_ads_too(shop):
    assert column(learnable(shop), "ads", "user_id") == ["-"]


def test_unknown_consent_follows_the_shop(shop):
    settle(shop, PrivacyConfig(unknown_consent="denied"))
    view = learnable(shop)
    assert column(view, "reviews", "user_id") == ["-", "yes"]
    assert column(view, "events", "user_pseudo_id") == ["d1"]


def test_without_a_table_of_users_everything_is_learnt_from(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", pa.table({"review_id": ["r"], "item_id": ["i"], "user_id": ["u"], "rating": [3]}))
    assert column(learnable(shop), "reviews", "user_id") == ["u"]
