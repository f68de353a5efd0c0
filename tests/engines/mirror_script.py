"""Builds each network of a folder in Keras, on the engine of KERAS_BACKEND, and writes what it answers below the engine's name.

A network is a folder with `spec.json`, `weights.npz` and `rows.npy`. One that has no `network.keras` yet is saved there, so the
first engine writes the files that the others open. Run by itself: an engine is chosen once a process.
"""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np

from epic22.core.models.networks.exportable import restore_spec
from epic22.core.models.networks.keras_mirror.network import build_keras_network, load_keras_network
from epic22.core.models.networks.keras_mirror.weights import copy_weights, read_weights


def answer(folder: Path, saves: bool) -> None:
    """Write the network's answers, its weights read back, and where it is saved the answers of the file."""
    spec = restore_spec(json.loads((folder / "spec.json").read_text()))
    X = np.load(folder / "rows.npy")
    network = build_keras_network(spec)
    copy_weights(np.load(folder / "weights.npz"), network, spec)
    place = folder / os.environ["KERAS_BACKEND"]
    place.mkdir()
    np.save(place / "built.npy", keras.ops.convert_to_numpy(network(X)))
    np.savez(place / "weights.npz", **read_weights(network, spec))  # type: ignore[arg-type]
    if saves:
        file = folder / "network.keras"
        if not file.exists():
            network.save(file)
        np.save(place / "opened.npy", keras.ops.convert_to_numpy(load_keras_network(file)(X)))


if __name__ == "__main__":
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        answer(folder, saves="class_scores" in folder.name or "_" not in folder.name)
