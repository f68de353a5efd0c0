"""May a new version take the place of the one that serves? Only where it is shown not to be worse, on the same rows.

The margin keeps most of what the serving version is better than the constant by, as trials of a new drug against a proven one
keep most of that one's effect over placebo (ICH E10 2000; FDA, Non-Inferiority Clinical Trials, 2016).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from epic22.core.data.folds import FoldStrategy
from epic22.core.evaluation.crossval import Evaluation, build_evaluation, compute_scores
from epic22.core.evaluation.forecast_metrics import (
    MIN_BLOCKS,
    PINBALL,
    ScoredRows,
    compare_forecasts,
    compute_score_with_interval,
)
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import Verdict, compare
from epic22.core.experiment import Experiment
from epic22.core.task import Array
from epic22.core.text import describe_difference, format_figure

LOST_ADVANTAGE = 0.1
"""The share of the serving version's advantage over the constant that its successor may lack."""

MIN_ROWS = 30
"""Rows on which two versions are compared at least: on fewer nothing can be shown."""

CHAMPION = "champion"
"""The serving version's name in a verdict."""


@dataclass(frozen=True)
class Challenge:
    """Whether a new version may take the place of version `champion`, and why, in words.

    `verdict` is the new version's against it over `rows` rows, where the two could be compared; `margin` is what it may lack, in
    the metric's unit.
    """

    champion: str
    passed: bool
    why: str
    verdict: Verdict | None = None
    margin: float = math.nan
    rows: int = 0


@dataclass(frozen=True)
class ComparedRows:
    """The parts of folds to which both versions have a response: the experiment on these rows, and the responses of the new
    version, of the champion and of the constant."""

    experiment: Experiment
    challenger: tuple[FoldPredictions, ...]
    champion: tuple[FoldPredictions, ...]
    constant: tuple[FoldPredictions, ...]

    @property
    def rows(self) -> int:
        """How many different rows they are."""
        return len(np.unique(np.concatenate([part.fold.test for part in self.champion]))) if self.champion else 0


def select_compared_rows(experiment: Experiment, challenger: Evaluation, constant: Evaluation, responses: Array) -> ComparedRows:
    """The test rows of the first repeat's folds for which the champion has a response: `responses` (n,) or (n, k), NaN
    where it has none.

    One repeat, so that each row counts once and rows are what is drawn: it is asked of two models, not of two ways of training.
    """
    parts: list[tuple[FoldPredictions, FoldPredictions, FoldPredictions]] = []
    for new, baseline in zip(challenger.fold_predictions, constant.fold_predictions, strict=True):
        fold = new.fold
        if fold.repeat:
            continue
        own = responses[fold.test]
        known = ~np.isnan(own.reshape(len(own), -1)).all(axis=1)
        if known.any():
            part = replace(fold, test=fold.test[known])
            trio = new.response[known], own[known], baseline.response[known]
            first, second, third = (FoldPredictions(part, response) for response in trio)
            parts.append((first, second, third))
    columns = tuple(zip(*parts, strict=True)) if parts else ((), (), ())
    strategy: FoldStrategy = "holdout" if experiment.plan.is_repeated else experiment.plan.strategy
    plan = replace(experiment.plan, strategy=strategy, folds=tuple(part[0].fold for part in parts), repeats=1)
    return ComparedRows(replace(experiment, plan=plan), *columns)


@dataclass(frozen=True)
class Margin:
    """What a new version may lack, in the metric's unit: `negligible` for certain, up to `tolerable` where no loss is certain."""

    negligible: float
    tolerable: float


def compute_margin(champion: float, advantage: float, minimum_effect: float | None) -> Margin:
    """The margin for a champion of that score which is by `advantage` better than the constant, or the drift.

    `minimum_effect` is all of it where the task states one; else a hundredth of the score is negligible, and a tenth of the
    advantage tolerable.
    """
    if minimum_effect is not None:
        return Margin(minimum_effect, minimum_effect)
    negligible = DEFAULT_MINIMUM_EFFECT * abs(champion)
    return Margin(negligible, max(negligible, LOST_ADVANTAGE * advantage))


