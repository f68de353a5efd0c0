"""Fits side by side: a few at once, whichever trial they belong to, and never two on one matrix."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, Self, TypeVar

T = TypeVar("T")


class FoldExecutor:
    """Threads that take work in the order in which it came, passing over what waits for a matrix that is busy.

    An inner fold's quantised matrix, made once, serves one fit at a time; `matrix` numbers them. Each fit may use
    `threads_per_fit` threads of its own. Leaving the context waits for what is under way; what was not begun is cancelled.
    """

    def __init__(self, n_threads: int, threads_per_fit: int = 1) -> None:
        self.n_threads, self.threads_per_fit = n_threads, threads_per_fit
        self._queue = list[tuple[int, Callable[[], Any], Future[Any]]]()
        self._busy, self._changed, self.closed = set[int](), threading.Condition(), False
        self._threads = [threading.Thread(target=self._run_jobs, name=f"fold fit {i + 1}") for i in range(n_threads)]

    @classmethod
    def split(cls, threads: int, n_folds: int) -> Self:
        """As many fits at once as there are folds and threads, the threads shared out among them."""
        return cls(*split_threads(threads, n_folds))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """Begin nothing more; fits that ask `closed` end early."""
        with self._changed:
            self.closed = True
            for _, _, future in self._queue:
                future.cancel()
            self._queue.clear()
            self._changed.notify_all()

    def submit(self, matrix: int, work: Callable[[], T]) -> "Future[T]":
        """Have the work done when no other holds that matrix, within the context variables of the caller."""
        future: Future[T] = Future()
        with self._changed:
            if self.closed:
                future.cancel()
            else:
                self._queue.append((matrix, partial(copy_context().run, work), future))
                self._changed.notify_all()
        return future

    def _run_jobs(self) -> None:
        while (job := self._next_job()) is not None:
            matrix, work, future = job
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)
            finally:
                with self._changed:
                    self._busy.discard(matrix)
                    self._changed.notify_all()

    def _next_job(self) -> tuple[int, Callable[[], Any], "Future[Any]"] | None:
        """The first work whose matrix is free, None when closed."""
        with self._changed:
            while not self.closed:
                for number, (matrix, _, future) in enumerate(self._queue):
                    if matrix not in self._busy and future.set_running_or_notify_cancel():
                        self._busy.add(matrix)
                        return self._queue.pop(number)
                self._changed.wait()
        return None


def split_threads(threads: int, n_fits: int) -> tuple[int, int]:
    """How many fits run at once, and on how many threads each."""
    n_at_once = max(1, min(threads, n_fits))
    return n_at_once, max(1, threads // n_at_once)
