"""Nothing at or after the moment ever appears."""

import datetime as dt
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.data import contract, history
from shoplm.data.context import LINKS, SINGLE, as_of
from shoplm.data.history import histories

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


MAKE = {
    contract.TEXT: lambda n: f"t{n}", contract.WHOLE: lambda n: n, contract.NUMBER: float, contract.MONEY: lambda n: Decimal(n), contract.FLAG: lambda n: n % 2 == 0,
    contract.TIME: lambda n: n, contract.LIST: lambda n: [f"t{n}"],
}  # fmt: skip
CLOCKS = st.one_of(st.none(), st.integers(0, 6))


def rows_of(table, rows):
    """``rows`` of (clock, updated, owner) as a contract table in which every column holds the row's number."""
    arrays = {}
    for column in table.columns:
        values = [MAKE[column.type](number) for number in range(len(rows))]
        if column.name == table.updated:
            values = [updated for _, updated, _ in rows]
        elif column.name == table.clock:
            values = [clock for clock, _, _ in rows]
        arrays[column.name] = pa.array(values, column.type)
    if table.name in LINKS:
        key = LINKS[table.name][0][1]
        arrays[key] = pa.array([owner for _, _, owner in rows], pa.string())
    arrays["extra"] = pa.array([f"x{number}" for number in range(len(rows))])
    return pa.table(arrays)


@pytest.mark.parametrize("name", sorted(contract.TABLES))
@settings(max_examples=20)
@given(data=st.data())
def test_no_column_of_any_table_is_shown_before_the_contract_says_it_is_known(name, data):
    table = contract.TABLES[name]
    rows = data.draw(st.lists(st.tuples(CLOCKS, CLOCKS, st.just("o")), min_size=1, max_size=4))
    moments = data.draw(st.lists(st.tuples(st.integers(0, len(rows) - 1), st.integers(-1, 8)), max_size=5))
    stored = rows_of(table, rows)
    found = as_of(stored, np.array([r for r, _ in moments], np.int64), np.array([m for _, m in moments], np.int64), table)
    for (row, now), context in zip(moments, found, strict=True):
        clock, updated, _ = rows[row]
        clock = None if table.clock is None else clock
        updated = updated if table.updated else clock
        for column in stored.schema.names:
            when = (
                table[column].known if column in table.by_name else table["attributes"].known if "attributes" in table.by_name else "always"
            )
            if column in table.key or when == "always":
                shown = True
            elif when == "later":
                shown = False
            else:
                since = updated if when == "updated_at" else clock
                shown = since is None or since <= now
            assert context.subject[column] == (stored[column][row].as_py() if shown else None), column


@pytest.mark.parametrize("name", sorted(LINKS))
@settings(max_examples=20)
@given(data=st.data())
def test_no_fact_beside_the_subject_is_known_later_than_the_moment_and_the_order_of_rows_never_shows(name, data):
    table = contract.TABLES[name]
    rows = data.draw(st.lists(st.tuples(CLOCKS, CLOCKS, st.sampled_from(["a", "b"])), max_size=6))
    moments = data.draw(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(-1, 8)), min_size=1, max_size=4))
    stored = rows_of(table, rows)
    ours = LINKS[name][0][0]
    subject = pa.table({"review_id": [f"r{i}" for i in range(len(moments))], ours: pa.array([who for who, _ in moments], pa.string())})
    now = np.array([at for _, at in moments], np.int64)

    def ask(facts):
        return as_of(subject, np.arange(len(moments)), now, contract.REVIEWS, facts={name: facts})

    shuffled = stored.take(pa.array(data.draw(st.permutations(range(len(rows)))), pa.int64()))
    for (who, at), context, other in zip(moments, ask(stored), ask(shuffled), strict=True):
        seen = [row.plain() for row in context.known(name)]
        assert seen == [row.plain() for row in other.known(name)]
        numbers = [n for n, (_, _, owner) in enumerate(rows) if owner == who]
        if name not in SINGLE and table.clock is not None:
            numbers = [n for n in numbers if rows[n][0] is not None and rows[n][0] < at]
            assert len(seen) == len(numbers)
            if not hides(table):
                assert sorted(row["extra"] for row in context.known(name)) == sorted(f"x{n}" for n in numbers)
        elif name in SINGLE:
            assert len(seen) == min(1, len(numbers))
        for row in context.known(name):
            for column in table.columns:
                if column.known == "later":
                    assert row[column.name] is None
                if column.known == "updated_at" and row[column.name] is not None:
                    assert row[table.updated or table.clock] <= moment(at)


def hides(table):
    """Are columns that the contract does not name known later, like its attributes?"""
    return "attributes" in table.by_name and table["attributes"].known == "later"


def moment(at):
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=at)


@given(
    versions=st.lists(st.tuples(CLOCKS, st.integers(1, 9)), max_size=3, unique_by=lambda v: v[0]),
    acts=st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(10, 19))), max_size=4),
    now=st.integers(-1, 8),
)
def test_a_price_is_the_newest_that_was_seen_before_the_moment(versions, acts, now):
    products = pa.table({"id": pa.array(["i"] * len(versions)).cast(pa.string()), "title": pa.array([f"v{price}" for _, price in versions], pa.string()),
                         "price": pa.array([price for _, price in versions], pa.int64()), "updated_at": pa.array([at for at, _ in versions], contract.TIME)})  # fmt: skip
    shown = pa.table({"event_id": pa.array([f"{n}" for n in range(len(acts))], pa.string()), "item_id": pa.array(["i"] * len(acts), pa.string()),
                      "event_time": pa.array([at for at, _ in acts], contract.TIME), "user_id": pa.array(["u"] * len(acts), pa.string()),
                      "price": pa.array([price for _, price in acts], pa.int64())})  # fmt: skip
    context = as_of(
        pa.table({"review_id": ["r"], "item_id": ["i"]}),
        np.array([0]),
        np.array([now]),
        contract.REVIEWS,
        shown,
        facts={"products": products},
    )[0]
    if not versions:
        assert context.item is None
        return
    listed = max(((at, price) for at, price in versions if at is not None and at <= now), default=None)
    acted = [(at, n) for n, (at, price) in enumerate(acts) if price is not None and at < now]
    expected = listed[1] if listed else None
    if acted and (listed is None or max(acted)[0] >= listed[0]):
        expected = acts[max(acted)[1]][1]
    assert context.item.price == expected
    assert context.item.title is not None


