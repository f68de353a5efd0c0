"""`epic22 data quality` and the gate of `ingest`, as typed: exit codes, JSON of the committed form, no traceback."""

import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from pydantic import TypeAdapter
from tests.quality_histories import END, IS_NEW, PARENT_END, payments
from tests.shell import Shell
from tests.small_tables import small_tables, write_tables

from epic22.reports.quality_document import QualityDocument, format_quality_schema

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DOCUMENT = TypeAdapter(QualityDocument)
pytestmark = pytest.mark.slow


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(tmp_path, capsys, monkeypatch)


def portfolio_tables(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The payments with the leases and charges that they refer to, all known from the beginning."""
    tables = small_tables(units=1)
    known = datetime(2021, 1, 1)
    charges = rows.select("charge_id", pl.col("paid_on").alias("due_on"), "amount").unique("charge_id", maintain_order=True)
    charges = charges.with_columns(lease_id=pl.lit("L0"), kind=pl.lit("rent"), known_at=pl.col("due_on"))
    names = ("properties", "units", "tenants", "leases")
    return {name: tables[name].with_columns(known_at=known) for name in names} | {"charges": charges, "payments": rows}


def ingest_month(shell: Shell, rows: pl.DataFrame, end: datetime, *options: str) -> tuple[int, str, str]:
    """Ingest the payments with all that they refer to, complete to the end."""
    folder = write_tables(shell.folder / f"{end:%Y-%m}-{rows.height}", portfolio_tables(rows), "parquet")
    return shell("ingest", str(folder), "--as-of", f"{end:%Y-%m-%d}", *options)


def test_the_committed_schema_is_that_of_the_document() -> None:
    assert (REFERENCE / "quality.schema.json").read_text(encoding="utf-8") == format_quality_schema()


def test_the_quality_of_a_version_is_told_against_its_parent(shell: Shell) -> None:
    frame = payments()
    assert ingest_month(shell, frame.filter(~IS_NEW), PARENT_END)[0] == 0
    first = shell.json("data", "quality")
    assert DOCUMENT.validate_python(first, strict=False).parent is None
    assert first["untested"] == ["the first version: nothing lies before it to compare with."]
    assert ingest_month(shell, frame, END)[0] == 0
    document = shell.json("data", "quality", "2")
    assert DOCUMENT.validate_python(document).format == 1
    assert document["parent"] == 1
    assert document["tests"]
    assert not [f for f in document["findings"] if f["level"] in ("refuse", "quarantine", "warn")]
    code, out, err = shell("data", "quality", "2")
    assert code == 0
    assert "nothing moved" in out
    assert "Traceback" not in out + err


def test_a_version_that_is_not_there_is_a_mistake_in_the_input(shell: Shell) -> None:
    code, _, err = shell("data", "quality")
    assert code == 2
    assert "no data version" in err
    ingest_month(shell, payments().filter(~IS_NEW), PARENT_END)
    code, _, err = shell("data", "quality", "9")
    assert code == 2
    assert err == "epic22: no data version 9; there are 1 to 1.\n" or err.endswith("no data version 9; there are 1 to 1.\n")
    assert "Traceback" not in err


def test_an_empty_first_version_has_nothing_wrong(shell: Shell) -> None:
    folder = write_tables(shell.folder / "one", {"properties": small_tables()["properties"].head(1)})
    assert shell("ingest", str(folder))[0] == 0
    assert DOCUMENT.validate_python(shell.json("data", "quality")).findings == []


def test_json_of_a_document_is_json(shell: Shell) -> None:
    ingest_month(shell, payments().filter(~IS_NEW), PARENT_END)
    code, out, _ = shell("data", "quality", "--json")
    assert code == 0
    assert json.loads(out)["version"] == 1
