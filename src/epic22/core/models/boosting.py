"""Gradient-boosted trees by XGBoost: histograms, native categories by our own fixed map, native missing values, exact SHAP.

The shape of the trees and the number of rounds are found on the inner fold, then the whole training part is fitted with them.
Class weights are never used: they ruin the probabilities.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from epic22.core.models.base import CLASSIFIED, Estimator, Family, Inner, Part, check_fit, never
from epic22.core.models.exposed import with_exposure
from epic22.core.models.forest import Forest
from epic22.core.models.logged import with_logs
from epic22.core.models.loss import JUDGED_POWER, LEAST_MEAN, SQUARED, Loss
from epic22.core.models.power import power_of
from epic22.core.models.trees import SMALL_CELLS, LabelTrees, XGBoostTrees, bins_for, in_unit, restored_booster
from epic22.core.models.watching import LOSSES, Rows, train_watched
from epic22.core.task import Array, Kind, Task

if TYPE_CHECKING:
    import xgboost

OBJECTIVES: Mapping[str, tuple[str, str]] = {
    "binary": ("binary:logistic", "logloss"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "squared": ("reg:squarederror", "rmse"),
    "absolute": ("reg:absoluteerror", "mae"),
    "quantile": ("reg:quantileerror", "quantile"),
    "poisson": ("count:poisson", "poisson-nloglik"),
    "tweedie": ("reg:tweedie", "tweedie-nloglik"),
}
"""XGBoost's objective and the metric that stops it, by kind for classes and by loss for values."""

STARTS: tuple[Mapping[str, Any], ...] = tuple(
    {"learning_rate": 0.05, **shape}
    for shape in (
        {"max_depth": 6, "min_child_weight": 1.0},
        {"max_depth": 9, "min_child_weight": 1.0, "subsample": 0.85},
        {"max_depth": 6, "min_child_weight": 5.0, "colsample_bytree": 0.5},
        {"max_depth": 4, "min_child_weight": 10.0, "colsample_bytree": 0.5},
        {"max_depth": 3, "min_child_weight": 3.0, "colsample_bytree": 0.6, "subsample": 0.8, "reg_lambda": 3.0},
        {"max_depth": 8, "min_child_weight": 2.0, "colsample_bytree": 0.7, "subsample": 0.8, "reg_lambda": 5.0},
        {"max_depth": 2, "min_child_weight": 5.0, "colsample_bytree": 0.8, "subsample": 0.8},
        {"max_depth": 10, "min_child_weight": 1.0, "colsample_bynode": 0.4, "subsample": 0.8, "reg_lambda": 10.0},
    )
)
"""Where a search begins: shapes from stumps for noise to deep trees for many telling columns, which differ as members of an
ensemble should."""


