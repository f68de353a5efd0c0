"""What every place of jobs must do: an SQLite file, and a schema of a PostgreSQL server."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from tests.postgres import new_database

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.fence import AttemptFence
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.metadata.schedules import ScheduleTable
from epic22.adapters.metadata.schema import JOBS, SCHEDULES, WORKERS
from epic22.adapters.metadata.sessions import name_attempt_session, name_worker_session
from epic22.adapters.metadata.workers import WorkerTable
from epic22.core.errors import AttemptError, StorageError, UnknownTaskError, UserError
from epic22.core.job import FAULT_LIMIT, AttemptId, ChildOutcome, JobRequest, NextStep, decide_next_step
from epic22.core.schedule import Schedule, compute_next_time
from epic22.services.jobs import submit_due

REQUEST = JobRequest("train", ("tenant_churn",), Path("/data"), 2)
DONE = NextStep("done", "", 0)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return Database(new_database() if request.param == "postgresql" else f"sqlite:///{tmp_path}/jobs.sqlite")


@pytest.fixture
def jobs(database: Database) -> JobTable:
    return JobTable(database)


def test_a_job_waits_is_claimed_once_and_is_done(jobs: JobTable) -> None:
    job = jobs.add(REQUEST)
    assert (job.state, job.request, job.attempt) == ("waiting", REQUEST, 0)
    first = AttemptId(job.id, 1)
    claimed = jobs.claim(first, "w1")
    assert claimed is not None
    assert (claimed.state, claimed.worker) == ("running", "w1")
    assert jobs.claim(first, "w2") is None
    assert jobs.claim(AttemptId(job.id, 2), "w2") is None
    assert jobs.settle(first, DONE)
    assert jobs.get(job.id).state == "done"
    assert [(a.number, a.worker, a.outcome) for a in jobs.list_attempts(job.id)] == [(1, "w1", "done")]


def test_the_urgent_come_first_and_among_equals_the_oldest(jobs: JobTable) -> None:
    numbers = [jobs.add(JobRequest("ingest", (), Path("/"), 1, priority)).id for priority in (5, 9, 1, 5)]
    assert [job.id for job in jobs.list_due()] == [numbers[2], numbers[0], numbers[3], numbers[1]]


def test_a_job_of_another_version_of_the_program_is_left_to_its_workers(jobs: JobTable, database: Database) -> None:
    other = JobTable(database, "0.0.1").add(REQUEST)
    assert jobs.list_due() == ()
    jobs.retry(other.id)
    assert [job.id for job in jobs.list_due()] == [other.id]


def test_a_fault_that_may_pass_has_the_job_wait_and_the_fifth_is_the_last(jobs: JobTable) -> None:
    job, outcome = jobs.add(REQUEST), ChildOutcome(-9, "killed.")
    for number in range(1, FAULT_LIMIT + 1):
        attempt = AttemptId(job.id, number)
        assert jobs.claim(attempt, "w") is not None
        jobs.settle(attempt, decide_next_step(jobs.get(job.id).faults, outcome))
        assert jobs.list_due() == (), "it pauses first"
    assert jobs.get(job.id).state == "dead"
    assert "killed." in jobs.get(job.id).reason
    assert jobs.retry(job.id).faults == 0
    assert [one.id for one in jobs.list_due()] == [job.id]


def test_a_dead_workers_job_waits_at_once_and_who_wakes_can_change_nothing(jobs: JobTable, database: Database) -> None:
    workers, job = WorkerTable(database), jobs.add(REQUEST)
    workers.register("w1")
    first = AttemptId(job.id, 1)
    jobs.claim(first, "w1")
    jobs.note_process(first, 4711)
    (lost,) = workers.remove("w1", "it no longer answers.")
    assert (lost.attempt, lost.process) == (first, 4711)
    assert [one.id for one in jobs.list_due()] == [job.id]
    assert not workers.beat("w1")
    assert not jobs.is_newest(first)
    assert not jobs.settle(first, DONE)
    with pytest.raises(AttemptError, match="not its newest"), AttemptFence(database, first).hold():
        pytest.fail("the fence let it through")
    next_attempt = AttemptId(job.id, jobs.get(job.id).attempt + 1)
    assert next_attempt.number > first.number
    assert jobs.claim(next_attempt, "w2") is not None
    with AttemptFence(database, next_attempt).hold() as work:
        work.add_version("toy", "1")
        work.decide_version("toy", "1")
    assert [(v.task, v.is_decided) for v in jobs.list_versions(job.id)] == [("toy", True)]


def test_a_job_whose_worker_never_registered_is_lost_too(jobs: JobTable, database: Database) -> None:
    workers, job = WorkerTable(database), jobs.add(REQUEST)
    jobs.claim(AttemptId(job.id, 1), "w1")
    assert workers.read_beats() == {"w1": 0}
    workers.remove("w1", "gone.")
    assert jobs.get(job.id).state == "waiting"


def test_a_cancelled_job_stays_so_whatever_its_process_says(jobs: JobTable) -> None:
    job = jobs.add(REQUEST)
    attempt = AttemptId(job.id, 1)
    jobs.claim(attempt, "w")
    assert jobs.cancel(job.id)
    assert not jobs.settle(attempt, DONE)
    assert jobs.get(job.id).state == "cancelled"
    assert not jobs.cancel(job.id)
    assert jobs.retry(job.id).state == "waiting"


def test_attempts_are_counted_from_one_whatever_numbers_fence_them(jobs: JobTable, database: Database) -> None:
    workers, job = WorkerTable(database), jobs.add(REQUEST)
    assert job.attempts == 0
    for _ in range(3):
        workers.register("w")
        begun = jobs.claim(AttemptId(job.id, jobs.get(job.id).attempt + 1), "w")
        workers.remove("w", "it no longer answers.")
    assert begun is not None
    assert (begun.attempts, begun.attempt) == (3, 5)
    assert [one.number for one in jobs.list_attempts(job.id)] == [1, 2, 3]
    assert [one.attempts for one in jobs.list_jobs()] == [3]


def test_only_the_newest_attempt_releases_a_job(jobs: JobTable) -> None:
    job = jobs.add(REQUEST)
    jobs.claim(AttemptId(job.id, 1), "w")
    jobs.release(AttemptId(job.id, 0), "late.")
    assert jobs.get(job.id).state == "running"
    jobs.release(AttemptId(job.id, 1), "its worker was stopped.")
    assert (jobs.get(job.id).state, jobs.get(job.id).faults) == ("waiting", 0)


def test_a_job_that_is_done_is_not_tried_again_and_one_that_there_is_not_is_said(jobs: JobTable) -> None:
    job = jobs.add(REQUEST)
    jobs.claim(AttemptId(job.id, 1), "w")
    jobs.settle(AttemptId(job.id, 1), DONE)
    with pytest.raises(UserError, match="is done"):
        jobs.retry(job.id)
    with pytest.raises(UnknownTaskError, match="there is no job 99"):
        jobs.get(99)


def refuse(schedule: Schedule, error: UserError) -> None:
    """No schedule is at fault here."""
    raise AssertionError(f"{schedule.name}: {error}")


def test_a_row_that_cannot_be_read_or_fired_here_keeps_no_other_from_being_listed_and_submitted(
    jobs: JobTable, database: Database
) -> None:
    """A zone that this machine lacks, or a verb of a later version, ended every worker, and again at every start."""
    schedules, moment = ScheduleTable(database), datetime(2026, 1, 5, 12, tzinfo=UTC)
    for name in ("good", "late", "mars"):
        schedules.add_schedule(Schedule(name, "0 3 * * *", "UTC", REQUEST, moment))
    with database.write() as connection:
        connection.execute(update(SCHEDULES).where(SCHEDULES.c.name == "mars").values(zone="Mars/X"))
        later = REQUEST.to_json().replace('"train"', '"dream"')
        connection.execute(update(SCHEDULES).where(SCHEDULES.c.name == "late").values(request=later))
    faults: dict[str, str] = {}
    ((schedule, _),) = submit_due(schedules, moment, lambda one, error: faults.update({one.name: str(error)}))
    assert schedule.name == "good"
    assert faults.keys() == {"late", "mars"}
    assert "a job is to run 'dream'" in faults["late"]
    broken = jobs.add(REQUEST)
    with database.write() as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == broken.id).values(request="{"))
    assert [str(job.request) for job in jobs.list_jobs() if job.id == broken.id] == ["unreadable"]


def test_missed_runs_of_a_schedule_are_caught_up_once(jobs: JobTable, database: Database) -> None:
    schedules, moment = ScheduleTable(database), datetime(2026, 1, 5, 12, tzinfo=UTC)
    begin = compute_next_time("0 3 * * *", "Europe/Berlin", moment)
    schedules.add_schedule(Schedule("nightly", "0 3 * * *", "Europe/Berlin", REQUEST, begin))
    assert submit_due(schedules, begin - timedelta(seconds=1), refuse) == []
    (stale,) = schedules.list_schedules()
    later = begin + timedelta(days=30)
    ((schedule, number),) = submit_due(schedules, later, refuse)
    assert (schedule.name, jobs.get(number).schedule) == ("nightly", "nightly")
    assert schedules.submit_due(stale, later) is None, "another worker did so"
    (again,) = schedules.list_schedules()
    assert again.next_at == begin + timedelta(days=31)
    assert submit_due(schedules, later, refuse) == []
    with pytest.raises(UserError, match="there is a schedule"):
        schedules.add_schedule(again)
    schedules.remove_schedule("nightly")
    with pytest.raises(UnknownTaskError, match="no schedule"):
        schedules.remove_schedule("nightly")


@pytest.mark.slow
def test_what_a_sleeping_worker_and_its_process_have_locked_holds_up_no_take_over() -> None:
    url = new_database()
    attempt = AttemptId(JobTable(Database(url)).add(REQUEST).id, 1)
    process, worker = Database(url, session=name_attempt_session(attempt)), Database(url, session=name_worker_session("w1"))
    jobs, workers = JobTable(Database(url)), WorkerTable(Database(url, session=name_worker_session("w2")))
    WorkerTable(worker).register("w1")
    assert jobs.claim(attempt, "w1") is not None
    under_way = ExitStack()
    under_way.enter_context(AttemptFence(process, attempt).hold())
    beating = under_way.enter_context(worker.write())
    beating.execute(update(WORKERS).where(WORKERS.c.id == "w1").values(beats=7))
    (lost,) = workers.remove("w1", "asleep.")
    assert lost.attempt == attempt
    newest = AttemptId(attempt.job, jobs.get(attempt.job).attempt + 1)
    assert jobs.claim(newest, "w2") is not None
    with pytest.raises(StorageError):
        under_way.close()
    assert workers.remove("w2", "it was stopped.")[0].attempt == newest, "its own sessions stay"
    with Database(url).read() as connection:
        assert connection.execute(select(JOBS.c.state)).scalar_one() == "waiting"
