"""Answers that no label lies below: lifted to the floor before they are scored, as they are when they are served."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
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
from epic22.core.selection.average import average_families
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


def test_a_permuted_column_loses_what_the_served_values_lose() -> None:
    """Where every value is below the floor nothing is lost, whatever the model says: what is served does not change."""
    experiment = prices()
    board = evaluate(experiment, make_candidate(experiment, get_family("linear")), keep_models=True)
    high = replace(experiment, task=experiment.task.replace_target(replace(experiment.task.target, floor=1e6)))
    told = explain(high, board)
    assert told is not None
    assert [one.loss.value for one in told.columns if one.loss is not None] == pytest.approx([0.0] * len(told.columns))


def test_a_floor_lies_under_an_average_and_not_under_its_members() -> None:
    experiment = half_zeros()
    parts = evaluate(experiment, make_candidate(experiment, get_family("linear"))).fold_predictions
    average = average_families(experiment, {"linear": parts, "boosting": parts})
    for one, part in zip(average.fold_predictions, parts, strict=True):
        np.testing.assert_allclose(one.response, part.own_response)
