"""Item vectors: the loss is that of the other item among the batch's, and items that go together come to lie together."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shoplm.model.itemvec import PAIR, ItemVectorConfig, ItemVectors
from shoplm.text.batch import Batch

TEXTS = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
COUNTS = np.array([1, 2, 3, 4, 5, 6, 7, 0])


def model(**settings):
    torch.manual_seed(0)
    return ItemVectors(TEXTS, COUNTS, ItemVectorConfig(**{"width": 8, "inner": 4, "dropout": 0.0, **settings})).eval()


def batch(pairs):
    ids = np.array(pairs, np.int64)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids), np.arange(len(ids)))


@torch.no_grad()
def test_the_loss_is_that_of_the_other_item_among_the_batchs_each_by_its_share():
    network, pairs = model(), [(0, 1), (2, 3), (4, 1)]
    vectors = torch.from_numpy(network.vectors())
    expected = 0.0
    for side, other in ((0, 1), (1, 0)):
        for row, pair in enumerate(pairs):
            against = [at for at, one in enumerate(pairs) if at == row or one[other] != pair[other]]  # 1 stands twice: no wrong answer
            logits = torch.stack(
                [vectors[pair[side]] @ vectors[pairs[at][other]] / 0.07 - np.log(COUNTS[pairs[at][other]] + 1) for at in against]
            )
            expected -= float(F.log_softmax(logits, 0)[against.index(row)])
    found = network.losses(batch(pairs))[PAIR]
    assert found.count == network.counts(batch(pairs))[PAIR] == 6
    assert float(found.total) == pytest.approx(expected, rel=1e-5)


def test_vectors_have_length_one_and_no_item_has_weights_of_its_own():
    network = model()
    assert np.linalg.norm(network.vectors(), axis=1) == pytest.approx(np.ones(8), abs=1e-6)
    twice = ItemVectors(TEXTS[[0, 1, 2, 3, 0, 1, 2, 3]], COUNTS, network.config).eval()
    np.testing.assert_array_equal(twice.vectors()[:4], twice.vectors()[4:])
    assert set(network.state_dict()) == {"straight.weight", "bent.0.weight", "bent.0.bias", "bent.3.weight"}


def test_without_an_inner_part_the_map_is_linear():
    network = model(inner=0)
    twice = network(network.texts + network.texts.flip(0))
    plain = F.normalize(network.straight(network.texts) + network.straight(network.texts.flip(0)), dim=-1)
    torch.testing.assert_close(twice, plain)
