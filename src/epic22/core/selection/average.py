"""The average of families as they come: what a time limit gives before any search, and a search has to beat; where there is no
time for one, of their first configurations too.

Each is fitted once a fold that judges. What the average says of a fold has weights that were chosen on the folds that may
teach it, as calibration has, so its score is as honest as theirs, for a fifth of the fits that a nested search of as many
configurations takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from epic22.core.data.feature_engineering import FeatureRecipe
from epic22.core.evaluation.crossval import fit_family
from epic22.core.evaluation.predictions import FittedFold, FoldPredictions, collect_out_of_fold_predictions
from epic22.core.experiment import Experiment
from epic22.core.models.base import BaseEstimator, Family
from epic22.core.models.configuration import Configuration
from epic22.core.models.ensemble import Ensemble, Member
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.answer_cost import MAX_NODE_VISITS, count_visits
from epic22.core.selection.ensemble import EnsembleSelection
from epic22.core.task import Array, Target

N_PICKS = 10
"""Picks of the greedy selection: of a few families no finer weights are worth their time."""


@dataclass(frozen=True)
class FamilyAverage:
    """Families as they come, or configurations of them, by name, averaged before the link: their `weights`, which sum to 1, and
    what the average says of the test rows of each fold."""

    weights: tuple[tuple[str, float], ...]
    fold_predictions: tuple[FoldPredictions, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """The names of those that count, the heaviest first."""
        return tuple(name for name, _ in self.weights)


def supports_average(target: Target) -> bool:
    """Whether responses say the scores that are averaged: not of logarithms that are put right, counts or exposures."""
    traits = target.traits
    return traits.supports_search and not traits.has_log_link and not target.log and target.offset is None


def can_be_averaged(family: Family) -> bool:
    """Whether a family may be a member: it learns, and from the one matrix that all members answer by. Networks may read a
    sequence, whose columns the others leave out."""
    return not (family.is_baseline or family.capabilities.reports_epochs)


def average_within_cost(
    experiment: Experiment, predictions: Mapping[str, tuple[FoldPredictions, ...]], models: Mapping[str, BaseEstimator]
) -> FamilyAverage:
    """The average of what families, by name, said of the same folds, of those whose reasons a row may cost: `models` are what
    they fitted on one of them.

    What is served is what was judged, so who is left out is so before the weights are chosen: the lightest of those whose trees
    are walked, one by one.
    """
    growth = len(experiment.examples) / min(len(fold.train) for fold in experiment.plan.folds)
    left = dict(predictions)
    while True:
        average = average_families(experiment, left)
        walked = [name for name in average.families if count_visits([models[name]])]
        if len(walked) < 2 or growth * count_visits([models[name] for name in walked]) <= MAX_NODE_VISITS:
            return average
        del left[walked[-1]]


def average_families(experiment: Experiment, predictions: Mapping[str, tuple[FoldPredictions, ...]]) -> FamilyAverage:
    """The average of what families, by name, said of the same folds; it is of one alone where that is best.

    Where no fold may teach another, as in one holdout that is no longer than the horizon, the weights are equal: those that were
    judged.
    """
    problem, parts = LearningProblem.of(experiment.task), list(predictions.values())
    rows = collect_out_of_fold_predictions(experiment, parts[0])
    raws = np.stack([problem.traits.link(np.concatenate([part.own_response for part in one])) for one in parts])
    selection, y = EnsembleSelection(problem, experiment.task.target.metric, N_PICKS), np.asarray(rows.y, dtype=np.float64)
    averaged, equal_weights, is_known = np.empty_like(raws[0]), np.full(len(parts), 1 / len(parts)), False
    for teaching, tested in rows.iterate_splits():
        weights = equal_weights
        # Nothing says which is better of the first of forward folds.
        if problem.traits.can_learn_from(y[teaching], y) and len(teaching):
            weights, is_known = selection.average_weights(raws[:, teaching], y[teaching]), True
        averaged[tested] = np.tensordot(weights, raws[:, tested], axes=1)
    final = selection.average_weights(raws, y) if is_known else equal_weights
    weighted = sorted(zip(predictions, final.tolist(), strict=True), key=lambda one: -one[1])
    ends = np.cumsum([len(part.fold.test) for part in parts[0]])[:-1]
    responses = np.split(problem.traits.inverse_link(averaged), ends)
    folds = tuple(FoldPredictions(part.fold, piece) for part, piece in zip(parts[0], responses, strict=True))
    return FamilyAverage(tuple((name, weight) for name, weight in weighted if weight > 0), folds)


def fit_average(experiment: Experiment, average: FamilyAverage, train: Array, recipe: FeatureRecipe) -> FittedFold:
    """The members fitted on these rows, each as it comes or as its configuration says, and averaged."""
    members, fits = [], []
    for configuration, weight in ((Configuration.parse(name), weight) for name, weight in average.weights):
        fits.append(fit_family(experiment, configuration.family, train, recipe, params=configuration.params))
        members.append(Member(configuration.family.name, weight, fits[-1].estimator))
    seconds = sum(one.seconds or 0.0 for one in fits)
    return FittedFold(fits[0].preprocessor, Ensemble(experiment.task.target.kind, tuple(members), experiment.threads), seconds)
