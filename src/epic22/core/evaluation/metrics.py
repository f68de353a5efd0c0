"""The scores, named as scikit-learn names them, with row weights so that a bootstrap is one call a draw.

y (n,): class codes or values. Response (n,): probability of class 1, or value; (n, k): class probabilities. A score that the
rows do not define (one class only) is NaN. Class labels are cut at probability 0.5, or at the likeliest class.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import polars as pl
from scipy.special import digamma

from epic22.core.errors import ColumnError
from epic22.core.models.loss import Loss
from epic22.core.statistics import MetricBounds
from epic22.core.targets import KINDS
from epic22.core.task import Array, AsOfView, Future, Kind, Metric, RowMetadata, Target, Task

MIN_PROBABILITY = 1e-12
BINS = 15
"""Bins of the expected calibration error."""

TOP_SHARE = 0.05
"""The share of the rows that a short list holds."""


def _weights(y: Array, rows: RowMetadata) -> Array:
    return np.ones(len(y)) if rows.weight is None else rows.weight


def _mean(values: Array, y: Array, rows: RowMetadata) -> float:
    weight = _weights(y, rows)
    total = weight.sum()
    return float((values * weight).sum() / total) if total > 0 else math.nan


def _accumulate_by_rank(y: Array, response: Array, rows: RowMetadata) -> tuple[Array, Array, Array]:
    """True and false positives' weight above each distinct response, falling, and how many there are."""
    weight = _weights(y, rows)
    order = np.argsort(-response, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(response[order])), len(y) - 1)
    hits = np.cumsum(np.where(y[order] == 1, weight[order], 0.0))[ends]
    misses = np.cumsum(np.where(y[order] == 1, 0.0, weight[order]))[ends]
    return hits, misses, ends


