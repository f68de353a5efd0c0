"""Rows that are known already and come with other content: keys that name another thing now, columns changed throughout."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from epic22.core.quality.finding import Finding, format_share
from epic22.core.quality.table_pair import count_keys, has_keys
from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable

IMMUTABLE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "properties": ("year_built", "state"),
    "units": ("property_id",),
    "tenants": ("created_at",),
    "leases": ("unit_id", "tenant_id"),
    "charges": ("lease_id", "kind"),
    "payments": ("charge_id",),
    "equipment": ("property_id", "kind"),
    "work_orders": ("property_id", "opened_at"),
    "messages": ("lease_id", "sent_at"),
    "ledger": ("property_id", "account"),
}
"""What an id's thing cannot lose: with another value, the id names another thing."""

CHANGING_COLUMNS: Mapping[str, tuple[str, ...]] = {"work_orders": ("status", "scheduled_for", "priority")}
"""What changes in the course of things; so does what has a `known_when`."""

MIN_CHANGED_ROWS = 10


@dataclass(frozen=True)
class ChangedRows:
    """The rows that the parent does not have and whose key it has, beside its own: `pairs` has its columns as `NAME before`.

    `before` are all rows of the parent.
    """

    table: CanonicalTable
    pairs: pl.DataFrame
    before: pl.LazyFrame

    @cached_property
    def n_stored(self) -> int:
        """How many keys the parent has."""
        return count_keys(self.table, self.before)

    def is_above(self, n: int, limit: float) -> bool:
        """Whether n is more than that share of the parent's keys, which are counted only where it may be."""
        is_below = limit > 0 and has_keys(self.table, self.before, int(n / limit) + 2)
        return not is_below and n > limit * self.n_stored


def pair_changed_rows(table: CanonicalTable, arrived: pl.DataFrame, former: pl.DataFrame) -> pl.DataFrame:
    """The rows that arrived whose key was there, each beside its `former` version, whose columns are `NAME before`."""
    names = [column.name for column in table.columns if column.name in arrived.columns and column.name in former.columns]
    return arrived.join(former.select(names), on=list(table.key), how="inner", suffix=" before")


def select_arrived_rows(table: CanonicalTable, now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The versions of rows that the parent does not have."""
    keys = [*table.key, KNOWN_AT]
    return now.join(before.select(keys), on=keys, how="anti", nulls_equal=True)


def find_reused_keys(changed: ChangedRows) -> tuple[Finding, ...]:
    """Ids that name another thing than before, by column."""
    findings = []
    key = changed.table.key[0]
    for column in IMMUTABLE_COLUMNS.get(changed.table.name, ()):
        rows = changed.pairs.filter(is_moved(column)) if f"{column} before" in changed.pairs.columns else changed.pairs.clear()
        if rows.height:
            first = rows.row(0, named=True)
            evidence = (
                f"{format_share(rows.height, changed.n_stored)} name another thing than before: {key} {first[key]} had {column} "
                f"{first[f'{column} before']} and has {first[column]}."
            )
            findings.append(Finding(changed.table.name, column, "key reused", evidence, rows=rows.height))
    return tuple(findings)


def is_moved(column: str) -> pl.Expr:
    """Whether a value is another than before, neither being missing."""
    return (pl.col(column) != pl.col(f"{column} before")).fill_null(value=False)


def find_changed_columns(changed: ChangedRows, limit: float) -> tuple[Finding, ...]:
    """Columns that changed in more than this share of the parent's rows at once."""
    free = {*changed.table.key, *IMMUTABLE_COLUMNS.get(changed.table.name, ()), *CHANGING_COLUMNS.get(changed.table.name, ())}
    findings = []
    for column in changed.table.columns:
        if column.name in free or column.known_when is not None or f"{column.name} before" not in changed.pairs.columns:
            continue
        n = changed.pairs.filter(~pl.col(column.name).eq_missing(pl.col(f"{column.name} before"))).height
        if n >= MIN_CHANGED_ROWS and changed.is_above(n, limit):
            evidence = (
                f"{column.name} changed in {format_share(n, changed.n_stored)} that were known already, all since the parent."
            )
            findings.append(Finding(changed.table.name, column.name, "rows changed", evidence, rows=n))
    return tuple(findings)
