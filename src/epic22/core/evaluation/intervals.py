"""A mean over folds with an interval that allows for both sources of its variance.

The rows: whole clusters stand or fall together, and one cluster may have rows in several folds. The training: each fold's model
was fitted on other rows, but the training parts share rows, so that folds agree more than fresh trainings would.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from epic22.core.data.folds import Fold
from epic22.core.statistics import CONFIDENCE, Interval
from epic22.core.task import Array


@dataclass(frozen=True)
class Estimate(Interval):
    """A figure with its 95 % interval and standard error; NaN where it is not known."""

    error: float = math.nan


UNDEFINED_ESTIMATE = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class SamplingVariance:
    """Variances by the rows: `mean`, of the folds' mean, and `fold`, of a single fold's figure, when clusters are drawn."""

    mean: float
    fold: float


NO_SAMPLING_VARIANCE = SamplingVariance(0.0, 0.0)


def estimate_mean(folds: Array, sampling: SamplingVariance, overlap: float, lower_bound: float = -math.inf) -> Estimate:
    """The mean of the folds' figures (f,), where defined, with its interval; ends below `lower_bound` are cut. For what models
    look at.

    What the folds differ by beyond the sampling of rows is training, and counts `overlap` times (`compute_training_overlap`).
    With few folds the difference of the two variances is often below zero by chance, so s² is shrunk by s² ÷ (s² + rows).
    One fold tells nothing of another training. Where the sampling variance is NaN, for there is one cluster, the folds
    alone tell; one fold then has no interval.
    """
    return _estimate_mean(
        folds, sampling, overlap, lower_bound, lambda between, rows: between**2 / (between + rows) if between > 0 else 0.0
    )


def estimate_mean_loss(folds: Array, sampling: SamplingVariance, overlap: float) -> Estimate:
    """The same for losses of held-out rows, where sampling is nearly all of the variance: the paired interval of the verdicts.

    Only what the folds differ by in excess of sampling is added for training, with the degrees of freedom that the sum then has
    (Satterthwaite 1946).
    """
    return _estimate_mean(folds, sampling, overlap, -math.inf, lambda between, rows: max(0.0, between - rows), use_fold_df=False)


def _estimate_mean(
    folds: Array,
    sampling: SamplingVariance,
    overlap: float,
    lower_bound: float,
    excess: Callable[[float, float], float],
    use_fold_df: bool = True,
) -> Estimate:
    known = folds[~np.isnan(folds)]
    if not len(known):
        return UNDEFINED_ESTIMATE
    value, count = float(known.mean()), len(known)
    rows = NO_SAMPLING_VARIANCE if math.isnan(sampling.mean) and count > 1 else sampling
    training = overlap * excess(float(known.var(ddof=1)), rows.fold) if count > 1 else 0.0
    variance = rows.mean + training
    degrees_of_freedom = count - 1.0 if use_fold_df else (count - 1) * (variance / training) ** 2 if training > 0 else math.inf
    tail = (1 + CONFIDENCE) / 2
    quantile = float(
        scipy.stats.t.ppf(tail, degrees_of_freedom)
        if count > 1 and math.isfinite(degrees_of_freedom)
        else scipy.stats.norm.ppf(tail)
    )
    error = math.sqrt(variance)
    return Estimate(value, max(value - quantile * error, lower_bound), max(value + quantile * error, lower_bound), error)


def compute_training_overlap(folds: Sequence[Fold], rows: int) -> float:
    """The variance of the folds' mean by that between the folds, where training moves a figure as it moves a mean of its rows.

    Two means over A and B co-vary by |A ∩ B| ÷ (|A| |B|). Of f folds that train on all the others' rows it is (f - 1)² / f, the
    grouped jackknife (Quenouille 1956); of folds that go forward it is less. 0 for one fold.
    """
    count = len(folds)
    if count < 2:
        return 0.0
    row_weights = np.zeros((count, rows))
    for number, fold in enumerate(folds):
        row_weights[number, fold.train] = 1.0 / len(fold.train)
    covariance = row_weights @ row_weights.T
    between = (np.trace(covariance) - covariance.sum() / count) / (count - 1)
    return float(covariance.sum() / count**2 / between) if between > 0 else 1.0


def compute_sampling_variances(values: Sequence[Array], clusters: Sequence[Array]) -> list[SamplingVariance]:
    """The q variances of means of `values` (m, q) a fold, with cluster codes (m,) a fold; NaN where there is one cluster.

    It is the cluster bootstrap's variance without drawing (infinitesimal jackknife).
    """
    present = [(value, cluster) for value, cluster in zip(values, clusters, strict=True) if len(value)]
    influence = np.zeros((1 + max(int(cluster.max()) for _, cluster in present), present[0][0].shape[1]))
    present_clusters, single = np.zeros(len(influence), dtype=bool), []
    for value, cluster in present:
        own = np.zeros_like(influence)
        np.add.at(own, cluster, (value - value.mean(axis=0)) / len(value))
        single.append(_compute_variance(own, len(np.unique(cluster))))
        influence += own / len(present)
        present_clusters[cluster] = True
    mean, fold = _compute_variance(influence, int(present_clusters.sum())), np.nan_to_num(np.array(single)).mean(axis=0)
    return [SamplingVariance(float(a), float(b)) for a, b in zip(mean, fold, strict=True)]


def _compute_variance(influence: Array, clusters: int) -> Array:
    return np.asarray(
        (influence**2).sum(axis=0) * clusters / (clusters - 1) if clusters > 1 else np.full(influence.shape[1], math.nan)
    )
