"""A season that all series of a panel share, told apart from chance by how steadily it returns year after year.

It lives in growth space, in units of each series' own volatility. The changes of every series less their centred mean over a
cycle are averaged over the series; the means of these averages by place in the cycle are shrunk to the share of their spread that
is not chance (empirical Bayes, Efron and Morris 1973). One series' season rests on the few cycles it has, this one on all series.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.time_series import Array, Histories

MIN_CYCLES = 2


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
