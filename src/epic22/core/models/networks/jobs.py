"""What a training of a network is given and gives, as plain values that another process can be sent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from epic22.core.models.loss import Loss
from epic22.core.models.networks.specification import NetworkSpec
from epic22.core.task import Array

Schedule = Literal["constant", "cosine", "one_cycle"]
"""How the learning rate goes on after its warm-up; see `schedule.compute_learning_rate`."""

Precision = Literal["float32", "bfloat16", "float16"]
"""In which numbers a network's layers are computed while it is trained; its weights are float32 in any case."""


@dataclass(frozen=True)
class TrainingSettings:
    """At most `epochs` passes over the rows, in batches of `batch_size`; they end `patience` epochs after the best one.

    The learning rate rises over `warm_up_steps` steps, then follows `schedule`, which reaches its end with the last of `epochs`:
    where these end sooner, so does it. `label_smoothing` is the share of a class's label that is spread over all classes.
    Gradients of a batch are summed over `micro_batch` rows at a time (None: the whole batch); `max_memory_mb` is the most that
    weights and a step may take, in millions of bytes (None: what the process's own limit leaves). `precision` is that of layers.
    """

    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 3e-4
    patience: int = 8
    max_gradient: float = 1.0
    seed: int = 0
    schedule: Schedule = "constant"
    warm_up_steps: int = 20
    label_smoothing: float = 0.0
    micro_batch: int | None = None
    max_memory_mb: int | None = None
    precision: Precision = "float32"


@dataclass(frozen=True)
class NetworkRows:
    """Rows to learn from: X (n, p) float32 and y (n,), class codes or labels in parts of their scale; y (n, 2 h) of a hazard,
    shares at risk and events, and (n, h) of quantiles."""

    X: Array
    y: Array


@dataclass(frozen=True)
class TrainingJob:
    """What decides a training: the same job gives the same weights on the same machine. `objective` names the loss; `device` is
    PyTorch's name of where it is trained. A training whose least validation loss lies above the `bar` of an epoch ends there;
    behind the bar's end none does."""

    spec: NetworkSpec
    objective: str
    loss: Loss
    settings: TrainingSettings
    threads: int
    device: str = "cpu"
    bar: tuple[float, ...] = ()


def is_behind(losses: Sequence[float], bar: Sequence[float]) -> bool:
    """Whether a training with these validation losses, an epoch each, has fallen behind the bar at the last of them.

    >>> is_behind([0.9, 0.6], [1.0, 0.5]), is_behind([0.9, 0.4], [1.0, 0.5]), is_behind([0.9], [])
    (True, False, False)
    """
    if not losses or len(losses) > len(bar):
        return False
    return not min((loss for loss in losses if not math.isnan(loss)), default=math.inf) <= bar[len(losses) - 1]


@dataclass(frozen=True)
class TrainedNetwork:
    """The graph of scores, what the graph of reasons is made of once it is asked for, the epochs that were best, and the losses
    of validation rows by epoch.

    `weights` are by name, and `reference` (p, e): the columns' vectors of an average row.
    """

    score_graph: bytes
    spec: NetworkSpec
    weights: Mapping[str, Array] = field(compare=False)
    best_epochs: int
    losses: tuple[float, ...]
