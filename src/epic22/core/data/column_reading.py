"""How the text of a column is read: inferred once from the whole column in training, and applied to every later file.

One rule for numbers, times, truth values and words for missing: a column is of a type where all of its values are. Where nearly
all are, the user is asked by name and value, never is it text in silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from epic22.core.column import MAX_NUMBER, ColumnReading, Dtype, NumberFormat
from epic22.core.data.column_remarks import (
    ALL_ROWS,
    MISSING,
    MIXED_UNITS,
    MOSTLY,
    NAMES,
    NEARLY,
    NUMBERS,
    OPEN_MARKS,
    SENTINELS,
    SHOWN_CHARACTERS,
    TRUTHS,
    TWO_DIGIT_YEARS,
    UNREAD,
    VARIANTS,
    WORDS,
    Occurrences,
    describe_digit_names,
    describe_joined_names,
)
from epic22.core.data.column_words import (
    ALWAYS_TYPED,
    are_typed_words,
    list_numbers,
    mixes_truth_words,
    null_missing_words,
)
from epic22.core.data.compound_numbers import COMPOUNDS, infer_compound
from epic22.core.data.names import group_variants
from epic22.core.data.number_format import (
    MARKS,
    NumberReading,
    has_name_digits,
    has_open_points,
    infer_number_format,
    is_open_group,
    normalize_signs,
    parse_later_numbers,
    parse_numbers_as,
    parse_plain_numbers,
)
from epic22.core.data.sentinels import NumberSpread, are_sentinels, describe_sentinels
from epic22.core.data.time_format import (
    FISCAL_YEARS,
    ISO_FORMATS,
    ZONE,
    ZONED_FORMATS,
    TimeReading,
    find_dotted_months,
    infer_time_formats,
    list_clocks,
    parse_times_in,
    simplify_stamps,
)
from epic22.core.data.unread_notation import NEARLY_ALL, is_unread_notation

MAX_FEW_VALUES = 50
"""A column with at most this many different values can be a category although nearly all are numbers; it is said so."""

MIN_REPEATS = 1.5
"""The values of a category come as often on average."""

MAX_UNITS = 5
"""More different words behind numbers are no units: addresses have them."""

DIGITS = r"^[+-]?(\d+|\d{1,3}(,\d{3})+)$"
TRUTH_VALUES = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
JOINED = r"^\d{4,}\D+\d{4,}$"
"""Two numbers in one cell: parcels, orders, accounts. No damage of one number looks like it."""

SPREADSHEET_DAY = r"^[2-5][0-9]{4}(\.[0-9]+)?$"
"""A day of 1954 to 2064 as a spreadsheet counts it."""


@dataclass(frozen=True)
class ReadingRules:
    """What is known of a column before it is read.

    `missing` are words that the user names. `may_be_names`: whole numbers that are written as codes are (007, 1E2) are names.
    `may_be_missing`: numbers that stand for missing may be among its values. `decimal` and `day_first` are stated by the user.
    """

    missing: tuple[str, ...] = ()
    may_be_names: bool = True
    may_be_missing: bool = True
    decimal: str | None = None
    day_first: bool | None = None


@dataclass(frozen=True)
class ReadColumn:
    """A column's values in their type, and how they were read.

    `remarks` are (what, which column and value). `problem` is what the user must decide before anything can be learned from the
    column, `odd` the first value that it is about.
    """

    values: pl.Series
    reading: ColumnReading
    notes: tuple[str, ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()
    problem: str | None = None
    odd: str | None = None


def infer_text_column(series: pl.Series, rules: ReadingRules = ReadingRules(), occurrences: Occurrences = ALL_ROWS) -> ReadColumn:
    """The text of a column in the narrowest type that all of its values allow; of one whose different values are counted, these
    in the order in which they come first."""
    text = null_missing_words(series, rules.missing)
    base = ColumnReading(missing=rules.missing)
    if text.null_count() == len(text):
        return ReadColumn(text, base)
    number = parse_plain_numbers(text)
    if number.null_count() == text.null_count():
        column = _read_plain_numbers(text, number, base, rules)
    else:
        column = _read_values(text, base, rules, occurrences)
    return null_sentinels(_refuse_infinite(column, occurrences), rules, occurrences)


def _read_plain_numbers(text: pl.Series, number: pl.Series, base: ColumnReading, rules: ReadingRules) -> ReadColumn:
    """A column of numbers that need no format, unless they are names or their points part thousands."""
    named = _read_long_digits(text, text, number, base)
    if named is not None:
        return named
    if rules.may_be_names and _looks_named(text, number) and has_name_digits(text.drop_nulls()):
        return _build_names(text, base)
    months = None if number.dtype != pl.Float64 else _read_months(text, text.drop_nulls(), base, rules)
    if months is not None:
        return months
    if rules.decimal == "," or (number.dtype == pl.Float64 and has_open_points(text.drop_nulls())):
        values = text.drop_nulls().unique(maintain_order=True)
        numbers = infer_number_format(values, rules.decimal)
        if numbers is not None and not numbers.numbers.null_count():
            return _build_numbers(text, numbers, base)
        if rules.decimal == ",":
            odd = str(values[0] if numbers is None else values.filter(numbers.numbers.is_null())[0])
            problem = f"column {text.name!r} holds numbers with '.', such as {odd!r}, though columns.{text.name}.decimal says ','"
            return ReadColumn(number, base, problem=problem, odd=odd)
    return ReadColumn(number, base)


def _read_months(text: pl.Series, values: pl.Series, reading: ColumnReading, rules: ReadingRules) -> ReadColumn | None:
    """The column as months that are written as numbers are, 03.2019; None where it is none, or the user states a decimal mark."""
    form = None if rules.decimal is not None else find_dotted_months(values)
    if form is None:
        return None
    column = _build_times(text, TimeReading((form,), parse_times_in(values, (form,))), reading)
    note = f"{text.name}: months like {values[0]}, and no numbers (columns.NAME.decimal in a task file makes them numbers)."
    return replace(column, notes=(*column.notes, note))


def _read_long_digits(text: pl.Series, values: pl.Series, number: pl.Series, base: ColumnReading) -> ReadColumn | None:
    """The column as text where whole numbers are names, or lists run together: one is too long to be a number. Else None."""
    too_large = is_too_large(number)
    if not too_large.any() or not is_all_digits(values, number):
        return None
    return ReadColumn(text, base, notes=(describe_digit_names(text.name, str(values[too_large.arg_true()[0]])),))


def _looks_named(text: pl.Series, number: pl.Series) -> bool:
    """A quick look for leading zeros, exponents and numbers that no 64 bits hold."""
    if number.dtype == pl.Int64:
        return bool((text.str.starts_with("0") & (text.str.len_bytes() > 1)).any())
    return bool((number.drop_nulls() == number.drop_nulls().round()).all())


def _read_values(text: pl.Series, base: ColumnReading, rules: ReadingRules, occurrences: Occurrences) -> ReadColumn:
    """A column whose values are not all plain numbers, by its different values."""
    distinct = text.drop_nulls().unique(maintain_order=True)
    is_word = distinct.is_in([ALWAYS_TYPED]) | are_typed_words(distinct)
    values, words = distinct.filter(~is_word), tuple(distinct.filter(is_word))
    if values.is_empty():
        return ReadColumn(text, base)
    reading = replace(base, missing=(*base.missing, *(word for word in words if word != ALWAYS_TYPED)))
    present = text.set(text.is_in(list(words)), None) if words else text
    is_truth = values.str.to_lowercase().is_in(["true", "false"])
    if is_truth.all():
        return _remark_missing(ReadColumn(present.str.to_lowercase() == "true", reading), present, words)
    numbers = infer_number_format(values, rules.decimal)
    if numbers is not None and not numbers.numbers.null_count():
        named = _read_long_digits(text, values, numbers.numbers, base)
        if named is not None:
            return named
        if rules.may_be_names and has_name_digits(values, numbers.format):
            return _build_names(text, base)
        column = _read_months(present, values, reading, rules) or _build_numbers(present, numbers, reading)
        return _remark_missing(column, present, words)
    times = infer_time_formats(values, rules.day_first)
    if times is not None and not times.times.null_count():
        return _remark_missing(_build_times(present, times, reading), present, words)
    compound = infer_compound(normalize_signs(values))
    if compound is not None and not compound[1].null_count():
        return _remark_missing(_build_compound(present, compound[0], reading), present, words)
    parsed = [(numbers.numbers, "numbers")] if numbers is not None else []
    parsed += [(compound[1], f"values like {COMPOUNDS[compound[0]].example}")] if compound is not None else []
    parsed += [(times.times, "times")] if times is not None else []
    parsed += [(values.set(~is_truth, None), "true or false")] if is_truth.any() else []
    column = _read_names(ReadColumn(text, base), values, parsed, numbers, occurrences)
    word_remarks = (
        ((WORDS, f"{text.name} ({', '.join(map(repr, words[:5]))})"),) if words and len(values) <= MAX_FEW_VALUES else ()
    )
    is_final = column.notes or column.problem is not None or any(sort != MOSTLY for sort, _ in column.remarks)
    remarks = column.remarks if is_final else _remark_names(text, values) or column.remarks
    return replace(column, remarks=(*remarks, *word_remarks))


def _remark_names(text: pl.Series, values: pl.Series) -> tuple[tuple[str, str], ...]:
    """What is to be said of names that mean something else: numbers or times that are not read, yes and no in several words."""
    if mixes_truth_words(values):
        return ((TRUTHS, f"{text.name} ({', '.join(repr(word) for word in values.to_list())})"),)
    if is_unread_notation(values):
        return ((UNREAD, f"{text.name} ({str(values[0])[: 2 * SHOWN_CHARACTERS]!r})"),)
    variants = [] if len(values) > MAX_FEW_VALUES else [names for names in group_variants(values.to_list()) if len(names) > 1]
    return ((VARIANTS, f"{text.name} ({', '.join(map(repr, variants[0]))})"),) if variants else ()


def _remark_missing(column: ReadColumn, present: pl.Series, words: Sequence[str]) -> ReadColumn:
    if not words:
        return column
    shown = ", ".join(repr(word) for word in words[:5])
    return replace(column, remarks=(*column.remarks, (MISSING, f"{present.name} ({shown})")))


def _build_numbers(text: pl.Series, numbers: NumberReading, reading: ColumnReading) -> ReadColumn:
    form = numbers.format
    column = ReadColumn(parse_numbers_as(text, form), replace(reading, number=form))
    if form != NumberFormat() or numbers.open_value is not None:
        present = text.drop_nulls()
        is_shown = present.cast(pl.Float64, strict=False).is_null()
        if numbers.open_value is not None:
            is_shown = present.str.contains(numbers.open_value, literal=True)
        shown = present.filter(is_shown) if is_shown.any() else present
        value = str(shown[0])
        number = parse_numbers_as(pl.Series([value]), form)[0]
        sort = NUMBERS if numbers.open_value is None else OPEN_MARKS
        column = replace(column, remarks=((sort, f"{text.name} ({value!r} is {number:,})"),))
    return column


def _build_compound(text: pl.Series, name: str, reading: ColumnReading) -> ReadColumn:
    compound = COMPOUNDS[name]
    values = compound.parse(normalize_signs(text))
    present = text.drop_nulls()
    shown = present.filter(present.str.contains(compound.proof)) if compound.proof else present
    value = str(shown[0])
    number = compound.parse(normalize_signs(pl.Series([value])))[0]
    detail = f"{text.name} ({value!r} is {number:,.6g}{' ' if compound.unit else ''}{compound.unit})"
    return ReadColumn(values, replace(reading, number=NumberFormat(notation=name)), remarks=((NUMBERS, detail),))


def _build_times(text: pl.Series, times: TimeReading, reading: ColumnReading) -> ReadColumn:
    moments = parse_times_in(text, times.formats)
    notes = []
    first = next((form for form in times.formats if form[:5] in ("%m/%d", "%d/%m", "%m-%d", "%d-%m")), None)
    mark = "" if first is None else first[2]
    if times.open_value is not None:
        notes.append(
            f"{text.name}: month{mark}day{mark}year, though day{mark}month{mark}year would fit too "
            "(columns.NAME.day_first in a task file says which)."
        )
    elif first is not None and first.startswith("%d"):
        notes.append(f"{text.name}: day{mark}month{mark}year.")
    if any(form.startswith("%y") for form in times.formats):
        notes.append(f"{text.name}: year-month-day, the year in two digits.")
    if any(form in FISCAL_YEARS for form in times.formats):
        notes.append(f"{text.name}: fiscal years, each taken for the 1 January of the year that it names first.")
    if simplify_stamps(text).str.contains(ZONE).any():
        notes.append(f"{text.name}: times of named zones; an hour that comes twice at a clock change is the first.")
    if any("%y" in form for form in times.formats if "%Y" not in form):
        notes.append(f"{text.name}: {TWO_DIGIT_YEARS}")
    if len(times.formats) > 1:
        notes.append(f"{text.name}: times are written in {len(times.formats)} ways, all of which are read.")
    return ReadColumn(moments, replace(reading, times=times.formats), tuple(notes))


def _build_names(text: pl.Series, base: ColumnReading) -> ReadColumn:
    present = text.drop_nulls()
    odd = present.filter(normalize_signs(present).str.contains(r"^0[0-9]+$|^[0-9]+[eE][0-9]+$|^[0-9]{19,}$"))
    return ReadColumn(text, base, remarks=((NAMES, f"{text.name} ({str(odd[0])[:SHOWN_CHARACTERS]!r})"),))


def _read_names(
    column: ReadColumn,
    values: pl.Series,
    parsed: Sequence[tuple[pl.Series, str]],
    numbers: NumberReading | None,
    occurrences: Occurrences,
) -> ReadColumn:
    """A column of text, with what is to be said where most of its values are of a type: `parsed` are they in each type, null
    where they are not of it, and the type's name."""
    text = column.values
    if not parsed:
        return column
    parsed_values, what = min(parsed, key=lambda pair: pair[0].null_count())
    odd = values.filter(parsed_values.is_null())
    if what == "numbers" and numbers is not None:
        digits = values.filter(parsed_values.is_not_null())
        if digits.len() and has_name_digits(digits, numbers.format):
            return _build_names(text, column.reading)
        if odd.str.contains(JOINED).all() and digits.str.contains(DIGITS).all():
            return replace(column, notes=(describe_joined_names(text.name, str(odd[0])),))
    is_odd = text.is_in(odd.to_list())
    is_share = numbers is not None and numbers.format.needs_affix and _are_bare_numbers(odd, numbers.format)
    what = "percentages" if is_share else what
    is_mixed = is_share or (numbers is not None and what == "numbers" and _have_other_marks(odd, numbers.format))
    is_mixed = is_mixed or (what == "times" and _are_other_times(odd))
    is_mixed = is_mixed or (
        what == "numbers"
        and values.filter(parsed_values.is_not_null()).str.contains(SPREADSHEET_DAY).all()
        and not odd.str.contains(SPREADSHEET_DAY).any()
        and _are_other_times(odd)
    )
    share = max(1 - len(odd) / len(values), 1 - occurrences.count(is_odd) / occurrences.count(text.is_not_null()))
    if share < NEARLY_ALL and not is_mixed:
        if numbers is not None and 0 < len(numbers.units) <= MAX_UNITS:
            return replace(column, remarks=((MIXED_UNITS, f"{text.name} ({', '.join(numbers.units[:5])})"),))
        if 2 * len(odd) > len(values):
            return column
        return replace(column, remarks=((MOSTLY, f"{text.name} ({str(odd[0])[: 2 * SHOWN_CHARACTERS]!r})"),))
    first_odd, where = str(text.filter(is_odd)[0]), occurrences.describe_first(is_odd)
    if _may_be_levels(len(values), occurrences.count(text.is_not_null())) and not is_mixed:
        return replace(column, remarks=((NEARLY, f"{text.name} ({first_odd!r} in {where})"),))
    problem = f"column {text.name!r} holds {what}, but not in {occurrences.count(is_odd):,} of its rows: {first_odd!r} in {where}"
    if odd.str.contains(ZONE).all():
        problem += " (when its clock changes, a named zone has no such hour)"
    return replace(column, problem=problem, odd=first_odd)


