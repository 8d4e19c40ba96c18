"""Only what should learn learns, and every method on every kind survives the disk with the same logits."""

import hashlib
import json

import numpy as np
import pytest
import torch

from shoplm.errors import BundleError, ConfigError
from shoplm.model import adapters, bundle
from shoplm.model.adapters import AdapterConfig, attach, cut_of
from shoplm.model.bundle import Contents, TaskPart
from shoplm.model.heads import Choice, Score
from shoplm.model.network import Network
from shoplm.pipeline.bundle import run
from shoplm.text.render import Prompt, Segment

METHODS = adapters.METHODS
SPECS = {"label": Choice(("a", "b", "c")), "stars": Score("regression", 1, 5)}
TEXTS = ["where is my order", "lovely", "the dress is soft and warm", "never again", "", "refund me please"]


def network_of(backbone, config, name="toy", seed=0):
    torch.manual_seed(seed)
    return Network(backbone, SPECS, attach(backbone, config, name))


def tokens_of(backbone, texts=TEXTS):
    return backbone.tokenizer.encode([Prompt((Segment(text),)) for text in texts])


def three_steps(network, rate=0.05):
    """A plain loop, so that what a method leaves alone is not our loop's doing."""
    tokens = tokens_of(network.backbone)
    targets = {"label": np.array([0, 1, 2, 0, 1, -1]), "stars": np.array([1, 5, 2, np.nan, 3, 4], np.float32)}
    batch = tokens.batch(np.arange(len(tokens)), network.backbone.tokenizer.pad, targets)
    learning = list(adapters.trainable(network).values())
    optimizer = torch.optim.SGD(learning, lr=rate)
    network.train()
    for _ in range(3):
        optimizer.zero_grad()
        torch.stack([tally.mean for tally in network.losses(batch).values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
    return network.eval()


def bytes_of(network):
    return {name: hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest() for name, tensor in network.named_parameters()}


def kept(folder, backbone, parts, method):
    """Written to disk and read again."""
    contents = Contents(backbone, method == "full", parts, {}, {}, "# card\n")
    bundle.write(contents, folder)
    return bundle.read(folder)


def shaken(kind, folder, share):
    """A backbone pre-trained with dropout everywhere that its kind knows it."""
    import transformers as hf

    config = hf.AutoConfig.from_pretrained(folder)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "embd_pdrop", "resid_pdrop", "attn_pdrop"):
        if hasattr(config, name):
            setattr(config, name, share)
    return hf.AutoModel.from_pretrained(folder, config=config)


@pytest.mark.parametrize("layers", [1, None])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_without_dropout_nothing_is_random_anywhere(kind, fresh, backbone_folders, method, layers):
    found = {}
    for dropout in (0.0, None):
        backbone = fresh(kind)
        backbone.model = shaken(kind, backbone_folders[kind], 0.5)
        backbone._layers = next(module for module in backbone.model.modules() if isinstance(module, torch.nn.ModuleList))
        config = AdapterConfig(method=method, layers=layers or backbone.depth, dropout=dropout)
        network = network_of(backbone, config).train()
        tokens = tokens_of(backbone)
        batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad)
        one, two = network(batch)["label"], network(batch)["label"]
        found[dropout] = torch.equal(one, two)
    assert found[0.0]
    assert not found[None]  # or the test would prove nothing


