"""How the times of a panel are written, and which moments they are.

One notation reads all times of a file. Where several would ("01/02/2018"), the one is taken by which the values come most
regularly in the panel's frequency. It is kept with the model, and later files are read by it: a file of four days in March says
nothing of the order of day and month.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.names import strip_ends
from epic22.core.data.period_calendar import measure_regularity
from epic22.core.data.period_notation import (
    BARE_NUMBERS,
    DAY_NOTATION,
    FIRST_YEAR,
    ISO_NOTATIONS,
    LAST_YEAR,
    NOTATIONS,
    NOTES,
    NUMBERED_NOTATIONS,
    YEAR_NOTATION,
    describe_notation,
    find_nearest_notation,
    find_notations,
)
from epic22.core.data.time_format import (
    add_days,
    convert_to_utc,
    list_clocks,
    simplify_stamps,
    split_midnights,
    split_offsets,
    split_zones,
    write_times_in_english,
)
from epic22.core.errors import ColumnError
from epic22.core.time_series import DAY, YEARLY, Frequency

NOON = 12
UTC_ZONES = ("UTC", "Etc/UTC", "GMT", "Etc/GMT")
TYPED = "typed"
"""The notation of a file whose times have a type already."""


@dataclass(frozen=True)
class PeriodReading:
    """How times were read: the notation's name, and whether they came with an offset from UTC.

    The notation is None where it was never written down, as in models of earlier versions; then it is looked for anew.
    `midnights`: the times are in UTC, and midnights of a place that is ahead of it; None where they are not.
    """

    notation: str | None = None
    zoned: bool | None = None
    midnights: bool | None = None

    def place_midnights(self, moments: pl.Series) -> pl.Series:
        """The moments, those of a day's second half at the beginning of the next one where they are midnights of a place."""
        if not self.midnights:
            return moments
        is_evening = (moments.dt.hour() >= NOON).fill_null(value=False)
        return moments.zip_with(~is_evening, moments.dt.truncate("1d").dt.offset_by("1d"))

    def is_in_utc(self, frequency: Frequency) -> bool:
        """Whether periods are those of UTC, not of the place: only where an offset is stated and the hour counts."""
        return bool(self.zoned) and frequency.is_shorter_than(DAY)


@dataclass(frozen=True)
class PanelReading:
    """How a panel's file was read: the times of its values, and their numbers; None is not known."""

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


def read_period_times(raw: pl.Series, series: pl.Series, frequency: Frequency, reading: PeriodReading) -> PeriodTimes:
    """The times (n,) of the values of `series` (n,), read as `reading` says, or by the notation that fits the frequency best.

    A value that is no time is null in the result. Raises ColumnError where offsets are stated that were not in training, or the
    other way round, and the hour depends on it.
    """
    if is_dated_column(raw):
        moments, zoned = _localize(raw, frequency)
        moments = moments.set(~moments.dt.year().is_between(FIRST_YEAR, LAST_YEAR), None)
        is_in_utc = zoned and raw.dtype.time_zone in UTC_ZONES  # type: ignore[attr-defined]
        own = PeriodReading(TYPED, zoned, _are_midnights(moments, is_in_utc, frequency, reading))
        _check_offsets(reading, own, frequency, raw.name)
        return PeriodTimes(own.place_midnights(moments), own, is_utc=own.is_in_utc(frequency))
    zones, text = split_zones(simplify_stamps(_normalize_text(raw)))
    offsets, text = split_offsets(text)
    has_offset = offsets.is_not_null() | zones.is_not_null()
    n_offsets = int(has_offset.sum())
    if 0 < n_offsets < len(text) - text.null_count() and frequency.is_shorter_than(DAY):
        row = (~has_offset & text.is_not_null()).arg_true()[0]
        raise ColumnError(
            f"{raw.name}: {n_offsets:,} times state an offset from UTC and others, such as {raw[row]!r} in row {row + 1:,}, do "
            "not; state it in all of them or in none."
        )
    ends_day, text = split_midnights(text)
    names = _list_candidates(text, reading, frequency)
    best, rivals, moments = _choose_notation(text, names, series, frequency)
    moments = add_days(moments, ends_day)
    if n_offsets and frequency.is_shorter_than(DAY):
        moments = convert_to_utc(moments - offsets.fill_null(0).cast(pl.Duration("us")), zones)
    is_in_utc = bool((offsets == 0).sum() == len(text) - text.null_count())
    own = PeriodReading(best, n_offsets > 0, _are_midnights(moments, is_in_utc, frequency, reading))
    _check_offsets(reading, own, frequency, raw.name)
    return PeriodTimes(own.place_midnights(moments), own, rivals, own.is_in_utc(frequency))


