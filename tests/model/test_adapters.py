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
from shoplm.model.network import Network
from shoplm.model.specs import Choice, Labels, Score, Spans
from shoplm.pipeline.bundle import run
from shoplm.text.render import Prompt, Segment
from shoplm.train import checkpoint, loop
from shoplm.train.plan import Plan

METHODS = adapters.METHODS
SPECS = {"label": Choice(("a", "b", "c")), "stars": Score("regression", 1, 5), "tags": Labels(("x", "y")), "spans": Spans(("x",))}
TEXTS = ["where is my order", "lovely", "the dress is soft and warm", "never again", "", "refund me please"]


LAYERED = tuple(method for method in METHODS if method not in ("head", "prefix"))
SIZES = {
    "lora": {"r": 4},
    "adalora": {"init_r": 4, "target_r": 2},
    "prefix": {"num_virtual_tokens": 3},
    "bottleneck": {"reduction_factor": 4},
}
"""Options that make a method small enough for tiny backbones."""


def tiny(method, layers=1, **options):
    """A method as these tests use it."""
    return AdapterConfig(method=method, layers=layers if method in LAYERED else None, **{**SIZES.get(method, {}), **options})


def network_of(backbone, config, name="toy", seed=0):
    torch.manual_seed(seed)
    return Network(backbone, SPECS, attach(backbone, config, name))


def tokens_of(backbone, texts=TEXTS):
    return backbone.tokenizer.encode([Prompt((Segment(text, spans=True),)) for text in texts])


def three_steps(network, rate=0.05):
    """A plain loop, so that what a method leaves alone is not our loop's doing."""
    tokens = tokens_of(network.backbone)
    targets = {"label": np.array([0, 1, 2, 0, 1, -1]), "stars": np.array([1, 5, 2, np.nan, 3, 4], np.float32),
               "tags": np.array([[1, 0], [0, np.nan], [1, 1], [np.nan, np.nan], [0, 0], [0, 1]], np.float32),
               "spans": np.array([[[0, 5, 0]], [[0, 0, -1]], [[4, 9, 0]], [[-1, -1, -1]], [[-1, -1, -1]], [[0, 3, 0]]])}  # fmt: skip
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
    for name in parts:
        adapters.fold(backbone, name, method)
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
    network = network_of(backbone, tiny(method))
    cut = network.cut
    assert cut == {"head": backbone.depth, "prefix": 0}.get(method, backbone.depth - 1)
    top = {id(parameter) for layer in backbone.layers[cut:] for parameter in layer.parameters()}
    norm = {id(parameter) for parameter in backbone.final_norm.parameters()}
    for name, parameter in network.named_parameters():
        expected = {
            "head": name.startswith("heads."),
            "lora": name.startswith("heads.") or (".lora_" in name and id(parameter) in top),
            "adalora": name.startswith("heads.") or (".lora_" in name and id(parameter) in top),
            "prefix": name.startswith("heads.") or ".prompt_encoder.toy." in name,
            "bottleneck": name.startswith("heads.") or (".pairs.toy." in name and id(parameter) in top),
            "full": name.startswith("heads.") or id(parameter) in top | norm,
        }[method]
        assert parameter.requires_grad == expected, name
    if method in adapters.KEPT:
        assert any(not name.startswith("heads.") for name in adapters.trainable(network))
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
    network = three_steps(network_of(backbone, tiny(method)))
    unfolded = run(network, tokens_of(backbone), "fp32").values
    adapters.fold(backbone, "toy", method)
    before = run(network, tokens_of(backbone), "fp32").values
    read = kept(tmp_path / "bundle", backbone, {"toy": TaskPart(network, method, "{}", "toy")}, method)
    again = run(read.tasks["toy"].network, tokens_of(read.backbone), "fp32").values
    for head, values in before.items():
        np.testing.assert_allclose(values, unfolded[head], rtol=0, atol=1e-5)  # folding only multiplies factors out, in float32
        np.testing.assert_array_equal(again[head], values)  # the very same weights in the very same operations
    # and once more from what was read: nothing is lost on the second way
    twice = kept(tmp_path / "twice", read.backbone, read.tasks, method)
    np.testing.assert_array_equal(run(twice.tasks["toy"].network, tokens_of(twice.backbone), "fp32").values["label"], before["label"])


@pytest.mark.parametrize(
    ("method", "options"),
    [("lora", {}), ("lora", {"use_rslora": True}), ("lora", {"use_dora": True}), ("adalora", {}), ("prefix", {}), ("prefix", {"prefix_init": "projection"})],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)  # fmt: skip
