"""Tenants month by month: work, temper, rent paid or not, notice, renewal, eviction, and new leases.

A state has arrays (replicates, units), so that the same step serves the one path that becomes tables and the many paths
that become the truth of the reporting figures. The state of a month is taken at its first day, 00:00, when offers of
renewal are made and rent that is paid on time has come in.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from epic22.simulator.calendar import NEVER, Array, first_day, last_day, month_of_year
from epic22.simulator.estate import Estate
from epic22.simulator.market import BEDROOMS, Market, MarketState, logistic

NOTICE_DAYS = np.arange(1, 27)
"""Notice is given on the 2nd to 27th of a month (days after its first)."""
NOTICE_PERIOD_DAYS = np.arange(30, 61)
"""A tenant leaves this many days after the notice."""
OFFER_MONTHS_AHEAD = 4
"""Months from the offer's making to the lease's last month; it moves the tenant in the last two."""
GRIEVANCE_LEVELS = 3
"""Levels of grievance: none, one, several."""
MAX_ARREARS, EVICTION_MIN_ARREARS, EVICTION_CHANCE = 4, 3, 0.5
JOB_LOSS_CHANCE, JOB_LOSS_SLOPE, HIRE_CHANCE = 0.009, -0.3, 0.2
SIGNING_NOISE, RAISE_NOISE, MAX_RAISE = 0.03, 0.015, 0.12
TERMS, TERM_SHARES = np.array([6, 12, 12, 15]), np.array([0.08, 0.42, 0.4, 0.1])
MONTHLY_SHARE, MONTHLY_TERM = 0.08, 12
TIMING_LOG_HAZARD = np.array([0.3, 0.4, 1.5, 1.5, -0.6], dtype=np.float32)
"""Log hazard of notice by months to the lease's last: past it, in it, one, two, more."""
TENURE_LOG_HAZARD = (-0.3 * np.log1p(np.arange(241) / 12)).astype(np.float32)
MONTHLY_LOG_HAZARD = np.array([0.0, 0.3], dtype=np.float32)
DISTRESS_LOG_HAZARD = (0.5 * np.arange(2)[:, None, None] + 0.7 * np.arange(3)[:, None] + 0.3 * np.arange(2)).astype(np.float32)
"""Log hazard of notice by jobless, grievance and arrears."""


@dataclass
class Tenancy:
    """State at the first day of `month`; arrays (replicates, units). Only `let` units have meaningful tenants.

    reliability, temper, mobility: hidden traits; jobless, grievance (0 to 2): hidden states; arrears: unpaid rents of this
    lease; on_time: this month's rent came in on its due date; first, last: first and last month of the lease; leaves: day of
    leaving (NEVER without notice); offer: log raise offered (0 before); fair_offer: its median; sting: how much the offer pushes
    to leave.
    """

    month: int
    let: Array
    reliability: Array
    temper: Array
    mobility: Array
    jobless: Array
    grievance: Array
    arrears: Array
    on_time: Array
    rent: Array
    moved_in: Array
    first: Array
    last: Array
    monthly: Array
    leaves: Array
    offer: Array
    fair_offer: Array
    offer_effect: Array

    def repeat(self, replicates: int, units: slice) -> "Tenancy":
        """The state of some units copied for this many replicates, in single precision."""
        arrays = {f.name: getattr(self, f.name)[:, units] for f in fields(self) if f.name != "month"}
        light = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
        return Tenancy(self.month, **{name: np.repeat(array, replicates, axis=0) for name, array in light.items()})

    def copy(self) -> "Tenancy":
        """The same state in arrays of its own."""
        return Tenancy(self.month, **{f.name: getattr(self, f.name).copy() for f in fields(self) if f.name != "month"})


@dataclass(frozen=True)
class MonthEvents:
    """What one month brought, arrays (replicates, units).

    `cleared` old arrears were paid in the month (number of rents); `new_rent` is set where `signed` or `renewed`, for the
    lease that starts next month; `fair` is its rent without the signing noise.
    """

    on_time: Array
    late: Array
    missed: Array
    cleared: Array
    aggrieved: Array
    noticed: Array
    leaves: Array
    notice_day: Array
    left: Array
    evicted: Array
    renewed: Array
    signed: Array
    new_rent: Array
    fair: Array


