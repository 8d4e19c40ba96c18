"""Which rows teach, which steer and which judge; and whether anything leaked between them.

A split column that is given is obeyed. Otherwise rows part by their text, shopper or item (a pure function of the
seed and that key: it depends neither on the order nor on the other rows, and rows with one key never part), by time,
by each shopper's last acts, or by source. Every division is counted and checked by what it promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from shoplm.config import Config
from shoplm.errors import DataError, did_you_mean

Words = np.ndarray[Any, np.dtype[np.str_]]

SPLITS = ("train", "valid", "test")
Kind = Literal["group", "near", "time", "shopper", "leave_one_out", "cold_items", "source"]
"""What parts the rows: equal texts stay together, nearly equal ones too, by time, by shopper, each shopper's last act, by item, by source."""
_WORDS = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


class SplitConfig(Config):
    """How rows are parted that do not say themselves where they belong."""

    valid: float = pydantic.Field(default=0.1, ge=0, lt=1)
    """Share of the rows that choose among models."""
    test: float = pydantic.Field(default=0.1, ge=0, lt=1)
    """Share of the rows that are judged once, at the end."""
    split_seed: int = 0
    kind: Kind | None = None
    """What parts the rows: ``group`` (equal texts stay together), ``near`` (nearly equal ones too), ``time``, ``shopper``, ``leave_one_out``, ``cold_items``, ``source``; None = ``group``, or what the task says of a shop's rows (``interest``: ``time``)."""
    held_out: str | None = None
    """With ``kind=source``, the source that judges; None = the one with the fewest rows."""

    @pydantic.model_validator(mode="after")
    def _leaves_rows(self) -> SplitConfig:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid={self.valid:g} and test={self.test:g} leave no rows to learn from; together they stay below 1")
        return self


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
    return obeyed(given, made)


def obeyed(given: pa.Array | pa.ChunkedArray | None, made: Words) -> Words:
    """(rows,) the source's own split words, and ``made`` where it says nothing.

    Raises:
        DataError: a given word is none of train, valid (val, validation, dev) and test.
    """
    if given is None:
        return made
    if len(given) != len(made):
        raise ValueError(f"{len(given)} given splits for {len(made)} rows")
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


def leave_one_out(shopper: Sequence[str | None] | pa.Array | pa.ChunkedArray, at_us: np.ndarray[Any, np.dtype[np.int64]]) -> Words:
    """Each shopper's last row judges, the one before it steers, all others teach.

    A shopper with one row only teaches, one with two has none to steer by; a row of nobody teaches. Of rows of one
    time that of the later place counts as later, so give rows in the contract's order of acts.

    Args:
        shopper: (rows,) who acted, null = nobody.
        at_us: (rows,) int64, UTC microseconds.
    """
    codes = _codes(shopper)
    order = np.lexsort((np.arange(len(codes)), at_us, codes))
    owners = codes[order]
    ends = np.flatnonzero(np.diff(np.append(owners, np.iinfo(np.int64).max)))  # each one's last place
    counts = np.diff(np.concatenate([[-1], ends]))
    result: Words = np.full(len(codes), "train", dtype="<U5")
    somebody = owners[ends] >= 0
    result[order[ends[somebody & (counts > 1)]]] = "test"
    result[order[ends[somebody & (counts > 2)] - 1]] = "valid"
    return result


def by_source(
    source: Sequence[str | None] | pa.Array | pa.ChunkedArray, seed: int, held_out: str | None = None, valid: float = 0.1
) -> Words:
    """One source judges, the others teach, and a seeded share of their rows steers.

    Args:
        source: (rows,) which system each row came from.
        seed: which of the others' rows steer.
        held_out: the source that judges; None = that with the fewest rows.
        valid: share of the other rows to steer by.

    Raises:
        DataError: there is one source only, or none of that name.
    """
    keys = _array(source)
    counts = {row["values"].as_py(): row["counts"].as_py() for row in pc.value_counts(keys)}
    names = sorted(name for name in counts if name is not None)
    if len(counts) < 2:
        raise DataError(
            f"split by source: all {len(keys)} rows have one source ({', '.join(names) or 'none'}); import a second, or split by another kind"
        )
    if held_out is not None and held_out not in counts:
        raise DataError(f"split by source: no source `{held_out}`; {did_you_mean(held_out, names)}")
    chosen = held_out if held_out is not None else min(names, key=lambda name: (counts[name], name))
    steering = assign(None, pa.array([str(place) for place in range(len(keys))]), seed, valid, 0.0)
    judging = np.asarray(pc.fill_null(pc.equal(keys, chosen), False), bool)
    return np.where(judging, "test", steering).astype("<U5")


