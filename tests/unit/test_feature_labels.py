"""What the features predict, and the rules that ran before them, in one house that is written down.

Broken once on purpose: with `paid_on < day` for `<=`, a rent paid on the thirtieth day is a default.
"""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from tests.one_house import CUTOFF, END, PROPERTY, UNITS, Row, add_months, ask, build_house, charge, lease, payment

from epic22.core.data.point_in_time import Tables
from epic22.core.data.task_data import PanelTaskData, TaskData
from epic22.core.errors import ColumnError
from epic22.core.lineage import DataVersion
from epic22.core.tables.canonical import KNOWN_AT
from epic22.features import risk_assessment, tenant_churn
from epic22.features.catalog import get_feature
from epic22.features.market_intelligence import (
    compute_signed_rent,
    compute_unit_inputs,
    estimate_market_average,
    repeat_last_rent,
    repeat_last_vacancy,
)
from epic22.features.reporting_analytics import (
    INCOME,
    add_figures,
    compute_collection_rate,
    compute_net_operating_income,
    compute_occupancy,
    extrapolate_last_quarter,
)

DAY = timedelta(days=1)
HORIZON = 90 * DAY
PRESENT = lease("L1", datetime(2022, 1, 1))


def ended(on: datetime, reason: str = "moved_out") -> Row:
    return {**PRESENT, "ended_on": on, "end_reason": reason}


def moves_out(row: Row) -> float:
    tables = build_house(leases=[row])
    view = ask(tables, "L1")
    return float(tenant_churn.compute_labels(view, tables.after(view.at, HORIZON)).item())


@pytest.mark.parametrize(
    ("days", "label"), [(0, 0.0), (1, 1.0), (90, 1.0), (91, 0.0)], ids=["at the cutoff", "next day", "last day", "day after"]
)
def test_a_move_out_counts_after_the_cutoff_up_to_the_horizon(days: int, label: float) -> None:
    assert moves_out(ended(CUTOFF + days * DAY)) == label


@pytest.mark.parametrize("reason", ["renewed", "transferred", "evicted"])
def test_a_lease_that_ends_for_another_reason_is_no_churn(reason: str) -> None:
    assert moves_out(ended(CUTOFF + DAY, reason)) == 0.0


def time_to(row: Row) -> tuple[float, float]:
    tables = build_house(leases=[row])
    view = ask(tables, "L1")
    return tenant_churn.compute_time_labels(view, tables.after_censored(view.at, 360 * DAY)).row(0)


def test_time_to_a_move_out_is_in_days_and_else_it_is_how_long_the_lease_was_followed() -> None:
    assert time_to(ended(CUTOFF + 100 * DAY)) == (100.0, 1.0)
    assert time_to(PRESENT) == (360.0, 0.0)
    assert time_to(ended(CUTOFF + 100 * DAY, "renewed")) == (360.0, 0.0)


def test_a_lease_followed_to_the_end_of_the_data_is_censored_there() -> None:
    tables = build_house(leases=[PRESENT])
    view = ask(tables, "L1", cutoff=END - 50 * DAY)
    assert tenant_churn.compute_time_labels(view, tables.after_censored(view.at, 360 * DAY)).row(0) == (50.0, 0.0)


def defaults(due: list[datetime], payments: list[Row]) -> float:
    tables = build_house(leases=[PRESENT], charges=[charge(f"C{i}", day) for i, day in enumerate(due)], payments=payments)
    view = ask(tables, "L1")
    return float(risk_assessment.compute_labels(view, tables.after(view.at, HORIZON)).item())


def test_a_month_s_rent_unpaid_for_thirty_days_is_a_default() -> None:
    due = [datetime(2022, 7, 15)]
    assert defaults(due, []) == 1.0
    assert defaults(due, [payment("C0", due[0])]) == 0.0


@pytest.mark.parametrize(("days", "label"), [(29, 0.0), (30, 0.0), (31, 1.0)])
def test_a_rent_paid_by_the_thirtieth_day_is_in_time(days: int, label: float) -> None:
    due = datetime(2022, 7, 15)
    assert defaults([due], [payment("C0", due + days * DAY)]) == label


