"""Why an item is in a list, in a sentence that facts bear out: an act of the shopper, what two items share, a count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from shoplm.pipeline.baskets import Counted
from shoplm.pipeline.shelf import Shelf
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.neighbours import WORDS, Neighbours

if TYPE_CHECKING:
    from shoplm.pipeline.listing import Question

ACTED: Mapping[str | None, str] = {
    "purchase": "you bought", "begin_checkout": "you were about to buy", "add_to_cart": "you put into the cart",
    "add_to_wishlist": "you wish for", "view_item": "you looked at", "select_item": "you looked at",
}  # fmt: skip
"""What a shopper did, in words."""
_WHICH = {
    "next": "it often comes after", "together": "goes with it", "similar": "is like it", "sequence": "leads to it",
    "alike": "goes with it by its words", "tastes": "is to the same taste",
}  # fmt: skip
_SAID = {
    "next": "often comes after", "together": "goes with", "similar": "is like", "sequence": "follows, in the order of acts, from",
    "alike": "goes by its words with", "tastes": "is to the taste of whoever acted on",
}  # fmt: skip
_SHARED: Mapping[str, Mapping[str, str]] = {
    "similar": {"brand": "same brand as"},
    "tastes": {"brand": "same brand as", "product_type": "same kind of thing as"},
}
"""What two items may share in a source's eyes, in words, the strongest first."""
MATCHES = 3
"""Words that a new item is said to share."""


class Reasons:
    """Of the items of one list."""

    def __init__(
        self,
        stock: Shelf,
        history: Histories,
        names: Sequence[str | None],
        question: Question,
        counted: Counted | None,
        items: Sequence[int],
    ) -> None:
        self._stock, self._history, self._names, self._question, self._counted = stock, history, names, question, counted
        said = [] if counted is not None else stock.naming_all().because(history, items)
        self._said = dict(zip(items, said, strict=False))

    def of(self, item: int, how: str) -> tuple[str, str, Mapping[str, float]]:
        """The source, the sentence, and what part of what is said for the item each source has."""
        if how == "pinned":
            return "pinned", "put here by the shop", {}
        if self._counted is not None:
            kind = "trending" if self._question.trending else "bought_together"
            return kind, self._counted.said(self._stock.found.ids[item]), {kind: 1.0}
        if item not in self._said:
            return "nothing", "nothing is known of it", {}
        reason = self._said[item]
        act = self.act(item)
        sentence = self._sentence(item, reason.source, act)
        return reason.source, f"tried out; {sentence}" if how == "explored" else sentence, reason.shares

    def act(self, item: int) -> int | None:
        """The place in the history of the act that the item's reason names: the one that says most, if its source speaks of acts."""
        source = self._stock.found.sources[self._said[item].source]
        if not isinstance(source, Neighbours) or not len(self._history.items):
            return self._said[item].act
        adds = source.because(self._history, item)
        return int(adds.argmax()) if adds.max() > 0 else None

    def _sentence(self, item: int, source: str, act: int | None) -> str:
        if act is None:
            return "wanted by many lately" if source == "popular" else "fits the last acts"
        stock, other = self._stock, int(self._history.items[act])
        about = stock.title(other) or stock.found.ids[other]
        if item in stock.new or other in stock.new:
            shared = self._shared(item, other)
            new = "new, " if item in stock.new else ""
            return f"{new}matches '{shared}' of {about}" if shared else f"{new}is like {about}"
        did = ACTED.get(self._names[act])
        for column, same in _SHARED.get(source, {}).items():
            values = stock.products[column]
            if values[item].as_py() is not None and values[item].as_py() == values[other].as_py():
                return f"{same} {about}" + (f", which {did}" if did else "")
        if did:
            return f"because {did} {about}, which {_WHICH.get(source, source)}"
        return f"{_SAID.get(source, source)} {about}"

    def _shared(self, item: int, other: int) -> str:
        """The rarest words that two items share, in the order of the first."""
        words = [list(dict.fromkeys(re.findall(WORDS, self._stock.texts.get(one, "").lower()))) for one in (item, other)]
        both = [word for word in words[0] if word in words[1] and len(word) > 1]
        if not both:
            return ""
        texts = [text.lower() for text in self._stock.texts.values()]
        common = np.array([sum(word in text for text in texts) for word in both])
        kept = np.sort(np.argsort(common, kind="stable")[:MATCHES])
        return " ".join(both[at] for at in kept)
