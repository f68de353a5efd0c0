"""Would more data help? The champion's family refitted on shares of each training part, tested on the same rows.

Of timed rows the share is the latest, for more data will come at that end and the earliest share would confuse few rows with old
ones. Of others it is random, by whole clusters and by class; smaller shares lie within larger ones. A power law a + b · x^(−c)
(Hestness et al. 2017) is fitted through the scores and read off at twice the rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from epic22.core.data.engineering import Recipe
from epic22.core.data.examples import Examples
from epic22.core.data.split import EIGHTHS, FoldPlan, begins, training_share
from epic22.core.evaluation.crossval import (
    Evaluation,
    FoldResponse,
    declared_alone,
    fit_family,
    fold_draws,
    fold_means,
    percentiles,
)
from epic22.core.evaluation.power import LEAST
from epic22.core.models.base import Family, response_of
from epic22.core.task import Array, Metric, Rows, Task

SHARES = (1, 2, 4, EIGHTHS)
"""Eighths of the training parts; the last is the champion's own score, which costs no fit."""

FOLDS = 3
SECONDS = 300.0
"""A curve that is expected to take longer is measured on fewer folds, or not at all."""

FEWEST_EVENTS = 10
"""A hazard's share with fewer events is too small to be learned from."""

EXPONENTS = np.round(np.arange(0.1, 1.55, 0.1), 1)


@dataclass(frozen=True)
class CurvePoint:
    """The mean score over the folds where training parts had `rows` rows on average."""

    rows: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """The scores by number of training rows, and what twice the rows are expected to gain (> 0: better), with 95 % intervals.

    `least` is the smallest gain that matters. `refused` says why there is no curve.
    """

    metric: str
    folds: int
    points: tuple[CurvePoint, ...] = ()
    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    least: float = math.nan
    refused: str = ""

    @property
    def words(self) -> str:
        """Whether more data would help, in a sentence."""
        if self.refused:
            return f"no learning curve: {self.refused}"
        said = f"doubling the rows is expected to gain {self.gain:.2g} ({self.low:.2g} … {self.high:.2g}) in {self.metric}"
        if self.high < self.least:
            return f"more data would not help: {said}, and less than {self.least:.2g} does not matter"
        if self.low > 0:
            much = "help" if self.gain >= self.least else f"help little (less than {self.least:.2g}, the least that matters)"
            return f"more data would {much}: {said}"
        return f"can't tell whether more data would help: {said}"


def learning_curve(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    family: Family,
    champion: Evaluation,
    seed: int,
    threads: int,
    seconds: float = SECONDS,
    step: Callable[[], None] = lambda: None,
    recipes: Callable[[Array], Recipe] = declared_alone,
) -> LearningCurve:
    """The curve of `family`, whose evaluation on the whole training parts is `champion`; `step` is called after each fit.

    `recipes` gives the columns that were planned on a whole training part, which its shares get too.
    """
    metric = task.target.metric
    places = _folds_for(plan, champion.fit_seconds, seconds)
    if not places:
        needed = _cost(champion.fit_seconds, 1)
        return LearningCurve(metric.name, 0, refused=f"it would take about {needed:,.0f} s, more than {seconds:,.0f} s")
    measured: list[tuple[int, tuple[FoldResponse, ...]]] = []
    for eighths in SHARES[:-1]:
        trains = [training_share(plan, examples, plan.folds[i].train, task.target.kind, eighths, seed) for i in places]
        if any(_lacks(examples, train, task) for train in trains):
            continue
        parts = []
        for i, train in zip(places, trains, strict=True):
            fold = plan.folds[i]
            known = examples.as_known(begins(examples, fold), plan.gap)
            fitted = fit_family(family, task, known, plan, train, seed, threads, recipes(fold.train))
            X = fitted.preprocessor.transform(examples.take(fold.test).X)
            parts.append(FoldResponse(fold, response_of(fitted.estimator, X, task.target.kind)))
            step()
        measured.append((round(float(np.mean([len(train) for train in trains]))), tuple(parts)))
    whole = tuple(champion.parts[i] for i in places)
    measured.append((round(float(np.mean([len(part.fold.train) for part in whole]))), whole))
    if len(measured) < 3:
        return LearningCurve(metric.name, len(places), refused="smaller shares of the training rows lack a class")
    return _curve(measured, metric, task.least, examples, plan, seed)