@dataclass(frozen=True)
class Homes:
    """What the step needs of each unit, (units,): zip, bedrooms, quality (log rent) and neglect of its property."""

    zip_of: Array
    bedrooms: Array
    quality: Array
    neglect: Array

    def market_rent(self, market: Market, state: MarketState) -> Array:
        """Log of what each unit would be let for, (…, units)."""
        return np.asarray(market.log_rent(state)[..., self.zip_of, self.bedrooms] + self.quality)

    def market_rent_at(self, market: Market, state: MarketState, where: Array) -> Array:
        """Log of what units would be let for, for the chosen cells of a (replicates, units) mask alone."""
        replicate, unit = np.nonzero(where)
        rents = np.broadcast_to(market.log_rent(state), (len(where), len(market.zip_codes), len(BEDROOMS)))
        return np.asarray(rents[replicate, self.zip_of[unit], self.bedrooms[unit]] + self.quality[unit])

    def empty_share(self, market: Market, state: MarketState) -> Array:
        """The market's vacancy for each unit, (…, units)."""
        return logistic(market.log_odds(state)[..., self.zip_of, self.bedrooms])


def select_homes(estate: Estate, units: slice = slice(None)) -> Homes:
    """The units of an estate as homes."""
    place = estate.property_of[units]
    return Homes(estate.zip_of[place], estate.bedrooms[units], estate.quality[units], estate.neglect[place])


def job_loss_chance(reliability: Array) -> Array:
    """Chance a month of losing the work."""
    return np.asarray(JOB_LOSS_CHANCE * np.exp(JOB_LOSS_SLOPE * reliability))


def on_time_chance(reliability: Array, jobless: Array | int) -> Array:
    """Chance that rent comes on its due date."""
    return logistic(1.9 + 0.9 * reliability - 2.0 * jobless)


def miss_chance(reliability: Array, jobless: Array | int, arrears: Array | int) -> Array:
    """Chance that rent which did not come on its due date does not come in the month either."""
    return logistic(-2.85 - 0.8 * reliability + 2.0 * jobless + 1.2 * (np.asarray(arrears) > 0))


def clear_chance(reliability: Array, jobless: Array | int) -> Array:
    """Chance a month that all old arrears are paid."""
    return logistic(0.2 + 0.5 * reliability - 1.6 * jobless)


def grievance_chances(temper: Array, neglect: Array) -> tuple[Array, Array]:
    """Chances a month that a grievance is settled, and that one more arises."""
    return np.minimum(0.35 * np.exp(-0.3 * neglect), 0.9), np.minimum(0.035 * np.exp(0.5 * temper + 0.4 * neglect), 0.6)


def notice_log_hazard(t: Tenancy, ahead: int = 0) -> Array:
    """Log hazard of notice in the month `ahead` of the state's, for a calm and employed tenant, (replicates, units)."""
    month = t.month + ahead
    timing = TIMING_LOG_HAZARD[np.clip(t.last - month, -1, len(TIMING_LOG_HAZARD) - 2) + 1]
    season = 0.35 * float(np.cos(2 * np.pi * (month_of_year(month) - 4.5) / 12))
    moved = np.where(t.last - month <= 2, t.offer_effect, t.offer_effect.dtype.type(0))
    tenure = TENURE_LOG_HAZARD[np.clip(month - t.moved_in, 0, len(TENURE_LOG_HAZARD) - 1)]
    return np.asarray(
        timing + (season - 3.6) + moved + tenure + 0.55 * t.mobility + MONTHLY_LOG_HAZARD[t.monthly.astype(np.int8)]
    )


def notice_chance(log_hazard: Array, jobless: Array | int, grievance: Array | int, arrears: Array | int) -> Array:
    """Chance of notice in a month, from the restlessness of the calm and what has happened to the tenant."""
    distress = DISTRESS_LOG_HAZARD[np.asarray(jobless, dtype=np.int8), grievance, (np.asarray(arrears) > 0).astype(np.int8)]
    return np.asarray(1 - np.exp(-np.exp(log_hazard + distress)))


