"""Equipment day by day: it runs healthy, begins to fail by a Weibull hazard, passes three stages of decay, and fails.

The state of a slot at the start of a day is its stage, its age, its last service and whether it is down; everything that
moves it in the next weeks is known from that or random, so that the probability of a failure follows exactly.
"""

from dataclasses import dataclass

import numpy as np

from epic22.simulator.calendar import NEVER, Array, Span
from epic22.simulator.estate import SCALE_YEARS, Estate

SHAPE = np.array([2.0, 2.2, 2.8, 2.5, 2.2, 2.5, 3.0, 2.5, 2.5])
HAZARD_FACTOR = 1.35
"""Hazards are raised by this factor, so that failures of the mix are about 1 to 2 in 100 a month."""
STAGE_CHANCE = np.array([0.2, 0.22, 0.2, 0.12, 0.25, 0.22, 0.1, 0.25, 0.2])
"""Chance a day of the next stage of decay: three stages take 3 / STAGE_CHANCE days on average."""
STAGES = 3
VISIT_INTERVAL_DAYS = np.array([182, 365, 365, 365, 730, 91, 365, 365, 365])
USAGE_EFFECT, NEGLECT_EFFECT, UNSERVICED_EFFECT = 0.6, 0.3, 0.7
VISIT_REPAIR_CHANCE = 0.5
MEDIAN_COST = np.array([900.0, 600.0, 500.0, 2500.0, 250.0, 2800.0, 3500.0, 300.0, 300.0])
MEDIAN_DAYS = np.array([3.0, 2.0, 3.0, 8.0, 3.0, 4.0, 14.0, 2.0, 3.0])
MINOR_PER_YEAR, MINOR_DECAY_FACTOR = 0.25, 7.0
VISIT_COST, MINOR_COST_SHARE, COST_SPREAD = 120.0, 0.3, 0.5
PLANNED_DAYS_AHEAD = 220
"""Days after the end for which visits are planned already."""
REPLACED_SHARE = 0.35
"""Share of failed pieces older than 0.9 scales that are replaced."""


@dataclass(frozen=True)
class Visits:
    """Planned preventive visits, each to a slot: planned day, day of the visit (NEVER: it was skipped), cost in cents."""

    slot: Array
    planned: Array
    done: Array
    cost: Array

    def daily_mask(self, span: Span, slots: int) -> Array:
        """Whether a slot is visited on a day, (days, slots)."""
        mask = np.zeros((span.end_day - span.first_day + PLANNED_DAYS_AHEAD, slots), dtype=bool)
        came = self.done < span.first_day + len(mask)
        mask[self.done[came] - span.first_day, self.slot[came]] = True
        return mask


@dataclass(frozen=True)
class Failures:
    """Corrective orders of priority high or critical: slot, day, hour, day of completion, cost in cents, replaced or not."""

    slot: Array
    day: Array
    hour: Array
    done: Array
    cost: Array
    critical: Array
    replaced: Array


@dataclass(frozen=True)
class Machines:
    """The whole path. `visited` (days, slots) begins at the span's first day; the other arrays (days, slots) hold the state
    at the start of each day of the window."""

    visits: Visits
    failures: Failures
    visited: Array
    stage: Array
    down_until: Array
    installed: Array
    serviced: Array
    minor_slot: Array
    minor_day: Array
    minor_cost: Array


def plan_visits(estate: Estate, span: Span, rng: np.random.Generator) -> Visits:
    """An imperfect schedule; badly kept properties skip more."""
    every = VISIT_INTERVAL_DAYS[estate.slot_kind]
    days = span.end_day + PLANNED_DAYS_AHEAD - span.first_day
    max_visits = int(days / every.min()) + 2
    number = np.arange(max_visits)
    planned = span.first_day + (rng.random(len(every)) * every)[:, None] + number * every[:, None]
    planned = (planned + rng.normal(0, 12, planned.shape)).astype(int)
    skip = 1 / (1 + np.exp(1.3 - 0.9 * estate.neglect[estate.slot_property]))
    skipped = rng.random(planned.shape) < skip[:, None]
    done = np.where(skipped, NEVER, planned + rng.integers(0, 8, planned.shape))
    cost = np.round(100 * VISIT_COST * rng.lognormal(0, 0.3, planned.shape))
    slot = np.broadcast_to(np.arange(len(every))[:, None], planned.shape)
    in_span = (planned >= span.first_day) & (planned < span.first_day + days - 8)
    return Visits(slot[in_span], planned[in_span], done[in_span], cost[in_span])


