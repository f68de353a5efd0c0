"""A table above the memory cap from the file to the answer: the same bundle, report and lineage as any other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from deltalake import write_deltalake
from tests.unit.test_large_table import table

from epic22.adapters.scratch import scratch_folder
from epic22.bootstrap import TrainingResult, assemble, predict_file, train_file
from epic22.config import Settings, parse_memory
from epic22.core.errors import LakeError, UserError
from epic22.services.training_run import RowRun
from epic22.spec.training_spec import build_spec

pytestmark = pytest.mark.usefixtures("blank_pictures")

Result = TrainingResult[RowRun]

LITTLE, MUCH = 1, 1 << 40


def trained(home: Path, path: Path, cap: int, **options: Any) -> Result:
    """A training under a memory cap."""
    return train_file(assemble(Settings(home, 1, memory_cap=cap)), build_spec(csv=path, task="toy", **{"label": "y", **options}))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy rows with a time."""
    path = tmp_path_factory.mktemp("large") / "toy.parquet"
    table(900, timed=True).drop("who").write_parquet(path)
    return path


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A capped training and its home."""
    home = tmp_path_factory.mktemp("home")
    return trained(home, file, LITTLE, time="at"), home


@pytest.mark.slow
def test_of_families_that_are_named_no_other_takes_part_in_batches(file: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, file, LITTLE, time="at", families=("linear",)).run
    assert {one.family for one in run.leaderboard} == {"constant", "linear"}


@pytest.mark.slow
def test_a_capped_training_says_what_it_did_otherwise(finished: tuple[Result, Path]) -> None:
    run = finished[0].run
    told = " ".join(run.notes)
    assert "Trained a batch at a time" in told
    assert "quantised on disk" in told
    assert "Not done at this size: tuning beyond three shapes" in told
    assert {e.family for e in run.leaderboard} == {"constant", "linear", "boosting"}
    assert run.plan.strategy == "walk_forward"
    assert run.n_rows == 900
    assert any(e is run.champion for e in run.leaderboard)
    assert run.explanation is not None
    assert run.verdicts[0].against == "constant"
    assert run.verdicts[0].better
    assert all(s.low <= s.value <= s.high for s in run.champion.scores)
    assert "900 rows." in finished[0].report.read_text()


@pytest.mark.slow
def test_a_capped_model_answers_like_any_other(finished: tuple[Result, Path], file: Path) -> None:
    parts = assemble(Settings(finished[1], 1))
    predicted = predict_file(parts, "toy", file)
    version, answers = predicted.model, predicted.predictions
    assert version.model_hash == finished[0].run.version.model_hash
    assert len(answers) == 900
    assert not list((finished[1] / "scratch").iterdir())


@pytest.mark.slow
def test_the_same_hash_twice_and_with_other_blocks(
    finished: tuple[Result, Path], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epic22.core.data.large_table.BLOCK_CELLS", 350)
    again = trained(tmp_path, file, LITTLE, time="at")
    assert again.run.version.model_hash == finished[0].run.version.model_hash
    assert again.run.data_version == finished[0].run.data_version


@pytest.mark.slow
def test_scores_are_near_those_of_a_table_that_fits(finished: tuple[Result, Path], file: Path, tmp_path: Path) -> None:
    whole = trained(tmp_path, file, MUCH, time="at", folds=3)
    assert not any("batch at a time" in note for note in whole.run.notes)
    for family in ("constant", "linear"):
        ours, theirs = (next(e for e in r.leaderboard if e.family == family) for r in (finished[0].run, whole.run))
        assert ours.score("log_loss").value == pytest.approx(theirs.score("log_loss").value, rel=1e-9)
    ours, theirs = (next(e for e in r.leaderboard if e.family == "boosting") for r in (finished[0].run, whole.run))
    assert ours.score("log_loss").value == pytest.approx(theirs.score("log_loss").value, rel=0.1)


@pytest.mark.slow
def test_values_and_classes_of_a_csv_are_learned_too(tmp_path: Path) -> None:
    frame = table(400).with_columns(y=pl.col("load") * 3 + pl.col("count"))
    frame.write_csv(tmp_path / "values.csv")
    run = trained(tmp_path / "a", tmp_path / "values.csv", LITTLE).run
    assert run.task.target.kind == "regression"
    assert run.verdicts[0].better
    assert run.bundle.interval is not None
    grades = ["low" if value < 0 else "mid" if value < 5 else "high" for value in frame["y"]]
    frame.with_columns(y=pl.Series(grades)).write_csv(tmp_path / "classes.csv")
    run = trained(tmp_path / "a", tmp_path / "classes.csv", LITTLE, seed=1).run
    assert run.task.target.kind == "multiclass"
    assert run.verdicts[0].better


@pytest.mark.slow
def test_a_delta_table_is_always_read_in_batches(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    for part in table(400).iter_slices(150):
        write_deltalake(folder, part, mode="append")
    run = trained(tmp_path / "home", folder, MUCH).run
    assert run.n_rows == 400
    assert len(run.data_version.sources) == 3


def test_a_delta_table_without_rows_is_refused(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "rows", table(10).clear())
    with pytest.raises(LakeError, match="without rows"):
        trained(tmp_path / "home", tmp_path / "rows", MUCH)


def test_a_test_file_is_refused_above_the_cap(file: Path, tmp_path: Path) -> None:
    asked = build_spec(csv=file, label="y", time=("at",), test=file)
    with pytest.raises(UserError, match="--holdout-from"):
        train_file(assemble(Settings(tmp_path, 1, memory_cap=LITTLE)), asked)


@pytest.mark.parametrize(("text", "found"), [("4GB", 4_000_000_000), ("512 MiB", 1 << 29), ("1.5gb", 1_500_000_000), ("77", 77)])
def test_amounts_of_memory_are_read(text: str, found: int) -> None:
    assert parse_memory(text, "--memory-cap") == found


@pytest.mark.parametrize("text", ["much", "0", "-1GB", "4 GBs", ""])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--memory-cap is"):
        parse_memory(text, "--memory-cap")


def test_the_cap_is_a_share_of_the_machine_unless_set(tmp_path: Path) -> None:
    assert Settings.read({"EPIC22_HOME": str(tmp_path)}).memory_cap == parse_memory("50%", "")
    assert Settings.read({"EPIC22_HOME": str(tmp_path), "EPIC22_MEMORY_CAP": "2GB"}).memory_cap == 2_000_000_000


def test_scratch_that_nobody_holds_is_removed(tmp_path: Path) -> None:
    dead = tmp_path / "train-dead"
    dead.mkdir()
    (dead / ".lock").touch()
    (dead / "rows.f32").write_bytes(b"1234")
    with scratch_folder(tmp_path) as living, scratch_folder(tmp_path) as other:
        assert not dead.exists()
        assert living.exists()
        assert other.exists()
    assert not list(tmp_path.iterdir())


TRAIN = [sys.executable, "-c", "from epic22.cli.main import run; run()", "train", "--label", "y", "--memory-cap", "1MB"]


@pytest.mark.slow
def test_a_killed_training_leaves_no_half_written_model_and_no_scratch_for_long(tmp_path: Path) -> None:
    table(20_000).write_parquet(tmp_path / "t.parquet")
    home = tmp_path / "home"
    environment = {**os.environ, "EPIC22_HOME": str(home)}
    training = subprocess.Popen([*TRAIN, "--csv", str(tmp_path / "t.parquet")], env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(home.glob("scratch/*/quantised*")) and time.monotonic() < until:
        time.sleep(0.02)
    training.send_signal(signal.SIGKILL)
    training.wait(60)
    left = list(home.glob("scratch/train-*"))
    assert len(left) == 1
    assert not list(home.glob("models/*/*/version.json"))
    table(300).write_parquet(tmp_path / "t.parquet")
    trained(home, tmp_path / "t.parquet", LITTLE)
    assert not left[0].exists()


MEASURE = """
import sys
from pathlib import Path
import pyarrow.csv, pyarrow.parquet, scipy.stats, xgboost
from epic22.core.data.batches import open_batches
from epic22.spec.training_spec import build_spec
from epic22.spec.flat_file import load_task_data
from epic22.spec.large_file import load_batched_task_data

def peak():
    # Not ru_maxrss: a process inherits that of the one that started it.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

spec, before = build_spec(csv=sys.argv[1], label="y"), peak()
if sys.argv[2] == "whole":
    made = load_task_data(spec).examples()
else:
    made = load_batched_task_data(spec, open_batches(spec.path), Path(sys.argv[3]))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_reading_in_batches_takes_a_fraction_of_the_memory(tmp_path: Path) -> None:
    """The peak of resident memory above the imports, Arrow's and NumPy's bytes included; in a process each."""
    rows, rng = 600_000, np.random.default_rng(0)
    frame = pl.DataFrame({f"x{j}": rng.normal(size=rows) for j in range(16)} | {"y": rng.integers(0, 2, rows)})
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=100_000)
    peak = {}
    for way in ("whole", "batches"):
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "t.parquet"), way, str(tmp_path)]
        peak[way] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak["batches"] < 0.65 * peak["whole"]
