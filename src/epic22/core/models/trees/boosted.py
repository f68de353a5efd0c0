"""What boosted trees share: of a label, whatever library grew them, and of XGBoost, whatever they are of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.errors import InternalError
from epic22.core.models.base import BaseEstimator, LibraryParams
from epic22.core.models.loss import EVALUATION_POWER, TWEEDIE_POWERS, Loss, compute_tweedie_deviances
from epic22.core.models.trees.boosting_rounds import find_best_round, train_rounds
from epic22.core.models.trees.forest import Forest, read_booster
from epic22.core.models.value_scale import EXPONENTIAL, IDENTITY, ValueScale
from epic22.core.targets import KINDS, get_kind
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

BOOSTER_FILE = "booster.ubj"

TREE_SHAPES: tuple[Mapping[str, float], ...] = (
    {"max_depth": 6, "min_child_weight": 1.0, "colsample_bytree": 1.0},
    {"max_depth": 6, "min_child_weight": 5.0, "colsample_bytree": 0.5},
    {"max_depth": 4, "min_child_weight": 10.0, "colsample_bytree": 0.5},
)
"""Shapes of tree that did well on other tables: few telling columns, many, and noise; the inner fold picks one."""

TREE_PARTS: Mapping[str, Mapping[str, float]] = {
    "early stopping": {"patience": 0},
    "choice of shape": dict(TREE_SHAPES[0]),
    "interactions": {"max_depth": 1},
    "small steps": {"learning_rate": 0.3},
    "subsampling of rows": {"subsample": 1.0},
    "penalty of leaves": {"reg_lambda": 0.0},
}
"""What an ablation switches off of XGBoost's trees, whatever they are of."""

CELLS_PER_THREAD = 600_000
"""Below this many cells a second thread gains nothing, and waits for long where the cores are busy; nor does a third below twice
as many. So a machine of 64 cores gives a table of 600,000 cells two of them, and all from 38 million cells on."""


class ForestMixin(BaseEstimator):
    """Trees of a label, which answer from a forest: the unit they learn it in, Tweedie's power, the scale of what they say."""

    scaled_losses: ClassVar[tuple[str, ...]] = ("tweedie",)

    loss: Loss
    unit_: float
    power_: float

    @property
    def forest(self) -> Forest:
        """The trees as flat arrays; each estimator has its own."""
        raise InternalError(f"{type(self).__name__} has no trees.")

    def _choose_threads(self, X: Array) -> int:
        raise InternalError(f"{type(self).__name__} does not say how many threads suit {X.shape}.")

    def decision_function(self, X: Array) -> Array:
        """Log-odds, values or their logarithms, as the trees sum them; the same bits for a row alone and in a batch."""
        return self.forest.decision_function(np.ascontiguousarray(X, np.float32), self._choose_threads(X))

    def shap_values(self, X: Array) -> Array:
        """Exact SHAP values (Lundberg et al. 2020, path-dependent TreeSHAP), the average last."""
        return self.forest.shap_values(np.ascontiguousarray(X, np.float32), self._choose_threads(X))

    @property
    def value_scale_(self) -> ValueScale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if get_kind(self.kind, self.loss.name).has_log_link else IDENTITY

    def _compute_unit(self, y: Array, exposure: Array | None = None) -> float:
        """Leaves are shrunk and split by amounts that have the label's unit, and some libraries begin at one."""
        is_scaled = KINDS[self.kind].is_regression and self.loss.name in self.scaled_losses
        return self.loss.fit_constant(y, exposure) or 1.0 if is_scaled else 1.0

    def _loss_params(self) -> Mapping[str, Loss]:
        return {"loss": replace(self.loss, power=self.power_)} if self.loss.name == "tweedie" else {}


def rescale_forest(forest: Forest, unit: float) -> Forest:
    """A forest of logarithms that was grown on labels divided by `unit`, as one of the labels themselves."""
    shift = np.log(unit)
    return forest if unit == 1.0 else replace(forest, base=forest.base + shift, average=forest.average + shift)


class BoosterAttributes:
    """An estimator whose constructor takes where chance begins and how many threads may fit, and whose fit leaves a booster."""

    seed: int
    threads: int
    booster_: "xgboost.Booster"


POWER_ROUNDS = 100
"""Rounds of the trees by which powers of Tweedie's variance are compared."""

FINE_BINS_BELOW, FINE_BINS, COARSE_BINS = 20_000, 1024, 256
"""A column's values are cut into this many bins: finely below this many rows, where what tells classes apart is often a threshold
far out, with few rows beside it (AI4I with its formulas, average precision held out of training: 0.883 by 1,024 bins, 0.854 by
256), and costs little."""


def choose_max_bin(n_rows: int) -> int:
    """How many bins suit a table of this many rows."""
    return FINE_BINS if n_rows < FINE_BINS_BELOW else COARSE_BINS


