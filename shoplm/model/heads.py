"""Heads: hidden states -> logits, and, because they share a shape, the loss.

A head is declared by a small frozen spec (``Choice``, ``Labels``, ``Score``, ``Spans``, ``Vector``, ``Text``) and built with ``build``.
Every loss is a ``Tally``: summed over the targets that are there, with their weight as the count.
A missing target (-1 or NaN) adds nothing, neither to the sum nor to the count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoplm.model.specs import MISSING, Choice, HeadSpec, Labels, Score, Spans, Text, Vector
from shoplm.tally import Tally

LINEAR_STEPS = 100
"""Of the search for where the numbers beside a text begin, at most."""


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


@dataclass(frozen=True)
class States:
    """What a backbone hands to its heads."""

    hidden: Tensor
    """(B, L, D)"""
    pooled: Tensor
    """(B, D)"""
    vocabulary: Tensor
    """(V, D) the input embeddings."""
    features: Tensor | None = None
    """(B, F) what stands beside the text."""


class Head(nn.Module, ABC):
    """The base of all heads."""

    pools: bool = True
    """Whether it reads only the pooled vector of a row."""
    begins_from_rows: bool = False
    """Whether ``begin`` reads the pooled vectors; else the targets alone, and it is given no vectors."""

    @abstractmethod
    def forward(self, states: States) -> Tensor:
        """The logits."""

    def begin(self, pooled: Tensor, target: Tensor) -> None:
        """Start from what the pre-trained backbone already says: (N, D) pooled vectors of N labelled rows, (0, D) unless ``begins_from_rows``."""

    def begin_beside(self, features: Tensor, target: Tensor) -> None:
        """Start what reads numbers beside the text from (N, F) numbers of N labelled rows, where there is such a part."""

    def inherit(self, other: Head) -> int:  # noqa: ARG002  (a head without labels or numbers takes nothing over)
        """Take over what another head, over the same pooled vectors, knows of the same labels; returns of how many."""
        return 0

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """Summed loss and the weight that was counted; ``weight`` is (B)."""


class Beside(nn.Module):
    """(B, D) and (B, F) -> (B, C): what numbers beside the text add to the logits, by themselves and together with the text.

    It is made to add nothing, so that a head begins with what the backbone knows; ``begin_beside`` then lets what numbers say alone
    begin from a linear model of them. ``settled`` numbers stay there, and never meet the text: where there are more of them than rows,
    steps without that model's penalty learn the train rows by heart.
    """

    HIDDEN = 64

    def __init__(self, features: int, width: int, outputs: int, *, settled: bool = False) -> None:
        super().__init__()
        self.settled = settled
        self.numbers = nn.Linear(features, self.HIDDEN)
        self.text = nn.Linear(width, self.HIDDEN, bias=False)
        self.both = nn.Linear(self.HIDDEN, outputs, bias=False)
        self.alone = nn.Linear(features, outputs, bias=False)
        nn.init.zeros_(self.both.weight)
        nn.init.zeros_(self.alone.weight)

    def forward(self, states: States) -> Tensor:
        """(B, C) to be added to the logits."""
        assert states.features is not None, "this head reads features, and the batch has none"
        if self.settled:
            with torch.no_grad():  # not requires_grad: what a run saves and resumes is what could learn
                return self._said(states.pooled, states.features)
        return self._said(states.pooled, states.features)

    def _said(self, pooled: Tensor, features: Tensor) -> Tensor:
        met = F.gelu(self.numbers(features) + self.text(_of_unit_entries(pooled)))
        added: Tensor = self.both(met) + self.alone(features)
        return added


class Deciding(Head):
    """What choices, labels and scores share: logits of the pooled vector, and numbers beside the text that may add to them."""

    beside: Beside | None

    @property
    @abstractmethod
    def intercept(self) -> Tensor:
        """(C) what is added to the logits of every row."""

    def with_numbers(self, logits: Tensor, states: States) -> Tensor:
        """(B, C) logits of the text, and what the numbers beside it add."""
        return logits if self.beside is None else logits + self.beside(states)

    def begin_beside(self, features: Tensor, target: Tensor) -> None:
        """Start the numbers beside the text, (N, F) of N rows, where a linear model of them alone would end.

        A ridge-penalised (multinomial) logistic or least-squares fit, the penalty of scikit-learn's default for rows of length one
        (C = 1), by L-BFGS. The recipe's few small steps would never get that far, and the text need only say what numbers cannot.
        """
        if self.beside is None or not len(features):
            return
        weight, bias = torch.zeros_like(self.beside.alone.weight), self.intercept.detach().clone()
        known, penalty = torch.ones(len(features)), float(features.square().sum(1).mean()) / 2

        def lost() -> Tensor:
            logits = F.linear(features, weight, bias)
            found = self.loss(logits.view_as(target) if target.is_floating_point() else logits, target, known)
            loss: Tensor = (found.total + penalty * weight.square().sum()) / max(found.count, 1.0)
            return loss

        with torch.enable_grad():
            search = torch.optim.LBFGS(
                [weight.requires_grad_(), bias.requires_grad_()], max_iter=LINEAR_STEPS, line_search_fn="strong_wolfe"
            )

            def step() -> Tensor:
                search.zero_grad()
                loss = lost()
                loss.backward()  # type: ignore[no-untyped-call]
                return loss

            search.step(step)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            if bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
                self.beside.alone.weight.copy_(weight)
                self.intercept.copy_(bias)


class ChoiceHead(Deciding):
    """(B, D) -> (B, C): how near a row's direction is to each label's, times a learnt sharpness.

    Directions instead of lengths: a row that is like none of the labels has small logits for all of
    them, which is what out-of-scope scores read. Source: cosine classifiers, Gidaris & Komodakis (2018).
    """

    SHARPNESS = 12.0
    begins_from_rows = True

    def __init__(self, spec: Choice, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(F.normalize(torch.randn(len(spec.labels), width)))
        self.bias = nn.Parameter(torch.zeros(len(spec.labels)))
        self.scale = nn.Parameter(torch.tensor(self.SHARPNESS))
        self.beside = Beside(spec.features, width, len(spec.labels), settled=spec.settled) if spec.features else None

    @property
    def intercept(self) -> Tensor:
        """(C)"""
        return self.bias

    def forward(self, states: States) -> Tensor:
        """Logits (B, C)."""
        row, label = F.normalize(states.pooled.float(), dim=-1), F.normalize(self.weight, dim=-1)
        logits: Tensor = self.scale * F.linear(row, label) + self.bias
        return self.with_numbers(logits, states)

    @torch.no_grad()
    def begin(self, pooled: Tensor, target: Tensor) -> None:
        """Every label starts as the mean direction of its rows; a label without rows keeps its random one."""
        row = F.normalize(pooled.float(), dim=-1)
        for label in torch.unique(target):
            if label != MISSING:
                self.weight[label] = F.normalize(row[target == label].mean(0), dim=0)

    @torch.no_grad()
    def inherit(self, other: Head) -> int:
        """Directions and biases of the labels that both have, and the sharpness."""
        if not isinstance(other, ChoiceHead):
            return 0
        ours, theirs = _shared(self.spec.labels, other.spec.labels)
        if ours:
            self.weight[ours], self.bias[ours] = other.weight[theirs], other.bias[theirs]
            self.scale.copy_(other.scale)
        return len(ours)

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """Cross-entropy of (B, C) logits against (B) labels; ∂ℓ/∂logit = softmax(logit) - onehot(target)."""
        there = target != MISSING
        kept = torch.where(there, weight, torch.zeros_like(weight))
        each = F.cross_entropy(logits.float(), target.clamp(min=0), reduction="none", label_smoothing=self.spec.smoothing)
        return Tally((each * kept).sum(), float(kept.sum()))


class LabelsHead(Deciding):
    """(B, D) -> (B, C): a linear function of a row's direction for each label."""

    def __init__(self, spec: Labels, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.out = nn.Linear(width, len(spec.labels))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.beside = Beside(spec.features, width, len(spec.labels), settled=spec.settled) if spec.features else None

    @property
    def intercept(self) -> Tensor:
        """(C)"""
        return self.out.bias

    def forward(self, states: States) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.out(_of_unit_entries(states.pooled))
        return self.with_numbers(logits, states)

    @torch.no_grad()
    def begin(self, pooled: Tensor, target: Tensor) -> None:  # noqa: ARG002  (shares need no rows)
        """Starts by saying of every row how often each label is a yes among the rows where it is known."""
        share = target.nanmean(0).clamp(0.01, 0.99)
        known = ~torch.isnan(share)
        self.out.bias[known] = torch.logit(share[known])

    @torch.no_grad()
    def inherit(self, other: Head) -> int:
        """Weights and biases of the labels that both have."""
        if not isinstance(other, LabelsHead):
            return 0
        ours, theirs = _shared(self.spec.labels, other.spec.labels)
        if ours:
            self.out.weight[ours], self.out.bias[ours] = other.out.weight[theirs], other.out.bias[theirs]
        return len(ours)

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """-(y log p + (1 - y) log(1 - p)) over all (B, C) known labels, NaN = unknown; ∂ℓ/∂logit = p - y."""
        there = ~torch.isnan(target)
        kept = there * weight[:, None]
        each = F.binary_cross_entropy_with_logits(logits.float(), torch.nan_to_num(target), reduction="none")
        return Tally((each * kept).sum(), float(kept.sum()))


class ScoreHead(Deciding):
    """(B, D) -> (B): a linear function of a row's direction."""

    def __init__(self, spec: Score, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.out = nn.Linear(width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.beside = Beside(spec.features, width, 1) if spec.features else None

    @property
    def intercept(self) -> Tensor:
        """(1)"""
        return self.out.bias

    def forward(self, states: States) -> Tensor:
        """(B): a logit, or a number on the range scaled to [0, 1] (not clamped)."""
        logit: Tensor = self.out(_of_unit_entries(states.pooled))
        return self.with_numbers(logit, states).squeeze(-1)

    @torch.no_grad()
    def begin(self, pooled: Tensor, target: Tensor) -> None:  # noqa: ARG002  (a mean needs no rows)
        """Starts by saying the mean of the targets about every row."""
        known = target[~torch.isnan(target)]
        if not len(known):
            return
        mean = known.mean()
        if self.spec.kind == "binary":
            mean = mean.clamp(0.01, 0.99)
            self.out.bias.fill_(torch.logit(mean))
        else:
            self.out.bias.fill_((mean - self.spec.low) / (self.spec.high - self.spec.low))

    def inherit(self, other: Head) -> int:
        """All of it, where both mean the same number."""
        if not isinstance(other, ScoreHead) or (self.spec.kind, self.spec.low, self.spec.high) != (
            other.spec.kind,
            other.spec.low,
            other.spec.high,
        ):
            return 0
        self.out.load_state_dict(other.out.state_dict())
        return 1

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """Binary: -(y log p + (1 - y) log(1 - p)), ∂ℓ/∂logit = p - y. Regression: squared error on the scaled range."""
        there = ~torch.isnan(target)
        kept = torch.where(there, weight, torch.zeros_like(weight))
        wanted = torch.nan_to_num(target)
        if self.spec.kind == "binary":
            each = F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        else:
            each = (logits.float() - (wanted - self.spec.low) / (self.spec.high - self.spec.low)) ** 2
        return Tally((each * kept).sum(), float(kept.sum()))


class SpansHead(Head):
    """(B, L, D) -> (B, L, 2K + 1): a linear function of every token's direction; tags as ``text.spans`` counts them."""

    pools = False

    def __init__(self, spec: Spans, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.out = nn.Linear(width, 2 * len(spec.labels) + 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, states: States) -> Tensor:
        """Logits (B, L, 2K + 1)."""
        logits: Tensor = self.out(_of_unit_entries(states.hidden))
        return logits

    @torch.no_grad()
    def begin_from_counts(self, counts: Tensor) -> None:
        """A fresh head starts by saying of every token how often each tag was seen: (2K + 1) counts, one added to each."""
        shares = (counts.double() + 1) / (counts.double() + 1).sum()
        self.out.bias.copy_(shares.log().to(self.out.bias.dtype))

    @torch.no_grad()
    def inherit(self, other: Head) -> int:
        """What is outside, and where each of the kinds that both have begins and goes on."""
        if not isinstance(other, SpansHead):
            return 0
        ours, theirs = _shared(self.spec.labels, other.spec.labels)
        if ours:
            to, taken = ([0, *(tag for kind in kinds for tag in (2 * kind + 1, 2 * kind + 2))] for kinds in (ours, theirs))
            self.out.weight[to], self.out.bias[to] = other.out.weight[taken], other.out.bias[taken]
        return len(ours)

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """Cross-entropy per token of (B, L, 2K + 1) logits against (B, L) tags, -1 = not asked; ∂ℓ/∂logit = softmax(logit) - onehot(tag)."""
        return _each_token(logits, target, weight)


class VectorHead(Head):
    """(B, D) -> (B, D): nothing but the pooled vector's direction; it has no weights of its own."""

    def forward(self, states: States) -> Tensor:
        """Directions (B, D) of length one."""
        return F.normalize(states.pooled.float(), dim=-1)

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """1 - cos between (B, D) directions and targets, one a row; a row with a NaN has no target. ∂ℓ/∂direction = - target's direction."""
        there = ~torch.isnan(target).any(-1)
        kept = torch.where(there, weight, torch.zeros_like(weight))
        each = 1 - (logits * F.normalize(torch.nan_to_num(target).float(), dim=-1)).sum(-1)
        return Tally((each * kept).sum(), float(kept.sum()))


class TextHead(Head):
    """(B, L, D) -> (B, L, V), sharing the input embeddings.

    The masked one is BERT's: a linear layer, an activation, a norm, the product with the embeddings, a bias a word.
    """

    pools = False

    def __init__(self, spec: Text, width: int, words: int) -> None:
        super().__init__()
        self.spec = spec
        self.turn = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=spec.eps)
        self.bias = nn.Parameter(torch.zeros(words))
        nn.init.eye_(self.turn.weight)  # starts as the backbone's own direction
        nn.init.zeros_(self.turn.bias)

    def forward(self, states: States) -> Tensor:
        """Logits (B, L, V); of a causal head, place l speaks about the token at l + 1."""
        turned = self.turn(states.hidden)
        if self.spec.kind == "masked":
            turned = self.norm(ACTIVATIONS[self.spec.activation](turned))
        logits: Tensor = F.linear(turned, states.vocabulary.to(turned.dtype), self.bias.to(turned.dtype))
        return logits

    @torch.no_grad()
    def begin_from_counts(self, counts: Tensor) -> None:
        """A fresh head starts by guessing every word as often as it was seen: (V) counts, one added to each."""
        shares = (counts.double() + 1) / (counts.double() + 1).sum()
        self.bias.copy_(shares.log().to(self.bias.dtype))

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
        """Cross-entropy per token; ``target`` (B, L) holds the token id at each place, -1 = not asked."""
        if self.spec.kind == "causal":
            logits, target = logits[:, :-1], target[:, 1:]
        return _each_token(logits, target, weight)


def _each_token(logits: Tensor, target: Tensor, weight: Tensor) -> Tally[Tensor]:
    """Cross-entropy of (B, L, C) logits against (B, L) classes, -1 = not asked; each token counts with its row's weight."""
    there = target != MISSING
    kept = torch.where(there, weight[:, None].expand(target.shape), torch.zeros(target.shape))
    each = F.cross_entropy(logits.flatten(0, 1).float(), target.clamp(min=0).flatten(), reduction="none")
    return Tally((each * kept.flatten()).sum(), float(kept.sum()))


def _shared(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Where the labels that both have stand in each."""
    both = [label for label in ours if label in set(theirs)]
    return [ours.index(label) for label in both], [theirs.index(label) for label in both]


def asked(spec: HeadSpec, states: States, target: Tensor, weight: Tensor) -> tuple[States, Tensor, Tensor]:
    """What a head must look at to learn ``target``: all of it; of masked text only the M places that are asked, a row each.

    At every place the product with 30,522 words costs as much as all six layers of the default backbone; at one in seven, a seventh of it.

    Returns:
        States with (M, 1, D) hidden, targets (M, 1) and weights (M) in place of (B, L, D), (B, L) and (B).
    """
    if not isinstance(spec, Text) or spec.kind != "masked":
        return states, target, weight
    rows, places = torch.nonzero(target != MISSING, as_tuple=True)
    return replace(states, hidden=states.hidden[rows, places][:, None]), target[rows, places][:, None], weight[rows]


def _of_unit_entries(vectors: Tensor) -> Tensor:
    """(…, D) directions, stretched so that an entry is about 1."""
    found: Tensor = F.normalize(vectors.float(), dim=-1) * vectors.shape[-1] ** 0.5
    return found


def build(spec: HeadSpec, width: int, words: int) -> Head:
    """The head of a spec for a backbone of ``width`` D and ``words`` V, initialised from torch's own seed."""
    match spec:
        case Choice():
            return ChoiceHead(spec, width)
        case Labels():
            return LabelsHead(spec, width)
        case Score():
            return ScoreHead(spec, width)
        case Spans():
            return SpansHead(spec, width)
        case Vector():
            return VectorHead()
        case Text():
            return TextHead(spec, width, words)


def answer(spec: HeadSpec, logits: Tensor) -> npt.NDArray[np.float32]:
    """Logits as a judge reads them: as they are, but a regression in its own unit."""
    found: npt.NDArray[np.float32] = logits.detach().float().cpu().numpy()
    if isinstance(spec, Score) and spec.kind == "regression":
        found = np.clip(found * (spec.high - spec.low) + spec.low, spec.low, spec.high).astype(np.float32)
    return found
