"""What a database's values become on their way into the tables: exact, in UTC, null as null, and what is no value by name."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.databases import create_database

from epic22.adapters.sources import postgres, sql_cursor
from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.query import RowQuery, build_row_query
from epic22.core.errors import ColumnError
from epic22.core.tables.mapping import SourceMap, ValueMapping
from epic22.core.tables.origin import QueryOrigin
from epic22.core.tables.parsing import parse_times

HOUR = timedelta(hours=1)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
ROW = st.tuples(
    st.none() | TEXT,
    st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-(10**12), max_value=10**12),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
)
COLUMNS = ("text", "amount", "whole", "number", "flag", "zoned", "naive")


@pytest.fixture(scope="module")
def database() -> str:
    return create_database()


def read_query(url: str, query: str) -> pl.DataFrame:
    """All rows of a query, as the source gives them."""
    with postgres.connect(SourceAddress(url)) as session:
        names = session.list_columns(query).names
        return pl.concat(session.read_batches(RowQuery(query, names), HOUR, sha256()))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=20))
def test_every_value_of_postgresql_comes_back_exactly(rows: list[tuple[object, ...]], database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("SET TimeZone = 'Asia/Kolkata'")
        connection.execute("DROP TABLE IF EXISTS v")
        types = ("text", "numeric", "bigint", "float8", "boolean", "timestamptz", "timestamp")
        connection.execute(f"CREATE TABLE v ({', '.join(f'{n} {t}' for n, t in zip(COLUMNS, types, strict=True))})")
        connection.cursor().executemany(f"INSERT INTO v VALUES ({', '.join(['%s'] * len(COLUMNS))})", rows)
    read = read_query(database, "SELECT * FROM v")
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    assert read["text"].to_list() == list(columns["text"])
    exact = [None if value is None else Decimal(value) for value in read["amount"]]
    assert exact == list(columns["amount"])
    assert [None if value is None else int(value) for value in read["whole"]] == list(columns["whole"])
    assert [None if value is None else float(value) for value in read["number"]] == list(columns["number"])
    assert read["flag"].to_list() == [None if value is None else str(value).lower() for value in columns["flag"]]
    bare = [value.replace(tzinfo=None) if isinstance(value, datetime) else None for value in columns["zoned"]]
    assert parse_times(read["zoned"]).to_list() == bare
    assert parse_times(read["naive"]).to_list() == list(columns["naive"])


@pytest.mark.slow
def test_what_has_no_place_in_time_stays_text_for_the_check_to_name_it(database: str) -> None:
    read = read_query(database, "SELECT 'infinity'::timestamptz AS at UNION ALL SELECT '2024-03-01 12:00+02'")
    assert read["at"].to_list() == ["infinity", "2024-03-01 10:00:00+00"]
    assert parse_times(read["at"]).to_list() == [None, datetime(2024, 3, 1, 10)]


@pytest.mark.slow
def test_json_comes_as_text_and_an_identifier_as_its_letters(database: str) -> None:
    (row,) = read_query(
        database, """SELECT '{"level": "low, \\"x\\""}'::jsonb AS j, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id"""
    ).rows()
    assert row == ('{"level": "low, \\"x\\""}', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "word"), [("'x'::bytea", "bytea"), ("ARRAY[1]", r"int4\[\]"), ("(SELECT c FROM pg_class c LIMIT 1)", "pg_class")]
)
def test_a_column_of_bytes_or_several_values_is_refused_by_name_where_the_mapping_uses_it(
    value: str, word: str, database: str
) -> None:
    origin = QueryOrigin(f"SELECT 1 AS id, {value} AS photo")
    with postgres.connect(SourceAddress(database)) as session:
        there = session.list_columns(origin.query)
        used = SourceMap(origin, {"name": ValueMapping(column="photo")})
        with pytest.raises(ColumnError, match=f"column photo is of type {word}, which is no single value"):
            build_row_query(used, origin, there, None)
        unused = build_row_query(SourceMap(origin, {"name": ValueMapping(column="id")}), origin, there, None)
        assert pl.concat(session.read_batches(unused, HOUR, sha256())).rows() == [("1",)]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_and_their_digest_are_the_same_in_batches_of_any_size(
    rows: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = RowQuery("SELECT n, 'a,\"b\n' || n AS t FROM generate_series(1, 100) n", ("n", "t"))
    found = []
    for size in (rows, 250_000):
        monkeypatch.setattr(postgres, "BATCH_ROWS", size)
        digest = sha256()
        with postgres.connect(SourceAddress(database)) as session:
            found.append((pl.concat(session.read_batches(query, HOUR, digest)).rows(), digest.hexdigest()))
    assert found[0] == found[1]
    assert found[0][0][99] == ("100", 'a,"b\n100')


def test_values_of_sqlite_come_as_text_and_bytes_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "erp.db"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE v (a, b, c)")
        file.executemany("INSERT INTO v VALUES (?, ?, ?)", [(1, 0.1, None), ("x%s", 1e300, b"12")])
    with sql_cursor.connect(SourceAddress(f"sqlite:///{path}")) as session:
        names = session.list_columns("SELECT * FROM v").names
        read = list(session.read_batches(RowQuery("SELECT * FROM v WHERE a NOT LIKE '%y'", names[:2]), HOUR, sha256()))
        assert read[0].rows() == [("1", "0.1"), ("x%s", "1e+300")]
        with pytest.raises(ColumnError, match="column c holds bytes"):
            list(session.read_batches(RowQuery("SELECT * FROM v", names), HOUR, sha256()))


@pytest.mark.parametrize(
    ("values", "low", "expected"),
    [
        (["98", "99", "100", "abc", None], 99, ["99", "100", "abc", None]),
        ([98, 99, 100, None], 99, ["99", "100", None]),
        (["2024-03-01 10:00:00", "2024-03-02 10:00:00"], datetime(2024, 3, 2), ["2024-03-02 10:00:00"]),
        (["2024-03-01 10:00:00+0000", "2024-3-9"], datetime(2024, 3, 2), ["2024-03-01 10:00:00+0000", "2024-3-9"]),
    ],
)
def test_rows_from_a_position_on_are_those_whose_values_reach_it_or_cannot_be_compared(
    values: list[Any], low: Any, expected: list[str | None], tmp_path: Path
) -> None:
    """SQLite compared text with text, '100' before '99', and passed by what it reads no day from."""
    path, kind = tmp_path / "erp.db", "INTEGER" if isinstance(values[0], int) else "TEXT"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(f"CREATE TABLE v (at {kind})")
        file.executemany("INSERT INTO v VALUES (?)", [(value,) for value in values])
    query = RowQuery("SELECT * FROM v", ("at",), watermark="at", low=low)
    with sql_cursor.connect(SourceAddress(f"sqlite:///{path}")) as session:
        read = pl.concat(session.read_batches(query, HOUR, sha256()))
    assert set(expected) <= set(read["at"].to_list())
    assert "98" not in read["at"].to_list()


def test_other_drivers_values_become_the_text_of_a_file() -> None:
    east = timezone(timedelta(hours=2))
    values = [True, Decimal("1E+3"), datetime(2024, 3, 1, 12, tzinfo=east), datetime(2024, 3, 1).date(), {"a": 1}, timedelta(1)]
    texts = ["true", "1000", "2024-03-01T10:00:00", "2024-03-01", '{"a": 1}', "24:00:00"]
    assert [sql_cursor.to_text("x", value) for value in values] == texts
