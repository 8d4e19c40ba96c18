"""Traces of a person in files: what to look for, and a search that sees through Parquet, SQLite, gzip and zip.

A trace is an id, a hash, an e-mail, a telephone number or a piece of a text of theirs. Every file is searched as raw bytes;
Parquet values and statistics and SQLite values are searched decoded as well. An id counts only where it stands alone
(``u1`` is not in ``u12``), and one of fewer than six bytes is not sought in compressed bytes, where it would be found by chance.
"""

from __future__ import annotations

import contextlib
import gzip
import html
import json
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplm.errors import ResourceError

WINDOW = 48
"""Signs of a piece of text that is searched for; a text is known by its beginning, its middle and its end."""
SHORT = 6
"""Bytes below which compressed data holds anything by chance."""
BLOCK = 4 << 20
ROWS = 5_000
"""Rows of a SQLite table that are searched at once."""
TOGETHER = 60
"""Needles in one pattern."""

_APART = r"[^0-9A-Za-z_]"


@dataclass(frozen=True)
class Traces:
    """What must not be found.

    Attributes:
        ids: names of the person; they count only where they stand alone.
        pieces: e-mails, numbers and pieces of texts; they count anywhere.
    """

    ids: tuple[str, ...]
    pieces: tuple[str, ...]

    def patterns(self, longer_than: int = 0) -> list[str]:
        """Regular expressions (RE2, bytes) that find them."""
        found = [_byte_pattern(form) for piece in self.pieces for form in _forms(piece)]
        for name in self.ids:
            if len(name.encode()) > longer_than:
                found += [f"(?:^|{_APART}){_byte_pattern(form)}(?:$|{_APART})" for form in _forms(name)]
        return ["|".join(found[start : start + TOGETHER]) for start in range(0, len(found), TOGETHER)]

    def loose(self) -> list[str]:
        """The same without regard to what stands around an id: finds at least as much, and never needs borders."""
        found = [_byte_pattern(form) for one in (*self.pieces, *self.ids) for form in _forms(one)]
        return ["|".join(found[start : start + TOGETHER]) for start in range(0, len(found), TOGETHER)]

    def in_text(self, text: str) -> bool:
        """Does one of them stand in the text?"""
        return self.in_texts([text])[0]

    def in_texts(self, texts: Sequence[str]) -> list[bool]:
        """Does one of them stand in each text?"""
        found: list[bool] = [False] * len(texts)
        values = pa.array([text.encode("utf-8", "surrogatepass") for text in texts], pa.large_binary())
        for pattern in self.patterns() if len(values) else ():
            if _in_values(values, [pattern], [pattern.replace(f"(?:^|{_APART})", "").replace(f"(?:$|{_APART})", "")]):
                found = [one or two for one, two in zip(found, pc.match_substring_regex(values, pattern).to_pylist(), strict=True)]
        return found


def pieces_of(text: str) -> list[str]:
    """What a text is known by: all of it if it is short, else its beginning, middle and end."""
    text = text.strip()
    if len(text) <= WINDOW:
        return [text]
    middle = (len(text) - WINDOW) // 2
    return [text[:WINDOW], text[middle : middle + WINDOW], text[-WINDOW:]]


def files_under(*folders: Path) -> Iterator[Path]:
    """Every file, in order; links are not followed."""
    for folder in folders:
        if folder.is_file():
            yield folder
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield path


def search(files: Iterable[Path], traces: Traces) -> list[str]:
    """The files in which a trace stands, each as ``path`` or ``path (what inside)``.

    Raises:
        ResourceError: a file cannot be read.
    """
    if not traces.ids and not traces.pieces:
        return []
    raw, short, loose = traces.patterns(), traces.patterns(SHORT - 1), traces.loose()
    found = []
    for file in files:
        try:
            found += [f"{file}{where}" for where in _in_file(file, raw, short, loose)]
        except FileNotFoundError:  # gone between listing and reading
            continue
        except OSError as error:
            raise ResourceError(f"{file}: cannot be searched ({error.strerror or error}); check the file's permissions") from None
    return found


