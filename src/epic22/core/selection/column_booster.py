"""A quick booster of each inner fold, by which sets of columns are compared and single columns measured on held-out rows."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import Fold
from epic22.core.evaluation.crossval import prepare_rows, split_target_encoding_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import LibraryParams
from epic22.core.models.trees.boosted import CELLS_PER_THREAD
from epic22.core.models.trees.forest import Forest, read_booster
from epic22.core.models.xgboost import OBJECTIVES
from epic22.core.targets import KINDS, TargetKind
from epic22.core.task import Array, Column

MAX_PERMUTATION_ROWS, MAX_SHAP_ROWS = 1_500, 300
"""Held-out rows of a fold on which permutations and SHAP values are measured."""

ROUNDS, PATIENCE = 200, 15
ADDITIVE_PARAMS: Mapping[str, Any] = {"learning_rate": 0.3, "max_depth": 1, "min_child_weight": 5.0}
"""Trees of one split: what they leave unexplained is what columns do together."""

QUICK_PARAMS: Mapping[str, Any] = {
    "learning_rate": 0.1,
    "max_depth": 5,
    "min_child_weight": 5.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
}


@dataclass(frozen=True)
class ColumnStrength:
    """What a column is worth on held-out rows: the loss its permutation costs (with standard error over folds), its mean absolute
    SHAP value, and the share of folds in which the permutation costs anything."""

    column: str
    permutation: float
    error: float
    contribution: float
    stability: float
    selected: bool


@dataclass(frozen=True)
class FoldFit:
    """A quick booster of one fold: held-out matrix, its trees, losses (n,) and residuals (n, outputs) of held-out rows."""

    columns: tuple[Column, ...]
    X: Array
    y: Array
    forest: Forest
    losses: Array
    residuals: Array

    def compute_mean_absolute_shap(self) -> dict[str, float]:
        """Each column's mean absolute SHAP value over some held-out rows."""
        rows = np.linspace(0, len(self.y) - 1, min(len(self.y), MAX_SHAP_ROWS)).astype(int)
        values = np.abs(self.forest.shap_values(np.ascontiguousarray(self.X[rows]), 1))[..., :-1]
        means = values.mean(axis=tuple(range(values.ndim - 1)))
        return {column.name: float(mean) for column, mean in zip(self.columns, means, strict=True)}

    def compute_permutation_costs(self, kind: TargetKind, seed: int, names: Collection[str]) -> dict[str, float]:
        """By how much the loss of some held-out rows rises when each of these columns is shuffled."""
        rng = np.random.default_rng([seed, 7])
        rows = np.sort(rng.permutation(len(self.y))[:MAX_PERMUTATION_ROWS])
        X, y, order = self.X[rows], self.y[rows], rng.permutation(len(rows))
        base, costs = kind.compute_row_losses(self.forest.decision_function(X, 1), y).mean(), {}
        for j, column in enumerate(self.columns):
            if column.name in names:
                shuffled = X.copy()
                shuffled[:, j] = X[order, j]
                losses = kind.compute_row_losses(self.forest.decision_function(shuffled, 1), y)
                costs[column.name] = float(losses.mean() - base)
        return costs


@dataclass(frozen=True)
class Variant:
    """A recipe (of each fold, where they were screened in it) and its fits."""

    recipe: FeatureRecipe
    fits: tuple[FoldFit, ...]

    @property
    def mean_loss(self) -> float:
        """The mean held-out loss."""
        return float(np.mean([one.losses.mean() for one in self.fits]))


