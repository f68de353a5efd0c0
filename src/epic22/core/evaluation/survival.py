"""Scores of a hazard where some rows were lost from sight, weighted by the inverse of the chance to be still in sight.

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
from epic22.core.evaluation.drawn import DRAWN, Drawn, Part, Summary
from epic22.core.task import Array, Known, Later, Metric, Rows, Target

LEAST_FOLLOWED = 0.1
"""A horizon to which a smaller share was followed has no score: a few rows would stand for all."""

MOST_PAIRS = 40_000_000
"""Pairs of rows that concordance looks at; where there are more, every so many events is taken, in order of time."""

MOST_HORIZONS = 4
"""Horizons that are scored one by one; calibration is told at all of them."""


def in_sight(y: Array, asked: Array) -> Array:
    """The chance of being followed at least to each moment asked: events, which come first at equal times, censor it."""
    moments, code = np.unique(y[:, 0], return_inverse=True)
    lost = np.bincount(code, weights=y[:, 1] == 0, minlength=len(moments))
    events = np.bincount(code, weights=y[:, 1] == 1, minlength=len(moments))
    at_risk = len(y) - (np.cumsum(lost + events) - (lost + events)) - events
    curve = np.concatenate([[1.0], np.cumprod(1 - np.divide(lost, at_risk, out=np.zeros(len(lost)), where=at_risk > 0))])
    return np.asarray(curve[np.searchsorted(moments, asked, side="left")])


def status(y: Array, horizon: float) -> tuple[Array, Array]:
    """Whether the event came up to the horizon, (n,), and what each row weighs, (n,): 0 where that is not known.

    All weigh 0 where less than LEAST_FOLLOWED of the rows can have been followed so far.
    """
    happened = (y[:, 1] == 1) & (y[:, 0] <= horizon)
    known = happened | (y[:, 0] >= horizon)
    chance = in_sight(y, np.minimum(y[:, 0], horizon))
    weight = np.divide(1.0, chance, out=np.zeros(len(y)), where=known & (chance > 0))
    enough = len(y) > 0 and float(in_sight(y, np.array([horizon]))[0]) >= LEAST_FOLLOWED
    return happened.astype(np.float64), weight if enough else np.zeros(len(y))


@dataclass(frozen=True)
class AtHorizon:
    """A score of two classes, taken at one horizon of a hazard. NaN where the horizon was not followed or not answered."""

    base: Callable[[Array, Array, Rows], float]
    place: int
    horizon: float

    def part(self, y: Array, response: Array, unit: Array) -> Part:
        """The rows as two classes at the horizon, each with its weight."""
        happened, weight = status(y, self.horizon)
        told = response[:, self.place]
        answered = np.isfinite(told).all()
        return Part(happened, told if answered else np.zeros(len(y)), unit, weight if answered else np.zeros(len(y)))

    def __call__(self, y: Array, response: Array, rows: Rows = Rows()) -> float:
        """The score of these rows; their weights multiply those of the censoring."""
        part = self.part(y, response, np.zeros(len(y), dtype=np.int64))
        weight = part.weight if rows.weight is None or part.weight is None else part.weight * rows.weight
        return self.base(part.y, part.response, Rows(weight=weight))

    @property
    def drawn(self) -> Drawn:
        """The score in many draws; the curve of the censoring is taken as it is in all of them."""
        base = DRAWN[self.base]
        return Drawn(_Prepared(base.prepare, self), base.finish)


@dataclass(frozen=True)
class _Prepared:
    """A summary of the rows at one horizon; equal for equal horizons, so that scores share it."""

    prepare: Callable[[Part], Summary]
    at: AtHorizon

    def __call__(self, part: Part) -> Summary:
        return self.prepare(self.at.part(part.y, part.response, part.unit))


@dataclass(frozen=True)
class IntegratedBrier:
    """The Brier score averaged over the days of the grid, by trapezoids from 0 at day 0, as far as the rows were followed."""

    edges: tuple[float, ...]

    def __call__(self, y: Array, response: Array, rows: Rows = Rows()) -> float:
        """The score of these rows."""
        each = [AtHorizon(metrics.brier_score, j, edge)(y, response, rows) for j, edge in enumerate(self.edges)]
        return float(self.averaged(np.array([each]))[0])

    def averaged(self, scores: Array) -> Array:
        """Averages (d,) of scores (d, h) up to the first horizon that has none."""
        reached = int(np.isfinite(scores).any(axis=0).cumprod().sum())
        if not reached:
            return np.full(len(scores), math.nan)
        widths = np.diff(self.edges[:reached], prepend=0.0)
        before = np.concatenate([np.zeros((len(scores), 1)), scores[:, : reached - 1]], axis=1)
        return np.asarray(((before + scores[:, :reached]) / 2 * widths).sum(axis=1) / self.edges[reached - 1])

    @property
    def drawn(self) -> Drawn:
        """The score in many draws."""
        return Drawn(self._prepare, self._finish)

    def _prepare(self, part: Part) -> Summary:
        brier = DRAWN[metrics.brier_score].prepare
        each = [_Prepared(brier, AtHorizon(metrics.brier_score, j, edge))(part) for j, edge in enumerate(self.edges)]
        return lambda times: tuple(total for summary in each for total in summary(times))

    def _finish(self, *sums: Array) -> Array:
        each = [DRAWN[metrics.brier_score].finish(*sums[i : i + 2]) for i in range(0, len(sums), 2)]
        return self.averaged(np.stack(each, axis=1))


@dataclass(frozen=True)
class Concordance:
    """The chance that of two rows the one with the earlier event was given the higher risk (Uno et al. 2011), ties half.

    Pairs are those whose earlier time is an event before the last horizon that was followed; each weighs by the square of the
    chance to see it. The risk is the probability up to the horizon at `place`.
    """

    place: int
    edges: tuple[float, ...]

    def __call__(self, y: Array, response: Array, rows: Rows = Rows()) -> float:
        """The score of these rows."""
        weight = np.ones(len(y)) if rows.weight is None else rows.weight
        _, right, all_ = self._pairs(y, response[:, self.place], np.zeros(len(y), dtype=np.int64), weight)
        return float(right.sum() / all_.sum()) if all_.sum() > 0 else math.nan

    @property
    def drawn(self) -> Drawn:
        """The score in many draws, by pairs of clusters."""
        return Drawn(self._prepare, _shares)

    def _prepare(self, part: Part) -> Summary:
        of, right, all_ = self._pairs(part.y, part.response[:, self.place], part.unit, np.ones(len(part.y)))

        def summary(times: Array) -> tuple[Array, ...]:
            # Not by BLAS, as in `drawn`.
            return tuple(np.einsum("du,du->d", np.einsum("de,eu->du", times[:, of], pairs), times) for pairs in (right, all_))

        return summary

    def _pairs(self, y: Array, risk: Array, unit: Array, weight: Array) -> tuple[Array, Array, Array]:
        """Clusters with events (e,), and by them and every cluster, (e, u): weight of pairs in order, and of all pairs."""
        followed = [edge for edge in self.edges if in_sight(y, np.array([edge]))[0] >= LEAST_FOLLOWED] if len(y) else []
        last, count = max(followed, default=0.0), int(unit.max(initial=0)) + 1
        events = np.flatnonzero((y[:, 1] == 1) & (y[:, 0] <= last) & bool(np.isfinite(risk).all()))
        events = events[np.argsort(y[events, 0], kind="stable")]
        events = events[:: max(1, -(-len(events) * len(y) // MOST_PAIRS))]
        of, code = np.unique(unit[events], return_inverse=True)
        right, all_ = np.zeros((len(of), count)), np.zeros((len(of), count))
        square = weight[events] / np.maximum(in_sight(y, y[events, 0]), LEAST_FOLLOWED) ** 2
        for event, mine, size in zip(events, code, square, strict=True):
            later = np.flatnonzero((y[:, 0] > y[event, 0]) | ((y[:, 0] == y[event, 0]) & (y[:, 1] == 0)))
            order = (risk[later] < risk[event]) + 0.5 * (risk[later] == risk[event])
            right[mine] += size * np.bincount(unit[later], weights=weight[later] * order, minlength=count)
            all_[mine] += size * np.bincount(unit[later], weights=weight[later], minlength=count)
        return of, right, all_


def _shares(right: Array, all_: Array) -> Array:
    return np.divide(right, all_, out=np.full_like(right, np.nan), where=all_ > 0)


def place_of(target: Target) -> int:
    """Where the deciding horizon stands among a hazard's horizons; the last where none decides."""
    return len(target.horizons) - 1 if target.decides is None else target.horizons.index(target.decides)


