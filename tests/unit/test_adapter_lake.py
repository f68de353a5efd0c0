"""The versioned tables and a change of them: what is staged, settled and committed, and what is left of one that is not."""

import json
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from tests.object_storage import new_bucket, storage_environment
from tests.postgres import new_database
from tests.small_tables import small_tables

from epic22.adapters import lake_transaction
from epic22.adapters.event_files import EventFiles
from epic22.adapters.file_store import open_file_store
from epic22.adapters.lake import Lake, is_delta, list_delta_files
from epic22.adapters.lake_transaction import DeltaTransaction
from epic22.adapters.metadata.data_versions import VersionRecords
from epic22.adapters.metadata.database import Database
from epic22.core.errors import LakeError, StorageError
from epic22.core.tables.canonical import KNOWN_AT, get_canonical_table
from epic22.core.tables.row_contract import LINE_COLUMN, CheckResult
from epic22.core.tables.versions import IngestCounts, LakeVersion, SourceFile

UNITS, ORDERS = get_canonical_table("units"), get_canonical_table("work_orders")
NOTHING_BROKEN = pl.DataFrame(schema={"line": pl.Int64, "reason": pl.String, "row": pl.String})


@pytest.fixture(params=["files", "sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "s3"))])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake whose log of versions is in files, or in a database that several machines share; its tables in a folder or S3."""
    if request.param == "files":
        return Lake(tmp_path / "lake")
    if request.param == "s3":
        address = new_bucket()
        for name, value in storage_environment().items():
            monkeypatch.setenv(name, value)
        versions = VersionRecords(Database(f"sqlite:///{tmp_path}/meta/data.sqlite"))
        return Lake(tmp_path / "staging", versions, open_file_store(address))
    database = Database(new_database() if request.param == "postgresql" else f"sqlite:///{tmp_path}/meta/data.sqlite")
    return Lake(tmp_path / "lake", VersionRecords(database))


@pytest.fixture
def lake_of_files(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def units(*numbers: int, area: float | None = None) -> pl.DataFrame:
    """Some of the small portfolio's units, of a given area."""
    frame = small_tables()["units"][list(numbers)]
    return frame if area is None else frame.with_columns(area_sqft=pl.lit(area))


def stage(transaction: DeltaTransaction, frame: pl.DataFrame, name: str = "units.csv", derived: bool = False) -> None:
    """Stage rows of the units as those of a file."""
    source = transaction.add_source(name, UNITS)
    numbered = frame.with_row_index(LINE_COLUMN, offset=2).with_columns(pl.col(LINE_COLUMN).cast(pl.Int64))
    transaction.stage_rows(UNITS, source, CheckResult(numbered, NOTHING_BROKEN), derived)
    transaction.complete_source(source, "0" * 64, None)


def add_units(lake: Lake, frame: pl.DataFrame) -> LakeVersion:
    """A version with these units added."""
    with lake.begin_transaction() as transaction:
        stage(transaction, frame)
        transaction.resolve_rows(UNITS)
        version = transaction.commit("tester")
    assert version is not None
    return version


def test_a_first_version_holds_what_was_staged_and_names_its_source(lake: Lake) -> None:
    version = add_units(lake, units(0, 1, 2))
    assert (version.number, version.parent, version.action, version.who) == (1, None, "ingest", "tester")
    assert version.sources == (SourceFile("units.csv", "0" * 64, "units", 3, 0),)
    assert lake.scan("units").collect().sort("unit_id").equals(units(0, 1, 2).sort("unit_id"))
    assert lake.latest() == version == lake.log()[0]


def test_nothing_staged_makes_no_version(lake: Lake) -> None:
    with lake.begin_transaction() as transaction:
        assert transaction.commit("tester") is None
    assert lake.latest() is None
    assert lake.log() == ()


def test_a_change_that_is_not_committed_leaves_nothing(lake: Lake) -> None:
    add_units(lake, units(0))
    with lake.begin_transaction() as transaction:
        stage(transaction, units(1, 2))
        assert len(list((lake.root / ".staging").glob("*.parquet"))) == 1
    assert not (lake.root / ".staging").exists()
    assert lake.scan("units").collect().height == 1


def test_rows_that_are_stored_already_are_settled_as_the_same_and_make_no_version(lake: Lake) -> None:
    add_units(lake, units(0, 1))
    with lake.begin_transaction() as transaction:
        stage(transaction, units(0, 1))
        assert transaction.resolve_rows(UNITS) == IngestCounts(same=2)
        assert transaction.commit("tester") is None


def test_only_what_is_new_of_a_batch_is_added(lake: Lake) -> None:
    add_units(lake, units(0, 1))
    with lake.begin_transaction() as transaction:
        stage(transaction, units(1, 2))
        assert transaction.resolve_rows(UNITS) == IngestCounts(new=1, same=1)
        version = transaction.commit("tester")
    assert version is not None
    table = version.tables["units"]
    assert (table.rows, table.added) == (3, 1)


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_an_equal_row_of_another_batch_is_seen_however_many_are_looked_at_at_once(
    lake_of_files: Lake, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_transaction, "MAX_SORTED_ROWS", at_once)
    with lake_of_files.begin_transaction() as transaction:
        for numbers in ((0, 1), (2,), (3, 4)):
            stage(transaction, units(*numbers))
        assert transaction.resolve_rows(UNITS) == IngestCounts(new=5)
    with lake_of_files.begin_transaction() as transaction:
        for numbers in ((0, 1), (2,), (3, 1)):
            stage(transaction, units(*numbers))
        assert transaction.resolve_rows(UNITS) == IngestCounts(new=4, twice=1)


def test_equal_rows_of_two_files_are_one_and_contradicting_ones_are_set_apart(lake: Lake) -> None:
    with lake.begin_transaction() as transaction:
        stage(transaction, units(0, 1), "a.csv")
        stage(transaction, units(0), "b.csv")
        stage(transaction, units(1, area=1.0), "c.csv")
        assert transaction.resolve_rows(UNITS) == IngestCounts(new=1, quarantined=2, twice=1)
        version = transaction.commit("tester")
    assert version is not None
    assert [(s.name, s.rows, s.quarantined) for s in version.sources] == [("a.csv", 2, 1), ("b.csv", 1, 0), ("c.csv", 1, 1)]
    apart = lake.quarantine()
    assert apart.select("file", "line").sort("file").rows() == [("a.csv", 3), ("c.csv", 2)]
    assert set(apart["reason"]) == {"the same key and known_at comes with different content in this ingest"}


def test_the_fate_of_rows_is_the_same_whether_it_is_decided_at_once_or_in_parts(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_transaction, "PART_ROWS", 2)
    add_units(lake, units(0, 1, 2, 3))
    with lake.begin_transaction() as transaction:
        stage(transaction, units(0, 1, 4, 5, 6), "a.csv", derived=True)
        stage(transaction, pl.concat([units(2, 5, area=9.0), units(6)]), "b.csv", derived=True)
        counts = transaction.resolve_rows(UNITS, datetime(2022, 5, 1), snapshot=True)
        assert counts == IngestCounts(new=2, same=2, changed=1, quarantined=2, gone=1, twice=1)
        transaction.commit("tester")
    assert lake.quarantine().select("file", "line").sort("file").rows() == [("a.csv", 5), ("b.csv", 3)]


def test_what_a_snapshot_no_longer_has_is_counted_and_what_changed_is_dated(lake: Lake) -> None:
    add_units(lake, units(0, 1, 2))
    now = datetime(2022, 5, 1)
    with lake.begin_transaction() as transaction:
        stage(transaction, pl.concat([units(0), units(1, area=1.0)]), derived=True)
        assert transaction.resolve_rows(UNITS, now, snapshot=True) == IngestCounts(same=1, changed=1, gone=1)
        transaction.commit("tester")
    rows = lake.scan("units").filter(pl.col("area_sqft") == 1.0).collect()
    assert rows[KNOWN_AT].to_list() == [now]
    assert lake.scan("units").collect().height == 4


def test_broken_rows_are_kept_with_their_line_and_reason(lake: Lake) -> None:
    broken = pl.DataFrame({"line": [7], "reason": ["bedrooms: 'x' is no number"], "row": ['{"unit_id": "U9"}']})
    with lake.begin_transaction() as transaction:
        source = transaction.add_source("units.csv", UNITS)
        kept = units(0).with_columns(pl.lit(2, pl.Int64).alias(LINE_COLUMN))
        transaction.stage_rows(UNITS, source, CheckResult(kept, broken), derived=False)
        transaction.resolve_rows(UNITS)
        version = transaction.commit("tester")
    assert version is not None
    assert version.quarantined == 1
    assert lake.quarantine().rows() == [("units", "units.csv", 7, "bedrooms: 'x' is no number", '{"unit_id": "U9"}')]


@pytest.mark.parametrize("left", [0, 60])
def test_a_damaged_file_of_the_quarantine_or_of_events_is_named(lake_of_files: Lake, left: int) -> None:
    stored = BytesIO()
    pl.DataFrame({"a": list(range(100))}).write_parquet(stored)
    with lake_of_files.begin_transaction() as transaction:
        stage(transaction, units(0))
        transaction.resolve_rows(UNITS)
        assert transaction.commit("tester") is not None
    for name in ("quarantine/00000001/units.parquet", "events/00000001/events.parquet"):
        lake_of_files.files.write(name, stored.getvalue()[:left])
    with pytest.raises(StorageError, match=r"quarantine/00000001/units\.parquet: damaged, its rows cannot be read; restore it"):
        lake_of_files.quarantine()
    with pytest.raises(StorageError, match=r"events/00000001/events\.parquet: damaged, its rows cannot be read; restore it"):
        EventFiles(lake_of_files.files).read(1)


def test_references_see_what_is_stored_and_what_is_staged_in_its_latest_version(lake: Lake) -> None:
    tables = small_tables()
    equipment = get_canonical_table("equipment")
    later = tables["equipment"].head(1).with_columns(kind=pl.lit("elevator"), known_at=pl.col(KNOWN_AT) + timedelta(days=1))
    with lake.begin_transaction() as transaction:
        for frame in (tables["equipment"], later):
            source = transaction.add_source("e.csv", equipment)
            numbered = frame.with_columns(pl.lit(2, pl.Int64).alias(LINE_COLUMN))
            transaction.stage_rows(equipment, source, CheckResult(numbered, NOTHING_BROKEN), derived=False)
        seen = transaction.read_references(ORDERS)["equipment"]
    assert seen.height == tables["equipment"].height
    assert seen.filter(pl.col("equipment_id") == later["equipment_id"][0])[KNOWN_AT].to_list() == later[KNOWN_AT].to_list()


@pytest.mark.parametrize("shift", [-10, 10])
def test_tables_are_complete_to_a_moment_that_never_goes_back(lake: Lake, shift: int) -> None:
    first = add_units(lake, units(0))
    with lake.begin_transaction() as transaction:
        stage(transaction, units(1))
        transaction.resolve_rows(UNITS)
        version = transaction.commit("tester", end=first.end + timedelta(days=shift))
    assert version is not None
    assert version.end == first.end + timedelta(days=max(shift, 0))


def test_the_same_rows_have_the_same_id_in_one_version_or_in_two(tmp_path: Path) -> None:
    one, two = Lake(tmp_path / "one"), Lake(tmp_path / "two")
    whole = add_units(one, units(0, 1, 2))
    first = add_units(two, units(2))
    second = add_units(two, units(1, 0))
    assert whole.id == second.id != first.id
    assert whole.tables["units"].digest == second.tables["units"].digest


def test_versions_differ_by_the_rows_that_only_one_of_them_has(lake: Lake) -> None:
    add_units(lake, units(0))
    add_units(lake, units(1, 2))
    assert lake.diff(1, 2) == {"units": (0, 2)}
    assert lake.diff(2, 1) == {"units": (2, 0)}
    assert lake.diff(1, 1) == {}


def test_a_restored_version_has_the_old_content_under_a_new_number(lake: Lake) -> None:
    first = add_units(lake, units(0))
    add_units(lake, units(1))
    restored = lake.restore(1, "someone")
    assert (restored.number, restored.parent, restored.action, restored.who) == (3, 2, "restore 1", "someone")
    assert (restored.id, restored.tables["units"].added) == (first.id, 0)
    assert lake.scan("units").collect()["unit_id"].to_list() == units(0)["unit_id"].to_list()
    assert lake.scan("units", 2).collect().height == 2
    after = add_units(lake, units(2))
    assert after.tables["units"].rows == lake.scan("units").collect().height == 2
    assert lake.scan("units", 2).collect().height == 2


def test_rows_of_an_ingest_that_was_killed_are_seen_by_nobody_and_not_by_the_next_version(lake: Lake) -> None:
    add_units(lake, units(0))
    units(1).write_delta(lake.root / "units", mode="append")
    assert lake.scan("units").collect().height == 1
    add_units(lake, units(2))
    assert lake.scan("units").collect()["unit_id"].sort().to_list() == ["U0", "U2"]


def test_a_manifest_that_describes_no_version_is_refused_by_its_path(lake_of_files: Lake) -> None:
    add_units(lake_of_files, units(0))
    manifest = lake_of_files.root / "versions" / "00000001.json"
    sound = json.loads(manifest.read_bytes())
    # What a later version of this program adds may change what the rest means.
    table = sound["tables"]["units"] | {"x": 1}
    strange = [json.dumps(sound | more) for more in ({"encryption": "x"}, {"tables": {"units": table}})]
    for content in ("{", "{}", "[]", *strange):
        manifest.write_text(content)
        with pytest.raises(LakeError, match=r"00000001\.json: does not describe a data version"):
            lake_of_files.version(1)


def test_a_manifest_names_the_delta_version_of_each_table(lake_of_files: Lake) -> None:
    add_units(lake_of_files, units(0))
    version = add_units(lake_of_files, units(1))
    stored = json.loads((lake_of_files.root / "versions" / "00000002.json").read_text())
    assert stored["tables"]["units"]["delta_version"] == DeltaTable(lake_of_files.root / "units").version()
    assert lake_of_files.version(2) == version


def test_an_empty_lake_has_no_rows_and_says_how_to_begin(lake: Lake) -> None:
    assert lake.scan("units").collect().schema == UNITS.schema
    assert lake.frames() == {}
    assert lake.quarantine().is_empty()
    with pytest.raises(LakeError, match=r"no data version in .* yet; read your tables"):
        lake.tables()
    with pytest.raises(LakeError, match="there is none yet"):
        lake.version(1)


def test_the_files_of_a_delta_table_are_listed_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    place = tmp_path / "table"
    assert not is_delta(tmp_path)
    for n in range(3):
        pl.DataFrame({"n": [n]}).write_delta(place, mode="append")
    assert is_delta(place)
    assert [pl.read_parquet(path)["n"].to_list() for path in list_delta_files(place)] == [[0], [1], [2]]
    assert len(list_delta_files(place, version=0)) == 1


def test_a_delta_table_without_rows_is_refused(tmp_path: Path) -> None:
    pl.DataFrame(schema={"n": pl.Int64}).write_delta(tmp_path / "table")
    with pytest.raises(LakeError, match="a Delta table without rows"):
        list_delta_files(tmp_path / "table")


def test_only_one_change_at_a_time_is_made_of_a_lake_wherever_its_log_is(lake: Lake) -> None:
    with lake.begin_transaction(), pytest.raises(LakeError, match="another ingest is running"), lake.begin_transaction():
        pass
    with lake.begin_transaction() as transaction:
        stage(transaction, units(0))
        assert transaction.commit("tester") is not None


def test_a_number_that_another_took_meanwhile_is_refused(lake: Lake) -> None:
    with lake.begin_transaction() as transaction:
        stage(transaction, units(0))
        assert lake.versions.add_manifest(1, "0" * 64, b"{}")
        with pytest.raises(LakeError, match="was made by another ingest meanwhile"):
            transaction.commit("tester")
