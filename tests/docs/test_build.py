"""The made pages are up to date, and are made honestly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs.pages import ROOT, script

build = script("build")


@pytest.mark.parametrize("path", sorted(build.pages()), ids=lambda path: path.name)
def test_a_made_page_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == build.pages()[path], f"{path.relative_to(ROOT)} is out of date; run make docs"


def test_without_results_the_pages_say_that_nothing_was_measured(tmp_path: Path) -> None:
    made = build.pages(tmp_path / "absent")
    assert "Nothing has been measured on this version yet." in made[ROOT / "docs" / "numbers.md"]
    assert build.NOTHING["README.md"] in made[ROOT / "README.md"]


def test_results_reach_the_pages_with_ratio_quality_machine_and_commit(tmp_path: Path) -> None:
    result = {
        "name": "finetune", "ours": {"seconds": 12.5}, "peers": {"textbook": {"seconds": 250.0}}, "ratio": {"textbook": 20.0},
        "quality": {"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}}, "machine": {"cores": 2}, "commit": "0123456789abcdef", "seconds": 300,
    }  # fmt: skip
    (tmp_path / "finetune.json").write_text(json.dumps(result))
    made = build.pages(tmp_path)
    page = made[ROOT / "docs" / "numbers.md"]
    assert "| ratio | textbook | 20 |" in page
    assert "| quality | accuracy | 0.900 [0.880, 0.920] |" in page
    assert "commit `0123456789ab`; cores 2; 300 s in all." in page
    row = "| [finetune](docs/numbers.md#finetune) | textbook 20 × | accuracy 0.900 [0.880, 0.920] |"
    assert row in made[ROOT / "README.md"]
    assert row in made[ROOT / "README.zh-CN.md"]


def test_a_result_without_a_name_is_refused_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(ValueError, match=r"odd\.json: expected one JSON object"):
        build.read_results(tmp_path)


def test_every_setting_has_a_line_and_a_meaning() -> None:
    lines = [line for line in build.settings().splitlines() if line.startswith("| `")]
    assert len(lines) > 30
    mute = {line.split("`")[1] for line in lines if line.endswith("|  |")}
    assert mute <= {"lora_dropout", "optimizer", "seed", "split_seed"}  # their name and type say it all


def test_a_page_without_the_place_for_its_figures_is_refused() -> None:
    assert build.filled("a <!-- numbers -->old<!-- /numbers --> b", "numbers", "new") == "a <!-- numbers -->\nnew\n<!-- /numbers --> b"
    with pytest.raises(ValueError, match="no place `<!-- numbers -->`"):
        build.filled("a b", "numbers", "new")
