"""The simulated path of all tenants: leases, charges and payments that follow from one another, as records and as tables."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import small_world

from epic22.simulator.calendar import NEVER, Array, Span, first_day, last_day, month_of_day
from epic22.simulator.estate import build_estate
from epic22.simulator.market import simulate_market
from epic22.simulator.size import PortfolioSize
from epic22.simulator.tenancy_history import (
    DEPOSIT,
    EVICTED,
    FAILED,
    FEE,
    FEE_AFTER_DAYS,
    LATE_FEE,
    MAX_DAYS_LATE,
    MOVED_OUT,
    PAID,
    RENEWED,
    RENT,
    RUNNING,
    ColumnBuffers,
    TenancyHistory,
    sample_days_late,
    simulate_tenancies,
)
from epic22.simulator.tenancy_tables import (
    END_REASONS,
    FAMILY_STATUSES,
    build_messages_table,
    build_tenancy_tables,
    select_published,
)


@pytest.fixture(scope="module")
def path() -> TenancyHistory:
    return small_world().tenants


def test_late_rent_comes_after_a_day_to_24_and_mostly_in_the_first_half() -> None:
    days = sample_days_late(np.random.default_rng(0), 50_000)
    assert (days.min(), days.max()) == (1, MAX_DAYS_LATE)
    assert np.mean(days) == pytest.approx(1 + 24 / 3.2 - 0.5, abs=0.1)


@given(parts=st.lists(st.lists(st.integers(-9, 9), max_size=4), min_size=1))
def test_records_keep_every_row_in_the_order_in_which_it_came(parts: list[list[int]]) -> None:
    records = ColumnBuffers("value", "batch")
    places = [records.add(len(part), value=np.array(part, int), batch=number) for number, part in enumerate(parts)]
    assert records.n == sum(map(len, parts))
    assert records.columns()["value"].tolist() == [value for part in parts for value in part]
    assert records.columns()["batch"].tolist() == [number for number, part in enumerate(parts) for _ in part]
    assert np.concatenate(places).tolist() == list(range(records.n))


def test_leases_of_a_unit_follow_one_another_without_overlap(path: TenancyHistory) -> None:
    lease = path.lease
    for unit in np.unique(lease.unit):
        own = lease.unit == unit
        begins, ends = first_day(lease.first[own]), lease.ended[own]
        assert np.all(np.diff(begins) > 0)
        assert np.all(ends[:-1] < begins[1:])
        assert np.all(ends[:-1] != NEVER)


def test_every_end_of_a_lease_has_its_day_and_its_reason(path: TenancyHistory) -> None:
    lease = path.lease
    assert np.array_equal(lease.ended == NEVER, lease.reason == RUNNING)
    renewed, moved, evicted = (lease.reason == reason for reason in (RENEWED, MOVED_OUT, EVICTED))
    assert min(renewed.sum(), moved.sum(), evicted.sum()) > 0
    months = month_of_day(np.where(lease.ended == NEVER, 0, lease.ended))
    assert np.array_equal(lease.ended[renewed], last_day(months[renewed]))
    assert np.all(months[renewed] >= lease.last[renewed])
    assert np.all((lease.ended[moved] - lease.notice[moved] >= 30) & (lease.ended[moved] - lease.notice[moved] <= 60))
    assert np.all(last_day(months[evicted]) - lease.ended[evicted] <= 3)
    assert np.all(lease.notice[evicted] == NEVER)


def test_a_renewal_keeps_the_tenant_and_a_move_brings_another(path: TenancyHistory) -> None:
    lease = path.lease
    for unit in np.unique(lease.unit):
        own = np.flatnonzero(lease.unit == unit)
        same = lease.tenant[own][1:] == lease.tenant[own][:-1]
        assert np.array_equal(same, lease.reason[own][:-1] == RENEWED)


def test_leases_are_signed_before_they_begin(path: TenancyHistory) -> None:
    ahead = first_day(path.lease.first) - path.lease.signed
    assert np.all(ahead >= 1)
    assert np.all(path.person.created < path.lease.signed[np.unique(path.lease.tenant, return_index=True)[1]])


def test_each_new_tenant_pays_a_deposit_of_a_months_rent_on_signing(path: TenancyHistory) -> None:
    deposits = np.flatnonzero(path.charge.kind == DEPOSIT)
    lease = path.charge.lease[deposits]
    assert len(deposits) == len(path.person.rent) == len(np.unique(path.lease.tenant[lease]))
    assert np.array_equal(path.charge.amount[deposits], path.lease.rent[lease] * 100)
    payments = np.flatnonzero(np.isin(path.payment.charge, deposits))
    assert np.array_equal(path.payment.charge[payments], deposits)
    assert np.array_equal(path.payment.day[payments], path.lease.signed[lease])


def test_rent_is_charged_on_the_first_of_every_month_of_a_lease(path: TenancyHistory) -> None:
    rents = path.charge.kind == RENT
    end = small_world().span.end_month
    counts = np.bincount(path.charge.lease[rents], minlength=len(path.lease.unit))
    last = np.where(path.lease.ended == NEVER, end, month_of_day(np.where(path.lease.ended == NEVER, 0, path.lease.ended)))
    assert np.array_equal(counts, np.where(path.lease.first > end, 0, last - path.lease.first + 1))
    assert np.array_equal(path.charge.due[rents], first_day(month_of_day(path.charge.due[rents])))
    assert np.array_equal(path.charge.amount[rents], path.lease.rent[path.charge.lease[rents]] * 100)


def total_paid(path: TenancyHistory) -> Array:
    """Cents paid on each charge."""
    paid = path.payment.status == PAID
    return np.bincount(path.payment.charge[paid], path.payment.amount[paid], len(path.charge.lease))


def test_a_charge_is_paid_whole_or_not_at_all(path: TenancyHistory) -> None:
    total = total_paid(path)
    paid = total > 0
    assert np.array_equal(total[paid], path.charge.amount[paid])
    unpaid = path.charge.kind[~paid]
    assert len(unpaid) > 0
    assert DEPOSIT not in unpaid


def test_failed_payments_are_tries_before_the_money_came(path: TenancyHistory) -> None:
    failed = np.flatnonzero(path.payment.status == FAILED)
    assert len(failed) > 0
    charge = path.payment.charge[failed]
    assert np.array_equal(path.payment.amount[failed], path.charge.amount[charge])
    came = np.zeros(len(path.charge.lease), int)
    paid = path.payment.status == PAID
    np.maximum.at(came, path.payment.charge[paid], path.payment.day[paid])
    settled = came[charge] > 0
    assert np.all(path.payment.day[failed][settled] <= came[charge][settled])
    assert np.all(path.payment.day[failed] > path.charge.due[charge])


def test_a_fee_of_fifty_falls_due_five_days_after_its_rent(path: TenancyHistory) -> None:
    fees = path.charge.kind == FEE
    assert set(path.charge.amount[fees]) == {LATE_FEE}
    assert set(path.charge.due[fees] - first_day(month_of_day(path.charge.due[fees]))) == {FEE_AFTER_DAYS}


def test_unpaid_rents_are_the_arrears_of_the_state(path: TenancyHistory) -> None:
    """The state counts a rent as missed once its month is over: what no payment of earlier months settled."""
    span = small_world().span
    rent = np.flatnonzero(path.charge.kind == RENT)
    paid = path.payment.status == PAID
    last_part = np.zeros(len(path.charge.lease), int)
    np.maximum.at(last_part, path.payment.charge[paid], path.payment.day[paid])
    came = np.where(last_part > 0, last_part, NEVER)
    for month in (span.window_month, span.window_month + 14, span.end_month):
        today = int(first_day(month))
        owed = rent[(path.charge.due[rent] < today) & (came[rent] >= today)]
        per_lease = np.bincount(path.charge.lease[owed], minlength=len(path.lease.unit))
        let = path.lease_of[month] >= 0
        arrears = path.states[month].arrears[0]
        assert np.array_equal(np.minimum(per_lease[path.lease_of[month][let]], 4), arrears[let])


def test_the_state_of_a_month_is_that_of_the_lease_in_each_unit(path: TenancyHistory) -> None:
    span = small_world().span
    assert sorted(path.states) == list(range(span.window_month - 1, span.end_month + 1))
    for month in (span.window_month, span.end_month):
        state, lease = path.states[month], path.lease_of[month]
        assert np.array_equal(state.let[0], lease >= 0)
        let = np.flatnonzero(lease >= 0)
        assert np.array_equal(path.lease.unit[lease[let]], let)
        assert np.array_equal(state.rent[0, let], path.lease.rent[lease[let]])
        assert np.array_equal(state.last[0, let], path.lease.last[lease[let]])
        assert np.array_equal(state.reliability[0, let], path.person.reliability[path.lease.tenant[lease[let]]])


def test_days_within_a_month_are_drawn_apart_from_what_happens() -> None:
    size = PortfolioSize(
        "few", 2, metros=1, zips=1, units=30, reading_days=7, years_of_leases=1, years_of_ledger=1, years_of_burn_in=1
    )
    span = Span(size)
    market, estate = simulate_market(size, span, np.random.default_rng(0)), build_estate(size, span, np.random.default_rng(0))
    first, again, other_days, other = (
        simulate_tenancies(estate, market, span, np.random.default_rng(seed), np.random.default_rng(days))
        for seed, days in ((1, 1), (1, 1), (1, 2), (2, 1))
    )
    assert np.array_equal(first.payment.day, again.payment.day)
    assert np.array_equal(first.lease.rent, other_days.lease.rent)
    assert np.array_equal(first.lease.notice, other_days.lease.notice)
    assert not np.array_equal(first.payment.day, other_days.payment.day)
    assert not np.array_equal(first.lease.rent, other.lease.rent)


@pytest.fixture(scope="module")
def tables() -> Mapping[str, pl.DataFrame]:
    world = small_world()
    return build_tenancy_tables(world.estate, world.tenants, world.published, np.random.default_rng(4))


def test_leases_that_ended_before_the_window_are_not_published_with_anything_of_theirs(
    tables: Mapping[str, pl.DataFrame],
) -> None:
    world = small_world()
    leases = tables["leases"]
    ended = world.tenants.lease.ended
    assert leases.height == int((ended >= world.span.window_day).sum()) < len(ended)
    assert set(tables["charges"]["lease_id"]) <= set(leases["lease_id"])
    assert set(tables["payments"]["charge_id"]) <= set(tables["charges"]["charge_id"])
    assert set(tables["tenants"]["tenant_id"]) == set(leases["tenant_id"])
    assert set(tables["protected"]["tenant_id"]) < set(tables["tenants"]["tenant_id"])


def test_all_charges_of_a_published_lease_are_there(path: TenancyHistory, tables: Mapping[str, pl.DataFrame]) -> None:
    leases = np.flatnonzero(path.lease.ended >= small_world().span.window_day)
    counts = np.bincount(path.charge.lease, minlength=len(path.lease.unit))[leases]
    published = tables["charges"].group_by("lease_id").len().sort("lease_id")["len"]
    assert published.to_list() == counts[counts > 0].tolist()


def test_a_published_lease_tells_what_its_record_holds(path: TenancyHistory, tables: Mapping[str, pl.DataFrame]) -> None:
    at = np.flatnonzero(path.lease.ended >= small_world().span.window_day)
    leases = tables["leases"]
    assert leases["monthly_rent"].cast(pl.Float64).to_list() == path.lease.rent[at].tolist()
    assert leases["end_reason"].to_list() == [END_REASONS[r] if r >= 0 else None for r in path.lease.reason[at]]
    assert leases["notice_on"].is_null().to_list() == (path.lease.notice[at] == NEVER).tolist()
    assert leases["deposit"].cast(pl.Float64).to_list() == path.person.rent[path.lease.tenant[at]].tolist()
    terms = leases.select(pl.col("end_date") + timedelta(days=1) - pl.col("start_date")).to_series().dt.total_days()
    assert set(terms) <= set(range(181, 459))


def test_deposits_are_known_on_signing_and_other_charges_when_due(tables: Mapping[str, pl.DataFrame]) -> None:
    charges = tables["charges"].join(tables["leases"].select("lease_id", "signed_on"), on="lease_id")
    deposits, others = charges.filter(kind="deposit"), charges.filter(pl.col("kind") != "deposit")
    assert deposits["known_at"].equals(deposits["signed_on"])
    assert others["known_at"].equals(others["due_on"])
    assert min(deposits.height, others.height) > 0


def test_screening_follows_reliability_and_income_the_rent(path: TenancyHistory, tables: Mapping[str, pl.DataFrame]) -> None:
    numbers = tables["tenants"]["tenant_id"].str.slice(1).cast(pl.Int64) - 1
    frame = tables["tenants"].with_columns(
        reliability=pl.Series(path.person.reliability[numbers]), rent=pl.Series(path.person.rent[numbers])
    )
    means = dict(frame.drop_nulls("screening_risk").group_by("screening_risk").agg(pl.col("reliability").mean()).iter_rows())
    assert means["low"] > means["medium"] > means["high"]
    multiples = (frame["household_income"].cast(pl.Float64) / 12 / frame["rent"]).drop_nulls()
    assert multiples.median() == pytest.approx(3.0, rel=0.08)
    assert 0.03 < frame["household_income"].null_count() / frame.height < 0.14


def test_protected_classes_are_kept_for_nine_in_ten_in_the_stated_shares(tables: Mapping[str, pl.DataFrame]) -> None:
    protected = tables["protected"]
    assert protected.height / tables["tenants"].height == pytest.approx(0.9, abs=0.05)
    assert (protected["family_status"] == FAMILY_STATUSES[1]).mean() == pytest.approx(0.32, abs=0.08)
    assert (protected["disability"] == "disabled").mean() == pytest.approx(0.11, abs=0.05)
    assert set(protected["age_band"]) == {"18-29", "30-44", "45-61", "62+"}


def test_publishing_hides_nothing_of_a_window_that_covers_all_leases(path: TenancyHistory) -> None:
    span = Span(PortfolioSize("long", 1, metros=1, zips=1, units=4, reading_days=7, years_of_leases=5))
    assert select_published(path, span).leases.all()


@pytest.fixture(scope="module")
def messages() -> pl.DataFrame:
    world = small_world()
    rng = np.random.default_rng(6)
    return build_messages_table(world.estate, world.tenants, world.machines, world.published, world.span, rng)


def test_messages_come_from_published_leases_while_they_run(messages: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> None:
    both = messages.join(tables["leases"], on="lease_id", how="left")
    assert both["start_date"].null_count() == 0
    assert (both["sent_at"] >= both["start_date"]).all()
    month_end = both["ended_on"].dt.month_end() + timedelta(days=1)
    assert (both["sent_at"] < month_end).fill_null(value=True).all()


def test_complaints_are_bitter_and_praise_is_not(messages: pl.DataFrame) -> None:
    moods = dict(messages.group_by("category").agg(pl.col("sentiment").mean()).iter_rows())
    assert moods["complaint"] < moods["request"] < moods["other"] < moods["praise"]
    assert messages["sentiment"].is_between(-1, 1).all()


def test_messages_are_numbered_in_the_order_in_which_they_were_sent(messages: pl.DataFrame) -> None:
    assert messages["sent_at"].is_sorted()
    assert messages["message_id"].to_list() == [f"M{n:07d}" for n in range(1, messages.height + 1)]
    assert (messages["sent_at"] >= datetime(2023, 1, 1)).all()


def test_nobody_pays_for_a_lease_after_the_month_in_which_it_was_left(path: TenancyHistory) -> None:
    paid = np.flatnonzero(path.payment.status == PAID)
    lease = path.charge.lease[path.payment.charge[paid]]
    left = np.isin(path.lease.reason[lease], [MOVED_OUT, EVICTED])
    assert left.sum() > 1000
    assert np.all(month_of_day(path.payment.day[paid][left]) <= month_of_day(path.lease.ended[lease][left]))


def test_a_fee_stays_unpaid_only_where_the_rent_of_its_month_does(path: TenancyHistory) -> None:
    unpaid = total_paid(path) == 0
    month = month_of_day(path.charge.due)
    owed, rents = (
        set(zip(path.charge.lease[own].tolist(), month[own].tolist(), strict=True))
        for own in (unpaid & (path.charge.kind == FEE), unpaid & (path.charge.kind == RENT))
    )
    last = int(small_world().span.end_month)
    assert owed
    assert {(lease, at) for lease, at in owed if at < last} <= rents


def test_nobody_writes_from_an_empty_unit() -> None:
    world = small_world()
    # The unit of the last lease is among those emptied: place -1, nobody's, would be taken for it.
    emptied_units = np.arange(len(world.estate.property_of)) % 2 == world.tenants.lease.unit[-1] % 2
    emptied = replace(
        world.tenants, lease_of={m: np.where(emptied_units, -1, lease) for m, lease in world.tenants.lease_of.items()}
    )
    rng = np.random.default_rng(6)
    sent = build_messages_table(world.estate, emptied, world.machines, world.published, world.span, rng)
    number = sent.filter(pl.col("category") != "complaint")["lease_id"].str.slice(1).cast(pl.Int64).to_numpy() - 1
    assert len(number) > 50
    assert not emptied_units[world.tenants.lease.unit[number]].any()
