"""How the times of a panel are written, and which moments they are.

One notation reads all times of a file. Where several would ("01/02/2018"), the one is taken by which the values come most
regularly in the panel's frequency. It is kept with the model, and later files are read by it: a file of four days in March says
nothing of the order of day and month.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.errors import ColumnError
from epic22.core.time_series import BUSINESS_DAILY, DAILY, DAY, MICROSECOND, WEEKLY, WEEKLY_FROM, YEARLY, Frequency

FIRST_YEAR, LAST_YEAR = 1000, 3000
"""The reader takes 1/2/24 for the year 24 and 43101 for January 4310: nobody has rows from then, so these are no times."""

DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%m-%d-%y", "%d-%m-%y", "%d %B %Y", "%d-%B-%Y", "%d-%B-%y", "%d %B %y", "%B %d, %Y"),
    *("%Y-%B-%d", "%Y%m%d"),
)
CLOCKS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
MONTHS = (
    *(
        "%Y-%m",
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
)
COMPACT = ("%Y%m%dT%H%M%S", "%Y%m%dT%H%M", "%Y%m%d %H%M")

OFFSET = re.compile(r"(?:[zZ]|[+-]\d{2}:?\d{2}|[+-]\d{2})$")
CLOCK_WITH_OFFSET = r"(\d{1,2}:\d{2}\S*?|T\d{6})\s*([zZ]|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
QUARTERS = (
    r"^(?P<year>\d{4})[ ./-]?[Qq](?P<quarter>[1-4])$",
    r"^[Qq](?P<quarter>[1-4])[ ./-]?(?P<year>\d{4})$",
    r"^(?P<quarter>[1-4])[Qq][ ./-]?(?P<year>\d{4})$",
    r"^[Qq](?P<quarter>[1-4])[ ./'-]{0,2}(?P<year>\d{2})$",
    r"^(?P<year>\d{2})[ ./'-]{0,2}[Qq](?P<quarter>[1-4])$",
    r"^(?P<quarter>[1-4])[Qq][ ./'-]{0,2}(?P<year>\d{2})$",
)
WEEK = r"^(\d{4})[ -]?[Ww](\d{1,2})$"
YEAR = r"^\d{4}(\.0)?$"
FISCAL_YEAR = r"^(\d{4})[/-](\d{2}|\d{4})$"
FISCAL_PREFIX = r"^(?:FY[ '-]?)|[ -]?FY[ '-]?"
NUMBERED_QUARTER = r"^(?P<quarter>[1-4])[-/](?P<year>\d{4})$"
QUARTER_NOTATION, FISCAL_QUARTER_NOTATION, NUMBERED_QUARTER_NOTATION = "quarter", "fiscal quarter", "number of a quarter-year"
WEEK_NOTATION = "ISO week"
YEAR_NOTATION, FISCAL_YEAR_NOTATION = "year", "fiscal year"
DAY_NOTATION = "days from 1970"


@dataclass(frozen=True)
class Clock:
    """Whole numbers that count from a day on: how long one is in microseconds, the day in days from 1970, and which numbers can
    be meant."""

    unit: int
    since: int
    low: int
    high: int

    def parse(self, text: pl.Series) -> pl.Series:
        """The moments; null for what is no such number."""
        number = text.cast(pl.Int64, strict=False)
        number = number.set(~number.is_between(self.low, self.high), None)
        return (number * self.unit + self.since * DAY // MICROSECOND).cast(pl.Datetime("us"))


NUMBER_CLOCKS: Mapping[str, Clock] = {
    "days of a spreadsheet": Clock(DAY // MICROSECOND, -25_569, 30_000, 60_000),
    "seconds from 1970": Clock(1_000_000, 0, 10**8, 10**10),
    "milliseconds from 1970": Clock(1_000, 0, 10**11, 10**13),
    DAY_NOTATION: Clock(DAY // MICROSECOND, 0, -719_162, 29_999),
}
"""How numbers are times. Numbers as large as a spreadsheet's days of this century lie, as days from 1970, in another one."""

TYPED = "typed"
"""The notation of a file whose times have a type already."""


@dataclass(frozen=True)
class PeriodReading:
    """How times were read: the notation's name, and whether they came with an offset from UTC.

    The notation is None where it was never written down, as in models of earlier versions; then it is looked for anew.
    """

    notation: str | None = None
    zoned: bool | None = None

    def is_in_utc(self, frequency: Frequency) -> bool:
        """Whether periods are those of UTC, not of the place: only where an offset is stated and the hour counts."""
        return bool(self.zoned) and frequency.is_shorter_than(DAY)


