"""Market intelligence: where are rents and vacancy going, and what is a fair rent?

Rents and vacancy are forecast 1 to 12 months ahead for each zip code and number of bedrooms; a fair rent is a regression on units
with a signed lease, told from what was known the day before the signing. The manager decides on asking rents and renewal offers.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.data.forecast_task import ForecastSeries, build_forecast_task
from epic22.core.evaluation.metrics import MEAN_ABSOLUTE_ERROR
from epic22.core.models.panel.catalog import PANEL_FAMILIES
from epic22.core.tables.canonical import PROPERTY_TYPES
from epic22.core.task import Array, AsOfView, Column, DataRequirement, Future, Incumbent, Target, Task
from epic22.core.time_series import DAILY, MONTHLY
from epic22.features.lease_history import DAY, compute_market_columns

HORIZON_MONTHS = 12
CYCLE = 12
FAMILIES = tuple(family.name for family in PANEL_FAMILIES if not family.slow)


def repeat_last_rent(view: AsOfView) -> Array:
    """The rule that ran before: the last value stays, (n, 12)."""
    return np.repeat(view.history("market", "average_rent", MONTHLY).last[:, None], HORIZON_MONTHS, axis=1)


def repeat_last_vacancy(view: AsOfView) -> Array:
    """The rule that ran before: the last value stays, (n, 12)."""
    return np.repeat(view.history("market", "vacancy_rate", MONTHLY).last[:, None], HORIZON_MONTHS, axis=1)


def _declare_columns(value: str) -> tuple[Column, ...]:
    return (
        Column("series_id", "category", role="id"),
        Column("month", "time", role="time"),
        Column(value, "float", role="label"),
    )


RENTS = build_forecast_task(
    ForecastSeries(
        "market", "average_rent", _declare_columns("average_rent"), "average_rent", None, MONTHLY, HORIZON_MONTHS, CYCLE
    ),
    "market_intelligence",
    "average rent of each zip code and number of bedrooms, 1 to 12 months ahead",
    FAMILIES,
    Incumbent("the last value", "value", repeat_last_rent),
    (DataRequirement("market", "average_rent", 200),),
)
VACANCY = build_forecast_task(
    ForecastSeries(
        "market", "vacancy_rate", _declare_columns("vacancy_rate"), "vacancy_rate", "fraction", MONTHLY, HORIZON_MONTHS, CYCLE
    ),
    "market_vacancy",
    "vacancy of each zip code and number of bedrooms, 1 to 12 months ahead",
    FAMILIES,
    Incumbent("the last value", "value", repeat_last_vacancy),
    (DataRequirement("market", "vacancy_rate", 200),),
)

SIGNING_LEAD = timedelta(days=1)


def select_signings(view: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """The cutoffs are the signings themselves, each the day before: all of them count."""
    return cutoffs


def compute_unit_inputs(view: AsOfView) -> pl.LazyFrame:
    """The unit, the building, the market and the unit's rent before, as known the day before the signing."""
    unit = view.with_entities(view.at["entity"], "unit_id").latest("units")
    home = view.with_entities(unit["property_id"], "property_id").latest("properties")
    market = compute_market_columns(view, home["zip_code"], unit["bedrooms"])
    before = _find_rents_before(view)
    ago = (view.at["cutoff"] - before["signed_on"]) / DAY
    return pl.LazyFrame(
        {
            "bedrooms": unit["bedrooms"],
            "bathrooms": unit["bathrooms"],
            "area_sqft": unit["area_sqft"],
            "floor": unit["floor"],
            "zip_code": home["zip_code"],
            "property_type": home["property_type"],
            "year_built": home["year_built"],
            "market_rent": market["average_rent"],
            "market_change": market["change"],
            "market_vacancy": market["vacancy_rate"],
            "rent_before": before["monthly_rent"],
            "days_since_rent_before": ago,
            "month": view.at["cutoff"].dt.month().cast(pl.Int64),
        }
    )


def _find_rents_before(view: AsOfView) -> pl.DataFrame:
    """The unit's lease that was signed last, [signed_on, monthly_rent], n rows.

    Not the one of which something became known last, as of one that ends after the next was signed; nor one that is entered and
    not yet signed, whose rent is asked for.
    """
    units = view.at.with_row_index("row").select("row", unit_id="entity")
    leases = (
        view.join(units, "leases", "unit_id")
        .filter(pl.col("signed_on") <= pl.col("cutoff"))
        .sort("row", "signed_on", "start_date", "lease_id")
    )
    newest = leases.unique("row", keep="last", maintain_order=True).select("row", "signed_on", "monthly_rent")
    return units.join(newest, on="row", how="left", maintain_order="left").drop("row", "unit_id")


def compute_signed_rent(view: AsOfView, future: Future) -> pl.DataFrame:
    """The monthly rent of the unit's lease that was signed within the day after the cutoff."""
    leases = future.with_entities(future.at["entity"], "unit_id").window("leases", event="signed_on").unique("row", keep="first")
    every = future.at.with_row_index("row").select("row")
    return every.join(leases, on="row", how="left").sort("row").select(monthly_rent=pl.col("monthly_rent"))


def estimate_market_average(view: AsOfView) -> Array:
    """The rule that ran before: the market's last average for the zip code and bedrooms; where there is none, the rent before."""
    rents = compute_unit_inputs(view).select(pl.coalesce("market_rent", "rent_before").alias("rent")).collect()
    return rents["rent"].to_numpy()


FAIR_RENT = Task(
    name="fair_rent",
    columns=(
        Column("bedrooms", "int", low=0, about="bedrooms"),
        Column("bathrooms", "float", low=0, about="bathrooms"),
        Column("area_sqft", "float", unit="sq ft", low=0, about="floor area"),
        Column("floor", "int", optional=True, about="floor"),
        Column("zip_code", "category", optional=True, about="zip code"),
        Column("property_type", "category", levels=PROPERTY_TYPES, optional=True, about="type of building"),
        Column("year_built", "int", unit="year", optional=True, about="year the building was built"),
        Column("market_rent", "float", low=0, optional=True, about="average rent in the market"),
        Column("market_change", "float", unit="fraction", optional=True, about="market rents against a year ago"),
        Column("market_vacancy", "float", unit="fraction", low=0, high=1, optional=True, about="vacancy in the market"),
        Column("rent_before", "float", low=0, optional=True, about="rent of the unit's lease before"),
        Column("days_since_rent_before", "float", unit="days", low=0, optional=True, about="days since that lease was signed"),
        Column("month", "int", low=1, high=12, about="month of the year"),
    ),
    targets=(Target("monthly_rent", "regression", compute_signed_rent, MEAN_ABSOLUTE_ERROR, horizons=(1.0,)),),
    rows=select_signings,
    inputs=compute_unit_inputs,
    families=("constant", "linear", "boosting"),
    about="the rent a unit is let for",
    incumbent=Incumbent("the market's average", "value", estimate_market_average),
    entities="units",
    cadence=DAILY,
    cluster=lambda view: view.at["entity"],
    requirements=(DataRequirement("leases", "monthly_rent", 100), DataRequirement("units", None, 20)),
)
