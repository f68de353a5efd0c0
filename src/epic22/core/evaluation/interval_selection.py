"""Which interval is best around values: constant, scaled with the scatter expected at the value, relative, or the model's own.

Chosen by held-out interval score (Gneiting and Raftery 2007), all of it on out-of-fold residuals. The scatter is a monotone
function of the predicted value, so it costs nothing when a row is answered; the residuals it divides are of other folds than the
ones it was fitted on. n = rows.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from epic22.core.evaluation.bootstrap import compute_cluster_error
from epic22.core.evaluation.conformal import (
    COVERAGE,
    AdaptiveInterval,
    ConformalInterval,
    ConstantInterval,
    IntervalKind,
    conformal_quantile,
)
from epic22.core.evaluation.predictions import OutOfFoldPredictions
from epic22.core.task import Array

MAX_BINS = 20
ROWS_PER_BIN = 50
MIN_SCATTER = 0.05
"""No value's scatter is taken for less than this share of the mean scatter."""


@dataclass(frozen=True)
class IntervalLoss:
    """A kind's mean held-out interval score in the label's unit over `rows`; lower is better.

    `gain` is how much lower it is than that of the constant symmetric interval, ± `error` (standard, by cluster).
    """

    kind: IntervalKind
    symmetric: bool
    interval_score: float
    gain: float
    error: float
    rows: int


INTERVAL_KINDS: tuple[tuple[IntervalKind, bool], ...] = (
    ("constant", True),
    ("constant", False),
    ("scaled", True),
    ("scaled", False),
    ("relative", True),
    ("relative", False),
    ("quantiles", True),
    ("quantiles", False),
)
"""Kind and symmetry; the first is what the others must beat."""


def compute_interval_scores(y: Array, low: Array, high: Array, coverage: float = COVERAGE) -> Array:
    """Width, and 2 / (1 − coverage) times how far the outcome lies outside, a row: (n,)."""
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return np.asarray(high - low + 2 / (1 - coverage) * outside)


def choose_interval(
    rows: OutOfFoldPredictions, coverage: float = COVERAGE
) -> tuple[ConformalInterval | None, tuple[IntervalLoss, ...]]:
    """The interval fitted on all rows, of the kind with the lowest held-out interval score, and the table of scores.

    Each kind is fitted on other folds (forward folds: those before whose labels were known) and judged on the fold left out. The
    constant symmetric interval stays unless a kind gains more than its paired standard error over clusters. A single fold is cut
    into pieces. None where there are too few rows for an interval.
    """
    first_repeat = rows.first_repeat.with_inner_folds
    scores = {kind: _compute_out_of_fold_scores(first_repeat, *kind, coverage) for kind in INTERVAL_KINDS}
    evaluation_rows = np.flatnonzero(np.isfinite(scores[INTERVAL_KINDS[0]]))
    table = tuple(
        _compute_loss(
            kind, values[evaluation_rows], scores[INTERVAL_KINDS[0]][evaluation_rows], first_repeat.cluster[evaluation_rows]
        )
        for kind, values in scores.items()
        if len(evaluation_rows) and np.isfinite(values[evaluation_rows]).all()
    )
    better = sorted((row for row in table if row.gain > row.error), key=lambda row: row.interval_score)
    for kind in [*((row.kind, row.symmetric) for row in better), INTERVAL_KINDS[0]]:
        interval = fit_interval(rows, *kind, coverage)
        if interval is not None:
            # A constant symmetric interval without an end is ± one number.
            is_plain = interval.kind == "constant" and interval.lower_margin == interval.upper_margin and interval.floor is None
            return ConstantInterval(interval.coverage, interval.upper_margin) if is_plain else interval, table
    return None, table


def _compute_out_of_fold_scores(rows: OutOfFoldPredictions, kind: IntervalKind, symmetric: bool, coverage: float) -> Array:
    """Interval score a row (n,), NaN where there are too few calibration rows."""
    scores = np.full(len(rows), np.nan)
    for calibration_rows, evaluation_rows in rows.iterate_splits():
        interval = fit_interval(rows.take(calibration_rows), kind, symmetric, coverage) if len(calibration_rows) else None
        if interval is not None:
            part = rows.take(evaluation_rows)
            ends = interval.compute_intervals(part.response, part.quantiles)
            scores[evaluation_rows] = compute_interval_scores(part.y, *ends, coverage)
    return scores


def _compute_loss(kind: tuple[IntervalKind, bool], scores: Array, first: Array, cluster: Array) -> IntervalLoss:
    gains = first - scores
    error, count = compute_cluster_error(gains, cluster)
    return IntervalLoss(*kind, float(scores.mean()), float(gains.mean()), error if count > 1 else math.inf, len(gains))


