"""What a column holds, and whether it fits the role it was named for.

Text is read as numbers, times, truth values or categories by what all of its values allow; whatever is decided is said in a note.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from epic22.core.data.files import RawTable
from epic22.core.data.names import CLASS_WORDS, describe_codes, find_code, is_code, keeps_names_apart, strip_name
from epic22.core.errors import ColumnError, RowError
from epic22.core.task import Column, Dtype, Role

MISSING_WORDS = (
    "",
    "NA",
    "N/A",
    "#N/A",
    "NaN",
    "nan",
    "NAN",
    "null",
    "NULL",
    "None",
    "?",
    "#VALUE!",
    "#DIV/0!",
    "#REF!",
    "#NUM!",
)
MAX_CATEGORY_LEVELS = 255
MAX_REPEATED_LEVELS, MIN_MEAN_REPEATS = 10_000, 1.5
"""More levels than MOST_LEVELS, up to these, are a category where they come REPEATS times each on average: most of them count as
unseen for trees, but label means and shares can be told of all."""

NUMERIC_SHARE = 0.95
"""From this share of numbers on, text in a column is taken for damage rather than for categories."""

MAX_PROBLEMS = 20
MAX_NUMBER = 3.0e38
"""Beyond this a number is infinite in the 32 bits that models see."""

THOUSANDS = r"^-?\d{1,3}(,\d{3})+(\.\d+)?$"
DIGITS = r"^[+-]?(\d+|\d{1,3}(,\d{3})+)$"
JOINED = r"^\d{4,}\D+\d{4,}$"
"""Two numbers in one cell: parcels, orders, accounts. No damage of one number looks like it."""
SHOWN_CHARACTERS = 20
"""Characters of a value that are shown of one that may have hundreds."""

WORDED_DATES = ("%d %B %Y", "%d-%B-%Y", "%B %d, %Y")
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", *WORDED_DATES)
CLOCK_FORMATS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%B %Y", "%B-%Y")
ZONED_FORMATS = tuple(f"%Y-%m-%d{clock}{zone}" for zone in ("%:z", "%z") for clock in CLOCK_FORMATS[1:5])
TIME_FORMATS = (*ZONED_FORMATS, *(date + clock for date in DATES for clock in CLOCK_FORMATS), "%Y%m%dT%H%M%S", *MONTHS)
"""Tried in this order, the month before the day; a month alone stands for its first day. %B reads "Jan" as it reads "January"."""

SPREAD_FORMATS = ("%Y-%m-%d", "%Y-%B-%d")
FIRST_YEAR = 1000
"""The reader takes 1/2/24 for the year 24, or 1: nobody has rows from then, so it is no time."""

DAY_RANGE = (-719_162, 2_932_896)
"""Whole numbers that can be days from 1970: the years 1 to 9999."""


@dataclass(frozen=True)
class Roles:
    """What the user says of the columns. Several `time` names are one date spread over columns: year, month, day.

    The `offset` is what a count or a sum grows with (`Target.offset`); it stands among the inputs. `kind`: what the label is
    said to be; the digits of a value are a number however they are written.
    """

    label: str
    time: tuple[str, ...] = ()
    group: str | None = None
    id: str | None = None
    drop: tuple[str, ...] = ()
    positive: str | None = None
    offset: str | None = None
    kind: str | None = None


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
    notes: list[str] = []
    return assign_roles(infer_types(raw, roles, notes), roles, notes)


def infer_types(raw: RawTable, roles: Roles, notes: list[str], lenient: Sequence[str] = ()) -> pl.DataFrame:
    """Every column in the narrowest type that all of its values allow; those that are `lenient` need not be whole."""
    # Names of things may mix numbers and letters (C123 beside 124); only what is learned from must be whole.
    aside = {*lenient, *roles.drop, roles.id, roles.group}
    return pl.DataFrame([_infer_role_type(raw.frame[name], roles, notes, name not in aside) for name in raw.frame.columns])


def _infer_role_type(series: pl.Series, roles: Roles, notes: list[str], strict: bool) -> pl.Series:
    """The series in the narrowest type that its values and its role allow: a name stays the text that it was."""
    if series.name in (roles.id, roles.group):
        return _infer_names(series)
    if series.name in (*roles.time, roles.offset) or (series.name == roles.label and roles.kind == "regression"):
        return _infer_type(series, notes, strict)
    typed = _infer_type(series, notes, strict)
    if series.dtype != pl.String:
        return typed
    if series.name == roles.label and typed.dtype == pl.String:
        return _restore_classes(strip_name(series), typed, notes)
    text = strip_blanks(series) if typed.dtype.is_numeric() else typed
    if not typed.dtype.is_numeric() or not is_code(text, typed):
        return typed
    advice = "use --kind regression" if series.name == roles.label else f"say columns.{series.name}.dtype: int in a task file"
    notes.append(describe_codes(series.name, find_code(text), advice))
    return text


def _infer_names(series: pl.Series) -> pl.Series:
    """Ids or groups in a type that tells all of them apart, else as text."""
    text, typed = strip_name(series), _infer_type(series, [], strict=False)
    return typed if keeps_names_apart(text, typed) else text


def _restore_classes(text: pl.Series, typed: pl.Series, notes: list[str]) -> pl.Series:
    """A label's classes with those that are words for missing elsewhere."""
    is_class = typed.is_null() & text.is_in(list(CLASS_WORDS))
    if not is_class.any():
        return typed
    notes.append(f"{text.name}: {text.filter(is_class)[0]!r} is a class ({is_class.sum():,} rows); leave unknown labels empty.")
    return pl.select(pl.when(is_class).then(text).otherwise(typed)).to_series().alias(text.name)


