"""Which items go with which, as a sparse (N, N) matrix: from acts (who acts on both, in what order) or from texts.

From acts: every two acts of one shopper, at most ``window`` apart, say that their items go together, the less the more acts lie
between them. A pair that is ``ordered`` counts only from the earlier to the later item. What is counted is damped by how common
both items are, so that what everybody buys does not go with everything (Deshpande & Karypis, 2004; Linden et al., 2003).

From texts: cosine of TF-IDF over words, pairs of words, and signs of Chinese, Japanese and Korean. From vectors: which are near.

A shopper's scores are the rows of the last acts added up, the newest most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydantic
from scipy import sparse

from shoplm.config import Config
from shoplm.retrieve.histories import Float32, Histories, Int64

CHUNK = 2_000
"""Rows of a dense or nearly dense product at a time."""
HELD = 20_000_000
"""Cosines of vectors that are held at a time."""
PAIRS = 20_000_000
"""Pairs of acts that are counted at a time."""
WORDS = r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\d+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
"""What counts as a word: letters, or digits, or one sign of a script without spaces."""


class CountConfig(Config):
    """How acts are counted."""

    ordered: bool = False
    """Only from the earlier to the later item, or both ways."""
    window: int = pydantic.Field(default=20, ge=1)
    """Acts that two acts may be apart."""
    decay: float = pydantic.Field(default=0.9, gt=0, le=1)
    """What a pair counts is multiplied by this for every act between."""
    common_from: float = pydantic.Field(default=1.0, ge=0, le=1)
    """Exponent of how common the first item is, by which a pair is divided: 1 = a share of its acts."""
    common_to: float = pydantic.Field(default=0.0, ge=-1, le=1)
    """The same of the item that is scored: above 0 favours rare items."""


class MemoryConfig(Config):
    """How a history is read."""

    recency: float = pydantic.Field(default=0.8, gt=0, le=1)
    """What an act counts is multiplied by this for every later act."""
    last: int = pydantic.Field(default=50, ge=1)
    """Acts that are read."""


@dataclass(frozen=True)
class Neighbours:
    """A source: (N, N) how far the item of the column follows from that of the row, and how a history is read."""

    matrix: sparse.csr_array
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    def scores(self, asked: Histories) -> sparse.csr_array:
        """(B, N) the score of every item for each of B shoppers; absent = nothing is known."""
        return sparse.csr_array(query(asked, self.matrix.shape[0], self.memory) @ self.matrix)

    def because(self, history: Histories, item: int) -> Float32:
        """(L) what each act of ONE shopper adds to the score of an item, in the order of the acts."""
        age = np.arange(len(history.items))[::-1]
        counted = np.where(age < self.memory.last, self.memory.recency**age, 0.0)
        counted = counted if history.weight is None else counted * history.weight
        column = self.matrix[history.items][:, [item]].toarray()[:, 0]
        found: Float32 = (counted * column).astype(np.float32)
        return found


def query(asked: Histories, items: int, memory: MemoryConfig) -> sparse.csr_array:
    """(B, N) how much each item counts in what B shoppers did last; of one that comes again its acts add up."""
    age = np.repeat(asked.start[1:] - 1, asked.lengths) - np.arange(len(asked.items))
    kept = age < memory.last
    counted = memory.recency ** age[kept].astype(np.float64)
    counted = counted if asked.weight is None else counted * asked.weight[kept]
    return sparse.csr_array((counted.astype(np.float32), (asked.owner[kept], asked.items[kept])), shape=(len(asked), items))


def from_acts(histories: Histories, items: int, config: CountConfig, most: int = 400) -> sparse.csr_array:
    """Count pairs of acts.

    Args:
        histories: of those whose acts teach.
        items: N.
        config: how they are counted.
        most: neighbours of an item that are kept, the likeliest.

    Returns:
        (N, N) float32; an item is no neighbour of itself.
    """
    pairs = counted(histories, items, config.window, config.decay)
    pairs = pairs if config.ordered else sparse.csr_array(pairs + pairs.T)
    return damped(pairs, histories.counts(items), config, most)


def counted(histories: Histories, items: int, window: int, decay: float) -> sparse.csr_array:
    """(N, N) what the pairs of acts from an earlier item to a later one add up to."""
    owner, last = histories.owner, max(1, min(window, int(histories.lengths.max(initial=1)) - 1))
    found = sparse.csr_array((items, items), dtype=np.float32)
    rows: list[Any] = []
    columns: list[Any] = []
    values: list[Any] = []
    held = 0
    for apart in range(1, last + 1):
        same = np.flatnonzero(owner[apart:] == owner[:-apart])
        same = same[histories.items[same] != histories.items[same + apart]]
        worth = np.full(len(same), decay ** (apart - 1), np.float32)
        if histories.weight is not None:
            worth *= np.sqrt(histories.weight[same] * histories.weight[same + apart])
        rows, columns, values = [*rows, histories.items[same]], [*columns, histories.items[same + apart]], [*values, worth]
        held += len(same)
        if held > PAIRS or apart == last:
            where = (np.concatenate(rows), np.concatenate(columns))
            found = sparse.csr_array(found + sparse.csr_array((np.concatenate(values), where), shape=found.shape, dtype=np.float32))
            rows, columns, values, held = [], [], [], 0
    return found


def damped(pairs: sparse.csr_array, counts: Int64, config: CountConfig, most: int) -> sparse.csr_array:
    """The same divided by how common both items are; of each row the ``most`` largest."""
    common = counts + 1.0
    by = sparse.coo_array(pairs)
    row, column = by.coords
    worth = by.data / (common[row] ** config.common_from * common[column] ** config.common_to)
    return largest(sparse.csr_array((worth.astype(np.float32), (row, column)), shape=pairs.shape), most)


def from_texts(texts: Sequence[str], most: int = 100) -> sparse.csr_array:
    """(N, N) cosine of TF-IDF between the items' texts, of each item the ``most`` nearest; an empty text has no neighbours."""
    return sparse.csr_array(sparse.vstack(_near(_vectors(texts), 0, most), format="csr"))


