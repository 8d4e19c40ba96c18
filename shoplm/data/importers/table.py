"""Any csv, jsonl or parquet file into one contract table, streamed with true line numbers.

The kind is told by the file's ending, the table by ``table`` or else by the file's stem (``reviews.csv``).
A row that cannot be read is a fault with its line; a file that cannot be read is refused in one line.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from shoplm.data import contract
from shoplm.data.convert import JSON_MARK
from shoplm.data.ingest import CHUNK_ROWS, SEEN_LENGTH, Chunk, Fault
from shoplm.errors import DataError, did_you_mean

ROWS = 20_000
CHARACTERS = 16_000_000
"""A chunk ends after so many rows or characters, whichever comes first."""

COLUMNS = 2_000
"""More columns than this are a sign that keys are data."""

BLOCK_BYTES = 12_000_000
"""Bytes of a csv file that are read at once."""

FIELD = 2_000_000
"""The longest csv cell in characters; the contract keeps half of it."""
_OPEN_QUOTE = 131_072
"""A last cell longer than this that no quote ends is taken for an open quote, not for text."""

_DELIMITERS = ",;\t|"
ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """The rows of csv, jsonl and parquet files, in order.

    Args:
        files: each ends in .csv, .tsv, .txt, .jsonl, .ndjson or .parquet.
        table: the contract table; None takes it from each file's stem.

    Raises:
        DataError: a file is missing, empty, of another kind, badly encoded or damaged, or names no contract table.
    """
    for file in files:
        target = contract.table(table).name if table else _table_of(file)
        kind = ENDINGS.get(file.suffix.lower())
        if kind is None:
            raise DataError(f"{file}: the ending `{file.suffix}` is none of {', '.join(ENDINGS)}; rename or convert the file")
        reader = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[kind]
        try:
            if file.stat().st_size == 0:
                raise DataError(f"{file}: is empty; give a file with rows")
            yield from reader(file, target)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror or _one_line(error)})") from None


def _table_of(file: Path) -> str:
    stem = file.stem.lower()
    if stem not in contract.TABLES:
        raise DataError(f"{file}: no contract table is called `{file.stem}`; {did_you_mean(stem, contract.TABLES)} Name it with table=NAME")
    return stem


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:SEEN_LENGTH]


def encoding_of(file: Path) -> str:
    """UTF-16 where the file says so, else UTF-8."""
    with file.open("rb") as raw:
        start = raw.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


def refuse_encoding(file: Path, encoding: str) -> NoReturn:
    """Say where the first byte stands that is not of the encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = breaks = 0
    with file.open("rb") as raw:
        while block := raw.read(1 << 20):
            pending = len(decoder.getstate()[0])
            try:
                breaks += decoder.decode(block).count("\n")
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode("utf-8", "ignore") if encoding == "utf-8-sig" else ""
                at, byte = offset - pending + error.start, error.object[error.start]
                raise DataError(
                    f"{file}, line {breaks + good.count(chr(10)) + 1}, byte {at}: 0x{byte:02x} is not {_spoken(encoding)}; "
                    f"save the file as UTF-8 (for example: iconv -f WINDOWS-1252 -t UTF-8)"
                ) from None
            offset += len(block)
    raise DataError(f"{file}, byte {offset}: the text breaks off inside a character; save the file again as UTF-8")


def _spoken(encoding: str) -> str:
    return "UTF-16" if encoding == "utf-16" else "UTF-8"


# csv


def _read_csv(file: Path, table: str) -> Iterator[Chunk]:
    encoding = encoding_of(file)
    try:
        yield from _csv_chunks(file, table, encoding)
    except UnicodeError:
        refuse_encoding(file, encoding)


def _csv_chunks(file: Path, table: str, encoding: str) -> Iterator[Chunk]:
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
        if encoding == "utf-8-sig" and _even_lines(head):
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
    with file.open("rb") as raw:
        raw.seek(at)
        rest, ended = b"", False
        while not ended:
            piece = raw.read(BLOCK_BYTES)
            ended = not piece
            block = rest + piece
            cut = len(block) if ended else block.rfind(b"\n") + 1
            block, rest = block[:cut], block[cut:]
            rows = _fast_block(block, names, delimiter) if block else None
            if rows is not None:
                yield Chunk(table, rows, np.arange(line + 1, line + 1 + rows.num_rows), str(file), untyped=True)
                line += rows.num_rows
            elif b'"' in block or len(rest) > BLOCK_BYTES:
                break  # a record may go on in the next block
            elif block:
                reader = csv.reader(io.StringIO(block.decode("utf-8"), newline=""), delimiter=delimiter)
                for records, lines in _csv_records(file, reader, line):
                    yield _csv_chunk(file, table, names, records, lines)
                line += reader.line_num
            at += len(block)
        else:
            return
        raw.seek(at)
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""), delimiter=delimiter)
        for records, lines in _csv_records(file, reader, line):
            yield _csv_chunk(file, table, names, records, lines)


def _even_lines(block: bytes) -> bool:
    """Does every line end in a line feed, alone or after a carriage return?"""
    return block.count(b"\r") == block.count(b"\r\n")


