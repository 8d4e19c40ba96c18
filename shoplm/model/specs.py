"""What a head answers, declared: ``Choice``, ``Labels``, ``Score``, ``Spans``, ``Vector``, ``Text``. ``heads`` builds them; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shoplm.errors import BundleError

MISSING = -1
"""A class that is not known."""


@dataclass(frozen=True)
class Choice:
    """One of C labels: softmax and cross-entropy."""

    labels: tuple[str, ...]
    smoothing: float = 0.0
    """Label smoothing in [0, 1): that share of the target is spread evenly over all labels."""
    weight: float = 1.0
    """How much this head's loss counts beside the others'."""
    features: int = 0
    """F, the numbers beside the text that it reads (``text.features``); 0 = the text alone."""
    settled: bool = False
    """Whether those numbers stay with what a linear model of them alone says: for lists of words, of which there are more than rows."""


@dataclass(frozen=True)
class Labels:
    """Any of C labels, each yes, no or unknown: a sigmoid and cross-entropy for each. Labels that exclude each other are a ``Choice``."""

    labels: tuple[str, ...]
    weight: float = 1.0
    features: int = 0
    settled: bool = False


@dataclass(frozen=True)
class Score:
    """One number: a probability (sigmoid and cross-entropy) or a value in a range (squared error)."""

    kind: Literal["binary", "regression"] = "binary"
    low: float = 0.0
    high: float = 1.0
    """The range of a regression: learnt on [0, 1], answered in its own unit."""
    weight: float = 1.0
    features: int = 0


@dataclass(frozen=True)
class Spans:
    """Stretches of a text, each of one of K kinds: softmax and cross-entropy over 2K + 1 tags of every token (``text.spans``)."""

    labels: tuple[str, ...]
    """The kinds, in the order of the tags."""
    weight: float = 1.0


@dataclass(frozen=True)
class Vector:
    """The pooled vector itself, drawn towards the direction of a given one: one minus their cosine."""

    weight: float = 1.0


@dataclass(frozen=True)
class Text:
    """Every token of a vocabulary at every place: masked (fill in) or causal (what comes next)."""

    kind: Literal["masked", "causal"] = "causal"
    weight: float = 1.0
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    """Of a masked head, behind its linear layer."""
    eps: float = 1e-5
    """Of a masked head's norm."""


HeadSpec = Choice | Labels | Score | Spans | Vector | Text
KINDS: Mapping[str, type[Choice] | type[Labels] | type[Score] | type[Spans] | type[Vector] | type[Text]] = {
    "choice": Choice,
    "labels": Labels,
    "score": Score,
    "spans": Spans,
    "vector": Vector,
    "text": Text,
}


def plain(spec: HeadSpec) -> dict[str, Any]:
    """A spec as plain values, for a bundle's ``config.json``."""
    head = next(name for name, kind in KINDS.items() if isinstance(spec, kind))
    values = asdict(spec)
    as_ever = {
        name for name in ("features", "settled") if not values.get(name, True)
    }  # a head of the text alone is written as it always was
    return {"head": head, **{name: value for name, value in values.items() if name not in as_ever}}


def from_plain(values: Mapping[str, Any], where: str) -> HeadSpec:
    """The spec that ``plain`` wrote.

    Raises:
        BundleError: unknown head or field.
    """
    rest = {key: value for key, value in values.items() if key != "head"}
    try:
        if "labels" in rest:
            rest["labels"] = tuple(rest["labels"])
        return KINDS[values["head"]](**rest)
    except (KeyError, TypeError) as error:
        raise BundleError(f"{where}: not a head this version knows ({error}); update ShopLM or retrain") from None
