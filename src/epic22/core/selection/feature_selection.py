"""Which columns a model gets: proposals that gain on held-out rows are taken in, inputs that add nothing are left out.

All of it sees the training rows alone. On inner folds, split in the manner of the outer ones, a quick booster is fitted with and
without each kind of proposal; a kind stays where the held-out loss falls by more than one standard error, the larger of that over
folds and that over rows. Combinations of numbers are first screened by what the booster left unexplained, in each fold by the
rows outside it. Then columns whose permutation costs nothing are left out, as long as the held-out loss does not get worse.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import (
    FeatureRecipe,
    propose_combinations,
    propose_dates,
    propose_encodings,
)
from epic22.core.data.folds import Fold
from epic22.core.data.formula import bind_formula
from epic22.core.data.split import split_inner_folds
from epic22.core.evaluation.crossval import prepare_rows, split_target_encoding_folds
from epic22.core.experiment import Experiment
from epic22.core.models.base import LibraryParams
from epic22.core.models.trees.boosted import CELLS_PER_THREAD
from epic22.core.models.trees.forest import Forest, read_booster
from epic22.core.models.xgboost import OBJECTIVES
from epic22.core.statistics import Interval
from epic22.core.targets import KINDS, TargetKind
from epic22.core.task import Array, Column, Formula, Task

N_FOLDS = 3
MAX_ROWS = 20_000
MAX_NUMBERS = 8
MAX_COMBINATIONS = 8
MAX_PERMUTATION_ROWS, MAX_SHAP_ROWS = 1_500, 300
"""Held-out rows of a fold on which permutations and contributions are measured."""

N_BINS = 20
MIN_ERRORS_OF_BEST = 2.0
"""Standard errors that the best one of a kind must gain: it was picked by the rows that judge it, or is a second try."""

MIN_GAIN_SHARE = 0.1
"""A combination must explain this share of what the best column does."""

MAX_CORRELATION = 0.95
"""Two combinations that order the rows as much alike as this count as one."""

ROUNDS, PATIENCE = 200, 15
ADDITIVE_PARAMS: dict[str, Any] = {"learning_rate": 0.3, "max_depth": 1, "min_child_weight": 5.0}
"""Trees of one split: what they leave unexplained is what columns do together."""

SCREEN_PARAMS: dict[str, Any] = {
    "learning_rate": 0.2,
    "max_depth": 2,
    "min_child_weight": 10.0,
    "max_bin": 64,
    "tree_method": "hist",
}
SCREEN_ROUNDS, MAX_SCREEN_ROWS, MAX_OUTPUTS = 30, 6_000, 3
"""The booster of residuals that screens combinations: its rounds, and the most rows and residuals (one a class) it sees."""

QUICK_PARAMS: dict[str, Any] = {
    "learning_rate": 0.1,
    "max_depth": 5,
    "min_child_weight": 5.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
}


@dataclass(frozen=True)
class ColumnBudget:
    """What planning may cost: fits of the quick booster, and seconds where given (the plan then depends on the machine)."""

    fits: int = 45
    seconds: float | None = None


@dataclass(frozen=True)
class Gain:
    """What a change of columns did to the held-out loss, `gain` > 0: it fell; the interval is one standard error around."""

    change: str
    columns: tuple[str, ...]
    gain: Interval
    accepted: bool


@dataclass(frozen=True)
class ColumnStrength:
    """What a column is worth on held-out rows: the loss its permutation costs (with standard error over folds), its mean absolute
    contribution, and the share of folds in which the permutation costs anything."""

    column: str
    permutation: float
    error: float
    contribution: float
    stability: float
    selected: bool


@dataclass(frozen=True)
class ColumnPlan:
    """The recipe that was found, and why. `loss` names what was held out for: log loss or squared error, before and after."""

    recipe: FeatureRecipe
    gains: tuple[Gain, ...]
    strengths: tuple[ColumnStrength, ...]
    loss: str
    before: float
    after: float
    folds: int
    rows: int
    fits: int
    seconds: float = field(compare=False, default=0.0)


def plan_columns(experiment: Experiment, train_rows: Array, budget: ColumnBudget = ColumnBudget()) -> ColumnPlan:
    """The columns for a model of these training rows; no other row is looked at."""
    began = time.perf_counter()
    task, seed = experiment.task, experiment.seed
    rows = sample_rows(train_rows, seed)
    folds = split_inner_folds(experiment.plan, experiment.examples, rows, task.target.kind, seed, N_FOLDS)
    search = _ColumnSearch(experiment, folds, budget, began)
    variant = search.evaluate_recipe(FeatureRecipe())
    before = variant.mean_loss
    for kind, proposals in search.list_proposals():
        variant = search.add_if_better(variant, kind, proposals)
    variant = search.add_combinations(variant)
    strengths = search.measure_strengths(variant)
    variant, dropped = search.drop_weak_columns(variant, strengths)
    final_strengths = tuple(replace(s, selected=s.column not in dropped) for s in strengths)
    return ColumnPlan(
        variant.recipe,
        tuple(search.gains),
        final_strengths,
        _loss_name(task),
        before,
        variant.mean_loss,
        len(folds),
        len(rows),
        search.fits,
        time.perf_counter() - began,
    )


def _loss_name(task: Task) -> str:
    if task.target.traits.is_classification:
        return "log loss"
    return "squared error of the logarithm" if task.target.log else "squared error"


class ColumnPlanner:
    """Plans columns for training parts, each once; what a fold's models, of whatever family, are fitted by."""

    def __init__(self, experiment: Experiment, budget: ColumnBudget = ColumnBudget()) -> None:
        self._plan: Callable[[Array], ColumnPlan] = lambda train: plan_columns(experiment, train, budget)
        self._plans: dict[bytes, ColumnPlan] = {}

    def plan(self, train: Array) -> ColumnPlan:
        """The plan made of these training rows alone."""
        key = train.tobytes()
        if key not in self._plans:
            self._plans[key] = self._plan(train)
        return self._plans[key]

    def get_recipe(self, train: Array) -> FeatureRecipe:
        """The plan's recipe."""
        return self.plan(train).recipe


