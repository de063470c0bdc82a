"""One open database with an up-to-date schema: its transactions, its lock, and errors that never show a password."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from insar_anomaly.errors import Busy, ConfigError, StoreFailed
from insar_anomaly.ledger.before import copy_before
from insar_anomaly.ledger.tables import VERSION_TABLE

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_SCHEMA_WAIT_S = 30.0
_PATIENCE_S = 90.0
_LOCK_KEY = 221080  # any number; PostgreSQL's advisory locks are one per database and number
_TAKE = text(f"SELECT pg_try_advisory_lock({_LOCK_KEY})")
_SHARE = text(f"SELECT pg_try_advisory_lock_shared({_LOCK_KEY})")
_LEAVE = {
    False: text(f"SELECT pg_advisory_unlock({_LOCK_KEY})"),
    True: text(f"SELECT pg_advisory_unlock_shared({_LOCK_KEY})"),
}
_HOLDER = text(
    "SELECT a.application_name || ', server process ' || a.pid || ', connected since ' || a.backend_start "  # noqa: S608
    "FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid JOIN pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objsubid = 1 "
    f"AND l.objid = {_LOCK_KEY} AND d.datname = current_database()"
)


class Database:
    """The ledger's database, opened and brought up to date.

    A SQLite file of an older version is copied first; a PostgreSQL database is not: back it up before an upgrade. One that
    is opened `read_only` is neither made nor brought up to date, and refuses every change.

    Raises
    ------
    ConfigError : the URL is wrong, the database cannot be reached, was written by newer code, or cannot be copied
    Busy : the schema needs a change and another run holds the lock
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._url = checked(url)
        self._file = Path(self._url.database or "") if self._url.drivername == "sqlite" else None
        self.name = self._url.set(query={}).render_as_string(hide_password=True)
        self._engine = _engine(_read_only(self._url) if read_only else self._url)
        self._engines = {writes: self._engine.execution_options(writes=writes) for writes in (False, True)}
        self._patience_s = 0.0
        self._mine = threading.local()
        with ExitStack() as undo:
            undo.callback(self.close)
            try:
                if read_only:
                    self._insist_on_current()
                else:
                    self._bring_up_to_date()
            except (StoreFailed, OSError, sqlite3.Error) as err:
                # `from None`: the driver's own words below may quote the whole URL
                raise ConfigError(f"cannot open the ledger {self.name}: {err}") from None
            undo.pop_all()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """All or nothing. Raises StoreFailed where the database fails; other errors roll back and pass through."""
        try:
            outer: Connection | None = getattr(self._mine, "outer", None)
            if outer is not None:
                yield outer
                return
            with self._begun(writes=writes) as tx:
                yield tx
        except SQLAlchemyError as err:
            raise self._failed(err) from err

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A database that goes away is waited for, up to a minute and a half, at the start of each transaction."""
        self._patience_s = _PATIENCE_S
        try:
            yield
        finally:
            self._patience_s = 0.0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make this thread's transactions inside the ``with`` one: all or nothing, and one wait for the disk."""
        with self.transaction(writes=True) as tx:
            if getattr(self._mine, "outer", None) is not None:  # inside another one already
                yield
                return
            self._mine.outer = tx
            try:
                yield
            finally:
                self._mine.outer = None

    @contextmanager
    def _begun(self, *, writes: bool) -> Iterator[Connection]:
        engine, deadline, pause = self._engines[writes], time.monotonic() + self._patience_s, 0.2
        with ExitStack() as undo:
            while True:
                try:
                    tx = undo.enter_context(engine.begin())
                    break
                except OperationalError:
                    if time.monotonic() >= deadline:
                        raise
                # at random, so that workers do not all come back at the same moment
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(2 * pause, 5.0)
            yield tx

    def lock(self, wait_s: float = 0.0, *, shared: bool = False) -> AbstractContextManager[None]:
        """The right to use the tables as they are (`shared`), or to change them, which nobody else has at that time.

        Raises Busy, naming the holder, where it is not free within `wait_s` seconds.
        """
        if self._file is None:
            return self._server_lock(wait_s, shared=shared)
        return self._file_lock(self._file, wait_s, shared=shared)

    @contextmanager
    def _file_lock(self, database: Path, wait_s: float, *, shared: bool) -> Iterator[None]:
        path = database.with_name(f"{database.name}.lock")
        with ExitStack() as undo:
            try:
                file = undo.enter_context(path.open("a+"))
                if not _soon(lambda: _flock(file, shared=shared), wait_s):
                    file.seek(0)
                    raise self._busy(file.read())
                # the file stays for ever: who deletes a lock file may delete the one another process has just locked
                undo.callback(fcntl.flock, file, fcntl.LOCK_UN)
                # of several that share it, the last one's name stands there
                file.truncate(0)
                file.write(f"{_who()}, since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
                file.flush()
            except OSError as err:
                raise StoreFailed(f"ledger {self.name}: cannot lock {path}: {err.strerror}; make it writable") from err
            if not shared:
                undo.callback(file.truncate, 0)
            yield

    @contextmanager
    def _server_lock(self, wait_s: float, *, shared: bool) -> Iterator[None]:
        with ExitStack() as undo:
            try:
                opened = undo.enter_context(self._engine.connect())
                connection = opened.execution_options(isolation_level="AUTOCOMMIT")
                connection.detach()  # closing it ends the server's session, not just a loan from the pool
                connection.execute(text("SET tcp_keepalives_idle = 60"))  # a host that lost power must not hold the lock
                if not _soon(lambda: bool(connection.execute(_SHARE if shared else _TAKE).scalar()), wait_s):
                    raise self._busy(str(connection.execute(_HOLDER).scalar() or ""))
            except SQLAlchemyError as err:
                raise self._failed(err) from err
            undo.callback(_leave, connection, shared=shared)
            yield

    def _busy(self, holder: str) -> Busy:
        holder = holder or "a process that has not written its name yet"
        return Busy(f"ledger {self.name} is held by {holder}; wait until that run ends, or end it, then run again")

    def _failed(self, err: SQLAlchemyError) -> StoreFailed:
        words = " ".join(str(err.orig if isinstance(err, DBAPIError) else err).split())
        if self._url.password:
            words = words.replace(self._url.password, "***")
        remedy = "check that it can be reached and written and that its disk has space, then run again"
        return StoreFailed(f"ledger {self.name}: {words}; nothing was half written: {remedy}")

    def _bring_up_to_date(self) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._age() == "current":
            return
        with self.lock(wait_s=_SCHEMA_WAIT_S):
            age = self._age()  # another process may have brought it up to date while this one waited
            if self._file is not None and age == "older":
                copy_before(self._file, newest_revision())
            if self._file is not None:
                # stays in the file. Not done on every connection: switching fails at once where another one is reading
                with closing(sqlite3.connect(self._file, timeout=30.0)) as raw:
                    raw.execute("PRAGMA journal_mode=WAL")
            if age != "current":
                with self.transaction(writes=True) as tx:
                    command.upgrade(_alembic(connection=tx), "head")

    def _insist_on_current(self) -> None:
        """Raise ConfigError where the tables are not as this code knows them: who only reads changes nothing."""
        if self._file is not None and not self._file.is_file():
            raise ConfigError(f"there is no ledger {self.name} yet: the first ingest makes it")
        if self._age() != "current":
            raise ConfigError(
                f"the ledger {self.name} is of an older version, and is only read here: any other command, such as "
                "`insar-anomaly flags`, brings it up to date"
            )

    def _age(self) -> Literal["empty", "older", "current"]:
        with self.transaction(writes=False) as tx:
            age = schema_age(tx)
        if age == "newer":
            raise ConfigError(f"the ledger {self.name} was written by a newer insar_anomaly: upgrade this installation")
        return age


def schema_age(connection: Connection) -> Literal["empty", "older", "current", "newer"]:
    """The age of the database's schema, seen from this code; `empty` where it holds no ledger yet."""
    found = set(MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads())
    scripts = ScriptDirectory.from_config(_alembic())
    if found == set(scripts.get_heads()):
        return "current"
    if not found:
        return "empty"
    return "older" if found <= {script.revision for script in scripts.walk_revisions()} else "newer"


def newest_revision() -> str:
    """The revision that a ledger has once it is up to date."""
    return str(ScriptDirectory.from_config(_alembic()).get_current_head())


def _alembic(**attributes: Connection) -> Config:
    config = Config()  # no ini file: Alembic must not set up logging
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes.update(attributes)
    return config


def checked(url: str) -> URL:
    """The URL with its driver spelled out and, for SQLite, an absolute path."""
    remedy = "use sqlite:///ledger.db or postgresql://user:password@host/database, with %40 for an @ in the password"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # the URL is not shown: what cannot be taken apart cannot be shown without its password
        raise ConfigError(f"the ledger's URL cannot be understood: {remedy}") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError(f"the ledger cannot live in {parsed.drivername!r}: {remedy}")
    if driver != "sqlite":
        return parsed.set(drivername=driver)
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError(f"the ledger's SQLite URL names no file: {remedy}")
    return parsed.set(drivername=driver, database=str(Path(str(parsed.database)).absolute()))


def _engine(url: URL) -> Engine:
    if url.drivername == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 30.0})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    defaults: dict[str, Any] = {"connect_timeout": 10, "application_name": _who()[:63]}
    chosen = {name: value for name, value in defaults.items() if name not in url.query}
    return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=chosen)


def _read_only(url: URL) -> URL:
    """The same database, which then refuses to be changed."""
    if url.drivername == "sqlite":
        return url.set(database=f"file:{quote(str(url.database))}", query={"mode": "ro", "uri": "true"})
    asked = url.query.get("options", "")
    options = asked if isinstance(asked, str) else " ".join(asked)
    return url.update_query_dict({"options": f"{options} -c default_transaction_read_only=on".strip()})


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # Python's sqlite3 would begin transactions late and by its own rules
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: Connection) -> None:
    # a transaction that reads first and writes later must not find that another one wrote in between
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _who() -> str:
    return f"insar_anomaly process {os.getpid()} on {socket.gethostname()}"


def _soon(attempt: Callable[[], bool], wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while not attempt():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


def _flock(file: TextIO, *, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _leave(connection: Connection, *, shared: bool) -> None:
    # closing would do, but the server takes a moment to notice, and the next run may be there at once
    with suppress(SQLAlchemyError):  # the server is gone, and the lock with it
        connection.execute(_LEAVE[shared])
