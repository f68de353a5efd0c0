"""Small networks of each architecture, trained on a device: whether their first steps are right, and how long a step takes.

n = rows, p = columns, s = steps, c = channels.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from epic22.core.models.loss import SQUARED
from epic22.core.models.networks.architecture import build_network
from epic22.core.models.networks.device import StepSpeed
from epic22.core.models.networks.layer_comparison import SEED, Check, Errors, compare_tensors
from epic22.core.models.networks.losses import OUTPUT_LOSSES, average_over_members
from epic22.core.models.networks.specification import (
    ConvolutionLayers,
    Layers,
    LstmLayers,
    MlpLayers,
    NetworkColumns,
    NetworkSpec,
    TransformerLayers,
)

N_STEPS, LEARNING_RATE = 5, 1e-3
WARM_UP_STEPS = 3
"""Steps that are not timed: the first ones choose kernels and get memory."""
ROWS = 64

STEP_COLUMNS = NetworkColumns((0, 1), (2,), (4,), tuple((3 + 4 * s, 4 + 4 * s, 5 + 4 * s, 6 + 4 * s) for s in range(40)))
"""Two numbers, a category, and forty steps of four channels."""
ARCHITECTURES: Mapping[str, tuple[NetworkColumns, Layers]] = {
    "mlp": (NetworkColumns((0, 1, 2, 3, 4, 5), (6, 7), (4, 9)), MlpLayers(dropout=0.0)),
    "lstm": (STEP_COLUMNS, LstmLayers(dropout=0.0)),
    "gru": (STEP_COLUMNS, LstmLayers(dropout=0.0, cell="gru")),
    "transformer": (STEP_COLUMNS, TransformerLayers(dropout=0.0)),
    "cnn": (STEP_COLUMNS, ConvolutionLayers(dropout=0.0)),
}
"""The columns and layers of the network that is trained for each architecture, without dropout, whose draws differ."""


@dataclass(frozen=True)
class SmallTraining:
    """A network to train for a few steps, and rows to do it with: x (n, p) and y (n,)."""

    network: nn.Module
    x: Tensor
    y: Tensor

    def move(self, to: Callable[[nn.Module | Tensor], nn.Module | Tensor]) -> "SmallTraining":
        """The same elsewhere, or in another precision; this one stays as it is."""
        return SmallTraining(to(copy.deepcopy(self.network)), to(self.x), to(self.y))

    def train_step(self, optimiser: torch.optim.Optimizer) -> tuple[Tensor, Tensor]:
        """The loss before a step of the training, and the length of the gradient."""
        optimiser.zero_grad()
        loss = LOSS(self.network(self.x), self.y)
        loss.backward()
        length = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimiser.step()
        return loss.detach(), length

    def build_optimiser(self) -> torch.optim.Optimizer:
        """As the training has it."""
        return torch.optim.AdamW(self.network.parameters(), lr=LEARNING_RATE, fused=True)


LOSS = average_over_members(OUTPUT_LOSSES["binary"](SQUARED))


def build_training(architecture: str, rows: int) -> SmallTraining:
    """A small training of an architecture, its weights and rows drawn on the processor from one seed."""
    columns, layers = ARCHITECTURES[architecture]
    torch.manual_seed(SEED)
    network = build_network(NetworkSpec(columns, layers, 1, "log_odds"))
    x = torch.randn(rows, columns.n_columns)
    for position, n_levels in zip(columns.categories, columns.n_levels, strict=True):
        x[:, position] = torch.randint(0, n_levels, (rows,)).float()
    y = (x[:, 0] + x[:, -1] > 0).float()
    x[::5, 0] = float("nan")
    network.fit_inputs(x.numpy())
    return SmallTraining(network, x, y)


def compare_first_steps(architecture: str, device: str) -> Errors:
    """The errors of the losses, and of the gradients' lengths, of an architecture's first steps of training."""
    training = build_training(architecture, ROWS)
    computed, reference = (_train(training.move(to)) for to in (lambda one: one.to(device), lambda one: one.double()))
    losses, lengths = zip(computed, reference, strict=True)
    fault = None if reference[0][-1] < reference[0][0] else "its loss does not fall, on the processor either"
    return Errors(compare_tensors(*losses), compare_tensors(*lengths), fault)


def _train(training: SmallTraining) -> tuple[list[Tensor], list[Tensor]]:
    training.network.train()
    optimiser = training.build_optimiser()
    steps = [training.train_step(optimiser) for _ in range(N_STEPS)]
    return [loss for loss, _ in steps], [length for _, length in steps]


TRAINING_CHECKS: Mapping[str, Check] = {
    f"{architecture}, first steps": partial(compare_first_steps, architecture) for architecture in ARCHITECTURES
}
"""By the name of the check, what finds the errors of a real training on a device."""


def measure_step(
    architecture: str, device: str, batch: int, seconds: float, on_start: Callable[[], None] = lambda: None
) -> StepSpeed:
    """How long a step of training takes on a device, by as many steps as there is time for, one at least."""
    training = build_training(architecture, batch).move(lambda one: one.to(device))
    training.network.train()
    optimiser = training.build_optimiser()
    for _ in range(WARM_UP_STEPS):
        training.train_step(optimiser)
    synchronise(device)
    on_start()
    start, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - start < seconds:
        training.train_step(optimiser)
        steps += 1
        # A queue of steps that is never waited for would count what was ordered, not what was done.
        synchronise(device)
    return StepSpeed(architecture, device, batch, steps, (time.perf_counter() - start) / steps)


def synchronise(device: str) -> None:
    """Wait until a device has done what it was given."""
    if device != "cpu":
        getattr(torch, device).synchronize()
