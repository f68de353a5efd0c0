"""What churn and risk see of a lease, figure by figure, in one house that is written down.

Broken once on purpose: with `due_on <= cutoff` for `<`, a rent due today counts as late.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.one_house import CUTOFF, END, TENANT, Row, add_months, ask, build_house, charge, lease, payment

from epic22.core.data.examples import build_examples_at
from epic22.core.data.point_in_time import Tables
from epic22.core.tables.canonical import KNOWN_AT
from epic22.features import tenant_churn
from epic22.features.lease_history import (
    LIVING,
    PAYMENTS,
    RENT_STEPS,
    TERMS,
    compute_lease_inputs,
    compute_market_columns,
    compute_sequence,
    select_active_leases,
    select_tenant_rents,
    settle_charges,
)

DAY = timedelta(days=1)
EARLIER = lease("L0", datetime(2021, 1, 1), monthly_rent=1000, ended_on=datetime(2021, 12, 31), end_reason="renewed")
PRESENT = lease("L1", datetime(2022, 1, 1))
FIRST_OF = [datetime(2022, month, 1) for month in range(1, 13)]


def inputs(tables: Tables, *leases: str, cutoff: datetime = CUTOFF) -> dict[str, Any]:
    """The columns of the first lease."""
    return compute_lease_inputs(ask(tables, *(leases or ("L1",)), cutoff=cutoff)).row(0, named=True)


def market(month: datetime, rent: float, vacancy: float = 0.05, bedrooms: int = 2) -> Row:
    return {
        "zip_code": "62701",
        "bedrooms": bedrooms,
        "month": month,
        "average_rent": rent,
        "vacancy_rate": vacancy,
        "source": "survey",
        "provenance": "public",
        "published_at": add_months(month, 1),
        KNOWN_AT: add_months(month, 1),
    }


def message(sent_at: datetime, category: str = "complaint", sentiment: float = -0.5, lease_id: str = "L1") -> Row:
    name = f"M{sent_at:%Y%m%d}{category}"
    return {
        "message_id": name,
        "lease_id": lease_id,
        "sent_at": sent_at,
        "category": category,
        "sentiment": sentiment,
        KNOWN_AT: sent_at,
    }


def order(name: str, opened_at: datetime, unit: str | None = "U1", kind: str = "corrective") -> Row:
    return {
        "work_order_id": name,
        "property_id": "P1",
        "unit_id": unit,
        "kind": kind,
        "priority": "low",
        "opened_at": opened_at,
        KNOWN_AT: opened_at,
    }


def rents(paid_after: list[int | None]) -> dict[str, list[Row]]:
    """A rent on the first of each month from January 2022 on, paid so many days after it, or never."""
    charges = [charge(f"C{i}", FIRST_OF[i]) for i in range(len(paid_after))]
    payments = [payment(f"C{i}", FIRST_OF[i] + days * DAY) for i, days in enumerate(paid_after) if days is not None]
    return {"charges": charges, "payments": payments}


def test_the_columns_are_those_declared_in_their_order() -> None:
    frame = compute_lease_inputs(ask(build_house(leases=[PRESENT]), "L1"))
    assert frame.columns == [column.name for column in (*TERMS, *PAYMENTS, *LIVING)]
    assert frame.height == 1


def test_the_sequence_has_the_last_rents_one_by_one() -> None:
    view = ask(build_house(leases=[PRESENT], **rents([0, 3, None, 0])), "L1")
    steps = compute_sequence(view).row(0, named=True)
    known = [steps[f"rent_days_late_{back}"] for back in (4, 3, 2, 1)]
    assert known == [0.0, 3.0, (CUTOFF - FIRST_OF[2]) / DAY, 0.0]
    assert [steps[f"rent_unpaid_{back}"] for back in (4, 3, 2, 1)] == [0.0, 0.0, 1.0, 0.0]
    assert steps["rent_days_late_5"] is None
    assert list(steps) == [column.name for column in RENT_STEPS]


def test_terms_are_those_of_the_lease_the_flat_and_the_building() -> None:
    seen = inputs(build_house(leases=[EARLIER, PRESENT]))
    assert seen["lease_type"] == "fixed"
    assert seen["monthly_rent"] == 1100
    assert seen["days_to_end"] == 183  # From 1 July to 31 December.
    assert seen["deposit_months"] == 2
    assert seen["bedrooms"] == 2
    assert seen["rent_per_sqft"] == 1100 / 800
    assert seen["property_type"] == "apartment"
    assert seen["building_age"] == 30
    assert seen["screening_risk"] == "low"
    assert seen["rent_to_income"] == pytest.approx(12 * 1100 / 66_000)
    assert seen["month"] == 7


def test_tenure_begins_with_the_tenant_s_first_lease_and_the_raise_is_against_the_last() -> None:
    seen = inputs(build_house(leases=[EARLIER, PRESENT]))
    assert seen["earlier_leases"] == 1
    assert seen["tenure_months"] == pytest.approx((CUTOFF - datetime(2021, 1, 1)) / DAY / 30.4375)
    assert seen["rent_raise"] == pytest.approx(0.1)
    alone = inputs(build_house(leases=[PRESENT]))
    assert alone["earlier_leases"] == 0
    assert alone["tenure_months"] == pytest.approx((CUTOFF - datetime(2022, 1, 1)) / DAY / 30.4375)
    assert alone["rent_raise"] is None


def test_the_market_is_that_of_the_zip_code_and_the_bedrooms_as_last_published() -> None:
    months = [market(add_months(datetime(2021, 1, 1), i), 1000.0 + 10 * i, 0.04 + 0.001 * i) for i in range(24)]
    seen = inputs(build_house(leases=[PRESENT], market=months))
    # June is published on 1 July, the day of the cutoff: the seventeenth month after January 2021.
    assert seen["rent_to_market"] == pytest.approx(1100 / 1170 - 1)
    assert seen["market_change"] == pytest.approx(1170 / 1050 - 1)
    assert seen["market_vacancy"] == pytest.approx(0.057)
    other = inputs(build_house(leases=[PRESENT], market=[market(datetime(2022, 5, 1), 900, bedrooms=1)]))
    assert (other["rent_to_market"], other["market_change"], other["market_vacancy"]) == (None, None, None)


def test_flats_of_more_than_three_bedrooms_take_the_market_of_three() -> None:
    tables = build_house(market=[market(datetime(2022, 5, 1), 1500, bedrooms=3)])
    seen = compute_market_columns(ask(tables, "a", "b", "c"), pl.Series(["62701"] * 3), pl.Series([3, 5, 2]))
    assert seen["average_rent"].to_list() == [1500, 1500, None]


def test_a_punctual_tenant_owes_nothing_and_is_never_late() -> None:
    seen = inputs(build_house(leases=[PRESENT], **rents([0, -1, 0, -3, 0, 0])))
    assert (seen["late_share"], seen["late_share_3"], seen["days_late"], seen["days_late_last"]) == (0, 0, 0, 0)
    assert (seen["arrears_months"], seen["unpaid_charges"], seen["oldest_unpaid_days"]) == (0, 0, 0)


def test_days_late_are_those_of_the_settling_payment() -> None:
    seen = inputs(build_house(leases=[PRESENT], **rents([0, 10, 0, 4, 0, 6])))
    assert seen["late_share"] == 0.5
    assert seen["late_share_3"] == pytest.approx(2 / 3)
    assert seen["days_late"] == pytest.approx(20 / 6)
    assert seen["days_late_last"] == 6


def test_what_is_unpaid_at_the_cutoff_is_late_up_to_the_cutoff() -> None:
    seen = inputs(build_house(leases=[PRESENT], **rents([0, 0, 0, 0, None, None])))
    assert seen["unpaid_charges"] == 2
    assert seen["arrears_months"] == 2
    assert seen["oldest_unpaid_days"] == 61  # Since 1 May.
    assert seen["days_late_last"] == 30


def test_a_rent_due_at_the_cutoff_itself_is_neither_late_nor_in_arrears() -> None:
    seen = inputs(build_house(leases=[PRESENT], **rents([0, 0, 0, 0, 0, 0, None])))
    assert (seen["unpaid_charges"], seen["arrears_months"], seen["late_share_3"]) == (0, 0, 0)


def test_part_of_a_rent_leaves_the_rest_owed() -> None:
    tables = build_house(leases=[PRESENT], charges=[charge("C0", FIRST_OF[5])], payments=[payment("C0", FIRST_OF[5], 275)])
    seen = inputs(tables)
    assert seen["arrears_months"] == 0.75
    assert seen["unpaid_charges"] == 1


def test_a_failed_payment_pays_nothing_and_is_counted() -> None:
    failed = [payment(f"C{i}", FIRST_OF[i], status="failed") for i in (1, 4)]
    known = rents([0, 2, 0, 0, 2, 0])
    seen = inputs(build_house(leases=[PRESENT], charges=known["charges"], payments=[*known["payments"], *failed]))
    assert (seen["failed_year"], seen["failed_90d"]) == (2, 1)
    assert seen["unpaid_charges"] == 0
    assert seen["late_share"] == pytest.approx(2 / 6)


def test_a_payment_known_after_the_cutoff_does_not_settle_before_it() -> None:
    tables = build_house(leases=[PRESENT], **rents([0, 0, 0, 0, 0, 45]))
    assert inputs(tables)["unpaid_charges"] == 1
    assert inputs(tables, cutoff=datetime(2022, 8, 1))["unpaid_charges"] == 0


def test_rents_of_the_lease_before_still_count_and_fees_do_not() -> None:
    before = charge("C0", datetime(2021, 11, 1), lease_id="L0", amount=1000)
    fee = charge("F0", datetime(2022, 3, 1), amount=75, kind="fee")
    tables = build_house(leases=[EARLIER, PRESENT], charges=[before, fee])
    view = ask(tables, "L1")
    rents_due = select_tenant_rents(view, view.latest("leases"))
    assert rents_due["charge_id"].to_list() == ["C0"]
    assert inputs(tables)["arrears_months"] == pytest.approx(1000 / 1100)


def test_settled_charges_come_by_row_and_due_date_with_what_is_left_unpaid() -> None:
    tables = build_house(leases=[PRESENT], **rents([None, 3, None]))
    view = ask(tables, "L1")
    settled = settle_charges(view, select_tenant_rents(view, view.latest("leases")))
    assert settled.select("charge_id", "paid", "unpaid", "failed").rows() == [
        ("C0", 0.0, 1100.0, 0),
        ("C1", 1100.0, 0.0, 0),
        ("C2", 0.0, 1100.0, 0),
    ]
    assert settled["days_late"].to_list() == [181.0, 3.0, 122.0]


def test_complaints_and_tone_are_those_of_the_last_year() -> None:
    sent = [message(CUTOFF - days * DAY) for days in (10, 89, 91, 364, 366)]
    praise = message(CUTOFF - 5 * DAY, "praise", 0.5)
    seen = inputs(build_house(leases=[PRESENT], messages=[*sent, praise]))
    assert (seen["complaints_90d"], seen["complaints_year"]) == (2, 4)
    assert seen["sentiment"] == pytest.approx((4 * -0.5 + 0.5) / 5)


def test_repairs_are_counted_in_the_flat_and_in_the_building() -> None:
    orders = [
        order("W1", CUTOFF - 30 * DAY),
        order("W2", CUTOFF - 200 * DAY),
        order("W3", CUTOFF - 30 * DAY, unit="U2"),
        order("W4", CUTOFF - 30 * DAY, kind="preventive"),
        order("W5", CUTOFF + DAY),
    ]
    seen = inputs(build_house(leases=[PRESENT], work_orders=orders))
    assert seen["unit_repairs_year"] == 2
    assert seen["property_repairs_90d"] == 2


@pytest.mark.parametrize(
    ("columns", "active"),
    [
        ({}, True),
        ({"notice_on": CUTOFF - DAY}, False),
        ({"notice_on": CUTOFF + DAY}, True),
        ({"ended_on": CUTOFF - DAY, "end_reason": "moved_out"}, False),
        ({"ended_on": CUTOFF + DAY, "end_reason": "moved_out"}, True),
        ({"start_date": CUTOFF + DAY}, False),
    ],
    ids=["running", "notice given", "notice later", "ended", "ends later", "not begun"],
)
def test_a_lease_is_asked_about_while_it_runs_and_nobody_has_given_notice(columns: dict[str, Any], active: bool) -> None:
    view = ask(build_house(leases=[{**lease("L1", datetime(2022, 1, 1)), **columns}]), "L1")
    assert select_active_leases(view, view.at).height == int(active)


def test_a_lease_that_nobody_knows_yet_is_not_asked_about() -> None:
    view = ask(build_house(leases=[PRESENT]), "L1", cutoff=datetime(2021, 11, 30))
    assert select_active_leases(view, view.at).height == 0


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(paid=st.lists(st.none() | st.integers(0, 200), min_size=6, max_size=6))
def test_more_days_late_never_make_the_payment_columns_better(paid: list[int | None]) -> None:
    later = [None if days is None else days + 5 for days in paid]
    before, after = (inputs(build_house(leases=[PRESENT], **rents(days))) for days in (paid, later))
    for name in ("late_share", "late_share_3", "days_late", "arrears_months", "oldest_unpaid_days", "unpaid_charges"):
        assert after[name] >= before[name], name


def test_rows_do_not_see_one_another() -> None:
    second = lease("L2", datetime(2022, 2, 1), unit_id="U2", tenant_id="T2", monthly_rent=900)
    other = {"tenant_id": "T2", "created_at": datetime(2021, 1, 1), KNOWN_AT: datetime(2021, 1, 1)}
    tables = build_house(leases=[PRESENT, second], tenants=[TENANT, other], **rents([0, None, 0, 9, 0, 0]))
    both = compute_lease_inputs(ask(tables, "L1", "L2"))
    turned = compute_lease_inputs(ask(tables, "L2", "L1"))
    assert both.row(0) == turned.row(1) == compute_lease_inputs(ask(tables, "L1")).row(0)
    assert both.row(1) == turned.row(0) == compute_lease_inputs(ask(tables, "L2")).row(0)
    assert both["late_share"].to_list() == [pytest.approx(2 / 6), None]


def test_who_earns_nothing_or_pays_no_rent_has_no_share_of_it() -> None:
    """An infinite share ends a training of trees, and is no JSON."""
    free = [{**EARLIER, "monthly_rent": 0}, {**PRESENT, "monthly_rent": 0}]
    poor = {**TENANT, "household_income": 0}
    house = build_house(leases=[EARLIER, PRESENT], tenants=[poor], **rents([None]))
    without_rent = build_house(leases=free, tenants=[poor])
    seen, of_free = (tenant_churn.TASK.compute_inputs(ask(tables, "L1")).row(0, named=True) for tables in (house, without_rent))
    assert (seen["rent_to_income"], seen["arrears_months"]) == (None, 1.0)
    assert [of_free[name] for name in ("rent_to_income", "rent_raise", "deposit_months")] == [None] * 3
    assert of_free["arrears_months"] == 0.0


def test_classes_that_were_first_loaded_today_are_measured_for_the_rows_of_old() -> None:
    """A file of classes has no day of its own: it is known when it is loaded."""
    house = build_house(leases=[PRESENT])
    classes = pl.DataFrame(
        {"tenant_id": ["T1"], "sex": ["f"], KNOWN_AT: [END - DAY]}, schema_overrides={KNOWN_AT: pl.Datetime("us")}
    )
    protected = replace(house.tables["protected"], frame=classes)
    tables = Tables({**house.tables, "protected": protected}, END)
    at = ask(house, "L1").at
    slices = build_examples_at(tenant_churn.TASK, tables, at, "0").slices
    assert slices is not None
    assert slices.to_dict(as_series=False) == {"sex": ["f"]}


def test_the_market_of_a_year_ago_is_that_of_the_month_whatever_day_stands_for_it() -> None:
    """The last of February is another day in a leap year."""
    months = [market(datetime(2020, 2, 29), 1000.0), market(datetime(2021, 2, 28), 1100.0)]
    tables = build_house(leases=[lease("L1", datetime(2021, 1, 1))], market=months)
    assert inputs(tables, cutoff=datetime(2021, 4, 1))["market_change"] == pytest.approx(0.1)
