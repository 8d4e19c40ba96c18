"""Records into words: the pieces that a prompt is made of.

Every phrase about an item or an act that a model reads is written here, so that all tasks speak of
the same thing in the same words.
"""

from __future__ import annotations

import contextlib
import json
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
    spans: bool = False
    """Whether a token task looks for spans in it."""


@dataclass(frozen=True)
class Prompt:
    """What the backbone reads about one moment: one text, or a pair (parts 0 and 1)."""

    segments: tuple[Segment, ...]
    features: Mapping[str, float | str | tuple[str, ...]] = field(default_factory=dict)
    """Numbers, categories and lists of words that a head may take beside the text."""

    def text(self, part: int = 0) -> str:
        """The words of one part, its segments joined by a space, as a person would read them."""
        return " ".join(segment.text for segment in self.segments if segment.part == part)

    def searched(self) -> str:
        """The text in whose characters spans are counted: the segments in which they are looked for, joined by a space."""
        return " ".join(segment.text for segment in self.segments if segment.spans and segment.text)

    def words(self) -> str:
        """The words of both parts."""
        return " ".join(filter(None, (self.text(0), self.text(1))))


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
    if head and head[-1] not in _ENDS:
        head += "."
    return tuple(Segment(text, keep) for text, keep in ((head, 9), (tail, 1)) if text)


_ENDS = ".!?。！？"
ACTS: Mapping[str, str] = {
    "search": "searched for", "select_item": "clicked", "view_item": "looked at", "add_to_wishlist": "wished for", "remove_from_cart": "put back",
    "add_to_cart": "put in the cart", "begin_checkout": "began to order", "purchase": "bought", "refund": "gave back",
}  # fmt: skip
"""What a shopper did, in words and in order of weight; an act that is not here goes by its own name."""


def product(title: Any, brand: Any = None, kind: Any = None, *more: Any) -> tuple[Segment, ...]:
    """A product in words, as the second side of a pair: title, brand, kind and what else is known; what is said already is left out."""
    found: list[Segment] = []
    for value, keep in ((title, 9), (brand, 8), (kind, 7), *((each, 6) for each in more)):
        text = clean(value)
        if text and not any(text.casefold() in segment.text.casefold() for segment in found):
            found.append(Segment(text if text[-1] in _ENDS else f"{text}.", keep, 1))
    return tuple(found)


def history(acts: Sequence[str], things: Sequence[Any], most: int = 6) -> tuple[Segment, ...]:
    """What a shopper did last, the newest first, so that the oldest is cut first; each thing once, by its weightiest act.

    Args:
        acts: names of events, oldest first.
        things: what each was about: a title, or the words searched for; nothing is told of one that is None.
        most: how many things are told.
    """
    weight = {name: place for place, name in enumerate(ACTS)}
    told: dict[str, str] = {}
    for act, thing in zip(reversed(acts), reversed(things), strict=True):
        words = clean(thing)
        if words in told:
            told[words] = max(told[words], act, key=lambda name: weight.get(name, -1))
        elif words and len(told) < most:
            told[words] = act
    return tuple(
        Segment(f"{ACTS.get(act, clean(act).replace('_', ' '))} {words}.", max(1, 5 - place // 2))
        for place, (words, act) in enumerate(told.items())
    )


PATH = " > "
"""Between the steps of an act that is a path from the general to the particular: ``grocery > dairy > milk``."""


def acts_of(value: Any) -> list[str]:
    """The acts that a plain row's history holds, oldest first: a list, a list as JSON, or acts parted by ``|``."""
    if value is None:
        return []
    if isinstance(value, str):
        found = None
        if value.lstrip().startswith("["):
            with contextlib.suppress(ValueError):
                found = json.loads(value)
        value = found if isinstance(found, list) else value.split("|")
    return [word for each in value if (word := clean(each))]


def habits(acts: Sequence[Any]) -> str:
    """What a shopper did, each thing once with how often, the newest first: ``milk ×5, bread.``

    Args:
        acts: oldest first; of one that is a path (``grocery > milk``) the last step is told. None and empty ones are left out.
    """
    told: dict[str, int] = {}
    for act in reversed(acts):
        words = clean(act).rpartition(PATH)[2]
        if words:
            told[words] = told.get(words, 0) + 1
    listed = ", ".join(f"{words} ×{count}" if count > 1 else words for words, count in told.items())
    return f"{listed}." if listed else ""
