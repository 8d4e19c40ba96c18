"""Products by their words: BM25 over weighted fields, with slips of the pen forgiven, last words completed and ids found exactly.

The score is BM25F (Robertson, Zaragoza & Taylor, 2004): what a term counts in each field, by that field's length, is added up by
the fields' weights, and the sum is saturated once. It is worked out for every term and product when the index is made, so that
a query is a sum of a few rows. The more of a query's words a product has, the more its score stands (``together``).

A word of the query that no product has is completed (the last one), else taken for its nearest spellings, else cut in two words
or joined with the next; what was done is said. The same products and settings give the same bytes.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
from scipy import sparse

from shoplm.config import Config
from shoplm.errors import BundleError
from shoplm.retrieve import packed
from shoplm.retrieve.histories import Float32, Int32, Int64
from shoplm.retrieve.spelling import Spelling
from shoplm.retrieve.words import pieces, read, terms

KIND = "lexical index 1"
WORDS = 64
"""Words of a query that are read."""
SIGNS = 2_000
"""Signs of a query that are read."""
SPELLINGS, COMPLETIONS = 3, 20
"""Vocabulary words that may stand for one of the query."""


class Field(Config):
    """How one field counts."""

    weight: float = pydantic.Field(default=1.0, gt=0)
    """What a term in it counts beside one in a field of weight 1."""
    b: float = pydantic.Field(default=0.75, ge=0, le=1)
    """How far a long field is marked down: 0 = not at all, 1 = by its length."""


class LexicalConfig(Config):
    """How products are found by their words."""

    fields: Mapping[str, Field] = pydantic.Field(
        default={
            "title": Field(weight=3.0, b=0.75),
            "brand": Field(weight=2.0, b=0.0),
            "product_type": Field(weight=1.5, b=0.0),
            "description": Field(weight=1.0, b=0.75),
        }
    )
    """The fields, in the order in which texts are given."""
    k1: float = pydantic.Field(default=1.2, ge=0)
    """After how many times a term stops to say more."""
    together: float = pydantic.Field(default=1.0, ge=0)
    """Power of the share of the query's weight that a product has, by which its score is multiplied: 0 = plain BM25F."""
    spelling: float = pydantic.Field(default=0.7, ge=0, le=1)
    """What a word counts for every slip between it and what was typed."""
    completion: float = pydantic.Field(default=0.8, ge=0, le=1)
    """What a completion of the last word counts."""


@dataclass(frozen=True)
class Meant:
    """One word of a query, and what of the vocabulary stands for it."""

    typed: str
    places: tuple[int, ...]
    """Vocabulary places; none = no product has anything like it."""
    weights: tuple[float, ...]
    how: str
    """``found``, ``completed``, ``corrected``, ``divided``, ``joined`` or ``unknown``."""
    shown: str
    """What it is taken for, in words."""


@dataclass(frozen=True)
class Asked:
    """A query as the index reads it."""

    words: tuple[Meant, ...]
    cut: bool
    """Whether more was typed than is read."""

    @property
    def corrected(self) -> str | None:
        """The query with its spelling mended; None where nothing was."""
        if not any(word.how in ("corrected", "divided", "joined") for word in self.words):
            return None
        return " ".join(word.shown for word in self.words)


@dataclass(frozen=True)
class Scores:
    """What a query says of the products that have a word of it: M of them, in the order of their rows."""

    rows: Int64
    score: Float32
    share: Float32
    """In (0, 1], how much of the query each has, by the weight of its words."""


