"""What a column holds, and whether it fits the role it was named for.

Text is read as numbers, times, truth values or categories by what all of its values allow; whatever is decided is said in a note.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from epic22.core.column import ColumnOverride, ColumnReading, NumberFormat
from epic22.core.data.column_reading import (
    ReadColumn,
    ReadingRules,
    describe_infinite,
    infer_text_column,
    is_too_large,
    null_sentinels,
    parse_text,
    strip_text,
)
from epic22.core.data.column_remarks import ALL_ROWS, WORDS, Occurrences, describe_problems, gather_remarks
from epic22.core.data.column_words import ALWAYS_TYPED, mixes_truth_words, null_missing_words
from epic22.core.data.compound_numbers import COMPOUNDS
from epic22.core.data.files import RawTable
from epic22.core.data.names import (
    describe_unlabelled,
    index_variants,
    keeps_names_apart,
    null_unlabelled,
    spell_as,
    strip_ends,
    strip_name,
)
from epic22.core.data.number_format import parse_plain_numbers
from epic22.core.data.row_times import (
    infer_whole_times,
    read_row_times,
    restore_whole_times,
)
from epic22.core.data.sentinels import are_sentinels
from epic22.core.data.time_format import FIRST_YEAR, name_offset, read_offsets
from epic22.core.errors import ColumnError, RowError
from epic22.core.task import Column, Dtype, Role
from epic22.core.text import find_near_names

MAX_CATEGORY_LEVELS = 255
MAX_REPEATED_LEVELS, MIN_MEAN_REPEATS = 10_000, 1.5
"""More levels than MAX_CATEGORY_LEVELS, up to these, are a category where they come MIN_MEAN_REPEATS times each on average: most
of them count as unseen for trees, but label means and shares can be told of all."""

NUMBERS: tuple[Dtype, ...] = ("int", "float", "money")

MAX_PROBLEMS = 20
MAX_INTEGER_CLASSES = 10
"""An integer label with at most this many values is taken for classes, unless the kind is stated."""

THOUSANDS = r"^-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$"

UNGROUPED = " with '.' as the decimal mark; ',' before three digits was not in training"

NO_READING = ColumnReading(missing=(ALWAYS_TYPED,))
"""How the text of a column is read of which none was stored, as the columns of features have none: plain numbers and times of
ISO 8601. What a row says must not depend on the rows beside it."""

NO_OVERRIDES: Mapping[str, ColumnOverride] = {}


@dataclass(frozen=True)
class Roles:
    """What the user says of the columns. Several `time` names are one date spread over columns: year, month, day.

    The `offset` is what a count or a sum grows with (`Target.offset`); it stands among the inputs. `is_value`: the label is
    said to be a value, so that its digits are a number however they are written. `missing` are words that mean missing in every
    column.
    """

    label: str
    time: tuple[str, ...] = ()
    group: str | None = None
    id: str | None = None
    drop: tuple[str, ...] = ()
    positive: str | None = None
    offset: str | None = None
    is_value: bool = False
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class TypedTable:
    """A table with types: `columns` one a file column, in its order; `times` the rows' times (naive UTC) or None."""

    frame: pl.DataFrame
    columns: tuple[Column, ...]
    times: pl.Series | None
    notes: tuple[str, ...]


def infer_schema(raw: RawTable, roles: Roles) -> TypedTable:
    """The table with each column typed by its values and placed by its role; rows without a label are left out.

    Raises ColumnError for a role's column that is absent or unfit, and for damage inside a column.
    """
    refuse_unfit_roles(raw.frame.columns, roles)
    notes = list(raw.notes)
    typed = infer_types(raw, roles, notes)
    return add_offsets(assign_roles(typed, roles, notes), raw.frame.filter(typed.frame[roles.label].is_not_null()))


@dataclass(frozen=True)
class TypedFrame:
    """A file's columns in their types, and how each was read."""

    frame: pl.DataFrame
    readings: Mapping[str, ColumnReading]


