"""Nothing at or after the moment ever appears."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.data import contract
from shoplm.data.context import as_of

ACTS = st.lists(
    st.tuples(st.sampled_from(["u1", "u2", None]), st.integers(0, 9), st.sampled_from([None, 0, 1]), st.integers(0, 99)),
    unique_by=lambda a: a[3],
    max_size=12,
)
MOMENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 11)), max_size=6)
SUBJECT = pa.table({"review_id": list("abcd"), "item_id": list("wxyz"), "user_id": ["u1", "u2", None, "u3"]})


def events(acts):
    columns = list(zip(*acts, strict=True)) or [[], [], [], []]
    names, types = ["user_id", "event_time", "event_seq", "event_id"], [pa.string(), contract.TIME, pa.int64(), pa.string()]
    columns[3] = [f"{i:02d}" for i in columns[3]]
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], names=names)


@given(acts=ACTS, moments=MOMENTS, last=st.integers(0, 4))
def test_a_history_is_the_last_acts_strictly_before_the_moment(acts, moments, last):
    row, at_us = (np.array([m[i] for m in moments], np.int64) for i in (0, 1))
    contexts = as_of(SUBJECT, row, at_us, contract.REVIEWS, events(acts), last=last)
    assert len(contexts) == len(moments)
    for (subject, now), context in zip(moments, contexts, strict=True):
        user = SUBJECT["user_id"][subject].as_py()
        past = sorted((time, seq or 0, f"{key:02d}") for who, time, seq, key in acts if who == user and user is not None and time < now)
        assert [act.event_id for act in context.history] == [key for _, _, key in past[max(0, len(past) - last) :]]
        assert all(act.event_time < dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=now) for act in context.history)
        assert context.subject.item_id == SUBJECT["item_id"][subject].as_py()
    order = np.arange(len(moments))[::-1]
    assert [c.subject.review_id for c in contexts.take(order)] == [c.subject.review_id for c in contexts][::-1]


def test_what_is_known_later_is_never_shown_and_what_is_not_yet_known_is_null():
    subject = pa.table({"review_id": ["a"], "item_id": ["i"], "rating": [5.0], "helpful_votes": [9], "vip": [True],
                        "created_at": pa.array([100], contract.TIME)})  # fmt: skip
    before, at, after = as_of(subject, np.zeros(3, np.int64), np.array([99, 100, 101]), contract.REVIEWS)
    assert before.subject.plain() == {"review_id": "a", "item_id": "i"}
    for context in (at, after):
        assert (context.subject.rating, context.subject.vip, context.subject.helpful_votes) == (5.0, True, None)


def test_a_price_of_another_day_is_null_and_a_row_without_a_clock_is_known():
    subject = pa.table({"id": ["a", "b"], "title": ["t", "u"], "price": [1, 2], "updated_at": pa.array([100, None], contract.TIME)})
    contexts = as_of(subject, np.array([0, 1]), np.array([50, 50]), contract.PRODUCTS)
    assert [(c.subject.title, c.subject.price) for c in contexts] == [("t", None), ("u", 2)]


def test_a_row_reads_like_an_object():
    context = as_of(SUBJECT, np.array([0]), np.array([0]), contract.REVIEWS)[0]
    assert context.subject.rating is None  # in the contract, not in the table
    with pytest.raises(AttributeError, match="no column `nope` in reviews"):
        _ = context.subject.nope
    assert context.history == []


def test_rows_and_moments_must_fit():
    with pytest.raises(ValueError, match="must be"):
        as_of(SUBJECT, np.array([0]), np.array([0, 1]), contract.REVIEWS)
    with pytest.raises(ValueError, match="do not fit 4 rows"):
        as_of(SUBJECT, np.array([4]), np.array([0]), contract.REVIEWS)


def test_the_status_of_an_order_is_known_from_its_own_time_on():
    ordered, shipped = 1_000, 5_000
    order = pa.table(
        {
            "order_id": ["o1"], "line": [0], "item_id": ["i1"], "status": ["shipped"],
            "ordered_at": pa.array([ordered], contract.TIME), "status_at": pa.array([shipped], contract.TIME),
        }
    )  # fmt: skip
    found = as_of(order, np.zeros(3, np.int64), np.array([999, 4_999, 5_000]), contract.table("orders")).subject
    assert found["ordered_at"].is_valid().to_pylist() == [False, True, True]
    assert found["status"].to_pylist() == [None, None, "shipped"]
