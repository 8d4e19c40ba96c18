"""What is wrong in the simulated shop on purpose, so that a page on bad data has something true to say.

copied_review        one text posted under several products by several shoppers, most likely paid for
fake_review          five stars and praise for a poor product by somebody who never bought it, in words of its own
empty_review         stars without a word
rating_out_of_range  seven stars; an import sends these rows to quarantine
no_description       a product with a title and nothing else
zero_price           a product that costs nothing, by mistake
bot                  one visitor who looks at hundreds of products within minutes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplm.world.catalogue import DAY_US, SECOND_US, START_US, Product
from shoplm.world.grammar import Grammar, pick

Kind = Literal["copied_review", "fake_review", "empty_review", "rating_out_of_range", "no_description", "zero_price", "bot"]

BOT = "u-bot-1"
BOT_VIEWS = 400
EVERY_STRANGE_RATING, EVERY_EMPTY, EVERY_COPIED, EVERY_FAKE = 400, 400, 700, 60
"""Among so many reviews one is so; the first ones come early, so that the smallest shop has each kind."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and where."""

    kind: Kind
    table: str
    column: str
    """The key in which ``ids`` are."""
    ids: tuple[str, ...]
    """The rows; for ``copied_review`` all that share one text, for ``bot`` the one user_id of many rows."""


def spoil_products(goods: Sequence[Product], rng: np.random.Generator) -> tuple[list[Product], list[Fault]]:
    """Some products lose their description, others their price; about one in eighty each."""
    each = max(1, len(goods) // 80)
    chosen = [int(i) for i in rng.permutation(len(goods))[: 2 * each]]
    mute, free = sorted(chosen[:each]), sorted(chosen[each:])
    spoiled = list(goods)
    for i in mute:
        spoiled[i] = dataclasses.replace(spoiled[i], description="")
    for i in free:
        spoiled[i] = dataclasses.replace(spoiled[i], price_cents=0, sale_cents=None)
    return spoiled, [
        Fault("no_description", "products", "id", tuple(goods[i].id for i in mute)),
        Fault("zero_price", "products", "id", tuple(goods[i].id for i in free)),
    ]


def bot_views(products: int, week: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """When a machine looks at what: ``BOT_VIEWS`` products within about seven minutes of a night in the week."""
    gaps = np.where(np.arange(BOT_VIEWS) % 2 == 1, rng.integers(1, 3, BOT_VIEWS), 0)
    at_us = START_US + (week * 7 + 3) * DAY_US + (3 * 3600 + np.cumsum(gaps)) * SECOND_US
    return at_us, rng.integers(0, products, BOT_VIEWS)


def fake_words(kind: Kind, grammar: Grammar, rng: np.random.Generator) -> tuple[str | None, str]:
    """Title and body of bought praise: copied praise is worded once, the other kind each time."""
    if kind == "copied_review":
        return grammar.say("fake_title", rng), grammar.say("fake_body", rng)
    facts = {"noun": "one", "brand": "shop", "x": "quality"}
    clauses = [grammar.say("fake_opening" if "fake_opening" in grammar else "fake_body", rng, facts) for _ in range(pick(rng, (1, 1, 2)))]
    return (grammar.say("fake_title", rng) if rng.random() < 0.6 else None), " ".join(dict.fromkeys(clauses))
