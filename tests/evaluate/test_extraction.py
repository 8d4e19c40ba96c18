"""Values found in texts, counted by the plain rules on rows that can be checked by hand."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.evaluate.extraction import Lookup, extraction
from shoplm.evaluate.judge import Judge
from shoplm.text.spans import SPANS, encoded

KINDS = ("brand", "colour")


def column(rows):
    return encoded(
        pa.array([None if row is None else [{"start": a, "stop": b, "kind": k} for a, b, k in row] for row in rows], SPANS), KINDS
    )


TRUE = column([
    [(0, 4, "brand"), (9, 13, "brand"), (0, 0, "colour")],  # two places of one value; known to have no colour
    [(0, 4, "brand"), (5, 8, "colour")],
    [(3, 6, "brand")],  # nobody looked for a colour
    None,
    [(0, 0, "brand"), (5, 8, "colour")],
])  # fmt: skip
SAID = column([
    [(9, 13, "brand"), (5, 8, "colour")],  # VC, NV
    [(0, 8, "brand")],  # VW, VN
    [(5, 8, "colour"), (3, 6, "brand")],  # neither right nor wrong, VC
    [(0, 4, "brand")],  # nothing is known of the row
    [(5, 8, "colour"), (0, 4, "colour")],  # NN, VC: the first of a kind counts
]).astype(np.float32)  # fmt: skip


def test_every_known_pair_of_a_row_and_a_kind_is_counted_once():
    metrics = extraction("a", 2)
    found = {name: metric.point({"a": TRUE}, {"a": SAID}) for name, metric in metrics.items()}
    # VC 3, NV 1, VW 1, VN 1: claimed 5, true 5; brand: right 2, claimed 3, true 3; colour: right 1, claimed 2, true 2
    assert found["precision"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx(3 / 5)
    assert found["micro_f1"] == pytest.approx(2 * 3 / (5 + 5))
    assert found["macro_f1"] == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_a_kind_without_any_case_is_left_out_of_the_mean_and_nothing_is_no_number():
    metrics = extraction("a", 2)
    assert metrics["macro_f1"].point({"a": TRUE[2:3]}, {"a": SAID[2:3]}) == 1.0
    assert np.isnan(metrics["micro_f1"].point({"a": TRUE[3:4]}, {"a": SAID[3:4]}))


def test_chunks_change_nothing_even_if_rows_have_more_spans_in_one_of_them():
    metrics = extraction("a", 2)
    whole, parts = Judge(metrics, {}), Judge(metrics, {})
    whole.update({"a": TRUE}, {"a": SAID})
    for at in range(5):
        parts.update({"a": TRUE[at : at + 1, :2] if at else TRUE[:1]}, {"a": SAID[at : at + 1]})
    assert parts.result().metrics == whole.result().metrics


def test_a_look_up_finds_the_longest_known_value_of_a_kind_that_stands_there_as_whole_words():
    told = column([[(0, 3, "colour"), (4, 8, "brand")], [(0, 8, "colour")], [(0, 0, "brand")], None])
    lookup = Lookup.fit(["red Acme", "dark red", "nothing", "Acme"], told)
    texts = ["Dark RED hat by acme", "a tired acmes", "red, then dark red and red", ""]
    assert [[tuple(map(int, span)) for span in row if span[2] >= 0] for row in lookup.find(texts)] == [
        [(16, 20, 0), (0, 8, 1)],  # both kinds, in any case
        [],  # parts of words are none
        [(10, 18, 1)],  # not the first "red"
        [],
    ]


def test_a_look_up_reads_writing_without_spaces_and_knows_nothing_of_nothing():
    lookup = Lookup.fit(["红色帽子"], column([[(0, 2, "colour")]]))
    assert lookup.find(["深红色"])[0].tolist() == [[1.0, 3.0, 1.0]]
    assert Lookup.fit([], column([])[:0]).find(["red"]).tolist() == [[[-1.0, -1.0, -1.0]]]
    assert lookup.find([]).shape == (0, 1, 3)


@given(st.lists(st.text("ab c", min_size=1, max_size=12), min_size=1, max_size=5))
def test_a_look_up_says_what_a_search_for_every_value_says(texts):
    values = {"a", "b", "ab", "a b", "b c"}
    told = column([[(0, len(value), "colour")] for value in sorted(values)])
    found = Lookup.fit(sorted(values), told).find(texts)
    for text, row in zip(texts, found, strict=True):
        stands = [text[at.start() : at.end()] for value in values for at in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text)]
        length = max(map(len, stands), default=0)
        assert int(row[0, 1] - row[0, 0]) == length
