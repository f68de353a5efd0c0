"""What the columns of a table hold, found by reading it once a batch at a time: types, roles, levels, bounds, what is missing.

The same rules as `contract.infer`, applied to counts instead of whole columns. Rows without a label are left out and do not
count.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.batches import Batches
from epic22.core.data.column_counts import ColumnCounts, RowLocator, strip_value_text
from epic22.core.data.column_reading import (
    ALWAYS_TYPED,
    NAMES,
    SENTINELS,
    TWO_DIGIT_YEARS,
    describe_digit_names,
    describe_joined_names,
    describe_problems,
    gather_remarks,
    null_missing_words,
    parse_text,
    read_text,
    strip_text,
)
from epic22.core.data.names import keeps_names_apart, strip_name
from epic22.core.data.row_times import WHOLE_TIMES, classify_whole_times, read_row_times, read_whole_times
from epic22.core.data.schema_inference import (
    Roles,
    build_offset_column,
    describe_offset,
    infer_role,
    normalize_type,
    refuse_unfit_roles,
)
from epic22.core.data.sentinels import NumberSpread, are_sentinels, describe_sentinels
from epic22.core.data.time_format import name_offset, read_offsets
from epic22.core.errors import ColumnError
from epic22.core.task import Column, Dtype


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


def profile_batches(batches: Batches, roles: Roles, bounded: Collection[str] = ()) -> Profile:
    """One pass over the rows. In `bounded` columns, whose bounds are stated, no number stands for missing.

    Raises ColumnError for roles that do not fit, FileError and ColumnError for broken rows.
    """
    refuse_unfit_roles(batches.names, roles)
    lenient = frozenset((*roles.drop, roles.id, roles.group))
    may_be_missing = [name for name in batches.names if name not in (*roles.time, roles.offset, roles.label, *bounded)]
    amounts = (*roles.time, roles.offset, roles.label if roles.kind == "regression" else None)
    counts = {
        name: ColumnCounts(
            name, name in (roles.id, roles.group), name in amounts, name in may_be_missing, missing_words=roles.missing
        )
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
    notes += describe_readings(list(counts.values()), aside=(*lenient, roles.label))
    columns = tuple(_build_column(column_counts, roles, notes) for column_counts in counts.values())
    own = [c for c in columns if c.dtype == "time" and c.role == "input" and counts[c.name].states_offset]
    for column in (one for one in own if name_offset(one.name) not in counts):
        offset = build_offset_column(column)
        counts[offset.name] = ColumnCounts(
            offset.name, rows=rows, dtype=pl.Float64(), whole=False, spread=NumberSpread(low=-24, high=24)
        )
        columns, notes = (*columns, offset), [*notes, describe_offset(column)]
    return Profile(columns, counts, roles, rows, (*notes, *_describe_times(counts, roles)))


def describe_readings(counts: Sequence[ColumnCounts], aside: Collection[str | None]) -> list[str]:
    """How columns were read where that is not plain, in sentences; little is said of those `aside`."""
    times = [one for one in counts if one.infer_dtype()[0] == "time"]
    notes = [
        f"{one.name}: {'month/day' if one.formats[0].startswith('%m') else 'day/month'}/year."
        for one in times
        if _has_ambiguous_dates(one)
    ]
    notes += [f"{one.name}: {TWO_DIGIT_YEARS}" for one in times if any("%y" in f and "%Y" not in f for f in one.formats[:1])]
    notes += [
        describe_digit_names(one.name, one.first_overlong[0])
        for one in counts
        if one.is_digit_name and one.first_overlong is not None
    ]
    notes += gather_remarks(
        (NAMES, f"{one.name} ({one.first_code!r})")
        for one in counts
        if one.is_named_in_digits and not one.is_name and one.first_code is not None
    )
    notes += [
        describe_joined_names(one.name, one.first_odd[0]) for one in counts if one.has_joined_names and one.first_odd is not None
    ]
    in_notation = [one.notation for one in counts if one.is_in_notation and one.notation is not None]
    notes += [note for notation in in_notation for note in notation.notes]
    notes += gather_remarks(remark for notation in in_notation for remark in notation.remarks)
    learned = [one for one in counts if one.name not in aside]
    notes += gather_remarks(
        (SENTINELS, describe_sentinels(one.name, one.sentinels)) for one in learned if one.is_number and one.sentinels
    )
    return notes + gather_remarks(remark for one in learned for remark in one.name_remarks)


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
        if is_name and not keeps_names_apart(strip_name(raw), own):
            return strip_name(raw)
        return _widen(own.set(are_sentinels(own, reading.sentinels), None) if reading.sentinels else own, dtype)
    if dtype in ("category", "text"):
        return strip_value_text(raw, is_name, reading.missing)
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
    return classify_whole_times(time_counts.name, *time_counts.range)


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
