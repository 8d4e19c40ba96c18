"""sentiment: what it learns from classes and stars, and what it answers."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.model.specs import Choice, Labels, Score
from shoplm.task import Fitted, Scores, get

TASK = get("sentiment")
Settings = TASK.Settings


def targets(labels, stars=None):
    found = {"label": pa.array(labels, pa.string())}
    return found if stars is None else {**found, "stars": pa.array(stars, pa.float64())}


def test_moods_keep_their_natural_order_and_other_classes_the_alphabet():
    assert list(TASK.learn(targets(["positive", "negative", "neutral"]), Settings()).labels["label"]) == ["negative", "neutral", "positive"]
    assert list(TASK.learn(targets(["positive", "negative", None]), Settings()).labels["label"]) == ["negative", "positive"]
    assert list(TASK.learn(targets(["true", "false"]), Settings(target="recommended")).labels["label"]) == ["false", "true"]


@pytest.mark.parametrize(("labels", "said"), [(["positive", "positive"], "only the value `positive`"), ([None], "no value at all")])
def test_one_class_is_nothing_to_learn(labels, said):
    with pytest.raises(DataError, match=f"sentiment: the train rows hold {said} of `label or rating`"):
        TASK.learn(targets(labels), Settings())


def test_stars_are_learnt_only_where_there_are_some():
    assert set(TASK.heads(TASK.learn(targets(["a", "b"], [None, None]), Settings()))) == {"label"}
    specs = TASK.heads(TASK.learn(targets(["a", "b"], [None, 4.0]), Settings()))
    assert specs == {"label": Choice(("a", "b")), "stars": Score("regression", 1.0, 5.0)}


def test_the_temperature_is_chosen_on_validation_and_used_in_the_answer():
    fitted = Fitted(labels={"label": ["negative", "positive"]})
    scores = Scores({"label": np.tile(np.array([[0.0, 9.0]], np.float32), (10, 1))})
    chosen = TASK.choose(scores, {"label": np.array([1] * 8 + [0] * 2)}, fitted)
    # the loss is least where sigmoid(9 / T) is what the targets say of class 1: 11/12 of the 8 and 1/12 of the other 2 rows, .75
    assert chosen.calibrations["label"].temperature == pytest.approx(9 / np.log(3))
    answer = TASK.answer(scores, chosen)
    assert answer.columns["probability"] == pytest.approx([0.75] * 10)
    assert answer.values["event"] == pytest.approx([0.75] * 10)


def test_without_a_known_target_in_validation_the_scores_stay_as_they_are():
    fitted = Fitted(labels={"label": ["a", "b"]})
    scores = Scores({"label": np.array([[0, 1], [2, 0]], np.float32)})
    chosen = TASK.choose(scores, {"label": np.array([-1, -1])}, fitted)
    np.testing.assert_array_equal(TASK.answer(scores, chosen).values["label"], TASK.answer(scores, fitted).values["label"])


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_rare_moods_are_favoured_in_whatever_the_calibrated_probabilities_say(kind):
    labels = ["negative", "neutral", "positive"]
    rng = np.random.default_rng(0)
    true = rng.choice(3, 1500, p=[0.1, 0.1, 0.8])
    logits = (np.log([0.1, 0.1, 0.8]) + 2 * np.eye(3)[true] + rng.normal(size=(1500, 3))).astype(np.float32)
    shares = {f"prior:{label}": float((true == at).mean()) for at, label in enumerate(labels)}
    scores, fitted = Scores({"label": logits}), Fitted(labels={"label": labels}, numbers=shares, words={"calibration": kind})
    chosen = TASK.choose(scores, {"label": true}, fitted)
    assert chosen.calibrations["label"].kind == kind
    assert chosen.numbers["favour"] > 0
    plain = chosen.model_copy(update={"numbers": {**chosen.numbers, "favour": 0.0}})
    after, before = (TASK.metrics["macro_f1"].point({"label": true}, TASK.answer(scores, one).values) for one in (chosen, plain))
    assert after > before
    np.testing.assert_array_equal(TASK.answer(scores, chosen).values["label"], TASK.answer(scores, plain).values["label"])


def test_an_answer_names_the_class_its_probability_and_the_stars():
    fitted = Fitted(labels={"label": ["negative", "neutral", "positive"]}, numbers={"low": 1.0, "high": 5.0})
    scores = Scores({"label": np.log(np.array([[0.1, 0.2, 0.7]], np.float32)), "stars": np.array([4.256], np.float32)})
    answer = TASK.answer(scores, fitted)
    assert answer.rows() == [{"label": "positive", "probability": pytest.approx(0.7), "stars": 4.26}]
    assert "event" not in answer.values  # of three classes none is the one


def test_rare_moods_are_favoured_in_the_decision_only_and_only_as_validation_says():
    fitted = TASK.learn(targets(["positive"] * 8 + ["negative"] * 2), Settings())
    scores = Scores({"label": np.log(np.array([[0.4, 0.6], [0.1, 0.9]], np.float32))})
    for favour, said in ((0.0, ["positive", "positive"]), (1.0, ["negative", "positive"])):  # .4 / .2 > .6 / .8
        chosen = fitted.model_copy(update={"numbers": {**fitted.numbers, "favour": favour}})
        answer = TASK.answer(scores, chosen)
        assert answer.columns["label"] == said
        np.testing.assert_allclose(answer.values["label"], [[0.4, 0.6], [0.1, 0.9]], rtol=1e-6)


def part(reviews, labels=()):
    """A view of reviews, and of what the ``labels`` table says about them."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", create=True)
        rows = [{"review_id": f"r{at}", "item_id": "i", "rating": 4.0, "body": f"review {at}", **more} for at, more in enumerate(reviews)]
        shop.upsert("reviews", pa.Table.from_pylist(rows))
        if labels:
            names = ("task", "subject", "name", "value", "by", "at")
            shop.upsert("labels", pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in labels]))
        yield from shop.view().parts("reviews")


