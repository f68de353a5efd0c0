"""An 80 % interval around a combination, whose width follows from the members and from how often it has missed of late.

Width: the members' own half-widths, less what averaging takes off their errors, and their disagreement, added as independent
errors are. A factor then tracks coverage (adaptive conformal inference, Gibbs and Candès 2021, with delayed outcomes): after
each origin the outcomes that have come due move it, up where too many were missed; what is remembered fades, so that a shock
widens the intervals for a while and not for good. An outcome h periods ahead comes due late, so a horizon also listens to all
shorter ones, which tell of a shock first.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.backtest import OriginPlan
from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS, sort_quantiles
from epic22.core.time_series import Array

MISS_RATE = 0.2
MEMBERS_SHARE = 0.75
"""What is left of the members' mean half-width once they are averaged: as for four members whose errors correlate at 0.4."""

GAIN = 0.4
MEMORY = 0.7
"""The log factor moves by GAIN times the surplus of misses, and keeps MEMORY of itself from origin to origin."""

MAX_STRETCH = 4.0
QUANTILE_POSITIONS = stats.norm.ppf(QUANTILE_LEVELS) / stats.norm.ppf(QUANTILE_LEVELS[-1])
"""Where each of QUANTILE_LEVELS lies between the median (0) and the interval's upper end (1)."""


@dataclass(frozen=True)
class AdaptiveState:
    """The factors (horizon,) by which the half-widths are stretched next."""

    factors: tuple[float, ...]

    def compute_quantiles(self, median: Array, half: Array) -> Array:
        """QUANTILE_LEVELS around medians (n, horizon) with half-widths (n, horizon): (n, horizon, q), ascending."""
        stretched = half * np.array(self.factors)[None, :]
        return spread_quantiles(median, stretched)


def spread_quantiles(median: Array, half: Array) -> Array:
    """QUANTILE_LEVELS around a median whose 80 % interval has this half-width, (…, q), ascending."""
    return sort_quantiles(median[..., None] + half[..., None] * QUANTILE_POSITIONS)


def compute_half_widths(members: Array) -> Array:
    """Half-widths of the 80 % interval around a combination of members' quantiles (m, n, horizon, q): (n, horizon).

    A single family keeps its own.
    """
    own = (members[..., -1] - members[..., 0]) / 2
    if len(members) == 1:
        return np.asarray(own[0])
    disagreement = members[..., MEDIAN_INDEX].std(axis=0)
    return np.asarray(np.sqrt((MEMBERS_SHARE * own.mean(axis=0)) ** 2 + disagreement**2))


@dataclass(frozen=True)
class AdaptedIntervals:
    """The half-widths at every row (n, horizon), stretched as was known at the row's origin, and the state after the last."""

    half_width: Array
    state: AdaptiveState

    def compute_quantiles(self, median: Array) -> Array:
        """QUANTILE_LEVELS around the medians, (n, horizon, q)."""
        return spread_quantiles(median, self.half_width)


def adapt_intervals(
    median: Array, members: Array, examples: PanelExamples, plan: OriginPlan, adaptive: bool = True
) -> AdaptedIntervals:
    """The intervals around medians (n, horizon), origin by origin.

    Not `adaptive`: the factor is the plain conformal one, from all outcomes known before the first test origin, and stays.
    """
    half = compute_half_widths(members)
    size = np.abs(examples.Y - median) / np.maximum(half, 1e-12)
    if not adaptive:
        factors = _fit_constant_factors(size, examples.origin, plan)
        return AdaptedIntervals(half * factors[None, :], AdaptiveState(tuple(factors)))
    log = np.zeros(plan.horizon)
    used: dict[int, Array] = {}
    stretched = half.copy()
    # One step past the last origin at a time, until every outcome is due: the state that the next forecasts start from.
    for origin in range(int(plan.origins[0]), int(plan.test[-1]) + plan.horizon + 1):
        log = _update_factors(log, size, examples.origin, used, origin)
        rows = examples.origin == origin
        if rows.any():
            used[origin] = np.exp(log)
            stretched[rows] = half[rows] * used[origin][None, :]
    return AdaptedIntervals(stretched, AdaptiveState(tuple(float(f) for f in np.exp(log))))


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
