"""Tastes are odds: equal to naive Bayes counted by hand, and their powers those that made the clicks."""

import numpy as np
import pytest

from shoplm.retrieve.exposures import Exposures
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.neighbours import MemoryConfig
from shoplm.retrieve.tastes import TasteConfig, Tastes, banded, coded

KIND = np.array([0, 0, 1, 1, -1], np.int32)
BRAND = np.array([0, 1, 0, 1, 1], np.int32)
COUNTS = np.array([3, 1, 4, 0, 2], np.float32)
LIKED = np.array([0.1, 0.3, 0.2, 0.2, 0.05], np.float32)
FLAT = MemoryConfig(recency=1.0)


def by_hand(history, powers, common=0.5, smoothing=2.0):
    """The odds of every item, one after the other, the best 1."""
    worth = []
    for item in range(5):
        log = common * np.log(COUNTS[item] + 1) + 0.7 * np.log(LIKED[item])
        for name, codes in (("kind", KIND), ("brand", BRAND)):
            if codes[item] < 0:
                continue
            everybody = [sum(COUNTS[i] + 1 for i in range(5) if codes[i] == value) for value in range(2)]
            base = everybody[codes[item]] / sum(everybody)
            own = sum(codes[i] == codes[item] for i in history)
            all_own = sum(codes[i] >= 0 for i in history)
            log += powers[name] * np.log((own + smoothing * base) / (all_own + smoothing) / base)
        worth.append(log)
    return np.exp(np.array(worth) - max(worth))


@pytest.mark.parametrize("powers", [{"kind": 1.0, "brand": 1.0}, {"kind": 0.3, "brand": 2.0}])
def test_scores_are_the_odds_of_naive_bayes(powers):
    source = Tastes({"kind": KIND, "brand": BRAND}, COUNTS, config=TasteConfig(powers=powers, liking=0.7), memory=FLAT, liked=LIKED)
    found = source.scores(Histories.of([[0, 0, 1], [2, 4], []])).toarray()
    np.testing.assert_allclose(found[0], by_hand([0, 0, 1], powers), rtol=1e-5)  # float32
    np.testing.assert_allclose(found[1], by_hand([2, 4], powers), rtol=1e-5)
    assert (found[2] == 0).all()  # nothing is known of one who did nothing


def test_the_best_are_named_and_blocks_do_not_matter(monkeypatch):
    whole = Tastes({"kind": KIND}, COUNTS, config=TasteConfig(most=2), memory=FLAT)
    asked = Histories.of([[0], [], [2], [3]])
    found = whole.scores(asked)
    assert np.diff(found.indptr).tolist() == [2, 0, 2, 2]
    assert set(found.indices[:2].tolist()) == {0, 1}  # things of the kind acted on
    monkeypatch.setattr("shoplm.retrieve.tastes.BLOCK", 5)
    assert (whole.scores(asked).toarray() == found.toarray()).all()


def test_powers_are_learnt_from_what_was_clicked_among_what_was_shown():
    rng = np.random.default_rng(0)
    kind, noise = rng.integers(0, 4, 60).astype(np.int32), rng.integers(0, 4, 60).astype(np.int32)
    liked = rng.integers(0, 4, 3000)
    histories = Histories.of([rng.choice(np.flatnonzero(kind == each), 3).tolist() for each in liked])
    items = rng.integers(0, 60, (3000, 5)).astype(np.int32)
    clicked = rng.random(items.shape) < np.where(kind[items] == liked[:, None], 0.6, 0.1)
    shown = Exposures(np.arange(3000), np.arange(3000), items.ravel(), np.arange(3001) * 5, clicked.ravel(), np.arange(3000))
    found = Tastes({"kind": kind, "noise": noise}, np.ones(60, np.float32), memory=FLAT).taught(shown, histories)
    # the odds of a click are 1.5 and 1/9 where the lift of the kind is log(3.5 / 5 / .25) and about log(.5 / 5 / .25)
    assert found.config.powers["kind"] == pytest.approx((np.log(1.5) - np.log(1 / 9)) / (np.log(3.5) - np.log(0.5)), rel=0.12)
    assert found.config.powers["noise"] < 0.1


def test_words_of_one_item_alone_and_missing_prices_are_no_facets():
    assert coded(np.array(["a", None, "b", "a", "", "c", "b"], object)).tolist() == [0, -1, 1, 0, -1, -1, 1]
    assert banded(np.array([1.0, np.nan, 2, 3, 4, 5])).tolist() == [0, -1, 1, 2, 3, 4]
    assert banded(np.array([np.nan])).tolist() == [-1]
