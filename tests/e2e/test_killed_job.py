"""A training as a job whose worker or process is killed, or falls asleep: the same champion, once.

`make kills` does it at more moments (EPIC22_KILL_MOMENTS), on SQLite files; `benchmarks/jobs.py` on a server.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.boilers import simulate_boilers
from tests.shell import type_command
from tests.sleeping_process import stop_between_writes
from tests.waiting import wait_until

from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.model_store import ModelStore
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.job import AttemptRecord

pytestmark = pytest.mark.slow
MOMENTS = int(os.environ.get("EPIC22_KILL_MOMENTS", "4"))
PATIENCE = 400
FAMILIES = ("--families", "constant,linear")
ROLES = (
    "--label",
    "failed_within_30_days",
    "--time",
    "read_at",
    "--horizon",
    "30",
    "--task",
    "boilers",
    "--folds",
    "2",
    *FAMILIES,
)
TRAINING = ("train", "--csv", "boilers.csv", *ROLES)


class Company:
    """A folder with a table and a home, in which workers train."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.started = folder, folder / "home", list[subprocess.Popen[bytes]]()
        self.jobs = JobTable(open_jobs_database(Settings(self.home, 1)))
        self.store = ModelStore(self.home / "models")

    def submit(self) -> None:
        code, _, err = type_command(self.folder, self.home, "submit", "--threads", "1", *TRAINING)
        assert code == 0, err

    def start_worker(self) -> "subprocess.Popen[bytes]":
        with (self.folder / f"worker{len(self.started)}.txt").open("ab") as output:
            self.started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "epic22", "work", "--until-idle"],
                    env={**os.environ, "EPIC22_HOME": str(self.home)},
                    stdout=output,
                    stderr=output,
                )
            )
        return self.started[-1]

    def wait_for_process(self) -> AttemptRecord:
        """The attempt under way, once its process has begun."""
        wait_until(lambda: any(a.process and not a.ended_at for a in self.jobs.list_attempts(1)), PATIENCE)
        return self.jobs.list_attempts(1)[-1]

    def stop(self) -> None:
        for worker in self.started:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGCONT)
            worker.kill()
            worker.wait()

    def check_end(self, model_hash: str) -> None:
        """The job is done: one version, one decision, the undisturbed training's model."""
        wait_until(lambda: not self.jobs.get(1).is_open, PATIENCE)
        log = (self.home / "jobs" / "1" / "log.txt").read_text()
        assert (self.jobs.get(1).state, self.jobs.get(1).reason) == ("done", ""), log
        (version,) = self.store.list_versions("boilers")
        assert version.model_hash == model_hash
        assert self.store.champion("boilers") == version
        assert len(self.store.list_decisions("boilers")) == 1
        assert [(v.version, v.is_decided) for v in self.jobs.list_versions(1)] == [(version.version, True)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The hash of the model that an undisturbed training of the same table makes, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    simulate_boilers(boilers=25, months=12).rows.write_csv(folder / "boilers.csv")
    environment = {**os.environ, "EPIC22_HOME": str(folder / "home"), "EPIC22_THREADS": "1"}
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "epic22", *TRAINING], cwd=folder, env=environment, check=True, capture_output=True)
    return ModelStore(folder / "home" / "models").champion("boilers").model_hash, time.monotonic() - began


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    simulate_boilers(boilers=25, months=12).rows.write_csv(tmp_path / "boilers.csv")
    company = Company(tmp_path)
    company.submit()
    yield company
    company.stop()


def kill_worker(company: Company, worker: "subprocess.Popen[bytes]", attempt: AttemptRecord) -> None:
    """Kill the worker; its process ends by itself, and another worker takes over."""
    worker.kill()
    worker.wait()
    wait_until(lambda: not is_alive(attempt.process), 30)
    company.start_worker()


def kill_process(company: Company, worker: "subprocess.Popen[bytes]", attempt: AttemptRecord) -> None:
    """Kill the process; the worker tries again."""
    assert attempt.process is not None
    with suppress(ProcessLookupError):
        os.kill(attempt.process, signal.SIGKILL)


def put_to_sleep(company: Company, worker: "subprocess.Popen[bytes]", attempt: AttemptRecord) -> None:
    """Put worker and process to sleep until another worker has begun, and wake the worker in its middle."""
    assert attempt.process is not None
    stop_between_writes([worker.pid, attempt.process], company.home)
    company.start_worker()
    wait_until(lambda: len(company.jobs.list_attempts(1)) > 1 or not company.jobs.get(1).is_open, PATIENCE)
    os.kill(worker.pid, signal.SIGCONT)


def interrupt_worker(company: Company, worker: "subprocess.Popen[bytes]", attempt: AttemptRecord) -> None:
    """Press Ctrl-C: the worker says what stays, and the next goes on."""
    worker.send_signal(signal.SIGINT)
    code = worker.wait(PATIENCE)
    if company.jobs.get(1).state == "done":
        # It came too late.
        return
    assert code == 130
    assert not is_alive(attempt.process)
    said = (company.folder / "worker0.txt").read_text()
    assert "stopped; job 1 (train --csv boilers.csv" in said
    assert "waits again" in said
    assert (company.jobs.get(1).state, company.jobs.get(1).faults) == ("waiting", 0)
    company.start_worker()


def is_alive(process: int | None) -> bool:
    if process is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


KINDS = (kill_worker, kill_process, put_to_sleep, interrupt_worker)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_job_that_is_disturbed_ends_with_the_undisturbed_champion_once(
    company: Company, undisturbed: tuple[str, float], moment: int
) -> None:
    model_hash, seconds = undisturbed
    disturb: Callable[[Company, subprocess.Popen[bytes], AttemptRecord], None] = KINDS[moment % len(KINDS)]
    worker = company.start_worker()
    attempt = company.wait_for_process()
    time.sleep(random.Random(moment).uniform(0.1, 0.7) * seconds)
    disturb(company, worker, attempt)
    company.check_end(model_hash)
