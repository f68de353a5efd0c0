"""The calendar that the times of a panel keep: weeks from a weekday of their own, days without weekends, changed clocks.

A clock change doubles an hour in autumn and skips one in spring, in local times without an offset.
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.time_series import BUSINESS_DAILY, DAILY, HOURLY, WEEKLY, WEEKLY_FROM, Frequency

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SATURDAY = 6
MIN_BUSINESS_DAYS = 10
"""Different days without a weekend among them that tell business days; fewer may be one week."""

LAST_HOUR = 3
"""Clocks are changed between midnight and this hour, everywhere in the world."""

MAX_CHANGES_A_YEAR = 2
OFFSET_ADVICE = "write the times with their offset from UTC (2023-10-29T02:00:00+02:00) or in UTC; where that is not known, "


def measure_regularity(moments: pl.Series, series: pl.Series, frequency: Frequency) -> float:
    """The share of values that follow the one before them in their series by one period; 0 where none does."""
    known = moments.is_not_null()
    frame = pl.DataFrame({"series": series.filter(known), "period": frequency.ordinals(moments.filter(known))})
    steps = frame.sort("series", "period").select(pl.col("period").diff().over("series")).to_series().drop_nulls()
    return float((steps == 1).mean()) if len(steps) else 0.0  # type: ignore[arg-type]


def anchor_frequency(frequency: Frequency, times: pl.Series, series: pl.Series, notes: list[str]) -> Frequency:
    """The frequency with the calendar that the times keep: weeks from their own weekday on, days without weekends."""
    anchor = ANCHORS.get(frequency.name)
    return frequency if anchor is None else anchor(frequency, times, series, notes)


def _anchor_weeks(frequency: Frequency, times: pl.Series, series: pl.Series, notes: list[str]) -> Frequency:
    """Weeks from the weekday by which the values come most regularly; of equal ones from that of most values, then Monday."""
    weekdays = (times.dt.weekday() - 1).to_numpy()
    counts = np.bincount(weekdays, minlength=len(WEEKDAYS))
    usual = [int(counts.argmax())] if counts.max() > len(weekdays) / 2 else []
    candidates = [frequency if day == 0 else WEEKLY_FROM[day] for day in (*usual, *range(len(WEEKDAYS)))]
    best = candidates[0]
    if counts.max() < len(weekdays):
        best = max(candidates, key=lambda one: measure_regularity(times, series, one))
    if best is not frequency:
        notes.append(f"{times.name}: weeks begin on {WEEKDAYS[best.weekday]}s, as the times do (--frequency {best.name}).")
    return best


def _anchor_days(frequency: Frequency, times: pl.Series, series: pl.Series, notes: list[str]) -> Frequency:
    """Business days where no value in weeks of them lies on a weekend."""
    days = times.dt.truncate("1d").unique()
    has_weekend = bool((days.dt.weekday() >= SATURDAY).any())
    spans_weekends = len(days) >= MIN_BUSINESS_DAYS and bool((days.dt.weekday() == 1).any())
    if has_weekend or not spans_weekends:
        return frequency
    notes.append(f"{times.name}: no value lies on a Saturday or Sunday, so days are business days (--frequency B).")
    return BUSINESS_DAILY


def refuse_weekends(frequency: Frequency, times: pl.Series, series: pl.Series) -> None:
    """Raise ColumnError where a value lies on a weekend and the frequency has none."""
    weekend = (times.dt.weekday() >= SATURDAY).arg_true()
    if len(weekend) and not frequency.weekend:
        raise ColumnError(
            f"--frequency {frequency.name}: {len(weekend):,} values lie on a Saturday or Sunday, first {series[weekend[0]]!r} on "
            f"{times[weekend[0]]:%Y-%m-%d}; give --frequency {DAILY.name}, or move them to a business day."
        )


ANCHORS: Mapping[str, Callable[[Frequency, pl.Series, pl.Series, list[str]], Frequency]] = {
    WEEKLY.name: _anchor_weeks,
    DAILY.name: _anchor_days,
}


def refuse_doubled_hours(values: pl.DataFrame, frequency: Frequency) -> None:
    """Raise ColumnError where values [entity, at, period] share an hour of the night as when the clock is set back."""
    if frequency.name != HOURLY.name:
        return
    doubled = values.filter(values.select("entity", "period").is_duplicated())
    if not doubled.height or not _is_clock_change(doubled["at"].unique()):
        return
    if int(doubled.group_by("entity", "period").len()["len"].max()) > 2:  # type: ignore[arg-type]
        return
    first = doubled.sort("period")["at"][0]
    raise ColumnError(
        f"the hour {first:%Y-%m-%d %H:00} comes twice, as when the clock is set back from summer time ({doubled.height:,} values "
        f"in {doubled['entity'].n_unique():,} series): {OFFSET_ADVICE}keep one value of that hour, or their mean."
    )


def describe_skipped_hours(values: pl.DataFrame, frequency: Frequency, notes: list[str]) -> None:
    """Tell of hours of the night that no series has a value in, the hours beside them being there, as when the clock is set
    forward."""
    if frequency.name != HOURLY.name:
        return
    periods = values["period"].unique().sort()
    before = periods.filter(periods.diff().shift(-1).fill_null(1) == 2)
    skipped = frequency.starts((before + 1).to_numpy())
    if not len(skipped) or not _is_clock_change(skipped):
        return
    shown = ", ".join(f"{moment:%Y-%m-%d %H:00}" for moment in skipped.head(3)) + (" …" if len(skipped) > 3 else "")
    notes.append(
        f"no series has a value at {shown}, as when the clock is set forward to summer time: it is a gap, and one day of the "
        f"season has moved by an hour; {OFFSET_ADVICE}leave it so."
    )


def _is_clock_change(moments: pl.Series) -> bool:
    """Whether all lie at night, one a date and at most two a year."""
    nights = moments.dt.hour() <= LAST_HOUR
    dates, years = moments.dt.date(), moments.dt.year().value_counts()
    return bool(nights.all()) and not bool(dates.is_duplicated().any()) and int(years["count"].max()) <= MAX_CHANGES_A_YEAR  # type: ignore[arg-type]
