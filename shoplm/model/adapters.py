"""Which parameters learn, and how they are kept: ``full``, ``lora``, ``head``.

This is the only file that knows ``peft``, and it imports it only when a method needs it (it takes
seconds). Whatever the method, only the top ``layers`` learn; the trunk below them stays as it is.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic
from torch import nn

from shoplm.config import Config
from shoplm.errors import BundleError, ConfigError, did_you_mean
from shoplm.model.backbone import Backbone

Method = Literal["full", "lora", "head"]
METHODS: tuple[Method, ...] = ("full", "lora", "head")


class AdapterConfig(Config):
    """How a backbone is changed for a task. Option names are those of ``peft``."""

    method: Method = "full"
    """``full``: every weight of the top layers; ``lora``: low-rank factors beside them; ``head``: the heads alone."""
    layers: int | None = None
    """How many top layers learn, at least 1; None = a third of them, half when rows are few (``head``: none)."""
    r: int = pydantic.Field(default=16, ge=1)
    """Rank of the LoRA factors."""
    lora_alpha: float = 32.0
    """LoRA's scale: the update is multiplied by lora_alpha / r."""
    lora_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | None = None
    """Names of the linear layers that get LoRA factors; None = all inside the learning layers."""
    dropout: float | None = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout in all that learns, the embeddings too when every layer does; None = as the backbone was pre-trained."""


OWNERS: Mapping[str, tuple[Method, ...]] = {
    "layers": ("full", "lora"),
    "dropout": ("full", "lora"),
    "r": ("lora",),
    "lora_alpha": ("lora",),
    "lora_dropout": ("lora",),
    "target_modules": ("lora",),
}
"""The methods that read an option."""


def refuse_ignored(config: AdapterConfig) -> None:
    """A setting that would change nothing is a mistake.

    Raises:
        ConfigError: an option is not at its default and belongs to other methods than the one chosen.
    """
    faults = []
    for key, owners in OWNERS.items():
        seen = getattr(config, key)
        # a run with the method `head` writes down that no layer learnt
        at_rest = seen == AdapterConfig.model_fields[key].default or (key == "layers" and config.method == "head" and seen == 0)
        if config.method not in owners and not at_rest:
            faults.append(f"`{key}`={seen} is an option of method={' and method='.join(owners)}, and method={config.method} ignores it; "
                          f"leave it out or set method={owners[-1]}")  # fmt: skip
    if faults:
        raise ConfigError("; ".join(faults))


def cut_of(depth: int, config: AdapterConfig) -> int:
    """The first layer that learns.

    Raises:
        ConfigError: ``layers`` is not in 1..depth.
    """
    if config.method == "head":
        return depth
    layers = config.layers if config.layers is not None else max(1, depth // 3)
    if not 1 <= layers <= depth:
        raise ConfigError(f"`layers`: expected 1 to {depth}, the backbone's depth, seen {layers}")
    return depth - layers


def attach(backbone: Backbone, config: AdapterConfig, name: str) -> int:
    """Freeze what does not learn and add what does; returns the cut.

    Args:
        backbone: changed in place.
        config: the method and its options.
        name: the adapter's name, a task's.
    """
    cut = cut_of(backbone.depth, config)
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    if config.dropout is not None:
        _set_dropout([backbone.model] if cut == 0 else list(backbone.layers[cut:]), config.dropout)
    if config.method == "full":
        learning = backbone.model if cut == 0 else nn.ModuleList(list(backbone.layers[cut:]))
        for parameter in learning.parameters():
            parameter.requires_grad_(True)
        if cut:
            for parameter in backbone.final_norm.parameters():
                parameter.requires_grad_(True)
    elif config.method == "lora":
        _add_lora(backbone, config, name, cut)
    return cut


def _set_dropout(learning: Sequence[nn.Module], share: float) -> None:
    """The same dropout everywhere in what learns: in its own layers and in attention, which some models keep as a bare number."""
    every: list[Any] = [module for part in learning for module in part.modules()]
    for module in every:
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = share


def _add_lora(backbone: Backbone, config: AdapterConfig, name: str, cut: int) -> None:
    targets = _linear_names(backbone, config.target_modules, cut)
    with _peft_quiet():
        import peft

        try:
            wanted = peft.LoraConfig(
                r=config.r,
                lora_alpha=config.lora_alpha,
                lora_dropout=config.lora_dropout,
                target_modules=targets,
                task_type=peft.TaskType.FEATURE_EXTRACTION,
                base_model_name_or_path=backbone.name,
            )
            model: Any = backbone.model
            if isinstance(model, peft.PeftModel):
                model.add_adapter(name, wanted)
                model.set_adapter(name)
            else:
                backbone.model = peft.get_peft_model(model, wanted, adapter_name=name)
        except ValueError as error:
            raise ConfigError(f"`method: lora`: {str(error).splitlines()[0]}") from None


def _linear_names(backbone: Backbone, wanted: Sequence[str] | None, cut: int) -> list[str]:
    """The whole names of the linear layers in the learning layers (GPT-2 keeps them as Conv1D); of ``wanted`` last parts, if given.

    Whole names and not ``layers_to_transform``, which finds no layer of a model whose list stands at the top, as Llama's does.

    Raises:
        ConfigError: there is none.
    """
    model: Any = backbone.model
    base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model
    learning = {id(module) for layer in backbone.layers[cut:] for module in layer.modules()}
    every = [
        path
        for path, module in base.named_modules()
        if id(module) in learning
        and type(module).__name__ in ("Linear", "Conv1D")
        and not any(part == "base_layer" or part.startswith("lora_") for part in path.split("."))  # an earlier task's adapter
    ]
    found = every if wanted is None else [path for path in every if path.endswith(tuple(f".{name}" for name in wanted))]
    if not found:
        last = {path.rpartition(".")[2] for path in every}
        raise ConfigError(f"`method: lora`: no linear layer named {', '.join(wanted or ())}; {did_you_mean((wanted or ('',))[0], last)}")
    return found


def choose(backbone: Backbone, name: str) -> None:
    """Let the adapter ``name`` answer from now on."""
    model: Any = backbone.model
    model.set_adapter(name)


def save_lora(backbone: Backbone, folder: Path, name: str) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` of one adapter into ``folder``, as plain ``peft`` loads them."""
    model: Any = backbone.model
    with _peft_quiet():
        model.peft_config[name].base_model_name_or_path = backbone.name
        model.save_pretrained(folder.parent, selected_adapters=[name])
    (folder / "README.md").unlink(missing_ok=True)
    (folder.parent / "README.md").unlink(missing_ok=True)


def load_lora(backbone: Backbone, folder: Path, name: str) -> None:
    """Add the adapter that ``save_lora`` wrote.

    Raises:
        BundleError: it does not fit this backbone.
    """
    with _peft_quiet():
        import peft

        try:
            model: Any = backbone.model
            if isinstance(model, peft.PeftModel):
                model.load_adapter(str(folder), adapter_name=name)
            else:
                backbone.model = peft.PeftModel.from_pretrained(model, str(folder), adapter_name=name)
        except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
            raise BundleError(f"{folder}: not an adapter for backbone `{backbone.name}` ({str(error).splitlines()[0][:200]})") from None


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def described(adapter: AdapterConfig, learning: Sequence[nn.Parameter], everything: int) -> str:
    """One line for people: the method and its share of the parameters."""
    count = sum(parameter.numel() for parameter in learning)
    return f"{adapter.method}: {count:,} of {everything:,} parameters learn ({100 * count / max(1, everything):.1f} %)"


@contextlib.contextmanager
def _peft_quiet() -> Iterator[None]:
    """``peft`` trips over a transformers deprecation of its own making; nothing else is silenced."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
        yield
