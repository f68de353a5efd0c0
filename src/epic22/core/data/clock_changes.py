"""The hours that a clock change doubles in autumn and skips in spring, in local times without an offset."""

import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.time_series import HOURLY, Frequency

LAST_HOUR = 3
"""Clocks are changed between midnight and this hour, everywhere in the world."""

MAX_CHANGES_A_YEAR = 2
ADVICE = "write the times with their offset from UTC (2023-10-29T02:00:00+02:00) or in UTC; where that is not known, "


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
        f"in {doubled['entity'].n_unique():,} series): {ADVICE}keep one value of that hour, or their mean."
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
        f"season has moved by an hour; {ADVICE}leave it so."
    )


def _is_clock_change(moments: pl.Series) -> bool:
    """Whether all lie at night, one a date and at most two a year."""
    nights = moments.dt.hour() <= LAST_HOUR
    dates, years = moments.dt.date(), moments.dt.year().value_counts()
    return bool(nights.all()) and not bool(dates.is_duplicated().any()) and int(years["count"].max()) <= MAX_CHANGES_A_YEAR  # type: ignore[arg-type]
