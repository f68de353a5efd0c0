"""Form A of the platform's database (UUID keys), filled from a simulated portfolio."""

from collections.abc import Mapping

import polars as pl
from platform_form import PlatformForm, keep_last_versions, list_absent_tables, make_uuid, rename_keys, shape_table

DDL = """
CREATE TABLE properties (id uuid PRIMARY KEY, name text NOT NULL, city text NOT NULL, state text NOT NULL,
  "zipCode" text NOT NULL, "propertyType" text NOT NULL, "yearBuilt" int, "totalUnits" int NOT NULL, "marketValue" numeric(14, 2),
  "vacancyRate" numeric(5, 2), "createdAt" timestamptz NOT NULL);
CREATE TABLE maintenance_history (id uuid PRIMARY KEY, "propertyId" uuid NOT NULL REFERENCES properties, type text NOT NULL,
  date timestamptz NOT NULL, cost numeric(12, 2), priority text NOT NULL, status text NOT NULL);
CREATE TABLE tenants (id uuid PRIMARY KEY, "propertyId" uuid NOT NULL REFERENCES properties, "isActive" boolean NOT NULL,
  "createdAt" timestamptz NOT NULL, "screeningStatus" jsonb, "leaseViolations" jsonb, "complaintHistory" jsonb);
CREATE TABLE invoices (id uuid PRIMARY KEY, "tenantId" uuid NOT NULL REFERENCES tenants, "unitId" uuid NOT NULL,
  "dueDate" timestamptz NOT NULL, amount numeric(12, 2) NOT NULL, status text NOT NULL);
CREATE TABLE payments (id uuid PRIMARY KEY, "invoiceId" uuid NOT NULL REFERENCES invoices, "tenantId" uuid NOT NULL,
  amount numeric(12, 2) NOT NULL, status text NOT NULL, "createdAt" timestamptz NOT NULL);
"""
SYSTEMS = ("hvac", "plumbing", "electrical", "roofing", "appliance", "structural", "security")
"""The categories that are systems of a building."""
SCHEDULED = "open"
"""The status of the portfolio's orders that the platform calls scheduled."""
KEYS = ("property_id", "unit_id", "tenant_id", "lease_id", "charge_id", "payment_id", "work_order_id")
Tables = Mapping[str, pl.DataFrame]


def build_form_a(tables: Tables) -> PlatformForm:
    """The form with the rows of a portfolio."""
    last = keep_last_versions(tables)
    names = ("properties", "units", "tenants", "leases", "charges", "payments", "work_orders", "messages")
    own = {
        name: last[name].with_columns(rename_keys(last[name][key], make_uuid) for key in KEYS if key in last[name].columns)
        for name in names
    }
    rows = {
        "properties": _build_properties(own),
        "maintenance_history": _build_history(own["work_orders"]),
        "tenants": _build_tenants(own),
        "invoices": _build_invoices(own),
        "payments": _build_payments(own),
    }
    expected = _expect_tables(rows)
    return PlatformForm("platform-a", DDL, rows, expected | list_absent_tables(expected))


def _build_properties(own: Tables) -> pl.DataFrame:
    """The last building's year is not known."""
    let = own["leases"].filter(pl.col("ended_on").is_null()).join(own["units"].select("unit_id", "property_id"), on="unit_id")
    counts = let.group_by("property_id").agg(let=pl.col("unit_id").n_unique())
    is_last = pl.int_range(pl.len()) == pl.len() - 1
    return (
        own["properties"]
        .join(counts, on="property_id", how="left", maintain_order="left")
        .select(
            id="property_id",
            name="name",
            city="city",
            state="state",
            zipCode="zip_code",
            propertyType=pl.col("property_type").str.to_titlecase(),
            yearBuilt=pl.when(~is_last).then("year_built"),
            totalUnits="total_units",
            marketValue="market_value",
            vacancyRate=(100 - 100 * pl.col("let").fill_null(0) / pl.col("total_units")).clip(0, 100).round(2),
            createdAt="known_at",
        )
    )


def _build_history(orders: pl.DataFrame) -> pl.DataFrame:
    statuses = {SCHEDULED: "scheduled", "on_hold": "in_progress"}
    return orders.select(
        id="work_order_id",
        propertyId="property_id",
        type="category",
        date="opened_at",
        cost="cost",
        priority="priority",
        status=pl.col("status").replace(statuses),
    )


