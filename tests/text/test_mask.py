"""Masking: BERT's shares, nothing but words, whole words when asked, and a pure function of seed, step and row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.errors import ConfigError
from shoplm.text.batch import Batch
from shoplm.text.mask import LONGEST, MaskConfig, Vocabulary, masked

WORDS, MASK = 60, 4
SPECIAL = np.arange(WORDS) < 5  # pad, unknown, begin, end, mask
BEGINS = np.arange(WORDS) % 3 != 2  # every third token goes on with a word
VOCABULARY = Vocabulary(MASK, SPECIAL, BEGINS | SPECIAL, SPECIAL | (np.arange(WORDS) == 10))  # 10 is a full stop


def batch_of(lengths, seed=0, rows=None):
    """Random words between begin (2) and end (3), padded with 0."""
    random = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), max(lengths) + 2), np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, : length + 2] = [2, *random.integers(5, WORDS, length), 3]
        mask[row, : length + 2] = 1
    return Batch(ids, mask, np.zeros_like(ids), np.arange(len(lengths)) if rows is None else np.asarray(rows))


lengths_ = st.lists(st.integers(0, 30), min_size=1, max_size=12)


@settings(max_examples=60)
@given(lengths=lengths_, seed=st.integers(0, 2**63 - 1), step=st.integers(-1000, 10**9), whole=st.booleans(), p=st.floats(0.01, 0.99))
def test_only_words_are_asked_every_row_with_one_is_and_all_else_stays(lengths, seed, step, whole, p):
    batch = batch_of(lengths)
    found = masked(batch, VOCABULARY, MaskConfig(mlm_probability=p, whole_word_mask=whole), seed, step)
    target = found.targets["text"]
    asked = target != -1
    assert not asked[SPECIAL[batch.ids] | (batch.mask == 0)].any()
    assert (asked.any(1) == (np.array(lengths) > 0)).all()
    assert (target[asked] == batch.ids[asked]).all()
    assert (found.ids[~asked] == batch.ids[~asked]).all()
    put = found.ids[asked]
    assert ((put == MASK) | ~SPECIAL[put]).all()
    assert found.mask is batch.mask


@settings(max_examples=30)
@given(lengths=lengths_, step=st.integers(0, 10**6), whole=st.booleans(), data=st.data())
def test_a_row_is_masked_alike_whatever_rows_share_its_batch(lengths, step, whole, data):
    config = MaskConfig(whole_word_mask=whole)
    batch = batch_of(lengths)
    together = masked(batch, VOCABULARY, config, 7, step)
    some = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True)))
    alone = masked(batch.take(some), VOCABULARY, config, 7, step)
    again = together.take(some)
    np.testing.assert_array_equal(alone.ids, again.ids)
    np.testing.assert_array_equal(alone.targets["text"], again.targets["text"])


@pytest.mark.parametrize("whole", [False, True])
def test_the_shares_are_those_that_were_asked_for(whole):
    batch = batch_of([200] * 500)
    found = masked(batch, VOCABULARY, MaskConfig(whole_word_mask=whole), 1, 2)
    asked = found.targets["text"] != -1
    words = asked.sum() / (batch.mask.sum() - 2 * len(batch))
    assert words == pytest.approx(0.15, abs=0.006)  # 100,000 places, words of up to 8: five standard deviations
    put, stood = found.ids[asked], batch.ids[asked]
    assert (put == MASK).mean() == pytest.approx(0.8, abs=0.02)
    random = 1 - (put == MASK).mean() - (put == stood).mean()
    assert random == pytest.approx(0.1 * (1 - 1 / (WORDS - 5)), abs=0.015)  # a random word may be the word itself


def test_another_seed_step_or_row_asks_for_other_words():
    batch = batch_of([40] * 20)
    first = masked(batch, VOCABULARY, MaskConfig(), 1, 5).targets["text"]
    np.testing.assert_array_equal(first, masked(batch, VOCABULARY, MaskConfig(), 1, 5).targets["text"])
    others = [
        masked(batch, VOCABULARY, MaskConfig(), 2, 5),
        masked(batch, VOCABULARY, MaskConfig(), 1, 6),
        masked(batch_of([40] * 20, rows=np.arange(20) + 100), VOCABULARY, MaskConfig(), 1, 5),
    ]
    for other in others:
        assert ((other.targets["text"] != -1) != (first != -1)).mean() > 0.1  # independent draws differ at 2 · .15 · .85 = .26 of the words


def test_a_whole_word_is_asked_whole_and_punctuation_is_a_word():
    ids = np.array([[2, 6, 8, 11, 7, 10, 11, 8, 3]])  # words: 6 8 11 | 7 | 10 | 11 8
    batch = Batch(ids, np.ones_like(ids), np.zeros_like(ids), np.zeros(1, np.int64))
    words = [[1, 2, 3], [4], [5], [6, 7]]
    seen = set()
    for step in range(60):
        asked = masked(batch, VOCABULARY, MaskConfig(whole_word_mask=True, mlm_probability=0.4), 0, step).targets["text"][0] != -1
        for number, places in enumerate(words):
            assert asked[places].all() or not asked[places].any()
            if asked[places].all():
                seen.add(number)
    assert seen == {0, 1, 2, 3}


def test_a_run_of_pieces_without_an_end_is_no_single_word():
    ids = np.array([[2, 6, *[8] * 39, 3]])
    batch = Batch(ids, np.ones_like(ids), np.zeros_like(ids), np.zeros(1, np.int64))
    asked = masked(batch, VOCABULARY, MaskConfig(whole_word_mask=True), 3, 1).targets["text"][0] != -1
    assert 1 <= asked.sum() < 40
    assert asked.sum() % LONGEST == 0


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_the_vocabulary_tells_where_words_begin(backbones, kind):
    tokenizer = backbones[kind].tokenizer
    found = Vocabulary.of(tokenizer, tokenizer.mask or 0)
    ids = tokenizer.windows(["the parcels fadedly, and the washes"]).ids.tolist()
    inner = [at for at in ids if at not in tokenizer.special]
    words = sum(bool(found.begins[at]) or place == 0 for place, at in enumerate(inner))
    assert len(inner) > 9  # some words are in pieces
    assert words == 7  # six words and a comma
    assert found.special[list(tokenizer.special)].all()


def test_shares_that_exceed_the_whole_are_refused():
    with pytest.raises(ConfigError, match="together they are at most 1"):
        MaskConfig.of({"mask_replace_prob": 0.8, "random_replace_prob": 0.3})
