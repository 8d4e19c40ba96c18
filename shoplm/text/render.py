"""Records into words: the pieces that a prompt is made of.

Every phrase about an item or an act that a model reads is written here, so that all tasks speak of
the same thing in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Segment:
    """A piece of text inside a prompt."""

    text: str
    keep: int = 1
    """When the prompt is too long, segments of smaller ``keep`` are cut first."""
    part: Literal[0, 1] = 0
    """Which side of a pair it belongs to."""


@dataclass(frozen=True)
class Prompt:
    """What the backbone reads about one moment: one text, or a pair (parts 0 and 1)."""

    segments: tuple[Segment, ...]
    features: Mapping[str, float | str] = field(default_factory=dict)
    """Numbers and categories that a head may take beside the text."""

    def text(self, part: int = 0) -> str:
        """The words of one part, its segments joined by a space, as a person would read them."""
        return " ".join(segment.text for segment in self.segments if segment.part == part)


PASSAGES: Mapping[str, tuple[str, ...]] = {
    "products": ("title", "description"),
    "reviews": ("title", "body"),
    "chats": ("content",),
    "articles": ("title", "body"),
    "ads": ("creative_text",),
    "events": ("search_term",),
}
"""The tables in which a shop's own language stands, and its columns: a title before what it is the title of."""


def passage(values: Sequence[Any]) -> str:
    """A row's texts as one, in the words in which tasks read them: a lone text, or a title and a body."""
    if len(values) == 1:
        return clean(values[0])
    return " ".join(segment.text for segment in titled(*values))


def clean(value: Any) -> str:
    """A value as text on one line: None is empty, runs of white space are one space, NULs are dropped."""
    return "" if value is None else " ".join(str(value).replace("\x00", " ").split())


def titled(title: Any, body: Any) -> tuple[Segment, ...]:
    """A title that is kept and a body that may be cut; either may be missing."""
    head, tail = clean(title), clean(body)
    if head and head[-1] not in ".!?。！？":
        head += "."
    return tuple(Segment(text, keep) for text, keep in ((head, 9), (tail, 1)) if text)
