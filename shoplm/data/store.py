"""The live store: what a server writes one by one, acknowledged only when it is on the disk, until it moves into the shop.

Acts, served lists, chat turns, questions for a person, the audit and product patches. A record sent again under its id
changes nothing, so a client that got no answer just asks again. ``drain`` moves rows into the shop; the last 200 acts of
every shopper stay here for serving.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from shoplm.data import contract, database, forget, records
from shoplm.data.arriving import Lane
from shoplm.data.database import AUDIT, IDS, LEASES, PATCHES, QUESTIONS, ROWS
from shoplm.data.records import Entry, Record
from shoplm.errors import DataError, ResourceError, ShopLMError

LAST = 200
"""Acts of one shopper that stay after draining."""
GROUP = 1000
"""Records that several waiting writers commit together, about."""
LEASE_SECONDS = 60
_MANY = 5000
_PATCHABLE = ("availability", "price", "sale_price")


def now_us() -> int:
    """The time, UTC microseconds."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Stored:
    """What became of records: new ones, and ones that had been stored before."""

    new: int
    repeated: int


@dataclass(frozen=True)
class Question:
    """Something for a person to decide: is ``proposed`` right as ``name`` of ``subject``, say the mood of a review?

    ``subject`` is the key of the row that it speaks of; ``because`` tells why a person is asked.
    """

    question_id: str
    asked_us: int
    task: str
    subject: str
    name: str
    proposed: str
    because: str = ""
    user_id: str | None = None


@dataclass(frozen=True)
class Audit:
    """Who did what to what, and when (UTC microseconds)."""

    audit_id: str
    at_us: int
    who: str
    act: str
    subject: str
    details: str = ""


@dataclass(frozen=True)
class Patch:
    """A product's price or availability as of ``at_us``; None leaves what is known. The newest value of each counts."""

    id: str
    at_us: int
    availability: str | None = None
    price: records.Amount | None = None
    sale_price: records.Amount | None = None


@dataclass(eq=False)
class _Job:
    entries: Sequence[Entry]
    stored: Stored | None = None
    error: Exception | None = None
    leads: bool = False
    woken: threading.Event = field(default_factory=threading.Event)


