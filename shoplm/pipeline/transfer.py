"""What a run takes over from a bundle that is there: the weights it starts from (``start``), or the tasks beside it (``into``).

- ``start`` (``--from``): another task, or the same one of another shop. A fully tuned backbone is taken as the backbone; an
  adapter is copied into the new one of the same method and form; head rows are taken over label by label.
- ``into`` (``--into``): the new task gets an adapter of its own beside those that the bundle holds. Nothing that the others
  answer with is touched, which is measured on the new task's texts and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from shoplm.errors import BundleError, ConfigError
from shoplm.model import adapters
from shoplm.model import bundle as files
from shoplm.model.adapters import AdapterConfig, refuse_ignored
from shoplm.model.backbone import Backbone, Kept, load_backbone
from shoplm.model.bundle import Contents, TaskPart
from shoplm.model.heads import Head
from shoplm.model.network import Network
from shoplm.pipeline.bundle import Bundle, beside
from shoplm.pipeline.config import RunConfig
from shoplm.text.tokenize import Tokens

LOOKED_AT = 256
"""Texts on which the other tasks' answers are compared before and after."""


@dataclass(frozen=True)
class Ancestor:
    """The task of a bundle that a run starts from."""

    place: Path
    task: str
    contents: Contents

    @property
    def part(self) -> TaskPart:
        """Its network and method."""
        return self.contents.tasks[self.task]

    @property
    def words(self) -> str:
        """For people."""
        return f"`{self.task}` of {self.place} ({self.part.method})"

    def backbone(self, config: RunConfig) -> Backbone:
        """The backbone that it answers with, without its adapter."""
        own = self.contents.backbone
        if not self.contents.changed:
            return load_backbone(own.name, config.text)
        return load_backbone(own.name, config.text, kept=Kept(self.place / "backbone", own.tokenizer.plain, own.tokenizer.pad))

    @torch.no_grad()
    def give_adapter(self, network: Network, name: str) -> None:
        """Its adapter's weights into the one that ``network`` has under ``name``.

        Raises:
            ConfigError: the two have not the same form.
        """
        if self.part.method not in adapters.KEPT:
            return
        given = {_renamed(path, self.part.adapter, name): tensor for path, tensor in self.part.network.backbone.named_parameters()}
        for path, tensor in adapters.trainable(network.backbone).items():
            if path not in given or given[path].shape != tensor.shape:
                raise ConfigError(
                    f"--from {self.place}: its adapter `{self.task}` has another form than the new one; leave layers, r and the other "
                    f"options of method={self.part.method} as they were there"
                )
            tensor.copy_(given[path])

    def give_heads(self, network: Network) -> list[str]:
        """What its heads know of the same labels into those of ``network``; returns what was taken over, in words."""
        said, theirs = [], dict(self.part.network.heads.items())
        for name, head in network.heads.items():
            own = theirs.get(name)
            if isinstance(head, Head) and isinstance(own, Head) and (count := head.inherit(own)):
                said.append(f"{name} ({count})")
        return said


def ancestor(said: str, name: str) -> Ancestor:
    """The task that ``said`` names, ``FOLDER`` or ``FOLDER:TASK``; of several the one called as the new one is.

    Raises:
        BundleError: there is none, or several and none named.
    """
    place, task = Path(said), None
    if not place.exists() and ":" in said:
        place, task = Path(said.rpartition(":")[0]), said.rpartition(":")[2]
    contents = files.read(place)
    if task is None and name in contents.tasks:
        task = name
    if task is None and len(contents.tasks) > 1:
        raise BundleError(f"{place}: holds {', '.join(contents.tasks)}; name one with --from {place}:{next(iter(contents.tasks))}")
    found, _ = files.part_of(contents, task, str(place))
    return Ancestor(place, found, contents)


def as_there(config: RunConfig, contents: Contents, task: str, option: str) -> RunConfig:
    """The settings of a run that takes over from ``task``: what was not set is as it was there.

    Args:
        config: of the new run.
        contents: the bundle.
        task: of the bundle.
        option: with its value, for messages.

    Raises:
        ConfigError: a setting that cannot differ does.
    """
    part, own = contents.tasks[task], contents.backbone
    given = config.adapter.model_fields_set
    if "backbone" in config.model_fields_set and config.backbone != own.name:
        raise ConfigError(f"{option}: its backbone is `{own.name}` and not `{config.backbone}`; leave --backbone out")
    recipe = contents.facts.get(task, {}).get("recipe", {}).get("adapter", {"method": part.method})
    adapter = config.adapter
    if "method" not in given or adapter.method == part.method:
        adapter = AdapterConfig.of({**recipe, **{key: getattr(adapter, key) for key in given}}, option)
        refuse_ignored(adapter)
    text = config.text
    if "max_length" not in text.model_fields_set:
        text = text.model_copy(update={"max_length": own.tokenizer.config.max_length})
    return config.model_copy(update={"adapter": adapter, "text": text, "backbone": own.name})


