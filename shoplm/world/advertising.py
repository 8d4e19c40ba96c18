"""Five channels with a known answer: what a week of money shows, who sees it, and how many more people come.

The answer of a channel to its spend x (in multiples of its usual week) is ``effect * a**slope / (a**slope + half**slope)``
with a carry-over ``a = (1 - carry) * x + carry * a of the week before``. It is a share of the baseline: a week has
``baseline * season * (1 + sum of answers)`` visits. Visits that begin with a click on an ad are part of them, not on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplm.world.catalogue import CATEGORIES, DAY_US, SECOND_US, START_US, WEEK_US
from shoplm.world.goods import Floats, Goods, Ints
from shoplm.world.people import People
from shoplm.world.settings import WorldConfig
from shoplm.world.visits import season


@dataclass(frozen=True)
class Channel:
    """One channel, and the truth about it."""

    share: float
    """Of all impressions."""
    cost_micros: int
    """Of one impression."""
    click: float
    """Log-odds of a click, before everything else."""
    carry: float
    """Share of last week's effect that is left this week."""
    half: float
    """Carried spend at which half of ``effect`` is reached."""
    slope: float
    """Above 1 small sums do less than their share."""
    effect: float
    """Visits added at most, as a share of the baseline."""
    placements: tuple[str, ...]


CHANNELS: Mapping[str, Channel] = {
    "search": Channel(0.22, 24_000, -2.5, 0.1, 0.8, 1.0, 0.30, ("top", "top", "side", "bottom")),
    "social": Channel(0.3, 9_000, -3.3, 0.4, 1.2, 1.4, 0.24, ("feed", "feed", "story", "profile")),
    "email": Channel(0.12, 3_000, -2.8, 0.2, 0.6, 1.0, 0.12, ("header", "body", "body", "footer")),
    "display": Channel(0.26, 5_000, -4.0, 0.6, 1.5, 1.2, 0.10, ("banner", "sidebar", "sidebar", "footer")),
    "video": Channel(0.1, 31_000, -3.8, 0.75, 1.0, 2.0, 0.20, ("pre-roll", "pre-roll", "mid-roll", "end card")),
}
CREATIVES = 2
"""Ads of each channel and category; each kind is a campaign."""
CAMPAIGNS = ("evergreen", "season")
FATIGUE = 0.4
"""Log-odds of a click lost with every e-fold of the times an ad was seen."""


@dataclass(frozen=True)
class Ads:
    """Every ad there is: ``len(CHANNELS) * C * CREATIVES`` of them, in that order."""

    channel: Ints
    category: Ints
    campaign: Ints
    item: Ints
    """the product it shows"""
    pull: Floats
    """truth: log-odds that its picture adds"""


@dataclass(frozen=True)
class Impressions:
    """Ads of one week in order of time: M rows."""

    number: Ints
    """(M,) running number"""
    at_us: Ints
    shopper: Ints
    ad: Ints
    position: Ints
    frequency: Ints
    """(M,) times this shopper saw this ad before"""
    propensity: Floats
    """(M,) the chance that of all ads of the channel this one was shown"""
    p_click: Floats
    """(M,) truth"""
    clicked: np.ndarray[Any, np.dtype[np.bool_]]


