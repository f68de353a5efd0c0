"""Events of jobs in each database: in their order, of the newest attempt alone, bounded, and written while a job runs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.postgres import new_database
from tests.waiting import wait_until

from epic22.adapters.job_event_writer import JobEventWriter
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.job_events import ENDED_LIMITS, RUNNING_LIMITS, JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.core.errors import StorageError
from epic22.core.job import AttemptId, JobRequest
from epic22.core.job_event import compute_state
from epic22.core.progress import AttemptStarted, Noted, ProcessSample, ProgressEvent, StageStarted, WorkAdvanced, WorkStarted

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return Database(new_database() if request.param == "postgresql" else f"sqlite:///{tmp_path}/jobs.sqlite")


def begin_attempt(database: Database, folder: Path) -> AttemptId:
    jobs = JobTable(database)
    attempt = AttemptId(jobs.add(JobRequest("train", ("tenant_churn",), folder, 1)).id, 1)
    assert jobs.claim(attempt, "worker") is not None
    return attempt


def at(seconds: int, *events: ProgressEvent) -> list[tuple[datetime, ProgressEvent]]:
    return [(START + timedelta(seconds=seconds + i), event) for i, event in enumerate(events)]


def test_events_come_in_their_order_and_after_a_number(database: Database, tmp_path: Path) -> None:
    events, attempt, other = JobEventTable(database), begin_attempt(database, tmp_path), begin_attempt(database, tmp_path)
    first, second = at(0, StageStarted("plan"), Noted("one line\nor two")), at(10, WorkStarted("linear: 5 folds", 5, "fold"))
    assert events.append(attempt, first)
    assert events.append(other, at(5, WorkAdvanced()))
    assert events.append(attempt, second)
    stored = events.read(attempt.job)
    assert [(one.number, one.at, one.event) for one in stored] == [(i + 1, *one) for i, one in enumerate([*first, *second])]
    assert [one.number for one in events.read(attempt.job, after=2)] == [3]
    assert [one.number for one in events.read(attempt.job, limit=2)] == [1, 2]
    assert events.read(attempt.job, after=3) == events.read(10_000) == ()
    assert events.append(attempt, [])


def test_an_attempt_that_was_replaced_adds_nothing(database: Database, tmp_path: Path) -> None:
    events, attempt = JobEventTable(database), begin_attempt(database, tmp_path)
    assert JobTable(database).cancel(attempt.job)
    assert not events.append(attempt, at(0, WorkAdvanced()))
    assert events.read(attempt.job) == ()


def test_what_is_stored_of_a_job_is_bounded_and_its_ends_stay(database: Database, tmp_path: Path) -> None:
    events, attempt = JobEventTable(database), begin_attempt(database, tmp_path)
    assert events.append(attempt, at(0, WorkStarted("search 1 of 6", 50, "trial")))
    samples = [ProcessSample(0.5, number, 1) for number in range(2_000)]
    for start in range(0, 2_000, 50):
        assert events.append(attempt, at(start, *samples[start : start + 50]))
    assert len(events.read(attempt.job, limit=10_000)) <= RUNNING_LIMITS["process_sample"] + 1 + 200
    events.thin(attempt.job)
    stored = [one.event for one in events.read(attempt.job, limit=10_000)]
    assert len(stored) == ENDED_LIMITS["process_sample"] + 1
    assert (stored[0], stored[1], stored[-1]) == (WorkStarted("search 1 of 6", 50, "trial"), samples[0], samples[-1])


def test_a_writer_keeps_events_while_the_job_runs_and_the_rest_at_its_end(database: Database, tmp_path: Path) -> None:
    events, attempt = JobEventTable(database), begin_attempt(database, tmp_path)
    with JobEventWriter(events, seconds=0.05).open_progress(attempt, 1) as progress:
        progress.begin("linear: 5 folds", 5, "fold")
        wait_until(lambda: len(events.read(attempt.job)) == 2)
        progress.step()
    assert [one.event for one in events.read(attempt.job)] == [
        AttemptStarted(1),
        WorkStarted("linear: 5 folds", 5, "fold"),
        WorkAdvanced(),
    ]
    state = compute_state(events.read(attempt.job))
    assert (state.attempt, state.works[0].done) == (1, 1)
    assert state.share == pytest.approx(0.2)


class AwayEvents:
    """A store that does not answer at first."""

    def __init__(self) -> None:
        self.is_away, self.refused, self.stored = True, 0, list[ProgressEvent]()

    def append(self, attempt: AttemptId, events: Sequence[tuple[datetime, ProgressEvent]]) -> bool:
        if self.is_away:
            self.refused += 1
            raise StorageError("no connection.")
        self.stored += [event for _, event in events]
        return True

    def read(self, job: int, after: int = 0, limit: int = 500) -> tuple[()]:
        return ()

    def thin(self, job: int) -> None:
        raise StorageError("no connection.")


def test_events_wait_while_the_store_is_away() -> None:
    events = AwayEvents()
    with JobEventWriter(events, seconds=0.01).open_progress(AttemptId(1, 3), 2) as progress:
        progress.note("first")
        wait_until(lambda: events.refused > 0)
        events.is_away = False
        progress.note("second")
    assert events.stored == [AttemptStarted(2), Noted("first"), Noted("second")]


class OddEvents(AwayEvents):
    """A store that nobody foresaw an event of."""

    def append(self, attempt: AttemptId, events: Sequence[tuple[datetime, ProgressEvent]]) -> bool:
        if Noted("odd") in [event for _, event in events]:
            self.refused += 1
            raise RecursionError("of the database's driver\nwith rows below")
        return super().append(attempt, events)


def test_an_event_that_nobody_foresaw_costs_neither_the_later_ones_nor_the_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    events = OddEvents()
    events.is_away = False
    with JobEventWriter(events, seconds=0.01).open_progress(AttemptId(1, 3), 2) as progress:
        progress.note("odd")
        wait_until(lambda: events.refused > 0)
        progress.note("second")
        wait_until(lambda: Noted("second") in events.stored)
    assert events.stored[-1] == Noted("second")
    log = capsys.readouterr().err
    assert "RecursionError: of the database's driver" in log
    assert "rows below" not in log
