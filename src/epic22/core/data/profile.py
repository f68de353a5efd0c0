"""What the columns of a table hold, found by reading it once a batch at a time: types, roles, levels, bounds, what is missing.

The same rules as `contract.infer`, applied to counts instead of whole columns. Rows without a label are left out and do not
count.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from epic22.core.column import ColumnReading, NumberFormat
from epic22.core.data.batches import Batch, Batches
from epic22.core.data.column_reading import (
    ALWAYS_TYPED,
    JOINED,
    MAX_NUMBER,
    MIXED_UNITS,
    NAMES,
    TRUTHS,
    TWO_DIGIT_YEARS,
    UNREAD,
    VARIANTS,
    WORDS,
    ReadColumn,
    ReadingRules,
    describe_digit_names,
    describe_joined_names,
    describe_problems,
    gather_remarks,
    infer_text_column,
    is_all_digits,
    is_too_large,
    null_missing_words,
    parse_text,
    read_text,
    strip_text,
)
from epic22.core.data.names import keeps_names_apart, strip_name
from epic22.core.data.number_format import NAME_DIGITS
from epic22.core.data.preprocess import choose_center_of_range
from epic22.core.data.schema_inference import (
    WHOLE_TIMES,
    Roles,
    build_offset_column,
    classify_whole_times,
    describe_offset,
    infer_role,
    infer_text_dtype,
    normalize_type,
    parse_numbers,
    read_row_times,
    read_whole_times,
    refuse_unfit_roles,
)
from epic22.core.data.time_format import TIME_FORMATS, has_own_clock, name_offset, parse_times_as, read_offsets
from epic22.core.data.unread_notation import NEARLY_ALL
from epic22.core.errors import ColumnError
from epic22.core.task import Column, Dtype

OF_NAMES = (MIXED_UNITS, UNREAD, TRUTHS, VARIANTS, WORDS)
"""What is remarked of names by their values alone, whichever rows they stand in."""

WHOLE_DIGITS = r"^[0-9]+(?:[eE][0-9]+)?$"
"""Whole numbers without a sign, as codes are written."""

MAX_COUNTED_VALUES = 10_000
"""Different values of a column are counted up to this many; beyond, it is known to have more."""

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
    those that the user names. `sample` holds different values of a text whose values are too many to be counted, `first_unlike`
    is one that is not what nearly all others are; `has_marks`: some number has a comma. `name_remarks`: what is said of names.
    `states_offset`: some time states its offset from UTC.
    """

    name: str
    is_name: bool = False
    is_amount: bool = False
    text: bool = False
    dtype: pl.DataType | None = None
    rows: int = 0
    missing: int = 0
    numeric: bool = True
    whole: bool = True
    minimum: float = float("inf")
    maximum: float = float("-inf")
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
        values = _strip_text(raw, self.is_name, self.missing_words) if self.text else normalize_type(raw)
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
            self._update_bounds(self._drop_overlong(values, number, where), where)
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
            self.is_increasing = float(values[0]) > self.maximum and bool((values.diff().drop_nulls() > 0).all())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        if max(-low, high) > MAX_NUMBER and self.name not in where.lenient_columns:
            row = int((number.abs() > MAX_NUMBER).fill_null(value=False).arg_true()[0])
            raise _build_infinite_error(self.name, where.describe_row(row))

    def choose_center(self) -> float:
        """What is to be subtracted of its numbers before they become float32; 0.0 where that loses nothing."""
        return choose_center_of_range(self.minimum, self.maximum)

    @property
    def is_read_as_numbers(self) -> bool:
        """Whether the text is numbers, and no names."""
        return self.text and self.numeric and self.n_typed > 0 and not self.is_digit_name and not self.is_named_in_digits

    @property
    def n_typed(self) -> int:
        """How many values are neither missing nor "None"."""
        return self.rows - self.missing - self.n_none

    @property
    def n_missing(self) -> int:
        """How many values are missing in the column's type; "None" is the name of a level among names."""
        return self.missing + (self.n_none if self.infer_dtype()[0] not in ("category", "text") else 0)

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
            self.minimum, self.maximum = float(column.values.min()), float(column.values.max())  # type: ignore[arg-type]
        return column

    @property
    def reading(self) -> ColumnReading:
        """How the text is read."""
        dtype, form = self.infer_dtype()
        if form is not None or dtype in ("category", "text") or self.is_read_as_numbers or self.notation is None:
            number = NumberFormat(grouped=self.has_marks or None)
            return ColumnReading(number, times=() if form is None else (form,), missing=self.missing_words)
        return self.notation.reading

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


