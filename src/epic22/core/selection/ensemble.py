"""Which models to average, and how: greedy selection with replacement over out-of-fold scores (Caruana et al. 2004).

m = candidates, n = out-of-fold rows. Scores are those before the link, so that the average stays additive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.metrics import log_losses
from epic22.core.models.base import CLASSIFIED, link
from epic22.core.models.logged import is_smeared
from epic22.core.models.loss import Loss, bend_of, tamed
from epic22.core.models.scale import EXPONENTIAL, IDENTITY, Scale, fit_smearing, smearing
from epic22.core.task import Array, Rows, Target

PICKS = 25
"""Picks with replacement: no weight is smaller than a twenty-fifth."""

LIGHTEST = 0.05
"""What weighs less is left out: it costs an answer as much time as the others."""

MOST_ROWS = 15_000
"""Rows that the selection looks at; of more, as many evenly spread ones."""

SQUARED_ERRORS = ("root_mean_squared_error", "r2")

Value = Callable[[Array], float]
"""How good scores before the link (n,) or (n, k) are; greater is better."""


@dataclass(frozen=True)
class Blend:
    """Weights (m,) that sum to 1, and what they are worth.

    `raw` (n,) or (n, k): the average's scores, in each fold by weights that were chosen on the other folds. `gain` is that of
    those over the best candidate, chosen on the other folds as well, by `steady_of`; `error` its standard error over folds.
    """

    weights: Array
    raw: Array
    gain: float
    error: float


def value_of(target: Target, y: Array) -> Value:
    """The target's metric of scores before the link against labels (n,), turned so that greater is better."""
    metric = target.metric

    def value(raw: Array) -> float:
        return metric.gain(metric.score(y, _quickly(target, raw, y), Rows()), 0.0)

    return value


def loss_of(target: Target, y: Array, raws: Array) -> Value:
    """Less the mean loss of scores before the link: log loss, or the loss of the target's values.

    Squared errors are tamed where the average of the candidates `raws` (m, n) has its greatest, and told in the label's unit.
    """
    loss = Loss.of(target)
    if target.kind in CLASSIFIED:
        return lambda raw: -float(np.mean(log_losses(y, _quickly(target, raw, y))))
    if loss.name != "squared":
        return lambda raw: -float(np.mean(loss.rows(y, _quickly(target, raw, y))))
    bend = bend_of(_quickly(target, raws.mean(axis=0), y) - y)
    return lambda raw: -float(np.sqrt(np.mean(tamed(_quickly(target, raw, y) - y, bend))))


def steady_of(target: Target, y: Array, raws: Array) -> Value:
    """What judges averages: the target's metric, but the tamed loss in place of one of squared errors, which few rows decide."""
    return loss_of(target, y, raws) if target.metric.name in SQUARED_ERRORS else value_of(target, y)


def response_to(target: Target, raw: Array, y: Array) -> Array:
    """The response of held-out scores before the link: of logarithms with the scale that belongs to these rows."""
    if target.kind in CLASSIFIED:
        return link(raw, target.kind)
    value: Array = scale_for(target, raw, y)(raw)
    return value


def scale_for(target: Target, raw: Array, y: Array) -> Scale:
    """How scores of a target of values become values, by held-out scores (n,) and labels (n,)."""
    if target.log and is_smeared(target):
        return fit_smearing(raw, y)
    return EXPONENTIAL if target.log or Loss.of(target).log_link else IDENTITY


def _quickly(target: Target, raw: Array, y: Array) -> Array:
    """`response_to` as hundreds of averages need it: one factor makes exponentials of logarithms means, whatever their size."""
    if target.kind not in CLASSIFIED and target.log and is_smeared(target):
        return smearing(raw, y, 1)(raw)
    return response_to(target, raw, y)


def greedy_weights(raws: Sequence[Array] | Array, value: Value, picks: int = PICKS) -> Array:
    """Weights (m,): at each pick the candidate is added that makes the average best, until none of `picks` makes it better again.

    >>> y = np.array([0.0, 1.0, 2.0])
    >>> raws = [y + [0.5, 0.5, 0.5], y - [0.5, 0.5, 0.5]]
    >>> greedy_weights(raws, lambda raw: -float(((raw - y) ** 2).mean())).tolist()
    [0.5, 0.5]
    """
    times = np.zeros(len(raws))
    total = np.zeros_like(np.asarray(raws[0], dtype=np.float64))
    best_times, best_value = times.copy(), -np.inf
    for count in range(1, picks + 1):
        values = [value((total + raw) / count) for raw in raws]
        chosen = int(np.argmax(values))
        times[chosen] += 1
        total = total + raws[chosen]
        if values[chosen] > best_value + 1e-12:
            best_times, best_value = times.copy(), values[chosen]
    return np.asarray(best_times / best_times.sum())


def blend(raws: Sequence[Array], y: Array, fold: Array, target: Target, picks: int = PICKS) -> Blend:
    """The weights of candidates' out-of-fold scores, or all weight on the best where averaging is certainly worse.

    The weights are the mean of those that make the deciding metric best and those that make the loss best: a metric of ranks
    hears little of most rows, one of squared errors is decided by few, and its best average is often luck. `fold` (n,) numbers
    the fold of each row; a single fold cannot judge, and its weights are taken as they are.
    """
    everything = np.stack([np.asarray(raw, dtype=np.float64) for raw in raws])
    weights = _weights(everything, y, target, picks)
    numbers = np.unique(fold)
    if len(numbers) == 1:
        return Blend(weights, _mixed(weights, everything), float("nan"), float("nan"))
    left_out, gains = np.empty_like(everything[0]), []
    for number in numbers:
        judged, taught = fold == number, fold != number
        others = everything[:, taught]
        left_out[judged] = _mixed(_weights(others, y[taught], target, picks), everything[:, judged])
        value = steady_of(target, y[judged], everything[:, judged])
        best = everything[_best(others, steady_of(target, y[taught], others))]
        gains.append(value(left_out[judged]) - value(best[judged]))
    known = np.array([gain for gain in gains if np.isfinite(gain)])
    gain = float(known.mean()) if len(known) else float("nan")
    error = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan")
    if gain + error < 0:
        weights = np.eye(len(raws))[_best(everything, steady_of(target, y, everything))]
    return Blend(weights, left_out, gain, error)


def _weights(raws: Array, y: Array, target: Target, picks: int) -> Array:
    """Half by the deciding metric, half by the loss, on at most MOST_ROWS rows."""
    rows = _spread(len(y))
    held, labels = raws[:, rows], y[rows]
    judges = (value_of(target, labels), loss_of(target, labels, held))
    weights = np.mean([greedy_weights(held, judge, picks) for judge in judges], axis=0)
    weights = np.where(weights < min(LIGHTEST, weights.max()), 0.0, weights)
    return np.asarray(weights / weights.sum())


def _mixed(weights: Array, raws: Array) -> Array:
    return np.asarray(np.tensordot(weights, raws, axes=1))


def _best(raws: Array, value: Value) -> int:
    return int(np.argmax([value(raw) for raw in raws]))


def _spread(count: int) -> Array:
    return np.arange(count) if count <= MOST_ROWS else np.linspace(0, count - 1, MOST_ROWS).astype(np.int64)