def _in_file(file: Path, raw: list[str], short: list[str], loose: list[str]) -> Iterator[str]:
    with file.open("rb") as handle:
        head = handle.read(16)
    packed = head[:4] in (b"PAR1", b"PK\x03\x04") or head[:2] == b"\x1f\x8b"
    if _in_raw(file, short if packed or b"\0" in head else raw):
        yield ""
    if head[:4] == b"PAR1":
        yield from _in_parquet(file, raw, loose)
    elif head[:15] == b"SQLite format 3":
        yield from _in_sqlite(file, raw, loose)
    elif head[:4] == b"PK\x03\x04":
        yield from _in_zip(file, raw)
    elif head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(file) as inside:
                if _in_stream(inside, raw):
                    yield " (inside gzip)"
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield " (gzip that cannot be read)"


def _in_raw(file: Path, patterns: list[str]) -> bool:
    with file.open("rb") as handle:
        return _in_stream(handle, patterns)


def _in_stream(handle: Any, patterns: list[str]) -> bool:
    kept = b""
    while block := handle.read(BLOCK):
        whole = pa.array([kept + block], pa.large_binary())
        if any(_matches(whole, pattern) for pattern in patterns):
            return True
        kept = (kept + block)[-4 * 6 * WINDOW :]  # the longest form of a piece
    return False


def _in_parquet(file: Path, patterns: list[str], loose: list[str]) -> Iterator[str]:
    try:
        parquet = pq.ParquetFile(file, pre_buffer=False)
    except pa.ArrowException:
        yield " (Parquet that cannot be read)"
        return
    with parquet:
        columns = [field.name for field in parquet.schema_arrow if _has_text(field.type)]
        for group in range(parquet.num_row_groups):
            seen = []
            for number in range(parquet.metadata.num_columns):
                statistics = parquet.metadata.row_group(group).column(number).statistics
                if statistics is not None and statistics.has_min_max:
                    seen += [
                        str(value).encode("utf-8", "replace")
                        for value in (statistics.min, statistics.max)
                        if isinstance(value, str | bytes)
                    ]
            if seen and any(_matches(pa.array(seen, pa.large_binary()), pattern) for pattern in patterns):
                yield f" (statistics of row group {group})"
            rows = parquet.read_row_group(group, columns=columns, use_threads=False)
            for name in columns:
                if any(_in_values(chunk, patterns, loose) for chunk in rows[name].chunks):
                    yield f" (column {name}, row group {group})"


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _has_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _in_values(values: pa.Array, patterns: list[str], loose: list[str]) -> bool:
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = values.flatten()
    if not len(values) or values.null_count == len(values):
        return False
    data = values.buffers()[2]
    if data is None or not data.size:
        return False
    # all values at once, as one: only where that finds something is each value looked at
    ends = pa.py_buffer((0).to_bytes(8, "little") + int(data.size).to_bytes(8, "little"))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, data])
    if not any(_matches(whole, pattern) for pattern in loose):
        return False
    binary = values.cast(pa.large_binary())
    return any(_matches(binary, pattern) for pattern in patterns)


def _in_sqlite(file: Path, patterns: list[str], loose: list[str]) -> Iterator[str]:
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as con:
            con.text_factory = bytes
            names = [row[0].decode() for row in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in names:
                rows = con.execute('SELECT * FROM "' + name.replace('"', '""') + '"')
                while some := rows.fetchmany(ROWS):
                    values = [value for row in some for value in row if isinstance(value, bytes)]
                    if values and _in_values(pa.array(values, pa.large_binary()), patterns, loose):
                        yield f" (table {name})"
                        break
    except sqlite3.Error:
        yield " (SQLite that cannot be read)"


def _in_zip(file: Path, patterns: list[str]) -> Iterator[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as inside:
                    if _in_stream(inside, patterns):
                        yield f" (member {name})"
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError):
        yield " (zip that cannot be read)"


def _matches(values: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())


def _forms(text: str) -> list[str]:
    """A text as it may be written: plain, in JSON with and without escapes, in HTML, in CSV."""
    plain = {
        text,
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(text)[1:-1],
        html.escape(text),
        html.escape(text, quote=False),
        text.replace('"', '""'),
    }
    return sorted(plain)


def _byte_pattern(text: str) -> str:
    """The bytes of a text as a pattern of RE2 in Latin-1, one sign a byte."""
    return "".join(re.escape(chr(byte)) if byte < 128 else f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
