"""A planted leak is caught by its column's name, and honest columns are left in peace."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.data import contract, leaks, near

ROWS = 2000


@pytest.fixture(scope="module")
def reviews():
    random = np.random.default_rng(0)
    rating = random.choice([1.0, 2.0, 3.0, 4.0, 5.0], ROWS, p=[0.1, 0.1, 0.2, 0.3, 0.3])
    at = np.arange(ROWS) * 3_600_000_000 + 1_700_000_000_000_000
    return pa.table(
        {
            "review_id": [f"r{n}" for n in range(ROWS)], "item_id": [f"i{n}" for n in random.integers(0, 90, ROWS)],
            "user_id": [f"u{n}" for n in random.integers(0, 700, ROWS)], "rating": rating, "helpful_votes": rating.astype(int),
            "created_at": pa.array(at, contract.TIME), "language": random.choice(["en", "de"], ROWS),
            "device": random.choice(["mobile", "desktop"], ROWS), "body": [f"text number {n}" for n in range(ROWS)],
            "honest_score": rating + random.normal(0, 1.5, ROWS),
        }
    )  # fmt: skip


PLANTED = {
    "a copy": ("stars_again", lambda rating, at, random: rating, "copy"),
    "a recoding": ("mood_code", lambda rating, at, random: [f"class-{'zyxwv'[int(r) - 1]}" for r in rating], "copy"),
    "a number that says it": ("score_after", lambda rating, at, random: rating * 20 + random.normal(0, 2, len(rating)), "predicts"),
    "a noisy copy": ("almost", lambda rating, at, random: np.where(random.random(len(rating)) < 0.02, 3.0, rating), "predicts"),
    "a time after the row": ("answered_at", lambda rating, at, random: pa.array(at + 86_400_000_000 * 3, contract.TIME), "later"),
    "a date after the row, as text": ("refund_day", lambda rating, at, random: (at + 86_400_000_000 * 9).astype("datetime64[us]").astype(str), "later"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_leak_is_named(what, reviews):
    name, make, kind = PLANTED[what]
    rating, at = np.asarray(reviews["rating"]), np.asarray(reviews["created_at"].cast(pa.int64()))
    planted = reviews.append_column(name, pa.array(make(rating, at, np.random.default_rng(1))))
    found = leaks.suspects(planted, planted["rating"], "rating", contract.REVIEWS)
    assert [leak.column for leak in found] == [name]
    assert found[0].kind in (kind, "predicts")
    assert f"`{name}`" in str(found[0])


def test_a_column_filled_only_where_the_answer_is_yes_is_named():
    random = np.random.default_rng(0)
    clicked = random.random(ROWS) < 0.3
    ads = pa.table({"ad_event_id": [f"a{n}" for n in range(ROWS)], "channel": ["search"] * ROWS, "clicked": clicked,
                    "landing_page": [f"/p/{n}" if yes else None for n, yes in enumerate(clicked)], "converted": clicked})  # fmt: skip
    found = leaks.suspects(ads, ads["clicked"], "clicked", contract.ADS)
    assert [leak.column for leak in found] == []  # each value comes once, so it teaches nothing about another row
    ads = ads.set_column(3, "landing_page", pa.array(["/shop" if yes else None for yes in clicked]))
    assert [leak.column for leak in leaks.suspects(ads, ads["clicked"], "clicked", contract.ADS)] == ["landing_page"]


def test_honest_columns_are_left_in_peace(reviews):
    assert leaks.suspects(reviews, reviews["rating"], "rating", contract.REVIEWS) == []


@settings(max_examples=40)
@given(
    column=st.lists(st.one_of(st.none(), st.text(max_size=2)), min_size=1, max_size=80),
    target=st.lists(st.one_of(st.none(), st.floats()), min_size=80, max_size=80),
)
def test_any_column_gives_an_answer(column, target):
    rows = pa.table({"review_id": [str(n) for n in range(len(column))], "x": pa.array(column, pa.string())})
    leaks.suspects(rows, pa.array(target[: len(column)], pa.float64()), "rating", contract.REVIEWS)


def test_a_text_that_was_lightly_changed_still_stands_on_both_sides():
    text = "The jacket arrived two days early and fits perfectly, the lining is warm and the zip runs smoothly every time"
    other = "Completely different words about a kettle that whistles loudly, boils fast and looks good on any stove at home"
    texts = [text, text.replace("perfectly,", "perfectly!!").upper(), other, None]
    found = leaks.crossing([near.sketch(texts)], np.array(["train", "test", "test", "train"]))
    assert (found.rows, found.judged, found.of, found.examples) == (2, 1, 2, ((0, 1),))
    assert leaks.crossing([near.sketch(texts)], np.array(["train", "train", "test", "train"])) == leaks.Crossing(of=1)
    between = leaks.crossing([near.sketch(texts)], np.array(["valid", "test", "test", "train"]))
    assert (between.rows, between.judged, len(between.examples)) == (2, 2, 1)
    assert leaks.crossing([], np.array([], "<U5")) == leaks.Crossing()
