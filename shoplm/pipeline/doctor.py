"""doctor: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoplm.errors import BackboneError
from shoplm.train.journal import machine, versions

EXTRAS = {"tensorboard": "track", "wandb": "track"}
ROOM_GB = 2.0
"""Free disk that a run may want: temporary shop, trunk cache, checkpoints."""


@dataclass(frozen=True)
class Line:
    """One thing that was looked at."""

    state: Literal["ok", "missing", "bad"]
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """All that was looked at."""

    lines: Sequence[Line]

    @property
    def well(self) -> bool:
        """Whether the main job can run."""
        return all(line.state != "bad" for line in self.lines)

    def __str__(self) -> str:
        end = "next: shoplm demo" if self.well else "next: mend what is marked bad, then run shoplm doctor again"
        return "\n".join([*(f"{line.state:8}{line.text}" for line in self.lines), end])


def examine() -> Diagnosis:
    """Look at Python, the machine, the libraries, the default backbone and the disk."""
    here = machine()
    supported = sys.version_info >= (3, 11)
    lines = [Line("ok" if supported else "bad", f"Python {platform.python_version()}{'' if supported else ': 3.11 or later is needed'}")]
    lines.append(Line("ok", f"{here['processor']}, {here['cores']} cores, {here['memory_gb']} GB"))
    lines += [Line("ok", f"{name} {version}") for name, version in versions().items()]
    lines.append(_backbone())
    lines.append(_arithmetic())
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    lines.append(
        Line(
            "ok" if free >= ROOM_GB else "bad",
            f"{free:.1f} GB free in {tempfile.gettempdir()}{'' if free >= ROOM_GB else ': set TMPDIR to a larger disk'}",
        )
    )
    for package, extra in EXTRAS.items():
        there = importlib.util.find_spec(package) is not None
        lines.append(Line("ok" if there else "missing", f"{package}{'' if there else f': optional, pip install shoplm[{extra}]'}"))
    return Diagnosis(lines)


def _backbone() -> Line:
    from shoplm.model.backbone import check_default, default_folder

    try:
        folder: Path = default_folder()
        check_default(folder)
    except BackboneError as error:
        return Line("bad", str(error))
    return Line("ok", "default backbone all-MiniLM-L6-v2, digest as published")


def _arithmetic() -> Line:
    from shoplm.model.precision import faster

    found = faster()
    return Line("ok", f"{found} is the faster precision on this machine (measured)")
