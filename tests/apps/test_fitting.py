"""What steers is no part of what is counted; what was shown is told from what is liked; repeated wants are listed again."""

import numpy as np
import pytest

from shoplm.apps.fitting import Known, fitted, renewed
from shoplm.apps.recommend import RecommendConfig, Recommender
from shoplm.retrieve.blend import names
from shoplm.retrieve.exposures import Exposures
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.tastes import Tastes

ITEMS, KINDS = 40, 4
IDS = [f"i{at}" for at in range(ITEMS)]
KIND = (np.arange(ITEMS) % KINDS).astype(np.int32)
DAY = 86_400_000_000


def shoppers(count=300, acts=8, seed=0):
    """Each likes one kind and takes items of it, once a day; and the lists that each was shown the same days: one kind far too often."""
    rng = np.random.default_rng(seed)
    items, shown, clicked = [], [], []
    for who in range(count):
        likes = who % KINDS
        items.append(rng.choice(np.flatnonzero(likes == KIND), acts, replace=False))
        for _ in range(acts):
            kinds = rng.choice(KINDS, 5, p=[0.7, 0.1, 0.1, 0.1])
            shown.append(rng.integers(0, ITEMS // KINDS, 5) * KINDS + kinds)
            clicked.append(rng.random(5) < np.where(kinds == likes, 0.6, 0.05))
    start = (np.arange(count + 1) * acts).astype(np.int64)
    at_us = np.tile((np.arange(acts) * DAY) + DAY // 2, count)
    order = np.argsort(at_us, kind="stable")
    whose, lists = np.repeat(np.arange(count), acts)[order], np.array(shown, np.int32)[order]
    exposures = Exposures(
        whose,
        at_us[order] - DAY // 4,
        lists.ravel(),
        np.arange(len(lists) + 1) * 5,
        np.array(clicked)[order].ravel(),
        at_us[order] - DAY // 5,
    )
    return Histories(np.concatenate(items).astype(np.int32), start), at_us, exposures


@pytest.fixture(scope="module")
def learnt():
    histories, at_us, shown = shoppers()
    return fitted(histories, at_us, Known(IDS, None, {"kind": KIND}, shown), RecommendConfig(sequence=False))


def test_a_shoppers_taste_decides_what_is_listed_and_not_what_the_shop_showed_most(learnt):
    for likes in range(KINDS):
        lists, _ = learnt.lists(Histories.of([np.flatnonzero(likes == KIND)[:2].tolist()]), 5)
        assert (KIND[lists[0]] == likes).all()
    weights = dict(zip(names(list(learnt.sources)), learnt.weights.tolist(), strict=True))
    assert weights["popular score"] < 0.1 * max(weights.values())


def test_tastes_and_what_is_liked_come_back_from_a_bundle(learnt, tmp_path):
    learnt.save(tmp_path)
    again = Recommender.load(tmp_path)
    asked = Histories.of([[0, 4], [], [3]])
    assert list(again.sources) == list(learnt.sources)
    assert isinstance(again.sources["tastes"], Tastes)
    for ours, theirs in zip(again.lists(asked, 7), learnt.lists(asked, 7), strict=True):
        assert (ours == theirs).all()


def test_over_more_acts_powers_and_weights_stay_and_counts_do_not(learnt):
    histories, at_us, shown = shoppers(seed=1)
    more = renewed(learnt, histories, at_us, shown=shown)
    assert more.sources["tastes"].config == learnt.sources["tastes"].config
    assert (more.weights == learnt.weights).all()
    assert (more.sources["liked"].counts != learnt.sources["liked"].counts).any()
    assert (renewed(learnt, histories, at_us).sources["liked"].counts == learnt.sources["liked"].counts).all()


def test_what_steers_is_never_counted(learnt, monkeypatch):
    counted = []
    from shoplm.apps import fitting

    plain = fitting._counted

    def spy(histories, *more):
        counted.append(len(histories.items))
        return plain(histories, *more)

    monkeypatch.setattr(fitting, "_counted", spy)
    histories, at_us, shown = shoppers()
    fitted(histories, at_us, Known(IDS, None, {"kind": KIND}, shown), RecommendConfig(sequence=False))
    early = int((at_us < np.quantile(shown.at_us, 0.75)).sum())
    assert set(counted[:-2]) == {early}  # the last two count all, once everything is chosen
    assert set(counted[-2:]) == {len(at_us)}


@pytest.mark.parametrize(("again", "seen"), [(True, "kept"), (False, "removed")])
def test_seen_items_are_listed_again_where_shoppers_take_them_again(again, seen):
    rng = np.random.default_rng(0)
    histories = Histories.of([(([who % 9, (who + 1) % 9] * 3) if again else rng.permutation(9)[:6].tolist()) for who in range(90)])
    found = fitted(histories, np.arange(540) * DAY, Known([f"i{at}" for at in range(9)]), RecommendConfig(sequence=False))
    assert found.seen == seen
