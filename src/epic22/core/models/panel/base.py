"""The contract of a forecasting family and of the forecasters it builds.

A forecaster is fitted on a panel as it was known at one moment, the end of each line: what came later is not in what it is
handed, so nothing of it can leak. It then forecasts from any histories, of the same moment or of later ones, with what it
learned unchanged ("rolled forward").
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Protocol, Self

import numpy as np

from epic22.core.fit_store import FitForm, StoredFit, TimedFit, fit_once, list_array_bytes
from epic22.core.lineage import sha256
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


@dataclass(frozen=True)
class ForecasterSetup:
    """A family with what its forecasters are built by."""

    family: PanelFamily
    season: int
    seed: int
    threads: int

    def fit(self, past: Histories, horizon: int) -> TimedFit[Forecaster]:
        """A forecaster fitted on these histories; read where a training that was interrupted left it."""
        if self.family.needs == "torch":
            # A network's training keeps checkpoints of its own, which know how far it is.
            began = time.perf_counter()
            return TimedFit(self._build().fit(past, horizon), time.perf_counter() - began)
        form = FitForm[Forecaster](lambda one: StoredFit(one.files()), lambda stored: self.family.restore(stored.files))
        return fit_once(partial(self._compute_digest, past, horizon), lambda: self._build().fit(past, horizon), form)

    def _build(self) -> Forecaster:
        return self.family.build(self.season, self.seed, self.threads)

    def _compute_digest(self, past: Histories, horizon: int, environment: bytes) -> str:
        """The hash of all that decides a fit; what lies beyond the ends of histories decides nothing."""
        how = (self.family.name, self.season, self.seed, self.threads, horizon, past.first, past.frequency.name)
        names = [str(name) for name in past.entity]
        rows = list_array_bytes(past.build_known_values(), past.end)
        return sha256(b"forecaster", environment, repr((how, names)).encode(), *rows)


def sort_quantiles(quantiles: Array) -> Array:
    """Quantiles that never cross, (…, q): sorted along the last axis (rearrangement, Chernozhukov et al. 2010)."""
    return np.sort(quantiles, axis=-1)
