"""What every place that keeps studies must hold: in memory, in journal files, in PostgreSQL."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from optuna.storages import InMemoryStorage
from tests.postgres import database_url, new_database
from tests.searches import FAMILIES, part_of, plan
from tests.tcp_postgres import TcpPostgres
from tests.toy import toy

from epic22.adapters.abandoned import ABANDONED_SECONDS
from epic22.adapters.studies import StudyDatabase, StudyFiles, remove_abandoned_studies
from epic22.config import Settings
from epic22.core.errors import StorageError, UserError
from epic22.core.evaluation.crossval import make_default_recipe
from epic22.core.experiment import Experiment
from epic22.core.ports import StudyStore
from epic22.core.progress import Progress, ProgressEvent, WorkAdvanced
from epic22.core.selection.budget import Budget
from epic22.core.selection.search import search
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import Study, StudyConfig, Trial
from epic22.core.selection.trials import SearchConfig
from epic22.services.tune import NestedSearch, SearchBackend, Tuning


@dataclass
class InMemory:
    """Studies that live as long as this object."""

    storages: dict[tuple[str, str], Any] = field(default_factory=dict)

    def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
        return Study(config, self.storages.setdefault((task, digest), InMemoryStorage()), part)

    def claim(self, task: str, digest: str) -> None:
        """Nobody else sees this memory."""

    def translate_faults(self) -> AbstractContextManager[None]:
        return nullcontext()

    def release(self) -> None:
        """Nothing is claimed."""

    def remove_claimed(self, task: str) -> None:
        for name, digest in list(self.storages):
            if name == task:
                del self.storages[name, digest]


@pytest.fixture(params=["memory", "files", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StudyStore:
    if request.param == "memory":
        return InMemory()
    if request.param == "files":
        return StudyFiles(tmp_path / "studies")
    # A server is shared by tests: each has tasks of its own.
    return StudyDatabase(database_url(), tmp_path / "studies")


def opened(place: StudyStore, task: str, part: str = "all", digest: str = "run") -> Study:
    place.claim(task, digest)
    return place.open(task, digest, part, StudyConfig(FAMILIES, True))


def searched(trials: int, place: StudyStore, task: str) -> SearchResult:
    part = part_of(toy("binary", 200), threads=1)
    return search(part, SearchConfig(FAMILIES, Budget(trials)), opened(place, task, part.name))


def undisturbed(trials: int) -> SearchResult:
    return searched(trials, InMemory(), "undisturbed")


@pytest.mark.slow
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(place: StudyStore) -> None:
    parts: list[str] = []

    class Noting(InMemory):
        def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
            parts.append(part)
            return place.open(task, digest, part, config)

    whole = undisturbed(13)
    searched(11, Noting(), "interrupted")
    # A trial that was under way when the process was killed: asked for, never told.
    opened(place, "interrupted", parts[0]).ask()
    resumed = searched(13, place, "interrupted")
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in whole.trials]
    assert [trial.fold_scores for trial in resumed.trials] == [trial.fold_scores for trial in whole.trials]
    assert resumed.fitted_fold.estimator.files() == whole.fitted_fold.estimator.files()
    place.remove_claimed("interrupted")


@pytest.mark.slow
def test_what_is_forgotten_begins_anew_and_leaves_nothing(place: StudyStore, tmp_path: Path) -> None:
    searched(2, place, "forgotten")
    opened(place, "another", "kept")
    place.remove_claimed("forgotten")
    assert opened(place, "forgotten", digest="run").trials == ()
    place.remove_claimed("forgotten")
    place.remove_claimed("another")
    assert not list((tmp_path / "studies").glob("*")) or not list((tmp_path / "studies").iterdir())


@pytest.mark.slow
def test_two_studies_are_apart(place: StudyStore) -> None:
    searched(2, place, "apart")
    assert opened(place, "apart", "another part").trials == ()
    assert opened(place, "another task").trials == ()
    for task in ("apart", "another task"):
        place.remove_claimed(task)


def test_a_last_line_that_was_half_written_is_cut_off(tmp_path: Path) -> None:
    place = StudyFiles(tmp_path)
    study = opened(place, "torn")
    asked = study.ask()
    journal = tmp_path / "torn" / "run" / "all.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"work')
    assert opened(place, "torn").trials == ()
    assert opened(place, "torn").ask() == asked
    place.remove_claimed("torn")


@pytest.mark.slow
def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    place = StudyFiles(tmp_path)
    opened(place, "killed")
    held = (
        "import os, signal, sys; from pathlib import Path; from epic22.adapters.studies import _ProcessLock; "
        "_ProcessLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    journal = tmp_path / "killed" / "run" / "all.journal"
    killed = subprocess.run([sys.executable, "-c", held, str(journal)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert journal.with_suffix(".lock").exists()
    assert opened(place, "killed").ask().number == 0
    place.remove_claimed("killed")


@pytest.mark.slow
def test_a_second_command_on_a_search_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    claim = (
        "import sys; from pathlib import Path; from epic22.adapters.studies import StudyFiles; "
        "place = StudyFiles(Path(sys.argv[1])); place.claim('shared', 'run'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", claim, str(tmp_path)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        second = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        assert second.returncode
        assert b"task shared: another command is making the same search now (study run)" in second.stderr
        other = StudyFiles(tmp_path)
        other.claim("shared", "another run")
        other.remove_claimed("shared")
    finally:
        first.kill()
        first.communicate()
    place = StudyFiles(tmp_path)
    place.claim("shared", "run")
    place.remove_claimed("shared")
    assert not (tmp_path / "shared" / "run.lock").exists()


@pytest.mark.slow
def test_a_second_machine_on_a_search_is_refused_while_the_first_works_on_it(tmp_path: Path) -> None:
    url = new_database()
    first, second = StudyDatabase(url, tmp_path / "one"), StudyDatabase(url, tmp_path / "two")
    first.claim("shared", "run")
    first.claim("shared", "run")
    with pytest.raises(UserError, match=r"task shared: another command is making the same search now \(study run\)"):
        second.claim("shared", "run")
    second.claim("shared", "another run")
    opened(first, "shared")
    first.remove_claimed("shared")
    second.claim("shared", "run")
    second.remove_claimed("shared")


def test_the_password_is_never_told() -> None:
    url = "postgresql://epic22:geheim@localhost:1/epic22"
    settings = Settings.read({"EPIC22_DATABASE_URL": url})
    assert settings.database_url == url
    assert "geheim" not in repr(settings)
    place = StudyDatabase(url, Path("unused"))
    assert "geheim" not in repr(place)
    with pytest.raises(UserError, match="no connection to localhost/epic22") as refused:
        opened(place, "unreachable")
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("url", ["mysql://localhost/x", "postgresql://localhost", "postgresql://u:geheim@host:port/x", "x"])
def test_what_is_no_database_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(UserError, match="EPIC22_DATABASE_URL") as refused:
        Settings.read({"EPIC22_DATABASE_URL": url})
    assert "geheim" not in str(refused.value)


def make_trial(study: Study, number: int = 0) -> None:
    trial = Trial(number, "linear", {"penalty": 0.1 + number}, (0.5,), ({},), 0.1)
    study.save_scores(trial, np.arange(3.0))
    study.tell(trial, study.ask(number))


@pytest.fixture(params=["files", "database"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], StudyFiles | StudyDatabase]:
    """What gives a place anew, as another command has it: on this machine, or on another with the same server."""
    if request.param == "files":
        return lambda: StudyFiles(tmp_path / "studies")
    url = new_database()
    return lambda: StudyDatabase(url, tmp_path / f"machine {time.monotonic_ns()}")


def test_a_training_that_claimed_nothing_removes_no_study_of_one_that_searches(
    places: Callable[[], StudyFiles | StudyDatabase],
) -> None:
    working, other = places(), places()
    make_trial(opened(working, "shared"))
    other.claim("shared", "another run")
    other.remove_claimed("shared")
    assert len(opened(working, "shared").trials) == 1
    working.remove_claimed("shared")
    assert opened(working, "shared").trials == ()
    working.remove_claimed("shared")


def test_a_task_that_is_done_leaves_the_studies_of_another_to_go_on_from(
    places: Callable[[], StudyFiles | StudyDatabase],
) -> None:
    place = places()
    make_trial(opened(place, "failed"))
    make_trial(opened(place, "done"))
    place.remove_claimed("done")
    assert len(opened(place, "failed").trials) == 1
    place.remove_claimed("failed")


def test_of_more_trials_than_are_allowed_the_first_are_the_study(place: StudyStore) -> None:
    study = opened(place, "larger")
    for number in range(5):
        make_trial(study, number)
    smaller = place.open("larger", "run", "all", StudyConfig(FAMILIES, True, max_trials=3))
    assert smaller.trials == study.trials[:3]
    assert smaller.ask().number == 3
    place.remove_claimed("larger")


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def write_zeros(path: Path) -> None:
    path.write_bytes(bytes(len(path.read_bytes())))


@pytest.mark.parametrize("damage", [write_nothing, write_half, write_zeros])
def test_scores_that_a_power_cut_left_unreadable_are_not_there_and_are_written_again(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = StudyFiles(tmp_path)
    study = opened(place, "cut")
    make_trial(study)
    (trial,) = study.trials
    (path,) = (tmp_path / "cut" / "run" / "all").iterdir()
    damage(path)
    again = opened(place, "cut")
    assert again.load_scores(trial) is None
    assert f"{path.name} is not used, the trial is fitted again" in caplog.text
    again.save_scores(trial, np.arange(3.0))
    scores = opened(place, "cut").load_scores(trial)
    assert scores is not None
    assert scores.tolist() == [0.0, 1.0, 2.0]
    place.remove_claimed("cut")


@pytest.mark.slow
def test_a_search_whose_scores_were_cut_ends_in_the_same_model(tmp_path: Path) -> None:
    whole, place = undisturbed(4), StudyFiles(tmp_path)
    searched(4, place, "cut")
    for path in tmp_path.glob("cut/run/*/*.npy"):
        write_half(path)
    assert searched(4, place, "cut").fitted_fold.estimator.files() == whole.fitted_fold.estimator.files()
    place.remove_claimed("cut")


def test_commands_that_claim_and_remove_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    faults = list[BaseException]()

    def claim_and_remove(digest: str) -> None:
        try:
            for _ in range(400):
                place = StudyFiles(tmp_path)
                place.claim("busy", digest)
                place.remove_claimed("busy")
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    commands = [threading.Thread(target=claim_and_remove, args=(f"run {number}",)) for number in range(4)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert faults == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_studies_that_cannot_be_removed_are_logged_and_fail_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with TcpPostgres() as server:
        place = StudyDatabase(server.new_database(), tmp_path)
        make_trial(opened(place, "away"))
        server.kill()
        place.remove_claimed("away")
    assert "task away: trials that nobody goes on with were not removed: EPIC22_DATABASE_URL: no connection to" in caplog.text
    assert list(tmp_path.iterdir()) == []


def age_files(home: Path, seconds: float) -> None:
    for path in (home, *home.rglob("*")):
        os.utime(path, (time.time() - seconds,) * 2)


def test_files_of_studies_that_nobody_went_on_with_are_removed_after_two_weeks(tmp_path: Path) -> None:
    place = StudyFiles(tmp_path)
    make_trial(opened(place, "left"))
    place.claims.popitem()[1].close()
    age_files(tmp_path, ABANDONED_SECONDS - 3600)
    remove_abandoned_studies(tmp_path)
    assert len(opened(place, "left").trials) == 1
    age_files(tmp_path, ABANDONED_SECONDS + 3600)
    remove_abandoned_studies(tmp_path)
    assert len(opened(place, "left").trials) == 1, "a command works on them"
    place.claims.popitem()[1].close()
    age_files(tmp_path, ABANDONED_SECONDS + 3600)
    (tmp_path / "note.txt").write_text("not of a search")
    remove_abandoned_studies(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def age_trials(url: str, seconds: float) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            b"UPDATE epic22_optuna.trials SET datetime_start = datetime_start - make_interval(secs => %s), "
            b"datetime_complete = datetime_complete - make_interval(secs => %s)",
            (seconds, seconds),
        )


def list_studies(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [str(name) for (name,) in connection.execute("SELECT study_name FROM epic22_optuna.studies ORDER BY study_name")]


def begin_search(url: str, folder: Path) -> None:
    place = StudyDatabase(url, folder / "other")
    place.claim("other", "run")
    place.remove_claimed("other")


def test_studies_of_a_database_that_nobody_went_on_with_are_removed_after_two_weeks(tmp_path: Path) -> None:
    url = new_database()
    left, working = StudyDatabase(url, tmp_path / "one"), StudyDatabase(url, tmp_path / "two")
    make_trial(opened(left, "left"))
    left.open("left", "run", "a part without a trial", StudyConfig(FAMILIES, True, shared=True))
    left.locks.popitem()[1].close()
    make_trial(opened(working, "working"))
    age_trials(url, ABANDONED_SECONDS - 3600)
    begin_search(url, tmp_path)
    assert list_studies(url) == ["left/run/a part without a trial", "left/run/all", "working/run/all"]
    age_trials(url, 7200)
    begin_search(url, tmp_path)
    assert list_studies(url) == ["working/run/all"]
    working.remove_claimed("working")
    left.remove_claimed("left")


@pytest.mark.parametrize("kept", ["files", "database"])
def test_what_a_failed_training_claimed_is_free_for_the_next_of_the_same_process_which_goes_on_with_it(
    kept: str, tmp_path: Path
) -> None:
    failed, next_one = (StudyFiles(tmp_path) if kept == "files" else StudyDatabase(database_url(), tmp_path) for _ in range(2))
    make_trial(opened(failed, "again"))
    with pytest.raises(UserError, match="another command is making the same search now"):
        next_one.claim("again", "run")
    failed.release()
    assert len(opened(next_one, "again").trials) == 1
    next_one.remove_claimed("again")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_database_that_goes_away_amid_a_search_is_one_sentence(tmp_path: Path) -> None:
    made = toy("binary", 200)
    folds = plan(made)
    with TcpPostgres() as server:

        def stop_server(event: ProgressEvent) -> None:
            if isinstance(event, WorkAdvanced):
                server.kill()

        tuning = Tuning(Budget(6), families=("linear",), backend=SearchBackend(StudyDatabase(server.new_database(), tmp_path)))
        experiment = Experiment(made.task, made.examples, folds)
        searcher = NestedSearch(tuning, experiment, make_default_recipe, False, Progress(stop_server))
        with pytest.raises(StorageError, match="EPIC22_DATABASE_URL: no connection to"):
            searcher.search(made.examples, folds.folds[0].train)
        tuning.release_studies()


@pytest.mark.parametrize("kept", ["files", "database"])
def test_starting_points_that_a_kill_interrupted_are_tried_again(kept: str, tmp_path: Path) -> None:
    place = StudyFiles(tmp_path) if kept == "files" else StudyDatabase(new_database(), tmp_path)
    config = StudyConfig(FAMILIES, True, shared=True)
    starts = [(family.name, dict(start)) for family in FAMILIES for start in family.initial_points]

    def ask(study: Study) -> tuple[str, dict[str, Any]]:
        suggestion = study.ask()
        return suggestion.family, dict(suggestion.params)

    killed = place.open("shared", "run", "all", config)
    done = killed.ask()
    killed.tell(Trial(0, done.family, done.params, (0.5,), ({},), 0.1), done)
    under_way = [ask(killed) for _ in range(3)]
    resumed = place.open("shared", "run", "all", config)
    resumed.resume_shared()
    place.open("shared", "run", "all", config)  # one of its processes
    left = [ask(resumed) for _ in range(len(starts) - 1)]
    assert all(one in left for one in under_way)
    assert sorted(map(str, [(done.family, dict(done.params)), *left])) == sorted(map(str, starts)), "each once"
    place.release()
