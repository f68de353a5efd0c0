"""The simulated buildings, their equipment and how it fails: shapes, scales and probabilities by hand."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import SMALL_WORLD, small_world

from epic22.simulator.calendar import NEVER, Array, Span
from epic22.simulator.equipment import (
    HAZARD_FACTOR,
    PLANNED_DAYS_AHEAD,
    SHAPE,
    STAGE_CHANCE,
    STAGES,
    UNSERVICED_EFFECT,
    VISIT_INTERVAL_DAYS,
    Failures,
    Machines,
    Visits,
    compute_expected_failures,
    compute_failure_probabilities,
    compute_hazard,
    compute_season_effect,
    plan_visits,
    simulate_machines,
)
from epic22.simulator.estate import KINDS, SCALE_YEARS, TYPICAL_AREA, TYPICAL_PRICE, Estate, build_estate, build_property_tables
from epic22.simulator.size import PortfolioSize

ROOF, SECURITY = KINDS.index("roofing"), KINDS.index("security")


def sum_by_property(estate: Estate, kind: str) -> Array:
    """How many slots of a kind each property has."""
    slots = estate.slot_property[estate.slot_kind == KINDS.index(kind)]
    return np.bincount(slots, minlength=len(estate.zip_of))


def one_slot(kind: int = SECURITY, usage: float = 0.0, neglect: float = 0.0) -> Estate:
    """A house of one unit with one slot of equipment."""
    whole = build_estate(
        PortfolioSize("one", 1, metros=1, zips=1, units=4, reading_days=7), Span(SMALL_WORLD), np.random.default_rng(0)
    )
    return replace(
        whole,
        neglect=np.array([neglect]),
        slot_property=np.array([0]),
        slot_unit=np.array([-1]),
        slot_kind=np.array([kind]),
        slot_installed=np.array([0]),
        slot_price=np.array([1000.0]),
        usage=np.array([usage]),
        has_sensor=np.array([False]),
    )


def test_units_add_up_to_about_the_size_and_every_property_has_four() -> None:
    estate = small_world().estate
    assert estate.units_per_property.sum() == len(estate.property_of)
    assert estate.units_per_property.sum() == pytest.approx(SMALL_WORLD.units, abs=SMALL_WORLD.properties)
    assert estate.units_per_property.min() >= 4
    assert np.all(np.diff(estate.property_of) >= 0)


def test_only_appliances_stand_in_a_unit_and_it_is_one_of_their_property() -> None:
    estate = small_world().estate
    appliance = estate.slot_kind == KINDS.index("appliance")
    assert np.array_equal(estate.slot_unit >= 0, appliance)
    assert np.array_equal(estate.property_of[estate.slot_unit[appliance]], estate.slot_property[appliance])


def test_sensors_stand_only_at_hvac_plumbing_and_elevators() -> None:
    estate = small_world().estate
    assert {KINDS[kind] for kind in estate.slot_kind[estate.has_sensor]} <= {"hvac", "plumbing", "elevator"}
    assert 0.6 < estate.has_sensor.sum() / np.isin(estate.slot_kind, [0, 1, 5]).sum() < 0.95


def test_equipment_is_older_than_the_simulation_and_younger_than_its_house() -> None:
    world = small_world()
    estate = world.estate
    built = (estate.year_built[estate.slot_property] - 1970) * 365.25
    assert np.all(estate.slot_installed < world.span.first_day)
    assert np.all(estate.slot_installed >= np.floor(built))
    oldest = 1.1 * SCALE_YEARS[estate.slot_kind] * 365.25
    assert np.all(world.span.first_day - estate.slot_installed <= oldest + 2)


@pytest.fixture(scope="module")
def large() -> Estate:
    """Enough units and slots for shares to be seen."""
    size = PortfolioSize("many", 300, metros=3, zips=12, units=7500, reading_days=7)
    return build_estate(size, Span(size), np.random.default_rng(1))


def test_each_kind_of_equipment_has_as_many_slots_as_the_units_ask_for(large: Estate) -> None:
    units = large.units_per_property
    expected: Mapping[str, Array] = {
        "hvac": np.maximum(2, units // 4),
        "plumbing": 1 + units // 15,
        "roofing": np.ones_like(units),
        "elevator": np.where(units >= 20, 1, 0),
        "appliance": np.maximum(1, units // 6),
    }
    for kind, counts in expected.items():
        assert sum_by_property(large, kind).tolist() == counts.tolist(), kind


def test_areas_and_prices_scatter_around_what_is_typical(large: Estate) -> None:
    for rooms in range(4):
        assert np.median(large.area[large.bedrooms == rooms]) == pytest.approx(TYPICAL_AREA[rooms], rel=0.03)
    for kind in (0, 1, 2, 4):
        assert np.median(large.slot_price[large.slot_kind == kind]) == pytest.approx(TYPICAL_PRICE[kind], rel=0.05)
    assert np.all(large.slot_price % 10 == 0)


def test_bedrooms_come_in_the_stated_shares_and_small_flats_have_one_bathroom(large: Estate) -> None:
    shares = np.bincount(large.bedrooms) / len(large.bedrooms)
    assert shares == pytest.approx([0.12, 0.36, 0.38, 0.14], abs=0.02)
    assert set(large.bathrooms[large.bedrooms < 2]) == {1.0}
    assert set(large.bathrooms[large.bedrooms >= 2]) == {1.0, 1.5, 2.0}


def test_quality_rises_by_the_area_and_the_floor(large: Estate) -> None:
    noise = large.quality - 0.45 * np.log(large.area / TYPICAL_AREA[large.bedrooms]) - 0.008 * large.floor
    within = noise - (np.bincount(large.property_of, noise) / large.units_per_property)[large.property_of]
    assert within.std() == pytest.approx(0.03, rel=0.05)
    assert np.corrcoef(within, large.floor)[0, 1] == pytest.approx(0, abs=0.05)


def test_properties_are_dealt_evenly_over_the_zip_codes(large: Estate) -> None:
    assert set(np.bincount(large.zip_of)) == {300 // 12}


def test_ids_number_properties_and_units_from_one() -> None:
    estate = small_world().estate
    assert estate.property_ids.to_list()[:2] == ["P0001", "P0002"]
    assert estate.unit_ids[-1] == f"U{len(estate.property_of):05d}"


def test_tables_of_properties_and_units_tell_the_same_as_the_estate() -> None:
    world = small_world()
    tables = build_property_tables(world.estate, world.market, world.span, np.random.default_rng(0))
    properties, units = tables["properties"], tables["units"]
    counts = units.group_by("property_id").len().sort("property_id")["len"]
    assert properties["total_units"].to_list() == counts.to_list()
    assert properties["zip_code"].to_list() == [world.market.zip_codes[z] for z in world.estate.zip_of]
    metros = {code[:2] for code in properties["zip_code"]}
    assert properties["city"].n_unique() == len(metros)
    assert units["area_sqft"].to_list() == world.estate.area.tolist()


def test_the_hazard_is_the_weibull_of_age_raised_by_what_the_slot_bears() -> None:
    day, service = 3650, 3650 - 73
    estate = one_slot(usage=0.5, neglect=-1.0)
    scale = SCALE_YEARS[SECURITY] * 365.25
    weibull = SHAPE[SECURITY] / scale * (day / scale) ** (SHAPE[SECURITY] - 1)
    raised = HAZARD_FACTOR * weibull * np.exp(0.6 * 0.5 - 0.3 + UNSERVICED_EFFECT * 73 / 365)
    assert compute_hazard(estate, day, np.array([0]), np.array([service])) == pytest.approx([1 - np.exp(-raised)])


def test_hazards_have_the_declared_shape_and_scale() -> None:
    for kind in range(len(KINDS)):
        estate = one_slot(kind)
        year, scale = 365.25, SCALE_YEARS[kind] * 365.25
        ages = np.array([1.0, 2.0]) * scale
        rates = [-np.log1p(-compute_hazard(estate, 0, np.array([-age]), np.array([0]))[0]) for age in ages]
        assert rates[1] / rates[0] == pytest.approx(2 ** (SHAPE[kind] - 1)), KINDS[kind]
        assert rates[0] * year == pytest.approx(
            HAZARD_FACTOR * SHAPE[kind] / SCALE_YEARS[kind] * np.exp(compute_season_effect(np.array(kind), 0))
        ), KINDS[kind]


def test_two_years_without_service_weigh_no_less_than_five() -> None:
    estate = one_slot()
    rates = [compute_hazard(estate, 3650, np.array([0]), np.array([3650 - days]))[0] for days in (0, 365, 730, 1825)]
    assert rates[0] < rates[1] < rates[2] == rates[3]


@given(day=st.integers(0, 30_000))
def test_cooling_fails_in_summer_and_roofs_in_winter_and_the_rest_at_any_time(day: int) -> None:
    effects = compute_season_effect(np.arange(len(KINDS)), day)
    assert np.all(effects[[2, 4, 5, 6, 7, 8]] == 0)
    assert abs(effects[0]) <= 0.5
    assert effects[ROOF] == pytest.approx(1.5 * effects[1])


def test_the_hottest_day_is_the_hardest_for_cooling_and_the_easiest_for_pipes() -> None:
    days = np.arange(365)
    pipes = compute_season_effect(np.full(365, 1), days)
    assert days[np.argmin(pipes)] == 196
    assert compute_season_effect(np.array(0), 196) == pytest.approx(0.5)


def test_visits_are_planned_at_the_interval_of_their_kind() -> None:
    world = small_world()
    visits = plan_visits(world.estate, world.span, np.random.default_rng(2))
    for kind in (0, 1, 5):
        gaps = [np.diff(np.sort(visits.planned[visits.slot == slot])) for slot in np.flatnonzero(world.estate.slot_kind == kind)]
        assert np.mean(np.concatenate(gaps)) == pytest.approx(VISIT_INTERVAL_DAYS[kind], rel=0.06), KINDS[kind]


def test_a_visit_comes_within_a_week_of_its_plan_or_never() -> None:
    world = small_world()
    visits = world.machines.visits
    came = visits.done != NEVER
    delay = visits.done[came] - visits.planned[came]
    assert (delay.min(), delay.max()) == (0, 7)
    assert np.all(visits.planned >= world.span.first_day)
    assert np.all(visits.planned < world.span.end_day + PLANNED_DAYS_AHEAD)


def test_neglected_houses_skip_more_visits() -> None:
    world = small_world()
    shares = []
    for neglect in (-2.0, 0.0, 2.0):
        estate = replace(world.estate, neglect=np.full(len(world.estate.neglect), neglect))
        visits = plan_visits(estate, world.span, np.random.default_rng(3))
        shares.append(np.mean(visits.done == NEVER))
    assert shares == pytest.approx([1 / (1 + np.exp(1.3 - 0.9 * neglect)) for neglect in (-2, 0, 2)], abs=0.03)


def test_the_days_of_visits_are_those_that_were_not_skipped() -> None:
    span = Span(SMALL_WORLD)
    first = span.first_day
    visits = Visits(np.array([0, 1, 1]), np.array([first, first, first]), np.array([first, first + 3, NEVER]), np.ones(3))
    days = visits.daily_mask(span, 2)
    assert days.shape == (span.end_day - first + PLANNED_DAYS_AHEAD, 2)
    assert np.argwhere(days).tolist() == [[0, 0], [3, 1]]


def test_states_of_machines_stand_for_each_day_of_the_window_and_its_end() -> None:
    world = small_world()
    days, slots = world.span.end_day - world.span.window_day + 1, len(world.estate.slot_kind)
    for state in (world.machines.stage, world.machines.down_until, world.machines.installed, world.machines.serviced):
        assert state.shape == (days, slots)
    assert (world.machines.stage.min(), world.machines.stage.max()) == (0, STAGES)


def test_decay_goes_one_stage_a_day_and_a_failed_piece_starts_healthy() -> None:
    world = small_world()
    stage, span = world.machines.stage.astype(int), world.span
    assert np.diff(stage, axis=0).max() == 1
    failures = world.machines.failures
    inside = failures.day >= span.window_day
    row, slot = failures.day[inside] - span.window_day, failures.slot[inside]
    assert set(stage[row, slot]) == {STAGES}
    assert set(stage[row + 1, slot]) == {0}
    assert np.array_equal(world.machines.down_until[row + 1, slot], failures.done[inside])


def test_a_slot_that_is_down_does_not_fail_again() -> None:
    failures = small_world().machines.failures
    for slot in np.unique(failures.slot):
        own = failures.slot == slot
        assert np.all(failures.day[own][1:] >= failures.done[own][:-1])


def test_only_old_pieces_are_replaced_and_the_new_one_counts_from_its_day() -> None:
    world = small_world()
    failures, span = world.machines.failures, world.span
    inside = failures.replaced & (failures.day >= span.window_day) & (failures.done < span.end_day)
    row, slot = failures.day[inside] - span.window_day, failures.slot[inside]
    assert len(slot) > 0
    age = failures.day[inside] - world.machines.installed[row, slot]
    assert np.all(age > 0.9 * SCALE_YEARS[world.estate.slot_kind[slot]] * 365.25)
    after = failures.done[inside] - span.window_day + 1
    assert np.array_equal(world.machines.installed[after, slot], failures.done[inside])


def test_machines_of_the_same_seed_fail_on_the_same_days_and_of_another_on_others() -> None:
    size = PortfolioSize(
        "few", 2, metros=1, zips=1, units=30, reading_days=7, years_of_leases=1, years_of_ledger=2, years_of_burn_in=1
    )
    span = Span(size)
    estate = build_estate(size, span, np.random.default_rng(0))
    first, again, other = (simulate_machines(estate, span, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first.stage, again.stage)
    assert np.array_equal(first.failures.cost, again.failures.cost)
    assert not np.array_equal(first.stage, other.stage)


def without_visits(estate: Estate, span: Span, stage: int, down_until: int | None = None) -> Machines:
    """Machines of one slot that stand in a stage of decay on each day, never visited."""
    days = span.end_day - span.window_day + 1
    none = np.zeros(0, int)
    nothing = Failures(none, none, none, none, none, none.astype(bool), none.astype(bool))
    return Machines(
        visits=Visits(none, none, none, none),
        failures=nothing,
        visited=np.zeros((span.end_day - span.first_day + PLANNED_DAYS_AHEAD, 1), bool),
        stage=np.full((days, 1), stage, np.int8),
        down_until=np.full((days, 1), span.first_day if down_until is None else down_until),
        installed=np.full((days, 1), int(estate.slot_installed[0])),
        serviced=np.full((days, 1), span.window_day),
        minor_slot=none,
        minor_day=none,
        minor_cost=none,
    )


def fails(estate: Estate, machines: Machines, span: Span, days: int) -> float:
    """The probability of a failure within some days of the window's first."""
    return float(compute_failure_probabilities(estate, machines, span, np.array([span.window_day]), (days,))[0][0, 0])