def choose_tweedie_power(model: Any, X: Array, y: Array, inner: Fold | None, exposure: Array | None = None) -> float:
    """The power that the trees' `loss` states, else the one whose trees, few and of the first shape, are best on the inner fold.

    1.5 where neither is there.
    """
    if model.loss.power is not None or inner is None or model.loss.name != "tweedie":
        return float(model.loss.power or EVALUATION_POWER)
    losses = []
    for power in TWEEDIE_POWERS:
        params = {"loss": replace(model.loss, power=power), "default_rounds": POWER_ROUNDS}
        fit_params = {} if exposure is None else {"exposure": exposure[inner.train]}
        trial = type(model)(**model.get_params() | params).fit(X[inner.train], y[inner.train], **fit_params)
        mean = trial.predict(X[inner.test]) * (1.0 if exposure is None else exposure[inner.test])
        losses.append(compute_tweedie_deviances(y[inner.test], mean, EVALUATION_POWER).mean())
    return TWEEDIE_POWERS[int(np.argmin(losses))]


@dataclass(kw_only=True)
class XGBoostTrees(BaseEstimator, BoosterAttributes):
    """XGBoost trees. The inner fold picks the rounds, up to `rounds`, and one of SHAPES where no shape is given.

    Without an inner fold the first shape is used, and `default_rounds`. With a `patience` of 0 the inner fold picks the shape
    alone, among trees of `default_rounds`.
    """

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

    def _objective(self) -> LibraryParams:
        """XGBoost's objective, the metric that stops it, and what they take."""
        raise InternalError(f"{type(self).__name__} has no objective.")

    def _build_forest(self) -> Forest:
        return read_booster(self.booster_)

    def _train(
        self,
        matrices: "tuple[xgboost.QuantileDMatrix, xgboost.DMatrix] | None",
        build_full_matrix: "Callable[[], xgboost.QuantileDMatrix]",
        threads: int,
    ) -> "xgboost.Booster":
        """A booster of the `build_full_matrix`, with the shape and the rounds that are best on the inner fold: rows to fit and
        to watch."""
        self.shape_, self.rounds_ = self._candidate_shapes()[0], self.default_rounds
        if matrices is not None:
            self.shape_, self.rounds_ = self._choose_shape_and_rounds(*matrices, threads)
        return train_rounds(self._params(self.shape_, threads), build_full_matrix(), self.rounds_)

    def _choose_shape_and_rounds(
        self, dtrain: "xgboost.QuantileDMatrix", dvalid: "xgboost.DMatrix", threads: int
    ) -> tuple[Mapping[str, float], int]:
        """The shape and the rounds with the least loss on the validation rows; one quantised matrix serves all shapes."""
        if not self.patience:
            losses = [self._compute_last_loss(shape, dtrain, dvalid, threads) for shape in self._candidate_shapes()]
            return self._candidate_shapes()[int(np.argmin(losses))], self.default_rounds
        shapes = self._candidate_shapes()
        best_rounds = [
            find_best_round(self._params(shape, threads), dtrain, dvalid, self.rounds, self.patience) for shape in shapes
        ]
        best = int(np.argmin([one.loss for one in best_rounds]))
        return shapes[best], best_rounds[best].rounds

    def _compute_last_loss(
        self, shape: Mapping[str, float], dtrain: "xgboost.QuantileDMatrix", dvalid: "xgboost.DMatrix", threads: int
    ) -> float:
        """The loss on the validation rows after `default_rounds` of a shape."""
        booster = train_rounds(self._params(shape, threads), dtrain, self.default_rounds)
        return float(booster.eval(dvalid).rpartition(":")[2])

    def _train_with_early_stopping(
        self,
        shape: Mapping[str, float],
        dtrain: "xgboost.QuantileDMatrix",
        dvalid: "xgboost.DMatrix",
        threads: int,
        callbacks: "Sequence[xgboost.callback.TrainingCallback]" = (),
    ) -> "xgboost.Booster":
        """A booster whose rounds end when the loss on the validation rows no longer falls."""
        import xgboost

        return xgboost.train(
            self._params(shape, threads),
            dtrain,
            num_boost_round=self.rounds,
            evals=[(dvalid, "watched")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
            callbacks=callbacks,
        )

    def _candidate_shapes(self) -> list[Mapping[str, float]]:
        """The shapes to try: SHAPES with what the user stated put in, each once."""
        overrides = {name: value for name in TREE_SHAPES[0] if (value := getattr(self, name)) is not None}
        shapes: list[Mapping[str, float]] = []
        for shape in TREE_SHAPES:
            if (merged := {**shape, **overrides}) not in shapes:
                shapes.append(merged)
        return shapes

    def _params(self, shape: Mapping[str, float], threads: int) -> LibraryParams:
        return {
            "tree_method": "hist",
            "seed": self.seed,
            "nthread": threads,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            **shape,
            **self._objective(),
        }

    @property
    def forest(self) -> Forest:
        """The trees as flat arrays, which answer a row many times sooner than the booster does."""
        cached: tuple[xgboost.Booster, Forest] | None = getattr(self, "forest_", None)
        if cached is None or cached[0] is not self.booster_:
            cached = self.forest_ = (self.booster_, self._build_forest())
        return cached[1]

    def files(self) -> dict[str, bytes]:
        """The booster in XGBoost's UBJ format."""
        return {BOOSTER_FILE: bytes(self.booster_.save_raw("ubj"))}


def load_booster(files: Mapping[str, bytes]) -> "xgboost.Booster":
    """The booster among the files of a bundle, which answers on one thread."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(files[BOOSTER_FILE]))
    booster.set_param({"nthread": 1})
    return booster
