"""Several processes on one study: the result is whole, whatever dies, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.postgres import database_url
from tests.searches import part_of
from tests.toy import toy

from epic22.adapters.search_processes import SearchProcesses
from epic22.adapters.studies import StudyDatabase, StudyFiles
from epic22.bootstrap.tuning import build_tuning
from epic22.cli.train import train_features
from epic22.config import Settings
from epic22.core.errors import InternalError, UserError
from epic22.core.models.catalog import get_family
from epic22.core.selection.budget import Budget, Deadline
from epic22.core.selection.search import search
from epic22.core.selection.search_result import SearchResult
from epic22.core.selection.trials import SearchConfig
from epic22.features.catalog import FEATURES
from epic22.services.tune import Tuning
from epic22.spec.training_spec import build_spec

FAMILIES = (get_family("linear"), get_family("boosting"))


def searched(
    place: StudyFiles | StudyDatabase,
    trials: int,
    scratch: Path,
    progress: Callable[[list[int]], None] = lambda process_ids: None,
    clock: Deadline = Deadline(None),
    families: Any = FAMILIES,
) -> SearchResult:
    started: list[int] = []
    part = part_of(toy("binary", 200))
    config = SearchConfig(families, Budget(trials, None if clock.end is None else 8.0))
    study = place.open("shared", "run", part.name, config.build_study_config(part.data.metric, 0, shared=True))
    workers = SearchProcesses(2, place, scratch, "shared", "run", started.append)
    found = search(part, config, study, clock, lambda: progress(started), workers)
    assert all(not _alive(pid) for pid in started)
    return found


@pytest.mark.parametrize(
    ("setting", "option"),
    [
        ({"processes": 2}, "--processes"),
        ({"row_ms": 2.0}, "--row-ms"),
        ({"prune": False}, "--prune"),
        ({"nested": False}, "--nested"),
        ({"search_family": ["linear"]}, "--search-family"),
        ({"sampling": "grid"}, "--sampling"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_setting_of_a_search_is_refused_where_there_is_none(
    setting: dict[str, Any], option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"{option}: only with a search; give --trials"):
        build_tuning(Settings.read(), build_spec(**setting))


def test_processes_on_a_grid_are_refused_and_several_are_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path))
    with pytest.raises(UserError, match="grid"):
        build_tuning(Settings.read(), build_spec(trials=3, sampling="grid", processes=2))
    assert build_tuning(Settings.read(), build_spec()) is None
    shared = build_tuning(Settings.read(), build_spec(trials=3, processes=2))
    assert shared is not None
    assert "another model" in shared.warnings[0]
    assert Tuning(Budget(3)).warnings == ()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["files", "database"])
def test_processes_together_make_as_many_trials_as_allowed_and_hand_their_models_over(kept: str, tmp_path: Path) -> None:
    home = tmp_path / "studies"
    place = StudyFiles(home) if kept == "files" else StudyDatabase(database_url(), home)
    found = searched(place, 8, tmp_path / "scratch")
    assert len(found.trials) == 8
    assert len({str(trial.params) for trial in found.trials}) == 8
    assert [dict(start) for start in FAMILIES[1].initial_points[:2]] == [
        dict(t.params) for t in found.trials if dict(t.params) in [dict(s) for s in FAMILIES[1].initial_points[:2]]
    ]
    X = found.fitted_fold.preprocessor.transform(toy("binary", 200).examples.X)
    assert np.isfinite(found.fitted_fold.estimator.decision_function(X)).all()
    assert list((tmp_path / "scratch").iterdir()) == []
    place.claim("shared", "run")
    place.remove_claimed("shared")


@pytest.mark.slow
def test_a_process_that_dies_takes_its_own_trial_with_it_and_no_more(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_one(process_ids: list[int]) -> None:
        if not killed:
            killed.append(process_ids[0])
            os.kill(process_ids[0], signal.SIGKILL)

    assert len(searched(StudyFiles(tmp_path / "studies"), 8, tmp_path / "scratch", kill_one).trials) == 8
    assert killed


@pytest.mark.slow
def test_where_all_die_it_is_told_with_the_last_words(tmp_path: Path) -> None:
    unknown = replace(FAMILIES[0], name="unheard-of")
    with pytest.raises(InternalError, match=r"all 2 processes of the search died.*unheard-of"):
        searched(StudyFiles(tmp_path / "studies"), 4, tmp_path / "scratch", families=(unknown,))


@pytest.mark.slow
def test_time_that_is_up_ends_all_processes(tmp_path: Path) -> None:
    clock = Deadline(time.monotonic() + 8.0)
    found = searched(StudyFiles(tmp_path / "studies"), 10_000, tmp_path / "scratch", clock=clock)
    assert 1 <= len(found.trials) < 10_000


@pytest.mark.slow
def test_a_killed_parent_leaves_no_process_behind(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from epic22.adapters.studies import StudyFiles\n"
        "from tests.integration.test_search_processes import searched\n"
        "home = Path(sys.argv[1])\n"
        "searched(StudyFiles(home / 'studies'), 10_000, home / 'scratch', lambda process_ids: print(*process_ids, flush=True))\n"
    )
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )
    assert parent.stdout is not None
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait(30)
    parent.stdout.close()
    for _ in range(200):
        if not any(_running(pid) for pid in workers):
            break
        time.sleep(0.05)
    assert not any(_running(pid) for pid in workers)


def _running(pid: int) -> bool:
    """Whether it runs; what has ended and nobody has asked for yet does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z" if Path("/proc").is_dir() else _alive(pid)
    except FileNotFoundError:
        return False


def test_a_time_limit_is_shared_by_all_features_and_what_one_does_not_need_goes_to_those_that_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPIC22_HOME", str(tmp_path))
    left = list[float]()
    monkeypatch.setattr("epic22.bootstrap.train_feature", lambda *given: left.append(given[-1].tuning.deadline.remaining))
    for name in ("print_result", "explain_refusal"):
        monkeypatch.setattr(f"epic22.cli.train.{name}", lambda *_: [])
    train_features("all", build_spec(time_limit=1e6), None, None, False)
    assert len(left) == len(FEATURES)
    assert [one / left[-1] for one in left] == pytest.approx([1 / n for n in range(len(left), 0, -1)], rel=1e-2)
