"""kill -9 at random moments of a network's training: started again it ends with the same bytes, and leaves nothing behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.slow

MOMENTS = int(os.environ.get("EPIC22_KILL_MOMENTS", "2"))
"""How often each training is killed; `make kills` does it 10 times."""

PACE = "Pace(first=0.1, between_epochs=0.1, inside_epoch=0.1, writing_share=1.0)"
"""Checkpoints in the middle of epochs, though these are short."""

TRAINING = """
import hashlib, sys
from pathlib import Path
import numpy as np
import epic22.core.models.networks.training
from epic22.core.models.loss import Loss
from epic22.core.models.networks.checkpoint import Pace, keep_checkpoints
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.specification import MlpLayers, NetworkColumns, NetworkSpec
from epic22.core.models.networks.training_process import train_network_rows
from epic22.core.progress import Noted, Progress, follow_inner_work

def tell(event):
    if isinstance(event, Noted):
        print(event.text, file=sys.stderr, flush=True)

rng = np.random.default_rng(0)
X = rng.normal(size=(6000, 6)).astype(np.float32)
y = (X[:, 0] * X[:, 1] + rng.normal(size=6000) > 0).astype(np.float64)
spec = NetworkSpec(NetworkColumns(tuple(range(6))), MlpLayers(width=64), 1, "log_odds")
job = TrainingJob(spec, "binary", Loss(), TrainingSettings(6, 32, schedule="one_cycle"), 1)
print("begin", flush=True)
with keep_checkpoints(Path(sys.argv[1]), PACE), follow_inner_work(Progress(tell)):
    trained = train_network_rows(job, NetworkRows(X[:5000], y[:5000]), NetworkRows(X[5000:], y[5000:]), lambda: False)
print(hashlib.sha256(trained.score_graph + trained.reason_graph).hexdigest(), trained.losses)
""".replace("PACE", PACE)


def start_training(folder: Path) -> "subprocess.Popen[str]":
    """A training in a process of its own, just begun."""
    with folder.with_suffix(".said").open("a") as said:
        training = subprocess.Popen([sys.executable, "-c", TRAINING, str(folder)], stdout=subprocess.PIPE, stderr=said, text=True)
    assert training.stdout is not None
    assert training.stdout.readline() == "begin\n", folder.with_suffix(".said").read_text()
    return training


def finish(training: "subprocess.Popen[str]") -> str:
    answer, _ = training.communicate(timeout=300)
    assert training.returncode == 0
    return answer


def test_a_training_killed_at_random_moments_ends_with_the_undisturbed_bytes(tmp_path: Path) -> None:
    began = time.monotonic()
    undisturbed = finish(start_training(tmp_path / "undisturbed"))
    working = time.monotonic() - began
    chance, folder, kills = random.Random(0), tmp_path / "killed", 0
    training = start_training(folder)
    for _ in range(MOMENTS):
        time.sleep(chance.random() * 0.6 * working / (MOMENTS + 1))
        training.send_signal(signal.SIGKILL)
        training.communicate()
        kills += training.returncode == -signal.SIGKILL
        training = start_training(folder)
    assert finish(training) == undisturbed
    assert kills >= max(1, MOMENTS // 2), "most kills came too late to be a test"
    assert folder.with_suffix(".said").read_text().count("goes on in epoch") >= max(1, kills // 2)
    assert list(folder.iterdir()) == [] or all(path.name.startswith(".") for path in folder.iterdir())


COMMAND = """
from functools import partial
import epic22.bootstrap.training as training
from epic22.adapters.checkpoints import open_checkpoints
from epic22.cli.main import run
from epic22.core.models.networks.checkpoint import Pace
training.open_checkpoints = partial(open_checkpoints, pace=PACE)
run()
""".replace("PACE", PACE)


def start_command(folder: Path, home: Path) -> "subprocess.Popen[bytes]":
    """`epic22 train` with a network, in a process of its own; what it answers goes to a file beside its home."""
    asked = ["train", "--csv", str(folder / "rows.csv"), "--label", "label", "--task", "killed", "--folds", "2", "--json"]
    with home.with_suffix(".answer").open("wb") as answer, home.with_suffix(".said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *asked, "--families", "mlp"],
            env=os.environ | {"EPIC22_HOME": str(home), "EPIC22_THREADS": "1"},
            stdout=answer,
            stderr=said,
        )


def read_answer(home: Path) -> Any:
    return json.loads(home.with_suffix(".answer").read_text())


@pytest.mark.skipif(MOMENTS < 10, reason="three whole trainings of a minute: `make kills` makes them")
def test_a_race_with_a_network_that_was_killed_ends_with_the_undisturbed_model(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    X = chance.normal(size=(400, 3))
    frame = pl.DataFrame(X, schema=["humidity", "load", "wear"])
    frame = frame.with_columns(label=(4 * X[:, 0] * X[:, 1] + chance.logistic(size=400) > 0).astype(np.int64))
    frame.write_csv(tmp_path / "rows.csv")
    for home in (tmp_path / "undisturbed", tmp_path / "killed"):
        command = start_command(tmp_path, home)
        if home.name == "killed":
            while len(list((home / "checkpoints").glob("*.safetensors"))) < 2 and command.poll() is None:
                time.sleep(0.005)
            command.send_signal(signal.SIGKILL)
            assert command.wait(60) == -signal.SIGKILL
            command = start_command(tmp_path, home)
        assert command.wait(300) == 0, home.with_suffix(".said").read_text()
        assert not (home / "checkpoints").exists()
    answers = [read_answer(tmp_path / name) for name in ("undisturbed", "killed")]
    assert answers[0]["champion"]["family"] == "mlp", "the network must be what is compared"
    assert answers[1]["model_hash"] == answers[0]["model_hash"]
    assert [one["metrics"] for one in answers[1]["leaderboard"]] == [one["metrics"] for one in answers[0]["leaderboard"]]
    assert "goes on in epoch" in (tmp_path / "killed.said").read_text()
