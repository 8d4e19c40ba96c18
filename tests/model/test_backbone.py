"""Any encoder or causal LM behind one face, cut anywhere without changing what it computes."""

import os
import shutil

import numpy as np
import pytest
import torch

from shoplm.errors import BackboneError
from shoplm.model import backbone as module
from shoplm.model.backbone import check_default, default_folder, load_backbone, weights_digest
from shoplm.model.network import pool
from shoplm.model.precision import autocast
from shoplm.text.render import Prompt, Segment
from shoplm.text.tokenize import TextConfig

TEXTS = ["where is my order", "lovely", "the dress is soft and warm but the colour faded after one wash", ""]


def inputs(backbone, texts=TEXTS):
    tokens = backbone.tokenizer.encode([Prompt((Segment(text),)) for text in texts])
    batch = tokens.batch(np.arange(len(tokens)), backbone.tokenizer.pad)
    return torch.from_numpy(batch.ids), torch.from_numpy(batch.mask), torch.from_numpy(batch.part)


@torch.no_grad()
def test_lower_and_upper_are_exactly_the_whole_at_every_cut(backbones, kind):
    backbone = backbones[kind]
    ids, mask, part = inputs(backbone)
    whole = backbone(ids, mask, part)
    assert whole.shape == (len(TEXTS), ids.shape[1], backbone.width)
    for cut in range(backbone.depth + 1):
        lower = backbone.lower(ids, mask, part, cut)
        upper = backbone.upper(lower, ids, mask, part, cut)
        assert torch.equal(upper, whole)  # the very same operations on the very same numbers
        if 0 < cut < backbone.depth:
            assert not torch.allclose(lower, whole)
            assert not torch.allclose(backbone.upper(lower * 0, ids, mask, part, cut), whole)  # it is read, not computed anew
    assert torch.equal(backbone(ids, mask, part), whole)  # the layers stand where they stood


@torch.no_grad()
def test_what_a_plain_model_of_transformers_computes_is_what_we_compute(backbones, backbone_folders, kind):
    import transformers

    backbone = backbones[kind]
    ids, mask, part = inputs(backbone)
    plain = transformers.AutoModel.from_pretrained(backbone_folders[kind], dtype=torch.float32).eval()
    said = {"token_type_ids": part} if kind == "bert" else {}
    theirs = plain(input_ids=ids, attention_mask=mask, **said).last_hidden_state
    seen = mask.bool()
    # float32 sums in another order: they use the fused attention kernel, we may use the plain one; unit-sized states
    torch.testing.assert_close(backbone(ids, mask, part)[seen], theirs[seen], rtol=0, atol=2e-5)


@pytest.mark.parametrize(("learning", "precision", "tokens", "plain"), [
    (False, "fp32", module.SHORT, True), (False, "fp32", module.SHORT + 1, False), (True, "fp32", module.SHORT + 1, False),
    (False, "bf16", module.SHORT + 1, False), (True, "bf16", module.SHORT + 1, True),
    (True, "bf16", module.LEARNING_SHORT, True), (True, "bf16", module.LEARNING_SHORT + 1, False),
])  # fmt: skip
def test_plain_attention_is_taken_for_short_rows_and_for_learning_in_bf16(fresh, learning, precision, tokens, plain):
    backbone = fresh("bert")
    with torch.set_grad_enabled(learning), autocast(precision):
        backbone._switch(torch.zeros(1, tokens, dtype=torch.long))
    assert backbone._config._attn_implementation == ("eager" if plain else "sdpa")


