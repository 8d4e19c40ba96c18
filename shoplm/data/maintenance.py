"""What keeps a shop's folder small and whole: files merged, old versions forgotten, a dead writer's leavings cleared away.

A file is removed only if no version that can be read holds it and no living writer may be making it. That is decided in
an order that needs no lock: first the files are listed, then the living are asked for, then the versions are read;
whatever was finished in between is held by a version, and whatever was begun since is not on the list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from shoplm.data import contract, delta, manifest, writers
from shoplm.data.delta import DataFile
from shoplm.data.manifest import FOLDER, Manifest, TableState
from shoplm.files import sync_folder

TABLES = "tables"
SMALL_FILES = 32
"""More small files than this in one table are merged after an import."""


@dataclass(frozen=True)
class Cleared:
    """What is gone: versions that can no longer be read, files, bytes."""

    versions: tuple[int, ...] = ()
    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        versions = f"versions {manifest.said(list(self.versions))}" if self.versions else "no version"
        return f"{versions} forgotten, {self.files} files and {self.bytes:,} bytes removed"


def forget(shop: Path, keep: int) -> Cleared:
    """Make every version but the ``keep`` newest unreadable, and remove what only they held: files and log entries."""
    assert keep >= 1
    there = manifest.versions(shop)
    gone, kept = there[:-keep], set(there[-keep:])
    last = {version: max(layout for number, layout in manifest.files(shop) if number == version) for version in kept}
    for (version, layout), file in sorted(manifest.files(shop).items()):
        if version in gone or layout < last.get(version, 0):
            file.unlink(missing_ok=True)
    sync_folder(shop / FOLDER)
    swept = sweep(shop)
    return Cleared(tuple(gone), swept.files, swept.bytes)


def sweep(shop: Path) -> Cleared:
    """Remove the data files and log entries that no readable version needs and no living writer makes."""
    listed = list((shop / TABLES).glob("*/*.parquet"))
    drafts = [*(shop / FOLDER).glob("*.draft"), *(shop / TABLES).glob("*/_delta_log/*.draft")]
    buried, alive = writers.dead(shop), writers.living(shop)
    held: set[tuple[str, str]] = set()
    oldest: dict[str, int] = {}
    for version in manifest.versions(shop):
        for name, state in manifest.read(shop, version).tables.items():
            held |= {(name, file.name) for file in _listing(shop / TABLES / name, state.delta)}
            oldest[name] = min(oldest.get(name, state.delta), state.delta)
    count = size = 0
    for file in listed:
        made_by = file.stem.rpartition("-")[2]
        if (file.parent.name, file.name) not in held and made_by not in alive:
            with contextlib.suppress(FileNotFoundError):
                size += file.stat().st_size
                file.unlink()
                count += 1
    for folder in {file.parent for file in listed}:
        sync_folder(folder)
    if len(alive) <= 1:  # nobody but ourselves
        for draft in drafts:
            draft.unlink(missing_ok=True)
    for name, version in oldest.items():
        delta.shorten(shop / TABLES / name, version)
    for name in buried:
        writers.bury(shop, name)
    return Cleared((), count, size)


def _listing(path: Path, version: int) -> tuple[DataFile, ...]:
    return delta.listing(path, version)


def discard(shop: Path, writer: str) -> None:
    """Take back what ``writer`` wrote for a version that another writer came first with."""
    newest = manifest.newest(shop)
    state = manifest.read(shop, newest).tables if newest is not None else {}
    for path in {file.parent for file in (shop / TABLES).glob(f"*/*-{writer}.parquet")}:
        name = path.name
        # the log's end again says what the newest version says, for those who read it without a manifest
        delta.commit(contract.table(name), path, _listing(path, state[name].delta) if name in state else ())
        for file in path.glob(f"*-{writer}.parquet"):
            file.unlink(missing_ok=True)


def crowded(shop: Path, found: Manifest) -> bool:
    """Has any table so many small files that merging them is due?"""
    return any(len(_small(_listing(shop / TABLES / name, state.delta))) > SMALL_FILES for name, state in found.tables.items())


def _small(files: tuple[DataFile, ...]) -> list[DataFile]:
    return [file for file in files if _is_small(file)]


def _is_small(file: DataFile) -> bool:
    return file.rows < delta.FILE_ROWS // 2 and file.size < delta.FILE_BYTES // 2


def merged(shop: Path, before: Manifest, writer: str) -> Manifest:
    """The same version with runs of small neighbouring files as few large ones; ``before`` itself if there is nothing to merge."""
    tables = dict(before.tables)
    for name, state in before.tables.items():
        table, path = contract.table(name), shop / TABLES / name
        draft = delta.prepare(path, state.delta, writer)
        runs = list(_runs(table, draft.files))
        if runs:
            number = delta.replace(table, path, draft, ((run, _rows(table, path, run)) for run in runs))
            tables[name] = TableState(number, state.rows, state.content, state.attributes)
    if tables == before.tables:
        return before
    return Manifest(before.version, tables, before.contract, before.layout + 1)


def _runs(table: contract.Table, files: tuple[DataFile, ...]) -> Iterator[list[DataFile]]:
    """Neighbouring small files that together make fewer; whole months that stand alone in large tables are left alone."""
    run: list[DataFile] = []
    for file in (*files, None):
        if file is not None and _is_small(file) and not (run and _apart(table, run, file)):
            run.append(file)
            continue
        if len(run) > 1:
            yield run
        run = [file] if file is not None and _is_small(file) else []


def _apart(table: contract.Table, run: list[DataFile], file: DataFile) -> bool:
    """Would merging join months that are each large enough to be read alone?"""
    if not table.grouped or file.months is None or run[-1].months is None or file.months == run[-1].months:
        return False
    return file.rows >= delta.GROUP_ROWS and sum(each.rows for each in run) >= delta.GROUP_ROWS


def _rows(table: contract.Table, path: Path, run: list[DataFile]) -> Iterator[pa.Table]:
    for file in run:
        yield from delta.batches(path / file.name, table.schema.names, table.schema)
