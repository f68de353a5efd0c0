"""Would more data help? The champion's family refitted on shares of each training part, tested on the same rows.

Of timed rows the share is the latest, for more data will come at that end and the earliest share would confuse few rows with old
ones. Of others it is random, by whole clusters and by class; smaller shares lie within larger ones. A power law a + b · x^(−c)
(Hestness et al. 2017) is fitted through the scores and read off at twice the rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.data.folds import FoldPlan
from epic22.core.evaluation.bootstrap import average_folds, bootstrap_folds, compute_percentile_interval, resample_folds
from epic22.core.evaluation.crossval import Evaluation, fit_family, make_default_recipe
from epic22.core.evaluation.inner_folds import LEARNING_CURVE_PARTS, select_training_share
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.base import Family, predict_response
from epic22.core.statistics import UNDEFINED_INTERVAL, Interval
from epic22.core.task import Array, Metric, RowMetadata

TRAINING_EIGHTHS = (1, 2, 4, LEARNING_CURVE_PARTS)
"""Eighths of the training parts; the last is the champion's own score, which costs no fit."""

MAX_FOLDS = 3
MAX_SECONDS = 300.0
"""A curve that is expected to take longer is measured on fewer folds, or not at all."""

EXPONENTS = np.round(np.arange(0.1, 1.55, 0.1), 1)


@dataclass(frozen=True)
class CurvePoint(Interval):
    """The mean score over the folds where training parts had `rows` rows on average."""

    rows: int


@dataclass(frozen=True)
class LearningCurve:
    """The scores by number of training rows, and what twice the rows are expected to gain (> 0: better), with 95 % intervals.

    `minimum_effect` is the smallest gain that matters. `refusal` says why there is no curve.
    """

    metric: str
    folds: int
    points: tuple[CurvePoint, ...] = ()
    gain: Interval = UNDEFINED_INTERVAL
    minimum_effect: float = math.nan
    refusal: str = ""

    @property
    def words(self) -> str:
        """Whether more data would help, in a sentence."""
        if self.refusal:
            return f"no learning curve: {self.refusal}"
        gain = self.gain
        interval = f"{gain.value:.2g} ({gain.low:.2g} … {gain.high:.2g})"
        expectation = f"doubling the rows is expected to gain {interval} in {self.metric}"
        if gain.high < self.minimum_effect:
            return f"more data would not help: {expectation}, and less than {self.minimum_effect:.2g} does not matter"
        if gain.low > 0:
            much = (
                "help"
                if gain.value >= self.minimum_effect
                else f"help little (less than {self.minimum_effect:.2g}, the least that matters)"
            )
            return f"more data would {much}: {expectation}"
        return f"can't tell whether more data would help: {expectation}"


def measure_learning_curve(
    experiment: Experiment,
    family: Family,
    champion: Evaluation,
    seconds: float = MAX_SECONDS,
    progress: Callable[[], None] = lambda: None,
    recipes: Callable[[Array], FeatureRecipe] = make_default_recipe,
) -> LearningCurve:
    """The curve of `family`, whose evaluation on the whole training parts is `champion`; `progress` is called after each fit.

    `recipes` gives the columns that were planned on a whole training part, which its shares get too.
    """
    task, examples, plan, metric = experiment.task, experiment.examples, experiment.plan, experiment.task.target.metric
    traits, fold_indices = task.target.traits, _choose_folds(plan, champion.fit_seconds, seconds)
    if not fold_indices:
        needed = _estimate_seconds(champion.fit_seconds, 1)
        return LearningCurve(metric.name, 0, refusal=f"it would take about {needed:,.0f} s, more than {seconds:,.0f} s")
    measured: list[tuple[int, tuple[FoldPredictions, ...]]] = []
    for eighths in TRAINING_EIGHTHS[:-1]:
        trains = [select_training_share(experiment, plan.folds[i].train, eighths) for i in fold_indices]
        if any(len(train) < 20 or not traits.can_learn_from(examples.y[train], examples.y) for train in trains):
            continue
        parts = []
        for i, train in zip(fold_indices, trains, strict=True):
            fold = plan.folds[i]
            known = replace(experiment, examples=experiment.censor_for(fold))
            fitted = fit_family(known, family, train, recipes(fold.train))
            X = fitted.preprocessor.transform(examples.take(fold.test).X)
            parts.append(FoldPredictions(fold, predict_response(fitted.estimator, X, task.target.kind, task.target.floor)))
            progress()
        measured.append((round(float(np.mean([len(train) for train in trains]))), tuple(parts)))
    whole = tuple(champion.fold_predictions[i] for i in fold_indices)
    measured.append((round(float(np.mean([len(part.fold.train) for part in whole]))), whole))
    if len(measured) < 3:
        return LearningCurve(metric.name, len(fold_indices), refusal="smaller shares of the training rows lack a class")
    return _fit_curve(experiment, measured)


