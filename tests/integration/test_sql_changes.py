"""What a database says of rows that changed, are gone, or are not there at all; and mistakes, each in one sentence."""

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from tests.databases import create_database, fill_postgres, write_query_mapping
from tests.shell import Shell
from tests.small_tables import small_tables

from epic22.adapters.lake import Lake

NAMES = ("properties", "units", "equipment")


class Company:
    """A database with the small portfolio, and the command that ingests it."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell, self.folder, self.lake = shell, folder, Lake(shell.home / "lake")
        self.tables = {name: small_tables()[name] for name in NAMES}
        self.address = create_database()
        fill_postgres(self.address, self.tables)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.address) as connection:
            connection.execute(statement)

    def ingest(self, names: tuple[str, ...] = NAMES, **sources: Mapping[str, object]) -> tuple[int, str, str]:
        mapping = write_query_mapping(self.folder / "mapping.yaml", {name: self.tables[name] for name in names}, **sources)
        return self.shell("ingest", "--source", self.address, "--mapping", str(mapping))


@pytest.fixture
def company(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Company:
    monkeypatch.setenv("COLUMNS", "300")
    return Company(Shell(tmp_path, capsys, monkeypatch), tmp_path)


@pytest.mark.slow
def test_rows_marked_as_deleted_are_not_taken_and_stored_ones_are_counted(company: Company) -> None:
    company.execute("ALTER TABLE units ADD is_active boolean DEFAULT true")
    company.execute("UPDATE units SET is_active = false WHERE unit_id = 'U0'")
    marked = {"deleted": {"column": "is_active", "equals": "false"}}
    code, out, _ = company.ingest(units=marked)
    assert code == 0
    assert company.lake.scan("units").collect()["unit_id"].is_in(["U0"]).sum() == 0
    assert "are gone there" not in out
    company.execute("UPDATE units SET is_active = false WHERE unit_id IN ('U1', 'U2')")
    code, out, _ = company.ingest(units=marked)
    assert code == 0
    assert "note: erp/units: 2 stored rows are gone there; they stay, for they were known" in out
    assert company.lake.scan("units").collect()["unit_id"].is_in(["U1", "U2"]).sum() == 2


@pytest.mark.slow
def test_a_full_scan_of_keys_finds_rows_gone_though_only_new_ones_are_read(company: Company) -> None:
    scanned = {"watermark": "known_at", "deleted": "full_scan"}
    assert company.ingest(equipment=scanned)[0] == 0
    company.execute("DELETE FROM equipment WHERE equipment_id IN ('E3', 'E4')")
    code, out, _ = company.ingest(equipment=scanned)
    assert code == 0
    assert "note: erp/equipment: 2 stored rows are gone there" in out


@pytest.mark.slow
def test_after_a_change_of_the_mapping_all_rows_are_read_again(company: Company) -> None:
    assert company.ingest(equipment={"watermark": "known_at"})[0] == 0
    code, out, _ = company.ingest(equipment={"watermark": "known_at", "where": {"kind": {"not_equals": "x"}}})
    assert code == 0
    assert "note: erp/equipment: its query or mapping has changed, so all rows were read again" in out


@pytest.mark.slow
def test_a_restored_version_goes_on_from_where_it_was(company: Company) -> None:
    assert company.ingest(equipment={"watermark": "known_at"})[0] == 0
    first = company.lake.resolve_version()
    company.execute(
        "INSERT INTO equipment SELECT 'E99', property_id, unit_id, kind, installed_on, retired_on, warranty_until, "
        "replacement_cost, known_at + '9 days' FROM equipment WHERE equipment_id = 'E1'"
    )
    assert company.ingest(equipment={"watermark": "known_at"})[0] == 0
    second = company.lake.resolve_version()
    assert second.positions != first.positions
    company.lake.restore(first.number, "tester")
    assert company.lake.resolve_version().positions == first.positions
    assert company.ingest(equipment={"watermark": "known_at"})[0] == 0
    assert company.lake.resolve_version().id == second.id


@pytest.mark.slow
def test_a_query_without_rows_is_noted_and_refused_where_there_were_some(company: Company) -> None:
    nothing = {"query": "SELECT * FROM units WHERE false"}
    code, out, _ = company.ingest(units=nothing)
    assert code == 0
    assert "note: erp/units: gave no row" in out
    assert company.ingest()[0] == 0
    before = company.lake.resolve_version()
    code, _, err = company.ingest(units=nothing)
    assert (code, err.count("\n")) == (2, 3)
    assert "erp/units: the query gives no row, though units has some" in err
    assert company.lake.resolve_version() == before


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "a table that is not there": ({"query": "SELECT * FROM nowhere"}, 'relation "nowhere" does not exist'),
    "a column that is not there": ({"query": "SELECT nothing FROM units"}, 'column "nothing" does not exist'),
    "a column the mapping names": ({"query": "SELECT unit_id FROM units"}, "no column area_sqft"),
    "no SQL": ({"query": "SELECT FROM WHERE"}, "syntax error"),
    "two statements": ({"query": "SELECT 1; SELECT 2"}, "cannot insert multiple commands"),
    "a bracket that ends ours": ({"query": "SELECT * FROM units) TO PROGRAM 'id' --"}, "syntax error"),
    "a change": ({"query": "WITH x AS (DELETE FROM units RETURNING *) SELECT * FROM x"}, "data-modifying"),
    "no SELECT": ({"query": "DELETE FROM units RETURNING *"}, "expected one SELECT"),
    "a column twice": ({"query": "SELECT *, unit_id FROM units"}, "column unit_id comes twice in the query"),
    "a column of another type": (
        {"query": "SELECT unit_id, property_id, 'many' AS bedrooms, bathrooms, area_sqft, floor, known_at FROM units"},
        "units.bedrooms: 12 of 12 values are not a whole number",
    ),
    "a failure in the middle": (
        {"query": "SELECT *, 1 / (CASE unit_id WHEN 'U7' THEN 0 ELSE 1 END) AS x FROM units", "where": {"x": {"not_in": ["7"]}}},
        "division by zero",
    ),
    "a time-out": (
        {"query": "SELECT *, pg_sleep(1) FROM units", "timeout": "1s", "where": {"pg_sleep": {"not_in": ["7"]}}},
        "stopped at its time-out",
    ),
    "a watermark without order": ({"watermark": "property_id"}, "the watermark property_id holds 'P0'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_the_version_as_it_was(name: str, company: Company) -> None:
    assert company.ingest(("properties",))[0] == 0
    before = company.lake.resolve_version()
    source, words = MISTAKES[name]
    code, out, err = company.ingest(("properties", "units"), units=source)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert words in last
    assert "units: " in last
    assert last.startswith("epic22: ")
    assert "Traceback" not in err
    assert company.lake.resolve_version() == before
    assert not (company.shell.home / "lake" / ".staging").exists()
    with psycopg.connect(company.address) as connection:
        assert connection.execute("SELECT count(*) FROM units").fetchone() == (12,)


@pytest.mark.slow
def test_all_queries_of_an_ingest_see_one_state_of_the_database(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    from epic22.adapters.sources.sql import QuerySource

    plain = QuerySource.batches

    def change_before_units(source: QuerySource) -> object:
        if source.table.name == "units":
            company.execute("DELETE FROM units WHERE unit_id = 'U1'")
        return plain(source)

    monkeypatch.setattr(QuerySource, "batches", change_before_units)
    assert company.ingest()[0] == 0
    assert company.lake.scan("units").collect().height == 12
