"""The tables of one data version, and the two views of them: what was known at a cutoff, and what came later.

A version's key is (key, known_at). `as_of` hands out, per row, the latest version known at that row's own cutoff; a column
whose `known_when` time lies after the cutoff is null in it. The views never hand out a raw table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from epic22.core.data.as_of import DAY, CutoffView, TablesAsOf
from epic22.core.data.revisions import extract_future_values
from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import build_canonical_tables
from epic22.core.tables.table import TIMELESS, Table
from epic22.core.time_series import Array, Frequency

__all__ = ["TIMELESS", "Table", "Tables", "TablesAfter", "TablesAsOf", "build_tables"]


@dataclass(frozen=True)
class TablesAfter(CutoffView):
    """For labels alone: what happened in (cutoff, cutoff + horizon], of the final versions of rows known at the tables' end."""

    horizon: timedelta
    end: datetime

    def window(self, table: str, event: str | None = None, before: timedelta = timedelta(0)) -> pl.DataFrame:
        """Each id's final version with its time, or that of `event`, in (cutoff - before, cutoff + horizon], with `row`."""
        source = self._table(table)
        named = source.require_column(event or source.event_at)
        final = source.select_final(self.end).with_columns(pl.col(self._by(source)).alias("entity"))
        joined = self._rows.join(final, on="entity", how="inner")
        time, cutoff = pl.col(named), pl.col("cutoff")
        inside = joined.filter((time > cutoff - before) & (time <= cutoff + self.horizon))
        return inside.sort("row", named, *source.keys, maintain_order=True)

    def join(self, rows: pl.DataFrame, table: str, on: str) -> pl.DataFrame:
        """The table's rows, by final version, whose column `on` equals, for `rows` [row, on]; of any event time."""
        source = self._table(table)
        source.require_column(on)
        pairs = rows.select(pl.col("row").cast(pl.UInt32), on).unique(maintain_order=True)
        matches = pairs.join(source.select_final(self.end), on=on, how="inner", maintain_order="left_right")
        return matches.select("row", *source.frame.columns)

    def values(self, table: str, column: str, frequency: Frequency, horizon: int) -> Array:
        """Per row of `at`, the values of the `horizon` periods after the cutoff, (n, horizon), among those known at the end."""
        source = self._table(table)
        values = source.values(source.require_column(column), self._by(source))
        return extract_future_values(values.filter(pl.col("known_at") <= self.end), self.at, frequency, horizon)

    def time_to_event(self, events: pl.DataFrame, time: str) -> pl.DataFrame:
        """Days to the first of these events [row, …, time] and 1, or the days a row was followed and 0: [duration, observed].

        A row is followed to the horizon, or to the end of the data where that comes first; an event after that is not seen.
        """
        first = events.group_by("row").agg(pl.col(time).min().alias("event")).with_columns(pl.col("row").cast(pl.UInt32))
        rows = self._rows.join(first, on="row", how="left", maintain_order="left")
        day = pl.lit(timedelta(days=1))
        follow_up = pl.min_horizontal(pl.lit(self.horizon), pl.lit(self.end) - pl.col("cutoff")) / day
        to_event = (pl.col("event") - pl.col("cutoff")) / day
        is_observed = pl.col("event").is_not_null() & (to_event <= follow_up)
        return rows.select(
            duration=pl.when(is_observed).then(to_event).otherwise(follow_up),
            observed=is_observed.fill_null(value=False).cast(pl.Float64),
        )

    def label_rows(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the row of a label table that was written for exactly this entity and cutoff: n rows."""
        source = self._table(table)
        labels = source.frame.with_columns(pl.col(self._by(source)).alias("entity"), pl.col(source.event_at).alias("cutoff"))
        return self.at.join(labels, on=["entity", "cutoff"], how="left", maintain_order="left")


@dataclass(frozen=True)
class Tables:
    """The tables of one data version. `end` is the moment up to which they are complete (UTC)."""

    tables: Mapping[str, Table]
    end: datetime

    def as_of(self, at: pl.DataFrame) -> TablesAsOf:
        """The view known at each row of `at` [entity, cutoff]."""
        return TablesAsOf(at.select("entity", "cutoff"), self.tables)

    def is_censored(self, at: pl.DataFrame, horizon: timedelta) -> pl.Series:
        """Per row of `at`, whether cutoff + horizon passes the end, so that its label is not complete: n booleans."""
        return at.select((pl.col("cutoff") + horizon > self.end).alias("censored")).to_series()

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

    def after_censored(self, at: pl.DataFrame, horizon: timedelta) -> TablesAfter:
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
