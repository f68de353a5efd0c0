"""Reporting analytics: what will a property earn in the next months, and which figures are out of line?

Net operating income, occupancy and collection rate of each property are forecast 1 to 6 months ahead. They are figures of a
month, made from the ledger, the leases and the payments as known when the month was closed. The owner reads them monthly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.data.forecast_task import ForecastSeries, build_forecast_task
from epic22.core.data.history_start import find_history_start
from epic22.core.data.point_in_time import Table, Tables
from epic22.core.models.panel.catalog import PANEL_FAMILIES
from epic22.core.task import Array, AsOfView, Column, DataRequirement, Incumbent, Task
from epic22.core.time_series import MONTHLY

HORIZON_MONTHS = 6
CYCLE = 12
GROWTH_A_MONTH = 0.02
FAMILIES = tuple(family.name for family in PANEL_FAMILIES if not family.slow)
FIGURES = "figures"
BOOKS_CLOSE = timedelta(days=10)
"""The ledger of a month is closed so long after its end; entries that become known later do not change its figure."""


def compute_net_operating_income(tables: Tables) -> pl.DataFrame:
    """Each month's sum of the ledger without capital, as the books had it when they closed: frame [property_id, month, value,
    known_at]."""
    months = _list_months(tables, "ledger", "posted_on", BOOKS_CLOSE)
    # A window is open at its beginning, and the first of a month belongs to it.
    entries = _view_at_close(tables, months).window("ledger", timedelta(days=32) + BOOKS_CLOSE)
    of_month = pl.col("posted_on").dt.truncate("1mo") == pl.col("month")
    placed = entries.join(months.with_row_index("row").select("row", "month"), on="row").filter(of_month)
    amount = pl.when(pl.col("account") != "capital").then("amount").otherwise(0.0)
    return _join_values(months, _fill_empty_months(months, placed.group_by("row").agg(value=amount.sum())))


def _fill_empty_months(months: pl.DataFrame, sums: pl.DataFrame) -> pl.DataFrame:
    """The months' sums [row, value], with 0 for one of nothing: the books have entries of other properties, and of this one in
    the year before.

    A month without any entry is one that the ledger does not cover, and has no figure.
    """
    has_entries = pl.col("value").is_not_null()
    known = months.with_row_index("row").join(sums, on="row", how="left", maintain_order="left")
    newest = pl.when(has_entries).then("month").forward_fill().over("property_id")
    is_covered = has_entries.any().over("month") & (pl.col("month") <= newest.dt.offset_by(f"{CYCLE}mo"))
    return known.select("row", pl.when(has_entries).then("value").when(is_covered).then(0.0).alias("value"))


def compute_occupancy(tables: Tables) -> pl.DataFrame:
    """The share of a property's units that are let on the last day of each month: frame [property_id, month, value, known_at]."""
    months = _list_months(tables, "leases", "ended_on")
    view = _view_at_close(tables, months)
    units = view.with_entities(view.at["entity"], "property_id").window("units", None)
    leases = view.join(units.select("row", "unit_id"), "leases", "unit_id")
    # A lease holds the unit on the day it ends: a renewal that begins the day after leaves no gap.
    is_unfinished = pl.col("ended_on").is_null() | (pl.col("ended_on") >= pl.col("cutoff") - timedelta(days=1))
    let_leases = leases.filter((pl.col("start_date") < pl.col("cutoff")) & is_unfinished)
    counted = let_leases.group_by("row").agg(let=pl.col("unit_id").n_unique())
    of_property = units.group_by("row").agg(units=pl.col("unit_id").n_unique())
    share = (pl.col("let").fill_null(0) / pl.col("units")).alias("value")
    return _join_values(months, of_property.join(counted, on="row", how="left").select("row", share))


def compute_collection_rate(tables: Tables) -> pl.DataFrame:
    """Rent paid within the month ÷ rent due in the month: frame [property_id, month, value, known_at]."""
    months = _list_months(tables, "leases", "ended_on")
    view = _view_at_close(tables, months)
    units = view.with_entities(view.at["entity"], "property_id").window("units", None)
    leases = view.join(units.select("row", "unit_id"), "leases", "unit_id")
    charges = view.join(leases.select("row", "lease_id"), "charges", "lease_id")
    of_month = (pl.col("due_on").dt.offset_by("1mo") >= pl.col("cutoff")) & (pl.col("due_on") < pl.col("cutoff"))
    due = charges.filter((pl.col("kind") == "rent") & of_month).select("row", "charge_id", "amount")
    payments = view.join(due.select("row", "charge_id"), "payments", "charge_id").filter(pl.col("status") == "paid")
    paid = payments.group_by("row", "charge_id").agg(paid=pl.col("amount").sum())
    received = pl.min_horizontal(pl.col("paid").fill_null(0.0), "amount").sum()
    joined = due.join(paid, on=["row", "charge_id"], how="left")
    return _join_values(months, joined.group_by("row").agg(value=received / pl.col("amount").sum()))


