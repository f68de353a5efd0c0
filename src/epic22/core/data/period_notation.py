"""The ways in which people write the periods of a panel: dates, months, quarters, weeks, years, numbers that count time."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from epic22.core.data import time_format
from epic22.core.time_series import DAY, MICROSECOND
from epic22.core.time_series import WEEK as WEEK_LENGTH

FIRST_YEAR, LAST_YEAR = 1000, 3000
"""The reader takes 1/2/24 for the year 24 and 43101 for January 4310: nobody has rows from then, so these are no times."""

DATES = (*(form for form in time_format.DATES if "%G" not in form), "%Y%m%d")
CLOCKS = time_format.CLOCK_FORMATS
SHORT_MONTHS = ("%m/%y", "%y/%m", "%m-%y", "%y-%m")
"""Months and years of two digits each, where months are expected."""

MONTHS = (
    *(
        "%Y-%m",
        "%Y年%m月",
        "%Y/%m",
        "%Y.%m",
        "%YM%m",
        "%Y-M%m",
        "%Y%m",
        "%m/%Y",
        "%m-%Y",
        "%m.%Y",
        "%B %Y",
        "%B-%Y",
        "%B %y",
        "%B-%y",
        "%B%y",
    ),
    *("%B/%y", "%B/%Y", "%b %Y", "%y-%B", "%Y-%B", "%Y %B", "%B'%y"),
    *SHORT_MONTHS,
)
COMPACT = ("%Y%m%dT%H%M%S", "%Y%m%dT%H%M", "%Y%m%d %H%M")

QUARTERS = (
    r"^(?P<year>\d{4})[ -]?T(?P<quarter>[1-4])$",
    r"^(?P<year>\d{4})[ ./-]?[Qq](?P<quarter>[1-4])$",
    r"^[Qq](?P<quarter>[1-4])[ ./-]?(?P<year>\d{4})$",
    r"^(?P<quarter>[1-4])[Qq][ ./-]?(?P<year>\d{4})$",
    r"^[Qq](?P<quarter>[1-4])[ ./'-]{0,2}(?P<year>\d{2})$",
    r"^(?P<year>\d{2})[ ./'-]{0,2}[Qq](?P<quarter>[1-4])$",
    r"^(?P<quarter>[1-4])[Qq][ ./'-]{0,2}(?P<year>\d{2})$",
)
WEEK = r"^(\d{4})[ -]?[Ww](\d{1,2})(?:-([1-7]))?$"
YEAR = r"^\d{4}(\.0)?$"
FISCAL_YEAR = r"^(\d{4})[/-](\d{2}|\d{4})$"
FISCAL_PREFIX = r"^(?:FY[ '-]?)|[ -]?FY[ '-]?"
NUMBERED_QUARTER = r"^(?P<quarter>[1-4])[-/](?P<year>\d{4})$"
QUARTER_BEHIND_YEAR = r"^(?P<year>\d{4})[-/. ]?(?P<quarter>[1-4])$"
NUMBERED_WEEK, WEEK_BEHIND_YEAR = r"^(\d{1,2})[-/.](\d{4})$", r"^(\d{4})[-/. ]?(\d{2})$"
QUARTER_NOTATION, FISCAL_QUARTER_NOTATION, NUMBERED_QUARTER_NOTATION = "quarter", "fiscal quarter", "number of a quarter-year"
QUARTER_BEHIND_YEAR_NOTATION = "year and number of a quarter"
WEEK_NOTATION, NUMBERED_WEEK_NOTATION, WEEK_BEHIND_YEAR_NOTATION = (
    "ISO week",
    "number of a week-year",
    "year and number of a week",
)
YEAR_NOTATION, FISCAL_YEAR_NOTATION = "year", "fiscal year"
DAY_NOTATION = "days from 1970"


@dataclass(frozen=True)
class Clock:
    """Numbers that count from a day on: how long one is in microseconds, the day in days from 1970, and which numbers can be
    meant. `has_parts`: parts of one are meant too, to the second."""

    unit: int
    since: int
    least: int
    greatest: int
    has_parts: bool = False

    def parse(self, text: pl.Series) -> pl.Series:
        """The moments; null for what is no such number."""
        number = text.cast(pl.Int64, strict=False) if not text.dtype.is_float() else text
        if self.has_parts and number.null_count() > text.null_count():
            number = text.cast(pl.Float64, strict=False).fill_nan(None)
        number = number.set(~number.is_between(self.least, self.greatest), None)
        seconds = (number * (self.unit / 1e6)).round() if number.dtype.is_float() else None
        own = number * self.unit if seconds is None else seconds.cast(pl.Int64) * 1_000_000
        return (own + self.since * DAY // MICROSECOND).cast(pl.Datetime("us"))


NUMBER_CLOCKS: Mapping[str, Clock] = {
    "days of a spreadsheet": Clock(DAY // MICROSECOND, -25_569, 30_000, 60_000, has_parts=True),
    "seconds from 1970": Clock(1_000_000, 0, 10**8, 10**10),
    "milliseconds from 1970": Clock(1_000, 0, 10**11, 10**13),
    "microseconds from 1970": Clock(1, 0, 10**14, 10**16),
    DAY_NOTATION: Clock(DAY // MICROSECOND, 0, -719_162, 29_999),
}
"""How numbers are times. Numbers as large as a spreadsheet's days of this century lie, as days from 1970, in another one."""