class Store:
    """A shop's live store; safe to share between threads, and several processes may open it at once.

    Args:
        shop: the shop's folder.
        url: the database's address; None for SHOPLM_STORE_URL, ``<shop>/store.url`` or SQLite in the shop's folder.
        clock: the time in UTC microseconds.

    Raises:
        DataError: the address is wrong, or a newer ShopLM made the store.
        ResourceError: the database cannot be reached or written.
    """

    def __init__(self, shop: str | Path, url: str | None = None, clock: Callable[[], int] = now_us) -> None:
        self.engine = database.connect(database.address(Path(shop), url))
        self.clock = clock
        self._insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        self._lane = Lane(self.engine)
        self._waiting: list[_Job] = []
        self._queue, self._led, self._turn = threading.Lock(), False, threading.Lock()
        self._last_group, self._last_seconds = 1, 0.0

    def close(self) -> None:
        """Let go of the database."""
        with self._turn:
            self._lane.close()
        self.engine.dispose()

    def put(self, *given: Record) -> Stored:
        """Store records, all or none; when this returns they survive a power cut.

        Writers that wait for the disk at the same time are committed together.

        Raises:
            DataError: a record breaks the contract, or its id was used for one that says something else.
            ResourceError: the database failed; whether they are stored is unknown: send them again.
        """
        job = _Job([records.entry(record) for record in given])
        if not job.entries:
            return Stored(0, 0)
        with self._queue:
            self._waiting.append(job)
            job.leads, self._led = not self._led, True
        try:
            if not job.leads:
                job.woken.wait()  # on its own event: who waits for a lock may see it go to the same writer again and again
            if job.leads:
                self._write_group()
        finally:
            with self._queue:
                if job in self._waiting:  # interrupted
                    self._waiting.remove(job)
                if job.leads:
                    self._hand_on()
        if job.error is not None:
            raise job.error
        assert job.stored is not None
        return job.stored

    def _hand_on(self) -> None:
        """The next writer that waits leads; the queue's lock is held."""
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].woken.set()

    def _write_group(self) -> None:
        if len(self._waiting) < self._last_group:  # those just answered are about to come again: one sync for them all
            time.sleep(min(self._last_seconds / 8, 0.001))
        with self._queue:
            count = size = 0
            while count < len(self._waiting) and size < GROUP:
                size += len(self._waiting[count].entries)
                count += 1
            jobs, self._waiting = self._waiting[:count], self._waiting[count:]
        begin = time.perf_counter()
        verdicts: Sequence[Stored | ShopLMError]
        try:
            with self._turn:
                verdicts = self._retried(jobs)
        except ResourceError as error:
            verdicts = [error] * len(jobs)
        except BaseException as error:
            verdicts = [ResourceError(f"live store: the writer was ended ({error!r}); send again under the same ids")] * len(jobs)
            raise
        finally:  # only now: a verdict before the commit would be a lie
            self._last_group, self._last_seconds = count, time.perf_counter() - begin
            for job, verdict in zip(jobs, verdicts, strict=True):
                if isinstance(verdict, Stored):
                    job.stored = verdict
                else:
                    job.error = verdict
                job.woken.set()

    def _retried(self, jobs: Sequence[_Job]) -> list[Stored | DataError]:
        entries = [entry for job in jobs for entry in job.entries]
        if len({entry.name for entry in entries}) == len(entries) and self._lane.put(entries, self.clock()):
            return [Stored(len(job.entries), 0) for job in jobs]
        while True:
            with contextlib.suppress(_TakenMeanwhileError), database.transaction(self.engine) as con:
                return [self._write(con, job.entries) for job in jobs]

    def _write(self, con: Connection, entries: Sequence[Entry]) -> Stored | DataError:
        fresh = self._new(con, entries)
        if isinstance(fresh, DataError):
            return fresh
        values = [
            {"contract_table": e.table, "row_key": e.key, "at_us": e.at_us, "place": e.place, "user_id": e.user_id, "pseudo_id": e.pseudo_id,
             "conversation_id": e.conversation_id, "body": e.body, "drained": False} for e in fresh
        ]  # fmt: skip
        if values:
            con.execute(sa.insert(ROWS), values)
        return Stored(len(fresh), len(entries) - len(fresh))

    def _new(self, con: Connection, entries: Sequence[Entry]) -> list[Entry] | DataError:
        """The entries whose ids were not known, now reserved; an error if an id was used for something else."""
        known: dict[bytes, bytes] = {}
        for start in range(0, len(entries), _MANY):
            names = [entry.name for entry in entries[start : start + _MANY]]
            known.update(
                (bytes(name), bytes(says)) for name, says in con.execute(sa.select(IDS.c.name, IDS.c.says).where(IDS.c.name.in_(names)))
            )
        fresh: dict[bytes, Entry] = {}
        for entry in entries:
            says = known.get(entry.name) or (fresh[entry.name].says if entry.name in fresh else None)
            if says is None:
                fresh[entry.name] = entry
            elif says != entry.says:
                return DataError(f"{entry.table} record {entry.key[:80]!r}: its id was used before for another content; give it a new id")
        if fresh:
            stored_us = self.clock()
            # in one order everywhere, so that two writers cannot wait for each other
            values = [{"name": name, "says": fresh[name].says, "stored_us": stored_us} for name in sorted(fresh)]
            taken = con.execute(self._insert(IDS).on_conflict_do_nothing().returning(IDS.c.name), values)
            if len(taken.all()) < len(fresh):
                raise _TakenMeanwhileError
        return list(fresh.values())

    def recent(self, user_id: str, last: int = LAST) -> pa.Table:
        """The shopper's last acts, oldest first, as contract rows of ``events`` for ``context.as_of``; drained ones too.

        Args:
            user_id: the shopper.
            last: the most acts; more than 200 are only there as long as they wait to be drained.
        """
        of = sa.select(ROWS.c.body).where(ROWS.c.user_id == user_id, ROWS.c.contract_table == "events")
        newest = of.order_by(ROWS.c.at_us.desc(), ROWS.c.place.desc(), ROWS.c.row_key.desc()).limit(last)
        with database.reading(self.engine) as con:
            bodies = list(con.execute(newest).scalars())
        return records.rows(contract.EVENTS, reversed(bodies))

    def turns(self, conversation_id: str) -> pa.Table:
        """The conversation's turns in order, as contract rows of ``chats``; those drained over a day ago are only in the shop."""
        of = sa.select(ROWS.c.body).where(ROWS.c.conversation_id == conversation_id).order_by(ROWS.c.place)
        with database.reading(self.engine) as con:
            return records.rows(contract.CHATS, list(con.execute(of).scalars()))

    def waiting(self, table: str) -> pa.Table:
        """The contract rows of a table that are not known to be in the shop, in order of arrival."""
        of = sa.select(ROWS.c.body).where(ROWS.c.contract_table == table, ROWS.c.drained.is_(False)).order_by(ROWS.c.seq)
        with database.reading(self.engine) as con:
            return records.rows(contract.table(table), list(con.execute(of).scalars()))

    def ask(self, question: Question) -> bool:
        """Put a question before a person; False if it was asked before, be it decided or not.

        Raises:
            DataError: a value is no text, or the id was used for another question.
        """
        values = _texts(question)
        name, says = records.identity("questions", question.question_id, json.dumps(values, sort_keys=True))
        entry = Entry("questions", name, says, question.asked_us, 0, question.question_id, question.user_id, None, None, "")
        while True:
            with contextlib.suppress(_TakenMeanwhileError), database.transaction(self.engine) as con:
                fresh = self._new(con, [entry])
                if isinstance(fresh, DataError):
                    raise fresh
                if fresh:
                    con.execute(sa.insert(QUESTIONS), [values])
                return bool(fresh)

    def questions(self, most: int = 100) -> list[Question]:
        """What waits for a person's decision, oldest first."""
        of = sa.select(QUESTIONS).order_by(QUESTIONS.c.asked_us, QUESTIONS.c.question_id).limit(most)
        with database.reading(self.engine) as con:
            return [Question(**row._mapping) for row in con.execute(of)]

    def decide(self, question: Question, value: str, at_us: int) -> Stored:
        """A person's answer: the question goes and a label by ``person`` comes, together.

        Raises:
            DataError: the label breaks the contract, or the same moment had another answer.
        """
        entry = records.entry(records.Label(question.task, question.subject, question.name, value, "person", at_us))
        while True:
            with contextlib.suppress(_TakenMeanwhileError), database.transaction(self.engine) as con:
                stored = self._write(con, [entry])
                if isinstance(stored, DataError):
                    raise stored
                con.execute(sa.delete(QUESTIONS).where(QUESTIONS.c.question_id == question.question_id))
                return stored

    def note(self, *audits: Audit) -> None:
        """Write into the audit; one with a known id is left as it was."""
        if audits:
            with database.transaction(self.engine) as con:
                con.execute(self._insert(AUDIT).on_conflict_do_nothing(), [_texts(audit) for audit in audits])

    def audits(self, since_us: int = 0, most: int = 1000) -> list[Audit]:
        """The audit from a moment on, oldest first."""
        of = sa.select(AUDIT).where(AUDIT.c.at_us >= since_us).order_by(AUDIT.c.at_us, AUDIT.c.audit_id).limit(most)
        with database.reading(self.engine) as con:
            return [Audit(**row._mapping) for row in con.execute(of)]

    def patch(self, *patches: Patch) -> None:
        """Keep prices and availabilities pushed by the shop; sent twice or out of order, the newest of each value stays.

        Raises:
            DataError: a value breaks the contract of ``products``.
        """
        given = [(p.id, p.at_us, records.patch(p.id, {name: getattr(p, name) for name in _PATCHABLE})) for p in patches]
        with database.transaction(self.engine) as con:
            for key, at_us, values in sorted(given, key=lambda one: one[0]):
                con.execute(self._insert(PATCHES).on_conflict_do_nothing(), [{"id": key, "at_us": at_us, "body": "{}"}])
                one = con.execute(sa.select(PATCHES.c.at_us, PATCHES.c.body).where(PATCHES.c.id == key).with_for_update()).one()
                body: dict[str, list[Any]] = json.loads(one.body)
                for name, value in values.items():
                    # of two values of one moment the larger text stays, so the order of arrival does not matter
                    body[name] = max(body.get(name, [at_us, value]), [at_us, value])
                newest = {"at_us": max(one.at_us, at_us), "body": json.dumps(body)}
                con.execute(sa.update(PATCHES).where(PATCHES.c.id == key).values(newest))

    def patches(self, ids: Iterable[str] | None = None) -> pa.Table:
        """The pushed values as columns of ``products`` (id, availability, price, sale_price, updated_at); None for all."""
        of = sa.select(PATCHES).order_by(PATCHES.c.id)
        with database.reading(self.engine) as con:
            found = con.execute(of if ids is None else of.where(PATCHES.c.id.in_(list(ids)))).all()
        rows = []
        for one in found:
            values = {name: value for name, (_, value) in json.loads(one.body).items()}
            rows.append(json.dumps({"id": one.id, "updated_at": one.at_us, **values}))
        return records.rows(contract.PRODUCTS, rows).select(["id", *_PATCHABLE, "updated_at"])

    @contextlib.contextmanager
    def alone(self, work: str, holder: str, wait_seconds: float = 0) -> Iterator[Callable[[], None]]:
        """Do one kind of work alone; the lease ends with the block, or by itself 60 s after it was last renewed.

        Args:
            work: the kind.
            holder: who holds it; the same holder may take its own lease again (after a crash).
            wait_seconds: how long to wait for another holder.

        Yields:
            A function that renews the lease.

        Raises:
            ResourceError: another holds it, or held it meanwhile because this one was too slow.
        """
        deadline = time.monotonic() + wait_seconds
        while not self._take(work, holder):
            if time.monotonic() > deadline:
                raise ResourceError(
                    f"live store: another process is at `{work}`; wait for it, its lease ends at most {LEASE_SECONDS} s after it"
                )
            time.sleep(0.05)

        def renew() -> None:
            if not self._take(work, holder):
                raise ResourceError(f"live store: `{work}` took so long that another process has taken it over; nothing is lost")

        try:
            yield renew
        finally:
            with contextlib.suppress(ResourceError), database.transaction(self.engine) as con:  # else it runs out by itself
                con.execute(sa.delete(LEASES).where(LEASES.c.work == work, LEASES.c.holder == holder))

    def _take(self, work: str, holder: str) -> bool:
        now = self.clock()
        wanted = {"work": work, "holder": holder, "until_us": now + LEASE_SECONDS * 1_000_000}
        free = sa.or_(LEASES.c.holder == holder, LEASES.c.until_us < now)
        take = self._insert(LEASES).values(wanted)
        with database.transaction(self.engine) as con:
            done = con.execute(
                take.on_conflict_do_update(
                    index_elements=["work"], set_={"holder": holder, "until_us": wanted["until_us"]}, where=free
                ).returning(LEASES.c.work)
            )
            return done.first() is not None

    def texts(self, ids: Iterable[str]) -> tuple[int, list[str]]:
        """How many rows speak of these shoppers, devices and conversations, and what they wrote in chats."""
        with database.reading(self.engine) as con:
            return forget.texts(con, sorted(set(ids)))

    def others(self, ids: Iterable[str]) -> Iterator[list[str]]:
        """The JSON of everybody else's rows, some at a time."""
        with database.reading(self.engine) as con:
            yield from forget.others(con, sorted(set(ids)))

    def erase(self, ids: Iterable[str], subjects: Iterable[str] = ()) -> int:
        """Remove everything about people, also from the file's free space; returns how many rows went.

        Rows whose user, device or conversation is one of ``ids`` go, and whole conversations in which such a user speaks;
        so do labels, questions and audit lines that speak of them, of ``subjects`` (keys of rows of theirs) or name an id.
        Digests of record ids stay (they name nobody), so that a late retry does not bring a person back. In PostgreSQL
        the tables are rewritten; its own write-ahead log and backups are its keeper's to rotate.

        Raises:
            ResourceError: the database failed, or another process keeps it from being wiped; do it again.
        """
        with self.alone("drain", f"erase {uuid.uuid4().hex}", wait_seconds=2 * LEASE_SECONDS):
            with database.transaction(self.engine) as con:
                gone = forget.people(con, sorted(set(ids)), sorted(set(subjects)))
            forget.wipe(self.engine)
        return gone


class _TakenMeanwhileError(Exception):
    """Another writer stored one of our ids between our look and our write; look again."""


def _texts(record: Question | Audit) -> dict[str, Any]:
    values: Mapping[str, Any] = vars(record)
    for name, value in values.items():
        if name.endswith("_us"):
            if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
                raise DataError(f"{type(record).__name__} `{name}`: expected UTC microseconds, seen {ascii(value)[:80]}")
        elif not (value is None and name == "user_id"):
            try:
                records.clean(value)
            except ValueError as error:
                raise DataError(f"{type(record).__name__} `{name}` {error}, seen {ascii(value)[:80]}; write plain text") from None
    return dict(values)
