"""DeLong's test of two ROC areas on the same rows (DeLong, DeLong and Clarke-Pearson 1988), by midranks (Sun and Xu 2014).

n = rows, m = positives. Rows must be independent of one another: `independence.find_dependence` says whether they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.task import Array

CONFIDENCE = 0.95


@dataclass(frozen=True)
class RocAucDifference:
    """The first area less the second, its standard error, 95 % interval and two-sided p."""

    first: float
    second: float
    difference: float
    error: float
    low: float
    high: float
    p: float


def delong_test(y: Array, first: Array, second: Array) -> RocAucDifference:
    """The test on one set of rows: classes y (n,) of 0 and 1, two responses (n,). NaN where a class is absent."""
    return delong_test_over_folds([(y, first, second)])


def delong_test_over_folds(folds: Sequence[tuple[Array, Array, Array]]) -> RocAucDifference:
    """The test of the mean over folds of (y, first, second): each fold ranks its own rows, for its models' scales are their own.

    Folds that lack a class are left out; the folds' rows are independent, so the variances add up.
    """
    used = [fold for fold in folds if 0 < (fold[0] == 1).sum() < len(fold[0])]
    if not used:
        return RocAucDifference(*[math.nan] * 7)
    areas, covariances = zip(*(compute_areas_and_covariance(y, np.stack([a, b])) for y, a, b in used), strict=True)
    first, second = (float(x) for x in np.mean(areas, axis=0))
    total = np.sum(covariances, axis=0) / len(used) ** 2
    difference, variance = first - second, float(total[0, 0] + total[1, 1] - 2 * total[0, 1])
    error = math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan
    if error == 0:
        return RocAucDifference(first, second, difference, 0.0, difference, difference, 0.0 if difference else 1.0)
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    p = float(2 * stats.norm.sf(abs(difference) / error))
    return RocAucDifference(first, second, difference, error, difference - half, difference + half, p)


def compute_areas_and_covariance(y: Array, responses: Array) -> tuple[Array, Array]:
    """The areas (k,) of responses (k, n) and their covariance (k, k); NaN where a class has fewer than two rows.

    In n log n: the share of the other class that a row outranks is its midrank among all less its midrank in its own class.
    """
    positive = y == 1
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = stats.rankdata(responses, axis=1)
    own = np.empty_like(ranks)
    own[:, positive] = stats.rankdata(responses[:, positive], axis=1)
    own[:, ~positive] = stats.rankdata(responses[:, ~positive], axis=1)
    beaten = (ranks - own)[:, positive] / n
    not_beaten = 1 - (ranks - own)[:, ~positive] / m
    if min(m, n) < 2:
        return beaten.mean(axis=1), np.full((len(responses), len(responses)), np.nan)
    return beaten.mean(axis=1), np.atleast_2d(np.cov(beaten)) / m + np.atleast_2d(np.cov(not_beaten)) / n
