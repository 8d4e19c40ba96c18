"""Which words moved an answer: each is left out in turn, and the score's fall is its effect.

Nothing is assumed of the model but that it scores texts. Words are runs of letters and digits;
where a script does not part words (Chinese, Japanese, Thai) every character stands for itself.
A long text is examined in spans first, and only the spans that matter most are looked into.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoplm.task import FloatArray

# Scripts written without spaces: Thai, Lao, Khmer, kana, Han.
_UNSPACED = "\\u0e00-\\u0eff\\u1780-\\u17ff\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff"
_LETTERS = rf"(?:(?![{_UNSPACED}])[^\W_])+"
_UNIT = re.compile(rf"[{_UNSPACED}]|{_LETTERS}(?:['’-]{_LETTERS})*")


@dataclass(frozen=True)
class Word:
    """A word, or a short run of words that was looked at as one."""

    start: int
    """Where it begins in the text, in characters."""
    stop: int
    text: str
    effect: float
    """The score with it minus the score without: above 0, it raised the score."""


def moved(score: Callable[[list[str]], FloatArray], text: str, calls: int = 64) -> tuple[Word, ...]:
    """The words of ``text`` with what each did to the score, in reading order.

    Args:
        score: n texts -> (n,) scores of the answer in question, such as its probability.
        text: any length and language.
        calls: how many shortened texts may be scored; a text of more words is cut into spans, the
            strongest of which are halved until the calls are used up.

    Returns:
        Words and spans that together cover all words of the text; empty for a text without any.

    Raises:
        ValueError: ``calls`` is below 1.
    """
    if calls < 1:
        raise ValueError(f"at least one call is needed, seen {calls}")
    units = [(match.start(), match.end()) for match in _UNIT.finditer(text)]
    if not units:
        return ()
    first = len(units) if len(units) <= calls else max(1, calls // 3)
    edges = np.linspace(0, len(units), first + 1).round().astype(int).tolist()
    spans = list(itertools.pairwise(edges))
    whole, *without = np.asarray(score([text, *(_without(text, units, span) for span in spans)]), float).tolist()
    effects = {span: whole - other for span, other in zip(spans, without, strict=True)}
    left = calls - first
    while left >= 2:
        longer = sorted((span for span in effects if span[1] - span[0] > 1 and effects[span]), key=lambda span: (-abs(effects[span]), span))
        if not longer:
            break
        rounds = max(stop - start - 1 for start, stop in longer).bit_length()  # until the longest is single words
        chosen = longer[: max(1, left // (2 * rounds))]
        halves = [half for start, stop in chosen for half in ((start, (start + stop) // 2), ((start + stop) // 2, stop))]
        found = np.asarray(score([_without(text, units, half) for half in halves]), float).tolist()
        for span in chosen:
            del effects[span]
        effects |= {half: whole - other for half, other in zip(halves, found, strict=True)}
        left -= len(halves)
    places = {span: (units[span[0]][0], units[span[1] - 1][1]) for span in sorted(effects)}
    return tuple(Word(start, stop, text[start:stop], effects[span]) for span, (start, stop) in places.items())


def _without(text: str, units: list[tuple[int, int]], span: tuple[int, int]) -> str:
    before, after = text[: units[span[0]][0]], text[units[span[1] - 1][1] :]
    return before.rstrip() + " " + after.lstrip() if before[-1:].isspace() or after[:1].isspace() else before + after
