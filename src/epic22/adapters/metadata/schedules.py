"""Schedules in the metadata database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from epic22 import __version__
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.jobs import insert_job, now, to_text, to_time
from epic22.adapters.metadata.locks import lock_in_transaction
from epic22.adapters.metadata.schema import SCHEDULES
from epic22.core.errors import UnknownTaskError, UserError
from epic22.core.job import JobRequest
from epic22.core.schedule import Schedule


@dataclass(frozen=True)
class ScheduleTable:
    """A row a schedule."""

    database: Database
    program: str = __version__

    def add_schedule(self, schedule: Schedule) -> None:
        """Keep a schedule. Raises UserError where there is one of that name."""
        values = {"name": schedule.name, "cron": schedule.cron, "zone": schedule.zone, "request": schedule.request.to_json()}
        with self.database.write() as connection:
            lock_in_transaction(self.database, connection, "schedules")
            if connection.execute(select(SCHEDULES.c.name).where(SCHEDULES.c.name == schedule.name)).first():
                raise UserError(f"there is a schedule {schedule.name!r}; remove it first, or give another name.")
            connection.execute(insert(SCHEDULES).values(**values, next_at=to_text(schedule.next_at)))

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule. Raises UnknownTaskError where there is none of that name."""
        with self.database.write() as connection:
            if not connection.execute(delete(SCHEDULES).where(SCHEDULES.c.name == name)).rowcount:
                raise UnknownTaskError(f"there is no schedule {name!r}; 'epic22 schedule list' names those there are.")

    def list_schedules(self) -> tuple[Schedule, ...]:
        """All schedules by name."""
        with self.database.read() as connection:
            return tuple(map(_to_schedule, connection.execute(select(SCHEDULES).order_by(SCHEDULES.c.name))))

    def submit_due(self, schedule: Schedule, next_at: datetime) -> int | None:
        """Submit the schedule's job and have it fire next then, both or neither: the job's number; None where another worker
        did so."""
        is_due = (SCHEDULES.c.name == schedule.name) & (SCHEDULES.c.next_at == to_text(schedule.next_at))
        values = {"next_at": to_text(next_at), "last_at": to_text(now())}
        with self.database.write() as connection:
            if not connection.execute(update(SCHEDULES).where(is_due).values(**values)).rowcount:
                return None
            return insert_job(connection, schedule.request, self.program, schedule.name)


def _to_schedule(row: "Row[Any]") -> Schedule:
    request, next_at = JobRequest.from_json(row.request), datetime.fromisoformat(row.next_at)
    return Schedule(row.name, row.cron, row.zone, request, next_at, to_time(row.last_at))