def _may_be_levels(n_different: int, n_present: int) -> bool:
    """Whether values are few and come again, as those of a category do: 39 numbers and a word in 40 rows are no levels."""
    return n_different <= MAX_FEW_VALUES and n_present >= MIN_REPEATS * n_different


def null_sentinels(column: ReadColumn, rules: ReadingRules, occurrences: Occurrences = ALL_ROWS) -> ReadColumn:
    """The column without numbers that stand for missing: -999 where nothing else is below zero, or far from all others."""
    number = column.values
    named = list_numbers(rules.missing) if number.dtype.is_numeric() else []
    if named:
        is_named = are_sentinels(number, named)
        column = replace(column, values=number.set(is_named, None), reading=replace(column.reading, sentinels=tuple(named)))
        number = column.values
    if not rules.may_be_missing or not number.dtype.is_numeric() or column.problem is not None:
        return column
    spread = NumberSpread()
    spread.add(number, occurrences.counts)
    sentinels = spread.find_sentinels()
    if not sentinels:
        return column
    return replace(
        column,
        values=number.set(are_sentinels(number, tuple(sentinels)), None),
        reading=replace(column.reading, sentinels=(*column.reading.sentinels, *sentinels)),
        remarks=(*column.remarks, (SENTINELS, describe_sentinels(number.name, sentinels))),
    )


