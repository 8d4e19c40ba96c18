"""The weights of the bootstrap, and that its intervals hold the truth as often as they say."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.evaluate import bootstrap
from shoplm.evaluate.bootstrap import BLOCK, Bootstrap, interval, weights
from shoplm.evaluate.judge import Judge
from shoplm.evaluate.metrics import Accuracy


def test_weights_have_mean_one_and_variance_one():
    shares = np.bincount(bootstrap._WEIGHT_OF_BYTE.astype(int)) / 256
    values = np.arange(len(shares))
    assert shares @ values == 1
    assert shares @ (values - 1.0) ** 2 == 1
    poisson = np.exp(-1) / np.array([1, 1, 2, 6, 24, 120])
    np.testing.assert_allclose(shares, poisson, atol=1 / 128)  # one byte: shares of 1/256


def test_weights_are_a_pure_function_of_seed_and_row():
    np.testing.assert_array_equal(weights(3, 5), weights(3, 5))
    assert (weights(3, 5) != weights(4, 5)).any()
    assert (weights(3, 5) != weights(3, 6)).any()
    assert weights(0, 0).shape == (BLOCK, 300)


def test_columns_of_weights_are_uncorrelated():
    drawn = weights(0, 0, 40).astype(float)
    off = np.corrcoef(drawn.T) - np.eye(40)
    assert np.abs(off).max() < 5 / np.sqrt(BLOCK)  # five standard errors, 780 pairs


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3 * BLOCK), max_size=4), st.integers(0, 2**31))
def test_chunks_change_no_replicate(cuts, seed):
    rng = np.random.default_rng(seed)
    rows = 3 * BLOCK
    cells, amounts = rng.integers(-1, 5, (rows, 2)), np.ones((rows, 2))
    whole, parts = Bootstrap(5, seed, 24), Bootstrap(5, seed, 24)
    whole.add(cells, amounts)
    edges = [0, *sorted(cuts), rows]
    for start, stop in itertools.pairwise(edges):
        parts.add(cells[start:stop], amounts[start:stop])
    np.testing.assert_array_equal(whole.replicates(0, 5), parts.replicates(0, 5))


def test_replicates_equal_a_plain_weighted_sum():
    rng = np.random.default_rng(0)
    cells, amounts = rng.integers(-1, 4, (100, 3)), rng.random((100, 3))
    ours = Bootstrap(4, 7)
    ours.add(cells, amounts)
    expected = np.zeros((300, 4))
    for row, weight in enumerate(weights(7, 0)[:100]):
        for cell, amount in zip(cells[row], amounts[row], strict=True):
            if cell >= 0:
                expected[:, cell] += weight * amount
    np.testing.assert_allclose(ours.replicates(0, 4), expected, rtol=1e-5)  # float32 sums of 100 terms


def test_intervals_of_an_accuracy_hold_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        judge = Judge({"accuracy": Accuracy("t", "v")}, {}, seed)
        judge.update({"t": np.ones(150, int)}, {"v": (rng.random(150) < 0.8).astype(float)})
        estimate = judge.result().metrics["accuracy"]
        held += estimate.low <= 0.8 <= estimate.high
    assert 180 <= held <= 198  # binomial(200, .95): 190 ± 3.1, and the percentile bootstrap is a little narrow


def test_an_interval_holds_its_value_and_leaves_nan_out():
    estimate = interval(0.01, np.array([0.02, 0.03, np.nan]))
    assert (estimate.low, estimate.value) == (0.01, 0.01)
    assert estimate.high == pytest.approx(0.03, abs=1e-3)  # a percentile between two replicates
    assert np.isnan(interval(float("nan"), np.array([1.0])).low)
