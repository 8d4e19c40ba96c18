"""The words of a vocabulary that are spelt nearly like a given one: up to two slips, a slip of two neighbours counted once.

Symmetric deletion (Garbe, 2012): two words within d slips of each other become equal when at most d signs are taken from the
first signs of each. Of every word the hashes of what is left are kept, sorted; a lookup takes the same signs from the word that
was typed, and what meets is compared by its true distance (optimal string alignment). Nothing grows with the vocabulary but the
one search in the sorted hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

HEAD = 7
"""First signs of a word from which signs are taken."""
SHORTEST = 3
"""Signs of a word that is looked up at all: of shorter ones everything is near."""
MOST = 2

UInt64 = npt.NDArray[np.uint64]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Spelling:
    """What of each of V words is left when signs are taken away."""

    hashes: UInt64
    """(H) sorted."""
    owners: Int32
    """(H) whose."""

    @staticmethod
    def of(words: Sequence[str]) -> Spelling:
        """Of V different words; those with digits, or shorter than ``SHORTEST``, are never offered."""
        kept = [at for at, word in enumerate(words) if len(word) >= SHORTEST and word.isalpha()]
        by_length: dict[int, list[int]] = {}
        for at in kept:
            by_length.setdefault(min(len(words[at]), HEAD), []).append(at)
        hashes: list[UInt64] = [np.zeros(0, np.uint64)]
        owners: list[Int32] = [np.zeros(0, np.int32)]
        for length, places in sorted(by_length.items()):
            codes = np.array([[ord(sign) for sign in words[at][:length]] for at in places], np.uint64)  # (W, length)
            for left in _left(length):
                hashes.append(_hash(codes[:, left]))
                owners.append(np.array(places, np.int32))
        all_hashes, all_owners = np.concatenate(hashes), np.concatenate(owners)
        order = np.argsort(all_hashes, kind="stable")
        return Spelling(all_hashes[order], all_owners[order])

    def near(self, word: str, words: Sequence[str], most: int) -> list[tuple[int, int]]:
        """(slips, place) of the words that are at most ``most`` slips from one that was typed, the nearest first, then by place."""
        if len(word) < SHORTEST or not word.isalpha():
            return []
        codes = np.array([[ord(sign) for sign in word[:HEAD]]], np.uint64)
        asked = np.unique(np.concatenate([_hash(codes[:, left]) for left in _left(codes.shape[1])]))
        low, high = np.searchsorted(self.hashes, asked, "left"), np.searchsorted(self.hashes, asked, "right")
        met = np.unique(np.concatenate([self.owners[a:b] for a, b in zip(low, high, strict=True)]))
        found = [
            (slips, int(at)) for at in met if abs(len(words[at]) - len(word)) <= most and (slips := distance(word, words[at], most)) <= most
        ]
        return sorted(found)


def _left(length: int) -> list[list[int]]:
    """Which places stay when up to two of ``length`` are taken."""
    gone: Iterable[tuple[int, ...]] = (taken for count in range(min(MOST, length - 1) + 1) for taken in combinations(range(length), count))
    return [[at for at in range(length) if at not in taken] for taken in gone]


def _hash(codes: UInt64) -> UInt64:
    """(W) of (W, L) signs; what meets by chance is told apart by its distance."""
    found = np.full(len(codes), 0xCBF29CE484222325, np.uint64)
    for column in codes.T:
        found = (found ^ column) * np.uint64(0x100000001B3)
    return found ^ (found >> np.uint64(29))


def distance(one: str, other: str, most: int = MOST) -> int:
    """Slips between two words: a sign left out, put in or changed, or two neighbours swapped; ``most + 1`` for any number above."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, sign in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, theirs in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (sign != theirs))
            if i > 1 and j > 1 and sign == other[j - 2] and one[i - 2] == theirs:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most and (not before or min(before) > most):
            return most + 1
    return min(row[-1], most + 1)
