"""Rows that wait can be taken in parts, and parts written at the same time lie as if one had written them."""

from itertools import pairwise

import pyarrow as pa
import pytest

from shoplm.data import delta, ingest, upsert
from shoplm.data.shop import Shop
from shoplm.data.waiting import Waiting


@pytest.mark.parametrize("sizes", [[], [5], [3, 3, 3, 3], [1, 9, 1, 1], [10, 1, 1]])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_follow_one_another_and_hold_every_row_once(tmp_path, sizes, parts):
    waiting, start = Waiting(tmp_path / "rows"), 0
    for number, size in enumerate(sizes):
        columns = {"n": range(start, start + size)} if number % 2 else {"n": range(start, start + size), "more": ["x"] * size}
        waiting.add(pa.table(columns), number // 2)
        start += size
    cuts = waiting.cuts(parts, 2)
    assert cuts[0] == 0
    assert cuts[-1] == sum(sizes)
    assert len(cuts) - 1 <= max(1, min(parts, sum(sizes) // 2))
    found = [(n, file) for begin, end in pairwise(cuts) for rows, file in waiting.batches(begin, end) for n in rows["n"].to_pylist()]
    assert found == [(n, file) for rows, file in waiting.batches() for n in rows["n"].to_pylist()]
    assert [n for n, _ in found] == list(range(sum(sizes)))


@pytest.mark.parametrize("table", ["events", "reviews"])
def test_two_parts_lie_in_the_order_of_one(tmp_path, monkeypatch, table):
    monkeypatch.setattr(ingest, "CHUNK_ROWS", 10)
    monkeypatch.setattr(delta, "GROUP_ROWS", 8)
    monkeypatch.setattr(delta, "HELD_ROWS", 16)
    monkeypatch.setattr(delta, "FILE_ROWS", 20)
    monkeypatch.setattr(upsert, "PART_ROWS", 10)
    days = [f"2024-0{n % 2 + 1}-{n % 28 + 1:02}" for n in range(100)]
    ids = [f"i{n % 95}" for n in range(100)]  # the last five say something else of the first
    rows = {
        "events": pa.table(
            {"event_id": ids, "event_time": days, "event_name": ["view_item"] * 100, "user_id": [f"u{n}" for n in range(100)]}
        ),
        "reviews": pa.table({"review_id": ids, "item_id": [f"u{n}" for n in range(100)], "rating": [5] * 100, "created_at": days}),
    }[table]
    told = []
    for writers in (1, 2):
        monkeypatch.setattr(upsert, "WRITERS", writers)
        shop = Shop(tmp_path / f"{writers}", create=True)
        report = shop.upsert(table, rows)
        names = [path.name for path in sorted((shop.path / "tables" / table).glob("*.parquet"))]
        assert any("-50000-" in name for name in names) == (writers == 2)
        owner = "user_id" if table == "events" else "item_id"
        kept = [row for part in shop.view().parts(table) for row in part.table[owner].to_pylist()]
        told.append((report.inserted, report.updated, report.data_version, sorted(kept), kept if table == "reviews" else None))
        assert shop.upsert(table, rows.slice(5)).duplicate == 95
    assert told[0] == told[1]
    assert told[0][:2] == (95, 5)


@pytest.mark.parametrize(("months", "parts"), [([1] * 20 + [2] * 20, 2), ([1, 2] * 20, 2), ([1, 2, 3] * 14, 1)])
def test_parts_that_share_more_than_two_months_are_written_as_one(tmp_path, monkeypatch, months, parts):
    monkeypatch.setattr(ingest, "CHUNK_ROWS", 10)
    monkeypatch.setattr(delta, "GROUP_ROWS", 4)
    monkeypatch.setattr(upsert, "PART_ROWS", 10)
    times = [f"2024-{month:02}-01" for month in months]
    rows = pa.table(
        {
            "event_id": [f"e{n}" for n in range(len(times))],
            "event_time": times,
            "event_name": ["x"] * len(times),
            "user_id": ["u"] * len(times),
        }
    )
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("events", rows)
    names = [path.name for path in (shop.path / "tables" / "events").glob("*.parquet")]
    assert any("-50000-" in name for name in names) == (parts == 2)