def test_a_failed_payment_does_not_prevent_a_default() -> None:
    due = datetime(2022, 7, 15)
    assert defaults([due], [payment("C0", due, status="failed")]) == 1.0


def test_two_halves_unpaid_are_a_month_unpaid_and_one_half_is_not() -> None:
    due = [datetime(2022, 7, 15), datetime(2022, 8, 15)]
    halves = [payment(f"C{i}", day, 550) for i, day in enumerate(due)]
    assert defaults(due, halves) == 1.0
    assert defaults(due[:1], halves[:1]) == 0.0


@pytest.mark.parametrize(
    ("due", "label"),
    [(CUTOFF - 30 * DAY, 0.0), (CUTOFF - 29 * DAY, 1.0), (CUTOFF + 60 * DAY, 1.0), (CUTOFF + 61 * DAY, 0.0)],
    ids=["30th day at the cutoff", "the day after", "on the last day", "after the horizon"],
)
def test_only_thirtieth_days_within_the_horizon_are_looked_at(due: datetime, label: float) -> None:
    assert defaults([due], []) == label


def test_a_lease_that_is_in_default_already_is_not_asked_about() -> None:
    sound = build_house(leases=[PRESENT], charges=[charge("C0", CUTOFF - 29 * DAY)])
    bad = build_house(leases=[PRESENT], charges=[charge("C0", CUTOFF - 30 * DAY)])
    heights = [risk_assessment.select_rows(view, view.at).height for view in (ask(sound, "L1"), ask(bad, "L1"))]
    assert heights == [1, 0]


def test_the_checklist_gives_five_sevenths_for_each_point() -> None:
    # The building is 30 years old and the tenant's screening is low: no point for either.
    assert risk_assessment.score_checklist(ask(build_house(leases=[PRESENT]), "L1")).tolist() == [0.0]
    late = charge("C0", datetime(2022, 6, 1))
    assert risk_assessment.score_checklist(ask(build_house(leases=[PRESENT], charges=[late]), "L1")) == pytest.approx([5 / 7])
    older = ask(build_house(leases=[PRESENT], charges=[late]), "L1", cutoff=datetime(2023, 1, 1))
    assert risk_assessment.score_checklist(older) == pytest.approx([10 / 7])


def test_churn_s_rule_of_before_weighs_late_failed_overdue_and_new() -> None:
    cutoff = datetime(2022, 12, 31)
    due = [datetime(2022, month, 1) for month in (8, 9, 10, 11)]
    charges = [charge(f"C{i}", day) for i, day in enumerate(due)]
    payments = [
        payment("C0", due[0]),
        payment("C1", due[1] + 5 * DAY),
        payment("C2", due[2], status="failed"),
        payment("C2", due[2] + DAY, 1),
    ]
    score = tenant_churn.score_late_and_new(
        ask(build_house(leases=[PRESENT], charges=charges, payments=payments), "L1", cutoff=cutoff)
    )
    months = (cutoff - datetime(2022, 1, 1)) / DAY / 30.4375
    # Two of four payments are late, one failed; two of four rents are overdue.
    assert score == pytest.approx([0.30 * 0.5 + 0.25 * 0.25 + 0.20 * 0.5 + 0.15 * (12 - months) / 12])


def market(months: int) -> list[Row]:
    rows: list[Row] = []
    for i in range(months):
        month = add_months(datetime(2021, 1, 1), i)
        rows.append(
            {"zip_code": "62701", "bedrooms": 2, "month": month, "average_rent": 1000.0 + 10 * i, "vacancy_rate": 0.04}
            | {"source": "survey", "provenance": "public", "published_at": add_months(month, 1), KNOWN_AT: add_months(month, 1)}
        )
    return rows


def test_the_rules_of_the_market_repeat_the_last_published_value() -> None:
    view = ask(build_house(market=market(24)), "62701|2")
    assert repeat_last_rent(view).tolist() == [[1170.0] * 12]
    assert repeat_last_vacancy(view).tolist() == [[0.04] * 12]


