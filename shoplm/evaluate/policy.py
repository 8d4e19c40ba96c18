"""What another policy would have earned, from a log in which the chance of everything shown is known; or a refusal in words.

A shown list counts as often as the judged policy would have shown it for once that the logging one did: the ratio of their chances.
A place's reward is taken to hang on its own item and those above it (a shopper reads from the top), so its weight is the product of the ratios
down to it. Sums of weighted rewards are divided by the sum of weights: a little biased, far less scattered.
What was never shown has no answer in a log. The effective sample size says how many lists the weights amount to.

Sources: Horvitz & Thompson, 1952; Swaminathan & Joachims, 2015 (self-normalised); McInerney et al., 2020 (the product down to a
place); Kish, 1965 (effective sample size).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplm.errors import DataError
from shoplm.evaluate.bootstrap import BLOCK, Estimate, interval, weights
from shoplm.evaluate.judge import plain

ENOUGH = 100.0
"""Effective lists below which a place is not spoken of."""


@dataclass(frozen=True)
class Log:
    """L lists of K places, M shoppers."""

    rewards: npt.NDArray[np.floating[Any]]
    """(L, K) what each place earned: clicks, money"""
    logged: npt.NDArray[np.floating[Any]]
    """(L, K) in (0, 1]: the chance with which the log's policy put this item there after those above it"""
    judged: npt.NDArray[np.floating[Any]]
    """(L, K) in [0, 1]: the chance with which the judged policy would have"""
    owner: npt.NDArray[np.integer[Any]]
    """(L) a number below M of the shopper; shoppers are drawn anew for the intervals"""


@dataclass(frozen=True)
class Worth:
    """What was found: rewards for a list, of its first K places."""

    judged: Estimate
    logged: Estimate
    """Of the policy that was there."""
    difference: Estimate
    """The one minus the other, paired."""
    effective: tuple[float, ...]
    """(K) lists that the weights of each place amount to."""
    lists: int

    def plain(self) -> dict[str, Any]:
        """As a report holds it."""
        named = {"judged": self.judged, "logged": self.logged, "difference": self.difference}
        return {**plain(named), "effective_lists": [round(each, 1) for each in self.effective], "lists": self.lists}


def worth(log: Log, places: int | None = None, enough: float = ENOUGH, seed: int = 0) -> Worth:
    """The judged policy's reward for a list.

    Args:
        log: what was shown and earned.
        places: judge the first so many; None = all K.
        enough: effective lists that every judged place must have.
        seed: of the bootstrap.

    Raises:
        DataError: a chance is out of its range, or the log cannot answer: the judged policy shows what the log hardly ever did.
    """
    count, width = log.rewards.shape
    kept = width if places is None else places
    if not 1 <= kept <= width:
        raise DataError(f"places={places}: expected 1 to {width}, the places that the lists have")
    if not count:
        raise DataError("the log holds no lists; log what is shown, with its propensity")
    logged, judged = (np.asarray(side, np.float64)[:, :kept] for side in (log.logged, log.judged))
    wrong = ~((logged > 0) & (logged <= 1) & (judged >= 0) & (judged <= 1))
    if wrong.any():
        row, place = (int(each[0]) for each in np.nonzero(wrong))
        raise DataError(
            f"list {row}, place {place}: chances {logged[row, place]} logged and {judged[row, place]} judged; "
            f"expected above 0 and at most 1, and 0 to 1"
        )
    ratio = np.cumprod(judged / logged, axis=1)
    effective = np.square(ratio.sum(0)) / np.maximum(np.square(ratio).sum(0), 1e-300)
    poor = np.flatnonzero(effective < enough)
    if len(poor):
        able = int(poor[0])
        advice = f"judge its first {able} alone (places={able})" if able else "log a policy that explores, or judge one closer to the log's"
        raise DataError(
            f"the log cannot answer: for place {able} its {count:,} lists amount to {effective[able]:.1f} of the judged policy's "
            f"(expected {enough:g} at least); {advice}"
        )
    rewards = np.asarray(log.rewards, np.float64)[:, :kept]
    shoppers = int(log.owner.max()) + 1
    sums = np.zeros((shoppers, 2 * kept + 2))
    np.add.at(sums, log.owner, np.concatenate([ratio * rewards, ratio, rewards.sum(1, keepdims=True), np.ones((count, 1))], 1))

    def read(totals: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        earned, weight = totals[..., :kept], totals[..., kept : 2 * kept]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (earned / weight).sum(-1), totals[..., -2] / totals[..., -1]

    drawn = sum(
        weights(seed, begin // BLOCK)[: min(BLOCK, shoppers - begin)].T.astype(np.float64) @ sums[begin : begin + BLOCK]
        for begin in range(0, shoppers, BLOCK)
    )
    theirs, own = read(np.asarray(drawn))
    value, there = read(sums.sum(0))
    return Worth(
        interval(float(value), theirs), interval(float(there), own), interval(float(value - there), theirs - own),
        tuple(effective.tolist()), count,
    )  # fmt: skip
