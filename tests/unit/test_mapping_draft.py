"""Foreign headers: what is missing is named, guesses are such that could be true, and a mapping is written to be completed."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from epic22.adapters.sources.file_reader import read_batches
from epic22.adapters.sources.folder import list_mapped_files, load_mapping
from epic22.adapters.sources.mapping_draft import compute_likeness, draft_files, draft_foreign_files, fit_column
from epic22.bootstrap import assemble, ingest_folder
from epic22.config import Settings
from epic22.core.column import Column
from epic22.core.errors import ColumnError, FileError
from epic22.core.tables.canonical import LEASES, UNITS, get_canonical_table

LEASE_FILE = """Lease,Unit,Resident,Status,Lease From,Lease To,Rent
A-1,101,R. One,Current,1/1/2023,12/31/2023,"$1,450.00"
A-2,102,R. Two,Past,6/1/2022,5/31/2023,"$1,300.00"
"""
GUESSES = {
    "lease_id": "Lease",
    "unit_id": "Unit",
    "tenant_id": "Resident",
    "start_date": {"from": "Lease From", "format": "%m/%d/%Y"},
    "end_date": {"from": "Lease To", "format": "%m/%d/%Y"},
    "monthly_rent": {"from": "Rent", "decimal": "."},
    "deposit": "",
    "lease_type": "",
    "signed_on": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A foreign export: one file named after a table, and one like none."""
    made = tmp_path / "export"
    made.mkdir()
    (made / "leases.csv").write_text(LEASE_FILE)
    (made / "rent_roll.csv").write_text("Unit,Market Rent\n101,1500\n102,1350\n")
    return made


def ingest(folder: Path, home: Path, mapping: Path | None = None) -> None:
    ingest_folder(assemble(Settings(home, 1)), folder, mapping=mapping)


def test_foreign_columns_are_named_with_true_guesses_and_a_mapping_is_written(folder: Path, tmp_path: Path) -> None:
    message = r"no column lease_id \(perhaps 'Lease'\), .*start_date \(perhaps 'Lease From'\).*, deposit, .*signed_on; rent_roll"
    with pytest.raises(ColumnError, match=message):
        ingest(folder, tmp_path / "home")
    draft = yaml.load((folder / "mapping.yaml").read_text(), Loader=yaml.BaseLoader)
    assert draft["tables"]["leases"] == {"file": "leases.csv", "columns": GUESSES}


def test_a_draft_says_what_is_still_to_be_filled_in_and_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ColumnError, match=r"is there already|was written"):
            ingest(folder, tmp_path / "home")
        mapping = folder / "mapping.yaml"
        with pytest.raises(FileError, match=r"columns\.deposit: still to be filled in"):
            load_mapping(mapping)
        mapping.write_text(mapping.read_text() + "# mine\n")
    assert mapping.read_text().count("# mine") == 2


def test_a_completed_draft_reads_dates_and_amounts(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ColumnError):
        ingest(folder, tmp_path / "home")
    mapping = folder / "mapping.yaml"
    text = mapping.read_text().replace("deposit:", 'deposit: {const: "0"}').replace("lease_type:", "lease_type: {const: fixed}")
    mapping.write_text(text.replace("signed_on:", 'signed_on: {from: Lease From, format: "%m/%d/%Y"}'))
    rows = pl.concat(list_mapped_files(folder, mapping)[0].batches())
    assert rows["start_date"].to_list() == ["2023-01-01T00:00:00", "2022-06-01T00:00:00"]
    assert rows["monthly_rent"].to_list() == ["1450.00", "1300.00"]


