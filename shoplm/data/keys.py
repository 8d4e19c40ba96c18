"""128 bits of each row's key, by a hash whose secret is drawn anew for every import.

What is stored of a row is an MD5, because it must be the same tomorrow. A key's digest lives as long as one import, so
it need only be one that nobody can aim at: with a secret, the chance that two given keys share all bits is 2**-128, whoever made them.
"""

from __future__ import annotations

import os
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from shoplm.data import contract
from shoplm.data.waiting import Numbers, digests

_WORDS = contract.ID_LENGTH
"""Words of four bytes of the longest id: a character of UTF-8 is at most four bytes."""


class Keys:
    """Digests of the keys of staged and of held rows; two of them agree only within one ``Keys``."""

    def __init__(self) -> None:
        drawn = np.frombuffer(os.urandom(4 * (_WORDS + 2) * 8), np.uint64)
        self._secret = drawn.reshape(4, _WORDS + 2)

    def of(self, table: contract.Table, rows: pa.Table, con: duckdb.DuckDBPyConnection) -> tuple[Numbers, Numbers]:
        """The high and low 64 bits (rows,) of each row's key in ``table``; ``rows`` has its columns, without nulls."""
        key = [table[name] for name in table.key]
        if len(key) > 1 or not key[0].is_id:
            return digests(rows, key, con)
        ids = rows[key[0].name]
        whole = ids.chunk(0) if ids.num_chunks == 1 else pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], ids.type)
        return self._hashed(whole)

    def _hashed(self, ids: pa.StringArray) -> tuple[Numbers, Numbers]:
        """Multilinear hashing (Lemire & Kaser 2014): the high half of k0 + k1·length + Σ k·word mod 2**64, four times."""
        words, lengths = _words(ids)
        lanes = []
        for secret in self._secret:
            total = secret[0] + secret[1] * lengths
            for place, word in enumerate(words):
                total += secret[2 + place] * word
            lanes.append(total >> np.uint64(32))
        return (lanes[0] << np.uint64(32)) | lanes[1], (lanes[2] << np.uint64(32)) | lanes[3]


def _words(ids: pa.StringArray) -> tuple[np.ndarray[Any, np.dtype[np.uint64]], Numbers]:
    """The bytes of each text as (words, rows) numbers of four bytes, zeros behind its end, and how many bytes it has (rows,)."""
    _, ends, data = ids.buffers()
    if not len(ids) or ends is None:
        return np.zeros((0, len(ids)), np.uint64), np.zeros(len(ids), np.uint64)
    places = np.frombuffer(ends, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    letters = np.frombuffer(data, np.uint8)[places[0] : places[-1]] if data is not None else np.zeros(0, np.uint8)
    lengths = np.diff(places)
    longest = int(lengths.max())
    frame = np.zeros((len(ids), -(-longest // 4) * 4), np.uint8)
    if len(letters) == longest * len(ids):
        frame[:, :longest] = letters.reshape(len(ids), longest)
    else:
        frame[np.arange(frame.shape[1]) < lengths[:, None]] = letters
    return np.ascontiguousarray(frame.view("<u4").T).astype(np.uint64), lengths.astype(np.uint64)
