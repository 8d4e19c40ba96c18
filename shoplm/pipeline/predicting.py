"""predict a file, row by row and in order; verify that a bundle is whole and answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from shoplm.data import contract
from shoplm.data.convert import JSON_MARK
from shoplm.data.importers.table import read
from shoplm.data.shop import Shop
from shoplm.errors import BundleError, DataError
from shoplm.files import whole
from shoplm.pipeline.bundle import Bundle, load
from shoplm.pipeline.evidence import evidence, in_words
from shoplm.pipeline.prepare import field_mapping
from shoplm.pipeline.progress import Progress
from shoplm.task import Task

ENDINGS = (".csv", ".jsonl", ".parquet")


class _Writer(Protocol):
    def write_table(self, table: pa.Table) -> None: ...
    def close(self) -> None: ...


def predict_file(
    bundle: Bundle,
    name: str | None,
    data: Path,
    out: Path | None,
    mapping: Mapping[str, str],
    progress: Progress,
    shop: Path | Shop | None = None,
    why: bool = False,
) -> int:
    """Answer every row of a csv, jsonl or parquet file; the file's own columns come first, then the answer's.

    Args:
        bundle: the model.
        name: which task; None when it has one.
        data: the rows. A row that cannot be read refuses the whole file: answers must not slip a line.
        out: where the answers go, by its ending; None = JSON lines on stdout.
        mapping: our field -> the file's column.
        progress: who waits.
        shop: where a task that needs them finds histories and facts; the file then names shoppers and items.
        why: add ``because``, the acts that mattered most; each row is then asked about some thirty times.

    Returns:
        How many rows were answered.

    Raises:
        DataError: the file is not to be read, or has no column that the task reads.
        ResourceError: ``out`` cannot be written; nothing is left there.
    """
    ending = "" if out is None else out.suffix.lower()
    if out is not None and ending not in ENDINGS:
        raise DataError(f"--out {out}: the ending `{out.suffix}` is none of {', '.join(ENDINGS)}; choose one of them")
    if out is not None and out.resolve() == data.resolve():
        raise DataError(f"--out {out}: is the file that is answered; choose another name")
    if out is not None and any((place / "checksums.json").is_file() for place in out.absolute().parents):
        raise DataError(f"--out {out}: lies inside a bundle, which would no longer be as it was written; choose another place")
    _, task, _, _ = bundle.part(name)
    if shop is not None and not task.keys:
        raise DataError(f"--shop {shop}: this task answers from a row's own words; leave it out")
    columns = field_mapping(task, data, mapping, task.keys if shop is not None else ())
    schema = _schema(data, task, ending)
    with progress.bar("answering", None) as advance:
        answers = _answers(bundle, name, data, columns, schema, shop, why)
        if out is None:
            return sum(_said(table, sys.stdout, advance) for table in answers)
        count = 0
        with whole(out) as partial:
            writer: _Writer | None = None
            try:
                for table in answers:
                    writer = writer or _opened(ending, partial, table.schema)
                    writer.write_table(table)
                    count += len(table)
                    advance(len(table))
            finally:
                if writer is not None:
                    writer.close()
    return count


def _schema(data: Path, task: Task, ending: str) -> pa.Schema:
    """The columns of all rows of a file, in types that the output can hold; read before the first answer is given.

    Raises:
        DataError: a row cannot be read.
    """
    found: dict[str, pa.DataType] = {}
    for chunk in read([data], task.subject):
        if chunk.faults:
            raise DataError(f"{data}, {chunk.faults[0]}")
        for field in chunk.rows.schema:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            before = found.get(field.name, pa.null())
            same = before == kind or pa.types.is_null(kind)
            found[field.name] = before if same else kind if pa.types.is_null(before) else pa.string()
    return pa.schema([pa.field(name, kind if _holds(ending, kind) else pa.string()) for name, kind in found.items()])


def _holds(ending: str, kind: pa.DataType) -> bool:
    """Whether a format has a place for values of a type; what it has none for is written as JSON."""
    if ending == ".csv":
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        return bool(number or pa.types.is_string(kind) or (pa.types.is_temporal(kind) and not pa.types.is_duration(kind)))
    return not pa.types.is_null(kind)


def _answers(
    bundle: Bundle, name: str | None, data: Path, columns: Mapping[str, str], schema: pa.Schema, shop: Path | Shop | None, why: bool
) -> Iterator[pa.Table]:
    _, task, _, fitted = bundle.part(name)
    known = {*contract.TABLES[task.subject].by_name, *task.plain, *fitted.features.names}
    for chunk in read([data], task.subject):
        rows = chunk.rows
        places = {low: column for column in rows.column_names if (low := column.strip().lower()) in known}
        places |= {ours: _named(theirs, rows.column_names) for ours, theirs in columns.items()}
        given = {ours: rows[theirs] for ours, theirs in places.items() if theirs in rows.column_names}
        asked = pa.table({**{word: pa.nulls(len(rows), pa.string()) for word in task.reads}, **given})
        answer = bundle.answer(asked, name, shop)
        table = pa.table([_as(rows, field) for field in schema], schema=schema)
        for column, values in answer.columns.items():
            table = table.append_column(_free(column, schema.names), pa.array(list(values)))
        if why:
            reasons = [in_words(found) for found in evidence(bundle, asked, name, shop)]
            table = table.append_column(_free("because", schema.names), pa.array(reasons, pa.string()))
        yield table


def _named(theirs: str, names: Sequence[str]) -> str:
    """The column as the file writes it; ``--map`` does not mind case."""
    return next((name for name in names if name.strip().lower() == theirs.strip().lower()), theirs)


def _free(column: str, taken: Sequence[str]) -> str:
    """A name for an answer beside the file's own columns."""
    while column in taken:
        column = f"predicted_{column}"
    return column


def _as(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """One column in the type in which it is written."""
    if field.name not in rows.column_names:
        return pa.nulls(len(rows), field.type)
    column = rows[field.name]
    marked = rows.schema.field(field.name).metadata == JSON_MARK
    if not pa.types.is_string(field.type) or (pa.types.is_string(column.type) and not marked):
        return column.cast(field.type)
    values = [json.loads(value) if marked and value is not None else value for value in column.to_pylist()]
    return pa.array([None if value is None else _in_words(value) for value in values], pa.string())


def _in_words(value: Any) -> str:
    """A value of any type as text: lists and objects as JSON, anything else as people write it."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict | bool) else str(value)


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8")

    def write_table(self, table: pa.Table) -> None:
        _said(table, self.file, lambda _: None)

    def close(self) -> None:
        self.file.close()


def _opened(ending: str, path: Path, schema: pa.Schema) -> _Writer:
    if ending == ".parquet":
        parquet: _Writer = pq.ParquetWriter(path, schema)
        return parquet
    if ending == ".csv":
        plain: _Writer = pa.csv.CSVWriter(path, schema)
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
