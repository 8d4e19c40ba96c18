"""One run's settings: each floor's own, nested, with familiar flat names laid over them.

``epochs=3`` means ``fit.epochs=3``: a name that only one group has need not say the group. The same
names hold in a recipe, on the command line and in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from shoplm import task as tasks
from shoplm.config import Config, lay, override, read_yaml
from shoplm.data.split import SplitConfig
from shoplm.errors import ConfigError, did_you_mean
from shoplm.model.adapters import AdapterConfig, Method, refuse_ignored
from shoplm.text.tokenize import TextConfig
from shoplm.train.contrast import ContrastConfig
from shoplm.train.loop import FitConfig
from shoplm.train.mixture import MixtureConfig


class RunConfig(Config):
    """What one ``train`` does."""

    tasks: tuple[str, ...]
    backbone: str = "default"
    """``default``, a folder, or a model's id."""
    start: str | None = None
    """A bundle, FOLDER or FOLDER:TASK, whose weights learning starts from (``--from``)."""
    into: str | None = None
    """A bundle whose tasks stand beside the new ones afterwards (``--into``)."""
    where: str | None = None
    """A SQL condition on the rows of the subject table, over its columns: all splits keep only rows for which it holds."""
    text: TextConfig = TextConfig()
    adapter: AdapterConfig = AdapterConfig()
    fit: FitConfig = FitConfig()
    contrast: ContrastConfig = ContrastConfig()
    mixture: MixtureConfig = MixtureConfig()
    split: SplitConfig = SplitConfig()
    task: Mapping[str, Any] = {}
    """Settings of the tasks themselves, such as ``target``."""
    cache_mb: int = pydantic.Field(default=6144, ge=0)
    """Disk that the frozen trunk's activations may take; beyond it they are computed again in every epoch."""
    checkpoint_seconds: float = pydantic.Field(default=20.0, ge=0)
    """How often a run is saved so that --resume can continue it; every epoch in any case."""
    track: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Trackers that follow the run's journal."""

    @classmethod
    def read(cls, names: Iterable[str], recipe: Path | None = None, settings: Iterable[str] = (), **values: Any) -> RunConfig:
        """A run's settings from a recipe, ``key=value`` settings and Python values, the later over the earlier.

        Raises:
            ConfigError: unknown task or key, or a bad value.
        """
        start = read_yaml(recipe) if recipe else {}
        mixed = override({}, settings)
        if "tasks" in mixed or "tasks" in values:
            raise ConfigError("unknown key `tasks`: name the tasks themselves, as in `shoplm train sentiment intent …`")
        given = {key: value for key, value in values.items() if value is not None}
        chosen = tuple(dict.fromkeys(names)) or _named(start.get("tasks"), str(recipe))
        for name in chosen:
            tasks.get(name)
        if not chosen:
            raise ConfigError(f"no task named; {did_you_mean('', tasks.names())}")
        nested: dict[str, Any] = {"tasks": chosen}
        asked = {field for name in chosen for field in tasks.get(name).Settings.model_fields}
        groups = {**{group: kind.model_fields for group, kind in GROUPS.items()}, "task": asked}
        for part in (start, mixed, given):
            inner = part.get("task")
            for key in map(str, inner if isinstance(inner, Mapping) else ()):
                if key not in asked:
                    raise ConfigError(f"unknown key `task.{key}`, {did_you_mean(key, asked)}")
            lay(nested, {key: value for key, value in part.items() if key != "tasks"}, set(cls.model_fields) - {"tasks"}, groups)
        config = cls.of(nested, str(recipe) if recipe else "settings")
        for name in chosen:
            config.settings(name)
        follows = (config.start or config.into) and "method" not in config.adapter.model_fields_set
        if not follows:  # else the method is that of the bundle, which says itself what it ignores
            refuse_ignored(config.adapter)
        if len(chosen) == 1 and config.mixture != MixtureConfig():
            raise ConfigError(
                f"`sharing`={config.mixture.sharing}: one task shares with none; name several, or leave sharing and mixing_temperature out"
            )
        if config.adapter.method == "head" and config.mixture.sharing != "own":
            raise ConfigError(
                f"`sharing`={config.mixture.sharing} with method=head: nothing else learns, and each task has heads of its own; leave sharing out"
            )
        if config.adapter.method == "full" and len(chosen) > 1 and config.into is None and config.mixture.sharing == "own":
            raise ConfigError(
                "several tasks share one backbone, so `method=full` cannot train them one after another; use sharing=shared to train them "
                "together, method=lora or method=head, or one --out each"
            )
        return config

    def settings(self, name: str) -> Any:
        """The settings of one task: those of ``task`` that it knows.

        Raises:
            ConfigError: a key that none of the run's tasks knows, or a bad value.
        """
        kind = tasks.get(name).Settings
        return kind.of({key: value for key, value in self.task.items() if key in kind.model_fields}, f"task {name}")


