"""Training on windows for `accelerator.py`, in a process of its own by the product's loop: how fast, and where it comes to."""

import time
from collections.abc import Callable

import torch

from epic22.core.models.networks.device import StepSpeed
from epic22.core.models.networks.device_training import LOSS, SmallTraining, build_training
from epic22.core.models.networks.jobs import TrainingSettings
from epic22.core.models.networks.layer_comparison import use_full_precision
from epic22.core.models.networks.training_loop import RowTensors, Surroundings, train_network
from epic22.core.progress import EpochFinished, Progress, ProgressEvent

TRAINED, HELD_OUT, BATCH = 20_000, 4_000, 512
PROCESSOR_WINDOWS = 50_000
"""At most so many windows an epoch on the processor, which would take minutes for a million."""


def measure_training(
    architecture: str, device: str, windows: int, batch: int, seconds: float, on_start: Callable[[], None] = lambda: None
) -> StepSpeed:
    """How long a step of the product's loop takes on windows, epoch after epoch until the time is over; the last epoch counts."""
    training = build_training(architecture, min(windows, PROCESSOR_WINDOWS) if device == "cpu" else windows)
    rates: list[float] = []

    def note(event: ProgressEvent) -> None:
        if isinstance(event, EpochFinished):
            rates.append(event.rows_per_second)

    on_start()
    start = time.monotonic()
    surroundings = Surroundings(device, lambda: time.monotonic() - start > seconds, progress=Progress(note))
    settings = TrainingSettings(epochs=10_000, batch_size=batch)
    with use_full_precision():
        train_network(training.network, LOSS, RowTensors(training.x, training.y), settings, surroundings=surroundings)
    steps = len(rates) * -(-len(training.x) // batch)
    return StepSpeed(architecture, device, batch, steps, batch / rates[-1])


def train_both(architecture: str, device: str, steps: int) -> tuple[float, float]:
    """The losses of held-out windows after the same steps from the same start, on a device and on the processor."""
    training = build_training(architecture, TRAINED + HELD_OUT)
    order = torch.Generator().manual_seed(1)
    batches = [torch.randint(0, TRAINED, (BATCH,), generator=order) for _ in range(steps)]
    with use_full_precision():
        on_device = _train(training.move(lambda one: one.to(device)), batches)
        return on_device, _train(training.move(lambda one: one.to("cpu")), batches)


def _train(training: SmallTraining, batches: list[torch.Tensor]) -> float:
    training.network.train()
    optimiser = training.build_optimiser()
    for batch in batches:
        chosen = batch.to(training.x.device)
        SmallTraining(training.network, training.x[chosen], training.y[chosen]).train_step(optimiser)
    training.network.eval()
    with torch.no_grad():
        return float(LOSS(training.network(training.x[TRAINED:]), training.y[TRAINED:]))
