"""Pairs of columns that move the score together beyond what each does alone.

Of boosted trees the exact SHAP interaction values; of other models the part of the joint partial dependence that the single ones
do not hold, whose share is Friedman's H (Friedman and Popescu 2008). A forest has some interaction in any data, so a pair counts
as found only where held-out rows are predicted worse once its joint part is taken out of the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from epic22.core.evaluation.estimate import UNKNOWN, Estimate, Luck, estimate, estimate_loss, luck_of
from epic22.core.evaluation.explained import Sample, Samples
from epic22.core.evaluation.metrics import log_losses
from epic22.core.models.base import CLASSIFIED, respond
from epic22.core.task import Array, Kind

ROWS_A_FOLD, ROWS_AT_ONCE = 300, 50
FEW_ROWS = 40
"""Rows of a fold for Friedman's H, whose cost is their square."""
MOST_COLUMNS, FEW_COLUMNS = 30, 6
MOST_PAIRS = 10
NOTHING = 1e-6
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
    def found(self) -> bool:
        """Whether held-out rows are certainly predicted worse without it."""
        return self.gain.low > 0


def interactions(samples: Samples, order: Sequence[int], kind: Kind) -> tuple[Interaction, ...]:
    """The strongest pairs among the first columns of `order` (by falling importance), strongest first."""
    exact = all(hasattr(sample.fitted.estimator, "interactions") for sample in samples.folds)
    chosen = list(order[: MOST_COLUMNS if exact else FEW_COLUMNS])
    few = [_few(sample, ROWS_A_FOLD if exact else FEW_ROWS) for sample in samples.folds]
    joint = [_exact(sample, chosen) if exact else _partial(sample, chosen) for sample in few]
    total = float(np.mean([np.abs(sample.parts).mean(axis=(0, 1)).sum() for sample in few]))
    sizes = np.mean([np.abs(pairs.values).mean(axis=(0, 1)) for pairs in joint], axis=0)
    places = [i for i in np.argsort(-sizes, kind="stable")[:MOST_PAIRS] if sizes[i] > NOTHING * total]
    names = [(samples.columns[chosen[a]].name, samples.columns[chosen[b]].name) for a, b in combinations(range(len(chosen)), 2)]
    return tuple(
        _told(names[i], [(s, p, i) for s, p in zip(few, joint, strict=True)], total, kind, samples.shared) for i in places
    )


@dataclass(frozen=True)
class _Pairs:
    """The joint part of every pair, (m, k, pairs), in the order of `combinations`; H of each where it was computed, (pairs,)."""

    values: Array
    h: Array | None = None


def _few(sample: Sample, most: int) -> Sample:
    rows = np.unique(np.linspace(0, len(sample.rows) - 1, min(most, len(sample.rows))).astype(int))
    return Sample(
        sample.rows[rows], sample.unit[rows], sample.y[rows], sample.fitted, sample.X[rows], sample.places, sample.parts[rows]
    )


def _exact(sample: Sample, chosen: Sequence[int]) -> _Pairs:
    estimator, places = sample.fitted.estimator, sample.places[list(chosen)]
    first, second = np.array(list(combinations(range(len(chosen)), 2)), dtype=np.int64).reshape(-1, 2).T
    known, blocks = (places[first] >= 0) & (places[second] >= 0), []
    for begin in range(0, len(sample.X), ROWS_AT_ONCE):
        halves = estimator.interactions(sample.X[begin : begin + ROWS_AT_ONCE])  # type: ignore[attr-defined]
        halves = halves[:, None] if halves.ndim == 3 else halves
        blocks.append(np.where(known, 2 * halves[:, :, places[first], places[second]], 0.0))
    return _Pairs(np.concatenate(blocks))


def _partial(sample: Sample, chosen: Sequence[int]) -> _Pairs:
    """By partial dependence on the sample's own rows, each term centred."""
    alone = {column: _dependence(sample, (column,)) for column in chosen}
    values, shares = [], []
    for a, b in combinations(chosen, 2):
        both = _dependence(sample, (a, b))
        joint = both - alone[a] - alone[b]
        size = (both**2).sum()
        shares.append(float(np.sqrt((joint**2).sum() / size)) if size > 0 else 0.0)
        values.append(joint)
    shape = (len(sample.X), sample.parts.shape[1], 0)
    return _Pairs(np.stack(values, axis=-1) if values else np.zeros(shape), np.array(shares))


def _dependence(sample: Sample, columns: tuple[int, ...]) -> Array:
    """The mean score over all rows when these columns have the values of each row, (m, k), centred."""
    places, m = sample.places[list(columns)], len(sample.X)
    places = places[places >= 0]
    X = np.tile(sample.X, (m, 1))
    X[:, places] = np.repeat(sample.X[:, places], m, axis=0)
    raw = sample.fitted.estimator.raw(X).reshape(m, m, -1).mean(axis=1)
    return np.asarray(raw - raw.mean(axis=0))


def _told(
    names: tuple[str, str], folds: Sequence[tuple[Sample, _Pairs, int]], total: float, kind: Kind, shared: float
) -> Interaction:
    sizes = [np.abs(pairs.values[:, :, place]).mean(axis=1, keepdims=True) for _, pairs, place in folds]
    strength = estimate(np.array([size.mean() for size in sizes]), _luck(sizes, folds), shared, least=0.0)
    losses = [_lost(sample, pairs.values[:, :, place], kind) for sample, pairs, place in folds]
    known, gain = [loss for loss in losses if loss is not None], UNKNOWN
    if len(known) == len(losses):
        gain = estimate_loss(np.array([loss.mean() for loss in known]), _luck(known, folds), shared)
    shares = [pairs.h[place] for _, pairs, place in folds if pairs.h is not None]
    return Interaction(names, strength, strength.value / total, gain, float(np.mean(shares)) if shares else None)


def _luck(values: Sequence[Array], folds: Sequence[tuple[Sample, _Pairs, int]]) -> Luck:
    return luck_of(values, [sample.unit for sample, _, _ in folds])[0]


def _lost(sample: Sample, joint: Array, kind: Kind) -> Array | None:
    """What each row's loss gains without the joint part, by the mean loss, (m, 1); None for other kinds of target."""
    estimator = sample.fitted.estimator
    raw = estimator.raw(sample.X)
    if kind not in (*CLASSIFIED, "regression"):
        return None
    with_it = _losses(sample.y, respond(estimator, raw, kind), kind)
    without = _losses(sample.y, respond(estimator, raw - (joint if raw.ndim == 2 else joint[:, 0]), kind), kind)
    return np.asarray((without - with_it)[:, None] / max(float(with_it.mean()), 1e-300))


def _losses(y: Array, response: Array, kind: Kind) -> Array:
    return log_losses(y, response) if kind in CLASSIFIED else np.asarray((response - y) ** 2)
