"""What a comparison compares: methods and pre-trained models, each with the settings that it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from shoplm import task as tasks
from shoplm.config import Config
from shoplm.errors import ConfigError, did_you_mean
from shoplm.model.adapters import METHODS, Method
from shoplm.pipeline.compare import spaces
from shoplm.pipeline.compare.search import OBJECTIVES, Objective
from shoplm.pipeline.config import RunConfig

PROMPTED = re.compile(r"^\w+://|^(openai/)?(gpt-[345]|o[134](-|$)|chatgpt|text-davinci)|^(anthropic/)?claude|^(google/)?gemini-", re.I)
"""Names of models that answer behind an endpoint."""


class CompareConfig(Config):
    """What is compared, and for how long."""

    task: str
    methods: tuple[str, ...] = ()
    """None named: all six for one backbone, ``full`` alone for several."""
    backbones: tuple[str, ...] = ("default",)
    trials: int = pydantic.Field(default=16, ge=1)
    """Of each candidate, at most."""
    budget: float | None = pydantic.Field(default=None, gt=0)
    """Seconds of training that each candidate's search may use; None = four times the longest run of a recipe as it is."""
    seeds: int = pydantic.Field(default=3, ge=1)
    """How often each finalist is trained at the end."""
    objective: tuple[Objective, ...] = ("quality",)
    """More than ``quality`` makes the search a Pareto search: nothing is halved, and every trade-off is a finalist."""

    @classmethod
    def read(cls, task: str, **values: Any) -> CompareConfig:
        """From plain values, each mistake said in one line.

        Raises:
            ConfigError: an unknown task, method or objective, a model that answers behind an endpoint, or a bad number.
        """
        tasks.get(task)
        for method in values.get("methods") or ():
            if method not in METHODS:
                raise ConfigError(f"no method `{method}`; {did_you_mean(str(method), METHODS)}")
        for backbone in values.get("backbones") or ():
            if PROMPTED.match(str(backbone)):
                raise ConfigError(
                    f"backbone `{backbone}`: a model behind an endpoint takes prompts and is not tuned here; "
                    f"give a folder, or the id of a model whose weights can be loaded"
                )
        for one in values.get("objective") or ():
            if one not in OBJECTIVES:
                raise ConfigError(f"no objective `{one}`; {did_you_mean(str(one), OBJECTIVES)}")
        if values.get("objective") and "quality" not in values["objective"]:
            raise ConfigError(
                f"objective {','.join(values['objective'])}: it lacks `quality`, without which the smallest model always wins"
            )
        return cls.of({"task": task, **values}, "compare")


@dataclass(frozen=True)
class Candidate:
    """One method on one backbone."""

    name: str
    config: RunConfig
    """Not resolved: what the user set, and no more."""

    @property
    def method(self) -> Method:
        """How the backbone is changed."""
        return self.config.adapter.method


def candidates(config: CompareConfig, words: Sequence[str], values: Mapping[str, Any]) -> list[Candidate]:
    """Every method on every backbone, with the settings that the method reads.

    Args:
        config: what is compared.
        words: ``key=value`` settings of a run.
        values: settings as Python values; None = not set.

    Raises:
        ConfigError: an unknown key, a bad value, or an option of a method that is not compared.
    """
    methods: Sequence[Any] = config.methods or (METHODS if len(config.backbones) == 1 else ("full",))
    said = [*(word.partition("=")[0].strip() for word in words), *(key for key, value in values.items() if value is not None)]
    for key in said:
        option = key.rpartition(".")[2]
        if option in ("method", "backbone"):
            raise ConfigError(
                f"`{key}`: compare takes several; use --{option}s, such as --{option}s {'full,lora' if option == 'method' else 'A,B'}"
            )
        if option in ("start", "into"):
            raise ConfigError(
                f"`{key}`: every trial begins from a pre-trained model; give the chosen recipe to shoplm train with --from or --into"
            )
        if not set(spaces.owners(option)) & set(methods):
            raise ConfigError(f"`{key}` is an option of {', '.join(spaces.owners(option))}, none of which is compared; leave it out")
    listed = []
    for backbone in dict.fromkeys(config.backbones):
        for method in dict.fromkeys(methods):
            kept = [word for word in words if method in spaces.owners(word.partition("=")[0].strip().rpartition(".")[2])]
            given = {key: value for key, value in values.items() if method in spaces.owners(key)}
            name = method if len(config.backbones) == 1 else backbone if len(methods) == 1 else f"{method} on {backbone}"
            listed.append(Candidate(name, RunConfig.read([config.task], None, kept, **given, method=method, backbone=backbone)))
    return listed
