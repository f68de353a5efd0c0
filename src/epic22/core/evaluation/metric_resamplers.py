"""How each metric is had of many bootstrap draws at once.

What a metric needs of a draw is prepared once a part: sums by cluster for what adds up over rows, the order of the responses for
what goes by rank, the table of classes for what goes by label.

d = draws, n = rows of a part, u = clusters of a part. Times (d, u) say how often each cluster was drawn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np

from epic22.core.evaluation import metrics
from epic22.core.evaluation.costs import TOP_SHARE, precision_at_top, recall_at_top, top_decile_lift
from epic22.core.evaluation.reliability import BINS, brier_skill_score, expected_calibration_error
from epic22.core.task import Array, RowMetadata

MetricFunction = Callable[[Array, Array, RowMetadata], float]
Summary = Callable[[Array], tuple[Array, ...]]
"""From times (d, u) to arrays with d entries along the first axis."""


@dataclass(frozen=True)
class ClusteredPredictions:
    """The test rows of a fold: classes or values (n,), responses (n,) or (n, k), and the cluster code of each row, (n,).

    `weight` (n,) where rows do not count alike; y is (n, 2) for a hazard.
    """

    y: Array
    response: Array
    unit: Array
    weight: Array | None = None


@dataclass(frozen=True)
class Resampler:
    """How a metric is had for many draws: `prepare` once a part, `finish` what it sums up to (d,)."""

    prepare: Callable[[ClusteredPredictions], Summary]
    finish: Callable[..., Array]


def _sum_by_cluster(terms: Sequence[Array], unit: Array) -> Summary:
    """Sums over rows of each term (n,), by way of sums a cluster."""
    sums = [np.bincount(unit, weights=term) for term in terms]
    # Not by BLAS, whose threads get in each other's way on such narrow products.
    return lambda times: tuple(np.einsum("du,u->d", times, column) for column in sums)


def _ratio(total: Array, weight: Array) -> Array:
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)


def _make_mean_preparation(row_values: Callable[[Array, Array], Array]) -> Callable[[ClusteredPredictions], Summary]:
    """Weight and weighted sum of what the rows are worth."""

    def prepare(part: ClusteredPredictions) -> Summary:
        weight = np.ones(len(part.y)) if part.weight is None else part.weight
        return _sum_by_cluster([weight, weight * row_values(part.y, part.response)], part.unit)

    return prepare


def _finish_mean(weight: Array, total: Array) -> Array:
    return _ratio(total, weight)


def _finish_root_mean(weight: Array, total: Array) -> Array:
    return np.asarray(np.sqrt(_ratio(total, weight)))


def _prepare_r2(part: ClusteredPredictions) -> Summary:
    """Weight, sum, sum of squares (both about the mean of all rows) and squared error."""
    y = part.y - part.y.mean()
    return _sum_by_cluster([np.ones(len(y)), y, y**2, (part.y - part.response) ** 2], part.unit)


def _finish_r2(weight: Array, total: Array, squares: Array, errors: Array) -> Array:
    spread = squares - _ratio(total**2, weight)
    defined = spread > 1e-12 * np.maximum(squares, 1e-300)
    return np.asarray(1 - np.divide(errors, spread, out=np.full_like(errors, np.nan), where=defined))


def prepare_confusion(part: ClusteredPredictions) -> Summary:
    """Weight by true class and predicted class, (d, k²)."""
    k = part.response.shape[1] if part.response.ndim == 2 else 2
    cell = part.y.astype(np.int64) * k + metrics.compute_labels(part.response)
    by_cell = _sum_by_cluster([cell == i for i in range(k * k)], part.unit)
    return lambda times: (np.stack(by_cell(times), axis=1),)


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
    each = [_prepare_ranks(ClusteredPredictions((part.y == k).astype(np.int64), part.response[:, k], part.unit)) for k in classes]
    return lambda times: tuple(chain.from_iterable(summary(times) for summary in each))


def _prepare_ranks(part: ClusteredPredictions) -> Summary:
    order = np.argsort(-part.response, kind="stable")
    unit, hit = part.unit[order], np.flatnonzero(part.y[order] == 1)
    starts = np.flatnonzero(np.append(True, np.diff(part.response[order]) != 0))
    run = np.unique(np.searchsorted(starts, hit, side="right") - 1)
    last = np.append(starts[1:], len(order))[run] - 1
    final = np.searchsorted(hit, last, side="right") - 1
    own = None if part.weight is None else part.weight[order]

    def summary(times: Array) -> tuple[Array, ...]:
        weight = times[:, unit] if own is None else times[:, unit] * own
        hits = np.cumsum(weight[:, hit], axis=1)[:, final]
        reached = np.cumsum(weight, axis=1, out=weight)
        before = np.where(starts[run] > 0, reached[:, starts[run] - 1], 0.0)
        return hits, before, reached[:, last], reached[:, -1]

    return summary


def _finish_average_precision(hits: Array, before: Array, reached: Array, total: Array) -> Array:
    if not hits.shape[1]:
        return np.full(len(hits), np.nan)
    precision = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
    return _ratio((np.diff(hits, prepend=0.0, axis=1) * precision).sum(axis=1), hits[:, -1])


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
    unit, errors = part.unit[order], errors[order]

    def summary(times: Array) -> tuple[Array, ...]:
        reached = np.cumsum(times[:, unit], axis=1)
        half = reached[:, -1] / 2
        low = np.array([np.searchsorted(row, h) for row, h in zip(reached, half, strict=True)])
        high = np.array([np.searchsorted(row, h, side="right") for row, h in zip(reached, half, strict=True)])
        return (np.where(half > 0, (errors[low] + errors[np.minimum(high, len(errors) - 1)]) / 2, np.nan),)

    return summary


def _prepare_brier(part: ClusteredPredictions) -> Summary:
    """Weight, weight of class 1, squared error."""
    return _sum_by_cluster([np.ones(len(part.y)), part.y, metrics.brier_terms(part.y, part.response)], part.unit)


def _finish_brier_skill(weight: Array, happened: Array, errors: Array) -> Array:
    rate = _ratio(happened, weight)
    return 1 - _ratio(_ratio(errors, weight), rate * (1 - rate))


def _make_cumulative_preparation(term: Callable[[Array, Array], Array]) -> Callable[[ClusteredPredictions], Summary]:
    """Weight and weighted term up to the end of each run of equal responses, from the lowest up, (d, runs) each."""

    def prepare(part: ClusteredPredictions) -> Summary:
        order = np.argsort(part.response, kind="stable")
        unit, response = part.unit[order], part.response[order]
        terms = term(part.y[order], response)
        ends = np.append(np.flatnonzero(np.diff(response)), len(order) - 1)
        at: Array | slice = slice(None) if len(ends) == len(order) else ends

        def summary(times: Array) -> tuple[Array, ...]:
            weight = times[:, unit]
            return np.cumsum(weight, axis=1)[:, at], np.cumsum(weight * terms, axis=1)[:, at]

        return summary

    return prepare


def _finish_calibration_error(weight: Array, gap: Array) -> Array:
    """The expected calibration error, whose bins are cut anew in each draw; `gap` is what happened less what was predicted."""
    total = weight[:, -1]
    errors = np.zeros(len(weight))
    for draw in np.flatnonzero(total > 0):
        row = weight[draw]
        place = (row - np.diff(row, prepend=0.0) / 2) / total[draw] * BINS
        firsts = np.searchsorted(place, np.arange(1, BINS))
        reached = np.concatenate([[0.0], gap[draw][firsts[firsts > 0] - 1], gap[draw][-1:]])
        errors[draw] = np.abs(np.diff(reached)).sum()
    return _ratio(errors, total)


def _finish_lift(weight: Array, happened: Array) -> Array:
    """The lift of the highest tenth."""
    return _ratio(_count_top_hits(weight, happened, 0.1) / 0.1, happened[:, -1])


def _finish_recall_at_top(weight: Array, happened: Array) -> Array:
    return _ratio(_count_top_hits(weight, happened, TOP_SHARE), happened[:, -1])


def _finish_precision_at_top(weight: Array, happened: Array) -> Array:
    return _ratio(_count_top_hits(weight, happened, TOP_SHARE), TOP_SHARE * weight[:, -1])


def _count_top_hits(weight: Array, happened: Array, share: float) -> Array:
    """What happened in the share of the rows with the highest responses; equal responses share what is left of it."""
    total, rows = weight[:, -1], zip(weight, happened, strict=True)
    below = [np.interp((1 - share) * n, np.append(0.0, w), np.append(0.0, h)) for n, (w, h) in zip(total, rows, strict=True)]
    return np.asarray(happened[:, -1] - np.array(below))


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
    expected_calibration_error: Resampler(
        _make_cumulative_preparation(lambda y, response: y - response), _finish_calibration_error
    ),
    top_decile_lift: Resampler(_prepare_hits, _finish_lift),
    recall_at_top: Resampler(_prepare_hits, _finish_recall_at_top),
    precision_at_top: Resampler(_prepare_hits, _finish_precision_at_top),
    brier_skill_score: Resampler(_prepare_brier, _finish_brier_skill),
    metrics.root_mean_squared_error: Resampler(_prepare_squared_errors, _finish_root_mean),
    metrics.mean_absolute_error: Resampler(_make_mean_preparation(lambda y, response: np.abs(response - y)), _finish_mean),
    metrics.mean_absolute_percentage_error: Resampler(_make_mean_preparation(metrics.percentage_error_terms), _finish_mean),
    metrics.median_absolute_percentage_error: Resampler(_prepare_percentage_errors, np.asarray),
    metrics.r2: Resampler(_prepare_r2, _finish_r2),
    metrics.root_mean_squared_log_error: Resampler(_make_mean_preparation(metrics.log_error_terms), _finish_root_mean),
}
"""How each metric is had of many draws, by its function."""


def find_resampler(score: MetricFunction) -> Resampler | None:
    """How a metric is had of many draws, None where it has no way."""
    return _make_mean_loss_resampler(score) if isinstance(score, metrics.MeanLoss) else RESAMPLERS.get(score)


@cache
def _make_mean_loss_resampler(score: metrics.MeanLoss) -> Resampler:
    return Resampler(_make_mean_preparation(score.loss.compute_losses), _finish_mean)
