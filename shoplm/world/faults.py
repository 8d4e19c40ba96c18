"""What is wrong in the sample shop on purpose, so that a page on bad data has something true to say.

copied_review        one text posted under several products by several shoppers, most likely paid for
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

from shoplm.world.catalogue import DAY_US, START_US, Product
from shoplm.world.grammar import pick
from shoplm.world.reviews import Review
from shoplm.world.shoppers import SECOND_US, Event, Shopper
from shoplm.world.speech import Grammars

Kind = Literal["copied_review", "empty_review", "rating_out_of_range", "no_description", "zero_price", "bot"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and where."""

    kind: Kind
    table: str
    column: str
    """The key in which ``ids`` are."""
    ids: tuple[str, ...]
    """The rows; for ``copied_review`` all that share one text, for ``bot`` the one user_id of many rows."""


BOT = "u-bot-1"


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


def add_bot(acts: Sequence[Event], goods: Sequence[Product], rng: np.random.Generator) -> tuple[list[Event], list[Fault]]:
    """The events with those of a visitor who looks at 400 products in about seven minutes and buys none."""
    now = START_US + 97 * DAY_US + 3 * 3600 * SECOND_US
    session = f"{BOT}-s1"
    visit = []
    for number in range(400):
        now += int(rng.integers(1, 2, endpoint=True)) * SECOND_US if number % 2 else 0
        good = pick(rng, goods)
        visit.append(
            Event(now, number, "view_item", BOT, session, good.id, good.sale_cents or good.price_cents, device="desktop", country="US")
        )
    merged = sorted([*acts, *visit], key=lambda act: (act.event_time_us, act.user_id, act.event_seq))
    return merged, [Fault("bot", "events", "user_id", (BOT,))]


def spoil_reviews(
    written: Sequence[Review], goods: Sequence[Product], people: Sequence[Shopper], rng: np.random.Generator, said: Grammars
) -> tuple[list[Review], list[Fault]]:
    """The reviews with stars that do not exist, texts that are empty and praise that was posted many times; ids are given here."""
    each = max(1, len(written) // 400)
    chosen = [int(i) for i in rng.permutation(len(written))[: 2 * each]]
    wrong, empty = set(chosen[:each]), set(chosen[each:])
    rows: list[tuple[Review, str]] = []
    for i, review in enumerate(written):
        if i in wrong:
            rows.append((dataclasses.replace(review, rating=7), "rating_out_of_range"))
        elif i in empty:
            rows.append((dataclasses.replace(review, title=None, body=None, helpful_votes=0), "empty_review"))
        else:
            rows.append((review, ""))
    last_us = max((review.created_at_us for review in written), default=START_US)
    for batch in range(max(1, len(written) // 700) if goods and people else 0):
        title, body = said.reviews.say("fake_title", rng), said.reviews.say("fake_body", rng)
        day_us = START_US + int(rng.random() * max(1, last_us - START_US)) // DAY_US * DAY_US
        for i in rng.permutation(len(goods))[: 5 + int(rng.random() * 3)]:
            when_us = day_us + int(rng.integers(0, 6 * 3600)) * SECOND_US
            fake = Review("", goods[i].id, pick(rng, people).user_id, 5, title, body, when_us, False, 0)
            rows.append((fake, f"copied {batch}"))
    rows.sort(key=lambda row: (row[0].created_at_us, row[0].user_id, row[0].item_id))
    named = [(dataclasses.replace(review, review_id=f"r{number + 1:06d}"), tag) for number, (review, tag) in enumerate(rows)]
    kinds: list[tuple[Kind, str]] = [("rating_out_of_range", "rating_out_of_range"), ("empty_review", "empty_review")]
    kinds += [("copied_review", tag) for tag in sorted({tag for _, tag in named if tag.startswith("copied")})]
    marked = [(kind, tuple(review.review_id for review, its in named if its == tag)) for kind, tag in kinds]
    return [review for review, _ in named], [Fault(kind, "reviews", "review_id", ids) for kind, ids in marked if ids]