def _list_months(tables: Tables, table: str, event: str, close: timedelta = timedelta(0)) -> pl.DataFrame:
    """Frame [property_id, month, closed]: every property and whole month since the history begins, closed by the end.

    Figures of leases begin with the first that ended: before it the table holds only leases that lasted.
    """
    start = find_history_start(tables.tables[table].frame[event])
    first = None if start is None else start.first
    begin, end = (int(o) for o in MONTHLY.ordinals(pl.Series([first, tables.end - close], dtype=pl.Datetime("us"))))
    over = MONTHLY.starts(np.arange(begin + 2, end + 1))
    moments = pl.DataFrame({"month": MONTHLY.starts(np.arange(begin + 1, end)), "closed": over + close})
    return tables.tables["properties"].frame.select("property_id").unique().sort("property_id").join(moments, how="cross")


def _view_at_close(tables: Tables, months: pl.DataFrame) -> AsOfView:
    """What was known of each property when the month's figure was closed."""
    return tables.as_of(months.select(entity="property_id", cutoff="closed"))


def _join_values(months: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """The months with their values [row, value]; months without a value are left out."""
    joined = months.with_row_index("row").join(values, on="row").filter(pl.col("value").is_not_null())
    return joined.select("property_id", "month", "value", known_at="closed")


@dataclass(frozen=True)
class Measure:
    """How a month's figure is worked out, and the table and its column of moments whose history the figures have."""

    compute: Callable[[Tables], pl.DataFrame]
    table: str
    event: str


MEASURES: Mapping[str, Measure] = {
    "reporting_analytics": Measure(compute_net_operating_income, "ledger", "posted_on"),
    "reporting_occupancy": Measure(compute_occupancy, "leases", "ended_on"),
    "reporting_collection": Measure(compute_collection_rate, "leases", "ended_on"),
}


def describe_history(task: Task, tables: Tables) -> tuple[str, ...]:
    """What is said of dates far before the history of the task's figures, where there are any."""
    measure = MEASURES[task.name]
    start = find_history_start(tables.tables[measure.table].frame[measure.event])
    return () if start is None else start.describe(f"{measure.table}.{measure.event}")


def add_figures(task: Task, tables: Tables) -> Tables:
    """The tables with the month's figures that the task forecasts."""
    figures = MEASURES[task.name].compute(tables).sort("property_id", "month")
    rows = figures.with_columns(pl.concat_str("property_id", pl.col("month").cast(pl.String), separator="|").alias("figure_id"))
    table = Table(FIGURES, rows, "figure_id", "property_id", (), "month", "known_at")
    return Tables({**tables.tables, FIGURES: table}, tables.end)


def extrapolate_last_quarter(view: AsOfView) -> Array:
    """The rule that ran before: the mean of the last three months, growing by 2 % a month, (n, 6)."""
    recent = view.history(FIGURES, "value", MONTHLY).window(3)
    mean = np.nanmean(recent, axis=1)
    return np.asarray(mean[:, None] * (1 + GROWTH_A_MONTH) ** np.arange(1, HORIZON_MONTHS + 1)[None, :])


def _build_task(name: str, label: str, unit: str | None, about: str, needs: tuple[DataRequirement, ...]) -> Task:
    columns = (
        Column("property_id", "category", role="id"),
        Column("month", "time", role="time"),
        Column("value", "float", role="label"),
    )
    series = ForecastSeries(FIGURES, "value", columns, label, unit, MONTHLY, HORIZON_MONTHS, CYCLE)
    rule = Incumbent("mean of three months, +2 % a month", "value", extrapolate_last_quarter)
    return build_forecast_task(series, name, about, FAMILIES, rule, needs)


INCOME = _build_task(
    "reporting_analytics",
    "net_operating_income",
    None,
    "net operating income of each property, 1 to 6 months ahead",
    (DataRequirement("ledger", None, 200),),
)
OCCUPANCY = _build_task(
    "reporting_occupancy",
    "occupancy",
    "fraction",
    "share of a property's units that are let, 1 to 6 months ahead",
    (DataRequirement("leases", None, 50), DataRequirement("leases", "ended_on", 1), DataRequirement("units", None, 20)),
)
COLLECTION = _build_task(
    "reporting_collection",
    "collection_rate",
    "fraction",
    "rent paid within the month against rent due, 1 to 6 months ahead",
    (
        DataRequirement("leases", "ended_on", 1),
        DataRequirement("units", None, 1),
        DataRequirement("charges", None, 100),
        DataRequirement("payments", None, 100),
    ),
)
