"""What columns hold: types by values, roles by what the user said, damage refused by name and row."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epic22.core.column import MAX_NUMBER, ColumnOverride, ColumnReading, Dtype, NumberFormat
from epic22.core.data.column_overrides import infer_with_overrides
from epic22.core.data.files import RawTable, read_table
from epic22.core.data.schema_inference import Roles, TypedTable, conform_frame, infer_schema, infer_text_dtype
from epic22.core.errors import ColumnError, RowError
from epic22.core.task import Column

WHOLE = st.integers(-(2**63), 2**63 - 1)


def raw(**columns: list[str | None]) -> RawTable:
    return RawTable("t.csv", pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)), "0", "csv", ",", "utf-8")


def typed(values: list[str | None]) -> Column:
    label: list[str | None] = [str(i % 2) for i in range(len(values))]
    return next(c for c in infer_schema(raw(x=values, y=label), Roles("y")).columns if c.name == "x")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["1", "2", ""], "int"),
        (["1", "2.5", "NA"], "float"),
        (["1,234", "2,345.5", " "], "float"),
        (["1e3", "-2", "nan"], "float"),
        (["1", "2", "NAN"], "int"),
        (["99999999999999999999", "1"], "category"),
        (["true", "False", ""], "bool"),
        (["2024-01-05", "2024-02-01", None], "time"),
        (["20141013T000000", "20141014T000000", None], "time"),
        (["8/28/2007 0:00", "8/29/2007 0:01", None], "time"),
        (["2024-01-05T10:00:00Z", "2024-01-05T11:00:00Z", None], "time"),
        (["2024-01-05T10:00:00+02:00", "2024-01-05T11:00:00+02:00", None], "time"),
        (["2024-01-05T10:00+02:00", "2024-01-05T11:00+02:00"], "time"),
        (["8/28/2007 12:05:01 PM", "8/29/2007 1:00:00 AM"], "time"),
        (["2024-01", "2024-02"], "time"),
        (["Jan 2024", "February 2024"], "time"),
        (["January 5, 2024", "Feb 6, 2024"], "time"),
        (["5 Jan 2024", "6 Feb 2024"], "time"),
        (["1/2/24", "1/3/24"], "time"),
        (["Yes", "No", ""], "category"),
        (["#VALUE!", "3.5", "4"], "float"),
    ],
)
def test_a_type_is_what_all_values_allow(values: list[str | None], dtype: str) -> None:
    assert typed(values).dtype == dtype


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-MAX_NUMBER, MAX_NUMBER, allow_nan=False), min_size=1) | st.lists(WHOLE, min_size=1))
def test_any_finite_numbers_come_back_as_they_were_written(values: list[float]) -> None:
    frame = infer_schema(raw(y=[repr(v) for v in values]), Roles("y")).frame
    assert frame["y"].to_list() == values


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    moments=st.lists(st.datetimes(datetime(1000, 1, 1), datetime(9999, 1, 1)), min_size=1, max_size=10),
    form=st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%S", "%d.%m.%Y %H:%M:%S", "%d %b %Y %H:%M:%S"]),
)
def test_any_times_come_back_as_they_were_written(moments: list[datetime], form: str) -> None:
    whole = [moment.replace(microsecond=0) for moment in moments]
    table = infer_schema(raw(t=[m.strftime(form) for m in whole], y=["1"] * len(whole)), Roles("y", time=("t",)))
    assert table.times is not None
    assert table.times.to_list() == whole


def test_zoned_times_become_utc() -> None:
    table = infer_schema(raw(t=["2024-01-05T10:00:00+02:00"] * 2, y=["0", "1"]), Roles("y", time=("t",)))
    assert table.times is not None
    assert table.times[0] == datetime(2024, 1, 5, 8)


def test_an_ambiguous_date_is_read_month_first_and_said() -> None:
    table = infer_schema(raw(t=["01/02/2024", "03/04/2024"], y=["0", "1"]), Roles("y"))
    assert table.frame["t"][0] == datetime(2024, 1, 2)
    assert "month/day/year" in table.notes[0]


def test_a_day_over_twelve_makes_the_date_day_first_and_that_is_said() -> None:
    table = infer_schema(raw(t=["01/02/2024", "23/04/2024"], y=["0", "1"]), Roles("y"))
    assert table.frame["t"][0] == datetime(2024, 2, 1)
    assert "t: day/month/year." in table.notes


def spread(**columns: list[str | None]) -> TypedTable:
    return infer_schema(raw(**columns, y=["0", "1"]), Roles("y", time=tuple(columns)))


def test_a_date_spread_over_columns_is_put_together_and_only_its_year_is_no_input() -> None:
    table = spread(year=["2015", "2017"], month=["July", "January"], day=["1", "31"])
    assert table.times is not None
    assert table.times.to_list() == [datetime(2015, 7, 1), datetime(2017, 1, 31)]
    assert [c.role for c in table.columns] == ["time", "input", "input", "label"]
    numbered = spread(year=["2015", "2017"], month=["7", "1"], day=["1", "31"])
    assert numbered.times is not None
    assert numbered.times.to_list() == table.times.to_list()


def test_times_that_are_all_equal_are_said_to_split_nothing() -> None:
    rows: list[str | None] = ["1", "2", "3", "4"]
    days: list[str | None] = ["2024-05-01"] * 4
    equal = infer_schema(raw(x=rows, day=days, y=rows), Roles("y", time=("day",)))
    assert "--time day: every row has 2024-05-01 00:00:00, so the rows are split as if they had no time." in equal.notes
    other = infer_schema(raw(x=rows, day=[*days[:3], "2024-05-02"], y=rows), Roles("y", time=("day",)))
    assert not [note for note in other.notes if "every row" in note]


def test_years_and_steps_are_times() -> None:
    years, steps = spread(t=["2006", "2010"]), spread(t=["1", "5"])
    assert years.times is not None
    assert steps.times is not None
    assert years.times[1] == datetime(2010, 1, 1)
    assert steps.times[1] == datetime(1970, 1, 6)


def test_years_that_a_gap_made_floats_and_days_of_a_spreadsheet_with_parts_are_times() -> None:
    years = infer_schema(raw(y=["0", "1"], t=["2000.0", "2001.0"]), Roles("y", time=("t",)))
    assert years.times is not None
    assert years.times.to_list() == [datetime(2000, 1, 1), datetime(2001, 1, 1)]
    moments = infer_schema(raw(y=["0", "1"], t=["45292.25", "45293.541667"]), Roles("y", time=("t",)))
    assert moments.times is not None
    assert moments.times.to_list() == [datetime(2024, 1, 1, 6), datetime(2024, 1, 2, 13)]
    with pytest.raises(ColumnError, match="are no times"):
        infer_schema(raw(y=["0", "1"], t=["0.25", "0.5"]), Roles("y", time=("t",)))


def test_dates_written_as_numbers_are_dates() -> None:
    dates = spread(t=["20240105", "20241231"])
    assert dates.times is not None
    assert dates.times.to_list() == [datetime(2024, 1, 5), datetime(2024, 12, 31)]


def test_roles_are_given_and_the_useless_is_put_aside_with_a_note() -> None:
    n = 300
    table = infer_schema(
        raw(
            y=[str(i % 2) for i in range(n)],
            i=[f"i{i}" for i in range(n)],
            g=["a", "b"] * (n // 2),
            gone=[str(i) for i in range(n)],
            one=["7"] * n,
            none=[None] * n,
            text=[f"words {i}" for i in range(n)],
            x=[str(i % 9) for i in range(n)],
        ),
        Roles("y", group="g", id="i", drop=("gone",)),
    )
    roles = {c.name: c.role for c in table.columns}
    unused = dict.fromkeys(("gone", "one", "none", "text"), "never")
    assert roles == {"y": "label", "i": "id", "g": "group", "x": "input"} | unused
    assert {note.split(" ")[0] for note in table.notes} == {"one", "none", "text"}


def test_ids_keep_no_levels() -> None:
    table = infer_schema(raw(y=["0", "1"], who=["anna", "ben"], x=["a", "b"]), Roles("y", id="who"))
    assert {c.name: c.levels for c in table.columns} == {"y": (), "who": (), "x": ("a", "b")}


def test_an_id_or_a_group_may_mix_numbers_and_letters() -> None:
    mixed: list[str | None] = [*(str(i) for i in range(99)), "C99"]
    for roles in (Roles("y", id="who"), Roles("y", group="who")):
        assert infer_schema(raw(y=["0", "1"] * 50, who=mixed), roles).frame["who"].to_list() == mixed


@pytest.mark.slow
def test_rows_in_messages_count_as_the_file_does() -> None:
    table = raw(y=["0", None, "1"], t=["2024-01-01", None, "soon"])
    with pytest.raises(ColumnError, match="first 'soon' in row 3"):
        infer_schema(table, Roles("y", time=("t",)))


def test_rows_without_a_label_are_left_out_and_said() -> None:
    table = infer_schema(raw(y=["0", None, "1"], x=["1", "2", "3"]), Roles("y"))
    assert table.frame.height == 2
    assert "1 rows without a label" in table.notes[0]


REFUSED: dict[str, tuple[RawTable, Roles, str]] = {
    "no such label": (raw(price=["1", "2"]), Roles("prize"), "did you mean 'price'"),
    "no such time": (raw(y=["0", "1"]), Roles("y", time=("when",)), "--time when"),
    "no such drop": (raw(y=["0", "1"]), Roles("y", drop=("z",)), "--drop z"),
    "label all missing": (raw(y=[None, ""], x=["1", "2"]), Roles("y"), "missing in all 2 rows"),
    "label dropped": (raw(y=["0", "1"]), Roles("y", drop=("y",)), "drop and label at once"),
    "label is time": (raw(y=["0", "1"]), Roles("y", time=("y",)), "label and time at once"),
    "group dropped": (raw(y=["0", "1"], g=["a", "b"]), Roles("y", group="g", drop=("g",)), "drop and group at once"),
    "group is time": (raw(y=["0", "1"], g=["1", "2"]), Roles("y", group="g", time=("g",)), "group and time at once"),
    "group is id": (raw(y=["0", "1"], g=["a", "b"]), Roles("y", group="g", id="g"), "name the id alone"),
    "label is id": (raw(y=["0", "1"]), Roles("y", id="y"), "id and label at once"),
    "nanoseconds since 1970": (
        raw(y=["0", "1"], t=["1700000000000000000", "1700086400000000000"]),
        Roles("y", time=("t",)),
        "are neither years nor dates nor days",
    ),
    "one bad time": (
        raw(y=["0", "1"], t=["2024-01-01", "soon"]),
        Roles("y", time=("t",)),
        "1 of 2 values are no times, first 'soon' in row 2",
    ),
    "no such day": (
        raw(y=["0", "1"], a=["2015", "2015"], b=["2", "2"], c=["1", "30"]),
        Roles("y", time=("a", "b", "c")),
        "'2015-2-30' in row 2 is no date",
    ),
    "infinite": (raw(y=["0", "1"], x=["1", "inf"]), Roles("y"), "infinite or enormous values, first in row 2"),
    "enormous": (raw(y=["0", "1"], x=["1", "1e+300"]), Roles("y"), "infinite or enormous"),
    "damaged number": (
        raw(y=["0", "1"] * 50, x=[*(str(i) for i in range(99)), "oops"]),
        Roles("y"),
        "but not in 1 of its rows: 'oops' in row 100",
    ),
    "time with gaps": (raw(y=["0", "1"], t=["2024-01-01", None]), Roles("y", time=("t",)), "first row 2"),
    "no time at all": (raw(y=["0", "1"], t=["soon", "later"]), Roles("y", time=("t",)), "are no times"),
    "spread no date": (
        raw(y=["0", "1"], a=["2015", "2015"], b=["13", "14"], c=["1", "1"]),
        Roles("y", time=("a", "b", "c")),
        "is no date",
    ),
}


@pytest.mark.parametrize(("table", "roles", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_by_name(table: RawTable, roles: Roles, said: str) -> None:
    with pytest.raises(ColumnError, match=said):
        infer_schema(table, roles)


YEARS = ["2015", "2,015", None, "20152014201320122011" * 4, "-20152014"] * 12
"""Certified years of a building, run together by the file's author: no amounts, and the longest fits no number."""


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_digits_too_long_to_be_a_number_are_text(tmp_path: Path, form: str) -> None:
    frame = pl.DataFrame({"y": ["0", "1"] * 30, "x": YEARS}, schema={"y": pl.String, "x": pl.String})
    path = tmp_path / f"t.{form}"
    if form == "csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    found = infer_schema(read_table(path), Roles("y"))
    assert found.frame["x"].to_list() == YEARS
    assert next(c for c in found.columns if c.name == "x").dtype == "category"
    assert "x holds digits too long to be a number (20152014201320122011…, 80 characters)" in found.notes[0]
    assert conform_frame(read_table(path), found.columns)["x"].to_list() == YEARS


