"""Files are few, lie by month, and go when nobody may read them any more; old contracts' rows are read as ours."""

import dataclasses
import datetime as dt

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from shoplm.data import contract, delta, maintenance, manifest, migrate, sight
from shoplm.data.contract import Column
from shoplm.data.retention import Retention
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError

DAY = 86_400


def events(n, start=0, step=DAY):
    """One event every ``step`` seconds from 2024 on."""
    at = [1_704_067_200 + (start + i) * step for i in range(n)]
    return pa.table({"event_id": [f"e{start + i}" for i in range(n)], "event_time": at, "event_name": ["view_item"] * n,
                     "user_id": [f"u{i % 5}" for i in range(n)]})  # fmt: skip


def files(shop, table="events"):
    return delta.listing(shop.path / "tables" / table, shop.manifest().tables[table].delta)


def order(shop, table="events"):
    return [i for part in shop.view().parts(table) for i in part.table["_id"].to_pylist()]


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


@pytest.fixture
def by_month(shop, monkeypatch):
    """400 days in files by month."""
    monkeypatch.setattr(delta, "GROUP_ROWS", 8)
    monkeypatch.setattr(delta, "HELD_ROWS", 64)
    shop.upsert("events", events(400))
    return shop


def test_many_small_imports_end_in_few_files_and_change_nothing_else(shop, monkeypatch):
    monkeypatch.setattr(maintenance, "SMALL_FILES", 6)
    for k in range(14):
        shop.upsert("events", events(5, start=5 * k))
        assert len(files(shop)) <= 7
    before = (shop.data_version, shop.counts(), shop.manifest().tables["events"].content, order(shop), shop.versions())
    shop.compact()
    assert (shop.data_version, shop.counts(), shop.manifest().tables["events"].content, order(shop), shop.versions()) == before
    assert len(files(shop)) == 1
    assert before[3] == [f"e{i}" for i in range(70)]
    assert shop.view(version=3).rows("events") == len(shop.view(version=3).sql("select 1 from events")) == 15
    assert shop.upsert("events", events(70)).duplicate == 70
    assert shop.compact() == shop.manifest()


def test_merging_keeps_each_run_in_its_place(shop, monkeypatch):
    monkeypatch.setattr(delta, "GROUP_ROWS", 4)
    monkeypatch.setattr(delta, "FILE_ROWS", 12)
    for k, n in enumerate((3, 2, 20, 2, 2, 2, 30, 1, 4)):
        shop.upsert("reviews", pa.table({"review_id": [f"{k}-{i:02d}" for i in range(n)], "item_id": ["i"] * n, "rating": [3] * n}))
        if k in (4, 6):
            shop.compact()
    shop.delete_rows({"reviews": "review_id like '4-%' or review_id = '2-03'"}, physically=False)
    shop.compact()
    found = order(shop, "reviews")
    assert found == sorted(found)
    assert len(found) == 63


def test_rows_lie_by_month_in_a_bounded_number_of_files(by_month, monkeypatch):
    there = files(by_month)
    assert all(low < high for low, high in (file.months for file in there))
    assert sum(file.months[1] - file.months[0] == 1 for file in there) >= 10
    assert sorted(order(by_month)) == sorted(f"e{i}" for i in range(400))
    monkeypatch.setattr(delta, "OPEN_MONTHS", 3)
    monkeypatch.setattr(delta, "HELD_ROWS", 16)
    other = Shop(by_month.path.parent / "other", create=True)
    other.upsert("events", events(400, step=20 * DAY))  # 263 months
    assert len(files(other)) <= 3 + 1 + 400 // 8 // 8 + 16 // 8
    assert other.view().sql("select count(distinct event_id) n from events")["n"].to_pylist() == [400]


