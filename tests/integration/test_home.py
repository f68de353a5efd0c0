"""EPIC22_HOME as people treat it: used by several processes at once, killed, moved, full, read-only, damaged by hand."""

import ctypes
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.shell import Shell
from tests.trained import trained

from epic22.adapters.home import refuse_unwritable_home, translate_storage_faults
from epic22.adapters.model_store import ModelStore
from epic22.adapters.tracking.mlflow import MlflowTracker
from epic22.adapters.tracking.mlflow_store import MlflowStore
from epic22.bootstrap import assemble
from epic22.bootstrap.promotion import promote_version
from epic22.config import Settings
from epic22.core.errors import BundleError, StorageError
from epic22.core.evaluation.held_out import HeldOutPredictions, VersionEvaluation
from epic22.core.lineage import DataVersion, ModelVersion
from epic22.core.run_record import FamilyRecord, RunRecord
from epic22.core.statistics import Interval
from epic22.services.challenge import open_serving_model

pytestmark = pytest.mark.usefixtures("blank_pictures")

ROOT = Path(__file__).parents[2]

LOG_A_RUN = "import sys; from pathlib import Path; from tests.integration.test_home import log_run; log_run(Path(sys.argv[1]), 1)"

STOP_BEFORE_THE_STORE_IS_THERE = """
import signal, sys
sys.addaudithook(
    lambda event, values: signal.raise_signal(signal.SIGSTOP) if event == "os.rename" and "mlflow.db" in str(values[1]) else None
)
"""


def log_run(home: Path, number: int) -> MlflowTracker:
    """The tracker of a home that has written a training of the toy task down."""
    bundle, report = home.parent / "bundle", home.parent / "report.html"
    bundle.mkdir(exist_ok=True)
    (bundle / "model.json").write_text("{}")
    report.write_text("<html></html>")
    version = ModelVersion("toy", str(number), "linear", "a" * 64, "v0", "proven", "2024-01-01T00:00:00+00:00")
    board = (FamilyRecord("linear", {"auc": (0.8, 0.7, 0.9)}, {}, 1.0, 0.1),)
    tracker = MlflowTracker(MlflowStore(home))
    tracker.prepare()
    tracker.log_run(RunRecord(version, DataVersion("v0", ()), {"seed": "0"}, board, bundle, report, {}))
    tracker.mark_versions(version.task, version.version, None)
    return tracker


