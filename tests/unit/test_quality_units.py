"""Values in another unit: what is recognised, what is put back, and what is left alone.

Broken once on purpose: with `MAX_FIT_DISTANCE = 99` the first conversion that is tried explains every outlier.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from epic22.core.quality.finding import DeclaredTables, Finding, cast_to_contract
from epic22.core.quality.units import COLUMN_CONVERSIONS, MIN_VALUES, READING_CONVERSIONS, audit_units
from epic22.core.tables.canonical import get_canonical_table
from epic22.core.task import Array

T0 = datetime(2024, 1, 1)
LEVELS = {
    "temperature": 45.0,
    "humidity": 0.45,
    "vibration": 3.0,
    "pressure": 300.0,
    "power": 5.0,
    "energy": 40.0,
    "water_flow": 12.0,
}
FORWARD = {
    ("temperature", "°F"): lambda v: v * 1.8 + 32,
    ("temperature", "K"): lambda v: v + 273.15,
    ("humidity", "percent"): lambda v: v * 100,
    ("vibration", "inch/s"): lambda v: v / 25.4,
    ("vibration", "m/s"): lambda v: v / 1000,
    ("pressure", "psi"): lambda v: v / 6.894757,
    ("pressure", "bar"): lambda v: v / 100,
    ("power", "W"): lambda v: v * 1000,
    ("energy", "Wh"): lambda v: v * 1000,
    ("water_flow", "gallons/min"): lambda v: v / 3.785412,
    ("water_flow", "m³/h"): lambda v: v * 60 / 1000,
}
CASES = [(kind, conversion.other) for kind, conversions in READING_CONVERSIONS.items() for conversion in conversions]


def readings(kind: str, n: int = 200, sensors: int = 2, seed: int = 0) -> pl.DataFrame:
    """Daily readings with a scatter of 3 %, one sensor after another."""
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "equipment_id": np.repeat([f"E{i}" for i in range(sensors)], n),
            "measured_at": [T0 + timedelta(days=i % n) for i in range(n * sensors)],
            "kind": kind,
            "value": LEVELS[kind] * (1 + 0.03 * rng.normal(size=n * sensors)),
            "quality": 1.0,
        }
    )
    return cast_to_contract(frame.with_columns(known_at=pl.col("measured_at")), get_canonical_table("sensor_readings"))


def convert(frame: pl.DataFrame, kind: str, other: str, rows: Array) -> pl.DataFrame:
    values = frame["value"].to_numpy().copy()
    values[rows] = FORWARD[kind, other](values[rows])
    return frame.with_columns(value=pl.Series(values))


def audit(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    absent = frozenset({("equipment", "kind")})
    declared, findings = audit_units(DeclaredTables({"sensor_readings": frame}, absent))
    return declared.frames["sensor_readings"], findings


def test_every_conversion_has_a_case_here() -> None:
    assert set(CASES) == set(FORWARD)


@pytest.mark.parametrize(("kind", "other"), CASES)
def test_readings_in_another_unit_are_found_and_put_back(kind: str, other: str) -> None:
    sound = readings(kind)
    rows = np.arange(170, 200)
    repaired, findings = audit(convert(sound, kind, other, rows))
    assert [(f.table, f.column, f.what) for f in findings] == [("sensor_readings", "value", "unit change")]
    assert f"30 of 400 rows (7.5%) of the {kind} readings" in findings[0].evidence
    assert f"when read as {other} instead of" in findings[0].evidence
    assert "from 2024-06-19" in findings[0].evidence
    assert np.allclose(repaired["value"].to_numpy(), sound["value"].to_numpy())


@pytest.mark.parametrize("kind", LEVELS)
def test_readings_in_their_unit_are_left_alone(kind: str) -> None:
    repaired, findings = audit(readings(kind))
    assert findings == ()
    assert repaired.equals(readings(kind))


def test_fewer_than_ten_converted_readings_are_not_reported() -> None:
    few = convert(readings("pressure"), "pressure", "psi", np.arange(MIN_VALUES - 1))
    enough = convert(readings("pressure"), "pressure", "psi", np.arange(MIN_VALUES))
    assert audit(few)[1] == ()
    assert audit(few)[0].equals(few)
    assert len(audit(enough)[1]) == 1


def test_an_outlier_that_no_conversion_explains_is_no_change_of_unit() -> None:
    values = readings("pressure")["value"].to_numpy().copy()
    values[:40] *= 1.9
    assert audit(readings("pressure").with_columns(value=pl.Series(values)))[1] == ()


def test_a_whole_sensor_in_another_unit_is_found_among_its_peers() -> None:
    frame = readings("temperature", n=30, sensors=10)
    rows = np.flatnonzero((frame["equipment_id"] == "E7").to_numpy())
    equipment = pl.DataFrame(
        {
            "equipment_id": [f"E{i}" for i in range(10)],
            "kind": "hvac",
            "property_id": ["P1" if i == 7 else "P0" for i in range(10)],
        }
    )
    tables = {"sensor_readings": convert(frame, "temperature", "°F", rows), "equipment": equipment}
    repaired, findings = audit_units(DeclaredTables(tables))
    assert [f.what for f in findings] == ["unit change"]
    assert "; property P1" in findings[0].evidence
    assert np.allclose(repaired.frames["sensor_readings"]["value"].to_numpy(), frame["value"].to_numpy())


def test_with_seven_peers_a_sensor_that_is_wrong_throughout_is_not_judged() -> None:
    frame = readings("temperature", n=30, sensors=7)
    rows = np.flatnonzero((frame["equipment_id"] == "E5").to_numpy())
    equipment = pl.DataFrame({"equipment_id": [f"E{i}" for i in range(7)], "kind": "hvac", "property_id": "P0"})
    tables = {"sensor_readings": convert(frame, "temperature", "°F", rows), "equipment": equipment}
    assert audit_units(DeclaredTables(tables))[1] == ()


def test_a_constant_series_does_not_take_a_rounding_for_another_unit() -> None:
    frame = readings("power").with_columns(value=pl.lit(5.0))
    rounded = frame.with_columns(value=pl.when(pl.int_range(pl.len()) % 7 == 0).then(5.05).otherwise(pl.col("value")))
    assert audit(rounded)[1] == ()


def column_frame(table: str, column: str, level: float, n: int = 400) -> pl.DataFrame:
    """A column that spreads by a fifth, in two groups of each column that could be a group."""
    rng = np.random.default_rng(4)
    groups = {name: pl.Series(["a", "b"] * (n // 2)) for name in ("zip_code", "lease_id", "kind")}
    if table == "market":
        groups["bedrooms"] = pl.Series([1, 2] * (n // 2))
    return pl.DataFrame({**groups, column: level * np.exp(0.2 * rng.normal(size=n)).clip(0.5, 2.0)})


@pytest.mark.parametrize(("table", "column"), [key for key in COLUMN_CONVERSIONS if key != ("sensor_readings", "quality")])
def test_other_quantities_in_another_unit_are_found_by_their_logarithms(table: str, column: str) -> None:
    level = {"area_sqft": 800.0, "vacancy_rate": 0.05}.get(column, 1400.0)
    sound = column_frame(table, column, level)
    absent = frozenset((table, other) for _, other in COLUMN_CONVERSIONS if other != column)
    assert audit_units(DeclaredTables({table: sound}, absent))[1] == ()
    for conversion in COLUMN_CONVERSIONS[table, column]:
        factor = 1 / float(pl.select(conversion.back(pl.lit(1.0))).item())
        mixed = sound.with_columns(
            pl.when(pl.int_range(pl.len()) % 20 < 2).then(pl.col(column) * factor).otherwise(pl.col(column)).alias(column)
        )
        findings = audit_units(DeclaredTables({table: mixed}, absent))[1]
        assert [(f.table, f.column, f.what, f.grave) for f in findings] == [(table, column, "unit change", True)]
        assert f"read as {conversion.other} instead of {conversion.proper}" in findings[0].evidence


def test_tables_that_lack_the_columns_are_passed_over() -> None:
    declared = DeclaredTables({"units": pl.DataFrame({"unit_id": ["U1"]})}, frozenset({("units", "area_sqft")}))
    assert audit_units(declared) == (declared, ())
