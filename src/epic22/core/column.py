"""A column of a table: its type, unit, bounds and role, and what the user states of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import polars as pl

Dtype = Literal["float", "int", "bool", "money", "category", "time", "text"]
Role = Literal["input", "id", "time", "group", "label", "protected", "never"]

CellValue = str | float | int | bool | None
"""A value of a row as JSON has it; a time is ISO 8601."""

MAX_NUMBER = 3.0e38
"""Beyond this a number is infinite in the 32 bits that models see."""

Numbers = TypeVar("Numbers", "pl.Series", "pl.Expr")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least and the greatest value a column may have, in its unit; None where that side is open.

    >>> Bounds(low=0).limits, Bounds(low=0).describe()
    ((0, inf), 'at least 0')
    """

    low: float | None = None
    high: float | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Both bounds, infinite where a side is open."""
        return -inf if self.low is None else self.low, inf if self.high is None else self.high

    @property
    def has_bounds(self) -> bool:
        """Whether any side is bounded."""
        return (self.low, self.high) != (None, None)

    def find_outside(self, values: Numbers) -> Numbers:
        """Which of these numbers lie beyond a bound, of which there is one; a missing number does not."""
        # The limits are no good for it: decimals are not compared with infinity.
        if self.low is None:
            outside = values > self.high
        elif self.high is None:
            outside = values < self.low
        else:
            outside = ~values.is_between(self.low, self.high)
        return outside.fill_null(value=False)

    def describe(self) -> str:
        """What a value within the bounds is: "at least 0", "at most 1" or "from 0 to 1"."""
        if self.low is None:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are written: "1.234,50 €" has the decimal mark ",", the thousands mark "." and the affix "€".

    `affixes` are the currencies, units and signs that may stand before or behind the digits. `brackets`: (12) is -12. `scaled`:
    a k or an M behind the digits multiplies them. `notation` is the name of one in parts ("clock": 14:30 is 14.5). `grouped`:
    marks of thousands were seen; where they were not (None), 1,234 is no number beside decimals, for it may be 1.234.
    """

    decimal: str = "."
    thousands: str = ","
    affixes: tuple[str, ...] = ()
    brackets: bool = False
    scaled: bool = False
    notation: str | None = None
    grouped: bool | None = field(default=None, compare=False)

    @property
    def needs_affix(self) -> bool:
        """Whether a number without an affix is none: 45 % may be 45, and 0.45 may be 45 %."""
        return "%" in self.affixes


@dataclass(frozen=True)
class ColumnReading:
    """How the text of a column was read in training, and is read ever after.

    `number` is the format of its numbers, `times` are the formats of its times, in the order in which they are tried. `missing`
    are the words that mean missing in this column beside those that do so in every column, `sentinels` the numbers that do.
    """

    number: NumberFormat = NumberFormat()
    times: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    sentinels: tuple[float, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether every reader would read it alike: plain numbers, times with the year first, no words for missing of its own."""
        is_of_own = self.number != NumberFormat() or bool(self.missing or self.sentinels)
        return not is_of_own and all(form.startswith("%Y") for form in self.times)

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> "ColumnReading":
        """The reading that its JSON was written from."""
        number = NumberFormat(**{**stored["number"], "affixes": tuple(stored["number"]["affixes"])})
        return cls(number, *(tuple(stored[key]) for key in ("times", "missing", "sentinels")))


@dataclass(frozen=True)
class SequenceStep:
    """Which step of a sequence a column is: the `number`-th, the oldest having the least, of a `channel`.

    `only_sequences`: families that read rows do not see it.
    """

    channel: str
    number: int
    only_sequences: bool = False


@dataclass(frozen=True)
class Column(Bounds):
    """One column of a table.

    Without bounds anything finite passes. `levels` are the values a category may have, as text. `known_when` names the time
    column after which this column's value is known. `about` says in plain words what it is, for the reasons shown to people.
    `reading` is how its text is read; None in tables with types of their own, and in bundles of versions that did not keep it.
    `step` is its place in a sequence, where it is of one.
    """

    name: str
    dtype: Dtype
    unit: str | None = None
    levels: tuple[str, ...] = ()
    optional: bool = False
    role: Role = "input"
    known_when: str | None = None
    about: str = ""
    reading: ColumnReading | None = None
    step: SequenceStep | None = None

    @property
    def sentinels(self) -> tuple[float, ...]:
        """The numbers that stand for missing in it: files come without them, requests and earlier rows may have them."""
        return () if self.reading is None else self.reading.sentinels


@dataclass(frozen=True)
class ColumnOverride(Bounds):
    """What is stated of a column; None and empty: whatever is inferred. `about` in plain words.

    A `never` or `protected` column is no input. `decimal` is the decimal mark of its numbers, `day_first` whether the day stands
    before the month in its times.
    """

    name: str
    dtype: Dtype | None = None
    unit: str | None = None
    about: str | None = None
    levels: tuple[str, ...] = ()
    role: Literal["input", "protected", "never"] | None = None
    decimal: Literal[".", ","] | None = None
    day_first: bool | None = None

    def override(self, column: Column) -> Column:
        """The column with what is stated of it."""
        return replace(
            column,
            dtype=self.dtype or column.dtype,
            unit=self.unit if self.unit is not None else column.unit,
            about=self.about if self.about is not None else column.about,
            low=self.low if self.low is not None else column.low,
            high=self.high if self.high is not None else column.high,
            levels=self.levels or column.levels,
            role=column.role if self.role in (None, "input") else self.role,
        )
