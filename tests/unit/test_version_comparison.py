"""Each check of a version against its parent, proved by a fault in the newest month; a sound month is not accused."""

from datetime import datetime, timedelta
from typing import get_args

import polars as pl
import pytest
from tests.quality_histories import END, IS_NEW, PARENT_END, compare_payments, move_states, name_findings, payments
from tests.small_tables import small_tables

from epic22.core.quality.checks import CHECKS, QualityRules
from epic22.core.quality.finding import Finding, FindingKind
from epic22.core.quality.version_comparison import VersionPair, compare_versions
from epic22.core.tables.canonical import KNOWN_AT, MONEY


def test_months_that_grow_are_not_accused() -> None:
    comparison = compare_payments(payments(growth=1.05))
    assert comparison.findings == ()
    assert len(comparison.tests) >= 5
    assert comparison.untested == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            pl.when(IS_NEW).then(pl.lit(None)).otherwise("method").alias("method"),
            ("payments", "method", "column emptied"),
        ),
        (
            pl.when(IS_NEW & (pl.int_range(pl.len()) % 4 == 0)).then(pl.lit(None)).otherwise("amount").alias("amount"),
            ("payments", "amount", "missing share moved"),
        ),
        (
            pl.when(IS_NEW).then(pl.col("amount") * 100).otherwise("amount").cast(MONEY).alias("amount"),
            ("payments", "amount", "distribution moved"),
        ),
        (
            pl.when(IS_NEW & (pl.col("method") == "ach")).then(pl.lit("cash")).otherwise("method").alias("method"),
            ("payments", "method", "distribution moved"),
        ),
        (
            pl.when(IS_NEW & (pl.col("method") == "cash")).then(pl.lit("coupon")).otherwise("method").alias("method"),
            ("payments", "method", "new level"),
        ),
        (
            pl.when(IS_NEW & (pl.col("method") == "check")).then(pl.lit("ach")).otherwise("method").alias("method"),
            ("payments", "method", "lost level"),
        ),
    ],
)
def test_a_fault_in_the_newest_month_is_found(fault: pl.Expr, expected: tuple[str, str, str]) -> None:
    assert expected in name_findings(compare_payments(payments().with_columns(fault)))


def test_a_third_of_the_usual_rows_is_found() -> None:
    frame = payments()
    kept = frame.filter(~IS_NEW | (pl.int_range(pl.len()) % 3 == 0))
    assert name_findings(compare_payments(kept)) == {("payments", None, "row count moved")}


def test_a_month_without_rows_is_found_as_such_and_as_stale() -> None:
    frame = payments()
    now, before = frame.filter(~IS_NEW), frame.filter(~IS_NEW)
    comparison = compare_versions(VersionPair({"payments": now}, {"payments": before}, PARENT_END, END))
    assert name_findings(comparison) == {("payments", None, "row count moved"), ("payments", KNOWN_AT, "stale table")}


@pytest.mark.slow
def test_rows_that_are_gone_are_found_from_the_share_that_is_asked_for() -> None:
    frame = payments()
    kept = frame.filter(IS_NEW | (pl.int_range(pl.len()) % 4 != 0))
    pair = VersionPair({"payments": kept}, {"payments": frame.filter(~IS_NEW)}, PARENT_END, END)
    assert ("payments", None, "rows gone") in name_findings(compare_versions(pair))
    lenient = QualityRules().with_check("rows_gone", limit=0.3)
    assert ("payments", None, "rows gone") not in name_findings(compare_versions(pair, lenient))


def test_a_table_that_vanishes_is_gone() -> None:
    frame = payments()
    pair = VersionPair({}, {"payments": frame.filter(~IS_NEW)}, PARENT_END, END)
    assert [(f.table, f.what, f.rows) for f in compare_versions(pair).findings] == [
        ("payments", "rows gone", frame.filter(~IS_NEW).height)
    ]


