"""Experiment trackers that follow a run's ``steps.jsonl``: TensorBoard, and Weights & Biases offline.

They read the journal as anyone could, so that what they show is what was written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from shoplm.errors import ConfigError
from shoplm.train.journal import Journal

Write = Callable[[int, Mapping[str, float]], None]
Opened = tuple[Write, Callable[[], None]]
"""How a tracker takes one line, and how it is closed."""


@contextlib.contextmanager
def follow(journal: Journal, names: Iterable[str]) -> Iterator[Callable[[], None]]:
    """A function that hands the journal's new lines to every tracker named; all that is left is handed over at the end.

    Raises:
        ConfigError: a tracker is not installed.
    """
    opened = [_OPEN[name](journal) for name in names]
    writers = [write for write, _ in opened]
    place = 0

    def catch_up() -> None:
        nonlocal place
        if not writers or not journal.steps_path.is_file():
            return
        with open(journal.steps_path, encoding="utf-8") as file:
            file.seek(place)
            for text in iter(file.readline, ""):
                line = json.loads(text)
                numbers = {
                    key: float(value) for key, value in line.items() if key not in ("step", "epoch") and isinstance(value, int | float)
                }
                for write in writers:
                    write(int(line["step"]), numbers)
            place = file.tell()

    try:
        yield catch_up
        catch_up()
    finally:
        for _, close in opened:
            close()


def _tensorboard(journal: Journal) -> Opened:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("track=tensorboard: TensorBoard is not installed; run: pip install 'shoplm[track]'") from None
    writer: Any = SummaryWriter(str(journal.folder / "tensorboard"))

    def write(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return write, writer.close


def _wandb(journal: Journal) -> Opened:
    try:
        import wandb
    except ImportError:
        raise ConfigError("track=wandb: Weights & Biases is not installed; run: pip install 'shoplm[track]'") from None
    # offline unless the user asks otherwise: nothing leaves the machine by itself
    mode: Any = os.environ.get("WANDB_MODE", "offline")
    run: Any = wandb.init(project="shoplm", dir=str(journal.folder), mode=mode, settings=wandb.Settings(silent=True, console="off"))

    def write(step: int, numbers: Mapping[str, float]) -> None:
        run.log(dict(numbers), step=step)

    return write, run.finish


_OPEN: Mapping[str, Callable[[Journal], Opened]] = {"tensorboard": _tensorboard, "wandb": _wandb}
