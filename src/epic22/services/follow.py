"""A folder that is followed: files become data versions as they arrive, each once, until this is stopped.

All files that are complete at one look become one version. Where that is refused, each goes alone, so that one that is wrong
keeps no other out; it is read again when it is another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from epic22.core.errors import LakeError, StorageError, UnavailableError, UserError
from epic22.core.ports import Source
from epic22.services.ingest import IngestResult


class ArrivingFiles(Protocol):
    """A place into which files come. Raises StorageError or UnavailableError where what was taken cannot be looked up now."""

    def list_arrived(self) -> Sequence[Source]:
        """Those that are complete and were not taken."""

    def list_left(self) -> Sequence[str]:
        """The names of files beside them that are never taken, each once."""

    def note_files(self, names: Sequence[str]) -> None:
        """Note that the files of these names need not be read again."""


@dataclass(frozen=True)
class FilesStored:
    """These files were ingested together."""

    names: tuple[str, ...]
    result: IngestResult


@dataclass(frozen=True)
class FileRefused:
    """This file was not ingested, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FilesWaiting:
    """The files that arrived are tried again at the next look, and why."""

    reason: str


@dataclass(frozen=True)
class FilesLeft:
    """These files are named after no table, and are left alone."""

    names: tuple[str, ...]


PASSING = (LakeError, UnavailableError, StorageError)
"""What is no fault of a file: it is tried again."""
Outcome = FilesStored | FileRefused | FilesWaiting | FilesLeft
FollowReport = Callable[[Outcome], None]
IngestFiles = Callable[[Sequence[Source]], IngestResult]


def follow_files(place: ArrivingFiles, ingest_files: IngestFiles, report: FollowReport, pause: Callable[[], None]) -> None:
    """Ingest what has arrived, again after every pause, until one of them raises; each outcome is reported.

    A file counts as taken after its version is stored: a process that is killed in between reads it again, and finds nothing new.
    """
    while True:
        try:
            sources = place.list_arrived()
            if left := tuple(place.list_left()):
                report(FilesLeft(left))
            if sources:
                _ingest_arrived(sources, place, ingest_files, report)
        except PASSING as error:
            report(FilesWaiting(str(error)))
        pause()


def _ingest_arrived(sources: Sequence[Source], place: ArrivingFiles, ingest_files: IngestFiles, report: FollowReport) -> None:
    names = tuple(dict.fromkeys(source.name for source in sources))
    try:
        result = ingest_files(sources)
    except PASSING:
        raise
    except UserError as error:
        if len(sources) > 1:
            for source in sources:
                _ingest_arrived([source], place, ingest_files, report)
            return
        report(FileRefused(names[0], str(error)))
    else:
        report(FilesStored(names, result))
    place.note_files(names)
