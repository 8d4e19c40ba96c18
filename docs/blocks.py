"""The python blocks of a page, and how to run them one after another in one namespace.

A block that must fail says so in an HTML comment above it:

    <!-- raises: ValueError "Expected input batch_size" -->

A block marked ``<!-- not run -->`` is for reading only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"(?:<!-- (?P<mark>[^\n]*?) -->\n+)?^```python\n(?P<code>.*?)^```$", re.M | re.S)
_RAISES = re.compile(r'raises: (?P<kind>\w+)(?: "(?P<words>[^"]*)")?')


@dataclass(frozen=True)
class Block:
    """One python block of a page."""

    line: int
    """Where its code begins on the page, counted from 1."""
    code: str
    raises: str | None = None
    """The name of the error that it must raise."""
    words: str = ""
    """What the error's message must contain."""


def blocks(page: Path) -> list[Block]:
    """The python blocks of a page that are to be run, in order."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        mark = match["mark"] or ""
        if mark == "not run":
            continue
        line = text.count("\n", 0, match.start("code")) + 1
        fails = _RAISES.fullmatch(mark)
        found.append(Block(line, match["code"], fails["kind"], fails["words"] or "") if fails else Block(line, match["code"]))
    return found


def run(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Run a block; one that must fail has to fail in exactly the way it says.

    Raises:
        AssertionError: it did not fail, or failed in another way.
    """
    code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")  # so that a traceback shows the page's own lines
    if block.raises is None:
        exec(code, namespace)
        return
    try:
        exec(code, namespace)
    except Exception as error:
        seen = f"{type(error).__name__}: {error}"
        if type(error).__name__ != block.raises or block.words not in str(error):
            raise AssertionError(f"{page.name}, line {block.line}: expected {block.raises}: {block.words!r}, seen {seen}") from error
        return
    raise AssertionError(f"{page.name}, line {block.line}: expected {block.raises}, and nothing was raised")
