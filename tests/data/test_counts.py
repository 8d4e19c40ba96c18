"""Every row that a file holds is counted once: read = inserted + updated + duplicate + quarantined."""

import csv
import io
import json
import os
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoplm.data import contract, waiting
from shoplm.data.shop import Shop
from shoplm.data.waiting import digests

EXAMPLES = int(os.environ.get("SHOPLM_EXAMPLES", "40"))
"""How many random files; the published figure is made with 1000."""

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "", " "]), st.sampled_from(["i", "", "x" * 300]), st.sampled_from(["1", "5", "9", "x", "", "nan"]),
        st.sampled_from(["good", 'said "so"', "two\nlines", "a,b", "", "nul\0"]), st.sampled_from(["2024-01-01", "never", ""]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip
HEAD = ("review_id", "item_id", "rating", "body", "created_at")


def write(folder, number, rows, ending, keyed, ragged):
    file = folder / f"{number}" / f"reviews.{ending}"
    file.parent.mkdir()
    head, rows = (HEAD, rows) if keyed else (HEAD[1:], [row[1:] for row in rows])
    if ending == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(head)
        writer.writerows([*row, "more"] if ragged and place % 3 == 0 else row for place, row in enumerate(rows))
        file.write_text(text.getvalue(), newline="")
    elif ending == "jsonl":
        lines = [json.dumps(dict(zip(head, row, strict=True))) for row in rows]
        file.write_text("\n".join("{" if ragged and place % 3 == 0 else line for place, line in enumerate(lines)))
    else:
        pq.write_table(pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=head), file)
    return file


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(st.tuples(ROWS, st.sampled_from(["csv", "jsonl", "parquet"]), st.booleans(), st.booleans()), min_size=1, max_size=3))
def test_counts_add_up_and_agree_with_what_is_there(files):
    with tempfile.TemporaryDirectory() as folder:
        shop, held = Shop(Path(folder) / "shop", create=True), 0
        for number, (rows, ending, keyed, ragged) in enumerate(files):
            file = write(Path(folder), number, rows, ending, keyed, ragged)
            report = shop.import_files(file)
            assert report.read == len(rows)
            assert report.read == report.inserted + report.updated + report.duplicate + report.quarantined
            held += report.inserted
            assert shop.counts().get("reviews", 0) == held
            written = sum(len(Path(name).read_text().splitlines()) for name in report.tables["reviews"].quarantine)
            assert written == report.quarantined
        answer = shop.view().sql("select review_id, row_digest from reviews")
        assert answer.num_rows == len(set(answer["review_id"].to_pylist())) == held
        state = shop.manifest().tables.get("reviews")
        assert (state.content if state else 0) == sum(answer["row_digest"].to_pylist()) % 2**64


def test_a_file_of_which_no_line_can_be_read_is_counted_too(tmp_path):
    file = tmp_path / "reviews.jsonl"
    file.write_text("{\nnothing\n")
    report = Shop(tmp_path / "shop", create=True).import_files(file)
    assert (report.read, report.quarantined) == (2, 2)
    assert "line 1" in report.tables["reviews"].first_fault


def test_an_empty_value_and_a_value_that_looks_like_two_say_different_things():
    table = contract.table("reviews")
    columns = [table[name] for name in ("title", "body", "rating")]
    rows = [
        ("a", None, None),
        (None, "a", None),
        ("abody=", None, None),
        ("a", "", None),
        ("a", None, 0.0),
        ("a", None, 1.0),
        ("0", "1", None),
    ]
    arrays = [pa.array(values, column.type) for values, column in zip(zip(*rows, strict=True), columns, strict=True)]
    whole = pa.table(arrays, names=[column.name for column in columns])
    with duckdb.connect() as con:
        hi, lo = digests(whole, columns, con)
        assert len(set(zip(hi.tolist(), lo.tolist(), strict=True))) == len(rows)
        for place in range(len(rows)):  # a full column is written down in another way, and says the same
            assert [part[0] for part in digests(whole.slice(place, 1), columns, con)] == [hi[place], lo[place]]


def test_a_pile_on_disk_finds_what_a_pile_in_memory_finds(tmp_path, monkeypatch):
    reviews = pa.table({"review_id": [f"r{n % 70}" for n in range(200)], "item_id": ["i"] * 200, "rating": [n % 3 + 1 for n in range(200)]})
    unnamed = pa.table({"conversation_id": [f"c{n % 9}" for n in range(200)], "content": ["hello"] * 200})
    answers = []
    for limit in (4_000_000, 50):
        monkeypatch.setattr(waiting, "LIMIT", limit)
        shop = Shop(tmp_path / f"{limit}", create=True)
        told = []
        for rows in (reviews.slice(0, 90), reviews, reviews):
            report = shop.upsert("reviews", rows)
            told.append((report.inserted, report.updated, report.duplicate, report.data_version))
        told.append(shop.upsert("chats", unnamed).data_version)
        answers.append(
            (
                told,
                shop.view().sql("select * exclude (ingested_at) from reviews").to_pylist(),
                shop.view().sql("select conversation_id, turn from chats").to_pylist(),
            )
        )
    assert answers[0] == answers[1]
    assert answers[0][0][0][0] == 70
