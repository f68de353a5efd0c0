"""The memory of events as files: one a data version that took events in, in the same transaction.

lake/events/00000042/events.parquet   [a, b, content, arrived, counts]

The file of version n holds the events of the versions above n - lowbit(n), where lowbit(n) is the largest power of two in n, as a
binary indexed tree does (Fenwick 1994): few files are read whatever the number of versions, each event is written again few
times, and what a file covers is removed.
"""

import io
from contextlib import suppress
from datetime import timedelta

import polars as pl

from epic22.adapters.file_store import FileStore
from epic22.core.errors import StorageError
from epic22.core.tables.event_memory import EventMemory

EVENTS = "events"


class EventFiles:
    """The files below one place; what was read last, or added to it, is in memory until another process makes a version."""

    def __init__(self, files: FileStore) -> None:
        self.files = files
        self._latest: tuple[int, EventMemory] = (0, EventMemory.of_nothing())

    def read(self, number: int) -> EventMemory:
        """The events of all versions up to a number."""
        if self._latest[0] != number:
            self._latest = (number, self._read_versions(number, 0))
        return self._latest[1]

    def write(self, number: int, fresh: EventMemory, horizon: timedelta) -> None:
        """Keep the events of a version that is about to be."""
        memory = self._read_versions(number - 1, _find_start(number)).add(fresh, horizon)
        content = io.BytesIO()
        memory.frame.write_parquet(content)
        self.files.write(_name_file(number), content.getvalue())

    def discard(self, number: int) -> None:
        """Remove what was kept of a version that never came to be."""
        self.files.remove(_name_folder(number))

    def complete(self, number: int, fresh: EventMemory, horizon: timedelta) -> None:
        """Note that the version has come to be, and remove the files that its own covers: they do no harm where they stay."""
        if self._latest[0] == number - 1:
            self._latest = (number, self._latest[1].add(fresh, horizon))
        with suppress(OSError, StorageError):
            for name in self.files.list_files(EVENTS):
                if _find_start(number) < _read_number(name) < number:
                    self.files.remove(_name_folder(_read_number(name)))

    def _read_versions(self, number: int, start: int) -> EventMemory:
        """The events of the versions above `start` up to a number."""
        stored = {_read_number(name) for name in self.files.list_files(EVENTS)}
        parts = []
        while number > start:
            # A version of files or a restored one took no events in, so it has no file that would cover others.
            has_file = number in stored
            if has_file:
                parts.append(pl.read_parquet(self.files.read(_name_file(number)) or b""))
            number = _find_start(number) if has_file else number - 1
        return EventMemory(pl.concat([EventMemory.of_nothing().frame, *reversed(parts)]))


def _find_start(number: int) -> int:
    """The version after which begins what the file of a version covers.

    >>> [_find_start(number) for number in (1, 2, 3, 4, 6, 12)]
    [0, 0, 2, 0, 4, 8]
    """
    return number & (number - 1)


def _name_folder(number: int) -> str:
    return f"{EVENTS}/{number:08d}"


def _name_file(number: int) -> str:
    return f"{_name_folder(number)}/events.parquet"


def _read_number(name: str) -> int:
    return int(name.split("/")[1])