def ads(goods: Goods, rng: np.random.Generator) -> Ads:
    """The ads, each for one of the better looking products of its category."""
    shape = (len(CHANNELS), len(CATEGORIES), CREATIVES)
    channel, category, campaign = (axis.ravel() for axis in np.indices(shape))
    item = np.zeros(len(channel), dtype=np.int64)
    for place, shelf in enumerate(goods.shelves):
        rows = category == place
        best = shelf[np.argsort(-goods.look[shelf])][: max(1, len(shelf) // 4)]
        item[rows] = rng.choice(best, int(rows.sum()))
    return Ads(channel, category, campaign, item, (0.35 * rng.normal(size=len(channel))).astype(np.float32))


def plan(config: WorldConfig, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(weeks, channels) impressions that are bought: bursts, pauses and slow drifts, so that the channels can be told apart."""
    usual = config.shoppers * config.impressions / config.weeks * np.array([channel.share for channel in CHANNELS.values()])
    shape = (config.weeks, len(CHANNELS))
    drift = np.zeros(shape)
    steps = rng.normal(0, 0.3, shape)
    for week in range(1, config.weeks):
        drift[week] = 0.85 * drift[week - 1] + steps[week]
    phase = rng.random(len(CHANNELS)) * 2 * np.pi
    waves = 1 + 0.5 * np.sin(2 * np.pi * np.arange(config.weeks)[:, None] / np.array([9, 13, 7, 17, 11]) + phase)
    paused = rng.random(shape) < 0.08
    level = np.exp(drift) * waves * ~paused
    wanted = usual * level / max(float(level.mean()), 1e-9)
    bought: np.ndarray[Any, np.dtype[np.float64]] = np.asarray(rng.poisson(wanted), dtype=np.float64)
    return bought


def answers(impressions: np.ndarray[Any, np.dtype[np.float64]], config: WorldConfig) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(weeks, channels) truth: visits that each channel adds, as a share of the baseline."""
    channels = list(CHANNELS.values())
    carry, half, slope, effect = (
        np.array([getattr(channel, name) for channel in channels]) for name in ("carry", "half", "slope", "effect")
    )
    usual = max(config.shoppers * config.impressions / config.weeks, 1e-9) * np.array([channel.share for channel in channels])
    found = np.zeros_like(impressions)
    carried = np.zeros(len(channels))
    for week, row in enumerate(impressions):
        carried = (1 - carry) * row / usual + carry * carried
        found[week] = effect * carried**slope / (carried**slope + half**slope)
    return found


def tide(config: WorldConfig) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(weeks,) truth: how busy the shop is by season, about 1 on average; Christmas most of all."""
    week = (np.arange(config.weeks) + 26) % 52.18
    bump: np.ndarray[Any, np.dtype[np.float64]] = (
        1 + 0.1 * np.cos(2 * np.pi * (week - 46) / 52.18) + 0.45 * np.exp(-(((week - 49.5) / 2.2) ** 2))
    )
    return bump / 1.04


class Crowd:
    """Who has seen which ad how often; it changes with every week that is shown."""

    def __init__(self, config: WorldConfig, goods: Goods, rng: np.random.Generator) -> None:
        self.ads = ads(goods, rng)
        self.shown = plan(config, rng)
        self.answers = answers(self.shown, config)
        self._seen = np.zeros((config.shoppers, len(self.ads.channel)), dtype=np.uint8)
        self._number = 0

    def week(self, week: int, people: People, taste: Floats, goods: Goods, last: Ints, rng: np.random.Generator) -> Impressions:
        """The ads of one week; ``last`` (S,) is the product that each shopper looked at last, or -1."""
        ads = self.ads
        counts = self.shown[week].astype(np.int64)
        channel = np.repeat(np.arange(len(CHANNELS)), counts)
        total = len(channel)
        shopper = rng.integers(0, len(people), total)
        begin = START_US + week * WEEK_US
        hour = np.clip(rng.normal(18, 4, total), 0, 23.9)
        at_us: Ints = begin + rng.integers(0, 7, total) * DAY_US + (hour * 3600).astype(np.int64) * SECOND_US
        order = np.argsort(at_us, kind="stable")
        channel, shopper, at_us = channel[order], shopper[order], at_us[order]
        size = len(CATEGORIES) * CREATIVES
        choices = channel[:, None] * size + np.arange(size)  # (M, ads of the channel)
        of = np.where(last[shopper] >= 0, goods.category[last[shopper]], -1)
        score = 0.5 * ads.pull[choices] + 1.6 * (ads.category[choices] == of[:, None])
        chance = np.exp(score)
        ends = np.cumsum(chance, axis=1)
        drawn = (ends < (rng.random(total) * ends[:, -1])[:, None]).sum(axis=1)
        ad = channel * size + np.minimum(drawn, size - 1)
        propensity = (
            np.take_along_axis(chance, (ad - channel * size)[:, None], axis=1)[:, 0] / np.maximum(ends[:, -1], 1e-9)
            if total
            else ends[:, 0]
        )
        position = rng.integers(0, 4, total)
        frequency = self._seen[shopper, ad].astype(np.int64) + _earlier(shopper * len(ads.channel) + ad)
        np.add.at(self._seen, (shopper, ad), np.where(self._seen[shopper, ad] < 200, 1, 0).astype(np.uint8))
        click = np.array([one.click for one in CHANNELS.values()])[channel] + ads.pull[ad] - FATIGUE * np.log1p(frequency) - 0.3 * position
        click += 0.6 * np.log(0.06 + 12 * taste[shopper, ads.category[ad]]) + 0.5 * season(at_us, ads.category[ad])
        p_click = (1 / (1 + np.exp(-click))).astype(np.float32)
        number = self._number + np.arange(total)
        self._number += total
        clicked = rng.random(total) < p_click
        return Impressions(number, at_us, shopper, ad, position, frequency, propensity.astype(np.float32), p_click, clicked)


def _earlier(keys: Ints) -> Ints:
    """(M,) how many equal keys stand before each."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    place = np.arange(len(keys))
    start = np.maximum.accumulate(np.where(np.concatenate([[True], ordered[1:] != ordered[:-1]]), place, 0)) if len(keys) else place
    earlier = np.empty_like(keys)
    earlier[order] = place - start
    return earlier