@dataclass(frozen=True)
class Profile:
    """The columns with types, roles and levels, and how each is read; `counts` by name. `rows` have a label."""

    columns: tuple[Column, ...]
    counts: dict[str, ColumnCounts]
    roles: Roles
    rows: int
    notes: tuple[str, ...]

    def iterate_typed_rows(self, batches: Batches) -> Iterator[tuple[pl.DataFrame, pl.Series | None]]:
        """The labelled rows in the columns' types, with their times (naive UTC) where there are any, batch by batch.

        Raises ColumnError naming the row whose time cannot be read.
        """
        kinds = {name: (counts.infer_dtype()[0], counts.reading, counts.is_name) for name, counts in self.counts.items()}
        lenient = frozenset((*self.roles.drop, self.roles.id, self.roles.group))
        for where, frame in _iterate_labelled(batches, self.roles.label, lenient):
            typed_frame = pl.DataFrame([_cast_batch(frame[name], kinds[name], where) for name in frame.columns])
            with_offset = [name for name in frame.columns if name_offset(name) in self.counts and name_offset(name) not in frame]
            typed_frame = typed_frame.with_columns(read_offsets(frame[name], typed_frame[name]) for name in with_offset)
            yield typed_frame, _read_batch_times(typed_frame, self.counts, self.roles, where) if self.roles.time else None


def profile_batches(batches: Batches, roles: Roles) -> Profile:
    """One pass over the rows. Raises ColumnError for roles that do not fit, FileError and ColumnError for broken rows."""
    refuse_unfit_roles(batches.names, roles)
    lenient = frozenset((*roles.drop, roles.id, roles.group))
    amounts = (*roles.time, roles.offset, roles.label if roles.kind == "regression" else None)
    counts = {
        name: ColumnCounts(name, name in (roles.id, roles.group), name in amounts, missing_words=roles.missing)
        for name in batches.names
    }
    read = 0
    for where, frame in _iterate_labelled(batches, roles.label, lenient):
        read += where.batch.frame.height
        for name in frame.columns:
            counts[name].add(frame[name], where)
    rows = counts[roles.label].rows
    if not rows:
        raise ColumnError(f"label {roles.label!r} is missing in all {read:,} rows; there is nothing to learn, name another.")
    for name, column_counts in counts.items():
        if name not in lenient:
            column_counts.refuse_damage()
    unlike = {name: s.first_unlike for name, s in counts.items() if name not in lenient and s.notation is None and s.first_unlike}
    if unlike:
        raise ColumnError(describe_problems([_locate_value(batches, name, value) for name, value in unlike.items()]))
    if counts[roles.label].n_none and counts[roles.label].is_read_as_numbers:
        raise ColumnError(
            f"label {roles.label!r} holds numbers, and {ALWAYS_TYPED!r} in {counts[roles.label].n_none:,} rows; leave them empty."
        )
    notes = list(batches.notes)
    notes += [f"{read - rows:,} rows without a label were left out."] if read > rows else []
    notes += [
        f"{column_counts.name}: {'month/day' if column_counts.formats[0].startswith('%m') else 'day/month'}/year."
        for column_counts in counts.values()
        if column_counts.infer_dtype()[0] == "time" and _has_ambiguous_dates(column_counts)
    ]
    notes += [
        f"{column_counts.name}: {TWO_DIGIT_YEARS}"
        for column_counts in counts.values()
        if column_counts.infer_dtype()[0] == "time" and any("%y" in f and "%Y" not in f for f in column_counts.formats[:1])
    ]
    notes += [
        describe_digit_names(s.name, s.first_overlong[0])
        for s in counts.values()
        if s.is_digit_name and s.first_overlong is not None
    ]
    notes += gather_remarks(
        (NAMES, f"{s.name} ({s.first_code!r})")
        for s in counts.values()
        if s.is_named_in_digits and not s.is_name and s.first_code is not None
    )
    notes += [
        describe_joined_names(s.name, s.first_odd[0]) for s in counts.values() if s.has_joined_names and s.first_odd is not None
    ]
    notes += [note for s in counts.values() if s.is_in_notation and s.notation is not None for note in s.notation.notes]
    notes += gather_remarks(
        remark for s in counts.values() if s.is_in_notation and s.notation is not None for remark in s.notation.remarks
    )
    aside = (*lenient, roles.label)
    notes += gather_remarks(remark for s in counts.values() if s.name not in aside for remark in s.name_remarks)
    columns = tuple(_build_column(column_counts, roles, notes) for column_counts in counts.values())
    own = [c for c in columns if c.dtype == "time" and c.role == "input" and counts[c.name].states_offset]
    for column in (one for one in own if name_offset(one.name) not in counts):
        offset = build_offset_column(column)
        counts[offset.name] = ColumnCounts(offset.name, rows=rows, dtype=pl.Float64(), whole=False, minimum=-24, maximum=24)
        columns, notes = (*columns, offset), [*notes, describe_offset(column)]
    return Profile(columns, counts, roles, rows, (*notes, *_describe_times(counts, roles)))