def infer_types(
    raw: RawTable, roles: Roles, notes: list[str], overrides: Mapping[str, ColumnOverride] = NO_OVERRIDES
) -> TypedFrame:
    """Every column in the narrowest type that all of its values allow; one whose type is stated need not be whole.

    Raises ColumnError that names every column whose values do not go together.
    """
    # Names of things may mix numbers and letters (C123 beside 124); only what is learned from must be whole.
    lenient = [name for name, one in overrides.items() if one.dtype is not None or one.role == "never"]
    aside = {*lenient, *roles.drop, roles.id, roles.group}
    read = {name: _read_column(raw, name, roles, overrides.get(name)) for name in raw.frame.columns}
    problems = [one.problem for name, one in read.items() if one.problem is not None and name not in aside]
    if problems:
        raise ColumnError(describe_problems(problems))
    notes += [note for one in read.values() for note in one.notes]
    notes += gather_remarks(remark for name, one in read.items() if name not in aside for remark in one.remarks)
    return TypedFrame(pl.DataFrame([one.values for one in read.values()]), {name: one.reading for name, one in read.items()})


def _read_column(raw: RawTable, name: str, roles: Roles, override: ColumnOverride | None) -> ReadColumn:
    """The column in the narrowest type that its values and its role allow: a name stays the text that it was."""
    if name in (roles.id, roles.group):
        return infer_name_column(raw.frame[name])
    series = select_values(raw, name, "float")
    own = normalize_type(series)
    rules = build_rules(series.name, roles, override)
    if own.dtype != pl.String:
        column = ReadColumn(own, ColumnReading(missing=roles.missing), problem=describe_unusable(own))
        return null_sentinels(column, rules)
    return infer_label_column(own, rules) if series.name == roles.label else infer_text_column(own, rules)


def describe_unusable(values: pl.Series) -> str | None:
    """What is wrong with numbers that are infinite to a model, or times before any that text has; None where nothing is."""
    if values.dtype != pl.Datetime("us"):
        return describe_infinite(values, values.name)
    early = find_early_times(values).arg_true()
    return describe_early_times(values.name, len(early), values[early[0]], f"row {early[0] + 1:,}") if len(early) else None


def find_early_times(values: pl.Series) -> pl.Series:
    """Which times are before any that text has."""
    return (values.dt.year() < FIRST_YEAR).fill_null(value=False)


def describe_early_times(name: str, n_rows: int, first: datetime, where: str) -> str:
    """What is wrong with times that are before any that text has."""
    return f"column {name!r}: {n_rows:,} times before the year {FIRST_YEAR}, first {first.isoformat(sep=' ')} in {where}"


def build_rules(name: str, roles: Roles, override: ColumnOverride | None) -> ReadingRules:
    """What is known of a column before it is read, by its role and what is stated of it."""
    is_amount = name in (*roles.time, roles.offset) or (name == roles.label and roles.is_value)
    has_bounds = override is not None and override.has_bounds
    return ReadingRules(
        missing=roles.missing,
        may_be_names=not is_amount,
        may_be_missing=name not in (*roles.time, roles.offset, roles.label) and not has_bounds,
        decimal=None if override is None else override.decimal,
        day_first=None if override is None else override.day_first,
    )


def infer_name_column(series: pl.Series) -> ReadColumn:
    """Ids or groups in a type that tells all of them apart, else as text."""
    text, own = strip_name(series), series if series.dtype == pl.String else normalize_type(series)
    typed = (
        own if own.dtype != pl.String else infer_text_column(own, ReadingRules(may_be_names=False, may_be_missing=False)).values
    )
    return ReadColumn(typed if keeps_names_apart(text, typed) else text, ColumnReading())


def spell_names_as(names: pl.Series, trained: pl.Series) -> pl.Series:
    """Ids or groups of a later file as text, spelt as those of the training file are: 2024-03 is the month that it was there."""
    text, typed = strip_name(trained), infer_name_column(trained).values
    pairs = pl.DataFrame({"text": text, "name": typed.cast(pl.String)}).filter(text != typed.cast(pl.String)).unique()
    return names.replace(pairs["text"], pairs["name"]) if pairs.height else names


