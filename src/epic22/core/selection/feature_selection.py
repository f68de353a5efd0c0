"""Which columns a model gets: proposals that gain on held-out rows are taken in, inputs that add nothing are left out.

All of it sees the training rows alone. On inner folds, split in the manner of the outer ones, a quick booster is fitted with and
without each kind of proposal; a kind stays where the held-out loss falls by more than one standard error, the larger of that over
folds and that over rows. Combinations of numbers are first screened by what the booster left unexplained, in each fold by the
rows outside it. Then columns whose permutation costs nothing are left out, as long as the held-out loss does not get worse.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from epic22.core.data.feature_engineering import FeatureRecipe, propose_combinations, propose_dates, propose_encodings
from epic22.core.data.folds import Fold
from epic22.core.evaluation.inner_folds import split_inner_folds
from epic22.core.experiment import Experiment
from epic22.core.fit_store import fit_once
from epic22.core.selection.column_booster import (
    ADDITIVE_PARAMS,
    QUICK_PARAMS,
    ColumnBooster,
    ColumnStrength,
    Variant,
    compare_losses,
)
from epic22.core.selection.column_plan import COLUMN_PLAN_FORM, ColumnPlan, Gain, compute_plan_digest
from epic22.core.selection.combination_screening import CombinationScreening
from epic22.core.statistics import Interval
from epic22.core.task import Array, Column, Task

N_FOLDS = 3
MAX_ROWS = 20_000
MAX_NUMBERS = 8
MIN_ERRORS_OF_BEST = 2.0
"""Standard errors that the best one of a kind must gain: it was picked by the rows that judge it, or is a second try."""


@dataclass(frozen=True)
class ColumnBudget:
    """What planning may cost: fits of the quick booster, and seconds where given (the plan then depends on the machine)."""

    fits: int = 45
    seconds: float | None = None


@dataclass(frozen=True)
class ColumnPlanner:
    """Plans columns for training parts, each once; what a fold's models, of whatever family, are fitted by."""

    experiment: Experiment
    budget: ColumnBudget = ColumnBudget()
    plans: dict[bytes, ColumnPlan] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, train: Array) -> ColumnPlan:
        """The plan made of these training rows alone."""
        key = train.tobytes()
        if key not in self.plans:
            self.plans[key] = plan_columns(self.experiment, train, self.budget)
        return self.plans[key]

    def get_recipe(self, train: Array) -> FeatureRecipe:
        """The plan's recipe."""
        return self.plan(train).recipe


def plan_columns(experiment: Experiment, train_rows: Array, budget: ColumnBudget = ColumnBudget()) -> ColumnPlan:
    """The columns for a model of these training rows; no other row is looked at. Read where a training that was interrupted left
    the plan, unless the time decides what is tried."""
    rows = sample_rows(train_rows, experiment.seed)
    folds = split_inner_folds(experiment, rows, N_FOLDS)

    def plan() -> ColumnPlan:
        return _plan_columns(experiment, rows, folds, budget)

    if budget.seconds is not None:
        return plan()
    return fit_once(partial(compute_plan_digest, experiment, rows, folds, budget.fits), plan, COLUMN_PLAN_FORM).value


def _plan_columns(experiment: Experiment, rows: Array, folds: tuple[Fold, ...], budget: ColumnBudget) -> ColumnPlan:
    began, task = time.perf_counter(), experiment.task
    search = _ColumnSearch(ColumnBooster(experiment, folds), budget, began)
    variant = search.fit_variant(FeatureRecipe())
    before = variant.mean_loss
    for kind, proposals in _list_proposals(task):
        variant = search.add_if_better(variant, kind, proposals)
    variant = search.add_combinations(variant)
    strengths = search.booster.measure_strengths(variant)
    variant, dropped = search.drop_weak_columns(variant, strengths)
    return ColumnPlan(
        variant.recipe,
        tuple(search.gains),
        tuple(replace(s, selected=s.column not in dropped) for s in strengths),
        _name_loss(task),
        before,
        variant.mean_loss,
        len(folds),
        len(rows),
        search.fits,
        time.perf_counter() - began,
    )


def sample_rows(rows: Array, seed: int) -> Array:
    """The rows, or MAX_ROWS of them by chance."""
    if len(rows) <= MAX_ROWS:
        return rows
    return np.sort(np.random.default_rng([seed, 11]).choice(rows, MAX_ROWS, replace=False))


def _name_loss(task: Task) -> str:
    if task.target.traits.is_classification:
        return "log loss"
    return "squared error of the logarithm" if task.target.log else "squared error"


def _list_proposals(task: Task) -> list[tuple[str, FeatureRecipe]]:
    """The proposals that need no screening, by kind."""
    columns, classes = task.input_columns, len(task.target.classes)
    dates = tuple(formula for formula in propose_dates(columns) if formula.name not in _list_names(task))
    proposals = (
        ("dates", FeatureRecipe(formulas=dates)),
        ("shares of levels", FeatureRecipe(encodings=propose_encodings(columns, "share", classes))),
        ("labels by level", FeatureRecipe(encodings=propose_encodings(columns, "target", classes))),
    )
    return [(name, recipe) for name, recipe in proposals if not recipe.is_empty]


def _list_names(task: Task) -> set[str]:
    """Names that no column may be given again."""
    return {formula.name for formula in task.formulas} | {column.name for column in task.columns}