def _are_midnights(moments: pl.Series, is_in_utc: bool, frequency: Frequency, reading: PeriodReading) -> bool | None:
    """Whether times in UTC are midnights of a place ahead of it, as training says if its times had offsets; None where they are
    not.

    They are where all are whole hours of the evening: two neighbouring ones, by summer and winter time, or one, and each
    begins a month there.
    """
    if reading.zoned:
        return reading.midnights
    present = moments.drop_nulls()
    if not is_in_utc or frequency.is_shorter_than(DAY) or present.is_empty():
        return None
    hours = present.dt.hour().unique().sort().to_list()
    if hours[0] < NOON or hours[-1] - hours[0] > 1 or (present.dt.truncate("1h") != present).any():
        return None
    begins_month = bool((present.dt.offset_by("12h").dt.truncate("1d").dt.day() == 1).all())
    return len(hours) == 2 or (bool(frequency.months) and begins_month) or None


def read_headers(headers: pl.Series, frequency: Frequency, reading: PeriodReading) -> PeriodTimes:
    """The times that column names are, null where they are none: by the notation that reads most of them.

    Raises ColumnError for a name that is a time in another notation than the others.
    """
    zones, text = split_zones(simplify_stamps(_normalize_text(headers)))
    offsets, text = split_offsets(text)
    ends_day, text = split_midnights(text)

    names = _list_known(reading) or _list_header_notations(frequency)
    read = {name: NOTATIONS[name](text) for name in names}
    most = max(len(moments) - moments.null_count() for moments in read.values())
    nearest = tuple(name for name in names if len(text) - read[name].null_count() == most)
    same = pl.repeat("", len(text), eager=True)
    best, rivals, moments = _choose_notation(text, nearest, same, frequency)
    is_unread = moments.is_null()
    for name in names if most > 1 and is_unread.any() else ():
        odd = text.filter(is_unread & read[name].is_not_null())
        if len(odd) and name not in BARE_NUMBERS:
            raise ColumnError(
                f"--panel wide: most column names are times like {describe_notation(best)}, but {odd[0]!r} is one like "
                f"{describe_notation(name)}; write all of them alike."
            )
    _refuse_odd_headers(text, moments)
    moments = add_days(moments, ends_day)
    is_in_utc = bool((offsets == 0).filter(moments.is_not_null()).fill_null(value=False).all())
    zoned = bool((offsets.is_not_null() | zones.is_not_null()).any())
    own = PeriodReading(best, zoned, _are_midnights(moments, is_in_utc, frequency, reading))
    return PeriodTimes(own.place_midnights(moments), own, rivals, own.is_in_utc(frequency))


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
    unexpected = {DAY_NOTATION, *_list_unexpected(frequency), *([] if frequency.months >= YEARLY.months else [YEAR_NOTATION])}
    return tuple(name for name in NOTATIONS if name not in unexpected)


