"""The user's own panel: wide and long are one, and what is broken is said in one sentence."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.panels import lines, wide_file

from epic22.core.errors import ColumnError
from epic22.core.time_series import MONTHLY, QUARTERLY, get_frequency
from epic22.spec.panel_file import PanelFile, add_families, load_panel_task_data


def wide(path: Path) -> PanelFile:
    return PanelFile(path, "wide", ("zip",), "month", "rent", MONTHLY, 6)


def long(path: Path) -> PanelFile:
    return PanelFile(path, "long", ("zip",), "month", "rent", MONTHLY, 6)


def written(folder: Path, text: str) -> Path:
    path = folder / "panel.csv"
    path.write_text(text)
    return path


def test_a_wide_and_a_long_file_are_the_same_panel(tmp_path: Path) -> None:
    path = wide_file(tmp_path, lines(3, 30))
    frame = pl.read_csv(path).drop("rank")
    frame.unpivot(index="zip", variable_name="month", value_name="rent").write_csv(tmp_path / "long.csv")
    one, other = load_panel_task_data(wide(path)), load_panel_task_data(long(tmp_path / "long.csv"))
    assert one.entities.equals(other.entities)
    assert np.array_equal(one.latest_histories().lines, other.latest_histories().lines)
    assert (one.first, one.last) == (other.first, other.last)


def test_the_order_of_rows_changes_no_history(tmp_path: Path) -> None:
    values = lines(5, 30)
    one = load_panel_task_data(wide(wide_file(tmp_path, values))).latest_histories()
    other = load_panel_task_data(wide(wide_file(tmp_path, values, "other.csv", np.array([3, 0, 4, 2, 1])))).latest_histories()
    assert np.array_equal(one.lines, other.lines)
    assert one.entity.tolist() == other.entity.tolist()


def test_a_series_may_be_named_by_several_columns_and_time_by_quarters(tmp_path: Path) -> None:
    rows = [f"{a},{b},{2019 + q // 4} Q{q % 4 + 1},{100 + q}" for a in "xy" for b in "uv" for q in range(12)]
    path = written(tmp_path, "\n".join(["city,kind,quarter,rent", *rows]))
    file = PanelFile(path, "long", ("city", "kind"), "quarter", "rent", QUARTERLY, 2)
    panel = load_panel_task_data(file)
    assert panel.entities.to_list() == ["x / u", "x / v", "y / u", "y / v"]
    assert QUARTERLY.label(panel.last) == "2021 Q4"


BROKEN = {
    "two values of one series and month": ("zip,month,rent\na,2020-01-01,1\na,2020-01-15,2\na,2020-02-01,3", "share a month"),
    "a text for a value": ("zip,month,rent\na,2020-01,1\na,2020-02,cheap\na,2020-03,3", "first 'cheap' of 'a' at 2020-02"),
    "a text for a time": ("zip,month,rent\na,2020-01,1\na,soon,2\na,2020-03,3", "soon"),
    "a time that is missing": ("zip,month,rent\na,2020-01,1\na,,2\na,2020-03,3", "row"),
    "a series without a name": ("zip,month,rent\na,2020-01,1\n,2020-02,2\na,2020-03,3", "names no series"),
    "one value a series": ("zip,month,rent\na,2020-01,1\nb,2020-01,2\nc,2020-01,3", "one value"),
    "two values a series": ("zip,month,rent\na,2020-01,1\na,2020-02,2", "no series has"),
    "an infinite value": ("zip,month,rent\na,2020-01,1\na,2020-02,inf\na,2020-03,3", "infinite"),
    "no value at all": ("zip,month,rent\na,2020-01,\na,2020-02,\na,2020-03,", "missing in all"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_panel_is_refused_with_what_is_wrong(tmp_path: Path, name: str) -> None:
    text, said = BROKEN[name]
    with pytest.raises(ColumnError, match=said):
        load_panel_task_data(long(written(tmp_path, text)))


def test_another_frequency_is_refused_and_one_series_of_another_is_left_out(tmp_path: Path) -> None:
    quarterly = [f"a,{2015 + q // 4}-{3 * (q % 4) + 1:02d},{q}" for q in range(12)]
    monthly = [f"{s},{2015 + m // 12}-{m % 12 + 1:02d},{m}" for s in "bcd" for m in range(36)]
    with pytest.raises(ColumnError, match="every 3 months"):
        load_panel_task_data(long(written(tmp_path, "\n".join(["zip,month,rent", *quarterly]))))
    mixed = long(written(tmp_path, "\n".join(["zip,month,rent", *quarterly, *monthly])))
    panel = load_panel_task_data(mixed)
    assert panel.entities.to_list() == ["b", "c", "d"]
    assert panel.left_out == ("1 series with a value every 3 months at most were left out: 'a'.",)
    with pytest.raises(ColumnError, match="--strict: 1 of 4 series with a value every 3 months at most: 'a'"):
        load_panel_task_data(replace(mixed, strict=True))


def test_absent_columns_and_a_wide_file_without_dates_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "zip,month,rent\na,2020-01,1\na,2020-02,2\na,2020-03,3")
    with pytest.raises(ColumnError, match="--id city"):
        load_panel_task_data(replace(long(path), id=("city",)))
    with pytest.raises(ColumnError, match="--time day"):
        load_panel_task_data(replace(long(path), time="day"))
    with pytest.raises(ColumnError, match="different columns"):
        load_panel_task_data(replace(long(path), label="month"))
    with pytest.raises(ColumnError, match="--panel long"):
        load_panel_task_data(wide(path))
    with pytest.raises(ColumnError, match="no such family"):
        add_families(long(path), ("oracle",))


def test_times_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    rows = [f"a,2020-{m:02d},{m}" for m in (5, 1, 4, 2, 3)]
    panel = load_panel_task_data(long(written(tmp_path, "\n".join(["zip,month,rent", *rows]))))
    assert panel.latest_histories().get_series(0).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_gaps_short_series_and_values_below_zero_are_told(tmp_path: Path) -> None:
    values = lines(4, 30)
    values[0, 10:12] = np.nan
    values[1, :-2] = np.nan
    values[2, 5] = -3.0
    panel = load_panel_task_data(wide(wide_file(tmp_path, values)))
    said = " ".join(panel.notes)
    assert "2 missing values within 1 series" in said
    assert "1 series with fewer than 3 values were left out: 'zip 01'." in said
    assert "1 series hold zero or negative values" in said
    assert len(panel.entities) == 3


def test_complete_last_keeps_only_series_without_a_gap_there(tmp_path: Path) -> None:
    values = lines(4, 30)
    values[0, 2] = np.nan
    values[1, 25] = np.nan
    panel = load_panel_task_data(replace(wide(wide_file(tmp_path, values)), complete_last=10))
    assert panel.entities.to_list() == ["zip 00", "zip 02", "zip 03"]


def test_a_series_that_ended_is_not_forecast_from_later_origins(tmp_path: Path) -> None:
    values = lines(3, 60)
    values[1, 30:] = np.nan
    assert load_panel_task_data(wide(wide_file(tmp_path, values))).latest_histories().entity.tolist() == ["zip 00", "zip 02"]


def test_another_byte_is_another_data_version(tmp_path: Path) -> None:
    values = lines(3, 30)
    one = load_panel_task_data(wide(wide_file(tmp_path, values))).data_version.id
    values[2, 7] += 0.01
    assert load_panel_task_data(wide(wide_file(tmp_path, values, "b.csv"))).data_version.id != one
    assert get_frequency("m") is MONTHLY


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_numbers_of_a_later_panel_are_numbers_however_those_of_training_were_written(
    tmp_path: Path, layout: str, suffix: str
) -> None:
    """A model of rents like 1.234,50 took 1.234 in Parquet, where it is a number, for 1234."""
    months = [f"2020-{month:02}" for month in range(1, 13)]
    texts = [[f"1.{234 + month + 10 * zip_code},50" for month in range(12)] for zip_code in range(4)]
    rents = [[(609 if month % 3 else 1.234) + zip_code for month in range(12)] for zip_code in range(4)]
    trained, later = (
        _write_panel(tmp_path / name, layout, months, rows) for name, rows in (("t.csv", texts), (f"l.{suffix}", rents))
    )
    make = wide if layout == "wide" else long
    first = load_panel_task_data(make(trained))
    reading = first.reading
    assert reading is not None
    assert reading.values is not None
    assert reading.values.number.decimal == ","
    data = load_panel_task_data(replace(make(later), reading=reading))
    assert data.latest_histories().lines.tolist() == rents


def _write_panel(path: Path, layout: str, months: list[str], rows: Sequence[Sequence[object]]) -> Path:
    if layout == "wide":
        records = [{"zip": f"z{i}", **dict(zip(months, row, strict=True))} for i, row in enumerate(rows)]
    else:
        pairs = ((i, month, value) for i, row in enumerate(rows) for month, value in zip(months, row, strict=True))
        records = [{"zip": f"z{i}", "month": month, "rent": value} for i, month, value in pairs]
    frame = pl.DataFrame(records, strict=False)
    if path.suffix == ".json":
        path.write_text(json.dumps(frame.to_dicts()))
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator=";")
    return path
