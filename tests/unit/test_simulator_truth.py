"""The truth is true: what came true, read from the tables alone, agrees with it within the noise of chance."""

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score
from tests.labels import compute_collection, compute_occupancy, label_defaults, label_failures, label_move_outs

from epic22.core.task import Array
from epic22.simulator.portfolio import Portfolio, PortfolioSize, simulate

pytestmark = pytest.mark.slow

TINY = PortfolioSize(
    "tiny", properties=8, metros=2, zips=4, units=240, reading_days=15, years_of_ledger=4, years_of_burn_in=1, replicates=200
)
BINARY = ("predictive_maintenance", "tenant_churn", "risk_assessment")
HORIZON = {"predictive_maintenance": 30, "tenant_churn": 90, "risk_assessment": 90}
APART = {"predictive_maintenance": 5, "tenant_churn": 3, "risk_assessment": 3}
"""Every so many cutoffs, so that horizons do not overlap and rows are independent but for their state."""


def labels(portfolio: Portfolio, task: str, at: pl.DataFrame) -> Array:
    t = portfolio.tables
    of: dict[str, Callable[[], pl.Series]] = {
        "predictive_maintenance": lambda: label_failures(at, t["work_orders"]),
        "tenant_churn": lambda: label_move_outs(at, t["leases"]),
        "risk_assessment": lambda: label_defaults(at, t["leases"], t["charges"], t["payments"]),
    }
    return of[task]().to_numpy()


def outcomes(portfolio: Portfolio, task: str, every: int = 1) -> tuple[Array, Array]:
    """Labels and true probabilities of all rows whose horizon is over, at every so many cutoffs."""
    truth = portfolio.truth[task].filter(pl.col("cutoff") + timedelta(days=HORIZON[task]) <= portfolio.end)
    cutoffs = truth["cutoff"].unique().sort()[::every]
    truth = truth.filter(pl.col("cutoff").is_in(cutoffs.implode()))
    return labels(portfolio, task, truth), truth["probability"].to_numpy()


def z_scores(y: Array, p: Array, bins: int = 10) -> Array:
    """By deciles of the probability and over all: how many standard errors more came true than the truth says."""
    parts = [np.arange(len(p)), *np.array_split(np.argsort(p, kind="stable"), bins)]
    return np.array([(y[i].sum() - p[i].sum()) / np.sqrt((p[i] * (1 - p[i])).sum() + 1) for i in parts])


@pytest.fixture(scope="module")
def tiny() -> Portfolio:
    return simulate(TINY, seed=5)


@pytest.mark.parametrize("task", BINARY)
def test_probabilities_come_true_as_often_as_they_say(tiny: Portfolio, task: str) -> None:
    assert np.abs(z_scores(*outcomes(tiny, task, APART[task]), bins=4)).max() < 3.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_the_small_portfolio_every_decile_is_calibrated_and_the_truth_ranks(seed: int) -> None:
    small = simulate("small", seed)
    for task in BINARY:
        assert np.abs(z_scores(*outcomes(small, task, APART[task]))).max() < 4
        y, p = outcomes(small, task)
        assert average_precision_score(y, p) > 3 * y.mean(), task
        assert 0.01 < y.mean() < 0.08, task


@pytest.mark.parametrize("task", BINARY)
def test_a_truth_that_is_wrong_is_seen(tiny: Portfolio, task: str) -> None:
    y, p = outcomes(tiny, task, APART[task])
    mixed = np.random.default_rng(0).permutation(p)
    assert np.abs(z_scores(y, np.minimum(2 * p, 1), bins=4)).max() > 4
    assert np.abs(z_scores(y, mixed, bins=4)).max() > 4


@pytest.mark.parametrize("task", BINARY)
def test_the_truth_ranks_better_than_a_rate(tiny: Portfolio, task: str) -> None:
    y, p = outcomes(tiny, task)
    assert average_precision_score(y, p) > 2 * y.mean()


def test_seven_thirty_and_ninety_days_are_nested(tiny: Portfolio) -> None:
    truth = tiny.truth["predictive_maintenance"]
    assert (truth["probability_7"] <= truth["probability"] + 1e-12).all()
    assert (truth["probability"] <= truth["probability_90"] + 1e-12).all()


