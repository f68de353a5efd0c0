"""Columns of shares, from 0 to 1: whether rows give them as fractions or in percent, the same at each ingest of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from epic22.core.column import Column
from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import CanonicalTable
from epic22.core.tables.parsing import parse_column, strip_text

ShareUnit = Literal["fraction", "percent"]

SLACK = 3.0
"""How far beyond what is stored a value may lie and still be like it; the two units lie a hundred apart."""
LIKE_SHARE = 0.95
OUTER_SHARE = 0.01


@dataclass(frozen=True)
class StoredShares:
    """In which unit a column came, and from where to where its values lie, as fractions and but for the outermost.

    No unit: it is not known, for it was stored before units were kept.
    """

    unit: ShareUnit | None
    low: float
    high: float

    def is_like(self, shares: pl.Series) -> bool:
        """Whether nearly all of these fractions lie where the stored ones do, or near there."""
        return bool((shares.is_between(self.low / SLACK, min(1.0, self.high * SLACK))).mean() >= LIKE_SHARE)  # type: ignore[operator]

    def widen(self, other: "StoredShares | None") -> "StoredShares":
        """The same with the values of others."""
        return self if other is None else StoredShares(self.unit, min(self.low, other.low), max(self.high, other.high))


def list_share_columns(table: CanonicalTable, names: Sequence[str]) -> list[Column]:
    """The table's columns of numbers from 0 to 1 that are among these names."""
    return [
        column
        for column in table.columns
        if column.dtype == "float" and (column.low, column.high) == (0, 1) and column.name in names
    ]


def read_shares(raw: pl.Series, column: Column) -> pl.Series:
    """The numbers that are there, as they came."""
    return parse_column(strip_text(raw), column).drop_nulls()


def describe_shares(values: pl.Series, unit: ShareUnit | None) -> StoredShares:
    """What is kept of values that came in this unit; those that no share can have are left out."""
    shares = values / 100 if unit == "percent" else values
    shares = shares.filter(shares.is_between(0, 1))
    low, high = (shares.quantile(at, "nearest") for at in (OUTER_SHARE, 1 - OUTER_SHARE))
    return StoredShares(unit, 0.0 if low is None else float(low), 1.0 if high is None else float(high))


def decide_share_unit(place: str, values: pl.Series, stored: StoredShares | None) -> ShareUnit:
    """The unit of a column's values, which is the one that it came in before.

    Of the first, percent where all lie from 0 to 100 and most above 1; where only some are above 1, those are broken. Raises
    ColumnError where they contradict what is stored, so that one of two ingests would be read wrong.
    """
    is_percent = bool(values.is_between(0, 100).all()) and bool((values > 1).mean() > 0.5)  # type: ignore[operator]
    guess: ShareUnit = "percent" if is_percent else "fraction"
    if stored is None:
        return guess
    unit: ShareUnit = stored.unit or guess
    if unit == "fraction" and is_percent:
        raise ColumnError(_describe_contradiction(place, values, stored, "they are percent, and it came as fractions before"))
    by_unit = {"fraction": values, "percent": values / 100}
    other: ShareUnit = "fraction" if unit == "percent" else "percent"
    if bool((values <= 1).all()) and stored.is_like(by_unit[other]) and not stored.is_like(by_unit[unit]):
        raise ColumnError(_describe_contradiction(place, values, stored, f"they are like it as {other} alone"))
    return unit


def _describe_contradiction(place: str, values: pl.Series, stored: StoredShares, why: str) -> str:
    came = "" if stored.unit is None else f", and came {'in percent' if stored.unit == 'percent' else 'as fractions'}"
    ordered = values.sort()
    return (
        f"{place}: {values.len():,} values from {ordered[0]:g} to {ordered[-1]:g} do not fit what is stored, which lies from "
        f"{stored.low:g} to {stored.high:g}{came}: {why}. Say 'unit: percent' or 'unit: fraction' of it in a mapping file."
    )
