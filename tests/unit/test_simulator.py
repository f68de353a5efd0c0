"""The sample portfolio keeps every declared contract, its books add up, and it is the same each time."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epic22.core.errors import UserError
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable, get_canonical_table
from epic22.simulator.portfolio import Portfolio, PortfolioSize, simulate, write_portfolio

TINY = PortfolioSize(
    "tiny", properties=6, metros=2, zips=3, units=110, reading_days=15, years_of_ledger=4, years_of_burn_in=1, replicates=20
)
PLANS = {"end_date", "scheduled_for", "warranty_until"}
"""Columns that may name a day after the end: they say what is intended."""

Frames = Mapping[str, pl.DataFrame]


@pytest.fixture(scope="module")
def tiny() -> Portfolio:
    return simulate(TINY, seed=3)


def latest(table: CanonicalTable, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(KNOWN_AT).unique(list(table.key), keep="last", maintain_order=True)


def problems(tables: Frames) -> list[str]:
    """Whatever in these tables breaks its contract, in words."""
    return [p for t in CANONICAL for p in (*_columns(t, tables[t.name]), *_links(t, tables), *_rules(t, tables))]


def _columns(table: CanonicalTable, frame: pl.DataFrame) -> list[str]:
    found = []
    if frame.select(pl.struct(*table.key, KNOWN_AT).is_duplicated().any()).item():
        found.append(f"{table.name}: key twice")
    for column in table.columns:
        values = frame[column.name]
        present = values.drop_nulls()
        if not column.optional and values.null_count():
            found.append(f"{table.name}.{column.name}: null")
        if column.levels and not set(present.unique()) <= set(column.levels):
            found.append(f"{table.name}.{column.name}: level")
        low, high = column.low, column.high
        if low is not None and (present.cast(pl.Float64) < low).any():
            found.append(f"{table.name}.{column.name}: below {low}")
        if high is not None and (present.cast(pl.Float64) > high).any():
            found.append(f"{table.name}.{column.name}: above {high}")
    return found


def _links(table: CanonicalTable, tables: Frames) -> list[str]:
    return [
        f"{table.name}.{r.column}: no such row of {r.table}"
        for r in table.references
        if not tables[table.name][r.column].drop_nulls().is_in(tables[r.table][r.column].unique().implode()).all()
    ]


def _rules(table: CanonicalTable, tables: Frames) -> list[str]:
    found = []
    for rule in table.rules:
        frame = tables[table.name]
        if rule.via is not None:
            other = latest(get_canonical_table(rule.via.table), tables[rule.via.table])
            names = {c: f"{rule.via.table}.{c}" for c in other.columns if c != rule.via.column}
            frame = frame.join(other.rename(names), on=rule.via.column, how="left")
        if frame.filter(~rule.holds.fill_null(True)).height:
            found.append(f"{table.name}: expected {rule.words}")
    return found


def test_all_tables_have_the_declared_columns_types_and_order(tiny: Portfolio) -> None:
    assert list(tiny.tables) == [table.name for table in CANONICAL]
    for table in CANONICAL:
        frame, schema = tiny.tables[table.name], table.schema
        assert {c: t for c, t in frame.schema.items() if c in schema} == schema
        assert frame.columns[-1] == KNOWN_AT
        assert set(frame.columns) - set(schema) == ({"age_band", "family_status", "disability"} if table.extra_columns else set())
        assert frame.equals(frame.sort(*table.key, KNOWN_AT))
        assert frame.height > 0


def test_every_row_keeps_its_contract(tiny: Portfolio) -> None:
    assert problems(tiny.tables) == []


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000))
def test_no_seed_breaks_a_contract(seed: int) -> None:
    assert problems(simulate(TINY, seed).tables) == []


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("leases", pl.lit(None, pl.String).alias("unit_id"), "leases.unit_id: null"),
        ("leases", pl.lit("U99999").alias("unit_id"), "leases.unit_id: no such row of units"),
        ("payments", pl.lit("lost").alias("status"), "payments.status: level"),
        ("sensor_readings", pl.lit(1.5).alias("quality"), "sensor_readings.quality: above 1"),
        ("work_orders", pl.lit(datetime(1990, 1, 1)).alias("opened_at"), "the equipment's installed_on"),
    ],
)
def test_a_broken_contract_is_seen(tiny: Portfolio, table: str, change: pl.Expr, said: str) -> None:
    broken = dict(tiny.tables) | {table: tiny.tables[table].with_columns(change)}
    assert any(said in problem for problem in problems(broken))


def test_nothing_happens_after_the_end(tiny: Portfolio) -> None:
    for table in CANONICAL:
        for name, dtype in table.schema.items():
            if dtype == pl.Datetime("us") and name not in PLANS:
                last = tiny.tables[table.name][name].max()
                assert last is None or (isinstance(last, datetime) and last <= tiny.end), f"{table.name}.{name}"


def test_some_orders_and_months_have_a_second_version(tiny: Portfolio) -> None:
    for name in ("work_orders", "market"):
        table = get_canonical_table(name)
        frame = tiny.tables[name]
        share = 1 - latest(table, frame).height / frame.height
        assert 0.02 < share < 0.2


def test_rows_of_competitors_are_old(tiny: Portfolio) -> None:
    market = tiny.tables["market"]
    shared = market.filter(pl.col("provenance") == "nonpublic_competitor")
    assert 0 < shared.height < market.height / 10
    newest = shared["published_at"].max()
    assert isinstance(newest, datetime)
    assert (tiny.end - newest).days > 365


def booked(tables: Frames, account: str) -> pl.DataFrame:
    entries = tables["ledger"].filter((pl.col("account") == account) & (pl.col("posted_on") >= WINDOW))
    return (
        entries.group_by("property_id", pl.col("posted_on").alias("day")).agg(pl.col("amount").sum()).sort("property_id", "day")
    )


WINDOW = datetime(2023, 1, 1)


def implied_income(tables: Frames, kind: str, end: datetime) -> pl.DataFrame:
    houses = tables["leases"].join(tables["units"], on="unit_id").select("lease_id", "property_id")
    charges = tables["charges"].filter(pl.col("kind") == kind).join(houses, on="lease_id").select("charge_id", "property_id")
    paid = tables["payments"].filter(pl.col("status") == "paid").join(charges, on="charge_id")
    inside = paid.filter((pl.col("paid_on") >= WINDOW) & (pl.col("paid_on") < end))
    return inside.group_by("property_id", pl.col("paid_on").alias("day")).agg(pl.col("amount").sum()).sort("property_id", "day")


def implied_repairs(tables: Frames) -> pl.DataFrame:
    orders = latest(get_canonical_table("work_orders"), tables["work_orders"])
    done = orders.filter((pl.col("status") == "completed") & (pl.col("completed_at") >= WINDOW))
    day = pl.col("completed_at").dt.truncate("1d").alias("day")
    return done.group_by("property_id", day).agg((-pl.col("cost")).sum().alias("amount")).sort("property_id", "day")


def implied_capital(tables: Frames) -> pl.DataFrame:
    new = tables["equipment"].filter(pl.col("installed_on") >= WINDOW)
    day = pl.col("installed_on").alias("day")
    return new.group_by("property_id", day).agg((-pl.col("replacement_cost")).sum().alias("amount")).sort("property_id", "day")


def same_money(a: pl.DataFrame, b: pl.DataFrame) -> bool:
    cents = pl.col("amount").cast(pl.Decimal(18, 2))
    return a.with_columns(cents).equals(b.with_columns(cents))


def test_the_ledger_is_what_the_other_tables_imply_to_the_cent(tiny: Portfolio) -> None:
    tables = tiny.tables
    assert same_money(booked(tables, "rent"), implied_income(tables, "rent", tiny.end))
    assert same_money(booked(tables, "other_income"), implied_income(tables, "fee", tiny.end))
    assert same_money(booked(tables, "repairs"), implied_repairs(tables))
    assert same_money(booked(tables, "capital"), implied_capital(tables))


def test_a_payment_that_is_not_booked_is_seen(tiny: Portfolio) -> None:
    tables = dict(tiny.tables)
    rents = tables["charges"].filter(pl.col("kind") == "rent")
    paid = tables["payments"].filter(
        (pl.col("status") == "paid") & (pl.col("paid_on") >= WINDOW) & pl.col("charge_id").is_in(rents["charge_id"].implode())
    )
    lost = paid["payment_id"][len(paid) // 2]
    tables["payments"] = tables["payments"].filter(pl.col("payment_id") != lost)
    assert not same_money(booked(tables, "rent"), implied_income(tables, "rent", tiny.end))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_and_another_seed_another_portfolio(tiny: Portfolio) -> None:
    again, other = simulate(TINY, seed=3), simulate(TINY, seed=4)
    for name, frame in tiny.tables.items():
        assert frame.equals(again.tables[name]), name
        assert not frame.equals(other.tables[name]), name
    for task, truth in tiny.truth.items():
        assert truth.equals(again.truth[task]), task


def test_no_true_probability_is_a_value_of_a_table(tiny: Portfolio) -> None:
    hidden: set[float] = set()
    for task in ("predictive_maintenance", "tenant_churn", "risk_assessment"):
        hidden |= set(tiny.truth[task].filter((pl.col("probability") > 0) & (pl.col("probability") < 1))["probability"])
    for name in ("market_intelligence", "market_vacancy"):
        hidden |= set(tiny.truth[name]["h1"])
    for name, table in tiny.tables.items():
        for column in table.select(pl.selectors.float() | pl.selectors.decimal()).get_columns():
            assert not hidden & set(column.cast(pl.Float64)), f"{name}.{column.name}"


@pytest.mark.parametrize("layout", ["csv", "parquet", "jsonl"])
def test_a_written_portfolio_is_the_same_bytes_and_says_what_it_is(tiny: Portfolio, layout: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_portfolio(tiny, tmp_path / folder, layout)  # type: ignore[arg-type]
    for table in CANONICAL:
        one, two = (tmp_path / f / "tables" / f"{table.name}.{layout}" for f in ("a", "b"))
        assert one.read_bytes() == two.read_bytes()
    assert "simulated" in (tmp_path / "a" / "README.txt").read_text()
    assert pl.read_parquet(tmp_path / "a" / "truth" / "tenant_churn.parquet").equals(tiny.truth["tenant_churn"])


def test_an_unknown_size_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="small, large"):
        simulate("medium")
