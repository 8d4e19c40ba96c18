"""Texts that are nearly the same: one sketch a text, small and of fixed size, and groups of texts whose sketches agree.

A sketch is one-permutation MinHash (Li, Owen & Zhang, 2012) over windows of letters and digits, so it works for any
script and costs one pass. Sketches meet in bands; whoever meets is compared by the share of equal cells.
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
SHORT = 40
"""A text of fewer letters says too little to be called a copy."""
NEAR = 0.75
"""Share of equal cells from which two texts count as one."""
_EMPTY = np.uint32(0xFFFFFFFF)


def sketch(texts: Sequence[str | None]) -> Sketches:
    """(texts, CELLS) uint32; a text that is null or short has the empty sketch, all ones."""
    cleaned = ["".join(filter(str.isalnum, text.casefold())) if text else "" for text in texts]
    cleaned = [text if len(text) >= SHORT else "" for text in cleaned]
    found = np.full((len(texts), CELLS), _EMPTY, np.uint32)
    lengths = np.array([len(text) for text in cleaned], np.int64)
    codes = np.frombuffer("".join(cleaned).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(codes) < WINDOW:
        return found
    hashed = np.zeros(len(codes) - WINDOW + 1, np.uint64)
    for place in range(WINDOW):
        hashed = hashed * np.uint64(0x100000001B3) + codes[place : place + len(hashed)]
    hashed = _mixed(hashed)
    owner = np.repeat(np.arange(len(texts)), lengths)[: len(hashed)]
    within = np.arange(len(hashed)) - np.repeat(np.cumsum(lengths) - lengths, lengths)[: len(hashed)]
    whole = within <= lengths[owner] - WINDOW  # a window must not reach into the next text
    cells = (hashed >> np.uint64(59)).astype(np.int64)
    np.minimum.at(found.reshape(-1), owner[whole] * CELLS + cells[whole], (hashed[whole] & np.uint64(0xFFFFFFFE)).astype(np.uint32))
    return found


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
    said = np.flatnonzero((whole != _EMPTY).sum(1) >= BAND)
    bands = [slice(start, start + BAND) for start in range(0, CELLS, BAND)]
    for cells in [*bands, slice(0, CELLS)]:  # a short text may fill no band, but its copy fills the same cells
        band = whole[said, cells].astype(np.uint64)
        filled = (band != _EMPTY).all(1) | (cells.stop - cells.start == CELLS)
        key = np.zeros(len(said), np.uint64)
        for column in band.T:
            key = _mixed(key ^ column)
        order = np.argsort(key, kind="stable")
        order = order[filled[order]]
        if not len(order):
            continue
        first = np.concatenate([[True], key[order][1:] != key[order][:-1]])
        head = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        one, other = said[head[~first]], said[order[~first]]
        close = similarity(whole[one], whole[other]) >= NEAR
        for a, b in zip(one[close].tolist(), other[close].tolist(), strict=True):
            _join(leader, a, b)
    return np.array([_root(leader, place) for place in range(len(leader))], np.int64)


def similarity(one: Sketches, other: Sketches) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(pairs,) the share of cells that agree, of those that either fills."""
    filled = (one != _EMPTY) | (other != _EMPTY)
    share: np.ndarray[Any, np.dtype[np.float64]] = ((one == other) & filled).sum(1) / np.maximum(filled.sum(1), 1)
    return share


def _root(leader: Groups, at: int) -> int:
    while leader[at] != at:
        leader[at] = leader[leader[at]]
        at = int(leader[at])
    return at


def _join(leader: Groups, one: int, other: int) -> None:
    a, b = sorted((_root(leader, one), _root(leader, other)))
    leader[b] = a
