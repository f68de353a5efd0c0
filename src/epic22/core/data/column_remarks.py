"""What is said of columns: remarks, one sort for all columns, and problems, each with the row where it first comes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

SHOWN_CHARACTERS = 20
"""Characters of a value that are shown of one that may have hundreds."""

TWO_DIGIT_YEARS = "years of two digits are those of 1970 to 2069."

NUMBERS, OPEN_MARKS, NAMES, MISSING, SENTINELS, MIXED_UNITS, NEARLY, MOSTLY, UNREAD, TRUTHS, VARIANTS, WORDS = (
    "read as numbers",
    "marks that nothing in the column settles (columns.NAME.decimal in a task file does)",
    "names and no amounts, for their digits have leading zeros, exponents or no end (columns.NAME.dtype: int in a task file, or "
    "--kind regression for a label, makes them numbers)",
    "read as missing",
    "numbers far from all others and read as missing (columns.NAME.low or high in a task file that reach so far keep them)",
    "numbers of different units, read as names",
    "nearly all numbers, times or true and false, and read as names for the rest (--missing WORD makes a word missing)",
    "numbers, times or true and false for the most part, and read as names for the rest (--missing WORD makes a word missing)",
    "numbers or times in a notation that is not read, so names (plain numbers, and times like 2024-03-01T13:00, are read)",
    "yes and no in more than two words, each a name of its own (write one word for each)",
    "names that differ by case or blanks alone, each a name of its own (write each in one way)",
    "names that may mean missing, and are kept (--missing WORD makes one missing)",
)
"""What is remarked of columns, once for all columns."""

FileStarts = tuple[tuple[int, str], ...]
"""The first row and the name of each file, where there are several."""


@dataclass(frozen=True)
class Occurrences:
    """How often each of a column's different values comes, and the row where it comes first, counted from 0 over all `files`.

    Without counts a series has a value for each row.
    """

    counts: pl.Series | None = None
    first_rows: pl.Series | None = None
    files: FileStarts = ()

    def count(self, is_meant: pl.Series) -> int:
        """How many rows have one of the values of a mask."""
        return int((is_meant if self.counts is None else self.counts.filter(is_meant)).sum())

    def describe_first(self, is_meant: pl.Series) -> str:
        """The first row with one of the values of a mask, for messages: counted from 1, without the header.

        >>> Occurrences().describe_first(pl.Series([False, True]))
        'row 2'
        """
        position = int(is_meant.arg_true()[0])
        return describe_row(position if self.first_rows is None else int(self.first_rows[position]), self.files)


ALL_ROWS = Occurrences()


def describe_row(row: int, files: FileStarts = ()) -> str:
    """A row that is counted from 0 over all files, for messages: counted from 1 in its own, without the header.

    >>> describe_row(1_204, ((0, "a.csv"), (1_000, "b.csv")))
    'row 205 of b.csv'
    """
    first, name = next((one for one in reversed(files) if one[0] <= row), (0, ""))
    return f"row {row - first + 1:,}{f' of {name}' if name else ''}"


def gather_remarks(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """The remarks of all columns as notes, one of each sort.

    >>> gather_remarks([("read as missing", "a ('-')"), ("read as missing", "b ('n/a')")])
    ["read as missing: a ('-'); b ('n/a')."]
    """
    by_sort: dict[str, list[str]] = {}
    for sort, detail in remarks:
        by_sort.setdefault(sort, []).append(detail)
    return [f"{sort}: {'; '.join(details)}." for sort, details in by_sort.items()]


def describe_problems(problems: Sequence[str]) -> str:
    """What is wrong in all columns, and the ways out, in one message."""
    return (
        f"{'; '.join(problems)}; mend them, leave them empty, or use --drop; "
        "--missing WORD makes a word missing, and columns.NAME.dtype: category in a task file keeps a column as names."
    )


def describe_digit_names(name: str, value: str) -> str:
    """The note about a column that is named in digits."""
    return (
        f"{name} holds digits too long to be a number ({value[:SHOWN_CHARACTERS]}…, {len(value):,} "
        "characters), so it is read as text."
    )


def describe_joined_names(name: str, value: str) -> str:
    """The note about a column whose numbers are names."""
    return f"{name} holds two numbers in one ({value!r}), so its numbers are names and it is read as text."
