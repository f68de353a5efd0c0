"""McNemar's test of two classifiers' labels on the same rows, exact with the mid-p (Fagerland, Lydersen and Laake 2013).

Rows must be independent of one another: `independence.find_dependence` says whether they are.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.task import Array

CONFIDENCE = 0.95


@dataclass(frozen=True)
class AccuracyDifference:
    """The first accuracy less the second. `only_first` and `only_second`: rows that one alone had right. `p` is two-sided."""

    only_first: int
    only_second: int
    rows: int
    difference: float
    low: float
    high: float
    p: float


def mcnemar_test(y: Array, first: Array, second: Array) -> AccuracyDifference:
    """The test on classes y (n,) and two sets of labels (n,).

    The interval is Wald's with one row added to each kind of disagreement (Bonett and Price 2012).
    """
    right_first, right_second = first == y, second == y
    a, b, n = int((right_first & ~right_second).sum()), int((~right_first & right_second).sum()), len(y)
    if not n:
        return AccuracyDifference(0, 0, 0, math.nan, math.nan, math.nan, math.nan)
    shares = np.array([a + 1, b + 1]) / (n + 2)
    centre = float(shares[0] - shares[1])
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((shares.sum() - centre**2) / (n + 2)))
    return AccuracyDifference(a, b, n, (a - b) / n, max(centre - half, -1.0), min(centre + half, 1.0), compute_mid_p(a, b))


def compute_mid_p(only_first: int, only_second: int) -> float:
    """The two-sided exact p of so many disagreements each way, in which just these count half.

    >>> round(compute_mid_p(1, 6), 6)
    0.070313
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    if not count:
        return 1.0
    here = float(stats.binom.pmf(fewer, count, 0.5))
    if only_first == only_second:
        return 1 - here / 2
    return float(min(1.0, 2 * stats.binom.cdf(fewer, count, 0.5)) - here)