def test_an_id_of_long_digits_stays_as_it_is_written() -> None:
    ids: list[str | None] = [f"{i}" * 45 for i in range(1, 10)]
    assert infer_schema(raw(y=["0", "1", "1"] * 3, who=ids), Roles("y", id="who")).frame["who"].to_list() == ids


PARCELS: list[str | None] = [*(str(659_000_000 + 7 * i) for i in range(58)), "6850700316 and 6850700315", "701100-0000"]
"""Parcels of Seattle's buildings: two of a thousand cells hold two."""


def test_numbers_of_which_two_stand_in_one_cell_are_names() -> None:
    found = infer_schema(raw(y=["0", "1"] * 30, parcel=PARCELS), Roles("y"))
    assert found.frame["parcel"].to_list() == PARCELS
    assert any("parcel holds two numbers in one ('6850700316 and 6850700315')" in note for note in found.notes)


@pytest.mark.parametrize("odd", ["1O57", "12-34", "70110.5 and 70110.7", "?!"])
def test_other_cells_among_numbers_are_damage(odd: str) -> None:
    with pytest.raises(ColumnError, match="mend them"):
        infer_schema(raw(y=["0", "1"] * 30, parcel=[*PARCELS[:59], odd]), Roles("y"))
    with pytest.raises(ColumnError, match="mend them"):
        infer_schema(raw(y=["0", "1"] * 30, parcel=[*PARCELS[:58], "701100-0000", "1.5"]), Roles("y"))


