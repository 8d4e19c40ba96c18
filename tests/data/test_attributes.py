"""What the contract does not name is kept as SQL alone would write it, whatever the rows share."""

import json

import duckdb
import pyarrow as pa
import pytest

from shoplm.data import attributes as module
from shoplm.data.attributes import attributes, names_in
from shoplm.data.convert import JSON_MARK


@pytest.fixture
def con():
    with duckdb.connect(config={"threads": "1"}) as opened:
        yield opened


def test_a_row_without_any_value_has_no_object_and_no_other_row_is_lost(con):
    rows = pa.table({"a": ["x", None, "y", None], "b": pa.array([1, None, None, 2])})
    found = attributes(con, rows, {"a": "a", "b": "b"}, False)
    assert found.values.to_pylist() == ['{"a":"x","b":1}', None, '{"a":"y"}', '{"b":2}']
    assert (found.counts, found.kinds) == ({"a": 2, "b": 2}, {"a": {"VARCHAR"}, "b": {"BIGINT"}})


def test_names_come_in_order_and_values_are_written_as_json(con):
    rows = pa.table({"Z": ['q"é', " "], "m": pa.array([1.5, float("nan")]), "t": [True, None], "l": [["a"], None]})
    found = attributes(con, rows, {"z": "Z", "m": "m", "t": "t", "l": "l"}, False)
    assert found.values.to_pylist() == ['{"l":["a"],"m":1.5,"t":true,"z":"q\\"é"}', '{"z":" "}']
    assert found.counts == {"z": 2, "m": 1, "t": 1, "l": 1}


def test_text_of_a_csv_shows_its_type_by_its_form(con):
    values = ["1", "01", "1.50", "TRUE", "", " ", "x", "-0", "1e5"]
    found = attributes(con, pa.table({"v": values}), {"v": "v"}, True)
    said = ["1", '"01"', "1.50", "true", None, None, '"x"', "-0", '"1e5"']
    assert found.values.to_pylist() == [None if each is None else f'{{"v":{each}}}' for each in said]
    assert found.kinds == {"v": {"BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR"}}


def test_documents_are_kept_as_they_are(con):
    schema = pa.schema([pa.field("d", pa.string(), metadata=JSON_MARK)])
    rows = pa.table([pa.array(['{"a": 1.50}', "null", "3", None])], schema=schema)
    found = attributes(con, rows, {"d": "d"}, False)
    assert [each and json.loads(each) for each in found.values.to_pylist()] == [{"d": {"a": 1.5}}, None, {"d": 3}, None]
    assert "1.50" in found.values[0].as_py()
    assert (found.counts, found.kinds) == ({"d": 2}, {"d": {"VARCHAR", "BIGINT"}})


@pytest.mark.parametrize("limit", [1_000, 1, 0])
def test_shared_values_single_values_and_halves_give_the_same_objects(con, monkeypatch, limit):
    rows = pa.table(
        {"few": [f"v{n % 3}" for n in range(50)], "many": pa.array(range(50)), "gaps": pa.array([n if n % 4 else None for n in range(50)])}
    )
    names = {name: name for name in rows.column_names}
    monkeypatch.setattr(module, "_LOOKED_AT", max(limit, 1))
    if not limit:
        monkeypatch.setattr(module, "_AT_ONCE", 100)
    found = attributes(con, rows, names, False)
    plain = [{name: value for name, value in sorted(row.items()) if value is not None} for row in rows.to_pylist()]
    assert found.values.to_pylist() == [json.dumps(row, separators=(",", ":")) for row in plain]
    assert found.counts == {"few": 50, "many": 50, "gaps": 37}
    assert found.kinds == {"few": {"VARCHAR"}, "many": {"BIGINT"}, "gaps": {"BIGINT"}}


def test_names_inside_objects_are_found_with_their_types(con):
    assert names_in(con, pa.chunked_array([['{"a/b":1,"c~d":"x"}', '{"a/b":1.5}', None]])) == {
        "a/b": {"BIGINT", "DOUBLE"}, "c~d": {"VARCHAR"}}  # fmt: skip
