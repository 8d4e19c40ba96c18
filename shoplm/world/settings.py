"""How large a simulated shop is, and which of all possible ones."""

from __future__ import annotations

from typing import Literal

import pydantic

from shoplm.config import Config
from shoplm.world.speech import Language

Variant = Literal["standard", "popularity", "shift"]


class WorldConfig(Config):
    """A world is a pure function of these settings."""

    shoppers: int = pydantic.Field(default=400, ge=1, le=20_000_000)
    """Memory grows with them (about 300 bytes each), never with the number of their acts."""
    products: int = pydantic.Field(default=2000, ge=12, le=100_000)
    """Spread over twelve categories; about three in ten are variants of another one."""
    weeks: int = pydantic.Field(default=104, ge=2, le=520)
    """How long the shop is watched, from 2024-07-01."""
    visits: float = pydantic.Field(default=24.0, gt=0, le=5000)
    """Expected visits of one shopper over all weeks."""
    reviews: float = pydantic.Field(default=7.5, ge=0)
    """Expected reviews by one shopper; no more than was bought and looked at."""
    questions: float = pydantic.Field(default=6.25, ge=0)
    """Expected questions that one shopper asks the help desk."""
    impressions: float = pydantic.Field(default=30.0, ge=0)
    """Expected ads that one shopper is shown over all weeks."""
    language: Language = "en"
    """Of everything that people read."""
    variant: Variant = "standard"
    """``popularity``: what was clicked is shown and clicked more, whatever its quality. ``shift``: tastes change at once, at 60 % of the weeks."""
    seed: int = pydantic.Field(default=0, ge=0)

    @property
    def shift_week(self) -> int | None:
        """The week in which tastes change; None where they do not."""
        return int(self.weeks * 0.6) if self.variant == "shift" else None
