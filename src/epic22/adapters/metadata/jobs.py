"""Jobs and the attempts at them, in the metadata database.

What decides is the number of a job's newest attempt. Whoever changes a job reads and writes it in one transaction, and a worker
that slept through a take-over holds an older number, with which no condition here is met.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, true, update

from epic22 import __version__
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.schema import JOB_ATTEMPTS, JOB_VERSIONS, JOBS
from epic22.core.errors import UnknownTaskError, UserError
from epic22.core.job import OPEN_STATES, AttemptId, AttemptRecord, JobRecord, JobRequest, JobState, JobVersion, NextStep

MAX_REASON = 2_000
MAX_NUMBER = 2**63 - 1
_ATTEMPTS = select(func.count()).where(JOB_ATTEMPTS.c.job == JOBS.c.id).correlate(JOBS).scalar_subquery()
SELECT_JOBS = select(JOBS, _ATTEMPTS.label("attempts"))
"""Jobs with how many attempts at each began."""


@dataclass(frozen=True)
class JobTable:
    """The jobs of a database; those submitted here are of this program's version."""

    database: Database
    program: str = __version__

    def add(self, request: JobRequest, schedule: str | None = None) -> JobRecord:
        """Keep a new job, which waits."""
        with self.database.write() as connection:
            number = insert_job(connection, request, self.program, schedule)
            return _read_job(connection, number)

    def get(self, job: int) -> JobRecord:
        """The job of that number. Raises UnknownTaskError where there is none."""
        with self.database.read() as connection:
            return _read_job(connection, job)

    def list_jobs(self, states: Sequence[JobState] = (), limit: int | None = None) -> tuple[JobRecord, ...]:
        """The jobs in any of these states, all where none is named, newest first, at most so many."""
        query = SELECT_JOBS.order_by(JOBS.c.id.desc()).limit(limit)
        with self.database.read() as connection:
            return tuple(map(_to_job, connection.execute(query.where(JOBS.c.state.in_(states)) if states else query)))

    def list_attempts(self, job: int) -> tuple[AttemptRecord, ...]:
        """The attempts at a job, oldest first."""
        query = select(JOB_ATTEMPTS).where(JOB_ATTEMPTS.c.job == job).order_by(JOB_ATTEMPTS.c.number)
        with self.database.read() as connection:
            return tuple(to_attempt(row, ordinal) for ordinal, row in enumerate(connection.execute(query), 1))

    def list_versions(self, job: int) -> tuple[JobVersion, ...]:
        """The model versions that a job registered, oldest first."""
        query = select(JOB_VERSIONS).where(JOB_VERSIONS.c.job == job).order_by(JOB_VERSIONS.c.task, JOB_VERSIONS.c.version)
        with self.database.read() as connection:
            return tuple(JobVersion(row.task, row.version, row.is_decided) for row in connection.execute(query))

    def list_due(self) -> tuple[JobRecord, ...]:
        """The waiting jobs of this program's version whose pause is over, in the order in which they are to run."""
        due = (JOBS.c.state == "waiting") & (JOBS.c.program == self.program) & (JOBS.c.not_before <= to_text(now()))
        with self.database.read() as connection:
            return tuple(map(_to_job, connection.execute(SELECT_JOBS.where(due).order_by(JOBS.c.priority, JOBS.c.id))))

    def claim(self, attempt: AttemptId, worker: str) -> JobRecord | None:
        """Begin an attempt whose number is the next; None where the job waits no more, or for another attempt."""
        waits = (JOBS.c.id == attempt.job) & (JOBS.c.state == "waiting") & (JOBS.c.attempt == attempt.number - 1)
        at = to_text(now())
        values = {"state": "running", "attempt": attempt.number, "worker": worker, "started_at": at, "ended_at": None}
        row = {"job": attempt.job, "number": attempt.number, "worker": worker, "host": socket.gethostname(), "began_at": at}
        with self.database.write() as connection:
            if not connection.execute(update(JOBS).where(waits).values(**values)).rowcount:
                return None
            connection.execute(insert(JOB_ATTEMPTS).values(**row, outcome=""))
            return _read_job(connection, attempt.job)

    def note_process(self, attempt: AttemptId, process: int) -> None:
        """Keep which process carries an attempt out."""
        with self.database.write() as connection:
            connection.execute(update(JOB_ATTEMPTS).where(_is_attempt(attempt)).values(process=process))

    def is_newest(self, attempt: AttemptId) -> bool:
        """Whether a job runs, and this is the newest attempt at it."""
        with self.database.read() as connection:
            return connection.execute(select(JOBS.c.id).where(is_newest(attempt))).first() is not None

    def settle(self, attempt: AttemptId, step: NextStep) -> bool:
        """End an attempt; False, and nothing is changed, where it is not the newest any more."""
        with self.database.write() as connection:
            ended = connection.execute(update(JOBS).where(is_newest(attempt)).values(**_describe_step(step))).rowcount > 0
            if ended:
                end_attempt(connection, attempt, "done" if step.state == "done" else step.reason)
            return ended

    def release(self, attempt: AttemptId, reason: str) -> None:
        """Have a job wait for another attempt than the next one, if this is still the newest; it may change nothing any more."""
        values = {"state": "waiting", "reason": reason[:MAX_REASON]}
        self._leave(attempt.job, OPEN_STATES, values, JOBS.c.attempt == attempt.number)

    def cancel(self, job: int) -> bool:
        """End a job for good, the attempt under way may change nothing any more; False where it had ended before."""
        return self._leave(job, OPEN_STATES, {"state": "cancelled", "reason": "", "ended_at": to_text(now())})

    def retry(self, job: int) -> JobRecord:
        """Have a dead or cancelled job wait again, its faults forgotten, for a worker of this program's version. Raises UserError
        for any other, but for one that waits for a worker of another version."""
        record = self.get(job)
        if record.state in ("running", "done") or (record.state == "waiting" and record.program == self.program):
            raise UserError(f"job {job} is {record.state}; only one that is dead or cancelled is tried again.")
        at = to_text(now())
        values = {"state": "waiting", "faults": 0, "program": self.program, "not_before": at, "ended_at": None, "reason": ""}
        self._leave(job, ("dead", "cancelled", "waiting"), values)
        return self.get(job)

    def _leave(
        self, job: int, states: Sequence[JobState], values: dict[str, Any], condition: ColumnElement[bool] = true()
    ) -> bool:
        """Change a job that is in one of these states, and end the attempt under way by a number that no attempt has."""
        with self.database.write() as connection:
            record = _read_job(connection, job)
            where = (JOBS.c.id == job) & JOBS.c.state.in_(states) & condition
            changed = connection.execute(update(JOBS).where(where).values(attempt=JOBS.c.attempt + 1, worker=None, **values))
            if changed.rowcount and record.state == "running":
                end_attempt(connection, AttemptId(job, record.attempt), values["reason"] or values["state"])
            return changed.rowcount > 0


