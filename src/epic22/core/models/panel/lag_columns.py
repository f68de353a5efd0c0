"""What the pooled families see of a history at its origin: lags, windows, seasonal changes, in growth space."""

import numpy as np

from epic22.core.models.panel.log_growth import LogGrowth, compute_seasonal_changes
from epic22.core.time_series import Array

LAGS = 6
ORIGIN_COLUMNS: tuple[str, ...] = (
    *(f"change {lag} before the last" if lag else "last change" for lag in range(LAGS)),
    "change over a quarter cycle",
    "change over half a cycle",
    "change over a cycle",
    "distance to the mean of a cycle",
)
"""The columns that do not depend on the horizon."""

SEASONAL_COLUMNS: tuple[str, ...] = ("same span a cycle ago", "same place in the last cycles")
"""The columns that do, where the panel has a season."""


def build_origin_columns(growth: LogGrowth) -> Array:
    """ORIGIN_COLUMNS of each row, (n, p); missing ones are 0."""
    z, season = growth.z, growth.season if growth.season > 1 else 12
    changes = growth.changes
    cycle = z[:, -season:]
    cycle_mean = np.nansum(cycle, axis=1) / np.maximum(np.isfinite(cycle).sum(axis=1), 1)
    columns = [
        *(changes[:, -1 - lag] for lag in range(LAGS)),
        z[:, -1] - z[:, -1 - max(season // 4, 1)],
        z[:, -1] - z[:, -1 - max(season // 2, 1)],
        z[:, -1] - z[:, -1 - season],
        cycle_mean - z[:, -1],
    ]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1)))


def build_horizon_columns(growth: LogGrowth, horizon: int, seasonal: bool) -> Array:
    """SEASONAL_COLUMNS of each row and horizon, (n, horizon, 0 or 2); missing ones are 0."""
    if not seasonal:
        return np.zeros((len(growth.z), horizon, 0))
    spans = compute_seasonal_changes(growth.z, growth.season, horizon)
    places = np.stack([_compute_seasonal_mean(growth.z, growth.season, h) for h in range(1, horizon + 1)], axis=1)
    return np.asarray(np.nan_to_num(np.stack([spans, places], axis=2)))


def _compute_seasonal_mean(z: Array, season: int, h: int) -> Array:
    """Mean of the values at the same place in the cycles that the window holds, less the last value, (n,)."""
    last = z.shape[1] - 1
    places = list(range(last + h - -(-h // season) * season, -1, -season))
    values = z[:, places]
    count = np.isfinite(values).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1) - z[:, -1], 0.0)
