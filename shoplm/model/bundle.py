"""A model on disk: read, verify, write. Never pickle; never half a bundle.

    <bundle>/
      config.json            backbone, pooling, heads of every task, id2label and label2id
      README.md              the model card
      tokenizer.json
      backbone/              only if its weights changed; otherwise config.json pins the original by digest
      adapters/<task>/       adapter_config.json + adapter_model.safetensors, as plain ``peft`` loads them (bottlenecks: our own)
      heads/<task>.safetensors
      fitted/<task>.json
      metrics.json
      checksums.json         SHA-256 of every file above: an altered or missing file is refused by name

A bundle is written into a folder beside its place, ``.<bundle>.partial``, and gets the name
``.<bundle>.ready`` when its last byte is on the disk. From there it moves into its place; whoever
touches the bundle next (``recover``) ends a move that a kill or a power cut broke off. The run folder
``run/`` moves along: it is a journal, not a part of the model, and is never in a folder that is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from shoplm.errors import BundleError, ResourceError, did_you_mean
from shoplm.files import sync_folder
from shoplm.model import adapters
from shoplm.model.backbone import Backbone, Kept, load_backbone
from shoplm.model.heads import Choice, HeadSpec, from_plain, plain
from shoplm.model.network import Network
from shoplm.text.tokenize import TextConfig

FORMAT = 1
"""The version of the layout above; a later one is refused."""
KEPT = ("run", "report.html")
"""What stays when another bundle takes the place."""
OUTSIDE = ("checksums.json", *KEPT)
"""What lies in the folder and is no part of the model."""


@dataclass(frozen=True)
class TaskPart:
    """What a bundle holds for one task beside the backbone."""

    network: Network
    method: adapters.Method
    fitted: str
    """JSON: the task's ``Fitted``."""


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

    Killed at any moment, the next call of anything here finds the old bundle or the new one, and ``run/``.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
        BundleError: ``place`` holds something that is no bundle.
    """
    recover(place)
    if place.is_file() or (place.is_dir() and not is_ours(place)):
        raise BundleError(f"{place}: is not empty and no bundle; choose another --out")
    fresh = _beside(place, "partial")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _fill(contents, fresh)
        sums = {file: _sha256(fresh / file) for file in _files(fresh)}
        (fresh / "checksums.json").write_text(json.dumps(sums, indent=1, sort_keys=True), "utf-8")
        for file in [*_files(fresh), "checksums.json"]:
            with open(fresh / file, "rb") as written:
                os.fsync(written.fileno())
        for folder in [fresh, *(path for path in fresh.rglob("*") if path.is_dir())]:
            sync_folder(folder)
        with _alone(place.absolute().parent):
            os.rename(fresh, _beside(place, "ready"))
            sync_folder(place.absolute().parent)
            _move_in(place)
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            f"{place}: the bundle cannot be written ({getattr(error, 'strerror', None) or error}); free space or choose another --out"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def is_ours(place: Path) -> bool:
    """Whether a folder is empty, a bundle, or the beginning of one (a run)."""
    held = {child.name for child in place.iterdir()}
    return not held or "checksums.json" in held or held <= set(OUTSIDE)


def _fill(contents: Contents, folder: Path) -> None:
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
        "tasks": {name: {"method": part.method, "cut": part.network.cut, "heads": heads[name]} for name, part in contents.tasks.items()},
        "id2label": {str(at): label for at, label in enumerate(labels)},
        "label2id": {label: at for at, label in enumerate(labels)},
        "facts": dict(contents.facts),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")
    (folder / "README.md").write_text(contents.card, "utf-8")
    (folder / "metrics.json").write_text(json.dumps(contents.metrics, indent=2, ensure_ascii=False), "utf-8")
    backbone.save_tokenizer(folder)
    if contents.changed:
        backbone.save(folder / "backbone")
    for name, part in contents.tasks.items():
        (folder / "heads").mkdir(exist_ok=True)
        (folder / "fitted").mkdir(exist_ok=True)
        save_file(
            {key: tensor.contiguous() for key, tensor in part.network.heads.state_dict().items()}, folder / "heads" / f"{name}.safetensors"
        )
        (folder / "fitted" / f"{name}.json").write_text(part.fitted, "utf-8")
        adapters.save(backbone, folder / "adapters" / name, name, part.method)


def _first_labels(contents: Contents) -> tuple[str, ...]:
    """The labels that plain ``transformers`` code expects in a config: those of the first task's first Choice."""
    for part in contents.tasks.values():
        for spec in part.network.specs.values():
            if isinstance(spec, Choice):
                return spec.labels
    return ()


