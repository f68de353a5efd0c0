"""Files that trainings left to go on from, and that nobody went on with."""

import time
from contextlib import suppress
from pathlib import Path

ABANDONED_SECONDS = 14 * 86_400
"""Age at which what a training left is of one that nobody will go on with."""


def find_abandoned_moment() -> float:
    """Seconds of `time.time`: what nobody has written to since then is abandoned."""
    return time.time() - ABANDONED_SECONDS


def remove_abandoned(folder: Path) -> None:
    """Remove files that nobody has written to for two weeks."""
    for path in folder.glob("*"):
        with suppress(OSError):  # another training removed it meanwhile
            if path.stat().st_mtime < find_abandoned_moment():
                path.unlink()