def _are_bare_numbers(values: pl.Series, form: NumberFormat) -> bool:
    """Whether all are numbers but for the percent sign that they lack: 0.45 beside 45 % may be either."""
    bare = parse_numbers_as(values, replace(form, affixes=()))
    return not values.is_empty() and not bare.null_count()


def _have_other_marks(values: pl.Series, form: NumberFormat) -> bool:
    """Whether all are numbers but for the marks: 1.234,50 beside 1,234.50."""
    others = [marks for marks in MARKS if marks[0] != form.decimal]
    read = (parse_numbers_as(values, replace(form, decimal=decimal, thousands=thousands)) for decimal, thousands in others)
    return not values.is_empty() and any(not numbers.null_count() for numbers in read)


def _are_other_times(values: pl.Series) -> bool:
    """Whether all are times too, as a spreadsheet counts days, or with day and month the other way round."""
    if values.is_empty() or values.str.contains(SPREADSHEET_DAY).all():
        return not values.is_empty()
    times = infer_time_formats(values)
    return times is not None and not times.times.null_count()


def is_too_large(number: pl.Series) -> pl.Series:
    """Which numbers are infinite to a model."""
    return (number.abs() > MAX_NUMBER).fill_null(value=False)


def is_all_digits(text: pl.Series, number: pl.Series) -> bool:
    """Whether every number of the text is written in digits alone, without decimals or exponent."""
    return bool(text.filter(number.is_not_null()).str.contains(DIGITS).all())


