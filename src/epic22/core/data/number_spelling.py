"""How the numbers of a column of text are written, which tells amounts from codes and names in digits."""

from dataclasses import dataclass

import polars as pl

from epic22.core.data.column_reading import is_all_digits, is_too_large
from epic22.core.data.number_format import NAME_DIGITS, OPEN_POINTS

WHOLE_DIGITS = r"^[0-9]+(?:[eE][0-9]+)?$"
"""Whole numbers without a sign, as codes are written."""


@dataclass
class NumberSpelling:
    """How numbers were written so far. `is_digits`: each in digits alone; `first_overlong`: the first that was too long to be a
    number, and its row.

    `writes_back`: each writes back as the text that it was; `is_whole`: those of the last batch were whole. `is_code`: all could
    be codes, `first_code` is the first that is no number by how it is written. `has_marks`: some text has a comma; `is_open`: the
    points of all may part thousands.
    """

    is_digits: bool = True
    first_overlong: tuple[str, int] | None = None
    writes_back: bool = True
    is_whole: bool | None = None
    is_code: bool = True
    first_code: str | None = None
    has_marks: bool = False
    is_open: bool = True

    def add(self, text: pl.Series, number: pl.Series) -> None:
        """Take text in, and the numbers that it is, null where it is none; whole ones in one batch and decimals in another do
        not write back alike."""
        self.has_marks = self.has_marks or bool(text.str.contains(",", literal=True).any())
        self.is_open = self.is_open and bool(text.str.contains(OPEN_POINTS).all())
        self.is_digits = self.is_digits and is_all_digits(text, number)
        is_whole = number.dtype == pl.Int64
        is_same = bool((number.cast(pl.String) == text).fill_null(value=False).all())
        self.writes_back &= is_same and self.is_whole in (None, is_whole)
        self.is_whole = is_whole
        if self.is_code:
            self.is_code = bool((number >= 0).all()) and is_whole if is_same else bool(text.str.contains(WHOLE_DIGITS).all())
        if self.is_code and not is_same and self.first_code is None:
            codes = text.filter(text.str.contains(NAME_DIGITS) | number.cast(pl.Int64, strict=False).is_null())
            self.first_code = next(iter(codes.head(1)), None)

    def drop_overlong(self, text: pl.Series, number: pl.Series, rows: pl.Series) -> pl.Series:
        """The numbers without what digits alone make enormous, which is damage only where other numbers have decimals."""
        is_overlong = is_too_large(number)
        if not is_overlong.any() or not is_all_digits(text.filter(is_overlong), number.filter(is_overlong)):
            return number
        position = int(is_overlong.arg_true()[0])
        self.first_overlong = self.first_overlong or (str(text[position]), int(rows[position]))
        return number.set(is_overlong, None)
