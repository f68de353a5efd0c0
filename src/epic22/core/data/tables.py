"""Tables with a time a version, and the two views of them: what was known at a cutoff, and what came later.

A table's key is (id, known_at). `as_of` hands out, per row, the latest version known at that row's own cutoff; a column
whose `known_when` time lies after the cutoff is null in it. A raw table never leaves this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from epic22.core.data.vintages import known_histories, later_values
from epic22.core.errors import ColumnError
from epic22.core.history import Array, Frequency, Histories
from epic22.core.task import Column

TIMELESS = datetime(1970, 1, 1)
"""The known_at of rows that carry no time: they are all known at the one cutoff there is."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Table:
    """Versions of rows: `key` names the row's id, `entity` the column that says whom the row is about.

    `event_at` is when the thing happened, `known_at` when the company knew this version of it (both datetimes, UTC).
    """

    name: str
    frame: pl.DataFrame
    key: str
    entity: str
    columns: tuple[Column, ...] = ()
    event_at: str = "known_at"
    known_at: str = "known_at"

    def __post_init__(self) -> None:
        needed = {self.key, self.entity, self.event_at, self.known_at}
        absent = sorted(needed - set(self.frame.columns))
        if absent:
            raise ColumnError(f"table {self.name}: no column {', '.join(absent)}; a table needs its key, entity and times.")

    def masked(self, frame: pl.DataFrame, cutoff: str = "cutoff") -> pl.DataFrame:
        """The frame with every column nulled that became known after the row's cutoff (`Column.known_when`)."""
        late = [
            pl.when(pl.col(column.known_when) <= pl.col(cutoff)).then(pl.col(column.name)).alias(column.name)
            for column in self.columns
            if column.known_when is not None and column.name in frame.columns
        ]
        return frame.with_columns(late)


@dataclass(frozen=True)
class KnownThen:
    """What was known at each row's own cutoff: the `Known` of the task contract over real tables."""

    at: pl.DataFrame
    tables: Mapping[str, Table]

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise ColumnError(f"no table {name}; there are {', '.join(sorted(self.tables))}.")
        return self.tables[name]

    def _versions(self, name: str) -> pl.DataFrame:
        """All row versions known at the cutoff, with `row`, the index into `at`."""
        table = self._table(name)
        joined = self.at.with_row_index("row").join(
            table.frame.with_columns(pl.col(table.entity).alias("entity")), on="entity", how="inner"
        )
        return table.masked(joined.filter(pl.col(table.known_at) <= pl.col("cutoff")))

    def latest(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the entity's latest row version known then; nulls where there is none: n rows."""
        source = self._table(table)
        versions = source.frame.with_columns(pl.col(source.entity).alias("entity")).sort(source.known_at)
        joined = (
            self.at.with_row_index("row")
            .sort("cutoff")
            .join_asof(
                versions,
                left_on="cutoff",
                right_on=source.known_at,
                by="entity",
                check_sortedness=False,
                coalesce=False,
            )
            .sort("row")
        )
        return source.masked(joined).drop("row")

    def window(self, table: str, span: timedelta) -> pl.DataFrame:
        """Each id's latest known version with event time in (cutoff - span, cutoff], with `row`, the index into `at`."""
        source = self._table(table)
        inside = (pl.col(source.event_at) <= pl.col("cutoff")) & (pl.col(source.event_at) > pl.col("cutoff") - span)
        newest = self._versions(table).sort(source.known_at, maintain_order=True).unique(["row", source.key], keep="last")
        return newest.filter(inside).sort("row", source.event_at, source.key)

    def count(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, how many rows the window holds: n integers."""
        rows = self.window(table, span)
        counted = (rows if where is None else rows.filter(where)).group_by("row").len("count")
        every = self.at.with_row_index("row").select("row")
        return every.join(counted, on="row", how="left").sort("row")["count"].fill_null(0).cast(pl.Int64)

    def rate(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, the window's rows per day: n floats."""
        return (self.count(table, span, where) / (span / DAY)).alias("rate")

    def lag(self, table: str, column: str, steps: int) -> pl.Series:
        """Per row of `at`, the value `steps` versions before the latest known one; null before the first: n values."""
        source = self._table(table)
        ordered = self._versions(table).sort("row", source.known_at)
        lagged = ordered.group_by("row", maintain_order=True).agg(pl.col(column).shift(steps).last())
        every = self.at.with_row_index("row").select("row")
        return every.join(lagged, on="row", how="left").sort("row")[column]

    def history(self, table: str, column: str, frequency: Frequency) -> Histories:
        """Per row of `at`, the column's values by period, over and known at the cutoff: n histories."""
        return known_histories(_values(self._table(table), column), self.at, frequency)


@dataclass(frozen=True)
class HappenedLater:
    """What happened in (cutoff, cutoff + horizon], among the rows known at the tables' end: the `Later` of the contract."""

    at: pl.DataFrame
    tables: Mapping[str, Table]
    horizon: timedelta
    end: datetime

    def window(self, table: str) -> pl.DataFrame:
        """Each id's final version with event time in (cutoff, cutoff + horizon], with `row`, the index into `at`."""
        source = self.tables[table]
        known = source.frame.filter(pl.col(source.known_at) <= self.end)
        final = known.sort(source.known_at, maintain_order=True).unique([source.key], keep="last")
        joined = self.at.with_row_index("row").join(
            final.with_columns(pl.col(source.entity).alias("entity")), on="entity", how="inner"
        )
        event, cutoff = pl.col(source.event_at), pl.col("cutoff")
        return joined.filter((event > cutoff) & (event <= cutoff + self.horizon)).sort("row", source.event_at, source.key)

    def path(self, table: str, column: str, frequency: Frequency, horizon: int) -> Array:
        """Per row of `at`, the values of the `horizon` periods after the cutoff, (n, horizon), among those known at the end."""
        values = _values(self.tables[table], column)
        return later_values(values.filter(pl.col("known_at") <= self.end), self.at, frequency, horizon)

    def stated(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the row of a label table that was written for exactly this entity and cutoff: n rows."""
        source = self.tables[table]
        labels = source.frame.with_columns(pl.col(source.entity).alias("entity"), pl.col(source.event_at).alias("cutoff"))
        return self.at.join(labels, on=["entity", "cutoff"], how="left", maintain_order="left")


def _values(table: Table, column: str) -> pl.DataFrame:
    """The table's versions of one column: frame [entity, at, value, known_at], missing values left out."""
    return table.frame.select(
        pl.col(table.entity).alias("entity"),
        pl.col(table.event_at).alias("at"),
        pl.col(column).cast(pl.Float64).alias("value"),
        pl.col(table.known_at).alias("known_at"),
    ).filter(pl.col("value").is_not_null())


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

    def after(self, at: pl.DataFrame, horizon: timedelta) -> HappenedLater:
        """What happened within the horizon after each row of `at`; refuses cutoffs whose horizon passes the end.

        Raises ColumnError when a label would not be complete yet.
        """
        late = at.filter(pl.col("cutoff") + horizon > self.end).height
        if late:
            raise ColumnError(
                f"{late} of {at.height} cutoffs lie less than {horizon / DAY:g} days before the end of the data "
                f"({self.end:%Y-%m-%d}): their labels are not complete; leave those cutoffs out."
            )
        return HappenedLater(at.select("entity", "cutoff"), self.tables, horizon, self.end)