def average_precision(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Area under the precision-recall steps, Σ (Rᵢ − Rᵢ₋₁) Pᵢ; NaN without positives.

    Responses that are all alike order nothing, and score what a random order scores on average (see
    `compute_chance_precision`): the share of positives among many rows, more among few.
    """
    hits, misses, _ = _accumulate_by_rank(y, response, rows)
    if hits[-1] <= 0:
        return math.nan
    flagged = hits + misses
    if (flagged[flagged > 0] == flagged[-1]).all():
        return float(compute_chance_precision(hits[-1:], flagged[-1:])[0])
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])


def compute_chance_precision(positives: Array, n: Array) -> Array:
    """The mean average precision over all orders of n rows of which some are positive, (d,) each (Bestgen 2015).

    A model that knows nothing has it in each fold, and it lies above the share of positives by about ln(n) ÷ n times the share
    of negatives: 0.68 for 2 of 4 rows, 0.53 for 30 of 60.

    >>> compute_chance_precision(np.array([2.0, 30.0]), np.array([4.0, 60.0])).round(2)
    array([0.68, 0.53])
    """
    size = np.maximum(n, 1.0)
    next_share = np.clip(np.divide(positives - 1, size - 1, out=np.ones_like(size), where=size > 1), 0.0, 1.0)
    harmonic = digamma(size + 1) + np.euler_gamma
    return np.asarray((next_share * (size - harmonic) + harmonic) / size)


RANDOM_ORDERS, MAX_ORDERED_ROWS = 200, 4000
"""Random orders by which their deviation is measured, and the rows of a fold beyond which it counts for nothing."""


@cache
def compute_chance_deviation(positives: int, n: int) -> float:
    """The standard deviation of the average precision over random orders of n rows of which some are positive, by simulation.

    0 for more than MAX_ORDERED_ROWS rows.

    >>> round(compute_chance_deviation(2, 4), 1)
    0.2
    """
    if not 0 < positives < n or n > MAX_ORDERED_ROWS:
        return 0.0
    orders = np.random.default_rng([positives, n]).random((RANDOM_ORDERS, n)).argsort(axis=1)
    ranks = 1 + np.sort(orders[:, :positives], axis=1)
    return float((np.arange(1, positives + 1) / ranks).mean(axis=1).std(ddof=1))


def roc_auc(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Probability that a positive outranks a negative, ties half; for k classes the mean over one against the rest."""
    if response.ndim == 2:
        return float(np.mean([roc_auc((y == k).astype(int), response[:, k], rows) for k in range(response.shape[1])]))
    hits, misses, _ = _accumulate_by_rank(y, response, rows)
    if hits[-1] <= 0 or misses[-1] <= 0:
        return math.nan
    return float(np.trapezoid(np.append(0.0, hits), np.append(0.0, misses)) / (hits[-1] * misses[-1]))


def _probabilities(response: Array) -> Array:
    return response if response.ndim == 2 else np.column_stack([1 - response, response])


def log_loss(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Mean −log probability of what happened, natural logarithm."""
    return _mean(log_loss_terms(y, response), y, rows)


def log_loss_terms(y: Array, response: Array) -> Array:
    """−log probability of what happened in each row, (n,)."""
    probability = _probabilities(response)[np.arange(len(y)), y.astype(np.int64)]
    return np.asarray(-np.log(np.clip(probability, 1e-15, 1.0)))


def brier_score(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Mean squared error of the probability; for k classes summed over them (scikit-learn's brier_score_loss)."""
    return _mean(brier_terms(y, response), y, rows)


def brier_terms(y: Array, response: Array) -> Array:
    """Squared error of the probability in each row, (n,)."""
    if response.ndim == 1:
        return np.asarray((response - y) ** 2)
    return np.asarray(((response - np.eye(response.shape[1])[y.astype(np.int64)]) ** 2).sum(axis=1))


def compute_labels(response: Array) -> Array:
    """The class codes (n,) that probabilities call."""
    return response.argmax(axis=1) if response.ndim == 2 else (response >= 0.5).astype(np.int64)


def _confusion(y: Array, response: Array, rows: RowMetadata) -> Array:
    """Weight by true class (rows) and predicted class (columns), (k, k)."""
    k = response.shape[1] if response.ndim == 2 else 2
    cells = np.bincount(y.astype(np.int64) * k + compute_labels(response), weights=_weights(y, rows), minlength=k * k)
    return cells.reshape(k, k)


def accuracy(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Share of rows whose class is right."""
    table = _confusion(y, response, rows)
    return float(np.trace(table) / table.sum()) if table.sum() > 0 else math.nan


def balanced_accuracy(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Mean over the classes present of the share that is right."""
    table = _confusion(y, response, rows)
    present = table.sum(axis=1) > 0
    return float(np.mean(np.diag(table)[present] / table.sum(axis=1)[present])) if present.any() else math.nan


def f1(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Harmonic mean of precision and recall of class 1, 0 where neither is; for k classes the mean over them."""
    table = _confusion(y, response, rows)
    right, total = np.diag(table), table.sum(axis=0) + table.sum(axis=1)
    each = np.divide(2 * right, total, out=np.zeros_like(right), where=total > 0)
    return float(each.mean() if response.ndim == 2 else each[1])


def precision(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Share of rows called class 1 that are, NaN where none is called; for k classes the mean over those called."""
    table = _confusion(y, response, rows)
    called = table.sum(axis=0)
    each = np.divide(np.diag(table), called, out=np.full(len(table), np.nan), where=called > 0)
    return float(np.nanmean(each) if response.ndim == 2 else each[1])


def recall(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Share of class 1 that is called so, NaN without any; for k classes the mean over those present."""
    if response.ndim == 2:
        return balanced_accuracy(y, response, rows)
    table = _confusion(y, response, rows)
    return float(table[1, 1] / table[1].sum()) if table[1].sum() > 0 else math.nan


def matthews_corrcoef(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Correlation of true and predicted classes (Gorodkin 2004), 0 where one of them is constant."""
    table = _confusion(y, response, rows)
    true, predicted, n = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = (n**2 - (true**2).sum()) * (n**2 - (predicted**2).sum())
    return float((np.trace(table) * n - (true * predicted).sum()) / math.sqrt(spread)) if spread > 0 else 0.0


def root_mean_squared_error(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Root of the mean squared error, in the label's unit."""
    return math.sqrt(_mean((response - y) ** 2, y, rows))


def mean_absolute_error(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Mean size of the errors, in the label's unit."""
    return _mean(np.abs(response - y), y, rows)


def percentage_error_terms(y: Array, response: Array) -> Array:
    """|error| ÷ |label| of each row, (n,)."""
    return np.asarray(np.abs(response - y) / np.maximum(np.abs(y), np.finfo(np.float64).eps))


def mean_absolute_percentage_error(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Mean of |error| ÷ |label|, a fraction: 0.05 is five percent; defined where no label is zero (`note_zero_labels`)."""
    return _mean(percentage_error_terms(y, response), y, rows)


def median_absolute_percentage_error(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """The weighted median of the absolute percentage errors, a fraction."""
    errors, weight = percentage_error_terms(y, response), _weights(y, rows)
    order = np.argsort(errors, kind="stable")
    reached = np.cumsum(weight[order])
    if reached[-1] <= 0:
        return math.nan
    low = int(np.searchsorted(reached, reached[-1] / 2))
    high = int(np.searchsorted(reached, reached[-1] / 2, side="right"))
    return float((errors[order][low] + errors[order][min(high, len(y) - 1)]) / 2)


def r2(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """1 − squared error ÷ squared error of the mean; NaN for a constant label."""
    weight = _weights(y, rows)
    if weight.sum() <= 0:
        return math.nan
    spread = (weight * (y - np.average(y, weights=weight)) ** 2).sum()
    return float(1 - (weight * (y - response) ** 2).sum() / spread) if spread > 0 else math.nan


def root_mean_squared_log_error(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Root of the mean squared error of logarithms; NaN where a label or a response is not above zero."""
    return math.sqrt(_mean(log_error_terms(y, response), y, rows))


def log_error_terms(y: Array, response: Array) -> Array:
    """Squared difference of the logarithms in each row, (n,)."""
    both = (y > 0) & (response > 0)
    logs = np.log(np.where(both, response, 1.0)) - np.log(np.where(both, y, 1.0))
    return np.where(both, logs**2, np.nan)


@dataclass(frozen=True)
class MeanLoss:
    """The weighted mean of a loss."""

    loss: Loss

    def __call__(self, y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
        """The weighted mean of the rows' losses."""
        return _mean(self.loss.compute_losses(y, response), y, rows)


def _assign_bins(p: Array, weight: Array, bins: int) -> Array:
    """Codes 0…b−1 of bins of about equal weight, (n,); equal probabilities share a bin, and no bin is empty."""
    distinct, inverse = np.unique(p, return_inverse=True)
    value_weights = np.bincount(inverse, weights=weight, minlength=len(distinct))
    middle = (np.cumsum(value_weights) - value_weights / 2) / max(value_weights.sum(), MIN_PROBABILITY)
    codes = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.asarray(np.unique(codes, return_inverse=True)[1][inverse])


def sum_probability_bins(y: Array, p: Array, rows: RowMetadata, bins: int) -> tuple[Array, Array, Array]:
    """Weight, weighted classes and weighted probabilities of each bin that holds weight."""
    weight = _weights(y, rows)
    code = _assign_bins(p, weight, bins)
    n, hits, predicted = (np.bincount(code, weights=w) for w in (weight, weight * y, weight * p))
    return n[n > 0], hits[n > 0], predicted[n > 0]


def expected_calibration_error(y: Array, p: Array, rows: RowMetadata = RowMetadata(), bins: int = BINS) -> float:
    """Mean over equal-mass bins of |observed rate − mean probability|; 0 is best, and noise alone gives more (see the floor)."""
    n, hits, predicted = sum_probability_bins(y, p, rows, bins)
    return float(np.abs(hits - predicted).sum() / n.sum()) if n.sum() > 0 else math.nan


def brier_skill_score(y: Array, p: Array, rows: RowMetadata = RowMetadata()) -> float:
    """1 − Brier score ÷ that of the rows' own rate, a constant that nobody knew beforehand; NaN for one class."""
    weight = _weights(y, rows)
    rate = (weight * y).sum() / weight.sum() if weight.sum() > 0 else math.nan
    constant = rate * (1 - rate)
    return float(1 - brier_score(y, p, rows) / constant) if constant > 0 else math.nan


def _count_top_hits(y: Array, score: Array, rows: RowMetadata, k: float) -> float:
    """Weight of positives among the weight k with the highest scores, equal scores sharing what is left."""
    weight = np.ones(len(y)) if rows.weight is None else rows.weight
    distinct, code = np.unique(-np.asarray(score, dtype=np.float64), return_inverse=True)
    score_weights = np.bincount(code, weights=weight, minlength=len(distinct))
    hits = np.bincount(code, weights=weight * y, minlength=len(distinct))
    before = np.cumsum(score_weights) - score_weights
    share = np.clip(np.divide(k - before, score_weights, out=np.zeros_like(score_weights), where=score_weights > 0), 0.0, 1.0)
    return float((share * hits).sum())


def top_decile_lift(y: Array, score: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Rate in the tenth of the rows with the highest scores ÷ rate of all rows (Neslin et al. 2006); NaN where nothing happened.

    Of rows with one score at the end of the tenth each counts in part, so that no order among them matters: a constant has 1.
    """
    weight = np.ones(len(y)) if rows.weight is None else rows.weight
    total, happened = weight.sum(), (weight * y).sum()
    if happened <= 0:
        return float("nan")
    return float(_count_top_hits(y, score, rows, total / 10) / (total / 10) / (happened / total))


def ks_statistic(y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
    """The most by which the share of positives above a response exceeds the share of negatives above it; NaN for one class.

    The statistic of Kolmogorov (1933) and Smirnov (1948), one-sided: scores that rank the wrong way round have 0, not 1. Equal
    responses lie above a bound together or not at all, so that a constant has 0; a random order of few rows has more.
    """
    hits, misses, _ = _accumulate_by_rank(y, response, rows)
    if hits[-1] <= 0 or misses[-1] <= 0:
        return math.nan
    return float((hits / hits[-1] - misses / misses[-1]).max())


def recall_at_top(y: Array, score: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Share of what happened that is among the twentieth of the rows with the highest scores; NaN where nothing happened."""
    weight = np.ones(len(y)) if rows.weight is None else rows.weight
    happened = (weight * y).sum()
    return float(_count_top_hits(y, score, rows, TOP_SHARE * weight.sum()) / happened) if happened > 0 else float("nan")


def precision_at_top(y: Array, score: Array, rows: RowMetadata = RowMetadata()) -> float:
    """Share of the twentieth of the rows with the highest scores that happened."""
    total = TOP_SHARE * (len(y) if rows.weight is None else float(rows.weight.sum()))
    return float(_count_top_hits(y, score, rows, total) / total) if total > 0 else float("nan")


SHARE, CORRELATION, LOSS, AT_MOST_ONE = (
    MetricBounds(0.0, 1.0),
    MetricBounds(-1.0, 1.0),
    MetricBounds(0.0),
    MetricBounds(maximum=1.0),
)
SQUARED_DISTANCE, TENFOLD = MetricBounds(0.0, 2.0), MetricBounds(0.0, 10.0)
"""Of probabilities over several classes to the class, and of a rate in a tenth of the rows by the rate in all."""

AVERAGE_PRECISION = Metric("average_precision", average_precision, True, "probability", bounds=SHARE)
ROC_AUC = Metric("roc_auc", roc_auc, True, "probability", bounds=SHARE)
LOG_LOSS = Metric("log_loss", log_loss, False, "probability", "nats", bounds=LOSS)
BRIER_SCORE = Metric("brier_score", brier_score, False, "probability", bounds=SQUARED_DISTANCE)
ACCURACY = Metric("accuracy", accuracy, True, "label", bounds=SHARE)
BALANCED_ACCURACY = Metric("balanced_accuracy", balanced_accuracy, True, "label", bounds=SHARE)
F1 = Metric("f1", f1, True, "label", bounds=SHARE)
PRECISION = Metric("precision", precision, True, "label", bounds=SHARE)
RECALL = Metric("recall", recall, True, "label", bounds=SHARE)
MATTHEWS_CORRCOEF = Metric("matthews_corrcoef", matthews_corrcoef, True, "label", bounds=CORRELATION)
ROOT_MEAN_SQUARED_ERROR = Metric("root_mean_squared_error", root_mean_squared_error, False, "value", bounds=LOSS)
MEAN_ABSOLUTE_ERROR = Metric("mean_absolute_error", mean_absolute_error, False, "value", bounds=LOSS)
MEAN_ABSOLUTE_PERCENTAGE_ERROR = Metric(
    "mean_absolute_percentage_error", mean_absolute_percentage_error, False, "value", "fraction", bounds=LOSS
)
MEDIAN_ABSOLUTE_PERCENTAGE_ERROR = Metric(
    "median_absolute_percentage_error", median_absolute_percentage_error, False, "value", "fraction", bounds=LOSS
)
R2 = Metric("r2", r2, True, "value", bounds=AT_MOST_ONE)
ROOT_MEAN_SQUARED_LOG_ERROR = Metric("root_mean_squared_log_error", root_mean_squared_log_error, False, "value", bounds=LOSS)
MEAN_POISSON_DEVIANCE = Metric("mean_poisson_deviance", MeanLoss(Loss("poisson")), False, "value", bounds=LOSS)

RECALL_AT_TOP = Metric("recall_at_top_5_percent", recall_at_top, True, "probability", bounds=SHARE)
PRECISION_AT_TOP = Metric("precision_at_top_5_percent", precision_at_top, True, "probability", bounds=SHARE)
TOP_DECILE_LIFT = Metric("top_decile_lift", top_decile_lift, True, "probability", bounds=TENFOLD)
KS_STATISTIC = Metric("ks_statistic", ks_statistic, True, "probability", bounds=SHARE)
EXPECTED_CALIBRATION_ERROR = Metric("expected_calibration_error", expected_calibration_error, False, "probability", bounds=SHARE)
BRIER_SKILL_SCORE = Metric("brier_skill_score", brier_skill_score, True, "probability", bounds=AT_MOST_ONE)

PERCENTAGE_METRICS = (MEAN_ABSOLUTE_PERCENTAGE_ERROR, MEDIAN_ABSOLUTE_PERCENTAGE_ERROR)

REPORTED_METRICS: tuple[Metric, ...] = (
    AVERAGE_PRECISION,
    ROC_AUC,
    LOG_LOSS,
    BRIER_SCORE,
    ACCURACY,
    BALANCED_ACCURACY,
    F1,
    PRECISION,
    RECALL,
    MATTHEWS_CORRCOEF,
    ROOT_MEAN_SQUARED_ERROR,
    MEAN_ABSOLUTE_ERROR,
    *PERCENTAGE_METRICS,
    R2,
)
"""The metrics that kinds of target name."""

BY_NAME = {metric.name: metric for metric in REPORTED_METRICS}

METRICS: dict[str, tuple[Metric, ...]] = {
    kind.name: tuple(BY_NAME[name] for name in kind.metrics) for kind in KINDS.values() if kind.metrics
}
"""What is reported for each kind of target; the first one decides unless the task says otherwise."""


def build_binary_target(
    name: str,
    labels: Callable[[AsOfView, Future], pl.DataFrame],
    horizon: float,
    classes: tuple[str, str],
    secondary_metrics: tuple[Metric, ...] = (),
) -> Target:
    """A target of two classes within a horizon (days), judged by average precision; `secondary_metrics` are reported beside those
    of all two classes."""
    return Target(
        name, "binary", labels, AVERAGE_PRECISION, horizons=(horizon,), classes=classes, secondary_metrics=secondary_metrics
    )


def choose_metric(kind: Kind, loss: Loss) -> Metric:
    """What decides among models that make this loss small: the loss itself, but for squared error its root."""
    if not KINDS[kind].is_regression or loss.name == "squared":
        return METRICS[kind][0]
    if loss.name == "absolute":
        return MEAN_ABSOLUTE_ERROR
    if loss.name == "poisson":
        return MEAN_POISSON_DEVIANCE
    return Metric(
        "mean_pinball_loss" if loss.name == "quantile" else "mean_tweedie_deviance", MeanLoss(loss), False, "value", bounds=LOSS
    )


def add_metrics(metrics: tuple[Metric, ...], more: Sequence[Metric]) -> tuple[Metric, ...]:
    """The metrics, and behind them those of `more` whose names are not among theirs."""
    names = {metric.name for metric in metrics}
    return (*metrics, *(metric for metric in more if metric.name not in names))


def list_metrics(target: Target) -> tuple[Metric, ...]:
    """What is reported of a target's models: what its kind has and what it names itself, first what decides where a loss or a
    task asks for another.

    Models of logarithms have the error of the logarithms as well; counts and sums, which may be zero, no percentage errors.
    """
    usual = add_metrics(METRICS[target.traits.name], target.secondary_metrics)
    if target.has_zeros:
        usual = tuple(metric for metric in usual if metric not in PERCENTAGE_METRICS)
    if target.metric.name not in {metric.name for metric in usual} or target.loss != "squared":
        usual = (target.metric, *(metric for metric in usual if metric.name != target.metric.name))
    if target.log and target.metric.name != ROOT_MEAN_SQUARED_LOG_ERROR.name:
        usual = (*usual, ROOT_MEAN_SQUARED_LOG_ERROR)
    return usual


def note_zero_labels(task: Task, y: Array) -> tuple[Task, tuple[str, ...]]:
    """The task with what its labels y (n,), all of the training's, say of zero, and that in words.

    Percentage errors are left out where a label is zero. Where none is below, no answer is below zero either. Raises ColumnError
    where a percentage error was to decide.
    """
    if not task.target.traits.is_regression:
        return task, ()
    # Of all labels, for those that some folds test may be of one side alone.
    target = replace(task.target, floor=0.0 if (y >= 0).all() else None)
    n_zeros = 0 if target.traits.has_log_link else int((y == 0).sum())
    if not n_zeros:
        return task.replace_target(target), ()
    where = f"{target.name} is 0 in {n_zeros:,} of {len(y):,} rows, where an error in percent of it is undefined"
    if target.metric in PERCENTAGE_METRICS:
        raise ColumnError(f"--metric {target.metric.name}: {where}; use {MEAN_ABSOLUTE_ERROR.name}, or leave these rows out.")
    return task.replace_target(replace(target, has_zeros=True)), (f"{where}: none is reported.",)
