"""Rows move from the live store into the shop, each exactly once, whatever is killed in between.

Rows are claimed under a batch's name, brought into the shop in one transaction, then let go. A batch that was claimed and
not let go is done again: what the shop holds of it already stays as it is there. One drainer at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from shoplm.data import contract, database, ingest, records
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.database import BATCHES, IDS, ROWS
from shoplm.data.manifest import FOLDER
from shoplm.data.shop import Shop
from shoplm.data.store import LAST, Store
from shoplm.data.view import View
from shoplm.errors import ResourceError

BATCH_ROWS = 20_000
KEEP_IDS_US = 30 * 86_400_000_000
"""How long an id is remembered for retries; a later retry of an act still changes nothing in the shop, by its key."""
KEEP_TURNS_US = 86_400_000_000


@dataclass(frozen=True)
class Batch:
    """Rows claimed together; ``again`` if an earlier drainer claimed them and did not finish."""

    name: str
    again: bool


@dataclass(frozen=True)
class DrainReport:
    """What moved: rows taken from the store, of these new in the shop, already there, put into its quarantine."""

    rows: int
    new: int
    there: int
    quarantined: int
    data_version: str


def drain(store: Store, shop: Shop, most: int = BATCH_ROWS) -> DrainReport:
    """Move everything that waits into the shop, ``most`` rows at a time.

    Raises:
        ResourceError: the database or the shop cannot be written, or another process drains; nothing is lost or doubled.
    """
    taken = new = quarantined = 0
    with _only_here(shop), store.alone("drain", f"drain on {socket.gethostname()}") as renew:
        while (batch := claim(store, most)) is not None:
            renew()
            report = append(store, shop, batch)
            new += report.new
            taken += report.rows
            quarantined += report.quarantined
            finish(store, batch)
    return DrainReport(taken, new, taken - new - quarantined, quarantined, shop.data_version)


def claim(store: Store, most: int = BATCH_ROWS) -> Batch | None:
    """The batch that was not finished, else a new one of the oldest rows that wait; None if nothing waits."""
    with database.transaction(store.engine) as con:
        left = con.execute(sa.select(BATCHES.c.batch).order_by(BATCHES.c.claimed_us).limit(1)).scalar()
        if left is not None:
            return Batch(left, again=True)
        name = uuid.uuid4().hex
        # by what waits, never by "after the last number": a writer that commits late may have a lower one
        oldest = sa.select(ROWS.c.seq).where(ROWS.c.batch.is_(None)).order_by(ROWS.c.seq).limit(most)
        if con.execute(sa.update(ROWS).where(ROWS.c.seq.in_(oldest.scalar_subquery())).values(batch=name)).rowcount == 0:
            return None
        con.execute(sa.insert(BATCHES).values(batch=name, claimed_us=store.clock()))
    return Batch(name, again=False)


def append(store: Store, shop: Shop, batch: Batch) -> DrainReport:
    """Bring the batch's rows into the shop, durably, in one transaction over all tables."""
    taken = 0
    of = sa.select(ROWS.c.contract_table, ROWS.c.body).where(ROWS.c.batch == batch.name).order_by(ROWS.c.at_us, ROWS.c.seq)
    with database.reading(store.engine) as con:
        bodies: dict[str, list[str]] = {}
        for table, body in con.execute(of):
            bodies.setdefault(table, []).append(body)
            taken += 1
    with shop.transaction() as transaction:
        view = shop.view()
        for name in sorted(bodies):
            table = contract.table(name)
            rows = records.rows(table, bodies[name]).select([column.name for column in table.columns])
            if name == contract.LABELS.name:
                rows = _newer(rows, view)
            elif batch.again:
                rows = _absent(table, rows, view)
            if rows.num_rows:
                transaction.add(ingest.in_chunks(name, [rows], records.SOURCE))
    report = transaction.report
    new = report.inserted + report.updated
    return DrainReport(taken, new, taken - new - report.quarantined, report.quarantined, report.data_version)


