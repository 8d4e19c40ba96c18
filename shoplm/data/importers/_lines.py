"""Files as lines, JSON records and csv rows, each with the line on which it begins, in flat memory.

The text is UTF-8 (with or without a mark) or, when it is marked so, UTF-16; anything else is refused with line and
byte. A JSON file holds one object a line, or one list of objects over any lines.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data.ingest import SEEN_LENGTH, Fault
from shoplm.errors import DataError

ROWS = 20_000
CHARACTERS = 16_000_000
"""A batch ends after so many rows or characters, whichever comes first."""

COLUMNS = 2_000
"""More columns than this are a sign that keys are data."""

BLOCK = 1 << 20

Record = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """Some records of one file and the lines on which they begin, with what could not be read between them."""

    records: list[Record]
    lines: list[int]
    faults: list[Fault]


@contextmanager
def opened(file: Path) -> Iterator[None]:
    """What goes wrong while a file is read, said in one line.

    Raises:
        DataError: the file is missing, empty, or cannot be read.
    """
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{file}: is empty; give a file with rows")
        yield
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or one_line(error)})") from None


def one_line(error: Exception) -> str:
    """An error's words, on one line."""
    return " ".join(str(error).split())[:SEEN_LENGTH]


def seen(value: object) -> str:
    """A foreign value as a fault shows it."""
    if value is None:
        return ""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return " ".join(text[: SEEN_LENGTH * 2].split())[:SEEN_LENGTH]


def text_lines(file: Path) -> Iterator[str]:
    """The lines of a text, each with the line feed that ends it; a carriage return before that is kept.

    Raises:
        DataError: a byte is not of the encoding; the message says line and place.
    """
    with file.open("rb") as raw:
        mark = raw.read(4)
        wide = mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raw.seek(3 if mark.startswith(codecs.BOM_UTF8) else 0)
        decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")()
        name, number, rest, done = ("UTF-16" if wide else "UTF-8"), 1, "", False
        while not done:
            at = raw.tell()
            block = raw.read(BLOCK)
            done = not block
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, done)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode("utf-8", "ignore").count("\n") if not wide else 0
                where = f"{file}, line {number + rest.count(chr(10)) + before}, byte {at - held + error.start}"
                what = (
                    f"0x{error.object[error.start]:02x} is not {name}" if error.start < len(error.object) else f"breaks off inside {name}"
                )
                raise DataError(f"{where}: {what}; save the file as UTF-8 (for example: iconv -f WINDOWS-1252 -t UTF-8)") from None
            lines = (rest + text).split("\n")
            rest = lines.pop()
            for line in lines:
                number += 1
                yield line + "\n"
            if len(rest) > CHARACTERS * 4:
                raise DataError(f"{file}, line {number}: is longer than {CHARACTERS * 4} characters; is this a text with lines?")
        if rest:
            yield rest


@dataclass(frozen=True)
class Block:
    """Whole lines of a text as Arrow holds them, without their ends; blank lines are left out."""

    text: pa.StringArray
    numbers: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Bytes:
    """Whole lines of a file as they stand, the last one with its end or without.

    Attributes:
        letters: (bytes,) uint8.
        ends: (lines,) where the line feeds stand.
        offset: of the first byte in the file.
        last: does the file end here?
    """

    letters: np.ndarray[Any, np.dtype[np.uint8]]
    ends: np.ndarray[Any, np.dtype[np.int64]]
    offset: int
    last: bool


def byte_blocks(file: Path, start: int, size: int, longest: int) -> Iterator[Bytes]:
    """Whole lines in blocks of about ``size`` bytes; of a line that is longer than ``longest`` only its begin comes, as the last block.

    Args:
        file: any bytes.
        start: the byte to begin at.
        size: bytes that are read at a time.
        longest: bytes of a line.
    """
    with file.open("rb", buffering=0) as raw:
        raw.seek(start)
        rest, ended = np.empty(0, np.uint8), False
        while not ended:
            # NumPy asks for large pages: with bytes, the system would be busier with giving out memory than we with reading
            letters = np.empty(len(rest) + size, np.uint8)
            letters[: len(rest)] = rest
            filled = len(rest)
            while filled < len(letters) and (got := raw.readinto(letters[filled:].data)):
                filled += got
            ended = filled < len(letters)
            ends = np.flatnonzero(letters[:filled] == 10)
            cut = filled if ended else (int(ends[-1]) + 1 if len(ends) else 0)
            rest = letters[cut:filled]
            if cut:
                yield Bytes(letters[:cut], ends, start, ended)
                start += cut
            if len(rest) > longest:
                yield Bytes(rest, np.empty(0, np.int64), start, False)
                return


