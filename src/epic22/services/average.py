"""The average of families as they come and of their first configurations: which are evaluated in the time that there is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from epic22.core.evaluation.crossval import (
    Candidate,
    Evaluation,
    FoldFits,
    count_folds_at_once,
    evaluate,
    fit_folds,
    make_candidate,
    make_default_recipe,
    summarise_folds,
)
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator
from epic22.core.models.catalog import AVERAGE
from epic22.core.models.configuration import Configuration, list_initial_configurations
from epic22.core.progress import Progress
from epic22.core.selection.average import FamilyAverage, average_families, average_within_cost, can_be_averaged, fit_average
from epic22.core.selection.budget import Deadline
from epic22.services.tune import NestedSearch

UNKNOWN_FACTOR = 3.0
"""How many times what the slowest took a family that nobody knows is expected to take, where nothing that follows could be
shortened."""


@dataclass
class FamilyPace:
    """How many seconds the folds of each family take, by name. Of which nothing is known, the longest of the others, or
    `unknown_factor` times that: a fit cannot be broken off.

    >>> pace = FamilyPace(unknown_factor=2.0)
    >>> pace.add("linear", 1.0)
    >>> pace.add("boosting", 8.0)
    >>> pace.expect("linear"), pace.expect("catboost")
    (1.0, 16.0)
    """

    unknown_factor: float = 1.0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, family: str, seconds: float) -> None:
        """Note what a family's folds take."""
        self.seconds[family] = max(seconds, self.seconds.get(family, 0.0))

    def expect(self, family: str) -> float:
        """What a family's folds may well take."""
        return self.seconds.get(family, self.unknown_factor * max(self.seconds.values(), default=0.0))


@dataclass(frozen=True)
class PacedDeadline:
    """A deadline, and the pace by which it is known whether another evaluation ends before it."""

    deadline: Deadline
    pace: FamilyPace


def evaluate_configurations(
    search: NestedSearch,
    experiment: Experiment,
    configurations: Sequence[Configuration],
    clock: PacedDeadline,
    progress: Progress,
) -> list[Evaluation]:
    """The configurations that can be averaged, evaluated with one model, while the time lasts: each leaves the time to fit it on
    all rows, is expected to take what its family took before, and after its first fold what that took for each."""
    n_folds, others, deadline, pace = len(experiment.plan.folds), [], clock.deadline, clock.pace
    for one in configurations:
        at_once = count_folds_at_once(experiment, one.family) if search.recipes is make_default_recipe else 1
        n_rounds = math.ceil(n_folds / at_once)
        # One fit takes as long as a round of folds that are fitted side by side.
        last_fit = pace.expect(one.family.name) / n_rounds * compute_growth(experiment)
        if not can_be_averaged(one.family) or deadline.remaining < pace.expect(one.family.name) + last_fit:
            continue
        progress.begin(f"{one.name}: {n_folds} folds", n_folds, "fold")
        began = deadline.now()
        candidate = replace(make_candidate(experiment, one, search.recipes), folds_at_once=at_once)
        evaluation = evaluate_within(deadline, experiment, candidate, progress)
        seconds = deadline.now() - began
        if evaluation is None:
            # It saw one fold; its family is not tried again while there is less time than all take.
            pace.add(one.family.name, seconds * (1 + estimate_rest(experiment, candidate)))
            continue
        others.append(evaluation.with_one_model())
        # Folds that were read where a training before left them took no time now, and will for the next.
        pace.add(one.family.name, max(seconds, evaluation.fit_seconds * n_rounds))
        deadline = deadline.move_earlier(evaluation.fit_seconds * compute_growth(experiment))
    return others


def compute_growth(experiment: Experiment) -> float:
    """How many times the rows of a fold's training part all rows are, in the mean."""
    return len(experiment.examples) / float(np.mean([len(fold.train) for fold in experiment.plan.folds]))


