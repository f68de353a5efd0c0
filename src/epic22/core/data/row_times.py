"""The times of rows: a column of times, of whole numbers that are years, dates or days, or a date spread over columns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.period_notation import DAY_NOTATION, NUMBER_CLOCKS
from epic22.core.data.time_format import TIME_FORMATS, parse_times_as
from epic22.core.errors import ColumnError

SPREAD_FORMATS = ("%Y-%m-%d", "%Y-%B-%d")
YEARS, DATES, DAYS = "%Y", "%Y%m%d", f"%Y: {DAY_NOTATION}"
DAY_RANGE = (-719_162, 2_932_896)
"""Whole numbers that can be days from 1970: the years 1 to 9999."""

COUNTED = {f"%Y: {name}": clock for name, clock in NUMBER_CLOCKS.items() if name != DAY_NOTATION}
SPREADSHEET_DAYS = "%Y: days of a spreadsheet"
WHOLE_TIMES = {
    YEARS: (1000, 3000, "years; each is taken for its 1 January"),
    "%Y%m": (190_001, 210_012, "months like 202403 (year, month)"),
    DATES: (10**7, 10**8 - 1, "dates like 20240131 (year, month, day)"),
    **{form: (clock.least, clock.greatest, form.removeprefix("%Y: ")) for form, clock in COUNTED.items()},
    DAYS: (*DAY_RANGE, "whole numbers, taken for days; --horizon and --gap count in them"),
}
"""What whole numbers are as times, by the least and the greatest of them, and in words."""


def read_row_times(
    frame: pl.DataFrame, names: tuple[str, ...], notes: list[str], rows: pl.Series, reading: ColumnReading = ColumnReading()
) -> pl.Series:
    """The rows' times; `rows` are their numbers in the file from 0, for messages. Whole numbers are what the `reading` of their
    column says: years, dates or days."""
    is_spread = len(names) > 1
    times = _join_date_parts(frame, names, notes, rows) if is_spread else _read_time_column(frame[names[0]], rows, reading)
    if times.null_count():
        row = rows[times.is_null().arg_true()[0]]
        raise ColumnError(
            f"--time {', '.join(names)}: {times.null_count():,} rows have none, first row {row + 1:,}; "
            "fill them in or leave them out."
        )
    if times.n_unique() == 1:
        notes.append(describe_single_time(names, times[0]))
    return times


def describe_single_time(names: Sequence[str], time: datetime) -> str:
    """The note on rows that all have one time."""
    return f"--time {', '.join(names)}: every row has {time}, so the rows are split as if they had no time."


def _read_time_column(series: pl.Series, rows: pl.Series, reading: ColumnReading) -> pl.Series:
    if series.dtype == pl.Datetime("us"):
        return series
    # What is no time in any format is null here, and every such value is at fault.
    moment = pl.Series(series.name, [None] * len(series), dtype=pl.Datetime("us"))
    if series.dtype.is_integer() or (series.dtype.is_float() and reading.times):
        moment = read_whole_times(series, reading.times[0] if reading.times else DAYS)
    elif series.dtype == pl.String:
        moment = read_times(series)
    bad = (moment.is_null() & series.is_not_null()).arg_true()
    if len(bad):
        message = f"{len(bad):,} of {len(series):,} values are no times, first {series[bad[0]]!r} in row {rows[bad[0]] + 1:,}"
        raise ColumnError(f"--time {series.name}: {message}; write them as 2024-03-01 or 2024-03-01T13:00.")
    return moment


def infer_whole_times(
    frame: pl.DataFrame, names: tuple[str, ...], readings: Mapping[str, ColumnReading], notes: list[str]
) -> dict[str, ColumnReading]:
    """The reading of a column of times that are whole numbers, by `WHOLE_TIMES`, or days of a spreadsheet with parts; empty for
    another.

    Raises ColumnError for numbers that are none of these.
    """
    series = frame[names[0]]
    values = series.drop_nulls()
    if len(names) > 1 or not series.dtype.is_numeric() or values.is_empty():
        return {}
    if series.dtype.is_float() and read_whole_times(values, SPREADSHEET_DAYS).null_count():
        return {}
    form = SPREADSHEET_DAYS if series.dtype.is_float() else infer_whole_form(values)
    notes.append(f"{series.name} holds {WHOLE_TIMES[form][2]}.")
    return {series.name: replace(readings[series.name], times=(form,))}


def restore_whole_times(frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """The frame with a column of times that are whole numbers as integers: a gap makes floats of them, as pandas has them."""
    series = frame[names[0]] if len(names) == 1 else None
    if series is None or not series.dtype.is_float() or not bool((series.drop_nulls() % 1 == 0).all()):
        return frame
    whole = series.cast(pl.Int64, strict=False)
    return frame.with_columns(whole) if whole.null_count() == series.null_count() else frame


def infer_whole_form(values: pl.Series) -> str:
    """What whole numbers that are times are, a key of `WHOLE_TIMES`: days where some of them are none of what they look like.

    Raises ColumnError for numbers that are none of these.
    """
    form = classify_whole_times(values.name, int(values.min()), int(values.max()))  # type: ignore[arg-type]
    return DAYS if read_whole_times(values, form).null_count() else form


def classify_whole_times(name: str, least: float, greatest: float) -> str:
    """What whole numbers are as times, a key of `WHOLE_TIMES`. Raises ColumnError for what is none."""
    for form, (low, high, _) in WHOLE_TIMES.items():
        if low <= least and greatest <= high:
            return form
    raise ColumnError(
        f"--time {name}: numbers from {least:,.0f} to {greatest:,.0f} are neither years nor dates nor days; "
        "write the times as 2024-03-01 or 2024-03-01T13:00."
    )


def read_whole_times(series: pl.Series, form: str) -> pl.Series:
    """Whole numbers as the times that they are by a key of `WHOLE_TIMES`; null where they are none."""
    if form == DAYS:
        in_range = series.set(~series.is_between(*DAY_RANGE), None)
        return (in_range * 86_400_000_000).cast(pl.Datetime("us"))
    if form == YEARS:
        in_range = series.set(~series.is_between(1, 9999), None)
        return pl.select(pl.datetime(in_range, 1, 1, time_unit="us")).to_series().alias(series.name)
    if form in COUNTED:
        return COUNTED[form].parse(series)
    text = series.cast(pl.String)
    return parse_times_as(text + "01" if form == "%Y%m" else text, DATES)


def _join_date_parts(frame: pl.DataFrame, names: tuple[str, ...], notes: list[str], rows: pl.Series) -> pl.Series:
    """The date spread over year, month and day (or year and month): months as numbers or names."""
    if len(names) > 3:
        raise ColumnError(f"--time was given {len(names)} columns; a spread date has year, month, day.")
    dated = next((name for name in names if frame[name].dtype.is_temporal()), None)
    if dated is not None:
        raise ColumnError(
            f"--time {', '.join(names)}: {dated} holds whole dates, and the parts of one are year, month and day; name {dated} "
            "alone, or write date and clock into one column."
        )
    parts = [frame[name].cast(pl.String) for name in names]
    if len(parts) == 2:
        parts.append(pl.repeat("1", frame.height, eager=True))
    joined = pl.concat_str(pl.all(), separator="-")
    text = pl.DataFrame([part.alias(str(i)) for i, part in enumerate(parts)]).select(joined).to_series()
    moment = read_times(text, SPREAD_FORMATS)
    bad = (moment.is_null() & text.is_not_null()).arg_true()
    if len(bad):
        message = f"{text[bad[0]]!r} in row {rows[bad[0]] + 1:,} is no date"
        raise ColumnError(f"--time {', '.join(names)}: {message}; give the columns in the order year, month, day.")
    notes.append(f"The rows' time is made of {', '.join(names)}; {names[0]} itself is no input.")
    return moment


def read_times(text: pl.Series, forms: Sequence[str] = TIME_FORMATS) -> pl.Series:
    """The values as times (naive UTC) in the one format that reads most of them; null where they are none."""
    return min((parse_times_as(text, form) for form in forms), key=lambda moment: moment.null_count())
