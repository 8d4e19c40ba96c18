"""The judge: streams, slices, pairs, and refuses what cannot be judged."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_auc_score

from shoplm.errors import RunError
from shoplm.evaluate.judge import Judge, difference
from shoplm.evaluate.metrics import AUROC, ECE, RMSE, Accuracy, LogLoss, MacroF1

METRICS = {
    "accuracy": Accuracy("mood", "mood"),
    "macro_f1": MacroF1("mood", "mood"),
    "log_loss": LogLoss("mood", "mood"),
    "ece": ECE("mood", "mood"),
    "oos_auroc": AUROC("oos", "oos"),
    "rmse": RMSE("stars", "stars"),
}


def rows(count: int, seed: int = 0, skill: float = 1.0):
    """Targets drawn from ``seed`` alone; a model of more ``skill`` is oftener right."""
    rng = np.random.default_rng(seed)
    mood, oos, stars = rng.integers(-1, 3, count), rng.integers(-1, 2, count), rng.integers(1, 6, count).astype(float)
    stars[rng.random(count) < 0.1] = np.nan
    part = np.array(["dress", "coat", None], object)[rng.integers(0, 3, count)]
    logits = rng.normal(size=(count, 3))
    logits[np.arange(count), mood] += skill
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    values = {"mood": probability, "oos": rng.normal(size=count) + oos, "stars": np.nan_to_num(stars) + rng.normal(size=count)}
    return {"mood": mood, "oos": oos, "stars": stars}, values, {"department": part}


def judged(data, edges=(), seed=0):
    targets, values, slices = data
    judge = Judge(METRICS, {"mood": 3}, seed)
    for part in np.split(np.arange(len(targets["mood"])), list(edges)):
        judge.update(
            {k: v[part] for k, v in targets.items()}, {k: v[part] for k, v in values.items()}, {k: v[part] for k, v in slices.items()}
        )
    return judge.result()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 500), max_size=4).map(sorted))
def test_chunked_equals_whole(cuts):
    whole, parts = judged(rows(500)), judged(rows(500), cuts)
    assert json.dumps(rounded(parts.plain())) == json.dumps(rounded(whole.plain()))
    assert parts.pairs_with(whole)


def rounded(value):
    """To five places: replicates are float32 sums, which chunks add up in another order."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def test_order_changes_no_value():
    targets, values, slices = data = rows(500)
    order = np.random.default_rng(1).permutation(500)
    mixed = tuple({k: v[order] for k, v in part.items()} for part in (targets, values, slices))
    straight, shuffled = judged(data), judged(mixed)
    for name in METRICS:
        assert shuffled.metrics[name].value == pytest.approx(straight.metrics[name].value, abs=1e-12)  # float64 sums, reordered
    assert not shuffled.pairs_with(straight)


def test_the_auroc_is_exact_even_where_all_scores_share_a_bin():
    rng = np.random.default_rng(0)
    event = rng.integers(0, 2, 1000)
    score = 0.5 + 1e-4 * (rng.normal(size=1000) + event)
    judge = Judge({"a": AUROC("e", "s")}, {})
    judge.update({"e": event}, {"s": score})
    # float32 keeps 6e-8 of scores that spread over 1e-4: about one pair in 6,000 becomes a tie
    assert judge.result().metrics["a"].value == pytest.approx(roc_auc_score(event, score), abs=1e-4)


def test_confusion_counts_equal_scikit_learn():
    targets, values, _ = data = rows(300)
    known = targets["mood"] >= 0
    expected = confusion_matrix(targets["mood"][known], values["mood"].argmax(1)[known])
    np.testing.assert_array_equal(judged(data).confusion["mood"], expected)


def test_a_slice_is_what_a_judge_of_its_rows_alone_would_say():
    targets, values, slices = data = rows(400)
    here = slices["department"] == "dress"
    alone = judged(tuple({k: v[here] for k, v in part.items()} for part in (targets, values, slices)))
    part = judged(data).slices["department"]["dress"]
    assert part.rows == here.sum()
    for name in METRICS:
        near = 1e-3 if name == "oos_auroc" else 1e-12  # a slice's is read from bins, and one tie in 130 rows weighs 1e-4
        assert part.metrics[name].value == pytest.approx(alone.metrics[name].value, abs=near)
    assert part.metrics["accuracy"].low < part.metrics["accuracy"].value < part.metrics["accuracy"].high


