"""A shop: a folder of Delta tables under one manifest, whose number and digest are the data version.

An import is one transaction over all tables it fills: readers open only what the newest manifest names, so
until that is written nothing has changed, and a crash leaves the shop as it was. Bringing in the same rows
twice changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake.exceptions import DeltaError

from shoplm.data import contract, ingest, manifest
from shoplm.data.importers import importer
from shoplm.data.ingest import Chunk, Guard, ImportReport, Staging, TableReport
from shoplm.data.manifest import FOLDER, Manifest, TableState
from shoplm.data.upsert import Outcome, upsert
from shoplm.data.view import View
from shoplm.errors import DataError, ResourceError

__all__ = ["ImportReport", "Shop", "Transaction", "View"]

TABLES = "tables"
QUARANTINE = "quarantine"
WAIT_SECONDS = 600


class Shop:
    """A folder that holds a shop's tables.

    Args:
        path: the folder.
        create: make it a shop if it is none yet.

    Raises:
        DataError: the folder is no shop, its newest manifest is damaged or of a newer contract.
        ResourceError: it cannot be made or read.
    """

    def __init__(self, path: str | Path, create: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path}: is a file, expected a folder that holds a shop")
        if manifest.newest(self.path) is None:
            if not create:
                raise DataError(f"{self.path}: is no shop (no {FOLDER} folder inside); give a shop's folder, or make one with create=True")
            with _writing(self.path):
                (self.path / FOLDER).mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    manifest.write(self.path, Manifest(0, {}))
        self.manifest()

    def __repr__(self) -> str:
        return f"Shop({str(self.path)!r})"

    def manifest(self, version: int | None = None) -> Manifest:
        """The manifest of a version, None for the newest.

        Raises:
            DataError: there is no such version, or it is damaged.
        """
        number = manifest.newest(self.path) if version is None else version
        if number is None:
            raise DataError(f"{self.path}: is no shop any more (no {FOLDER} folder inside)")
        return manifest.read(self.path, number)

    @property
    def data_version(self) -> str:
        """The newest data version, such as ``v3-1f0c22ab``."""
        return self.manifest().data_version

    def counts(self) -> dict[str, int]:
        """Rows of every table that has any."""
        return {name: state.rows for name, state in self.manifest().tables.items() if state.rows}

    def view(self, where: str | None = None, version: int | None = None) -> View:
        """The shop at one version, None for the newest, unchanged by later imports.

        Args:
            version: its number, None for the newest.
            where: an SQL condition on the rows that ``View.parts`` hands out.
        """
        found = self.manifest(version)
        return View.of(self.path / TABLES, found, where)

    def import_files(
        self,
        *files: str | Path,
        format: str = "table",  # noqa: A002  # the word after `shoplm import`
        table: str | None = None,
        mapping: Mapping[str, str] | None = None,
        defaults: Mapping[str, str] | None = None,
        strict: bool = False,
        source: str | None = None,
        guard: Guard | None = None,
    ) -> ImportReport:
        """Bring files in, as one transaction.

        Args:
            files: their paths.
            format: the importer, a file in ``shoplm/data/importers``.
            table: the contract table; None leaves it to the importer (``table`` takes it from each file's name).
            mapping: our column name -> theirs.
            defaults: our column name -> the value where the source has none.
            strict: refuse everything at the first faulty row instead of putting it into quarantine.
            source: the foreign system that the ``source`` column names; None is the format's name, for ``table`` each file's path.
            guard: what hides people on the way in.

        Raises:
            DataError: the input is wrong; the shop is as it was.
            ResourceError: memory or disk ran out, or a place cannot be written; the shop is as it was.
        """
        chunks = importer(format).read([Path(file) for file in files], table)
        if source is not None:
            chunks = (replace(chunk, source=source) for chunk in chunks)
        elif format != "table":
            chunks = (replace(chunk, source=chunk.source or format) for chunk in chunks)
        with self.transaction(guard) as transaction:
            transaction.add(chunks, mapping=mapping, defaults=defaults, strict=strict)
        return transaction.report

    def upsert(
        self,
        table: str,
        data: Any,
        mapping: Mapping[str, str] | None = None,
        defaults: Mapping[str, str] | None = None,
        strict: bool = False,
        guard: Guard | None = None,
    ) -> ImportReport:
        """Bring rows in from Python, by the same path as files: pandas, polars, pyarrow or anything with an Arrow stream.

        Raises:
            DataError: ``data`` is no table, or its rows are wrong and ``strict`` is asked for.
        """
        with self.transaction(guard) as transaction:
            transaction.upsert(table, _arrow(data), mapping=mapping, defaults=defaults, strict=strict)
        return transaction.report

    @contextlib.contextmanager
    def transaction(self, guard: Guard | None = None) -> Iterator[Transaction]:
        """Several changes that happen together when the block ends, or not at all if it raises.

        Args:
            guard: what hides people on the way in.

        Raises:
            ResourceError: memory or disk ran out, a place cannot be written, or another writer held the shop too long.
        """
        folder = self.path / FOLDER / "staging" / uuid.uuid4().hex
        with _writing(self.path):
            folder.mkdir(parents=True)
            try:
                staging = Staging(folder, guard)
                try:
                    transaction = Transaction(self, staging)
                    yield transaction
                    transaction.report = self._commit(staging)
                finally:
                    staging.close()
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _commit(self, staging: Staging) -> ImportReport:
        with _alone(self.path / FOLDER):
            before = self.manifest()
            tables: dict[str, TableState] = dict(before.tables)
            outcomes: dict[str, Outcome] = {}
            now_us = time.time_ns() // 1000
            for name in staging.tables:
                outcome = upsert(staging, contract.table(name), self.path / TABLES / name, before.tables.get(name), now_us)
                outcomes[name] = outcome
                if outcome.state is not None:
                    tables[name] = outcome.state
            after = before
            if tables != dict(before.tables):
                after = Manifest(before.version + 1, tables)
            reports = {name: self._report(staging, name, outcome) for name, outcome in outcomes.items()}
            if after is not before:
                manifest.write(self.path, after)
        return ImportReport(after.data_version, reports)

    def _report(self, staging: Staging, name: str, outcome: Outcome) -> TableReport:
        staged = staging.tables[name]
        written = []
        for file, handle in staged.quarantine.items():
            handle.flush()
            target = self.path / QUARANTINE / name / f"{Path(file).stem[:80] or 'rows'}-{_name_digest(file)}.jsonl"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(handle.name, target)
            written.append(str(target))
        return TableReport(
            staged.read, outcome.inserted, outcome.updated, outcome.duplicate, staged.quarantined, dict(staged.unknown),
            tuple(written), staged.first_fault,
        )  # fmt: skip


class Transaction:
    """Changes on their way into a shop; ``report`` is there once the block has ended."""

    def __init__(self, shop: Shop, staging: Staging) -> None:
        self._shop, self._staging = shop, staging
        self.report = ImportReport(shop.data_version, {})

    def upsert(
        self,
        table: str,
        batches: Iterable[pa.RecordBatch | pa.Table],
        mapping: Mapping[str, str] | None = None,
        defaults: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> None:
        """Add or change rows by key.

        Raises:
            DataError: the columns do not fit the contract, or, if ``strict``, a row does not.
        """
        self.add(ingest.in_chunks(table, batches, f"<{table}>"), mapping=mapping, defaults=defaults, strict=strict)

    def add(
        self,
        chunks: Iterable[Chunk],
        *,
        mapping: Mapping[str, str] | None = None,
        defaults: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> None:
        """Add or change the rows that an importer reads, by key."""
        for chunk in chunks:
            self._staging.add(chunk, mapping or {}, defaults or {}, strict=strict)


def _name_digest(file: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, str(Path(file).absolute())).hex[:8]


def _arrow(data: Any) -> Iterable[pa.Table | pa.RecordBatch]:
    if isinstance(data, pa.Table):
        return [data]
    if isinstance(data, pa.RecordBatch):
        return [pa.Table.from_batches([data])]
    if isinstance(data, pa.RecordBatchReader):
        stream: Iterable[pa.RecordBatch] = data
        return stream
    try:
        if type(data).__module__.startswith("pandas"):
            return [pa.Table.from_pandas(data, preserve_index=False)]
        if hasattr(data, "__arrow_c_stream__"):
            return [pa.table(data)]
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"the {type(data).__name__} has no Arrow form ({' '.join(str(error).split())[:200]})") from None
    raise DataError(f"expected a pandas, polars or pyarrow table, seen {type(data).__name__}")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What goes wrong while writing, said in one line."""
    try:
        yield
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException, DeltaError, MemoryError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        raise ResourceError(f"{path}: cannot be written ({why}); check free disk, memory and permissions") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one writer at a time; the lock goes with the process, however it ends."""
    import fcntl

    deadline = time.monotonic() + WAIT_SECONDS
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ResourceError(f"{folder}: another import has been writing for {WAIT_SECONDS} s; wait for it or end it") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