def _refuse_infinite(column: ReadColumn, occurrences: Occurrences) -> ReadColumn:
    """The column, with a problem where a number is infinite to a model."""
    problem = describe_infinite(column.values, column.values.name, occurrences)
    return column if problem is None else replace(column, problem=problem)


def describe_infinite(number: pl.Series, name: str, occurrences: Occurrences = ALL_ROWS) -> str | None:
    """What is wrong with numbers of which some are infinite to a model; None where none is."""
    if number.dtype != pl.Float64:
        return None
    infinite = is_too_large(number)
    if not infinite.any():
        return None
    return (
        f"column {name!r}: {occurrences.count(infinite):,} infinite or enormous values, first in "
        f"{occurrences.describe_first(infinite)} where finite numbers are expected"
    )


def read_text(text: pl.Series, dtype: Dtype, reading: ColumnReading) -> pl.Series:
    """The text of a later file in a type, as training read it; null where it is missing, or does not fit."""
    typed = parse_text(strip_text(text, dtype, reading), dtype, reading)
    return typed.set(are_sentinels(typed, reading.sentinels), None) if reading.sentinels else typed


def strip_text(text: pl.Series, dtype: Dtype, reading: ColumnReading) -> pl.Series:
    """The text without blanks around it, null where it is a word for missing in a column of this type."""
    return null_missing_words(text, reading.missing if dtype in ("category", "text") else (*reading.missing, ALWAYS_TYPED))


