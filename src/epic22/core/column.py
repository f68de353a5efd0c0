"""A column of a table: its type, unit, bounds and role, and what the user states of it."""

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

Dtype = Literal["float", "int", "bool", "money", "category", "time", "text"]
Role = Literal["input", "id", "time", "group", "label", "protected", "never"]

CellValue = str | float | int | bool | None
"""A value of a row as JSON has it; a time is ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least and the greatest value a column may have, in its unit; None where that side is open.

    >>> Bounds(low=0).limits
    (0, inf)
    """

    low: float | None = None
    high: float | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Both bounds, infinite where a side is open."""
        return -inf if self.low is None else self.low, inf if self.high is None else self.high


@dataclass(frozen=True)
class Column(Bounds):
    """One column of a table.

    Without bounds anything finite passes. `levels` are the values a category may have, as text. `known_when` names the time
    column after which this column's value is known. `about` says in plain words what it is, for the reasons shown to people.
    """

    name: str
    dtype: Dtype
    unit: str | None = None
    levels: tuple[str, ...] = ()
    optional: bool = False
    role: Role = "input"
    known_when: str | None = None
    about: str = ""


@dataclass(frozen=True)
class ColumnOverride(Bounds):
    """What is stated of a column; None and empty: whatever is inferred. `about` in plain words.

    A `never` or `protected` column is no input.
    """

    name: str
    dtype: Dtype | None = None
    unit: str | None = None
    about: str | None = None
    levels: tuple[str, ...] = ()
    role: Literal["input", "protected", "never"] | None = None

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
