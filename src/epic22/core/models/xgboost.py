"""Gradient-boosted trees by XGBoost: histograms, native categories by our own fixed map, native missing values, exact SHAP.

The shape of the trees and the number of rounds are found on the inner fold, then the whole training part is fitted with them.
Class weights are never used: they ruin the probabilities.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.models.base import (
    BaseEstimator,
    Family,
    FoldData,
    Hyperparameters,
    LibraryParams,
    check_fit_arrays,
    never_expires,
)
from epic22.core.models.loss import EVALUATION_POWER, MIN_MEAN, SQUARED, Loss
from epic22.core.models.offset import add_offset_support
from epic22.core.models.target_transform import add_log_support
from epic22.core.models.trees.boosted import (
    CELLS_PER_THREAD,
    TREE_PARTS,
    ForestMixin,
    XGBoostTrees,
    choose_max_bin,
    choose_tweedie_power,
    load_booster,
    rescale_forest,
)
from epic22.core.models.trees.early_stopping import LOSS_CODES, ValidationRows, train_with_early_stopping
from epic22.core.models.trees.forest import Forest
from epic22.core.targets import KINDS, find_kind_of_objective
from epic22.core.task import Array, Kind

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

INITIAL_POINTS: tuple[Mapping[str, Any], ...] = tuple(
    {"learning_rate": 0.05, **shape}
    for shape in (
        {"max_depth": 3, "min_child_weight": 3.0, "colsample_bytree": 0.6, "subsample": 0.8, "reg_lambda": 3.0},
        {"max_depth": 6, "min_child_weight": 5.0, "colsample_bytree": 0.5},
        {"max_depth": 2, "min_child_weight": 5.0, "colsample_bytree": 0.8, "subsample": 0.8},
        {"max_depth": 10, "min_child_weight": 1.0, "colsample_bynode": 0.4, "subsample": 0.8, "reg_lambda": 10.0},
    )
)
"""Where a search begins, the best of most tables first (`benchmarks/first_configurations.py`): shallow trees for little signal,
deep ones for many telling columns, which differ as members of an ensemble should."""


@dataclass
class XGBoostEstimator(XGBoostTrees, ForestMixin):
    """XGBoost trees of classes or values."""

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    seed: int = 0
    threads: int = 1
    _: KW_ONLY
    loss: Loss = SQUARED
    colsample_bynode: float | None = None

    def fit(self, X: Array, y: Array, inner: Fold | None = None, exposure: Array | None = None) -> Self:
        """Find the rounds on the inner fold, then fit all rows with them; of counts with an exposure (n,) for one of 1."""
        check_fit_arrays(X, y)
        self.unit_, self.power_ = self._compute_unit(y, exposure), choose_tweedie_power(self, X, y, inner, exposure)
        y = y if self.unit_ == 1.0 else y / self.unit_
        self.level_ = self._compute_base_score(y, exposure)
        matrices = None if inner is None else self._build_inner_matrices(X, y, inner, exposure)
        self._set_booster(self._train(matrices, lambda: self.build_matrix(X, y, exposure), self._choose_threads(X)))
        return self

    def _compute_base_score(self, y: Array, exposure: Array | None) -> float | None:
        """What the trees of rows with an exposure start from, for an exposure of 1; None: XGBoost's own start."""
        return None if exposure is None else max(self.loss.fit_constant(y, exposure), MIN_MEAN)

    def _compute_base_margin(self, exposure: Array | None) -> Array | None:
        """The scores that each row starts from, (n,)."""
        return None if exposure is None or self.level_ is None else np.log(self.level_ * exposure)

    def best_params(self) -> Hyperparameters:
        """Shape, rounds, and the power where it was looked for."""
        return {**self.shape_, "default_rounds": self.rounds_, **self._loss_params()}

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """Fit the part's rows until the loss on the validation rows no longer falls; of several shapes the first.

        The quantised matrices are made once a part, whatever the trial, so `max_bin` is no parameter to search.
        """
        import xgboost

        self.shape_, self.power_, self.rounds_ = (
            self._candidate_shapes()[0],
            self.loss.power or EVALUATION_POWER,
            self.default_rounds,
        )
        self.unit_ = self._compute_unit(data.y, data.exposure)
        self.level_ = self._compute_base_score(data.y / self.unit_, data.exposure)
        dtrain = data.get_cached(f"xgboost {self.max_bin}", lambda: self.build_matrix(data.X, data.y / self.unit_, data.exposure))
        threads = self._choose_threads(data.X)
        params = self._params(self.shape_, threads)
        if not len(data.y_valid):
            self._set_booster(xgboost.train(params, dtrain, num_boost_round=self.rounds_))
            return np.zeros(0)
        if params["objective"] in LOSS_CODES:
            valid_rows = ValidationRows(
                data.get_cached("watched", lambda: np.ascontiguousarray(data.X_valid, np.float32)),
                data.y_valid,
                self._choose_threads(data.X_valid),
            )
            booster, scores = train_with_early_stopping(params, dtrain, valid_rows, self.rounds, self.patience, expired)
            self.rounds_ = booster.num_boosted_rounds()
            self._set_booster(booster)
            return scores.astype(np.float64)
        dvalid = data.get_cached(
            f"xgboost {self.max_bin} watched",
            lambda: self._build_valid_matrix(data.X_valid, data.y_valid / self.unit_, data.exposure_valid),
        )
        booster = self._train_with_early_stopping(self.shape_, dtrain, dvalid, threads, [_build_stop_callback(expired)])
        # Time that is up in the first round leaves no best one.
        best_iteration = booster.attr("best_iteration")
        self.rounds_ = booster.num_boosted_rounds() if best_iteration is None else int(best_iteration) + 1
        self._set_booster(booster[: self.rounds_])
        raw = booster.predict(dvalid, output_margin=True, iteration_range=(0, self.rounds_))
        base_margin = 0.0 if data.exposure_valid is None else np.log(data.exposure_valid)
        return np.asarray(np.asarray(raw, dtype=np.float64) + np.log(self.unit_) - base_margin)

    def _set_booster(self, booster: "xgboost.Booster") -> None:
        self.booster_ = booster
        if self.unit_ != 1.0:
            self.booster_.set_attr(unit=repr(self.unit_))

    def _build_inner_matrices(
        self, X: Array, y: Array, inner: Fold, exposure: Array | None
    ) -> "tuple[xgboost.QuantileDMatrix, xgboost.DMatrix]":
        """Rows to fit and validation rows."""
        train_exposure, valid_exposure = (None, None) if exposure is None else (exposure[inner.train], exposure[inner.test])
        return self.build_matrix(X[inner.train], y[inner.train], train_exposure), self._build_valid_matrix(
            X[inner.test], y[inner.test], valid_exposure
        )

    def build_matrix(
        self,
        X: Array,
        y: Array,
        exposure: Array | None = None,
        n_cells: int | None = None,
        reference: "xgboost.QuantileDMatrix | None" = None,
    ) -> "xgboost.QuantileDMatrix":
        """The rows quantised, by the cuts of the `reference` if there is one; threads are those that suit `n_cells`."""
        import xgboost

        return xgboost.QuantileDMatrix(
            X,
            y,
            base_margin=self._compute_base_margin(exposure),
            feature_types=self.feature_types,
            enable_categorical=True,
            max_bin=self.max_bin,
            nthread=self.choose_threads(X.size if n_cells is None else n_cells),
            ref=reference,
        )

    def _build_valid_matrix(self, X: Array, y: Array, exposure: Array | None = None) -> "xgboost.DMatrix":
        """Rows that are only scored: not quantised they get the same scores in less than half the time a round."""
        import xgboost

        base_margin, threads = self._compute_base_margin(exposure), self._choose_threads(X)
        return xgboost.DMatrix(
            X, y, base_margin=base_margin, feature_types=self.feature_types, enable_categorical=True, nthread=threads
        )

    def _choose_threads(self, X: Array) -> int:
        return self.choose_threads(X.size)

    def choose_threads(self, n_cells: int) -> int:
        """How many threads suit a matrix of this many cells: one more for each CELLS_PER_THREAD, up to `threads`."""
        return min(self.threads, 1 + n_cells // CELLS_PER_THREAD)

    @property
    def feature_types(self) -> list[str]:
        """Of each column what XGBoost calls its type: c of a category, q of a number."""
        return ["c" if is_category else "q" for is_category in self.categorical]

    def _objective(self) -> LibraryParams:
        name = KINDS[self.kind].name_objective(self.loss.name)
        objective, metric = OBJECTIVES[name]
        params: LibraryParams = {"objective": objective, "eval_metric": metric}
        if self.colsample_bynode is not None:
            params["colsample_bynode"] = self.colsample_bynode
        if (base_score := getattr(self, "level_", None)) is not None:
            # A row that states no margin then starts where an exposure of 1 does.
            params["base_score"] = base_score
        if KINDS[self.kind].has_score_per_class:
            params["num_class"] = self.n_classes
        if name == "quantile":
            params["quantile_alpha"] = self.loss.quantile
        if name == "tweedie":
            params |= {"tweedie_variance_power": self.power_, "eval_metric": f"tweedie-nloglik@{self.power_}"}
        return params

    def _build_forest(self) -> Forest:
        return rescale_forest(super()._build_forest(), float(self.booster_.attr("unit") or 1.0))

    def shap_interaction_values(self, X: Array) -> Array:
        """Exact SHAP interaction values of pairs (Lundberg et al. 2020), half in each place: (n, p, p), or (n, k, p, p)."""
        return self.forest.shap_interaction_values(np.ascontiguousarray(X, np.float32), self._choose_threads(X))


def _build_stop_callback(expired: Callable[[], bool]) -> "xgboost.callback.TrainingCallback":
    """XGBoost's callback that ends the training when the time is over; the rounds until then stay."""
    import xgboost

    class Stop(xgboost.callback.TrainingCallback):
        """Asks after each round."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return expired()

    return Stop()


def _restore(files: Mapping[str, bytes]) -> BaseEstimator:
    booster = load_booster(files)
    config = json.loads(booster.save_config())["learner"]
    loss_name = {objective: name for name, (objective, _) in OBJECTIVES.items()}[config["objective"]["name"]]
    kind = find_kind_of_objective(loss_name)
    loss = SQUARED if KINDS[kind].is_classification else _restore_loss(loss_name, config["objective"])
    model = XGBoostEstimator(kind, tuple(t == "c" for t in booster.feature_types or ()), loss=loss)
    model.n_classes = max(2, int(config["learner_model_param"]["num_class"]))
    model.booster_ = booster
    model.rounds_ = booster.num_boosted_rounds()
    return model


def _restore_loss(name: Any, config: Mapping[str, Any]) -> Loss:
    """The loss that a booster's configuration states."""
    if name == "quantile":
        return Loss(name, float(config["quantile_loss_param"]["quantile_alpha"].strip("[]")))
    return Loss(name, power=float(config["tweedie_regression_param"]["tweedie_variance_power"]) if name == "tweedie" else None)


FAMILY = add_offset_support(
    add_log_support(
        Family(
            "boosting",
            frozenset({"binary", "multiclass", "regression"}),
            XGBoostEstimator.of,
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
            initial_points=INITIAL_POINTS,
            defaults_for=lambda rows: {"max_bin": choose_max_bin(rows)},
            parts=TREE_PARTS,
        )
    )
)
