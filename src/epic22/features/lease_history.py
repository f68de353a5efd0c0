"""What is known of leases at a cutoff: terms, market, payments, messages, repairs. Shared by churn and risk.

A row is an active lease at a monthly cutoff; `known.at` has lease ids for entities.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from epic22.core.data.sequence_columns import declare_steps
from epic22.core.tables.canonical import PROPERTY_TYPES, RISKS
from epic22.core.task import AsOfView, Column, SequenceInputs, Task
from epic22.core.time_series import MONTHLY

DAY = timedelta(days=1)
QUARTER, YEAR = 90 * DAY, 365 * DAY
CENT = 0.005
YEAR_OF_CHARGES = 12
COMPLAINT = pl.col("category") == "complaint"
REPAIR = pl.col("kind") == "corrective"

TERMS: tuple[Column, ...] = (
    Column("lease_type", "category", levels=("fixed", "month_to_month"), about="type of lease"),
    Column("tenure_months", "float", unit="months", low=0, about="months since the tenant first moved in"),
    Column("days_to_end", "float", unit="days", about="days until the lease ends"),
    Column("monthly_rent", "float", low=0, about="monthly rent"),
    Column("rent_raise", "float", unit="fraction", optional=True, about="raise against the lease before"),
    Column("rent_to_market", "float", unit="fraction", optional=True, about="rent against the market's average"),
    Column("market_change", "float", unit="fraction", optional=True, about="market rents against a year ago"),
    Column("market_vacancy", "float", unit="fraction", optional=True, low=0, high=1, about="vacancy in the market"),
    Column("deposit_months", "float", unit="months of rent", optional=True, low=0, about="deposit"),
    Column("earlier_leases", "int", low=0, about="leases the tenant had here before"),
    Column("bedrooms", "int", optional=True, low=0, about="bedrooms"),
    Column("rent_per_sqft", "float", optional=True, low=0, about="rent per square foot"),
    Column("property_type", "category", levels=PROPERTY_TYPES, optional=True, about="type of building"),
    Column("building_age", "float", unit="years", optional=True, about="age of the building"),
    Column("screening_risk", "category", levels=RISKS, optional=True, about="risk at screening"),
    Column("rent_to_income", "float", unit="fraction", optional=True, low=0, about="yearly rent against household income"),
)
PAYMENTS: tuple[Column, ...] = (
    Column("late_share", "float", unit="fraction", optional=True, low=0, high=1, about="share of the last 12 rents paid late"),
    Column("late_share_3", "float", unit="fraction", optional=True, low=0, high=1, about="share of the last 3 rents paid late"),
    Column("days_late", "float", unit="days", optional=True, about="mean days late over the last 6 rents"),
    Column("days_late_last", "float", unit="days", optional=True, about="days late of the latest rent"),
    Column("failed_year", "int", low=0, about="failed payments in a year"),
    Column("failed_90d", "int", low=0, about="failed payments in 90 days"),
    Column("arrears_months", "float", unit="months of rent", low=0, about="rent owed at the cutoff"),
    Column("oldest_unpaid_days", "float", unit="days", low=0, about="age of the oldest unpaid rent"),
    Column("unpaid_charges", "int", low=0, about="unpaid charges"),
)
LIVING: tuple[Column, ...] = (
    Column("complaints_90d", "int", low=0, about="complaints in 90 days"),
    Column("complaints_year", "int", low=0, about="complaints in a year"),
    Column("sentiment", "float", low=-1, high=1, optional=True, about="tone of messages in a year"),
    Column("unit_repairs_year", "int", low=0, about="repairs in the unit in a year"),
    Column("property_repairs_90d", "int", low=0, about="repairs in the building in 90 days"),
    Column("month", "int", low=1, high=12, about="month of the year"),
)


RENT_CHANNELS: Mapping[str, tuple[str, str | None]] = {
    "rent_days_late": ("days late of a rent", "days"),
    "rent_unpaid": ("share of a rent that is unpaid", "fraction"),
    "rent_failed": ("failed payments of a rent", None),
}
RENT_STEPS: tuple[Column, ...] = tuple(
    column for name, (about, unit) in RENT_CHANNELS.items() for column in declare_steps(name, YEAR_OF_CHARGES, about, unit)
)
"""The last rents one by one, for families that read a sequence."""


def select_active_leases(view: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """The cutoffs [entity, cutoff] whose lease has begun, has not ended, and whose tenant has not given notice."""
    leases = view.latest("leases")
    active = (leases["start_date"] <= leases["cutoff"]) & leases["ended_on"].is_null() & leases["notice_on"].is_null()
    return cutoffs.filter(active.fill_null(value=False))


def compute_lease_inputs(view: AsOfView) -> pl.DataFrame:
    """The columns TERMS, PAYMENTS and LIVING, in that order: n rows."""
    lease = view.latest("leases")
    return pl.concat(
        [compute_terms(view, lease), compute_payment_columns(view, lease), compute_living_columns(view, lease)], how="horizontal"
    )


def compute_terms(view: AsOfView, lease: pl.DataFrame) -> pl.DataFrame:
    """The contract, the tenant, the unit and the market, as of each row's cutoff."""
    of_tenant, of_unit = view.with_entities(lease["tenant_id"], "tenant_id"), view.with_entities(lease["unit_id"], "unit_id")
    tenant, unit = of_tenant.latest("tenants"), of_unit.latest("units")
    home = view.with_entities(unit["property_id"], "property_id").latest("properties")
    earlier = _summarise_earlier_leases(of_tenant, lease)
    market = compute_market_columns(view, home["zip_code"], unit["bedrooms"])
    rent = lease["monthly_rent"]
    return pl.DataFrame(
        {
            "lease_type": lease["lease_type"],
            "tenure_months": (lease["cutoff"] - earlier["first_start"]) / DAY / 30.4375,
            "days_to_end": (lease["end_date"] - lease["cutoff"]) / DAY,
            "monthly_rent": rent,
            "rent_raise": rent / earlier["rent_before"] - 1,
            "rent_to_market": rent / market["average_rent"] - 1,
            "market_change": market["change"],
            "market_vacancy": market["vacancy_rate"],
            "deposit_months": lease["deposit"] / rent,
            "earlier_leases": earlier["earlier"],
            "bedrooms": unit["bedrooms"],
            "rent_per_sqft": rent / unit["area_sqft"],
            "property_type": home["property_type"],
            "building_age": (lease["cutoff"].dt.year() - home["year_built"]).cast(pl.Float64),
            "screening_risk": tenant["screening_risk"],
            "rent_to_income": 12 * rent / tenant["household_income"],
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


def _summarise_earlier_leases(tenant_view: AsOfView, lease: pl.DataFrame) -> pl.DataFrame:
    """Frame [first_start, rent_before, earlier]: of the tenant's leases that began before this one, n rows."""
    all_leases = tenant_view.window("leases", None).sort("row", "start_date")
    own = lease.with_row_index("row").select("row", own_start="start_date")
    before = all_leases.join(own, on="row").filter(pl.col("start_date") < pl.col("own_start"))
    summary = before.group_by("row").agg(
        first=pl.col("start_date").min(),
        rent_before=pl.col("monthly_rent").last(),
        earlier=pl.len().cast(pl.Int64),
    )
    return (
        own.join(summary, on="row", how="left")
        .sort("row")
        .select(
            pl.coalesce("first", "own_start").alias("first_start"),
            "rent_before",
            pl.col("earlier").fill_null(0),
        )
    )


def compute_market_columns(view: AsOfView, zip_code: pl.Series, bedrooms: pl.Series) -> pl.DataFrame:
    """Frame [average_rent, vacancy_rate, change]: the latest public figures of the zip code and bedrooms, and a year's change."""
    names = pl.select(pl.concat_str([zip_code, bedrooms.clip(upper_bound=3).cast(pl.String)], separator="|")).to_series()
    series = view.with_entities(names, "series_id").window("market", timedelta(days=480)).sort("row", "month")
    latest = series.group_by("row").agg(pl.col("average_rent").last(), pl.col("vacancy_rate").last(), pl.col("month").last())
    year_ago = series.join(latest.select("row", newest="month"), on="row").filter(
        pl.col("month").dt.truncate("1mo") == pl.col("newest").dt.truncate("1mo").dt.offset_by("-12mo")
    )
    before = year_ago.group_by("row").agg(before=pl.col("average_rent").last())
    every = pl.DataFrame({"row": range(zip_code.len())}, schema={"row": latest.schema["row"]})
    return (
        every.join(latest, on="row", how="left")
        .join(before, on="row", how="left")
        .sort("row")
        .select("average_rent", "vacancy_rate", change=pl.col("average_rent") / pl.col("before") - 1)
    )


def select_tenant_rents(view: AsOfView, lease: pl.DataFrame) -> pl.DataFrame:
    """The rents due by the cutoff under any of the tenant's leases: a renewal does not make a tenant unknown."""
    leases = view.with_entities(lease["tenant_id"], "tenant_id").window("leases", None)
    charges = view.join(leases.select("row", "lease_id"), "charges", "lease_id")
    return charges.filter((pl.col("kind") == "rent") & (pl.col("due_on") <= pl.col("cutoff")))


def settle_charges(view: AsOfView, charges: pl.DataFrame) -> pl.DataFrame:
    """The charges [row, charge_id, due_on, cutoff, amount, …], each with what is known of its payments by the cutoff.

    Frame [row, charge_id, due_on, cutoff, amount, paid, settled_on, failed, unpaid, days_late], by row and due date. `days_late`
    counts to the settling payment, or to the cutoff where a charge is unpaid.
    """
    payments = view.join(charges.select("row", "charge_id"), "payments", "charge_id")
    states = payments.group_by("row", "charge_id").agg(
        paid=pl.col("amount").filter(pl.col("status") == "paid").sum(),
        settled_on=pl.col("paid_on").filter(pl.col("status") == "paid").max(),
        failed=(pl.col("status") == "failed").sum().cast(pl.Int64),
    )
    joined = charges.select("row", "charge_id", "due_on", "cutoff", "amount").join(states, on=["row", "charge_id"], how="left")
    owed = joined.with_columns(
        pl.col("paid").fill_null(0.0),
        pl.col("failed").fill_null(0),
        unpaid=(pl.col("amount") - pl.col("paid").fill_null(0.0)).clip(lower_bound=0.0),
    )
    until = pl.when(pl.col("unpaid") > CENT).then(pl.col("cutoff")).otherwise(pl.col("settled_on"))
    return owed.with_columns(days_late=((until - pl.col("due_on")) / DAY).clip(lower_bound=0.0)).sort(
        "row", "due_on", "charge_id"
    )


def compute_payment_columns(view: AsOfView, lease: pl.DataFrame) -> pl.DataFrame:
    """The columns PAYMENTS: n rows."""
    charges = settle_charges(view, select_tenant_rents(view, lease))
    # A rent due at the cutoff itself is neither late nor in arrears.
    due = charges.filter(pl.col("due_on") < pl.col("cutoff"))
    late, owed = pl.col("days_late") > 0, pl.col("unpaid") > CENT
    age = (pl.col("cutoff") - pl.col("due_on")) / DAY
    totals = due.group_by("row").agg(
        late_share=late.tail(YEAR_OF_CHARGES).mean(),
        late_share_3=late.tail(3).mean(),
        days_late=pl.col("days_late").tail(6).mean(),
        days_late_last=pl.col("days_late").last(),
        failed_year=pl.col("failed").tail(YEAR_OF_CHARGES).sum(),
        failed_90d=pl.col("failed").tail(3).sum(),
        arrears=pl.col("unpaid").sum(),
        oldest_unpaid_days=age.filter(owed).max(),
        unpaid_charges=owed.sum().cast(pl.Int64),
    )
    every = lease.with_row_index("row").select("row", "monthly_rent")
    return (
        every.join(totals, on="row", how="left")
        .sort("row")
        .with_columns(
            pl.col("failed_year", "failed_90d", "unpaid_charges").fill_null(0),
            pl.col("oldest_unpaid_days").fill_null(0.0),
            # Who pays no rent owes no months of it.
            arrears_months=pl.when(pl.col("arrears") > 0).then(pl.col("arrears") / pl.col("monthly_rent")).otherwise(0.0),
        )
        .select([column.name for column in PAYMENTS])
    )


def compute_sequence(view: AsOfView) -> pl.DataFrame:
    """The last rents one by one, the latest being 1: days late, share unpaid, failed payments; null where there was none."""
    lease = view.latest("leases")
    charges = settle_charges(view, select_tenant_rents(view, lease)).filter(pl.col("due_on") < pl.col("cutoff"))
    numbered = charges.with_columns(back=pl.int_range(pl.len(), 0, -1).over("row")).filter(pl.col("back") <= YEAR_OF_CHARGES)
    measures = numbered.select(
        "row",
        "back",
        rent_days_late="days_late",
        rent_unpaid=pl.col("unpaid") / pl.col("amount"),
        rent_failed=pl.col("failed").cast(pl.Float64),
    )
    every = lease.with_row_index("row").select("row")
    for back in range(1, YEAR_OF_CHARGES + 1):
        own = measures.filter(pl.col("back") == back).select("row", *(pl.col(n).alias(f"{n}_{back}") for n in RENT_CHANNELS))
        every = every.join(own, on="row", how="left", maintain_order="left")
    return every.drop("row").select(column.name for column in RENT_STEPS)


def compute_living_columns(view: AsOfView, lease: pl.DataFrame) -> pl.DataFrame:
    """The columns LIVING: n rows."""
    of_unit = view.with_entities(lease["unit_id"], "unit_id")
    of_property = view.with_entities(of_unit.latest("units")["property_id"], "property_id")
    return pl.DataFrame(
        {
            **summarise_messages(view, lease),
            "unit_repairs_year": of_unit.count("work_orders", YEAR, REPAIR),
            "property_repairs_90d": of_property.count("work_orders", QUARTER, REPAIR),
            "month": lease["cutoff"].dt.month().cast(pl.Int64),
        }
    )


def summarise_messages(view: AsOfView, lease: pl.DataFrame) -> dict[str, pl.Series]:
    """Complaints and tone of the tenant's messages under any of his leases: three series (n,)."""
    leases = view.with_entities(lease["tenant_id"], "tenant_id").window("leases", None)
    sent = view.join(leases.select("row", "lease_id"), "messages", "lease_id")
    age = pl.col("cutoff") - pl.col("sent_at")
    totals = (
        sent.filter((age >= timedelta(0)) & (age < YEAR))
        .group_by("row")
        .agg(
            complaints_90d=(COMPLAINT & (age < QUARTER)).sum().cast(pl.Int64),
            complaints_year=COMPLAINT.sum().cast(pl.Int64),
            sentiment=pl.col("sentiment").mean(),
        )
    )
    every = lease.with_row_index("row").select("row").join(totals, on="row", how="left").sort("row")
    filled = every.with_columns(pl.col("complaints_90d", "complaints_year").fill_null(0))
    return {name: filled[name] for name in ("complaints_90d", "complaints_year", "sentiment")}


def read_protected_classes(view: AsOfView) -> pl.DataFrame:
    """The tenant's protected classes as known then, for the measurement of fairness: n rows, a column a class."""
    tenants = view.with_entities(view.latest("leases")["tenant_id"], "tenant_id")
    return tenants.latest("protected").drop("entity", "cutoff", "tenant_id", "known_at", strict=False)


def build_lease_task(rows: Callable[[AsOfView, pl.DataFrame], pl.DataFrame] = select_active_leases, **own: Any) -> Task:
    """A task on active leases, month by month: `own` are its name, target, costs and what else is not shared."""
    return Task(
        columns=(*TERMS, *PAYMENTS, *LIVING),
        rows=rows,
        inputs=lambda view: compute_lease_inputs(view).lazy(),
        families=("constant", "linear", "boosting"),
        entities="leases",
        cadence=MONTHLY,
        # Before the first lease that ended the table holds only leases that lasted: who left earlier is not in it.
        start_column=("leases", "ended_on"),
        warmup=timedelta(days=30),
        slices=read_protected_classes,
        cluster=lambda view: view.latest("leases")["tenant_id"],
        stride=3,
        sequence=SequenceInputs(RENT_STEPS, compute_sequence),
        **own,
    )
