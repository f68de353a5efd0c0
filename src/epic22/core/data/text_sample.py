"""Some values of a column of text that has too many to be counted, for the question how they are written."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from epic22.core.data.batch_column import BatchColumn, name_dtype
from epic22.core.data.column_reading import ReadColumn, infer_text_column, parse_text
from epic22.core.data.column_words import TYPED_MISSING_WORDS
from epic22.core.data.value_counts import MAX_COUNTED_VALUES

MAX_ODD_VALUES = 1_000
"""Of values that are no plain numbers the sample has up to this many more."""


@dataclass
class TextSample:
    """The first values, some that are unlike them, and the first row of each. `first_reading` is how the first are read."""

    column: BatchColumn
    first_rows: dict[str, int] = field(default_factory=dict)
    first_reading: ReadColumn | None = None

    def add(self, values: pl.Series, rows: pl.Series) -> None:
        """Take values in as long as they are few."""
        self._add_up_to(MAX_COUNTED_VALUES, values, rows)

    def add_words(self, words: pl.Series, rows: pl.Series) -> None:
        """Take words for missing in, all of them."""
        self._add_up_to(MAX_COUNTED_VALUES + MAX_ODD_VALUES + len(TYPED_MISSING_WORDS), words, rows)

    def add_odd(self, values: pl.Series, rows: pl.Series) -> None:
        """Take values in that are no plain numbers; once there are many, only those that are not written as the first are."""
        if len(self.first_rows) >= MAX_COUNTED_VALUES:
            is_unlike = self._is_unlike(values)
            values, rows = values.filter(is_unlike), rows.filter(is_unlike)
        self._add_up_to(MAX_COUNTED_VALUES + MAX_ODD_VALUES, values, rows)

    def _add_up_to(self, max_values: int, values: pl.Series, rows: pl.Series) -> None:
        for value, row in zip(values, rows, strict=True):
            if len(self.first_rows) >= max_values:
                return
            self.first_rows.setdefault(value, row)

    def _is_unlike(self, values: pl.Series) -> pl.Series:
        """Which values are not written as the first of the column are."""
        if self.first_reading is None:
            self.first_reading = self._infer(list(self.first_rows))
        dtype = name_dtype(self.first_reading.values)
        if dtype is None:
            return pl.repeat(value=True, n=len(values), eager=True)
        return parse_text(values, dtype, self.first_reading.reading).is_null()

    @cached_property
    def notation(self) -> ReadColumn:
        """How the values are read, in the order of their rows. For when all rows were seen."""
        return self._infer(sorted(self.first_rows, key=lambda text: self.first_rows[text]))

    def _infer(self, texts: list[str]) -> ReadColumn:
        """How texts are read; how often a number came is not known, and so none stands for missing."""
        rules = replace(self.column.rules, may_be_missing=False)
        return infer_text_column(pl.Series(self.column.name, texts, dtype=pl.String), rules)
