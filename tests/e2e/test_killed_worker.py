"""Workers that die, or fall asleep, while they carry out jobs: each job is done, once.

`make kills` does it at more moments (EPIC22_KILL_MOMENTS).
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from tests.postgres import new_database
from tests.sleeping_process import stop_between_writes
from tests.tcp_postgres import TcpPostgres
from tests.tiny_worker import FAILING, start_worker, submit_tiny
from tests.waiting import wait_until

from epic22.adapters.metadata.library_schema import QUEUE
from epic22.bootstrap.jobs import open_job_stores
from epic22.config import Settings
from epic22.core.job import JobRecord

pytestmark = pytest.mark.slow
BUSY = 1 + os.getloadavg()[0] / (os.cpu_count() or 1)
PATIENCE = 120
"""Seconds for what takes a few, on a machine that others use."""
MOMENTS = int(os.environ.get("EPIC22_KILL_MOMENTS", "1"))
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    home = {"EPIC22_HOME": str(tmp_path / "home")}
    return home if request.param == "sqlite" else home | {"EPIC22_DATABASE_URL": new_database()}


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts workers, which are ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*options: str) -> "subprocess.Popen[bytes]":
        started.append(start_worker(environment, tmp_path / "record.txt", *options))
        return started[-1]

    yield start_one
    for worker in started:
        worker.kill()
        worker.wait()


def list_jobs(environment: dict[str, str]) -> tuple[JobRecord, ...]:
    return open_job_stores(Settings.read(environment)).records.list_jobs()


def read_record(tmp_path: Path, word: str) -> list[str]:
    """The attempts that began, or ended, in their order."""
    path = tmp_path / "record.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.startswith(word)]


def count_ends(tmp_path: Path) -> Counter[str]:
    return Counter(attempt.partition("/")[0] for attempt in read_record(tmp_path, "end"))


def test_two_workers_do_forty_jobs_each_once_and_the_urgent_first(
    environment: dict[str, str], start: Start, tmp_path: Path
) -> None:
    poison = submit_tiny(environment, FAILING)
    jobs = [submit_tiny(environment, "0.01", priority=9 if n < 20 else 1) for n in range(40)]
    workers = [start("w1", "until-idle"), start("w2", "until-idle")]
    assert [worker.wait(2 * PATIENCE) for worker in workers] == [0, 0]
    outputs = [(tmp_path / f"{name}.txt").read_text() for name in ("w1", "w2")]
    assert count_ends(tmp_path) == Counter(str(job.id) for job in jobs)
    states = {job.id: job.state for job in list_jobs(environment)}
    assert states.pop(poison.id) == "dead"
    assert set(states.values()) == {"done"}
    assert all("begins" in output for output in outputs), "both worked"
    order = [int(attempt.partition("/")[0]) for attempt in read_record(tmp_path, "begin")]
    assert max(order.index(job.id) for job in jobs[20:]) < 24


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_the_job_of_a_killed_worker_is_taken_over_within_ten_seconds(
    environment: dict[str, str], start: Start, tmp_path: Path, moment: int
) -> None:
    job = submit_tiny(environment, "1")
    first, second = start("w1"), start("w2", "until-idle")
    wait_until(lambda: bool(read_record(tmp_path, "begin")), PATIENCE)
    running = list_jobs(environment)[0].worker
    killed, other = (first, second) if running == "w1" else (second, first)
    time.sleep(0.7 * moment / MOMENTS)
    killed.kill()
    began = time.monotonic()
    wait_until(lambda: len(read_record(tmp_path, "begin")) == 2, PATIENCE)
    assert time.monotonic() - began < BUSY * 10, "on a machine that others use it takes as much longer"
    wait_until(lambda: list_jobs(environment)[0].state == "done", PATIENCE)
    assert count_ends(tmp_path) == Counter({str(job.id): 1})
    assert other.poll() in (None, 0)


def test_a_worker_that_slept_through_a_take_over_changes_nothing_and_works_on(
    environment: dict[str, str], start: Start, tmp_path: Path
) -> None:
    submit_tiny(environment, "2")
    sleeper = start("w1")
    wait_until(lambda: bool(read_record(tmp_path, "begin")), PATIENCE)
    stop_between_writes([sleeper.pid], tmp_path / "home")
    other = start("w2")
    wait_until(lambda: len(read_record(tmp_path, "begin")) == 2, PATIENCE)
    os.kill(sleeper.pid, signal.SIGCONT)
    wait_until(lambda: list_jobs(environment)[0].state == "done", PATIENCE)
    other.kill()
    attempts = open_job_stores(Settings.read(environment)).records.list_attempts(1)
    assert [attempt.outcome for attempt in attempts] == ["its worker w1 no longer answers.", "done"]
    submit_tiny(environment, "0.01")
    wait_until(lambda: list_jobs(environment)[0].state == "done", PATIENCE)
    assert list_jobs(environment)[0].worker is None
    assert "others took this worker for dead" in (tmp_path / "w1.txt").read_text()


def test_a_pickle_that_somebody_plants_in_the_queue_does_not_run(
    environment: dict[str, str], start: Start, tmp_path: Path
) -> None:
    victim = tmp_path / "unpickled"
    worker = start("w1")
    submit_tiny(environment, "0.01")
    wait_until(lambda: bool(read_record(tmp_path, "end")), PATIENCE)
    plant_pickle(environment, victim)
    submit_tiny(environment, "0.01")
    wait_until(lambda: len(read_record(tmp_path, "end")) == 2, PATIENCE)
    wait_until(lambda: read_planted_state(environment) in ("ERROR", "CANCELLED"), PATIENCE)
    assert not victim.exists()
    assert worker.poll() is None


def test_a_job_outlives_its_server_and_nobody_is_taken_for_dead_meanwhile(tmp_path: Path) -> None:
    with TcpPostgres() as server:
        environment = {"EPIC22_HOME": str(tmp_path / "home"), "EPIC22_DATABASE_URL": server.new_database()}
        submit_tiny(environment, "6")
        submit_tiny(environment, "0.01")
        workers = [start_worker(environment, tmp_path / "record.txt", name, "until-idle") for name in ("w1", "w2")]
        wait_until(lambda: bool(read_record(tmp_path, "begin 1/")), PATIENCE)
        server.kill()
        time.sleep(10)
        server.start()
        assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]
        assert {job.state for job in list_jobs(environment)} == {"done"}
        assert sorted(read_record(tmp_path, "begin")) == ["1/1", "2/1"], "none was begun twice"
        outputs = [(tmp_path / f"{name}.txt").read_text() for name in ("w1", "w2")]
        assert any("waiting: EPIC22_DATABASE_URL: " in output for output in outputs)


PLANT = """
import os, sys
from dbos import DBOSClient

