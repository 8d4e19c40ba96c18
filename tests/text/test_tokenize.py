"""Words into ids: the same ids as ``transformers`` gives, one truncation policy, one store."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.text.render import Prompt, Segment
from shoplm.text.tokenize import TextConfig, Tokenizer, Tokens

TEXTS = [
    "where is my order",
    "The dress is lovely, é!",
    "鞋子很好，快递太慢 😀👍🏽",
    "  two  spaces ",
    "zebra 42 zzz",
    "I can't",
    "word " * 60,
]


def one(text, **options):
    return Prompt((Segment(text, **options),))


def ids(tokens, row=0):
    return tokens.ids[tokens.start[row] : tokens.start[row + 1]].tolist()


@pytest.fixture(scope="module")
def theirs(backbone_folders):
    from transformers import AutoTokenizer

    return {kind: AutoTokenizer.from_pretrained(folder) for kind, folder in backbone_folders.items()}


@pytest.fixture(scope="module")
def bert(backbones):
    return backbones["bert"].tokenizer


@pytest.fixture(scope="module")
def parts(bert):
    """The special tokens' count of a single text and of a pair."""
    return {paired: sum(map(len, bert.pair if paired else bert.single)) for paired in (False, True)}


@pytest.mark.parametrize("text", TEXTS)
def test_single_texts_get_the_ids_that_transformers_gives(fresh, theirs, kind, text):
    if len(text) < 100:
        assert ids(fresh(kind, 64).tokenizer.encode([one(text)])) == theirs[kind](text)["input_ids"]


@pytest.mark.parametrize(("left", "right"), [("where is my order", "the dress"), ("a", "鞋子很好 😀"), ("x y", "?")])
def test_pairs_get_the_ids_and_the_parts_that_transformers_gives(backbones, theirs, kind, left, right):
    found = backbones[kind].tokenizer.encode([Prompt((Segment(left), Segment(right, part=1)))])
    wanted = theirs[kind](left, right, return_token_type_ids=True)
    assert ids(found) == wanted["input_ids"]
    if kind == "bert":  # only its frame marks the second part exactly as we do: from its first token on
        assert found.batch(np.array([0]), 0).part[0].tolist() == wanted["token_type_ids"]


def test_segments_get_the_ids_of_their_joined_text(backbones, theirs, kind):
    prompt = Prompt((Segment("where is", 9), Segment("my order"), Segment("the dress", part=1), Segment("is lovely", part=1)))
    found = backbones[kind].tokenizer.encode([prompt, Prompt((Segment("where is", 9), Segment(""), Segment("my order")))])
    assert ids(found, 0) == theirs[kind](prompt.text(0), prompt.text(1))["input_ids"]
    assert ids(found, 1) == theirs[kind]("where is my order")["input_ids"]


def test_an_empty_text_has_at_least_one_token(backbones, kind):
    tokenizer = backbones[kind].tokenizer
    found = tokenizer.encode([one(""), Prompt(()), one("order")])
    frame = sum(tokenizer.single, []) or [tokenizer.pad]  # GPT-2 frames nothing: one pad token stands for the row
    assert ids(found, 0) == ids(found, 1) == frame
    assert len(ids(found, 2)) > 0


def test_a_text_of_50000_characters_is_cut_and_said_to_be(backbones, kind):
    tokenizer = backbones[kind].tokenizer
    found = tokenizer.encode([one("order " * 8334), one("鞋" * 50_000), one("order")])
    assert found.lengths[:2].tolist() == [tokenizer.config.max_length] * 2
    assert found.cut.tolist() == [True, True, False]


