"""Reviews whose stars follow from quality and fit, and whose words follow from the stars.

A star is the shopper's true judgement, except that about 6 % of all reviewers press another one. Words are drawn
clause by clause: a happy review may name a flaw and an angry one a merit, and it is the order and the turn
("lovely colour, but the seam split") that tell which is which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplm.world.catalogue import BUYING, CATEGORIES, Product
from shoplm.world.grammar import Grammar, pick, pick_weighted
from shoplm.world.shoppers import SECOND_US, Event, Shopper
from shoplm.world.speech import Grammars, Language, reworded, slipped, written

Mood = Literal["pos", "neg", "mid"]

SLIP_OF_STARS = 0.06
"""Share of reviews whose stars are not what the writer meant."""
ASIDES = 0.55
"""Share of longer reviews with a word about something else: the last one owned, what a friend thinks."""

_GLAD: Mapping[int, float] = {1: 0.13, 2: 0.33, 3: 0.5, 4: 0.69, 5: 0.88}
"""Share of clauses in praise, by the stars that were meant."""
_LENGTHS: Mapping[int, float] = {0: 0.1, 1: 0.22, 2: 0.28, 3: 0.18, 4: 0.09, 5: 0.05, 6: 0.04, 8: 0.025, 10: 0.015}
"""How many clauses about aspects; 0 is a review of a few words."""


@dataclass(frozen=True)
class Review:
    """One review as the shop has it."""

    review_id: str
    item_id: str
    user_id: str
    rating: int
    title: str | None
    body: str | None
    created_at_us: int
    verified_purchase: bool
    helpful_votes: int


@dataclass(frozen=True)
class _Subject:
    """What a review is about, and what its writer makes of it."""

    product: Product
    stars: int
    fits: bool
    facts: Mapping[str, str]


def reviews(
    count: int,
    people: Sequence[Shopper],
    goods: Sequence[Product],
    acts: Sequence[Event],
    rng: np.random.Generator,
    said: Grammars,
    language: Language,
) -> list[Review]:
    """At most ``count`` reviews in order of time, about four fifths of them of something that was bought, one per shopper and product."""
    writers = {person.user_id: person for person in people}
    items = {good.id: good for good in goods}
    bought = {(act.user_id, str(act.item_id)): act.event_time_us for act in acts if act.event_name == "purchase"}
    looked = {(act.user_id, str(act.item_id)): act.event_time_us for act in acts if act.event_name == "view_item"}
    chosen = _some(list(bought.items()), round(count * 0.82), rng)
    chosen += _some([pair for pair in looked.items() if pair[0] not in bought], count - len(chosen), rng)
    made = []
    for (user_id, item_id), when_us in chosen:
        person, good = writers[user_id], items[item_id]
        gap = abs(good.runs + 0.5 * person.body) if CATEGORIES[good.category].sizes else 0.0
        meant = stars_meant(person, good, gap, rng)
        subject = _Subject(good, meant, gap < 0.8, _facts(person, good, language))
        title, body = _title(subject, person, rng, said.reviews, language), _body(subject, person, rng, said, language)
        made.append(
            Review(
                review_id="",
                item_id=item_id,
                user_id=user_id,
                rating=meant if rng.random() >= SLIP_OF_STARS else pick(rng, [star for star in range(1, 6) if star != meant]),
                title=title,
                body=body,
                created_at_us=when_us + int(rng.integers(3 * 86_400, 30 * 86_400)) * SECOND_US,
                verified_purchase=(user_id, item_id) in bought,
                helpful_votes=int(rng.poisson(0.2 + len(body) / 160)),
            )
        )
    return sorted(made, key=lambda review: (review.created_at_us, review.user_id, review.item_id))


def stars_meant(person: Shopper, good: Product, gap: float, rng: np.random.Generator) -> int:
    """What the shopper makes of the product, in stars: quality and fit first, then price, mood and chance.

    ``gap`` is how far the product is from fitting, in sizes, at least 0.
    """
    liked = 3.85 + 1.15 * good.quality - 1.1 * max(0.0, gap - 0.5) - 0.25 * person.thrift * good.price_rank + 0.35 * person.mood
    return int(np.clip(round(liked + rng.normal(0, 0.8)), 1, 5))


def mood_of(stars: int) -> Mood:
    """One and two stars are negative, three in between, four and five positive."""
    return "neg" if stars < 3 else "mid" if stars == 3 else "pos"


def _some(pairs: list[tuple[tuple[str, str], int]], count: int, rng: np.random.Generator) -> list[tuple[tuple[str, str], int]]:
    return [pairs[i] for i in rng.permutation(len(pairs))[: max(count, 0)]]


def _facts(person: Shopper, good: Product, language: Language) -> dict[str, str]:
    sizes = CATEGORIES[good.category].sizes
    price = f"£{good.price_cents / 100:.2f}" if language == "en" else f"{good.price_cents // 100}块"
    return good.facts() | {"size": person.size(sizes) if sizes else "M", "price": price}


def _title(subject: _Subject, person: Shopper, rng: np.random.Generator, grammar: Grammar, language: Language) -> str | None:
    if rng.random() < 0.15:
        return None
    mood = mood_of(subject.stars)
    if rng.random() < 0.15:  # some write a title that the body takes back
        mood = pick(rng, ("pos", "neg", "mid"))
    kind = "any_title" if rng.random() < 0.45 else f"{mood}_title"
    facts = {**subject.facts, "x": _noun(subject, rng, grammar), "y": _noun(subject, rng, grammar)}
    title = grammar.say(kind, rng, facts)
    if language == "zh":
        return title.replace(" ", "")
    return slipped(title if person.hand.lower else title[:1].upper() + title[1:], person.hand.slips, rng, language)


def _body(subject: _Subject, person: Shopper, rng: np.random.Generator, said: Grammars, language: Language) -> str:
    grammar = said.reviews
    length, mood = pick_weighted(rng, _LENGTHS), mood_of(subject.stars)
    if length == 0:
        facts = {**subject.facts, "x": _noun(subject, rng, grammar), "y": _noun(subject, rng, grammar)}
        clauses = [grammar.say(f"short_{mood}", rng, facts)]
    else:
        parts = _clauses(length, subject, rng, grammar)
        clauses = _turns(parts, subject, rng, grammar)
        plain = any(its == mood for its, _ in parts)
        if rng.random() < (0.15 if plain else 0.6):  # who never says what is meant teaches nothing
            clauses.append(grammar.say(f"{mood}_whole", rng, subject.facts))
        if rng.random() < 0.07:
            clauses.insert(0, grammar.say({"neg": "sarcasm", "pos": "joke", "mid": "mid_whole"}[mood], rng, subject.facts))
        if rng.random() < ASIDES:
            facts = {**subject.facts, "x": _noun(subject, rng, grammar)}
            clauses.insert(int(rng.random() * (len(clauses) + 1)), grammar.say("aside", rng, facts))
        for _ in range(int(rng.random() * 2.2)):
            clauses.insert(int(rng.random() * (len(clauses) + 1)), grammar.say("context", rng, subject.facts))
    clauses = [reworded(clause, said.words_of_reviews, 0.6, rng) for clause in clauses]
    stops = [grammar.say("stop", rng) for _ in clauses]
    return written(clauses, stops, person.hand, rng, language)


def _clauses(count: int, subject: _Subject, rng: np.random.Generator, grammar: Grammar) -> list[tuple[Mood, str]]:
    """What is said about ``count`` aspects, and in which mood; an aspect comes again only when all have come."""
    good = subject.product
    every = dict.fromkeys(CATEGORIES[good.category].aspects, 1.0) | dict.fromkeys(BUYING, 0.3)
    every[good.strong] += 1.0
    every[good.weak] += 1.0
    left: dict[str, float] = {}
    said = []
    for _ in range(count):
        left = left or dict(every)
        aspect = pick_weighted(rng, left)
        del left[aspect]
        said.append(_clause(aspect, subject, rng, grammar))
    return said


def _clause(aspect: str, subject: _Subject, rng: np.random.Generator, grammar: Grammar) -> tuple[Mood, str]:
    good, stars = subject.product, subject.stars
    odds = _GLAD[stars] / (1 - _GLAD[stars]) * {good.strong: 2.5, good.weak: 0.4}.get(aspect, 1.0)
    if aspect == "fit":
        odds *= 2.0 if subject.fits else 0.3
    mood: Mood = "pos" if rng.random() < odds / (1 + odds) else "neg"
    if rng.random() < {3: 0.4, 4: 0.12, 2: 0.1}.get(stars, 0.02):
        mood = "mid"
    facts = {**subject.facts, "x": grammar.say(f"{aspect}.x", rng, subject.facts)}
    specific = mood != "mid" and rng.random() < 0.3
    clause = grammar.say(f"{aspect}.{mood}" if specific else f"{mood}_frame", rng, facts)
    return mood, f"{grammar.say('hedge', rng)} {clause}" if rng.random() < 0.08 else clause


def _turns(clauses: Sequence[tuple[Mood, str]], subject: _Subject, rng: np.random.Generator, grammar: Grammar) -> list[str]:
    """Clauses joined in pairs: praise and blame by a turn whose last word is the writer's own, the like-minded by an *and*."""
    left, joined = list(clauses), []
    while left:
        mood, clause = left.pop(0)
        other = next((i for i, (its, _) in enumerate(left) if {its, mood} == {"pos", "neg"}), None)
        if other is not None and rng.random() < 0.75:
            pair = dict((left.pop(other), (mood, clause)))
            ends_well = rng.random() < {1: 0.08, 2: 0.12, 3: 0.5, 4: 0.88, 5: 0.92}[subject.stars]
            facts = {"a": pair["neg"], "b": pair["pos"]} if ends_well else {"a": pair["pos"], "b": pair["neg"]}
            joined.append(grammar.say("relief" if ends_well else "contrast", rng, facts))
        elif left and left[0][0] == mood and rng.random() < 0.35:
            joined.append(grammar.say("both", rng, {"a": clause, "b": left.pop(0)[1]}))
        else:
            joined.append(clause)
    return joined


def _noun(subject: _Subject, rng: np.random.Generator, grammar: Grammar) -> str:
    return grammar.say(f"{pick(rng, CATEGORIES[subject.product.category].aspects)}.x", rng, subject.facts)
