"""Averages of trees that are grown each by itself: random forests (Breiman 2001) and extremely randomised trees (Geurts et al.
2006), by scikit-learn. They answer from flat arrays, without it.

A mean of shares is additive in no score, so what is averaged are the leaves' scores before the link: of classes the log-odds of
shares that a few rows more of the training's make smoother, of counts logarithms of means. Such an average is drawn to the middle
and off its level; a slope and a shift that validation rows say put it right. Leaves hold all training rows, not only those that
the tree grew on.

A row's reasons take time for each test of all trees, so `max_splits` bounds these; trees grow where a test gains most.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from epic22.core.data.folds import Fold
from epic22.core.lineage import canonical_json
from epic22.core.models.base import (
    Family,
    FoldData,
    Hyperparameters,
    check_fit_arrays,
    never_expires,
)
from epic22.core.models.loss import EVALUATION_POWER, MIN_MEAN, SQUARED, Loss
from epic22.core.models.target_transform import HOLDOUT_EVERY, add_log_support
from epic22.core.models.trees.boosted import CELLS_PER_THREAD, ForestMixin
from epic22.core.models.trees.forest import Forest
from epic22.core.models.trees.independent import Growth, IndependentTrees, grow_trees
from epic22.core.models.trees.level_order import order_levels, rank_levels
from epic22.core.targets import CLASS_KINDS, KINDS
from epic22.core.task import Array, Kind

STATE_FILE, TREES_FILE = "trees.json", "trees.npz"
CLASS_LEAF, VALUE_LEAF = 10, 2
"""Rows that a leaf has at least: shares of classes need more of them than a mean of values, and leave room for more trees."""

PRIOR_ROWS = 10
"""Slope and shift are held to 1 and 0 as if so many validation rows said so."""


@dataclass
class AveragedTrees(ForestMixin):
    """Trees grown each by itself and averaged. Without `slope` and `shift` the inner fold says them, or every fifth row.

    `max_splits` are the tests of all trees together, of several classes those for all of them. `max_rows`: of more rows each tree
    grows on as many, drawn for it. `min_samples_leaf`: what suits the kind where none is stated. `smoothing`: rows that are added
    to a leaf, with the shares or the mean of all.
    """

    draws_thresholds: ClassVar[bool]

    kind: Kind
    categorical: tuple[bool, ...]
    n_classes: int = 2
    seed: int = 0
    threads: int = 1
    loss: Loss = SQUARED
    n_trees: int = 100
    max_splits: int = 12_000
    max_rows: int = 20_000
    min_samples_leaf: int | None = None
    max_features: float = 0.5
    smoothing: float = 5.0
    slope: float | None = None
    shift: float | None = None

    def fit(self, X: Array, y: Array, inner: Fold | None = None) -> Self:
        """Learn slope and shift from rows that trees did not see, then grow trees on all."""
        check_fit_arrays(X, y)
        self._settle_link()
        if self.slope is None or self.shift is None:
            is_test = np.arange(len(y)) % HOLDOUT_EVERY == HOLDOUT_EVERY - 1
            fold = inner or Fold(np.flatnonzero(~is_test), np.flatnonzero(is_test))
            if len(fold.train) and len(fold.test):
                self._grow(X[fold.train], y[fold.train])
                self._learn_link(X[fold.test], y[fold.test])
        self._grow(X, y)
        return self

    def fit_with_validation(self, data: FoldData, expired: Callable[[], bool] = never_expires) -> Array:
        """Grow trees on the part's rows; the validation rows say slope and shift."""
        self._settle_link()
        self._grow(data.X, data.y, expired)
        if not len(data.y_valid):
            return np.zeros(0)
        if self.slope is None or self.shift is None:
            self._learn_link(data.X_valid, data.y_valid)
        return self.decision_function(data.X_valid)

    def best_params(self) -> Hyperparameters:
        """Slope and shift, and how many trees there was time for."""
        return {"slope": self.slope_, "shift": self.shift_, "n_trees": len(self.trees_.n_nodes)}

    @property
    def forest(self) -> Forest:
        """The trees, slope and shift in their leaves."""
        return self.forest_

    def _choose_threads(self, X: Array) -> int:
        return 1 if X.size < CELLS_PER_THREAD else self.threads

    def _settle_link(self) -> None:
        self.slope_ = 1.0 if self.slope is None else self.slope
        self.shift_ = 0.0 if self.shift is None else self.shift
        self.power_ = float(self.loss.power or EVALUATION_POWER)

    def _grow(self, X: Array, y: Array, expired: Callable[[], bool] = never_expires) -> None:
        outcomes = np.eye(self.n_classes)[y.astype(np.int64)] if self._is_classification else np.asarray(y, np.float64)[:, None]
        self.order_ = order_levels(X, self.categorical, outcomes)
        self.center_, self.spread_ = self._measure_scores(y, outcomes)
        score_leaves = self._score_class_leaves(outcomes) if self._is_classification else self._score_value_leaves(y)
        ranked, growth = rank_levels(X, self.order_), self._plan_growth(X)
        self.trees_ = grow_trees(growth, ranked, np.asarray(y, np.float64), score_leaves, expired)
        self._set_forest()

    def _plan_growth(self, X: Array) -> Growth:
        criterion = "gini" if self._is_classification else "poisson" if self.loss.log_link else "squared_error"
        return Growth(
            n_trees=self.n_trees,
            max_splits=max(1, self.max_splits // len(self.center_)),
            max_rows=self.max_rows,
            min_samples_leaf=self.min_samples_leaf or (CLASS_LEAF if self._is_classification else VALUE_LEAF),
            max_features=self.max_features,
            criterion=criterion,
            draws_thresholds=self.draws_thresholds,
            seed=self.seed,
            threads=self._choose_threads(X),
        )

    @property
    def _is_classification(self) -> bool:
        return KINDS[self.kind].is_classification

    def _measure_scores(self, y: Array, outcomes: Array) -> tuple[Array, Array]:
        """What a score is stretched about, (k,), and what a shift of 1 adds to it, (k,).

        A shift raises the log-odds of one class of two; several move apart as their shares do.
        """
        if KINDS[self.kind].has_score_per_class:
            base = CLASS_KINDS[self.kind].compute_base_scores(outcomes.mean(axis=0))
            return np.zeros(len(base)), base - base.mean()
        if self._is_classification or self.loss.log_link:
            return np.zeros(1), np.ones(1)
        return np.array([self.loss.fit_constant(y)]), np.array([float(np.std(y))])

    def _score_class_leaves(self, outcomes: Array) -> Callable[[Array, int], Array]:
        """Base scores of the smoothed shares of classes in each leaf."""
        prior = self.smoothing * outcomes.mean(axis=0)
        codes = outcomes.argmax(axis=1)

        def score(leaf: Array, n_nodes: int) -> Array:
            counts = np.bincount(leaf * self.n_classes + codes, minlength=n_nodes * self.n_classes)
            smoothed = counts.reshape(n_nodes, self.n_classes) + prior
            shares = smoothed / np.maximum(smoothed.sum(axis=1, keepdims=True), MIN_MEAN)
            return np.ascontiguousarray(CLASS_KINDS[self.kind].compute_base_scores(shares.T).T)

        return score

    def _score_value_leaves(self, y: Array) -> Callable[[Array, int], Array]:
        """What the loss asks for of the rows in each leaf: their mean, its logarithm, or a quantile."""
        if self.loss.name in ("absolute", "quantile"):
            return lambda leaf, n_nodes: self._find_leaf_constants(y, leaf, n_nodes)
        prior = self.smoothing if self.loss.log_link else 0.0

        def score(leaf: Array, n_nodes: int) -> Array:
            counts, sums = np.bincount(leaf, minlength=n_nodes) + prior, np.bincount(leaf, y, n_nodes) + prior * y.mean()
            means = sums / np.maximum(counts, MIN_MEAN)
            return np.asarray(np.log(np.maximum(means, MIN_MEAN)) if self.loss.log_link else means)[:, None]

        return score

    def _find_leaf_constants(self, y: Array, leaf: Array, n_nodes: int) -> Array:
        by_leaf = np.argsort(leaf, kind="stable")
        leaves, begins = np.unique(leaf[by_leaf], return_index=True)
        scores = np.zeros((n_nodes, 1))
        scores[leaves, 0] = [self.loss.fit_constant(labels) for labels in np.split(y[by_leaf], begins[1:])]
        return scores

    def _learn_link(self, X: Array, y: Array) -> None:
        """Learn the slope and the shift that make the loss of these rows least; of squared errors the slope alone."""
        from scipy.optimize import minimize

        average = self.forest_.decision_function(np.ascontiguousarray(X, np.float32), self._choose_threads(X))
        is_shifted = self._is_classification or self.loss.name != "squared"

        def compute_mean_loss(slope: float, shift: float) -> float:
            raw = self._apply_link(average, slope, shift)
            if self._is_classification:
                return float(KINDS[self.kind].compute_row_losses(raw, y).mean())
            return float(self.loss.compute_losses(y, self.value_scale_(raw)).mean())

        unit = compute_mean_loss(1.0, 0.0) or 1.0

        def compute_cost(point: Array) -> float:
            shift = float(point[1]) if is_shifted else 0.0
            return compute_mean_loss(float(np.exp(point[0])), shift) / unit + PRIOR_ROWS / len(y) * float(point @ point)

        point = minimize(compute_cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}).x
        self.slope_, self.shift_ = float(np.exp(point[0])), float(point[1]) if is_shifted else 0.0
        self._set_forest()

    def _apply_link(self, average: Array, slope: float, shift: float) -> Array:
        """Averages of leaves (n,) or (n, k) as scores."""
        level = self.center_ * (1 - slope) + self.spread_ * shift
        return np.asarray(slope * average + (level if KINDS[self.kind].has_score_per_class else level[0]))

    def _set_forest(self) -> None:
        average = self.trees_.average(self.order_)
        level = self.center_ * (1 - self.slope_) + self.spread_ * self.shift_
        nodes = average.nodes._replace(leaf=average.nodes.leaf * self.slope_)
        self.forest_ = replace(average, nodes=nodes, base=level, average=average.average * self.slope_ + level)

    def files(self) -> dict[str, bytes]:
        """The trees as arrays, and what is needed to read them as JSON."""
        state = {
            "kind": self.kind,
            "categorical": [bool(c) for c in self.categorical],
            "n_classes": self.n_classes,
            "loss": asdict(self.loss),
            "slope": self.slope_,
            "shift": self.shift_,
            "center": self.center_.tolist(),
            "spread": self.spread_.tolist(),
            "order": [None if codes is None else list(codes) for codes in self.order_],
        }
        return {STATE_FILE: canonical_json(state), TREES_FILE: self.trees_.to_bytes()}

    @classmethod
    def restore(cls, files: Mapping[str, bytes]) -> Self:
        """From its files, without scikit-learn."""
        state: dict[str, Any] = json.loads(files[STATE_FILE])
        model = cls(state["kind"], tuple(state["categorical"]), state["n_classes"], loss=Loss(**state["loss"]))
        model.slope_, model.shift_ = state["slope"], state["shift"]
        model.center_, model.spread_ = np.array(state["center"]), np.array(state["spread"])
        model.order_ = tuple(None if codes is None else tuple(codes) for codes in state["order"])
        model.trees_ = IndependentTrees.from_bytes(files[TREES_FILE])
        model._set_forest()
        return model