@dataclass(frozen=True)
class PanelReading:
    """How a panel's file was read: the times of its values, and their numbers (None where they had a type of their own)."""

    times: PeriodReading = PeriodReading()
    values: ColumnReading | None = None

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> "PanelReading":
        """The reading that its JSON was written from."""
        values = stored["values"]
        return cls(PeriodReading(**stored["times"]), None if values is None else ColumnReading.restore(values))


@dataclass(frozen=True)
class PeriodTimes:
    """The moments (n,) of a panel's values, naive: local ones, or UTC where periods are shorter than a day and an offset is
    stated (`is_utc`). `reading` says how they were read, `rivals` which other notations would have fitted as well."""

    moments: pl.Series
    reading: PeriodReading
    rivals: tuple[str, ...] = ()
    is_utc: bool = False


def _parse_form(form: str, text: pl.Series) -> pl.Series:
    """Times in a format of strptime; a month alone stands for its first day, %B reads "Jan" as it reads "January"."""
    if "%d" not in form:
        text, form = ("1 " + text).alias(text.name), f"%d {form}"
    moments = text.str.to_datetime(form, strict=False, time_unit="us")
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
    """The Monday of each ISO week, as in 2024-W05; a week 53 only where the year has one."""
    parts = text.str.extract_groups(WEEK).struct.unnest()
    monday = parts["1"] + "-W" + parts["2"].str.zfill(2) + "-1"
    return monday.alias(text.name).str.to_datetime("%G-W%V-%u", strict=False, time_unit="us")


def _parse_years(text: pl.Series) -> pl.Series:
    """The first day of each year."""
    return _parse_form("%Y-%m", text.set(~text.str.contains(YEAR), None).str.head(4) + "-1")


def _parse_fiscal_years(text: pl.Series) -> pl.Series:
    """The first day of the year that each begins in, as in 2018/19 or FY2018."""
    parts = text.str.extract_groups(FISCAL_YEAR).struct.unnest()
    first, second = parts["1"].cast(pl.Int64), parts["2"].cast(pl.Int64)
    follows = (second == first + 1) | (second == (first + 1) % 100)
    plain = text.str.extract(r"^FY[ '-]?(\d{4})$").cast(pl.Int64)
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
    WEEK_NOTATION: _parse_weeks,
    **{name: clock.parse for name, clock in NUMBER_CLOCKS.items()},
}
"""Every way to write a time, in the order of preference: of two that fit equally well the first is taken, the month before the
day. One more is one more line."""

BARE_NUMBERS = (YEAR_NOTATION, "%Y%m", "%Y%m%d", *NUMBER_CLOCKS)
"""Notations that a number of something else fits as well."""

TOLD: Mapping[str, str] = {
    YEAR_NOTATION: "years, each from its 1 January",
    FISCAL_YEAR_NOTATION: "fiscal years, called by the year that each begins in",
    FISCAL_QUARTER_NOTATION: "fiscal quarters, called as if the fiscal year were the calendar's",
    **{name: f"whole numbers, taken for {name}" for name in NUMBER_CLOCKS},
    "%Y%m": "year and month in six digits",
    "%Y%m%d": "year, month and day in eight digits",
    **{date + clock: describe_date for date in DATES for clock in CLOCKS if (describe_date := _describe_order(date)) is not None},
    **{month: "month and year of two digits (1970 to 2069)" for month in MONTHS if "%y" in month},
}
"""Notations that are told of, since another reader might take them for something else."""


