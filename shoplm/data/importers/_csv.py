"""A csv file as chunks: blocks in which every line is one record by Arrow's reader, all else by Python's, with true line numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv

from shoplm.data.importers._lines import CHARACTERS, COLUMNS, ROWS, byte_blocks
from shoplm.data.ingest import SEEN_LENGTH, Chunk, Fault
from shoplm.errors import DataError

Letters = np.ndarray[Any, np.dtype[np.uint8]]

BLOCK_BYTES = 12_000_000
"""Bytes of a csv file that are read at once."""

FIELD = 2_000_000
"""The longest csv cell in characters; the contract keeps half of it."""
_OPEN_QUOTE = 131_072
"""A last cell longer than this that no quote ends is taken for an open quote, not for text."""

_DELIMITERS = ",;\t|"


def csv_chunks(file: Path, table: str, encoding: str) -> Iterator[Chunk]:
    """The rows of a csv file under its header.

    Args:
        file: its first row that is not blank is the header.
        table: the contract table that they go into.
        encoding: utf-8-sig or utf-16.

    Raises:
        DataError: there is no header or no row, two columns share a name, or a quote is left open.
        UnicodeError: the text is not of that encoding.
    """
    csv.field_size_limit(max(csv.field_size_limit(), FIELD))
    with file.open(encoding=encoding, newline="") as text:
        delimiter = _delimiter(text.read(1 << 16))
        text.seek(0)
        reader = csv.reader(text, delimiter=delimiter)
        try:
            header = next((row for row in reader if row), None)
        except csv.Error as error:
            raise DataError(f"{file}, line 1: the header cannot be read ({error})") from None
        if header is None:
            raise DataError(f"{file}: holds only blank lines; give a header line and rows")
        names = _names(file, header)
        empty = True
        with file.open("rb") as raw:
            head = b"".join(raw.readline() for _ in range(reader.line_num))
        if encoding == "utf-8-sig" and _even_lines(np.frombuffer(head, np.uint8)):
            chunks = _csv_blocks(file, table, names, delimiter, len(head), reader.line_num)
        else:
            chunks = (_csv_chunk(file, table, names, rows, lines) for rows, lines in _csv_records(file, reader, 0))
        for chunk in chunks:
            empty = False
            yield chunk
        if empty:
            raise DataError(f"{file}: has a header and no rows; give at least one row")


def _csv_blocks(file: Path, table: str, names: list[str], delimiter: str, at: int, line: int) -> Iterator[Chunk]:
    """The rows from byte ``at`` on, after ``line`` lines: whole blocks by Arrow's reader, those that it may read otherwise by Python's."""
    for part in byte_blocks(file, at, BLOCK_BYTES, BLOCK_BYTES):
        whole = part.last or bool(len(part.ends))
        rows = _fast_block(part.letters, part.ends, names, delimiter) if whole else None
        if rows is not None:
            yield Chunk(table, rows, np.arange(line + 1, line + 1 + rows.num_rows), str(file), untyped=True)
            line += rows.num_rows
        elif not whole or (part.letters == ord('"')).any():
            at = part.offset  # a record may go on in the next block
            break
        else:
            reader = csv.reader(io.StringIO(part.letters.tobytes().decode("utf-8"), newline=""), delimiter=delimiter)
            for records, lines in _csv_records(file, reader, line):
                yield _csv_chunk(file, table, names, records, lines)
            line += reader.line_num
    else:
        return
    with file.open("rb") as raw:
        raw.seek(at)
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""), delimiter=delimiter)
        for records, lines in _csv_records(file, reader, line):
            yield _csv_chunk(file, table, names, records, lines)


def _even_lines(letters: Letters) -> bool:
    """Does every line end in a line feed, alone or after a carriage return?"""
    returns = np.flatnonzero(letters == 13)
    return not len(returns) or bool(returns[-1] + 1 < len(letters) and (letters[returns + 1] == 10).all())


def _fast_block(letters: Letters, ends: np.ndarray[Any, np.dtype[np.int64]], names: list[str], delimiter: str) -> pa.Table | None:
    """The records of a block in which every line is one record as wide as the header, else None; ``ends`` are its line feeds."""
    if (letters == 0).any() or not _even_lines(letters) or letters[0] in (10, 13):
        return None
    if len(ends) > 1 and ((width := np.diff(ends)) == 1).any() | ((width == 2) & (letters[ends[1:] - 1] == 13)).any():
        return None  # an empty line is a row to Arrow
    try:
        rows = pcsv.read_csv(
            pa.BufferReader(pa.py_buffer(letters)),
            pcsv.ReadOptions(column_names=names, block_size=len(letters) + 1, use_threads=False),
            pcsv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False, quote_char='"' if (letters == ord('"')).any() else False),
            pcsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowException:
        return None
    if rows.num_rows != len(ends) + int(letters[-1] != 10):
        return None
    last = rows.slice(max(rows.num_rows - 1, 0))
    if any("\n" in (cell.as_py() or "") for column in last.columns for cell in column):
        return None
    return rows


def _names(file: Path, header: list[str]) -> list[str]:
    names = [name.strip() or f"column_{place}" for place, name in enumerate(header, 1)]
    if "\0" in "".join(names):
        raise DataError(f"{file}, line 1: the header holds NUL bytes; is this a csv file?")
    if len(names) > COLUMNS:
        raise DataError(f"{file}, line 1: {len(names)} columns, at most {COLUMNS} are read; is the delimiter right?")
    lowered = [name.lower() for name in names]
    for name in names:
        if lowered.count(name.lower()) > 1:
            raise DataError(f"{file}, line 1: two columns are called `{name}`; rename one")
    return names


def _delimiter(sample: str) -> str:
    """The one of , ; tab | under which the most of the first rows are as wide as the header, then the widest."""
    best, choice = (0.0, 1), "\x1f"  # with one column only, nothing divides a line
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in islice(csv.reader(sample.splitlines(keepends=True), delimiter=delimiter), 30) if row]
        except csv.Error:
            continue
        if len(rows) > 2:
            rows = rows[:-1]  # the sample may cut the last row
        width = len(rows[0]) if rows else 0
        score = (sum(len(row) == width for row in rows) / len(rows), width) if rows else (0.0, 0)
        if width > 1 and score > best:
            best, choice = score, delimiter
    return choice


def _csv_records(file: Path, reader: Any, skipped: int) -> Iterator[tuple[list[list[str]], list[int]]]:
    """Records and the lines on which they begin, where the reader began after ``skipped`` lines."""
    rows: list[list[str]] = []
    lines: list[int] = []
    size, measured, before = 0, 0, skipped + reader.line_num
    while True:
        try:
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(before + 1)
                before = skipped + reader.line_num
                if len(rows) - measured >= 256:
                    size += sum(map(len, map("".join, rows[measured:])))
                    measured = len(rows)
                    if measured >= ROWS or size > CHARACTERS:
                        break
            else:
                if rows:
                    _refuse_open_quote(file, rows[-1], lines[-1])
                    yield rows, lines
                return
        except csv.Error as error:
            raise DataError(f"{file}, line {before + 1}: {error}; is a quote left open there?") from None
        yield rows, lines
        rows, lines, size, measured = [], [], 0, 0


def _refuse_open_quote(file: Path, last: list[str], line: int) -> None:
    if len(last[-1]) > _OPEN_QUOTE and "\n" in last[-1]:
        with file.open("rb") as raw:
            raw.seek(-8, 2)
            if not raw.read().rstrip().endswith(b'"'):
                raise DataError(f"{file}, line {line}: the last cell has {len(last[-1])} characters; is a quote left open there?")


def _csv_chunk(file: Path, table: str, names: list[str], rows: list[list[str]], lines: list[int]) -> Chunk:
    width, faults = len(names), []
    if set(map(len, rows)) != {width}:
        fix = f"give every row {width} cells; quote cells that hold the delimiter"
        for row, line in zip(rows, lines, strict=True):
            if len(row) != width:
                faults.append(Fault(line, "", str(row)[:SEEN_LENGTH], f"has {len(row)} cells, the header {width}", fix))
        lines = [line for row, line in zip(rows, lines, strict=True) if len(row) == width]
        rows = [row for row in rows if len(row) == width]
    columns = list(zip(*rows, strict=True)) if rows else [()] * width
    arrays = [pa.array(column, pa.string()) for column in columns]
    return Chunk(table, pa.table(arrays, names=names), np.asarray(lines, np.int64), str(file), tuple(faults), untyped=True)
