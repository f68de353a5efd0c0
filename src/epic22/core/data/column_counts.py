"""What has been seen of each column of a table that is read a batch at a time: how it can be typed, and how it is written.

The different values of a column are counted as long as they are few, and are read by the rule of a table that fits into memory.
Of a column with more it is known which types and formats every value so far fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import polars as pl

from epic22.core.column import ColumnReading, NumberFormat
from epic22.core.data.batches import Batch
from epic22.core.data.column_reading import (
    ALWAYS_TYPED,
    JOINED,
    MISSING,
    MISSING_WORDS,
    NAMES,
    SENTINELS,
    TYPED_MISSING_WORDS,
    Occurrences,
    ReadColumn,
    ReadingRules,
    describe_digit_names,
    describe_joined_names,
    infer_text_column,
    is_all_digits,
    is_too_large,
    list_numbers,
    null_missing_words,
    parse_text,
    read_text,
    strip_text,
)
from epic22.core.data.names import keeps_names_apart, strip_ends, strip_name
from epic22.core.data.number_format import NAME_DIGITS, OPEN_POINTS
from epic22.core.data.preprocess import choose_center_of_range
from epic22.core.data.schema_inference import (
    MAX_REPEATED_LEVELS,
    describe_early_times,
    find_early_times,
    infer_label_column,
    infer_name_column,
    infer_text_dtype,
    normalize_type,
    parse_numbers,
)
from epic22.core.data.sentinels import NumberSpread, are_sentinels, describe_sentinels
from epic22.core.data.time_format import TIME_FORMATS, has_own_clock, parse_times_as, read_offsets
from epic22.core.data.unread_notation import NEARLY_ALL
from epic22.core.errors import ColumnError
from epic22.core.task import Dtype

WHOLE_DIGITS = r"^[0-9]+(?:[eE][0-9]+)?$"
"""Whole numbers without a sign, as codes are written."""

MAX_COUNTED_VALUES = MAX_REPEATED_LEVELS
"""Different values of a column are counted up to this many; beyond, it is known to have more."""

MAX_ODD_VALUES = 1_000
"""Of values that are no plain numbers up to this many more are kept, for the question how they are written."""


@dataclass
class ValueCount:
    """How many rows have a value, how many of them a label, and the first of them, counted from 0 over all files."""

    n_rows: int = 0
    n_labelled: int = 0
    first_row: int = 0


@dataclass
class ColumnCounts:
    """What has been seen of one column. `values` are its different values in the order in which they came, None once there were
    too many; `rows` and `missing` are counts of labelled rows.

    `is_name`: the column is an id or a group, whose text stays as it was. `files` are the first row and the name of each file,
    where there are several. `is_increasing` is whether numbers only ever rose; `n_early` times are before any
    that text has. `keeps_apart`: names are as many in their own type
    as in text.

    Of text with too many values: `n_present` rows have one. `formats` are the formats of time that every value fits. `is_digits`
    is whether every number was written in digits alone, `first_overlong` the first that was too long to be one, and its row.
    `writes_back`: every number writes back as the text that it was; `is_code` and `first_code`: all could be codes, and the first
    that is no number by how it is written. `n_none`: how often "None" came. `has_marks`: some number has a comma; `is_open`: the
    points of all may part thousands. `first_reading` is how the first values are read, `sample` are these, some that are unlike
    them, and the first row of each. `states_offset`: some time states its offset from UTC.
    """

    name: str
    rules: ReadingRules = field(default_factory=ReadingRules)
    is_name: bool = False
    is_label: bool = False
    text: bool = False
    dtype: pl.DataType | None = None
    rows: int = 0
    missing: int = 0
    values: dict[object, ValueCount] | None = field(default_factory=dict)
    files: tuple[tuple[int, str], ...] = ()
    whole: bool = True
    spread: NumberSpread = field(default_factory=NumberSpread)
    is_increasing: bool = True
    n_infinite: int = 0
    first_infinite: int = 0
    n_early: int = 0
    first_early: tuple[datetime, int] | None = None
    n_present: int = 0
    numeric: bool = True
    n_odd: int = 0
    first_odd: tuple[str, int] | None = None
    is_digits: bool = True
    is_joined: bool = True
    first_overlong: tuple[str, int] | None = None
    writes_back: bool = True
    is_spelled_whole: bool | None = None
    is_code: bool = True
    first_code: str | None = None
    n_none: int = 0
    first_reading: ReadColumn | None = None
    formats: tuple[str, ...] = TIME_FORMATS
    sample: dict[str, int] = field(default_factory=dict)
    has_marks: bool = False
    is_open: bool = True
    states_offset: bool = False
    keeps_apart: bool = True

    def add(self, raw: pl.Series, is_labelled: pl.Series, first_row: int) -> None:
        """Take the values of a batch in, whose first row has this number."""
        own = normalize_batch(raw)
        self.text = own.dtype == pl.String
        values = self._strip(own) if self.text else self._null_named(own)
        n_labelled = int(is_labelled.sum())
        self.rows += n_labelled
        self.missing += values.null_count() if n_labelled == len(values) else int((values.is_null() & is_labelled).sum())
        if not self.text:
            self.dtype = values.dtype
            self.keeps_apart = self.keeps_apart and (not self.is_name or keeps_names_apart(strip_name(raw), values))
        if values.null_count() == len(values):
            return
        self.dtype = values.dtype
        rows = pl.int_range(first_row, first_row + len(values), eager=True)
        is_counted = self.values is not None and self._count(values, is_labelled, rows)
        if not self.text:
            self.states_offset = self.states_offset or has_own_clock(raw)
            self._add_numbers(values, None, rows)
            self._add_early_times(values, rows)
        elif not is_counted:
            self._add_text(values, None, rows)

    def _strip(self, text: pl.Series) -> pl.Series:
        """Text without blanks around it, null where it is missing; of a label with the words for missing, which are counted."""
        return strip_ends(text) if self.is_label else strip_value_text(text, self.is_name, self.rules.missing)

    def _null_named(self, own: pl.Series) -> pl.Series:
        """Numbers without those that the user says mean missing."""
        return own.set(are_sentinels(own, self.named_numbers), None) if own.dtype.is_numeric() and self.named_numbers else own

    @property
    def named_numbers(self) -> tuple[float, ...]:
        """The user's words for missing that are numbers: files with types have them as such."""
        return () if self.is_name else tuple(list_numbers(self.rules.missing))

    def _count(self, values: pl.Series, is_labelled: pl.Series, rows: pl.Series) -> bool:
        """Count the values, and whether they were: with too many different ones nothing is counted from then on."""
        assert self.values is not None
        frame = pl.DataFrame({"value": values, "labelled": is_labelled, "row": rows}).drop_nulls("value")
        counted = frame.group_by("value", maintain_order=True).agg(pl.len(), pl.col("labelled").sum(), pl.col("row").first())
        if counted.height > MAX_COUNTED_VALUES:
            self._stop_counting()
            if self.text:
                self._add_to_sample(counted["value"], counted["row"], MAX_COUNTED_VALUES)
            return False
        for value, n_rows, n_labelled, row in counted.iter_rows():
            count = self.values.setdefault(value, ValueCount(first_row=row))
            count.n_rows += n_rows
            count.n_labelled += n_labelled
        if len(self.values) > MAX_COUNTED_VALUES:
            self._stop_counting()
        return True

    def _stop_counting(self) -> None:
        """From now on know of the values, those counted among them, what they fit."""
        values, occurrences = self._list_counted()
        self.values = None
        if self.text and occurrences.first_rows is not None:
            self._add_to_sample(values, occurrences.first_rows, MAX_COUNTED_VALUES)
            self._add_text(values, occurrences.counts, occurrences.first_rows)

    def _list_counted(self) -> tuple[pl.Series, Occurrences]:
        """The different values that were counted, and how often each came."""
        assert self.values is not None
        values = pl.Series(self.name, list(self.values), dtype=self.dtype or pl.String)
        counts = pl.Series([one.n_rows for one in self.values.values()], dtype=pl.Int64)
        first_rows = pl.Series([one.first_row for one in self.values.values()], dtype=pl.Int64)
        return values, Occurrences(counts, first_rows, self.files)

    def _add_to_sample(self, values: pl.Series, rows: pl.Series, max_values: int) -> None:
        """Keep values for the question how the text is read."""
        for value, row in zip(values, rows, strict=True):
            if len(self.sample) >= max_values:
                return
            self.sample.setdefault(value, row)

    def _add_text(self, values: pl.Series, counts: pl.Series | None, rows: pl.Series) -> None:
        """Take text in of which no counts are kept; with `counts`, each value as often as it says there."""
        if self.is_label:
            values = null_missing_words(values, self.rules.missing)
        occurrences = Occurrences(counts)
        self.n_present += occurrences.count(values.is_not_null())
        if not self.is_name:
            is_none = (values == ALWAYS_TYPED).fill_null(value=False)
            if is_none.any():
                self.n_none += occurrences.count(is_none)
                self.sample.setdefault(ALWAYS_TYPED, int(rows[int(is_none.arg_true()[0])]))
            values = values.set(is_none, None)
        present = values.drop_nulls()
        if present.is_empty():
            return
        number = parse_numbers(values)
        bad = number.is_null() & values.is_not_null()
        if bad.any():
            self._add_odd(values, bad, rows)
            self.n_odd += occurrences.count(bad & ~_are_typed_words(values))
        self.whole &= number.dtype == pl.Int64
        self.has_marks = self.has_marks or bool(present.str.contains(",", literal=True).any())
        self.is_open = self.is_open and bool(present.str.contains(OPEN_POINTS).all())
        if self.is_digits:
            self.is_digits = is_all_digits(values, number)
        self._add_spelling(present, number.filter(values.is_not_null()))
        self._add_numbers(self._null_named(self._drop_overlong(values, number, rows)), counts, rows)
        if self.formats:
            few = present.head(20)
            near = [form for form in self.formats if not self.numeric and not parse_times_as(few, form).null_count()]
            self.formats = tuple(form for form in near if not parse_times_as(present, form).null_count())
        self.states_offset = self.states_offset or (not self.numeric and has_own_clock(present))

    def _add_odd(self, values: pl.Series, bad: pl.Series, rows: pl.Series) -> None:
        """Take in values that are no numbers: some of them, and all that may be words for missing."""
        self.numeric = False
        odd = pl.DataFrame({"value": values, "row": rows}).filter(bad).unique("value", keep="first", maintain_order=True)
        is_word = _are_typed_words(odd["value"])
        words, odd = odd.filter(is_word), odd.filter(~is_word)
        self._add_to_sample(words["value"], words["row"], MAX_COUNTED_VALUES + MAX_ODD_VALUES + len(TYPED_MISSING_WORDS))
        if odd.is_empty():
            return
        self.first_odd = self.first_odd or (odd["value"][0], odd["row"][0])
        self.is_joined &= bool(odd["value"].str.contains(JOINED).all())
        unlike = odd if len(self.sample) < MAX_COUNTED_VALUES else odd.filter(self._is_unlike(odd["value"]))
        self._add_to_sample(unlike["value"], unlike["row"], MAX_COUNTED_VALUES + MAX_ODD_VALUES)

    def _is_unlike(self, values: pl.Series) -> pl.Series:
        """Which values are not written as the first of the column are."""
        if self.first_reading is None:
            sample = pl.Series(self.name, list(self.sample), dtype=pl.String)
            self.first_reading = infer_text_column(sample, replace(self.rules, may_be_missing=False))
        dtype = _name_dtype(self.first_reading.values)
        if dtype is None:
            return pl.repeat(value=True, n=len(values), eager=True)
        return parse_text(values, dtype, self.first_reading.reading).is_null()

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

    def _drop_overlong(self, values: pl.Series, number: pl.Series, rows: pl.Series) -> pl.Series:
        """The numbers without what digits alone make enormous, which is damage only where other numbers have decimals."""
        is_overlong = is_too_large(number)
        if not is_overlong.any() or not is_all_digits(values.filter(is_overlong), number.filter(is_overlong)):
            return number
        position = int(is_overlong.arg_true()[0])
        self.first_overlong = self.first_overlong or (str(values[position]), int(rows[position]))
        return number.set(is_overlong, None)

    def _add_early_times(self, values: pl.Series, rows: pl.Series) -> None:
        """Take in times that are before any that text has."""
        if values.dtype == pl.Datetime("us") and (early := find_early_times(values)).any():
            position = int(early.arg_true()[0])
            self.n_early += int(early.sum())
            self.first_early = self.first_early or (values[position], int(rows[position]))

    def _add_numbers(self, numbers: pl.Series, counts: pl.Series | None, rows: pl.Series) -> None:
        """Take numbers in: their range, and the first that is infinite to a model."""
        if not numbers.dtype.is_numeric():
            return
        if not self.text:
            self.whole &= numbers.dtype.is_integer()
        present = numbers.drop_nulls()
        if present.is_empty():
            return
        if self.is_increasing:
            is_above = float(present[0]) > self.spread.compute_range()[1]
            is_once = counts is None or bool((counts == 1).all())
            self.is_increasing = is_above and is_once and bool((present.diff().drop_nulls() > 0).all())
        self.spread.add(numbers, counts)
        infinite = is_too_large(numbers)
        if infinite.any():
            self.first_infinite = self.first_infinite if self.n_infinite else int(rows[int(infinite.arg_true()[0])])
            self.n_infinite += Occurrences(counts).count(infinite)

    @property
    def is_counted_text(self) -> bool:
        """Whether it is text all of whose different values are counted."""
        return self.text and self.values is not None

    @cached_property
    def _counted(self) -> tuple[pl.Series, Occurrences]:
        """The different values, and how often each came, once all rows are counted."""
        return self._list_counted()

    @cached_property
    def column(self) -> ReadColumn:
        """How it is read, with all different values in their type where they are counted, else with some. For when all rows are
        counted."""
        if not self.text or self.dtype is None:
            return self._read_own()
        if self.values is None:
            column = self._read_uncounted()
            return replace(column, values=column.values.clear())
        values, occurrences = self._counted
        if self.is_name:
            return infer_name_column(values)
        return (infer_label_column if self.is_label else infer_text_column)(values, self.rules, occurrences)

    def _read_own(self) -> ReadColumn:
        """A column that has a type of its own, or no value at all."""
        dtype = pl.String if self.dtype is None or not self.keeps_apart else self.dtype
        values = pl.Series(self.name, [], dtype=dtype)
        column = ReadColumn(values, ColumnReading(missing=() if self.is_name else self.rules.missing))
        if values.dtype.is_temporal() and self.first_early is not None and not self.is_name:
            first, row = self.first_early
            return replace(column, problem=describe_early_times(self.name, self.n_early, first, self._describe_row(row)))
        if not values.dtype.is_numeric() or self.is_name:
            return column
        return replace(self._null_sentinels(column), problem=self._describe_infinite())

    def _null_sentinels(self, column: ReadColumn) -> ReadColumn:
        """The column of numbers with those that stand for missing."""
        sentinels = self.spread.find_sentinels() if self.rules.may_be_missing else {}
        remarks = ((SENTINELS, describe_sentinels(self.name, sentinels)),) if sentinels else ()
        reading = replace(column.reading, sentinels=(*self.named_numbers, *sentinels))
        return replace(column, reading=reading, remarks=(*column.remarks, *remarks))

    def _describe_infinite(self) -> str | None:
        if not self.n_infinite:
            return None
        return (
            f"column {self.name!r}: {self.n_infinite:,} infinite or enormous values, first in "
            f"{self._describe_row(self.first_infinite)} where finite numbers are expected"
        )

    def _describe_row(self, row: int) -> str:
        return Occurrences(first_rows=pl.Series([row]), files=self.files).describe_first(pl.Series([True]))

    @cached_property
    def _notation(self) -> ReadColumn:
        """How the values are read that were kept of text with too many."""
        texts = sorted(self.sample, key=lambda text: self.sample[text])
        return infer_text_column(pl.Series(self.name, texts, dtype=pl.String), replace(self.rules, may_be_missing=False))

    @property
    def _has_number_format(self) -> bool:
        """Whether the numbers are read by a format, for their marks are no plain ones."""
        return self.rules.decimal == "," or (not self.whole and self.is_open and self._notation.reading.number.decimal == ",")

    @property
    def _is_read_as_numbers(self) -> bool:
        """Whether text with too many values is plain numbers, and no names."""
        is_numeric = self.numeric and self.n_present > self.n_none and not self._has_number_format
        return is_numeric and not self._is_digit_name and not self._is_named_in_digits

    @property
    def _is_named_in_digits(self) -> bool:
        """Whether its numbers are names by its role or by how they are written."""
        if self.is_name:
            return not self.writes_back
        return self.rules.may_be_names and self.is_code and self.first_code is not None

    @property
    def _is_digit_name(self) -> bool:
        """Whether it is text that happens to be written in digits."""
        return self.first_overlong is not None and self.is_digits

    @property
    def _has_joined_names(self) -> bool:
        """Whether its numbers are names, for some are two in one."""
        return 0 < self.n_odd < self.n_present and self.is_joined and self.is_digits

    def _read_uncounted(self) -> ReadColumn:
        """Text with too many values to be counted."""
        nothing = pl.Series(self.name, [], dtype=pl.String)
        names = ReadColumn(nothing, ColumnReading(missing=() if self.is_name else self.rules.missing))
        if self._is_read_as_numbers:
            reading = replace(names.reading, number=NumberFormat(grouped=self.has_marks or None))
            numbers = ReadColumn(nothing.cast(pl.Int64 if self.whole else pl.Float64), reading, problem=self._describe_overlong())
            return numbers if self.is_name else self._null_sentinels(replace(numbers, remarks=self._remark_numbers()))
        if self.is_name:
            is_time = bool(self.formats) and self.n_present > 0
            times = replace(names, values=nothing.cast(pl.Datetime("us")), reading=ColumnReading(times=self.formats[:1]))
            return times if is_time else names
        if self._is_digit_name and self.first_overlong is not None:
            return replace(names, notes=(describe_digit_names(self.name, self.first_overlong[0]),))
        if self._has_joined_names and self.first_odd is not None:
            return replace(names, notes=(describe_joined_names(self.name, self.first_odd[0]),))
        if self.numeric and self._is_named_in_digits:
            return replace(names, remarks=((NAMES, f"{self.name} ({self.first_code!r})"),))
        return self._read_in_notation(names)

    def _remark_numbers(self) -> tuple[tuple[str, str], ...]:
        """What is said of numbers with marks, and of "None" among numbers."""
        has_open_marks = (self.has_marks or (self.is_open and not self.whole)) and self._notation.values.dtype.is_numeric()
        marks = tuple(one for one in self._notation.remarks if one[0] != MISSING) if has_open_marks else ()
        return (*marks, (MISSING, f"{self.name} ({ALWAYS_TYPED!r})")) if self.n_none else marks

    def _read_in_notation(self, names: ReadColumn) -> ReadColumn:
        """Text that is neither plain numbers nor named in digits, by the values that were kept."""
        column = self._notation
        if self.formats and not set(column.reading.times[:1]) & set(self.formats):
            reading = replace(names.reading, times=self.formats[:1])
            return replace(names, values=names.values.cast(pl.Datetime("us")), reading=reading)
        if column.values.dtype.is_numeric():
            # How often a number came is not known; the sample counts each once.
            self.spread = NumberSpread()
            self.spread.add(column.values)
            return self._null_sentinels(column)
        if column.values.dtype != pl.String:
            return column
        return replace(column, problem=self._describe_odd(column.odd))

    def _describe_overlong(self) -> str | None:
        """What is wrong with numbers of which some are infinite to a model."""
        if self.first_overlong is None:
            return self._describe_infinite()
        return f"column {self.name!r}: an infinite or enormous value in {self._describe_row(self.first_overlong[1])}"

    def _describe_odd(self, odd: str | None) -> str | None:
        """What is wrong with names of which nearly all are numbers or times."""
        if self.first_odd is not None and 0 < self.n_odd <= (1 - NEARLY_ALL) * self.n_present:
            value, row = self.first_odd
            where = self._describe_row(row)
            return f"column {self.name!r} holds numbers, but not in {self.n_odd:,} of its rows: {value!r} in {where}"
        if odd is None:
            return None
        return f"column {self.name!r} holds numbers or times, and {odd!r} in {self._describe_row(self.sample[odd])} is none"

    @cached_property
    def labelled_values(self) -> pl.DataFrame | None:
        """The different values of the labelled rows in their type, frame [value, n], each as often as it came; None where they
        are too many."""
        if self.values is None:
            return None
        values = self.column.values if self.text and self.dtype is not None else self._counted[0]
        counts = pl.Series([one.n_labelled for one in self.values.values()], dtype=pl.Int64)
        frame = pl.DataFrame({"value": values, "n": counts}).filter(pl.col("n") > 0).drop_nulls("value")
        return frame.group_by("value", maintain_order=True).agg(pl.col("n").sum())

    @property
    def distinct(self) -> int | None:
        """How many different values there are in labelled rows; None where they are too many to be counted."""
        return None if self.labelled_values is None else self.labelled_values.height

    @property
    def has_missing(self) -> bool:
        """Whether some labelled row has no value in the column's type."""
        if self.labelled_values is not None and self.is_counted_text:
            return int(self.labelled_values["n"].sum()) < self.rows
        return self.missing > 0 or (self.n_none > 0 and self.is_number) or len(self.reading.sentinels) > len(self.named_numbers)

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of its values in labelled rows, in order."""
        return () if self.labelled_values is None else tuple(self.labelled_values["value"].cast(pl.String).sort())

    def infer_dtype(self) -> Dtype:
        """The type of the labelled rows' values."""
        dtype = _name_dtype(self.column.values)
        if dtype is not None:
            return "float" if dtype == "int" and not self.text and not self.whole else dtype
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
        return self.column.reading

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest of its numbers, without those that stand for missing."""
        if not self.is_counted_text:
            return self.spread.compute_range(without=self.reading.sentinels)
        spread = NumberSpread()
        if self.column.values.dtype.is_numeric():
            spread.add(self.column.values)
        return spread.compute_range()

    @property
    def only_rises(self) -> bool:
        """Whether its numbers only ever rose from row to row."""
        if not self.is_counted_text:
            return self.is_increasing
        values, occurrences = self.column.values, self._counted[1]
        is_once = occurrences.counts is not None and bool((occurrences.counts == 1).all())
        return is_once and bool((values.diff().drop_nulls() > 0).all())

    def choose_center(self) -> float:
        """What is to be subtracted of its numbers before they become float32; 0.0 where that loses nothing."""
        return choose_center_of_range(*self.range)

    @property
    def unlabelled_words(self) -> tuple[str, ...]:
        """Of a label's texts, without blanks around them, those that say that there is none."""
        if not self.text:
            return ()
        if self.values is not None:
            return tuple(self._counted[0].filter(self.column.values.is_null()))
        typed = (ALWAYS_TYPED,) if self.column.values.dtype != pl.String else ()
        return (*MISSING_WORDS, *self.reading.missing, *typed)

    @property
    def has_unlabelled_words(self) -> bool:
        """Whether rows that were taken for labelled are not, by how the label is read."""
        if self.labelled_values is not None:
            return int(self.labelled_values["n"].sum()) < self.rows - self.missing
        known = {*MISSING_WORDS, *self.rules.missing, *((ALWAYS_TYPED,) if not self.n_none else ())}
        return bool(self.named_numbers) or not known.issuperset(self.unlabelled_words)

    def find_values(self, raw: pl.Series, words: Sequence[str]) -> pl.Series:
        """Which rows of a batch have a value that is none of these words, nor one for missing in every column."""
        own = normalize_batch(raw)
        values = null_missing_words(own, (*self.rules.missing, *words)) if own.dtype == pl.String else self._null_named(own)
        return values.is_not_null()

    def find_labels(self, raw: pl.Series) -> pl.Series:
        """Which rows of a batch have a label, by how the label is read."""
        has_value = self.find_values(raw, self.unlabelled_words)
        dtype = _name_dtype(self.column.values)
        if self.values is not None or not self.text or dtype is None or not self.named_numbers:
            return has_value
        typed = parse_text(strip_text(raw, dtype, self.reading), dtype, self.reading)
        return has_value & ~are_sentinels(typed, self.named_numbers)

    @property
    def has_offsets(self) -> bool:
        """Whether some time of a labelled row states an offset from UTC other than zero."""
        if self.values is None or not self.is_counted_text:
            return self.states_offset
        texts, is_labelled = self._counted[0], pl.Series([one.n_labelled > 0 for one in self.values.values()])
        return bool((read_offsets(texts, self.column.values).filter(is_labelled) != 0).any())

    def cast(self, raw: pl.Series, where: "RowLocator") -> pl.Series:
        """A batch's values in the type of the column. Raises ColumnError naming the row of a value that is not of it."""
        own, values = normalize_batch(raw), self.column.values
        if own.dtype != pl.String:
            return self._cast_own(own) if self.keeps_apart else strip_name(raw)
        if values.dtype == pl.String:
            return self._strip(own)
        if self.values is not None:
            return self._strip(own).replace_strict(self._counted[0], values, default=None, return_dtype=values.dtype)
        dtype = self.infer_dtype()
        typed = self._parse_whole(own) if dtype == "int" else read_text(own, dtype, self.reading)
        if not self.is_name and typed.null_count() != own.null_count():
            self._refuse_unread(own, dtype, where)
        return typed

    def _parse_whole(self, text: pl.Series) -> pl.Series:
        """Text as whole numbers, to the last digit."""
        own = strip_text(text, "int", self.reading)
        number = own.cast(pl.Int64, strict=False)
        if number.null_count() > own.null_count():
            number = parse_text(own, "int", self.reading).cast(pl.Int64)
        return number.set(are_sentinels(number, self.reading.sentinels), None) if self.reading.sentinels else number

    def _cast_own(self, own: pl.Series) -> pl.Series:
        """The values of a file with types."""
        sentinels = self.reading.sentinels
        typed = own.set(are_sentinels(own, sentinels), None) if sentinels and own.dtype.is_numeric() else own
        return typed.cast(pl.Float64) if self.infer_dtype() == "float" else typed

    def _refuse_unread(self, text: pl.Series, dtype: Dtype, where: "RowLocator") -> None:
        """Raise ColumnError where a value that is there does not fit the type."""
        own = strip_text(text, dtype, self.reading)
        odd = own.is_not_null() & parse_text(own, dtype, self.reading).is_null()
        if odd.any():
            row = int(odd.arg_true()[0])
            raise ColumnError(
                f"column {text.name!r} was read as {dtype}, and {text[row]!r} in {where.describe_row(row)} is not written so; "
                "mend it, leave it empty, say --missing, or use --drop."
            )