def widened(near: sparse.csr_array, texts: Sequence[str], most: int = 100) -> sparse.csr_array:
    """What ``from_texts`` gave for the first of N texts, with the items behind them: (N, N), each as near as its text is."""
    known, items = near.shape[0], len(texts)
    below = sparse.csr_array(sparse.vstack(_near(_vectors(texts), known, most), format="csr"))
    above = sparse.csr_array((near.data, near.indices, near.indptr), shape=(known, items))
    back = sparse.csr_array(below[:, :known].T)  # an old item is as near to a new one as the new one to it
    beside = sparse.hstack([sparse.csr_array((known, known), dtype=np.float32), back], format="csr")
    return sparse.csr_array(sparse.vstack([largest(sparse.csr_array(above + beside), most), below], format="csr"))


def _vectors(texts: Sequence[str]) -> sparse.csr_array:
    """(N, words) TF-IDF of length 1, or of nothing."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=WORDS, lowercase=True, min_df=2, dtype=np.float32)
    try:
        return sparse.csr_array(words.fit_transform(texts))
    except ValueError:  # not a word that two texts share
        return sparse.csr_array((len(texts), 1), dtype=np.float32)


def _near(vectors: sparse.csr_array, first: int, most: int) -> list[sparse.csr_array]:
    """The rows from ``first`` on of the cosines between all vectors, a piece at a time."""
    against, pieces = sparse.csc_array(vectors.T), []
    for begin in range(first, vectors.shape[0], CHUNK):
        near = sparse.coo_array(vectors[begin : begin + CHUNK] @ against)
        row, column = near.coords
        other = (row + begin != column) & (near.data > 0)
        pieces.append(largest(sparse.csr_array((near.data[other], (row[other], column[other])), shape=near.shape), most))
    return pieces or [sparse.csr_array((0, vectors.shape[0]), dtype=np.float32)]


def from_vectors(vectors: Float32, most: int = 100) -> sparse.csr_array:
    """(N, N) the fourth power of the cosine between items' vectors, of each item the ``most`` nearest, where it is above 0.

    The power keeps many items that are somewhat near from outweighing the few that are very near, once acts are added up.
    """
    long = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    unit, items = vectors / long, len(vectors)
    most, pieces = min(most, items - 1), []
    if most < 1:
        return sparse.csr_array((items, items), dtype=np.float32)
    step = max(1, min(CHUNK, HELD // items))
    for begin in range(0, items, step):
        near = unit[begin : begin + step] @ unit.T
        rows = np.arange(len(near))
        near[rows, rows + begin] = -1  # an item is no neighbour of itself
        top = np.sort(np.argpartition(-near, most - 1, axis=1)[:, :most], 1)
        worth = np.maximum(np.take_along_axis(near, top, 1), 0) ** 4
        pieces.append(sparse.csr_array((worth.ravel(), top.ravel(), np.arange(len(near) + 1) * most), shape=near.shape))
    found = sparse.csr_array(sparse.vstack(pieces, format="csr"))
    found.eliminate_zeros()
    return found


def largest(matrix: sparse.csr_array, most: int) -> sparse.csr_array:
    """Of each row the ``most`` largest entries; of equal ones those of the smaller columns."""
    matrix.sum_duplicates()  # sorts each row by column, too
    lengths = np.diff(matrix.indptr)
    kept = np.ones(len(matrix.data), bool)
    for row in np.flatnonzero(lengths > most):  # a sort of all rows at once would cost several times as much
        begin, stop = matrix.indptr[row], matrix.indptr[row + 1]
        values = matrix.data[begin:stop]
        least = np.partition(values, -most)[-most]
        above = values > least
        ties = np.flatnonzero(values == least)[: most - int(above.sum())]
        above[ties] = True
        kept[begin:stop] = above
    start = np.concatenate([[0], np.cumsum(np.minimum(lengths, most))])
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], start), shape=matrix.shape)
