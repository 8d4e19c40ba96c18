"""Which items go with which: counted by hand, damped by how common they are, and read with the newest acts first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from shoplm.retrieve import neighbours
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.neighbours import CountConfig, MemoryConfig, Neighbours, counted, from_acts, from_texts, from_vectors, largest, query


def by_hand(histories, items, window, decay):
    found = np.zeros((items, items))
    for history in histories:
        for i, first in enumerate(history):
            for j in range(i + 1, min(len(history), i + window + 1)):
                if first != history[j]:
                    found[first, history[j]] += decay ** (j - i - 1)
    return found


@given(st.lists(st.lists(st.integers(0, 6), max_size=7), max_size=6), st.integers(1, 8), st.sampled_from([0.5, 1.0]))
def test_pairs_are_counted_as_by_hand(histories, window, decay):
    found = counted(Histories.of(histories), 7, window, decay).toarray()
    np.testing.assert_allclose(found, by_hand(histories, 7, window, decay), rtol=1e-5)  # float32 sums


def test_pairs_counted_in_pieces_are_those_counted_at_once(monkeypatch):
    histories = Histories.of(np.random.default_rng(0).integers(0, 9, (20, 12)).tolist())
    whole = counted(histories, 9, 11, 0.8).toarray()
    monkeypatch.setattr(neighbours, "PAIRS", 10)
    np.testing.assert_allclose(counted(histories, 9, 11, 0.8).toarray(), whole, rtol=1e-5)


def test_an_ordered_pair_counts_only_forwards_and_common_items_count_less():
    histories = Histories.of([[0, 1], [0, 1], [0, 2]])
    forwards = from_acts(histories, 3, CountConfig(ordered=True, common_from=1, common_to=0)).toarray()
    # item 0 has 3 acts: 2 / (3 + 1) go on to item 1, 1 / (3 + 1) to item 2
    np.testing.assert_allclose(forwards, [[0, 0.5, 0.25], [0, 0, 0], [0, 0, 0]])
    both = from_acts(histories, 3, CountConfig(ordered=False, common_from=1, common_to=1)).toarray()
    # items 1 and 2 have 2 and 1 acts: 2 / (4 · 3) and 1 / (4 · 2), the same both ways
    np.testing.assert_allclose(both, [[0, 1 / 6, 1 / 8], [1 / 6, 0, 0], [1 / 8, 0, 0]], rtol=1e-6)


def test_the_weight_of_an_act_counts_in_its_pairs():
    histories = Histories(np.array([0, 1], np.int32), np.array([0, 2]), np.array([4.0, 9.0], np.float32))
    assert counted(histories, 2, 5, 1.0).toarray()[0, 1] == 6  # the geometric mean of 4 and 9


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_largest_entries_are_those_of_a_sort_that_keeps_the_order_of_columns(seed, most):
    values = np.random.default_rng(seed).integers(0, 4, (5, 8)).astype(np.float32)
    expected = np.zeros_like(values)
    for row in range(5):
        kept = [at for at in np.argsort(-values[row], kind="stable") if values[row, at] > 0][:most]
        expected[row, kept] = values[row, kept]
    np.testing.assert_array_equal(largest(sparse.csr_array(values), most).toarray(), expected)


def test_a_history_is_read_with_the_newest_act_most_and_the_oldest_not_at_all():
    asked = Histories.of([[3, 0, 1, 0], [2], []])
    found = query(asked, 4, MemoryConfig(recency=0.5, last=3)).toarray()
    # ages 2, 1, 0 of items 0, 1, 0: .25 + 1, .5; the 3 is a fourth act
    np.testing.assert_allclose(found, [[1.25, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])


def test_what_each_act_adds_to_an_item_is_the_whole_of_its_score():
    histories = Histories.of([[0, 1, 2], [1, 2, 3], [0, 2, 3], [2, 3, 1]])
    source = Neighbours(from_acts(histories, 4, CountConfig(window=3)), MemoryConfig(recency=0.7, last=2))
    asked = Histories.of([[0, 1, 2]])
    added = source.because(asked, 3)
    assert added[0] == 0  # only the last two acts are read
    assert added.sum() == pytest.approx(float(source.scores(asked).toarray()[0, 3]), rel=1e-6)


def test_texts_that_share_words_are_near_in_any_script_and_an_empty_one_has_no_neighbour():
    texts = ["red wool scarf", "blue wool scarf", "garden hose", "", "红色羊毛围巾", "蓝色羊毛围巾", "花园水管 garden hose"]
    near = from_texts(texts).toarray()
    assert near[0].argmax() == 1
    assert near[4].argmax() == 5
    assert near[2].argmax() == 6
    assert not near[3].any()
    assert not near.diagonal().any()
    np.testing.assert_allclose(near, near.T, atol=1e-6)


def test_without_a_word_in_common_no_text_has_a_neighbour():
    assert from_texts(["one", "two", ""]).nnz == 0


def test_nearest_by_vector_are_those_with_the_largest_cosines_and_never_the_item_itself(monkeypatch):
    monkeypatch.setattr(neighbours, "HELD", 40)  # four rows at a time
    vectors = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    expected = np.where(cosines >= np.sort(cosines, 1)[:, [-3]], np.maximum(cosines, 0) ** 4, 0)
    np.testing.assert_allclose(from_vectors(vectors, most=3).toarray(), expected, atol=1e-6)


def test_one_item_has_no_neighbour():
    assert from_vectors(np.ones((1, 3), np.float32)).shape == (1, 1)
    assert from_vectors(np.ones((1, 3), np.float32)).nnz == 0
