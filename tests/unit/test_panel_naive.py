"""What a forecast must beat, by hand: naive, drift, damped drift, seasonal naive; and the quantiles of their own errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.panels import known, lines, predict_median

from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS, sort_quantiles
from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.models.panel.naive import (
    DAMPING,
    FAMILIES,
    NAIVE_METHODS,
    NaiveForecaster,
    forecast_damped_drift,
    forecast_drift,
    forecast_naive,
    forecast_seasonal_naive,
)
from epic22.core.time_series import Array

LINE = np.array([[0.0, 1.0, 3.0, 6.0, 10.0, 15.0]])


def test_naive_expects_no_change() -> None:
    assert forecast_naive(LINE, 4, 3).tolist() == [[0.0, 0.0, 0.0]]


def test_drift_carries_on_the_mean_change_of_the_last_cycle() -> None:
    # From 1 to 15 in four steps.
    assert forecast_drift(LINE, 4, 3).tolist() == [[3.5, 7.0, 10.5]]


def test_drift_of_a_panel_without_a_season_takes_the_last_twelve_periods() -> None:
    long = np.arange(30.0)[None, :] ** 2
    step = (29**2 - 17**2) / 12
    assert forecast_drift(long, 1, 2).tolist() == [[step, 2 * step]]


def test_drift_of_a_short_line_starts_at_its_first_value() -> None:
    short = np.array([[np.nan, np.nan, np.nan, 6.0, 10.0, 15.0]])
    assert forecast_drift(short, 4, 2).tolist() == [[4.5, 9.0]]
    assert forecast_drift(np.array([[np.nan] * 5 + [15.0]]), 4, 2).tolist() == [[0.0, 0.0]]


def test_damped_drift_fades_by_a_tenth_a_month() -> None:
    months = np.arange(30.0)[None, :]
    assert forecast_damped_drift(months, 12, 3)[0].tolist() == pytest.approx([0.9, 0.9 + 0.81, 0.9 + 0.81 + 0.729])
    quarters = forecast_damped_drift(months, 4, 2)[0]
    assert quarters.tolist() == pytest.approx([DAMPING**3, DAMPING**3 + DAMPING**6])


def test_seasonal_naive_repeats_the_last_cycle_again_and_again() -> None:
    assert forecast_seasonal_naive(LINE, 4, 6).tolist() == [[-12.0, -9.0, -5.0, 0.0, -12.0, -9.0]]


def test_seasonal_naive_expects_no_change_where_a_cycle_is_not_known() -> None:
    short = np.array([[np.nan, np.nan, np.nan, 6.0, 10.0, 15.0]])
    assert forecast_seasonal_naive(short, 4, 3).tolist() == [[0.0, -9.0, -5.0]]


@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.floats(-5, 5), min_size=14, max_size=14), up=st.floats(-100, 100))
def test_a_level_that_is_higher_throughout_changes_no_path(values: list[float], up: float) -> None:
    window = np.array(values)[None, :]
    for forecast, _ in NAIVE_METHODS.values():
        assert np.allclose(forecast(window, 4, 6), forecast(window + up, 4, 6), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(values=st.lists(st.floats(-5, 5), min_size=14, max_size=14))
def test_the_damped_drift_lies_between_no_change_and_the_drift(values: list[float]) -> None:
    window = np.array(values)[None, :]
    drift, damped = forecast_drift(window, 12, 12)[0], forecast_damped_drift(window, 12, 12)[0]
    assert (np.abs(damped) <= np.abs(drift) + 1e-12).all()
    assert (damped * drift >= -1e-12).all()


def test_all_rules_are_baselines_that_forecast_each_series_by_itself() -> None:
    assert [family.name for family in FAMILIES] == list(NAIVE_METHODS)
    assert all(family.is_baseline and family.per_series for family in FAMILIES)
    assert [family.name for family in FAMILIES if family.in_combination] == ["damped_drift"]


def test_a_steady_growth_is_forecast_to_go_on_by_the_drift() -> None:
    growing = known(1.02 ** np.arange(40.0)[None, :])
    forecast = predict_median(NaiveForecaster("drift", season=4).fit(growing, 3), growing)
    assert forecast[0].tolist() == pytest.approx([1.02**40, 1.02**41, 1.02**42])


def test_quantiles_are_those_of_the_rule_s_own_past_errors() -> None:
    past = known(lines(series=4, periods=60))
    model = NaiveForecaster("naive", season=4).fit(past, 2)
    rows, targets = past.build_training_windows(36, 2, 3)
    growth = LogGrowth(rows, 4, model.typical_volatility_)
    errors = growth.compute_changes(targets)[:, 0] / growth.volatility
    expected = np.quantile(errors[np.isfinite(errors)], QUANTILE_LEVELS)
    assert model.residual_quantiles_[0, 0] == pytest.approx(min(expected[0], 0.0))
    assert model.residual_quantiles_[0, -1] == pytest.approx(max(expected[-1], 0.0))


@pytest.mark.parametrize("method", NAIVE_METHODS)
def test_the_path_is_the_median_and_lies_within_every_interval(method: str) -> None:
    past = known(lines(series=5, periods=60, seed=2))
    model = NaiveForecaster(method, season=4).fit(past, 6)
    quantiles, growth = model.predict_quantiles(past), model.to_growth_space(past)
    point = growth.inverse_transform(growth.z[:, -1:] + model.predict_path(growth))
    assert np.allclose(quantiles[:, :, MEDIAN_INDEX], point)
    assert (quantiles[:, :, 0] <= point).all()
    assert (quantiles[:, :, -1] >= point).all()


def test_naive_intervals_of_a_walk_widen_with_the_horizon() -> None:
    past = known(lines(series=30, periods=72, season=1, seed=4))
    quantiles = NaiveForecaster("naive", season=1).fit(past, 12).predict_quantiles(past)
    width = np.log(quantiles[:, :, -1] / quantiles[:, :, 0]).mean(axis=0)
    assert width[11] > 1.8 * width[0]
    assert (width[[3, 7, 11]] > width[[0, 3, 7]]).all()


def test_a_horizon_with_too_few_errors_takes_the_quantiles_of_the_one_before() -> None:
    past = known(lines(series=1, periods=14))
    model = NaiveForecaster("naive", season=1).fit(past, 8)
    # Of 14 values 11 earlier origins remain: one period ahead all have an outcome, four ahead no ten of them.
    assert np.abs(model.residual_quantiles_[0]).sum() > 0
    assert model.residual_quantiles_[7].tolist() == model.residual_quantiles_[6].tolist()


def test_with_no_earlier_origin_the_interval_is_the_point() -> None:
    past = known(np.array([[3.0, 4.0]]))
    quantiles = NaiveForecaster("naive", season=4).fit(past, 2).predict_quantiles(past)
    assert np.allclose(quantiles, 4.0)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(-9, 9), min_size=10, max_size=10))
def test_sorted_quantiles_hold_the_same_values_in_order(values: list[float]) -> None:
    quantiles: Array = np.array(values).reshape(2, 5)
    ordered = sort_quantiles(quantiles)
    assert (np.diff(ordered, axis=-1) >= 0).all()
    assert sorted(ordered[0].tolist()) == sorted(quantiles[0].tolist())


def test_the_scatter_of_errors_is_that_of_the_series_that_have_moved() -> None:
    walks = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.03, (6, 120)), axis=1))
    alone = NaiveForecaster("naive", 12).fit(known(walks), 3)
    beside = NaiveForecaster("naive", 12).fit(known(np.vstack([np.full((40, 120), 50.0), walks])), 3)
    assert np.array_equal(beside.residual_quantiles_, alone.residual_quantiles_)
    assert (alone.residual_quantiles_[:, -1] > 0.5).all()


def test_where_no_series_has_moved_all_are_as_lively() -> None:
    flat = known(np.full((3, 40), 7.0))
    assert flat.is_lively().all()
    predicted = NaiveForecaster("naive", 12).fit(flat, 2).predict_quantiles(flat)
    assert (predicted == 7.0).all()
