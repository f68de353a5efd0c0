"""Where the rows of a mapped source come from: files in a folder, a query to a database, or a request over HTTP.

A new kind of origin is a record here, one line in `ORIGIN_KINDS` of `mapping_file`, and what reads it in `adapters/sources`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from epic22.core.tables.condition import Condition
from epic22.core.tables.request import RequestOrigin

DEFAULT_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class FileOrigin:
    """Files in a folder, by their names or patterns."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class Watermark:
    """The column of a query's rows that only ever grows where a row is added or changed.

    A next reading asks for rows from the last value reached on, less `overlap`, for those that were committed late.
    """

    column: str
    overlap: timedelta = timedelta(0)


class Removal(Enum):
    """How rows are found that the source no longer has, other than by a mark in the row."""

    FULL_SCAN = "full_scan"
    """By reading all keys each time."""


@dataclass(frozen=True)
class QueryOrigin:
    """One SELECT to a database. `timeout`: how long it may run, its rows' reading included.

    `deleted`: the mark of rows that count as deleted, or how deleted ones are found without one; None where nobody asks.
    """

    query: str
    watermark: Watermark | None = None
    timeout: timedelta = DEFAULT_TIMEOUT
    deleted: Condition | Removal | None = None


Origin = FileOrigin | QueryOrigin | RequestOrigin

SPAN_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def parse_span(text: str) -> timedelta | None:
    """A span of fixed length; None where the text is none.

    >>> parse_span("2d")
    datetime.timedelta(days=2)
    """
    match = re.fullmatch(r"(\d{1,6})([wdhms])", text)
    return None if match is None else timedelta(**{SPAN_UNITS[match[2]]: int(match[1])})
