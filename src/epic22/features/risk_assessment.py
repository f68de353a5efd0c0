"""Risk assessment: which lease will default within 90 days, and what does it cost?

A row is an active lease at a monthly cutoff that is not in default already. It defaults when, on the 30th day past the due date
of one of its rents in (cutoff, cutoff + 90 days], at least one month's rent is unpaid that long. The expected loss is the
probability times three months' rent. A person decides, never the score.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.evaluation.metrics import KS_STATISTIC, build_binary_target
from epic22.core.task import Array, AsOfView, DataRequirement, EvaluationPolicy, Future, Incumbent
from epic22.features.lease_history import (
    CENT,
    build_lease_task,
    compute_lease_inputs,
    select_active_leases,
)

HORIZON_DAYS = 90
GRACE = timedelta(days=30)
RENT = pl.col("kind") == "rent"
LOOKBACK = timedelta(days=3650)


def select_rows(view: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """Active leases that were not in default at the cutoff."""
    active = select_active_leases(view, cutoffs)
    active_view = view.take(_locate_rows(view.at, active))
    return active.filter(~find_defaults(active_view))


def _locate_rows(at: pl.DataFrame, selected: pl.DataFrame) -> pl.Series:
    """Which rows of `at` were kept."""
    return at.with_row_index("row").join(selected, on=["entity", "cutoff"], how="semi", maintain_order="left")["row"]


def find_defaults(view: AsOfView) -> pl.Series:
    """Whether a month's rent was unpaid 30 days past due at the latest such day up to the cutoff, (n,)."""
    lease = view.latest("leases").with_row_index("row")
    charges = view.window("charges", None, RENT).filter(pl.col("due_on") + GRACE <= pl.col("cutoff"))
    payments = view.join(charges.select("row", "charge_id"), "payments", "charge_id")
    check_days = charges.group_by("row").agg(day=(pl.col("due_on") + GRACE).max())
    unpaid = _sum_unpaid(check_days, charges, payments)
    worst = unpaid.group_by("row").agg(pl.col("unpaid").max())
    arrears = lease.select("row", "monthly_rent").join(worst, on="row", how="left").sort("row")
    return arrears.select((pl.col("unpaid") >= pl.col("monthly_rent") - CENT).fill_null(value=False).alias("default"))["default"]


def _sum_unpaid(days: pl.DataFrame, charges: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Frame [row, day, unpaid]: the sum over rents due 30 days before `day` or earlier of what was not paid by `day`."""
    due = days.join(charges.select("row", "charge_id", "due_on", "amount"), on="row").filter(
        pl.col("due_on") + GRACE <= pl.col("day")
    )
    paid = payments.filter(pl.col("status") == "paid").select("row", "charge_id", "paid_on", paid="amount")
    by_day = (
        due.join(paid, on=["row", "charge_id"], how="left")
        .with_columns(paid=pl.when(pl.col("paid_on") <= pl.col("day")).then(pl.col("paid")).fill_null(0.0))
        .group_by("row", "day", "charge_id")
        .agg(pl.col("amount").first(), pl.col("paid").sum())
    )
    return by_day.group_by("row", "day").agg(unpaid=(pl.col("amount") - pl.col("paid")).sum())


def compute_labels(view: AsOfView, future: Future) -> pl.DataFrame:
    """Whether a month's rent is unpaid 30 days past due on some day of (cutoff, cutoff + 90 days]."""
    lease = view.latest("leases").with_row_index("row").select("row", "cutoff", "monthly_rent")
    charges = future.window("charges", before=LOOKBACK).filter(RENT)
    payments = future.join(charges.select("row", "charge_id"), "payments", "charge_id")
    horizon = timedelta(days=HORIZON_DAYS)
    days = (
        charges.select("row", "cutoff", day=pl.col("due_on") + GRACE)
        .filter((pl.col("day") > pl.col("cutoff")) & (pl.col("day") <= pl.col("cutoff") + horizon))
        .select("row", "day")
        .unique()
    )
    worst = _sum_unpaid(days, charges, payments).group_by("row").agg(pl.col("unpaid").max())
    arrears = lease.join(worst, on="row", how="left").sort("row")
    return arrears.select(
        (pl.col("unpaid") >= pl.col("monthly_rent") - CENT).fill_null(value=False).cast(pl.Float64).alias("default")
    )


def score_checklist(view: AsOfView) -> Array:
    """The rule that ran before: five sevenths of the points for an old building, many repairs, high vacancy, falling rents, late
    payments, complaints and a screening that is not low, 0 to 5, (n,)."""
    columns = compute_lease_inputs(view)
    points = [
        pl.col("building_age") > 30,
        pl.col("property_repairs_90d") > 10,
        pl.col("market_vacancy") > 0.07,
        pl.col("market_change") < 0,
        pl.col("late_share") > 0.25,
        pl.col("complaints_year") > 2,
        pl.col("screening_risk") != "low",
    ]
    total = columns.select(pl.sum_horizontal(*(p.fill_null(value=False).cast(pl.Float64) for p in points)).alias("points"))
    return np.asarray(total["points"].to_numpy() * 5 / len(points))


TASK = build_lease_task(
    name="risk_assessment",
    targets=(build_binary_target("default", compute_labels, float(HORIZON_DAYS), ("payment", "default"), (KS_STATISTIC,)),),
    rows=select_rows,
    about="which lease will default within 90 days",
    costs={"miss": 3.0, "false_alarm": 200.0},
    incumbent=Incumbent("checklist of seven", "ranking", score_checklist),
    stake_column="monthly_rent",
    policy=EvaluationPolicy(capacity=5),
    requirements=(
        DataRequirement("leases", None, 50),
        DataRequirement("leases", "ended_on", 1),
        DataRequirement("charges", None, 100),
        DataRequirement("payments", None, 100),
    ),
)
