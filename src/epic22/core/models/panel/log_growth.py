"""Growth space: where changes are comparable from series to series and from year to year.

A row whose recent values all lie well above zero is seen in logarithms, any other in units of its own recent level, so that a
change of 0.01 is about one per cent of the level in both.

The season that all series of a panel share lives there, in units of each series' own volatility, told apart from chance by how
steadily it returns. The changes of every series less their centred mean over a cycle are averaged over the series; the means of
these averages by place in the cycle are shrunk to the share of their spread that is not chance (empirical Bayes, Efron and Morris
1973). One series' season rests on the few cycles it has, this one on all series.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from epic22.core.time_series import Array, Histories

MIN_LOG_SHARE = 0.1
"""Logarithms are taken where the least recent value is more than this share of the recent level."""

FLOOR_SHARE = 0.01
MIN_VOLATILITY_SHARE = 0.05
"""A series is taken for at least this share as lively as the usual one: a flat line would otherwise have no scale at all."""

MAX_CHANGE = 50.0

MIN_CYCLES = 2


def window_length(season: int) -> int:
    """How many last values a row is seen by: three cycles and one."""
    return 3 * season + 1 if season > 4 else 25


@dataclass(frozen=True)
class LogGrowth:
    """The last values of n histories in growth space: `z` (n, steps), oldest first, NaN before a line's beginning.

    `typical_volatility` is the panel's usual volatility, 0 where it is not known yet.
    """

    histories: Histories
    season: int
    typical_volatility: float = 0.0

    @cached_property
    def window(self) -> Array:
        """The last values as they are, (n, steps)."""
        return self.histories.window(window_length(self.season))

    @cached_property
    def level(self) -> Array:
        """Mean absolute value over the last two cycles, (n,); 1 where all are zero."""
        recent = np.abs(self.window[:, -max(2 * self.season, 12) :])
        mean = np.nansum(recent, axis=1) / np.maximum(np.isfinite(recent).sum(axis=1), 1)
        return np.where(mean > 0, mean, 1.0)

    @cached_property
    def is_log(self) -> Array:
        """Which rows are seen in logarithms, (n,)."""
        minimum = np.min(np.where(np.isfinite(self.window), self.window, np.inf), axis=1)
        return np.asarray((minimum > MIN_LOG_SHARE * self.level) & np.isfinite(minimum))

    def transform(self, values: Array) -> Array:
        """Values (n, …) of the series as values of this space."""
        level, logs = self._broadcast_scale(values)
        with np.errstate(invalid="ignore"):
            logarithm = np.log(np.maximum(values, FLOOR_SHARE * level) / level)
        return np.asarray(np.where(logs, logarithm, values / level))

    def inverse_transform(self, z: Array) -> Array:
        """Values (n, …) of this space as values of the series."""
        level, logs = self._broadcast_scale(z)
        return np.asarray(level * np.where(logs, np.exp(np.clip(np.where(logs, z, 0.0), -MAX_CHANGE, MAX_CHANGE)), z))

    def _broadcast_scale(self, values: Array) -> tuple[Array, Array]:
        shape = (-1, *[1] * (values.ndim - 1))
        return self.level.reshape(shape), self.is_log.reshape(shape)

    @cached_property
    def z(self) -> Array:
        """The last values in this space, (n, steps)."""
        return self.transform(self.window)

    @cached_property
    def changes(self) -> Array:
        """One-period changes, (n, steps - 1)."""
        return np.diff(self.z, axis=1)

    @cached_property
    def volatility(self) -> Array:
        """Root mean square of the one-period changes of the last two cycles, (n,); never zero."""
        own = self.own_volatility
        typical = self.typical_volatility if self.typical_volatility > 0 else 1.0
        return np.maximum(np.where(np.isfinite(own), own, typical), MIN_VOLATILITY_SHARE * typical)

    @cached_property
    def own_volatility(self) -> Array:
        """The `volatility` of each row by itself, without a floor; NaN where there are no two values."""
        recent = self.changes[:, -max(2 * self.season, 12) :]
        count = np.isfinite(recent).sum(axis=1)
        return np.where(count > 0, np.sqrt(np.nansum(recent**2, axis=1) / np.maximum(count, 1)), np.nan)

    def compute_changes(self, targets: Array) -> Array:
        """Changes from the origin to later values (n, horizon)."""
        return np.asarray(self.transform(targets) - self.z[:, -1:])


def compute_typical_volatility(past: Histories, season: int) -> float:
    """The median volatility of a panel's series, 1 where none has any."""
    own = LogGrowth(past, season).own_volatility
    positive = own[np.isfinite(own) & (own > 0)]
    return float(np.median(positive)) if len(positive) else 1.0


