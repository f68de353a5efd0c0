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


def tenant_tables(seed: int = 0) -> pl.DataFrame:
    """Forty tenants a month, whose income is mostly known."""
    rows = payments(seed, a_month=60)
    return rows.select(
        tenant_id="payment_id",
        screening_risk=pl.lit("low"),
        household_income=pl.when(pl.int_range(pl.len()) % 10 != 0).then(pl.col("amount") * 40),
        created_at="paid_on",
        known_at="known_at",
    )


def ingest_tenants(shell: Shell, rows: pl.DataFrame, name: str, *options: str) -> tuple[int, str, str]:
    folder = write_tables(shell.folder / name, {"tenants": rows}, "parquet")
    return shell("ingest", str(folder), *options)


NO_INCOME = pl.when(~IS_NEW).then("household_income").alias("household_income")


def test_an_ingest_of_an_emptied_column_stores_nothing_until_it_is_accepted(shell: Shell) -> None:
    rows = tenant_tables()
    assert ingest_tenants(shell, rows.filter(~IS_NEW), "before", "--as-of", f"{PARENT_END:%Y-%m-%d}")[0] == 0
    as_of = ("--as-of", f"{END:%Y-%m-%d}")
    code, _, err = ingest_tenants(shell, rows.with_columns(NO_INCOME), "emptied", *as_of)
    assert code == 2
    assert "tenants.household_income, column emptied: 100 % of household_income is missing" in err
    assert "Nothing was stored." in err
    assert "--accept-quality" in err
    assert "Traceback" not in err
    assert len(shell.json("data", "log")) == 1
    code, out, err = ingest_tenants(
        shell, rows.with_columns(NO_INCOME), "emptied", *as_of, "--accept-quality", "not asked any more"
    )
    assert code == 0, err
    notes = shell.json("data", "show")["notes"]
    assert any("not asked any more" in note and "household_income" in note for note in notes)
    code, out, err = shell("data", "quality")
    assert code == 2
    assert "refuse" in out
    assert "Traceback" not in out + err


def test_a_reason_has_to_be_given(shell: Shell) -> None:
    code, _, err = ingest_tenants(shell, tenant_tables(), "any", "--accept-quality", " ")
    assert code == 2
    assert "say why" in err


def test_a_warning_is_a_note_of_the_version(shell: Shell) -> None:
    rows = tenant_tables()
    assert ingest_tenants(shell, rows.filter(~IS_NEW), "before", "--as-of", f"{PARENT_END:%Y-%m-%d}")[0] == 0
    third = rows.filter(~IS_NEW | (pl.int_range(pl.len()) % 3 == 0))
    code, out, err = ingest_tenants(shell, third, "third", "--as-of", f"{END:%Y-%m-%d}")
    assert code == 0, err
    assert any(note.startswith("quality: tenants, row count moved") for note in shell.json("data", "show")["notes"])
    assert "row count moved" in out


def test_another_level_in_a_file_of_checks_lets_it_in_and_stops_a_warning(shell: Shell) -> None:
    rows = tenant_tables()
    assert ingest_tenants(shell, rows.filter(~IS_NEW), "before", "--as-of", f"{PARENT_END:%Y-%m-%d}")[0] == 0
    checks = shell.folder / "checks.yaml"
    checks.write_text("checks:\n  emptied_columns: warn\n  row_counts: {level: refuse, limit: 1.2}\n", encoding="utf-8")
    as_of = ("--as-of", f"{END:%Y-%m-%d}", "--checks", str(checks))
    third = rows.filter(~IS_NEW | (pl.int_range(pl.len()) % 3 == 0))
    code, _, err = ingest_tenants(shell, third, "third", *as_of)
    assert code == 2
    assert "tenants, row count moved" in err
    code, out, _ = ingest_tenants(shell, rows.with_columns(NO_INCOME), "emptied", *as_of)
    assert code == 0
    assert "note: quality: tenants.household_income, column emptied" in out.replace("\n", " ")


def test_a_key_that_names_another_thing_is_set_apart(shell: Shell) -> None:
    tables = {name: frame for name, frame in small_tables().items() if name in ("properties", "units")}
    assert shell("ingest", str(write_tables(shell.folder / "one", tables)))[0] == 0
    moved = pl.col("unit_id") == "U0"
    later = tables["units"].with_columns(
        pl.when(moved).then(pl.lit("P2")).otherwise("property_id").alias("property_id"),
        pl.when(moved).then(pl.lit(datetime(2024, 1, 1))).otherwise("known_at").alias("known_at"),
    )
    code, _, err = shell("ingest", str(write_tables(shell.folder / "two", {"units": later})))
    assert code == 0, err
    apart = shell.json("data", "quarantine")
    assert [(row["table"], row["line"], row["reason"]) for row in apart] == [
        ("units", 2, "unit_id names another thing than before: its property_id is another")
    ]
    assert shell.json("data", "show")["tables"]["units"]["rows"] == tables["units"].height


