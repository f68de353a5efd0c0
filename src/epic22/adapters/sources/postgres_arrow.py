"""Whole tables of PostgreSQL in columns: COPY's binary form, which ADBC turns into Arrow while the rows before are checked.

A second connection reads the state that the session sees. Text, moments and dates come as they are, and so do numbers where only
their value counts; the server casts the rest to text. So values are those of COPY's text, in less than half of the time.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import polars as pl

from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.postgres_types import DOUBLE, INTEGERS, OTHERS, SETTINGS, TEXTS, TIMES, build_libpq_url
from epic22.adapters.sources.query import Digest, RowQuery, quote_name
from epic22.adapters.sources.sql_faults import describe_fault
from epic22.core.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Connection

BATCH_BYTES = 16 * 2**20
FIRST_TIME, END_OF_TIME = "0001-01-01", "10000-01-01"
"""Moments from the first to before the second have a place in a calendar of four digits."""

STATES: Mapping[str, str] = {
    "statement timeout": "57014",
    "terminating connection": "57P01",
    "closed the connection": "08006",
    "could not receive data": "08006",
}
"""The SQLSTATE that words of the server or its library stand for: errors amid rows come without it."""
OTHER_STATE = "XX000"


@dataclass(frozen=True)
class ColumnExpression:
    """What is selected for a column: its values, and of a time also the text of those without a place in the calendar."""

    name: str
    selected: tuple[str, ...]
    type_number: int

    def convert_values(self, parts: Sequence[pl.Series]) -> pl.Series:
        """The column of a batch; one with a time that has no place in the calendar is text, for the check to name it."""
        values = parts[0].alias(self.name)
        if self.type_number not in TIMES:
            return values
        dtype, form, end = TIMES[self.type_number]
        times = values.dt.replace_time_zone(None) if isinstance(values.dtype, pl.Datetime) else values
        others = parts[1]
        if others.null_count() == others.len():
            return times.cast(dtype)
        return (times.dt.strftime(form) + end).fill_null(others).alias(self.name)


def build_expressions(query: RowQuery, types: Mapping[str, int]) -> tuple[ColumnExpression, ...] | None:
    """What is selected for each of a query's columns; None where one has a type that is only read as text."""
    texts = [_build_expression(name, types[name], name in query.numbers) for name in query.columns]
    known = [text for text in texts if text is not None]
    return tuple(known) if len(known) == len(texts) else None


def _build_expression(name: str, type_number: int, is_number: bool) -> ColumnExpression | None:
    quoted = quote_name(name, '"')
    if type_number in TIMES:
        has_place = f"{quoted} >= '{FIRST_TIME}' AND {quoted} < '{END_OF_TIME}'"
        selected = (f"CASE WHEN {has_place} THEN {quoted} END", f"CASE WHEN NOT ({has_place}) THEN {quoted}::text END")
        return ColumnExpression(name, selected, type_number)
    if type_number in TEXTS or (is_number and type_number in (DOUBLE, *INTEGERS)):
        return ColumnExpression(name, (quoted,), type_number)
    return ColumnExpression(name, (f"{quoted}::text",), type_number) if type_number in OTHERS else None


@dataclass(frozen=True)
class ArrowReader:
    """Reads SELECTs on a connection of its own, in a transaction that sees a snapshot."""

    connection: "Connection"
    address: SourceAddress

    def read_batches(
        self, select: str, expressions: Sequence[ColumnExpression], timeout: timedelta, digest: Digest
    ) -> Iterator[pl.DataFrame]:
        """The rows of a SELECT of these expressions, the next ones read while the last are worked on. Raises SourceError."""
        columns = _ColumnDigests(tuple(_ColumnDigest() for one in expressions for _ in one.selected))
        with self._explain(), ThreadPoolExecutor(1) as thread, self.connection.cursor() as cursor:
            is_done = False
            try:
                _set_up(cursor, {"statement_timeout": str(int(timeout.total_seconds() * 1000))})
                cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
                cursor.execute(select)
                blocks = cursor.fetch_record_batch()
                upcoming = thread.submit(_read_block, blocks, columns)
                while (block := upcoming.result()) is not None:
                    upcoming = thread.submit(_read_block, blocks, columns)
                    yield _convert_block(block, expressions)
                is_done = True
            finally:
                if not is_done:
                    _cancel(cursor)
        columns.feed(digest)

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """Raises SourceError for what the driver, or Arrow in its place, says while rows are read."""
        from adbc_driver_manager import Error

        try:
            yield
        except (Error, OSError) as error:
            message = str(error).rpartition("ERROR: ")[2].strip()
            state = next((state for words, state in STATES.items() if words in message), OTHER_STATE)
            raise SourceError(f"--source: {describe_fault(state, message, self.address)}.") from None


