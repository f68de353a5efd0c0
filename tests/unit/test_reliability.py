"""The figures that judge calibration, against what is known by other means."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from epic22.core.evaluation.metrics import brier_skill_score, expected_calibration_error
from epic22.core.evaluation.reliability import compute_calibration_error_floor, compute_reliability_table, fit_recalibration
from epic22.core.statistics import compute_wilson_interval
from epic22.core.task import Array, RowMetadata


def drawn(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Classes and the very probabilities they were drawn by."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(-2, 1.2, n))
    return (rng.uniform(size=n) < p).astype(float), p


def test_perfect_probabilities_show_the_error_that_the_floor_foretells() -> None:
    found = [expected_calibration_error(*drawn(2000, seed)) for seed in range(60)]
    floors = [compute_calibration_error_floor(drawn(2000, seed)[1]) for seed in range(60)]
    assert np.mean(found) == pytest.approx(np.mean(floors), rel=0.06)


def test_a_shift_shows_in_the_error() -> None:
    y, p = drawn(20000)
    assert expected_calibration_error(y, np.clip(p + 0.1, 0, 1)) == pytest.approx(0.1, abs=0.01)


def test_slope_and_intercept_are_those_of_logistic_regression() -> None:
    y, p = drawn(3000)
    found = fit_recalibration(y, expit(2 * logit(p) + 1))
    peer = LogisticRegression(C=1e9, tol=1e-10).fit((2 * logit(p) + 1)[:, None], y)
    assert found.slope == pytest.approx(peer.coef_[0, 0], rel=1e-3)
    assert found.intercept == pytest.approx(peer.intercept_[0], abs=1e-3)
    assert found.slope == pytest.approx(0.5, abs=0.05)


def test_a_weight_of_two_is_a_row_twice() -> None:
    y, p = drawn(400)
    twice = np.arange(400) % 2 == 0
    weight, rows = np.where(twice, 2.0, 1.0), np.concatenate([np.arange(400), np.flatnonzero(twice)])
    for figure in (expected_calibration_error, brier_skill_score):
        assert figure(y, p, RowMetadata(weight=weight)) == pytest.approx(figure(y[rows], p[rows], RowMetadata()))
    a, b = fit_recalibration(y, p, RowMetadata(weight=weight)), fit_recalibration(y[rows], p[rows])
    assert [a.slope, a.intercept] == pytest.approx([b.slope, b.intercept])


def test_the_constant_has_no_skill_and_foresight_has_all() -> None:
    y, _ = drawn(500)
    assert brier_skill_score(y, np.full(500, y.mean())) == pytest.approx(0)
    assert brier_skill_score(y, y) == 1
    assert np.isnan(brier_skill_score(np.zeros(5), np.zeros(5)))


def test_wilson_intervals_are_those_of_scipy_and_cover_the_truth() -> None:
    peer = binomtest(3, 40).proportion_ci(0.95, method="wilson")
    assert list(compute_wilson_interval(3, 40)) == pytest.approx([peer.low, peer.high])
    assert compute_wilson_interval(0, 0) == (0.0, 1.0)
    y, p = drawn(20000)
    table = compute_reliability_table(y, p)
    assert sum(b.n for b in table) == 20000
    assert sum(b.observed.low <= b.predicted <= b.observed.high for b in table) >= 8


def test_equal_probabilities_share_a_bin() -> None:
    table = compute_reliability_table(np.array([0.0, 1.0] * 50), np.full(100, 0.4))
    assert [(b.n, round(b.observed.value, 3)) for b in table] == [(100, 0.5)]


def test_one_class_has_no_slope() -> None:
    assert np.isnan(fit_recalibration(np.zeros(4), np.array([0.1, 0.2, 0.3, 0.4])).slope)
