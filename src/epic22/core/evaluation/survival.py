"""Scores of a hazard with censored rows, weighted by the inverse probability of censoring.

At a horizon a row counts where its outcome is known: it had the event before, or was followed so long without it. It weighs
1 ÷ the chance of being followed to that moment (Kaplan and Meier's curve of the censoring; Graf et al. 1999), so that those who
were seen stand for those who were not. Leaving rows out without weights, or counting them as having had no event, is biased.

y (n, 2): duration in days, and 1 where the event ended it. Response (n, h): probability of the event up to each horizon.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.core.evaluation import metrics
from epic22.core.evaluation.predictions import ClusteredPredictions
from epic22.core.task import Array, AsOfView, Future, Metric, RowMetadata, Target

MIN_FOLLOWED_SHARE = 0.1
"""A horizon to which a smaller share was followed has no score: a few rows would stand for all."""

MAX_PAIRS = 40_000_000
"""Pairs of rows that concordance looks at; where there are more, every n-th event is taken, in order of time."""

MAX_HORIZONS = 4
"""Horizons that are scored one by one; calibration is reported at all of them."""


def compute_censoring_survival(y: Array, times: Array) -> Array:
    """The chance of being followed at least to each moment asked: events, which come first at equal times, censor it."""
    moments, code = np.unique(y[:, 0], return_inverse=True)
    lost = np.bincount(code, weights=y[:, 1] == 0, minlength=len(moments))
    events = np.bincount(code, weights=y[:, 1] == 1, minlength=len(moments))
    at_risk = len(y) - (np.cumsum(lost + events) - (lost + events)) - events
    curve = np.concatenate([[1.0], np.cumprod(1 - np.divide(lost, at_risk, out=np.zeros(len(lost)), where=at_risk > 0))])
    return np.asarray(curve[np.searchsorted(moments, times, side="left")])


def label_at_horizon(y: Array, horizon: float) -> tuple[Array, Array]:
    """Whether the event came up to the horizon, (n,), and what each row weighs, (n,): 0 where that is not known.

    All weigh 0 where less than MIN_FOLLOWED_SHARE of the rows can have been followed so far.
    """
    happened = (y[:, 1] == 1) & (y[:, 0] <= horizon)
    is_known = happened | (y[:, 0] >= horizon)
    chance = compute_censoring_survival(y, np.minimum(y[:, 0], horizon))
    weight = np.divide(1.0, chance, out=np.zeros(len(y)), where=is_known & (chance > 0))
    enough = len(y) > 0 and float(compute_censoring_survival(y, np.array([horizon]))[0]) >= MIN_FOLLOWED_SHARE
    return happened.astype(np.float64), weight if enough else np.zeros(len(y))


@dataclass(frozen=True)
class HorizonScore:
    """A score of two classes, taken at one horizon of a hazard. NaN where the horizon was not followed or not answered."""

    base: Callable[[Array, Array, RowMetadata], float]
    horizon_index: int
    horizon: float

    def select_horizon(self, y: Array, response: Array, cluster: Array) -> ClusteredPredictions:
        """The rows as two classes at the horizon, each with its weight."""
        happened, weight = label_at_horizon(y, self.horizon)
        response_at_horizon = response[:, self.horizon_index]
        answered = np.isfinite(response_at_horizon).all()
        return ClusteredPredictions(
            happened, response_at_horizon if answered else np.zeros(len(y)), cluster, weight if answered else np.zeros(len(y))
        )

    def __call__(self, y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
        """The score of these rows; their weights multiply those of the censoring."""
        part = self.select_horizon(y, response, np.zeros(len(y), dtype=np.int64))
        weight = part.weight if rows.weight is None or part.weight is None else part.weight * rows.weight
        return self.base(part.y, part.response, RowMetadata(weight=weight))


@dataclass(frozen=True)
class IntegratedBrier:
    """The Brier score averaged over the days of the grid, by trapezoids from 0 at day 0, as far as the rows were followed."""

    edges: tuple[float, ...]

    def __call__(self, y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
        """The score of these rows."""
        each = [HorizonScore(metrics.brier_score, j, edge)(y, response, rows) for j, edge in enumerate(self.edges)]
        return float(self.average_over_time(np.array([each]))[0])

    def average_over_time(self, scores: Array) -> Array:
        """Averages (d,) of scores (d, h) up to the first horizon that has none."""
        reached = int(np.isfinite(scores).any(axis=0).cumprod().sum())
        if not reached:
            return np.full(len(scores), math.nan)
        widths = np.diff(self.edges[:reached], prepend=0.0)
        before = np.concatenate([np.zeros((len(scores), 1)), scores[:, : reached - 1]], axis=1)
        return np.asarray(((before + scores[:, :reached]) / 2 * widths).sum(axis=1) / self.edges[reached - 1])


@dataclass(frozen=True)
class Concordance:
    """The chance that of two rows the one with the earlier event was given the higher risk (Uno et al. 2011), ties half.

    Pairs are those whose earlier time is an event before the last horizon that was followed; each weighs by the square of the
    chance to see it. The risk is the probability up to the horizon at `horizon_index`.
    """

    horizon_index: int
    edges: tuple[float, ...]

    def __call__(self, y: Array, response: Array, rows: RowMetadata = RowMetadata()) -> float:
        """The score of these rows."""
        weight = np.ones(len(y)) if rows.weight is None else rows.weight
        _, right, all_ = self.count_pairs(y, response[:, self.horizon_index], np.zeros(len(y), dtype=np.int64), weight)
        return float(right.sum() / all_.sum()) if all_.sum() > 0 else math.nan

    def count_pairs(self, y: Array, risk: Array, cluster: Array, weight: Array) -> tuple[Array, Array, Array]:
        """Clusters with events (e,), and by them and every cluster, (e, u): weight of pairs in order, and of all pairs."""
        followed = (
            [edge for edge in self.edges if compute_censoring_survival(y, np.array([edge]))[0] >= MIN_FOLLOWED_SHARE]
            if len(y)
            else []
        )
        last, count = max(followed, default=0.0), int(cluster.max(initial=0)) + 1
        events = np.flatnonzero((y[:, 1] == 1) & (y[:, 0] <= last) & bool(np.isfinite(risk).all()))
        events = events[np.argsort(y[events, 0], kind="stable")]
        events = events[:: max(1, -(-len(events) * len(y) // MAX_PAIRS))]
        of, code = np.unique(cluster[events], return_inverse=True)
        right, all_ = np.zeros((len(of), count)), np.zeros((len(of), count))
        square = weight[events] / np.maximum(compute_censoring_survival(y, y[events, 0]), MIN_FOLLOWED_SHARE) ** 2
        for event, event_cluster, size in zip(events, code, square, strict=True):
            survivors = np.flatnonzero((y[:, 0] > y[event, 0]) | ((y[:, 0] == y[event, 0]) & (y[:, 1] == 0)))
            order = (risk[survivors] < risk[event]) + 0.5 * (risk[survivors] == risk[event])
            right[event_cluster] += size * np.bincount(cluster[survivors], weights=weight[survivors] * order, minlength=count)
            all_[event_cluster] += size * np.bincount(cluster[survivors], weights=weight[survivors], minlength=count)
        return of, right, all_


def find_horizon_index(target: Target) -> int:
    """Where the deciding horizon stands among a hazard's horizons; the last where none decides."""
    return len(target.horizons) - 1 if target.decision_horizon is None else target.horizons.index(target.decision_horizon)


