"""Is one family better than another? Paired on the same folds, or not at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from epic22.core.data.folds import FoldPlan
from epic22.core.errors import InternalError
from epic22.core.evaluation.bootstrap import average_folds, bootstrap_folds, compute_percentile_interval
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.intervals import compute_corrected_error
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT, Power, compute_power, count_sample
from epic22.core.evaluation.supplementary_tests import TestResult, run_supplementary_tests
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE, Interval, adjust_p_values
from epic22.core.task import Array, Metric


@dataclass(frozen=True)
class Verdict:
    """Champion against rival. `difference` > 0: the champion is better, in the metric's unit, whichever way it runs.

    `horizon` is "all" for a figure pooled over horizons. `p` is two-sided, of this comparison alone; `p_adjusted` is Holm's, over
    all that the champion was compared with (None: it was compared with nothing else).
    `enough_data` is whether the interval excludes zero; where it does not, `advice` says what it would take, `power` in figures.
    `supplementary_tests` are what other tests say of the same pair.
    """

    against: str
    target: str
    horizon: float | str | None
    metric: str
    difference: Interval
    p: float
    enough_data: bool
    method: str
    advice: str
    p_adjusted: float | None = None
    power: Power | None = None
    supplementary_tests: tuple[TestResult, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether there is a difference, with all the comparisons that were made allowed for."""
        return self.enough_data and (self.p_adjusted is None or self.p_adjusted <= 1 - CONFIDENCE)

    @property
    def better(self) -> bool:
        """Whether the champion is certainly better."""
        return self.certain and self.difference.value > 0

    @property
    def words(self) -> str:
        """The verdict in words: better, worse, or why neither can be said."""
        if self.certain:
            return "certainly better" if self.difference.value > 0 else "certainly worse"
        if self.enough_data and self.p_adjusted is not None:
            return f"can't tell: its own interval excludes zero, all comparisons together do not (p = {self.p_adjusted:.2g})"
        return self.advice


def compare(experiment: Experiment, a: Evaluation, b: Evaluation, metric: Metric, minimum_effect: float | None = None) -> Verdict:
    """The verdict on `a` against `b`, by the metric, on the experiment that both were evaluated on.

    `minimum_effect` is the smallest difference that matters, in the metric's unit; a hundredth of b's score where it is None.

    Repeated folds: corrected resampled t on the fold differences (Nadeau and Bengio 2003). Otherwise: paired bootstrap in
    which whole groups, or blocks of time, are drawn (Field and Welsh 2007).

    Raises InternalError for evaluations of different folds or of another plan.
    """
    if not a.fingerprint == b.fingerprint == experiment.fingerprint:
        raise InternalError(f"{a.family} and {b.family} were evaluated on different folds and cannot be compared.")
    folds = np.array([metric.gain(x, y) for x, y in zip(a.score(metric.name).folds, b.score(metric.name).folds, strict=True)])
    folds = folds[~np.isnan(folds)]
    mean = float(folds.mean()) if len(folds) else math.nan
    if experiment.plan.is_repeated:
        result = _run_corrected_t_test(folds, experiment.plan)
    else:
        result = _run_paired_bootstrap(experiment, a, b, metric)
    difference = Interval(mean, *result.ends)
    significant = difference.excludes_zero
    smallest_effect = DEFAULT_MINIMUM_EFFECT * abs(b.score(metric.name).value) if minimum_effect is None else minimum_effect
    power = compute_power(mean, result.error, smallest_effect, count_sample(experiment))
    return Verdict(
        against=b.family,
        target=a.target,
        horizon=a.horizon,
        metric=metric.name,
        difference=difference,
        p=result.p,
        enough_data=significant,
        method=result.method,
        advice="" if significant else power.advice,
        power=power,
        supplementary_tests=run_supplementary_tests(experiment, a, b),
    )


def adjust_for_multiple_comparisons(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on one champion, each with the p that allows for all of them."""
    adjusted = adjust_p_values([verdict.p for verdict in verdicts])
    return tuple(replace(verdict, p_adjusted=p) for verdict, p in zip(verdicts, adjusted, strict=True))


@dataclass(frozen=True)
class _PairedResult:
    """The ends of an interval, its standard error, the two-sided p and how they were made."""

    ends: tuple[float, float]
    error: float
    p: float
    method: str


def _run_corrected_t_test(folds: Array, plan: FoldPlan) -> _PairedResult:
    name = f"corrected resampled t over {len(folds)} folds"
    if len(folds) < 2:
        return _PairedResult((math.nan, math.nan), math.nan, 1.0, name)
    if folds.var(ddof=1) == 0:
        mean = float(folds.mean())
        return _PairedResult((mean, mean), 0.0, 0.0 if mean else 1.0, name)
    error, mean = compute_corrected_error(folds, plan), float(folds.mean())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(folds) - 1)) * error
    return _PairedResult((mean - half, mean + half), error, float(2 * stats.t.sf(abs(mean / error), len(folds) - 1)), name)


def _run_paired_bootstrap(experiment: Experiment, a: Evaluation, b: Evaluation, metric: Metric) -> _PairedResult:
    """Both are scored on the same draws: one plan and seed draw the same clusters."""
    first, second = (bootstrap_folds(experiment, (metric,), one.fold_predictions)[0] for one in (a, b))
    replicates = average_folds(first - second if metric.greater_is_better else second - first)
    present = replicates[~np.isnan(replicates)]
    tail = (1 + min((present <= 0).sum(), (present >= 0).sum())) / (1 + len(present))
    error = float(present.std(ddof=1)) if len(present) > 1 else math.nan
    method = f"paired bootstrap, {_describe_draw(experiment.plan)}"
    return _PairedResult(compute_percentile_interval(replicates), error, float(min(1.0, 2 * tail)), method)


def _describe_draw(plan: FoldPlan) -> str:
    tested = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    if plan.clusters is None:
        return f"{len(tested)} rows resampled"
    return f"{len(np.unique(plan.clusters[tested]))} clusters resampled"
