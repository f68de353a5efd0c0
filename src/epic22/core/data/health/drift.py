"""Sensors that drift: one against its peers and its own past, or a whole kind against the same season a year before.

Equipment that wears makes its sensors drift too, for days or weeks, until it fails or is mended. So a sensor is blamed only for a
shift that is older than a precursor and stays for months, whatever work orders came in between.
"""

import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from scipy import stats

from epic22.core.data.health.finding import SIGNIFICANCE, Declared, Finding
from epic22.core.task import Array

DAYS = 800
"""How far back daily means are looked at."""

WINDOWS = (60, 120, 180, 240)
"""A sensor is compared with its past over the last so many days."""

PRECURSOR = 30
"""A precursor of a failure lasts up to about this many days; a drift must be older."""

STAY, STAYS = 60, 0.35
"""A drift lasts if each so many days of it hold at least this share of the shift; decays come and go within them."""

BLOCK = 14
YEAR = 26 * BLOCK
LEAST_DAYS = 120
SENSOR_SIGNIFICANCE = 3e-4
"""The chance of one false drift over all sensors and windows together."""

LEAST_SHIFT = 0.4
"""Smaller shifts, in the sensor's own standard deviations, are left alone however sure they are."""

LEAST_SERIES = 4
LEAST_READINGS = 8
CLIP = 2.5
"""Readings beyond this many standard deviations count as that: a decay of days must not pass for a shift of months."""


@dataclass(frozen=True)
class Daily:
    """Daily means of one kind of sensor: `values` (series, days), NaN where none; `equipment` (series,); `made` (series,)."""

    values: Array
    equipment: Array
    made: Array
    last: datetime

    @property
    def spread(self) -> Array:
        """Each series' standard deviation, (series, 1)."""
        return np.asarray(_quiet(np.nanstd, self.values))[:, None]


def audit_drift(declared: Declared) -> tuple[Finding, ...]:
    """Sensors, and kinds of sensors, that left their level in the last weeks."""
    if not declared.has("sensor_readings", "equipment_id", "kind", "measured_at", "value"):
        return ()
    readings = declared.frames["sensor_readings"].filter(pl.col("value").is_not_null() & pl.col("measured_at").is_not_null())
    made = _made(declared)
    by_kind = [(kind, _daily(readings.filter(pl.col("kind") == kind), made)) for kind in readings["kind"].unique().sort()]
    series = sum(daily.values.shape[0] for _, daily in by_kind)
    found: list[Finding] = []
    for kind, daily in by_kind:
        if daily.values.shape[1] < LEAST_DAYS:
            continue
        found += _kind_drift(kind, daily, len(by_kind))
        found += _sensor_drift(kind, daily, series, declared)
    return tuple(found)


def _made(declared: Declared) -> pl.DataFrame:
    if declared.has("equipment", "equipment_id", "kind"):
        return declared.frames["equipment"].select("equipment_id", pl.col("kind").alias("made")).unique("equipment_id")
    return pl.DataFrame(schema={"equipment_id": pl.String, "made": pl.String})


def _daily(readings: pl.DataFrame, made: pl.DataFrame) -> Daily:
    last = readings["measured_at"].max()
    assert isinstance(last, datetime)
    day = ((pl.lit(last) - pl.col("measured_at")).dt.total_days()).alias("day")
    means = readings.with_columns(day).filter(pl.col("day") < DAYS).group_by("equipment_id", "day").agg(pl.col("value").mean())
    names = means.select("equipment_id").unique().join(made, on="equipment_id", how="left").sort("equipment_id")
    rows = means.join(names.with_row_index("row"), on="equipment_id")
    width = int(means["day"].max()) + 1  # type: ignore[arg-type]
    values = np.full((names.height, width), np.nan)
    values[rows["row"].to_numpy(), width - 1 - rows["day"].to_numpy()] = rows["value"].to_numpy()
    return Daily(values, names["equipment_id"].to_numpy(), names["made"].fill_null("").to_numpy(), last)


