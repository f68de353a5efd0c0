"""Tables of people: tenants, protected, leases, charges, payments and messages, as far as they are published."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.data.canonical import RISKS
from epic22.simulator.calendar import Array, Span, first_day, last_day, moment
from epic22.simulator.equipment import Machines
from epic22.simulator.estate import Estate
from epic22.simulator.leases import Path
from epic22.simulator.rows import choose, ids, money, pick, table_of

REASONS = ("moved_out", "renewed", "transferred", "evicted")
CHARGE_KINDS = ("rent", "deposit", "fee", "utility")
STATUSES = ("paid", "failed", "refunded")
METHODS = ("ach", "card", "check", "cash")
AGE_BANDS = ("18-29", "30-44", "45-61", "62+")
FAMILIES = ("no children", "children")
DISABILITIES = ("none", "disabled")


@dataclass(frozen=True)
class Published:
    """Which leases, charges and tenants are published (booleans), and the ids of all."""

    leases: Array
    charges: Array
    tenants: Array
    lease_ids: pl.Series
    tenant_ids: pl.Series
    charge_ids: pl.Series


def publish(path: Path, span: Span) -> Published:
    """Leases that reach into the window, with all their charges."""
    leases = path.lease.ended >= span.window_day
    tenants = np.zeros(len(path.person.rent), bool)
    tenants[path.lease.tenant[leases]] = True
    return Published(
        leases,
        leases[path.charge.lease],
        tenants,
        ids("L", np.arange(1, len(leases) + 1), 7),
        ids("T", np.arange(1, len(tenants) + 1), 6),
        ids("C", np.arange(1, len(path.charge.lease) + 1), 8),
    )


def tenancy_tables(estate: Estate, path: Path, shown: Published, span: Span, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """The tables tenants, protected, leases, charges and payments."""
    tenants, income = _tenants(path, shown, rng)
    return {
        "tenants": tenants,
        "protected": _protected(path, shown, income, rng),
        "leases": _leases(estate, path, shown, span),
        "charges": _charges(path, shown, rng),
        "payments": _payments(path, shown, rng),
    }


def _tenants(path: Path, shown: Published, rng: np.random.Generator) -> tuple[pl.DataFrame, Array]:
    n = len(shown.tenants)
    reliable = path.person.reliability
    score = 0.75 * reliable + 0.66 * rng.standard_normal(n)
    risk = np.digitize(-score, [0.1, 1.1])
    income = path.person.rent * 12 * 3.0 * np.exp(0.18 * reliable + 0.28 * rng.standard_normal(n))
    unknown, silent = rng.random(n) < 0.05, rng.random(n) < 0.08
    created = moment(path.person.created, np.round(rng.uniform(8, 18, n), 1))
    frame = table_of(
        "tenants",
        {
            "tenant_id": shown.tenant_ids,
            "screening_risk": pick(pl.Series(RISKS), risk, unknown),
            "household_income": money(np.round(income, -2) * 100).set(pl.Series(silent), None),
            "created_at": created,
            "known_at": created,
        },
    )
    kept = pl.DataFrame({"tenant_id": shown.tenant_ids.filter(pl.Series(shown.tenants))})
    return frame.join(kept, on="tenant_id", how="semi", maintain_order="left"), income


def _protected(path: Path, shown: Published, income: Array, rng: np.random.Generator) -> pl.DataFrame:
    n = len(shown.tenants)
    rank = (np.log(income) - np.log(income).mean()) / np.log(income).std()
    age = np.digitize(0.35 * rank + rng.standard_normal(n), [-0.7, 0.3, 1.2])
    family, disabled = rng.random(n) < 0.32, rng.random(n) < 0.11
    held = shown.tenants & (rng.random(n) < 0.9)
    frame = table_of(
        "protected",
        {
            "tenant_id": shown.tenant_ids,
            "age_band": choose(AGE_BANDS, age),
            "family_status": choose(FAMILIES, family.astype(int)),
            "disability": choose(DISABILITIES, disabled.astype(int)),
            "known_at": moment(path.person.created, 20.0),
        },
    )
    kept = pl.DataFrame({"tenant_id": shown.tenant_ids.filter(pl.Series(held))})
    return frame.join(kept, on="tenant_id", how="semi", maintain_order="left")


def _leases(estate: Estate, path: Path, shown: Published, span: Span) -> pl.DataFrame:
    at = np.flatnonzero(shown.leases)
    lease = path.lease
    reason = lease.reason[at]
    return table_of(
        "leases",
        {
            "lease_id": pick(shown.lease_ids, at),
            "unit_id": pick(estate.unit_ids, lease.unit[at]),
            "tenant_id": pick(shown.tenant_ids, lease.tenant[at]),
            "start_date": moment(first_day(lease.first[at])),
            "end_date": moment(last_day(lease.last[at])),
            "monthly_rent": money(lease.rent[at] * 100),
            "deposit": money(_deposits(path)[at]),
            "lease_type": np.where(lease.monthly[at], "month_to_month", "fixed"),
            "signed_on": moment(lease.signed[at]),
            "notice_on": moment(lease.notice[at]),
            "ended_on": moment(lease.ended[at]),
            "end_reason": pick(pl.Series(REASONS), np.maximum(reason, 0), reason < 0),
            "known_at": moment(lease.signed[at]),
        },
    )


def _deposits(path: Path) -> Array:
    """The deposit a tenant brought stays his through renewals: cents of each lease."""
    return np.asarray(path.person.rent[path.lease.tenant] * 100)


def _charges(path: Path, shown: Published, rng: np.random.Generator) -> pl.DataFrame:
    at = np.flatnonzero(shown.charges)
    charge = path.charge
    deposit = charge.kind[at] == CHARGE_KINDS.index("deposit")
    known = np.where(deposit, path.lease.signed[charge.lease[at]], charge.due[at])
    return table_of(
        "charges",
        {
            "charge_id": pick(shown.charge_ids, at),
            "lease_id": pick(shown.lease_ids, charge.lease[at]),
            "due_on": moment(charge.due[at]),
            "amount": money(charge.amount[at]),
            "kind": choose(CHARGE_KINDS, charge.kind[at]),
            "known_at": moment(known),
        },
    )


def _payments(path: Path, shown: Published, rng: np.random.Generator) -> pl.DataFrame:
    payment = path.payment
    at = np.flatnonzero(shown.charges[payment.charge])
    tenant = path.lease.tenant[path.charge.lease[payment.charge[at]]]
    usual = rng.choice(4, len(path.person.rent), p=[0.62, 0.2, 0.14, 0.04])
    method = np.where(rng.random(len(at)) < 0.93, usual[tenant], rng.integers(0, 4, len(at)))
    paid = moment(payment.day[at])
    return table_of(
        "payments",
        {
            "payment_id": pick(ids("Y", np.arange(1, len(payment.charge) + 1), 8), at),
            "charge_id": pick(shown.charge_ids, payment.charge[at]),
            "paid_on": paid,
            "amount": money(payment.amount[at]),
            "status": choose(STATUSES, payment.status[at]),
            "method": choose(METHODS, method),
            "known_at": paid,
        },
    )


def messages_table(
    estate: Estate, path: Path, machines: Machines, shown: Published, span: Span, rng: np.random.Generator
) -> pl.DataFrame:
    """Complaints of the aggrieved, requests after failures, and what else is written, in the window."""
    told = path.complaint
    window = told.month >= span.window_month
    n = int(window.sum())
    day = first_day(told.month[window]) + rng.integers(0, 27, n)
    mood = -0.45 - 0.12 * told.temper[window] - 0.15 * told.reminder[window] + rng.normal(0, 0.2, n)
    parts = [(told.lease[window], day, np.zeros(n, int), mood)]
    parts.append(_about_failures(estate, path, machines, span, rng))
    parts.append(_else(path, span, rng))
    lease, day, category, mood = (np.concatenate([p[i] for p in parts]) for i in range(4))
    sent = moment(day, np.round(rng.uniform(0.5, 23.5, len(day)), 1))
    order = np.lexsort((lease, sent))
    return table_of(
        "messages",
        {
            "message_id": ids("M", np.arange(1, len(order) + 1), 7),
            "lease_id": pick(shown.lease_ids, lease[order]),
            "sent_at": sent[order],
            "category": choose(("complaint", "request", "praise", "other"), category[order]),
            "sentiment": np.clip(mood[order], -1, 1).round(3),
            "known_at": sent[order],
        },
    )


def _about_failures(
    estate: Estate, path: Path, machines: Machines, span: Span, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Up to three tenants of the house write on the day of a failure or the two after it."""
    late = (machines.failures.day >= span.window_day) & (machines.failures.day < span.end_day - 3)
    house = np.repeat(estate.slot_property[machines.failures.slot[late]], 3)
    day = np.repeat(machines.failures.day[late], 3) + rng.integers(0, 3, 3 * int(late.sum()))
    first = np.cumsum(estate.units_in) - estate.units_in
    unit = first[house] + rng.integers(0, estate.units_in[house])
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(int)
    lease = np.array([path.lease_of[int(m)][u] for m, u in zip(months, unit, strict=True)], dtype=int)
    writes = (lease >= 0) & (rng.random(len(lease)) < 0.4)
    category = np.where(rng.random(len(lease)) < 0.35, 0, 1)
    mood = rng.normal(-0.25, 0.25, len(lease))
    return lease[writes], day[writes], category[writes], mood[writes]


def _else(path: Path, span: Span, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Requests, praise and the rest, of anybody at any time."""
    leases, days = [], []
    for month in range(span.window_month, span.end_month):
        lease = path.lease_of[month]
        writes = lease[(lease >= 0) & (rng.random(len(lease)) < 0.05)]
        leases.append(writes)
        days.append(first_day(month) + rng.integers(0, 28, len(writes)))
    lease, day = np.concatenate(leases), np.concatenate(days)
    category = rng.choice([0, 1, 2, 3], len(lease), p=[0.1, 0.5, 0.15, 0.25])
    mood = np.array([-0.35, 0.0, 0.6, 0.1])[category] + rng.normal(0, 0.2, len(lease))
    return lease, day, category, mood
