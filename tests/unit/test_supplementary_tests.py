"""DeLong, McNemar and Holm: against closed forms, slow formulas and simulations; refused where rows are not independent."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.toy import daily, toy

from epic22.core.data.folds import SplitRequest
from epic22.core.data.split import plan_folds
from epic22.core.evaluation.metrics import roc_auc
from epic22.core.evaluation.supplementary_tests import (
    compute_areas_and_covariance,
    compute_mid_p,
    delong_test_over_folds,
    find_dependence,
    mcnemar_test,
)
from epic22.core.experiment import Experiment
from epic22.core.statistics import adjust_p_values
from epic22.core.task import Array


def all_pairs(y: Array, responses: Array) -> tuple[Array, Array]:
    """DeLong's areas and covariance as the paper writes them, over every pair of a positive and a negative: O(n²)."""
    won = [np.sign(r[y == 1][:, None] - r[y == 0][None, :]) / 2 + 0.5 for r in responses]
    by_positive, by_negative = (np.array([w.mean(axis=axis) for w in won]) for axis in (1, 0))
    covariance = np.cov(by_positive) / by_positive.shape[1] + np.cov(by_negative) / by_negative.shape[1]
    return np.array([w.mean() for w in won]), covariance


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 15), st.integers(2, 15), st.booleans(), st.integers(0, 2**32 - 1))
def test_delong_by_midranks_is_delong_over_all_pairs(positives: int, negatives: int, ties: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([1.0, 0.0], [positives, negatives]))
    responses = np.round(rng.normal(size=(2, len(y))) + y * 0.7, 0 if ties else 9)
    areas, covariance = compute_areas_and_covariance(y, responses)
    expected = all_pairs(y, responses)
    assert np.allclose(areas, expected[0])
    assert np.allclose(covariance, expected[1])
    assert areas[0] == pytest.approx(roc_auc(y, responses[0]))


def correlated(rng: np.random.Generator, n: int, second: float = 1.0) -> tuple[Array, Array, Array]:
    """Classes and two responses that share much of their noise; the second separates `second` times as well."""
    y = (rng.uniform(size=n) < 0.3).astype(float)
    shared = rng.normal(size=n)
    return y, y + shared + 0.7 * rng.normal(size=n), second * y + shared + 0.7 * rng.normal(size=n)


@pytest.mark.slow
def test_delong_has_size_five_and_covers_ninety_five_in_a_hundred() -> None:
    rng = np.random.default_rng(5)
    equal = [delong_test_over_folds([correlated(rng, 200)]) for _ in range(600)]
    assert 0.03 <= np.mean([found.p < 0.05 for found in equal]) <= 0.07  # ±2 standard errors and a little
    spread = math.sqrt(1 + 0.49)
    truth = float(stats.norm.cdf(1 / (spread * math.sqrt(2))) - stats.norm.cdf(0.6 / (spread * math.sqrt(2))))
    better = [delong_test_over_folds([correlated(rng, 200, 0.6)]) for _ in range(600)]
    assert 0.93 <= np.mean([found.difference.low <= truth <= found.difference.high for found in better]) <= 0.975
    assert np.mean([found.difference.value for found in better]) == pytest.approx(truth, abs=0.005)


def test_delong_over_folds_averages_and_leaves_out_a_fold_of_one_class() -> None:
    rng = np.random.default_rng(1)
    folds = [correlated(rng, 80, 0.5) for _ in range(3)]
    alone = [delong_test_over_folds([fold]) for fold in folds]
    found = delong_test_over_folds([*folds, (np.zeros(5), np.arange(5.0), np.arange(5.0))])
    assert found.difference.value == pytest.approx(np.mean([one.difference.value for one in alone]))
    assert found.error == pytest.approx(math.sqrt(sum(one.error**2 for one in alone)) / 3)
    assert math.isnan(delong_test_over_folds([(np.ones(4), np.arange(4.0), np.arange(4.0))]).p)
    same = delong_test_over_folds([(folds[0][0], folds[0][1], folds[0][1])])
    assert (same.difference.value, same.p) == (0.0, 1.0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_mid_p_of_mcnemar_is_scipys_binomial_less_half_of_what_was_seen(a: int, b: int) -> None:
    if a + b == 0:
        assert compute_mid_p(a, b) == 1.0
        return
    exact = stats.binomtest(a, a + b).pvalue
    seen = stats.binom.pmf(a, a + b, 0.5)
    assert compute_mid_p(a, b) == pytest.approx(exact - (seen / 2 if a == b else seen))
    assert compute_mid_p(a, b) == compute_mid_p(b, a)


@pytest.mark.slow
def test_mcnemar_has_about_size_five_and_its_interval_covers() -> None:
    rng = np.random.default_rng(2)
    certain, covered = 0, 0
    for _ in range(1500):
        y, shared = rng.integers(0, 2, 120), rng.uniform(size=120)
        noise = rng.uniform(size=(2, 120)) < 0.15
        first, second = ((np.where((shared < 0.1) ^ n, 1 - y, y)) for n in noise)
        found = mcnemar_test(y, first, second)
        certain += found.p < 0.05
        covered += found.difference.low <= 0 <= found.difference.high
        assert found.difference.value == pytest.approx(np.mean(first == y) - np.mean(second == y))
    assert 0.03 <= certain / 1500 <= 0.06
    assert 0.935 <= covered / 1500 <= 0.975


def test_holm_by_hand() -> None:
    assert adjust_p_values([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert adjust_p_values([]) == ()
    assert adjust_p_values([0.2]) == (0.2,)
    found = adjust_p_values([math.nan, 0.02, 0.9])
    assert math.isnan(found[0])
    assert found[1:] == (0.04, 0.9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(ps: list[float]) -> None:
    found = adjust_p_values(ps)
    assert all(a >= p for a, p in zip(found, ps, strict=True))
    order = np.argsort(ps, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()
    assert min(found) == pytest.approx(min(1.0, len(ps) * min(ps)))


def test_holm_calls_any_of_five_equal_ones_certain_no_more_than_five_times_in_a_hundred() -> None:
    ps = np.random.default_rng(0).uniform(size=(4000, 5))
    assert np.mean([min(adjust_p_values(row.tolist())) <= 0.05 for row in ps]) == pytest.approx(0.05, abs=0.01)


def test_rows_are_independent_only_once_untimed_and_alone() -> None:
    made = toy("binary", 200)
    once = plan_folds(made.examples, "binary", SplitRequest(repeats=1))
    assert find_dependence(Experiment(made.task, made.examples, once)) is None
    redealt = plan_folds(made.examples, "binary", SplitRequest())
    assert (
        find_dependence(Experiment(made.task, made.examples, redealt))
        == "rows were tested more than once, in 5 dealings of the folds"
    )
    grouped = toy("binary", 200, group=np.repeat(np.arange(50).astype(str), 4))
    plan = plan_folds(grouped.examples, "binary", SplitRequest())
    assert find_dependence(Experiment(grouped.task, grouped.examples, plan)) == "200 tested rows come in 50 clusters"
    timed = toy("binary", 200, at=daily(200))
    forward = plan_folds(timed.examples, "binary", SplitRequest())
    assert (
        find_dependence(Experiment(timed.task, timed.examples, replace(forward, clusters=None)))
        == "rows follow one another in time"
    )