def make_horizon_metric(metric: Metric, target: Target, horizon: float) -> Metric:
    """The metric of two classes at a horizon of the target: `average_precision_30d`."""
    score = HorizonScore(metric.score, target.horizons.index(horizon), horizon)
    return Metric(f"{metric.name}_{horizon:g}d", score, metric.greater_is_better, metric.response, metric.unit, metric.bounds)


def list_hazard_metrics(target: Target) -> tuple[Metric, ...]:
    """What is reported of a hazard; average precision at the deciding horizon comes first, and decides.

    Then Brier and log loss there, the Brier score integrated over the grid, concordance, the three at other horizons (the first,
    the middle and the last), and what the target names itself.
    """
    base_metrics, horizons = (metrics.AVERAGE_PRECISION, metrics.BRIER_SCORE, metrics.LOG_LOSS), target.horizons
    main, last = find_horizon_index(target), len(horizons) - 1
    others = sorted({0, last // 2, last} - {main})[: MAX_HORIZONS - 1]
    usual = (
        *(make_horizon_metric(metric, target, horizons[main]) for metric in base_metrics),
        Metric("integrated_brier", IntegratedBrier(horizons), False, "probability", bounds=metrics.SHARE),
        Metric("concordance", Concordance(main, horizons), True, "probability", bounds=metrics.SHARE),
        *(make_horizon_metric(metric, target, horizons[j]) for j in others for metric in base_metrics),
    )
    return metrics.add_metrics(usual, target.secondary_metrics)


def build_hazard_target(
    name: str,
    labels: Callable[[AsOfView, Future], pl.DataFrame],
    horizons: tuple[float, ...],
    decision_horizon: float,
    classes: tuple[str, ...] = (),
    secondary_metrics: tuple[Metric, ...] = (),
) -> Target:
    """A target of kind hazard, judged at `decision_horizon` by average precision; `secondary_metrics`, of two classes, are
    reported of the same horizon beside those of all hazards.

    The second of `classes` is what the event is called.
    """
    bare = Target(name, "hazard", labels, metrics.AVERAGE_PRECISION, horizons, classes, decision_horizon=decision_horizon)
    first, *others = (
        make_horizon_metric(metric, bare, decision_horizon) for metric in (metrics.AVERAGE_PRECISION, *secondary_metrics)
    )
    return replace(bare, metric=first, secondary_metrics=tuple(others))


def list_target_metrics(target: Target) -> tuple[Metric, ...]:
    """What is reported of a target; the first one decides unless the task says otherwise."""
    return list_hazard_metrics(target) if target.traits.is_time_to_event else metrics.list_metrics(target)
