"""The fence around an attempt at a job: what it makes visible it makes visible only while it is the job's newest.

A registry or a log of versions enters the fence where it names a version or a champion. What is not done by a job has none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from epic22.core.job import JobVersion


class FencedWork(Protocol):
    """What an attempt makes visible inside its fence; kept, with the job, in the same transaction as the check."""

    @property
    def origin(self) -> str:
        """The job, by a text that no other job has, nor one of another database; "" without a job."""

    def add_version(self, task: str, version: str) -> None:
        """Keep that the job registered a version."""

    def remove_version(self, task: str, version: str) -> None:
        """Keep that it discarded one."""

    def decide_version(self, task: str, version: str) -> None:
        """Keep that a version was promoted or refused, which ends the job's work on the task."""


class Fence(Protocol):
    """Around what an attempt makes visible. Entering it raises AttemptError where the attempt is not the newest any more."""

    def hold(self) -> Any:
        """A context with FencedWork, during which nobody else can begin an attempt at the job."""

    def join(self, connection: Any) -> FencedWork:
        """The same until the end of a transaction of the metadata database, in which the jobs are too."""

    def list_versions(self) -> tuple[JobVersion, ...]:
        """The versions that the job's attempts registered."""

    def read_origin(self) -> str:
        """The job, as FencedWork has it."""


class _Unfenced:
    """No job: everything is let through, and nothing is kept."""

    origin = ""

    @contextmanager
    def hold(self) -> Iterator[FencedWork]:
        """Nothing to wait for."""
        yield self

    def join(self, connection: Any) -> FencedWork:
        """Nothing to check."""
        return self

    def list_versions(self) -> tuple[JobVersion, ...]:
        """None."""
        return ()

    def read_origin(self) -> str:
        """None."""
        return self.origin

    def add_version(self, task: str, version: str) -> None:
        """Nothing."""

    def remove_version(self, task: str, version: str) -> None:
        """Nothing."""

    def decide_version(self, task: str, version: str) -> None:
        """Nothing."""


UNFENCED: Fence = _Unfenced()
"""The fence of work that no job does."""
