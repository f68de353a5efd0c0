"""Predictive maintenance: which equipment will fail within 30 days, or within another horizon?

A row is a piece of equipment at a weekly cutoff. It fails when a corrective work order of priority high or critical is opened in
(cutoff, cutoff + horizon], whatever becomes of the order. The maintenance crew acts on this week's list of visits.
"""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl

from epic22.core.data.sequence_columns import declare_steps
from epic22.core.evaluation.metrics import build_binary_target
from epic22.core.evaluation.survival import build_hazard_target
from epic22.core.tables.canonical import EQUIPMENT_KINDS, PROPERTY_TYPES
from epic22.core.task import (
    Array,
    AsOfView,
    Column,
    DataRequirement,
    EvaluationPolicy,
    Future,
    Incumbent,
    SequenceInputs,
    Task,
)
from epic22.core.time_series import WEEKLY, Frequency

DAY = timedelta(days=1)
MONTH, QUARTER, YEAR = 30 * DAY, 90 * DAY, 365 * DAY
WEEK, RECENT, WHOLE = 7 * DAY, 21 * DAY, 120 * DAY
MIN_READINGS = 8
MIN_VARIANCE = 1e-12

SENSORS: tuple[tuple[str, str], ...] = (
    ("temperature", "°C"),
    ("vibration", "mm/s"),
    ("power", "kW"),
    ("pressure", "kPa"),
    ("water_flow", "l/min"),
)
CATEGORY_OF_KIND = {kind: kind for kind in EQUIPMENT_KINDS} | {"elevator": "other"}
"""The work-order category in which the incumbent looks for a kind of equipment."""

URGENT = pl.col("priority").is_in(["high", "critical"])
FAILURE = (pl.col("kind") == "corrective") & URGENT
"""One that is cancelled afterwards counts: it was opened, and whoever plans visits met it; why it was cancelled no table says."""

CORRECTIVE = pl.col("kind") == "corrective"
PREVENTIVE = pl.col("kind") == "preventive"
ERROR = pl.col("kind") == "error"
"""Readings that say a machine reported an error, whatever its code."""

UNFINISHED = pl.col("completed_at").is_null() & (pl.col("kind") == "corrective")


def _declare_sensor_columns() -> tuple[Column, ...]:
    columns = []
    for kind, unit in SENSORS:
        words = kind.replace("_", " ")
        columns += [
            Column(f"{kind}_week", "float", unit=unit, optional=True, about=f"mean {words} of the last 7 days"),
            Column(f"{kind}_change", "float", unit="sd", optional=True, about=f"{words} this week against its usual level"),
            Column(f"{kind}_slope", "float", unit=f"{unit} a day", optional=True, about=f"rise of {words} over 21 days"),
        ]
    return tuple(columns)


COLUMNS: tuple[Column, ...] = (
    Column("kind", "category", levels=EQUIPMENT_KINDS, about="kind of equipment"),
    Column("age_years", "float", unit="years", low=0, about="its age"),
    Column("warranty_days", "float", unit="days", optional=True, about="days of warranty left"),
    Column("replacement_cost", "float", low=0, optional=True, about="its replacement cost"),
    Column("failures_90d", "int", low=0, about="urgent repairs in 90 days"),
    Column("failures_year", "int", low=0, about="urgent repairs in a year"),
    Column("minor_repairs_90d", "int", low=0, about="minor repairs in 90 days"),
    Column("unfinished_repairs", "int", low=0, about="repairs not yet finished"),
    Column("visits_year", "int", low=0, about="preventive visits in a year"),
    Column("days_since_visit", "float", unit="days", low=0, optional=True, about="days since the last preventive visit"),
    Column("days_since_failure", "float", unit="days", low=0, optional=True, about="days since the last urgent repair"),
    Column("days_since_repair", "float", unit="days", low=0, optional=True, about="days since any repair"),
    Column("days_since_work", "float", unit="days", low=0, optional=True, about="days since anyone last worked on it"),
    Column("repair_cost_year", "float", low=0, about="repair cost in a year"),
    Column("property_failures_90d", "int", low=0, about="urgent repairs in the building in 90 days"),
    Column("property_type", "category", levels=PROPERTY_TYPES, optional=True, about="type of building"),
    Column("year_built", "int", unit="year", optional=True, about="year the building was built"),
    Column("season", "float", low=-1, high=1, about="winter (1) or summer (-1)"),
    Column("errors_day", "int", low=0, optional=True, about="errors reported in a day"),
    Column("errors_week", "int", low=0, optional=True, about="errors reported in 7 days"),
    Column("errors_month", "int", low=0, optional=True, about="errors reported in 30 days"),
    Column("largest_change", "float", unit="sd", optional=True, about="largest change of any sensor this week"),
    *_declare_sensor_columns(),
)