class _ColumnSearch:
    """The steps of a plan; what they cost so far, and what they gained."""

    def __init__(self, booster: ColumnBooster, budget: ColumnBudget, began: float) -> None:
        self.booster, self.task, self.budget, self.began = booster, booster.experiment.task, budget, began
        self.fits = 0
        self.gains: list[Gain] = []

    @property
    def can_afford(self) -> bool:
        """Whether another variant may be fitted."""
        spent, n = time.perf_counter() - self.began, len(self.booster.folds)
        in_time = self.budget.seconds is None or spent * (1 + n / max(self.fits, 1)) < self.budget.seconds
        return self.fits + n <= self.budget.fits and in_time

    def fit_variant(
        self, recipe: FeatureRecipe, by_fold: Sequence[FeatureRecipe] = (), params: Mapping[str, Any] = QUICK_PARAMS
    ) -> Variant:
        """The recipe fitted on every fold, which is counted."""
        self.fits += len(self.booster.folds)
        return self.booster.fit_variant(recipe, by_fold, params)

    def add_if_better(self, current: Variant, change: str, proposals: FeatureRecipe) -> Variant:
        """The variant with the proposals where they gain; else with the best of them where that one does."""
        if not self.can_afford:
            return current
        names = proposals.column_names
        variant = self.fit_variant(current.recipe.merge(proposals))
        if self._record_gain(change, names, current, variant):
            return variant
        costs = {s.column: s.permutation for s in self.booster.measure_strengths(variant, names)}
        best = max(costs, key=lambda name: costs[name], default=None)
        if best is None or costs[best] <= 0 or len(names) == 1 or not self.can_afford:
            return current
        single = self.fit_variant(current.recipe.merge(proposals.select({best})))
        return single if self._record_gain(f"{change}: the best one", (best,), current, single, MIN_ERRORS_OF_BEST) else current

    def add_combinations(self, current: Variant) -> Variant:
        """The variant with combinations of its strongest numbers, or with the best one, where choosing and adding them gains.

        They are chosen by what an additive model leaves unexplained; in each fold by the residuals of the other folds' held-out
        rows, so that its own loss judges the choice.
        """
        numbers, existing = self._select_strong_numbers(current), _list_names(self.task)
        combinations = [formula for formula in propose_combinations(numbers) if formula.name not in existing]
        if not combinations or not self.can_afford:
            return current
        additive = self.fit_variant(current.recipe, params=ADDITIVE_PARAMS)
        screening = CombinationScreening.of(combinations, numbers, additive, self.booster.experiment.seed)
        folds = range(len(self.booster.folds))
        best = screening.select(folds)
        by_fold = [screening.select([i for i in folds if i != fold] or [fold]) for fold in folds]

        def add_formulas(selected: Sequence[int]) -> FeatureRecipe:
            return current.recipe.merge(FeatureRecipe(formulas=tuple(combinations[i] for i in selected)))

        attempts = [("combinations", len(combinations), 1.0), ("combinations: the best one", 1, MIN_ERRORS_OF_BEST)]
        for change, n, min_errors in attempts[: len(best)]:
            if not self.can_afford:
                return current
            names = tuple(combinations[i].name for i in best[:n])
            variant = self.fit_variant(add_formulas(best[:n]), [add_formulas(one[:n]) for one in by_fold])
            if self._record_gain(change, names, current, variant, min_errors):
                return self.fit_variant(variant.recipe) if self.can_afford else variant
        return current

    def _select_strong_numbers(self, variant: Variant) -> list[Column]:
        """The inputs with numbers, strongest by SHAP values first, few enough to be combined."""
        inputs = {column.name: column for column in self.task.input_columns if column.dtype in ("float", "int", "money")}
        strengths = {name: 0.0 for name in inputs if "`" not in name}
        for fit in variant.fits:
            for name, value in fit.compute_mean_absolute_shap().items():
                if name in strengths:
                    strengths[name] += value
        strongest = sorted(strengths, key=lambda name: -strengths[name])
        return [inputs[name] for name in strongest[:MAX_NUMBERS]]

    def drop_weak_columns(self, current: Variant, strengths: Sequence[ColumnStrength]) -> tuple[Variant, frozenset[str]]:
        """The variant without the columns whose permutation costs nothing, or the weaker half of them, if the loss gets no worse;
        and which they are."""
        declared = {formula.name for formula in self.task.formulas}
        weak = [s for s in strengths if s.permutation <= s.error and s.column not in declared]
        weak.sort(key=lambda s: s.contribution)
        if len(weak) == len(strengths):
            weak = weak[:-1]
        inputs = tuple(column.name for column in self.task.input_columns)
        while weak and self.can_afford:
            names = frozenset(s.column for s in weak)
            variant = self.fit_variant(current.recipe.drop(names, inputs))
            gain, error = compare_losses(current, variant)
            self.gains.append(Gain("left out", tuple(sorted(names)), Interval.around(gain, error), gain >= 0))
            if gain >= 0:
                return variant, names
            weak = weak[: len(weak) // 2]
        return current, frozenset()

    def _record_gain(self, change: str, names: tuple[str, ...], old: Variant, new: Variant, min_errors: float = 1.0) -> bool:
        """Whether the loss fell by more than `min_errors` standard errors; written down in any case."""
        gain, error = compare_losses(old, new)
        accepted = gain > min_errors * error and gain > 0
        self.gains.append(Gain(change, names, Interval.around(gain, error), accepted))
        return accepted
