"""What boosted trees share: of a label, whatever library grew them, and of XGBoost, whatever they are of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.models.base import Linked, Parameters
from epic22.core.models.forest import Forest, forest_of
from epic22.core.models.loss import Loss
from epic22.core.models.scale import EXPONENTIAL, IDENTITY, Scale
from epic22.core.task import Array

if TYPE_CHECKING:
    import xgboost

BOOSTER = "booster.ubj"

SHAPES: tuple[Mapping[str, float], ...] = (
    {"max_depth": 6, "min_child_weight": 1.0, "colsample_bytree": 1.0},
    {"max_depth": 6, "min_child_weight": 5.0, "colsample_bytree": 0.5},
    {"max_depth": 4, "min_child_weight": 10.0, "colsample_bytree": 0.5},
)
"""Shapes of tree that did well on other tables: few telling columns, many, and noise; the inner fold picks one."""

SMALL_CELLS = 600_000
"""Below so many cells a second thread gains nothing, and waits for long where the cores are busy; nor does a third below twice
as many. So a machine of 64 cores gives a table of 600,000 cells two of them, and all from 38 million cells on."""


class LabelTrees(Linked):
    """Trees of a label, which answer from a forest: the unit they learn it in, Tweedie's power, the scale of what they say."""

    in_units: ClassVar[tuple[str, ...]] = ("tweedie",)

    loss: Loss
    unit_: float
    power_: float

    @property
    def forest(self) -> Forest:
        """The trees as flat arrays; each estimator has its own."""
        raise InternalError(f"{type(self).__name__} has no trees.")

    def _threads(self, X: Array) -> int:
        raise InternalError(f"{type(self).__name__} does not say how many threads suit {X.shape}.")

    def raw(self, X: Array) -> Array:
        """Log-odds, values or their logarithms, as the trees sum them; the same bits for a row alone and in a batch."""
        return self.forest.raw(np.ascontiguousarray(X, np.float32), self._threads(X))

    def contributions(self, X: Array) -> Array:
        """Exact SHAP values (Lundberg et al. 2020, path-dependent TreeSHAP), the average last."""
        return self.forest.contributions(np.ascontiguousarray(X, np.float32), self._threads(X))

    @property
    def value_scale_(self) -> Scale:
        """Counts and sums are predicted by their logarithms."""
        return EXPONENTIAL if self.kind == "regression" and self.loss.log_link else IDENTITY

    def _unit_of(self, y: Array, exposure: Array | None = None) -> float:
        """Leaves are shrunk and split by amounts that have the label's unit, and some libraries begin at one."""
        in_unit = self.kind == "regression" and self.loss.name in self.in_units
        return self.loss.constant(y, exposure) or 1.0 if in_unit else 1.0

    def _chosen_loss(self) -> dict[str, Any]:
        return {"loss": replace(self.loss, power=self.power_)} if self.loss.name == "tweedie" else {}


def in_unit(forest: Forest, unit: float) -> Forest:
    """A forest of logarithms that was grown on labels divided by `unit`, as one of the labels themselves."""
    shift = np.log(unit)
    return forest if unit == 1.0 else replace(forest, base=forest.base + shift, average=forest.average + shift)


class Boosted:
    """An estimator whose constructor takes where chance begins and how many threads may fit, and whose fit leaves a booster."""

    seed: int
    threads: int
    booster_: "xgboost.Booster"


FINELY_BELOW, FINE, COARSE = 20_000, 1024, 256
"""A column's values are cut into so many bins: finely below so many rows, where what tells classes apart is often a threshold
far out, with few rows beside it (AI4I with its formulas, average precision held out of training: 0.883 by 1,024 bins, 0.854 by
256), and costs little."""


def bins_for(rows: int) -> int:
    """How many bins suit a table of so many rows."""
    return FINE if rows < FINELY_BELOW else COARSE


@dataclass(kw_only=True)
class XGBoostTrees(Parameters, Boosted):
    """XGBoost trees. The inner fold picks the rounds, up to `rounds`, and one of SHAPES where no shape is given.

    Without an inner fold the first shape is used, and `default_rounds`.
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

    def _objective(self) -> dict[str, Any]:
        """XGBoost's objective, the metric that stops it, and what they take."""
        raise InternalError(f"{type(self).__name__} has no objective.")

    def _forest(self) -> Forest:
        return forest_of(self.booster_)

    def _train(
        self,
        matrices: "tuple[xgboost.QuantileDMatrix, xgboost.DMatrix] | None",
        whole: "Callable[[], xgboost.QuantileDMatrix]",
        threads: int,
    ) -> "xgboost.Booster":
        """A booster of the `whole`, with the shape and the rounds that are best on the inner fold: rows to fit and to watch."""
        import xgboost

        self.shape_, self.rounds_ = self._shapes()[0], self.default_rounds
        if matrices is not None:
            self.shape_, self.rounds_ = self._best(*matrices, threads)
        return xgboost.train(self._params(self.shape_, threads), whole(), num_boost_round=self.rounds_)

    def _best(
        self, fitted: "xgboost.QuantileDMatrix", watched: "xgboost.DMatrix", threads: int
    ) -> tuple[Mapping[str, float], int]:
        """The shape and the rounds with the least loss on the watched rows; one quantised matrix serves all shapes."""
        boosters = [self._stopped(shape, fitted, watched, threads) for shape in self._shapes()]
        best = int(np.argmin([booster.best_score for booster in boosters]))
        return self._shapes()[best], int(boosters[best].best_iteration) + 1

    def _stopped(
        self,
        shape: Mapping[str, float],
        fitted: "xgboost.QuantileDMatrix",
        watched: "xgboost.DMatrix",
        threads: int,
        callbacks: "Sequence[xgboost.callback.TrainingCallback]" = (),
    ) -> "xgboost.Booster":
        """A booster whose rounds end when the loss on the watched rows no longer falls."""
        import xgboost

        return xgboost.train(
            self._params(shape, threads),
            fitted,
            num_boost_round=self.rounds,
            evals=[(watched, "watched")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
            callbacks=callbacks,
        )

    def _shapes(self) -> list[Mapping[str, float]]:
        """The shapes to try: SHAPES with what the user stated put in, each once."""
        stated = {name: value for name in SHAPES[0] if (value := getattr(self, name)) is not None}
        tried: list[Mapping[str, float]] = []
        for shape in SHAPES:
            if (wanted := {**shape, **stated}) not in tried:
                tried.append(wanted)
        return tried

    def _params(self, shape: Mapping[str, float], threads: int) -> dict[str, Any]:
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
        held: tuple[xgboost.Booster, Forest] | None = getattr(self, "forest_", None)
        if held is None or held[0] is not self.booster_:
            held = self.forest_ = (self.booster_, self._forest())
        return held[1]

    def files(self) -> dict[str, bytes]:
        """The booster in XGBoost's UBJ format."""
        return {BOOSTER: bytes(self.booster_.save_raw("ubj"))}


def restored_booster(files: Mapping[str, bytes]) -> "xgboost.Booster":
    """The booster among the files of a bundle, which answers on one thread."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(files[BOOSTER]))
    booster.set_param({"nthread": 1})
    return booster
