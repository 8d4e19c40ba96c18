"""Every recipe that comes with ShopLM is valid, and opens with the command that runs it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import shoplm.pipeline.config
from docs.commands import check
from docs.pages import ROOT

RECIPES = sorted((ROOT / "shoplm" / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert {"quick", "reviews-long", "few-shot", "small-adapter"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_valid_for_the_command_in_its_first_line(path: Path) -> None:
    command = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
    check(command, path.name)
    words = shlex.split(command)
    assert words[:2] == ["shoplm", "train"]
    assert words[words.index("--recipe") + 1] == f"shoplm/recipes/{path.name}"
    named = words[2 : next(at for at, word in enumerate(words) if word.startswith("--"))]
    config = shoplm.pipeline.config.RunConfig.read(named, path)
    assert config.tasks == tuple(named)
    resolved = shoplm.pipeline.config.resolve(config, 5000, 6)
    assert resolved.fit.learning_rate is not None


def test_few_shot_and_quick_mean_what_they_say() -> None:
    read = shoplm.pipeline.config.RunConfig.read
    assert read(["intent"], ROOT / "shoplm/recipes/few-shot.yaml").fit.batch_size == 32
    assert read(["sentiment"], ROOT / "shoplm/recipes/quick.yaml").adapter.method == "head"
