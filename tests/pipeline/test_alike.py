"""Vectors of texts that learn from acts: which pairs are read, and that a new item is found by its text."""

import numpy as np

from shoplm.apps.recommend import RecommendConfig
from shoplm.pipeline import alike
from shoplm.pipeline.alike import Together
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.neighbours import MemoryConfig, Neighbours, from_vectors


def test_pairs_are_those_of_one_shopper_within_the_window_on_two_items():
    found = alike.pairs(Histories.of([[1, 2, 3], [4], [5, 5, 6]]), window=2)
    assert sorted(map(tuple, found.tolist())) == [(1, 2), (1, 3), (2, 3), (5, 6), (5, 6)]
    assert alike.pairs(Histories.of([[1], []])).shape == (0, 2)


def world(items=60, kinds=6, seed=0):
    """Items of some kinds; a text is one direction for the kind, little beside much that says nothing. Shoppers keep to a kind."""
    random = np.random.default_rng(seed)
    kind = np.arange(items) % kinds
    texts = 2 * random.normal(size=(items, 48)).astype(np.float32)
    texts[:, :kinds] = 2 * np.eye(kinds)[kind] + 0.3 * random.normal(size=(items, kinds))
    histories = [random.choice(np.flatnonzero(kind == random.integers(kinds)), 6).tolist() for _ in range(300)]
    return kind, texts, histories


def test_a_new_item_is_found_by_a_text_that_goes_with_what_was_done():
    kind, texts, histories = world()
    new = np.arange(54, 60)  # one of each kind, that nobody acts on
    known = Histories.of([[item for item in history if item < 54] for history in histories])
    vectors = alike.learn(known, texts, RecommendConfig())
    share = []
    for found in (texts, vectors):
        scores = Neighbours(from_vectors(found), MemoryConfig()).scores(known).toarray()[:, new]
        right = [kind[new[row.argmax()]] == kind[history[0]] for row, history in zip(scores, histories, strict=True)]
        share.append(np.mean(right))
    assert share[1] > 0.75  # one of six by chance
    assert share[1] > share[0] + 0.1


def test_learning_is_determined_by_the_seed():
    _, texts, histories = world()
    first, again, other = (alike.learn(Histories.of(histories[:40]), texts, RecommendConfig(seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_allclose(first, again, atol=1e-5)  # the last bit of float32 depends on where an array lies
    assert np.abs(first - other).max() > 1e-3


def test_without_pairs_texts_still_have_vectors():
    vectors = alike.learn(Histories.of([[1], [2]]), world()[1], RecommendConfig())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_of_many_pairs_some_are_drawn_so_that_time_is_bounded(monkeypatch):
    monkeypatch.setattr(alike, "STEPS", 2)
    monkeypatch.setattr(alike, "PAIRS", 8)
    seen = []
    monkeypatch.setattr(alike, "Together", lambda codes: seen.append(len(codes)) or Together(codes))
    _, texts, histories = world()
    alike.learn(Histories.of(histories), texts, RecommendConfig())
    assert seen == [16]
