"""The short way into the live store: records whose ids are all new, in one transaction on a connection kept for it.

Ids are not looked up first: they are inserted, and only if every one of them was free does the transaction count; else
nothing of it does, and the caller goes the long way, which tells repeats from mistakes. The driver is spoken to
directly: putting statements together anew would take longer than the disk. Not for two threads at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Engine

from shoplm.data import database
from shoplm.data.records import Entry

_ROW = ("contract_table", "row_key", "at_us", "place", "user_id", "pseudo_id", "conversation_id", "body")
_TYPES = ("text", "text", "bigint", "bigint", "text", "text", "text", "text")
_SQLITE_IDS = "INSERT INTO ids (name, says, stored_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_SQLITE_ROWS = f"INSERT INTO rows ({', '.join(_ROW)}, drained) VALUES ({', '.join('?' * len(_ROW))}, 0)"
_POSTGRES_IDS = (
    "INSERT INTO ids (name, says, stored_us) SELECT name, says, %s FROM unnest(%s::bytea[], %s::bytea[]) AS t (name, says) "
    "ON CONFLICT DO NOTHING"
)
_POSTGRES_ROWS = (
    f"INSERT INTO rows ({', '.join(_ROW)}, drained) SELECT {', '.join(_ROW)}, false "
    f"FROM unnest({', '.join(f'%s::{kind}[]' for kind in _TYPES)}) AS t ({', '.join(_ROW)})"
)


class Lane:
    """One connection for writers that take turns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lite = engine.dialect.name == "sqlite"
        self._held: Any = None

    def put(self, entries: Sequence[Entry], stored_us: int) -> bool:
        """Store all entries, durably, if all their ids are free; else nothing, and False.

        Args:
            entries: with ids that differ.
            stored_us: the time, UTC microseconds.

        Raises:
            ResourceError: the database failed; whether they are stored is unknown.
        """
        ids = sorted((entry.name, entry.says) for entry in entries)  # in one order everywhere: two writers never wait for each other
        rows = [(e.table, e.key, e.at_us, e.place, e.user_id, e.pseudo_id, e.conversation_id, e.body) for e in entries]
        with database.said(self._engine):
            try:
                free = self._inserted(ids, rows, stored_us)
                self._end(commit=free)
            except BaseException:
                self._drop()
                raise
        return free

    def close(self) -> None:
        """Give the connection back."""
        if self._held is not None:
            with contextlib.suppress(self._engine.dialect.loaded_dbapi.Error):
                self._held.close()
        self._held = None

    def _inserted(self, ids: Sequence[tuple[bytes, bytes]], rows: Sequence[tuple[Any, ...]], stored_us: int) -> bool:
        """Were all ids free? Nothing is committed yet, so a connection that broke since its last use may be replaced."""
        if self._lite:
            return self._into_sqlite(self._connection(), ids, rows, stored_us)
        used = self._held is not None
        try:
            return self._into_postgres(self._connection(), ids, rows, stored_us)
        except self._engine.dialect.loaded_dbapi.OperationalError:
            if not used:
                raise
            self._drop()
            return self._into_postgres(self._connection(), ids, rows, stored_us)

    def _into_sqlite(self, con: Any, ids: Sequence[tuple[bytes, bytes]], rows: Sequence[tuple[Any, ...]], stored_us: int) -> bool:
        con.execute("BEGIN IMMEDIATE")
        new: int = con.executemany(_SQLITE_IDS, [(*one, stored_us) for one in ids]).rowcount
        if new == len(ids):
            con.executemany(_SQLITE_ROWS, rows)
        return new == len(ids)

    def _into_postgres(self, con: Any, ids: Sequence[tuple[bytes, bytes]], rows: Sequence[tuple[Any, ...]], stored_us: int) -> bool:
        with con.cursor() as cursor, con.cursor() as other:
            with con.pipeline():  # one way there and back for both; the rows go again where an id was taken
                cursor.execute(_POSTGRES_IDS, (stored_us, [name for name, _ in ids], [says for _, says in ids]))
                other.execute(_POSTGRES_ROWS, [list(column) for column in zip(*rows, strict=True)])
            return int(cursor.rowcount) == len(ids)

    def _end(self, *, commit: bool) -> None:
        con = self._connection()
        if self._lite:
            con.execute("COMMIT" if commit else "ROLLBACK")
        elif commit:
            con.commit()
        else:
            con.rollback()

    def _connection(self) -> Any:
        if self._held is None:
            self._held = self._engine.raw_connection()
        return self._held.driver_connection

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.invalidate()  # closed, and with it whatever was not committed