def test_every_option_is_said_to_belong_to_a_method():
    assert set(adapters.OWNERS) == set(AdapterConfig.model_fields) - {"method"}
    assert {method for owners in adapters.OWNERS.values() for method in owners} <= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_only_what_should_learn_learns_and_the_rest_keeps_its_bytes(fresh, kind, method):
    backbone = fresh(kind)
    network = network_of(backbone, AdapterConfig(method=method, layers=None if method == "head" else 1, r=4))
    cut = network.cut
    assert cut == (backbone.depth if method == "head" else backbone.depth - 1)
    top = {id(parameter) for layer in backbone.layers[cut:] for parameter in layer.parameters()}
    norm = {id(parameter) for parameter in backbone.final_norm.parameters()}
    for name, parameter in network.named_parameters():
        expected = {
            "head": name.startswith("heads."),
            "lora": name.startswith("heads.") or (".lora_" in name and id(parameter) in top),
            "full": name.startswith("heads.") or id(parameter) in top | norm,
        }[method]
        assert parameter.requires_grad == expected, name
    if method == "lora":
        assert any(".lora_" in name for name in adapters.trainable(network))
    before = bytes_of(network)
    three_steps(network)
    after = bytes_of(network)
    learning = adapters.trainable(network)
    assert {name for name in before if before[name] != after[name]} <= set(learning)
    changed = sum(before[name] != after[name] for name in learning)
    assert changed >= 0.8 * len(learning)  # a key's bias has no gradient: softmax does not see it


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_kind_survives_the_disk_with_the_same_logits(fresh, kind, method, tmp_path):
    backbone = fresh(kind)
    network = three_steps(network_of(backbone, AdapterConfig(method=method, layers=None if method == "head" else 1, r=4)))
    before = run(network, tokens_of(backbone), "fp32").values
    read = kept(tmp_path / "bundle", backbone, {"toy": TaskPart(network, method, "{}")}, method)
    again = run(read.tasks["toy"].network, tokens_of(read.backbone), "fp32").values
    for head, values in before.items():
        np.testing.assert_array_equal(again[head], values)  # the very same weights in the very same operations
    # and once more from what was read: nothing is lost on the second way
    twice = kept(tmp_path / "twice", read.backbone, read.tasks, method)
    np.testing.assert_array_equal(run(twice.tasks["toy"].network, tokens_of(twice.backbone), "fp32").values["label"], before["label"])


def test_a_lora_folder_loads_with_plain_peft_and_the_card_s_formula_gives_the_same_logits(fresh, backbone_folders, tmp_path):
    import peft
    import transformers
    from safetensors.torch import load_file

    backbone = fresh("bert")
    network = three_steps(network_of(backbone, AdapterConfig(method="lora", layers=2, r=4)))
    ours = run(network, tokens_of(backbone), "fp32")["label"]
    kept(tmp_path / "bundle", backbone, {"toy": TaskPart(network, "lora", "{}")}, "lora")

    base = transformers.AutoModel.from_pretrained(backbone_folders["bert"], dtype=torch.float32)
    plain = peft.PeftModel.from_pretrained(base, str(tmp_path / "bundle" / "adapters" / "toy")).eval()
    head = load_file(tmp_path / "bundle" / "heads" / "toy.safetensors")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bundle")
    said = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = plain(**said).last_hidden_state
        mask = said["attention_mask"][..., None]
        x = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        w = torch.nn.functional.normalize(head["label.weight"], dim=-1)
        logits = head["label.scale"] * x @ w.T + head["label.bias"]
    np.testing.assert_allclose(logits.numpy(), ours, rtol=0, atol=1e-4)  # float32, logits up to 12, another padding and attention kernel


def test_two_lora_tasks_in_one_bundle_do_not_disturb_each_other(fresh, tmp_path):
    config = AdapterConfig(method="lora", layers=1, r=4)
    alone = {}
    for seed, name in enumerate(("one", "two")):
        backbone = fresh("bert")
        network = three_steps(network_of(backbone, config, name, seed))
        alone[name] = run(network, tokens_of(backbone), "fp32")["label"]
    assert not np.allclose(alone["one"], alone["two"])

    backbone, parts = fresh("bert"), {}
    for seed, name in enumerate(("one", "two")):
        parts[name] = TaskPart(three_steps(network_of(backbone, config, name, seed)), "lora", "{}")
    read = kept(tmp_path / "both", backbone, parts, "lora")
    for contents in (Contents(backbone, False, parts, {}, {}, ""), read):
        for name in ("two", "one", "two"):
            adapters.choose(contents.backbone, name)
            found = run(contents.tasks[name].network, tokens_of(contents.backbone), "fp32")["label"]
            np.testing.assert_array_equal(found, alone[name])  # the same weights, the same operations
    assert read.backbone.digest == backbone.digest


def test_lora_starts_as_the_backbone_itself(fresh, kind):
    backbone = fresh(kind).eval()
    tokens = tokens_of(backbone)
    batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad)
    inputs = [torch.from_numpy(column) for column in (batch.ids, batch.mask, batch.part)]
    with torch.no_grad():
        before = backbone(*inputs)
        attach(backbone, AdapterConfig(method="lora", layers=1, r=4), "toy")
        backbone.eval()
        assert torch.equal(backbone(*inputs), before)  # its second factor is zero


