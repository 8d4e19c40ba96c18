"""Spans of a text and the tags of its tokens: from the one to the other and back.

Of K kinds every token has one of 2K + 1 tags: 0 outside, 2k + 1 where a span of kind k begins, 2k + 2 where it goes on
(the BIO scheme). A span is counted in characters of the text that is searched (``Prompt.searched``), its end left out.
A span without characters says that its kind is nowhere in the text; a kind of which a known row says nothing is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MISSING = -1
"""A place, a span or a tag that is not there."""
OUTSIDE = 0
SPANS = pa.list_(pa.struct([("start", pa.int32()), ("stop", pa.int32()), ("kind", pa.string())]))
"""The Arrow type of a target of spans, null = nothing is known of the row."""
BLOCK_TOKENS = 16_384
"""Padded tokens that are decoded at once."""

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Searched:
    """Where the tokens of N sequences, T in all, stand in the texts that are searched."""

    places: npt.NDArray[np.int32]
    """(T, 2) first character and the one after the last, white space at the ends left out; -1 of a token that is not of the text."""
    texts: pa.Array
    """string (N)"""

    @staticmethod
    def join(pieces: Sequence[Searched]) -> Searched:
        """Several end to end."""
        return Searched(np.concatenate([piece.places for piece in pieces]), pa.concat_arrays([piece.texts for piece in pieces]))


@dataclass(frozen=True)
class Tagged:
    """What a head says of the tokens of B rows, end to end: row ``i`` has those from ``start[i]`` to ``start[i + 1]``."""

    logits: npt.NDArray[np.float32]
    """(T, 2K + 1)"""
    searched: Searched
    start: npt.NDArray[np.int64]
    """(B + 1)"""

    def __len__(self) -> int:
        return len(self.start) - 1

    @staticmethod
    def join(pieces: Sequence[Tagged]) -> Tagged:
        """Several end to end."""
        ends = np.cumsum([0, *(len(piece.logits) for piece in pieces)])
        start = [piece.start[:-1] + end for piece, end in zip(pieces, ends[:-1], strict=True)]
        return Tagged(
            np.concatenate([piece.logits for piece in pieces]),
            Searched.join([piece.searched for piece in pieces]),
            np.concatenate([*start, ends[-1:]]).astype(np.int64),
        )

    def tags(self, spans: Ints) -> npt.NDArray[np.int64]:
        """(T) the tags that spans (B, S, 3) would have, -1 where they say nothing."""
        found = np.full(len(self.logits), MISSING, np.int64)
        for rows in blocks(np.diff(self.start)):
            at, there = padded(self.start, rows)
            places = np.where(there[..., None], self.searched.places[at], MISSING)
            found[at[there]] = tags(places, spans[rows])[there]
        return found


@dataclass(frozen=True)
class Found:
    """The spans that were read off the tags of B rows, F in all, in the order of rows and of their text."""

    row: npt.NDArray[np.int64]
    """(F)"""
    start: npt.NDArray[np.int64]
    """(F) first character,"""
    stop: npt.NDArray[np.int64]
    """and (F) the one after the last."""
    kind: npt.NDArray[np.int64]
    """(F)"""
    probability: Floats
    """(F) of the least sure tag."""
    nothing: Floats
    """(B) the least probability of a row's tokens to be outside; 1 of a row without tokens."""

    def surest(self) -> Found:
        """Of each row and kind only the surest span, of equals the first."""
        order = np.lexsort((-self.probability, self.kind, self.row))
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(self.row[order]) != 0) | (np.diff(self.kind[order]) != 0)
        at = np.sort(order[first])
        return Found(self.row[at], self.start[at], self.stop[at], self.kind[at], self.probability[at], self.nothing)

    def whole(self, texts: Sequence[str]) -> Found:
        """The same spans, each end inside a word moved out to the end of the word, in the B texts that were searched.

        A word is letters and digits; in writing without spaces between words (Chinese, Japanese, Thai, …) every place is one's end.
        """
        start, stop = self.start.copy(), self.stop.copy()
        for at, row in enumerate(self.row.tolist()):
            text, first, past = texts[row], int(start[at]), int(stop[at])
            while first > 0 and _inside(text, first):
                first -= 1
            while past < len(text) and _inside(text, past):
                past += 1
            start[at], stop[at] = first, past
        return Found(self.row, start, stop, self.kind, self.probability, self.nothing)

    def rows(self) -> list[list[tuple[int, int, int, float]]]:
        """For each row its spans: start, stop, kind, probability."""
        found: list[list[tuple[int, int, int, float]]] = [[] for _ in self.nothing]
        for row, *span in zip(*(column.tolist() for column in (self.row, self.start, self.stop, self.kind, self.probability)), strict=True):
            found[row].append((span[0], span[1], span[2], span[3]))
        return found

    def padded(self) -> npt.NDArray[np.float32]:
        """(B, S, 3) start, stop and kind, as a judge reads them beside ``encoded`` targets; -1 = no more."""
        return _in_rows(np.stack([self.start, self.stop, self.kind], 1), self.row, len(self.nothing)).astype(np.float32)


