"""Numpy's and scipy's linear algebra on one thread: a sum over several threads has other last bits, and so has a model's hash.

How many threads a BLAS takes by itself follows from the cores and from variables such as OMP_NUM_THREADS; a training that another
worker takes over, or that is repeated on another machine, would end in another model than it began.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class BlasLimit:
    """How many blocks of this process compute on one thread, and what gives the threads back after the last of them."""

    lock: Lock = field(default_factory=Lock)
    n_blocks: int = 0
    restoring: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        """Take all threads but one from every BLAS, unless another block has done so."""
        # Imported here, before the limit: a library that is loaded later would take its own number of threads.
        import scipy.linalg  # noqa: F401
        from threadpoolctl import threadpool_limits

        with self.lock:
            if not self.n_blocks:
                self.restoring.enter_context(threadpool_limits(1, "blas"))
            self.n_blocks += 1

    def end(self) -> None:
        """Give the threads back, unless another block still computes."""
        with self.lock:
            self.n_blocks -= 1
            if not self.n_blocks:
                self.restoring.close()


LIMIT = BlasLimit()


@contextmanager
def limit_blas_threads() -> Iterator[None]:
    """One thread for linear algebra in this process, until the last of the blocks that ask for it ends.

    >>> import numpy as np
    >>> with limit_blas_threads():
    ...     gram = np.eye(2) @ np.eye(2)
    """
    LIMIT.begin()
    try:
        yield
    finally:
        LIMIT.end()