def compute_season_effect(kind: Array, day: Array | int) -> Array:
    """Log factor of a day on the hazard of a kind: cooling in summer, pipes and roofs in winter."""
    year = 2 * np.pi * (np.asarray(day) - 196) / 365.25
    winter, twice = -np.cos(year), np.cos(2 * year)
    return np.asarray(np.where(kind == 0, 0.5 * twice, np.where(kind == 1, 0.4 * winter, np.where(kind == 3, 0.6 * winter, 0.0))))


def compute_hazard(estate: Estate, day: Array | int, installed: Array, serviced: Array) -> Array:
    """Onset of decay a day, for slots of this age and last service; arrays broadcast over (…, slots)."""
    kind = estate.slot_kind
    scale = SCALE_YEARS[kind] * 365.25
    age = np.maximum(day - installed, 1) / scale
    weibull = SHAPE[kind] / scale * age ** (SHAPE[kind] - 1)
    unserviced = UNSERVICED_EFFECT * np.minimum((day - serviced) / 365.0, 2.0)
    latent = USAGE_EFFECT * estate.usage + NEGLECT_EFFECT * estate.neglect[estate.slot_property]
    return np.asarray(1 - np.exp(-HAZARD_FACTOR * weibull * np.exp(latent + unserviced + compute_season_effect(kind, day))))


def simulate_machines(estate: Estate, span: Span, rng: np.random.Generator) -> Machines:
    """Run every slot from the span's first day to its end."""
    slots, days = len(estate.slot_kind), span.end_day - span.first_day
    visits = plan_visits(estate, span, rng)
    visited = visits.daily_mask(span, slots)
    stage, down = np.zeros(slots, np.int8), np.full(slots, span.first_day)
    installed, serviced = estate.slot_installed.copy(), span.first_day - rng.integers(0, 365, slots)
    renewed = np.zeros(slots, bool)
    window_offset = span.window_day - span.first_day
    state_arrays = tuple(np.empty((days + 1 - window_offset, slots), dtype) for dtype in (np.int8, np.int32, np.int32, np.int32))
    broken, minors = [], []
    advance = STAGE_CHANCE[estate.slot_kind]
    minor = MINOR_PER_YEAR / 365 * np.exp(0.4 * estate.usage + 0.3 * estate.neglect[estate.slot_property])
    for number in range(days + 1):
        day = span.first_day + number
        for array, value in zip(state_arrays, (stage, down, installed, serviced), strict=True):
            array[max(number - window_offset, 0)] = value
        if number == days:
            break
        back = down == day
        installed[back & renewed] = day
        serviced[back | visited[number]] = day
        renewed[back] = False
        up = down <= day
        luck = rng.random((3, slots))
        stage[up & visited[number] & (stage > 0) & (luck[0] < VISIT_REPAIR_CHANCE)] = 0
        onset = (stage == 0) & (luck[1] < compute_hazard(estate, day, installed, serviced))
        moves = up & (onset | ((stage > 0) & (luck[1] < advance)))
        stage[moves] += 1
        minors.append(np.flatnonzero(up & (luck[2] < minor * np.where(stage > 0, MINOR_DECAY_FACTOR, 1))))
        failed = np.flatnonzero(stage > STAGES)
        if len(failed):
            event = _sample_failures(estate, failed, day, installed, rng)
            stage[failed], down[failed], renewed[failed] = 0, event.done, event.replaced
            broken.append(event)
    joined = Failures(*(np.concatenate([getattr(b, f) for b in broken]) for f in Failures.__dataclass_fields__))
    minor_slot = np.concatenate(minors)
    minor_day = span.first_day + np.repeat(np.arange(days), [len(m) for m in minors])
    cost = np.round(100 * MINOR_COST_SHARE * MEDIAN_COST[estate.slot_kind[minor_slot]] * rng.lognormal(0, 0.5, len(minor_slot)))
    stages, downs, installs, services = state_arrays
    return Machines(visits, joined, visited, stages, downs, installs, services, minor_slot, minor_day, cost)


