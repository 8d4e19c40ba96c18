"""What is proved right as a whole column is what SQL, asking about every value, says too."""

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.data import contract, staging
from shoplm.data.direct import direct
from shoplm.data.ingest import Chunk

WORDS = st.sampled_from(["", " ", "a", " a ", "é", "\u00a0", "x\0", "x" * 257, "nan", "NULL", "web", "Web", "email", "true"])
NUMBERS = st.sampled_from(["1", "-0", "+2", "3.50", "4.", ".5", "1e0", "0x1", "inf", "1_0", " 2 ", "9" * 20, "2.00005", "0002", "-1"])
TIMES = st.sampled_from(
    ["2024-01-31", "2024-01-31T09:30:00Z", "2024-01-31 09:30", "2024-01-31T09", "2024-01-31T09:30:00.5", "2024-01-31T09:30:00+01:00", "20240131",
     "1706693400", "0000-01-01", "9999-12-31T23:59:59.999999", "2024-02-30", "2024-01-31Z", "2024-01-31 24:00:00", "2024-01-31 09:30:00.1234567",
     "2024-01-31T09:30Z", "2024-01-31T23:59:60Z"]
)  # fmt: skip
TEXTS = st.one_of(st.none(), WORDS, NUMBERS, TIMES, st.text(max_size=4))


def column(values):
    """Few different values in a column, so that whole columns are often right."""
    return st.lists(values, min_size=1, max_size=3).flatmap(lambda some: st.lists(st.sampled_from(some), min_size=4, max_size=4))


TYPED = st.one_of(
    column(TEXTS).map(lambda v: pa.array(v, pa.string())), column(NUMBERS).map(pa.array), column(TIMES).map(pa.array),
    column(st.one_of(st.none(), st.integers(-3, 9))).map(lambda v: pa.array(v, pa.int64())),
    column(st.one_of(st.none(), st.floats())).map(lambda v: pa.array(v, pa.float64())),
    column(st.one_of(st.none(), st.booleans())).map(lambda v: pa.array(v, pa.bool_())),
    column(st.decimals(-9, 9, places=6)).map(lambda v: pa.array(v, pa.decimal128(20, 6))),
    column(st.datetimes()).map(lambda v: pa.array(v, pa.timestamp("us"))), column(st.dates()).map(pa.array),
)  # fmt: skip
NAMES = [column.name for column in contract.table("chats").columns if column.name != "attributes"]


def prepared(rows, table="chats", defaults={"content": "said"}):  # noqa: B006  # never changed
    with tempfile.TemporaryDirectory() as folder:
        desk = staging.Staging(Path(folder))
        try:
            return desk._prepare(*desk._planned(Chunk(table, rows, np.arange(rows.num_rows), "f"), {}, defaults))
        finally:
            desk.close()


@settings(max_examples=120, deadline=None)
@given(columns=st.dictionaries(st.sampled_from(NAMES), TYPED, min_size=1, max_size=3))
def test_the_fast_way_and_the_slow_way_say_the_same(columns):
    rows = pa.table(columns)
    fast = prepared(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "direct", lambda *_, **__: None)
        slow = prepared(rows)
    assert fast.faults == slow.faults
    assert (fast.rows is None) == (slow.rows is None)
    if fast.rows is not None:
        assert fast.rows.schema == slow.rows.schema
        assert fast.rows.to_pylist() == slow.rows.to_pylist()


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("content", ["a b", " c "], ["a b", " c "]),
        ("item_id", [" c ", " "], ["c", None]),
        ("csat", ["1", "5.0"], [1.0, 5.0]),
        ("csat", [float("nan"), 5.0], [None, 5.0]),
        ("turn", ["0", "12"], [0, 12]),
        ("created_at", ["2024-01-31T09:30:00Z"], [dt.datetime(2024, 1, 31, 9, 30, tzinfo=dt.UTC)]),
    ],
)
def test_columns_that_are_right_need_no_sql(name, values, expected):
    found = direct(pa.chunked_array([values]), contract.table("chats")[name], filled=False)
    assert (found.values.to_pylist(), found.doubt) == (expected, None)


