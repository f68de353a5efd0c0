"""`epic22 submit`, `jobs`, `schedule` and `work`, as a user types them."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import insert, update
from tests.shell import Shell
from tests.small_tables import small_tables

from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.job_events import JobEventTable
from epic22.adapters.metadata.jobs import JobTable
from epic22.adapters.metadata.schema import JOB_VERSIONS, JOBS
from epic22.adapters.model_store import ModelStore
from epic22.bootstrap import assemble, find_due, load_retraining_plan, open_job_stores
from epic22.bootstrap.jobs import open_worker_parts
from epic22.bootstrap.jobs_database import open_jobs_database
from epic22.config import Settings
from epic22.core.errors import StoreAwayError
from epic22.core.job import AttemptId, JobRecord, JobRequest, NextStep
from epic22.core.job_ports import JobRecords
from epic22.core.progress import Noted
from epic22.core.schedule import Schedule
from epic22.services.work import Worker


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


@pytest.fixture
def jobs(shell: Shell) -> JobTable:
    return JobTable(open_jobs_database(Settings(shell.home, 1)))


def test_a_job_is_submitted_listed_shown_cancelled_and_tried_again(shell: Shell, jobs: JobTable) -> None:
    code, out, err = shell(
        "submit", "--priority", "2", "--memory", "4GB", "--threads", "3", "train", "tenant_churn", "--trials", "2"
    )
    assert (code, err) == (0, "")
    assert "Job 1: train tenant_churn --trials 2; 3 threads, priority 2." in out
    expected = JobRequest("train", ("tenant_churn", "--trials", "2"), shell.folder, 3, 2, 4_000_000_000)
    assert jobs.get(1).request == expected
    assert shell.json("jobs", "list")[0]["state"] == "waiting"
    assert "at most 4 GB of memory" in shell("jobs", "show", "1")[1]
    assert shell("jobs", "cancel", "1")[0] == 0
    assert shell("jobs", "cancel", "1")[2] == "epic22: job 1 is cancelled already.\n"
    assert shell("jobs", "watch", "1")[0] == 1
    assert shell("jobs", "retry", "1")[0] == 0
    assert jobs.get(1).state == "waiting"
    jobs.claim(AttemptId(1, jobs.get(1).attempt + 1), "w")
    shown = shell.json("jobs", "show", "1")
    assert shown["job"]["attempt"] == len(shown["attempts"]) == 1
    assert "running: attempt 1, since " in shell("jobs", "show", "1")[1]


def test_how_a_job_stands_is_one_sentence(shell: Shell, jobs: JobTable) -> None:
    shell("submit", "train", "tenant_churn")
    assert shell("jobs", "show", "1")[1].splitlines()[1] == "waiting."
    jobs.claim(AttemptId(1, 1), "w")
    assert shell("jobs", "show", "1")[1].splitlines()[1].startswith("running: attempt 1, since ")
    jobs.settle(AttemptId(1, 1), NextStep("dead", "no such column; did you mean 'boiler'?", 1))
    assert shell("jobs", "show", "1")[1].splitlines()[1] == "dead: no such column; did you mean 'boiler'?"
    jobs.retry(1)
    number = jobs.get(1).attempt + 1
    jobs.claim(AttemptId(1, number), "w")
    jobs.settle(AttemptId(1, number), NextStep("done", "", 0))
    assert re.fullmatch(r"done in \d+\.\d s\.", shell("jobs", "show", "1")[1].splitlines()[1])


def test_a_job_is_shown_as_it_can_be_typed_again(shell: Shell) -> None:
    (shell.folder / "my boilers.csv").write_text("a,y\n1,0\n")
    out = shell("submit", "train", "--csv", "my boilers.csv", "--label", "y")[1]
    assert "Job 1: train --csv 'my boilers.csv' --label y; " in out


def plan(shell: Shell, options: str) -> None:
    shell.home.mkdir(exist_ok=True)
    text = f"tasks: {{tenant_churn: {{quality: warn, options: {options}}}}}"
    (shell.home / "retraining.yaml").write_text(text)


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--replay", "30")])
def test_options_of_a_plan_that_no_training_takes_are_one_sentence_and_no_job(
    shell: Shell, jobs: JobTable, words: tuple[str, ...]
) -> None:
    plan(shell, "[--colour, red]")
    code, out, err = shell("retrain", *words)
    assert (code, out) == (2, "")
    assert err.startswith("epic22: the plan's tasks.tenant_churn.options: No such option: --colour")
    assert err.count("\n") == 1
    plan(shell, "[--override-reason, because]")
    assert "options: --override-reason needs a person's key" in shell("retrain", *words)[2]
    assert "options: --override-reason needs a person's key" in shell("submit", "retrain", *words)[2]
    assert jobs.list_jobs() == ()


def test_a_plan_that_has_a_task_twice_or_nothing_is_one_sentence(shell: Shell) -> None:
    shell.home.mkdir()
    file = shell.home / "retraining.yaml"
    file.write_text("tasks:\n  tenant_churn: {quality: warn}\n  tenant_churn: {new_rows: 5%}\n")
    code, _, err = shell("retrain", "--dry-run")
    assert (code, err) == (2, f"epic22: {file}: not readable as YAML: line 3 has the key 'tenant_churn' once more.\n")
    file.write_text("tasks:\n")
    assert shell("retrain")[2].endswith("tasks: expected a record of names and values, found nothing.\n")


def test_a_training_that_dies_is_not_submitted_more_often_than_the_plan_says(shell: Shell, jobs: JobTable) -> None:
    plan(shell, "[--trials, 5]")
    for number in (1, 2):
        assert f"job {number} trains it" in shell("retrain")[1]
        assert jobs.claim(AttemptId(number, 1), "w") is not None
        jobs.settle(AttemptId(number, 1), NextStep("dead", "no data version.", 1))
    assert "trained 2 times in seven days, of which 2 died (at most 2)" in " ".join(shell("retrain")[1].split())
    assert len(jobs.list_jobs()) == 2


def test_a_job_that_died_after_it_registered_a_version_is_one_training(shell: Shell, jobs: JobTable) -> None:
    plan(shell, "[--trials, 5]")
    shell("submit", "train", "tenant_churn")
    assert jobs.claim(AttemptId(1, 1), "w") is not None
    with jobs.database.write() as connection:
        connection.execute(insert(JOB_VERSIONS).values(job=1, task="tenant_churn", version="1", is_decided=False))
    jobs.settle(AttemptId(1, 1), NextStep("dead", "its memory limit is 600 MB.", 1))
    bundle = shell.folder / "bundle"
    bundle.mkdir()
    ModelStore(shell.home / "models").save("tenant_churn", "linear", "a" * 64, "v0", "provisional", bundle)
    out = " ".join(shell("models", "list")[1].split())
    assert "tenant_churn version 1 was registered, and nothing was decided of it: its training ended before that" in out
    (shell.home / "retraining.yaml").write_text("at_most_per_week: 2\ntasks: {tenant_churn: {schedule: '* * * * *'}}")
    moment = datetime.now(UTC) + timedelta(minutes=2)
    components = assemble(Settings(shell.home, 1))
    (due,) = find_due(components, load_retraining_plan(components, None), moment)
    assert not due.is_held_back


def test_a_version_that_a_dead_job_left_undecided_is_no_training_to_a_trigger(shell: Shell, jobs: JobTable) -> None:
    shell("submit", "train", "tenant_churn")
    assert jobs.claim(AttemptId(1, 1), "w") is not None
    with jobs.database.write() as connection:
        connection.execute(insert(JOB_VERSIONS).values(job=1, task="tenant_churn", version="1", is_decided=False))
    jobs.settle(AttemptId(1, 1), NextStep("dead", "its memory limit is 600 MB.", 1))
    bundle, store = shell.folder / "bundle", ModelStore(shell.home / "models")
    bundle.mkdir()
    store.save("tenant_churn", "linear", "a" * 64, "v0", "provisional", bundle)
    (shell.home / "retraining.yaml").write_text("at_most_per_week: 1\ntasks: {tenant_churn: {schedule: '0 0 29 2 *'}}")
    (due,) = shell.json("retrain", "--dry-run")
    assert due["reason"] == "it was never trained"
    assert due["held_back"].startswith("trained 1 times in seven days (at most 1)")
    store.promote("tenant_churn", "1", ())
    assert shell.json("retrain", "--dry-run") == [], "a person promoted it"


MISTAKES = [
    (("submit", "train"), "names no task"),
    (("submit", "train", "tenant_chrn"), "there is no feature 'tenant_chrn'"),
    (("submit", "train", "--csv", "away.csv", "--label", "y"), "away.csv: no such file"),
    (("submit", "train", "tenant_churn", "--override-reason", "because"), "needs a person's key"),
    (("submit", "train", "tenant_churn", "--label", "y"), "--label: only with a table of your own"),
    (("submit", "ingest"), "nothing to ingest"),
    (("submit", "ingest", ".", "--follow"), "never ends"),
    (("submit", "ingest", "--source", "postgresql://me:secret@host/erp"), "env:NAME"),
    (("submit", "ingest", "--source", "postgresql://host/erp?user=me&password=secret", "--mapping", "platform-a"), "env:NAME"),
    (("submit", "ingest", "--source", "https://host/rows?page=1&api_key=secret", "--mapping", "platform-a"), "password or key"),
    (("submit", "ingest", "--source", "mysql://me:se/cret@host/erp", "--mapping", "platform-a"), "env:NAME"),
    (("submit", "predict", "nope", "--portfolio"), "no feature 'nope'; there are predictive_maintenance"),
    (("submit", "predict", "tenant_churn", "--at", "2024-06-01"), "--at goes with --portfolio"),
    (("submit", "predict", "tenant_churn", "--portfolio", "--at", "soon"), "--at"),
    (("submit", "predict", "tenant_churn", "--portfolio", "--out", "answers.txt"), "--out answers.txt: answers are written as"),
    (("submit", "retrain"), "retraining.yaml: there is no plan"),
    (("submit", "retrain", "--plan", "absent.yaml"), "absent.yaml: no such file"),
    (("schedule", "add", "--name", "a", "--cron", "0 3 * * 1", "retrain"), "retraining.yaml: there is no plan"),
    (("submit", "serve"), "does not carry out 'serve'"),
    (("submit", "--memory", "5MB", "train", "tenant_churn"), "--memory is 5 MB"),
    (("submit", "--memory", "much", "train", "tenant_churn"), "--memory is 'much'"),
    (("submit", "--priority", "0", "train", "tenant_churn"), "--priority is 0"),
    (("submit", "--memory", "1KB", "train", "tenant_churn"), "--memory is 1 kB; a process takes up to 537 MB"),
    (("jobs", "show", "7"), "there is no job 7"),
    (("jobs", "cancel", "9" * 30), f"there is no job {'9' * 30}"),
    (("jobs", "watch", "9" * 30), f"there is no job {'9' * 30}"),
    (("jobs", "logs", "7"), "there is no job 7"),
    (("schedule", "add", "--name", "a", "--cron", "0 0 30 2 *", "train", "tenant_churn"), "never fires"),
    (("schedule", "add", "--name", "a", "--cron", "0 3 * * 1", "--zone", "Mars", "train", "tenant_churn"), "no time zone 'Mars'"),
    (
        ("schedule", "add", "--name", "a", "--cron", "0 3 * * 1", "--zone", "localtime", "train", "tenant_churn"),
        "another on every machine",
    ),
    (("schedule", "add", "--name", "A b", "--cron", "0 3 * * 1", "train", "tenant_churn"), "--name is 'A b'"),
    (("schedule", "add", "--name", "a", "--cron", "0 3 * * 1", "train"), "names no task"),
    (("schedule", "remove", "a"), "there is no schedule 'a'"),
]


@pytest.mark.parametrize(("words", "says"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_sentence_and_nothing_is_stored(shell: Shell, jobs: JobTable, words: tuple[str, ...], says: str) -> None:
    code, out, err = shell(*words)
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith("epic22: ")
    assert err.count("\n") == 1
    assert "secret" not in err
    assert jobs.list_jobs() == ()


def test_an_option_that_a_verb_has_not_is_said_when_the_job_is_submitted(shell: Shell, jobs: JobTable) -> None:
    code, _, err = shell("submit", "train", "tenant_churn", "--colour", "red")
    assert code == 2
    assert "--colour" in err
    assert jobs.list_jobs() == ()


@pytest.mark.parametrize("words", [("submit",), ("submit", "--priority", "2"), ("schedule", "add", "--name", "a")])
def test_the_help_of_a_verb_that_is_submitted_names_the_options_of_the_verb(shell: Shell, words: tuple[str, ...]) -> None:
    code, out, err = shell(*words, "train", "--help")
    assert (code, err) == (0, "")
    assert "--label" in out
    assert "--priority" not in out
    assert "--priority" in shell(*words, "--help")[1]


def test_a_schedule_is_added_listed_and_removed(shell: Shell) -> None:
    words = ("--name", "weekly", "--cron", "0 3 * * 1", "--zone", "Europe/Berlin", "train", "tenant_churn")
    code, out, err = shell("schedule", "add", *words)
    assert (code, err) == (0, "")
    assert "Europe/Berlin" in out
    (schedule,) = shell.json("schedule", "list")
    assert (schedule["name"], schedule["cron"], schedule["request"]["verb"]) == ("weekly", "0 3 * * 1", "train")
    assert "there is a schedule 'weekly'" in shell("schedule", "add", *words)[2]
    assert shell("schedule", "remove", "weekly")[0] == 0
    assert shell.json("schedule", "list") == []


def test_a_schedule_whose_time_zone_is_not_known_here_keeps_no_other_out_of_the_list(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines that share a database do not all know the same zones."""
    monkeypatch.setenv("COLUMNS", "200")
    shell("schedule", "add", "--name", "weekly", "--cron", "0 3 * * 1", "--zone", "Europe/Berlin", "train", "tenant_churn")
    request, at = JobRequest("train", ("tenant_churn",), shell.folder, 1), datetime(2027, 1, 4, 3, tzinfo=UTC)
    open_job_stores(Settings.read()).schedules.add_schedule(Schedule("other", "0 3 * * 1", "Europe/Nowhere", request, at))
    code, out, err = shell("schedule", "list")
    assert (code, err) == (0, "")
    assert "Europe/Berlin" in out
    assert "2027-01-04 03:00 UTC (Europe/Nowhere is not known here)" in out


