"""Columns against the contract: what counts as the same column under another name, and what is reported."""

from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.quality.finding import DeclaredTables, Finding, cast_to_contract, select_newest
from epic22.core.quality.schema import audit_schema
from epic22.core.tables.canonical import KNOWN_AT, CanonicalTable
from epic22.core.task import Column

T0 = datetime(2024, 1, 1)
PUMPS = CanonicalTable(
    "pumps",
    (
        Column("pump_id", "text", role="id"),
        Column("maker", "category", levels=("arden", "brook")),
        Column("flow_rate", "float", low=0.0, high=50.0),
        Column("price", "money", low=0.0),
        Column("note", "text", optional=True),
    ),
    key=("pump_id",),
    entity="pump_id",
)


def pumps(n: int = 4) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "pump_id": [f"P{i}" for i in range(n)],
            "maker": ["arden" if i % 2 else "brook" for i in range(n)],
            "flow_rate": [10.0 + i for i in range(n)],
            "price": [100.5 + i for i in range(n)],
            "note": [f"remark {i}" for i in range(n)],
            KNOWN_AT: [T0] * n,
        }
    )
    return cast_to_contract(frame, PUMPS)


def whats(findings: tuple[Finding, ...]) -> list[tuple[str | None, str, bool]]:
    return [(finding.column, finding.what, finding.grave) for finding in findings]


def test_a_frame_that_follows_the_contract_is_returned_as_it_is() -> None:
    frame, findings = audit_schema(pumps(), PUMPS)
    assert findings == ()
    assert frame.equals(pumps())


def test_a_missing_column_is_grave_unless_it_may_be_null() -> None:
    _, findings = audit_schema(pumps().drop("price", "note"), PUMPS)
    assert whats(findings) == [("price", "missing column", True), ("note", "missing column", False)]
    assert findings[0].evidence == "no column price, which is needed; no undeclared column could stand for it."
    assert "which may be null" in findings[1].evidence


def test_a_missing_known_at_is_grave() -> None:
    _, findings = audit_schema(pumps().drop(KNOWN_AT), PUMPS)
    assert whats(findings) == [(KNOWN_AT, "missing column", True)]


def test_a_column_of_a_near_name_and_the_same_type_stands_for_the_missing_one() -> None:
    frame, findings = audit_schema(pumps().rename({"flow_rate": "flowrate"}), PUMPS)
    assert whats(findings) == [("flow_rate", "renamed column", True)]
    assert frame["flow_rate"].to_list() == pumps()["flow_rate"].to_list()
    assert "flowrate" not in frame.columns


def test_a_column_that_shares_one_word_of_the_name_is_near_enough() -> None:
    frame, findings = audit_schema(pumps().rename({"flow_rate": "measured_rate_of_that_pump_in_litres"}), PUMPS)
    assert whats(findings) == [("flow_rate", "renamed column", True)]
    assert frame["flow_rate"].null_count() == 0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("flowrate", [10.0, 11.0, 12.0, 51.0], id="a value above the bound"),
        pytest.param("flowrate", [10.0, 11.0, 12.0, -0.5], id="a value below the bound"),
        pytest.param("flowrate", ["10", "11", "12", "13"], id="another type"),
        pytest.param("zzz", [10.0, 11.0, 12.0, 13.0], id="a name that is far away"),
    ],
)
def test_a_column_that_does_not_fit_never_stands_for_the_missing_one(name: str, values: list[object]) -> None:
    other = pumps().drop("flow_rate").with_columns(pl.Series(name, values))
    _, findings = audit_schema(other, PUMPS)
    assert whats(findings) == [("flow_rate", "missing column", True)]
    assert f"undeclared columns: {name}" in findings[0].evidence


def test_a_category_with_an_undeclared_level_is_not_the_missing_category() -> None:
    other = pumps().drop("maker").with_columns(maker_=pl.Series(["arden", "brook", "calder", "arden"]))
    assert whats(audit_schema(other, PUMPS)[1]) == [("maker", "missing column", True)]


