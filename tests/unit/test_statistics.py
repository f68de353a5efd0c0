"""Intervals, p-values, power and a logistic fit, against formulas and against other libraries."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression

from epic22.core.evaluation.bootstrap import compute_percentile_interval
from epic22.core.evaluation.logistic import fit_logistic
from epic22.core.evaluation.power import ONE_SIDED, TWO_SIDED, SampleSize, compute_data_factor, compute_power
from epic22.core.statistics import UNDEFINED_INTERVAL, Interval, adjust_p_values, compute_wilson_interval

P = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000)])
def test_the_interval_of_a_share_is_wilson_s(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    interval = compute_wilson_interval(hits, n)
    assert tuple(interval) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_nothing_a_share_may_be_anything() -> None:
    assert tuple(compute_wilson_interval(0, 0)) == (0.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 500), share=P)
def test_the_interval_of_a_share_holds_the_share_and_stays_within_0_and_1(n: int, share: float) -> None:
    hits = round(share * n)
    low, high = compute_wilson_interval(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


def test_the_interval_of_no_hit_begins_at_0_and_that_of_hits_alone_ends_at_1() -> None:
    sizes = [*range(1, 2000), 898.9999]
    assert {compute_wilson_interval(0.0, n)[0] for n in sizes} == {0.0}
    assert {compute_wilson_interval(n, n)[1] for n in sizes} == {1.0}


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 200), share=P)
def test_more_rows_of_the_same_share_narrow_its_interval(n: int, share: float) -> None:
    hits = round(share * n)
    widths = [high - low for low, high in (compute_wilson_interval(hits * k, n * k) for k in (1, 4, 16))]
    assert widths[0] > widths[1] > widths[2]


def test_the_percentile_interval_cuts_a_fortieth_at_each_end() -> None:
    replicates = np.arange(1001.0)
    assert tuple(compute_percentile_interval(replicates)) == pytest.approx((25.0, 975.0))


def test_replicates_that_are_not_defined_are_left_out_up_to_half_of_them() -> None:
    half = np.concatenate([np.arange(101.0), np.full(101, np.nan)])
    assert tuple(compute_percentile_interval(half)) == pytest.approx((2.5, 97.5))
    assert all(math.isnan(end) for end in compute_percentile_interval(np.append(half, np.nan)))


def test_holm_s_adjusted_p_by_hand() -> None:
    assert adjust_p_values([0.01, 0.02, 0.03]) == pytest.approx((0.03, 0.04, 0.04))
    assert adjust_p_values([0.5, 0.6]) == (1.0, 1.0)
    assert adjust_p_values([]) == ()


def test_what_was_not_tested_does_not_count() -> None:
    adjusted = adjust_p_values([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)


@settings(max_examples=40, deadline=None)
@given(ps=st.lists(P, min_size=1, max_size=8))
def test_adjusted_p_values_are_never_below_their_own_and_keep_their_order(ps: list[float]) -> None:
    adjusted = adjust_p_values(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    order = np.argsort(ps, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(ps=st.lists(P, min_size=2, max_size=6), data=st.data())
def test_the_order_of_the_tests_changes_no_adjusted_p(ps: list[float], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(ps))))
    assert adjust_p_values([ps[i] for i in order]) == tuple(adjust_p_values(ps)[i] for i in order)


def test_a_difference_of_its_own_detectable_size_needs_no_more_data() -> None:
    power = compute_power(0.1, 0.1 / TWO_SIDED, 0.05, SampleSize("rows", 100, None))
    assert power.detectable == pytest.approx(0.1)
    assert power.seen_data_factor == pytest.approx(1.0)
    # Half the difference takes four times the rows.
    assert power.minimum_data_factor == pytest.approx(4.0)


def test_a_one_sided_question_needs_less() -> None:
    assert pytest.approx(1.959964 + 0.841621, abs=1e-5) == TWO_SIDED
    assert pytest.approx(1.644854 + 0.841621, abs=1e-5) == ONE_SIDED
    assert compute_data_factor(1.0, 1.0, ONE_SIDED) < compute_data_factor(1.0, 1.0)


@pytest.mark.parametrize(("difference", "error"), [(0.0, 1.0), (math.nan, 1.0), (1.0, math.nan)])
def test_no_data_show_a_difference_that_is_not_there(difference: float, error: float) -> None:
    assert compute_data_factor(difference, error) == math.inf


def test_the_advice_says_how_many_more_would_tell() -> None:
    sample = SampleSize("positives", 200, 50)
    advice = compute_power(0.1, 0.1, 0.5, sample).advice
    more = math.ceil(200 * (TWO_SIDED**2 - 1))
    assert f"about {more:,} more positives would be needed" in advice
    assert "one of 0.5, the minimum effect, would have shown in these" in advice
    assert compute_power(0.0, 0.1, 0.5, sample).advice == "no difference seen"


def test_the_logistic_fit_is_that_of_scikit_learn_where_the_prior_is_weak() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 2))
    y = (X @ [1.5, -0.5] + 0.3 + rng.logistic(size=800) > 0).astype(float)
    theirs = LogisticRegression(C=1e8, tol=1e-10, max_iter=2000).fit(X, y)
    assert fit_logistic(X, y) == pytest.approx([*theirs.coef_[0], theirs.intercept_[0]], abs=2e-3)


def test_a_row_that_weighs_twice_is_a_row_that_stands_twice() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 1)), (rng.uniform(size=60) < 0.4).astype(float)
    weight = np.where(np.arange(60) < 20, 2.0, 1.0)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    assert fit_logistic(X, y, weight) == pytest.approx(fit_logistic(X[twice], y[twice]), abs=1e-8)


def test_scores_that_say_nothing_are_given_the_weight_of_no_change() -> None:
    """With a constant column its weight cannot be told from the intercept: the prior decides, and the fit is finite."""
    y = np.array([0.0, 1.0, 1.0, 1.0])
    weight, intercept = fit_logistic(np.ones((4, 1)), y)
    assert weight + intercept == pytest.approx(math.log(3), abs=1e-2)


def test_classes_that_one_score_parts_are_given_a_finite_weight() -> None:
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    weight, _ = fit_logistic(x, np.array([0.0, 0.0, 1.0, 1.0]))
    assert 3 < weight < 100


@pytest.mark.parametrize(
    ("low", "high", "excludes"),
    [(0.1, 0.5, True), (-0.5, -0.1, True), (-0.1, 0.1, False), (0.0, 0.5, False), (math.nan, math.nan, False)],
)
def test_an_interval_excludes_zero_where_both_ends_lie_on_one_side_of_it(low: float, high: float, excludes: bool) -> None:
    assert Interval((low + high) / 2, low, high).excludes_zero is excludes


def test_an_undefined_interval_excludes_nothing() -> None:
    assert not UNDEFINED_INTERVAL.excludes_zero
    assert math.isnan(UNDEFINED_INTERVAL.value)


def test_an_interval_around_a_figure_is_symmetric() -> None:
    assert Interval.around(2.0, 0.5) == Interval(2.0, 1.5, 2.5)
