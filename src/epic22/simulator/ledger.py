"""The books: what payments, completed orders and replacements imply, to the cent, and the running costs beside them."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.simulator.calendar import Array, Span, first_day, moment, month_of_year
from epic22.simulator.equipment_tables import Orders, Pieces
from epic22.simulator.estate import Estate
from epic22.simulator.leases import DEPOSIT, PAID, RENT, Path
from epic22.simulator.market import Market
from epic22.simulator.rows import choose, ids, money, pick, table_of
from epic22.simulator.size import END

BOOKS = ("rent", "other_income", "repairs", "utilities", "taxes", "insurance", "payroll", "capital")
UTILITY_NOISE = 0.06
TAX_MONTHS = (5, 11)


@dataclass(frozen=True)
class RunningCosts:
    """Monthly costs of each property in cents at the first month, (properties,); they grow by `growth` a month."""

    utilities: Array
    taxes: Array
    insurance: Array
    payroll: Array
    first_month: int
    growth: float = 0.0022

    def scale(self, month: Array | int) -> Array:
        """How much dearer a month is than the first."""
        return np.asarray(np.exp(self.growth * (np.asarray(month) - self.first_month)))

    def median_utilities(self, month: int) -> Array:
        """Median utilities of a month, dearer in winter and high summer, (properties,)."""
        year = 2 * np.pi * (month_of_year(month) + 0.5) / 12
        return np.asarray(self.utilities * self.scale(month) * np.exp(0.25 * np.cos(year) + 0.12 * np.cos(2 * year)))

    def fixed(self, month: int) -> Array:
        """Taxes (in June and December), insurance and payroll of a month in cents: (3, properties)."""
        tax = self.taxes * (month_of_year(month) in TAX_MONTHS)
        yearly = np.floor((month - self.first_month) / 12) * 12 + self.first_month
        return np.round(np.stack([tax, self.insurance, self.payroll]) * self.scale(yearly))


def running_costs(estate: Estate, market: Market, span: Span, rng: np.random.Generator) -> RunningCosts:
    """Draw what the properties cost."""
    units, n = estate.units_in, len(estate.zip_of)
    rent = np.exp(market.log_rent(market.at(span.first_month))[estate.zip_of].mean(axis=1)) * units * 100
    return RunningCosts(
        utilities=0.085 * rent * rng.lognormal(0, 0.2, n),
        taxes=0.11 * rent * 6 * rng.lognormal(0, 0.15, n),
        insurance=0.04 * rent * rng.lognormal(0, 0.2, n),
        payroll=0.1 * rent * rng.lognormal(0, 0.15, n),
        first_month=span.first_month,
    )


def ledger_table(
    estate: Estate, path: Path, orders: Orders, pieces: Pieces, costs: RunningCosts, span: Span, rng: np.random.Generator
) -> pl.DataFrame:
    """One entry for each property, day and account, of the ledger's years; an entry is known days after it is posted."""
    parts = [_income(estate, path), _repairs(orders), _capital(estate, pieces), *_running(costs, span, rng)]
    entries = pl.concat(pl.DataFrame(dict(zip(("house", "day", "account", "cents"), p, strict=True))) for p in parts)
    kept = entries.filter((pl.col("day") >= span.ledger_day) & (pl.col("day") < span.end_day))
    summed = kept.group_by("day", "house", "account").agg(pl.col("cents").sum()).sort("day", "house", "account")
    day, n = summed["day"].to_numpy(), summed.height
    known = moment(np.minimum(day + rng.integers(1, 5, n), span.end_day))
    return table_of(
        "ledger",
        {
            "entry_id": ids("G", np.arange(1, n + 1), 8),
            "property_id": pick(estate.property_ids, summed["house"].to_numpy()),
            "posted_on": moment(day),
            "account": choose(BOOKS, summed["account"].to_numpy()),
            "amount": money(summed["cents"].to_numpy()),
            "known_at": known,
        },
    ).filter(pl.col("known_at") <= END)


Entries = tuple[Array, Array, Array, Array]
"""Property, day, account and amount in cents."""


def _entries(house: Array, day: Array, account: Array | int, cents: Array) -> Entries:
    whole = np.broadcast_to(np.asarray(account, dtype=np.int64), house.shape)
    return house.astype(np.int64), day.astype(np.int64), whole, np.round(cents).astype(np.int64)


def _income(estate: Estate, path: Path) -> Entries:
    payment, charge = path.payment, path.charge
    kind = charge.kind[payment.charge]
    at = np.flatnonzero((payment.status == PAID) & (kind != DEPOSIT))
    house = estate.property_of[path.lease.unit[charge.lease[payment.charge[at]]]]
    return _entries(house, payment.day[at], np.where(kind[at] == RENT, 0, 1), payment.amount[at])


def _repairs(orders: Orders) -> Entries:
    return _entries(orders.house, orders.done, BOOKS.index("repairs"), -orders.cost)


def _capital(estate: Estate, pieces: Pieces) -> Entries:
    slot = pieces.slot
    return _entries(estate.slot_property[slot], pieces.installed, BOOKS.index("capital"), -estate.slot_price[slot] * 100)


def _running(costs: RunningCosts, span: Span, rng: np.random.Generator) -> list[Entries]:
    parts, house = [], np.arange(len(costs.utilities))
    for month in range(span.ledger_month, span.end_month):
        first = first_day(month)
        used = costs.median_utilities(month) * rng.lognormal(0, UTILITY_NOISE, len(house))
        amounts = (used, *costs.fixed(month))
        for account, day, cents in zip(("utilities", "taxes", "insurance", "payroll"), (17, 14, 4, 24), amounts, strict=True):
            spent = cents > 0
            parts.append(_entries(house[spent], np.full(int(spent.sum()), first + day), BOOKS.index(account), -cents[spent]))
    return parts
