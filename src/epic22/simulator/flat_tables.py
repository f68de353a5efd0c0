"""Two flat tables of a simulated company, to try `train --csv` on: leases that may end, and rents by zip code."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl

DAY, DAYS_PER_MONTH = timedelta(days=1), 30.4375
HORIZON, GRACE, YEAR = timedelta(days=90), timedelta(days=5), timedelta(days=365)
RENT_BEDROOMS = 2


def build_churn_table(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """A row per lease and quarter: what was known at the start of the `month`, and whether the tenant moved out within 90 days.

    [tenant, month, tenure_months, late_payments, plan, rent, months_left, churned]. Late payments are those of the year before,
    more than five days after they were due. A lease under notice has no row: its tenant has said so.
    """
    leases, month = tables["leases"], pl.col("month")
    begin = tables["charges"].select(pl.col("due_on").min() + YEAR).item()
    last = tables["payments"].select(pl.col("paid_on").max() - HORIZON).item()
    quarters = pl.datetime_range(begin, last, "3mo", eager=True).alias("month").to_frame()
    goes_on = [pl.col(end).is_null() | (pl.col(end) > month) for end in ("ended_on", "notice_on")]
    rows = leases.join(quarters, how="cross").filter(pl.col("start_date") <= month, *goes_on)
    rows = rows.join(leases.group_by("tenant_id").agg(since=pl.col("start_date").min()), on="tenant_id")
    late = tables["payments"].join(tables["charges"], on="charge_id").filter(pl.col("paid_on") > pl.col("due_on") + GRACE)
    recent = rows.join(late.select("lease_id", "paid_on"), on="lease_id").filter(
        month.is_between("paid_on", pl.col("paid_on") + YEAR)
    )
    counts = recent.group_by("lease_id", "month").agg(late_payments=pl.len().cast(pl.Int64))
    moved_out = (pl.col("end_reason") == "moved_out") & (pl.col("ended_on") <= month + HORIZON)
    table = rows.join(counts, on=["lease_id", "month"], how="left").sort("month", "tenant_id", "lease_id")
    return table.select(
        tenant="tenant_id",
        month=month.dt.date(),
        tenure_months=((month - pl.col("since")) / DAY / DAYS_PER_MONTH).round().cast(pl.Int64),
        late_payments=pl.col("late_payments").fill_null(0),
        plan=pl.col("lease_type").replace("month_to_month", "monthly"),
        rent=pl.col("monthly_rent").cast(pl.Float64),
        months_left=((pl.col("end_date") - month) / DAY / DAYS_PER_MONTH).round().cast(pl.Int64),
        churned=moved_out.fill_null(value=False).cast(pl.Int64),
    )


def build_rents_table(market: pl.DataFrame) -> pl.DataFrame:
    """The surveyed rent of two-bedroom units: a row per zip code, a column per month, the last published figure of each."""
    surveyed = market.filter(pl.col("source") == "public_survey", pl.col("bedrooms") == RENT_BEDROOMS).sort("month", "known_at")
    months = surveyed.select(pl.col("month").dt.strftime("%Y-%m"), zip="zip_code", rent=pl.col("average_rent").cast(pl.Float64))
    return months.pivot("month", index="zip", values="rent", aggregate_function="last").sort("zip")


def write_flat_tables(tables: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write `churn.csv` and `rents.csv` into a folder."""
    build_churn_table(tables).write_csv(folder / "churn.csv")
    build_rents_table(tables["market"]).write_csv(folder / "rents.csv")
