"""What is known of a column of text with too many different values to be counted: which types and formats every value fits."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from epic22.core.column import ColumnReading, NumberFormat
from epic22.core.data.batch_column import BatchColumn
from epic22.core.data.column_reading import JOINED, ReadColumn
from epic22.core.data.column_remarks import (
    MISSING,
    NAMES,
    FileStarts,
    Occurrences,
    describe_digit_names,
    describe_joined_names,
    describe_row,
)
from epic22.core.data.column_words import ALWAYS_TYPED, are_typed_words, null_missing_words
from epic22.core.data.number_spelling import NumberSpelling
from epic22.core.data.number_summary import NumberSummary
from epic22.core.data.schema_inference import parse_numbers
from epic22.core.data.sentinels import NumberSpread
from epic22.core.data.text_sample import TextSample
from epic22.core.data.time_format import TIME_FORMATS, has_own_clock, parse_times_as
from epic22.core.data.unread_notation import NEARLY_ALL


@dataclass
class UncountedText:
    """What all values of a column of text have in common; `n_present` rows have one, `n_none` of them "None".

    `is_numeric`: all are plain numbers or missing. `n_odd` are neither, the first of them at a row; `is_joined`: each of these is
    two numbers in one. `formats` are the formats of time that every value fits. `states_offset`: some time states its offset from
    UTC.
    """

    column: BatchColumn
    sample: TextSample
    numbers: NumberSummary = field(default_factory=NumberSummary)
    spelling: NumberSpelling = field(default_factory=NumberSpelling)
    n_present: int = 0
    n_none: int = 0
    is_numeric: bool = True
    n_odd: int = 0
    first_odd: tuple[str, int] | None = None
    is_joined: bool = True
    formats: tuple[str, ...] = TIME_FORMATS
    states_offset: bool = False

    def add(self, values: pl.Series, counts: pl.Series | None, rows: pl.Series) -> None:
        """Take text in, null where it is missing; with `counts`, each value as often as it says there."""
        if self.column.is_label:
            values = null_missing_words(values, self.column.rules.missing)
        occurrences = Occurrences(counts)
        self.n_present += occurrences.count(values.is_not_null())
        if not self.column.is_name:
            values = self._null_nones(values, occurrences, rows)
        present = values.drop_nulls()
        if present.is_empty():
            return
        number = parse_numbers(values)
        bad = number.is_null() & values.is_not_null()
        if bad.any():
            self._add_odd(values, bad, rows)
            self.n_odd += occurrences.count(bad & ~are_typed_words(values))
        self.spelling.add(present, number.filter(values.is_not_null()))
        self.numbers.add(self.column.null_named(self.spelling.drop_overlong(values, number, rows)), counts, rows)
        if self.formats:
            few = present.head(20)
            near = [form for form in self.formats if not self.is_numeric and not parse_times_as(few, form).null_count()]
            self.formats = tuple(form for form in near if not parse_times_as(present, form).null_count())
        self.states_offset = self.states_offset or (not self.is_numeric and has_own_clock(present))

    def _null_nones(self, values: pl.Series, occurrences: Occurrences, rows: pl.Series) -> pl.Series:
        """The values without "None", which is counted."""
        is_none = (values == ALWAYS_TYPED).fill_null(value=False)
        if is_none.any():
            self.n_none += occurrences.count(is_none)
            self.sample.first_rows.setdefault(ALWAYS_TYPED, int(rows[int(is_none.arg_true()[0])]))
        return values.set(is_none, None)

    def _add_odd(self, values: pl.Series, bad: pl.Series, rows: pl.Series) -> None:
        """Take in values that are no numbers: some of them, and all that may be words for missing."""
        self.is_numeric = False
        odd = pl.DataFrame({"value": values, "row": rows}).filter(bad).unique("value", keep="first", maintain_order=True)
        is_word = are_typed_words(odd["value"])
        words, odd = odd.filter(is_word), odd.filter(~is_word)
        self.sample.add_words(words["value"], words["row"])
        if odd.is_empty():
            return
        self.first_odd = self.first_odd or (odd["value"][0], odd["row"][0])
        self.is_joined &= bool(odd["value"].str.contains(JOINED).all())
        self.sample.add_odd(odd["value"], odd["row"])

    @property
    def _is_read_as_numbers(self) -> bool:
        """Whether it is plain numbers, and no names."""
        is_numeric = self.is_numeric and self.n_present > self.n_none and not self._has_number_format
        return is_numeric and not self._is_digit_name and not self._is_named_in_digits

    @property
    def _has_number_format(self) -> bool:
        """Whether the numbers are read by a format, for their marks are no plain ones."""
        has_open_points = not self.numbers.whole and self.spelling.is_open
        return self.column.rules.decimal == "," or (has_open_points and self.sample.notation.reading.number.decimal == ",")

    @property
    def _is_named_in_digits(self) -> bool:
        """Whether its numbers are names by its role or by how they are written."""
        if self.column.is_name:
            return not self.spelling.writes_back
        return self.column.rules.may_be_names and self.spelling.is_code and self.spelling.first_code is not None

    @property
    def _is_digit_name(self) -> bool:
        """Whether it is text that happens to be written in digits."""
        return self.spelling.first_overlong is not None and self.spelling.is_digits

    @property
    def _has_joined_names(self) -> bool:
        """Whether its numbers are names, for some are two in one."""
        return 0 < self.n_odd < self.n_present and self.is_joined and self.spelling.is_digits

    @property
    def _is_named(self) -> bool:
        """Whether it is names by its role, or by how its numbers are written."""
        is_named_in_digits = self.is_numeric and self._is_named_in_digits
        return self.column.is_name or self._is_digit_name or self._has_joined_names or is_named_in_digits

    def read(self, files: FileStarts) -> ReadColumn:
        """How it is read, with the values of the sample where these alone say it."""
        if self._is_read_as_numbers:
            return self._read_plain_numbers(files)
        return self._read_names() if self._is_named else self._read_in_notation(files)

    def _read_names(self) -> ReadColumn:
        """Names, or the times that an id or a group is."""
        names, name = self.column.build_empty(), self.column.name
        if self.column.is_name:
            is_time = bool(self.formats) and self.n_present > 0
            times = replace(self.column.build_empty(pl.Datetime("us")), reading=ColumnReading(times=self.formats[:1]))
            return times if is_time else names
        if self._is_digit_name and self.spelling.first_overlong is not None:
            return replace(names, notes=(describe_digit_names(name, self.spelling.first_overlong[0]),))
        if self._has_joined_names and self.first_odd is not None:
            return replace(names, notes=(describe_joined_names(name, self.first_odd[0]),))
        return replace(names, remarks=((NAMES, f"{name} ({self.spelling.first_code!r})"),))

    def _read_plain_numbers(self, files: FileStarts) -> ReadColumn:
        """Numbers that need no format."""
        empty = self.column.build_empty(pl.Int64 if self.numbers.whole else pl.Float64)
        reading = replace(empty.reading, number=NumberFormat(grouped=self.spelling.has_marks or None))
        numbers = replace(empty, reading=reading, problem=self._describe_too_large(files))
        if self.column.is_name:
            return numbers
        return self.column.read_sentinels(replace(numbers, remarks=self._remark_numbers()), self.numbers.spread)

    def _remark_numbers(self) -> tuple[tuple[str, str], ...]:
        """What is said of numbers with marks, and of "None" among numbers."""
        may_have_open_marks = self.spelling.has_marks or (self.spelling.is_open and not self.numbers.whole)
        has_open_marks = may_have_open_marks and self.sample.notation.values.dtype.is_numeric()
        marks = tuple(one for one in self.sample.notation.remarks if one[0] != MISSING) if has_open_marks else ()
        return (*marks, (MISSING, f"{self.column.name} ({ALWAYS_TYPED!r})")) if self.n_none else marks

    def _read_in_notation(self, files: FileStarts) -> ReadColumn:
        """Text that is neither plain numbers nor named in digits, by the values of the sample."""
        column = self.sample.notation
        if self.formats and not set(column.reading.times[:1]) & set(self.formats):
            times = self.column.build_empty(pl.Datetime("us"))
            return replace(times, reading=replace(times.reading, times=self.formats[:1]))
        if column.values.dtype.is_numeric():
            return self.column.read_sentinels(column, self._sample_spread)
        if column.values.dtype != pl.String:
            return column
        return replace(column, problem=self._describe_odd(column.odd, files))

    @cached_property
    def _sample_spread(self) -> NumberSpread:
        """How the numbers of the sample are spread: how often each came is not known, and so it counts once."""
        spread = NumberSpread()
        spread.add(self.sample.notation.values)
        return spread

    @property
    def spread(self) -> NumberSpread:
        """How its numbers are spread: all of them, or those of the sample where they are read in a notation."""
        is_plain = self._is_read_as_numbers or self._is_named or not self.sample.notation.values.dtype.is_numeric()
        return self.numbers.spread if is_plain else self._sample_spread

    def _describe_too_large(self, files: FileStarts) -> str | None:
        """What is wrong with numbers of which some are infinite to a model."""
        if self.spelling.first_overlong is None:
            return self.numbers.describe_infinite(self.column.name, files)
        where = describe_row(self.spelling.first_overlong[1], files)
        return f"column {self.column.name!r}: an infinite or enormous value in {where}"

    def _describe_odd(self, odd: str | None, files: FileStarts) -> str | None:
        """What is wrong with names of which nearly all are numbers or times."""
        name = self.column.name
        if self.first_odd is not None and 0 < self.n_odd <= (1 - NEARLY_ALL) * self.n_present:
            value, row = self.first_odd
            where = describe_row(row, files)
            return f"column {name!r} holds numbers, but not in {self.n_odd:,} of its rows: {value!r} in {where}"
        if odd is None:
            return None
        where = describe_row(self.sample.first_rows[odd], files)
        return f"column {name!r} holds numbers or times, and {odd!r} in {where} is none"
