"""What a training of a network is given and gives, as plain values that another process can be sent."""

from dataclasses import dataclass

from epic22.core.models.loss import Loss
from epic22.core.models.networks.specification import MlpSpec
from epic22.core.task import Array


@dataclass(frozen=True)
class TrainingSettings:
    """At most `epochs` passes over the rows, in batches of `batch_size`; they end `patience` epochs after the best one."""

    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 3e-4
    patience: int = 8
    max_gradient: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class NetworkRows:
    """Rows to learn from: X (n, p) float32 and y (n,), class codes or labels in parts of their scale."""

    X: Array
    y: Array


@dataclass(frozen=True)
class TrainingJob:
    """What decides a training: the same job gives the same weights on the same machine. `objective` names the loss."""

    spec: MlpSpec
    objective: str
    loss: Loss
    settings: TrainingSettings
    threads: int


@dataclass(frozen=True)
class TrainedNetwork:
    """The graphs with their weights, the epochs that were best, and the losses of validation rows by epoch."""

    score_graph: bytes
    reason_graph: bytes
    best_epochs: int
    losses: tuple[float, ...]
