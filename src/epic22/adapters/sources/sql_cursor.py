"""Rows of SQLite and MySQL: a cursor on the server side gives them some at a time, in one read-only transaction."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl

from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.query import Digest, QueryColumns, RowQuery, build_select, quote_name, strip_query
from epic22.adapters.sources.sql_faults import explain_faults
from epic22.core.errors import ColumnError, NotInstalledError, SourceError

if TYPE_CHECKING:
    from sqlalchemy import Connection

BATCH_ROWS = 50_000
PROGRESS_STEPS = 100_000
"""Of SQLite's machine, between two looks at the clock."""
MYSQL_BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
BITS, DAYS = frozenset({16}), frozenset({7, 10, 12})
"""The numbers that MySQL's protocol has for columns of bits, and for those of dates and moments."""
NO_DAY = "0000-00-00"
"""What MySQL stores where there is no date, and finds by IS NULL."""
HALF_SECOND = 0.5 / 86_400
"""In days, as SQLite counts them: its moments are exact to a millisecond."""


@dataclass
class CursorSession:
    """The port `Session` of `sql` on a connection of SQLAlchemy."""

    connection: "Connection"
    address: SourceAddress

    def begin(self) -> None:
        """Begin the transaction, which sees one state of the database."""
        is_sqlite = self.connection.dialect.name == "sqlite"
        begin = ("BEGIN",) if is_sqlite else ("SET SESSION time_zone = '+00:00'", "ROLLBACK", *MYSQL_BEGIN)
        with self._explain():
            for text in begin:
                self._execute(text)

    @property
    def quote(self) -> str:
        """What stands around a name."""
        return '"' if self.connection.dialect.name == "sqlite" else "`"

    def list_columns(self, query: str) -> QueryColumns:
        """The columns of a SELECT, of which no row is read. Raises SourceError."""
        with self._explain(), self._execute(f"SELECT * FROM (\n{strip_query(query)}\n) AS epic22_rows LIMIT 0") as result:
            return QueryColumns(tuple(result.keys()), {})

    def read_batches(self, query: RowQuery, timeout: timedelta, digest: Digest) -> Iterator[pl.DataFrame]:
        """The rows as text, some at a time. Raises SourceError, and ColumnError for values that are bytes or lists."""
        text = build_select(query, self.quote, self._build_condition(query))
        with self._explain(), self._limit_time(timeout), closing(self._open_cursor()) as cursor:
            cursor.execute(text)
            converters = [self._choose_converter(name, kind) for name, kind, *_ in cursor.description]
            for rows in self._fetch(cursor):
                columns = zip(*rows, strict=True)
                series = [
                    pl.Series(name, [convert(value) for value in values], dtype=pl.String)
                    for name, convert, values in zip(query.columns, converters, columns, strict=True)
                ]
                batch = pl.DataFrame(series)
                digest.update(batch.write_csv(include_header=False).encode())
                yield batch

    def _choose_converter(self, name: str, kind: int | None) -> Callable[[Any], str | None]:
        """What makes text of a column's values, by what the driver says of its type; SQLite's says nothing."""
        if kind in BITS:
            return lambda value: value if value is None else str(int.from_bytes(value, "big"))
        if kind in DAYS:
            return lambda value: None if isinstance(value, str) and value.startswith(NO_DAY) else to_text(name, value)
        return partial(to_text, name)

    def _open_cursor(self) -> Any:
        """The driver's own cursor, whose rows wait on the server's side where there is a server."""
        if self.connection.dialect.name == "sqlite":
            return self.connection.connection.cursor()
        from pymysql.cursors import SSCursor

        return self.connection.connection.cursor(SSCursor)

    def _fetch(self, cursor: Any) -> Iterator[list[Any]]:
        """The rows from the driver's own cursor, some at a time."""
        try:
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield rows
        except self._driver_error:
            # PyMySQL reads what is left of a result before it closes it, and fails with a traceback where the connection is gone.
            if (rest := getattr(cursor, "_result", None)) is not None:
                rest.unbuffered_active = False
            self.connection.invalidate()
            raise

    @property
    def _driver_error(self) -> type[Exception]:
        error: type[Exception] = self.connection.dialect.loaded_dbapi.Error
        return error

    def _execute(self, text: str) -> Any:
        # Without parameters, so that a % in the query stays what it is.
        return self.connection.exec_driver_sql(text, execution_options={"no_parameters": True})

    def _explain(self) -> AbstractContextManager[None]:
        from sqlalchemy.exc import DBAPIError

        return explain_faults(self.address, DBAPIError, self._driver_error)

    def _build_condition(self, query: RowQuery) -> str | None:
        if query.watermark is None:
            return None
        name = quote_name(query.watermark, self.quote)
        is_sqlite = self.connection.dialect.name == "sqlite"
        if isinstance(query.low, int):
            # Text is compared as text there, '100' before '99'; what is no number is read, and refused by name.
            text = f"typeof({name}) = 'text' AND (CAST({name} AS INTEGER) >= {query.low} OR {name} GLOB '*[^0-9]*')"
            return f"({name} >= {query.low} OR {name} IS NULL{f' OR ({text})' if is_sqlite else ''})"
        if is_sqlite:
            # A notation that SQLite does not read, as an offset without a colon, has no Julian day: such rows are read always.
            return f"(julianday({name}) >= julianday('{query.low}') - {HALF_SECOND:.8f} OR julianday({name}) IS NULL)"
        return f"({name} >= '{query.low}' OR {name} IS NULL)"

    @contextmanager
    def _limit_time(self, timeout: timedelta) -> Iterator[None]:
        seconds = timeout.total_seconds()
        if self.connection.dialect.name == "sqlite":
            end = monotonic() + seconds
            self.connection.connection.driver_connection.set_progress_handler(lambda: monotonic() > end, PROGRESS_STEPS)  # type: ignore[union-attr]
        elif getattr(self.connection.dialect, "is_mariadb", False):
            self._execute(f"SET SESSION max_statement_time = {seconds:g}")
        else:
            self._execute(f"SET SESSION max_execution_time = {int(seconds * 1000)}")
        yield


