"""Which calibration is chosen, what it does to the answers, and that it is stored as plain numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.errors import ConfigError
from shoplm.evaluate import calibrate as module
from shoplm.evaluate.calibrate import Calibrating, calibrate, diagram, log_odds, log_probabilities, told, uncalibrated
from shoplm.evaluate.calibration import log_softmax, reliability, sigmoid, temperature
from shoplm.task import Calibration, Fitted

KINDS = ("temperature", "platt", "isotonic")


def drawn(rows=2000, classes=4, heat=2.0, seed=0):
    """Logits that are ``heat`` times too large, and classes drawn from what they should say."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(rows, classes)) * 2
    return (true * heat).astype(np.float32), (log_softmax(true) + rng.gumbel(size=true.shape)).argmax(1)


def events(rows=2000, slope=1.0, offset=0.0, seed=0):
    """Logits z, and events with the odds exp(slope * z + offset)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows) * 2
    return z.astype(np.float32), (rng.random(rows) < sigmoid(slope * z + offset)).astype(float)


def asked(kind):
    return Fitted(words={"calibration": kind})


def chosen(logits, target, kind="auto"):
    found = calibrate(asked(kind), "x", logits, target).calibrations["x"]
    assert isinstance(found, Calibration)
    return found


def loss(logs, target):
    return float(-logs[np.arange(len(target)), target].mean())


def test_where_one_number_is_the_truth_the_temperature_is_kept():
    logits, target = drawn()
    found = chosen(logits, target)
    assert found.kind == "temperature"
    assert found.temperature == pytest.approx(2, rel=0.1)  # 2,000 draws
    assert found.before.log_loss[0] > found.after.log_loss[0]
    assert found.before.ece[0] > 3 * found.after.ece[0]
    for low, value, high in ((one[1], one[0], one[2]) for seen in (found.before, found.after) for one in (seen.log_loss, seen.ece)):
        assert low <= value <= high


def test_where_classes_are_off_by_different_amounts_platt_is_chosen_and_is_better_on_new_rows():
    shift = np.array([0.0, 2.0, -2.0, 1.0])
    (logits, target), (fresh, truth) = drawn(seed=0), drawn(seed=1)
    fitted = calibrate(asked("auto"), "x", logits + shift, target)
    assert fitted.calibrations["x"].kind == "platt"
    ours = loss(log_probabilities(fitted, "x", fresh + shift), truth)
    assert ours < loss(log_softmax((fresh + shift) / temperature(logits + shift, target)), truth) - 0.05
    assert ours < loss(log_softmax(fresh / 2), truth) + 0.01  # nearly as good as the law that the rows were drawn by


def test_where_the_curve_is_no_line_isotonic_is_chosen_and_is_better_on_new_rows():
    def bent(seed):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=4000) * 3
        return z, (rng.random(4000) < np.where(z > 1, 0.9, np.where(z > -1, 0.3, 0.2))).astype(float)

    (z, y), (fresh, truth) = bent(0), bent(1)
    fitted = calibrate(asked("auto"), "x", z, y)
    assert fitted.calibrations["x"].kind == "isotonic"
    platt = calibrate(asked("platt"), "x", z, y)
    wrong = [
        np.abs(sigmoid(log_odds(one, "x", fresh)) - np.where(fresh > 1, 0.9, np.where(fresh > -1, 0.3, 0.2))).mean()
        for one in (fitted, platt)
    ]
    assert wrong[0] < wrong[1] / 2
    assert truth.mean() == pytest.approx(sigmoid(log_odds(fitted, "x", fresh)).mean(), abs=0.03)  # 4,000 draws, twice


def test_an_event_whose_odds_are_shifted_gets_platts_line():
    z, y = events(slope=0.5, offset=1.0)
    found = chosen(z, y)
    assert found.kind == "platt"
    assert (found.slope[0], found.offset[0]) == pytest.approx((0.5, 1.0), abs=0.15)  # 2,000 draws
    assert 0.5 < sigmoid(log_odds(calibrate(asked("auto"), "x", z, y), "x", np.zeros(1)))[0] < 0.8


@pytest.mark.parametrize("rows", [3, 60])
def test_few_rows_take_the_temperature_and_say_so(rows):
    logits, target = drawn(rows)
    found = chosen(logits, target)
    assert found.kind == "temperature"
    assert f"{rows} rows are too few" in found.note
    assert (found.after is None) == (rows == 3)
    z, y = events(500, offset=-9)
    assert "rows of the rarer answer are too few" in chosen(z, y).note


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("truth", ["right", "wrong"])
def test_a_handful_of_rows_that_are_all_right_or_all_wrong_make_nothing_certain(kind, truth):
    logits = np.eye(3)[[0, 1, 2]] * 8.0
    target = np.array([0, 1, 2]) if truth == "right" else np.array([1, 2, 0])
    fitted = calibrate(asked(kind), "x", logits, target)
    said = np.exp(log_probabilities(fitted, "x", logits))
    assert 0 < said.min() < said.max() < (0.999 if kind == "platt" else 0.9)  # platt's prior leans on logits of 8
    if truth == "right":
        assert (said.argmax(1) == target).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_validation_lacks_still_gets_a_probability(kind):
    logits, target = drawn(600, 4)
    fitted = calibrate(asked(kind), "x", logits, np.where(target == 3, -1, target))
    said = np.exp(log_probabilities(fitted, "x", logits))
    assert (said[:, 3] > 0).all()
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-12)  # float64 sums of four


@pytest.mark.parametrize("kind", ["auto", *KINDS])
def test_constant_scores_say_nothing_and_stay_finite(kind):
    fitted = calibrate(asked(kind), "x", np.ones((200, 3)), np.arange(200) % 3)
    np.testing.assert_allclose(np.exp(log_probabilities(fitted, "x", np.ones((2, 3)))), 1 / 3, atol=0.01)  # 67, 67, 66 of 200
    odds = log_odds(calibrate(asked(kind), "x", np.ones(200), (np.arange(200) % 4 == 0).astype(float)), "x", np.ones(2))
    assert np.isfinite(odds).all()
    if kind not in ("auto", "temperature"):  # a temperature cannot leave the side of a half
        np.testing.assert_allclose(sigmoid(odds), 0.25, atol=0.02)  # Platt's aims


def test_without_an_answer_nothing_is_calibrated():
    fitted = calibrate(asked("auto"), "x", np.ones((4, 2)) * [0, 3], np.full(4, -1))
    assert fitted.calibrations["x"].kind == "none"
    np.testing.assert_array_equal(log_probabilities(fitted, "x", np.ones((4, 2)) * [0, 3]), log_softmax(np.ones((4, 2)) * [0, 3]))
    assert "no row with an answer" in told(fitted)[0]


def test_none_leaves_probabilities_as_they_are():
    logits, target = drawn()
    fitted = calibrate(asked("none"), "x", logits, target)
    np.testing.assert_array_equal(log_probabilities(fitted, "x", logits), log_softmax(logits))
    assert told(fitted) == ["x: not calibrated (asked for by calibration=none)"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_chosen_is_plain_numbers_that_answer_the_same(kind):
    logits, target = drawn(300)
    z, y = events(300)
    labels = np.stack([y, np.where(np.arange(300) % 2, y, np.nan), 1 - y], 1)
    fitted = calibrate(asked(kind), "x", logits, target)
    fitted = calibrate(calibrate(fitted, "e", z, y), "l", np.stack([z, z, -z], 1), labels)
    again = Fitted.model_validate_json(fitted.model_dump_json())
    np.testing.assert_array_equal(log_probabilities(again, "x", logits), log_probabilities(fitted, "x", logits))
    np.testing.assert_array_equal(log_odds(again, "e", z), log_odds(fitted, "e", z))
    every = log_odds(again, "l", np.stack([z, z, -z], 1))
    np.testing.assert_array_equal(every, log_odds(fitted, "l", np.stack([z, z, -z], 1)))
    assert [one.rows for one in again.calibrations["l"]] == [300, 150, 300]
    np.testing.assert_array_equal(every[:, 0], log_odds(fitted, "e", z))  # a label is an event of its own
    assert told(fitted)[2].startswith(f"l: 3 labels, 3 by {kind}")
    assert len(told(fitted)) == 3 + 3


def test_a_bundle_older_than_the_choice_answers_by_its_one_number():
    logits, _ = drawn(20)
    old = Fitted.model_validate_json('{"labels": {"x": ["a", "b", "c", "d"]}, "numbers": {"temperature": 1.7}, "words": {}}')
    np.testing.assert_array_equal(log_probabilities(old, "x", logits), log_softmax(logits / 1.7))
    np.testing.assert_array_equal(log_probabilities(uncalibrated(old), "x", logits), log_softmax(logits))
    assert uncalibrated(Fitted(numbers={"low": 1.0})) is None


def test_what_was_seen_is_of_rows_held_out():
    """Of random answers an isotonic curve finds structure in the very rows that it was fitted on, and none in others."""
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=400) * 3, rng.integers(0, 2, 400).astype(float)
    fitted = calibrate(asked("isotonic"), "x", z, y)
    found = fitted.calibrations["x"]
    odds = log_odds(fitted, "x", z)
    inside = np.logaddexp(0, np.where(y == 1, -odds, odds)).mean()
    assert inside < np.log(2) < found.after.log_loss[0]
    table = diagram(found.before)
    plain = reliability(sigmoid(z), y.astype(int))
    np.testing.assert_array_equal(table.count, plain.count)
    np.testing.assert_allclose(table.happened, plain.happened)
    assert table.error == pytest.approx(found.before.ece[0])


def test_equal_rows_share_a_fold_whatever_their_order():
    rng = np.random.default_rng(0)
    logits = np.repeat(rng.normal(size=(40, 3)), 5, 0)
    folds = module._folds(logits)
    assert all(len(set(folds[at : at + 5])) == 1 for at in range(0, 200, 5))
    order = rng.permutation(200)
    np.testing.assert_array_equal(module._folds(logits[order]), folds[order])
    np.testing.assert_array_equal(module._folds(logits[:, [2, 0, 1]]), folds)
    assert set(folds) == set(range(module.FOLDS))


def test_more_rows_than_enough_are_drawn_from(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 500)
    logits, target = drawn(2000)
    found = chosen(logits, target)
    assert found.rows == 500
    assert found.temperature == pytest.approx(2, rel=0.2)  # 500 draws


def test_with_very_many_classes_auto_draws_no_line_for_each(monkeypatch):
    monkeypatch.setattr(module, "MOST_CLASSES", 3)
    logits, target = drawn(300)
    assert "platt is not tried with more than 3 classes" in chosen(logits, target).note


def test_the_setting_knows_its_words():
    assert Calibrating().calibration == "auto"
    with pytest.raises(ConfigError, match="calibration"):
        Calibrating.of({"calibration": "isotonc"})


SOME = st.tuples(st.integers(0, 2**31), st.integers(5, 60), st.integers(2, 6), st.sampled_from(KINDS))


@settings(max_examples=40)
@given(SOME)
def test_probabilities_sum_to_one_and_follow_the_labels_wherever_they_stand(given_):
    seed, rows, classes, kind = given_
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(size=(rows, classes)) * 3, rng.integers(0, classes, rows)
    said = np.exp(log_probabilities(calibrate(asked(kind), "x", logits, target), "x", logits))
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-12)  # float64 sums of at most six
    order = rng.permutation(classes)
    place = np.argsort(order)
    moved = np.exp(log_probabilities(calibrate(asked(kind), "x", logits[:, order], place[target]), "x", logits[:, order]))
    np.testing.assert_allclose(moved, said[:, order], atol=1e-6)  # Newton ends at a gradient of 1e-9 a row, sums come in another order


@settings(max_examples=40)
@given(SOME)
def test_only_lines_of_many_classes_change_which_class_is_likeliest(given_):
    seed, rows, classes, kind = given_
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(size=(rows, classes)) * 3, rng.integers(0, classes, rows)
    if kind == "platt":
        logits, target = logits[:, :2], target % 2
    found = log_probabilities(calibrate(asked(kind), "x", logits, target), "x", logits)
    if kind == "platt":  # two classes: the order of the rows stays, while the border between the classes may move
        order = np.argsort(logits[:, 1] - logits[:, 0])
        assert (np.diff((found[:, 1] - found[:, 0])[order]) >= 0).all()
    else:
        np.testing.assert_array_equal(np.argsort(found, 1), np.argsort(logits, 1))


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 60), st.sampled_from(KINDS), st.sampled_from(["drawn", "all", "none", "reversed"]))
def test_a_higher_logit_never_means_a_less_probable_event(seed, rows, kind, truth):
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(size=rows) * 3, 1)  # with ties
    y = {"drawn": rng.random(rows) < 0.4, "all": np.ones(rows), "none": np.zeros(rows), "reversed": z < 0}[truth].astype(float)
    fitted = calibrate(asked(kind), "x", z, y)
    odds = log_odds(fitted, "x", np.linspace(-20, 20, 401))
    assert (np.diff(odds) >= 0).all()
    assert np.isfinite(odds).all()
    np.testing.assert_array_equal(log_odds(fitted, "x", z[::-1]), log_odds(fitted, "x", z)[::-1])


def test_with_few_rows_a_class_auto_draws_no_line_for_each():
    shift = np.array([0.0, 2.0, -2.0, 1.0])
    for rows, tried in ((module.A_CLASS * 4 - 1, False), (module.A_CLASS * 4, True)):
        logits, target = drawn(rows)
        note = chosen(logits + shift, target).note
        assert ("platt is not tried" not in note) == tried
