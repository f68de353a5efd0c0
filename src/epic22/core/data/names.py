"""Names that are written in digits or like words for missing: ids, groups and classes stay the text that they were.

A column is read as numbers only where nothing is lost by it. `007` and `7`, `1E2` and `100`, and digits beyond 64 bits are
different names and the same number; so a number is taken for what a name is only where it writes back as the same text.
"""

from collections.abc import Sequence

import polars as pl

CLASS_WORDS = ("None",)
"""A word for missing in a column, and a class where it is a label: no damage, no garage."""


def strip_name(series: pl.Series) -> pl.Series:
    """Names without blanks around them; null where nothing is left. "NA" is a name."""
    text = series.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def keeps_names_apart(text: pl.Series, typed: pl.Series) -> bool:
    """Whether values in their type are the names that they were as text: numbers to the letter, times and others as many."""
    if typed.null_count() != text.null_count():
        return False
    if typed.dtype.is_numeric():
        return bool((typed.cast(pl.String) == text).all())
    return typed.n_unique() == text.n_unique()


def fold_name(name: str) -> str:
    """The name but for case and blanks.

    >>> fold_name("Very  Good") == fold_name("very good\\u00a0")
    True
    """
    return " ".join(name.replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "").split()).casefold()


def find_variants(names: Sequence[str]) -> tuple[str, ...]:
    """The names of the first class that is written in several ways, which differ by case or blanks alone; () where none is.

    >>> find_variants(["no", "No", "yes"])
    ('no', 'No')
    """
    ways: dict[str, list[str]] = {}
    for name in names:
        ways.setdefault(fold_name(name), []).append(name)
    return next((tuple(variants) for variants in ways.values() if len(variants) > 1), ())
