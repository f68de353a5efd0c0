"""Events that the API accepted, in an SQLite file of the home until a consumer has them in a data version."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from epic22.core.errors import QueueFullError, StorageError
from epic22.core.ports import Lag
from epic22.core.tables.events import MAX_READ_BYTES, ArrivedEvent

MAX_WAITING = 100_000
BUSY_SECONDS = 10
POLL_SECONDS = 0.2
SCHEMA = (
    'CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, "table" TEXT NOT NULL, content BLOB NOT NULL, '
    "arrived INTEGER NOT NULL)",
    # Counting, and the first and last moment, then need not read the events themselves.
    "CREATE INDEX IF NOT EXISTS events_by_arrival ON events (arrived)",
)


class EventSpool:
    """The queue and the stream in one file, for one consumer; several processes may add to it.

    `add` returns once the disk has the events. Raises StorageError where the file cannot be used, QueueFullError where `limit`
    events wait.
    """

    def __init__(self, path: Path, limit: int = MAX_WAITING) -> None:
        self._path, self._limit = path, limit
        self._last = 0
        self.is_finished = False

    @property
    def name(self) -> str:
        """What it is."""
        return "api events"

    def add(self, table: str, events: Sequence[bytes]) -> int:
        """Store these events for good, all or none; says how many wait."""
        with self._connect() as connection:
            # The turn to write is taken before the count: two that add at once do not both fit into the last place.
            connection.execute("BEGIN IMMEDIATE")
            waiting = _count(connection)
            if waiting + len(events) > self._limit:
                raise QueueFullError(f"{waiting:,} events wait of at most {self._limit:,}")
            (last,) = connection.execute("SELECT coalesce(max(arrived), 0) FROM events").fetchone()
            # Each a microsecond after the one before: what comes later is known later, though the clock may stand still.
            first = max(time.time_ns() // 1000, last + 1)
            rows = [(table, event, first + i) for i, event in enumerate(events)]
            connection.executemany('INSERT INTO events ("table", content, arrived) VALUES (?, ?, ?)', rows)
            connection.execute("COMMIT")
        return waiting + len(events)

    def read(self, n: int, seconds: float) -> Sequence[ArrivedEvent]:
        """The next events."""
        end = time.monotonic() + seconds
        query = 'SELECT number, "table", content, arrived FROM events WHERE number > ? ORDER BY number LIMIT ?'
        while True:
            with self._connect() as connection:
                rows = _fetch_rows(connection.execute(query, (self._last, n)))
            if rows or time.monotonic() >= end:
                break
            time.sleep(min(POLL_SECONDS, max(0.0, end - time.monotonic())))
        if rows:
            self._last = rows[-1][0]
        return [ArrivedEvent(bytes(content), arrived, str(number), table) for number, table, content, arrived in rows]

    def acknowledge(self, events: Sequence[ArrivedEvent]) -> None:
        """Remove them."""
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM events WHERE number = ?", [(int(event.position),) for event in events])
            connection.execute("COMMIT")

    def count_events(self, is_meant: Callable[[bytes], bool]) -> int:
        """How many events of such content wait."""
        return len(self._list_events(is_meant))

    def remove_events(self, is_meant: Callable[[bytes], bool]) -> None:
        """Remove them, and what is left in the file's log of those that were removed before."""
        if not self._path.exists():
            return
        self.acknowledge(self._list_events(is_meant))
        with self._connect() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _list_events(self, is_meant: Callable[[bytes], bool]) -> list[ArrivedEvent]:
        if not self._path.exists():
            return []
        stream, events = EventSpool(self._path), []
        while part := stream.read(self._limit, 0.0):
            events += [event for event in part if is_meant(event.content)]
        return events

    def rewind(self) -> None:
        """Begin again at the first that is there."""
        self._last = 0

    def measure_lag(self) -> Lag:
        """The events that are there, and the age of the oldest."""
        with self._connect() as connection:
            (oldest,) = connection.execute("SELECT min(arrived) FROM events").fetchone()
            waiting = _count(connection)
        return Lag(waiting, 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e6))

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=WAL").fetchone()
                # What was accepted outlives a power cut.
                connection.execute("PRAGMA synchronous=FULL")
                # What was removed is not left in the free part of the file.
                connection.execute("PRAGMA secure_delete=ON").fetchone()
                for statement in SCHEMA:
                    connection.execute(statement)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{self._path}: the events that wait cannot be kept there ({error}); see the disk.") from error


def _fetch_rows(cursor: sqlite3.Cursor) -> list[Any]:
    """The rows of a query, until their contents are as large as is read at once."""
    rows, n_bytes = [], 0
    for row in cursor:
        rows.append(row)
        n_bytes += len(row[2])
        if n_bytes >= MAX_READ_BYTES:
            break
    return rows


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
