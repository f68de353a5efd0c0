"""Answers that no label lies below: lifted to the floor before they are scored, as they are when they are served."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.searches import FAMILIES
from tests.toy import toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.coverage import evaluate_intervals
from epic22.core.evaluation.crossval import evaluate, fit_family, make_candidate
from epic22.core.evaluation.explain.explanation import explain
from epic22.core.evaluation.inner_folds import select_training_share
from epic22.core.evaluation.learning_curve import MAX_FOLDS, measure_learning_curve
from epic22.core.evaluation.metrics import note_zero_labels
from epic22.core.evaluation.predictions import collect_out_of_fold_predictions
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.average import average_families
from epic22.core.selection.budget import Budget
from epic22.core.selection.ensemble import EnsembleSelection
from epic22.core.selection.racing import build_rivals
from epic22.core.selection.search import prepare_part, search
from epic22.core.selection.study import Study
from epic22.core.selection.trials import SearchConfig
from epic22.core.task import Array, RowMetadata


def half_zeros() -> Experiment:
    """Sums of which half are 0, by a plan of folds."""
    return with_labels(np.maximum(toy("regression", 400).examples.y - 10.5, 0))


def prices() -> Experiment:
    """Values above 0, most of them near it, by a plan of folds."""
    return with_labels(0.01 + np.maximum(toy("regression", 400).examples.y - 10.5, 0))


def with_labels(y: Array) -> Experiment:
    """The toy rows with these labels."""
    made = toy("regression", len(y))
    task, _ = note_zero_labels(made.task, y)
    examples = replace(made.examples, Y=y[:, None])
    return Experiment(task, examples, plan_folds(examples, "regression", SplitRequest(repeats=1)))


@pytest.mark.parametrize("labels", [half_zeros, prices])
def test_values_below_the_floor_are_scored_and_covered_as_the_floor_that_is_served(labels: Callable[[], Experiment]) -> None:
    experiment = labels()
    board = evaluate(experiment, make_candidate(experiment, get_family("linear")))
    assert min(part.own_response.min() for part in board.fold_predictions) < 0
    metric = experiment.task.target.metric
    served = [
        metric.score(experiment.examples.y[part.fold.test], np.maximum(part.own_response, 0), RowMetadata())
        for part in board.fold_predictions
    ]
    assert board.score(metric.name).folds == pytest.approx(served)
    rows = collect_out_of_fold_predictions(experiment, board.fold_predictions)
    assert rows.response.min() == 0
    judged = evaluate_intervals(rows)
    assert judged is not None
    lowest = experiment.examples.y.min()
    assert judged.is_covered[(judged.prediction == 0) & (experiment.examples.y[judged.row] == lowest)].all()


def test_a_learning_curve_is_of_the_values_that_are_served() -> None:
    """Broken once on purpose: without the floor the first point is higher."""
    experiment, family = prices(), get_family("linear")
    board = evaluate(experiment, make_candidate(experiment, family))
    first = measure_learning_curve(experiment, family, board).points[0]
    fold_scores = []
    for fold in experiment.plan.folds[:MAX_FOLDS]:
        fitted = fit_family(experiment, family, select_training_share(experiment, fold.train, 1))
        test = experiment.examples.take(fold.test)
        served = np.maximum(fitted.estimator.predict(fitted.preprocessor.transform(test.X)), 0)
        fold_scores.append(experiment.task.target.metric.score(test.y, served, RowMetadata()))
    assert first.value == pytest.approx(np.mean(fold_scores))


@pytest.mark.parametrize("family", ["linear", "boosting"])
def test_a_permuted_column_and_a_pair_lose_what_the_served_values_lose(family: str) -> None:
    """Where every value is below the floor nothing is lost, whatever the model says: what is served does not change."""
    experiment = prices()
    board = evaluate(experiment, make_candidate(experiment, get_family(family)), keep_models=True)
    high = replace(experiment, task=experiment.task.replace_target(replace(experiment.task.target, floor=1e6)))
    told = explain(high, board)
    assert told is not None
    assert [one.loss.value for one in told.columns if one.loss is not None] == pytest.approx([0.0] * len(told.columns))
    assert len(told.interactions) > 0 or family == "linear"
    assert [one.gain.value for one in told.interactions] == pytest.approx([0.0] * len(told.interactions))


def test_a_floor_lies_under_an_average_and_not_under_its_members() -> None:
    experiment = half_zeros()
    parts = evaluate(experiment, make_candidate(experiment, get_family("linear"))).fold_predictions
    average = average_families(experiment, {"linear": parts, "boosting": parts})
    for one, part in zip(average.fold_predictions, parts, strict=True):
        np.testing.assert_allclose(one.response, part.own_response)


def test_a_search_scores_its_trials_by_the_values_that_are_served() -> None:
    experiment = half_zeros()
    part, metric = prepare_part(experiment, np.arange(len(experiment.examples))), experiment.task.target.metric
    config = SearchConfig(FAMILIES, Budget(1))
    study = Study(config.build_study_config(metric, 0))
    trial = search(part, config, study).trials[0]
    raw, y = study.load_scores(trial), part.data.y[part.data.valid_rows]
    assert raw is not None
    assert raw.min() < 0
    ends = np.cumsum([len(fold.test) for fold in part.data.folds])[:-1]
    served = zip(np.split(y, ends), np.split(np.maximum(raw, 0), ends), strict=True)
    assert trial.fold_scores == pytest.approx([metric.score(*one, RowMetadata()) for one in served])


def test_a_race_and_weights_are_decided_by_the_values_that_are_served() -> None:
    """Of two that answer alike, for one is far below the floor where the other is at it, neither is behind nor weighs nothing."""
    experiment, y = half_zeros(), half_zeros().examples.y
    problem = LearningProblem.of(experiment.task)
    at_floor = y + np.where(y > 0, np.random.default_rng(0).normal(0, 0.1, len(y)), 0)
    below = np.where(y > 0, at_floor, -5.0)
    assert not build_rivals(problem, y, [at_floor]).are_ahead_of(below)
    selection = EnsembleSelection(problem, experiment.task.target.metric)
    exact, coarse = np.where(y > 0, y, -5.0), np.maximum(y, 0.5)
    assert selection.average_weights(np.stack([exact, coarse]), y).tolist() == [1.0, 0.0]