def _locate_value(batches: Batches, name: str, value: str) -> str:
    """What is wrong with a column of which nearly all values are numbers or times and this one is not, with its first row."""
    for batch in batches:
        rows = (batch.frame[name].cast(pl.String).str.strip_chars() == value).fill_null(value=False).arg_true()
        if len(rows):
            row = RowLocator(batch, pl.int_range(batch.frame.height, eager=True)).describe_row(int(rows[0]))
            return f"column {name!r} holds numbers or times, and {value!r} in {row} is none"
    return f"column {name!r} holds numbers or times, and {value!r} is none"


def _has_ambiguous_dates(column_counts: ColumnCounts) -> bool:
    """Whether day and month could be taken for one another, or the day comes first."""
    day_first = any(form.startswith("%d/%m") for form in column_counts.formats)
    return column_counts.text and day_first and column_counts.formats[0][:5] in ("%m/%d", "%d/%m")


def _iterate_labelled(batches: Batches, label: str, lenient: frozenset[str | None]) -> Iterator[tuple[RowLocator, pl.DataFrame]]:
    """The rows of each batch that have a label, as they are."""
    for batch in batches:
        raw = batch.frame[label]
        is_labelled = (null_missing_words(raw) if raw.dtype == pl.String else normalize_type(raw)).is_not_null()
        positions = is_labelled.arg_true()
        frame = batch.frame if len(positions) == batch.frame.height else batch.frame.filter(is_labelled)
        yield RowLocator(batch, positions, lenient), frame


def _build_column(column_counts: ColumnCounts, roles: Roles, notes: list[str]) -> Column:
    dtype, _ = column_counts.infer_dtype()
    role = infer_role(column_counts.name, dtype, column_counts.distinct, bool(column_counts.n_missing), roles, notes)
    levels: tuple[str, ...] = ()
    if dtype == "category" and role in ("input", "label") and column_counts.value_counts is not None:
        levels = tuple(sorted(str(value) for value in column_counts.value_counts))
    return Column(column_counts.name, dtype, role=role, levels=levels, reading=_build_reading(column_counts, roles))


def _build_reading(column_counts: ColumnCounts, roles: Roles) -> ColumnReading:
    """How the column is read in later files."""
    if roles.time == (column_counts.name,) and column_counts.infer_dtype()[0] == "int":
        return replace(column_counts.reading, times=(_classify(column_counts),))
    return column_counts.reading


def _widen(own: pl.Series, dtype: Dtype) -> pl.Series:
    return own.cast(pl.Float64) if dtype == "float" else own


def _strip_text(raw: pl.Series, is_name: bool, missing: Sequence[str] = ()) -> pl.Series:
    return strip_name(raw) if is_name else null_missing_words(raw, missing)