@contextmanager
def open_arrow_reader(address: SourceAddress, snapshot: str) -> Iterator[ArrowReader | None]:
    """A reader of what a snapshot of another connection shows; None where the driver is absent, or the server gives no second
    connection."""
    if find_spec("adbc_driver_postgresql") is None:
        yield None
        return
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    try:
        connection = dbapi.connect(build_libpq_url(address))
    except Error:
        # Some servers allow a user one connection; text comes by that.
        yield None
        return
    try:
        yield _join_snapshot(connection, address, snapshot)
    finally:
        # A connection that broke off has nothing to close.
        with suppress(Error):
            connection.close()


def _join_snapshot(connection: "Connection", address: SourceAddress, snapshot: str) -> ArrowReader | None:
    from adbc_driver_manager import Error

    try:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            _set_up(cursor, SETTINGS)
    except Error:
        # Behind a pool of connections the second may be one to another server.
        return None
    return ArrowReader(connection, address)


def _cancel(cursor: Any) -> None:
    """End a statement that nobody reads on; a server that is gone has nothing to end, and says so with an error of its own."""
    from adbc_driver_manager import Error

    with suppress(Error):
        cursor.adbc_cancel()


def _set_up(cursor: Any, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        cursor.execute(f"SET LOCAL {name} = '{value}'")


def _convert_block(block: "pa.RecordBatch", expressions: Sequence[ColumnExpression]) -> pl.DataFrame:
    series = [pl.Series(str(number), column) for number, column in enumerate(block.columns)]
    rest = iter(series)
    return pl.DataFrame([one.convert_values([next(rest) for _ in one.selected]) for one in expressions])


def _read_block(blocks: Iterator["pa.RecordBatch"], columns: "_ColumnDigests") -> "pa.RecordBatch | None":
    block = next(blocks, None)
    if block is not None:
        columns.update(block)
    return block


@dataclass(frozen=True)
class _ColumnDigest:
    """The digest of a column's values, whatever blocks they come in: which are there, how long each is, and their bytes."""

    parts: tuple[Any, Any, Any] = field(default_factory=lambda: (sha256(), sha256(), sha256()))

    def update(self, column: "pa.Array") -> None:
        """Take the values of one more block."""
        import numpy as np
        import pyarrow as pa

        presence, lengths, content = self.parts
        presence.update(np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.uint8))
        if pa.types.is_string(column.type):
            _, offsets_buffer, data = column.buffers()
            offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
            lengths.update(np.diff(offsets))
            content.update(memoryview(data or b"")[offsets[0] : offsets[-1]])
        else:
            values = column.fill_null(0) if column.null_count else column
            content.update(
                values.view(pa.int64() if values.type.bit_width == 64 else _select_integer_type(values.type)).to_numpy()
            )


def _select_integer_type(dtype: "pa.DataType") -> "pa.DataType":
    """The whole numbers of a type's width."""
    import pyarrow as pa

    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[dtype.bit_width]


@dataclass(frozen=True)
class _ColumnDigests:
    """The digests of a query's columns."""

    columns: tuple[_ColumnDigest, ...]

    def update(self, block: "pa.RecordBatch") -> None:
        """Take one more block."""
        for digest, column in zip(self.columns, block.columns, strict=True):
            digest.update(column)

    def feed(self, digest: Digest) -> None:
        """Give all of them, in the order of the columns."""
        for column in self.columns:
            for part in column.parts:
                digest.update(part.digest())