def _array(values: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> pa.Array:
    whole = values.cast(pa.string()) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _codes(values: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(rows,) a number for each different value, -1 for null."""
    return np.asarray(pc.fill_null(_array(values).dictionary_encode().indices, -1), np.int64)


@dataclass(frozen=True)
class SplitReport:
    """How many rows each split has, and whether the division keeps what its kind promises.

    Attributes:
        leak_check: what breaks the promise: keys on both sides, or train rows later than the first row that judges.
        kind: what parted the rows.
    """

    train: int
    valid: int
    test: int
    leak_check: int
    kind: Kind = "group"

    @staticmethod
    def of(
        split: Words,
        group: Sequence[str | None] | pa.Array | pa.ChunkedArray,
        kind: Kind = "group",
        at_us: np.ndarray[Any, np.dtype[np.int64]] | None = None,
    ) -> SplitReport:
        """Count ``split`` and check it.

        Args:
            split: (rows,) of train, valid, test.
            group: (rows,) the key that may not stand on two sides: text, shopper, item or source; for
                ``leave_one_out`` the shopper, whose rows must end in valid and test.
            kind: what parted the rows; ``source`` looks at the rows that judge only.
            at_us: (rows,) times, for ``time`` and ``leave_one_out``.
        """
        train, valid, test = (int((split == name).sum()) for name in SPLITS)
        codes = _codes(group) + 1
        if kind in ("time", "leave_one_out"):
            times = np.zeros(len(split), np.int64) if at_us is None else np.asarray(at_us, np.int64)
            whole = kind == "time"
            leaked = _later(split, np.zeros(len(split), np.int64) if whole else codes, times, ties=whole)
            return SplitReport(train, valid, test, leaked, kind)
        places = np.unique(codes * 3 + np.select([split == "train", split == "valid"], [0, 1], 2))
        if kind == "source":  # the others' rows may teach and steer; only the one that judges stands alone
            places = np.unique(np.where(places % 3 == 1, places - 1, places))
        leaked = int((np.unique(places // 3, return_counts=True)[1] > 1).sum())
        return SplitReport(train, valid, test, leaked, kind)

    def __str__(self) -> str:
        said = f"{self.train} rows to learn from, {self.valid} to steer by, {self.test} to judge by"
        unit, promise = _PROMISES[self.kind]
        return f"{said}; {self.leak_check} {unit}" if self.leak_check else f"{said}; {promise}"


_PROMISES: dict[Kind, tuple[str, str]] = {
    "group": ("keys stand in more than one split", "no key stands in two of them"),
    "near": ("groups of nearly equal texts stand in more than one split", "no text stands, nearly the same, in two of them"),
    "time": ("rows teach what is not older than a row that steers or judges", "all that teaches is older than all that judges"),
    "shopper": ("shoppers stand in more than one split", "no shopper stands in two of them"),
    "leave_one_out": (
        "rows teach what is later than the same shopper's judging row",
        "each shopper's last row judges and none after it teaches",
    ),
    "cold_items": ("items stand in more than one split", "no item that judges was ever seen in train"),
    "source": ("sources stand on both sides", "the source that judges teaches nothing"),
}


def _later(split: Words, owner: np.ndarray[Any, np.dtype[np.int64]], at_us: np.ndarray[Any, np.dtype[np.int64]], *, ties: bool) -> int:
    """Train rows of an owner that are later than its first row which steers or judges; with ``ties`` also those of its time."""
    owners = int(owner.max(initial=0)) + 1
    first = np.full(owners, np.iinfo(np.int64).max)
    np.minimum.at(first, owner[split != "train"], at_us[split != "train"])
    edge, taught = first[owner[split == "train"]], at_us[split == "train"]
    return int(((taught >= edge) if ties else (taught > edge)).sum())
