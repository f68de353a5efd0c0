"""The error of a mean over folds by what is independent, the least p, and intervals within a figure's bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.toy import daily, task, toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import Evaluation, build_evaluation, compute_scores
from epic22.core.evaluation.jackknife import (
    IndependentUnits,
    compute_jackknife_error,
    compute_least_sign_p,
    find_independent_units,
    jackknife_means,
)
from epic22.core.evaluation.metrics import AVERAGE_PRECISION, LOG_LOSS, METRICS, R2, ROC_AUC, ROOT_MEAN_SQUARED_ERROR
from epic22.core.evaluation.power import SampleSize, compute_power
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.significance import adjust_for_multiple_comparisons, compare, is_certainly_better, write_advice
from epic22.core.experiment import Experiment
from epic22.core.statistics import MetricBounds
from epic22.core.task import Array, Kind, Metric


def experiment_of(y: Array, kind: Kind = "binary", group: Array | None = None, at: Array | None = None) -> Experiment:
    """An experiment on these labels, in the folds that a training would take."""
    made = toy(kind, len(y), group=group, at=at)
    examples = type(made.examples)(**{**vars(made.examples), "Y": y[:, None].astype(float)})
    return Experiment(task(kind), examples, plan_folds(examples, kind, SplitRequest()))


def evaluate_response(experiment: Experiment, name: str, response: Array, metrics: tuple[Metric, ...] = ()) -> Evaluation:
    """An evaluation of one response a row, by all metrics or those named."""
    parts = tuple(FoldPredictions(fold, response[fold.test]) for fold in experiment.plan.folds)
    scores = compute_scores(experiment, metrics or METRICS[experiment.task.target.kind], parts)
    return build_evaluation(experiment, name, scores, parts)


def test_the_error_of_a_mean_of_rows_is_the_textbooks() -> None:
    """Repeated folds test each row five times: it still counts once. A ninth of a fold weighs more than a forty-fifth of all."""
    y = np.random.default_rng(0).normal(size=45)
    experiment = experiment_of(y, "regression")
    parts = tuple(FoldPredictions(fold, np.zeros(len(fold.test))) for fold in experiment.plan.folds)
    absolute = METRICS["regression"][1]
    error = compute_jackknife_error(jackknife_means(experiment, (absolute,), parts, find_independent_units(experiment))[0])
    assert error == pytest.approx(np.abs(y).std(ddof=1) / math.sqrt(45), rel=0.15)


def test_perfect_separation_of_twenty_rows_has_an_interval_with_a_width_and_a_p_that_a_permutation_could_give() -> None:
    y = (np.arange(20) < 9).astype(float)
    experiment = experiment_of(y)
    perfect, constant = (evaluate_response(experiment, n, r) for n, r in (("perfect", y), ("constant", np.full(20, 0.45))))
    verdict = compare(experiment, perfect, constant, AVERAGE_PRECISION)
    for metric in (AVERAGE_PRECISION, ROC_AUC):
        score = perfect.score(metric.name)
        assert (score.value, score.high) == (1.0, 1.0)
        assert 0.5 < score.low < 0.937
    assert verdict.better
    assert verdict.p >= 1 / math.comb(20, 9)
    assert verdict.difference.low < verdict.difference.value < verdict.difference.high


def test_no_difference_on_five_groups_is_certain_and_the_advice_says_how_many_are_needed() -> None:
    y, group = np.tile([0.0, 1.0], 20), np.repeat(np.arange(5).astype(str), 8)
    experiment = experiment_of(y, group=group)
    perfect, constant = (evaluate_response(experiment, n, r) for n, r in (("perfect", y), ("constant", np.full(40, 0.5))))
    verdict = compare(experiment, perfect, constant, AVERAGE_PRECISION)
    assert not verdict.certain
    assert not is_certainly_better(adjust_for_multiple_comparisons([verdict]), "constant")
    assert "5 independent groups of rows can show nothing" in verdict.words
    assert "bring at least 6" in verdict.words


def test_matched_pairs_one_of_each_class_can_show_what_tells_them_apart() -> None:
    """Every pair has the same share of positives, so the orders within the pairs are what chance could give."""
    group, y = np.repeat(np.arange(40), 2), np.tile([0.0, 1.0], 40)
    experiment = experiment_of(y, group=group)
    perfect, constant = (evaluate_response(experiment, n, r) for n, r in (("perfect", y), ("constant", np.full(80, 0.5))))
    assert compare(experiment, perfect, constant, AVERAGE_PRECISION).certain


def test_one_positive_in_twenty_rows_gives_no_p_below_one_in_twenty() -> None:
    experiment = experiment_of((np.arange(40) % 2).astype(float))
    lone = type(experiment.examples)(**{**vars(experiment.examples), "Y": (np.arange(40) == 3).astype(float)[:, None]})
    units = find_independent_units(Experiment(experiment.task, lone, experiment.plan))
    assert units.least_p == pytest.approx(1 / 40)
    assert units.informative == 1
    assert units.degrees_of_freedom == 0


def test_twelve_rows_with_one_positive_are_asked_for_more_positives_not_for_six_rows() -> None:
    units = IndependentUnits("rows", np.arange(12), 12, 1, 1 / 12)
    advice = write_advice(compute_power(0.1, 0.2, 0.01, SampleSize("positives", 1, None)), units)
    assert "labels of 12 independent rows are too much alike" in advice
    assert "bring more of the rarer class" in advice


def test_a_verdict_that_is_not_certain_never_asks_for_no_more_rows() -> None:
    """Where the interval holds zero, the same rows have less than 80 % power for what was seen."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.arange(40) % 2).astype(float)
        experiment = experiment_of(y)
        pair = ((name, 0.3 * weight * y + rng.uniform(size=40)) for name, weight in (("a", 1.0), ("b", 0.5)))
        a, b = (evaluate_response(experiment, name, response, (AVERAGE_PRECISION,)) for name, response in pair)
        verdict = compare(experiment, a, b, AVERAGE_PRECISION)
        assert verdict.enough_data or (verdict.power is not None and verdict.power.seen_data_factor > 1)
        assert "about 0 more" not in verdict.advice


