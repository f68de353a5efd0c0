"""Tables of things: equipment, work orders and sensor readings, as far as they are published."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.simulator.calendar import NEVER, Array, Span, first_day, moment
from epic22.simulator.equipment import STAGES, Machines
from epic22.simulator.estate import KINDS, SCALE_YEARS, Estate
from epic22.simulator.leases import MOVED_OUT, Path
from epic22.simulator.rows import choose, ids, money, pick, table_of
from epic22.simulator.size import END, Size

CATEGORY = ("hvac", "plumbing", "electrical", "roofing", "appliance", "other", "structural", "security", "other")
CATEGORIES = tuple(dict.fromkeys((*CATEGORY, "painting", "flooring", "pest_control", "landscaping")))
CORRECTIVE, PREVENTIVE, INSPECTION = 0, 1, 2
LOW, MEDIUM, HIGH, CRITICAL = 0, 1, 2, 3
OPEN, IN_PROGRESS, ON_HOLD, COMPLETED, CANCELLED = 0, 1, 2, 3, 4
REVISED_SHARE = 0.1


@dataclass(frozen=True)
class Pieces:
    """Every piece of equipment that ever stood in a slot: slot, days of installation and retirement (NEVER: still there)."""

    slot: Array
    installed: Array
    retired: Array

    @property
    def names(self) -> pl.Series:
        """Ids of the pieces."""
        return ids("E", np.arange(1, len(self.slot) + 1), 6)

    def in_slot(self, slot: Array, day: Array) -> Array:
        """The piece that stood in each slot on a day."""
        stride = 10**6
        place = np.searchsorted(self.slot * stride + self.installed, np.asarray(slot) * stride + day, side="right") - 1
        return np.asarray(place)


def pieces_of(estate: Estate, machines: Machines, span: Span) -> Pieces:
    """First pieces and their successors, ordered by slot and installation."""
    f = machines.failures
    swapped = f.replaced & (f.done < span.end_day)
    slot = np.concatenate([np.arange(len(estate.slot_kind)), f.slot[swapped]])
    installed = np.concatenate([estate.slot_installed, f.done[swapped]])
    order = np.lexsort((installed, slot))
    slot, installed = slot[order], installed[order]
    follows = np.append(slot[1:] == slot[:-1], False)
    return Pieces(slot, installed, np.where(follows, np.append(installed[1:], NEVER), NEVER))


def equipment_table(estate: Estate, pieces: Pieces, span: Span) -> pl.DataFrame:
    """Pieces that stood there in the window or are needed by its orders."""
    at = np.flatnonzero(pieces.retired >= span.window_day - 400)
    slot = pieces.slot[at]
    unit = estate.slot_unit[slot]
    guaranteed = pieces.installed[at] + np.round(SCALE_YEARS[estate.slot_kind[slot]] * 365 / 5).astype(int)
    return table_of(
        "equipment",
        {
            "equipment_id": pick(pieces.names, at),
            "property_id": pick(estate.property_ids, estate.slot_property[slot]),
            "unit_id": pick(estate.unit_ids, unit, unit < 0),
            "kind": choose(KINDS, estate.slot_kind[slot]),
            "installed_on": moment(pieces.installed[at]),
            "retired_on": moment(pieces.retired[at]),
            "warranty_until": moment(guaranteed),
            "replacement_cost": money(estate.slot_price[slot] * 100),
            "known_at": moment(np.maximum(pieces.installed[at], span.first_day)),
        },
    )


@dataclass(frozen=True)
class Orders:
    """All work orders, arrays (orders,); `slot` and `unit` -1: none; `done` NEVER: not completed; cost in cents."""

    house: Array
    unit: Array
    slot: Array
    category: Array
    kind: Array
    priority: Array
    opened: Array
    hour: Array
    planned: Array
    done: Array
    cost: Array
    cancelled: Array


def _orders(n: int, rng: np.random.Generator, **given: Array | int) -> Orders:
    usual: dict[str, Array | int] = {"unit": -1, "slot": -1, "planned": NEVER, "cancelled": 0}
    usual["hour"] = np.round(rng.uniform(7, 19, n), 1)
    columns = usual | given
    return Orders(**{f: np.broadcast_to(np.asarray(columns[f]), (n,)) for f in Orders.__dataclass_fields__})


def work_orders(estate: Estate, machines: Machines, path: Path, span: Span, rng: np.random.Generator) -> Orders:
    """Failures, small repairs, visits and inspections of equipment; painting, flooring, pests and gardens beside."""
    parts = [
        _failures(estate, machines, rng),
        _minors(estate, machines, rng),
        _visits(estate, machines, rng),
        _inspections(estate, span, rng),
        _gardens(estate, span, rng),
        _turnovers(estate, path, rng),
    ]
    joined = {f: np.concatenate([getattr(p, f) for p in parts]) for f in Orders.__dataclass_fields__}
    order = np.lexsort((joined["house"], joined["hour"], joined["opened"]))
    begun = joined["opened"][order] < span.end_day
    return Orders(**{f: a[order][begun] for f, a in joined.items()})


def _of_slots(estate: Estate, slot: Array) -> dict[str, Array]:
    kind = estate.slot_kind[slot]
    category = np.array([CATEGORIES.index(c) for c in CATEGORY])[kind]
    return {"house": estate.slot_property[slot], "unit": estate.slot_unit[slot], "slot": slot, "category": category}


def _failures(estate: Estate, machines: Machines, rng: np.random.Generator) -> Orders:
    f = machines.failures
    priority = np.where(f.critical, CRITICAL, HIGH)
    return _orders(
        len(f.slot), rng, **_of_slots(estate, f.slot), kind=CORRECTIVE, priority=priority, opened=f.day, hour=f.hour.round(1),
        done=f.done, cost=f.cost,
    )  # fmt: skip


def _minors(estate: Estate, machines: Machines, rng: np.random.Generator) -> Orders:
    n = len(machines.minor_slot)
    priority = np.where(rng.random(n) < 0.55, LOW, MEDIUM)
    done = machines.minor_day + 1 + rng.geometric(0.15, n)
    return _orders(
        n, rng, **_of_slots(estate, machines.minor_slot), kind=CORRECTIVE, priority=priority, opened=machines.minor_day,
        done=done, cost=machines.minor_cost,
    )  # fmt: skip


def _visits(estate: Estate, machines: Machines, rng: np.random.Generator) -> Orders:
    v = machines.visits
    written = (v.done != NEVER) | (rng.random(len(v.slot)) < 0.5)
    n, done = int(written.sum()), v.done[written]
    return _orders(
        n, rng, **_of_slots(estate, v.slot[written]), kind=PREVENTIVE, priority=LOW, opened=v.planned[written] - 14,
        planned=v.planned[written], done=done, cost=v.cost[written], cancelled=(done == NEVER).astype(int),
    )  # fmt: skip


def _inspections(estate: Estate, span: Span, rng: np.random.Generator) -> Orders:
    years = np.arange(span.first_day, span.end_day, 365)
    house, year = (a.ravel() for a in np.meshgrid(np.arange(len(estate.zip_of)), years, indexing="ij"))
    opened = year + rng.integers(0, 365, len(year))
    planned = opened + rng.integers(7, 30, len(year))
    category = CATEGORIES.index("other")
    cost = np.round(rng.lognormal(np.log(25_000), 0.3, len(year)))
    done = planned + rng.integers(0, 5, len(year))
    return _orders(len(year), rng, house=house, category=category, kind=INSPECTION, priority=LOW, opened=opened, planned=planned,
                   done=done, cost=cost)  # fmt: skip


def _gardens(estate: Estate, span: Span, rng: np.random.Generator) -> Orders:
    months = np.arange(span.first_month, span.end_month)
    house, month = (a.ravel() for a in np.meshgrid(np.arange(len(estate.zip_of)), months, indexing="ij"))
    held = rng.random(len(month)) < 0.45
    house, opened = house[held], first_day(month[held]) + rng.integers(0, 26, int(held.sum()))
    n = len(house)
    category = np.where(rng.random(n) < 0.6, CATEGORIES.index("landscaping"), CATEGORIES.index("pest_control"))
    cost = np.round(rng.lognormal(np.log(18_000), 0.4, n))
    return _orders(n, rng, house=house, category=category, kind=PREVENTIVE, priority=LOW, opened=opened,
                   done=opened + rng.integers(1, 9, n), cost=cost)  # fmt: skip


def _turnovers(estate: Estate, path: Path, rng: np.random.Generator) -> Orders:
    moved = np.flatnonzero((path.lease.reason == MOVED_OUT) & (rng.random(len(path.lease.reason)) < 0.7))
    unit, opened, n = path.lease.unit[moved], path.lease.ended[moved] + 1, len(moved)
    category = np.where(rng.random(n) < 0.75, CATEGORIES.index("painting"), CATEGORIES.index("flooring"))
    cost = np.round(rng.lognormal(np.log(40_000), 0.5, n))
    return _orders(n, rng, house=estate.property_of[unit], unit=unit, category=category, kind=CORRECTIVE, priority=LOW,
                   opened=opened, done=opened + rng.integers(2, 15, n), cost=cost)  # fmt: skip


def work_orders_table(estate: Estate, pieces: Pieces, orders: Orders, span: Span, rng: np.random.Generator) -> pl.DataFrame:
    """Orders opened or completed in the window; some have their cost corrected days after the completion."""
    reaching = (orders.done >= span.window_day) & (orders.done != NEVER)
    at = np.flatnonzero((orders.opened >= span.window_day) | reaching)
    n, slot = len(at), orders.slot[at]
    done = np.where(orders.done[at] < span.end_day, orders.done[at], NEVER)
    ended = done != NEVER
    waiting = rng.choice([OPEN, IN_PROGRESS, ON_HOLD], n, p=[0.5, 0.4, 0.1])
    dropped = (orders.cancelled[at] > 0) & (orders.planned[at] + 7 < span.end_day)
    status = np.where(ended, COMPLETED, np.where(dropped, CANCELLED, waiting))
    closed = np.where(dropped, orders.planned[at] + 7, done)
    piece = pieces.in_slot(slot, orders.opened[at])
    opened = moment(orders.opened[at], orders.hour[at])
    final = pl.DataFrame(
        {
            "work_order_id": ids("W", at + 1, 7),
            "property_id": pick(estate.property_ids, orders.house[at]),
            "unit_id": pick(estate.unit_ids, orders.unit[at], orders.unit[at] < 0),
            "equipment_id": pick(pieces.names, piece, slot < 0),
            "category": choose(CATEGORIES, orders.category[at]),
            "kind": choose(("corrective", "preventive", "inspection"), orders.kind[at]),
            "priority": choose(("low", "medium", "high", "critical"), orders.priority[at]),
            "status": choose(("open", "in_progress", "on_hold", "completed", "cancelled"), status),
            "opened_at": opened,
            "scheduled_for": moment(orders.planned[at], 9.0),
            "completed_at": moment(closed, 20.0),
            "cost": money(orders.cost[at]).set(pl.Series(~ended), None),
            "known_at": opened,
        }
    )
    revised = ended & (rng.random(n) < REVISED_SHARE)
    first = pl.Series(revised)
    estimate = money(np.round(orders.cost[at] * rng.uniform(0.8, 1.2, n)))
    later = moment(np.where(revised, done + 5, NEVER), 12.0)
    before = final.with_columns(cost=pl.when(first).then(estimate).otherwise(pl.col("cost")))
    after = final.with_columns(known_at=pl.Series(later)).filter(first & (pl.Series(later) <= END).fill_null(False))
    return table_of("work_orders", pl.concat([before, after.select(before.columns)]).to_dict())


SENSORS = {0: ("temperature", "vibration", "power"), 1: ("pressure", "water_flow"), 5: ("vibration", "power")}
LEVEL = {"temperature": 14.0, "vibration": 2.2, "power": 3.5, "pressure": 380.0, "water_flow": 22.0}
SPREAD = {"temperature": 1.2, "vibration": 0.3, "power": 0.4, "pressure": 14.0, "water_flow": 2.2}
DRIFT = {"temperature": 0.8, "vibration": 1.1, "power": 0.7, "pressure": -0.9, "water_flow": -0.8}
"""Drift of a sensor a stage of decay, in its own spreads."""


def sensor_table(
    estate: Estate, machines: Machines, pieces: Pieces, span: Span, size: Size, rng: np.random.Generator
) -> pl.DataFrame:
    """Readings of the window, every few days; a piece that is down gives none."""
    frames = []
    for kind, signals in SENSORS.items():
        slots = np.flatnonzero(estate.sensored & (estate.slot_kind == kind))
        offset = rng.integers(0, size.reading_days, len(slots))
        days = np.arange(span.window_day, span.end_day - size.reading_days, size.reading_days)
        day, slot = days[:, None] + offset, np.broadcast_to(slots, (len(days), len(slots)))
        row = day - span.window_day
        up = machines.down_until[row, slot] <= day
        stage = machines.stage[row, slot].astype(np.int8)[up]
        day, slot = day[up], slot[up]
        piece, hour = pieces.in_slot(slot, day), rng.integers(8, 240, len(day)) / 10
        for signal in signals:
            frames.append(_readings(estate, pieces, signal, slot, day, hour, stage, piece, rng))
    every = pl.concat(frames)
    return table_of("sensor_readings", every.to_dict()).filter(pl.col("known_at") <= END)


def _readings(
    estate: Estate, pieces: Pieces, signal: str, slot: Array, day: Array, hour: Array, stage: Array, piece: Array,
    rng: np.random.Generator,
) -> pl.DataFrame:  # fmt: skip
    n, spread = len(day), SPREAD[signal]
    own = LEVEL[signal] * np.exp(rng.normal(0, 0.12, len(estate.slot_kind)))[slot]
    summer = np.cos(2 * np.pi * (day - 196) / 365.25) * (2.0 if signal in ("temperature", "power") else 0.3)
    worn = 0.25 * estate.usage[slot] * np.sign(DRIFT[signal])
    drift = np.minimum(stage, STAGES) * DRIFT[signal] * rng.lognormal(0, 0.35, n)
    value = np.round(own + spread * (0.5 * summer + worn + drift + rng.standard_normal(n)), 3)
    value = value if signal == "temperature" else np.maximum(value, 0.0)
    delay = np.where(rng.random(n) < 0.1, rng.integers(1, 12, n), 0.0)
    return pl.DataFrame(
        {
            "equipment_id": pick(pieces.names, piece),
            "measured_at": moment(day, hour),
            "kind": pl.Series([signal]).new_from_index(0, n),
            "value": value,
            "quality": np.round(1 - rng.beta(1, 20, n), 3),
            "known_at": moment(day, hour + delay),
        }
    )
