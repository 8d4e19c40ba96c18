"""Reviews whose stars follow from quality and fit, and whose words follow from the stars.

A star is the shopper's true judgement, except that a few reviewers press another one. The words are planned first:
how many clauses praise, blame or shrug, which of them has the last word, and whether a verdict closes. The plan is kept
as truth, and reading it gives the mood back. Then each clause is worded: by what happened, by its aspect's own phrase, or
by a frame with an adjective; others' opinions and things stand around it and mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplm.world.catalogue import BUYING, CATEGORIES, Product
from shoplm.world.grammar import Grammar, pick, pick_weighted
from shoplm.world.speech import Grammars, Hand, Language, reworded, slipped, written

Mood = Literal["pos", "neg", "mid"]

SLIP_OF_STARS = 0.03
"""Share of reviews whose stars are not what the writer meant."""
ASIDES = 0.7
"""Share of longer reviews with a word about something else: the last one owned, what a friend thinks."""
FLIPS = 0.3
"""Share of clauses that say what they mean by denying the contrary: counted words then point the wrong way."""

_LENGTHS: Mapping[int, float] = {1: 0.3, 2: 0.3, 3: 0.18, 4: 0.1, 5: 0.06, 6: 0.03, 8: 0.02, 10: 0.01}
"""How many clauses about the thing itself, verdict and asides apart."""
_SHORT = 0.1
"""Share of reviews of a few words."""
_CONCEDES: Mapping[int, float] = {1: 0.1, 2: 0.35, 3: 0.5, 4: 0.4, 5: 0.1}
"""Share of clauses against the mood; never half or more of them unless the mood is in between."""
_KINDS: Mapping[str, float] = {"happening": 0.56, "aspect": 0.24, "frame": 0.2}
"""How a clause is worded."""


@dataclass(frozen=True)
class Subject:
    """What a review is about, who writes, and what they make of it."""

    product: Product
    stars: int
    """what is meant"""
    fits: bool
    size: str
    hand: Hand


@dataclass(frozen=True)
class Text:
    """A review's words, and the plan behind them."""

    title: str | None
    body: str
    plan: str
    """Truth: the moods of the clauses in order, ``+ - o``; ``>`` before the clause that has the last word, ``!`` before a verdict."""
    aspects: str = ""
    """Truth: what the clauses that name an aspect say of it, such as ``fit:negative|price:positive``, in order of their names."""


def mood_of(stars: float) -> Mood:
    """One and two stars are negative, three in between, four and five positive."""
    return "neg" if stars < 3 else "mid" if stars == 3 else "pos"


def read(plan: str) -> Mood:
    """The mood that a plan expresses, as an attentive reader would find it: the verdict, or else the last word, or else the balance."""
    signs: dict[str, Mood] = {"+": "pos", "-": "neg", "o": "mid"}
    if "!" in plan:
        return signs[plan[plan.index("!") + 1]]
    if ">" in plan:
        return signs[plan[plan.rindex(">") + 1]]
    praise, blame = plan.count("+"), plan.count("-")
    return "mid" if praise == blame else "pos" if praise > blame else "neg"


def write(subject: Subject, said: Grammars, rng: np.random.Generator, language: Language) -> Text:
    """One review in the words of its writer."""
    grammar, facts = said.reviews, _facts(subject, language)
    mood = mood_of(subject.stars)
    title = _title(subject, facts, grammar, rng, language)
    if rng.random() < _SHORT:
        clauses = [grammar.say(f"short_{mood}", rng, _nouns(subject, facts, grammar, rng))]
        plan, aspects = f"!{_SIGNS[mood]}", ""
    else:
        clauses, plan, aspects = _clauses(subject, facts, grammar, rng)
        if rng.random() < ASIDES:
            aside = _aside(subject, facts, grammar, rng)
            clauses.insert(int(rng.random() * (len(clauses) + 1)), aside)
        for _ in range(int(rng.random() * 2.2)):
            clauses.insert(int(rng.random() * (len(clauses) + 1)), grammar.say("context", rng, facts))
    clauses = [reworded(clause, said.words_of_reviews, 0.5, rng) for clause in clauses]
    stops = [grammar.say("stop", rng) for _ in clauses]
    return Text(title, written(clauses, stops, subject.hand, rng, language), plan, aspects)


_SIGNS: Mapping[Mood, str] = {"pos": "+", "neg": "-", "mid": "o"}
_WORDS: Mapping[Mood, str] = {"pos": "positive", "neg": "negative", "mid": "neutral"}