def test_rows_that_follow_one_another_in_time_are_left_out_in_stretches() -> None:
    y = np.random.default_rng(0).normal(size=100)
    experiment = experiment_of(y, "regression", at=daily(100))
    part = find_independent_units(experiment).part
    assert len(np.unique(part)) == 20
    assert (np.diff(part) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "kind"), [(20, "binary"), (60, "binary"), (40, "regression")])
def test_a_random_order_is_rarely_certain_against_the_constant(rows: int, kind: Kind) -> None:
    """Twelve tables: more than three certain ones have a chance of 0.2 % at a level of 5 %."""
    certain = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.arange(rows) % 2).astype(float) if kind == "binary" else rng.normal(size=rows)
        experiment = experiment_of(y, kind)
        noise = rng.uniform(size=rows) if kind == "binary" else rng.normal(size=rows)
        other = np.full(rows, 0.5) if kind == "binary" else rng.normal(size=rows)
        metric = AVERAGE_PRECISION if kind == "binary" else ROOT_MEAN_SQUARED_ERROR
        model, rival = (evaluate_response(experiment, n, r, (metric,)) for n, r in (("noise", noise), ("constant", other)))
        certain += compare(experiment, model, rival, metric).certain
    assert certain <= 3


@given(st.floats(0, 1), st.floats(0, 3), st.floats(1.9, 13), st.integers(1, 50))
def test_no_end_of_an_interval_lies_beyond_a_bound_and_none_within_two_bounds_is_without_width(
    share: float, error: float, quantile: float, units: int
) -> None:
    for metric in (ROC_AUC, LOG_LOSS, R2):
        bounds = metric.bounds
        value = share if bounds.maximum == 1.0 else 10 * share
        low, high = bounds.compute_interval(value, error, quantile, units)
        assert math.isnan(low) or low >= bounds.minimum
        assert math.isnan(high) or high <= bounds.maximum
    low, high = MetricBounds(0.0, 1.0).compute_interval(share, 0.0, quantile, units)
    assert low < high
    assert low - 1e-9 <= share <= high + 1e-9


def test_every_reported_metric_declares_what_it_lies_between() -> None:
    for metrics in METRICS.values():
        for metric in metrics:
            assert math.isfinite(metric.bounds.minimum) or math.isfinite(metric.bounds.maximum), metric.name


def test_an_interval_of_a_share_of_variance_explained_never_passes_one_nor_an_error_zero() -> None:
    rng = np.random.default_rng(3)
    y = np.where(rng.uniform(size=40) < 0.5, 0.0, rng.exponential(2.0, 40))
    experiment = experiment_of(y, "regression")
    model = evaluate_response(experiment, "model", y + rng.normal(size=40) * np.where(np.arange(40) == 7, 30, 0.01))
    assert model.score("r2").high <= 1
    assert model.score("mean_absolute_error").low >= 0
    assert model.score("root_mean_squared_error").low >= 0


@pytest.mark.parametrize(("units", "least"), [(1, 1.0), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_few_independent_units_have_a_least_p(units: int, least: float) -> None:
    assert compute_least_sign_p(units) == least


def test_an_order_that_ranks_the_few_positives_last_is_not_certainly_worse_than_chance() -> None:
    """Its own score hardly varies; a random order's does."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(200) < 10).astype(float)
    experiment = experiment_of(y)
    low, constant = (
        evaluate_response(experiment, name, response, (AVERAGE_PRECISION,))
        for name, response in (("low", 0.2 * rng.uniform(size=200) - 0.1 * y), ("constant", np.full(200, 0.05)))
    )
    verdict = compare(experiment, low, constant, AVERAGE_PRECISION)
    assert verdict.difference.value < 0
    assert not verdict.certain


def test_the_average_precision_of_few_positives_that_happen_to_rank_low_is_not_called_lower_than_chance() -> None:
    """Their order varies little when rows are left out; the score of chance is within the interval all the same."""
    y = (np.arange(300) < 15).astype(float)
    experiment, rng = experiment_of(y), np.random.default_rng(5)
    low, constant = (
        evaluate_response(experiment, name, response, (AVERAGE_PRECISION,)).score("average_precision")
        for name, response in (("low", rng.normal(size=300) - 0.55 * y), ("constant", np.full(300, 0.05)))
    )
    assert low.value < constant.value < low.high
