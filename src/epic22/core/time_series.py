"""Series by period, and what was known of them at an origin.

A period is a whole month, week, …, counted by its *ordinal*. An *origin* is the last period that is over at the cutoff: a value
of period t is not known before t has ended. A *line* is one series' values as some vintage of the data has them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from epic22.core.errors import ColumnError

Array = NDArray[Any]
EPOCH = datetime(1970, 1, 1)
MONDAY = datetime(1970, 1, 5)
MICROSECOND, DAY, WEEK = timedelta(microseconds=1), timedelta(days=1), timedelta(days=7)

MIN_FLAT_VALUES, FLAT_SHARE = 8, 1e-9
"""A series has never moved where as many values or more differ by less than this share of their size."""


@dataclass(frozen=True)
class Frequency:
    """How long a period is: `months` or `length`, one of them. `season` is the number of periods in a natural cycle.

    Weeks begin on `weekday` (Monday 0). `weekend`: whether Saturday and Sunday have periods of their own; without, a Friday lasts
    until Monday.
    """

    name: str
    noun: str
    season: int
    months: int = 0
    length: timedelta = timedelta(0)
    weekday: int = 0
    weekend: bool = True

    def ordinals(self, moments: pl.Series) -> Array:
        """The number of the period that each moment (naive UTC) lies in, (n,) int64.

        >>> MONTHLY.ordinals(pl.Series([datetime(1970, 1, 31), datetime(1971, 2, 1)])).tolist()
        [0, 13]
        """
        if self.months:
            month = (moments.dt.year().cast(pl.Int64) - 1970) * 12 + moments.dt.month().cast(pl.Int64) - 1
            return (month // self.months).to_numpy()
        since = moments.cast(pl.Datetime("us")).to_physical().to_numpy() - round(self._anchor / MICROSECOND)
        number = np.asarray(since // round(self.length / MICROSECOND))
        return number if self.weekend else number // 7 * 5 + np.minimum(number % 7, 4)

    @property
    def _anchor(self) -> timedelta:
        """From 1970 on to the beginning of period 0."""
        is_of_weeks = self.length == WEEK or not self.weekend
        return MONDAY - EPOCH + self.weekday * DAY if is_of_weeks else timedelta(0)

    def is_shorter_than(self, span: timedelta) -> bool:
        """Whether a period is; months are longer than any span."""
        return not self.months and self.length < span

    def start(self, ordinal: int) -> datetime:
        """The moment a period begins, which is when the one before is over.

        >>> MONTHLY.start(13)
        datetime.datetime(1971, 2, 1, 0, 0)
        """
        if self.months:
            month = int(ordinal) * self.months
            return datetime(1970 + month // 12, month % 12 + 1, 1)
        number = int(ordinal) if self.weekend else int(ordinal) // 5 * 7 + int(ordinal) % 5
        return EPOCH + self._anchor + number * self.length

    def starts(self, ordinals: Array) -> pl.Series:
        """`start` of many: a series of datetimes."""
        distinct, places = np.unique(ordinals, return_inverse=True)
        moments = pl.Series([self.start(int(o)) for o in distinct], dtype=pl.Datetime("us"))
        return moments[places]

    def label(self, ordinal: int) -> str:
        """The period as people write it.

        >>> MONTHLY.label(13), QUARTERLY.label(5)
        ('1971-02', '1971 Q2')
        """
        moment = self.start(ordinal)
        if self.months == 12:
            return f"{moment:%Y}"
        if self.months == 3:
            return f"{moment:%Y} Q{moment.month // 3 + 1}"
        if self.months:
            return f"{moment:%Y-%m}"
        return f"{moment:%Y-%m-%d}" if self.length >= DAY else f"{moment:%Y-%m-%d %H:%M}"

    def format_periods(self, n: float) -> str:
        """ "1 month", "12 months"."""
        return f"{n:g} {self.noun}" + ("" if n == 1 else "s")


HOURLY = Frequency("H", "hour", 24, length=timedelta(hours=1))
DAILY = Frequency("D", "day", 7, length=DAY)
BUSINESS_DAILY = Frequency("B", "business day", 5, length=DAY, weekend=False)
WEEKLY = Frequency("W", "week", 52, length=WEEK)
MONTHLY = Frequency("M", "month", 12, months=1)
QUARTERLY = Frequency("Q", "quarter", 4, months=3)
YEARLY = Frequency("Y", "year", 1, months=12)
FREQUENCIES: tuple[Frequency, ...] = (HOURLY, DAILY, BUSINESS_DAILY, WEEKLY, MONTHLY, QUARTERLY, YEARLY)
WEEKLY_FROM: tuple[Frequency, ...] = tuple(
    Frequency(f"W-{day}", "week", 52, length=WEEK, weekday=number)
    for number, day in enumerate(("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"))
)
"""Weeks by the weekday that they begin on, from Monday."""


def get_frequency(name: str) -> Frequency:
    """The frequency of that name. Raises ColumnError."""
    for frequency in (*FREQUENCIES, *WEEKLY_FROM):
        if frequency.name == name.upper():
            return frequency
    names = ", ".join(f"{f.name} ({f.noun})" for f in FREQUENCIES)
    raise ColumnError(f"--frequency {name}: not known; give one of {names}, or W-TUE and so on for weeks from that weekday.")


@dataclass(frozen=True)
class Histories:
    """n histories: row i knows the first `end[i]` values of line `line[i]`, and nothing after them.

    `lines` (k, T): values by period, a gap carried forward from the value before it, NaN before the first value; `observed`
    (k, T): which of them were really there. `first` is the ordinal of the lines' first period. `entity` (n,): the series' names.
    """

    lines: Array
    observed: Array
    line: Array
    end: Array
    entity: Array
    first: int
    frequency: Frequency

    @classmethod
    def of_lines(cls, lines: Array, entity: Array, first: int, frequency: Frequency) -> "Histories":
        """One history a line, each known to its end."""
        rows = np.arange(len(lines))
        return cls(forward_fill(lines), np.isfinite(lines), rows, np.full(len(lines), lines.shape[1]), entity, first, frequency)

    @classmethod
    def of_known_values(cls, values: Sequence[Sequence[float]], entity: Array, first: int, frequency: Frequency) -> "Histories":
        """One history for each list of what is known from the first period on, a gap as NaN; the lists may end apart.

        >>> Histories.of_known_values([[1.0, 2.0, 4.0], [3.0]], np.array(["a", "b"]), 0, MONTHLY).last.tolist()
        [4.0, 3.0]
        """
        end = np.array([len(own) for own in values], dtype=np.int64)
        lines = np.full((len(values), int(end.max(initial=0))), np.nan)
        for row, own in enumerate(values):
            lines[row, : len(own)] = own
        return replace(cls.of_lines(lines, entity, first, frequency), end=end)

    def build_known_values(self) -> Array:
        """What each row knows, (n, T), NaN in a gap and beyond the row's end."""
        values = np.where(self.observed, self.lines, np.nan)[self.line]
        return np.where(np.arange(values.shape[1])[None, :] < self.end[:, None], values, np.nan)

    def iterate_known_values(self) -> Iterator[Array]:
        """What each row knows from the first period to its end, a gap as NaN: the inverse of `of_known_values`."""
        return (values[:end] for values, end in zip(self.build_known_values(), self.end, strict=True))

    def __len__(self) -> int:
        return len(self.line)

    @property
    def origin(self) -> Array:
        """The ordinal of each history's last period, (n,)."""
        return self.first + self.end - 1

    @property
    def last(self) -> Array:
        """The latest known value, (n,)."""
        return self.lag(0)

    def take(self, rows: Array) -> "Histories":
        """The histories at these row numbers; the lines are shared, not copied."""
        return replace(self, line=self.line[rows], end=self.end[rows], entity=self.entity[rows])

    def compact(self) -> "Histories":
        """The same rows with what they know and nothing else, each row a line of its own, in the order of the rows.

        A value that was published before its period was over lies beyond the end, and is left out.
        """
        values = self.build_known_values()[:, : int(self.end.max(initial=0))]
        return replace(self, lines=forward_fill(values), observed=np.isfinite(values), line=np.arange(len(self)))

    def lag(self, steps: int) -> Array:
        """The value `steps` periods before the origin, (n,); NaN before the line's beginning."""
        place = self.end - 1 - steps
        return np.where(place >= 0, self.lines[self.line, np.maximum(place, 0)], np.nan)

    def window(self, steps: int) -> Array:
        """The last `steps` values, oldest first, (n, steps); NaN before the line's beginning."""
        place = self.end[:, None] - steps + np.arange(steps)[None, :]
        return np.where(place >= 0, self.lines[self.line[:, None], np.maximum(place, 0)], np.nan)

    def count_known_values(self) -> Array:
        """How many values each row knows, gaps not counted, (n,)."""
        counts = np.cumsum(self.observed, axis=1)
        return np.where(self.end > 0, counts[self.line, np.maximum(self.end - 1, 0)], 0)

    def periods_since_last_value(self) -> Array:
        """How many periods before the origin the latest value is, (n,); 0 where the origin itself has one."""
        place = np.where(self.observed, np.arange(self.observed.shape[1])[None, :], -1)
        latest = np.maximum.accumulate(place, axis=1)[self.line, np.maximum(self.end - 1, 0)]
        return np.asarray(self.end - 1 - latest)

    def is_lively(self) -> Array:
        """Which rows can tell by how much forecasts miss, (n,): not those that have never moved, unless no row ever has.

        >>> Histories.of_lines(np.array([[2.0] * 8, [2.0] * 7 + [3.0]]), np.array(["a", "b"]), 0, MONTHLY).is_lively().tolist()
        [False, True]
        """
        low, high = np.fmin.accumulate(self.lines, axis=1), np.fmax.accumulate(self.lines, axis=1)
        still = high - low <= FLAT_SHARE * np.maximum(np.abs(low), np.abs(high))
        lively = ~still[self.line, np.maximum(self.end - 1, 0)] | (self.count_known_values() < MIN_FLAT_VALUES)
        return np.asarray(lively if lively.any() else ~lively)

    def is_complete(self, steps: int) -> Array:
        """Which rows have all of their last `steps` values without a gap, (n,)."""
        place = self.end[:, None] - steps + np.arange(steps)[None, :]
        return np.asarray(((place >= 0) & self.observed[self.line[:, None], np.maximum(place, 0)]).all(axis=1))

    def get_series(self, row: int) -> Array:
        """The row's known values from its first one on, (t,); empty where there is none."""
        values = self.lines[self.line[row], : self.end[row]]
        present = np.flatnonzero(np.isfinite(values))
        return values[present[0] :] if len(present) else values[:0]

    def first_periods(self) -> Array:
        """The ordinal of each row's first value, (n,)."""
        return np.asarray(self.first + np.argmax(np.isfinite(self.lines), axis=1)[self.line])

    def iterate_series(self) -> Iterator[Array]:
        """The known values of each row."""
        return (self.get_series(row) for row in range(len(self)))

    def shift_back(self, steps: Array) -> "Histories":
        """The same rows as they were `steps` (n,) periods before, of the same vintage."""
        return replace(self, end=self.end - steps)

    def build_training_windows(self, n_origins: int, horizon: int, min_length: int) -> tuple["Histories", Array]:
        """Histories to learn from: each row at its last `n_origins` earlier origins, and what came after them.

        Gives (m rows, targets (m, horizon)), targets NaN where not known at the row's own origin or where there was a gap.
        Earlier histories shorter than `min_length` values are left out.
        """
        rows = np.repeat(np.arange(len(self)), n_origins)
        back = np.tile(np.arange(1, n_origins + 1), len(self))
        starts = self.first_periods()[rows] - self.first
        keep = self.end[rows] - back - starts >= min_length
        rows, back = rows[keep], back[keep]
        past = self.take(rows).shift_back(back)
        place = past.end[:, None] + np.arange(horizon)[None, :]
        inside = place < self.end[rows][:, None]
        place = np.minimum(place, self.lines.shape[1] - 1)
        line = past.line[:, None]
        targets = np.where(inside & self.observed[line, place], self.lines[line, place], np.nan)
        return past, targets


def forward_fill(lines: Array) -> Array:
    """Each row's gaps filled with the value before them, (k, T); what precedes the first value stays NaN.

    >>> forward_fill(np.array([[np.nan, 1.0, np.nan, 3.0]])).tolist()
    [[nan, 1.0, 1.0, 3.0]]
    """
    place = np.where(np.isfinite(lines), np.arange(lines.shape[1])[None, :], 0)
    latest = np.maximum.accumulate(place, axis=1)
    return np.take_along_axis(lines, latest, axis=1)