def challenge_champion(compared: ComparedRows, champion: str) -> Challenge:
    """Whether the new version is shown not to be worse than version `champion` by more than the margin, on the rows of both."""
    task, rows = compared.experiment.task, compared.rows
    metric, minimum_effect = task.target.metric, task.policy.minimum_effect
    if _are_equal(compared):
        return Challenge(champion, True, f"the same out-of-fold responses as version {champion} on {rows:,} rows", rows=rows)
    if rows < MIN_ROWS:
        return Challenge(champion, False, f"{rows} rows are too few to compare them on; {MIN_ROWS} are needed", rows=rows)
    new, old, constant = (
        build_evaluation(compared.experiment, name, compute_scores(compared.experiment, (metric,), predictions), predictions)
        for name, predictions in (
            ("challenger", compared.challenger),
            (CHAMPION, compared.champion),
            ("constant", compared.constant),
        )
    )
    score = old.score(metric.name).value
    margin = compute_margin(score, metric.gain(score, constant.score(metric.name).value), minimum_effect)
    return judge_challenge(compare(compared.experiment, new, old, metric, minimum_effect), margin, champion, rows)


def judge_challenge(verdict: Verdict, margin: Margin, champion: str, rows: int) -> Challenge:
    """What a verdict on the two, over so many rows, says of the challenge."""
    difference, metric = verdict.difference, verdict.metric
    gain = f"{metric} {describe_difference(difference)} than version {champion} on {rows:,} rows of both"
    is_certain_loss = difference.high < 0
    bound = margin.negligible if is_certain_loss else margin.tolerable
    if difference.low > -bound:
        finding = "not worse" if difference.low > 0 else f"not worse by more than {format_figure(bound)}"
        return Challenge(champion, True, f"{gain}: {finding}", verdict, bound, rows)
    finding = "certainly worse" if is_certain_loss else f"not shown to be worse by less than {format_figure(bound)}"
    return Challenge(champion, False, f"{gain}: {finding}", verdict, bound, rows)


def meet_recipe(
    experiment: Experiment, challenge: Challenge, challenger: Evaluation, recipe: Evaluation, constant: Evaluation
) -> Challenge:
    """The challenge once the new version has met the champion's way of training too, fitted in its own folds: it is refused where
    it is certainly worse than that by more than the margin.

    That lets no version pass that the models' own responses do not: a training on damaged rows damages both ways alike.
    """
    task = experiment.task
    metric, minimum_effect = task.target.metric, task.policy.minimum_effect
    score = recipe.score(metric.name).value
    bound = compute_margin(score, metric.gain(score, constant.score(metric.name).value), minimum_effect).tolerable
    verdict = compare(experiment, challenger, recipe, metric, minimum_effect)
    gain = f"{metric.name} {describe_difference(verdict.difference)} than its recipe, {recipe.family}, fitted in the same folds"
    if verdict.difference.high < -bound:
        why = f"{challenge.why}; but {gain}: certainly worse by more than {format_figure(bound)}"
        return replace(challenge, passed=False, why=why)
    return replace(challenge, why=f"{challenge.why}; {gain}: not certainly worse by more than {format_figure(bound)}")


def challenge_forecaster(
    quantiles: tuple[Array, Array], rows: ScoredRows, champion: str, drift: Array, minimum_effect: float | None = None
) -> Challenge:
    """Whether a new forecaster is shown not to be worse than version `champion`, by the pinball loss pooled over horizons.

    `quantiles` (n, h, q) are the new one's and the champion's, `drift` the drift's; n rows of `rows`, of which those without a
    value are not compared. On few independent stretches an interval is too narrow, so that no loss may be seen there either.
    """
    new, old = quantiles
    compared = np.isfinite(rows.Y)
    n_rows = int(compared.any(axis=1).sum())
    if not n_rows:
        return Challenge(champion, False, f"no series is forecast from the same moment by version {champion}")
    if np.array_equal(new[compared], old[compared], equal_nan=True):
        return Challenge(
            champion, True, f"the same forecasts as version {champion} for {n_rows:,} series and origins", rows=n_rows
        )
    losses = [compute_score_with_interval(PINBALL, rows, one, "all").value for one in (old, drift)]
    verdict = compare_forecasts(("challenger", CHAMPION), (new, old), PINBALL, rows, "all")
    margin = compute_margin(losses[0], losses[1] - losses[0], minimum_effect)
    challenge = judge_challenge(verdict, margin, champion, n_rows)
    origins = len(np.unique(rows.origin_index[compared.any(axis=1)]))
    blocks = rows.plan.count_effective_blocks(rows.plan.horizon, origins)
    if challenge.passed and blocks < MIN_BLOCKS and verdict.difference.value < -margin.negligible:
        why = f"{challenge.why}, but worse on only {blocks:.1f} independent stretches of {MIN_BLOCKS} that an interval needs"
        return replace(challenge, passed=False, why=why)
    return challenge


def _are_equal(compared: ComparedRows) -> bool:
    """Whether both versions answer every row alike, and there are rows."""
    return compared.rows > 0 and all(
        np.array_equal(new.response, old.response, equal_nan=True)
        for new, old in zip(compared.challenger, compared.champion, strict=True)
    )
