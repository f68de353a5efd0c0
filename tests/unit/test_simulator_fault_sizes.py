"""Each planted fault changes what its words say, as much as they say, and nothing beside it."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tests.sound_portfolio import sound_portfolio

from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import KNOWN_AT, get_canonical_table
from epic22.simulator.faults import PlantedFault, plant, plant_filled_column
from epic22.simulator.unfairness import compute_late_shares, plant_unfair_class

Frames = dict[str, pl.DataFrame]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def tables() -> Frames:
    return sound_portfolio(1, properties=12, units_each=12)


def plant_and_compare(tables: Frames, name: str, seed: int) -> tuple[PlantedFault, pl.DataFrame]:
    """The fault, and the rows whose column differs: [all columns, before]."""
    faulty, fault = plant(tables, name, seed)
    assert fault.column is not None
    before, after = tables[fault.table][fault.column], faulty[fault.table][fault.column]
    rows = faulty[fault.table].with_columns(before.alias("before"))
    assert rows.drop(fault.column, "before").equals(tables[fault.table].drop(fault.column))
    return fault, rows.filter(~after.eq_missing(before))


@pytest.mark.parametrize("seed", SEEDS)
def test_readings_of_one_property_turn_into_fahrenheit(tables: Frames, seed: int) -> None:
    fault, rows = plant_and_compare(tables, "fahrenheit_property", seed)
    assert rows.height == fault.size
    assert set(rows["kind"]) == {"temperature"}
    assert rows["value"].to_numpy() == pytest.approx(rows["before"].to_numpy() * 1.8 + 32)
    places = rows.join(tables["equipment"].unique("equipment_id"), on="equipment_id")["property_id"].unique()
    assert len(places) == 1
    assert places[0] in fault.words


@pytest.mark.parametrize("seed", SEEDS)
def test_all_temperatures_from_a_day_on_turn_into_fahrenheit(tables: Frames, seed: int) -> None:
    fault, rows = plant_and_compare(tables, "fahrenheit_since", seed)
    assert rows.height == fault.size
    first, last = rows["measured_at"].min(), tables["sensor_readings"]["measured_at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    later = tables["sensor_readings"].filter((pl.col("kind") == "temperature") & (pl.col("measured_at") >= first))
    assert later.height == rows.height
    assert timedelta(days=18) < last - first < timedelta(days=91)


@pytest.mark.parametrize("name", ["twice_identical", "twice_new_known_at", "twice_new_id"])
def test_a_twentieth_of_the_last_thirty_days_comes_twice_and_the_old_rows_stay(tables: Frames, name: str) -> None:
    faulty, fault = plant(tables, name, 0)
    before, after = tables[fault.table], faulty[fault.table]
    assert after.head(before.height).equals(before)
    copies = after.tail(after.height - before.height)
    last = before[KNOWN_AT].max()
    assert isinstance(last, datetime)
    recent = before.filter(pl.col(KNOWN_AT) > last - timedelta(days=30))
    assert copies.height == fault.size == max(3, round(0.05 * recent.height))
    key = get_canonical_table(fault.table).key[0]
    renewed = {"twice_identical": [], "twice_new_known_at": [KNOWN_AT], "twice_new_id": [key, KNOWN_AT]}[name]
    same = [c for c in before.columns if c not in renewed]
    assert copies.select(same).join(recent.select(same), on=same, how="anti", nulls_equal=True).height == 0
    if name != "twice_identical":
        times = copies.join(recent, on=same, suffix="_first", nulls_equal=True)
        assert set(times[KNOWN_AT] - times[f"{KNOWN_AT}_first"]) == {timedelta(hours=1)}


def test_one_sensor_drifts_by_a_standard_deviation_within_a_month_and_stays(tables: Frames) -> None:
    fault, rows = plant_and_compare(tables, "drift_sensor", 1)
    assert rows.height == fault.size
    assert rows.select("equipment_id", "kind").unique().height == 1
    whole = tables["sensor_readings"].join(rows.select("equipment_id", "kind").unique(), on=["equipment_id", "kind"])
    sd = whole["value"].std()
    begin = rows["measured_at"].min()
    assert isinstance(begin, datetime)
    rise = rows.sort("measured_at").select("measured_at", rise=pl.col("value") - pl.col("before"))
    assert rise["rise"].is_sorted()
    after = rise.filter(pl.col("measured_at") > begin + timedelta(days=31))["rise"]
    assert after.to_numpy() == pytest.approx(np.full(len(after), sd))
    assert len(after) > 0


def test_all_sensors_of_a_kind_drift_each_by_its_own_deviation(tables: Frames) -> None:
    fault, rows = plant_and_compare(tables, "drift_kind", 0)
    assert rows.height == fault.size
    assert rows["kind"].n_unique() == 1
    kind = rows["kind"][0]
    readings = tables["sensor_readings"].filter(pl.col("kind") == kind)
    deviations = readings.group_by("equipment_id").agg(pl.col("value").std().alias("sd"))
    assert rows["equipment_id"].n_unique() == deviations.height
    top = (
        rows.group_by("equipment_id")
        .agg((pl.col("value") - pl.col("before")).max().alias("rise"))
        .join(deviations, on="equipment_id")
    )
    assert (top["rise"] / top["sd"]).is_between(0.9, 1 + 1e-9).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_column_is_renamed_turned_into_text_or_dropped(tables: Frames, seed: int) -> None:
    for name, difference in (("renamed", 2), ("missing", 1)):
        faulty, fault = plant(tables, name, seed)
        before, after = set(tables[fault.table].columns), set(faulty[fault.table].columns)
        assert fault.column in before - after
        assert len(before ^ after) == difference
    faulty, fault = plant(tables, "retyped", seed)
    assert fault.column is not None
    assert faulty[fault.table].schema == {**tables[fault.table].schema, fault.column: pl.String}


@pytest.mark.parametrize(("name", "event"), [("order_known_early", "opened_at"), ("payment_known_early", "paid_on")])
def test_rows_are_known_three_days_before_they_happened(tables: Frames, name: str, event: str) -> None:
    fault, rows = plant_and_compare(tables, name, 0)
    assert set(rows[event] - rows[KNOWN_AT]) == {timedelta(days=3)}
    assert rows[get_canonical_table(fault.table).key[0]].n_unique() == fault.size


@pytest.mark.parametrize("name", ["lease_overlaps", "charge_after_end", "payment_before_signing", "completed_before_opened"])
def test_dates_are_moved_for_one_key_in_a_hundred(tables: Frames, name: str) -> None:
    fault, rows = plant_and_compare(tables, name, 2)
    key = get_canonical_table(fault.table).key[0]
    assert rows[key].n_unique() == fault.size
    assert 3 <= fault.size <= max(3, round(0.01 * tables[fault.table][key].n_unique()))


def test_a_lease_that_overlaps_begins_sixty_days_sooner(tables: Frames) -> None:
    _, rows = plant_and_compare(tables, "lease_overlaps", 0)
    assert set(rows["before"] - rows["start_date"]) == {timedelta(days=60)}


def test_a_charge_falls_due_45_days_after_its_lease_ended(tables: Frames) -> None:
    _, rows = plant_and_compare(tables, "charge_after_end", 0)
    ends = rows.join(tables["leases"].unique("lease_id"), on="lease_id")
    assert ends.height == rows.height
    assert set(ends["due_on"] - ends["ended_on"]) == {timedelta(days=45)}


def test_a_payment_comes_thirty_days_before_its_lease_is_signed(tables: Frames) -> None:
    _, rows = plant_and_compare(tables, "payment_before_signing", 0)
    charges = tables["charges"].unique("charge_id").select("charge_id", "lease_id")
    leases = rows.join(charges, on="charge_id").join(tables["leases"].unique("lease_id"), on="lease_id")
    assert set(leases["signed_on"] - leases["paid_on"]) == {timedelta(days=30)}


def test_an_order_is_completed_two_days_before_it_is_opened(tables: Frames) -> None:
    _, rows = plant_and_compare(tables, "completed_before_opened", 0)
    assert set(rows["opened_at"] - rows["completed_at"]) == {timedelta(days=2)}


def test_equipment_is_installed_thirty_days_after_its_first_order(tables: Frames) -> None:
    faulty, fault = plant(tables, "order_before_installation", 0)
    installed = faulty["equipment"].with_columns(tables["equipment"]["installed_on"].alias("before"))
    moved = installed.filter(pl.col("installed_on") != pl.col("before"))
    first = tables["work_orders"].group_by("equipment_id").agg(pl.col("opened_at").min())
    both = moved.join(first, on="equipment_id")
    assert both["equipment_id"].n_unique() == fault.size
    assert set(both["installed_on"] - both["opened_at"]) == {timedelta(days=30)}


def test_a_warranty_is_filled_for_most_of_what_failed_and_few_others(tables: Frames) -> None:
    faulty, fault = plant(tables, "post_event_filled", 0)
    rows = faulty["equipment"]
    filled = rows.drop_nulls("warranty_until")
    assert filled.height == fault.size
    urgent = (pl.col("kind") == "corrective") & pl.col("priority").is_in(["high", "critical"])
    failed = tables["work_orders"].filter(urgent)["equipment_id"].drop_nulls().unique()
    shares = rows.group_by(pl.col("equipment_id").is_in(failed.implode()).alias("failed")).agg(
        pl.col("warranty_until").is_not_null().mean()
    )
    by_failed = dict(shares.iter_rows())
    assert by_failed[True] == pytest.approx(0.6, abs=0.25)
    assert by_failed[False] == pytest.approx(0.1, abs=0.1)


def test_rows_of_one_event_are_filled_together() -> None:
    rows = pl.DataFrame({"machine": np.repeat(np.arange(300), 6), "failed": [0, 0, 1, 1, 1, 0] * 300})
    noted, _ = plant_filled_column(rows, "failed", seed=3, entity="machine")
    present = noted.with_columns(pl.col("final_note").is_not_null()).filter(pl.col("failed") == 1)
    per_event = present.group_by("machine").agg(pl.col("final_note").n_unique())["final_note"]
    assert set(per_event) == {1}
    assert present["final_note"].mean() == pytest.approx(0.6, abs=0.1)


def test_too_few_recent_rows_cannot_come_twice(tables: Frames) -> None:
    orders = tables["work_orders"].sort(KNOWN_AT)
    gap = orders.head(25).vstack(orders.tail(1))
    with pytest.raises(ColumnError, match="only 1 rows in the last 30 days; at least 3 are needed"):
        plant({**tables, "work_orders": gap}, "twice_identical", 0)


def rent_and_payment(
    charge: str, lease: str, due: datetime, days: int | None
) -> tuple[dict[str, object], dict[str, object] | None]:
    """A rent charge, and its payment some days after it was due."""
    row: dict[str, object] = {"charge_id": charge, "lease_id": lease, "kind": "rent", "due_on": due}
    if days is None:
        return row, None
    return row, {"charge_id": charge, "status": "paid", "paid_on": due + timedelta(days=days)}


def rents_of(*days: tuple[str, int | None]) -> Frames:
    """Tables of rents, each of a tenant and with the days to its payment (None: never paid)."""
    due = datetime(2024, 1, 1)
    pairs = [rent_and_payment(f"C{n}", f"L-{tenant}", due + timedelta(days=31 * n), d) for n, (tenant, d) in enumerate(days)]
    tenants = list(dict.fromkeys(tenant for tenant, _ in days))
    payments = [payment for _, payment in pairs if payment is not None]
    return {
        "leases": pl.DataFrame({"lease_id": [f"L-{t}" for t in tenants], "tenant_id": tenants}),
        "charges": pl.DataFrame([charge for charge, _ in pairs]),
        "payments": pl.DataFrame(payments, schema={"charge_id": pl.String, "status": pl.String, "paid_on": pl.Datetime("us")}),
        "protected": pl.DataFrame({"tenant_id": tenants, "family_status": ["no children"] * len(tenants)}),
    }


def test_a_rent_is_late_six_days_after_it_was_due_or_when_it_never_comes() -> None:
    shares = compute_late_shares(rents_of(("a", 0), ("a", 5), ("a", 6), ("b", None), ("b", 40), ("c", 5)))
    assert dict(shares.iter_rows()) == pytest.approx({"a": 1 / 3, "b": 1.0, "c": 0.0})


def test_the_class_is_tied_to_the_fifth_of_tenants_who_pay_latest() -> None:
    late, punctual = [(f"late{n}", 20) for n in range(400)], [(f"good{n}", 0) for n in range(1600)]
    tables = rents_of(*late, *punctual)
    protected, fault = plant_unfair_class(tables, seed=1)
    children = protected.with_columns(pl.col("family_status") == "children", late=pl.col("tenant_id").str.starts_with("late"))
    shares = dict(children.group_by("late").agg(pl.col("family_status").mean()).iter_rows())
    assert shares[True] == pytest.approx(0.95, abs=0.04)
    assert shares[False] == pytest.approx(0.02, abs=0.012)
    assert protected.drop("family_status").equals(tables["protected"].drop("family_status"))
    assert (fault.table, fault.column, fault.size) == ("protected", "family_status", 2000)


def test_a_class_cannot_be_tied_to_late_payments_that_nobody_makes() -> None:
    with pytest.raises(ColumnError, match="no tenant in table protected has paid a rent late"):
        plant_unfair_class(rents_of(("a", 0), ("b", 3)), seed=0)
