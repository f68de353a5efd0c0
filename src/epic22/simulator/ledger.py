"""The books: what payments, completed orders and replacements imply, to the cent, and the running costs beside them."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.simulator.calendar import Array, Span, first_day, month_of_year, to_datetime
from epic22.simulator.equipment_tables import Orders, Pieces
from epic22.simulator.estate import Estate
from epic22.simulator.market import Market
from epic22.simulator.size import END
from epic22.simulator.table_builder import build_table, decode_levels, gather_names, ids, money
from epic22.simulator.tenancy_history import DEPOSIT, PAID, RENT, TenancyHistory

ACCOUNTS = ("rent", "other_income", "repairs", "utilities", "taxes", "insurance", "payroll", "capital")
UTILITY_NOISE = 0.06
TAX_MONTHS_OF_YEAR = (5, 11)


@dataclass(frozen=True)
class RunningCosts:
    """Monthly costs of each property in cents at the first month, (properties,); they grow by `growth` a month."""

    utilities: Array
    taxes: Array
    insurance: Array
    payroll: Array
    first_month: int
    growth: float = 0.0022

    def price_level(self, month: Array | int) -> Array:
        """How much dearer a month is than the first."""
        return np.asarray(np.exp(self.growth * (np.asarray(month) - self.first_month)))

    def compute_median_utilities(self, month: int) -> Array:
        """Median utilities of a month, dearer in winter and high summer, (properties,)."""
        year = 2 * np.pi * (month_of_year(month) + 0.5) / 12
        return np.asarray(self.utilities * self.price_level(month) * np.exp(0.25 * np.cos(year) + 0.12 * np.cos(2 * year)))

    def compute_fixed(self, month: int) -> Array:
        """Taxes (in June and December), insurance and payroll of a month in cents: (3, properties)."""
        tax = self.taxes * (month_of_year(month) in TAX_MONTHS_OF_YEAR)
        yearly = np.floor((month - self.first_month) / 12) * 12 + self.first_month
        return np.round(np.stack([tax, self.insurance, self.payroll]) * self.price_level(yearly))


def sample_running_costs(estate: Estate, market: Market, span: Span, rng: np.random.Generator) -> RunningCosts:
    """Draw what the properties cost."""
    units, n = estate.units_per_property, len(estate.zip_of)
    rent = np.exp(market.log_rent(market.at(span.first_month))[estate.zip_of].mean(axis=1)) * units * 100
    return RunningCosts(
        utilities=0.085 * rent * rng.lognormal(0, 0.2, n),
        taxes=0.11 * rent * 6 * rng.lognormal(0, 0.15, n),
        insurance=0.04 * rent * rng.lognormal(0, 0.2, n),
        payroll=0.1 * rent * rng.lognormal(0, 0.15, n),
        first_month=span.first_month,
    )


@dataclass(frozen=True)
class Bookings:
    """What the ledger books: rents and fees, repairs, new equipment, and what the properties cost to run."""

    history: TenancyHistory
    orders: Orders
    pieces: Pieces
    costs: RunningCosts


def build_ledger_table(estate: Estate, bookings: Bookings, span: Span, rng: np.random.Generator) -> pl.DataFrame:
    """One entry for each property, day and account, of the ledger's years; an entry is known days after it is posted."""
    orders, pieces, slot = bookings.orders, bookings.pieces, bookings.pieces.slot
    prices = estate.slot_price[slot] * 100
    parts = [
        _income_entries(estate, bookings.history),
        _build_entries(orders.house, orders.done, ACCOUNTS.index("repairs"), -orders.cost),
        _build_entries(estate.slot_property[slot], pieces.installed, ACCOUNTS.index("capital"), -prices),
        *_running_cost_entries(bookings.costs, span, rng),
    ]
    entries = pl.concat(pl.DataFrame(dict(zip(("house", "day", "account", "cents"), p, strict=True))) for p in parts)
    in_period = entries.filter((pl.col("day") >= span.ledger_day) & (pl.col("day") < span.end_day))
    summed = in_period.group_by("day", "house", "account").agg(pl.col("cents").sum()).sort("day", "house", "account")
    day, n = summed["day"].to_numpy(), summed.height
    known = to_datetime(np.minimum(day + rng.integers(1, 5, n), span.end_day))
    return build_table(
        "ledger",
        {
            "entry_id": ids("G", np.arange(1, n + 1), 8),
            "property_id": gather_names(estate.property_ids, summed["house"].to_numpy()),
            "posted_on": to_datetime(day),
            "account": decode_levels(ACCOUNTS, summed["account"].to_numpy()),
            "amount": money(summed["cents"].to_numpy()),
            "known_at": known,
        },
    ).filter(pl.col("known_at") <= END)


Entries = tuple[Array, Array, Array, Array]
"""Property, day, account and amount in cents."""


def _build_entries(house: Array, day: Array, account: Array | int, cents: Array) -> Entries:
    whole = np.broadcast_to(np.asarray(account, dtype=np.int64), house.shape)
    return house.astype(np.int64), day.astype(np.int64), whole, np.round(cents).astype(np.int64)


def _income_entries(estate: Estate, history: TenancyHistory) -> Entries:
    payment, charge = history.payment, history.charge
    kind = charge.kind[payment.charge]
    at = np.flatnonzero((payment.status == PAID) & (kind != DEPOSIT))
    house = estate.property_of[history.lease.unit[charge.lease[payment.charge[at]]]]
    return _build_entries(house, payment.day[at], np.where(kind[at] == RENT, 0, 1), payment.amount[at])


def _running_cost_entries(costs: RunningCosts, span: Span, rng: np.random.Generator) -> list[Entries]:
    parts, house = [], np.arange(len(costs.utilities))
    for month in range(span.ledger_month, span.end_month):
        first = first_day(month)
        used = costs.compute_median_utilities(month) * rng.lognormal(0, UTILITY_NOISE, len(house))
        amounts = (used, *costs.compute_fixed(month))
        for account, day, cents in zip(("utilities", "taxes", "insurance", "payroll"), (17, 14, 4, 24), amounts, strict=True):
            spent = cents > 0
            parts.append(
                _build_entries(house[spent], np.full(int(spent.sum()), first + day), ACCOUNTS.index(account), -cents[spent])
            )
    return parts
