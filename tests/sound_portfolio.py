"""A sound toy portfolio in the canonical tables, for the checks: three years, with wear before failures, seasons and moves."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl

from epic22.core.quality.finding import cast_to_contract
from epic22.core.tables.canonical import KNOWN_AT, get_canonical_table
from epic22.core.task import Array

START = datetime(2021, 1, 1)
DAYS = 1095
SENSORS = {"temperature": (45.0, 3.0, 4.0), "vibration": (3.0, 0.1, 0.4), "pressure": (300.0, 5.0, 12.0)}
"""Level, amplitude of the season and noise of each kind."""


def _at(days: Array) -> pl.Series:
    """Days after the start as times, to the hour; NaN becomes null."""
    hours = np.asarray(days, dtype=float) * 24
    known = ~np.isnan(hours)
    times = np.datetime64(START, "us") + np.where(known, hours, 0).round().astype(int).astype("timedelta64[h]")
    return pl.Series(times).set(pl.Series(~known), None)


def _ids(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i:06d}" for i in range(n)]


def _table(name: str, columns: Mapping[str, object]) -> pl.DataFrame:
    frame = pl.DataFrame(columns, strict=False)
    return cast_to_contract(frame, get_canonical_table(name))


def sound_portfolio(seed: int, properties: int = 15, units_each: int = 8) -> dict[str, pl.DataFrame]:
    """All canonical tables but `market` and `protected`, as frames by name."""
    rng = np.random.default_rng([seed, 5])
    n = properties * units_each
    tables = {
        "properties": _table(
            "properties",
            {
                "property_id": _ids("P", properties),
                "name": _ids("House ", properties),
                "city": "Springfield",
                "state": "IL",
                "zip_code": [f"627{i % 5:02d}" for i in range(properties)],
                "property_type": "apartment",
                "year_built": rng.integers(1920, 2015, properties),
                "total_units": units_each,
                KNOWN_AT: START,
            },
        ),
        "units": _table(
            "units",
            {
                "unit_id": _ids("U", n),
                "property_id": np.repeat(_ids("P", properties), units_each),
                "bedrooms": rng.integers(0, 4, n),
                "bathrooms": 1.0,
                "area_sqft": np.round(rng.normal(800, 150, n).clip(300)),
                "floor": rng.integers(0, 5, n),
                KNOWN_AT: START,
            },
        ),
    }
    tables |= _contracts(rng, n)
    tables |= _machines(rng, properties)
    return tables


def _contracts(rng: np.random.Generator, units: int) -> dict[str, pl.DataFrame]:
    rows, day = [], rng.integers(-300, 60, units).astype(float)
    for _ in range(4):
        stay = rng.choice([182.0, 365.0, 730.0], units)
        rows.append((np.arange(units), day.copy(), day + stay, rng.choice(["moved_out", "renewed"], units)))
        day = day + stay + rng.choice([0.0, 3.0, 14.0, 40.0], units)
    unit, start, end = (np.concatenate([row[i] for row in rows]) for i in range(3))
    reason = np.concatenate([row[3] for row in rows])
    kept = start < DAYS - 10
    unit, start, end, reason = unit[kept], start[kept], end[kept], reason[kept]
    n = len(unit)
    ended = np.where(end < DAYS, end, np.nan)
    rent = np.round(rng.normal(1400, 250, n).clip(500))
    leases = {
        "lease_id": _ids("L", n),
        "unit_id": [f"U{u:06d}" for u in unit],
        "tenant_id": _ids("T", n),
        "start_date": _at(start),
        "end_date": _at(end),
        "monthly_rent": rent,
        "deposit": rent,
        "lease_type": "fixed",
        "signed_on": _at(start - rng.integers(5, 40, n)),
        "ended_on": _at(ended),
        "end_reason": [r if e == e else None for r, e in zip(reason, ended, strict=True)],
    }
    frame = _table("leases", leases | {KNOWN_AT: leases["signed_on"]})
    tenants = {
        "tenant_id": leases["tenant_id"],
        "screening_risk": "low",
        "created_at": leases["signed_on"],
        KNOWN_AT: leases["signed_on"],
    }
    return {"tenants": _table("tenants", tenants), "leases": frame} | _money(rng, start, np.minimum(end, DAYS), rent)


def _money(rng: np.random.Generator, start: Array, end: Array, rent: Array) -> dict[str, pl.DataFrame]:
    months = np.maximum(1, np.ceil((end - start) / 30.5).astype(int))
    lease = np.repeat(np.arange(len(start)), months)
    month = np.concatenate([np.arange(m) for m in months])
    due = start[lease] + month * 30.5
    n = len(lease)
    charges = _table(
        "charges",
        {
            "charge_id": _ids("C", n),
            "lease_id": [f"L{i:06d}" for i in lease],
            "due_on": _at(due),
            "amount": rent[lease],
            "kind": "rent",
            KNOWN_AT: _at(start[lease] - 5),
        },
    )
    paid = due + np.where(rng.uniform(size=n) < 0.9, rng.integers(-3, 3, n), rng.integers(3, 60, n)) + rng.integers(0, 24, n) / 24
    done = paid < DAYS
    payments = {
        "payment_id": _ids("Y", int(done.sum())),
        "charge_id": charges["charge_id"].filter(pl.Series(done)),
        "paid_on": _at(paid[done]),
        "amount": rent[lease][done],
        "status": "paid",
        "method": rng.choice(["ach", "card"], int(done.sum())),
        KNOWN_AT: _at(paid[done]),
    }
    late = due < DAYS
    m = len(start)
    sent = start + rng.uniform(0, 1, m) * (end - start)
    messages = {
        "message_id": _ids("M", m),
        "lease_id": _ids("L", m),
        "sent_at": _at(sent),
        "category": rng.choice(["complaint", "request"], m),
        "sentiment": np.round(rng.uniform(-1, 1, m), 2),
        KNOWN_AT: _at(sent),
    }
    return {
        "charges": charges.filter(pl.Series(late)),
        "payments": _table("payments", payments).filter(
            pl.col("charge_id").is_in(charges.filter(pl.Series(late))["charge_id"].implode())
        ),
        "messages": _table("messages", messages),
    }


def _machines(rng: np.random.Generator, properties: int) -> dict[str, pl.DataFrame]:
    kinds = ["hvac", "plumbing", "elevator", "electrical"]
    each = 6
    n = properties * each
    kind = np.array(kinds)[rng.integers(0, 4, n)]
    age = rng.uniform(400, 4000, n)
    cost = np.array([6000, 2000, 40000, 3000])[[kinds.index(k) for k in kind]] * rng.lognormal(0, 0.25, n)
    equipment = {
        "equipment_id": _ids("E", n),
        "property_id": np.repeat(_ids("P", properties), each),
        "kind": kind,
        "installed_on": _at(-age),
        "warranty_until": _at(-age + 730),
        "replacement_cost": np.round(cost),
        KNOWN_AT: _at(-age),
    }
    failures = rng.poisson(0.15 * age / 1000 * 3)
    which = np.repeat(np.arange(n), failures)
    failed = rng.uniform(20, DAYS, len(which))
    visit = np.repeat(np.arange(n), 2)
    visited = rng.uniform(0, DAYS, 2 * n)
    who, opened = np.concatenate([which, visit]), np.concatenate([failed, visited])
    corrective = np.arange(len(who)) < len(which)
    done = opened + rng.uniform(0.2, 8, len(who))
    orders = {
        "work_order_id": _ids("W", len(who)),
        "property_id": [f"P{i // each:06d}" for i in who],
        "equipment_id": [f"E{i:06d}" for i in who],
        "category": "hvac",
        "kind": np.where(corrective, "corrective", "preventive"),
        "priority": np.where(corrective, rng.choice(["high", "critical"], len(who)), "low"),
        "status": np.where(done < DAYS, "completed", "open"),
        "opened_at": _at(opened),
        "completed_at": _at(np.where(done < DAYS, done, np.nan)),
        "cost": np.where(done < DAYS, np.round(rng.lognormal(5, 0.6, len(who)), 2), np.nan),
        KNOWN_AT: _at(opened),
    }
    frames = {"equipment": _table("equipment", equipment), "work_orders": _table("work_orders", orders)}
    return frames | {"sensor_readings": _readings(rng, kind, which, failed), "ledger": _ledger(rng, properties)}


def _readings(rng: np.random.Generator, kind: Array, which: Array, failed: Array) -> pl.DataFrame:
    """Daily readings with a season, autocorrelated noise, and a climb over the 15 days before each failure."""
    n, days, parts = len(kind), np.arange(DAYS), []
    for name, (level, season, noise) in SENSORS.items():
        shocks = rng.normal(size=(n, DAYS))
        for day in range(1, DAYS):
            shocks[:, day] = 0.4 * shocks[:, day - 1] + np.sqrt(1 - 0.16) * shocks[:, day]
        wear = np.zeros((n, DAYS))
        for machine, at in zip(which, failed, strict=True):
            lead = at - days
            wear[machine] += np.where((lead > 0) & (lead < 15), 2 * (15 - lead) / 15, 0)
        own = level * rng.lognormal(0, 0.08, n)[:, None]
        values = own + season * np.sin(2 * np.pi * days / 365)[None, :] + noise * (0.5 * shocks + wear)
        parts.append(
            pl.DataFrame(
                {
                    "equipment_id": np.repeat(_ids("E", n), DAYS),
                    "measured_at": _at(np.tile(days + 0.25, n)),
                    "kind": name,
                    "value": np.round(values.ravel().clip(0), 3),
                    "quality": 1.0,
                }
            )
        )
    readings = pl.concat(parts)
    return cast_to_contract(readings.with_columns(pl.col("measured_at").alias(KNOWN_AT)), get_canonical_table("sensor_readings"))


def _ledger(rng: np.random.Generator, properties: int) -> pl.DataFrame:
    n = properties * 36 * 3
    at = np.tile(np.arange(36) * 30.4, properties * 3)
    return _table(
        "ledger",
        {
            "entry_id": _ids("G", n),
            "property_id": np.repeat(_ids("P", properties), 36 * 3),
            "posted_on": _at(at),
            "account": np.tile(np.repeat(["repairs", "utilities", "taxes"], 36), properties),
            "amount": -np.round(rng.lognormal(6, 0.4, n), 2),
            KNOWN_AT: _at(at),
        },
    )
