"""Does a probability keep its word? Calibration error and its noise, slope and intercept, the reliability table, Brier skill.

y (n,) classes of 0 and 1, p (n,) probabilities. `rows.weight` (n,) weighs rows, as in `metrics`.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import logit

from epic22.core.evaluation.logistic import fit_logistic
from epic22.core.evaluation.metrics import brier_score
from epic22.core.task import Array, Metric, RowMetadata

BINS = 15
CONFIDENCE = 0.95
MIN_PROBABILITY = 1e-12


def compute_wilson_interval(hits: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share of `hits` in `n` (Wilson 1927); 0 to 1 where n is 0.

    >>> [round(x, 3) for x in compute_wilson_interval(2, 10)]
    [0.057, 0.51]
    """
    if n <= 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    share, spread = hits / n, z * math.sqrt(hits / n * (1 - hits / n) / n + z * z / (4 * n * n))
    middle, scale = share + z * z / (2 * n), 1 + z * z / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _weights(y: Array, rows: RowMetadata) -> Array:
    return np.ones(len(y)) if rows.weight is None else rows.weight


def _assign_bins(p: Array, weight: Array, bins: int) -> Array:
    """Codes 0…b−1 of bins of about equal weight, (n,); equal probabilities share a bin, and no bin is empty."""
    distinct, inverse = np.unique(p, return_inverse=True)
    value_weights = np.bincount(inverse, weights=weight, minlength=len(distinct))
    middle = (np.cumsum(value_weights) - value_weights / 2) / max(value_weights.sum(), MIN_PROBABILITY)
    codes = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.asarray(np.unique(codes, return_inverse=True)[1][inverse])


def _sum_bins(y: Array, p: Array, rows: RowMetadata, bins: int) -> tuple[Array, Array, Array]:
    """Weight, weighted classes and weighted probabilities of each bin that holds weight."""
    weight = _weights(y, rows)
    code = _assign_bins(p, weight, bins)
    n, hits, predicted = (np.bincount(code, weights=w) for w in (weight, weight * y, weight * p))
    return n[n > 0], hits[n > 0], predicted[n > 0]


def expected_calibration_error(y: Array, p: Array, rows: RowMetadata = RowMetadata(), bins: int = BINS) -> float:
    """Mean over equal-mass bins of |observed rate − mean probability|; 0 is best, and noise alone gives more (see the floor)."""
    n, hits, predicted = _sum_bins(y, p, rows, bins)
    return float(np.abs(hits - predicted).sum() / n.sum()) if n.sum() > 0 else math.nan


def compute_calibration_error_floor(p: Array, bins: int = BINS) -> float:
    """The error above that perfect probabilities of this many rows would show on average.

    A bin's mean absolute deviation is that of a binomial (De Moivre 1730), with the bin's mean probability.
    """
    n, _, predicted = _sum_bins(np.zeros(len(p)), p, RowMetadata(), bins)
    mean = np.clip(predicted / n, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    above = np.floor(n * mean) + 1
    return float((2 * above * (1 - mean) * stats.binom.pmf(above, n, mean)).sum() / n.sum())


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
    weight = _weights(y, rows)
    seen = y[weight > 0]
    total = weight.sum()
    expected, observed = (float((weight * x).sum() / total) if total > 0 else math.nan for x in (p, y))
    if not len(seen) or seen.min() == seen.max() or np.ptp(p) == 0:
        return Recalibration(math.nan, math.nan, expected, observed)
    slope, intercept = fit_logistic(
        logit(np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY))[:, None], y.astype(np.float64), weight
    )
    return Recalibration(float(slope), float(intercept), expected, observed)


def brier_skill_score(y: Array, p: Array, rows: RowMetadata = RowMetadata()) -> float:
    """1 − Brier score ÷ that of the rows' own rate, a constant that nobody knew beforehand; NaN for one class."""
    weight = _weights(y, rows)
    rate = (weight * y).sum() / weight.sum() if weight.sum() > 0 else math.nan
    constant = rate * (1 - rate)
    return float(1 - brier_score(y, p, rows) / constant) if constant > 0 else math.nan


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of like probability: how many, what was predicted on average, what happened, with its 95 % interval."""

    n: int
    predicted: float
    observed: float
    low: float
    high: float


def compute_reliability_table(y: Array, p: Array, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Equal-mass bins, by rising probability. The intervals (Wilson) take rows as independent: narrow where rows repeat."""
    n, hits, predicted = _sum_bins(y, p, RowMetadata(), bins)
    return tuple(
        ReliabilityBin(int(m), float(s / m), float(h / m), *compute_wilson_interval(float(h), float(m)))
        for m, h, s in zip(n, hits, predicted, strict=True)
    )


EXPECTED_CALIBRATION_ERROR = Metric("expected_calibration_error", expected_calibration_error, False, "probability")
BRIER_SKILL_SCORE = Metric("brier_skill_score", brier_skill_score, True, "probability")
