"""Tables that a mapping file asks of a database, one SELECT a source, all of one ingest from one consistent snapshot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256 as new_digest
from typing import Protocol

import polars as pl

from epic22.adapters.sources import postgres, sql_cursor
from epic22.adapters.sources.base import ServerKind, SourceAddress, SourceRequest
from epic22.adapters.sources.query import Digest, QueryColumns, RowQuery, build_row_query, compute_reached, digest_source
from epic22.core.errors import FileError, SourceError
from epic22.core.tables.canonical import CANONICAL, CanonicalTable
from epic22.core.tables.mapping import SourceMap, map_rows
from epic22.core.tables.origin import QueryOrigin
from epic22.core.tables.row_contract import LINE_COLUMN
from epic22.core.tables.versions import Position


class Session(Protocol):
    """A connection that only reads, in one transaction that sees one state of the database."""

    def list_columns(self, query: str) -> QueryColumns:
        """The columns of a SELECT. Raises SourceError where it is none, or the database refuses it."""

    def read_batches(self, query: RowQuery, timeout: timedelta, digest: Digest) -> Iterator[pl.DataFrame]:
        """The rows in bounded memory, as text or typed; without `#line`. The digest is of them all. Raises SourceError."""


Connect = Callable[[SourceAddress], AbstractContextManager[Session]]

DIALECTS: Mapping[str, Connect] = {
    "postgresql": postgres.connect,
    "postgres": postgres.connect,
    "postgresql+psycopg": postgres.connect,
    "sqlite": sql_cursor.connect,
    "mysql": sql_cursor.connect,
    "mysql+pymysql": sql_cursor.connect,
    "mariadb+pymysql": sql_cursor.connect,
}
"""What reads from an address, by its scheme."""


@dataclass
class QuerySource:
    """The port `Source` on the rows of one query; `start` is how far it was read before, None where it is read whole."""

    table: CanonicalTable
    name: str
    source: SourceMap
    query: QueryOrigin
    session: Session
    start: Position | None
    sha256: str | None = None
    position: Position | None = None
    notes: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        """Whether the mapping makes `known_at` from an event."""
        return self.source.known_at is not None

    @property
    def is_whole(self) -> bool:
        """Whether all rows are read, and not only those from a position on."""
        return self.start is None

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows under the table's columns, read anew; at their end the digest and the position are known."""
        row_query = build_row_query(self.source, self.query, self.session.list_columns(self.query.query), self.start)
        digest, line, reached = new_digest(repr(row_query.columns).encode()), 1, self.start.reached if self.start else None
        for batch in self.session.read_batches(row_query, self.query.timeout, digest):
            if self.query.watermark is not None:
                reached = compute_reached(batch[self.query.watermark.column], reached)
            lines = pl.int_range(line, line + batch.height, dtype=pl.Int64, eager=True).alias(LINE_COLUMN)
            line += batch.height
            yield map_rows(self.source, batch.with_columns(lines))
        self.sha256 = digest.hexdigest()
        self.position = None if reached is None else Position(reached, digest_source(self.source))


@contextmanager
def connect_sources(request: SourceRequest) -> Iterator[Sequence[QuerySource]]:
    """The queries that a mapping names, on one connection. Raises SourceError without one, FileError for other origins."""
    places = list(_iterate_places(request))
    if request.address is None:
        raise SourceError("a database has its address by --source; none was given.")
    with DIALECTS[request.address.scheme](request.address) as session:
        yield [
            QuerySource(table, name, source, query, session, _find_start(name, source, query, request.positions))
            for table, name, source, query in places
        ]


def _iterate_places(request: SourceRequest) -> Iterator[tuple[CanonicalTable, str, SourceMap, QueryOrigin]]:
    mapping = request.mapping
    for table in CANONICAL:
        sources = mapping.tables.get(table.name, ())
        for number, source in enumerate(sources, start=1):
            if not isinstance(source.origin, QueryOrigin):
                raise FileError(f"{table.name}: the mapping names files for it; a database is asked by 'query:', one SELECT.")
            name = f"{mapping.source}/{table.name}" + (f"[{number}]" if len(sources) > 1 else "")
            yield table, name, source, source.origin


def _find_start(name: str, source: SourceMap, query: QueryOrigin, positions: Mapping[str, Position]) -> Position | None:
    """How far the same question was read before; None without a watermark, the first time, and where the mapping has changed."""
    known = positions.get(name)
    is_same = query.watermark is not None and known is not None and known.origin == digest_source(source)
    return known if is_same else None


SERVER = ServerKind("sql", tuple(DIALECTS), connect_sources)
