"""Exact probabilities of leaving and of default within 90 days, given the hidden state at a month's first day."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from epic22.simulator.calendar import NEVER, Array, Span, first_day, to_datetime
from epic22.simulator.table_builder import gather_names
from epic22.simulator.tenancy import (
    EVICTION_CHANCE,
    EVICTION_MIN_ARREARS,
    GRIEVANCE_LEVELS,
    HIRE_CHANCE,
    MAX_ARREARS,
    Homes,
    Tenancy,
    clear_chance,
    grievance_chances,
    job_loss_chance,
    list_leaving_days,
    miss_chance,
    notice_chance,
    notice_log_hazard,
    on_time_chance,
)
from epic22.simulator.tenancy_history import TenancyHistory

HORIZON_DAYS, MONTHS = 90, 3
LATE_DAYS = 30
"""A rent counts as in default this many days after its due date."""

Mass = dict[tuple[int, int, int], Array]
"""Probability of (jobless, grievance, arrears), each (units,)."""


def compute_churn_truth(history: TenancyHistory, span: Span, lease_ids: pl.Series) -> pl.DataFrame:
    """P(moved out in (cutoff, cutoff + 90 d]) of every lease without notice: [entity, cutoff, probability]."""
    parts = []
    for month in span.monthly_cutoffs():
        t, lease = history.states[int(month)], history.lease_of[int(month)]
        at = np.flatnonzero(t.let[0] & (t.leaves[0] == NEVER))
        parts.append(_build_rows(lease_ids, lease[at], month, compute_leaving_probability(t, history.homes)[at]))
    return pl.concat(parts).sort("entity", "cutoff")


def compute_default_truth(history: TenancyHistory, span: Span, lease_ids: pl.Series) -> pl.DataFrame:
    """P(a month's rent unpaid 30 days past due, first seen in (cutoff, cutoff + 90 d]): [entity, cutoff, probability].

    Leases for which it held already at the last such day are left out.
    """
    parts = []
    for month in span.monthly_cutoffs():
        number = int(month)
        t, lease, day = history.states[number], history.lease_of[number], int(first_day(number))
        pending = int(first_day(number - 1)) + LATE_DAYS > day
        earlier = _arrears_before(history, number) if pending else t.arrears[0]
        at = np.flatnonzero(t.let[0] & (earlier == 0))
        probability = compute_default_probability(t, history.homes)
        if pending:
            probability = np.where(t.arrears[0] > 0, 1.0, probability)
        parts.append(_build_rows(lease_ids, lease[at], month, probability[at]))
    return pl.concat(parts).sort("entity", "cutoff")


def _build_rows(lease_ids: pl.Series, lease: Array, month: int, probability: Array) -> pl.DataFrame:
    cutoff = to_datetime(np.broadcast_to(first_day(month), lease.shape).copy())
    return pl.DataFrame({"entity": gather_names(lease_ids, lease), "cutoff": cutoff, "probability": probability})


def _arrears_before(history: TenancyHistory, month: int) -> Array:
    """Arrears a month earlier of the leases that run now; none where a lease is new."""
    same = history.lease_of[month] == history.lease_of[month - 1]
    return np.where(same, history.states[month - 1].arrears[0], 0)


def _initial_mass(t: Tenancy) -> Mass:
    return {
        (j, g, n): ((t.jobless[0] == j) & (t.grievance[0] == g) & (t.arrears[0] == n)).astype(float)
        for j in range(2)
        for g in range(GRIEVANCE_LEVELS)
        for n in range(MAX_ARREARS + 1)
    }


def compute_leaving_probability(t: Tenancy, homes: Homes) -> Array:
    """P(moved out within 90 days) of each unit's lease, were there no notice yet, (units,)."""
    limit = int(first_day(t.month)) + HORIZON_DAYS
    mass, total = _initial_mass(t), np.zeros(t.let.shape[1])
    for ahead in range(MONTHS):
        share = (list_leaving_days(t.month + ahead)[1] <= limit).mean()
        mass, noticed = _advance_month(t, homes, mass, ahead)
        total += share * noticed
    return total


def _advance_month(t: Tenancy, homes: Homes, mass: Mass, ahead: int) -> tuple[Mass, Array]:
    """The masses of leases without notice a month on, and how much gave notice in it."""
    after = _advance_grievances(t, homes, _advance_payments(t, mass, ahead))
    noticed, stays, log_hazard = np.zeros(t.let.shape[1]), {}, notice_log_hazard(t, ahead)[0]
    ending = t.last[0] <= t.month + ahead
    for (j, g, n), p in after.items():
        gone = p * notice_chance(log_hazard, j, g, n)
        noticed += gone
        remaining = (p - gone) * (1 - EVICTION_CHANCE * (n >= EVICTION_MIN_ARREARS))
        stays[j, g, n] = np.where(ending & (n == 0), 0.0, remaining)
    return _advance_employment(t, stays), noticed


def _advance_payments(t: Tenancy, mass: Mass, ahead: int) -> Mass:
    """Arrears after a month's rent; the first month's on-time payments are seen."""
    after: Mass = {key: np.zeros(t.let.shape[1]) for key in mass}
    reliability = t.reliability[0]
    for (j, g, n), p in mass.items():
        if not p.any():
            continue
        on_time = t.on_time[0].astype(float) if ahead == 0 else on_time_chance(reliability, j)
        miss = (1 - on_time) * miss_chance(reliability, j, n)
        clear = clear_chance(reliability, j) if n else np.zeros_like(p)
        for cleared, c in ((0, 1 - clear), (n, clear)):
            for missed, m in ((0, 1 - miss), (1, miss)):
                after[j, g, min(n - cleared + missed, MAX_ARREARS)] += p * c * m
    return after


def _advance_grievances(t: Tenancy, homes: Homes, mass: Mass) -> Mass:
    resolved, arises = grievance_chances(t.temper[0], homes.neglect)
    after: Mass = {key: np.zeros(t.let.shape[1]) for key in mass}
    for (j, g, n), p in mass.items():
        if not p.any():
            continue
        for better, b in ((0, 1 - resolved), (1, resolved)) if g else ((0, np.ones_like(p)),):
            for worse, w in ((0, 1 - arises), (1, arises)):
                after[j, min(g - better + worse, GRIEVANCE_LEVELS - 1), n] += p * b * w
    return after


def _advance_employment(t: Tenancy, mass: Mass) -> Mass:
    fired = job_loss_chance(t.reliability[0])
    return {
        (j, g, n): mass[0, g, n] * (fired if j else 1 - fired) + mass[1, g, n] * (1 - HIRE_CHANCE if j else HIRE_CHANCE)
        for (j, g, n) in mass
    }


@dataclass(frozen=True)
class _LeavingGroup:
    """Leases with notice and no rent missed yet: masses, and the days on which they may end, (units or pairs,)."""

    mass: Mass
    known_days: Array | None
    possible_days: Array | None

    def select_due(self, due: int) -> Mass:
        """The masses that still owe a rent due on a day."""
        share = self.known_days >= due if self.known_days is not None else np.mean(np.asarray(self.possible_days) >= due)
        return {key: p * share for key, p in self.mass.items()}


def compute_default_probability(t: Tenancy, homes: Homes) -> Array:
    """P(a rent due from the state's month on is missed and found so within 90 days), for leases without arrears, (units,)."""
    has_notice = t.leaves[0] != NEVER
    clean = _drop_arrears(_initial_mass(t))
    stay = {key: p * ~has_notice for key, p in clean.items()}
    leaving = [_LeavingGroup({key: p * has_notice for key, p in clean.items()}, t.leaves[0], None)]
    hit, today = np.zeros(t.let.shape[1]), int(first_day(t.month))
    for ahead in range(MONTHS):
        due = int(first_day(t.month + ahead))
        if due + LATE_DAYS > today + HORIZON_DAYS:
            break
        paid = [_advance_payments(t, stay, ahead), *(_advance_payments(t, group.select_due(due), ahead) for group in leaving)]
        hit += sum((p for masses in paid for (_, _, n), p in masses.items() if n), np.zeros_like(hit))
        leaving = [
            replace(group, mass=_advance_employment(t, _drop_arrears(m))) for group, m in zip(leaving, paid[1:], strict=True)
        ]
        stay, gone = _split_by_notice(t, _advance_grievances(t, homes, _drop_arrears(paid[0])), ahead)
        stay = _advance_employment(t, stay)
        leaving.append(_LeavingGroup(_advance_employment(t, gone), None, list_leaving_days(t.month + ahead)[1]))
    return hit


def _drop_arrears(mass: Mass) -> Mass:
    """Only what owes nothing."""
    return {key: p if key[2] == 0 else np.zeros_like(p) for key, p in mass.items()}


def _split_by_notice(t: Tenancy, mass: Mass, ahead: int) -> tuple[Mass, Mass]:
    """Who stays under this lease, and who has just given notice; renewed leases owe no more rents."""
    log_hazard = notice_log_hazard(t, ahead)[0]
    gone = {(j, g, n): p * notice_chance(log_hazard, j, g, n) if n == 0 else p for (j, g, n), p in mass.items()}
    ending = t.last[0] <= t.month + ahead
    return {key: np.where(ending, 0.0, p - gone[key]) for key, p in mass.items()}, gone