def insert_job(connection: Connection, request: JobRequest, program: str, schedule: str | None = None) -> int:
    """The number of a new job, which waits."""
    at = to_text(now())
    values = {
        "request": request.to_json(),
        "priority": request.priority,
        "program": program,
        "submitted_at": at,
        "schedule": schedule,
    }
    result = connection.execute(insert(JOBS).values(**values, state="waiting", attempt=0, faults=0, reason="", not_before=at))
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def is_newest(attempt: AttemptId) -> ColumnElement[bool]:
    """The condition that a job runs, and that this is the newest attempt at it."""
    return (JOBS.c.id == attempt.job) & (JOBS.c.attempt == attempt.number) & (JOBS.c.state == "running")


def end_attempt(connection: Connection, attempt: AttemptId, outcome: str) -> None:
    """Keep how an attempt ended."""
    values = {"ended_at": to_text(now()), "outcome": outcome[:MAX_REASON]}
    connection.execute(update(JOB_ATTEMPTS).where(_is_attempt(attempt)).values(**values))


def _is_attempt(attempt: AttemptId) -> ColumnElement[bool]:
    return (JOB_ATTEMPTS.c.job == attempt.job) & (JOB_ATTEMPTS.c.number == attempt.number)


def _describe_step(step: NextStep) -> dict[str, Any]:
    """The columns of a job after an attempt."""
    at = now()
    ended_at = None if step.state == "waiting" else to_text(at)
    due = {"not_before": to_text(at + timedelta(seconds=step.pause)), "ended_at": ended_at}
    return {"state": step.state, "reason": step.reason[:MAX_REASON], "faults": step.faults, "worker": None, **due}


def lose_attempt(connection: Connection, attempt: AttemptId, step: NextStep) -> bool:
    """End an attempt for a worker that is dead, so that it may change nothing should that wake; False where it had ended."""
    values = _describe_step(step) | {"attempt": attempt.number + 1}
    is_ended = connection.execute(update(JOBS).where(is_newest(attempt)).values(**values)).rowcount > 0
    if is_ended:
        end_attempt(connection, attempt, step.reason)
    return is_ended


def _read_job(connection: Connection, job: int) -> JobRecord:
    # No database keeps a greater number, nor compares with one.
    row = connection.execute(SELECT_JOBS.where(JOBS.c.id == job)).one_or_none() if abs(job) <= MAX_NUMBER else None
    if row is None:
        raise UnknownTaskError(f"there is no job {job}; 'epic22 jobs list' names those there are.")
    return _to_job(row)


def _to_job(row: "Row[Any]") -> JobRecord:
    stored = dict(row._mapping)
    del stored["priority"]
    times = {name: to_time(stored[name]) for name in ("started_at", "ended_at")}
    submitted = {name: datetime.fromisoformat(stored[name]) for name in ("submitted_at", "not_before")}
    return JobRecord(**stored | times | submitted | {"request": JobRequest.from_json(row.request)})


def to_attempt(row: "Row[Any]", ordinal: int) -> AttemptRecord:
    """The attempt of a row, by its place among those at its job."""
    stored = {name: value for name, value in row._mapping.items() if name != "job"} | {"number": ordinal}
    times = {"began_at": datetime.fromisoformat(row.began_at), "ended_at": to_time(row.ended_at)}
    return AttemptRecord(**stored | times)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """A moment as it is stored: texts of the same length sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def to_time(text: str | None) -> datetime | None:
    """A stored moment; None where there is none."""
    return None if text is None else datetime.fromisoformat(text)
