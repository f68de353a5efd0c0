"""XGBoost over all series and horizons at once: what the pooled regression leaves, learned by trees.

A row is a series at an origin and a horizon; its target is the error of the pooled regression there, in the row's volatility.
The rounds are found on the last origins, learned from those a horizon before them; then all origins are learned from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from epic22.core.lineage import canonical_json
from epic22.core.models.panel.base import Forecaster, PanelFamily
from epic22.core.models.panel.lag_columns import ORIGIN_COLUMNS, SEASONAL_COLUMNS, build_horizon_columns, build_origin_columns
from epic22.core.models.panel.linear import PooledLinear, restore_pooled_linear, select_training_rows
from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.models.panel.residual_quantiles import ResidualQuantiles
from epic22.core.models.trees.boosted import BOOSTER_FILE, load_booster
from epic22.core.time_series import Array, Histories

if TYPE_CHECKING:
    import xgboost

MAX_ROWS = 360_000
"""Rows of series × origin × horizon; more are thinned evenly over series and time."""

MIN_ROWS = 500
MAX_ERROR = 6.0
"""Errors are cut here, in volatilities times the root of the horizon: a broken value must not grow trees of its own."""

MAX_ROUNDS = 200
PATIENCE = 15

COLUMNS: tuple[str, ...] = (
    *ORIGIN_COLUMNS,
    *SEASONAL_COLUMNS,
    "change foretold by the regression",
    "volatility beside the panel's usual one",
    "recent volatility beside the longer one",
    "horizon",
    "place in the cycle",
)


@dataclass
class PooledBoosting(ResidualQuantiles):
    """The pooled regression, and trees on what it leaves."""

    season: int
    seed: int = 0
    threads: int = 1
    learning_rate: float = 0.08
    max_depth: int = 5
    min_child_weight: float = 50.0

    def fit(self, past: Histories, horizon: int) -> Self:
        """Fit the regression, then the trees, as many as the last origins bear out."""
        self._start_fit(past, horizon)
        self.linear_ = PooledLinear(self.season).fit(past, horizon)
        self.booster_: xgboost.Booster | None = None
        rows, targets = select_training_rows(past, horizon)
        max_rows = max(MAX_ROWS // horizon, 1)
        if len(rows) > max_rows:
            selected = np.linspace(0, len(rows) - 1, max_rows).astype(np.int64)
            rows, targets = rows.take(selected), targets[selected]
        if len(rows) * horizon >= MIN_ROWS:
            self._fit_trees(self.to_growth_space(rows), targets)
        self._fit_residual_quantiles(past)
        return self

    def _fit_trees(self, growth: LogGrowth, targets: Array) -> None:
        n, horizon = len(growth.histories), self.horizon_
        X = self._build_columns(growth).reshape(n * horizon, len(COLUMNS))
        residuals = (growth.compute_changes(targets) - self.linear_.predict_path(growth)) / growth.volatility[:, None]
        root = np.sqrt(np.arange(1, horizon + 1))[None, :]
        y = np.clip(residuals / root, -MAX_ERROR, MAX_ERROR).reshape(-1)
        origin = np.repeat(growth.histories.origin, horizon)
        is_finite = np.isfinite(y)
        span = max(self.season, 6)
        late = is_finite & (origin > origin.max() - span - horizon)
        early = is_finite & (origin <= origin.max() - span - 2 * horizon)
        rounds = self._choose_rounds(X, y, early, late) if early.sum() >= MIN_ROWS and late.any() else 0
        if rounds:
            import xgboost

            matrix = xgboost.QuantileDMatrix(X[is_finite], y[is_finite], max_bin=64, nthread=self.threads)
            self.booster_ = xgboost.train(self._params(), matrix, rounds)

    def _choose_rounds(self, X: Array, y: Array, early: Array, late: Array) -> int:
        """How many rounds lessen the absolute error on the late origins; 0 where none do."""
        import xgboost

        dtrain = xgboost.QuantileDMatrix(X[early], y[early], max_bin=64, nthread=self.threads)
        dvalid = xgboost.QuantileDMatrix(X[late], y[late], ref=dtrain, max_bin=64, nthread=self.threads)
        history: dict[str, dict[str, list[float]]] = {}
        xgboost.train(
            self._params(),
            dtrain,
            MAX_ROUNDS,
            evals=[(dvalid, "late")],
            early_stopping_rounds=PATIENCE,
            evals_result=history,
            verbose_eval=False,
        )
        errors = history["late"]["mae"]
        best = int(np.argmin(errors))
        return best + 1 if errors[best] < float(np.abs(y[late]).mean()) else 0

    def _params(self) -> dict[str, object]:
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

    def _build_columns(self, growth: LogGrowth) -> Array:
        """COLUMNS of each row and horizon, (n, horizon, p) float32."""
        horizon, n = self.horizon_, len(growth.histories)
        unit = growth.volatility[:, None]
        fixed = build_origin_columns(growth) / unit
        moving = build_horizon_columns(growth, horizon, seasonal=self.season > 1)
        recent = (
            np.sqrt(np.nanmean(np.nan_to_num(growth.changes[:, -max(self.season // 2, 3) :]) ** 2, axis=1)) / growth.volatility
        )
        ahead = np.arange(1, horizon + 1)
        X = np.zeros((n, horizon, len(COLUMNS)), dtype=np.float32)
        X[:, :, : len(ORIGIN_COLUMNS)] = fixed[:, None, :]
        X[:, :, len(ORIGIN_COLUMNS) : len(ORIGIN_COLUMNS) + moving.shape[2]] = moving / unit[:, :, None]
        X[:, :, -5] = self.linear_.predict_path(growth) / unit
        X[:, :, -4] = (growth.volatility / self.typical_volatility_)[:, None]
        X[:, :, -3] = recent[:, None]
        X[:, :, -2] = ahead[None, :]
        X[:, :, -1] = (growth.histories.origin[:, None] + ahead[None, :]) % self.season
        return X

    def predict_path(self, growth: LogGrowth) -> Array:
        """Changes from the origin, (n, horizon)."""
        base = self.linear_.predict_path(growth)
        if self.booster_ is None:
            return base
        import xgboost

        X = self._build_columns(growth)
        matrix = xgboost.DMatrix(X.reshape(-1, len(COLUMNS)), nthread=self.threads)
        residuals = self.booster_.predict(matrix).astype(np.float64).reshape(base.shape)
        return np.asarray(base + residuals * np.sqrt(np.arange(1, self.horizon_ + 1))[None, :] * growth.volatility[:, None])

    def files(self) -> dict[str, bytes]:
        """The regression and the scatter as JSON, the trees in XGBoost's UBJ format."""
        files = {f"regression-{name}": content for name, content in self.linear_.files().items()}
        files["pooled_boosting.json"] = canonical_json(self.to_state())
        if self.booster_ is not None:
            files[BOOSTER_FILE] = bytes(self.booster_.save_raw("ubj"))
        return files


def _restore(files: Mapping[str, bytes]) -> Forecaster:
    state = json.loads(files["pooled_boosting.json"])
    model = PooledBoosting(state["season"]).restore_state(state)
    own = {name.removeprefix("regression-"): content for name, content in files.items() if name.startswith("regression-")}
    model.linear_, model.booster_ = restore_pooled_linear(own), None
    if BOOSTER_FILE in files:
        model.booster_ = load_booster(files)
    return model


FAMILY = PanelFamily(
    "pooled_boosting",
    "gradient-boosted trees on what the pooled regression leaves",
    PooledBoosting,
    _restore,
    per_series=False,
    why_equal=" (it kept no tree: none lessened the regression's errors on its last origins)",
)
