"""Any csv, jsonl or parquet file into one contract table, streamed with true line numbers.

The kind is told by the file's ending, the table by ``table`` or else by the file's stem (``reviews.csv``).
A row that cannot be read is a fault with its line; a file that cannot be read is refused in one line.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplm.data import contract
from shoplm.data.importers._csv import csv_chunks
from shoplm.data.importers._jsonl import jsonl_chunks
from shoplm.data.importers._lines import one_line
from shoplm.data.ingest import CHUNK_ROWS, Chunk
from shoplm.errors import DataError, did_you_mean

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
            raise DataError(f"{file}: cannot be read ({error.strerror or one_line(error)})") from None


def _table_of(file: Path) -> str:
    stem = file.stem.lower()
    if stem not in contract.TABLES:
        raise DataError(f"{file}: no contract table is called `{file.stem}`; {did_you_mean(stem, contract.TABLES)} Name it with table=NAME")
    return stem


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


def _read_csv(file: Path, table: str) -> Iterator[Chunk]:
    encoding = encoding_of(file)
    try:
        yield from csv_chunks(file, table, encoding)
    except UnicodeError:
        refuse_encoding(file, encoding)


def _read_jsonl(file: Path, table: str) -> Iterator[Chunk]:
    encoding = encoding_of(file)
    try:
        yield from jsonl_chunks(file, table, encoding)
    except UnicodeError:
        refuse_encoding(file, encoding)


def _read_parquet(file: Path, table: str) -> Iterator[Chunk]:
    start = 1
    try:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:  # buffered ahead, the whole file would stay in memory
            for batch in parquet.iter_batches(batch_size=CHUNK_ROWS):
                rows = pa.Table.from_batches([batch])
                yield Chunk(table, rows, np.arange(start, start + rows.num_rows), str(file))
                start += rows.num_rows
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        where = f", row {start}" if start > 1 else ""
        raise DataError(f"{file}{where}: is not a readable parquet file ({one_line(error)}); write it again") from None
    if start == 1:
        raise DataError(f"{file}: has columns and no rows; give at least one row")