def _folds_for(plan: FoldPlan, fit_seconds: float, seconds: float) -> list[int]:
    """The last forward folds, which have most rows; else the first folds of the first dealing. As many as the time allows."""
    count = min(FOLDS, plan.n)
    while count and _cost(fit_seconds, count) > seconds:
        count -= 1
    forward = plan.kind == "walk_forward"
    return list(range(len(plan.folds) - count, len(plan.folds)) if forward else range(count))


def _cost(fit_seconds: float, folds: int) -> float:
    return fit_seconds * folds * sum(SHARES[:-1]) / EIGHTHS


def _lacks(examples: Examples, train: Array, task: Task) -> bool:
    """Whether a share is too small to be learned from."""
    if len(train) < 20:
        return True
    if task.target.kind == "hazard":
        return bool(examples.Y[train, 1].sum() < FEWEST_EVENTS)
    return task.target.kind != "regression" and len(np.unique(examples.y[train])) < len(np.unique(examples.y))


def _curve(
    measured: list[tuple[int, tuple[FoldResponse, ...]]],
    metric: Metric,
    least: float | None,
    examples: Examples,
    plan: FoldPlan,
    seed: int,
) -> LearningCurve:
    rows = np.array([count for count, _ in measured], dtype=np.float64)
    scores = np.array([_mean(parts, metric, examples) for _, parts in measured])
    drawn = np.stack([fold_draws((metric,), parts, examples, plan, seed)[0] for _, parts in measured], axis=1)
    draws = fold_means(_of_drawn_folds(drawn, seed))
    sign = 1 if metric.greater_is_better else -1
    gain = float(sign * doubling_gain(rows, scores[None, :])[0])
    known = draws[~np.isnan(draws).any(axis=1)]
    low, high = percentiles(sign * doubling_gain(rows, known)) if len(known) > len(draws) / 2 else (math.nan, math.nan)
    points = tuple(
        CurvePoint(int(count), float(score), *percentiles(draws[:, i]))
        for i, (count, score) in enumerate(zip(rows, scores, strict=True))
    )
    matters = LEAST * abs(float(scores[-1])) if least is None else least
    return LearningCurve(metric.name, drawn.shape[-1], points, gain, low, high, matters)


def _mean(parts: tuple[FoldResponse, ...], metric: Metric, examples: Examples) -> float:
    return float(fold_means(np.array([metric.score(examples.y[p.fold.test], p.response, Rows()) for p in parts])))


def _of_drawn_folds(drawn: Array, seed: int) -> Array:
    """The folds, the last axis of (draws, shares, folds), drawn with replacement too: each was trained on other rows."""
    rng = np.random.default_rng([seed, 55])
    chosen = rng.integers(0, drawn.shape[2], (len(drawn), 1, drawn.shape[2]))
    return np.take_along_axis(drawn, np.broadcast_to(chosen, drawn.shape), axis=2)


def doubling_gain(rows: Array, scores: Array) -> Array:
    """What a power law through scores (d, s) at numbers of rows (s,) adds from the last of them to twice as many, (d,).

    The exponent is the one of EXPONENTS that leaves least; given it, a and b are least squares.

    >>> rows = np.array([100.0, 200.0, 400.0, 800.0])
    >>> doubling_gain(rows, 1 - 5 * rows[None, :] ** -0.5).round(4)
    array([0.0518])
    """
    x = rows / rows[-1]
    left, gains = [], []
    for c in EXPONENTS:
        design = np.column_stack([np.ones(len(x)), x**-c])
        weights = scores @ np.linalg.pinv(design).T
        left.append(((scores - weights @ design.T) ** 2).sum(axis=1))
        gains.append(weights[:, 1] * (2**-c - 1))
    return np.asarray(np.take_along_axis(np.stack(gains), np.argmin(left, axis=0)[None, :], axis=0)[0])
