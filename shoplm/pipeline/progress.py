"""What a long piece of work tells whoever waits for it: lines and bars on stderr, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Someone who waits."""

    def say(self, line: str) -> None:
        """One line."""
        ...

    def bar(self, title: str, total: int | None) -> contextlib.AbstractContextManager[Advance]:
        """A bar that a call of the given function moves on; ``total`` None when nobody knows it."""
        ...


class Silent:
    """Nobody waits: for tests and libraries."""

    def say(self, line: str) -> None:
        """Nothing."""

    @contextlib.contextmanager
    def bar(self, title: str, total: int | None) -> Iterator[Advance]:  # noqa: ARG002  (nobody looks)
        """Nothing."""
        yield lambda _: None


class Terminal:
    """A person waits: rich bars with rate and time left, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def say(self, line: str) -> None:
        """One line, as it is."""
        self.console.print(line, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def bar(self, title: str, total: int | None) -> Iterator[Advance]:
        """A bar that goes away when the work is done."""
        if not self.console.is_terminal:  # a log file wants lines, no bars
            yield lambda _: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as shown:
            bar = shown.add_task(title, total=total)
            yield lambda count: shown.advance(bar, count)
