"""The one path of all tenants, with its days: leases, charges and payments as flat records."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from epic22.simulator.calendar import NEVER, Array, Span, first_day, last_day
from epic22.simulator.estate import Estate
from epic22.simulator.market import Market
from epic22.simulator.tenancy import Homes, MonthEvents, Tenancy, advance_month, sample_initial_state, select_homes

RENT, DEPOSIT, FEE = 0, 1, 2
PAID, FAILED = 0, 1
MOVED_OUT, RENEWED, EVICTED, RUNNING = 0, 1, 3, -1
"""Places in the canonical levels of end_reason; RUNNING has none."""
LAG_MONTHS = 6
LATE_FEE, FEE_AFTER_DAYS = 5000, 5
"""A fee in cents for rent that has not come within this many days."""
MAX_DAYS_LATE = 24


def sample_days_late(rng: np.random.Generator, n: int) -> Array:
    """Days after the due date at which late rent comes: 1 to 24."""
    return 1 + np.floor(MAX_DAYS_LATE * rng.beta(1.0, 2.2, n)).astype(int).clip(0, MAX_DAYS_LATE - 1)


class ColumnBuffers:
    """Columns that grow by arrays: an append-only table of whole numbers and floats."""

    def __init__(self, *names: str) -> None:
        self._parts: dict[str, list[Array]] = {name: [] for name in names}
        self.n = 0

    def add(self, n: int, **columns: Array | float) -> Array:
        """Append n rows; a single number fills its column. Gives the rows' places."""
        for name, parts in self._parts.items():
            parts.append(np.broadcast_to(np.asarray(columns[name]), (n,)))
        self.n += n
        return np.arange(self.n - n, self.n)

    def columns(self) -> dict[str, Array]:
        """All values by column."""
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


@dataclass(frozen=True)
class Lease:
    """All leases, arrays (leases,). Days are whole; `ended` NEVER while running; rents in whole money, `fair` unrounded."""

    unit: Array
    tenant: Array
    first: Array
    last: Array
    monthly: Array
    rent: Array
    fair: Array
    signed: Array
    notice: Array
    ended: Array
    reason: Array


@dataclass(frozen=True)
class Charge:
    """All charges, arrays (charges,): lease, day due, amount in cents, kind."""

    lease: Array
    due: Array
    amount: Array
    kind: Array


@dataclass(frozen=True)
class Payment:
    """All payments, arrays (payments,): charge, day paid, amount in cents, status."""

    charge: Array
    day: Array
    amount: Array
    status: Array


@dataclass(frozen=True)
class Person:
    """All tenants, arrays (tenants,): the hidden traits, and the rent at which they first signed."""

    reliability: Array
    temper: Array
    created: Array
    rent: Array


@dataclass(frozen=True)
class Complaint:
    """Grievances told: lease, month, whether it is a reminder, the tenant's temper."""

    lease: Array
    month: Array
    reminder: Array
    temper: Array


@dataclass(frozen=True)
class TenancyHistory:
    """The realised path: records, the states of the window's months (the end's included), and each month's lease by unit."""

    homes: Homes
    lease: Lease
    charge: Charge
    payment: Payment
    person: Person
    complaint: Complaint
    states: dict[int, Tenancy]
    lease_of: dict[int, Array]