def test_the_last_stage_fails_as_a_geometric_waiting_time_does() -> None:
    span = Span(SMALL_WORLD)
    estate = replace(one_slot(), slot_installed=np.array([span.window_day]))
    machines = without_visits(estate, span, STAGES)
    for days in (1, 7, 30):
        assert fails(estate, machines, span, days) == pytest.approx(1 - (1 - STAGE_CHANCE[SECURITY]) ** days, abs=1e-9)


def test_three_stages_take_three_days_at_least() -> None:
    span = Span(SMALL_WORLD)
    estate = one_slot()
    machines = without_visits(estate, span, 1)
    assert fails(estate, machines, span, 2) == 0
    assert fails(estate, machines, span, 3) == pytest.approx(STAGE_CHANCE[SECURITY] ** 3)


def test_a_healthy_piece_fails_by_its_onset_and_the_stages_after_it() -> None:
    span = Span(SMALL_WORLD)
    estate = one_slot()
    machines = without_visits(estate, span, 0)
    onset = compute_hazard(estate, span.window_day, np.array([0]), np.array([span.window_day]))[0]
    assert fails(estate, machines, span, 3) == 0
    assert fails(estate, machines, span, 4) == pytest.approx(onset * STAGE_CHANCE[SECURITY] ** 3)


