"""The stated truths of tenants and of the figures that properties report, against simulated futures and by hand."""

from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
from tests.worlds import SMALL_WORLD, small_world

from epic22.simulator import reporting_truth as futures
from epic22.simulator.calendar import NEVER, Array, first_day
from epic22.simulator.ledger import sample_running_costs
from epic22.simulator.reporting_truth import CUTOFFS, HORIZONS, World, compute_reporting_truth
from epic22.simulator.tenancy import Homes, MonthEvents, Tenancy, advance_month, select_homes
from epic22.simulator.tenancy_truth import (
    compute_churn_truth,
    compute_default_probability,
    compute_default_truth,
    compute_leaving_probability,
)

REPLICATES = 4000


def some_units(month: int, units: slice) -> tuple[Tenancy, Homes]:
    """The state of some units at a month's first day, and where they lie."""
    world = small_world()
    t = world.tenants.states[month].repeat(1, units)
    return t, select_homes(world.estate, units)


def live_on(t: Tenancy, homes: Homes, months: int, seed: int) -> tuple[Tenancy, list[tuple[int, MonthEvents]]]:
    """Many futures of a state: what each month brought."""
    world = small_world()
    many, rng, past = t.repeat(REPLICATES, slice(None)), np.random.default_rng(seed), []
    for _ in range(months):
        month = many.month
        happened = advance_month(many, homes, world.market, world.market.at(month), world.market.at(month - 6), rng)
        past.append((month, happened))
    return many, past


def assert_same_share(hits: Array, probability: Array) -> None:
    """The share of the replicates of each unit is its probability, within chance."""
    error = np.sqrt(np.maximum(probability * (1 - probability), 1e-4) / REPLICATES)
    assert np.max(np.abs(hits.mean(axis=0) - probability) / error) < 4.5


UNITS = slice(10, 40)


@pytest.mark.parametrize("arrears", [None, 3])
def test_the_probability_of_leaving_is_the_share_of_futures_in_which_the_lease_is_left(arrears: int | None) -> None:
    world = small_world()
    month = world.span.window_month + 12
    t, homes = some_units(month, UNITS)
    t = t if arrears is None else replace(t, arrears=np.full_like(t.arrears, arrears))
    at = np.flatnonzero(t.let[0] & (t.leaves[0] == NEVER))
    limit = int(first_day(month)) + 90
    _, past = live_on(t, homes, 3, seed=1)
    same, left = np.ones((REPLICATES, t.let.shape[1]), bool), np.zeros((REPLICATES, t.let.shape[1]), bool)
    for _, h in past:
        left |= same & h.noticed & (h.leaves <= limit)
        same &= ~(h.left | h.evicted | h.renewed)
    assert len(at) > 15
    assert_same_share(left[:, at], compute_leaving_probability(t, homes)[at])


def test_the_probability_of_default_is_the_share_of_futures_in_which_a_rent_is_missed() -> None:
    world = small_world()
    month = world.span.window_month + 12
    t, homes = some_units(month, UNITS)
    at = np.flatnonzero(t.let[0] & (t.arrears[0] == 0))
    today = int(first_day(month))
    _, past = live_on(t, homes, 3, seed=2)
    same, missed = np.ones((REPLICATES, t.let.shape[1]), bool), np.zeros((REPLICATES, t.let.shape[1]), bool)
    for number, h in past:
        if int(first_day(number)) + 30 <= today + 90:
            missed |= same & h.missed
        same &= ~(h.left | h.evicted | h.renewed)
    assert len(at) > 15
    assert_same_share(missed[:, at], compute_default_probability(t, homes)[at])


def test_restless_tenants_leave_sooner_and_unreliable_ones_default_sooner() -> None:
    month = small_world().span.window_month + 12
    t, homes = some_units(month, UNITS)
    at = t.let[0] & (t.leaves[0] == NEVER) & (t.arrears[0] == 0)
    restless = replace(t, mobility=t.mobility + 1)
    assert np.all(compute_leaving_probability(restless, homes)[at] > compute_leaving_probability(t, homes)[at])
    unreliable = replace(t, reliability=t.reliability - 1)
    assert np.all(compute_default_probability(unreliable, homes)[at] > compute_default_probability(t, homes)[at])


def test_the_truth_of_leaving_stands_for_every_lease_without_notice_at_each_month() -> None:
    world = small_world()
    path, ids = world.tenants, world.published.lease_ids
    truth = compute_churn_truth(path, world.span, ids)
    assert truth["cutoff"].n_unique() == len(world.span.monthly_cutoffs())
    assert truth["probability"].is_between(0, 1, closed="none").all()
    month = world.span.end_month
    state, lease = path.states[month], path.lease_of[month]
    waiting = lease[(lease >= 0) & (state.leaves[0] == NEVER)]
    last = truth.filter(pl.col("cutoff") == truth["cutoff"].max())
    assert last["entity"].to_list() == sorted(ids[waiting])


def test_leases_in_default_are_left_out_and_those_whose_rent_is_surely_unpaid_have_probability_one() -> None:
    world = small_world()
    truth = compute_default_truth(world.tenants, world.span, world.published.lease_ids)
    assert truth["probability"].is_between(0, 1).all()
    assert not truth.select("entity", "cutoff").is_duplicated().any()
    sure = truth.filter(pl.col("probability") == 1)
    # Thirty days after the first of February lie in March: only then is a missed rent not yet seen as one.
    assert set(sure["cutoff"].dt.month()) == {3}
    for month in (world.span.window_month + 6, world.span.window_month + 2):
        state, lease = world.tenants.states[month], world.tenants.lease_of[month]
        owing = set(world.published.lease_ids[lease[(lease >= 0) & (state.arrears[0] > 0)]])
        at_month = truth.filter(pl.col("cutoff").dt.epoch("d") == int(first_day(month)))
        assert owing
        if month % 12 == 2:
            assert set(at_month.filter(pl.col("probability") == 1)["entity"]) <= owing
        else:
            assert not owing & set(at_month["entity"])


