"""The sequence model's answers in NumPy are those of the network, and its rules as a source hold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from shoplm.apps.recommend import RecommendConfig
from shoplm.model.behaviour import Behaviour, BehaviourConfig
from shoplm.pipeline.following import answering
from shoplm.retrieve.following import Following
from shoplm.retrieve.histories import Histories

ITEMS = 12
HISTORIES = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=11), min_size=1, max_size=5)


def both(last=8, **settings):
    """A network with weights that are all in use, and what answers for it."""
    torch.manual_seed(1)
    texts = np.random.default_rng(0).normal(size=(ITEMS, 5)).astype(np.float32)
    network = Behaviour(ITEMS, BehaviourConfig(width=16, depth=2, heads=2, last=last, **settings), np.arange(ITEMS), texts).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return network, answering(network, RecommendConfig(), 1)


NETWORK, FOLLOWING = both()


@settings(max_examples=40, deadline=None)
@given(HISTORIES)
def test_what_numpy_computes_is_what_the_network_computes(histories):
    found = FOLLOWING.state(Histories.of(histories))
    for row, history in enumerate(histories):
        if not history:
            assert not found[row].any()
            continue
        plain = NETWORK.state(np.array([history[-8:]]), np.array([len(history[-8:])]))[0]
        # float32 sums in another order, over some dozens of numbers of about unit size
        np.testing.assert_allclose(found[row], plain.numpy(), rtol=0, atol=2e-5)


@settings(max_examples=25, deadline=None)
@given(HISTORIES, st.integers(1, ITEMS))
def test_scores_are_chances_over_the_best_and_name_the_likeliest_alone(histories, most):
    asked = Histories.of(histories)
    source = Following(**{**FOLLOWING.__dict__, "most": most})
    found = source.scores(asked)
    assert found.shape == (len(histories), ITEMS)
    assert np.diff(found.indptr).tolist() == [most if history else 0 for history in histories]
    assert (found.data > 0).all()
    for row, history in enumerate(histories):
        if history:
            vectors = F.normalize(NETWORK.vectors().detach(), dim=-1)
            state = NETWORK.state(np.array([history[-8:]]), np.array([len(history[-8:])]))[0]
            logits = (NETWORK.scale.detach() * vectors @ state).numpy()
            best = np.sort(np.exp(logits - logits.max()))[::-1][:most]
            np.testing.assert_allclose(np.sort(found[[row]].data)[::-1], best, rtol=1e-3)


def test_more_shoppers_than_are_computed_at_once_are_answered_in_their_order(monkeypatch):
    random = np.random.default_rng(3)
    asked = Histories.of([random.integers(0, ITEMS, size).tolist() for size in random.integers(0, 10, 23)])
    whole = FOLLOWING.scores(asked).toarray()
    monkeypatch.setattr("shoplm.retrieve.following.ROWS", 4)
    # a product of other shape sums in another order
    np.testing.assert_allclose(FOLLOWING.scores(asked).toarray(), whole, rtol=1e-3, atol=1e-6)


def test_the_order_of_acts_counts():
    found = FOLLOWING.scores(Histories.of([[1, 2, 3], [3, 2, 1]])).toarray()
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_without_an_act_is_what_the_others_alone_say():
    found = FOLLOWING.without(Histories.of([[4, 7, 2]]))
    plain = FOLLOWING.state(Histories.of([[7, 2], [4, 2], [4, 7]]))
    np.testing.assert_allclose(found, plain, atol=2e-5)
    assert FOLLOWING.without(Histories.of([[4]])).tolist() == [[0.0] * 16]
    assert FOLLOWING.without(Histories.of([[]])).shape == (0, 16)


def test_what_is_kept_answers_the_same():
    again = Following.of(FOLLOWING.vectors, FOLLOWING.weights, FOLLOWING.plain())
    assert again.plain() == {"depth": 2, "heads": 2, "last": 8, "passes": 1, "most": 400}
    np.testing.assert_array_equal(again.state(Histories.of([[1, 5]])), FOLLOWING.state(Histories.of([[1, 5]])))


def test_one_answer_on_ten_thousand_items_takes_some_milliseconds():
    import time

    torch.manual_seed(0)
    network = Behaviour(10_000, BehaviourConfig(), np.full(10_000, 9))
    source = answering(network, RecommendConfig(), 1)
    asked = Histories.of([list(range(50))])
    source.scores(asked)
    begin = time.process_time()
    for _ in range(5):
        source.scores(asked)
    assert (time.process_time() - begin) / 5 < 0.1  # about 5 ms where nobody else is at work


def test_a_network_without_texts_answers_too():
    network = Behaviour(ITEMS, BehaviourConfig(width=16, heads=2), np.arange(ITEMS) + 1).eval()
    found = answering(network, RecommendConfig(), 3)
    assert found.passes == 3
    assert found.state(Histories.of([[1]]))[0] == pytest.approx(network.state(np.array([[1]]), np.array([1]))[0].numpy(), abs=2e-5)


def test_acts_that_say_nothing_are_not_read_and_a_long_history_is_cut():
    items = np.array([1, 5, 2, 7], np.int32)
    weighed = Histories(items, np.array([0, 4]), np.array([1, 0, 0.3, 1], np.float32))
    assert (FOLLOWING.scores(weighed).toarray() == FOLLOWING.scores(Histories.of([[1, 2, 7]])).toarray()).all()
    assert FOLLOWING.reads(weighed).tolist() == [0, 2, 3]
    assert (FOLLOWING.without(weighed) == FOLLOWING.without(Histories.of([[1, 2, 7]]))).all()
    long = Histories.of([np.arange(100_000) % ITEMS])
    assert len(FOLLOWING.without(long)) == 8
    assert FOLLOWING.reads(long)[0] == 99_992
