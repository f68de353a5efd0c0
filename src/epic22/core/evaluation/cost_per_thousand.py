"""Money per 1,000 test rows: a mean over folds of what the rows cost, with its interval, paired where it is a difference.

Its error is the jackknife's over what is independent, as that of every score on the plan.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from epic22.core.data.examples import Examples
from epic22.core.evaluation.costs import CostMatrix
from epic22.core.evaluation.jackknife import compute_jackknife_error, find_independent_units, jackknife_row_means
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE, UNBOUNDED, Interval, MetricBounds
from epic22.core.task import Array

ROWS = 1000


@dataclass(frozen=True)
class CostPer1000(Interval):
    """A mean of money per 1,000 rows with its 95 % interval, standard error and degrees of freedom, and the least p there is."""

    error: float
    degrees_of_freedom: int
    least_p: float

    @property
    def upper(self) -> float:
        """The one-sided 95 % bound above; NaN without degrees of freedom."""
        return self.value + float(scipy.stats.t.ppf(CONFIDENCE, self.degrees_of_freedom)) * self.error

    def p_below(self, margin: float) -> float:
        """The one-sided p against "it is `margin` or more", not below what the rows can show."""
        if not self.degrees_of_freedom or math.isnan(self.error):
            return 1.0
        if not self.error:
            return self.least_p if self.value < margin else 1.0
        return max(self.least_p, float(scipy.stats.t.sf((margin - self.value) / self.error, self.degrees_of_freedom)))


def compute_acting_costs(predictions: tuple[FoldPredictions, ...], costs: CostMatrix, examples: Examples) -> tuple[Array, ...]:
    """What each test row of each fold cost, acted on where its probability exceeds its threshold; `costs` are of all examples."""
    row_costs = []
    for part in predictions:
        own = costs.take(part.fold.test)
        row_costs.append(own.compute_realised_cost(examples.y[part.fold.test], own.compute_expected_saving(part.response) > 0))
    return tuple(row_costs)


def compute_cost_per_1000(
    experiment: Experiment, values: Sequence[Array], predictions: tuple[FoldPredictions, ...], bounds: MetricBounds = UNBOUNDED
) -> CostPer1000:
    """The mean over folds of the values of their test rows, (n of the fold,) each, times 1,000; `bounds` of such a mean."""
    units = find_independent_units(experiment)
    mean = ROWS * float(np.mean([np.mean(rows) for rows in values]))
    error = ROWS * compute_jackknife_error(jackknife_row_means(experiment, values, predictions, units))
    ends = bounds.compute_interval(mean, error, units.quantile, units.informative)
    # One-sided: half of what both sides could show.
    return CostPer1000(mean, *ends, error, units.degrees_of_freedom, units.least_p / 2)
