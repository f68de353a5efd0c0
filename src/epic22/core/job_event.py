"""What happened on the way of a job: events of its progress in their order, each with its moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from epic22.core.job import AttemptId, JobRecord
from epic22.core.progress import ProgressEvent
from epic22.core.progress_state import ProgressState


@dataclass(frozen=True)
class JobEvent:
    """An event of a job. Numbers grow, with gaps where events of less use were left out."""

    number: int
    at: datetime
    event: ProgressEvent


class JobEvents(Protocol):
    """Where the events of jobs are kept. All methods raise StorageError where that does not answer."""

    def append(self, attempt: AttemptId, events: Sequence[tuple[datetime, ProgressEvent]]) -> bool:
        """Keep events; False, and nothing is kept, where the attempt is not the newest any more."""

    def read(self, job: int, after: int = 0, limit: int = 500) -> tuple[JobEvent, ...]:
        """The events of a job after that number, in their order, at most so many."""

    def thin(self, job: int) -> None:
        """Leave out samples and epochs between others, so that little is kept of a job that ended."""


def compute_state(events: Sequence[JobEvent], start: ProgressState = ProgressState()) -> ProgressState:
    """How far a job is after events; moments are seconds since 1970."""
    state = start
    for one in events:
        state = state.advance(one.event, one.at.timestamp())
    return state


class JobFeed(Protocol):
    """What is seen of jobs from outside. All methods raise StorageError where the place that has them does not answer."""

    def list_jobs(self, limit: int) -> tuple[JobRecord, ...]:
        """The newest jobs, at most so many, the newest first."""

    def get(self, job: int) -> JobRecord:
        """The job of that number. Raises UnknownTaskError where there is none."""

    def read_events(self, job: int, after: int) -> tuple[JobEvent, ...]:
        """Some events of a job after that number, in their order; none where there are no more yet."""
