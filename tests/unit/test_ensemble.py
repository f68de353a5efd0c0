"""An ensemble: the weights of trials, and that it answers as the weighted sum of its members."""

import numpy as np
from tests.toy import task

from epic22.core.models.learning_problem import LearningProblem
from epic22.core.selection.ensemble import EnsembleSelection, build_loss_score, build_metric_score, select_greedy_weights
from epic22.core.task import Array

TASK = task("regression")
PROBLEM, METRIC = LearningProblem.of(TASK), TASK.target.metric
SELECTION = EnsembleSelection(PROBLEM, METRIC)


def noisy(y: Array, scale: float, seed: int) -> Array:
    return y + np.random.default_rng(seed).normal(0, scale, len(y))


def test_errors_that_differ_are_averaged() -> None:
    y = np.random.default_rng(0).normal(size=600)
    raws = [noisy(y, 1.0, seed) for seed in range(1, 5)]
    found = SELECTION.choose_weights(raws, y, np.arange(600) % 5)
    assert (found.weights > 0.1).all()
    assert found.gain > 0


def test_a_poor_candidate_gets_next_to_nothing() -> None:
    y = np.random.default_rng(0).normal(size=600)
    weights = select_greedy_weights(
        [noisy(y, 0.3, 1), noisy(y, 0.3, 2), noisy(y, 5.0, 3)], build_metric_score(PROBLEM, METRIC, y)
    )
    assert weights[2] <= 0.04


def test_one_enormous_row_does_not_choose_the_models_of_values() -> None:
    y = np.random.default_rng(0).normal(size=600)
    better, lucky = noisy(y, 0.5, 1), noisy(y, 1.0, 2)
    better[7] += 60.0
    raws = np.stack([better, lucky])
    assert build_metric_score(PROBLEM, METRIC, y)(lucky) > build_metric_score(PROBLEM, METRIC, y)(better)
    assert build_loss_score(PROBLEM, y, raws)(better) > build_loss_score(PROBLEM, y, raws)(lucky)
    assert SELECTION.choose_weights([better, lucky], y, np.arange(600) % 5).weights[0] > 0.4
    assert select_greedy_weights(raws, build_metric_score(PROBLEM, METRIC, y))[0] < 0.2


def test_a_candidate_without_a_defined_score_is_never_picked_and_none_with_one_share_equally() -> None:
    """A precision is not defined where nothing is called: it was picked as the best, and weights of zero were divided by zero."""
    scores = {1.0: float("nan"), 2.0: 0.5, 3.0: 0.25}
    raws = [np.full(4, value) for value in scores]
    assert select_greedy_weights(raws, lambda raw: scores.get(float(raw[0]), float("nan"))).tolist() == [0.0, 1.0, 0.0]
    assert select_greedy_weights(raws, lambda _: float("nan")).tolist() == [1 / 3] * 3


def test_copies_of_one_candidate_gain_nothing_and_the_best_stands_alone() -> None:
    y = np.random.default_rng(0).normal(size=300)
    one = noisy(y, 1.0, 1)
    found = SELECTION.choose_weights([one, one], y, np.arange(300) % 5)
    assert found.gain == 0.0
    assert np.allclose(found.raw, one)


def test_each_fold_is_mixed_by_weights_of_the_others() -> None:
    y = np.random.default_rng(0).normal(size=200)
    fold = np.arange(200) % 2
    raws = [np.where(fold == 0, y, 9.0), np.where(fold == 1, y, 9.0)]
    found = SELECTION.choose_weights(raws, y, fold)
    assert (found.raw == 9.0).all()


def test_one_fold_cannot_judge_the_average() -> None:
    y = np.random.default_rng(0).normal(size=100)
    found = SELECTION.choose_weights([noisy(y, 1.0, 1), noisy(y, 1.0, 2)], y, np.zeros(100))
    assert np.isnan(found.gain)
    assert found.weights.sum() == 1.0