def test_a_question_about_a_month_opens_only_its_files(by_month, monkeypatch):
    view = by_month.view()
    opened = []
    every = sight._Dataset._fragments

    def counted(self, filter, said):  # noqa: A002  # the name that it stands for
        found = list(every(self, filter, said))
        opened.extend(found)
        return iter(found)

    monkeypatch.setattr(sight._Dataset, "_fragments", counted)
    query = "select count(*) n from events where event_time >= '2024-05-01' and event_time < '2024-06-01'"
    assert view.sql(query)["n"].to_pylist() == [31]
    assert 1 <= len(opened) <= 3
    opened.clear()
    view.sql("select count(*) n from events")
    assert len(opened) == len(files(by_month)) >= 10


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("event_time = '2024-03-05'", 1), ("event_time is null", 0), ("event_time is not null", 400), ("event_time < '2024-01-03'", 2),
        ("event_time <> '2024-03-05'", 399), ("event_time in ('2024-03-05', '2025-01-01')", 2), ("not event_time < '2025-02-01'", 3),
        ("event_time between '2024-02-01' and '2024-02-29' or event_id = 'e0'", 30), ("month(event_time) = 2", 32),
        ("event_id = 'e7' and event_time > '2023-01-01'", 1),
    ],
)  # fmt: skip
def test_pruning_changes_no_answer(by_month, condition, days):
    assert by_month.view().sql(f"select count(*) n from events where {condition}")["n"].to_pylist() == [days]


def test_other_programs_read_the_same_table(by_month):
    by_month.delete_rows({"events": "user_id = 'u3'"}, physically=False)
    theirs = DeltaTable(by_month.path / "tables" / "events").to_pyarrow_table()
    assert sorted(theirs["event_id"].to_pylist()) == sorted(order(by_month))
    late = DeltaTable(by_month.path / "tables" / "events").to_pyarrow_table(
        filters=[("event_time", ">=", dt.datetime(2025, 1, 1, tzinfo=dt.UTC))]
    )
    assert late.num_rows == len(by_month.view().sql("select 1 from events where event_time >= '2025-01-01'"))


def test_a_forgotten_version_is_gone_from_the_disk_and_refused_by_name(shop):
    for k in range(4):
        shop.upsert("events", events(3, start=2 * k))
    cleared = shop.forget(keep=2)
    assert (cleared.versions, shop.versions()) == ((0, 1, 2), [3, 4])
    for version in (3, 4):
        assert shop.view(version=version).rows("events") == len(
            order(shop) if version == 4 else shop.view(version=3).sql("select 1 from events")
        )
    with pytest.raises(DataError, match=r"version 1 was forgotten; there is 3 to 4"):
        shop.view(version=1)
    with pytest.raises(DataError, match="at least 1"):
        shop.forget(keep=0)
    shop.forget(keep=1)
    held = {file.name for file in files(shop)}
    assert {file.name for file in shop.path.glob("tables/events/*.parquet")} == held
    oldest = shop.manifest().tables["events"].delta
    assert all(int(file.name[:20]) >= oldest for file in shop.path.glob("tables/events/_delta_log/0*"))
    assert shop.upsert("events", events(20)).inserted == 11
    assert DeltaTable(shop.path / "tables" / "events").to_pyarrow_table().num_rows == 20


def test_deleting_physically_leaves_no_byte_and_says_which_versions_went(shop):
    rows = events(10).set_column(3, "user_id", pa.array(["secret-person"] * 3 + ["other"] * 7))
    shop.upsert("events", rows)
    shop.upsert("users", pa.table({"user_id": ["secret-person", "other"]}))
    shop.upsert("events", events(2).set_column(3, "user_id", pa.array(["other"] * 2)))  # the person's first rows, changed since
    removed = shop.delete_rows({"events": "user_id in (select user_id from users where user_id[:6] = 'secret')",
                                "users": "user_id = 'secret-person'"}, physically=True)  # fmt: skip
    assert (dict(removed), removed.versions, shop.versions()) == ({"events": 1, "users": 1}, (0, 1, 2, 3), [4])
    assert shop.counts() == {"events": 9, "users": 1}
    for table in ("events", "users"):  # the content's digest is that of the rows left
        digests = shop.view().sql(f"select sum(row_digest::hugeint) s from {table}")["s"].to_pylist()[0]
        assert shop.manifest().tables[table].content == int(digests) % 2**64
    for file in shop.path.rglob("*.parquet"):
        if file.parent.name != "_delta_log":
            assert "secret-person" not in str(pa.parquet.read_table(file).to_pydict())
    assert not any(b"secret-person" in file.read_bytes() for file in shop.path.rglob("*") if file.is_file())
    with pytest.raises(DataError, match="version 3 was forgotten"):
        shop.view(version=3)
    with pytest.raises(DataError, match="did you mean `users`"):
        shop.delete_rows({"user": "true"}, physically=False)
    with pytest.raises(DataError, match="not one SQL expression"):
        shop.delete_rows({"users": "true; select 1"}, physically=False)