def test_a_fair_rent_is_told_from_the_day_before_the_signing() -> None:
    signed = datetime(2022, 7, 2, 12)
    new = lease("L2", datetime(2022, 8, 1), monthly_rent=1250, signed_on=signed)
    tables = build_house(leases=[PRESENT, new], market=market(24))
    view = ask(tables, "U1", "U2", cutoff=signed - DAY)
    labels = compute_signed_rent(view, tables.after(view.at, DAY))
    assert labels["monthly_rent"].to_list() == [1250.0, None]
    seen = compute_unit_inputs(view).collect()
    assert seen["rent_before"].to_list() == [1100.0, None]
    assert seen["days_since_rent_before"][0] == (signed - DAY - datetime(2021, 12, 1)) / DAY
    assert seen["market_rent"].to_list() == [1170.0, 1170.0]


def test_the_rent_before_is_that_of_the_lease_signed_last_though_more_became_known_of_another_since() -> None:
    """An export a month brings the end of the lease before as a new version, after the next one was signed."""
    old, new = lease("L1", datetime(2021, 1, 1)), lease("L2", datetime(2022, 1, 1), monthly_rent=1250)
    ended_late = {**old, "ended_on": datetime(2021, 12, 31), "end_reason": "moved_out", KNOWN_AT: datetime(2022, 2, 1)}
    seen = compute_unit_inputs(ask(build_house(leases=[old, new, ended_late]), "U1")).collect()
    assert seen["rent_before"].to_list() == [1250.0]
    assert seen["days_since_rent_before"].to_list() == [(CUTOFF - datetime(2021, 12, 1)) / DAY]


def test_a_lease_that_is_entered_before_it_is_signed_does_not_tell_its_own_rent() -> None:
    signed_later = lease("L2", datetime(2022, 8, 1), monthly_rent=1250, signed_on=datetime(2022, 7, 2))
    entered = {**signed_later, KNOWN_AT: datetime(2022, 6, 20)}
    seen = compute_unit_inputs(ask(build_house(leases=[PRESENT, entered]), "U1")).collect()
    assert seen["rent_before"].to_list() == [1100.0]


@pytest.mark.parametrize(("corrected", "days"), [(datetime(2021, 11, 20), [datetime(2021, 11, 19)]), (datetime(2021, 12, 3), [])])
def test_a_signing_whose_day_was_corrected_is_learned_from_at_most_once(corrected: datetime, days: list[datetime]) -> None:
    """Where it was known by then as signed, its rent was no question any more."""
    first = lease("L1", datetime(2022, 1, 1), signed_on=datetime(2021, 12, 1))
    later = {**first, "signed_on": corrected, KNOWN_AT: datetime(2022, 2, 1)}
    others = [lease(f"L{i}", datetime(2022, 1, 1), unit_id=f"U{i}") for i in range(2, 102)]
    units = [{**UNITS[0], "unit_id": f"U{i}"} for i in range(1, 102)]
    feature = get_feature("fair_rent")
    data = feature.bind(feature.task, build_house(leases=[first, *others, later], units=units), DataVersion("0", ()))
    assert isinstance(data, TaskData)
    examples = data.examples()
    assert len(examples) == 100 + len(days)
    assert examples.at[examples.entity == "U1"].tolist() == days


def test_the_rule_for_a_fair_rent_is_the_market_and_without_one_the_rent_before() -> None:
    view = ask(build_house(leases=[PRESENT], market=market(24)), "U1", "U2")
    assert estimate_market_average(view).tolist() == [1170.0, 1170.0]
    without = estimate_market_average(ask(build_house(leases=[PRESENT]), "U1", "U2"))
    assert without[0] == 1100.0
    assert without[1] != without[1]


def entry(name: str, on: datetime, amount: float, account: str = "rent", known: datetime | None = None) -> Row:
    row = {"entry_id": name, "property_id": "P1", "posted_on": on, "account": account, "amount": amount}
    return {KNOWN_AT: known or on, **row}


def figures(frame: pl.DataFrame) -> dict[str, float]:
    return {f"{month:%Y-%m}": value for month, value in frame.select("month", "value").iter_rows()}


