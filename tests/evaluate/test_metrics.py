"""The metrics against scikit-learn, and the laws of their cells."""

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.evaluate.metrics import AUROC, ECE, MAE, RMSE, Accuracy, LogLoss, MacroF1, MicroF1, Ranks
from shoplm.task import Metric

EXACT = 1e-12  # float64 sums of a few hundred terms, reordered


def judged(metric: Metric, target, value) -> float:
    """The metric of one chunk, straight from its cells."""
    value = np.asarray(value)
    cells, amounts = metric.cells(np.asarray(target), value)
    kept = cells >= 0
    size = metric.size(value.shape[1] if value.ndim == 2 else 1)
    return float(metric.read(np.bincount(cells[kept], amounts[kept], size)))


def some(rows: int, classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(classes), rows)
    return rng.integers(0, classes, rows), probability


@pytest.mark.parametrize("classes", [2, 3, 30])
def test_choice_metrics_equal_scikit_learn(classes):
    target, probability = some(200, classes)
    chosen = probability.argmax(1)
    assert judged(Accuracy("t", "v"), target, probability) == pytest.approx(reference.accuracy_score(target, chosen), abs=EXACT)
    assert judged(MacroF1("t", "v"), target, probability) == pytest.approx(reference.f1_score(target, chosen, average="macro"), abs=EXACT)
    assert judged(MicroF1("t", "v"), target, probability) == pytest.approx(reference.f1_score(target, chosen, average="micro"), abs=EXACT)
    loss = reference.log_loss(target, probability, labels=range(classes))
    assert judged(LogLoss("t", "v"), target, probability) == pytest.approx(loss, abs=EXACT)


def test_binary_metrics_equal_scikit_learn():
    target, two = some(300, 2)
    event = two[:, 1]
    assert judged(Accuracy("t", "v", 0.3), target, event) == pytest.approx(reference.accuracy_score(target, event >= 0.3), abs=EXACT)
    assert judged(MacroF1("t", "v"), target, event) == pytest.approx(reference.f1_score(target, event >= 0.5, average="macro"), abs=EXACT)
    assert judged(LogLoss("t", "v"), target, event) == pytest.approx(reference.log_loss(target, event), abs=EXACT)


def test_micro_f1_without_a_none_class_equals_scikit_learn_on_the_other_labels():
    target, probability = some(300, 4)
    expected = reference.f1_score(target, probability.argmax(1), labels=[1, 2, 3], average="micro")
    assert judged(MicroF1("t", "v", ignore=0), target, probability) == pytest.approx(expected, abs=EXACT)


def test_regression_metrics_equal_scikit_learn_and_skip_nan():
    rng = np.random.default_rng(0)
    target, value = rng.normal(size=100), rng.normal(size=100)
    holes = np.append(target, np.nan)
    assert judged(RMSE("t", "v"), holes, np.append(value, 9.0)) == pytest.approx(
        reference.root_mean_squared_error(target, value), abs=EXACT
    )
    assert judged(MAE("t", "v"), holes, np.append(value, 9.0)) == pytest.approx(reference.mean_absolute_error(target, value), abs=EXACT)


def test_ece_is_the_weighted_gap_of_its_bins():
    said = np.array([0.95, 0.95, 0.95, 0.95, 0.55])
    came = np.array([1, 1, 1, 0, 1])
    expected = (4 * abs(0.95 - 3 / 4) + 1 * abs(0.55 - 1)) / 5
    assert judged(ECE("t", "v"), came, said) == pytest.approx(expected, abs=EXACT)
    two = np.stack([said, 1 - said], 1)  # of the likeliest label: class 0 here
    assert judged(ECE("t", "v"), 1 - came, two) == pytest.approx(expected, abs=EXACT)


def test_a_probability_of_one_falls_in_the_last_bin():
    assert judged(ECE("t", "v"), [1, 0], np.array([1.0, 0.0])) == 0


@pytest.mark.parametrize("metric", [Accuracy, MacroF1, MicroF1, LogLoss, ECE])
def test_missing_targets_change_nothing(metric):
    target, probability = some(50, 3)
    extra = np.concatenate([probability, probability[::-1]])
    assert judged(metric("t", "v"), np.append(target, np.full(50, -1)), extra) == judged(metric("t", "v"), target, probability)


@pytest.mark.parametrize("metric", [Accuracy, MacroF1, MicroF1, LogLoss, ECE, AUROC, RMSE, MAE])
def test_no_known_target_gives_nan(metric):
    assert np.isnan(judged(metric("t", "v"), [-1] if metric not in (RMSE, MAE) else [np.nan], np.array([0.5])))


def test_an_impossible_truth_costs_much_and_not_infinity():
    assert judged(LogLoss("t", "v"), [1], np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-12))


SCALES = {
    "probability": lambda x: 1 / (1 + np.exp(-x)),
    "very sure": lambda x: 1 / (1 + np.exp(-6 * x)),
    "energy": lambda x: x * 3 - 9,
    "large": lambda x: x * 50 + 400,
    "around zero": lambda x: x,
}


@pytest.mark.parametrize("scale", SCALES)
def test_binned_auroc_is_within_a_ten_thousandth(scale):
    rng = np.random.default_rng(1)
    event = rng.integers(0, 2, 20_000)
    score = SCALES[scale](rng.normal(size=20_000) + event)
    assert judged(AUROC("t", "v"), event, score) == pytest.approx(reference.roc_auc_score(event, score), abs=1e-4)  # as documented


@given(st.lists(st.tuples(st.integers(-1, 1), st.sampled_from([-3.0, -1e-7, -0.0, 0.0, 0.25, 1.0, 7.0, 7.5])), min_size=1, max_size=40))
def test_ranks_are_exact_with_ties(pairs):
    event, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    ranks = Ranks()
    ranks.add(event, score)
    known = event >= 0
    if len(set(event[known].tolist())) < 2:
        assert np.isnan(ranks.auroc())
    else:
        assert ranks.auroc() == pytest.approx(reference.roc_auc_score(event[known], score[known]), abs=EXACT)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 400))
def test_ranks_past_their_limit_depend_on_neither_chunks_nor_order(seed, cut):
    rng = np.random.default_rng(seed)
    event = rng.integers(0, 2, 400)
    score = rng.normal(size=400) + event
    whole, parts = Ranks(limit=64), Ranks(limit=64)
    whole.add(event, score)
    order = rng.permutation(400)
    parts.add(event[order[:cut]], score[order[:cut]])
    parts.add(event[order[cut:]], score[order[cut:]])
    assert whole.auroc() == parts.auroc()
    assert whole.auroc() == pytest.approx(reference.roc_auc_score(event, score), abs=0.02)  # 64 bins for 400 scores
