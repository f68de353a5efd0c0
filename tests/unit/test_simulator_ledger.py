"""The simulated work orders, equipment, sensors and books: what each entry comes from, to the cent."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from tests.worlds import SMALL_WORLD, small_world

from epic22.simulator.calendar import NEVER, Array, month_of_day
from epic22.simulator.equipment_tables import (
    CATEGORIES,
    CATEGORY_BY_KIND,
    CORRECTIVE,
    CRITICAL,
    HIGH,
    INSPECTION,
    LOW,
    PREVENTIVE,
    SENSOR_MEAN,
    SENSOR_SPREAD,
    SENSORS,
    Pieces,
    build_equipment_table,
    build_work_orders_table,
    simulate_sensor_table,
)
from epic22.simulator.estate import KINDS, SCALE_YEARS
from epic22.simulator.ledger import (
    ACCOUNTS,
    TAX_MONTHS_OF_YEAR,
    UTILITY_NOISE,
    Bookings,
    RunningCosts,
    build_ledger_table,
    sample_running_costs,
)
from epic22.simulator.size import END
from epic22.simulator.tenancy_history import DEPOSIT, FEE, MOVED_OUT, PAID, RENT

JANUARY = 12 * 50


def costs(growth: float = 0.0022) -> RunningCosts:
    """One property: 100 of utilities, 600 of taxes, 40 of insurance and 80 of payroll, in January 2020."""
    utilities, taxes, insurance, payroll = (np.array([100.0 * amount]) for amount in (100, 600, 40, 80))
    return RunningCosts(utilities, taxes, insurance, payroll, JANUARY, growth)


def test_costs_grow_by_their_rate_a_month() -> None:
    assert costs().price_level(JANUARY) == 1
    assert costs().price_level(JANUARY + 10) == pytest.approx(np.exp(0.022))


def test_taxes_fall_due_in_june_and_december_alone() -> None:
    taxes = [float(costs(growth=0).compute_fixed(JANUARY + month)[0, 0]) for month in range(12)]
    assert taxes == [60_000.0 if month in (5, 11) else 0.0 for month in range(12)]
    assert TAX_MONTHS_OF_YEAR == (5, 11)


def test_fixed_costs_are_raised_once_a_year_in_whole_cents() -> None:
    insurance = [float(costs().compute_fixed(JANUARY + month)[1, 0]) for month in range(25)]
    assert insurance[:12] == [4000.0] * 12
    assert insurance[12:24] == [float(np.round(4000 * np.exp(0.0022 * 12)))] * 12
    assert insurance[24] == float(np.round(4000 * np.exp(0.0022 * 24)))


def test_utilities_are_dearest_in_winter_and_dearer_in_high_summer_than_in_spring() -> None:
    months = [float(costs(growth=0).compute_median_utilities(JANUARY + month)[0]) for month in range(12)]
    assert months[0] == pytest.approx(10_000 * np.exp(0.25 * np.cos(np.pi / 12) + 0.12 * np.cos(np.pi / 6)))
    assert max(months) == pytest.approx(months[0])
    assert months[0] == pytest.approx(months[11])
    assert min(months[3:6]) < months[6]


def test_running_costs_are_shares_of_the_rent() -> None:
    world = small_world()
    drawn = [sample_running_costs(world.estate, world.market, world.span, np.random.default_rng(seed)) for seed in range(200)]
    state = world.market.at(world.span.first_month)
    rent = np.exp(world.market.log_rent(state)[world.estate.zip_of].mean(axis=1)) * world.estate.units_per_property * 100
    for account, share in (("utilities", 0.085), ("taxes", 0.66), ("insurance", 0.04), ("payroll", 0.1)):
        medians = np.median([getattr(cost, account) for cost in drawn], axis=0) / rent
        assert medians == pytest.approx(np.full(len(rent), share), rel=0.06), account


@pytest.fixture(scope="module")
def books() -> pl.DataFrame:
    """The ledger with each entry's property as a number, its day since 1970 and its whole cents."""
    world = small_world()
    rng = np.random.default_rng(8)
    paid = sample_running_costs(world.estate, world.market, world.span, rng)
    table = build_ledger_table(world.estate, Bookings(world.tenants, world.orders, world.pieces, paid), world.span, rng)
    return table.with_columns(
        day=pl.col("posted_on").dt.epoch("d"),
        house=pl.col("property_id").str.slice(1).cast(pl.Int64) - 1,
        cents=(pl.col("amount") * 100).cast(pl.Int64),
    )


