"""Locks by name that one process of all machines has: those of the server, or of a file beside an SQLite database.

A lock ends with its process, and with its connection to the server.
"""

import fcntl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from epic22.adapters.home import wait_for_lock, warn_of_waiting
from epic22.adapters.metadata.database import Database

LOCK_KEY = 0x65706332
"""The first half of the keys of our locks on a server: those of other programs begin otherwise."""


@contextmanager
def hold_lock(database: Database, name: str, work: str) -> Iterator[None]:
    """Wait for the lock and hold it; a wait that lasts is said on standard error, with the work that it is for."""
    if database.is_sqlite:
        with _open_lock_file(database.path, name) as file:
            wait_for_lock(file, work)
            yield
        return
    with database.open_session() as session:
        with warn_of_waiting(work):
            session.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK_KEY}, {hash_name(name)})")
        with _release(session, name):
            yield


@contextmanager
def try_lock(database: Database, name: str) -> Iterator[bool]:
    """Hold the lock where it is free; says whether it was."""
    if database.is_sqlite:
        with _open_lock_file(database.path, name) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        return
    with database.open_session() as session:
        is_free = bool(session.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK_KEY}, {hash_name(name)})").scalar())
        with _release(session, name) if is_free else nullcontext():
            yield is_free


@contextmanager
def _release(session: Connection, name: str) -> Iterator[None]:
    """Let go of the lock at the end: a server learns a moment later than we do that a connection was closed."""
    try:
        yield
    finally:
        # Without the server the lock is gone already.
        with suppress(DBAPIError):
            session.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK_KEY}, {hash_name(name)})")


def lock_in_transaction(database: Database, connection: Connection, name: str) -> None:
    """Wait until no other transaction has the lock; it ends with this one. SQLite has one writer anyway."""
    if not database.is_sqlite:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY}, {hash_name(name)})")


def hash_name(name: str) -> int:
    """A signed 32-bit number of a name, the same everywhere.

    >>> hash_name("champion/churn")
    -1169650028
    """
    number = zlib.crc32(name.encode())
    return number - (1 << 32) if number >= 1 << 31 else number


def _open_lock_file(database: Path, name: str) -> IO[str]:
    database.parent.mkdir(parents=True, exist_ok=True)
    return (database.parent / f".{name.replace('/', '-')}.lock").open("a")