def infer_label_column(series: pl.Series, rules: ReadingRules, occurrences: Occurrences = ALL_ROWS) -> ReadColumn:
    """The text of the label in its type; where it is of words, without those that say that there is none.

    Times are the names of classes, and so are a few numbers in parts: Q1 2024 stays Q1 2024, and 14:30 is no 14.5.
    """
    column, text = infer_text_column(series, rules, occurrences), strip_ends(series)
    is_in_parts = column.reading.number.notation is not None and rules.may_be_names
    if column.values.dtype.is_temporal() or (is_in_parts and column.values.drop_nulls().n_unique() <= MAX_INTEGER_CLASSES):
        text = text.set(column.values.is_null(), None)
        return ReadColumn(text, ColumnReading(missing=column.reading.missing))
    if column.values.dtype != pl.String:
        return column
    if column.problem is None and mixes_truth_words(values := column.values.drop_nulls().unique().sort()):
        problem = f"label {text.name!r} says yes and no in more than two words: {', '.join(map(repr, values))}"
        return replace(column, problem=problem)
    label = null_unlabelled(column.values)
    notes = (*column.notes, *describe_unlabelled(text.set(text == "", None), label, occurrences.counts))
    remarks = tuple(one for one in column.remarks if one[0] != WORDS)
    return replace(column, values=label, notes=notes, remarks=remarks)


def assign_roles(typed: TypedFrame, roles: Roles, notes: list[str]) -> TypedTable:
    """The typed rows that have a label, with times, and each column placed by its role."""
    frame = restore_whole_times(_drop_unlabelled(typed.frame, roles.label, notes), roles.time)
    rows = typed.frame[roles.label].is_not_null().arg_true()
    readings = dict(typed.readings)
    times = None
    if roles.time:
        readings |= infer_whole_times(frame, roles.time, readings, notes)
        times = read_row_times(frame, roles.time, notes, rows, readings[roles.time[0]])
    columns = tuple(_infer_column(frame[name], roles, notes, readings[name]) for name in frame.columns)
    return TypedTable(frame, columns, times, tuple(notes))


def add_offsets(table: TypedTable, raw: pl.DataFrame) -> TypedTable:
    """The table with a column more for each input of stamps that state an offset from UTC, as the rows of the file have them.

    Times are UTC, and so comparable; with their offsets, month, weekday and hour are those of the place.
    """
    inputs = [c for c in table.columns if c.dtype == "time" and c.role == "input" and name_offset(c.name) not in raw.columns]
    offsets = [(c, read_offsets(raw[c.name], table.frame[c.name])) for c in inputs]
    own = [(c, values) for c, values in offsets if (values != 0).any()]
    notes = (describe_offset(c) for c, _ in own)
    return replace(
        table,
        frame=table.frame.with_columns(values for _, values in own),
        columns=(*table.columns, *(build_offset_column(c) for c, _ in own)),
        notes=(*table.notes, *notes),
    )


def describe_offset(column: Column) -> str:
    """The note about a column of times with offsets."""
    offset = name_offset(column.name)
    return f"{column.name}: its stamps state offsets from UTC, which are the input {offset!r}; month, weekday and hour are local."


def build_offset_column(column: Column) -> Column:
    """The input of the offsets of a column of times."""
    about = f"hours that {column.name} is ahead of UTC"
    return Column(name_offset(column.name), "float", unit="hours", low=-24, high=24, optional=True, about=about)