def _cast_batch(raw: pl.Series, kind: tuple[Dtype, ColumnReading, bool], where: RowLocator) -> pl.Series:
    """A batch's values in the type that the whole column has. Raises ColumnError naming the row of a value that is not of it."""
    typed = _cast_column(raw, *kind)
    dtype, reading, is_name = kind
    if raw.dtype != pl.String or is_name or dtype in ("category", "text") or typed.null_count() == raw.null_count():
        return typed
    own = strip_text(raw, dtype, reading)
    odd = own.is_not_null() & parse_text(own, dtype, reading).is_null()
    if odd.any():
        row = int(odd.arg_true()[0])
        raise ColumnError(
            f"column {raw.name!r} was read as {dtype}, and {raw[row]!r} in {where.describe_row(row)} is not written so; mend it, "
            "leave it empty, say --missing, or use --drop."
        )
    return typed


def _cast_column(raw: pl.Series, dtype: Dtype, reading: ColumnReading, is_name: bool = False) -> pl.Series:
    """A batch's values in the type that the whole column has; null where they are not of it."""
    if raw.dtype != pl.String:
        own = normalize_type(raw)
        return strip_name(raw) if is_name and not keeps_names_apart(strip_name(raw), own) else _widen(own, dtype)
    if dtype in ("category", "text"):
        return _strip_text(raw, is_name, reading.missing)
    typed = read_text(raw, dtype, reading)
    return typed.cast(pl.Int64) if dtype == "int" else typed


def _read_batch_times(frame: pl.DataFrame, counts: dict[str, ColumnCounts], roles: Roles, where: RowLocator) -> pl.Series:
    """The rows' times; whole numbers are read alike in every batch."""
    time_counts = counts[roles.time[0]]
    series = frame[roles.time[0]]
    if len(roles.time) > 1 or not series.dtype.is_integer():
        rows = where.positions + where.batch.first
        return read_row_times(frame, roles.time, [], rows)
    if series.null_count():
        raise ColumnError(
            f"--time {time_counts.name}: {where.describe_row(int(series.is_null().arg_true()[0]))} has none; fill it in."
        )
    moments = read_whole_times(series, _classify(time_counts))
    if moments.null_count():
        row = int(moments.is_null().arg_true()[0])
        raise ColumnError(
            f"--time {time_counts.name}: {series[row]} in {where.describe_row(row)} is no date; write it as 2024-03-01."
        )
    return moments


def _describe_times(counts: dict[str, ColumnCounts], roles: Roles) -> tuple[str, ...]:
    if len(roles.time) > 1:
        return (f"The rows' time is made of {', '.join(roles.time)}; {roles.time[0]} itself is no input.",)
    time_counts = counts[roles.time[0]] if roles.time else None
    if time_counts is None or time_counts.infer_dtype()[0] != "int":
        return ()
    return (f"{time_counts.name} holds {WHOLE_TIMES[_classify(time_counts)][2]}.",)


def _classify(time_counts: ColumnCounts) -> str:
    return classify_whole_times(time_counts.name, time_counts.minimum, time_counts.maximum)


def list_values(column_counts: ColumnCounts, max_values: int) -> pl.Series | None:
    """A short series with every value of a column that has at most this many, the rarer ones fewer times; None for more.

    What decides on a label by its values and their order of frequency decides on this as on the whole.
    """
    dtype, form = column_counts.infer_dtype()
    if (
        column_counts.value_counts is None
        or len(column_counts.value_counts) > max_values
        or dtype in ("time", "text")
        or form is not None
    ):
        return None
    values = _cast_column(
        pl.Series(column_counts.name, list(column_counts.value_counts), strict=False), dtype, column_counts.reading
    )
    merged: Counter[object] = Counter()
    for value, times in zip(values.to_list(), column_counts.value_counts.values(), strict=True):
        merged[value] += times
    rank = np.unique(list(merged.values()), return_inverse=True)[1] + 1
    repeated = [value for value, times in zip(merged, rank, strict=True) for _ in range(int(times))]
    return pl.Series(column_counts.name, repeated, dtype=values.dtype)
