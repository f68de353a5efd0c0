"""Sensors that drift: one against its peers and its own past, or a whole kind against the same season a year before.

Equipment that wears makes its sensors drift too, for days or weeks, until it fails or is mended. So a sensor is blamed only for a
shift that is older than a precursor and stays for months, whatever work orders came in between.
"""

import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import scipy

from epic22.core.quality.finding import SIGNIFICANCE, DeclaredTables, Finding
from epic22.core.task import Array

MAX_DAYS = 800
"""How far back daily means are looked at."""

WINDOW_DAYS = (60, 120, 180, 240)
"""A sensor is compared with its past over this many days."""

PRECURSOR_DAYS = 30
"""A precursor of a failure lasts up to about this many days; a drift must be older."""

STAY_DAYS, MIN_STAY_SHARE = 60, 0.35
"""A drift lasts if every stretch of this many days holds at least this share of the shift; decays come and go within them."""

BLOCK_DAYS = 14
YEAR_DAYS = 26 * BLOCK_DAYS
MIN_DAYS = 120
SENSOR_SIGNIFICANCE = 3e-4
"""The chance of one false drift over all sensors and windows together."""

MIN_SHIFT = 0.4
"""Smaller shifts, in the sensor's own standard deviations, are left alone however sure they are."""

MIN_SERIES = 4
MIN_READINGS = 8
CLIP = 2.5
"""Readings beyond this many standard deviations count as that: a decay of days must not pass for a shift of months."""


@dataclass(frozen=True)
class DailyMeans:
    """Daily means of one kind of sensor: `values` (series, days), NaN where none; `equipment` (series,); `equipment_kind`
    (series,)."""

    values: Array
    equipment: Array
    equipment_kind: Array
    last: datetime

    @property
    def spread(self) -> Array:
        """Each series' standard deviation, (series, 1)."""
        return np.asarray(_reduce_quietly(np.nanstd, self.values))[:, None]


def audit_drift(declared: DeclaredTables) -> tuple[Finding, ...]:
    """Sensors, and kinds of sensors, that left their level in the last weeks."""
    if not declared.has_columns("sensor_readings", "equipment_id", "kind", "measured_at", "value"):
        return ()
    readings = declared.frames["sensor_readings"].filter(pl.col("value").is_not_null() & pl.col("measured_at").is_not_null())
    equipment_kinds = _read_equipment_kinds(declared)
    by_kind = [
        (kind, _compute_daily_means(readings.filter(pl.col("kind") == kind), equipment_kinds))
        for kind in readings["kind"].unique().sort()
    ]
    n_series = sum(daily.values.shape[0] for _, daily in by_kind)
    findings: list[Finding] = []
    for kind, daily in by_kind:
        if daily.values.shape[1] < MIN_DAYS:
            continue
        findings += _check_kind_drift(kind, daily, len(by_kind))
        findings += _check_sensor_drift(kind, daily, n_series, declared)
    return tuple(findings)


def _read_equipment_kinds(declared: DeclaredTables) -> pl.DataFrame:
    if declared.has_columns("equipment", "equipment_id", "kind"):
        return declared.frames["equipment"].select("equipment_id", pl.col("kind").alias("made")).unique("equipment_id")
    return pl.DataFrame(schema={"equipment_id": pl.String, "made": pl.String})


def _compute_daily_means(readings: pl.DataFrame, equipment_kinds: pl.DataFrame) -> DailyMeans:
    last = readings["measured_at"].max()
    assert isinstance(last, datetime)
    day = ((pl.lit(last) - pl.col("measured_at")).dt.total_days()).alias("day")
    means = (
        readings.with_columns(day).filter(pl.col("day") < MAX_DAYS).group_by("equipment_id", "day").agg(pl.col("value").mean())
    )
    names = means.select("equipment_id").unique().join(equipment_kinds, on="equipment_id", how="left").sort("equipment_id")
    rows = means.join(names.with_row_index("row"), on="equipment_id")
    width = int(means["day"].max()) + 1  # type: ignore[arg-type]
    values = np.full((names.height, width), np.nan)
    values[rows["row"].to_numpy(), width - 1 - rows["day"].to_numpy()] = rows["value"].to_numpy()
    return DailyMeans(values, names["equipment_id"].to_numpy(), names["made"].fill_null("").to_numpy(), last)


