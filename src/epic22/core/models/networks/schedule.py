"""Learning rates by step: a warm-up, then constant, half a cosine down to nothing, or one cycle.

Loshchilov and Hutter 2017, "SGDR" (cosine); Smith and Topin 2018, "Super-convergence" (one cycle, which rises and falls by half
cosines as PyTorch's `OneCycleLR` does).
"""

import math
from collections.abc import Callable, Mapping

from epic22.core.models.networks.jobs import Schedule, TrainingSettings

CYCLE_RISE = 0.3
"""Share of the steps in which the rate of one cycle rises."""
CYCLE_START, CYCLE_END = 1 / 25, 1 / 250_000
"""Where one cycle begins and ends, in parts of its highest rate."""


def compute_learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The rate of a step, from 1 to `steps`, the number of all steps of all epochs that may be."""
    return settings.learning_rate * SHAPES[settings.schedule](settings.warm_up_steps, step, steps)


def _stay(warm_up: int, step: int, steps: int) -> float:
    """Up to 1 in equal parts, then 1."""
    return min(1.0, step / warm_up) if warm_up else 1.0


def _fall(warm_up: int, step: int, steps: int) -> float:
    """Up to 1 in equal parts, then down; the last step is one before nothing."""
    if step <= warm_up:
        return step / warm_up
    return _interpolate(1.0, 0.0, (step - warm_up - 1) / (steps - warm_up))


def _cycle(warm_up: int, step: int, steps: int) -> float:
    """Up to 1 over the first part of the steps, which is the warm-up, then down."""
    top = max(CYCLE_RISE * steps, 1.0)
    if step <= top:
        return _interpolate(CYCLE_START, 1.0, step / top)
    return _interpolate(1.0, CYCLE_END, (step - top) / (steps - top))


SHAPES: Mapping[Schedule, Callable[[int, int, int], float]] = {"constant": _stay, "cosine": _fall, "one_cycle": _cycle}
"""A rate's share of the highest one, by warm-up steps, step and number of steps."""


def _interpolate(start: float, end: float, share: float) -> float:
    """Between two values along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
