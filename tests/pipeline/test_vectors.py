"""Vectors of texts are the backbone's own, and no text is encoded twice."""

import numpy as np
import pytest
import torch

from shoplm.model.network import pool
from shoplm.pipeline import vectors
from shoplm.text.render import Prompt, Segment

TEXTS = ["lovely dress", "cheap jacket broke quickly", "", "lovely dress", "where is my order"]


@pytest.fixture
def encode(backbone_folders, tmp_path):
    return lambda texts: vectors.encoded(texts, str(backbone_folders["bert"]), tmp_path / "derived")


@torch.no_grad()
def test_a_text_has_the_mean_of_its_tokens_last_states(encode, backbones):
    network = backbones["bert"].eval()
    found = encode(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        batch = network.tokenizer.encode([Prompt((Segment(text),))]).batch(np.arange(1), network.tokenizer.pad)
        ids, mask, part = map(torch.from_numpy, (batch.ids, batch.mask, batch.part))
        plain = pool(network(ids, mask, part), mask, network.pooling)[0].numpy()
        # states of unit size: float16 keeps 11 bits, bf16, where the machine has it, 8 over three layers
        np.testing.assert_allclose(vector, plain, atol=0.06)
    np.testing.assert_array_equal(found[0], found[3])


def test_only_what_is_new_is_encoded(encode, monkeypatch):
    whole = encode(TEXTS)
    asked = []
    monkeypatch.setattr(vectors, "_computed", lambda texts, *_: asked.append(list(texts)) or np.ones((len(texts), 32), np.float16))
    np.testing.assert_array_equal(encode(TEXTS[::-1]), whole[::-1])
    assert not asked
    found = encode(["new", *TEXTS])
    assert asked == [["new"]]
    np.testing.assert_array_equal(found[1:], whole)


def test_a_broken_file_is_written_anew(encode, tmp_path):
    whole = encode(TEXTS)
    (file,) = (tmp_path / "derived").iterdir()
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:50])
    np.testing.assert_allclose(encode(TEXTS), whole, atol=0.06)
    assert file.stat().st_size == size
