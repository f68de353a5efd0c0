"""What came after a cutoff, for labels alone: open at its beginning, closed at the horizon, by final versions.

Broken once on purpose: with `time >= cutoff`, what happened at the cutoff itself is a label.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.data.point_in_time import Tables
from epic22.core.errors import ColumnError
from epic22.core.tables.table import Table
from epic22.core.task import Column
from epic22.core.time_series import MONTHLY

T0 = datetime(2024, 1, 1)
END = datetime(2024, 12, 31)
DAY = timedelta(days=1)
HORIZON = 30 * DAY


def events(*days: float, entity: str = "a", known_after: float = 0.0, value: float = 1.0) -> list[dict[str, object]]:
    return [
        {
            "event_id": f"{entity}{day:g}",
            "who": entity,
            "at": T0 + day * DAY,
            "closed_at": T0 + (day + 5) * DAY,
            "value": value,
            "known_at": T0 + (day + known_after) * DAY,
        }
        for day in days
    ]


def tables(rows: list[dict[str, object]], end: datetime = END) -> Tables:
    schema: dict[str, pl.DataType] = {
        "event_id": pl.String(),
        "who": pl.String(),
        "at": pl.Datetime("us"),
        "closed_at": pl.Datetime("us"),
        "value": pl.Float64(),
        "known_at": pl.Datetime("us"),
    }
    columns = (Column("value", "float", known_when="closed_at"),)
    return Tables({"events": Table("events", pl.DataFrame(rows, schema=schema), "event_id", "who", columns, "at")}, end)


def ask(*days: float, entity: str = "a") -> pl.DataFrame:
    cutoffs = [T0 + day * DAY for day in days]
    return pl.DataFrame({"entity": [entity] * len(days), "cutoff": cutoffs}, schema_overrides={"cutoff": pl.Datetime("us")})


@pytest.mark.parametrize(("day", "seen"), [(99.0, False), (100.0, False), (100.001, True), (130.0, True), (130.001, False)])
def test_a_window_is_open_at_the_cutoff_and_closed_at_the_horizon(day: float, seen: bool) -> None:
    future = tables(events(day)).after(ask(100), HORIZON)
    assert future.window("events").height == int(seen)


def test_a_look_before_the_cutoff_is_open_at_its_beginning() -> None:
    future = tables(events(95, 96, 100, 120)).after(ask(100), HORIZON)
    window = future.window("events", before=5 * DAY)
    assert window["event_id"].to_list() == ["a96", "a100", "a120"]


def test_another_time_column_may_be_the_event() -> None:
    future = tables(events(97, 127)).after(ask(100), HORIZON)
    assert future.window("events", event="closed_at")["event_id"].to_list() == ["a97"]


def test_an_event_known_only_after_the_end_of_the_data_is_not_there() -> None:
    rows = [*events(110), *events(120, known_after=400)]
    assert tables(rows).after(ask(100), HORIZON).window("events")["event_id"].to_list() == ["a110"]


def test_labels_see_the_final_version_of_a_row() -> None:
    first, second = events(110, value=1.0)[0], events(110, value=9.0)[0]
    rows = [first, second | {"known_at": T0 + 200 * DAY}]
    assert tables(rows).after(ask(100), HORIZON).window("events")["value"].to_list() == [9.0]


def test_a_value_that_becomes_known_after_the_end_is_null_even_for_labels() -> None:
    future = tables(events(100.5), end=T0 + 131 * DAY).after(ask(100), HORIZON)
    assert future.window("events")["value"].to_list() == [1.0]
    late = tables(events(129), end=T0 + 131 * DAY).after(ask(100), HORIZON)
    assert late.window("events")["value"].to_list() == [None]


def test_each_row_has_a_window_of_its_own() -> None:
    future = tables(events(10, 50, 90)).after(ask(0, 40, 80), HORIZON)
    assert future.window("events").select("row", "event_id").rows() == [(0, "a10"), (1, "a50"), (2, "a90")]


def test_a_cutoff_whose_horizon_passes_the_end_is_refused_and_can_be_left_out() -> None:
    data = tables(events(10), end=T0 + 100 * DAY)
    at = ask(60, 70, 71)
    assert data.is_censored(at, HORIZON).to_list() == [False, False, True]
    assert data.after(at.head(2), HORIZON).at.height == 2
    with pytest.raises(ColumnError, match="1 of 3 cutoffs lie less than 30 days before the end"):
        data.after(at, HORIZON)


def test_a_follow_up_goes_to_the_end_but_no_cutoff_may_lie_there() -> None:
    data = tables(events(99), end=T0 + 100 * DAY)
    assert data.after_censored(ask(90), HORIZON).window("events").height == 1
    with pytest.raises(ColumnError, match="1 of 2 cutoffs lie at or after the end"):
        data.after_censored(ask(90, 100), HORIZON)


def times(event_days: list[float], cutoff: float, end: float = 300) -> tuple[float, float]:
    future = tables(events(*event_days), end=T0 + end * DAY).after_censored(ask(cutoff), 60 * DAY)
    return future.time_to_event(future.window("events"), "at").row(0)


def test_time_to_an_event_is_that_to_the_first_of_them() -> None:
    assert times([112, 120, 150], 100) == (12.0, 1.0)


def test_without_an_event_a_row_is_followed_to_the_horizon_or_the_end() -> None:
    assert times([], 100) == (60.0, 0.0)
    assert times([161], 100) == (60.0, 0.0)
    assert times([], 100, end=125) == (25.0, 0.0)


def test_an_event_on_the_last_day_counts() -> None:
    assert times([160], 100) == (60.0, 1.0)


@settings(max_examples=20, deadline=None)
@given(days=st.lists(st.integers(0, 200), max_size=5, unique=True), cutoff=st.integers(0, 200), end=st.integers(201, 300))
def test_a_duration_is_positive_never_longer_than_the_follow_up_and_observed_iff_an_event_is_seen(
    days: list[int], cutoff: int, end: int
) -> None:
    duration, observed = times([float(day) for day in days], cutoff, end)
    follow_up = min(60, end - cutoff)
    after = [day - cutoff for day in days if cutoff < day <= cutoff + follow_up]
    assert 0 < duration <= follow_up
    assert observed == float(bool(after))
    assert duration == (min(after) if after else follow_up)


def test_values_of_the_months_after_the_cutoff_are_labels_of_a_forecast() -> None:
    months = [datetime(2024, month, 1) for month in range(1, 9)]
    rows = [
        {"event_id": f"m{i}", "who": "a", "at": month, "closed_at": month, "value": 10.0 * i, "known_at": month}
        for i, month in enumerate(months)
    ]
    future = tables(rows).after(
        pl.DataFrame({"entity": ["a"], "cutoff": [datetime(2024, 4, 1)]}, schema_overrides={"cutoff": pl.Datetime("us")}),
        timedelta(days=90),
    )
    values = future.values("events", "value", MONTHLY, 3)
    # At the first of April, March is the last month that is over: April, May and June follow.
    assert values.tolist() == [[30.0, 40.0, 50.0]]


def test_rows_are_joined_by_any_column_and_null_matches_nothing() -> None:
    future = tables(events(10, 20)).after(ask(0), HORIZON)
    pairs = pl.DataFrame({"row": [0, 0], "event_id": ["a20", None]}, schema_overrides={"row": pl.UInt32})
    assert future.join(pairs, "events", "event_id").select("row", "event_id").rows() == [(0, "a20")]


def test_a_label_row_is_the_one_of_exactly_this_entity_and_cutoff() -> None:
    future = tables([*events(100, value=3.0), *events(101, value=4.0)]).after(ask(100, 105), HORIZON)
    assert future.label_rows("events")["value"].to_list() == [3.0, None]


def test_whom_nothing_is_known_of_has_no_future() -> None:
    future = tables(events(110)).after(ask(100), HORIZON)
    nobody = future.with_entities(pl.Series([None]), "who")
    assert nobody.window("events").is_empty()
    assert np.isfinite(future.time_to_event(nobody.window("events"), "at").row(0)).all()


def test_a_table_or_column_that_is_not_there_is_named() -> None:
    future = tables(events(1)).after(ask(0), HORIZON)
    with pytest.raises(ColumnError, match="no table visits; there are events"):
        future.window("visits")
    with pytest.raises(ColumnError, match="table events: no column ended_on"):
        future.window("events", event="ended_on")
