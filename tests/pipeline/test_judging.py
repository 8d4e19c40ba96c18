"""evaluate: in parts as in one, honest about what the bundle cannot know, never half said."""

from __future__ import annotations

import json

import pytest

import shoplm as library
from pipeline.worked import reviews, shoplm
from shoplm.errors import DataError
from shoplm.pipeline import judging, prepare


def test_a_table_in_parts_is_judged_as_in_one(trained, rows_csv, monkeypatch):
    bundle = library.load(trained["lora"])
    whole = bundle.evaluate(data=rows_csv, split="all").plain()
    monkeypatch.setattr(prepare, "PART_ROWS", 9)
    parts = bundle.evaluate(data=rows_csv, split="all").plain()
    for name, estimate in whole["metrics"].items():
        for key, value in estimate.items():
            assert parts["metrics"][name][key] == pytest.approx(value, abs=1e-5), name  # float32, padded otherwise
    assert parts["rows"] == whole["rows"] == 80
    assert parts["baselines"] == {name: pytest.approx(values) for name, values in whole["baselines"].items()}
    assert set(parts["slices"]["length"]) == set(whole["slices"]["length"])


def test_a_first_part_without_answers_hides_no_metric(trained, tmp_path, monkeypatch):
    file = tmp_path / "rows.csv"
    file.write_text(
        "text,rating\n"
        + "".join(f"unknown {i},\n" for i in range(30))
        + reviews(40).split("\n", 1)[1].replace(",0\n", "\n").replace(",1\n", "\n")
    )
    monkeypatch.setattr(prepare, "PART_ROWS", 10)
    found = library.load(trained["head"]).evaluate(data=file, split="all", baselines=False).plain()
    assert {"macro_f1", "accuracy", "rmse"} <= set(found["metrics"])
    assert found["metrics"]["accuracy"]["value"] is not None


def test_labels_that_the_bundle_does_not_know_are_said(trained, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n" + "good,positive\nbad,negative\nodd,angry\n" * 6)
    said = shoplm("evaluate", trained["head"], "--data", file, "--split", "all")
    assert said.code == 0
    assert "does not know their labels: `angry` (6)" in said.out
    file.write_text("text,label\n" + "good,x\nbad,y\n" * 6)
    said = shoplm("evaluate", trained["head"], "--data", file, "--split", "all", "--json")
    assert said.code == 2
    assert "seen `x` (6), `y` (6), but the bundle knows negative, positive" in said.line
    assert said.out == ""


@pytest.mark.parametrize("words", [["--where", "false"], ["--where", "rating is null"], ["--split", "tset"]])
def test_nothing_to_judge_is_said_in_one_line(trained, rows_csv, words):
    said = shoplm("evaluate", trained["head"], "--data", rows_csv, *words)
    assert said.code == 2
    assert said.line


def test_a_file_without_train_rows_is_judged_without_baselines(trained, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("text,rating,split\n" + "good,5,test\nbad,1,test\n" * 9)
    said = shoplm("evaluate", trained["head"], "--data", file, "--json")
    assert said.code == 0
    assert said.json["baselines"] == {}
    assert any("no train rows" in note for note in said.json["notes"])


def test_values_found_in_texts_are_judged_beside_a_look_up_of_those_that_train_texts_had(bert, tmp_path):
    file = tmp_path / "goods.jsonl"
    told = [("red", "Acme"), ("blue", "Bolt")]
    rows = [
        {
            "title": f"{colour} hat {at} by {brand}",
            "attributes": {"Colour": colour, "Brand": brand},
            "split": ("train", "train", "test")[at % 3],
        }
        for at in range(24)
        for colour, brand in told
    ]
    file.write_text("".join(json.dumps({**row, "attributes": json.dumps(row["attributes"])}) + "\n" for row in rows))
    done = shoplm("train", "attributes", "--data", file, "--backbone", bert, "--out", tmp_path / "out", "method=head", "epochs=1")
    assert done.code == 0, done.err
    said = shoplm("evaluate", tmp_path / "out", "--data", file, "--json")
    assert said.code == 0, said.err
    assert said.json["baselines"] == {"lookup": dict.fromkeys(("micro_f1", "precision", "recall", "macro_f1"), 1.0)}
    assert "look-up of known values" in shoplm("evaluate", tmp_path / "out", "--data", file).out


def test_evaluate_from_python_says_what_json_says(trained, rows_csv):
    found = library.load(trained["head"]).evaluate(data=rows_csv, split="all")
    said = shoplm("evaluate", trained["head"], "--data", rows_csv, "--split", "all", "--json").json
    mine = json.loads(json.dumps(found.plain()))
    assert {key: value for key, value in mine.items() if key != "seconds"} == {
        key: value for key, value in said.items() if key != "seconds"
    }


def test_baselines_read_no_more_texts_than_the_cap(trained, rows_csv, monkeypatch):
    monkeypatch.setattr(judging, "TEXTS_KEPT", 20)
    monkeypatch.setattr(prepare, "PART_ROWS", 9)
    assert library.load(trained["head"]).evaluate(data=rows_csv, split="all").plain()["baselines"]["tfidf"]


def test_an_unknown_option_of_the_library_is_an_error(trained, rows_csv):
    with pytest.raises(DataError, match="expected one of train, valid, test, all"):
        library.load(trained["head"]).evaluate(data=rows_csv, split="dev")


def test_probabilities_are_judged_before_and_after_calibration(trained, rows_csv, bert, tmp_path):
    words = ["--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=1"]
    said = shoplm("train", "sentiment", *words, "calibration=isotonic")
    assert said.code == 0, said.err
    assert "label: calibrated by isotonic" in said.err
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "- label: calibrated by isotonic" in card
    assert "asked for by calibration=isotonic" in card
    judged = shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--json").json
    assert set(judged["uncalibrated"]) == {"log_loss", "ece"}
    for name, before in judged["uncalibrated"].items():
        assert before["low"] <= before["value"] <= before["high"]
        assert before["value"] != judged["metrics"][name]["value"]
    told = shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all")
    assert "Calibration error (ECE): " in told.out
    assert "before calibration" in told.out
    assert "before calibration" in (tmp_path / "out" / "run" / "report.html").read_text("utf-8")
    none = shoplm("train", "sentiment", *words[:-2], tmp_path / "none", "epochs=1", "calibration=none")
    assert none.code == 0, none.err
    assert "not calibrated (asked for by calibration=none)" in none.err
    same = shoplm("evaluate", tmp_path / "none", "--data", rows_csv, "--split", "all", "--json").json
    for name, before in same["uncalibrated"].items():  # the same model, seed and rows
        assert before["value"] == same["metrics"][name]["value"] == pytest.approx(judged["uncalibrated"][name]["value"])
    assert "calibration" in shoplm("train", "sentiment", *words[:-2], tmp_path / "bad", "calibration=platts").line


def test_rows_to_judge_by_are_given_as_fit_takes_them(trained, rows_csv):
    import pyarrow.csv

    bundle = library.load(trained["head"])
    file, table = (bundle.evaluate(rows, split="all", baselines=False).plain() for rows in (rows_csv, pyarrow.csv.read_csv(rows_csv)))
    assert table["metrics"] == file["metrics"] == bundle.evaluate(data=str(rows_csv), split="all", baselines=False).plain()["metrics"]
