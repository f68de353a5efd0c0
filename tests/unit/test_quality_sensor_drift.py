"""Sensors that leave their level: which are blamed, since when, and which are excused.

Broken once on purpose: with `PRECURSOR_DAYS = 0` the weeks before repairs count against the sensor.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from epic22.core.quality.finding import DeclaredTables, Finding
from epic22.core.quality.sensor_drift import MIN_DAYS, audit_drift
from epic22.core.task import Array

LAST = datetime(2024, 6, 1)


@dataclass(frozen=True)
class Sensors:
    """Daily values (series, days) up to `LAST` of sensors on equipment of one kind."""

    values: Array
    kind: str = "vibration"

    def shift(self, row: int, days: int, by: float) -> "Sensors":
        values = self.values.copy()
        values[row, -days:] += by
        return replace(self, values=values)

    def frame(self) -> pl.DataFrame:
        n, days = self.values.shape
        measured = [LAST - timedelta(days=days - 1 - day) for day in range(days)]
        frame = pl.DataFrame(
            {
                "equipment_id": np.repeat([f"E{i}" for i in range(n)], days),
                "measured_at": measured * n,
                "kind": self.kind,
                "value": self.values.ravel(),
            }
        )
        return frame.filter(pl.col("value").is_finite())

    def declare(self, orders: list[tuple[str, datetime]] | None = None) -> DeclaredTables:
        n = len(self.values)
        equipment = pl.DataFrame({"equipment_id": [f"E{i}" for i in range(n)], "kind": ["hvac"] * n})
        frames = {"sensor_readings": self.frame(), "equipment": equipment}
        if orders is None:
            return DeclaredTables(frames)
        work_orders = pl.DataFrame(
            {
                "equipment_id": [machine for machine, _ in orders],
                "opened_at": [opened for _, opened in orders],
                "kind": ["corrective"] * len(orders),
                "priority": ["high"] * len(orders),
            },
            schema={"equipment_id": pl.String, "opened_at": pl.Datetime("us"), "kind": pl.String, "priority": pl.String},
        )
        return DeclaredTables(frames | {"work_orders": work_orders})


def sound(series: int = 8, days: int = 700, seed: int = 0) -> Sensors:
    """Independent noise of standard deviation 1 about levels of their own."""
    rng = np.random.default_rng([seed, 3])
    return Sensors(10.0 * np.arange(1, series + 1)[:, None] + rng.normal(size=(series, days)))


def blamed(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    """What was found of which equipment."""
    return [(finding.what, finding.evidence.split(" of ")[1].split(" ")[0]) for finding in findings]


@pytest.mark.parametrize("seed", range(4))
def test_steady_sensors_are_not_accused(seed: int) -> None:
    assert audit_drift(sound(seed=seed).declare()) == ()


def test_a_shift_that_stays_for_months_is_a_drift_of_that_sensor() -> None:
    findings = audit_drift(sound().shift(3, 180, 1.5).declare([]))
    assert blamed(findings) == [("sensor drift", "E3")]
    assert (findings[0].table, findings[0].column, findings[0].grave) == ("sensor_readings", "value", True)
    assert "to 2024-06-01" in findings[0].evidence
    assert "it has stayed so for" in findings[0].evidence


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_shift_downward_counts_like_one_upward(sign: float) -> None:
    (finding,) = audit_drift(sound().shift(0, 200, sign * 1.2).declare([]))
    assert finding.what == "sensor drift"
    assert f"lies {'+' if sign > 0 else '-'}" in finding.evidence


def test_a_shift_of_less_than_the_least_that_matters_is_left_alone() -> None:
    assert audit_drift(sound(days=790).shift(2, 240, 0.2).declare([])) == ()


def test_a_change_that_all_peers_make_is_not_the_sensor_s() -> None:
    sensors = sound()
    for row in range(8):
        sensors = sensors.shift(row, 180, 1.5)
    assert [finding.what for finding in audit_drift(sensors.declare([]))] in ([], ["drift of a kind"])


def test_a_shift_of_the_last_two_months_may_be_wear_and_is_not_grave() -> None:
    findings = audit_drift(sound().shift(4, 60, 2.0).declare([]))
    assert blamed(findings) == [("drift before a failure", "E4")]
    assert not findings[0].grave
    assert "no work order was opened" in findings[0].evidence


def test_a_work_order_in_the_window_is_named_beside_the_drift() -> None:
    opened = LAST - timedelta(days=200)
    late = LAST - timedelta(days=5)
    findings = audit_drift(sound().shift(4, 60, 2.0).declare([("E4", opened), ("E1", late)]))
    assert blamed(findings) == [("drift before a failure", "E4")]
    assert "no work order was opened" in findings[0].evidence
    # Two days before the end, the order excuses the month before it and no more: the shift of two months is still seen.
    values = sound().shift(4, 60, 2.0).values.copy()
    findings = audit_drift(Sensors(values).shift(4, 75, 1.0).declare([("E4", LAST - timedelta(days=50))]))
    assert blamed(findings) == [("drift before a failure", "E4")]
    assert "a work order was opened on 2024-04-12" in findings[0].evidence


def test_the_month_before_an_urgent_repair_is_not_held_against_the_sensor() -> None:
    rng = np.random.default_rng(7)
    repairs = [LAST - timedelta(days=int(day)) for day in (10, 45, 80, 115, 150)]
    values = sound().values.copy()
    for repair in repairs:
        end = values.shape[1] - (LAST - repair).days
        values[5, end - 25 : end] += 2.0 + 0.1 * rng.normal(size=25)
    worn = Sensors(values)
    assert [finding.what for finding in audit_drift(worn.declare())] != []
    assert audit_drift(worn.declare([("E5", repair) for repair in repairs])) == ()


def test_less_than_four_months_of_readings_are_not_judged() -> None:
    short = Sensors(sound().values[:, : MIN_DAYS - 1]).shift(1, 60, 5.0)
    assert audit_drift(short.declare([])) == ()


def test_a_kind_of_sensors_that_moves_together_in_the_last_weeks_is_reported_as_a_kind() -> None:
    sensors = sound(series=12, days=300)
    for row in range(12):
        sensors = sensors.shift(row, 14, 2.0)
    findings = audit_drift(sensors.declare([]))
    assert [finding.what for finding in findings] == ["drift of a kind"]
    assert "12 vibration sensors moved by +" in findings[0].evidence
    assert "against the fortnights before" in findings[0].evidence


def test_a_season_that_returns_is_not_a_drift_of_the_kind() -> None:
    sensors = sound(series=12, days=790)
    wave = 3.0 * np.sin(2 * np.pi * np.arange(790) / 364)
    assert [f.what for f in audit_drift(Sensors(sensors.values + wave[None, :]).declare([]))] == []


def test_missing_days_and_the_order_of_rows_change_no_verdict() -> None:
    sensors = sound().shift(3, 180, 1.5)
    rng = np.random.default_rng(1)
    values = np.where(rng.uniform(size=sensors.values.shape) < 0.2, np.nan, sensors.values)
    gappy = Sensors(values).declare([])
    shuffled = {**gappy.frames, "sensor_readings": gappy.frames["sensor_readings"].sample(fraction=1.0, shuffle=True, seed=3)}
    assert blamed(audit_drift(gappy)) == [("sensor drift", "E3")]
    assert audit_drift(DeclaredTables(shuffled)) == audit_drift(gappy)


def test_each_kind_of_sensor_is_judged_for_itself() -> None:
    moved, steady = sound().shift(3, 180, 1.5).frame(), replace(sound(seed=9), kind="pressure").frame()
    both = pl.concat([moved, steady])
    findings = audit_drift(DeclaredTables({**sound().declare([]).frames, "sensor_readings": both}))
    assert blamed(findings) == [("sensor drift", "E3")]
    assert "vibration" in findings[0].evidence


def test_readings_without_a_value_or_a_table_are_passed_over() -> None:
    declared = sound().declare([])
    empty = declared.frames["sensor_readings"].with_columns(value=pl.lit(None, dtype=pl.Float64))
    assert audit_drift(DeclaredTables({"sensor_readings": empty})) == ()
    assert audit_drift(DeclaredTables({})) == ()
    assert audit_drift(DeclaredTables(declared.frames, frozenset({("sensor_readings", "value")}))) == ()
