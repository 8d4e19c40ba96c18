"""Every tutorial does what it says, block by block."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.pages import DOCS, ROOT, script

blocks = script("blocks")
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
@pytest.mark.slow
def test_every_block_of_a_tutorial_runs_in_order_and_fails_only_where_it_says_so(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    for block in blocks.blocks(page):
        blocks.run(block, page, namespace)


@pytest.mark.slow
def test_the_task_of_the_tutorial_is_short_and_keeps_every_contract_without_another_edit(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    page = DOCS / "tutorials" / "a-task-of-your-own.md"
    blocks.run(blocks.blocks(page)[0], page, namespace)
    file = namespace["folder"] / "tasks" / "category.py"
    assert len(file.read_text("utf-8").strip().splitlines()) < 60
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "tests/test_every_task.py", "-k", "category"],
        env={**os.environ, "SHOPLM_TASKS": str(file.parent)}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("[category] PASSED") >= 12, ended.stdout


def test_a_block_that_must_fail_and_does_not_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '<!-- raises: ValueError "seven" -->\n```python\nx = 1\n```\n\n<!-- raises: ValueError "seven" -->\n```python\nint("six")\n```\n'
    )
    quiet, other = blocks.blocks(page)
    with pytest.raises(AssertionError, match=r"page\.md, line 3: expected ValueError, and nothing was raised"):
        blocks.run(quiet, page, {})
    with pytest.raises(AssertionError, match="expected ValueError: 'seven', seen ValueError: invalid literal"):
        blocks.run(other, page, {})


def test_a_block_marked_as_not_run_is_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run -->\n```python\n1 / 0\n```\n\n```python\nx = 1\n```\n")
    assert [block.code for block in blocks.blocks(page)] == ["x = 1\n"]