@dataclass
class ExtraTrees(AveragedTrees):
    """Trees whose thresholds are drawn by chance, the best of a few columns' taken; each sees all rows."""

    draws_thresholds: ClassVar[bool] = True


@dataclass
class RandomForest(AveragedTrees):
    """Trees whose thresholds are the best of a few columns'; each sees rows drawn with replacement."""

    draws_thresholds: ClassVar[bool] = False
    max_features: float = 0.3


PARTS: Mapping[str, Hyperparameters] = {
    "averaging of trees": {"n_trees": 1},
    "subsampling of columns": {"max_features": 1.0},
    "least size of a leaf": {"min_samples_leaf": 1},
    "smoothing of leaves": {"smoothing": 0.0},
    "slope and shift": {"slope": 1.0, "shift": 0.0},
}
"""What an ablation switches off."""


INITIAL_POINTS: tuple[Hyperparameters, ...] = ({}, {"min_samples_leaf": 3, "max_features": 0.9})


def _build_family(name: str, estimator: type[AveragedTrees]) -> Family:
    return add_log_support(
        Family(
            name,
            frozenset({"binary", "multiclass", "regression"}),
            estimator.of,
            estimator.restore,
            space={"max_features": (0.1, 1.0), "min_samples_leaf": (1, 30, "log"), "smoothing": (0.5, 30.0, "log")},
            races_by_default=False,
            initial_points=INITIAL_POINTS,
            parts=PARTS,
        )
    )


FAMILIES = (
    _build_family("extra_trees", ExtraTrees),
    _build_family("random_forest", RandomForest),
)
