"""What the frozen part computed once is what it would compute again, and never passes for something else's."""

import hashlib

import numpy as np
import pytest
import torch

from shoplm.errors import ResourceError
from shoplm.model.adapters import AdapterConfig, attach
from shoplm.model.network import Network
from shoplm.model.specs import Choice, Text
from shoplm.text.render import Prompt, Segment
from shoplm.train import trunk as module
from shoplm.train.loop import FitConfig, fit, start
from shoplm.train.plan import Plan
from shoplm.train.trunk import Trunk

TEXTS = ["where is my order", "lovely", "the dress is soft and warm", "never again", "", "refund me please", "great value", "my mother"]
SPECS = {"label": Choice(("a", "b", "c"))}


def network_of(backbone, method="full", dropout=0.0, specs=SPECS, layers=1):
    torch.manual_seed(0)
    config = AdapterConfig(method=method, layers=None if method == "head" else layers, dropout=dropout, r=4)
    return Network(backbone, specs, attach(backbone, config, "toy"))


def tokens_of(backbone, texts=TEXTS):
    return backbone.tokenizer.encode([Prompt((Segment(text),)) for text in texts])


def filled(network, tokens, folder, precision="fp32"):
    trunk = Trunk(network, tokens, precision, folder)
    assert list(trunk.fill())[-1] == len(tokens)
    return trunk


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_kept_states_are_bit_for_bit_what_the_same_pass_computes(fresh, tmp_path, kind, method, precision):
    network = network_of(fresh(kind), method)
    tokens = tokens_of(network.backbone)
    # all rows in one pass, as `fill` makes it: in another batch the sums may run in another order
    order = np.argsort(tokens.lengths, kind="stable")
    batch = tokens.batch(order, network.backbone.tokenizer.pad)
    trunk = filled(network, tokens, tmp_path, precision)
    mask = torch.from_numpy(batch.mask).bool() if method != "head" else torch.ones(len(batch), 1, dtype=torch.bool)
    found, computed = trunk.hidden(batch), trunk.compute(batch)
    assert found.shape == computed.shape
    assert found.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert torch.equal(found[mask], computed[mask])
    assert (found[~mask] == 0).all()
    again = Trunk(network, tokens, precision, tmp_path)  # from the disk alone
    assert torch.equal(again.hidden(batch)[mask], computed[mask])


def test_logits_from_kept_states_are_those_of_the_whole_model(fresh, tmp_path, kind):
    network = network_of(fresh(kind)).eval()
    tokens = tokens_of(network.backbone)
    trunk = filled(network, tokens, tmp_path)
    batch = tokens.batch(np.array([5, 0, 4]), network.backbone.tokenizer.pad)
    with torch.no_grad():
        # float32: the states were computed among other neighbours, padded to another length; logits up to 12
        torch.testing.assert_close(network(batch, trunk.hidden(batch))["label"], network(batch)["label"], rtol=0, atol=1e-4)


def test_anything_that_the_numbers_depend_on_changes_the_file_s_name(fresh, tmp_path):
    backbone = fresh("bert")
    tokens = tokens_of(backbone)
    network = network_of(backbone)
    paths = [
        Trunk(network, tokens, "fp32", tmp_path).path,
        Trunk(network, tokens, "bf16", tmp_path).path,
        Trunk(network, tokens_of(backbone, TEXTS[1:]), "fp32", tmp_path).path,
        Trunk(network_of(fresh("bert"), layers=2), tokens, "fp32", tmp_path).path,
        Trunk(network_of(fresh("bert"), "head"), tokens, "fp32", tmp_path).path,
        Trunk(network_of(fresh("bert"), "head", specs={"words": Text("masked")}), tokens, "fp32", tmp_path).path,
        Trunk(network_of(fresh("roberta")), tokens, "fp32", tmp_path).path,
    ]
    other = fresh("bert")
    other.pooling = "first"
    paths.append(Trunk(network_of(other, "head"), tokens, "fp32", tmp_path).path)
    assert len(set(paths)) == len(paths)
    assert Trunk(network_of(fresh("bert")), tokens, "fp32", tmp_path).path == paths[0]


def test_a_truncated_file_is_not_used_and_is_made_again(fresh, tmp_path):
    network = network_of(fresh("bert"))
    tokens = tokens_of(network.backbone)
    path = filled(network, tokens, tmp_path).path
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    again = Trunk(network, tokens, "fp32", tmp_path)
    assert not again.ready
    list(again.fill())
    assert path.read_bytes() == content


def test_a_fill_that_was_stopped_leaves_no_file_of_that_name(fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FILL_TOKENS", 8)
    network = network_of(fresh("bert"))
    trunk = Trunk(network, tokens_of(network.backbone), "fp32", tmp_path)
    next(iter(trunk.fill()))
    assert not trunk.ready
    assert not trunk.path.exists()


def test_a_disk_without_room_is_said_before_anything_is_computed(fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    network = network_of(fresh("bert"))
    trunk = Trunk(network, tokens_of(network.backbone), "fp32", tmp_path)
    with pytest.raises(ResourceError, match="set cache_mb=0"):
        list(trunk.fill())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_training_from_kept_states_is_training_from_computed_ones(fresh, tmp_path, dropout):
    found = []
    for cached in (True, False):
        network = network_of(fresh("bert"), dropout=dropout)
        tokens = tokens_of(network.backbone)
        trunk = filled(network, tokens, tmp_path) if cached else Trunk(network, tokens, "fp32", tmp_path / "none")
        targets = {"label": np.array([0, 1, 2, 0, 1, -1, 2, 1])}

        def source(rows, tokens=tokens, trunk=trunk, network=network, targets=targets):
            batch = tokens.batch(rows, network.backbone.tokenizer.pad, targets)
            return batch, trunk.hidden(batch)

        # not AdamW: where a gradient is rounding alone it makes a whole step of it, whichever way the rounding went
        settings = FitConfig(epochs=2, batch_size=3, learning_rate=0.1, head_rate=0.1, optimizer="sgd", precision="fp32")
        plan = Plan(tokens.lengths, 2, 3, None, 0)
        steps = list(fit(network, source, plan, settings, start(network, settings)))
        found.append(({name: p.detach() for name, p in network.named_parameters()}, [step.loss for step in steps]))
    # not bit for bit: `fill` summed all rows in one pass, padded further than the training batches (float32 rounding);
    # the dropped places are the same, so anything larger would be another run
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-4)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-4)


def test_the_frozen_trunk_keeps_its_bytes_through_training(fresh, tmp_path):
    network = network_of(fresh("gpt2"))
    tokens = tokens_of(network.backbone)
    trunk = filled(network, tokens, tmp_path)
    below = [p for layer in network.backbone.layers[: network.cut] for p in layer.parameters()] + [network.backbone.vocabulary]

    def digest():
        return [hashlib.sha256(p.detach().numpy().tobytes()).hexdigest() for p in below], hashlib.sha256(
            trunk.path.read_bytes()
        ).hexdigest()

    before = digest()
    targets = {"label": np.array([0, 1, 2, 0, 1, -1, 2, 1])}

    def source(rows):
        batch = tokens.batch(rows, network.backbone.tokenizer.pad, targets)
        return batch, trunk.hidden(batch)

    settings = FitConfig(epochs=1, batch_size=3, learning_rate=0.1, head_rate=0.1, precision="fp32")
    assert len(list(fit(network, source, Plan(tokens.lengths, 1, 3, None, 0), settings, start(network, settings)))) == 3
    assert digest() == before
