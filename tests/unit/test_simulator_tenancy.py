"""The simulated tenants: chances by hand, and what one month brings."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import small_world

from epic22.simulator.calendar import NEVER, Array, first_day, last_day
from epic22.simulator.market import logistic
from epic22.simulator.tenancy import (
    EVICTION_CHANCE,
    EVICTION_MIN_ARREARS,
    GRIEVANCE_LEVELS,
    JOB_LOSS_CHANCE,
    MAX_ARREARS,
    MAX_RAISE,
    NOTICE_DAYS,
    NOTICE_PERIOD_DAYS,
    TERMS,
    Homes,
    MonthEvents,
    Tenancy,
    advance_month,
    clear_chance,
    grievance_chances,
    job_loss_chance,
    let_chance,
    list_leaving_days,
    miss_chance,
    notice_chance,
    notice_log_hazard,
    on_time_chance,
    sample_initial_state,
    select_homes,
)

TRAITS = st.floats(-4, 4)


def tenants(month: int, replicates: int = 1, units: int = 1, **columns: float) -> Tenancy:
    """Average tenants in the middle of a year's lease, all alike but for the columns given."""
    shape = (replicates, units)
    usual: dict[str, Array] = {f.name: np.zeros(shape) for f in fields(Tenancy) if f.name != "month"}
    usual |= {"let": np.ones(shape, bool), "on_time": np.ones(shape, bool), "monthly": np.zeros(shape, bool)}
    usual |= {"rent": np.full(shape, 1500.0), "moved_in": np.full(shape, month - 6), "first": np.full(shape, month - 6)}
    usual |= {"last": np.full(shape, month + 9), "leaves": np.full(shape, NEVER), "grievance": np.zeros(shape, np.int8)}
    usual["arrears"] = np.zeros(shape, np.int8)
    usual |= {name: np.full(shape, value, dtype=usual[name].dtype) for name, value in columns.items()}
    return Tenancy(month, **usual)


def home() -> Homes:
    """One unit of the first zip code, two bedrooms, of average quality."""
    return Homes(np.array([0]), np.array([2]), np.array([0.0]), np.array([0.0]))


def homes(units: int) -> Homes:
    """As many of them."""
    return Homes(*(np.repeat(getattr(home(), f.name), units) for f in fields(Homes)))


@given(reliability=TRAITS)
def test_reliable_tenants_pay_sooner_and_keep_their_work(reliability: float) -> None:
    now, better = np.array(reliability), np.array(reliability + 0.5)
    assert on_time_chance(better, 0) > on_time_chance(now, 0)
    assert miss_chance(better, 0, 0) < miss_chance(now, 0, 0)
    assert clear_chance(better, 0) > clear_chance(now, 0)
    assert job_loss_chance(better) < job_loss_chance(now)


@given(reliability=TRAITS)
def test_without_work_rent_comes_late_and_arrears_stay(reliability: float) -> None:
    trait = np.array(reliability)
    assert on_time_chance(trait, 1) < on_time_chance(trait, 0)
    assert miss_chance(trait, 1, 0) > miss_chance(trait, 0, 0)
    assert clear_chance(trait, 1) < clear_chance(trait, 0)
    assert miss_chance(trait, 0, 3) == miss_chance(trait, 0, 1) > miss_chance(trait, 0, 0)


def test_chances_of_an_average_tenant_by_hand() -> None:
    zero = np.array(0.0)
    assert on_time_chance(zero, 0) == pytest.approx(1 / (1 + np.exp(-1.9)))
    assert miss_chance(zero, 0, 0) == pytest.approx(1 / (1 + np.exp(2.85)))
    assert clear_chance(zero, 1) == pytest.approx(1 / (1 + np.exp(1.4)))
    assert job_loss_chance(zero) == JOB_LOSS_CHANCE
    assert [float(chance) for chance in grievance_chances(zero, zero)] == pytest.approx([0.35, 0.035])


@given(temper=TRAITS, neglect=TRAITS)
def test_grievances_never_arise_or_end_for_certain(temper: float, neglect: float) -> None:
    settled, arises = grievance_chances(np.array(temper), np.array(neglect))
    assert 0 < settled <= 0.9
    assert 0 < arises <= 0.6