def total(books: pl.DataFrame, account: str, until: int) -> list[int]:
    """Cents of an account by property, of entries posted before a day."""
    houses = pl.DataFrame({"house": range(SMALL_WORLD.properties)}, schema={"house": pl.Int64})
    sums = books.filter((pl.col("account") == account) & (pl.col("day") < until)).group_by("house").agg(pl.col("cents").sum())
    return houses.join(sums, on="house", how="left").fill_null(0).sort("house")["cents"].to_list()


def by_house(house: Array, cents: Array) -> list[int]:
    """Whole cents summed by property."""
    return [round(amount) for amount in np.bincount(house, cents, SMALL_WORLD.properties)]


def test_rents_and_fees_in_the_books_are_the_payments_to_the_cent(books: pl.DataFrame) -> None:
    world = small_world()
    payment, charge, span = world.tenants.payment, world.tenants.charge, world.span
    until = span.end_day - 4
    house = world.estate.property_of[world.tenants.lease.unit[charge.lease[payment.charge]]]
    for account, kind in (("rent", RENT), ("other_income", FEE)):
        own = (payment.status == PAID) & (charge.kind[payment.charge] == kind)
        own &= (payment.day >= span.ledger_day) & (payment.day < until)
        assert own.sum() > 0
        assert total(books, account, until) == by_house(house[own], payment.amount[own]), account


def test_deposits_are_no_income(books: pl.DataFrame) -> None:
    world = small_world()
    payment, charge = world.tenants.payment, world.tenants.charge
    rents = payment.amount[(payment.status == PAID) & (charge.kind[payment.charge] != DEPOSIT)]
    income = sum(sum(total(books, account, world.span.end_day)) for account in ("rent", "other_income"))
    assert 0 < income < rents.sum()


def test_repairs_and_new_pieces_in_the_books_are_what_was_done_to_the_cent(books: pl.DataFrame) -> None:
    world = small_world()
    orders, pieces, span = world.orders, world.pieces, world.span
    until = span.end_day - 4
    done = (orders.done >= span.ledger_day) & (orders.done < until)
    assert total(books, "repairs", until) == by_house(orders.house[done], -orders.cost[done])
    new = (pieces.installed >= span.ledger_day) & (pieces.installed < until)
    slot = pieces.slot[new]
    assert new.sum() > 0
    assert total(books, "capital", until) == by_house(world.estate.slot_property[slot], -100 * world.estate.slot_price[slot])


def test_running_costs_are_booked_on_their_day_of_the_month(books: pl.DataFrame) -> None:
    for account, day in (("utilities", 18), ("taxes", 15), ("insurance", 5), ("payroll", 25)):
        entries = books.filter(account=account)
        assert set(entries["posted_on"].dt.day()) == {day}, account
        months = entries.group_by("property_id").len()["len"].unique().to_list()
        assert months == [8 if account == "taxes" else 48], account
    assert set(books.filter(account="taxes")["posted_on"].dt.month()) == {6, 12}


def test_utilities_scatter_around_their_median(books: pl.DataFrame) -> None:
    world = small_world()
    cost = sample_running_costs(world.estate, world.market, world.span, np.random.default_rng(8))
    utilities = books.filter(account="utilities")
    months = month_of_day(utilities["day"].to_numpy())
    medians = np.array([cost.compute_median_utilities(int(m))[h] for m, h in zip(months, utilities["house"], strict=True)])
    noise = np.log(-utilities["cents"].to_numpy() / medians)
    assert noise.std() == pytest.approx(UTILITY_NOISE, rel=0.12)
    assert noise.mean() == pytest.approx(0, abs=4 * UTILITY_NOISE / len(noise) ** 0.5)


