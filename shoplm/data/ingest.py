"""What goes in at the shop's door and what is said about it: chunks of foreign rows, faults, guards, reports.

An importer yields ``Chunk``s; ``staging`` makes contract rows of them, or quarantine with file, line, column, value
seen, reason and fix. Always: rows read = inserted + updated + duplicate + quarantined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shoplm.data import contract

SEEN_LENGTH = 200
CHUNK_ROWS = 131_072
"""Rows of Python's tables that are converted at once."""


@dataclass(frozen=True)
class Fault:
    """Why one foreign row stays out."""

    line: int
    column: str
    seen: str
    reason: str
    fix: str

    def __str__(self) -> str:
        seen = f", seen {self.seen!r}" if self.seen else ""
        where = f"column `{self.column}` " if self.column else ""
        return f"line {self.line}: {where}{self.reason}{seen}; {self.fix}"


@dataclass(frozen=True)
class Chunk:
    """Some rows of one file as an importer read them.

    Attributes:
        table: the contract table that they go into.
        rows: foreign columns; names are matched to the contract's without regard to case or outer spaces.
        lines: (rows,) int64, the line on which each row begins (its row number, from 1, where a format has no lines).
        file: where they come from, for messages and the ``source`` column.
        faults: rows that could not even be read; they count as read and quarantined.
        untyped: every value is text and shows its type by its form only (csv).
        source: the foreign system that the ``source`` column names, such as "ga4"; empty stands for ``file``.
        sparse: the columns are those that the format may have, so one without any value is not a column of the file.
    """

    table: str
    rows: pa.Table
    lines: np.ndarray[Any, np.dtype[np.int64]]
    file: str
    faults: tuple[Fault, ...] = ()
    untyped: bool = False
    source: str = ""
    sparse: bool = False


class Guard(Protocol):
    """What hides people on the way in. Both parts see every value before anything is stored or said."""

    def rows(self, table: contract.Table, rows: pa.Table) -> pa.Table:
        """Rows that kept the contract, as they may be stored.

        Called after conversion and checks, before made-up keys and digests: what it hides leaves no trace in either.

        Args:
            table: the contract table that they go into.
            rows: all of the contract's columns in the contract's types; made-up keys are still null.

        Returns:
            The same columns in the same types, as many rows, in the same order.
        """
        ...

    def words(self, text: str) -> str:
        """Raw text of a faulty row, as it may stand in quarantine and reports."""
        ...


@dataclass(frozen=True)
class TableReport:
    """What became of the rows for one table."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    duplicate: int = 0
    quarantined: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Columns that the contract does not name, with the number of values now in ``attributes``."""
    quarantine: tuple[str, ...] = ()
    """The files that list the quarantined rows."""
    first_fault: str = ""


@dataclass(frozen=True)
class ImportReport:
    """What became of every row of an import: ``read == inserted + updated + duplicate + quarantined``, always."""

    data_version: str
    tables: Mapping[str, TableReport]

    def _sum(self, name: str) -> int:
        return sum(int(getattr(report, name)) for report in self.tables.values())

    @property
    def read(self) -> int:
        """Rows that the files hold."""
        return self._sum("read")

    @property
    def inserted(self) -> int:
        """Rows whose key is new."""
        return self._sum("inserted")

    @property
    def updated(self) -> int:
        """Rows that say something else than before."""
        return self._sum("updated")

    @property
    def duplicate(self) -> int:
        """Rows that were there already."""
        return self._sum("duplicate")

    @property
    def quarantined(self) -> int:
        """Rows that stay out."""
        return self._sum("quarantined")

    @property
    def unknown(self) -> dict[str, int]:
        """Values in columns that the contract does not name, by ``table.column``."""
        return {f"{name}.{column}": n for name, report in self.tables.items() for column, n in report.unknown.items()}

    def plain(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        counts = ("read", "inserted", "updated", "duplicate", "quarantined")
        tables = {
            name: {count: getattr(report, count) for count in counts}
            | {"unknown": dict(report.unknown), "quarantine": list(report.quarantine)}
            for name, report in self.tables.items()
        }
        return {"data_version": self.data_version, **{count: self._sum(count) for count in counts}, "tables": tables}

    def __str__(self) -> str:
        lines = []
        for name, report in self.tables.items():
            lines.append(
                f"{name}: {report.read} rows read = {report.inserted} new + {report.updated} updated + "
                f"{report.duplicate} already there + {report.quarantined} quarantined"
            )
            if report.unknown:
                lines.append("  kept as attributes: " + ", ".join(f"{column} ({n})" for column, n in report.unknown.items()))
            if report.quarantined:
                lines.append(f"  first fault: {report.first_fault}")
                lines.append("  all faults:  " + ", ".join(report.quarantine))
        return "\n".join([*lines, f"data version: {self.data_version}"])


def in_chunks(table: str, rows: Iterable[pa.RecordBatch | pa.Table], file: str) -> Iterator[Chunk]:
    """Arrow rows from Python as chunks, numbered from 1."""
    start = 1
    for part in rows:
        whole = part if isinstance(part, pa.Table) else pa.Table.from_batches([part])
        for offset in range(0, max(whole.num_rows, 1), CHUNK_ROWS):
            piece = whole.slice(offset, CHUNK_ROWS)
            yield Chunk(table, piece, np.arange(start, start + piece.num_rows), file)
            start += piece.num_rows