@dataclass(frozen=True)
class ColumnBooster:
    """Fits quick boosters on the inner folds of an experiment's training rows."""

    experiment: Experiment
    folds: tuple[Fold, ...]

    @property
    def kind(self) -> TargetKind:
        """The kind whose loss is compared: values by their squared error, whatever their own loss."""
        return KINDS[self.experiment.task.target.kind]

    def fit_variant(
        self, recipe: FeatureRecipe, by_fold: Sequence[FeatureRecipe] = (), params: Mapping[str, Any] = QUICK_PARAMS
    ) -> Variant:
        """The recipe fitted on every fold; `by_fold` where each fold has its own."""
        recipes = by_fold or [recipe] * len(self.folds)
        return Variant(recipe, tuple(self._fit_fold(fold, one, params) for fold, one in zip(self.folds, recipes, strict=True)))

    def measure_strengths(self, variant: Variant, names: Collection[str] | None = None) -> tuple[ColumnStrength, ...]:
        """What each column of the variant, or those of these names, is worth on held-out rows; the strongest first."""
        names = {column.name for fit in variant.fits for column in fit.columns} if names is None else names
        costs = [fit.compute_permutation_costs(self.kind, self.experiment.seed, names) for fit in variant.fits]
        shap_values = [fit.compute_mean_absolute_shap() for fit in variant.fits]
        strengths = []
        for name in costs[0]:
            cost = np.array([one[name] for one in costs if name in one])
            shap_value = float(np.mean([one[name] for one in shap_values if name in one]))
            error = float(cost.std(ddof=1) / math.sqrt(len(cost))) if len(cost) > 1 else math.inf
            strengths.append(ColumnStrength(name, float(cost.mean()), error, shap_value, float((cost > 0).mean()), True))
        return tuple(sorted(strengths, key=lambda s: -s.permutation))

    def _fit_fold(self, fold: Fold, recipe: FeatureRecipe, params: Mapping[str, Any]) -> FoldFit:
        """The quick booster of one fold, fitted on its training rows with rounds that its test rows stop."""
        import xgboost

        task, examples = self.experiment.task, self.experiment.examples
        train, test = examples.take(fold.train), examples.take(fold.test)
        encoding_folds = split_target_encoding_folds(self.experiment, fold.train) if recipe.encodings else ()
        prepared = prepare_rows(task, train, recipe, encoding_folds)
        X, columns = prepared.preprocessor.transform(test.X), prepared.preprocessor.outputs
        types = ["c" if column.dtype == "category" else "q" for column in columns]
        threads = 1 if prepared.X.size < CELLS_PER_THREAD else self.experiment.threads
        matrix_params = {"feature_types": types, "enable_categorical": True, "nthread": threads}
        dtrain = xgboost.QuantileDMatrix(prepared.X, self._get_labels(train), **matrix_params)
        y = self._get_labels(test)
        booster = xgboost.train(
            self._get_params(params, threads),
            dtrain,
            ROUNDS,
            evals=[(xgboost.QuantileDMatrix(X, y, ref=dtrain, **matrix_params), "watched")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        forest = read_booster(booster[: booster.best_iteration + 1])
        raw = forest.decision_function(np.ascontiguousarray(X), threads)
        return FoldFit(columns, X, y, forest, self.kind.compute_row_losses(raw, y), self.kind.compute_residuals(raw, y))

    def _get_labels(self, examples: Examples) -> Array:
        """Labels as models learn them."""
        target = self.experiment.task.target
        return np.asarray(np.log(examples.y) if target.log else target.scale_labels(examples.y))

    def _get_params(self, params: Mapping[str, Any], threads: int) -> LibraryParams:
        objective, metric = OBJECTIVES[self.kind.name_objective("squared")]
        classes = {"num_class": len(self.experiment.task.target.classes)} if self.kind.has_score_per_class else {}
        fixed = {"objective": objective, "eval_metric": metric, "tree_method": "hist", "seed": self.experiment.seed}
        return {**fixed, **params, **classes, "nthread": threads}


def compare_losses(old: Variant, new: Variant) -> tuple[float, float]:
    """How much the held-out loss fell, and its standard error: the larger of that over folds and that over rows, both paired."""
    rows = [a.losses - b.losses for a, b in zip(old.fits, new.fits, strict=True)]
    folds = np.array([one.mean() for one in rows])
    over_folds = float(folds.std(ddof=1) / math.sqrt(len(folds))) if len(folds) > 1 else 0.0
    pooled = np.concatenate(rows)
    over_rows = float(pooled.std(ddof=1) / math.sqrt(len(pooled)))
    return float(folds.mean()), max(over_folds, over_rows)