def _fast_block(block: bytes, names: list[str], delimiter: str) -> pa.Table | None:
    """The records of a block in which every line is one record as wide as the header, else None."""
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if b"\0" in block or not _even_lines(block) or block.startswith((b"\n", b"\r")):
        return None
    if b"\n\n" in block or b"\n\r\n" in block:
        return None
    try:
        rows = pcsv.read_csv(
            pa.BufferReader(block),
            pcsv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=False),
            pcsv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            pcsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowException:
        return None
    last = rows.slice(max(rows.num_rows - 1, 0))
    if rows.num_rows != lines or any("\n" in (cell.as_py() or "") for column in last.columns for cell in column):
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


# jsonl


def _read_jsonl(file: Path, table: str) -> Iterator[Chunk]:
    encoding = encoding_of(file)
    try:
        with file.open(encoding=encoding, newline="\n") as text:
            empty = True
            for lines, numbers in _text_lines(text):
                empty = False
                yield _json_chunk(file, table, lines, numbers)
            if empty:
                raise DataError(f"{file}: holds only blank lines; give one JSON object a line")
    except UnicodeError:
        refuse_encoding(file, encoding)


def _text_lines(text: Any) -> Iterator[tuple[list[str], list[int]]]:
    lines: list[str] = []
    numbers: list[int] = []
    size = 0
    for number, line in enumerate(text, 1):
        if line.isspace():
            continue
        lines.append(line)
        numbers.append(number)
        size += len(line)
        if len(lines) >= ROWS or size > CHARACTERS:
            yield lines, numbers
            lines, numbers, size = [], [], 0
    if lines:
        yield lines, numbers


def _constant(_: str) -> None:
    """NaN and Infinity are not JSON, and mean: no value."""


_parse: Callable[[str], Any] = json.JSONDecoder(parse_constant=_constant).decode


def _json_chunk(file: Path, table: str, lines: list[str], numbers: list[int]) -> Chunk:
    faults: list[Fault] = []
    try:
        rows = [_parse(line) for line in lines]
    except (ValueError, RecursionError):
        rows = [_parsed(line, number, faults) for line, number in zip(lines, numbers, strict=True)]
    if any("\\u" in line for line in lines):
        rows = [row if _sound(row) else _half(line, number, faults) for row, line, number in zip(rows, lines, numbers, strict=True)]
    if set(map(type, rows)) != {dict}:
        for row, line, number in zip(rows, lines, numbers, strict=True):
            if row is not _FAULTY and type(row) is not dict:
                faults.append(Fault(number, "", line.strip()[:SEEN_LENGTH], "is not a JSON object", 'write {"column": value, …}'))
        numbers = [number for row, number in zip(rows, numbers, strict=True) if type(row) is dict]
        rows = [row for row in rows if type(row) is dict]
    names = list(dict.fromkeys(key for row in rows for key in row))
    if len(names) > COLUMNS:
        raise DataError(f"{file}, near line {numbers[0]}: more than {COLUMNS} different keys; put changing keys inside one object")
    arrays, fields = [], []
    for name in names:
        array, mark = _json_column([row.get(name) for row in rows])
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=JSON_MARK if mark else None))
    whole = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    return Chunk(table, whole, np.asarray(numbers, np.int64), str(file), tuple(faults))


_FAULTY = object()


def _parsed(line: str, number: int, faults: list[Fault]) -> Any:
    try:
        return _parse(line)
    except (ValueError, RecursionError) as error:
        faults.append(Fault(number, "", line.strip()[:SEEN_LENGTH], f"is not JSON ({_one_line(error)})", "write one JSON object a line"))
        return _FAULTY


def _sound(row: Any) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except (UnicodeEncodeError, TypeError):  # TypeError: a row that is faulty already
        return row is _FAULTY
    return True


def _half(line: str, number: int, faults: list[Fault]) -> Any:
    fix = r"write both halves, such as \ud83d\ude00, or the character itself"
    faults.append(Fault(number, "", line.strip()[:SEEN_LENGTH], r"holds half a character (a lone \ud800 to \udfff)", fix))
    return _FAULTY


def _json_column(values: list[Any]) -> tuple[pa.Array, bool]:
    """The values in their own type, or, when they are of several, each as a JSON document (then True)."""
    kinds = set(map(type, values)) - {type(None)}
    if (len(kinds) <= 1 and not kinds & {dict, list}) or kinds == {int, float}:
        try:
            return pa.array(values, pa.float64() if float in kinds else None), False
        except (pa.ArrowException, OverflowError):
            pass
    elif kinds == {list} and all(item is None or type(item) is str for value in values if value for item in value):
        return pa.array(values, contract.LIST), False
    return pa.array([None if value is None else _document(value) for value in values], pa.string()), True


def _document(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:  # 1e999 is infinite to Python and no number to JSON
        return json.dumps(str(value))


# parquet


def _read_parquet(file: Path, table: str) -> Iterator[Chunk]:
    start = 1
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=CHUNK_ROWS):
                rows = pa.Table.from_batches([batch])
                yield Chunk(table, rows, np.arange(start, start + rows.num_rows), str(file))
                start += rows.num_rows
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        where = f", row {start}" if start > 1 else ""
        raise DataError(f"{file}{where}: is not a readable parquet file ({_one_line(error)}); write it again") from None
    if start == 1:
        raise DataError(f"{file}: has columns and no rows; give at least one row")
