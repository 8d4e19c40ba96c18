"""A run on disk at one step: weights that learn, optimizer, where it stands. Written whole or not at all.

What always holds: the newest file is always loadable, since a file gets its name only when all its
bytes are on the disk; no pickle; a resumed run continues bit for bit.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from shoplm.errors import DataError
from shoplm.files import whole
from shoplm.train.loop import State

FILE = "latest.safetensors"


def learning(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a run changes, by name (views, not copies)."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def restore(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors that ``learning`` gave back into the model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])


@contextlib.contextmanager
def answering(model: nn.Module, state: State) -> Iterator[dict[str, Tensor]]:
    """The model with the weights that would answer now, for this block: their mean, once averaging has begun, else the last; copies."""
    last = {name: tensor.clone() for name, tensor in learning(model).items()}
    weights = {name: tensor.clone() for name, tensor in state.mean.items()} or last
    restore(model, weights)
    try:
        yield weights
    finally:
        restore(model, last)


def save(folder: Path, model: nn.Module, state: State, best: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write the run's only checkpoint.

    Args:
        folder: ``<out>/run/checkpoints``.
        model: what learns.
        state: optimizer and step.
        best: the best weights so far, by name; empty before the first validation.
        facts: plain values that the caller wants back.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    tensors = {f"model/{name}": tensor for name, tensor in learning(model).items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    tensors |= {f"mean/{name}": tensor for name, tensor in state.mean.items()}
    if state.regularizer is not None:
        tensors |= {f"regularizer/{name}": tensor for name, tensor in state.regularizer.tensors().items()}
    packed = state.optimizer.state_dict()
    scalars: dict[str, dict[str, Any]] = {}
    for number, values in packed["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{number}/{key}"] = value
            else:
                scalars.setdefault(str(number), {})[key] = value
    text = json.dumps({"step": state.step, "averaged": state.averaged, "scalars": scalars, "facts": facts})
    with whole(folder / FILE) as partial:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata={"shoplm": text})
        except SafetensorError as error:  # how safetensors says that the disk is full
            raise OSError(str(error).strip()) from None
    return folder / FILE


def load(folder: Path, model: nn.Module, state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put a checkpoint back into ``model`` and ``state``; returns the best weights and the caller's facts.

    Raises:
        DataError: it is damaged or of another model.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            text = json.loads(file.metadata()["shoplm"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:  # TypeError: a file without our metadata
        raise DataError(f"{path}: not a checkpoint ({error}); start again with --restart instead of --resume") from None
    own = {f"model/{name}": tensor.shape for name, tensor in learning(model).items()}
    if {name: tensor.shape for name, tensor in tensors.items() if name.startswith("model/")} != own:
        raise DataError(f"{path}: of a model with other settings; start again with --restart instead of --resume")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "mean": {}, "regularizer": {}}
    packed = state.optimizer.state_dict()
    moments: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in text["scalars"].items()}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "optimizer":
            number, _, key = rest.partition("/")
            moments.setdefault(int(number), {})[key] = tensor
        else:
            parts[kind][rest] = tensor
    restore(model, parts["model"])
    if state.regularizer is not None:
        state.regularizer.restore(parts["regularizer"])
    state.optimizer.load_state_dict({"state": moments, "param_groups": packed["param_groups"]})
    state.step, state.averaged, state.mean = int(text["step"]), int(text["averaged"]), parts["mean"]
    return parts["best"], text["facts"]
