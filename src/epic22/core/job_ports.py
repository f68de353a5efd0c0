"""What jobs need from outside: where they are kept, what hands them to workers, what carries an attempt out."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from epic22.core.job import (
    AttemptId,
    AttemptRecord,
    ChildOrder,
    ChildOutcome,
    JobRecord,
    JobRequest,
    JobState,
    JobVersion,
    LostAttempt,
    NextStep,
)
from epic22.core.schedule import Schedule


class JobRecords(Protocol):
    """Where jobs are kept. All methods raise StorageError where that does not answer."""

    def add(self, request: JobRequest, schedule: str | None = None) -> JobRecord:
        """Keep a new job, which waits."""

    def get(self, job: int) -> JobRecord:
        """The job of that number. Raises UnknownTaskError where there is none."""

    def list_jobs(self, states: Sequence[JobState] = (), limit: int | None = None) -> tuple[JobRecord, ...]:
        """The jobs in any of these states, all where none is named, newest first, at most so many."""

    def list_attempts(self, job: int) -> tuple[AttemptRecord, ...]:
        """The attempts at a job, oldest first."""

    def list_versions(self, job: int) -> tuple[JobVersion, ...]:
        """The model versions that a job registered, oldest first."""

    def list_due(self) -> tuple[JobRecord, ...]:
        """The waiting jobs of this program's version whose pause is over, in the order in which they are to run."""

    def claim(self, attempt: AttemptId, worker: str) -> JobRecord | None:
        """Begin an attempt whose number is the next; None where the job waits no more, or for another attempt."""

    def note_process(self, attempt: AttemptId, process: int) -> None:
        """Keep which process carries an attempt out."""

    def is_newest(self, attempt: AttemptId) -> bool:
        """Whether a job runs, and this is the newest attempt at it."""

    def settle(self, attempt: AttemptId, step: NextStep) -> bool:
        """End an attempt; False, and nothing is changed, where it is not the newest any more."""

    def release(self, attempt: AttemptId, reason: str) -> None:
        """Have a job wait for another attempt than the next one, if this is still the newest; it may change nothing any more."""

    def cancel(self, job: int) -> bool:
        """End a job for good, the attempt under way may change nothing any more; False where it had ended before."""

    def retry(self, job: int) -> JobRecord:
        """Have a dead or cancelled job wait again, its faults forgotten, for a worker of this program's version. Raises UserError
        for any other."""


class WorkerRecords(Protocol):
    """Which workers there are, and whether they still live: each counts up at every heartbeat."""

    def register(self, worker: str) -> None:
        """Keep that a worker lives."""

    def beat(self, worker: str) -> bool:
        """Count a heartbeat; False where others took the worker for dead meanwhile."""

    def read_beats(self) -> dict[str, int]:
        """The count of each worker's heartbeats; of workers that run something and are not among them, 0."""

    def remove(self, worker: str, reason: str) -> tuple[LostAttempt, ...]:
        """Take a worker for dead: what it ran waits for the next attempt. Gives the attempts that it had under way."""


class ScheduleRecords(Protocol):
    """Where schedules are kept."""

    def add_schedule(self, schedule: Schedule) -> None:
        """Keep a schedule. Raises UserError where there is one of that name."""

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule. Raises UnknownTaskError where there is none of that name."""

    def list_schedules(self) -> tuple[Schedule, ...]:
        """All schedules by name."""

    def submit_due(self, schedule: Schedule, next_at: datetime) -> int | None:
        """Submit the schedule's job and have it fire next then, both or neither: the job's number; None where another worker
        did so."""


class JobQueue(Protocol):
    """What hands attempts to workers: by priority, each to one of them."""

    def open(self, run: Callable[[str], None]) -> AbstractContextManager[None]:
        """Take attempts from the queue one at a time, and call `run` with the text of each, until closed."""

    def put(self, job: JobRecord) -> bool:
        """Queue the next attempt at a job, once however often this is called; False where its entry is used up already."""

    def list_queued(self) -> frozenset[str]:
        """The attempts that wait in the queue, or that a worker has."""

    def withdraw(self, attempts: Sequence[AttemptId]) -> None:
        """Remove attempts that a dead worker had under way."""


StartChild = Callable[[ChildOrder, Callable[[int], None], Callable[[], bool]], ChildOutcome]
"""What starts the process of an attempt, waits for its end and says how it ended: it calls the second argument with the number of
the process, and ends it as soon as the third says that it may not go on."""
