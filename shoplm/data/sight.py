"""The data files that a view reads: held open, so that nothing that happens to the folder reaches the view.

A file is opened once in a process, whoever looks at it, and stays readable after its name is gone. A question
about a span of time reads only the files, and in them only the row groups, that the span can touch; of these only
the columns asked for, a few row groups at a time.
"""

from __future__ import annotations

import errno
import functools
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from shoplm.data import contract, delta
from shoplm.data.delta import DataFile

_UTC = pa.timestamp("us", tz="UTC")
_NAIVE = pa.timestamp("us")
_FORMAT = pds.ParquetFileFormat()
_open: weakref.WeakValueDictionary[Path, Held] = weakref.WeakValueDictionary()
_opening = threading.Lock()


class Held:
    """One data file, open as long as anybody holds this."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: pa.NativeFile | None = pa.OSFile(str(path))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._file = None  # out of handles: such a file is opened anew for every question

    @property
    def file(self) -> pa.NativeFile:
        """The file, to be read at any place by any thread."""
        return self._file or pa.OSFile(str(self._path))

    @cached_property
    def metadata(self) -> pq.FileMetaData:
        """The file's own table of contents."""
        return pq.read_metadata(self.file)


def hold(path: Path) -> Held:
    """The file at ``path``, held open; its name must never be given to another file.

    Raises:
        FileNotFoundError: it is gone.
    """
    with _opening:
        found = _open.get(path)
        if found is None:
            _open[path] = found = Held(path)
        return found


@dataclass(frozen=True)
class Sight:
    """The files of one table at one version.

    Attributes:
        files: each file with its handle, in the order of their rows.
        schema: the schema of the stored rows, which is an older contract's where the shop was written by one.
        clock: the column that ``DataFile.months`` speaks of.
    """

    files: tuple[tuple[DataFile, Held], ...]
    schema: pa.Schema
    clock: str | None

    @staticmethod
    def of(table: contract.Table, path: Path, version: int) -> Sight:
        """The table at ``path`` as its Delta version says.

        Raises:
            FileNotFoundError: one of its files is gone.
            deltalake.exceptions.DeltaError: its version is gone.
        """
        entry = path / "_delta_log" / f"{version:020d}.json"
        try:
            said = entry.stat()
            stamp = (said.st_ino, said.st_mtime_ns)
        except FileNotFoundError:
            stamp = (0, 0)
        listed, schema = _listed(path, version, stamp)
        clock = table.clock if table.clock in schema.names else None
        return Sight(tuple((file, hold(path / file.name)) for file in listed), schema, clock)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[DataFile, pa.Table]]:
        """The rows as stored, one row group at a time, each with the file that it stands in."""
        for file, held in self.files:
            for rows in delta.batches(held.file, list(columns or self.schema.names), self.schema):
                yield file, rows

    def dataset(self) -> pds.Dataset:
        """For SQL: times are naive UTC, so that conditions on them reach the files."""
        return _Dataset(self)


@functools.lru_cache(maxsize=256)
def _listed(path: Path, version: int, stamp: tuple[int, int]) -> tuple[tuple[DataFile, ...], pa.Schema]:  # noqa: ARG001  # a new folder of the same name has a new stamp
    return delta.listing(path, version), delta.schema(path, version)


class _Dataset(pds.FileSystemDataset):  # type: ignore[misc]  # pyarrow has no types
    """What DuckDB asks for columns and conditions; it answers from the files that can hold such rows."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._naive = pa.schema([pa.field(f.name, _NAIVE if f.type == _UTC else f.type) for f in sight.schema])
        super().__init__([], self._naive, _FORMAT)

    def scanner(self, columns: list[str] | None = None, filter: pds.Expression | None = None, **_: Any) -> pds.Scanner:  # noqa: A002  # pyarrow's name
        """The rows for which ``filter`` is true, with ``columns``."""
        names = self._naive.names
        said = "" if filter is None else str(filter)
        needed = [name for name in names if columns is None or name in columns or name in said]
        stored = pds.FileSystemDataset(list(self._fragments(filter, said)), self._sight.schema, _FORMAT)
        reader = stored.scanner(columns=needed, batch_size=delta.GROUP_ROWS, batch_readahead=4, fragment_readahead=2).to_reader()
        schema = pa.schema([self._naive.field(name) for name in needed])
        return pds.Scanner.from_batches(
            (_plain(batch, schema) for batch in reader), schema=schema, columns=columns, filter=filter, batch_size=delta.GROUP_ROWS
        )

    def _fragments(self, filter: pds.Expression | None, said: str) -> Iterator[pds.Fragment]:  # noqa: A002
        clock = self._sight.clock
        timely = clock is not None and clock in said
        for file, held in self._sight.files:
            if not timely or file.months is None:
                yield _FORMAT.make_fragment(held.file)
                continue
            low, high = (np.datetime64(month, "M").astype("datetime64[us]") for month in file.months)
            if not self._may(clock, low, high, filter):
                continue
            groups = [n for n in range(held.metadata.num_row_groups) if self._group_may(held.metadata, n, clock, filter)]
            if groups:
                yield _FORMAT.make_fragment(held.file, row_groups=groups)

    def _group_may(self, metadata: pq.FileMetaData, group: int, clock: str | None, filter: pds.Expression | None) -> bool:  # noqa: A002
        place = metadata.schema.to_arrow_schema().get_field_index(str(clock))
        if place < 0:
            return True
        leaf = [column for column in range(metadata.num_columns) if metadata.schema.column(column).path == clock]
        found = metadata.row_group(group).column(leaf[0]).statistics if leaf else None
        if found is None or not found.has_min_max or found.null_count:
            return True
        low, high = (np.datetime64(int(value.timestamp() * 1_000_000), "us") for value in (found.min, found.max))
        return self._may(clock, low - np.timedelta64(1, "s"), high + np.timedelta64(1, "s"), filter)  # wider: a float rounds

    def _may(self, clock: str | None, low: np.datetime64, high: np.datetime64, filter: pds.Expression | None) -> bool:  # noqa: A002
        """Can a row whose clock lies in [low, high) make ``filter`` true?"""
        at = pds.field(clock)
        span = (at >= pa.scalar(low, _NAIVE)) & (at < pa.scalar(high, _NAIVE))
        only = _FORMAT.make_fragment(pa.py_buffer(b""), partition_expression=span)
        return any(True for _ in pds.FileSystemDataset([only], self._naive, _FORMAT).get_fragments(filter=filter))


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [array.view(_NAIVE) if array.type == _UTC else array for array in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
