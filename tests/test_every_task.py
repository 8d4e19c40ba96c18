"""What holds for every task there is, and will hold for those still to come: a new file in ``shoplm/tasks`` is tested here unasked."""

import dataclasses
import json
import random
import subprocess
import sys
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import torch

from shoplm import task as tasks
from shoplm.config import Config
from shoplm.data import contract
from shoplm.data.context import as_of
from shoplm.errors import ConfigError, DataError
from shoplm.model.specs import Choice, Spans
from shoplm.task import Fitted, Task
from shoplm.text.features import Features
from shoplm.text.spans import SPANS

TEXTS = ["where is my order", "", "the dress is lovely, soft and warm " * 9, "😀 鞋子很好", "refund me please", "x", "never again", None]


class Examples(dict):
    """What a task may have fitted, by its name; of one that has no example here what it learns of three labels."""

    def __missing__(self, name):
        task = tasks.get(name)
        labels = pa.array(["first", "second", "third"] * 2)
        self[name] = task.learn({metric.target: labels for metric in task.metrics.values()}, task.Settings())
        return self[name]


FITTED = Examples({
    "sentiment": Fitted(labels={"label": ["negative", "neutral", "positive"]}, numbers={"low": 1.0, "high": 5.0}, words={"target": ""}),
    "intent": Fitted(labels={"intent": ["cancel", "refund", "track"]}),
    "interest": Fitted(
        labels={"interest": ["no", "yes"]},
        numbers={"low": 1.0, "high": 5.0, "slope": 0.7, "offset": -0.4},
        features=Features.fit({"item_price": pa.array([1.0, 2.0, 5.0, None]), "list": pa.array(["a"] * 5 + ["b"] * 5)}),
    ),
    "traits": Fitted(
        labels={"age": ["18-24", "25-34", "35+"], "member": ["gold", "silver"], "labels": ["parent", "student"]},
        numbers={"prior:age:18-24": 0.2, "prior:age:25-34": 0.3, "prior:age:35+": 0.5, "favour:age": 0.5, "threshold:parent": 0.3},
        features=Features.fit({"things": pa.array([["milk", "bread"]] * 3 + [["pan"]] * 3), "acts": pa.array([1.0, 2.0, 5.0, None])}),
    ),
    "attributes": Fitted(labels={"attributes": ["thing", "colour"]}, numbers={"lean": 0.5}),
})  # fmt: skip


@pytest.fixture(scope="module", params=tasks.names())
def name(request):
    return request.param


@pytest.fixture(scope="module")
def bundle(name, fresh):
    """An untrained model of the task: what is tested here does not hang on its quality."""
    from shoplm.model.adapters import AdapterConfig, attach
    from shoplm.model.bundle import Contents, TaskPart
    from shoplm.model.network import Network
    from shoplm.pipeline.bundle import Bundle

    backbone = fresh("bert", 24)
    torch.manual_seed(0)
    network = Network(backbone, tasks.get(name).heads(FITTED[name]), attach(backbone, AdapterConfig(), name)).eval()
    for head, spec in network.specs.items():
        if isinstance(spec, Spans):  # it begins without any opinion, and would find nothing anywhere
            torch.nn.init.normal_(network.heads[head].out.weight, std=0.3)
    part = TaskPart(network, "full", FITTED[name].saved(), name)
    return Bundle(Contents(backbone, True, {name: part}, {}, {}, "# card\n"))


def contexts(name):
    from shoplm.pipeline.bundle import subject_rows

    rows = subject_rows(tasks.get(name), TEXTS)
    return as_of(rows, np.arange(len(rows)), np.full(len(rows), 2**60), contract.TABLES[tasks.get(name).subject])


def close(left, right):
    """Two answers' rows, numbers within what another batch's padding may round."""
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, float):
                assert value == pytest.approx(
                    other[key], abs=2e-2 if key in ("stars", "rating") else 2e-4
                )  # answers are rounded to 2 and to 4 places
            else:
                assert value == other[key]


def test_there_are_tasks_and_an_unknown_one_is_answered_with_the_closest():
    assert {"intent", "sentiment"} <= set(tasks.names())
    with pytest.raises(ConfigError, match="no task `sentimen`; did you mean `sentiment`"):
        tasks.get("sentimen")


def test_its_form_is_filled_in(name):
    task = tasks.get(name)
    assert isinstance(task, Task)
    assert type(task).__module__ == f"shoplm.tasks.{name}"
    assert type(task).__doc__
    assert task.subject in contract.TABLES
    assert set(task.needs) <= set(contract.TABLES)
    assert task.subject in task.needs
    assert task.judge_by in task.metrics_of(FITTED[name])
    assert issubclass(task.Settings, Config)
    columns = contract.TABLES[task.subject].by_name
    assert set(task.fields.values()) <= {*columns, *task.plain}
    assert not set(task.plain) & set(columns)
    assert set(task.reads) <= {*columns, *task.plain}
    assert {*task.keys} <= set(columns)
    assert not task.acts or "events" in task.needs
    assert set(task.defaults) <= set(columns)
    assert not vars(task)  # stateless


