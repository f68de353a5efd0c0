"""Permutation importance: what the deciding metric loses on held-out rows when a column's values are permuted (Breiman 2001).

Values are permuted within a fold's test rows, and where rows cluster, whole clusters change places: permuted row by row, the luck
of a column that is the same for all rows of a tenant would look smaller than it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.bootstrap import compute_replicates
from epic22.core.evaluation.explain.shap_samples import ShapSample, ShapSamples
from epic22.core.evaluation.intervals import NO_SAMPLING_VARIANCE, Estimate, SamplingVariance, estimate_mean_loss
from epic22.core.evaluation.predictions import ClusteredPredictions
from epic22.core.models.base import predict_response
from epic22.core.task import Array, Metric, RowMetadata, Target

N_REPLICATES = 200
MIN_PERMUTED_ROWS = 1000
"""A fold with fewer rows is permuted several times, up to MAX_PERMUTATIONS, for the luck of one permutation is larger there."""
MAX_PERMUTATIONS = 5


def compute_permutation_importance(
    samples: ShapSamples, groups: Sequence[tuple[int, ...]], target: Target, seed: int
) -> list[Estimate]:
    """The permutation importance of each group of columns on held-out rows, in the metric's unit; positive = worse without."""
    permuters = [_FoldPermuter.of(sample, target, np.random.default_rng([seed, 3, f])) for f, sample in enumerate(samples.folds)]
    metric, bootstrap = target.metric, _PermutationBootstrap(permuters, target.metric, seed)
    importances = []
    for group in groups:
        after = [permuter.predict_permuted(group) for permuter in permuters]
        folds = np.array([permuter.compute_loss(metric, responses) for permuter, responses in zip(permuters, after, strict=True)])
        changed = any(responses for responses in after)
        importances.append(
            estimate_mean_loss(
                folds, bootstrap.compute_variance(after) if changed else NO_SAMPLING_VARIANCE, samples.training_overlap
            )
        )
    return importances


@dataclass(frozen=True)
class _FoldPermuter:
    """A fold's rows, and in each permutation the row that each takes a value from: `donors` (permutations, m)."""

    sample: ShapSample
    target: Target
    donors: Array
    response: Array

    @classmethod
    def of(cls, sample: ShapSample, target: Target, rng: np.random.Generator) -> "_FoldPermuter":
        n_permutations = int(np.clip(np.ceil(MIN_PERMUTED_ROWS / len(sample.rows)), 1, MAX_PERMUTATIONS))
        donors = np.array([draw_donors(sample.cluster, rng) for _ in range(n_permutations)])
        return cls(sample, target, donors, predict_response(sample.fitted.estimator, sample.X, target.kind, target.floor))

    def predict_permuted(self, group: tuple[int, ...]) -> list[Array]:
        """The responses of each permutation; none where this fold's model uses none of the columns."""
        used = [column for column in group if self.sample.shap_values[:, :, column].any()]
        if not used:
            return []
        places, permuted_responses = self.sample.column_indices[used], []
        for donors in self.donors:
            X = self.sample.X.copy()
            X[:, places] = self.sample.X[donors][:, places]
            permuted_responses.append(predict_response(self.sample.fitted.estimator, X, self.target.kind, self.target.floor))
        return permuted_responses

    def compute_loss(self, metric: Metric, responses: list[Array]) -> float:
        """How much better the metric is before than after, over the permutations."""
        y, own = self.sample.y, metric.score(self.sample.y, self.response, RowMetadata())
        return float(np.mean([metric.gain(own, metric.score(y, one, RowMetadata())) for one in responses])) if responses else 0.0


class _PermutationBootstrap:
    """Draws of clusters, on which responses before and after a permutation are both scored."""

    def __init__(self, permuters: Sequence[_FoldPermuter], metric: Metric, seed: int) -> None:
        self.permuters, self.metric, self.seed = permuters, metric, seed
        self.before = self._compute_replicates([permuter.response for permuter in permuters])

    def _compute_replicates(self, responses: Sequence[Array]) -> Array:
        parts = [
            ClusteredPredictions(permuter.sample.y, response, permuter.sample.cluster)
            for permuter, response in zip(self.permuters, responses, strict=True)
        ]
        return np.asarray(compute_replicates((self.metric,), parts, N_REPLICATES, self.seed)[0])

    def compute_variance(self, after: Sequence[list[Array]]) -> SamplingVariance:
        """The sampling variance of the first permutation's loss."""
        responses = [
            permuted_responses[0] if permuted_responses else permuter.response
            for permuter, permuted_responses in zip(self.permuters, after, strict=True)
        ]
        losses = self.before - self._compute_replicates(responses)
        losses = losses[~np.isnan(losses).any(axis=1)]
        if len(losses) < N_REPLICATES / 2:
            return SamplingVariance(math.nan, math.nan)
        return SamplingVariance(float(losses.mean(axis=1).var(ddof=1)), float(losses.var(axis=0, ddof=1).mean()))


def draw_donors(cluster: Array, rng: np.random.Generator) -> Array:
    """For each row (m,) the row whose value it takes, of the cluster that takes its own one's place; any where all are of one."""
    clusters, code, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(clusters) == 1 or sizes.max() == 1:
        return rng.permutation(len(cluster))
    members = np.split(np.argsort(code, kind="stable"), np.cumsum(sizes)[:-1])
    order, donors = rng.permutation(len(clusters)), np.empty(len(cluster), dtype=np.int64)
    for own, other in zip(order, np.roll(order, 1), strict=True):
        donors[members[own]] = np.resize(rng.permutation(members[other]), len(members[own]))
    return donors
