"""How a kind of encoder fills in hidden words: found by trying, learnt on, and saved so that ``transformers`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoplm.errors import BackboneError
from shoplm.model.backbone import Backbone, first_line, quiet
from shoplm.model.heads import ACTIVATIONS, TextHead
from shoplm.model.specs import Text


@dataclass(frozen=True)
class Filling:
    """How a kind of encoder fills in hidden words, and in which tensors."""

    spec: Text
    names: Mapping[str, str]
    """Our head's tensors -> theirs; one that this kind lacks is absent and stays as ``heads`` makes it."""
    weights: Mapping[str, Tensor]
    """What the checkpoint holds, under our names; empty where it came without a masked head."""


def filling(backbone: Backbone) -> Filling:
    """The masked head of a backbone's kind, with the checkpoint's own weights where it has some.

    Raises:
        BackboneError: it reads from left to right, has no mask token, or its kind fills words in by other layers than BERT's.
    """
    if backbone.causal:
        raise BackboneError(f"backbone `{backbone.name}` reads from left to right; --objective mlm needs an encoder, such as `default`")
    if backbone.mask is None:
        raise BackboneError(
            f"backbone `{backbone.name}`: its tokenizer has no mask token; choose an encoder that has one, such as `default`"
        )
    with quiet():
        import transformers

        try:
            whole, said = transformers.AutoModelForMaskedLM.from_pretrained(backbone.place, dtype=torch.float32, output_loading_info=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise BackboneError(f"backbone `{backbone.name}`: no masked language model of its kind ({first_line(error)})") from None
    whole.eval()
    names, eps = _filled_by(whole, backbone)
    parameters = dict(whole.named_parameters())
    weights = {ours: parameters[theirs].detach().clone() for ours, theirs in names.items()}
    with torch.no_grad():
        ids = torch.tensor([backbone.tokenizer.single[0] + list(range(min(16, backbone.vocabulary.shape[0])))])
        theirs = whole(input_ids=ids).logits
        hidden = whole.base_model(input_ids=ids)[0]
        errors = {}
        for name in ACTIVATIONS:
            turned = F.linear(hidden, weights["turn.weight"], weights.get("turn.bias"))
            turned = F.layer_norm(ACTIVATIONS[name](turned), turned.shape[-1:], weights["norm.weight"], weights.get("norm.bias"), eps)
            errors[name] = float((F.linear(turned, whole.get_input_embeddings().weight, weights.get("bias")) - theirs).abs().max())
    best: Any = min(errors, key=lambda name: errors[name])
    if errors[best] > 1e-3 * max(1.0, float(theirs.abs().max())):
        raise BackboneError(_other_layers(backbone))
    came = names["turn.weight"] not in said["missing_keys"]
    return Filling(Text("masked", activation=best, eps=eps), names, weights if came else {})


def save_filling(backbone: Backbone, folder: Path, head: TextHead, filling: Filling) -> None:
    """The weights with those of a masked head, as ``AutoModelForMaskedLM`` and ``AutoModel`` of ``transformers`` read them."""
    import transformers

    base: Any = backbone.base
    with quiet():
        whole = transformers.AutoModelForMaskedLM.from_config(base.config)
    own = head.state_dict()
    state = {f"{whole.base_model_prefix}.{name}": tensor for name, tensor in base.state_dict().items()}
    state |= {theirs: own[ours] for ours, theirs in filling.names.items()}
    missing, _ = whole.load_state_dict(state, strict=False)
    tied = set(whole.all_tied_weights_keys)
    assert set(missing) <= tied, missing
    whole.tie_weights()
    with quiet():
        whole.save_pretrained(folder)
    backbone.sign(folder)


def _filled_by(whole: Any, backbone: Backbone) -> tuple[dict[str, str], float]:
    """Our head's tensors -> those outside the base model: one square layer, one norm, one bias a word; and the norm's epsilon."""
    outside = {name: module for name, module in whole.named_modules() if name and not f"{name}.".startswith(f"{whole.base_model_prefix}.")}
    parameters = {name: tensor for name, tensor in whole.named_parameters() if not name.startswith(f"{whole.base_model_prefix}.")}
    square = [name for name, module in outside.items() if isinstance(module, nn.Linear) and module.weight.shape == (backbone.width,) * 2]
    norms = [name for name, module in outside.items() if isinstance(module, nn.LayerNorm)]
    words = [name for name, tensor in parameters.items() if tensor.shape == backbone.vocabulary.shape[:1]]
    if len(square) != 1 or len(norms) != 1 or len(words) > 1:
        raise BackboneError(_other_layers(backbone))
    pairs = [("turn", square[0]), ("norm", norms[0])]
    names = {
        f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in pairs for kind in ("weight", "bias") if f"{theirs}.{kind}" in parameters
    }
    if words:
        names["bias"] = words[0]
    if set(names.values()) != set(parameters):
        raise BackboneError(_other_layers(backbone))
    return names, float(outside[norms[0]].eps)


def _other_layers(backbone: Backbone) -> str:
    return (
        f"backbone `{backbone.name}`: its kind ({type(backbone.base).__name__}) fills words in by other layers than BERT's; "
        f"choose a BERT, RoBERTa, DistilBERT, MPNet or ModernBERT model"
    )
