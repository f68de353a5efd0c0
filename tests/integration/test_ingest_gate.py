"""The gate of an ingest, which reads no more than it needs, says what a comparison of the whole tables says."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from tests.quality_histories import END, IS_NEW, PARENT_END, payments
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.adapters.sources.folder import list_canonical_files
from epic22.core.quality.version_comparison import VersionPair, compare_versions
from epic22.core.tables.canonical import KNOWN_AT
from epic22.core.tables.versions import LakeVersion
from epic22.services.ingest import IngestRequest, ingest
from epic22.services.ingest_gate import QualityGate, describe_finding

pytestmark = pytest.mark.slow
GATE = QualityGate(accepted_because="for the test")


def store(lake: Lake, folder: Path, tables: dict[str, pl.DataFrame], end: datetime) -> LakeVersion:
    files = list_canonical_files(write_tables(folder, tables, "parquet"))
    version = ingest(files, lake, IngestRequest("tester", end, end, GATE)).version
    assert version is not None
    return version


def compare_whole(lake: Lake, number: int) -> set[str]:
    """What the comparison of the two versions' whole tables finds."""
    parent, version = lake.version(number - 1), lake.version(number)
    pair = VersionPair(lake.frames(number), lake.frames(number - 1), parent.end, version.end)
    return {describe_finding(one) for one in compare_versions(pair).findings}


def read_notes(version: LakeVersion) -> set[str]:
    return {note.partition(": ")[2] for note in version.notes if note.startswith("quality")}


def tenants() -> pl.DataFrame:
    rows = payments(a_month=60)
    income = (pl.col("amount") * 40).alias("household_income")
    return rows.select(income, tenant_id="payment_id", screening_risk=pl.lit("low"), created_at="paid_on", known_at="known_at")


LOST = pl.when(IS_NEW).then(None).otherwise("household_income").alias("household_income")
FAULTS = {
    "sound": tenants(),
    "emptied": tenants().with_columns(LOST),
    "a third of the rows": tenants().filter(~IS_NEW | (pl.int_range(pl.len()) % 3 == 0)),
    "larger": tenants().with_columns(pl.when(IS_NEW).then(pl.col("household_income") * 9).otherwise("household_income")),
    "no rows": tenants().filter(~IS_NEW).with_columns(screening_risk=pl.lit("high")).drop(KNOWN_AT),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_gate_says_what_the_whole_tables_say(tmp_path: Path, fault: str) -> None:
    lake = Lake(tmp_path / "lake")
    before = tenants().filter(~IS_NEW)
    store(lake, tmp_path / "one", {"tenants": before if fault != "no rows" else before.drop(KNOWN_AT)}, PARENT_END)
    version = store(lake, tmp_path / "two", {"tenants": FAULTS[fault]}, END)
    assert read_notes(version) == compare_whole(lake, 2)
    assert bool(read_notes(version)) == (fault != "sound")


def test_tables_of_what_there_is_are_compared_whole(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    tables = {name: small_tables(units=40)[name].drop(KNOWN_AT) for name in ("properties", "units")}
    store(lake, tmp_path / "one", tables, datetime(2024, 1, 1))
    metric = tables["units"].with_columns(pl.col("area_sqft") / 2)
    version = store(lake, tmp_path / "two", {"units": metric}, datetime(2024, 2, 1))
    assert read_notes(version) == compare_whole(lake, 2)
    assert {note.split(":")[0] for note in read_notes(version)} == {
        "units.area_sqft, distribution moved",
        "units.area_sqft, rows changed",
    }
