"""intent: what it learns, where its scope ends, and what it answers."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shoplm.errors import DataError
from shoplm.model.specs import Labels
from shoplm.task import Fitted, Scores, get

TASK = get("intent")
Settings = TASK.Settings
FITTED = Fitted(labels={"intent": ["refund", "track"]})


def targets(*intents):
    return {"intent": pa.array(intents, pa.string()), "oos": pa.array([intent is None for intent in intents]).cast(pa.float64())}


def logits(count=200, strange=60, seed=0):
    """Rows that speak up for their intent, and rows that speak up for nothing."""
    random = np.random.default_rng(seed)
    true = random.integers(0, 2, count)
    inside = random.normal(0, 1, (count, 2))
    inside[np.arange(count), true] += 6
    outside = random.normal(-4, 1, (strange, 2))
    return (
        np.concatenate([inside, outside]).astype(np.float32),
        np.concatenate([true, np.full(strange, -1)]),
        np.repeat([0.0, 1.0], [count, strange]),
    )


def test_the_labels_are_the_intents_of_the_train_rows_in_order():
    fitted = TASK.learn(targets("track", "refund", None, "track"), Settings())
    assert list(fitted.labels["intent"]) == ["refund", "track"]
    assert TASK.heads(fitted)["intent"].labels == ("refund", "track")


@pytest.mark.parametrize(("seen", "said"), [(("a", "a", None), "only the intent `a`"), ((None, None), "no intent at all")])
def test_one_intent_is_nothing_to_learn(seen, said):
    with pytest.raises(DataError, match=f"intent: the train rows hold {said}; give turns of at least two intents"):
        TASK.learn(targets(*seen), Settings())


def test_with_out_of_scope_rows_in_validation_the_threshold_parts_them():
    scores, true, oos = logits()
    fitted = TASK.choose(Scores({"intent": scores}), {"intent": true, "oos": oos}, FITTED)
    answer = TASK.answer(Scores({"intent": scores}), fitted)
    kept = np.array(answer.columns["in_scope"])
    assert (kept == (oos == 0)).mean() > 0.97
    assert "60 out-of-scope and 200 in-scope" in fitted.words["scope"]
    judged = answer.values["oos"] > 0.5  # a judge decides at a half: the threshold was moved there
    assert ((~judged) == kept).all()


def test_without_them_the_threshold_keeps_95_of_100_in_scope_rows():
    scores, true, oos = logits(strange=0)
    fitted = TASK.choose(Scores({"intent": scores}), {"intent": true, "oos": oos}, FITTED)
    answer = TASK.answer(Scores({"intent": scores}), fitted)
    assert np.mean(answer.columns["in_scope"]) == pytest.approx(0.95, abs=1 / 200)
    assert "no out-of-scope turns in validation" in fitted.words["scope"]
    far, _, _ = logits(count=1, strange=50, seed=1)
    assert np.mean(TASK.answer(Scores({"intent": far[1:]}), fitted).columns["in_scope"]) < 0.1


def test_a_flat_validation_gives_a_threshold_all_the_same():
    fitted = TASK.choose(Scores({"intent": np.ones((4, 2), np.float32)}), {"intent": np.array([0, 1, 0, 1]), "oos": np.zeros(4)}, FITTED)
    assert all(np.isfinite(list(fitted.numbers.values())))
    assert all(TASK.answer(Scores({"intent": np.ones((4, 2), np.float32)}), fitted).columns["in_scope"])


@pytest.mark.parametrize("kind", ["auto", "temperature", "isotonic"])
def test_calibration_makes_too_sure_scores_honest_without_changing_a_choice(kind):
    scores, true, oos = logits()
    wrong = np.arange(0, 200, 4)
    true = true.copy()
    true[wrong] = 1 - true[wrong]  # a quarter of what it is sure of is wrong
    asked = FITTED.model_copy(update={"words": {"calibration": kind}})
    fitted = TASK.choose(Scores({"intent": scores}), {"intent": true, "oos": oos}, asked)
    assert fitted.calibrations["intent"].rows == 200
    before, after = (TASK.answer(Scores({"intent": scores}), one) for one in (FITTED, fitted))
    assert before.columns["intent"] == after.columns["intent"]
    inside = after.values["intent"][:200]
    assert inside.max(1).mean() == pytest.approx(0.75, abs=0.05)


def test_an_answer_shows_its_first_guess_even_out_of_scope():
    fitted = Fitted(labels=FITTED.labels, numbers={"temperature": 2.0, "slope": 1.0, "offset": 0.0, "threshold": 0.5})
    rows = TASK.answer(Scores({"intent": np.array([[4.0, 0.0], [-9.0, -8.0]], np.float32)}), fitted).rows()
    assert rows[0] == {
        "intent": "refund",
        "probability": pytest.approx(1 / (1 + np.exp(-2)), abs=1e-4),
        "in_scope": True,
        "oos_probability": pytest.approx(0.0177, abs=1e-4),
    }
    assert rows[1]["intent"] == "track"
    assert rows[1]["in_scope"] is False


SEVERAL = Fitted(labels={"intent": ["pay", "refund", "track"]}, words={"several": "|"})


def part(*said):
    """A view of turns with what they want."""
    from shoplm.data.shop import Shop

    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", create=True)
        rows = [
            {"conversation_id": "c", "turn": at, "role": "user", "content": f"turn {at}", "intent": word} for at, word in enumerate(said)
        ]
        shop.upsert("chats", pa.Table.from_pylist(rows))
        yield from shop.view().parts("chats")


def test_of_a_turn_with_several_intents_each_is_a_yes_or_no_and_an_unknown_turn_is_neither():
    settings = Settings(several=True)
    for view in part("track|refund", " refund ", None, "oos", "intent|track"):
        found = TASK.moments(view, settings).targets
        assert set(found) == {"intent_", "refund", "track", "oos"}  # a name that the task uses itself gets a mark
        assert found["refund"].to_pylist() == [1.0, 1.0, None, 0.0]  # a turn without a word is left out, one out of scope teaches none
        assert found["track"].to_pylist() == [1.0, 0.0, None, 1.0]


def test_several_intents_need_two_that_some_turns_hold_and_some_do_not():
    columns = {"a": pa.array([1.0, 0.0]), "b": pa.array([1.0, 1.0]), "c": pa.array([0.0, None]), "oos": pa.array([0.0, 0.0])}
    with pytest.raises(DataError, match="only the intent `a`"):
        TASK.learn(columns, Settings(several=True))
    fitted = TASK.learn({**columns, "d": pa.array([0.0, 1.0])}, Settings(several=True))
    assert list(fitted.labels["intent"]) == ["a", "d"]
    assert TASK.heads(fitted)["intent"] == Labels(("a", "d"))
    assert TASK.judge_by in TASK.metrics_of(fitted)


def test_an_answer_names_every_intent_that_reaches_its_threshold_and_at_least_the_likeliest():
    fitted = SEVERAL.model_copy(update={"numbers": {"threshold:pay": 0.9, "slope": 1.0, "offset": 0.0, "threshold": 0.45}})
    scores = np.array([[3.0, -3.0, 2.0], [2.0, -1.0, -2.0], [-4.0, -3.0, -5.0]], np.float32)
    answer = TASK.answer(Scores({"intent": scores}), fitted)
    # sigmoid: 3 -> .9526, 2 -> .8808; pay says yes from .9 on
    assert answer.columns["intent"] == ["track|pay", "pay", "refund"]
    assert answer.columns["probability"] == [0.8808, 0.8808, 0.0474]
    # the last row's free energy is -(log1p(e^-4) + log1p(e^-3) + log1p(e^-5)) = -.0735, its sigmoid .4816
    assert answer.columns["oos_probability"][2] == 0.4816
    assert answer.columns["in_scope"] == [True, True, False]
    exact = TASK.metrics_of(fitted)["accuracy"]
    truth = {"pay": np.array([1.0, 1.0, 0.0]), "refund": np.array([0.0, 0.0, 1.0]), "track": np.array([1.0, 1.0, 0.0])}
    assert exact.point(truth, answer.values) == pytest.approx(2 / 3)


def test_where_no_intent_of_several_speaks_up_a_turn_is_out_of_scope():
    random = np.random.default_rng(0)
    held = random.random((200, 3)) < 0.4
    held[~held.any(1), 0] = True
    inside = random.normal(np.where(held, 4.0, -5.0), 1.0)
    outside = random.normal(-4.0, 1.0, (60, 3))
    scores = Scores({"intent": np.concatenate([inside, outside]).astype(np.float32)})
    known = np.concatenate([held.astype(np.float32), np.full((60, 3), np.nan, np.float32)])
    oos = np.repeat([0.0, 1.0], [200, 60])
    fitted = TASK.choose(scores, {"intent": known, "oos": oos}, SEVERAL)
    answer = TASK.answer(scores, fitted)
    assert (np.array(answer.columns["in_scope"]) == (oos == 0)).mean() > 0.95
    metrics, targets = TASK.metrics_of(fitted), {name: known[:, at] for at, name in enumerate(SEVERAL.labels["intent"])}
    assert metrics["oos_auroc"].point({"oos": oos}, answer.values) > 0.98
    assert metrics["accuracy"].point(targets, answer.values) > 0.95
    assert metrics["micro_f1"].point(targets, answer.values) > 0.98
