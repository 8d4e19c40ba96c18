"""Temperature, Platt, isotonic, reliability and thresholds against plain references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score

from shoplm.evaluate import calibration
from shoplm.evaluate.calibration import (
    OFFSET_PRIOR,
    SLOPE_PRIOR,
    equal_mass,
    isotonic,
    log_softmax,
    platt,
    platt_of_classes,
    platt_rising,
    reliability,
    sigmoid,
    temperature,
    threshold_best_f1,
    threshold_for_recall,
)
from shoplm.evaluate.metrics import ECE


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
    assert loss(best) <= min(loss(heat) for heat in np.geomspace(0.05, 50, 500))


def test_temperature_ignores_missing_targets_and_is_one_without_any():
    logits, target = np.random.default_rng(2).normal(size=(50, 3)), np.arange(50) % 3
    more = np.concatenate([logits, logits * 9])
    assert temperature(more, np.append(target, np.full(50, -1))) == temperature(logits, target)
    assert temperature(logits, np.full(50, -1)) == temperature(np.ones((50, 3)), target) == 1.0


@pytest.mark.parametrize("doubt", [0.0, 0.1])
def test_temperature_equals_a_general_minimiser(doubt):
    logits, target = vectors(200)

    def loss(log_heat):
        logs = log_softmax(logits / np.exp(log_heat))
        aim = np.where(np.eye(5)[target] == 1, 1 - doubt, doubt / 4)
        return -(aim * logs).sum(1).mean()

    found = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    assert np.log(temperature(logits, target, doubt)) == pytest.approx(
        found.x, abs=1e-6
    )  # a minimum is known to the root of float64's 2e-16


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


def test_doubt_makes_ten_right_of_ten_an_eleventh_short_of_certain():
    logits = np.tile([0.0, 3.0], (10, 1))
    heat = temperature(logits, np.ones(10, int), 1 / 12)
    assert np.exp(log_softmax(logits / heat))[0, 1] == pytest.approx(11 / 12)
    assert temperature(logits, np.ones(10, int)) == 0.01
    assert temperature(logits, np.zeros(10, int)) == 100


def test_rising_platt_is_platt_where_the_rows_rise_and_the_flattest_line_where_they_fall():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    rises, falls = (x + rng.normal(size=300) > 0).astype(int), (x < 0).astype(int)
    assert platt_rising(x, rises) == platt(x, rises)
    slope, offset = platt_rising(x, falls)
    assert slope == 0.01
    aim = np.where(falls == 1, (falls.sum() + 1) / (falls.sum() + 2), 1 / ((1 - falls).sum() + 2))
    tried = [(np.logaddexp(0, slope * x + b) - aim * (slope * x + b)).sum() for b in offset + np.linspace(-0.1, 0.1, 201)]
    assert int(np.argmin(tried)) == 100


def vectors(rows=400, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 4
    target = (log_softmax(logits / 2 + np.linspace(-1, 1, classes)) + rng.gumbel(size=logits.shape)).argmax(1)
    return logits, target


def objective(logits, target, slope, offset):
    """As the docstring says it, from slopes and offsets of the raw logits."""
    common = 1 / temperature(logits, target, 1 / (len(target) + 2))
    loss = -log_softmax(logits * slope + offset)[np.arange(len(target)), target].sum()
    return loss + ((slope / common - 1) ** 2).sum() / (2 * SLOPE_PRIOR**2) + (offset**2).sum() / (2 * OFFSET_PRIOR**2)


@pytest.mark.parametrize("rows", [8, 400])
def test_lines_of_classes_equal_a_general_minimiser(rows):
    logits, target = vectors(rows)
    slope, offset = platt_of_classes(logits, target)
    start = np.concatenate([np.full(5, 0.5), np.zeros(5)])
    found = minimize(lambda w: objective(logits, target, w[:5], w[5:]), start, method="BFGS", options={"gtol": 1e-6})
    np.testing.assert_allclose(np.concatenate([slope, offset]), found.x, atol=1e-4)  # BFGS differentiates by differences


def test_lines_of_classes_without_the_priors_equal_scikit_learn(monkeypatch):
    """A multinomial regression on one feature a class has a matrix of slopes; its diagonal form is ours, so ours cannot lose less."""
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(calibration, "SLOPE_PRIOR", 1e4)
    monkeypatch.setattr(calibration, "OFFSET_PRIOR", 1e4)
    logits, target = vectors(4000, 3)
    slope, offset = platt_of_classes(logits, target)
    ours = -log_softmax(logits * slope + offset)[np.arange(4000), target].mean()
    full = LogisticRegression(C=1e9, tol=1e-8, max_iter=1000).fit(logits, target)
    theirs = -np.log(full.predict_proba(logits)[np.arange(4000), target]).mean()
    assert theirs - 1e-9 <= ours < theirs + 2e-3  # four slopes more, half a nat each, over 4,000 rows: 5e-4
    np.testing.assert_allclose(slope, 0.5, atol=0.06)  # the law that the rows were drawn by; 4,000 draws


def test_no_line_of_a_class_falls():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 3)) * 3
    target = np.where(logits[:, 0] < -1, 0, 1 + (logits[:, 2] > logits[:, 1]))  # class 0 where its logit is low
    slope, _ = platt_of_classes(logits, target)
    assert slope.min() == pytest.approx(0.01)
    better = [objective(logits, target, slope + step, platt_of_classes(logits, target)[1]) for step in (np.eye(3) * 0.01)]
    assert min(better) >= objective(logits, target, *platt_of_classes(logits, target))


def test_two_classes_are_platts_line_through_their_difference():
    logits, target = vectors(200, 2)
    slope, offset = platt_of_classes(logits, target)
    a, b = platt(logits[:, 1] - logits[:, 0], target)
    assert slope.tolist() == [a, a]
    assert offset[1] - offset[0] == pytest.approx(b)
    assert offset.sum() == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 1)), min_size=1, max_size=40))
def test_isotonic_equals_scikit_learn_on_platts_aims(rows):
    score, event = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    at, steps = isotonic(score, event)
    known = event >= 0
    if not known.any():
        assert len(at) == len(steps) == 0
        return
    came, failed = (event == 1).sum(), (event == 0).sum()
    aim = np.where(event == 1, (came + 1) / (came + 2), 1 / (failed + 2))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(score[known], aim[known])
    where = np.linspace(-3, 12, 61)
    np.testing.assert_allclose(np.interp(where, at, steps), theirs.predict(where), atol=1e-7)  # it answers in float32 where thresholds are
    assert (np.diff(at) > 0).all()
    assert (np.diff(steps) >= 0).all()
    assert 0 < steps.min() <= steps.max() < 1


def test_bins_of_equal_mass_hold_equally_many_rows_and_their_error_is_the_mean_gap():
    rng = np.random.default_rng(0)
    said = rng.beta(8, 1, 3000)
    came = (rng.random(3000) < said**2).astype(int)
    table = reliability(said, came, edges=equal_mass(said, 10))
    assert set(table.count) == {300}
    assert table.error == pytest.approx(np.mean(np.abs(table.said - table.happened)))
    assert reliability(said, came).error == pytest.approx(ECE("t", "v").point({"t": came}, {"v": said}))
    one = reliability(np.full(9, 0.3), np.ones(9, int), edges=equal_mass(np.full(9, 0.3)))
    assert one.error == pytest.approx(0.7)
    assert np.isnan(reliability(np.empty(0), np.empty(0, int)).error)


def test_the_interval_of_a_bin_is_wilsons():
    from scipy.stats import binomtest

    table = reliability(np.repeat([0.05, 0.5, 0.95], [7, 40, 3]), np.repeat([0, 1, 0, 1], [7, 15, 25, 3]), bins=3)
    low, high = table.interval()
    for at, (hits, of) in enumerate([(0, 7), (15, 40), (3, 3)]):
        theirs = binomtest(hits, of).proportion_ci(method="wilson")
        assert (low[at], high[at]) == pytest.approx((theirs.low, theirs.high), abs=1e-6)  # 1.959964
    assert np.isnan(reliability(np.array([0.1]), np.array([1]), bins=2).interval()[0][1])


def test_sigmoid_neither_overflows_nor_loses_its_tails():
    np.testing.assert_allclose(sigmoid(np.array([-1000.0, -50, 0, 50])), [0, np.exp(-50), 0.5, 1], rtol=1e-12)