@contextmanager
def connect(address: SourceAddress) -> Iterator[CursorSession]:
    """A session at an address. Raises SourceError where none can be opened, NotInstalledError without the driver."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, DBAPIError
    from sqlalchemy.pool import NullPool

    scheme = DRIVERS.get(address.scheme, address.scheme)
    url = f"{scheme}://{address.url.partition('://')[2]}"
    try:
        engine = create_engine(_open_read_only(url) if scheme == "sqlite" else url, poolclass=NullPool)
    except (ArgumentError, ValueError):
        raise SourceError("--source: the address is none; expected one such as sqlite:///company.db.") from None
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"--source: the library {error.name!r} is not installed; pip install {error.name}.") from None
    with explain_faults(address, DBAPIError):
        connection = engine.connect()
    try:
        session = CursorSession(connection, address)
        session.begin()
        yield session
    finally:
        connection.close()
        engine.dispose()


def _open_read_only(url: str) -> str:
    """The address of an SQLite file that is there, which is only read: by itself SQLite would make an absent one."""
    path = Path(url.partition(":///")[2].partition("?")[0])
    if ":///" not in url or not path.is_file():
        raise SourceError("--source: there is no SQLite file at that path; expected sqlite:/// and the path of one.")
    return f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"


def to_text(name: str, value: Any) -> str | None:
    """A value as a file would hold it."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case Decimal():
            return f"{value:f}"
        case datetime():
            return (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value).isoformat()
        case bytes() | bytearray() | memoryview() | set():
            kind = "bytes" if not isinstance(value, set) else "a set"
            raise ColumnError(f"column {name} holds {kind}, which is no single value; cast it in the query to text or a number.")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return _format_span(value)
        case _:
            return str(value)


def _format_span(span: timedelta) -> str:
    """A span as MySQL writes its TIME.

    >>> _format_span(timedelta(hours=30, minutes=15)), _format_span(-timedelta(hours=1))
    ('30:15:00', '-01:00:00')
    """
    minutes, seconds = divmod(abs(span), timedelta(minutes=1))
    rest = f".{seconds.microseconds:06d}" if seconds.microseconds else ""
    return f"{'-' if span < timedelta() else ''}{minutes // 60:02d}:{minutes % 60:02d}:{seconds.seconds:02d}{rest}"
