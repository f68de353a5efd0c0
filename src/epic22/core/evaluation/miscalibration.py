"""How far probabilities certainly are from what happens: a figure with an interval that noise does not move off zero.

The log-odds of the outcome are taken as intercept + slope · log-odds of p (Cox 1958), with errors over clusters (Liang and Zeger
1986). The figure is the mean distance between p and the rate that this line gives (the integrated calibration index, Austin and
Steyerberg 2019), divided by the rate of the rarer class; its interval is that over the joint 95 % region of both coefficients
(Scheffé 1953). Where "perfectly calibrated" lies in the region, the interval begins at 0.

y (n,) classes of 0 and 1, p (n,) probabilities, cluster (n,) what is not independent.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from scipy.special import expit, logit

from epic22.core.evaluation.logistic import fit_logistic
from epic22.core.evaluation.metrics import MIN_PROBABILITY
from epic22.core.statistics import CONFIDENCE, Interval
from epic22.core.task import Array

DIRECTIONS = 72
"""Points on the edge of the region."""
MAX_POINTS = 500
"""More probabilities than this are represented by their quantiles."""
MIN_CLUSTERS = 4
"""Fewer have no region of two coefficients."""


@dataclass(frozen=True)
class Miscalibration:
    """The mean distance of probabilities from the rates behind them, as a share of the rarer class's rate, with its interval."""

    share: Interval
    rows: int
    clusters: int


def measure_miscalibration(y: Array, p: Array, cluster: Array) -> Miscalibration | None:
    """The figure; None where it cannot be known: one class alone, equal probabilities, or hardly any clusters."""
    codes = np.unique(cluster, return_inverse=True)[1]
    n_clusters = int(codes.max(initial=-1)) + 1
    if n_clusters < MIN_CLUSTERS or y.min() == y.max() or np.ptp(p) == 0:
        return None
    x = logit(np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY))
    center, covariance = _fit_line(x, y.astype(np.float64), codes, n_clusters)
    region = _trace_region(center, covariance, n_clusters)
    if region is None:
        return None
    rarer = min(float(y.mean()), 1 - float(y.mean()))
    points = np.quantile(x, (np.arange(MAX_POINTS) + 0.5) / MAX_POINTS) if len(x) > MAX_POINTS else x
    own = _measure_distance(center[None], points)[0]
    edge = _measure_distance(region.edge, points)
    low = 0.0 if region.holds_identity else min(float(edge.min()), own)
    share = Interval(own / rarer, low / rarer, max(float(edge.max()), own) / rarer)
    return Miscalibration(share, len(y), n_clusters)


def _fit_line(x: Array, y: Array, codes: Array, n_clusters: int) -> tuple[Array, Array]:
    """Slope and intercept, (2,), and their covariance over clusters, (2, 2)."""
    theta, design = fit_logistic(x[:, None], y), np.column_stack([x, np.ones(len(x))])
    fitted = expit(design @ theta)
    information = (design * (fitted * (1 - fitted))[:, None]).T @ design
    scores = design * (y - fitted)[:, None]
    totals = np.column_stack([np.bincount(codes, weights=column, minlength=n_clusters) for column in scores.T])
    inverse = np.linalg.pinv(information)
    return theta, inverse @ (totals.T @ totals) @ inverse * n_clusters / (n_clusters - 1)


@dataclass(frozen=True)
class _Region:
    """Points on the edge of a joint region of slope and intercept, (m, 2), and whether slope 1 with intercept 0 lies in it."""

    edge: Array
    holds_identity: bool


def _trace_region(center: Array, covariance: Array, n_clusters: int) -> _Region | None:
    """The region by Hotelling's T² on so many clusters; None where the coefficients have no variance to speak of."""
    values, vectors = np.linalg.eigh(covariance)
    if not np.isfinite(values).all() or values.min() <= 0:
        return None
    degrees = n_clusters - 2
    radius = math.sqrt(2 * (n_clusters - 1) / degrees * float(scipy.stats.f.ppf(CONFIDENCE, 2, degrees)))
    angles = np.linspace(0, 2 * math.pi, DIRECTIONS, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles)]) * radius
    from_identity = ((np.array([1.0, 0.0]) - center) @ vectors) / np.sqrt(values)
    return _Region(center + (circle * np.sqrt(values)) @ vectors.T, bool(from_identity @ from_identity <= radius**2))


def _measure_distance(lines: Array, x: Array) -> Array:
    """The mean distance between the probabilities of log-odds x (n,) and the rates by each line (m, 2), (m,)."""
    return np.asarray(np.abs(expit(lines[:, :1] * x + lines[:, 1:]) - expit(x)).mean(axis=1))
