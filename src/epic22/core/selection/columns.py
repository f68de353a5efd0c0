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
from scipy.special import expit, softmax

from epic22.core.data.engineering import (
    Recipe,
    propose_combinations,
    propose_dates,
    propose_tallies,
)
from epic22.core.data.examples import Examples
from epic22.core.data.formula import bind
from epic22.core.data.split import Fold, FoldPlan, inner_folds
from epic22.core.evaluation.crossval import prepare, tally_parts
from epic22.core.models.base import CLASSIFIED
from epic22.core.models.boosting import OBJECTIVES
from epic22.core.models.forest import Forest, forest_of
from epic22.core.models.trees import SMALL_CELLS
from epic22.core.task import Array, Column, Formula, Kind, Task

FOLDS = 3
MOST_ROWS = 20_000
MOST_NUMBERS = 8
MOST_COMBINATIONS = 8
MOST_JUDGED, MOST_EXPLAINED = 1_500, 300
"""Held-out rows of a fold on which permutations and contributions are measured."""

BINS = 20
ERRORS_OF_CHOSEN = 2.0
"""Standard errors that the best one of a kind must gain: it was picked by the rows that judge it, or is a second try."""

LEAST_SHARE = 0.1
"""A combination must explain this share of what the best column does."""

ALIKE = 0.95
"""Two combinations that order the rows as much alike as this count as one."""

ROUNDS, PATIENCE = 200, 15
ADDITIVE: dict[str, Any] = {"learning_rate": 0.3, "max_depth": 1, "min_child_weight": 5.0}
"""Trees of one split: what they leave unexplained is what columns do together."""

SCREEN: dict[str, Any] = {"learning_rate": 0.2, "max_depth": 2, "min_child_weight": 10.0, "max_bin": 64, "tree_method": "hist"}
SCREEN_ROUNDS, MOST_SCREENED, MOST_OUTPUTS = 30, 6_000, 3
"""The booster of residuals that screens combinations: its rounds, and the most rows and residuals (one a class) it sees."""

SHAPE: dict[str, Any] = {"learning_rate": 0.1, "max_depth": 5, "min_child_weight": 5.0, "subsample": 0.8, "colsample_bytree": 0.8}


@dataclass(frozen=True)
class Budget:
    """What planning may cost: fits of the quick booster, and seconds where given (the plan then depends on the machine)."""

    fits: int = 45
    seconds: float | None = None


@dataclass(frozen=True)
class Gain:
    """What a change of columns did to the held-out loss, `gain` > 0: it fell; `low` and `high` one standard error around."""

    change: str
    columns: tuple[str, ...]
    gain: float
    low: float
    high: float
    kept: bool


@dataclass(frozen=True)
class Strength:
    """What a column is worth on held-out rows: the loss its permutation costs (with standard error over folds), its mean absolute
    contribution, and the share of folds in which the permutation costs anything."""

    column: str
    permutation: float
    error: float
    contribution: float
    stability: float
    kept: bool


@dataclass(frozen=True)
class ColumnPlan:
    """The recipe that was found, and why. `loss` names what was held out for: log loss or squared error, before and after."""

    recipe: Recipe
    gains: tuple[Gain, ...]
    strengths: tuple[Strength, ...]
    loss: str
    before: float
    after: float
    folds: int
    rows: int
    fits: int
    seconds: float = field(compare=False, default=0.0)


def plan_columns(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    train_rows: Array,
    seed: int = 0,
    threads: int = 1,
    budget: Budget = Budget(),
) -> ColumnPlan:
    """The columns for a model of these training rows; no other row is looked at."""
    began = time.perf_counter()
    rows = some_of(train_rows, seed)
    folds = inner_folds(plan, examples, rows, task.target.kind, seed, FOLDS)
    search = _Search(task, examples, plan, folds, seed, threads, budget, began)
    current = search.try_recipe(Recipe())
    before = current.mean
    for kind, proposals in search.kinds():
        current = search.take_in(current, kind, proposals)
    current = search.combine(current)
    strengths = search.strengths(current)
    current, dropped = search.leave_out(current, strengths)
    told = tuple(replace(s, kept=s.column not in dropped) for s in strengths)
    return ColumnPlan(
        current.recipe,
        tuple(search.gains),
        told,
        _loss_name(task),
        before,
        current.mean,
        len(folds),
        len(rows),
        search.fits,
        time.perf_counter() - began,
    )


def _loss_name(task: Task) -> str:
    if task.target.kind in CLASSIFIED:
        return "log loss"
    return "squared error of the logarithm" if task.target.log else "squared error"