def test_restlessness_of_an_average_tenant_by_hand() -> None:
    may = 12 * 53 + 4
    season = 0.35 * np.cos(2 * np.pi * (4 - 4.5) / 12)
    calm = notice_log_hazard(tenants(may))
    assert calm == pytest.approx(np.array([[-0.6 + season - 3.6 - 0.3 * np.log1p(6 / 12)]]), abs=1e-6)


@pytest.mark.parametrize(("months_left", "timing"), [(-1, 0.3), (0, 0.4), (1, 1.5), (2, 1.5), (3, -0.6), (8, -0.6)])
def test_notice_is_likeliest_in_the_two_months_before_the_last(months_left: int, timing: float) -> None:
    month = 12 * 53
    other = notice_log_hazard(tenants(month, last=month + 9))
    assert notice_log_hazard(tenants(month, last=month + months_left)) - other == pytest.approx(
        np.array([[timing + 0.6]]), abs=1e-6
    )


def test_an_offer_pushes_only_in_the_last_months_of_a_lease() -> None:
    month = 12 * 53
    effects = [
        float(
            (
                notice_log_hazard(tenants(month, last=month + left, offer_effect=0.5))
                - notice_log_hazard(tenants(month, last=month + left))
            )[0, 0]
        )
        for left in (3, 2, 1, 0)
    ]
    assert effects == pytest.approx([0, 0.5, 0.5, 0.5])


def test_looking_ahead_is_the_same_as_standing_there() -> None:
    month = 12 * 53
    later = tenants(month + 2, last=month + 4, moved_in=month - 6)
    assert notice_log_hazard(tenants(month, last=month + 4), ahead=2) == pytest.approx(notice_log_hazard(later))


def test_the_chance_of_notice_by_hand() -> None:
    calm = np.array([-3.0])
    assert notice_chance(calm, 0, 0, 0) == pytest.approx(1 - np.exp(-np.exp(-3.0)))
    assert notice_chance(calm, 1, 2, 1) == pytest.approx(1 - np.exp(-np.exp(-3.0 + 0.5 + 1.4 + 0.3)), rel=1e-5)
    assert notice_chance(calm, 0, 0, 4) == notice_chance(calm, 0, 0, 1)


def test_leaving_days_are_all_pairs_of_a_notice_day_and_a_distance() -> None:
    notice, leaves = list_leaving_days(640)
    assert len(notice) == len(NOTICE_DAYS) * len(NOTICE_PERIOD_DAYS)
    assert set(notice - first_day(640)) == set(range(1, 27))
    assert set(leaves - notice) == set(range(30, 61))


def test_an_empty_market_lets_slower() -> None:
    world = small_world()
    market, state = world.market, world.market.at(world.span.window_month)
    emptier = replace(state, vacancy=state.vacancy + 0.5)
    usual, slower = let_chance(home(), market, state), let_chance(home(), market, emptier)
    assert slower < usual
    share = home().empty_share(market, state)
    assert usual == pytest.approx(logistic(0.3 - 12 * (share - 0.06)))


def test_rents_of_chosen_cells_are_those_of_all_cells() -> None:
    world = small_world()
    own, state = select_homes(world.estate), world.market.at(world.span.window_month)
    where = np.zeros((3, len(own.zip_of)), bool)
    where[0, 5], where[2, 7], where[2, 1] = True, True, True
    rents = own.market_rent(world.market, state)
    assert own.market_rent_at(world.market, state, where).tolist() == rents[[5, 1, 7]].tolist()


def test_a_first_state_lets_nearly_every_unit_at_about_the_market_rent() -> None:
    world = small_world()
    own, month = select_homes(world.estate), world.span.first_month
    t = sample_initial_state(own, world.market, month, np.random.default_rng(0))
    assert 0.88 < t.let.mean() < 0.99
    gap = np.log(t.rent[0]) - own.market_rent(world.market, world.market.at(month - 1))
    assert gap.std() == pytest.approx(0.03, rel=0.2)
    assert np.all((t.last >= month) & (t.last <= month + 14))
    assert np.all(t.leaves == NEVER)


def live_a_month(t: Tenancy, seed: int = 0) -> tuple[Tenancy, MonthEvents]:
    """The state a month on and what happened, in the market of the small world."""
    market = small_world().market
    after = t.copy()
    units = t.let.shape[1]
    happened = advance_month(after, homes(units), market, market.at(t.month), market.at(t.month - 6), np.random.default_rng(seed))
    return after, happened


MONTH = 12 * 53 + 2
MANY = 20_000


