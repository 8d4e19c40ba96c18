"""The sequence model learns what follows what, ends where no pass is better, and learns on from what it knew."""

import numpy as np
import pytest

from shoplm.apps import fitting
from shoplm.apps.recommend import RecommendConfig
from shoplm.model.behaviour import NEXT
from shoplm.pipeline import following
from shoplm.pipeline.progress import Silent
from shoplm.retrieve.histories import Histories

ITEMS = 12
CONFIG = RecommendConfig(passes=10, width=32, dropout=0.0, sequence_rate=5e-3)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """As many steps as a large shop would give, of few shoppers."""
    monkeypatch.setattr(following, "ROWS", 24)


class Told(Silent):
    """What was said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def walks(shoppers=240, seed=0):
    random = np.random.default_rng(seed)
    return [[(int(begin) + step) % ITEMS for step in range(5)] for begin in random.integers(0, ITEMS, shoppers)]


def learnt(config=CONFIG, progress=None):
    whole = Histories.of(walks())
    short, wanted, _ = whole.without_last()
    return following.learn(short, wanted, ITEMS, None, config, progress), whole


def test_a_batch_asks_for_the_next_act_at_every_place():
    source = following.Next(Histories.of([[1, 2, 3, 4], [5, 6]]), last=2)
    batch, _ = source(np.array([1, 0]))
    assert source.lengths.tolist() == [2, 1]
    assert batch.ids.tolist() == [[5, 0], [2, 3]]
    assert batch.targets[NEXT].tolist() == [[6, -1], [3, 4]]
    assert batch.mask.tolist() == [[1, 0], [1, 1]]


def test_what_follows_what_is_learnt_and_passes_that_are_no_better_end_it():
    told = Told()
    found, _ = learnt(progress=told)
    scores = found.scores(Histories.of([[(item + step - 3) % ITEMS for step in range(4)] for item in range(ITEMS)])).toarray()
    for item, row in enumerate(scores):
        row[[(item - back) % ITEMS for back in range(4)]] = 0  # passes are judged by lists without what was seen
    best = scores.argmax(1)
    assert best.tolist() == [(item + 1) % ITEMS for item in range(ITEMS)]
    assert len(told.lines) == min(CONFIG.passes, found.passes + following.PATIENCE)
    assert "NDCG at 10" in told.lines[0]


def test_learning_is_determined_by_the_seed():
    first, again, other = (learnt(CONFIG.model_copy(update={"passes": 2, "seed": seed}))[0] for seed in (0, 0, 1))
    np.testing.assert_allclose(first.vectors, again.vectors, atol=1e-5)  # the last bit of float32 depends on where an array lies
    assert np.abs(first.vectors - other.vectors).max() > 1e-3


def test_learning_on_begins_with_what_was_known():
    found, whole = learnt()
    kept = following.further(found, whole, None, CONFIG.model_copy(update={"sequence_rate": 1e-12}))
    assert kept.passes == found.passes
    for name, weight in found.weights.items():
        np.testing.assert_allclose(kept.weights[name], weight, atol=1e-6)
    more = following.further(found, whole, None, CONFIG)
    assert np.abs(more.weights["own.weight"] - found.weights["own.weight"]).max() > 1e-3


def test_without_two_acts_of_anybody_there_is_nothing_to_learn_and_it_still_answers():
    found = following.learn(Histories.of([[1], [2]]), np.array([2, 3], np.int32), ITEMS, None, CONFIG)
    assert found.passes == 0
    assert len(found.scores(Histories.of([[1]])).data) == ITEMS
    assert following.further(found, Histories.of([[1]]), None, CONFIG).passes == 0


@pytest.mark.parametrize("seen", ["removed", "kept"])
def test_passes_are_judged_by_lists_of_the_kind_that_is_asked_for(seen, monkeypatch):
    seen_by = []
    real = fitting.gather
    monkeypatch.setattr(fitting, "gather", lambda *given: seen_by.append(given[3]) or real(*given))
    learnt(CONFIG.model_copy(update={"passes": 1, "seen": seen}))
    assert (seen_by[0] is None) == (seen == "kept")
