"""Intervals and sets that hold: conformal prediction from out-of-fold responses.

After Vovk, Gammerman and Shafer (2005) and Lei et al. (2018), out of fold as in Vovk (2015) and Barber et al. (2021). This is the
state a bundle holds and answers from. How intervals are chosen is in `interval_selection`, what they cover in `coverage`.
n = rows, k = classes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from epic22.core.serialization import collect_views, view
from epic22.core.targets import lift_to_floor
from epic22.core.task import Array

COVERAGE = 0.9
MIN_ROWS_PER_THRESHOLD = 30
"""Classes with fewer out-of-fold rows share a threshold with the next rarer ones."""

IntervalKind = Literal["constant", "scaled", "relative", "quantiles"]


def conformal_quantile(scores: Array, weight: Array, level: float) -> float:
    """The ⌈(n + 1)·level⌉-th smallest of n scores, infinite where there are too few for the level.

    `weight` (n,) is what each score counts; a row with several scores counts once in all, so n is the number of rows. Of rows
    drawn alike, a share of at least `level` of new scores is at or below it.

    >>> conformal_quantile(np.arange(1.0, 20.0), np.ones(19), 0.9)
    18.0
    >>> conformal_quantile(np.arange(1.0, 9.0), np.ones(8), 0.9)
    inf
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weight[order])
    # Sums of fractions of rows are off by rounding: less than a millionth of a row is none.
    place = int(np.searchsorted(reached, level * (float(np.sum(weight)) + 1) - 1e-6))
    return float(scores[order][place]) if place < len(scores) else math.inf


@dataclass(frozen=True)
class ConstantInterval:
    """value ± `half_width` covers a share `coverage` of outcomes, if the future is like the rows seen."""

    coverage: float
    half_width: float
    uses_quantiles: ClassVar[bool] = False
    floor: ClassVar[float | None] = None

    def compute_intervals(self, values: Array, quantiles: Array | None = None) -> tuple[Array, Array]:
        """The intervals around values, (n,) each."""
        return values - self.half_width, values + self.half_width


@dataclass(frozen=True)
class AdaptiveInterval:
    """An interval as wide as outcomes scatter around such a value, to either side by its own measure.

    `lower_margin` and `upper_margin` are what is taken off and added: in the label's unit (constant), in units of the scatter
    expected at the value (scaled: linear between `centres`, each with its `scatter`, level beyond them), or in natural logarithms
    (relative; a value below `min_value`, the smallest answer seen, counts as that). Of a model that states its own quantiles they
    are taken off its lowest one and added to its highest one, and may be below 0 (quantiles: Romano, Patterson and Candès 2019).
    No end lies below `floor`, the target's. The value is always inside, unless it is itself below `floor`.

    >>> AdaptiveInterval(0.9, "scaled", 2.0, 3.0, (0.0, 10.0), (1.0, 2.0)).compute_intervals(np.array([5.0]))
    (array([2.]), array([9.5]))
    """

    coverage: float
    kind: IntervalKind
    lower_margin: float
    upper_margin: float
    centres: tuple[float, ...] = ()
    scatter: tuple[float, ...] = ()
    min_value: float = 0.0
    floor: float | None = None

    @property
    def uses_quantiles(self) -> bool:
        """Whether it lies around the model's own quantiles."""
        return self.kind == "quantiles"

    def compute_intervals(self, values: Array, quantiles: Array | None = None) -> tuple[Array, Array]:
        """The intervals around values, (n,) each; `quantiles` (n, q) are the model's own, where it `uses_quantiles`."""
        low, high = self._compute_unbounded(values, quantiles)
        low, high = np.minimum(low, values), np.maximum(high, values)
        return lift_to_floor(low, self.floor), lift_to_floor(high, self.floor)

    def _compute_unbounded(self, values: Array, quantiles: Array | None) -> tuple[Array, Array]:
        if self.uses_quantiles and quantiles is not None:
            return quantiles[:, 0] - self.lower_margin, quantiles[:, -1] + self.upper_margin
        if self.kind == "constant":
            return values - self.lower_margin, values + self.upper_margin
        if self.kind == "scaled":
            scatter = np.interp(values, self.centres, self.scatter)
            return values - self.lower_margin * scatter, values + self.upper_margin * scatter
        middle = np.maximum(values, self.min_value)
        return middle * math.exp(-self.lower_margin), middle * math.exp(self.upper_margin)


ConformalInterval = ConstantInterval | AdaptiveInterval

STORED_FIELDS = {"lower": "lower_margin", "upper": "upper_margin", "smallest": "min_value", "least": "floor"}
"""Fields of an interval that are stored under an older name."""


