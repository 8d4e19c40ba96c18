"""Shoppers as columns: tastes, purses, traits and ways of typing, one row per shopper.

S shoppers, C categories, D dimensions of style, T traits. A trait bends tastes and thrift; the shop has it in
``users.segments`` for a part of those who have it, and for the others only acts can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm.world.catalogue import CATEGORIES, DAY_US, SECOND_US, START_US
from shoplm.world.goods import STYLES, Flags, Floats, Goods, Ints
from shoplm.world.settings import WorldConfig
from shoplm.world.speech import Hand

TRAITS: Mapping[str, tuple[float, float, Mapping[str, float]]] = {
    "student": (0.16, 0.9, {"headphones": 1.6, "backpack": 1.5, "trainers": 0.7}),
    "parent": (0.22, 0.3, {"bedding": 1.5, "kettle": 1.0, "pan": 1.2, "backpack": 0.6}),
    "athlete": (0.18, -0.2, {"trainers": 1.8, "watch": 1.6, "jacket": 0.8}),
    "host": (0.15, -0.4, {"pan": 1.5, "lamp": 1.5, "kettle": 1.2}),
    "traveller": (0.14, -0.1, {"backpack": 1.7, "headphones": 1.1, "jacket": 1.2}),
    "dresser": (0.2, -0.5, {"dress": 1.8, "knit": 1.3, "cream": 1.4}),
}
"""Share of shoppers, what it adds to thrift, and how it lifts tastes (in log share)."""
TOLD = 0.35
"""Share of those with a trait whose trait stands in ``users.segments``."""
FAVOURED = 4
"""Brands that a shopper prefers."""

_SLIPS = (0.0, 0.02, 0.05, 0.11)


@dataclass(frozen=True)
class People:
    """Shoppers by column; S is their number."""

    taste: Floats
    """(S, C) truth: share of interest in each category; rows sum to 1"""
    later_taste: Floats
    """(S, C) truth: the same from the week of the shift on; equal to ``taste`` where there is no shift"""
    style: Floats
    """(S, D) truth"""
    favours: Flags
    """(S, B) truth: preferred brands"""
    thrift: Floats
    """(S,) truth: above 0 the cheap is preferred, below 0 the dear"""
    mood: Floats
    """(S,) truth: how kindly stars are given"""
    body: Floats
    """(S,) truth: how far from its usual size, in sizes, clothes had better run"""
    rate: Floats
    """(S,) truth: visits a week at rest"""
    traits: Flags
    """(S, T) truth"""
    told: Flags
    """(S, T) the traits that the shop knows of"""
    extras: Flags
    """(S, 2) newsletter, app: segments that mean nothing more"""
    created_at_us: Ints
    """(S,)"""
    country: Ints
    """(S,) place in the language's list of countries"""
    membership: Ints
    """(S,) 0 basic, 1 silver, 2 gold"""
    consent: Flags
    """(S, 3) analytics, ads, personalization"""
    hands: Ints
    """(S,) way of typing, in bits: two for slips, then lower case, stops, shouts"""

    def __len__(self) -> int:
        return len(self.thrift)

    def hand(self, shopper: int) -> Hand:
        """How this shopper types."""
        bits = int(self.hands[shopper])
        return Hand(_SLIPS[bits & 3], bool(bits & 4), bool(bits & 8), bool(bits & 16))


def people(config: WorldConfig, goods: Goods, rng: np.random.Generator) -> People:
    """All shoppers; most have two or three categories at heart."""
    count, weeks = config.shoppers, config.weeks
    share = np.array([trait[0] for trait in TRAITS.values()])
    traits = rng.random((count, len(TRAITS)), dtype=np.float32) < share
    lift = np.array([[lifts.get(name, 0.0) for name in CATEGORIES] for _, _, lifts in TRAITS.values()], dtype=np.float32)
    taste = _tastes(traits @ lift, rng)
    later = taste
    if config.shift_week is not None:
        moved = rng.random(count) < 0.7
        later = np.where(moved[:, None], _tastes(traits @ lift * -0.5, rng), taste)
    rate = np.clip(rng.lognormal(-0.125, 0.5, count), 0.2, 5) * config.visits / weeks
    favours = np.zeros((count, len(goods.brands)), dtype=np.bool_)
    drawn = rng.random(favours.shape, dtype=np.float32).argpartition(FAVOURED, axis=1)[:, :FAVOURED]
    np.put_along_axis(favours, drawn, True, axis=1)
    slips = np.searchsorted([0.35, 0.7, 0.92], rng.random(count), side="right")
    flags = [(rng.random(count) < odds).astype(np.int64) for odds in (0.2, 0.85, 0.15)]
    return People(
        taste=taste,
        later_taste=later,
        style=rng.normal(size=(count, STYLES)).astype(np.float32),
        favours=favours,
        thrift=_numbers(0.8 * rng.normal(size=count) + traits @ np.array([trait[1] for trait in TRAITS.values()])),
        mood=_numbers(rng.normal(size=count)),
        body=_numbers(rng.normal(size=count)),
        rate=_numbers(rate),
        traits=traits,
        told=traits & (rng.random(traits.shape, dtype=np.float32) < TOLD),
        extras=rng.random((count, 2)) < (0.5, 0.4),
        created_at_us=START_US - rng.integers(1, 900, count) * DAY_US + rng.integers(0, 86_400, count) * SECOND_US,
        country=rng.integers(0, 7, count),
        membership=np.searchsorted([1.1, 1.9], rate * weeks / config.visits),
        consent=rng.random((count, 3)) < (0.9, 0.6, 0.8),
        hands=slips + 4 * flags[0] + 8 * flags[1] + 16 * flags[2],
    )


def _tastes(lift: Floats, rng: np.random.Generator) -> Floats:
    raw = np.asarray(rng.gamma(0.3, size=lift.shape), dtype=np.float32) + 1e-4
    bent = raw * np.exp(lift, dtype=np.float32)
    shares: Floats = bent / bent.sum(axis=1, keepdims=True)
    return shares


def _numbers(values: np.ndarray[Any, Any]) -> Floats:
    return values.astype(np.float32)
