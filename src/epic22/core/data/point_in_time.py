"""The tables of one data version, and the two views of them: what was known at a cutoff, and what came later.

A version's key is (key, known_at). `as_of` hands out, per row, the latest version known at that row's own cutoff; a column
whose `known_when` time lies after the cutoff is null in it. The views never hand out a raw table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from epic22.core.data.as_of import DAY, TablesAsOf
from epic22.core.data.future import TablesAfter
from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import build_canonical_tables
from epic22.core.tables.table import TIMELESS, Table

__all__ = ["TIMELESS", "Table", "Tables", "TablesAfter", "TablesAsOf", "build_tables"]


@dataclass(frozen=True)
class Tables:
    """The tables of one data version. `end` is the moment up to which they are complete (UTC)."""

    tables: Mapping[str, Table]
    end: datetime

    def as_of(self, at: pl.DataFrame) -> TablesAsOf:
        """The view known at each row of `at` [entity, cutoff]."""
        return TablesAsOf(at.select("entity", "cutoff"), self.tables)

    def as_of_cutoff(self, cutoff: datetime, entities: pl.Series) -> TablesAsOf:
        """The view known at one cutoff for all these entities."""
        return self.as_of(pl.DataFrame({"entity": entities}).with_columns(pl.lit(cutoff).alias("cutoff")))

    def is_censored(self, at: pl.DataFrame, horizon: timedelta) -> pl.Series:
        """Per row of `at`, whether cutoff + horizon passes the end, so that its label is not complete: n booleans."""
        return at.select((pl.col("cutoff") + horizon > self.end).alias("censored")).to_series()

    def drop_censored(self, at: pl.DataFrame, horizon: timedelta) -> pl.DataFrame:
        """The rows of `at` whose horizon ends within the data."""
        return at.filter(~self.is_censored(at, horizon))

    def after(self, at: pl.DataFrame, horizon: timedelta) -> TablesAfter:
        """What happened within the horizon after each row of `at`; refuses cutoffs whose horizon passes the end.

        Raises ColumnError when a label would not be complete yet.
        """
        late = int(self.is_censored(at, horizon).sum())
        if late:
            raise ColumnError(
                f"{late} of {at.height} cutoffs lie less than {horizon / DAY:g} days before the end of the data "
                f"({self.end:%Y-%m-%d}): their labels are not complete; leave those cutoffs out."
            )
        return TablesAfter(at.select("entity", "cutoff"), self.tables, horizon, self.end)

    def follow_up(self, at: pl.DataFrame, horizon: timedelta) -> TablesAfter:
        """What happened after each row of `at` within the horizon, or up to the end of the data: labels of it are censored there.

        Raises ColumnError for cutoffs at or after the end, of which nothing was seen.
        """
        late = int((at["cutoff"] >= self.end).sum())
        if late:
            raise ColumnError(
                f"{late} of {at.height} cutoffs lie at or after the end of the data ({self.end:%Y-%m-%d}); leave them out."
            )
        return TablesAfter(at.select("entity", "cutoff"), self.tables, horizon, self.end)


def build_tables(frames: Mapping[str, pl.DataFrame], end: datetime) -> Tables:
    """The tables of a portfolio, complete up to `end` (UTC), for tasks to look at.

    Raises ColumnError for a frame that lacks a declared column.
    """
    return Tables(build_canonical_tables(frames), end)
