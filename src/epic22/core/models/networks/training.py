"""Training of a network for rows from arrays to weights: what needs PyTorch, and nothing else does."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from epic22.core.errors import InternalError
from epic22.core.models.loss import list_quantile_levels
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.checkpoint import find_checkpoint
from epic22.core.models.networks.graph_session import GraphSession
from epic22.core.models.networks.jobs import NetworkRows, TrainedNetwork, TrainingJob
from epic22.core.models.networks.layer_comparison import use_full_precision
from epic22.core.models.networks.losses import OUTPUT_LOSSES, average_over_members, build_training_loss
from epic22.core.models.networks.members import average_members
from epic22.core.models.networks.onnx_graph import bind_weights, export_reason_graph, export_score_graph, simplify_spec
from epic22.core.models.networks.specification import NetworkSpec
from epic22.core.models.networks.training_loop import RowTensors, Surroundings, train_network
from epic22.core.progress import get_inner_progress
from epic22.core.task import Array

MAX_REFERENCE_ROWS = 4096
"""Rows whose mean is the average row that reasons are measured from."""

MAX_CHECKED_ROWS = 8
PARITY = 1e-5
"""What scores of a graph and of the network may differ by, in parts of 1 + the largest score: eight rows, once a training."""


def to_tensors(rows: NetworkRows) -> RowTensors:
    """The rows as tensors."""
    return RowTensors(torch.from_numpy(np.ascontiguousarray(rows.X, np.float32)), torch.from_numpy(rows.y.astype(np.float32)))


def train(
    job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None = None, expired: Callable[[], bool] = lambda: False
) -> TrainedNetwork:
    """The network of a job on these rows; validation rows end the training, and choose the epoch that is kept."""
    with _use_own_state(job.threads), use_full_precision():
        torch.manual_seed(job.settings.seed)
        network = build_network(job.spec)
        network.fit_inputs(rows.X)
        with torch.no_grad():
            network.stack.head_bias += torch.from_numpy(compute_start(rows.y, job).astype(np.float32))
        output_loss = OUTPUT_LOSSES[job.objective](job.loss)

        def score_loss(raw: Tensor, y: Tensor) -> Tensor:
            return output_loss(average_members(raw, job.spec), y).mean()

        validation_rows = None if validation is None else (to_tensors(validation), score_loss)
        tensors = to_tensors(rows)
        surroundings = Surroundings(job.device, expired, find_checkpoint(job, rows, validation), get_inner_progress(), job.bar)
        training_loss = build_training_loss(job.objective, job.loss, job.settings.label_smoothing)
        history = train_network(
            network, average_over_members(training_loss), tensors, job.settings, validation_rows, surroundings
        )
        weights = {name: value.numpy() for name, value in network.cpu().state_dict().items()}
        with torch.no_grad():
            step = -(-len(tensors) // MAX_REFERENCE_ROWS)
            weights["reference"] = network(tensors.x[::step], "vectors").mean(0).numpy()
        score_graph = bind_weights(export_score_graph(simplify_spec(job.spec)), weights)
        check_graph(score_graph, network, job.spec, tensors.x[:MAX_CHECKED_ROWS])
    return TrainedNetwork(score_graph, job.spec, weights, history.best_epochs, history.losses)


@torch.no_grad()
def check_graph(graph: bytes, network: nn.Module, spec: NetworkSpec, x: Tensor) -> None:
    """Raise InternalError where the graph scores rows otherwise than the network that it was exported from."""
    expected = average_members(network.eval()(x), spec).numpy().astype(np.float64)
    scores = GraphSession(graph).run(x.numpy())
    difference = float(np.max(np.abs(scores - expected), initial=0.0) / (1 + np.max(np.abs(expected), initial=0.0)))
    if not difference <= PARITY:
        raise InternalError(
            f"the exported graph scores rows by {difference:.2g} of the largest score otherwise than the trained network, "
            f"expected {PARITY:g} at most; it is not used."
        )


def export_reasons(network: TrainedNetwork) -> bytes:
    """The graph of reasons of a trained network, with its weights."""
    with _use_own_state(threads=1):
        return bind_weights(export_reason_graph(simplify_spec(network.spec)), network.weights)


def compute_start(y: Array, job: TrainingJob) -> Array:
    """The answer that a constant gives, (o,), so that no epoch is spent on it."""
    return STARTS[job.spec.output if job.objective not in STARTS else job.objective](y, job)


def _start_with_log_odds(y: Array, job: TrainingJob) -> Array:
    share = float(np.clip(y.mean(), 1e-3, 1 - 1e-3))
    return np.array([np.log(share / (1 - share))])


def _start_with_hazards(y: Array, job: TrainingJob) -> Array:
    n_outputs = job.spec.n_outputs
    at_risk, events = y[:, :n_outputs].sum(axis=0), (y[:, :n_outputs] * y[:, n_outputs:]).sum(axis=0)
    hazard = np.clip(events / np.maximum(at_risk, 1.0), 1e-3, 1 - 1e-3)
    return np.asarray(np.log(hazard / (1 - hazard)))


def _start_with_classes(y: Array, job: TrainingJob) -> Array:
    counts = np.bincount(y.astype(np.int64), minlength=job.spec.n_outputs) + 1.0
    return np.asarray(np.log(counts / counts.sum()))


def _start_with_quantiles(y: Array, job: TrainingJob) -> Array:
    """What `order_quantiles` makes the labels' own quantiles of."""
    quantiles = np.quantile(y, list_quantile_levels(job.loss))
    steps = np.maximum(np.diff(quantiles), 1e-3)
    middle = len(quantiles) // 2
    gaps = np.log(np.expm1(steps))
    return np.concatenate([gaps[:middle], quantiles[middle : middle + 1], gaps[middle:]])


STARTS: Mapping[str, Callable[[Array, TrainingJob], Array]] = {
    "absolute": _start_with_quantiles,
    "quantile": _start_with_quantiles,
    "hazard": _start_with_hazards,
    "log_odds": _start_with_log_odds,
    "class_scores": _start_with_classes,
    "log_mean": lambda y, job: np.array([np.log(max(y.mean(), 1e-12))]),
    "value": lambda y, job: np.array([np.median(y)]),
    "quantiles": lambda y, job: np.zeros(job.spec.n_outputs),
    "reconstruction": lambda y, job: np.zeros(job.spec.n_outputs),
}
"""By objective, or else by what the outputs are."""


@contextmanager
def _use_own_state(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