class _Recorder:
    """Writes down what the months bring. `lease_of` and `tenant_of` are who is in each unit now; -1: nobody."""

    def __init__(self, units: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.lease = ColumnBuffers("unit", "tenant", "first", "last", "monthly", "rent", "fair", "signed")
        self.charge = ColumnBuffers("lease", "due", "amount", "kind")
        self.payment = ColumnBuffers("charge", "day", "amount", "status")
        self.person = ColumnBuffers("reliability", "temper", "created", "rent")
        self.complaint = ColumnBuffers("lease", "month", "reminder", "temper")
        self.lease_of = np.full(units, -1)
        self.tenant_of = np.full(units, -1)
        self.ends: list[tuple[Array, Array, Array]] = []
        self.notices: list[tuple[Array, Array]] = []
        self.cleared_charges: list[tuple[Array, Array]] = []
        self.open_charges: dict[int, list[int]] = defaultdict(list)

    def add_leases(self, t: Tenancy, units: Array, fresh: Array, fair: Array, signed: Array) -> None:
        """New leases from the state's month on; `fresh` ones bring a new tenant."""
        new, n = units[fresh], int(fresh.sum())
        created = signed[fresh] - self.rng.integers(1, 11, n)
        rent = t.rent[0, new]
        self.tenant_of[new] = self.person.add(
            n, reliability=t.reliability[0, new], temper=t.temper[0, new], created=created, rent=rent
        )
        self.lease_of[units] = self.lease.add(
            len(units),
            unit=units,
            tenant=self.tenant_of[units],
            first=t.first[0, units],
            last=t.last[0, units],
            monthly=t.monthly[0, units],
            rent=t.rent[0, units],
            fair=fair,
            signed=signed,
        )
        deposit = self.charge.add(n, lease=self.lease_of[new], due=first_day(t.month), amount=rent * 100, kind=DEPOSIT)
        self.payment.add(n, charge=deposit, day=signed[fresh], amount=rent * 100, status=PAID)

    def end_leases(self, units: Array, days: Array, reason: int) -> None:
        """Leases of these units end."""
        self.ends.append((self.lease_of[units], np.broadcast_to(days, units.shape), np.full(len(units), reason)))

    def charge_rents(self, t: Tenancy) -> Array:
        """This month's rents: the charge of each unit, -1 where none is let."""
        units = np.flatnonzero(t.let[0])
        charge = np.full(len(self.lease_of), -1)
        charge[units] = self.charge.add(
            len(units), lease=self.lease_of[units], due=first_day(t.month), amount=t.rent[0, units] * 100, kind=RENT
        )
        return charge

    def add_on_time_payments(self, t: Tenancy, charge: Array) -> None:
        """Rents that come on their due date."""
        units = np.flatnonzero(t.let[0] & t.on_time[0])
        self.payment.add(len(units), charge=charge[units], day=first_day(t.month), amount=t.rent[0, units] * 100, status=PAID)

    def add_late_payments(self, month: int, units: Array, rent: Array, charge: Array) -> None:
        """Rents that come within the month, some in two parts, some after a failed try, some with a fee."""
        first, n = int(first_day(month)), len(units)
        after = sample_days_late(self.rng, n)
        part = (self.rng.random(n) < 0.12) & (after < MAX_DAYS_LATE - 2)
        cents = rent * 100
        early = np.where(part, np.round(cents / 2), 0)
        self.payment.add(int(part.sum()), charge=charge[units][part], day=first + after[part], amount=early[part], status=PAID)
        final = np.where(part, self.rng.integers(after, MAX_DAYS_LATE + 1), after)
        self.payment.add(n, charge=charge[units], day=first + final, amount=cents - early, status=PAID)
        failed = (self.rng.random(n) < 0.25) & (after > 1)
        tried = first + self.rng.integers(1, np.maximum(after, 2))
        self.payment.add(int(failed.sum()), charge=charge[units][failed], day=tried[failed], amount=cents[failed], status=FAILED)
        with_fee = after > FEE_AFTER_DAYS
        fee = self._charge_fees(month, units[with_fee])
        self.payment.add(len(fee), charge=fee, day=first + final[with_fee], amount=LATE_FEE, status=PAID)

    def _charge_fees(self, month: int, units: Array) -> Array:
        due = first_day(month) + FEE_AFTER_DAYS
        return self.charge.add(len(units), lease=self.lease_of[units], due=due, amount=LATE_FEE, kind=FEE)

    def add_missed_rents(self, month: int, units: Array, rent: Array, charge: Array) -> None:
        """Rents that do not come this month."""
        failed = self.rng.random(len(units)) < 0.5
        day = first_day(month) + self.rng.integers(1, 6, len(units))
        self.payment.add(
            int(failed.sum()), charge=charge[units][failed], day=day[failed], amount=rent[failed] * 100, status=FAILED
        )
        for unit, own, fee in zip(units, charge[units], self._charge_fees(month, units), strict=True):
            self.open_charges[int(unit)] += [int(own), int(fee)]

    def clear_arrears(self, month: int, units: Array) -> None:
        """Everything of earlier months is paid on one day of this one."""
        for unit, day in zip(units, first_day(month) + self.rng.integers(5, 21, len(units)), strict=True):
            charges = np.array(self.open_charges.pop(int(unit), []), dtype=int)
            self.cleared_charges.append((charges, np.full(len(charges), day)))

    def add_complaints(self, t: Tenancy, month: int, aggrieved: Array, grievance: Array) -> None:
        """Note what dissatisfied tenants write in a month."""
        reminds = (grievance > 0) & ~aggrieved & (self.rng.random(len(grievance)) < 0.4) & (self.lease_of >= 0)
        for which, reminder in ((aggrieved, 0), (reminds, 1)):
            units = np.flatnonzero(which & (self.lease_of >= 0))
            self.complaint.add(len(units), lease=self.lease_of[units], month=month, reminder=reminder, temper=t.temper[0, units])


def simulate_tenancies(
    estate: Estate, market: Market, span: Span, rng: np.random.Generator, days: np.random.Generator
) -> TenancyHistory:
    """Simulate all tenants from the span's first month to its end; `days` draws what only dates things within a month."""
    homes = select_homes(estate)
    t = sample_initial_state(homes, market, span.first_month, rng)
    recorder = _Recorder(len(homes.zip_of), days)
    let = np.flatnonzero(t.let[0])
    fair = np.exp(homes.market_rent(market, market.at(t.month - 1)))
    recorder.add_leases(t, let, np.ones(len(let), bool), fair[let], np.full(len(let), first_day(t.month) - 20))
    states, lease_of = {}, {}
    for month in range(span.first_month, span.end_month + 1):
        if month >= span.window_month - 1:
            states[month], lease_of[month] = t.copy(), recorder.lease_of.copy()
        charge = recorder.charge_rents(t)
        recorder.add_on_time_payments(t, charge)
        if month < span.end_month:
            rent = t.rent[0]
            events = advance_month(t, homes, market, market.at(month), market.at(month - LAG_MONTHS), rng)
            _record_month(recorder, t, rent, events, charge)
    return _build_history(homes, recorder, states, lease_of)


def _record_month(recorder: _Recorder, t: Tenancy, rent: Array, events: MonthEvents, charge: Array) -> None:
    """Write down a month that is over, with its rents; the state stands at the next one's first day."""
    month = t.month - 1
    late, missed, cleared = (np.flatnonzero(a[0]) for a in (events.late, events.missed, events.cleared > 0))
    recorder.clear_arrears(month, cleared)
    recorder.add_late_payments(month, late, rent[late], charge)
    recorder.add_missed_rents(month, missed, rent[missed], charge)
    recorder.add_complaints(t, month, events.aggrieved[0], t.grievance[0])
    noticed = np.flatnonzero(events.noticed[0])
    recorder.notices.append((recorder.lease_of[noticed], events.notice_day[0, noticed]))
    left, evicted, renewed = (np.flatnonzero(a[0]) for a in (events.left, events.evicted, events.renewed))
    recorder.end_leases(left, events.leaves[0, left], MOVED_OUT)
    recorder.end_leases(evicted, last_day(month) - recorder.rng.integers(0, 4, len(evicted)), EVICTED)
    recorder.end_leases(renewed, last_day(month), RENEWED)
    for units in (left, evicted):
        recorder.lease_of[units], recorder.tenant_of[units] = -1, -1
        for unit in units:
            recorder.open_charges.pop(int(unit), None)
    signs = np.flatnonzero(events.signed[0] | events.renewed[0])
    fresh = events.signed[0, signs]
    day = np.where(fresh, first_day(month) + recorder.rng.integers(2, 25, len(signs)), last_day(month))
    recorder.add_leases(t, signs, fresh, events.fair[0, signs], day)


def _build_history(homes: Homes, recorder: _Recorder, states: dict[int, Tenancy], lease_of: dict[int, Array]) -> TenancyHistory:
    n = recorder.lease.n
    notice, ended, reason = np.full(n, NEVER), np.full(n, NEVER), np.full(n, RUNNING)
    for leases, day in recorder.notices:
        notice[leases] = day
    for leases, day, why in recorder.ends:
        ended[leases], reason[leases] = day, why
    charge = Charge(**recorder.charge.columns())
    cleared_charges, day = (np.concatenate([o[i] for o in recorder.cleared_charges] or [np.zeros(0, int)]) for i in (0, 1))
    recorder.payment.add(
        len(cleared_charges), charge=cleared_charges, day=day, amount=charge.amount[cleared_charges], status=PAID
    )
    payment, person = Payment(**recorder.payment.columns()), Person(**recorder.person.columns())
    complaint = Complaint(**recorder.complaint.columns())
    lease = Lease(**recorder.lease.columns(), notice=notice, ended=ended, reason=reason)
    return TenancyHistory(homes, lease, charge, payment, person, complaint, states, lease_of)
