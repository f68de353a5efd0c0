"""Keras' own `fit`, on TensorFlow, ends where our loop on PyTorch ends, from the same start: as near as another seed would."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from epic22.core.models.loss import Loss
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.exportable import spec_to_json
from epic22.core.models.networks.jobs import NetworkRows, TrainingJob, TrainingSettings
from epic22.core.models.networks.losses import OUTPUT_LOSSES, average_over_members
from epic22.core.models.networks.specification import NetworkSpec
from epic22.core.models.networks.training import compute_start, to_tensors
from epic22.core.models.networks.training_loop import train_network
from epic22.core.task import Array
from tests.engines.architectures import LAYERS, ROW_COLUMNS, SEQUENCE_COLUMNS, score_by_torch

SCRIPT = Path(__file__).with_name("fit_script.py")
SEEDS = range(5)
N_TRAIN = 600
Weights = dict[str, Array]
CASES = {
    "mlp": (NetworkSpec(ROW_COLUMNS, LAYERS["mlp"], 1, "log_odds"), "binary"),
    "gru": (NetworkSpec(SEQUENCE_COLUMNS, LAYERS["gru"], 1, "value"), "squared"),
}
"""A network and what its training makes small."""


class Trained(NamedTuple):
    """Weights of a network at its start, after our loop, and after Keras' fit."""

    start: Weights
    by_torch: Weights
    by_keras: Weights


def draw_table(spec: NetworkSpec, objective: str) -> tuple[Array, Array]:
    """Rows whose label depends on a number, a category and, where there are steps, on their last ones."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(1600, spec.columns.n_columns)).astype(np.float32)
    X[:, 1] = rng.integers(0, 3, len(X))
    score = 1.5 * X[:, 0] + (X[:, 1] == 1) - X[:, -1]
    X[rng.random(len(X)) < 0.1, 2] = np.nan
    noise = rng.logistic(size=len(X))
    is_positive = (score + noise > 0).astype(np.float64)
    return X, is_positive if objective == "binary" else np.asarray(score + 0.3 * noise, dtype=np.float64)


def compute_mean_loss(objective: str, scores: Array, y: Array) -> float:
    """The mean loss of rows."""
    return float(np.mean(np.logaddexp(0, scores) - y * scores if objective == "binary" else (scores - y) ** 2))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Trained]]:
    """By case what each seed's network begins with, and what it has after our loop and after Keras' fit."""
    folder = tmp_path_factory.mktemp("fits")
    begun = {name: [train_by_torch(folder / f"{name}-{seed}", *case, seed) for seed in SEEDS] for name, case in CASES.items()}
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder)], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    return {
        name: [
            Trained(start, by_torch, dict(np.load(folder / f"{name}-{seed}" / "end.npz")))
            for seed, (start, by_torch) in zip(SEEDS, pairs, strict=True)
        ]
        for name, pairs in begun.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_a_fit_from_the_same_start_reaches_the_same_score_within_the_spread_of_seeds(
    weights: dict[str, list[Trained]], name: str
) -> None:
    spec, objective = CASES[name]
    X, y = (array[N_TRAIN:] for array in draw_table(spec, objective))

    def score(network: Weights) -> float:
        return compute_mean_loss(objective, score_by_torch(spec, network, X)[:, 0], y)

    begun, by_torch, by_keras = (np.array([score(one) for one in networks]) for networks in zip(*weights[name], strict=True))
    spread = max(by_torch.std(ddof=1), by_keras.std(ddof=1))
    assert abs(by_torch.mean() - by_keras.mean()) < spread
    assert max(*by_torch, *by_keras) < begun.min() - 5 * spread, "a fit that learns nothing would pass as well"


def train_by_torch(folder: Path, spec: NetworkSpec, objective: str, seed: int) -> tuple[Weights, Weights]:
    """The weights before and after our loop; what Keras needs for the same is written into the folder."""
    X, y = (array[:N_TRAIN] for array in draw_table(spec, objective))
    job = TrainingJob(spec, objective, Loss(), TrainingSettings(12, 64, seed=seed), 1)
    torch.manual_seed(seed)
    network = build_network(spec)
    network.fit_inputs(X)
    with torch.no_grad():
        network.stack.head_bias += torch.from_numpy(compute_start(y, job).astype(np.float32))
    start = read_state(network)
    write_work(folder, job, NetworkRows(X, y), start)
    train_network(network, average_over_members(OUTPUT_LOSSES[objective](Loss())), to_tensors(NetworkRows(X, y)), job.settings)
    return start, read_state(network)


def read_state(network: torch.nn.Module) -> Weights:
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def write_work(folder: Path, job: TrainingJob, rows: NetworkRows, start: Weights) -> None:
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec_to_json(job.spec)))
    state = {"objective": job.objective, "loss": asdict(job.loss), "settings": asdict(job.settings)}
    (folder / "settings.json").write_text(json.dumps(state))
    np.savez(folder / "start.npz", **start)  # type: ignore[arg-type]
    np.savez(folder / "rows.npz", X=rows.X, y=rows.y)
