"""How often each of a column's different values came, for columns that have few."""

from dataclasses import dataclass, field

import polars as pl

from epic22.core.data.schema_inference import MAX_REPEATED_LEVELS

MAX_COUNTED_VALUES = MAX_REPEATED_LEVELS
"""Different values of a column are counted up to this many; beyond, it is known to have more."""


@dataclass
class ValueCount:
    """How many rows have a value, how many of them a label, and the first of them, counted from 0 over all files."""

    n_rows: int = 0
    n_labelled: int = 0
    first_row: int = 0


@dataclass
class ValueCounts:
    """The counts of different values, in the order in which these came."""

    counts: dict[object, ValueCount] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.counts)

    def add(self, groups: pl.DataFrame) -> None:
        """Take the values of a batch in, grouped by `group_values`."""
        for value, n_rows, n_labelled, row in groups.iter_rows():
            count = self.counts.setdefault(value, ValueCount(first_row=row))
            count.n_rows += n_rows
            count.n_labelled += n_labelled

    def list_values(self, name: str, dtype: pl.DataType | None) -> pl.Series:
        """The different values, as a series of this name and type; of text where that is None."""
        return pl.Series(name, list(self.counts), dtype=dtype or pl.String)

    @property
    def n_rows(self) -> pl.Series:
        """How many rows have each."""
        return pl.Series([one.n_rows for one in self.counts.values()], dtype=pl.Int64)

    @property
    def n_labelled(self) -> pl.Series:
        """How many labelled rows have each."""
        return pl.Series([one.n_labelled for one in self.counts.values()], dtype=pl.Int64)

    @property
    def first_rows(self) -> pl.Series:
        """The first row of each."""
        return pl.Series([one.first_row for one in self.counts.values()], dtype=pl.Int64)


def group_values(values: pl.Series, is_labelled: pl.Series, rows: pl.Series) -> pl.DataFrame:
    """The different values of a batch, frame [value, n rows, n labelled, first row]; those that are missing do not count."""
    frame = pl.DataFrame({"value": values, "labelled": is_labelled, "row": rows}).drop_nulls("value")
    return frame.group_by("value", maintain_order=True).agg(pl.len(), pl.col("labelled").sum(), pl.col("row").first())
