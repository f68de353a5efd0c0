"""What is seen of jobs from outside: the jobs and their events in the database that has them."""

from dataclasses import dataclass

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.job_events import JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.errors import UnknownTaskError
from epic22.core.job import JobRecord
from epic22.core.job_event import JobEvent, JobFeed


@dataclass(frozen=True)
class DatabaseFeed:
    """The jobs of a database; where that would be a file that is not there, there are none, and none is made."""

    database: Database

    @property
    def is_absent(self) -> bool:
        """Whether no job was ever submitted to the home."""
        return self.database.is_sqlite and not self.database.path.exists()

    def list_jobs(self, limit: int) -> tuple[JobRecord, ...]:
        """The newest jobs, at most so many, the newest first."""
        return () if self.is_absent else JobTable(self.database).list_jobs(limit=limit)

    def get(self, job: int) -> JobRecord:
        """The job of that number. Raises UnknownTaskError where there is none."""
        if self.is_absent:
            raise UnknownTaskError(f"there is no job {job}, and none was ever submitted.")
        return JobTable(self.database).get(job)

    def read_events(self, job: int, after: int) -> tuple[JobEvent, ...]:
        """Some events of a job after that number, in their order; none where there are no more yet."""
        return () if self.is_absent else JobEventTable(self.database).read(job, after)


def open_job_feed(settings: Settings) -> JobFeed:
    """What is seen of the jobs of the settings."""
    return DatabaseFeed(open_jobs_database(settings))