def test_under_autocast_layers_hand_on_narrow_states_close_to_the_wide_ones(fresh, kind):
    backbone = fresh(kind)
    seen = []
    backbone.layers[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    with torch.no_grad():
        wide = backbone(*inputs(backbone))
        with autocast("bf16"):
            narrow = backbone(*inputs(backbone))
    assert seen == [torch.float32, torch.bfloat16]
    # bf16 keeps 8 bits, four thousandths of a number; a few layers add up to some hundredths
    assert float((narrow.float() - wide).norm() / wide.norm()) < 0.05


@torch.no_grad()
@pytest.mark.parametrize("how", ["mean", "first", "last"])
def test_padding_does_not_change_a_row(backbones, kind, how):
    backbone = backbones[kind]
    ids, mask, part = inputs(backbone)
    together = pool(backbone(ids, mask, part), mask, how)
    for row in range(len(TEXTS)):
        alone = inputs(backbone, [TEXTS[row]])
        # the same sums over another number of (masked) places: float32 rounding alone
        torch.testing.assert_close(pool(backbone(*alone), alone[1], how)[0], together[row], rtol=0, atol=2e-5)


def test_pooling_takes_the_mean_the_first_or_the_last_real_token():
    hidden = torch.tensor([[[1.0], [3.0], [8.0]], [[5.0], [7.0], [9.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool(hidden, mask, "mean").flatten().tolist() == [(1 + 3) / 2, (5 + 7 + 9) / 3]
    assert pool(hidden, mask, "first").flatten().tolist() == [1, 5]
    assert pool(hidden, mask, "last").flatten().tolist() == [3, 9]


def test_causal_models_pool_the_last_token_and_encoders_the_mean(backbones):
    assert {kind: backbone.pooling for kind, backbone in backbones.items()} == {
        "bert": "mean",
        "roberta": "mean",
        "gpt2": "last",
        "llama": "last",
    }
    assert {kind for kind, backbone in backbones.items() if backbone.causal} == {"gpt2", "llama"}
    assert {kind for kind, backbone in backbones.items() if backbone.takes_parts} == {"bert"}


@torch.no_grad()
def test_the_longest_text_that_a_model_has_positions_for_is_read(fresh, kind):
    backbone = fresh(kind, max_length=8192).eval()
    assert backbone.tokenizer.config.max_length == 64  # RoBERTa keeps 66 positions and never uses two of them
    ids, mask, part = inputs(backbone, ["order " * 500])
    assert ids.shape == (1, 64)
    assert torch.isfinite(backbone(ids, mask, part)).all()


def test_the_second_part_of_a_pair_matters_where_the_model_knows_parts(backbones):
    backbone = backbones["bert"]
    ids, mask, part = inputs(backbone, ["where is my order"])
    part[:, 2:] = 1
    with torch.no_grad():
        assert not torch.allclose(backbone(ids, mask, part), backbone(ids, mask, part * 0))


def test_a_digest_tells_weights_apart_and_nothing_else(fresh, tmp_path):
    first, second = fresh("bert"), fresh("bert", 16)
    assert first.digest == second.digest == weights_digest(first.model)
    first.save(tmp_path / "copy")
    first.save_tokenizer(tmp_path / "copy")
    assert load_backbone(str(tmp_path / "copy"), TextConfig()).digest == first.digest
    with torch.no_grad():
        first.layers[0].attention.self.query.bias[0] += 1e-3
    assert weights_digest(first.model) != first.digest


def test_a_checkpoint_without_a_pooler_has_the_same_digest_at_every_load(backbone_folders, tmp_path):
    import transformers

    model = transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(backbone_folders["bert"]))
    model.save_pretrained(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(backbone_folders["bert"] / file, tmp_path / file)
    digests = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        digests.add(load_backbone(str(tmp_path), TextConfig()).digest)
    assert len(digests) == 1


def test_a_sentence_model_that_pools_its_first_token_is_obeyed(fresh, backbone_folders, tmp_path):
    folder = shutil.copytree(backbone_folders["bert"], tmp_path / "cls")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert load_backbone(str(folder), TextConfig()).pooling == "first"


class TestDefault:
    def test_it_is_the_published_minilm(self, default_backbone):
        assert (default_backbone.depth, default_backbone.width, default_backbone.pooling) == (6, 384, "mean")
        assert default_backbone.name == "sentence-transformers/all-MiniLM-L6-v2"

    @torch.no_grad()
    def test_it_finds_like_texts_alike(self, default_backbone):
        ids, mask, part = inputs(default_backbone, ["where is my order", "my parcel has not arrived", "how tall is the tower"])
        found = torch.nn.functional.normalize(pool(default_backbone(ids, mask, part), mask, "mean"), dim=-1)
        assert found[0] @ found[1] > 0.4 > 0.2 > found[0] @ found[2]

    @pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
    def test_an_altered_file_is_refused_by_name(self, tmp_path, monkeypatch, file):
        folder = tmp_path / "model"
        folder.mkdir()
        for child in default_folder().iterdir():
            if child.is_file() and child.name != file:
                os.symlink(child, folder / child.name)
        content = bytearray((default_folder() / file).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / file).write_bytes(content)
        monkeypatch.setattr(module, "default_folder", lambda: folder)
        with pytest.raises(BackboneError, match=rf"{file} has SHA-256 [0-9a-f]{{12}}…, expected .*reinstall"):
            load_backbone("default", TextConfig())

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(BackboneError, match="cannot be read"):
            check_default(tmp_path)


@pytest.mark.parametrize("name", ["nobody/nothing-here", "defalt", "/nowhere/at/all", "./missing"])
def test_an_unknown_backbone_offline_is_refused_in_one_line(name):
    with pytest.raises(BackboneError, match="backbone `") as caught:
        load_backbone(name, TextConfig())
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_folder_without_a_model_or_with_a_broken_one_is_refused_in_one_line(backbone_folders, tmp_path):
    with pytest.raises(BackboneError, match=r"no config\.json"):
        load_backbone(str(tmp_path), TextConfig())
    for number, spoil in enumerate(
        [lambda f: (f / "model.safetensors").write_bytes(b"x" * 40), lambda f: (f / "config.json").write_text("{")]
    ):
        folder = shutil.copytree(backbone_folders["bert"], tmp_path / str(number))
        spoil(folder)
        with pytest.raises(BackboneError, match="cannot be read") as caught:
            load_backbone(str(folder), TextConfig())
        assert "\n" not in str(caught.value)


def test_other_weights_than_the_pinned_ones_are_refused(backbone_folders):
    with pytest.raises(BackboneError, match="weights digest"):
        load_backbone(str(backbone_folders["bert"]), TextConfig(), expected="0" * 64)
