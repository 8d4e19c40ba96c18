"""Sums travel with their counts and are divided once."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.tally import Tally

NUMBERS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=20)  # whole numbers: float sums are then exact


@given(left=NUMBERS, right=NUMBERS)
def test_the_mean_of_a_sum_is_the_mean_of_all_things(left, right):
    both = Tally(float(sum(left)), len(left)) + Tally(float(sum(right)), len(right))
    assert both.mean == sum(left + right) / len(left + right)


def test_it_is_not_the_mean_of_means():
    assert (Tally(10.0, 1) + Tally(0.0, 4)).mean == 10 / 5  # the mean of the two means would be 5


def test_nothing_counted_has_no_mean():
    assert math.isnan(Tally(0.0, 0).mean)
    assert np.isnan(Tally(np.zeros(3), 0).mean).all()


def test_arrays_add_cell_by_cell_and_weights_may_be_fractions():
    both = Tally(np.array([1.0, 2.0]), 0.5) + Tally(np.array([3.0, 4.0]), 1.5)
    assert both.mean.tolist() == [(1 + 3) / 2, (2 + 4) / 2]


def test_a_tally_cannot_be_changed():
    with pytest.raises(AttributeError):
        Tally(1.0, 1).count = 2