def _reduce_quietly(reduce, values: Array, axis: int = 1) -> Array:  # type: ignore[no-untyped-def]
    """A reduction that ignores NaN, without numpy's warning of slices that hold nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(reduce(values, axis=axis))


def _compute_block_means(values: Array, days: int = BLOCK_DAYS) -> Array:
    """Means of blocks of days, aligned to the end: (series, blocks)."""
    n = values.shape[1] // days
    return _reduce_quietly(np.nanmean, values[:, values.shape[1] - n * days :].reshape(values.shape[0], n, days), axis=2)


def _check_kind_drift(kind: str, daily: DailyMeans, n_kinds: int) -> list[Finding]:
    """The middle half of all sensors of a kind, against the same weeks a year before where there are two years."""
    if daily.values.shape[0] < MIN_SERIES:
        return []
    scaled = (daily.values - _reduce_quietly(np.nanmedian, daily.values)[:, None]) / np.maximum(daily.spread, 1e-12)
    level = _compute_midmean(_compute_block_means(scaled))
    yearly = len(level) >= 2 * (YEAR_DAYS // BLOCK_DAYS)
    moved = _subtract_last_year(level) if yearly else level
    past = moved[:-3]
    past = past[np.isfinite(past)]
    if len(past) < 6 or not np.isfinite(moved[-1]):
        return []
    shift = moved[-1] - np.median(past)
    spread = past.std(ddof=1) * np.sqrt(1 + 1 / len(past))
    p_value = 2 * scipy.stats.t.sf(abs(shift) / max(spread, 1e-9), len(past) - 1) * n_kinds
    if p_value > SIGNIFICANCE or abs(shift) < MIN_SHIFT:
        return []
    against = "the same weeks a year before" if yearly else "the fortnights before"
    evidence = (
        f"the middle half of {daily.values.shape[0]:,} {kind} sensors moved by {shift:+.2f} standard deviations in the "
        f"{BLOCK_DAYS} days to {daily.last:%Y-%m-%d}, against {against} "
        f"(which differ by {spread:.2f}; chance {max(p_value, 1e-99):.0e})."
    )
    return [Finding("sensor_readings", "value", "drift of a kind", evidence)]


def _compute_midmean(levels: Array) -> Array:
    """The mean of the middle half of the sensors in each block, (blocks,): robust as a median is, and less noisy."""
    low, high = _reduce_quietly(lambda values, axis: np.nanpercentile(values, [25, 75], axis=axis), levels, axis=0)
    return _reduce_quietly(np.nanmean, np.where((levels >= low) & (levels <= high), levels, np.nan), axis=0)


def _subtract_last_year(level: Array) -> Array:
    """Each block less the three blocks around the same weeks a year before; the first year has no figure."""
    year = YEAR_DAYS // BLOCK_DAYS
    around = _reduce_quietly(np.nanmean, np.stack([level[:-2], level[1:-1], level[2:]]), axis=0)
    return np.asarray(level[year + 1 :] - around[: len(level) - year - 1])


def _check_sensor_drift(kind: str, daily: DailyMeans, n_series: int, declared: DeclaredTables) -> list[Finding]:
    """Single sensors, still read, whose last weeks lie off their level more than such weeks do by themselves in any sensor."""
    own = _remove_decays(_remove_common_changes(daily), daily, declared)
    noise = np.maximum(1.4826 * _reduce_quietly(np.nanmedian, np.abs(own))[:, None], 1e-12)
    scaled = np.clip(own / noise, -CLIP, CLIP)
    inflation, alive = _estimate_inflation(scaled), np.isfinite(scaled[:, -BLOCK_DAYS:]).any(axis=1)
    findings: dict[int, Finding] = {}
    for window in (w for w in WINDOW_DAYS if w + MIN_DAYS <= scaled.shape[1]):
        shift, error = _compute_shift(scaled[:, -window:], scaled[:, :-window])
        old, _ = _compute_shift(scaled[:, -window:-PRECURSOR_DAYS], scaled[:, :-window])
        p_values = 2 * scipy.stats.norm.sf(np.abs(shift) / (error * inflation)) * n_series * len(WINDOW_DAYS)
        sure = (
            alive & (p_values < SENSOR_SIGNIFICANCE) & (np.abs(shift) > MIN_SHIFT) & (old * np.sign(shift) > 0.6 * np.abs(shift))
        )
        for i in np.flatnonzero(sure):
            words = (
                f"the {kind} sensor of {daily.equipment[i]} lies {shift[i]:+.2f} of its standard deviations off its level in the "
                f"{window} days to {daily.last:%Y-%m-%d}, its peers' changes taken out (usual: ±{error[i] * inflation:.2f}; "
                f"chance {max(p_values[i], 1e-99):.0e})"
            )
            order = _find_last_order(declared, str(daily.equipment[i]), daily.last, window)
            finding = _build_finding(words, scaled[i, -window:], float(shift[i]), order)
            if finding.grave or int(i) not in findings:
                findings[int(i)] = finding
    return list(findings.values())


def _compute_shift(window: Array, past: Array) -> tuple[Array, Array]:
    """Mean of the window less the mean of the past, and its standard error for independent readings; NaN where too few."""
    n, m = np.isfinite(window).sum(axis=1), np.isfinite(past).sum(axis=1)
    enough = (n >= MIN_READINGS) & (m >= 2 * MIN_READINGS)
    difference = _reduce_quietly(np.nanmean, window) - _reduce_quietly(np.nanmean, past)
    return np.where(enough, difference, 0.0), np.sqrt(1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))


def _estimate_inflation(scaled: Array) -> float:
    """How many times the means of two months spread more than those of independent readings would; at least 1."""
    width = 60
    n = scaled.shape[1] // width
    blocks = scaled[:, scaled.shape[1] - n * width :].reshape(scaled.shape[0], n, width)
    means, counts = _reduce_quietly(np.nanmean, blocks, axis=2), np.isfinite(blocks).sum(axis=2)
    centred = (means - _reduce_quietly(np.nanmedian, means)[:, None]) * np.sqrt(np.maximum(counts, 1))
    known = centred[(counts >= MIN_READINGS) & np.isfinite(centred)]
    return max(1.0, 1.4826 * float(np.median(np.abs(known))) / (1 - 1 / max(n, 2)) ** 0.5) if len(known) > 20 else 2.0


def _remove_common_changes(daily: DailyMeans) -> Array:
    """Each series about its median, less the median of its peers (sensors on the same kind of equipment) in the same week."""
    centred = daily.values - _reduce_quietly(np.nanmedian, daily.values)[:, None]
    week = (np.arange(centred.shape[1]) - centred.shape[1]) // 7
    own = centred.copy()
    for peer_kind in np.unique(daily.equipment_kind):
        rows = np.flatnonzero(daily.equipment_kind == peer_kind)
        if len(rows) < MIN_SERIES:
            continue
        for w in np.unique(week):
            values = centred[np.ix_(rows, np.flatnonzero(week == w))]
            if np.isfinite(values).any():
                own[np.ix_(rows, np.flatnonzero(week == w))] -= np.nanmedian(values)
    return own


def _remove_decays(own: Array, daily: DailyMeans, declared: DeclaredTables) -> Array:
    """The readings less those of the month before each urgent repair: two failures in a few months look like one long drift."""
    if not declared.has_columns("work_orders", "equipment_id", "opened_at", "kind", "priority"):
        return own
    urgent = (pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"])
    place = pl.DataFrame({"equipment_id": daily.equipment, "row": np.arange(len(daily.equipment))})
    orders = declared.frames["work_orders"].filter(urgent).join(place, on="equipment_id")
    day = (pl.col("opened_at") - pl.lit(daily.last)).dt.total_days() + own.shape[1]
    for row, end in orders.select("row", day).unique().iter_rows():
        own[row, max(end - PRECURSOR_DAYS, 0) : max(end + 1, 0)] = np.nan
    return own


def _build_finding(words: str, window_values: Array, shift: float, order: datetime | None) -> Finding:
    """Blame the sensor where the shift lasts through every two months of a window of at least four; else it may be a decay.

    `order` is when the last work order of the equipment was opened within the window.
    """
    blocks = _compute_block_means(window_values[None], STAY_DAYS)[0]
    blocks = blocks[np.isfinite(blocks)]
    if len(blocks) >= 2 and (blocks * np.sign(shift) > MIN_STAY_SHARE * abs(shift)).all():
        return Finding(
            "sensor_readings", "value", "sensor drift", f"{words}; it has stayed so for {len(blocks) * STAY_DAYS} days."
        )
    order_text = "no work order was opened" if order is None else f"a work order was opened on {order:%Y-%m-%d}"
    evidence = f"{words}; {order_text}, and equipment that decays does so too."
    return Finding("sensor_readings", "value", "drift before a failure", evidence, grave=False)


def _find_last_order(declared: DeclaredTables, equipment: str, last: datetime, window: int) -> datetime | None:
    """When the last work order of this equipment was opened, if within the window."""
    if not declared.has_columns("work_orders", "equipment_id", "opened_at"):
        return None
    since = last - timedelta(days=window)
    orders = declared.frames["work_orders"].filter((pl.col("equipment_id") == equipment) & (pl.col("opened_at") > since))
    latest = orders["opened_at"].max()
    return latest if isinstance(latest, datetime) else None