def _quiet(reduce, values: Array, axis: int = 1) -> Array:  # type: ignore[no-untyped-def]
    """A reduction that ignores NaN, without numpy's warning of slices that hold nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(reduce(values, axis=axis))


def _blocks(values: Array, days: int = BLOCK) -> Array:
    """Means of blocks of days, aligned to the end: (series, blocks)."""
    n = values.shape[1] // days
    return _quiet(np.nanmean, values[:, values.shape[1] - n * days :].reshape(values.shape[0], n, days), axis=2)


def _kind_drift(kind: str, daily: Daily, kinds: int) -> list[Finding]:
    """The middle half of all sensors of a kind, against the same weeks a year before where there are two years."""
    if daily.values.shape[0] < LEAST_SERIES:
        return []
    scaled = (daily.values - _quiet(np.nanmedian, daily.values)[:, None]) / np.maximum(daily.spread, 1e-12)
    level = _middle(_blocks(scaled))
    yearly = len(level) >= 2 * (YEAR // BLOCK)
    moved = _since_last_year(level) if yearly else level
    past = moved[:-3]
    past = past[np.isfinite(past)]
    if len(past) < 6 or not np.isfinite(moved[-1]):
        return []
    shift = moved[-1] - np.median(past)
    spread = past.std(ddof=1) * np.sqrt(1 + 1 / len(past))
    chance = 2 * stats.t.sf(abs(shift) / max(spread, 1e-9), len(past) - 1) * kinds
    if chance > SIGNIFICANCE or abs(shift) < LEAST_SHIFT:
        return []
    against = "the same weeks a year before" if yearly else "the fortnights before"
    evidence = (
        f"the middle half of {daily.values.shape[0]:,} {kind} sensors moved by {shift:+.2f} standard deviations in the "
        f"{BLOCK} days to {daily.last:%Y-%m-%d}, against {against} "
        f"(which differ by {spread:.2f}; chance {max(chance, 1e-99):.0e})."
    )
    return [Finding("sensor_readings", "value", "drift of a kind", evidence)]


def _middle(levels: Array) -> Array:
    """The mean of the middle half of the sensors in each block, (blocks,): robust as a median is, and less noisy."""
    low, high = _quiet(lambda values, axis: np.nanpercentile(values, [25, 75], axis=axis), levels, axis=0)
    return _quiet(np.nanmean, np.where((levels >= low) & (levels <= high), levels, np.nan), axis=0)


def _since_last_year(level: Array) -> Array:
    """Each block less the three blocks around the same weeks a year before; the first year has no figure."""
    year = YEAR // BLOCK
    around = _quiet(np.nanmean, np.stack([level[:-2], level[1:-1], level[2:]]), axis=0)
    return np.asarray(level[year + 1 :] - around[: len(level) - year - 1])


def _sensor_drift(kind: str, daily: Daily, series: int, declared: Declared) -> list[Finding]:
    """Single sensors, still read, whose last weeks lie off their level more than such weeks do by themselves in any sensor."""
    own = _without_decays(_without_common(daily), daily, declared)
    noise = np.maximum(1.4826 * _quiet(np.nanmedian, np.abs(own))[:, None], 1e-12)
    scaled = np.clip(own / noise, -CLIP, CLIP)
    inflation, alive = _inflation(scaled), np.isfinite(scaled[:, -BLOCK:]).any(axis=1)
    found: dict[int, Finding] = {}
    for window in (w for w in WINDOWS if w + LEAST_DAYS <= scaled.shape[1]):
        shift, error = _shift(scaled[:, -window:], scaled[:, :-window])
        old, _ = _shift(scaled[:, -window:-PRECURSOR], scaled[:, :-window])
        chance = 2 * stats.norm.sf(np.abs(shift) / (error * inflation)) * series * len(WINDOWS)
        sure = (
            alive & (chance < SENSOR_SIGNIFICANCE) & (np.abs(shift) > LEAST_SHIFT) & (old * np.sign(shift) > 0.6 * np.abs(shift))
        )
        for i in np.flatnonzero(sure):
            words = (
                f"the {kind} sensor of {daily.equipment[i]} lies {shift[i]:+.2f} of its standard deviations off its level in the "
                f"{window} days to {daily.last:%Y-%m-%d}, its peers' changes taken out (usual: ±{error[i] * inflation:.2f}; "
                f"chance {max(chance[i], 1e-99):.0e})"
            )
            finding = _explained(words, str(daily.equipment[i]), scaled[i], float(shift[i]), window, declared, daily)
            if finding.grave or int(i) not in found:
                found[int(i)] = finding
    return list(found.values())


def _shift(window: Array, past: Array) -> tuple[Array, Array]:
    """Mean of the window less the mean of the past, and its standard error for independent readings; NaN where too few."""
    n, m = np.isfinite(window).sum(axis=1), np.isfinite(past).sum(axis=1)
    enough = (n >= LEAST_READINGS) & (m >= 2 * LEAST_READINGS)
    difference = _quiet(np.nanmean, window) - _quiet(np.nanmean, past)
    return np.where(enough, difference, 0.0), np.sqrt(1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))


def _inflation(scaled: Array) -> float:
    """How many times the means of two months spread more than those of independent readings would; at least 1."""
    width = 60
    n = scaled.shape[1] // width
    blocks = scaled[:, scaled.shape[1] - n * width :].reshape(scaled.shape[0], n, width)
    means, counts = _quiet(np.nanmean, blocks, axis=2), np.isfinite(blocks).sum(axis=2)
    centred = (means - _quiet(np.nanmedian, means)[:, None]) * np.sqrt(np.maximum(counts, 1))
    known = centred[(counts >= LEAST_READINGS) & np.isfinite(centred)]
    return max(1.0, 1.4826 * float(np.median(np.abs(known))) / (1 - 1 / max(n, 2)) ** 0.5) if len(known) > 20 else 2.0


def _without_common(daily: Daily) -> Array:
    """Each series about its median, less the median of its peers (sensors on the same kind of equipment) in the same week."""
    centred = daily.values - _quiet(np.nanmedian, daily.values)[:, None]
    week = (np.arange(centred.shape[1]) - centred.shape[1]) // 7
    own = centred.copy()
    for made in np.unique(daily.made):
        rows = np.flatnonzero(daily.made == made)
        if len(rows) < LEAST_SERIES:
            continue
        for w in np.unique(week):
            values = centred[np.ix_(rows, np.flatnonzero(week == w))]
            if np.isfinite(values).any():
                own[np.ix_(rows, np.flatnonzero(week == w))] -= np.nanmedian(values)
    return own


def _without_decays(own: Array, daily: Daily, declared: Declared) -> Array:
    """The readings less those of the month before each urgent repair: two failures in a few months look like one long drift."""
    if not declared.has("work_orders", "equipment_id", "opened_at", "kind", "priority"):
        return own
    urgent = (pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"])
    place = pl.DataFrame({"equipment_id": daily.equipment, "row": np.arange(len(daily.equipment))})
    orders = declared.frames["work_orders"].filter(urgent).join(place, on="equipment_id")
    day = (pl.col("opened_at") - pl.lit(daily.last)).dt.total_days() + own.shape[1]
    for row, end in orders.select("row", day).unique().iter_rows():
        own[row, max(end - PRECURSOR, 0) : max(end + 1, 0)] = np.nan
    return own


def _explained(words: str, equipment: str, scaled: Array, shift: float, window: int, declared: Declared, daily: Daily) -> Finding:
    """Blame the sensor where the shift lasts through every two months of a window of at least four; else it may be a decay."""
    blocks = _blocks(scaled[None, -window:], STAY)[0]
    blocks = blocks[np.isfinite(blocks)]
    if len(blocks) >= 2 and (blocks * np.sign(shift) > STAYS * abs(shift)).all():
        return Finding("sensor_readings", "value", "sensor drift", f"{words}; it has stayed so for {len(blocks) * STAY} days.")
    order = _last_order(declared, equipment, daily.last, window)
    said = "no work order was opened" if order is None else f"a work order was opened on {order:%Y-%m-%d}"
    told = f"{words}; {said}, and equipment that decays does so too."
    return Finding("sensor_readings", "value", "drift before a failure", told, grave=False)


def _last_order(declared: Declared, equipment: str, last: datetime, window: int) -> datetime | None:
    """When the last work order of this equipment was opened, if within the window."""
    if not declared.has("work_orders", "equipment_id", "opened_at"):
        return None
    since = last - timedelta(days=window)
    orders = declared.frames["work_orders"].filter((pl.col("equipment_id") == equipment) & (pl.col("opened_at") > since))
    latest = orders["opened_at"].max()
    return latest if isinstance(latest, datetime) else None
