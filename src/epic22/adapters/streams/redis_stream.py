"""Events in a Redis stream, read by a consumer group: what was given out and not acknowledged is given out again.

An entry has the field `event` with the JSON of an event, and may have `table`. Its id is the moment of its arrival by the clock
of the server; an entry whose id can be no such moment, as a sender may choose it, came when it is read. Redis 6.2 or newer.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from epic22.adapters.redis.server import ANSWER_SECONDS, RedisServer
from epic22.core.errors import QueueFullError, SourceError
from epic22.core.ports import Lag
from epic22.core.tables.events import CLOCK_TOLERANCE, MAX_READ_BYTES, ArrivedEvent, count_microseconds, cut_content

STREAM, GROUP = "epic22:events", "epic22"
"""The stream in which the API lays events down, and the group that takes them from it."""
MAX_WAITING = 100_000
ENTRIES_AT_ONCE, FIRST_ENTRIES = 200, 10
"""Entries asked for at once, at most and at first: each may be large, and all of an answer are in memory."""
IDLE_SECONDS = 60.0
"""An entry that another consumer has had for so long is taken over from it: it has ended."""
CLAIM_SECONDS = 30.0
"""So often is looked for such entries."""
MAX_COUNTED = 10_000
"""So many waiting entries are counted, or of large ones fewer, where the server, older than Redis 7, does not count them."""
FIRST_MOMENT = count_microseconds(datetime(2018, 1, 1))
"""Redis has streams since then: an id that lies before is a number of the sender's own."""
TOLERANCE = CLOCK_TOLERANCE // timedelta(microseconds=1)
EVENT, TABLE = b"event", b"table"
StreamEntry = tuple[bytes, Mapping[bytes, bytes] | None]
"""The id of an entry, and its fields; None where it was trimmed."""


