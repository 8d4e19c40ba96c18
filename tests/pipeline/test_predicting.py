"""predict a file: as many rows as it has, in their order, its own columns first, whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import shoplm as library
from pipeline.worked import shoplm
from shoplm.pipeline import bundle as bundles

TEXTS = ["good dress", "", 'a, b\n"c"', "质量 😀", " ", "awful"]


def read(file: Path) -> list[dict]:
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    options = pa.csv.ParseOptions(newlines_in_values=True)
    return (pa.csv.read_csv(file, parse_options=options) if file.suffix == ".csv" else pq.read_table(file)).to_pylist()


def write(rows: pa.Table, file: Path) -> Path:
    if file.suffix == ".csv":
        pa.csv.write_csv(rows, file)
    elif file.suffix == ".parquet":
        pq.write_table(rows, file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    return file


@pytest.mark.parametrize("source", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("target", [".csv", ".jsonl", ".parquet"])
def test_every_row_is_answered_in_order(trained, tmp_path, source, target):
    rows = pa.table({"number": range(len(TEXTS)), "text": TEXTS, "label": ["mine"] * len(TEXTS)})
    file, out = write(rows, tmp_path / f"rows{source}"), tmp_path / f"answers{target}"
    said = shoplm("predict", trained["lora"], "--data", file, "--out", out)
    assert said.code == 0, said.err
    assert f"{len(TEXTS)} answers in " in said.err
    found = read(out)
    assert [int(row["number"]) for row in found] == list(range(len(TEXTS)))
    assert [row["text"] for row in found] == TEXTS
    assert {row["label"] for row in found} == {"mine"}
    expected = library.load(trained["lora"]).predict(TEXTS)
    assert [row["predicted_label"] for row in found] == [row["label"] for row in expected]
    assert [row["probability"] for row in found] == pytest.approx([row["probability"] for row in expected], abs=2e-4)


def test_to_stdout_it_is_one_json_object_a_row(trained, tmp_path):
    file = write(pa.table({"text": TEXTS}), tmp_path / "rows.csv")
    said = shoplm("predict", trained["lora"], "--data", file)
    assert [json.loads(line)["text"] for line in said.out.splitlines()] == TEXTS


def test_columns_of_any_type_are_kept(trained, tmp_path):
    rows = pa.table({
        "text": ["a", "b", None], "items": [["x"], [], None], "price": pa.array([1, 2, None], pa.decimal128(5, 2)), "raw": pa.array([b"a", b"", None]),
        "kind": pa.array(["x", "y", None]).dictionary_encode(), "at": pa.array([0, 1, None], pa.timestamp("us")), "none": pa.nulls(3),
        "deep": pa.array([{"a": 1}, None, {"a": 2}]),
    })  # fmt: skip
    file = write(rows, tmp_path / "rows.parquet")
    for ending in (".csv", ".jsonl", ".parquet"):
        out = tmp_path / f"answers{ending}"
        assert shoplm("predict", trained["head"], "--data", file, "--out", out).code == 0
        found = read(out)
        assert len(found) == 3
        assert list(found[0])[:8] == rows.column_names
        assert str(found[0]["price"]) in ("1.00", "1.0", "1")


def test_objects_whose_keys_change_far_down_the_file_keep_all_keys(trained, tmp_path, monkeypatch):
    from shoplm.data.importers import _jsonl

    monkeypatch.setattr(_jsonl, "BLOCK_BYTES", 60)
    lines = [{"text": f"a {i}", "x": i} for i in range(4)] + [{"text": "b", "x": "word", "late": True}, {"late": False}]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for ending in (".csv", ".jsonl", ".parquet"):
        out = tmp_path / f"answers{ending}"
        assert shoplm("predict", trained["head"], "--data", file, "--out", out).code == 0
        found = read(out)
        assert [str(row["x"]) for row in found][:5] == ["0", "1", "2", "3", "word"]
        assert [row["late"] for row in found][-2:] == [True, False]


def test_the_map_wins_over_a_column_of_the_same_name(trained, tmp_path):
    file = write(pa.table({"text": ["x1", "x2"], "real": ["good", "awful"]}), tmp_path / "rows.csv")
    said = shoplm("predict", trained["lora"], "--data", file, "--map", "text=REAL")
    expected = library.load(trained["lora"]).predict(["good", "awful"])
    assert [json.loads(line)["probability"] for line in said.out.splitlines()] == [row["probability"] for row in expected]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--data", "txt.csv"], 2, "did you mean --map text=txt?"),
        (["--data", "rows.csv", "--map", "text=txet"], 2, "no column `txet` (--map text=txet); did you mean `text`?"),
        (["--data", "ragged.csv"], 2, "ragged.csv, line 3: has 1 cells, the header 2"),
        (["--data", "rows.csv", "--out", "answers.xls"], 2, "the ending `.xls` is none of .csv, .jsonl, .parquet"),
        (["--data", "rows.csv", "--out", "rows.csv"], 2, "is the file that is answered"),
        (["--data", "rows.csv", "--out", "rows.csv/answers.csv"], 1, "cannot be written"),
        (["--data", "rows.csv", "--text", "x"], 2, "give only one of them"),
        ([], 2, "nothing to answer"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_written(trained, tmp_path, monkeypatch, words, code, expected):
    monkeypatch.chdir(tmp_path)
    files = {"rows.csv": "text,n\na,1\nb,2\n", "txt.csv": "txt\na\n", "ragged.csv": "text,n\na,1\nb\n"}
    for name, text in files.items():
        Path(name).write_text(text)
    said = shoplm("predict", trained["head"], *words)
    assert said.code == code
    assert expected in said.line
    assert said.out == ""
    assert {path.name: path.read_text() for path in Path().iterdir()} == files


def test_answers_do_not_go_into_a_bundle(trained, rows_csv):
    said = shoplm("predict", trained["head"], "--data", rows_csv, "--out", trained["head"] / "answers.csv")
    assert said.code == 2
    assert "lies inside a bundle" in said.line
    assert shoplm("verify", trained["head"]).code == 0


def test_tables_of_three_libraries_are_answered_alike(trained):
    import pandas
    import polars

    bundle = library.load(trained["lora"])
    texts = ["good", None, "awful", ""]
    expected = bundle.predict_proba(texts)
    for data in (
        pa.table({"text": texts}),
        pandas.DataFrame({"text": texts, "n": range(4)}, index=[7, 7, 1, 0]),
        polars.DataFrame({"text": texts}),
        {"text": texts},
        pa.table({"Body": texts}),
        np.array(["good", "", "awful", ""]),
    ):
        np.testing.assert_array_equal(bundle.predict_proba(data), expected)
        assert [row["probability"] for row in bundle.predict(data)] == [row["probability"] for row in bundle.predict(texts)]
    truth = [row["label"] for row in bundle.predict(texts)]  # not the argmax: a decision may favour rare classes
    assert bundle.score(polars.DataFrame({"text": texts}), truth) == 1.0
    assert bundle.predict([]) == []
    assert bundle.predict("good") == bundle.predict(["good"])
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-6)


def test_how_many_texts_share_a_pass_changes_no_answer(trained, monkeypatch):
    bundle = library.load(trained["lora"])
    texts = [f"good {'x ' * (i % 9)}" for i in range(40)]
    whole = bundle.predict_proba(texts)
    monkeypatch.setattr(bundles, "PASS_ROWS", 7)
    monkeypatch.setattr(bundles, "PASS_TOKENS", 16)
    np.testing.assert_allclose(
        bundle.predict_proba(texts), whole, atol=5e-5
    )  # float32 sums, padded otherwise, times sharpness over temperature


def test_verify_says_what_it_tried(trained):
    said = shoplm("verify", trained["full"])
    assert "every file is as it was written" in said.out
    assert "sentiment: answers label, probability, stars" in said.out
