"""A folder on disk for what a training writes on its way; gone when it ends, and when it was killed, with the next training."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCK = ".lock"


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """An empty folder below `root`; those that no living process holds are removed first."""
    root.mkdir(parents=True, exist_ok=True)
    for old in root.iterdir():
        _remove_if_abandoned(old)
    folder, lock = _make_locked_folder(root)
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _make_locked_folder(root: Path) -> tuple[Path, IO[str]]:
    """A new folder, and its lock, which this process has until the file is closed."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix="train-", dir=root))
        lock = (folder / LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        # Another took it for abandoned before it was locked, and removed it.
        lock.close()


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        # It lives, or is not whole yet, or is none of ours.
        return
