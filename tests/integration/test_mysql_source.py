"""`epic22 ingest --source mysql://…` against a real MariaDB: content as of files, and what its types and faults become."""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from tests.databases import write_query_mapping
from tests.lakes import take_in
from tests.mysql_server import MysqlServer, mysql_server
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.adapters.sources import sql_cursor
from epic22.adapters.sources.base import SourceAddress
from epic22.adapters.sources.query import RowQuery
from epic22.core.errors import ColumnError, SourceError

pytestmark = pytest.mark.slow

NAMES = ("properties", "units", "equipment", "sensor_readings")
MANY_ROWS = "SELECT seq AS number, repeat('x', 200) AS text FROM seq_1_to_3000000"


@pytest.fixture(scope="module")
def server() -> MysqlServer:
    return mysql_server()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys, monkeypatch)


def run_statements(server: MysqlServer, *statements: str) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def fill_mysql(server: MysqlServer, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write tables under their own names, each column in the type that fits its values."""
    with server.connect() as connection, connection.cursor() as cursor:
        for name, frame in tables.items():
            columns = ", ".join(f"`{column}` {_mysql_type(dtype)}" for column, dtype in frame.schema.items())
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
            cursor.execute(f"CREATE TABLE {name} ({columns})")
            cursor.executemany(f"INSERT INTO {name} VALUES ({', '.join(['%s'] * frame.width)})", frame.rows())
        connection.commit()


def _mysql_type(dtype: pl.DataType) -> str:
    if dtype.is_float():
        return "double"
    if dtype.is_integer():
        return "bigint"
    return "decimal(20, 2)" if dtype.is_decimal() else "datetime(6)" if dtype.is_temporal() else "varchar(200)"


def read_rows(address: str, query: str, columns: tuple[str, ...], seconds: float = 60) -> pl.DataFrame:
    """The rows of a query as the source gives them, text all."""
    with sql_cursor.connect(SourceAddress(address)) as session:
        batches = session.read_batches(RowQuery(query, columns), timedelta(seconds=seconds), sha256())
        return pl.concat(list(batches))


def test_rows_of_mysql_give_the_version_that_files_give_and_later_only_those_from_the_watermark_on(
    server: MysqlServer, shell: Shell, tmp_path: Path
) -> None:
    tables = {name: small_tables()[name] for name in NAMES}
    fill_mysql(server, tables)
    mapping = write_query_mapping(
        tmp_path / "mapping.yaml", tables, sensor_readings={"watermark": "measured_at", "overlap": "1h"}
    )
    mapping.write_text(mapping.read_text().replace('"', "`"))
    assert shell("ingest", "--source", server.address(), "--mapping", str(mapping))[0] == 0
    of_files = Lake(tmp_path / "of-files")
    take_in(of_files, write_tables(tmp_path / "files", tables))
    lake = Lake(shell.home / "lake")
    assert lake.resolve_version().id == of_files.resolve_version().id
    run_statements(
        server,
        "INSERT INTO sensor_readings SELECT equipment_id, measured_at + INTERVAL 1 DAY, kind, value, quality, "
        "known_at + INTERVAL 1 DAY FROM sensor_readings WHERE measured_at = (SELECT max(measured_at) FROM sensor_readings)",
    )
    code, _, err = shell("ingest", "--source", server.address(), "--mapping", str(mapping))
    assert code == 0, err
    read = next(one.rows for one in lake.resolve_version().sources if one.table == "sensor_readings")
    assert 0 < read < tables["sensor_readings"].height / 2


def test_values_of_mysqls_own_types_are_those_that_it_prints(server: MysqlServer) -> None:
    columns = {
        "truth": ("bit(1)", "b'1'", "1"),
        "flag": ("tinyint(1)", "0", "0"),
        "amount": ("decimal(12, 2)", "12.50", "12.50"),
        "day": ("date", "'2024-02-29'", "2024-02-29"),
        "no_day": ("date", "'0000-00-00'", None),
        "no_moment": ("datetime", "'0000-00-00 00:00:00'", None),
        "odd_day": ("date", "'2024-00-10'", "2024-00-10"),
        "moment": ("datetime(6)", "'2024-01-02 03:04:05.678901'", "2024-01-02T03:04:05.678901"),
        "span": ("time", "'30:15:00'", "30:15:00"),
        "large": ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
        "level": ("enum('a', 'b')", "'b'", "b"),
        "city": ("varchar(50)", "'Zürich 🏠 100%'", "Zürich 🏠 100%"),
        "document": ("json", """'{"a": 1}'""", '{"a": 1}'),
    }
    types = ", ".join(f"`{name}` {kind}" for name, (kind, *_) in columns.items())
    values = ", ".join(value for _, value, _ in columns.values())
    run_statements(
        server,
        "DROP TABLE IF EXISTS typed",
        f"CREATE TABLE typed ({types})",
        "SET sql_mode = ''",
        f"INSERT INTO typed VALUES ({values})",
    )
    row = read_rows(server.address(), "SELECT * FROM typed", tuple(columns)).row(0, named=True)
    assert row == {name: expected for name, (*_, expected) in columns.items()}


def test_bytes_of_mysql_are_refused_by_the_name_of_their_column(server: MysqlServer) -> None:
    with pytest.raises(ColumnError, match="column raw holds bytes"):
        read_rows(server.address(), "SELECT x'ff' AS raw", ("raw",))


@pytest.mark.parametrize(
    ("query", "user", "password", "database", "words"),
    [
        ("SELECT 1 AS number", "ann", "wrong", "erp", "the server refuses the user or the password"),
        ("SELECT 1 AS number", "ann", None, "other", "the server has no database of that name for this user"),
        ("SELECT sleep(20) AS number", "ann", None, "erp", "the query was stopped at its time-out"),
        ("SELECT number FROM nowhere", "ann", None, "erp", "mend the query in the mapping file"),
        ("SELECT write_row() AS number", "owner", None, "erp", "the query would change the database"),
    ],
    ids=["password", "database", "time-out", "table", "write"],
)
def test_a_fault_of_mysql_is_one_sentence(
    server: MysqlServer, query: str, user: str, password: str | None, database: str, words: str
) -> None:
    run_statements(
        server,
        "CREATE TABLE IF NOT EXISTS written (number int)",
        "DROP FUNCTION IF EXISTS write_row",
        "CREATE FUNCTION write_row() RETURNS int BEGIN INSERT INTO written VALUES (1); RETURN 1; END",
    )
    address = server.address(user, password, database)
    with pytest.raises(SourceError) as caught:
        read_rows(address, query, ("number",), seconds=1)
    assert words in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("127.0.0.1", server.password, str(server.port)))


def test_a_server_that_breaks_off_in_the_middle_is_one_sentence_and_no_traceback(
    server: MysqlServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with sql_cursor.connect(SourceAddress(server.address())) as session:
        batches = session.read_batches(RowQuery(MANY_ROWS, ("number", "text")), timedelta(minutes=1), sha256())
        assert next(batches).height == sql_cursor.BATCH_ROWS
        server.end_sessions("ann")
        with pytest.raises(SourceError, match="the connection broke off in the middle"):
            list(batches)
    assert capfd.readouterr().err == ""
