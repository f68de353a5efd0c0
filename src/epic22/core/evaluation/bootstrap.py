"""A bootstrap over clusters: every metric of every part in many draws.

A draw gives each cluster a whole number of times; a row drawn k times weighs k. A metric that has no way through many draws at
once (`drawn.RESAMPLERS`) is called draw by draw, on rows in the order of their response.

d = draws, n = rows of a part, c = clusters, u = clusters of a part. Draws are (d, c); a summary gets its part's, (d, u).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from epic22.core.evaluation.metric_resamplers import ClusteredPredictions, Resampler, Summary, find_resampler
from epic22.core.task import Array, Metric, RowMetadata

MAX_ENTRIES = 2_000_000
"""Entries of an array that are held for some draws at once."""


def draw_cluster_counts(n_clusters: int, n_replicates: int, seed: int, rows: int) -> Iterator[Array]:
    """How often each of `n_clusters` clusters is drawn, (d, count) at a time until `n_replicates`; `rows` of a part bound the
    memory."""
    rng = np.random.default_rng([seed, 22])
    step = max(1, MAX_ENTRIES // max(n_clusters, rows))
    for first in range(0, n_replicates, step):
        samples = (rng.integers(0, n_clusters, n_clusters) for _ in range(min(step, n_replicates - first)))
        yield np.stack([np.bincount(units, minlength=n_clusters) for units in samples]).astype(np.float64)


def compute_replicates(metrics: Sequence[Metric], parts: Sequence[ClusteredPredictions], n_replicates: int, seed: int) -> Array:
    """Each metric in each draw and part, (metrics, draws, parts); NaN where undefined, or nothing of a part was drawn."""
    count = 1 + max(int(part.unit.max()) for part in parts)
    renumbered = [_renumber_clusters(part) for part in parts]
    prepared = [_prepare_summaries(metrics, part) for part, _ in renumbered]
    rows = max(len(part.y) for part in parts)
    blocks = [
        np.stack(
            [
                _compute_metric_values(metrics, part, summaries, times[:, used])
                for (part, used), summaries in zip(renumbered, prepared, strict=True)
            ],
            -1,
        )
        for times in draw_cluster_counts(count, n_replicates, seed, rows)
    ]
    return np.concatenate(blocks, axis=1)


def compute_values(metric: Metric, part: ClusteredPredictions, times: Array) -> Array:
    """One metric of one part where each cluster counts so many times, times (d, c): (d,)."""
    own, used = _renumber_clusters(part)
    return np.asarray(_compute_metric_values((metric,), own, _prepare_summaries((metric,), own), times[:, used])[0])


def _renumber_clusters(part: ClusteredPredictions) -> tuple[ClusteredPredictions, Array | slice]:
    """The part with its own clusters numbered from 0, and where they stand among all; a slice spares a copy."""
    used, code = np.unique(part.unit, return_inverse=True)
    whole = used[-1] - used[0] + 1 == len(used)
    return ClusteredPredictions(part.y, part.response, code), slice(used[0], used[-1] + 1) if whole else used


Summaries = Mapping[Callable[[ClusteredPredictions], Summary], Summary]


def _prepare_summaries(metrics: Sequence[Metric], part: ClusteredPredictions) -> Summaries:
    """One summary for all metrics that share it."""
    preparations = {resampler.prepare for metric in metrics if (resampler := choose_resampler(metric, part)) is not None}
    return {prepare: prepare(part) for prepare in preparations}


def choose_resampler(metric: Metric, part: ClusteredPredictions) -> Resampler | None:
    """The metric's way through many draws, None where it has none (or where class probabilities are of two classes)."""
    own: Resampler | None = getattr(metric.score, "drawn", None)
    if own is not None:
        return own
    return None if part.response.shape[1:] == (2,) else find_resampler(metric.score)


def _compute_metric_values(metrics: Sequence[Metric], part: ClusteredPredictions, summaries: Summaries, times: Array) -> Array:
    """(metrics, d) of one part."""
    summed = {prepare: summary(times) for prepare, summary in summaries.items()}
    values = np.empty((len(metrics), len(times)))
    for row, metric in enumerate(metrics):
        resampler = choose_resampler(metric, part)
        values[row] = (
            _score_each_replicate(metric, part, times) if resampler is None else resampler.finish(*summed[resampler.prepare])
        )
    return values


def _score_each_replicate(metric: Metric, part: ClusteredPredictions, times: Array) -> Array:
    """The metric called a draw; rows are sorted by response, so that a metric that sorts them has little left to do."""
    order = np.argsort(-part.response, kind="stable") if part.response.ndim == 1 else np.arange(len(part.y))
    y, response, unit = part.y[order], part.response[order], part.unit[order]
    weights = (one[unit] for one in times)
    return np.array([metric.score(y, response, RowMetadata(weight=w)) if w.any() else math.nan for w in weights])