class Planner:
    """Plans columns for training parts, each once; what a fold's models, of whatever family, are fitted by."""

    def __init__(
        self, task: Task, examples: Examples, plan: FoldPlan, seed: int = 0, threads: int = 1, budget: Budget = Budget()
    ) -> None:
        self._plan: Callable[[Array], ColumnPlan] = lambda train: plan_columns(task, examples, plan, train, seed, threads, budget)
        self._made: dict[bytes, ColumnPlan] = {}

    def plan(self, train: Array) -> ColumnPlan:
        """The plan made of these training rows alone."""
        key = train.tobytes()
        if key not in self._made:
            self._made[key] = self._plan(train)
        return self._made[key]

    def recipe(self, train: Array) -> Recipe:
        """The plan's recipe."""
        return self.plan(train).recipe


def some_of(rows: Array, seed: int) -> Array:
    """The rows, or MOST_ROWS of them by chance."""
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(np.random.default_rng([seed, 11]).choice(rows, MOST_ROWS, replace=False))


@dataclass(frozen=True)
class _Fitted:
    """A quick booster of one fold: held-out matrix, its trees, losses (n,) and residuals (n, outputs) of held-out rows."""

    columns: tuple[Column, ...]
    X: Array
    y: Array
    forest: Forest
    losses: Array
    residuals: Array


@dataclass(frozen=True)
class _Arm:
    """A recipe (of each fold, where they were screened in it) and its fits."""

    recipe: Recipe
    fitted: tuple[_Fitted, ...]

    @property
    def mean(self) -> float:
        """The mean held-out loss."""
        return float(np.mean([one.losses.mean() for one in self.fitted]))


