"""What is known of a column whose values have a type of their own in the file, read a batch at a time."""

from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from epic22.core.data.batch_column import BatchColumn
from epic22.core.data.column_reading import ReadColumn
from epic22.core.data.column_remarks import FileStarts, describe_row
from epic22.core.data.names import keeps_names_apart, strip_name
from epic22.core.data.number_summary import NumberSummary
from epic22.core.data.schema_inference import describe_early_times, find_early_times
from epic22.core.data.time_format import has_own_clock


@dataclass
class TypedValues:
    """Values that were seen in their own type, `dtype`. `n_early` times are before any that text has, the first at a row.

    `keeps_apart`: the names of an id or a group are as many in their type as in text. `states_offset`: some time states its
    offset from UTC.
    """

    column: BatchColumn
    dtype: pl.DataType | None = None
    numbers: NumberSummary = field(default_factory=NumberSummary)
    n_early: int = 0
    first_early: tuple[datetime, int] | None = None
    keeps_apart: bool = True
    states_offset: bool = False

    def add(self, raw: pl.Series, values: pl.Series, rows: pl.Series) -> None:
        """Take a batch in: its `values` are those of the file, `raw`, in the type that models are made for."""
        self.dtype = values.dtype
        self.keeps_apart = self.keeps_apart and (not self.column.is_name or keeps_names_apart(strip_name(raw), values))
        if values.null_count() == len(values):
            return
        self.states_offset = self.states_offset or has_own_clock(raw)
        if values.dtype.is_numeric():
            self.numbers.add(values, None, rows)
        if values.dtype == pl.Datetime("us") and (early := find_early_times(values)).any():
            position = int(early.arg_true()[0])
            self.n_early += int(early.sum())
            self.first_early = self.first_early or (values[position], int(rows[position]))

    def read(self, files: FileStarts) -> ReadColumn:
        """The column in its type, without values."""
        empty = self.column.build_empty(pl.String if self.dtype is None or not self.keeps_apart else self.dtype)
        if self.column.is_name:
            return empty
        if empty.values.dtype.is_temporal() and self.first_early is not None:
            first, row = self.first_early
            problem = describe_early_times(self.column.name, self.n_early, first, describe_row(row, files))
            return replace(empty, problem=problem)
        if not empty.values.dtype.is_numeric():
            return empty
        numbers = self.column.read_sentinels(empty, self.numbers.spread)
        return replace(numbers, problem=self.numbers.describe_infinite(self.column.name, files))
