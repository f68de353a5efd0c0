"""XGBoost over all series and horizons at once: what the pooled regression leaves, learned by trees.

A row is a series at an origin and a horizon; its target is the error of the pooled regression there, in the row's volatility.
The rounds are found on the last origins, learned from those a horizon before them; then all origins are learned from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from epic22.core.history import Array, Histories
from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import Forecaster, PanelFamily
from epic22.core.models.panel.columns import NAMES, SEASONAL_NAMES, horizon_columns, origin_columns
from epic22.core.models.panel.growth import Growth
from epic22.core.models.panel.linear import PooledLinear, training_rows
from epic22.core.models.panel.scattered import Scattered

if TYPE_CHECKING:
    import xgboost

MOST_ROWS = 360_000
"""Rows of series × origin × horizon; more are thinned evenly over series and time."""

LEAST_ROWS = 500
WORST = 6.0
"""Errors are cut here, in volatilities times the root of the horizon: a broken value must not grow trees of its own."""

MOST_ROUNDS = 200
PATIENCE = 15

COLUMNS: tuple[str, ...] = (
    *NAMES,
    *SEASONAL_NAMES,
    "change foretold by the regression",
    "volatility beside the panel's usual one",
    "recent volatility beside the longer one",
    "horizon",
    "place in the cycle",
)


@dataclass
class PooledBoosting(Scattered):
    """The pooled regression, and trees on what it leaves."""

    season: int
    seed: int = 0
    threads: int = 1
    learning_rate: float = 0.08
    max_depth: int = 5
    min_child_weight: float = 50.0

    def fit(self, past: Histories, horizon: int) -> Self:
        """Fit the regression, then the trees, as many as the last origins bear out."""
        self._begin(past, horizon)
        self.linear_ = PooledLinear(self.season).fit(past, horizon)
        self.booster_: xgboost.Booster | None = None
        rows, targets = training_rows(past, horizon)
        most = max(MOST_ROWS // horizon, 1)
        if len(rows) > most:
            kept = np.linspace(0, len(rows) - 1, most).astype(np.int64)
            rows, targets = rows.take(kept), targets[kept]
        if len(rows) * horizon >= LEAST_ROWS:
            self._grow(self.growth(rows), targets)
        self._learn_scatter(past)
        return self

    def _grow(self, growth: Growth, targets: Array) -> None:
        n, horizon = len(growth.histories), self.horizon_
        X = self._columns(growth).reshape(n * horizon, len(COLUMNS))
        left = (growth.changes_to(targets) - self.linear_.path(growth)) / growth.volatility[:, None]
        root = np.sqrt(np.arange(1, horizon + 1))[None, :]
        y = np.clip(left / root, -WORST, WORST).reshape(-1)
        origin = np.repeat(growth.histories.origin, horizon)
        known = np.isfinite(y)
        span = max(self.season, 6)
        late = known & (origin > origin.max() - span - horizon)
        early = known & (origin <= origin.max() - span - 2 * horizon)
        rounds = self._rounds(X, y, early, late) if early.sum() >= LEAST_ROWS and late.any() else 0
        if rounds:
            self.booster_ = self._train(X[known], y[known], rounds)

    def _rounds(self, X: Array, y: Array, early: Array, late: Array) -> int:
        """How many rounds lessen the absolute error on the late origins; 0 where none do."""
        import xgboost

        fitted = xgboost.QuantileDMatrix(X[early], y[early], max_bin=64, nthread=self.threads)
        watched = xgboost.QuantileDMatrix(X[late], y[late], ref=fitted, max_bin=64, nthread=self.threads)
        history: dict[str, dict[str, list[float]]] = {}
        xgboost.train(
            self._parameters(),
            fitted,
            MOST_ROUNDS,
            evals=[(watched, "late")],
            early_stopping_rounds=PATIENCE,
            evals_result=history,
            verbose_eval=False,
        )
        errors = history["late"]["mae"]
        best = int(np.argmin(errors))
        return best + 1 if errors[best] < float(np.abs(y[late]).mean()) else 0

    def _train(self, X: Array, y: Array, rounds: int) -> "xgboost.Booster":
        import xgboost

        matrix = xgboost.QuantileDMatrix(X, y, max_bin=64, nthread=self.threads)
        return xgboost.train(self._parameters(), matrix, rounds)

    def _parameters(self) -> dict[str, object]:
        return {
            "objective": "reg:pseudohubererror",
            "huber_slope": 1.0,
            "eval_metric": "mae",
            "base_score": 0.0,
            "tree_method": "hist",
            "max_bin": 64,
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "seed": self.seed,
            "nthread": self.threads,
        }

    def _columns(self, growth: Growth) -> Array:
        """COLUMNS of each row and horizon, (n, horizon, p) float32."""
        horizon, n = self.horizon_, len(growth.histories)
        unit = growth.volatility[:, None]
        fixed = origin_columns(growth) / unit
        moving = horizon_columns(growth, horizon, seasonal=self.season > 1)
        recent = (
            np.sqrt(np.nanmean(np.nan_to_num(growth.changes[:, -max(self.season // 2, 3) :]) ** 2, axis=1)) / growth.volatility
        )
        ahead = np.arange(1, horizon + 1)
        X = np.zeros((n, horizon, len(COLUMNS)), dtype=np.float32)
        X[:, :, : len(NAMES)] = fixed[:, None, :]
        X[:, :, len(NAMES) : len(NAMES) + moving.shape[2]] = moving / unit[:, :, None]
        X[:, :, -5] = self.linear_.path(growth) / unit
        X[:, :, -4] = (growth.volatility / self.usual_)[:, None]
        X[:, :, -3] = recent[:, None]
        X[:, :, -2] = ahead[None, :]
        X[:, :, -1] = (growth.histories.origin[:, None] + ahead[None, :]) % self.season
        return X

    def path(self, growth: Growth) -> Array:
        """Changes from the origin, (n, horizon)."""
        base = self.linear_.path(growth)
        if self.booster_ is None:
            return base
        import xgboost

        X = self._columns(growth)
        matrix = xgboost.DMatrix(X.reshape(-1, len(COLUMNS)), nthread=self.threads)
        left = self.booster_.predict(matrix).astype(np.float64).reshape(base.shape)
        return np.asarray(base + left * np.sqrt(np.arange(1, self.horizon_ + 1))[None, :] * growth.volatility[:, None])

    def files(self) -> dict[str, bytes]:
        """The regression and the scatter as JSON, the trees in XGBoost's UBJ format."""
        files = {f"regression-{name}": content for name, content in self.linear_.files().items()}
        files["pooled_boosting.json"] = canonical_json(self.scatter_state())
        if self.booster_ is not None:
            files["booster.ubj"] = bytes(self.booster_.save_raw("ubj"))
        return files


def _build(season: int, seed: int, threads: int) -> Forecaster:
    return PooledBoosting(season, seed, threads)


def _restore(files: Mapping[str, bytes]) -> Forecaster:
    from epic22.core.models.panel.linear import FAMILY as LINEAR

    state = json.loads(files["pooled_boosting.json"])
    model = PooledBoosting(state["season"]).with_scatter(state)
    regression = LINEAR.restore({n.removeprefix("regression-"): c for n, c in files.items() if n.startswith("regression-")})
    assert isinstance(regression, PooledLinear)
    model.linear_, model.booster_ = regression, None
    if "booster.ubj" in files:
        import xgboost

        model.booster_ = xgboost.Booster()
        model.booster_.load_model(bytearray(files["booster.ubj"]))
        model.booster_.set_param({"nthread": 1})
    return model


FAMILY = PanelFamily(
    "pooled_boosting", "gradient-boosted trees on what the pooled regression leaves", _build, _restore, per_series=False
)