def estimate_rest(experiment: Experiment, candidate: Candidate) -> float:
    """How many times the first fold's seconds the others may take: forward in time they have more rows to learn from."""
    first, *others = [len(fold.train) for fold in experiment.plan.folds]
    rounds = math.ceil(len(others) / candidate.folds_at_once)
    return rounds * max(others, default=first) / first


def evaluate_within(share: Deadline, experiment: Experiment, candidate: Candidate, progress: Progress) -> Evaluation | None:
    """The candidate's evaluation with its models, None where its first fold shows that the time is too short for the others."""
    first, *others = experiment.plan.folds
    began = share.now()
    fits = fit_folds(experiment, candidate, [first], progress.step, keep_models=True)
    if share.remaining < estimate_rest(experiment, candidate) * (share.now() - began):
        return None
    fits = fits.add(fit_folds(experiment, candidate, others, progress.step, keep_models=True)) if others else fits
    return summarise_folds(experiment, candidate.name, fits)


def average_evaluations(experiment: Experiment, evaluations: Sequence[Evaluation]) -> FamilyAverage | None:
    """The average of families that were evaluated with a model; None where one alone is best, or none can be averaged."""
    models = {one.family: _get_model(one) for one in evaluations}
    predictions = {one.family: one.without_models().fold_predictions for one in evaluations}
    average = average_within_cost(experiment, predictions, models) if evaluations else None
    return None if average is None or len(average.families) < 2 else average


def evaluate_average(
    experiment: Experiment, families: Sequence[str], search: NestedSearch, progress: Callable[[], None]
) -> Evaluation:
    """The average of these families or configurations on the folds of an experiment, with weights of its own; `progress` is
    called after each fold of each."""
    members = [make_candidate(experiment, Configuration.parse(name), search.recipes) for name in families]
    evaluations = [evaluate(experiment, one, progress) for one in members]
    average = average_families(experiment, {one.family: one.fold_predictions for one in evaluations})
    return summarise_folds(experiment, AVERAGE.name, FoldFits(average.fold_predictions))


def _get_model(evaluation: Evaluation) -> BaseEstimator:
    """A model of those that the evaluation has."""
    return next(part.fitted.estimator for part in evaluation.fold_predictions if part.fitted is not None)


def list_untried(search: NestedSearch, experiment: Experiment, evaluations: Sequence[Evaluation]) -> tuple[Configuration, ...]:
    """The families that the search would try, as they come, and the configurations that it begins with, less those evaluated."""
    families, known = search.tuning.list_families(experiment.task), {one.family for one in evaluations}
    everything = (*map(Configuration, families), *list_initial_configurations(families))
    return tuple(one for one in everything if one.name not in known)


def leave_time_to_fit(
    search: NestedSearch, experiment: Experiment, evaluations: Sequence[Evaluation], pace: FamilyPace
) -> PacedDeadline:
    """The time that is left beside fitting on all rows what was evaluated, which the average may be of. Nothing follows that
    could be shortened, so a family that nobody knows is expected to take a multiple of the others."""
    seconds = sum(one.fit_seconds for one in evaluations) * compute_growth(experiment)
    return PacedDeadline(search.tuning.deadline.move_earlier(seconds), replace(pace, unknown_factor=UNKNOWN_FACTOR))


def build_average_candidate(
    search: NestedSearch, experiment: Experiment, evaluations: Sequence[Evaluation], average: FamilyAverage
) -> Candidate:
    """The average as a candidate that was evaluated."""
    fits = FoldFits(average.fold_predictions, (sum_fit_seconds(evaluations, average.families),))
    return Candidate(
        AVERAGE.name,
        lambda known, train: fit_average(replace(experiment, examples=known), average, train, search.recipes(train)),
        evaluation=summarise_folds(experiment, AVERAGE.name, fits),
    )


def sum_fit_seconds(evaluations: Sequence[Evaluation], names: Sequence[str]) -> float:
    """What fitting these on a fold takes, one after the other."""
    return sum(one.fit_seconds for one in evaluations if one.family in names)