@lru_cache(maxsize=512)
def list_leaving_days(month: int) -> tuple[Array, Array]:
    """All equally likely pairs of notice and leaving day for a notice in a month: two arrays of day numbers."""
    notice, ahead = np.meshgrid(NOTICE_DAYS, NOTICE_PERIOD_DAYS, indexing="ij")
    notice_day = first_day(month) + notice.ravel()
    return notice_day, notice_day + ahead.ravel()


def sample_initial_state(homes: Homes, market: Market, month: int, rng: np.random.Generator) -> Tenancy:
    """A first state, nearly every unit let."""
    shape = (1, len(homes.zip_of))
    t = Tenancy(
        month,
        let=rng.random(shape) < 0.94,
        **{name: np.zeros(shape) for name in ("reliability", "temper", "mobility")},
        jobless=np.zeros(shape, np.float32),
        grievance=np.zeros(shape, np.int8),
        arrears=np.zeros(shape, np.int8),
        on_time=np.ones(shape, bool),
        rent=np.ones(shape),
        moved_in=np.full(shape, month, np.int32),
        first=np.full(shape, month, np.int32),
        last=np.full(shape, month, np.int32),
        monthly=np.zeros(shape, bool),
        leaves=np.full(shape, NEVER, np.int32),
        offer=np.zeros(shape),
        fair_offer=np.zeros(shape),
        offer_effect=np.zeros(shape),
    )
    _sample_tenants(t, np.ones(shape, bool), rng)
    t.rent = np.round(np.exp(homes.market_rent(market, market.at(month - 1)) + rng.normal(0, SIGNING_NOISE, shape)))
    _sample_leases(t, np.ones(shape, bool), month, rng)
    t.last = np.maximum(t.last - rng.integers(0, 6, shape), month)
    return t


def advance_month(
    t: Tenancy, homes: Homes, market: Market, now: MarketState, lagged: MarketState, rng: np.random.Generator
) -> MonthEvents:
    """Live through the state's month and move the state to the next one's first day.

    `now`: the market of this month, over when the next begins; `lagged`: the market half a year before, which sets how fast
    empty units are let.
    """
    events = _collect_rents(t, rng)
    aggrieved = _update_grievances(t, homes, rng)
    staying = t.let & (t.leaves == NEVER)
    noticed = staying & (_draw_uniform(t, rng) < notice_chance(notice_log_hazard(t), t.jobless, t.grievance, t.arrears))
    notice_day = np.full(t.let.shape, NEVER)
    pairs = list_leaving_days(t.month)
    pair = rng.integers(0, len(pairs[0]), int(noticed.sum()))
    notice_day[noticed], t.leaves[noticed] = pairs[0][pair], pairs[1][pair]
    evicted = staying & ~noticed & (t.arrears >= EVICTION_MIN_ARREARS) & (_draw_uniform(t, rng) < EVICTION_CHANCE)
    left = t.let & (t.leaves <= last_day(t.month))
    renewed = staying & ~noticed & ~evicted & (t.last <= t.month) & (t.arrears == 0)
    empties = ~t.let | left | evicted
    signed = empties & (_draw_uniform(t, rng) < let_chance(homes, market, lagged))
    new_rent, fair = _compute_new_rents(t, homes.market_rent_at(market, now, signed), renewed, signed, rng)
    leaves = t.leaves.copy()
    _turn_units_over(t, signed, renewed, empties, new_rent, rng)
    _start_month(t, homes, market, now, rng)
    return replace(
        events,
        aggrieved=aggrieved,
        noticed=noticed,
        leaves=leaves,
        notice_day=notice_day,
        left=left,
        evicted=evicted,
        renewed=renewed,
        signed=signed,
        new_rent=new_rent,
        fair=fair,
    )


def let_chance(homes: Homes, market: Market, lagged: MarketState) -> Array:
    """Chance a month that an empty unit is let, the higher the less stood empty half a year before, (units,)."""
    return logistic(0.3 - 12 * (homes.empty_share(market, lagged) - 0.06) - 0.2 * homes.neglect)


def _draw_uniform(t: Tenancy, rng: np.random.Generator) -> Array:
    # Single precision: the many replicates are what takes the time.
    return rng.random(t.let.shape, dtype=np.float32)


