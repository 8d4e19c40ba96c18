"""Which parameters learn, and how they are kept: ``full``, ``lora``, ``adalora``, ``prefix``, ``bottleneck``, ``head``.

Whatever the method, only the top ``layers`` learn and the trunk below them stays as it is; but for ``prefix``, whose keys and
values stand in every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import pydantic
from torch import nn

from shoplm.config import Config
from shoplm.errors import ConfigError
from shoplm.model import bottleneck, peft_kinds
from shoplm.model.backbone import Backbone

Method = Literal["full", "lora", "adalora", "prefix", "bottleneck", "head"]
METHODS: tuple[Method, ...] = get_args(Method)
PEFT: tuple[Method, ...] = ("lora", "adalora", "prefix")
"""Those whose folder plain ``peft`` loads."""
KEPT: tuple[Method, ...] = (*PEFT, "bottleneck")
"""Those that leave the backbone as it was and keep a folder of their own in a bundle."""


class AdapterConfig(Config):
    """How a backbone is changed for a task. Option names are those of ``peft``."""

    method: Method = "full"
    """``full``: every weight of the top layers; ``lora``: low-rank factors beside them; ``adalora``: the same with ranks shared
    out by importance; ``prefix``: learnt keys and values before the text; ``bottleneck``: small layers behind them; ``head``:
    the heads alone."""
    layers: int | None = None
    """How many top layers learn, at least 1; None = half of them when rows are few, else the share that the
    task says (a third; five sixths for ``intent``, all for ``sentiment``); ``head``: none, ``prefix``: all."""
    r: int = pydantic.Field(default=16, ge=1)
    """Rank of the LoRA factors."""
    lora_alpha: float = 32.0
    """LoRA's scale: the update is multiplied by lora_alpha / r (AdaLoRA: / init_r)."""
    lora_dropout: float = pydantic.Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | None = None
    """Names of the linear layers that get LoRA factors; None = all inside the learning layers."""
    use_rslora: bool = False
    """LoRA's scale is lora_alpha / sqrt(r) instead, so that a large rank learns as fast as a small one."""
    use_dora: bool = False
    """LoRA for the direction of the weights, their lengths learn apart; slower."""
    init_r: int = pydantic.Field(default=12, ge=2)
    """Rank of every AdaLoRA factor at the start."""
    target_r: int = pydantic.Field(default=8, ge=1)
    """Mean rank at the end, below init_r."""
    orth_reg_weight: float = pydantic.Field(default=0.5, ge=0)
    """Weight of AdaLoRA's penalty for factors that are not orthogonal."""
    num_virtual_tokens: int = pydantic.Field(default=16, ge=1, le=512)
    """How many keys and values a prefix has in every layer."""
    prefix_init: Literal["text", "random", "projection"] = "text"
    """A prefix begins as the keys and values of real words (``text``), at random, or learns through a two-layer network."""
    prefix_text: str | None = None
    """The words of prefix_init=text; None = a phrase with the task's name."""
    placement: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    """Bottlenecks behind the feed-forward layers, or behind attention too."""
    reduction_factor: int = pydantic.Field(default=8, ge=1)
    """The model's width over a bottleneck's."""
    dropout: float | None = pydantic.Field(default=0.0, ge=0, lt=1)
    """Dropout in all that learns, the embeddings too when every layer does; None = as the backbone was pre-trained."""


