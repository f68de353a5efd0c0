"""The tables of one data version, and the two views of them: what was known at a cutoff, and what came later.

A version's key is (key, known_at). `as_of` hands out, per row, the latest version known at that row's own cutoff; a column
whose `known_when` time lies after the cutoff is null in it. The views never hand out a raw table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from epic22.core.data.known import DAY, KnownThen
from epic22.core.data.later import HappenedLater
from epic22.core.data.table import TIMELESS, Table
from epic22.core.errors import ColumnError

__all__ = ["TIMELESS", "HappenedLater", "KnownThen", "Table", "Tables"]


@dataclass(frozen=True)
class Tables:
    """The tables of one data version. `end` is the moment up to which they are complete (UTC)."""

    tables: Mapping[str, Table]
    end: datetime

    def as_of(self, at: pl.DataFrame) -> KnownThen:
        """The view known at each row of `at` [entity, cutoff]."""
        return KnownThen(at.select("entity", "cutoff"), self.tables)

    def until(self, cutoff: datetime, entities: pl.Series) -> KnownThen:
        """The view known at one cutoff for all these entities."""
        return self.as_of(pl.DataFrame({"entity": entities}).with_columns(pl.lit(cutoff).alias("cutoff")))

    def censored(self, at: pl.DataFrame, horizon: timedelta) -> pl.Series:
        """Per row of `at`, whether cutoff + horizon passes the end, so that its label is not complete: n booleans."""
        return at.select((pl.col("cutoff") + horizon > self.end).alias("censored")).to_series()

    def labelled(self, at: pl.DataFrame, horizon: timedelta) -> pl.DataFrame:
        """The rows of `at` whose horizon ends within the data."""
        return at.filter(~self.censored(at, horizon))

    def after(self, at: pl.DataFrame, horizon: timedelta) -> HappenedLater:
        """What happened within the horizon after each row of `at`; refuses cutoffs whose horizon passes the end.

        Raises ColumnError when a label would not be complete yet.
        """
        late = int(self.censored(at, horizon).sum())
        if late:
            raise ColumnError(
                f"{late} of {at.height} cutoffs lie less than {horizon / DAY:g} days before the end of the data "
                f"({self.end:%Y-%m-%d}): their labels are not complete; leave those cutoffs out."
            )
        return HappenedLater(at.select("entity", "cutoff"), self.tables, horizon, self.end)

    def followed(self, at: pl.DataFrame, horizon: timedelta) -> HappenedLater:
        """What happened after each row of `at` within the horizon, or up to the end of the data: labels of it are censored there.

        Raises ColumnError for cutoffs at or after the end, of which nothing was seen.
        """
        late = int((at["cutoff"] >= self.end).sum())
        if late:
            raise ColumnError(
                f"{late} of {at.height} cutoffs lie at or after the end of the data ({self.end:%Y-%m-%d}); leave them out."
            )
        return HappenedLater(at.select("entity", "cutoff"), self.tables, horizon, self.end)
