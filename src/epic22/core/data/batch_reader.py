"""The batches of a column whose type is known: its values in that type, and which rows of a label have one."""

from dataclasses import dataclass

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.batch_column import BatchColumn, name_dtype, normalize_batch
from epic22.core.data.batches import RowLocator
from epic22.core.data.column_reading import parse_text, read_text, strip_text
from epic22.core.data.column_words import ALWAYS_TYPED, MISSING_WORDS
from epic22.core.data.names import strip_name
from epic22.core.data.sentinels import are_sentinels
from epic22.core.errors import ColumnError
from epic22.core.task import Dtype


@dataclass(frozen=True)
class BatchReader:
    """Reads a column. `values` are the different `texts` in their type where these were counted, else none, of its type.

    `is_text`: its batches are text. `keeps_apart`: the names of an id or a group are as many in their own type as in text.
    """

    column: BatchColumn
    dtype: Dtype
    reading: ColumnReading
    values: pl.Series
    texts: pl.Series | None
    is_text: bool
    keeps_apart: bool

    def cast(self, raw: pl.Series, where: RowLocator) -> pl.Series:
        """A batch's values in the type of the column. Raises ColumnError naming the row of a value that is not of it."""
        own = normalize_batch(raw)
        if own.dtype != pl.String:
            return self._cast_own(own) if self.keeps_apart else strip_name(raw)
        if self.values.dtype == pl.String:
            return self.column.strip(own)
        if self.texts is not None:
            return self.column.strip(own).replace_strict(self.texts, self.values, default=None, return_dtype=self.values.dtype)
        typed = self._parse_whole(own) if self.dtype == "int" else read_text(own, self.dtype, self.reading)
        if not self.column.is_name and typed.null_count() != own.null_count():
            self._refuse_unread(own, where)
        return typed

    def _cast_own(self, own: pl.Series) -> pl.Series:
        """The values of a file with types."""
        sentinels = self.reading.sentinels
        typed = own.set(are_sentinels(own, sentinels), None) if sentinels and own.dtype.is_numeric() else own
        return typed.cast(pl.Float64) if self.dtype == "float" else typed

    def _parse_whole(self, text: pl.Series) -> pl.Series:
        """Text as whole numbers, to the last digit."""
        own = strip_text(text, "int", self.reading)
        number = own.cast(pl.Int64, strict=False)
        if number.null_count() > own.null_count():
            number = parse_text(own, "int", self.reading).cast(pl.Int64)
        return number.set(are_sentinels(number, self.reading.sentinels), None) if self.reading.sentinels else number

    def _refuse_unread(self, text: pl.Series, where: RowLocator) -> None:
        """Raise ColumnError where a value that is there does not fit the type."""
        own = strip_text(text, self.dtype, self.reading)
        odd = own.is_not_null() & parse_text(own, self.dtype, self.reading).is_null()
        if odd.any():
            row = int(odd.arg_true()[0])
            raise ColumnError(
                f"column {text.name!r} was read as {self.dtype}, and {text[row]!r} in {where.describe_row(row)} is not written "
                "so; mend it, leave it empty, say --missing, or use --drop."
            )

    @property
    def unlabelled_words(self) -> tuple[str, ...]:
        """Of a label's texts, without blanks around them, those that say that there is none."""
        if not self.is_text:
            return ()
        if self.texts is not None:
            return tuple(self.texts.filter(self.values.is_null()))
        typed = (ALWAYS_TYPED,) if self.values.dtype != pl.String else ()
        return (*MISSING_WORDS, *self.reading.missing, *typed)

    def find_labels(self, raw: pl.Series) -> pl.Series:
        """Which rows of a batch have a label, by how the label is read."""
        has_value = self.column.find_values(raw, self.unlabelled_words)
        dtype = name_dtype(self.values)
        if self.texts is not None or not self.is_text or dtype is None or not self.column.named_numbers:
            return has_value
        typed = parse_text(strip_text(raw, dtype, self.reading), dtype, self.reading)
        return has_value & ~are_sentinels(typed, self.column.named_numbers)
