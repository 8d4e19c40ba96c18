"""Spans to tags and back: of any text, any tokenizer, and as the slowest reading of the rules says."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.text import spans
from shoplm.text.render import Prompt, Segment
from shoplm.text.spans import SPANS, Found, Searched, Tagged, decode, encoded, tags
from shoplm.text.tokenize import Tokens

KINDS = ("brand", "colour", "size")
WORDS = ["nike", "鞋子很好", "😀", "👍🏽", "red", "é", "42", "zzz", "order", "快递", "x-y", "!"]


def told(rows):
    """Rows of (start, stop, kind) as Arrow."""
    return pa.array(
        [None if row is None else [dict(zip(("start", "stop", "kind"), one, strict=True)) for one in row] for row in rows], SPANS
    )


def sure(found, classes):
    """(T) tags -> log probabilities that leave no doubt; what is not asked is outside."""
    logs = np.full((len(found), classes), -20.0)
    logs[np.arange(len(found)), np.maximum(found, 0)] = 0.0
    return logs


def tagged(tokens):
    return Tagged(np.zeros((len(tokens.ids), 7), np.float32), tokens.searched, tokens.start)


def test_spans_become_numbers_and_say_what_is_known():
    column = told([[(0, 4, "brand"), (7, 9, "taste"), (5, 6, "size")], None, [], [(0, 0, "colour")]])
    assert encoded(column, KINDS).tolist() == [
        [[0, 4, 0], [5, 6, 2]],  # a kind that is not known is left out
        [[-1, -1, -1], [-1, -1, -1]],  # nothing is known
        [[0, 0, -1], [-1, -1, -1]],  # known to have none
        [[0, 0, 1], [-1, -1, -1]],  # no colour in it
    ]
    assert encoded(column.slice(1, 2), KINDS).tolist() == [[[-1, -1, -1]], [[0, 0, -1]]]
    assert encoded(pa.chunked_array([column, column]), KINDS).shape == (8, 2, 3)
    assert encoded(told([]), KINDS).shape == (0, 1, 3)


def test_tags_begin_and_go_on_and_the_longest_of_those_that_meet_is_told():
    places = np.array([[[-1, -1], [0, 3], [3, 5], [6, 9], [10, 12], [-1, -1]]] * 4)
    found = tags(places, encoded(told([[(0, 5, "brand"), (6, 9, "brand")], [(6, 9, "size"), (7, 12, "colour")], [], None]), KINDS))
    assert found.tolist() == [
        [-1, 1, 2, 1, 0, -1],  # two of one kind beside each other stay two
        [-1, 0, 0, 3, 4, -1],  # (7, 12) is longer than (6, 9)
        [-1, 0, 0, 0, 0, -1],
        [-1] * 6,
    ]


def test_a_span_without_characters_tags_no_token():
    assert tags(np.array([[[0, 3], [3, 8]]]), encoded(told([[(5, 5, "brand")]]), KINDS)).tolist() == [[0, 0]]


@st.composite
def texts(draw):
    """Words with spans over whole words, none meeting another."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=0, max_size=8))
    starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
    found, at = [], 0
    while at < len(words):
        size = draw(st.integers(0, 3))
        if size:
            last = min(at + size, len(words)) - 1
            found.append((starts[at], starts[last] + len(words[last]), draw(st.sampled_from(KINDS))))
        at += max(1, size)
    return " ".join(words), found


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(texts(), min_size=1, max_size=5), before=st.sampled_from(["", "sport > shoes", "鞋子"]))
def test_tags_decoded_are_the_spans_that_they_were_made_of(backbones, rows, before):
    for name in ("bert", "roberta", "gpt2", "llama"):
        tokenizer = backbones[name].tokenizer
        tokens = tokenizer.encode([Prompt((Segment(before), Segment(text, spans=True))) for text, _ in rows])
        fits = ~tokens.cut
        found = decode(tagged(tokens), sure(tagged(tokens).tags(encoded(told([spans for _, spans in rows]), KINDS)), 7))
        for at, said in enumerate(found.rows()):
            if fits[at]:
                assert [(start, stop, KINDS[kind]) for start, stop, kind, _ in said] == rows[at][1], name
        np.testing.assert_allclose(found.probability, 1, atol=1e-6)


def test_tokens_say_which_characters_of_which_segments_they_cover(backbones, kind):
    prompt = Prompt((
        Segment("where is", 9), Segment("my 😀鞋 order", 8, spans=True), Segment("the dress", part=1), Segment("", spans=True),
        Segment("is lovely", 7, part=1, spans=True),
    ))  # fmt: skip
    tokens = backbones[kind].tokenizer.encode([prompt, Prompt((Segment("", spans=True),))])
    assert tokens.searched.texts.to_pylist() == ["my 😀鞋 order is lovely", ""]
    text, places = tokens.searched.texts[0].as_py(), tokens.searched.places[: tokens.start[1]]
    covered = [at for start, stop in places.tolist() if start >= 0 for at in range(start, stop)]
    assert sorted(set(covered)) == [at for at, letter in enumerate(text) if letter != " "]
    assert covered == sorted(covered) or kind in ("gpt2", "roberta", "llama")  # bytes of one character share its place
    assert (tokens.searched.places[tokens.start[1] :] == -1).all()
    assert len(places) == tokens.lengths[0]


