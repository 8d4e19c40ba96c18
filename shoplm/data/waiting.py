"""Rows that wait on disk for the shop to take them, and piles of digests that are too many for memory.

Rows wait in Arrow files in the order in which they came. A ``Pile`` holds what decides which rows are one: above
``LIMIT`` entries it lies on disk, cut by digest into parts that are looked at one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, convert

LIMIT = 2_000_000
"""Entries that a pile keeps in memory, 36 bytes each."""
_PARTS_BITS = 6

ENTRY = np.dtype([("hi", "<u8"), ("lo", "<u8"), ("digest", "<u8"), ("at", "<i8"), ("file", "<i4")])
"""One row in a pile: 128 bits of its key, 63 of its content, its place, and in which file of the shop (-1: on its way in)."""
Entries = np.ndarray[Any, np.dtype[np.void]]
Numbers = np.ndarray[Any, np.dtype[np.uint64]]

DIGEST_MASK = np.uint64(2**63 - 1)


def entries(hi: Numbers, lo: Numbers, digest: Numbers, start: int, file: int = -1) -> Entries:
    """Rows as entries of a pile, the first of them at place ``start``."""
    found = np.empty(len(hi), ENTRY)
    found["hi"], found["lo"], found["digest"], found["at"], found["file"] = hi, lo, digest, np.arange(start, start + len(hi)), file
    return found


def digests(rows: pa.Table, columns: list[contract.Column], con: duckdb.DuckDBPyConnection) -> tuple[Numbers, Numbers]:
    """The MD5 of what each row says in ``columns``, as its high and low 64 bits (rows,).

    Columns that are null leave no trace. It does not depend on the machine: numbers count by their IEEE bits.
    """
    if not columns:
        return np.zeros(rows.num_rows, np.uint64), np.zeros(rows.num_rows, np.uint64)
    arrays = [_countable(rows[column.name], column) for column in columns]
    con.register("_said", pa.table(arrays, names=[column.name for column in columns]))
    full = [column.name for column in columns if not rows[column.name].null_count]
    whole = f"SELECT md5_number({convert.canonical(columns, full)}) AS d FROM _said"
    query = f"SELECT CAST(d >> 64 AS UBIGINT) AS hi, CAST(d & 18446744073709551615::UHUGEINT AS UBIGINT) AS lo FROM ({whole})"
    found = con.sql(query).to_arrow_table()
    con.unregister("_said")
    return found["hi"].to_numpy(), found["lo"].to_numpy()


def _countable(values: pa.ChunkedArray, column: contract.Column) -> pa.ChunkedArray:
    if column.type == contract.NUMBER:
        values = pc.add(values, 0.0)  # -0.0 says the same as 0.0
    if column.type in (contract.NUMBER, contract.TIME):
        return pa.chunked_array([chunk.view(pa.int64()) for chunk in values.chunks], pa.int64())
    return values


def grouped(rows: Entries) -> tuple[Entries, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Entries by key, within a key what is held and then by arrival; and where each key begins (rows,)."""
    rows = rows[np.lexsort((rows["at"], rows["file"] < 0, rows["hi"], rows["lo"]))]
    begins = np.ones(len(rows), bool)
    begins[1:] = (rows["lo"][1:] != rows["lo"][:-1]) | (rows["hi"][1:] != rows["hi"][:-1])
    return rows, begins


class Waiting:
    """Rows of one table in the order in which they came, on disk; columns without any value are not written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir()
        self._segments: list[tuple[Path, int]] = []
        self._shape: tuple[pa.Schema, int] | None = None
        self._writer: pa.RecordBatchFileWriter | None = None

    def add(self, rows: pa.Table, file: int) -> None:
        """Keep rows that come from the file of that number."""
        if self._shape != (rows.schema, file):
            self.close()
            path = self._folder / f"{len(self._segments):06d}.arrow"
            self._writer = pa.ipc.new_file(str(path), rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
            self._segments.append((path, file))
            self._shape = (rows.schema, file)
        assert self._writer is not None
        self._writer.write_table(rows)

    def close(self) -> None:
        """Finish the file being written."""
        if self._writer is not None:
            self._writer.close()
        self._writer = self._shape = None

    def remove(self) -> None:
        """Forget all rows and give their place on disk back."""
        self.close()
        for path, _ in self._segments:
            path.unlink()
        self._segments = []

    def batches(self) -> Iterator[tuple[pa.Table, int]]:
        """The rows as they were added, with the number of their file."""
        self.close()
        for path, file in self._segments:
            with pa.OSFile(str(path)) as opened, pa.ipc.open_file(opened) as reader:
                for number in range(reader.num_record_batches):
                    yield pa.Table.from_batches([reader.get_batch(number)]), file


class Pile:
    """Entries, in memory while they are few, else on disk in parts that share no key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[Entries] = []
        self._count = 0
        self.spilled = False
        self._mixed = False

    def only_coming(self) -> None:
        """Drop the entries of rows that a table holds; those of rows on their way in stay."""
        if not self._mixed:
            return
        self._held = [found[found["file"] < 0] for found in self._held]
        self._count = sum(len(found) for found in self._held)
        if self.spilled:
            for file in self._folder.iterdir():
                found = np.fromfile(file, ENTRY)
                found[found["file"] < 0].tofile(file)
        self._mixed = False

    def add(self, found: Entries) -> None:
        """Keep entries."""
        self._held.append(found)
        self._count += len(found)
        self._mixed = self._mixed or bool((found["file"] >= 0).any())
        if self._count > LIMIT:
            self._spill()

    def _spill(self) -> None:
        if not self.spilled:
            self._folder.mkdir()
            self.spilled = True
        every = self._all()
        part = (every["lo"] >> np.uint64(64 - _PARTS_BITS)).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(2**_PARTS_BITS + 1))
        for number in range(2**_PARTS_BITS):
            with (self._folder / f"{number}").open("ab") as file:
                file.write(every[order[ends[number] : ends[number + 1]]].tobytes())
        self._held, self._count = [], 0

    def _all(self) -> Entries:
        return np.concatenate(self._held) if self._held else np.empty(0, ENTRY)

    def keys(self) -> Numbers:
        """The low halves of all keys in order, of a pile that fits in memory."""
        found: Numbers = np.sort(self._all()["lo"])
        return found

    def parts(self) -> Iterator[Entries]:
        """All entries; those with one key are in one part, in the order in which they were added."""
        if not self.spilled:
            yield self._all()
            return
        self._spill()
        for number in range(2**_PARTS_BITS):
            yield np.fromfile(self._folder / f"{number}", ENTRY)
