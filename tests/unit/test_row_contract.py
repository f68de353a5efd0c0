"""Rows against contracts: whole rows are kept as they are, each broken one is set apart with every reason."""

from contextlib import suppress
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.small_tables import small_tables

from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable, get_canonical_table
from epic22.core.tables.parsing import convert_percent_columns, parse_column, parse_times
from epic22.core.tables.row_contract import LINE_COLUMN, CheckResult, check_header, check_rows
from epic22.core.task import Column

TABLES = small_tables(readings=24)
NAMES = [table.name for table in CANONICAL]


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as a CSV file would hold it."""
    return frame.select(
        pl.col(n).dt.strftime("%Y-%m-%dT%H:%M:%S") if t == pl.Datetime("us") else pl.col(n).cast(pl.String)
        for n, t in frame.schema.items()
    )


def check(name: str, frame: pl.DataFrame) -> CheckResult:
    return check_rows(get_canonical_table(name), frame, TABLES)


@pytest.mark.parametrize("name", NAMES)
def test_whole_rows_are_kept_as_they_are_from_text_and_from_types(name: str) -> None:
    frame = TABLES[name]
    for given_ in (frame, as_text(frame)):
        checked = check(name, given_)
        assert checked.rejected.height == 0
        assert checked.valid.drop(LINE_COLUMN).select(frame.columns).equals(frame)


def _bad_cells(table: CanonicalTable) -> list[tuple[str, str | None]]:
    """For each column, values that it must refuse."""
    found: list[tuple[str, str | None]] = []
    for column in (*table.columns, Column(KNOWN_AT, "time")):
        if not column.optional:
            found += [(column.name, None), (column.name, "  ")]
        if column.dtype in ("float", "int", "money", "time"):
            found += [(column.name, "x"), (column.name, "nan")]
        if column.low is not None:
            found.append((column.name, str(int(column.low) - 1)))
        if column.high is not None:
            found.append((column.name, str(int(column.high) + 1)))
        if column.levels:
            found.append((column.name, "elephant"))
    return found + [(r.column, "nobody") for r in table.references]


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_one_bad_cell_breaks_its_row_alone_and_the_reason_names_its_column(data: Any) -> None:
    name = data.draw(st.sampled_from(NAMES))
    column, bad = data.draw(st.sampled_from(_bad_cells(get_canonical_table(name))))
    text = as_text(TABLES[name])
    at = data.draw(st.integers(0, text.height - 1))
    spoilt = text.with_columns(pl.when(pl.int_range(pl.len()) == at).then(pl.lit(bad)).otherwise(column).alias(column))
    checked = check(name, spoilt)
    assert checked.rejected["line"].to_list() == [at + 1]
    assert column in checked.rejected["reason"][0]
    assert checked.valid[LINE_COLUMN].to_list() == [n + 1 for n in range(text.height) if n != at]


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(["x", "", "12", "-1", "1e3", "3.0", "3.5", " 7 ", "nan", "inf"]), st.text(max_size=3))))
@settings(max_examples=100, deadline=None)
def test_no_row_is_lost_whatever_the_file_holds(cells: list[tuple[str, str]]) -> None:
    rows = {"unit_id": [b for _, b in cells], "bedrooms": [a for a, _ in cells]}
    frame = pl.DataFrame(rows, schema={"unit_id": pl.String, "bedrooms": pl.String}).with_columns(
        property_id=pl.lit("P0"), bathrooms=pl.lit("1"), area_sqft=pl.lit("500"), known_at=pl.lit("2021-01-01")
    )
    with suppress(ColumnError):
        checked = check("units", frame)
        assert sorted([*checked.valid[LINE_COLUMN], *checked.rejected["line"]]) == list(range(1, len(cells) + 1))


def test_every_reason_of_a_row_is_told() -> None:
    lease = as_text(TABLES["leases"].head(1)).with_columns(
        end_date=pl.lit("2019-01-01"),
        monthly_rent=pl.lit("-3"),
        unit_id=pl.lit("U99"),
        end_reason=pl.lit("renewed"),
        deposit=pl.lit(None),
    )
    reason = check("leases", lease).rejected["reason"][0]
    assert reason.split("; ") == [
        "monthly_rent is -3.00, expected at least 0",
        "deposit is empty",
        "expected end_date after start_date, but end_date is 2019-01-01 00:00:00.000000, "
        "start_date is 2021-01-11 00:00:00.000000",
        "expected an end_reason exactly where there is an ended_on, but ended_on is empty, end_reason is renewed",
        "no unit_id U99 in units",
    ]


def test_a_rule_that_looks_at_another_table_sees_its_row() -> None:
    reading = as_text(TABLES["sensor_readings"].head(2)).with_columns(
        measured_at=pl.Series(["2020-12-31T23:59:59", "2021-01-01T00:00:00"])
    )
    checked = check("sensor_readings", reading)
    assert checked.rejected["line"].to_list() == [1]
    assert "measured_at not before the equipment's installed_on" in checked.rejected["reason"][0]


def test_a_table_referred_to_that_is_not_there_breaks_every_row_that_refers_to_it() -> None:
    checked = check_rows(get_canonical_table("units"), TABLES["units"], {})
    assert checked.valid.height == 0
    assert set(checked.rejected["reason"]) == {f"no property_id P{n} in properties" for n in range(3)}


def test_blank_lines_are_no_rows() -> None:
    text = as_text(TABLES["properties"])
    blank = text.clear(1)
    checked = check("properties", pl.concat([text.head(1), blank, text.tail(2)]))
    assert checked.valid[LINE_COLUMN].to_list() == [1, 3, 4]
    assert checked.rejected.height == 0


def test_a_missing_column_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ColumnError, match=r"leases: no column end_date \(renamed\? there is endDate\)"):
        check_header(get_canonical_table("leases"), ["endDate", *(c for c in TABLES["leases"].columns if c != "end_date")])


def test_money_has_two_decimals_rounded_half_to_even_and_counted() -> None:
    frame = as_text(TABLES["ledger"].head(4)).with_columns(amount=pl.Series(["0.125", "0.135", "-0.125", "7.5"]))
    checked = check("ledger", frame)
    assert [str(v) for v in checked.valid["amount"]] == ["0.12", "0.14", "-0.12", "7.50"]
    assert checked.n_rounded == 3


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-03-01", datetime(2024, 3, 1)),
        ("2024-03-01 07:08", datetime(2024, 3, 1, 7, 8)),
        ("2024-03-01T07:08:09", datetime(2024, 3, 1, 7, 8, 9)),
        ("2024-03-01T07:08:09.5", datetime(2024, 3, 1, 7, 8, 9, 500_000)),
        ("2024-03-01T07:08:09Z", datetime(2024, 3, 1, 7, 8, 9)),
        ("2024-03-01T07:08:09+02:00", datetime(2024, 3, 1, 5, 8, 9)),
        ("2024-03-01 07:08:09-0330", datetime(2024, 3, 1, 10, 38, 9)),
        ("01/03/2024", None),
        ("2024-02-30", None),
    ],
)
def test_times_are_read_as_utc(text: str, wanted: datetime | None) -> None:
    assert parse_times(pl.Series([text, "2024-01-01"])).to_list() == [wanted, datetime(2024, 1, 1)]


@pytest.mark.parametrize("text", ["2024-01-01T00:00:00+01:00", "2024-01-01 00:00:00 +0100", "2024-01-01T00:00Z", "2024-01-01"])
def test_the_month_of_a_market_row_is_the_one_that_is_written(text: str) -> None:
    assert parse_column(pl.Series([text]), get_canonical_table("market").get_column("month"))[0] == datetime(2024, 1, 1)


def test_enumerations_are_read_in_any_case_and_truths_from_words() -> None:
    kind = Column("kind", "category", levels=("in_progress", "on_hold"))
    assert parse_column(pl.Series(["IN_PROGRESS", "On Hold", "on-hold", "elsewhere"]), kind).to_list() == [
        "in_progress",
        "on_hold",
        "on_hold",
        "elsewhere",
    ]
    assert parse_column(pl.Series(["TRUE", "no", "1", "maybe"]), Column("x", "bool")).to_list() == [True, False, True, None]


def test_percent_are_divided_and_what_is_no_number_stays() -> None:
    assert convert_percent_columns(pl.DataFrame({"v": ["3.2", "x"]}), ["v"])["v"].to_list() == ["0.032", "x"]
