"""Money per 1,000 test rows: a mean over folds of what the rows cost, with its interval, paired where it is a difference.

Folds re-dealt: corrected resampled t. Otherwise a bootstrap over clusters, in the same draws as every other figure on the plan.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan
from epic22.core.evaluation.bootstrap import draw_cluster_counts
from epic22.core.evaluation.costs import CostMatrix
from epic22.core.evaluation.crossval import (
    CONFIDENCE,
    N_REPLICATES,
    FoldPredictions,
    average_folds,
    build_clustered_predictions,
    compute_corrected_error,
    compute_percentile_interval,
)
from epic22.core.task import Array

ROWS = 1000


@dataclass(frozen=True, eq=False)
class CostPer1000:
    """A mean of money per 1,000 rows with its 95 % interval, standard error and the draws or the t behind them."""

    value: float
    low: float
    high: float
    error: float
    replicates: Array
    degrees_of_freedom: int

    @property
    def upper(self) -> float:
        """The one-sided 95 % bound above."""
        if self.degrees_of_freedom:
            return self.value + float(stats.t.ppf(CONFIDENCE, self.degrees_of_freedom)) * self.error
        present = self.replicates[~np.isnan(self.replicates)]
        return float(np.quantile(present, CONFIDENCE)) if len(present) > len(self.replicates) / 2 else math.nan

    def p_below(self, margin: float) -> float:
        """The one-sided p against "it is `margin` or more"."""
        if self.degrees_of_freedom and self.error > 0:
            return float(stats.t.sf((margin - self.value) / self.error, self.degrees_of_freedom))
        if self.degrees_of_freedom:
            return 0.0 if self.value < margin else 1.0
        present = self.replicates[~np.isnan(self.replicates)]
        return float((1 + (present >= margin).sum()) / (1 + len(present)))


def compute_acting_costs(predictions: tuple[FoldPredictions, ...], costs: CostMatrix, examples: Examples) -> tuple[Array, ...]:
    """What each test row of each fold cost, acted on where its probability exceeds its threshold; `costs` are of all examples."""
    row_costs = []
    for part in predictions:
        own = costs.take(part.fold.test)
        row_costs.append(own.compute_realised_cost(examples.y[part.fold.test], own.compute_expected_saving(part.response) > 0))
    return tuple(row_costs)


def compute_cost_per_1000(
    values: Sequence[Array], predictions: tuple[FoldPredictions, ...], examples: Examples, plan: FoldPlan, seed: int
) -> CostPer1000:
    """The mean over folds of the values of their test rows, (n of the fold,) each, times 1,000."""
    folds = ROWS * np.array([float(np.mean(rows)) for rows in values])
    mean = float(folds.mean())
    if plan.kind in ("repeated", "repeated_stratified"):
        error = compute_corrected_error(folds, plan)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(folds) - 1)) * error
        return CostPer1000(mean, mean - half, mean + half, error, np.empty(0), len(folds) - 1)
    replicates = _bootstrap_means(values, predictions, examples, plan, seed)
    return CostPer1000(mean, *compute_percentile_interval(replicates), float(np.nanstd(replicates, ddof=1)), replicates, 0)


def _bootstrap_means(
    values: Sequence[Array], predictions: tuple[FoldPredictions, ...], examples: Examples, plan: FoldPlan, seed: int
) -> Array:
    """Means over folds in each draw, (DRAWS,)."""
    units = [part.unit for part in build_clustered_predictions(predictions, examples, plan)]
    count = 1 + max(int(unit.max()) for unit in units)
    sums = [np.bincount(unit, weights=rows, minlength=count) for unit, rows in zip(units, values, strict=True)]
    cluster_sizes = [np.bincount(unit, minlength=count).astype(np.float64) for unit in units]
    blocks = []
    for times in draw_cluster_counts(count, N_REPLICATES, seed, max(len(unit) for unit in units)):
        total, weight = (np.stack([np.einsum("du,u->d", times, x) for x in columns], axis=1) for columns in (sums, cluster_sizes))
        blocks.append(average_folds(np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)))
    return ROWS * np.concatenate(blocks)