def test_income_is_positive_costs_are_negative_and_a_day_has_one_entry_an_account(books: pl.DataFrame) -> None:
    income = books["account"].is_in(["rent", "other_income"])
    assert (books.filter(income)["cents"] > 0).all()
    assert (books.filter(~income)["cents"] < 0).all()
    assert set(books["account"]) == set(ACCOUNTS)
    assert not books.select("house", "day", "account").is_duplicated().any()


def test_an_entry_is_known_one_to_four_days_after_it_is_posted_and_by_the_end(books: pl.DataFrame) -> None:
    delays = (books["known_at"] - books["posted_on"]).dt.total_days()
    before = books["day"] < small_world().span.end_day - 4
    assert (delays.filter(before).min(), delays.filter(before).max()) == (1, 4)
    assert (books["known_at"] <= END).all()


def test_a_slot_has_one_piece_at_a_time() -> None:
    world = small_world()
    pieces, failures = world.pieces, world.machines.failures
    swapped = failures.replaced & (failures.done < world.span.end_day)
    assert len(pieces.slot) == len(world.estate.slot_kind) + swapped.sum()
    for slot in np.unique(failures.slot[swapped]):
        own = pieces.slot == slot
        assert pieces.retired[own][:-1].tolist() == pieces.installed[own][1:].tolist()
        assert pieces.retired[own][-1] == NEVER


def test_the_piece_in_a_slot_is_the_newest_that_was_installed_by_the_day() -> None:
    pieces = Pieces(np.array([0, 0, 1, 2]), np.array([100, 500, 300, 50]), np.array([500, NEVER, NEVER, NEVER]))
    slots, days = np.array([0, 0, 0, 1, 2]), np.array([100, 499, 500, 301, 9999])
    assert pieces.in_slot(slots, days).tolist() == [0, 0, 1, 2, 3]
    assert pieces.names.to_list() == ["E000001", "E000002", "E000003", "E000004"]


def test_equipment_has_a_warranty_of_a_fifth_of_its_life_and_is_retired_by_its_successor() -> None:
    world = small_world()
    table = build_equipment_table(world.estate, world.pieces, world.span)
    years = table["kind"].replace_strict(KINDS, SCALE_YEARS, return_dtype=pl.Float64)
    warranty = (table["warranty_until"] - table["installed_on"]).dt.total_days()
    assert warranty.to_list() == (years * 365 / 5).round().cast(pl.Int64).to_list()
    retired = table.drop_nulls("retired_on")
    assert (
        retired.height == int(((world.pieces.retired != NEVER) & (world.pieces.retired >= world.span.window_day - 400)).sum()) > 0
    )
    assert (retired["retired_on"] > retired["installed_on"]).all()


def test_every_failure_and_every_small_repair_is_a_corrective_order() -> None:
    world = small_world()
    orders, failures = world.orders, world.machines.failures
    urgent = (orders.kind == CORRECTIVE) & (orders.priority >= HIGH)
    assert sorted(zip(orders.slot[urgent], orders.opened[urgent], strict=True)) == sorted(
        zip(failures.slot, failures.day, strict=True)
    )
    assert np.sum(orders.priority == CRITICAL) == failures.critical.sum()
    assert orders.cost[urgent].sum() == failures.cost.sum()
    small = (orders.kind == CORRECTIVE) & (orders.priority < HIGH) & (orders.slot >= 0)
    assert small.sum() == len(world.machines.minor_slot)


def test_orders_bear_the_category_and_the_place_of_their_slot() -> None:
    world = small_world()
    orders, estate = world.orders, world.estate
    at = np.flatnonzero(orders.slot >= 0)
    slot = orders.slot[at]
    assert [CATEGORIES[c] for c in orders.category[at]] == [CATEGORY_BY_KIND[kind] for kind in estate.slot_kind[slot]]
    assert np.array_equal(orders.house[at], estate.slot_property[slot])
    assert np.array_equal(orders.unit[at], estate.slot_unit[slot])


