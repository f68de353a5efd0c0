"""The population stability index of two samples in bins, and the test whether their distance is more than usual."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from epic22.core.task import Array

BINS = 10
MIN_ROWS = 20
"""Of a sample; with fewer rows nothing is compared."""

HALF_A_ROW = 0.5
"""Added to each bin, so that an empty one has a logarithm."""


@dataclass(frozen=True)
class Movement:
    """How far the newest of several samples lies from those before: `psi` and the chance of so large a distance."""

    psi: float
    p: float


def compute_psi(before: Array, now: Array) -> float:
    """The population stability index of two rows of counts (Yurdakul 2018): Σ (qᵢ − pᵢ) ln(qᵢ / pᵢ); 0 for equal shares.

    >>> round(compute_psi(np.array([50, 50]), np.array([90, 10])), 2)
    0.85
    """
    p = (before + HALF_A_ROW) / (before.sum() + HALF_A_ROW * len(before))
    q = (now + HALF_A_ROW) / (now.sum() + HALF_A_ROW * len(now))
    return float(((q - p) * np.log(q / p)).sum())


def compute_homogeneity(before: Array, now: Array) -> float:
    """Pearson's statistic of two samples' equal distribution, a degree of freedom; about 1 for independent rows of one."""
    n, m = now.sum(), before.sum()
    both = before + now
    there = both > 0
    if n == 0 or m == 0 or there.sum() < 2:
        return 0.0
    distance = now[there] * np.sqrt(m / n) - before[there] * np.sqrt(n / m)
    return float((distance**2 / both[there]).sum() / (there.sum() - 1))


POOLED_WINDOWS = 3
"""Windows that the newest is compared with, taken together; and those of about a year before."""


def measure_movement(counts: Array, others: Sequence[Array] = ()) -> Movement:
    """How far the first row of counts (k windows, b bins; the newest first) lies from the three after it taken together, and
    from each of the `others`, (b,): the counts of a year before, of the same days of months before.

    Rows of one building or machine are no independent draws, and seasons move them. So Pearson's statistic is judged by what it
    was for each window before and the three before that: as F with the degrees of freedom that fit their mean and spread (Rao
    and Scott 1984, Satterthwaite 1946), never less than independent rows would give. All distances have to be unusual: the
    largest p and the smallest index count (Berger 1982).
    """
    pools = [pool_windows(counts, 0), *others]
    past = [compute_homogeneity(pool_windows(counts, i), counts[i]) for i in range(1, len(counts) - POOLED_WINDOWS)]
    width = int((counts.sum(axis=0) > 0).sum()) - 1
    p = max(compute_movement_p(compute_homogeneity(pool, counts[0]), past, width) for pool in pools)
    return Movement(min(compute_psi(pool, counts[0]) for pool in pools), p)


def pool_windows(counts: Array, place: int) -> Array:
    """The counts of the three windows before that of `place`, taken together; of fewer where there are no more."""
    pooled: Array = counts[place + 1 : place + 1 + POOLED_WINDOWS].sum(axis=0)
    return pooled


def compute_movement_p(statistic: float, past: Sequence[float], width: int) -> float:
    """The chance of a statistic (a degree of freedom) at least so large, by those of the past; `width` are its degrees.

    The largest of the past is left out: a season's turn, which the windows of a year before are there for.
    """
    if width < 1:
        return 1.0
    usual = np.sort(np.asarray(past, dtype=float))[:-1]
    if len(usual) < 2:
        return float(scipy.stats.chi2.sf(statistic * width / max(1.0, *past, 1.0), width))
    mean, spread = max(1.0, float(usual.mean())), float(usual.var(ddof=1))
    degrees = float(np.clip(2 * mean**2 / spread if spread else width, max(1.0, width / 3), width))
    # Neighbours among the past statistics share windows: half of them are independent.
    return float(scipy.stats.f.sf(statistic / mean, degrees, max(2.0, degrees * len(usual) / 2)))


def find_edges(values: Array, bins: int = BINS) -> Array:
    """The inner edges of bins that hold about as many of these values each; fewer where values repeat."""
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])) if len(values) else np.array([])


def count_in_bins(values: Array, edges: Array) -> Array:
    """How many values lie in each bin: len(edges) + 1 counts. A bin ends below its upper edge."""
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).astype(float)
