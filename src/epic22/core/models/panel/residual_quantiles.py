"""Forecasters that state one path a row in growth space; their quantiles are the scatter of their own errors in the past."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS, sort_quantiles
from epic22.core.models.panel.log_growth import LogGrowth, compute_typical_volatility
from epic22.core.time_series import Array, Histories

RESIDUAL_CYCLES = 3
"""This many last cycles of origins tell the scatter of errors."""

MIN_VALUES = 3
MIN_ERRORS = 10


class ResidualQuantiles(ABC):
    """`predict_path` gives changes from the origin in growth space; quantiles follow from past errors of it.

    Errors are measured in units of each row's own volatility at its own origin, pooled over series, horizon by horizon. Series
    that have never moved are left out of the pool: they are never missed, and of many of them the scatter would be none.
    """

    season: int
    horizon_: int
    typical_volatility_: float
    residual_quantiles_: Array
    """(horizon, q): offsets of the quantiles from the path, in volatilities."""

    @abstractmethod
    def predict_path(self, growth: LogGrowth) -> Array:
        """Changes from the origin on in growth space, (n, horizon)."""

    def to_growth_space(self, histories: Histories) -> LogGrowth:
        """The histories in growth space."""
        return LogGrowth(histories, self.season, self.typical_volatility_)

    def _start_fit(self, past: Histories, horizon: int) -> None:
        self.horizon_, self.typical_volatility_ = horizon, compute_typical_volatility(past, self.season)

    def _fit_residual_quantiles(self, past: Histories) -> None:
        origins = max(RESIDUAL_CYCLES * max(self.season, 12), 2 * self.horizon_)
        lively = past.take(np.flatnonzero(past.is_lively()))
        rows, targets = lively.build_training_windows(origins, self.horizon_, MIN_VALUES)
        self.residual_quantiles_ = np.zeros((self.horizon_, len(QUANTILE_LEVELS)))
        if not len(rows):
            return
        growth = self.to_growth_space(rows)
        errors = (growth.compute_changes(targets) - self.predict_path(growth)) / growth.volatility[:, None]
        for h in range(self.horizon_):
            observed = errors[np.isfinite(errors[:, h]), h]
            if len(observed) >= MIN_ERRORS:
                self.residual_quantiles_[h] = np.quantile(observed, QUANTILE_LEVELS)
            elif h:
                self.residual_quantiles_[h] = self.residual_quantiles_[h - 1]
        # The path itself is the median; what it was wrong by on the whole is for the calibration to say.
        self.residual_quantiles_[:, :MEDIAN_INDEX] = np.minimum(self.residual_quantiles_[:, :MEDIAN_INDEX], 0.0)
        self.residual_quantiles_[:, MEDIAN_INDEX] = 0.0
        self.residual_quantiles_[:, MEDIAN_INDEX + 1 :] = np.maximum(self.residual_quantiles_[:, MEDIAN_INDEX + 1 :], 0.0)

    def predict_quantiles(self, histories: Histories) -> Array:
        """The quantiles LEVELS, (n, horizon, q)."""
        growth = self.to_growth_space(histories)
        path = growth.z[:, -1:] + self.predict_path(growth)
        offsets = growth.volatility[:, None, None] * self.residual_quantiles_[None, :, :]
        return sort_quantiles(growth.inverse_transform(path[:, :, None] + offsets))

    def to_state(self) -> Mapping[str, object]:
        """What was learned, as JSON has it."""
        return {
            "season": self.season,
            "horizon": self.horizon_,
            "usual": self.typical_volatility_,
            "scatter": self.residual_quantiles_.tolist(),
        }

    def restore_state(self, state: Mapping[str, Any]) -> Self:
        """Itself with the state put back."""
        self.season, self.horizon_, self.typical_volatility_ = state["season"], state["horizon"], state["usual"]
        self.residual_quantiles_ = np.array(state["scatter"], dtype=np.float64)
        return self
