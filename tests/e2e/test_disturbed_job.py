"""Trainings as jobs whose PostgreSQL is killed, or whose worker sleeps through a take-over: one version, the undisturbed one's.

`make kills` does it at more moments (EPIC22_KILL_MOMENTS), `benchmarks/disturbed_jobs.py` on the sample portfolio.
"""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.boilers import simulate_boilers
from tests.disturbed_job import DisturbedJob, kill_server, put_to_sleep
from tests.killed_training import STEPS, KilledTraining
from tests.noting_worker import ELSEWHERE
from tests.tcp_postgres import TcpPostgres

from epic22.bootstrap.jobs import open_job_stores
from epic22.bootstrap.runs import list_runs
from epic22.config import Settings

pytestmark = pytest.mark.slow
MOMENTS = int(os.environ.get("EPIC22_KILL_MOMENTS", "3"))
SLEEP_SECONDS = 12.0
ROLES = ("--label", "failed_within_30_days", "--time", "read_at", "--horizon", "30", "--task", "boilers", "--folds", "2")
FAMILIES = ("--families", "constant,linear")


@dataclass(frozen=True)
class Place:
    """A server with a database that has all tables and nothing in them, the training, and what it ends in undisturbed."""

    server: TcpPostgres
    template: str
    arguments: tuple[str, ...]
    model_hash: str
    seconds: dict[str, float]

    def open(self, folder: Path) -> DisturbedJob:
        """The training as a job, submitted, with all that it needs of its own."""
        environment = {"EPIC22_HOME": str(folder / "home"), "EPIC22_THREADS": "1"}
        environment["EPIC22_DATABASE_URL"] = self.server.new_database(self.template)
        job = DisturbedJob("boilers", self.arguments, folder, self.server, environment)
        job.submit()
        return job


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "home").mkdir()
    simulate_boilers(boilers=25, months=12).rows.write_csv(folder / "boilers.csv")
    arguments = ("--csv", str(folder / "boilers.csv"), *ROLES, *FAMILIES)
    training = KilledTraining(arguments, folder / "home", {"EPIC22_THREADS": "1"})
    model_hash = training.finish()["model_hash"]
    with TcpPostgres() as server:
        template = server.new_database()
        settings = Settings(folder / "home", 1, database_url=template)
        list_runs(settings)
        open_job_stores(settings).records.list_jobs()
        yield Place(server, template, arguments, model_hash, training.measure_steps())


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_training_whose_server_is_killed_ends_in_the_undisturbed_model_once(place: Place, tmp_path: Path, moment: int) -> None:
    job, step, chance = place.open(tmp_path), STEPS[moment % len(STEPS)], random.Random(moment)
    try:
        job.start_worker()
        job.wait_for_step(step)
        time.sleep(chance.random() * place.seconds[step])
        kill_server(job, chance.uniform(2, 8), with_worker=bool(moment % 2))
        ending = job.wait_for_end()
    finally:
        job.stop()
    assert ending.is_single, ending
    assert ending.model_hash == place.model_hash


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_training_that_sleeps_through_a_take_over_makes_nothing_visible_twice(
    place: Place, tmp_path: Path, moment: int
) -> None:
    job, step, chance = place.open(tmp_path), STEPS[-1 - moment % len(STEPS)], random.Random(moment)
    try:
        # Every other time as if on another machine, where nobody can end the process, and it wakes.
        job.start_worker(*([] if moment % 2 else [ELSEWHERE]))
        job.wait_for_step(step)
        time.sleep(chance.random() * place.seconds[step])
        put_to_sleep(job, SLEEP_SECONDS)
        ending = job.wait_for_end()
    finally:
        job.stop()
    assert ending.is_single, ending
    assert ending.model_hash == place.model_hash
