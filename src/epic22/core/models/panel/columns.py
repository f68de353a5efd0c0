"""What the pooled families see of a history at its origin: lags, windows, seasonal changes, in growth space."""

import numpy as np

from epic22.core.history import Array
from epic22.core.models.panel.growth import Growth, seasonal_change

LAGS = 6
NAMES: tuple[str, ...] = (
    *(f"change {lag} before the last" if lag else "last change" for lag in range(LAGS)),
    "change over a quarter cycle",
    "change over half a cycle",
    "change over a cycle",
    "distance to the mean of a cycle",
)
"""The columns that do not depend on the horizon."""

SEASONAL_NAMES: tuple[str, ...] = ("same span a cycle ago", "same place in the last cycles")
"""The columns that do, where the panel has a season."""


def origin_columns(growth: Growth) -> Array:
    """NAMES of each row, (n, p); missing ones are 0."""
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


def horizon_columns(growth: Growth, horizon: int, seasonal: bool) -> Array:
    """SEASONAL_NAMES of each row and horizon, (n, horizon, 0 or 2); missing ones are 0."""
    if not seasonal:
        return np.zeros((len(growth.z), horizon, 0))
    spans = seasonal_change(growth.z, growth.season, horizon)
    places = np.stack([_same_place(growth.z, growth.season, h) for h in range(1, horizon + 1)], axis=1)
    return np.asarray(np.nan_to_num(np.stack([spans, places], axis=2)))


def _same_place(z: Array, season: int, h: int) -> Array:
    """Mean of the values at the same place in the cycles that the window holds, less the last value, (n,)."""
    last = z.shape[1] - 1
    places = list(range(last + h - -(-h // season) * season, -1, -season))
    held = z[:, places]
    count = np.isfinite(held).sum(axis=1)
    return np.where(count > 0, np.nansum(held, axis=1) / np.maximum(count, 1) - z[:, -1], 0.0)
