"""search: what was typed comes first, pages never overlap, every hit has its reason, and a taste moves only what is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.apps.search import Products, SearchConfig, Taste, find
from shoplm.errors import DataError
from shoplm.retrieve.lexical import Field, Lexical, LexicalConfig

TITLES = [
    f"{colour} {kind} {at}" for at, (colour, kind) in enumerate((c, k) for c in ("Blue", "Red", "Green") for k in ("Mug", "Lamp", "Shoe"))
]
IDS = [f"AB-{at}" for at in range(9)]
ALL = np.ones(9, bool)
WORDS = Lexical.of([TITLES], [IDS], LexicalConfig(fields={"title": Field()}))
PRODUCTS = Products(IDS, TITLES, WORDS)


class Told:
    """Cosines that are given."""

    def __init__(self, said):
        self.said = np.array(said, np.float32)

    def nearest(self, k, open_):
        rows = np.flatnonzero(open_)
        rows = rows[np.argsort(-self.said[rows], kind="stable")][:k]
        return rows, self.said[rows]

    def cosines(self, rows):
        return self.said[rows]


def test_what_has_all_words_comes_first_with_its_marks_and_reason():
    page = find(PRODUCTS, "red lamp ", ALL)
    best = page.hits[0]
    assert best.title == "Red Lamp 4"
    assert [best.title[start:stop] for start, stop in best.marks] == ["Red", "Lamp"]
    assert best.because == ("has `red`, `lamp`",)
    assert page.total == 5  # two more are red, two more are lamps


def test_a_number_that_was_typed_comes_first():
    page = find(PRODUCTS, "blue ab-7", ALL)
    assert (page.hits[0].item_id, page.hits[0].source) == ("AB-7", "id")
    assert "AB-7" in page.hits[0].because[0] or "typed" in page.hits[0].because[0]


def test_what_means_the_same_is_let_in_and_said():
    page = find(PRODUCTS, "crockery ", ALL, near=Told([0.6, 0, 0, 0.5, 0, 0, 0.44, 0, 0]))
    assert [hit.row for hit in page.hits] == [0, 3]  # 0.44 is below what lets in
    assert page.hits[0].because == ("close in meaning (0.60)",)
    assert page.hits[0].source == "meaning"


def test_words_and_meaning_add_up():
    near = Told([0, 0, 0, 0, 0.9, 0, 0, 0, 0])
    assert next(hit.row for hit in find(PRODUCTS, "red ", ALL, near=near).hits) == 4


def test_a_taste_moves_what_is_there_and_lets_nothing_in():
    liking = np.zeros(9, np.float32)
    liking[[5, 8]] = 1  # a red shoe and a green one
    taste = Taste(liking, ["you bought shoes before" if like else "" for like in liking])
    page = find(PRODUCTS, "red ", ALL, taste=taste)
    assert {hit.row for hit in page.hits} == {3, 4, 5}
    assert page.hits[0].row == 5
    assert page.hits[0].because[-1] == "you bought shoes before"


@settings(max_examples=60)
@given(st.text(st.sampled_from("redblumgnaps 红AB-7"), max_size=20), st.sets(st.integers(0, 8)), st.integers(1, 4), st.booleans())
def test_pages_are_parts_of_one_list_without_what_is_shut(query, shut, k, meaning):
    open_ = ~np.isin(np.arange(9), list(shut))
    near = Told(np.linspace(0.9, 0.1, 9)) if meaning else None
    whole = find(PRODUCTS, query, open_, near=near, k=9)
    laid = [hit.row for at in range(1, 12) for hit in find(PRODUCTS, query, open_, near=near, k=k, page=at).hits]
    assert laid == [hit.row for hit in whole.hits]
    assert len(set(laid)) == len(laid) == whole.total
    assert not set(laid) & shut
    assert all(hit.because for hit in whole.hits)


@pytest.mark.parametrize("query", ["", "   ", "😀🎁", "?!.,", "\x00"])
def test_a_query_without_words_finds_nothing_and_says_so(query):
    page = find(PRODUCTS, query, ALL, near=Told([0.9] * 9))
    assert page.hits == ()
    assert "no word to search for" in page.notes[-1]


def test_nothing_found_is_said():
    page = find(PRODUCTS, "zebra crossing ", ALL)
    assert (page.total, page.pages) == (0, 0)
    assert "nothing was found" in page.notes[-1]
    assert "fewer filters" in find(PRODUCTS, "zebra crossing ", ~ALL).notes[-1]


def test_ten_thousand_signs_are_answered():
    assert find(PRODUCTS, "red " * 2_500, ALL).hits[0].title.startswith("Red")


def test_a_page_that_cannot_be_is_refused():
    with pytest.raises(DataError, match="at least 1"):
        find(PRODUCTS, "red", ALL, k=0)


def test_no_products_are_no_hits():
    nothing = Lexical.of([[]], [[]], LexicalConfig(fields={"title": Field()}))
    assert find(Products([], [], nothing), "red", np.zeros(0, bool), config=SearchConfig()).total == 0
