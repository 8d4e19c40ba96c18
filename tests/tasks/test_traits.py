"""traits: which traits a shop and a file give, what is told of the acts, and what is answered."""

import numpy as np
import pyarrow as pa
import pytest

from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.model.specs import Choice, Labels
from shoplm.pipeline.knowing import Knowing
from shoplm.pipeline.prepare import encode
from shoplm.task import Fitted, Scores, get

TASK = get("traits")
Settings = TASK.Settings
MINUTE = 60_000_000
START = 1_704_067_200_000_000  # 2024-01-01


def shop_of(tmp_path, **tables):
    made = Shop(tmp_path / "shop", create=True)
    for table, rows in tables.items():
        names = {name for row in rows for name in row}
        columns = {name: [row.get(name) for row in rows] for name in names}
        times = {"event_time", "at", "created_at"}
        given = {name: pa.array(values).cast(pa.timestamp("us", tz="UTC")) if name in times else values for name, values in columns.items()}
        made.upsert(table, pa.table(given), strict=True)
    return made.view()


def event(at, who, name="purchase", item="a", **more):
    return {"event_id": f"{at}-{who}", "event_time": START + at * MINUTE, "event_name": name, "user_id": who, "item_id": item, **more}


USERS = [
    {"user_id": "ann", "membership": "gold", "segments": ["student"]},
    {"user_id": "bob", "membership": "basic", "segments": []},
    {"user_id": "cem", "segments": None},
    {"user_id": "dee", "membership": "gold", "segments": ["student", "app"]},
]
PRODUCTS = [
    {"id": "a", "title": "Red shoes", "brand": "Acme", "product_type": "Shoes > Trainers"},
    {"id": "b", "title": "Blue hat", "product_type": "Hats"},
]
EVENTS = [event(1, "ann"), event(2, "ann", "view_item", "b", price=20.0), event(3, "ann", price=40.0), event(1, "bob"), event(4, "cem", "search", None, search_term="warm hat")]  # fmt: skip


def moments(view, **settings):
    found = {}
    for part in view.parts("users"):
        some = TASK.moments(part, Settings(**settings))
        ids = some.subject(part)["_id"].take(some.row).to_pylist()
        for at, name in enumerate(ids):
            found[name] = {target: column[at].as_py() for target, column in some.targets.items()} | {"at_us": some.at_us[at].as_py()}
    return found


def test_a_shops_shoppers_who_acted_have_their_segments_and_membership_after_the_newest_act(tmp_path):
    found = moments(shop_of(tmp_path, users=USERS, events=EVENTS))
    after = START + 4 * MINUTE + 1
    assert found == {
        "ann": {"membership": "gold", "student": "yes", "app": "no", "at_us": after},
        "bob": {"membership": "basic", "student": "no", "app": "no", "at_us": after},
        "cem": {"membership": None, "student": None, "app": None, "at_us": after},  # nobody sorted this shopper
    }  # dee has not acted


def test_labels_of_the_task_take_the_place_of_all_others_and_a_persons_word_comes_first(tmp_path):
    said = [
        ("ann", "age", "18-24", "model", 5), ("ann", "age", "25-34", "person", 1), ("ann", "gardens", "yes", "rule", 1), ("bob", "age", "35+", "model", 1),
    ]  # fmt: skip
    labels = [
        {"task": "traits", "subject": who, "name": name, "value": value, "by": by, "at": START + at * MINUTE}
        for who, name, value, by, at in said
    ] + [{"task": "other", "subject": "bob", "name": "mood", "value": "good", "by": "person", "at": START}]
    view = shop_of(tmp_path, users=USERS, events=EVENTS, labels=labels)
    found = {who: {name: value for name, value in row.items() if name != "at_us"} for who, row in moments(view).items()}
    assert found == {
        "ann": {"age": "25-34", "gardens": "yes"},
        "bob": {"age": "35+", "gardens": None},
        "cem": {"age": None, "gardens": None},
    }
    named = moments(view, groups=("age", "membership"), labels="student")
    assert set(named["ann"]) == {"age", "membership", "student", "at_us"}
    with pytest.raises(DataError, match="no trait `studnet` to learn; did you mean `student`"):
        moments(view, labels=("studnet",))


def prompts(view):
    part = next(view.parts("users"))
    some = TASK.moments(part, Settings())
    contexts = Knowing(view, TASK).contexts(some.subject(part), np.asarray(some.row, np.int64), np.asarray(some.at_us, np.int64))
    return [TASK.prompt(context) for context in contexts]


def test_the_prompt_tells_kinds_of_acts_with_how_often_the_newest_first_and_no_trait(tmp_path):
    ann, bob, cem = prompts(shop_of(tmp_path, users=USERS, events=EVENTS, products=PRODUCTS))
    assert ann.text() == "bought Trainers ×2, looked at Hats. Lately Red shoes, Blue hat."
    assert cem.text() == "searched for warm hat."
    assert ann.features["acts"] == 3
    assert ann.features["kinds"] == 2
    assert ann.features["usual_price"] == 30.0  # between 20 and 40
    assert ann.features["things"].count("bought trainers") == 2
    assert "usual_price" not in bob.features
    told = " ".join([ann.text(), *ann.features["things"], bob.text(), *bob.features["things"]])
    assert not any(word in told for word in ("gold", "basic", "student"))


