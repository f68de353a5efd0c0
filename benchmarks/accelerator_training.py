"""Training on windows for `accelerator.py`, in a process of its own: how fast, and where it comes to."""

import time
from collections.abc import Callable

import torch

from epic22.core.models.networks.device import StepSpeed
from epic22.core.models.networks.device_training import (
    LOSS,
    WARM_UP_STEPS,
    SmallTraining,
    build_training,
    synchronise,
)
from epic22.core.models.networks.layer_comparison import use_full_precision

TRAINED, HELD_OUT, BATCH = 20_000, 4_000, 512


def measure_training(
    architecture: str, device: str, windows: int, batch: int, seconds: float, on_start: Callable[[], None] = lambda: None
) -> StepSpeed:
    """How long a step takes of a training on so many windows, which lie on the device; batches are drawn anew each epoch."""
    training = build_training(architecture, windows).move(lambda one: one.to(device))
    training.network.train()
    optimiser = training.build_optimiser()
    batches: list[torch.Tensor] = []
    steps, start = -WARM_UP_STEPS, time.perf_counter()
    while steps < 1 or time.perf_counter() - start < seconds:
        if steps == 0:
            synchronise(device)
            on_start()
            start = time.perf_counter()
        batches = batches or list(torch.randperm(windows, device=device).split(batch))
        chosen = batches.pop()
        SmallTraining(training.network, training.x[chosen], training.y[chosen]).train_step(optimiser)
        steps += 1
        if steps % 8 == 0:
            # Not after each step: the queue keeps the device busy. Not never: the clock would run ahead of it.
            synchronise(device)
    synchronise(device)
    return StepSpeed(architecture, device, batch, steps, (time.perf_counter() - start) / steps)


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
