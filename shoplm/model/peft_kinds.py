"""The methods that ``peft`` brings: LoRA, AdaLoRA and prefix tuning, each kept as plain ``peft`` loads it.

This is the only file that knows ``peft``, and it imports it only when a method needs it (it takes seconds).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shoplm.errors import BundleError, ConfigError, did_you_mean
from shoplm.model.backbone import Backbone
from shoplm.text.render import Prompt, Segment

if TYPE_CHECKING:
    from shoplm.model.adapters import AdapterConfig


def add_lora(backbone: Backbone, config: AdapterConfig, name: str, cut: int) -> None:
    """Low-rank factors (Hu et al., 2021) beside the linear layers from layer ``cut`` on.

    With ``use_rslora`` the update is scaled by lora_alpha / sqrt(r) (Kalajdzievski, 2023); with ``use_dora`` length and
    direction of the weights learn apart (Liu et al., 2024).
    """
    targets = _linear_names(backbone, config.target_modules, cut, config.method)
    with _peft() as peft:
        wanted = peft.LoraConfig(
            r=config.r, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout, target_modules=targets,
            use_rslora=config.use_rslora, use_dora=config.use_dora, **_common(peft, backbone),
        )  # fmt: skip
    _add(backbone, wanted, name, config.method)


def add_adalora(backbone: Backbone, config: AdapterConfig, name: str, cut: int) -> None:
    """Factors P·Λ·Q whose ranks are shared out while learning (Zhang et al., 2023); ``Ranks`` does the sharing out."""
    targets = _linear_names(backbone, config.target_modules, cut, config.method)
    with _peft() as peft:
        # how long it will learn is not known yet: `Ranks` says
        wanted = peft.AdaLoraConfig(
            init_r=config.init_r, target_r=config.target_r, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout,
            target_modules=targets, orth_reg_weight=config.orth_reg_weight, total_step=1 << 40, **_common(peft, backbone),
        )  # fmt: skip
    _set_aside(backbone)
    _add(backbone, wanted, name, config.method)


def add_prefix(backbone: Backbone, config: AdapterConfig, name: str) -> None:
    """Keys and values that stand before every layer's own (Li and Liang, 2021).

    They take positions before the text's. A prefixed model knows no segments (``token_type_ids``), as in ``peft``.

    Raises:
        ConfigError: the backbone has too few positions for both.
    """
    count, longest = config.num_virtual_tokens, backbone.tokenizer.config.max_length
    if count + longest > backbone.positions:
        raise ConfigError(
            f"`method: prefix`: num_virtual_tokens={count} and texts of {longest} tokens need {count + longest} positions, the backbone has "
            f"{backbone.positions}; set max_length={max(8, backbone.positions - count)}"
        )
    text = f"the {name} of this text :" if config.prefix_text is None else config.prefix_text
    first = _words(backbone, text, count) if config.prefix_init == "text" else None
    with _peft() as peft:
        wanted = peft.PrefixTuningConfig(
            num_virtual_tokens=count, prefix_projection=config.prefix_init == "projection", encoder_hidden_size=backbone.width, **_common(peft, backbone)
        )  # fmt: skip
    _add(backbone, wanted, name, config.method)
    if first is not None:
        model: Any = backbone.model
        with torch.no_grad():
            model.prompt_encoder[name].embedding.weight.copy_(first)
    backbone.takes_parts = False


def _common(peft: Any, backbone: Backbone) -> dict[str, Any]:
    return {"task_type": peft.TaskType.FEATURE_EXTRACTION, "base_model_name_or_path": backbone.name}


def _add(backbone: Backbone, wanted: Any, name: str, method: str) -> None:
    with _peft() as peft:
        try:
            model: Any = backbone.model
            if isinstance(model, peft.PeftModel):
                model.add_adapter(name, wanted)
                model.set_adapter(name)
            else:
                backbone.model = peft.get_peft_model(model, wanted, adapter_name=name)
        except ValueError as error:
            raise ConfigError(f"`method: {method}`: {str(error).splitlines()[0]}") from None


def _words(backbone: Backbone, text: str, count: int) -> Tensor:
    """(count, layers · 2 · D) the keys and values of ``text``, repeated to ``count`` tokens: a prefix of real words."""
    if not text.strip():
        raise ConfigError(f"`prefix_text`: no word in {text!r}; give words, or set prefix_init=random")
    ids = backbone.tokenizer.encode([Prompt((Segment(text),))]).ids.tolist()
    return backbone.keys_and_values(torch.tensor([(ids * count)[:count]])).reshape(count, -1)


def _linear_names(backbone: Backbone, wanted: Sequence[str] | None, cut: int, method: str) -> list[str]:
    """The whole names of the linear layers in the learning layers (GPT-2 keeps them as Conv1D); of ``wanted`` last parts, if given.

    Whole names and not ``layers_to_transform``, which finds no layer of a model whose list stands at the top, as Llama's does.

    Raises:
        ConfigError: there is none.
    """
    learning = {id(module) for layer in backbone.layers[cut:] for module in layer.modules()}
    every = [
        path.replace(".base_layer", "")  # of an earlier task's adapter
        for path, module in backbone.base.named_modules()
        if id(module) in learning
        and type(module).__name__ in ("Linear", "Conv1D")
        and not any(part.startswith("lora_") for part in path.split("."))
    ]
    found = every if wanted is None else [path for path in every if path.endswith(tuple(f".{name}" for name in wanted))]
    if not found:
        last = {path.rpartition(".")[2] for path in every}
        raise ConfigError(
            f"`method: {method}`: no linear layer named {', '.join(wanted or ())}; {did_you_mean((wanted or ('',))[0], last)}"
        )
    return found


class Ranks:
    """AdaLoRA's half of a training step: the penalty that keeps P and Q orthogonal, and the ranks shared out by importance.

    The budget of ranks falls from ``init_r`` to ``target_r`` a layer between the first tenth of the steps and the last
    ``settled`` share of them, in which the ranks stand still, so that weights averaged over the end belong together.
    """

    def __init__(self, backbone: Backbone, steps: int, settled: float) -> None:
        model: Any = backbone.model
        self._tuner: Any = model.base_model
        self._allocator: Any = self._tuner.rankallocator
        config: Any = self._allocator.peft_config
        config.total_step = max(1, steps)
        config.tfinal = min(config.total_step - 1, max(1, round(steps * max(settled, 0.3))))
        config.tinit = min(steps // 10, config.total_step - config.tfinal - 1)
        config.deltaT = max(1, steps // 100)
        config.rank_pattern = None
        self._config = config
        self._allocator.reset_ipt()
        mark = f".{self._tuner.trainable_adapter_name}"
        self._factors = [tensor for key, tensor in self._tuner.named_parameters() if key.endswith((f"lora_A{mark}", f"lora_B{mark}"))]

    def penalty(self) -> Tensor:
        """``orth_reg_weight`` times the mean Frobenius distance of PᵀP and QQᵀ from the identity."""
        far = []
        for factor in self._factors:
            square = factor @ factor.T if factor.shape[0] <= factor.shape[1] else factor.T @ factor
            far.append(torch.linalg.matrix_norm(square - torch.eye(len(square))))
        return torch.stack(far).mean() * float(self._config.orth_reg_weight)

    def after(self, step: int) -> None:
        """Measure importance and take ranks away; after the optimizer, while the gradients of step ``step`` (from 0) still stand."""
        self._tuner.update_and_allocate(step)

    def tensors(self) -> dict[str, Tensor]:
        """What importance has gathered so far, for a checkpoint."""
        found = {f"{kind}/{key}": tensor for kind in _GATHERED for key, tensor in getattr(self._allocator, kind).items()}
        return found | {f"rank_pattern/{key}": torch.tensor(kept) for key, kept in (self._config.rank_pattern or {}).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        self._allocator.reset_ipt()
        pattern = {}
        for path, tensor in tensors.items():
            kind, _, key = path.partition("/")
            if kind == "rank_pattern":
                pattern[key] = tensor.tolist()
            else:
                getattr(self._allocator, kind)[key] = tensor
        self._config.rank_pattern = pattern or None


_GATHERED = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def fold(backbone: Backbone, name: str) -> None:
    """Turn what only learns into what only answers: AdaLoRA's P·Λ·Q into LoRA factors, a prefix's projection into the prefix."""
    model: Any = backbone.model
    if getattr(getattr(model, "base_model", None), "rankallocator", None) is not None:
        _fold_ranks(backbone, name)
    elif name in getattr(model, "prompt_encoder", {}):
        with _peft() as peft, torch.no_grad():
            weight = model.get_prompt_embedding_to_save(name).detach().clone()
            config = model.peft_config[name]
            config.inference_mode = True
            plain = peft.PrefixEncoder(config)
            plain.embedding.weight.copy_(weight.reshape(plain.embedding.weight.shape))
            model.prompt_encoder[name] = plain.requires_grad_(False)


def _fold_ranks(backbone: Backbone, name: str) -> None:
    """The same update, as LoRA: A = Λ·Q·scale without the rows whose singular value is 0, B = P, and lora_alpha = r."""
    model: Any = backbone.model
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for path, module in model.base_model.model.named_modules():
        if name in getattr(module, "lora_E", {}):
            value = module.lora_E[name].detach()
            scale = float(module.scaling[name]) / (float(module.ranknum[name]) + 1e-5)
            kept = torch.nonzero(value[:, 0]).flatten()
            kept = kept if len(kept) else torch.zeros(1, dtype=torch.long)  # a rank of 0 is no LoRA: one row of zeros
            down, up = module.lora_A[name].detach() * value * scale, module.lora_B[name].detach()
            factors[path] = down[kept].clone(), up[:, kept].clone()
    with _peft():
        backbone.model = model.unload()
    _take_back(backbone)
    _add_factors(backbone, name, factors, "adalora")


def _add_factors(backbone: Backbone, name: str, factors: Mapping[str, tuple[Tensor, Tensor]], method: str) -> None:
    """A LoRA adapter whose update of a layer is the product of its two factors, (r, in) and (out, r), unscaled."""
    sizes = {path: len(down) for path, (down, _) in factors.items()}
    with _peft() as peft:
        config = peft.LoraConfig(
            r=max(sizes.values()), lora_alpha=max(sizes.values()), target_modules=list(factors), rank_pattern=sizes,
            alpha_pattern=dict(sizes), **_common(peft, backbone),
        )  # fmt: skip
    _add(backbone, config, name, method)
    now: Any = backbone.model
    with torch.no_grad():
        for path, (down, up) in factors.items():
            module = now.base_model.model.get_submodule(path)
            module.lora_A[name].weight.copy_(down)
            module.lora_B[name].weight.copy_(up)


def switch(backbone: Backbone) -> Callable[[Sequence[str]], None]:
    """What lets several LoRA adapters answer together, their updates added; unlike ``choose`` it leaves alone what learns.

    The layers are looked up here and once: a step of training that walks all modules loses time by it.
    """
    layers = [module for _, module in _lora_layers(backbone)]

    def activate(names: Sequence[str]) -> None:
        for module in layers:
            module._active_adapter = list(names)

    return activate


def learn(backbone: Backbone, names: Sequence[str]) -> None:
    """Let several LoRA adapters learn; ``peft`` lets only the newest."""
    for name, parameter in backbone.model.named_parameters():
        if "lora_" in name and set(names) & set(name.split(".")):
            parameter.requires_grad_(True)


def sum_up(backbone: Backbone, names: Sequence[str], name: str) -> None:
    """A LoRA adapter ``name`` whose update is the sum of those of ``names``: their factors end to end."""
    factors = {}
    for path, module in _lora_layers(backbone):
        downs = [module.lora_A[one].weight.detach() * float(module.scaling[one]) for one in names]
        factors[path] = torch.cat(downs), torch.cat([module.lora_B[one].weight.detach() for one in names], 1)
    _add_factors(backbone, name, factors, "lora")


def form_of(backbone: Backbone, name: str) -> dict[str, Any]:
    """The settings that give a new LoRA adapter the rank and the scale of ``name``: of two that were summed up another than theirs."""
    model: Any = backbone.model
    config = model.peft_config[name]
    return {"r": int(config.r), "lora_alpha": float(config.lora_alpha), "use_rslora": bool(config.use_rslora)}


def drop(backbone: Backbone, names: Sequence[str]) -> None:
    """Take adapters off the model."""
    model: Any = backbone.model
    for name in names:
        model.delete_adapter(name)


def _lora_layers(backbone: Backbone) -> list[tuple[str, Any]]:
    """The layers that have LoRA factors, by their path in the backbone's own model."""
    model: Any = backbone.model
    return [(path, module) for path, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")]


def _set_aside(backbone: Backbone) -> None:
    """Earlier tasks' LoRA factors off the model while AdaLoRA learns: ``peft`` does not mix the two kinds."""
    model: Any = backbone.model
    with _peft() as peft:
        if not isinstance(model, peft.PeftModel):
            return
        for name, config in model.peft_config.items():
            backbone.aside[name] = (
                config,
                {key: value.clone() for key, value in peft.get_peft_model_state_dict(model, adapter_name=name).items()},
            )
        backbone.model = model.unload()


def _take_back(backbone: Backbone) -> None:
    for name, (config, tensors) in backbone.aside.items():
        _add(backbone, config, name, "adalora")
        with _peft() as peft:
            peft.set_peft_model_state_dict(backbone.model, tensors, adapter_name=name)
    backbone.aside.clear()


def choose(backbone: Backbone, name: str) -> None:
    """Let the adapter ``name`` answer from now on."""
    model: Any = backbone.model
    model.set_adapter(name)


def save(backbone: Backbone, folder: Path, name: str) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` of one adapter into ``folder``, as plain ``peft`` loads them."""
    model: Any = backbone.model
    with _peft():
        model.peft_config[name].base_model_name_or_path = backbone.name
        model.save_pretrained(folder.parent, selected_adapters=[name])
    (folder / "README.md").unlink(missing_ok=True)
    (folder.parent / "README.md").unlink(missing_ok=True)


def load(backbone: Backbone, folder: Path, name: str) -> None:
    """Add the adapter that ``save`` wrote.

    Raises:
        BundleError: it does not fit this backbone.
    """
    with _peft() as peft:
        try:
            model: Any = backbone.model
            if isinstance(model, peft.PeftModel):
                model.load_adapter(str(folder), adapter_name=name)
            else:
                backbone.model = peft.PeftModel.from_pretrained(model, str(folder), adapter_name=name)
        except (ValueError, RuntimeError, OSError, KeyError, TypeError) as error:
            raise BundleError(f"{folder}: not an adapter for backbone `{backbone.name}` ({str(error).splitlines()[0][:200]})") from None
    loaded: Any = backbone.model
    if loaded.peft_config[name].is_prompt_learning:
        backbone.takes_parts = False


@contextlib.contextmanager
def _peft() -> Iterator[Any]:
    """``peft``, which trips over a transformers deprecation of its own making; nothing else is silenced."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="peft")
        import peft

        yield peft
