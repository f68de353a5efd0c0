"""Form B of the platform's database (cuid keys, quoted CamelCase tables), filled from a simulated portfolio.

A unit of the portfolio is a "Rental". What the portfolio knows of a building is its first unit's there.
"""

from collections.abc import Mapping

import polars as pl
from platform_form import PlatformForm, keep_last_versions, list_absent_tables, make_cuid, rename_keys, shape_table

DDL = """
CREATE TABLE "Rental" (id text PRIMARY KEY, title text NOT NULL, city text NOT NULL, state text NOT NULL, "zipCode" text NOT NULL,
  "propertyType" text NOT NULL, rent numeric(12, 2), size float8 NOT NULL, bedrooms int NOT NULL, bathrooms float8 NOT NULL,
  "createdAt" timestamp(3) NOT NULL);
CREATE TABLE "Lease" (id text PRIMARY KEY, "rentalId" text NOT NULL REFERENCES "Rental", "tenantId" text NOT NULL,
  "startDate" timestamp(3) NOT NULL, "endDate" timestamp(3) NOT NULL, "rentAmount" numeric(12, 2) NOT NULL,
  "securityDeposit" numeric(12, 2), status text NOT NULL, "signedDate" timestamp(3), "renewalDate" timestamp(3),
  "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE "Transaction" (id text PRIMARY KEY, "leaseId" text NOT NULL REFERENCES "Lease", amount numeric(12, 2) NOT NULL,
  type text NOT NULL, status text NOT NULL, "transactionDate" timestamp(3) NOT NULL);
CREATE TABLE "MaintenanceRequest" (id text PRIMARY KEY, "rentalId" text NOT NULL REFERENCES "Rental", category text NOT NULL,
  priority text NOT NULL, status text NOT NULL, "createdAt" timestamp(3) NOT NULL, "scheduledDate" timestamp(3),
  "completedDate" timestamp(3), "estimatedCost" numeric(12, 2), "actualCost" numeric(12, 2));
CREATE TABLE "IoTDevice" (id text PRIMARY KEY, "rentalId" text NOT NULL REFERENCES "Rental", type text NOT NULL,
  "installedAt" timestamp(3) NOT NULL, "retiredAt" timestamp(3));
CREATE TABLE "IoTSensor" (id text PRIMARY KEY, "deviceId" text NOT NULL REFERENCES "IoTDevice", type text NOT NULL, unit text);
CREATE TABLE "SensorReading" (id text PRIMARY KEY, "sensorId" text NOT NULL REFERENCES "IoTSensor", value float8 NOT NULL,
  timestamp timestamp(3) NOT NULL, quality float8 NOT NULL);
CREATE TABLE "MarketData" (id text PRIMARY KEY, location text NOT NULL, "averageRent" numeric(12, 2) NOT NULL,
  "vacancyRate" float8, bedrooms int NOT NULL, "dataDate" timestamp(3) NOT NULL);
"""
WORDS: Mapping[str, tuple[str, ...]] = {
    "plumbing": ("Plumbing", "water leak under sink", "Clogged Drain"),
    "electrical": ("Electrical", "No power in outlet", "LIGHTING"),
    "hvac": ("HVAC", "Heating", "AC not cooling"),
    "roofing": ("Roofing", "Roof leak", "gutters"),
    "appliance": ("Appliance", "Refrigerator", "washer / dryer"),
    "structural": ("Structural", "crack in wall", "Windows"),
    "painting": ("Painting", "Repaint bedroom", "paint"),
    "flooring": ("Flooring", "Carpet", "loose tile"),
    "pest_control": ("Pest Control", "Rodents", "bed bugs"),
    "landscaping": ("Landscaping", "Lawn care", "Snow removal"),
    "security": ("Security", "Door lock", "lost key"),
    "other": ("Other", "General question", "???"),
}
"""How tenants write each category."""
DEVICES = {
    "hvac": "THERMOSTAT",
    "plumbing": "WATER_LEAK_DETECTOR",
    "electrical": "POWER_METER",
    "roofing": "ROOF_MONITOR",
    "appliance": "APPLIANCE_MONITOR",
    "elevator": "ELEVATOR_MONITOR",
    "structural": "FOUNDATION_MONITOR",
    "security": "SMART_LOCK",
    "other": "GENERIC",
}
ENDS = {"renewed": "EXPIRED", "transferred": "EXPIRED", "moved_out": "EXPIRED", "evicted": "TERMINATED"}
Tables = Mapping[str, pl.DataFrame]
UTC_DAY = pl.duration(days=1)


