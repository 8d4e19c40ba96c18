"""A model on disk: read, verify, write. Never pickle; never half a bundle.

    <bundle>/
      config.json            backbone, pooling, heads of every task, id2label and label2id
      README.md              the model card
      tokenizer.json
      backbone/              only if its weights changed; otherwise config.json pins the original by digest
      adapters/<name>/       adapter_config.json + adapter_model.safetensors, as plain ``peft`` loads them (bottlenecks: our own);
                             a task's name, or ``shared`` for the tasks that have one in common
      heads/<task>.safetensors
      fitted/<task>.json
      parts/<name>/          what an application learnt, such as ``recommend``; a bundle of such parts alone has no backbone
      metrics.json
      checksums.json         SHA-256 of every file above: an altered or missing file is refused by name

How it takes its place is ``folder``'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shoplm.errors import BundleError, did_you_mean
from shoplm.model import adapters, folder
from shoplm.model.backbone import Backbone, Kept, load_backbone
from shoplm.model.network import Network
from shoplm.model.specs import Choice, HeadSpec, from_plain, plain
from shoplm.text.tokenize import TextConfig

FORMAT = 1
"""The version of the layout above; a later one is refused."""


@dataclass(frozen=True)
class TaskPart:
    """What a bundle holds for one task beside the backbone."""

    network: Network
    method: adapters.Method
    fitted: str
    """JSON: the task's ``Fitted``."""
    adapter: str
    """The adapter that answers: the task's own, called as the task, or one that several tasks share."""


@dataclass(frozen=True)
class Contents:
    """A bundle in memory."""

    backbone: Backbone
    changed: bool
    """Whether the backbone's own weights differ from the original."""
    tasks: Mapping[str, TaskPart]
    facts: Mapping[str, Any]
    """Data version, recipe, seed and so on: what the card says."""
    metrics: Mapping[str, Any]
    card: str
    """The README.md."""


def write(contents: Contents, place: Path) -> None:
    """Write a bundle; what stood at ``place`` before is replaced, its ``run/`` kept.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
        BundleError: ``place`` holds something that is no bundle.
    """
    folder.put(place, lambda fresh: _fill(contents, fresh))


