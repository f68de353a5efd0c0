"""Calibration of probabilities up to each horizon, and incidence curves by risk, where rows are censored.

What was observed is Kaplan and Meier's incidence within each group of rows. y (n, 2): duration in days and observed.
"""

from dataclasses import dataclass
from itertools import starmap

import numpy as np
from scipy.special import ndtri

from epic22.core.evaluation.reliability import ReliabilityBin, compute_total_deviation
from epic22.core.evaluation.survival import MIN_FOLLOWED_SHARE, compute_censoring_survival, label_at_horizon
from epic22.core.models.hazard import estimate_cumulative_incidence
from epic22.core.statistics import Interval
from epic22.core.task import Array

BINS, GROUPS = 10, 5
Z = float(ndtri(0.975))


@dataclass(frozen=True)
class HorizonReliability:
    """How well probabilities up to one horizon are calibrated: the mean difference over bins of equal mass, before and after
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
    observed: tuple[Interval, ...]


def compute_horizon_reliability(
    y: Array, before: Array, after: Array, edges: tuple[float, ...]
) -> tuple[HorizonReliability, ...]:
    """At each horizon that was followed, of probabilities (n, h) before and after calibration."""
    reliabilities = []
    for j, edge in enumerate(edges):
        if compute_censoring_survival(y, np.array([edge]))[0] >= MIN_FOLLOWED_SHARE:
            table, floor = _bin_by_risk(y, after[:, j], edge)
            plain, _ = _bin_by_risk(y, before[:, j], edge)
            observed = float(estimate_cumulative_incidence(y, np.array([edge]))[0][0])
            reliabilities.append(
                HorizonReliability(
                    edge, _compute_error(plain), _compute_error(table), floor, float(after[:, j].mean()), observed, table
                )
            )
    return tuple(reliabilities)


def _compute_error(table: tuple[ReliabilityBin, ...]) -> float:
    n = sum(row.n for row in table)
    return sum(row.n * abs(row.predicted - row.observed.value) for row in table) / n


def _bin_by_risk(y: Array, p: Array, horizon: float) -> tuple[tuple[ReliabilityBin, ...], float]:
    """Bins of equal mass by rising probability, and the error that noise alone would show.

    A bin's noise is that of as many rows as its weights are worth (Kish 1965), each a draw at the bin's mean probability.
    """
    _, weight = label_at_horizon(y, horizon)
    table, noise = [], 0.0
    for rows in group_by_risk(p, BINS):
        incidence, error = (float(part[0]) for part in estimate_cumulative_incidence(y[rows], np.array([horizon])))
        mean, bin_weights = float(p[rows].mean()), weight[rows]
        effective_rows = max(1, round(float(bin_weights.sum() ** 2 / (bin_weights**2).sum()))) if bin_weights.any() else 1
        noise += len(rows) * float(compute_total_deviation(mean, effective_rows) / effective_rows)
        observed = Interval(incidence, max(0.0, incidence - Z * error), min(1.0, incidence + Z * error))
        table.append(ReliabilityBin(len(rows), mean, observed))
    return tuple(table), noise / len(y)


def group_by_risk(p: Array, count: int) -> list[Array]:
    """Row numbers of groups of about equal size by rising probability; equal probabilities share a group, none is empty."""
    _, code, value_counts = np.unique(p, return_inverse=True, return_counts=True)
    middle = (np.cumsum(value_counts) - value_counts / 2) / max(len(p), 1)
    group = np.minimum((middle * count).astype(np.int64), count - 1)[code]
    return [np.flatnonzero(group == number) for number in np.unique(group)]


def compute_incidence_curves(y: Array, p: Array, edges: tuple[float, ...], horizon_index: int) -> tuple[IncidenceCurve, ...]:
    """Fifths of the rows by their probability up to the horizon at `horizon_index`: mean of p (n, h) beside what was observed."""
    days, curves = np.array(edges), []
    for rows in group_by_risk(p[:, horizon_index], GROUPS):
        incidence, error = estimate_cumulative_incidence(y[rows], days)
        hidden = compute_censoring_survival(y[rows], days) < MIN_FOLLOWED_SHARE
        incidence, error = np.where(hidden, np.nan, incidence), np.where(hidden, np.nan, error)
        ends = np.clip([incidence - Z * error, incidence + Z * error], 0.0, 1.0)
        day, predicted, *observed = ((0.0, *values.tolist()) for values in (days, p[rows].mean(axis=0), incidence, *ends))
        curves.append(IncidenceCurve(len(rows), day, predicted, tuple(starmap(Interval, zip(*observed, strict=True)))))
    return tuple(curves)
