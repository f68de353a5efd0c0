"""What has been seen of each column of a table that is read a batch at a time: how it can be typed, and how it is written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from epic22.core.column import ColumnReading, NumberFormat
from epic22.core.data.batches import Batch
from epic22.core.data.column_reading import (
    ALWAYS_TYPED,
    JOINED,
    MAX_NUMBER,
    MIXED_UNITS,
    MOSTLY,
    TRUTHS,
    UNREAD,
    VARIANTS,
    WORDS,
    ReadColumn,
    ReadingRules,
    infer_text_column,
    is_all_digits,
    is_too_large,
    list_numbers,
    null_missing_words,
)
from epic22.core.data.names import strip_name
from epic22.core.data.number_format import NAME_DIGITS
from epic22.core.data.preprocess import choose_center_of_range
from epic22.core.data.schema_inference import infer_text_dtype, normalize_type, parse_numbers
from epic22.core.data.sentinels import NumberSpread, are_sentinels
from epic22.core.data.time_format import TIME_FORMATS, find_dotted_months, has_own_clock, parse_times_as
from epic22.core.data.unread_notation import NEARLY_ALL
from epic22.core.errors import ColumnError
from epic22.core.task import Dtype

OF_NAMES = (MIXED_UNITS, MOSTLY, UNREAD, TRUTHS, VARIANTS, WORDS)
"""What is remarked of names by their values alone, whichever rows they stand in."""

WHOLE_DIGITS = r"^[0-9]+(?:[eE][0-9]+)?$"
"""Whole numbers without a sign, as codes are written."""

MAX_COUNTED_VALUES = 10_000
"""Different values of a column are counted up to this many; beyond, it is known to have more."""

MAX_MONTHS = 2_500
"""More different values are no months: those of two centuries are fewer."""

MAX_ODD_VALUES = 1_000
"""Of values that are no plain numbers up to this many more are kept, for the question how they are written."""


@dataclass
class ColumnCounts:
    """What has been seen of one column. `value_counts` holds how often a value came, None once there were too many.

    `formats` are the formats of time that every text so far fits. `is_increasing` is whether whole numbers only ever rose.
    `is_digits` is whether every number of a text was written in digits alone, `first_overlong` the first that was too long to be
    one, and its row. `is_name`: the column is an id or a group, whose text stays as it was; `is_amount`: its digits are a number
    however they are written. `writes_back`: every number so far writes back as the text that it was; `is_code` and `first_code`:
    all could be codes, and the first that is no number by how it is written. `n_none`: how often "None" came. `missing_words` are
    those that the user names; `may_be_missing`: numbers that stand for missing may be among its own. `sample` holds different
    values of a text whose values are too many to be counted, `first_unlike`
    is one that is not what nearly all others are; `has_marks`: some number has a comma. `name_remarks`: what is said of names.
    `states_offset`: some time states its offset from UTC.
    """

    name: str
    is_name: bool = False
    is_amount: bool = False
    may_be_missing: bool = False
    text: bool = False
    dtype: pl.DataType | None = None
    rows: int = 0
    missing: int = 0
    numeric: bool = True
    whole: bool = True
    spread: NumberSpread = field(default_factory=NumberSpread)
    is_increasing: bool = True
    n_odd: int = 0
    first_odd: tuple[str, str] | None = None
    is_digits: bool = True
    is_joined: bool = True
    first_overlong: tuple[str, str] | None = None
    writes_back: bool = True
    is_spelled_whole: bool | None = None
    is_code: bool = True
    first_code: str | None = None
    n_none: int = 0
    formats: tuple[str, ...] = TIME_FORMATS
    value_counts: Counter[object] | None = field(default_factory=Counter)
    missing_words: tuple[str, ...] = ()
    sample: dict[str, None] = field(default_factory=dict)
    first_unlike: str | None = None
    has_marks: bool = False
    name_remarks: tuple[tuple[str, str], ...] = ()
    states_offset: bool = False

    def add(self, raw: pl.Series, where: "RowLocator") -> None:
        """Take the values of a batch in."""
        self.text = raw.dtype == pl.String
        values = strip_value_text(raw, self.is_name, self.missing_words) if self.text else self._null_named(normalize_type(raw))
        self.rows += len(values)
        self.missing += values.null_count()
        present = values.drop_nulls()
        if not len(present):
            return
        self._count_values(present)
        if self.text and not self.is_name:
            is_none = values == ALWAYS_TYPED
            self.n_none += int(is_none.sum())
            values = values.set(is_none, None)
            present = values.drop_nulls()
            if not len(present):
                return
        if self.text:
            self._add_text(values, present, where)
        else:
            self.states_offset = self.states_offset or has_own_clock(raw)
            self._add_own(values, where)

    def _null_named(self, own: pl.Series) -> pl.Series:
        """Numbers without those that the user says mean missing."""
        return own.set(are_sentinels(own, self.named_numbers), None) if own.dtype.is_numeric() and self.named_numbers else own

    @property
    def named_numbers(self) -> tuple[float, ...]:
        """The user's words for missing that are numbers: files with types have them as such."""
        return () if self.is_name else tuple(list_numbers(self.missing_words))

    def _count_values(self, present: pl.Series) -> None:
        if self.value_counts is None:
            return
        counts = present.alias("value").value_counts()
        if counts.height > MAX_COUNTED_VALUES or len(self.value_counts) > MAX_COUNTED_VALUES:
            if self.text:
                self._add_to_sample([*map(str, self.value_counts), *counts["value"].head(MAX_COUNTED_VALUES)])
            self.value_counts = None
            return
        self.value_counts.update(dict(counts.iter_rows()))

    def _add_to_sample(self, values: Iterable[str]) -> None:
        """Keep values for the question how the text is read, some more of them where they are no plain numbers."""
        for value in values:
            if len(self.sample) >= MAX_COUNTED_VALUES + MAX_ODD_VALUES:
                return
            self.sample[value] = None

    def _add_text(self, values: pl.Series, present: pl.Series, where: "RowLocator") -> None:
        if self.numeric or self.n_odd:
            number = parse_numbers(values)
            bad = number.is_null() & values.is_not_null()
            if bad.any():
                self.numeric = False
                if self.value_counts is None:
                    self._add_to_sample(values.filter(bad).unique(maintain_order=True).head(MAX_ODD_VALUES))
                row = bad.arg_true()[0]
                self.first_odd = self.first_odd or (str(values[row]), where.describe_row(row))
                self.n_odd += int(bad.sum())
                self.is_joined &= bool(values.filter(bad).str.contains(JOINED).all())
            self.whole &= number.dtype == pl.Int64
            self.has_marks = self.has_marks or bool(present.str.contains(",", literal=True).any())
            if self.is_digits:
                self.is_digits = is_all_digits(values, number)
            self._add_spelling(present, number.filter(values.is_not_null()))
            self._update_bounds(self._null_named(self._drop_overlong(values, number, where)), where)
        if self.formats:
            few = present.head(20)
            near = [form for form in self.formats if not self.numeric and not parse_times_as(few, form).null_count()]
            self.formats = tuple(form for form in near if not parse_times_as(present, form).null_count())
        self.states_offset = self.states_offset or (not self.numeric and has_own_clock(present))

    def _add_spelling(self, present: pl.Series, number: pl.Series) -> None:
        """Take in how numbers are written; whole ones in one batch and decimals in another do not write back alike."""
        is_whole = number.dtype == pl.Int64
        is_same = bool((number.cast(pl.String) == present).fill_null(value=False).all())
        self.writes_back &= is_same and self.is_spelled_whole in (None, is_whole)
        self.is_spelled_whole = is_whole
        if self.is_code:
            self.is_code = bool((number >= 0).all()) and is_whole if is_same else bool(present.str.contains(WHOLE_DIGITS).all())
        if self.is_code and not is_same and self.first_code is None:
            codes = present.filter(present.str.contains(NAME_DIGITS) | number.cast(pl.Int64, strict=False).is_null())
            self.first_code = next(iter(codes.head(1)), None)

    @property
    def is_named_in_digits(self) -> bool:
        """Whether its numbers are names by its role or by how they are written."""
        if self.is_amount or not self.text:
            return False
        return not self.writes_back if self.is_name else self.is_code and self.first_code is not None

    def _drop_overlong(self, values: pl.Series, number: pl.Series, where: "RowLocator") -> pl.Series:
        """The numbers without what digits alone make enormous, which is damage only where other numbers have decimals."""
        is_overlong = is_too_large(number)
        if not is_overlong.any() or not is_all_digits(values.filter(is_overlong), number.filter(is_overlong)):
            return number
        row = int(is_overlong.arg_true()[0])
        self.first_overlong = self.first_overlong or (str(values[row]), where.describe_row(row))
        return number.set(is_overlong, None)

    @property
    def is_digit_name(self) -> bool:
        """Whether it is text that happens to be written in digits (`contract.is_digit_name`)."""
        return self.first_overlong is not None and self.is_digits

    @property
    def has_joined_names(self) -> bool:
        """Whether its numbers are names, for some are two in one (`contract.has_joined_names`)."""
        return 0 < self.n_odd < self.rows - self.missing and self.is_joined and self.is_digits

    def _add_own(self, values: pl.Series, where: "RowLocator") -> None:
        self.dtype = values.dtype
        if values.dtype.is_numeric():
            self.whole &= values.dtype.is_integer()
            self._update_bounds(values, where)

    def _update_bounds(self, number: pl.Series, where: "RowLocator") -> None:
        values = number.drop_nulls()
        if not len(values):
            return
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        if self.is_increasing:
            is_above = float(values[0]) > self.spread.compute_range()[1]
            self.is_increasing = is_above and bool((values.diff().drop_nulls() > 0).all())
        self.spread.add(values)
        if max(-low, high) > MAX_NUMBER and self.name not in where.lenient_columns:
            row = int((number.abs() > MAX_NUMBER).fill_null(value=False).arg_true()[0])
            raise _build_infinite_error(self.name, where.describe_row(row))

    def choose_center(self) -> float:
        """What is to be subtracted of its numbers before they become float32; 0.0 where that loses nothing."""
        return choose_center_of_range(*self.range)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest of its numbers, without those that stand for missing."""
        return self.spread.compute_range(without=tuple(self.sentinels))

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.infer_dtype()[0] in ("int", "float")

    @property
    def sentinels(self) -> Mapping[float, int]:
        """The numbers that stand for missing although nobody said so, and how often each came."""
        return self.spread.find_sentinels() if self.may_be_missing and not self.is_name else {}

    @property
    def is_read_as_numbers(self) -> bool:
        """Whether the text is numbers, and no names."""
        is_numeric = self.text and self.numeric and self.n_typed > 0 and not self.are_months
        return is_numeric and not self.is_digit_name and not self.is_named_in_digits

    @property
    def are_months(self) -> bool:
        """Whether the numbers are months that are written as numbers are (`find_dotted_months`)."""
        if self.whole or self.is_name or self.value_counts is None or len(self.value_counts) > MAX_MONTHS:
            return False
        return find_dotted_months(pl.Series([str(value) for value in self.value_counts if value != ALWAYS_TYPED])) is not None

    @property
    def n_typed(self) -> int:
        """How many values are neither missing nor "None"."""
        return self.rows - self.missing - self.n_none

    @property
    def n_missing(self) -> int:
        """How many values are missing in the column's type; "None" is the name of a level among names."""
        n_none = self.n_none if self.infer_dtype()[0] not in ("category", "text") else 0
        return self.missing + n_none + (sum(self.sentinels.values()) if self.is_number else 0)

    @property
    def distinct(self) -> int:
        """How many different values there are, as far as they are counted."""
        if self.value_counts is not None:
            return len(self.value_counts) - int(self.n_none > 0 and self.is_read_as_numbers)
        return MAX_COUNTED_VALUES + 1

    def infer_dtype(self) -> tuple[Dtype, str | None]:
        """The type, and the format of a time that comes as text."""
        if not self.text:
            return self._infer_own_dtype(), None
        if self.missing == self.rows:
            return "category", None
        if self.is_read_as_numbers:
            return ("int" if self.whole else "float"), None
        levels = None if self.value_counts is None else {str(value).lower() for value in self.value_counts} - {"none"}
        if self.n_typed and levels is not None and levels <= {"true", "false"}:
            return "bool", None
        if self.n_typed and self.formats:
            return "time", self.formats[0]
        if self.notation is not None:
            return _infer_series_dtype(self.notation.values), None
        return infer_text_dtype(self.distinct, self.rows - self.missing), None

    @cached_property
    def notation(self) -> ReadColumn | None:
        """How a text is read that is neither plain numbers nor times of one format, by its different values or a sample of them.

        The rule is that of tables that fit into memory; None where it is text by that rule too. For when all rows are counted.
        """
        if not self.text or self.is_name or self.is_digit_name or self.has_joined_names:
            return None
        values = self.sample if self.value_counts is None else self.value_counts
        rules = ReadingRules(self.missing_words, may_be_names=not self.is_amount, may_be_missing=False)
        column = infer_text_column(pl.Series(self.name, list(map(str, values)), dtype=pl.String), rules)
        if column.values.dtype == pl.String:
            self.first_unlike, self.name_remarks = column.odd, tuple(one for one in column.remarks if one[0] in OF_NAMES)
            return None
        if column.values.dtype.is_numeric():
            # How often a number came is known as long as its texts are counted; a sample counts each once.
            times = None if self.value_counts is None else pl.Series(list(self.value_counts.values()))
            self.spread = NumberSpread()
            self.spread.add(column.values, times)
        return column

    @property
    def reading(self) -> ColumnReading:
        """How the text is read."""
        dtype, form = self.infer_dtype()
        sentinels = (*self.named_numbers, *self.sentinels) if dtype in ("int", "float") else ()
        if form is not None or dtype in ("category", "text") or self.is_read_as_numbers or self.notation is None:
            number, times = NumberFormat(grouped=self.has_marks or None), () if form is None else (form,)
            return ColumnReading(number, times=times, missing=self.missing_words, sentinels=sentinels)
        return replace(self.notation.reading, sentinels=sentinels)

    def _infer_own_dtype(self) -> Dtype:
        if self.dtype is None or self.dtype == pl.String:
            return infer_text_dtype(self.distinct, self.rows - self.missing)
        if self.dtype == pl.Boolean:
            return "bool"
        if self.dtype.is_temporal():
            return "time"
        return "int" if self.whole else "float"

    @property
    def is_in_notation(self) -> bool:
        """Whether it is read by its notation."""
        dtype, form = self.infer_dtype()
        return self.text and form is None and dtype not in ("category", "text") and not self.is_read_as_numbers

    def refuse_damage(self) -> None:
        """Raise ColumnError where a column of numbers has a few values that are none, or that no number holds."""
        if (
            self.is_digit_name
            or self.has_joined_names
            or (not self.numeric and self.infer_dtype()[0] not in ("category", "text"))
        ):
            return
        if self.first_overlong is not None and self.numeric:
            raise _build_infinite_error(self.name, self.first_overlong[1])
        present = self.rows - self.missing
        if self.n_odd and self.distinct > 50 and self.n_odd <= (1 - NEARLY_ALL) * present and self.first_odd is not None:
            value, row = self.first_odd
            raise ColumnError(
                f"column {self.name!r} holds numbers, but not in {self.n_odd:,} of its rows: {value!r} in {row}; "
                "mend them, leave them empty, or use --drop."
            )