def finish(store: Store, batch: Batch) -> None:
    """Let go of the batch: only the last acts of its shoppers and turns of a day stay; ids past their age are forgotten."""
    now = store.clock()
    stays = ROWS.c.contract_table.in_([contract.EVENTS.name, contract.CHATS.name])
    mine = ROWS.c.batch == batch.name
    newest_first = (ROWS.c.at_us.desc(), ROWS.c.place.desc(), ROWS.c.row_key.desc())
    its_shoppers = sa.select(ROWS.c.user_id).where(mine, ROWS.c.contract_table == contract.EVENTS.name, ROWS.c.user_id.is_not(None))
    ranked = (
        sa.select(ROWS.c.seq, sa.func.row_number().over(partition_by=ROWS.c.user_id, order_by=newest_first).label("rank"))
        .where(ROWS.c.contract_table == contract.EVENTS.name, ROWS.c.user_id.in_(its_shoppers))
        .subquery()
    )
    old = sa.select(ranked.c.seq).where(ranked.c.rank > LAST).scalar_subquery()
    with database.transaction(store.engine) as con:
        con.execute(
            sa.delete(ROWS).where(mine, sa.or_(sa.not_(stays), sa.and_(ROWS.c.user_id.is_(None), ROWS.c.conversation_id.is_(None))))
        )
        con.execute(sa.update(ROWS).where(mine).values(drained=True))
        con.execute(sa.delete(ROWS).where(ROWS.c.drained.is_(True), ROWS.c.seq.in_(old)))
        con.execute(
            sa.delete(ROWS).where(
                ROWS.c.drained.is_(True), ROWS.c.contract_table == contract.CHATS.name, ROWS.c.at_us < now - KEEP_TURNS_US
            )
        )
        con.execute(sa.delete(BATCHES).where(BATCHES.c.batch == batch.name))
        con.execute(sa.delete(IDS).where(IDS.c.stored_us < now - KEEP_IDS_US))


def together(store: Store, shop: Shop, table: str) -> tuple[View, pa.Table]:
    """The shop as it is, and the live rows of ``table`` that it does not hold yet: every acknowledged row in exactly one of them."""
    live = store.waiting(table)  # first: what is drained in between is then in both, never in neither
    view = shop.view()
    declared = contract.table(table)
    return view, _newer(live, view) if declared is contract.LABELS else _absent(declared, live, view)


def _absent(table: contract.Table, rows: pa.Table, view: View) -> pa.Table:
    """The rows whose key the shop does not hold."""
    if not rows.num_rows or not view.has(table.name):
        return rows
    keys = pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in table.key), "/")
    joined = "concat_ws('/', " + ", ".join(f"CAST({name_in_sql(name)} AS VARCHAR)" for name in table.key) + ")"
    listed = ", ".join(text_in_sql(key) for key in keys.to_pylist())
    there = view.sql(f"SELECT {joined} AS found FROM {table.name} WHERE {joined} IN ({listed})")["found"]
    return rows.filter(pc.invert(pc.is_in(keys, value_set=there.combine_chunks().cast(pa.string()))))


def _newer(rows: pa.Table, view: View) -> pa.Table:
    """The labels that are newer than the shop's own, the newest of each key."""
    key = contract.LABELS.key
    newest: dict[tuple[str, ...], int] = {}
    if rows.num_rows and view.has("labels"):
        listed = ", ".join(text_in_sql(subject) for subject in set(rows["subject"].to_pylist()))
        found = view.sql(f"SELECT {', '.join(map(name_in_sql, [*key, 'at']))} FROM labels WHERE subject IN ({listed})")
        for *parts, at_us in zip(*(found[name].to_pylist() for name in key), found["at"].cast(pa.int64()).to_pylist(), strict=True):
            newest[tuple(parts)] = at_us
    keep: dict[tuple[str, ...], int] = {}
    for place, (*parts, at_us) in enumerate(
        zip(*(rows[name].to_pylist() for name in key), rows["at"].cast(pa.int64()).to_pylist(), strict=True)
    ):
        if at_us > newest.get(tuple(parts), at_us - 1):
            newest[tuple(parts)] = at_us
            keep[tuple(parts)] = place
    return rows.take(pa.array(sorted(keep.values()), pa.int64()))


@contextlib.contextmanager
def _only_here(shop: Shop) -> Iterator[None]:
    """Nobody else on this machine drains into the shop; the lock goes with the process, however it ends."""
    handle = os.open(shop.path / FOLDER / "drain.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(f"{shop.path}: another process is draining into it; wait for it") from None
        yield
    finally:
        os.close(handle)
