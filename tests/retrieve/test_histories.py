"""Histories keep whose act is whose, and their order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoplm.retrieve.histories import Histories

SOME = st.lists(st.lists(st.integers(0, 30), max_size=6), max_size=8)


def plain(histories):
    return [histories.items[a:b].tolist() for a, b in zip(histories.start, histories.start[1:], strict=False)]


@given(SOME)
def test_histories_give_back_what_they_were_made_of(given_):
    histories = Histories.of(given_)
    assert plain(histories) == given_
    assert len(histories) == len(given_)
    assert histories.counts(31).sum() == sum(map(len, given_))


@given(SOME, st.randoms())
def test_taking_shoppers_is_taking_their_lists(given_, random):
    rows = [random.randrange(len(given_)) for _ in range(5)] if given_ else []
    assert plain(Histories.of(given_).take(np.array(rows, int))) == [given_[row] for row in rows]


@given(SOME)
def test_without_the_last_act_shoppers_of_two_acts_or_more_are_left(given_):
    short, last, rows = Histories.of(given_).without_last()
    long = [history for history in given_ if len(history) > 1]
    assert plain(short) == [history[:-1] for history in long]
    assert last.tolist() == [history[-1] for history in long]
    assert [given_[row] for row in rows] == long


def test_weights_go_with_their_acts():
    histories = Histories(np.array([4, 5, 6, 7], np.int32), np.array([0, 3, 4]), np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    assert histories.take(np.array([1, 0])).weight.tolist() == np.array([0.4, 0.1, 0.2, 0.3], np.float32).tolist()
    assert histories.without_last()[0].weight.tolist() == np.array([0.1, 0.2], np.float32).tolist()


def test_acts_of_many_shoppers_in_order_of_time_are_grouped_by_shopper():
    histories = Histories.grouped(np.array(["b", "a", "b", "c", "a"]), np.array([1, 2, 3, 4, 5], np.int32))
    assert plain(histories) == [[2, 5], [1, 3], [4]]
