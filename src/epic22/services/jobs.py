"""What people do with jobs: submit, cancel, try again; and what a schedule submits."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from epic22.core.errors import UserError
from epic22.core.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, JobRecord, JobRequest
from epic22.core.job_ports import JobRecords, ScheduleRecords
from epic22.core.schedule import Schedule, compute_next_time
from epic22.core.text import format_memory

LEAST_MEMORY = 512 << 20
"""What a process of a verb takes before its first row, with some room."""


@dataclass(frozen=True)
class JobStores:
    """Where jobs and schedules are kept."""

    records: JobRecords
    schedules: ScheduleRecords


def submit_job(records: JobRecords, request: JobRequest) -> JobRecord:
    """The job of a request, which waits for a worker. Raises UserError for a request that no worker could carry out."""
    check_request(request)
    return records.add(request)


def check_request(request: JobRequest) -> None:
    """Raise UserError for a priority that there is not, and a memory limit below what a step needs."""
    if not HIGHEST_PRIORITY <= request.priority <= LOWEST_PRIORITY:
        raise UserError(
            f"--priority is {request.priority}; give {HIGHEST_PRIORITY} for the most urgent to {LOWEST_PRIORITY} for the least."
        )
    if request.memory is not None and request.memory < LEAST_MEMORY:
        raise UserError(
            f"--memory is {format_memory(request.memory)}; a process takes up to {format_memory(LEAST_MEMORY)} before its first "
            "row: give more."
        )


def add_schedule(records: ScheduleRecords, schedule: Schedule) -> Schedule:
    """A schedule that fires from now on. Raises UserError as `check_request` does, and for a name that is taken."""
    check_request(schedule.request)
    records.add_schedule(schedule)
    return schedule


def submit_due(
    records: ScheduleRecords, moment: datetime, say_fault: Callable[[Schedule, UserError], None]
) -> list[tuple[Schedule, int]]:
    """Submit the jobs of all schedules that were due at a moment, with their numbers. However many times one was due since it
    last fired, it is submitted once. One that cannot be is passed by, and said why."""
    due = [schedule for schedule in records.list_schedules() if schedule.next_at <= moment]
    submitted = []
    for schedule in due:
        try:
            schedule.request.refuse_unknown()
            next_at = compute_next_time(schedule.cron, schedule.zone, moment)
        except UserError as error:
            say_fault(schedule, error)
            continue
        job = records.submit_due(schedule, next_at)
        if job is not None:
            submitted.append((schedule, job))
    return submitted