def _infer_series_dtype(series: pl.Series) -> Dtype:
    """The type of values that were read."""
    if series.dtype.is_temporal():
        return "time"
    if series.dtype == pl.Boolean:
        return "bool"
    return "int" if series.dtype.is_integer() else "float"


def _build_infinite_error(name: str, row: str) -> ColumnError:
    return ColumnError(
        f"column {name!r}: an infinite or enormous value in {row}; "
        "expected finite numbers: mend them, leave them empty, or use --drop."
    )


@dataclass(frozen=True)
class RowLocator:
    """Where the rows of a batch stand in their file; `positions` are their places in the batch.

    Nothing is learned from the `lenient_columns`, so that they need not be whole.
    """

    batch: Batch
    positions: pl.Series
    lenient_columns: frozenset[str | None] = frozenset()

    def describe_row(self, position: int) -> str:
        """The row at a position, for messages: counted from 1, without the header."""
        return f"row {self.batch.first + int(self.positions[position]) + 1:,} of {self.batch.path.name}"


def strip_value_text(raw: pl.Series, is_name: bool, missing: Sequence[str] = ()) -> pl.Series:
    """The text of a batch without blanks around it, null where it is missing; of a name as names are stripped."""
    return strip_name(raw) if is_name else null_missing_words(raw, missing)
