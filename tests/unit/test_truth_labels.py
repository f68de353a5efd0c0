"""The labels that the truth is checked against, read from tables by hand."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from tests.labels import compute_collection, compute_occupancy, find_default_days, label_failures, label_move_outs

DAY = timedelta(days=1)
CUTOFF = datetime(2025, 1, 1)


def rows(entity: str, *cutoffs: datetime) -> pl.DataFrame:
    return pl.DataFrame({"entity": [entity] * len(cutoffs), "cutoff": list(cutoffs)})


@pytest.mark.parametrize(("days", "label"), [(0, 0), (1, 1), (30, 1), (31, 0)])
def test_a_failure_counts_after_the_cutoff_and_up_to_the_last_day_of_the_horizon(days: int, label: int) -> None:
    orders = pl.DataFrame(
        {
            "work_order_id": ["W1"],
            "equipment_id": ["E1"],
            "kind": ["corrective"],
            "priority": ["high"],
            "opened_at": [CUTOFF + days * DAY],
            "known_at": [CUTOFF + days * DAY],
        }
    )
    assert label_failures(rows("E1", CUTOFF), orders).to_list() == [label]
    assert label_failures(rows("E1", CUTOFF), orders.with_columns(priority=pl.lit("low"))).to_list() == [0]
    assert label_failures(rows("E2", CUTOFF), orders).to_list() == [0]


def test_only_the_latest_version_of_an_order_counts() -> None:
    orders = pl.DataFrame(
        {
            "work_order_id": ["W1", "W1"],
            "equipment_id": ["E1", "E1"],
            "kind": ["corrective", "corrective"],
            "priority": ["critical", "low"],
            "opened_at": [CUTOFF + DAY, CUTOFF + DAY],
            "known_at": [CUTOFF + DAY, CUTOFF + 2 * DAY],
        }
    )
    assert label_failures(rows("E1", CUTOFF), orders).to_list() == [0]


def test_a_lease_counts_as_left_only_where_the_tenant_moved_out() -> None:
    leases = pl.DataFrame(
        {
            "lease_id": ["L1", "L2", "L3"],
            "ended_on": [CUTOFF + 90 * DAY, CUTOFF + 9 * DAY, CUTOFF + 91 * DAY],
            "end_reason": ["moved_out", "renewed", "moved_out"],
        }
    )
    at = pl.concat([rows(lease, CUTOFF) for lease in ("L1", "L2", "L3")])
    assert label_move_outs(at, leases).to_list() == [1, 0, 0]


def ledger_of(*paid: tuple[str, datetime, float]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Leases, charges and payments of one lease with rents of 1,000 due in January and February."""
    leases = pl.DataFrame({"lease_id": ["L1"], "unit_id": ["U1"], "monthly_rent": [1000.0]})
    due = [CUTOFF, CUTOFF + 31 * DAY]
    charges = pl.DataFrame({"charge_id": ["C1", "C2"], "lease_id": "L1", "due_on": due, "amount": 1000.0, "kind": "rent"})
    payments = pl.DataFrame(paid, schema=["charge_id", "paid_on", "amount"], orient="row").with_columns(status=pl.lit("paid"))
    return leases, charges, payments


@pytest.mark.parametrize(("days", "defaults"), [(30, 0), (31, 1)])
def test_a_rent_is_in_default_if_it_is_not_paid_on_the_thirtieth_day(days: int, defaults: int) -> None:
    tables = ledger_of(("C1", CUTOFF + days * DAY, 1000.0), ("C2", CUTOFF + 31 * DAY, 1000.0))
    assert find_default_days(*tables).height == defaults


def test_half_a_rent_is_no_default_and_two_halves_are() -> None:
    one = ledger_of(("C1", CUTOFF, 500.0), ("C2", CUTOFF + 31 * DAY, 1000.0))
    assert find_default_days(*one).is_empty()
    both = ledger_of(("C1", CUTOFF, 500.0), ("C2", CUTOFF + 31 * DAY, 500.0))
    assert find_default_days(*both).rows() == [("L1", CUTOFF + 61 * DAY)]


def test_collection_counts_what_came_in_the_month_in_which_it_was_due() -> None:
    leases, charges, payments = ledger_of(("C1", CUTOFF + 30 * DAY, 400.0), ("C1", CUTOFF + 31 * DAY, 600.0))
    units = pl.DataFrame({"unit_id": ["U1"], "property_id": ["P1"]})
    shares = compute_collection(units, leases, charges, payments)
    assert shares["collection"].to_list() == [0.4, 0.0]


def test_a_unit_is_let_from_the_first_to_the_last_day_of_its_lease() -> None:
    leases = pl.DataFrame({"unit_id": ["U1"], "start_date": [CUTOFF], "ended_on": [CUTOFF + 2 * DAY]})
    units = pl.DataFrame({"unit_id": ["U1", "U2"], "property_id": ["P1", "P1"]})
    days = pl.Series([CUTOFF + n * DAY for n in (-1, 0, 2, 3)])
    assert compute_occupancy(leases, units, days)["occupancy"].to_list() == [0.0, 0.5, 0.5, 0.0]