def line_blocks(file: Path, size: int) -> Iterator[Block]:
    """The lines of a UTF-8 text in blocks of about ``size`` bytes, never one by one.

    Raises:
        DataError: a byte is not of UTF-8, or a line is longer than four times ``CHARACTERS``.
    """
    with file.open("rb") as raw:
        marked = raw.read(3) == codecs.BOM_UTF8
    number = 1
    for part in byte_blocks(file, 3 if marked else 0, size, CHARACTERS * 4):
        if not part.last and not len(part.ends):
            raise DataError(f"{file}, line {number}: is longer than {CHARACTERS * 4} characters; is this a text with lines?")
        try:
            if not is_utf8(part.letters):
                part.letters.tobytes().decode()
        except UnicodeDecodeError as error:
            where = f"{file}, line {number + int((part.letters[: error.start] == 10).sum())}, byte {part.offset + error.start}"
            what = f"0x{part.letters[error.start]:02x} is not UTF-8"
            raise DataError(f"{where}: {what}; save the file as UTF-8 (for example: iconv -f WINDOWS-1252 -t UTF-8)") from None
        yield _block(part, number)
        number += len(part.ends)


def is_utf8(letters: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Asked without making a text of it."""
    try:
        pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(letters)], np.int32)), pa.py_buffer(letters)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _block(part: Bytes, number: int) -> Block:
    letters, ends = part.letters, part.ends
    if letters[-1] != 10:
        letters, ends = np.append(letters, np.uint8(10)), np.append(ends, len(letters))
    # a line keeps its "\n", which is space to JSON: so one buffer of offsets serves for begins and ends
    offsets = np.concatenate([[0], ends + 1]).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(letters))
    numbers = np.arange(number, number + len(ends), dtype=np.int64)
    first = letters[offsets[:-1]]
    if not ((first <= 0x20) | (first >= 0x7F)).any():  # each begins with a letter of ASCII, so none is blank
        return Block(lines, numbers)
    filled = np.flatnonzero(pc.not_equal(pc.utf8_trim_whitespace(lines), "").to_numpy(zero_copy_only=False))
    return Block(lines, numbers) if len(filled) == len(ends) else Block(lines.take(pa.array(filled)), numbers[filled])


# JSON


def _constant(_: str) -> None:
    """NaN and Infinity are not JSON, and mean: no value."""


DECODER = json.JSONDecoder(parse_constant=_constant)


def _begun(file: Path, wanted: str) -> tuple[Iterator[str], int, str]:
    """The lines behind the first that is not blank, how many blank ones stood before it, and that line.

    Raises:
        DataError: there is none; the message says what is ``wanted``.
    """
    lines = text_lines(file)
    for skipped, first in enumerate(lines):
        if not first.isspace():
            return lines, skipped, first
    raise DataError(f"{file}: holds only blank lines; give {wanted}")


def json_batches(file: Path) -> Iterator[Batch]:
    """The objects of a JSON Lines file, or of a file that is one JSON list, in order.

    Raises:
        DataError: the file holds nothing, is badly encoded, or is a list that breaks off.
    """
    lines, skipped, first = _begun(file, "one JSON object a line")
    whole = first.lstrip().startswith("[")
    values = _of_list(file, lines, first, skipped + 1) if whole else _of_lines(lines, first, skipped + 1)
    batch, size, empty = Batch([], [], []), 0, True
    for number, value, length in values:
        empty = False
        if isinstance(value, Fault):
            batch.faults.append(value)
        elif not isinstance(value, dict):
            batch.faults.append(Fault(number, "", seen(value), "is not a JSON object", 'write {"column": value, …}'))
        else:
            batch.records.append(value)
            batch.lines.append(number)
        size += length
        if len(batch.records) + len(batch.faults) >= ROWS or size > CHARACTERS:
            yield batch
            batch, size = Batch([], [], []), 0
    if empty:
        raise DataError(f"{file}: is an empty list; give at least one object")
    if batch.records or batch.faults:
        yield batch


def _of_lines(lines: Iterator[str], first: str, number: int) -> Iterator[tuple[int, Any, int]]:
    line: str | None = first
    while line is not None:
        if not line.isspace():
            yield number, _parsed(line, number), len(line)
        line, number = next(lines, None), number + 1


def _parsed(line: str, number: int) -> Any:
    try:
        value = DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        return Fault(number, "", line.strip()[:SEEN_LENGTH], f"is not JSON ({one_line(error)})", "write one JSON object a line")
    return value if "\\u" not in line or _sound(value) else _half(number)


def _sound(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _half(number: int) -> Fault:
    fix = r"write both halves, such as \ud83d\ude00, or the character itself"
    return Fault(number, "", "", r"holds half a character (a lone \ud800 to \udfff)", fix)


def _of_list(file: Path, lines: Iterator[str], first: str, number: int) -> Iterator[tuple[int, Any, int]]:
    """The elements of one long list, without ever holding it whole."""
    at = first.index("[") + 1
    text, want, state = first, BLOCK // 16, "first"
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            number += text[at] == "\n"
            at += 1
        if at < len(text):
            sign = text[at]
            if sign == "]" and state in ("first", "after"):
                break
            if sign == "," and state == "after":
                at, state = at + 1, "before"
                continue
            if state == "after":
                raise DataError(f"{file}, line {number}: seen {text[at : at + 20]!r}, expected `,` or `]` after an element of the list")
            try:
                value, end = DECODER.raw_decode(text, at)
            except RecursionError:
                raise DataError(f"{file}, line {number}: is nested too deeply") from None
            except ValueError as error:
                problem = one_line(error)
            else:
                if end < len(text):  # a number may go on in the next block
                    yield number, value if "\\u" not in text[at:end] or _sound(value) else _half(number), end - at
                    number += text.count("\n", at, end)
                    at, want, state = end, BLOCK // 16, "after"
                    continue
                problem = "breaks off"
        else:
            problem = "the list has no end"
        text, at, size = text[at:], 0, 0
        more = [text]
        for line in lines:
            more.append(line)
            size += len(line)
            if size >= want:
                break
        if not size:
            raise DataError(f"{file}, line {number}: is not JSON ({problem}); write the list again, or one JSON object a line")
        if len(text) > CHARACTERS * 4:
            raise DataError(f"{file}, line {number}: one element is longer than {CHARACTERS * 4} characters, or is not JSON ({problem})")
        text, want = "".join(more), want * 2
    rest = text[at + 1 :] + "".join(line for _, line in zip(range(100), lines, strict=False))
    if rest.strip():
        raise DataError(
            f"{file}, line {number}: the list ends, and more follows ({rest.strip()[:40]!r}); give one list, or one object a line"
        )


# csv


def csv_batches(file: Path, delimiters: str = ",;\t|", *, quoted: bool = True) -> Iterator[Batch]:
    """The rows under a header as records of texts; a blank cell has no value.

    Args:
        file: its first row that is not blank is the header.
        delimiters: the one of these that the header holds most often divides the cells.
        quoted: may cells be quoted, and then hold delimiters and line ends.

    Raises:
        DataError: there is no header or no row, two columns share a name, a quote is left open, or the text is badly encoded.
    """
    rows = _cells(file, delimiters, quoted)
    _, header = next(rows)
    names = [name.strip() or f"column_{place}" for place, name in enumerate(header, 1)]
    if len(names) > COLUMNS:
        raise DataError(f"{file}: {len(names)} columns, at most {COLUMNS} are read; is the delimiter right?")
    lowered = [name.lower() for name in names]
    for name in names:
        if lowered.count(name.lower()) > 1:
            raise DataError(f"{file}: two columns are called `{name}`; rename one")
    batch, size, empty = Batch([], [], []), 0, True
    for number, row in rows:
        empty = False
        if len(row) == len(names):
            batch.records.append({name: cell for name, cell in zip(names, row, strict=True) if cell and not cell.isspace()})
            batch.lines.append(number)
        else:
            fix = f"give every row {len(names)} cells; quote cells that hold the delimiter"
            batch.faults.append(Fault(number, "", seen(row), f"has {len(row)} cells, the header {len(names)}", fix))
        size += sum(map(len, row))
        if len(batch.records) + len(batch.faults) >= ROWS or size > CHARACTERS:
            yield batch
            batch, size = Batch([], [], []), 0
    if empty:
        raise DataError(f"{file}: has a header and no rows; give at least one row")
    if batch.records or batch.faults:
        yield batch


def header(file: Path, delimiters: str = ",;\t|", *, quoted: bool = True) -> list[str]:
    """The names in the first row of a csv file that is not blank.

    Raises:
        DataError: there is none, or the text is badly encoded.
    """
    return [name.strip() for name in next(_cells(file, delimiters, quoted))[1]]


def _cells(file: Path, delimiters: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank, the header first; there is always a header."""
    lines, skipped, first = _begun(file, "a header line and rows")
    delimiter = max(delimiters, key=first.count)
    if not quoted:
        yield skipped + 1, first.rstrip("\r\n").split(delimiter)
        for number, line in enumerate(lines, skipped + 2):
            if not line.isspace():
                yield number, line.rstrip("\r\n").split(delimiter)
        return

    def again() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(again(), delimiter=delimiter)
    before, nothing = 0, True
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                nothing = False
                yield skipped + before + 1, row
            before = reader.line_num
    except csv.Error as error:
        raise DataError(f"{file}, line {skipped + before + 1}: {error}; is a quote left open there?") from None
    if nothing:
        raise DataError(f"{file}: has no header; give a header line and rows")
