"""How many rows would it take? A difference is shown with 80 % power at 5 % where it is 2.8 standard errors wide.

The standard error of a mean shrinks with the root of what is independent: clusters where rows come in clusters, else rows, of
which a binary target counts the positives.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from epic22.core.experiment import Experiment

POWER = 0.8
TWO_SIDED = float(ndtri(0.975) + ndtri(POWER))
ONE_SIDED = float(ndtri(0.95) + ndtri(POWER))
"""Standard errors that a difference must be wide to be shown with such power, at 5 %."""


def compute_width(degrees_of_freedom: int) -> float:
    """Standard errors that a difference must be wide to be shown with such power, two-sided, by Student's t with these degrees of
    freedom; NaN without any.

    >>> round(compute_width(8), 2), round(compute_width(10_000), 2)
    (3.19, 2.8)
    """
    if degrees_of_freedom < 1:
        return math.nan
    return float(stdtrit(degrees_of_freedom, 0.975) + stdtrit(degrees_of_freedom, POWER))


DEFAULT_MINIMUM_EFFECT = 0.01
"""Where a task does not say what difference matters: this share of the score it is compared with."""

MIN_CLUSTER_SHARE = 0.9
"""With as many clusters a row, a few copies of rows aside, the rows are counted."""


MAX_RATIO = 1e9
"""Of the difference that could be shown to the one asked for: beyond it no data that there can be would show it."""


MAX_TIMES = 100.0
"""As many times the data that there is are worth a number; beyond it the difference is next to nothing."""


@dataclass(frozen=True)
class SampleSize:
    """What was tested: `count` of `unit` (positives or rows), and the clusters they come in (None: each row for itself)."""

    unit: str
    count: int
    clusters: int | None

    def describe_increase(self, factor: float) -> str:
        """In words, how many more make it `factor` times as much.

        >>> SampleSize("positives", 200, 40).describe_increase(1.5)
        'about 100 more positives would be needed, in about 20 more clusters,'
        >>> SampleSize("rows", 200, None).describe_increase(1.5)
        'about 100 more rows would be needed'
        >>> SampleSize("rows", 200, None).describe_increase(math.inf)
        'no number of rows would show it'
        >>> SampleSize("origins", 20, 3).describe_increase(4e6)
        'more than 100 times as many origins would be needed'
        """
        if not math.isfinite(self.count * factor):
            return f"no number of {self.unit} would show it"
        if factor > MAX_TIMES:
            return f"more than {MAX_TIMES:g} times as many {self.unit} would be needed"
        more = math.ceil(self.count * max(0.0, factor - 1) - 1e-9)
        text = f"about {more:,} more {self.unit} would be needed"
        if self.clusters is None:
            return text
        return f"{text}, in about {math.ceil(self.clusters * max(0.0, factor - 1) - 1e-9):,} more clusters,"


@dataclass(frozen=True)
class Power:
    """What a comparison could have shown. Differences are in the metric's unit.

    `detectable` is shown by these rows four times of five. `seen_data_factor` is how many times as much data
    would show the difference that was seen, `minimum_data_factor` one of the `minimum_effect`; 1 or less: these rows would.
    """

    sample: SampleSize
    detectable: float
    minimum_effect: float
    seen_data_factor: float
    minimum_data_factor: float

    @property
    def advice(self) -> str:
        """What to tell someone whom the interval leaves without an answer."""
        if not math.isfinite(self.seen_data_factor):
            return "no difference seen"
        text = (
            f"can't tell: {self.sample.describe_increase(self.seen_data_factor)} to show a difference of the size "
            "seen (80 % power at 5 %)"
        )
        if not math.isfinite(self.minimum_data_factor):
            return text
        if self.minimum_data_factor <= 1:
            return f"{text}; one of {self.minimum_effect:.2g}, the minimum effect, would have shown in these"
        increase = self.sample.describe_increase(self.minimum_data_factor)
        return f"{text}; for one of {self.minimum_effect:.2g}, the minimum effect, {increase}".rstrip(",")


def compute_power(difference: float, error: float, minimum_effect: float, sample: SampleSize, width: float = TWO_SIDED) -> Power:
    """The power of a comparison whose difference has such a standard error; `width` ONE_SIDED for a one-sided question."""
    return Power(
        sample,
        width * error,
        minimum_effect,
        compute_data_factor(difference, error, width),
        compute_data_factor(minimum_effect, error, width),
    )


def compute_data_factor(difference: float, error: float, width: float = TWO_SIDED) -> float:
    """How many times as much data shows such a difference with the power; infinite for none.

    >>> round(compute_data_factor(1.0, 1 / TWO_SIDED), 9)
    1.0
    """
    if not difference or math.isnan(difference + error + width):
        return math.inf
    ratio = float(width * error / abs(difference))
    return ratio**2 if ratio < MAX_RATIO else math.inf


def count_sample(experiment: Experiment) -> SampleSize:
    """What the plan's test parts hold."""
    plan, kind = experiment.plan, experiment.task.target.traits
    rows = np.unique(np.concatenate([fold.test for fold in plan.folds]))
    clusters = None if plan.clusters is None else len(np.unique(plan.clusters[rows]))
    if clusters is not None and clusters > MIN_CLUSTER_SHARE * len(rows):
        clusters = None
    return SampleSize(kind.sample_unit, kind.count_sample(experiment.examples.y[rows]), clusters)