def _fill(contents: Contents, place: Path) -> None:
    backbone = contents.backbone
    heads = {name: {head: plain(spec) for head, spec in part.network.specs.items()} for name, part in contents.tasks.items()}
    labels = _first_labels(contents)
    config = {
        "shoplm_bundle": FORMAT,
        "backbone": {"name": backbone.name, "digest": backbone.digest, "changed": contents.changed},
        "pooling": backbone.pooling,
        "max_length": backbone.tokenizer.config.max_length,
        "pad": backbone.tokenizer.pad,
        "tokenizer_digest": backbone.tokenizer.digest,
        "tasks": {
            name: {"method": part.method, "adapter": part.adapter, "cut": part.network.cut, "heads": heads[name]}
            for name, part in contents.tasks.items()
        },
        "id2label": {str(at): label for at, label in enumerate(labels)},
        "label2id": {label: at for at, label in enumerate(labels)},
        "facts": dict(contents.facts),
    }
    (place / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")
    (place / "README.md").write_text(contents.card, "utf-8")
    (place / "metrics.json").write_text(json.dumps(contents.metrics, indent=2, ensure_ascii=False), "utf-8")
    backbone.save_tokenizer(place)
    if contents.changed:
        backbone.save(place / "backbone")
    for name, part in contents.tasks.items():
        (place / "heads").mkdir(exist_ok=True)
        (place / "fitted").mkdir(exist_ok=True)
        save_file(
            {key: tensor.contiguous() for key, tensor in part.network.heads.state_dict().items()}, place / "heads" / f"{name}.safetensors"
        )
        (place / "fitted" / f"{name}.json").write_text(part.fitted, "utf-8")
    for adapter, method in {part.adapter: part.method for part in contents.tasks.values()}.items():
        adapters.save(backbone, place / "adapters" / adapter, adapter, method)


def _first_labels(contents: Contents) -> tuple[str, ...]:
    """The labels that plain ``transformers`` code expects in a config: those of the first task's first Choice."""
    for part in contents.tasks.values():
        for spec in part.network.specs.values():
            if isinstance(spec, Choice):
                return spec.labels
    return ()


def verify(place: Path) -> dict[str, Any]:
    """The ``config.json`` of a bundle whose every file is there and unaltered.

    Raises:
        BundleError: no bundle, a newer one, or a file that is missing, altered or too many, by name.
    """
    config = parts(place)
    if not config["tasks"] and config.get("parts"):
        raise BundleError(f"{place}: holds no task, only {', '.join(config['parts'])}; ask it with `shoplm {config['parts'][0]} {place} …`")
    if not (place / "tokenizer.json").is_file():
        raise BundleError(f"{place}/tokenizer.json: missing; restore the bundle from a copy")
    return config


def parts(place: Path) -> dict[str, Any]:
    """The same of a bundle that may hold parts of applications and no task.

    Raises:
        BundleError: no bundle, a newer one, or a file that is missing, altered or too many, by name.
    """
    folder.recover(place)
    folder.check(place, ("config.json",))
    try:
        config: dict[str, Any] = json.loads((place / "config.json").read_text("utf-8"))
        version, tasks = config["shoplm_bundle"], config["tasks"]
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{place}/config.json: not a bundle's configuration; restore the bundle") from None
    if version != FORMAT or not isinstance(tasks, dict):
        raise BundleError(f"{place}: bundle format {version}, this version reads {FORMAT}; update ShopLM")
    return config


def read(place: Path) -> Contents:
    """A verified bundle, ready to answer.

    Raises:
        BundleError: as ``verify``; or a part does not fit.
        BackboneError: the pinned backbone is not to be had, or is another one.
    """
    config = verify(place)
    try:
        pinned = config["backbone"]
        changed = bool(pinned["changed"])
        words = (place / "tokenizer.json").read_text("utf-8")
        backbone = load_backbone(
            pinned["name"],
            TextConfig(max_length=config["max_length"]),
            kept=Kept(place / "backbone", words, int(config["pad"])) if changed else None,
            expected=None if changed else pinned["digest"],
        )
        if backbone.tokenizer.digest != config["tokenizer_digest"]:
            backbone.tokenizer = backbone.tokenizer.replaced(words, int(config["pad"]))
        parts: dict[str, TaskPart] = {}
        for name, said in config["tasks"].items():
            specs: dict[str, HeadSpec] = {head: from_plain(values, f"{place}/config.json") for head, values in said["heads"].items()}
            if said["method"] not in adapters.METHODS:
                raise BundleError(f"{place}/config.json: method `{said['method']}`; {did_you_mean(str(said['method']), adapters.METHODS)}")
            adapter = str(said.get("adapter", name))  # bundles older than shared adapters do not say
            if adapter not in {part.adapter for part in parts.values()}:
                adapters.load(backbone, place / "adapters" / adapter, adapter, said["method"])
            network = Network(backbone, specs, int(said["cut"]))
            _load_heads(network, place / "heads" / f"{name}.safetensors")
            network.eval()
            parts[name] = TaskPart(network, said["method"], (place / "fitted" / f"{name}.json").read_text("utf-8"), adapter)
        metrics = json.loads((place / "metrics.json").read_text("utf-8"))
        card = (place / "README.md").read_text("utf-8")
    except (KeyError, TypeError, OSError) as error:
        raise BundleError(f"{place}: incomplete ({type(error).__name__}: {error}); restore the bundle from a copy") from None
    return Contents(backbone, changed, parts, config.get("facts", {}), metrics, card)


def part_of(contents: Contents, name: str | None, place: str) -> tuple[str, TaskPart]:
    """A task of a bundle by name, or its only one.

    Raises:
        BundleError: not there, or several and none named.
    """
    if name is None:
        if len(contents.tasks) != 1:
            raise BundleError(f"{place}: holds {', '.join(contents.tasks)}; name one of them")
        name = next(iter(contents.tasks))
    if name not in contents.tasks:
        raise BundleError(f"{place}: no task `{name}` in it; {did_you_mean(name, contents.tasks)}")
    return name, contents.tasks[name]


def _load_heads(network: Network, path: Path) -> None:
    try:
        tensors: dict[str, Tensor] = load_file(path)
        network.heads.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"{path}: does not fit config.json ({str(error).splitlines()[0]}); restore the bundle from a copy") from None
