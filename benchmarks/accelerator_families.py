"""Each architecture trained by the product's own path on a device, for `accelerator.py`: half precision, a cap, an interruption.

A training ends with a graph that was compared with the network; what is told is the loss of held-out rows by that graph.
"""

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from epic22.core.errors import UserError
from epic22.core.models.loss import SQUARED
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.checkpoint import Pace, keep_checkpoints
from epic22.core.models.networks.device_training import ARCHITECTURES, LOSS, build_training
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.jobs import NetworkRows, TrainedNetwork, TrainingJob, TrainingSettings
from epic22.core.models.networks.memory_plan import MEGABYTE, measure_steps
from epic22.core.models.networks.specification import NetworkSpec
from epic22.core.models.networks.training import to_tensors, train

TRAINED, HELD_OUT = 20_000, 4_000
SETTINGS = TrainingSettings(epochs=3, batch_size=512, learning_rate=1e-3)
ROWS_UNDER_CAP = 16
"""The cap is what a step of so many rows takes: fewer than make activations be kept."""
STOPPED_AFTER = 1
"""Epochs of the interrupted training before its end, and before it goes on."""
EAGER = Pace(0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Sample:
    """Rows to learn from and rows that are held out, of one network."""

    spec: NetworkSpec
    trained: NetworkRows
    held_out: NetworkRows

    def build_job(self, device: str, threads: int, settings: TrainingSettings = SETTINGS) -> TrainingJob:
        """The job of a training on these rows."""
        return TrainingJob(self.spec, "binary", SQUARED, settings, threads, device)

    def compute_loss(self, network: TrainedNetwork) -> float:
        """The mean log loss of the held-out rows, by the graph that would be served."""
        scores = GraphSession(network.score_graph).run(self.held_out.X).reshape(-1)
        return float(np.mean(np.logaddexp(0.0, np.where(self.held_out.y > 0, -scores, scores))))


def build_sample(architecture: str, trained: int = TRAINED, held_out: int = HELD_OUT) -> Sample:
    """The rows of the checks' small training, more of them."""
    columns, layers = ARCHITECTURES[architecture]
    made = build_training(architecture, trained + held_out)
    X, y = made.x.numpy(), made.y.numpy()
    rows = NetworkRows(X[:trained], y[:trained]), NetworkRows(X[trained:], y[trained:])
    return Sample(NetworkSpec(columns, layers, 1, "log_odds"), *rows)


def train_under_cap(sample: Sample, device: str, threads: int) -> TrainedNetwork:
    """Trained in the memory of a step of `ROWS_UNDER_CAP` rows: part by part, activations computed a second time."""
    rows = to_tensors(sample.trained).move(device)
    network = build_network(sample.spec)
    network.fit_inputs(sample.trained.X)
    network.to(device)
    step = measure_steps(network, lambda n: LOSS(network(rows.x[:n]), rows.y[:n]), len(rows))
    cap = math.ceil(step.compute_bytes(ROWS_UNDER_CAP) / MEGABYTE)
    return train(sample.build_job(device, threads, replace(SETTINGS, max_memory_mb=cap)), sample.trained)


def train_in_two_parts(sample: Sample, device: str, threads: int) -> TrainedNetwork:
    """Stopped after some epochs, and gone on with from its checkpoint."""
    ended = itertools.count(1)
    job = sample.build_job(device, threads)
    with tempfile.TemporaryDirectory() as folder:
        with keep_checkpoints(Path(folder), EAGER) as checkpoints:
            train(job, sample.trained, expired=lambda: next(ended) >= STOPPED_AFTER)
            files = {file.name: file.read_bytes() for file in checkpoints.used}
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        with keep_checkpoints(Path(folder), EAGER):
            return train(job, sample.trained)


def train_plainly(sample: Sample, device: str, threads: int, settings: TrainingSettings = SETTINGS) -> TrainedNetwork:
    """Trained at once."""
    return train(sample.build_job(device, threads, settings), sample.trained)


WAYS: Mapping[str, Callable[[Sample, str, int], TrainedNetwork]] = {
    "float32": train_plainly,
    "float32 again": train_plainly,
    "bfloat16": partial(train_plainly, settings=replace(SETTINGS, precision="bfloat16")),
    "float16": partial(train_plainly, settings=replace(SETTINGS, precision="float16")),
    "under a memory cap": train_under_cap,
    "stopped and gone on": train_in_two_parts,
}


@dataclass(frozen=True)
class FamilyTraining:
    """How a training in a way ended: the loss of held-out rows, that of the processor, and the largest difference of a weight to
    the way `float32` on the same device; `fault` is what a way refused with."""

    architecture: str
    way: str
    loss: float | None
    processor_loss: float
    weights: float | None
    fault: str | None = None

    @property
    def difference(self) -> float | None:
        """To the processor's loss, as a share of it."""
        return None if self.loss is None else abs(self.loss - self.processor_loss) / self.processor_loss


def train_ways(architecture: str, device: str, threads: int, sample: Sample | None = None) -> Iterator[FamilyTraining]:
    """An architecture trained in every way on a device, each beside the processor's training."""
    sample = sample or build_sample(architecture)
    processor_loss = sample.compute_loss(train_plainly(sample, "cpu", threads))
    first: TrainedNetwork | None = None
    for way, train_so in WAYS.items():
        try:
            network = train_so(sample, device, threads)
        except UserError as error:
            yield FamilyTraining(architecture, way, None, processor_loss, None, str(error))
            continue
        first = first or network
        weights = compare_weights(first, network)
        yield FamilyTraining(architecture, way, sample.compute_loss(network), processor_loss, weights)


def compare_weights(one: TrainedNetwork, other: TrainedNetwork) -> float:
    """The largest difference between two networks' weights."""
    return max(float(np.max(np.abs(one.weights[name] - value), initial=0.0)) for name, value in other.weights.items())


def to_record(training: FamilyTraining) -> dict[str, object]:
    """As JSON's types."""
    return asdict(training) | {"difference": training.difference}
