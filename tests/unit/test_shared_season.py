"""The season that all series of a panel share: found where it is there, nothing where it is not.

Broken once on purpose: without the shrinkage the walks are given a season of 0.0006.
"""

import numpy as np
import pytest
from tests.panels import predict_median

from epic22.core.models.panel.linear import PooledLinear
from epic22.core.models.panel.log_growth import LogGrowth, compute_typical_volatility, estimate_shared_season, remove_season
from epic22.core.time_series import MONTHLY, Array, Histories

MONTHS, SERIES = 96, 24
WAVE = 0.02 * np.cos(2 * np.pi * np.arange(12) / 12)


def panel(wave: Array, seed: int = 0, noise: float = 0.004) -> Histories:
    """Random walks in logarithms with a wave on top, first period January 1970."""
    rng = np.random.default_rng(seed)
    walks = np.cumsum(rng.normal(0.002, noise, (SERIES, MONTHS)), axis=1)
    lines = 1000 * np.exp(walks + wave[np.arange(MONTHS) % 12])
    return Histories.of_lines(lines, np.array([f"s{i}" for i in range(SERIES)]), 0, MONTHLY)


def levels_of(past: Histories) -> Array:
    """The shared season in growth space, for a series of the panel's usual volatility."""
    usual = compute_typical_volatility(past, 12)
    found = estimate_shared_season(past, 12, usual) * float(np.median(LogGrowth(past, 12, usual).volatility))
    return np.asarray(found - found.mean())


def test_a_wave_that_all_series_share_is_found() -> None:
    assert np.abs(levels_of(panel(WAVE)) - WAVE).max() < 0.003


def test_walks_without_a_season_are_given_next_to_none() -> None:
    largest = [float(np.abs(levels_of(panel(np.zeros(12), seed))).max()) for seed in range(10)]
    assert np.mean(largest) < 0.0003


def test_a_common_shock_in_one_year_is_not_a_season() -> None:
    once = panel(np.zeros(12))
    lines = once.lines.copy()
    lines[:, 40:43] *= 1.05
    assert np.abs(levels_of(Histories.of_lines(lines, once.entity, 0, MONTHLY))).max() < 0.25 * 0.05


def test_what_comes_after_the_origin_changes_no_season() -> None:
    past = panel(WAVE).shift_back(np.full(SERIES, 20))
    later = past.lines.copy()
    later[:, MONTHS - 20 :] *= 7.0
    changed = Histories(later, past.observed, past.line, past.end, past.entity, past.first, past.frequency)
    assert levels_of(past).tolist() == levels_of(changed).tolist()


def test_values_without_their_season_are_smooth() -> None:
    past = panel(WAVE, noise=0.0005)
    growth = LogGrowth(past, 12, compute_typical_volatility(past, 12))
    smooth = remove_season(growth, estimate_shared_season(past, 12, growth.typical_volatility))
    assert np.abs(smooth.changes).max() < 0.35 * np.abs(growth.changes).max()


@pytest.mark.parametrize("months", [0, 11, 25])
def test_too_short_a_panel_has_no_season(months: int) -> None:
    short = panel(WAVE).shift_back(np.full(SERIES, MONTHS - months))
    assert not estimate_shared_season(short, 12, 0.01).any()


def test_the_regression_forecasts_the_wave_from_five_years() -> None:
    whole = panel(WAVE)
    past = whole.shift_back(np.full(SERIES, 36))
    found = predict_median(PooledLinear(12).fit(past, 12), past)
    errors = np.log(found / whole.lines[:, MONTHS - 36 : MONTHS - 24])
    assert np.abs(errors.mean(axis=0)).max() < 0.01
