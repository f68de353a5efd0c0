"""Tables of people: tenants, protected, leases, charges, payments and messages, as far as they are published."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.tables.canonical import RISKS
from epic22.simulator.calendar import Array, Span, first_day, last_day, to_datetime
from epic22.simulator.equipment import Machines
from epic22.simulator.estate import Estate
from epic22.simulator.table_builder import build_table, decode_levels, gather_names, ids, money
from epic22.simulator.tenancy_history import TenancyHistory

END_REASONS = ("moved_out", "renewed", "transferred", "evicted")
CHARGE_KINDS = ("rent", "deposit", "fee", "utility")
PAYMENT_STATUSES = ("paid", "failed", "refunded")
PAYMENT_METHODS = ("ach", "card", "check", "cash")
AGE_BANDS = ("18-29", "30-44", "45-61", "62+")
FAMILY_STATUSES = ("no children", "children")
DISABILITIES = ("none", "disabled")


@dataclass(frozen=True)
class Publication:
    """Which leases, charges and tenants are published (booleans), and the ids of all."""

    leases: Array
    charges: Array
    tenants: Array
    lease_ids: pl.Series
    tenant_ids: pl.Series
    charge_ids: pl.Series


def select_published(history: TenancyHistory, span: Span) -> Publication:
    """Leases that reach into the window, with all their charges."""
    leases = history.lease.ended >= span.window_day
    tenants = np.zeros(len(history.person.rent), bool)
    tenants[history.lease.tenant[leases]] = True
    return Publication(
        leases,
        leases[history.charge.lease],
        tenants,
        ids("L", np.arange(1, len(leases) + 1), 7),
        ids("T", np.arange(1, len(tenants) + 1), 6),
        ids("C", np.arange(1, len(history.charge.lease) + 1), 8),
    )


def build_tenancy_tables(
    estate: Estate, history: TenancyHistory, publication: Publication, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """The tables tenants, protected, leases, charges and payments."""
    tenants, income = _build_tenants(history, publication, rng)
    return {
        "tenants": tenants,
        "protected": _build_protected(history, publication, income, rng),
        "leases": _build_leases(estate, history, publication),
        "charges": _build_charges(history, publication),
        "payments": _build_payments(history, publication, rng),
    }


def _build_tenants(history: TenancyHistory, publication: Publication, rng: np.random.Generator) -> tuple[pl.DataFrame, Array]:
    n = len(publication.tenants)
    reliable = history.person.reliability
    score = 0.75 * reliable + 0.66 * rng.standard_normal(n)
    risk = np.digitize(-score, [0.1, 1.1])
    income = history.person.rent * 12 * 3.0 * np.exp(0.18 * reliable + 0.28 * rng.standard_normal(n))
    unknown, silent = rng.random(n) < 0.05, rng.random(n) < 0.08
    created = to_datetime(history.person.created, np.round(rng.uniform(8, 18, n), 1))
    frame = build_table(
        "tenants",
        {
            "tenant_id": publication.tenant_ids,
            "screening_risk": gather_names(pl.Series(RISKS), risk, unknown),
            "household_income": money(np.round(income, -2) * 100).set(pl.Series(silent), None),
            "created_at": created,
            "known_at": created,
        },
    )
    tenant_ids = pl.DataFrame({"tenant_id": publication.tenant_ids.filter(pl.Series(publication.tenants))})
    return frame.join(tenant_ids, on="tenant_id", how="semi", maintain_order="left"), income


def _build_protected(history: TenancyHistory, publication: Publication, income: Array, rng: np.random.Generator) -> pl.DataFrame:
    n = len(publication.tenants)
    rank = (np.log(income) - np.log(income).mean()) / np.log(income).std()
    age = np.digitize(0.35 * rank + rng.standard_normal(n), [-0.7, 0.3, 1.2])
    family, disabled = rng.random(n) < 0.32, rng.random(n) < 0.11
    has_record = publication.tenants & (rng.random(n) < 0.9)
    frame = build_table(
        "protected",
        {
            "tenant_id": publication.tenant_ids,
            "age_band": decode_levels(AGE_BANDS, age),
            "family_status": decode_levels(FAMILY_STATUSES, family.astype(int)),
            "disability": decode_levels(DISABILITIES, disabled.astype(int)),
            "known_at": to_datetime(history.person.created, 20.0),
        },
    )
    tenant_ids = pl.DataFrame({"tenant_id": publication.tenant_ids.filter(pl.Series(has_record))})
    return frame.join(tenant_ids, on="tenant_id", how="semi", maintain_order="left")


def _build_leases(estate: Estate, history: TenancyHistory, publication: Publication) -> pl.DataFrame:
    at = np.flatnonzero(publication.leases)
    lease = history.lease
    reason = lease.reason[at]
    return build_table(
        "leases",
        {
            "lease_id": gather_names(publication.lease_ids, at),
            "unit_id": gather_names(estate.unit_ids, lease.unit[at]),
            "tenant_id": gather_names(publication.tenant_ids, lease.tenant[at]),
            "start_date": to_datetime(first_day(lease.first[at])),
            "end_date": to_datetime(last_day(lease.last[at])),
            "monthly_rent": money(lease.rent[at] * 100),
            "deposit": money(_compute_deposits(history)[at]),
            "lease_type": np.where(lease.monthly[at], "month_to_month", "fixed"),
            "signed_on": to_datetime(lease.signed[at]),
            "notice_on": to_datetime(lease.notice[at]),
            "ended_on": to_datetime(lease.ended[at]),
            "end_reason": gather_names(pl.Series(END_REASONS), np.maximum(reason, 0), reason < 0),
            "known_at": to_datetime(lease.signed[at]),
        },
    )


def _compute_deposits(history: TenancyHistory) -> Array:
    """The deposit a tenant brought stays his through renewals: cents of each lease."""
    return np.asarray(history.person.rent[history.lease.tenant] * 100)


def _build_charges(history: TenancyHistory, publication: Publication) -> pl.DataFrame:
    at = np.flatnonzero(publication.charges)
    charge = history.charge
    deposit = charge.kind[at] == CHARGE_KINDS.index("deposit")
    known = np.where(deposit, history.lease.signed[charge.lease[at]], charge.due[at])
    return build_table(
        "charges",
        {
            "charge_id": gather_names(publication.charge_ids, at),
            "lease_id": gather_names(publication.lease_ids, charge.lease[at]),
            "due_on": to_datetime(charge.due[at]),
            "amount": money(charge.amount[at]),
            "kind": decode_levels(CHARGE_KINDS, charge.kind[at]),
            "known_at": to_datetime(known),
        },
    )


def _build_payments(history: TenancyHistory, publication: Publication, rng: np.random.Generator) -> pl.DataFrame:
    payment = history.payment
    at = np.flatnonzero(publication.charges[payment.charge])
    tenant = history.lease.tenant[history.charge.lease[payment.charge[at]]]
    usual = rng.choice(4, len(history.person.rent), p=[0.62, 0.2, 0.14, 0.04])
    method = np.where(rng.random(len(at)) < 0.93, usual[tenant], rng.integers(0, 4, len(at)))
    paid = to_datetime(payment.day[at])
    return build_table(
        "payments",
        {
            "payment_id": gather_names(ids("Y", np.arange(1, len(payment.charge) + 1), 8), at),
            "charge_id": gather_names(publication.charge_ids, payment.charge[at]),
            "paid_on": paid,
            "amount": money(payment.amount[at]),
            "status": decode_levels(PAYMENT_STATUSES, payment.status[at]),
            "method": decode_levels(PAYMENT_METHODS, method),
            "known_at": paid,
        },
    )


def build_messages_table(
    estate: Estate, history: TenancyHistory, machines: Machines, publication: Publication, span: Span, rng: np.random.Generator
) -> pl.DataFrame:
    """Complaints of the aggrieved, requests after failures, and what else is written, in the window."""
    complaints = history.complaint
    window = complaints.month >= span.window_month
    n = int(window.sum())
    day = first_day(complaints.month[window]) + rng.integers(0, 27, n)
    mood = -0.45 - 0.12 * complaints.temper[window] - 0.15 * complaints.reminder[window] + rng.normal(0, 0.2, n)
    parts = [(complaints.lease[window], day, np.zeros(n, int), mood)]
    parts.append(_sample_failure_messages(estate, history, machines, span, rng))
    parts.append(_sample_other_messages(history, span, rng))
    lease, day, category, mood = (np.concatenate([p[i] for p in parts]) for i in range(4))
    sent = to_datetime(day, np.round(rng.uniform(0.5, 23.5, len(day)), 1))
    order = np.lexsort((lease, sent))
    return build_table(
        "messages",
        {
            "message_id": ids("M", np.arange(1, len(order) + 1), 7),
            "lease_id": gather_names(publication.lease_ids, lease[order]),
            "sent_at": sent[order],
            "category": decode_levels(("complaint", "request", "praise", "other"), category[order]),
            "sentiment": np.clip(mood[order], -1, 1).round(3),
            "known_at": sent[order],
        },
    )


def _sample_failure_messages(
    estate: Estate, history: TenancyHistory, machines: Machines, span: Span, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    """Up to three tenants of the house write on the day of a failure or the two after it."""
    late = (machines.failures.day >= span.window_day) & (machines.failures.day < span.end_day - 3)
    house = np.repeat(estate.slot_property[machines.failures.slot[late]], 3)
    day = np.repeat(machines.failures.day[late], 3) + rng.integers(0, 3, 3 * int(late.sum()))
    first = np.cumsum(estate.units_per_property) - estate.units_per_property
    unit = first[house] + rng.integers(0, estate.units_per_property[house])
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(int)
    lease = np.array([history.lease_of[int(m)][u] for m, u in zip(months, unit, strict=True)], dtype=int)
    writes = (lease >= 0) & (rng.random(len(lease)) < 0.4)
    category = np.where(rng.random(len(lease)) < 0.35, 0, 1)
    mood = rng.normal(-0.25, 0.25, len(lease))
    return lease[writes], day[writes], category[writes], mood[writes]


def _sample_other_messages(history: TenancyHistory, span: Span, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Requests, praise and the rest, of anybody at any time."""
    leases, days = [], []
    for month in range(span.window_month, span.end_month):
        lease = history.lease_of[month]
        writes = lease[(lease >= 0) & (rng.random(len(lease)) < 0.05)]
        leases.append(writes)
        days.append(first_day(month) + rng.integers(0, 28, len(writes)))
    lease, day = np.concatenate(leases), np.concatenate(days)
    category = rng.choice([0, 1, 2, 3], len(lease), p=[0.1, 0.5, 0.15, 0.25])
    mood = np.array([-0.35, 0.0, 0.6, 0.1])[category] + rng.normal(0, 0.2, len(lease))
    return lease, day, category, mood
