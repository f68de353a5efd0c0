"""How well probabilities are calibrated: the noise of the calibration error, slope and intercept, the reliability table.

y (n,) classes of 0 and 1, p (n,) probabilities. `rows.weight` (n,) weighs rows, as in `metrics`.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from scipy.special import logit

from epic22.core.evaluation.logistic import fit_logistic
from epic22.core.evaluation.metrics import BINS, MIN_PROBABILITY, sum_probability_bins
from epic22.core.statistics import Interval, compute_wilson_interval
from epic22.core.task import Array, RowMetadata


def compute_calibration_error_floor(p: Array, bins: int = BINS) -> float:
    """The error above that perfect probabilities of this many rows would show on average.

    A bin's mean absolute deviation is that of a binomial (De Moivre 1730), with the bin's mean probability.
    """
    n, _, predicted = sum_probability_bins(np.zeros(len(p)), p, RowMetadata(), bins)
    return float(compute_total_deviation(predicted / n, n).sum() / n.sum())


def compute_total_deviation(p: Array | float, n: Array | int) -> Array:
    """Mean absolute deviation of how many of n draws at p come, from n·p (De Moivre 1730)."""
    p = np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    above = np.floor(n * p) + 1
    return np.asarray(2 * above * (1 - p) * scipy.stats.binom.pmf(above, n, p))


@dataclass(frozen=True)
class Recalibration:
    """log-odds of the outcome = intercept + slope · log-odds of p (Cox 1958): 1 and 0 are best.

    A slope under 1: the probabilities are too extreme. `expected` and `observed` are the mean probability and the rate.
    """

    slope: float
    intercept: float
    expected: float
    observed: float


def fit_recalibration(y: Array, p: Array, rows: RowMetadata = RowMetadata()) -> Recalibration:
    """Slope and intercept by logistic regression; NaN where one class is missing or the probabilities are all equal."""
    weight = np.ones(len(y)) if rows.weight is None else rows.weight
    seen = y[weight > 0]
    total = weight.sum()
    expected, observed = (float((weight * x).sum() / total) if total > 0 else math.nan for x in (p, y))
    if not len(seen) or seen.min() == seen.max() or np.ptp(p) == 0:
        return Recalibration(math.nan, math.nan, expected, observed)
    slope, intercept = fit_logistic(
        logit(np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY))[:, None], y.astype(np.float64), weight
    )
    return Recalibration(float(slope), float(intercept), expected, observed)


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of like probability: how many, what was predicted on average, what happened, with its 95 % interval."""

    n: int
    predicted: float
    observed: Interval


def compute_reliability_table(y: Array, p: Array, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Equal-mass bins, by rising probability. The intervals (Wilson) take rows as independent: narrow where rows repeat."""
    n, hits, predicted = sum_probability_bins(y, p, RowMetadata(), bins)
    return tuple(
        ReliabilityBin(int(m), float(s / m), Interval(float(h / m), *compute_wilson_interval(float(h), float(m))))
        for m, h, s in zip(n, hits, predicted, strict=True)
    )
