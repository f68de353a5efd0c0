"""The contract of a forecasting family and of the forecasters it builds.

A forecaster is fitted on a panel as it was known at one moment, the end of each line: what came later is not in what it is
handed, so nothing of it can leak. It then forecasts from any histories, of the same moment or of later ones, with what it
learned unchanged ("rolled forward").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol, Self

import numpy as np

from epic22.core.time_series import Array, Histories

QUANTILE_LEVELS: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
"""The quantiles every forecast states; the middle one is the point forecast, the outer ones the 80 % interval."""

MEDIAN_INDEX = QUANTILE_LEVELS.index(0.5)


class Forecaster(Protocol):
    """What a family builds; its constructor only assigns."""

    def fit(self, past: Histories, horizon: int) -> Self:
        """Learn from each row's known values to forecast 1…`horizon` periods ahead."""

    def predict_quantiles(self, histories: Histories) -> Array:
        """The quantiles LEVELS of each forecast, (n, horizon, q), ascending."""

    def files(self) -> dict[str, bytes]:
        """The fitted state as files by name; never a pickle."""


@dataclass(frozen=True)
class PanelFamily:
    """A kind of forecaster. `per_series`: each series is forecast from its own values alone, whatever else is in the panel.

    `build(season, seed, threads)` makes an unfitted one; `restore` opens its files. `in_combination`: it may enter the
    combination. `slow` families run only when asked for. `why_equal` says what happened where it forecasts what another does.
    `needs` is the library of an optional family, which runs only when asked for, `extra` what installs it; its forecasters open
    without it. `same_bits_for_one_row`: a row alone is forecast as it is among others, to the last bit; else within rounding.
    """

    name: str
    description: str
    build: Callable[[int, int, int], Forecaster]
    restore: Callable[[Mapping[str, bytes]], Forecaster]
    per_series: bool
    is_baseline: bool = False
    in_combination: bool = True
    slow: bool = False
    why_equal: str = ""
    needs: str | None = None
    extra: str | None = None
    same_bits_for_one_row: bool = True

    @property
    def is_installed(self) -> bool:
        """Whether its library is there, if it needs one."""
        return self.needs is None or find_spec(self.needs) is not None


def sort_quantiles(quantiles: Array) -> Array:
    """Quantiles that never cross, (…, q): sorted along the last axis (rearrangement, Chernozhukov et al. 2010)."""
    return np.sort(quantiles, axis=-1)
