"""One pre-training's settings: each floor's own, nested, with familiar flat names laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from shoplm.config import Config, lay, override
from shoplm.data.split import SplitConfig
from shoplm.errors import ConfigError, did_you_mean
from shoplm.text.mask import MaskConfig
from shoplm.text.tokenize import TextConfig
from shoplm.train.loop import FitConfig
from shoplm.train.plan import Plan

OBJECTIVES = ("mlm",)
PLANNED = ("mlm+nsp", "causal")
"""Objectives that people will ask for and that are not there yet."""


class PretrainConfig(Config):
    """What one ``pretrain`` does."""

    objective: Literal["mlm"] = "mlm"
    """What is learnt: to fill in masked words."""
    backbone: str = "default"
    """``default``, a folder, or a model's id."""
    text: TextConfig = TextConfig()
    mask: MaskConfig = MaskConfig()
    fit: FitConfig = FitConfig()
    split: SplitConfig = SplitConfig()
    tables: tuple[str, ...] = ()
    """The tables of a shop whose texts are read; none named = all that hold texts."""
    redact: bool = True
    """E-mails, numbers, addresses and names in what people wrote give way to placeholders before they are learnt."""
    layers: int | None = pydantic.Field(default=None, ge=1)
    """How many top layers learn; None = all, and the embeddings."""
    dropout: float | None = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout in all that learns; None = as the backbone was pre-trained."""
    anchor: float = pydantic.Field(default=1.0, ge=0)
    """Weight of the pull of a masked text's pooled vector towards that of the whole text before (one minus cosine); 0 = none."""
    head_steps: int | None = pydantic.Field(default=None, ge=0)
    """Steps in which the masked head learns alone, before the backbone moves; None = 300, or three passes over fewer texts, for a fresh head; none for a checkpoint's own."""
    cache_mb: int = pydantic.Field(default=6144, ge=0)
    """Disk that the pooled vectors of ``anchor`` may take."""
    checkpoint_seconds: float = pydantic.Field(default=20.0, ge=0)
    """How often a run is saved so that --resume can continue it; every epoch in any case."""
    track: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Trackers that follow the run's journal."""

    @classmethod
    def read(cls, objective: str = "mlm", settings: Iterable[str] = (), **values: Any) -> PretrainConfig:
        """A run's settings from ``key=value`` settings and Python values, the later over the earlier.

        Raises:
            ConfigError: unknown objective or key, or a bad value.
        """
        if objective in PLANNED:
            raise ConfigError(f"--objective {objective}: not there yet, only {', '.join(OBJECTIVES)} is")
        if objective not in OBJECTIVES:
            raise ConfigError(f"--objective {objective}: no such objective; {did_you_mean(objective, OBJECTIVES)}")
        nested: dict[str, Any] = {"objective": objective}
        for part in (override({}, settings), {key: value for key, value in values.items() if value is not None}):
            lay(nested, part, cls.model_fields, {group: kind.model_fields for group, kind in GROUPS.items()})
        return cls.of(nested)


GROUPS: Mapping[str, type[Config]] = {"text": TextConfig, "mask": MaskConfig, "fit": FitConfig, "split": SplitConfig}
EPOCHS = ((2_000_000, 3), (10_000_000, 2))
"""(tokens, epochs): up to so many tokens so many passes; above, one."""
HEAD_STEPS = 300
HEAD_PASSES = 3
"""A fresh head learns alone for so many steps, and in no more than so many passes over the texts."""


def resolve(config: PretrainConfig, lengths: npt.NDArray[np.int64], *, fresh: bool) -> PretrainConfig:
    """Every None that has a default filled in, from the (N) lengths of what is learnt and from whether the masked head is a fresh one."""
    tokens = int(lengths.sum())
    chosen = {
        "epochs": next((epochs for most, epochs in EPOCHS if tokens <= most), 1),
        "batch_size": 256, "token_budget": 4096, "learning_rate": 1e-4, "head_rate": 1e-3, "keep": "best",
    }  # fmt: skip
    fit = config.fit.model_copy(update={key: value for key, value in chosen.items() if getattr(config.fit, key) is None})
    steps = config.head_steps
    if steps is None:
        assert fit.batch_size is not None
        steps = min(HEAD_STEPS, HEAD_PASSES * len(Plan(lengths, 1, fit.batch_size, fit.token_budget, fit.seed).epoch(0))) if fresh else 0
    return config.model_copy(update={"fit": fit, "head_steps": steps})
