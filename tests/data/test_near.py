"""Near texts of any script are one group, in time that grows with the texts and not with their pairs."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.data import near

ENGLISH = "abcdefghijklmnopqrstuvwxyz"
CHINESE = "".join(chr(0x4E00 + n) for n in range(3000))


def drawn(letters, count, length, seed=0):
    random = np.random.default_rng(seed)
    return ["".join(letters[at] for at in random.integers(0, len(letters), length)) for _ in range(count)]


def windows(text, width):
    return {text[at : at + width] for at in range(len(text) - width + 1)}


def jaccard(one, other, width):
    ours, theirs = windows(one, width), windows(other, width)
    return len(ours & theirs) / len(ours | theirs)


@given(st.lists(st.one_of(st.none(), st.text(max_size=120)), max_size=12))
def test_equal_texts_are_one_group_and_any_text_has_one(texts):
    sketches = near.sketch(texts)
    group = near.groups([sketches, sketches])
    assert len(group) == 2 * len(texts)
    said = (sketches != near._EMPTY).all(1)
    assert (said | (sketches == near._EMPTY).all(1)).all()  # full or empty, nothing in between
    assert (group[: len(texts)] == group[len(texts) :])[said].all()


@given(st.lists(st.text(max_size=80), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_sketch_depends_on_its_own_text_only(texts, random):
    order = random.sample(range(len(texts)), len(texts))
    assert (near.sketch([texts[at] for at in order]) == near.sketch(texts)[order]).all()


@pytest.mark.parametrize(("letters", "width", "length"), [(ENGLISH, near.WINDOW, 120), (ENGLISH, near.WINDOW, 44), (CHINESE, near.DENSE_WINDOW, 40), (CHINESE, near.DENSE_WINDOW, 20)])  # fmt: skip
def test_the_share_of_equal_cells_is_the_share_of_common_windows(letters, width, length):
    pairs = 1500
    whole = drawn(letters, pairs, length)
    changed = [text[: length * 4 // 5] + tail for text, tail in zip(whole, drawn(letters, pairs, length - length * 4 // 5, 1), strict=True)]
    share = near.similarity(near.sketch(whole), near.sketch(changed))
    wanted = jaccard(whole[0], changed[0], width)  # of these lengths the same for all pairs, but for a rare chance repeat
    # a pair's share spreads by at most .5, its mean over 1,500 pairs by .5 / 38.7 = .013; four times that is chance's end
    assert abs(share.mean() - wanted) < 0.052


def test_a_chinese_text_of_18_letters_is_long_enough_and_of_17_is_not():
    # 18 · 7/3 = 42 and 17 · 7/3 = 39.7 letters of an alphabet, and SHORT is 40
    for length, long_enough in ((18, True), (17, False)):
        text = drawn(CHINESE, 1, length)[0]
        group = near.groups([near.sketch([text, f"「{text}」！"])])
        assert (group[0] == group[1]) == long_enough


def test_one_word_over_and_over_is_no_text_that_one_copies():
    sketches = near.sketch(["好" * 30, "一般" * 20, "good " * 20, "一般！！" * 30])
    assert (sketches == near._EMPTY).all()


def test_a_changed_letter_or_a_few_more_leave_a_copy_a_copy():
    """Of 40 letters a change in the middle spoils 3 of 38 windows: 35 of 41 are common, .854 of 32 cells are 27.3 ± 2.0.
    Full sketches would miss NEAR (24 cells) in 3 %; borrowed cells repeat others, as though there were 22: 18.8 ± 1.66
    of them against 16.5, 8 %. Rounded up to one in eight."""
    whole = drawn(CHINESE, 2000, 40)
    changed = [f"{text[:20]}龥{text[21:]}" for text in whole]
    more = [f"{text}真的" for text in whole]  # 38 of 40 windows
    for copies, bound in ((changed, 0.875), (more, 0.97)):
        group = near.groups([near.sketch([*whole, *copies])])
        assert (group[:2000] == group[2000:]).mean() > bound
    assert len(np.unique(near.groups([near.sketch(whole)]))) == 2000  # strangers share nothing


def test_time_grows_with_the_texts_and_not_with_their_pairs(monkeypatch):
    compared = []
    plain = near.similarity
    monkeypatch.setattr(near, "similarity", lambda one, other: (compared.append(len(one)), plain(one, other))[1])
    texts = [*["the very same words, said by every one of these writers alike"] * 5000, *drawn(CHINESE, 5000, 30)]
    begin = time.process_time()
    group = near.groups([near.sketch(texts)])
    assert time.process_time() - begin < 5  # some .3 s; pairs of 5,000 would be 12.5 million
    assert len(np.unique(group)) == 5001
    assert sum(compared) <= len(texts) * near.CELLS // near.BAND
