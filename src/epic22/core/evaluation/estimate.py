"""A mean over folds with an interval that is honest about both of its sources of luck.

The rows: whole clusters stand or fall together, and one cluster may have rows in several folds. The training: each fold's model
was fitted on other rows, but the training parts share rows, so that folds agree more than fresh trainings would.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from epic22.core.data.split import Fold
from epic22.core.task import Array

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and standard error; NaN where it cannot be told."""

    value: float
    low: float
    high: float
    error: float = math.nan


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Luck:
    """Variances by the rows: `mean`, of the folds' mean, and `fold`, of a single fold's figure, when clusters are drawn."""

    mean: float
    fold: float


NO_LUCK = Luck(0.0, 0.0)


def estimate(folds: Array, luck: Luck, shared: float, least: float = -math.inf) -> Estimate:
    """The mean of the folds' figures (f,), where defined, with its interval; ends below `least` are cut. For what models look at.

    What the folds differ by beyond the luck of their rows is training, and counts `shared` times (`shared_training`). With so few
    folds the difference of the two variances is often below zero by luck alone, so s² is shrunk by s² ÷ (s² + rows) instead. One
    fold tells nothing of another training. Where the luck is NaN, for there is one cluster, the folds alone tell; one fold then
    has no interval.
    """
    return _estimate(folds, luck, shared, least, lambda between, rows: between**2 / (between + rows) if between > 0 else 0.0)


def estimate_loss(folds: Array, luck: Luck, shared: float) -> Estimate:
    """The same for what held-out rows lose, where the luck of the rows is nearly all: the paired interval of the verdicts.

    Only what the folds differ by in excess of that luck is added for training, with the degrees of freedom that the sum then has
    (Satterthwaite 1946).
    """
    return _estimate(folds, luck, shared, -math.inf, lambda between, rows: max(0.0, between - rows), few=False)


def _estimate(
    folds: Array, luck: Luck, shared: float, least: float, excess: Callable[[float, float], float], few: bool = True
) -> Estimate:
    known = folds[~np.isnan(folds)]
    if not len(known):
        return UNKNOWN
    value, count = float(known.mean()), len(known)
    rows = NO_LUCK if math.isnan(luck.mean) and count > 1 else luck
    training = shared * excess(float(known.var(ddof=1)), rows.fold) if count > 1 else 0.0
    variance = rows.mean + training
    free = count - 1.0 if few else (count - 1) * (variance / training) ** 2 if training > 0 else math.inf
    tail = (1 + CONFIDENCE) / 2
    quantile = float(stats.t.ppf(tail, free) if count > 1 and math.isfinite(free) else stats.norm.ppf(tail))
    error = math.sqrt(variance)
    return Estimate(value, max(value - quantile * error, least), max(value + quantile * error, least), error)


def shared_training(folds: Sequence[Fold], rows: int) -> float:
    """The variance of the folds' mean by that between the folds, where training moves a figure as it moves a mean of its rows.

    Two means over A and B co-vary by |A ∩ B| ÷ (|A| |B|). Of f folds that train on all the others' rows it is (f - 1)² / f, the
    grouped jackknife (Quenouille 1956); of folds that go forward it is less. 0 for one fold.
    """
    count = len(folds)
    if count < 2:
        return 0.0
    held = np.zeros((count, rows))
    for number, fold in enumerate(folds):
        held[number, fold.train] = 1.0 / len(fold.train)
    covariance = held @ held.T
    between = (np.trace(covariance) - covariance.sum() / count) / (count - 1)
    return float(covariance.sum() / count**2 / between) if between > 0 else 1.0


def luck_of(values: Sequence[Array], units: Sequence[Array]) -> list[Luck]:
    """The luck of means of `values` (m, q) a fold, with cluster codes (m,) a fold: q of them. NaN where there is one cluster.

    It is the cluster bootstrap's variance without drawing (infinitesimal jackknife).
    """
    present = [(value, unit) for value, unit in zip(values, units, strict=True) if len(value)]
    moved = np.zeros((1 + max(int(unit.max()) for _, unit in present), present[0][0].shape[1]))
    met, single = np.zeros(len(moved), dtype=bool), []
    for value, unit in present:
        own = np.zeros_like(moved)
        np.add.at(own, unit, (value - value.mean(axis=0)) / len(value))
        single.append(_variance(own, len(np.unique(unit))))
        moved += own / len(present)
        met[unit] = True
    mean, fold = _variance(moved, int(met.sum())), np.nan_to_num(np.array(single)).mean(axis=0)
    return [Luck(float(a), float(b)) for a, b in zip(mean, fold, strict=True)]


def _variance(moved: Array, clusters: int) -> Array:
    return np.asarray((moved**2).sum(axis=0) * clusters / (clusters - 1) if clusters > 1 else np.full(moved.shape[1], math.nan))
