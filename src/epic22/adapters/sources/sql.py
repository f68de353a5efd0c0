"""Tables that a mapping file asks of a database, one SELECT a source, all of one ingest from one consistent snapshot."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256 as new_digest
from typing import Protocol

import polars as pl

from epic22.adapters.sources import postgres, sql_cursor
from epic22.adapters.sources.base import ServerKind, SourceAddress, SourceRequest
from epic22.adapters.sources.query import Digest, QueryColumns, RowQuery, build_row_query, compute_reached, digest_source
from epic22.core.errors import FileError, SourceError
from epic22.core.ports import SourceKeys
from epic22.core.tables.canonical import CANONICAL, CanonicalTable
from epic22.core.tables.condition import Condition
from epic22.core.tables.mapping import SourceMap, ValueMapping, map_rows
from epic22.core.tables.origin import QueryOrigin, Removal
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
    """The port `Source` on the rows of one query.

    `start` is how far it was read before, None where it is read whole; `is_filled` where its table has rows already.
    """

    table: CanonicalTable
    name: str
    source: SourceMap
    query: QueryOrigin
    session: Session
    start: Position | None = None
    is_filled: bool = False
    notes: tuple[str, ...] = ()
    sha256: str | None = None
    position: Position | None = None
    deleted: list[pl.DataFrame] = field(default_factory=list)

    @property
    def declared_units(self) -> frozenset[str]:
        """The columns whose unit the mapping states."""
        return self.source.declared_units

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
        row_query = replace(build_row_query(self.source, self.query, self._list_columns(), self.start), numbers=self._numbers)
        digest, line, reached = new_digest(repr(row_query.columns).encode()), 1, self.start.reached if self.start else None
        self.deleted.clear()
        for batch in self._name_faults(self.session.read_batches(row_query, self.query.timeout, digest)):
            if self.query.watermark is not None:
                reached = compute_reached(batch[self.query.watermark.column], reached)
            lines = pl.int_range(line, line + batch.height, dtype=pl.Int64, eager=True).alias(LINE_COLUMN)
            line += batch.height
            yield map_rows(self.source, self._take_deleted_out(batch.with_columns(lines)))
        if line == 1 and self.is_filled:
            raise SourceError(
                f"{self.name}: the query gives no row, though {self.table.name} has some; mend the query, or take it out of the "
                "mapping. Nothing was stored."
            )
        self.sha256 = digest.hexdigest()
        self.position = None if reached is None else Position(reached, digest_source(self.source))

    @property
    def _numbers(self) -> frozenset[str]:
        """The query's columns that are nothing but numbers of the table, so that it is no matter how one is written."""
        plain = Counter(name for name in self._list_uses())
        values = {name: value.column for name, value in self.source.columns.items() if value == ValueMapping(column=value.column)}
        names = [values[one.name] for one in self.table.columns if one.dtype in ("float", "int") and one.name in values]
        return frozenset(name for name in names if name is not None and plain[name] == 1)

    def _list_uses(self) -> Iterator[str]:
        """The query's columns, once for each use that the mapping makes of them."""
        for value in (*self.source.columns.values(), self.source.known_at):
            yield from value.source_columns() if value is not None else ()
        yield from (condition.column for condition in self.source.where)
        yield from (own for own, _ in (self.source.anti_join.on if self.source.anti_join else ()))
        if isinstance(self.query.deleted, Condition):
            yield self.query.deleted.column

    def _list_columns(self) -> QueryColumns:
        try:
            return self.session.list_columns(self.query.query)
        except SourceError as error:
            raise self._name_fault(error) from None

    def _name_faults(self, batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The batches; an error says which query of the mapping it is of."""
        try:
            yield from batches
        except SourceError as error:
            raise self._name_fault(error) from None

    def _name_fault(self, error: SourceError) -> SourceError:
        return SourceError(f"--source: {self.name}: {str(error).removeprefix('--source: ')}")

    def read_keys(self) -> SourceKeys | None:
        """The keys of rows marked as deleted among those read, or of all rows there are, as the mapping says."""
        if isinstance(self.query.deleted, Condition):
            return SourceKeys(iter(self.deleted), are_deleted=True)
        return None if self.query.deleted is None else SourceKeys(self._read_all_keys(), are_deleted=False)

    def _take_deleted_out(self, batch: pl.DataFrame) -> pl.DataFrame:
        if not isinstance(self.query.deleted, Condition):
            return batch
        marked = batch.select(self.query.deleted.expression()).to_series()
        if marked.any():
            self.deleted.append(map_rows(self._keys_alone, batch.filter(marked)))
        return batch.filter(~marked)

    def _read_all_keys(self) -> Iterator[pl.DataFrame]:
        query = replace(self.query, watermark=None, deleted=None)
        row_query = build_row_query(self._keys_alone, query, self.session.list_columns(query.query), None)
        for batch in self.session.read_batches(row_query, query.timeout, new_digest()):
            yield map_rows(self._keys_alone, batch.with_columns(pl.lit(0, dtype=pl.Int64).alias(LINE_COLUMN)))

    @property
    def _keys_alone(self) -> SourceMap:
        keys = {name: value for name, value in self.source.columns.items() if name in self.table.key}
        return replace(self.source, columns=keys, known_at=None)


@contextmanager
def connect_sources(request: SourceRequest) -> Iterator[Sequence[QuerySource]]:
    """The queries that a mapping names, on one connection. Raises SourceError without one, FileError for other origins."""
    places = [place for table in CANONICAL for place in _list_places(request, table)]
    if request.address is None:
        raise SourceError("a database has its address by --source; none was given.")
    with DIALECTS[request.address.scheme](request.address) as session:
        yield [place(session) for place in places]


def _list_places(request: SourceRequest, table: CanonicalTable) -> Iterator[Callable[[Session], QuerySource]]:
    """The queries of a table, each of which waits for a session."""
    sources = request.mapping.tables.get(table.name, ())
    for number, source in enumerate(sources, start=1):
        origin = source.origin
        if not isinstance(origin, QueryOrigin):
            raise FileError(f"{table.name}: the mapping names files for it; a database is asked by 'query:', one SELECT.")
        if origin.deleted is Removal.FULL_SCAN and len(sources) > 1:
            raise FileError(
                f"{table.name}: 'deleted: full_scan' needs all keys in one query; put the sources together with UNION ALL."
            )
        name = f"{request.mapping.source}/{table.name}" + (f"[{number}]" if len(sources) > 1 else "")
        known = request.positions.get(name) if origin.watermark is not None else None
        is_same = known is not None and known.origin == digest_source(source)
        yield partial(
            QuerySource,
            table,
            name,
            source,
            origin,
            start=known if is_same else None,
            is_filled=len(sources) == 1 and table.name in request.filled and not is_same,
            notes=() if known is None or is_same else ("its query or mapping has changed, so all rows were read again",),
        )


SERVER = ServerKind("sql", tuple(DIALECTS), connect_sources)