def test_files_that_are_named_after_no_table_are_drafted_where_they_are_like_one(tmp_path: Path) -> None:
    (tmp_path / "flats.csv").write_text("Apt No,Building,Bedrooms,Baths,Sq Ft\n1,B1,2,1,650\n2,B1,3,1.5,900\n")
    (tmp_path / "songs.csv").write_text("title,artist\na,b\n")
    drafts, others = draft_foreign_files(tmp_path, [])
    assert [(draft.table.name, draft.missing) for draft in drafts] == [
        ("units", ("unit_id", "property_id", "bedrooms", "bathrooms", "area_sqft"))
    ]
    assert {name: guess.column for name, guess in drafts[0].guesses.items() if guess} == {
        "unit_id": "Apt No",
        "property_id": "Building",
        "bedrooms": "Bedrooms",
        "bathrooms": "Baths",
        "area_sqft": "Sq Ft",
    }
    assert others == ("songs.csv",)


def test_a_title_above_the_header_is_set_apart_and_the_header_found(tmp_path: Path) -> None:
    rows = "".join(f"{n},c{n},2024-01-0{n},{n}0.00,paid,ach\n" for n in range(1, 6))
    header = "payment_id,Charge Ref,Date Paid,Amount,Status,Method\n"
    (tmp_path / "payments.csv").write_text(f"Payments of May\n{header}{rows}6,c6,2024-01-06,-5.00,failed,card\n")
    batch = next(iter(read_batches(tmp_path / "payments.csv")))
    assert batch["#broken"].to_list() == ["above the header", *[None] * 6]
    assert batch["#line"].to_list() == [1, 3, 4, 5, 6, 7, 8]
    drafts = draft_files([(tmp_path / "payments.csv", "payments.csv", get_canonical_table("payments"))])
    assert [guess and guess.column for guess in drafts[0].guesses.values()] == header.strip().split(",")


@pytest.mark.parametrize(
    ("column", "values", "fits"),
    [
        (Column("start_date", "time"), ["Current", "Past"], False),
        (Column("start_date", "time"), ["450.00"], False),
        (Column("start_date", "time"), ["2024-01-05"], True),
        (Column("amount", "money", low=0), ["-3"], False),
        (Column("amount", "money", low=0), ["1.450,00 €"], True),
        (Column("year_built", "int", low=1600, high=2100), ["1450.5"], False),
        (Column("year_built", "int", low=1600, high=2100), ["120"], False),
        (Column("kind", "category", levels=("rent", "fee")), ["Rent", "Fee"], True),
        (Column("kind", "category", levels=("rent", "fee")), ["Current"], False),
        (Column("lease_id", "text", role="id"), ["1/1/2023"], False),
        (Column("lease_id", "text", role="id"), ["1450.00"], False),
        (Column("lease_id", "text", role="id"), ["A-17"], True),
    ],
)
def test_a_guess_is_offered_only_where_the_values_could_be_true(column: Column, values: list[str], fits: bool) -> None:
    assert (fit_column(column, "x", pl.Series(values)) is not None) == fits


@pytest.mark.parametrize(
    ("canonical", "foreign", "table"),
    [
        ("lease_id", "Id", "leases"),
        ("lease_id", "leaseId", "leases"),
        ("start_date", "Move-in", "leases"),
        ("end_date", "Expiration Date", "leases"),
        ("signed_on", "Date signed", "leases"),
        ("deposit", "Security Deposit", "leases"),
        ("work_order_id", "Ticket #", "work_orders"),
        ("zip_code", "Postcode", "properties"),
    ],
)
def test_names_of_the_trade_are_known(canonical: str, foreign: str, table: str) -> None:
    assert compute_likeness(canonical, foreign, get_canonical_table(table)) >= 0.5


def test_names_alike_by_letters_alone_are_not_taken_for_one_another() -> None:
    assert compute_likeness("start_date", "Status", LEASES) == 0
    assert compute_likeness("end_date", "Rent", LEASES) == 0
    assert compute_likeness("area_sqft", "Lease Type", UNITS) == 0


@pytest.mark.parametrize("values", [["31.01.2024, 13:00 Uhr"], ["2024-Q1", "2024-Q2"], ["2024-03-01 14:00 America/New_York"]])
def test_times_that_a_mapping_cannot_read_to_the_letter_are_no_guess(values: list[str]) -> None:
    assert fit_column(Column("start_date", "time"), "From", pl.Series(values)) is None
