"""How people put words on a page: the grammars of a language, its sentences, its slips of the finger."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplm.world.grammar import Grammar, pick

Language = Literal["en", "zh"]

_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou](?!ne\b|se\b|ni))")
_QUESTION = re.compile(
    r"(^|: |, |\b(so|well|right|ok) )"
    r"(who|what|when|where|which|how|why|is|are|do|does|did|can|could|will|would|has|have|had|should|was|may)\b"
    "|[吗呢么嘛]$|什么|多少|多久|哪|怎么|几[天时号]|能不能|可不可以|是不是|有没有",
    re.IGNORECASE,
)
_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk", "k": "jl", "l": "k",
    "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc",
    "y": "tu", "z": "x",
}  # fmt: skip
_HOMOPHONES = dict(zip("在的做已帐账到是了它吗就", "再得作以账帐道事啦他嘛旧", strict=True))


@dataclass(frozen=True)
class Grammars:
    """Everything that can be said in one language."""

    catalogue: Grammar
    reviews: Grammar
    chats: Grammar
    words_of_reviews: Grammar
    """Other words for a word, in reviews."""
    words_of_chats: Grammar
    """Other words for a word, in chats."""


@dataclass(frozen=True)
class Hand:
    """How one person types."""

    slips: float
    """Share of words with a slip in them."""
    lower: bool
    """Never presses shift."""
    stops: bool
    """Ends sentences with a stop."""
    shouts: bool
    """Likes exclamation marks."""


@functools.cache
def grammars(language: Language) -> Grammars:
    """The grammars of a language, read on first use."""
    if language == "en":
        from shoplm.world.english import catalogue, chats, reviews, thesaurus

        texts = catalogue.CATALOGUE, reviews.REVIEWS, chats.CHATS, thesaurus.REVIEWS, thesaurus.CHATS
        return Grammars(*(Grammar(text) for text in texts))
    from shoplm.world.chinese import catalogue as zh_catalogue
    from shoplm.world.chinese import chats as zh_chats
    from shoplm.world.chinese import reviews as zh_reviews

    return Grammars(Grammar(zh_catalogue.CATALOGUE), Grammar(zh_reviews.REVIEWS), Grammar(zh_chats.CHATS), Grammar(""), Grammar(""))


def asks(clause: str) -> bool:
    """Whether the clause is a question, by its words."""
    return bool(_QUESTION.search(clause))


def draw_hand(rng: np.random.Generator) -> Hand:
    """One person's way of typing: most people are careful, some never are."""
    careless = rng.random()
    return Hand(
        slips=0.0 if careless < 0.35 else 0.02 if careless < 0.7 else 0.05 if careless < 0.92 else 0.11,
        lower=bool(rng.random() < 0.2),
        stops=bool(rng.random() < 0.85),
        shouts=bool(rng.random() < 0.15),
    )


def written(clauses: Sequence[str], stops: Sequence[str], hand: Hand, rng: np.random.Generator, language: Language) -> str:
    """Clauses as one text, each a sentence, in the hand of one person.

    ``stops`` says what each clause ends in; a hand may leave it out or shout instead.
    """
    sentences: list[str] = []
    for clause, stop in zip(clauses, stops, strict=True):
        if hand.shouts and rng.random() < 0.4:
            stop = ("!!" if rng.random() < 0.3 else "!") if language == "en" else "！"
        elif not hand.stops:
            stop = stop if "?" in stop or "？" in stop else "" if len(clauses) == 1 else "," if language == "en" else "，"
        goes_on = bool(sentences) and sentences[-1].endswith(",")
        sentences.append(clause + stop if goes_on else sentence(clause, stop, language))
    text = (" " if language == "en" else "").join(sentences).rstrip(",，")
    if hand.lower:
        text = text.lower()
    return slipped(text, hand.slips, rng, language)


def sentence(clause: str, stop: str, language: Language) -> str:
    """One clause with its capital letter, its article and its stop."""
    if language == "zh":
        return clause.replace(" ", "") + stop
    clause = _BEFORE_VOWEL.sub(r"\1n ", clause)
    clause = re.sub(r"([.!?] )([a-z])", lambda found: found[1] + found[2].upper(), clause)
    return clause[:1].upper() + clause[1:] + ("" if clause.endswith(("?", "!", ".")) else stop)


def reworded(text: str, words: Grammar, share: float, rng: np.random.Generator) -> str:
    """The text with about ``share`` of the words that ``words`` knows in other words."""
    return " ".join(words.say(word, rng) if word in words and rng.random() < share else word for word in text.split(" "))


def slipped(text: str, share: float, rng: np.random.Generator, language: Language) -> str:
    """The text with slips of the finger in about ``share`` of its words; ids, numbers and addresses are spared."""
    if share == 0:
        return text
    if language == "zh":
        return "".join(_HOMOPHONES.get(sign, sign) if sign in _HOMOPHONES and rng.random() < share else sign for sign in text)
    return " ".join(_slip(word, rng) if len(word) > 3 and word.isalpha() and rng.random() < share else word for word in text.split(" "))


def _slip(word: str, rng: np.random.Generator) -> str:
    at = 1 + int(rng.random() * (len(word) - 2))
    kind = int(rng.random() * 4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + pick(rng, _NEIGHBOURS.get(word[at].lower(), word[at])) + word[at + 1 :]
