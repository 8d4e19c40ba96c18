"""One contract table on disk: a Delta table whose rows keep one order, whoever writes and however its files lie.

The only file that knows ``deltalake``. Data files and log entries are written here, not by ``deltalake``: its writer
shuffles batches, issues no fsync, copies values into the log, and quietly lays one writer's commit over another's.
A log entry is put in its place only if none stands there, and says how the last one's files become ours, so what
a writer commits is what it read and changed, whoever committed in between. Names of files sort in the order of rows.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import TableNotFoundError

from shoplm.data import contract
from shoplm.data.manifest import put
from shoplm.files import sync_folder

GROUP_ROWS = 32_768
"""Rows of a Parquet row group: what a reader must hold at once."""
FILE_ROWS = 1_000_000
FILE_BYTES = 256_000_000
OPEN_MONTHS = 24
"""Months that one import writes to files of their own; rows of further months share one."""
HELD_ROWS = 8 * GROUP_ROWS
"""Rows that wait in memory for others of their month, in each part that is being written."""
_PART_FILES = 50_000
"""The second part's files are numbered from here, so that they come after the first one's."""
COMMITS = 100
"""How often another writer's commit may be in the way before we give up."""
CHECKPOINT_COMMITS = 50

_CONFIGURATION = {
    "delta.enableExpiredLogCleanup": "false",  # the manifests say which versions go, not their age
    "delta.deletedFileRetentionDuration": "interval 0 days",  # no lists of files that are gone
}
_NO_MONTH = -(10**6)

Positions = np.ndarray[Any, np.dtype[np.int64]]
Int64 = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class DataFile:
    """One data file.

    Attributes:
        name: its name in the table's folder; the last part names the writer.
        rows: how many rows.
        size: bytes.
        months: the first month of the table's clock in it and the month after the last, in months since 1970;
            None if a row has no time or nobody noted it. Whole months, so that the log tells nothing of a person.
    """

    name: str
    rows: int
    size: int
    months: tuple[int, int] | None

    @property
    def writer(self) -> str:
        """The writer that made it."""
        return self.name.removesuffix(".parquet").rpartition("-")[2]


@dataclass(frozen=True)
class Draft:
    """A table ready to be changed: the version that the change starts from (None: no table yet), its files, and who changes it."""

    version: int | None
    files: tuple[DataFile, ...]
    writer: str


def listing(path: Path, version: int) -> tuple[DataFile, ...]:
    """The data files of one version, in the order of their rows.

    Raises:
        deltalake.exceptions.DeltaError: the version is not in the log.
    """
    return _listed(DeltaTable(path, version=version))


def _listed(delta: DeltaTable) -> tuple[DataFile, ...]:
    found = pa.table(delta.get_add_actions(flatten=True))
    rows, sizes, names = (found[name].to_pylist() for name in ("num_records", "size_bytes", "path"))
    months: list[tuple[int, int] | None] = [None] * len(names)
    for name in found.schema.names:
        if name.startswith("min.") and pa.types.is_timestamp(found[name].type):
            for i, (low, high) in enumerate(zip(_month(found[name]), _month(found["max." + name[4:]]), strict=True)):
                if low != _NO_MONTH and high != _NO_MONTH:
                    months[i] = (int(low), int(high))
    each = zip(names, rows, sizes, months, strict=True)
    return tuple(sorted((DataFile(Path(n).name, int(r or 0), int(s), m) for n, r, s, m in each), key=lambda file: file.name))


def files(path: Path, version: int) -> list[Path]:
    """The paths of one version's data files, in the order of their rows."""
    return [path / file.name for file in listing(path, version)]


def schema(path: Path, version: int) -> pa.Schema:
    """The Arrow schema of the rows of one version; an older contract's table has its own."""
    return pa.schema(DeltaTable(path, version=version).schema().to_arrow())