def _parse_form(form: str, text: pl.Series) -> pl.Series:
    """Times in a format of strptime; a month alone stands for its first day, %B reads "Jan" as it reads "January"."""
    if "%d" not in form:
        text, form = ("1 " + text).alias(text.name), f"%d {form}"
    moments = text.str.to_datetime(form, strict=False, time_unit="us")
    if moments.null_count() == len(moments):
        return moments  # as of nearly all of the notations that are tried
    return moments.set(~moments.dt.year().is_between(FIRST_YEAR, LAST_YEAR), None)


def _parse_quarters(text: pl.Series) -> pl.Series:
    """The first day of each quarter, as in 2023Q1, 2023-Q1, Q1 2023 or 1Q23."""
    months = pl.Series(text.name, [None] * len(text), dtype=pl.String)
    for pattern in QUARTERS:
        parts = text.str.extract_groups(pattern).struct.unnest()
        year = parts["year"].cast(pl.Int64)
        year = year + pl.select(pl.when(year < 100).then(pl.when(year < 70).then(2000).otherwise(1900)).otherwise(0)).to_series()
        month = (parts["quarter"].cast(pl.Int64) * 3 - 2).cast(pl.String)
        months = months.fill_null(year.cast(pl.String) + "-" + month)
    return _parse_form("%Y-%m", months)


def _parse_weeks(text: pl.Series) -> pl.Series:
    """The days of ISO weeks, as in 2024-W05-3, a week alone standing for its Monday; a week 53 only where the year has one."""
    parts = text.str.extract_groups(WEEK).struct.unnest()
    day = parts["1"] + "-W" + parts["2"].str.zfill(2) + "-" + parts["3"].fill_null("1")
    return day.alias(text.name).str.to_datetime("%G-W%V-%u", strict=False, time_unit="us")


def _parse_years(text: pl.Series) -> pl.Series:
    """The first day of each year."""
    return _parse_form("%Y-%m", text.set(~text.str.contains(YEAR), None).str.head(4) + "-1")


def _parse_fiscal_years(text: pl.Series) -> pl.Series:
    """The first day of the year that each begins in, as in 2018/19, FY2018 or FY18."""
    parts = text.str.extract_groups(FISCAL_YEAR).struct.unnest()
    first, second = parts["1"].cast(pl.Int64), parts["2"].cast(pl.Int64)
    follows = (second == first + 1) | (second == (first + 1) % 100)
    plain = text.str.extract(r"^(?:FY|AY)[ '-]?(\d{4})$").cast(pl.Int64)
    short = text.str.extract(r"^FY[ '-]?(\d{2})$").cast(pl.Int64)
    plain = plain.fill_null(short + pl.select(pl.when(short < 70).then(2000).otherwise(1900)).to_series())
    return _parse_form("%Y-%m", (first.set(~follows, None).fill_null(plain).cast(pl.String) + "-1").alias(text.name))


def _parse_fiscal_quarters(text: pl.Series) -> pl.Series:
    """The quarters of FY2018 Q1 or Q1 FY18, as if a fiscal year were the calendar's."""
    return _parse_quarters(text.set(~text.str.contains("FY"), None).str.replace(FISCAL_PREFIX, " ").str.strip_chars())


def _form(form: str) -> tuple[str, Callable[[pl.Series], pl.Series]]:
    return form, lambda text: _parse_form(form, text)


ISO_NOTATIONS = (*("%Y-%m-%d" + clock for clock in CLOCKS[:5]), "%Y-%m")

WORDS = {
    "%Y": "year",
    "%y": "year",
    "%m": "month",
    "%B": "month",
    "%b": "month",
    "%d": "day",
    "%H": "hour",
    "%I": "hour",
    "%M": "minute",
    "%S": "second",
}


def describe_notation(name: str) -> str:
    """A notation in words: "month/day/year"."""
    return re.sub(r"%[A-Za-z]", lambda part: WORDS.get(part[0], ""), name.replace("%.f", "").replace(" %p", ""))


