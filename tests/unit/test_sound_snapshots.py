"""Sound exports of a company's system are not accused: rows that come late, that are announced, that are still open."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.core.quality import audit_tables
from epic22.core.quality.version_comparison import VersionPair, compare_versions
from epic22.core.tables.canonical import KNOWN_AT, MONEY
from epic22.simulator.portfolio import Portfolio, PortfolioSize, simulate
from epic22.simulator.snapshot import take_snapshot

TINY = PortfolioSize(
    "tiny", properties=6, metros=2, zips=3, units=110, reading_days=15, years_of_ledger=4, years_of_burn_in=1, replicates=2
)
BEGIN, PARENT_END, END = datetime(2024, 1, 1), datetime(2025, 2, 1), datetime(2025, 3, 1)
LAG = timedelta(days=3)


def build_ledger() -> pl.DataFrame:
    """Rent of all houses on each first of a month, and small repairs in between; `known_at` is taken from the posting."""
    months = pl.datetime_range(BEGIN, END, "1mo", eager=True).to_list()
    posted = [(month, "rent", 2000 + i) for month in months for i in range(60)]
    posted += [(month + timedelta(days=i % 27 + 1), "rent", 50 + i) for month in months[:-1] for i in range(60)]
    frame = pl.DataFrame(posted, schema=["posted_on", "account", "amount"], orient="row").cast({"amount": MONEY})
    ids = pl.format("G{}", pl.int_range(pl.len())).alias("entry_id")
    return frame.with_columns(ids, pl.lit("P0").alias("property_id"), pl.col("posted_on").cast(pl.Datetime("us"))).with_columns(
        pl.col("posted_on").alias(KNOWN_AT)
    )


@pytest.mark.slow
def test_rows_that_always_come_days_late_are_not_missed_at_the_end() -> None:
    ledger = build_ledger()
    now, before = (ledger.filter(pl.col("posted_on") <= moment - LAG) for moment in (END, PARENT_END))
    comparison = compare_versions(VersionPair({"ledger": now}, {"ledger": before}, PARENT_END, END))
    assert comparison.tests
    assert comparison.findings == ()


def test_rows_that_come_no_longer_are_still_missed() -> None:
    ledger = build_ledger()
    before = ledger.filter(pl.col("posted_on") <= PARENT_END - LAG)
    small = ledger.filter((pl.col("posted_on") <= END - LAG) & (pl.col("amount") < 1000))
    now = pl.concat([before, small.join(before, on="entry_id", how="anti")])
    comparison = compare_versions(VersionPair({"ledger": now}, {"ledger": before}, PARENT_END, END))
    assert "distribution moved" in {one.what for one in comparison.findings}


def compare_weeks(ledger: pl.DataFrame, end: datetime) -> set[str]:
    """What a week's ledger is accused of."""
    begin = end - timedelta(weeks=1)
    now, before = (ledger.filter(pl.col("posted_on") <= moment) for moment in (end, begin))
    comparison = compare_versions(VersionPair({"ledger": now}, {"ledger": before}, begin, end))
    assert comparison.tests
    return {one.what for one in comparison.findings}


def add_fees() -> pl.DataFrame:
    """The ledger with small fees on each sixth of a month."""
    ledger = build_ledger().filter(pl.col("amount") >= 2000)
    fees = ledger.with_columns(
        entry_id=pl.format("F{}", "entry_id"), posted_on=pl.col("posted_on").dt.offset_by("5d"), amount=pl.col("amount") / 40
    ).cast({"amount": MONEY})
    return pl.concat([ledger, fees.with_columns(pl.col("posted_on").alias(KNOWN_AT))])


@pytest.mark.slow
def test_a_week_of_a_table_that_goes_by_the_month_is_like_the_same_days_of_the_months_before() -> None:
    assert compare_weeks(add_fees(), datetime(2025, 2, 11)) == set()
    in_week = pl.col("posted_on") > datetime(2025, 2, 4)
    cents = pl.when(in_week).then(pl.col("amount") * 100).otherwise("amount").cast(MONEY).alias("amount")
    assert "distribution moved" in compare_weeks(add_fees().with_columns(cents), datetime(2025, 2, 11))


@pytest.mark.slow
def test_what_is_announced_is_known_when_it_is_there(tmp_path: Path) -> None:
    tables = {name: small_tables()[name].drop(KNOWN_AT) for name in ("properties", "units", "tenants", "leases", "charges")}
    lake, moment = Lake(tmp_path / "lake"), datetime(2021, 1, 15)
    take_in(lake, write_tables(tmp_path / "in", tables), moment)
    charges = lake.scan("charges").sort("due_on").collect()
    assert (charges["due_on"] > moment).any()
    assert (charges["due_on"] <= moment).any()
    assert charges[KNOWN_AT].to_list() == [min(due, moment) for due in charges["due_on"]]


def test_a_lease_after_a_notice_may_begin_before_the_last_one_was_to_end() -> None:
    leases = small_tables(units=1)["leases"]
    (end,) = leases["end_date"]
    start = end - timedelta(days=90)
    after = leases.with_columns(lease_id=pl.lit("L9"), start_date=start, end_date=end + timedelta(days=300))
    known = end - timedelta(days=150)
    told = leases.with_columns(notice_on=known)
    ended = told.with_columns(ended_on=start + timedelta(days=30), end_reason=pl.lit("moved_out"))
    disagree = [
        bool([one for one in audit_tables({"leases": pl.concat([first, after])}) if one.what == "dates disagree"])
        for first in (leases, told, ended)
    ]
    assert disagree == [True, False, True]


@pytest.fixture(scope="module")
def tiny() -> Portfolio:
    return simulate(TINY, seed=3)


@pytest.mark.slow
def test_a_snapshot_shows_what_was_there_then(tiny: Portfolio) -> None:
    moment = tiny.end - timedelta(days=200)
    orders = take_snapshot(tiny.tables, moment)["work_orders"]
    final = tiny.tables["work_orders"].sort(KNOWN_AT).unique("work_order_id", keep="last")
    closed_later = final.filter((pl.col("completed_at") > moment) & (pl.col("opened_at") <= moment))["work_order_id"]
    assert closed_later.len() > 0
    shown = orders.filter(pl.col("work_order_id").is_in(closed_later.implode()))
    assert set(shown["status"]) == {"open"}
    assert shown["completed_at"].null_count() == shown["cost"].null_count() == shown.height == closed_later.len()
    assert orders["status"].null_count() == 0
    assert orders["opened_at"].max() <= moment  # type: ignore[operator]


@pytest.mark.slow
def test_no_row_of_a_snapshot_goes_to_quarantine(tiny: Portfolio, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for days in (60, 30):
        moment = tiny.end - timedelta(days=days)
        tables = {name: frame.drop(KNOWN_AT) for name, frame in take_snapshot(tiny.tables, moment).items()}
        result = take_in(lake, write_tables(tmp_path / f"{days}", tables, "parquet"), moment)
        assert set(result.quarantined.values()) == {0}
