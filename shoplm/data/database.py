"""The live store's database: where it is, its tables, how it is opened and brought up to date, its faults in one line.

SQLite is told to lose nothing that it acknowledged (WAL, full sync) and to wipe what is deleted; PostgreSQL is never
left with ``synchronous_commit`` off. The tables are declared here for queries and made by the Alembic revisions.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine

from shoplm.errors import DataError, ResourceError

FILE = "store.sqlite3"
URL_FILE = "store.url"
URL_NAME = "SHOPLM_STORE_URL"
HEAD = "0002"
"""The newest Alembic revision."""
VERSION_TABLE = "store_version"
WAIT_SECONDS = 30
"""How long one writer waits for another."""
LOG_PAGES = 4_000
"""Pages of 4 KiB in SQLite's log before they are copied into the file, for which one writer waits."""
_LOCK = 0x5_40B_1A3E
"""PostgreSQL's number for "somebody is bringing the tables up to date"."""

META = sa.MetaData()
IDS = sa.Table("ids", META, sa.Column("name", sa.LargeBinary), sa.Column("says", sa.LargeBinary), sa.Column("stored_us", sa.BigInteger))
ROWS = sa.Table(
    "rows", META, sa.Column("seq", sa.BigInteger, primary_key=True), sa.Column("contract_table", sa.Text), sa.Column("row_key", sa.Text),
    sa.Column("at_us", sa.BigInteger), sa.Column("place", sa.BigInteger), sa.Column("user_id", sa.Text), sa.Column("pseudo_id", sa.Text),
    sa.Column("conversation_id", sa.Text), sa.Column("body", sa.Text), sa.Column("batch", sa.Text), sa.Column("drained", sa.Boolean),
)  # fmt: skip
BATCHES = sa.Table("batches", META, sa.Column("batch", sa.Text, primary_key=True), sa.Column("claimed_us", sa.BigInteger))
LEASES = sa.Table(
    "leases", META, sa.Column("work", sa.Text, primary_key=True), sa.Column("holder", sa.Text), sa.Column("until_us", sa.BigInteger)
)
QUESTIONS = sa.Table(
    "questions", META, sa.Column("question_id", sa.Text, primary_key=True), sa.Column("asked_us", sa.BigInteger), sa.Column("task", sa.Text),
    sa.Column("subject", sa.Text), sa.Column("name", sa.Text), sa.Column("proposed", sa.Text), sa.Column("because", sa.Text),
    sa.Column("user_id", sa.Text),
)  # fmt: skip
AUDIT = sa.Table(
    "audit", META, sa.Column("audit_id", sa.Text, primary_key=True), sa.Column("at_us", sa.BigInteger), sa.Column("who", sa.Text),
    sa.Column("act", sa.Text), sa.Column("subject", sa.Text), sa.Column("details", sa.Text),
)  # fmt: skip
PATCHES = sa.Table(
    "patches", META, sa.Column("id", sa.Text, primary_key=True), sa.Column("at_us", sa.BigInteger), sa.Column("body", sa.Text)
)


def address(shop: Path, url: str | None) -> URL:
    """Where a shop's store is: ``url``, else SHOPLM_STORE_URL, else ``<shop>/store.url``, else SQLite in the shop's folder.

    Raises:
        DataError: the address is none, of an unknown database, or stands with its password in the shop.
        ResourceError: ``store.url`` cannot be read.
    """
    said, where = url or os.environ.get(URL_NAME), "the store's address"
    file = shop / URL_FILE
    if not said:
        try:
            said, where = file.read_text("utf-8").strip(), str(file)
        except FileNotFoundError:
            return URL.create("sqlite+pysqlite", database=str(shop / FILE))
        except (OSError, UnicodeDecodeError) as error:
            raise ResourceError(f"{file}: cannot be read ({error}); write one database address into it, or delete it") from None
    try:
        found = sa.make_url(said)
    except (sa.exc.ArgumentError, ValueError):
        raise DataError(f"{where}: is no database address; write postgresql://user@host/database or sqlite:///file") from None
    kind = found.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise DataError(f"{where}: database {kind!r} is not supported; use postgresql or sqlite")
    if where == str(file) and (found.password is not None or "password" in found.query):
        raise DataError(f"{file}: holds a password, and a shop keeps no secrets; give it by PGPASSWORD, ~/.pgpass or {URL_NAME}")
    if kind == "sqlite" and not found.database:
        raise DataError(f"{where}: names no file; write sqlite:///file")
    return found.set(drivername="sqlite+pysqlite" if kind == "sqlite" else "postgresql+psycopg")


