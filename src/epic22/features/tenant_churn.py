"""Tenant churn: which tenant will leave within 90 days?

A row is an active lease at a monthly cutoff, its tenant not having given notice. The label: the lease ends, and the tenant moves
out, in (cutoff, cutoff + 90 days]. Leasing calls the listed tenants; a person decides, never the score.
"""

from dataclasses import replace

import numpy as np
import polars as pl

from epic22.core.evaluation.metrics import TOP_DECILE_LIFT, build_binary_target
from epic22.core.evaluation.survival import build_hazard_target
from epic22.core.task import Array, AsOfView, DataRequirement, EvaluationPolicy, Future, Incumbent
from epic22.features.lease_history import (
    CENT,
    DAY,
    build_lease_task,
    select_tenant_rents,
    settle_charges,
)

HORIZON_DAYS = 90
N_LATEST = 24
MONTHS, MONTH_DAYS = 12, 30.0
"""The hazard's grid: twelve months of 30 days, so that the third ends where the plain task's horizon does."""


def compute_labels(view: AsOfView, future: Future) -> pl.DataFrame:
    """Whether the lease ended in (cutoff, cutoff + 90 days] because the tenant moved out."""
    movers = future.window("leases", event="ended_on").filter(pl.col("end_reason") == "moved_out")["row"].unique()
    every = future.at.with_row_index("row")["row"]
    return pl.DataFrame({"moves_out": every.is_in(movers.implode()).cast(pl.Float64)})


def compute_time_labels(view: AsOfView, future: Future) -> pl.DataFrame:
    """Days until the lease ended because the tenant moved out, or days without that: [duration, observed].

    A lease that ends otherwise (renewed, transferred, evicted) stays at risk of a move-out that cannot come any more, so that the
    probability up to a horizon is that of `labels`.
    """
    move_outs = future.window("leases", event="ended_on").filter(pl.col("end_reason") == "moved_out")
    return future.time_to_event(move_outs, "ended_on")


def score_late_and_new(view: AsOfView) -> Array:
    """The rule that ran before, (n,): 0.30 late share + 0.25 failed share of the last 24 payments, 0.20 overdue share of the last
    24 charges, 0.15 for the months short of a year, 0.10 for a high screening risk."""
    lease = view.latest("leases")
    tenant = view.with_entities(lease["tenant_id"], "tenant_id").latest("tenants")
    charges = select_tenant_rents(view, lease)
    payments = view.join(charges.select("row", "charge_id"), "payments", "charge_id")
    due = charges.select("row", "charge_id", "due_on")
    recent = payments.join(due, on=["row", "charge_id"]).sort("row", "paid_on", "payment_id")
    shares = recent.group_by("row").agg(
        late=((pl.col("status") == "paid") & (pl.col("paid_on") > pl.col("due_on"))).tail(N_LATEST).mean(),
        failed=(pl.col("status") == "failed").tail(N_LATEST).mean(),
    )
    overdue = (
        settle_charges(view, charges)
        .group_by("row")
        .agg(overdue=((pl.col("unpaid") > CENT) & (pl.col("due_on") < pl.col("cutoff"))).tail(N_LATEST).mean())
    )
    every = lease.with_row_index("row").select(
        "row",
        months=(pl.col("cutoff") - pl.col("start_date")) / DAY / 30.4375,
        high=(tenant["screening_risk"] == "high").fill_null(value=False),
    )
    factors = every.join(shares, on="row", how="left").join(overdue, on="row", how="left").sort("row").fill_null(0.0)
    new = np.maximum(0.0, (12 - factors["months"].to_numpy()) / 12)
    score = (
        0.30 * factors["late"] + 0.25 * factors["failed"] + 0.20 * factors["overdue"] + 0.10 * factors["high"].cast(pl.Float64)
    )
    return np.asarray(score.to_numpy() + 0.15 * new)


TASK = build_lease_task(
    name="tenant_churn",
    targets=(build_binary_target("moves_out", compute_labels, float(HORIZON_DAYS), ("stay", "move-out"), (TOP_DECILE_LIFT,)),),
    about="which tenant will leave within 90 days",
    costs={"miss": 3976.0, "false_alarm": 60.0},
    incumbent=Incumbent("late, failed and overdue shares", "ranking", score_late_and_new),
    policy=EvaluationPolicy(capacity=10),
    requirements=(
        DataRequirement("leases", None, 50),
        DataRequirement("leases", "ended_on", 30),
        DataRequirement("charges", None, 100),
    ),
)

HAZARD = replace(
    TASK,
    name="churn_hazard",
    targets=(
        build_hazard_target(
            "moves_out",
            compute_time_labels,
            tuple(MONTH_DAYS * month for month in range(1, MONTHS + 1)),
            decision_horizon=float(HORIZON_DAYS),
            classes=("stay", "move-out"),
            secondary_metrics=(TOP_DECILE_LIFT,),
        ),
    ),
    families=("constant", "hazard_linear", "hazard"),
    about="when a tenant will leave: by month up to twelve",
)
"""The same rows, inputs, rule and costs, with the time to the move-out for a label; judged and acted on at 90 days."""