def describe_times(times: PeriodTimes, name: str) -> list[str]:
    """What the user should know of how the times of a column were read."""
    notation = times.reading.notation
    utc = [f"{name}: hours are those of UTC, since the times state an offset from it."] if times.is_utc else []
    if times.reading.midnights:
        utc = [f"{name}: evening hours of UTC, taken for midnights of a place ahead of it: each for the day that begins there."]
    elif times.reading.zoned and (hour := _find_only_hour(times.moments)) is not None:
        utc = [f"{name}: every time is {hour}:00 by its own clock, and counts for the day that it states; else write dates."]
    if notation is None or notation not in NOTES:
        return utc
    rivals = [describe_notation(rival) for rival in times.rivals if rival in NOTATIONS]
    return [f"{name}: {NOTES[notation]}" + (f", though {' or '.join(rivals)} would fit too." if rivals else "."), *utc]


def _find_only_hour(moments: pl.Series) -> int | None:
    """The hour of the day's second half at which all of many moments lie; None where there is none."""
    present = moments.drop_nulls()
    hours = present.dt.hour().unique().to_list()
    is_whole = bool((present.dt.truncate("1h") == present).all())
    return int(hours[0]) if len(hours) == 1 and hours[0] > NOON and is_whole and present.n_unique() > 1 else None


def is_dated_column(column: pl.Series) -> bool:
    """Whether its type says a day of each value; a time of the day, or a length of time, says none."""
    return isinstance(column.dtype, (pl.Date, pl.Datetime))


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


def _check_offsets(reading: PeriodReading, own: PeriodReading, frequency: Frequency, name: str) -> None:
    """Raise ColumnError where the hour counts, and offsets from UTC are stated that training had not, or the other way round."""
    if reading.zoned is not None and reading.zoned != own.zoned and frequency.is_shorter_than(DAY):
        with_or_without = ("with", "without") if reading.zoned else ("without", "with")
        raise ColumnError(
            f"{name}: the model was trained on times {with_or_without[0]} an offset from UTC, these are {with_or_without[1]} "
            f"one, and which {frequency.noun} they are depends on it; write them as in training."
        )


def _normalize_text(raw: pl.Series) -> pl.Series:
    """The times as text without blanks around it, null where there is none; whole numbers without decimals, months in English,
    and without the X that R sets before a column name of digits."""
    if raw.dtype.is_float() and bool((raw.drop_nulls() % 1 == 0).all()):
        raw = raw.cast(pl.Int64)
    text = strip_ends(raw.cast(pl.String)).str.replace(r"^X(\d)", "$1")
    text = write_times_in_english(text).str.replace(r"^(\d{1,2})\. (\pL)", "$1 $2")
    return text.set(text == "", None)


def _list_known(reading: PeriodReading) -> tuple[str, ...]:
    """The notation of the training, with any clock, and those with the year first; none where the training had none."""
    known = [] if reading.notation is None or reading.notation not in NOTATIONS else [*list_clocks(reading.notation)]
    return (*known, *ISO_NOTATIONS) if known else ()


def _list_unexpected(frequency: Frequency) -> set[str]:
    """The notations by numbers that another frequency has: 2019-03 is a third week only where weeks are expected."""
    return {name for name, expected in NUMBERED_NOTATIONS.items() if (frequency.months, frequency.length) != expected}


def _list_candidates(text: pl.Series, reading: PeriodReading, frequency: Frequency) -> tuple[str, ...]:
    """The notations to choose from: that of the training, or times with the year first, which mean one moment; else all that fit.

    Raises ColumnError where the training had typed times, and several notations fit a later file.
    """
    known = _list_known(reading)
    if known:
        distinct = text.drop_nulls().unique()
        return next(((name,) for name in known if not NOTATIONS[name](distinct).null_count()), known[:1])
    unexpected = _list_unexpected(frequency)
    names = tuple(name for name in find_notations(text) if name not in unexpected) or (find_nearest_notation(text, unexpected),)
    rivals = [name for name in names if not NOTATIONS[name](text).equals(NOTATIONS[names[0]](text))]
    if reading.notation is not None and rivals:
        raise ColumnError(
            f"{text.name}: {text.drop_nulls()[0]!r} is {describe_notation(names[0])} or {describe_notation(rivals[0])}, and the "
            "times of the training had a type of their own; write them as 2024-03-01."
        )
    return names


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