def _build_tenants(own: Tables) -> pl.DataFrame:
    homes = own["leases"].join(own["units"].select("unit_id", "property_id"), on="unit_id")
    held = (
        homes.sort("start_date")
        .group_by("tenant_id")
        .agg(pl.col("property_id").last(), is_active=pl.col("ended_on").is_null().any())
    )
    sent = (
        own["messages"]
        .filter(pl.col("category") == "complaint")
        .join(own["leases"].select("lease_id", "tenant_id"), on="lease_id")
    )
    complaint = pl.struct(date=pl.col("sent_at").dt.to_string("iso:strict")).struct.json_encode()
    complaints = sent.group_by("tenant_id").agg(complaints=complaint.sort_by("sent_at").str.join(","))
    risk = pl.struct(riskLevel=pl.col("screening_risk").str.to_uppercase(), score=pl.lit(1)).struct.json_encode()
    return (
        own["tenants"]
        .join(held, on="tenant_id", maintain_order="left")
        .join(complaints, on="tenant_id", how="left", maintain_order="left")
        .select(
            id="tenant_id",
            propertyId="property_id",
            isActive="is_active",
            createdAt="created_at",
            screeningStatus=pl.when(pl.col("screening_risk").is_not_null()).then(risk),
            leaseViolations=pl.lit("[]"),
            complaintHistory=pl.lit("[") + pl.col("complaints").fill_null("") + pl.lit("]"),
        )
    )


def _build_invoices(own: Tables) -> pl.DataFrame:
    paid = own["payments"].filter(pl.col("status") == "paid")["charge_id"].implode()
    charges = own["charges"].join(own["leases"].select("lease_id", "tenant_id", "unit_id"), on="lease_id", maintain_order="left")
    status = pl.when(pl.col("charge_id").is_in(paid)).then(pl.lit("paid")).otherwise(pl.lit("overdue"))
    return charges.select(
        id="charge_id", tenantId="tenant_id", unitId="unit_id", dueDate="due_on", amount="amount", status=status
    )


def _build_payments(own: Tables) -> pl.DataFrame:
    invoices = _build_invoices(own).select(charge_id="id", tenant="tenantId")
    return (
        own["payments"]
        .join(invoices, on="charge_id", maintain_order="left")
        .select(id="payment_id", invoiceId="charge_id", tenantId="tenant", amount="amount", status="status", createdAt="paid_on")
    )


def _expect_tables(rows: Tables) -> dict[str, pl.DataFrame]:
    history = rows["maintenance_history"].filter(pl.col("status") != "scheduled")
    properties = _add_known_at(rows, history)
    built = properties.filter(pl.col("yearBuilt").is_not_null())
    systems = built.join(pl.DataFrame({"kind": SYSTEMS}), how="cross")
    placed = history.join(built.select(propertyId="id", built="yearBuilt"), on="propertyId", how="left", maintain_order="left")
    opened = pl.datetime("built", 1, 1) <= pl.col("date")
    system = pl.when(pl.col("type").is_in(SYSTEMS) & opened).then(pl.format("{}:{}", "propertyId", "type"))
    is_done = pl.col("status") == "completed"
    same = {
        "name": "name",
        "city": "city",
        "state": "state",
        "zip_code": "zipCode",
        "property_id": "id",
        "year_built": "yearBuilt",
    }
    same |= {"total_units": "totalUnits", "market_value": "marketValue", "known_at": "known"}
    home = {name: pl.col(column) for name, column in same.items()}
    order = {
        "work_order_id": pl.col("id"),
        "property_id": pl.col("propertyId"),
        "equipment_id": system,
        "category": pl.col("type"),
        "kind": pl.lit("corrective"),
        "opened_at": pl.col("date"),
        "completed_at": pl.when(is_done).then("date"),
        "cost": pl.when(is_done).then("cost"),
        "known_at": pl.col("date"),
    }
    piece = {
        "equipment_id": pl.format("{}:{}", "id", "kind"),
        "property_id": pl.col("id"),
        "kind": pl.col("kind"),
        "installed_on": pl.datetime("yearBuilt", 1, 1),
        "known_at": pl.col("known"),
    }
    risk = pl.col("screeningStatus").str.json_path_match("$.riskLevel").str.to_lowercase()
    tenant = {"tenant_id": pl.col("id"), "screening_risk": risk}
    tenant |= {name: pl.col("createdAt") for name in ("created_at", "known_at")}
    return {
        "properties": shape_table("properties", home | {"property_type": pl.col("propertyType").str.to_lowercase()}, properties),
        "tenants": shape_table("tenants", tenant, rows["tenants"]),
        "equipment": shape_table("equipment", piece, systems),
        "work_orders": shape_table("work_orders", order | {name: pl.col(name) for name in ("priority", "status")}, placed),
    }


def _add_known_at(rows: Tables, history: pl.DataFrame) -> pl.DataFrame:
    """The properties, each known from the day it was entered or from the first thing that happened there."""
    worked = history.group_by("propertyId").agg(worked=pl.col("date").min())
    lived = rows["tenants"].group_by("propertyId").agg(lived=pl.col("createdAt").min())
    joined = rows["properties"]
    for first in (worked, lived):
        joined = joined.join(first, left_on="id", right_on="propertyId", how="left", maintain_order="left")
    return joined.with_columns(known=pl.min_horizontal("createdAt", "worked", "lived"))
