"""One table of a version beside its parent's, of which no more is read than a check asks for."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from epic22.core.quality.finding import select_newest
from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable

MIN_BATCH_ROWS = 100_000
"""Rows whose keys are counted at a time."""


@dataclass(frozen=True)
class TablePair:
    """The rows of a table in a version and in its parent, with the moments up to which they are complete.

    `arrived` are the versions of rows that the parent does not have. Many came later than their own `known_at` tells, where that
    was taken from an event.
    """

    table: CanonicalTable
    now: pl.LazyFrame
    before: pl.LazyFrame
    arrived: pl.DataFrame
    begin: datetime
    end: datetime

    @cached_property
    def known_at(self) -> pl.Series:
        """When each row of the version became known, in order; what has no moment first."""
        return self.now.select(KNOWN_AT).collect(engine="streaming")[KNOWN_AT].sort()

    @cached_property
    def former(self) -> pl.DataFrame:
        """The parent's newest version of each key that arrived again."""
        return read_former_versions(self.table, self.arrived, self.before)

    @cached_property
    def new_rows(self) -> pl.DataFrame:
        """The newest version of each key that arrived for the first time."""
        keys = list(self.table.key)
        return select_newest(self.arrived.join(self.former.select(keys), on=keys, how="anti", maintain_order="left"), self.table)


def read_former_versions(table: CanonicalTable, arrived: pl.DataFrame, before: pl.LazyFrame) -> pl.DataFrame:
    """The newest stored version of each key that arrived; a time in the key says where to look for them."""
    keys = list(table.key)
    times = [name for name in keys if table.get_column(name).dtype == "time"]
    near = before.filter(*(pl.col(name).is_between(arrived[name].min(), arrived[name].max()) for name in times))
    stored = near.join(arrived.lazy().select(keys).unique(), on=keys, how="semi", maintain_order="left")
    return select_newest(stored.collect(), table)


def count_keys(table: CanonicalTable, rows: pl.LazyFrame) -> int:
    """How many different keys the rows have."""
    return hash_keys(table, rows).n_unique()


def has_keys(table: CanonicalTable, rows: pl.LazyFrame, n: int) -> bool:
    """Whether the rows have at least n different keys; no more of them are read than it takes to say so.

    >>> from epic22.core.tables.canonical import get_canonical_table
    >>> rows = pl.LazyFrame({"unit_id": ["a", "b", "b"]})
    >>> [has_keys(get_canonical_table("units"), rows, n) for n in (0, 2, 3)]
    [True, True, False]
    """
    seen = pl.Series(dtype=pl.UInt64)
    if n <= 0:
        return True
    for batch in rows.select(build_key_hash(table)).collect_batches(maintain_order=False, chunk_size=max(n, MIN_BATCH_ROWS)):
        seen = pl.concat([seen, batch.to_series()]).unique()
        if seen.len() >= n:
            return True
    return False


def hash_keys(table: CanonicalTable, rows: pl.LazyFrame) -> pl.Series:
    """A number of 64 bits for the key of each row, in any order; it is the same only within this process."""
    return rows.select(build_key_hash(table)).collect(engine="streaming").to_series()


def build_key_hash(table: CanonicalTable) -> pl.Expr:
    """The number that `hash_keys` gives a row."""
    return pl.struct(table.key).hash().alias("key hash")
