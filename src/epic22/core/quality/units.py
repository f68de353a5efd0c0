"""Values in another unit: a share of a column that a known conversion explains and its own past or its peers do not."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from epic22.core.quality.finding import DeclaredTables, Finding, format_share

MIN_OUTLIER_DISTANCE = 4.0
"""A value this many robust standard deviations from its reference is not explained by it."""

MAX_FIT_DISTANCE = 2.5
MIN_VALUES = 10
MIN_LOG_SPREAD = 0.1
MIN_SHARE = 0.001
MIN_PEERS = 8


@dataclass(frozen=True)
class Conversion:
    """A unit that a quantity is also given in: `back` turns a value in `other` into `proper`."""

    proper: str
    other: str
    back: Callable[[pl.Expr], pl.Expr]


def _multiply_by(factor: float) -> Callable[[pl.Expr], pl.Expr]:
    return lambda value: value * factor


PERCENT = Conversion("a fraction", "percent", _multiply_by(0.01))
READING_CONVERSIONS: dict[str, tuple[Conversion, ...]] = {
    "temperature": (Conversion("°C", "°F", lambda v: (v - 32) / 1.8), Conversion("°C", "K", lambda v: v - 273.15)),
    "humidity": (PERCENT,),
    "vibration": (Conversion("mm/s", "inch/s", _multiply_by(25.4)), Conversion("mm/s", "m/s", _multiply_by(1000))),
    "pressure": (Conversion("kPa", "psi", _multiply_by(6.894757)), Conversion("kPa", "bar", _multiply_by(100))),
    "power": (Conversion("kW", "W", _multiply_by(0.001)),),
    "energy": (Conversion("kWh", "Wh", _multiply_by(0.001)),),
    "water_flow": (
        Conversion("l/min", "gallons/min", _multiply_by(3.785412)),
        Conversion("l/min", "m³/h", _multiply_by(1000 / 60)),
    ),
}
COLUMN_CONVERSIONS: dict[tuple[str, str], tuple[Conversion, ...]] = {
    ("units", "area_sqft"): (Conversion("sq ft", "m²", _multiply_by(10.7639)),),
    ("leases", "monthly_rent"): (
        Conversion("units of money", "cents", _multiply_by(0.01)),
        Conversion("a month", "a year", _multiply_by(1 / 12)),
    ),
    ("charges", "amount"): (Conversion("units of money", "cents", _multiply_by(0.01)),),
    ("market", "average_rent"): (Conversion("units of money", "cents", _multiply_by(0.01)),),
    ("market", "vacancy_rate"): (PERCENT,),
    ("sensor_readings", "quality"): (PERCENT,),
}
GROUP_COLUMNS = {"market": ("zip_code", "bedrooms"), "charges": ("lease_id", "kind")}
"""Whose other values a value is compared with; the whole column elsewhere."""

SERIES_COLUMNS = ("equipment_id", "kind")


def audit_units(declared: DeclaredTables) -> tuple[DeclaredTables, tuple[Finding, ...]]:
    """Sensor readings against their own series and their peers; other quantities against their group.

    Returns the tables with readings put back into their proper unit, so that later checks do not tell the same again.
    """
    all_findings: list[Finding | None] = []
    if declared.has_columns("sensor_readings", *SERIES_COLUMNS, "value", "measured_at"):
        declared, findings = _audit_readings(declared)
        all_findings += findings
    for (table, column), conversions in COLUMN_CONVERSIONS.items():
        groups = GROUP_COLUMNS.get(table, ())
        if declared.has_columns(table, column, *groups):
            values = declared.frames[table].select(*groups, pl.col(column).cast(pl.Float64).alias("value")).drop_nulls()
            all_findings.append(_check_column(values, table, column, conversions, groups))
    return declared, tuple(finding for finding in all_findings if finding is not None)


def _audit_readings(declared: DeclaredTables) -> tuple[DeclaredTables, list[Finding]]:
    readings, findings = declared.frames["sensor_readings"].with_row_index("row"), []
    repaired = readings
    for kind in readings["kind"].unique().sort():
        values = _add_equipment(declared, readings.filter((pl.col("kind") == kind) & pl.col("value").is_not_null()))
        for conversion in READING_CONVERSIONS.get(kind, ()):
            wrong = _fits_conversion(_compare_with_peers(values, ["made"], "equipment_id"), conversion)
            wrong |= _fits_conversion(_compare_with_group(values, ["equipment_id"]), conversion)
            finding = _build_finding(values, wrong, f"{kind} readings", "sensor_readings", "value", conversion)
            if finding is not None:
                findings.append(finding)
                hit = pl.col("row").is_in(values.filter(wrong)["row"].implode())
                back = pl.when(hit).then(conversion.back(pl.col("value"))).otherwise(pl.col("value"))
                repaired = repaired.with_columns(back.alias("value"))
                break
    return DeclaredTables({**declared.frames, "sensor_readings": repaired.drop("row")}, declared.absent), findings


def _add_equipment(declared: DeclaredTables, readings: pl.DataFrame) -> pl.DataFrame:
    """Readings with `property_id` and `made`, the kind of their equipment; null where equipment says nothing."""
    values = readings.select("row", "equipment_id", "measured_at", "value")
    if not declared.has_columns("equipment", "equipment_id", "kind", "property_id"):
        nothing = pl.lit(None, dtype=pl.String)
        return values.with_columns(nothing.alias("property_id"), nothing.alias("made"))
    equipment = declared.frames["equipment"].unique("equipment_id")
    equipment_kinds = equipment.select("equipment_id", "property_id", pl.col("kind").alias("made"))
    return values.join(equipment_kinds, on="equipment_id", how="left", maintain_order="left")


def _check_column(
    values: pl.DataFrame, table: str, column: str, conversions: tuple[Conversion, ...], groups: tuple[str, ...]
) -> Finding | None:
    for conversion in conversions:
        wrong = _fits_conversion(_compare_with_group(values, list(groups), logarithmic=True), conversion, logarithmic=True)
        finding = _build_finding(values, wrong, f"values of {column}", table, column, conversion)
        if finding is not None:
            return finding
    return None


def _compare_with_group(values: pl.DataFrame, groups: list[str], logarithmic: bool = False) -> pl.DataFrame:
    """[value, centre, spread]: the median and the robust standard deviation of the value's group.

    Of logarithms where asked: rents and areas spread by factors, and a dear one is no other unit.
    """
    by = [pl.col(name) for name in groups] or [pl.lit(0)]
    level = pl.when(pl.col("value") > 0).then(pl.col("value").log()) if logarithmic else pl.col("value")
    centre = values.with_columns(level.alias("level")).with_columns(pl.col("level").median().over(by).alias("centre"))
    spread = (pl.col("level") - pl.col("centre")).abs().median().over(by) * 1.4826
    floored = pl.max_horizontal(spread, pl.lit(MIN_LOG_SPREAD)) if logarithmic else _floor_spread(spread, pl.col("centre"))
    return centre.with_columns(floored.alias("spread"))


def _compare_with_peers(values: pl.DataFrame, groups: list[str], series: str) -> pl.DataFrame:
    """[value, centre, spread] where a series stands far from the series of its group: all its values are shifted alike."""
    each = values.group_by(*groups, series).agg(pl.col("value").median().alias("level"))
    each = each.with_columns(pl.col("level").median().over(groups).alias("centre"), pl.len().over(groups).alias("peers"))
    spread = (pl.col("level") - pl.col("centre")).abs().median().over(groups) * 1.4826
    each = each.with_columns(_floor_spread(spread, pl.col("centre")).alias("spread"))
    each = each.with_columns(pl.when(pl.col("peers") >= MIN_PEERS).then("spread").alias("spread"))
    return values.join(each, on=[*groups, series], how="left", nulls_equal=True, maintain_order="left").with_columns(
        value="level"
    )


def _floor_spread(spread: pl.Expr, centre: pl.Expr) -> pl.Expr:
    """A spread of zero (a constant) would make every rounding an outlier."""
    return pl.max_horizontal(spread, centre.abs() * 0.02, pl.lit(1e-9))


def _fits_conversion(frame: pl.DataFrame, conversion: Conversion, logarithmic: bool = False) -> pl.Series:
    """Rows far from their reference as they are, and near it when converted."""

    def measure_distance(value: pl.Expr) -> pl.Expr:
        scaled = pl.when(value > 0).then(value.log()) if logarithmic else value
        return (scaled - pl.col("centre")).abs() / pl.col("spread")

    far, near = (
        measure_distance(pl.col("value")) > MIN_OUTLIER_DISTANCE,
        measure_distance(conversion.back(pl.col("value"))) < MAX_FIT_DISTANCE,
    )
    return frame.select((far & near).fill_null(value=False)).to_series()


def _build_finding(
    values: pl.DataFrame, wrong: pl.Series, what: str, table: str, column: str, conversion: Conversion
) -> Finding | None:
    hits = values.filter(wrong)
    if hits.height < max(MIN_VALUES, MIN_SHARE * values.height):
        return None
    level, back = hits.select(pl.col("value").median(), conversion.back(pl.col("value")).median().alias("back")).row(0)
    usual = values.filter(~wrong).select(pl.col("value").median()).item()
    evidence = (
        f"{format_share(hits.height, values.height)} of the {what} are far from their reference (median {level:.4g} against "
        f"{usual:.4g}) and fit it when read as {conversion.other} instead of {conversion.proper} "
        f"(median {back:.4g}){_describe_place(hits, values)}."
    )
    return Finding(table, column, "unit change", evidence)


def _describe_place(hits: pl.DataFrame, values: pl.DataFrame) -> str:
    """The property or the time to which the wrong values are confined."""
    if "property_id" not in hits.columns:
        return ""
    places = hits["property_id"].drop_nulls().unique().sort()
    text = f"; property {places[0]}" if len(places) == 1 else ""
    first, begin = hits.select(pl.col("measured_at").min()).item(), values.select(pl.col("measured_at").min()).item()
    return f"{text}; from {first:%Y-%m-%d}" if first != begin else text
