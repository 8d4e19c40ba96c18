"""A run that did not end: found before it could be lost, recognised as the same run, put back where it was saved."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from torch import Tensor, nn

from shoplm.config import Config
from shoplm.errors import ConfigError, DataError, DivergedError
from shoplm.model.precision import faster
from shoplm.pipeline.progress import Progress
from shoplm.tally import Tally
from shoplm.train import checkpoint, loop
from shoplm.train.journal import Journal

if TYPE_CHECKING:
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.pretrain.config import PretrainConfig

C = TypeVar("C", "RunConfig", "PretrainConfig")

Unfinished = Literal["refuse", "resume", "restart"]
"""What becomes of a run that stands in ``<out>/run`` and has not ended."""


@dataclass
class Best:
    """What validation has chosen so far."""

    value: float = float("-inf")
    epoch: int = 0
    stale: int = 0
    """Epochs since then."""
    weights: dict[str, Tensor] | None = None

    def consider(self, value: float, epoch: int, weights: dict[str, Tensor], keep: Literal["best", "last"] | None) -> None:
        """Take an epoch's weights if it is better than all before, or in any case where the last are kept."""
        if keep == "last" or value > self.value:
            self.value, self.epoch, self.stale, self.weights = value, epoch, 0, weights
        else:
            self.stale += 1


@dataclass
class Course:
    """How a run has gone so far, beside weights and optimizer."""

    best: Best = field(default_factory=Best)
    history: list[dict[str, Any]] = field(default_factory=list)
    """One line an epoch: epoch, step, train_loss, valid_…"""
    losses: dict[str, Tally[float]] = field(default_factory=dict)
    """Of this epoch, by head."""


def refuse_to_lose(out: Path) -> None:
    """Nobody's hours of work are thrown away unasked.

    Raises:
        ConfigError: ``<out>/run`` holds the checkpoint of a run that has not ended.
    """
    saved = next(iter(sorted((out / "run").rglob(checkpoint.FILE))), None)
    if saved is not None:
        raise ConfigError(
            f"--out {out}: holds a run that has not ended ({saved}); go on with it with --resume, "
            f"throw it away with --restart, or choose another --out"
        )


def begun(folder: Path, rows_digest: str, config: Config, unfinished: Unfinished) -> dict[str, Any]:
    """The manifest of the run to go on with; empty when it starts anew, and then without an old checkpoint.

    Raises:
        ConfigError: the data or a setting is not that of the run to go on with.
        DataError: its manifest cannot be read.
    """
    if unfinished != "resume" or not can_resume(folder):
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return {}
    before = _manifest(folder / "manifest.json")
    if before["rows_digest"] != rows_digest:
        raise ConfigError(f"--resume: the data is not what {folder} was trained on; give the same data, or --restart instead of --resume")
    asked = config.plain()
    asked["fit"]["precision"] = asked["fit"]["precision"] or before["precision"]
    if before["config"] != asked:
        differing = ", ".join(f"{group}.{key}" if key else group for group, key in _differences(before["config"], asked))
        raise ConfigError(
            f"--resume: other settings than {folder} began with: {differing}; give the same ones, or --restart instead of --resume"
        )
    return before


def entered(folder: Path, rows_digest: str, config: C, unfinished: Unfinished, progress: Progress) -> tuple[C, bool]:
    """The settings of a run with its precision, and whether it goes on with the one that stands in ``folder``.

    Raises:
        ConfigError, DataError: as ``begun``.
    """
    if unfinished == "resume" and not can_resume(folder):
        progress.say(f"{folder}: no checkpoint yet, starting from the beginning")
    before = begun(folder, rows_digest, config, unfinished)
    precision = config.fit.precision or before.get("precision") or faster()
    return config.model_copy(update={"fit": config.fit.model_copy(update={"precision": precision})}), bool(before)


def opened(journal: Journal, config: Config, facts: Mapping[str, Any], step: int) -> None:
    """Start or continue a run's journal; from now on it has not ended."""
    journal.open(config.plain(), facts, step)
    (journal.folder / "unfinished").touch()


def can_resume(folder: Path) -> bool:
    """Whether a run folder holds what a run goes on from."""
    return (folder / "manifest.json").is_file() and any((folder / "checkpoints").rglob(checkpoint.FILE))


def saved(folder: Path) -> bool:
    """Whether it holds a checkpoint of the task's own steps, not only of a stage before them."""
    return (folder / "checkpoints" / checkpoint.FILE).is_file()


@contextlib.contextmanager
def left_behind(journal: Journal) -> Iterator[None]:
    """A run that diverges in this block says what there is to go back to, its journal written.

    Raises:
        DivergedError: it diverged.
    """
    try:
        yield
    except DivergedError as error:
        journal.flush()
        kept = journal.folder / "checkpoints" / checkpoint.FILE
        left = f"the last good checkpoint is {kept}" if kept.is_file() else "no checkpoint had been written yet"
        raise DivergedError(f"{error}; {left}") from None


def tidy(folder: Path) -> None:
    """Of a run that has come to its end, what only a run still going needs."""
    for name in ("checkpoints", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "unfinished").unlink(missing_ok=True)


def save(folder: Path, network: nn.Module, state: loop.State, course: Course) -> None:
    """Write the checkpoint of a run folder.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    best = course.best
    facts = {
        "best": {"value": best.value, "epoch": best.epoch, "stale": best.stale},
        "history": course.history,
        "losses": {head: (tally.total, tally.count) for head, tally in course.losses.items()},
    }
    checkpoint.save(folder / "checkpoints", network, state, best.weights or {}, facts)


def restored(folder: Path, network: nn.Module, state: loop.State, steps: int, progress: Progress) -> Course:
    """Put the checkpoint of a run folder back into ``network`` and ``state``, and say so; ``steps`` is how many there are in all.

    Raises:
        DataError: it is damaged or of another model.
    """
    weights, said = checkpoint.load(folder / "checkpoints", network, state)
    progress.say(f"resumed after step {state.step} of {steps}")
    best = Best(said["best"]["value"], said["best"]["epoch"], said["best"]["stale"], weights or None)
    return Course(best, said["history"], {head: Tally(*pair) for head, pair in said["losses"].items()})


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if not {"rows_digest", "precision", "config"} <= set(found):
            raise ValueError("it lacks what a resumed run needs")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not a run's manifest ({error}); start again with --restart instead of --resume") from None
    return found


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(group, key) of every setting that is not the same; the key is empty for one that has no group."""
    found: list[tuple[str, str]] = []
    for group in sorted(set(left) | set(right)):
        a, b = left.get(group), right.get(group)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [(group, key) for key in sorted(set(a) | set(b)) if a.get(key) != b.get(key)]
        elif a != b:
            found.append((group, ""))
    return found
