"""Pairs of columns that move the score together beyond what each does alone.

Of boosted trees the exact SHAP interaction values; of other models the part of the joint partial dependence that the single ones
do not hold, whose share is Friedman's H (Friedman and Popescu 2008). A forest has some interaction in any data, so a pair counts
as found only where held-out rows are predicted worse once its joint part is taken out of the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from epic22.core.evaluation.explain.shap_samples import ShapSample, ShapSamples
from epic22.core.evaluation.intervals import (
    UNDEFINED_ESTIMATE,
    Estimate,
    SamplingVariance,
    compute_sampling_variances,
    estimate_mean,
    estimate_mean_loss,
)
from epic22.core.evaluation.metrics import log_loss_terms
from epic22.core.models.base import compute_response
from epic22.core.targets import KINDS, lift_to_floor
from epic22.core.task import Array, Kind, Target

MAX_ROWS_PER_FOLD, BATCH_ROWS = 300, 50
MAX_ROWS_FOR_H = 40
"""Rows of a fold for Friedman's H, whose cost is their square."""
MAX_COLUMNS, MAX_COLUMNS_FOR_H = 30, 6
MAX_PAIRS = 10
MIN_SHARE = 1e-6
"""Share of the score's movement below which a pair is rounding."""


@dataclass(frozen=True)
class Interaction:
    """A pair of columns, by name. `strength` is the mean size of its joint part in the score's unit, `share` that by the mean
    size of all contributions.

    `gain` is the share of the held-out loss (log loss, squared error) that comes on top when the joint part is taken away; NaN
    for kinds of target that have neither. `h` is Friedman's H, where that is how it was found.
    """

    columns: tuple[str, str]
    strength: Estimate
    share: float
    gain: Estimate
    h: float | None = None

    @property
    def is_significant(self) -> bool:
        """Whether held-out rows are certainly predicted worse without it."""
        return self.gain.low > 0


def find_interactions(samples: ShapSamples, order: Sequence[int], target: Target) -> tuple[Interaction, ...]:
    """The strongest pairs among the first columns of `order` (by falling importance), strongest first."""
    exact = all(hasattr(sample.fitted.estimator, "shap_interaction_values") for sample in samples.folds)
    top_columns = list(order[: MAX_COLUMNS if exact else MAX_COLUMNS_FOR_H])
    subsamples = [_thin_sample(sample, MAX_ROWS_PER_FOLD if exact else MAX_ROWS_FOR_H) for sample in samples.folds]
    joint = [_compute_exact(sample, top_columns) if exact else _compute_partial(sample, top_columns) for sample in subsamples]
    total = float(np.mean([np.abs(sample.shap_values).mean(axis=(0, 1)).sum() for sample in subsamples]))
    sizes = np.mean([np.abs(pairs.values).mean(axis=(0, 1)) for pairs in joint], axis=0)
    places = [i for i in np.argsort(-sizes, kind="stable")[:MAX_PAIRS] if sizes[i] > MIN_SHARE * total]
    names = [
        (samples.columns[top_columns[a]].name, samples.columns[top_columns[b]].name)
        for a, b in combinations(range(len(top_columns)), 2)
    ]
    return tuple(
        _make_interaction(
            names[i], [(s, p, i) for s, p in zip(subsamples, joint, strict=True)], total, target, samples.training_overlap
        )
        for i in places
    )


@dataclass(frozen=True)
class _JointParts:
    """The joint part of every pair, (m, k, pairs), in the order of `combinations`; H of each where it was computed, (pairs,)."""

    values: Array
    h: Array | None = None


def _thin_sample(sample: ShapSample, max_rows: int) -> ShapSample:
    rows = np.unique(np.linspace(0, len(sample.rows) - 1, min(max_rows, len(sample.rows))).astype(int))
    selected: dict[str, Any] = {name: getattr(sample, name)[rows] for name in ("rows", "cluster", "y", "X", "shap_values")}
    return replace(sample, **selected)