def connect(url: URL) -> Engine:
    """An engine for the address, its tables at the newest form.

    Raises:
        DataError: the database was made by a newer ShopLM, or is no live store.
        ResourceError: it cannot be reached or written, or the driver is not installed.
    """
    lite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": WAIT_SECONDS, "check_same_thread": False} if lite else {"connect_timeout": 10}
    try:
        engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=not lite, pool_size=8, max_overflow=24)
    except ModuleNotFoundError as error:
        raise ResourceError(f"PostgreSQL needs the package {error.name}; install it with: pip install 'shoplm[postgres]'") from None
    if lite:
        event.listen(engine, "connect", _careful_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _careful_postgres)
    try:
        with transaction(engine) as con:
            _bring_up_to_date(con, engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes, durable when the block has ended.

    Raises:
        ResourceError: the database failed; nothing of the block counts, unless it failed at the very end: ask again by id.
    """
    with said(engine), engine.connect().execution_options(shoplm_writes=True) as con, con.begin():
        yield con


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One look at the database.

    Raises:
        ResourceError: the database failed.
    """
    with said(engine), engine.connect() as con:
        yield con


@contextlib.contextmanager
def said(engine: Engine) -> Iterator[None]:
    """What goes wrong in the database, said in one line, without passwords."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError, sqlite3.Error, engine.dialect.loaded_dbapi.Error) as error:
        words = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        raise ResourceError(
            f"live store {engine.url.render_as_string(hide_password=True)}: the database failed ({words}); "
            "see that it runs, is reachable and has free space, then send again under the same ids"
        ) from error


def _careful_sqlite(con: Any, _: object) -> None:
    con.isolation_level = None  # we say BEGIN ourselves: Python's own would start to write too late and be refused
    for pragma in (
        f"busy_timeout={WAIT_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "temp_store=MEMORY",
        f"wal_autocheckpoint={LOG_PAGES}",
    ):
        con.execute(f"PRAGMA {pragma}").fetchall()


def _begin_sqlite(con: Connection) -> None:
    con.exec_driver_sql("BEGIN IMMEDIATE" if con.get_execution_options().get("shoplm_writes") else "BEGIN")


def _careful_postgres(con: Any, _: object) -> None:
    before = con.autocommit
    con.autocommit = True
    with con.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
    con.autocommit = before


def _bring_up_to_date(con: Connection, engine: Engine) -> None:
    if engine.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE is a lock already
        con.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    tables = set(sa.inspect(con).get_table_names())
    revision = None
    if VERSION_TABLE in tables:
        revision = con.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if revision == HEAD:
        return
    if revision is None and "rows" in tables:
        where = engine.url.render_as_string(hide_password=True)
        raise DataError(f"live store {where}: holds a table `rows` that is not ours; give the store a database of its own")
    _upgrade(con, revision, engine.url)


def _upgrade(con: Connection, revision: str | None, url: URL) -> None:
    # a slow import that only a new or an old store needs
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    if revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
        raise DataError(
            f"live store {url.render_as_string(hide_password=True)}: its form {revision} is newer than {HEAD}, the newest known here; update ShopLM"
        )
    steps = EnvironmentContext(config, scripts, fn=lambda rev, _: scripts._upgrade_revs(HEAD, rev))
    with steps:
        steps.configure(connection=con, version_table=VERSION_TABLE)
        steps.run_migrations()