def _sample_failures(estate: Estate, failed: Array, day: int, installed: Array, rng: np.random.Generator) -> Failures:
    kind, n = estate.slot_kind[failed], len(failed)
    critical = rng.random(n) < 0.3
    repair = np.maximum(1, np.round(MEDIAN_DAYS[kind] * rng.lognormal(0, 0.5, n) / (1 + critical))).astype(int)
    cost = np.round(100 * MEDIAN_COST[kind] * rng.lognormal(0, COST_SPREAD, n))
    old = day - installed[failed] > 0.9 * SCALE_YEARS[kind] * 365.25
    replaced = old & (rng.random(n) < REPLACED_SHARE)
    return Failures(failed, np.full(n, day), rng.uniform(1, 23, n), day + repair, cost, critical, replaced)


def compute_failure_probabilities(
    estate: Estate, machines: Machines, span: Span, cutoffs: Array, horizons: tuple[int, ...]
) -> list[Array]:
    """P(a failure in the first h days from each cutoff) given the whole state then: arrays (cutoffs, slots), one a horizon.

    A slot whose piece is to be replaced fails as the piece that is there: never again.
    """
    row, planned = cutoffs - span.window_day, cutoffs - span.first_day
    down, installed, serviced = machines.down_until[row], machines.installed[row], machines.serviced[row]
    awaiting_replacement = _mask_awaiting_replacement(machines, cutoffs, down.shape[1])
    mass = np.stack([(machines.stage[row] == s) & ~awaiting_replacement for s in range(STAGES + 1)]).astype(float)
    failed, probabilities = np.zeros(down.shape), []
    advance = STAGE_CHANCE[estate.slot_kind]
    for ahead in range(max(horizons)):
        day = (cutoffs + ahead)[:, None]
        visit = machines.visited[planned + ahead]
        serviced = np.where(visit | (down == day), day, serviced)
        up = down <= day
        repaired_mass = np.where(visit & up, VISIT_REPAIR_CHANCE, 0.0) * mass[1:]
        mass[1:] -= repaired_mass
        mass[0] += repaired_mass.sum(axis=0)
        onset = np.where(up, compute_hazard(estate, day, installed, serviced), 0.0) * mass[0]
        moved = np.where(up, advance, 0.0) * mass[1:]
        failed += moved[-1]
        mass[0] -= onset
        mass[1:] -= moved
        mass[1] += onset
        mass[2:] += moved[:-1]
        if ahead + 1 in horizons:
            probabilities.append(failed.copy())
    return probabilities


def _mask_awaiting_replacement(machines: Machines, cutoffs: Array, slots: int) -> Array:
    """Whether a slot is down at a cutoff and its piece will be replaced, (cutoffs, slots)."""
    mask = np.zeros((len(cutoffs), slots), bool)
    f = machines.failures
    for slot, day, done in zip(f.slot[f.replaced], f.day[f.replaced], f.done[f.replaced], strict=True):
        mask[(cutoffs > day) & (cutoffs < done), slot] = True
    return mask


def compute_expected_failures(estate: Estate, machines: Machines, span: Span, cutoff: int, until: Array) -> Array:
    """Expected failures of each slot in the periods that end before `until` (days), from the state at a cutoff: (periods, slots).

    After a failure a slot counts as healthy again; the days it is down are left out of account.
    """
    row = cutoff - span.window_day
    down, installed, serviced = machines.down_until[row], machines.installed[row], machines.serviced[row].copy()
    mass = np.stack([machines.stage[row] == s for s in range(STAGES + 1)]).astype(float)
    advance, counted, periods = STAGE_CHANCE[estate.slot_kind], np.zeros(down.shape), []
    for day in range(cutoff, int(until[-1])):
        serviced = np.where(_visit_mask(machines, span, day) | (down == day), day, serviced)
        up = down <= day
        onset = np.where(up, compute_hazard(estate, day, installed, serviced), 0.0) * mass[0]
        moved = np.where(up, advance, 0.0) * mass[1:]
        counted += moved[-1]
        mass[0] += moved[-1] - onset
        mass[1:] -= moved
        mass[1] += onset
        mass[2:] += moved[:-1]
        if day + 1 in until:
            periods.append(counted.copy())
            counted[:] = 0
    return np.stack(periods)


def _visit_mask(machines: Machines, span: Span, day: int) -> Array:
    number = day - span.first_day
    return np.asarray(machines.visited[number] if number < len(machines.visited) else np.zeros(machines.visited.shape[1], bool))