def test_half_of_the_values_seen_before_identify_a_column_whatever_its_name() -> None:
    before = pumps()
    half = pumps().drop("flow_rate").with_columns(zzz=pl.Series([10.0, 11.0, 40.0, 41.0]))
    less = pumps().drop("flow_rate").with_columns(zzz=pl.Series([10.0, 39.0, 40.0, 41.0]))
    assert whats(audit_schema(half, PUMPS, before)[1]) == [("flow_rate", "renamed column", True)]
    assert "50% of its values occurred in flow_rate before" in audit_schema(half, PUMPS, before)[1][0].evidence
    assert whats(audit_schema(less, PUMPS, before)[1]) == [("flow_rate", "missing column", True)]


def test_one_undeclared_column_stands_for_one_missing_column_only() -> None:
    two = CanonicalTable(
        "two", (Column("inflow_rate", "float"), Column("outflow_rate", "float")), ("inflow_rate",), "inflow_rate"
    )
    frame = pl.DataFrame({"flow_rate": [1.0], KNOWN_AT: [T0]}).with_columns(pl.col(KNOWN_AT).cast(pl.Datetime("us")))
    assert whats(audit_schema(frame, two)[1]) == [
        ("inflow_rate", "renamed column", True),
        ("outflow_rate", "missing column", True),
    ]


def test_a_retyped_column_says_what_share_can_be_read() -> None:
    text = pumps().with_columns(flow_rate=pl.Series(["10.5", "11", "n/a", None]))
    _, findings = audit_schema(text, PUMPS)
    assert whats(findings) == [("flow_rate", "retyped column", True)]
    assert findings[0].evidence == "flow_rate is String, expected Float64; 2 of 3 rows (66.7%) can be read as that."


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(6)), dropped=st.sets(st.sampled_from(["maker", "price", "note", "flow_rate"])))
def test_the_findings_do_not_depend_on_the_order_of_the_columns(order: list[int], dropped: set[str]) -> None:
    frame = pumps().drop(dropped)
    turned = frame.select([pumps().columns[i] for i in order if pumps().columns[i] in frame.columns])
    assert whats(audit_schema(turned, PUMPS)[1]) == whats(audit_schema(frame, PUMPS)[1])
    assert {name for name, _, _ in whats(audit_schema(frame, PUMPS)[1])} == dropped


def test_casting_to_the_contract_keeps_the_rows_and_nulls_what_cannot_be_read() -> None:
    frame = pl.DataFrame({"pump_id": ["P1", "P2"], "flow_rate": ["1.5", "many"], "colour": ["red", "blue"]})
    ready = cast_to_contract(frame, PUMPS)
    assert ready.columns == [*(column.name for column in PUMPS.columns), KNOWN_AT]
    assert dict(ready.schema) == PUMPS.schema
    assert ready["flow_rate"].to_list() == [1.5, None]
    assert ready["price"].null_count() == 2


def test_text_times_lose_their_zone_and_keep_their_moment() -> None:
    frame = pl.DataFrame({"pump_id": ["P1"], KNOWN_AT: ["2024-01-02T03:04:05+02:00"]})
    assert cast_to_contract(frame, PUMPS)[KNOWN_AT].to_list() == [datetime(2024, 1, 2, 1, 4, 5)]


def test_the_newest_version_of_a_key_is_the_one_known_last() -> None:
    versions = pl.concat([pumps(2).with_columns(pl.lit(datetime(2024, m, 1)).alias(KNOWN_AT), pl.lit(m * 1.0).alias("flow_rate"))
                          for m in (3, 1, 2)])  # fmt: skip
    newest = select_newest(versions, PUMPS)
    assert newest.sort("pump_id").select("pump_id", "flow_rate").rows() == [("P0", 3.0), ("P1", 3.0)]


def test_of_two_versions_known_at_the_same_moment_the_later_row_counts() -> None:
    same = pl.concat([pumps(1).with_columns(flow_rate=pl.lit(1.0)), pumps(1).with_columns(flow_rate=pl.lit(2.0))])
    assert select_newest(same, PUMPS)["flow_rate"].to_list() == [2.0]


def test_declared_tables_have_the_columns_that_are_not_absent() -> None:
    declared = DeclaredTables({"pumps": pumps()}, frozenset({("pumps", "note")}))
    assert declared.has_columns("pumps", "maker", "price")
    assert not declared.has_columns("pumps", "maker", "note")
    assert not declared.has_columns("units", "area_sqft")
