"""Files of any kind come in whole, or are refused in one line."""

import codecs
import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoplm.data.importers import _csv, _jsonl, importer, names, table
from shoplm.data.importers._lines import line_blocks
from shoplm.data.importers.table import read
from shoplm.data.ingest import ImportReport
from shoplm.data.shop import Shop
from shoplm.errors import DataError

HEAD = "review_id,item_id,rating,body\n"


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


def put(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def one_line(error):
    return "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_delimiter_encoding_and_newline_gives_the_same_row(tmp_path, shop, delimiter, encoding, newline):
    rows = [["review_id", " Item_ID ", "BODY"], ["r1", "i1", '"é, a; b | ""c""\nd"'], ["r2", "i2", "plain"]]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    report = shop.import_files(put(tmp_path, "reviews.csv", text.encode(encoding)))
    assert (report.inserted, report.quarantined) == (2, 0)
    assert shop.view().sql("select body from reviews order by review_id")["body"].to_pylist() == ['é, a; b | "c"\nd', "plain"]


def test_a_file_of_one_column_is_not_cut_at_commas(tmp_path, shop):
    report = shop.import_files(put(tmp_path, "x.csv", "body\ngood, cheap; fine\n\nbad\n"), table="reviews", defaults={"item_id": "unknown"})
    assert report.inserted == 2
    assert shop.view().sql("select body, item_id from reviews")["body"].to_pylist() == ["good, cheap; fine", "bad"]


def test_a_ragged_row_goes_to_quarantine_with_the_line_on_which_it_begins(tmp_path, shop):
    file = put(tmp_path, "reviews.csv", HEAD + 'r1,i1,5,"two\nlines"\nr2,"i\n2",4\nr3,i3,3,ok\n')
    report = shop.import_files(file)
    assert (report.read, report.inserted, report.quarantined) == (3, 2, 1)
    assert "line 4: has 3 cells, the header 4" in str(report)
    with pytest.raises(DataError, match="line 4: has 3 cells"):
        Shop(tmp_path / "other", create=True).import_files(file, strict=True)


def test_a_wrong_encoding_is_refused_with_byte_line_and_cure(tmp_path, shop):
    content = (HEAD + "r1,i1,5,good\nr2,i2,5,caf").encode()
    for name in ("reviews.csv", "reviews.jsonl"):
        with pytest.raises(DataError, match=rf"line 3, byte {len(content)}: 0xe9 is not UTF-8; save the file as UTF-8") as error:
            shop.import_files(put(tmp_path, name, content + b"\xe9\n"))
        assert one_line(error)
    assert shop.counts() == {}


def test_a_wrong_byte_is_found_far_into_the_file(tmp_path):
    content = HEAD.encode() + b"r,i,5,\xc3\xa9ok\n" * 200_000
    with pytest.raises(DataError, match=rf"line 200002, byte {len(content)}: 0xff"):
        list(read([put(tmp_path, "reviews.csv", content + b"\xff")]))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("reviews.csv", b"", "is empty"),
        ("reviews.csv", b"\n\n", "only blank lines"),
        ("reviews.csv", HEAD.encode(), "no rows"),
        ("reviews.csv", b"item_id,body,Body\n1,2,3\n", "two columns are called `body`"),
        ("reviews.csv", b"it\0em,body\n1,2\n", "NUL"),
        ("reviews.jsonl", b"\n", "only blank lines"),
        ("reviews.parquet", b"PAR1 no parquet", "not a readable parquet file"),
        ("reviews.xlsx", b"PK", "none of .csv"),
        ("revews.csv", b"a\n1\n", "did you mean `reviews`"),
        ("reviews.csv", b"asin,body\n1,good\n", "needs a column `item_id`"),
        ("reviews.csv", b"item_id,text\n1,good\n", "at least one of rating, title, body"),
        ("reviews.csv", b"item_id,body\n1,\"" + b"x\n" * 100_000, "quote left open"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_right_is_refused_in_one_line(tmp_path, shop, name, content, words):
    with pytest.raises(DataError, match=words) as error:
        shop.import_files(put(tmp_path, name, content))
    assert one_line(error)
    assert shop.manifest().version == 0


def test_a_missing_file_is_refused(tmp_path, shop):
    with pytest.raises(DataError, match="No such file"):
        shop.import_files(tmp_path / "reviews.csv")


def test_a_truncated_parquet_file_is_refused(tmp_path, shop):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"item_id": ["a"] * 1000, "rating": [1] * 1000}), whole)
    with pytest.raises(DataError, match="not a readable parquet file"):
        shop.import_files(put(tmp_path, "reviews.parquet", whole.read_bytes()[:-20]))
    assert shop.counts() == {}


