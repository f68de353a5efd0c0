"""A bootstrap over clusters: metrics of out-of-fold responses in many replicates, each use with its own random numbers.

A replicate draws each cluster a whole number of times; a row drawn k times weighs k. What each metric needs of a replicate is
prepared once a part: sums by cluster for what adds up over rows, the order of the responses for what goes by rank, the table of
classes for what goes by label. A metric that has no such way is called replicate by replicate.

d = replicates, n = rows of a part, c = clusters, u = clusters of a part. Times (d, u) say how often each cluster was drawn.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from epic22.core.evaluation import metrics, survival
from epic22.core.evaluation.predictions import ClusteredPredictions, FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE
from epic22.core.task import Array, Metric, RowMetadata

N_REPLICATES = 500
"""Replicates; the ends of a 95 % interval then stand on some twelve each side."""

CLUSTERS, SAVINGS, FOLDS, GROUP_SHARES = 22, 44, 55, 55
"""The stream of random numbers of each use, beside the seed. Folds of a learning curve and shares of groups meet in no figure, so
that they may have the same."""

MAX_ENTRIES = 2_000_000
"""Entries of an array that are held for some draws at once."""

MetricFunction = Callable[[Array, Array, RowMetadata], float]
Summary = Callable[[Array], tuple[Array, ...]]
"""From counts (d, u) to arrays with d entries along the first axis."""


@dataclass(frozen=True)
class Resampler:
    """A metric of many draws at once: `prepare` sums up a part once, `finish` makes scores (d,) of the sums of each draw."""

    prepare: Callable[[ClusteredPredictions], Summary]
    finish: Callable[..., Array]


def _sum_by_cluster(terms: Sequence[Array], cluster: Array) -> Summary:
    """Sums over rows of each term (n,), by way of sums a cluster."""
    sums = [np.bincount(cluster, weights=term) for term in terms]
    # Not by BLAS, whose threads get in each other's way on such narrow products.
    return lambda counts: tuple(np.einsum("du,u->d", counts, column) for column in sums)


def _ratio(total: Array, weight: Array) -> Array:
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def _make_mean_preparation(row_values: Callable[[Array, Array], Array]) -> Callable[[ClusteredPredictions], Summary]:
    """Weight and weighted sum of what the rows are worth."""

    def prepare(part: ClusteredPredictions) -> Summary:
        weight = np.ones(len(part.y)) if part.weight is None else part.weight
        return _sum_by_cluster([weight, weight * row_values(part.y, part.response)], part.cluster)

    return prepare


def _finish_mean(weight: Array, total: Array) -> Array:
    return _ratio(total, weight)


def _finish_root_mean(weight: Array, total: Array) -> Array:
    return np.asarray(np.sqrt(_ratio(total, weight)))


def _prepare_r2(part: ClusteredPredictions) -> Summary:
    """Weight, sum, sum of squares (both about the mean of all rows) and squared error."""
    y = part.y - part.y.mean()
    return _sum_by_cluster([np.ones(len(y)), y, y**2, (part.y - part.response) ** 2], part.cluster)


def _finish_r2(weight: Array, total: Array, squares: Array, errors: Array) -> Array:
    spread = squares - _ratio(total**2, weight)
    defined = spread > 1e-12 * np.maximum(squares, 1e-300)
    return np.asarray(1 - np.divide(errors, spread, out=np.full_like(errors, np.nan), where=defined))


def prepare_confusion(part: ClusteredPredictions) -> Summary:
    """Weight by true class and predicted class, (d, k²)."""
    k = part.response.shape[1] if part.response.ndim == 2 else 2
    cell = part.y.astype(np.int64) * k + metrics.compute_labels(part.response)
    by_cell = _sum_by_cluster([cell == i for i in range(k * k)], part.cluster)
    return lambda counts: (np.stack(by_cell(counts), axis=1),)


def _make_label_resampler(score: MetricFunction) -> Resampler:
    """A metric of labels alone sees one row a cell of the table, weighing what the cell holds."""

    def finish(table: Array) -> Array:
        k = math.isqrt(table.shape[1])
        truth, label = np.repeat(np.arange(k), k), np.tile(np.arange(k), k)
        response = label.astype(np.float64) if k == 2 else np.eye(k)[label]
        return np.array([score(truth, response, RowMetadata(weight=w)) if w.any() else math.nan for w in table])

    return Resampler(prepare_confusion, finish)


def prepare_ranks(part: ClusteredPredictions) -> Summary:
    """Four arrays for the response, or for each class against the rest.

    Of each run of equal responses that holds a positive, from the highest down, (d, runs): positives before its end, all rows
    before it, all rows before its end. And the weight of all rows, (d,).
    """
    if part.response.ndim == 1:
        return _prepare_ranks(part)
    classes = range(part.response.shape[1])
    each = [
        _prepare_ranks(ClusteredPredictions((part.y == k).astype(np.int64), part.response[:, k], part.cluster)) for k in classes
    ]
    return lambda counts: tuple(chain.from_iterable(summary(counts) for summary in each))


def _prepare_ranks(part: ClusteredPredictions) -> Summary:
    order = np.argsort(-part.response, kind="stable")
    cluster, hit = part.cluster[order], np.flatnonzero(part.y[order] == 1)
    starts = np.flatnonzero(np.append(True, np.diff(part.response[order]) != 0))
    run = np.unique(np.searchsorted(starts, hit, side="right") - 1)
    last = np.append(starts[1:], len(order))[run] - 1
    final = np.searchsorted(hit, last, side="right") - 1
    own = None if part.weight is None else part.weight[order]

    def summary(counts: Array) -> tuple[Array, ...]:
        weight = counts[:, cluster] if own is None else counts[:, cluster] * own
        hits = np.cumsum(weight[:, hit], axis=1)[:, final]
        reached = np.cumsum(weight, axis=1, out=weight)
        before = np.where(starts[run] > 0, reached[:, starts[run] - 1], 0.0)
        return hits, before, reached[:, last], reached[:, -1]

    return summary


def _finish_average_precision(hits: Array, before: Array, reached: Array, total: Array) -> Array:
    if not hits.shape[1]:
        return np.full(len(hits), np.nan)
    precision = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
    alike = ((before == 0) & (reached == total[:, None]) & (reached > 0)).any(axis=1)
    values = _ratio((np.diff(hits, prepend=0.0, axis=1) * precision).sum(axis=1), hits[:, -1])
    return np.where(alike & (hits[:, -1] > 0), metrics.compute_chance_precision(hits[:, -1], total), values)


def _finish_roc_auc(*sums: Array) -> Array:
    """The mean over what was ranked."""
    return np.asarray(np.mean([_compute_area(*sums[i : i + 4]) for i in range(0, len(sums), 4)], axis=0))


def _compute_area(hits: Array, before: Array, reached: Array, total: Array) -> Array:
    if not hits.shape[1]:
        return np.full(len(hits), np.nan)
    earlier = np.concatenate([np.zeros((len(hits), 1)), hits[:, :-1]], axis=1)
    misses = total - hits[:, -1]
    # A positive outranks the negatives after its run, and half of those within it.
    outranked = misses[:, None] - ((before - earlier) + (reached - hits)) / 2
    return _ratio(((hits - earlier) * outranked).sum(axis=1), hits[:, -1] * misses)


def _prepare_percentage_errors(part: ClusteredPredictions) -> Summary:
    """The weighted median of the absolute percentage errors, (d,)."""
    errors = metrics.percentage_error_terms(part.y, part.response)
    order = np.argsort(errors, kind="stable")
    cluster, errors = part.cluster[order], errors[order]

    def summary(counts: Array) -> tuple[Array, ...]:
        reached = np.cumsum(counts[:, cluster], axis=1)
        half = reached[:, -1] / 2
        low = np.array([np.searchsorted(row, h) for row, h in zip(reached, half, strict=True)])
        high = np.array([np.searchsorted(row, h, side="right") for row, h in zip(reached, half, strict=True)])
        return (np.where(half > 0, (errors[low] + errors[np.minimum(high, len(errors) - 1)]) / 2, np.nan),)

    return summary


def _prepare_brier(part: ClusteredPredictions) -> Summary:
    """Weight, weight of class 1, squared error."""
    return _sum_by_cluster([np.ones(len(part.y)), part.y, metrics.brier_terms(part.y, part.response)], part.cluster)


def _finish_brier_skill(weight: Array, happened: Array, errors: Array) -> Array:
    rate = _ratio(happened, weight)
    return 1 - _ratio(_ratio(errors, weight), rate * (1 - rate))


def _make_cumulative_preparation(term: Callable[[Array, Array], Array]) -> Callable[[ClusteredPredictions], Summary]:
    """Weight and weighted term up to the end of each run of equal responses, from the lowest up, (d, runs) each."""

    def prepare(part: ClusteredPredictions) -> Summary:
        order = np.argsort(part.response, kind="stable")
        cluster, response = part.cluster[order], part.response[order]
        own = None if part.weight is None else part.weight[order]
        terms = term(part.y[order], response)
        ends = np.append(np.flatnonzero(np.diff(response)), len(order) - 1)
        at: Array | slice = slice(None) if len(ends) == len(order) else ends

        def summary(counts: Array) -> tuple[Array, ...]:
            weight = counts[:, cluster] if own is None else counts[:, cluster] * own
            return np.cumsum(weight, axis=1)[:, at], np.cumsum(weight * terms, axis=1)[:, at]

        return summary

    return prepare


def _finish_calibration_error(weight: Array, gap: Array) -> Array:
    """The expected calibration error, whose bins are cut anew in each draw; `gap` is what happened less what was predicted."""
    total = weight[:, -1]
    errors = np.zeros(len(weight))
    for draw in np.flatnonzero(total > 0):
        row = weight[draw]
        place = (row - np.diff(row, prepend=0.0) / 2) / total[draw] * metrics.BINS
        firsts = np.searchsorted(place, np.arange(1, metrics.BINS))
        reached = np.concatenate([[0.0], gap[draw][firsts[firsts > 0] - 1], gap[draw][-1:]])
        errors[draw] = np.abs(np.diff(reached)).sum()
    return _ratio(errors, total)


def _count_top_hits(weight: Array, happened: Array, share: float) -> Array:
    """What happened in the share of the rows with the highest responses; equal responses share what is left of it."""
    total, rows = weight[:, -1], zip(weight, happened, strict=True)
    below = [np.interp((1 - share) * n, np.append(0.0, w), np.append(0.0, h)) for n, (w, h) in zip(total, rows, strict=True)]
    return np.asarray(happened[:, -1] - np.array(below))


def _finish_ks_statistic(weight: Array, happened: Array) -> Array:
    """By the shares of both classes up to each response, whose largest difference is that of the shares above it."""
    negatives = weight - happened
    return np.asarray((_ratio(negatives, negatives[:, -1:]) - _ratio(happened, happened[:, -1:])).max(axis=1))


_prepare_hits = _make_cumulative_preparation(lambda y, response: y)
_prepare_squared_errors = _make_mean_preparation(lambda y, response: (response - y) ** 2)

RESAMPLERS: dict[MetricFunction, Resampler] = {
    metrics.average_precision: Resampler(prepare_ranks, _finish_average_precision),
    metrics.roc_auc: Resampler(prepare_ranks, _finish_roc_auc),
    metrics.log_loss: Resampler(_make_mean_preparation(metrics.log_loss_terms), _finish_mean),
    metrics.brier_score: Resampler(_make_mean_preparation(metrics.brier_terms), _finish_mean),
    **{
        score: _make_label_resampler(score)
        for score in (
            metrics.accuracy,
            metrics.balanced_accuracy,
            metrics.f1,
            metrics.precision,
            metrics.recall,
            metrics.matthews_corrcoef,
        )
    },
    metrics.expected_calibration_error: Resampler(
        _make_cumulative_preparation(lambda y, response: y - response), _finish_calibration_error
    ),
    metrics.top_decile_lift: Resampler(_prepare_hits, lambda w, hits: _ratio(_count_top_hits(w, hits, 0.1) / 0.1, hits[:, -1])),
    metrics.ks_statistic: Resampler(_prepare_hits, _finish_ks_statistic),
    metrics.recall_at_top: Resampler(
        _prepare_hits, lambda w, hits: _ratio(_count_top_hits(w, hits, metrics.TOP_SHARE), hits[:, -1])
    ),
    metrics.precision_at_top: Resampler(
        _prepare_hits, lambda w, hits: _ratio(_count_top_hits(w, hits, metrics.TOP_SHARE), metrics.TOP_SHARE * w[:, -1])
    ),
    metrics.brier_skill_score: Resampler(_prepare_brier, _finish_brier_skill),
    metrics.root_mean_squared_error: Resampler(_prepare_squared_errors, _finish_root_mean),
    metrics.mean_absolute_error: Resampler(_make_mean_preparation(lambda y, response: np.abs(response - y)), _finish_mean),
    metrics.mean_absolute_percentage_error: Resampler(_make_mean_preparation(metrics.percentage_error_terms), _finish_mean),
    metrics.median_absolute_percentage_error: Resampler(_prepare_percentage_errors, np.asarray),
    metrics.r2: Resampler(_prepare_r2, _finish_r2),
    metrics.root_mean_squared_log_error: Resampler(_make_mean_preparation(metrics.log_error_terms), _finish_root_mean),
}
"""The resampler of each metric, by its function."""


@cache
def _make_mean_loss_resampler(score: metrics.MeanLoss) -> Resampler:
    return Resampler(_make_mean_preparation(score.loss.compute_losses), _finish_mean)


@dataclass(frozen=True)
class _HorizonPreparation:
    """A summary of the rows at one horizon; equal for equal horizons, so that scores share it."""

    prepare: Callable[[ClusteredPredictions], Summary]
    score: survival.HorizonScore

    def __call__(self, part: ClusteredPredictions) -> Summary:
        return self.prepare(self.score.select_horizon(part.y, part.response, part.cluster))


def _make_horizon_resampler(score: survival.HorizonScore) -> Resampler:
    """The curve of the censoring is taken as it is in all replicates."""
    base = RESAMPLERS[score.base]
    return Resampler(_HorizonPreparation(base.prepare, score), base.finish)


@cache
def _make_integrated_brier_resampler(score: survival.IntegratedBrier) -> Resampler:
    each = [_make_horizon_resampler(survival.HorizonScore(metrics.brier_score, j, e)) for j, e in enumerate(score.edges)]

    def prepare(part: ClusteredPredictions) -> Summary:
        summaries = [resampler.prepare(part) for resampler in each]
        return lambda counts: tuple(total for summary in summaries for total in summary(counts))

    def finish(*sums: Array) -> Array:
        values = [resampler.finish(*sums[2 * j : 2 * j + 2]) for j, resampler in enumerate(each)]
        return score.average_over_time(np.stack(values, axis=1))

    return Resampler(prepare, finish)


@cache
def _make_concordance_resampler(score: survival.Concordance) -> Resampler:
    """By pairs of clusters."""

    def prepare(part: ClusteredPredictions) -> Summary:
        of, right, all_ = score.count_pairs(part.y, part.response[:, score.horizon_index], part.cluster, np.ones(len(part.y)))

        def summary(counts: Array) -> tuple[Array, ...]:
            # Not by BLAS, as above.
            return tuple(np.einsum("du,du->d", np.einsum("de,eu->du", counts[:, of], pairs), counts) for pairs in (right, all_))

        return summary

    return Resampler(prepare, _ratio)


RESAMPLERS_BY_TYPE: dict[type, Callable[[Any], Resampler]] = {
    metrics.MeanLoss: _make_mean_loss_resampler,
    survival.HorizonScore: _make_horizon_resampler,
    survival.IntegratedBrier: _make_integrated_brier_resampler,
    survival.Concordance: _make_concordance_resampler,
}
"""How the resampler of a metric with parameters is made, by its class."""


def find_resampler(score: MetricFunction) -> Resampler | None:
    """The resampler of a metric; None where it has none."""
    make = RESAMPLERS_BY_TYPE.get(type(score))
    return RESAMPLERS.get(score) if make is None else make(score)


def draw_cluster_counts(n_clusters: int, n_replicates: int, seed: int, rows: int, stream: int = CLUSTERS) -> Iterator[Array]:
    """How often each of `n_clusters` clusters is drawn, (d, count) at a time until `n_replicates`; `rows` of a part bound the
    memory."""
    rng = np.random.default_rng([seed, stream])
    step = max(1, MAX_ENTRIES // max(n_clusters, rows))
    for first in range(0, n_replicates, step):
        samples = (rng.integers(0, n_clusters, n_clusters) for _ in range(min(step, n_replicates - first)))
        yield np.stack([np.bincount(clusters, minlength=n_clusters) for clusters in samples]).astype(np.float64)


def bootstrap_totals(sums: Array, n_replicates: int, seed: int, stream: int) -> Array:
    """Totals (n_replicates, k) of sums by cluster (c, k) when clusters are drawn with replacement."""
    blocks = draw_cluster_counts(len(sums), n_replicates, seed, len(sums), stream)
    return np.stack([counts @ sums for block in blocks for counts in block])


def resample_folds(fold_replicates: Array, seed: int) -> Array:
    """The folds, the last axis of (d, shares, folds), drawn with replacement too: each was trained on other rows."""
    rng = np.random.default_rng([seed, FOLDS])
    fold_numbers = rng.integers(0, fold_replicates.shape[2], (len(fold_replicates), 1, fold_replicates.shape[2]))
    return np.take_along_axis(fold_replicates, np.broadcast_to(fold_numbers, fold_replicates.shape), axis=2)


def compute_replicates(metrics: Sequence[Metric], parts: Sequence[ClusteredPredictions], n_replicates: int, seed: int) -> Array:
    """Each metric in each draw and part, (metrics, draws, parts); NaN where undefined, or nothing of a part was drawn."""
    count = 1 + max(int(part.cluster.max()) for part in parts)
    rows = max(len(part.y) for part in parts)
    return _compute_blocks(metrics, parts, draw_cluster_counts(count, n_replicates, seed, rows))


def compute_weighted_metrics(metrics: Sequence[Metric], parts: Sequence[ClusteredPredictions], weights: Array) -> Array:
    """Each metric in each part when the clusters weigh what a row of `weights` (d, c) says, (metrics, d, parts)."""
    step = max(1, MAX_ENTRIES // max(weights.shape[1], max(len(part.y) for part in parts)))
    return _compute_blocks(metrics, parts, (weights[first : first + step] for first in range(0, len(weights), step)))


def _compute_blocks(metrics: Sequence[Metric], parts: Sequence[ClusteredPredictions], blocks: Iterable[Array]) -> Array:
    renumbered = [_renumber_clusters(part) for part in parts]
    prepared = [_prepare_summaries(metrics, part) for part, _ in renumbered]
    values = [
        np.stack(
            [
                _compute_metric_values(metrics, part, summaries, counts[:, used])
                for (part, used), summaries in zip(renumbered, prepared, strict=True)
            ],
            -1,
        )
        for counts in blocks
    ]
    return np.concatenate(values, axis=1)


def _renumber_clusters(part: ClusteredPredictions) -> tuple[ClusteredPredictions, Array | slice]:
    """The part with its own clusters numbered from 0, and where they stand among all; a slice spares a copy."""
    used, code = np.unique(part.cluster, return_inverse=True)
    whole = used[-1] - used[0] + 1 == len(used)
    return ClusteredPredictions(part.y, part.response, code), slice(used[0], used[-1] + 1) if whole else used


Summaries = Mapping[Callable[[ClusteredPredictions], Summary], Summary]


def _prepare_summaries(metrics: Sequence[Metric], part: ClusteredPredictions) -> Summaries:
    """One summary for all metrics that share it."""
    preparations = {resampler.prepare for metric in metrics if (resampler := choose_resampler(metric, part)) is not None}
    return {prepare: prepare(part) for prepare in preparations}


def choose_resampler(metric: Metric, part: ClusteredPredictions) -> Resampler | None:
    """The metric's resampler, None where it has none (or where class probabilities are of two classes)."""
    two_classes = part.y.ndim == 1 and part.response.shape[1:] == (2,)
    return None if two_classes else find_resampler(metric.score)