GROUPS: Mapping[str, type[Config]] = {
    "text": TextConfig,
    "adapter": AdapterConfig,
    "fit": FitConfig,
    "contrast": ContrastConfig,
    "mixture": MixtureConfig,
    "split": SplitConfig,
}


def _named(said: Any, where: str) -> tuple[str, ...]:
    """The tasks that a recipe names."""
    listed = [said] if isinstance(said, str) else [] if said is None else said
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise ConfigError(f"{where}: `tasks`: expected a list of names, seen {said!r}; {did_you_mean('', tasks.names())}")
    return tuple(dict.fromkeys(listed))


FEW = 2048
"""Train rows up to which a run is a few-shot one: more passes in smaller, gentler steps, through more layers."""


RATES: Mapping[Method, float] = {"full": 4e-4, "lora": 2e-3, "adalora": 4e-3, "prefix": 1e-2, "bottleneck": 2e-3, "head": 5e-3}
FEW_RATES: Mapping[Method, float] = {"full": 2e-4, "lora": 1e-3, "adalora": 2e-3, "prefix": 5e-3, "bottleneck": 1e-3, "head": 5e-3}
"""The learning rates of a run that names none: with few rows, or where more than half of the layers are fully tuned, gentler ones (and then two passes do)."""


def resolve(config: RunConfig, rows: int, depth: int, name: str | None = None, *, settled: bool = False) -> RunConfig:
    """Every None that has a default filled in, from the method, the number of train rows and what the task says.

    ``name`` is the task that is to be learnt; None = the run's own, of several the one through whose layers most learns.
    ``settled`` says that numbers beside the text already say most of what can be said: of few rows a second pass through the text would
    learn them by heart, see docs/decisions/0034.
    The rates and passes were chosen on the validation rows of public data: see docs/decisions/0003 and 0025.
    """
    method: Method = config.adapter.method
    few = rows <= FEW
    layers = config.adapter.layers
    if layers is None and method != "prefix":
        share = max(tasks.get(task).learning_share for task in ([name] if name else config.tasks))
        layers = 0 if method == "head" else max(1, depth // 2 if few else int(depth * share + 1e-9))
    deep = method == "full" and not few and layers is not None and 2 * layers > depth
    chosen = {
        "epochs": (1 if settled else {"full": 8, "head": 60}.get(method, 10)) if few else {"head": 30}.get(method, min(2, _passes(rows)) if deep else _passes(rows)),
        "batch_size": 32 if few else 64,
        "learning_rate": (FEW_RATES if few or deep else RATES)[method],
    }  # fmt: skip
    fit = config.fit.model_copy(update={key: value for key, value in chosen.items() if getattr(config.fit, key) is None})
    if fit.keep is None:
        fit = fit.model_copy(update={"keep": "last" if few and fit.patience is None else "best"})
    assert fit.learning_rate is not None
    if fit.head_rate is None:
        fit = fit.model_copy(update={"head_rate": fit.learning_rate * (2.5 if method == "full" else 1.0)})
    return config.model_copy(update={"fit": fit, "adapter": config.adapter.model_copy(update={"layers": layers})})


def _passes(rows: int) -> int:
    """More rows need fewer passes: 4 up to 16 thousand, 3 up to 64 thousand, 2 up to 256 thousand, then 1."""
    return 4 - min(3, sum(rows > limit for limit in (1 << 14, 1 << 16, 1 << 18)))
