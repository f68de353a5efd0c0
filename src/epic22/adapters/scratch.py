"""A folder on disk for what a training writes on its way; gone when it ends, and when it was killed, with the next training."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """An empty folder below `root`; those that no living process holds are removed first."""
    root.mkdir(parents=True, exist_ok=True)
    for old in root.iterdir():
        _remove_if_abandoned(old)
    folder = Path(tempfile.mkdtemp(prefix="train-", dir=root))
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        # It lives, or is not whole yet, or is none of ours.
        return
