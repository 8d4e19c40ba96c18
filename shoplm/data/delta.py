"""One contract table on disk: a Delta table whose rows keep the order in which they came.

The only file that knows ``deltalake``. Data files are written here, not by ``deltalake``, because its writer
shuffles batches, issues no fsync and copies values into the log; rows are changed by writing their file anew.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.transaction import AddAction, RemoveAction

from shoplm.data import contract
from shoplm.data.manifest import sync_folder

GROUP_ROWS = 32_768
"""Rows of a Parquet row group: what a reader must hold at once."""
FILE_ROWS = 1_000_000
FILE_BYTES = 256_000_000

Positions = np.ndarray[Any, np.dtype[np.int64]]


def files(path: Path, version: int) -> list[Path]:
    """The data files of one version, in the order of their rows."""
    # names of files written here begin with the commit's number, so their order is the order of arrival
    return sorted((path / Path(uri).name for uri in DeltaTable(path, version=version).file_uris()), key=lambda file: file.name)


def dataset(path: Path, version: int, schema: pa.Schema) -> pds.Dataset:
    """One version as an Arrow dataset of ``schema``, fragments in the order of their rows."""
    return pds.dataset([str(file) for file in files(path, version)], schema=schema, format="parquet")


def batches(file: Path, columns: list[str], schema: pa.Schema) -> Iterator[pa.Table]:
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


def prepare(table: contract.Table, path: Path, version: int | None) -> DeltaTable:
    """The table, ready to be changed: at ``version``, without whatever an unfinished import left behind."""
    if version is None:
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
        # the log must hold no personal values: statistics only on a column that says nothing
        return DeltaTable.create(path, table.schema, configuration={"delta.dataSkippingStatsColumns": "row_digest"})
    delta = DeltaTable(path)
    if delta.version() != version:
        delta.restore(version)
        delta = DeltaTable(path)
    known = {column.name for column in delta.schema().fields}
    new = [column for column in DeltaSchema.from_arrow(table.schema).fields if column.name not in known]
    if new:
        delta.alter.add_columns(new)
        delta = DeltaTable(path)
    return delta


def change(table: contract.Table, path: Path, delta: DeltaTable, fresh: Iterable[pa.Table], gone: Mapping[str, Positions]) -> int:
    """Add rows and take rows away in one commit, durably; memory stays at one row group.

    Args:
        table: the contract table.
        path: its folder.
        delta: the table as ``prepare`` gave it.
        fresh: rows of the table's schema, in order.
        gone: by data file name, the positions of the rows to take away.

    Returns:
        The new Delta version.
    """
    number = int(delta.version()) + 1
    now_ms = time.time_ns() // 1_000_000
    actions: list[AddAction | RemoveAction] = []
    for name, positions in gone.items():
        old = path / name
        # the old name stays in front, so the rows that remain keep their place
        head = name.split("-r")[0].removesuffix(".parquet")
        actions += _write(table, path, f"{head}-r{number:08d}", _without(table, old, positions), now_ms)
        actions.append(RemoveAction(path=name, data_change=True, deletion_timestamp=now_ms, size=old.stat().st_size))
    actions += _write(table, path, f"{number:08d}", fresh, now_ms)
    delta.create_write_transaction(actions, "append", table.schema)
    log = path / "_delta_log"
    for commit in (number - 1, number):
        with (log / f"{commit:020d}.json").open("rb") as file:
            os.fsync(file.fileno())
    for folder in (path, log, path.parent):
        sync_folder(folder)
    return number


def _without(table: contract.Table, file: Path, positions: Positions) -> Iterator[pa.Table]:
    start = 0
    for rows in batches(file, table.schema.names, table.schema):
        keep = np.ones(rows.num_rows, bool)
        here = positions[(positions >= start) & (positions < start + rows.num_rows)] - start
        keep[here] = False
        start += rows.num_rows
        yield rows.filter(pa.array(keep))


def _write(table: contract.Table, path: Path, head: str, rows: Iterable[pa.Table], now_ms: int) -> list[AddAction]:
    added: list[AddAction] = []
    writer: pq.ParquetWriter | None = None
    file, count = path, 0

    def close() -> None:
        assert writer is not None
        writer.close()
        with file.open("rb") as written:
            os.fsync(written.fileno())
        stats = f'{{"numRecords": {count}}}'
        added.append(AddAction(file.name, file.stat().st_size, {}, now_ms, True, stats))

    try:
        for part in rows:
            for start in range(0, part.num_rows, GROUP_ROWS):
                if writer is None:
                    file, count = path / f"{head}-{len(added):05d}-{uuid.uuid4().hex[:8]}.parquet", 0
                    writer = pq.ParquetWriter(file, table.schema, compression="zstd", compression_level=1)
                piece = part.slice(start, GROUP_ROWS)
                writer.write_table(piece, row_group_size=GROUP_ROWS)
                count += piece.num_rows
                if count >= FILE_ROWS or file.stat().st_size >= FILE_BYTES:
                    close()
                    writer = None
        if writer is not None:
            close()
            writer = None
    finally:
        if writer is not None:
            writer.close()
    return added