@pytest.mark.parametrize("layers", [0, 4, -1])
def test_a_number_of_layers_that_the_backbone_lacks_is_refused(layers):
    with pytest.raises(ConfigError, match=f"expected 1 to 3, the backbone's depth, seen {layers}"):
        cut_of(3, AdapterConfig(layers=layers))


def test_an_adapter_for_no_layer_is_refused(fresh):
    with pytest.raises(ConfigError, match="method: lora"):
        attach(fresh("bert"), AdapterConfig(method="lora", layers=1, target_modules=("nowhere",)), "toy")


def test_an_adapter_of_another_backbone_is_refused(fresh, tmp_path):
    backbone = fresh("bert")
    attach(backbone, AdapterConfig(method="lora", layers=1, r=4), "toy")
    adapters.save_lora(backbone, tmp_path / "toy", "toy")
    with pytest.raises(BundleError, match="not an adapter for backbone"):
        adapters.load_lora(fresh("gpt2"), tmp_path / "toy", "toy")


def test_dropout_is_off_where_it_was_set_to_nothing_and_on_where_it_was_left(fresh):
    for dropout, same in ((0.0, True), (None, False)):
        backbone = fresh("bert")
        network = network_of(backbone, AdapterConfig(method="full", layers=2, dropout=dropout)).train()
        tokens = tokens_of(backbone)
        batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad)
        torch.manual_seed(0)
        first, second = network(batch)["label"], network(batch)["label"]
        assert torch.equal(first, second) == same


def test_asking_for_the_trunk_in_a_step_leaves_dropout_on_above_it(fresh):
    network = network_of(fresh("bert"), AdapterConfig(method="full", layers=1, dropout=None)).train()
    tokens = tokens_of(network.backbone)
    batch = tokens.batch(np.arange(len(tokens)), network.backbone.tokenizer.pad)
    below = network.trunk(batch)
    assert torch.equal(below, network.trunk(batch))  # the frozen part never drops out
    assert not torch.equal(network(batch, below)["label"], network(batch, below)["label"])


class TestBundle:
    @pytest.fixture
    def place(self, fresh, tmp_path):
        backbone = fresh("bert")
        network = network_of(backbone, AdapterConfig(method="lora", layers=1, r=4))
        kept(tmp_path / "b", backbone, {"toy": TaskPart(network, "lora", "{}")}, "lora")
        return tmp_path / "b"

    def test_every_flipped_byte_is_refused_by_name(self, place):
        for file in sorted(path for path in place.rglob("*") if path.is_file() and path.name != "checksums.json"):
            content = file.read_bytes()
            spoilt = bytearray(content)
            spoilt[len(spoilt) // 2] ^= 1
            file.write_bytes(spoilt)
            with pytest.raises(BundleError, match="altered or truncated") as caught:
                bundle.verify(place)
            assert str(file) in str(caught.value)
            file.write_bytes(content)
        bundle.verify(place)

    def test_a_missing_or_an_added_file_is_refused_by_name(self, place):
        (place / "extra.txt").write_text("x")
        with pytest.raises(BundleError, match=r"extra\.txt: not in checksums"):
            bundle.verify(place)
        (place / "extra.txt").unlink()
        (place / "heads" / "toy.safetensors").unlink()
        with pytest.raises(BundleError, match=r"toy\.safetensors: missing"):
            bundle.verify(place)

    def test_a_later_format_is_refused(self, place):
        config = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**config, "shoplm_bundle": 99}))
        sums = json.loads((place / "checksums.json").read_text())
        sums["config.json"] = hashlib.sha256((place / "config.json").read_bytes()).hexdigest()
        (place / "checksums.json").write_text(json.dumps(sums))
        with pytest.raises(BundleError, match="bundle format 99"):
            bundle.verify(place)

    def test_a_folder_of_someone_else_is_never_replaced(self, place, fresh, tmp_path):
        other = tmp_path / "photos"
        other.mkdir()
        (other / "cat.jpg").write_bytes(b"cat")
        contents = bundle.read(place)
        with pytest.raises(BundleError, match="is not empty and no bundle"):
            bundle.write(contents, other)
        assert (other / "cat.jpg").read_bytes() == b"cat"

    def test_id2label_and_label2id_are_where_other_tools_look(self, place):
        config = json.loads((place / "config.json").read_text())
        assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}
        assert config["label2id"] == {"a": 0, "b": 1, "c": 2}
