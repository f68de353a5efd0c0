"""The standard error of a mean over folds, by leaving out what is independent: rows, groups or stretches of time.

A row may be tested in several folds, and rows of a group or of one stretch of time err together. So what is left out, in all
folds at once, is one of at most `MAX_PARTS` parts of whole clusters (delete-a-group jackknife, Kott 2001; one cluster at a time
where there are no more). That is the variance of the mean over folds about the mean performance of the folds' models on new rows
(Bayle, Bayle, Janson and Mackey 2020). Rows that follow one another in time are left out in contiguous stretches (Ibragimov and
Müller 2010). n = rows, c = clusters, g = parts.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from epic22.core.evaluation.bootstrap import (
    MetricFunction,
    average_folds,
    build_clustered_predictions,
    compute_weighted_metrics,
)
from epic22.core.evaluation.metrics import average_precision, compute_chance_deviation
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE
from epic22.core.task import Array, Metric

MAX_PARTS, MAX_STRETCHES = 50, 20
"""Parts that are left out in turn; of rows that follow one another in time fewer, so that neighbours are left out together."""

PARTS = 66
"""The stream of random numbers, beside the seed, by which clusters are divided into parts."""


@dataclass(frozen=True)
class IndependentUnits:
    """What of the test rows is independent, and what that can show.

    `part` (c,) is the part of each cluster, `count` how many `noun` there are. `informative` are those of the rarer class, or
    all where the target has no two classes: a figure varies by no more of them. `least_p` is the least p that permuting the
    labels of these units, or changing their signs, can give: no finding on them is more certain.
    """

    noun: str
    part: Array
    count: int
    informative: int
    least_p: float

    @property
    def degrees_of_freedom(self) -> int:
        """Of the standard error; 0 where there is none."""
        return max(0, min(int(self.part.max()) + 1, self.informative) - 1)

    @property
    def quantile(self) -> float:
        """Standard errors to each side of a figure; NaN without an error."""
        return compute_t_quantile(self.degrees_of_freedom)

    @property
    def pseudo_variance(self) -> float:
        """What two more units, one without a difference and one with twice the mean's, add to a variance of 1² of that mean.

        So a difference without any variance, as of a perfect model, still has an error.
        """
        return 2.0 / ((self.informative + 1) * (self.informative + 2))


def compute_t_quantile(degrees_of_freedom: int, n_choices: int = 1) -> float:
    """Student's, of a 95 % interval, or of as many that all hold at once in 95 %; NaN without degrees of freedom.

    >>> round(compute_t_quantile(49), 2), round(compute_t_quantile(49, n_choices=2), 2)
    (2.01, 2.31)
    """
    return float(stdtrit(degrees_of_freedom, 1 - (1 - CONFIDENCE) / (2 * n_choices))) if degrees_of_freedom > 0 else math.nan


def find_independent_units(experiment: Experiment) -> IndependentUnits:
    """The units of the experiment's test rows: clusters where the plan has them, stretches of time, else rows."""
    plan, examples = experiment.plan, experiment.examples
    rows = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    code = np.unique(experiment.get_clusters(rows), return_inverse=True)[1]
    count, kind = int(code.max()) + 1, experiment.task.target.traits
    outcome = kind.get_outcomes(examples.y[rows])
    informative, orders = count, math.inf
    if kind.is_stratified:
        informative = min(len(np.unique(code[outcome == value])) for value in np.unique(outcome)) if _has_two(outcome) else count
        orders = compute_log_permutations(outcome, code)
    named = examples.cluster is not None or examples.group is not None
    forward = examples.has_times and plan.strategy in ("walk_forward", "holdout") and not named
    part = _cut_stretches(examples.at[rows], code) if forward else _divide(count, experiment.seed)
    noun = "rows" if count == len(rows) else "groups of rows"
    least_p = max(compute_least_sign_p(count), math.exp(-orders))
    return IndependentUnits(noun, part, count, informative, least_p)


def _has_two(outcome: Array) -> bool:
    return len(np.unique(outcome)) == 2


def _divide(count: int, seed: int) -> Array:
    """The part (c,) of each cluster, at random, in parts of equal size."""
    return np.asarray(np.random.default_rng([seed, PARTS]).permutation(count) % min(count, MAX_PARTS))


