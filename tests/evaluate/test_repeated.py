"""Several seeds as one figure: the mean, an interval that knows rows and seeds, paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from shoplm.evaluate.repeated import Run, figure, gain


def seed(value, noise=0.01, rows=100, checksum=1, draws=0, better=True):
    """One seed's run; runs with the same ``draws`` were judged on the same resampled rows."""
    shared = np.random.default_rng(draws).normal(0, noise, 300)
    return Run({"f1": value}, {"f1": (value + shared).tolist()}, {"label": checksum}, {"f1": better}, rows, 0)


def test_a_figure_is_the_mean_over_seeds():
    found = figure([seed(0.7), seed(0.8)], "f1")
    assert found.value == pytest.approx(0.75)
    assert found.low < 0.75 < found.high


def test_seeds_that_differ_widen_the_interval():
    alike, apart = figure([seed(0.75), seed(0.75)], "f1"), figure([seed(0.65), seed(0.85)], "f1")
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def test_a_difference_is_paired_what_rows_do_to_both_cancels():
    ours, theirs = [seed(0.80, noise=0.05)], [seed(0.78, noise=0.05)]
    found = gain(ours, theirs, "f1")
    assert found.value == pytest.approx(0.02)
    assert found.low == pytest.approx(0.02)  # the same shift in every replicate
    assert figure(ours, "f1").low < figure(theirs, "f1").value


def test_a_gain_is_positive_where_lower_is_better_too():
    assert gain([seed(0.3, better=False)], [seed(0.4, better=False)], "f1").value == pytest.approx(0.1)


def test_runs_on_other_rows_are_not_paired():
    assert gain([seed(0.8)], [seed(0.7, checksum=2)], "f1") is None
    assert gain([seed(0.8)], [seed(0.7, rows=99)], "f1") is None
    assert gain([seed(0.8)], [], "f1") is None


def test_a_metric_that_a_run_lacks_is_no_number():
    assert np.isnan(figure([seed(0.8)], "rmse").value)
    assert gain([seed(0.8)], [seed(0.7)], "rmse") is None
