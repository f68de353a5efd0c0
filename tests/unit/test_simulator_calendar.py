"""The simulator's days and months, its sizes, and how arrays become columns of tables."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epic22.core.errors import UserError
from epic22.core.tables.canonical import MONEY, get_canonical_table
from epic22.simulator.calendar import NEVER, Span, first_day, last_day, month_of_day, month_of_year, to_datetime
from epic22.simulator.size import END, LARGE, SIZES, SMALL, PortfolioSize, resolve_size
from epic22.simulator.table_builder import build_table, conform, decode_levels, gather_names, ids, money

EPOCH = date(1970, 1, 1)
MONTHS = st.integers(0, 12 * 130)
DAYS = st.integers(0, 47_000)


@given(month=MONTHS)
def test_a_month_runs_from_its_first_to_its_last_day(month: int) -> None:
    first, last = int(first_day(month)), int(last_day(month))
    year, number = 1970 + month // 12, month % 12 + 1
    assert EPOCH + timedelta(days=first) == date(year, number, 1)
    assert int(first_day(month + 1)) == last + 1
    assert (EPOCH + timedelta(days=last)).month == number


@given(day=DAYS)
def test_the_month_of_a_day_is_the_one_that_holds_it(day: int) -> None:
    month = int(month_of_day(day))
    assert int(first_day(month)) <= day <= int(last_day(month))
    assert int(month_of_year(month)) == (EPOCH + timedelta(days=day)).month - 1


def test_leap_days_are_counted() -> None:
    months = np.array([(2023 - 1970) * 12 + 1, (2024 - 1970) * 12 + 1])
    assert (last_day(months) - first_day(months) + 1).tolist() == [28, 29]


@given(day=DAYS, minutes=st.integers(0, 24 * 60 - 1))
def test_a_moment_is_midnight_of_its_day_and_the_hours_to_the_minute(day: int, minutes: int) -> None:
    moments = to_datetime(np.array([day]), minutes / 60)
    assert moments.dtype == np.dtype("datetime64[us]")
    assert moments[0].item() == datetime(1970, 1, 1) + timedelta(days=day, minutes=minutes)


def test_a_day_that_never_comes_is_missing_and_leaves_the_others_alone() -> None:
    moments = to_datetime(np.array([NEVER, 1, NEVER]), np.array([5.0, 1.5, 0.0]))
    assert np.isnat(moments).tolist() == [True, False, True]
    assert moments[1].item() == datetime(1970, 1, 2, 1, 30)


def test_the_span_of_the_small_size_counts_back_from_the_end() -> None:
    span = Span(SMALL)
    days = [EPOCH + timedelta(days=day) for day in (span.first_day, span.ledger_day, span.window_day, span.end_day)]
    assert days == [date(2016, 1, 1), date(2018, 1, 1), date(2023, 1, 1), END.date()]
    assert span.end_month - span.window_month == 36
    assert int(first_day(span.window_month)) == span.window_day


@pytest.mark.parametrize("years", [1, 2, 3])
def test_mondays_are_all_mondays_of_the_window_and_nothing_else(years: int) -> None:
    span = Span(PortfolioSize("tiny", 1, metros=1, zips=1, units=4, reading_days=7, years_of_leases=years))
    mondays = span.mondays()
    assert {(EPOCH + timedelta(days=int(day))).weekday() for day in mondays} == {0}
    assert set(np.diff(mondays)) == {7}
    assert span.window_day <= mondays[0] < span.window_day + 7
    assert span.end_day - 7 < mondays[-1] <= span.end_day


def test_monthly_cutoffs_hold_both_ends_of_the_window() -> None:
    span = Span(SMALL)
    cutoffs = span.monthly_cutoffs()
    assert (cutoffs[0], cutoffs[-1], len(cutoffs)) == (span.window_month, span.end_month, 37)


def test_a_size_is_found_by_its_name_and_stands_for_itself() -> None:
    own = PortfolioSize("own", 2, metros=1, zips=1, units=8, reading_days=7)
    assert [resolve_size(size.name) for size in SIZES] == [SMALL, LARGE]
    assert resolve_size(own) is own


def test_an_unknown_size_is_refused_by_naming_the_known_ones() -> None:
    with pytest.raises(UserError, match="no size 'huge'; there are small, large"):
        resolve_size("huge")


def test_the_end_is_the_midnight_that_begins_a_month() -> None:
    assert (END.day, END.hour, END.tzinfo) == (1, 0, None)
    assert END.replace(tzinfo=UTC).timestamp() % 86_400 == 0


@given(numbers=st.lists(st.integers(0, 99_999), min_size=1, unique=True))
def test_ids_are_as_long_as_their_width_and_sort_as_their_numbers(numbers: list[int]) -> None:
    names = ids("U", np.array(sorted(numbers)), 5)
    assert set(names.str.len_bytes()) == {6}
    assert names.is_sorted()
    assert names.n_unique() == len(numbers)


def test_an_id_longer_than_its_width_is_not_cut() -> None:
    assert ids("P", np.array([12_345]), 3).to_list() == ["P12345"]


def test_picked_names_are_null_where_absent_even_at_a_place_that_is_none() -> None:
    names = pl.Series(["a", "b", "c"])
    assert gather_names(names, np.array([2, 0])).to_list() == ["c", "a"]
    at = np.array([1, -1, 2])
    assert gather_names(names, at, at < 0).to_list() == ["b", None, "c"]


@given(cents=st.lists(st.integers(-(10**11), 10**11), min_size=1))
def test_money_keeps_every_cent(cents: list[int]) -> None:
    amounts = money(np.array(cents))
    assert amounts.dtype == MONEY
    assert amounts.to_list() == [Decimal(c) / 100 for c in cents]


def test_codes_become_the_levels_they_stand_for() -> None:
    assert decode_levels(("low", "medium", "high"), np.array([2, 0, 2])).to_list() == ["high", "low", "high"]


def test_a_table_has_the_declared_columns_in_key_order_and_nulls_for_what_is_not_given() -> None:
    at = datetime(2020, 1, 1)
    columns = {
        "known_at": [at, at],
        "created_at": [at, at],
        "tenant_id": ["T2", "T1"],
    }
    table = build_table("tenants", columns)
    declared = get_canonical_table("tenants").schema
    assert dict(table.schema) == declared
    assert table.columns[-1] == "known_at"
    assert table["tenant_id"].to_list() == ["T1", "T2"]
    assert table["household_income"].null_count() == 2


def test_further_columns_stay_only_where_the_table_allows_them() -> None:
    at = datetime(2020, 1, 1)
    frame = pl.DataFrame({"tenant_id": ["T1"], "age_band": ["62+"], "created_at": [at], "known_at": [at]})
    assert conform(get_canonical_table("protected"), frame.drop("created_at")).columns == ["tenant_id", "age_band", "known_at"]
    assert "age_band" not in conform(get_canonical_table("tenants"), frame).columns


def test_versions_of_a_row_are_in_the_order_in_which_they_became_known() -> None:
    first, second = datetime(2020, 1, 1), datetime(2020, 2, 1)
    frame = pl.DataFrame({"tenant_id": ["T1", "T1"], "created_at": [first, first], "known_at": [second, first]})
    assert conform(get_canonical_table("tenants"), frame)["known_at"].to_list() == [first, second]
