"""`epic22 export --to keras`: a file that every engine opens, with the weights of the graph that serves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from epic22.core.models.networks.keras_mirror.graph_weights import read_graph_weights
from epic22.core.models.networks.onnx_graph import bind_weights, export_score_graph, simplify_spec
from tests.engines.architectures import LAYERS, SPECS, draw_network
from tests.network_home import train_in_home
from tests.shell import type_command

OPEN = """
import json, sys
import keras, numpy as np
import epic22.core.models.networks.keras_mirror.layers
network = keras.saving.load_model(sys.argv[1], compile=False)
said = json.load(open(sys.argv[1] + ".json"))
x = np.array(said["golden"]["x"], dtype=np.float32)
output = network.predict(x, verbose=0)[:, 0]
score = said["output"]["score"]["slope"] * output + said["output"]["score"]["intercept"]
print(keras.backend.backend(), float(np.abs(score - np.array(said["golden"]["score"])).max()))
"""
"""What the how-to says."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network, written by TensorFlow, which is what is chosen where nothing is named."""
    folder = tmp_path_factory.mktemp("exported")
    home, _ = train_in_home(folder)
    code, out, err = type_command(folder, home, "export", "wear", "--to", "keras")
    assert code == 0, err
    assert "wear-1.keras" in out
    return folder / "wear-1.keras"


@pytest.mark.parametrize("engine", ["torch", "tensorflow", "jax"])
def test_an_exported_file_gives_golden_rows_their_scores_on_every_engine(file: Path, engine: str) -> None:
    environment = os.environ | {"KERAS_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", OPEN, str(file)], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    backend, difference = done.stdout.split()
    assert backend == engine
    assert float(difference) < 1e-5


def test_an_exported_file_needs_no_pickle(file: Path) -> None:
    from zipfile import ZipFile

    with ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        config = json.loads(archive.read("config.json"))
    assert not any(layer["class_name"] == "Lambda" for layer in config["config"]["layers"])


@pytest.mark.parametrize("architecture", LAYERS)
def test_a_graph_that_serves_holds_every_weight_by_its_name(architecture: str) -> None:
    spec = SPECS[f"{architecture} value"]
    network = draw_network(spec)
    graph = bind_weights(export_score_graph(simplify_spec(spec)), network.weights)
    weights = read_graph_weights(graph)
    counts = {"embedding.n_levels", "embedding.first_code"}
    for name, array in network.weights.items():
        if array.size and name not in counts:
            assert np.array_equal(weights[name], array), name