def assign_roles(whole: pl.DataFrame, roles: Roles, notes: list[str]) -> TypedTable:
    """The typed rows that have a label, with times, and each column placed by its role."""
    frame = _drop_unlabelled(whole, roles.label, notes)
    rows = whole[roles.label].is_not_null().arg_true()
    times = read_row_times(frame, roles.time, notes, rows) if roles.time else None
    columns = tuple(_infer_column(frame[name], roles, notes) for name in frame.columns)
    return TypedTable(frame, columns, times, tuple(notes))


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
    series = [cast_column(raw.frame[column.name], column, problems) for column in present_columns]
    if problems:
        row, name, what = problems[0]
        raise RowError(f"{raw.path}, row {row + 1}, column {name!r}: {what}.", tuple(problems[:MAX_PROBLEMS]))
    return pl.DataFrame(series)


def suggest_names(name: str, names: Sequence[str]) -> str:
    """The end of a message about a name that is not there: those it may have meant, else those there are."""
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
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


def _infer_type(series: pl.Series, notes: list[str], strict: bool = True) -> pl.Series:
    """The series in the narrowest type that all of its values allow."""
    if series.dtype != pl.String:
        return normalize_type(series, strict)
    text = strip_blanks(series)
    if text.null_count() == len(text):
        return text
    number = parse_numbers(text)
    if is_digit_name(text, number):
        notes.append(describe_digit_names(series.name, str(text[is_too_large(number).arg_true()[0]])))
        return text
    if number.null_count() == text.null_count():
        return _refuse_infinite(number, strict)
    if set(text.drop_nulls().str.to_lowercase().unique()) <= {"true", "false"}:
        return text.str.to_lowercase() == "true"
    moment = _parse_uniform_times(text, notes)
    if moment is not None:
        return moment
    if has_joined_names(text, number):
        notes.append(describe_joined_names(series.name, str(text.filter(number.is_null() & text.is_not_null())[0])))
    elif strict:
        _refuse_damaged_numbers(text, number)
    return text


def normalize_type(series: pl.Series, strict: bool) -> pl.Series:
    """The series of a file that has types in the type that models are made for; NaN is missing."""
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if series.dtype in (pl.Date, pl.Datetime):
        return series.cast(pl.Datetime("us"))
    if series.dtype.is_integer():
        whole = series.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == series.null_count() else series.cast(pl.Float64)
    if series.dtype == pl.Duration:
        return series.dt.total_microseconds() / 1e6
    if series.dtype.is_float():
        return _refuse_infinite(series.cast(pl.Float64).fill_nan(None), strict)
    if series.dtype == pl.Boolean:
        return series
    return series.cast(pl.String)