def test_a_folder_of_peft_s_kinds_loads_with_plain_peft_and_the_card_s_formula_gives_the_same_logits(
    fresh, backbone_folders, tmp_path, method, options
):
    import peft
    import transformers
    from safetensors.torch import load_file

    backbone = fresh("bert")
    network = three_steps(network_of(backbone, tiny(method, layers=2, **options)))
    ours = run(network, tokens_of(backbone), "fp32")["label"]
    kept(tmp_path / "bundle", backbone, {"toy": TaskPart(network, method, "{}", "toy")}, method)

    base = transformers.AutoModel.from_pretrained(backbone_folders["bert"], dtype=torch.float32)
    plain = peft.PeftModel.from_pretrained(base, str(tmp_path / "bundle" / "adapters" / "toy")).eval()
    head = load_file(tmp_path / "bundle" / "heads" / "toy.safetensors")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "bundle")
    said = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=method != "prefix")
    with torch.no_grad():
        hidden = plain(**said).last_hidden_state
        mask = said["attention_mask"][..., None]
        x = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        w = torch.nn.functional.normalize(head["label.weight"], dim=-1)
        logits = head["label.scale"] * x @ w.T + head["label.bias"]
    np.testing.assert_allclose(logits.numpy(), ours, rtol=0, atol=1e-4)  # float32, logits up to 12, another padding and attention kernel


@pytest.mark.parametrize("method", adapters.KEPT)
def test_two_tasks_in_one_bundle_do_not_disturb_each_other(fresh, tmp_path, method):
    alone = {}
    for seed, name in enumerate(("one", "two")):
        backbone = fresh("bert")
        network = three_steps(network_of(backbone, tiny(method), name, seed))
        adapters.fold(backbone, name, method)
        alone[name] = run(network, tokens_of(backbone), "fp32")["label"]
    assert not np.allclose(alone["one"], alone["two"])

    backbone, parts = fresh("bert"), {}
    for seed, name in enumerate(("one", "two")):
        parts[name] = TaskPart(three_steps(network_of(backbone, tiny(method), name, seed)), method, "{}", name)
        adapters.fold(backbone, name, method)
    read = kept(tmp_path / "both", backbone, parts, method)
    for contents in (Contents(backbone, False, parts, {}, {}, ""), read):
        for name in ("two", "one", "two"):
            adapters.choose(contents.backbone, name, method)
            found = run(contents.tasks[name].network, tokens_of(contents.backbone), "fp32")["label"]
            np.testing.assert_array_equal(found, alone[name])  # the same weights, the same operations
    assert read.backbone.digest == backbone.digest


@pytest.mark.parametrize("method", ["lora", "adalora", "bottleneck"])
def test_what_stands_beside_the_layers_starts_as_the_backbone_itself(fresh, kind, method):
    backbone = fresh(kind).eval()
    tokens = tokens_of(backbone)
    batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad)
    inputs = [torch.from_numpy(column) for column in (batch.ids, batch.mask, batch.part)]
    with torch.no_grad():
        before = backbone(*inputs)
        attach(backbone, tiny(method), "toy")
        backbone.eval()
        assert torch.equal(backbone(*inputs), before)  # its second factor is zero


def test_houlsby_puts_a_bottleneck_behind_attention_too(fresh, kind, tmp_path):
    counts = {}
    for placement in ("pfeiffer", "houlsby"):
        backbone = fresh(kind)
        network = three_steps(network_of(backbone, tiny("bottleneck", placement=placement)))
        counts[placement] = sum(parameter.numel() for name, parameter in network.named_parameters() if ".pairs." in name)
        before = run(network, tokens_of(backbone), "fp32")["label"]
        read = kept(tmp_path / placement, backbone, {"toy": TaskPart(network, "bottleneck", "{}", "toy")}, "bottleneck")
        np.testing.assert_array_equal(run(read.tasks["toy"].network, tokens_of(read.backbone), "fp32")["label"], before)
    assert counts["houlsby"] == 2 * counts["pfeiffer"] > 0


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_prefix_of_words_is_as_if_the_words_stood_before_the_text(fresh, kind):
    backbone = fresh(kind).eval()
    words = backbone.tokenizer.encode([Prompt((Segment("where is my order"),))]).ids
    text = backbone.tokenizer.encode([Prompt((Segment("refund me please"),))]).ids
    both = torch.tensor([[*words, *text]])
    with torch.no_grad():
        expected = backbone(both, torch.ones_like(both), torch.zeros_like(both))[:, len(words) :]
        attach(backbone, AdapterConfig(method="prefix", num_virtual_tokens=len(words), prefix_text="where is my order"), "toy")
        backbone.eval()
        alone = torch.tensor([list(map(int, text))])
        found = backbone(alone, torch.ones_like(alone), torch.zeros_like(alone))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # a causal model never looks ahead: float32 in another order


