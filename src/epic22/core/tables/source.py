"""A file on its way into a canonical table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from epic22.core.tables.canonical import CanonicalTable


@dataclass(frozen=True)
class Source:
    """A file on the way into a table, its rows already under the table's own column names.

    `batches` reads it anew at every call, with `#line`. `derived`: a `known_at` among its columns was made from an event by a
    mapping, and is not the source's own word for when it knew that version.
    """

    table: CanonicalTable
    name: str
    sha256: str
    batches: Callable[[], Iterator[pl.DataFrame]]
    derived: bool = False
