"""Ranked lists are judged as the formulas say, shopper by shopper, and differences are paired."""

import numpy as np
import pytest

from shoplm.evaluate.ranking import RankingJudge, difference
from shoplm.retrieve.histories import Histories

COUNTS = np.array([8, 4, 2, 1, 1, 0])


def judged(ranked, wanted, **more):
    judge = RankingJudge(COUNTS, "removed", **more)
    judge.add(np.array(ranked, np.int32), Histories.of(wanted))
    return judge.judgement()


def test_one_wanted_item_at_the_third_place():
    found = judged([[4, 3, 2, 1]], [[2]], at=(4,)).metrics
    assert found["recall_at_4"].value == 1
    assert found["ndcg_at_4"].value == pytest.approx(0.5)  # 1 / log2(2 + 2)
    assert found["mrr_at_4"].value == pytest.approx(1 / 3)
    assert found["map_at_4"].value == pytest.approx(1 / 3)


def test_several_wanted_items_of_which_two_are_found():
    found = judged([[0, 5, 2]], [[0, 2, 3]], at=(3,)).metrics
    assert found["recall_at_3"].value == pytest.approx(2 / 3)
    # gains 1 and 1 / log2(4) over the best, 1 + 1 / log2(3) + 1 / log2(4) = 2.1309
    assert found["ndcg_at_3"].value == pytest.approx(1.5 / 2.1309, abs=1e-4)
    assert found["map_at_3"].value == pytest.approx((1 + 2 / 3) / 3)


def test_an_item_past_k_counts_at_a_larger_k_only():
    found = judged([[0, 1, 2]], [[2]], at=(3, 2)).metrics
    assert found["recall_at_2"].value == 0
    assert found["recall_at_3"].value == 1


def test_an_empty_place_is_no_item_even_beside_another_shoppers():
    found = judged([[-1, -1], [0, -1]], [[5], [0]], at=(2,)).metrics
    assert found["recall_at_2"].value == 0.5


def test_what_the_lists_are_like():
    found = judged([[0, 1], [0, 2]], [[5], [5]], at=(2,)).lists
    assert found["coverage"] == 0.5  # three of six items
    share = (np.array([8, 4, 8, 2]) + 1) / (16 + 6)
    assert found["novelty"] == pytest.approx(-np.log2(share).mean())
    assert found["popularity"] == pytest.approx((1 + 0.8 + 1 + 0.6) / 4)  # of six items five, four, five and three are less acted on


def test_a_slice_holds_its_own_shoppers():
    judge = RankingJudge(COUNTS, "kept", (1,), slices=("cold",))
    judge.add(np.array([[0], [1], [2]], np.int32), Histories.of([[0], [1], [0]]), {"cold": np.array([False, True, True])})
    found = judge.judgement()
    assert found.metrics["recall_at_1"].value == pytest.approx(2 / 3)
    assert found.slices["cold"]["recall_at_1"].value == 0.5
    assert found.slices["cold"]["shoppers"].value == 2
    assert found.plain()["seen"] == "kept"


def test_judging_in_pieces_is_judging_at_once_and_equal_lists_differ_by_nothing():
    random = np.random.default_rng(0)
    ranked = np.argsort(random.random((300, 6)), 1).astype(np.int32)
    wanted = [[int(item)] for item in random.integers(0, 6, 300)]
    whole = judged(ranked, wanted, at=(3,))
    judge = RankingJudge(COUNTS, "removed", (3,))
    for begin in range(0, 300, 70):
        judge.add(ranked[begin : begin + 70], Histories.of(wanted[begin : begin + 70]))
    found = judge.judgement()
    assert found.metrics["ndcg_at_3"].value == pytest.approx(whole.metrics["ndcg_at_3"].value)  # summed in another order
    np.testing.assert_allclose(found.replicates["ndcg_at_3"], whole.replicates["ndcg_at_3"], rtol=1e-5)  # float32 sums
    nothing = difference(whole, whole)["ndcg_at_3"]
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    # the interval of a share p of 300 is about p ± 1.96 √(p (1 - p) / 300) = .5 ± .057; 300 replicates know its ends to a tenth
    recall = whole.metrics["recall_at_3"]
    width = 1.96 * (recall.value * (1 - recall.value) / 300) ** 0.5
    assert recall.high - recall.low == pytest.approx(2 * width, rel=0.25)
