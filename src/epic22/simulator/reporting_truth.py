"""Medians of what each property will report, over re-simulations from the state at a cutoff."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from epic22.simulator.calendar import Array, Span, first_day, last_day, month_of_day, to_datetime
from epic22.simulator.equipment import (
    COST_SPREAD,
    MEDIAN_COST,
    MINOR_COST_SHARE,
    MINOR_DECAY_FACTOR,
    MINOR_PER_YEAR,
    STAGE_CHANCE,
    STAGES,
    Machines,
    compute_expected_failures,
)
from epic22.simulator.equipment_tables import Orders
from epic22.simulator.estate import KINDS, Estate
from epic22.simulator.ledger import UTILITY_NOISE, RunningCosts
from epic22.simulator.market import Market, MarketState
from epic22.simulator.tenancy import MonthEvents, advance_month, select_homes
from epic22.simulator.tenancy_history import LAG_MONTHS, LATE_FEE, TenancyHistory

HORIZONS, CUTOFFS = 6, 21
REPAIR_LAG = 5
"""Days from a failure to the entry of its repair."""
FEE_SHARE = 0.52
"""Share of late rents that come late enough for a fee."""
MAX_CELLS = 1_500_000
"""Replicates times units held at once."""
Figures = dict[str, Array]


@dataclass(frozen=True)
class World:
    """All that the future grows from."""

    estate: Estate
    market: Market
    machines: Machines
    history: TenancyHistory
    orders: Orders
    costs: RunningCosts
    span: Span
    replicates: int


def compute_reporting_truth(world: World, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """By task: [entity = property_id, cutoff, h1…h6] at the last monthly cutoffs: medians.

    Net operating income (money; everything but capital), occupancy at the month's last day, and collection: rent paid in
    the month it was due in over rent due in it.
    """
    names = {"noi": "reporting_analytics", "occupancy": "reporting_occupancy", "collection": "reporting_collection"}
    frames_by_task: dict[str, list[pl.DataFrame]] = {task: [] for task in names.values()}
    for month in range(world.span.end_month - CUTOFFS + 1, world.span.end_month + 1):
        medians = _compute_medians(world, month, rng)
        at = {
            "entity": world.estate.property_ids,
            "cutoff": np.repeat(to_datetime(first_day(np.array([month]))), len(world.estate.zip_of)),
        }
        for figure, task in names.items():
            frames_by_task[task].append(pl.DataFrame(at | {f"h{h + 1}": medians[figure][h] for h in range(HORIZONS)}))
    return {task: pl.concat(frames).sort("entity", "cutoff") for task, frames in frames_by_task.items()}


def _compute_medians(world: World, month: int, rng: np.random.Generator) -> Figures:
    """(horizons, properties) of each figure from one cutoff."""
    states = _simulate_market(world, month, rng)
    parts: list[Figures] = []
    for houses in _split_properties(world):
        tenants = _simulate_tenants(world, month, houses, states, rng)
        tenants["noi"] = (tenants.pop("income") - _simulate_costs(world, month, houses, tenants.pop("left"), rng)) / 100
        parts.append({figure: np.median(values, axis=1) for figure, values in tenants.items()})
    return {figure: np.concatenate([part[figure] for part in parts], axis=1) for figure in parts[0]}


def _split_properties(world: World) -> list[slice]:
    """Properties in blocks that fit into memory."""
    units = world.estate.units_per_property
    block = (np.cumsum(units) - 1) // max(1, MAX_CELLS // world.replicates)
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=-2))
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _simulate_market(world: World, month: int, rng: np.random.Generator) -> list[MarketState]:
    """States of the market from a month on, (replicates, …) each."""
    now, r = world.market.at(month - 1), world.replicates
    state = MarketState(
        now.month,
        *(np.repeat(a[None], r, axis=0) for a in (now.level, now.growth, now.deviation, now.vacancy)),
    )
    states = []
    for _ in range(HORIZONS):
        state = world.market.sample_next(state, rng)
        states.append(state)
    return states


def _simulate_tenants(world: World, month: int, houses: slice, states: list[MarketState], rng: np.random.Generator) -> Figures:
    """Income in cents, occupancy, collection and how many moved out: (horizons, replicates, properties) each."""
    estate = world.estate
    within = np.flatnonzero((estate.property_of >= houses.start) & (estate.property_of < houses.stop))
    units = slice(int(within[0]), int(within[-1]) + 1)
    homes, t = select_homes(estate, units), world.history.states[month].repeat(world.replicates, units)
    first = np.searchsorted(estate.property_of[units], np.arange(houses.start, houses.stop))
    monthly: dict[str, list[Array]] = {"income": [], "occupancy": [], "collection": [], "left": []}
    for state in states:
        rent = t.rent
        lagged = world.market.at(state.month - LAG_MONTHS)
        h = advance_month(t, homes, world.market, state, lagged, rng)
        for figure, values in _compute_unit_figures(h, rent, state.month, rng).items():
            monthly[figure].append(np.add.reduceat(values, first, axis=1))
    sums = {figure: np.stack(values) for figure, values in monthly.items()}
    due = sums["collection"].real
    count = np.add.reduceat(np.ones(len(homes.zip_of)), first)
    return {
        "income": sums["income"],
        "left": sums["left"],
        "occupancy": sums["occupancy"] / count,
        "collection": np.divide(sums["collection"].imag, due, out=np.ones(due.shape), where=due > 0),
    }


def _compute_unit_figures(h: MonthEvents, rent: Array, month: int, rng: np.random.Generator) -> Figures:
    """What each unit adds in a month: (replicates, units). Collection holds rent due (real) and what came (imaginary)."""
    paid = h.on_time | h.late
    fees = (h.late & (rng.random(rent.shape, dtype=np.float32) < FEE_SHARE)) + h.cleared.astype(float)
    gone = (h.left & (h.leaves < last_day(month))) | (h.evicted & (rng.random(rent.shape, dtype=np.float32) < 0.75))
    let = paid | h.missed
    return {
        "income": 100 * rent * (paid + h.cleared) + LATE_FEE * fees,
        "occupancy": (let & ~gone).astype(float),
        "collection": rent * let + 1j * rent * paid,
        "left": h.left.astype(float),
    }


def _simulate_costs(world: World, month: int, houses: slice, left: Array, rng: np.random.Generator) -> Array:
    """Repairs, utilities, taxes, insurance and payroll in cents: (horizons, replicates, properties)."""
    shape = (world.replicates, houses.stop - houses.start)
    total = _simulate_repair_costs(world, month, houses, rng) + _simulate_turnover_costs(left, rng)
    total += _sum_known_orders(world, month, houses)[:, None]
    for h in range(HORIZONS):
        utilities = world.costs.compute_median_utilities(month + h)[houses] * rng.lognormal(0, UTILITY_NOISE, shape)
        gardens = (rng.random(shape) < 0.45) * rng.lognormal(np.log(18_000), 0.4, shape)
        inspections = (rng.random(shape) < 1 / 12) * rng.lognormal(np.log(25_000), 0.3, shape)
        total[h] += utilities + gardens + inspections + world.costs.compute_fixed(month + h)[:, houses].sum(axis=0)
    return total


def _simulate_turnover_costs(left: Array, rng: np.random.Generator) -> Array:
    """Painting and flooring after moves: seven in ten of them, three in ten of these entered a month later."""
    n = rng.binomial(left.astype(int), 0.7)
    later = rng.binomial(n, 0.3)
    n = n - later
    n[1:] += later[:-1]
    return _sum_lognormal_costs(n[..., None], np.array([40_000.0]), 0.5, rng)


def _simulate_repair_costs(world: World, month: int, houses: slice, rng: np.random.Generator) -> Array:
    """Repairs of failures and small ones that are not known yet: (horizons, replicates, properties) in cents."""
    estate, ends = world.estate, first_day(month + 1 + np.arange(HORIZONS)) - REPAIR_LAG
    begin = int(first_day(month))
    failures = compute_expected_failures(estate, world.machines, world.span, begin, ends)
    days = np.diff(ends, prepend=begin)[:, None]
    minor = MINOR_PER_YEAR / 365 * np.exp(0.4 * estate.usage + 0.3 * estate.neglect[estate.slot_property])
    decaying = failures / days * STAGES / STAGE_CHANCE[estate.slot_kind]
    small = minor * days * (1 + (MINOR_DECAY_FACTOR - 1) * decaying)
    inside = (estate.slot_property >= houses.start) & (estate.slot_property < houses.stop)
    place = (estate.slot_property[inside] - houses.start) * len(KINDS) + estate.slot_kind[inside]
    cells = (houses.stop - houses.start) * len(KINDS)
    total = np.zeros((HORIZONS, world.replicates, houses.stop - houses.start))
    for rates, share in ((failures, 1.0), (small, MINOR_COST_SHARE)):
        by_kind = np.stack([np.bincount(place, rate[inside], cells) for rate in rates]).reshape(HORIZONS, 1, -1, len(KINDS))
        n = rng.poisson(np.broadcast_to(by_kind, (*total.shape, len(KINDS))))
        total += _sum_lognormal_costs(n, 100 * share * MEDIAN_COST, COST_SPREAD, rng)
    return total


def _sum_lognormal_costs(n: Array, medians: Array, spread: float, rng: np.random.Generator) -> Array:
    """Sums of n lognormal costs a cell; the last axis of n is over the medians and is summed too."""
    which = np.repeat(np.arange(n.size), n.ravel())
    costs = medians[which % n.shape[-1]] * rng.lognormal(0, spread, len(which))
    return np.bincount(which // n.shape[-1], costs, n.size // n.shape[-1]).reshape(n.shape[:-1])


def _sum_known_orders(world: World, month: int, houses: slice) -> Array:
    """Cents of orders that were open at the cutoff, and of planned visits: (horizons, properties)."""
    o, v, begin, end = world.orders, world.machines.visits, int(first_day(month)), int(last_day(month + HORIZONS - 1))
    pending = (o.opened < begin) & (o.done >= begin) & (o.done <= end) & ~((o.slot >= 0) & (o.kind == 1))
    coming = (v.done >= begin) & (v.done <= end)
    house = np.concatenate([o.house[pending], world.estate.slot_property[v.slot[coming]]])
    later = month_of_day(np.concatenate([o.done[pending], v.done[coming]])) - month
    cost = np.concatenate([o.cost[pending], v.cost[coming]])
    total = np.zeros((HORIZONS, len(world.estate.zip_of)))
    np.add.at(total, (later, house), cost)
    return total[:, houses]
