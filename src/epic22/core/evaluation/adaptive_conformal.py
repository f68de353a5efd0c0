"""An 80 % interval whose width follows from how many stretches of time it was learned from, and from how often it has missed.

The quantiles of a family or a combination are stretched by a factor a horizon. It begins with what few independent stretches
cost (`compute_widening`) and then tracks coverage (adaptive conformal inference, Gibbs and Candès 2021, with delayed outcomes):
after each origin the outcomes that have come due move it, up where too many were missed; what is remembered fades, so that a
shock widens the intervals for a while and not for good. An outcome h periods ahead comes due late, so a horizon also listens to
all shorter ones, which tell of a shock first.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.backtest import OriginPlan
from epic22.core.evaluation.independent_stretches import (
    compute_supported_level,
    compute_widening,
    count_remembered_stretches,
    supports_level,
)
from epic22.core.models.panel.base import MEDIAN_INDEX
from epic22.core.models.panel.combination import combine_quantiles, spread_quantiles, stretch_quantiles
from epic22.core.time_series import Array, Frequency

LEVEL = 0.8
MISS_RATE = 0.2
MEMBERS_SHARE = 0.75
"""What earlier versions left of the members' mean half-width, whatever their weights."""

GAIN = 0.4
MEMORY = 0.7
"""The log factor moves by GAIN times the surplus of misses, and keeps MEMORY of itself from origin to origin."""

MAX_STRETCH = 4.0


class IntervalState(Protocol):
    """How a stored forecast makes quantiles of its members': `factors` (horizon,) stretch them, `stretches` (horizon,) tell how
    many independent stretches of time these were learned from, None where that was not stored."""

    @property
    def factors(self) -> tuple[float, ...]:
        """The factors (horizon,)."""

    @property
    def stretches(self) -> tuple[float, ...] | None:
        """The independent stretches (horizon,), None where that was not stored."""

    def compute_quantiles(self, members: Array, weights: Array) -> Array:
        """QUANTILE_LEVELS, (n, horizon, q), from the members' (m, n, horizon, q) and their weights (horizon, m)."""


@dataclass(frozen=True)
class StretchedState:
    """The factors by which the quantiles are stretched next, and the independent stretches that a level rests on."""

    factors: tuple[float, ...]
    stretches: tuple[float, ...]

    def compute_quantiles(self, members: Array, weights: Array) -> Array:
        """QUANTILE_LEVELS of the combination, stretched."""
        return stretch_quantiles(combine_quantiles(members, weights), np.array(self.factors))


@dataclass(frozen=True)
class AdaptiveState:
    """How earlier versions made the intervals: half-widths from all members but the naive rule, whatever their weights.

    `width_members` are the numbers of those members.
    """

    factors: tuple[float, ...]
    width_members: tuple[int, ...]
    stretches: None = None

    def compute_quantiles(self, members: Array, weights: Array) -> Array:
        """QUANTILE_LEVELS around the combination's median, ascending."""
        median = np.einsum("hm,mnh->nh", weights, members[..., MEDIAN_INDEX])
        stretched = compute_half_widths(members[list(self.width_members)]) * np.array(self.factors)[None, :]
        return spread_quantiles(median, stretched)


def compute_half_widths(members: Array) -> Array:
    """Half-widths of the 80 % interval that earlier versions gave members' quantiles (m, n, horizon, q): (n, horizon).

    A single family keeps its own.
    """
    own = (members[..., -1] - members[..., 0]) / 2
    if len(members) == 1:
        return np.asarray(own[0])
    disagreement = members[..., MEDIAN_INDEX].std(axis=0)
    return np.asarray(np.sqrt((MEMBERS_SHARE * own.mean(axis=0)) ** 2 + disagreement**2))


def describe_unsupported_level(n_stretches: float, horizon: int, frequency: Frequency) -> str | None:
    """Why no 80 % is stated at a horizon, and what can be; None where it is."""
    if supports_level(n_stretches, LEVEL):
        return None
    return (
        f"{n_stretches:.1f} independent stretches of {frequency.format_periods(horizon)} support "
        f"{int(100 * compute_supported_level(n_stretches))} % at most"
    )


@dataclass(frozen=True)
class AdaptedIntervals:
    """The quantiles at every row (n, horizon, q), stretched as was known at the row's origin, and the state after the last."""

    quantiles: Array
    state: StretchedState


def adapt_intervals(quantiles: Array, examples: PanelExamples, plan: OriginPlan, adaptive: bool = True) -> AdaptedIntervals:
    """The quantiles (n, horizon, q) of one candidate, stretched origin by origin.

    Not `adaptive`: the factor is the plain conformal one, from all outcomes known before the first test origin, and stays.
    """
    size = compute_sizes(quantiles, examples.Y)
    stretches = count_calibrating_stretches(plan)
    if not adaptive:
        factors = _fit_constant_factors(size, examples.origin, plan)
        return AdaptedIntervals(stretch_quantiles(quantiles, factors), StretchedState(tuple(factors), stretches))
    log, used = np.zeros(plan.horizon), dict[int, Array]()
    by_row = np.ones(size.shape)
    # One step past the last origin at a time, until every outcome is due: the state that the next forecasts start from.
    for now in range(int(plan.origins[0]), int(plan.test[-1]) + plan.horizon + 1):
        log = _update_factors(log, size, examples.origin, used, now)
        factors = np.exp(log) * _widen_by_stretches(now, plan)
        rows = examples.origin == now
        if rows.any():
            by_row[rows] = used[now] = factors
    return AdaptedIntervals(stretch_quantiles(quantiles, by_row), StretchedState(tuple(float(f) for f in factors), stretches))


def count_calibrating_stretches(plan: OriginPlan) -> tuple[float, ...]:
    """Independent stretches (horizon,) known before the first test origin: what the test has judged rests on these."""
    horizons = range(1, plan.horizon + 1)
    return tuple(plan.count_effective_blocks(h, max(0, len(plan.earlier) - h + 1)) for h in horizons)


def compute_sizes(quantiles: Array, Y: Array) -> Array:
    """Errors in units of the 80 % interval's end on their side, (n, horizon); above 1 they lie outside."""
    median = quantiles[..., MEDIAN_INDEX]
    side = np.where(median > Y, median - quantiles[..., 0], quantiles[..., -1] - median)
    return np.asarray(np.abs(Y - median) / np.maximum(side, 1e-12))


def _widen_by_stretches(now: int, plan: OriginPlan) -> Array:
    known = [int((plan.origins + h <= now).sum()) for h in range(1, plan.horizon + 1)]
    return np.array([compute_widening(count_remembered_stretches(n, h), LEVEL) for h, n in enumerate(known, start=1)])


def _update_factors(log: Array, size: Array, origins: Array, used: dict[int, Array], now: int) -> Array:
    """The log factors after the outcomes that came due at period `now`."""
    surplus = np.full(len(log), np.nan)
    for h in range(len(log)):
        then = now - h - 1
        if then in used:
            due = size[origins == then, h]
            due = due[np.isfinite(due)]
            if len(due):
                surplus[h] = (due > used[then][h]).mean() - MISS_RATE
    known = np.isfinite(surplus)
    count = np.cumsum(known)
    smoothed = np.where(count > 0, np.cumsum(np.where(known, surplus, 0.0)) / np.maximum(count, 1), 0.0)
    bound = np.log(MAX_STRETCH)
    return np.clip((log + GAIN * smoothed) * (MEMORY if known.any() else 1.0), -bound, bound)


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