def start_log_run(home: Path, before: str = "") -> "subprocess.Popen[str]":
    """A process that does the same after the lines `before`."""
    command = [sys.executable, "-c", before + LOG_A_RUN, str(home)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def list_runs(home: Path) -> list[str]:
    """The finished runs of a home's database."""
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM runs WHERE status = 'FINISHED' ORDER BY name")]


@pytest.mark.slow
def test_two_first_trainings_at_once_are_both_written_down(tmp_path: Path) -> None:
    processes = [start_log_run(tmp_path / "home") for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert list_runs(tmp_path / "home") == ["linear", "linear", "toy v1", "toy v1"]


@pytest.mark.slow
def test_a_kill_while_the_store_is_first_made_leaves_none_and_the_next_training_makes_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = start_log_run(home, STOP_BEFORE_THE_STORE_IS_THERE)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.communicate()
    assert list(home.glob(".mlflow-new-*.db")), "the store is made aside"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (home / "mlflow.db").exists()
    log_run(home, 1)
    assert list_runs(home) == ["linear", "toy v1"]
    assert not list(home.glob(".mlflow-new-*")), "what the killed process left is gone"


@pytest.mark.parametrize("damage", ["half made", "empty", "no database"])
def test_a_store_that_was_never_whole_is_set_aside_and_said(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MlflowStore(tmp_path)
    tracker = MlflowTracker(store)
    if damage == "half made":
        with closing(sqlite3.connect(store.database)) as connection:
            connection.execute("CREATE TABLE guardrails (id TEXT)")
    else:
        store.database.write_bytes(b"" if damage == "empty" else b"not a database" * 100)
    before = store.database.read_bytes()
    tracker.prepare()
    assert not store.database.exists()
    assert (tmp_path / "mlflow.db.damaged-1").read_bytes() == before
    assert "mlflow.db.damaged-1" in capsys.readouterr().err


@pytest.mark.slow
def test_every_home_of_a_process_has_a_store_of_its_own_with_all_its_places_inside(tmp_path: Path) -> None:
    homes = [tmp_path / "first", tmp_path / "second"]
    for home in homes:
        log_run(home, 1)
    log_run(homes[0], 2)
    assert [list_runs(home) for home in homes] == [["linear", "linear", "toy v1", "toy v2"], ["linear", "toy v1"]]
    for home in homes:
        with closing(sqlite3.connect(home / "mlflow.db")) as connection:
            places = [place for (place,) in connection.execute("SELECT artifact_location FROM experiments")]
        assert len(places) == 2
        assert all(place.startswith(f"{home.as_uri()}/") for place in places)


@pytest.mark.slow
def test_a_moved_home_keeps_everything_inside_itself(tmp_path: Path) -> None:
    before, after = tmp_path / "old höme", tmp_path / "100% new? höme"
    log_run(before, 1)
    before.rename(after)
    tracker = log_run(after, 2)
    assert not before.exists(), "the old place is not made again"
    assert list_runs(after) == ["linear", "linear", "toy v1", "toy v2"]
    client = tracker._client()
    versions = client.search_model_versions("name = 'toy'")
    assert len(versions) == 2
    for version in versions:
        assert str(version.source).startswith(after.as_uri())
        assert [file.path for file in client.list_artifacts(str(version.run_id))] == ["model", "report.html"]


@pytest.mark.slow
def test_a_store_of_an_earlier_mlflow_is_upgraded_in_a_copy_and_kept(tmp_path: Path) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    tables: Any = import_module("mlflow.store.db.utils")
    home = tmp_path / "home"
    home.mkdir()
    engine = tables.create_sqlalchemy_engine(f"sqlite:///{home / 'mlflow.db'}")
    tables.InitialBase.metadata.create_all(engine)
    config = tables._get_alembic_config(str(engine.url))
    earlier = ScriptDirectory.from_config(config).get_revision("head").down_revision
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, str(earlier))
    engine.dispose()
    with closing(sqlite3.connect(home / "mlflow.db")) as old:
        old.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'old', 'active')")
        old.execute("INSERT INTO runs (run_uuid, name, status, experiment_id) VALUES ('a', 'a run of before', 'FINISHED', 7)")
        old.commit()
    log_run(home, 1)
    assert list_runs(home) == ["a run of before", "linear", "toy v1"]
    assert (home / "mlflow.db.before-1").exists()


def test_a_home_below_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written \(.*set EPIC22_HOME to a folder"):
        refuse_unwritable_home(tmp_path / "file" / "home")


def test_a_home_without_room_for_the_table_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="MB free, this work may need 2,000,000,0"):
        refuse_unwritable_home(tmp_path / "home", 10**15)
    assert list(tmp_path.iterdir()) == [], "the probe leaves nothing, and a home is not made to be refused"


def test_what_a_disk_refuses_midway_is_a_sentence_and_other_errors_pass(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    full = pytest.raises(StorageError, match=r"home or the folder .*: the disk is full; nothing half-written was left")
    with full, translate_storage_faults(tmp_path / "home"), Path("/dev/full").open("wb", buffering=0) as stream:
        stream.write(b"x")
    with pytest.raises(ZeroDivisionError), translate_storage_faults(tmp_path / "home"):
        raise ZeroDivisionError


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


def write_table(folder: Path) -> Path:
    """Eighty rows of two numbers and a label that they tell."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 80)).round(3)
    path = folder / "boilers.csv"
    labels = np.where(a + rng.normal(0, 0.5, 80) > 0, "yes", "no")
    pl.DataFrame({"a": a, "b": b, "y": labels}).write_csv(path)
    return path


def list_options(folder: Path) -> tuple[str, ...]:
    return ("--csv", str(folder / "boilers.csv"), "--label", "y", "--task", "boilers", "--folds", "2", "--repeats", "1")


def train_on_small_disk(folder: Path, home: Path, limit: int) -> "subprocess.CompletedProcess[str]":
    """A real training in a process of its own; `limit` is the size that a file may have, as on a disk that fills up."""
    # The limit would hold for what coverage writes of that process too.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    def restrict() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-c", "from epic22.cli.main import run; run()", "train", *list_options(folder)],
        env={**unmeasured, "EPIC22_HOME": str(home)},
        preexec_fn=restrict,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_the_next_training_heals_an_empty_pointer_and_a_disk_that_filled_up(tmp_path: Path, shell: Shell) -> None:
    write_table(tmp_path)
    filled = train_on_small_disk(tmp_path, shell.home, limit=40_000)  # less than the model's report
    assert filled.returncode == 2, filled.stderr
    assert filled.stderr.splitlines()[-1].startswith("epic22: ")
    assert "Traceback" not in filled.stderr
    left = {path.name for path in (shell.home / "models").glob("boilers/*")}
    assert left <= {".champion.lock"}, "nothing half-written is left"
    shutil.copytree(trained(tmp_path / "other")[1].root, shell.home / "models", dirs_exist_ok=True)
    (shell.home / "models" / "boilers").mkdir(exist_ok=True)
    (shell.home / "models" / "boilers" / "champion.json").write_text("")
    code, out, err = shell("models")
    assert code == 0
    assert "toy" in out
    assert "task boilers" in err
    assert "train again" in err
    code, _, err = shell("train", *list_options(tmp_path))
    assert code == 0, err
    assert ModelStore(shell.home / "models").load("boilers").version.version == "1"
    code, out, err = shell("models")
    assert (code, err) == (0, "")


@pytest.mark.slow
def test_where_only_the_tracking_finds_no_room_the_training_is_whole_and_the_next_one_tracks_it(
    tmp_path: Path, shell: Shell
) -> None:
    write_table(tmp_path)
    filled = train_on_small_disk(tmp_path, shell.home, limit=200_000)  # more than the model's report, less than MLflow's tables
    assert filled.returncode == 0, filled.stderr
    assert "Traceback" not in filled.stderr
    assert ModelStore(shell.home / "models").load("boilers").version.version == "1"
    waiting = list((shell.home / "untracked-runs").glob("boilers-1-*.zip"))
    assert len(waiting) == 1
    assert waiting[0].name in filled.stderr
    code, _, err = shell("train", *list_options(tmp_path), "--seed", "1")
    assert code == 0, err
    assert not list((shell.home / "untracked-runs").glob("*.zip"))
    code, _, err = shell("models")
    assert (code, err) == (0, "")


def test_a_broken_task_is_named_and_hides_no_other(tmp_path: Path, shell: Shell) -> None:
    store = trained(shell.home)[1]
    for name, pointer in (("empty", ""), ("garbled", '{"version": '), ("gone", '{"version": "7"}'), ("list", "[1]")):
        (store.root / name).mkdir()
        (store.root / name / "champion.json").write_text(pointer)
    code, out, err = shell("models")
    assert code == 0
    assert "toy" in out
    assert [line.split(":")[1] for line in err.splitlines()] == [" task empty", " task garbled", " task gone", " task list"]
    assert all("train again" in line for line in err.splitlines())
    assert [model["champion"] for model in shell.json("models")] == [True]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_held_out_predictions_cut_anywhere_are_named_and_the_version_is_compared_with_nothing(
    tmp_path: Path, share: float
) -> None:
    store = trained(tmp_path)[1]
    held_out = HeldOutPredictions(("wear",), np.arange(50, dtype=np.uint64), np.linspace(0, 1, 50), True)
    store.save_evaluation("toy", "1", VersionEvaluation("roc_auc", Interval(0.8, 0.7, 0.9), 50), held_out)
    path = store.folder("toy", "1") / "held_out.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match="not readable as held-out predictions"):
        store.load_held_out("toy", "1")
    serving = open_serving_model(store, "toy")
    assert serving is not None
    assert serving.held_out is None


def test_a_persons_own_copies_in_the_home_are_no_tasks_and_no_versions(tmp_path: Path, shell: Shell) -> None:
    store = trained(shell.home)[1]
    for name in ("toy.bak", "Toy 2"):
        shutil.copytree(store.root / "toy", store.root / name)
    shutil.copytree(store.folder("toy", "1"), store.root / "toy" / "1-before")
    assert store.list_tasks() == ("toy",)
    code, out, err = shell("models")
    assert (code, err) == (0, "")
    assert "toy.bak" not in out


@pytest.mark.slow
def test_a_pointer_that_was_emptied_is_mended_by_promoting_the_version_that_served(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    (store.root / "toy" / "champion.json").write_text("")
    with pytest.raises(
        BundleError, match=r"champion\.json: not readable as JSON; let a version serve by 'epic22 promote toy VERSION'"
    ):
        store.champion("toy")
    assert promote_version(assemble(Settings(tmp_path, 1)), "toy", "1", "its pointer was emptied").version == "1"
    assert store.champion("toy").version == "1"


def test_a_task_or_version_copied_to_another_name_is_named_and_never_answers_under_it(tmp_path: Path, shell: Shell) -> None:
    store = trained(shell.home)[1]
    shutil.copytree(store.root / "toy", store.root / "toy-copy")
    shutil.copytree(store.folder("toy", "1"), store.folder("toy", "7"))
    code, _, err = shell("models")
    assert code == 0
    assert len(err.splitlines()) == 2
    assert "7/version.json: is version 1 of task toy, copied or moved here by hand" in err
    assert "toy-copy/1/version.json: is version 1 of task toy, copied" in err
    with pytest.raises(BundleError, match="copied or moved here by hand; remove the copy, or move it back"):
        store.load("toy-copy")
    assert [(model["task"], model["version"]) for model in shell.json("models")] == [("toy", "1")]


@pytest.mark.parametrize("name", ["bundle/manifest.json", "bundle/preprocessing.json", "held_out.npz", "evaluation.json"])
def test_a_champion_whose_bundle_is_damaged_is_named_among_the_models(tmp_path: Path, shell: Shell, name: str) -> None:
    store = trained(shell.home)[1]
    (store.folder("toy", "1") / name).write_text("")
    code, out, err = shell("models")
    assert code == 0
    assert "champion" in out
    assert "task toy" in err
    assert "train again" in err


@pytest.mark.parametrize(
    "name", ["champion.json", "promotions.jsonl", "1/version.json", "1/evaluation.json", "1/lineage.json", "1/explanation.json"]
)
@pytest.mark.parametrize("content", ["[" * 100_000, '{"version": [[]]}', "\x00"])
def test_no_file_of_a_task_whatever_it_holds_ends_in_a_traceback(tmp_path: Path, shell: Shell, name: str, content: str) -> None:
    store = trained(shell.home)[1]
    (store.root / "toy" / name).write_text(content)
    for arguments in (("models",), ("explain", "toy"), ("lineage", "toy")):
        assert shell(*arguments)[0] in (0, 2)


def drop_right_to_everything() -> None:
    """Take from root what lets it read and write whatever it likes: between a process and the program it becomes."""
    if os.geteuid() == 0:
        drop_capability, overrides = 24, (1, 2)
        for capability in overrides:
            ctypes.CDLL(None).prctl(drop_capability, capability, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="root can only be kept from files on Linux")
@pytest.mark.parametrize(
    "closed", ["toy", "toy/1", "toy/champion.json", "toy/promotions.jsonl", "toy/1/version.json", "toy/1/bundle"]
)
def test_a_task_that_this_user_may_not_read_is_named_and_hides_no_other(tmp_path: Path, closed: str) -> None:
    store = trained(tmp_path / "home")[1]
    bundle = store.folder("toy", "1") / "bundle"
    store.promote("other", store.save("other", "constant", "a" * 64, "v0", "proven", bundle).version, ())
    (store.root / closed).chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from epic22.cli.main import run; run()", "models", "--json"],
            env={**os.environ, "EPIC22_HOME": str(tmp_path / "home")},
            preexec_fn=drop_right_to_everything,
            capture_output=True,
            text=True,
        )
    finally:
        (store.root / closed).chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert "other" in [model["task"] for model in json.loads(done.stdout)]
    assert "epic22: task toy: " in done.stderr
    assert "right to" in done.stderr


def test_a_version_whose_folder_was_removed_leaves_its_number_to_nobody(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    (version,) = store.list_versions("toy")
    bundle = shutil.copytree(store.folder("toy", "1") / "bundle", tmp_path / "bundle")
    shutil.rmtree(store.folder("toy", "1"))
    assert store.find_champion("toy") is None
    again = store.save("toy", version.family, version.model_hash, version.data_version, version.status, bundle)
    assert again.version == "2"
    store.promote("toy", "2", ())
    assert store.champion("toy") == again


def test_a_version_that_cannot_be_read_hides_no_other_version(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    shutil.copytree(store.folder("toy", "1"), store.folder("toy", "2"))
    (store.folder("toy", "2") / "version.json").write_text("{}")
    assert [version.version for version in store.list_versions("toy")] == ["1"]
    (fault,) = store.list_faults("toy")
    assert "does not describe a model version" in fault
    assert store.load("toy").version.version == "1"


@pytest.mark.slow
def test_a_lock_that_is_waited_for_is_named_after_a_second_and_none_that_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ModelStore(tmp_path / "models")
    waits = Thread(target=lambda: store.lock_champion("toy").__enter__(), daemon=True)
    with store.lock_champion("toy"):
        waits.start()
        waits.join(2.0)
        assert waits.is_alive()
    waits.join(60.0)
    assert not waits.is_alive()
    with MlflowStore(tmp_path).lock():
        time.sleep(1.5)
    assert capsys.readouterr().err == "waiting until another process has ended: a training or promotion of task toy …\n"


def test_a_folder_in_the_place_of_the_pointer_is_set_aside_and_of_another_file_named(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    for name in ("champion.json", ".champion.lock"):
        (store.root / "toy" / name).unlink(missing_ok=True)
        (store.root / "toy" / name).mkdir()
    (store.root / "toy" / "champion.json" / "note.txt").write_text("mine")
    assert store.find_champion("toy") is None
    store.promote("toy", "1", ())
    assert store.champion("toy").version == "1"
    (aside,) = (store.root / "toy").glob("champion.json.damaged-*")
    assert (aside / "note.txt").read_text() == "mine"
    named = pytest.raises(StorageError, match=r"\.champion\.lock: a folder lies where a file belongs; move it away")
    with named, translate_storage_faults(tmp_path), store.lock_champion("toy"):
        raise AssertionError


def test_a_promotion_by_hand_that_the_home_refuses_names_the_place(tmp_path: Path) -> None:
    run, store = trained(tmp_path)
    store.save("toy", "linear", run.version.model_hash, "v0", "proven", store.folder("toy", "1") / "bundle")
    (store.root / "toy" / ".champion.lock").unlink(missing_ok=True)
    (store.root / "toy" / ".champion.lock").mkdir()
    with pytest.raises(StorageError, match=r"\.champion\.lock: a folder lies where a file belongs; move it away"):
        promote_version(assemble(Settings(tmp_path, 1)), "toy", "2", "it served well")
    assert store.champion("toy").version == "1"


@pytest.mark.parametrize("name", ["models", "models/toy"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    named = pytest.raises(StorageError, match="a file lies where a folder belongs; move it away")
    with named, translate_storage_faults(tmp_path), ModelStore(tmp_path / "models").lock_champion("toy"):
        raise AssertionError


def test_a_tracking_database_that_cannot_be_opened_is_named_before_the_training(tmp_path: Path) -> None:
    store = MlflowStore(tmp_path)
    tracker = MlflowTracker(store)
    store.database.mkdir()
    with pytest.raises(StorageError, match=r"mlflow\.db: this user has no right to it; .* move it away: a new one is made"):
        tracker.prepare()


def test_a_discarded_version_is_gone_whole(tmp_path: Path) -> None:
    store = trained(tmp_path)[1]
    shutil.copytree(store.folder("toy", "1"), store.folder("toy", "2"))
    store.discard("toy", "2")
    assert sorted(path.name for path in (store.root / "toy").iterdir()) == ["1", "champion.json", "promotions.jsonl"]


def test_a_home_that_is_removed_meanwhile_is_said_and_other_missing_files_are_not_blamed_on_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(StorageError, match="was removed from EPIC22_HOME"), translate_storage_faults(home):
        (home / "models" / "toy" / "report.html").write_text("")
    home.mkdir()
    for missing in (home / "absent.json", tmp_path / "elsewhere" / "absent.json"):
        with pytest.raises(FileNotFoundError), translate_storage_faults(home):
            missing.read_text()


@pytest.mark.parametrize("name", ["models", "mlflow-artifacts"])
def test_a_file_in_the_place_of_models_or_runs_is_named_before_the_work(tmp_path: Path, shell: Shell, name: str) -> None:
    shell.home.mkdir(exist_ok=True)
    (shell.home / name).write_text("")
    code, _, err = shell("train", "--csv", str(tmp_path / "absent.csv"), "--label", "y")
    assert code == 2
    assert f"{name}: a file lies where a folder belongs; move it away and do it again." in err


def test_a_link_to_a_folder_that_is_gone_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(tmp_path / "gone")
    with pytest.raises(StorageError, match="models: a file lies where a folder belongs"):
        refuse_unwritable_home(tmp_path, folders=("models", "scratch"))
    (tmp_path / "gone").mkdir()
    refuse_unwritable_home(tmp_path, folders=("models", "scratch"))
    assert {path.name for path in tmp_path.iterdir()} == {"models", "gone"}, "a folder that is not there yet is not made"
