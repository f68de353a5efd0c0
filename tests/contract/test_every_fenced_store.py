"""What every registry and log of data versions must do for an attempt at a job: let the newest through, and no other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.contract.test_every_registry import put
from tests.postgres import new_database

from epic22.adapters.attempt_fence import Fence
from epic22.adapters.metadata.fence import AttemptFence, FencedTransaction
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.metadata.workers import WorkerTable
from epic22.adapters.model_store import ModelStore
from epic22.bootstrap.attempt import begin_training
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.bootstrap.stores import open_home_stores, open_shared_stores, open_stores
from epic22.config import Settings
from epic22.core.errors import AttemptError
from epic22.core.evaluation.fairness import PromotionDecision
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

    def open_unfenced(self) -> Registry:
        """As a training opens it that no job does."""
        return open_stores(self.settings).registry

    def take_over(self) -> AttemptId:
        """The attempt of a second worker, begun while the first was asleep."""
        WorkerTable(open_jobs_database(self.settings)).remove("w1", "asleep.")
        newest = AttemptId(self.attempt.job, self.jobs.get(self.attempt.job).attempt + 1)
        assert self.jobs.claim(newest, "w2") is not None
        return newest

    def resume(self) -> frozenset[str]:
        """The tasks that a second worker, which takes over, finds finished; what is not, it removes."""
        with begin_training(replace(self.settings, attempt=self.take_over()), "cpu") as finished:
            return finished


class Killed(BaseException):
    """Ends an attempt as a kill does: what was written stays, the transaction that is open is gone."""


def kill_before(patch: pytest.MonkeyPatch, method: str, work: Callable[[], object]) -> None:
    """Do a work that is killed before it writes down with the job what it did."""

    def die(*_: object) -> None:
        raise Killed

    with patch.context() as inner:
        inner.setattr(FencedTransaction, method, die)
        with pytest.raises(Killed):
            work()


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


def test_a_version_that_was_registered_just_before_a_kill_is_removed_by_the_next_attempt(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = place.open(place.attempt)
    kill_before(monkeypatch, "add_version", lambda: put(registry, tmp_path / "aside"))
    assert place.resume() == frozenset()
    assert registry.list_versions("toy") == ()
    assert place.jobs.list_versions(place.attempt.job) == ()


DECISIONS: dict[str, Callable[[Registry], None]] = {
    "promoted": lambda registry: registry.promote("toy", "1", ()),
    "refused": lambda registry: registry.refuse("toy", "1", PromotionDecision(False, "challenger", "it is no better")),
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_version_that_was_decided_on_just_before_a_kill_is_trained_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decision: str
) -> None:
    registry = place.open(place.attempt)
    put(registry, tmp_path / "aside")
    kill_before(monkeypatch, "decide_version", lambda: DECISIONS[decision](registry))
    is_done = bool(registry.list_decisions("toy"))
    assert is_done == isinstance(registry, ModelStore), "elsewhere it is one transaction, and nothing was done"
    assert place.resume() == (frozenset({"toy"}) if is_done else frozenset())
    assert [(v.version, v.is_decided) for v in place.jobs.list_versions(place.attempt.job)] == [("1", True)] * is_done
    assert len(registry.list_versions("toy")) == len(registry.list_decisions("toy")) == is_done
    assert (registry.find_champion("toy") is not None) == (is_done and decision == "promoted")


def test_a_number_that_another_training_got_since_is_left_to_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = place.open(place.attempt)
    version = put(registry, tmp_path / "aside")
    kill_before(monkeypatch, "remove_version", lambda: registry.discard("toy", version.version))
    other = place.open_unfenced()
    before = other.list_versions("toy")
    theirs = put(other, tmp_path / "aside2", seed=1)
    assert place.resume() == frozenset()
    assert other.list_versions("toy") == (theirs,), f"there was {before}"
