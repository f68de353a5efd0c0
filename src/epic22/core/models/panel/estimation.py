"""Where a series that a model does not know is estimated: in this process, or in one of its own while a server answers others.

The library that estimates holds the interpreter's lock for up to seconds, in which a server would answer nobody.
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Lock, Thread
from typing import TypeVar

from epic22.core.models.panel.hidden_script import hide_script

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

_IS_APART: ContextVar[bool] = ContextVar("estimates in a process of their own", default=False)


class EstimationProcess:
    """A process that estimates, one series after the other; started when it is first needed, and again where it was killed."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lock = Lock()

    @property
    def is_started(self) -> bool:
        """Whether it was needed so far."""
        return self._pool is not None

    def run(self, estimate: Callable[[JobT], ResultT], job: JobT) -> ResultT:
        """What the estimate of a job gives there; here, where the process cannot start, or was killed in the middle."""
        pool = None
        try:
            pool = self._open()
            return pool.submit(estimate, job).result()
        except (BrokenProcessPool, OSError):
            with self._lock:
                self._pool = None if self._pool is pool else self._pool
        return estimate(job)

    def _open(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                # Spawned, for a fork may hang beside other threads.
                pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin)
                with hide_script(), _block_interrupts():
                    pool.submit(os.getpid).result()
                self._pool = pool
            return self._pool


PROCESS = EstimationProcess()


@contextmanager
def estimate_apart() -> Iterator[None]:
    """Have what is estimated within, and takes long, estimated in a process of its own."""
    token = _IS_APART.set(True)
    try:
        yield
    finally:
        _IS_APART.reset(token)


def run_estimate(estimate: Callable[[JobT], ResultT], job: JobT, is_long: bool) -> ResultT:
    """What the estimate of a job gives, to the same bits wherever it is made: apart where it `is_long` and that is wished."""
    return PROCESS.run(estimate, job) if is_long and _IS_APART.get() else estimate(job)


@contextmanager
def _block_interrupts() -> Iterator[None]:
    """Have what is started within wait with what Ctrl-C sends to all processes of a terminal until it says what it does then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Leave Ctrl-C to the process that started this one, whose end ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    _end_with_parent()


def _end_with_parent() -> None:
    """End this process when the one that started it ends, be it by a kill: its queue would wait for ever."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_await_end, args=(parent.sentinel,), daemon=True).start()


def _await_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