def test_aspects_of_a_column_are_yes_or_no_and_unknown_where_a_review_tells_nothing():
    told = ("fit:negative|price:positive", " price:positive ", "none", None)
    for view in part([{"aspects": word} for word in told]):
        found = TASK.moments(view, Settings()).targets
        assert found["fit:negative"].to_pylist() == [1.0, 0.0, 0.0, None]
        assert found["price:positive"].to_pylist() == [1.0, 1.0, 0.0, None]
        assert set(found) == {"label", "stars", "fit:negative", "price:positive"}
        assert set(TASK.moments(view, Settings(aspects=False)).targets) == {"label", "stars"}


def test_aspects_of_the_labels_table_are_those_of_a_person_before_those_of_a_model():
    labels = [
        ("sentiment", "r0", "fit", "negative", "model", 2_000_000),
        ("sentiment", "r0", "fit", "positive", "person", 1_000_000),
        ("sentiment", "r0", "price", "neutral", "model", 1_000_000),
        ("sentiment", "r1", "label", "negative", "person", 1_000_000),  # the mood of the whole is no aspect
        ("traits", "r1", "fit", "positive", "person", 1_000_000),
    ]
    for view in part([{}, {}], labels):
        found = TASK.moments(view, Settings()).targets
        assert {name: column.to_pylist() for name, column in found.items() if ":" in name} == {
            "fit:positive": [1.0, None],
            "price:neutral": [1.0, None],
        }


def test_an_aspect_is_learnt_where_five_train_reviews_say_it_and_some_do_not():
    said = {
        "fit:negative": pa.array([1.0] * 5 + [0.0]),
        "fit:positive": pa.array([1.0] * 4 + [0.0, None]),
        "price:positive": pa.array([1.0] * 5 + [None]),
    }
    fitted = TASK.learn({**targets(["negative", "positive"] * 3), **said}, Settings())
    assert TASK.heads(fitted)["aspects"] == Labels(("fit:negative",))
    assert "aspects_micro_f1" in TASK.metrics_of(fitted)
    assert "aspects_micro_f1" not in TASK.metrics_of(TASK.learn(targets(["negative", "positive"]), Settings()))


def test_an_answer_names_the_aspects_that_reach_their_thresholds():
    fitted = Fitted(
        labels={"label": ["negative", "positive"], "aspects": ["fit:negative", "price:positive"]}, numbers={"threshold:price:positive": 0.9}
    )
    # sigmoid: 2 -> .8808, 3 -> .9526
    scores = Scores({"label": np.zeros((2, 2), np.float32), "aspects": np.array([[2.0, 2.0], [-1.0, 3.0]], np.float32)})
    answer = TASK.answer(scores, fitted)
    assert answer.columns["aspects"] == ["fit:negative", "price:positive"]
    truth = {"fit:negative": np.array([1.0, 0.0]), "price:positive": np.array([0.0, 1.0])}
    assert TASK.metrics_of(fitted)["aspects_micro_f1"].point(truth, answer.values) == 1.0
