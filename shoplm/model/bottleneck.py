"""Bottleneck adapters: two small matrices with a non-linearity between them, behind a sub-layer of the transformer.

``houlsby`` puts one behind attention and one behind the feed-forward layers (Houlsby et al., 2019), ``pfeiffer`` behind
the feed-forward layers alone (Pfeiffer et al., 2021); both before the residual sum, h + W_up·gelu(W_down·h + b) + b'.
W_up begins at zero, so that a fresh adapter changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shoplm.errors import BundleError, ConfigError
from shoplm.model.backbone import Backbone

if TYPE_CHECKING:
    from shoplm.model.adapters import AdapterConfig

CONFIG, WEIGHTS = "bottleneck_config.json", "adapter_model.safetensors"


class Pair(nn.Module):
    """(…, D) -> (…, D): what one task adds to a sub-layer's output."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.normal_(self.down.weight, std=0.02)
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)

    def forward(self, hidden: Tensor) -> Tensor:
        """The change of ``hidden``."""
        return cast("Tensor", self.up(nn.functional.gelu(self.down(hidden))))


class Bottleneck(nn.Module):
    """Stands for the last linear layer of a sub-layer, with one ``Pair`` a task behind it; ``active`` names the one that answers."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.pairs = nn.ModuleDict()
        self.active: str | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """The sub-layer's output, changed."""
        found: Tensor = self.base(hidden)
        return found if self.active is None else found + self.pairs[self.active](found)


def add(backbone: Backbone, config: AdapterConfig, name: str, cut: int) -> None:
    """A fresh adapter ``name`` in every layer from ``cut`` on, which answers from now on.

    Raises:
        ConfigError: a layer has no linear layer that leads back to the model's width.
    """
    size = max(1, backbone.width // config.reduction_factor)
    _grow(backbone, config.placement, name, cut, size)
    choose(backbone, name)


def _grow(backbone: Backbone, placement: str, name: str, cut: int, size: int) -> None:
    for number, layer in enumerate(backbone.layers[cut:], cut):
        for path in _ends(backbone, layer, placement, number):
            parent = layer.get_submodule(path.rpartition(".")[0])
            last = path.rpartition(".")[2]
            module = getattr(parent, last)
            if not isinstance(module, Bottleneck):
                module = Bottleneck(module)
                setattr(parent, last, module)
            module.pairs[name] = Pair(backbone.width, size)


def _ends(backbone: Backbone, layer: nn.Module, placement: str, number: int) -> list[str]:
    """The linear layers by which attention and the feed-forward layers lead back to the model's width."""
    attention, forward = None, None
    for path, module in layer.named_modules():
        inner = module.base if isinstance(module, Bottleneck) else module
        if _width(inner) == backbone.width and not path.endswith(".base") and ".pairs." not in path:
            if "att" in path:
                attention = path
            else:
                forward = path
    found = [path for path in ((attention, forward) if placement == "houlsby" else (forward,)) if path is not None]
    if len(found) < (2 if placement == "houlsby" else 1):
        raise ConfigError(f"`method: bottleneck`: layer {number} of backbone `{backbone.name}` has no place for it; use method=lora")
    return found


def _width(module: nn.Module) -> int | None:
    """What a linear layer puts out (GPT-2 keeps them as Conv1D); None for any other module."""
    known: Any = module
    if type(module).__name__ == "Linear":
        return int(known.out_features)
    return int(known.nf) if type(module).__name__ == "Conv1D" else None


def places(backbone: Backbone) -> Iterator[tuple[str, Bottleneck]]:
    """Every place that has adapters, by its name from the layers up."""
    for number, layer in enumerate(backbone.layers):
        for path, module in layer.named_modules():
            if isinstance(module, Bottleneck):
                yield f"layers.{number}.{path}", module


def choose(backbone: Backbone, name: str) -> None:
    """Let the adapter ``name`` answer from now on."""
    for _, module in places(backbone):
        module.active = name if name in module.pairs else None


def save(backbone: Backbone, folder: Path, name: str) -> None:
    """Write one adapter into ``folder``: its layout as JSON, its weights as safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    cut, size, ends = backbone.depth, 0, set()
    for path, module in places(backbone):
        if name in module.pairs:
            cut, size = min(cut, int(path.split(".")[1])), int(module.pairs[name].down.out_features)  # type: ignore[union-attr, arg-type]
            ends.add("att" in path)
            tensors |= {f"{path}.{key}": tensor.detach().contiguous() for key, tensor in module.pairs[name].state_dict().items()}
    layout = {"kind": "bottleneck", "placement": "houlsby" if True in ends else "pfeiffer", "size": size, "cut": cut, "activation": "gelu",
              "base_model_name_or_path": backbone.name}  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(layout, indent=2), "utf-8")
    save_file(tensors, folder / WEIGHTS)


def load(backbone: Backbone, folder: Path, name: str) -> None:
    """Add the adapter that ``save`` wrote.

    Raises:
        BundleError: it does not fit this backbone.
    """
    try:
        layout = json.loads((folder / CONFIG).read_text("utf-8"))
        tensors = load_file(folder / WEIGHTS)
        _grow(backbone, layout["placement"], name, int(layout["cut"]), int(layout["size"]))
        for path, module in places(backbone):
            if name in module.pairs:
                pair = module.pairs[name].requires_grad_(False)
                pair.load_state_dict({key: tensors.pop(f"{path}.{key}") for key in pair.state_dict()})
        if tensors:
            raise ValueError(f"no place for {next(iter(tensors))}")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, ConfigError) as error:
        raise BundleError(f"{folder}: not an adapter for backbone `{backbone.name}` ({str(error).splitlines()[0][:200]})") from None
    choose(backbone, name)