def test_a_store_is_not_copied_while_a_job_runs_and_takes_the_jobs_with_it(shell: Shell, jobs: JobTable, tmp_path: Path) -> None:
    shell("submit", "train", "tenant_churn")
    shell("submit", "train", "tenant_churn")
    shell("schedule", "add", "--name", "weekly", "--cron", "0 3 * * 1", "train", "tenant_churn")
    assert jobs.claim(AttemptId(1, 1), "w") is not None
    begun = JobEventTable(jobs.database)
    begun.append(AttemptId(1, 1), [(datetime.now(UTC), Noted("it begins"))])
    address = f"sqlite:///{tmp_path}/shared/metadata.sqlite"
    code, _, err = shell("store", "copy", "--to", address)
    assert code == 2
    assert "job 1 runs" in err
    assert not (tmp_path / "shared").exists()
    jobs.cancel(1)
    assert shell.json("store", "copy", "--to", address)["jobs"] == {"copied": 2, "present": 0}
    assert shell.json("store", "copy", "--to", address)["jobs"] == {"copied": 0, "present": 2}
    assert JobEventTable(Database(address)).read(1) == begun.read(1) != ()
    shell.monkeypatch.setenv("EPIC22_DATABASE_URL", address)
    assert [(job["id"], job["state"]) for job in shell.json("jobs", "list")] == [(2, "waiting"), (1, "cancelled")]
    assert shell.json("store", "status")["jobs"] == 2
    shell("submit", "train", "tenant_churn")
    assert shell.json("jobs", "list")[0]["id"] == 3
    assert "other jobs or schedules are there" in shell("store", "copy", "--to", str(shell.home))[2]


