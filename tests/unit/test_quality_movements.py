"""PSI, the test of a movement, and the correction: noise raises no alarm beyond its level, a real movement does."""

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.quality_histories import payments

from epic22.core.quality.movement_tests import MovementTest, adjust_tests
from epic22.core.quality.psi import (
    Movement,
    compute_homogeneity,
    compute_movement_p,
    compute_psi,
    count_in_bins,
    find_edges,
    measure_movement,
)
from epic22.core.quality.table_history import TableHistory
from epic22.core.quality.table_pair import TablePair
from epic22.core.quality.windows import list_windows
from epic22.core.tables.canonical import KNOWN_AT, PAYMENTS
from epic22.core.task import Array

YEAR_BEFORE = (11, 12, 13)
counts = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(any)


def measure_with_year(table: Array) -> Movement:
    """The movement of the newest window also against those of a year before."""
    return measure_movement(table, [table[list(YEAR_BEFORE)].sum(axis=0)])


@pytest.mark.slow
@given(counts, st.data())
def test_psi_is_never_below_zero_and_the_same_both_ways(before: list[int], data: st.DataObject) -> None:
    now = data.draw(st.lists(st.integers(0, 500), min_size=len(before), max_size=len(before)))
    a, b = np.array(before, dtype=float), np.array(now, dtype=float)
    assert compute_psi(a, b) >= 0
    assert compute_psi(a, b) == pytest.approx(compute_psi(b, a))
    assert compute_psi(a, a) == 0


@pytest.mark.slow
@given(counts, st.integers(0, 10**6))
def test_psi_does_not_depend_on_the_order_of_the_bins(before: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.array(before, dtype=float), rng.integers(0, 50, len(before)).astype(float)
    order = rng.permutation(len(before))
    assert compute_psi(a[order], b[order]) == pytest.approx(compute_psi(a, b))
    assert compute_homogeneity(a[order], b[order]) == pytest.approx(compute_homogeneity(a, b))


@pytest.mark.slow
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_every_value_falls_into_one_bin(reference: list[float], values: list[float]) -> None:
    edges = find_edges(np.array(reference))
    assert list(edges) == sorted(set(edges))
    assert count_in_bins(np.array(values), edges).sum() == len(values)
    assert len(count_in_bins(np.array(values), edges)) == len(edges) + 1


@pytest.mark.slow
@given(st.floats(0, 1e4), st.lists(st.floats(0, 1e3), max_size=14), st.integers(0, 20))
def test_a_p_is_a_probability_and_falls_with_the_statistic(statistic: float, past: list[float], width: int) -> None:
    p = compute_movement_p(statistic, past, width)
    assert 0 <= p <= 1
    assert compute_movement_p(statistic + 1, past, width) <= p


def draw_windows(rng: np.random.Generator, clusters: int, size: int, windows: int = 14) -> np.ndarray:
    """Counts of windows without a movement; the rows of a cluster all fall into one bin."""
    return np.array([size * rng.multinomial(clusters, np.full(6, 1 / 6)) for _ in range(windows)], dtype=float)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 10])
def test_noise_is_called_a_movement_no_more_often_than_stated_even_where_rows_come_in_clusters(size: int) -> None:
    rng = np.random.default_rng(size)
    ps = np.array([measure_with_year(draw_windows(rng, 60, size)).p for _ in range(2000)])
    for level in (0.05, 0.01):
        assert (ps <= level).mean() <= level + 3 * np.sqrt(level / 2000)


def test_a_movement_is_found_among_clusters() -> None:
    rng = np.random.default_rng(0)
    table = draw_windows(rng, 60, 10)
    table[0] = 10 * rng.multinomial(60, [0.6, 0.2, 0.05, 0.05, 0.05, 0.05])
    assert measure_with_year(table).p < 1e-4


def test_what_comes_back_every_year_is_no_movement() -> None:
    rng = np.random.default_rng(0)
    table = draw_windows(rng, 200, 1)
    summer = [0.6, 0.2, 0.05, 0.05, 0.05, 0.05]
    for window in (0, *YEAR_BEFORE):
        table[window] = rng.multinomial(200, summer)
    assert measure_movement(table).p < 0.02
    assert measure_with_year(table).p > 0.1


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_an_adjusted_p_is_never_below_its_own_and_keeps_the_order(ps: list[float]) -> None:
    tests = adjust_tests([MovementTest("payments", "amount", "distribution moved", 1.0, p, "") for p in ps])
    assert all(test.p_adjusted >= test.p for test in tests)
    ordered = sorted(tests, key=lambda test: test.p)
    assert [test.p_adjusted for test in ordered] == sorted(test.p_adjusted for test in tests)


@pytest.mark.slow
def test_of_sound_versions_no_more_are_accused_than_alpha_over_all_their_tests() -> None:
    rng = np.random.default_rng(1)
    accused = 0
    for _ in range(2000):
        tests = [MovementTest("payments", None, "row count moved", 9.0, float(p), "") for p in rng.uniform(size=150)]
        accused += min(test.p_adjusted for test in adjust_tests(tests)) <= 0.01
    assert accused / 2000 <= 0.01 + 3 * np.sqrt(0.01 / 2000)


def test_months_are_compared_with_months_and_days_with_the_same_days_of_the_week() -> None:
    months = list_windows(datetime(2025, 2, 1), datetime(2025, 3, 1), datetime(2023, 1, 1))
    assert [(w.begin.day, w.end.day) for w in months] == [(1, 1)] * 14
    assert [i for i, w in enumerate(months) if w.is_year_before] == [11, 12, 13]
    days = list_windows(datetime(2025, 3, 3), datetime(2025, 3, 4), datetime(2023, 1, 1))
    assert {w.begin.weekday() for w in days} == {0}
    assert [w.begin for w in days if w.is_year_before] == [datetime(2024, 3, 11), datetime(2024, 3, 4), datetime(2024, 2, 26)]


@pytest.mark.slow
@given(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), st.floats(0.01, 400))
def test_windows_do_not_overlap_and_none_begins_before_the_first_row(begin: datetime, days: float) -> None:
    since = begin - timedelta(days=700)
    windows = list_windows(begin, begin + timedelta(days=days), since)
    assert all(older.end <= newer.begin for newer, older in pairwise(windows))
    assert all(window.begin >= since for window in windows)


def test_a_window_of_no_length_has_no_rows_to_compare() -> None:
    moment = datetime(2025, 1, 1)
    assert list_windows(moment, moment, moment) == ()


def test_a_load_of_history_at_one_moment_is_no_window_before() -> None:
    loaded = pl.max_horizontal(KNOWN_AT, pl.lit(datetime(2024, 9, 20)))
    frame = payments().with_columns(loaded.alias(KNOWN_AT))
    begin, end = datetime(2025, 2, 1), datetime(2025, 3, 1)
    before, arrived = frame.filter(pl.col(KNOWN_AT) <= begin), frame.filter(pl.col(KNOWN_AT) > begin)
    history = TableHistory(TablePair(PAYMENTS, frame.lazy(), before.lazy(), arrived, begin, end))
    assert len(history.windows) == 5
    assert all(sample.height for sample in history.samples)
