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

ARCHITECTURES = ("mlp", "lstm", "transformer", "cnn")
GROUPS = [(name,) for name in ARCHITECTURES] if MOMENTS >= 10 else [ARCHITECTURES]
"""What is trained one after another while it is killed: in the suite all, so that few processes are started."""

TRAINING = """
import hashlib, sys, time
from pathlib import Path
import numpy as np
import epic22.core.models.networks.training as training
from epic22.core.models.loss import Loss
from epic22.core.models.networks.checkpoint import Pace, keep_checkpoints
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.specification import (
    ConvolutionLayers, LstmLayers, MlpLayers, NetworkColumns, NetworkSpec, TransformerLayers,
)
from epic22.core.models.networks.training_process import train_network_rows
from epic22.core.progress import Noted, Progress, follow_inner_work

def tell(event):
    if isinstance(event, Noted):
        print(event.text, file=sys.stderr, flush=True)

# Graphs follow from weights, and take longer than these trainings.
training.export_score_graph = lambda spec: b""
training.check_graph = lambda *_: None
training.bind_weights = lambda graph, weights: b"".join(weights[name].tobytes() for name in sorted(weights))
folder, names = Path(sys.argv[1]), sys.argv[2:]
rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 24)).astype(np.float32)
X[rng.random(X.shape) < 0.05] = np.nan
y = (np.nan_to_num(X[:, 4] * X[:, 23]) + rng.normal(size=3000) > 0).astype(np.float64)
steps = tuple((4 + 2 * step, 5 + 2 * step) for step in range(10))
layers = {"mlp": MlpLayers(width=64), "lstm": LstmLayers(), "transformer": TransformerLayers(), "cnn": ConvolutionLayers()}
began = time.monotonic()
with keep_checkpoints(folder, PACE), follow_inner_work(Progress(tell)):
    for name in names:
        columns = NetworkColumns(tuple(range(24)) if name == "mlp" else (0, 1, 2, 3), steps=() if name == "mlp" else steps)
        spec = NetworkSpec(columns, layers[name], 1, "log_odds")
        job = TrainingJob(spec, "binary", Loss(), TrainingSettings(3, 32, schedule="one_cycle"), 1)
        trained = train_network_rows(job, NetworkRows(X[:2500], y[:2500]), NetworkRows(X[2500:], y[2500:]), lambda: False)
        print(name, hashlib.sha256(trained.score_graph).hexdigest(), trained.losses)
print(time.monotonic() - began)
""".replace("PACE", PACE)


def start_training(folder: Path, names: tuple[str, ...]) -> "subprocess.Popen[str]":
    """Trainings in a process of its own."""
    with folder.with_suffix(".said").open("a") as said:
        return subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(folder), *names], stdout=subprocess.PIPE, stderr=said, text=True
        )


def read_checkpoints(folder: Path) -> dict[Path, int]:
    """When each was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def finish(training: "subprocess.Popen[str]") -> tuple[str, float]:
    """What it answered, and how long its trainings took."""
    answer, _ = training.communicate(timeout=300)
    assert training.returncode == 0
    lines, _, seconds = answer.strip().rpartition("\n")
    return lines, float(seconds)


@pytest.mark.parametrize("names", GROUPS, ids="-".join)
def test_a_training_killed_at_random_moments_ends_with_the_undisturbed_bytes(names: tuple[str, ...], tmp_path: Path) -> None:
    undisturbed, working = finish(start_training(tmp_path / "undisturbed", names))
    chance, folder, kills = random.Random(0), tmp_path / "killed", 0
    for _ in range(MOMENTS):
        before, training = read_checkpoints(folder), start_training(folder, names)
        # It is killed some time after it has written how far it is.
        while read_checkpoints(folder) == before and training.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.random() * working / (MOMENTS + 1))
        training.send_signal(signal.SIGKILL)
        training.communicate()
        kills += training.returncode == -signal.SIGKILL
    assert finish(start_training(folder, names))[0] == undisturbed
    assert kills >= max(1, MOMENTS // 2), "most kills came too late to be a test"
    assert folder.with_suffix(".said").read_text().count("goes on in epoch") >= max(1, kills // 2)
    assert list(folder.glob("*.safetensors")) == []


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
