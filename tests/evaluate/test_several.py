"""Metrics of several questions at once, against scikit-learn and against their parts."""

import numpy as np
import pytest
import sklearn.metrics as reference

from shoplm.evaluate.judge import Judge, difference
from shoplm.evaluate.metrics import Accuracy, MacroF1, MicroF1
from shoplm.evaluate.several import AveragePrecision, all_right, mean_of, pooled

RNG = np.random.default_rng(0)
YES = (RNG.random(300) < 0.2).astype(float)
SURE = np.clip(0.3 * YES + RNG.random(300) * 0.6, 0.01, 0.99)
KIND = RNG.integers(0, 3, 300)
SHARES = RNG.dirichlet(np.ones(3), 300)
HOLES = np.where(np.arange(300) % 4 == 0, np.nan, YES)
KNOWN = ~np.isnan(HOLES)
TARGETS = {"kind": KIND, "vegan": HOLES}
VALUES = {"kind": SHARES, "vegan": SURE}


def test_f1_of_the_yes_equals_scikit_learn_and_skips_the_unknown():
    expected = reference.f1_score(YES[KNOWN], SURE[KNOWN] >= 0.5)
    assert MicroF1("vegan", "vegan", ignore=0).point(TARGETS, VALUES) == pytest.approx(expected)
    assert np.isnan(MicroF1("t", "v", ignore=0).point({"t": np.zeros(4)}, {"v": np.full(4, 0.2)}))  # no yes, neither true nor said


def test_average_precision_equals_scikit_learn_but_for_its_bins_and_ties_count_together():
    found = AveragePrecision("vegan", "vegan").point(TARGETS, VALUES)
    assert found == pytest.approx(
        reference.average_precision_score(YES[KNOWN], SURE[KNOWN]), abs=5e-3
    )  # 225 rows within 3 of log-odds, in bins .009 wide
    tied = np.array([0.9, 0.4, 0.4, 0.4, 0.0, 1.0])
    event = np.array([0, 1, 0, 1, 1, 1])
    expected = reference.average_precision_score(event, tied)
    assert AveragePrecision("t", "v").point({"t": event}, {"v": tied}) == pytest.approx(expected)
    assert np.isnan(AveragePrecision("t", "v").point({"t": np.zeros(6)}, {"v": tied}))


def test_a_mean_is_that_of_its_parts_without_those_that_counted_nothing():
    parts = [(MacroF1("kind", "kind"), 3), (MicroF1("vegan", "vegan", ignore=0), 1), (MicroF1("none", "none", ignore=0), 1)]
    joint = mean_of(parts)
    expected = [part.point(TARGETS, VALUES) for part, _ in parts[:2]]
    assert joint.point(TARGETS, VALUES) == pytest.approx(np.mean(expected))
    unknown = {**TARGETS, "none": np.full(300, np.nan)}
    assert joint.point(unknown, {**VALUES, "none": SURE}) == pytest.approx(np.mean(expected))
    assert joint.readable({"vegan"}, {"vegan"})
    assert not joint.readable({"vegan"}, {"kind"})


def test_pooled_f1_equals_that_of_all_decisions_laid_end_to_end():
    joint = pooled([MicroF1("kind", "kind"), MicroF1("vegan", "vegan", ignore=0)])
    truth = np.concatenate([np.eye(3)[KIND].ravel(), YES[KNOWN]])
    said = np.concatenate([np.eye(3)[SHARES.argmax(1)].ravel(), SURE[KNOWN] >= 0.5])
    assert joint.point(TARGETS, VALUES) == pytest.approx(reference.f1_score(truth, said))


def test_a_judge_streams_joint_metrics_resamples_them_and_pairs_them():
    metrics = {"mean": mean_of([(MacroF1("kind", "kind"), 3), (MicroF1("vegan", "vegan", ignore=0), 1)]), "kind": MacroF1("kind", "kind")}
    judges = [Judge(metrics, {"kind": 3}) for _ in range(3)]
    judges[0].update(TARGETS, VALUES, {"half": ["a", "b"] * 150})
    for part in np.array_split(np.arange(300), 7):
        judges[1].update({k: v[part] for k, v in TARGETS.items()}, {k: v[part] for k, v in VALUES.items()}, {"half": ["a"] * len(part)})
    judges[2].update(TARGETS, {**VALUES, "vegan": 1 - SURE})
    whole, parts, other = (judge.result() for judge in judges)
    assert whole.metrics["mean"] == parts.metrics["mean"]
    assert whole.metrics["mean"].value == pytest.approx(metrics["mean"].point(TARGETS, VALUES))
    assert whole.metrics["mean"].low < whole.metrics["mean"].value < whole.metrics["mean"].high
    half = {k: v[::2] for k, v in TARGETS.items()}, {k: v[::2] for k, v in VALUES.items()}
    assert whole.slices["half"]["a"].metrics["mean"].value == pytest.approx(metrics["mean"].point(*half))
    assert set(whole.confusion) == {"kind"}
    assert set(whole.checksums) == {"kind", "vegan"}
    gain = difference(whole, other)
    assert gain["kind"].value == gain["kind"].low == 0  # the same answers
    assert gain["mean"].value != 0


def test_all_right_equals_the_subset_accuracy_of_scikit_learn_and_skips_rows_with_an_unknown():
    random = np.random.default_rng(4)
    true, said = random.integers(0, 2, (60, 3)).astype(float), random.random((60, 3)).astype(np.float32)
    said = np.where(random.random((60, 1)) < 0.5, np.abs(true - 0.3).astype(np.float32), said)  # half of the rows are right
    true[:7, 1] = np.nan
    metric = all_right([Accuracy(name, f"{name} choice") for name in "abc"])
    targets = {name: true[:, at] for at, name in enumerate("abc")}
    values = {f"{name} choice": said[:, at] for at, name in enumerate("abc")}
    expected = reference.accuracy_score(true[7:], said[7:] >= 0.5)
    assert 0.2 < expected < 0.9
    assert metric.point(targets, values) == pytest.approx(expected, abs=1e-12)