def strip_blanks(series: pl.Series) -> pl.Series:
    """Text without blanks around it; null where it is a word for missing."""
    text = series.str.strip_chars()
    return text.set(text.is_in(list(MISSING_WORDS)), None)


def parse_numbers(text: pl.Series) -> pl.Series:
    """Integers where all are, else floats; null where a value is no number. "1,234.5" is a number."""
    commas = text.str.contains(THOUSANDS)
    if commas.any():
        text = text.zip_with(~commas.fill_null(value=False), text.str.replace_all(",", ""))
    whole = text.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == text.null_count() else text.cast(pl.Float64, strict=False).fill_nan(None)


def is_too_large(number: pl.Series) -> pl.Series:
    """Which numbers are infinite to a model."""
    return (number.abs() > MAX_NUMBER).fill_null(value=False)


def is_all_digits(text: pl.Series, number: pl.Series) -> bool:
    """Whether every number of the text is written in digits alone, without decimals or exponent."""
    return bool(text.filter(number.is_not_null()).str.contains(DIGITS).all())


def is_digit_name(text: pl.Series, number: pl.Series) -> bool:
    """Whether numbers are names, or lists run together, that happen to be written in digits: whole, and one too long to be a
    number."""
    return bool(is_too_large(number).any()) and is_all_digits(text, number)


def describe_digit_names(name: str, value: str) -> str:
    """The note about a column that is named in digits."""
    return (
        f"{name} holds digits too long to be a number ({value[:SHOWN_CHARACTERS]}…, {len(value):,} "
        "characters), so it is read as text."
    )


def has_joined_names(text: pl.Series, number: pl.Series) -> bool:
    """Whether numbers are names that happen to be written in digits: whole, and what is no number is two of them."""
    odd = text.filter(number.is_null() & text.is_not_null())
    return 0 < len(odd) < len(text) - text.null_count() and bool(odd.str.contains(JOINED).all()) and is_all_digits(text, number)


def describe_joined_names(name: str, value: str) -> str:
    """The note about a column whose numbers are names."""
    return f"{name} holds two numbers in one ({value!r}), so its numbers are names and it is read as text."


def _refuse_infinite(series: pl.Series, strict: bool) -> pl.Series:
    if series.dtype != pl.Float64 or not strict:
        return series
    infinite = is_too_large(series)
    if infinite.any():
        raise ColumnError(
            f"column {series.name!r}: {infinite.sum():,} infinite or enormous values, "
            f"first in row {infinite.arg_true()[0] + 1:,}; expected finite numbers: mend them, leave them empty, or use --drop."
        )
    return series


def _refuse_damaged_numbers(text: pl.Series, number: pl.Series) -> None:
    distinct = text.drop_nulls().unique()
    if len(distinct) <= 50:
        return
    share = 1 - parse_numbers(distinct).null_count() / len(distinct)
    bad = number.is_null() & text.is_not_null()
    if share >= NUMERIC_SHARE:
        row = bad.arg_true()[0]
        raise ColumnError(
            f"column {text.name!r} holds numbers, but {bad.sum():,} of its values are none: {text[row]!r} in row {row + 1:,}; "
            "mend them, leave them empty, or use --drop."
        )


def _parse_uniform_times(text: pl.Series, notes: list[str]) -> pl.Series | None:
    """Times (naive UTC) where every value parses in one format, else None."""
    values = text.drop_nulls()
    fits = [form for form in TIME_FORMATS if all(not parse_times_as(v, form).null_count() for v in (values.head(20), values))]
    if not fits or values.is_empty():
        return None
    if fits[0].startswith("%m/%d") and any(form.startswith("%d/%m") for form in fits):
        notes.append(f"{text.name}: month/day/year, though day/month/year would fit too.")
    if fits[0].startswith("%d/%m"):
        notes.append(f"{text.name}: day/month/year.")
    return parse_times_as(text, fits[0])


