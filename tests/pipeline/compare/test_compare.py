"""compare: a search for each method, finalists in processes of their own, one table, one recipe that trains at once."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import yaml

import shoplm as library
from pipeline.worked import reviews, shoplm
from shoplm.errors import RunError
from shoplm.evaluate import plots
from shoplm.pipeline.compare import comparing, outcome, repeating
from shoplm.pipeline.compare.candidates import CompareConfig, candidates
from shoplm.pipeline.compare.search import Trial

WORDS = ["--methods", "head,lora", "--trials", 3, "--seeds", 2, "--budget", 600, "layers=1", "batch_size=16", "epochs=2", "precision=fp32"]


def here(job, scratch):
    """A repeat without the process around it: what is tested of that stands below."""
    return repeating._worked({**dataclasses.asdict(job), "scratch": str(scratch / "bundle")})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    found = tmp_path_factory.mktemp("rows") / "reviews.csv"
    found.write_text(reviews(160), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def compared(bert, file, tmp_path_factory):
    """One comparison of two methods: (its folder, what the command said)."""
    out = tmp_path_factory.mktemp("compared") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparing, "repeat", here)
        said = shoplm("compare", "sentiment", "--data", file, "--backbones", bert, *WORDS, "--out", out, "--json")
    assert said.code == 0, said.err
    return out, said


def test_json_is_one_object_with_every_cost_and_an_interval_for_every_figure(compared):
    _, said = compared
    assert said.out.count("\n") == 1
    found = said.json
    assert {one["name"] for one in found["finalists"]} == {"head", "lora"}
    assert [one["name"] for one in found["finalists"] if one["chosen"]] == [found["chosen"]]
    for one in found["finalists"]:
        for name in ("seconds", "peak_mb", "learning_share", "bundle_bytes", "tokens_per_second", "latency_ms"):
            assert one[name] > 0
        for estimate in one["metrics"].values():
            assert estimate["value"] is None or estimate["low"] <= estimate["value"] <= estimate["high"]
        assert len(one["seeds"]) == 2
        assert (one["minus_chosen"] is None) == one["chosen"]
    assert set(found["baselines"]) == {"majority", "tfidf"}
    assert found["split"] == "test"
    share = {one["name"]: one["learning_share"] for one in found["finalists"]}
    assert share["head"] < share["lora"] < 1
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_estimate_comes_before_the_start_and_says_what_counts(compared):
    _, said = compared
    before, _, after = said.err.partition("in all, at most")
    for words in (
        "comparing head, lora",
        "endpoint take prompts and are not tuned here",
        "up to 3 trials in 10 min",
        "reading and loading do not",
    ):
        assert words in before
    assert "trial 1 of 3" in after
    assert "trial 1 of 3" not in before


def test_the_first_trial_is_worth_what_train_says_of_the_same_settings(compared, bert, file, tmp_path):
    _, said = compared
    for method in ("head", "lora"):
        settings = {"epochs": 2, "batch_size": 16, "precision": "fp32"} | ({"layers": 1} if method == "lora" else {})
        library.fit("sentiment", file, tmp_path / method, backbone=bert, method=method, **settings)
        lines = [json.loads(line) for line in (tmp_path / method / "run" / "steps.jsonl").read_text().splitlines()]
        judged = [line["valid_macro_f1"] for line in lines if "valid_macro_f1" in line]
        assert said.json["search"][method][0]["value"] == judged[-1]  # few rows: the last epoch answers


def test_the_chosen_recipe_trains_at_once_with_the_settings_that_were_searched(compared, file, tmp_path):
    out, said = compared
    chosen = next(one for one in said.json["finalists"] if one["chosen"])
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert recipe["adapter"]["method"] == chosen["method"]
    assert recipe["fit"]["epochs"] == 2
    done = shoplm("train", "--data", file, "--recipe", out / "recipe.yaml", "--out", tmp_path / "model", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["sentiment"]["metrics"]["macro_f1"]["value"] == pytest.approx(chosen["seeds"][0]["valid"])
    assert {path.stem for path in (out / "recipes").glob("*.yaml")} == {"head", "lora"}
    assert said.err.splitlines()[-1].startswith("next: shoplm train sentiment --data ")


def test_the_same_command_again_trains_nothing_and_says_the_same(compared, bert, file, monkeypatch):
    out, said = compared

    def never(*_, **__):
        raise AssertionError("something was trained again")

    for name in ("repeat", "attempt", "expected"):
        monkeypatch.setattr(comparing, name, never)
    again = shoplm("compare", "sentiment", "--data", file, "--backbones", bert, *WORDS, "--out", out, "--json")
    assert again.code == 0, again.err
    assert again.json == said.json


def test_other_settings_in_the_same_folder_are_refused_by_name(compared, bert, file):
    out, _ = compared
    words = [word if word != "epochs=2" else "epochs=3" for word in WORDS]
    said = shoplm("compare", "sentiment", "--data", file, "--backbones", bert, *words, "--out", out)
    assert said.code == 2
    assert "settings of head, settings of lora differ" in said.line
    assert "--restart" in said.line
    other = file.with_name("other.csv")
    other.write_text(reviews(120))
    assert "rows differ" in shoplm("compare", "sentiment", "--data", other, "--backbones", bert, *WORDS, "--out", out).line


def test_the_page_needs_no_network_and_shows_table_and_plots(compared):
    out, _ = compared
    page = (out / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    for words in (
        "Quality against training time",
        "Quality against memory",
        "The trials of the search",
        "head",
        "lora",
        "shoplm train sentiment",
    ):
        assert words in page
    assert page.count("<svg") >= 5


def test_nothing_but_the_comparison_is_left_in_its_folder(compared):
    out, _ = compared
    left = {path.name for path in out.iterdir()}
    assert left == {".lock", "plan.json", "study.db", "finalists", "recipes", "recipe.yaml", "compare.json", "report.html"}
    assert len(list((out / "finalists").iterdir())) == 4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--methods lroa", "no method `lroa`; did you mean `lora`?"),
        ("--methods head --trials 0", "--trials"),
        ("--methods head --seeds 0", "--seeds"),
        ("--methods head --budget 0", "`budget`: input should be greater than 0"),
        ("--methods head --budget 0.001", "too small for one trial of head, which takes about"),
        ("--backbones https://example.org/v1", "a model behind an endpoint takes prompts and is not tuned here"),
        ("--backbones gpt-4o-mini", "a model behind an endpoint takes prompts and is not tuned here"),
        ("--objective size", "lacks `quality`"),
        ("--objective quality,speed", "no objective `speed`"),
        ("--methods head r=8", "`r` is an option of lora, none of which is compared"),
        ("method=lora", "use --methods"),
        ("epoch=3", "did you mean `epochs`?"),
        ("intent", "compare takes one task, sentiment"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(words, expected, bert, file, tmp_path):
    given = words.split()
    backbone = [] if "--backbones" in given else ["--backbones", bert]
    said = shoplm("compare", "sentiment", *given, "--data", file, *backbone, "--out", tmp_path / "out")
    assert said.code == 2
    assert expected in said.line
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(bert, file, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    said = shoplm("compare", "sentiment", "--data", file, "--backbones", bert, "--methods", "head", "--out", tmp_path)
    assert said.code == 2
    assert "is not empty and no comparison" in said.line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_rows_without_any_to_choose_by_are_refused(bert, file, tmp_path):
    words = ["--data", file, "--backbones", bert, "--methods", "head", "valid=0", "--out", tmp_path / "out"]
    said = shoplm("compare", "sentiment", *words)
    assert said.code == 2
    assert "no validation rows" in said.line
    assert not (tmp_path / "out").exists()


def test_optuna_missing_is_said_in_one_line(bert, file, tmp_path, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "optuna" else real(name, *rest))
    said = shoplm("compare", "sentiment", "--data", file, "--backbones", bert, "--methods", "head", "--out", tmp_path / "out")
    assert said.code == 2
    assert "pip install optuna" in said.line
    assert not (tmp_path / "out").exists()


def test_a_comparison_from_python_takes_a_table_and_names_no_file_that_is_gone(bert, file, tmp_path, monkeypatch):
    import pandas

    monkeypatch.setattr(comparing, "repeat", here)
    table = pandas.read_csv(file)
    found = library.compare("sentiment", table, tmp_path / "out", methods="head", backbones=[bert], trials=1, seeds=1, epochs=1)
    assert found.plain()["chosen"] == "head"
    assert found.after.startswith("shoplm train sentiment --data FILE --recipe ")
    assert "head is best on validation" in str(found)
    recipe = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert set(recipe["fit"]) == {"epochs", "batch_size", "learning_rate"}  # what is fast here may be slow elsewhere


def test_two_processes_do_not_work_on_one_comparison(compared, bert, file):
    import fcntl

    out, _ = compared
    with open(out / ".lock", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = shoplm("compare", "sentiment", "--data", file, "--backbones", bert, *WORDS, "--out", out, "--restart")
    assert said.code == 2
    assert "another process is at work there" in said.line
    assert (out / "compare.json").is_file()


def test_every_method_is_compared_on_one_backbone_and_one_method_on_several():
    assert [one.name for one in candidates(CompareConfig.read("sentiment"), (), {})] == list(outcome_methods())
    several = candidates(CompareConfig.read("sentiment", backbones=["default", "A"]), (), {})
    assert [(one.name, one.method) for one in several] == [("default", "full"), ("A", "full")]
    both = candidates(CompareConfig.read("sentiment", backbones=["default", "A"], methods=["head", "lora"]), ["r=8"], {})
    assert [one.name for one in both] == ["head on default", "lora on default", "head on A", "lora on A"]
    assert [one.config.adapter.r for one in both] == [16, 8, 16, 8]


def outcome_methods():
    from shoplm.model.adapters import METHODS

    return METHODS


def finalist(name):
    config = candidates(CompareConfig.read("sentiment", methods=["head"]), (), {})[0]
    return outcome.Finalist(name, config, Trial(0, "done", {}, 0.5, 1.0), config.config, 6)


def test_validation_alone_chooses_and_of_equals_the_quicker_one():
    whole = {
        "a": [{"valid": 0.7, "seconds": 9.0, "judged": {"points": {"f1": 0.9}}}],
        "b": [{"valid": 0.8, "seconds": 9.0, "judged": {"points": {"f1": 0.1}}}],
        "c": [{"valid": 0.8, "seconds": 3.0, "judged": {"points": {"f1": 0.2}}}],
        "d": [],
    }
    listed = [finalist(name) for name in whole]
    assert outcome.chosen(listed, whole, higher=True) == "c"
    assert outcome.chosen(listed, whole, higher=False) == "a"
    with pytest.raises(RunError, match="no finalist"):
        outcome.chosen(listed, {"a": []}, higher=True)


def test_a_finalist_in_a_process_of_its_own_says_its_own_memory(bert, file, tmp_path):
    config = candidates(CompareConfig.read("sentiment", methods=["head"], backbones=[bert]), ["epochs=1"], {})[0].config
    job = repeating.Job(config.plain(), None, str(file), {}, "other rows", "test", [5, 9], baselines=False)
    found = repeating.repeat(job, tmp_path / "scratch")
    assert "the rows are not those of the search any more" in found["failed"]
    digest = library.fit("sentiment", file, backbone=bert, method="head", epochs=1).contents.facts["sentiment"]["rows_digest"]
    found = repeating.repeat(dataclasses.replace(job, rows_digest=digest), tmp_path / "scratch")
    assert found["peak_mb"] > 100
    assert found["seconds"] > 0
    assert found["judged"]["rows"] > 0
    assert not (tmp_path / "scratch").exists()


def test_a_repeat_ends_when_whoever_asked_for_it_does(tmp_path):
    sleeps = "import sys, time\nfrom shoplm.pipeline.compare import repeating\nrepeating._worked = lambda job: time.sleep(600)\nrepeating._serve()"
    child = subprocess.Popen([sys.executable, "-c", sleeps, str(tmp_path / "answer.json")], stdin=subprocess.PIPE, text=True)
    assert child.stdin is not None
    child.stdin.write("{}\n")
    child.stdin.flush()
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(timeout=120) == 1
    assert not (tmp_path / "answer.json").exists()


def test_a_scatter_plot_shows_every_dot_once_and_escapes_its_name():
    marks = [
        plots.Mark(10, 0.7, "a<b", 0, 0.6, 0.8),
        plots.Mark(1000, 0.9, "c", 7),
        plots.Mark(0, 0.5, "left out"),
        plots.Mark(5, float("nan"), "x"),
    ]
    drawn = plots.scatter(marks, across="seconds", up="f1", floors=[("plain", 0.4)])
    assert drawn.count("<circle") == 2
    assert "a&lt;b" in drawn
    assert "left out" not in drawn
    assert ">plain<" in drawn
    assert 'class="mark s1"' in drawn  # 7 of six colours
    assert plots.scatter([], across="x", up="y") == ""
