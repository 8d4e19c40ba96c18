"""Any query to a PostgreSQL server into one contract table: ``shoplm import postgres QUERY.sql --table events``.

The server's address with user and password comes only from the environment (``SHOPLM_POSTGRES``) and is never said. The
query runs read-only behind a server-side cursor, so memory does not grow with what it finds.
"""

from __future__ import annotations

import datetime
import decimal
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shoplm.data import contract
from shoplm.data.convert import JSON_MARK
from shoplm.data.importers._lines import one_line, opened, text_lines
from shoplm.data.importers._rows import column
from shoplm.data.ingest import Chunk
from shoplm.errors import DataError, ResourceError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

SOURCE = "postgres"
VARIABLE = "SHOPLM_POSTGRES"
ROWS = 10_000
"""Rows that the server hands over at a time."""
CONNECT_SECONDS = 10


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """What the queries in ``files`` find; the columns' names are matched to the contract's.

    Raises:
        DataError: no ``table``, no address in the environment, or the server refuses the query.
        ResourceError: the server cannot be reached, or breaks off.
    """
    if table is None:
        raise DataError(f"a query does not say which table it fills; name one of {', '.join(contract.TABLES)} with --table")
    name = contract.table(table).name
    for file in files:
        with opened(file):
            query = "".join(text_lines(file)).strip().rstrip(";").strip()
        if not query:
            raise DataError(f"{file}: holds no query; write one SELECT")
        yield from _chunks(file, name, query)


def _engine() -> Engine:
    import sqlalchemy as sa

    address = os.environ.get(VARIABLE, "").strip()
    if not address:
        raise DataError(f"no server is named; set {VARIABLE}=postgresql://user:password@host:5432/database in the environment")
    try:
        url = sa.engine.make_url(address)
    except sa.exc.ArgumentError:
        raise DataError(f"{VARIABLE} is no address; write postgresql://user:password@host:5432/database") from None
    if url.drivername.partition("+")[0] not in ("postgresql", "postgres"):
        raise DataError(f"{VARIABLE} is an address of {url.drivername!r}, expected postgresql://…")
    wait = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), poolclass=sa.pool.NullPool, connect_args=wait)


def _chunks(file: Path, table: str, query: str) -> Iterator[Chunk]:
    import sqlalchemy as sa

    engine = _engine()
    start, left = 0, False
    try:
        with engine.connect().execution_options(stream_results=True, max_row_buffer=ROWS, postgresql_readonly=True) as connection:
            result = connection.exec_driver_sql(query.replace("%", "%%"))  # psycopg reads % as a place for a value
            names = list(result.keys())
            for place, name in enumerate(names):
                if name.lower() in [other.lower() for other in names[:place]]:
                    raise DataError(f"{file}: the query gives two columns called `{name}`; rename one with AS")
            for rows in result.partitions(ROWS):
                try:
                    yield _chunk(file, table, names, rows, start)
                except GeneratorExit:
                    left = True
                    raise
                start += len(rows)
            if not start:
                yield Chunk(
                    table,
                    pa.table({name: pa.array([], pa.string()) for name in names}),
                    np.asarray([], np.int64),
                    str(file),
                    (),
                    False,
                    SOURCE,
                )
    except sa.exc.DBAPIError as error:
        if left:  # nobody reads on: a connection that is gone already need not be closed
            return
        why = one_line(error.orig or error) if isinstance(error.orig, Exception) else one_line(error)
        if error.connection_invalidated or not getattr(error.orig, "sqlstate", None):
            at = f" after row {start}" if start else ""
            raise ResourceError(
                f"{file}: the server named by {VARIABLE} cannot be reached{at} ({_without(why)}); is it up, is the address right?"
            ) from None
        raise DataError(f"{file}: the server refuses the query ({_without(why)})") from None
    except sa.exc.SQLAlchemyError as error:  # no rows, such as from SET
        raise DataError(f"{file}: cannot be run as one query that gives rows ({_without(one_line(error))}); write one SELECT") from None


def _without(words: str) -> str:
    """The server's words without the password, whatever they quote."""
    from sqlalchemy.engine import make_url

    password = make_url(os.environ[VARIABLE].strip()).password
    return words.replace(password, "…") if password else words


def _chunk(file: Path, table: str, names: list[str], rows: Sequence[Any], start: int) -> Chunk:
    arrays, fields = [], []
    for place, name in enumerate(names):
        array, mark = _column([row[place] for row in rows])
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=JSON_MARK if mark else None))
    found = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    return Chunk(table, found, np.arange(start + 1, start + 1 + len(rows)), str(file), (), False, SOURCE)


def _column(values: list[Any]) -> tuple[pa.Array, bool]:
    """A column in Arrow; what the server knows and Arrow does not becomes text or JSON."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {datetime.datetime} and kinds:
        if all(value is None or value.tzinfo is not None for value in values):
            return pa.array(values, pa.timestamp("us", tz="UTC")), False
        return pa.array(
            [None if value is None else value.replace(tzinfo=value.tzinfo or datetime.UTC) for value in values],
            pa.timestamp("us", tz="UTC"),
        ), False
    if kinds == {datetime.date}:
        return pa.array(values, pa.date32()), False
    if kinds == {decimal.Decimal}:
        try:
            return pa.array([value if value is None or value.is_finite() else None for value in values]), False
        except pa.ArrowException:  # more digits than Arrow's decimals hold
            pass
    return column([value if value is None or type(value) in (str, int, float, bool) else _plain(value) for value in values])


def _plain(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.loads(json.dumps(value, default=str))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)  # uuid, interval, network address, range, …
