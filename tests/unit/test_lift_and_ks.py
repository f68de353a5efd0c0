"""Lift in the top decile and the Kolmogorov-Smirnov statistic: by hand, with ties, of rows that belong together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from tests.toy import toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.crossval import MetricScore, compute_scores
from epic22.core.evaluation.metrics import (
    AVERAGE_PRECISION,
    BY_NAME,
    KS_STATISTIC,
    TOP_DECILE_LIFT,
    ks_statistic,
    top_decile_lift,
)
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.survival import list_target_metrics
from epic22.core.experiment import Experiment
from epic22.core.task import Array, RowMetadata
from epic22.features.catalog import get_feature

BOTH = (TOP_DECILE_LIFT, KS_STATISTIC)
RESPONSES = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=60).filter(
    lambda rows: len({happened for happened, _ in rows}) == 2
)
"""Rows of both classes with responses that are often equal."""


def test_the_lift_is_what_the_hand_computes_where_the_end_of_the_tenth_is_a_tie() -> None:
    """Two of twenty rows are the tenth: the first, a positive, and a place that one positive of three equal rows shares."""
    y = np.r_[1, 1, 0, 0, 1, 1, np.zeros(14)]
    score = np.r_[0.9, 0.8, 0.8, 0.8, 0.4, 0.3, np.linspace(0.2, 0.1, 14)]
    assert top_decile_lift(y, score) == pytest.approx((1 + 1 / 3) / 2 / (4 / 20))


def test_the_ks_statistic_is_what_the_hand_computes_where_responses_are_equal() -> None:
    """At 0.7 and above stand three of four positives and one of six negatives; nowhere are their shares further apart."""
    y = np.r_[np.ones(4), np.zeros(6)]
    response = np.r_[0.9, 0.7, 0.7, 0.2, 0.7, 0.5, 0.4, 0.2, 0.1, 0.1]
    assert ks_statistic(y, response) == pytest.approx(3 / 4 - 1 / 6)
    assert ks_statistic(y, -response) == 0.0
    assert (ks_statistic(y, y), ks_statistic(y, -y), ks_statistic(y, np.full(10, 0.3))) == (1.0, 0.0, 0.0)
    assert math.isnan(ks_statistic(np.ones(4), response[:4]))


@given(RESPONSES)
def test_of_any_rows_ks_is_scipys_one_sided_statistic_and_both_look_at_the_order_alone(rows: list[tuple[bool, int]]) -> None:
    y, response = np.array([happened for happened, _ in rows], dtype=float), np.array([response for _, response in rows])
    ks, lift = ks_statistic(y, response), top_decile_lift(y, response)
    assert ks == pytest.approx(ks_2samp(response[y == 1], response[y == 0], alternative="less").statistic, abs=1e-12)
    assert 0 <= lift <= min(10, 1 / y.mean()) + 1e-9
    order = np.random.default_rng(0).permutation(len(y))
    assert ks_statistic(y[order], np.exp(response[order])) == pytest.approx(ks)
    assert top_decile_lift(y[order], np.exp(response[order])) == pytest.approx(lift)
    thrice = RowMetadata(weight=np.full(len(y), 3.0))
    assert ks_statistic(y, response, thrice) == pytest.approx(ks_statistic(np.repeat(y, 3), np.repeat(response, 3)))
    assert top_decile_lift(y, response, thrice) == pytest.approx(top_decile_lift(np.repeat(y, 3), np.repeat(response, 3)))


def score_repeated(times: int, group: Array | None) -> tuple[MetricScore, ...]:
    """Both of 200 rows, each given so many times, in folds that hold a group together."""
    made = toy("binary", 200 * times, group=group)
    y = np.tile((np.arange(200) % 5 == 0).astype(float), times)
    response = np.tile(np.random.default_rng(3).normal(size=200) + (np.arange(200) % 5 == 0), times)
    examples = type(made.examples)(**{**vars(made.examples), "Y": y[:, None]})
    experiment = Experiment(made.task, examples, plan_folds(examples, "binary", SplitRequest()))
    parts = tuple(FoldPredictions(fold, response[fold.test]) for fold in experiment.plan.folds)
    return compute_scores(experiment, BOTH, parts)


def test_three_rows_of_one_entity_are_no_more_certain_than_one() -> None:
    entity = np.array([f"e{i % 200}" for i in range(600)])
    once, grouped, as_rows = (score_repeated(*how) for how in ((1, None), (3, entity), (3, None)))
    for one, together, apart in zip(once, grouped, as_rows, strict=True):
        width, expected, narrow = (score.high - score.low for score in (together, one, apart))
        assert together.low < together.value < together.high
        assert width > max(0.8 * expected, 1.3 * narrow)


def test_churn_reports_the_lift_and_risk_the_ks_statistic_and_neither_decides() -> None:
    for name, metric in (("tenant_churn", TOP_DECILE_LIFT), ("risk_assessment", KS_STATISTIC)):
        target = get_feature(name).task.target
        first, *_, last = list_target_metrics(target)
        assert (first, last, target.metric) == (AVERAGE_PRECISION, metric, AVERAGE_PRECISION)
    hazard = [metric.name for metric in list_target_metrics(get_feature("churn_hazard").task.target)]
    assert (hazard[0], hazard[-1]) == ("average_precision_90d", "top_decile_lift_90d")
    others = {metric.name for metric in list_target_metrics(get_feature("predictive_maintenance").task.target)}
    assert others < set(BY_NAME)
