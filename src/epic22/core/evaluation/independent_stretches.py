"""What a number of independent stretches of time supports: the level of an interval, its width, a difference in loss.

Origins h periods apart share no target at horizon h, and one shock moves all series at once: forty-six series in one window
are far from forty-six independent errors, so that a window counts as one. `OriginPlan.count_effective_blocks` counts them.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from epic22.core.statistics import CONFIDENCE, UNDEFINED_INTERVAL, Interval
from epic22.core.time_series import Array

STRETCH_HALF_LIFE = 2.0
"""Stretches: of two that lie so far apart the older counts half, for the world that it tells of has moved on (weighted
conformal prediction beyond exchangeability, Barber et al. 2023)."""


def compute_supported_level(n_stretches: float) -> float:
    """The highest level that an interval calibrated on so many independent stretches can promise: n / (n + 1).

    The next error is as likely to be the largest as any of the n before it, so that even the widest of them is passed once in
    n + 1 times (split conformal prediction, Vovk et al. 2005; by blocks of a series, Chernozhukov et al. 2018).

    >>> compute_supported_level(4), compute_supported_level(3)
    (0.8, 0.75)
    """
    return n_stretches / (n_stretches + 1)


def supports_level(n_stretches: float, level: float) -> bool:
    """Whether so many independent stretches can promise the level."""
    return compute_supported_level(n_stretches) >= level - 1e-9


@cache
def count_remembered_stretches(n_origins: int, horizon: int) -> float:
    """What `n_origins` neighbouring origins are worth at a horizon, old ones counting less (Kish's effective number).

    >>> round(count_remembered_stretches(12, 12), 2), round(count_remembered_stretches(1000, 1), 1)
    (0.99, 5.8)
    """
    weights = 0.5 ** (np.arange(n_origins) / (STRETCH_HALF_LIFE * horizon))
    return float(weights.sum() ** 2 / (weights**2).sum() / horizon) if n_origins else 0.0


@cache
def compute_widening(n_stretches: float, level: float) -> float:
    """By how much an interval is wider whose scale was learned from so many stretches: Student's quantile over the normal one.

    Fewer than one count as one.

    >>> round(compute_widening(3, 0.8), 3), round(compute_widening(100, 0.8), 3)
    (1.278, 1.007)
    """
    tail = (1 + level) / 2
    return float(scipy.stats.t.ppf(tail, max(n_stretches, 1.0)) / scipy.stats.norm.ppf(tail))


@dataclass(frozen=True)
class StretchGain:
    """A mean gain with its standard error and 95 % interval over `groups` independent stretches; no ends with fewer than two."""

    mean: Interval
    error: float
    groups: int


def compare_over_stretches(gains: Array, counts: Array, horizon: int) -> StretchGain:
    """The mean gain of one forecast over another from sums (origins,) of gains and how many forecasts each is of.

    The origins are cut into neighbouring groups of at least a horizon each, whose means are as good as independent; the interval
    is Student's over the groups, which holds whatever the dependence within them (Ibragimov and Müller 2010). A long-run
    variance (Diebold and Mariano 1995, with the correction of Harvey et al. 1997) needs many more stretches than there are.

    >>> compare_over_stretches(np.array([1.0, 1.0, 3.0, 3.0]), np.ones(4), 2).mean.value
    2.0
    """
    known = counts > 0
    gains, counts = gains[known], counts[known]
    if not len(gains):
        return StretchGain(UNDEFINED_INTERVAL, math.nan, 0)
    mean, n_groups = float(gains.sum() / counts.sum()), len(gains) // max(horizon, 1)
    if n_groups < 2:
        return StretchGain(Interval(mean, math.nan, math.nan), math.nan, n_groups)
    group = np.minimum(np.arange(len(gains)) * n_groups // len(gains), n_groups - 1)
    means = np.bincount(group, gains) / np.bincount(group, counts)
    mean, error = float(means.mean()), float(means.std(ddof=1) / math.sqrt(n_groups))
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n_groups - 1)) * error
    return StretchGain(Interval.around(mean, half), error, n_groups)