@pytest.mark.slow
def test_a_worker_ingests_what_was_submitted_and_ends_when_no_job_is_left(shell: Shell) -> None:
    folder = shell.folder / "tables"
    folder.mkdir()
    for name, frame in small_tables().items():
        frame.drop("known_at", strict=False).write_csv(folder / f"{name}.csv")
    shell("submit", "ingest", "tables")
    shell("submit", "train", "tenant_churn", "--data", "99")
    code, out, err = shell("work", "--until-idle")
    assert code == 0, err
    assert "job 1: done." in out
    assert "job 2: dead: " in out
    assert shell.json("data", "log")
    assert "Data version 1" in shell("jobs", "logs", "1")[1]
    assert json.loads(json.dumps(shell.json("jobs", "show", "2")))["attempts"][0]["outcome"].startswith("no data version")


def test_a_job_of_an_unknown_verb_is_dead_with_the_reason_and_the_next_one_runs(shell: Shell, jobs: JobTable) -> None:
    planted = jobs.add(JobRequest("train", ("tenant_churn", "--data", "99"), shell.folder, 1))
    request = planted.request.to_json().replace('"train"', '"serve"')
    with jobs.database.write() as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == planted.id).values(request=request))
    shell("submit", "train", "tenant_churn", "--data", "98")
    code, out, err = shell("work", "--until-idle")
    assert code == 0, err
    assert "job 1: dead: a job is to run 'serve'; give one of train" in out
    assert "job 2: dead: no data version" in out


