"""The command line as programs and people meet it: exit codes, streams, one JSON object, what to type next."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline.worked import bert, reviews, rows_csv, shoplm, trained, turns

__all__ = ["bert", "rows_csv", "trained"]

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_help_imports_nothing_heavy():
    heavy = ["torch", "transformers", "peft", "pyarrow", "numpy", "duckdb", "deltalake", "rich", "pydantic"]
    code = f"import sys\nfrom shoplm import cli\ncode = cli.run(['--help'])\nprint(code, [name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert done.stderr == ""


def test_every_verb_explains_itself():
    listed = shoplm("--help")
    assert listed.code == 0
    for verb in ("demo", "new", "import", "check", "upkeep", "train", "evaluate", "compare", "predict", "verify", "doctor"):
        assert f"  {verb} " in listed.out
        said = shoplm(verb, "--help")
        assert said.code == 0
        assert said.out.startswith(f"Usage: shoplm {verb}")


@pytest.mark.parametrize(
    "line", ["--foo", "evalute x", "train", "train --out", "check", "import table --shop s", "new s --language fr", "predict"]
)
def test_a_mistake_in_the_words_themselves_is_one_line(line):
    said = shoplm(*line.split())
    assert said.code == 2
    assert said.line.endswith("--help")
    assert len(said.err.strip().splitlines()) == 1


def test_train_json_is_one_object_and_progress_goes_to_stderr(bert, rows_csv, tmp_path):
    said = shoplm(
        "train", "sentiment", "--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=2", "--json"
    )
    assert said.code == 0
    assert said.out.count("\n") == 1
    assert set(said.json) == {"bundle", "metrics"}
    assert set(said.json["metrics"]["sentiment"]["metrics"]["macro_f1"]) == {"value", "low", "high"}
    assert "Epoch 1, train loss: " in said.err
    assert "valid accuracy: " in said.err
    assert said.err.splitlines()[-1].startswith("next: shoplm evaluate ")


def test_evaluate_json_is_one_object_with_the_keys_that_programs_rely_on(trained, rows_csv):
    said = shoplm("evaluate", trained["head"], "--data", rows_csv, "--split", "all", "--json")
    assert said.code == 0
    assert said.out.count("\n") == 1
    found = said.json
    assert {"task", "split", "rows", "data_version", "metrics", "baselines", "slices", "seconds", "machine"} <= set(found)
    assert (found["task"], found["split"], found["rows"]) == ("sentiment", "all", 80)
    assert {"accuracy", "macro_f1", "roc_auc", "log_loss", "ece", "rmse"} <= set(found["metrics"])
    for estimate in found["metrics"].values():
        assert set(estimate) == {"value", "low", "high"}
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert set(found["baselines"]) == {"majority", "tfidf"}
    assert all(isinstance(value, float) for value in found["baselines"]["majority"].values())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_verb_says_what_to_type_next(tmp_path, trained, rows_csv):
    file, shop = tmp_path / "chats.csv", tmp_path / "shop"
    file.write_text("conversation_id,role," + turns(8).replace("text", "content", 1).replace("\n", "\nc,user,")[:-7])
    for said in (
        shoplm("new", shop),
        shoplm("import", "table", file, "--shop", shop),
        shoplm("check", "--shop", shop),
        shoplm("evaluate", trained["head"], "--data", rows_csv, "--no-baselines"),
        shoplm("predict", trained["head"], "--text", "good"),
        shoplm("predict", trained["head"], "--data", rows_csv),
        shoplm("verify", trained["head"]),
    ):
        assert said.code == 0, said.err
        assert "next: shoplm " in (said.out + said.err).splitlines()[-1]


def test_what_to_type_next_after_training_can_be_typed(bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my reviews.csv").write_text(reviews(60).replace("text,", "review body,"))
    said = shoplm(
        "train", "sentiment", "--data", "my reviews.csv", "--map", "text=review body", "--backbone", bert, "--out", "out", "epochs=1"
    )
    assert said.code == 0
    import shlex

    verb = shlex.split(said.out.splitlines()[-1].removeprefix("next: "))
    assert verb[:2] == ["shoplm", "evaluate"]
    again = shoplm(*verb[1:])
    assert again.code == 0, again.err


def test_the_quarantine_adds_up(tmp_path):
    file = tmp_path / "reviews.csv"
    rows = ["review_id,item_id,body,rating", "1,a,good,5", "2,a,bad,eleven", "1,a,good,5", "1,a,better,5", "3,a", "4,,x,1", "5,b,fine,4"]
    file.write_text("\n".join(rows) + "\n")
    first = shoplm("import", "table", file, "--shop", tmp_path / "shop", "--json").json
    assert first["read"] == 7
    assert first["read"] == first["inserted"] + first["updated"] + first["duplicate"] + first["quarantined"]
    assert first["quarantined"] == 3
    listed = [json.loads(line) for place in first["tables"]["reviews"]["quarantine"] for line in Path(place).read_text().splitlines()]
    assert [fault["line"] for fault in listed] == [3, 6, 7]
    assert all(fault["reason"] and fault["fix"] for fault in listed)
    again = shoplm("import", "table", file, "--shop", tmp_path / "shop", "--json").json
    assert again["inserted"] == 0
    health = shoplm("check", "--shop", tmp_path / "shop", "--json").json
    assert health["counts"] == {"reviews": 2}
    assert "reviews: 3 rows break the contract" in health["findings"][0]["text"]


def test_a_strict_import_refuses_everything_at_the_first_fault(tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_text("item_id,body,rating\na,good,5\na,bad,eleven\n")
    said = shoplm("import", "table", file, "--shop", tmp_path / "shop", "--strict")
    assert said.code == 2
    assert "reviews.csv, line 3: column `rating` is not a number, seen 'eleven'" in said.line
    assert not (tmp_path / "shop").exists()


@few
@given(word=words, name=words)
def test_any_setting_ends_in_words(word, name):
    for given_ in (f"{name}={word}", f"epochs={word}", f"task.target={word}", f"layers={word}", f"target_modules={word}", f"track={word}"):
        said = shoplm("train", "sentiment", given_, "--data", "nowhere.csv", "--out", "nowhere")
        assert said.code == 2
        assert said.line


@few
@given(text=st.one_of(st.binary(max_size=60), words.map(str.encode), words.map(lambda word: f"fit: {{{word}: 1}}".encode())))
def test_any_recipe_ends_in_words(text):
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_bytes(text)
        said = shoplm("train", "sentiment", "--recipe", recipe, "--data", "nowhere.csv", "--out", "nowhere")
    assert said.code == 2
    assert said.line


@few
@given(
    data=st.one_of(st.binary(max_size=80), words.map(lambda word: f"text,rating\n{word},5\n{word}x,1\n".encode())),
    ending=st.sampled_from(["csv", "jsonl", "parquet", "txt"]),
)
def test_any_file_ends_in_words(trained, data, ending):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"reviews.{ending}"
        file.write_bytes(data)
        for said in (
            shoplm("predict", trained["head"], "--data", file, "--out", Path(folder) / "answers.csv"),
            shoplm("evaluate", trained["head"], "--data", file, "--split", "all", "--no-baselines"),
            shoplm("import", "table", file, "--shop", Path(folder) / "shop"),
        ):
            assert said.code in (0, 2)
            assert said.code == 0 or said.line
        assert not list(Path(folder).glob("*.partial"))


@few
@given(word=words)
def test_any_condition_ends_in_words(trained, rows_csv, word):
    said = shoplm("evaluate", trained["head"], "--data", rows_csv, "--where", word, "--no-baselines")
    assert said.code in (0, 2)
    assert said.code == 0 or said.line


@few
@given(texts=st.lists(words, min_size=1, max_size=5))
def test_any_text_is_answered(trained, texts):
    said = shoplm("predict", trained["head"], *(part for text in texts for part in ("--text", text)))
    assert said.code == 0
    assert len(said.out.splitlines()) == len(texts)