def test_rows_of_the_truth_are_the_leases_that_run_at_the_cutoff(tiny: Portfolio) -> None:
    leases = tiny.tables["leases"]
    rows = tiny.truth["tenant_churn"].join(leases, left_on="entity", right_on="lease_id", how="left")
    assert (rows["start_date"] <= rows["cutoff"]).all()
    assert (rows["ended_on"].is_null() | (rows["ended_on"] > rows["cutoff"])).all()
    assert (rows["notice_on"].is_null() | (rows["notice_on"] > rows["cutoff"])).all()
    cutoff = tiny.truth["tenant_churn"]["cutoff"].unique().sort()[10]
    runs = leases.filter(
        (pl.col("start_date") <= cutoff)
        & (pl.col("ended_on").is_null() | (pl.col("ended_on") > cutoff))
        & (pl.col("notice_on").is_null() | (pl.col("notice_on") > cutoff))
    )
    assert set(runs["lease_id"]) == set(rows.filter(pl.col("cutoff") == cutoff)["entity"])


def sides(portfolio: Portfolio, task: str, real: pl.DataFrame) -> tuple[float, float]:
    """Shares of outcomes below and above the median, over the horizons; `real` is [entity, month, value]."""
    long = portfolio.truth[task].unpivot(index=["entity", "cutoff"], variable_name="h", value_name="median")
    ahead = (pl.col("h").str.slice(1).cast(pl.Int32) - 1).cast(pl.String) + "mo"
    dated = long.with_columns(month=pl.col("cutoff").dt.offset_by(ahead))
    rows = dated.join(real, on=["entity", "month"]).filter(pl.col("month") < portfolio.end)
    off = (rows["value"] - rows["median"]).to_numpy()
    return float((off < -1e-9).mean()), float((off > 1e-9).mean())


def test_half_of_what_comes_lies_on_each_side_of_the_medians(tiny: Portfolio) -> None:
    t = tiny.tables
    market = t["market"].filter(pl.col("provenance") != "nonpublic_competitor").sort("known_at")
    final = market.unique(["zip_code", "bedrooms", "month"], keep="last", maintain_order=True)
    entity = pl.col("zip_code") + "|" + pl.col("bedrooms").cast(pl.String)
    rents = final.select(entity.alias("entity"), "month", value=pl.col("average_rent").cast(pl.Float64))
    vacancy = final.select(entity.alias("entity"), "month", value="vacancy_rate")
    booked = t["ledger"].filter(pl.col("account") != "capital").with_columns(month=pl.col("posted_on").dt.truncate("1mo"))
    income = booked.group_by(entity="property_id", month="month").agg(value=pl.col("amount").cast(pl.Float64).sum())
    months = income["month"].unique().sort()
    let = compute_occupancy(t["leases"], t["units"], months.filter(months >= tiny.end - timedelta(days=700)).dt.month_end())
    let = let.select(entity="property_id", month=pl.col("day").dt.truncate("1mo"), value="occupancy")
    came = compute_collection(t["units"], t["leases"], t["charges"], t["payments"]).rename(
        {"property_id": "entity", "collection": "value"}
    )
    for task, real in (
        ("market_intelligence", rents),
        ("market_vacancy", vacancy),
        ("reporting_analytics", income),
        ("reporting_occupancy", let),
        ("reporting_collection", came),
    ):
        below, above = sides(tiny, task, real)
        # Months and zip codes move together, so the shares scatter more than independent rows would.
        assert max(below, above) < 0.72, (task, below, above)


def test_the_fair_rent_is_the_middle_of_the_signed_rents(tiny: Portfolio) -> None:
    rows = tiny.truth["fair_rent"].join(tiny.tables["leases"], left_on="entity", right_on="lease_id")
    ratio = np.log(rows["monthly_rent"].cast(pl.Float64).to_numpy() / rows["median_rent"].to_numpy())
    assert rows.height == tiny.tables["leases"].height
    assert abs(np.median(ratio)) < 0.003
    assert 0.005 < ratio.std() < 0.05
