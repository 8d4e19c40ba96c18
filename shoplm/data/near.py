"""Texts that are nearly the same: one sketch a text, small and of fixed size, and groups of texts whose sketches agree.

A sketch is one-permutation MinHash (Li, Owen & Zhang, 2012) over windows of letters and digits; empty cells borrow from
the next full one (Shrivastava & Li, 2014), so that a short text's sketch is as full as a long one's. It costs one pass.
A window is shorter where one letter says a syllable or a word (Chinese, Japanese, Korean), and such a letter counts for
more. Sketches meet in bands; whoever meets is compared by the share of equal cells: nothing grows with the pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Sketches = np.ndarray[Any, np.dtype[np.uint32]]
Groups = np.ndarray[Any, np.dtype[np.int64]]

CELLS = 32
BAND = 4
"""Cells of a band: texts meet where all of them agree."""
WINDOW = 7
DENSE_WINDOW = 3
"""Letters of a window that begins with a dense one: about as much is said in them."""
SHORT = 40
"""A text of fewer letters says too little to be called a copy; a dense letter counts as ``WINDOW / DENSE_WINDOW``, so 18 of them suffice."""
FEWEST = 8
"""So many cells must be filled by the text's own windows: a word said over and over ("good good good") is no text that one copies."""
NEAR = 0.75
"""Share of equal cells from which two texts count as one."""
TEXTS = 2_000
"""Texts that are taken apart at once: some twenty megabytes of windows."""
_DENSE = ((0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
"""First and last code points of kana, Han and Hangul."""
_EMPTY = np.uint32(0xFFFFFFFF)


def sketch(texts: Sequence[str | None]) -> Sketches:
    """(texts, CELLS) uint32; a text that is null, short or one word over and over has the empty sketch, all ones; else no cell is empty."""
    parts = [_sketched(texts[start : start + TEXTS]) for start in range(0, len(texts), TEXTS)]
    return np.concatenate(parts) if parts else np.zeros((0, CELLS), np.uint32)


def _sketched(texts: Sequence[str | None]) -> Sketches:
    cleaned = ["".join(filter(str.isalnum, text.casefold())) if text else "" for text in texts]
    found = np.full((len(texts), CELLS), _EMPTY, np.uint32)
    lengths = np.array([len(text) for text in cleaned], np.int64)
    codes = np.frombuffer("".join(cleaned).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(codes) < DENSE_WINDOW:
        return found
    dense = np.zeros(len(codes), bool)
    for low, high in _DENSE:
        dense |= (codes >= low) & (codes <= high)
    owner = np.repeat(np.arange(len(texts)), lengths)
    said = lengths + np.bincount(owner, dense, len(texts)) * (WINDOW / DENSE_WINDOW - 1)
    within = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = np.where(dense, DENSE_WINDOW, WINDOW)
    chosen = (within <= lengths[owner] - width) & (said >= SHORT)[owner]  # a window must not reach into the next text
    padded = np.concatenate([codes, np.zeros(WINDOW, np.uint64)])
    hashed = np.zeros(len(codes), np.uint64)
    for place in range(WINDOW):
        further = hashed * np.uint64(0x100000001B3) + padded[place : place + len(codes)]
        hashed = further if place < DENSE_WINDOW else np.where(dense, hashed, further)
    hashed = _mixed(hashed[chosen])
    cells = (hashed >> np.uint64(59)).astype(np.int64)
    np.minimum.at(found.reshape(-1), owner[chosen] * CELLS + cells, (hashed & np.uint64(0xFFFFFFFE)).astype(np.uint32))
    found[(found != _EMPTY).sum(1) < FEWEST] = _EMPTY
    return _borrowed(found)


def _borrowed(found: Sketches) -> Sketches:
    """Every empty cell takes the next full one's value to its right, round the end, changed by how far it lies."""
    twice = np.concatenate([found, found], axis=1)
    at = np.where(twice != _EMPTY, np.arange(2 * CELLS), 2 * CELLS)
    nearest = np.minimum.accumulate(at[:, ::-1], axis=1)[:, ::-1][:, :CELLS]
    far = nearest - np.arange(CELLS)
    value = np.take_along_axis(twice, np.minimum(nearest, 2 * CELLS - 1), axis=1)
    # odd times the distance: equal values at equal distances stay equal, others seldom become so; the last bit is kept off all ones
    moved = (value.astype(np.uint64) + far.astype(np.uint64) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFE)
    return np.where(nearest < 2 * CELLS, moved.astype(np.uint32), _EMPTY)


def _mixed(values: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """SplitMix64's last step: every bit depends on every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def groups(sketches: Iterable[Sketches]) -> Groups:
    """(texts,) int64, a number for each group of texts that are nearly the same; a text alone is a group alone."""
    parts = list(sketches)
    whole = np.concatenate(parts) if parts else np.zeros((0, CELLS), np.uint32)
    leader = np.arange(len(whole))
    said = np.flatnonzero(whole[:, 0] != _EMPTY)
    for start in range(0, CELLS if len(said) else 0, BAND):
        key = np.zeros(len(said), np.uint64)
        for column in whole[said, start : start + BAND].astype(np.uint64).T:
            key = _mixed(key ^ column)
        order = np.argsort(key, kind="stable")
        first = np.concatenate([[True], key[order][1:] != key[order][:-1]])
        head = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        one, other = said[head[~first]], said[order[~first]]
        close = similarity(whole[one], whole[other]) >= NEAR
        for a, b in zip(one[close].tolist(), other[close].tolist(), strict=True):
            _join(leader, a, b)
    return np.array([_root(leader, place) for place in range(len(leader))], np.int64)


def similarity(one: Sketches, other: Sketches) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(pairs,) the share of cells that agree: about the share of windows that two texts have in common."""
    share: np.ndarray[Any, np.dtype[np.float64]] = ((one == other) & (one != _EMPTY)).mean(1)
    return share


def _root(leader: Groups, at: int) -> int:
    while leader[at] != at:
        leader[at] = leader[leader[at]]
        at = int(leader[at])
    return at


def _join(leader: Groups, one: int, other: int) -> None:
    a, b = sorted((_root(leader, one), _root(leader, other)))
    leader[b] = a