def test_lines_that_are_no_json_objects_go_to_quarantine(tmp_path, shop):
    lines = [
        '{"item_id": "1", "body": "ok"}',
        "[1]",
        "{",
        "",
        '"x"',
        "null",
        '{"item_id": 2, "rating": 4}',
        '{"item_id": "\\ud800", "body": "x"}',
    ]
    report = shop.import_files(put(tmp_path, "reviews.jsonl", "\n".join(lines)))
    assert (report.read, report.inserted, report.quarantined) == (7, 2, 5)
    assert "line 2: is not a JSON object" in str(report)


def test_json_keeps_its_types_through_the_attributes(tmp_path, shop):
    lines = [
        '{"item_id":"1","rating":1,"a":true,"b":7,"c":1.5,"d":"x","e":1,"f":{"k":[1]},"g":null}',
        '{"item_id":"2","rating":2,"b":8,"c":2,"e":"y"}',
    ]
    shop.import_files(put(tmp_path, "reviews.jsonl", "\n".join(lines)))
    rows = shop.view().sql("select a, b, c, d, e, f from reviews order by rating").to_pylist()
    assert rows == [
        {"a": True, "b": 7, "c": 1.5, "d": "x", "e": "1", "f": '{"k":[1]}'},
        {"a": None, "b": 8, "c": 2.0, "d": None, "e": "y", "f": None},
    ]
    assert shop.manifest().tables["reviews"].attributes == {
        "a": "BOOLEAN", "b": "BIGINT", "c": "DOUBLE", "d": "VARCHAR", "e": "VARCHAR", "f": "VARCHAR"}  # fmt: skip


def test_csv_values_show_their_type_by_their_form(tmp_path, shop):
    shop.import_files(put(tmp_path, "reviews.csv", "item_id,rating,n,x,b,zip,mixed\n1,1,3,1.5,True,007,1\n2,2,,2,false,10,a\n"))
    assert shop.manifest().tables["reviews"].attributes == {
        "n": "BIGINT", "x": "DOUBLE", "b": "BOOLEAN", "zip": "VARCHAR", "mixed": "VARCHAR"}  # fmt: skip
    assert shop.view().sql("select zip, b from reviews order by item_id").to_pylist() == [
        {"zip": "007", "b": True},
        {"zip": "10", "b": False},
    ]


def test_a_field_of_fifty_thousand_characters_is_fine(tmp_path, shop):
    assert shop.import_files(put(tmp_path, "reviews.csv", HEAD + f"r,i,5,{'x' * 50_000}\n")).inserted == 1


def test_an_unknown_format_is_answered_with_the_closest():
    assert "table" in names()
    with pytest.raises(DataError, match="did you mean `table`"):
        importer("tabel")


def parquet_of(columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


WORDS = st.sampled_from(
    ["review_id", "item_id", "rating", "body", "5", "9", "x", "", "nan", '"', ",", ";", "\n", "\r", "\t", "|", "{", "}", ":", "[", "]",
     "null", "1e9", "\0", "é", "attributes", '{"a": 1}', '"item_id": "a"', '"body": "b"', "\\ud800", "created_at", "2024-01-01", "\ufeff"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=40).map("".join)
HEADED = st.builds(
    lambda head, rest: head + rest, st.sampled_from([HEAD, "item_id;body\n", "body\n", '{"item_id": "i", "body": "b"}\n']), TEXTS
)
VALUES = st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=3, max_size=3) | st.lists(
    st.integers(-(2**62), 2**62), min_size=3, max_size=3
)
VALUES |= st.lists(st.floats(), min_size=3, max_size=3) | st.lists(st.booleans(), min_size=3, max_size=3)
VALUES |= st.lists(st.datetimes(), min_size=3, max_size=3) | st.lists(st.lists(st.text(max_size=2), max_size=2), min_size=3, max_size=3)
NAMES = st.sampled_from(
    ["item_id", "rating", "title", "body", "created_at", "verified_purchase", "helpful_votes", "attributes", "", "x y", '"']
)
PARQUET = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6).map(parquet_of)
CUT = st.builds(
    lambda content, at, byte: content[:at] + bytes([byte]) + content[at + 1 :], PARQUET, st.integers(0, 400), st.integers(0, 255)
)
CONTENT = st.one_of(st.binary(max_size=300), TEXTS.map(lambda t: t.encode("utf-8", "replace")), HEADED.map(lambda t: t.encode()),
                    HEADED.map(lambda t: codecs.BOM_UTF16_LE + t.encode("utf-16-le")), PARQUET, CUT)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=CONTENT, ending=st.sampled_from(["csv", "jsonl", "parquet"]), strict=st.booleans(), default=st.booleans())
