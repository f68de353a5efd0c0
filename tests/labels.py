"""What came true, read from the published tables alone: the labels that the truth is checked against."""

from datetime import timedelta

import polars as pl

DEFAULT_AFTER = timedelta(days=30)


def label_failures(at: pl.DataFrame, work_orders: pl.DataFrame, days: int = 30) -> pl.Series:
    """Whether a corrective order of priority high or critical was opened in (cutoff, cutoff + days], per row of `at`."""
    latest = work_orders.sort("known_at").unique("work_order_id", keep="last", maintain_order=True)
    urgent = latest.filter((pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"]))
    events = urgent.select(entity="equipment_id", event="opened_at").drop_nulls()
    return _label_events(at, events, days)


def label_move_outs(at: pl.DataFrame, leases: pl.DataFrame, days: int = 90) -> pl.Series:
    """Whether the lease ended in (cutoff, cutoff + days] because the tenant moved out, per row of `at`."""
    moved = leases.filter(pl.col("end_reason") == "moved_out")
    return _label_events(at, moved.select(entity="lease_id", event="ended_on"), days)


def label_defaults(at: pl.DataFrame, leases: pl.DataFrame, charges: pl.DataFrame, payments: pl.DataFrame) -> pl.Series:
    """Whether a month's rent was unpaid 30 days past due on some day in (cutoff, cutoff + 90 d], per row of `at`."""
    return _label_events(at, find_default_days(leases, charges, payments), 90)


def find_default_days(leases: pl.DataFrame, charges: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Days, 30 after a rent's due date, on which a lease owed a month's rent or more of rents so old: [entity, event]."""
    rent = charges.filter(pl.col("kind") == "rent").select("charge_id", "lease_id", "due_on", owed="amount")
    days = rent.select("lease_id", day=pl.col("due_on") + DEFAULT_AFTER).unique()
    old = days.join(rent, on="lease_id").filter(pl.col("due_on") + DEFAULT_AFTER <= pl.col("day"))
    paid = payments.filter(pl.col("status") == "paid").select("charge_id", "paid_on", paid="amount")
    due = old.group_by("lease_id", "day").agg(pl.col("owed").cast(pl.Float64).sum())
    came = old.join(paid, on="charge_id").filter(pl.col("paid_on") <= pl.col("day"))
    sums = came.group_by("lease_id", "day").agg(pl.col("paid").cast(pl.Float64).sum())
    open_ = due.join(sums, on=["lease_id", "day"], how="left").with_columns(pl.col("paid").fill_null(0.0))
    rents = open_.join(leases.select("lease_id", pl.col("monthly_rent").cast(pl.Float64)), on="lease_id")
    return rents.filter(pl.col("owed") - pl.col("paid") >= pl.col("monthly_rent") - 0.005).select(entity="lease_id", event="day")


def _label_events(at: pl.DataFrame, events: pl.DataFrame, days: int) -> pl.Series:
    rows = at.select("entity", "cutoff").with_row_index("row")
    hit = rows.join(events, on="entity").filter(
        (pl.col("event") > pl.col("cutoff")) & (pl.col("event") <= pl.col("cutoff") + pl.duration(days=days))
    )
    return rows["row"].is_in(hit["row"].unique().implode()).cast(pl.Int8)


def compute_occupancy(leases: pl.DataFrame, units: pl.DataFrame, last_days: pl.Series) -> pl.DataFrame:
    """Share of each property's units under an active lease on given days: [property_id, day, occupancy].

    A lease is active from its start_date to its ended_on, both included.
    """
    days = pl.DataFrame({"day": last_days})
    active = leases.join(days, how="cross").filter(
        (pl.col("start_date") <= pl.col("day")) & (pl.col("ended_on").is_null() | (pl.col("ended_on") >= pl.col("day")))
    )
    let = active.unique(["unit_id", "day"]).join(units.select("unit_id", "property_id"), on="unit_id")
    counted = let.group_by("property_id", "day").len("let")
    total = units.group_by("property_id").len("units")
    every = total.join(days, how="cross").join(counted, on=["property_id", "day"], how="left")
    return every.select("property_id", "day", occupancy=pl.col("let").fill_null(0) / pl.col("units")).sort("property_id", "day")


def compute_collection(units: pl.DataFrame, leases: pl.DataFrame, charges: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Rent paid in the month it was due in, over rent due in the month: [property_id, month, collection]."""
    rent = charges.filter(pl.col("kind") == "rent").with_columns(month=pl.col("due_on").dt.truncate("1mo"))
    paid = payments.filter(pl.col("status") == "paid").select("charge_id", "paid_on", paid="amount")
    in_month = paid.join(rent.select("charge_id", "month"), on="charge_id").filter(
        pl.col("paid_on").dt.truncate("1mo") == pl.col("month")
    )
    sums = in_month.group_by("charge_id").agg(pl.col("paid").cast(pl.Float64).sum())
    place = leases.join(units, on="unit_id").select("lease_id", "property_id")
    every = rent.join(sums, on="charge_id", how="left").join(place, on="lease_id")
    grouped = every.group_by("property_id", "month").agg(
        pl.col("paid").fill_null(0.0).sum(), pl.col("amount").cast(pl.Float64).sum()
    )
    return grouped.select("property_id", "month", collection=pl.col("paid") / pl.col("amount")).sort("property_id", "month")
