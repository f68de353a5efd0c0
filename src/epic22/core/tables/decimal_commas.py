"""Numbers with a decimal comma, as spreadsheets of half the world write them: told by a column's values, read as they are meant.

`1.450,00` and `12,5` can be nothing else; `1,450` alone could be either, and decides nothing.
"""

from collections.abc import Sequence

import polars as pl

from epic22.core.tables.canonical import CanonicalTable

WHOLE = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)"
COMMA_NUMBER = rf"^{WHOLE}(?:,\d+)?$"
"""A number of such a column: dots group thousands, a comma is the decimal mark."""
CERTAIN = r"^(?:[+-]?\d+,(?:\d{1,2}|\d{4,})|[+-]?\d{1,3}(?:\.\d{3})+,\d+|[+-]?(?:0|\d{4,}),\d{3})$"
"""A number that has a decimal comma whatever stands in the other rows."""
CONTRARY = r"^[+-]?(?:\d*\.(?:\d{1,2}|\d{4,})|\d{1,3}(?:,\d{3})+\.\d+)$"
"""A number with a decimal point."""


def list_comma_columns(table: CanonicalTable, frame: pl.DataFrame) -> tuple[str, ...]:
    """The columns of numbers whose text has decimal commas for certain, and no decimal point.

    >>> from epic22.core.tables.canonical import LEASES
    >>> frame = pl.DataFrame({"monthly_rent": ["1.450,00", "900"], "deposit": ["1,450", "900.5"]})
    >>> list_comma_columns(LEASES, frame)
    ('monthly_rent',)
    """
    numbers = [column.name for column in table.columns if column.dtype in ("float", "money")]
    return tuple(name for name in numbers if name in frame.columns and _has_decimal_commas(frame[name]))


def _has_decimal_commas(raw: pl.Series) -> bool:
    if raw.dtype != pl.String or not raw.str.contains(",", literal=True).any():
        return False
    bare = raw.str.strip_chars()
    return bool(bare.str.contains(CERTAIN).any()) and not bool(bare.str.contains(CONTRARY).any())


def convert_comma_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with the numbers of these columns written with a decimal point; what is no such number stays as it is.

    >>> convert_comma_columns(pl.DataFrame({"x": ["1.450,00", "12,5", "none"]}), ["x"])["x"].to_list()
    ['1450.00', '12.5', 'none']
    """
    text = pl.col(*names).str.strip_chars() if names else None
    if text is None:
        return frame
    plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return frame.with_columns(pl.when(text.str.contains(COMMA_NUMBER)).then(plain).otherwise(pl.col(*names)))
