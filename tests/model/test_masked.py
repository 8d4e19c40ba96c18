"""A masked head: transformers' own numbers, the loss at asked places alone, and a folder that opens anywhere."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shoplm.errors import BackboneError
from shoplm.model import folder
from shoplm.model.backbone import load_backbone
from shoplm.model.heads import TextHead, asked, build
from shoplm.model.masked import filling, save_filling
from shoplm.model.network import Network, pool
from shoplm.model.specs import Text, Vector
from shoplm.text.mask import MaskConfig, Vocabulary, masked
from shoplm.text.tokenize import TextConfig

TEXTS = ["where is my order and when will it arrive", "lovely", "the dress is soft and warm but the colour faded after one wash"]


def batch_of(backbone, step=0):
    tokens = backbone.tokenizer.windows(TEXTS)
    plain = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad)
    return masked(plain, Vocabulary.of(backbone.tokenizer, backbone.mask), MaskConfig(mlm_probability=0.4), 0, step)


def network_of(backbone, fills, seed=3):
    torch.manual_seed(seed)
    network = Network(backbone, {"text": fills.spec}, 0)
    head = network.heads["text"]
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            parameter.copy_(fills.weights[name] if name in fills.weights else parameter + 0.1 * torch.randn_like(parameter))
    return network.eval()


def theirs(place):
    import transformers

    return transformers.AutoModelForMaskedLM.from_pretrained(place, dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=["bert", "roberta"])
def written(request, fresh, tmp_path_factory):
    """A backbone with a masked head that is none of a fresh one's, and the folder that it was written to."""
    backbone = fresh(request.param)
    fills = filling(backbone)
    assert fills.weights == {}  # its checkpoint has no masked head
    network = network_of(backbone, fills)
    place = tmp_path_factory.mktemp("filled") / "backbone"

    def fill(into):
        save_filling(backbone, into, network.heads["text"], fills)
        backbone.save_tokenizer(into)

    folder.put(place, fill)
    return backbone, network, place


def test_the_loss_is_that_of_a_plain_model_of_transformers(written):
    backbone, network, place = written
    batch = batch_of(backbone)
    with torch.no_grad():
        found = network.losses(batch)["text"]
    labels = torch.from_numpy(batch.targets["text"]).masked_fill(torch.from_numpy(batch.targets["text"]) == -1, -100)
    said = {"token_type_ids": torch.from_numpy(batch.part)} if backbone.takes_parts else {}
    with torch.no_grad():
        plain = theirs(place)(input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask), labels=labels, **said)
    assert found.count == (labels != -100).sum() == network.counts(batch)["text"]
    assert float(found.mean) == pytest.approx(float(plain.loss), rel=2e-5)  # float32; the attention kernels may differ


def test_a_plain_model_opens_the_folder_with_the_same_hidden_states(written):
    import transformers

    backbone, _, place = written
    batch = batch_of(backbone)
    ids, mask, part = (torch.from_numpy(x) for x in (batch.ids, batch.mask, batch.part))
    plain = transformers.AutoModel.from_pretrained(place, dtype=torch.float32).eval()
    said = {"token_type_ids": part} if backbone.takes_parts else {}
    with torch.no_grad():
        other = plain(input_ids=ids, attention_mask=mask, **said).last_hidden_state[mask.bool()]
        torch.testing.assert_close(backbone.eval()(ids, mask, part)[mask.bool()], other, rtol=0, atol=2e-5)  # as in test_backbone
    assert transformers.AutoTokenizer.from_pretrained(place)(TEXTS[0])["input_ids"] == backbone.tokenizer.windows(TEXTS[:1]).ids.tolist()


def test_its_own_head_and_weights_come_back_and_the_pooling_too(written):
    backbone, network, place = written
    again = load_backbone(str(place), TextConfig(max_length=48))
    assert (again.digest, again.pooling) == (backbone.digest, backbone.pooling)
    fills = filling(again)
    assert set(fills.weights) == set(fills.names)
    for name, tensor in network.heads["text"].named_parameters():
        assert torch.equal(fills.weights[name], tensor)


def test_an_altered_folder_is_refused_by_the_name_of_the_file(written, tmp_path):
    import shutil

    _, _, place = written
    shutil.copytree(place, tmp_path / "copy")
    weights = tmp_path / "copy" / "model.safetensors"
    held = weights.read_bytes()
    weights.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    with pytest.raises(BackboneError, match=r"model\.safetensors: altered or truncated"):
        load_backbone(str(tmp_path / "copy"), TextConfig())


