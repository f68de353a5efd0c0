"""`epic22 export --to keras --member`: each network of a panel is written by TensorFlow, and answers as in PyTorch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from epic22.adapters.model_store import ModelStore
from epic22.core.artifact.panel_model import PanelModel
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.exportable import restore_spec
from epic22.core.models.networks.keras_mirror.graph_weights import read_graph_weights
from epic22.core.models.panel.network import FAMILIES, PooledNetwork
from epic22.core.time_series import Array
from tests.engines.architectures import score_by_torch
from tests.forecast_runs import forecast_run
from tests.shell import type_command

OPEN = """
import json, sys
import keras, numpy as np
import epic22.core.models.networks.keras_mirror.layers
network = keras.saving.load_model(sys.argv[1], compile=False)
rows = np.array(json.load(open(sys.argv[1] + ".json"))["golden"]["x"], dtype=np.float32)
np.save(sys.argv[2], network.predict(rows, verbose=0))
print(keras.backend.backend())
"""
TOLERANCE = 1e-5
NAMES = [family.name for family in FAMILIES]


def draw_panel() -> Array:
    """Values (8, 110) whose growth keeps four fifths of itself each period: networks lessen the damped drift's errors."""
    rng = np.random.default_rng(2)
    growth = np.zeros((8, 110))
    for t in range(1, 110):
        growth[:, t] = 0.8 * growth[:, t - 1] + rng.normal(0, 0.01, 8)
    return np.asarray(100 * np.exp(np.cumsum(growth, axis=1)))


@pytest.fixture(scope="module", params=NAMES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PooledNetwork]:
    """The file of a network, and the forecaster that it is of."""
    folder = tmp_path_factory.mktemp("rents")
    _, store = forecast_run(folder, draw_panel(), ("naive", "drift", request.param))
    code, out, err = type_command(folder, folder, "export", "rents", "--to", "keras", "--member", request.param)
    assert code == 0, err
    assert "rents-1.keras" in out
    model = ModelStore(store.root).load("rents")
    assert isinstance(model, PanelModel)
    forecaster = model.bundle.forecasters[request.param]
    assert isinstance(forecaster, PooledNetwork)
    return folder / "rents-1.keras", forecaster


@pytest.mark.parametrize("engine", ["torch", "tensorflow", "jax"])
def test_a_member_of_a_forecast_has_the_quantiles_that_it_has_in_pytorch(
    exported: tuple[Path, PooledNetwork], engine: str, tmp_path: Path
) -> None:
    file, forecaster = exported
    environment = os.environ | {"KERAS_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", OPEN, str(file), str(tmp_path / "answers.npy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    assert done.stdout.split() == [engine]
    description = json.loads(file.with_name(f"{file.name}.json").read_text())
    rows, spec = np.array(description["golden"]["x"], dtype=np.float32), restore_spec(description["network"])
    assert forecaster.network_ is not None
    constants, untrained = read_graph_weights(forecaster.network_.graph), build_network(spec).state_dict()
    weights = {name: constants.get(name, value.numpy()) for name, value in untrained.items()}
    expected = score_by_torch(spec, weights, rows)
    assert np.ptp(expected, axis=0).min() > 1e-3, "rows that score alike would prove nothing"
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), expected, TOLERANCE, TOLERANCE)


def test_what_is_said_beside_the_file_is_of_the_member(exported: tuple[Path, PooledNetwork]) -> None:
    file, forecaster = exported
    description = json.loads(file.with_name(f"{file.name}.json").read_text())
    assert description["output"]["member"] in NAMES
    assert description["output"]["damping"] == forecaster.damping_.tolist()
    assert np.array(description["golden"]["score"]).shape == (4, 3 * len(description["output"]["levels"]))
