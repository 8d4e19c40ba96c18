"""recommend: what follows what is learnt, lists keep their rules, every item has its reason, and what is saved answers the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.apps.fitting import Known, fitted
from shoplm.apps.recommend import RecommendConfig, Recommender, described
from shoplm.errors import BundleError, DataError
from shoplm.retrieve.histories import Histories

ITEMS = 30
IDS = [f"i{at}" for at in range(ITEMS)]
TEXTS = [f"{'red' if at % 2 else 'blue'} thing{at // 3} of kind{at % 5}" for at in range(ITEMS)]


def walks(shoppers=150, seed=0):
    """Shoppers who go from an item to the one after it, sometimes past one."""
    random = np.random.default_rng(seed)
    lists = []
    for _ in range(shoppers):
        at = int(random.integers(ITEMS))
        lists.append([(at := (at + (1 if random.random() < 0.9 else 2)) % ITEMS) for _ in range(6)])
    return Histories.of(lists)


@pytest.fixture(scope="module")
def recommender():
    histories = walks()
    return fitted(histories, np.arange(len(histories.items)), Known(IDS, TEXTS), RecommendConfig())


def test_what_follows_what_is_learnt(recommender):
    lists, _ = recommender.lists(Histories.of([[7, 8], [20]]), 3)
    assert lists[:, 0].tolist() == [9, 21]
    assert set(recommender.sources) == {"next", "together", "similar", "popular"}
    assert recommender.chosen["next"]["count"]["ordered"] is True
    assert len(described(recommender)) == 8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=8), min_size=1, max_size=4),
    st.integers(1, 40),
    st.sets(st.integers(0, ITEMS - 1)),
)
def test_a_list_has_no_item_twice_none_seen_none_barred_and_the_best_first(recommender, histories, k, shut):
    barred = np.zeros(ITEMS, bool)
    barred[list(shut)] = True
    lists, scores = recommender.lists(Histories.of(histories), k, barred)
    assert lists.shape == scores.shape == (len(histories), k)
    for row, history in enumerate(histories):
        items = lists[row][lists[row] >= 0].tolist()
        assert len(set(items)) == len(items)
        assert not set(items) & (set(history) | shut)
        assert (np.diff(scores[row][: len(items)]) <= 0).all()
        assert (lists[row][len(items) :] == -1).all()


def test_seen_items_may_be_kept(recommender):
    kept = Recommender(**{**recommender.__dict__, "config": RecommendConfig(seen="kept")})
    alone, _ = kept.lists(Histories.of([[3, 4, 3]]), ITEMS)
    assert {3, 4} <= set(alone[0].tolist())


def test_a_new_shopper_gets_what_is_popular(recommender):
    lists, _ = recommender.lists(Histories.of([[]]), 5)
    popular, _ = recommender.lists(Histories.of([[]]), 5, alone="popular")
    assert lists.tolist() == popular.tolist()
    counted = recommender.sources["popular"].counts
    assert (np.diff(counted[lists[0]]) <= 0).all()


def test_a_reason_names_the_source_and_the_act_that_say_most(recommender):
    history = Histories.of([[2, 25, 10]])
    found = recommender.because(history, [11])[0]
    assert found.source in ("next", "together")
    assert found.act == 2  # item 10
    assert sum(found.shares.values()) == pytest.approx(1, abs=1e-3)
    assert max(found.shares, key=found.shares.get) == found.source
    assert recommender.because(Histories.of([[]]), [int(recommender.counts.argmax())])[0].act is None


def test_without_the_act_that_is_named_an_item_falls(recommender):
    with_it, without = Histories.of([[2, 25, 10]]), Histories.of([[2, 25]])
    scores = []
    for history in (with_it, without):
        lists, worth = recommender.lists(history, ITEMS)
        place = np.flatnonzero(lists[0] == 11)
        scores.append(float(worth[0][place[0]]) if len(place) else -np.inf)
    assert scores[0] > scores[1]


def test_what_is_saved_answers_the_same(recommender, tmp_path):
    recommender.save(tmp_path)
    again = Recommender.load(tmp_path)
    asked = walks(20, seed=3)
    for ours, theirs in zip(recommender.lists(asked, 7), again.lists(asked, 7), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.ids == recommender.ids
    (tmp_path / "next.npz").write_bytes((tmp_path / "next.npz").read_bytes()[:200])
    with pytest.raises(BundleError, match="train it again"):
        Recommender.load(tmp_path)


def test_an_old_favourite_is_popular_no_longer():
    old, new = [[0, 1]] * 30, [[2, 3]] * 12
    histories = Histories.of(old + new)
    day = 86_400_000_000
    times = np.array([day] * 60 + [day * 400] * 24)
    found = fitted(histories, times, Known(IDS[:5]), RecommendConfig(half_life_days=30))
    assert set(found.lists(Histories.of([[]]), 2)[0][0].tolist()) == {2, 3}
    assert "similar" not in found.sources


def test_where_nobody_comes_back_nothing_can_be_learnt():
    with pytest.raises(DataError, match="no shopper has two acts"):
        fitted(Histories.of([[1], [2]]), np.zeros(2, np.int64), Known(IDS), RecommendConfig())
