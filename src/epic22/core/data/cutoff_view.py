"""Rows that tables are asked about: what the views of what was known and of what came later share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import polars as pl

from epic22.core.tables.table import Table, get_table


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
