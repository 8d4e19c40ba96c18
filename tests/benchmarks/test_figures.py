"""The benchmarks themselves: that they load, that what they stored is whole, and that their arithmetic is right."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # `benchmarks` is not installed; plain `pytest` does not look in the working folder

from benchmarks.__main__ import names  # noqa: E402
from benchmarks.finetune import best, reached  # noqa: E402
from benchmarks.ingest import SIDES, _too_large, write  # noqa: E402
from benchmarks.side_by_side import (  # noqa: E402
    REQUIRED,
    Parts,
    child,
    data,
    encoder_flops,
    growth,
    matmul_peak,
    paired_bootstrap,
    ratio,
    spread,
)  # fmt: skip
from benchmarks.watch import Enough, judged_at, rows_of, watched  # noqa: E402


@pytest.mark.parametrize("name", names())
def test_every_benchmark_imports_and_has_a_quick_form(name):
    main = importlib.import_module(f"benchmarks.{name}").main
    assert "quick" in inspect.signature(main).parameters or "--quick" in inspect.getsource(sys.modules[f"benchmarks.{name}"])


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_stored_figure_is_json_with_the_required_keys(path):
    def refuse(word):
        raise AssertionError(f"{path} holds {word}, which is no JSON")

    found = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    assert [key for key in REQUIRED if key not in found] == []
    assert found["name"] == path.stem


def test_the_watched_functions_of_the_pipeline_are_still_there():
    from shoplm.pipeline import choosing, learning, training

    assert callable(training.learn)
    assert callable(choosing.validate)
    for place, name in ((learning, "work"), (learning, "fill"), (learning.loop, "fit"), (learning.loop, "rehearse")):
        assert callable(getattr(place, name))
    assert callable(learning.start.heads_from_features)


def test_the_peers_rows_are_those_of_the_pipeline(monkeypatch, tmp_path):
    from benchmarks import sides

    file = tmp_path / "rows.csv"
    file.write_text(
        "text,rating,split\n"
        + "".join(f"{'good' if i % 2 else 'bad'} dress {i},{5 if i % 2 else 1},{'train' if i < 40 else 'valid'}\n" for i in range(60))
    )
    monkeypatch.setattr(sides, "write_file", lambda *_: file)
    monkeypatch.setitem(sides.SETS, "clothing", {**sides.SETS["clothing"], "where": "true"})
    rows = sides.rows_for({"data": "clothing"})
    assert (len(rows.train), len(rows.valid), rows.classes) == (40, 20, 2)
    assert sorted(set(rows.train_class)) == sorted(set(rows.valid_class)) == [0, 1]


def test_a_watched_run_counts_every_step_and_judges_where_it_is_asked_to(bert_folder, tmp_path):
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.training import train

    file = tmp_path / "rows.csv"
    file.write_text("text,rating\n" + "".join(f"{'good' if i % 2 else 'bad'} dress {i},{5 if i % 2 else 1}\n" for i in range(60)))
    config = RunConfig.read(["sentiment"], backbone=bert_folder, epochs=2, batch_size=8)
    rows, _ = rows_of("sentiment", file, None)
    with watched(points=1) as watch:
        train(config, data=file, out=tmp_path / "out")
    assert watch.study.lesson.train == rows.train
    assert len(rows.tokens) > rows.train
    assert watch.count == len(watch.study.plan.epoch(0)) * 2
    assert [point["epoch"] for point in watch.curve] == [1.0, 2.0]
    assert watch.flops > 0
    with pytest.raises(Enough), watched(leave=True):
        train(config, data=file, out=tmp_path / "left")
    assert not (tmp_path / "left").exists() or not (tmp_path / "left" / "checksums.json").exists()


@pytest.fixture(scope="module")
def bert_folder(backbone_folders):
    return str(backbone_folders["bert"])


def test_flops_of_one_layer_equal_those_counted_by_hand():
    # one row of 3 tokens, width 2, inner 5: four 2x2 matrices and two 2x5, each product 2 a token; attention 2 products of 3x2x3
    weights = 3 * 2 * (4 * 2 * 2 + 2 * 2 * 5)
    attention = 2 * (2 * 3 * 3 * 2)
    assert encoder_flops([3], 1, 2, 5) == weights + attention
    assert encoder_flops([3, 3], 4, 2, 5) == 2 * 4 * (weights + attention)


def test_flops_equal_those_that_torch_counts_in_a_forward_pass():
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=9, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    model = BertModel(config, add_pooling_layer=False).eval()
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(input_ids=torch.ones(3, 7, dtype=torch.long))
    assert counted.get_total_flops() == encoder_flops([7, 7, 7], 2, 32, 64)


def test_the_measured_peak_is_positive_in_both_precisions():
    found = matmul_peak(seconds=0.01)
    assert found["bf16"] > 0
    assert found["fp32"] > 0


def test_growth_is_the_exponent_of_a_power_law():
    assert growth([10, 100, 1000], [5 * size**1.5 for size in (10, 100, 1000)]) == 1.5


def test_a_run_that_never_arrived_counts_as_the_longest():
    assert spread([3.0, None, 1.0]) == {"median": 3.0, "low": 1.0, "high": None, "runs": 3}
    assert spread([None, None, 1.0])["median"] is None
    assert ratio(6.0, 3.0) == 2.0
    assert ratio(None, 3.0) is None


def test_a_paired_difference_of_equal_sides_is_a_tie_and_of_far_ones_is_none():
    random = np.random.default_rng(0)
    rows = random.random(500)
    assert paired_bootstrap(rows, rows)["tie"]
    found = paired_bootstrap(rows + 1, rows)
    assert not found["tie"]
    assert found["value"] == pytest.approx(1.0)


def test_the_time_to_a_target_is_that_of_the_first_point_at_it():
    curve = [{"seconds": 1.0, "accuracy": 0.5}, {"seconds": 2.0, "accuracy": 0.9}, {"seconds": 3.0, "accuracy": 0.8}]
    assert reached(curve, "accuracy", 0.8) == 2.0
    assert reached(curve, "accuracy", 0.95) is None
    assert best(curve, "accuracy") == 0.9


def test_points_lie_at_equal_parts_of_every_epoch_and_at_its_end():
    assert judged_at([0, 10, 20], 2) == {5: 0.5, 10: 1.0, 15: 1.5, 20: 2.0}
    assert judged_at([0, 10], 0) == {}


def test_a_part_is_measured_once_until_its_settings_change(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.side_by_side.RESULTS", tmp_path)
    calls = []

    def measure():
        calls.append(1)
        return {"seconds": len(calls)}

    for settings in ({"seed": 0}, {"seed": 0}, {"seed": 1}):
        Parts("toy").take("one", settings, measure)
    assert len(calls) == 2
    assert Parts("toy").take("one", {"seed": 1}, measure) == {"seconds": 2}
    Parts("toy").take("broken", {}, lambda: {"failed": "why"})
    assert "broken" not in Parts("toy").kept


def test_a_child_gives_back_its_answer_and_its_own_peak():
    found = child("benchmarks.side_by_side:_clean", {"a": 1.5}, timeout=60)
    assert found["a"] == 1.5
    assert found["peak_mb"] > 1
    assert "failed" in child("benchmarks.side_by_side:growth", {}, timeout=60)


def test_missing_data_ends_with_3_and_names_the_path(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SHOPLM_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        data("clinc150_oos", "queries.parquet")
    assert ended.value.code == 3
    assert str(tmp_path / "clinc150_oos" / "queries.parquet") in capsys.readouterr().err


@pytest.mark.parametrize("side", sorted(SIDES))
def test_every_side_of_ingest_takes_and_sets_aside_the_same_rows(side, tmp_path):
    if side != "ours":
        pytest.importorskip(side)
    file = tmp_path / "events.parquet"
    faulty = write(700, file, seed=3)
    assert faulty > 0
    assert SIDES[side](file, tmp_path) == (700 - faulty, faulty)


def test_a_peer_that_would_not_fit_is_left_out_and_said_so():
    assert _too_large("ours", 10**12) == ""
    assert _too_large("polars", 1_000) == ""
    assert "530000 GB of memory" in _too_large("polars", 10**12)