def at_horizon(metric: Metric, target: Target, horizon: float) -> Metric:
    """The metric of two classes at a horizon of the target: `average_precision_30d`."""
    score = AtHorizon(metric.score, target.horizons.index(horizon), horizon)
    return Metric(f"{metric.name}_{horizon:g}d", score, metric.greater_is_better, metric.response, metric.unit)


def hazard_metrics(target: Target) -> tuple[Metric, ...]:
    """What is reported of a hazard; average precision at the deciding horizon comes first, and decides.

    Then Brier and log loss there, the Brier score integrated over the grid, concordance, and the three at other horizons: the
    first, the middle and the last.
    """
    judged, horizons = (metrics.AVERAGE_PRECISION, metrics.BRIER_SCORE, metrics.LOG_LOSS), target.horizons
    main, last = place_of(target), len(horizons) - 1
    others = sorted({0, last // 2, last} - {main})[: MOST_HORIZONS - 1]
    return (
        *(at_horizon(metric, target, horizons[main]) for metric in judged),
        Metric("integrated_brier", IntegratedBrier(horizons), False, "probability"),
        Metric("concordance", Concordance(main, horizons), True, "probability"),
        *(at_horizon(metric, target, horizons[j]) for j in others for metric in judged),
    )


def hazard_target(
    name: str,
    labels: Callable[[Known, Later], pl.DataFrame],
    horizons: tuple[float, ...],
    decides: float,
    classes: tuple[str, ...] = (),
) -> Target:
    """A target of kind hazard, judged by average precision at the horizon that decides, guarded by Brier and log loss there.

    The second of `classes` is what the event is called.
    """
    bare = Target(name, "hazard", labels, metrics.AVERAGE_PRECISION, horizons, classes, decides=decides)
    first, *guards = (
        at_horizon(metric, bare, decides) for metric in (metrics.AVERAGE_PRECISION, metrics.BRIER_SCORE, metrics.LOG_LOSS)
    )
    return replace(bare, metric=first, guards=tuple(guards))


def target_metrics(target: Target) -> tuple[Metric, ...]:
    """What is reported of a target; the first one decides unless the task says otherwise."""
    return hazard_metrics(target) if target.kind == "hazard" else metrics.metrics_of(target)
