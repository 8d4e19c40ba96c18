"""Foreign rows become contract rows, or stand in quarantine with their reason."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.data.shop import Shop
from shoplm.errors import DataError

NINE = dt.datetime(2024, 1, 31, 9, 30, tzinfo=dt.UTC)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


def reviews(**columns):
    rows = len(next(iter(columns.values()), [0]))
    return pa.table({"review_id": [f"r{i}" for i in range(rows)], "item_id": ["i"] * rows, "rating": [3] * rows} | columns)


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-31T09:30:00Z", "2024-01-31t09:30:00z", "2024-01-31T10:30:00+01:00", "2024-01-31 04:00:00 -05:30",
        "2024-01-31T09:30:00.000000", "2024-01-31 09:30", "1706693400", "1706693400000", "1706693400000000", "1706693400.0", " 1706693400 ",
    ],
)  # fmt: skip
def test_every_common_writing_of_a_time_means_the_same_moment(shop, written):
    shop.upsert("reviews", reviews(created_at=[written]))
    assert shop.view().sql("select created_at from reviews")["created_at"].to_pylist() == [NINE]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1706693400]), pa.array([1706693400000]), pa.array([1706693400.0]), pa.array([1706693400], pa.timestamp("s")),
        pa.array([1706693400000000000], pa.timestamp("ns", "Europe/Paris")), pa.array([NINE]),
    ],
)  # fmt: skip
def test_every_arrow_type_of_a_time_means_the_same_moment(shop, times):
    shop.upsert("reviews", reviews(created_at=times))
    answer = shop.view().sql("select created_at from reviews")
    assert answer["created_at"].to_pylist() == [NINE]
    assert answer.schema.field("created_at").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize("times", [pa.array([2**62], pa.timestamp("us")), pa.array([2**31 - 1], pa.date32())])
def test_a_time_outside_the_calendar_goes_to_quarantine(shop, times):
    assert shop.upsert("reviews", reviews(created_at=times)).quarantined == 1


def test_dates_are_midnight_in_utc(shop):
    shop.upsert("reviews", reviews(created_at=["2024-01-31", "20240131"]))
    shop.upsert("reviews", reviews(review_id=["d"], created_at=[dt.date(2024, 1, 31)]))
    assert set(shop.view().sql("select created_at from reviews")["created_at"].to_pylist()) == {dt.datetime(2024, 1, 31, tzinfo=dt.UTC)}


@pytest.mark.parametrize("written", ["31/01/2024", "soon", "2024-02-30", "99999-01-01", "infinity", "1e99"])
def test_a_time_that_is_none_goes_to_quarantine(shop, written):
    report = shop.upsert("reviews", reviews(created_at=[written, "2024-01-01"]))
    assert (report.inserted, report.quarantined) == (1, 1)
    assert f"column `created_at` is not a time, seen '{written}'" in str(report)


def test_every_common_writing_of_a_truth_is_understood(shop):
    yes, no = ["true", "T", "Yes", "y", "1", "1.0", " on "], ["False", "f", "NO", "n", "0", "0.0", "off"]
    assert shop.upsert("reviews", reviews(verified_purchase=[*yes, *no, "", "nan", "perhaps"])).quarantined == 1
    answer = shop.view().sql("select verified_purchase v, count(*) n from reviews group by v order by v nulls last").to_pylist()
    assert answer == [{"v": False, "n": 7}, {"v": True, "n": 7}, {"v": None, "n": 2}]


@pytest.mark.parametrize(
    ("columns", "column", "reason", "seen"),
    [
        ({"rating": ["9"]}, "rating", "is out of range", "9"),
        ({"rating": ["five"]}, "rating", "is not a number", "five"),
        ({"rating": [float("inf")]}, "rating", "is not a number", "inf"),
        ({"helpful_votes": ["3.7"]}, "helpful_votes", "is not a whole number", "3.7"),
        ({"item_id": ["  "]}, "item_id", "is missing", "  "),
        ({"item_id": ["x" * 257]}, "item_id", "is too long", "x" * 200),
        ({"body": ["a\0b"]}, "body", "holds a NUL byte", "a\0b"),
        ({"attributes": ["[1]"]}, "attributes", "is not a JSON object", "[1]"),
        ({"rating": [None]}, "rating", "is missing, and so is every other of rating, title, body", ""),
    ],
)
def test_a_broken_rule_is_written_down_with_line_column_value_reason_and_fix(shop, columns, column, reason, seen):
    report = shop.upsert("reviews", reviews(**columns))
    assert (report.read, report.quarantined) == (1, 1)
    (file,) = report.tables["reviews"].quarantine
    (fault,) = [json.loads(line) for line in Path(file).read_text().splitlines()]
    assert (fault["line"], fault["column"], fault["seen"], fault["reason"]) == (1, column, seen, reason)
    assert fault["fix"]
    with pytest.raises(DataError, match=f"line 1: column `{column}`"):
        shop.upsert("reviews", reviews(**columns), strict=True)
    assert shop.counts() == {}


def test_strict_names_the_first_faulty_line(shop):
    with pytest.raises(DataError, match="line 3: column `rating` is out of range, seen '9'"):
        shop.upsert("reviews", reviews(rating=["1", "2", "9", "x"]), strict=True)


def test_ids_that_the_source_lacks_are_the_same_at_every_import(shop):
    rows = pa.table({"text": ["a", "b", "a"]})
    first = shop.upsert("reviews", rows, mapping={"body": "text"}, defaults={"item_id": "unknown"})
    assert first.inserted == 3  # two identical rows are two reviews
    again = shop.upsert("reviews", rows, mapping={"body": "text"}, defaults={"item_id": "unknown"})
    assert (again.duplicate, again.data_version) == (3, first.data_version)
    assert {len(i) for i in shop.view().sql("select review_id from reviews")["review_id"].to_pylist()} == {32}


def test_a_plain_file_of_texts_becomes_conversations_of_one_turn(shop):
    shop.upsert("chats", pa.table({"text": ["hi", "bye"], "intent": ["greet", "leave"]}), mapping={"content": "text"})
    rows = shop.view().sql("select distinct turn, role, length(conversation_id) n from chats").to_pylist()
    assert rows == [{"turn": 0, "role": "user", "n": 32}]


def test_turns_that_the_source_lacks_are_counted_in_each_conversation(shop):
    shop.upsert("chats", pa.table({"conversation_id": ["a", "b", "a"], "content": ["1", "2", "3"]}))
    assert shop.view().sql("select conversation_id c, turn from chats order by content")["turn"].to_pylist() == [0, 0, 1]


def test_repeats_inside_one_file_are_told_apart_and_the_last_one_stays(shop):
    rows = pa.table({"review_id": ["a", "a", "a", "b"], "item_id": ["i"] * 4, "rating": [1, 1, 2, 3]})
    report = shop.upsert("reviews", rows)
    assert (report.inserted, report.updated, report.duplicate) == (2, 1, 1)
    assert shop.view().sql("select rating from reviews order by review_id")["rating"].to_pylist() == [2.0, 3.0]


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([1, 2, 9])), max_size=8)


@settings(max_examples=15, deadline=None)
@given(imports=st.lists(ROWS, min_size=1, max_size=4))
def test_counts_agree_with_a_plain_dictionary(tmp_path_factory, imports):
    shop, held = Shop(tmp_path_factory.mktemp("shops") / "shop", create=True), {}
    for rows in imports:
        expected = {"inserted": 0, "updated": 0, "duplicate": 0, "quarantined": 0}
        before = dict(held)
        for key, rating in rows:
            if rating == 9:
                expected["quarantined"] += 1
                continue
            expected["inserted" if key not in held else "duplicate" if held[key] == rating else "updated"] += 1
            held[key] = rating
        version = shop.data_version
        columns = {"review_id": pa.array([k for k, _ in rows], pa.string()), "item_id": pa.array(["i"] * len(rows), pa.string())}
        report = shop.upsert("reviews", pa.table(columns | {"rating": pa.array([r for _, r in rows], pa.int64())}))
        assert {name: getattr(report, name) for name in expected} == expected
        assert report.read == len(rows)
        assert (report.data_version == version) == (held == before)
        answer = shop.view().sql("select review_id, rating from reviews").to_pylist()
        assert {row["review_id"]: row["rating"] for row in answer} == held
        assert shop.counts().get("reviews", 0) == len(answer) == len(held)


def test_the_same_content_has_the_same_digest_whatever_the_way(tmp_path):
    one, two = Shop(tmp_path / "one", create=True), Shop(tmp_path / "two", create=True)
    one.upsert("reviews", reviews(rating=[1, 2]))
    two.upsert("reviews", reviews(rating=[5]))
    two.upsert("reviews", reviews(rating=[1, 2]))
    assert one.data_version.split("-")[1] == two.data_version.split("-")[1]


def test_mapping_and_defaults_must_name_what_is_there(shop):
    with pytest.raises(DataError, match="did you mean `rating`"):
        shop.upsert("reviews", reviews(), mapping={"ratng": "rating"})
    with pytest.raises(DataError, match="did you mean `rating`"):
        shop.upsert("reviews", reviews(), mapping={"rating": "ratin"})
    with pytest.raises(DataError, match="no column `nope`"):
        shop.upsert("reviews", reviews(), defaults={"nope": "x"})


def test_a_default_fills_only_where_the_source_has_nothing(shop):
    shop.upsert("reviews", reviews(item_id=["a", None, ""]), defaults={"item_id": "unknown"})
    assert shop.view().sql("select item_id from reviews order by review_id")["item_id"].to_pylist() == ["a", "unknown", "unknown"]


@pytest.mark.parametrize(
    "made", [lambda t: t, lambda t: t.to_pandas(), lambda t: pl.from_arrow(t), lambda t: t.to_reader(), lambda t: t.to_batches()[0]]
)
def test_tables_of_every_kind_come_in_by_the_same_path(shop, made):
    rows = reviews(body=["a", None], vip=[True, False])
    assert shop.upsert("reviews", made(rows)).inserted == 2
    assert shop.view().sql("select vip from reviews order by review_id")["vip"].to_pylist() == [True, False]


def test_what_is_no_table_is_refused(shop):
    with pytest.raises(DataError, match="seen int"):
        shop.upsert("reviews", 3)
    with pytest.raises(DataError, match="no Arrow form"):
        shop.upsert("reviews", pd.DataFrame({"rating": [1, "a", object()]}))


def test_money_is_kept_to_the_last_cent_and_lists_in_any_writing(shop):
    rows = pa.table({"ID": [1, 2, 3], "title": ["a"] * 3, "price": ["19.99", "0.1", "1299"], "tags": ["x| y", '["x", "y"]', "x,y"],
                     "availability": ["in stock", "IN_STOCK", "in-stock"]})  # fmt: skip
    assert shop.upsert("products", rows).inserted == 3
    answer = shop.view().sql("select id, price, tags, availability from products order by id").to_pylist()
    assert [row["price"] for row in answer] == [Decimal("19.99"), Decimal("0.1"), Decimal(1299)]
    assert all(row["tags"] == ["x", "y"] and row["availability"] == "in_stock" for row in answer)
    assert [row["id"] for row in answer] == ["1", "2", "3"]


def test_attribute_types_that_disagree_become_text(shop):
    shop.upsert("reviews", reviews(n=[1], m=[1], k=[1]))
    shop.upsert("reviews", reviews(review_id=["z"], n=["a"], m=[1.5], k=[True]))
    assert shop.manifest().tables["reviews"].attributes == {"n": "VARCHAR", "m": "DOUBLE", "k": "VARCHAR"}
    assert shop.view().sql("select n, m, k from reviews order by review_id").to_pylist() == [
        {"n": "1", "m": 1.0, "k": "1"}, {"n": "a", "m": 1.5, "k": "true"}]  # fmt: skip


def test_the_source_column_names_the_system_or_else_the_file(shop, tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_text("review_id,item_id,rating\na,i,1\n")
    shop.import_files(file)
    assert shop.view().sql("select source from reviews")["source"].to_pylist() == [str(file)]
    file.write_text("review_id,item_id,rating\nb,i,1\n")
    shop.import_files(file, source="till")
    assert shop.view().sql("select source from reviews order by review_id")["source"].to_pylist() == [str(file), "till"]


class Hide:
    """A guard that knows one secret."""

    def rows(self, table, rows):
        assert rows.schema == pa.schema([pa.field(column.name, column.type) for column in table.columns])
        hidden = pc.replace_substring(rows["body"], "Ann", "*")
        return rows.set_column(rows.schema.get_field_index("body"), "body", hidden)

    def words(self, text):
        return text.replace("Ann", "*")


def test_a_guard_sees_every_value_before_it_is_stored_or_written_down(shop):
    long = "x" * 198 + "Ann"  # cut before it is hidden, the name would lose its last letter
    rows = pa.table({"item_id": ["i", "i", None, "i"], "body": ["by Ann", "by *", None, None], "rating": [None, None, None, long],
                     "created_at": ["2024-01-01", None, None, None]})  # fmt: skip
    report = shop.upsert("reviews", rows, guard=Hide())
    assert (report.inserted, report.quarantined) == (2, 2)
    assert sorted(shop.view().sql("select body from reviews")["body"].to_pylist()) == ["by *", "by *"]
    written = "".join(file.read_bytes().decode("latin-1") for file in shop.path.rglob("*") if file.is_file())
    assert "Ann" not in written
    assert "An" not in str(report)
    with pytest.raises(DataError, match="xx") as refusal:
        shop.upsert("reviews", rows.slice(3), guard=Hide(), strict=True)
    assert "An" not in str(refusal.value)


def test_what_a_guard_hides_leaves_no_trace_in_made_up_keys_and_digests(tmp_path):
    shops = [Shop(tmp_path / name, create=True) for name in ("one", "two")]
    for shop, body in zip(shops, ("by Ann", "by *"), strict=True):
        shop.upsert("reviews", pa.table({"item_id": ["i"], "body": [body]}), guard=Hide())
    keys = [shop.view().sql("select review_id, row_digest from reviews").to_pylist() for shop in shops]
    assert keys[0] == keys[1]
