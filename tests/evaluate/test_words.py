"""Leaving words out finds those that moved a score, within its budget."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.evaluate.words import moved


class Counting:
    """A score that likes "good", hates "bad" and 差, and counts how often it is asked."""

    def __init__(self):
        self.texts = 0

    def __call__(self, texts):
        self.texts += len(texts)
        return np.array([t.count("good") - t.count("bad") - 2.0 * t.count("差") for t in texts])


def test_each_word_has_the_effect_of_leaving_it_out():
    text = "It's a good dress, not bad — well-made!"
    words = moved(Counting(), text)
    assert [(w.text, w.effect) for w in words] == [
        ("It's", 0),
        ("a", 0),
        ("good", 1),
        ("dress", 0),
        ("not", 0),
        ("bad", -1),
        ("well-made", 0),
    ]
    assert all(text[w.start : w.stop] == w.text for w in words)


def test_chinese_needs_no_segmenter():
    words = moved(Counting(), "质量很差，iPhone手机good")
    assert [w.text for w in words] == ["质", "量", "很", "差", "iPhone", "手", "机", "good"]
    assert [w.effect for w in words if w.effect] == [-2, 1]


def test_a_needle_in_a_long_text_is_found_within_the_calls():
    text = "x " * 3000 + "bad " + "y " * 2000 + "good"
    score = Counting()
    words = moved(score, text, calls=64)
    assert {w.text: w.effect for w in words if w.effect} == {"bad": -1, "good": 1}
    assert score.texts <= 64 + 1  # and the whole text


@given(st.text(max_size=200), st.integers(1, 12))
def test_any_text_is_covered_once_and_in_order(text, calls):
    score = Counting()
    words = moved(score, text, calls)
    assert score.texts <= calls + 1
    assert all(a.stop <= b.start for a, b in itertools.pairwise(words))
    assert all(text[w.start : w.stop] == w.text for w in words)
    inside = {place for w in words for place in range(w.start, w.stop)}
    assert all(place in inside for place, letter in enumerate(text) if letter.isalnum())


def test_texts_without_words_have_none():
    assert moved(Counting(), "") == moved(Counting(), " !? ") == ()
    with pytest.raises(ValueError, match="at least one call"):
        moved(Counting(), "a", calls=0)
