"""Rows that wait on disk for the shop to take them, and piles of digests that are too many for memory.

Rows wait in Arrow files in the order in which they came. A ``Pile`` holds what decides which rows are one: above
``LIMIT`` entries it lies on disk, cut by digest into parts that are looked at one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract

LIMIT = 2_000_000
"""Entries that a pile keeps in memory, 36 bytes each."""
_PARTS_BITS = 6

ENTRY = np.dtype([("hi", "<u8"), ("lo", "<u8"), ("digest", "<u8"), ("at", "<i8"), ("file", "<i4")])
"""One row in a pile: 128 bits of its key, 63 of its content, its place, and in which file of the shop (-1: on its way in)."""
Entries = np.ndarray[Any, np.dtype[np.void]]
Numbers = np.ndarray[Any, np.dtype[np.uint64]]

_SIZES = {contract.WHOLE: "<i8", contract.NUMBER: "<f8", contract.TIME: "<i8", contract.MONEY: "V16", contract.FLAG: "u1"}
"""How the values of a fixed size stand in Arrow's memory."""
_JOINED_BYTES = 2**29
"""More than this of words is not put together at once; Arrow's texts end at 2**31."""

DIGEST_MASK = np.uint64(2**63 - 1)


def entries(hi: Numbers, lo: Numbers, digest: Numbers, start: int, file: int = -1) -> Entries:
    """Rows as entries of a pile, the first of them at place ``start``."""
    found = np.empty(len(hi), ENTRY)
    found["hi"], found["lo"], found["digest"], found["at"], found["file"] = hi, lo, digest, np.arange(start, start + len(hi)), file
    return found