def parse_times_as(text: pl.Series, form: str) -> pl.Series:
    """The values as times (naive UTC) in one format; null where they do not fit."""
    if form in ZONED_FORMATS:
        return text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC").dt.replace_time_zone(None)
    text = text.str.strip_chars_end("Z")
    if form in MONTHS:
        text, form = ("1 " + text).alias(text.name), f"%d {form}"
    moment = text.str.to_datetime(form, strict=False, time_unit="us")
    return moment.set(moment.dt.year() < FIRST_YEAR, None)


def read_numbers(series: pl.Series) -> pl.Series:
    """The values as numbers; null where they are missing or none."""
    own = strip_blanks(series) if series.dtype == pl.String else series
    return parse_numbers(own) if own.dtype == pl.String else own.cast(pl.Float64, strict=False)


def is_missing(series: pl.Series) -> pl.Series:
    """Which values are missing: null, empty, or a word for it."""
    return (strip_blanks(series) if series.dtype == pl.String else series).is_null()


def read_times(text: pl.Series, forms: Sequence[str] = TIME_FORMATS) -> pl.Series:
    """The values as times (naive UTC) in the one format that reads most of them; null where they are none."""
    return min((parse_times_as(text, form) for form in forms), key=lambda moment: moment.null_count())


def _drop_unlabelled(frame: pl.DataFrame, label: str, notes: list[str]) -> pl.DataFrame:
    missing = frame[label].null_count()
    if missing == frame.height:
        raise ColumnError(f"label {label!r} is missing in all {missing:,} rows; there is nothing to learn, name another.")
    if missing:
        notes.append(f"{missing:,} rows without a label were left out.")
    return frame.filter(pl.col(label).is_not_null())


def read_row_times(frame: pl.DataFrame, names: tuple[str, ...], notes: list[str], rows: pl.Series) -> pl.Series:
    """The rows' times; `rows` are their numbers in the file from 0, for messages."""
    times = _join_date_parts(frame, names, notes, rows) if len(names) > 1 else _read_time_column(frame[names[0]], notes, rows)
    if times.null_count():
        row = rows[times.is_null().arg_true()[0]]
        raise ColumnError(
            f"--time {', '.join(names)}: {times.null_count():,} rows have none, first row {row + 1:,}; "
            "fill them in or leave them out."
        )
    return times


def _read_time_column(series: pl.Series, notes: list[str], rows: pl.Series) -> pl.Series:
    if series.dtype == pl.Datetime("us"):
        return series
    if series.dtype.is_integer():
        return _convert_whole_times(series, notes)
    # What is no time in any format is null here, and every such value is at fault.
    moment = read_times(series) if series.dtype == pl.String else pl.repeat(None, len(series), dtype=pl.Datetime, eager=True)
    bad = (moment.is_null() & series.is_not_null()).arg_true()
    if len(bad):
        message = f"{len(bad):,} of {len(series):,} values are no times, first {series[bad[0]]!r} in row {rows[bad[0]] + 1:,}"
        raise ColumnError(f"--time {series.name}: {message}; write them as 2024-03-01 or 2024-03-01T13:00.")
    return moment


def _convert_whole_times(series: pl.Series, notes: list[str]) -> pl.Series:
    """Whole numbers as times: years, dates like 20240301, else days."""
    values = series.drop_nulls()
    if values.is_between(1000, 3000).all():
        notes.append(f"{series.name} holds years; each is taken for its 1 January.")
        return pl.select(pl.datetime(series, 1, 1, time_unit="us")).to_series().alias(series.name)
    dates = parse_times_as(series.cast(pl.String), "%Y%m%d")
    if values.is_between(10**7, 10**8 - 1).all() and dates.null_count() == series.null_count():
        notes.append(f"{series.name} holds dates like {values[0]} (year, month, day).")
        return dates
    far = values.filter(~values.is_between(*DAY_RANGE))
    if len(far):
        raise ColumnError(
            f"--time {series.name}: {far[0]:,} is neither a year nor a number of days; "
            "write the times as 2024-03-01 or 2024-03-01T13:00."
        )
    notes.append(f"{series.name} holds whole numbers, taken for days; --horizon and --gap count in them.")
    return (series * 86_400_000_000).cast(pl.Datetime("us"))


