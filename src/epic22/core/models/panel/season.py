"""A season that all series of a panel share, told apart from chance by how steadily it returns year after year.

It lives in growth space, in units of each series' own volatility. The changes of every series less their centred mean over a
cycle are averaged over the series; the means of these averages by place in the cycle are shrunk to the share of their spread that
is not chance (empirical Bayes, Efron and Morris 1973). One series' season rests on the few cycles it has, this one on all series.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from epic22.core.history import Array, Histories
from epic22.core.models.panel.growth import Growth

LEAST_CYCLES = 2


@dataclass(frozen=True)
class WithoutSeason(Growth):
    """Histories in growth space with `taken` (n, steps) out of their values."""

    taken: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @cached_property
    def z(self) -> Array:
        """The last values in this space without the season, (n, steps)."""
        return np.asarray(self.enter(self.window) - self.taken)


def shared_season(past: Histories, season: int, usual: float) -> Array:
    """Seasonal levels by place in the cycle (ordinal modulo `season`), (season,), in volatilities; zeros where there is none.

    `past` holds one row a series, `usual` is the panel's usual volatility.
    """
    nothing = np.zeros(max(season, 1))
    if season < 2 or not len(past):
        return nothing
    growth = Growth(past, season, usual)
    known = past.lines[past.line, : int(past.end.max())]
    known = np.where(np.arange(known.shape[1])[None, :] < past.end[:, None], known, np.nan)
    moves = np.diff(growth.enter(known), axis=1) / growth.volatility[:, None]
    left = _less_their_cycle(moves, season)
    count = np.isfinite(left).sum(axis=0)
    average = np.where(count > 0, np.nansum(left, axis=0) / np.maximum(count, 1), np.nan)
    place = (past.first + 1 + np.arange(len(average))) % season
    of_place = [average[(place == p) & np.isfinite(average)] for p in range(season)]
    if min(len(values) for values in of_place) < LEAST_CYCLES:
        return nothing
    effect = np.array([values.mean() for values in of_place])
    effect -= effect.mean()
    chance = float(np.mean([values.var(ddof=1) / len(values) for values in of_place]))
    signal = max(0.0, float((effect**2).mean()) - chance)
    if signal == 0.0:
        return nothing
    return np.asarray(np.cumsum(effect * signal / (signal + chance)))


def _less_their_cycle(moves: Array, season: int) -> Array:
    """Changes (n, t) less their centred mean over one cycle; NaN where the cycle around a change is not known."""
    half, steps = season // 2, moves.shape[1]
    left = np.full(moves.shape, np.nan)
    if steps < 2 * half + 1:
        return left
    around = np.lib.stride_tricks.sliding_window_view(moves, 2 * half + 1, axis=1)
    weight = np.ones(2 * half + 1)
    if season % 2 == 0:
        weight[0] = weight[-1] = 0.5
    left[:, half : steps - half] = moves[:, half : steps - half] - np.einsum("ntk,k->nt", around, weight) / season
    return left


def seasonal_levels(levels: Array, growth: Growth, steps: Array) -> Array:
    """The shared season at `steps` periods after each origin, less that at the origin, in growth space, (n, steps)."""
    origin = growth.histories.origin
    place = (origin[:, None] + steps[None, :]) % len(levels)
    return np.asarray((levels[place] - levels[origin % len(levels)][:, None]) * growth.volatility[:, None])


def without_season(growth: Growth, levels: Array) -> Growth:
    """The same rows with the shared season taken out of their values."""
    back = np.arange(1 - growth.window.shape[1], 1)
    return WithoutSeason(growth.histories, growth.season, growth.usual, seasonal_levels(levels, growth, back))