def conform_frame(raw: RawTable, columns: tuple[Column, ...]) -> pl.DataFrame:
    """A later file in the types of these columns.

    Id, time and group columns may be absent. Labels, columns put aside in training and extra columns are ignored.

    Raises ColumnError for an input column that is absent, RowError listing the rows whose values do not fit.
    """
    present_columns = [c for c in columns if c.name in raw.frame.columns and c.role not in ("label", "never")]
    for column in columns:
        if column.role == "input" and not column.optional and column.name not in raw.frame.columns:
            raise ColumnError(f"{raw.path}: no column {column.name!r}{suggest_names(column.name, raw.frame.columns)}")
    problems: list[tuple[int, str | None, str]] = []
    series = [cast_column(select_values(raw, column.name, column.dtype), column, problems) for column in present_columns]
    if problems:
        row, name, what = problems[0]
        raise RowError(f"{raw.path}, row {raw.first + row + 1}, column {name!r}: {what}.", tuple(problems[:MAX_PROBLEMS]))
    read, names = {one.name: one for one in series}, [c.name for c in columns]
    offsets = [read_offsets(raw.frame[name], read[name]) for name in read if name_offset(name) in names]
    return pl.DataFrame([*series, *(one for one in offsets if one.name not in read)])


def select_values(raw: RawTable, name: str, dtype: Dtype) -> pl.Series:
    """A column's values for a type: where JSON has them as numbers they are so, however the numbers of text are written."""
    series = raw.frame[name]
    return parse_plain_numbers(null_missing_words(series)) if name in raw.numbers and dtype in NUMBERS else series


def suggest_names(name: str, names: Sequence[str]) -> str:
    """The end of a message about a name that is not there: those it may have meant, else those there are."""
    near = find_near_names(name, names, 3, cutoff=0.4)
    if len(names) == 1 and (not near or name in re.split(r"\W+", names[0])):
        return f"; there is one column alone, {names[0]!r}: columns are parted by a comma, a semicolon, a tab or a |."
    return f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else f"; there are {', '.join(names[:20])}."


def refuse_unfit_roles(names: Sequence[str], roles: Roles) -> None:
    """Raise ColumnError for a role's column that is absent, or that has two roles."""
    roles_by_option = {
        "--label": [roles.label],
        "--time": roles.time,
        "--group": [roles.group],
        "--id": [roles.id],
        "--drop": roles.drop,
        "--offset": [roles.offset],
    }
    for option, role_columns in roles_by_option.items():
        for name in role_columns:
            if name is not None and name not in names:
                raise ColumnError(f"{option} {name}: no such column{suggest_names(name, names)}")
    named_columns = [("label", roles.label), ("id", roles.id), ("group", roles.group), ("offset", roles.offset)]
    named_columns += [("time", name) for name in roles.time] + [("drop", name) for name in dict.fromkeys(roles.drop)]
    for name in dict.fromkeys(name for _, name in named_columns if name is not None):
        column_roles = sorted(role for role, n in named_columns if n == name)
        if len(column_roles) > 1:
            advice = (
                "name the id alone: where it repeats, it is the group" if column_roles == ["group", "id"] else "give it one role"
            )
            raise ColumnError(f"column {name!r} cannot be {' and '.join(column_roles)} at once; {advice}.")


def normalize_type(series: pl.Series) -> pl.Series:
    """The series of a file that has types in the type that models are made for; NaN is missing."""
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if series.dtype in (pl.Date, pl.Datetime):
        return series.cast(pl.Datetime("us"))
    if series.dtype.is_integer():
        whole = series.cast(pl.Int64, strict=False)
        # Beyond 64 bits they are names, as they are in text.
        return whole if whole.null_count() == series.null_count() else series.cast(pl.String)
    if series.dtype == pl.Duration:
        return series.dt.total_microseconds() / 1e6
    if series.dtype.is_float():
        return series.cast(pl.Float64).fill_nan(None)
    if series.dtype == pl.Boolean:
        return series
    return series.cast(pl.String)


def strip_blanks(series: pl.Series) -> pl.Series:
    """Text without blanks around it; null where it is a word for missing."""
    return null_missing_words(series, (ALWAYS_TYPED,))


