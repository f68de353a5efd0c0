"""A network in Keras answers as in PyTorch, on every engine, and gives its weights back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from epic22.core.models.networks.exportable import spec_to_json
from tests.engines.architectures import SPECS, TorchNetwork, draw_network, score_by_torch

ENGINES = ("torch", "tensorflow", "jax")
"""The first one writes the files that all of them open."""
TOLERANCE = 1e-5
QUICK = {"TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
"""Compiled for one call each: what JAX would spend on making them fast is most of the time."""
SCRIPT = Path(__file__).with_name("mirror_script.py")


@pytest.fixture(scope="module")
def networks() -> dict[str, TorchNetwork]:
    return {name: draw_network(spec) for name, spec in SPECS.items()}


@pytest.fixture(scope="module")
def folder(networks: dict[str, TorchNetwork], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a network, with what each engine answered."""
    root = tmp_path_factory.mktemp("networks")
    for name, network in networks.items():
        (root / name).mkdir()
        (root / name / "spec.json").write_text(json.dumps(spec_to_json(SPECS[name])))
        np.savez(root / name / "weights.npz", **network.weights)  # type: ignore[arg-type]
        np.save(root / name / "rows.npy", network.X)
    for engine in ENGINES:
        environment = os.environ | QUICK | {"KERAS_BACKEND": engine}
        done = subprocess.run([sys.executable, str(SCRIPT), str(root)], env=environment, capture_output=True, text=True)
        assert not done.returncode, done.stderr[-3000:]
    return root


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SPECS)
def test_a_network_has_the_scores_that_it_has_in_pytorch(
    networks: dict[str, TorchNetwork], folder: Path, name: str, engine: str
) -> None:
    expected = networks[name].scores
    assert np.ptp(expected, axis=0).min() > 0.01, "rows that score alike would prove nothing"
    np.testing.assert_allclose(np.load(folder / name / engine / "built.npy"), expected, TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_written_on_one_engine_is_opened_on_every_other(
    networks: dict[str, TorchNetwork], folder: Path, engine: str
) -> None:
    files = sorted(folder.glob(f"*/{engine}/opened.npy"))
    assert len(files) >= 5
    for file in files:
        expected = networks[file.parents[1].name].scores
        np.testing.assert_allclose(np.load(file), expected, TOLERANCE, TOLERANCE, err_msg=str(file))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SPECS)
def test_weights_read_from_keras_give_pytorch_the_same_scores(
    networks: dict[str, TorchNetwork], folder: Path, name: str, engine: str
) -> None:
    network = networks[name]
    with np.load(folder / name / engine / "weights.npz") as archive:
        weights = dict(archive)
    assert {n: a.dtype for n, a in weights.items()} == {n: a.dtype for n, a in network.weights.items()}
    # An LSTM of Keras has one bias where PyTorch has two: their sum is what comes back.
    changed = {n for n, a in weights.items() if not np.array_equal(a, network.weights[n])}
    assert all("encoder.cell.bias" in n for n in changed)
    np.testing.assert_allclose(score_by_torch(SPECS[name], weights, network.X), network.scores, 1e-6, 1e-6)
