"""Windows of time like the one since the parent version: what became known in each, as it was known at its end.

Like is compared with like: a window of a month or more with those of the months before it, a shorter one with windows on the
same days of the week, and with the same days of the months before: rent falls due on the first, whatever day that is. Those of
about a year before are among them where the table reaches so far back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

MAX_WINDOWS = 12
MIN_WINDOWS = 6
"""Windows before, to know how much a table moves by itself; with fewer its tests are not made."""

LOAD_SHARE, MIN_LOAD_ROWS = 0.3, 20
"""Rows of one `known_at` that are taken for a load of history."""

SHORTEST_MONTH, MONTHS_BACK = 28, 3
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
    is_monthly = days >= SHORTEST_MONTH
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


def list_same_days(begin: datetime, end: datetime, since: datetime) -> tuple[Window, ...]:
    """The same days of the three months before a window that is shorter than a month; none where they are not all there.

    >>> [f"{w.begin:%m-%d}" for w in list_same_days(datetime(2024, 5, 4), datetime(2024, 5, 11), datetime(2024, 1, 1))]
    ['04-04', '03-04', '02-04']
    """
    if end <= begin or end - begin >= timedelta(days=SHORTEST_MONTH):
        return ()
    offsets = pl.DataFrame({"by": [f"-{back}mo" for back in range(1, MONTHS_BACK + 1)]})
    windows = [
        Window(lower, upper) for lower, upper in offsets.select(_move(begin).alias("begin"), _move(end).alias("end")).rows()
    ]
    return tuple(windows) if all(since <= window.begin < window.end for window in windows) else ()


def _move(moment: datetime) -> pl.Expr:
    return pl.lit(moment, dtype=pl.Datetime("us")).dt.offset_by(pl.col("by"))


def find_first_moment(known_at: pl.Series, begin: datetime) -> datetime | None:
    """From when on rows came one by one, of moments in order: after a load of most of them at once until `begin`, that moment."""
    moments = known_at.drop_nulls()
    if moments.is_empty():
        return None
    # Rows of one moment that are more than a quarter of all stand at one of the quarters.
    quarters = {moments[place * (moments.len() - 1) // 4] for place in range(5)}
    counts = {moment: int((moments == moment).sum()) for moment in quarters}
    least = max(LOAD_SHARE * known_at.len(), MIN_LOAD_ROWS - 1)
    loads: list[datetime] = [moment for moment, count in counts.items() if count > least and moment <= begin]
    first: datetime = moments[0]
    return max([first, *loads])
