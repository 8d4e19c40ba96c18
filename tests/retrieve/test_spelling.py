"""Slips of the pen: every near word is found and no other, as a plain comparison with all words says."""

from hypothesis import given
from hypothesis import strategies as st

from shoplm.retrieve.spelling import SHORTEST, Spelling, distance

WORDS = st.text("abcé红", min_size=1, max_size=10)


def plain(one, other):
    """Optimal string alignment by its definition: the whole table."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (one[i - 1] != other[j - 1]))
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(one), len(other)]


@given(WORDS, WORDS)
def test_the_distance_is_that_of_the_whole_table(one, other):
    assert distance(one, other) == min(plain(one, other), 3)


@given(st.sets(WORDS, max_size=30), WORDS)
def test_every_near_word_is_found_and_no_other(words, typed):
    known = sorted(words)
    found = Spelling.of(known).near(typed, known, 2)
    expected = sorted((plain(typed, word), at) for at, word in enumerate(known) if len(word) >= SHORTEST and plain(typed, word) <= 2)
    assert found == (expected if len(typed) >= SHORTEST else [])


def test_neighbours_that_swapped_are_one_slip():
    assert distance("haedphone", "headphone") == 1
    assert Spelling.of(["headphone"]).near("haedphnoe", ["headphone"], 2) == [(2, 0)]


def test_words_with_digits_are_never_offered():
    assert Spelling.of(["hp43892"]).near("hp43893", ["hp43892"], 2) == []
