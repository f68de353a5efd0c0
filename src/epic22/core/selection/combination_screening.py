"""Which combinations of numbers are worth a column: those that explain what an additive model leaves unexplained."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from epic22.core.data.formula import bind_formula
from epic22.core.selection.column_booster import Variant
from epic22.core.task import Array, Column, Formula

MAX_COMBINATIONS = 8
N_BINS = 20
MIN_GAIN_SHARE = 0.1
"""A combination must explain this share of what the best column does."""

MAX_CORRELATION = 0.95
"""Two combinations that order the rows as much alike as this count as one."""

PARAMS: Mapping[str, Any] = {
    "learning_rate": 0.2,
    "max_depth": 2,
    "min_child_weight": 10.0,
    "max_bin": 64,
    "tree_method": "hist",
    "nthread": 1,
}
ROUNDS, MAX_ROWS, MAX_OUTPUTS = 30, 6_000, 3
"""The booster of residuals: its rounds, and the most rows and residuals (one a class) it sees."""


@dataclass(frozen=True)
class CombinationScreening:
    """By fold, what combinations are screened by: held-out values of `n_numbers` numbers and of each combination after them,
    (n,) each, and the residuals (n, outputs) of an additive model."""

    values: tuple[tuple[Array, ...], ...]
    residuals: tuple[Array, ...]
    n_numbers: int
    seed: int

    @classmethod
    def of(cls, combinations: Sequence[Formula], numbers: Sequence[Column], additive: Variant, seed: int) -> Self:
        """Of the matrices that the additive model's folds hold."""
        derivations, values = [bind_formula(formula, numbers) for formula in combinations], []
        for fit in additive.fits:
            at = {column.name: j for j, column in enumerate(fit.columns)}
            own = [fit.X[:, at[column.name]].astype(np.float64) for column in numbers]
            values.append((*own, *(derivation.batch(own) for derivation in derivations)))
        return cls(tuple(values), tuple(fit.residuals for fit in additive.fits), len(numbers), seed)

    def select(self, folds: Sequence[int]) -> tuple[int, ...]:
        """Which combinations explain most of the residuals of these folds' held-out rows, the best first, no two alike.

        A booster of the residuals chooses among all of them and the numbers themselves, so that what is no better than a number
        is not chosen for it.
        """
        columns = [np.concatenate([self.values[i][j] for i in folds]) for j in range(len(self.values[0]))]
        X = np.column_stack(columns).astype(np.float32)
        rows = np.linspace(0, len(X) - 1, min(len(X), MAX_ROWS)).astype(int)
        residuals = _clip_residuals(np.concatenate([self.residuals[i] for i in folds]))[rows]
        X = X[rows]
        all_gains = self._compute_gains(X, residuals)
        gains = all_gains[self.n_numbers :]
        binned = [_bin_values(column) for column in X.T[self.n_numbers :]]
        selected: list[int] = []
        for j in np.argsort(-gains, kind="stable"):
            if len(selected) == MAX_COMBINATIONS or gains[j] <= MIN_GAIN_SHARE * all_gains.max():
                break
            if all(_compute_rank_correlation(binned[j], binned[i]) < MAX_CORRELATION for i in selected):
                selected.append(int(j))
        return tuple(selected)

    def _compute_gains(self, X: Array, residuals: Array) -> Array:
        """What each column of X explains of the residuals that vary most, (p,)."""
        import xgboost

        matrix = xgboost.QuantileDMatrix(X, max_bin=PARAMS["max_bin"], nthread=1)
        gains = np.zeros(X.shape[1])
        for output in residuals.T[np.argsort(-residuals.var(axis=0), kind="stable")[:MAX_OUTPUTS]]:
            matrix.set_label(output)
            booster = xgboost.train({**PARAMS, "seed": self.seed}, matrix, ROUNDS)
            for name, gain in booster.get_score(importance_type="total_gain").items():
                gains[int(name[1:])] += float(gain)  # type: ignore[arg-type]
        return gains


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


def _compute_rank_correlation(a: Array, b: Array) -> float:
    """How much alike two columns order the rows, by their bins."""
    x, y = a - a.mean(), b - b.mean()
    size = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return abs(float((x * y).sum())) / size if size else 1.0