def test_places_follow_what_is_cut_taken_and_joined(backbones):
    tokenizer = backbones["bert"].tokenizer
    long = tokenizer.encode([Prompt((Segment("where is " * 40), Segment("my order", 9, spans=True)))])
    assert long.cut[0]
    assert [long.searched.texts[0].as_py()[a:b] for a, b in long.searched.places.tolist() if a >= 0] != []
    assert "".join(long.searched.texts[0].as_py()[a:b] for a, b in long.searched.places.tolist() if a >= 0) == "myorder"
    short = tokenizer.encode([Prompt((Segment(text, spans=True),)) for text in ("the dress", "order")])
    both = Tokens.join([long, short]).take(np.array([2, 0]))
    assert both.searched.texts.to_pylist() == ["order", "my order"]
    assert len(both.searched.places) == len(both.ids)
    assert tokenizer.encode([Prompt((Segment("order"),))]).searched is None


def test_a_batch_turns_spans_into_the_tags_of_its_tokens(backbones):
    tokenizer = backbones["bert"].tokenizer
    tokens = tokenizer.encode([Prompt((Segment(text, spans=True),)) for text in ("order", "the dress is soft")])
    spans = encoded(told([None, [(4, 9, "colour")]]), KINDS)
    batch = tokens.batch(np.array([1, 0]), tokenizer.pad, {"y": spans})
    assert batch.targets["y"].shape == batch.ids.shape
    assert batch.targets["y"][1].max() == -1
    assert sorted(set(batch.targets["y"][0].tolist())) in ([-1, 0, 3], [-1, 0, 3, 4])
    assert (batch.targets["y"][0] == 3).sum() == 1


def slowly(score):
    """The best sequence by trying all of them."""
    length, classes = score.shape
    best, chosen = -np.inf, None
    for line in itertools.product(range(classes), repeat=length):
        valid = all(tag == 0 or tag % 2 or (at and line[at - 1] in (tag, tag - 1)) for at, tag in enumerate(line))
        value = sum(score[at, tag] for at, tag in enumerate(line))
        if valid and value > best:
            best, chosen = value, line
    return best, chosen


@pytest.mark.parametrize("seed", range(6))
def test_viterbi_finds_what_trying_everything_finds(seed):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(3, 5, 5)) * 2
    for row, found in zip(score, spans._viterbi(score), strict=True):
        assert tuple(found.tolist()) == slowly(row)[1]


def test_rows_of_any_length_are_decoded_as_if_alone(monkeypatch):
    rng = np.random.default_rng(1)
    lengths = [3, 0, 7, 1, 5]
    start = np.cumsum([0, *lengths]).astype(np.int64)
    places = np.stack([np.concatenate([np.arange(n) for n in lengths]), np.concatenate([np.arange(n) + 1 for n in lengths])], 1)
    places[4] = -1  # a token that is not of the text
    logs = np.log(rng.dirichlet(np.ones(5), 16))
    whole = Tagged(logs.astype(np.float32), Searched(places.astype(np.int32), pa.array([""] * 5)), start)
    together = decode(whole, logs).rows()
    monkeypatch.setattr(spans, "BLOCK_TOKENS", 6)
    assert decode(whole, logs).rows() == together
    for row, (begin, end) in enumerate(itertools.pairwise(start.tolist())):
        part = Searched(places[begin:end].astype(np.int32), pa.array([""]))
        assert decode(Tagged(logs[begin:end], part, np.array([0, end - begin])), logs[begin:end]).rows() == [together[row]]


def test_a_span_is_as_sure_as_its_least_sure_tag_and_leaning_finds_more():
    logs = np.log(np.array([[0.5, 0.4, 0.1], [0.2, 0.1, 0.7], [0.9, 0.04, 0.06]]))
    one = Tagged(logs.astype(np.float32), Searched(np.array([[0, 2], [3, 5], [6, 8]], np.int32), pa.array(["ab cd ef"])), np.array([0, 3]))
    (found,) = decode(one, logs).rows()  # .4 · .7 · .9 is more than .5 · .2 · .9, and nothing goes on after outside
    assert found == [(0, 5, 0, pytest.approx(0.4))]
    assert decode(one, logs).nothing.tolist() == [pytest.approx(0.2)]
    assert decode(one, logs, lean=-3.0).rows() == [[]]
    assert [span[:3] for span in decode(one, logs, lean=4.0).rows()[0]] == [(0, 8, 0)]


def test_the_surest_of_a_kind_is_kept_in_its_place():
    column = [np.array(part) for part in ([0, 0, 0, 1], [0, 3, 5, 0], [2, 4, 6, 1], [1, 0, 1, 1], [0.6, 0.7, 0.8, 0.1], [0.0, 0.0, 1.0])]
    found = spans.Found(*column)
    assert found.surest().rows() == [[(3, 4, 0, 0.7), (5, 6, 1, 0.8)], [(0, 1, 1, 0.1)], []]
    assert found.surest().padded().tolist() == [[[3, 4, 0], [5, 6, 1]], [[0, 1, 1], [-1] * 3], [[-1] * 3, [-1] * 3]]


@pytest.mark.parametrize(
    ("text", "span", "whole"),
    [
        ("a dark-red hat", (3, 5), (2, 6)),  # "ar" of "dark"; a hyphen parts words
        ("size M6x10", (5, 7), (5, 10)),
        ("red", (0, 3), (0, 3)),
        ("深红色帽子", (1, 3), (1, 3)),  # every place is a word's end
        ("红Nike鞋", (2, 4), (1, 5)),
        ("naïve", (0, 2), (0, 5)),
    ],
)
def test_a_span_inside_words_is_moved_out_to_their_ends(text, span, whole):
    one = np.ones(1)
    found = Found(one.astype(int) - 1, np.array([span[0]]), np.array([span[1]]), one.astype(int), one, one)
    said = found.whole([text])
    assert (int(said.start[0]), int(said.stop[0])) == whole
    assert said.whole([text]).rows() == said.rows()  # and stays there
    assert int(found.start[0]) == span[0]