def test_long_digits_among_numbers_with_decimals_are_damage() -> None:
    with pytest.raises(ColumnError, match="enormous values, first in row 2"):
        infer_schema(raw(y=["0", "1"], x=["1.5", "9" * 60]), Roles("y"))


def test_a_dropped_column_may_be_damaged() -> None:
    table = infer_schema(raw(y=["0", "1"], x=["1", "inf"]), Roles("y", drop=("x",)))
    assert {column.name: column.role for column in table.columns} == {"y": "label", "x": "never"}


COLUMNS = (
    Column("n", "int"),
    Column("c", "category", levels=("a", "b")),
    Column("t", "time"),
    Column("b", "bool"),
    Column("i", "category", role="id"),
)


def test_a_later_file_is_brought_to_the_types_it_was_trained_with() -> None:
    frame = conform_frame(raw(n=["3.0", ""], c=["b", "new"], t=["2024-01-01", None], b=["TRUE", None], more=["1", "2"]), COLUMNS)
    assert frame.rows() == [(3.0, "b", datetime(2024, 1, 1), True), (None, "new", None, None)]


def test_a_later_file_that_lacks_an_input_is_refused() -> None:
    with pytest.raises(ColumnError, match="no column 'n'"):
        conform_frame(raw(c=["a"], t=["2024-01-01"], b=["true"]), COLUMNS)


