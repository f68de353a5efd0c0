"""Tests beside a verdict where rows are independent, and the reason where they are not.

DeLong's test of two ROC areas on the same rows (DeLong, DeLong and Clarke-Pearson 1988), by midranks (Sun and Xu 2014), and
McNemar's of two classifiers' labels, exact with the mid-p (Fagerland, Lydersen and Laake 2013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from epic22.core.data.examples import Examples
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.jackknife import compute_log_permutations
from epic22.core.evaluation.metrics import ROC_AUC, compute_labels
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE, UNDEFINED_INTERVAL, Interval
from epic22.core.task import Array, Kind

TESTS: dict[Kind, tuple[tuple[str, str], ...]] = {
    "binary": (("DeLong", "roc_auc"), ("McNemar (exact, mid-p)", "accuracy")),
    "multiclass": (("McNemar (exact, mid-p)", "accuracy"),),
}


@dataclass(frozen=True)
class TestResult:
    """What another test says of the same pair. `refusal` is the reason why it may not be asked; then the figures are NaN."""

    test: str
    metric: str
    difference: Interval = UNDEFINED_INTERVAL
    p: float = math.nan
    refusal: str = ""


def run_supplementary_tests(experiment: Experiment, a: Evaluation, b: Evaluation) -> tuple[TestResult, ...]:
    """DeLong on the ROC area, McNemar on accuracy; `difference` > 0 where `a` is better. None for values."""
    tests, reason = TESTS.get(experiment.task.target.kind, ()), find_dependence(experiment)
    if reason is not None:
        return tuple(TestResult(test, metric, refusal=reason) for test, metric in tests)
    return tuple(_run_test(test, metric, a, b, experiment.examples) for test, metric in tests)


def _run_test(test: str, metric: str, a: Evaluation, b: Evaluation, examples: Examples) -> TestResult:
    folds = [
        (examples.y[x.fold.test], x.response, z.response) for x, z in zip(a.fold_predictions, b.fold_predictions, strict=True)
    ]
    if metric == "roc_auc":
        area = delong_test_over_folds(folds)
        return TestResult(test, metric, area.difference, area.p)
    y, first, second = (
        np.concatenate(parts) for parts in zip(*((y, compute_labels(r), compute_labels(s)) for y, r, s in folds), strict=True)
    )
    right = mcnemar_test(y, first, second)
    return TestResult(test, metric, right.difference, right.p)


def find_dependence(experiment: Experiment) -> str | None:
    """In words why the tested rows are not independent of one another, None where they are.

    They are where each row was tested once, by one model, and no two tested rows share a cluster or a stretch of time.
    """
    plan = experiment.plan
    tested = np.concatenate([fold.test for fold in plan.folds])
    rows = np.unique(tested)
    if len(rows) < len(tested):
        return f"rows were tested more than once, in {plan.repeats} dealings of the folds"
    if plan.clusters is not None:
        count = len(np.unique(plan.clusters[rows]))
        return None if count == len(rows) else f"{len(rows):,} tested rows come in {count:,} clusters"
    return "rows follow one another in time" if experiment.examples.has_times else None


@dataclass(frozen=True)
class RocAucDifference:
    """The first area less the second, its standard error, 95 % interval and two-sided p."""

    first: float
    second: float
    difference: Interval
    error: float
    p: float


def delong_test_over_folds(folds: Sequence[tuple[Array, Array, Array]]) -> RocAucDifference:
    """The test of the mean over folds of (y, first, second): each fold ranks its own rows, for its models' scales are their own.

    Folds that lack a class are left out; the folds' rows are independent, so the variances add up.
    """
    used = [fold for fold in folds if 0 < (fold[0] == 1).sum() < len(fold[0])]
    if not used:
        return RocAucDifference(math.nan, math.nan, UNDEFINED_INTERVAL, math.nan, math.nan)
    areas, covariances = zip(*(compute_areas_and_covariance(y, np.stack([a, b])) for y, a, b in used), strict=True)
    first, second = (float(x) for x in np.mean(areas, axis=0))
    total = np.sum(covariances, axis=0) / len(used) ** 2
    difference, variance = first - second, float(total[0, 0] + total[1, 1] - 2 * total[0, 1])
    error = math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan
    least_p = _compute_least_p([y for y, *_ in used])
    if error == 0:
        # No row is out of place, so nothing varies: what the rows' permutations could give is all that can be said.
        ends = (math.nan, math.nan) if difference else (0.0, 0.0)
        return RocAucDifference(first, second, Interval(difference, *ends), 0.0, least_p if difference else 1.0)
    half = float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    p = float(2 * scipy.stats.norm.sf(abs(difference) / error))
    interval = ROC_AUC.bounds.of_difference.clip_interval(Interval.around(difference, half))
    return RocAucDifference(first, second, interval, error, max(p, least_p))


def _compute_least_p(labels: Sequence[Array]) -> float:
    """The least p that permuting the folds' labels together can give."""
    y = np.concatenate(labels)
    return math.exp(-compute_log_permutations(y, np.arange(len(y))))


def compute_areas_and_covariance(y: Array, responses: Array) -> tuple[Array, Array]:
    """The areas (k,) of responses (k, n) and their covariance (k, k); NaN where a class has fewer than two rows.

    In n log n: the share of the other class that a row outranks is its midrank among all less its midrank in its own class.
    """
    positive = y == 1
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = scipy.stats.rankdata(responses, axis=1)
    own = np.empty_like(ranks)
    own[:, positive] = scipy.stats.rankdata(responses[:, positive], axis=1)
    own[:, ~positive] = scipy.stats.rankdata(responses[:, ~positive], axis=1)
    beaten = (ranks - own)[:, positive] / n
    not_beaten = 1 - (ranks - own)[:, ~positive] / m
    if min(m, n) < 2:
        return beaten.mean(axis=1), np.full((len(responses), len(responses)), np.nan)
    return beaten.mean(axis=1), np.atleast_2d(np.cov(beaten)) / m + np.atleast_2d(np.cov(not_beaten)) / n


@dataclass(frozen=True)
class AccuracyDifference:
    """The first accuracy less the second. `only_first` and `only_second`: rows that one alone had right. `p` is two-sided."""

    only_first: int
    only_second: int
    rows: int
    difference: Interval
    p: float


def mcnemar_test(y: Array, first: Array, second: Array) -> AccuracyDifference:
    """The test on classes y (n,) and two sets of labels (n,).

    The interval is Wald's with one row added to each kind of disagreement (Bonett and Price 2012).
    """
    right_first, right_second = first == y, second == y
    a, b, n = int((right_first & ~right_second).sum()), int((~right_first & right_second).sum()), len(y)
    if not n:
        return AccuracyDifference(0, 0, 0, UNDEFINED_INTERVAL, math.nan)
    shares = np.array([a + 1, b + 1]) / (n + 2)
    centre = float(shares[0] - shares[1])
    half = float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((shares.sum() - centre**2) / (n + 2)))
    difference = Interval((a - b) / n, max(centre - half, -1.0), min(centre + half, 1.0))
    return AccuracyDifference(a, b, n, difference, compute_mid_p(a, b))


def compute_mid_p(only_first: int, only_second: int) -> float:
    """The two-sided exact p of these numbers of disagreements each way, in which just these count half.

    >>> round(compute_mid_p(1, 6), 6)
    0.070313
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    if not count:
        return 1.0
    here = float(scipy.stats.binom.pmf(fewer, count, 0.5))
    if only_first == only_second:
        return 1 - here / 2
    return float(min(1.0, 2 * scipy.stats.binom.cdf(fewer, count, 0.5)) - here)
