"""What is to be said of the rows of a later file: categories that training never saw or wrote otherwise, numbers that may be
shares, times with and without an offset from UTC.

One rule for a file that is read whole and for one that is read a batch at a time: what it needs is counted as rows come.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from epic22.core.data.names import strip_ends
from epic22.core.data.preprocess import describe_rarity
from epic22.core.data.time_format import find_offsets, name_offset, read_offsets
from epic22.core.task import Column

MAX_SHOWN_LEVELS = 5


@dataclass
class _UnseenLevels:
    """So many rows of a column whose category is none of its levels, and the first few of these."""

    column: Column
    count: int = 0
    shown: dict[str, None] = field(default_factory=dict)
    respelt: dict[str, str] = field(default_factory=dict)

    def add(self, raw: pl.Series, values: pl.Series) -> None:
        present = values.drop_nulls()
        if raw.dtype == pl.String and len(self.respelt) < MAX_SHOWN_LEVELS:
            pairs = pl.DataFrame({"own": strip_ends(raw), "value": values}).drop_nulls().unique(maintain_order=True)
            own = pairs.filter(pl.col("own") != pl.col("value"))
            self.respelt |= {text[:100]: level for text, level in own.head(MAX_SHOWN_LEVELS).iter_rows()}
        unseen = present.filter(~present.is_in(list(self.column.levels)))
        self.count += len(unseen)
        if len(self.shown) < MAX_SHOWN_LEVELS:
            first = unseen.unique(maintain_order=True).head(2 * MAX_SHOWN_LEVELS)
            self.shown |= dict.fromkeys(value[:100] for value in first)

    def describe(self) -> Iterator[str]:
        name, rarity = self.column.name, describe_rarity(self.column.levels)
        shown = ", ".join(repr(level) for level in list(self.shown)[:MAX_SHOWN_LEVELS])
        if self.respelt:
            ways = ", ".join(f"{text!r} as {level!r}" for text, level in list(self.respelt.items())[:MAX_SHOWN_LEVELS])
            yield f"{name}: levels that differ by case, blanks or a .0 alone are read as those of training: {ways}."
        if self.count:
            yield f"{name}: {self.count:,} rows hold what training {rarity} saw, treated as missing: {shown}."


@dataclass
class _Shares:
    """Whether what comes as numbers in a column of percentages may be shares: none is above 1, and some are not 0."""

    column: Column
    count: int = 0
    is_share: bool = True

    def add(self, raw: pl.Series, values: pl.Series) -> None:
        is_bare = pl.repeat(value=True, n=len(raw), eager=True)
        if raw.dtype == pl.String:
            is_bare = ~raw.str.contains(r"\pL|%").fill_null(value=True)
        bare = values.cast(pl.Float64).filter(is_bare).drop_nulls()
        self.is_share &= bool((bare.abs() <= 1).all())
        self.count += int((bare != 0).sum())

    def describe(self) -> Iterator[str]:
        if self.count and self.is_share:
            yield f"{self.column.name}: its numbers are percent, as in training, so that 0.45 is less than one: give 45 for 45 %."


@dataclass
class _OffsetUse:
    """Whether the times of a column that come as text state an offset from UTC: any at all, and another than 0."""

    column: Column
    in_training: bool
    count: int = 0
    has_offset: bool = False
    has_local_clock: bool = False

    def add(self, raw: pl.Series, values: pl.Series) -> None:
        if raw.dtype != pl.String:
            return
        self.count += values.count()
        if find_offsets(raw).any():
            self.has_offset = True
            self.has_local_clock |= bool((read_offsets(raw, values) != 0).any())

    def describe(self) -> Iterator[str]:
        name = self.column.name
        if self.in_training and self.count and not self.has_offset:
            yield f"{name}: no time states its offset from UTC, as in training; all are taken for UTC."
        elif not self.in_training and self.has_local_clock and self.column.role == "input":
            yield f"{name}: times state an offset from UTC, unlike those of training, and are converted to UTC."


class RowNotes:
    """The notes on rows that are read in the types of a trained task's columns."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        names = {column.name for column in columns}
        categories = (c for c in columns if c.role == "input" and c.dtype == "category" and c.levels)
        times = (c for c in columns if c.dtype == "time")
        shares = (c for c in columns if c.reading is not None and c.reading.number.needs_affix)
        self._counts: tuple[_UnseenLevels | _OffsetUse | _Shares, ...] = (
            *(_UnseenLevels(column) for column in categories),
            *(_Shares(column) for column in shares),
            *(_OffsetUse(column, name_offset(column.name) in names) for column in times),
        )

    def add(self, raw: pl.DataFrame, frame: pl.DataFrame) -> None:
        """Count what is odd in some rows, as they are in the file and in the types of the columns."""
        for one in self._counts:
            if one.column.name in raw.columns and one.column.name in frame.columns:
                one.add(raw[one.column.name], frame[one.column.name])

    def describe(self) -> Iterator[str]:
        """A sentence for each column of which there is anything to say."""
        for one in self._counts:
            yield from one.describe()
