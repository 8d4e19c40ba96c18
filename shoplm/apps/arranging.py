"""From scored candidates to the places of one list: pins, caps, diversity and exploration, one place after another.

At each place the candidates that no cap forbids are open. The best of them is the one with the largest marginal relevance
(1 - diversity) * score - diversity * (likeness to what stands before it), scores as shares of the largest (Carbonell & Goldstein,
1998). With probability 1 - explore the best stands there; with probability explore one of the open ones, each as likely, the best
among them. A place's propensity is the probability of its item given what stands before it, exactly: explore / open, and
1 - explore more for the best. The product of the propensities of a list is the probability of the list.

All places are drawn from the first on, whatever page is asked for, so pages of one seed never overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pydantic

from shoplm.config import Config
from shoplm.retrieve.histories import Float32, Int32, Int64


class ListConfig(Config):
    """What a list is like."""

    k: int = pydantic.Field(default=10, ge=1)
    """Items on a page."""
    offset: int = pydantic.Field(default=0, ge=0)
    """Places that are passed over: page 3 of ten has 20."""
    diversity: float = pydantic.Field(default=0.0, ge=0, le=1)
    """0 = by score alone, 1 = after the first by unlikeness alone."""
    explore: float = pydantic.Field(default=0.0, ge=0, le=1)
    """The probability, at each place, that any candidate may stand there."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Of what is drawn; another shopper draws anew."""


@dataclass(frozen=True)
class Arranged:
    """A page of a list: n places."""

    items: Int32
    """(n) codes."""
    scores: Float32
    """(n)"""
    propensities: Float32
    """(n) in (0, 1]; that of a pin is 1."""
    how: tuple[str, ...]
    """(n) ``best``, ``explored`` or ``pinned``."""


@dataclass(frozen=True)
class Limits:
    """What may not stand where: caps and pins."""

    groups: Mapping[str, Int64] = field(default_factory=dict)
    """Of each capped column: (N) the group of each item, -1 = of none."""
    caps: Mapping[str, int] = field(default_factory=dict)
    """How many of one group may be on one page."""
    pins: Mapping[int, int] = field(default_factory=dict)
    """Place, from 0 -> item."""


Likeness = Callable[[Int32], Callable[[int], Float32]]
"""Of P candidates, a function from the place of one among them to (P) how alike each is to it, in [0, 1]."""


def arrange(
    items: Int32, scores: Float32, config: ListConfig, limits: Limits, draws: np.random.Generator, alike: Likeness | None = None
) -> Arranged:
    """The places of one page.

    Args:
        items: (P) codes of candidates, each once.
        scores: (P) above 0.
        config: what the list is like.
        limits: caps and pins.
        draws: of exploration; seeded by whoever asks.
        alike: how alike items are; needed where ``diversity`` is above 0.
    """
    stop = config.offset + config.k
    if not (config.explore or config.diversity or limits.caps or limits.pins):  # the order of the scores, a page of it
        page = np.lexsort((items, -scores))[config.offset : stop]
        return Arranged(items[page], scores[page], np.ones(len(page), np.float32), ("best",) * len(page))
    own = dict(zip(items.tolist(), scores.tolist(), strict=True))
    kept = ~np.isin(items, list(limits.pins.values()))
    order = np.lexsort((items[kept], -scores[kept]))
    items, scores = items[kept][order], scores[kept][order]
    open_ = np.ones(len(items), bool)
    near = alike(items) if alike is not None and config.diversity > 0 else None
    relevance = (1 - config.diversity) * scores / max(float(scores.max(initial=0)), 1e-12)
    closest = np.zeros(len(items), np.float32)
    said: list[tuple[int, float, float, str]] = []
    on_page: Counter[tuple[str, int]] = Counter()

    def stand(item: int, score: float, propensity: float, how: str) -> None:
        said.append((item, score, propensity, how))
        on_page.update((name, int(groups[item])) for name, groups in limits.groups.items())

    while len(said) < stop:
        if len(said) % config.k == 0:
            on_page.clear()
        if len(said) in limits.pins:
            item = limits.pins[len(said)]
            stand(item, own.get(item, 0.0), 1.0, "pinned")
            continue
        free = open_.copy()
        for name, groups in limits.groups.items():
            full = [group for (column, group), count in on_page.items() if column == name and group >= 0 and count >= limits.caps[name]]
            if full:
                free &= ~np.isin(groups[items], full)
        among = np.flatnonzero(free)
        if not len(among):
            later = [place for place in limits.pins if place > len(said)]
            if not later:
                break
            place = min(later)  # nothing is left to stand before it, so it moves up
            item = limits.pins[place]
            limits = Limits(limits.groups, limits.caps, {at: each for at, each in limits.pins.items() if at != place})
            stand(item, own.get(item, 0.0), 1.0, "pinned")
            continue
        best = int(among[np.argmax((relevance - config.diversity * closest)[among])]) if near else int(among[0])
        chosen = best
        if config.explore and draws.random() < config.explore:
            chosen = int(among[draws.integers(len(among))])
        chance = config.explore / len(among) + (1 - config.explore) * (chosen == best)
        stand(int(items[chosen]), float(scores[chosen]), chance, "best" if chosen == best else "explored")
        open_[chosen] = False
        if near:
            closest = np.maximum(closest, near(chosen))
    shown = said[config.offset : stop]
    columns = list(zip(*shown, strict=True)) if shown else [(), (), (), ()]
    return Arranged(np.array(columns[0], np.int32), np.array(columns[1], np.float32), np.array(columns[2], np.float32), tuple(columns[3]))
