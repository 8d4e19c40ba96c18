"""Texts of plain files, streamed: one a line of a ``.txt``, or a column of csv, jsonl and parquet with its split where one is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from shoplm.data.importers import table
from shoplm.errors import DataError, did_you_mean

NAMES = ("text", "content", "body", "utterance", "query", "message", "review", "review_text", "sentence", "description")
"""What a column of texts may be called, the likelier first."""
LINES = (".txt", ".text")
"""Endings of files with one text a line."""
COLUMNS = tuple(ending for ending in table.ENDINGS if ending not in LINES)
"""Endings of files with columns."""
ROWS = 20_000
CHARACTERS = 16_000_000
"""A part ends after so many texts or characters, whichever comes first."""


@dataclass(frozen=True)
class Texts:
    """Some texts of one file."""

    file: str
    titles: Sequence[str | None] | None
    """What stands in a column ``title`` beside each; None without such a column."""
    texts: Sequence[str | None]
    split: pa.ChunkedArray | None
    """What a column ``split`` says; None without such a column."""
    faulty: int = 0
    """Rows that could not be read."""


def read(files: Sequence[Path], mapping: Mapping[str, str] | None = None) -> Iterator[Texts]:
    """The texts of files, in order.

    Args:
        files: each ends in .txt, .csv, .tsv, .jsonl, .ndjson or .parquet.
        mapping: ``{"text": COLUMN}`` names the column of texts.

    Raises:
        DataError: a file is missing, empty, binary, of another kind or without a column of texts.
    """
    given = {key.strip().lower(): column for key, column in (mapping or {}).items()}
    for key in given:
        if key not in ("text", "title"):
            raise DataError(f"--map {key}={given[key]}: `{key}` is no field of a text file; {did_you_mean(key, ('text', 'title'))}")
    for file in files:
        if file.suffix.lower() in LINES:
            yield from _lines(file)
            continue
        if file.suffix.lower() not in COLUMNS:
            raise DataError(f"{file}: the ending `{file.suffix}` is none of {', '.join((*LINES, *COLUMNS))}; rename or convert the file")
        for chunk in table.read([file], "reviews"):
            if chunk.faults and not chunk.rows.num_rows:
                raise DataError(f"{file}, {chunk.faults[0]}")
            columns = {name.strip().lower(): name for name in chunk.rows.column_names}
            text = _column(file, given.get("text"), columns)
            title = _named(file, given["title"], columns) if "title" in given else columns.get("title")
            rows = chunk.rows
            yield Texts(
                str(file),
                _words(file, rows, title) if title is not None and title != text else None,
                _words(file, rows, text),
                rows[columns["split"]] if "split" in columns else None,
                len(chunk.faults),
            )


def _words(file: Path, rows: pa.Table, name: str) -> list[str | None]:
    try:
        found: list[str | None] = rows[name].cast(pa.string()).to_pylist()
    except pa.ArrowException:
        raise DataError(
            f"{file}: column `{name}` holds {rows[name].type}, expected texts; name another one with --map text=COLUMN"
        ) from None
    return found


def _column(file: Path, given: str | None, columns: Mapping[str, str]) -> str:
    if given is not None:
        return _named(file, given, columns)
    for name in NAMES:
        if name in columns:
            return columns[name]
    shown = ", ".join(f"`{name}`" for name in list(columns.values())[:20]) or "none"
    raise DataError(f"{file}: no column of texts; expected one of {', '.join(NAMES)}, seen {shown}; name it with --map text=COLUMN")


def _named(file: Path, given: str, columns: Mapping[str, str]) -> str:
    if given.strip().lower() not in columns:
        raise DataError(f"{file}: no column `{given}`; {did_you_mean(given, columns.values())}")
    return columns[given.strip().lower()]


def _lines(file: Path) -> Iterator[Texts]:
    """One text a line; blank lines are left out."""
    encoding = "utf-8-sig"
    try:
        if file.stat().st_size == 0:
            raise DataError(f"{file}: is empty; give a file with a text on every line")
        encoding = table.encoding_of(file)
        held: list[str | None] = []
        size, empty = 0, True
        with file.open(encoding=encoding) as text:
            for number, line in enumerate(text, 1):
                if "\0" in line:
                    raise DataError(f"{file}, line {number}: holds NUL bytes, so it is no text; give a text file, one text a line")
                if not line.isspace():
                    held.append(line)
                    size += len(line)
                if len(held) >= ROWS or size > CHARACTERS:
                    empty = False
                    yield Texts(str(file), None, held, None)
                    held, size = [], 0
        if held:
            yield Texts(str(file), None, held, None)
        elif empty:
            raise DataError(f"{file}: holds only blank lines; give a text on every line")
    except UnicodeError:
        table.refuse_encoding(file, encoding)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
