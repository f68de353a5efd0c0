"""C-MAPSS as sequences for networks: what is told of a row's latest cycles, step by step, beside the columns of its health.

A step is the mean of a few cycles, so that a window is long, its noise is less, and its steps are few. n = rows, s = steps,
c = channels.
"""

from dataclasses import dataclass

import polars as pl
from cmapss_columns import HEALTH, Health, Regimes, window_columns


@dataclass(frozen=True)
class Window:
    """The latest `cycles` cycles of a row, told by means of `cycles_per_step` of them."""

    cycles: int = 60
    cycles_per_step: int = 3

    @property
    def n_steps(self) -> int:
        """s."""
        return self.cycles // self.cycles_per_step

    def name_steps(self, channels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Names of columns (s, c), the oldest step first; of the latest `channel_1`."""
        return tuple(tuple(f"{channel}_{back}" for channel in channels) for back in range(self.n_steps, 0, -1))


def sequence_columns(units: pl.DataFrame, regimes: Regimes, health: Health, window: Window) -> pl.DataFrame:
    """Columns of the health index, "cycles so far" among them, and the window's steps; a row each of `units`.

    A channel is a sensor in standard deviations of its regime, or the health index. Steps before a unit's first cycle are null.
    """
    z = regimes.standardised(units)
    table = z.with_columns(units["unit"], health.of(z))
    span = window.cycles_per_step
    means = {name: pl.col(name).rolling_mean(span, min_samples=1) for name in list_channels(regimes)}
    steps = [
        mean.shift((back - 1) * span).over("unit").alias(f"{name}_{back}")
        for back in range(window.n_steps, 0, -1)
        for name, mean in means.items()
    ]
    beside = window_columns(units, regimes, health)
    kept = [name for name in beside.columns if name.startswith((HEALTH, "cycles"))]
    return pl.concat([beside.select(kept), table.select(steps)], how="horizontal")


def list_channels(regimes: Regimes) -> tuple[str, ...]:
    """The channels of a step: the sensors that vary, then the health index."""
    return (*regimes.sensors, HEALTH)