def compute_seasonal_changes(window: Array, season: int, horizon: int) -> Array:
    """The change over the same span one cycle ago, for h = 1…horizon, (n, horizon): z[h - k·season] - z[-k·season].

    k is the least whole number of cycles that makes both values known; NaN where the window does not reach.

    >>> compute_seasonal_changes(np.array([[1.0, 5.0, 2.0, 6.0, 3.0]]), season=2, horizon=3).tolist()
    [[4.0, 1.0, 5.0]]
    """
    n, steps = window.shape
    out = np.full((n, horizon), np.nan)
    for h in range(1, horizon + 1):
        early = steps - 1 - -(-h // season) * season
        if early >= 0:
            out[:, h - 1] = window[:, early + h] - window[:, early]
    return out


@dataclass(frozen=True)
class Deseasonalized(LogGrowth):
    """Histories in growth space with `seasonal` (n, steps) out of their values."""

    seasonal: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @cached_property
    def z(self) -> Array:
        """The last values in this space without the season, (n, steps)."""
        return np.asarray(self.transform(self.window) - self.seasonal)


def estimate_shared_season(past: Histories, season: int, typical_volatility: float) -> Array:
    """Seasonal levels by place in the cycle (ordinal modulo `season`), (season,), in volatilities; zeros where there is none.

    `past` holds one row a series, `typical_volatility` is the panel's usual volatility.
    """
    no_season = np.zeros(max(season, 1))
    if season < 2 or not len(past):
        return no_season
    growth = LogGrowth(past, season, typical_volatility)
    observed = past.lines[past.line, : int(past.end.max())]
    observed = np.where(np.arange(observed.shape[1])[None, :] < past.end[:, None], observed, np.nan)
    moves = np.diff(growth.transform(observed), axis=1) / growth.volatility[:, None]
    residuals = _subtract_cycle_mean(moves, season)
    count = np.isfinite(residuals).sum(axis=0)
    average = np.where(count > 0, np.nansum(residuals, axis=0) / np.maximum(count, 1), np.nan)
    place = (past.first + 1 + np.arange(len(average))) % season
    of_place = [average[(place == p) & np.isfinite(average)] for p in range(season)]
    if min(len(values) for values in of_place) < MIN_CYCLES:
        return no_season
    effect = np.array([values.mean() for values in of_place])
    effect -= effect.mean()
    chance = float(np.mean([values.var(ddof=1) / len(values) for values in of_place]))
    signal = max(0.0, float((effect**2).mean()) - chance)
    if signal == 0.0:
        return no_season
    return np.asarray(np.cumsum(effect * signal / (signal + chance)))


def _subtract_cycle_mean(moves: Array, season: int) -> Array:
    """Changes (n, t) less their centred mean over one cycle; NaN where the cycle around a change is not known."""
    half, steps = season // 2, moves.shape[1]
    residuals = np.full(moves.shape, np.nan)
    if steps < 2 * half + 1:
        return residuals
    around = np.lib.stride_tricks.sliding_window_view(moves, 2 * half + 1, axis=1)
    weight = np.ones(2 * half + 1)
    if season % 2 == 0:
        weight[0] = weight[-1] = 0.5
    residuals[:, half : steps - half] = moves[:, half : steps - half] - np.einsum("ntk,k->nt", around, weight) / season
    return residuals


def compute_seasonal_levels(levels: Array, growth: LogGrowth, steps: Array) -> Array:
    """The shared season at `steps` periods after each origin, less that at the origin, in growth space, (n, steps)."""
    origin = growth.histories.origin
    place = (origin[:, None] + steps[None, :]) % len(levels)
    return np.asarray((levels[place] - levels[origin % len(levels)][:, None]) * growth.volatility[:, None])


def remove_season(growth: LogGrowth, levels: Array) -> LogGrowth:
    """The same rows with the shared season taken out of their values."""
    back = np.arange(1 - growth.window.shape[1], 1)
    return Deseasonalized(
        growth.histories, growth.season, growth.typical_volatility, compute_seasonal_levels(levels, growth, back)
    )
