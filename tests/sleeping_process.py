"""Processes that are put to sleep (SIGSTOP) while others go on."""

import os
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path


def stop_between_writes(processes: Sequence[int], home: Path) -> None:
    """Stop processes at a moment at which none is amid a write to an SQLite file of the home.

    Who sleeps amid one keeps the file's lock, which nobody can take from a process that lives: all others wait until it wakes.
    """
    while True:
        _send(processes, signal.SIGSTOP)
        if not any(_is_locked(path) for path in home.rglob("*.sqlite")):
            return
        _send(processes, signal.SIGCONT)
        time.sleep(0.05)


def _send(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _is_locked(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
    return False