SEGMENTS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3), st.integers(0, 1)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(segments=SEGMENTS, limit=st.integers(8, 40))
def test_no_prompt_is_longer_than_allowed_and_the_larger_keep_survives(segments, limit):
    tokenizer = WORD_TOKENIZER(limit)
    prompt = Prompt(tuple(Segment(" ".join(["abcde"[at]] * size), keep, part) for at, (size, keep, part) in enumerate(segments)))
    found = tokenizer.encode([prompt])
    paired = any(part for _, _, part in segments)
    room = limit - (3 if paired else 2)
    left = [ids(found).count(5 + at) for at in range(len(segments))]
    wanted = [size for size, _, _ in segments]
    assert found.lengths[0] <= limit
    assert sum(left) == min(room, sum(wanted))  # nothing is cut without need
    assert bool(found.cut[0]) == (sum(wanted) > room)
    for at, (size, keep, _) in enumerate(segments):
        for other, (_, other_keep, _) in enumerate(segments):
            if left[at] < size and other_keep < keep:
                assert left[other] == 0  # who is cut while a smaller keep still has words?
            if left[at] < size and other_keep == keep:
                assert left[other] <= left[at] + 1  # of equals the longest gives way first


def WORD_TOKENIZER(limit):
    """One token a word: a to e are 5 to 9, framed as BERT frames."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import models, pre_tokenizers, processors

    fast = Fast(
        models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, **{letter: 5 + at for at, letter in enumerate("abcde")}}, unk_token="[UNK]")
    )
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return Tokenizer(fast, 0, TextConfig(max_length=limit))


def test_the_frame_stays_whole_when_a_pair_is_cut(bert, parts):
    found = bert.encode([Prompt((Segment("order " * 99), Segment("dress " * 99, part=1)))])
    before, between, after = bert.pair
    seen = ids(found)
    assert len(seen) == bert.config.max_length
    assert seen[: len(before)] == before
    assert seen[-len(after) :] == after
    assert sum(token in between for token in seen) == len(between) + len(after)


def test_a_batch_pads_to_its_longest_row_and_no_further(bert):
    tokens = bert.encode([one(text) for text in ("order", "where is my order", "")])
    batch = tokens.batch(np.array([2, 0]), bert.pad, {"y": np.array([7, 8, 9])})
    assert batch.ids.shape == (2, 3)
    assert batch.mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch.ids[0].tolist() == [*ids(tokens, 2), bert.pad]
    assert batch.targets["y"].tolist() == [9, 7]
    assert batch.rows.tolist() == [2, 0]


ROWS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=6), min_size=1, max_size=8)


def store(rows):
    start = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    flat = np.array([token for row in rows for token in row], np.int32)
    return Tokens(flat, start, np.array([len(row) for row in rows], np.int32), np.zeros(len(rows), np.bool_))


@given(rows=ROWS, at=st.integers(0, 8), chosen=st.lists(st.integers(0, 7), max_size=9))
def test_joined_stores_and_taken_rows_hold_the_same_sequences(rows, at, chosen):
    joined = Tokens.join([store(rows[:at]), store(rows[at:])] if 0 < at < len(rows) else [store(rows)])
    assert [ids(joined, row) for row in range(len(joined))] == rows
    assert joined.digest == store(rows).digest
    wanted = [row % len(rows) for row in chosen]
    taken = joined.take(np.array(wanted, np.int64))
    assert [ids(taken, row) for row in range(len(taken))] == [rows[row] for row in wanted]


@given(rows=ROWS, cut=st.integers(1, 9))
def test_halves_of_a_batch_hold_its_rows_once_and_drop_needless_padding(rows, cut):
    whole = store(rows).batch(np.arange(len(rows)), 0, {"y": np.arange(len(rows)).astype(np.float32)})
    halves = whole.halves(cut)
    assert np.concatenate([half.rows for half in halves]).tolist() == list(range(len(rows)))
    for half in halves:
        assert half.ids.shape[1] == half.mask.sum(1).max()
        assert [row[mask > 0].tolist() for row, mask in zip(half.ids, half.mask, strict=True)] == [rows[at] for at in half.rows]
        assert half.targets["y"].tolist() == half.rows.tolist()


def test_no_rows_are_a_store_of_none(bert):
    for empty in (Tokens.join([]), bert.encode([])):
        assert len(empty) == 0
        assert len(empty.batch(np.zeros(0, np.int64), 0)) == 0


def test_another_length_or_vocabulary_is_another_tokenizer(backbones, fresh):
    digests = {backbone.tokenizer.digest for backbone in backbones.values()} | {fresh("bert", 32).tokenizer.digest}
    assert len(digests) == 5
    assert fresh("bert", 48).tokenizer.digest == backbones["bert"].tokenizer.digest