def _inside(text: str, at: int) -> bool:
    """Whether a word goes on from before a place in a text to behind it."""
    return all(letter.isalnum() and not _UNSPACED.match(letter) for letter in (text[at - 1], text[at]))


_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Thai, Lao, Burmese, Khmer, kana, Han."""


def encoded(column: pa.Array, kinds: Sequence[str]) -> npt.NDArray[np.int32]:
    """(M) ``SPANS`` -> (M, S, 3) start, stop and kind; -1 = no more. Spans of other kinds are left out.

    All of a row that nothing is known of is -1. One that is known to have no span begins with (0, 0, -1).
    """
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    known = column.is_valid().to_numpy(zero_copy_only=False)
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    flat = column.flatten()
    places = pc.fill_null(pc.index_in(pc.struct_field(flat, "kind"), pa.array(list(kinds), pa.string())), MISSING)
    kind = places.to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(column)), counts)
    spans = np.stack([*(pc.struct_field(flat, name).to_numpy(zero_copy_only=False) for name in ("start", "stop")), kind], 1)
    found = _in_rows(spans[kind >= 0], row[kind >= 0], len(column)).astype(np.int32)
    empty = known & (found[:, 0, 2] == MISSING)
    found[empty, 0, :2] = 0
    return found


def _in_rows(flat: Ints, row: Ints, rows: int) -> Ints:
    """(F, 3) of rising rows -> (rows, S, 3), -1 where there is no more."""
    counts = np.bincount(row, minlength=rows)
    found = np.full((rows, int(counts.max(initial=1)), 3), MISSING, np.int64)
    found[row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)] = flat
    return found


def tags(places: Ints, spans: Ints) -> npt.NDArray[np.int64]:
    """The tags of tokens.

    A token belongs to a span with which it shares a character. Spans that share a token cannot both be told: the longest is.

    Args:
        places: (B, L, 2) as ``Searched`` holds them.
        spans: (B, S, 3) as ``encoded`` gives them.

    Returns:
        (B, L); -1 of tokens that are not of the text, and of rows of which nothing is known.
    """
    length = spans[..., 1] - spans[..., 0]
    spans = np.take_along_axis(spans, np.argsort(-length, 1, kind="stable")[..., None], 1)
    there = places[..., 0] >= 0
    found = np.where(there, OUTSIDE, MISSING).astype(np.int64)
    for start, stop, kind in np.moveaxis(spans, 0, -1):
        held = there & (places[..., 0] < stop[:, None]) & (places[..., 1] > start[:, None]) & ((stop > start) & (kind >= 0))[:, None]
        held &= ~(held & (found > OUTSIDE)).any(1, keepdims=True)
        first = held & (np.cumsum(held, 1) == 1)
        found = np.where(held, 2 * kind[:, None] + 2 - first, found)
    known = spans.max(axis=(1, 2)) >= 0
    return np.where(known[:, None], found, MISSING).astype(np.int64)


def decode(tagged: Tagged, logs: Floats, lean: float = 0.0) -> Found:
    """The spans of the likeliest sequence of tags in which nothing goes on that has not begun (Viterbi).

    Args:
        tagged: says which tokens are whose.
        logs: (T, 2K + 1) the log probabilities of its tags.
        lean: taken off the log probability of being outside while the sequence is chosen: above 0 more is found, below less.
    """
    kept = tagged.searched.places[:, 0] >= 0
    places, logs = tagged.searched.places[kept].astype(np.int64), logs[kept]
    start = np.concatenate([[0], np.cumsum(kept)])[tagged.start].astype(np.int64)
    chosen = np.zeros(len(logs), np.int64)
    for rows in blocks(np.diff(start)):
        at, there = padded(start, rows)
        score = np.where(there[..., None], logs[at] if len(logs) else 0.0, -np.inf)
        score[..., OUTSIDE] = np.where(there, score[..., OUTSIDE] - lean, 0.0)  # behind the end all is outside
        chosen[at[there]] = _viterbi(score)[there]
    row = np.repeat(np.arange(len(tagged)), np.diff(start))
    sure = np.exp(logs[np.arange(len(logs)), chosen])
    begin = np.flatnonzero(chosen % 2 == 1)
    # a span ends before the next begins, before a token outside, and with its row
    last = np.ones(len(chosen), bool)
    last[:-1] = (chosen[1:] % 2 == 1) | (chosen[1:] == OUTSIDE) | (row[1:] != row[:-1])
    end = np.flatnonzero(last & (chosen != OUTSIDE))
    least = np.minimum.reduceat(np.append(sure, 1.0), np.stack([begin, end + 1], 1).ravel())[::2]
    nothing = np.ones(len(tagged))
    np.minimum.at(nothing, row, np.exp(logs[:, OUTSIDE]))
    return Found(row[begin], places[begin, 0], places[end, 1], (chosen[begin] - 1) // 2, least, nothing)


def _viterbi(score: Floats) -> npt.NDArray[np.int64]:
    """(B, L, 2K + 1) -> (B, L) the tags of the sequence of the highest sum; of equals the lowest tag."""
    rows, length, _ = score.shape
    best = score[:, 0].copy()
    best[:, 2::2] = -np.inf  # nothing goes on at the start
    came = np.zeros((rows, length), np.int64)  # the best tag before one that may follow any
    begun = np.zeros((rows, length, best.shape[1] // 2), bool)  # of a kind that goes on: whether it began just before
    for at in range(1, length):
        came[:, at] = best.argmax(1)
        any_before = best.max(1, keepdims=True)
        begun[:, at] = best[:, 1::2] >= best[:, 2::2]
        on = np.maximum(best[:, 1::2], best[:, 2::2])
        best = score[:, at] + any_before
        best[:, 2::2] = score[:, at, 2::2] + on
    found = np.zeros((rows, length), np.int64)
    found[:, -1] = best.argmax(1)
    every = np.arange(rows)
    for at in range(length - 1, 0, -1):
        tag = found[:, at]
        goes_on = (tag > OUTSIDE) & (tag % 2 == 0)
        kind = np.where(goes_on, tag // 2 - 1, 0)
        found[:, at - 1] = np.where(goes_on, tag - begun[every, at, kind], came[:, at])
    return found


def padded(start: Ints, rows: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(B, L) where the tokens of some rows stand, and whether there is one; 0 where there is none."""
    lengths = start[rows + 1] - start[rows]
    places = np.arange(max(1, int(lengths.max(initial=0))))
    there = places[None, :] < lengths[:, None]
    return np.where(there, start[rows][:, None] + places[None, :], 0).astype(np.int64), there


def blocks(lengths: Ints) -> list[npt.NDArray[np.int64]]:
    """All rows in a few groups of alike length, none much above ``BLOCK_TOKENS`` padded tokens unless it is a single row."""
    order = np.argsort(-lengths, kind="stable")
    found, at = [], 0
    while at < len(order):
        size = max(1, BLOCK_TOKENS // max(1, int(lengths[order[at]])))
        found.append(order[at : at + size].astype(np.int64))
        at += size
    return found


def trimmed(text: str, offsets: Sequence[tuple[int, int]]) -> npt.NDArray[np.int32]:
    """(L, 2) characters of tokens without the white space at their ends; -1 of a token of nothing else."""
    found = np.asarray(offsets, np.int64).reshape(-1, 2)
    black = np.flatnonzero([not letter.isspace() for letter in text])
    first, past = np.searchsorted(black, found[:, 0]), np.searchsorted(black, found[:, 1])
    there = first < past
    out = np.full(found.shape, MISSING, np.int32)
    out[there, 0], out[there, 1] = black[first[there]], black[past[there] - 1] + 1
    return out
