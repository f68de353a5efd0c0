"""Windows of time like the one since the parent version: what became known in each, as it was known at its end.

Like is compared with like: a window of a month or more with those of the months before it, a shorter one with windows on the
same days of the week. Those of about a year before are among them where the table reaches so far back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import polars as pl

from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable

MAX_WINDOWS = 12
MIN_WINDOWS = 6
"""Windows before, to know how much a table moves by itself; with fewer its tests are not made."""

MONTH_DAYS, DAYS_OF_WEEK, WEEKS_OF_YEAR = 30.44, 7, 52


@dataclass(frozen=True)
class Window:
    """Moments after `begin` until `end`. `is_year_before`: it lies about a year before the newest, a window more or less."""

    begin: datetime
    end: datetime
    is_year_before: bool = False


def list_windows(begin: datetime, end: datetime, since: datetime) -> tuple[Window, ...]:
    """The window itself and those like it before, the newest first; none begins before `since`.

    >>> [f"{w.begin:%m-%d}" for w in list_windows(datetime(2024, 3, 1), datetime(2024, 4, 1), datetime(2024, 1, 1))]
    ['03-01', '02-01', '01-01']
    """
    if end <= begin:
        return ()
    days = (end - begin) / timedelta(days=1)
    is_monthly = days >= 28
    unit = "mo" if is_monthly else "w"
    size = max(1, round(days / MONTH_DAYS)) if is_monthly else -(-max(days, 1) // DAYS_OF_WEEK)
    a_year = 12 / size if is_monthly else WEEKS_OF_YEAR / size
    around_a_year = [int(a_year) + near for near in (-1, 0, 1)] if a_year == int(a_year) else []
    steps = sorted({*range(MAX_WINDOWS + 1), *around_a_year})
    offsets = pl.DataFrame({"back": steps}).with_columns(by=pl.format("-{}" + unit, pl.col("back") * int(size)))
    moved = offsets.select("back", *(_move(moment).alias(name) for name, moment in (("begin", begin), ("end", end))))
    windows: list[Window] = []
    for back, lower, upper in moved.rows():
        # Months differ in length: a window ends no later than the next begins.
        upper = min(upper, windows[-1].begin) if windows else upper
        if lower >= since and lower < upper:
            windows.append(Window(lower, upper, back in around_a_year))
    return tuple(windows)


def _move(moment: datetime) -> pl.Expr:
    return pl.lit(moment, dtype=pl.Datetime("us")).dt.offset_by(pl.col("by"))


@dataclass(frozen=True)
class TableHistory:
    """The rows of a table by when their key became known first, in windows like that since the parent."""

    table: CanonicalTable
    frame: pl.DataFrame
    begin: datetime
    end: datetime

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The window since the parent and those before it, as far back as the table was kept row by row."""
        since = self._first_moment
        return () if since is None else list_windows(self.begin, self.end, since)

    @cached_property
    def samples(self) -> tuple[pl.DataFrame, ...]:
        """The rows of each window: the last version known at its end of each key first known in it, later columns masked."""
        return tuple(self._select_rows(window) for window in self.windows)

    @property
    def is_testable(self) -> bool:
        """Whether enough windows lie before to know how the table moves by itself."""
        return len(self.windows) > MIN_WINDOWS

    @cached_property
    def year_before(self) -> tuple[int, ...]:
        """The places of the windows of about a year before; none where they are not all there."""
        places = tuple(place for place, window in enumerate(self.windows) if window.is_year_before)
        return places if len(places) == 3 else ()

    @cached_property
    def _dated(self) -> pl.DataFrame:
        keys = list(self.table.key)
        if self.frame.select(keys).is_duplicated().any():
            return self.frame.with_columns(first_known=pl.col(KNOWN_AT).min().over(keys))
        return self.frame.with_columns(first_known=pl.col(KNOWN_AT))

    @cached_property
    def _first_moment(self) -> datetime | None:
        """From when on rows came one by one: after a load of most of them at once, that moment."""
        first = self.frame[KNOWN_AT].min()
        if not isinstance(first, datetime):
            return None
        loads = self.frame[KNOWN_AT].value_counts().filter(pl.col("count") > LOAD_SHARE * self.frame.height)
        loads = loads.filter((pl.col("count") >= MIN_LOAD_ROWS) & (pl.col(KNOWN_AT) <= self.begin))
        last_load = loads[KNOWN_AT].max()
        return max(first, last_load) if isinstance(last_load, datetime) else first

    def _select_rows(self, window: Window) -> pl.DataFrame:
        keys = list(self.table.key)
        inside = pl.col("first_known").is_between(window.begin, window.end, closed="right") & (pl.col(KNOWN_AT) <= window.end)
        rows = self._dated.filter(inside).sort(KNOWN_AT, maintain_order=True).unique(keys, keep="last", maintain_order=True)
        return mask_later_columns(rows.drop("first_known"), self.table, window.end)


LOAD_SHARE, MIN_LOAD_ROWS = 0.3, 20
"""Rows of one `known_at` that are taken for a load of history."""


def mask_later_columns(rows: pl.DataFrame, table: CanonicalTable, moment: datetime) -> pl.DataFrame:
    """The rows with what became known after the moment as null."""
    late = [c for c in table.columns if c.known_when in rows.columns and c.name in rows.columns]
    return rows.with_columns(pl.when(pl.col(c.known_when or "") <= moment).then(pl.col(c.name)).alias(c.name) for c in late)


def count_rows(samples: Sequence[pl.DataFrame]) -> tuple[int, ...]:
    """The rows of each window."""
    return tuple(sample.height for sample in samples)
