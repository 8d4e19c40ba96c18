"""A policy that reads the truth: the best that any policy could do for the next click; for tests and for comparison only."""

from __future__ import annotations

import numpy as np

from shoplm.world.loop import World
from shoplm.world.policy import PLACES, Arrivals, Shown

_ROWS = 256
"""Visits that are looked at in one go: each against the whole catalogue."""


class OraclePolicy:
    """Shows everybody what appeals to them most.

    Args:
        world: whose truth is read; it must be the one that is stepped.
    """

    name = "oracle"

    def __init__(self, world: World) -> None:
        self._world = world

    def rank(self, arrivals: Arrivals) -> Shown:
        """The K products of the greatest appeal, best first."""
        minds, every = self._world.minds(), np.arange(len(arrivals.shelf.ids))
        lists = [np.zeros((0, min(PLACES, len(every))), dtype=np.int64)]
        for start in range(0, len(arrivals), _ROWS):
            rows = slice(start, start + _ROWS)
            shopper = arrivals.shopper[rows]
            items = np.broadcast_to(every, (len(shopper), len(every)))
            appeal = minds.appeal(shopper, items, arrivals.at_us[rows], arrivals.recent[rows, 0])
            lists.append(np.argsort(-appeal, axis=1, kind="stable")[:, :PLACES])
        items = np.concatenate(lists)
        return Shown(items, np.ones(items.shape, np.float32))