def test_a_snapshot_that_lost_most_of_its_rows_is_refused(shell: Shell) -> None:
    tables = {name: frame.drop("known_at") for name, frame in small_tables().items() if name in ("properties", "units")}
    assert shell("ingest", str(write_tables(shell.folder / "one", tables)), "--as-of", "2024-01-01")[0] == 0
    half = {"units": tables["units"].head(5).with_columns(pl.col("area_sqft") + 1)}
    code, _, err = shell("ingest", str(write_tables(shell.folder / "two", half)), "--as-of", "2024-02-01")
    assert code == 2
    assert "units, rows gone: 7 of 12 rows (58.3%) of the parent are gone." in err


def break_rows(rows: pl.DataFrame, share: float) -> pl.DataFrame:
    """The rows, of which a share have no amount, which none may lack."""
    broken = pl.int_range(pl.len()) < int(share * rows.height)
    return rows.with_columns(amount=pl.when(broken).then(None).otherwise("amount"))


def list_alarms(shell: Shell) -> list[tuple[str, str, str]]:
    findings = shell.json("data", "quality")["findings"]
    return [(one["table"], one["what"], one["level"]) for one in findings if one["level"] in ("refuse", "quarantine", "warn")]


def test_a_source_many_of_whose_rows_are_broken_raises_an_alarm_in_a_first_version_too(shell: Shell) -> None:
    before = payments().filter(~IS_NEW)
    assert ingest_month(shell, break_rows(before, 0.1), PARENT_END)[0] == 0
    assert ("payments", "rows set apart", "warn") in list_alarms(shell)
    (note,) = [note for note in shell.json("data", "log")[0]["notes"] if note.startswith("quality: payments")]
    assert f"payments, rows set apart: {int(0.1 * before.height):,} of {before.height:,} rows" in note


def test_few_broken_rows_raise_none_and_another_level_or_limit_holds(shell: Shell) -> None:
    before = payments().filter(~IS_NEW)
    (shell.folder / "strict.yaml").write_text("checks: {rows_set_apart: {level: refuse, limit: 0.01}}")
    code, _, err = ingest_month(shell, break_rows(before, 0.03), PARENT_END, "--checks", "strict.yaml")
    assert code == 2
    assert "payments, rows set apart:" in err
    assert "Nothing was stored." in err
    assert shell.json("data", "log") == []
    assert ingest_month(shell, break_rows(before, 0.03), PARENT_END)[0] == 0
    assert ("payments", "rows set apart", "warn") not in list_alarms(shell)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("check: {}", "checks.yaml: 'check' is not known here (did you mean checks?)"),
        ("checks: {row_count: warn}", "checks.yaml: checks: 'row_count' is not known here (did you mean row_counts?)"),
        ("checks: {row_counts: stop}", "checks.yaml: checks.row_counts: 'stop' is no level"),
        ("checks: {row_counts: quarantine}", "checks.yaml: checks.row_counts: row_counts names no rows that could be set apart"),
        ("checks: {row_counts: {limit: many}}", "checks.yaml: checks.row_counts.limit: expected a number above 0, found 'many'"),
        ("checks: {units: {limit: 3}}", "checks.yaml: checks.units.limit: units has none"),
        ("alpha: 3", "checks.yaml: alpha: expected a number above 0 and below 0.2, found '3'"),
        ("ignore: [lease]", "checks.yaml: ignore: 'lease' is no table and no table.column (did you mean leases?)"),
        ("- 1", "checks.yaml: expected a record of names and values, found list"),
        ("checks: [", "not readable as YAML"),
    ],
)
def test_a_mistake_in_a_file_of_checks_is_named_by_its_place(shell: Shell, text: str, expected: str) -> None:
    (shell.folder / "checks.yaml").write_text(text, encoding="utf-8")
    for command in (("data", "quality"), ("ingest", ".")):
        code, _, err = shell(*command, "--checks", "checks.yaml")
        assert code == 2
        assert expected in err
        assert "Traceback" not in err


def test_a_file_of_checks_that_is_not_there_is_named(shell: Shell) -> None:
    code, _, err = shell("data", "quality", "--checks", "none.yaml")
    assert code == 2
    assert "none.yaml cannot be read" in err


def test_a_mapping_file_may_hold_the_checks(shell: Shell) -> None:
    (shell.folder / "people.csv").write_text("id,since\n1,2024-01-01\n", encoding="utf-8")
    mapping = shell.folder / "mapping.yaml"
    tables = "tables: {tenants: {file: people.csv, columns: {tenant_id: id, created_at: since}}}\n"
    mapping.write_text(tables + "quality: {checks: {row_counts: {limit: 0}}}\n", encoding="utf-8")
    code, _, err = shell("ingest", ".", "--mapping", "mapping.yaml")
    assert code == 2
    assert "mapping.yaml: quality: checks.row_counts.limit: expected a number above 0, found '0'" in err
    mapping.write_text(tables + "quality: {checks: {row_counts: off}}\n", encoding="utf-8")
    assert shell("ingest", ".", "--mapping", "mapping.yaml")[0] == 0


def test_a_page_is_written_where_it_is_asked_for(shell: Shell) -> None:
    ingest_month(shell, payments().filter(~IS_NEW), PARENT_END)
    code, out, err = shell("data", "quality", "--report", "quality.html")
    assert code == 0, err
    assert "Written: quality.html" in out
    assert "<svg" in (shell.folder / "quality.html").read_text(encoding="utf-8")
    code, _, err = shell("data", "quality", "--report", "nowhere/quality.html")
    assert code == 2
    assert "there is no folder" in err
