"""The past of a table in windows of time like the one since the parent version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from epic22.core.quality.window_samples import read_samples
from epic22.core.quality.windows import MIN_WINDOWS, Window, find_first_moment, list_windows
from epic22.core.tables.canonical import CanonicalTable


@dataclass(frozen=True)
class TableHistory:
    """The rows of a table by when their key became known first, in windows like that since the parent.

    `known_at` are the moments of all rows, in order.
    """

    table: CanonicalTable
    rows: pl.LazyFrame
    known_at: pl.Series
    begin: datetime
    end: datetime

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The window since the parent and those before it, as far back as the table was kept row by row."""
        since = find_first_moment(self.known_at, self.begin)
        return () if since is None else list_windows(self.begin, self.end, since)

    @cached_property
    def samples(self) -> tuple[pl.DataFrame, ...]:
        """The rows of each window, as `read_samples` gives them."""
        return read_samples(self.table, self.rows, self.windows)

    @property
    def is_testable(self) -> bool:
        """Whether enough windows lie before to know how the table moves by itself."""
        return len(self.windows) > MIN_WINDOWS

    @cached_property
    def year_before(self) -> tuple[int, ...]:
        """The places of the windows of about a year before; none where they are not all there."""
        places = tuple(place for place, window in enumerate(self.windows) if window.is_year_before)
        return places if len(places) == 3 else ()


def count_rows(samples: Sequence[pl.DataFrame]) -> tuple[int, ...]:
    """The rows of each window."""
    return tuple(sample.height for sample in samples)