class RedisStream:
    """The events of a stream for one consumer of a group, which is made where there is none, from the stream's begin.

    `is_own`: nobody else reads the stream, so what is acknowledged is removed from it. `idle_seconds` are longer than a consumer
    takes to fill a batch and to store it.
    """

    def __init__(
        self,
        server: RedisServer,
        stream: str,
        group: str,
        consumer: str,
        is_own: bool = False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._server, self._idle_milliseconds = server, int(idle_seconds * 1000)
        self._stream, self._group, self._consumer, self._is_own = stream, group, consumer, is_own
        self._from: str | bytes = "0"
        self._claimed_at = time.monotonic()
        self._n_at_once = min(FIRST_ENTRIES, ENTRIES_AT_ONCE)
        self._last_moment = 0
        self._is_open = False

    @property
    def name(self) -> str:
        """The stream's name."""
        return f"redis stream {self._stream}"

    @property
    def is_finished(self) -> bool:
        """Never: more may come."""
        return False

    def open(self) -> None:
        """Make the group where there is none; the first `read` does it otherwise. Raises SourceError where there is no such
        stream, else as `read` does."""
        client: Any = self._server.client
        with self._server.translate_faults():
            kind = bytes(client.type(self._stream))
        if kind == b"none" and not self._is_own:
            raise SourceError(f"{self._server.option}: there is no stream {self._stream!r}; name one with --stream.")
        if kind not in (b"none", b"stream"):
            raise SourceError(
                f"{self._server.option}: {self._stream!r} is a {kind.decode()} and no stream; name one with --stream."
            )
        self._make_group()
        self._is_open = True

    def _make_group(self) -> None:
        from redis.exceptions import ResponseError

        with self._server.translate_faults():
            try:
                self._server.client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def rewind(self) -> None:
        """Begin again at the first entry that was given out and not acknowledged."""
        self._from = "0"

    def read(self, n: int, seconds: float) -> Sequence[ArrivedEvent]:
        """The next entries, few at once: those given out before, then new ones, from time to time those of consumers that have
        ended."""
        if not self._is_open:
            self.open()
        n = min(n, self._n_at_once)
        if self._from != ">":
            entries = self._read_group(n, self._from, 0.0)
            if entries:
                self._from = entries[-1][0]
                return self._convert_entries(entries)
            self._from = ">"
        if time.monotonic() - self._claimed_at > CLAIM_SECONDS:
            self._claimed_at = time.monotonic()
            claimed = self._claim_idle(n)
            if claimed:
                return claimed
        return self._convert_entries(self._read_group(n, ">", seconds))

    def _read_group(self, n: int, start: str | bytes, seconds: float) -> list[StreamEntry]:
        from redis.exceptions import ResponseError

        # The server ends its wait before the client gives the answer up.
        block = int(min(seconds, ANSWER_SECONDS / 2) * 1000) or None
        with self._server.translate_faults():
            try:
                answer: Any = self._server.client.xreadgroup(self._group, self._consumer, {self._stream: start}, n, block)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                # A server that keeps nothing has been started anew: what comes now is read from its begin.
                self._make_group()
                return []
        return self._fit_next([entry for _, entries in answer or [] for entry in entries])

    def _fit_next(self, entries: Sequence[StreamEntry]) -> list[StreamEntry]:
        """The entries; as many are asked for next as are about MAX_READ_BYTES large if they are like these, at most twice as
        many as now: the server tells no entry's size before it gives it."""
        if entries:
            size = sum(len(value) for _, fields in entries for value in (fields or {}).values())
            fitting = max(1, len(entries) * MAX_READ_BYTES // max(1, size))
            self._n_at_once = min(fitting, 2 * self._n_at_once, ENTRIES_AT_ONCE)
        return list(entries)

    def _claim_idle(self, n: int) -> list[ArrivedEvent]:
        with self._server.translate_faults():
            answer: Any = self._server.client.xautoclaim(
                self._stream, self._group, self._consumer, self._idle_milliseconds, count=n
            )
        # An older server gives nothing in the place of an entry that was trimmed.
        return self._convert_entries(self._fit_next([entry for entry in answer[1] if entry[0] is not None]))

    def _convert_entries(self, entries: Sequence[StreamEntry]) -> list[ArrivedEvent]:
        # Entries that were trimmed before they were acknowledged have no fields any more.
        gone = [name for name, fields in entries if fields is None]
        if gone:
            with self._server.translate_faults():
                self._server.client.xack(self._stream, self._group, *gone)
        return [_convert_entry(name, fields, self._date_entry(name)) for name, fields in entries if fields is not None]

    def _date_entry(self, name: bytes) -> int:
        """When an entry came: by its id, else now, one after the other."""
        now = time.time_ns() // 1000
        moment = _read_moment(name, now)
        if moment is None:
            moment = self._last_moment = max(self._last_moment + 1, now)
        return moment

    def acknowledge(self, events: Sequence[ArrivedEvent]) -> None:
        """Acknowledge the entries, and remove them where nobody else reads them."""
        client = self._server.client
        names = [event.position for event in events]
        with self._server.translate_faults():
            for start in range(0, len(names), ENTRIES_AT_ONCE):
                part = names[start : start + ENTRIES_AT_ONCE]
                client.xack(self._stream, self._group, *part)
                if self._is_own:
                    client.xdel(self._stream, *part)

    def measure_lag(self) -> Lag:
        """Entries that are not acknowledged, and the age of the oldest by the clock of the server."""
        client: Any = self._server.client
        with self._server.translate_faults():
            group = next((one for one in client.xinfo_groups(self._stream) if one["name"] == self._group.encode()), None)
            if group is None:
                return Lag(0, 0.0)
            pending = client.xpending(self._stream, self._group)
            unread = self._measure_unread(group["last-delivered-id"], group.get("lag"))
            seconds, microseconds = client.time()
        now = int(seconds) * 1_000_000 + int(microseconds)
        moments = [_read_moment(name, now) for name in (pending["min"], unread.first) if name is not None]
        # How long an entry waits whose id is no moment nobody knows.
        oldest = [moment for moment in moments if moment is not None]
        n_waiting = unread.number + int(pending["pending"])
        return Lag(n_waiting, max(0.0, (now - min(oldest, default=now)) / 1e6), unread.is_bound)

    def _measure_unread(self, after: bytes, counted: int | None) -> "_Unread":
        """The entries after one: as many as the server counted, as Redis does from version 7 on, else those that it gives."""
        client: Any = self._server.client
        first, number, n_bytes = None, 0, 0
        while number < MAX_COUNTED and n_bytes < MAX_READ_BYTES:
            n = 1 if counted is not None else min(self._n_at_once, MAX_COUNTED - number)
            entries = client.xrange(self._stream, b"(" + after, "+", n)
            first = first or (entries[0][0] if entries else None)
            if counted is not None:
                return _Unread(first, int(counted))
            number += len(entries)
            if len(entries) < n:
                return _Unread(first, number)
            after = entries[-1][0]
            n_bytes += sum(len(value) for _, fields in entries for value in fields.values())
        return _Unread(first, number, is_bound=True)


@dataclass(frozen=True)
class _Unread:
    """Entries that were given to nobody yet: the id of the first, and how many there are; at least so many where `is_bound`."""

    first: bytes | None
    number: int
    is_bound: bool = False


class RedisEventQueue:
    """Events laid down in a stream, at most `limit` at a time."""

    def __init__(self, server: RedisServer, stream: str = STREAM, limit: int = MAX_WAITING) -> None:
        self._server, self._stream, self._limit = server, stream, limit

    def add(self, table: str, events: Sequence[bytes]) -> int:
        """Add the events in one transaction of the server; says how many entries wait."""
        client = self._server.client
        with self._server.translate_faults():
            waiting = int(client.xlen(self._stream))
            if waiting + len(events) > self._limit:
                raise QueueFullError(f"{waiting:,} events wait of at most {self._limit:,}")
            pipeline = client.pipeline(transaction=True)
            for event in events:
                pipeline.xadd(self._stream, {EVENT: event, TABLE: table.encode()})
            pipeline.execute()
        return waiting + len(events)

    def count_waiting(self) -> int:
        """How many events wait."""
        client: Any = self._server.client
        with self._server.translate_faults():
            return int(client.xlen(self._stream))

    def count_events(self, is_meant: Callable[[bytes], bool]) -> int:
        """How many events of such content wait."""
        return len(self._list_entries(is_meant))

    def remove_events(self, is_meant: Callable[[bytes], bool]) -> None:
        """Remove them; the server's own log forgets them once it is written anew."""
        names = self._list_entries(is_meant)
        with self._server.translate_faults():
            for start in range(0, len(names), ENTRIES_AT_ONCE):
                self._server.client.xdel(self._stream, *names[start : start + ENTRIES_AT_ONCE])

    def _list_entries(self, is_meant: Callable[[bytes], bool]) -> list[bytes]:
        client: Any = self._server.client
        names: list[bytes] = []
        after = b"-"
        while True:
            with self._server.translate_faults():
                entries = client.xrange(self._stream, after, "+", ENTRIES_AT_ONCE)
            names += [name for name, fields in entries if is_meant(fields.get(EVENT, b""))]
            if len(entries) < ENTRIES_AT_ONCE:
                return names
            after = b"(" + entries[-1][0]


def _convert_entry(name: bytes, fields: Mapping[bytes, bytes], arrived: int) -> ArrivedEvent:
    table = fields.get(TABLE)
    # Without the field `event` nothing can be read of it: the reason for the quarantine is that of an empty text.
    content = cut_content(fields.get(EVENT, b""))
    return ArrivedEvent(content, arrived, name.decode(), None if table is None else table.decode("utf-8", "replace"))


def _read_moment(name: bytes, now: int) -> int | None:
    """When an entry came, in microseconds: those of one millisecond one after the other, as their order is; None for an id that
    can be no such moment.

    >>> [_read_moment(name, 1800000000000000) for name in (b"1700000000000-7", b"1-1", b"1700000000000000000-0")]
    [1700000000000007, None, None]
    """
    milliseconds, _, sequence = name.partition(b"-")
    moment = int(milliseconds) * 1000 + min(int(sequence or 0), 999)
    return moment if FIRST_MOMENT <= moment <= now + TOLERANCE else None