def fit_interval(
    rows: OutOfFoldPredictions, kind: IntervalKind, symmetric: bool, coverage: float = COVERAGE
) -> AdaptiveInterval | None:
    """The interval of that kind; None where there are too few rows for the coverage, or the kind does not suit them.

    No end lies below the rows' `floor`: a new row of the same kind goes below it at most once in n + 1.
    """
    y, value = rows.y.astype(np.float64), rows.response.astype(np.float64)
    if not len(y):
        return None
    shape = AdaptiveInterval(coverage, kind, 0.0, 0.0, floor=rows.floor)
    if kind == "quantiles":
        if rows.quantiles is None:
            return None
        below, above = rows.quantiles[:, 0] - y, y - rows.quantiles[:, -1]
        return _set_margins(shape, below, above, rows.weight, symmetric)
    if kind == "relative":
        if (y <= 0).any() or (value <= 0).any():
            return None
        shape, residuals = replace(shape, min_value=float(value.min())), np.log(y / value)
    elif kind == "scaled":
        scatter, own = fit_scatter(value, np.abs(y - value), rows.weight), _estimate_scatter_out_of_fold(rows)
        if scatter is None or own is None:
            return None
        shape, residuals = replace(shape, centres=scatter.centres, scatter=scatter.sizes), (y - value) / own
    else:
        residuals = y - value
    return _set_margins(shape, -residuals, residuals, rows.weight, symmetric)


def _set_margins(shape: AdaptiveInterval, below: Array, above: Array, weight: Array, symmetric: bool) -> AdaptiveInterval | None:
    """The interval with what is taken off and added, by how far outcomes lie `below` and `above` it, (n,): one quantile of the
    larger, or one of each tail. None where one has no end."""
    if symmetric:
        lower = upper = conformal_quantile(np.maximum(below, above), weight, shape.coverage)
    else:
        tail = 1 - (1 - shape.coverage) / 2
        lower, upper = conformal_quantile(below, weight, tail), conformal_quantile(above, weight, tail)
    return replace(shape, lower_margin=lower, upper_margin=upper) if math.isfinite(lower) and math.isfinite(upper) else None


@dataclass(frozen=True)
class Scatter:
    """The mean size of residuals by predicted value: linear between `centres`, level beyond them."""

    centres: tuple[float, ...]
    sizes: tuple[float, ...]

    def __call__(self, value: Array) -> Array:
        """The size expected at each value, (n,)."""
        return np.asarray(np.interp(value, self.centres, self.sizes))


def fit_scatter(value: Array, size: Array, weight: Array) -> Scatter | None:
    """A monotone scatter, rising or falling, from predicted values, sizes of residuals and what a row counts, (n,) each.

    By the means of bins of about equal weight, made monotone by pooling neighbours. None for fewer than two bins of ROWS_PER_BIN.
    """
    bins = min(MAX_BINS, int(weight.sum() / ROWS_PER_BIN + 1e-6))
    total = float((size * weight).sum() / weight.sum()) if len(size) else 0.0
    if bins < 2 or total <= 0:
        return None
    order = np.argsort(value, kind="stable")
    before = np.cumsum(weight[order]) - weight[order]
    cuts = value[order][np.searchsorted(before, weight.sum() * np.arange(1, bins) / bins - 1e-6)]
    code = np.unique(np.searchsorted(np.unique(cuts), value, side="right"), return_inverse=True)[1]
    if code.max() < 1:
        return None
    bin_weights = np.bincount(code, weights=weight)
    centres, means = (np.bincount(code, weights=x * weight) / bin_weights for x in (value, size))
    monotone = min(
        (np.asarray(isotonic_regression(means, weights=bin_weights, increasing=rising).x) for rising in (True, False)),
        key=lambda m: float((bin_weights * (m - means) ** 2).sum()),
    )
    return Scatter(tuple(centres.tolist()), tuple(np.maximum(monotone, MIN_SCATTER * total).tolist()))


def _estimate_scatter_out_of_fold(rows: OutOfFoldPredictions) -> Array | None:
    """The scatter (n,) expected of each row by the other folds of its repeat; None where they are too few."""
    expected = np.full(len(rows), np.nan)
    repeats = np.unique(rows.repeat)
    for repeat in repeats:
        own = np.flatnonzero(rows.repeat == repeat)
        for calibration_rows, evaluation_rows in _split_repeat(rows, own):
            size = np.abs(rows.y[calibration_rows] - rows.response[calibration_rows])
            scatter = fit_scatter(rows.response[calibration_rows].astype(np.float64), size, np.ones(len(calibration_rows)))
            if scatter is None:
                return None
            expected[evaluation_rows] = scatter(rows.response[evaluation_rows])
    return expected


def _split_repeat(rows: OutOfFoldPredictions, own: Array) -> list[tuple[Array, Array]]:
    """(other folds, fold) of a repeat's rows; a single fold is parted in halves by cluster."""
    part = rows.fold[own]
    if part.min() == part.max():
        part = np.unique(rows.cluster[own], return_inverse=True)[1] % 2
    return [(own[part != number], own[part == number]) for number in np.unique(part)]
