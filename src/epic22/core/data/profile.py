"""What the columns of a table hold, found by reading it once a batch at a time: types, roles, levels, bounds, what is missing.

The rules are those of a table that fits into memory, applied to the different values of a column and how often each came.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.core.column import ColumnOverride, ColumnReading
from epic22.core.data.batch_column import BatchColumn
from epic22.core.data.batches import Batches, RowLocator
from epic22.core.data.column_counts import ColumnCounts
from epic22.core.data.column_overrides import override_column, refuse_bounds_of_names, refuse_unfit_overrides
from epic22.core.data.column_remarks import describe_problems, gather_remarks
from epic22.core.data.number_summary import NumberSummary
from epic22.core.data.row_times import WHOLE_TIMES, classify_whole_times, infer_whole_form, read_row_times, read_whole_times
from epic22.core.data.schema_inference import (
    NO_OVERRIDES,
    Roles,
    build_offset_column,
    build_rules,
    describe_offset,
    infer_role,
    refuse_unfit_roles,
)
from epic22.core.data.sentinels import NumberSpread
from epic22.core.data.time_format import name_offset, read_offsets
from epic22.core.data.typed_values import TypedValues
from epic22.core.errors import ColumnError
from epic22.core.task import Column

MAX_RANKED_VALUES = 1_000
"""The order of frequency matters to classes, which are few."""


@dataclass(frozen=True)
class Profile:
    """The columns with types, roles and levels, and how each is read; `counts` by name. `rows` have a label that is none of those
    `left_out`."""

    columns: tuple[Column, ...]
    counts: dict[str, ColumnCounts]
    roles: Roles
    rows: int
    notes: tuple[str, ...]
    left_out: tuple[object, ...] = ()

    def leave_out_labels(self, values: Sequence[object]) -> "Profile":
        """The profile without the rows of these labels; what the columns hold stays what was found."""
        left_out = (*self.left_out, *values)
        names = {str(value) for value in left_out}
        columns = tuple(
            replace(c, levels=tuple(level for level in c.levels if level not in names)) if c.role == "label" else c
            for c in self.columns
        )
        profile = replace(self, columns=columns, left_out=left_out)
        return profile if profile.label_values is None else replace(profile, rows=int(profile.label_values["n"].sum()))

    @property
    def label_values(self) -> pl.DataFrame | None:
        """The different values of the label, frame [value, n], each as often as it comes; None where they are too many."""
        labels = self.counts[self.roles.label].labelled_values
        return labels if labels is None or not self.left_out else labels.filter(~labels["value"].is_in(list(self.left_out)))

    def list_label_values(self) -> pl.Series | None:
        """A short series with every value of the label, the rarer ones fewer times; None where they are too many to be counted.

        What decides on a label by its values and their order of frequency decides on this as on the whole.
        """
        labels = self.label_values
        if labels is None:
            return None
        values, counts = labels["value"].alias(self.roles.label), labels["n"].to_numpy()
        rank = np.unique(counts, return_inverse=True)[1] + 1
        return values if len(values) > MAX_RANKED_VALUES else values[np.repeat(np.arange(len(values)), rank)]

    def iterate_typed_rows(self, batches: Batches) -> Iterator[tuple[pl.DataFrame, pl.Series | None]]:
        """The labelled rows in the columns' types, with their times (naive UTC) where there are any, batch by batch.

        Raises ColumnError naming the row whose time cannot be read.
        """
        label = self.counts[self.roles.label]
        for batch in batches:
            is_labelled = label.reader.find_labels(batch.frame[label.name])
            where, frame = RowLocator(batch, is_labelled.arg_true()), batch.frame.filter(is_labelled)
            typed_frame = pl.DataFrame([self.counts[name].reader.cast(frame[name], where) for name in frame.columns])
            with_offset = [name for name in frame.columns if name_offset(name) in self.counts and name_offset(name) not in frame]
            typed_frame = typed_frame.with_columns(read_offsets(frame[name], typed_frame[name]) for name in with_offset)
            if self.left_out:
                is_used = ~typed_frame[label.name].is_in(list(self.left_out))
                typed_frame, where = typed_frame.filter(is_used), replace(where, positions=where.positions.filter(is_used))
            yield typed_frame, self._read_batch_times(typed_frame, where) if self.roles.time else None

    def _read_batch_times(self, frame: pl.DataFrame, where: RowLocator) -> pl.Series:
        """The rows' times; whole numbers are read alike in every batch."""
        name = self.roles.time[0]
        series = frame[name]
        if len(self.roles.time) > 1 or not series.dtype.is_integer():
            rows = where.positions + where.batch.first
            return read_row_times(frame, self.roles.time, [], rows)
        if series.null_count():
            raise ColumnError(f"--time {name}: {where.describe_row(int(series.is_null().arg_true()[0]))} has none; fill it in.")
        moments = read_whole_times(series, self.whole_times)
        if moments.null_count():
            row = int(moments.is_null().arg_true()[0])
            raise ColumnError(f"--time {name}: {series[row]} in {where.describe_row(row)} is no date; write it as 2024-03-01.")
        return moments

    @property
    def whole_times(self) -> str:
        """What the whole numbers of the column of times are, a key of `WHOLE_TIMES`."""
        return next(c.reading.times[0] for c in self.columns if c.name == self.roles.time[0] and c.reading is not None)