def find_notations(text: pl.Series) -> tuple[str, ...]:
    """The notations that read all of these texts, without offsets, in the order of preference."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    samples = (distinct.head(20), distinct)
    names = tuple(
        name for name, parse in NOTATIONS.items() if len(distinct) and all(not parse(sample).null_count() for sample in samples)
    )
    return names if len(names) < 2 else tuple(name for name in names if name != DAY_NOTATION)


def read_period_times(raw: pl.Series, series: pl.Series, frequency: Frequency, reading: PeriodReading) -> PeriodTimes:
    """The times (n,) of the values of `series` (n,), read as `reading` says, or by the notation that fits the frequency best.

    A value that is no time is null in the result. Raises ColumnError where offsets are stated that were not in training, or the
    other way round, and the hour depends on it.
    """
    if raw.dtype.is_temporal():
        moments, zoned = _localize(raw, frequency)
        own = PeriodReading(TYPED, zoned)
        return PeriodTimes(moments, _check_offsets(reading, own, frequency, raw.name), is_utc=own.is_in_utc(frequency))
    text = _write_plainly(raw)
    offsets, text = _split_offsets(text)
    n_offsets = len(offsets) - offsets.null_count()
    if 0 < n_offsets < len(text) - text.null_count() and frequency.is_shorter_than(DAY):
        row = (offsets.is_null() & text.is_not_null()).arg_true()[0]
        raise ColumnError(
            f"{raw.name}: {n_offsets:,} times state an offset from UTC and others, such as {raw[row]!r} in row {row + 1:,}, do "
            "not; state it in all of them or in none."
        )
    names = _list_candidates(text, reading)
    best, rivals, moments = _choose_notation(text, names, series, frequency)
    if n_offsets and frequency.is_shorter_than(DAY):
        moments = moments - offsets.fill_null(0).cast(pl.Duration("us"))
    own = PeriodReading(best, n_offsets > 0)
    return PeriodTimes(moments, _check_offsets(reading, own, frequency, raw.name), rivals, own.is_in_utc(frequency))


def read_headers(headers: pl.Series, frequency: Frequency, reading: PeriodReading) -> PeriodTimes:
    """The times that column names are, null where they are none: by the notation that reads most of them.

    Raises ColumnError for a name that is a time in another notation than the others.
    """
    offsets, text = _split_offsets(_write_plainly(headers))

    names = _list_known(reading) or _list_header_notations(frequency)
    read = {name: NOTATIONS[name](text) for name in names}
    most = max(len(moments) - moments.null_count() for moments in read.values())
    nearest = tuple(name for name in names if len(text) - read[name].null_count() == most)
    same = pl.repeat("", len(text), eager=True)
    best, rivals, moments = _choose_notation(text, nearest, same, frequency)
    others = text.filter(moments.is_null())
    for name in names if most > 1 else ():
        odd = others.filter(NOTATIONS[name](others).is_not_null())
        if len(odd) and name not in BARE_NUMBERS:
            raise ColumnError(
                f"--panel wide: most column names are times like {describe_notation(best)}, but {odd[0]!r} is one like "
                f"{describe_notation(name)}; write all of them alike."
            )
    _refuse_odd_headers(text, moments)
    own = PeriodReading(best, bool(offsets.is_not_null().any()))
    return PeriodTimes(moments, own, rivals, own.is_in_utc(frequency))


def _refuse_odd_headers(text: pl.Series, moments: pl.Series) -> None:
    """Raise ColumnError for a name of the shape of times that is none, as a misspelt month is: its values would be lost."""
    shapes = text.str.replace_all(r"\d+", "9").str.replace_all(r"\p{L}+", "a")
    alike = moments.is_null() & shapes.is_in(shapes.filter(moments.is_not_null()).unique().implode()) & (shapes != "9")
    if moments.is_not_null().sum() > 1 and alike.any():
        raise ColumnError(
            f"--panel wide: column {text.filter(alike)[0]!r} is written as the times are, such as "
            f"{text.filter(moments.is_not_null())[0]!r}, but is none; mend its name, or take the column out."
        )


def _list_header_notations(frequency: Frequency) -> tuple[str, ...]:
    """The notations of column names: a bare number is a year only where years are expected, and never days from 1970."""
    unexpected = {DAY_NOTATION, *([] if frequency.months >= YEARLY.months else [YEAR_NOTATION])}
    return tuple(name for name in NOTATIONS if name not in unexpected)


def describe_times(times: PeriodTimes, name: str) -> list[str]:
    """What the user should know of how the times of a column were read."""
    notation = times.reading.notation
    utc = [f"{name}: hours are those of UTC, since the times state an offset from it."] if times.is_utc else []
    if notation is None or notation not in TOLD:
        return utc
    rivals = [describe_notation(rival) for rival in times.rivals if rival in NOTATIONS]
    return [f"{name}: {TOLD[notation]}" + (f", though {' or '.join(rivals)} would fit too." if rivals else "."), *utc]


def is_blank(column: pl.Series) -> pl.Series:
    """Which values are not there: null, or text of blanks."""
    text = column.cast(pl.String).str.strip_chars()
    return text.is_null() | (text == "")


def _localize(raw: pl.Series, frequency: Frequency) -> tuple[pl.Series, bool]:
    """Typed times as naive ones, and whether they had a zone: in it, or in UTC where the hour counts."""
    zone = raw.dtype.time_zone if isinstance(raw.dtype, pl.Datetime) else None
    if zone is not None:
        moments = raw.dt.convert_time_zone("UTC") if frequency.is_shorter_than(DAY) else raw
        raw = moments.dt.replace_time_zone(None)
    return raw.cast(pl.Datetime("us")), zone is not None


def _check_offsets(reading: PeriodReading, own: PeriodReading, frequency: Frequency, name: str) -> PeriodReading:
    if reading.zoned is not None and reading.zoned != own.zoned and frequency.is_shorter_than(DAY):
        with_or_without = ("with", "without") if reading.zoned else ("without", "with")
        raise ColumnError(
            f"{name}: the model was trained on times {with_or_without[0]} an offset from UTC, these are {with_or_without[1]} "
            f"one, and which {frequency.noun} they are depends on it; write them as in training."
        )
    return own


def _write_plainly(raw: pl.Series) -> pl.Series:
    """The times as text without blanks around it, null where there is none; whole numbers without decimals, Sept. as Sep, and
    without the X that R sets before a column name of digits."""
    if raw.dtype.is_float() and bool((raw.drop_nulls() % 1 == 0).all()):
        raw = raw.cast(pl.Int64)
    text = raw.cast(pl.String).str.strip_chars().str.replace(r"^X(\d)", "$1")
    text = text.str.replace_all(r"(?i)\b(sep)t\b", "$1").str.replace_all(r"([A-Za-z]{3,})\.", "$1")
    return text.set(text == "", None)


def _split_offsets(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The offsets from UTC in microseconds, null where none is stated, and the texts without them: the local time."""
    has_offset = text.str.contains(CLOCK_WITH_OFFSET).fill_null(value=False)
    if not has_offset.any():
        return pl.Series([None] * len(text), dtype=pl.Int64), text
    bare = text.str.replace(OFFSET.pattern, "").str.strip_chars_end()
    stated = text.str.extract(f"({OFFSET.pattern})").str.to_uppercase().str.replace("Z", "+00").str.replace(":", "")
    sign = pl.select(pl.when(stated.str.starts_with("-")).then(-1).otherwise(1)).to_series()
    minutes = stated.str.slice(1, 2).cast(pl.Int64, strict=False) * 60
    minutes = minutes + stated.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    offsets = (sign * minutes * 60_000_000).set(~has_offset, None)
    return offsets, bare.zip_with(has_offset, text)


