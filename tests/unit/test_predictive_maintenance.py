"""Maintenance at any horizon: labels and rule look so far ahead and no further; errors count from when they are known."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
from tests.small_tables import small_tables

from epic22.core.data.examples import Examples, build_examples
from epic22.core.data.point_in_time import Tables, build_tables
from epic22.core.data.task_data import bind_task
from epic22.core.lineage import DataVersion
from epic22.core.time_series import DAILY, WEEKLY
from epic22.features.predictive_maintenance import COLUMNS, TASK, build_maintenance_task, compute_sequence, format_span

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
END = datetime(2023, 1, 1)
NOW = datetime(2022, 3, 1)


def tables(orders: list[tuple[datetime, str, str]] | None = None, errors: list[tuple[datetime, str]] | None = None) -> Tables:
    """The small portfolio in which E0 alone has work orders (when, kind, priority) and readings of errors (when, code)."""
    frames = small_tables()
    order, reading = frames["work_orders"].head(1), frames["sensor_readings"].head(1)
    made = [
        order.with_columns(
            pl.lit(f"X{number}").alias("work_order_id"),
            pl.lit(kind).alias("kind").cast(order.schema["kind"]),
            pl.lit(priority).alias("priority").cast(order.schema["priority"]),
            *(pl.lit(at).dt.cast_time_unit("us").alias(name) for name in ("opened_at", "completed_at", "known_at")),
        )
        for number, (at, kind, priority) in enumerate(orders or [])
    ]
    told = [
        reading.with_columns(
            pl.lit(code).alias("kind").cast(reading.schema["kind"]),
            pl.lit(1.0).alias("value"),
            *(pl.lit(at).dt.cast_time_unit("us").alias(name) for name in ("measured_at", "known_at")),
        )
        for at, code in errors or []
    ]
    frames["work_orders"] = pl.concat([order.clear(), *made])
    frames["sensor_readings"] = pl.concat([reading.clear(), *told])
    return build_tables(frames, END)


def asked(horizon: timedelta, held: Tables, *moments: datetime, error_codes: tuple[str, ...] = ()) -> Examples:
    """The examples of E0 at these moments, in their order."""
    task = build_maintenance_task(horizon, DAILY, 1, error_codes)
    cutoffs = pl.DataFrame(
        {"entity": ["E0"] * len(moments), "cutoff": list(moments)}, schema_overrides={"cutoff": pl.Datetime("us")}
    )
    return build_examples(task, held, cutoffs, "v0")


@pytest.mark.parametrize("horizon", [DAY, 7 * DAY, 30 * DAY])
def test_a_label_looks_as_far_as_the_horizon_and_no_further(horizon: timedelta) -> None:
    failed = tables([(NOW, "corrective", "critical")])
    moments = (NOW - horizon - HOUR, NOW - horizon, NOW - HOUR, NOW)
    assert asked(horizon, failed, *moments).y.tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(("kind", "priority"), [("preventive", "critical"), ("corrective", "medium"), ("inspection", "high")])
def test_only_urgent_repairs_are_failures(kind: str, priority: str) -> None:
    assert asked(7 * DAY, tables([(NOW, kind, priority)]), NOW - DAY).y.tolist() == [0.0]


def test_an_urgent_repair_counts_when_it_is_opened_whatever_becomes_of_it() -> None:
    urgent = tables([(NOW, "corrective", "critical")])
    orders = urgent.tables["work_orders"].frame.with_columns(status=pl.lit("cancelled"))
    dropped = build_tables(small_tables() | {"work_orders": orders}, END)
    assert [asked(7 * DAY, one, NOW - DAY).y.tolist() for one in (urgent, dropped)] == [[1.0], [1.0]]
    assert [asked(7 * DAY, one, NOW + DAY).X["failures_90d"].to_list() for one in (urgent, dropped)] == [[1], [1]]


def test_a_work_order_of_a_century_ago_begins_no_history_and_is_named() -> None:
    """Cutoffs began in 1923: forty times as many, of which no machine had any history."""
    days = [datetime(2022, 1, 1) + 2 * n * DAY for n in range(100)]
    frames = small_tables()
    task = replace(build_maintenance_task(7 * DAY), requirements=())
    orders = pl.concat([tables([(day, "corrective", "low") for day in days]).tables["work_orders"].frame] * 2)
    orders = orders.with_columns(work_order_id=pl.int_range(pl.len()).cast(pl.String))
    early = orders.head(1).with_columns(
        work_order_id=pl.lit("old"), opened_at=pl.lit(datetime(1923, 3, 4)).dt.cast_time_unit("us")
    )
    whole = bind_task(task, build_tables(frames | {"work_orders": orders}, END), DataVersion("v0", ()))
    data = bind_task(task, build_tables(frames | {"work_orders": pl.concat([orders, early])}, END), DataVersion("v0", ()))
    assert data.cutoffs.equals(whole.cutoffs)
    assert data.notes[: -len(whole.notes) or None] == (
        "work_orders.opened_at: 1 row is of 1923-03-04, more than a year before all others, so the history begins with "
        "2022-01-01; where the date is wrong, mend it",
    )


def test_the_rule_of_today_alarms_only_where_its_next_order_falls_in_the_horizon() -> None:
    """Orders every 20 days: the next is due 20 days after the last, which a week before is within 7 days and not within one."""
    regular = tables([(NOW - n * 20 * DAY, "corrective", "critical") for n in range(4)])
    week_before = NOW + 13 * DAY
    alarms = {horizon.days: asked(horizon, regular, week_before).incumbent for horizon in (DAY, 7 * DAY, 30 * DAY)}
    assert {days: told.tolist() for days, told in alarms.items() if told is not None} == {1: [0.0], 7: [0.95], 30: [0.95]}


def test_errors_count_from_the_moment_they_are_known() -> None:
    """At the very cutoff an error is known, an hour before it is not; a day later it has left the day, a week later the week."""
    held = tables(errors=[(NOW, "error"), (NOW, "error7"), (NOW - 3 * DAY, "error"), (NOW - 3 * DAY, "error2")])
    moments = (NOW - HOUR, NOW, NOW + DAY, NOW + 7 * DAY, NOW + 30 * DAY)
    X = asked(DAY, held, *moments, error_codes=("error7",)).X
    assert X["errors_day"].to_list() == [0, 1, 0, 0, 0]
    assert X["errors_week"].to_list() == [1, 2, 2, 0, 0]
    assert X["errors_month"].to_list() == [1, 2, 2, 2, 0]
    assert X["error7_day"].to_list() == [0, 1, 0, 0, 0]
    assert X["error7_week"].to_list() == [0, 1, 1, 0, 0]


def test_an_error_that_arrived_late_was_not_known_before() -> None:
    late = tables(errors=[(NOW, "error")])
    readings = late.tables["sensor_readings"].frame.with_columns(known_at=pl.lit(NOW + 2 * DAY).dt.cast_time_unit("us"))
    frames = small_tables() | {"sensor_readings": readings.select(small_tables()["sensor_readings"].columns)}
    X = asked(DAY, build_tables(frames, END), NOW + DAY, NOW + 2 * DAY).X
    assert X["errors_week"].to_list() == [0, 1]


def test_days_since_work_are_since_the_later_of_visit_and_repair() -> None:
    worked = [(NOW - 9 * DAY, "corrective", "low"), (NOW - 4 * DAY, "preventive", "low"), (NOW - DAY, "inspection", "low")]
    X = asked(DAY, tables(worked), NOW - 10 * DAY, NOW - 5 * DAY, NOW).X
    assert X["days_since_work"].to_list() == [None, 4.0, 4.0]


def test_each_horizon_has_its_own_name_and_words_and_the_feature_keeps_its_own() -> None:
    named = {task.name: task.about for task in (build_maintenance_task(DAY), build_maintenance_task(7 * DAY), TASK)}
    assert named == {
        "predictive_maintenance_24_hours": "which equipment will fail within 24 hours",
        "predictive_maintenance_7_days": "which equipment will fail within 7 days",
        "predictive_maintenance": "which equipment will fail within 30 days",
    }
    assert [task.target.horizon for task in (build_maintenance_task(DAY), TASK)] == [1.0, 30.0]
    assert (TASK.cadence, TASK.stride, TASK.columns) == (WEEKLY, 4, COLUMNS)
    assert format_span(12 * HOUR) == "12 hours"


def test_an_assignment_asks_each_day_until_one_horizon_before_the_end() -> None:
    held = tables([(datetime(2021, 1, 10), "corrective", "critical")] * 100)
    cutoffs = (
        bind_task(build_maintenance_task(DAY, DAILY, 1), small_needs(held), DataVersion("v0", ()))
        .cutoffs["cutoff"]
        .unique()
        .sort()
    )
    assert cutoffs[-1] == END - DAY
    assert set(cutoffs.diff().drop_nulls()) == {DAY}


def small_needs(held: Tables) -> Tables:
    """The same tables with as many pieces of equipment as the task asks for."""
    equipment = held.tables["equipment"]
    return Tables({**held.tables, "equipment": replace(equipment, frame=pl.concat([equipment.frame] * 2))}, held.end)


def test_the_sequence_has_the_last_weeks_one_by_one() -> None:
    week = 7 * DAY
    orders = [(NOW - HOUR, "corrective", "low"), (NOW - week - HOUR, "corrective", "low"), (NOW - 3 * week, "preventive", "low")]
    errors = [(NOW - 2 * week, "vibration"), (NOW - 2 * week - HOUR, "vibration"), (NOW - 13 * week, "vibration")]
    view = tables(orders, errors).as_of(
        pl.DataFrame({"entity": ["E0"], "cutoff": [NOW]}, schema_overrides={"cutoff": pl.Datetime("us")})
    )
    steps = compute_sequence(view).row(0, named=True)
    assert [steps[f"repairs_week_{back}"] for back in (3, 2, 1)] == [0.0, 1.0, 1.0]
    # A week is (cutoff - n weeks, cutoff - (n - 1) weeks]: what was read two weeks ago to the hour is of the third.
    assert [steps[f"vibration_week_{back}"] for back in (4, 3, 2, 1)] == [None, 1.0, None, None]
    assert TASK.sequence is not None
    assert set(steps) == {column.name for column in TASK.sequence.columns}
