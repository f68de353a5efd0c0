"""What has been seen of each column of a table that is read a batch at a time: how it can be typed, and how it is written.

The different values of a column are counted as long as they are few, and are read by the rule of a table that fits into memory.
Of text with more it is known which types and formats every value so far fits.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.batch_column import BatchColumn, name_dtype, normalize_batch
from epic22.core.data.batch_reader import BatchReader
from epic22.core.data.column_reading import ReadColumn, infer_text_column
from epic22.core.data.column_remarks import FileStarts, Occurrences
from epic22.core.data.column_words import ALWAYS_TYPED, MISSING_WORDS
from epic22.core.data.preprocess import choose_center_of_range
from epic22.core.data.schema_inference import infer_label_column, infer_name_column, infer_text_dtype
from epic22.core.data.sentinels import NumberSpread
from epic22.core.data.text_sample import TextSample
from epic22.core.data.time_format import read_offsets
from epic22.core.data.typed_values import TypedValues
from epic22.core.data.uncounted_text import UncountedText
from epic22.core.data.value_counts import MAX_COUNTED_VALUES, ValueCounts, group_values
from epic22.core.task import Dtype


@dataclass
class ColumnCounts:
    """What has been seen of one column. `rows` and `missing` are counts of labelled rows.

    `counted` are its different values, None once there were too many; `uncounted` is what is known of its text from then on.
    `typed` is what is known of values that have a type of their own in the file, None where they are text or there are none yet.
    `files`: where each file begins.
    """

    column: BatchColumn
    rows: int = 0
    missing: int = 0
    counted: ValueCounts | None = field(default_factory=ValueCounts)
    uncounted: UncountedText | None = None
    typed: TypedValues | None = None
    files: FileStarts = ()

    def add(self, raw: pl.Series, is_labelled: pl.Series, first_row: int) -> None:
        """Take the values of a batch in, whose first row has this number."""
        own = normalize_batch(raw)
        is_text = own.dtype == pl.String
        values = self.column.strip(own) if is_text else self.column.null_named(own)
        n_labelled = int(is_labelled.sum())
        self.rows += n_labelled
        self.missing += values.null_count() if n_labelled == len(values) else int((values.is_null() & is_labelled).sum())
        rows = pl.int_range(first_row, first_row + len(values), eager=True)
        if not is_text:
            self.typed = self.typed or TypedValues(self.column)
            self.typed.add(raw, values, rows)
        if values.null_count() == len(values):
            return
        groups = None if self.counted is None else group_values(values, is_labelled, rows)
        is_counted = groups is not None and self._count(groups)
        if is_text and not is_counted:
            self._add_uncounted(values, groups, rows)

    def _count(self, groups: pl.DataFrame) -> bool:
        """Whether the values of a batch are counted: with too many different ones nothing is from then on."""
        assert self.counted is not None
        is_counted = groups.height <= MAX_COUNTED_VALUES
        if is_counted:
            self.counted.add(groups)
        if not is_counted or len(self.counted) > MAX_COUNTED_VALUES:
            self._stop_counting()
        return is_counted

    def _stop_counting(self) -> None:
        """From now on know of the values, those counted among them, what they fit."""
        assert self.counted is not None
        counted, self.counted = self.counted, None
        if self.typed is None:
            self.uncounted = UncountedText(self.column, TextSample(self.column))
            values = counted.list_values(self.column.name, pl.String())
            self.uncounted.sample.add(values, counted.first_rows)
            self.uncounted.add(values, counted.n_rows, counted.first_rows)

    def _add_uncounted(self, values: pl.Series, groups: pl.DataFrame | None, rows: pl.Series) -> None:
        """Take text in that is not counted, and its different values into the sample where they were grouped for the count."""
        assert self.uncounted is not None
        if groups is not None:
            self.uncounted.sample.add(groups["value"], groups["row"])
        self.uncounted.add(values, None, rows)

    @property
    def name(self) -> str:
        """The name of the column."""
        return self.column.name

    @property
    def _counted_text(self) -> ValueCounts | None:
        """The different values of text; None where they are too many, or no text."""
        return self.counted if self.typed is None else None

    @cached_property
    def _counted_values(self) -> pl.Series:
        """The different values, once all rows are counted."""
        assert self.counted is not None
        return self.counted.list_values(self.name, None if self.typed is None else self.typed.dtype)

    @cached_property
    def inference(self) -> ReadColumn:
        """How it is read, with all different values in their type where they are text and counted, else without values. For when
        all rows are counted."""
        if self.typed is not None:
            return self.typed.read(self.files)
        if self.uncounted is not None:
            column = self.uncounted.read(self.files)
            return replace(column, values=column.values.clear())
        values = self._counted_values
        if self.counted is None or values.is_empty():
            return self.column.build_empty()
        if self.column.is_name:
            return infer_name_column(values)
        occurrences = Occurrences(self.counted.n_rows, self.counted.first_rows, self.files)
        return (infer_label_column if self.column.is_label else infer_text_column)(values, self.column.rules, occurrences)

    @cached_property
    def labelled_values(self) -> pl.DataFrame | None:
        """The different values of the labelled rows in their type, frame [value, n], each as often as it came; None where they
        are too many."""
        if self.counted is None:
            return None
        values = self.inference.values if self.typed is None else self._counted_values
        frame = pl.DataFrame({"value": values, "n": self.counted.n_labelled}).filter(pl.col("n") > 0).drop_nulls("value")
        return frame.group_by("value", maintain_order=True).agg(pl.col("n").sum())

    @property
    def distinct(self) -> int | None:
        """How many different values there are in labelled rows; None where they are too many to be counted."""
        return None if self.labelled_values is None else self.labelled_values.height

    @property
    def has_missing(self) -> bool:
        """Whether some labelled row has no value in the column's type."""
        if self.labelled_values is not None and self._counted_text is not None:
            return int(self.labelled_values["n"].sum()) < self.rows
        has_none = self.uncounted is not None and self.uncounted.n_none > 0 and self.is_number
        return self.missing > 0 or has_none or len(self.reading.sentinels) > len(self.column.named_numbers)

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of its values in labelled rows, in order."""
        return () if self.labelled_values is None else tuple(self.labelled_values["value"].cast(pl.String).sort())

    def infer_dtype(self) -> Dtype:
        """The type of the labelled rows' values."""
        dtype = name_dtype(self.inference.values)
        if dtype is not None:
            return "float" if dtype == "int" and self.typed is not None and not self.typed.numbers.whole else dtype
        n_present = self.rows - self.missing
        if self.labelled_values is not None:
            n_present = int(self.labelled_values["n"].sum())
        return infer_text_dtype(MAX_COUNTED_VALUES + 1 if self.distinct is None else self.distinct, n_present)

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.infer_dtype() in ("int", "float")

    @property
    def reading(self) -> ColumnReading:
        """How the column is read in later files."""
        return self.inference.reading

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest of its numbers, without those that stand for missing."""
        if self._counted_text is None:
            return self._spread.compute_range(without=self.reading.sentinels)
        return self._spread.compute_range()

    @property
    def _spread(self) -> NumberSpread:
        """How its numbers are spread; of counted text those that are missing are not among them."""
        if self.typed is not None:
            return self.typed.numbers.spread
        if self.uncounted is not None:
            return self.uncounted.spread
        spread = NumberSpread()
        if self.inference.values.dtype.is_numeric():
            spread.add(self.inference.values)
        return spread

    @property
    def only_rises(self) -> bool:
        """Whether its numbers only ever rose from row to row."""
        if self.typed is not None:
            return self.typed.numbers.is_increasing
        if self.counted is None:
            return self.uncounted is not None and self.uncounted.numbers.is_increasing
        return bool((self.counted.n_rows == 1).all()) and bool((self.inference.values.diff().drop_nulls() > 0).all())

    def choose_center(self) -> float:
        """What is to be subtracted of its numbers before they become float32; 0.0 where that loses nothing."""
        return choose_center_of_range(*self.range)

    @cached_property
    def reader(self) -> BatchReader:
        """What reads its batches once all rows are counted."""
        return BatchReader(
            self.column,
            self.infer_dtype(),
            self.reading,
            values=self.inference.values,
            texts=None if self._counted_text is None else self._counted_values,
            is_text=self.typed is None,
            keeps_apart=self.typed is None or self.typed.keeps_apart,
        )

    @property
    def has_unlabelled_words(self) -> bool:
        """Whether rows that were taken for labelled are not, by how the label is read."""
        if self.labelled_values is not None:
            return int(self.labelled_values["n"].sum()) < self.rows - self.missing
        has_none = self.uncounted is not None and self.uncounted.n_none > 0
        known = {*MISSING_WORDS, *self.column.rules.missing, *(() if has_none else (ALWAYS_TYPED,))}
        return bool(self.column.named_numbers) or not known.issuperset(self.reader.unlabelled_words)

    @property
    def has_offsets(self) -> bool:
        """Whether some time of a labelled row states an offset from UTC other than zero."""
        if self.typed is not None:
            return self.typed.states_offset
        if self.counted is None:
            return self.uncounted is not None and self.uncounted.states_offset
        is_labelled = self.counted.n_labelled > 0
        return bool((read_offsets(self._counted_values, self.inference.values).filter(is_labelled) != 0).any())