def parse_text(own: pl.Series, dtype: Dtype, reading: ColumnReading) -> pl.Series:
    """Stripped text in a type, as training read it; null where it does not fit.

    Times with the year first, as ISO 8601 has them, fit every column of times, and the dates of training do with any clock.
    """
    if dtype == "int":
        # Training had whole numbers alone: 1.234 is a thousand or a part of two, and nothing says which.
        own = own.set(is_open_group(own, replace(reading.number, thousands=reading.number.decimal)), None)
    if reading.number.notation is not None and dtype in ("int", "float", "money"):
        return COMPOUNDS[reading.number.notation].parse(normalize_signs(own))
    if dtype in ("float", "money") and not reading.number.grouped:
        own = own.set(is_open_group(own, reading.number), None)
    if dtype in ("int", "float", "money"):
        return parse_later_numbers(own, reading.number, is_whole=dtype == "int")
    if dtype == "time":
        known = (form for time in reading.times for form in list_clocks(time))
        return parse_times_in(own, tuple(dict.fromkeys((*reading.times, *known, *ISO_FORMATS, *ZONED_FORMATS))))
    if dtype == "bool":
        # As of a file with types, 1 is true and 0 is not.
        return own.str.to_lowercase().replace_strict(TRUTH_VALUES, default=None, return_dtype=pl.Boolean)
    return own


def infer_reading_as(text: pl.Series, dtype: Dtype, rules: ReadingRules = ReadingRules()) -> ColumnReading:
    """How text is read whose type the user states: the format of its numbers or times, and its words for missing."""
    distinct = null_missing_words(text, rules.missing).drop_nulls().unique(maintain_order=True)
    reading = ColumnReading(missing=rules.missing)
    if dtype in ("category", "text"):
        return reading
    is_word = are_typed_words(distinct)
    values = distinct.filter(~is_word)
    reading = replace(reading, missing=(*rules.missing, *distinct.filter(is_word)))
    if dtype == "time":
        times = infer_time_formats(values, rules.day_first)
        return reading if times is None else replace(reading, times=times.formats)
    numbers = None if dtype == "bool" else infer_number_format(values, rules.decimal)
    if numbers is not None:
        return replace(reading, number=numbers.format)
    compound = None if dtype == "bool" else infer_compound(normalize_signs(values))
    return reading if compound is None else replace(reading, number=NumberFormat(notation=compound[0]))