def _cut_stretches(at: Array, code: Array) -> Array:
    """The part (c,) of each cluster by the time (n,) of its first row: stretches of about equally many clusters."""
    count = int(code.max()) + 1
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, code, at.astype("datetime64[us]").astype(np.int64))
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(count)
    return np.asarray(rank * min(count, MAX_STRETCHES) // count)


def compute_least_sign_p(count: int) -> float:
    """The least two-sided p of a test that changes the signs of `count` independent differences.

    >>> compute_least_sign_p(3), compute_least_sign_p(6)
    (0.25, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - count))


def compute_log_permutations(outcome: Array, cluster: Array) -> float:
    """The logarithm of how many orders the outcomes (n,) have, of whole clusters and within each.

    ln C(20, 9) for 9 of 20 rows; of matched pairs, one of each outcome, those within the pairs are all there are.

    >>> round(math.exp(compute_log_permutations(np.arange(20) < 9, np.arange(20))))
    167960
    >>> round(math.exp(compute_log_permutations(np.array([0, 1, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 2, 2]))))
    8
    """
    means = np.bincount(cluster, weights=outcome) / np.bincount(cluster)
    between = _log_orders(np.unique(means, return_counts=True)[1])
    count = np.unique(np.column_stack([cluster, outcome]), axis=0, return_counts=True)[1]
    return between + _log_factorials(np.bincount(cluster)) - _log_factorials(count)


def _log_orders(alike: Array) -> float:
    return float(gammaln(alike.sum() + 1)) - _log_factorials(alike)


def _log_factorials(count: Array) -> float:
    return float(gammaln(count + 1).sum())


def cut_origins(origins: int, horizon: int) -> IndependentUnits:
    """The units of this many neighbouring origins whose forecasts reach a horizon: stretches that are a horizon long.

    More than `MAX_PARTS` of them are left out several at a time. Of no stretch there is no error.
    """
    count = max(1, origins // max(horizon, 1))
    part = np.arange(origins) * min(count, MAX_PARTS) // origins
    return IndependentUnits("stretches of time", part, count, count, compute_least_sign_p(count))


def compute_overlap_factor(horizon: int, length: float) -> float:
    """By what the variance of a mean over stretches of `length` origins exceeds what they show as if they were independent.

    Origins less than a horizon apart share periods (Hansen and Hodrick 1980), so their errors' covariance falls in a line to zero
    over a horizon; the stretches' neighbours share what lies across their border.

    >>> compute_overlap_factor(1, 1), round(compute_overlap_factor(12, 12), 2), round(compute_overlap_factor(12, 120), 2)
    (1.0, 1.49, 1.03)
    """
    return 1 / (1 - (horizon**2 - 1) / (3 * horizon * max(length, horizon)))


def discount_overlap(units: IndependentUnits, horizon: int) -> IndependentUnits:
    """The same stretches with as many degrees of freedom as they are worth: what neighbours share shows nothing new."""
    parts = int(units.part.max()) + 1
    n_effective = round(parts / compute_overlap_factor(horizon, len(units.part) / parts))
    return replace(units, informative=max(min(2, parts), n_effective))


def jackknife_means(
    experiment: Experiment, metrics: tuple[Metric, ...], predictions: tuple[FoldPredictions, ...], units: IndependentUnits
) -> Array:
    """Means over folds of each metric when each part is left out, (metrics, g); NaN where no fold defines it."""
    left_out = 1.0 - np.eye(int(units.part.max()) + 1)[:, units.part]
    clustered = build_clustered_predictions(experiment, predictions)
    return average_folds(compute_weighted_metrics(metrics, clustered, left_out))


def jackknife_row_means(
    experiment: Experiment, values: Sequence[Array], predictions: tuple[FoldPredictions, ...], units: IndependentUnits
) -> Array:
    """Means over folds of the values of their test rows, (n of the fold,) each, when each part is left out, (g,)."""
    parts, means = int(units.part.max()) + 1, []
    for clustered, rows in zip(build_clustered_predictions(experiment, predictions), values, strict=True):
        part = units.part[clustered.cluster]
        total, count = np.bincount(part, weights=rows, minlength=parts), np.bincount(part, minlength=parts)
        left = len(rows) - count
        means.append(np.divide(rows.sum() - total, left, out=np.full(parts, np.nan), where=left > 0))
    return average_folds(np.stack(means, axis=-1))


def compute_jackknife_error(values: Array) -> float:
    """The standard error by values (g,) of a figure with each part left out; NaN where fewer than two are defined."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return math.nan
    return math.sqrt((len(known) - 1) / len(known) * float(((known - known.mean()) ** 2).sum()))


def compute_p(difference: float, error: float, units: IndependentUnits) -> float:
    """The two-sided p of a difference with such an error, not below what the units can show."""
    if math.isnan(difference + error) or units.degrees_of_freedom < 1 or not error:
        return 1.0
    return max(units.least_p, float(2 * stdtr(units.degrees_of_freedom, -abs(difference) / error)))


def compute_chance_error(experiment: Experiment, metric: Metric, predictions: tuple[FoldPredictions, ...]) -> float:
    """The standard error of a random order's score in these folds; 0 for a metric that shows its own error at chance.

    One repeat counts, for repeats share their rows.
    """
    deviation = CHANCE_DEVIATIONS.get(metric.score)
    parts = [part for part in predictions if part.fold.repeat == 0]
    if deviation is None or any(part.response.ndim > 1 for part in parts):
        return 0.0
    labels = [experiment.examples.y[part.fold.test] for part in parts]
    return math.sqrt(sum(deviation(int((y == 1).sum()), len(y)) ** 2 for y in labels)) / len(parts)


CHANCE_DEVIATIONS: Mapping[MetricFunction, Callable[[int, int], float]] = {average_precision: compute_chance_deviation}
"""Of metrics whose error at chance their own score does not show: the deviation over random orders of positives and rows."""

CHANCE_WEIGHT = 1 / 8
"""Of the variance at chance in that of a score which varied less: by simulation, `benchmarks/levels.py`."""


def compute_score_error(
    experiment: Experiment, metric: Metric, predictions: tuple[FoldPredictions, ...], left_out: Array
) -> float:
    """The standard error of a metric's mean over folds, by its means (g,) with each part left out.

    The average precision of an order that ranks the few positives low varies far less than that of other orders of the same
    model, so where it varies less than at chance an eighth of chance's variance counts.
    """
    error = compute_jackknife_error(left_out)
    chance = compute_chance_error(experiment, metric, predictions)
    return math.sqrt((1 - CHANCE_WEIGHT) * error**2 + CHANCE_WEIGHT * chance**2) if error < chance else error