def normalize_batch(raw: pl.Series) -> pl.Series:
    """A batch's values in the types that models are made for, which are the same for every batch; text as it is.

    Whole numbers that may be beyond 64 bits are text, as they are all names where one is.
    """
    if raw.dtype == pl.UInt64:
        return raw.cast(pl.String)
    return raw if raw.dtype == pl.String else normalize_type(raw)


@dataclass(frozen=True)
class RowLocator:
    """Where the rows of a batch stand in their file; `positions` are their places in the batch."""

    batch: Batch
    positions: pl.Series

    def describe_row(self, position: int) -> str:
        """The row at a position, for messages: counted from 1, without the header."""
        return f"row {self.batch.first + int(self.positions[position]) + 1:,} of {self.batch.path.name}"


def strip_value_text(raw: pl.Series, is_name: bool, missing: Sequence[str] = ()) -> pl.Series:
    """The text of a batch without blanks around it, null where it is missing; of a name as names are stripped."""
    return strip_name(raw) if is_name else null_missing_words(raw, missing)


def _are_typed_words(values: pl.Series) -> pl.Series:
    """Which texts are words for missing among numbers and times."""
    return values.str.to_lowercase().is_in(list(TYPED_MISSING_WORDS)).fill_null(value=False)


def _name_dtype(values: pl.Series) -> Dtype | None:
    """The type of values that were read; None where they are text."""
    if values.dtype == pl.Boolean:
        return "bool"
    if values.dtype.is_temporal():
        return "time"
    if values.dtype.is_numeric():
        return "int" if values.dtype.is_integer() else "float"
    return None
