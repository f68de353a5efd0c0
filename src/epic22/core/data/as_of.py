"""What was known at each row's own cutoff: the `AsOfView` of the task contract over real tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

import numpy as np
import polars as pl

from epic22.core.data.revisions import build_histories
from epic22.core.data.window_summaries import SUMMARY, build_summary_expressions, compute_days_since, compute_summary, is_summable
from epic22.core.data.windows import find_members, find_windows, get_states, uses_own_columns_only
from epic22.core.tables.table import SUPERSEDED, Table, get_table
from epic22.core.time_series import Frequency, Histories

DAY = timedelta(days=1)
MICROSECONDS = DAY / timedelta(microseconds=1)


@dataclass(frozen=True)
class CutoffView:
    """The rows of `at` [entity, cutoff], each matched with the rows of tables.

    `by` names the column of every table that is matched with the entity; without it each table's own entity column.
    """

    at: pl.DataFrame
    tables: Mapping[str, Table]
    by: str | None = field(default=None, kw_only=True)

    def with_entities(self, ids: pl.Series, by: str) -> Self:
        """The same rows and cutoffs asked about `ids` (n values, null = no row matches), every table matched by column `by`."""
        named = ids.cast(pl.String) if ids.dtype == pl.Null else ids
        return replace(self, at=self.at.with_columns(named.alias("entity")), by=by)

    def _table(self, name: str) -> Table:
        return get_table(self.tables, name)

    def _by(self, source: Table) -> str:
        return source.require_column(self.by or source.entity)

    @property
    def _rows(self) -> pl.DataFrame:
        return self.at.with_row_index("row")


@dataclass(frozen=True)
class TablesAsOf(CutoffView):
    """The view of each row of `at` [entity, cutoff]: versions known at that row's cutoff, masked by their `known_when`."""

    def take(self, rows: pl.Series) -> "TablesAsOf":
        """The view of these rows of `at` alone."""
        return replace(self, at=self.at[rows.to_numpy()])

    def latest(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the entity's latest row version known then; nulls where there is none: n rows."""
        source = self._table(table)
        by = self._by(source)
        if source.get_visibility_column(by) is not None:
            return self._latest_from_all_versions(source)
        versions = source.versions.with_columns(pl.col(by).alias("entity")).filter(
            pl.col(by).is_not_null(), pl.col(source.known_at).is_not_null()
        )
        rows = (
            self._rows.sort("cutoff", maintain_order=True)
            .join_asof(
                versions.sort(source.sort_columns, maintain_order=True),
                left_on="cutoff",
                right_on=source.known_at,
                by="entity",
                check_sortedness=False,
                coalesce=False,
            )
            .sort("row")
        )
        # The last version that named the entity may have a successor that names another.
        is_moved = rows.select((pl.col(SUPERSEDED) <= pl.col("cutoff")).fill_null(False)).to_series()
        rows = source.mask_unknown(rows.drop("row", SUPERSEDED))
        if not is_moved.any():
            return rows
        moved_rows = replace(self, at=self.at.filter(is_moved))._latest_from_all_versions(source).select(rows.columns)
        positions = pl.Series(range(self.at.height), dtype=pl.UInt32)
        order = pl.concat([positions.filter(~is_moved), positions.filter(is_moved)]).arg_sort()
        return pl.concat([rows.filter(~is_moved), moved_rows])[order]

    def _latest_from_all_versions(self, source: Table) -> pl.DataFrame:
        """`latest` by way of every version known of the entity."""
        by = self._by(source)
        joined = self._rows.join(source.versions.with_columns(pl.col(by).alias("entity")), on="entity", how="inner")
        current = source.select_current(joined).filter(pl.col(by).is_not_null())
        ordered = current.sort("row", *source.sort_columns, maintain_order=True)
        newest = ordered.unique("row", keep="last", maintain_order=True).drop("cutoff").drop("entity", strict=False)
        return self._rows.join(newest, on="row", how="left", maintain_order="left").drop("row")

    def window(self, table: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Each id's latest known version with event time in (cutoff - span, cutoff], or all up to the cutoff, with `row`.

        Raises ColumnError where `where` looks at other rows.
        """
        source = self._table(table)
        uses_own_columns_only(source, where)
        cutoff_windows = find_windows(get_states(source, self._by(source), None, None), self.at, span)
        row, place = find_members(cutoff_windows, np.arange(self.at.height))
        # The columns that say who asked keep their names; the table's own of these names step aside, as in a join.
        own = source.frame.drop("entity", strict=False)[cutoff_windows.states.place[place]]
        renamed = own.rename({"row": "row_right", "cutoff": "cutoff_right"}, strict=False)
        visible = source.mask_unknown(pl.concat([self._rows[row], renamed], how="horizontal"))
        return visible if where is None else visible.filter(where)

    def join(self, rows: pl.DataFrame, table: str, on: str) -> pl.DataFrame:
        """The table's rows whose column `on` equals, for `rows` [row, on], as known at the row's cutoff, masked."""
        source = self._table(table)
        source.require_column(on)
        pairs = rows.select(pl.col("row").cast(pl.UInt32), on).unique(maintain_order=True)
        requests = pairs.join(self._rows.select("row", "cutoff"), on="row", how="inner", maintain_order="left")
        matches = source.select_current(requests.join(source.versions, on=on, how="inner", maintain_order="left_right"))
        return matches.filter(pl.col(on).is_not_null()).select("row", "cutoff", *source.frame.columns)

    def _align_to_rows(self, values: pl.DataFrame) -> pl.DataFrame:
        return self._rows.select("row").join(values, on="row", how="left", maintain_order="left").drop("row")

    def count(self, table: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, how many rows the window holds: n integers."""
        source = self._table(table)
        if uses_own_columns_only(source, where):
            return pl.Series(
                "count", find_windows(get_states(source, self._by(source), None, where), self.at, span).counts, pl.Int64
            )
        counts = self.window(table, span, where).group_by("row").len("count")
        return self._align_to_rows(counts)["count"].fill_null(0).cast(pl.Int64)

    def rate(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, the window's rows per day: n floats."""
        return (self.count(table, span, where) / (span / DAY)).alias("rate")

    def summary(self, table: str, column: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Per row of `at`, the figures SUMMARY of the column over the window's rows that have a value: n rows."""
        source = self._table(table)
        source.require_column(column)
        if uses_own_columns_only(source, where):
            cutoff_windows = find_windows(get_states(source, self._by(source), column, where), self.at, span)
            if cutoff_windows.states.value is not None and is_summable(cutoff_windows.states.value):
                return compute_summary(cutoff_windows)
        x = pl.col(column).cast(pl.Float64)
        valued = self.window(table, span, where).filter(pl.col(column).is_not_null())
        t = (pl.col(source.event_at) - pl.col("cutoff")).dt.total_microseconds() / MICROSECONDS
        statistics = valued.select("row", x=x, t=t).group_by("row", maintain_order=True).agg(build_summary_expressions())
        return self._align_to_rows(statistics).with_columns(pl.col("count").fill_null(0)).select(SUMMARY)

    def days_since(self, table: str, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, days from the latest known event up to the cutoff: n floats, null where there is none."""
        source = self._table(table)
        if uses_own_columns_only(source, where):
            return compute_days_since(find_windows(get_states(source, self._by(source), None, where), self.at, None))
        event = source.event_at
        latest = self.window(table, None, where).group_by("row").agg(pl.col(event).max(), pl.col("cutoff").first())
        days = (pl.col("cutoff") - pl.col(event)).dt.total_microseconds() / MICROSECONDS
        return self._align_to_rows(latest.select("row", days.alias("days_since")))["days_since"]

    def lag(self, table: str, column: str, steps: int) -> pl.Series:
        """Per row of `at`, the value `steps` versions before the latest known one; null before the first: n values."""
        source = self._table(table)
        by = self._by(source)
        versions = source.frame.with_columns(pl.col(by).alias("entity"))
        joined = self._rows.join(versions, on="entity", how="inner").filter(pl.col(source.known_at) <= pl.col("cutoff"))
        ordered = source.mask_unknown(joined).sort("row", *source.sort_columns, maintain_order=True)
        lagged = ordered.group_by("row", maintain_order=True).agg(pl.col(source.require_column(column)).shift(steps).last())
        return self._align_to_rows(lagged)[column]

    def history(self, table: str, column: str, frequency: Frequency) -> Histories:
        """Per row of `at`, the column's values by period, over and known at the cutoff: n histories."""
        source = self._table(table)
        return build_histories(source.values(source.require_column(column), self._by(source)), self.at, frequency)
