"""What lies under EPIC22_HOME: whether it can be written and has room, and files that are there whole or not at all."""

import fcntl
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, Any

from epic22.core.errors import StorageError, UserError, describe_storage_fault

MIN_FREE_BYTES = 32 << 20
"""What a small training leaves: MLflow's database, the bundle and the report twice, pictures."""
BYTES_PER_TABLE_BYTE = 2.0
"""A bundle rarely holds more than its table does, and is kept by the registry and by MLflow."""
PROBE_BYTES = 4096
QUIET_WAIT_SECONDS = 1.0
"""So long a lock is waited for without a word."""
ADVICE = "free some space there, or set EPIC22_HOME to a folder on a disk that has room and can be written"


def refuse_unwritable_home(home: Path, table_bytes: int = 0, folders: Iterable[str] = ()) -> None:
    """Raise StorageError where the home or one of its `folders` cannot be written, or it is too full for a training on a table of
    so many bytes.

    What is not there yet is not made: the folder that it would be made in is tried.
    """
    # Path.exists raises PermissionError below a folder that this user may not search.
    place = next(folder for folder in (home, *home.parents) if os.path.exists(folder))
    for folder in (place, *(home / name for name in folders if os.path.lexists(home / name))):
        _refuse_unwritable_folder(home, folder)
    free, needed = shutil.disk_usage(place).free, MIN_FREE_BYTES + int(BYTES_PER_TABLE_BYTE * table_bytes)
    if free < needed:
        raise StorageError(
            f"EPIC22_HOME {home} has {free / 1e6:,.0f} MB free, this work may need {needed / 1e6:,.0f} MB; {ADVICE}."
        )


def _refuse_unwritable_folder(home: Path, place: Path) -> None:
    if place != home and place.is_relative_to(home) and not os.path.isdir(place):
        raise StorageError(f"{place}: a file lies where a folder belongs; move it away and do it again.")
    try:
        with tempfile.NamedTemporaryFile(prefix=".epic22-probe-", dir=place) as probe:
            probe.write(b"\0" * PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        reason = describe_storage_fault(error) or f"{place}: {error.strerror or type(error).__name__}"
        raise StorageError(f"EPIC22_HOME {home} cannot be written ({reason}); {ADVICE}.") from None


@contextmanager
def translate_storage_faults(home: Path) -> Iterator[None]:
    """Raise StorageError, one sentence, for whatever a disk or its rights refuse inside, for a folder of the home that was
    removed meanwhile, and for a file of it where a folder belongs or the other way round; other errors pass on as they are."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        folder = Path(str(error.filename)).parent
        if folder.exists() or not folder.is_relative_to(home):
            raise
        raise StorageError(f"{folder} was removed from EPIC22_HOME {home} while this worked; do it again.") from error
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        path = Path(str(error.filename))
        if not path.is_relative_to(home):
            raise
        what = "a folder lies where a file belongs" if path.is_dir() else "a file lies where a folder belongs"
        raise StorageError(f"{path}: {what}; move it away and do it again.") from error
    except Exception as error:
        fault = describe_storage_fault(error, f"EPIC22_HOME {home} or the folder for temporary files {tempfile.gettempdir()}")
        if fault is None:
            raise
        raise StorageError(f"{fault}; nothing half-written was left; {ADVICE}.") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, have the disk keep it, and move it there with one rename; nothing is left where that fails.

    Without the sync a power cut can leave the new name on an empty file. A folder that lies in its place is renamed, not removed.
    """
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if path.is_dir():
            os.replace(path, path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:8]}"))
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def wait_for_lock(lock: IO[Any], work: str) -> None:
    """Wait until no other process has the lock of an open file; it ends with the process, however that ends. A wait that lasts is
    said on standard error, with the work that it is for."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with warn_of_waiting(work):
            fcntl.flock(lock, fcntl.LOCK_EX)


@contextmanager
def warn_of_waiting(work: str) -> Iterator[None]:
    """Say on standard error, once, that this waits for another process, where what is inside lasts more than a second."""
    notice = Timer(QUIET_WAIT_SECONDS, sys.stderr.write, [f"waiting until another process has ended: {work} …\n"])
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, on a line of its own where a killed process left the last one half-written."""
    with path.open("a+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        end = stream.seek(0, os.SEEK_END)
        torn = b""
        if end:
            stream.seek(-1, os.SEEK_END)
            torn = b"" if stream.read(1) == b"\n" else b"\n"
        try:
            stream.write(torn + line.encode() + b"\n")
            stream.flush()
        except OSError:
            os.ftruncate(stream.fileno(), end)
            raise
