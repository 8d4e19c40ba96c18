"""attributes: where a value stands, what is known of a row, what is answered."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.task import Scores
from shoplm.tasks.attributes import TASK, AttributesSettings, located
from shoplm.text.spans import Searched, Tagged, encoded


def spans(text, values):
    return [(text[one["start"] : one["stop"]], one["start"], one["kind"]) for one in located(text, values)[0]]


def test_a_value_stands_wherever_it_is_a_whole_word_in_any_case():
    assert spans("Red shoes, dark RED, tired", {"colour": ["red"]}) == [("Red", 0, "colour"), ("RED", 16, "colour")]


def test_only_a_value_that_is_nowhere_a_whole_word_may_be_part_of_one():
    assert spans("红色鞋子 150mm", {"colour": ["红色"], "length": ["150"]}) == [("红色", 0, "colour"), ("150", 5, "length")]


def test_a_value_that_is_not_there_teaches_nothing_and_is_counted_and_none_at_all_is_a_span_without_characters():
    found, gone = located("red shoes", {"brand": ["Acme", "Zeta"], "size": [], "colour": ["red", "blue"]})
    assert found == [{"start": 0, "stop": 0, "kind": "size"}, {"start": 0, "stop": 3, "kind": "colour"}]
    assert gone == 3


@given(st.text(max_size=30), st.data())
def test_a_value_taken_out_of_a_text_is_found_there(text, data):
    begin = data.draw(st.integers(0, len(text)))
    value = text[begin : data.draw(st.integers(begin, len(text)))]
    found, gone = located(text, {"any": [value]} if value else {})
    assert gone == 0
    assert all(text[one["start"] : one["stop"]].casefold() == value.casefold() for one in found)


ROWS = [
    {"id": "1", "title": "Acme  red shoes", "attributes": json.dumps({"Brand": "Acme", "Colour": ["red", "crimson"], "Size": None})},
    {"id": "2", "title": "Blue hat", "description": "made by Zeta", "attributes": json.dumps({"Brand": ["Zeta"]})},
    {"id": "3", "title": "A thing"},
]


def moments(rows, tmp_path, labels=()):
    """Those of a file's rows, or of a shop's with labels."""
    shop = Shop(tmp_path / "shop", create=True)
    keys = ("id", "title", "description", *(() if labels else ("annotated",)))
    table = {key: pa.array([row.get("attributes" if key == "annotated" else key) for row in rows], pa.string()) for key in keys}
    shop.upsert("products", pa.table(table), strict=True)
    if labels:
        names = ("task", "subject", "name", "value", "by")
        told = {name: pa.array([label[at] for label in labels]) for at, name in enumerate(names)}
        at = pa.array([1_704_067_200_000_000] * len(labels)).cast(pa.timestamp("us", tz="UTC"))
        shop.upsert("labels", pa.table({**told, "at": at}), strict=True)
    view = shop.view()
    (part,) = view.parts("products", rows=100)
    return TASK.moments(part, AttributesSettings())


def said(found):
    texts = found.group.to_pylist()
    return [
        None if row is None else sorted((text[one["start"] : one["stop"]], one["kind"]) for one in row)
        for text, row in zip(texts, found.targets["attributes"].to_pylist(), strict=True)
    ]


def test_a_file_s_json_says_what_is_there_what_is_not_and_what_nobody_knows(tmp_path):
    found = moments(ROWS, tmp_path)
    assert found.group.to_pylist() == ["Acme red shoes", "Blue hat made by Zeta", "A thing"]
    assert said(found) == [[("", "Size"), ("Acme", "Brand"), ("red", "Colour")], [("Zeta", "Brand")], None]
    assert found.slices["values"].to_pylist() == ["some not in the text", "all in the text", "not annotated"]


def test_a_shop_s_labels_say_it_too_and_a_person_s_word_comes_first(tmp_path):
    labels = [
        ("attributes", "1", "Colour", "red", "model"), ("attributes", "1", "Colour", "shoes", "person"),
        ("attributes", "2", "Brand", "Zeta", "rule"), ("sentiment", "3", "fit", "A", "person"),
    ]  # fmt: skip
    assert said(moments(ROWS, tmp_path, labels)) == [[("shoes", "Colour")], [("Zeta", "Brand")], None]


def test_what_is_no_json_object_is_refused_with_an_example(tmp_path):
    with pytest.raises(DataError, match=r"`red` is no JSON object; write such as \{"):
        moments([{"id": "1", "title": "a", "attributes": "red"}], tmp_path)


def test_it_learns_the_attributes_that_a_text_names_the_commonest_first(tmp_path):
    found = moments(ROWS, tmp_path)
    assert TASK.learn(found.targets, AttributesSettings()).labels["attributes"] == ["Brand", "Colour"]
    assert TASK.learn(found.targets, AttributesSettings(most=1)).labels["attributes"] == ["Brand"]
    with pytest.raises(DataError, match="no train text names a value"):
        TASK.learn(found.take(np.array([2])).targets, AttributesSettings())


def scores():
    """Of "red Acme": the first token is surely a colour, the second perhaps a brand, perhaps nothing."""
    p = np.full((2, 5), 0.01)
    p[0, 3], p[1, 1], p[1, 0] = 0.96, 0.45, 0.52
    searched = Searched(np.array([[0, 3], [4, 8]], np.int32), pa.array(["red Acme"]))
    return Scores({}, {"attributes": Tagged(np.log(p).astype(np.float32), searched, np.array([0, 2]))})


def test_it_answers_the_surest_value_of_each_attribute_and_leans_as_validation_chose(tmp_path):
    fitted = TASK.learn(moments(ROWS, tmp_path).targets, AttributesSettings(calibration="none"))
    (row,) = TASK.answer(scores(), fitted).rows()
    assert json.loads(row["attributes"]) == {"Colour": "red"}
    assert row["probability"] == 0.96
    column = pa.array([[{"start": 0, "stop": 3, "kind": "Colour"}, {"start": 4, "stop": 8, "kind": "Brand"}]])
    chosen = TASK.choose(scores(), {"attributes": encoded(column, fitted.labels["attributes"])}, fitted)
    assert chosen.numbers["lean"] == 0.5  # the least that finds both
    (row,) = TASK.answer(scores(), chosen).rows()
    assert json.loads(row["attributes"]) == {"Colour": "red", "Brand": "Acme"}
    assert row["probability"] == 0.45


@pytest.mark.parametrize(("stop", "whole", "brand"), [(8, 1.0, "Acme"), (6, 0.0, "Ac")])
def test_values_end_where_words_do_unless_validation_knows_better(tmp_path, stop, whole, brand):
    fitted = TASK.learn(moments(ROWS, tmp_path).targets, AttributesSettings(calibration="none"))
    tagged = scores().tagged["attributes"]
    half = Scores({}, {"attributes": replace(tagged, searched=Searched(np.array([[0, 3], [4, 6]], np.int32), tagged.searched.texts))})
    column = pa.array([[{"start": 0, "stop": 3, "kind": "Colour"}, {"start": 4, "stop": stop, "kind": "Brand"}]])
    chosen = TASK.choose(half, {"attributes": encoded(column, fitted.labels["attributes"])}, fitted)
    assert (chosen.numbers["whole"], chosen.numbers["lean"]) == (whole, 0.5)
    (row,) = TASK.answer(half, chosen).rows()
    assert json.loads(row["attributes"]) == {"Colour": "red", "Brand": brand}
