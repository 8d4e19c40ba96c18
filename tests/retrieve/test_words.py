"""What is written differently and means the same becomes one term, in any script."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.retrieve.words import marked, read, stem, terms


def of(text):
    return read(text, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café", "cafe"), ("Cafe\u0301", "cafe"), ("DRESSES", "dress"), ("batteries", "battery"), ("women's", "women"), ("５００ｍｌ", "500 ml"),
        ('5"', "5 inch"), ("5-in.", "5 inches"), ("1,000 watts", "1000w"), ("Straße", "strasse"), ("500毫升", "500ml"),
    ],
)  # fmt: skip
def test_two_ways_of_writing_are_one_term(one, other):
    assert of(one)[0] == of(other)[0]


def test_codes_are_found_whole_and_in_parts():
    assert of("HP-43892") == ["hp43892", "hp", "43892"]
    assert of("hp43892")[0] == "hp43892"
    assert of("8x10") == ["8x10", "8", "x", "10"]
    assert of("3.5 oz") == ["3.5oz", "3.5"]


def test_han_is_read_as_pairs_and_signs():
    assert of("红色鞋子") == ["红色", "色鞋", "鞋子", "红", "色", "鞋", "子"]
    assert of("Nike跑鞋") == ["nike", "跑鞋", "跑", "鞋"]


def test_a_word_that_only_looks_like_a_plural_stays():
    assert [stem(word) for word in ("glass", "status", "gas", "canvas", "boxes", "shoes", "iris")] == [
        "glass", "status", "gas", "canva", "box", "shoe", "iris",
    ]  # fmt: skip


def test_words_are_marked_where_they_stand():
    text = "Ostrava Sport Headphones, 红色跑鞋 5 in."
    wanted = frozenset([*terms("headphone"), "跑鞋", *terms("5 inch")])
    assert [text[start:stop] for start, stop in marked(text, wanted)] == ["Headphones", "跑鞋", "5 in."]


@given(st.text())
def test_any_text_has_terms_and_marks_within_it(text):
    found = of(text)
    assert all(term and term == term.strip() for term in found)
    spans = marked(text, frozenset(found))
    assert all(0 <= start < stop <= len(text) for start, stop in spans)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))
