"""Jobs: where they are kept, what queues them, what carries them out."""

import os
import secrets
import socket
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from epic22 import __version__
from epic22.adapters.control_group import require_memory_control
from epic22.adapters.home import refuse_unwritable_home
from epic22.adapters.job_event_writer import JobEventWriter
from epic22.adapters.job_log import JobLog
from epic22.adapters.job_process import JobProcesses, end_attempt_process
from epic22.adapters.metadata.job_events import JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.metadata.schedules import ScheduleTable
from epic22.adapters.metadata.sessions import name_worker_session
from epic22.adapters.metadata.workers import WorkerTable
from epic22.bootstrap.jobs_database import JOBS, open_jobs_database
from epic22.config import Settings
from epic22.core.job import LostAttempt
from epic22.services.jobs import JobStores
from epic22.services.work import WorkerParts

if TYPE_CHECKING:
    from epic22.adapters.job_queue import DbosQueue
    from epic22.adapters.metadata.database import Database


def open_job_stores(settings: Settings) -> JobStores:
    """Where the settings keep jobs and schedules."""
    database = open_jobs_database(settings)
    return JobStores(JobTable(database), ScheduleTable(database))


def name_worker() -> str:
    """A name for a worker that no other has: its machine, its process, and chance, for numbers of processes come again."""
    return f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"


def open_worker_parts(settings: Settings, worker: str, control_group: Path | None = None) -> WorkerParts:
    """What a worker of that name works with; a control group of Linux holds memory limits too where its folder is named.

    Raises StorageError where the home cannot be written, or the database is away, UserError for a folder of no such group.
    """
    refuse_unwritable_home(settings.home)
    if control_group is not None:
        require_memory_control(control_group)
    database = open_jobs_database(settings, name_worker_session(worker))
    processes = JobProcesses(JobEventWriter(JobEventTable(database)).open_progress, control_group=control_group)
    tables = JobTable(database), WorkerTable(database), ScheduleTable(database)
    queue = open_job_queue(database, worker)
    return WorkerParts(*tables, queue, processes, end_lost_process, settings.home / JOBS, __version__)


def open_job_queue(database: "Database", worker: str) -> "DbosQueue":
    """The queue beside a database of jobs: a file beside its file, or a schema of its own on its server."""
    from epic22.adapters.job_queue import DbosQueue
    from epic22.adapters.metadata.library_schema import QUEUE

    if database.is_sqlite:
        path = database.path
        path.parent.mkdir(parents=True, exist_ok=True)
        return DbosQueue(f"sqlite:///{path.with_name(f'{path.stem}-queue.sqlite')}", None, worker, __version__)
    return DbosQueue(database.driver_url, QUEUE, worker, __version__)


def end_lost_process(lost: LostAttempt) -> None:
    """End the process of an attempt that was taken over, where it is on this machine: asleep, it would keep its locks."""
    if lost.process is not None and lost.host == socket.gethostname():
        end_attempt_process(lost.attempt, lost.process)


def find_log(settings: Settings, job: int) -> JobLog:
    """The log of a job on the machine that carried it out."""
    return JobLog(settings.home / JOBS / str(job))


def list_other_programs(settings: Settings) -> list[str]:
    """What to say of jobs that wait for a worker of another version of this program, a sentence a version."""
    waiting = open_job_stores(settings).records.list_jobs(("waiting",))
    counts = Counter(job.program for job in waiting if job.program != __version__)
    return [
        f"{n} jobs wait for a worker of epic22 {program}, and this is {__version__}: start one of that version, or have this "
        "one do them with 'epic22 jobs retry'."
        for program, n in sorted(counts.items())
    ]
