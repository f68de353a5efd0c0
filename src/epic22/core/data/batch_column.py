"""A column of a table that is read a batch at a time, and what its batches are by what is known of it before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.column_reading import ReadColumn, ReadingRules
from epic22.core.data.column_remarks import SENTINELS
from epic22.core.data.column_words import list_numbers, null_missing_words
from epic22.core.data.names import strip_ends, strip_name
from epic22.core.data.schema_inference import normalize_type
from epic22.core.data.sentinels import NumberSpread, are_sentinels, describe_sentinels
from epic22.core.task import Dtype


@dataclass(frozen=True)
class BatchColumn:
    """What is known of a column before it is read. `is_name`: it is an id or a group, whose text stays as it was."""

    name: str
    rules: ReadingRules = field(default_factory=ReadingRules)
    is_name: bool = False
    is_label: bool = False

    @cached_property
    def named_numbers(self) -> tuple[float, ...]:
        """The user's words for missing that are numbers: files with types have them as such."""
        return () if self.is_name else tuple(list_numbers(self.rules.missing))

    def strip(self, text: pl.Series) -> pl.Series:
        """Text without blanks around it, null where it is missing; of a label with the words for missing, which are counted."""
        if self.is_label:
            return strip_ends(text)
        return strip_name(text) if self.is_name else null_missing_words(text, self.rules.missing)

    def null_named(self, own: pl.Series) -> pl.Series:
        """Numbers without those that the user says mean missing."""
        return own.set(are_sentinels(own, self.named_numbers), None) if own.dtype.is_numeric() and self.named_numbers else own

    def find_values(self, raw: pl.Series, words: Sequence[str] = ()) -> pl.Series:
        """Which rows of a batch have a value that is none of these words, nor one for missing in every column."""
        own = normalize_batch(raw)
        values = null_missing_words(own, (*self.rules.missing, *words)) if own.dtype == pl.String else self.null_named(own)
        return values.is_not_null()

    def build_empty(self, dtype: pl.DataType | type[pl.DataType] = pl.String) -> ReadColumn:
        """The column in a type, without values."""
        reading = ColumnReading(missing=() if self.is_name else self.rules.missing)
        return ReadColumn(pl.Series(self.name, [], dtype=dtype), reading)

    def read_sentinels(self, column: ReadColumn, spread: NumberSpread) -> ReadColumn:
        """The column of numbers with those that stand for missing, by how all of them are spread."""
        sentinels = spread.find_sentinels() if self.rules.may_be_missing else {}
        remarks = ((SENTINELS, describe_sentinels(self.name, sentinels)),) if sentinels else ()
        reading = replace(column.reading, sentinels=(*self.named_numbers, *sentinels))
        return replace(column, reading=reading, remarks=(*column.remarks, *remarks))


def normalize_batch(raw: pl.Series) -> pl.Series:
    """A batch's values in the types that models are made for, which are the same for every batch; text as it is.

    Whole numbers that may be beyond 64 bits are text, as they are all names where one is.
    """
    if raw.dtype == pl.UInt64:
        return raw.cast(pl.String)
    return raw if raw.dtype == pl.String else normalize_type(raw)


def name_dtype(values: pl.Series) -> Dtype | None:
    """The type of values that were read; None where they are text."""
    if values.dtype == pl.Boolean:
        return "bool"
    if values.dtype.is_temporal():
        return "time"
    if values.dtype.is_numeric():
        return "int" if values.dtype.is_integer() else "float"
    return None
