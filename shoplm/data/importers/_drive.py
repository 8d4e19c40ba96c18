"""The driver of every format that is read record by record: files in, chunks out.

A format says in one function which rows a record makes; a record that the function refuses is one fault, and the
rest of the file goes on. What is said of one thing in several places can be merged into one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from shoplm.data import contract
from shoplm.data.importers._latest import Latest
from shoplm.data.importers._lines import Batch, Record, opened, seen
from shoplm.data.importers._rows import Broken, Row, chunk
from shoplm.data.ingest import Chunk, Fault
from shoplm.errors import DataError

Shape = Callable[[Record], Iterable[Row]]


def chunks(
    files: Sequence[Path],
    batches: Callable[[Path], Iterator[Batch]],
    shape: Callable[[Path], Shape],
    filled: Mapping[str, Sequence[str]],
    wanted: str | None,
    source: str,
    *,
    untyped: bool = False,
    merged: Mapping[str, str] | None = None,
) -> Iterator[Chunk]:
    """The chunks that the records of ``files`` make.

    Args:
        files: in order.
        batches: a file's records.
        shape: given a file, what makes the rows of one of its records.
        filled: the tables that this format fills and the contract columns that it fills in each; a column that is not
            named, such as a derived key, stays out altogether. A record that cannot be read counts for the first table.
        wanted: only this table, None for all.
        source: the format's name.
        untyped: all values are texts and show their type by their form only.
        merged: tables whose rows are merged by the column given, in the order in which they were said, at the file's end.

    Raises:
        DataError: ``wanted`` is none of the tables, or a file cannot be read.
    """
    only = check_table(wanted, filled, source)
    for file in files:
        with opened(file), ExitStack() as stack:
            make = shape(file)
            latest = {name: stack.enter_context(Latest(name, key)) for name, key in (merged or {}).items() if name in only}
            for batch in batches(file):
                rows, faults = _sorted(batch, make, only)
                for place, name in enumerate(only):
                    if name in latest:
                        rows[name] = _set_aside(latest[name], rows[name])
                    found = tuple(faults) if not place else ()
                    if rows[name] or found:
                        lines = [row.line or 0 for row in rows[name]]
                        yield chunk(name, filled[name], rows[name], lines, str(file), source, faults=found, untyped=untyped)
            for name, waiting in latest.items():
                for those, lines in waiting.merged():
                    yield chunk(name, filled[name], those, lines, str(file), source, untyped=untyped)


def _sorted(batch: Batch, make: Shape, only: Sequence[str]) -> tuple[dict[str, list[Row]], list[Fault]]:
    """The rows of a batch by table, each with its line, and every fault."""
    rows: dict[str, list[Row]] = {name: [] for name in only}
    faults = list(batch.faults)
    for record, line in zip(batch.records, batch.lines, strict=True):
        try:
            made = list(make(record))
        except Broken as broken:
            faults.append(Fault(line, broken.column, seen(broken.value), broken.reason, broken.fix))
            continue
        except RecursionError:
            faults.append(Fault(line, "", "", "is nested too deeply", "write it flatter"))
            continue
        for row in made:
            if row.table in rows:
                rows[row.table].append(row if row.line is not None else replace(row, line=line))
    return rows, faults


def _set_aside(latest: Latest, rows: list[Row]) -> list[Row]:
    """Keep the rows that have a key for later; the others, which the contract will refuse."""
    keyed = [row for row in rows if str(row.values.get(latest.key) or "").strip()]
    latest.add(keyed, [row.line or 0 for row in keyed], [row.said for row in keyed])
    return [row for row in rows if not str(row.values.get(latest.key) or "").strip()]


def check_table(wanted: str | None, tables: Iterable[str], source: str) -> list[str]:
    """The tables to fill: all that the format can fill, or the one that is wanted.

    Raises:
        DataError: the format does not fill the table that is wanted.
    """
    names = list(tables)
    if wanted is None:
        return names
    contract.table(wanted)
    if wanted not in names:
        raise DataError(f"the format `{source}` fills {', '.join(names)}, not `{wanted}`; give one of these as the table, or none")
    return [wanted]