def _describe_order(date: str) -> str | None:
    """ "day/month/year" for a date in digits whose order is a convention; None for others."""
    in_digits = re.fullmatch(r"%([dm])\W%([dm])\W%[yY]", date)
    return None if in_digits is None else describe_notation(date)


NOTATIONS: Mapping[str, Callable[[pl.Series], pl.Series]] = {
    YEAR_NOTATION: _parse_years,
    FISCAL_YEAR_NOTATION: _parse_fiscal_years,
    **dict(_form(form) for form in (*(date + clock for date in DATES for clock in CLOCKS), *COMPACT, *MONTHS)),
    QUARTER_NOTATION: _parse_quarters,
    FISCAL_QUARTER_NOTATION: _parse_fiscal_quarters,
    NUMBERED_QUARTER_NOTATION: lambda text: _parse_quarters(text.str.replace(NUMBERED_QUARTER, "Q${quarter} ${year}")),
    QUARTER_BEHIND_YEAR_NOTATION: lambda text: _parse_quarters(text.str.replace(QUARTER_BEHIND_YEAR, "Q${quarter} ${year}")),
    WEEK_NOTATION: _parse_weeks,
    NUMBERED_WEEK_NOTATION: lambda text: _parse_weeks(text.str.replace(NUMBERED_WEEK, "${2}W${1}")),
    WEEK_BEHIND_YEAR_NOTATION: lambda text: _parse_weeks(text.str.replace(WEEK_BEHIND_YEAR, "${1}W${2}")),
    **{name: clock.parse for name, clock in NUMBER_CLOCKS.items()},
}
"""Every way to write a time, in the order of preference: of two that fit equally well the first is taken, the month before the
day. One more is one more line."""

NUMBERED_NOTATIONS: Mapping[str, tuple[int, timedelta]] = {
    QUARTER_BEHIND_YEAR_NOTATION: (3, timedelta(0)),
    NUMBERED_WEEK_NOTATION: (0, WEEK_LENGTH),
    WEEK_BEHIND_YEAR_NOTATION: (0, WEEK_LENGTH),
    **dict.fromkeys(SHORT_MONTHS, (1, timedelta(0))),
}
"""Notations that a month fits as well, with the months and the length of the periods that they count."""

BARE_NUMBERS = (
    YEAR_NOTATION,
    QUARTER_BEHIND_YEAR_NOTATION,
    WEEK_BEHIND_YEAR_NOTATION,
    "%Y%m",
    "%Y%m%d",
    *SHORT_MONTHS,
    *NUMBER_CLOCKS,
)
"""Notations that a number of something else fits as well."""

NOTES: Mapping[str, str] = {
    YEAR_NOTATION: "years, each from its 1 January",
    FISCAL_YEAR_NOTATION: "fiscal years, called by the year that each begins in",
    FISCAL_QUARTER_NOTATION: "fiscal quarters, called as if the fiscal year were the calendar's",
    **{name: f"whole numbers, taken for {name}" for name in NUMBER_CLOCKS},
    QUARTER_BEHIND_YEAR_NOTATION: "years, each with the number of a quarter",
    NUMBERED_WEEK_NOTATION: "numbers of ISO weeks, each with a year",
    WEEK_BEHIND_YEAR_NOTATION: "years, each with the number of an ISO week",
    **{f"{date}{clock}": "year, month and day, the year in two digits" for date in DATES if date[:2] == "%y" for clock in CLOCKS},
    "%Y%m": "year and month in six digits",
    "%Y%m%d": "year, month and day in eight digits",
    **{date + clock: describe_date for date in DATES for clock in CLOCKS if (describe_date := _describe_order(date)) is not None},
    **{month: "month and year of two digits (1970 to 2069)" for month in MONTHS if "%y" in month},
}
"""What is noted of a notation, since another reader might take them for something else."""


def find_notations(text: pl.Series) -> tuple[str, ...]:
    """The notations that read all of these texts, without offsets, in the order of preference."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    samples = (distinct.head(20), distinct)
    names = tuple(
        name for name, parse in NOTATIONS.items() if len(distinct) and all(not parse(sample).null_count() for sample in samples)
    )
    return names if len(names) < 2 else tuple(name for name in names if name != DAY_NOTATION)


def find_nearest_notation(text: pl.Series, unexpected: Collection[str] = ()) -> str:
    """The notation that reads most of the texts, but for the unexpected ones: what it does not read is at fault."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    names = (name for name in NOTATIONS if name not in unexpected)
    return min(names, key=lambda name: NOTATIONS[name](distinct).null_count())
