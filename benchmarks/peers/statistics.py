"""What the scores allow to say: ranks with an interval over sets, win rates, paired intervals of ours against the best peer.

A difference above zero is in favour of the first, whichever way the metric runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.evaluation.bootstrap import compute_replicates
from epic22.core.evaluation.metrics import (
    AVERAGE_PRECISION,
    BRIER_SCORE,
    LOG_LOSS,
    MEAN_ABSOLUTE_ERROR,
    R2,
    ROC_AUC,
    ROOT_MEAN_SQUARED_ERROR,
)
from epic22.core.evaluation.predictions import ClusteredPredictions
from epic22.core.task import Metric, RowMetadata
from peers.splits import Array

CONFIDENCE = 0.95
RANK_DRAWS, ROW_DRAWS = 10_000, 2_000
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (AVERAGE_PRECISION, ROC_AUC, LOG_LOSS, BRIER_SCORE, ROOT_MEAN_SQUARED_ERROR, MEAN_ABSOLUTE_ERROR, R2)
}


@dataclass(frozen=True)
class Difference:
    """A paired difference with its 95 % interval, in the metric's unit; `method` says what it is over."""

    value: float
    low: float
    high: float
    method: str


def ranks(scores: Mapping[str, float | None], greater_is_better: bool) -> dict[str, float]:
    """Rank by system, 1 the best, ties sharing their mean; None is a crash: behind all others.

    >>> ranks({"a": 0.9, "b": None, "c": 0.8, "d": 0.9}, True)
    {'a': 1.5, 'b': 4.0, 'c': 3.0, 'd': 1.5}
    """
    sign = -1.0 if greater_is_better else 1.0
    keys = [np.inf if value is None else sign * value for value in scores.values()]
    return {name: float(rank) for name, rank in zip(scores, stats.rankdata(keys), strict=True)}


def mean_rank_intervals(table: Array, seed: int = 0) -> Array:
    """(mean, low, high) of each system's rank, (systems, 3), from ranks (sets, systems); whole sets are drawn."""
    drawn = np.random.default_rng([seed, 5]).integers(0, len(table), (RANK_DRAWS, len(table)))
    means = table[drawn].mean(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return np.stack([table.mean(axis=0), low, high], axis=1)


def win_rates(table: Array) -> Array:
    """How often each system beat each other one, (systems, systems), from ranks (sets, systems); a tie is half a win."""
    ahead = (table[:, :, None] < table[:, None, :]).mean(axis=0)
    level = (table[:, :, None] == table[:, None, :]).mean(axis=0)
    return np.asarray(ahead + level / 2)


def over_splits(first: Sequence[float], second: Sequence[float], ratio: float, greater_is_better: bool) -> Difference:
    """Corrected resampled t (Nadeau and Bengio 2003) over repeated splits; `ratio` = test rows ÷ training rows."""
    gains = np.subtract(first, second) * (1.0 if greater_is_better else -1.0)
    mean, k = float(gains.mean()), len(gains)
    error = float(np.sqrt((1 / k + ratio) * gains.var(ddof=1)))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, k - 1)) * error
    return Difference(mean, mean - half, mean + half, f"corrected resampled t over {k} splits")


def over_rows(metric: Metric, y: Array, first: Array, second: Array, cluster: Array, seed: int = 0) -> Difference:
    """Paired bootstrap of one test part: both are scored on the same draws of whole clusters, codes (n,)."""
    units = np.unique(cluster, return_inverse=True)[1]
    parts = [ClusteredPredictions(y, response, units) for response in (first, second)]
    drawn = compute_replicates((metric,), parts, ROW_DRAWS, seed)[0]
    sign = 1.0 if metric.greater_is_better else -1.0
    gains = sign * (drawn[:, 0] - drawn[:, 1])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(gains, [tail, 100 - tail])
    value = sign * (metric.score(y, first, RowMetadata()) - metric.score(y, second, RowMetadata()))
    count = int(units.max()) + 1
    what = "rows" if count == len(y) else "clusters"
    return Difference(float(value), float(low), float(high), f"paired bootstrap, {count:,} {what} drawn")
