"""--from: a run that starts from another bundle; --into: a task beside others, whose answers stay as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import shoplm as library
from pipeline.worked import shoplm
from shoplm.errors import ConfigError
from shoplm.model.bundle import read
from shoplm.model.heads import build
from shoplm.model.specs import Choice, Labels, Score
from shoplm.pipeline import learning
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.training import train

TEXTS = ["good dress", "awful quality", "lovely soft colour", "cheap jacket broke"]
CHATS = "text,intent,split\n" + "".join(
    f"{words} {extra},{intent},{split}\n"
    for words, intent in (("where is my order", "track"), ("i want to return", "return"), ("tell me a joke", "joke"))
    for extra, split in (("", "train"), ("please", "train"), ("the parcel", "train"), ("now", "valid"), ("the dress", "valid"))
)


@pytest.fixture(scope="module")
def made(bert, rows_csv, tmp_path_factory):
    """A bundle of ``sentiment`` for each method."""
    folder = tmp_path_factory.mktemp("made")
    for method in ("full", "lora", "adalora", "prefix", "bottleneck", "head"):
        library.fit(
            "sentiment", rows_csv, folder / method, backbone=bert, method=method, epochs=1, max_length=40, seed=3, learning_rate=1e-2
        )
    return folder


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    file = tmp_path_factory.mktemp("chats") / "chats.csv"
    file.write_text(CHATS)
    return file


class Stopped(Exception):  # noqa: N818  (not an error: the way out)
    pass


def at_start(monkeypatch, config, data, out):
    """The study of a run as it stands before its first step."""
    found = []

    def steps(study, *given):
        found.append(study)
        raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(learning, "_way", steps)
        train(config, data=data, out=out)
    return found[0]


@pytest.mark.parametrize("method", ["full", "lora", "prefix", "bottleneck"])
def test_a_run_that_starts_from_a_bundle_of_the_same_labels_answers_as_that_bundle_before_its_first_step(
    made, rows_csv, method, tmp_path, monkeypatch
):
    config = RunConfig.read(["sentiment"], start=str(made / method), seed=4)
    study = at_start(monkeypatch, config, rows_csv, tmp_path / "out")
    assert study.config.adapter.method == method  # taken over, since none was named
    assert study.network.backbone.tokenizer.config.max_length == 40
    there = read(made / method).tasks["sentiment"].network.eval()
    batch = study.lesson.tokens.batch(study.lesson.train_rows, 0)
    with torch.no_grad():
        ours, theirs = study.network.eval()(batch), there(batch)
    assert set(ours) == set(theirs) == {"label", "stars"}
    for head, logits in theirs.items():
        torch.testing.assert_close(ours[head], logits, rtol=0, atol=1e-5)  # the same weights; peft may fold them in another order


def test_what_was_set_holds_and_what_has_another_form_is_refused(made, rows_csv, tmp_path, monkeypatch):
    study = at_start(
        monkeypatch, RunConfig.read(["sentiment"], start=str(made / "full"), layers=3, max_length=20), rows_csv, tmp_path / "a"
    )
    assert (study.network.cut, study.network.backbone.tokenizer.config.max_length) == (0, 20)
    for settings, words in (
        ({"r": 4}, "has another form than the new one"),
        ({"method": "bottleneck"}, "tuned by method=lora, and this run by"),
    ):
        with pytest.raises(ConfigError, match=words):
            train(RunConfig.read(["sentiment"], start=str(made / "lora"), **settings), data=rows_csv, out=tmp_path / "b")
        assert not (tmp_path / "b").exists()
    with pytest.raises(ConfigError, match="nothing can go on from it"):
        train(RunConfig.read(["sentiment"], start=str(made / "adalora")), data=rows_csv, out=tmp_path / "b")
    with pytest.raises(ConfigError, match="leave --backbone out"):
        train(RunConfig.read(["sentiment"], start=str(made / "lora"), backbone="default"), data=rows_csv, out=tmp_path / "b")


def test_another_task_starts_from_the_adapter_and_says_that_no_label_is_the_same(made, chats, tmp_path):
    said = shoplm("train", "intent", "--data", chats, "--from", made / "lora", "--out", tmp_path / "out", "epochs=1")
    assert said.code == 0
    assert "starting from `sentiment` of" in said.err
    assert "heads taken over: none, no label is the same" in said.err
    assert json.loads((tmp_path / "out" / "run" / "manifest.json").read_text())["started_from"].startswith("`sentiment` of")
    assert library.load(tmp_path / "out").tasks == ("intent",)


@pytest.mark.parametrize("method", ["lora", "prefix", "bottleneck", "head"])
def test_an_adapter_on_a_fully_tuned_backbone_keeps_that_backbone(made, chats, method, tmp_path):
    bundle = library.fit("intent", chats, tmp_path / "out", start=str(made / "full"), method=method, epochs=1)
    answers = bundle.predict_proba(TEXTS)
    kept, theirs = (load_file(next(folder.glob("*.safetensors"))) for folder in (tmp_path / "out" / "backbone", made / "full" / "backbone"))
    assert set(kept) == set(theirs)
    assert all((kept[name] == theirs[name]).all() for name in kept)
    assert (tmp_path / "out" / "backbone").is_dir()
    np.testing.assert_allclose(library.load(tmp_path / "out").predict_proba(TEXTS), answers, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["lora", "adalora", "prefix", "bottleneck", "head"])
def test_a_task_comes_into_a_bundle_and_the_others_answer_the_very_same(made, chats, method, tmp_path):
    before = library.load(made / method).predict_proba(TEXTS)
    said = shoplm("train", "intent", "--data", chats, "--into", made / method, "--out", tmp_path / "both", "epochs=2")
    assert said.code == 0
    assert "sentiment: answers as before on" in said.err
    both = library.load(tmp_path / "both")
    assert both.tasks == ("sentiment", "intent")
    np.testing.assert_array_equal(both.predict_proba(TEXTS, "sentiment"), before)
    assert set(both.metrics) == {"sentiment", "intent"}
    assert both.predict_proba(TEXTS, "intent").shape == (4, 3)
    np.testing.assert_array_equal(both.predict_proba(TEXTS, "sentiment"), before)  # also after the other has answered


def test_without_out_the_bundle_itself_grows_and_keeps_the_journals(made, chats, bert, rows_csv, tmp_path):
    library.fit("sentiment", rows_csv, tmp_path / "b", backbone=bert, method="lora", epochs=1, max_length=40)
    assert shoplm("train", "intent", "--data", chats, "--into", tmp_path / "b", "epochs=1").code == 0
    assert library.load(tmp_path / "b").tasks == ("sentiment", "intent")
    assert (tmp_path / "b" / "run" / "report.html").is_file()
    assert (tmp_path / "b" / "run" / "intent" / "report.html").is_file()
    again = shoplm("train", "intent", "--data", chats, "--into", tmp_path / "b")
    assert again.code == 2
    assert "holds a task `intent` already" in again.line


@pytest.mark.parametrize(
    ("method", "words", "said"),
    [
        ("full", [], "was tuned whole for `sentiment`, so no other task can share it"),
        ("lora", ["--method", "bottleneck"], "one bundle keeps to one method, not bottleneck"),
        ("lora", ["max_length=20"], "read up to 40 tokens of a text and not 20"),
        ("lora", ["--from", "x"], "--into and --from"),
        ("nowhere", [], "no such bundle"),
    ],
)
def test_what_cannot_go_into_a_bundle_is_refused_in_one_line(made, chats, method, words, said, tmp_path):
    out = shoplm("train", "intent", "--data", chats, "--into", made / method, "--out", tmp_path / "out", *words)
    assert out.code == 2 or said == "no such bundle"
    assert said in out.line
    assert not (tmp_path / "out").exists()


def test_without_out_and_into_the_missing_folder_is_named(chats):
    said = shoplm("train", "intent", "--data", chats)
    assert said.code == 2
    assert "Missing option '--out' (with --into it may be left out)" in said.line


@pytest.mark.parametrize(
    ("ours", "theirs", "count"),
    [
        (Choice(("a", "b", "c")), Choice(("c", "a")), 2),
        (Labels(("a", "b")), Labels(("b",)), 1),
        (Score("regression", 1, 5), Score("regression", 1, 5), 1),
        (Score("regression", 1, 5), Score("regression", 0, 5), 0),
        (Score("binary"), Choice(("a", "b")), 0),
        (Choice(("a",)), Choice(("b",)), 0),
    ],
)
def test_a_head_takes_over_the_labels_that_both_know(ours, theirs, count):
    torch.manual_seed(0)
    mine, other = build(ours, 6, 10), build(theirs, 6, 10)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    assert mine.inherit(other) == count
    if isinstance(ours, Choice) and count:
        assert (mine.weight[0] == other.weight[1]).all()
        assert (mine.weight[1] == before["weight"][1]).all()
        assert (mine.bias[2] == other.bias[0]).all()
    if not count:
        assert all((mine.state_dict()[name] == tensor).all() for name, tensor in before.items())