def test_labels_and_columns_put_aside_may_hold_anything_later() -> None:
    columns = (*COLUMNS, Column("y", "int", role="label"), Column("gone", "float", role="never"))
    frame = conform_frame(raw(n=["1"], c=["a"], t=[None], b=["true"], y=["unknown"], gone=["junk"]), columns)
    assert frame.columns == ["n", "c", "t", "b"]


def test_one_bad_time_does_not_accuse_the_others() -> None:
    with pytest.raises(RowError) as caught:
        conform_frame(raw(n=["1", "2"], c=["a"] * 2, t=["2024-01-01", "soon"], b=["true"] * 2), COLUMNS)
    assert [problem[:2] for problem in caught.value.problems] == [(1, "t")]


def test_at_most_twenty_problems_are_listed() -> None:
    with pytest.raises(RowError) as caught:
        conform_frame(raw(n=["z"] * 25), COLUMNS[:1])
    assert [row for row, _, _ in caught.value.problems] == list(range(20))


@pytest.mark.parametrize(
    ("column", "value"), [(Column("v", "time"), 5), (Column("v", "int"), datetime(2024, 1, 1)), (Column("v", "bool"), 7)]
)
def test_another_type_of_a_parquet_file_is_not_bent_into_shape(column: Column, value: object) -> None:
    later = RawTable("t.parquet", pl.DataFrame({"v": [value]}), "0", "parquet", None, None)
    with pytest.raises(RowError, match="row 1, column 'v'"):
        conform_frame(later, (column,))


def test_a_later_parquet_may_lack_numbers() -> None:
    later = RawTable("t.parquet", pl.DataFrame({"n": [1.5, float("nan")]}), "0", "parquet", None, None)
    assert conform_frame(later, COLUMNS[:1])["n"].to_list() == [1.5, None]


