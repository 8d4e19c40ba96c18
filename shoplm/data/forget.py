"""What the live store holds about people, and how it goes: their rows, what was judged or noted of them, the places on disk.

Theirs are rows that name one of their ids and whole conversations in which they speak; labels, questions and the audit
go where they speak of such a row or name an id in words. Another person's row that names an id stays: a search finds it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from shoplm.data import contract, database
from shoplm.data.database import AUDIT, QUESTIONS, ROWS
from shoplm.data.traces import Traces
from shoplm.errors import ResourceError

MANY = 5000
"""Values in one SQL list, and rows that are in memory at once."""


def _theirs(ids: Sequence[str]) -> sa.ColumnElement[bool]:
    talks = sa.select(ROWS.c.conversation_id).where(ROWS.c.user_id.in_(ids), ROWS.c.conversation_id.is_not(None))
    names = (ROWS.c.user_id, ROWS.c.pseudo_id, ROWS.c.conversation_id)
    return sa.or_(*(column.in_(ids) for column in names), ROWS.c.conversation_id.in_(talks))


def texts(con: Connection, ids: Sequence[str]) -> tuple[int, list[str]]:
    """How many rows are theirs, and what they wrote in chats."""
    count, written = 0, []
    for start in range(0, len(ids), MANY):
        for table, body in con.execute(sa.select(ROWS.c.contract_table, ROWS.c.body).where(_theirs(ids[start : start + MANY]))):
            count += 1
            row = json.loads(body) if table == contract.CHATS.name else {}
            if row.get("role") == "user" and row.get("content"):
                written.append(str(row["content"]))
    return count, written


def others(con: Connection, ids: Sequence[str]) -> Iterator[list[str]]:
    """What the rows of everybody else say, some at a time."""
    mine = {seq for start in range(0, len(ids), MANY) for seq in con.execute(sa.select(ROWS.c.seq).where(_theirs(ids[start : start + MANY]))).scalars()}  # fmt: skip
    last = -1
    while found := con.execute(sa.select(ROWS.c.seq, ROWS.c.body).where(ROWS.c.seq > last).order_by(ROWS.c.seq).limit(MANY)).all():
        last = found[-1].seq
        yield [body for seq, body in found if seq not in mine]


def people(con: Connection, ids: Sequence[str], subjects: Sequence[str]) -> int:
    """Delete what is theirs; returns how many rows went.

    Args:
        con: in a transaction.
        ids: shoppers, devices and conversations.
        subjects: keys of other rows of theirs, of which labels and questions may speak.
    """
    gone, about = 0, {*ids, *subjects}
    for start in range(0, len(ids), MANY):
        some = _theirs(ids[start : start + MANY])
        about.update(con.execute(sa.select(ROWS.c.row_key).where(some)).scalars())
        gone += con.execute(sa.delete(ROWS).where(some)).rowcount
    names = set(ids)

    def speaks_of(subject: str) -> bool:
        return subject in about or not names.isdisjoint(subject.split("/"))  # a pair such as shopper/item

    labels = con.execute(sa.select(ROWS.c.seq, ROWS.c.body).where(ROWS.c.contract_table == contract.LABELS.name)).all()
    gone += _delete(con, ROWS.c.seq, [seq for seq, body in labels if speaks_of(str(json.loads(body)["subject"]))])
    sought = Traces(tuple(ids), ())
    for key, who, said in (
        (QUESTIONS.c.question_id, (QUESTIONS.c.user_id, QUESTIONS.c.subject), (QUESTIONS.c.proposed, QUESTIONS.c.because)),
        (AUDIT.c.audit_id, (AUDIT.c.who, AUDIT.c.subject), (AUDIT.c.details,)),
    ):
        rows = con.execute(sa.select(key, *who, *said))
        chosen = []
        while some_rows := rows.fetchmany(MANY):
            named = {row[0] for row in some_rows if any(value is not None and speaks_of(value) for value in row[1 : 1 + len(who)])}
            words = ["\n".join(row[1 + len(who) :]) for row in some_rows]
            inside = {row[0] for row, yes in zip(some_rows, sought.in_texts(words), strict=True) if yes}
            chosen += sorted(named | inside)
        gone += _delete(con, key, chosen)
    return gone


def _delete(con: Connection, key: sa.Column[object], values: Sequence[object]) -> int:
    return sum(
        con.execute(sa.delete(key.table).where(key.in_(values[start : start + MANY]))).rowcount for start in range(0, len(values), MANY)
    )


def wipe(engine: Engine) -> None:
    """Free space and log hold nothing of what was deleted.

    Raises:
        ResourceError: the database failed, or another process reads without end.
    """
    if engine.dialect.name == "postgresql":
        with database.said(engine), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as con:
            for table in (ROWS, QUESTIONS, AUDIT):
                con.exec_driver_sql(f"VACUUM FULL {table.name}")
        return
    deadline = time.monotonic() + database.WAIT_SECONDS
    with database.said(engine), contextlib.closing(engine.raw_connection()) as raw:
        cursor = raw.cursor()
        cursor.execute("VACUUM")
        while cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise ResourceError("live store: erased, but another process keeps reading and the old pages cannot be wiped; erase again")
            time.sleep(0.02)