def build_form_b(tables: Tables) -> PlatformForm:
    """The form with the rows of a portfolio."""
    tables = keep_last_versions(tables)
    own = _place_in_rentals(tables)
    rows = {
        "Rental": _build_rentals(own),
        "Lease": _build_leases(own["leases"]),
        "Transaction": _build_transactions(own),
        "MaintenanceRequest": _build_requests(own["work_orders"]),
        "IoTDevice": _build_devices(own["equipment"]),
        "IoTSensor": _build_sensors(own["sensor_readings"]),
        "SensorReading": _build_readings(own["sensor_readings"]),
        "MarketData": _build_market(tables),
    }
    expected = _expect_estate(rows) | _expect_tenancies(own["leases"], rows) | _expect_machines(own, rows)
    expected["market"] = _expect_market(rows["MarketData"])
    return PlatformForm("platform-b", DDL, rows, expected | list_absent_tables(expected))


def _place_in_rentals(tables: Tables) -> dict[str, pl.DataFrame]:
    """The portfolio under the platform's keys, each row that had a building's key under that of the building's first unit."""
    first = tables["units"].group_by("property_id").agg(first=pl.col("unit_id").min())
    placed = {
        name: frame.join(first, on="property_id", how="left", maintain_order="left").with_columns(
            unit_id=pl.coalesce("unit_id", "first")
        )
        for name, frame in tables.items()
        if name in ("equipment", "work_orders")
    }
    homes = tables["properties"].drop("known_at")
    placed["units"] = tables["units"].join(homes, on="property_id", how="inner", maintain_order="left")
    placed |= {name: tables[name] for name in ("leases", "charges", "payments", "sensor_readings")}
    keys = ("unit_id", "lease_id", "tenant_id", "charge_id", "payment_id", "work_order_id", "equipment_id")
    return {
        name: frame.with_columns(rename_keys(frame[key], make_cuid) for key in keys if key in frame.columns)
        for name, frame in placed.items()
        if name not in ("equipment", "work_orders") or frame["unit_id"].null_count() == 0
    }


def _build_rentals(own: Tables) -> pl.DataFrame:
    rents = own["leases"].sort("start_date").group_by("unit_id").agg(rent=pl.col("monthly_rent").last())
    return (
        own["units"]
        .join(rents, on="unit_id", how="left", maintain_order="left")
        .select(
            id="unit_id",
            title="name",
            city="city",
            state="state",
            zipCode="zip_code",
            propertyType=pl.col("property_type").str.to_uppercase(),
            rent="rent",
            size="area_sqft",
            bedrooms="bedrooms",
            bathrooms="bathrooms",
            createdAt="known_at",
        )
    )


def _build_leases(leases: pl.DataFrame) -> pl.DataFrame:
    is_early = pl.col("end_reason").eq("moved_out") & (pl.col("ended_on") < pl.col("end_date"))
    status = pl.when(is_early).then(pl.lit("TERMINATED")).otherwise(pl.col("end_reason").replace_strict(ENDS, default=None))
    held = leases.select(
        id="lease_id",
        rentalId="unit_id",
        tenantId="tenant_id",
        startDate="start_date",
        endDate="end_date",
        rentAmount="monthly_rent",
        securityDeposit="deposit",
        status=status.fill_null("ACTIVE"),
        signedDate="signed_on",
        renewalDate=pl.when(pl.col("end_reason") == "renewed").then("ended_on"),
        updatedAt=pl.coalesce("ended_on", "signed_on"),
    )
    offers = held.filter(pl.col("status") == "ACTIVE").head(3)
    return pl.concat([held, offers.with_columns(id=rename_keys(offers["id"] + "-offer", make_cuid), status=pl.lit("PENDING"))])


def _build_transactions(own: Tables) -> pl.DataFrame:
    types = {"rent": "RENT_PAYMENT", "deposit": "SECURITY_DEPOSIT", "fee": "MAINTENANCE_FEE"}
    statuses = {"paid": "COMPLETED", "failed": "FAILED", "refunded": "REFUNDED"}
    return (
        own["payments"]
        .join(own["charges"].select("charge_id", "lease_id", kind="kind"), on="charge_id")
        .select(
            id="payment_id",
            leaseId="lease_id",
            amount="amount",
            type=pl.col("kind").replace_strict(types, default="OTHER"),
            status=pl.col("status").replace_strict(statuses),
            transactionDate="paid_on",
        )
    )


