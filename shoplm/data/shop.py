"""A shop: a folder of Delta tables under one manifest, whose number and digest are the data version.

An import is one transaction over all tables it fills: readers open only what the newest manifest names, so
until that is written nothing has changed, and a crash leaves the shop as it was. Bringing in the same rows
twice changes nothing.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake.exceptions import DeltaError

from shoplm.data import contract, delta, ingest, maintenance, manifest, migrate, partial, retention, writers
from shoplm.data.importers import importer
from shoplm.data.ingest import Chunk, Guard, ImportReport, TableReport
from shoplm.data.maintenance import TABLES, Cleared
from shoplm.data.manifest import FOLDER, Manifest, TableState
from shoplm.data.retention import ShopConfig
from shoplm.data.staging import Staging
from shoplm.data.upsert import Outcome, upsert
from shoplm.data.view import View
from shoplm.errors import DataError, ResourceError

__all__ = ["Cleared", "ImportReport", "Removed", "Shop", "Transaction", "View"]

QUARANTINE = "quarantine"
ATTEMPTS = 20
"""How often other writers may be first before we give up."""


@dataclass(frozen=True)
class Removed(Mapping[str, int]):
    """Rows that went, by table.

    Attributes:
        rows: how many, by table.
        versions: the versions that can no longer be read.
    """

    rows: Mapping[str, int]
    versions: tuple[int, ...]

    def __getitem__(self, table: str) -> int:
        return self.rows[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


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
        for _ in range(ATTEMPTS):
            found = self.manifest(version)
            try:
                return self._view(found, where)
            except (FileNotFoundError, DeltaError):  # forgotten, merged or erased while we opened it
                if (found.version, found.layout) in manifest.files(self.path) and self._here() == (found.version, found.layout):
                    raise
        raise ResourceError(f"{self.path}: its files changed {ATTEMPTS} times while they were opened; try again")

    def _view(self, found: Manifest, where: str | None) -> View:
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
        reader = importer(format).read([Path(file) for file in files], table)
        chunks: Iterable[Chunk] = reader
        if source is not None:
            chunks = (replace(chunk, source=source) for chunk in reader)
        elif format != "table":
            chunks = (replace(chunk, source=chunk.source or format) for chunk in reader)
        with contextlib.closing(reader), self.transaction(guard) as transaction:  # a refusal leaves no scratch files of the reader
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

        Where another writer was first, the rows are judged anew against what it left.

        Args:
            guard: what hides people on the way in.

        Raises:
            ResourceError: memory or disk ran out, a place cannot be written, another writer held the shop too long, or
                others were first again and again.
        """
        with _writing(self.path):
            with writers.writing(self.path) as writer:
                staging = Staging(writer.folder, guard, self.counts())
                try:
                    transaction = Transaction(self, staging)
                    yield transaction
                    transaction.report = self._commit(staging, writer.name)
                finally:
                    staging.close()
            if maintenance.crowded(self.path, self.manifest()):
                self.compact()

    def delete_rows(self, conditions: Mapping[str, str], *, physically: bool) -> Removed:
        """Take rows away, from all tables in one transaction.

        Args:
            conditions: by table, an SQL condition that is true of the rows to go; it may look at other tables, which it
                sees as they were before.
            physically: also remove every file that held such a row, which makes all older versions unreadable:
                ``Removed.versions`` says which.

        Returns:
            How many rows went, by table.

        Raises:
            DataError: the contract has no such table, or a condition is not one SQL expression or is refused.
            ResourceError: as ``transaction``.
        """
        for name in conditions:
            contract.table(name)
        counts: dict[str, int] = {}

        def build(before: Manifest, writer: str) -> Manifest:
            view = self._view(before, None)
            tables = dict(before.tables)
            for name, condition in conditions.items():
                found = view.places(name, condition)
                counts[name] = sum(len(positions) for positions, _ in found.values())
                if counts[name]:
                    path, state = self.path / TABLES / name, before.tables[name]
                    gone = {file: positions for file, (positions, _) in found.items()}
                    number = delta.change(contract.table(name), path, delta.prepare(path, state.delta, writer), (), gone)
                    content = (state.content - sum(digests for _, digests in found.values())) % 2**64
                    tables[name] = TableState(number, state.rows - counts[name], content, state.attributes)
            return before if tables == before.tables else Manifest(before.version + 1, tables)

        with _writing(self.path), writers.writing(self.path) as writer:
            self._publish(build, writer.name)
            cleared = maintenance.forget(self.path, keep=1) if physically else Cleared()
        return Removed(counts, cleared.versions)

    def retain(self, now_us: int) -> Removed:
        """Remove, physically, the rows that are older than ``shop.yaml`` lets them become.

        Args:
            now_us: the present, in microseconds UTC.

        Raises:
            ConfigError: ``shop.yaml`` is wrong.
            ResourceError: as ``transaction``.
        """
        due = {name: condition for name, condition in retention.outdated(self.config, now_us).items() if self._any(name, condition)}
        return self.delete_rows(due, physically=True) if due else Removed({}, ())

    def _any(self, table: str, condition: str) -> bool:
        return bool(self.view().sql(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1").num_rows)

    @property
    def config(self) -> ShopConfig:
        """What ``shop.yaml`` says.

        Raises:
            ConfigError: it has an unknown key or a bad value.
        """
        return retention.settings(self.path)

    def versions(self) -> list[int]:
        """The numbers of the versions that can be read, oldest first."""
        return manifest.versions(self.path)

    def forget(self, keep: int) -> Cleared:
        """Make every version but the ``keep`` newest unreadable and remove what only they held, from the disk.

        Views that are open keep answering.

        Raises:
            DataError: ``keep`` is below 1.
            ResourceError: as ``transaction``.
        """
        if keep < 1:
            raise DataError(f"forget: keep must be at least 1, seen {keep}; the newest version always stays")
        with _writing(self.path), writers.writing(self.path), writers.alone(self.path):
            return maintenance.forget(self.path, keep)

    def compact(self) -> Manifest:
        """Merge small files into few large ones; rows, their order and the data version stay as they are.

        Raises:
            ResourceError: as ``transaction``.
        """
        with _writing(self.path), writers.writing(self.path) as writer:
            return self._publish(lambda before, name: maintenance.merged(self.path, before, name), writer.name)

    def _publish(self, build: Callable[[Manifest, str], Manifest], writer: str) -> Manifest:
        """Put what ``build`` makes of the newest version in its place, anew while other writers are first."""
        with writers.alone(self.path):
            if writers.dead(self.path):
                maintenance.sweep(self.path)
            for _ in range(ATTEMPTS):
                before = self.manifest()
                try:
                    start = self._migrated(before, writer)
                    after = build(start, writer)
                    if after is start and start is not before:
                        after = replace(start, version=before.version + 1)
                    if after is before or self._taken(after):
                        return after
                except (OSError, DeltaError, duckdb.Error, pa.ArrowException):
                    if self._here() == (before.version, before.layout):
                        raise
                maintenance.discard(self.path, writer)
        raise ResourceError(f"{self.path}: other writers were first {ATTEMPTS} times; try again when they have ended")

    def _taken(self, after: Manifest) -> bool:
        """Is this the shop from now on? Not if another writer's version came first."""
        try:
            manifest.write(self.path, after)
        except FileExistsError:
            return False
        return True

    def _here(self) -> tuple[int, int]:
        return max(manifest.files(self.path), default=(-1, 0))

    def _migrated(self, before: Manifest, writer: str) -> Manifest:
        """The version with every table as this contract wants it."""
        if before.contract == contract.VERSION:
            return before
        tables = dict(before.tables)
        for name, state in before.tables.items():
            table, path = contract.table(name), self.path / TABLES / name
            if migrate.touched(table, delta.schema(path, state.delta), before.contract):
                draft = delta.prepare(path, state.delta, writer)
                rows = self._view(before, None).stored(name)
                number = delta.replace(table, path, draft, [(draft.files, rows)] if draft.files else [])
                tables[name] = TableState(number, state.rows, state.content, state.attributes)
        return Manifest(before.version, tables)

    def _commit(self, staging: Staging, writer: str) -> ImportReport:
        outcomes: dict[str, Outcome] = {}

        def build(before: Manifest, _: str) -> Manifest:
            tables: dict[str, TableState] = dict(before.tables)
            now_us = time.time_ns() // 1000
            for name in staging.tables:
                outcome = upsert(staging, contract.table(name), self.path / TABLES / name, before.tables.get(name), now_us)
                outcomes[name] = outcome
                if outcome.state is not None:
                    tables[name] = outcome.state
            return before if tables == before.tables else Manifest(before.version + 1, tables)

        after = self._publish(build, writer)
        return ImportReport(after.data_version, {name: self._report(staging, name, outcome) for name, outcome in outcomes.items()})

    def _report(self, staging: Staging, name: str, outcome: Outcome) -> TableReport:
        staged = staging.tables[name]
        if outcome.refused is not None:
            for piece, faults in partial.refusals(contract.table(name), staged, outcome.refused):
                staging.refuse(name, piece.file, faults)
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
        self._staging.take(chunks, mapping or {}, defaults or {}, strict=strict)


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
