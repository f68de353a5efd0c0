"""What is asked of a database: the columns that a mapping uses of its one SELECT, from the last position on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import polars as pl

from epic22.core.errors import ColumnError, SourceError
from epic22.core.lineage import sha256
from epic22.core.tables.condition import Condition
from epic22.core.tables.mapping import SourceMap, refuse_absent_columns
from epic22.core.tables.origin import QueryOrigin
from epic22.core.tables.parsing import parse_times
from epic22.core.tables.versions import Position

SELECT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
FUTURE = timedelta(days=1)
"""How far ahead of our clock a watermark may be, for time zones; a later one is a mistake that would hide rows: passed by."""


class Digest(Protocol):
    """What the bytes of rows are fed to, in the order in which they come."""

    def update(self, content: bytes, /) -> None:
        """Take some more."""


@dataclass(frozen=True)
class QueryColumns:
    """The columns of a query's rows: their names, and those among them that are no single value, with the type in words."""

    names: tuple[str, ...]
    refused: dict[str, str]


@dataclass(frozen=True)
class RowQuery:
    """A SELECT whose `columns` are read, and of them only rows whose watermark is null or not below `low`.

    `numbers` are columns of which only the value of a number counts, and not how it is written.
    """

    select: str
    columns: tuple[str, ...]
    watermark: str | None = None
    low: int | datetime | None = None
    numbers: frozenset[str] = frozenset()


def build_row_query(source: SourceMap, origin: QueryOrigin, there: QueryColumns, start: Position | None) -> RowQuery:
    """What is asked for a source. Raises ColumnError for a column that the query lacks or has twice, and for one of no value."""
    watermark = origin.watermark
    needed = source.source_columns() | ({watermark.column} if watermark else set())
    if isinstance(origin.deleted, Condition):
        needed.add(origin.deleted.column)
    refuse_absent_columns(needed, there.names)
    for name in sorted(needed):
        if there.names.count(name) > 1:
            raise ColumnError(f"column {name} comes twice in the query; give one of them another name ({name} as other_{name}).")
        if name in there.refused:
            raise ColumnError(
                f"column {name} is of type {there.refused[name]}, which is no single value; cast it to text in the query."
            )
    columns = tuple(name for name in there.names if name in needed) or there.names[:1]
    if watermark is None or start is None:
        return RowQuery(origin.query, columns)
    return RowQuery(origin.query, columns, watermark.column, _compute_low(start.reached, watermark.overlap))


def build_select(query: RowQuery, quote: str, condition: str | None, expressions: Sequence[str] = ()) -> str:
    """The text of a row query: the mapping's SELECT inside one that takes its columns, their names between `quote`s, or what
    `expressions` make of them."""
    names = ", ".join(expressions or (quote_name(name, quote) for name in query.columns))
    where = "" if condition is None else f" WHERE {condition}"
    # On lines of its own, for a comment at its end would hide what follows.
    return f"SELECT {names} FROM (\n{strip_query(query.select)}\n) AS epic22_rows{where}"


def quote_name(name: str, quote: str) -> str:
    """A column's name as SQL has it."""
    return f"{quote}{name.replace(quote, quote * 2)}{quote}"


def strip_query(query: str) -> str:
    """The query without the semicolon at its end. Raises SourceError where it does not begin as a SELECT does.

    >>> strip_query("SELECT 1;")
    'SELECT 1'
    """
    bare = query.strip().rstrip("; \n\t")
    if SELECT.match(bare) is None:
        raise SourceError(f"the query begins with {bare[:30]!r}; expected one SELECT.")
    return bare


def compute_reached(values: pl.Series, before: str | None) -> str | None:
    """The highest watermark of these values and the one reached before, as text. Raises ColumnError for what has no order.

    >>> compute_reached(pl.Series("at", ["2024-03-01 10:00:00", None]), None)
    '2024-03-01T10:00:00'
    """
    present = values.drop_nulls()
    if not present.len():
        return before
    whole = present.cast(pl.Int64, strict=False) if present.dtype == pl.String or present.dtype.is_integer() else None
    are_numbers = whole is not None and not whole.null_count()
    if before is not None and are_numbers != _is_number(before):
        was, now = ("times", "whole numbers") if are_numbers else ("whole numbers", "times")
        raise ColumnError(f"the watermark {values.name} held {was} before and {now} now; write it in one way, as before.")
    if whole is not None and are_numbers:
        highest = int(whole.max())  # type: ignore[arg-type]
        return str(max(highest, int(before)) if before is not None else highest)
    times = parse_times(present)
    if times.null_count():
        first = present.filter(times.is_null())[0]
        raise ColumnError(f"the watermark {values.name} holds {str(first)!r}; expected times or whole numbers.")
    # A row dated in the future is read again each time: were it the position, rows of today would lie before it.
    latest = times.filter(times <= datetime.now(UTC).replace(tzinfo=None) + FUTURE).max()
    reached = [] if before is None else [datetime.fromisoformat(before)]
    reached += [latest] if isinstance(latest, datetime) else []
    return max(reached).isoformat() if reached else None


def _is_number(reached: str) -> bool:
    return reached.lstrip("-").isdigit()


def _compute_low(reached: str, overlap: timedelta) -> int | datetime:
    if not _is_number(reached):
        return datetime.fromisoformat(reached) - overlap
    if overlap:
        raise ColumnError("the watermark is a whole number, of which no span of time can be taken; leave 'overlap:' out.")
    return int(reached)


def digest_source(source: SourceMap) -> str:
    """The digest of what is asked and how it is mapped: where it changes, earlier rows must be read anew."""
    return sha256(repr(replace(source, columns=dict(sorted(source.columns.items())))).encode())