def test_exact_money_needs_no_sql_and_other_money_does():
    price = contract.table("events")["price"]
    assert direct(pa.chunked_array([["19.99"]]), price, filled=False).values.to_pylist() == [Decimal("19.9900")]
    assert direct(pa.chunked_array([["19.99999"]]), price, filled=False) is None
    floats = direct(pa.chunked_array([pa.array([19.99, None, float("nan"), -0.1, 1 / 3, 1e300])]), price, filled=False)
    assert floats.values.to_pylist()[:4] == [Decimal("19.9900"), None, None, Decimal("-0.1000")]
    assert floats.doubt.tolist() == [False, False, False, True, True, True]  # below zero, too many decimals, too big


def test_one_doubtful_row_leaves_the_proof_of_the_others():
    turn = direct(pa.chunked_array([pa.array([0, None, -1, 3])]), contract.table("chats")["turn"], filled=False)
    assert turn.doubt.tolist() == [False, True, True, False]
    long = direct(pa.chunked_array([["a", "x" * 257]]), contract.table("chats")["item_id"], filled=False)
    assert long.doubt.tolist() == [False, True]


def few(values):
    """Mostly right values and seldom another, so that rows in doubt stay few."""
    return st.lists(values, min_size=8, max_size=8)


AMOUNTS = few(st.one_of(st.none(), st.floats(), st.integers(-5, 99).map(lambda n: n / 4), st.just(19.99))).map(
    lambda v: pa.array(v, pa.float64())
)
IDS = few(st.sampled_from(["u", "v", "w", "u", "v", "w", "", None, "x" * 257, "x\0"])).map(lambda v: pa.array(v, pa.string()))
STARS = few(st.sampled_from([1, 2, 3, 4, 5, 5, None, 0, 9])).map(lambda v: pa.array(v, pa.int64()))
SPANNING = {  # columns of which a row needs one, and others
    "events": ({"event_time": pa.array([0] * 8), "event_name": pa.array(["view_item"] * 7 + [None])}, {"user_id": IDS, "user_pseudo_id": IDS}, {"price": AMOUNTS, "their": IDS}),
    "reviews": ({"item_id": pa.array(["i"] * 8)}, {"rating": STARS, "title": IDS, "body": IDS}, {"helpful_votes": STARS}),
}  # fmt: skip


def same_by_both_ways(rows, table, defaults):
    fast = prepared(rows, table, defaults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "direct", lambda *_, **__: None)
        slow = prepared(rows, table, defaults)
    assert sorted(map(str, fast.faults)) == sorted(map(str, slow.faults))
    assert (fast.rows is None) == (slow.rows is None)
    assert fast.rows is None or fast.rows.to_pylist() == slow.rows.to_pylist()


@pytest.mark.parametrize("table", SPANNING)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rows_in_doubt_are_told_apart_as_sql_alone_tells_them(table, data):
    always, one_of, more = SPANNING[table]
    names = data.draw(st.lists(st.sampled_from(list(one_of)), min_size=1, unique=True))
    others = data.draw(st.lists(st.sampled_from(list(more)), unique=True))
    defaults = data.draw(st.sampled_from([{}, {names[0]: "5"}]))
    rows = pa.table({**always, **{name: data.draw({**one_of, **more}[name]) for name in [*names, *others]}})
    same_by_both_ways(rows, table, defaults)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("reviews", {"item_id": ["i"] * 8, "rating": [9, *[1, 2, 3, 4, 5, 1, 2]], "title": ["a", None] * 4, "body": [None] * 2 + ["b"] * 6}),
        ("events", {"event_time": [0] * 8, "event_name": ["v"] * 8, "user_id": ["x" * 257, None, *["u"] * 6], "user_pseudo_id": [None, "d"] * 4}),
    ],
)  # fmt: skip
def test_a_doubt_in_one_column_of_which_a_row_needs_one_brings_the_others_along(table, columns):
    same_by_both_ways(pa.table(columns), table, {})