def test_asking_some_places_alone_changes_neither_loss_nor_gradient(fresh):
    backbone = fresh("bert")
    network = network_of(backbone, filling(backbone))
    batch = batch_of(backbone)
    gradients = []
    for few in (True, False):
        network.zero_grad()
        if few:
            loss = network.losses(batch)["text"].total
        else:
            target = torch.from_numpy(batch.targets["text"])
            loss = F.cross_entropy(network(batch)["text"].flatten(0, 1), target.flatten(), ignore_index=-1, reduction="sum")
        loss.backward()
        gradients.append([loss.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)  # float32 sums, reordered


def test_asked_gathers_only_for_masked_text(fresh):
    backbone = fresh("bert").eval()
    batch = batch_of(backbone)
    states = Network(backbone, {}, 0).states(batch)
    target, weight = torch.from_numpy(batch.targets["text"]), torch.tensor([1.0, 2.0, 3.0])
    seen, wanted, counted = asked(Text("masked"), states, target, weight)
    count = int((target != -1).sum())
    assert seen.hidden.shape == (count, 1, backbone.width)
    assert wanted.shape == (count, 1)
    assert float(counted.sum()) == float(((target != -1).sum(1) * weight).sum())
    assert asked(Text("causal"), states, target, weight)[0] is states


def test_a_fresh_head_guesses_words_by_how_common_they_are():
    torch.manual_seed(0)
    head = build(Text("masked"), 8, 5)
    assert isinstance(head, TextHead)
    head.begin_from_counts(torch.tensor([7.0, 0.0, 1.0, 0.0, 2.0]))
    torch.testing.assert_close(head.bias.softmax(0), torch.tensor([8.0, 1.0, 2.0, 1.0, 3.0]) / 15)


def test_heads_beside_each_other_count_words_and_rows(fresh):
    backbone = fresh("bert").eval()
    network = Network(backbone, {"text": Text("masked"), "anchor": Vector(0.5)}, 0)
    batch = batch_of(backbone)
    anchor = np.ones((len(batch), backbone.width), np.float32)
    anchor[1] = np.nan
    batch = dataclasses.replace(batch, targets={**batch.targets, "anchor": anchor})
    found = network.losses(batch)
    assert {name: tally.count for name, tally in found.items()} == network.counts(batch)
    assert network.counts(batch) == {"text": float((batch.targets["text"] != -1).sum()), "anchor": 2.0}
    halves = [network.losses(half)["anchor"].total for half in batch.halves(2)]
    torch.testing.assert_close(sum(halves), found["anchor"].total, rtol=1e-5, atol=1e-6)  # float32


def test_a_vector_s_loss_is_one_minus_the_cosine_and_a_row_without_a_target_adds_nothing():
    head = build(Vector(), 3, 5)
    pooled = torch.tensor([[3.0, 0.0, 4.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], requires_grad=True)
    from shoplm.model.heads import States

    said = head(States(pooled[:, None], pooled, torch.zeros(5, 3)))
    target = torch.tensor([[0.0, 0.0, 2.0], [float("nan")] * 3, [-1.0, 0.0, 0.0]])
    found = head.loss(said, target, torch.tensor([1.0, 5.0, 2.0]))
    assert float(found.total.detach()) == pytest.approx((1 - 4 / 5) + 2 * (1 + 1))
    assert found.count == 3.0
    found.total.backward()
    assert (pooled.grad[1] == 0).all()


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_backbone_that_reads_from_left_to_right_is_refused(backbones, kind):
    with pytest.raises(BackboneError, match="reads from left to right; --objective mlm needs an encoder"):
        filling(backbones[kind])


def test_a_head_of_other_layers_is_refused_by_its_kind(tmp_path, backbone_folders):
    import shutil

    import transformers as hf

    torch.manual_seed(0)
    sizes = {
        "vocab_size": 400,
        "hidden_size": 32,
        "embedding_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    hf.ElectraModel(hf.ElectraConfig(**sizes)).save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(backbone_folders["bert"] / file, tmp_path / file)
    with pytest.raises(BackboneError, match=r"ElectraModel.* fills words in by other layers than BERT's"):
        filling(load_backbone(str(tmp_path), TextConfig()))


@pytest.mark.parametrize("kind", ["distilbert", "mpnet", "modernbert"])
def test_other_kinds_of_encoders_are_filled_in_as_transformers_does(tmp_path, backbone_folders, kind):
    import shutil

    import transformers as hf

    torch.manual_seed(0)
    made = {
        "distilbert": lambda: hf.DistilBertForMaskedLM(hf.DistilBertConfig(vocab_size=400, dim=32, n_layers=2, n_heads=4, hidden_dim=64)),
        "mpnet": lambda: hf.MPNetForMaskedLM(
            hf.MPNetConfig(vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
        ),
        "modernbert": lambda: hf.ModernBertForMaskedLM(
            hf.ModernBertConfig(
                vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, pad_token_id=0
            )
        ),
    }[kind]()
    made.save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(backbone_folders["bert"] / file, tmp_path / file)
    backbone = load_backbone(str(tmp_path), TextConfig(max_length=48)).eval()
    fills = filling(backbone)
    assert fills.weights  # this checkpoint has a head of its own
    network = Network(backbone, {"text": fills.spec}, 0).eval()
    with torch.no_grad():
        for name, parameter in network.heads["text"].named_parameters():
            if name in fills.weights:
                parameter.copy_(fills.weights[name])
    batch = batch_of(backbone)
    ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
    with torch.no_grad():
        plain = theirs(tmp_path)(input_ids=ids, attention_mask=mask).logits
        torch.testing.assert_close(network(batch)["text"][mask.bool()], plain[mask.bool()], rtol=0, atol=1e-4)  # float32, other kernels
        assert pool(backbone(ids, mask, mask * 0), mask, "mean").isfinite().all()