def _compute_exact(sample: ShapSample, top_columns: Sequence[int]) -> _JointParts:
    estimator, places = sample.fitted.estimator, sample.column_indices[list(top_columns)]
    first, second = np.array(list(combinations(range(len(top_columns)), 2)), dtype=np.int64).reshape(-1, 2).T
    known, blocks = (places[first] >= 0) & (places[second] >= 0), []
    for begin in range(0, len(sample.X), BATCH_ROWS):
        halves = estimator.shap_interaction_values(sample.X[begin : begin + BATCH_ROWS])  # type: ignore[attr-defined]
        halves = halves[:, None] if halves.ndim == 3 else halves
        blocks.append(np.where(known, 2 * halves[:, :, places[first], places[second]], 0.0))
    return _JointParts(np.concatenate(blocks))


def _compute_partial(sample: ShapSample, top_columns: Sequence[int]) -> _JointParts:
    """By partial dependence on the sample's own rows, each term centred."""
    alone = {column: _compute_partial_dependence(sample, (column,)) for column in top_columns}
    values, shares = [], []
    for a, b in combinations(top_columns, 2):
        both = _compute_partial_dependence(sample, (a, b))
        joint = both - alone[a] - alone[b]
        size = (both**2).sum()
        shares.append(float(np.sqrt((joint**2).sum() / size)) if size > 0 else 0.0)
        values.append(joint)
    shape = (len(sample.X), sample.shap_values.shape[1], 0)
    return _JointParts(np.stack(values, axis=-1) if values else np.zeros(shape), np.array(shares))


def _compute_partial_dependence(sample: ShapSample, columns: tuple[int, ...]) -> Array:
    """The mean score over all rows when these columns have the values of each row, (m, k), centred."""
    places, m = sample.column_indices[list(columns)], len(sample.X)
    places = places[places >= 0]
    X = np.tile(sample.X, (m, 1))
    X[:, places] = np.repeat(sample.X[:, places], m, axis=0)
    raw = sample.fitted.estimator.decision_function(X).reshape(m, m, -1).mean(axis=1)
    return np.asarray(raw - raw.mean(axis=0))


def _make_interaction(
    names: tuple[str, str],
    folds: Sequence[tuple[ShapSample, _JointParts, int]],
    total: float,
    target: Target,
    training_overlap: float,
) -> Interaction:
    sizes = [np.abs(pairs.values[:, :, place]).mean(axis=1, keepdims=True) for _, pairs, place in folds]
    strength = estimate_mean(
        np.array([size.mean() for size in sizes]), _compute_variance(sizes, folds), training_overlap, lower_bound=0.0
    )
    losses = [_compute_loss_without(sample, pairs.values[:, :, place], target) for sample, pairs, place in folds]
    known, gain = [loss for loss in losses if loss is not None], UNDEFINED_ESTIMATE
    if len(known) == len(losses):
        gain = estimate_mean_loss(np.array([loss.mean() for loss in known]), _compute_variance(known, folds), training_overlap)
    shares = [pairs.h[place] for _, pairs, place in folds if pairs.h is not None]
    return Interaction(names, strength, strength.value / total, gain, float(np.mean(shares)) if shares else None)


def _compute_variance(values: Sequence[Array], folds: Sequence[tuple[ShapSample, _JointParts, int]]) -> SamplingVariance:
    return compute_sampling_variances(values, [sample.cluster for sample, _, _ in folds])[0]


def _compute_loss_without(sample: ShapSample, joint: Array, target: Target) -> Array | None:
    """What each row's loss gains without the joint part, by the mean loss, (m, 1); None for other kinds of target. Losses are of
    the answers that are served."""
    estimator, kind = sample.fitted.estimator, target.kind
    raw = estimator.decision_function(sample.X)
    if KINDS[kind].is_time_to_event:
        return None
    with_it, without = (
        _compute_losses(sample.y, lift_to_floor(compute_response(estimator, one, kind), target.floor), kind)
        for one in (raw, raw - (joint if raw.ndim == 2 else joint[:, 0]))
    )
    return np.asarray((without - with_it)[:, None] / max(float(with_it.mean()), 1e-300))


def _compute_losses(y: Array, response: Array, kind: Kind) -> Array:
    return log_loss_terms(y, response) if KINDS[kind].is_classification else np.asarray((response - y) ** 2)