def test_a_month_s_income_is_its_entries_without_capital_as_known_when_the_books_closed() -> None:
    ledger = [
        entry("G0", datetime(2023, 1, 5), 500),
        entry("G1", datetime(2023, 2, 1), 1100),
        entry("G2", datetime(2023, 2, 28), -300, "repairs"),
        entry("G3", datetime(2023, 2, 10), -9000, "capital"),
        entry("G4", datetime(2023, 2, 20), -50, "utilities", known=datetime(2023, 3, 9)),
        entry("G5", datetime(2023, 2, 21), -70, "utilities", known=datetime(2023, 3, 12)),
        entry("G6", datetime(2023, 3, 1), 1100),
    ]
    income = compute_net_operating_income(build_house(ledger=ledger))
    # January is not whole: its first entry is of the fifth.
    assert figures(income) == {"2023-02": 750.0, "2023-03": 1100.0}
    assert income["known_at"].to_list() == [datetime(2023, 3, 11), datetime(2023, 4, 11)]


def test_a_month_without_entries_earned_nothing_where_the_books_have_entries_of_other_houses() -> None:
    """The last value stood in its place: a house that stood empty for two months went on earning."""
    other = {"property_id": "P2", KNOWN_AT: datetime(2015, 1, 1)}
    ledger = [entry("G0", datetime(2021, 12, 5), 500), entry("G1", datetime(2022, 1, 3), 900)]
    ledger += [{**entry(f"A{n}", add_months(datetime(2022, 1, 1), n), 100), "property_id": "P2"} for n in range(18) if n != 2]
    ledger += [{**entry("C", datetime(2022, 5, 3), -80, "capital"), "property_id": "P1"}]
    income = compute_net_operating_income(build_house(ledger=ledger, properties=[PROPERTY, {**PROPERTY, **other}]))
    own = figures(income.filter(pl.col("property_id") == "P1"))
    assert own["2022-01"] == 900.0
    # March is in no book; a house without an entry for a year is in the books no more.
    assert [month for month, value in own.items() if value == 0.0] == [
        "2022-02",
        *(f"2022-{n:02}" for n in range(4, 13)),
        *(f"2023-0{n}" for n in range(1, 6)),
    ]
    assert figures(income.filter(pl.col("property_id") == "P2"))["2022-02"] == 100.0


@pytest.mark.parametrize(
    ("name", "column"), [("reporting_analytics", "ledger.posted_on"), ("reporting_occupancy", "leases.ended_on")]
)
def test_one_date_of_a_century_ago_begins_no_history(name: str, column: str) -> None:
    """Figures began in 1923, and the share of let flats was zero for a hundred years."""
    months = [add_months(datetime(2020, 1, 1), n) for n in range(40)]
    ledger = [entry(f"G{n}-{m}", at + m * DAY, 100) for n, at in enumerate(months) for m in range(6)]
    ends = [(at + m * DAY, f"L{n}-{m}") for n, at in enumerate(months) for m in range(2)]
    leases = [lease(name, on - 200 * DAY, ended_on=on, end_reason="moved_out") for on, name in ends]
    old = lease("L", datetime(1922, 1, 1), ended_on=datetime(1923, 3, 4), end_reason="moved_out")
    feature, units = get_feature(name), [{**UNITS[0], "unit_id": f"U{n}", KNOWN_AT: datetime(1915, 1, 1)} for n in range(20)]
    house = {"units": units, "properties": [{**PROPERTY, KNOWN_AT: datetime(1915, 1, 1)}]}
    first = feature.bind(feature.task, build_house(ledger=ledger, leases=leases, **house), DataVersion("0", ()))
    early = build_house(ledger=[*ledger, entry("G", datetime(1923, 3, 4), 1)], leases=[*leases, old], **house)
    data = feature.bind(feature.task, early, DataVersion("0", ()))
    assert isinstance(first, PanelTaskData)
    assert isinstance(data, PanelTaskData)
    assert (data.first, data.last) == (first.first, first.last)
    assert first.notes == ()
    assert data.notes[0].startswith(
        f"{column}: 1 row is of 1923-03-04, more than a year before all others, so the history begins"
    )


def let_house(**columns: Any) -> Tables:
    """U1 let throughout; U2 let from March to the middle of June 2023; a lease that ended in January opens the figures."""
    old = lease("L0", datetime(2022, 1, 1), ended_on=datetime(2023, 1, 10), end_reason="moved_out", unit_id="U2")
    first = lease("L1", datetime(2022, 1, 1), months=36)
    second = lease("L2", datetime(2023, 3, 1), unit_id="U2", ended_on=datetime(2023, 6, 15), end_reason="moved_out")
    return build_house(leases=[old, first, second], **columns)


