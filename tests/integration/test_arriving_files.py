"""Files as they arrive: a followed folder, an address of object storage, GeoJSON, numbers with decimal commas."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.object_storage import new_bucket, storage_environment
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables
from tests.waiting import wait_until

from epic22 import bootstrap
from epic22.adapters.file_store import open_file_store
from epic22.adapters.lake import Lake
from epic22.bootstrap.follow import FollowOptions, follow_folder
from epic22.bootstrap.ingest_and_audit import ingest_sources
from epic22.config import Settings
from epic22.core.errors import StorageError
from epic22.services.follow import FileRefused, FilesLeft, FilesStored, FilesWaiting, Outcome


class StopError(Exception):
    """The end of a followed folder in a test."""


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


def follow(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *steps: Callable[[], object], mapping: Path | None = None
) -> list[Outcome]:
    """What is reported of a folder in which a step is done at each pause between two looks; after the last one it ends."""
    reports: list[Outcome] = []
    remaining = list(steps)

    def pause(seconds: float) -> None:
        if not remaining:
            raise StopError
        remaining.pop(0)()

    with monkeypatch.context() as patch:
        patch.setattr("epic22.bootstrap.follow.time.sleep", pause)
        components = bootstrap.assemble(Settings.read())
        with pytest.raises(StopError):
            follow_folder(components, FollowOptions(folder, mapping), bootstrap.IngestOptions(), reports.append)
    return reports


def wait() -> None:
    """A pause in which nothing comes."""


def name_reports(reports: list[Outcome]) -> list[object]:
    return [one.names if isinstance(one, FilesStored) else one for one in reports]


def test_a_file_is_ingested_once_when_two_looks_see_the_same(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, tables = shell.folder / "in", small_tables()
    folder.mkdir()
    content = tables["properties"].write_csv(datetime_format="%Y-%m-%dT%H:%M:%S")

    def grow(share: float) -> Callable[[], object]:
        return lambda: (folder / "properties.csv").write_text(content[: int(len(content) * share)])

    reports = follow(monkeypatch, folder, grow(0.4), grow(0.8), grow(1.0), wait, wait, wait)
    assert name_reports(reports) == [("properties.csv",)]
    assert Lake(shell.home / "lake").scan("properties").collect().height == 3
    assert len(Lake(shell.home / "lake").log()) == 1


def test_a_restart_reads_no_file_again_and_a_changed_one_is_another(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"].head(1)})
    assert name_reports(follow(monkeypatch, folder, wait, wait)) == [("properties.csv",)]
    assert follow(monkeypatch, folder, wait, wait) == []
    write_tables(folder, {"properties": small_tables()["properties"]})
    reports = follow(monkeypatch, folder, wait, wait)
    assert name_reports(reports) == [("properties.csv",)]
    assert isinstance(reports[0], FilesStored)
    assert reports[0].result.counts["properties"].new == 2
    assert reports[0].result.counts["properties"].gone == 0


@pytest.mark.slow
def test_a_file_that_was_stored_and_not_noted_before_a_kill_is_not_read_again(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"]})
    follow(monkeypatch, folder, wait, wait)
    (record,) = (shell.home / "followed").iterdir()
    noted = record.read_text()
    record.unlink()
    assert follow(monkeypatch, folder, wait, wait) == []
    assert record.read_text() == noted


@pytest.mark.slow
def test_without_its_record_another_file_is_read_and_gives_what_is_new(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"]})
    follow(monkeypatch, folder, wait, wait)
    next((shell.home / "followed").iterdir()).write_text("{torn")
    with (folder / "properties.csv").open("a") as file:
        file.write("\n")
    reports = follow(monkeypatch, folder, wait, wait)
    assert isinstance(reports[0], FilesStored)
    assert reports[0].result.version is None


@pytest.mark.slow
def test_a_wrong_file_keeps_no_other_out_and_is_tried_again_when_it_is_another(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = small_tables()
    folder = write_tables(shell.folder / "in", {name: tables[name] for name in ("properties", "units")})
    (folder / "equipment.csv").write_text("a,b\n1,2\n")

    def mend() -> None:
        write_tables(folder, {"equipment": tables["equipment"]})

    reports = follow(monkeypatch, folder, wait, wait, mend, wait, wait)
    assert [one.names for one in reports if isinstance(one, FilesStored)] == [
        ("properties.csv",),
        ("units.csv",),
        ("equipment.csv",),
    ]
    refused = [one for one in reports if isinstance(one, FileRefused)]
    assert [one.name for one in refused] == ["equipment.csv"]
    assert "no column" in refused[0].reason


@pytest.mark.slow
def test_a_file_that_is_written_to_while_it_is_read_gives_nothing_before_it_is_complete(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from epic22.adapters.sources import folder as folder_module
    from epic22.adapters.sources.file_reader import read_batches

    folder, tables = shell.folder / "in", small_tables()
    write_tables(folder, {"properties": tables["properties"].head(1)})
    changes = [lambda: write_tables(folder, {"properties": tables["properties"]})]

    def read(path: Path) -> Any:
        yield from read_batches(path)
        if changes:
            changes.pop()()

    monkeypatch.setattr(folder_module, "read_batches", read)
    reports = follow(monkeypatch, folder, wait, wait, wait)
    assert [type(one) for one in reports] == [FileRefused, FilesStored]
    assert isinstance(reports[0], FileRefused)
    assert "written to while it was read" in reports[0].reason
    assert Lake(shell.home / "lake").scan("properties").collect().height == 3


@pytest.mark.slow
def test_files_that_a_mapping_names_are_followed_and_need_not_be_there_yet(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, mapping = shell.folder / "in", shell.folder / "mapping.yaml"
    folder.mkdir()
    columns = {name: name for name in small_tables()["units"].columns}
    mapping.write_text(json.dumps({"source": "erp", "tables": {"units": {"files": ["homes-*.csv"], "columns": columns}}}))
    write_tables(shell.folder / "base", {"properties": small_tables()["properties"]})
    shell.json("ingest", "base")
    units = small_tables()["units"]

    def arrive(number: int) -> Callable[[], object]:
        return lambda: units[[number]].write_csv(folder / f"homes-{number}.csv", datetime_format="%Y-%m-%dT%H:%M:%S")

    reports = follow(monkeypatch, folder, wait, arrive(0), wait, arrive(1), wait, wait, mapping=mapping)
    assert name_reports(reports) == [("erp/homes-0.csv",), ("erp/homes-1.csv",)]
    assert Lake(shell.home / "lake").scan("units").collect().height == 2


def test_what_is_named_after_no_table_is_said_once_and_by_an_ingest_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"]})
    for name in ("Tenants.CSV", "tenents.csv", "readme.md", ".units.csv"):
        (folder / name).write_text("a\n1\n")
    reports = follow(monkeypatch, folder, wait, wait, wait)
    assert name_reports(reports) == [FilesLeft(("Tenants.CSV", "tenents.csv")), ("properties.csv",)]
    code, out, _ = shell("ingest", "in")
    assert code == 0
    assert "no table has such a name: Tenants.CSV (is it 'tenants.csv'?), tenents.csv" in " ".join(out.split())


def test_a_file_is_tried_again_when_the_store_that_was_away_is_back(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"]})
    answers = [StorageError("the database does not answer.")]

    def ingest_unless_away(*arguments: Any) -> Any:
        if answers:
            raise answers.pop()
        return ingest_sources(*arguments)

    monkeypatch.setattr("epic22.bootstrap.follow.ingest_sources", ingest_unless_away)
    reports = follow(monkeypatch, folder, wait, wait, wait)
    assert name_reports(reports) == [FilesWaiting("the database does not answer."), ("properties.csv",)]


def test_a_disk_that_is_full_is_named_though_the_library_does_not_say_which(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"]})

    def fail(*_: Any) -> None:
        raise OSError("LocalFileSystem error: No space left on device (os error 28)")

    monkeypatch.setattr("epic22.bootstrap.ingest_and_audit.ingest", fail)
    code, out, err = shell("ingest", str(folder))
    assert (code, out) == (2, "")
    assert f"EPIC22_HOME {shell.home}" in err
    assert "the disk is full" in err


def test_a_file_with_the_columns_of_a_table_and_another_name_is_said_to_be_one(shell: Shell) -> None:
    folder = write_tables(shell.folder / "in", {"properties": small_tables()["properties"]})
    (folder / "properties.csv").rename(folder / "export.csv")
    code, _, err = shell("ingest", str(folder))
    assert code == 2
    assert "export.csv has the columns of properties, and not its name. Nothing was stored." in err


def test_what_cannot_be_followed_is_one_sentence(shell: Shell) -> None:
    for arguments, words in (
        (("nowhere", "--follow"), "nowhere is no folder"),
        (("s3://bucket/x", "--follow"), "--follow needs a FOLDER"),
        (("--follow",), "--follow needs a FOLDER"),
        ((".", "--follow", "--as-of", "2024-01-01"), "leave it out with --follow"),
    ):
        code, _, err = shell("ingest", *arguments)
        assert code == 2, arguments
        assert words in err
        assert err.count("\n") == 1


@pytest.mark.slow
def test_a_follower_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, home, tables = tmp_path / "in", tmp_path / "home", small_tables()
    folder.mkdir()
    command = [
        sys.executable,
        "-c",
        "from epic22.cli.main import run; run()",
        "ingest",
        str(folder),
        "--follow",
        "--every",
        "0.2",
    ]

    def start() -> "subprocess.Popen[bytes]":
        environment = os.environ | {"EPIC22_HOME": str(home)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    lake = Lake(home / "lake")
    running = start()
    write_tables(folder, {"properties": tables["properties"]})
    wait_until(lambda: len(lake.log()) == 1, 180)
    running.kill()
    running.communicate()
    write_tables(folder, {"units": tables["units"]})
    running = start()
    wait_until(lambda: len(lake.log()) == 2, 180)
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert (running.returncode, errors) == (130, b"epic22: stopped; nothing half-written was left.\n")
    assert [[source.name for source in version.sources] for version in lake.log()] == [["properties.csv"], ["units.csv"]]


@pytest.mark.slow
def test_tables_are_ingested_from_object_storage_as_from_a_folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    address, tables = new_bucket(), small_tables()
    for name, value in storage_environment().items():
        monkeypatch.setenv(name, value)
    folder, files = write_tables(shell.folder / "in", tables), open_file_store(address)
    (folder / "units.csv").rename(folder / "part.csv")
    for path in folder.iterdir():
        files.write("units/part.csv" if path.name == "part.csv" else path.name, path.read_bytes())
    files.write("readme.txt", b"no table")
    taken = shell.json("ingest", f"{address}/")
    assert {source["name"] for source in taken["version"]["sources"]} >= {f"{address}/leases.csv", f"{address}/units/part.csv"}
    stored = Lake(shell.home / "lake").resolve_version()
    assert stored.rows == sum(frame.height for frame in tables.values())
    assert not any((shell.home / "scratch").iterdir())
    files.write("units/part.csv", b"a,b\n1,2\n")
    code, out, err = shell("ingest", address)
    assert (code, out) == (2, "")
    assert "units/part.csv: units: no column" in err
    assert str(shell.home) not in err
    code, out, err = shell("ingest", f"{address}/nothing")
    assert (code, out) == (2, "")
    assert "no file of a known kind below it" in err
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    code, out, err = shell("ingest", address)
    assert (code, out) == (2, "")
    assert "refused it" in err
    assert "another-secret" not in err


def test_an_address_of_another_kind_is_no_folder(shell: Shell) -> None:
    code, _, err = shell("ingest", "https://example.org/exports")
    assert code == 2
    assert "only s3://bucket/folder" in err


def test_points_and_properties_of_geojson_are_columns(shell: Shell) -> None:
    (shell.folder / "in").mkdir()
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [-97.74 - number, 30.27, 150]},
            "properties": {"property_id": f"P{number}", "name": "Ätrium", "city": "Austin", "state": "TX", "zip_code": "78701"}
            | {"property_type": "apartment", "total_units": 4, "known_at": "2021-01-01"},
        }
        for number in range(3)
    ]
    features[2]["geometry"] = {"type": "Point", "coordinates": [200, 30]}
    document = {"type": "FeatureCollection", "features": [*features, "none"]}
    (shell.folder / "in" / "properties.geojson").write_text(json.dumps(document))
    shell.json("ingest", "in")
    lake = Lake(shell.home / "lake")
    rows = lake.scan("properties").collect().sort("property_id")
    assert rows.select("property_id", "name", "longitude", "latitude").rows() == [
        ("P0", "Ätrium", -97.74, 30.27),
        ("P1", "Ätrium", -98.74, 30.27),
    ]
    apart = lake.quarantine().sort("line")
    assert apart["line"].to_list() == [3, 4]
    assert "longitude is 200" in apart["reason"][0]
    assert apart["reason"][1] == "no JSON record"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("[1]", "no GeoJSON with features"),
        ("{", "expected GeoJSON"),
        ('{"features": [], "crs": {"properties": {"name": "EPSG:25832"}}}', "export it as WGS 84"),
    ],
)
def test_a_document_that_is_no_geojson_of_degrees_is_refused(shell: Shell, document: str, words: str) -> None:
    (shell.folder / "in").mkdir()
    (shell.folder / "in" / "properties.geojson").write_text(document)
    code, out, err = shell("ingest", "in")
    assert (code, out) == (2, "")
    assert words in err


def test_decimal_commas_are_read_as_such_and_said(shell: Shell) -> None:
    folder = write_tables(shell.folder / "in", {name: frame for name, frame in small_tables().items() if name != "leases"})
    leases = small_tables()["leases"]
    rents = ["1.450,00", "900", "2.000,5", "n/a", *["1000,25"] * (leases.height - 4)]
    text = leases.with_columns(monthly_rent=pl.Series(rents), deposit=pl.lit("500.50"))
    text.write_csv(folder / "leases.csv", separator=";", datetime_format="%Y-%m-%dT%H:%M:%S")
    taken = shell.json("ingest", "in")
    assert "leases.csv: leases.monthly_rent is written with decimal commas" in taken["notes"]
    rows = Lake(shell.home / "lake").scan("leases").collect().sort("lease_id")
    by_id = dict(zip(rows["lease_id"], map(str, rows["monthly_rent"]), strict=True))
    assert (by_id["L0"], by_id["L1"], by_id["L2"], by_id["L4"]) == ("1450.00", "900.00", "2000.50", "1000.25")
    assert set(map(str, rows["deposit"])) == {"500.50"}
    assert "L3" not in by_id


@pytest.mark.slow
def test_numbers_that_may_be_grouped_by_commas_are_not_taken_for_others(shell: Shell) -> None:
    folder = write_tables(shell.folder / "in", small_tables())
    leases = small_tables()["leases"]
    leases.with_columns(monthly_rent=pl.Series(["1,450"] * 3 + ["900"] * (leases.height - 3))).write_csv(
        folder / "leases.csv", separator=";", datetime_format="%Y-%m-%dT%H:%M:%S"
    )
    taken = shell.json("ingest", "in")
    assert not any("decimal commas" in note for note in taken["notes"])
    assert Lake(shell.home / "lake").quarantine()["reason"].str.contains("monthly_rent is 1,450").sum() == 3
