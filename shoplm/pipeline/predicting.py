"""predict a file, row by row and in order; verify that a bundle is whole and answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from shoplm.data.importers.table import read
from shoplm.errors import BundleError, DataError, did_you_mean
from shoplm.files import whole
from shoplm.pipeline.bundle import Bundle, load
from shoplm.pipeline.progress import Progress

ENDINGS = (".csv", ".jsonl", ".parquet")


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


def predict_file(bundle: Bundle, name: str | None, data: Path, out: Path | None, mapping: Mapping[str, str], progress: Progress) -> int:
    """Answer every row of a csv, jsonl or parquet file; the file's own columns come first, then the answer's.

    Args:
        bundle: the model.
        name: which task; None when it has one.
        data: the rows. A row that cannot be read refuses the whole file: answers must not slip a line.
        out: where the answers go, by its ending; None = JSON lines on stdout.
        mapping: our field -> the file's column.
        progress: who waits.

    Returns:
        How many rows were answered.

    Raises:
        DataError: the file is not to be read, or has no column that the task reads.
        ResourceError: ``out`` cannot be written; nothing is left there.
    """
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise DataError(f"--out {out}: the ending `{out.suffix}` is none of {', '.join(ENDINGS)}")
    answers = _answers(bundle, name, data, mapping)
    with progress.bar("answering", None) as advance:
        if out is None:
            return sum(_said(table, sys.stdout, advance) for table in answers)
        count = 0
        with whole(out) as partial:
            writer: Any = None
            try:
                for table in answers:
                    writer = writer or _opened(out.suffix.lower(), partial, table.schema)
                    writer.write_table(table.cast(writer_schema(table.schema)))
                    count += len(table)
                    advance(len(table))
            finally:
                if writer is not None:
                    writer.close()
            if writer is None:
                raise DataError(f"{data}: holds no rows")
    return count


def _answers(bundle: Bundle, name: str | None, data: Path, mapping: Mapping[str, str]) -> Iterator[pa.Table]:
    _, task, _, _ = bundle.part(name)
    for chunk in read([data], task.subject):
        if chunk.faults:
            raise DataError(f"{data}, {chunk.faults[0]}")
        rows = chunk.rows
        given = rows
        for ours, theirs in mapping.items():
            if theirs not in rows.column_names:
                raise DataError(f"{data}: no column `{theirs}` (--map {ours}={theirs}); {did_you_mean(theirs, rows.column_names)}")
            given = given.append_column(ours, rows[theirs]) if ours not in given.column_names else given
        answer = bundle.answer(given, name)
        table = rows
        for column, values in answer.columns.items():
            table = table.append_column(f"predicted_{column}" if column in rows.column_names else column, pa.array(list(values)))
        yield table


def writer_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns with dictionaries and nulls as plain text, as every format can hold them."""
    plain = [pa.field(f.name, pa.string() if pa.types.is_null(f.type) or pa.types.is_dictionary(f.type) else f.type) for f in schema]
    return pa.schema(plain)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8")

    def write_table(self, table: pa.Table) -> None:
        _said(table, self.file, lambda _: None)

    def close(self) -> None:
        self.file.close()


def _opened(ending: str, path: Path, schema: pa.Schema) -> _Writer:
    if ending == ".parquet":
        parquet: _Writer = pq.ParquetWriter(path, writer_schema(schema))
        return parquet
    if ending == ".csv":
        plain: _Writer = pa.csv.CSVWriter(path, writer_schema(schema))
        return plain
    return _JsonLines(path)


def _said(table: pa.Table, file: IO[str], advance: Any) -> int:
    for row in table.to_pylist():
        file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    advance(len(table))
    return len(table)


def verify(place: Path) -> str:
    """Every file of a bundle unaltered, and every task of it answers; in words.

    Raises:
        BundleError: a file is missing or altered, or a task cannot answer.
    """
    bundle = load(place)
    lines = [f"{place}: every file is as it was written"]
    for name in bundle.tasks:
        rows = bundle.predict(["A short text.", "一段短文"], name)
        if len(rows) != 2:
            raise BundleError(f"{place}: task {name} gave {len(rows)} answers to 2 texts; retrain it")
        lines.append(f"{name}: answers {', '.join(rows[0])}")
    return "\n".join(lines)