def _clauses(subject: Subject, facts: Mapping[str, str], grammar: Grammar, rng: np.random.Generator) -> tuple[list[str], str, str]:
    mood = mood_of(subject.stars)
    moods = _moods(pick_weighted(rng, _LENGTHS), subject.stars, rng)
    aspects = _aspects(subject.product, rng)
    worded = [(its, *_clause(its, aspects, subject, facts, grammar, rng)) for its in moods]
    said = [(its, clause) for its, clause, _ in worded]
    about = "|".join(sorted(f"{aspect}:{_WORDS[its]}" for its, _, aspect in worded if aspect))
    joined, plan = [], ""
    while said:
        its, clause = said.pop(0)
        other = next((i for i, (another, _) in enumerate(said) if {another, its} == {"pos", "neg"}), None)
        if other is not None and mood != "mid" and rng.random() < 0.8:
            pair = dict((said.pop(other), (its, clause)))
            first, last = (pair["neg"], pair["pos"]) if mood == "pos" else (pair["pos"], pair["neg"])
            joined.append(grammar.say("relief" if mood == "pos" else "contrast", rng, {"a": first, "b": last}))
            plan += "->+" if mood == "pos" else "+>-"
        elif other is not None and mood == "mid" and rng.random() < 0.6:
            joined.append(grammar.say("balance", rng, {"a": clause, "b": said.pop(other)[1]}))
            plan += "+-"
        elif said and said[0][0] == its and rng.random() < 0.3:
            joined.append(grammar.say("both", rng, {"a": clause, "b": said.pop(0)[1]}))
            plan += 2 * _SIGNS[its]
        else:
            joined.append(clause)
            plan += _SIGNS[its]
    unsettled = read(plan) != mood
    if unsettled or rng.random() < (0.55 if mood == "mid" else 0.2):
        kind = {"neg": "sarcasm", "pos": "joke", "mid": "mid_whole"}[mood] if not unsettled and rng.random() < 0.25 else f"{mood}_whole"
        joined.append(grammar.say(kind, rng, facts))
        plan += f"!{_SIGNS[mood]}"
    return joined, plan, about


def _moods(count: int, stars: int, rng: np.random.Generator) -> list[Mood]:
    """The mood of every clause: most as the stars say, for three stars as many of both or none."""
    if stars == 3:
        if count == 1:
            return ["mid"]
        pair: list[Mood] = ["pos", "neg"]
        shrug: list[Mood] = ["mid"]
        half = pair * (count // 2) + shrug * (count % 2)
        if rng.random() < 0.4:
            half = shrug * min(count, 2) + half[: max(count - 2, 0) // 2 * 2]
        return [half[i] for i in rng.permutation(len(half))]
    own: Mood = "pos" if stars > 3 else "neg"
    against: Mood = "neg" if stars > 3 else "pos"
    most = (count - 1) // 2 if count > 2 else count - 1
    other = min(int(rng.binomial(count, _CONCEDES[stars])), most)
    moods = [own] * (count - other) + [against] * other
    return [moods[i] for i in rng.permutation(count)]


def _aspects(good: Product, rng: np.random.Generator) -> list[str]:
    every = [*CATEGORIES[good.category].aspects, good.strong, good.weak, pick(rng, BUYING)]
    return [every[i] for i in rng.permutation(len(every))]


def _clause(
    mood: Mood, aspects: list[str], subject: Subject, facts: Mapping[str, str], grammar: Grammar, rng: np.random.Generator
) -> tuple[str, str]:
    """A clause, and the aspect that it names; empty where it only tells what happened."""
    good = subject.product
    wanted = {"pos": good.strong, "neg": good.weak}.get(mood)
    if mood == "neg" and not subject.fits and "fit" in aspects:
        wanted = "fit"
    aspect = wanted if wanted in aspects and rng.random() < 0.5 else aspects[0]
    if len(aspects) > 1:
        aspects.remove(aspect)
    words = {**facts, "x": grammar.say(f"{aspect}.x", rng, facts)}
    kind = pick_weighted(rng, _KINDS)
    said: Mood = mood
    flips = mood != "mid" and rng.random() < FLIPS
    if flips:
        said = "neg" if mood == "pos" else "pos"
    elif mood == "neg" and aspect == "fit" and not subject.fits and rng.random() < 0.5:
        kind = "aspect"
    if kind == "aspect" and mood != "mid":
        clause = grammar.say(f"{aspect}.{said}", rng, words)
    else:
        clause = grammar.say(f"{said}_frame" if kind == "frame" else f"{said}_happening", rng, words)
    if flips:
        clause = grammar.say("denied", rng, {**facts, "a": clause})
    hedged = f"{grammar.say('hedge', rng)} {clause}" if rng.random() < 0.08 else clause
    return hedged, "" if kind == "happening" or (kind == "aspect" and mood == "mid") else aspect


def _aside(subject: Subject, facts: Mapping[str, str], grammar: Grammar, rng: np.random.Generator) -> str:
    """A word about something else, in praise or blame that is not of this thing."""
    words = _nouns(subject, facts, grammar, rng)
    if rng.random() < 0.4:
        return grammar.say("aside", rng, words)
    about = grammar.say(pick(rng, ("pos_happening", "neg_happening")), rng, words)
    return grammar.say("elsewhere", rng, {**words, "a": about})


def _facts(subject: Subject, language: Language) -> dict[str, str]:
    cents = subject.product.price_cents
    price = f"£{cents / 100:.2f}" if language == "en" else f"{cents // 100}块"
    return subject.product.facts() | {"size": subject.size, "price": price}


def _title(subject: Subject, facts: Mapping[str, str], grammar: Grammar, rng: np.random.Generator, language: Language) -> str | None:
    if rng.random() < 0.2:
        return None
    mood = mood_of(subject.stars)
    kind = "any_title" if rng.random() < 0.75 else f"{mood}_title"
    title = grammar.say(kind, rng, _nouns(subject, facts, grammar, rng))
    if language == "zh":
        return title.replace(" ", "")
    return slipped(title if subject.hand.lower else title[:1].upper() + title[1:], subject.hand.slips, rng, language)


def _nouns(subject: Subject, facts: Mapping[str, str], grammar: Grammar, rng: np.random.Generator) -> dict[str, str]:
    """The facts, with two things that a phrase may speak of."""
    aspects = CATEGORIES[subject.product.category].aspects
    return {**facts, **{name: grammar.say(f"{pick(rng, aspects)}.x", rng, facts) for name in ("x", "y")}}
