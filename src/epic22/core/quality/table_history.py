"""The past of a table in windows of time like the one since the parent version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from epic22.core.quality.table_pair import TablePair
from epic22.core.quality.window_samples import prepare_sample, read_samples
from epic22.core.quality.windows import MIN_WINDOWS, Window, find_first_moment, list_same_days, list_windows


@dataclass(frozen=True)
class TableHistory:
    """The rows of a table in windows like that since the parent: first those that came since then, then those of each window
    before, by when their key became known first.

    What came since the parent is taken whole: rows come days after the event that their `known_at` may be taken from, so those
    of the last days are not there yet, and those of the days before the parent come instead.
    """

    pair: TablePair

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The window since the parent and those before it, as far back as the table was kept row by row."""
        return () if self._since is None else list_windows(self.pair.begin, self.pair.end, self._since)

    @cached_property
    def same_days(self) -> tuple[Window, ...]:
        """The same days of the months before a window that is shorter than a month; these may overlap the others."""
        return () if self._since is None else list_same_days(self.pair.begin, self.pair.end, self._since)

    @cached_property
    def _since(self) -> datetime | None:
        return find_first_moment(self.pair.known_at, self.pair.begin)

    @cached_property
    def samples(self) -> tuple[pl.DataFrame, ...]:
        """The rows of each window, those of the same days last."""
        table, windows = self.pair.table, self.windows
        newest = prepare_sample(table, self.pair.new_rows, windows[0])
        return (newest, *read_samples(table, self.pair.now, (*windows[1:], *self.same_days)))

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
