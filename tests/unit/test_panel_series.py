"""One odd series never refuses a panel: it is left out, named and counted; names stay the text that they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.panels import lines, wide_file

from epic22.core.errors import ColumnError
from epic22.core.time_series import MONTHLY, Array
from epic22.spec.panel_file import PanelFile, load_panel_task_data

MONTHS = [f"{2018 + m // 12}-{m % 12 + 1:02d}" for m in range(36)]


def write(folder: Path, rows: list[str], header: str = "zip,month,rent") -> PanelFile:
    path = folder / "panel.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return PanelFile(path, "long", ("zip",), "month", "rent", MONTHLY, 3)


def rows_of(name: str, months: list[str] = MONTHS) -> list[str]:
    return [f"{name},{month},{1000 + i}" for i, month in enumerate(months)]


@pytest.mark.parametrize(
    "names", [("02138", "2138"), ("01002", "1E2", "100"), ("NA", "None", "null"), ("9223372036854775808", "9223372036854775809")]
)
def test_a_name_is_never_a_number_and_never_missing(tmp_path: Path, names: tuple[str, ...]) -> None:
    panel = load_panel_task_data(write(tmp_path, [row for name in names for row in rows_of(name)]))
    assert panel.entities.to_list() == sorted(names)


def test_blanks_around_a_name_are_none_of_it_and_names_that_differ_by_case_are_told_apart(tmp_path: Path) -> None:
    panel = load_panel_task_data(
        write(tmp_path, [*rows_of("Berlin ", MONTHS[:20]), *rows_of("Berlin", MONTHS[20:]), *rows_of("berlin")])
    )
    assert panel.entities.to_list() == ["Berlin", "berlin"]
    assert "2 series have names that differ by case only, and are told apart: 'Berlin', 'berlin'." in panel.notes


def test_whole_numbers_that_a_gap_made_floats_are_named_as_whole_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"zip": [7.0] * 36, "month": MONTHS, "rent": np.arange(36.0)})
    frame.write_parquet(tmp_path / "panel.parquet")
    file = replace(write(tmp_path, rows_of("a")), path=tmp_path / "panel.parquet")
    assert load_panel_task_data(file).entities.to_list() == ["7"]


def test_two_series_whose_joined_names_are_equal_are_refused(tmp_path: Path) -> None:
    rows = [f"{city},{kind},{month},1" for city, kind in (("a / b", "c"), ("a", "b / c")) for month in MONTHS]
    with pytest.raises(ColumnError, match="two series would both be called 'a / b / c'"):
        load_panel_task_data(replace(write(tmp_path, rows, "zip,kind,month,rent"), id=("zip", "kind")))


ODD = {
    "two values of one month": [*rows_of("odd"), "odd,2018-03,5"],
    "a value every other month": rows_of("odd", MONTHS[::2]),
    "two values": rows_of("odd", MONTHS[:2]),
    "a mistyped year": [*rows_of("odd"), "odd,2203-06,5"],
    "words alone": [f"odd,{month},withheld" for month in MONTHS],
    "no value": [f"odd,{month}," for month in MONTHS],
    "ended two years before the others": rows_of("odd", MONTHS[:12]),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_series_is_not_forecast_but_named_and_counted(tmp_path: Path, what: str) -> None:
    file = write(tmp_path, [*rows_of("a"), *rows_of("b"), *ODD[what]])
    panel = load_panel_task_data(file)
    (told,) = panel.left_out
    assert told.startswith("1 series ")
    assert "'odd'" in told
    assert told in panel.notes
    assert panel.latest_histories().entity.tolist() == ["a", "b"]
    assert MONTHLY.label(panel.last) == MONTHS[-1]


@pytest.mark.parametrize("what", ODD)
def test_strict_refuses_an_odd_series_by_its_name(tmp_path: Path, what: str) -> None:
    file = write(tmp_path, [*rows_of("a"), *rows_of("b"), *ODD[what]])
    with pytest.raises(ColumnError, match=r"--strict: 1 of 3 series .*'odd'"):
        load_panel_task_data(replace(file, strict=True))


def test_what_most_series_have_is_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = [row for name in "abc" for row in (*rows_of(name), f"{name},2018-03,5")]
    with pytest.raises(ColumnError, match=r"'a' has 2 values that share a month with another, first in 2018-03; .*--id"):
        load_panel_task_data(write(tmp_path, rows))


def test_a_series_that_stops_a_little_earlier_is_told_of_and_forecast(tmp_path: Path) -> None:
    panel = load_panel_task_data(write(tmp_path, [*rows_of("a"), *rows_of("late", MONTHS[:-2])]))
    assert "1 series have no value in 2020-12; their last one is carried forward to it: 'late' (to 2020-10)." in panel.notes
    assert panel.left_out == ()


def test_empty_rows_and_an_empty_column_at_the_end_are_nothing(tmp_path: Path) -> None:
    rows = [f"{row}," for row in rows_of("a")]
    panel = load_panel_task_data(write(tmp_path, [*rows, ",,,", ",,,"], "zip,month,rent,"))
    assert panel.entities.to_list() == ["a"]
    assert "2 empty rows were left out." in panel.notes


def test_a_row_that_repeats_another_counts_once_and_one_of_another_value_does_not(tmp_path: Path) -> None:
    rows = [*rows_of("a"), *rows_of("b")]
    panel = load_panel_task_data(write(tmp_path, [*rows, rows[0], rows[3]]))
    assert panel.entities.to_list() == ["a", "b"]
    assert "2 rows repeat another, and count once." in panel.notes
    other = load_panel_task_data(write(tmp_path, [*rows, f"a,{MONTHS[0]},7"]))
    assert other.entities.to_list() == ["b"]


def test_an_ended_series_is_left_out_of_a_wide_file_too(tmp_path: Path) -> None:
    values = lines(4, 48)
    values[2, 30:] = np.nan
    panel = load_panel_task_data(PanelFile(wide_file(tmp_path, values), "wide", ("zip",), "month", "rent", MONTHLY, 3))
    assert panel.left_out == ("1 series that ended more than 12 months before 2018-12 are not forecast: 'zip 02' (to 2017-06).",)


def test_values_are_read_as_they_were_in_training_and_what_does_not_fit_is_named(tmp_path: Path) -> None:
    written = [f"a,{month},{('-' if i == 5 else f'1.{200 + i},50 €')!r}".replace("'", '"') for i, month in enumerate(MONTHS)]
    trained = load_panel_task_data(write(tmp_path, written))
    assert trained.latest_histories().get_series(0)[[0, -1]].tolist() == [1200.5, 1235.5]
    assert any("read as missing: rent ('-')" in note for note in trained.notes)
    assert trained.reading is not None
    later = [f'a,{month},"1.30{i} €"' for i, month in enumerate(MONTHS[:5])]
    again = load_panel_task_data(replace(write(tmp_path, later), reading=trained.reading))
    assert again.latest_histories().get_series(0).tolist() == [1300.0, 1301.0, 1302.0, 1303.0, 1304.0]
    with pytest.raises(ColumnError, match=r"1 values are no numbers, first '1,300\.5 €' of 'a' at 2018-06"):
        load_panel_task_data(replace(write(tmp_path, [*later, 'a,2018-06,"1,300.5 €"']), reading=trained.reading))


def test_an_open_mark_is_told_with_what_can_be_done_about_it_in_a_panel(tmp_path: Path) -> None:
    rows = [f"a,{month},1.{100 + 7 * i}" for i, month in enumerate(MONTHS)]
    panel = load_panel_task_data(write(tmp_path, rows))
    note = next(note for note in panel.notes if note.startswith("marks that nothing in the column settles"))
    assert note.endswith("(write the numbers without marks of thousands): rent ('1.100' is 1.1).")


def test_rows_are_told_by_their_number_in_the_file_though_an_empty_one_lies_before(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="first 'soon' in row 38"):
        load_panel_task_data(write(tmp_path, [",,", *rows_of("a"), "a,soon,5"]))
    with pytest.raises(ColumnError, match="row 38 names no series"):
        load_panel_task_data(write(tmp_path, [",,", *rows_of("a"), ",2021-01,5"]))
    with pytest.raises(ColumnError, match="1 rows have none, first row 38"):
        load_panel_task_data(write(tmp_path, [",,", *rows_of("a"), "a,,5"]))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_number_that_stands_for_missing_is_missing_and_told(tmp_path: Path, form: str) -> None:
    rows = [f"{name},{month},{-999 if i in (7, 21) else 100 + i}" for name in "ab" for i, month in enumerate(MONTHS)]
    file = write(tmp_path, rows)
    if form == "parquet":
        pl.read_csv(file.path).write_parquet(tmp_path / "panel.parquet")
        file = replace(file, path=tmp_path / "panel.parquet")
    panel = load_panel_task_data(file)
    assert "rent: -999 lies far from all other values and is read as missing (4 values)." in panel.notes
    assert panel.latest_histories().get_series(0).min() == 100
    later = load_panel_task_data(replace(file, reading=panel.reading))
    assert later.latest_histories().get_series(0).min() == 100


def test_a_series_of_nines_alone_keeps_its_values(tmp_path: Path) -> None:
    rows = [*rows_of("a"), *(f"b,{month},99999" for month in MONTHS)]
    assert load_panel_task_data(write(tmp_path, rows)).latest_histories().get_series(1).tolist() == [99999.0] * 36


@pytest.mark.parametrize("last", [0.0, 0.3])
def test_a_last_period_with_far_less_than_ever_is_told_of_as_one_that_may_not_be_over(tmp_path: Path, last: float) -> None:
    values = lines(4, 30)
    assert not any("not over yet" in note for note in load_panel_task_data(write_wide(tmp_path, values)).notes)
    values[:, -1] *= last
    notes = load_panel_task_data(write_wide(tmp_path, values)).notes
    assert any(
        "the values of 2017-06 are together" in note and "where it is not over yet, leave it out" in note for note in notes
    )
    values[:, 10] *= 0.1
    # Where a tenth was there before, a third is nothing new.
    assert any("not over yet" in note for note in load_panel_task_data(write_wide(tmp_path, values)).notes) == (last == 0.0)


def write_wide(folder: Path, values: Array) -> PanelFile:
    return PanelFile(wide_file(folder, values), "wide", ("zip",), "month", "rent", MONTHLY, 3)


def test_series_that_have_never_changed_are_told_of_beside_others_that_have(tmp_path: Path) -> None:
    values = lines(4, 30)
    values[:3] = 700.0
    notes = load_panel_task_data(write_wide(tmp_path, values)).notes
    assert any(note.startswith("3 series have never changed") for note in notes)
    assert not any("never changed" in note for note in load_panel_task_data(write_wide(tmp_path, values[:3])).notes)
