"""Files of a network for other programs, written and read each in a process of its own: nothing is shared but the file.

`python -m epic22.adapters.network_files write FOLDER` builds `network.keras` from the folder's `graph.onnx` and `spec.json`;
`… answer FILE` reads such a file, or one of ONNX, and writes its answers to the rows in `rows.npy` beside it as `answers.npy`.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from epic22.core.errors import InternalError, NotInstalledError
from epic22.core.models.networks.exportable import ScoringNetwork, restore_spec, spec_to_json
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.task import Array

GRAPH, SPEC, ROWS, ANSWERS, KERAS_FILE = "graph.onnx", "spec.json", "rows.npy", "answers.npy", "network.keras"
ENGINES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}
"""Keras' engines, by the library of each, the preferred one first; the variable KERAS_BACKEND chooses another."""


def build_onnx_file(network: ScoringNetwork) -> bytes:
    """The graph as it is in the bundle."""
    return network.graph


def build_keras_file(network: ScoringNetwork) -> bytes:
    """A `.keras` file of the network. Raises NotInstalledError without Keras, an engine of it, or the library of ONNX."""
    for library in ("keras", "onnx"):
        _require(find_spec(library) is not None, f"the library {library!r}")
    _require(any(find_spec(library) for library in ENGINES.values()), f"an engine of Keras ({', '.join(ENGINES)})")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / GRAPH).write_bytes(network.graph)
        (folder / SPEC).write_text(json.dumps(spec_to_json(network.spec)))
        _run("write", name)
        return (folder / KERAS_FILE).read_bytes()


def _require(is_installed: bool, what: str) -> None:
    if not is_installed:
        raise NotInstalledError(f"--to keras: {what} is not installed; pip install 'epic22[engines]', or write --to onnx.")


def answer_in_new_process(content: bytes, suffix: str, X: Array) -> Array:
    """The answers (n, o) to X (n, p) of a file with this content, by a process that has nothing but the file."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / f"network{suffix}"
        file.write_bytes(content)
        np.save(Path(name) / ROWS, np.ascontiguousarray(X, np.float32))
        _run("answer", str(file))
        return np.asarray(np.load(Path(name) / ANSWERS, allow_pickle=False))


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "epic22.adapters.network_files", *arguments]
    done = subprocess.run(command, env={"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ, capture_output=True, text=True)
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]
        raise InternalError(f"the process that should {arguments[0]} a network ended with {done.returncode}: {last_line[:500]}")


def choose_engine() -> None:
    """Let Keras use the engine of KERAS_BACKEND, else the first that is installed; before Keras is imported."""
    os.environ.setdefault("KERAS_BACKEND", next(engine for engine, library in ENGINES.items() if find_spec(library)))


def write_keras_file(folder: Path) -> None:
    """Build the network of a folder's specification, with the weights of its graph, and write it there."""
    choose_engine()
    from epic22.core.models.networks.keras_mirror.graph_weights import read_graph_weights
    from epic22.core.models.networks.keras_mirror.network import build_keras_network
    from epic22.core.models.networks.keras_mirror.weights import copy_weights

    spec = restore_spec(json.loads((folder / SPEC).read_text()))
    network = build_keras_network(spec)
    copy_weights(read_graph_weights((folder / GRAPH).read_bytes()), network, spec)
    network.save(folder / KERAS_FILE)


def answer_by_file(file: Path, X: Array) -> Array:
    """A file's answers (n, o) to X (n, p)."""
    if file.suffix != ".keras":
        return GraphSession(file.read_bytes()).run(X)
    choose_engine()
    import keras

    from epic22.core.models.networks.keras_mirror.network import load_keras_network

    return np.asarray(keras.ops.convert_to_numpy(load_keras_network(file)(X)), dtype=np.float64)


def main() -> None:
    """Work as the arguments say."""
    work, place = sys.argv[1], Path(sys.argv[2])
    if work == "write":
        write_keras_file(place)
    else:
        rows = np.load(place.parent / ROWS, allow_pickle=False)
        np.save(place.parent / ANSWERS, answer_by_file(place, rows))


if __name__ == "__main__":
    main()
