"""Versions of the tables: what an ingest adds, skips, dates and sets apart, and that any version can be read again."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from tests.lakes import take_in
from tests.small_tables import small_tables, write_tables

from epic22.adapters.lake import Lake
from epic22.adapters.lake_transaction import DeltaTransaction
from epic22.core.errors import ColumnError, FileError, LakeError
from epic22.core.tables.canonical import CANONICAL


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "in", small_tables())


def latest_id(lake: Lake) -> str:
    version = lake.latest()
    assert version is not None
    return version.id


@pytest.mark.slow
def test_every_row_of_a_folder_comes_back_as_it_was(lake: Lake, folder: Path) -> None:
    done = take_in(lake, folder)
    assert done.version is not None
    assert done.version.quarantined == 0
    frames = lake.frames()
    for name, frame in small_tables().items():
        columns = [c for c in frame.columns if c != "known_at"]
        assert frames[name].select(frame.columns).sort(columns).equals(frame.sort(columns)), name


@pytest.mark.slow
def test_csv_jsonl_and_parquet_of_the_same_rows_are_the_same_version(tmp_path: Path) -> None:
    ids = set()
    for form in ("csv", "jsonl", "parquet"):
        lake = Lake(tmp_path / form)
        take_in(lake, write_tables(tmp_path / f"in-{form}", small_tables(), form))
        ids.add(latest_id(lake))
    assert len(ids) == 1


@pytest.mark.slow
def test_the_order_of_rows_and_the_number_of_batches_change_no_hash(tmp_path: Path, lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    tables = small_tables()
    bit_by_bit = Lake(tmp_path / "other")
    first = {
        name: frame.reverse().head(frame.height // 2) if name in ("sensor_readings", "ledger") else frame
        for name, frame in tables.items()
    }
    take_in(bit_by_bit, write_tables(tmp_path / "first", first))
    take_in(
        bit_by_bit, write_tables(tmp_path / "all", {n: f.sample(fraction=1, shuffle=True, seed=1) for n, f in tables.items()})
    )
    assert latest_id(bit_by_bit) == latest_id(lake)


@pytest.mark.slow
def test_one_changed_value_is_another_version(tmp_path: Path, lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    tables = small_tables()
    tables["units"] = tables["units"].with_columns(pl.col("bedrooms") + (pl.col("unit_id") == "U3").cast(pl.Int64))
    other = Lake(tmp_path / "other")
    take_in(other, write_tables(tmp_path / "changed", tables))
    assert latest_id(other) != latest_id(lake)


@pytest.mark.slow
def test_the_same_folder_again_adds_nothing(lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    again = take_in(lake, folder)
    assert again.version is None
    assert {c.new for c in again.counts.values()} == {0}
    assert len(lake.log()) == 1


@pytest.mark.slow
def test_a_stated_known_at_that_is_stored_otherwise_is_set_apart(tmp_path: Path, lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    changed = {
        "units": small_tables()["units"].with_columns(
            pl.when(pl.col("unit_id") == "U3").then(900.0).otherwise("area_sqft").alias("area_sqft")
        )
    }
    take_in(lake, write_tables(tmp_path / "more", changed))
    apart = lake.quarantine()
    assert apart.select("table", "file", "line", "reason").rows() == [
        ("units", "units.csv", 5, "already known otherwise at that moment")
    ]
    assert lake.scan("units").collect().height == 12


def test_contradicting_rows_of_one_ingest_are_all_set_apart_and_equal_ones_are_one(tmp_path: Path, lake: Lake) -> None:
    tables = small_tables()
    row = tables["properties"].head(1)
    tables["properties"] = pl.concat([tables["properties"], row, row])
    other = tables["units"].head(1).with_columns(area_sqft=pl.lit(1234.0))
    tables["units"] = pl.concat([tables["units"], other])
    done = take_in(lake, write_tables(tmp_path / "in", {n: tables[n] for n in ("properties", "units")}))
    assert (done.counts["properties"].new, done.counts["properties"].twice) == (3, 2)
    assert "properties: 2 rows came more than once, equal in all, and were taken once" in done.notes
    assert lake.quarantine()["line"].to_list() == [2, 14]
    assert "U0" not in lake.scan("units").collect()["unit_id"]


def test_a_snapshot_adds_what_changed_as_known_at_its_moment(tmp_path: Path, lake: Lake) -> None:
    first = small_tables()["properties"].drop("known_at")
    take_in(lake, write_tables(tmp_path / "in", {"properties": first}), datetime(2022, 1, 1))
    second = first.head(2).with_columns(
        pl.when(pl.col("property_id") == "P1").then(9).otherwise("total_units").alias("total_units")
    )
    done = take_in(lake, write_tables(tmp_path / "in", {"properties": second}), datetime(2022, 2, 1))
    counts = done.counts["properties"]
    assert (counts.new, counts.changed, counts.same, counts.gone) == (0, 1, 1, 1)
    rows = (
        lake.scan("properties").filter(pl.col("property_id") == "P1").sort("known_at").select("total_units", "known_at").collect()
    )
    assert rows.rows() == [(4, datetime(2022, 1, 1)), (9, datetime(2022, 2, 1))]


@pytest.mark.slow
def test_a_work_order_that_is_completed_later_becomes_a_second_version(tmp_path: Path, lake: Lake) -> None:
    tables = small_tables()
    keep = {n: tables[n] for n in ("properties", "units", "equipment")}
    orders = tables["work_orders"].drop("known_at").head(1)
    opened = orders.with_columns(status=pl.lit("open"), completed_at=None, cost=None)
    take_in(lake, write_tables(tmp_path / "in", keep | {"work_orders": opened}))
    take_in(lake, write_tables(tmp_path / "in", {"work_orders": orders}), datetime(2022, 5, 1))
    rows = lake.scan("work_orders").sort("known_at").select("status", "known_at").collect().rows()
    assert rows == [("open", orders["opened_at"][0]), ("completed", datetime(2022, 5, 1))]


@pytest.mark.slow
def test_a_broken_row_goes_to_quarantine_and_the_rest_goes_in(tmp_path: Path, lake: Lake) -> None:
    tables = small_tables()
    folder = write_tables(tmp_path / "in", tables)
    text = (folder / "leases.csv").read_text().split("\n")
    text[3] = text[3].replace("fixed", "sometimes").replace("T2", "T999")
    (folder / "leases.csv").write_text("\n".join(text))
    done = take_in(lake, folder)
    apart = lake.quarantine().filter(pl.col("table") == "leases")
    assert apart["line"].to_list() == [4]
    assert "lease_type is sometimes, expected one of fixed, month_to_month" in apart["reason"][0]
    assert "no tenant_id T999 in tenants" in apart["reason"][0]
    assert lake.scan("leases").collect().height == 11
    charges = lake.quarantine().filter(pl.col("table") == "charges")
    assert charges["reason"].to_list() == ["no lease_id L2 in leases"]
    assert done.quarantined["leases"] == 1


def test_a_missing_required_column_refuses_everything_and_names_the_nearest(tmp_path: Path, lake: Lake, folder: Path) -> None:
    frame = small_tables()["leases"].rename({"monthly_rent": "monthlyRent"})
    write_tables(folder, {"leases": frame})
    with pytest.raises(ColumnError, match=r"leases.csv: leases: no column monthly_rent \(renamed\? there is monthlyRent\)"):
        take_in(lake, folder)
    assert lake.latest() is None


def test_a_retyped_column_refuses_everything(tmp_path: Path, lake: Lake, folder: Path) -> None:
    write_tables(folder, {"units": small_tables()["units"].with_columns(pl.lit("many").alias("bedrooms"))})
    with pytest.raises(ColumnError, match=r"units.bedrooms: 12 of 12 values are not a whole number \(the first: 'many'\)"):
        take_in(lake, folder)
    assert lake.latest() is None


@pytest.mark.slow
def test_an_unknown_column_is_left_out_and_said(tmp_path: Path, lake: Lake, folder: Path) -> None:
    write_tables(folder, {"units": small_tables()["units"].with_columns(pl.lit(1).alias("flor")).drop("floor")})
    done = take_in(lake, folder)
    assert done.notes == ("units.csv: units: column flor is not one of its own and was left out (renamed? there is floor)",)


def test_percent_and_upper_case_are_put_right_at_the_border(tmp_path: Path, lake: Lake) -> None:
    market = small_tables()["market"].with_columns(pl.col("vacancy_rate") * 100, pl.col("provenance").str.to_uppercase())
    done = take_in(lake, write_tables(tmp_path / "in", {"market": market}))
    assert lake.scan("market").collect()["vacancy_rate"].unique().to_list() == [0.05]
    assert lake.scan("market").collect()["provenance"].unique().to_list() == ["public"]
    assert "market.csv: market.vacancy_rate is in percent and was divided by 100" in done.notes


@pytest.mark.slow
def test_an_older_version_is_read_as_it_was_and_can_be_restored(tmp_path: Path, lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    before = lake.frames(1)
    more = small_tables(readings=300)["sensor_readings"].tail(100)
    take_in(lake, write_tables(tmp_path / "more", {"sensor_readings": more}))
    assert lake.diff(1, 2) == {"sensor_readings": (0, 100)}
    assert all(lake.frames(1)[name].equals(frame) for name, frame in before.items())
    made = lake.restore(1, "tester")
    assert (made.number, made.parent, made.id, made.action) == (3, 2, lake.version(1).id, "restore 1")
    assert lake.diff(1, 3) == {}
    assert [v.number for v in lake.log()] == [1, 2, 3]
    take_in(lake, tmp_path / "more")
    assert latest_id(lake) == lake.version(2).id


@pytest.mark.slow
def test_the_log_says_who_when_from_where(lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    version = lake.version(1)
    assert version.who == "tester"
    assert version.parent is None
    assert {s.name: (s.rows, s.quarantined) for s in version.sources}["units.csv"] == (12, 0)
    assert version.end == datetime(2021, 2, 22)
    assert version.rows == sum(frame.height for frame in small_tables().values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loaded", "end"), [(datetime(2023, 1, 1), datetime(2021, 2, 22)), (datetime(2021, 3, 1), datetime(2021, 3, 2))]
)
def test_an_old_export_is_complete_to_its_last_event_and_a_recent_one_to_its_day(
    tmp_path: Path, lake: Lake, loaded: datetime, end: datetime
) -> None:
    """Equipment that says no other is known when it is loaded: as if nothing had failed and nobody moved out in two years."""
    tables = {name: frame.drop("known_at") for name, frame in small_tables().items()}
    done = take_in(lake, write_tables(tmp_path / "in", tables), now=loaded)
    assert done.version is not None
    assert done.version.end == end
    tables["equipment"] = tables["equipment"].with_columns(pl.lit(50).cast(pl.Decimal(18, 2)).alias("replacement_cost"))
    again = take_in(lake, write_tables(tmp_path / "later", {"equipment": tables["equipment"]}), now=datetime(2024, 1, 1))
    assert again.version is not None
    assert again.version.end == end


@pytest.mark.slow
def test_point_in_time_tables_have_their_keys_and_money_as_floats(lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    tables = lake.tables().tables
    assert set(tables) == {table.name for table in CANONICAL}
    assert tables["leases"].frame.schema["monthly_rent"] == pl.Float64
    assert tables["sensor_readings"].keys == ("equipment_id", "kind", "measured_at")
    assert tables["sensor_readings"].frame.height == 200


@pytest.mark.slow
def test_a_second_ingest_at_the_same_time_is_refused(lake: Lake, folder: Path) -> None:
    with lake.begin_transaction(), pytest.raises(LakeError, match="another ingest is running"):
        take_in(Lake(lake.root), folder)
    take_in(lake, folder)
    assert len(lake.log()) == 1


@pytest.mark.slow
def test_two_writers_never_share_a_number(lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    version = lake.version(1)
    with pytest.raises(LakeError, match="made by another ingest meanwhile"):
        lake._publish(version)


@pytest.mark.slow
def test_a_version_that_is_not_there_is_said(lake: Lake, folder: Path) -> None:
    with pytest.raises(LakeError, match="there is none yet"):
        lake.version(3)
    take_in(lake, folder)
    with pytest.raises(LakeError, match="there are 1 to 1"):
        lake.scan("units", 3)


@pytest.mark.slow
def test_a_new_protected_class_joins_the_table(tmp_path: Path, lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    more = small_tables()["protected"].with_columns(sex=pl.lit("f"), known_at=pl.lit(datetime(2021, 6, 1)))
    take_in(lake, write_tables(tmp_path / "more", {"protected": more}))
    assert lake.scan("protected").collect().select("sex").to_series().drop_nulls().len() == 12
    assert "sex" not in lake.scan("protected", 1).collect_schema()


@pytest.mark.slow
def test_classes_come_and_go_in_the_protected_table_over_a_restore(tmp_path: Path, lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    first = latest_id(lake)
    base = small_tables()["protected"].with_columns(known_at=pl.lit(datetime(2021, 6, 1)))
    take_in(lake, write_tables(tmp_path / "more", {"protected": base.with_columns(sex=pl.lit("f"))}))
    second = latest_id(lake)
    assert lake.restore(1, "tester").id == first
    assert lake.scan("protected").collect().height == 12
    take_in(lake, write_tables(tmp_path / "other", {"protected": base.with_columns(age_band=pl.lit("60+"))}))
    assert lake.scan("protected").collect()["age_band"].drop_nulls().len() == 12
    lake.restore(2, "tester")
    assert lake.scan("protected").collect()["sex"].drop_nulls().len() == 12
    assert take_in(lake, tmp_path / "more").version is None
    assert latest_id(lake) == second


def test_a_file_with_a_header_alone_changes_nothing(tmp_path: Path, lake: Lake) -> None:
    frame = small_tables()["properties"]
    write_tables(tmp_path / "in" / "properties", {"a": frame.clear(), "b": frame.drop("known_at")})
    assert take_in(lake, tmp_path / "in").counts["properties"].new == 3


def test_rows_known_in_the_future_do_not_make_the_tables_complete_to_then(tmp_path: Path, lake: Lake) -> None:
    market = small_tables()["market"].with_columns(known_at=pl.lit(datetime(2999, 1, 1)))
    take_in(lake, write_tables(tmp_path / "in", {"market": market}))
    assert lake.resolve_version().end.year < 2999


@pytest.mark.slow
def test_delta_is_told_to_forget_nothing(lake: Lake, folder: Path) -> None:
    take_in(lake, folder)
    told = DeltaTable(lake.root / "units").metadata().configuration
    assert told["delta.enableExpiredLogCleanup"] == "false"


def test_files_that_partly_state_known_at_are_refused(tmp_path: Path, lake: Lake) -> None:
    frame = small_tables()["properties"]
    write_tables(tmp_path / "in" / "properties", {"a": frame.head(1), "b": frame.tail(1).drop("known_at")})
    with pytest.raises(FileError, match="some files state known_at and some do not"):
        take_in(lake, tmp_path / "in")


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs but what has no choice."""


