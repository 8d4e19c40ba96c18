"""What a run did: ``manifest.json``, ``recipe.yaml`` and one line of ``steps.jsonl`` per step.

A resumed run cuts the lines after its checkpoint, so that the file reads as if the run had never
stopped.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from shoplm.errors import ResourceError
from shoplm.files import write_text
from shoplm.train.memory import installed

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "pyarrow", "deltalake", "duckdb")


def machine() -> dict[str, Any]:
    """What the figures of a run depend on: processor, cores, memory, versions."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(installed() / 2**30, 1),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The libraries that numbers depend on."""
    found = {}
    for name in ("shoplm", *LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class Journal:
    """The files of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps_path = folder / "steps.jsonl"
        self._lines: list[str] = []

    def open(self, recipe: Mapping[str, Any], facts: Mapping[str, Any], after_step: int = 0) -> None:
        """Start the files, or continue them after a step.

        Raises:
            ResourceError: the folder cannot be written.
        """
        kept = []
        if after_step:
            kept = [line for line in self.lines() if line["step"] <= after_step]
        write_text(self.folder / "recipe.yaml", yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))
        write_text(
            self.folder / "manifest.json", json.dumps({**facts, "machine": machine(), "versions": versions()}, indent=2, ensure_ascii=False)
        )
        write_text(self.folder / "steps.jsonl", "".join(json.dumps(line) + "\n" for line in kept))

    def add(self, **line: Any) -> None:
        """One line; kept in memory until ``flush``."""
        self._lines.append(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Append what was added to the file.

        Raises:
            ResourceError: the disk is full.
        """
        if not self._lines:
            return
        try:
            with open(self.steps_path, "a", encoding="utf-8") as file:
                file.writelines(self._lines)
        except OSError as error:
            raise ResourceError(f"{self.steps_path}: cannot be written ({error.strerror}); free space or choose another --out") from None
        self._lines.clear()

    def follow(self, other: Journal, task: str, history: Sequence[Mapping[str, Any]]) -> None:
        """The steps that one task had in a journal of several, and its epochs.

        Raises:
            ResourceError: the folder cannot be written.
        """
        own = [*(line for line in other.lines() if line.get("task") == task), *history]
        write_text(self.steps_path, "".join(json.dumps(line) + "\n" for line in own))

    def lines(self) -> Iterator[dict[str, Any]]:
        """What the file says; a last line torn by a kill is left out."""
        if not self.steps_path.is_file():
            return
        with open(self.steps_path, encoding="utf-8") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    return
