"""Point in time: each row sees what was known at its own cutoff, and nothing else."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.data.point_in_time import Table, Tables
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


LEASES = Table(
    "leases",
    pl.DataFrame(
        {
            "lease": ["l1", "l1", "l2"],
            "unit": ["u1", "u2", "u1"],
            "started_at": [D(2024, 1, 1), D(2024, 1, 1), D(2024, 1, 3)],
            "ended_at": [None, D(2024, 1, 20), D(2024, 1, 12)],
            "known_at": [D(2024, 1, 1), D(2024, 1, 10), D(2024, 1, 3)],
        }
    ),
    key="lease",
    entity="lease",
    columns=(Column("ended_at", "time", known_when="ended_at"),),
    event_at="started_at",
)
CHARGES = Table(
    "charges",
    pl.DataFrame(
        {
            "lease": ["l1", "l1", "l1", "l2"],
            "number": [1, 2, 2, 1],
            "paid_at": [D(2024, 1, 2), D(2024, 1, 9), D(2024, 1, 9), D(2024, 1, 30)],
            "amount": [1.0, 2.0, 3.0, 4.0],
            "known_at": [D(2024, 1, 1), D(2024, 1, 1), D(2024, 1, 6), D(2024, 1, 2)],
        }
    ),
    key=("lease", "number"),
    entity="lease",
    columns=(Column("paid_at", "time", known_when="paid_at"),),
)
LET = Tables({"leases": LEASES, "charges": CHARGES, "orders": ORDERS}, D(2024, 2, 1))


def test_rows_are_asked_about_other_entities_along_a_column() -> None:
    known = LET.as_of(at(("x", D(2024, 1, 5)), ("y", D(2024, 1, 15)), ("z", D(2024, 1, 15))))
    along = known.with_entities(pl.Series(["u1", "u1", None]), "unit")
    assert along.count("leases", None).to_list() == [2, 1, 0]
    assert along.latest("leases")["lease"].to_list() == ["l2", "l2", None]
    assert along.at["entity"].to_list() == ["u1", "u1", None]


def test_a_row_that_moved_to_another_entity_is_seen_there_alone() -> None:
    known = LET.as_of(at(("x", D(2024, 1, 9)), ("x", D(2024, 1, 10)))).with_entities(pl.Series(["u2", "u2"]), "unit")
    assert known.window("leases", None)["row"].to_list() == [1]
    assert known.latest("leases")["lease"].to_list() == [None, "l1"]


def test_a_table_without_the_column_asked_along_is_named() -> None:
    known = LET.as_of(at(("x", D(2024, 1, 9)))).with_entities(pl.Series(["u2"]), "unit")
    with pytest.raises(ColumnError, match="table orders: no column unit"):
        known.count("orders", None)


def test_entities_that_are_all_null_know_nothing() -> None:
    known = LET.as_of(at(("x", D(2024, 1, 9)))).with_entities(pl.Series([None]), "unit")
    assert known.latest("leases")["lease"].to_list() == [None]
    assert known.window("leases", WEEK).is_empty()


def test_linked_rows_are_those_known_at_the_row_s_own_cutoff() -> None:
    known = LET.as_of(at(("l1", D(2024, 1, 5)), ("l1", D(2024, 1, 9))))
    found = known.join(pl.DataFrame({"row": [0, 1, 1], "lease": ["l1", "l1", None]}), "charges", "lease")
    assert found.sort("row", "number").select("row", "number", "amount", "paid_at").rows() == [
        (0, 1, 1.0, D(2024, 1, 2)),
        (0, 2, 2.0, None),
        (1, 1, 1.0, D(2024, 1, 2)),
        (1, 2, 3.0, D(2024, 1, 9)),
    ]


def test_of_two_versions_of_one_moment_the_later_in_the_frame_counts() -> None:
    frame = pl.DataFrame({"id": ["a", "a"], "known_at": [D(2024, 1, 1)] * 2, "value": [1, 2]})
    known = Tables({"t": Table("t", frame, "id", "id")}, D(2025, 1, 1)).as_of(at(("a", D(2024, 2, 1))))
    assert known.latest("t")["value"].to_list() == [2]
    assert known.window("t", None)["value"].to_list() == [2]


def test_labels_look_at_another_time_and_a_little_before_the_cutoff() -> None:
    later = LET.after(at(("l1", D(2024, 1, 14)), ("l2", D(2024, 1, 14))), WEEK)
    assert later.window("leases", event="ended_at")["row"].to_list() == [0]
    assert later.window("leases", event="ended_at", before=timedelta(days=3))["row"].to_list() == [0, 1]
    assert later.with_entities(pl.Series(["u2", None]), "unit").window("leases", "ended_at")["lease"].to_list() == ["l1"]


def test_labels_link_rows_by_their_final_version() -> None:
    later = LET.after(at(("l1", D(2024, 1, 1))), WEEK)
    found = later.join(pl.DataFrame({"row": [0], "lease": ["l1"]}), "charges", "lease")
    assert found.sort("number")["amount"].to_list() == [1.0, 3.0]


def test_cutoffs_whose_horizon_passes_the_end_are_censored() -> None:
    asked = at(("l1", D(2024, 1, 25)), ("l1", D(2024, 1, 26)))
    assert LET.is_censored(asked, WEEK).to_list() == [False, True]
    assert LET.after(asked.head(1), WEEK).at.height == 1


def test_a_summary_of_a_window_gives_its_spread_trend_and_last_value() -> None:
    frame = pl.DataFrame(
        {"id": ["a", "b", "c"], "of": ["e"] * 3, "known_at": [D(2024, 1, d) for d in (1, 2, 4)], "value": [1.0, 3.0, None]}
    )
    known = Tables({"t": Table("t", frame, "id", "of")}, D(2025, 1, 1)).as_of(
        at(("e", D(2024, 1, 5)), ("e", D(2024, 1, 1)), ("f", D(2024, 1, 5)))
    )
    assert known.summary("t", "value", WEEK).rows() == [
        (2, 4.0, 2.0, 1.0, 2.0, 3.0, 3.0),
        (1, 1.0, 1.0, 0.0, None, 1.0, 0.0),
        (0, None, None, None, None, None, None),
    ]
    assert known.days_since("t").to_list() == [1.0, 0.0, None]


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


@pytest.mark.slow
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
