"""The main job on real reviews: train from a plain file, judge, predict a file, load again."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pipeline.worked import shoplm

import shoplm as library

ROOT = Path(os.environ.get("SHOPLM_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
REVIEWS = ROOT / "womens_clothing_reviews" / "reviews.parquet"


def renamed(table, before, after):
    return table.rename_columns([after if name == before else name for name in table.column_names])


@pytest.mark.realdata
@pytest.mark.skipif(not REVIEWS.is_file(), reason=f"no real data at {REVIEWS}; set SHOPLM_DATA")
def test_real_reviews_become_a_judged_model_that_answers_a_file(bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = renamed(pq.read_table(REVIEWS).slice(0, 400), "text", "review_body")
    pq.write_table(rows, "reviews.parquet")
    source = ["--data", "reviews.parquet", "--map", "text=review_body", "--map", "item_id=product_id"]
    where = ["--where", "rating <> 3 and age < 60"]
    said = shoplm(
        "train", "sentiment", *source, *where, "--backbone", bert, "--method", "lora", "--out", "out", "epochs=2", "max_length=48"
    )
    assert said.code == 0, said.err
    kept = sum(stars != 3 and age < 60 for stars, age in zip(rows["rating"].to_pylist(), rows["age"].to_pylist(), strict=True))
    judged = shoplm("evaluate", "out", *source, "--split", "all", "--json")
    assert judged.code == 0, judged.err
    assert kept - 30 <= judged.json["rows"] <= kept  # a few rows have no words
    assert {"macro_f1", "accuracy", "rmse"} <= set(judged.json["metrics"])
    answered = shoplm("predict", "out", *source, "--out", "answers.parquet")
    assert answered.code == 0, answered.err
    answers = pq.read_table("answers.parquet")
    assert answers["review_body"].to_pylist() == rows["review_body"].to_pylist()
    assert set(answers["label"].to_pylist()) <= {"negative", "positive"}
    again = library.load("out").predict(renamed(rows, "review_body", "text"))
    assert [row["probability"] for row in again] == pytest.approx(answers["probability"].to_pylist(), abs=2e-4)  # four decimals are kept