def digests(rows: pa.Table, columns: list[contract.Column], con: duckdb.DuckDBPyConnection) -> tuple[Numbers, Numbers]:
    """The MD5 of what each row says in ``columns``, as its high and low 64 bits (rows,).

    What a row says are eight bytes for the names of the columns in which it has a value, so the contract may grow, then its values of a
    fixed size by their bits, then its texts, with a NUL between two, which no stored text holds. It does not depend on
    the machine, nor on the other rows.
    """
    rows = rows.select([column.name for column in columns])
    if not rows.num_rows or not columns:
        return np.zeros(rows.num_rows, np.uint64), np.zeros(rows.num_rows, np.uint64)
    if rows.nbytes > _JOINED_BYTES and rows.num_rows > 1:
        halves = (rows.slice(0, rows.num_rows // 2), rows.slice(rows.num_rows // 2))
        hi, lo = zip(*(digests(half, columns, con) for half in halves), strict=True)
        return np.concatenate(hi), np.concatenate(lo)
    con.register("_said", pa.table({"said": _said(rows, columns, con)}))
    halves_of = "CAST(d >> 64 AS UBIGINT) AS hi, CAST(d & 18446744073709551615::UHUGEINT AS UBIGINT) AS lo"
    found = con.sql(f"SELECT {halves_of} FROM (SELECT md5_number(said) AS d FROM _said)").to_arrow_table()
    con.unregister("_said")
    return found["hi"].to_numpy(), found["lo"].to_numpy()


def _said(rows: pa.Table, columns: list[contract.Column], con: duckdb.DuckDBPyConnection) -> pa.Array:
    """One text for each row, as ``digests`` says."""
    fixed = [column for column in columns if column.type in _SIZES]
    pieces = [_filled(rows)]
    if any(rows[column.name].null_count for column in fixed):
        pieces += [_fixed(rows, [column]) for column in fixed]
    elif fixed:
        pieces.append(_fixed(rows, fixed))
    for column in columns:
        if column.type == contract.LIST:
            con.register("_lists", rows.select([column.name]).rename_columns(["list"]))
            pieces.append(_array(con.sql("SELECT CAST(to_json(list) AS VARCHAR) AS text FROM _lists").to_arrow_table()["text"]))
            con.unregister("_lists")
        elif column.type not in _SIZES:
            pieces.append(_array(rows[column.name]))
    return pc.binary_join_element_wise(*(piece.cast(pa.binary()) for piece in pieces), pa.scalar(b"\0"), null_handling="skip")


def _filled(rows: pa.Table) -> pa.Array | pa.Scalar:
    """Eight bytes that stand for the names of the columns in which a row has a value; one scalar where all rows agree."""
    gaps = [place for place, values in enumerate(rows.columns) if values.null_count]
    pattern = np.zeros(rows.num_rows, np.int64)
    for bit, place in enumerate(gaps):
        pattern |= pc.is_null(rows.column(place)).to_numpy().astype(np.int64) << bit
    found = pa.array(pattern).dictionary_encode()
    signs = []
    for gone in found.dictionary.to_pylist():
        empty = {place for bit, place in enumerate(gaps) if gone >> bit & 1}
        names = ",".join(name for place, name in enumerate(rows.schema.names) if place not in empty)
        signs.append(hashlib.blake2b(names.encode(), digest_size=8).digest())
    return pa.scalar(signs[0]) if len(signs) == 1 else pa.array(signs).take(found.indices)


def _fixed(rows: pa.Table, columns: list[contract.Column]) -> pa.Array:
    """The values of some columns side by side, a NUL between two; a single column may have nulls."""
    frame = np.zeros(rows.num_rows, [part for c in columns for part in ((c.name, _SIZES[c.type]), ("after " + c.name, "u1"))][:-1])
    for column in columns:
        values = _array(rows[column.name])
        if column.type == contract.NUMBER:
            values = pc.add(values, 0.0)  # -0.0 says the same as 0.0
        elif column.type == contract.FLAG:
            values = values.cast(pa.uint8())
        kind = frame.dtype[column.name]
        frame[column.name] = np.frombuffer(values.buffers()[1], kind, len(values), values.offset * kind.itemsize)
    texts = pa.Array.from_buffers(pa.binary(frame.dtype.itemsize), rows.num_rows, [None, pa.py_buffer(frame)])
    return pc.if_else(pc.is_valid(values), texts, None) if values.null_count else texts


def _array(values: pa.ChunkedArray) -> pa.Array:
    return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks)


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
        self._segments: list[tuple[Path, int, list[int]]] = []
        self._shape: tuple[pa.Schema, int] | None = None
        self._writer: pa.RecordBatchFileWriter | None = None

    def add(self, rows: pa.Table, file: int) -> None:
        """Keep rows that come from the file of that number."""
        if self._shape != (rows.schema, file):
            self.close()
            path = self._folder / f"{len(self._segments):06d}.arrow"
            self._writer = pa.ipc.new_file(str(path), rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
            self._segments.append((path, file, []))
            self._shape = (rows.schema, file)
        assert self._writer is not None
        for batch in rows.to_batches():
            self._writer.write_batch(batch)
            self._segments[-1][2].append(batch.num_rows)

    def close(self) -> None:
        """Finish the file being written."""
        if self._writer is not None:
            self._writer.close()
        self._writer = self._shape = None

    def remove(self) -> None:
        """Forget all rows and give their place on disk back."""
        self.close()
        for path, *_ in self._segments:
            path.unlink()
        self._segments = []

    def cuts(self, parts: int, least: int) -> list[int]:
        """At which rows to cut them into at most so many parts of about one size, none below ``least`` rows: 0, …, all of them."""
        self.close()
        ends = np.cumsum([0, *(count for _, _, counts in self._segments for count in counts)])
        parts = max(1, min(parts, int(ends[-1]) // least))
        wanted = np.linspace(0, ends[-1], parts + 1)
        found: list[int] = np.unique(ends[np.abs(ends[:, None] - wanted).argmin(0)]).tolist()
        return found

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[pa.Table, int]]:
        """The rows as they were added, with the number of their file.

        Args:
            start: the first row, one of those that ``cuts`` gave.
            stop: the row before which to end, too; None for all.
        """
        self.close()
        row = 0
        for path, file, counts in self._segments:
            here, row = row, row + sum(counts)
            if row <= start or (stop is not None and here >= stop):
                continue
            with pa.OSFile(str(path)) as opened, pa.ipc.open_file(opened) as reader:
                for number, count in enumerate(counts):
                    if here >= start and (stop is None or here < stop):
                        yield pa.Table.from_batches([reader.get_batch(number)]), file
                    here += count


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
