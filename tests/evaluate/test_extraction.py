"""Values found in texts, counted by the plain rules on rows that can be checked by hand."""

import numpy as np
import pyarrow as pa
import pytest

from shoplm.evaluate.extraction import extraction
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