def share(hits: Array, of: Array) -> tuple[float, float]:
    """The share of the hits among some cells and four of its standard errors."""
    p = hits[of].mean()
    return float(p), float(4 * np.sqrt(max(p * (1 - p), 1e-4) / of.sum()))


def test_a_month_happens_as_often_as_its_chances_say() -> None:
    t = tenants(MONTH, MANY)
    after, h = live_a_month(t)
    zero = np.zeros(())
    everybody = np.ones(t.let.shape, bool)
    noticed, error = share(h.noticed, everybody)
    assert noticed == pytest.approx(float(notice_chance(notice_log_hazard(t), 0, 0, 0)[0, 0]), abs=error)
    aggrieved, error = share(h.aggrieved, everybody)
    assert aggrieved == pytest.approx(0.035, abs=error)
    jobless, error = share(after.jobless > 0, everybody)
    assert jobless == pytest.approx(JOB_LOSS_CHANCE, abs=error)
    on_time, error = share(after.on_time, after.jobless == 0)
    assert on_time == pytest.approx(float(on_time_chance(zero, 0)), abs=error)


def test_rent_that_was_not_on_time_comes_late_or_is_missed_and_becomes_arrears() -> None:
    t = tenants(MONTH, MANY, on_time=0)
    after, h = live_a_month(t)
    missed, error = share(h.missed, t.let)
    assert missed == pytest.approx(float(miss_chance(np.zeros(()), 0, 0)), abs=error)
    assert np.array_equal(h.late, ~h.missed)
    assert not h.on_time.any()
    staying = ~h.signed
    assert np.array_equal(after.arrears[staying] > 0, h.missed[staying])


def test_old_arrears_are_paid_whole_or_not_at_all_and_never_exceed_the_most() -> None:
    t = tenants(MONTH, MANY, arrears=2)
    _, h = live_a_month(t)
    assert set(np.unique(h.cleared)) == {0, 2}
    cleared, error = share(h.cleared > 0, t.let)
    assert cleared == pytest.approx(float(clear_chance(np.zeros(()), 0)), abs=error)
    full, _ = live_a_month(tenants(MONTH, MANY, arrears=MAX_ARREARS, on_time=0))
    assert full.arrears.max() == MAX_ARREARS


def test_eviction_takes_three_rents_and_comes_every_second_time() -> None:
    t = tenants(MONTH, MANY, arrears=EVICTION_MIN_ARREARS, jobless=1, reliability=-4.0, on_time=0)
    _, h = live_a_month(t)
    owing = (h.cleared == 0) & ~h.noticed
    evicted, error = share(h.evicted, owing)
    assert evicted == pytest.approx(EVICTION_CHANCE, abs=error)
    _, below = live_a_month(tenants(MONTH, MANY, arrears=EVICTION_MIN_ARREARS - 1))
    assert not below.evicted.any()


def test_a_lease_that_ends_is_renewed_only_without_notice_and_arrears_at_the_rent_offered() -> None:
    t = tenants(MONTH, MANY, last=MONTH, offer=0.05, fair_offer=0.04, on_time=0)
    after, h = live_a_month(t)
    assert np.array_equal(h.renewed, ~h.noticed & ~h.missed & ~h.evicted)
    assert set(h.new_rent[h.renewed]) == {np.round(1500 * np.exp(0.05))}
    assert h.fair[h.renewed][0] == pytest.approx(1500 * np.exp(0.04))
    assert set(after.first[h.renewed]) == {MONTH + 1}
    assert set(after.last[h.renewed] - after.first[h.renewed] + 1) <= {*TERMS.tolist(), 12}
    assert set(after.moved_in[h.renewed]) == {MONTH - 6}
    assert set(after.offer[h.renewed]) == {0.0}


def test_a_lease_with_months_to_go_is_not_renewed() -> None:
    _, h = live_a_month(tenants(MONTH, 1000, last=MONTH + 1))
    assert not h.renewed.any()


def test_who_gives_notice_leaves_30_to_60_days_later() -> None:
    _, h = live_a_month(tenants(MONTH, MANY, last=MONTH + 1, mobility=3.0))
    assert h.noticed.sum() > 1000
    ahead = (h.leaves - h.notice_day)[h.noticed]
    assert (ahead.min(), ahead.max()) == (30, 60)
    assert np.all((h.notice_day[h.noticed] > first_day(MONTH)) & (h.notice_day[h.noticed] <= last_day(MONTH)))
    assert np.all(h.leaves[~h.noticed] == NEVER)


