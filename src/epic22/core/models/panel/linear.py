"""One regression for all series: changes to each horizon on the last changes, pooled over series and origins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from epic22.core.history import Array, Histories
from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import Forecaster, PanelFamily
from epic22.core.models.panel.columns import horizon_columns, origin_columns
from epic22.core.models.panel.growth import Growth
from epic22.core.models.panel.scattered import LEAST_VALUES, Scattered
from epic22.core.models.panel.season import seasonal_levels, shared_season, without_season

MOST_ORIGINS = 240
MOST_ROWS = 400_000
CLEAN_VALUES = 14
LEAST_CLEAN_ROWS = 200
SEASON_GAIN = 0.98
"""Columns of a row's own season stay where they lessen the error by two per cent; less is luck, and costs in an unlike year."""


@dataclass
class PooledLinear(Scattered):
    """Ridge regression per horizon on the columns of a history, a lively series' rows weighing less than a calm one's.

    The season that all series share is taken out before and put back after; what a series' own season adds stands in columns.
    """

    season: int
    penalty: float = 1e-4

    def fit(self, past: Histories, horizon: int) -> Self:
        """Learn from every earlier origin of every series."""
        self._begin(past, horizon)
        rows, targets = training_rows(past, horizon)
        growth = self.growth(rows)
        wanted = growth.changes_to(targets)
        self.levels_ = shared_season(past, self.season, self.usual_)
        self.seasonal_ = self.season > 1 and self._own_season_pays(past, growth, wanted)
        self.coef_ = self._coefficients(growth, wanted, self.levels_, self.seasonal_)
        self._learn_scatter(past)
        return self

    def _coefficients(self, growth: Growth, wanted: Array, levels: Array, own: bool) -> Array:
        """One row of coefficients a horizon, the intercept first."""
        fixed, moving, ahead = self._parts(growth, levels, own)
        weight = 1 / growth.volatility
        each = [_ridge(_matrix(fixed, moving, h), (wanted - ahead)[:, h], weight, self.penalty) for h in range(self.horizon_)]
        return np.stack(each)

    def _parts(self, growth: Growth, levels: Array, own: bool) -> tuple[Array, Array, Array]:
        """The columns of the origin (n, p), those of each horizon (n, horizon, q), and the shared season ahead (n, horizon)."""
        ahead = seasonal_levels(levels, growth, np.arange(1, self.horizon_ + 1))
        seen = without_season(growth, levels)
        return origin_columns(seen), horizon_columns(seen, self.horizon_, own), ahead

    def _own_season_pays(self, past: Histories, growth: Growth, wanted: Array) -> bool:
        """Whether columns of the own season lessen the error on the last cycles of origins, learned a horizon before them."""
        origin, span = growth.histories.origin, self.season * max(1, round(12 / self.season))
        if not len(origin):
            return False
        late = origin > origin.max() - span - self.horizon_
        early = origin <= origin.max() - span - 2 * self.horizon_
        if early.sum() < LEAST_CLEAN_ROWS or not late.any():
            return False
        learned, judged = _rows(growth, early), _rows(growth, late)
        levels = shared_season(past.earlier(np.full(len(past), span + self.horizon_)), self.season, self.usual_)
        errors = []
        for own in (False, True):
            fixed, moving, ahead = self._parts(judged, levels, own)
            found = ahead + _paths(fixed, moving, self._coefficients(learned, wanted[early], levels, own))
            errors.append(np.nanmean(np.abs(found - wanted[late]) / judged.volatility[:, None]))
        return bool(errors[1] < SEASON_GAIN * errors[0])

    def path(self, growth: Growth) -> Array:
        """Changes from the origin, (n, horizon)."""
        fixed, moving, ahead = self._parts(growth, self.levels_, self.seasonal_)
        return np.asarray(ahead + _paths(fixed, moving, self.coef_))

    def files(self) -> dict[str, bytes]:
        """One JSON file."""
        state = {"coef": self.coef_.tolist(), "seasonal": self.seasonal_, "levels": self.levels_.tolist(), **self.scatter_state()}
        return {"pooled_linear.json": canonical_json(state)}


def training_rows(past: Histories, horizon: int) -> tuple[Histories, Array]:
    """The earlier origins that a pooled family learns from and what came after them.

    Origins with a gap just before them are left out where enough others remain: a gap carried forward looks like a standstill
    and then a leap. Too many rows are thinned evenly.
    """
    rows, targets = past.pasts(min(MOST_ORIGINS, past.lines.shape[1]), horizon, LEAST_VALUES + 1)
    clean = rows.whole(CLEAN_VALUES)
    if clean.sum() >= LEAST_CLEAN_ROWS:
        rows, targets = rows.take(np.flatnonzero(clean)), targets[clean]
    if len(rows) <= MOST_ROWS:
        return rows, targets
    kept = np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)
    return rows.take(kept), targets[kept]


def _rows(growth: Growth, chosen: Array) -> Growth:
    return Growth(growth.histories.take(np.flatnonzero(chosen)), growth.season, growth.usual)


def _paths(fixed: Array, moving: Array, coef: Array) -> Array:
    # einsum sums each row by itself, so that a row alone gets the same bits as in a batch.
    return np.stack([np.einsum("ij,j->i", _matrix(fixed, moving, h), row) for h, row in enumerate(coef)], axis=1)


def _matrix(fixed: Array, moving: Array, h: int) -> Array:
    return np.concatenate([np.ones((len(fixed), 1)), fixed, moving[:, h]], axis=1)


def _ridge(X: Array, y: Array, weight: Array, penalty: float) -> Array:
    """Weighted least squares with a penalty in units of each column's own size; the intercept bears none."""
    known = np.isfinite(y)
    X, y, weight = X[known], y[known], weight[known]
    if not len(y):
        return np.zeros(X.shape[1])
    weighted = X * (weight / weight.mean())[:, None]
    gram = weighted.T @ X
    shrink = penalty * np.maximum(np.diag(gram), 1e-12)
    shrink[0] = 0.0
    return np.asarray(np.linalg.solve(gram + np.diag(shrink), weighted.T @ y))


def _build(season: int, seed: int, threads: int) -> Forecaster:
    return PooledLinear(season)


def _restore(files: Mapping[str, bytes]) -> Forecaster:
    state = json.loads(files["pooled_linear.json"])
    model = PooledLinear(state["season"]).with_scatter(state)
    model.coef_ = np.array(state["coef"], dtype=np.float64)
    model.seasonal_, model.levels_ = state["seasonal"], np.array(state["levels"], dtype=np.float64)
    return model


FAMILY = PanelFamily(
    # The boosting family contains it, and is the member of the combination.
    "pooled_linear",
    "one regression of changes on past changes for all series",
    _build,
    _restore,
    per_series=False,
    member=False,
)
