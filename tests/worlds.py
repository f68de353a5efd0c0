"""A small simulated world before it becomes tables: what each part of the simulator hands to the next, made once a process."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from epic22.simulator.calendar import Span
from epic22.simulator.equipment import Machines, simulate_machines
from epic22.simulator.equipment_tables import Orders, Pieces, list_pieces, simulate_work_orders
from epic22.simulator.estate import Estate, build_estate
from epic22.simulator.market import Market, simulate_market
from epic22.simulator.size import PortfolioSize
from epic22.simulator.tenancy_history import TenancyHistory, simulate_tenancies
from epic22.simulator.tenancy_tables import Publication, select_published

SMALL_WORLD = PortfolioSize(
    "small world", 8, metros=2, zips=7, units=160, reading_days=7, years_of_ledger=4, years_of_burn_in=1, replicates=4
)


@dataclass(frozen=True)
class SmallWorld:
    """8 properties, 160 units, 3 years of leases after 2 years of burn-in and ledger."""

    span: Span
    market: Market
    estate: Estate
    machines: Machines
    pieces: Pieces
    tenants: TenancyHistory
    published: Publication
    orders: Orders


@cache
def small_world() -> SmallWorld:
    """The world of one seed; each part has a generator of its own."""
    span, streams = Span(SMALL_WORLD), np.random.SeedSequence(5).spawn(6)
    rng = [np.random.default_rng(stream) for stream in streams]
    market, estate = simulate_market(SMALL_WORLD, span, rng[0]), build_estate(SMALL_WORLD, span, rng[1])
    machines = simulate_machines(estate, span, rng[2])
    tenants = simulate_tenancies(estate, market, span, rng[3], rng[4])
    orders = simulate_work_orders(estate, machines, tenants, span, rng[5])
    return SmallWorld(
        span, market, estate, machines, list_pieces(estate, machines, span), tenants, select_published(tenants, span), orders
    )
