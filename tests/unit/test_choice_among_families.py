"""The champion's interval allows for its having been chosen: the best of several was the luckiest too."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.toy import task, toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import Evaluation, build_evaluation, compute_scores, widen_scores
from epic22.core.evaluation.jackknife import compute_t_quantile
from epic22.core.evaluation.metrics import ROC_AUC
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare
from epic22.core.experiment import Experiment
from epic22.core.statistics import Interval
from epic22.core.task import Array
from epic22.services.pipelines.rows import allow_for_choice, count_choices
from epic22.services.training_run import RowSelection


def build_experiment(n: int) -> Experiment:
    examples = toy("binary", n).examples
    balanced = type(examples)(**{**vars(examples), "Y": (np.arange(n) % 2).astype(float)[:, None]})
    return Experiment(task("binary"), balanced, plan_folds(balanced, "binary", SplitRequest()))


def evaluate_scores(experiment: Experiment, name: str, response: Array) -> Evaluation:
    parts = tuple(FoldPredictions(fold, response[fold.test]) for fold in experiment.plan.folds)
    return build_evaluation(experiment, name, compute_scores(experiment, (ROC_AUC,), parts), parts)


def build_verdict(against: str, difference: Interval, p: float) -> Verdict:
    return Verdict(against, "y", None, "roc_auc", difference, p, difference.excludes_zero, "by hand", "bring more")


CERTAIN, UNSURE = Interval(0.2, 0.1, 0.3), Interval(0.01, -0.1, 0.12)


def test_the_interval_of_one_of_two_is_wider_on_both_sides_about_the_same_score() -> None:
    experiment = build_experiment(60)
    own = evaluate_scores(experiment, "linear", np.random.default_rng(1).uniform(size=60))
    chosen = widen_scores(experiment, own, 2)
    before, after = own.score("roc_auc"), chosen.score("roc_auc")
    assert after.value == before.value
    assert after.folds == before.folds
    assert after.left_out == before.left_out
    assert after.low < before.low < before.high < after.high
    assert (own.n_choices, chosen.n_choices) == (1, 2)
    assert widen_scores(experiment, own, 1) is own


def test_each_of_several_has_a_share_of_what_may_miss() -> None:
    """Bonferroni: two intervals that hold at once in 95 % are of 97.5 % each; of a normal 2.2414 standard errors."""
    assert compute_t_quantile(10**9, 2) == pytest.approx(2.241403, abs=1e-5)
    assert compute_t_quantile(10**9) == pytest.approx(1.959964, abs=1e-5)
    assert math.isnan(compute_t_quantile(0, 2))


def test_rules_to_be_beaten_and_families_that_are_certainly_worse_are_no_choices() -> None:
    champion = evaluate_scores(build_experiment(20), "boosting", np.linspace(0, 1, 20))
    verdicts = [
        build_verdict("constant", UNSURE, 0.8),
        build_verdict("incumbent", UNSURE, 0.8),
        build_verdict("linear", CERTAIN, 1e-6),
        build_verdict("extra_trees", UNSURE, 0.8),
    ]
    assert count_choices(champion, verdicts) == 2
    assert count_choices(champion, verdicts[:3]) == 1
    # Another that is certainly better, where a simpler family is preferred, could have been chosen.
    assert count_choices(champion, [build_verdict("linear", Interval(-0.2, -0.3, -0.1), 1e-6)]) == 2


def test_the_champion_of_the_board_is_the_one_that_is_reported_and_the_others_keep_their_own_interval() -> None:
    experiment, rng = build_experiment(60), np.random.default_rng(2)
    first, second = (evaluate_scores(experiment, name, rng.uniform(size=60)) for name in ("boosting", "linear"))
    board = (first, second)
    selection = allow_for_choice(
        experiment, RowSelection(leaderboard=board, champion=first, verdicts=(build_verdict("linear", UNSURE, 0.8),))
    )
    assert selection.leaderboard[0] is selection.champion
    assert selection.champion.n_choices == 2
    assert selection.leaderboard[1] is second
    certain = replace(selection, champion=first, leaderboard=board, verdicts=(build_verdict("linear", CERTAIN, 1e-6),))
    assert allow_for_choice(experiment, certain).champion is first


@pytest.mark.slow
def test_of_the_best_of_three_that_know_nothing_the_interval_holds_one_half_as_often_as_it_says() -> None:
    n, tables, own, allowed = 60, 300, 0, 0
    experiment, rng = build_experiment(n), np.random.default_rng(3)
    for _ in range(tables):
        models = [evaluate_scores(experiment, name, rng.uniform(size=n)) for name in ("boosting", "linear", "extra_trees")]
        best, *others = sorted(models, key=lambda one: -one.score("roc_auc").value)
        verdicts = adjust_for_multiple_comparisons([compare(experiment, best, one, ROC_AUC) for one in others])
        pair = (best, widen_scores(experiment, best, count_choices(best, verdicts)))
        holds = [one.score("roc_auc").low <= 0.5 <= one.score("roc_auc").high for one in pair]
        own, allowed = own + holds[0], allowed + holds[1]
    # Of three the highest lies above its own interval's upper tail in 1 - 0.975³ = 7.3 %; three standard errors to each side.
    spread = 3 * math.sqrt(0.95 * 0.05 / tables)
    assert own / tables < 0.95 + spread
    assert allowed / tables >= 0.95 - spread
    assert allowed > own
