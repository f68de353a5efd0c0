"""Growth space and the columns made in it, by hand and by invariants: levels, logarithms, volatility, lags.

Broken once on purpose: with logarithms taken of every row, a series that touches zero comes back another.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.models.panel.lag_columns import (
    LAGS,
    ORIGIN_COLUMNS,
    SEASONAL_COLUMNS,
    build_horizon_columns,
    build_origin_columns,
)
from epic22.core.models.panel.log_growth import (
    MIN_VOLATILITY_SHARE,
    LogGrowth,
    compute_seasonal_changes,
    compute_seasonal_levels,
    compute_typical_volatility,
    estimate_shared_season,
    remove_season,
    window_length,
)
from epic22.core.time_series import MONTHLY, QUARTERLY, Array, Frequency, Histories

POSITIVE = st.floats(0.5, 2.0, allow_nan=False)


def histories(lines: Array, frequency: Frequency = QUARTERLY, first: int = 0) -> Histories:
    return Histories.of_lines(lines, np.array([f"s{i}" for i in range(len(lines))], dtype=object), first, frequency)


def growth(*lines: list[float], season: int = 4, typical: float = 0.0) -> LogGrowth:
    return LogGrowth(histories(np.array(lines, dtype=float)), season, typical)


def growing(rate: float = 0.02, n: int = 30) -> list[float]:
    """More by the rate every period, from 1 on."""
    return [(1 + rate) ** i for i in range(n)]


def test_the_window_holds_three_cycles_and_one_value_and_at_least_two_years_of_months() -> None:
    assert [window_length(season) for season in (1, 4, 7, 12)] == [25, 25, 22, 37]


def test_a_row_far_above_zero_is_seen_in_logarithms_and_one_near_zero_in_units_of_its_level() -> None:
    near, far, negative = [100.0] * 29 + [9.0], [100.0] * 29 + [11.0], [100.0] * 29 + [-1.0]
    assert growth(near, far, negative).is_log.tolist() == [False, True, False]


def test_the_level_is_the_mean_size_of_the_last_two_cycles_and_never_zero() -> None:
    steps = growth([1.0] * 18 + [4.0] * 12, [0.0] * 30, [-2.0] * 30)
    assert steps.level.tolist() == [4.0, 1.0, 2.0]


def test_changes_of_a_steady_growth_are_its_logarithm() -> None:
    assert np.allclose(growth(growing()).changes, np.log(1.02))
    assert np.allclose(growth(growing(), typical=0.02).volatility, np.log(1.02))


def test_a_change_of_a_hundredth_is_about_the_same_in_both_scales() -> None:
    line = [100.0] * 29 + [101.0]
    touched = [*[100.0] * 8, 0.0, *line[9:]]
    steps = growth(line, touched)
    assert steps.is_log.tolist() == [True, False]
    assert steps.changes[:, -1] == pytest.approx([0.01, 0.01], rel=0.02)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(POSITIVE, min_size=26, max_size=26), low=st.floats(-3, 3), factor=st.floats(1e-6, 1e6))
def test_values_come_back_from_growth_space(values: list[float], low: float, factor: float) -> None:
    line = (np.array(values) + low) * factor
    steps = LogGrowth(histories(line[None, :]), 4)
    inside = np.abs(line[-20:])
    back = steps.inverse_transform(steps.transform(inside[None, :]))
    floor = 0.01 * steps.level[0] if steps.is_log[0] else 0.0
    assert np.allclose(back[0], np.maximum(inside, floor), rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(POSITIVE, min_size=30, max_size=30), factor=st.floats(1e-6, 1e6))
def test_another_currency_changes_no_growth(values: list[float], factor: float) -> None:
    line = np.array(values)[None, :]
    plain, scaled = LogGrowth(histories(line), 4), LogGrowth(histories(line * factor), 4)
    assert np.allclose(plain.z, scaled.z, atol=1e-9)
    assert np.allclose(plain.volatility, scaled.volatility, atol=1e-12)


def test_a_flat_series_is_given_a_share_of_the_usual_volatility() -> None:
    assert growth([5.0] * 30, typical=0.2).volatility.tolist() == [0.2 * MIN_VOLATILITY_SHARE]
    assert growth([5.0] * 30).volatility.tolist() == [MIN_VOLATILITY_SHARE]
    assert growth([np.nan] * 29 + [5.0], typical=0.2).volatility.tolist() == [0.2]


def test_the_usual_volatility_is_the_median_of_those_that_move() -> None:
    panel = histories(np.array([growing(0.01), growing(0.02), growing(0.05), [5.0] * 30]))
    assert compute_typical_volatility(panel, 4) == pytest.approx(np.log(1.02))
    assert compute_typical_volatility(histories(np.full((2, 30), 5.0)), 4) == 1.0


def test_changes_to_later_values_start_at_the_origin() -> None:
    later = np.array([[1.02**30, 1.02**31]])
    assert np.allclose(growth(growing()).compute_changes(later), [[np.log(1.02), 2 * np.log(1.02)]])


def test_infinite_growth_is_cut_before_it_overflows() -> None:
    steps = growth(growing())
    assert np.isfinite(steps.inverse_transform(np.array([[1e9, -1e9]]))).all()


def test_seasonal_changes_look_one_whole_cycle_back() -> None:
    window = np.arange(10.0)[None, :] ** 2
    assert compute_seasonal_changes(window, 4, 6).tolist() == [[36 - 25, 49 - 25, 64 - 25, 81 - 25, 36 - 1, 49 - 1]]
    assert np.isnan(compute_seasonal_changes(window[:, :3], 4, 2)).all()


def test_the_origin_columns_of_a_square_are_what_one_would_write_down() -> None:
    # Far above the last values' share of the level, so that a row is seen in units of its level.
    squares = [float(i * i) for i in range(30)]
    steps = growth(squares)
    columns = dict(zip(ORIGIN_COLUMNS, (build_origin_columns(steps)[0] * steps.level[0]).tolist(), strict=True))
    assert columns["last change"] == pytest.approx(29**2 - 28**2)
    assert columns["change 5 before the last"] == pytest.approx(24**2 - 23**2)
    assert columns["change over a quarter cycle"] == pytest.approx(29**2 - 28**2)
    assert columns["change over half a cycle"] == pytest.approx(29**2 - 27**2)
    assert columns["change over a cycle"] == pytest.approx(29**2 - 25**2)
    assert columns["distance to the mean of a cycle"] == pytest.approx((26**2 + 27**2 + 28**2 + 29**2) / 4 - 29**2)
    assert not steps.is_log[0]


def test_a_panel_without_a_season_measures_its_spans_by_twelve_periods() -> None:
    squares = [float(i * i) for i in range(30)]
    steps = growth(squares, season=1)
    columns = dict(zip(ORIGIN_COLUMNS, (build_origin_columns(steps)[0] * steps.level[0]).tolist(), strict=True))
    assert columns["change over a cycle"] == pytest.approx(29**2 - 17**2)
    assert columns["change over a quarter cycle"] == pytest.approx(29**2 - 26**2)


def test_missing_values_before_a_beginning_are_zeros_in_the_columns() -> None:
    short = [np.nan] * 28 + [4.0, 5.0]
    columns = build_origin_columns(growth(short))
    assert columns.shape == (1, len(ORIGIN_COLUMNS))
    assert np.isfinite(columns).all()
    assert columns[0, 1:LAGS].tolist() == [0.0] * (LAGS - 1)


def test_the_seasonal_columns_hold_last_cycle_s_change_and_the_mean_of_the_place() -> None:
    line = [10.0, 20.0, 30.0, 40.0] * 7 + [10.0, 20.0]
    steps = growth([*line])
    columns = build_horizon_columns(steps, 3, seasonal=True)
    assert columns.shape == (1, 3, len(SEASONAL_COLUMNS))
    expected = [np.log(30 / 20), np.log(40 / 20), np.log(10 / 20)]
    assert np.allclose(columns[0, :, 0], expected)
    assert np.allclose(columns[0, :, 1], expected)
    assert build_horizon_columns(steps, 3, seasonal=False).shape == (1, 3, 0)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 999))
def test_the_order_of_the_series_changes_no_column(order: list[int], seed: int) -> None:
    lines = np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.1, (6, 40)), axis=1))
    rows = np.array(order)
    plain, turned = LogGrowth(histories(lines), 4, 0.1), LogGrowth(histories(lines).take(rows), 4, 0.1)
    assert np.array_equal(build_origin_columns(plain)[rows], build_origin_columns(turned))
    assert np.array_equal(build_horizon_columns(plain, 5, True)[rows], build_horizon_columns(turned, 5, True))


def test_the_shared_season_returns_to_itself_after_a_cycle() -> None:
    wave = np.array([0.0, 0.1, -0.2, 0.05])
    steps = LogGrowth(histories(np.exp(np.tile(wave, 10))[None, :]), 4, 1.0)
    ahead = compute_seasonal_levels(wave, steps, np.array([1, 2, 3, 4, 8]))[0] / steps.volatility[0]
    # Forty periods end at the fourth place of the cycle.
    assert np.allclose(ahead, [wave[0] - wave[3], wave[1] - wave[3], wave[2] - wave[3], 0.0, 0.0])


def test_taking_out_the_season_leaves_the_origin_where_it_was() -> None:
    rng = np.random.default_rng(0)
    steps = LogGrowth(histories(np.exp(np.cumsum(rng.normal(0, 0.05, (5, 48)), axis=1)), MONTHLY), 12, 0.05)
    smooth = remove_season(steps, rng.normal(size=12))
    assert np.array_equal(smooth.z[:, -1], steps.z[:, -1])
    assert np.allclose(smooth.z[:, -13], steps.z[:, -13])
    assert not np.allclose(smooth.z[:, -7], steps.z[:, -7])


def test_no_season_is_estimated_where_there_is_none_to_estimate() -> None:
    assert estimate_shared_season(histories(np.ones((2, 30))), 1, 0.1).tolist() == [0.0]
    assert estimate_shared_season(histories(np.ones((0, 30))), 4, 0.1).tolist() == [0.0] * 4
    assert estimate_shared_season(histories(np.ones((3, 30))), 4, 0.1).tolist() == [0.0] * 4