@pytest.fixture(scope="module")
def world_of_futures() -> World:
    w = small_world()
    cost = sample_running_costs(w.estate, w.market, w.span, np.random.default_rng(0))
    return World(w.estate, w.market, w.machines, w.tenants, w.orders, cost, w.span, replicates=30)


@pytest.mark.slow
def test_what_properties_will_report_has_a_median_for_six_months_from_each_of_21_cutoffs(world_of_futures: World) -> None:
    few = replace(world_of_futures, replicates=2)
    truth = compute_reporting_truth(few, np.random.default_rng(0))
    assert set(truth) == {"reporting_analytics", "reporting_occupancy", "reporting_collection"}
    for frame in truth.values():
        assert frame.columns == ["entity", "cutoff", *(f"h{h}" for h in range(1, HORIZONS + 1))]
        assert frame.height == CUTOFFS * SMALL_WORLD.properties
        assert not frame.select(pl.any_horizontal(pl.selectors.float().is_nan())).to_series().any()
    for task in ("reporting_occupancy", "reporting_collection"):
        values = truth[task].select(pl.selectors.float()).to_numpy()
        assert values.min() >= 0
        assert values.max() <= 1
        assert values.mean() > 0.85


def test_figures_are_the_same_in_blocks_of_properties_but_for_the_draws(
    world_of_futures: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = world_of_futures.estate.units_per_property
    whole = futures._split_properties(world_of_futures)
    assert whole == [slice(0, len(units))]
    monkeypatch.setattr(futures, "MAX_CELLS", world_of_futures.replicates * int(units.sum()) // 3)
    blocks = futures._split_properties(world_of_futures)
    assert len(blocks) > 1
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(len(units)))


def test_costs_that_are_summed_by_cell_are_as_many_as_stated() -> None:
    n = np.array([[[2, 0], [0, 0]], [[1, 3], [0, 1]]])
    sums = futures._sum_lognormal_costs(n, np.array([10.0, 1000.0]), 0.0, np.random.default_rng(0))
    assert sums.tolist() == [[20.0, 0.0], [3010.0, 1000.0]]


def test_the_cost_of_a_sum_has_the_mean_of_its_lognormal_parts() -> None:
    n = np.full((1, 1), 50_000)
    total = futures._sum_lognormal_costs(n, np.array([100.0]), 0.5, np.random.default_rng(1))
    assert total[0] / 50_000 == pytest.approx(100 * np.exp(0.125), rel=0.02)


def test_homes_are_done_up_after_seven_in_ten_moves_and_three_in_ten_of_these_a_month_later() -> None:
    left = np.zeros((2, 1, 1))
    left[0] = 100_000
    cost = futures._simulate_turnover_costs(left, np.random.default_rng(2))[:, 0, 0] / (40_000 * np.exp(0.125))
    assert cost == pytest.approx([49_000, 21_000], rel=0.02)


def test_known_orders_are_counted_in_the_month_in_which_they_will_be_done(world_of_futures: World) -> None:
    world = world_of_futures
    month = world.span.end_month - 6
    begin, houses = int(first_day(month)), slice(2, 5)
    orders, visits = world.orders, world.machines.visits
    expected = np.zeros((HORIZONS, 8))
    for h in range(HORIZONS):
        low, high = int(first_day(month + h)), int(first_day(month + h + 1))
        waiting = (orders.opened < begin) & (orders.done >= low) & (orders.done < high)
        waiting &= ~((orders.kind == 1) & (orders.slot >= 0))
        np.add.at(expected[h], orders.house[waiting], orders.cost[waiting])
        coming = (visits.done >= low) & (visits.done < high)
        np.add.at(expected[h], world.estate.slot_property[visits.slot[coming]], visits.cost[coming])
    assert futures._sum_known_orders(world, month, houses) == pytest.approx(expected[:, houses])
    assert expected.sum() > 0


def test_income_of_a_month_is_rent_that_came_arrears_that_were_cleared_and_fees() -> None:
    shape = (1, 5)
    columns = {f.name: np.zeros(shape, bool) for f in fields(MonthEvents)}
    columns |= {"on_time": np.array([[True, False, False, True, False]]), "late": np.array([[False, True, False, False, False]])}
    columns |= {"missed": np.array([[False, False, True, False, False]]), "cleared": np.array([[0, 0, 0, 2, 0]])}
    columns |= {"leaves": np.full(shape, NEVER), "left": np.zeros(shape, bool)}
    h, rent = MonthEvents(**columns), np.full(shape, 1000.0)
    rng = np.random.default_rng(0)
    fee = float(rng.random(shape, dtype=np.float32)[0, 1] < futures.FEE_SHARE)
    figures = futures._compute_unit_figures(h, rent, 640, np.random.default_rng(0))
    assert figures["income"].tolist() == [[100_000, 100_000 + 5000 * fee, 0, 300_000 + 2 * 5000, 0]]
    assert figures["occupancy"].tolist() == [[1, 1, 1, 1, 0]]
    assert figures["collection"].real.tolist() == [[1000, 1000, 1000, 1000, 0]]
    assert figures["collection"].imag.tolist() == [[1000, 1000, 0, 1000, 0]]