def batches(file: Path | pa.NativeFile, columns: list[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of one data file, one row group at a time; columns that the file is too old to know are null."""
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            rows = parquet.read_row_group(group, columns=present, use_threads=False)
            arrays = [
                rows[name].cast(schema.field(name).type) if name in present else pa.nulls(rows.num_rows, schema.field(name).type)
                for name in columns
            ]
            yield pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in columns]))


def prepare(path: Path, version: int | None, writer: str) -> Draft:
    """The table at ``version``, ready to be changed by ``writer``; what others left behind since does not count."""
    (path / "_delta_log").mkdir(parents=True, exist_ok=True)
    return Draft(version, () if version is None else listing(path, version), writer)


def change(table: contract.Table, path: Path, draft: Draft, fresh: Sequence[Iterable[pa.Table]], gone: Mapping[str, Positions]) -> int:
    """Add rows and take rows away in one commit, durably; memory does not grow with either.

    Args:
        table: the contract table.
        path: its folder.
        draft: the table as ``prepare`` gave it.
        fresh: rows of the table's schema, in order, in at most two parts; each is made and written by a thread of its own.
        gone: by data file name, the positions of the rows to take away.

    Returns:
        The new Delta version.
    """
    order = _order(draft)
    after = {file.name: file for file in draft.files}
    for name, positions in gone.items():
        # the old name stays in front, so the rows that remain keep their place
        left = _without(table, path / name, positions)
        for file in _Output(table, path, f"{_head(name)}-r{order:08d}", draft.writer).write(left):
            after[file.name] = file
        del after[name]
    write = _by_month if table.grouped else _in_order
    with ThreadPoolExecutor(max(1, len(fresh)), thread_name_prefix="shoplm-write") as pool:
        firsts = (part * _PART_FILES for part in range(len(fresh)))
        for files in pool.map(lambda rows, first: write(table, path, f"{order:08d}", draft.writer, rows, first), fresh, firsts):
            after |= {file.name: file for file in files}
    return commit(table, path, after.values())


def replace(table: contract.Table, path: Path, draft: Draft, runs: Iterable[tuple[Sequence[DataFile], Iterable[pa.Table]]]) -> int:
    """Write runs of neighbouring files anew, each run as few large files in its own place; returns the new Delta version.

    Args:
        table: the contract table.
        path: its folder.
        draft: the table as ``prepare`` gave it.
        runs: files that follow one another, and the rows that take their place.
    """
    order = _order(draft)
    after = {file.name: file for file in draft.files}
    for old, rows in runs:
        base, _, number = _head(old[0].name).partition("+")
        written: list[DataFile] = []
        output = _Output(table, path, "", draft.writer)
        # a run's files carry the name of its first, numbered on, so the run keeps its place among the others
        for file in output.write(rows, lambda n: f"{base}+{int(number or 0) + n:05d}-r{order:08d}"):  # noqa: B023  # used up here
            written.append(file)
        for file in old:
            del after[file.name]
        after |= {file.name: file for file in written}
    return commit(table, path, after.values())


def commit(table: contract.Table, path: Path, after: Iterable[DataFile]) -> int:
    """Make exactly these files the table, durably, as the next entry of the log; returns the entry's number.

    Raises:
        OSError: others kept committing.
    """
    log = path / "_delta_log"
    wanted = {file.name: file for file in after}
    for _ in range(COMMITS):
        now_ms = time.time_ns() // 1_000_000
        said: list[dict[str, Any]] = [{"commitInfo": {"timestamp": now_ms, "operation": "WRITE", "engineInfo": "shoplm"}}]
        target = DeltaSchema.from_arrow(table.schema)
        here: dict[str, DataFile] = {}
        number, identity, known = 0, str(uuid.uuid4()), False
        try:
            head = DeltaTable(path)
            number, identity = int(head.version()) + 1, str(head.metadata().id)
            here = {file.name: file for file in _listed(head)}
            known = head.schema() == target and head.metadata().configuration == _configuration(table)
        except TableNotFoundError:
            said.append({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}})
        if not known:
            said.append({"metaData": {
                "id": identity, "format": {"provider": "parquet", "options": {}}, "schemaString": target.to_json(), "partitionColumns": [],
                "configuration": _configuration(table), "createdTime": now_ms,
            }})  # fmt: skip
        said += [
            {"remove": {"path": name, "deletionTimestamp": now_ms, "dataChange": True, "size": file.size}}
            for name, file in here.items() if name not in wanted
        ]  # fmt: skip
        said += [_added(table, file, now_ms) for name, file in wanted.items() if name not in here]
        try:
            put(log / f"{number:020d}.json", "".join(json.dumps(each) + "\n" for each in said))
        except FileExistsError:
            continue
        for folder in (path, path.parent):
            sync_folder(folder)
        if number and number % CHECKPOINT_COMMITS == 0:
            DeltaTable(path, version=number).create_checkpoint()
        return number
    raise OSError(None, f"another writer committed {COMMITS} times in between")


def shorten(path: Path, oldest: int) -> None:
    """Take every log entry before version ``oldest`` away; that version and later ones stay readable."""
    log = path / "_delta_log"
    older = [file for file in log.iterdir() if file.name[:20].isdecimal() and int(file.name[:20]) < oldest]
    if not older:
        return
    DeltaTable(path, version=oldest).create_checkpoint()
    for file in sorted((log / f"{oldest:020d}.checkpoint.parquet", log / "_last_checkpoint")):
        with file.open("rb") as written:
            os.fsync(written.fileno())
    sync_folder(log)
    for file in sorted(older):
        file.unlink(missing_ok=True)
    sync_folder(log)


def _added(table: contract.Table, file: DataFile, now_ms: int) -> dict[str, Any]:
    stats: dict[str, Any] = {"numRecords": file.rows}
    if file.months and table.clock:
        low, high = (f"{np.datetime64(month, 'M')}-01T00:00:00.000Z" for month in file.months)
        stats |= {"minValues": {table.clock: low}, "maxValues": {table.clock: high}, "nullCount": {table.clock: 0}}
    return {
        "add": {"path": file.name, "partitionValues": {}, "size": file.size, "modificationTime": now_ms, "dataChange": True,
                "stats": json.dumps(stats)}
    }  # fmt: skip


def _configuration(table: contract.Table) -> dict[str, str]:
    # what may stand in the log: the clock's months and nothing else; a foreign writer is told so too
    return {"delta.dataSkippingStatsColumns": table.clock or "row_digest", **_CONFIGURATION}


def _order(draft: Draft) -> int:
    """The first part of new files' names: it grows from version to version."""
    return 1 if draft.version is None else draft.version + 2


def _head(name: str) -> str:
    """The part of a name that gives the rows their place."""
    return name.split("-r")[0].removesuffix(".parquet")


def _month(column: pa.ChunkedArray) -> Int64:
    """Months since 1970 of times, ``_NO_MONTH`` where there is none."""
    micros = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    months = micros.fill_null(0).to_numpy().astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    if micros.null_count:
        months = np.where(micros.is_null().to_numpy(), _NO_MONTH, months)
    found: Int64 = months
    return found


def _without(table: contract.Table, file: Path, positions: Positions) -> Iterator[pa.Table]:
    start = 0
    for rows in batches(file, table.schema.names, table.schema):
        keep = np.ones(rows.num_rows, bool)
        here = positions[(positions >= start) & (positions < start + rows.num_rows)] - start
        keep[here] = False
        start += rows.num_rows
        yield rows.filter(pa.array(keep))


@dataclass
class _Output:
    """Files being written one after the other, all in one place of the table's order."""

    table: contract.Table
    path: Path
    head: str
    writer: str
    first: int = 0
    """The number of its first file."""
    done: list[DataFile] = field(default_factory=list)
    _file: pq.ParquetWriter | None = None
    _name: str = ""
    _rows: int = 0
    _months: tuple[int, int] | None = None

    def write(self, parts: Iterable[pa.Table], heads: Any = None) -> list[DataFile]:
        """Everything, in row groups of ``GROUP_ROWS``; ``heads`` gives the n-th file's own place."""
        waiting, count = [], 0
        try:
            for part in parts:
                waiting.append(part)
                count += part.num_rows
                if count >= GROUP_ROWS:
                    whole = pa.concat_tables(waiting)
                    full = count - count % GROUP_ROWS
                    self.add(whole.slice(0, full), heads)
                    waiting, count = [whole.slice(full)], count - full
            if count:
                self.add(pa.concat_tables(waiting), heads)
        finally:
            self.close()
        return self.done

    def add(self, rows: pa.Table, heads: Any = None) -> None:
        """Some rows, as row groups."""
        for start in range(0, rows.num_rows, GROUP_ROWS):
            piece = rows.slice(start, GROUP_ROWS)
            if self._file is None:
                head = heads(len(self.done)) if heads else self.head
                self._name = f"{head}-{self.first + len(self.done):05d}-{self.writer}.parquet"
                self._file = pq.ParquetWriter(self.path / self._name, self.table.schema, **_layout(self.table))
                self._rows, self._months = 0, None
            self._note(piece)
            self._file.write_table(piece, row_group_size=GROUP_ROWS)
            self._rows += piece.num_rows
            if self._rows >= FILE_ROWS or (self.path / self._name).stat().st_size >= FILE_BYTES:
                self.close()

    def _note(self, piece: pa.Table) -> None:
        if self.table.clock is None:
            return
        months = _month(piece[self.table.clock])
        low, high = int(months.min()), int(months.max()) + 1
        if self._rows:
            before = self._months or (_NO_MONTH, 0)  # a row without a time, once seen, stays
            low, high = min(low, before[0]), max(high, before[1])
        self._months = (low, high) if low != _NO_MONTH else None

    def close(self) -> None:
        """Finish the file, its bytes on the disk."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        file = self.path / self._name
        with file.open("rb") as written:
            os.fsync(written.fileno())
        self.done.append(DataFile(self._name, self._rows, file.stat().st_size, self._months))


def _layout(table: contract.Table) -> dict[str, Any]:
    """How the values lie in a file: ids, times and amounts hardly repeat, so a dictionary of them is made for nothing."""
    words = [
        column.name for column in table.columns if column.type == contract.WHOLE or (column.type == contract.TEXT and not column.is_id)
    ]
    return {"compression": "zstd", "compression_level": 1, "use_dictionary": [*words, "source"],
            "write_statistics": [table.clock] if table.clock else False}  # fmt: skip


def _in_order(table: contract.Table, path: Path, head: str, writer: str, rows: Iterable[pa.Table], first: int) -> list[DataFile]:
    return _Output(table, path, f"{head}-000000", writer, first).write(rows)


def _by_month(table: contract.Table, path: Path, head: str, writer: str, rows: Iterable[pa.Table], first: int) -> list[DataFile]:
    """Rows in files by month of the clock: months in order, rows of a month as they came; few rows share one file."""
    assert table.clock is not None
    parts = iter(rows)
    early, count = [], 0
    for part in parts:
        early.append(part)
        count += part.num_rows
        if count > GROUP_ROWS:
            break
    else:
        return _in_order(table, path, head, writer, early, first)
    held: dict[int, list[pa.Table]] = {}
    size: dict[int, int] = {}
    outputs: dict[int, _Output] = {}
    rest = _Output(table, path, f"{head}-999999", writer, first)

    def flush(month: int) -> None:
        if month not in outputs and len(outputs) < OPEN_MONTHS:
            outputs[month] = _Output(table, path, f"{head}-{_said(month)}", writer, first)
        outputs.get(month, rest).add(pa.concat_tables(held.pop(month)))
        del size[month]

    try:
        for source in (early, parts):
            for part in source:
                for month, piece in _cut(part, _month(part[table.clock])):
                    held.setdefault(month, []).append(piece)
                    size[month] = size.get(month, 0) + piece.num_rows
                    if size[month] >= GROUP_ROWS:
                        flush(month)
                while sum(size.values()) >= HELD_ROWS:
                    flush(max(size, key=lambda month: size[month]))
        shared: _Output | None = None
        for month in sorted(held):
            if month in outputs:
                flush(month)
                continue
            if shared is None:  # what is left of several months shares a file, named by its first
                shared = outputs[month] = _Output(table, path, f"{head}-{_said(month)}", writer, first)
            shared.add(pa.concat_tables(held.pop(month)))
            shared = shared if size.pop(month) and shared._rows < GROUP_ROWS else None
    finally:
        for output in (*outputs.values(), rest):
            output.close()
    return [file for output in (*outputs.values(), rest) for file in output.done]


def _said(month: int) -> str:
    return "000000" if month == _NO_MONTH else str(np.datetime64(month, "M")).replace("-", "").rjust(6, "0")[-6:]


def _cut(part: pa.Table, months: Int64) -> Iterator[tuple[int, pa.Table]]:
    found = np.unique(months)
    if len(found) == 1:
        yield int(found[0]), part
        return
    order = np.argsort(months, kind="stable")
    sorted_rows, starts = part.take(pa.array(order)), np.searchsorted(months[order], found)
    for month, start, stop in zip(found, starts, [*starts[1:], len(months)], strict=True):
        yield int(month), sorted_rows.slice(int(start), int(stop - start))