def test_a_unit_is_left_in_the_month_of_the_leaving_day_and_not_before() -> None:
    last = int(last_day(MONTH))
    for day, leaves in ((last, True), (last + 1, False)):
        _, h = live_a_month(tenants(MONTH, 100, leaves=day))
        assert h.left.all() == h.left.any() == leaves


def test_a_new_tenant_owes_nothing_and_pays_the_market_rent_of_the_month() -> None:
    world = small_world()
    t = tenants(MONTH, MANY, let=0, arrears=3, grievance=2, jobless=1)
    after, h = live_a_month(t)
    rate = float(let_chance(home(), world.market, world.market.at(MONTH - 6))[0])
    signed, error = share(h.signed, ~t.let)
    assert signed == pytest.approx(rate, abs=error)
    for column in (after.arrears, after.grievance, after.jobless):
        assert not column[h.signed].any()
    market = home().market_rent(world.market, world.market.at(MONTH))[0]
    noise = np.log(h.new_rent[h.signed]) - market
    assert noise.std() == pytest.approx(0.03, rel=0.05)
    assert h.fair[h.signed][0] == pytest.approx(np.exp(market))
    assert np.array_equal(after.let, h.signed)
    assert after.reliability[h.signed].std() == pytest.approx(1, rel=0.05)


def test_offers_are_made_four_months_before_the_end_within_their_limits() -> None:
    world = small_world()
    for rent in (900.0, 1500.0, 4000.0):
        after, _ = live_a_month(tenants(MONTH, 2000, last=MONTH + 5, rent=rent))
        due = after.let & (after.last == MONTH + 5)
        gap = float(home().market_rent(world.market, world.market.at(MONTH))[0]) - np.log(rent)
        assert set(after.fair_offer[due]) == {np.clip(0.01 + 0.7 * gap, 0, MAX_RAISE)}
        assert np.all((after.offer[due] >= 0) & (after.offer[due] <= MAX_RAISE))
        assert after.offer_effect[due] == pytest.approx(9 * (after.offer[due] - 0.03) + 5 * (after.offer[due] - gap))
    early, _ = live_a_month(tenants(MONTH, 100, last=MONTH + 6))
    assert not early.offer.any()


def test_grievances_go_up_one_at_a_time_to_the_highest_level() -> None:
    before = tenants(MONTH, MANY, grievance=GRIEVANCE_LEVELS - 1, temper=3.0)
    after, h = live_a_month(before)
    staying = ~h.signed
    assert after.grievance[staying].max() == GRIEVANCE_LEVELS - 1
    calmer = staying & ~h.aggrieved
    assert set(np.unique(after.grievance[calmer])) == {GRIEVANCE_LEVELS - 2, GRIEVANCE_LEVELS - 1}


def test_replicates_of_a_state_begin_equal_and_in_arrays_of_their_own() -> None:
    world = small_world()
    state = world.tenants.states[world.span.window_month]
    copies = state.repeat(3, slice(2, 6))
    assert copies.rent.shape == (3, 4)
    assert np.array_equal(copies.leaves[2], state.leaves[0, 2:6])
    assert copies.reliability.dtype == np.float32
    before = state.rent.copy()
    copies.rent[:] = 0
    state.copy().rent[:] = 0
    assert np.array_equal(state.rent, before)


def test_a_step_of_the_same_seed_is_the_same_and_of_another_seed_another() -> None:
    t = tenants(MONTH, 500)
    first, again, other = (live_a_month(t, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first.on_time, again.on_time)
    assert not np.array_equal(first.on_time, other.on_time)


def test_each_deviation_of_mobility_adds_its_part_to_the_restlessness() -> None:
    assert notice_log_hazard(tenants(MONTH, mobility=2.0)) - notice_log_hazard(tenants(MONTH)) == pytest.approx(
        np.array([[1.1]]), abs=1e-6
    )


def test_offers_scatter_around_the_median_raise() -> None:
    world = small_world()
    market = float(home().market_rent(world.market, world.market.at(MONTH))[0])
    after, _ = live_a_month(tenants(MONTH, MANY, last=MONTH + 5, rent=float(np.exp(market - 0.05))))
    offers = after.offer[after.let & (after.last == MONTH + 5)]
    assert offers.mean() == pytest.approx(0.01 + 0.7 * 0.05, abs=0.0005)
    assert offers.std() == pytest.approx(0.015, rel=0.03)