def _choose_folds(plan: FoldPlan, fit_seconds: float, seconds: float) -> list[int]:
    """The last forward folds, which have most rows; else the first folds of the first repeat. As many as the time allows."""
    count = min(MAX_FOLDS, plan.n_folds)
    while count and _estimate_seconds(fit_seconds, count) > seconds:
        count -= 1
    forward = plan.strategy == "walk_forward"
    return list(range(len(plan.folds) - count, len(plan.folds)) if forward else range(count))


def _estimate_seconds(fit_seconds: float, folds: int) -> float:
    return fit_seconds * folds * sum(TRAINING_EIGHTHS[:-1]) / LEARNING_CURVE_PARTS


def _fit_curve(experiment: Experiment, measured: list[tuple[int, tuple[FoldPredictions, ...]]]) -> LearningCurve:
    metric, minimum_effect = experiment.task.target.metric, experiment.task.policy.minimum_effect
    rows = np.array([count for count, _ in measured], dtype=np.float64)
    scores = np.array([_compute_mean_score(parts, metric, experiment.examples) for _, parts in measured])
    fold_replicates = np.stack([bootstrap_folds(experiment, (metric,), parts)[0] for _, parts in measured], axis=1)
    replicates = average_folds(resample_folds(fold_replicates, experiment.seed))
    sign = 1 if metric.greater_is_better else -1
    gain = float(sign * compute_doubling_gain(rows, scores[None, :])[0])
    known = replicates[~np.isnan(replicates).any(axis=1)]
    ends = (
        compute_percentile_interval(sign * compute_doubling_gain(rows, known))
        if len(known) > len(replicates) / 2
        else (math.nan, math.nan)
    )
    points = tuple(
        CurvePoint(float(score), *compute_percentile_interval(replicates[:, i]), int(count))
        for i, (count, score) in enumerate(zip(rows, scores, strict=True))
    )
    smallest_effect = DEFAULT_MINIMUM_EFFECT * abs(float(scores[-1])) if minimum_effect is None else minimum_effect
    return LearningCurve(metric.name, fold_replicates.shape[-1], points, Interval(gain, *ends), smallest_effect)


def _compute_mean_score(predictions: tuple[FoldPredictions, ...], metric: Metric, examples: Examples) -> float:
    return float(average_folds(np.array([metric.score(examples.y[p.fold.test], p.response, RowMetadata()) for p in predictions])))


def compute_doubling_gain(rows: Array, scores: Array) -> Array:
    """What a power law through scores (d, s) at numbers of rows (s,) adds from the last of them to twice as many, (d,).

    The exponent is the one of EXPONENTS that leaves least; given it, a and b are least squares.

    >>> rows = np.array([100.0, 200.0, 400.0, 800.0])
    >>> compute_doubling_gain(rows, 1 - 5 * rows[None, :] ** -0.5).round(4)
    array([0.0518])
    """
    x = rows / rows[-1]
    residuals, gains = [], []
    for c in EXPONENTS:
        design = np.column_stack([np.ones(len(x)), x**-c])
        weights = scores @ np.linalg.pinv(design).T
        residuals.append(((scores - weights @ design.T) ** 2).sum(axis=1))
        gains.append(weights[:, 1] * (2**-c - 1))
    return np.asarray(np.take_along_axis(np.stack(gains), np.argmin(residuals, axis=0)[None, :], axis=0)[0])