@pytest.mark.parametrize(("value", "said"), [("many", "not a finite number"), ("inf", "not a finite number"), ("1e99", "finite")])
def test_a_later_value_that_does_not_fit_is_refused_with_its_row(value: str, said: str) -> None:
    with pytest.raises(RowError, match=rf"row 2, column 'n'.*{said}") as caught:
        conform_frame(raw(n=["1", value], c=["a"] * 2, t=["2024-01-01"] * 2, b=["true"] * 2), COLUMNS)
    assert caught.value.problems[0][:2] == (1, "n")


def test_parquet_goes_the_same_way(tmp_path: Path) -> None:
    frame = pl.DataFrame({"y": [0, 1], "when": [datetime(2024, 1, 1), datetime(2024, 1, 2)], "x": [0.5, float("nan")]})
    frame.write_parquet(tmp_path / "t.parquet")
    table = infer_schema(read_table(tmp_path / "t.parquet"), Roles("y", time=("when",)))
    assert {c.name: c.dtype for c in table.columns} == {"y": "int", "when": "time", "x": "float"}
    assert table.frame["x"].null_count() == 1


def test_whole_numbers_too_large_are_names_and_durations_are_numbers() -> None:
    frame = pl.DataFrame(
        {"y": [0, 1], "big": pl.Series([2**70, 1], dtype=pl.Int128), "span": [timedelta(days=1), timedelta(seconds=90)]}
    )
    read = infer_schema(RawTable("t.parquet", frame, "0", "parquet", None, None), Roles("y")).frame
    assert read["big"].to_list() == [str(2**70), "1"]
    assert read["span"].to_list() == [86_400.0, 90.0]


@pytest.mark.parametrize(
    ("distinct", "present", "dtype"),
    [
        (255, 255, "category"),
        (2000, 3000, "category"),
        (2000, 2999, "text"),
        (10_000, 10**6, "category"),
        (10_001, 10**6, "text"),
    ],
)
def test_text_is_a_category_where_its_values_are_few_or_return(distinct: int, present: int, dtype: str) -> None:
    assert infer_text_dtype(distinct, present) == dtype


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["1704067200", "1706745600"], "seconds from 1970"),
        (["1704067200000", "1706745600000"], "milliseconds from 1970"),
        (["1704067200000000", "1706745600000000"], "microseconds from 1970"),
        (["45292", "45323"], "days of a spreadsheet"),
        (["202401", "202402"], "months like 202403"),
        (["20240101", "20240201"], "dates like 20240131"),
        (["19723", "19754"], "taken for days"),
    ],
)
def test_whole_numbers_as_the_rows_time_are_read_by_their_size(written: list[str | None], said: str) -> None:
    table = infer_schema(raw(y=["0", "1"], t=written), Roles("y", time=("t",)))
    assert table.times is not None
    assert table.times.to_list() == [datetime(2024, 1, 1), datetime(2024, 2, 1)]
    assert any(said in note for note in table.notes)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1.5", "-2", "1,234.5", "NA", "None", " 3 "], [1.5, -2.0, 1234.5, None, None, 3.0]),
        (["2024-03-01", "2024-03-01T13:00+02:00", ""], [datetime(2024, 3, 1), datetime(2024, 3, 1, 11), None]),
        (["true", "FALSE", "None"], [True, False, None]),
        (["red", "None", "NA", "7"], ["red", None, None, "7"]),
    ],
)
def test_text_of_a_column_without_a_stored_reading_is_read_alike_in_every_batch(
    values: list[str | None], expected: list[object]
) -> None:
    dtype: Dtype = {float: "float", datetime: "time", bool: "bool", str: "category"}[type(expected[0])]  # type: ignore[assignment]
    column = Column("x", dtype)
    assert conform_frame(raw(x=values), (column,))["x"].to_list() == expected
    batches: list[list[str | None]] = [[value] for value in values]
    assert [conform_frame(raw(x=batch), (column,))["x"][0] for batch in batches] == expected


@pytest.mark.parametrize(
    ("dtype", "value", "beside"),
    [("float", "1.234,50", "2.345,75"), ("float", "$5", "$7"), ("time", "03/04/2024", "13/04/2024")],
)
def test_no_neighbours_say_how_text_without_a_stored_reading_is_written(dtype: Dtype, value: str, beside: str) -> None:
    """The columns of features have no reading: a batch with 13/04/2024 in it made 3 April of what was 4 March in another."""
    alone: list[str | None] = [value]
    for values in (alone, [beside] * 50 + alone):
        with pytest.raises(RowError, match=re.escape(f"'{values[0]}' is not")):
            conform_frame(raw(x=values), (Column("x", dtype),))


