"""Tiny models of our own: four kinds of backbone, built once, in a folder each, offline.

Nothing heavy is imported until a test asks for it, so that the light tests stay light.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anybody imports huggingface_hub, which reads it once
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # before torch counts the cores: two workers with two threads each wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("untimed")

KINDS = ("bert", "roberta", "gpt2", "llama")
DEPTH = {"bert": 3, "roberta": 2, "gpt2": 3, "llama": 4}
WIDTH = 32
POSITIONS = 66  # RoBERTa's own count includes 2 that are never used
WORDS = """
where is my order and when will it arrive i want to return these shoes because they do not fit
the dress is lovely soft warm and true to size but the colour faded after one wash
can you refund me please cancel the parcel change my address pay with a gift card
cheap jacket broke quickly poor quality never again great value perfect present for my mother
what is the weather tell me a joke how tall is the tower 鞋子很好 快递太慢 😀 👍🏽 !?.,
"""


def _tokenizer(kind: str) -> Any:
    """A trained ``tokenizers.Tokenizer`` with its special tokens by role."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    lines = [" ".join(WORDS.split()[at : at + 12]) for at in range(0, 90, 5)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "bert":
        fast = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[call-arg]
        fast.normalizer = normalizers.BertNormalizer(lowercase=True)
        fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        fast.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False))
        fast.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        return fast, {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    if kind == "roberta":
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        roles = {
            "bos_token": "<s>",
            "cls_token": "<s>",
            "pad_token": "<pad>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "unk_token": "<unk>",
        }
    elif kind == "gpt2":
        special, roles = ["<|endoftext|>"], {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    else:
        fast = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        fast.train_from_iterator(
            [word for line in lines for word in line.split()],
            trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False),
        )
        fast.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
        return fast, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    if kind == "roberta":
        fast.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    else:
        fast.post_processor = processors.ByteLevel(trim_offsets=False)
    return fast, roles


def _model(kind: str, words: int) -> Any:
    """A random model of ``transformers``, its weights drawn wide enough that layers matter."""
    import transformers as hf

    depth = DEPTH[kind]
    encoder = {
        "vocab_size": words, "hidden_size": WIDTH, "num_hidden_layers": depth, "num_attention_heads": 4, "intermediate_size": 64,
        "initializer_range": 0.2,
    }  # fmt: skip
    if kind == "bert":
        return hf.BertModel(hf.BertConfig(**encoder, max_position_embeddings=POSITIONS - 2))
    if kind == "roberta":
        return hf.RobertaModel(hf.RobertaConfig(**encoder, max_position_embeddings=POSITIONS, type_vocab_size=1, pad_token_id=1))
    if kind == "gpt2":
        config = hf.GPT2Config(
            vocab_size=words,
            n_embd=WIDTH,
            n_layer=depth,
            n_head=4,
            n_positions=POSITIONS - 2,
            bos_token_id=0,
            eos_token_id=0,
            initializer_range=0.2,
        )
        return hf.GPT2Model(config)
    return hf.LlamaModel(
        hf.LlamaConfig(**encoder, num_key_value_heads=2, max_position_embeddings=POSITIONS - 2, bos_token_id=1, eos_token_id=2)
    )


@pytest.fixture(scope="session")
def backbone_folders(tmp_path_factory) -> dict[str, Path]:
    """A folder for every kind, as ``save_pretrained`` writes it."""
    import torch
    import transformers as hf

    hf.utils.logging.disable_progress_bar()
    found = {}
    for number, kind in enumerate(KINDS):
        folder = tmp_path_factory.mktemp(kind)
        fast, roles = _tokenizer(kind)
        torch.manual_seed(number)
        _model(kind, fast.get_vocab_size()).save_pretrained(folder)
        hf.PreTrainedTokenizerFast(tokenizer_object=fast, **roles).save_pretrained(folder)
        found[kind] = folder
    return found


@pytest.fixture(scope="session")
def fresh(backbone_folders):
    """``fresh(kind)``: a backbone that nobody else changes."""

    def load(kind: str, max_length: int = 48) -> Any:
        from shoplm.model.backbone import load_backbone
        from shoplm.text.tokenize import TextConfig

        return load_backbone(str(backbone_folders.get(kind, kind)), TextConfig(max_length=max_length))

    return load


@pytest.fixture(scope="session")
def backbones(fresh):
    """One backbone of every kind, in eval mode, shared: read it, never train it."""
    found = {kind: fresh(kind) for kind in KINDS}
    for backbone in found.values():
        backbone.eval()
    return found


@pytest.fixture(scope="session")
def default_backbone(fresh):
    """The real pre-trained default, shared: read it, never train it."""
    return fresh("default").eval()


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """Every kind of backbone in turn."""
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL server of our own; skipped where none is installed, unless SHOPLM_REQUIRE_POSTGRES=1."""
    from postgres_server import NOT_HERE, Server, programs

    if programs() is None:
        if os.environ.get("SHOPLM_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"SHOPLM_REQUIRE_POSTGRES=1, but {NOT_HERE}")
        pytest.skip(NOT_HERE)
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_url(postgres_server) -> str:
    """The address of one database on it, shared by the whole session."""
    url: str = postgres_server.create("shared")
    return url


@pytest.fixture
def postgres_database(postgres_server):
    """The address of an empty database that only this test uses."""
    import uuid

    name = f"t{uuid.uuid4().hex}"
    yield postgres_server.create(name)
    postgres_server.drop(name)