def _list_known(reading: PeriodReading) -> tuple[str, ...]:
    """The notation of the training, and those with the year first; none where the training had none."""
    known = [] if reading.notation is None or reading.notation not in NOTATIONS else [reading.notation]
    return (*known, *ISO_NOTATIONS) if known else ()


def _list_candidates(text: pl.Series, reading: PeriodReading) -> tuple[str, ...]:
    """The notations to choose from: that of the training, or times with the year first, which mean one moment; else all that fit.

    Raises ColumnError where the training had typed times, and several notations fit a later file.
    """
    known = _list_known(reading)
    if known:
        distinct = text.drop_nulls().unique()
        return next(((name,) for name in known if not NOTATIONS[name](distinct).null_count()), known[:1])
    names = find_notations(text) or (_find_nearest_notation(text),)
    rivals = [name for name in names if not NOTATIONS[name](text).equals(NOTATIONS[names[0]](text))]
    if reading.notation is not None and rivals:
        raise ColumnError(
            f"{text.name}: {text.drop_nulls()[0]!r} is {describe_notation(names[0])} or {describe_notation(rivals[0])}, and the "
            "times of the training had a type of their own; write them as 2024-03-01."
        )
    return names


def _find_nearest_notation(text: pl.Series) -> str:
    """The notation that reads most of the texts: what it does not read is at fault."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    return min(NOTATIONS, key=lambda name: NOTATIONS[name](distinct).null_count())


def _choose_notation(
    text: pl.Series, names: Sequence[str], series: pl.Series, frequency: Frequency
) -> tuple[str, tuple[str, ...], pl.Series]:
    """The notation by which the values come most regularly, those that are as regular and differ, and the moments by it."""
    distinct = text.unique(maintain_order=True)
    read = {name: NOTATIONS[name](distinct) for name in names}
    if len(read) == 1:
        ((name, moments),) = read.items()
        return name, (), _map_texts(text, distinct, moments)
    regular = {name: measure_regularity(_map_texts(text, distinct, moments), series, frequency) for name, moments in read.items()}
    best = max(names, key=lambda name: regular[name])
    rivals = tuple(name for name in names if regular[name] == regular[best] and not read[name].equals(read[best]))
    return best, rivals, _map_texts(text, distinct, read[best])


def _map_texts(text: pl.Series, distinct: pl.Series, moments: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"text": distinct, "moment": moments})
    joined = pl.DataFrame({"text": text}).join(frame, on="text", how="left", maintain_order="left", nulls_equal=True)
    return joined["moment"].alias(text.name)


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
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SATURDAY = 6
MIN_BUSINESS_DAYS = 10
"""Different days without a weekend among them that tell business days; fewer may be one week."""
