"""What a forecast must beat: naive, drift, damped drift, seasonal naive."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import Forecaster, PanelFamily
from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.models.panel.residual_quantiles import ResidualQuantiles
from epic22.core.time_series import Array, Histories

DAMPING = 0.9
"""What is left of a month's growth in the next month (Gardner and McKenzie 1985 recommend damping, not one value)."""

DRIFT_SPAN = 12
"""Periods whose growth drift carries on where there is no cycle."""


def forecast_naive(window: Array, season: int, horizon: int) -> Array:
    """No change, (n, horizon)."""
    return np.zeros((len(window), horizon))


def _compute_mean_change(window: Array, season: int) -> Array:
    """Mean change a period over the last cycle, or since the first value where that is later, (n,)."""
    span = season if season > 1 else DRIFT_SPAN
    recent = window[:, -(span + 1) :]
    n_known = np.isfinite(recent).sum(axis=1)
    first = recent[np.arange(len(recent)), np.minimum(recent.shape[1] - n_known, recent.shape[1] - 1)]
    return np.where(n_known > 1, (recent[:, -1] - first) / np.maximum(n_known - 1, 1), 0.0)


def forecast_drift(window: Array, season: int, horizon: int) -> Array:
    """The last cycle's growth carried on: x·(x/x₋₁₂)^(h/12) for months, (n, horizon)."""
    return np.asarray(_compute_mean_change(window, season)[:, None] * np.arange(1, horizon + 1)[None, :])


def forecast_damped_drift(window: Array, season: int, horizon: int) -> Array:
    """The last cycle's growth, fading by DAMPING a twelfth of a cycle, (n, horizon)."""
    damping = DAMPING ** (12 / season if season > 1 else 1.0)
    return np.asarray(_compute_mean_change(window, season)[:, None] * np.cumsum(damping ** np.arange(1, horizon + 1))[None, :])


def forecast_seasonal_naive(window: Array, season: int, horizon: int) -> Array:
    """The value of the same place in the last cycle, (n, horizon); no change where a cycle is not known."""
    steps = window.shape[1]
    out = np.zeros((len(window), horizon))
    for h in range(1, horizon + 1):
        place = steps - 1 + h - -(-h // season) * season
        if 0 <= place < steps:
            out[:, h - 1] = np.nan_to_num(window[:, place] - window[:, -1])
    return out


NAIVE_METHODS: Mapping[str, tuple[Callable[[Array, int, int], Array], str]] = {
    "naive": (forecast_naive, "the last value"),
    "drift": (forecast_drift, "the last cycle's growth goes on"),
    "damped_drift": (forecast_damped_drift, "the last cycle's growth goes on and fades"),
    "seasonal_naive": (forecast_seasonal_naive, "the value of the same season last time"),
}


@dataclass
class NaiveForecaster(ResidualQuantiles):
    """One of RULES.

    >>> from epic22.core.time_series import QUARTERLY
    >>> line = Histories.of_lines(np.array([[1.0, 2.0, 3.0, 4.0] * 6]), np.array(["a"]), 0, QUARTERLY)
    >>> NaiveForecaster("seasonal_naive", season=4).fit(line, 2).predict_quantiles(line)[:, :, 2].round(6).tolist()
    [[1.0, 2.0]]
    """

    method: str
    season: int

    def fit(self, past: Histories, horizon: int) -> Self:
        """Learn the scatter; the path needs no learning."""
        self._start_fit(past, horizon)
        self._fit_residual_quantiles(past)
        return self

    def predict_path(self, growth: LogGrowth) -> Array:
        """The rule's path, (n, horizon)."""
        return NAIVE_METHODS[self.method][0](growth.z, self.season, self.horizon_)

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        return {"rule.json": canonical_json({"rule": self.method, **self.to_state()})}


def _restore(files: Mapping[str, bytes]) -> Forecaster:
    state = json.loads(files["rule.json"])
    return NaiveForecaster(state["rule"], state["season"]).restore_state(state)


def _build(method: str, season: int, seed: int, threads: int) -> Forecaster:
    return NaiveForecaster(method, season)


FAMILIES: tuple[PanelFamily, ...] = tuple(
    PanelFamily(
        name,
        about,
        partial(_build, name),
        _restore,
        per_series=True,
        is_baseline=True,
        in_combination=name == "damped_drift",
    )
    for name, (_, about) in NAIVE_METHODS.items()
)
