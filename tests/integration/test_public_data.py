"""Reader and audit on real public data: right types, the known leaks named, and nobody accused who is innocent.

The folder is EPIC22_PUBLIC_DATA, default ../shared/data beside the repository; without it these are skipped, and say so.
"""

import os
from pathlib import Path

import polars as pl
import pytest
from tests.role_options import list_role_options

from epic22.core.data.files import read_table
from epic22.core.data.folds import SplitRequest
from epic22.core.data.leakage import LABEL_SUSPICIONS, audit_columns
from epic22.core.data.schema_inference import Roles, infer_schema
from epic22.core.data.split import plan_folds
from epic22.spec.flat_file import load_task_data
from epic22.spec.training_spec import build_spec

DATA = Path(os.environ.get("EPIC22_PUBLIC_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no public data in {DATA}; set EPIC22_PUBLIC_DATA"),
]

AI4I = "maintenance/ai4i2020/ai4i2020.csv"
TELCO = "churn/ibm_telco/Telco-Customer-Churn.csv"
CREDIT = "risk/give_me_some_credit/cs-training.csv.gz"
UCI = "risk/uci_default_credit_card/UCI_Credit_Card.csv"
KING = "market/king_county/kc_house_data.csv"
HOTEL = "churn/hotel_booking/hotel_booking.parquet"
FUND = "risk/lgpif/PropertyFundInsample.csv"
INDIA = "market/india_house_rent/House_Rent_Dataset.csv"
FAULT = "Fault Detection Ground Truth"

FOUND: list[tuple[str, Roles, dict[str, str]]] = [
    (
        AI4I,
        Roles("Machine failure"),
        {"UDI": "row number", "Product ID": "id"} | dict.fromkeys(("TWF", "HDF", "PWF", "OSF"), "implies the label"),
    ),
    (TELCO, Roles("Churn"), {"customerID": "id"}),
    (CREDIT, Roles("SeriousDlqin2yrs"), {"column_1": "row number"}),
    (UCI, Roles("default.payment.next.month"), {"ID": "row number"}),
    (KING, Roles("price", time=("date",)), {"id": "near-key"}),
    (HOTEL, Roles("IsCanceled"), {"ReservationStatus": "label echo"}),
    (FUND, Roles("y"), {"Freq": "implies the label", "yAvg": "implies the label", "lny": "label echo"}),
    (INDIA, Roles("Rent"), {}),
    *((f"maintenance/lbnl_ahu/{unit}.csv", Roles(FAULT, time=("Datetime",)), {}) for unit in ("MZVAV-2-1", "MZVAV-2-2", "SZCAV")),
]


@pytest.mark.parametrize(("file", "roles", "wanted"), FOUND, ids=[Path(file).stem for file, _, _ in FOUND])
def test_the_audit_names_the_known_leaks_and_nothing_else(file: str, roles: Roles, wanted: dict[str, str]) -> None:
    assignment = load_task_data(build_spec(csv=DATA / file, **list_role_options(roles)))
    named = {s.column: s.suspicion for s in assignment.suspicions if s.suspicion in LABEL_SUSPICIONS}
    assert named == wanted


def test_outcomes_of_a_claim_are_named_when_any_claim_is_to_be_predicted() -> None:
    raw = read_table(DATA / FUND)
    table = infer_schema(raw, Roles("y"))
    label = (table.frame["Freq"].cast(pl.Int64) > 0).alias("claim")
    found = {s.column for s in audit_columns(table.frame, table.columns, label, "binary")}
    assert found == {"Freq", "lny", "yAvg"}


@pytest.mark.parametrize(
    ("file", "types"),
    [
        (AI4I, {"Type": "category", "Torque [Nm]": "float", "Tool wear [min]": "int"}),
        (TELCO, {"TotalCharges": "float", "tenure": "int", "gender": "category"}),
        (KING, {"date": "time", "price": "float", "bedrooms": "int", "lat": "float"}),
        (CREDIT, {"MonthlyIncome": "int", "column_1": "int"}),
    ],
)
def test_types_are_what_the_values_say(file: str, types: dict[str, str]) -> None:
    raw = read_table(DATA / file)
    found = {c.name: c.dtype for c in infer_schema(raw, Roles(raw.frame.columns[-1])).columns}
    assert {name: found[name] for name in types} == types


def test_days_become_the_groups_where_forward_folds_would_hold_one_class() -> None:
    file = DATA / "maintenance/lbnl_ahu/MZVAV-2-2.csv"
    assignment = load_task_data(build_spec(csv=file, label=FAULT, time=("Datetime",)))
    plan = plan_folds(assignment.examples(), "binary", SplitRequest())
    assert (plan.strategy, plan.period, plan.n_folds) == ("by_group", "day", 5)


def test_a_class_of_one_day_only_is_refused() -> None:
    from epic22.core.errors import SplitError

    file = DATA / "maintenance/lbnl_ahu/SZCAV.csv"
    assignment = load_task_data(build_spec(csv=file, label=FAULT, time=("Datetime",)))
    with pytest.raises(SplitError, match="class 0 occurs in only 1 of"):
        plan_folds(assignment.examples(), "binary", SplitRequest())


def test_the_hotels_arrival_is_put_together_from_its_columns() -> None:
    parts = ("ArrivalDateYear", "ArrivalDateMonth", "ArrivalDateDayOfMonth")
    table = infer_schema(read_table(DATA / HOTEL), Roles("IsCanceled", time=parts))
    assert table.times is not None
    assert str(table.times.min())[:10] == "2015-07-01"
    assert str(table.times.max())[:10] == "2017-08-31"
