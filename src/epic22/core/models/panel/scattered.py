"""Forecasters that state one path a row in growth space; their quantiles are the scatter of their own errors in the past."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from epic22.core.history import Array, Histories
from epic22.core.models.panel.base import LEVELS, MEDIAN, ascending
from epic22.core.models.panel.growth import Growth, usual_volatility

SCATTER_CYCLES = 3
"""So many last cycles of origins tell the scatter of errors."""

LEAST_VALUES = 3
LEAST_ERRORS = 10


class Scattered(ABC):
    """`path` gives changes from the origin in growth space; quantiles follow from past errors of it.

    Errors are measured in units of each row's own volatility at its own origin, pooled over series, horizon by horizon.
    """

    season: int
    horizon_: int
    usual_: float
    scatter_: Array
    """(horizon, q): offsets of the quantiles from the path, in volatilities."""

    @abstractmethod
    def path(self, growth: Growth) -> Array:
        """Changes from the origin on in growth space, (n, horizon)."""

    def growth(self, histories: Histories) -> Growth:
        """The histories in growth space."""
        return Growth(histories, self.season, self.usual_)

    def _begin(self, past: Histories, horizon: int) -> None:
        self.horizon_, self.usual_ = horizon, usual_volatility(past, self.season)

    def _learn_scatter(self, past: Histories) -> None:
        origins = max(SCATTER_CYCLES * max(self.season, 12), 2 * self.horizon_)
        rows, targets = past.pasts(origins, self.horizon_, LEAST_VALUES)
        self.scatter_ = np.zeros((self.horizon_, len(LEVELS)))
        if not len(rows):
            return
        growth = self.growth(rows)
        errors = (growth.changes_to(targets) - self.path(growth)) / growth.volatility[:, None]
        for h in range(self.horizon_):
            known = errors[np.isfinite(errors[:, h]), h]
            if len(known) >= LEAST_ERRORS:
                self.scatter_[h] = np.quantile(known, LEVELS)
            elif h:
                self.scatter_[h] = self.scatter_[h - 1]
        # The path itself is the median; what it was wrong by on the whole is for the calibration to say.
        self.scatter_[:, :MEDIAN] = np.minimum(self.scatter_[:, :MEDIAN], 0.0)
        self.scatter_[:, MEDIAN] = 0.0
        self.scatter_[:, MEDIAN + 1 :] = np.maximum(self.scatter_[:, MEDIAN + 1 :], 0.0)

    def predict(self, histories: Histories) -> Array:
        """The point forecasts, (n, horizon)."""
        growth = self.growth(histories)
        return growth.leave(growth.z[:, -1:] + self.path(growth))

    def predict_quantiles(self, histories: Histories) -> Array:
        """The quantiles LEVELS, (n, horizon, q)."""
        growth = self.growth(histories)
        path = growth.z[:, -1:] + self.path(growth)
        wide = growth.volatility[:, None, None] * self.scatter_[None, :, :]
        return ascending(growth.leave(path[:, :, None] + wide))

    def scatter_state(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"season": self.season, "horizon": self.horizon_, "usual": self.usual_, "scatter": self.scatter_.tolist()}

    def with_scatter(self, state: dict[str, Any]) -> Self:
        """Itself with the state put back."""
        self.season, self.horizon_, self.usual_ = state["season"], state["horizon"], state["usual"]
        self.scatter_ = np.array(state["scatter"], dtype=np.float64)
        return self
