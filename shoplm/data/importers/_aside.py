"""What a file says and only its end settles, set aside in a DuckDB file of its own, so that memory does not grow with the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pyarrow as pa

from shoplm.data.importers._lines import ROWS


class Aside:
    """A table ``said`` that grows until it is asked; leave it (``with``) and its file is gone. None is made before the first row."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = dict(columns)
        self._left = ExitStack()
        self._con: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def put(self, rows: pa.Table) -> None:
        """Keep rows whose columns are those of ``said`` in its order; what cannot be read as a column's type is null."""
        if self._con is None:
            folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="shoplm-")))
            limits = {"temp_directory": str(folder / "spill"), "memory_limit": "256MB", "threads": "1"}
            self._con = self._left.enter_context(duckdb.connect(str(folder / "said.duckdb"), config=limits))
            self._con.execute(f"CREATE TABLE said ({', '.join(f'{name} {kind}' for name, kind in self._columns.items())})")
        self._con.register("_said", rows)
        read = ", ".join(f"TRY_CAST({name} AS {kind})" for name, kind in self._columns.items())
        self._con.execute(f"INSERT INTO said SELECT {read} FROM _said")
        self._con.unregister("_said")

    def ask(self, query: str) -> Iterator[pa.RecordBatch]:
        """What ``query`` says of ``said``, in pieces; nothing if nothing was set aside."""
        if self._con is not None:
            yield from self._con.sql(query).to_arrow_reader(ROWS)