def test_any_bytes_give_a_report_that_adds_up_or_one_line_of_refusal(content, ending, strict, default):
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", create=True)
        file = put(Path(folder), f"reviews.{ending}", content)
        try:
            report = shop.import_files(file, strict=strict, defaults={"item_id": "unknown"} if default else None)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert [each.name for each in (shop.path / "_shop").glob("*.json")] == ["0.json"]
            assert shop.counts() == {}
            return
        assert isinstance(report, ImportReport)
        assert report.read == report.inserted + report.updated + report.duplicate + report.quarantined
        assert shop.counts().get("reviews", 0) == report.inserted
        assert report.data_version == shop.data_version
        again = shop.import_files(file, defaults={"item_id": "unknown"} if default else None)
        assert (again.inserted, again.data_version) == (0, report.data_version)
        rows = sum(part.table.num_rows for part in shop.view().parts("reviews", rows=2))
        assert rows == report.inserted


CSV_CELLS = st.text(alphabet='ab,;" \n\r\té\0', max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    body=st.lists(st.lists(CSV_CELLS, min_size=1, max_size=3).map(",".join), max_size=6).map("\n".join),
    end=st.sampled_from(["", "\n", "\r\n"]),
)
def test_a_block_that_is_read_fast_says_what_python_s_own_reader_says(body, end):
    block = (body + end).encode()
    letters = np.frombuffer(block, np.uint8)
    rows = _csv._fast_block(letters, np.flatnonzero(letters == 10), ["x", "y"], ",") if block else None
    if rows is not None:
        told = [tuple(row) for row in csv.reader(io.StringIO(block.decode(), newline=""))]
        assert list(zip(*(rows[name].to_pylist() for name in ("x", "y")), strict=True)) == told


JSON_CELLS = st.sampled_from(
    ["1", "2", "-0", "2.5", "3.0", "1e3", "9007199254740993", "12345678901234567890", "NaN", "Infinity", "1e999", "true", "null", '"x"', '""', '"é"',
     '"2024-01-01"', '"2024-01-01T00:00:00Z"', '"\\ud800"', '"\\u0041"', "[]", '["a"]', '["2024-01-01"]', "[null]", "[1]", "[[]]", "{}", "01", '"a{b"']
)  # fmt: skip
JSON_LINES = st.one_of(
    st.lists(st.tuples(st.sampled_from(["x", "y", "z", "x "]), JSON_CELLS), max_size=3).map(
        lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
    ),
    st.sampled_from(["", " ", "{", "}", '{"x": 1}{"x": 2}', '{"x":', "1}", "[]", ' {"x": 1}', '{"x": 1}\r', '{"x": 1},', '{"x": "\t"}']),
)


@settings(max_examples=400, deadline=None)
@given(lines=st.lists(JSON_LINES, min_size=1, max_size=4), end=st.sampled_from(["", "\n"]), mark=st.booleans())
def test_a_block_of_json_that_is_read_fast_says_what_python_s_own_reader_says(lines, end, mark):
    with tempfile.TemporaryDirectory() as folder:
        file = put(Path(folder), "x.jsonl", ("\ufeff" if mark else "") + "\n".join(lines) + end)
        for block in line_blocks(file, 1_000):
            rows = _jsonl._plain_block(block)
            if rows is not None:
                told = _jsonl._json_chunk(file, "events", block.text.to_pylist(), block.numbers.tolist())
                assert not told.faults
                assert all(not field.metadata for field in told.rows.schema)
                assert rows.schema.equals(told.rows.schema)
                assert rows.to_pylist() == told.rows.to_pylist()


