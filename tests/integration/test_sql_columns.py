"""Whole tables of PostgreSQL come in columns, and say what the text of the same rows says, or come as text."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from hashlib import sha256

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url
from tests.databases import create_database

from epic22.adapters.sources import postgres, postgres_arrow
from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.postgres import PostgresSession
from epic22.adapters.sources.query import RowQuery
from epic22.core.errors import SourceError
from epic22.core.tables.parsing import parse_times

pytestmark = pytest.mark.slow
HOUR = timedelta(hours=1)
TYPES: Mapping[str, str] = {
    "text": "text",
    "amount": "numeric",
    "whole": "bigint",
    "number": "float8",
    "half": "float4",
    "flag": "boolean",
    "zoned": "timestamptz",
    "naive": "timestamp",
    "day": "date",
    "note": "jsonb",
}
"""The columns of a table with every type that comes in columns."""
ROW = st.tuples(
    st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.none() | st.decimals(allow_infinity=False, places=7, min_value=-(10**12), max_value=10**12),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(),
    st.none() | st.floats(width=32),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.none() | st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)) | st.sampled_from(["infinity", "-infinity"]),
    st.none() | st.dates(date(1, 1, 1)) | st.sampled_from(["infinity", "0044-03-15 BC", "12024-01-01"]),
    st.none() | st.sampled_from(['{"a": "x, \\"y\\""}', "[1, 2]", "null"]),
)


@pytest.fixture(scope="module")
def database() -> str:
    return create_database()


@contextmanager
def open_session(url: str, in_columns: bool = True) -> Iterator[PostgresSession]:
    """A session that reads whole tables in columns, or all as text."""
    with postgres.connect(SourceAddress(url)) as session, pytest.MonkeyPatch.context() as patch:
        if not in_columns:
            patch.setattr(postgres, "build_expressions", lambda query, types: None)
        yield session


def read(url: str, query: RowQuery, in_columns: bool = True) -> pl.DataFrame:
    """All rows of a query."""
    with open_session(url, in_columns) as session:
        return pl.concat(session.read_batches(query, HOUR, sha256()), how="vertical_relaxed")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=20))
def test_columns_say_what_the_text_of_the_same_rows_says(rows: list[tuple[object, ...]], database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("DROP TABLE IF EXISTS v")
        connection.execute(f"CREATE TABLE v ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})".encode())
        marks = ", ".join(f"%s::text::{kind}" if kind != "boolean" else "%s" for kind in TYPES.values())
        connection.cursor().executemany(f"INSERT INTO v VALUES ({marks})".encode(), rows)
    query = RowQuery("SELECT * FROM v", tuple(TYPES), numbers=frozenset({"whole", "number"}))
    columns, text = read(database, query), read(database, query, in_columns=False)
    assert columns["whole"].dtype == pl.Int64
    assert columns["number"].dtype == pl.Float64
    for name in TYPES:
        if name in query.numbers:
            assert columns[name].equals(text[name].cast(columns[name].dtype), null_equal=True), name
        elif name in ("zoned", "naive", "day"):
            assert parse_times(columns[name]).equals(parse_times(text[name]), null_equal=True), name
            assert (columns[name].dtype == pl.String) == (text[name].dtype == pl.String), name
        else:
            assert columns[name].equals(text[name], null_equal=True), name


def test_a_number_whose_text_counts_stays_text(database: str) -> None:
    select = "SELECT 12.0::float8 AS code, 7::int AS id, 1e20::float8 AS far"
    assert read(database, RowQuery(select, ("code", "id", "far"))).rows() == [("12", "7", "1e+20")]


@pytest.mark.parametrize("value", ["'1.2.3.4'::inet", "'ab'::char(5)", "'ok'::mood", "'1 day'::interval"])
def test_a_type_whose_cast_says_something_else_is_read_as_text(value: str, database: str) -> None:
    with psycopg.connect(database) as connection:
        if connection.execute("SELECT to_regtype('mood')").fetchone() == (None,):
            connection.execute("CREATE TYPE mood AS ENUM ('ok')")
    query = RowQuery(f"SELECT {value} AS x", ("x",))
    assert read(database, query).equals(read(database, query, in_columns=False))


@pytest.mark.parametrize("size", [1, 1000, 2**20])
def test_the_digest_does_not_depend_on_the_blocks_that_rows_come_in(
    size: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = (
        "SELECT n, nullif('a' || n, 'a7') AS t, n::float8 / 3 AS x, now() AS at, n % 2 = 0 AS f FROM generate_series(1, 3000) n"
    )
    query = RowQuery(select, ("n", "t", "x", "at", "f"), numbers=frozenset({"x", "n"}))
    seen = []
    with psycopg.connect(database) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS digested AS {select}".encode())
    query = RowQuery("SELECT * FROM digested ORDER BY n", query.columns, numbers=query.numbers)
    for own in (size, 2**20):
        monkeypatch.setattr(postgres_arrow, "BATCH_BYTES", own)
        digest = sha256()
        with open_session(database) as session:
            batches = list(session.read_batches(query, HOUR, digest))
        seen.append((pl.concat(batches).rows(), digest.hexdigest(), len(batches)))
    assert seen[0][:2] == seen[1][:2]
    assert (seen[0][2] > 1) == (size < 2**20)
    other = sha256()
    with open_session(database) as session:
        list(session.read_batches(RowQuery("SELECT * FROM digested WHERE n < 3000 ORDER BY n", query.columns), HOUR, other))
    assert other.hexdigest() != seen[0][1]


def test_both_connections_see_one_state(database: str) -> None:
    with psycopg.connect(database) as writer:
        writer.execute("DROP TABLE IF EXISTS state")
        writer.execute("CREATE TABLE state AS SELECT 1 AS n")
    query = RowQuery("SELECT n FROM state", ("n",))
    with open_session(database) as session:
        session.list_columns(query.select)
        with psycopg.connect(database) as writer:
            writer.execute("INSERT INTO state VALUES (2)")
        assert pl.concat(session.read_batches(query, HOUR, sha256())).rows() == [("1",)]


def test_a_server_that_allows_one_connection_gives_text(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP ROLE IF EXISTS lonely")
        connection.execute("CREATE ROLE lonely LOGIN CONNECTION LIMIT 1")
    alone = make_url(database).set(username="lonely").render_as_string(hide_password=False)
    query = RowQuery("SELECT 1.5::float8 AS x", ("x",), numbers=frozenset({"x"}))
    assert read(alone, query).rows() == [("1.5",)]
    assert read(database, query).rows() == [(1.5,)]


@pytest.mark.parametrize(
    ("select", "timeout", "words"),
    [
        ("SELECT 1 / (9000 - n) AS x FROM generate_series(1, 20000) n", HOUR, "refuses the query: division by zero"),
        ("SELECT pg_sleep(5)::text AS x", timedelta(milliseconds=100), "stopped at its time-out"),
        ("SELECT pg_terminate_backend(pg_backend_pid()) AS x", HOUR, "shut down in the middle|broke off in the middle"),
        ("SELECT repeat('x', 10)::text || (1 / n) AS x FROM (VALUES (1), (0)) t (n)", HOUR, "division by zero"),
    ],
)
def test_a_failure_amid_the_rows_is_one_sentence(select: str, timeout: timedelta, words: str, database: str) -> None:
    with pytest.raises(SourceError, match=words), open_session(database) as session:
        list(session.read_batches(RowQuery(select, ("x",)), timeout, sha256()))