def _build_requests(orders: pl.DataFrame) -> pl.DataFrame:
    number = pl.int_range(pl.len()) % 3
    words = [pl.when(number == n).then(pl.col("category").replace_strict({k: v[n] for k, v in WORDS.items()})) for n in range(3)]
    end = pl.when(pl.col("kind") == "corrective").then(pl.lit("")).otherwise(" (" + pl.col("kind") + ")")
    return orders.select(
        id="work_order_id",
        rentalId="unit_id",
        category=pl.coalesce(words) + end,
        priority=pl.col("priority").replace("critical", "emergency").str.to_uppercase(),
        status=pl.col("status").str.to_uppercase(),
        createdAt="opened_at",
        scheduledDate="scheduled_for",
        completedDate="completed_at",
        estimatedCost=pl.lit(None, dtype=pl.Float64),
        actualCost="cost",
    )


def _build_devices(equipment: pl.DataFrame) -> pl.DataFrame:
    return equipment.select(
        id="equipment_id",
        rentalId="unit_id",
        type=pl.col("kind").replace_strict(DEVICES),
        installedAt="installed_on",
        retiredAt="retired_on",
    )


def _sensor_name() -> pl.Expr:
    return pl.col("equipment_id") + pl.lit("-") + pl.col("kind")


def _build_sensors(readings: pl.DataFrame) -> pl.DataFrame:
    """One a device and kind; every other thermometer is in °F, and the others name no unit."""
    sensors = readings.select("equipment_id", "kind").unique().sort("equipment_id", "kind")
    is_fahrenheit = (pl.col("kind") == "temperature") & (pl.int_range(pl.len()).over("kind") % 2 == 0)
    return sensors.select(
        id=_sensor_name(),
        deviceId="equipment_id",
        type=pl.col("kind").str.to_uppercase(),
        unit=pl.when(is_fahrenheit).then(pl.lit("F")),
    )


def _build_readings(readings: pl.DataFrame) -> pl.DataFrame:
    sensors = _build_sensors(readings).select(sensor="id", unit="unit")
    joined = readings.with_columns(sensor=_sensor_name()).join(sensors, on="sensor", maintain_order="left")
    return joined.select(
        id=pl.lit("r") + pl.int_range(pl.len()).cast(pl.String),
        sensorId="sensor",
        value=pl.when(pl.col("unit") == "F").then(pl.col("value") * 9 / 5 + 32).otherwise(pl.col("value")),
        timestamp="measured_at",
        quality=(pl.col("quality") * 100).round(1),
    )


def _build_market(tables: Tables) -> pl.DataFrame:
    """The public survey's means over the zip codes of each city."""
    places = tables["properties"].group_by("zip_code").agg(pl.col("city").min(), pl.col("state").min())
    survey = tables["market"].filter(pl.col("provenance") == "public").join(places, on="zip_code")
    means = survey.group_by("city", "state", "bedrooms", "month").agg(
        pl.col("average_rent", "vacancy_rate").cast(pl.Float64).mean()
    )
    return means.sort("city", "state", "bedrooms", "month").select(
        id=pl.lit("m") + pl.int_range(pl.len()).cast(pl.String),
        location=pl.col("city") + pl.lit(", ") + pl.col("state"),
        averageRent=pl.col("average_rent").round(2).cast(pl.Decimal(12, 2)),
        vacancyRate="vacancy_rate",
        bedrooms="bedrooms",
        dataDate=pl.col("month") + 4 * UTC_DAY,
    )


def _expect_estate(rows: Tables) -> dict[str, pl.DataFrame]:
    signed = rows["Lease"].group_by("rentalId").agg(first=pl.col("signedDate").min())
    rentals = rows["Rental"].join(signed, left_on="id", right_on="rentalId", how="left", maintain_order="left")
    known = pl.min_horizontal("createdAt", "first")
    same = {"name": pl.col("title"), "city": pl.col("city"), "state": pl.col("state"), "zip_code": pl.col("zipCode")}
    kind = {"property_type": pl.col("propertyType").str.to_lowercase(), "total_units": pl.lit(1), "known_at": known}
    sizes = {"bedrooms": pl.col("bedrooms"), "bathrooms": pl.col("bathrooms"), "area_sqft": pl.col("size"), "known_at": known}
    return {
        "properties": shape_table("properties", {"property_id": pl.col("id")} | same | kind, rentals),
        "units": shape_table("units", {"unit_id": pl.col("id"), "property_id": pl.col("id")} | sizes, rentals),
    }


