"""Places and items are told apart, weights come from choices among what was shown, and nothing later than a list counts for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.retrieve.blend import Candidates
from shoplm.retrieve.exposures import Exposures, learn_shown, rates, said
from shoplm.retrieve.exposures import drawn as stand_ins
from shoplm.retrieve.histories import Histories

LOOKED = np.array([1.0, 0.7, 0.5, 0.3])


def drawn(lists, liked, chance, seed=0):
    """Lists of four different items drawn by ``chance``, clicked as often as their place is looked at and they are liked."""
    rng = np.random.default_rng(seed)
    items = np.stack([rng.choice(len(liked), 4, replace=False, p=chance) for _ in range(lists)])
    clicked = rng.random(items.shape) < LOOKED * liked[items]
    start = np.arange(lists + 1) * 4
    return Exposures(np.zeros(lists, np.int64), np.arange(lists), items.ravel().astype(np.int32), start, clicked.ravel(), np.arange(lists))


def test_what_is_shown_most_is_not_liked_most():
    liked = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    chance = np.array([0.4, 0.3, 0.12, 0.08, 0.06, 0.04])  # the least liked is shown ten times as often as the most liked
    shown = drawn(20_000, liked, chance)
    clicks = np.bincount(shown.items, shown.clicked)
    assert clicks.argmax() != 5
    found = rates(shown, 6)
    # five standard errors of a rate: sqrt(.5 * .5 / 2,000 looks at the rarest item)
    np.testing.assert_allclose(found.items, liked, atol=5 * (0.25 / 2000) ** 0.5)
    np.testing.assert_allclose(found.places, LOOKED, atol=0.06)


def test_an_item_that_was_never_shown_is_liked_as_the_mean():
    shown = drawn(2_000, np.array([0.2, 0.2, 0.2, 0.2]), np.full(4, 0.25))
    assert rates(shown, 9).items[8] == pytest.approx(0.2, abs=0.03)


def test_weights_of_choices_are_those_that_made_them_whatever_was_shown():
    rng = np.random.default_rng(1)
    says = rng.random((40_000, 2))
    place = np.tile(np.arange(4), 10_000)
    # odds of a click: 2 a unit of the first source, nothing of the second, less in lower places
    odds = 1 / (1 + np.exp(-(2 * says[:, 0] - 1.5 - 0.5 * place)))
    shown = Exposures(
        np.zeros(10_000, np.int64),
        np.arange(10_000),
        np.zeros(40_000, np.int32),
        np.arange(10_001) * 4,
        rng.random(40_000) < odds,
        np.arange(10_000),
    )
    found = learn_shown(says, shown)
    assert found[0] == pytest.approx(2.0, abs=0.2)  # the slope's standard error is about .04
    assert found[1] < 0.15


def test_what_no_source_names_is_said_nothing_of():
    found = Candidates(np.array([0, 2, 3]), np.array([1, 4, 0], np.int32), np.array([[0.5], [1.0], [0.25]], np.float32))
    shown = Exposures(
        np.array([0, 1]), np.array([0, 1]), np.array([4, 3, 0, 1], np.int32), np.array([0, 2, 4]), np.zeros(4, bool), np.array([0, 1])
    )
    assert said(found, shown, 5).ravel().tolist() == [1.0, 0.0, 0.25, 0.0]


@settings(max_examples=60, deadline=None)
@given(
    acts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=30),
    lists=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=10),
    last=st.integers(1, 5),
)
def test_before_a_list_is_what_its_shopper_had_done_by_then(acts, lists, last):
    acts = sorted(acts)
    items = np.arange(len(acts), dtype=np.int32)
    lengths = np.bincount([who for who, _ in acts], minlength=4)
    histories = Histories(items, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), items.astype(np.float32))
    owner, at = np.array([who for who, _ in lists]), np.array([at for _, at in lists])
    shown = Exposures(owner, at, np.zeros(len(lists), np.int32), np.arange(len(lists) + 1), np.zeros(len(lists), bool), at)
    found = shown.before(histories, np.array([at for _, at in acts], np.int64), last)
    for row, (who, moment) in enumerate(lists):
        expected = [n for n, (whose, when) in enumerate(acts) if whose == who and when < moment][-last:]
        assert found.items[found.start[row] : found.start[row + 1]].tolist() == expected
        assert found.weight[found.start[row] : found.start[row + 1]].tolist() == expected


def test_some_lists_are_those_lists():
    shown = drawn(50, np.full(8, 0.3), np.full(8, 1 / 8))
    some = shown.take(np.array([3, 40]))
    assert some.items.tolist() == [*shown.items[12:16], *shown.items[160:164]]
    assert some.clicked.tolist() == [*shown.clicked[12:16], *shown.clicked[160:164]]
    assert (some.place.tolist(), some.list_of.tolist(), some.at_us.tolist()) == ([0, 1, 2, 3] * 2, [0] * 4 + [1] * 4, [3, 40])


def test_stand_ins_hold_what_was_taken_among_what_is_acted_on():
    wanted, counts = np.array([3, 1, 3], np.int32), np.array([0, 4, 0, 2, 7])
    found = stand_ins(wanted, counts, places=6, seed=1)
    lists = found.items.reshape(3, 6)
    assert set(lists.ravel().tolist()) <= {1, 3, 4}
    assert (found.clicked.reshape(3, 6) == (lists == wanted[:, None])).all()
    assert found.clicked.reshape(3, 6).any(1).all()
