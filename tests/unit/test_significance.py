"""Comparison: paired, clustered, corrected; and honest about what it can't tell."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.folds import cross_validate
from tests.toy import daily, task, toy

from epic22.core.data.examples import Examples
from epic22.core.data.folds import FoldPlan, SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.errors import InternalError
from epic22.core.evaluation.crossval import Evaluation, compute_scores
from epic22.core.evaluation.metrics import AVERAGE_PRECISION, METRICS, ROC_AUC, ROOT_MEAN_SQUARED_ERROR
from epic22.core.evaluation.power import TWO_SIDED, SampleSize, compute_data_factor, compute_power, count_sample
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import Verdict, adjust_for_multiple_comparisons, compare
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.core.task import Array, Kind


def evaluation(name: str, response: Array, examples: Examples, plan: FoldPlan, kind: Kind) -> Evaluation:
    """An evaluation of responses made outside, one a row."""
    parts = tuple(FoldPredictions(fold, response[fold.test]) for fold in plan.folds)
    scores = compute_scores(Experiment(task(kind), examples, plan), METRICS[kind], parts)
    return Evaluation(name, "y", None, scores, parts, plan.fingerprint(examples.data_version), 0.0, 0.0)


def test_different_folds_are_refused() -> None:
    made = toy("binary", 200)
    plans = [plan_folds(made.examples, "binary", SplitRequest(seed=s, repeats=1)) for s in (0, 1)]
    a, b = (cross_validate(Experiment(made.task, made.examples, plan), get_family("constant")) for plan in plans)
    with pytest.raises(InternalError, match="different folds"):
        compare(Experiment(made.task, made.examples, plans[0]), a, b, AVERAGE_PRECISION)


@pytest.mark.slow
def test_a_family_against_itself_shows_no_difference() -> None:
    made = toy("binary", 200)
    plan = plan_folds(made.examples, "binary", SplitRequest(repeats=2))
    a = cross_validate(Experiment(made.task, made.examples, plan), get_family("linear"))
    verdict = compare(Experiment(made.task, made.examples, plan), a, a, AVERAGE_PRECISION)
    assert (verdict.difference.value, verdict.p, verdict.enough_data) == (0.0, 1.0, False)
    assert verdict.advice == "no difference seen"


def test_one_fold_whose_metric_is_defined_makes_nothing_certain() -> None:
    made = toy("binary", 60)
    alone = replace(made.examples, Y=(np.arange(60) == 0).astype(float)[:, None])
    plan = replace(plan_folds(made.examples, "binary", SplitRequest(repeats=1)), strategy="repeated")
    good, bad = (evaluation(name, sign * alone.y, alone, plan, "binary") for name, sign in (("good", 1.0), ("bad", -1.0)))
    verdict = compare(Experiment(made.task, alone, plan), good, bad, ROC_AUC)
    assert verdict.difference.value == 1.0
    assert not verdict.enough_data
    assert verdict.p == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("timed", [False, True], ids=["dealt", "forward"])
def test_what_is_better_by_far_is_certain_and_turning_the_pair_turns_the_sign(timed: bool) -> None:
    made = toy("regression", 400, at=daily(400) if timed else None)
    plan = plan_folds(made.examples, "regression", SplitRequest())
    a, b = (cross_validate(Experiment(made.task, made.examples, plan), get_family(n)) for n in ("linear", "constant"))
    there = compare(Experiment(made.task, made.examples, plan), a, b, ROOT_MEAN_SQUARED_ERROR)
    back = compare(Experiment(made.task, made.examples, plan), b, a, ROOT_MEAN_SQUARED_ERROR)
    assert there.difference.low > 0
    assert there.enough_data
    assert there.p < 0.01
    assert back.difference.value == pytest.approx(-there.difference.value)
    assert back.difference.high < 0


def test_a_small_difference_on_few_rows_asks_for_more_positives() -> None:
    rng = np.random.default_rng(0)
    made = toy("binary", 150, at=daily(150))
    plan = plan_folds(made.examples, "binary", SplitRequest(group_by="week", n_folds=2))
    y = made.examples.y
    a = np.clip(0.3 + 0.1 * y + rng.uniform(-0.29, 0.29, 150), 0, 1)
    b = np.clip(0.3 + 0.09 * y + rng.uniform(-0.29, 0.29, 150), 0, 1)
    first, second = (evaluation(n, r, made.examples, plan, "binary") for n, r in (("a", a), ("b", b)))
    verdict = compare(Experiment(made.task, made.examples, plan), first, second, AVERAGE_PRECISION)
    assert not verdict.enough_data
    assert "positives would be needed" in verdict.advice


def test_clusters_widen_the_interval_when_rows_of_a_cluster_err_together() -> None:
    rng = np.random.default_rng(1)
    made = toy("regression", 800, at=daily(800, every_hours=1))
    shared = np.repeat(rng.normal(size=34), 24)[:800] * 3
    plan = plan_folds(made.examples, "regression", SplitRequest(group_by="day"))
    response = made.examples.y + shared
    clustered = evaluation("c", response, made.examples, plan, "regression").score("root_mean_squared_error")
    by_row = replace(plan, clusters=None)
    alone = evaluation("c", response, made.examples, by_row, "regression").score("root_mean_squared_error")
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_pairing_sees_what_two_separate_intervals_cannot() -> None:
    """Two models that err alike, one five percent more. Broken once on purpose: with the rival's rows drawn apart from the
    champion's, the interval holds zero and this fails.
    """
    rng = np.random.default_rng(3)
    made = toy("regression", 400, at=daily(400, every_hours=24))
    plan = plan_folds(made.examples, "regression", SplitRequest(holdout_last=200))
    error = rng.normal(size=400)
    a, b = (evaluation(n, made.examples.y + error * e, made.examples, plan, "regression") for n, e in (("a", 1.0), ("b", 1.05)))
    apart = (a.score("root_mean_squared_error"), b.score("root_mean_squared_error"))
    assert apart[0].high > apart[1].low
    assert compare(Experiment(made.task, made.examples, plan), a, b, ROOT_MEAN_SQUARED_ERROR).difference.low > 0


@pytest.mark.slow
def test_equal_models_are_told_apart_no_more_often_than_five_times_in_a_hundred() -> None:
    """The size of the clustered test, by simulation: two noises on the same rows, neither better."""
    certain = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        made = toy("regression", 120, at=daily(120, every_hours=24))
        plan = plan_folds(made.examples, "regression", SplitRequest(holdout_last=80))
        a, b = (evaluation(n, made.examples.y + rng.normal(size=120), made.examples, plan, "regression") for n in "ab")
        certain += compare(Experiment(made.task, made.examples, plan, seed), a, b, ROOT_MEAN_SQUARED_ERROR).enough_data
    assert certain <= 8  # Binomial(60, 0.05) exceeds 8 with probability 0.4 %


@pytest.mark.slow
def test_what_is_said_to_be_certain_follows_the_p_that_allows_for_all_comparisons() -> None:
    """Broken once on purpose: with `certain` reading the single p, the borderline verdict stays certain and this fails."""
    made = toy("binary", 200)
    plan = plan_folds(made.examples, "binary", SplitRequest(repeats=2))
    a, b = (cross_validate(Experiment(made.task, made.examples, plan), get_family(n)) for n in ("linear", "constant"))
    clear = compare(Experiment(made.task, made.examples, plan), a, b, AVERAGE_PRECISION)
    borderline = replace(clear, p=0.03, difference=replace(clear.difference, low=0.001))
    alone, together = (
        adjust_for_multiple_comparisons([borderline])[0],
        adjust_for_multiple_comparisons([borderline, borderline, clear]),
    )
    assert (alone.p_adjusted, alone.certain, alone.words) == (0.03, True, "certainly better")
    assert [round(v.p_adjusted or 0, 3) for v in together[:2]] == [0.06, 0.06]
    assert not together[0].certain
    assert together[0].enough_data  # of itself, as before
    assert "all comparisons together" in together[0].words
    assert together[2].better


@pytest.mark.slow
def test_second_opinions_are_given_where_rows_are_independent_and_refused_with_the_reason_elsewhere() -> None:
    made = toy("binary", 200)
    for repeats in (1, 2):
        plan = plan_folds(made.examples, "binary", SplitRequest(repeats=repeats))
        a, b = (cross_validate(Experiment(made.task, made.examples, plan), get_family(n)) for n in ("linear", "constant"))
        found = {
            o.metric: o for o in compare(Experiment(made.task, made.examples, plan), a, b, AVERAGE_PRECISION).supplementary_tests
        }
        assert set(found) == {"roc_auc", "accuracy"}
        if repeats == 1:
            gap = a.score("roc_auc").value - b.score("roc_auc").value
            assert found["roc_auc"].difference.value == pytest.approx(gap)
            assert found["roc_auc"].p < 0.001
        else:
            assert "2 dealings" in found["accuracy"].refusal
            assert np.isnan(found["accuracy"].p)


@pytest.mark.slow
def test_with_as_many_rows_as_were_asked_for_four_of_five_tests_find_the_difference() -> None:
    """The power statement by simulation: the needed rows are computed from 100 rows, then so many are drawn, 100 times."""
    rng = np.random.default_rng(11)

    def verdict(n: int, seed: int) -> Verdict:
        made = toy("regression", n + 20)
        plan = plan_folds(made.examples, "regression", SplitRequest(test_rows=n))
        error = rng.normal(size=n + 20)
        other = 1.06 * error + 0.45 * rng.normal(size=n + 20)
        a, b = (evaluation(m, made.examples.y + e, made.examples, plan, "regression") for m, e in (("a", error), ("b", other)))
        return compare(Experiment(made.task, made.examples, plan, seed), a, b, ROOT_MEAN_SQUARED_ERROR)

    truth = float(np.sqrt(1.06**2 + 0.45**2) - 1)
    errors = [one.power.detectable / TWO_SIDED for s in range(10) if (one := verdict(100, s)).power is not None]
    needed = round(100 * compute_data_factor(truth, float(np.mean(errors))))
    assert 20 < needed < 400
    found = np.mean([verdict(needed, seed).enough_data for seed in range(100)])
    assert 0.66 <= found <= 0.94  # 0.8 ± 3.5 standard errors of 100


def test_rows_that_come_in_clusters_are_asked_for_in_clusters() -> None:
    group = np.repeat(np.arange(40).astype(str), 10)
    made = toy("regression", 400, group=group)
    plan = plan_folds(made.examples, "regression", SplitRequest())
    assert count_sample(Experiment(made.task, made.examples, plan)) == SampleSize("rows", 400, 40)
    power = compute_power(0.1, 0.1, 0.05, count_sample(Experiment(made.task, made.examples, plan)))
    factor = ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 1.0) ** 2
    assert power.seen_data_factor == pytest.approx(factor)
    assert power.minimum_data_factor == pytest.approx(4 * factor)
    assert f"about {math.ceil(40 * (factor - 1))} more clusters" in power.advice
    assert f"about {math.ceil(400 * (4 * factor - 1)):,} more rows" in power.advice
    assert "would have shown in these" in compute_power(0.01, 0.1, 0.5, SampleSize("rows", 400, None)).advice