def test_its_prompt_is_a_pure_function_of_what_was_known(name):
    task, known = tasks.get(name), contexts(name)
    first = [task.prompt(known[at]) for at in range(len(known))]
    random.seed(1)
    torch.manual_seed(1)
    order = random.sample(range(len(known)), len(known))
    again = {at: task.prompt(known[at]) for at in order}
    for at, prompt in enumerate(first):
        assert prompt == again[at]
        assert all(segment.text == " ".join(segment.text.split()) for segment in prompt.segments)
        assert dataclasses.is_dataclass(prompt)
    assert "鞋子很好" in first[3].text()
    assert first[1].text() == first[7].text() == ""


def test_it_answers_every_row_in_order_and_the_same_alone_as_among_others(name, bundle):
    together = bundle.predict(TEXTS)
    assert len(together) == len(TEXTS)
    close(together, [bundle.predict([text])[0] for text in TEXTS])
    close(together, bundle.predict(TEXTS[::-1])[::-1])
    assert together[1] == together[7]  # an empty text and a missing one


def test_its_scores_do_not_depend_on_neighbours(name, bundle):
    from shoplm.pipeline.bundle import subject_rows

    rows = subject_rows(bundle.part()[1], TEXTS)
    scores = bundle.scores(rows)
    assert {*scores.values, *scores.tagged} == set(bundle.contents.tasks[name].network.specs)
    for head, tagged in scores.tagged.items():
        for at in range(len(rows)):
            alone = bundle.scores(rows.slice(at, 1)).tagged[head]
            own = slice(*tagged.start[at : at + 2])
            np.testing.assert_allclose(tagged.logits[own], alone.logits, rtol=0, atol=1e-4)
            assert np.array_equal(tagged.searched.places[own], alone.searched.places)
    for head, values in scores.values.items():
        alone = np.concatenate([bundle.scores(rows.slice(at, 1)).values[head] for at in range(len(rows))])
        # float32 sums over another number of masked places; logits up to some 12, stars up to 5
        np.testing.assert_allclose(values, alone, rtol=0, atol=1e-4)


def test_no_rows_are_no_answers(name, bundle):
    assert bundle.predict([]) == []


def test_it_answers_the_same_after_being_saved_and_loaded(name, bundle, tmp_path):
    from shoplm.pipeline.bundle import load

    before = bundle.answer(TEXTS)
    after = load(bundle.save(tmp_path / "bundle")).answer(TEXTS)
    assert after.rows() == before.rows()
    for value, numbers in before.values.items():
        np.testing.assert_array_equal(after.values[value], numbers)  # the same weights in the same operations


def columns_of(specs):
    """Two rows or more for each target that the heads learn, as moments hold them."""
    from shoplm.model.specs import Labels

    found = {}
    for head, spec in specs.items():
        if isinstance(spec, Labels):
            found |= {label: pa.array(["yes", "no"]) for label in spec.labels}
        elif isinstance(spec, Spans):
            found[head] = pa.array([[{"start": 0, "stop": 1, "kind": label}] for label in spec.labels], SPANS)
        else:
            found[head] = pa.array(getattr(spec, "labels", (3.0, 4.0)))
    return found


MORE = [f"{word} {at}" for at in range(12) for word in ("order", "refund", "dress", "shoes")]


@pytest.fixture(scope="module")
def calibrated(name, bundle, tmp_path_factory):
    """The same model calibrated in each way on rows of ours, saved; by the name of the way."""
    from shoplm.model.bundle import Contents, TaskPart
    from shoplm.model.specs import Labels
    from shoplm.pipeline.bundle import Bundle, subject_rows

    task, part = tasks.get(name), bundle.contents.tasks[name]
    scores, at = bundle.scores(subject_rows(task, MORE)), np.arange(len(MORE))
    targets = {metric.target: (at % 2).astype(float) for metric in task.metrics_of(FITTED[name]).values()}
    for head, spec in task.heads(FITTED[name]).items():
        if isinstance(spec, Choice):
            targets[head] = at % len(spec.labels)
        elif isinstance(spec, Labels):
            targets[head] = (np.add.outer(at, np.arange(len(spec.labels))) % 2).astype(float)
        elif isinstance(spec, Spans):
            targets[head] = np.stack([at * 0, at * 0 + 4, at % len(spec.labels)], 1)[:, None]
    found = {}
    for kind in ("temperature", "platt", "isotonic"):
        asked = FITTED[name].model_copy(update={"words": {**FITTED[name].words, "calibration": kind}})
        fitted = task.choose(scores, targets, asked)
        new = TaskPart(part.network, part.method, fitted.model_dump_json(), part.adapter)
        one = Bundle(Contents(bundle.contents.backbone, True, {name: new}, {}, {}, "# card\n"))
        found[kind] = (one, one.save(tmp_path_factory.mktemp(kind) / "bundle"), fitted)
    return found