OWNERS: Mapping[str, tuple[Method, ...]] = {
    "layers": ("full", "lora", "adalora", "bottleneck"),
    "dropout": ("full", "lora", "adalora", "prefix", "bottleneck"),
    "r": ("lora",),
    "lora_alpha": ("lora", "adalora"),
    "lora_dropout": ("lora", "adalora"),
    "target_modules": ("lora", "adalora"),
    "use_rslora": ("lora",),
    "use_dora": ("lora",),
    "init_r": ("adalora",),
    "target_r": ("adalora",),
    "orth_reg_weight": ("adalora",),
    "num_virtual_tokens": ("prefix",),
    "prefix_init": ("prefix",),
    "prefix_text": ("prefix",),
    "placement": ("bottleneck",),
    "reduction_factor": ("bottleneck",),
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
            faults.append(f"`{key}`={seen} is an option of method={', '.join(owners)}, and method={config.method} ignores it; "
                          f"leave it out or set method={'lora' if 'lora' in owners else owners[-1]}")  # fmt: skip
    if config.method == "adalora" and config.target_r >= config.init_r:
        faults.append(f"`target_r`={config.target_r}: expected less than init_r={config.init_r}, from which the ranks fall")
    if config.prefix_text is not None and config.prefix_init != "text":
        faults.append(f"`prefix_text` is read with prefix_init=text, not with prefix_init={config.prefix_init}; leave one of them out")
    if faults:
        raise ConfigError("; ".join(faults))


def cut_of(depth: int, config: AdapterConfig) -> int:
    """The first layer that learns.

    Raises:
        ConfigError: ``layers`` is not in 1..depth.
    """
    if config.method == "head":
        return depth
    if config.method == "prefix":
        return 0
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
        peft_kinds.add_lora(backbone, config, name, cut)
    elif config.method == "adalora":
        peft_kinds.add_adalora(backbone, config, name, cut)
    elif config.method == "prefix":
        peft_kinds.add_prefix(backbone, config, name)
    elif config.method == "bottleneck":
        bottleneck.add(backbone, config, name, cut)
    return cut


def attach_pairs(backbone: Backbone, config: AdapterConfig, shared: str, own: Sequence[str]) -> int:
    """One LoRA adapter for all and one for each of ``own``, all of them learning; ``switch`` says which two answer. Returns the cut.

    Raises:
        ConfigError: the method is another, or its updates cannot be added.
    """
    if config.method != "lora" or config.use_dora:
        seen = "use_dora=true" if config.method == "lora" else f"method={config.method}"
        raise ConfigError(
            f"`sharing`=both adds two LoRA adapters, which {seen} does not allow; set method=lora use_dora=false, or sharing=shared"
        )
    cut = attach(backbone, config, shared)
    for name in own:
        peft_kinds.add_lora(backbone, config, name, cut)
    peft_kinds.learn(backbone, (shared, *own))
    return cut


def switch(backbone: Backbone) -> Callable[[Sequence[str]], None]:
    """What lets several adapters of ``attach_pairs`` answer together, by name."""
    return peft_kinds.switch(backbone)


def fold_pairs(backbone: Backbone, shared: str, own: Mapping[str, str]) -> None:
    """Learning is over: for each name of ``own`` the shared and its own adapter become one LoRA adapter of twice the rank."""
    for name, apart in own.items():
        peft_kinds.sum_up(backbone, (shared, apart), name)
    peft_kinds.drop(backbone, (shared, *own.values()))


def form_of(backbone: Backbone, name: str, method: Method) -> dict[str, Any]:
    """The settings, beside those of its recipe, by which a new adapter gets the form of the one that is there under ``name``."""
    return peft_kinds.form_of(backbone, name) if method == "lora" else {}


def _set_dropout(learning: Sequence[nn.Module], share: float) -> None:
    """The same dropout everywhere in what learns: in its own layers and in attention, which some models keep as a bare number."""
    every: list[Any] = [module for part in learning for module in part.modules()]
    for module in every:
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = share


def choose(backbone: Backbone, name: str, method: Method) -> None:
    """Let the adapter ``name`` answer from now on; nothing to do for a method that keeps none."""
    if method == "bottleneck":
        bottleneck.choose(backbone, name)
    elif method in PEFT:
        peft_kinds.choose(backbone, name)


def save(backbone: Backbone, folder: Path, name: str, method: Method) -> None:
    """Write the adapter ``name`` into ``folder``; nothing for a method that keeps none."""
    if method == "bottleneck":
        bottleneck.save(backbone, folder, name)
    elif method in PEFT:
        peft_kinds.save(backbone, folder, name)


def load(backbone: Backbone, folder: Path, name: str, method: Method) -> None:
    """Add the adapter that ``save`` wrote.

    Raises:
        BundleError: it does not fit this backbone.
    """
    if method == "bottleneck":
        bottleneck.load(backbone, folder, name)
    elif method in PEFT:
        peft_kinds.load(backbone, folder, name)


def regularizer(backbone: Backbone, method: Method, steps: int, settled: float) -> peft_kinds.Ranks | None:
    """What a method adds to every step beside the heads' losses.

    Args:
        backbone: with the adapter that learns.
        method: only ``adalora`` adds anything.
        steps: of the whole run.
        settled: the share of them, at the end, in which ranks stand still.
    """
    return peft_kinds.Ranks(backbone, steps, settled) if method == "adalora" else None


def fold(backbone: Backbone, name: str, method: Method) -> None:
    """Learning is over: AdaLoRA becomes LoRA, a projected prefix the prefix itself, as they are kept on disk."""
    if method in ("adalora", "prefix"):
        peft_kinds.fold(backbone, name)


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def described(adapter: AdapterConfig, learning: Sequence[nn.Parameter], everything: int) -> str:
    """One line for people: the method and its share of the parameters."""
    count = sum(parameter.numel() for parameter in learning)
    return f"{adapter.method}: {count:,} of {everything:,} parameters learn ({100 * count / max(1, everything):.1f} %)"
