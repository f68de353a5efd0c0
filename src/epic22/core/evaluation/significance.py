"""Is one family better than another? Paired on the same folds, or not at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.errors import InternalError
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.jackknife import (
    IndependentUnits,
    compute_chance_error,
    compute_jackknife_error,
    compute_p,
    find_independent_units,
)
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT, Power, compute_power, compute_width, count_sample
from epic22.core.evaluation.supplementary_tests import TestResult, run_supplementary_tests
from epic22.core.experiment import Experiment
from epic22.core.statistics import CONFIDENCE, Interval, adjust_p_values
from epic22.core.task import Metric

SIGNIFICANCE_LEVEL = 1 - CONFIDENCE
MIN_UNITS = 6
"""The fewest independent units whose signs can give a p of 5 %: 2 ÷ 2⁶."""


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
        return self.enough_data and (self.p_adjusted is None or self.p_adjusted <= SIGNIFICANCE_LEVEL)

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

    The difference's error is a jackknife's over what is independent: the same is left out for both. No p is below what these
    units can show, and nothing that they cannot show is certain.

    Raises InternalError for evaluations of different folds or of another plan.
    """
    paired = compute_paired_difference(experiment, a, b, metric)
    mean, error, p, units = paired.mean, paired.error, paired.p, find_independent_units(experiment)
    difference = metric.bounds.of_difference.clip_interval(Interval.around(mean, units.quantile * error))
    significant = difference.excludes_zero and p <= SIGNIFICANCE_LEVEL
    smallest_effect = DEFAULT_MINIMUM_EFFECT * abs(b.score(metric.name).value) if minimum_effect is None else minimum_effect
    power = compute_power(mean, error, smallest_effect, count_sample(experiment), compute_width(units.degrees_of_freedom))
    return Verdict(
        against=b.family,
        target=a.target,
        horizon=a.horizon,
        metric=metric.name,
        difference=difference,
        p=p,
        enough_data=significant,
        method=f"paired jackknife, {units.count:,} {units.noun} in {int(units.part.max()) + 1} parts",
        advice="" if significant else write_advice(power, units),
        power=power,
        supplementary_tests=run_supplementary_tests(experiment, a, b),
    )


@dataclass(frozen=True)
class PairedDifference:
    """By how much one evaluation is better than another, > 0: better, with its standard error and two-sided p."""

    mean: float
    error: float
    p: float


def compute_paired_difference(experiment: Experiment, a: Evaluation, b: Evaluation, metric: Metric) -> PairedDifference:
    """The difference of `a` to `b`, by the metric; see `compare`, which says more of it and raises the same."""
    if not a.fingerprint == b.fingerprint == experiment.fingerprint:
        raise InternalError(f"{a.family} and {b.family} were evaluated on different folds and cannot be compared.")
    folds = np.array([metric.gain(x, y) for x, y in zip(a.score(metric.name).folds, b.score(metric.name).folds, strict=True)])
    folds = folds[~np.isnan(folds)]
    mean, units = float(folds.mean()) if len(folds) else math.nan, find_independent_units(experiment)
    first, second = (np.array(one.score(metric.name).left_out) for one in (a, b))
    error = compute_difference_error(mean, compute_jackknife_error(first - second), units)
    if not math.isnan(error) and all(np.ptp(part.response) == 0 for part in b.fold_predictions):
        # A test against chance has at least its error: an order that happens to rank the few positives low varies little.
        error = max(error, compute_chance_error(experiment, metric, a.fold_predictions))
    return PairedDifference(mean, error, compute_p(mean, error, units))


def compute_difference_error(difference: float, error: float, units: IndependentUnits) -> float:
    """The standard error of a difference between two models, which is never 0 where there is a difference."""
    return math.sqrt(error**2 + units.pseudo_variance * difference**2)


def write_advice(power: Power, units: IndependentUnits) -> str:
    """Why a verdict is not certain, and what it would take."""
    if units.least_p > SIGNIFICANCE_LEVEL:
        least = f"(the least p that they can give is {units.least_p:.2g})"
        if units.count < MIN_UNITS:
            what = f"{units.count} independent {units.noun} can show nothing at 5 % {least}; bring at least {MIN_UNITS} of them"
        else:
            alike = f"the labels of {units.count} independent {units.noun} are too much alike to show anything {least}"
            what = f"{alike}; bring more of the rarer class"
        return f"can't tell: {what}"
    if not units.degrees_of_freedom:
        return f"can't tell: of the rarer class there is 1 of {units.count} independent {units.noun}, which shows no variance"
    return power.advice


def is_certainly_better(verdicts: Sequence[Verdict], against: str) -> bool:
    """Whether some verdict says that the champion is certainly better than that rival."""
    return any(verdict.against == against and verdict.better for verdict in verdicts)


def adjust_for_multiple_comparisons(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on one champion, each with the p that allows for all of them."""
    adjusted = adjust_p_values([verdict.p for verdict in verdicts])
    return tuple(replace(verdict, p_adjusted=p) for verdict, p in zip(verdicts, adjusted, strict=True))