def restore_interval(state: Mapping[str, Any]) -> ConformalInterval:
    """The interval of a state; those of the first bundles have a half width. ValueError for a state that is not known."""
    if "half_width" in state:
        return ConstantInterval(**state)
    fields: dict[str, Any] = {STORED_FIELDS.get(name, name): tuple(v) if isinstance(v, list) else v for name, v in state.items()}
    interval = AdaptiveInterval(**fields)
    lacks_scale = interval.kind == "scaled" and not (interval.centres and len(interval.centres) == len(interval.scatter))
    if interval.kind not in get_args(IntervalKind) or lacks_scale or (interval.kind == "relative" and interval.min_value <= 0):
        raise ValueError(f"a band of kind {interval.kind!r} with {len(interval.centres)} centres is not known")
    return interval


@dataclass(frozen=True)
class ClassSets:
    """Which classes the outcome may be of: the likeliest, and those whose probability reaches their class's own threshold.

    At least a share `coverage` of the rows of each class has a set that holds it, if the future is like the rows seen.
    `threshold_groups` says which classes share a threshold: a rare class has one with others as rare.
    """

    coverage: float
    thresholds: tuple[float, ...]
    threshold_groups: tuple[int, ...]

    def contains(self, probabilities: Array) -> Array:
        """Whether each class is in the set, (n, k) booleans of probabilities (n, k)."""
        in_set = probabilities >= np.array(self.thresholds)
        # Without it a machine that fails with 5 % would be said to fail for sure: few healthy ones have so much.
        in_set[np.arange(len(in_set)), probabilities.argmax(axis=1)] = True
        return np.asarray(in_set)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "ClassSets":
        """The sets of a state; ValueError where thresholds and cells do not match."""
        sets = cls(float(state["coverage"]), tuple(map(float, state["thresholds"])), tuple(map(int, state["cells"])))
        if len(sets.thresholds) != len(sets.threshold_groups) or not sets.threshold_groups:
            raise ValueError(f"{len(sets.thresholds)} thresholds do not match {len(sets.threshold_groups)} cells")
        return sets


CONFORMAL_VIEWS = collect_views(
    view(
        AdaptiveInterval,
        "coverage kind lower=lower_margin upper=upper_margin centres? scatter? smallest? least?=floor",
        centres=lambda interval: interval.centres or None,
        scatter=lambda interval: interval.scatter or None,
        smallest=lambda interval: interval.min_value or None,
    ),
    view(ClassSets, "coverage thresholds cells=threshold_groups"),
)
"""What is stored of intervals, all but what does not belong to their kind, and of sets."""


def fit_sets(probabilities: Array, y: Array, weight: Array, coverage: float = COVERAGE) -> ClassSets | None:
    """Sets from out-of-fold probabilities (n, k), class codes (n,) and what each row counts (n,); None without rows.

    Least ambiguous sets with a threshold a class (Sadinle, Lei and Wasserman 2019): the outcome's own probability is ranked among
    those of the rows of its class. A class with too few rows for the level is in every set.
    """
    if not len(y):
        return None
    codes = y.astype(np.int64)
    own = probabilities[np.arange(len(codes)), codes]
    groups = _assign_threshold_groups(np.bincount(codes, weights=weight, minlength=probabilities.shape[1]))
    of_rows = np.array(groups)[codes]
    thresholds = [-conformal_quantile(-own[of_rows == g], weight[of_rows == g], coverage) for g in range(max(groups) + 1)]
    return ClassSets(coverage, tuple(max(thresholds[group], 0.0) for group in groups), groups)


def _assign_threshold_groups(rows: Array) -> tuple[int, ...]:
    """The threshold group of each class with this many rows (k,): its own, or one shared by the rarest where these have few."""
    order = np.argsort(rows, kind="stable")
    cumulative_rows = np.cumsum(rows[order])
    rarest = int((rows < MIN_ROWS_PER_THRESHOLD).sum())
    shared = max(rarest, int(np.searchsorted(cumulative_rows, MIN_ROWS_PER_THRESHOLD)) + 1) if rarest else 0
    groups = np.zeros(len(rows), dtype=np.int64)
    own = np.setdiff1d(np.arange(len(rows)), order[:shared])
    groups[own] = np.arange(len(own)) + (1 if shared else 0)
    return tuple(int(group) for group in groups)


def expand_binary(probability: Array) -> Array:
    """Probabilities of both classes, (n, 2), from that of the positive one, (n,)."""
    return np.column_stack([1 - probability, probability])
