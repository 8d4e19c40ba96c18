"""The sample shop: a small world, whole in memory, as tables or as the CSV files that a shop would export.

The tables are a pure function of the configuration: same settings, same bytes. Nothing is written but by
``write_csv``. What is wrong on purpose is listed by ``planted_faults``.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from shoplm.errors import ResourceError
from shoplm.files import whole
from shoplm.world.faults import Fault
from shoplm.world.settings import WorldConfig
from shoplm.world.stream import Stream, gathered

SampleConfig = WorldConfig
"""The name by which tutorials know the settings."""
SMALL_CATALOGUE = 360
"""Products of the demo's shop: as many as its few shoppers can look at."""


def tables(config: WorldConfig) -> dict[str, pa.Table]:
    """The shop's tables by their names in the contract, in the order in which they first have rows."""
    return _read(config)[0]


def planted_faults(config: WorldConfig) -> tuple[Fault, ...]:
    """What is wrong on purpose in ``tables(config)``; the list of kinds is at the top of ``faults``."""
    return tuple(_read(config)[2].faults)


def truth(config: WorldConfig) -> dict[str, pa.Table]:
    """What only the world knows about ``tables(config)``: shoppers, products, exposures, ads, reviews, chats."""
    return _read(config)[1]


def write_csv(config: WorldConfig, folder: Path) -> list[Path]:
    """The tables as one UTF-8 CSV file each, as a shop would export them.

    Lists are joined with ``|``, times are RFC 3339 in UTC, what is absent is an empty field. Each file is
    written aside and then put in its place, so that no file is ever seen half-written.

    Returns:
        The files, in the order of ``tables``.

    Raises:
        ResourceError: the folder cannot be made or written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written ({error.strerror or error}); give a folder that you may write to") from None
    for name, table in tables(config).items():
        target = folder / f"{name}.csv"
        with whole(target) as partial:
            pa.csv.write_csv(_flat(table), partial)
        files.append(target)
    return files


def _read(config: WorldConfig) -> tuple[dict[str, pa.Table], dict[str, pa.Table], Stream]:
    stream = Stream(config)
    found: tuple[dict[str, pa.Table], dict[str, pa.Table]] = ({}, {})
    for chunk in gathered(stream.chunks(), 1 << 62):
        table = chunk.rows.sort_by([("event_time", "ascending")]) if chunk.table == "events" else chunk.rows
        found[chunk.truth][chunk.table] = table
    return *found, stream


def _flat(table: pa.Table) -> pa.Table:
    """The table in types that CSV has."""
    flat = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_list(field.type):
            column = pc.binary_join(column, "|")
        elif pa.types.is_timestamp(field.type):
            column = pc.strftime(column.cast(pa.timestamp("s", tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
        flat.append(column)
    return pa.table(flat, names=table.column_names)
