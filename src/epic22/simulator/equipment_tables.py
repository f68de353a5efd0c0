"""Tables of things: equipment, work orders and sensor readings, as far as they are published."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.simulator.calendar import NEVER, Array, Span, first_day, to_datetime
from epic22.simulator.equipment import STAGES, Machines
from epic22.simulator.estate import KINDS, SCALE_YEARS, Estate
from epic22.simulator.size import END, PortfolioSize
from epic22.simulator.table_builder import build_table, decode_levels, gather_names, ids, money
from epic22.simulator.tenancy_history import MOVED_OUT, TenancyHistory

CATEGORY_BY_KIND = ("hvac", "plumbing", "electrical", "roofing", "appliance", "other", "structural", "security", "other")
CATEGORIES = tuple(dict.fromkeys((*CATEGORY_BY_KIND, "painting", "flooring", "pest_control", "landscaping")))
CORRECTIVE, PREVENTIVE, INSPECTION = 0, 1, 2
LOW, MEDIUM, HIGH, CRITICAL = 0, 1, 2, 3
OPEN, IN_PROGRESS, ON_HOLD, COMPLETED, CANCELLED = 0, 1, 2, 3, 4
REVISION_SHARE = 0.1


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


def list_pieces(estate: Estate, machines: Machines, span: Span) -> Pieces:
    """First pieces and their successors, ordered by slot and installation."""
    f = machines.failures
    swapped = f.replaced & (f.done < span.end_day)
    slot = np.concatenate([np.arange(len(estate.slot_kind)), f.slot[swapped]])
    installed = np.concatenate([estate.slot_installed, f.done[swapped]])
    order = np.lexsort((installed, slot))
    slot, installed = slot[order], installed[order]
    follows = np.append(slot[1:] == slot[:-1], False)
    return Pieces(slot, installed, np.where(follows, np.append(installed[1:], NEVER), NEVER))


def build_equipment_table(estate: Estate, pieces: Pieces, span: Span) -> pl.DataFrame:
    """Pieces that stood there in the window or are needed by its orders."""
    at = np.flatnonzero(pieces.retired >= span.window_day - 400)
    slot = pieces.slot[at]
    unit = estate.slot_unit[slot]
    warranty_end = pieces.installed[at] + np.round(SCALE_YEARS[estate.slot_kind[slot]] * 365 / 5).astype(int)
    return build_table(
        "equipment",
        {
            "equipment_id": gather_names(pieces.names, at),
            "property_id": gather_names(estate.property_ids, estate.slot_property[slot]),
            "unit_id": gather_names(estate.unit_ids, unit, unit < 0),
            "kind": decode_levels(KINDS, estate.slot_kind[slot]),
            "installed_on": to_datetime(pieces.installed[at]),
            "retired_on": to_datetime(pieces.retired[at]),
            "warranty_until": to_datetime(warranty_end),
            "replacement_cost": money(estate.slot_price[slot] * 100),
            "known_at": to_datetime(np.maximum(pieces.installed[at], span.first_day)),
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


def _build_orders(n: int, rng: np.random.Generator, **values: Array | int) -> Orders:
    usual: dict[str, Array | int] = {"unit": -1, "slot": -1, "planned": NEVER, "cancelled": 0}
    usual["hour"] = np.round(rng.uniform(7, 19, n), 1)
    columns = usual | values
    return Orders(**{f: np.broadcast_to(np.asarray(columns[f]), (n,)) for f in Orders.__dataclass_fields__})


def simulate_work_orders(
    estate: Estate, machines: Machines, history: TenancyHistory, span: Span, rng: np.random.Generator
) -> Orders:
    """Failures, small repairs, visits and inspections of equipment; painting, flooring, pests and gardens beside."""
    parts = [
        _failure_orders(estate, machines, rng),
        _minor_orders(estate, machines, rng),
        _visit_orders(estate, machines, rng),
        _inspection_orders(estate, span, rng),
        _garden_orders(estate, span, rng),
        _turnover_orders(estate, history, rng),
    ]
    joined = {f: np.concatenate([getattr(p, f) for p in parts]) for f in Orders.__dataclass_fields__}
    order = np.lexsort((joined["house"], joined["hour"], joined["opened"]))
    in_span = joined["opened"][order] < span.end_day
    return Orders(**{f: a[order][in_span] for f, a in joined.items()})


def _slot_columns(estate: Estate, slot: Array) -> dict[str, Array]:
    kind = estate.slot_kind[slot]
    category = np.array([CATEGORIES.index(c) for c in CATEGORY_BY_KIND])[kind]
    return {"house": estate.slot_property[slot], "unit": estate.slot_unit[slot], "slot": slot, "category": category}


def _failure_orders(estate: Estate, machines: Machines, rng: np.random.Generator) -> Orders:
    f = machines.failures
    priority = np.where(f.critical, CRITICAL, HIGH)
    return _build_orders(
        len(f.slot), rng, **_slot_columns(estate, f.slot), kind=CORRECTIVE, priority=priority, opened=f.day, hour=f.hour.round(1),
        done=f.done, cost=f.cost,
    )  # fmt: skip


def _minor_orders(estate: Estate, machines: Machines, rng: np.random.Generator) -> Orders:
    n = len(machines.minor_slot)
    priority = np.where(rng.random(n) < 0.55, LOW, MEDIUM)
    done = machines.minor_day + 1 + rng.geometric(0.15, n)
    return _build_orders(
        n, rng, **_slot_columns(estate, machines.minor_slot), kind=CORRECTIVE, priority=priority, opened=machines.minor_day,
        done=done, cost=machines.minor_cost,
    )  # fmt: skip


def _visit_orders(estate: Estate, machines: Machines, rng: np.random.Generator) -> Orders:
    v = machines.visits
    written = (v.done != NEVER) | (rng.random(len(v.slot)) < 0.5)
    n, done = int(written.sum()), v.done[written]
    return _build_orders(
        n, rng, **_slot_columns(estate, v.slot[written]), kind=PREVENTIVE, priority=LOW, opened=v.planned[written] - 14,
        planned=v.planned[written], done=done, cost=v.cost[written], cancelled=(done == NEVER).astype(int),
    )  # fmt: skip


def _inspection_orders(estate: Estate, span: Span, rng: np.random.Generator) -> Orders:
    years = np.arange(span.first_day, span.end_day, 365)
    house, year = (a.ravel() for a in np.meshgrid(np.arange(len(estate.zip_of)), years, indexing="ij"))
    opened = year + rng.integers(0, 365, len(year))
    planned = opened + rng.integers(7, 30, len(year))
    category = CATEGORIES.index("other")
    cost = np.round(rng.lognormal(np.log(25_000), 0.3, len(year)))
    done = planned + rng.integers(0, 5, len(year))
    return _build_orders(len(year), rng, house=house, category=category, kind=INSPECTION, priority=LOW,
                   opened=opened, planned=planned, done=done, cost=cost)  # fmt: skip


def _garden_orders(estate: Estate, span: Span, rng: np.random.Generator) -> Orders:
    months = np.arange(span.first_month, span.end_month)
    house, month = (a.ravel() for a in np.meshgrid(np.arange(len(estate.zip_of)), months, indexing="ij"))
    scheduled = rng.random(len(month)) < 0.45
    house, opened = house[scheduled], first_day(month[scheduled]) + rng.integers(0, 26, int(scheduled.sum()))
    n = len(house)
    category = np.where(rng.random(n) < 0.6, CATEGORIES.index("landscaping"), CATEGORIES.index("pest_control"))
    cost = np.round(rng.lognormal(np.log(18_000), 0.4, n))
    return _build_orders(n, rng, house=house, category=category, kind=PREVENTIVE, priority=LOW, opened=opened,
                   done=opened + rng.integers(1, 9, n), cost=cost)  # fmt: skip


def _turnover_orders(estate: Estate, history: TenancyHistory, rng: np.random.Generator) -> Orders:
    moved = np.flatnonzero((history.lease.reason == MOVED_OUT) & (rng.random(len(history.lease.reason)) < 0.7))
    unit, opened, n = history.lease.unit[moved], history.lease.ended[moved] + 1, len(moved)
    category = np.where(rng.random(n) < 0.75, CATEGORIES.index("painting"), CATEGORIES.index("flooring"))
    cost = np.round(rng.lognormal(np.log(40_000), 0.5, n))
    return _build_orders(n, rng, house=estate.property_of[unit], unit=unit, category=category, kind=CORRECTIVE, priority=LOW,
                   opened=opened, done=opened + rng.integers(2, 15, n), cost=cost)  # fmt: skip


def build_work_orders_table(estate: Estate, pieces: Pieces, orders: Orders, span: Span, rng: np.random.Generator) -> pl.DataFrame:
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
    opened = to_datetime(orders.opened[at], orders.hour[at])
    final = pl.DataFrame(
        {
            "work_order_id": ids("W", at + 1, 7),
            "property_id": gather_names(estate.property_ids, orders.house[at]),
            "unit_id": gather_names(estate.unit_ids, orders.unit[at], orders.unit[at] < 0),
            "equipment_id": gather_names(pieces.names, piece, slot < 0),
            "category": decode_levels(CATEGORIES, orders.category[at]),
            "kind": decode_levels(("corrective", "preventive", "inspection"), orders.kind[at]),
            "priority": decode_levels(("low", "medium", "high", "critical"), orders.priority[at]),
            "status": decode_levels(("open", "in_progress", "on_hold", "completed", "cancelled"), status),
            "opened_at": opened,
            "scheduled_for": to_datetime(orders.planned[at], 9.0),
            "completed_at": to_datetime(closed, 20.0),
            "cost": money(orders.cost[at]).set(pl.Series(~ended), None),
            "known_at": opened,
        }
    )
    revised = ended & (rng.random(n) < REVISION_SHARE)
    first = pl.Series(revised)
    estimate = money(np.round(orders.cost[at] * rng.uniform(0.8, 1.2, n)))
    later = to_datetime(np.where(revised, done + 5, NEVER), 12.0)
    before = final.with_columns(cost=pl.when(first).then(estimate).otherwise(pl.col("cost")))
    after = final.with_columns(known_at=pl.Series(later)).filter(first & (pl.Series(later) <= END).fill_null(False))
    return build_table("work_orders", pl.concat([before, after.select(before.columns)]).to_dict())


SENSORS = {0: ("temperature", "vibration", "power"), 1: ("pressure", "water_flow"), 5: ("vibration", "power")}
SENSOR_MEAN = {"temperature": 14.0, "vibration": 2.2, "power": 3.5, "pressure": 380.0, "water_flow": 22.0}
SENSOR_SPREAD = {"temperature": 1.2, "vibration": 0.3, "power": 0.4, "pressure": 14.0, "water_flow": 2.2}
DRIFT_PER_STAGE = {"temperature": 0.8, "vibration": 1.1, "power": 0.7, "pressure": -0.9, "water_flow": -0.8}
"""Drift of a sensor a stage of decay, in its own spreads."""


def simulate_sensor_table(
    estate: Estate, machines: Machines, pieces: Pieces, span: Span, size: PortfolioSize, rng: np.random.Generator
) -> pl.DataFrame:
    """Readings of the window, every few days; a piece that is down gives none."""
    frames = []
    for kind, signals in SENSORS.items():
        slots = np.flatnonzero(estate.has_sensor & (estate.slot_kind == kind))
        offset = rng.integers(0, size.reading_days, len(slots))
        days = np.arange(span.window_day, span.end_day - size.reading_days, size.reading_days)
        day, slot = days[:, None] + offset, np.broadcast_to(slots, (len(days), len(slots)))
        row = day - span.window_day
        up = machines.down_until[row, slot] <= day
        stage = machines.stage[row, slot].astype(np.int8)[up]
        day, slot = day[up], slot[up]
        measurements = Measurements(slot, day, rng.integers(8, 240, len(day)) / 10, stage, pieces.in_slot(slot, day))
        for signal in signals:
            frames.append(_simulate_readings(estate, pieces, signal, measurements, rng))
    every = pl.concat(frames)
    return build_table("sensor_readings", every.to_dict()).filter(pl.col("known_at") <= END)


@dataclass(frozen=True)
class Measurements:
    """Where and when sensors are read: slot, day, hour, stage of decay and piece of equipment of each reading, (n,)."""

    slot: Array
    day: Array
    hour: Array
    stage: Array
    piece: Array


def _simulate_readings(
    estate: Estate, pieces: Pieces, signal: str, measurements: Measurements, rng: np.random.Generator
) -> pl.DataFrame:
    slot, day, hour = measurements.slot, measurements.day, measurements.hour
    n, spread = len(day), SENSOR_SPREAD[signal]
    own = SENSOR_MEAN[signal] * np.exp(rng.normal(0, 0.12, len(estate.slot_kind)))[slot]
    summer = np.cos(2 * np.pi * (day - 196) / 365.25) * (2.0 if signal in ("temperature", "power") else 0.3)
    wear = 0.25 * estate.usage[slot] * np.sign(DRIFT_PER_STAGE[signal])
    drift = np.minimum(measurements.stage, STAGES) * DRIFT_PER_STAGE[signal] * rng.lognormal(0, 0.35, n)
    value = np.round(own + spread * (0.5 * summer + wear + drift + rng.standard_normal(n)), 3)
    value = value if signal == "temperature" else np.maximum(value, 0.0)
    delay = np.where(rng.random(n) < 0.1, rng.integers(1, 12, n), 0.0)
    return pl.DataFrame(
        {
            "equipment_id": gather_names(pieces.names, measurements.piece),
            "measured_at": to_datetime(day, hour),
            "kind": pl.Series([signal]).new_from_index(0, n),
            "value": value,
            "quality": np.round(1 - rng.beta(1, 20, n), 3),
            "known_at": to_datetime(day, hour + delay),
        }
    )
