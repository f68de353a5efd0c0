"""The events of jobs in the metadata database, bounded: samples and epochs between others are left out where there are many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.jobs import is_newest, to_text
from epic22.adapters.metadata.schema import JOB_EVENTS, JOBS
from epic22.core.job import AttemptId
from epic22.core.job_event import JobEvent
from epic22.core.progress import ProgressEvent
from epic22.core.progress_lines import EVENT_NAMES, read_event, write_event

RUNNING_LIMITS: Mapping[str, int] = {
    "process_sample": 500,
    "epoch_finished": 1_000,
    "work_advanced": 10_000,
    "work_started": 2_000,
}
"""The most events of a name that a running job keeps, its first and last among them; all others are few."""
ENDED_LIMITS: Mapping[str, int] = {"process_sample": 100, "epoch_finished": 300, "work_advanced": 2_000, "work_started": 500}
LOOK_EVERY = 200
"""Every so many events of a job are counted."""
MAX_DELETED = 500


@dataclass(frozen=True)
class JobEventTable:
    """The events of a database's jobs."""

    database: Database

    def append(self, attempt: AttemptId, events: Sequence[tuple[datetime, ProgressEvent]]) -> bool:
        """Keep events; False, and nothing is kept, where the attempt is not the newest any more."""
        if not events:
            return True
        with self.database.write() as connection:
            # The lock of the row keeps two attempts at one job from counting at once.
            if connection.execute(select(JOBS.c.id).where(is_newest(attempt)).with_for_update()).first() is None:
                return False
            last = connection.execute(select(func.max(JOB_EVENTS.c.number)).where(JOB_EVENTS.c.job == attempt.job)).scalar() or 0
            rows = [
                {
                    "job": attempt.job,
                    "number": last + 1 + place,
                    "at": to_text(at),
                    "name": EVENT_NAMES[type(event)],
                    "content": write_event(event),
                }
                for place, (at, event) in enumerate(events)
            ]
            connection.execute(insert(JOB_EVENTS), rows)
            if (last + len(rows)) // LOOK_EVERY > last // LOOK_EVERY:
                _thin(connection, attempt.job, RUNNING_LIMITS)
        return True

    def read(self, job: int, after: int = 0, limit: int = 500) -> tuple[JobEvent, ...]:
        """The events of a job after that number, in their order, at most so many."""
        where = (JOB_EVENTS.c.job == job) & (JOB_EVENTS.c.number > after)
        query = select(JOB_EVENTS.c.number, JOB_EVENTS.c.at, JOB_EVENTS.c.content).where(where)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(JOB_EVENTS.c.number).limit(limit)).all()
        events = ((number, datetime.fromisoformat(at), read_event(content)) for number, at, content in rows)
        return tuple(JobEvent(number, at, event) for number, at, event in events if event is not None)

    def thin(self, job: int) -> None:
        """Leave out samples and epochs between others, so that little is kept of a job that ended."""
        with self.database.write() as connection:
            _thin(connection, job, ENDED_LIMITS)


def _thin(connection: Connection, job: int, limits: Mapping[str, int]) -> None:
    for name, limit in limits.items():
        where = (JOB_EVENTS.c.job == job) & (JOB_EVENTS.c.name == name)
        numbers = list(connection.execute(select(JOB_EVENTS.c.number).where(where).order_by(JOB_EVENTS.c.number)).scalars())
        if len(numbers) > limit:
            spared = {numbers[round(i * (len(numbers) - 1) / (limit - 1))] for i in range(limit)}
            surplus = [number for number in numbers if number not in spared]
            for start in range(0, len(surplus), MAX_DELETED):
                some = JOB_EVENTS.c.number.in_(surplus[start : start + MAX_DELETED])
                connection.execute(delete(JOB_EVENTS).where((JOB_EVENTS.c.job == job) & some))
