"""What a check of the tables found, and the frames that all checks read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from epic22.core.serialization import collect_views, view
from epic22.core.tables.canonical import DTYPES, KNOWN_AT, CanonicalTable

FindingKind = Literal[
    "missing column",
    "renamed column",
    "retyped column",
    "unit change",
    "duplicate row",
    "duplicate row under a new id",
    "version without a change",
    "sensor drift",
    "drift of a kind",
    "drift before a failure",
    "dates disagree",
    "unknown reference",
    "value out of contract",
    "known_at before the event",
    "known at load",
    "value overwritten",
    "filled after the event",
    "column emptied",
    "missing share moved",
    "distribution moved",
    "new level",
    "lost level",
    "row count moved",
    "rows gone",
    "stale table",
    "known after the end",
    "key reused",
    "rows changed",
    "rows set apart",
]

SIGNIFICANCE = 1e-4
"""The chance of one false finding of a statistical check over everything that it tests at once."""


@dataclass(frozen=True)
class Finding:
    """What is wrong in a table, with its evidence in one sentence. `grave`: figures made from the table would be wrong.

    `rows`: how many rows it is about, where they are counted; what a version has no more of than its parent is not its own.
    """

    table: str
    column: str | None
    what: FindingKind
    evidence: str
    grave: bool = True
    rows: int | None = field(default=None, compare=False)


FINDING_VIEWS = collect_views(view(Finding, "table column what evidence grave"))
"""What JSON shows of a finding."""

Frames = Mapping[str, pl.DataFrame]
"""Frames by canonical table name."""


@dataclass(frozen=True)
class DeclaredTables:
    """Frames with exactly the declared columns and types; `absent` (table, column) are null because the source has none."""

    frames: Frames
    absent: frozenset[tuple[str, str]] = frozenset()

    def has_columns(self, table: str, *columns: str) -> bool:
        """Whether the table is there with these columns."""
        return table in self.frames and not any((table, column) in self.absent for column in columns)

    def select_newest(self, table: CanonicalTable) -> pl.DataFrame:
        """The last version of each key."""
        return select_newest(self.frames[table.name], table)


def select_newest(frame: pl.DataFrame, table: CanonicalTable) -> pl.DataFrame:
    """The last version of each key."""
    return frame.sort(KNOWN_AT, maintain_order=True).unique(list(table.key), keep="last", maintain_order=True)


def cast_to_contract(frame: pl.DataFrame, table: CanonicalTable) -> pl.DataFrame:
    """The declared columns in their types: what is absent or unreadable becomes null, further columns fall away."""
    schema = {column.name: DTYPES[column.dtype] for column in table.columns} | {KNOWN_AT: pl.Datetime("us")}
    return frame.select(
        _cast(frame[name], dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


def _cast(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    if series.dtype == dtype:
        return series
    if series.dtype == pl.String and dtype == pl.Datetime("us"):
        return series.str.to_datetime(strict=False, time_unit="us").dt.replace_time_zone(None)
    return series.cast(dtype, strict=False)


def format_share(part: int, whole: int) -> str:
    """A count with its share, as text.

    >>> format_share(12, 400)
    '12 of 400 rows (3.0%)'
    """
    return f"{part:,} of {whole:,} rows ({part / max(whole, 1):.1%})"
