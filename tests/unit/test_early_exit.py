"""Early exits: who is certainly worse leaves early, and what decides is known on all folds."""

from dataclasses import replace

import numpy as np
import pytest
from tests.noise_exits import evaluate_noise
from tests.planted_families import plant
from tests.toy import toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import Candidate, evaluate, make_candidate
from epic22.core.evaluation.early_exit import LEVEL, evaluate_with_early_exits, restrict_evaluation
from epic22.core.evaluation.significance import compare
from epic22.core.experiment import Experiment
from epic22.core.models.base import Family
from epic22.core.models.catalog import get_family
from epic22.core.progress import Progress
from epic22.services.pipelines.rows import choose_champion, evaluate_all

LINEAR, TWIN = get_family("linear"), plant("twin", penalty=1.0)
BLINDED = replace(get_family("constant"), name="blinded")
N_FOLDS, REPEATS = 3, 3


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    made = toy("binary", 400)
    plan = plan_folds(made.examples, "binary", SplitRequest(n_folds=N_FOLDS, repeats=REPEATS))
    return Experiment(made.task, made.examples, plan)


def list_candidates(experiment: Experiment, *families: Family) -> list[Candidate]:
    return [make_candidate(experiment, family) for family in families]


def test_a_family_that_is_certainly_worse_leaves_after_the_first_repeat(experiment: Experiment) -> None:
    steps: list[None] = []
    linear, twin, blinded = evaluate_with_early_exits(
        experiment, list_candidates(experiment, LINEAR, TWIN, BLINDED), lambda: steps.append(None)
    )
    assert len(blinded.fold_predictions) == N_FOLDS
    assert len(steps) == 2 * N_FOLDS * REPEATS + N_FOLDS, "no fold was fitted in vain"
    assert blinded.early_exit is not None
    assert blinded.early_exit.words.startswith("left early, after 3 of 9 folds: certainly worse than ")
    assert blinded.early_exit.p <= LEVEL / ((REPEATS - 1) * 3), "the level is spent over two looks and three pairs"
    assert linear.early_exit is twin.early_exit is None


def test_those_that_stay_have_the_scores_that_they_have_without_a_race(experiment: Experiment) -> None:
    results = evaluate_with_early_exits(experiment, list_candidates(experiment, LINEAR, TWIN, BLINDED))
    for one, family in zip(results[:2], (LINEAR, TWIN), strict=True):
        alone = evaluate(experiment, make_candidate(experiment, family))
        assert one.scores == alone.scores
        assert one.fingerprint == alone.fingerprint == experiment.fingerprint


def test_the_best_two_stay_however_far_the_second_is_behind(experiment: Experiment) -> None:
    other = replace(BLINDED, name="other")
    results = evaluate_with_early_exits(experiment, list_candidates(experiment, LINEAR, BLINDED, other))
    assert sorted(len(one.fold_predictions) for one in results) == [N_FOLDS, N_FOLDS * REPEATS, N_FOLDS * REPEATS]
    assert len(results[0].fold_predictions) == N_FOLDS * REPEATS
    two = evaluate_with_early_exits(experiment, list_candidates(experiment, LINEAR, BLINDED))
    assert [one.early_exit for one in two] == [None, None]


def test_families_that_are_as_good_stay(experiment: Experiment) -> None:
    third = plant("third", penalty=1.01)
    results = evaluate_with_early_exits(experiment, list_candidates(experiment, LINEAR, TWIN, third))
    assert [one.early_exit for one in results] == [None, None, None]


def test_who_left_is_compared_on_the_folds_that_both_saw(experiment: Experiment) -> None:
    linear, _, blinded = evaluate_with_early_exits(experiment, list_candidates(experiment, LINEAR, TWIN, BLINDED))
    first = experiment.take_repeats(1)
    metric = experiment.task.target.metric
    verdict = compare(first, restrict_evaluation(first, linear), blinded, metric)
    assert verdict.better
    folds = np.array(linear.score(metric.name).folds[:N_FOLDS]) - np.array(blinded.score(metric.name).folds)
    assert verdict.difference.value == pytest.approx(folds.mean())


def test_the_models_of_who_left_are_let_go(experiment: Experiment) -> None:
    linear, _, blinded = evaluate_with_early_exits(
        experiment, list_candidates(experiment, LINEAR, TWIN, BLINDED), keep_models=True
    )
    assert [part.fitted is not None for part in linear.fold_predictions] == [True] * N_FOLDS + [False] * N_FOLDS * (REPEATS - 1)
    assert not any(part.fitted for part in blinded.fold_predictions)


def test_a_plan_without_repeats_lets_nobody_leave(experiment: Experiment) -> None:
    once = replace(experiment, plan=experiment.take_repeats(1).plan)
    results = evaluate_with_early_exits(once, list_candidates(once, LINEAR, TWIN, BLINDED))
    assert [one.early_exit for one in results] == [None, None, None]


def test_a_training_compares_its_champion_with_who_left_on_the_folds_that_both_saw(experiment: Experiment) -> None:
    blind = replace(get_family("constant"), name="mlp")
    candidates = list_candidates(experiment, get_family("constant"), LINEAR, plant("boosting", penalty=1.0), blind)
    board = evaluate_all(experiment, candidates, Progress(), with_early_exits=True)
    assert {one.family for one in board if one.early_exit} == {"mlp"}
    champion, verdicts = choose_champion(experiment, board)
    certain = {verdict.against: verdict.certain for verdict in verdicts}
    assert champion.family in ("linear", "boosting")
    assert certain["mlp"], "it left because it was certainly worse"
    assert certain["constant"], "who is a baseline took part in all folds"
    without = evaluate_all(experiment, candidates, Progress())
    for one in board:
        if one.family != "mlp":
            # As text: what the constant leaves undefined is NaN.
            assert repr(one.scores) == repr(next(other.scores for other in without if other.family == one.family))
    _, all_folds = choose_champion(experiment, without, champion.family)
    for verdict, before in zip(verdicts, all_folds, strict=True):
        assert verdict.certain == before.certain
        if verdict.against != "mlp":
            assert (verdict.difference, verdict.p) == (before.difference, before.p)


def test_noise_seldom_sends_a_family_away_and_is_no_more_often_called_certain() -> None:
    outcomes = [evaluate_noise(60, signal=1.0, seed=seed) for seed in range(25)]
    assert sum(one.left for one in outcomes) <= 1, "one in a hundred tables"
    assert sum(one.certain_with_exits for one in outcomes) <= sum(one.certain_without_exits for one in outcomes) + 1
