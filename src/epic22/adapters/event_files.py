"""The memory of events as files: one a data version that took events in, in the same transaction.

lake/events/00000042/events.parquet         [a, b, content, arrived, counts, version]
lake/events/restores/00000043/00000007.json  version 43 is version 7 restored: what came in between does not count

The file of version n holds the events of the versions above n - lowbit(n), where lowbit(n) is the largest power of two in n, as a
binary indexed tree does (Fenwick 1994): few files are read whatever the number of versions, each event is written again few
times, and what a file covers is removed. A restore changes none of them: which versions' events count is told by the restores.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import polars as pl

from epic22.adapters.damaged_files import read_parquet
from epic22.adapters.file_store import FileStore
from epic22.core.errors import StorageError
from epic22.core.tables.event_memory import EventMemory

EVENTS = "events"
RESTORES = f"{EVENTS}/restores"
VERSION = "version"
"""In which version an event came; an older file does not say it, and its events count in all of them."""
NO_VERSION = 0


class EventFiles:
    """The files below one place; what was read last, or added to it, is in memory until another process makes a version."""

    def __init__(self, files: FileStore) -> None:
        self.files = files
        self._latest: tuple[int, EventMemory] = (0, _date_events(EventMemory.of_nothing(), NO_VERSION))

    def read(self, number: int) -> EventMemory:
        """The events of the versions of which a version consists: all up to it, but for those that a restore passed over."""
        if self._latest[0] != number:
            names = list(self.files.list_files(EVENTS))
            frame = self._read_versions(number, 0, names).frame
            counted = [pl.col(VERSION).is_between(first, last) for first, last in _list_counted(number, _read_restores(names))]
            self._latest = (number, EventMemory(frame.filter(pl.any_horizontal(pl.col(VERSION) == NO_VERSION, *counted))))
        return self._latest[1]

    def note_restore(self, number: int, restored: int) -> None:
        """Note that a version that is about to be is an older one restored."""
        content = json.dumps({"version": number, "restored": restored}).encode()
        self.files.write(f"{RESTORES}/{number:08d}/{restored:08d}.json", content)

    def write(self, number: int, fresh: EventMemory, horizon: timedelta) -> None:
        """Keep the events of a version that is about to be."""
        before = self._read_versions(number - 1, _find_start(number), list(self.files.list_files(EVENTS)))
        memory = before.add(_date_events(fresh, number), horizon)
        content = io.BytesIO()
        memory.frame.write_parquet(content)
        self.files.write(_name_file(number), content.getvalue())

    def discard(self, number: int) -> None:
        """Remove what was kept of a version that never came to be."""
        self.files.remove(_name_folder(number))
        self.files.remove(f"{RESTORES}/{number:08d}")

    def complete(self, number: int, fresh: EventMemory, horizon: timedelta) -> None:
        """Note that the version has come to be, and remove the files that its own covers: they do no harm where they stay."""
        if self._latest[0] == number - 1:
            self._latest = (number, self._latest[1].add(_date_events(fresh, number), horizon))
        with suppress(OSError, StorageError):
            for stored in _list_numbers(self.files.list_files(EVENTS)):
                if _find_start(number) < stored < number:
                    self.files.remove(_name_folder(stored))

    def _read_versions(self, number: int, start: int, names: Sequence[str]) -> EventMemory:
        """The events of the versions above `start` up to a number, whether they count or not."""
        stored = _list_numbers(names)
        parts = []
        while number > start:
            # A version of files or a restored one took no events in, so it has no file that would cover others.
            has_file = number in stored
            if has_file:
                name = _name_file(number)
                stored_events = EventMemory(read_parquet(self.files.read(name), f"{self.files.place}/{name}"))
                parts.append(_date_events(stored_events, NO_VERSION).frame)
            number = _find_start(number) if has_file else number - 1
        return EventMemory(pl.concat([_date_events(EventMemory.of_nothing(), NO_VERSION).frame, *reversed(parts)]))


def _date_events(memory: EventMemory, number: int) -> EventMemory:
    """The events with the version in which they came, where they do not say it."""
    if VERSION in memory.frame.columns:
        return memory
    return EventMemory(memory.frame.with_columns(pl.lit(number, dtype=pl.Int64).alias(VERSION)))


def _list_counted(number: int, restores: Mapping[int, int]) -> list[tuple[int, int]]:
    """The first and last of each run of versions whose events a version has, by which versions are which ones restored.

    >>> _list_counted(3, {5: 2}), _list_counted(7, {5: 2}), _list_counted(9, {5: 2, 8: 6})
    ([(1, 3)], [(6, 7), (1, 2)], [(9, 9), (6, 6), (1, 2)])
    """
    runs = []
    while number:
        restore = max((one for one in restores if one <= number), default=0)
        runs.append((restore + 1, number))
        number = restores.get(restore, 0)
    return [run for run in runs if run[0] <= run[1]]


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


def _list_numbers(names: Iterable[str]) -> set[int]:
    """The versions that have a file of events."""
    return {int(name.split("/")[1]) for name in names if not name.startswith(f"{RESTORES}/")}


def _read_restores(names: Iterable[str]) -> dict[int, int]:
    """The versions that are older ones restored, each with that one."""
    parts = [name.removesuffix(".json").split("/") for name in names if name.startswith(f"{RESTORES}/")]
    return {int(number): int(restored) for *_, number, restored in parts}
