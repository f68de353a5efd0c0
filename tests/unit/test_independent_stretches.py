"""What few independent stretches of time support: checked on drawn panels whose series move together."""

import numpy as np
import pytest
from scipy import stats

from epic22.core.evaluation.independent_stretches import (
    compare_over_stretches,
    compute_supported_level,
    compute_widening,
    count_remembered_stretches,
    supports_level,
)


def test_four_stretches_support_eighty_per_cent_and_three_do_not() -> None:
    assert supports_level(4, 0.8)
    assert not supports_level(3.9, 0.8)
    assert compute_supported_level(3) == 0.75


def test_the_widest_of_the_errors_seen_covers_the_next_one_as_often_as_is_promised() -> None:
    rng = np.random.default_rng(0)
    errors = np.abs(rng.standard_normal((20_000, 4)))
    assert (errors[:, 3] <= errors[:, :3].max(axis=1)).mean() == pytest.approx(compute_supported_level(3), abs=0.01)


@pytest.mark.parametrize("stretches", [2, 4, 8])
def test_a_scale_learned_from_few_stretches_covers_with_the_widening_and_too_little_without(stretches: int) -> None:
    # Forty series that all move together in a stretch are one error, however many they are.
    rng = np.random.default_rng(stretches)
    common = rng.standard_normal((20_000, stretches + 1))
    scale = np.sqrt((common[:, :stretches] ** 2).mean(axis=1)) * stats.norm.ppf(0.9)
    plain = (np.abs(common[:, stretches]) <= scale).mean()
    widened = (np.abs(common[:, stretches]) <= scale * compute_widening(stretches, 0.8)).mean()
    assert widened == pytest.approx(0.8, abs=0.01)
    assert plain < 0.785


def test_old_stretches_count_less_and_neighbours_of_one_stretch_count_as_one() -> None:
    assert count_remembered_stretches(0, 3) == 0.0
    assert count_remembered_stretches(3, 3) == pytest.approx(1.0, abs=0.02)
    assert count_remembered_stretches(36, 12) == pytest.approx(2.7, abs=0.2)
    assert count_remembered_stretches(10_000, 1) < 6


def test_two_equal_forecasts_are_told_apart_no_more_often_than_one_time_in_twenty() -> None:
    rng = np.random.default_rng(0)
    horizon, n_origins = 4, 24
    wrong = 0
    for _ in range(1000):
        # Gains of overlapping origins: each is the mean of the shocks of its four periods.
        shocks = rng.standard_normal(n_origins + horizon)
        gains = np.convolve(shocks, np.ones(horizon) / horizon, "valid")[:n_origins]
        gain = compare_over_stretches(gains, np.ones(n_origins), horizon)
        wrong += gain.mean.excludes_zero
    assert wrong < 90


def test_a_steady_gain_is_shown_and_a_single_stretch_shows_nothing() -> None:
    gains = np.array([1.0, 1.2, 0.9, 1.1, 1.0, 0.8])
    assert compare_over_stretches(gains, np.ones(6), 2).mean.low > 0
    assert np.isnan(compare_over_stretches(gains[:2], np.ones(2), 2).mean.low)
    assert compare_over_stretches(gains[:0], np.ones(0), 2).groups == 0
