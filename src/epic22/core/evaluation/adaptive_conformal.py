"""An 80 % interval whose width follows from how many stretches of time it was learned from, and from its errors of late.

The quantiles of a family or a combination are stretched by a factor a horizon. It is the conformal one of the errors known so
far, as far as there are independent stretches that tell of it, and wider for being learned from few of them
(`compute_widening`). Older errors count less (conformal prediction beyond exchangeability, Barber et al. 2023), so that a shock
widens the intervals for a while and not for good. An outcome h periods ahead comes due late, so a horizon also listens to all
shorter ones, which tell of a shock first, and have more stretches.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.backtest import OriginPlan
from epic22.core.evaluation.independent_stretches import (
    STRETCH_HALF_LIFE,
    compute_supported_level,
    compute_widening,
    count_remembered_stretches,
    supports_level,
)
from epic22.core.models.panel.base import MEDIAN_INDEX
from epic22.core.models.panel.combination import combine_quantiles, spread_quantiles, stretch_quantiles
from epic22.core.models.panel.floor import lift_quantiles
from epic22.core.time_series import Array, Frequency

LEVEL = 0.8
MISS_RATE = 0.2
TOLERANCE = 0.08
"""An interval that held less than LEVEL by more than this on the test is not said to hold LEVEL."""

MEMBERS_SHARE = 0.75
"""What earlier versions left of the members' mean half-width, whatever their weights."""

MAX_STRETCH = 4.0
PRIOR_STRETCHES = 8.0
"""As many stretches as the family's own width is taken to be worth: with as many the factor is halfway to the conformal one."""


class IntervalState(Protocol):
    """How a stored forecast makes quantiles of its members': `factors` (horizon,) stretch them, `stretches` (horizon,) tell how
    many independent stretches of time these were learned from, None where that was not stored."""

    @property
    def factors(self) -> tuple[float, ...]:
        """The factors (horizon,)."""

    @property
    def stretches(self) -> tuple[float, ...] | None:
        """The independent stretches (horizon,), None where that was not stored."""

    @property
    def coverage(self) -> tuple[float, ...] | None:
        """What the intervals held of the test's values (horizon,), in per cent; None where that was not stored."""

    def compute_quantiles(self, members: Array, weights: Array) -> Array:
        """QUANTILE_LEVELS, (n, horizon, q), from the members' (m, n, horizon, q) and their weights (horizon, m)."""

    def explain_level(self, horizon: int, frequency: Frequency) -> str | None:
        """Why 80 % is not stated of a horizon, in words; None where it is."""


@dataclass(frozen=True)
class StretchedState:
    """The factors by which the quantiles are stretched next, the independent stretches that a level rests on, and what the
    intervals held of the test's values, in per cent."""

    factors: tuple[float, ...]
    stretches: tuple[float, ...]
    coverage: tuple[float, ...] = ()

    def compute_quantiles(self, members: Array, weights: Array) -> Array:
        """QUANTILE_LEVELS of the combination, stretched."""
        return stretch_quantiles(combine_quantiles(members, weights), np.array(self.factors))

    def explain_level(self, horizon: int, frequency: Frequency) -> str | None:
        """Why 80 % is not stated of a horizon: too few stretches, or a test that it did not pass."""
        n, share = self.stretches[horizon - 1], self.coverage[horizon - 1] if self.coverage else 100 * LEVEL
        if not supports_level(n, LEVEL):
            most = int(100 * compute_supported_level(n))
            return f"{n:.1f} independent stretches of {frequency.format_periods(horizon)} support {most} % at most"
        if share < 100 * (LEVEL - TOLERANCE):
            return f"it held only {share:.0f} % of the test's values"
        return None


@dataclass(frozen=True)
class AdaptiveState:
    """How earlier versions made the intervals: half-widths from all members but the naive rule, whatever their weights.

    `width_members` are the numbers of those members.
    """

    factors: tuple[float, ...]
    width_members: tuple[int, ...]
    stretches: None = None
    coverage: None = None

    def compute_quantiles(self, members: Array, weights: Array) -> Array:
        """QUANTILE_LEVELS around the combination's median, ascending."""
        median = np.einsum("hm,mnh->nh", weights, members[..., MEDIAN_INDEX])
        stretched = compute_half_widths(members[list(self.width_members)]) * np.array(self.factors)[None, :]
        return spread_quantiles(median, stretched)

    def explain_level(self, horizon: int, frequency: Frequency) -> None:
        """Nothing: what would tell was not stored."""


def compute_half_widths(members: Array) -> Array:
    """Half-widths of the 80 % interval that earlier versions gave members' quantiles (m, n, horizon, q): (n, horizon).

    A single family keeps its own.
    """
    own = (members[..., -1] - members[..., 0]) / 2
    if len(members) == 1:
        return np.asarray(own[0])
    disagreement = members[..., MEDIAN_INDEX].std(axis=0)
    return np.asarray(np.sqrt((MEMBERS_SHARE * own.mean(axis=0)) ** 2 + disagreement**2))


@dataclass(frozen=True)
class AdaptedIntervals:
    """The quantiles at every row (n, horizon, q), stretched as was known at the row's origin, and the state after the last."""

    quantiles: Array
    state: StretchedState

    def lift(self, is_floored: Array) -> "AdaptedIntervals":
        """The same with none below zero of the rows (n,) that have no forecast there, as they are served."""
        return replace(self, quantiles=lift_quantiles(self.quantiles, is_floored))