@dataclass
class Boosting(XGBoostTrees, LabelTrees):
    """XGBoost trees of classes or values."""

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    seed: int = 0
    threads: int = 1
    _: KW_ONLY
    loss: Loss = SQUARED
    colsample_bynode: float | None = None

    def fit(self, X: Array, y: Array, inner: Inner | None = None, exposure: Array | None = None) -> Self:
        """Find the rounds on the inner fold, then fit all rows with them; of counts with an exposure (n,) for one of 1."""
        check_fit(X, y)
        self.unit_, self.power_ = self._unit_of(y, exposure), power_of(self, X, y, inner, exposure)
        y = y if self.unit_ == 1.0 else y / self.unit_
        self.level_ = self._level(y, exposure)
        matrices = None if inner is None else self._inner_matrices(X, y, inner, exposure)
        self._keep(self._train(matrices, lambda: self._matrix(X, y, exposure), self._threads(X)))
        return self

    def _level(self, y: Array, exposure: Array | None) -> float | None:
        """What the trees of rows with an exposure start from, for an exposure of 1; None: XGBoost's own start."""
        return None if exposure is None else max(self.loss.constant(y, exposure), LEAST_MEAN)

    def _margin(self, exposure: Array | None) -> Array | None:
        """The scores that each row starts from, (n,)."""
        return None if exposure is None or self.level_ is None else np.log(self.level_ * exposure)

    def settled(self) -> Mapping[str, Any]:
        """Shape, rounds, and the power where it was looked for."""
        return {**self.shape_, "default_rounds": self.rounds_, **self._chosen_loss()}

    def fit_watched(self, part: Part, expired: Callable[[], bool] = never) -> Array:
        """Fit the part's rows until the loss on the watched rows no longer falls; of several shapes the first.

        The quantised matrices are made once a part, whatever the trial, so `max_bin` is no parameter to search.
        """
        import xgboost

        self.shape_, self.power_, self.rounds_ = self._shapes()[0], self.loss.power or JUDGED_POWER, self.default_rounds
        self.unit_ = self._unit_of(part.y, part.exposure)
        self.level_ = self._level(part.y / self.unit_, part.exposure)
        fitted = part.once(f"xgboost {self.max_bin}", lambda: self._matrix(part.X, part.y / self.unit_, part.exposure))
        threads = self._threads(part.X)
        params = self._params(self.shape_, threads)
        if not len(part.y_watched):
            self._keep(xgboost.train(params, fitted, num_boost_round=self.rounds_))
            return np.zeros(0)
        if params["objective"] in LOSSES:
            rows = Rows(part.once("watched", lambda: _rows_of(part.X_watched)), part.y_watched, self._threads(part.X_watched))
            booster, scores = train_watched(params, fitted, rows, self.rounds, self.patience, expired)
            self.rounds_ = booster.num_boosted_rounds()
            self._keep(booster)
            return scores.astype(np.float64)
        watched = part.once(
            f"xgboost {self.max_bin} watched",
            lambda: self._watched_matrix(part.X_watched, part.y_watched / self.unit_, part.exposure_watched),
        )
        booster = self._stopped(self.shape_, fitted, watched, threads, [_stop_when(expired)])
        # Time that is up in the first round leaves no best one.
        best = booster.attr("best_iteration")
        self.rounds_ = booster.num_boosted_rounds() if best is None else int(best) + 1
        self._keep(booster[: self.rounds_])
        raw = booster.predict(watched, output_margin=True, iteration_range=(0, self.rounds_))
        started = 0.0 if part.exposure_watched is None else np.log(part.exposure_watched)
        return np.asarray(np.asarray(raw, dtype=np.float64) + np.log(self.unit_) - started)

    def _keep(self, booster: "xgboost.Booster") -> None:
        self.booster_ = booster
        if self.unit_ != 1.0:
            self.booster_.set_attr(unit=repr(self.unit_))

    def _inner_matrices(
        self, X: Array, y: Array, inner: Inner, exposure: Array | None
    ) -> "tuple[xgboost.QuantileDMatrix, xgboost.DMatrix]":
        """Rows to fit and rows to watch."""
        known, later = (None, None) if exposure is None else (exposure[inner.train], exposure[inner.test])
        return self._matrix(X[inner.train], y[inner.train], known), self._watched_matrix(X[inner.test], y[inner.test], later)

    def _matrix(self, X: Array, y: Array, exposure: Array | None = None) -> "xgboost.QuantileDMatrix":
        import xgboost

        return xgboost.QuantileDMatrix(
            X,
            y,
            base_margin=self._margin(exposure),
            feature_types=self._types(),
            enable_categorical=True,
            max_bin=self.max_bin,
            nthread=self._threads(X),
        )

    def _watched_matrix(self, X: Array, y: Array, exposure: Array | None = None) -> "xgboost.DMatrix":
        """Rows that are only scored: not quantised they get the same scores in less than half the time a round."""
        import xgboost

        margin, threads = self._margin(exposure), self._threads(X)
        return xgboost.DMatrix(X, y, base_margin=margin, feature_types=self._types(), enable_categorical=True, nthread=threads)

    def _threads(self, X: Array) -> int:
        return self.threads_for(X.size)

    def threads_for(self, cells: int) -> int:
        """How many threads suit a matrix of so many cells: one more for each SMALL_CELLS, up to `threads`."""
        return min(self.threads, 1 + cells // SMALL_CELLS)

    def _types(self) -> list[str]:
        return ["c" if is_category else "q" for is_category in self.categorical]

    def _objective(self) -> dict[str, Any]:
        objective, metric = OBJECTIVES[self.loss.name if self.kind == "regression" else self.kind]
        asked: dict[str, Any] = {"objective": objective, "eval_metric": metric}
        if self.colsample_bynode is not None:
            asked["colsample_bynode"] = self.colsample_bynode
        if (level := getattr(self, "level_", None)) is not None:
            # A row that states no margin then starts where an exposure of 1 does.
            asked["base_score"] = level
        if self.kind == "multiclass":
            asked["num_class"] = self.n_classes
        if self.kind == "regression" and self.loss.name == "quantile":
            asked["quantile_alpha"] = self.loss.quantile
        if self.kind == "regression" and self.loss.name == "tweedie":
            asked |= {"tweedie_variance_power": self.power_, "eval_metric": f"tweedie-nloglik@{self.power_}"}
        return asked

    def _forest(self) -> Forest:
        return in_unit(super()._forest(), float(self.booster_.attr("unit") or 1.0))

    def interactions(self, X: Array) -> Array:
        """Exact SHAP interaction values of pairs (Lundberg et al. 2020), half in each place: (n, p, p), or (n, k, p, p)."""
        return self.forest.interactions(np.ascontiguousarray(X, np.float32), self._threads(X))


def _rows_of(X: Array) -> Array:
    return np.ascontiguousarray(X, np.float32)


def _stop_when(expired: Callable[[], bool]) -> "xgboost.callback.TrainingCallback":
    """XGBoost's callback that ends the training when the time is over; the rounds until then stay."""
    import xgboost

    class Stop(xgboost.callback.TrainingCallback):
        """Asks after each round."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return expired()

    return Stop()


def _build(task: Task, seed: int = 0, threads: int = 1, **params: Any) -> Boosting:
    categorical = tuple(bool(c) for c in task.categorical)
    target = task.target
    return Boosting(target.kind, categorical, len(target.classes), seed, threads, **{"loss": Loss.of(target), **params})


def _restore(files: Mapping[str, bytes]) -> Estimator:
    booster = restored_booster(files)
    config = json.loads(booster.save_config())["learner"]
    asked = {objective: name for name, (objective, _) in OBJECTIVES.items()}[config["objective"]["name"]]
    kind: Any = asked if asked in CLASSIFIED else "regression"
    loss = SQUARED if kind in CLASSIFIED else _loss(asked, config["objective"])
    model = Boosting(kind, tuple(t == "c" for t in booster.feature_types or ()), loss=loss)
    model.n_classes = max(2, int(config["learner_model_param"]["num_class"]))
    model.booster_ = booster
    model.rounds_ = booster.num_boosted_rounds()
    return model


def _loss(name: Any, stated: Mapping[str, Any]) -> Loss:
    """The loss that a booster's configuration states."""
    if name == "quantile":
        return Loss(name, float(stated["quantile_loss_param"]["quantile_alpha"].strip("[]")))
    return Loss(name, power=float(stated["tweedie_regression_param"]["tweedie_variance_power"]) if name == "tweedie" else None)


FAMILY = with_exposure(
    with_logs(
        Family(
            "boosting",
            frozenset({"binary", "multiclass", "regression"}),
            _build,
            _restore,
            space={
                "learning_rate": (0.01, 0.3, "log"),
                "max_depth": (2, 12),
                "min_child_weight": (0.5, 30.0, "log"),
                "subsample": (0.5, 1.0),
                "colsample_bytree": (0.3, 1.0),
                "colsample_bynode": (0.3, 1.0),
                "reg_lambda": (0.01, 100.0, "log"),
            },
            starts=STARTS,
            suiting=lambda rows: {"max_bin": bins_for(rows)},
        )
    )
)