def sample_rows(rows: Array, seed: int) -> Array:
    """The rows, or MOST_ROWS of them by chance."""
    if len(rows) <= MAX_ROWS:
        return rows
    return np.sort(np.random.default_rng([seed, 11]).choice(rows, MAX_ROWS, replace=False))


@dataclass(frozen=True)
class _FoldFit:
    """A quick booster of one fold: held-out matrix, its trees, losses (n,) and residuals (n, outputs) of held-out rows."""

    columns: tuple[Column, ...]
    X: Array
    y: Array
    forest: Forest
    losses: Array
    residuals: Array


@dataclass(frozen=True)
class _Variant:
    """A recipe (of each fold, where they were screened in it) and its fits."""

    recipe: FeatureRecipe
    fits: tuple[_FoldFit, ...]

    @property
    def mean_loss(self) -> float:
        """The mean held-out loss."""
        return float(np.mean([one.losses.mean() for one in self.fits]))


class _ColumnSearch:
    """The inner folds, the budget, and what was found so far."""

    def __init__(self, experiment: Experiment, folds: tuple[Fold, ...], budget: ColumnBudget, began: float) -> None:
        self.experiment, self.folds, self.budget, self.began = experiment, folds, budget, began
        self.task, self.examples = experiment.task, experiment.examples
        self.seed, self.threads = experiment.seed, experiment.threads
        self.fits = 0
        self.gains: list[Gain] = []

    @property
    def kind(self) -> TargetKind:
        return KINDS[self.task.target.kind]

    @property
    def can_afford(self) -> bool:
        """Whether another arm may be fitted."""
        spent = time.perf_counter() - self.began
        in_time = self.budget.seconds is None or spent * (1 + len(self.folds) / max(self.fits, 1)) < self.budget.seconds
        return self.fits + len(self.folds) <= self.budget.fits and in_time

    def list_proposals(self) -> list[tuple[str, FeatureRecipe]]:
        """The proposals that need no screening, by kind."""
        columns, classes = self.task.input_columns, len(self.task.target.classes)
        existing = {formula.name for formula in self.task.formulas} | {column.name for column in self.task.columns}
        dates = tuple(formula for formula in propose_dates(columns) if formula.name not in existing)
        proposed = (
            ("dates", FeatureRecipe(formulas=dates)),
            ("shares of levels", FeatureRecipe(encodings=propose_encodings(columns, "share", classes))),
            ("labels by level", FeatureRecipe(encodings=propose_encodings(columns, "target", classes))),
        )
        return [(name, recipe) for name, recipe in proposed if not recipe.is_empty]

    def evaluate_recipe(
        self, recipe: FeatureRecipe, by_fold: Sequence[FeatureRecipe] | None = None, shape: Mapping[str, Any] = QUICK_PARAMS
    ) -> _Variant:
        """The recipe fitted on every fold; `by_fold` where each fold has its own."""
        recipes = by_fold or [recipe] * len(self.folds)
        return _Variant(recipe, tuple(self._fit_fold(fold, one, shape) for fold, one in zip(self.folds, recipes, strict=True)))

    def add_if_better(self, current: _Variant, kind: str, proposals: FeatureRecipe) -> _Variant:
        """The arm with the proposals where they gain; else with the best of them where that one does."""
        if not self.can_afford:
            return current
        variant = self.evaluate_recipe(merge_recipes(current.recipe, proposals))
        if self.record_gain(kind, list_column_names(proposals), current, variant):
            return variant
        best = self._find_best(variant, list_column_names(proposals))
        if best is None or len(list_column_names(proposals)) == 1 or not self.can_afford:
            return current
        single = self.evaluate_recipe(merge_recipes(current.recipe, filter_recipe(proposals, {best})))
        return single if self.record_gain(f"{kind}: the best one", (best,), current, single, MIN_ERRORS_OF_BEST) else current

    def _find_best(self, arm: _Variant, names: tuple[str, ...]) -> str | None:
        costs = {s.column: s.permutation for s in self.measure_strengths(arm, names)}
        best = max(costs, key=lambda name: costs[name], default=None)
        return best if best is not None and costs[best] > 0 else None

    def add_combinations(self, current: _Variant) -> _Variant:
        """The arm with combinations of its strongest numbers, where choosing and adding them gains.

        They are chosen by what an additive model leaves unexplained; in each fold by the residuals of the other folds' held-out
        rows, so that its own loss judges the choice.
        """
        numbers = self._select_strong_numbers(current)
        existing = {column.name for column in self.task.columns} | {formula.name for formula in self.task.formulas}
        proposals = [formula for formula in propose_combinations(numbers) if formula.name not in existing]
        if not proposals or not self.can_afford:
            return current
        additive = self.evaluate_recipe(current.recipe, shape=ADDITIVE_PARAMS)
        values = self._compute_values(proposals, numbers, additive)
        chosen = self._screen_proposals(values, additive, range(len(self.folds)), len(numbers))
        others = [[i for i in range(len(self.folds)) if i != fold] or [fold] for fold in range(len(self.folds))]
        by_fold = [self._screen_proposals(values, additive, fold_numbers, len(numbers)) for fold_numbers in others]
        recipes = [merge_recipes(current.recipe, FeatureRecipe(formulas=tuple(proposals[i] for i in one))) for one in by_fold]
        added = FeatureRecipe(formulas=tuple(proposals[i] for i in chosen))
        if added.is_empty or not self.can_afford:
            return current
        variant = self.evaluate_recipe(merge_recipes(current.recipe, added), recipes)
        if not self.record_gain("combinations", list_column_names(added), current, variant):
            first = [
                merge_recipes(current.recipe, FeatureRecipe(formulas=tuple(proposals[i] for i in one[:1]))) for one in by_fold
            ]
            added = replace(added, formulas=added.formulas[:1])
            if len(chosen) == 1 or not self.can_afford:
                return current
            variant = self.evaluate_recipe(merge_recipes(current.recipe, added), first)
            if not self.record_gain("combinations: the best one", list_column_names(added), current, variant, MIN_ERRORS_OF_BEST):
                return current
        return self.evaluate_recipe(variant.recipe) if self.can_afford else variant

    def _select_strong_numbers(self, arm: _Variant) -> list[Column]:
        """The inputs with numbers, strongest by contribution first, few enough to be combined."""
        inputs = {column.name: column for column in self.task.input_columns if column.dtype in ("float", "int", "money")}
        strengths = {name: 0.0 for name in inputs if "`" not in name}
        for fit in arm.fits:
            for column, part in zip(fit.columns, self._compute_mean_absolute_shap(fit), strict=True):
                if column.name in strengths:
                    strengths[column.name] += float(part)
        strongest = sorted(strengths, key=lambda name: -strengths[name])
        return [inputs[name] for name in strongest[:MAX_NUMBERS]]

    def _compute_mean_absolute_shap(self, fit: _FoldFit) -> Array:
        """Each column's mean absolute contribution to some held-out rows' scores, (p,)."""
        rows = np.linspace(0, len(fit.y) - 1, min(len(fit.y), MAX_SHAP_ROWS)).astype(int)
        parts = np.abs(fit.forest.shap_values(np.ascontiguousarray(fit.X[rows]), 1))[..., :-1]
        return np.asarray(parts.mean(axis=tuple(range(parts.ndim - 1))))

    def _compute_values(self, proposals: Sequence[Formula], numbers: Sequence[Column], arm: _Variant) -> list[list[Array]]:
        """Each fold's held-out values of the numbers and then of each proposal, from the matrices that the arm's folds hold."""
        derivations = [bind_formula(formula, numbers) for formula in proposals]
        values = []
        for fit in arm.fits:
            at = {column.name: j for j, column in enumerate(fit.columns)}
            own = [fit.X[:, at[column.name]].astype(np.float64) for column in numbers]
            values.append([*own, *(derivation.batch(own) for derivation in derivations)])
        return values

    def _screen_proposals(
        self, values: Sequence[Sequence[Array]], arm: _Variant, fold_numbers: Sequence[int], n_numbers: int
    ) -> list[int]:
        """Which proposals explain most of the residuals of these folds' held-out rows, no two alike.

        A booster of the residuals chooses among all of them and the numbers themselves, so that what is no better than a number
        is not chosen for it.
        """
        import xgboost

        residuals = _clip_residuals(np.concatenate([arm.fits[i].residuals for i in fold_numbers]))
        X = np.column_stack([np.concatenate([values[i][j] for i in fold_numbers]) for j in range(len(values[0]))]).astype(
            np.float32
        )
        sampled = np.linspace(0, len(X) - 1, min(len(X), MAX_SCREEN_ROWS)).astype(int)
        residuals, X = residuals[sampled], X[sampled]
        matrix = xgboost.QuantileDMatrix(X, max_bin=SCREEN_PARAMS["max_bin"], nthread=1)
        gains = np.zeros(X.shape[1])
        for output in residuals.T[np.argsort(-residuals.var(axis=0), kind="stable")[:MAX_OUTPUTS]]:
            matrix.set_label(output)
            booster = xgboost.train({**SCREEN_PARAMS, "seed": self.seed, "nthread": 1}, matrix, SCREEN_ROUNDS)
            for name, gain in booster.get_score(importance_type="total_gain").items():
                gains[int(name[1:])] += float(gain)  # type: ignore[arg-type]
        binned = [_bin_values(column) for column in X.T[n_numbers:]]
        chosen: list[int] = []
        for j in np.argsort(-gains[n_numbers:], kind="stable"):
            if len(chosen) == MAX_COMBINATIONS or gains[n_numbers + j] <= MIN_GAIN_SHARE * gains.max():
                break
            if all(_rank_correlation(binned[j], binned[i]) < MAX_CORRELATION for i in chosen):
                chosen.append(int(j))
        return chosen

    def record_gain(self, change: str, names: tuple[str, ...], old: _Variant, new: _Variant, errors: float = 1.0) -> bool:
        """Whether the loss fell by more than so many standard errors; written down in any case."""
        gain, error = compare_losses(old, new)
        accepted = gain > errors * error and gain > 0
        self.gains.append(Gain(change, names, Interval.around(gain, error), accepted))
        return accepted

    def measure_strengths(self, arm: _Variant, names: tuple[str, ...] | None = None) -> tuple[ColumnStrength, ...]:
        """What each column of the arm is worth on held-out rows."""
        fold_strengths = [self._measure_fold(fit, names) for fit in arm.fits]
        strengths = []
        for name in fold_strengths[0]:
            costs = np.array([one[name][0] for one in fold_strengths if name in one])
            parts = np.array([one[name][1] for one in fold_strengths if name in one])
            error = float(costs.std(ddof=1) / math.sqrt(len(costs))) if len(costs) > 1 else math.inf
            strengths.append(
                ColumnStrength(name, float(costs.mean()), error, float(parts.mean()), float((costs > 0).mean()), True)
            )
        return tuple(sorted(strengths, key=lambda s: -s.permutation))

    def _measure_fold(self, fit: _FoldFit, names: tuple[str, ...] | None) -> dict[str, tuple[float, float]]:
        """Per column the loss its permutation costs, and its mean absolute contribution."""
        rng = np.random.default_rng([self.seed, 7])
        rows = np.sort(rng.permutation(len(fit.y))[:MAX_PERMUTATION_ROWS])
        X, y = fit.X[rows], fit.y[rows]
        base = self.kind.compute_row_losses(fit.forest.decision_function(X, 1), y).mean()
        strength = self._compute_mean_absolute_shap(fit)
        order, strengths = rng.permutation(len(rows)), {}
        for j, column in enumerate(fit.columns):
            if names is not None and column.name not in names:
                continue
            shuffled = X.copy()
            shuffled[:, j] = X[order, j]
            cost = self.kind.compute_row_losses(fit.forest.decision_function(shuffled, 1), y).mean() - base
            strengths[column.name] = (float(cost), float(strength[j]))
        return strengths

    def drop_weak_columns(self, current: _Variant, strengths: Sequence[ColumnStrength]) -> tuple[_Variant, frozenset[str]]:
        """The arm without the columns whose permutation costs nothing, or the weaker half of them, if the loss gets no worse."""
        declared = {formula.name for formula in self.task.formulas}
        weak = [s for s in strengths if s.permutation <= s.error and s.column not in declared]
        weak.sort(key=lambda s: s.contribution)
        if len(weak) == len(strengths):
            weak = weak[:-1]
        while weak and self.can_afford:
            names = frozenset(s.column for s in weak)
            inputs = tuple(column.name for column in self.task.input_columns)
            arm = self.evaluate_recipe(drop_columns(current.recipe, inputs, names))
            gain, error = compare_losses(current, arm)
            self.gains.append(Gain("left out", tuple(sorted(names)), Interval.around(gain, error), gain >= 0))
            if gain >= 0:
                return arm, names
            weak = weak[: len(weak) // 2]
        return current, frozenset()

    def _fit_fold(self, fold: Fold, recipe: FeatureRecipe, shape: Mapping[str, Any]) -> _FoldFit:
        """The quick booster of one fold, fitted on its training rows with rounds that its test rows stop."""
        import xgboost

        self.fits += 1
        train, test = self.examples.take(fold.train), self.examples.take(fold.test)
        parts = split_target_encoding_folds(self.experiment, fold.train) if recipe.encodings else ()
        prepared = prepare_rows(self.task, train, recipe, parts)
        X = prepared.preprocessor.transform(test.X)
        columns = prepared.preprocessor.outputs
        types = ["c" if column.dtype == "category" else "q" for column in columns]
        threads = 1 if prepared.X.size < CELLS_PER_THREAD else self.threads
        matrix_params = {"feature_types": types, "enable_categorical": True, "nthread": threads}
        dtrain = xgboost.QuantileDMatrix(prepared.X, self._labels(train), **matrix_params)
        y = self._labels(test)
        dvalid = xgboost.QuantileDMatrix(X, y, ref=dtrain, **matrix_params)
        booster = xgboost.train(
            self._params(shape, threads),
            dtrain,
            ROUNDS,
            evals=[(dvalid, "watched")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        forest = read_booster(booster[: booster.best_iteration + 1])
        raw = forest.decision_function(np.ascontiguousarray(X), threads)
        return _FoldFit(columns, X, y, forest, self.kind.compute_row_losses(raw, y), self.kind.compute_residuals(raw, y))

    def _labels(self, examples: Examples) -> Array:
        """Labels as models learn them."""
        return np.asarray(np.log(examples.y) if self.task.target.log else examples.y)

    def _params(self, shape: Mapping[str, Any], threads: int) -> LibraryParams:
        objective, metric = OBJECTIVES[self.kind.name_objective("squared")]
        classes = {"num_class": len(self.task.target.classes)} if self.kind.has_score_per_class else {}
        fixed = {"objective": objective, "eval_metric": metric, "tree_method": "hist", "seed": self.seed}
        return {**fixed, **shape, **classes, "nthread": threads}


def compare_losses(old: _Variant, new: _Variant) -> tuple[float, float]:
    """How much the held-out loss fell, and its standard error: the larger of that over folds and that over rows, both paired."""
    rows = [a.losses - b.losses for a, b in zip(old.fits, new.fits, strict=True)]
    folds = np.array([one.mean() for one in rows])
    over_folds = float(folds.std(ddof=1) / math.sqrt(len(folds))) if len(folds) > 1 else 0.0
    pooled = np.concatenate(rows)
    over_rows = float(pooled.std(ddof=1) / math.sqrt(len(pooled)))
    return float(folds.mean()), max(over_folds, over_rows)


def merge_recipes(recipe: FeatureRecipe, more: FeatureRecipe) -> FeatureRecipe:
    """Both recipes' columns."""
    return replace(recipe, formulas=(*recipe.formulas, *more.formulas), encodings=(*recipe.encodings, *more.encodings))


def filter_recipe(recipe: FeatureRecipe, names: set[str]) -> FeatureRecipe:
    """The recipe's columns of these names alone."""
    formulas = tuple(formula for formula in recipe.formulas if formula.name in names)
    return replace(recipe, formulas=formulas, encodings=tuple(tally for tally in recipe.encodings if tally.name in names))


def drop_columns(recipe: FeatureRecipe, inputs: tuple[str, ...], dropped: frozenset[str]) -> FeatureRecipe:
    """The recipe without these columns; an input that a kept column is made of is computed with, not shown to the model."""
    inputs_left = tuple(name for name in (recipe.inputs or inputs) if name not in dropped)
    return replace(filter_recipe(recipe, set(list_column_names(recipe)) - dropped), inputs=inputs_left)


def list_column_names(recipe: FeatureRecipe) -> tuple[str, ...]:
    """The names of the columns that a recipe makes."""
    return (*(formula.name for formula in recipe.formulas), *(tally.name for tally in recipe.encodings))


def _clip_residuals(residuals: Array) -> Array:
    """Residuals cut at their outer hundredths, so that a single enormous one does not choose, around their mean."""
    low, high = np.quantile(residuals, [0.01, 0.99], axis=0) if len(residuals) > 1000 else (residuals.min(0), residuals.max(0))
    clipped = np.clip(residuals, low, high)
    return np.asarray(clipped - clipped.mean(axis=0))


def _bin_values(values: Array) -> Array:
    """The bin of each value among equally filled ones, missing values in the last."""
    missing = np.isnan(values)
    edges = np.unique(np.quantile(values[~missing], np.arange(1, N_BINS) / N_BINS)) if not missing.all() else np.zeros(0)
    return np.where(missing, N_BINS, np.searchsorted(edges, values, side="right"))


def _rank_correlation(a: Array, b: Array) -> float:
    """How much alike two columns order the rows, by their bins."""
    x, y = a - a.mean(), b - b.mean()
    size = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return abs(float((x * y).sum())) / size if size else 1.0
