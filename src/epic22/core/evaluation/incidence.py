"""Do probabilities up to a horizon keep their word? Reliability by horizon and curves by risk, where rows are lost from sight.

What was observed is Kaplan and Meier's incidence within each group of rows. y (n, 2): duration in days and observed.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.evaluation.reliability import SMALLEST, ReliabilityBin
from epic22.core.evaluation.survival import LEAST_FOLLOWED, in_sight, status
from epic22.core.models.hazard import observed_incidence
from epic22.core.task import Array

BINS, GROUPS = 10, 5
Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class HorizonReliability:
    """How well probabilities up to one horizon keep their word: the mean difference over bins of equal mass, before and after
    calibration, beside what noise alone would show; the mean probability and the incidence observed; and the table."""

    horizon: float
    before: float
    error: float
    floor: float
    expected: float
    observed: float
    table: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class IncidenceCurve:
    """A group of rows of like risk, from the lowest up: the mean probability up to each horizon, and the incidence observed
    with its 95 % interval; NaN where it was not followed. All tuples begin at day 0 with 0."""

    n: int
    days: tuple[float, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def horizon_reliability(y: Array, before: Array, after: Array, edges: tuple[float, ...]) -> tuple[HorizonReliability, ...]:
    """At each horizon that was followed, of probabilities (n, h) before and after calibration."""
    told = []
    for j, edge in enumerate(edges):
        if in_sight(y, np.array([edge]))[0] >= LEAST_FOLLOWED:
            table, floor = _binned(y, after[:, j], edge)
            plain, _ = _binned(y, before[:, j], edge)
            observed = float(observed_incidence(y, np.array([edge]))[0][0])
            told.append(HorizonReliability(edge, _error(plain), _error(table), floor, float(after[:, j].mean()), observed, table))
    return tuple(told)


def _error(table: tuple[ReliabilityBin, ...]) -> float:
    n = sum(row.n for row in table)
    return sum(row.n * abs(row.predicted - row.observed) for row in table) / n


def _binned(y: Array, p: Array, horizon: float) -> tuple[tuple[ReliabilityBin, ...], float]:
    """Bins of equal mass by rising probability, and the error that noise alone would show.

    A bin's noise is that of as many rows as its weights are worth (Kish 1965), each a draw at the bin's mean probability.
    """
    _, weight = status(y, horizon)
    table, noise = [], 0.0
    for rows in groups_of(p, BINS):
        found, error = (float(part[0]) for part in observed_incidence(y[rows], np.array([horizon])))
        mean, held = float(p[rows].mean()), weight[rows]
        worth = max(1, round(float(held.sum() ** 2 / (held**2).sum()))) if held.any() else 1
        noise += len(rows) * _mean_deviation(mean, worth)
        table.append(ReliabilityBin(len(rows), mean, found, max(0.0, found - Z * error), min(1.0, found + Z * error)))
    return tuple(table), noise / len(y)


def _mean_deviation(p: float, n: int) -> float:
    """Mean absolute deviation of a share of n draws at p (De Moivre 1730)."""
    p = min(max(p, SMALLEST), 1 - SMALLEST)
    above = np.floor(n * p) + 1
    return float(2 * above * (1 - p) * stats.binom.pmf(above, n, p) / n)


def groups_of(p: Array, count: int) -> list[Array]:
    """Row numbers of groups of about equal size by rising probability; equal probabilities share a group, none is empty."""
    _, code, held = np.unique(p, return_inverse=True, return_counts=True)
    middle = (np.cumsum(held) - held / 2) / max(len(p), 1)
    group = np.minimum((middle * count).astype(np.int64), count - 1)[code]
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def incidence_curves(y: Array, p: Array, edges: tuple[float, ...], place: int) -> tuple[IncidenceCurve, ...]:
    """Fifths of the rows by their probability up to the horizon at `place`: mean of p (n, h) beside what was observed."""
    days, curves = np.array(edges), []
    for rows in groups_of(p[:, place], GROUPS):
        found, error = observed_incidence(y[rows], days)
        hidden = in_sight(y[rows], days) < LEAST_FOLLOWED
        found, error = np.where(hidden, np.nan, found), np.where(hidden, np.nan, error)
        ends = np.clip([found - Z * error, found + Z * error], 0.0, 1.0)
        told = ((0.0, *values.tolist()) for values in (days, p[rows].mean(axis=0), found, *ends))
        curves.append(IncidenceCurve(len(rows), *told))
    return tuple(curves)
