"""Every public file is read, typed, and taken back by the types it was given.

The folder is EPIC22_PUBLIC_DATA, default ../shared/data beside the repository; without it these are skipped, and say so.
"""

import os
from datetime import datetime
from pathlib import Path

import pytest

from epic22.core.data.files import RawTable, read_table
from epic22.core.data.schema_inference import Roles, TypedTable, conform_frame, infer_schema

DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no public data in {DATA}; set EPIC22_PUBLIC_DATA"),
]

FAULT = Roles("Fault Detection Ground Truth", time=("Datetime",))
SEATTLE = "reporting/seattle_building_energy/2016_Building_Energy_Benchmarking.csv"
ARRIVAL = ("ArrivalDateYear", "ArrivalDateMonth", "ArrivalDateDayOfMonth")

FILES: dict[str, tuple[Roles, tuple[int, int], tuple[str, str] | None]] = {
    "churn/hotel_booking/hotel_booking.parquet": (
        Roles("IsCanceled", time=ARRIVAL),
        (119_390, 32),
        ("2015-07-01", "2017-08-31"),
    ),
    "churn/ibm_telco/Telco-Customer-Churn.csv": (Roles("Churn", id="customerID"), (7_043, 21), None),
    "maintenance/ai4i2020/ai4i2020.csv": (Roles("Machine failure"), (10_000, 14), None),
    "maintenance/azure_pdm/PdM_errors.csv": (Roles("errorID", time=("datetime",)), (3_919, 3), ("2020-01-01", "2021-01-01")),
    "maintenance/azure_pdm/PdM_failures.csv": (Roles("failure", time=("datetime",)), (761, 3), ("2020-01-02", "2020-12-31")),
    "maintenance/azure_pdm/PdM_maint.csv": (Roles("comp", time=("datetime",)), (3_286, 3), ("2019-06-01", "2021-01-01")),
    "maintenance/azure_pdm/PdM_machines.csv": (Roles("age", id="machineID"), (100, 3), None),
    "maintenance/lbnl_ahu/MZVAV-2-1.csv": (FAULT, (21_600, 19), ("2007-08-28", "2009-05-31")),
    "maintenance/lbnl_ahu/MZVAV-2-2.csv": (FAULT, (37_440, 19), ("2007-08-28", "2009-05-15")),
    "maintenance/lbnl_ahu/SZCAV.csv": (FAULT, (21_600, 16), ("2017-03-11", "2017-04-01")),
    "market/india_house_rent/House_Rent_Dataset.csv": (
        Roles("Rent", time=("Posted On",)),
        (4_746, 12),
        ("2022-04-13", "2022-07-11"),
    ),
    "market/king_county/kc_house_data.csv": (
        Roles("price", time=("date",), id="id"),
        (21_613, 21),
        ("2014-05-02", "2015-05-27"),
    ),
    "market/zillow/Metro_zori_uc_sfrcondomfr_sm_month.csv": (Roles("2024-10-31"), (647, 123), None),
    "reporting/appliances_energy/energydata_complete.csv.gz": (
        Roles("Appliances", time=("date",)),
        (19_735, 29),
        ("2016-01-11", "2016-05-27"),
    ),
    "reporting/australia_tourism/australia_tourism.csv": (
        Roles("Trips", time=("date_time",)),
        (24_320, 5),
        ("1998-01-01", "2017-10-01"),
    ),
    "reporting/ett/ETTh1.csv": (Roles("OT", time=("date",)), (17_420, 8), ("2016-07-01", "2018-06-26")),
    SEATTLE: (
        Roles("SiteEnergyUse(kBtu)", drop=("TaxParcelIdentificationNumber", "YearsENERGYSTARCertified")),
        (3_371, 46),
        None,
    ),
    "risk/give_me_some_credit/cs-training.csv.gz": (Roles("SeriousDlqin2yrs"), (150_000, 12), None),
    "risk/lgpif/CLAIMLEVEL.csv": (Roles("Claim", time=("Year",)), (6_258, 13), ("2006-01-01", "2010-01-01")),
    "risk/lgpif/PropertyFundInsample.csv": (Roles("y", time=("Year",)), (5_639, 23), ("2006-01-01", "2010-01-01")),
    "risk/lgpif/peril.training.csv": (Roles("Loss"), (4_991, 11), None),
    "risk/uci_default_credit_card/UCI_Credit_Card.csv": (Roles("default.payment.next.month", id="ID"), (30_000, 25), None),
}


def taken(file: str) -> tuple[RawTable, TypedTable]:
    raw = read_table(DATA / file)
    return raw, infer_schema(raw, FILES[file][0])


@pytest.mark.parametrize("file", FILES, ids=[Path(file).name for file in FILES])
def test_a_public_file_is_read_whole_and_its_own_rows_conform(file: str) -> None:
    _, shape, span = FILES[file]
    raw, table = taken(file)
    assert table.frame.shape == shape
    if table.times is None:
        assert span is None
    else:
        first, last = table.times.min(), table.times.max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        assert (f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") == span
    later = conform_frame(raw, table.columns)
    assert later.height == raw.frame.height
    assert set(later.columns) == {c.name for c in table.columns if c.role not in ("label", "never")}


@pytest.mark.parametrize(
    ("file", "separator", "types"),
    [
        ("maintenance/ai4i2020/ai4i2020.csv", "\t", {"Torque [Nm]": "float", "Type": "category"}),
        ("churn/ibm_telco/Telco-Customer-Churn.csv", ",", {"TotalCharges": "float", "customerID": "text"}),
        (SEATTLE, ",", {"PropertyGFATotal": "int", "SiteEnergyUse(kBtu)": "float"}),
        ("risk/give_me_some_credit/cs-training.csv.gz", ",", {"column_1": "int"}),
        ("maintenance/lbnl_ahu/SZCAV.csv", ",", {"AHU: Exhaust Air Damper Control Signal": "float"}),
    ],
)
def test_what_is_odd_about_a_public_file_is_seen_through(file: str, separator: str, types: dict[str, str]) -> None:
    raw, table = taken(file)
    found = {c.name: c.dtype for c in table.columns}
    assert raw.separator == separator
    assert {name: found[name] for name in types} == types


def test_parcels_of_which_two_stand_in_a_field_are_names() -> None:
    found = infer_schema(read_table(DATA / SEATTLE), Roles("SiteEnergyUse(kBtu)"))
    parcels = found.frame["TaxParcelIdentificationNumber"]
    assert "6850700316 and 6850700315" in parcels.to_list()
    assert any(note.startswith("TaxParcelIdentificationNumber holds two numbers in one") for note in found.notes)
