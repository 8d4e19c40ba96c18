"""search: from words that a shopper types to a page of products, each with the reason why it is there.

Two judges name candidates: the words (``retrieve.lexical``) and, where there are vectors, the meaning. Their verdicts are added on one scale
each that does not depend on the other candidates: the words' score by the most that the query could get, and the cosine. What is
known of the shopper's taste moves what both let in, and lets nothing in itself. An id that was typed comes first.

The same query, products and acts give the same page, and pages never overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pydantic

from shoplm.config import Config
from shoplm.errors import DataError
from shoplm.retrieve.histories import Float32, Int64
from shoplm.retrieve.lexical import Asked, Lexical
from shoplm.retrieve.words import marked

Bools = npt.NDArray[np.bool_]


class SearchConfig(Config):
    """How candidates are found and weighed."""

    by_words: int = pydantic.Field(default=1_000, ge=1)
    """Candidates that the words name, at most; a page lies within these and those of the meaning."""
    by_meaning: int = pydantic.Field(default=200, ge=0)
    """Candidates that the meaning names, at most."""
    meaning: float = pydantic.Field(default=0.35, ge=0)
    """What a cosine of 1 counts beside all the query's words."""
    alike: float = pydantic.Field(default=0.45, ge=0, le=1)
    """Cosine from which a product without any of the words is let in."""
    personal: float = pydantic.Field(default=0.1, ge=0)
    """What the shopper's taste adds, at most."""


class Near(Protocol):
    """What knows how close products are to the query in meaning."""

    def nearest(self, k: int, open_: Bools) -> tuple[Int64, Float32]:
        """The rows of at most ``k`` open products, the closest first, and their cosines."""
        ...

    def cosines(self, rows: Int64) -> Float32:
        """Those of some rows."""
        ...


@dataclass(frozen=True)
class Taste:
    """What a shopper is known to like, of N products."""

    liking: Float32
    """(N) in [0, 1]."""
    why: Sequence[str]
    """(N) in words; empty where nothing is known."""


@dataclass(frozen=True)
class Products:
    """What a search answers with: N products in the order of their ids."""

    ids: Sequence[str]
    titles: Sequence[str]
    words: Lexical


@dataclass(frozen=True)
class Hit:
    """One product of a page."""

    row: int
    item_id: str
    title: str
    score: float
    because: tuple[str, ...]
    """The reasons in words, the weightiest first."""
    marks: tuple[tuple[int, int], ...]
    """(start, stop) in ``title`` of what was asked for."""
    source: str
    """What let it in: ``id``, ``words`` or ``meaning``."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"item_id": self.item_id, "title": self.title, "score": round(self.score, 4), "source": self.source, "because": list(self.because),
                "marks": [list(mark) for mark in self.marks]}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A part of what was found."""

    query: str
    corrected: str | None
    """The query with its spelling mended; None where nothing was."""
    hits: tuple[Hit, ...]
    total: int
    """Products that were found."""
    page: int
    pages: int
    notes: tuple[str, ...] = ()
    """What could not be taken into account, in words."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"query": self.query, "corrected": self.corrected, "total": self.total, "page": self.page, "pages": self.pages,
                "hits": [hit.plain() for hit in self.hits], "notes": list(self.notes)}  # fmt: skip


def find(
    products: Products,
    query: str,
    open_: Bools,
    *,
    near: Near | None = None,
    taste: Taste | None = None,
    k: int = 10,
    page: int = 1,
    config: SearchConfig | None = None,
) -> Page:
    """One page.

    Args:
        products: N.
        query: what was typed.
        open_: (N) which products may be answered.
        near: how close products are in meaning; None = by words alone.
        taste: of the shopper who asks; None = nobody in particular.
        k: hits of a page.
        page: from 1.
        config: settings.

    Raises:
        DataError: ``k`` or ``page`` is below 1.
    """
    if k < 1 or page < 1:
        raise DataError(f"search: expected -k and --page of at least 1, seen {k} and {page}")
    by = config or SearchConfig()
    words, asked = products.words, products.words.ask(query)
    notes = ["only the first words of the query were read"] if asked.cut else []
    if not asked.words:
        notes.append("no word to search for; type what you look for, such as a product's name")
        return Page(query, None, (), 0, page, 0, tuple(notes))
    named = [row for row in words.exact(query) if open_[row]]
    found = fused(words, asked, open_, near, by)
    total = found.total + (0 if taste is None else by.personal * taste.liking[found.rows])
    first = np.isin(found.rows, named)
    missing = np.setdiff1d(np.array(named, np.int64), found.rows)
    rows = np.concatenate([found.rows, missing])
    total, first = np.concatenate([total, np.zeros(len(missing))]), np.concatenate([first, np.ones(len(missing), bool)])
    order = np.lexsort((rows, -total, ~first))
    shown = order[(page - 1) * k : page * k]
    cosines = np.concatenate([found.cosine, np.zeros(len(missing), np.float32)])
    lexical = np.concatenate([found.by_words, np.zeros(len(missing), np.float32)])
    marking = words.terms(asked)
    hits = tuple(
        _hit(products, asked, int(rows[at]), float(total[at]), bool(first[at]), float(cosines[at]), float(lexical[at]), taste, by, marking)
        for at in shown
    )
    if not len(rows):
        notes.append("nothing was found; try fewer or other words" + (", or fewer filters" if not open_.all() else ""))
    return Page(query, asked.corrected, hits, len(rows), page, math.ceil(len(rows) / k), tuple(notes))


@dataclass(frozen=True)
class Candidates:
    """M products that words or meaning let in."""

    rows: Int64
    total: npt.NDArray[np.floating[Any]]
    by_words: Float32
    """In [0, 1], 0 where no word is had."""
    cosine: Float32


def fused(words: Lexical, asked: Asked, open_: Bools, near: Near | None, config: SearchConfig) -> Candidates:
    """The candidates of both judges, and their verdicts added."""
    scores = words.score(asked)
    kept = np.flatnonzero(open_[scores.rows])
    rows, said = scores.rows[kept], scores.score[kept] / max(words.most(asked), 1e-9)
    if len(rows) > config.by_words:
        best = np.sort(np.lexsort((rows, -said))[: config.by_words])
        rows, said = rows[best], said[best]
    if near is None or not config.by_meaning or not open_.any():
        return Candidates(rows, said, said.astype(np.float32), np.zeros(len(rows), np.float32))
    close, cosine = near.nearest(config.by_meaning, open_)
    close = close[cosine >= config.alike]
    every = np.union1d(rows, close)
    lexical = np.zeros(len(every), np.float32)
    lexical[np.searchsorted(every, rows)] = said
    cosines = near.cosines(every)
    return Candidates(every, lexical + config.meaning * cosines, lexical, cosines)


def _hit(
    products: Products, asked: Asked, row: int, score: float, first: bool, cosine: float, lexical: float, taste: Taste | None,
    config: SearchConfig, marking: frozenset[str],
) -> Hit:  # fmt: skip
    title, because = products.titles[row], []
    if first:
        because.append(f"its number is {products.ids[row]}" if not lexical else "its number was typed")
    had = products.words.had(asked, row)
    if had:
        because.append("has " + ", ".join(f"`{word.shown}`" + (f" for `{word.typed}`" if word.how == "corrected" else "") for word in had))
    if cosine >= config.alike:
        because.append(f"close in meaning ({cosine:.2f})")
    if taste is not None and taste.why[row]:
        because.append(taste.why[row])
    source = "id" if first else "words" if had else "meaning"
    return Hit(row, products.ids[row], title, score, tuple(because), tuple(marked(title, marking)), source)
