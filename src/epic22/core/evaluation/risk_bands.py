"""Five risk bands on the calibrated expected loss, cut so that each one is reachable, each with what was observed in it.

Expected loss = calibrated probability × money at stake, in the portfolio's currency. n = rows.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from epic22.core.errors import UserError
from epic22.core.statistics import UNDEFINED_INTERVAL, Interval, compute_wilson_interval
from epic22.core.task import Array

BANDS = ("minimal", "low", "medium", "high", "critical")
SHARES = (0.40, 0.70, 0.88, 0.96)
"""Where the bands are cut: 40 % of rows minimal, 30 % low, 18 % medium, 8 % high, 4 % critical."""


@dataclass(frozen=True)
class RiskBands:
    """Rising cuts in money; a loss at a cut is in the band above it.

    >>> RiskBands((10.0, 20.0, 40.0, 80.0)).assign_names(np.array([5.0, 20.0, 500.0])).tolist()
    ['minimal', 'medium', 'critical']
    """

    cuts: tuple[float, ...]

    def assign(self, expected_loss: Array) -> Array:
        """Codes 0…4 of expected losses (n,)."""
        return np.searchsorted(np.array(self.cuts), np.asarray(expected_loss, dtype=np.float64), side="right")

    def assign_names(self, expected_loss: Array) -> Array:
        """Names (n,) of the bands of expected losses (n,)."""
        return np.array(BANDS)[self.assign(expected_loss)]

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "RiskBands":
        """The bands of a state; ValueError unless the cuts are four and rise."""
        cuts = tuple(float(cut) for cut in state["cuts"])
        if len(cuts) != len(BANDS) - 1 or not (np.diff(cuts) > 0).all():
            raise ValueError(f"{len(BANDS)} bands need {len(BANDS) - 1} rising cuts, found {cuts}")
        return cls(cuts)


def fit_bands(expected_loss: Array, shares: tuple[float, ...] = SHARES) -> RiskBands:
    """Cuts at these shares of out-of-fold expected losses (n,), moved to the nearest gap where losses tie.

    No band is empty on these rows. Raises UserError for fewer than five distinct losses.
    """
    distinct, count = np.unique(np.asarray(expected_loss, dtype=np.float64), return_counts=True)
    if len(distinct) < len(BANDS):
        raise UserError(
            f"{len(distinct)} distinct expected losses are too few for {len(BANDS)} bands; the model distinguishes too few cases."
        )
    reached = np.cumsum(count)[:-1] / count.sum()
    places: list[int] = []
    for number, share in enumerate(shares):
        first = places[-1] + 1 if places else 0
        last = len(reached) - (len(shares) - number)
        places.append(int(np.clip(np.abs(reached - share).argmin(), first, last)))
    return RiskBands(tuple(_compute_midpoint(distinct[i], distinct[i + 1]) for i in places))


def _compute_midpoint(below: float, above: float) -> float:
    """The middle, which rounding must not lay on the loss below."""
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)


@dataclass(frozen=True)
class BandFigures:
    """A band's rows: how many, mean probability, observed rate with its 95 % interval, mean loss expected and observed.

    Rates and means are NaN where the band has no rows.
    """

    name: str
    n: int
    predicted: float
    observed: Interval
    expected_loss: float
    observed_loss: float


def compute_band_figures(bands: RiskBands, p: Array, stake: Array, y: Array) -> tuple[BandFigures, ...]:
    """What was predicted and what happened in each band, from minimal to critical; p, stake, y all (n,).

    The intervals (Wilson) take rows as independent: narrow where an entity has several rows.
    """
    code = bands.assign(p * stake)
    return tuple(_compute_figures(name, p[code == i], stake[code == i], y[code == i]) for i, name in enumerate(BANDS))


def _compute_figures(name: str, p: Array, stake: Array, y: Array) -> BandFigures:
    n = len(y)
    if not n:
        return BandFigures(name, 0, math.nan, UNDEFINED_INTERVAL, math.nan, math.nan)
    observed = Interval(float(y.mean()), *compute_wilson_interval(float(y.sum()), n))
    means = (float(x.mean()) for x in (p * stake, y * stake))
    return BandFigures(name, n, float(p.mean()), observed, *means)


@dataclass(frozen=True)
class BandOrder:
    """Whether the observed loss rises from band to band, and that in words."""

    rises: bool
    words: str


def check_band_order(figures: tuple[BandFigures, ...]) -> BandOrder:
    """Compare each band that has rows with the next one by observed loss."""
    seen = [band for band in figures if band.n]
    falls = [(a, b) for a, b in pairwise(seen) if b.observed_loss < a.observed_loss]
    empty = [band.name for band in figures if not band.n]
    missing = f"; no rows in {', '.join(empty)}" if empty else ""
    if not falls:
        return BandOrder(True, f"the observed loss rises from band to band{missing}")
    sentences = "; ".join(f"{b.name} lost {b.observed_loss:,.0f} a row, {a.name} {a.observed_loss:,.0f}" for a, b in falls)
    return BandOrder(False, f"the observed loss does not rise everywhere: {sentences}{missing}")