def test_a_visit_mends_a_decaying_piece_every_second_time() -> None:
    span = Span(SMALL_WORLD)
    estate = one_slot()
    machines = without_visits(estate, span, STAGES)
    machines.visited[span.window_day - span.first_day, 0] = True
    assert fails(estate, machines, span, 1) == pytest.approx(0.5 * STAGE_CHANCE[SECURITY])


def test_a_piece_that_is_down_cannot_fail_before_it_is_back() -> None:
    span = Span(SMALL_WORLD)
    estate = one_slot()
    machines = without_visits(estate, span, STAGES, down_until=span.window_day + 10)
    assert fails(estate, machines, span, 10) == 0
    assert fails(estate, machines, span, 11) == pytest.approx(STAGE_CHANCE[SECURITY])


def test_a_piece_that_will_be_replaced_never_fails_again() -> None:
    span = Span(SMALL_WORLD)
    estate = one_slot()
    plain = without_visits(estate, span, STAGES)
    day = span.window_day
    failure = Failures(*(np.array([v]) for v in (0, day - 2, 12.0, day + 2, 100.0, False, True)))
    assert fails(estate, replace(plain, failures=failure), span, 30) == 0
    assert fails(estate, replace(plain, failures=replace(failure, replaced=np.array([False]))), span, 30) > 0.9


