"""Temperature, Platt, reliability and thresholds against plain references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score

from shoplm.evaluate.calibration import log_softmax, platt, reliability, temperature, threshold_best_f1, threshold_for_recall


def test_temperature_undoes_a_known_scaling():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    target = (log_softmax(logits) + rng.gumbel(size=logits.shape)).argmax(1)  # drawn from the softmax itself
    assert temperature(logits * 3, target) == pytest.approx(3, rel=0.03)  # 20,000 draws


def test_temperature_is_the_minimum_of_the_log_loss():
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(300, 3)) * 5, rng.integers(0, 3, 300)
    logits[np.arange(300), target] += 3

    def loss(heat):
        return -log_softmax(logits / heat)[np.arange(300), target].mean()

    best = temperature(logits, target)
    assert loss(best) <= min(loss(heat) for heat in np.geomspace(0.05, 50, 500)) + 1e-9  # xatol 1e-5 in a flat minimum


def test_temperature_ignores_missing_targets_and_is_one_without_any():
    logits, target = np.random.default_rng(2).normal(size=(50, 3)), np.arange(50) % 3
    more = np.concatenate([logits, logits * 9])
    assert temperature(more, np.append(target, np.full(50, -1))) == temperature(logits, target)
    assert temperature(logits, np.full(50, -1)) == 1.0


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1000, 50_000), (0.001, 1)])
def test_platt_equals_a_general_minimiser_at_any_scale(scale, shift):
    rng = np.random.default_rng(0)
    event = rng.integers(0, 2, 500)
    x = rng.normal(size=500) + event
    aim = np.where(event == 1, (event.sum() + 1) / (event.sum() + 2), 1 / ((1 - event).sum() + 2))
    found = minimize(lambda w: (np.logaddexp(0, w[0] * x + w[1]) - aim * (w[0] * x + w[1])).sum(), [0, 0], method="BFGS")
    a, b = platt(x * scale + shift, event)
    np.testing.assert_allclose([a * scale, b + a * shift], found.x, atol=1e-4)  # BFGS stops at gradient 1e-5


def test_platt_stays_finite_where_scores_part_events_perfectly():
    a, b = platt(np.array([-2.0, -1, 1, 2]), np.array([0, 0, 1, 1]))
    assert np.isfinite([a, b]).all()
    assert a > 0
    assert platt(np.ones(3), np.array([-1, -1, -1])) == (0.0, 0.0)
    a, b = platt(np.ones(3), np.array([1, 1, 0]))  # a constant score knows the rate alone
    assert 1 / (1 + np.exp(-(a + b))) == pytest.approx(np.mean([3 / 4, 3 / 4, 1 / 3]), abs=1e-6)  # the mean of Platt's aims


def test_reliability_equals_scikit_learn():
    rng = np.random.default_rng(0)
    said = rng.random(1000)
    came = (rng.random(1000) < said).astype(int)
    table = reliability(np.append(said, 0.5), np.append(came, -1), bins=10)
    happened, mean = calibration_curve(came, said, n_bins=10)
    np.testing.assert_allclose(table.happened, happened)
    np.testing.assert_allclose(table.said, mean)
    assert table.count.sum() == 1000


SCORED = st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 1)), min_size=1, max_size=30).filter(
    lambda rows: any(e == 1 for _, e in rows)
)


@given(SCORED, st.floats(0.01, 1))
def test_threshold_for_recall_is_the_highest_that_reaches_it(rows, recall):
    score, event = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    found = score[event == 1]
    threshold = threshold_for_recall(score, event, recall)
    assert (found >= threshold).mean() >= recall - 1e-9
    higher = [t for t in np.unique(score) if t > threshold]
    assert all((found >= t).mean() < recall for t in higher)


@given(SCORED)
def test_threshold_best_f1_is_the_best_of_all(rows):
    score, event = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    known = event >= 0
    tried = [f1_score(event[known], score[known] >= t) for t in np.unique(score[known])]
    ours = f1_score(event[known], score[known] >= threshold_best_f1(score, event))
    assert ours == pytest.approx(max(tried), abs=1e-12)


def test_thresholds_without_an_event_are_refused():
    with pytest.raises(ValueError, match="no event"):
        threshold_best_f1(np.ones(2), np.zeros(2, int))
    with pytest.raises(ValueError, match="no event"):
        threshold_for_recall(np.ones(2), np.zeros(2, int), 0.9)
    with pytest.raises(ValueError, match="recall"):
        threshold_for_recall(np.ones(2), np.ones(2, int), 95)
