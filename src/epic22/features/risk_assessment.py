"""Risk assessment: which lease will default within 90 days, and what does it cost?

A row is an active lease at a monthly cutoff that is not in default already. It defaults when, on the 30th day past the due date
of one of its rents in (cutoff, cutoff + 90 days], at least one month's rent is unpaid that long. The expected loss is the
probability times three months' rent. A person decides, never the score.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.evaluation.metrics import AVERAGE_PRECISION, BRIER_SCORE, LOG_LOSS
from epic22.core.history import MONTHLY
from epic22.core.task import Array, Incumbent, Known, Later, Need, Target, Task
from epic22.features.lease_history import (
    CENT,
    LIVING,
    PAYMENTS,
    TERMS,
    active_leases,
    lease_inputs,
    protected_classes,
)

HORIZON_DAYS = 90
GRACE = timedelta(days=30)
RENT = pl.col("kind") == "rent"
LOOK_BACK = timedelta(days=3650)


def rows(known: Known, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """Active leases that were not in default at the cutoff."""
    active = active_leases(known, cutoffs)
    seen = known.take(_places(known.at, active))
    return active.filter(~in_default(seen))


def _places(at: pl.DataFrame, kept: pl.DataFrame) -> pl.Series:
    """Which rows of `at` were kept."""
    return at.with_row_index("row").join(kept, on=["entity", "cutoff"], how="semi", maintain_order="left")["row"]


def in_default(known: Known) -> pl.Series:
    """Whether a month's rent was unpaid 30 days past due at the latest such day up to the cutoff, (n,)."""
    lease = known.latest("leases").with_row_index("row")
    charges = known.window("charges", None, RENT).filter(pl.col("due_on") + GRACE <= pl.col("cutoff"))
    payments = known.linked(charges.select("row", "charge_id"), "payments", "charge_id")
    judged = charges.group_by("row").agg(day=(pl.col("due_on") + GRACE).max())
    unpaid = _unpaid_at(judged, charges, payments)
    worst = unpaid.group_by("row").agg(pl.col("unpaid").max())
    told = lease.select("row", "monthly_rent").join(worst, on="row", how="left").sort("row")
    return told.select((pl.col("unpaid") >= pl.col("monthly_rent") - CENT).fill_null(value=False).alias("default"))["default"]


def _unpaid_at(days: pl.DataFrame, charges: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
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


def inputs(known: Known) -> pl.LazyFrame:
    """Terms, payments, messages and repairs, as of each row's own cutoff."""
    return lease_inputs(known).lazy()


def labels(known: Known, later: Later) -> pl.DataFrame:
    """Whether a month's rent is unpaid 30 days past due on some day of (cutoff, cutoff + 90 days]."""
    lease = known.latest("leases").with_row_index("row").select("row", "cutoff", "monthly_rent")
    charges = later.window("charges", before=LOOK_BACK).filter(RENT)
    payments = later.linked(charges.select("row", "charge_id"), "payments", "charge_id")
    horizon = timedelta(days=HORIZON_DAYS)
    days = (
        charges.select("row", "cutoff", day=pl.col("due_on") + GRACE)
        .filter((pl.col("day") > pl.col("cutoff")) & (pl.col("day") <= pl.col("cutoff") + horizon))
        .select("row", "day")
        .unique()
    )
    worst = _unpaid_at(days, charges, payments).group_by("row").agg(pl.col("unpaid").max())
    told = lease.join(worst, on="row", how="left").sort("row")
    return told.select(
        (pl.col("unpaid") >= pl.col("monthly_rent") - CENT).fill_null(value=False).cast(pl.Float64).alias("default")
    )


def checklist(known: Known) -> Array:
    """The rule that ran before: five sevenths of the points for an old building, many repairs, high vacancy, falling rents, late
    payments, complaints and a screening that is not low, 0 to 5, (n,)."""
    told = lease_inputs(known)
    points = [
        pl.col("building_age") > 30,
        pl.col("property_repairs_90d") > 10,
        pl.col("market_vacancy") > 0.07,
        pl.col("market_change") < 0,
        pl.col("late_share") > 0.25,
        pl.col("complaints_year") > 2,
        pl.col("screening_risk") != "low",
    ]
    total = told.select(pl.sum_horizontal(*(p.fill_null(value=False).cast(pl.Float64) for p in points)).alias("points"))
    return np.asarray(total["points"].to_numpy() * 5 / len(points))


TASK = Task(
    name="risk_assessment",
    columns=(*TERMS, *PAYMENTS, *LIVING),
    targets=(
        Target(
            "default",
            "binary",
            labels,
            AVERAGE_PRECISION,
            horizons=(float(HORIZON_DAYS),),
            classes=("payment", "default"),
            guards=(LOG_LOSS, BRIER_SCORE),
        ),
    ),
    rows=rows,
    inputs=inputs,
    families=("constant", "linear", "boosting"),
    about="which lease will default within 90 days",
    costs={"miss": 3.0, "false_alarm": 200.0},
    incumbent=Incumbent("checklist of seven", "ranking", checklist),
    entities="leases",
    cadence=MONTHLY,
    # Before the first lease that ended the table holds only leases that lasted: who left earlier is not in it.
    begins=("leases", "ended_on"),
    warmup=timedelta(days=30),
    exposure="monthly_rent",
    capacity=5,
    slices=protected_classes,
    cluster=lambda known: known.latest("leases")["tenant_id"],
    stride=3,
    needs=(Need("leases", None, 50), Need("charges", None, 100), Need("payments", None, 100)),
)