def test_every_probability_of_it_is_calibrated_as_its_setting_asks(name, calibrated):
    from shoplm.model.specs import Labels, Score

    task = tasks.get(name)
    assert task.Settings().calibration == "auto"
    raw = {head: column.slice(0, 2) for head, column in columns_of(task.heads(FITTED[name])).items()}
    assert task.learn(raw, task.Settings(calibration="platt")).words["calibration"] == "platt"
    for kind, (_, _, fitted) in calibrated.items():
        for head, spec in task.heads(fitted).items():
            if isinstance(spec, Choice | Labels | Spans) or (isinstance(spec, Score) and spec.kind == "binary"):
                found = fitted.calibrations[head]
                assert {one.kind for one in (found if isinstance(spec, Labels) else [found])} == {kind}


def test_a_calibrated_bundle_answers_the_same_in_a_fresh_process(name, calibrated):
    code = """
import json, sys
import shoplm
texts, places = json.loads(sys.stdin.read())
found = [shoplm.load(place).answer(texts) for place in places]
print(json.dumps([[answer.rows(), {name: values.tolist() for name, values in answer.values.items()}] for answer in found]))
"""
    asked = json.dumps([TEXTS, [str(place) for _, place, _ in calibrated.values()]])
    ended = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    answers = []
    for (rows, values), (one, _, _) in zip(json.loads(ended.stdout), calibrated.values(), strict=True):
        here = one.answer(TEXTS)
        close(rows, here.rows())
        for value, numbers in here.values.items():
            np.testing.assert_allclose(values[value], numbers, rtol=1e-5, atol=1e-6)  # float32; another number of threads may sum otherwise
        answers.append(json.dumps([rows, values]))
    assert len(set(answers)) == 3  # three ways, three answers


def test_its_probabilities_are_probabilities_and_its_columns_are_as_long_as_its_rows(name, bundle):
    answer = bundle.answer(TEXTS)
    assert all(len(column) == len(TEXTS) for column in answer.columns.values())
    if any(isinstance(spec, Choice) for spec in bundle.contents.tasks[name].network.specs.values()):
        proba = bundle.predict_proba(TEXTS)
        np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)  # float32
        assert proba.shape == (len(TEXTS), len(bundle.labels()))
    else:
        with pytest.raises(DataError, match="has no classes"):
            bundle.predict_proba(TEXTS)
    for row in answer.rows():
        sure = [value for column, value in row.items() if column == "probability" or column.endswith("_probability")]
        assert sure
        assert all(0 <= value <= 1 for value in sure)
        assert {type(value) for value in row.values()} <= {str, float, bool, int}  # what JSON can hold


def test_targets_encode_by_the_order_of_its_labels_and_an_unknown_one_is_missing(name):
    from shoplm.pipeline.prepare import encode

    specs = tasks.get(name).heads(FITTED[name])
    head = next(iter(specs))
    labels = specs[head].labels
    if isinstance(specs[head], Spans):
        told = [[{"start": 2, "stop": 5, "kind": kind}] for kind in (labels[1], "unheard of", labels[0])]
        found = encode({head: pa.array([told[0], None, *told[1:]], SPANS)}, specs)
        assert found[head][:, 0].tolist() == [[2, 5, 1], [-1, -1, -1], [0, 0, -1], [2, 5, 0]]
        return
    found = encode({head: pa.array([labels[1], None, "unheard of", labels[0]])}, specs)
    assert found[head].tolist() == [1, -1, -1, 0]


def test_a_label_that_stands_outside_train_alone_is_refused(name):
    from shoplm.pipeline.prepare import Prepared, refuse_unseen
    from shoplm.text.tokenize import Tokens

    specs = tasks.get(name).heads(FITTED[name])
    head = next(iter(specs))
    if isinstance(specs[head], Spans):
        return  # a kind that no train row has is not judged: the others of its row still are
    labels = pa.array([*specs[head].labels, "unheard of"])
    split = np.array(["train"] * (len(labels) - 1) + ["test"])
    prepared = Prepared(Tokens.join([]), {head: labels}, split, [], 0, 0, mock.sentinel.repeats)
    with pytest.raises(DataError, match="`unheard of`"):
        refuse_unseen(prepared, specs, tasks.get(name).subject)


def test_its_metrics_read_what_it_answers(name, bundle):
    from shoplm.pipeline.prepare import encode

    task, answer = tasks.get(name), bundle.answer(TEXTS)
    specs = task.heads(FITTED[name])
    raw = {target: column.take(pa.array([0] * len(TEXTS))) for target, column in columns_of(specs).items()}
    targets = encode(raw, specs)
    metrics = task.metrics_of(FITTED[name])
    cells, amounts = metrics[task.judge_by].counted(targets, answer.values)
    assert len(cells) == len(amounts) == len(TEXTS)
    assert metrics[task.judge_by].readable(targets, answer.values)