def _join_date_parts(frame: pl.DataFrame, names: tuple[str, ...], notes: list[str], rows: pl.Series) -> pl.Series:
    """The date spread over year, month and day (or year and month): months as numbers or names."""
    if len(names) > 3:
        raise ColumnError(f"--time was given {len(names)} columns; a spread date has year, month, day.")
    parts = [frame[name].cast(pl.String) for name in names]
    if len(parts) == 2:
        parts.append(pl.repeat("1", frame.height, eager=True))
    joined = pl.concat_str(pl.all(), separator="-")
    text = pl.DataFrame([part.alias(str(i)) for i, part in enumerate(parts)]).select(joined).to_series()
    moment = read_times(text, SPREAD_FORMATS)
    bad = (moment.is_null() & text.is_not_null()).arg_true()
    if len(bad):
        message = f"{text[bad[0]]!r} in row {rows[bad[0]] + 1:,} is no date"
        raise ColumnError(f"--time {', '.join(names)}: {message}; give the columns in the order year, month, day.")
    notes.append(f"The rows' time is made of {', '.join(names)}; {names[0]} itself is no input.")
    return moment


def _infer_column(series: pl.Series, roles: Roles, notes: list[str]) -> Column:
    dtype = _infer_dtype(series)
    distinct = series.drop_nulls().n_unique()
    role = infer_role(series.name, dtype, distinct, bool(series.null_count()), roles, notes)
    column = Column(series.name, dtype, role=role)
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


def infer_role(name: str, dtype: Dtype, n_distinct: int, has_missing: bool, roles: Roles, notes: list[str]) -> Role:
    """The role of a column with this many `n_distinct` values (and `has_missing`): as stated, else an input where it can tell
    anything."""
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
        notes.append(f"{name} is free text ({n_distinct:,} different values): no input.")
        return "never"
    return "input"


def cast_column(series: pl.Series, column: Column, problems: list[tuple[int, str | None, str]]) -> pl.Series:
    """The series in the column's type; what does not fit goes into the problems."""
    if column.role in ("group", "id") and series.dtype == pl.String:
        return strip_name(series)
    own = strip_blanks(series) if series.dtype == pl.String else normalize_type(series, strict=False)
    if column.dtype in ("category", "text") or column.role in ("group", "id"):
        return own.cast(pl.String)
    typed = _cast(own, column.dtype)
    odd = typed.is_null() & own.is_not_null()
    if typed.dtype == pl.Float64:
        odd = odd | (typed.abs() > MAX_NUMBER).fill_null(value=False)
    expected = {"time": "a time like 2024-03-01T13:00", "bool": "true or false"}.get(column.dtype, "a finite number")
    problems.extend((row, column.name, f"{series[row]!r} is not {expected}") for row in odd.arg_true().head(MAX_PROBLEMS))
    return typed


def _cast(own: pl.Series, dtype: Dtype) -> pl.Series:
    """The values as numbers, times or truth values; null where they are none."""
    if dtype == "time":
        return _cast_times(own)
    if own.dtype.is_temporal():
        return pl.Series(own.name, [None] * len(own), dtype=pl.Boolean if dtype == "bool" else pl.Float64)
    if dtype != "bool":
        return parse_numbers(own).cast(pl.Float64) if own.dtype == pl.String else own.cast(pl.Float64)
    if own.dtype == pl.String:
        return own.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return own.set(~own.cast(pl.Float64).is_in([0.0, 1.0]), None).cast(pl.Boolean)


def _cast_times(own: pl.Series) -> pl.Series:
    if own.dtype == pl.Datetime("us"):
        return own
    if own.dtype != pl.String:
        return pl.Series(own.name, [None] * len(own), dtype=pl.Datetime("us"))
    moment = _parse_uniform_times(own, [])
    return read_times(own) if moment is None else moment
