"""Answers that no label lies below: lifted to the floor before they are scored, as they are when they are served."""

from dataclasses import replace

import numpy as np
import pytest
from tests.toy import toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.coverage import evaluate_intervals
from epic22.core.evaluation.crossval import evaluate, make_candidate
from epic22.core.evaluation.metrics import note_zero_labels
from epic22.core.evaluation.predictions import collect_out_of_fold_predictions
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.selection.average import average_families
from epic22.core.task import RowMetadata


def half_zeros() -> Experiment:
    """Sums of which half are 0, by a plan of folds."""
    made = toy("regression", 400)
    y = np.maximum(made.examples.y - 10.5, 0)
    target, _ = note_zero_labels(made.task.target, y)
    examples = replace(made.examples, Y=y[:, None])
    return Experiment(
        replace(made.task, targets=(target,)), examples, plan_folds(examples, "regression", SplitRequest(repeats=1))
    )


def test_values_below_the_floor_are_scored_and_covered_as_the_floor_that_is_served() -> None:
    experiment = half_zeros()
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
    assert judged.is_covered[(judged.prediction == 0) & (experiment.examples.y[judged.row] == 0)].all()


def test_a_floor_lies_under_an_average_and_not_under_its_members() -> None:
    experiment = half_zeros()
    parts = evaluate(experiment, make_candidate(experiment, get_family("linear"))).fold_predictions
    average = average_families(experiment, {"linear": parts, "boosting": parts})
    for one, part in zip(average.fold_predictions, parts, strict=True):
        np.testing.assert_allclose(one.response, part.own_response)