def test_a_label_is_known_only_after_it_was_given_and_never_at_its_own_moment():
    reviews = pa.table({"review_id": ["r"], "item_id": ["i"], "created_at": pa.array([0], contract.TIME)})
    labels = pa.table(
        {"task": ["mood"], "subject": ["r"], "name": ["mood"], "by": ["person"], "value": ["glad"], "at": pa.array([100], contract.TIME)}
    )
    found = as_of(reviews, np.zeros(3, np.int64), np.array([99, 100, 101]), contract.REVIEWS, facts={"labels": labels})
    assert [[label.value for label in context.labels] for context in found] == [[], [], ["glad"]]


def test_a_fact_without_a_time_of_its_own_counts_from_when_it_came_in():
    products = pa.table(
        {
            "id": ["i"],
            "title": ["cup"],
            "price": [5],
            "updated_at": pa.array([None], contract.TIME),
            "ingested_at": pa.array([50], contract.TIME),
        }
    )
    reviews = pa.table({"review_id": ["r"], "item_id": ["i"]})
    found = as_of(reviews, np.zeros(2, np.int64), np.array([49, 50]), contract.REVIEWS, facts={"products": products})
    assert [(context.item.title, context.item.price) for context in found] == [("cup", None), ("cup", 5)]
    assert [(context.item.title, context.item.price) for context in found.take(np.array([1]))] == [("cup", 5)]


def test_facts_that_nothing_leads_to_are_refused():
    with pytest.raises(ValueError, match="no subject leads to `spend`"):
        as_of(SUBJECT, np.array([0]), np.array([0]), contract.REVIEWS, facts={"spend": contract.TABLES["spend"].schema.empty_table()})


@given(data=st.data())
def test_streamed_histories_are_those_of_as_of(data):
    names = ["a", "b", "c", "d"]
    acts = sorted(data.draw(st.lists(st.tuples(st.sampled_from(names), st.integers(0, 9)), max_size=20)))
    asked = sorted(data.draw(st.lists(st.tuples(st.sampled_from([*names, "e"]), st.integers(-1, 10)), max_size=12)))
    last, size, cut = data.draw(st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 5)))
    shown = pa.table({"user_id": pa.array([who for who, _ in acts], pa.string()), "event_time": pa.array([at for _, at in acts], contract.TIME),
                      "event_id": pa.array([f"{n:03d}" for n in range(len(acts))], pa.string())})  # fmt: skip
    moments = pa.table(
        {"user_id": pa.array([who for who, _ in asked], pa.string()), "at_us": pa.array([at for _, at in asked], pa.int64())}
    )
    subject = moments.append_column("review_id", moments["user_id"])
    plain = as_of(subject, np.arange(len(asked)), np.array([at for _, at in asked], np.int64), contract.REVIEWS, shown, last=last)
    streamed = []
    for piece in histories((shown.slice(at, cut) for at in range(0, len(acts), cut)), [moments], last, rows=size):
        codes, words = piece.codes("event_id", last)
        streamed += [[words[int(code)].as_py() for code in row if code >= 0] for row in codes]
    assert streamed == [[act.event_id for act in context.history] for context in plain]


def test_codes_stand_side_by_side_with_gaps_in_front_whatever_is_put_together_at_once(monkeypatch):
    monkeypatch.setattr(history, "TOGETHER", 2)
    acts = pa.table(
        {"user_id": ["a", "a", "a", "b"], "event_time": pa.array([10, 20, 30, 5], contract.TIME), "item_id": ["x", None, "x", "y"]}
    )
    moments = pa.table({"user_id": ["a", "a", "a", "b", "c"], "at_us": [10, 21, 99, 99, 99]})
    (piece,) = history.histories([acts], [moments], last=2)
    codes, words = piece.codes("item_id", 2)
    x, y = words.to_pylist().index("x"), words.to_pylist().index("y")
    assert codes.tolist() == [[-1, -1], [x, -1], [-1, x], [-1, y], [-1, -1]]  # a null item is no code either


def test_a_small_question_loads_no_pandas():
    code = (
        "import sys, pyarrow as pa; from shoplm.data.history import histories\n"
        "ids, at = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(b'\\0\\0\\0\\0\\1\\0\\0\\0\\2\\0\\0\\0'), pa.py_buffer(b'ab')]), "
        "pa.Array.from_buffers(pa.int64(), 2, [None, pa.py_buffer(bytes(16))])\n"
        "acts = pa.table({'user_id': ids, 'event_time': at, 'item_id': ids})\n"
        "print([piece.codes('item_id', 3)[0].shape for piece in histories([acts], [pa.table({'user_id': ids, 'at_us': at})], 3)], 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[(2, 3)] False\n"  # pyarrow loads it for numpy.asarray: ten times the work of the answer
