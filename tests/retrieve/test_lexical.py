"""Products by their words: the score is BM25's, slips are forgiven and said, ids are found, and what is saved answers the same."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.errors import BundleError
from shoplm.retrieve.lexical import Field, Lexical, LexicalConfig

TITLES = [
    "Hearthline Sport Headphones, Midnight Blue", "Junipero In-Ear Headphones in Vegan Leather", "Ostrava Kettle 1.7 l", "红色跑鞋 女款",
    "Blue Air Filter 20 in. x 20 in.", "Linen Dress", "Merino Dress, blue", "耳机 蓝牙",
]  # fmt: skip
IDS = ["HP-43892", "HP-75416", "KT-1", "SH-2", "AF-3", "DR-4", "DR-5", "EJ-6"]
ONE = LexicalConfig(fields={"title": Field()}, together=0)


@pytest.fixture(scope="module")
def index():
    return Lexical.of([TITLES], [IDS], LexicalConfig(fields={"title": Field()}))


def best(index, query, k=3):
    found = index.score(index.ask(query))
    return [int(found.rows[at]) for at in np.lexsort((found.rows, -found.score))[:k]]


def plain_bm25(documents, query, k1=1.2, b=0.75):
    """Robertson & Zaragoza (2009), a word at a time."""
    split = [re.findall("[a-z]+", document) for document in documents]
    mean = sum(map(len, split)) / sum(1 for words in split if words)
    scores = []
    for words in split:
        total = 0.0
        for term in dict.fromkeys(query.split()):
            n = sum(term in other for other in split)
            tf = words.count(term) / (1 - b + b * len(words) / mean)
            total += math.log(1 + (len(split) - n + 0.5) / (n + 0.5)) * tf * (k1 + 1) / (tf + k1) if n else 0.0
        scores.append(total)
    return scores


WORDS = st.lists(st.sampled_from(["tea", "mug", "pot", "lamp", "red"]), max_size=8).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=12).filter(any), WORDS)
def test_the_score_of_one_field_is_plain_bm25(documents, query):
    index = Lexical.of([documents], [], ONE)
    found = index.score(index.ask(query + " "))
    ours = np.zeros(len(documents))
    ours[found.rows] = found.score
    known = " ".join(word for word in query.split() if word in " ".join(documents).split())
    if known == query:
        np.testing.assert_allclose(ours, plain_bm25(documents, query), rtol=1e-5, atol=1e-6)  # float32


def test_fields_add_up_before_they_saturate():
    config = LexicalConfig(fields={"title": Field(weight=3, b=0), "text": Field(weight=1, b=0)}, together=0)
    index = Lexical.of([["mug", "pot"], ["", "mug mug"]], [], config)
    found = index.score(index.ask("mug "))
    idf = math.log(1 + 0.5 / 2.5)  # both of two have it
    np.testing.assert_allclose(found.score, [idf * 3 * 2.2 / (1.2 + 3), idf * 2 * 2.2 / (1.2 + 2)], rtol=1e-6)


def test_a_product_with_all_words_comes_first(index):
    assert best(index, "blue dress")[0] == 6


@pytest.mark.parametrize(
    ("query", "wanted", "said"),
    [
        ("haedphones blue", 0, "headphones blue"), ("juniprro", 1, "junipero"), ("airfilter blue", 4, "air filter blue"), ("ket tle ", 2, "kettle"),
        ("lnien dress", 5, "linen dress"),
    ],
)  # fmt: skip
def test_slips_are_forgiven_and_said(index, query, wanted, said):
    assert best(index, query)[0] == wanted
    assert index.ask(query).corrected == said


def test_what_is_spelt_right_is_not_corrected(index):
    assert index.ask("linen dress").corrected is None


def test_the_last_word_is_completed_unless_a_space_says_that_it_is_whole(index):
    assert set(best(index, "blue headp")[:1]) == {0}
    assert index.ask("headp").words[0].how == "completed"
    assert index.ask("headp ").words[0].how != "completed"


def test_chinese_is_found_by_pairs_and_by_signs(index):
    assert best(index, "跑鞋")[0] == 3
    assert best(index, "鞋")[0] == 3
    assert best(index, "蓝牙耳机")[0] == 7
    assert best(index, "红鞋")[0] == 3  # no pair of it stands there, its signs do


def test_numbers_meet_their_units(index):
    assert best(index, '20" filter')[0] == 4
    assert best(index, "1.7 litre kettle")[0] == 2


def test_ids_are_found_exactly_however_they_are_typed(index):
    for typed in ("HP-75416", "hp75416", " hp 75416 ", "buy hp-75416 now"):
        assert index.exact(typed) == [1]
    assert index.exact("HP-7541") == []
    assert index.exact("") == []


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_any_query_is_answered_the_same_twice(index, query):
    one, other = index.score(index.ask(query)), index.score(index.ask(query))
    np.testing.assert_array_equal(one.score, other.score)
    assert (one.score > 0).all()
    assert ((one.share > 0) & (one.share <= 1)).all()
    assert (np.diff(one.rows) > 0).all()


def test_a_query_of_ten_thousand_signs_is_cut_and_said(index):
    asked = index.ask("headphones " * 1_000)
    assert asked.cut
    assert len(asked.words) == 1
    assert index.ask("x" * 10_000).cut


def test_what_is_saved_answers_the_same(index, tmp_path):
    index.save(tmp_path / "words", {"of": "this"})
    again, facts = Lexical.load(tmp_path / "words")
    assert facts == {"of": "this"}
    assert again.vocabulary == index.vocabulary
    for query in ("haedphones blue", "跑鞋", "dress"):
        np.testing.assert_array_equal(again.score(again.ask(query)).score, index.score(index.ask(query)).score)
    assert again.exact("kt1") == [2]
    index.save(tmp_path / "twice", {"of": "this"})
    assert (tmp_path / "twice").read_bytes() == (tmp_path / "words").read_bytes()
    (tmp_path / "words").write_bytes((tmp_path / "words").read_bytes()[:-1])
    with pytest.raises(BundleError):
        Lexical.load(tmp_path / "words")


def test_no_products_are_an_index_without_answers():
    index = Lexical.of([[]], [[]], LexicalConfig(fields={"title": Field()}))
    assert len(index.score(index.ask("anything")).rows) == 0
    assert index.exact("anything") == []
