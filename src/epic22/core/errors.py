"""Everything that can go wrong, as a tree.

Epic22Error
├── UserError             the caller's input: exit code 2, HTTP 4xx; the message is one clear sentence
│   ├── FileError         a file that cannot be read as a table
│   ├── SourceError       a server that rows come from, which cannot be reached or does not give them
│   ├── ColumnError       a column that is absent, or does not fit the role it was named for
│   ├── SplitError        rows that cannot be split honestly as asked
│   ├── RowError          a row that cannot be scored
│   ├── UnknownTaskError  no task, version or champion of that name
│   ├── NotInstalledError an optional library that is not there
│   ├── BundleError       a stored model that is damaged, altered or not ours
│   ├── EventError        an event of a stream that cannot be read
│   ├── LakeError         no data version of that number, or one that cannot be changed now
│   │   └── LakeBusyError another process is changing the tables
│   ├── QualityError      tables so unlike those before that they are not stored unasked
│   ├── AttemptError      an attempt at a job that another has replaced, or whose job was cancelled
│   ├── StorageError      a folder or disk of ours that cannot be written, or a store in it that cannot be opened
│   └── UnavailableError  a server that does not answer now, and may later
│       ├── StoreAwayError a server with a store of ours: a StorageError too
│       └── QueueFullError as many events wait as may
└── InternalError         our own mistake: exit code 1, HTTP 500; says how to report it
"""

import errno
import os
import re
from collections.abc import Iterator


class Epic22Error(Exception):
    """Root of all errors raised on purpose."""


class UserError(Epic22Error):
    """The caller's input is at fault; the message names the thing, what was found, what was expected and the way out."""


class FileError(UserError):
    """A file cannot be read as a table."""


class SourceError(UserError):
    """A server that rows come from cannot be reached, or does not give them. The message never tells its address."""


class ColumnError(UserError):
    """A column is absent, or does not fit the role it was named for."""


class SplitError(UserError):
    """The rows cannot be split honestly as asked."""


class RowError(UserError):
    """A row cannot be scored.

    `problems` lists (row number from 0, column or None, what is wrong with it).
    """

    def __init__(self, message: str, problems: tuple[tuple[int, str | None, str], ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class UnknownTaskError(UserError):
    """No task, version or champion of that name is stored."""


class NotInstalledError(UserError):
    """An optional library was asked for and is not installed."""


class BundleError(UserError):
    """A stored model is damaged, altered, or was not written by this program."""


class LakeError(UserError):
    """No data version of that number is stored, or the tables cannot be changed now."""


class LakeBusyError(LakeError):
    """Another process is changing the tables; they can be changed after its end."""


class EventError(UserError):
    """An event of a stream cannot be read; the message is the reason, to stand in quarantine."""


class QualityError(UserError):
    """What an ingest brings is so unlike what is stored that it is not stored unasked."""


class AttemptError(UserError):
    """An attempt at a job may change nothing any more: another has replaced it, or the job was cancelled."""


class StorageError(UserError):
    """A folder or disk where this program keeps things cannot be written, or a store in it cannot be opened."""


class RefusedContentError(StorageError):
    """A store that can be written refuses what it was given for its content: something else would be stored."""


class UnavailableError(UserError):
    """A server does not answer now, and may later: who can wait for it, or do without, does. The message has no address."""


class StoreAwayError(StorageError, UnavailableError):
    """A server where this program keeps things does not answer now, and may later."""


class QueueFullError(UnavailableError):
    """As many events wait as may; more are taken once a consumer has stored some."""


class InternalError(Epic22Error):
    """A promise that this program makes to itself was broken."""


PASSING_FAULTS: tuple[type[UserError], ...] = (StorageError, UnavailableError, SourceError, LakeBusyError)
"""What may pass without a change of ours: a server that is away, a full disk, another process at work."""

STORAGE_FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not grow as large as it would have to",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "this user has no right to it",
    errno.EPERM: "this user has no right to it",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "the network drive is gone",
    errno.ENAMETOOLONG: "a name is longer than the disk takes",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
}
"""What the operating system refuses that no change of ours could mend, in words."""

LIBRARY_FAULTS = (
    (re.compile(r"no space left|disk is full", re.IGNORECASE), errno.ENOSPC),
    (re.compile(r"quota exceeded", re.IGNORECASE), errno.EDQUOT),
    (re.compile(r"file too large", re.IGNORECASE), errno.EFBIG),
    (re.compile(r"read-?only file ?system|readonly database", re.IGNORECASE), errno.EROFS),
    (re.compile(r"permission denied|unable to open database file", re.IGNORECASE), errno.EACCES),
    (re.compile(r"disk i/o error|input/output error", re.IGNORECASE), errno.EIO),
)
"""The same as libraries word it that pass on no number: SQLite, Delta, Arrow."""


def describe_storage_fault(error: BaseException, place: str = "") -> str | None:
    """What a disk or its rights refused, and where: the file that the system names, else `place`; None for any other error."""
    for cause in _iterate_causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number is None:
            number = next((code for pattern, code in LIBRARY_FAULTS if pattern.search(str(cause))), None)
        if number in STORAGE_FAULTS:
            path = cause.filename if isinstance(cause, OSError) else None
            where = place if path is None else os.fsdecode(path)
            return f"{where}: {STORAGE_FAULTS[number]}" if where else STORAGE_FAULTS[number]
    return None


def _iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that led to it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
