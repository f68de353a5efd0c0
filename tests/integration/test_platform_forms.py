"""`epic22 ingest --mapping platform-a`, and `platform-b`: the platform's own database, against what a portfolio put into it."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from tests.benchmark_modules import benchmark_module
from tests.databases import create_database
from tests.shell import Shell

from epic22.adapters.lake import Lake
from epic22.adapters.sources.folder import load_mapping
from epic22.adapters.sources.presets import find_mapping, list_presets
from epic22.core.tables.canonical import CANONICAL
from epic22.simulator.portfolio import PortfolioSize, simulate

FORM = benchmark_module("platform_form")
BUILDERS = {
    "platform-a": benchmark_module("platform_form_a").build_form_a,
    "platform-b": benchmark_module("platform_form_b").build_form_b,
}
TINY = PortfolioSize("tiny", 6, metros=1, zips=2, units=60, reading_days=20, years_of_ledger=3, replicates=2)


@cache
def build_form(mapping: str) -> Any:
    """The form with the rows of a tiny portfolio."""
    return BUILDERS[mapping](simulate(TINY, seed=1).tables)


def _first(table: str, order: str, change: str) -> str:
    """An update of the first row in that order."""
    rows = f'SELECT id FROM "{table}" ORDER BY {order} LIMIT 1'
    return f'UPDATE "{table}" SET {change} WHERE id = ({rows})'


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys, monkeypatch)


def read_stored(shell: Shell) -> dict[str, pl.DataFrame]:
    """All tables of the latest version."""
    lake = Lake(shell.home / "lake")
    return {table.name: lake.scan(table.name, lake.resolve_version().number).collect() for table in CANONICAL}


def test_every_preset_that_asks_a_database_is_tested() -> None:
    asking = [name for name in list_presets() if not load_mapping(find_mapping(Path(name))).has_address]
    assert asking == list(BUILDERS)


@pytest.mark.slow
@pytest.mark.parametrize("mapping", list(BUILDERS))
def test_every_row_and_value_that_the_form_can_hold_comes_out_as_it_went_in(mapping: str, shell: Shell) -> None:
    form, address = build_form(mapping), create_database()
    FORM.fill_database(address, form)
    ingested = shell.json("ingest", "--source", address, "--mapping", mapping)
    assert sum(counts["quarantined"] for counts in ingested["counts"].values()) == 0
    stored = read_stored(shell)
    for name, frame in form.expected.items():
        assert FORM.compare_table(frame, stored[name], name) == {"rows_in": frame.height, "rows_out": frame.height, "unequal": {}}
    assert shell.json("ingest", "--source", address, "--mapping", mapping)["version"] is None


UNKNOWN_VALUES = {
    "platform-a": {
        "UPDATE properties SET \"propertyType\" = 'Castle' WHERE id = (SELECT max(id::text) FROM properties)::uuid": (
            "property_type is Castle, expected one of apartment, house"
        ),
        _first("maintenance_history", "id::text", "priority = 'urgent'"): "priority is urgent, expected one of low, medium",
        _first("maintenance_history", "date", "type = 'ghosts'"): "category is ghosts, expected one of plumbing",
        _first("maintenance_history", '"propertyId"::text, date', "status = 'lost'"): "status is lost, expected one of open",
        _first("tenants", "id::text", """"screeningStatus" = '{"riskLevel": "EXTREME"}'"""): (
            "screening_risk is EXTREME, expected one of low, medium, high"
        ),
    },
    "platform-b": {
        _first("Rental", "id", "\"propertyType\" = 'CASTLE'"): "property_type is CASTLE, expected one of apartment, house",
        _first("MaintenanceRequest", "id", "priority = 'ASAP'"): "priority is ASAP, expected one of low, medium, high, critical",
        _first("MaintenanceRequest", '"createdAt"', "status = 'LOST'"): "status is LOST, expected one of open, in_progress",
        _first("Lease", "id", "status = 'FROZEN'"): "end_reason is status FROZEN, expected one of moved_out",
        _first("MarketData", "id", "location = 'Springfield'"): "zip_code is empty",
    },
}
"""Changes of a row, each to a value that the form may have and the contract does not know, and what is said of the row."""


@pytest.mark.slow
@pytest.mark.parametrize("mapping", list(BUILDERS))
def test_values_that_are_not_known_are_set_apart_with_their_reason(mapping: str, shell: Shell) -> None:
    address = create_database()
    FORM.fill_database(address, build_form(mapping))
    with psycopg.connect(address) as connection:
        for change in UNKNOWN_VALUES[mapping]:
            assert connection.execute(change.encode()).rowcount == 1
    shell.json("ingest", "--source", address, "--mapping", mapping)
    reasons = [row["reason"] for row in shell.json("data", "quarantine")]
    for reason in UNKNOWN_VALUES[mapping].values():
        assert any(reason in one for one in reasons), reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mapping", "table", "place"),
    [("platform-a", "maintenance_history", "platform_a/properties"), ("platform-b", "MarketData", "platform_b/market")],
)
def test_a_database_without_one_of_the_tables_is_told_which(mapping: str, table: str, place: str, shell: Shell) -> None:
    address = create_database()
    FORM.fill_database(address, build_form(mapping))
    with psycopg.connect(address) as connection:
        connection.execute(f'DROP TABLE "{table}"'.encode())
    code, out, err = shell("ingest", "--source", address, "--mapping", mapping)
    assert (code, out) == (2, "")
    assert f"{place}: the database refuses the query: relation " in err
    assert f'{table}" does not exist' in err
    assert not (shell.home / "lake" / "versions").exists()


@pytest.mark.slow
def test_columns_that_some_databases_of_the_form_have_are_read_where_they_are(shell: Shell) -> None:
    form, address = build_form("platform-b"), create_database()
    FORM.fill_database(address, form)
    ended = form.rows["Lease"].filter(pl.col("status") == "TERMINATED").row(0, named=True)
    with psycopg.connect(address) as connection:
        connection.execute('ALTER TABLE "Rental" ADD COLUMN "yearBuilt" int DEFAULT 1987, ADD COLUMN floor int DEFAULT 3')
        connection.execute('ALTER TABLE "Lease" ADD COLUMN "terminationDate" timestamp(3)')
        connection.execute('UPDATE "Lease" SET "terminationDate" = %s WHERE id = %s', (ended["startDate"], ended["id"]))
        connection.execute("""ALTER TABLE "MarketData" ADD COLUMN provenance text DEFAULT 'PUBLIC'""")
    shell.json("ingest", "--source", address, "--mapping", "platform-b")
    stored = read_stored(shell)
    assert stored["properties"]["year_built"].unique().to_list() == [1987]
    assert stored["units"]["floor"].unique().to_list() == [3]
    assert stored["market"]["provenance"].unique().to_list() == ["public"]
    assert stored["leases"].filter(pl.col("lease_id") == ended["id"])["ended_on"].to_list() == [ended["startDate"]]


@pytest.mark.slow
def test_a_task_that_the_form_has_nothing_for_says_what_it_lacks(shell: Shell) -> None:
    address = create_database()
    FORM.fill_database(address, build_form("platform-a"))
    shell.json("ingest", "--source", address, "--mapping", "platform-a")
    code, out, err = shell("train", "tenant_churn")
    assert (code, out) == (2, "")
    assert (
        "task tenant_churn needs more than is stored: table leases with about 50 rows (there are 0); column leases.ended_on "
        "filled in about 30 rows (there are 0); table charges with about 100 rows (there are 0)."
    ) in err