def started(config: RunConfig, found: Ancestor) -> RunConfig:
    """The settings of a run that starts from ``found``.

    Raises:
        ConfigError: its weights cannot be taken over by the run's method.
    """
    given = config.adapter.model_fields_set
    config = as_there(config, found.contents, found.task, f"--from {found.place}")
    theirs, ours = found.part.method, config.adapter.method
    if theirs == "adalora" or (theirs in adapters.KEPT and theirs != ours):
        named = [method for method in ("full", *adapters.KEPT) if method != "adalora"]
        fix = f"set method={theirs}" if theirs != "adalora" else "its ranks differ from layer to layer, so nothing can go on from it"
        raise ConfigError(f"--from {found.place}: `{found.task}` was tuned by method={theirs}, and this run by method={ours}; {fix} "
                          f"(a run starts from {', '.join(named)}, the adapters each by the same method)")  # fmt: skip
    form = adapters.form_of(found.part.network.backbone, found.part.adapter, theirs) if theirs == ours else {}
    open_ = {key: value for key, value in form.items() if key not in given}
    return config.model_copy(update={"adapter": config.adapter.model_copy(update=open_)})


def host(place: Path, config: RunConfig) -> tuple[Contents, RunConfig]:
    """The bundle that a run's tasks go into, and the settings of that run.

    Raises:
        BundleError: there is none.
        ConfigError: it cannot take these tasks.
    """
    contents = files.read(place)
    for name in config.tasks:
        if name in contents.tasks:
            raise ConfigError(f"--into {place}: holds a task `{name}` already; give it an --out of its own, or start from it with --from")
    first = next(iter(contents.tasks))
    if contents.changed:
        raise ConfigError(f"--into {place}: its backbone was tuned whole for `{first}`, so no other task can share it; "
                          f"train the tasks by method=lora, or start from it with --from")  # fmt: skip
    config = as_there(config, contents, first, f"--into {place}")
    theirs = {part.method for part in contents.tasks.values()}
    ours = config.adapter.method
    if ours not in theirs and not {ours, *theirs} <= {"lora", "adalora"}:
        raise ConfigError(f"--into {place}: its tasks are tuned by method={', '.join(sorted(theirs))}, and one bundle keeps to one method, "
                          f"not {ours}; leave the method out")  # fmt: skip
    if config.text.max_length != contents.backbone.tokenizer.config.max_length:
        raise ConfigError(f"--into {place}: its tasks read up to {contents.backbone.tokenizer.config.max_length} tokens of a text and not "
                          f"{config.text.max_length}; leave max_length out")  # fmt: skip
    return contents, config


def answers(contents: Contents, tokens: Tokens) -> Mapping[str, Mapping[str, npt.NDArray[np.floating]]]:
    """What every task of a bundle says about the first of some texts, with nothing known beside them."""
    few = tokens.take(np.arange(min(LOOKED_AT, len(tokens)), dtype=np.int64))
    bundle = Bundle(contents)
    return {name: bundle.read(name, beside(few, bundle.part(name)[3].features, {})).values for name in contents.tasks}


def forgotten(
    before: Mapping[str, Mapping[str, npt.NDArray[np.floating]]], after: Mapping[str, Mapping[str, npt.NDArray[np.floating]]]
) -> list[str]:
    """One line a task: how far its answers moved."""
    lines = []
    for name, heads in before.items():
        moved = max((float(np.abs(values - after[name][head]).max(initial=0)) for head, values in heads.items()), default=0.0)
        count = len(next(iter(heads.values())))
        lines.append(f"{name}: answers {'as before' if moved == 0 else f'moved by up to {moved:.3g}'} on {count:,} texts of the new task")
    return lines


def _renamed(path: str, old: str, new: str) -> str:
    return ".".join(new if part == old else part for part in path.split("."))
