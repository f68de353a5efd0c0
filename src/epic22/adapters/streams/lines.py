"""Events as lines of JSON on standard input, read as they come, with a bound on the length of a line."""

import os
import select
import time
from collections.abc import Sequence

from epic22.core.ports import Lag
from epic22.core.tables.events import MAX_EVENT_BYTES, MAX_READ_BYTES, ArrivedEvent, cut_content

READ_BYTES = 1 << 20


class LineStream:
    """The lines of an open file, for events of `table` where they name none. What is longer than an event may be is cut there.

    A process that ends before the last line is run again with the same lines, of which each counts once.
    """

    def __init__(self, descriptor: int, table: str | None = None) -> None:
        self._descriptor, self._table = descriptor, table
        self._part = bytearray()
        self._n_lines = 0
        self._arrived = 0
        self._lines: list[bytes] = []
        self._unstored: list[ArrivedEvent] = []
        self._again: list[ArrivedEvent] = []
        self.is_finished = False

    @property
    def name(self) -> str:
        """What it is."""
        return "standard input"

    def read(self, n: int, seconds: float) -> Sequence[ArrivedEvent]:
        """The next lines that are not blank."""
        if self._again:
            events, self._again = self._again[:n], self._again[n:]
        else:
            events = self._read_lines(n, seconds)
        self._unstored += events
        return events

    def _read_lines(self, n: int, seconds: float) -> list[ArrivedEvent]:
        end = time.monotonic() + seconds
        while len(self._lines) < n and sum(map(len, self._lines)) < MAX_READ_BYTES and not self.is_finished:
            wait = 0.0 if self._lines else max(0.0, end - time.monotonic())
            if not select.select([self._descriptor], [], [], wait)[0]:
                break
            self._take(os.read(self._descriptor, READ_BYTES))
        lines, self._lines = self._lines[:n], self._lines[n:]
        return [event for line in lines if (event := self._convert_line(line)) is not None]

    def _take(self, content: bytes) -> None:
        """Cut what was read into lines."""
        *lines, rest = content.split(b"\n")
        for line in lines:
            self._lines.append(cut_content(bytes(self._part) + line))
            self._part.clear()
        if len(self._part) <= MAX_EVENT_BYTES:
            # Of a line that is too long so much is enough to know that it is.
            self._part += rest[: MAX_EVENT_BYTES + 1]
        if not content:
            self.is_finished = True
            if self._part:
                self._lines.append(bytes(self._part))

    def _convert_line(self, line: bytes) -> ArrivedEvent | None:
        self._n_lines += 1
        if not line.strip():
            return None
        self._arrived = max(self._arrived + 1, time.time_ns() // 1000)
        return ArrivedEvent(line, self._arrived, str(self._n_lines), self._table)

    def acknowledge(self, events: Sequence[ArrivedEvent]) -> None:
        """Forget the lines, which are all that were given since the last time."""
        self._unstored.clear()

    def rewind(self) -> None:
        """Begin again at the first line that is not stored."""
        self._again, self._unstored = [*self._unstored, *self._again], []

    def measure_lag(self) -> Lag | None:
        """Not known: nobody says how much is still to be written."""
        return None
