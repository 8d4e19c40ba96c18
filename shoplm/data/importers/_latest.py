"""What a file says of one thing in several places, as one row: later words win, and what they leave out stays.

Formats such as Segment speak of a shopper call by call. The words wait (``_aside``) until the file ends and
are then merged in the order of their times, so memory does not grow with the shoppers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from shoplm.data.importers._aside import Aside
from shoplm.data.importers._lines import ROWS
from shoplm.data.importers._rows import Row


class Latest:
    """Words about the things of one table, by key; leave it (``with``) and its file is gone."""

    def __init__(self, table: str, key: str) -> None:
        self.table, self.key = table, key
        self._aside = Aside({"key": "VARCHAR", "said_at": "TIMESTAMPTZ", "line": "BIGINT", "body": "VARCHAR"})

    def __enter__(self) -> Latest:
        return self

    def __exit__(self, *_: object) -> None:
        self._aside.__exit__()

    def add(self, rows: Sequence[Row], lines: Sequence[int], times: Sequence[str | None]) -> None:
        """Keep rows for later; each has a key and was said at its time (RFC 3339; None is before all times)."""
        if not rows:
            return
        bodies = [json.dumps([dict(row.values), dict(row.more)]) for row in rows]
        keys = [str(row.values[self.key]).strip() for row in rows]
        columns = [pa.array(keys, pa.string()), pa.array(times, pa.string()), pa.array(lines, pa.int64()), pa.array(bodies, pa.string())]
        self._aside.put(pa.table(columns, ["key", "said_at", "line", "body"]))

    def merged(self) -> Iterator[tuple[list[Row], list[int]]]:
        """The rows, one for each key, with the line on which the last word was said."""
        rows: list[Row] = []
        lines: list[int] = []
        key: str | None = None
        values: dict[str, Any] = {}
        more: dict[str, Any] = {}
        line = 0
        query = "SELECT key, line, body FROM said ORDER BY key, said_at NULLS FIRST, line"
        for batch in self._aside.ask(query):
            for next_key, next_line, body in zip(*(batch.column(place).to_pylist() for place in range(3)), strict=True):
                if next_key != key:
                    if key is not None:
                        rows.append(self._row(values, more))
                        lines.append(line)
                    key, values, more = next_key, {}, {}
                    if len(rows) >= ROWS:
                        yield rows, lines
                        rows, lines = [], []
                said, others = json.loads(body)
                values |= {name: value for name, value in said.items() if value is not None}
                more |= {name: value for name, value in others.items() if value is not None}
                line = next_line
        if key is not None:
            yield [*rows, self._row(values, more)], [*lines, line]

    def _row(self, values: dict[str, Any], more: dict[str, Any]) -> Row:
        if self.table == "products" and "title" not in values:
            values["title"] = values[self.key]  # what is never named is called by its id, as in every format
        return Row(self.table, values, more)
