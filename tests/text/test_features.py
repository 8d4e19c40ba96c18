"""Numbers and categories beside the text: fitted on train rows, read the same everywhere."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.text.features import SPREAD, STEPS, Features, gathered, joined
from shoplm.text.render import Prompt, Segment

NUMBERS = pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1000.0])
WORDS = pa.array(["red"] * 6 + ["blue"] * 5 + ["odd"] + [None] * 3)


def test_train_rows_have_mean_zero_in_every_column_and_a_number_rises_with_its_place():
    found = Features.fit({"price": NUMBERS})
    encoded = found.encode({"price": NUMBERS}, len(NUMBERS))
    assert encoded.shape == (9, found.width) == (9, STEPS)
    np.testing.assert_allclose(encoded.mean(0), 0, atol=1e-6)  # float32
    assert (np.diff(encoded.sum(1)) > 0).all()
    np.testing.assert_allclose(np.diff(encoded.sum(1)), 1, atol=1e-5)  # by place: the outlier is one step away like all others


def test_beyond_the_train_rows_a_number_reads_as_their_end():
    found = Features.fit({"price": NUMBERS})
    low, first, last, high = found.encode({"price": pa.array([-1e9, 1.0, 1000.0, 1e9])}, 4)
    np.testing.assert_array_equal(low, first)
    np.testing.assert_array_equal(last, high)


@pytest.mark.parametrize("gaps", [True, False])
def test_what_is_missing_reads_as_the_mean_and_says_so_only_where_train_rows_lacked_it(gaps):
    train = pa.array([1.0, 2.0, 3.0, None] if gaps else [1.0, 2.0, 3.0, 4.0])
    found = Features.fit({"price": train})
    row = found.encode({"price": pa.array([None], pa.float64())}, 1)[0]
    assert row.tolist() == ([0.0] * (found.width - 1) + [1.0] if gaps else [0.0] * found.width)
    np.testing.assert_array_equal(found.encode({}, 1)[0], row)  # a table without the column lacks it in every row


def test_a_category_is_told_by_the_words_of_the_train_rows_and_a_stranger_is_none_of_them():
    found = Features.fit({"colour": WORDS})
    assert found.categories["colour"].words == ("red", "blue")  # one row is too few
    red, odd, strange, gone = found.encode({"colour": pa.array(["red", "odd", "green", None])}, 4)
    assert red.tolist() == pytest.approx([1 - 6 / 12, -5 / 12, 0])
    np.testing.assert_array_equal(odd, strange)
    assert odd.tolist() == pytest.approx([-6 / 12, -5 / 12, 0])
    assert gone.tolist() == [0, 0, 1]


def test_a_feature_that_says_nothing_is_left_out():
    columns = {"same": pa.array([3.0] * 9), "one": pa.array(["x"] * 9), "none": pa.nulls(9, pa.float64())}
    assert Features.fit(columns).width == 0
    assert Features().encode(columns, 9).shape == (9, 0)
    rare = Features.fit({"rare": pa.array([0.0] * 99 + [1.0])})
    assert np.ptp(rare.encode({"rare": pa.array([0.0, 1.0])}, 2)) == pytest.approx(1)


def test_a_number_that_a_file_wrote_as_text_is_the_same_number():
    found = Features.fit({"price": NUMBERS, "new": pa.array([0.0, 1.0] * 5)})
    texts = found.encode({"price": pa.array(["3", " 3.0", "?"]), "new": pa.array(["True", "1", "false"])}, 3)
    numbers = found.encode({"price": pa.array([3.0, 3.0, None]), "new": pa.array([1.0, 1.0, 0.0])}, 3)
    np.testing.assert_array_equal(texts, numbers)


def test_it_is_the_same_after_json():
    found = Features.fit({"price": NUMBERS, "colour": WORDS.slice(0, 9)})
    again = Features.model_validate_json(found.model_dump_json())
    assert again == found
    np.testing.assert_array_equal(again.encode({"price": NUMBERS}, 9), found.encode({"price": NUMBERS}, 9))


@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), min_size=1, max_size=40))
def test_any_numbers_are_read_as_numbers(values):
    column = pa.array(values, pa.float64())
    encoded = Features.fit({"x": column}).encode({"x": column}, len(column))
    assert np.isfinite(encoded).all()
    assert (np.abs(encoded) <= 1 + 1e-6).all()


def test_features_of_prompts_are_columns_and_parts_join():
    prompts = [Prompt((Segment("a"),), {"n": 1.0, "w": "x"}), Prompt((), {}), Prompt((), {"n": float("nan"), "w": 2.0})]
    one = gathered(prompts, ("n", "w"))
    assert one["n"].to_pylist() == [1.0, None, None]
    assert one["w"].to_pylist() == ["x", None, "2.0"]
    both = joined([one, gathered(prompts[1:2], ("n", "w"))])
    assert both["w"].to_pylist() == ["x", None, "2.0", None]
    assert joined([]) == {}


BASKETS = pa.array([["milk", "milk", "tea"], ["milk"], ["tea", "pan"], ["pan", "milk"], ["once"], None, ["milk", "tea", "pan"]])


def test_a_list_of_words_is_told_by_how_often_each_stands_in_it_and_the_rare_ones_weigh_more():
    found = Features.fit({"things": BASKETS})
    assert found.bags["things"].words == ("milk", "pan", "tea")  # by rows; what stands in fewer than three is not told apart
    assert found.names == ("things",)
    encoded = found.encode({"things": BASKETS}, len(BASKETS))
    assert encoded.shape == (7, found.width) == (7, 3)
    filled = [at for at in range(7) if BASKETS[at].as_py() and BASKETS[at].as_py() != ["once"]]
    lists = [at for at in range(7) if BASKETS[at].as_py()]
    weights = encoded[filled] + np.array(found.bags["things"].means, np.float32)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), SPREAD * 3**0.5, rtol=1e-5)  # float32; three words
    twice, plain = weights[0], weights[filled.index(6)]
    assert twice[0] / twice[2] == pytest.approx((1 + np.log(2)) * plain[0] / plain[2], rel=1e-5)
    assert plain[2] > plain[0]
    assert abs(encoded[lists].mean(0) - 0).max() < 0.6
    np.testing.assert_array_equal(encoded[5], np.zeros(3))  # no list reads as the mean
    np.testing.assert_array_equal(found.encode({}, 2), np.zeros((2, 3)))
    assert Features.model_validate_json(found.model_dump_json()) == found


def test_lists_are_gathered_joined_and_left_out_where_no_word_comes_often_enough():
    prompts = [Prompt((Segment("x"),), {"things": ("milk", "tea")}), Prompt((Segment("x"),), {})]
    first = gathered(prompts, ["things"])
    assert first["things"].to_pylist() == [["milk", "tea"], None]
    both = joined([gathered(prompts[1:], ["things"]), first])
    assert both["things"].to_pylist() == [None, ["milk", "tea"], None]
    assert Features.fit(both).width == 0
