"""Training of a network for rows from arrays to weights: what needs PyTorch, and nothing else does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from epic22.core.models.networks.checkpoint import find_checkpoint
from epic22.core.models.networks.jobs import NetworkRows, TrainedNetwork, TrainingJob
from epic22.core.models.networks.losses import OUTPUT_LOSSES, average_over_members, build_training_loss
from epic22.core.models.networks.mlp import Mlp, average_members
from epic22.core.models.networks.onnx_graph import bind_weights, export_graphs
from epic22.core.models.networks.training_loop import RowTensors, Surroundings, train_network
from epic22.core.progress import get_inner_progress
from epic22.core.task import Array

MAX_REFERENCE_ROWS = 4096
"""Rows whose mean is the average row that reasons are measured from."""


def to_tensors(rows: NetworkRows) -> RowTensors:
    """The rows as tensors."""
    return RowTensors(torch.from_numpy(np.ascontiguousarray(rows.X, np.float32)), torch.from_numpy(rows.y.astype(np.float32)))


def train(
    job: TrainingJob, rows: NetworkRows, validation: NetworkRows | None = None, expired: Callable[[], bool] = lambda: False
) -> TrainedNetwork:
    """The network of a job on these rows; validation rows end the training, and choose the epoch that is kept."""
    with _use_own_state(job.threads):
        torch.manual_seed(job.settings.seed)
        network = Mlp(job.spec)
        _fit_embedding(network, rows.X)
        _fit_start(network, rows.y, job)
        output_loss = OUTPUT_LOSSES[job.objective](job.loss)

        def score_loss(raw: Tensor, y: Tensor) -> Tensor:
            return output_loss(average_members(raw, job.spec), y).mean()

        validation_rows = None if validation is None else (to_tensors(validation), score_loss)
        tensors = to_tensors(rows)
        surroundings = Surroundings(job.device, expired, find_checkpoint(job, rows, validation), get_inner_progress())
        training_loss = build_training_loss(job.objective, job.loss, job.settings.label_smoothing)
        history = train_network(
            network, average_over_members(training_loss), tensors, job.settings, validation_rows, surroundings
        )
        weights = {name: value.numpy() for name, value in network.cpu().state_dict().items()}
        with torch.no_grad():
            step = -(-len(tensors) // MAX_REFERENCE_ROWS)
            weights["reference"] = network.embedding(tensors.x[::step]).mean(0).numpy()
        # A graph knows neither levels nor dropout: how many levels a category has is in the weights.
        score_graph, reason_graph = export_graphs(replace(job.spec, n_levels=(1,) * len(job.spec.n_levels), dropout=0.0))
    return TrainedNetwork(
        bind_weights(score_graph, weights), bind_weights(reason_graph, weights), history.best_epochs, history.losses
    )


@torch.no_grad()
def _fit_embedding(network: Mlp, X: Array) -> None:
    """The bins of each number, between quantiles of its known values; a number of few values has fewer bins."""
    embedding = network.embedding
    for j, position in enumerate(network.spec.numbers):
        known = X[:, position][np.isfinite(X[:, position])].astype(np.float64)
        if not len(known):
            continue
        edges = np.unique(np.quantile(known, np.linspace(0, 1, network.spec.n_bins + 1)).astype(np.float32))
        n_bins = len(edges) - 1
        embedding.middle[j] = float(np.median(known))
        embedding.spread[j] = max(float(known.std()), 1e-12)
        embedding.bin_start[j] = float(edges[-1])
        # No number gets anywhere in a bin that is not there.
        embedding.bin_width[j] = float("inf")
        embedding.bin_start[j, :n_bins] = torch.from_numpy(edges[:-1])
        embedding.bin_width[j, :n_bins] = torch.from_numpy(np.diff(edges))


@torch.no_grad()
def _fit_start(network: Mlp, y: Array, job: TrainingJob) -> None:
    """Begin with the answer that a constant gives, so that no epoch is spent on it."""
    if job.spec.output == "log_odds":
        share = float(np.clip(y.mean(), 1e-3, 1 - 1e-3))
        network.head_bias += float(np.log(share / (1 - share)))
    elif job.spec.output == "class_scores":
        counts = np.bincount(y.astype(np.int64), minlength=job.spec.n_outputs) + 1.0
        network.head_bias += torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))
    else:
        network.head_bias += float(np.log(max(y.mean(), 1e-12)) if job.spec.output == "log_mean" else np.median(y))


@contextmanager
def _use_own_state(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