def test_rows_known_after_the_end_are_found() -> None:
    late = payments().with_columns(
        pl.when(pl.col("payment_id") == "Y13-3").then(pl.lit(END + timedelta(days=1))).otherwise(KNOWN_AT).alias(KNOWN_AT)
    )
    assert ("payments", KNOWN_AT, "known after the end") in name_findings(compare_payments(late))


def test_an_id_that_names_another_thing_is_found_and_a_correction_is_not() -> None:
    tables = small_tables()
    pair = move_states(tables, datetime(2023, 4, 1))
    units = tables["units"]
    moved = units.head(1).with_columns(pl.lit("P2").alias("property_id"), pl.lit(pair.end).alias(KNOWN_AT))
    larger = units.head(1).with_columns(pl.col("area_sqft") + 1, pl.lit(pair.end).alias(KNOWN_AT))
    found = compare_versions(VersionPair({"units": pl.concat([units, moved])}, {"units": units}, pair.begin, pair.end))
    assert [(f.column, f.what, f.rows) for f in found.findings] == [("property_id", "key reused", 1)]
    assert "U0 had property_id P0 and has P2" in found.findings[0].evidence
    same = compare_versions(VersionPair({"units": pl.concat([units, larger])}, {"units": units}, pair.begin, pair.end))
    assert same.findings == ()


def test_a_column_that_changes_throughout_is_found() -> None:
    tables = small_tables(units=30)
    pair = move_states(tables, datetime(2023, 4, 1))
    units = tables["units"]
    metric = units.with_columns(pl.col("area_sqft") * 0.0929, pl.lit(pair.end).alias(KNOWN_AT))
    found = compare_versions(VersionPair({"units": pl.concat([units, metric])}, {"units": units}, pair.begin, pair.end))
    assert ("units", "area_sqft", "rows changed") in name_findings(found)
    assert ("units", "area_sqft", "distribution moved") in name_findings(found)


def test_without_enough_months_before_it_is_said_that_nothing_was_tested() -> None:
    young = payments().filter(pl.col(KNOWN_AT) > datetime(2024, 12, 1))
    comparison = compare_payments(young)
    assert comparison.tests == ()
    assert comparison.untested == ("payments: only 1 window like the one since the parent lies before it, 6 are needed.",)


@pytest.mark.slow
def test_what_is_off_or_ignored_is_not_tested() -> None:
    broken = payments().with_columns(pl.when(IS_NEW).then(pl.lit(None)).otherwise("method").alias("method"))
    for rules in (
        QualityRules(ignored=frozenset({"payments.method"})),
        QualityRules(ignored=frozenset({"payments"})),
        QualityRules().with_check("emptied_columns", "off").with_check("distributions", "off").with_check("lost_levels", "off"),
    ):
        assert compare_payments(broken, rules).findings == ()


def test_a_finding_that_is_not_grave_refuses_nothing() -> None:
    rules = QualityRules()
    assert rules.rate_finding(Finding("leases", "notice_on", "missing column", "", grave=False)) == "warn"
    assert rules.rate_finding(Finding("leases", "unit_id", "missing column", "")) == "refuse"


def test_each_kind_of_finding_belongs_to_one_check() -> None:
    kinds = [kind for check in CHECKS for kind in check.kinds]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == set(get_args(FindingKind))


@pytest.mark.slow
def test_of_sound_histories_hardly_any_is_accused() -> None:
    accused = [seed for seed in range(60) if compare_payments(payments(seed, a_month=int(80 + 10 * (seed % 5)))).findings]
    assert len(accused) <= 2


def test_tables_that_were_not_tested_for_one_reason_are_named_together() -> None:
    tables = {name: frame for name, frame in small_tables().items() if name in ("payments", "charges")}
    end = datetime(2023, 1, 1)
    comparison = compare_versions(VersionPair(tables, tables, end, end))
    reason = "no time has passed since the parent, so there is nothing to compare with times before."
    assert comparison.untested == (f"charges, payments: {reason}",)