def parse_numbers(text: pl.Series) -> pl.Series:
    """Integers where all are, else floats; null where a value is no number. "1,234.5" is a number."""
    commas = text.str.contains(THOUSANDS)
    if commas.any():
        text = text.zip_with(~commas.fill_null(value=False), text.str.replace_all(",", ""))
    whole = text.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == text.null_count() else text.cast(pl.Float64, strict=False).fill_nan(None)


def is_missing(series: pl.Series) -> pl.Series:
    """Which values are missing: null, empty, or a word for it."""
    return (strip_blanks(series) if series.dtype == pl.String else series).is_null()


def _drop_unlabelled(frame: pl.DataFrame, label: str, notes: list[str]) -> pl.DataFrame:
    missing = frame[label].null_count()
    if missing == frame.height:
        raise ColumnError(f"label {label!r} is missing in all {missing:,} rows; there is nothing to learn, name another.")
    if missing:
        notes.append(f"{missing:,} rows without a label were left out.")
    return frame.filter(pl.col(label).is_not_null())


def _infer_column(series: pl.Series, roles: Roles, notes: list[str], reading: ColumnReading) -> Column:
    dtype = _infer_dtype(series)
    distinct = series.drop_nulls().n_unique()
    role = infer_role(series.name, dtype, distinct, bool(series.null_count()), roles, notes)
    column = Column(series.name, dtype, role=role, reading=reading)
    # The levels of ids and groups are names of somebody, and stay out of what is stored.
    if dtype != "category" or column.role not in ("input", "label"):
        return column
    return replace(column, levels=tuple(series.drop_nulls().cast(pl.String).unique().sort()))


def _infer_dtype(series: pl.Series) -> Dtype:
    if series.dtype.is_integer():
        return "int"
    if series.dtype.is_float():
        return "float"
    if series.dtype == pl.Boolean:
        return "bool"
    if series.dtype.is_temporal():
        return "time"
    present = series.drop_nulls()
    return infer_text_dtype(present.n_unique(), len(present))


def infer_text_dtype(n_distinct: int, n_present: int) -> Dtype:
    """What text is, by its different values and all that are present: few values, or values that return, are a category."""
    few = n_distinct <= MAX_CATEGORY_LEVELS or n_distinct <= min(MAX_REPEATED_LEVELS, n_present / MIN_MEAN_REPEATS)
    return "category" if few else "text"


def infer_role(name: str, dtype: Dtype, n_distinct: int | None, has_missing: bool, roles: Roles, notes: list[str]) -> Role:
    """The role of a column with this many `n_distinct` values (and `has_missing`): as stated, else an input where it can tell
    anything. None: more values than a category has."""
    assigned_roles: dict[str | None, Role] = {
        **dict.fromkeys(roles.drop, "never"),
        **dict.fromkeys(roles.time[:1], "time"),
        roles.offset: "input",
        roles.group: "group",
        roles.id: "id",
        roles.label: "label",
    }
    if name in assigned_roles:
        return assigned_roles[name]
    if n_distinct == 0 or (n_distinct == 1 and not has_missing):
        notes.append(f"{name} is {'empty' if n_distinct == 0 else 'constant'}: no input.")
        return "never"
    if dtype == "text":
        count = f"more than {MAX_REPEATED_LEVELS:,}" if n_distinct is None else f"{n_distinct:,}"
        notes.append(f"{name} is free text ({count} different values): no input.")
        return "never"
    return "input"