@pytest.mark.slow
@pytest.mark.parametrize("step", range(8))
def test_a_stop_before_any_step_of_the_commit_leaves_the_old_version_and_a_second_run_gives_the_same(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    tables = {name: frame for name, frame in small_tables().items() if name in ("properties", "units", "market")}
    half = {name: frame.head(frame.height // 2) for name, frame in tables.items()}
    take_in(lake, write_tables(tmp_path / "half", half))
    whole = write_tables(tmp_path / "whole", tables)
    undisturbed = Lake(tmp_path / "undisturbed")
    take_in(undisturbed, whole)
    old = latest_id(lake)
    calls = 0

    def stops(real: Callable[..., Any]) -> Callable[..., Any]:
        def stopping(*args: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > step:
                raise Killed
            return real(*args, **named)

        return stopping

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", stops(os.replace))
        patched.setattr(os, "link", stops(os.link))
        patched.setattr(DeltaTable, "create_write_transaction", stops(DeltaTable.create_write_transaction))
        patched.setattr(DeltaTable, "restore", stops(DeltaTable.restore))
        patched.setattr(DeltaTransaction, "clean", lambda self: None)
        try:
            take_in(lake, whole)
        except Killed:
            assert latest_id(lake) == old
            assert sum(frame.height for frame in lake.frames().values()) == lake.version(1).rows
    take_in(lake, whole)
    assert latest_id(lake) == latest_id(undisturbed)
    for name, frame in lake.frames().items():
        assert frame.height == tables[name].height
        assert frame.is_unique().all()
