"""Raw values to the types a contract declares: text to numbers, money, truth values, times and enumerations.

A value that cannot be of its type becomes null; the caller compares with the raw column and says so.
"""

from collections.abc import Sequence

import polars as pl

from epic22.core.tables.canonical import MONEY, PERIOD
from epic22.core.task import Column

TIME_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
)
ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def parse_column(raw: pl.Series, column: Column) -> pl.Series:
    """The values in the column's stored type; null where empty or not of the type.

    >>> parse_column(pl.Series(["2024-03-01", "2024-03-01T12:00:00+02:00", "soon"]), Column("at", "time")).to_list()
    [datetime.datetime(2024, 3, 1, 0, 0), datetime.datetime(2024, 3, 1, 10, 0), None]
    """
    if raw.dtype == pl.Null:
        raw = raw.cast(pl.String)
    match column.dtype:
        case "float":
            return _parse_numbers(raw)
        case "int":
            return _parse_integers(raw)
        case "bool":
            return _parse_booleans(raw)
        case "money":
            # Two decimals, half to even; a float is taken for the shortest decimal that names it.
            return (raw.cast(pl.String) if raw.dtype.is_float() else raw).cast(MONEY, strict=False)
        case "time":
            return parse_times(_drop_offsets(raw) if column.unit == PERIOD else raw)
        case _:
            return _parse_text(raw, column)


def strip_text(raw: pl.Series) -> pl.Series:
    """Text without blanks around it, null where nothing is left; other types as they are."""
    if raw.dtype != pl.String:
        return raw
    bare = raw.str.strip_chars()
    return bare.set(bare == "", None) if bool((bare == "").any()) else bare


def convert_percent_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with these columns divided by 100; what is no number stays as it is, for the check to name it."""
    if not names:
        return frame
    divided = []
    for name in names:
        raw = frame[name]
        values = raw.cast(pl.Float64, strict=False) / 100
        divided.append(values if raw.dtype != pl.String else values.cast(pl.String).fill_null(raw))
    return frame.with_columns(divided)


def _parse_numbers(raw: pl.Series) -> pl.Series:
    values = raw.cast(pl.Float64, strict=False)
    return values.set(~values.is_finite(), None) if not bool(values.is_finite().all()) else values


def _parse_integers(raw: pl.Series) -> pl.Series:
    """Whole numbers, also where written as 3.0."""
    if raw.dtype.is_integer():
        return raw.cast(pl.Int64, strict=False)
    whole = raw.cast(pl.Int64, strict=False) if raw.dtype == pl.String else raw.clear(raw.len()).cast(pl.Int64)
    if whole.null_count() == raw.null_count():
        return whole
    values = _parse_numbers(raw)
    exact = values.set(values != values.round(0), None).cast(pl.Int64, strict=False)
    return whole.fill_null(exact) if whole.null_count() else whole


def _parse_booleans(raw: pl.Series) -> pl.Series:
    if raw.dtype == pl.Boolean:
        return raw
    words = raw.cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
    table = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)
    return words.replace_strict(table, default=None, return_dtype=pl.Boolean)


def count_rounded(raw: pl.Series, money: pl.Series) -> int:
    """How many of the raw values had more than two decimals."""
    exact = raw.cast(pl.String) if raw.dtype.is_float() else raw
    fine = exact.cast(pl.Decimal(38, 10), strict=False)
    return int((fine != money.cast(pl.Decimal(38, 10))).sum())


def parse_times(raw: pl.Series) -> pl.Series:
    """Naive UTC microseconds, from ISO dates and datetimes; a zone is converted."""
    if raw.dtype == pl.Date:
        return raw.cast(pl.Datetime("us"))
    if isinstance(raw.dtype, pl.Datetime):
        utc = raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if raw.dtype.time_zone else raw
        return utc.cast(pl.Datetime("us"))
    if raw.dtype != pl.String:
        return pl.Series(raw.name, [None] * raw.len(), dtype=pl.Datetime("us"))
    return _parse_time_text(raw)


def _drop_offsets(raw: pl.Series) -> pl.Series:
    """The times by the clock of the place, as they are written."""
    if isinstance(raw.dtype, pl.Datetime):
        return raw.dt.replace_time_zone(None)
    return raw.str.replace(r"(:\d{2}\S*?)\s*(?:[zZ]|[+-]\d{2}:?(?:\d{2})?)$", "$1") if raw.dtype == pl.String else raw


def _parse_time_text(raw: pl.Series) -> pl.Series:
    moments: pl.Series | None = None
    n_values = raw.len() - raw.null_count()
    for form in (*TIME_FORMATS, *ZONED_FORMATS):
        tried = raw.str.to_datetime(form, time_unit="us", strict=False)
        if form in ZONED_FORMATS:
            tried = tried.dt.replace_time_zone(None)
        moments = tried if moments is None else moments.fill_null(tried)
        if moments.len() - moments.null_count() == n_values:
            break
    assert moments is not None
    return moments


def _parse_text(raw: pl.Series, column: Column) -> pl.Series:
    text = raw.cast(pl.String, strict=False)
    if not column.levels:
        return text
    is_level = text.is_in(list(column.levels))
    if bool(is_level.all()):
        return text
    lower = text.str.to_lowercase().str.replace_all(r"[\s-]+", "_")
    return pl.select(pl.when(lower.is_in(list(column.levels))).then(lower).otherwise(text)).to_series().alias(raw.name)