def test_plain_blocks_of_json_are_read_fast_and_deep_ones_never_reach_arrow(tmp_path):
    plain = put(tmp_path, "x.jsonl", '{"a": 1, "b": "2024-01-01", "c": [], "d": null}\n{"a": 2.5, "c": ["x"]}\r\n')
    (block,) = line_blocks(plain, 1_000)
    rows = _jsonl._plain_block(block)
    assert rows.schema.equals(pa.schema({"a": pa.float64(), "b": pa.string(), "c": pa.list_(pa.string()), "d": pa.null()}))
    assert rows["a"].to_pylist() == [1.0, 2.5]
    for deep in ("[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000):
        (block,) = line_blocks(put(tmp_path, "deep.jsonl", f'{{"a": {deep}}}'), 10_000_000)
        assert _jsonl._plain_block(block) is None  # Arrow's reader would end the process


@pytest.mark.parametrize("fault", ["r9,i,5\n", "\n", "r9,i,5,x,y\n", 'r9,i,5,"two\nlines"\n', "r9,i,9,x\n"])
def test_lines_are_counted_across_blocks_that_are_read_in_different_ways(tmp_path, shop, monkeypatch, fault):
    monkeypatch.setattr(_csv, "BLOCK_BYTES", 40)
    good = "".join(f"r{i},i{i},5,fine {i}\n" for i in range(10, 30))
    file = put(tmp_path, "reviews.csv", HEAD + good + fault + good.replace("r", "q") + "bad,,5,x\n")
    report = shop.import_files(file)
    last = 1 + 20 + fault.count("\n") + 20 + 1
    found = [json.loads(line) for name in report.tables["reviews"].quarantine for line in Path(name).read_text().splitlines()]
    assert (found[-1]["line"], found[-1]["reason"]) == (last, "is missing")
    assert report.read == report.inserted + report.quarantined
    assert report.inserted == 40 + ("lines" in fault)


def test_a_cell_of_a_million_characters_is_kept_and_a_longer_one_put_aside(tmp_path, shop):
    rows = [f"r1,i,5,{'x' * 1_000_000}", f"r2,i,5,{'x' * 1_000_001}", 'r3,i,5,"' + "x\n" * 300_000 + '"', ""]
    content = HEAD + "\n".join(rows)
    report = shop.import_files(put(tmp_path, "reviews.csv", content))
    assert (report.inserted, report.quarantined) == (2, 1)
    assert "line 3: column `body` is too long" in str(report)


def test_a_parquet_file_is_not_held_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "CHUNK_ROWS", 16_384)
    file = tmp_path / "events.parquet"
    random = np.random.default_rng(0)
    pq.write_table(pa.table({"price": random.random(64 * 16_384)}), file, row_group_size=16_384)
    before, most = pa.total_allocated_bytes(), 0
    for chunk in read([file]):
        del chunk
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < file.stat().st_size / 4


def test_values_that_cannot_be_read_cost_their_row_and_no_other(tmp_path, shop):
    file = tmp_path / "reviews.parquet"
    bodies = [b"good"] * 50
    bodies[7], bodies[30] = b"\xff", b"caf\xe9"
    pq.write_table(pa.table({"item_id": ["i"] * 50, "body": bodies, "rating": [5.0] * 50, "picture": [b"\xff\xd8"] * 50}), file)
    report = shop.import_files(file)
    assert (report.read, report.inserted, report.quarantined) == (50, 48, 2)
    assert "line 8: column `body` (binary) cannot be read" in str(report)
    assert shop.import_files(file).duplicate == 48


def test_a_column_of_a_type_without_plain_form_costs_only_rows_of_the_contract(shop):
    odd = pa.array([(1, 2, 3), None], pa.month_day_nano_interval())
    rows = {"item_id": ["i", "j"], "rating": [1, 2]}
    assert shop.upsert("reviews", pa.table(rows | {"age": odd})).inserted == 2
    assert shop.upsert("reviews", pa.table(rows | {"created_at": odd})).quarantined == 1
