"""Where the search of each method looks: every range in this one place, with its reason.

A recipe's own default lies inside every range and is always tried first. What a user sets stays as set and is not
searched. What is not listed here is not searched at all: weight decay, warm-up, schedule and batch size move the
result less than the noise between seeds, and each further dimension costs trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shoplm.model.adapters import METHODS, OWNERS, AdapterConfig, Method
from shoplm.pipeline.config import RunConfig, resolve
from shoplm.train.contrast import ContrastConfig
from shoplm.train.loop import FitConfig

if TYPE_CHECKING:
    from optuna import Trial

Params = Mapping[str, Any]
"""What a trial was drawn with, by the names in ``SPACES``."""


@dataclass(frozen=True)
class Span:
    """A number between two others, drawn evenly over its logarithm: a factor of two matters alike everywhere."""

    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    values: tuple[Any, ...]


Space = Span | OneOf

PASSES = OneOf((0.5, 1.0, 2.0))
"""The recipe's own epochs, halved or doubled. A rate and the length of its schedule belong together, and within the same
seconds a method may prefer many short trials or few long ones."""
LAYERS = Span(1, math.inf, whole=True)
"""From the top layer alone to all of them (the end is the backbone's depth): what is frozen is computed once, so fewer layers
are cheaper; more help where the task is far from what was pre-trained."""

SPACES: Mapping[Method, Mapping[str, Space]] = {
    # 2e-5 is what papers use for all layers of a large model, 2e-3 what two layers of a small one still bear.
    "full": {"learning_rate": Span(2e-5, 2e-3), "layers": LAYERS, "passes": PASSES},
    # Factors begin at zero and bear a rate some ten times that of full tuning (Hu et al., 2021). lora_alpha follows as 2 r, so
    # that the rate means the same at every rank.
    "lora": {"learning_rate": Span(1e-4, 2e-2), "layers": LAYERS, "r": Span(4, 64, whole=True), "passes": PASSES},
    # Singular values move slower than factors (Zhang et al., 2023, use up to 5e-3 on small tasks); init_r follows as 1.5
    # target_r as in the paper, lora_alpha with it. The penalty's weight is .1 to .5 there.
    "adalora": {
        "learning_rate": Span(4e-4, 4e-2), "layers": LAYERS, "target_r": Span(2, 32, whole=True), "orth_reg_weight": Span(0.05, 1.0),
        "passes": PASSES,
    },
    # Few numbers far from the loss need the largest rates, and how they begin decides more than any other setting.
    "prefix": {
        "learning_rate": Span(5e-4, 1e-1), "num_virtual_tokens": Span(2, 64, whole=True),
        "prefix_init": OneOf(("text", "random", "projection")), "passes": PASSES,
    },
    # A bottleneck begins as the identity and bears a rate like LoRA's (Houlsby et al., 2019: up to 3e-3).
    "bottleneck": {
        "learning_rate": Span(1e-4, 2e-2), "layers": LAYERS, "reduction_factor": Span(2, 32, whole=True),
        "placement": OneOf(("pfeiffer", "houlsby")), "passes": PASSES,
    },
    # Only directions of labels learn, from vectors that are computed once.
    "head": {"learning_rate": Span(5e-4, 1e-1), "passes": PASSES},
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """What ranges and defaults depend on beside the settings."""

    rows: int
    """To learn from."""
    depth: int
    """Layers of the backbone."""
    room: int
    """Positions of the backbone that texts leave to a prefix."""


def space(config: RunConfig, frame: Frame) -> dict[str, Space]:
    """What is searched for ``config`` (not resolved): its method's ranges without what is set, holding the default."""
    given = config.adapter.model_fields_set | config.fit.model_fields_set
    own = {name: at for name, at in SPACES[config.adapter.method].items() if name not in given}
    if "epochs" in given:
        own.pop("passes", None)
    if "init_r" in given:
        own.pop("target_r", None)
    first = default(config, frame)
    found: dict[str, Space] = {}
    for name, at in own.items():
        if isinstance(at, Span):
            if name in ("layers", "num_virtual_tokens"):
                at = replace(at, high=min(at.high, frame.depth if name == "layers" else frame.room))
            at = replace(at, low=min(at.low, first[name]), high=max(at.high, first[name]))
        found[name] = at
    return found


def default(config: RunConfig, frame: Frame) -> dict[str, Any]:
    """The recipe's own values of everything that its method may search."""
    resolved = resolve(config, frame.rows, frame.depth)
    values = {**resolved.adapter.model_dump(), **resolved.fit.model_dump(), "passes": 1.0}
    return {name: values[name] for name in SPACES[config.adapter.method]}


def laid(config: RunConfig, params: Params, frame: Frame) -> RunConfig:
    """``config`` with the values of a trial; still not resolved, so that what follows from them is chosen as ever."""
    fit: dict[str, Any] = config.fit.model_dump(exclude_unset=True)
    adapter: dict[str, Any] = config.adapter.model_dump(exclude_unset=True)
    given = set(adapter)
    for name, value in params.items():
        if name == "passes":
            epochs = resolve(config, frame.rows, frame.depth).fit.epochs
            assert epochs is not None
            fit["epochs"] = max(1, round(epochs * value))
        else:
            readable = float(f"{value:.3g}") if isinstance(value, float) else value  # as a recipe is edited by hand
            (fit if name in FitConfig.model_fields else adapter)[name] = readable
    if "r" in params and "lora_alpha" not in given:
        adapter["lora_alpha"] = 2.0 * params["r"]
    if "target_r" in params:
        adapter["init_r"] = max(params["target_r"] + 1, round(1.5 * params["target_r"]))
        if "lora_alpha" not in given:
            adapter["lora_alpha"] = adapter["init_r"] * _SCALE
    return config.model_copy(update={"fit": FitConfig.of(fit), "adapter": AdapterConfig.of(adapter)})


_SCALE = AdapterConfig.model_fields["lora_alpha"].default / AdapterConfig.model_fields["init_r"].default
"""AdaLoRA's own lora_alpha / init_r, kept at every rank."""


def drawn(trial: Trial, searched: Mapping[str, Space]) -> dict[str, Any]:
    """Values for one trial from its study's sampler."""
    found: dict[str, Any] = {}
    for name, at in searched.items():
        if isinstance(at, OneOf):
            found[name] = trial.suggest_categorical(name, list(at.values))
        elif at.whole:
            found[name] = trial.suggest_int(name, int(at.low), int(at.high), log=True)
        else:
            found[name] = trial.suggest_float(name, at.low, at.high, log=True)
    return found


def owners(name: str) -> tuple[Method, ...]:
    """The methods that read a setting: those of an adapter's option, all but ``head`` for the contrastive stage, else all."""
    if name in ContrastConfig.model_fields:
        return tuple(method for method in METHODS if method != "head")
    return OWNERS.get(name, METHODS)
