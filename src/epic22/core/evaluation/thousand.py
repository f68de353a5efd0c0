"""Money per 1,000 test rows: a mean over folds of what the rows cost, with its interval, paired where it is a difference.

Folds re-dealt: corrected resampled t. Otherwise a bootstrap over clusters, in the same draws as every other figure on the plan.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.crossval import (
    CONFIDENCE,
    DRAWS,
    FoldResponse,
    corrected_error,
    drawn_parts,
    fold_means,
    percentiles,
)
from epic22.core.evaluation.decide import CostMatrix
from epic22.core.evaluation.resample import draw_times
from epic22.core.task import Array

ROWS = 1000


@dataclass(frozen=True, eq=False)
class PerThousand:
    """A mean of money per 1,000 rows with its 95 % interval, standard error and the draws or the t behind them."""

    value: float
    low: float
    high: float
    error: float
    draws: Array
    freedom: int

    @property
    def upper(self) -> float:
        """The one-sided 95 % bound above."""
        if self.freedom:
            return self.value + float(stats.t.ppf(CONFIDENCE, self.freedom)) * self.error
        present = self.draws[~np.isnan(self.draws)]
        return float(np.quantile(present, CONFIDENCE)) if len(present) > len(self.draws) / 2 else math.nan

    def p_below(self, margin: float) -> float:
        """The one-sided p against "it is `margin` or more"."""
        if self.freedom and self.error > 0:
            return float(stats.t.sf((margin - self.value) / self.error, self.freedom))
        if self.freedom:
            return 0.0 if self.value < margin else 1.0
        present = self.draws[~np.isnan(self.draws)]
        return float((1 + (present >= margin).sum()) / (1 + len(present)))


def spent_by_acting(parts: tuple[FoldResponse, ...], costs: CostMatrix, examples: Examples) -> tuple[Array, ...]:
    """What each test row of each fold cost, acted on where its probability exceeds its threshold; `costs` are of all examples."""
    spent = []
    for part in parts:
        own = costs.take(part.fold.test)
        spent.append(own.spent(examples.y[part.fold.test], own.expected_saving(part.response) > 0))
    return tuple(spent)


def per_thousand(
    values: Sequence[Array], parts: tuple[FoldResponse, ...], examples: Examples, plan: FoldPlan, seed: int
) -> PerThousand:
    """The mean over folds of the values of their test rows, (n of the fold,) each, times 1,000."""
    folds = ROWS * np.array([float(np.mean(rows)) for rows in values])
    mean = float(folds.mean())
    if plan.kind in ("repeated", "repeated_stratified"):
        error = corrected_error(folds, plan)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(folds) - 1)) * error
        return PerThousand(mean, mean - half, mean + half, error, np.empty(0), len(folds) - 1)
    draws = _draws(values, parts, examples, plan, seed)
    return PerThousand(mean, *percentiles(draws), float(np.nanstd(draws, ddof=1)), draws, 0)


def _draws(values: Sequence[Array], parts: tuple[FoldResponse, ...], examples: Examples, plan: FoldPlan, seed: int) -> Array:
    """Means over folds in each draw, (DRAWS,)."""
    units = [part.unit for part in drawn_parts(parts, examples, plan)]
    count = 1 + max(int(unit.max()) for unit in units)
    sums = [np.bincount(unit, weights=rows, minlength=count) for unit, rows in zip(units, values, strict=True)]
    held = [np.bincount(unit, minlength=count).astype(np.float64) for unit in units]
    blocks = []
    for times in draw_times(count, DRAWS, seed, max(len(unit) for unit in units)):
        total, weight = (np.stack([np.einsum("du,u->d", times, x) for x in columns], axis=1) for columns in (sums, held))
        blocks.append(fold_means(np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)))
    return ROWS * np.concatenate(blocks)
