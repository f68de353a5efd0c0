"""Where a table's history begins: at its first date, unless that lies far before all others, as a mistyped year does."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

MAX_GAP = timedelta(days=366)
MIN_MOMENTS, OUTLIER_SHARE = 20, 0.01
"""Of at least so many different moments no more than this share, and one in any case, can be outliers."""


@dataclass(frozen=True)
class HistoryStart:
    """The `first` moment from which the rows tell of what happened; `n_before` rows, the earliest of `earliest`, lie more than a
    year before it and tell of nothing between."""

    first: datetime
    n_before: int = 0
    earliest: datetime | None = None

    def describe(self, column: str) -> tuple[str, ...]:
        """What is said of the rows before it, where there are any."""
        if self.earliest is None:
            return ()
        rows = "1 row is" if self.n_before == 1 else f"{self.n_before:,} rows are"
        return (
            f"{column}: {rows} of {self.earliest:%Y-%m-%d}{'' if self.n_before == 1 else ' and after'}, more than a year before "
            f"all others, so the history begins with {self.first:%Y-%m-%d}; where the date is wrong, mend it",
        )


def find_history_start(moments: pl.Series) -> HistoryStart | None:
    """Where the history begins that these moments are of; None where there is none.

    >>> days = pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 3, 1), "1d", eager=True)
    >>> find_history_start(pl.concat([days, pl.Series([datetime(1924, 1, 5)])])).first
    datetime.datetime(2024, 1, 1, 0, 0)
    >>> find_history_start(pl.datetime_range(datetime(2000, 1, 1), datetime(2024, 1, 1), "1y", eager=True)).n_before
    0
    """
    distinct = moments.drop_nulls().unique()
    if distinct.is_empty():
        return None
    n_outliers = 0 if len(distinct) < MIN_MOMENTS else max(1, int(OUTLIER_SHARE * len(distinct)))
    early = distinct.bottom_k(n_outliers + 1).sort()
    gaps = (early.diff() > MAX_GAP).fill_null(value=False).arg_true()
    first = early[int(gaps[-1])] if len(gaps) else early[0]
    if not len(gaps):
        return HistoryStart(first)
    return HistoryStart(first, int((moments < first).sum()), early[0])