def test_skipped_visits_are_cancelled_and_others_are_done_around_their_plan() -> None:
    world = small_world()
    orders = world.orders
    visits = (orders.kind == PREVENTIVE) & (orders.slot >= 0)
    skipped = visits & (orders.done == NEVER)
    assert np.array_equal(skipped, orders.cancelled > 0)
    done = visits & ~skipped
    assert set(orders.planned[visits] - orders.opened[visits]) == {14}
    assert set(orders.done[done] - orders.planned[done]) <= set(range(8))
    assert skipped.sum() > 0


def test_each_property_is_inspected_once_a_year() -> None:
    world = small_world()
    inspections = world.orders.kind == INSPECTION
    for house in range(SMALL_WORLD.properties):
        opened = np.sort(world.orders.opened[inspections & (world.orders.house == house)])
        assert ((opened - world.span.first_day) // 365).tolist() == list(range(len(opened)))
        assert len(opened) >= 5
    assert set(world.orders.priority[inspections]) == {LOW}


def test_seven_in_ten_homes_are_done_up_the_day_after_a_move() -> None:
    world = small_world()
    orders, lease = world.orders, world.tenants.lease
    decorating = np.isin(orders.category, [CATEGORIES.index("painting"), CATEGORIES.index("flooring")])
    moved = (lease.reason == MOVED_OUT) & (lease.ended + 1 < world.span.end_day)
    days = set(zip(lease.unit[moved], lease.ended[moved] + 1, strict=True))
    assert set(zip(orders.unit[decorating], orders.opened[decorating], strict=True)) <= days
    assert decorating.sum() / moved.sum() == pytest.approx(0.7, abs=0.12)


def test_orders_are_in_the_order_in_which_they_were_opened() -> None:
    orders = small_world().orders
    time = orders.opened * 24 + orders.hour
    assert np.all(np.diff(time) >= 0)
    assert orders.opened.max() < small_world().span.end_day


@pytest.fixture(scope="module")
def work() -> pl.DataFrame:
    world = small_world()
    return build_work_orders_table(world.estate, world.pieces, world.orders, world.span, np.random.default_rng(9))


def test_one_order_in_ten_has_its_cost_corrected_five_days_after_it_is_done(work: pl.DataFrame) -> None:
    versions = work.group_by("work_order_id").agg(pl.col("known_at", "cost", "completed_at", "status").sort_by("known_at"))
    twice = versions.filter(pl.col("known_at").list.len() == 2)
    done = versions.filter(pl.col("status").list.last() == "completed")
    assert twice.height / done.height == pytest.approx(0.1, abs=0.025)
    delay = twice.select(pl.col("known_at").list.last() - pl.col("completed_at").list.last()).to_series()
    assert set(delay) == {timedelta(days=4, hours=16)}
    ratio = twice.select(pl.col("cost").list.first().cast(pl.Float64) / pl.col("cost").list.last().cast(pl.Float64)).to_series()
    assert ratio.is_between(0.799, 1.201).all()
    assert (ratio != 1).sum() > 0.9 * len(ratio)


def test_orders_have_a_cost_only_when_they_are_completed(work: pl.DataFrame) -> None:
    assert work["cost"].is_not_null().equals(work["status"] == "completed")
    ended = work["status"].is_in(["completed", "cancelled"])
    assert work["completed_at"].is_not_null().equals(ended)
    assert set(work["status"]) == {"open", "in_progress", "on_hold", "completed", "cancelled"}


def test_orders_from_before_the_window_are_there_only_if_they_reach_into_it(work: pl.DataFrame) -> None:
    world = small_world()
    begin = END.replace(year=END.year - 3)
    assert ((work["opened_at"] >= begin) | (work["completed_at"] >= begin)).all()
    inside = (world.orders.opened >= world.span.window_day) | (
        (world.orders.done >= world.span.window_day) & (world.orders.done != NEVER)
    )
    assert work["work_order_id"].n_unique() == inside.sum()


def test_an_order_names_the_piece_that_stood_there_when_it_was_opened(work: pl.DataFrame) -> None:
    world = small_world()
    equipment = build_equipment_table(world.estate, world.pieces, world.span)
    both = work.join(equipment, on="equipment_id", how="inner")
    assert both.height == work["equipment_id"].is_not_null().sum()
    assert (both["opened_at"] >= both["installed_on"]).all()
    retired = both.drop_nulls("retired_on")
    assert (retired["opened_at"].dt.truncate("1d") <= retired["retired_on"]).all()


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    world = small_world()
    rng = np.random.default_rng(10)
    return simulate_sensor_table(world.estate, world.machines, world.pieces, world.span, SMALL_WORLD, rng)


def test_each_kind_of_equipment_is_read_by_its_own_sensors(readings: pl.DataFrame) -> None:
    world = small_world()
    kinds = build_equipment_table(world.estate, world.pieces, world.span).select("equipment_id", equipment="kind")
    pairs = readings.join(kinds, on="equipment_id").select("equipment", "kind").unique()
    sensed = {KINDS[k] for k in world.estate.slot_kind[world.estate.has_sensor]}
    assert set(pairs.iter_rows()) == {(KINDS[k], s) for k, signals in SENSORS.items() for s in signals if KINDS[k] in sensed}


def test_readings_come_every_seventh_day_unless_the_piece_is_down(readings: pl.DataFrame) -> None:
    world = small_world()
    days = (
        readings.filter(kind="temperature")
        .select("equipment_id", day=pl.col("measured_at").dt.epoch("d"))
        .sort("equipment_id", "day")
    )
    gaps = days.select(pl.col("day").diff().over("equipment_id")).drop_nulls().to_series()
    assert set(gaps % 7) == {0}
    assert (gaps == 7).to_numpy().mean() > 0.97
    slot = world.pieces.slot[days["equipment_id"].str.slice(1).cast(pl.Int64) - 1]
    row = days["day"].to_numpy() - world.span.window_day
    assert np.all(world.machines.down_until[row, slot] <= days["day"].to_numpy())


def test_decay_moves_a_sensor_the_way_that_it_drifts() -> None:
    world = small_world()
    rise = {}
    for stage in (0, 3):
        machines = replace(world.machines, stage=np.full_like(world.machines.stage, stage))
        rng = np.random.default_rng(11)
        table = simulate_sensor_table(world.estate, machines, world.pieces, world.span, SMALL_WORLD, rng)
        rise[stage] = dict(table.group_by("kind").agg(pl.col("value").mean()).iter_rows())
    steps = {kind: (rise[3][kind] - rise[0][kind]) / SENSOR_SPREAD[kind] / np.exp(0.35**2 / 2) for kind in SENSOR_MEAN}
    expected = {"temperature": 2.4, "vibration": 3.3, "power": 2.1, "pressure": -2.7, "water_flow": -2.4}
    assert steps == pytest.approx({kind: expected[kind] for kind in steps}, rel=0.08)


def test_a_tenth_of_the_readings_arrives_hours_late_and_quality_is_a_share(readings: pl.DataFrame) -> None:
    delays = (readings["known_at"] - readings["measured_at"]).dt.total_hours()
    assert (delays > 0).to_numpy().mean() == pytest.approx(0.1, abs=0.02)
    assert delays.max() == 11
    assert readings["quality"].is_between(0, 1).all()
    assert (readings.filter(pl.col("kind") != "temperature")["value"] >= 0).all()


def test_gardens_are_tended_in_45_of_100_months() -> None:
    world = small_world()
    orders = world.orders
    gardens = np.isin(orders.category, [CATEGORIES.index("landscaping"), CATEGORIES.index("pest_control")])
    months = SMALL_WORLD.properties * (world.span.end_month - world.span.first_month)
    assert gardens.sum() / months == pytest.approx(0.45, abs=0.06)
    assert set(orders.done[gardens] - orders.opened[gardens]) == set(range(1, 9))
