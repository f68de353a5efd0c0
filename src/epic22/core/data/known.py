"""What was known at each row's own cutoff: the `Known` of the task contract over real tables."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.data.summaries import SUMMARY, days_since, figures, summable, summary
from epic22.core.data.table import SUPERSEDED, Table
from epic22.core.data.view import View
from epic22.core.data.vintages import known_histories
from epic22.core.data.windows import answerable, members, states, windows
from epic22.core.history import Frequency, Histories

DAY = timedelta(days=1)
MICROSECONDS = DAY / timedelta(microseconds=1)


@dataclass(frozen=True)
class KnownThen(View):
    """The view of each row of `at` [entity, cutoff]: versions known at that row's cutoff, masked by their `known_when`."""

    def take(self, rows: pl.Series) -> "KnownThen":
        """The view of these rows of `at` alone."""
        return replace(self, at=self.at[rows.to_numpy()])

    def _current(self, source: Table) -> pl.DataFrame:
        """The latest known version of every id of the row's entity, masked, with `row`."""
        by = self._by(source)
        joined = self._rows.join(source.versions.with_columns(pl.col(by).alias("entity")), on="entity", how="inner")
        return source.current(joined).filter(pl.col(by).is_not_null())

    def latest(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the entity's latest row version known then; nulls where there is none: n rows."""
        source = self._table(table)
        by = self._by(source)
        if source.hidden_by(by) is not None:
            return self._latest_of_all(source)
        versions = source.versions.with_columns(pl.col(by).alias("entity")).filter(
            pl.col(by).is_not_null(), pl.col(source.known_at).is_not_null()
        )
        found = (
            self._rows.sort("cutoff", maintain_order=True)
            .join_asof(
                versions.sort(source.order, maintain_order=True),
                left_on="cutoff",
                right_on=source.known_at,
                by="entity",
                check_sortedness=False,
                coalesce=False,
            )
            .sort("row")
        )
        # The last version that named the entity may have a successor that names another.
        moved = found.select((pl.col(SUPERSEDED) <= pl.col("cutoff")).fill_null(False)).to_series()
        found = source.masked(found.drop("row", SUPERSEDED))
        if not moved.any():
            return found
        again = replace(self, at=self.at.filter(moved))._latest_of_all(source).select(found.columns)
        every = pl.Series(range(self.at.height), dtype=pl.UInt32)
        order = pl.concat([every.filter(~moved), every.filter(moved)]).arg_sort()
        return pl.concat([found.filter(~moved), again])[order]

    def _latest_of_all(self, source: Table) -> pl.DataFrame:
        """`latest` by way of every version known of the entity."""
        ordered = self._current(source).sort("row", *source.order, maintain_order=True)
        newest = ordered.unique("row", keep="last", maintain_order=True).drop("cutoff").drop("entity", strict=False)
        return self._rows.join(newest, on="row", how="left", maintain_order="left").drop("row")

    def window(self, table: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Each id's latest known version with event time in (cutoff - span, cutoff], with `row`, the index into `at`.

        Without a span, all up to the cutoff. `where` sees the values as they were known at the row's cutoff; ColumnError
        where it looks at other rows.
        """
        source = self._table(table)
        answerable(source, where)
        found = windows(states(source, self._by(source), None, None), self.at, span)
        row, place = members(found, np.arange(self.at.height))
        # The columns that say who asked keep their names; the table's own of these names step aside, as in a join.
        own = source.frame.drop("entity", strict=False)[found.states.place[place]]
        aside = own.rename({"row": "row_right", "cutoff": "cutoff_right"}, strict=False)
        shown = source.masked(pl.concat([self._rows[row], aside], how="horizontal"))
        return shown if where is None else shown.filter(where)

    def linked(self, rows: pl.DataFrame, table: str, on: str) -> pl.DataFrame:
        """The table's rows whose column `on` equals, for `rows` [row, on], as known at the row's cutoff: latest versions, masked.

        Gives `row`, `cutoff` and the table's columns; pairs without a match, and null ids, give nothing. The event time is not
        filtered.
        """
        source = self._table(table)
        source.column_named(on)
        pairs = rows.select(pl.col("row").cast(pl.UInt32), on).unique(maintain_order=True)
        asked = pairs.join(self._rows.select("row", "cutoff"), on="row", how="inner", maintain_order="left")
        found = source.current(asked.join(source.versions, on=on, how="inner", maintain_order="left_right"))
        return found.filter(pl.col(on).is_not_null()).select("row", "cutoff", *source.frame.columns)

    def _by_row(self, values: pl.DataFrame) -> pl.DataFrame:
        return self._rows.select("row").join(values, on="row", how="left", maintain_order="left").drop("row")

    def count(self, table: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, how many rows the window holds: n integers."""
        source = self._table(table)
        if answerable(source, where):
            return pl.Series("count", windows(states(source, self._by(source), None, where), self.at, span).counts, pl.Int64)
        counted = self.window(table, span, where).group_by("row").len("count")
        return self._by_row(counted)["count"].fill_null(0).cast(pl.Int64)

    def rate(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, the window's rows per day: n floats."""
        return (self.count(table, span, where) / (span / DAY)).alias("rate")

    def summary(self, table: str, column: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Per row of `at`, figures of the column over the window's rows that have a value: n rows, nulls where there are none.

        `count` (never null), `total`, `mean`, `sd` (of the values as the population: 0 for one), `slope` (least squares, unit
        per day of event time; null where fewer than 2 distinct times), `last`, `days_since_last` (from its event to the cutoff).
        """
        source = self._table(table)
        source.column_named(column)
        if answerable(source, where):
            found = windows(states(source, self._by(source), column, where), self.at, span)
            if found.states.value is not None and summable(found.states.value):
                return summary(found)
        x = pl.col(column).cast(pl.Float64)
        valued = self.window(table, span, where).filter(pl.col(column).is_not_null())
        t = (pl.col(source.event_at) - pl.col("cutoff")).dt.total_microseconds() / MICROSECONDS
        found_figures = valued.select("row", x=x, t=t).group_by("row", maintain_order=True).agg(figures())
        return self._by_row(found_figures).with_columns(pl.col("count").fill_null(0)).select(SUMMARY)

    def days_since(self, table: str, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, days from the latest known event up to the cutoff: n floats, null where there is none."""
        source = self._table(table)
        if answerable(source, where):
            return days_since(windows(states(source, self._by(source), None, where), self.at, None))
        event = source.event_at
        latest = self.window(table, None, where).group_by("row").agg(pl.col(event).max(), pl.col("cutoff").first())
        days = (pl.col("cutoff") - pl.col(event)).dt.total_microseconds() / MICROSECONDS
        return self._by_row(latest.select("row", days.alias("days_since")))["days_since"]

    def lag(self, table: str, column: str, steps: int) -> pl.Series:
        """Per row of `at`, the value `steps` versions before the latest known one; null before the first: n values."""
        source = self._table(table)
        by = self._by(source)
        versions = source.frame.with_columns(pl.col(by).alias("entity"))
        joined = self._rows.join(versions, on="entity", how="inner").filter(pl.col(source.known_at) <= pl.col("cutoff"))
        ordered = source.masked(joined).sort("row", *source.order, maintain_order=True)
        lagged = ordered.group_by("row", maintain_order=True).agg(pl.col(source.column_named(column)).shift(steps).last())
        return self._by_row(lagged)[column]

    def history(self, table: str, column: str, frequency: Frequency) -> Histories:
        """Per row of `at`, the column's values by period, over and known at the cutoff: n histories."""
        source = self._table(table)
        return known_histories(source.values(source.column_named(column), self._by(source)), self.at, frequency)
