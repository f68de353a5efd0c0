"""A small portfolio that fulfils every contract, for tests of what reads and keeps it; no law of nature is behind it."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.tables.canonical import CANONICAL, DTYPES

BEGIN = datetime(2021, 1, 1)


def small_tables(seed: int = 0, units: int = 12, readings: int = 200) -> dict[str, pl.DataFrame]:
    """All canonical tables, typed and in the declared order of columns, `known_at` among them."""
    rng = np.random.default_rng(seed)
    pick = rng.choice
    day = [BEGIN + timedelta(days=n) for n in range(800)]
    homes = [f"P{n}" for n in range(3)]
    rows: dict[str, list[dict[str, object]]] = {table.name: [] for table in CANONICAL}
    for n, name in enumerate(homes):
        rows["properties"].append(
            {"property_id": name, "name": f'House, "{n}"', "city": "Springfield", "state": "TX", "zip_code": f"0123{n}"}
            | {"property_type": "apartment", "year_built": 1990 + n, "total_units": 4, "market_value": 1e6 + n / 4}
            | {"latitude": 30.5, "longitude": None, "known_at": BEGIN}
        )
    for n in range(units):
        unit, home, lease, charge = f"U{n}", homes[n % 3], f"L{n}", f"C{n}"
        signed, begin = day[n], day[n + 10]
        rows["units"].append({"unit_id": unit, "property_id": home, "bedrooms": n % 4, "bathrooms": 1.5, "area_sqft": 700.0 + n})
        rows["tenants"].append({"tenant_id": f"T{n}", "screening_risk": str(pick(["low", "high"])), "created_at": signed})
        rows["leases"].append(
            {"lease_id": lease, "unit_id": unit, "tenant_id": f"T{n}", "start_date": begin, "end_date": day[n + 380]}
            | {"monthly_rent": 1000.25 + n, "deposit": 500, "lease_type": "fixed", "signed_on": signed}
        )
        rows["charges"].append({"charge_id": charge, "lease_id": lease, "due_on": begin, "amount": 1000.25 + n, "kind": "rent"})
        paid = {"payment_id": f"Y{n}", "charge_id": charge, "paid_on": day[n + 12], "amount": 1000.25 + n}
        rows["payments"].append(paid | {"status": "paid", "method": "ach"})
        rows["equipment"].append(
            {
                "equipment_id": f"E{n}",
                "property_id": home,
                "unit_id": unit,
                "kind": "hvac",
                "installed_on": day[0],
                "replacement_cost": 4000,
            }
        )
        rows["work_orders"].append(
            {"work_order_id": f"W{n}", "property_id": home, "equipment_id": f"E{n}", "category": "hvac", "kind": "corrective"}
            | {"priority": "critical", "status": "completed", "opened_at": day[n + 20], "completed_at": day[n + 21], "cost": 99.5}
        )
        rows["messages"].append(
            {"message_id": f"M{n}", "lease_id": lease, "sent_at": day[n + 30], "category": "complaint", "sentiment": -0.5}
        )
        rows["ledger"].append(
            {"entry_id": f"G{n}", "property_id": home, "posted_on": day[n + 12], "account": "repairs", "amount": -99.5}
        )
        month = {"zip_code": "01230", "bedrooms": n % 4, "month": day[n], "average_rent": 1200, "vacancy_rate": 0.05}
        rows["market"].append(month | {"source": "survey", "provenance": "public", "published_at": day[n + 40]})
        rows["protected"].append({"tenant_id": f"T{n}", "familial_status": str(pick(["yes", "no"]))})
    for n in range(readings):
        read = {"equipment_id": f"E{n % units}", "measured_at": BEGIN + timedelta(hours=n), "kind": "temperature"}
        rows["sensor_readings"].append(read | {"value": round(float(rng.normal(20, 5)), 3), "quality": 1.0})
    return {table.name: _typed(table.name, rows[table.name]) for table in CANONICAL}


def _typed(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    table = next(t for t in CANONICAL if t.name == name)
    extra = {"familial_status": pl.String()} if name == "protected" else {}
    types = {c.name: pl.Float64() if c.dtype == "money" else DTYPES[c.dtype] for c in table.columns} | extra
    frame = pl.DataFrame(rows, schema=types | {"known_at": pl.Datetime("us")})
    event = pl.col(table.event_at) if table.event_at != "known_at" else pl.lit(BEGIN, dtype=pl.Datetime("us"))
    signed = pl.col("signed_on") if name == "leases" else pl.col("published_at") if name == "market" else event
    money = [pl.col(c.name).cast(pl.Decimal(18, 2)) for c in table.columns if c.dtype == "money"]
    return frame.with_columns(pl.col("known_at").fill_null(signed), *money)


def write_tables(folder: Path, tables: dict[str, pl.DataFrame], form: str = "csv") -> Path:
    """The tables as files of one format in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        path = folder / f"{name}.{form}"
        if form == "parquet":
            frame.write_parquet(path)
        elif form == "jsonl":
            times = [pl.col(n).dt.to_string("iso:strict") for n, t in frame.schema.items() if t == pl.Datetime("us")]
            frame.with_columns(times).write_ndjson(path)
        else:
            frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S")
    return folder
