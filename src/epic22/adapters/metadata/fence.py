"""The fence around an attempt at a job, in the database that has the jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.jobs import JobTable, is_newest
from epic22.adapters.metadata.schema import JOB_VERSIONS, JOBS
from epic22.core.errors import AttemptError
from epic22.core.job import AttemptId, JobVersion


@dataclass(frozen=True)
class FencedTransaction:
    """What an attempt makes visible, in a transaction that found it the newest and keeps it so until its end."""

    connection: Connection
    job: int
    submitted_at: str

    @property
    def origin(self) -> str:
        """The job, by its number and the moment of its submission: numbers of another database may be the same."""
        return f"{self.job} {self.submitted_at}"

    def add_version(self, task: str, version: str) -> None:
        """Keep that the job registered a version."""
        self.connection.execute(insert(JOB_VERSIONS).values(job=self.job, task=task, version=version, is_decided=False))

    def remove_version(self, task: str, version: str) -> None:
        """Keep that it discarded one."""
        self.connection.execute(delete(JOB_VERSIONS).where(self._is_version(task, version)))

    def decide_version(self, task: str, version: str) -> None:
        """Keep that a version was promoted or refused."""
        self.connection.execute(update(JOB_VERSIONS).where(self._is_version(task, version)).values(is_decided=True))

    def _is_version(self, task: str, version: str) -> ColumnElement[bool]:
        return (JOB_VERSIONS.c.job == self.job) & (JOB_VERSIONS.c.task == task) & (JOB_VERSIONS.c.version == version)


@dataclass(frozen=True)
class AttemptFence:
    """The fence around an attempt; the row of its job is locked while something is made visible."""

    database: Database
    attempt: AttemptId

    @contextmanager
    def hold(self) -> Iterator[FencedTransaction]:
        """A context in which nobody else can begin an attempt. Raises AttemptError where somebody has."""
        with self.database.write() as connection:
            yield self.join(connection)

    def join(self, connection: Connection) -> FencedTransaction:
        """The same until the end of a transaction. Raises AttemptError."""
        # The lock of the row keeps a take-over waiting on a server; SQLite has one writer anyway.
        query = select(JOBS.c.submitted_at).where(is_newest(self.attempt)).with_for_update()
        submitted_at = connection.execute(query).scalar_one_or_none()
        if submitted_at is None:
            raise AttemptError(
                f"this attempt at job {self.attempt.job} is not its newest any more: the job was cancelled, or another worker "
                "has it; nothing was changed."
            )
        return FencedTransaction(connection, self.attempt.job, submitted_at)

    def list_versions(self) -> tuple[JobVersion, ...]:
        """The versions that the job's attempts registered."""
        return JobTable(self.database).list_versions(self.attempt.job)

    def read_origin(self) -> str:
        """The job, as FencedTransaction has it. Raises AttemptError as `join` does."""
        with self.hold() as work:
            return work.origin
