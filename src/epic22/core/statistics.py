"""Intervals and p-values that need nothing but numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.task import Array
from epic22.core.text import format_figure

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where it is not known."""

    value: float
    low: float
    high: float

    @staticmethod
    def around(value: float, half_width: float) -> "Interval":
        """Symmetric about the figure."""
        return Interval(value, value - half_width, value + half_width)

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside; False where an end is NaN."""
        return bool(self.low > 0 or self.high < 0)

    @property
    def ends(self) -> str:
        """Both ends in words."""
        return f"{format_figure(self.low)} … {format_figure(self.high)}"

    def __str__(self) -> str:
        return f"{format_figure(self.value)} ({self.ends})"


UNDEFINED_INTERVAL = Interval(math.nan, math.nan, math.nan)


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


def compute_percentile_interval(replicates: Array) -> tuple[float, float]:
    """The 95 % percentile interval of the draws that are defined; NaN where half of them are not."""
    present = replicates[~np.isnan(replicates)]
    if len(present) < len(replicates) / 2:
        return math.nan, math.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(present, [tail, 1 - tail])
    return float(low), float(high)


def compute_cluster_error(values: Array, cluster: Array) -> tuple[float, int]:
    """The standard error of a mean over rows (n,) when clusters (n,) are drawn, and how many clusters there are."""
    units = np.unique(cluster, return_inverse=True)[1]
    count = int(units.max()) + 1
    off = np.bincount(units, weights=values - values.mean())
    return math.sqrt(float((off**2).sum()) * count / max(count - 1, 1)) / len(values), count


def adjust_p_values(ps: Sequence[float]) -> tuple[float, ...]:
    """Holm's (1979) adjusted p of each: the chance that any comparison is wrongly called certain stays at 5 %.

    What is NaN was not tested, stays NaN and does not count.

    >>> adjust_p_values([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    tested = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    adjusted, reached = [math.nan] * len(ps), 0.0
    for rank, (p, i) in enumerate(tested):
        reached = max(reached, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = reached
    return tuple(adjusted)
