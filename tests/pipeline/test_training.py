"""train: the same rows give the same model whatever way they come; several tasks in one bundle; what a run leaves behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import shoplm as library
from pipeline.worked import reviews, shoplm, turns
from shoplm.errors import ConfigError, DataError
from shoplm.pipeline import training

TEXTS = ["good dress", "awful", "", "😀 质量"]


@pytest.fixture(scope="module")
def table(rows_csv):
    return pa.csv.read_csv(rows_csv)


@pytest.fixture(scope="module")
def fitted(bert, table):
    return library.fit("sentiment", table, backbone=bert, method="head", epochs=2)


def test_a_shop_a_file_and_tables_of_three_libraries_give_the_same_model(bert, rows_csv, table, fitted, tmp_path):
    import pandas
    import polars

    shop = library.Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", table, mapping={"body": "text"}, defaults={"item_id": "unknown"})
    sources = [shop, tmp_path / "shop", rows_csv, str(rows_csv), pandas.read_csv(rows_csv), polars.read_csv(rows_csv)]
    for source in sources:
        bundle = library.fit("sentiment", source, backbone=bert, method="head", epochs=2)
        np.testing.assert_array_equal(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_the_order_of_the_rows_changes_nothing(bert, table, fitted):
    mixed = table.take(np.random.default_rng(0).permutation(len(table)))
    bundle = library.fit("sentiment", mixed, backbone=bert, method="head", epochs=2)
    np.testing.assert_array_equal(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_parts_of_a_table_change_nothing(bert, table, fitted, monkeypatch):
    from shoplm.pipeline import prepare

    monkeypatch.setattr(prepare, "PART_ROWS", 7)
    bundle = library.fit("sentiment", table, backbone=bert, method="head", epochs=2)
    np.testing.assert_array_equal(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_a_saved_bundle_answers_as_before(fitted, tmp_path):
    loaded = library.load(fitted.save(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert loaded.predict(TEXTS) == fitted.predict(TEXTS)
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["label2id"] == {"negative": 0, "positive": 1}


def test_any_binary_column_can_be_the_target(bert, rows_csv, tmp_path):
    words = ["--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=1"]
    said = shoplm("train", "sentiment", *words, "--target", "recommended")
    assert said.code == 0
    rows = library.load(tmp_path / "out").predict(["good"])
    assert rows[0]["label"] in {"0", "1"}
    assert "stars" not in rows[0]
    judged = shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--json").json
    assert {"accuracy", "roc_auc"} <= set(judged["metrics"])


def test_a_condition_makes_a_few_shot_run_and_is_remembered(bert, rows_csv, tmp_path):
    words = ["--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=1"]
    said = shoplm("train", "sentiment", *words, "--where", "contains(body, 'good') or contains(body, 'poor')")
    assert said.code == 0
    rows = reviews().count("good ") + reviews().count("poor ")
    manifest = json.loads((tmp_path / "out" / "run" / "manifest.json").read_text())
    assert manifest["train_rows"] < rows
    assert shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--json").json["rows"] == rows
    assert shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--where", "true", "--json").json["rows"] == 80


def test_two_tasks_share_one_bundle(bert, rows_csv, tmp_path):
    shop = library.Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", pa.csv.read_csv(rows_csv), mapping={"body": "text"}, defaults={"item_id": "unknown"})
    chats = tmp_path / "chats.csv"
    chats.write_text(turns())
    shop.import_files(chats, table="chats", mapping={"content": "text"}, defaults={"role": "user"})
    out = tmp_path / "out"
    words = ["train", "sentiment", "intent", "--shop", tmp_path / "shop", "--backbone", bert, "--out", out, "epochs=1"]
    said = shoplm(*words, "--method", "lora")
    assert said.code == 0, said.err
    assert f"next: shoplm evaluate {out} sentiment --shop " in said.out
    bundle = library.load(out)
    assert bundle.tasks == ("sentiment", "intent")
    assert "name one of them" in shoplm("predict", out, "--text", "good").line
    assert set(bundle.predict(["good"], "sentiment")[0]) == {"label", "probability", "stars"}
    assert set(bundle.predict(["where is my order"], "intent")[0]) == {"intent", "probability", "in_scope", "oos_probability"}
    first = bundle.predict_proba(TEXTS, "sentiment")
    bundle.predict(TEXTS, "intent")
    np.testing.assert_array_equal(bundle.predict_proba(TEXTS, "sentiment"), first)
    alone = library.fit("sentiment", shop, backbone=bert, method="lora", epochs=1)
    np.testing.assert_allclose(first, alone.predict_proba(TEXTS), atol=1e-6)
    for task in bundle.tasks:
        assert bundle.evaluate(shop, task=task, split="all").judgement.rows
        assert (out / "run" / task / "steps.jsonl").is_file()
    refused = shoplm(*words, "--method", "full")
    assert refused.code == 2
    assert "several tasks share one backbone" in refused.line


def test_a_recipe_as_a_run_resolved_it_can_be_run_again(bert, rows_csv, tmp_path):
    words = ["--data", rows_csv, "--method", "head"]
    assert shoplm("train", "sentiment", *words, "--backbone", bert, "--out", tmp_path / "one", "epochs=2", "seed=3").code == 0
    again = shoplm("train", "--data", rows_csv, "--recipe", tmp_path / "one" / "run" / "recipe.yaml", "--out", tmp_path / "two")
    assert again.code == 0, again.err
    np.testing.assert_array_equal(library.load(tmp_path / "one").predict_proba(TEXTS), library.load(tmp_path / "two").predict_proba(TEXTS))


def test_without_validation_rows_the_last_epoch_is_kept(bert):
    rows = pa.table({"text": [f"good {i}" if i % 2 else f"bad {i}" for i in range(30)], "rating": [5, 1] * 15, "split": ["train"] * 30})
    bundle = library.fit("sentiment", rows, backbone=bert, method="head", epochs=2)
    assert len(bundle.predict(["x"])) == 1


def test_validation_rows_without_an_answer_choose_nothing(bert):
    count = 30
    rows = pa.table({
        "text": [f"good {i}" if i % 2 else f"bad {i}" for i in range(count)],
        "rating": [5 if i % 2 else 1 for i in range(count - 6)] + [None] * 6,
        "split": ["train"] * (count - 6) + ["valid"] * 6,
    })  # fmt: skip
    bundle = library.fit("sentiment", rows, backbone=bert, method="head", epochs=2)
    assert len(bundle.predict(["x"])) == 1
    with pytest.raises(DataError, match="no valid rows with an answer"):
        bundle.evaluate(data=_csv(rows), split="valid")


def _csv(rows: pa.Table) -> Path:
    import tempfile

    file = Path(tempfile.mkdtemp()) / "rows.csv"
    pa.csv.write_csv(rows, file)
    return file


def test_a_failure_before_the_first_checkpoint_leaves_nothing(bert, table, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(training.loop, "fit", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            library.fit("sentiment", table, tmp_path / "deep" / "out", backbone=bert, method="head")
    assert not (tmp_path / "deep" / "out").exists()
    (tmp_path / "mine").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(training.loop, "fit", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            library.fit("sentiment", table, tmp_path / "mine", backbone=bert, method="head")
    assert not (tmp_path / "mine" / "run").exists()


def test_a_manifest_that_is_none_is_refused(bert, rows_csv, tmp_path):
    run = tmp_path / "out" / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "latest.safetensors").write_bytes(b"x")
    words = ["train", "sentiment", "--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "--resume"]
    for text in ("", "[]", "{}", "{"):
        (run / "manifest.json").write_text(text)
        said = shoplm(*words)
        assert said.code == 2
        assert "start again without --resume" in said.line


def test_tasks_are_named_once_and_not_set():
    from shoplm.pipeline.config import RunConfig

    assert RunConfig.read(["sentiment", "sentiment"]).tasks == ("sentiment",)
    with pytest.raises(ConfigError, match="name the tasks themselves"):
        RunConfig.read(["sentiment"], tasks=["intent"])


def test_a_run_leaves_its_journal_and_no_scraps(trained):
    out = trained["full"]
    assert sorted(os.listdir(out / "run")) == ["manifest.json", "recipe.yaml", "report.html", "steps.jsonl"]
    manifest = json.loads((out / "run" / "manifest.json").read_text())
    assert {"data_version", "rows_digest", "seed", "machine", "versions", "train_rows"} <= set(manifest)
    page = (out / "run" / "report.html").read_text()
    assert "<script src" not in page
    assert "https://" not in page.replace("https://www.w3.org", "").replace("http://www.w3.org", "")
