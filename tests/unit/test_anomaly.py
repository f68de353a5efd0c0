"""Anomalies: nothing looks ahead, units don't matter, and false alarms come at the rate that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.errors import UserError
from epic22.core.evaluation.anomaly import AnomalyScores, detect_anomalies, suppress_repeats
from epic22.core.task import Array

SERIES = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=2, max_size=80)
SEASON = st.none() | st.integers(2, 12)
PARTS = ("forecast", "low", "high", "residual", "score", "alarm")


def noise(kind: str, n: int, seed: int = 0) -> Array:
    """Rows without an anomaly."""
    rng = np.random.default_rng(seed)
    made = rng.standard_t(2, size=n) if kind == "heavy tails" else rng.normal(size=n)
    if kind == "remembers":
        for t in range(1, n):
            made[t] += 0.8 * made[t - 1]
    return (
        made + (3 * np.sin(np.arange(n) * np.pi / 6) if kind == "season" else 0) + (np.arange(n) * 0.5 if kind == "trend" else 0)
    )


def same(a: AnomalyScores, b: AnomalyScores, rows: int) -> bool:
    """Whether two results agree on the first rows, missing values included."""
    return all(np.array_equal(getattr(a, part)[:rows], getattr(b, part)[:rows], equal_nan=part != "alarm") for part in PARTS)


@settings(max_examples=40, deadline=None)
@given(SERIES, SERIES, SEASON, st.integers(0, 12))
def test_an_alarm_of_row_t_does_not_depend_on_rows_after_t(
    past: list[float], future: list[float], season: int, quiet: int
) -> None:
    known = detect_anomalies(past, 0.05, season, probation=5, quiet=quiet)
    assert same(known, detect_anomalies(past + future, 0.05, season, probation=5, quiet=quiet), len(past))


@settings(max_examples=40, deadline=None)
@given(SERIES, SEASON, st.integers(-20, 20))
def test_the_unit_does_not_matter(values: list[float], season: int, power: int) -> None:
    whole = np.round(np.array(values))
    plain, scaled = (detect_anomalies(whole * unit, 0.05, season, probation=5) for unit in (1.0, 2.0**power))
    assert np.array_equal(plain.score, scaled.score, equal_nan=True)
    assert np.array_equal(plain.alarm, scaled.alarm)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), SEASON, st.floats(-1e3, 1e3))
def test_the_zero_does_not_matter(seed: int, season: int, shift: float) -> None:
    values = noise("heavy tails", 80, seed)
    plain, moved = (detect_anomalies(values + by, 0.05, season) for by in (0.0, shift))
    assert moved.score == pytest.approx(plain.score, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SERIES, SEASON)
def test_scores_lie_between_0_and_1_and_only_missing_values_have_none(values: list[float], season: int) -> None:
    found = detect_anomalies(values, 0.05, season, probation=5)
    assert np.array_equal(np.isnan(found.score), np.isnan(values))
    assert np.all((found.score[~np.isnan(found.score)] >= 0) & (found.score[~np.isnan(found.score)] <= 1))
    assert not found.alarm[np.isnan(values)].any()


@settings(max_examples=40, deadline=None)
@given(SERIES, SEASON)
def test_an_alarm_is_a_value_outside_its_band_and_the_same_input_gives_the_same_alarms(values: list[float], season: int) -> None:
    found = detect_anomalies(values, 0.1, season, probation=5)
    outside = np.abs(found.residual) > found.high - found.forecast
    close = np.isclose(np.abs(found.residual), found.high - found.forecast)
    assert np.array_equal(found.alarm[5:] | close[5:], outside[5:] | close[5:])
    assert np.all(found.score[found.alarm] >= 0.9 - 1e-9)
    assert same(found, detect_anomalies(values, 0.1, season, probation=5), len(values))


def test_missing_rows_teach_nothing() -> None:
    values = noise("white", 100)
    gaps = np.insert(values, [30, 60], np.nan)
    kept = np.delete(np.arange(102), [30, 61])
    assert np.array_equal(detect_anomalies(gaps).score[kept], detect_anomalies(values).score)


@pytest.mark.parametrize("kind", ["white", "remembers", "heavy tails", "trend", "season"])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_false_alarms_come_at_the_rate_asked_for_whatever_the_noise(kind: str, rate: float) -> None:
    season = 12 if kind == "season" else None
    share = np.mean([detect_anomalies(noise(kind, 3000, s), rate, season).alarm[20:].mean() for s in range(3)])
    assert 0.6 * rate < share < 1.4 * rate


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(["white", "remembers", "heavy tails", "season"]), st.integers(0, 10**6), st.sampled_from([0.02, 0.1]))
def test_false_alarms_stay_near_the_rate_for_any_seed(kind: str, seed: int, rate: float) -> None:
    found = detect_anomalies(noise(kind, 1500, seed), rate, 12 if kind == "season" else None)
    assert found.alarm[20:].mean() < 2.2 * rate


def test_a_short_memory_keeps_the_rate_on_a_random_walk() -> None:
    walks = [np.cumsum(noise("white", 3000, seed)) for seed in range(3)]
    assert np.mean([detect_anomalies(walk, 0.01, memory=3).alarm[20:].mean() for walk in walks]) < 0.014


def test_forty_months_of_nothing_raise_hardly_an_alarm_and_a_bad_month_does() -> None:
    quiet, loud = [], []
    for seed in range(40):
        months = 100 + np.arange(40) + noise("season", 40, seed)
        quiet.append(detect_anomalies(months, 0.05, season=12).alarm[20:].mean())
        months[-1] += 40
        loud.append(detect_anomalies(months, 0.05, season=12).alarm[-1])
    assert np.mean(quiet) < 0.075
    assert np.mean(loud) == 1.0


def test_a_series_that_never_changes_has_no_alarm_until_it_does() -> None:
    found = detect_anomalies([7.0] * 50 + [7.5])
    assert np.flatnonzero(found.alarm).tolist() == [50]


def test_a_season_makes_the_wrong_day_stand_out() -> None:
    values = noise("season", 600)
    values[596] = values[590 - 1]
    plain, seasonal = (detect_anomalies(values, 0.01, season) for season in (None, 12))
    assert np.nanmean(np.abs(seasonal.residual[300:])) < 0.6 * np.nanmean(np.abs(plain.residual[300:]))
    assert seasonal.alarm[596]
    assert not plain.alarm[596]


def test_of_two_values_beyond_all_seen_the_farther_scores_higher() -> None:
    values = noise("white", 300).tolist()
    near, far = (detect_anomalies([*values, x]).score[-1] for x in (8.0, 30.0))
    assert 0.99 < near < far


def test_an_event_is_told_once_and_again_only_when_it_gets_worse() -> None:
    values = [*noise("white", 300), 5.0, 5.0, 4.9, 60.0, 20.0]
    assert np.flatnonzero(detect_anomalies(values, 0.01, probation=300, quiet=50).alarm).tolist() == [300, 303]


def test_the_first_of_an_event_stays_and_missing_scores_stay_missing() -> None:
    score = np.array([0.1, np.nan, 0.1, 0.3, 0.2, 0.1])
    assert np.array_equal(suppress_repeats(score, 2), [0.1, np.nan, 0.0, 0.3, 0.0, 0.0], equal_nan=True)
    assert np.array_equal(suppress_repeats(score, 0), score, equal_nan=True)


@pytest.mark.parametrize(("rate", "season", "memory"), [(0.0, None, 50), (1.0, None, 50), (0.1, 1, 50), (0.1, None, 1)])
def test_what_makes_no_sense_is_refused(rate: float, season: int | None, memory: int) -> None:
    with pytest.raises(UserError, match="expected a rate between 0 and 1"):
        detect_anomalies([1.0, 2.0], rate, season, memory=memory)
