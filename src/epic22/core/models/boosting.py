"""Gradient-boosted trees by XGBoost: histograms, native categories by our own fixed map, native missing values, exact SHAP.

The shape of the trees and the number of rounds are found on the inner fold, then the whole training part is fitted with them.
Class weights are never used: they ruin the probabilities.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from epic22.core.models.base import CLASSIFIED, Estimator, Family, Inner, Linked, Parameters, Part, check_fit, never
from epic22.core.models.forest import Forest, forest_of
from epic22.core.models.logged import with_logs
from epic22.core.models.loss import JUDGED_POWER, SQUARED, Loss
from epic22.core.models.power import power_of
from epic22.core.models.scale import EXPONENTIAL, IDENTITY, Scale
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


SHAPES: tuple[Mapping[str, float], ...] = (
    {"max_depth": 6, "min_child_weight": 1.0, "colsample_bytree": 1.0},
    {"max_depth": 6, "min_child_weight": 5.0, "colsample_bytree": 0.5},
    {"max_depth": 4, "min_child_weight": 10.0, "colsample_bytree": 0.5},
)
"""Shapes of tree that did well on other tables: few telling columns, many, and noise; the inner fold picks one."""


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


SMALL_CELLS = 600_000
"""Below so many cells a second thread gains nothing, and waits for long where the cores are busy; nor does a third below twice
as many. So a machine of 64 cores gives a table of 600,000 cells two of them, and all from 38 million cells on."""


@dataclass
class Boosting(Linked, Parameters):
    """XGBoost trees. The inner fold picks the rounds, up to `rounds`, and one of SHAPES where no shape is given.

    Without an inner fold the first shape is used, and `default_rounds`.
    """

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    seed: int = 0
    threads: int = 1
    rounds: int = 1500
    patience: int = 50
    learning_rate: float = 0.04
    max_depth: int | None = None
    min_child_weight: float | None = None
    colsample_bytree: float | None = None
    subsample: float = 0.7
    reg_lambda: float = 1.0
    max_bin: int = 256
    default_rounds: int = 300
    loss: Loss = SQUARED
    colsample_bynode: float | None = None

    def fit(self, X: Array, y: Array, inner: Inner | None = None) -> Self:
        """Find the rounds on the inner fold, then fit all rows with them."""
        check_fit(X, y)
        import xgboost

        self.unit_, self.power_ = 1.0, power_of(self, X, y, inner)
        if self.loss.name == "tweedie":
            # Leaves are shrunk and split by amounts that have the label's unit.
            self.unit_ = float(np.mean(y)) or 1.0
            y = y / self.unit_
        self.shape_, self.rounds_ = self._shapes()[0], self.default_rounds
        if inner is not None:
            self.shape_, self.rounds_ = self._choose(X, y, inner)
        self._keep(xgboost.train(self._params(self.shape_, self._threads(X)), self._matrix(X, y), num_boost_round=self.rounds_))
        return self

    def settled(self) -> Mapping[str, Any]:
        """Shape, rounds, and the power where it was looked for."""
        return {**self.shape_, "default_rounds": self.rounds_, **self._chosen_loss()}

    def _chosen_loss(self) -> dict[str, Any]:
        return {"loss": replace(self.loss, power=self.power_)} if self.loss.name == "tweedie" else {}

    @property
    def value_scale_(self) -> Scale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if self.kind == "regression" and self.loss.log_link else IDENTITY

    def fit_watched(self, part: Part, expired: Callable[[], bool] = never) -> Array:
        """Fit the part's rows until the loss on the watched rows no longer falls; of several shapes the first.

        The quantised matrices are made once a part, whatever the trial, so `max_bin` is not a parameter to search.
        """
        import xgboost

        self.shape_, self.power_, self.rounds_ = self._shapes()[0], self.loss.power or JUDGED_POWER, self.default_rounds
        self.unit_ = float(np.mean(part.y)) or 1.0 if self.loss.name == "tweedie" else 1.0
        fitted = part.once(f"xgboost {self.max_bin}", lambda: self._matrix(part.X, part.y / self.unit_))
        params = self._params(self.shape_, self._threads(part.X))
        if not len(part.y_watched):
            self._keep(xgboost.train(params, fitted, num_boost_round=self.rounds_))
            return np.zeros(0)
        watched = part.once(
            f"xgboost {self.max_bin} watched",
            lambda: self._watched_matrix(part.X_watched, part.y_watched / self.unit_),
        )
        booster = xgboost.train(
            params,
            fitted,
            num_boost_round=self.rounds,
            evals=[(watched, "watched")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
            callbacks=[_stop_when(expired)],
        )
        # Time that is up in the first round leaves no best one.
        best = booster.attr("best_iteration")
        self.rounds_ = booster.num_boosted_rounds() if best is None else int(best) + 1
        self._keep(booster[: self.rounds_])
        raw = booster.predict(watched, output_margin=True, iteration_range=(0, self.rounds_))
        return np.asarray(np.asarray(raw, dtype=np.float64) + np.log(self.unit_))

    def _keep(self, booster: "xgboost.Booster") -> None:
        self.booster_ = booster
        if self.unit_ != 1.0:
            self.booster_.set_attr(unit=repr(self.unit_))

    def _shapes(self) -> list[Mapping[str, float]]:
        """The shapes to try: SHAPES with what the user stated put in, each once."""
        stated = {name: value for name in SHAPES[0] if (value := getattr(self, name)) is not None}
        tried: list[Mapping[str, float]] = []
        for shape in SHAPES:
            if (wanted := {**shape, **stated}) not in tried:
                tried.append(wanted)
        return tried

    def _choose(self, X: Array, y: Array, inner: Inner) -> tuple[Mapping[str, float], int]:
        """The shape and the rounds with the least loss on the inner fold; one quantised matrix serves all shapes."""
        import xgboost

        fitted = self._matrix(X[inner.train], y[inner.train])
        watched = self._watched_matrix(X[inner.test], y[inner.test])
        boosters = [
            xgboost.train(
                self._params(shape, self._threads(X)),
                fitted,
                num_boost_round=self.rounds,
                evals=[(watched, "watched")],
                early_stopping_rounds=self.patience,
                verbose_eval=False,
            )
            for shape in self._shapes()
        ]
        best = int(np.argmin([booster.best_score for booster in boosters]))
        return self._shapes()[best], int(boosters[best].best_iteration) + 1

    def _matrix(self, X: Array, y: Array) -> "xgboost.QuantileDMatrix":
        import xgboost

        types, threads = self._types(), self._threads(X)
        return xgboost.QuantileDMatrix(X, y, feature_types=types, enable_categorical=True, max_bin=self.max_bin, nthread=threads)

    def _watched_matrix(self, X: Array, y: Array) -> "xgboost.DMatrix":
        """Rows that are only scored: not quantised they get the same scores in less than half the time a round."""
        import xgboost

        return xgboost.DMatrix(X, y, feature_types=self._types(), enable_categorical=True, nthread=self._threads(X))

    def _threads(self, X: Array) -> int:
        return self.threads_for(X.size)

    def threads_for(self, cells: int) -> int:
        """How many threads suit a matrix of so many cells: one more for each SMALL_CELLS, up to `threads`."""
        return min(self.threads, 1 + cells // SMALL_CELLS)

    def _types(self) -> list[str]:
        return ["c" if is_category else "q" for is_category in self.categorical]

    def _params(self, shape: Mapping[str, float], threads: int) -> dict[str, Any]:
        objective, metric = OBJECTIVES[self.loss.name if self.kind == "regression" else self.kind]
        params: dict[str, Any] = {
            "objective": objective,
            "eval_metric": metric,
            "tree_method": "hist",
            "seed": self.seed,
            "nthread": threads,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            **shape,
        }
        if self.colsample_bynode is not None:
            params["colsample_bynode"] = self.colsample_bynode
        return params | self._more_params()

    def _more_params(self) -> dict[str, Any]:
        if self.kind == "multiclass":
            return {"num_class": self.n_classes}
        if self.kind == "regression" and self.loss.name == "quantile":
            return {"quantile_alpha": self.loss.quantile}
        if self.kind == "regression" and self.loss.name == "tweedie":
            return {"tweedie_variance_power": self.power_, "eval_metric": f"tweedie-nloglik@{self.power_}"}
        return {}

    @property
    def forest(self) -> Forest:
        """The trees as flat arrays, which answer a row many times sooner than the booster does."""
        held: tuple[xgboost.Booster, Forest] | None = getattr(self, "forest_", None)
        if held is None or held[0] is not self.booster_:
            held = self.forest_ = (self.booster_, self._forest())
        return held[1]

    def _forest(self) -> Forest:
        forest, unit = forest_of(self.booster_), self.booster_.attr("unit")
        if unit is None:
            return forest
        return replace(forest, base=forest.base + np.log(float(unit)), average=forest.average + np.log(float(unit)))

    def raw(self, X: Array) -> Array:
        """Log-odds or values, as the trees sum them; the same bits for a row alone and in a batch."""
        return self.forest.raw(np.ascontiguousarray(X, np.float32), self._threads(X))

    def contributions(self, X: Array) -> Array:
        """Exact SHAP values (Lundberg et al. 2020, path-dependent TreeSHAP), the average last."""
        return self.forest.contributions(np.ascontiguousarray(X, np.float32), self._threads(X))

    def interactions(self, X: Array) -> Array:
        """Exact SHAP interaction values of pairs (Lundberg et al. 2020), half in each place: (n, p, p), or (n, k, p, p)."""
        return self.forest.interactions(np.ascontiguousarray(X, np.float32), self._threads(X))

    def files(self) -> dict[str, bytes]:
        """The booster in XGBoost's UBJ format."""
        return {"booster.ubj": bytes(self.booster_.save_raw("ubj"))}


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
    import json

    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(files["booster.ubj"]))
    config = json.loads(booster.save_config())["learner"]
    asked = {objective: name for name, (objective, _) in OBJECTIVES.items()}[config["objective"]["name"]]
    kind: Any = asked if asked in CLASSIFIED else "regression"
    loss = SQUARED if kind in CLASSIFIED else _loss(asked, config["objective"])
    model = Boosting(kind, tuple(t == "c" for t in booster.feature_types or ()), loss=loss)
    model.n_classes = max(2, int(config["learner_model_param"]["num_class"]))
    booster.set_param({"nthread": 1})
    model.booster_ = booster
    model.rounds_ = booster.num_boosted_rounds()
    return model


def _loss(name: Any, stated: Mapping[str, Any]) -> Loss:
    """The loss that a booster's configuration states."""
    if name == "quantile":
        return Loss(name, float(stated["quantile_loss_param"]["quantile_alpha"].strip("[]")))
    return Loss(name, power=float(stated["tweedie_regression_param"]["tweedie_variance_power"]) if name == "tweedie" else None)


FAMILY = with_logs(
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
    )
)
