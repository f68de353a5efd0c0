"""`epic22 ingest --source ADDRESS`: tables that a mapping asks of a real PostgreSQL, and of SQLite."""

from pathlib import Path

import psycopg
import pytest
from tests.databases import create_database, fill_postgres, fill_sqlite, write_query_mapping
from tests.lakes import take_in
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake

NAMES = ("properties", "units", "equipment", "sensor_readings")


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys, monkeypatch)


def content_of_files(folder: Path) -> str:
    """The content hash of the small portfolio's tables ingested from files."""
    tables = small_tables()
    lake = Lake(folder / "of-files")
    take_in(lake, write_tables(folder / "files", {name: tables[name] for name in NAMES}))
    return lake.resolve_version().id


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_rows_of_a_database_give_the_version_that_files_give_and_nothing_new_the_second_time(
    kind: str, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {name: small_tables()[name] for name in NAMES}
    if kind == "postgresql":
        address = create_database()
        fill_postgres(address, tables)
    else:
        address = f"sqlite:///{tmp_path / 'erp.db'}"
        fill_sqlite(tmp_path / "erp.db", tables)
    mapping = write_query_mapping(tmp_path / "mapping.yaml", tables)
    code, _, err = shell("ingest", "--source", address, "--mapping", str(mapping))
    assert (code, err.splitlines()[-1]) == (0, "storing …")
    version = Lake(shell.home / "lake").resolve_version()
    assert version.id == content_of_files(tmp_path)
    assert [source.name for source in version.sources] == [f"erp/{name}" for name in NAMES]
    monkeypatch.setenv("ERP_ADDRESS", address)
    code, out, _ = shell("ingest", "--source", "env:ERP_ADDRESS", "--mapping", str(mapping))
    assert code == 0
    assert "Nothing new; no version was created." in out


@pytest.mark.slow
def test_the_second_ingest_reads_only_rows_from_the_watermark_less_the_overlap_on(shell: Shell, tmp_path: Path) -> None:
    tables = {name: small_tables()[name] for name in NAMES}
    address = create_database()
    fill_postgres(address, tables)
    mapping = write_query_mapping(
        tmp_path / "mapping.yaml", tables, sensor_readings={"watermark": "measured_at", "overlap": "1h"}
    )
    assert shell("ingest", "--source", address, "--mapping", str(mapping))[0] == 0
    lake = Lake(shell.home / "lake")
    last = tables["sensor_readings"]["measured_at"].max()
    assert lake.resolve_version().positions["erp/sensor_readings"].reached == last.isoformat()  # type: ignore[union-attr]
    with psycopg.connect(address) as connection:
        connection.execute(
            "INSERT INTO sensor_readings SELECT equipment_id, measured_at + '1 day', kind, value, quality, known_at + '1 day' "
            "FROM sensor_readings WHERE measured_at = (SELECT max(measured_at) FROM sensor_readings)"
        )
        connection.execute("UPDATE sensor_readings SET value = value + 1 WHERE measured_at < '2021-01-02'")
    code, _, err = shell("ingest", "--source", address, "--mapping", str(mapping))
    assert code == 0, err
    read = next(one.rows for one in lake.resolve_version().sources if one.table == "sensor_readings")
    assert read < tables["sensor_readings"].height / 2


def test_a_wrong_address_or_query_is_one_sentence_without_the_address(shell: Shell, tmp_path: Path) -> None:
    tables = {"properties": small_tables()["properties"]}
    mapping = write_query_mapping(tmp_path / "mapping.yaml", tables)
    for address, said in [
        ("postgresql://ann:s3cret@127.0.0.1:9/hidden", "nothing answers at the address"),
        ("sqlite:////nowhere/hidden.db", "there is no SQLite file at that path"),
        ("ftp://ann:s3cret@hidden/", "no kind of server has such an address"),
        ("env:NOT_SET", "no environment variable of that name is set"),
    ]:
        code, out, err = shell("ingest", "--source", address, "--mapping", str(mapping))
        assert (code, out) == (2, "")
        assert said in err
        assert not any(secret in err for secret in ("ann", "s3cret", "hidden", "127.0.0.1"))
        assert err.count("\n") == 1
    assert not (shell.home / "lake" / "versions").exists()