def test_a_prefix_that_leaves_too_few_positions_is_refused(fresh):
    with pytest.raises(ConfigError, match=r"need \d+ positions, the backbone has \d+; set max_length="):
        attach(fresh("bert"), AdapterConfig(method="prefix", num_virtual_tokens=40), "toy")


def test_a_prefix_of_no_words_is_refused(fresh):
    with pytest.raises(ConfigError, match="`prefix_text`"):
        attach(fresh("gpt2"), AdapterConfig(method="prefix", num_virtual_tokens=2, prefix_text=" "), "toy")


class TestRanks:
    @pytest.fixture
    def backbone(self, fresh):
        return fresh("bert")

    def learn(self, network, backbone, steps):
        tokens = tokens_of(backbone)
        batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad, {"label": np.array([0, 1, 2, 0, 1, 2])})
        fit = loop.FitConfig(epochs=1, batch_size=6, learning_rate=1e-2, seed=0)
        state = loop.start(network, fit, adapters.regularizer(backbone, "adalora", steps, 0.3))
        plan = Plan(np.full(6, 9), steps, 6, None, 0)
        return list(loop.fit(network, lambda _: (batch, None), plan, fit, state))

    def values(self, backbone):
        return [module.lora_E["toy"].detach() for module in backbone.model.modules() if "toy" in getattr(module, "lora_E", {})]

    def test_the_budget_falls_to_target_r_a_layer_and_folding_keeps_the_answers(self, backbone):
        network = network_of(backbone, tiny("adalora", init_r=6, target_r=2))
        self.learn(network, backbone, 30)
        left = sum(int((value != 0).sum()) for value in self.values(backbone))
        assert left == 2 * len(self.values(backbone))
        before = run(network, tokens_of(backbone), "fp32")["label"]
        adapters.fold(backbone, "toy", "adalora")
        np.testing.assert_allclose(run(network, tokens_of(backbone), "fp32")["label"], before, rtol=0, atol=1e-5)
        ranks = [len(module.lora_A["toy"].weight) for module in backbone.model.modules() if "toy" in getattr(module, "lora_A", {})]
        assert sum(ranks) <= left + ranks.count(1)
        assert len(set(ranks)) > 1  # shared out, not cut alike

    def test_the_penalty_is_the_one_that_peft_adds_to_a_model_s_own_loss(self, backbone):
        network_of(backbone, tiny("adalora", init_r=6, target_r=2, orth_reg_weight=0.3))
        found = adapters.regularizer(backbone, "adalora", 10, 0.3).penalty()
        far = [
            torch.linalg.matrix_norm((p @ p.T if ".lora_A." in name else p.T @ p) - torch.eye(6))
            for name, p in backbone.model.named_parameters() if ".lora_A." in name or ".lora_B." in name
        ]  # fmt: skip
        torch.testing.assert_close(found, 0.3 * torch.stack(far).mean())

    def test_it_keeps_the_factors_nearer_to_orthogonal(self, fresh):
        far = {}
        for weight in (0.0, 5.0):
            backbone = fresh("bert")
            network = network_of(backbone, tiny("adalora", init_r=6, target_r=2, orth_reg_weight=weight))
            self.learn(network, backbone, 20)
            ranks = adapters.regularizer(backbone, "adalora", 10, 0.3)
            ranks._config.orth_reg_weight = 1.0
            far[weight] = float(ranks.penalty().detach())
        assert far[5.0] < 0.8 * far[0.0]


@pytest.mark.parametrize("method", adapters.KEPT)
def test_every_kept_method_ends_bit_for_bit_where_an_unbroken_run_ends_when_it_is_resumed(fresh, tmp_path, method):
    def set_up():
        backbone = fresh("bert")
        network = network_of(backbone, tiny(method))
        tokens = tokens_of(backbone)
        batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad, {"label": np.array([0, 1, 2, 0, 1, 2])})
        fit = loop.FitConfig(epochs=1, batch_size=6, learning_rate=1e-2, seed=0)
        state = loop.start(network, fit, adapters.regularizer(backbone, method, 12, fit.average))
        return network, state, loop.fit(network, lambda _: (batch, None), Plan(np.full(6, 9), 12, 6, None, 0), fit, state)

    whole, state, steps = set_up()
    for step in steps:
        if step.number == 7:
            checkpoint.save(tmp_path, whole, state, {}, {})
    broken, state, steps = set_up()
    checkpoint.load(tmp_path, broken, state)
    assert state.step == 7
    list(steps)
    assert bytes_of(broken) == bytes_of(whole)


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
    adapters.save(backbone, tmp_path / "toy", "toy", "lora")
    with pytest.raises(BundleError, match="not an adapter for backbone"):
        adapters.load(fresh("gpt2"), tmp_path / "toy", "toy", "lora")


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
        kept(tmp_path / "b", backbone, {"toy": TaskPart(network, "lora", "{}", "toy")}, "lora")
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
