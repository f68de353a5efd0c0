"""The connection to the metadata database: PostgreSQL, or SQLite in a file; each with the care that it needs.

PostgreSQL: tables in a schema of their own, beside those of MLflow and Optuna (`library_schema`); a server that does not answer
is given up after seconds. SQLite: write-ahead log, so that readers and a writer do not wait for each other; a writer takes its
turn at its begin, never in its middle.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import finalize

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from epic22.core.errors import NotInstalledError, RefusedContentError, StorageError, StoreAwayError

SETTING = "EPIC22_DATABASE_URL"
SCHEMA = "epic22"
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
BUSY_SECONDS = 30
COMPACT_WAIT_SECONDS = 60
"""So long a table that is to be written anew is waited for."""
AWAY_STATES = ("08", "57P", "53300")
"""How PostgreSQL's errors begin that pass: no connection, a server that starts or stops, as many connections as it takes."""
AWAY_WORDS = re.compile("starting up|shutting down|recovery mode|accepting connections|too many clients|connection slots")
"""The same in the words of a server that refuses a connection; of a wrong password or name it has others."""


class Database:
    """The metadata database at a URL. Its tables are made, or brought up to date, when it is first used.

    `read` and `write` give a connection in a transaction. Both raise StorageError, one sentence without the password, where the
    server or file cannot be used, StoreAwayError where that may pass; NotInstalledError without psycopg. `setting` is what a
    person changes to use another, `session` what its sessions at a server are called.
    """

    def __init__(self, url: str, setting: str = SETTING, session: str | None = None) -> None:
        self._url = url
        self.session = session
        self._setting = setting
        self.is_sqlite = url.startswith("sqlite:")
        self._is_current = False

    def __repr__(self) -> str:
        return f"Database({self.place})"

    @property
    def place(self) -> str:
        """Where it is, for people: never the user's name or password."""
        address = urlsplit(self._url)
        return str(self.path) if self.is_sqlite else f"{address.hostname or 'the local socket'}{address.path}"

    @property
    def path(self) -> Path:
        """The file of an SQLite database."""
        return Path(self._url.removeprefix("sqlite:///"))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of all tables."""
        self._prepare()
        with self.translate_faults(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection whose changes become visible together at the end, or not at all."""
        self._prepare()
        with self.translate_faults(), self.engine.connect() as connection:
            writer = connection.execution_options(epic22_writes=True)
            with writer.begin():
                yield writer

    @cached_property
    def engine(self) -> Engine:
        """The pool of connections, which are given back when this database is no longer used."""
        engine = self._open_sqlite() if self.is_sqlite else self._open_server()
        finalize(self, engine.dispose)
        return engine

    def _prepare(self) -> None:
        if self._is_current:
            return
        from epic22.adapters.metadata.migrations import upgrade

        with self.translate_faults():
            upgrade(self)
        self._is_current = True

    @contextmanager
    def translate_faults(self) -> Iterator[None]:
        """Raise StorageError, one sentence, for what the database refuses, also where another library says so:
        RefusedContentError where that is for its content, StoreAwayError where a server does not answer now."""
        try:
            yield
        except DBAPIError as error:
            reason = str(error.orig).strip().partition("\n")[0] or type(error.orig).__name__
            raise self._choose_fault(error)(f"{self._setting}: {self._describe_fault(error, reason)}") from error
        except PoolTimeout as error:
            raise StoreAwayError(f"{self._setting}: all connections to {self.place} are in use; try again later.") from error

    def _choose_fault(self, error: DBAPIError) -> type[StorageError]:
        if isinstance(error, (DataError, IntegrityError)):
            return RefusedContentError
        is_away = not self.is_sqlite and isinstance(error, OperationalError) and _may_pass(error.orig)
        return StoreAwayError if is_away else StorageError

    def _describe_fault(self, error: DBAPIError, reason: str) -> str:
        """What a database refused, and the way out: a file is no server that could be away."""
        if self.is_sqlite and "readonly" in reason:
            return f"{self.place} cannot be written: {reason}; let this user write it, or name another place."
        if self.is_sqlite and isinstance(error, OperationalError):
            return f"{self.place} cannot be used: {reason}; mend it, or name another place."
        fault = "no connection to" if isinstance(error, OperationalError) else "it was refused by"
        return f"{fault} {self.place}: {reason}; mend or unset it."

    def _open_server(self) -> Engine:
        if find_spec("psycopg") is None:
            raise NotInstalledError(
                f"{SETTING}: the library 'psycopg' is not installed; pip install 'epic22[postgres]', or unset it."
            )
        engine = create_engine(
            self.driver_url,
            pool_pre_ping=True,
            connect_args={
                **({} if self.session is None else {"application_name": self.session}),
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c search_path={SCHEMA} -c statement_timeout={STATEMENT_SECONDS}s",
            },
        )
        event.listen(engine, "begin", _begin_server)
        return engine

    @property
    def driver_url(self) -> str:
        """SQLAlchemy's address of a server; it may hold a password."""
        return "postgresql+psycopg://" + self._url.partition("://")[2]

    def _open_sqlite(self) -> Engine:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except (NotADirectoryError, FileExistsError):
            way = "is no folder, for a file is in its place; name another, or move the file."
            raise StorageError(f"{self._setting}: {self.path.parent} {way}") from None
        engine = create_engine("sqlite://", creator=partial(_connect_sqlite, self.path), poolclass=QueuePool)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def compact(self, tables: Sequence[str]) -> None:
        """Write tables anew, so that no file of theirs has what was removed from them.

        SQLite's whole file is written anew, its log is emptied. A server's tables are locked meanwhile, each for as long as its
        copy takes; its write-ahead log keeps what was removed until it is recycled. Raises StorageError where others keep a table
        for long.
        """
        self._prepare()
        if self.is_sqlite:
            with self.translate_faults(), self.engine.connect() as connection:
                cursor = connection.connection.cursor()
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        with self.open_session() as session:
            session.exec_driver_sql(f"SET lock_timeout = '{COMPACT_WAIT_SECONDS}s'")
            for table in tables:
                session.exec_driver_sql(f"VACUUM (FULL) {SCHEMA}.{table}")

    @contextmanager
    def open_session(self) -> Iterator[Connection]:
        """A connection of its own to a server, without transactions and time limits, that is closed at the end: for locks."""
        with self.translate_faults(), self.engine.connect() as connection:
            session = connection.execution_options(isolation_level="AUTOCOMMIT", epic22_writes=True)
            session.exec_driver_sql("SET statement_timeout = 0")
            try:
                yield session
            finally:
                # A connection that goes back to the pool would keep its locks.
                session.invalidate()


def _connect_sqlite(path: Path) -> sqlite3.Connection:
    # No transactions of the driver's own: it begins them late, and a reader that then writes cannot wait for its turn.
    options: dict[str, Any] = {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}
    connection: sqlite3.Connection = sqlite3.connect(path, **options)
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error) and "unable to open" not in str(error):
            raise
        connection.close()
        # Where nothing can be written nobody writes: the file is read as it is.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True, **options)
    connection.execute("PRAGMA foreign_keys=ON")
    # What is removed is overwritten with zeros, and not only forgotten.
    connection.execute("PRAGMA secure_delete=ON").fetchone()
    return connection


def _may_pass(fault: BaseException | None) -> bool:
    """Whether a server that refused or was not there may answer later, unchanged."""
    state: str | None = getattr(fault, "sqlstate", None)
    if state is not None:
        return state.startswith(AWAY_STATES)
    return "FATAL" not in str(fault) or AWAY_WORDS.search(str(fault)) is not None


def _begin_server(connection: Connection) -> None:
    if not connection.get_execution_options().get("epic22_writes"):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("epic22_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
