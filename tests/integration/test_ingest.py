"""`epic22 ingest` and `epic22 data` as a user meets them, and a real foreign source through its mapping."""

import json
import os
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from tests.lakes import take_in
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA") or ROOT.parent / "shared" / "data") / "maintenance" / "azure_pdm"
AZURE = ROOT / "docs" / "how-to" / "mappings" / "azure_pdm.yaml"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys, monkeypatch)


def test_a_folder_becomes_a_version_and_can_be_looked_at(shell: Shell, tmp_path: Path) -> None:
    tables = small_tables()
    tables["units"] = tables["units"].with_columns(
        pl.when(pl.col("unit_id") == "U1").then(-1).otherwise("bedrooms").alias("bedrooms")
    )
    folder = write_tables(tmp_path / "in", {name: tables[name] for name in ("properties", "units")})
    code, out, err = shell("ingest", str(folder), "--as-of", "2022-01-01", "--source", "office")
    assert (code, err) == (0, "properties: office/properties.csv …\nunits: office/units.csv …\nstoring …\n")
    assert "1 row was quarantined; see it with 'epic22 data quarantine 1'." in out
    code, out, _ = shell("data", "log")
    assert code == 0
    assert "office/properties.csv, office/units.csv" in out
    code, out, _ = shell("data", "show", "--json")
    shown = json.loads(out)
    assert (shown["rows"], shown["quarantined"], shown["end"]) == (14, 1, "2022-01-01T00:00:00")
    code, out, _ = shell("data", "quarantine", "--json")
    assert [(r["file"], r["line"], r["reason"]) for r in json.loads(out)] == [
        ("office/units.csv", 3, "bedrooms is -1, expected from 0 to 20")
    ]
    code, out, _ = shell("data", "show", "--table", "units", "--rows", "2", "--json")
    assert [row["unit_id"] for row in json.loads(out)] == ["U0", "U2"]


def test_restore_and_diff_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    tables = small_tables()
    shell("ingest", str(write_tables(tmp_path / "a", {"properties": tables["properties"]})))
    shell("ingest", str(write_tables(tmp_path / "b", {"units": tables["units"]})))
    assert json.loads(shell("data", "diff", "1", "2", "--json")[1]) == {"units": {"only_in_a": 0, "only_in_b": 12}}
    code, out, _ = shell("data", "restore", "1")
    assert code == 0
    assert "Data version 3 holds what version 1 held" in out
    assert "hold the same rows" in shell("data", "diff", "1", "3")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ingest", "nowhere"), "nowhere is no folder"),
        (("ingest", "."), "no file named after a table; expected e.g. leases.csv"),
        (("ingest", ".", "--as-of", "soon"), "--as-of 'soon' is no moment"),
        (("ingest", ".", "--mapping", "none.yaml"), "none.yaml cannot be read"),
        (("data", "show"), "no data version"),
        (("data", "restore", "7"), "no data version 7; there is none yet"),
    ],
)
def test_a_user_s_mistake_is_one_sentence_and_exit_code_two(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = shell(*arguments)
    assert code == 2
    assert said in err
    assert err.endswith(".\n")
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no public data in {DATA}; set EPIC22_PUBLIC_DATA")
def test_azure_s_machines_come_in_through_their_mapping(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    take_in(lake, DATA, mapping=AZURE)
    frames = lake.frames()
    assert {name: frame.height for name, frame in frames.items() if name != "sensor_readings"} == {
        "properties": 100,
        "equipment": 400,
        "work_orders": 3300,
    }
    orders = frames["work_orders"]
    assert orders["kind"].value_counts().sort("kind").rows() == [("corrective", 761), ("preventive", 2539)]
    failed = orders.filter(pl.col("kind") == "corrective")
    assert orders.filter(pl.col("kind") == "preventive").join(failed, on=["equipment_id", "opened_at"], how="semi").height == 0
    readings = frames["sensor_readings"]
    errors = pl.read_csv(DATA / "PdM_errors.csv")
    hours = errors.select("datetime", "machineID").n_unique()
    assert readings.filter(pl.col("kind") == "error").height == 4 * hours
    assert readings.filter(pl.col("kind") != "error").height == 4 * errors.height
    age = pl.read_csv(DATA / "PdM_machines.csv").filter(pl.col("machineID") == 1)["age"][0]
    first = frames["equipment"].filter(pl.col("equipment_id") == "machine-1-comp1").row(0, named=True)
    assert first["installed_on"] == datetime(2020 - age, 1, 1)
    kinds = frames["equipment"].group_by("kind").len().sort("kind")
    assert kinds.rows() == [("appliance", 100), ("electrical", 100), ("hvac", 100), ("plumbing", 100)]
    of_component = orders.join(frames["equipment"].select("equipment_id", pl.col("kind").alias("stand_in")), on="equipment_id")
    assert of_component.filter(pl.col("category") != pl.col("stand_in")).height == 0
    apart = lake.quarantine()
    assert apart["line"].to_list() == [1260, 1261, 1262, 1263]
    assert all("opened_at not before the equipment's installed_on" in reason for reason in apart["reason"])
    assert lake.tables().end == datetime(2021, 1, 2)
    assert lake.resolve_version().id.startswith("ce54871d7bc1")