def _update_grievances(t: Tenancy, homes: Homes, rng: np.random.Generator) -> Array:
    """Grievances settled and new ones; gives where a new one arose."""
    resolved, arises = grievance_chances(t.temper, homes.neglect)
    aggrieved = t.let & (_draw_uniform(t, rng) < arises)
    better = (t.grievance > 0) & (_draw_uniform(t, rng) < resolved)
    t.grievance = np.minimum(t.grievance - better + aggrieved, GRIEVANCE_LEVELS - 1).astype(np.int8)
    return aggrieved


def _compute_new_rents(
    t: Tenancy, log_rents: Array, renewed: Array, signed: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rents of the leases that begin next month (else the present ones), and the same without the noise of signing.

    `log_rents` are the market's, of the units that are signed.
    """
    rent, fair = t.rent.copy(), t.rent.copy()
    rent[renewed] = np.round(t.rent[renewed] * np.exp(t.offer[renewed]))
    fair[renewed] = t.rent[renewed] * np.exp(t.fair_offer[renewed])
    rent[signed] = np.round(np.exp(log_rents + rng.normal(0, SIGNING_NOISE, len(log_rents))))
    fair[signed] = np.exp(log_rents)
    return rent, fair


def _collect_rents(t: Tenancy, rng: np.random.Generator) -> MonthEvents:
    missed = t.let & ~t.on_time & (_draw_uniform(t, rng) < miss_chance(t.reliability, t.jobless, t.arrears))
    clears = t.let & (t.arrears > 0) & (_draw_uniform(t, rng) < clear_chance(t.reliability, t.jobless))
    cleared = np.where(clears, t.arrears, 0)
    t.arrears = np.minimum(t.arrears - cleared + missed, MAX_ARREARS).astype(np.int8)
    none = np.zeros(0)
    return MonthEvents(t.let & t.on_time, t.let & ~t.on_time & ~missed, missed, cleared, *([none] * 10))


def _turn_units_over(
    t: Tenancy, signed: Array, renewed: Array, empties: Array, new_rent: Array, rng: np.random.Generator
) -> None:
    """Set the state's units to the next month's first day: who is there, under which lease."""
    luck = _draw_uniform(t, rng)
    t.jobless = np.where(t.jobless > 0, luck >= HIRE_CHANCE, luck < job_loss_chance(t.reliability)).astype(np.float32)
    t.let = (t.let & ~empties) | signed
    t.rent = new_rent
    _sample_tenants(t, signed, rng)
    _sample_leases(t, signed | renewed, t.month + 1, rng)
    t.moved_in = np.where(signed, t.month + 1, t.moved_in)
    t.month += 1


def _sample_tenants(t: Tenancy, where: Array, rng: np.random.Generator) -> None:
    n = int(where.sum())
    traits = rng.standard_normal((3, n))
    for name, values in zip(("reliability", "temper", "mobility"), traits, strict=True):
        getattr(t, name)[where] = values
    t.jobless[where], t.grievance[where], t.arrears[where] = 0, 0, 0


def _sample_leases(t: Tenancy, where: Array, month: int, rng: np.random.Generator) -> None:
    n = int(where.sum())
    monthly = rng.random(n) < MONTHLY_SHARE
    term = np.where(monthly, MONTHLY_TERM, rng.choice(TERMS, n, p=TERM_SHARES))
    t.first[where], t.last[where], t.monthly[where] = month, month + term - 1, monthly
    t.leaves[where], t.offer[where], t.fair_offer[where], t.offer_effect[where] = NEVER, 0.0, 0.0, 0.0


def _start_month(t: Tenancy, homes: Homes, market: Market, before: MarketState, rng: np.random.Generator) -> None:
    """Offers that are due are made from the market of the month that is over; rent comes in on time, or not."""
    due = t.let & (t.last - t.month == OFFER_MONTHS_AHEAD)
    gap = homes.market_rent_at(market, before, due) - np.log(t.rent[due])
    median = 0.01 + 0.7 * gap
    offer = np.clip(median + rng.normal(0, RAISE_NOISE, len(gap)), 0.0, MAX_RAISE)
    t.offer[due], t.fair_offer[due] = offer, np.clip(median, 0.0, MAX_RAISE)
    t.offer_effect[due] = 9.0 * (offer - 0.03) + 5.0 * (offer - gap)
    t.on_time = _draw_uniform(t, rng) < on_time_chance(t.reliability, t.jobless)
