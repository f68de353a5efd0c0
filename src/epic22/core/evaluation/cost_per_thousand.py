"""Money per 1,000 test rows: a mean over folds of what the rows cost, with its interval, paired where it is a difference.

Repeated folds: corrected resampled t. Otherwise a bootstrap over clusters, in the same draws as every other figure on the plan.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.data.examples import Examples
from epic22.core.evaluation.bootstrap import (
    bootstrap_means,
    compute_percentile_interval,
)
from epic22.core.evaluation.costs import CostMatrix
from epic22.core.evaluation.intervals import compute_corrected_error
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE, Interval
from epic22.core.task import Array

ROWS = 1000


@dataclass(frozen=True, eq=False)
class CostPer1000(Interval):
    """A mean of money per 1,000 rows with its 95 % interval, standard error and the draws or the t behind them."""

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
    experiment: Experiment, values: Sequence[Array], predictions: tuple[FoldPredictions, ...]
) -> CostPer1000:
    """The mean over folds of the values of their test rows, (n of the fold,) each, times 1,000."""
    folds = ROWS * np.array([float(np.mean(rows)) for rows in values])
    mean = float(folds.mean())
    if experiment.plan.is_repeated:
        error = compute_corrected_error(folds, experiment.plan)
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(folds) - 1)) * error
        return CostPer1000(mean, mean - half, mean + half, error, np.empty(0), len(folds) - 1)
    replicates = ROWS * bootstrap_means(experiment, values, predictions)
    return CostPer1000(mean, *compute_percentile_interval(replicates), float(np.nanstd(replicates, ddof=1)), replicates, 0)
