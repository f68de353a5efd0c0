"""The loop that trains every network: batches in an order that seed and epoch decide, AdamW, early stopping.

Everything random follows from (seed, epoch), so that an epoch is the same whatever ran before it: two runs of one seed have equal
bytes. Loshchilov and Hutter 2019 (AdamW); Pascanu, Mikolov, Bengio 2013 (clipping of gradients).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epic22.core.models.networks.jobs import TrainingSettings

WARM_UP_STEPS = 20
"""Steps over which the learning rate rises from nothing."""


@dataclass(frozen=True)
class RowTensors:
    """Rows as the network sees them, x (n, …) and y (n, …), float32."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class TrainingHistory:
    """How many epochs were best on the validation rows (all of them where there are none), and the losses there by epoch."""

    best_epochs: int
    losses: tuple[float, ...]


RowLoss = Callable[[Tensor, Tensor], Tensor]
"""The mean loss of a network's outputs on rows' labels."""


def train_network(
    network: nn.Module,
    loss: RowLoss,
    rows: RowTensors,
    settings: TrainingSettings,
    validation: tuple[RowTensors, RowLoss] | None = None,
    expired: Callable[[], bool] = lambda: False,
) -> TrainingHistory:
    """Train in place; with validation rows, and a loss for them, the network is left as it was after its best epoch.

    Where the time has `expired` after an epoch, no other begins.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    losses: list[float] = []
    best: tuple[float, int, dict[str, Tensor]] | None = None
    step = 0
    for epoch in range(settings.epochs):
        network.train()
        for chosen in draw_batches(len(rows), settings.batch_size, settings.seed, epoch):
            step += 1
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * min(1.0, step / WARM_UP_STEPS)
            optimiser.zero_grad()
            loss(network(rows.x[chosen]), rows.y[chosen]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient)
            optimiser.step()
        if validation is not None:
            losses.append(compute_loss(network, *validation))
            if best is None or losses[-1] < best[0]:
                best = (losses[-1], epoch + 1, copy.deepcopy(network.state_dict()))
            elif epoch + 1 - best[1] >= settings.patience:
                break
        if expired():
            break
    network.eval()
    if best is None:
        return TrainingHistory(epoch + 1, ())
    network.load_state_dict(best[2])
    return TrainingHistory(best[1], tuple(losses))


def draw_batches(n_rows: int, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """Row numbers of each batch of an epoch; all that is random in the epoch is seeded by the way. A last batch of one row joins
    the batch before it."""
    torch.manual_seed((seed * 100_003 + epoch) % 2**63)
    batches = list(torch.randperm(n_rows).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return tuple(batches)


@torch.no_grad()
def compute_loss(network: nn.Module, rows: RowTensors, loss: RowLoss, batch_size: int = 4096) -> float:
    """The mean loss of the rows, in the network's evaluation mode."""
    network.eval()
    parts = [float(loss(network(x), y)) * len(x) for x, y in zip(rows.x.split(batch_size), rows.y.split(batch_size), strict=True)]
    return sum(parts) / len(rows)
