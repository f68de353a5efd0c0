"""Trains each network of a folder in Keras from the weights that it begins with, and writes the weights that it ends with.

A network is a folder with `spec.json`, `start.npz`, `settings.json` and `rows.npz` (X and y); `end.npz` is written beside them.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from epic22.core.models.loss import Loss
from epic22.core.models.networks.exportable import restore_spec
from epic22.core.models.networks.jobs import TrainingJob, TrainingSettings
from epic22.core.models.networks.keras_mirror.losses import compile_network
from epic22.core.models.networks.keras_mirror.network import build_keras_network
from epic22.core.models.networks.keras_mirror.weights import copy_weights, read_weights


def train(folder: Path) -> None:
    """Fit a network as its settings say."""
    spec = restore_spec(json.loads((folder / "spec.json").read_text()))
    state = json.loads((folder / "settings.json").read_text())
    settings = TrainingSettings(**state["settings"])
    job = TrainingJob(spec, state["objective"], Loss(**state["loss"]), settings, threads=1)
    keras.utils.set_random_seed(settings.seed)
    network = build_keras_network(spec)
    copy_weights(np.load(folder / "start.npz"), network, spec)
    rows = np.load(folder / "rows.npz")
    members = compile_network(network, job, len(rows["X"]))
    members.fit(rows["X"], rows["y"], batch_size=settings.batch_size, epochs=settings.epochs, verbose=0)
    np.savez(folder / "end.npz", **read_weights(network, spec))  # type: ignore[arg-type]


if __name__ == "__main__":
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        train(folder)