def select_rows(view: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """Equipment that was installed, and not known to be retired, at the cutoff."""
    equipment = view.latest("equipment")
    active = (equipment["installed_on"] <= equipment["cutoff"]) & equipment["retired_on"].is_null()
    return cutoffs.filter(active.fill_null(value=False))


def compute_inputs(view: AsOfView, error_codes: tuple[str, ...] = ()) -> pl.LazyFrame:
    """Age, repairs, visits, errors, sensors and building, as of each row's own cutoff."""
    equipment = view.latest("equipment")
    building = view.with_entities(equipment["property_id"], "property_id")
    home = building.latest("properties")
    repairs = view.summary("work_orders", "cost", YEAR, CORRECTIVE)
    frame = pl.DataFrame(
        {
            "kind": equipment["kind"],
            "age_years": (equipment["cutoff"] - equipment["installed_on"]) / DAY / 365.25,
            "warranty_days": (equipment["warranty_until"] - equipment["cutoff"]) / DAY,
            "replacement_cost": equipment["replacement_cost"],
            "failures_90d": view.count("work_orders", QUARTER, FAILURE),
            "failures_year": view.count("work_orders", YEAR, FAILURE),
            "minor_repairs_90d": view.count("work_orders", QUARTER, CORRECTIVE & ~URGENT),
            "unfinished_repairs": view.count("work_orders", QUARTER, UNFINISHED),
            "visits_year": view.count("work_orders", YEAR, PREVENTIVE),
            "days_since_visit": view.days_since("work_orders", PREVENTIVE),
            "days_since_failure": view.days_since("work_orders", FAILURE),
            "days_since_repair": view.days_since("work_orders", CORRECTIVE),
            "days_since_work": view.days_since("work_orders", CORRECTIVE | PREVENTIVE),
            "repair_cost_year": repairs["total"].fill_null(0.0),
            "property_failures_90d": building.count("work_orders", QUARTER, FAILURE),
            "property_type": home["property_type"],
            "year_built": home["year_built"],
            "season": compute_season(equipment["cutoff"]),
            "errors_day": view.count("sensor_readings", DAY, ERROR),
            "errors_week": view.count("sensor_readings", WEEK, ERROR),
            "errors_month": view.count("sensor_readings", MONTH, ERROR),
        }
    )
    sensors = compute_sensor_columns(view)
    changes = [f"{kind}_change" for kind, _ in SENSORS]
    largest = sensors.select(pl.max_horizontal(*(pl.col(name).abs() for name in changes)).alias("largest_change"))
    codes = pl.DataFrame([errors for code in error_codes for errors in _count_errors(view, code)])
    return pl.concat([frame, largest, sensors, codes], how="horizontal").lazy()


SEQUENCE_WEEKS = 12


def _declare_sequence() -> tuple[Column, ...]:
    sensors = (
        declare_steps(f"{kind}_week", SEQUENCE_WEEKS, f"mean {kind.replace('_', ' ')} of a week", u) for kind, u in SENSORS
    )
    repairs = declare_steps("repairs_week", SEQUENCE_WEEKS, "repairs opened in a week")
    return (*(column for columns in sensors for column in columns), *repairs)


def compute_sequence(view: AsOfView) -> pl.DataFrame:
    """Each of the last weeks by itself: the mean of each kind of sensor, null where it has no reading, and the repairs opened.

    A week is what a span of weeks holds less what the span that is one shorter does.
    """
    columns: dict[str, pl.Series] = {}
    for kind, _ in SENSORS:
        spans = [view.summary("sensor_readings", "value", WEEK * n, pl.col("kind") == kind) for n in range(1, SEQUENCE_WEEKS + 1)]
        total, count = ([span[name].fill_null(0) for span in spans] for name in ("total", "count"))
        for back, (in_total, in_count) in enumerate(zip(_subtract(total), _subtract(count), strict=True), start=1):
            columns[f"{kind}_week_{back}"] = pl.select(pl.when(in_count > 0).then(in_total / in_count)).to_series()
    repairs = [view.count("work_orders", WEEK * n, CORRECTIVE) for n in range(1, SEQUENCE_WEEKS + 1)]
    columns |= {f"repairs_week_{back}": n.cast(pl.Float64) for back, n in enumerate(_subtract(repairs), start=1)}
    return pl.DataFrame(columns)


def _subtract(spans: list[pl.Series]) -> list[pl.Series]:
    """Of what growing spans hold, what each holds beyond the one before."""
    return [spans[0], *(longer - shorter for shorter, longer in pairwise(spans))]


def _declare_code_columns(code: str) -> tuple[Column, ...]:
    spans = ((f"{code}_day", "a day"), (f"{code}_week", "7 days"))
    return tuple(Column(name, "int", low=0, optional=True, about=f"{code} reported in {span}") for name, span in spans)


def _count_errors(view: AsOfView, code: str) -> list[pl.Series]:
    """How often the error was reported, in the order of `_declare_code_columns`."""
    own = pl.col("kind") == code
    spans = zip(_declare_code_columns(code), (DAY, WEEK), strict=True)
    return [view.count("sensor_readings", span, own).alias(column.name) for column, span in spans]


def compute_season(moments: pl.Series) -> pl.Series:
    """1 in mid January, −1 in mid July, (n,)."""
    day = moments.dt.ordinal_day().to_numpy()
    return pl.Series("season", np.cos(2 * np.pi * (day - 15) / 365.25))


def compute_sensor_columns(view: AsOfView) -> pl.DataFrame:
    """For each kind of sensor: the week's mean, its change against the usual level in standard deviations, the slope of 21 days.

    The usual level is that of 120 days without the last 21: what leads to a failure must not be part of what it is held against.
    """
    columns: dict[str, pl.Series] = {}
    for kind, _ in SENSORS:
        of_kind = pl.col("kind") == kind
        week, recent, whole = (view.summary("sensor_readings", "value", span, of_kind) for span in (WEEK, RECENT, WHOLE))
        mean, spread = _compute_usual_level(whole, recent)
        columns[f"{kind}_week"] = week["mean"]
        columns[f"{kind}_change"] = (week["mean"] - mean) / spread
        columns[f"{kind}_slope"] = recent["slope"]
    return pl.DataFrame(columns)


def _compute_usual_level(whole: pl.DataFrame, recent: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Mean and standard deviation of a window without its last part; null where fewer than MIN_READINGS are left."""
    count = whole["count"] - recent["count"].fill_null(0)
    square = {name: w["count"] * (w["sd"] ** 2 + w["mean"] ** 2) for name, w in (("whole", whole), ("recent", recent))}
    n = pl.select(pl.when(count >= MIN_READINGS).then(count)).to_series()
    mean = (whole["total"] - recent["total"].fill_null(0.0)) / n
    variance = (square["whole"] - square["recent"].fill_null(0.0)) / n - mean**2
    return mean, pl.select(pl.when(variance > MIN_VARIANCE).then(variance.sqrt())).to_series()


def compute_labels(view: AsOfView, future: Future) -> pl.DataFrame:
    """Whether an urgent corrective work order was opened in (cutoff, cutoff + horizon], the horizon being that of `future`."""
    failing_rows = future.window("work_orders").filter(FAILURE)["row"].unique()
    every = future.at.with_row_index("row")["row"]
    return pl.DataFrame({"failure": every.is_in(failing_rows.implode()).cast(pl.Float64)})


def compute_time_labels(view: AsOfView, future: Future) -> pl.DataFrame:
    """Days to the first urgent corrective work order, or days without one until the row was last seen: [duration, observed].

    A machine that is retired stays at risk of a failure that cannot come any more, so that the probability up to a horizon is
    that of `labels`.
    """
    return future.time_to_event(future.window("work_orders").filter(FAILURE), "opened_at")


def score_next_order(view: AsOfView, horizon: timedelta = MONTH) -> Array:
    """The rule that ran before: the property's next order of a category is due one mean interval after the last.

    With at least two past orders, confidence = 1 − variance of the intervals ÷ mean², between 0.1 and 0.95; it is the score where
    the next order falls in the horizon, else 0: (n,).
    """
    equipment = view.latest("equipment")
    place = pl.DataFrame(
        {
            "row": np.arange(equipment.height, dtype=np.uint32),
            "property_id": equipment["property_id"],
            "category": equipment["kind"].replace(CATEGORY_OF_KIND),
            "cutoff": equipment["cutoff"],
        }
    )
    pairs = place.unique(["property_id", "cutoff"], keep="first", maintain_order=True)
    once = view.take(pairs["row"])
    orders = once.with_entities(pairs["property_id"], "property_id").window("work_orders", None)
    gaps = (
        orders.sort("row", "category", "opened_at")
        .with_columns(gap=(pl.col("opened_at").diff().over("row", "category")) / DAY)
        .group_by("row", "category")
        .agg(last=pl.col("opened_at").max(), mean=pl.col("gap").mean(), variance=pl.col("gap").var(ddof=0), n=pl.len())
        .filter((pl.col("n") >= 2) & (pl.col("mean") > 0))
    )
    of_pair = pairs.with_row_index("pair").select(pl.col("pair").alias("row"), "property_id", "cutoff")
    intervals = gaps.join(of_pair, on="row").drop("row")
    candidates = place.join(intervals, on=["property_id", "category", "cutoff"], how="left", maintain_order="left")
    due = pl.col("last") + pl.duration(microseconds=(pl.col("mean") * DAY.total_seconds() * 1e6).cast(pl.Int64))
    inside = (due > pl.col("cutoff")) & (due <= pl.col("cutoff") + horizon)
    confidence = (1 - pl.col("variance") / pl.col("mean") ** 2).clip(0.1, 0.95)
    score = candidates.select(pl.when(inside).then(confidence).otherwise(0.0).fill_null(0.0).alias("score"))
    return score["score"].to_numpy()


def format_span(span: timedelta) -> str:
    """A span as people say it: in hours up to a day, else in days.

    >>> format_span(timedelta(hours=24)), format_span(timedelta(days=7))
    ('24 hours', '7 days')
    """
    return f"{span / timedelta(hours=1):g} hours" if span <= DAY else f"{span / DAY:g} days"


def build_maintenance_task(
    horizon: timedelta = MONTH, cadence: Frequency = WEEKLY, stride: int = 4, error_codes: tuple[str, ...] = ()
) -> Task:
    """The task of a horizon: the feature's own for 30 days, else one with the horizon in its name.

    `error_codes` are the kinds of `sensor_readings` in which the company's machines report their errors one by one: each gets
    columns of its own, beside those of kind `error`. Let `stride` cutoffs last about as long as the horizon, for the labels of
    nearer ones are mostly the same events.
    """
    words = format_span(horizon)
    return Task(
        name="predictive_maintenance" if horizon == MONTH else f"predictive_maintenance_{words.replace(' ', '_')}",
        columns=(*COLUMNS, *(column for code in error_codes for column in _declare_code_columns(code))),
        targets=(build_binary_target("failure", compute_labels, horizon / DAY, ("no failure", "failure")),),
        rows=select_rows,
        inputs=partial(compute_inputs, error_codes=error_codes),
        families=("constant", "linear", "boosting"),
        about=f"which equipment will fail within {words}",
        costs={"miss": 1500.0, "false_alarm": 150.0},
        incumbent=Incumbent("next order by mean interval", "ranking", partial(score_next_order, horizon=horizon)),
        entities="equipment",
        cadence=cadence,
        start_column=("work_orders", "opened_at"),
        policy=EvaluationPolicy(capacity=10),
        cluster=lambda view: view.at["entity"],
        stride=stride,
        sequence=SequenceInputs(_declare_sequence(), compute_sequence),
        requirements=(
            DataRequirement("equipment", None, 20),
            DataRequirement("work_orders", None, 100),
            DataRequirement("work_orders", "equipment_id", 100),
        ),
    )


TASK = build_maintenance_task()

HAZARD = replace(
    TASK,
    name="maintenance_hazard",
    targets=(build_hazard_target("failure", compute_time_labels, (7.0, 30.0, 90.0), 30.0, ("no failure", "failure")),),
    families=("constant", "hazard_linear", "hazard"),
    about="when equipment will fail: within 7, 30 and 90 days",
)
"""The same rows, inputs, rule and costs, with the time to the failure for a label; judged and acted on at 30 days."""
