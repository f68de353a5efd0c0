"""The average of families as they come: what a time limit gives before any search, and a search has to beat.

Each family is fitted once a fold that judges. What the average says of a fold has weights that were chosen on the folds that may
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
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_family
from epic22.core.models.ensemble import Ensemble
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.answer_cost import WeightedModels, limit_answer_cost
from epic22.core.selection.ensemble import EnsembleSelection
from epic22.core.task import Array, Target

N_PICKS = 10
"""Picks of the greedy selection: of a few families no finer weights are worth their time."""


@dataclass(frozen=True)
class FamilyAverage:
    """Families as they come, averaged before the link: their `weights`, which sum to 1, and what the average says of the test
    rows of each fold."""

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


def average_families(experiment: Experiment, predictions: Mapping[str, tuple[FoldPredictions, ...]]) -> FamilyAverage | None:
    """The average of what families, by name, said of the same folds; None where one family alone is best."""
    problem, parts = LearningProblem.of(experiment.task), list(predictions.values())
    rows = collect_out_of_fold_predictions(experiment, parts[0])
    raws = np.stack([problem.traits.link(np.concatenate([part.response for part in one])) for one in parts])
    selection, y = EnsembleSelection(problem, experiment.task.target.metric, N_PICKS), np.asarray(rows.y, dtype=np.float64)
    averaged = np.empty_like(raws[0])
    for teaching, tested in rows.iterate_splits():
        if problem.traits.can_learn_from(y[teaching], y) and len(teaching):
            weights = selection.average_weights(raws[:, teaching], y[teaching])
        else:
            # As of the first of forward folds: nothing says which is better.
            weights = np.full(len(parts), 1 / len(parts))
        averaged[tested] = np.tensordot(weights, raws[:, tested], axes=1)
    final = selection.average_weights(raws, y)
    weighted = sorted(zip(predictions, final.tolist(), strict=True), key=lambda one: -one[1])
    weighted = [(name, weight) for name, weight in weighted if weight > 0]
    if len(weighted) < 2:
        return None
    ends = np.cumsum([len(part.fold.test) for part in parts[0]])[:-1]
    responses = np.split(problem.traits.inverse_link(averaged), ends)
    folds = tuple(FoldPredictions(part.fold, piece) for part, piece in zip(parts[0], responses, strict=True))
    return FamilyAverage(tuple(weighted), folds)


def fit_average(experiment: Experiment, average: FamilyAverage, train: Array, recipe: FeatureRecipe) -> FittedFold:
    """The families fitted on these rows, each as it comes, and averaged, within what a row's reasons may cost."""
    fits = [fit_family(experiment, get_family(name), train, recipe) for name in average.families]
    members = limit_answer_cost(
        [WeightedModels(name, weight, (one.estimator,)) for (name, weight), one in zip(average.weights, fits, strict=True)]
    )
    seconds = sum(one.seconds or 0.0 for one in fits)
    return FittedFold(fits[0].preprocessor, Ensemble(experiment.task.target.kind, members, experiment.threads), seconds)
