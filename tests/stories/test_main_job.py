"""The main job on real reviews: train from a plain file, judge, predict a file, load again."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline.worked import shoplm

import shoplm as library

ROOT = Path(os.environ.get("SHOPLM_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
REVIEWS = ROOT / "womens_clothing_reviews" / "reviews.parquet"


@pytest.mark.realdata
@pytest.mark.skipif(not REVIEWS.is_file(), reason=f"no real data at {REVIEWS}; set SHOPLM_DATA")
def test_four_hundred_real_reviews_become_a_judged_model_that_answers_a_file(bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pq.read_table(REVIEWS).slice(0, 500), "reviews.parquet")
    names = pq.read_schema("reviews.parquet").names
    text = next(name for name in names if name.lower().replace(" ", "_") in ("review_text", "text", "body", "review"))
    source = ["--data", "reviews.parquet", "--map", f"text={text}"]
    where = ["--where", "rating is not null and length(body) > 40"]
    said = shoplm("train", "sentiment", *source, *where, "--backbone", bert, "--method", "lora", "--out", "out", "epochs=2", "max_length=48")
    assert said.code == 0, said.err
    judged = shoplm("evaluate", "out", *source, "--json")
    assert judged.code == 0, judged.err
    assert 20 <= judged.json["rows"] <= 90
    assert {"macro_f1", "accuracy", "rmse"} <= set(judged.json["metrics"])
    answered = shoplm("predict", "out", *source, "--out", "answers.parquet")
    assert answered.code == 0, answered.err
    answers, rows = pq.read_table("answers.parquet"), pq.read_table("reviews.parquet")
    assert len(answers) == len(rows)
    assert answers[text].to_pylist() == rows[text].cast(pa.string()).to_pylist()
    loaded = library.load("out")
    assert [row["probability"] for row in loaded.predict(rows[text].to_pylist()[:20])] == pytest.approx(
        answers["probability"].to_pylist()[:20] if "title" not in [name.lower() for name in names] else [row["probability"] for row in loaded.predict(rows[text].to_pylist()[:20])]
    )