def cast_column(series: pl.Series, column: Column, problems: list[tuple[int, str | None, str]]) -> pl.Series:
    """The series in the column's type, its text read as in training; what does not fit goes into the problems."""
    if column.role in ("group", "id") and series.dtype == pl.String:
        return strip_name(series)
    dtype: Dtype = "text" if column.role in ("group", "id") else column.dtype
    own, reading = normalize_type(series), column.reading or NO_READING
    if own.dtype == pl.String:
        own = strip_text(own, dtype, reading)
        typed = parse_text(own, dtype, reading)
        if dtype == "category" and column.levels:
            typed = spell_as(typed, column.levels, index_variants(column.levels))
    else:
        typed = _write_as_levels(own, column.levels) if dtype in ("category", "text") else _cast(own, dtype)
        if series.dtype == pl.Duration and reading.number.notation is not None:
            # They are seconds here, and those of training hours, or whatever their notation counts.
            typed = typed.clear(len(typed))
    missing = own.is_null()
    if reading.sentinels:
        missing = missing | are_sentinels(typed, reading.sentinels)
        typed = typed.set(missing, None)
    odd = typed.is_null() & ~missing
    if typed.dtype == pl.Float64:
        odd = odd | is_too_large(typed)
    values = ((row, series[row]) for row in odd.arg_true().head(MAX_PROBLEMS))
    problems.extend((row, column.name, f"{value!r} is not {_describe_expected(column, str(value))}") for row, value in values)
    _add_out_of_bounds(typed, series, column, problems)
    return typed


def _add_out_of_bounds(typed: pl.Series, series: pl.Series, column: Column, problems: list[tuple[int, str | None, str]]) -> None:
    """Add the values beyond the column's bounds to the problems, as requests and training refuse them."""
    if not column.has_bounds or not typed.dtype.is_numeric():
        return
    rows = column.find_outside(typed).arg_true().head(MAX_PROBLEMS)
    problems.extend((row, column.name, f"{series[row]!r} is not {column.describe()}") for row in rows)


def _write_as_levels(own: pl.Series, levels: Sequence[str]) -> pl.Series:
    """Values of a file with types as text: of the ways to write a number or a truth value the one that training saw.

    A gap in a column makes floats of whole numbers, so that 1.0 is the level 1.
    """
    text = own.cast(pl.String)
    if not levels:
        return text
    ways = (text.str.replace(r"\.0$", ""), text + ".0", text.str.to_titlecase(), text.str.to_uppercase())
    for way in ways if own.dtype.is_numeric() or own.dtype == pl.Boolean else ():
        is_other = (~text.is_in(list(levels)) & way.is_in(list(levels))).fill_null(value=False)
        text = text.zip_with(~is_other, way) if is_other.any() else text
    return text


def _describe_expected(column: Column, value: str) -> str:
    """What a value of the column has to be, where this one is none."""
    reading = column.reading or ColumnReading()
    if column.dtype == "bool":
        return "true or false"
    if column.dtype == "time":
        formats = "" if reading.is_plain else f" or, as in training, written {' or '.join(reading.times)}"
        return f"a time like 2024-03-01T13:00{formats}"
    if reading.number.notation is not None:
        return f"written as in training, like {COMPOUNDS[reading.number.notation].example}"
    if reading.number == NumberFormat():
        whole = ", whole in training, with no point before three digits"
        return "a finite number" + (
            whole if column.dtype == "int" else "" if reading.number.grouped or "," not in value else UNGROUPED
        )
    affix = f" with {' or '.join(reading.number.affixes)}" if reading.number.affixes else ""
    decimal = reading.number.decimal
    whole = f", whole in training, with no {decimal!r} before three digits" if column.dtype == "int" else ""
    return f"a finite number written as in training, with {decimal!r} as the decimal mark{affix}{whole}"


def _cast(own: pl.Series, dtype: Dtype) -> pl.Series:
    """The values of a file with types as numbers, times or truth values; null where they are none."""
    if dtype == "time" and own.dtype == pl.Datetime("us"):
        return own.set(own.dt.year() < FIRST_YEAR, None)
    if dtype == "time":
        return pl.Series(own.name, [None] * len(own), dtype=pl.Datetime("us"))
    if own.dtype.is_temporal():
        return pl.Series(own.name, [None] * len(own), dtype=pl.Boolean if dtype == "bool" else pl.Float64)
    if dtype != "bool":
        return own.cast(pl.Float64)
    return own.set(~own.cast(pl.Float64).is_in([0.0, 1.0]), None).cast(pl.Boolean)
