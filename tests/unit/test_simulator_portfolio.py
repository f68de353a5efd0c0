"""A portfolio's truth as training reads it, the faults planted into it, and the figures of its page, on rows by hand."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tests.worlds import small_world

from epic22.core.errors import UserError
from epic22.reports.figures import simulation
from epic22.reports.figures.simulation import compute_time_at_risk, compute_weibull_hazard, select_failures
from epic22.simulator.estate import KINDS, SCALE_YEARS
from epic22.simulator.portfolio import (
    HAZARD_TASKS,
    Portfolio,
    check_fault_names,
    compute_fair_rents,
    compute_maintenance_truth,
    plant_faults,
    select_truth,
)

END = datetime(2026, 1, 1)
DAY = timedelta(days=1)


def portfolio(tables: Mapping[str, pl.DataFrame] | None = None, truth: Mapping[str, pl.DataFrame] | None = None) -> Portfolio:
    return Portfolio(tables or {}, END, truth or {})


def probabilities(*columns: str) -> pl.DataFrame:
    """Two cutoffs of one entity, each column with 0.1 and 0.2 times its place."""
    at = {"entity": ["E1", "E1"], "cutoff": [END - 7 * DAY, END]}
    return pl.DataFrame(at | {name: [0.1 * n, 0.2 * n] for n, name in enumerate(columns, start=1)})


def test_a_probability_is_the_truth_of_its_task() -> None:
    truth = select_truth(portfolio(truth={"tenant_churn": probabilities("probability")}), "tenant_churn")
    assert truth.columns == ["entity", "cutoff", "truth"]
    assert truth["truth"].to_list() == [0.1, 0.2]


def test_medians_by_horizon_stay_as_they_are() -> None:
    medians = probabilities("h1", "h2")
    assert select_truth(portfolio(truth={"market_vacancy": medians}), "market_vacancy").equals(medians)


def test_a_hazard_has_one_truth_for_each_of_its_horizons() -> None:
    columns = probabilities("probability", "probability_7", "probability_90")
    whole = portfolio(truth={"predictive_maintenance": columns, "tenant_churn": probabilities("probability")})
    truth = select_truth(whole, "maintenance_hazard")
    assert truth.columns == ["entity", "cutoff", "truth_7", "truth_30", "truth_90"]
    assert truth.row(0)[2:] == pytest.approx((0.2, 0.1, 0.3))
    assert select_truth(whole, "churn_hazard").columns == ["entity", "cutoff", "truth_90"]
    assert set(HAZARD_TASKS) == {"maintenance_hazard", "churn_hazard"}


def test_a_fair_rent_stands_for_the_unit_on_the_day_before_the_lease_was_signed() -> None:
    leases = pl.DataFrame({"lease_id": ["L1", "L2"], "unit_id": ["U1", "U1"], "signed_on": [END - 9 * DAY, END - 3 * DAY]})
    rents = pl.DataFrame({"entity": ["L1", "L2"], "median_rent": [1000.0, 1100.0]})
    truth = select_truth(portfolio({"leases": leases}, {"fair_rent": rents}), "fair_rent")
    assert truth.rows() == [("U1", END - 10 * DAY, 1000.0), ("U1", END - 4 * DAY, 1100.0)]


def test_two_leases_of_a_unit_signed_on_one_day_leave_one_truth() -> None:
    leases = pl.DataFrame({"lease_id": ["L1", "L2"], "unit_id": ["U1", "U1"], "signed_on": [END, END]})
    rents = pl.DataFrame({"entity": ["L1", "L2"], "median_rent": [1000.0, 1100.0]})
    truth = select_truth(portfolio({"leases": leases}, {"fair_rent": rents}), "fair_rent")
    assert truth["truth"].to_list() == [1000.0]


def test_faults_are_planted_one_after_the_other_into_a_copy() -> None:
    orders = pl.DataFrame(
        {
            "work_order_id": [f"W{n}" for n in range(40)],
            "opened_at": [END - n * DAY for n in range(40)],
            "completed_at": [END - (n - 1) * DAY for n in range(40)],
            "known_at": [END - n * DAY for n in range(40)],
        }
    )
    sound = portfolio({"work_orders": orders})
    faulty = plant_faults(sound, ["twice_identical", "completed_before_opened"], seed=3)
    assert [fault.name for fault in faulty.planted] == ["twice_identical", "completed_before_opened"]
    assert sound.tables["work_orders"].equals(orders)
    broken = faulty.tables["work_orders"]
    assert broken.height == 43
    assert broken.filter(pl.col("completed_at") < pl.col("opened_at"))["work_order_id"].n_unique() == 3


def test_an_unknown_fault_is_refused_and_known_ones_are_not() -> None:
    check_fault_names(["renamed", "missing"])
    with pytest.raises(UserError, match="no fault 'echo'; there are post_event_number"):
        check_fault_names(["renamed", "echo"])


def test_maintenance_has_a_truth_for_every_piece_that_stands_there_at_each_monday() -> None:
    world = small_world()
    truth = compute_maintenance_truth(world.estate, world.machines, world.pieces, world.span)
    assert truth.columns == ["entity", "cutoff", "probability", "probability_7", "probability_90"]
    assert set(truth["cutoff"].dt.weekday()) == {1}
    cutoffs = truth["cutoff"].dt.epoch("d").to_numpy()
    number = truth["entity"].str.slice(1).cast(pl.Int64).to_numpy() - 1
    assert np.all(world.pieces.installed[number] <= cutoffs)
    assert np.all(world.pieces.retired[number] > cutoffs)
    counts = truth.group_by("cutoff").len()["len"]
    assert set(counts) == {len(world.estate.slot_kind)}
    assert (truth["probability_7"] <= truth["probability"]).all()
    assert (truth["probability"] <= truth["probability_90"]).all()


def test_the_fair_rent_is_the_rent_without_the_noise_of_signing() -> None:
    world = small_world()
    truth = compute_fair_rents(world.tenants, world.published)
    number = truth["entity"].str.slice(1).cast(pl.Int64).to_numpy() - 1
    assert truth.height == int(world.published.leases.sum())
    noise = np.log(world.tenants.lease.rent[number] / truth["median_rent"].to_numpy())
    assert noise.std() == pytest.approx(0.03, abs=0.012)
    assert np.median(noise) == pytest.approx(0, abs=0.005)


def equipment(*rows: tuple[str, str, datetime, datetime | None]) -> pl.DataFrame:
    times = [("installed_on", pl.Datetime("us")), ("retired_on", pl.Datetime("us"))]
    return pl.DataFrame(rows, schema=[("equipment_id", pl.String), ("kind", pl.String), *times], orient="row")


def orders(*rows: tuple[str, str, str, str, datetime]) -> pl.DataFrame:
    names = ("work_order_id", "equipment_id", "kind", "priority")
    return pl.DataFrame(rows, schema=[*((name, pl.String) for name in names), ("opened_at", pl.Datetime("us"))], orient="row")


def test_only_urgent_corrective_orders_are_failures_and_each_counts_once() -> None:
    opened = datetime(2025, 1, 1)
    work = orders(
        ("W1", "E1", "corrective", "high", opened),
        ("W1", "E1", "corrective", "high", opened),
        ("W2", "E1", "corrective", "low", opened),
        ("W3", "E1", "preventive", "critical", opened),
        ("W4", "E1", "corrective", "critical", opened + DAY),
        ("W5", "E9", "corrective", "critical", opened),
    )
    pieces = equipment(("E1", "hvac", datetime(2015, 1, 1), None))
    rows = select_failures(portfolio({"work_orders": work, "equipment": pieces}))
    assert rows["work_order_id"].to_list() == ["W1", "W4"]
    assert rows["age"].to_list() == pytest.approx([3653 / 365.25, 3654 / 365.25])


def test_pieces_are_exposed_in_the_months_in_which_they_stand_there() -> None:
    pieces = equipment(
        ("E1", "hvac", datetime(2000, 1, 1), None),
        ("E2", "other", datetime(2025, 11, 15), None),
        ("E3", "plumbing", datetime(2000, 1, 1), datetime(2023, 3, 1)),
    )
    kind, age, years = compute_time_at_risk(portfolio({"equipment": pieces}))
    by_kind = {KINDS[k]: round(float(years[kind == k].sum() * 12)) for k in np.unique(kind)}
    assert by_kind == {"hvac": 36, "plumbing": 2, "other": 1}
    assert age[kind == KINDS.index("other")] == pytest.approx([16 / 365.25])


def test_the_drawn_hazard_is_the_weibull_in_years() -> None:
    kind = np.arange(len(KINDS))
    at_scale, at_double = compute_weibull_hazard(kind, SCALE_YEARS), compute_weibull_hazard(kind, 2 * SCALE_YEARS)
    shape = np.array([2.0, 2.2, 2.8, 2.5, 2.2, 2.5, 3.0, 2.5, 2.5])
    assert at_scale == pytest.approx(1.35 * shape / SCALE_YEARS)
    assert at_double / at_scale == pytest.approx(2 ** (shape - 1))


def test_arrears_are_rents_unpaid_for_thirty_days_of_leases_that_run() -> None:
    day = datetime(2025, 6, 1)
    times = [(name, pl.Datetime("us")) for name in ("due_on", "paid_on", "start_date", "ended_on")]
    begin = day - 400 * DAY
    rows = pl.DataFrame(
        [
            (day - 31 * DAY, None, begin, None, 100.0),
            (day - 29 * DAY, None, begin, None, 200.0),
            (day - 60 * DAY, day - DAY, begin, None, 400.0),
            (day - 60 * DAY, day + DAY, begin, None, 800.0),
            (day - 60 * DAY, None, begin, day - DAY, 1600.0),
        ],
        schema=[*times, ("amount", pl.Float64)],
        orient="row",
    )
    leases = pl.DataFrame({"start_date": [begin] * 2, "ended_on": [None, day - DAY], "monthly_rent": [1000.0, 5000.0]})
    assert simulation._compute_arrears_share(rows, leases, day) == pytest.approx(0.9)


def test_a_unit_with_two_leases_on_one_day_is_let_once() -> None:
    day = datetime(2025, 6, 1)
    leases = pl.DataFrame(
        {
            "unit_id": ["U1", "U1", "U2", "U3"],
            "start_date": [day - 9 * DAY, day, day - 9 * DAY, day + DAY],
            "ended_on": [day, None, day - DAY, None],
        },
    )
    assert simulation._count_let_units(leases, day) == 1