def test_rows_past_their_time_go_and_others_stay(shop):
    shop.upsert("events", events(100))
    now = (1_704_067_200 + 99 * DAY) * 1_000_000
    assert dict(shop.retain(now)) == {}
    (shop.path / "shop.yaml").write_text("retention_days:\n  events: 30\n")
    removed = shop.retain(now)
    assert (removed["events"], removed.versions) == (69, (0, 1))
    assert order(shop) == [f"e{i}" for i in range(69, 100)]
    assert shop.retain(now).versions == ()
    (shop.path / "shop.yaml").write_text("retention_days:\n  event: 30\n")
    with pytest.raises(ConfigError, match="did you mean `events`"):
        shop.retain(now)
    (shop.path / "shop.yaml").write_text("retention_days:\n  events: 0\n")
    with pytest.raises(ConfigError, match="greater than or equal to 1"):
        shop.retain(now)


def test_every_table_that_grows_with_time_may_have_an_age():
    assert set(Retention.model_fields) == {name for name, table in contract.TABLES.items() if table.clock} - {"products", "articles"}


@pytest.fixture
def version_2(monkeypatch):
    """A contract of the future: reviews' rating is called stars and is a whole number, and has a mood."""
    columns = []
    for column in contract.REVIEWS.columns:
        if column.name == "rating":
            column = dataclasses.replace(column, name="stars", type=contract.WHOLE)
        columns.append(column)
    columns.insert(5, Column("mood", contract.TEXT, description="how the writer felt"))
    table = dataclasses.replace(contract.REVIEWS, columns=tuple(columns), any_of=(("stars", "title", "body"),))

    def begin():
        monkeypatch.setattr(contract, "VERSION", 2)
        monkeypatch.setitem(contract.TABLES, "reviews", table)
        monkeypatch.setitem(migrate.STEPS, 1, (
            migrate.Renamed("reviews", "rating", "stars"), migrate.Retyped("reviews", "stars", "round({})"),
            migrate.Added("reviews", "mood", "CASE WHEN stars >= 4 THEN 'glad' ELSE json_extract_string(attributes, '$.feeling') END"),
        ))  # fmt: skip

    return begin


def test_a_shop_of_an_older_contract_is_read_as_ours_and_made_so_at_the_next_write(shop, version_2):
    shop.upsert("reviews", pa.table({"review_id": ["a", "b", "c"], "item_id": ["i"] * 3, "rating": [1.0, 4.6, None], "title": ["x"] * 3,
                                     "feeling": ["sad", "so", "flat"], "created_at": ["2024-01-01"] * 3}))  # fmt: skip
    shop.upsert("users", pa.table({"user_id": ["u"]}))
    old = shop.data_version
    version_2()
    shop = Shop(shop.path)
    assert shop.data_version == old

    def seen(version=None):
        view = shop.view(version=version)
        rows = view.sql("select stars, mood, title, created_at from reviews order by review_id")
        assert rows.schema.field("stars").type == pa.int64()
        parts = [part.table.select(["stars", "mood", "title", "created_at"]) for part in view.parts("reviews")]
        assert pa.concat_tables(parts).to_pylist() == rows.to_pylist()
        return [(row["stars"], row["mood"]) for row in rows.to_pylist()]

    assert seen() == [(1, "sad"), (5, "glad"), (None, "flat")]
    assert shop.view().sql("select count(*) n from reviews where stars = 5")["n"].to_pylist() == [1]
    shop.upsert("users", pa.table({"user_id": ["w"]}))  # any write makes it permanent
    assert shop.manifest().contract == 2
    assert seen() == [(1, "sad"), (5, "glad"), (None, "flat")]
    assert seen(version=2) == seen()
    theirs = DeltaTable(shop.path / "tables" / "reviews").to_pyarrow_table()
    assert sorted(theirs["stars"].to_pylist(), key=str) == [1, 5, None]
    assert "rating" not in theirs.schema.names
    assert shop.upsert("reviews", pa.table({"review_id": ["d"], "item_id": ["i"], "stars": [2], "mood": ["so"]})).inserted == 1
    assert seen()[-1] == (2, "so")


def test_versions_are_said_as_runs():
    assert manifest.said([0, 2, 3, 4, 9]) == "0, 2 to 4, 9"
