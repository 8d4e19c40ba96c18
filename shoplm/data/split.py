"""Which rows teach, which steer and which judge; and whether anything leaked between them.

A split column that is given is obeyed. Otherwise a row's split is a pure function of the seed and its group
key: it depends neither on the order nor on the other rows, and rows with one key never part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.errors import DataError, did_you_mean

Words = np.ndarray[Any, np.dtype[np.str_]]

SPLITS = ("train", "valid", "test")
_WORDS = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


def assign(
    given: pa.Array | pa.ChunkedArray | None,
    group: Sequence[str | None] | pa.Array | pa.ChunkedArray,
    seed: int,
    valid: float = 0.1,
    test: float = 0.1,
) -> Words:
    """The split of each row.

    Args:
        given: the source's own split words, null where it says nothing; None if it has no such column.
        group: the key of each row; rows with equal keys fall into one split, null is a key like any other.
        seed: another seed, another division.
        valid: expected share of the keys to steer by.
        test: expected share of the keys to judge by; together with ``valid`` less than 1.

    Returns:
        (rows,) of ``train``, ``valid`` or ``test``.

    Raises:
        DataError: a given word is none of train, valid (val, validation, dev) and test.
        ValueError: a share is negative, or both leave nothing to learn from.
    """
    _shares(valid, test)
    keys = pa.array(group, pa.string()) if not isinstance(group, pa.Array | pa.ChunkedArray) else group.cast(pa.string())
    whole = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    encoded = whole.dictionary_encode(null_encoding="encode")
    of_key = np.array([_place(key, seed, valid, test) for key in encoded.dictionary.to_pylist()], dtype="<U5")
    made: Words = of_key[np.asarray(encoded.indices)] if len(whole) else np.array([], dtype="<U5")
    if given is None:
        return made
    if len(given) != len(whole):
        raise ValueError(f"{len(given)} given splits for {len(whole)} rows")
    words = pc.utf8_lower(pc.utf8_trim_whitespace(given.cast(pa.string())))
    for word in pc.unique(words).to_pylist():
        if word and word not in _WORDS:
            raise DataError(f"column `split`: seen {word!r}, expected train, valid or test; {did_you_mean(word, SPLITS)}")
    said = np.array([_WORDS.get(word or "", "") for word in words.to_pylist()], dtype="<U5")
    return np.where(said == "", made, said)


def _place(key: str | None, seed: int, valid: float, test: float) -> str:
    text = b"\xff" if key is None else key.encode()
    digest = hashlib.blake2b(text, digest_size=8, key=str(seed).encode()).digest()
    share = int.from_bytes(digest, "big") / 2**64
    return "test" if share < test else "valid" if share < test + valid else "train"


def _shares(valid: float, test: float) -> None:
    if valid < 0 or test < 0 or valid + test >= 1:
        raise ValueError(f"valid is {valid}, test {test}; neither may be negative, and together they must stay below 1")


def by_time(at_us: np.ndarray[Any, np.dtype[np.int64]], valid: float = 0.1, test: float = 0.1) -> Words:
    """The split of each row by its time: the past teaches, the time after it steers, the newest judges.

    Args:
        at_us: (rows,) int64, UTC microseconds, in any order; rows with equal times stay together.
        valid: expected share of the rows to steer by.
        test: expected share of the rows to judge by; together with ``valid`` less than 1.

    Returns:
        (rows,) of ``train``, ``valid`` or ``test``; every train time < every valid time < every test time.

    Raises:
        DataError: the times are too much alike to leave anything to learn from.
        ValueError: a share is negative, or both leave nothing to learn from.
    """
    _shares(valid, test)
    ordered = np.sort(np.asarray(at_us, np.int64))
    rows = len(ordered)
    result: Words = np.full(rows, "train", dtype="<U5")
    if not rows:
        return result
    for name, share in (("valid", valid + test), ("test", test)):
        cut = int(rows * (1 - share) + 0.5)
        if share > 0 and cut < rows:
            result[at_us >= ordered[cut]] = name
    if not (result == "train").any():
        raise DataError(f"split by time: {rows} rows have only {len(np.unique(ordered))} times, none is left to learn from; split by a key")
    return result


@dataclass(frozen=True)
class SplitReport:
    """How many rows each split has, and how many group keys stand in more than one."""

    train: int
    valid: int
    test: int
    leak_check: int

    @staticmethod
    def of(split: Words, group: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> SplitReport:
        """Count ``split`` and look for keys of ``group`` that stand on both sides."""
        keys = group if isinstance(group, pa.Array | pa.ChunkedArray) else pa.array(group, pa.string())
        both = pa.table({"key": keys, "split": pa.array(split.tolist(), pa.string())})
        per_key = both.group_by("key").aggregate([("split", "count_distinct")])
        leaked = int(pc.sum(pc.greater(per_key["split_count_distinct"], 1)).as_py() or 0)
        train, valid, test = (int((split == name).sum()) for name in SPLITS)
        return SplitReport(train, valid, test, leaked)

    def __str__(self) -> str:
        leak = f"; {self.leak_check} keys stand in more than one split" if self.leak_check else ""
        return f"{self.train} rows to learn from, {self.valid} to steer by, {self.test} to judge by{leak}"