def _compute_metric_values(metrics: Sequence[Metric], part: ClusteredPredictions, summaries: Summaries, counts: Array) -> Array:
    """(metrics, d) of one part."""
    summed = {prepare: summary(counts) for prepare, summary in summaries.items()}
    values = np.empty((len(metrics), len(counts)))
    for row, metric in enumerate(metrics):
        resampler = choose_resampler(metric, part)
        values[row] = (
            _score_each_replicate(metric, part, counts) if resampler is None else resampler.finish(*summed[resampler.prepare])
        )
    return values


def _score_each_replicate(metric: Metric, part: ClusteredPredictions, counts: Array) -> Array:
    """The metric called a draw; rows are sorted by response, so that a metric that sorts them has little left to do."""
    order = np.argsort(-part.response, kind="stable") if part.response.ndim == 1 else np.arange(len(part.y))
    y, response, cluster = part.y[order], part.response[order], part.cluster[order]
    weights = (one[cluster] for one in counts)
    return np.array([metric.score(y, response, RowMetadata(weight=w)) if w.any() else math.nan for w in weights])


def bootstrap_folds(experiment: Experiment, metrics: tuple[Metric, ...], predictions: tuple[FoldPredictions, ...]) -> Array:
    """Metrics when whole clusters are drawn with replacement, (metrics, N_REPLICATES, folds); NaN where undefined.

    The same plan and seed draw the same clusters, so that two families' draws are paired.
    """
    clustered = build_clustered_predictions(experiment, predictions)
    return compute_replicates(metrics, clustered, N_REPLICATES, experiment.seed)


def build_clustered_predictions(experiment: Experiment, predictions: tuple[FoldPredictions, ...]) -> list[ClusteredPredictions]:
    """The folds' test rows with the codes of the clusters that are drawn together, the same for every family on the plan."""
    tested = np.unique(np.concatenate([part.fold.test for part in predictions]))
    examples = experiment.examples
    clusters = np.zeros(len(examples), dtype=np.int64)
    clusters[tested] = np.unique(experiment.get_clusters(tested), return_inverse=True)[1]
    return [ClusteredPredictions(examples.y[part.fold.test], part.response, clusters[part.fold.test]) for part in predictions]


def average_folds(replicates: Array) -> Array:
    """Means over the folds, the last axis, that are defined; NaN where none is."""
    known = ~np.isnan(replicates)
    count = known.sum(axis=-1)
    total = np.where(known, replicates, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


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
    codes = np.unique(cluster, return_inverse=True)[1]
    count = int(codes.max()) + 1
    off = np.bincount(codes, weights=values - values.mean())
    return math.sqrt(float((off**2).sum()) * count / max(count - 1, 1)) / len(values), count
