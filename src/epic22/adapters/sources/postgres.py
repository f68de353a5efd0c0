"""Rows of PostgreSQL: COPY streams them, in one read-only transaction that sees one state of the database.

Rows come in COPY's binary form where their columns have one that says the same as text does (`postgres_arrow`), all else as text.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.util import find_spec
from select import select
from typing import TYPE_CHECKING, Any

import polars as pl

from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.postgres_arrow import ArrowReader, build_expressions, open_arrow_reader
from epic22.adapters.sources.postgres_types import BOOLEAN, SETTINGS, TIMES, build_libpq_url
from epic22.adapters.sources.query import Digest, QueryColumns, RowQuery, build_select, quote_name, strip_query
from epic22.adapters.sources.sql_faults import explain_faults
from epic22.core.errors import NotInstalledError

if TYPE_CHECKING:
    from psycopg import Connection

BATCH_ROWS, BATCH_BYTES = 250_000, 64 * 2**20
"""A batch ends at the first of the two: rows may be wide."""
KEEPALIVE: Mapping[str, Any] = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""In seconds: how long a server may be silent before it is taken for gone."""
TYPES = """
    SELECT oid, typname, typcategory = 'A' OR typtype = 'c' OR coalesce(nullif(typbasetype, 0), oid) = 'bytea'::regtype
    FROM pg_type WHERE oid = ANY(%s)
"""


@dataclass
class PostgresSession:
    """The port `Session` of `sql` on one connection to PostgreSQL; `resources` closes a second one, for whole tables."""

    connection: "Connection"
    address: SourceAddress
    resources: ExitStack

    def set_up(self) -> None:
        """Begin the transaction."""
        with self._explain():
            for name, value in SETTINGS.items():
                self.connection.execute("SELECT set_config(%s, %s, true)", (name, value))

    def _explain(self) -> AbstractContextManager[None]:
        from psycopg import Error

        return explain_faults(self.address, Error)

    def list_columns(self, query: str) -> QueryColumns:
        """The columns of a SELECT, which is parsed and not run. Raises SourceError."""
        with self._explain():
            described = self._describe(strip_query(query))
            types = self.connection.execute(TYPES, ([oid for _, oid in described],)).fetchall()
        refused = {
            oid: name.lstrip("_") + ("[]" if name.startswith("_") else "") for oid, name, is_refused in types if is_refused
        }
        return QueryColumns(
            tuple(name for name, _ in described), {name: refused[oid] for name, oid in described if oid in refused}
        )

    def read_batches(self, query: RowQuery, timeout: timedelta, digest: Digest) -> Iterator[pl.DataFrame]:
        """The rows, as many at a time as fit a batch; the digest is fed with their bytes as they come. Raises SourceError."""
        with self._explain():
            types = dict(self._describe(strip_query(query.select)))
        expressions = build_expressions(query, types)
        reader = None if expressions is None else self._arrow_reader
        if reader is None or expressions is None:
            yield from self._read_text(query, types, timeout, digest)
        else:
            select = build_select(query, '"', _build_condition(query), [text for one in expressions for text in one.selected])
            yield from reader.read_batches(select, expressions, timeout, digest)

    @cached_property
    def _arrow_reader(self) -> ArrowReader | None:
        """What reads whole tables from the state that this session sees; None where there is none."""
        with self._explain():
            row = self.connection.execute("SELECT pg_export_snapshot()").fetchone()
        return None if row is None else self.resources.enter_context(open_arrow_reader(self.address, str(row[0])))

    def _read_text(self, query: RowQuery, types: Mapping[str, int], timeout: timedelta, digest: Digest) -> Iterator[pl.DataFrame]:
        with self._explain():
            self.connection.execute(f"SET LOCAL statement_timeout = {int(timeout.total_seconds() * 1000)}")
        rows = build_select(query, '"', _build_condition(query))
        for block in self._copy_blocks(f"COPY ({rows}) TO STDOUT (FORMAT csv)"):
            digest.update(block)
            frame = pl.read_csv(block, has_header=False, new_columns=list(query.columns), infer_schema=False)
            yield frame.with_columns(_convert_values(frame[name], types[name]) for name in query.columns)

    def _copy_blocks(self, copy: str) -> Iterator[bytes]:
        """Whole rows, joined. The driver's own loop over them takes several times as long as all the rest."""
        with self._explain():
            self.connection.pgconn.send_query(copy.encode())
            self._check_result()
            is_last = False
            while not is_last:
                lines, is_last = self._take_lines()
                if lines:
                    yield lines
            self._check_result()

    def _take_lines(self) -> tuple[bytes, bool]:
        """The next rows, as many as fit a batch, and whether they are the last."""
        # Joined at once: hundreds of thousands of pieces in a list would keep the garbage collector busy.
        lines, rows, take = bytearray(), 0, self.connection.pgconn.get_copy_data
        while rows < BATCH_ROWS and len(lines) < BATCH_BYTES:
            length, line = take(1)
            if length > 0:
                lines += line
                rows += 1
            elif length == 0:
                self._wait()
            else:
                return bytes(lines), True
        return bytes(lines), False

    def _check_result(self) -> None:
        """Wait for the next result. Raises the driver's error where the server reports one."""
        from psycopg.errors import error_from_result
        from psycopg.pq import ExecStatus

        server = self.connection.pgconn
        while server.is_busy():
            self._wait()
        result = server.get_result()
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        if result is not None and result.status != ExecStatus.COPY_OUT:
            while server.get_result() is not None:
                pass

    def _wait(self) -> None:
        """Wait for more from the server, in a way that an interruption ends."""
        select([self.connection.pgconn.socket], [], [])
        self.connection.pgconn.consume_input()

    def _describe(self, query: str) -> list[tuple[str, int]]:
        """The names and types of a statement's columns. It is parsed by itself, so that no bracket in it can end another's."""
        from psycopg.errors import error_from_result
        from psycopg.pq import ExecStatus

        server = self.connection.pgconn
        parsed = server.prepare(b"", query.encode())
        if parsed.status != ExecStatus.COMMAND_OK:
            raise error_from_result(parsed)
        described = server.describe_prepared(b"")
        return [((described.fname(n) or b"").decode(), described.ftype(n)) for n in range(described.nfields)]


@contextmanager
def connect(address: SourceAddress) -> Iterator[PostgresSession]:
    """A session at an address. Raises SourceError where none can be opened, NotInstalledError without the driver."""
    if find_spec("psycopg") is None:
        raise NotInstalledError("--source: the library 'psycopg' is not installed; pip install 'epic22[postgres]'.")
    import psycopg

    url = build_libpq_url(address)
    with explain_faults(address, psycopg.Error):
        connection = psycopg.connect(url, **KEEPALIVE)
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with ExitStack() as resources:
            session = PostgresSession(connection, address, resources)
            session.set_up()
            yield session
    finally:
        connection.close()


def _build_condition(query: RowQuery) -> str | None:
    if query.watermark is None:
        return None
    name = quote_name(query.watermark, '"')
    low = str(query.low) if isinstance(query.low, int) else f"'{query.low}'"
    return f"({name} >= {low} OR {name} IS NULL)"


def _convert_values(values: pl.Series, type_number: int) -> pl.Series:
    """Times and truth values in their own types; what has no such form, as infinity, stays text for the check to name it."""
    if type_number == BOOLEAN:
        return values.replace({"t": "true", "f": "false"})
    if type_number not in TIMES:
        return values
    dtype, form, end = TIMES[type_number]
    bare = values.str.strip_suffix(end) if end else values
    times = bare.str.strptime(dtype, form, strict=False)
    return times if times.null_count() == values.null_count() else values