class _Search:
    """The inner folds, the budget, and what was found so far."""

    def __init__(
        self,
        task: Task,
        examples: Examples,
        plan: FoldPlan,
        folds: tuple[Fold, ...],
        seed: int,
        threads: int,
        budget: Budget,
        began: float,
    ) -> None:
        self.task, self.examples, self.plan, self.folds = task, examples, plan, folds
        self.seed, self.threads, self.budget, self.began = seed, threads, budget, began
        self.fits = 0
        self.gains: list[Gain] = []

    @property
    def kind(self) -> Kind:
        return self.task.target.kind

    @property
    def can_afford(self) -> bool:
        """Whether another arm may be fitted."""
        spent = time.perf_counter() - self.began
        in_time = self.budget.seconds is None or spent * (1 + len(self.folds) / max(self.fits, 1)) < self.budget.seconds
        return self.fits + len(self.folds) <= self.budget.fits and in_time

    def kinds(self) -> list[tuple[str, Recipe]]:
        """The proposals that need no screening, by kind."""
        columns, classes = self.task.input_columns, len(self.task.target.classes)
        taken = {formula.name for formula in self.task.formulas} | {column.name for column in self.task.columns}
        dates = tuple(formula for formula in propose_dates(columns) if formula.name not in taken)
        proposed = (
            ("dates", Recipe(formulas=dates)),
            ("shares of levels", Recipe(tallies=propose_tallies(columns, "share", classes))),
            ("labels by level", Recipe(tallies=propose_tallies(columns, "target", classes))),
        )
        return [(name, recipe) for name, recipe in proposed if not recipe.empty]

    def try_recipe(self, recipe: Recipe, by_fold: Sequence[Recipe] | None = None, shape: Mapping[str, Any] = SHAPE) -> _Arm:
        """The recipe fitted on every fold; `by_fold` where each fold has its own."""
        made = by_fold or [recipe] * len(self.folds)
        return _Arm(recipe, tuple(self._fit(fold, one, shape) for fold, one in zip(self.folds, made, strict=True)))

    def take_in(self, current: _Arm, kind: str, proposals: Recipe) -> _Arm:
        """The arm with the proposals where they gain; else with the best of them where that one does."""
        if not self.can_afford:
            return current
        arm = self.try_recipe(joined(current.recipe, proposals))
        if self.gained(kind, names_of(proposals), current, arm):
            return arm
        best = self._best_of(arm, names_of(proposals))
        if best is None or len(names_of(proposals)) == 1 or not self.can_afford:
            return current
        single = self.try_recipe(joined(current.recipe, only(proposals, {best})))
        return single if self.gained(f"{kind}: the best one", (best,), current, single, ERRORS_OF_CHOSEN) else current

    def _best_of(self, arm: _Arm, names: tuple[str, ...]) -> str | None:
        costs = {s.column: s.permutation for s in self.strengths(arm, names)}
        best = max(costs, key=lambda name: costs[name], default=None)
        return best if best is not None and costs[best] > 0 else None

    def combine(self, current: _Arm) -> _Arm:
        """The arm with combinations of its strongest numbers, where choosing and adding them gains.

        They are chosen by what an additive model leaves unexplained; in each fold by the residuals of the other folds' held-out
        rows, so that its own loss judges the choice.
        """
        numbers = self._strong_numbers(current)
        taken = {column.name for column in self.task.columns} | {formula.name for formula in self.task.formulas}
        proposals = [formula for formula in propose_combinations(numbers) if formula.name not in taken]
        if not proposals or not self.can_afford:
            return current
        additive = self.try_recipe(current.recipe, shape=ADDITIVE)
        values = self._values_of(proposals, numbers, additive)
        chosen = self._screened(values, additive, range(len(self.folds)), len(numbers))
        others = [[i for i in range(len(self.folds)) if i != fold] or [fold] for fold in range(len(self.folds))]
        by_fold = [self._screened(values, additive, held, len(numbers)) for held in others]
        recipes = [joined(current.recipe, Recipe(formulas=tuple(proposals[i] for i in one))) for one in by_fold]
        added = Recipe(formulas=tuple(proposals[i] for i in chosen))
        if added.empty or not self.can_afford:
            return current
        arm = self.try_recipe(joined(current.recipe, added), recipes)
        if not self.gained("combinations", names_of(added), current, arm):
            first = [joined(current.recipe, Recipe(formulas=tuple(proposals[i] for i in one[:1]))) for one in by_fold]
            added = replace(added, formulas=added.formulas[:1])
            if len(chosen) == 1 or not self.can_afford:
                return current
            arm = self.try_recipe(joined(current.recipe, added), first)
            if not self.gained("combinations: the best one", names_of(added), current, arm, ERRORS_OF_CHOSEN):
                return current
        return self.try_recipe(arm.recipe) if self.can_afford else arm

    def _strong_numbers(self, arm: _Arm) -> list[Column]:
        """The inputs with numbers, strongest by contribution first, few enough to be combined."""
        inputs = {column.name: column for column in self.task.input_columns if column.dtype in ("float", "int", "money")}
        strengths = {name: 0.0 for name in inputs if "`" not in name}
        for fitted in arm.fitted:
            for column, part in zip(fitted.columns, self._contributions(fitted), strict=True):
                if column.name in strengths:
                    strengths[column.name] += float(part)
        strongest = sorted(strengths, key=lambda name: -strengths[name])
        return [inputs[name] for name in strongest[:MOST_NUMBERS]]

    def _contributions(self, fitted: _Fitted) -> Array:
        """Each column's mean absolute contribution to some held-out rows' scores, (p,)."""
        rows = np.linspace(0, len(fitted.y) - 1, min(len(fitted.y), MOST_EXPLAINED)).astype(int)
        parts = np.abs(fitted.forest.contributions(np.ascontiguousarray(fitted.X[rows]), 1))[..., :-1]
        return np.asarray(parts.mean(axis=tuple(range(parts.ndim - 1))))

    def _values_of(self, proposals: Sequence[Formula], numbers: Sequence[Column], arm: _Arm) -> list[list[Array]]:
        """Each fold's held-out values of the numbers and then of each proposal, from the matrices that the arm's folds hold."""
        derivations = [bind(formula, numbers) for formula in proposals]
        values = []
        for fitted in arm.fitted:
            at = {column.name: j for j, column in enumerate(fitted.columns)}
            own = [fitted.X[:, at[column.name]].astype(np.float64) for column in numbers]
            values.append([*own, *(derivation.batch(own) for derivation in derivations)])
        return values

    def _screened(self, values: Sequence[Sequence[Array]], arm: _Arm, held: Sequence[int], numbers: int) -> list[int]:
        """Which proposals explain most of the residuals of these folds' held-out rows, no two alike.

        A booster of the residuals chooses among all of them and the numbers themselves, so that what is no better than a number
        is not chosen for it.
        """
        import xgboost

        residuals = _tamed(np.concatenate([arm.fitted[i].residuals for i in held]))
        X = np.column_stack([np.concatenate([values[i][j] for i in held]) for j in range(len(values[0]))]).astype(np.float32)
        seen = np.linspace(0, len(X) - 1, min(len(X), MOST_SCREENED)).astype(int)
        residuals, X = residuals[seen], X[seen]
        matrix = xgboost.QuantileDMatrix(X, max_bin=SCREEN["max_bin"], nthread=1)
        gains = np.zeros(X.shape[1])
        for output in residuals.T[np.argsort(-residuals.var(axis=0), kind="stable")[:MOST_OUTPUTS]]:
            matrix.set_label(output)
            booster = xgboost.train({**SCREEN, "seed": self.seed, "nthread": 1}, matrix, SCREEN_ROUNDS)
            for name, gain in booster.get_score(importance_type="total_gain").items():
                gains[int(name[1:])] += float(gain)  # type: ignore[arg-type]
        binned = [_binned(column) for column in X.T[numbers:]]
        chosen: list[int] = []
        for j in np.argsort(-gains[numbers:], kind="stable"):
            if len(chosen) == MOST_COMBINATIONS or gains[numbers + j] <= LEAST_SHARE * gains.max():
                break
            if all(_alike(binned[j], binned[i]) < ALIKE for i in chosen):
                chosen.append(int(j))
        return chosen

    def gained(self, change: str, names: tuple[str, ...], old: _Arm, new: _Arm, errors: float = 1.0) -> bool:
        """Whether the loss fell by more than so many standard errors; written down in any case."""
        gain, error = difference(old, new)
        kept = gain > errors * error and gain > 0
        self.gains.append(Gain(change, names, gain, gain - error, gain + error, kept))
        return kept

    def strengths(self, arm: _Arm, names: tuple[str, ...] | None = None) -> tuple[Strength, ...]:
        """What each column of the arm is worth on held-out rows."""
        judged = [self._judged(fitted, names) for fitted in arm.fitted]
        found = []
        for name in judged[0]:
            costs = np.array([one[name][0] for one in judged if name in one])
            parts = np.array([one[name][1] for one in judged if name in one])
            error = float(costs.std(ddof=1) / math.sqrt(len(costs))) if len(costs) > 1 else math.inf
            found.append(Strength(name, float(costs.mean()), error, float(parts.mean()), float((costs > 0).mean()), True))
        return tuple(sorted(found, key=lambda s: -s.permutation))

    def _judged(self, fitted: _Fitted, names: tuple[str, ...] | None) -> dict[str, tuple[float, float]]:
        """Per column the loss its permutation costs, and its mean absolute contribution."""
        rng = np.random.default_rng([self.seed, 7])
        rows = np.sort(rng.permutation(len(fitted.y))[:MOST_JUDGED])
        X, y = fitted.X[rows], fitted.y[rows]
        base = losses_of(self.kind, fitted.forest.raw(X, 1), y).mean()
        strength = self._contributions(fitted)
        order, found = rng.permutation(len(rows)), {}
        for j, column in enumerate(fitted.columns):
            if names is not None and column.name not in names:
                continue
            shuffled = X.copy()
            shuffled[:, j] = X[order, j]
            cost = losses_of(self.kind, fitted.forest.raw(shuffled, 1), y).mean() - base
            found[column.name] = (float(cost), float(strength[j]))
        return found

    def leave_out(self, current: _Arm, strengths: Sequence[Strength]) -> tuple[_Arm, frozenset[str]]:
        """The arm without the columns whose permutation costs nothing, or the weaker half of them, if the loss gets no worse."""
        declared = {formula.name for formula in self.task.formulas}
        weak = [s for s in strengths if s.permutation <= s.error and s.column not in declared]
        weak.sort(key=lambda s: s.contribution)
        if len(weak) == len(strengths):
            weak = weak[:-1]
        while weak and self.can_afford:
            names = frozenset(s.column for s in weak)
            inputs = tuple(column.name for column in self.task.input_columns)
            arm = self.try_recipe(reduced(current.recipe, inputs, names))
            gain, error = difference(current, arm)
            self.gains.append(Gain("left out", tuple(sorted(names)), gain, gain - error, gain + error, gain >= 0))
            if gain >= 0:
                return arm, names
            weak = weak[: len(weak) // 2]
        return current, frozenset()

    def _fit(self, fold: Fold, recipe: Recipe, shape: Mapping[str, Any]) -> _Fitted:
        """The quick booster of one fold, fitted on its training rows with rounds that its test rows stop."""
        import xgboost

        self.fits += 1
        part, test = self.examples.take(fold.train), self.examples.take(fold.test)
        parts = tally_parts(self.plan, self.examples, fold.train, self.kind, self.seed) if recipe.tallies else ()
        prepared = prepare(self.task, part, recipe, parts)
        X = prepared.preprocessor.transform(test.X)
        columns = prepared.preprocessor.outputs
        types = ["c" if column.dtype == "category" else "q" for column in columns]
        threads = 1 if prepared.X.size < SMALL_CELLS else self.threads
        made = {"feature_types": types, "enable_categorical": True, "nthread": threads}
        fitted = xgboost.QuantileDMatrix(prepared.X, self._labels(part), **made)
        y = self._labels(test)
        watched = xgboost.QuantileDMatrix(X, y, ref=fitted, **made)
        booster = xgboost.train(
            self._params(shape, threads),
            fitted,
            ROUNDS,
            evals=[(watched, "watched")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        forest = forest_of(booster[: booster.best_iteration + 1])
        raw = forest.raw(np.ascontiguousarray(X), threads)
        return _Fitted(columns, X, y, forest, losses_of(self.kind, raw, y), residuals_of(self.kind, raw, y))

    def _labels(self, examples: Examples) -> Array:
        """Labels as models learn them."""
        return np.asarray(np.log(examples.y) if self.task.target.log else examples.y)

    def _params(self, shape: Mapping[str, Any], threads: int) -> dict[str, Any]:
        objective, metric = OBJECTIVES["squared" if self.kind == "regression" else self.kind]
        classes = {"num_class": len(self.task.target.classes)} if self.kind == "multiclass" else {}
        fixed = {"objective": objective, "eval_metric": metric, "tree_method": "hist", "seed": self.seed}
        return {**fixed, **shape, **classes, "nthread": threads}


def difference(old: _Arm, new: _Arm) -> tuple[float, float]:
    """How much the held-out loss fell, and its standard error: the larger of that over folds and that over rows, both paired."""
    rows = [a.losses - b.losses for a, b in zip(old.fitted, new.fitted, strict=True)]
    folds = np.array([one.mean() for one in rows])
    over_folds = float(folds.std(ddof=1) / math.sqrt(len(folds))) if len(folds) > 1 else 0.0
    pooled = np.concatenate(rows)
    over_rows = float(pooled.std(ddof=1) / math.sqrt(len(pooled)))
    return float(folds.mean()), max(over_folds, over_rows)


def joined(recipe: Recipe, more: Recipe) -> Recipe:
    """Both recipes' columns."""
    return replace(recipe, formulas=(*recipe.formulas, *more.formulas), tallies=(*recipe.tallies, *more.tallies))


def only(recipe: Recipe, names: set[str]) -> Recipe:
    """The recipe's columns of these names alone."""
    formulas = tuple(formula for formula in recipe.formulas if formula.name in names)
    return replace(recipe, formulas=formulas, tallies=tuple(tally for tally in recipe.tallies if tally.name in names))


def reduced(recipe: Recipe, inputs: tuple[str, ...], gone: frozenset[str]) -> Recipe:
    """The recipe without these columns; an input that a kept column is made of is computed with, not shown to the model."""
    kept = tuple(name for name in (recipe.inputs or inputs) if name not in gone)
    return replace(only(recipe, set(names_of(recipe)) - gone), inputs=kept)


def names_of(recipe: Recipe) -> tuple[str, ...]:
    """The names of the columns that a recipe makes."""
    return (*(formula.name for formula in recipe.formulas), *(tally.name for tally in recipe.tallies))


def losses_of(kind: Kind, raw: Array, y: Array) -> Array:
    """The loss of each row, (n,): log loss of log-odds, or squared error."""
    if kind == "binary":
        return np.asarray(np.logaddexp(0.0, raw) - y * raw)
    if kind == "multiclass":
        return np.asarray(np.logaddexp.reduce(raw, axis=1) - raw[np.arange(len(y)), y.astype(np.int64)])
    return np.asarray((raw - y) ** 2)


def residuals_of(kind: Kind, raw: Array, y: Array) -> Array:
    """What is left unexplained, (n, outputs): label minus response."""
    if kind == "multiclass":
        return np.asarray(np.eye(raw.shape[1])[y.astype(np.int64)] - softmax(raw, axis=1))
    return np.asarray(y - (expit(raw) if kind == "binary" else raw))[:, None]


def _tamed(residuals: Array) -> Array:
    """Residuals cut at their outer hundredths, so that a single enormous one does not choose, around their mean."""
    low, high = np.quantile(residuals, [0.01, 0.99], axis=0) if len(residuals) > 1000 else (residuals.min(0), residuals.max(0))
    held = np.clip(residuals, low, high)
    return np.asarray(held - held.mean(axis=0))


def _binned(values: Array) -> Array:
    """The bin of each value among equally filled ones, missing values in the last."""
    missing = np.isnan(values)
    edges = np.unique(np.quantile(values[~missing], np.arange(1, BINS) / BINS)) if not missing.all() else np.zeros(0)
    return np.where(missing, BINS, np.searchsorted(edges, values, side="right"))


def _alike(a: Array, b: Array) -> float:
    """How much alike two columns order the rows, by their bins."""
    x, y = a - a.mean(), b - b.mean()
    size = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return abs(float((x * y).sum())) / size if size else 1.0
