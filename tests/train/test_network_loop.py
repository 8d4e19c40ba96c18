"""The loop over real networks: micro-batches of every head, kept states or not, give the gradient of the whole step."""

import numpy as np
import pytest
import torch

from shoplm.model.adapters import AdapterConfig, attach
from shoplm.model.network import Network
from shoplm.model.specs import Choice, Labels, Score, Spans, Text
from shoplm.text.batch import Batch
from shoplm.text.render import Prompt, Segment
from shoplm.train import loop
from shoplm.train.loop import FitConfig, gradient
from shoplm.train.start import heads_from_features

TEXTS = ["where is my order", "lovely", "the dress is soft and warm", "never again", "refund me please"]
SPECS = {
    "label": Choice(("a", "b")),
    "tags": Labels(("x", "y", "z"), 0.7),
    "stars": Score("regression", 1, 5, weight=0.5),
    "words": Text("causal", weight=0.1),
    "spans": Spans(("x", "y"), 0.3),
}


def made(fresh, kind, method="full"):
    backbone = fresh(kind)
    torch.manual_seed(0)
    network = Network(backbone, SPECS, attach(backbone, AdapterConfig(method=method, layers=1, r=4), "toy")).train()
    tokens = backbone.tokenizer.encode([Prompt((Segment(text),)) for text in TEXTS])
    batch = tokens.batch(np.arange(5), backbone.tokenizer.pad)
    targets = {
        "label": np.array([0, -1, 1, -1, 1]),
        "tags": np.array([[1, 0, np.nan], [np.nan] * 3, [0, np.nan, 1], [1, 1, 1], [np.nan, 0, 0]], np.float32),
        "stars": np.array([1, np.nan, np.nan, 5, 2], np.float32),
        "words": np.where(batch.mask > 0, batch.ids, -1),
        "spans": np.where((batch.mask > 0) & (batch.ids % 3 > 0), batch.ids % 5, -1),
    }
    return network, Batch(batch.ids, batch.mask, batch.part, batch.rows, targets, np.array([1, 2, 0.5, 1, 1], np.float32))


@pytest.mark.parametrize("accumulate", [2, 3, 5])
@pytest.mark.parametrize("keeps", [False, True], ids=["computed", "kept"])
def test_micro_batches_add_up_to_the_gradient_of_the_weighted_means(fresh, kind, accumulate, keeps):
    network, batch = made(fresh, kind)
    trunk = network.trunk(batch) if keeps else None
    losses = network.losses(batch)
    assert {name: tally.count for name, tally in losses.items()} == pytest.approx(network.counts(batch))
    torch.stack([SPECS[name].weight * tally.mean for name, tally in losses.items()]).sum().backward()
    wanted = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    found = gradient(network, batch, trunk, accumulate, "fp32")
    for name, tally in found.items():
        assert tally.count == pytest.approx(losses[name].count)
        assert tally.total == pytest.approx(losses[name].total.item(), rel=1e-5)
    ours = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    size = max(float(grad.abs().max()) for grad in wanted.values())
    # float32 sums in another order, over rows padded less; relative to the largest gradient
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-5 * size)


def test_heads_begin_from_the_labelled_rows_that_train(fresh):
    network, batch = made(fresh, "bert")
    network.eval()
    tokens = network.backbone.tokenizer.encode([Prompt((Segment(text),)) for text in TEXTS])
    settings = FitConfig(precision="fp32")
    heads_from_features(network, tokens, {name: batch.targets[name] for name in ("label", "stars", "tags")}, 3, None, settings)
    with torch.no_grad():
        pooled = torch.nn.functional.normalize(network.states(batch).pooled, dim=-1)
    # float32: those rows were pooled in batches of their own
    torch.testing.assert_close(network.heads["label"].weight.detach(), pooled[[0, 2]], rtol=0, atol=1e-4)
    assert network.heads["stars"].out.bias.item() == pytest.approx((1 - 1) / 4)  # of the first three rows one has stars
    found = torch.sigmoid(network.heads["tags"].out.bias.detach())
    torch.testing.assert_close(found, torch.tensor([0.5, 0.01, 0.99]), rtol=0, atol=1e-6)  # of the rows that train, never quite sure


def test_heads_that_begin_from_targets_alone_cost_no_pass_through_the_backbone(fresh, monkeypatch):
    network, batch = made(fresh, "bert")
    tokens = network.backbone.tokenizer.encode([Prompt((Segment(text),)) for text in TEXTS])
    monkeypatch.setattr(network, "states", lambda *_: pytest.fail("the backbone was asked"))
    heads_from_features(network, tokens, {name: batch.targets[name] for name in ("stars", "tags")}, 3, None, FitConfig(precision="fp32"))
    assert network.heads["tags"].out.bias.detach().abs().max() > 0


@pytest.mark.parametrize(("accumulate", "pieces"), [(None, 3), (1, 1), (2, 2)])
def test_a_batch_of_many_tokens_is_taken_in_pieces_unless_their_number_is_set(fresh, monkeypatch, accumulate, pieces):
    network, batch = made(fresh, "bert")
    monkeypatch.setattr(loop, "MICRO_TOKENS", -(-batch.ids.size // 3))
    seen = []
    losses = network.losses
    monkeypatch.setattr(network, "losses", lambda part, trunk=None: seen.append(len(part)) or losses(part, trunk))
    gradient(network, batch, None, accumulate, "fp32")
    assert len(seen) == pieces
    assert sum(seen) == len(batch)
