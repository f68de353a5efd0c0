"""The calendar that the times of a panel keep: weeks from a weekday of their own, days without weekends."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.time_series import BUSINESS_DAILY, DAILY, WEEKLY, WEEKLY_FROM, Frequency

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SATURDAY = 6
MIN_BUSINESS_DAYS = 10
"""Different days without a weekend among them that tell business days; fewer may be one week."""


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