def test_occupancy_is_the_share_of_flats_let_on_the_last_day_of_the_month() -> None:
    share = figures(compute_occupancy(let_house()))
    assert [share[f"2023-0{month}"] for month in range(2, 8)] == [0.5, 1.0, 1.0, 1.0, 0.5, 0.5]
    assert len(UNITS) == 2


def test_the_collection_rate_is_what_was_paid_within_the_month_and_never_more_than_was_due() -> None:
    due = [datetime(2023, month, 1) for month in (2, 3, 4)]
    charges = [charge(f"C{i}", day) for i, day in enumerate(due)]
    payments = [payment("C0", due[0], 2000), payment("C1", due[1] + 40 * DAY), payment("C2", due[2], 275)]
    rate = figures(compute_collection_rate(let_house(charges=charges, payments=payments)))
    assert rate == {"2023-02": 1.0, "2023-03": 0.0, "2023-04": 0.25}


def test_the_rule_for_income_grows_the_mean_of_three_months_by_two_per_cent() -> None:
    ledger = [entry("G", datetime(2022, 12, 1), 9)] + [
        entry(f"G{i}", datetime(2023, month, 1), amount) for i, (month, amount) in enumerate(((1, 300), (2, 600), (3, 900)))
    ]
    tables = add_figures(INCOME, build_house(ledger=ledger))
    view = ask(tables, "P1", cutoff=datetime(2023, 4, 20))
    assert extrapolate_last_quarter(view)[0].tolist() == pytest.approx([600 * 1.02**h for h in range(1, 7)])


def test_a_table_that_is_known_only_since_it_was_loaded_is_named_where_a_task_learns_from_it() -> None:
    """Of files without known_at: there were 0 rows to learn from, or no figure of a whole month, and nobody said why."""
    loaded, opened = END + 4 * DAY, [datetime(2021, 1, 1) + 7 * i * DAY for i in range(120)]
    equipment = [
        {"equipment_id": f"E{i}", "property_id": "P1", "kind": "hvac", "installed_on": datetime(2015, 1, 1), KNOWN_AT: loaded}
        for i in range(20)
    ]
    orders = [
        {"work_order_id": f"W{i}", "property_id": "P1", "equipment_id": f"E{i % 20}", "opened_at": at, KNOWN_AT: at}
        for i, at in enumerate(opened)
    ]
    units = [{**UNITS[0], "unit_id": f"U{i}", KNOWN_AT: loaded} for i in range(1, 102)]
    ends: Row = {"ended_on": datetime(2023, 1, 10), "end_reason": "moved_out"}
    leases = [lease(f"L{i}", datetime(2022, 1, 1), unit_id=f"U{i}", **ends) for i in range(1, 102)]
    house = Tables(build_house(equipment=equipment, work_orders=orders, units=units, leases=leases).tables, END + 9 * DAY)
    for name, table in (("predictive_maintenance", "equipment"), ("reporting_occupancy", "units"), ("fair_rent", "units")):
        feature = get_feature(name)
        with pytest.raises(ColumnError, match=rf"nothing was known of {table} \(from 2024-01-05 on\)"):
            feature.bind(feature.task, house, DataVersion("0", ()))


def test_a_table_that_is_known_from_some_day_of_the_past_on_is_learned_from_since_then() -> None:
    units = [{**UNITS[0], "unit_id": f"U{i}", KNOWN_AT: datetime(2023, 6, 1)} for i in range(1, 102)]
    leases = [lease(f"L{i}", datetime(2023, 9, 1), unit_id=f"U{i}") for i in range(1, 102)]
    feature = get_feature("fair_rent")
    late = {**PROPERTY, KNOWN_AT: datetime(2023, 12, 1)}
    data = feature.bind(feature.task, build_house(units=units, leases=leases, properties=[late]), DataVersion("0", ()))
    assert isinstance(data, TaskData)
    assert data.examples().X["bedrooms"].null_count() == 0
    assert data.notes == (
        "columns made of properties (from 2023-12-01 on) and leases (from 2023-08-01 on) are missing in all rows: known later "
        "than the last, of 2023-07-31",
    )
