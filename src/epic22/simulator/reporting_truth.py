"""Medians of what each property will report, over re-simulations from the state at a cutoff."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from epic22.simulator.calendar import Array, Span, first_day, last_day, moment, month_of_day
from epic22.simulator.equipment import (
    ADVANCE,
    COST_SPREAD,
    MEDIAN_COST,
    MINOR_A_YEAR,
    MINOR_COST_SHARE,
    MINOR_DECAYING,
    STAGES,
    Machines,
    expected_failures,
)
from epic22.simulator.equipment_tables import Orders
from epic22.simulator.estate import KINDS, Estate
from epic22.simulator.leases import LAG_MONTHS, LATE_FEE, Path
from epic22.simulator.ledger import UTILITY_NOISE, RunningCosts
from epic22.simulator.market import Market, MarketState
from epic22.simulator.tenancy import Happened, homes_of, step

HORIZONS, CUTOFFS = 6, 21
REPAIR_LAG = 5
"""Days from a failure to the entry of its repair."""
FEE_SHARE = 0.52
"""Share of late rents that come late enough for a fee."""
MOST_CELLS = 1_500_000
"""Replicates times units held at once."""
Figures = dict[str, Array]


@dataclass(frozen=True)
class World:
    """All that the future grows from."""

    estate: Estate
    market: Market
    machines: Machines
    path: Path
    orders: Orders
    costs: RunningCosts
    span: Span
    replicates: int


def reporting_truth(world: World, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """By task: [entity = property_id, cutoff, h1…h6] at the last monthly cutoffs: medians.

    Net operating income (money; everything but capital), occupancy at the month's last day, and collection: rent paid in
    the month it was due in over rent due in it.
    """
    names = {"noi": "reporting_analytics", "occupancy": "reporting_occupancy", "collection": "reporting_collection"}
    found: dict[str, list[pl.DataFrame]] = {task: [] for task in names.values()}
    for month in range(world.span.end_month - CUTOFFS + 1, world.span.end_month + 1):
        medians = _medians(world, month, rng)
        at = {
            "entity": world.estate.property_ids,
            "cutoff": np.repeat(moment(first_day(np.array([month]))), len(world.estate.zip_of)),
        }
        for figure, task in names.items():
            found[task].append(pl.DataFrame(at | {f"h{h + 1}": medians[figure][h] for h in range(HORIZONS)}))
    return {task: pl.concat(frames).sort("entity", "cutoff") for task, frames in found.items()}


def _medians(world: World, month: int, rng: np.random.Generator) -> Figures:
    """(horizons, properties) of each figure from one cutoff."""
    states = _market_paths(world, month, rng)
    parts: list[Figures] = []
    for houses in _blocks(world):
        people = _people(world, month, houses, states, rng)
        people["noi"] = (people.pop("income") - _outgoings(world, month, houses, people.pop("left"), rng)) / 100
        parts.append({figure: np.median(values, axis=1) for figure, values in people.items()})
    return {figure: np.concatenate([part[figure] for part in parts], axis=1) for figure in parts[0]}


def _blocks(world: World) -> list[slice]:
    """Properties in blocks that fit into memory."""
    units = world.estate.units_in
    block = (np.cumsum(units) - 1) // max(1, MOST_CELLS // world.replicates)
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=-2))
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _market_paths(world: World, month: int, rng: np.random.Generator) -> list[MarketState]:
    """States of the market from a month on, (replicates, …) each."""
    now, r = world.market.at(month - 1), world.replicates
    state = MarketState(
        now.month,
        *(np.repeat(a[None], r, axis=0) for a in (now.level, now.growth, now.deviation, now.vacancy)),
    )
    states = []
    for _ in range(HORIZONS):
        state = world.market.drawn(state, rng)
        states.append(state)
    return states


def _people(world: World, month: int, houses: slice, states: list[MarketState], rng: np.random.Generator) -> Figures:
    """Income in cents, occupancy, collection and how many moved out: (horizons, replicates, properties) each."""
    estate = world.estate
    within = np.flatnonzero((estate.property_of >= houses.start) & (estate.property_of < houses.stop))
    units = slice(int(within[0]), int(within[-1]) + 1)
    homes, t = homes_of(estate, units), world.path.states[month].repeated(world.replicates, units)
    first = np.searchsorted(estate.property_of[units], np.arange(houses.start, houses.stop))
    found: dict[str, list[Array]] = {"income": [], "occupancy": [], "collection": [], "left": []}
    for state in states:
        rent = t.rent
        lagged = world.market.at(state.month - LAG_MONTHS)
        h = step(t, homes, world.market, state, lagged, rng)
        for figure, values in _of_units(h, rent, state.month, rng).items():
            found[figure].append(np.add.reduceat(values, first, axis=1))
    sums = {figure: np.stack(values) for figure, values in found.items()}
    due = sums["collection"].real
    count = np.add.reduceat(np.ones(len(homes.zip_of)), first)
    return {
        "income": sums["income"],
        "left": sums["left"],
        "occupancy": sums["occupancy"] / count,
        "collection": np.divide(sums["collection"].imag, due, out=np.ones(due.shape), where=due > 0),
    }


def _of_units(h: Happened, rent: Array, month: int, rng: np.random.Generator) -> Figures:
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


def _outgoings(world: World, month: int, houses: slice, left: Array, rng: np.random.Generator) -> Array:
    """Repairs, utilities, taxes, insurance and payroll in cents: (horizons, replicates, properties)."""
    shape = (world.replicates, houses.stop - houses.start)
    total = _repairs(world, month, houses, rng) + _turnovers(left, rng)
    total += _known_orders(world, month, houses)[:, None]
    for h in range(HORIZONS):
        utilities = world.costs.median_utilities(month + h)[houses] * rng.lognormal(0, UTILITY_NOISE, shape)
        gardens = (rng.random(shape) < 0.45) * rng.lognormal(np.log(18_000), 0.4, shape)
        inspections = (rng.random(shape) < 1 / 12) * rng.lognormal(np.log(25_000), 0.3, shape)
        total[h] += utilities + gardens + inspections + world.costs.fixed(month + h)[:, houses].sum(axis=0)
    return total


def _turnovers(left: Array, rng: np.random.Generator) -> Array:
    """Painting and flooring after moves: seven in ten of them, three in ten of these entered a month later."""
    n = rng.binomial(left.astype(int), 0.7)
    later = rng.binomial(n, 0.3)
    n = n - later
    n[1:] += later[:-1]
    return _sums(n[..., None], np.array([40_000.0]), 0.5, rng)


def _repairs(world: World, month: int, houses: slice, rng: np.random.Generator) -> Array:
    """Repairs of failures and small ones that are not known yet: (horizons, replicates, properties) in cents."""
    estate, ends = world.estate, first_day(month + 1 + np.arange(HORIZONS)) - REPAIR_LAG
    begin = int(first_day(month))
    failures = expected_failures(estate, world.machines, world.span, begin, ends)
    days = np.diff(ends, prepend=begin)[:, None]
    minor = MINOR_A_YEAR / 365 * np.exp(0.4 * estate.usage + 0.3 * estate.neglect[estate.slot_property])
    decaying = failures / days * STAGES / ADVANCE[estate.slot_kind]
    small = minor * days * (1 + (MINOR_DECAYING - 1) * decaying)
    inside = (estate.slot_property >= houses.start) & (estate.slot_property < houses.stop)
    place = (estate.slot_property[inside] - houses.start) * len(KINDS) + estate.slot_kind[inside]
    cells = (houses.stop - houses.start) * len(KINDS)
    total = np.zeros((HORIZONS, world.replicates, houses.stop - houses.start))
    for rates, share in ((failures, 1.0), (small, MINOR_COST_SHARE)):
        by_kind = np.stack([np.bincount(place, rate[inside], cells) for rate in rates]).reshape(HORIZONS, 1, -1, len(KINDS))
        n = rng.poisson(np.broadcast_to(by_kind, (*total.shape, len(KINDS))))
        total += _sums(n, 100 * share * MEDIAN_COST, COST_SPREAD, rng)
    return total


def _sums(n: Array, medians: Array, spread: float, rng: np.random.Generator) -> Array:
    """Sums of n lognormal costs a cell; the last axis of n is over the medians and is summed too."""
    which = np.repeat(np.arange(n.size), n.ravel())
    costs = medians[which % n.shape[-1]] * rng.lognormal(0, spread, len(which))
    return np.bincount(which // n.shape[-1], costs, n.size // n.shape[-1]).reshape(n.shape[:-1])


def _known_orders(world: World, month: int, houses: slice) -> Array:
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