def test_a_slices_interval_is_about_as_wide_as_the_bootstraps():
    data = rows(3000)
    one = judged((data[0], data[1], {"all": np.full(3000, "x", object)}))
    for name in ("accuracy", "macro_f1", "log_loss", "rmse"):
        ours, theirs = one.slices["all"]["x"].metrics[name], one.metrics[name]
        # 20 groups know a standard error to a factor of about 1 ± 1/sqrt(38); three of those
        assert 0.5 < (ours.high - ours.low) / (theirs.high - theirs.low) < 1.6


def test_only_the_twenty_largest_slices_have_a_name_and_the_rest_is_other():
    names = np.array([f"v{i}" for i in range(30) for _ in range(i + 1)], object)
    data = rows(len(names))
    found = judged((data[0], data[1], {"s": names})).slices["s"]
    assert list(found) == [*(f"v{i}" for i in range(29, 9, -1)), "other"]
    assert found["other"].rows == sum(i + 1 for i in range(10))
    assert sum(part.rows for part in found.values()) == len(names)


def test_slices_take_arrow_arrays_and_call_nulls_missing():
    targets, values, _ = rows(4)
    judge = Judge(METRICS, {"mood": 3})
    judge.update(targets, values, {"s": pa.chunked_array([["a", None], ["a", "b"]])})
    assert {name: part.rows for name, part in judge.result().slices["s"].items()} == {"a": 2, "b": 1, "missing": 1}


def test_a_model_differs_from_itself_by_exactly_nothing():
    found = difference(judged(rows(200)), judged(rows(200)))
    assert all((e.value, e.low, e.high) == (0, 0, 0) for e in found.values())


def test_a_paired_difference_is_surer_than_the_two_intervals():
    targets, values, slices = rows(2000)
    slightly = dict(values, mood=values["mood"].copy())
    slightly["mood"][:40] = np.eye(3)[np.maximum(targets["mood"][:40], 0)]  # right in forty more rows
    ours, theirs = judged((targets, slightly, slices)), judged((targets, values, slices))
    gain = difference(ours, theirs)["accuracy"]
    assert gain.low > 0
    assert gain.high - gain.low < (ours.metrics["accuracy"].high - ours.metrics["accuracy"].low) / 2


@pytest.mark.parametrize("other", [{"seed": 1}, {"data": 7}])
def test_judgements_of_other_rows_or_seeds_cannot_be_paired(other):
    with pytest.raises(ValueError, match="same rows"):
        difference(judged(rows(50)), judged(rows(50, other.get("data", 0)), seed=other.get("seed", 0)))


def test_a_value_that_is_not_a_number_is_refused_with_its_row():
    targets, values, _ = rows(10)
    judge = Judge(METRICS, {"mood": 3})
    judge.update(targets, values)
    values["oos"][4] = np.nan
    with pytest.raises(RunError, match="`oos`, row 14: not a finite number"):
        judge.update(targets, values)


def test_unequal_lengths_and_widths_are_refused():
    targets, values, _ = rows(10)
    with pytest.raises(ValueError, match="equally long"):
        Judge(METRICS, {"mood": 3}).update(targets, {**values, "oos": values["oos"][:5]})
    with pytest.raises(ValueError, match="expected 4 columns"):
        Judge(METRICS, {"mood": 4}).update(targets, values)


def test_nothing_known_becomes_null_in_json():
    judge = Judge({"accuracy": Accuracy("t", "v")}, {})
    judge.update({"t": np.array([-1])}, {"v": np.array([0.5])}, {"s": ["x"]})
    plain = judge.result().plain()
    nothing = {"accuracy": {"value": None, "low": None, "high": None}}
    assert plain == {"rows": 1, "metrics": nothing, "slices": {"s": {"x": {"rows": 1, "metrics": nothing}}}}
    json.dumps(plain, allow_nan=False)


def test_an_empty_judge_and_empty_chunks_are_no_trouble():
    judge = Judge(METRICS, {"mood": 3})
    judge.update(*({k: v[:0] for k, v in part.items()} for part in rows(3)))
    assert judge.result().points() == dict.fromkeys(METRICS)


def test_a_judgement_of_fewer_metrics_is_still_paired_in_those():
    targets, values, _ = rows(50)
    fewer = Judge({"accuracy": METRICS["accuracy"]}, {"mood": 3})
    fewer.update(targets, values)
    found = difference(judged(rows(50)), fewer.result())
    assert list(found) == ["accuracy"]
    assert found["accuracy"].high == 0