def test_a_training_that_waits_is_seen_by_a_trigger_whatever_its_options(shell: Shell, jobs: JobTable) -> None:
    plan(shell, "[--trials, 5]")
    shell("submit", "train", "--trials", "5", "tenant_churn")
    shell("retrain")
    assert len(jobs.list_jobs()) == 1


def test_a_worker_whose_database_is_away_at_the_start_says_so_in_one_sentence(shell: Shell) -> None:
    shell.monkeypatch.setenv("EPIC22_DATABASE_URL", "postgresql://me@127.0.0.1:9/nowhere")
    code, _, err = shell("work", "--once")
    assert code == 2
    assert "EPIC22_DATABASE_URL: no connection to 127.0.0.1/nowhere" in err
    assert err.count("\n") == 1


ON_A_FILE = [
    ("jobs", "list"),
    ("submit", "train", "tenant_churn"),
    ("schedule", "list"),
    ("models",),
    ("runs", "list"),
    ("data", "log"),
    ("predict", "toy", "rows.csv"),
]


@pytest.mark.parametrize("words", ON_A_FILE, ids=[" ".join(words) for words in ON_A_FILE])
@pytest.mark.parametrize("below", [False, True])
def test_a_home_that_is_a_file_is_one_sentence(shell: Shell, words: tuple[str, ...], below: bool) -> None:
    home = shell.home / "below" if below else shell.home
    shell.home.write_text("no folder")
    shell.monkeypatch.setenv("EPIC22_HOME", str(home))
    says = f"epic22: EPIC22_HOME is {home}, and {shell.home} is a file; name a folder, or move the file away.\n"
    assert shell(*words) == (2, "", says)


def test_a_worker_says_which_jobs_wait_for_another_version(shell: Shell, jobs: JobTable) -> None:
    JobTable(jobs.database, "0.0.9").add(JobRequest("train", ("tenant_churn",), shell.folder, 1))
    code, _, err = shell("work", "--once")
    assert code == 0
    assert "1 jobs wait for a worker of epic22 0.0.9" in err


class AwayOnce:
    """The records of jobs, in a database that is away when they are first listed."""

    def __init__(self, records: JobRecords) -> None:
        self.records, self.calls = records, 0

    def list_jobs(self, *arguments: Any) -> tuple[JobRecord, ...]:
        self.calls += 1
        if self.calls == 1:
            raise StoreAwayError("no connection")
        return self.records.list_jobs(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.records, name)


def test_a_worker_that_looks_whether_it_is_idle_outlives_a_database_that_is_away(shell: Shell) -> None:
    parts = open_worker_parts(Settings.read(), "w1")
    records = AwayOnce(parts.records)
    Worker("w1", replace(parts, records=cast("JobRecords", records)), lambda text: None).work(until_idle=True)
    assert records.calls == 2
