"""A grammar that says one thing in many ways, drawn from a seeded generator.

A grammar is a text. ``name = this | that`` gives a rule its alternatives (an indented line goes on with the
rule above), ``[a|b|]`` chooses inside a phrase, and ``{name}`` stands for a fact or, failing that, for another
rule. A phrase depends on nothing but the rule, the facts and the generator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_MARKS = re.compile(r"([\[\]|{}])")


@dataclass(frozen=True)
class _Name:
    name: str


@dataclass(frozen=True)
class _Choice:
    options: tuple[tuple[str | _Name | _Choice, ...], ...]


_Phrase = tuple[str | _Name | _Choice, ...]


class Grammar:
    """Rules read once from text, then spoken as often as needed."""

    def __init__(self, *texts: str) -> None:
        """Reads the rules of all ``texts``.

        Raises:
            ValueError: a rule is named twice, or brackets do not match.
        """
        self._rules: dict[str, _Choice] = {}
        for name, body in _bodies("\n".join(texts)):
            if name in self._rules:
                raise ValueError(f"rule `{name}` is defined twice")
            self._rules[name] = _parse(name, body)

    def __contains__(self, name: str) -> bool:
        return name in self._rules

    def names(self) -> list[str]:
        """Every rule's name, in the order of the text."""
        return list(self._rules)

    def size(self, name: str) -> int:
        """How many alternatives the rule has at its top."""
        return len(self._rules[name].options)

    def options(self, name: str) -> list[str]:
        """The alternatives of a rule that are plain words; a phrase with choices or names in it is left out."""
        return [part for option in self._rules[name].options if len(option) == 1 and isinstance(part := option[0], str)]

    def say(self, name: str, rng: np.random.Generator, facts: Mapping[str, str] | None = None, scope: str = "") -> str:
        """One phrase of the rule.

        Args:
            name: the rule.
            rng: where every choice comes from.
            facts: words for ``{name}``; a fact hides a rule of the same name.
            scope: ``{name}`` is looked up as ``scope.name`` before it is looked up as ``name``.

        Raises:
            KeyError: a ``{name}`` is neither a fact nor a rule.
        """
        words: list[str] = []
        self._speak(self._found(name, scope), rng, facts or {}, scope, words)
        return " ".join("".join(words).split())

    def _found(self, name: str, scope: str) -> _Choice:
        scoped = self._rules.get(f"{scope}.{name}") if scope else None
        return scoped or self._rules[name]

    def _speak(self, choice: _Choice, rng: np.random.Generator, facts: Mapping[str, str], scope: str, words: list[str]) -> None:
        for part in pick(rng, choice.options):
            if isinstance(part, str):
                words.append(part)
            elif isinstance(part, _Choice):
                self._speak(part, rng, facts, scope, words)
            elif part.name in facts:
                words.append(facts[part.name])
            else:
                self._speak(self._found(part.name, scope), rng, facts, scope, words)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely; one draw of the generator whatever their number."""
    return options[int(rng.random() * len(options))]


def pick_weighted(rng: np.random.Generator, options: Mapping[T, float]) -> T:
    """One of the options, as likely as its weight; the weights need not sum to 1."""
    left = rng.random() * sum(options.values())
    for option, weight in options.items():
        left -= weight
        if left < 0:
            return option
    return option


def _bodies(text: str) -> list[tuple[str, str]]:
    rules: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if line[0] == " ":
            name, body = rules.pop()
            rules.append((name, f"{body} {line.strip()}"))
        else:
            name, _, body = line.partition("=")
            rules.append((name.strip(), body.strip()))
    return rules


def _parse(name: str, body: str) -> _Choice:
    marks = [mark for mark in _MARKS.split(body) if mark]
    choice, end = _parse_choice(name, marks, 0)
    if end != len(marks):
        raise ValueError(f"rule `{name}`: a bracket is closed that was never opened")
    return _Choice(tuple(_trimmed(option) for option in choice.options if option))


def _parse_choice(name: str, marks: list[str], at: int) -> tuple[_Choice, int]:
    options: list[_Phrase] = []
    phrase: list[str | _Name | _Choice] = []
    while at < len(marks) and marks[at] != "]":
        mark = marks[at]
        if mark == "|":
            options.append(tuple(phrase))
            phrase = []
        elif mark == "[":
            inner, at = _parse_choice(name, marks, at + 1)
            if at == len(marks):
                raise ValueError(f"rule `{name}`: a bracket is never closed")
            phrase.append(inner)
        elif mark == "{":
            phrase.append(_Name(marks[at + 1]))
            at += 2
        else:
            phrase.append(mark)
        at += 1
    options.append(tuple(phrase))
    return _Choice(tuple(options)), at


def _trimmed(phrase: _Phrase) -> _Phrase:
    """Without the spaces that only set the alternatives apart."""
    words = list(phrase)
    if isinstance(words[0], str):
        words[0] = words[0].lstrip()
    if isinstance(words[-1], str):
        words[-1] = words[-1].rstrip()
    return tuple(words)