def profile_batches(batches: Batches, roles: Roles, overrides: Mapping[str, ColumnOverride] = NO_OVERRIDES) -> Profile:
    """One pass over the rows; two where words say that a row has no label, which is known only after the first.

    Raises ColumnError for roles and overrides that do not fit, FileError and ColumnError for broken rows.
    """
    refuse_unfit_roles(batches.names, roles)
    refuse_unfit_overrides(batches.names, roles, tuple(overrides.values()))
    lenient = [name for name, one in overrides.items() if one.dtype is not None or one.role == "never"]
    aside = {*lenient, *roles.drop, roles.id, roles.group}
    counts, n_rows = _count_columns(batches, roles, overrides)
    if counts[roles.label].has_unlabelled_words:
        counts, n_rows = _count_columns(batches, roles, overrides, counts[roles.label])
    problems = [one.inference.problem for name, one in counts.items() if one.inference.problem is not None and name not in aside]
    if problems:
        raise ColumnError(describe_problems(problems))
    rows = counts[roles.label].rows
    if not rows:
        raise ColumnError(f"label {roles.label!r} is missing in all {n_rows:,} rows; there is nothing to learn, name another.")
    notes = [*batches.notes, *describe_readings(counts, aside)]
    notes += [f"{n_rows - rows:,} rows without a label were left out."] if n_rows > rows else []
    time_reading = _read_whole_times(counts, roles, notes)
    columns = tuple(_build_column(one, roles, notes) for one in counts.values())
    columns = tuple(_override_column(c, counts[c.name], overrides.get(c.name)) for c in columns)
    columns = tuple(replace(c, reading=time_reading) if time_reading and c.name == roles.time[0] else c for c in columns)
    own = [c for c in columns if c.dtype == "time" and c.role == "input" and counts[c.name].has_offsets]
    for column in (one for one in own if name_offset(one.name) not in counts):
        offset = build_offset_column(column)
        added = BatchColumn(offset.name)
        numbers = NumberSummary(NumberSpread(low=-24, high=24), whole=False)
        counts[offset.name] = ColumnCounts(added, rows=rows, typed=TypedValues(added, pl.Float64(), numbers))
        columns, notes = (*columns, offset), [*notes, describe_offset(column)]
    return Profile(columns, counts, roles, rows, tuple(notes))


def _count_columns(
    batches: Batches, roles: Roles, overrides: Mapping[str, ColumnOverride], label: ColumnCounts | None = None
) -> tuple[dict[str, ColumnCounts], int]:
    """What each column holds, and how many rows there are; `label` is the label as it was counted before, if it was."""
    counts = {
        name: ColumnCounts(
            BatchColumn(
                name,
                build_rules(name, roles, overrides.get(name)),
                is_name=name in (roles.id, roles.group),
                is_label=name == roles.label,
            )
        )
        for name in batches.names
    }
    n_rows, files = 0, []
    for batch in batches:
        if batch.first == 0:
            files.append((n_rows, batch.path.name))
        raw = batch.frame[roles.label]
        is_labelled = counts[roles.label].column.find_values(raw) if label is None else label.reader.find_labels(raw)
        for name, one in counts.items():
            one.add(batch.frame[name], is_labelled, n_rows)
        n_rows += batch.frame.height
    for one in counts.values():
        one.files = tuple(files) if len(files) > 1 else ()
    return counts, n_rows


def describe_readings(counts: Mapping[str, ColumnCounts], aside: Collection[str | None]) -> list[str]:
    """How columns were read where that is not plain, in sentences; little is said of those `aside`."""
    notes = [note for one in counts.values() for note in one.inference.notes]
    return notes + gather_remarks(remark for name, one in counts.items() if name not in aside for remark in one.inference.remarks)


def _read_whole_times(counts: Mapping[str, ColumnCounts], roles: Roles, notes: list[str]) -> ColumnReading | None:
    """The reading of a column of times that are whole numbers; None for another."""
    if len(roles.time) > 1:
        notes.append(f"The rows' time is made of {', '.join(roles.time)}; {roles.time[0]} itself is no input.")
    if len(roles.time) != 1 or counts[roles.time[0]].infer_dtype() != "int":
        return None
    one = counts[roles.time[0]]
    if one.labelled_values is None:
        form = classify_whole_times(one.name, *one.range)
    else:
        form = infer_whole_form(one.labelled_values["value"].alias(one.name))
    notes.append(f"{one.name} holds {WHOLE_TIMES[form][2]}.")
    return replace(one.reading, times=(form,))


def _build_column(one: ColumnCounts, roles: Roles, notes: list[str]) -> Column:
    dtype = one.infer_dtype()
    role = infer_role(one.name, dtype, one.distinct, one.has_missing, roles, notes)
    levels = one.levels if dtype == "category" and role in ("input", "label") else ()
    return Column(one.name, dtype, role=role, levels=levels, reading=ColumnReading() if one.column.is_name else one.reading)


def _override_column(column: Column, counts: ColumnCounts, override: ColumnOverride | None) -> Column:
    """The column with what is stated of it; its type stays the one that was found.

    Raises ColumnError for another type or for levels, and for values beyond the bounds.
    """
    if override is None:
        return column
    if override.levels or override.dtype not in (None, column.dtype):
        raise ColumnError(
            f"columns.{override.name}: types and levels are not changed a batch at a time; it was read as {column.dtype}. "
            "Leave them out, or give a greater --memory-cap."
        )
    refuse_bounds_of_names(counts.is_number, override)
    low, high = counts.range
    if low < override.limits[0] or high > override.limits[1]:
        raise ColumnError(
            f"columns.{override.name}: its values go from {low:g} to {high:g}, expected {override.describe()}: mend the rows, or "
            "what is stated."
        )
    return override_column(column, override)
