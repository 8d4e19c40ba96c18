"""A JSON Lines file as chunks: plain blocks by Arrow's reader, all else line by line by Python's.

A block is plain if each of its lines is one object without objects in it, and every column has values of one type.
What Arrow would read otherwise than Python's reader, such as times, great numbers and NaN, is found out and left to that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pjson

from shoplm.data import contract
from shoplm.data.convert import JSON_MARK
from shoplm.data.importers._lines import CHARACTERS, COLUMNS, DECODER, ROWS, Block, line_blocks, one_line
from shoplm.data.ingest import SEEN_LENGTH, Chunk, Fault
from shoplm.errors import DataError

BLOCK_BYTES = 12_000_000
"""Bytes of lines that are read at once."""
_SAMPLED = 100
"""The first lines of a block tell which columns hold texts and lists."""
_DEEP = 64
"""More lists than this in one line, and Python reads the block: Arrow's reader dies of deep ones."""
_EXACT = 2.0**53
"""Whole numbers below this are floats without loss."""


def jsonl_chunks(file: Path, table: str, encoding: str) -> Iterator[Chunk]:
    """The objects of a file, one a line.

    Args:
        file: JSON Lines.
        table: the contract table that they go into.
        encoding: utf-8-sig or utf-16.

    Raises:
        DataError: it holds only blank lines, or too many different keys.
        UnicodeError: the text is not of that encoding.
    """
    empty = True
    for chunk in _by_blocks(file, table) if encoding == "utf-8-sig" else _by_lines(file, table, encoding):
        empty = False
        yield chunk
    if empty:
        raise DataError(f"{file}: holds only blank lines; give one JSON object a line")


def _by_blocks(file: Path, table: str) -> Iterator[Chunk]:
    for block in line_blocks(file, BLOCK_BYTES):
        rows = _plain_block(block)
        if rows is not None:
            yield Chunk(table, rows, block.numbers, str(file))
            continue
        for start in range(0, len(block.numbers), ROWS):
            yield _json_chunk(file, table, block.text.slice(start, ROWS).to_pylist(), block.numbers[start : start + ROWS].tolist())


def _plain_block(block: Block) -> pa.Table | None:
    """The rows of a block as ``_json_chunk`` would give them, None if that is not sure."""
    if not len(block.numbers) or not _flat(block):
        return None
    names, kinds = _sampled(block)
    for _ in range(2):
        schema = pa.schema([pa.field(name, kind) for name, kind in kinds.items()])
        try:
            rows = pjson.read_json(
                pa.BufferReader(block.text.buffers()[2]),
                pjson.ReadOptions(block_size=block.text.buffers()[2].size + 1, use_threads=False),
                pjson.ParseOptions(explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="infer"),
            )
        except pa.ArrowException:
            return None
        times = [field.name for field in rows.schema if pa.types.is_timestamp(field.type)]
        if not times:
            break
        kinds |= dict.fromkeys(times, pa.string())  # to Arrow a text that looks like a time is one, to Python it is a text
    if times or rows.num_rows != len(block.numbers) or not 0 < rows.num_columns <= COLUMNS:
        return None
    for place, field in enumerate(rows.schema):
        if pa.types.is_list(field.type) and pa.types.is_null(field.type.value_type):
            rows = rows.set_column(place, field.name, rows.column(place).cast(contract.LIST))
        elif pa.types.is_nested(field.type) and field.type != contract.LIST:
            return None
        elif pa.types.is_floating(field.type) and not pc.all(pc.less(pc.abs(rows.column(place)), _EXACT), min_count=0).as_py():
            return None  # NaN, infinity, or a whole number that no float holds
    order = dict.fromkeys([*names, *rows.column_names])
    return rows.select([name for name in order if name in rows.column_names])


def _flat(block: Block) -> bool:
    """Does each line begin and end as an object does, with no other brace in it and few lists?"""
    _, ends, data = block.text.buffers()
    letters = np.frombuffer(data, np.uint8)
    places = np.frombuffer(ends, np.int32)[block.text.offset : block.text.offset + len(block.text) + 1]
    if places[0] or places[-1] != len(letters):
        return False
    last = letters[places[1:] - 2]  # before the line feed
    if (last == 13).any():
        last = np.where(last == 13, letters[np.maximum(places[1:] - 3, 0)], last)
    if not ((letters[places[:-1]] == 123).all() and (last == 125).all()):
        return False
    whole = data.to_pybytes()
    if whole.count(b"{") != len(block.text):
        return False
    if whole.count(b"[") <= _DEEP:
        return True
    line = np.searchsorted(places, np.flatnonzero(letters == 91), side="right")
    return bool(np.bincount(line).max() <= _DEEP)


def _sampled(block: Block) -> tuple[list[str], dict[str, pa.DataType]]:
    """The keys of the first lines in order, and the types of those that hold texts or lists of texts."""
    try:
        rows = [_parse(line) for line in block.text.slice(0, _SAMPLED).to_pylist()]
    except (ValueError, RecursionError):
        return [], {}
    names = list(dict.fromkeys(name for row in rows for name in row))
    kinds: dict[str, pa.DataType] = {}
    for name in names:
        types = {type(row[name]) for row in rows if row.get(name) is not None}
        if types == {str}:
            kinds[name] = pa.string()
        elif types == {list} and any(row.get(name) for row in rows):
            kinds[name] = contract.LIST
    return names, kinds


def _by_lines(file: Path, table: str, encoding: str) -> Iterator[Chunk]:
    with file.open(encoding=encoding, newline="\n") as text:
        for lines, numbers in _text_lines(text):
            yield _json_chunk(file, table, lines, numbers)


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


_parse: Callable[[str], Any] = DECODER.decode


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
        faults.append(Fault(number, "", line.strip()[:SEEN_LENGTH], f"is not JSON ({one_line(error)})", "write one JSON object a line"))
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