def recover(place: Path) -> None:
    """End a move into ``place`` that was broken off: the new bundle stands there afterwards, with the run that stood there before.

    Does nothing when there is nothing to end, and where the folder above cannot be written: what stands there is left as it is.
    """
    if _beside(place, "ready").is_dir():
        with contextlib.suppress(OSError), _alone(place.absolute().parent):
            _move_in(place)


def _move_in(place: Path) -> None:
    """The ready folder takes the place, together with the journal that stood there. Broken off anywhere, a second call ends it."""
    ready, old = _beside(place, "ready"), _beside(place, "old")
    if not ready.is_dir():
        return  # somebody else has ended it
    if place.exists():
        for name in KEPT:
            if (place / name).exists() and not (ready / name).exists():
                os.rename(place / name, ready / name)
        sync_folder(ready)
        shutil.rmtree(old, ignore_errors=True)
        os.rename(place, old)  # without a journal in it
    os.rename(ready, place)
    sync_folder(place.absolute().parent)
    shutil.rmtree(old, ignore_errors=True)


def _beside(place: Path, ending: str) -> Path:
    """The hidden folder of a name beside a bundle; in the same folder, so that renaming is one step."""
    whole = place.absolute()
    return whole.with_name(f".{whole.name}.{ending}")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No two processes move a bundle in one folder at a time; a file system without locks goes without."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def verify(place: Path) -> dict[str, Any]:
    """The ``config.json`` of a bundle whose every file is there and unaltered.

    Raises:
        BundleError: no bundle, a newer one, or a file that is missing, altered or too many, by name.
    """
    recover(place)
    if not place.is_dir():
        raise BundleError(f"{place}: no such bundle; `shoplm train … --out {place}` writes one")
    try:
        sums = json.loads((place / "checksums.json").read_text("utf-8"))
        if not isinstance(sums, dict):
            raise ValueError("not a table")
    except (OSError, ValueError):
        hint = (
            "its training has not ended: run the same train command with --resume"
            if (place / "run").is_dir()
            else "give a folder that `shoplm train` wrote"
        )
        raise BundleError(f"{place}: no readable checksums.json; {hint}") from None
    for file, digest in sums.items():
        path = place / file
        if not path.resolve().is_relative_to(place.resolve()):
            raise BundleError(f"{place}/checksums.json names `{file}`, outside the bundle; restore the bundle")
        if not path.is_file():
            raise BundleError(f"{path}: missing; restore the bundle from a copy")
        if _sha256(path) != digest:
            raise BundleError(f"{path}: altered or truncated (SHA-256 differs from checksums.json); restore the bundle from a copy")
    for needed in ("config.json", "tokenizer.json"):
        if needed not in sums:
            raise BundleError(f"{place}/checksums.json: does not name {needed}; restore the bundle from a copy")
    stray = sorted(set(_files(place)) - set(sums))
    if stray:
        raise BundleError(f"{place / stray[0]}: not in checksums.json; remove it or restore the bundle")
    try:
        config: dict[str, Any] = json.loads((place / "config.json").read_text("utf-8"))
        version = config["shoplm_bundle"]
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{place}/config.json: not a bundle's configuration; restore the bundle") from None
    if version != FORMAT:
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
        parts = {}
        for name, said in config["tasks"].items():
            specs: dict[str, HeadSpec] = {head: from_plain(values, f"{place}/config.json") for head, values in said["heads"].items()}
            if said["method"] not in adapters.METHODS:
                raise BundleError(f"{place}/config.json: method `{said['method']}`; {did_you_mean(str(said['method']), adapters.METHODS)}")
            adapters.load(backbone, place / "adapters" / name, name, said["method"])
            network = Network(backbone, specs, int(said["cut"]))
            _load_heads(network, place / "heads" / f"{name}.safetensors")
            network.eval()
            parts[name] = TaskPart(network, said["method"], (place / "fitted" / f"{name}.json").read_text("utf-8"))
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


def _files(folder: Path) -> list[str]:
    """Every file that belongs to the model, as a path with forward slashes."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.parts[0] not in OUTSIDE and not path.name.endswith(".partial"))


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
