"""Point in time: each row sees what was known at its own cutoff, and nothing else."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.data.tables import Table, Tables
from epic22.core.errors import ColumnError
from epic22.core.task import Column

D = datetime
WEEK = timedelta(days=7)

ORDERS = Table(
    "orders",
    pl.DataFrame(
        {
            "order": ["o1", "o1", "o2", "o3"],
            "equipment": ["e1", "e1", "e1", "e2"],
            "opened_at": [D(2024, 1, 1), D(2024, 1, 1), D(2024, 1, 9), D(2024, 1, 5)],
            "known_at": [D(2024, 1, 1), D(2024, 1, 8), D(2024, 1, 9), D(2024, 1, 20)],
            "completed_at": [None, D(2024, 1, 12), None, None],
            "cost": [None, 90.0, None, 10.0],
        }
    ),
    key="order",
    entity="equipment",
    columns=(Column("cost", "float", known_when="completed_at"),),
    event_at="opened_at",
)
TABLES = Tables({"orders": ORDERS}, D(2024, 2, 1))


def at(*pairs: tuple[str, datetime]) -> pl.DataFrame:
    return pl.DataFrame({"entity": [e for e, _ in pairs], "cutoff": [c for _, c in pairs]})


def test_a_row_sees_the_latest_version_known_at_its_own_cutoff() -> None:
    known = TABLES.as_of(at(("e1", D(2024, 1, 2)), ("e1", D(2024, 1, 30)), ("e1", D(2023, 1, 1)), ("e9", D(2024, 1, 30))))
    assert known.latest("orders")["order"].to_list() == ["o1", "o2", None, None]


def test_a_column_is_null_until_its_own_time() -> None:
    known = TABLES.as_of(at(("e1", D(2024, 1, 8)), ("e1", D(2024, 1, 12))))
    windows = known.window("orders", 30 * timedelta(days=1)).filter(pl.col("order") == "o1")
    assert windows["cost"].to_list() == [None, 90.0]


def test_an_event_known_late_is_not_counted_before_it_was_known() -> None:
    known = TABLES.as_of(at(("e2", D(2024, 1, 10)), ("e2", D(2024, 1, 25))))
    assert known.count("orders", timedelta(days=60)).to_list() == [0, 1]


def test_a_window_holds_each_event_once_by_its_latest_known_version() -> None:
    known = TABLES.as_of(at(("e1", D(2024, 1, 10))))
    assert known.window("orders", timedelta(days=30))["order"].to_list() == ["o1", "o2"]
    assert known.count("orders", WEEK).to_list() == [1]
    assert known.rate("orders", WEEK).to_list() == [pytest.approx(1 / 7)]
    assert known.count("orders", timedelta(days=30), pl.col("order") == "o1").to_list() == [1]


def test_a_lag_goes_back_by_versions() -> None:
    known = TABLES.as_of(at(("e1", D(2024, 1, 10))))
    assert known.lag("orders", "order", 0).to_list() == ["o2"]
    assert known.lag("orders", "order", 1).to_list() == ["o1"]
    assert known.lag("orders", "order", 5).to_list() == [None]


def test_later_holds_what_happened_after_the_cutoff_up_to_the_horizon() -> None:
    later = TABLES.after(at(("e1", D(2024, 1, 1)), ("e1", D(2024, 1, 2)), ("e2", D(2024, 1, 2))), WEEK)
    found = later.window("orders")
    assert list(zip(found["row"].to_list(), found["order"].to_list(), strict=True)) == [(1, "o2"), (2, "o3")]


def test_a_cutoff_whose_horizon_passes_the_end_is_refused() -> None:
    with pytest.raises(ColumnError, match="1 of 2 cutoffs"):
        TABLES.after(at(("e1", D(2024, 1, 1)), ("e1", D(2024, 1, 31))), WEEK)


def test_a_table_without_its_times_is_refused() -> None:
    with pytest.raises(ColumnError, match="known_at"):
        Table("t", pl.DataFrame({"id": [1]}), "id", "id")


def test_an_unknown_table_is_named_with_those_there_are() -> None:
    with pytest.raises(ColumnError, match="no table leases; there are orders"):
        TABLES.as_of(at(("e1", D(2024, 1, 1)))).latest("leases")


DAYS = st.integers(0, 60)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["e1", "e2"]), st.integers(0, 5), DAYS, st.integers(0, 20), st.floats(0, 9)),
    min_size=1,
    max_size=25,
)


def events_table(events: list[tuple[str, int, int, int, float]]) -> Table:
    first = D(2024, 1, 1)
    rows = [
        {
            "id": f"{entity}-{number}",
            "entity_id": entity,
            "opened_at": first + timedelta(days=day),
            "known_at": first + timedelta(days=day + delay),
            "done_at": first + timedelta(days=day + 2 * delay),
            "value": value,
        }
        for entity, number, day, delay, value in events
    ]
    return Table("events", pl.DataFrame(rows), "id", "entity_id", (Column("value", "float", known_when="done_at"),), "opened_at")


@settings(max_examples=120, deadline=None)
@given(events=EVENTS, noise=EVENTS, cutoff=DAYS)
def test_what_is_known_after_the_cutoff_changes_nothing_that_was_known_at_it(
    events: list[tuple[str, int, int, int, float]], noise: list[tuple[str, int, int, int, float]], cutoff: int
) -> None:
    moment = D(2024, 1, 1) + timedelta(days=cutoff)
    there = events_table(events)
    later = events_table(noise).frame.filter(pl.col("known_at") > moment)
    masked = there.frame.with_columns(
        pl.when(pl.col("done_at") > moment).then(pl.lit(-1.0)).otherwise(pl.col("value")).alias("value")
    )
    changed = pl.concat([masked.filter(pl.col("known_at") <= moment), later])
    asked = at(("e1", moment), ("e2", moment))
    views = [
        Tables({"events": Table("events", frame, "id", "entity_id", there.columns, "opened_at")}, D(2025, 1, 1)).as_of(asked)
        for frame in (there.frame, changed)
    ]
    span = timedelta(days=40)
    assert views[0].count("events", span).to_list() == views[1].count("events", span).to_list()
    shown = [view.window("events", span).select("row", "id", "known_at", "value") for view in views]
    assert shown[0].sort("row", "id", "known_at").equals(shown[1].sort("row", "id", "known_at"))