@dataclass(frozen=True)
class Lexical:
    """N products by V terms."""

    vocabulary: tuple[str, ...]
    """(V) sorted."""
    written: tuple[str, ...]
    """(V) how each is written in the texts, to be shown."""
    counts: Int32
    """(V) products that have each."""
    matrix: sparse.csr_array
    """(V, N) what a term says for a product."""
    spelling: Spelling
    names: tuple[str, ...]
    """Ids and numbers of products in letters and digits alone, sorted."""
    named: Int32
    """Of each name the product's row."""
    config: LexicalConfig

    @staticmethod
    def of(texts: Sequence[Sequence[str]], ids: Sequence[Sequence[str]], config: LexicalConfig) -> Lexical:
        """An index of N products.

        Args:
            texts: for each field of the settings the (N) texts, empty where a product has none.
            ids: for each kind of id (its own, its GTIN, …) the (N) ids.
            config: settings.

        Raises:
            ValueError: not as many lists of texts as fields.
        """
        if len(texts) != len(config.fields):
            raise ValueError(f"{len(texts)} lists of texts for {len(config.fields)} fields")
        n = len(texts[0]) if texts else 0
        memo: dict[str, tuple[str, ...]] = {}
        places: dict[str, int] = {}
        counted = []
        for column in texts:
            found = [read(text, memo) if text else [] for text in column]
            lengths = np.array([len(each) for each in found], np.int64)
            codes = np.fromiter((places.setdefault(term, len(places)) for term in chain.from_iterable(found)), np.int64, int(lengths.sum()))
            counted.append((codes, lengths))
        vocabulary = sorted(places)
        to_sorted = np.empty(len(places), np.int64)
        to_sorted[[places[term] for term in vocabulary]] = np.arange(len(vocabulary))
        shape = (len(vocabulary), n)
        total = sparse.csr_array(shape, dtype=np.float64)
        for (codes, lengths), field in zip(counted, config.fields.values(), strict=True):
            rows = np.repeat(np.arange(n), lengths)
            cells = sparse.csr_array((np.ones(len(codes)), (to_sorted[codes], rows)), shape=shape)
            mean = float(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0
            cells.data *= (field.weight / (1 - field.b + field.b * lengths / mean))[cells.indices]
            total = sparse.csr_array(total + cells)
        total.sort_indices()
        counts = np.diff(total.indptr)
        idf = weight_of(counts, n)
        total.data = np.repeat(idf, counts) * total.data * (config.k1 + 1) / (config.k1 + total.data)
        matrix = sparse.csr_array((total.data.astype(np.float32), total.indices, total.indptr), shape=shape)
        known = sorted({(compact(value), row) for column in ids for row, value in enumerate(column) if value and compact(value)})
        named = np.array([row for _, row in known], np.int32)
        spelling = Spelling.of(vocabulary)
        shortest: dict[str, str] = {}
        for piece, made in memo.items():
            if len(made) == 1 and piece.isalpha():
                shortest[made[0]] = min(shortest.get(made[0], piece.casefold()), piece.casefold(), key=lambda one: (len(one), one))
        written = tuple(shortest.get(term, term) for term in vocabulary)
        return Lexical(
            tuple(vocabulary), written, counts.astype(np.int32), matrix, spelling, tuple(name for name, _ in known), named, config
        )

    def ask(self, query: str) -> Asked:
        """Read a query: which terms of the vocabulary stand for each of its words."""
        text = query if len(query) <= SIGNS else query[:SIGNS].rpartition(" ")[0] or query[:SIGNS]
        typed = list(dict.fromkeys(piece for piece, *_ in pieces(text)))
        words: list[Meant] = []
        last = typed[-1] if typed and text.rstrip() == text else None  # a space behind it says that it is whole
        skipped = False
        for at, piece in enumerate(typed[:WORDS]):
            if skipped:
                skipped = False
                continue
            found = self._meant(piece, completing=piece is last)
            if found.how in ("unknown", "corrected") and at + 1 < len(typed) and (one := self._joined(piece, typed[at + 1])):
                words.append(one)
                skipped = True
            elif found.typed and (not found.places or all(found.places != other.places for other in words)):
                words.append(found)
        return Asked(tuple(words), len(query) > SIGNS or len(typed) > WORDS)

    def score(self, asked: Asked) -> Scores:
        """What a query says of every product that has a word of it."""
        rows, score, share = [], [], []
        whole = 0.0
        for word in asked.words:
            worth = self._worth(word)
            whole += worth
            if not word.places:
                continue
            own, said = self._postings(word)
            rows.append(own)
            score.append(said)
            share.append(np.full(len(own), worth, np.float32))
        if not rows:
            return Scores(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
        n = self.matrix.shape[1]
        every = np.concatenate(rows)
        total = np.bincount(every, np.concatenate(score), n)
        had = np.bincount(every, np.concatenate(share), n)
        found = np.flatnonzero(total > 0)
        part = np.minimum(had[found] / max(whole, 1e-9), 1.0)
        return Scores(found, (total[found] * part**self.config.together).astype(np.float32), part.astype(np.float32))

    def most(self, asked: Asked) -> float:
        """More than any product can score: every word there, over and over."""
        return sum(self._worth(word) for word in asked.words) * (self.config.k1 + 1)

    def had(self, asked: Asked, row: int) -> list[Meant]:
        """The words of a query that a product has."""
        return [word for word in asked.words if any(self._has(at, row) for at in word.places)]

    def exact(self, query: str) -> list[int]:
        """The rows of the products whose id, or other number, is the query, or is one of its words."""
        asked = dict.fromkeys(
            [compact(query[:SIGNS]), *(compact(word) for word in query[:SIGNS].split()[:WORDS] if any(map(str.isdigit, word)))]
        )
        found: dict[int, None] = {}
        for name in asked:
            at = bisect.bisect_left(self.names, name)
            while name and at < len(self.names) and self.names[at] == name:
                found[int(self.named[at])] = None
                at += 1
        return list(found)

    def terms(self, asked: Asked) -> frozenset[str]:
        """The vocabulary's terms that a query asks for: what is to be marked in a text."""
        return frozenset(self.vocabulary[at] for word in asked.words for at in word.places)

    def save(self, path: Path, facts: Mapping[str, str] | None = None) -> None:
        """Write one file, whole or not at all.

        Raises:
            ResourceError: the disk is full or the place cannot be written.
        """
        kept = {"settings": self.config.plain(), "products": int(self.matrix.shape[1]), "facts": dict(facts or {})}
        arrays = {
            "counts": self.counts, "data": self.matrix.data.astype(np.float32), "indices": self.matrix.indices.astype(np.int32), "indptr": self.matrix.indptr.astype(np.int64),
            "hashes": self.spelling.hashes, "owners": self.spelling.owners, "named": self.named, **_lines("vocabulary", self.vocabulary), **_lines("written", self.written), **_lines("names", self.names),
        }  # fmt: skip
        packed.write(path, KIND, kept, arrays)

    @staticmethod
    def load(path: Path) -> tuple[Lexical, dict[str, str]]:
        """What was saved, and the facts that were saved with it.

        Raises:
            BundleError: the file is missing, cut short, altered or something else.
        """
        facts, arrays = packed.read(path, KIND)
        try:
            vocabulary, names = _strings("vocabulary", arrays), _strings("names", arrays)
            shape = (len(vocabulary), int(facts["products"]))
            matrix = sparse.csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            config = LexicalConfig.of(facts["settings"])
            spelling = Spelling(arrays["hashes"], arrays["owners"])
            written = _strings("written", arrays)
            return Lexical(vocabulary, written, arrays["counts"], matrix, spelling, names, arrays["named"], config), dict(facts["facts"])
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(f"{path}: cannot be used ({type(error).__name__}); remove it and it is made again") from None

    def _place(self, term: str) -> int | None:
        at = bisect.bisect_left(self.vocabulary, term)
        return at if at < len(self.vocabulary) and self.vocabulary[at] == term else None

    def _meant(self, piece: str, *, completing: bool) -> Meant:
        said = terms(piece)
        if not said:
            return Meant("", (), (), "unknown", "")
        there = [at for term in said if (at := self._place(term)) is not None]
        if there:
            return Meant(piece, tuple(there), (1.0,) * len(there), "found", piece)
        word = said[0]
        if completing and (found := self._completed(word)):
            return Meant(piece, tuple(found), (self.config.completion,) * len(found), "completed", self.written[found[0]])
        near = self.spelling.near(word, self.vocabulary, slips(word))
        # of equally near words the one that more products have, and that begins alike: people seldom miss the first sign
        near.sort(key=lambda pair: (pair[0], self.vocabulary[pair[1]][:1] != word[:1], -int(self.counts[pair[1]]), pair[1]))
        if near and near[0][0] == 1:
            return self._spelt(piece, near)
        if parts := self._divided(word):
            return Meant(piece, parts, (1.0, 1.0), "divided", " ".join(self.written[at] for at in parts))
        return self._spelt(piece, near) if near else Meant(piece, (), (), "unknown", piece)

    def _spelt(self, piece: str, near: Sequence[tuple[int, int]]) -> Meant:
        best = [pair for pair in near if pair[0] == near[0][0]][:SPELLINGS]
        weight = self.config.spelling ** near[0][0]
        weights = [weight if not place else weight / 2 for place in range(len(best))]
        return Meant(piece, tuple(at for _, at in best), tuple(weights), "corrected", self.written[best[0][1]])

    def _completed(self, word: str) -> list[int]:
        """The most frequent words that begin with one; of a single sign too much begins."""
        if len(word) < 2:
            return []
        low = bisect.bisect_left(self.vocabulary, word)
        high = bisect.bisect_left(self.vocabulary, word + "\U0010ffff")
        return sorted(range(low, high), key=lambda at: (-int(self.counts[at]), at))[:COMPLETIONS]

    def _divided(self, word: str) -> tuple[int, int] | None:
        """Two words of three signs or more that make up one, and that products have beside each other: ``airfilter``."""
        best: tuple[int, tuple[int, int]] | None = None
        for cut in range(3, len(word) - 2):
            head, tail = self._place(word[:cut]), self._place(word[cut:])
            if head is not None and tail is not None and (both := len(np.intersect1d(self._having(head), self._having(tail)))):
                best = max(best or (0, (head, tail)), (both, (head, tail)))
        return best[1] if best else None

    def _worth(self, word: Meant) -> float:
        """What a word of a query weighs: its terms together, or the rarest that stands for it; what nobody has weighs most."""
        worth = weight_of(self.counts[list(word.places)] if word.places else [0], self.matrix.shape[1])
        return float(worth.sum() if word.how in ("found", "divided") else worth.max())

    def _has(self, at: int, row: int) -> bool:
        having = self._having(at)
        place = int(np.searchsorted(having, row))
        return place < len(having) and int(having[place]) == row

    def _having(self, at: int) -> npt.NDArray[np.integer[Any]]:
        """The rows of the products that have a term."""
        found: npt.NDArray[np.integer[Any]] = self.matrix.indices[self.matrix.indptr[at] : self.matrix.indptr[at + 1]]
        return found

    def _joined(self, piece: str, after: str) -> Meant | None:
        """One word of the vocabulary that two of the query make up: ``lawn mower``."""
        one, two = terms(piece), terms(after)
        at = self._place(one[0] + two[0]) if one and two else None
        return None if at is None else Meant(f"{piece} {after}", (at,), (1.0,), "joined", self.written[at])

    def _postings(self, word: Meant) -> tuple[Int64, Float32]:
        """The rows that have a word, and what it says for each: terms of one piece add up, words that stand for it do not."""
        rows, said = [], []
        for at, weight in zip(word.places, word.weights, strict=True):
            part = slice(self.matrix.indptr[at], self.matrix.indptr[at + 1])
            rows.append(self._having(at).astype(np.int64))
            said.append(self.matrix.data[part] * np.float32(weight))
        if len(rows) == 1:
            return rows[0], said[0]
        own, place = np.unique(np.concatenate(rows), return_inverse=True)
        total = np.zeros(len(own), np.float32)
        if word.how in ("found", "divided"):
            np.add.at(total, place, np.concatenate(said))
        else:
            np.maximum.at(total, place, np.concatenate(said))
        return own, total


def weight_of(count: npt.ArrayLike, products: int) -> npt.NDArray[np.float64]:
    """What a term that ``count`` of ``products`` have says, above 0: ln(1 + (N - n + 0.5) / (n + 0.5))."""
    n = np.asarray(count, np.float64)
    return np.log1p((products - n + 0.5) / (n + 0.5))


def slips(word: str) -> int:
    """How many slips a word is forgiven: none in up to three signs, one in up to six, else two."""
    return 0 if len(word) <= 3 else 1 if len(word) <= 6 else 2


def compact(value: str) -> str:
    """An id as it is looked up: letters and digits alone, in lower case."""
    return "".join(filter(str.isalnum, value.casefold()))


def _lines(name: str, words: Sequence[str]) -> dict[str, npt.NDArray[np.uint8]]:
    return {name: np.frombuffer("\n".join(words).encode("utf-8", "surrogatepass"), np.uint8)}


def _strings(name: str, arrays: packed.Arrays) -> tuple[str, ...]:
    text = arrays[name].tobytes().decode("utf-8", "surrogatepass")
    return tuple(text.split("\n")) if text else ()
