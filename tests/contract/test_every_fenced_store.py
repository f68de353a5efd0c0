"""What every registry and log of data versions must do for an attempt at a job: let the newest through, and no other."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.contract.test_every_registry import put
from tests.postgres import new_database

from epic22.adapters.attempt_fence import Fence
from epic22.adapters.metadata.fence import AttemptFence
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.metadata.workers import WorkerTable
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.bootstrap.stores import open_home_stores, open_shared_stores
from epic22.config import Settings
from epic22.core.errors import AttemptError
from epic22.core.job import AttemptId, JobRequest
from epic22.core.ports import Registry


@dataclass(frozen=True)
class Place:
    """Where things are kept, with a job that worker w1 has under way."""

    settings: Settings
    attempt: AttemptId

    @property
    def jobs(self) -> JobTable:
        return JobTable(open_jobs_database(self.settings))

    def open(self, attempt: AttemptId) -> Registry:
        fence: Fence = AttemptFence(open_jobs_database(self.settings), attempt)
        home, url = self.settings.home, self.settings.database_url
        if url is None:
            return open_home_stores(home, fence).registry
        return open_shared_stores(url, str(home / "artifacts"), home, fence=fence).registry

    def take_over(self) -> AttemptId:
        """The attempt of a second worker, begun while the first was asleep."""
        WorkerTable(open_jobs_database(self.settings)).remove("w1", "asleep.")
        newest = AttemptId(self.attempt.job, self.jobs.get(self.attempt.job).attempt + 1)
        assert self.jobs.claim(newest, "w2") is not None
        return newest


@pytest.fixture(params=["home", "sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    urls = {"home": lambda: None, "sqlite": lambda: f"sqlite:///{tmp_path}/data.sqlite", "postgresql": new_database}
    settings = Settings(tmp_path / "home", 1, database_url=urls[request.param]())
    jobs = JobTable(open_jobs_database(settings))
    job = jobs.add(JobRequest("train", ("toy",), tmp_path, 1))
    attempt = AttemptId(job.id, 1)
    assert jobs.claim(attempt, "w1") is not None
    return Place(settings, attempt)


def test_what_a_job_registered_and_promoted_is_kept_with_it(place: Place, tmp_path: Path) -> None:
    registry = place.open(place.attempt)
    version = put(registry, tmp_path / "aside")
    assert [(v.task, v.version, v.is_decided) for v in place.jobs.list_versions(place.attempt.job)] == [("toy", "1", False)]
    registry.promote("toy", version.version, ())
    assert [v.is_decided for v in place.jobs.list_versions(place.attempt.job)] == [True]
    second = put(registry, tmp_path / "aside2", seed=1)
    registry.discard("toy", second.version)
    assert [v.version for v in place.jobs.list_versions(place.attempt.job)] == ["1"]


def test_who_wakes_after_a_take_over_registers_and_promotes_nothing(place: Place, tmp_path: Path) -> None:
    asleep = place.open(place.attempt)
    put(asleep, tmp_path / "aside")
    awake = place.open(place.take_over())
    second = put(awake, tmp_path / "aside2", seed=1)
    awake.promote("toy", second.version, ())
    for change in (
        lambda: put(asleep, tmp_path / "aside3", seed=2),
        lambda: asleep.promote("toy", "1", ()),
        lambda: asleep.discard("toy", second.version),
    ):
        with pytest.raises(AttemptError, match="not its newest"):
            change()
    assert awake.champion("toy").version == second.version
    assert [version.version for version in awake.list_versions("toy")] == ["1", second.version]
    assert len(awake.list_decisions("toy")) == 1


def test_a_cancelled_job_adds_no_data_version(place: Place) -> None:
    fence = AttemptFence(open_jobs_database(place.settings), place.attempt)
    home, url = place.settings.home, place.settings.database_url
    stores = open_home_stores(home, fence) if url is None else open_shared_stores(url, str(home / "files"), home, fence=fence)
    assert stores.table_store.versions.add_manifest(1, "first", b"{}")
    place.jobs.cancel(place.attempt.job)
    with pytest.raises(AttemptError, match="cancelled"):
        stores.table_store.versions.add_manifest(2, "second", b"{}")
    assert stores.table_store.versions.list_numbers() == [1]
