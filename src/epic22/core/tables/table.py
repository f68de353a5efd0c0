"""One table of row versions: its key, its times, and which version of a row is the one known at a moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.task import Column

TIMELESS = datetime(1970, 1, 1)
"""The known_at of rows that carry no time: they are all known at the one cutoff there is."""

SUPERSEDED = "__superseded_at"
"""Column of `Table.versions`: when the next version of the same key became known; null for the last one."""


@dataclass(frozen=True)
class Table:
    """Versions of rows: `key` names the row's id (one column or several), `entity` the column that says whom the row is about.

    `event_at` is when the thing happened, `known_at` when the company knew this version of it (both datetimes, UTC).
    Of two versions of one key with the same `known_at`, the later one in the frame counts.
    """

    name: str
    frame: pl.DataFrame
    key: str | tuple[str, ...]
    entity: str
    columns: tuple[Column, ...] = ()
    event_at: str = "known_at"
    known_at: str = "known_at"

    def __post_init__(self) -> None:
        needed = {*self.keys, self.entity, self.event_at, self.known_at}
        absent = sorted(needed - set(self.frame.columns))
        if absent:
            raise ColumnError(f"table {self.name}: no column {', '.join(absent)}; a table needs its key, entity and times.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The key's columns."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def sort_columns(self) -> list[str]:
        """The columns by which versions are put in order where one must come last: known_at, event_at, key."""
        return list(dict.fromkeys([self.known_at, self.event_at, *self.keys]))

    @cached_property
    def versions(self) -> pl.DataFrame:
        """The frame with `SUPERSEDED`: a version counts at a moment from its known_at up to, not at, that time."""
        repeated = self.frame.select(pl.struct(self.keys).hash().is_duplicated()).to_series()
        if not repeated.any():
            return self.frame.with_columns(pl.lit(None, pl.Datetime("us")).alias(SUPERSEDED))
        place = "__place"
        following = (
            self.frame.select(*self.keys, pl.col(self.known_at).alias(SUPERSEDED))
            .with_row_index(place)
            .filter(repeated)
            .sort(SUPERSEDED, maintain_order=True)
            .with_columns(pl.col(SUPERSEDED).shift(-1).over(self.keys))
            .select(place, SUPERSEDED)
        )
        joined = self.frame.with_row_index(place).join(following, on=place, how="left", maintain_order="left")
        return joined.drop(place)

    @cached_property
    def cache(self) -> dict[object, object]:
        """What was derived from the frame and is kept for the next question, by what it was asked for."""
        return {}

    def visible_from(self) -> pl.Expr:
        """When a version counts first: as soon as it has happened and is known."""
        return pl.max_horizontal(self.event_at, self.known_at)

    def require_column(self, name: str) -> str:
        """The name itself. Raises ColumnError where the table has no such column."""
        if name not in self.frame.columns:
            raise ColumnError(f"table {self.name}: no column {name}; there are {', '.join(self.frame.columns)}.")
        return name

    def get_visibility_column(self, name: str) -> str | None:
        """The time column after which the column is known, or None where it is known with its row."""
        return next((c.known_when for c in self.columns if c.name == name), None)

    def select_current(self, frame: pl.DataFrame, cutoff: str = "cutoff") -> pl.DataFrame:
        """The versions of the frame that are the latest known of their key at the row's cutoff, masked."""
        now, next_at = pl.col(cutoff), pl.col(SUPERSEDED)
        rows = frame.filter((pl.col(self.known_at) <= now) & (next_at.is_null() | (next_at > now)))
        return self.mask_unknown(rows.drop(SUPERSEDED), cutoff)

    def mask_unknown(self, frame: pl.DataFrame, cutoff: str = "cutoff") -> pl.DataFrame:
        """The frame with every column nulled that became known after the row's cutoff (`Column.known_when`)."""
        masks = [
            pl.when(pl.col(when) <= pl.col(cutoff)).then(pl.col(column.name)).alias(column.name)
            for column in self.columns
            if column.name in frame.columns and (when := self.get_visibility_column(column.name)) is not None
        ]
        return frame.with_columns(masks)

    def select_final(self, end: datetime) -> pl.DataFrame:
        """Each key's last version known at the end; values that become known only after the end are null."""
        next_at = pl.col(SUPERSEDED)
        rows = self.versions.filter((pl.col(self.known_at) <= end) & (next_at.is_null() | (next_at > end)))
        masks = [
            pl.when((pl.col(column.known_when) > end).not_().fill_null(True)).then(pl.col(column.name)).alias(column.name)
            for column in self.columns
            if column.known_when is not None and column.name in rows.columns
        ]
        return rows.drop(SUPERSEDED).with_columns(masks)

    def values(self, column: str, by: str) -> pl.DataFrame:
        """The versions of one column, frame [entity, at, value, known_at], missing values left out; `by` gives the entity."""
        return self.frame.select(
            pl.col(by).alias("entity"),
            pl.col(self.event_at).alias("at"),
            pl.col(column).cast(pl.Float64).alias("value"),
            pl.col(self.known_at).alias("known_at"),
        ).filter(pl.col("value").is_not_null())


def get_table(tables: Mapping[str, Table], name: str) -> Table:
    """The table of that name. Raises ColumnError with the names there are."""
    if name not in tables:
        raise ColumnError(f"no table {name}; there are {', '.join(sorted(tables))}.")
    return tables[name]
