"""A training as a job on a real server over TCP, which is disturbed at a moment of a step: what came of it.

Its steps and fits are noted as they come (`tests/killed_training.py`); home, database and artifacts are its own.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from epic22.adapters.metadata.jobs import JobTable
from epic22.bootstrap.jobs import open_job_stores
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.bootstrap.runs import list_runs
from epic22.bootstrap.stores import open_stores
from epic22.config import Settings
from epic22.core.errors import StorageError
from epic22.core.job import JobRequest
from tests.killed_training import STEPS, Repetition, count_repetition
from tests.noting_worker import start_noting_worker
from tests.tcp_postgres import TcpPostgres
from tests.waiting import wait_until

PATIENCE = 1800.0
"""Seconds for what takes half a minute, on a machine that others use."""
PAUSE = 0.2
"""Seconds between looks at the database, which the training is to have for itself."""


def wait_slowly(condition: Callable[[], bool], pause: float = PAUSE) -> None:
    """Wait until the condition holds, which is asked for now and then alone."""

    def look() -> bool:
        time.sleep(pause)
        return condition()

    wait_until(look, PATIENCE)


@dataclass(frozen=True)
class Ending:
    """What came of a job: its model, and how often whatever may be there once is there."""

    state: str
    model_hash: str
    versions: int
    decisions: int
    runs: int
    attempts: tuple[str, ...]
    repetition: Repetition

    @property
    def is_single(self) -> bool:
        """Whether it was done, and all that it made visible is there once."""
        return (self.state, self.versions, self.decisions, self.runs) == ("done", 1, 1, 1)


@dataclass
class DisturbedJob:
    """A training of a task with these arguments, in a folder of its own, with the server that keeps what is known of it."""

    task: str
    arguments: Sequence[str]
    folder: Path
    server: TcpPostgres
    environment: Mapping[str, str]
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """Where it is kept."""
        return Settings.read(self.environment)

    @property
    def log(self) -> Path:
        """Where steps and fits are noted."""
        return self.folder / "steps.log"

    @cached_property
    def jobs(self) -> JobTable:
        """What is known of the job."""
        return JobTable(open_jobs_database(self.settings))

    def submit(self) -> None:
        """Submit it, for one thread."""
        open_job_stores(self.settings).records.add(JobRequest("train", tuple(self.arguments), self.folder, 1))

    def start_worker(self, *options: str) -> "subprocess.Popen[bytes]":
        """One more worker."""
        name = f"w{len(self.workers)}"
        self.workers.append(start_noting_worker(self.environment, self.log, name, *options))
        return self.workers[-1]

    def read_log(self) -> list[list[str]]:
        """The lines so far, by words."""
        return [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def wait_for_step(self, step: str) -> None:
        """Wait until the training has come to a step, or beyond it."""
        steps = set(STEPS[STEPS.index(step) :]) | {"end"}
        wait_slowly(lambda: any(line[0] == "step" and line[1] in steps for line in self.read_log()), PAUSE / 10)

    def name_step(self) -> str:
        """The step that the training is in."""
        return next((line[1] for line in reversed(self.read_log()) if line[0] == "step"), "start")

    def find_process(self) -> int:
        """The process of the newest attempt."""
        process = self.jobs.list_attempts(1)[-1].process
        assert process is not None
        return process

    def wait_for_end(self) -> Ending:
        """What came of it, once nothing is under way any more."""
        wait_slowly(self._has_ended)
        for worker in self.workers:
            worker.wait(PATIENCE)
        return self.read_ending()

    def _has_ended(self) -> bool:
        try:
            return not self.jobs.get(1).is_open
        except StorageError:
            return False

    def read_ending(self) -> Ending:
        """What there is of it."""
        registry = open_stores(self.settings).registry
        champion = registry.find_champion(self.task)
        return Ending(
            self.jobs.get(1).state,
            "" if champion is None else champion.model_hash,
            len(registry.list_versions(self.task)),
            len(registry.list_decisions(self.task)),
            len(list_runs(self.settings, self.task)),
            tuple(attempt.outcome for attempt in self.jobs.list_attempts(1)),
            count_repetition(self.read_log()),
        )

    def stop(self) -> None:
        """End its workers."""
        for worker in self.workers:
            for end in (signal.SIGCONT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, end)
            worker.wait()


def kill_server(job: DisturbedJob, seconds: float, with_worker: bool) -> None:
    """Kill the server (-9), and start it again so many seconds later; `with_worker` the worker is killed meanwhile, and another
    takes over."""
    job.server.kill()
    if with_worker:
        worker = job.workers[-1]
        worker.kill()
        worker.wait()
    time.sleep(seconds)
    job.server.start()
    if with_worker:
        job.start_worker()


def put_to_sleep(job: DisturbedJob, seconds: float) -> None:
    """Put worker and process to sleep for so long, and have another worker take over meanwhile; it ends the process where that is
    on its machine."""
    worker, process = job.workers[-1], job.find_process()
    for sleeper in (worker.pid, process):
        with suppress(ProcessLookupError):
            os.kill(sleeper, signal.SIGSTOP)
    began = time.monotonic()
    try:
        job.start_worker()
        wait_slowly(lambda: len(job.jobs.list_attempts(1)) > 1 or not job.jobs.get(1).is_open)
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        for sleeper in (worker.pid, process):
            with suppress(ProcessLookupError):
                os.kill(sleeper, signal.SIGCONT)
