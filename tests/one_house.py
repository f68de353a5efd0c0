"""One house of two flats, whose every row is written down, so that a feature's figures can be worked out on paper."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from epic22.core.data.as_of import TablesAsOf
from epic22.core.data.point_in_time import Tables, build_tables
from epic22.core.tables.canonical import CANONICAL, DTYPES, KNOWN_AT

Row = Mapping[str, Any]
END = datetime(2024, 1, 1)
CUTOFF = datetime(2022, 7, 1)
PROPERTY: Row = {
    "property_id": "P1",
    "zip_code": "62701",
    "property_type": "apartment",
    "year_built": 1992,
    "total_units": 2,
    KNOWN_AT: datetime(2015, 1, 1),
}
UNITS: tuple[Row, ...] = tuple(
    {"unit_id": name, "property_id": "P1", "bedrooms": 2, "bathrooms": 1.0, "area_sqft": 800.0, KNOWN_AT: datetime(2015, 1, 1)}
    for name in ("U1", "U2")
)
TENANT: Row = {
    "tenant_id": "T1",
    "screening_risk": "low",
    "household_income": 66_000,
    "created_at": datetime(2020, 12, 1),
    KNOWN_AT: datetime(2020, 12, 1),
}


def lease(name: str, start: datetime, months: int = 12, **columns: Any) -> Row:
    """A lease of T1 in U1 at a rent of 1,100, signed a month before it starts."""
    row = {
        "lease_id": name,
        "unit_id": "U1",
        "tenant_id": "T1",
        "start_date": start,
        "end_date": add_months(start, months) - timedelta(days=1),
        "monthly_rent": 1100,
        "deposit": 2200,
        "lease_type": "fixed",
        "signed_on": add_months(start, -1),
        **columns,
    }
    return {KNOWN_AT: row["signed_on"], **row}


def charge(name: str, due_on: datetime, lease_id: str = "L1", amount: float = 1100, **columns: Any) -> Row:
    """A month's rent, known a month before it is due."""
    row = {"charge_id": name, "lease_id": lease_id, "due_on": due_on, "amount": amount, "kind": "rent", **columns}
    return {KNOWN_AT: add_months(due_on, -1), **row}


def payment(charge_id: str, paid_on: datetime, amount: float = 1100, status: str = "paid", **columns: Any) -> Row:
    """A payment, known when it is made."""
    row = {"charge_id": charge_id, "paid_on": paid_on, "amount": amount, "status": status, **columns}
    return {"payment_id": f"Y{charge_id}-{paid_on:%m%d}-{status}", KNOWN_AT: paid_on, **row}


def add_months(day: datetime, months: int) -> datetime:
    """The same day of another month."""
    month = day.year * 12 + day.month - 1 + months
    return day.replace(year=month // 12, month=month % 12 + 1)


def build_house(**rows: Sequence[Row]) -> Tables:
    """The canonical tables with these rows beside the house, its two flats and its tenant; columns not given are null."""
    whole: dict[str, Sequence[Row]] = {"properties": (PROPERTY,), "units": UNITS, "tenants": (TENANT,), **rows}
    frames = {
        table.name: pl.DataFrame(
            [dict(row) for row in whole.get(table.name, ())],
            schema={column.name: pl.Float64() if column.dtype == "money" else DTYPES[column.dtype] for column in table.columns}
            | {KNOWN_AT: pl.Datetime("us")},
            orient="row",
        )
        for table in CANONICAL
    }
    return build_tables(frames, END)


def ask(tables: Tables, *entities: str, cutoff: datetime = CUTOFF) -> TablesAsOf:
    """What is known of these at one cutoff."""
    return tables.as_of(pl.DataFrame({"entity": entities}, schema={"entity": pl.String}).with_columns(cutoff=pl.lit(cutoff)))
