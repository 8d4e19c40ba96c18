"""The sequence encoder looks back only, answers no differently beside others, and knows a cold item by its text."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shoplm.errors import ConfigError
from shoplm.model import behaviour
from shoplm.model.behaviour import NEXT, Behaviour, BehaviourConfig
from shoplm.text.batch import Batch
from shoplm.train.loop import FitConfig, fit, start
from shoplm.train.plan import Plan

ITEMS = 12


def model(counts=None, texts=None, **settings):
    torch.manual_seed(0)
    config = BehaviourConfig(**{"width": 16, "depth": 2, "heads": 2, "last": 8, "dropout": 0.0, **settings})
    return Behaviour(ITEMS, config, np.full(ITEMS, 9) if counts is None else counts, texts).eval()


def batch(histories):
    """Every act but the last, with the one that follows as target."""
    length = max(map(len, histories)) - 1
    ids, mask, after = (np.full((len(histories), length), fill, np.int64) for fill in (0, 0, -1))
    for row, history in enumerate(histories):
        ids[row, : len(history) - 1], mask[row, : len(history) - 1], after[row, : len(history) - 1] = history[:-1], 1, history[1:]
    return Batch(ids, mask, np.zeros_like(mask), np.arange(len(histories)), {NEXT: after})


@torch.no_grad()
def test_no_place_sees_what_comes_after_it():
    found, other = (model()(torch.tensor([ids])) for ids in ([1, 2, 3, 4, 5], [1, 2, 3, 9, 11]))
    # two kernels may sum in another order; float32 knows directions of length one to about 1e-7
    torch.testing.assert_close(found[:, :3], other[:, :3], rtol=0, atol=1e-6)
    assert not torch.allclose(found[:, 3:], other[:, 3:], atol=1e-3)


@torch.no_grad()
def test_a_shopper_is_answered_the_same_alone_and_beside_a_longer_history():
    alone = model().state(np.array([[1, 2, 3]]), np.array([3]))
    beside = model().state(np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]]), np.array([3, 6]))
    torch.testing.assert_close(alone[0], beside[0], rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_loss_against_all_items_is_the_cross_entropy_of_scaled_cosines():
    network, asked = model(), batch([[1, 2, 3], [4, 5]])
    assert network.counts(asked) == {NEXT: 3.0}
    found = network.losses(asked)[NEXT]
    logits = network.scale * network(torch.from_numpy(asked.ids)) @ F.normalize(network.vectors(), dim=-1).T
    plain = -sum(F.log_softmax(logits[row, at], -1)[item] for row, at, item in [(0, 0, 2), (0, 1, 3), (1, 0, 5)])
    assert found.count == 3
    assert float(found.total) == pytest.approx(float(plain), rel=1e-5)


@torch.no_grad()
def test_drawn_negatives_give_the_loss_against_all_items_in_the_mean():
    asked = batch([[1, 2, 3, 4], [5, 6, 7]])
    whole = float(model(scale=2.0).losses(asked)[NEXT].total)
    drawn = model(scale=2.0, negatives=6)
    torch.manual_seed(1)
    found = np.array([float(drawn.losses(asked)[NEXT].total) for _ in range(600)])
    # the log of a mean is above the mean of logs, so few negatives come out a little low; without the correction by
    # items / drawn they would be low by about log(2) for each of the five places
    assert 0 < whole - found.mean() < 0.2 * 5 * np.log(2)


def test_negatives_are_drawn_only_where_there_are_more_items_than_fit(monkeypatch):
    assert model()._drawn() is None
    monkeypatch.setattr(behaviour, "FULL", 5)
    assert model()._drawn() is None  # 4,096 are no fewer than all twelve
    assert len(model(negatives=3)._drawn()) == 3


def test_a_cold_item_is_its_text_and_a_warm_one_mostly_its_own_vector():
    counts = np.array([0, 5, 995, *[9] * 9])
    texts = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
    network = model(counts, texts, warm=5.0)
    said = network.said(F.normalize(torch.from_numpy(texts), dim=-1))
    own = network.vectors() - said
    torch.testing.assert_close(own[0], torch.zeros(16))
    torch.testing.assert_close(own[1], network.own.weight[1] * 0.5)  # 5 of 5 + 5
    torch.testing.assert_close(own[2], network.own.weight[2] * 0.995)  # 995 of 1000


def test_the_loop_teaches_it_what_follows_what():
    network = model(width=32)
    histories = [[(start_ + step) % ITEMS for step in range(6)] for start_ in range(ITEMS)]
    lengths = np.full(len(histories), 5)
    config = FitConfig(epochs=40, batch_size=6, learning_rate=3e-3, precision="fp32", accumulate=1, average=0.0)
    for _ in fit(
        network, lambda rows: (batch([histories[at] for at in rows]), None), Plan(lengths, 40, 6, None, 0), config, start(network, config)
    ):
        pass
    state = network.state(np.arange(ITEMS)[:, None], np.ones(ITEMS, np.int64))
    best = (state @ F.normalize(network.vectors(), dim=-1).T).argmax(1)
    assert best.tolist() == [(item + 1) % ITEMS for item in range(ITEMS)]


def test_a_width_that_its_heads_do_not_divide_is_said():
    with pytest.raises(ConfigError, match="width=10 is no multiple of heads=4"):
        BehaviourConfig.of({"width": 10, "heads": 4})