def test_a_column_is_a_label_a_group_or_nothing_by_its_values_and_settings_say_otherwise():
    def column(values, rows=60):
        return pa.array((list(values) * rows)[:rows], pa.string())

    targets = {
        "age": column(["b", "a", None]), "gardens": column(["true", "0", None]), "seen": column(["1"]), "card": column(map(str, range(60))), "empty": column([None]),
    }  # fmt: skip
    fitted = TASK.learn(targets, Settings())
    assert {name: list(values) for name, values in fitted.labels.items()} == {"age": ["a", "b"], "labels": ["gardens"]}
    assert fitted.numbers == {"prior:age:a": 0.5, "prior:age:b": 0.5, "share:gardens": 0.5}
    assert fitted.words["not learnt"] == "`seen` (the same in all rows), `card` (60 different values)"
    assert TASK.heads(fitted) == {"age": Choice(("a", "b")), "labels": Labels(("gardens",))}
    forced = TASK.learn({"gardens": targets["gardens"], "card": targets["card"]}, Settings(groups=("gardens", "card")))
    assert set(forced.labels) == {"gardens", "card"}
    with pytest.raises(DataError, match="nothing to learn in the train rows: `seen`"):
        TASK.learn({"seen": targets["seen"]}, Settings())
    with pytest.raises(DataError, match="`age` cannot be learnt: the value `a` is neither yes nor no"):
        TASK.learn({"age": targets["age"]}, Settings(labels=("age",)))


FITTED = Fitted(labels={"age": ["18-24", "35+"], "labels": ["gardens", "parent"]}, numbers={"prior:age:18-24": 0.2, "prior:age:35+": 0.8})


def test_a_labels_head_gets_its_columns_side_by_side_and_a_missing_one_is_unknown():
    found = encode(
        {"age": pa.array(["35+", None]), "gardens": pa.array(["Yes", "maybe"]), "name": pa.array(["x", "y"])}, TASK.heads(FITTED)
    )
    assert found["age"].tolist() == [1, -1]
    np.testing.assert_array_equal(found["gardens"], [1, np.nan])
    np.testing.assert_array_equal(found["labels"], [[1, np.nan], [np.nan, np.nan]])
    assert "name" not in found


def test_an_answer_names_each_groups_value_and_the_labels_that_hold():
    scores = Scores({"age": np.log([[0.4, 0.6]]).astype(np.float32), "labels": np.array([[-1.0, 0.4]], np.float32)})
    plain = TASK.answer(scores, FITTED)
    assert plain.rows() == [{"age": "35+", "age_probability": pytest.approx(0.6), "labels": "parent", "gardens_probability": pytest.approx(0.2689), "parent_probability": pytest.approx(0.5987)}]  # fmt: skip
    chosen = FITTED.model_copy(update={"numbers": {**FITTED.numbers, "favour:age": 1.0, "threshold:gardens": 0.2, "threshold:parent": 0.7}})
    answer = TASK.answer(scores, chosen)
    assert (answer.columns["age"], answer.columns["labels"]) == (["18-24"], ["gardens"])  # .4 / .2 > .6 / .8
    np.testing.assert_allclose(answer.values["age"], plain.values["age"])
    np.testing.assert_allclose(answer.values["gardens"], plain.values["gardens"])


def test_validation_chooses_favours_thresholds_and_a_calibration_for_each_trait_and_unknown_rows_say_nothing():
    rng = np.random.default_rng(0)
    age, gardens = rng.choice(2, 600, p=[0.2, 0.8]), (rng.random(600) < 0.15).astype(float)
    logits = np.log([0.2, 0.8]) + np.eye(2)[age] + rng.normal(size=(600, 2))
    scores = Scores({"age": logits.astype(np.float32), "labels": np.stack([2 * gardens - 3 + rng.normal(size=600), np.zeros(600)], 1)})
    known = np.where(np.arange(600) % 3 == 0, np.nan, gardens)
    targets = {"age": age, "gardens": known, "parent": np.full(600, np.nan), "labels": np.stack([known, np.full(600, np.nan)], 1)}
    chosen = TASK.choose(scores, targets, FITTED)
    assert set(chosen.calibrations) == {"age", "labels"}
    assert len(chosen.calibrations["labels"]) == 2
    assert chosen.numbers["favour:age"] > 0
    assert chosen.numbers["threshold:gardens"] < 0.5
    assert chosen.numbers["threshold:parent"] == 0.5
    metrics = TASK.metrics_of(chosen)
    assert "mean_average_precision" in metrics
    after, before = (metrics["macro_f1"].point(targets, TASK.answer(scores, one).values) for one in (chosen, FITTED))
    assert after > before + 0.02


def test_a_trait_called_like_the_head_of_labels_or_with_a_dot_gets_a_name_of_its_own(tmp_path):
    rows = [{**user, "labels": "x", "home.owner": "yes"} for user in USERS]
    found = moments(
        shop_of(tmp_path, users=[{k: v for k, v in row.items() if k in ("user_id", "labels", "home.owner")} for row in rows], events=EVENTS)
    )
    assert set(found["ann"]) == {"labels_", "home_owner", "at_us"}
