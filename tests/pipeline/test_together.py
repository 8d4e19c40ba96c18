"""Several tasks in one run: one adapter for all, or one for all and one for each; what a bundle then holds and answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import shoplm as library
from pipeline.worked import shoplm
from shoplm.errors import ConfigError
from shoplm.model import adapters, peft_kinds
from shoplm.model.joint import SHARED
from shoplm.pipeline import together
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.progress import Silent
from shoplm.pipeline.training import train
from shoplm.text.render import Prompt, Segment
from shoplm.train import loop

TEXTS = ["good dress", "awful quality", "where is my order", "tell me a joke"]
SETTINGS = {"epochs": 2, "learning_rate": 1e-2, "seed": 5, "max_length": 24}


@pytest.fixture(scope="module")
def both_csv(tmp_path_factory):
    """Rows that two tasks can learn: what a text wants, and its mood."""
    kinds = [("where is my order", "track", ""), ("refund me please", "refund", "negative"), ("love the dress", "praise", "positive")]
    split = ("train", "train", "train", "valid", "test")
    lines = [f"{words} {word},{intent},{mood},{split[i % 5]}" for i, word in enumerate(["jacket", "dress", "shoes", "gift", "parcel", "colour", "quality", "order", "card", "wash"] * 2)
             for words, intent, mood in kinds]  # fmt: skip
    file = tmp_path_factory.mktemp("both") / "both.csv"
    file.write_text("\n".join(["text,intent,label,split", *lines, ""]), encoding="utf-8")
    return file


class Killed(Exception):  # noqa: N818  (not an error: the way out)
    pass


def config(bert, sharing, **settings):
    return RunConfig.read(["intent", "sentiment"], backbone=bert, sharing=sharing, **{**SETTINGS, **settings})


def answers(bundle):
    return {task: bundle.predict_proba(TEXTS, task) for task in bundle.tasks}


@pytest.mark.parametrize(("sharing", "method"), [*(("shared", method) for method in ("full", *adapters.KEPT)), ("both", "lora")])
def test_a_bundle_of_tasks_learnt_together_answers_in_a_fresh_read_as_at_the_end_of_training(bert, both_csv, tmp_path, sharing, method):
    bundle = train(config(bert, sharing, method=method), data=both_csv, out=tmp_path / "out")
    loaded = library.load(tmp_path / "out")
    assert loaded.tasks == ("intent", "sentiment")
    for task, given in answers(bundle).items():
        np.testing.assert_allclose(loaded.predict_proba(TEXTS, task), given, rtol=0, atol=1e-6)  # factors are multiplied in another order
    folders = {path.name for path in (tmp_path / "out" / "adapters").glob("*")}
    kept = {"intent", "sentiment"} if sharing == "both" else {SHARED} if method in adapters.KEPT else set()
    assert folders == kept
    assert (tmp_path / "out" / "backbone").is_dir() == (method == "full")
    history = [json.loads(line) for line in (tmp_path / "out" / "run" / "steps.jsonl").read_text().splitlines()]
    epochs = [line for line in history if "train_loss" in line]
    assert [set(line["conflict"]) for line in epochs] == [{"intent|sentiment"}] * 2
    assert all(-1 - 1e-9 <= line["conflict"]["intent|sentiment"] <= 1 + 1e-9 for line in epochs)
    assert {line["task"] for line in history if "task" in line} == {"intent", "sentiment"}
    for task in loaded.tasks:
        own = [json.loads(line) for line in (tmp_path / "out" / "run" / task / "steps.jsonl").read_text().splitlines()]
        assert {line["task"] for line in own if "task" in line} == {task}
        assert "valid_accuracy" in own[-1]
        assert "<svg" in (tmp_path / "out" / "run" / task / "report.html").read_text()
        assert loaded.evaluate(both_csv, task=task).judgement.rows
    assert not list((tmp_path / "out" / "run").rglob("checkpoints"))
    assert not list((tmp_path / "out" / "run").rglob("cache"))
    assert not list((tmp_path / "out" / "run").rglob("unfinished"))


def test_the_shared_adapter_moves_with_every_task_and_the_own_one_with_its_task_alone(bert, both_csv, tmp_path, monkeypatch):
    ways = []

    def drive(way, joint, source, plan, state, course):
        ways.append((joint, source, plan))
        raise Killed

    monkeypatch.setattr(together, "drive", drive)
    with pytest.raises(Killed):
        train(config(bert, "both", method="lora", precision="fp32"), data=both_csv, out=tmp_path / "out")
    joint, source, plan = ways[0]
    for step in range(plan.steps):
        batch, trunk = source(plan.rows(step))
        joint.zero_grad(set_to_none=True)
        sum(tally.total for tally in joint.losses(batch, trunk).values()).backward()
        task = next(iter(batch.targets)).partition("/")[0]
        moved = {name for name, parameter in joint.named_parameters() if parameter.grad is not None and ".lora_B." in name}
        assert any(f".{SHARED}." in name for name in moved)
        assert any(f".{task}-own." in name for name in moved)
        assert not any(f".{other}-own." in name for other in {"intent", "sentiment"} - {task} for name in moved)
    assert all(
        f".{SHARED}." in name for name, parameter in joint.backbone.named_parameters() if any(parameter is own for own in joint.shared)
    )
    assert joint.shared


def test_two_adapters_folded_into_one_give_the_same_logits_also_in_plain_peft(bert, both_csv, tmp_path, monkeypatch):
    before = {}

    def fold(backbone, shared, own):
        for name, apart in own.items():
            peft_kinds.switch(backbone)((shared, apart))
            ids = torch.tensor([[5, 6, 7, 8]])
            before[name] = backbone(ids, torch.ones_like(ids), torch.zeros_like(ids)).detach().clone()
        original(backbone, shared, own)

    original = adapters.fold_pairs
    monkeypatch.setattr(adapters, "fold_pairs", fold)
    train(config(bert, "both", method="lora", use_rslora=True, r=3), data=both_csv, out=tmp_path / "out")
    from peft import PeftModel
    from transformers import AutoModel

    for name, hidden in before.items():
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(bert), str(tmp_path / "out" / "adapters" / name)).eval()
        assert json.loads((tmp_path / "out" / "adapters" / name / "adapter_config.json").read_text())["r"] == 6
        with torch.no_grad():
            plain = model(torch.tensor([[5, 6, 7, 8]])).last_hidden_state
        torch.testing.assert_close(plain, hidden, rtol=0, atol=1e-5)  # one product of rank six instead of two of three
    weights = [load_file(tmp_path / "out" / "adapters" / name / "adapter_model.safetensors") for name in before]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


class Kill(Silent):
    """Stops a run in the middle, after some lines."""

    def __init__(self, words):
        self.words = words

    def say(self, line):
        if line.startswith(self.words):
            raise Killed


@pytest.mark.parametrize(("sharing", "method"), [("shared", "full"), ("shared", "adalora"), ("both", "lora")])
def test_a_broken_run_of_several_tasks_goes_on_to_the_very_weights_of_an_unbroken_one(bert, both_csv, tmp_path, sharing, method):
    said = config(bert, sharing, method=method, checkpoint_seconds=0)
    whole = train(said, data=both_csv, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(said, data=both_csv, out=tmp_path / "broken", progress=Kill("Epoch 1"))
    assert list((tmp_path / "broken").rglob("latest.safetensors"))
    train(said, data=both_csv, out=tmp_path / "broken", unfinished="resume")
    for place in sorted((tmp_path / "whole").rglob("*.safetensors")):
        assert place.read_bytes() == (tmp_path / "broken" / place.relative_to(tmp_path / "whole")).read_bytes(), place.name
    assert whole.tasks == ("intent", "sentiment")


def test_validation_chooses_between_the_ways_of_sharing(bert, both_csv, tmp_path):
    words = ["train", "intent", "sentiment", "--data", both_csv, "--backbone", bert, "--method", "lora", "--out", tmp_path / "out"]
    said = shoplm(*words, "sharing=best", "epochs=1", "learning_rate=0.01")
    assert said.code == 0, said.err
    line = next(line for line in said.err.splitlines() if line.startswith("sharing: "))
    values = {way: float(value) for way, value in (pair.split() for pair in line[9:].partition(" (")[0].split(", "))}
    chosen = line.partition("`")[2].partition("`")[0]
    assert set(values) == {"own", "shared", "both"}
    assert values[chosen] == max(values.values())
    for task in ("intent", "sentiment"):
        assert f"report: {tmp_path / 'out' / 'run' / chosen / task / 'report.html'}" in said.out
    assert library.load(tmp_path / "out").tasks == ("intent", "sentiment")
    assert "has ended already" in shoplm(*words, "sharing=best", "epochs=1", "learning_rate=0.01", "--resume").err


def test_ways_that_cannot_be_are_refused_before_any_work(bert, both_csv, tmp_path):
    library.fit("intent", both_csv, tmp_path / "there", backbone=bert, method="lora", epochs=1)
    for names, settings, words in (
        (["intent"], {"sharing": "shared"}, "one task shares with none"),
        (["intent", "sentiment"], {"sharing": "both", "method": "full"}, "method=full does not allow"),
        (["intent", "sentiment"], {"sharing": "both", "method": "lora", "use_dora": True}, "use_dora=true does not allow"),
        (["intent", "sentiment"], {"sharing": "best", "method": "full"}, "sharing=shared, or method=lora"),
        (["intent", "sentiment"], {"sharing": "own", "method": "full"}, "sharing=shared to train them together"),
        (["intent", "sentiment"], {"sharing": "shared", "method": "head"}, "each task has heads of its own"),
        (["intent", "sentiment"], {"sharing": "shared", "contrastive": "supervised"}, "a stage of one task"),
        (["sentiment", "traits"], {"sharing": "shared", "into": str(tmp_path / "there")}, "stays as it is"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            train(RunConfig.read(names, backbone=None if "into" in settings else bert, **settings), data=both_csv, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_run_goes_on_from_a_task_whose_shared_and_own_adapter_were_laid_into_one(bert, both_csv, tmp_path, monkeypatch):
    together_ = train(config(bert, "both", method="lora", r=3, lora_alpha=7.0), data=both_csv, out=tmp_path / "there")
    monkeypatch.setattr(loop, "fit", lambda *_: iter(()))  # before its first step
    begun = train(
        RunConfig.read(["intent"], start=str(tmp_path / "there"), epochs=1, calibration="none"), data=both_csv, out=tmp_path / "on"
    )
    assert begun.contents.facts["intent"]["recipe"]["adapter"]["r"] == 6
    texts = TEXTS[:3]
    raw = [np.asarray(bundle.read("intent", bundle.contents.backbone.tokenizer.encode([Prompt((Segment(text),)) for text in texts])).values["intent"]) for bundle in (together_, begun)]  # fmt: skip
    np.testing.assert_allclose(raw[1], raw[0], rtol=0, atol=1e-5)  # factors are multiplied in another order
    with pytest.raises(ConfigError, match="another form"):
        train(RunConfig.read(["intent"], start=str(tmp_path / "there"), r=3), data=both_csv, out=tmp_path / "no")


def test_a_task_of_tokens_is_learnt_together_with_one_of_whole_texts(bert, tmp_path):
    file = tmp_path / "goods.jsonl"
    rows = [
        {"title": f"{colour} hat {at}", "text": f"{colour} hat {at}", "intent": want, "attributes": json.dumps({"Colour": colour}), "split": ("train", "valid", "test")[at % 3]}
        for at in range(12) for colour, want in (("red", "buy"), ("blue", "ask"))
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = shoplm(
        "train", "attributes", "intent", "--data", file, "--backbone", bert, "--out", tmp_path / "out", "sharing=shared", "epochs=1"
    )
    assert done.code == 0, done.err
    for task in ("attributes", "intent"):
        said = shoplm("evaluate", tmp_path / "out", task, "--data", file, "--json")
        assert (said.code, said.json["rows"]) == (0, 8), said.err