def test_what_json_has_as_numbers_are_numbers_whatever_their_points_look_like(tmp_path: Path) -> None:
    """As text 609 beside 1.103 is 609 beside 1103, and 2019.03 is a month."""
    path = tmp_path / "t.json"
    rents = [609, 1.103, 777, 1.205, 800, 1.311]
    rows = [{"rent": rents[i % 6], "month": 2019 + i % 9 / 100, "who": 10 + i % 3, "y": i % 2} for i in range(40)]
    path.write_text(json.dumps(rows))
    table = read_table(path)
    assert table.numbers == {"rent", "month", "who", "y"}
    found = infer_schema(table, Roles("y", id="who"))
    assert found.frame["rent"].to_list() == [row["rent"] for row in rows]
    assert found.frame["month"].to_list() == [row["month"] for row in rows]
    overrides = [ColumnOverride("rent", "category"), ColumnOverride("who", "category"), ColumnOverride("month", "float")]
    stated = infer_with_overrides(table, Roles("y"), overrides).frame
    assert stated["rent"].to_list() == [str(row["rent"]) for row in rows]
    assert stated["month"].to_list() == [row["month"] for row in rows]


@pytest.mark.parametrize(
    ("values", "are_numbers"),
    [
        ("[1, 2.5, null]", True),
        ("[-999, 1e3]", True),
        ('["1", 2]', False),
        ("[true, 1]", False),
        ("[null, null]", False),
        (f"[1, {10**19}]", False),
        ("[0.1234567890123456789]", True),
    ],
)
def test_a_column_of_json_is_of_numbers_where_all_of_its_values_are(tmp_path: Path, values: str, are_numbers: bool) -> None:
    path = tmp_path / "t.json"
    rows = [f'{{"x": {value}}}' for value in values.strip("[]").split(", ")]
    path.write_text(f"[{', '.join(rows)}]")
    assert ("x" in read_table(path).numbers) == are_numbers


UNUSABLE = [
    ([1.5, float("inf"), 2.5], "float", "1 infinite or enormous values, first in row 2 where finite numbers are expected"),
    ([1.5, 2.5, -1e39], "float", "1 infinite or enormous values, first in row 3 where finite numbers are expected"),
    ([datetime(2024, 1, 1), datetime(1, 1, 1)], "time", "1 times before the year 1000, first 0001-01-01 00:00:00 in row 2"),
]


@pytest.mark.parametrize(("values", "dtype", "said"), UNUSABLE)
def test_values_that_no_model_learns_from_are_refused_also_where_a_task_file_states_their_type(
    values: list[object], dtype: Dtype, said: str
) -> None:
    """Every task file that a training writes states the types: an infinite number in later rows was learned from."""
    odd, one = [*values, *[values[0]] * 30], ColumnOverride("x", dtype)
    frame = pl.DataFrame({"x": odd, "y": [i % 2 for i in range(len(odd))]})
    table = RawTable("t.parquet", frame, "0", "parquet", None, None)
    with pytest.raises(ColumnError, match=re.escape(f"column 'x': {said}; mend them")):
        infer_schema(table, Roles("y"))
    with pytest.raises(ColumnError, match=re.escape(f"columns.x.dtype: {dtype} is stated; column 'x': {said}: mend them")):
        infer_with_overrides(table, Roles("y"), [one])
    with pytest.raises(RowError, match="is not a"):
        conform_frame(table, (Column("x", dtype),))
    assert infer_with_overrides(table, Roles("y", drop=("x",)), [one]).frame.height == len(odd)
    assert infer_with_overrides(table, Roles("y"), [ColumnOverride("x", dtype, role="never")]).frame.height == len(odd)


def test_lengths_of_time_with_a_type_are_none_of_a_column_that_was_trained_on_as_text() -> None:
    """As seconds 14:30 was 52,200 to a model that had learned from 14.5 hours."""
    frame = pl.DataFrame({"x": [timedelta(hours=14, minutes=30), None]})
    table = RawTable("t.parquet", frame, "0", "parquet", None, None)
    assert conform_frame(table, (Column("x", "float"),))["x"].to_list() == [52_200.0, None]
    column = Column("x", "float", reading=ColumnReading(NumberFormat(notation="clock")))
    with pytest.raises(RowError, match="is not written as in training, like 14:30"):
        conform_frame(table, (column,))
