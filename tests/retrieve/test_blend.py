"""All sources together: who is a candidate, what each source says, and weights that are learnt from what was taken next."""

import numpy as np
from scipy import sparse

from shoplm.retrieve.blend import Popularity, gather, learn, names, ranked
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.neighbours import MemoryConfig, Neighbours


def source(rows):
    return Neighbours(sparse.csr_array(np.array(rows, np.float32)), MemoryConfig(recency=1.0))


A = source([[0, 4, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
B = source([[0, 0, 5, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_candidates_are_all_that_some_source_names_with_shares_and_ranks():
    found = gather({"a": A, "b": B}, Histories.of([[0], [1], [2]]))
    assert names(["a", "b"]) == ["a score", "a rank", "b score", "b rank"]
    assert found.items.tolist() == [1, 2, 3]
    assert found.start.tolist() == [0, 2, 3, 3]
    # the first of a list 1 / log2(2) = 1, the second 1 / log2(3) = .6309
    expected = [[1, 1, 0, 0], [0.5, 0.6309, 1, 1], [0, 0, 1, 1]]
    np.testing.assert_allclose(found.says, expected, atol=1e-4)


def test_removed_items_are_no_candidates_and_leave_the_first_place_to_others():
    found = gather({"a": A}, Histories.of([[0]]), removed=Histories.of([[1, 0]]))
    assert found.items.tolist() == [2]
    np.testing.assert_allclose(found.says, [[1, 1]])


def test_a_source_names_no_more_than_it_may():
    assert gather({"a": A}, Histories.of([[0]]), most=1).items.tolist() == [1]


def test_popularity_names_the_same_for_all_and_nothing_that_nobody_acted_on():
    found = Popularity(np.array([1, 0, 5, 3], np.float32), most=3).scores(Histories.of([[0], []])).toarray()
    np.testing.assert_array_equal(found, [[1, 0, 5, 3], [1, 0, 5, 3]])


def test_weights_learn_which_source_is_right():
    random = np.random.default_rng(0)
    right, wrong = np.zeros((40, 40), np.float32), random.random((40, 40)).astype(np.float32)
    after = random.permutation(40)
    right[np.arange(40), after] = 1
    right += 0.5 * random.random((40, 40)).astype(np.float32)
    sources = {"right": source(right), "wrong": source(wrong)}
    asked = Histories.of([[item] for item in range(40)])
    found = gather(sources, asked, most=40)
    weights = learn(found, after.astype(np.int32))
    assert weights[:2].sum() > weights[2:].sum() * 3
    items, scores = ranked(found, weights, 5)
    assert (items[:, 0] == after).mean() > 0.9
    assert (np.diff(scores, axis=1) <= 0).all()


def test_where_nobody_took_a_candidate_all_sources_count_alike():
    assert learn(gather({"a": A}, Histories.of([[0]])), np.array([3], np.int32)).tolist() == [1, 1]


def test_no_source_counts_against_what_it_names():
    # what the only source names first is never taken, so without a bound its weights would turn its order round
    weights = learn(gather({"a": A}, Histories.of([[0]] * 20)), np.array([2] * 20, np.int32))
    assert weights.tolist() == np.array([1e-3, 1e-3], np.float32).tolist()
    assert ranked(gather({"a": A}, Histories.of([[0]])), weights, 1)[0].tolist() == [[1]]


def test_a_shopper_without_candidates_has_an_empty_list():
    items, scores = ranked(gather({"a": A}, Histories.of([[3], [0]])), np.ones(2, np.float32), 3)
    assert items.tolist() == [[-1, -1, -1], [1, 2, -1]]
    assert np.isneginf(scores[0]).all()