def _expect_tenancies(leases: pl.DataFrame, rows: Tables) -> dict[str, pl.DataFrame]:
    """An expired lease ends at its end, and who was evicted or left early is one who left: more the form does not say."""
    held = rows["Lease"].filter(pl.col("status") != "PENDING")
    tenants = held.group_by("tenantId").agg(first=pl.col("signedDate").min())
    created = {"tenant_id": pl.col("tenantId"), "created_at": pl.col("first"), "known_at": pl.col("first")}
    earliest = pl.min_horizontal("end_date", "ended_on")
    is_expired = leases["lease_id"].is_in(held.filter(pl.col("status") == "EXPIRED")["id"].implode())
    ended = pl.when(pl.lit(is_expired)).then("end_date").otherwise(earliest)
    names = ("lease_id", "unit_id", "tenant_id", "start_date", "end_date", "monthly_rent", "deposit", "signed_on", "known_at")
    ends = {
        "lease_type": pl.lit("fixed"),
        "ended_on": pl.when(pl.col("end_reason").is_not_null()).then(ended),
        "end_reason": pl.col("end_reason").replace("evicted", "moved_out"),
    }
    same = {name: pl.col(name) for name in names}
    return {
        "tenants": shape_table("tenants", created, tenants),
        "leases": shape_table("leases", same | ends, leases.with_columns(known_at=pl.col("signed_on"))),
    }


def _expect_machines(own: Tables, rows: Tables) -> dict[str, pl.DataFrame]:
    orders, equipment = own["work_orders"], own["equipment"]
    unchanged = ("category", "kind", "priority", "status", "opened_at", "scheduled_for", "completed_at", "cost")
    links = _find_only_machines(orders, equipment)
    placed = orders.drop("equipment_id").join(links, on="work_order_id", how="left", maintain_order="left")
    keys = {"property_id": pl.col("unit_id"), "unit_id": pl.col("unit_id")}
    order = {name: pl.col(name) for name in ("work_order_id", "equipment_id", *unchanged)} | {"known_at": pl.col("opened_at")}
    piece = {name: pl.col(name) for name in ("equipment_id", "kind", "installed_on", "retired_on")}
    readings = rows["SensorReading"].join(
        rows["IoTSensor"].select(sensorId="id", device="deviceId", type="type", unit="unit"), on="sensorId"
    )
    # In Python's arithmetic, which is the database's to the last bit; Polars divides by a constant through its reciprocal.
    celsius = pl.Series([(value - 32) * 5 / 9 for value in readings["value"].to_list()])
    reading = {
        "equipment_id": pl.col("device"),
        "measured_at": pl.col("timestamp"),
        "kind": pl.col("type").str.to_lowercase(),
        "value": pl.when(pl.col("unit") == "F").then(pl.lit(celsius)).otherwise(pl.col("value")),
        "quality": pl.col("quality") / 100,
        "known_at": pl.col("timestamp"),
    }
    return {
        "equipment": shape_table("equipment", piece | keys | {"known_at": pl.col("installed_on")}, equipment),
        "work_orders": shape_table("work_orders", order | keys, placed),
        "sensor_readings": shape_table("sensor_readings", reading, readings),
    }


def _find_only_machines(orders: pl.DataFrame, equipment: pl.DataFrame) -> pl.DataFrame:
    """Frame [work_order_id, equipment_id]: of orders for whose category one machine alone was at work in the rental."""
    machines = equipment.select("equipment_id", "unit_id", "installed_on", "retired_on", category="kind")
    pairs = orders.select("work_order_id", "unit_id", "category", "opened_at").join(machines, on=["unit_id", "category"])
    known = pairs.filter(~pl.col("category").is_in(["other"]))
    is_there = (pl.col("installed_on") <= pl.col("opened_at")) & (
        pl.col("retired_on").is_null() | (pl.col("retired_on") > pl.col("opened_at"))
    )
    counted = known.filter(is_there).group_by("work_order_id").agg(pl.col("equipment_id").first(), n=pl.len())
    return counted.filter(pl.col("n") == 1).drop("n")


def _expect_market(rows: pl.DataFrame) -> pl.DataFrame:
    month = pl.col("dataDate").dt.truncate("1mo")
    published = month.dt.offset_by("1mo").dt.offset_by("15d")
    values = {
        "zip_code": pl.col("location"),
        "bedrooms": pl.col("bedrooms"),
        "month": month,
        "average_rent": pl.col("averageRent"),
        "vacancy_rate": pl.col("vacancyRate"),
        "source": pl.lit("platform"),
        "provenance": pl.lit("nonpublic_competitor"),
        "published_at": published,
        "known_at": published,
    }
    return shape_table("market", values, rows)