def adapt_intervals(quantiles: Array, examples: PanelExamples, plan: OriginPlan, adaptive: bool = True) -> AdaptedIntervals:
    """The quantiles (n, horizon, q) of one candidate, stretched origin by origin.

    Series that have never moved tell nothing of how often the others are missed, and take no part.

    Not `adaptive`: the factor is the plain conformal one, from all outcomes known before the first test origin, and stays.
    """
    size = np.where(examples.histories.is_lively()[:, None], compute_sizes(quantiles, examples.Y), np.nan)
    stretches = count_calibrating_stretches(plan)
    if not adaptive:
        constant = _fit_constant_factors(size, examples.origin, plan)
        return AdaptedIntervals(stretch_quantiles(quantiles, constant), StretchedState(tuple(constant), stretches))
    origin = examples.origin - int(plan.origins[0])
    errors, by_row = RememberedErrors.of(size, origin), np.ones(size.shape)
    for now in np.unique(origin):
        by_row[origin == now] = errors.compute_factors(int(now))
    # The next forecasts start when every outcome is due.
    latest = errors.compute_factors(int(plan.test[-1] - plan.origins[0]) + plan.horizon)
    return AdaptedIntervals(stretch_quantiles(quantiles, by_row), StretchedState(tuple(float(f) for f in latest), stretches))


@dataclass(frozen=True)
class RememberedErrors:
    """Errors in units of the interval's end, for each horizon ascending, with the number of the origin of each, and how many
    there are of each origin (origins, horizon)."""

    sizes: tuple[Array, ...]
    origin: tuple[Array, ...]
    counts: Array

    @classmethod
    def of(cls, size: Array, origin: Array) -> "RememberedErrors":
        """Of sizes (n, horizon), NaN where there is no target, and the numbers of the rows' origins."""
        orders = [
            known[np.argsort(column[known], kind="stable")]
            for column in size.T
            for known in [np.flatnonzero(np.isfinite(column))]
        ]
        counts = np.stack([np.bincount(origin[order], minlength=int(origin.max()) + 1) for order in orders], axis=1)
        return cls(tuple(size[order, h] for h, order in enumerate(orders)), tuple(origin[order] for order in orders), counts)

    def compute_factors(self, now: int) -> Array:
        """The factor of each horizon by the outcomes known at origin number `now`, (horizon,).

        A horizon also listens to the shorter ones, which have more stretches: each counts by as many as it has, its factor as
        well as the widening for what that rests on.
        """
        horizons = range(1, len(self.sizes) + 1)
        known = [int((self.counts[: max(now - h + 1, 0), h - 1] > 0).sum()) for h in horizons]
        stretches = np.array([n / h for h, n in enumerate(known, start=1)])
        own = np.array([self._compute_conformal_log_factor(now, h) for h in horizons])
        shrunk = own * stretches / (stretches + PRIOR_STRETCHES)
        widening = [compute_widening(count_remembered_stretches(n, h), LEVEL) for h, n in enumerate(known, start=1)]
        weight = np.maximum(stretches, 1e-9)
        return np.asarray(np.exp(np.cumsum((shrunk + np.log(widening)) * weight) / np.cumsum(weight)))

    def _compute_conformal_log_factor(self, now: int, horizon: int) -> float:
        """By the errors of a horizon known at `now`, each origin alike but older ones counting less; 0 where there is none."""
        counts = self.counts[:, horizon - 1]
        age = now - horizon - np.arange(len(counts))
        weights = np.where((age >= 0) & (counts > 0), 0.5 ** (np.maximum(age, 0) / (STRETCH_HALF_LIFE * horizon)), 0.0)
        by_error = np.cumsum((weights / np.maximum(counts, 1))[self.origin[horizon - 1]])
        if not len(by_error) or by_error[-1] == 0:
            return 0.0
        factor = self.sizes[horizon - 1][min(int(np.searchsorted(by_error, LEVEL * by_error[-1])), len(by_error) - 1)]
        return float(np.clip(np.log(max(float(factor), 1e-12)), -np.log(MAX_STRETCH), np.log(MAX_STRETCH)))


def count_calibrating_stretches(plan: OriginPlan) -> tuple[float, ...]:
    """Independent stretches (horizon,) known before the first test origin: what the test has judged rests on these."""
    horizons = range(1, plan.horizon + 1)
    return tuple(plan.count_effective_blocks(h, max(0, len(plan.earlier) - h + 1)) for h in horizons)


def compute_sizes(quantiles: Array, Y: Array) -> Array:
    """Errors in units of the 80 % interval's end on their side, (n, horizon); above 1 they lie outside."""
    median = quantiles[..., MEDIAN_INDEX]
    side = np.where(median > Y, median - quantiles[..., 0], quantiles[..., -1] - median)
    return np.asarray(np.abs(Y - median) / np.maximum(side, 1e-12))


def _fit_constant_factors(size: Array, origins: Array, plan: OriginPlan) -> Array:
    factors = np.ones(plan.horizon)
    first = int(plan.test[0])
    for h in range(plan.horizon):
        known = size[(origins + h + 1 <= first), h]
        known = known[np.isfinite(known)]
        if len(known):
            rank = min(int(np.ceil((len(known) + 1) * (1 - MISS_RATE))), len(known))
            factors[h] = np.sort(known)[rank - 1]
    return factors