def test_probabilities_rise_with_the_horizon() -> None:
    world = small_world()
    week, month, quarter = compute_failure_probabilities(
        world.estate, world.machines, world.span, world.span.mondays()[::20], (7, 30, 90)
    )
    assert week.shape == (len(world.span.mondays()[::20]), len(world.estate.slot_kind))
    assert np.all(week <= month)
    assert np.all(month <= quarter)
    assert np.all((week >= 0) & (quarter <= 1 + 1e-12))


def test_expected_failures_of_a_decayed_piece_add_up_over_the_periods() -> None:
    span = Span(SMALL_WORLD)
    estate = replace(one_slot(), slot_installed=np.array([span.window_day]))
    machines = without_visits(estate, span, STAGES)
    begin, rate = span.window_day, STAGE_CHANCE[SECURITY]
    counts = compute_expected_failures(estate, machines, span, begin, np.array([begin + 5, begin + 10]))[:, 0]
    assert counts == pytest.approx([1 - (1 - rate) ** 5, (1 - rate) ** 5 - (1 - rate) ** 10], abs=1e-4)


def test_a_small_estate_fails_about_as_often_as_its_truth_says() -> None:
    world = small_world()
    span = world.span
    cutoffs = np.arange(span.window_day, span.end_day - 90, 90)
    probabilities = compute_failure_probabilities(world.estate, world.machines, span, cutoffs, (90,))[0]
    failures = world.machines.failures
    came = np.zeros(probabilities.shape)
    for i, cutoff in enumerate(cutoffs):
        inside = (failures.day >= cutoff) & (failures.day < cutoff + 90)
        came[i, failures.slot[inside]] = 1
    z = (came - probabilities).sum() / np.sqrt((probabilities * (1 - probabilities)).sum())
    assert abs(z) < 4
