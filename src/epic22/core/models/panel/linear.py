"""One regression for all series: changes to each horizon on the last changes, pooled over series and origins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import PanelFamily
from epic22.core.models.panel.lag_columns import build_horizon_columns, build_origin_columns
from epic22.core.models.panel.log_growth import LogGrowth, compute_seasonal_levels, estimate_shared_season, remove_season
from epic22.core.models.panel.residual_quantiles import MIN_VALUES, ResidualQuantiles
from epic22.core.time_series import Array, Histories

MAX_ORIGINS = 240
MAX_ROWS = 400_000
CLEAN_VALUES = 14
MIN_CLEAN_ROWS = 200
MAX_SEASON_ERROR_RATIO = 0.98
"""Columns of a row's own season stay where they lessen the error by two per cent; less is luck, and costs in an unlike year."""


@dataclass
class PooledLinear(ResidualQuantiles):
    """Ridge regression per horizon on the columns of a history, a lively series' rows weighing less than a calm one's.

    The season that all series share is taken out before and put back after; what a series' own season adds stands in columns.
    """

    season: int
    penalty: float = 1e-4

    def fit(self, past: Histories, horizon: int) -> Self:
        """Learn from every earlier origin of every series."""
        self._start_fit(past, horizon)
        rows, targets = select_training_rows(past, horizon)
        growth = self.to_growth_space(rows)
        changes = growth.compute_changes(targets)
        self.levels_ = estimate_shared_season(past, self.season, self.typical_volatility_)
        self.seasonal_ = self.season > 1 and self._is_own_season_useful(past, growth, changes)
        self.coef_ = self._fit_coefficients(growth, changes, self.levels_, self.seasonal_)
        self._fit_residual_quantiles(past)
        return self

    def _fit_coefficients(self, growth: LogGrowth, changes: Array, levels: Array, own_season: bool) -> Array:
        """One row of coefficients a horizon, the intercept first."""
        fixed, moving, ahead = self._build_parts(growth, levels, own_season)
        weight = 1 / growth.volatility
        each = [
            _fit_ridge(_build_matrix(fixed, moving, h), (changes - ahead)[:, h], weight, self.penalty)
            for h in range(self.horizon_)
        ]
        return np.stack(each)

    def _build_parts(self, growth: LogGrowth, levels: Array, own_season: bool) -> tuple[Array, Array, Array]:
        """The columns of the origin (n, p), those of each horizon (n, horizon, q), and the shared season ahead (n, horizon)."""
        ahead = compute_seasonal_levels(levels, growth, np.arange(1, self.horizon_ + 1))
        deseasonalized = remove_season(growth, levels)
        return build_origin_columns(deseasonalized), build_horizon_columns(deseasonalized, self.horizon_, own_season), ahead

    def _is_own_season_useful(self, past: Histories, growth: LogGrowth, changes: Array) -> bool:
        """Whether columns of the own season lessen the error on the last cycles of origins, learned a horizon before them."""
        origin, span = growth.histories.origin, self.season * max(1, round(12 / self.season))
        if not len(origin):
            return False
        late = origin > origin.max() - span - self.horizon_
        early = origin <= origin.max() - span - 2 * self.horizon_
        if early.sum() < MIN_CLEAN_ROWS or not late.any():
            return False
        train_rows, test_rows = _take_rows(growth, early), _take_rows(growth, late)
        levels = estimate_shared_season(
            past.shift_back(np.full(len(past), span + self.horizon_)), self.season, self.typical_volatility_
        )
        errors = []
        for own_season in (False, True):
            fixed, moving, ahead = self._build_parts(test_rows, levels, own_season)
            predicted = ahead + _predict_paths(
                fixed, moving, self._fit_coefficients(train_rows, changes[early], levels, own_season)
            )
            errors.append(np.nanmean(np.abs(predicted - changes[late]) / test_rows.volatility[:, None]))
        return bool(errors[1] < MAX_SEASON_ERROR_RATIO * errors[0])

    def predict_path(self, growth: LogGrowth) -> Array:
        """Changes from the origin, (n, horizon)."""
        fixed, moving, ahead = self._build_parts(growth, self.levels_, self.seasonal_)
        return np.asarray(ahead + _predict_paths(fixed, moving, self.coef_))

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        state = {"coef": self.coef_.tolist(), "seasonal": self.seasonal_, "levels": self.levels_.tolist(), **self.to_state()}
        return {"pooled_linear.json": canonical_json(state)}


def select_training_rows(past: Histories, horizon: int) -> tuple[Histories, Array]:
    """The earlier origins that a pooled family learns from and what came after them.

    Origins with a gap just before them are left out where enough others remain: a gap carried forward looks like a standstill
    and then a leap. Too many rows are thinned evenly.
    """
    rows, targets = past.build_training_windows(min(MAX_ORIGINS, past.lines.shape[1]), horizon, MIN_VALUES + 1)
    clean = rows.is_complete(CLEAN_VALUES)
    if clean.sum() >= MIN_CLEAN_ROWS:
        rows, targets = rows.take(np.flatnonzero(clean)), targets[clean]
    if len(rows) <= MAX_ROWS:
        return rows, targets
    selected = np.linspace(0, len(rows) - 1, MAX_ROWS).astype(np.int64)
    return rows.take(selected), targets[selected]


def _take_rows(growth: LogGrowth, mask: Array) -> LogGrowth:
    return LogGrowth(growth.histories.take(np.flatnonzero(mask)), growth.season, growth.typical_volatility)


def _predict_paths(fixed: Array, moving: Array, coef: Array) -> Array:
    # einsum sums each row by itself, so that a row alone gets the same bits as in a batch.
    return np.stack([np.einsum("ij,j->i", _build_matrix(fixed, moving, h), row) for h, row in enumerate(coef)], axis=1)


def _build_matrix(fixed: Array, moving: Array, h: int) -> Array:
    return np.concatenate([np.ones((len(fixed), 1)), fixed, moving[:, h]], axis=1)


def _fit_ridge(X: Array, y: Array, weight: Array, penalty: float) -> Array:
    """Weighted least squares with a penalty in units of each column's own size; the intercept bears none."""
    is_finite = np.isfinite(y)
    X, y, weight = X[is_finite], y[is_finite], weight[is_finite]
    if not len(y):
        return np.zeros(X.shape[1])
    weighted = X * (weight / weight.mean())[:, None]
    gram = weighted.T @ X
    shrink = penalty * np.maximum(np.diag(gram), 1e-12)
    shrink[0] = 0.0
    return np.asarray(np.linalg.solve(gram + np.diag(shrink), weighted.T @ y))


def restore_pooled_linear(files: Mapping[str, bytes]) -> PooledLinear:
    """The regression of a bundle's files."""
    state = json.loads(files["pooled_linear.json"])
    model = PooledLinear(state["season"]).restore_state(state)
    model.coef_ = np.array(state["coef"], dtype=np.float64)
    model.seasonal_, model.levels_ = state["seasonal"], np.array(state["levels"], dtype=np.float64)
    return model


FAMILY = PanelFamily(
    # The boosting family contains it, and is the member of the combination.
    "pooled_linear",
    "one regression of changes on past changes for all series",
    lambda season, seed, threads: PooledLinear(season),
    restore_pooled_linear,
    per_series=False,
    in_combination=False,
)