class Trap:
    def __reduce__(self):
        return os.mkdir, (sys.argv[3],)

client = DBOSClient(system_database_url=sys.argv[1], dbos_system_schema=sys.argv[2])
options = {"workflow_name": "run_attempt", "queue_name": "epic22_jobs", "workflow_id": "planted", "application_name": "epic22"}
print(client.enqueue(options, Trap()).get_workflow_id())
client.destroy()
"""


def plant_pickle(environment: dict[str, str], victim: Path) -> None:
    """Queue an entry that makes a folder when it is unpickled, as whoever can write to the database could."""
    url, schema = find_queue(environment)
    subprocess.run([sys.executable, "-c", PLANT, url, schema, str(victim)], check=True, capture_output=True, timeout=60)


def find_queue(environment: dict[str, str]) -> tuple[str, str]:
    """The address of DBOS's tables and their schema."""
    if "EPIC22_DATABASE_URL" in environment:
        return environment["EPIC22_DATABASE_URL"], QUEUE
    return f"sqlite:///{environment['EPIC22_HOME']}/jobs/jobs-queue.sqlite", "main"


def read_planted_state(environment: dict[str, str]) -> str:
    url, schema = find_queue(environment)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        query = f"SELECT status, serialization FROM {schema}.workflow_status WHERE workflow_uuid = 'planted'"
        ((state, serialization),) = connection.exec_driver_sql(query).all()
    engine.dispose()
    assert serialization == "py_pickle"
    return str(state)
