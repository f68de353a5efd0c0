"""What every place that keeps studies must hold: in memory, in journal files, in PostgreSQL."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage
from tests.postgres import database_url, new_database
from tests.searches import FAMILIES, part_of
from tests.toy import toy

from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.config import Settings
from epic22.core.errors import UserError
from epic22.core.ports import StudyStore
from epic22.core.selection.budget import Budget
from epic22.core.selection.search import search
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.study import Study, StudyConfig
from epic22.core.selection.trials import SearchConfig


@dataclass
class InMemory:
    """Studies that live as long as this object."""

    storages: dict[tuple[str, str], Any] = field(default_factory=dict)

    def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
        return Study(config, self.storages.setdefault((task, digest), InMemoryStorage()), part)

    def claim(self, task: str, digest: str) -> None:
        """Nobody else sees this memory."""

    def remove(self, task: str, digest: str) -> None:
        self.storages.pop((task, digest), None)


@pytest.fixture(params=["memory", "files", "database"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StudyStore:
    if request.param == "memory":
        return InMemory()
    if request.param == "files":
        return StudyFiles(tmp_path / "studies")
    # A server is shared by tests: each has tasks of its own.
    return StudyDatabase(database_url(), tmp_path / "studies")


def opened(place: StudyStore, task: str, part: str = "all", digest: str = "run") -> Study:
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
    place.remove("interrupted", "run")


@pytest.mark.slow
def test_what_is_forgotten_begins_anew_and_leaves_nothing(place: StudyStore, tmp_path: Path) -> None:
    searched(2, place, "forgotten")
    opened(place, "forgotten", "kept", digest="another run")
    place.remove("forgotten", "run")
    assert opened(place, "forgotten", digest="run").trials == ()
    place.remove("forgotten", "run")
    place.remove("forgotten", "another run")
    assert not list((tmp_path / "studies").glob("*")) or not list((tmp_path / "studies").iterdir())


@pytest.mark.slow
def test_two_studies_are_apart(place: StudyStore) -> None:
    searched(2, place, "apart")
    assert opened(place, "apart", "another part").trials == ()
    assert opened(place, "another task").trials == ()
    for task in ("apart", "another task"):
        place.remove(task, "run")


def test_a_last_line_that_was_half_written_is_cut_off(tmp_path: Path) -> None:
    place = StudyFiles(tmp_path)
    study = opened(place, "torn")
    asked = study.ask()
    journal = tmp_path / "torn" / "run" / "all.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"work')
    assert opened(place, "torn").trials == ()
    assert opened(place, "torn").ask() == asked


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
        other.remove("shared", "another run")
    finally:
        first.kill()
        first.communicate()
    place = StudyFiles(tmp_path)
    place.claim("shared", "run")
    place.remove("shared", "run")
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
    first.remove("shared", "run")
    second.claim("shared", "run")
    for digest in ("run", "another run"):
        second.remove("shared", digest)


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
